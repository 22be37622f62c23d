"""`SparseMLP` and `dense_mlp`: exact budgets, seeds, and what their arguments may be."""

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from netsci_nn import ConfigError, SparseLinear, SparseMLP, TopologyError, dense_mlp, generators
from netsci_nn.models import sparse_layers

LENET = [784, 300, 100, 10]


def make_model(**arguments: Any) -> SparseMLP:
    return SparseMLP(**{"layer_sizes": [20, 15, 10, 5], "density": 0.3, "rng": 0, **arguments})


def test_lenet_300_100_has_the_exact_counts() -> None:
    model = SparseMLP(LENET, density=[0.1, 0.1, 0.25], generator="erdos_renyi", rng=0)
    assert [layer.n_edges for layer in model.layers] == [23_520, 3_000, 250]
    assert sum(p.numel() for p in model.parameters()) == 26_770 + 410


@pytest.mark.parametrize("generator", ["erdos_renyi", "barabasi_albert", "small_world"])
def test_same_seed_same_edges_and_weights(generator: str) -> None:
    first, same, rng, other = (make_model(generator=generator, rng=rng) for rng in (3, 3, np.random.default_rng(3), 4))
    for twin in (same, rng):
        assert [layer.topology for layer in first.layers] == [layer.topology for layer in twin.layers]
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), twin.parameters(), strict=True))
    assert all(a.topology != b.topology for a, b in zip(first.layers, other.layers, strict=True))
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)


def test_layers_of_one_shape_differ() -> None:
    model = SparseMLP([20, 20, 20], density=0.3, rng=0)
    assert model.layers[0].topology != model.layers[1].topology
    assert not torch.equal(model.layers[0].weight, model.layers[1].weight)


@pytest.mark.parametrize("build", [make_model, lambda: dense_mlp([5, 4, 3], rng=0)], ids=["sparse", "dense"])
def test_torchs_global_generator_is_untouched(build: Any) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    build()
    assert torch.equal(torch.get_rng_state(), before)


def test_output_is_contiguous_and_can_be_viewed(backend: str) -> None:
    model = make_model(backend=backend)
    for shape in ((7, 20), (2, 3, 20), (20,), (0, 20)):
        output = model(torch.randn(shape))
        assert output.shape == (*shape[:-1], 5)
        assert output.is_contiguous()
        assert output.view(-1).shape == (output.numel(),)


def test_equals_the_stack_of_dense_layers(backend: str) -> None:
    model = make_model(backend=backend, activation="tanh")
    dense = nn.Sequential(*[m for layer in model.layers for m in (layer.to_dense(), nn.Tanh())][:-1])
    x = torch.randn(9, 20)
    torch.testing.assert_close(model(x), dense(x), rtol=1e-5, atol=1e-5)


def test_generators_and_densities_per_layer() -> None:
    bound = partial(generators.input_weighted, weights=[1.0] + [0.0] * 19)
    model = make_model(generator=[bound, "small_world", generators.erdos_renyi], density=[0.05, 0.5, 1.0])
    assert [layer.n_edges for layer in model.layers] == [15, 75, 50]
    assert model.layers[0].topology.out_degrees.tolist() == [15] + [0] * 19
    assert np.ptp(model.layers[1].topology.out_degrees) <= 1


def test_options_reach_the_layers() -> None:
    model = make_model(bias=False, backend="dense", activation="gelu")
    assert [(layer.bias, layer.backend) for layer in sparse_layers(model)] == [(None, "dense")] * 3
    assert isinstance(model.activation, nn.GELU)


def test_deepcopy_and_state_dict() -> None:
    model, x = make_model(), torch.randn(4, 20)
    twin = copy.deepcopy(model)
    assert torch.equal(twin(x), model(x))
    other = make_model(density=0.7, rng=9)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))
    assert [layer.topology for layer in other.layers] == [layer.topology for layer in model.layers]


def test_dense_mlp_has_the_layers_and_the_seed() -> None:
    model, same, other = (dense_mlp([200, 100, 10], rng=rng) for rng in (0, 0, 1))
    assert [type(module) for module in model] == [nn.Linear, nn.ReLU, nn.Linear]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert not torch.equal(model[0].weight, other[0].weight)
    # 20,000 normal variates: a standard error of 0.5 % of the spread; 4 of them, a false-alarm rate of 6e-5.
    assert abs(model[0].weight.std().item() / (2 / 200) ** 0.5 - 1) < 0.02
    assert model[0].bias.abs().max() == 0
    assert dense_mlp([5, 3], bias=False, rng=0)[0].bias is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer_sizes": [20]}, ConfigError, r"layer_sizes is \[20\]; it must have at least an input and an output size"),
        ({"layer_sizes": [20, 0, 5]}, TopologyError, r"layer_sizes\[1\] is 0; it must be an integer from 1"),
        ({"layer_sizes": [20, 2.5]}, TopologyError, r"layer_sizes\[1\] is 2\.5"),
        ({"density": 0}, TopologyError, r"density is 0; it must be a number in \(0, 1\]"),
        ({"density": [0.1, 0.1, 1.5]}, TopologyError, r"density\[2\] is 1\.5; it must be"),
        (
            {"density": [0.1, 0.1]},
            ConfigError,
            r"density is \[0\.1, 0\.1\]; it must be one value or one for each of the 3 layers",
        ),
        ({"generator": ["erdos_renyi"]}, ConfigError, r"generator is \['erdos_renyi'\]; it must be one value or one for each"),
        ({"generator": "nope"}, ConfigError, "unknown generator 'nope'; allowed are: "),
        ({"activation": "rleu"}, ConfigError, r"unknown activation 'rleu' \(did you mean 'relu'\?\); allowed are: "),
        ({"backend": "nope"}, ConfigError, "unknown backend 'nope'; allowed are: "),
        ({"rng": None}, ConfigError, "rng is None; it must be an integer seed"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_model(**arguments)


def test_rng_is_required() -> None:
    with pytest.raises(TypeError, match="rng"):
        SparseMLP([3, 2], density=0.5)
    assert isinstance(make_model().layers[0], SparseLinear)
