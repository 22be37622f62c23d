"""GraNet by hand, in a loop of one's own, and bad arguments; beside dense masks it is in tests/reference."""

from typing import Any

import pytest
import torch
from torch import nn

import netsci_nn as ns
from netsci_nn.errors import ConfigError
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring import DenseGradient, EdgeView, GraNet, edge_view


def view(weights: list[float], gradient: list[float], **context: Any) -> EdgeView:
    """A layer of 4 sources and one target, whose first edges have these weights; the gradient per source."""
    layer = ns.SparseLinear(ns.BipartiteTopology(4, 1, list(range(len(weights))), [0] * len(weights)), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
    dense = DenseGradient(torch.tensor(gradient, dtype=torch.float32)[:, None], torch.ones(1, 1))
    return edge_view(layer, **{"dense_gradient": dense, "step": 10, "total_steps": 10, **context})


def test_one_ranking_of_all_layers() -> None:
    """Of 8 pairs 4 stay: 3 of the first layer and 1 of the second. Then ceil(0.3 * 3) and ceil(0.3 * 1) regenerate."""
    views = [view([5, 4, 3, 0.1], [0, 0, 1, 9]), view([2, 1, 0.5], [0, 0, 0, 7])]
    first, second = GraNet(end=0.5, start=0.5, fraction=0.3).propose_all(views, rng=0)
    assert first.dropped.tolist() == [2, 3]  # 3 was pruned, and grows anew; 2 is the weakest of those that stay
    assert (first.grown_src.tolist(), first.grown_values.tolist()) == ([3], [0])
    assert second.dropped.tolist() == [0, 1, 2]
    assert second.grown_src.tolist() == [3]


def test_an_edge_that_comes_back_at_once_has_never_gone() -> None:
    (delta,) = GraNet(end=0.75, start=0.75, fraction=0.3).propose_all([view([5, 4, 3], [0, 0, 9, 1])], rng=0)
    assert not delta.moves_edges


def test_after_the_last_step_nothing_regenerates() -> None:
    delta = GraNet(end=0.25).propose(view([5, 4, 3], [0, 0, 0, 1], is_last=True), rng=0)
    assert (delta.dropped.tolist(), delta.grown_src.tolist()) == ([1, 2], [])


def test_in_a_loop_of_ones_own_the_density_of_all_layers_falls() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 8))
    ns.sparsify(model, density=0.5, rng=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    driver = ns.Rewiring(model, optimizer, GraNet(end=0.1), every=2, until=20, rng=0)
    for _ in range(22):
        nn.functional.cross_entropy(model(torch.randn(8, 16)), torch.randint(8, (8,))).backward()
        driver.step()
        optimizer.step()
        optimizer.zero_grad()
    assert sum(layer.n_edges for layer in sparse_layers(model)) == 48
    assert driver.state_dict()["rule"] == "granet"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"end": 1.5}, r"end is 1\.5; it must be a number"),
        ({"start": -0.1}, r"start is -0\.1; it must be a number"),
        ({"fraction": 1.0}, r"fraction is 1\.0; it must be a number in \(0, 1\), or a schedule"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GraNet(**arguments)


def test_the_gradient_is_needed() -> None:
    with pytest.raises(ConfigError, match="dense_gradient is missing in the view of the edges; rewiring rule 'granet' needs"):
        GraNet().propose(view([1.0], [0, 0, 0, 0], dense_gradient=None), rng=0)
