"""What rules refuse: layers and optimisers that they cannot serve, intervals, arguments."""

from typing import Any

import pytest
import torch
from deep_r_cases import X, Y, network
from torch import nn

from netsci_nn import ConfigError
from netsci_nn.rewiring import REWIRERS, DeepR
from netsci_nn.training import Rewire, train


@pytest.mark.parametrize("name", ["deep_r", "soft_deep_r", "ba_deep_r"])
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.AdamW])
def test_another_optimiser_is_refused(name: str, kind: Any) -> None:
    model = network()
    with pytest.raises(ConfigError, match=f"optimizer is {kind.__name__}; rewiring '{name}' is defined for SGD alone"):
        train(model, kind(model.parameters()), X, Y, epochs=1, batch_size=10, rng=0, callbacks=[Rewire(REWIRERS[name]())])


def test_a_second_weight_decay_is_refused() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-4)
    with pytest.raises(
        ConfigError, match=r"weight_decay = 0\.0001 and l1 = 1e-05 of rewiring 'deep_r' are both given; use one"
    ):
        train(model, optimizer, X, Y, epochs=1, batch_size=10, rng=0, callbacks=[Rewire(DeepR())])
    train(model, optimizer, X[:50], Y[:50], epochs=1, batch_size=10, rng=0, callbacks=[Rewire(DeepR(l1=0))])


@pytest.mark.parametrize("interval", [{"every_steps": 2}, {"every_epochs": 1}])
def test_another_interval_is_refused(interval: dict[str, int]) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match=r"'deep_r' acts after every mini-batch, not every .*; its interval must be 1"):
        train(model, optimizer, X, Y, epochs=1, batch_size=10, rng=0, callbacks=[Rewire(DeepR(), **interval)])


def test_layers_and_intervals_that_do_not_exist() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="layers names layer 3; the model has the sparse layers 0 to 2"):
        train(model, optimizer, X, Y, epochs=1, batch_size=10, rng=0, callbacks=[Rewire(DeepR(), layers=[0, 3])])
    with pytest.raises(ConfigError, match=r"layers is \[0, 0\]; every layer may be named once"):
        train(model, optimizer, X, Y, epochs=1, batch_size=10, rng=0, callbacks=[Rewire(DeepR(), layers=[0, 0])])
    with pytest.raises(ConfigError, match="every_steps is 0; it must be an integer >= 1"):
        Rewire(DeepR(), every_steps=0)
    with pytest.raises(ConfigError, match="only one of them may be given"):
        Rewire(DeepR(), every_epochs=1, every_steps=1)
    dense = nn.Sequential(nn.Linear(64, 10))
    with pytest.raises(ConfigError, match="the model, a Sequential, has no sparse layer that could be rewired"):
        train(
            dense,
            torch.optim.SGD(dense.parameters(), lr=0.1),
            X,
            Y,
            epochs=1,
            batch_size=10,
            rng=0,
            callbacks=[Rewire(DeepR())],
        )


@pytest.mark.parametrize("name", ["deep_r", "soft_deep_r", "ba_deep_r", "deep_r_s1", "deep_r_s1_relative"])
def test_a_layer_that_is_not_sparse_and_a_view_that_lacks_something(name: str) -> None:
    rule = REWIRERS[name]()
    with pytest.raises(ConfigError, match="layer is a Linear; it must be a SparseLayer"):
        rule.propose(nn.Linear(3, 2), rng=0)
    with pytest.raises(ConfigError, match=r"\w+ is missing in the view of the edges; rewiring rule '\w+' needs"):
        rule.propose(network().layers[0], rng=0)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("deep_r", {"l1": -1e-5}, "l1 is -1e-05; it must be a number from 0 to 1e38"),
        ("deep_r", {"noise": float("nan")}, "noise is nan"),
        ("deep_r", {"l1": True}, "l1 is True"),
        ("deep_r", {"noise_scaling": "mine"}, "noise_scaling is 'mine'; it must be one of 'published', 'authors'"),
        ("soft_deep_r", {"l1": 0}, "l1 is 0; in soft Deep R it must be > 0"),
        ("soft_deep_r", {"noise": 0.0}, r"noise is 0\.0; in soft Deep R it must be > 0"),
        ("ba_deep_r", {"deletion": "magnitude"}, "deletion is 'magnitude'; it must be one of 'sign_crossing', 'abs_delta'"),
        ("ba_deep_r", {"attractiveness": -1}, "attractiveness is -1"),
        ("ba_deep_r", {"updating": "parallel"}, "updating is 'parallel'"),
        ("ba_deep_r", {"side": "hidden"}, "side is 'hidden'"),
        ("ba_deep_r", {"fraction": 1}, "fraction is 1"),
        ("deep_r_s1", {"fraction": 0}, "fraction is 0"),
    ],
)
def test_arguments_out_of_range(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        REWIRERS[name](**arguments)
