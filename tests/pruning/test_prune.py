"""Pruning: exact budgets, the highest scores, ties in order; criteria of one's own; the schedule; every wrong argument."""

import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from netsci_nn.allocation import global_scores
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.generators import erdos_renyi
from netsci_nn.layers import SparseLinear
from netsci_nn.models import SparseMLP, dense_mlp
from netsci_nn.pruning import PRUNERS, linear_layers, magnitude, prune, restrict, round_densities
from netsci_nn.topology import BipartiteTopology

LENET = [784, 300, 100, 10]
LENET_DENSITY = [0.1, 0.1, 0.25]


def linear_with(weight: Any, **options: Any) -> nn.Linear:
    tensor = torch.as_tensor(weight, **options)
    linear = nn.Linear(tensor.shape[1], tensor.shape[0], dtype=tensor.dtype)
    with torch.no_grad():
        linear.weight.copy_(tensor)
    return linear


def small_model() -> nn.Sequential:
    return dense_mlp([6, 8, 7, 4], rng=0)


def fixed(*scores: Any) -> Any:
    return lambda model: [torch.as_tensor(score) for score in scores]


# By hand


def test_worked_example_of_two_targets_and_three_sources() -> None:
    """0.9 and 0.5 stay for sure; of the two weights of 0.3 the one of the first target does."""
    linear = linear_with([[0.5, -0.1, 0.3], [0.2, -0.9, 0.3]])
    (topology,) = prune(linear, density=0.5)
    assert (topology.n_in, topology.n_out) == (3, 2)
    assert topology.to_edges().tolist() == [[0, 0], [2, 0], [1, 1]]
    layer = restrict(linear, [topology])
    assert isinstance(layer, SparseLinear)
    assert layer.weight.tolist() == torch.tensor([0.5, 0.3, -0.9]).tolist()
    # From the three edges of that layer, two and then one.
    (two,) = prune(layer, density=1 / 3)
    assert two.to_edges().tolist() == [[0, 0], [1, 1]]
    (one,) = prune(restrict(layer, [two]), density=1 / 6)
    assert one.to_edges().tolist() == [[1, 1]]
    assert prune(linear, density=0.05)[0].n_edges == 0  # round(0.3)
    assert prune(linear, density=1)[0].n_edges == 6


def test_a_sparse_layer_orders_ties_by_target_and_source() -> None:
    topology = BipartiteTopology(4, 2, np.array([1, 3, 0, 2]), np.array([0, 0, 1, 1]))
    layer = SparseLinear(topology)
    nn.init.ones_(layer.weight)
    assert prune(layer, density=3 / 8)[0].to_edges().tolist() == [[1, 0], [3, 0], [0, 1]]


# Budgets and order


@pytest.mark.parametrize("criterion", ["magnitude", magnitude])
def test_lenet_has_its_budget_exactly(criterion: Any) -> None:
    model = dense_mlp(LENET, rng=0)
    topologies = prune(model, density=LENET_DENSITY, criterion=criterion)
    assert [topology.n_edges for topology in topologies] == [23_520, 3_000, 250]
    for layer, topology in zip(linear_layers(model).values(), topologies, strict=True):
        size, mask = layer.weight.detach().abs().numpy(), topology.to_mask()
        assert size[mask].min() >= size[~mask].max()


@pytest.mark.parametrize("density", [LENET_DENSITY, tuple(LENET_DENSITY), np.array(LENET_DENSITY)])
def test_densities_may_be_any_sequence(density: Any) -> None:
    assert [topology.n_edges for topology in prune(dense_mlp(LENET, rng=0), density=density)] == [23_520, 3_000, 250]


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    density=st.floats(1e-3, 1),
    levels=st.integers(1, 8),
    seed=st.integers(0, 1000),
)
def test_the_highest_scores_stay_and_ties_go_in_order(shape: tuple[int, int], density: float, levels: int, seed: int) -> None:
    """Scores of few levels, so that most thresholds are tied; the oracle is a stable sort."""
    scores = np.random.default_rng(seed).integers(levels, size=shape).astype(np.float32)
    model = nn.Linear(shape[1], shape[0])
    (topology,) = prune(model, density=density, criterion=fixed(scores))
    assert topology.n_edges == round(density * scores.size)
    assert topology == prune(model, density=density, criterion=fixed(scores))[0]
    mask = topology.to_mask()
    if mask.any() and not mask.all():
        assert scores[mask].min() >= scores[~mask].max()
    oracle = np.sort(np.argsort(-scores.ravel(), kind="stable")[: topology.n_edges])
    assert topology.keys().tolist() == oracle.tolist()


@given(n_edges=st.integers(0, 30), share=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_a_sparse_layer_keeps_its_highest_edges(n_edges: int, share: float, seed: int) -> None:
    layer = SparseLinear(erdos_renyi(6, 5, n_edges=n_edges, rng=seed))
    count = round(share * n_edges)
    scores = np.random.default_rng(seed).integers(4, size=n_edges)
    (topology,) = prune(layer, density=max(count, 0.1) / 30, criterion=fixed(scores))
    oracle = np.sort(np.argsort(-scores, kind="stable")[:count])
    assert topology.keys().tolist() == layer.topology.keys()[oracle].tolist()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_every_dtype(dtype: torch.dtype) -> None:
    linear = linear_with([[0.5, -0.125, 0.25], [0.0625, -1.0, 0.25]], dtype=dtype)
    (topology,) = prune(linear, density=0.5)
    assert topology.to_edges().tolist() == [[0, 0], [2, 0], [1, 1]]
    layer = restrict(linear, [topology])
    assert layer.weight.dtype == layer.bias.dtype == dtype
    assert layer.weight.tolist() == [0.5, 0.25, -1.0]


def test_infinite_and_whole_scores_are_scores() -> None:
    model = nn.Linear(3, 1)
    assert prune(model, density=1 / 3, criterion=fixed([[1.0, np.inf, 2.0]]))[0].src.tolist() == [1]
    assert prune(model, density=2 / 3, criterion=fixed([[-np.inf, 0.0, 0.0]]))[0].src.tolist() == [1, 2]
    large = 2**53  # its neighbour is the same float
    assert prune(model, density=1 / 3, criterion=fixed([[large, large + 1, large]]))[0].src.tolist() == [1]


# Criteria


def saliency(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """|w dL/dw| of a loss on x: needs data and gradients, changes neither the model nor its `.grad`."""
    weights = [layer.weight for layer in linear_layers(model).values()]
    gradients = torch.autograd.grad(model(x).square().sum(), weights)
    return [(weight * gradient).abs() for weight, gradient in zip(weights, gradients, strict=True)]


def test_a_criterion_of_ones_own_binds_data_and_may_use_gradients() -> None:
    model = dense_mlp([3, 5, 2], activation="tanh", rng=0)
    x = torch.zeros(4, 3)
    x[:, 1] = 1.0  # only edges from source 1 change the loss
    first, second = prune(model, density=[1 / 3, 0.5], criterion=partial(saliency, x=x))
    assert first.to_edges().tolist() == [[1, target] for target in range(5)]
    assert second.n_edges == 5
    assert all(parameter.grad is None for parameter in model.parameters())


def test_scores_of_all_layers_can_choose_the_densities() -> None:
    model = small_model()
    allocation = global_scores(magnitude(model), density=0.3)
    topologies = prune(model, density=allocation.densities)
    assert tuple(topology.n_edges for topology in topologies) == allocation.n_edges
    weights = [layer.weight.detach().abs().numpy() for layer in linear_layers(model).values()]
    kept = np.concatenate([weight[topology.to_mask()] for weight, topology in zip(weights, topologies, strict=True)])
    gone = np.concatenate([weight[~topology.to_mask()] for weight, topology in zip(weights, topologies, strict=True)])
    assert kept.min() >= gone.max()


def test_names_are_looked_up() -> None:
    assert PRUNERS["magnitude"] is magnitude
    with pytest.raises(
        ConfigError, match=r"unknown pruning criterion 'magnitud' \(did you mean 'magnitude'\?\); allowed are: "
    ):
        prune(small_model(), density=0.5, criterion="magnitud")


def test_a_name_whose_criterion_needs_data_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRUNERS._entries, "saliency", saliency)
    with pytest.raises(ConfigError, match="'saliency', which needs more than a model"):
        prune(small_model(), density=0.5, criterion="saliency")


def test_linear_layers_come_in_the_order_of_modules_and_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Conv2d(1, 1, 3), SparseLinear(erdos_renyi(3, 3, n_edges=4, rng=0)))
    model.append(model[0])
    assert list(linear_layers(model)) == ["0", "2"]
    assert list(linear_layers(model).values()) == [module for module in model.modules() if module in (model[0], model[2])]
    assert [score.shape for score in magnitude(model)] == [(3, 3), (4,)]


# Rounds


def test_schedule_takes_a_constant_share_of_what_is_left() -> None:
    schedule = round_densities(LENET_DENSITY, 4)
    assert schedule[-1] == LENET_DENSITY
    for final, densities in zip(LENET_DENSITY, zip(*schedule, strict=True), strict=True):
        assert densities == pytest.approx([final ** (done / 4) for done in (1, 2, 3, 4)])
        shares = [after / before for before, after in itertools.pairwise([1.0, *densities])]
        assert shares == pytest.approx([final**0.25] * 4)
    assert round_densities([0.8**3], 3) == [[pytest.approx(0.8)], [pytest.approx(0.64)], [0.8**3]]
    assert round_densities(0.3, 1) == [[0.3]]
    assert round_densities(np.array([1.0, 0.25]), 2) == [[1.0, 0.5], [1.0, 0.25]]


# What is not allowed


@pytest.mark.parametrize(
    ("density", "error", "message"),
    [
        (0.0, TopologyError, r"density is 0\.0; it must be a number in \(0, 1\]"),
        (1.5, TopologyError, r"density is 1\.5; it must be"),
        ("0.1", TopologyError, r"density is '0\.1'; it must be a number"),
        (None, TopologyError, "density is None; it must be"),
        (float("nan"), TopologyError, "density is nan"),
        ([0.1, True, 0.1], TopologyError, r"density\[1\] is True"),
        ([0.1, 0.2, -1], TopologyError, r"density\[2\] is -1"),
        ([0.1, 0.2], ConfigError, r"density is \[0\.1, 0\.2\]; it must be one value or one for each of the 3 linear layers"),
        ([], ConfigError, r"density is \[\]; it must be one value"),
    ],
)
def test_wrong_densities(density: Any, error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message):
        prune(small_model(), density=density)


@pytest.mark.parametrize(
    ("density", "error", "message"),
    [
        ([0.1, 2.0], TopologyError, r"density\[1\] is 2\.0; it must be a number in \(0, 1\]"),
        (0, TopologyError, "density is 0; it must be a number"),
        ("0.1", TopologyError, r"density is '0\.1'; it must be a number"),
        ([], ConfigError, r"density is \[\]; it must be one value or one for each layer"),
    ],
)
def test_wrong_densities_of_rounds(density: Any, error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message):
        round_densities(density, 3)


@pytest.mark.parametrize("rounds", [0, -1, 1.5, True, None])
def test_wrong_rounds(rounds: Any) -> None:
    with pytest.raises(TopologyError, match=r"rounds is .*; it must be an integer >= 1"):
        round_densities([0.1], rounds)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Conv2d(1, 1, 3), "model is a Conv2d without linear layers"),
        (nn.MultiheadAttention(4, 2), "model is a MultiheadAttention without linear layers"),
        ([nn.Linear(2, 2)], "model is a list; it must be a module"),
        (nn.Sequential(nn.LazyLinear(3)), "layer '0' has no weights before its first input"),
    ],
)
def test_models_without_weights_to_prune(model: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prune(model, density=0.5)
    with pytest.raises(ConfigError, match=message):
        restrict(model, [])


def test_a_sparse_layer_cannot_gain_edges() -> None:
    model = SparseMLP([6, 8, 4], density=[0.5, 0.25], rng=0)
    with pytest.raises(TopologyError, match=r"density is 0\.5 for layer 'layers\.1', which means 16 edges; the layer has 8"):
        prune(model, density=0.5)


@pytest.mark.parametrize(
    ("criterion", "error", "message"),
    [
        (3, ConfigError, "criterion is 3; it must be a name or a function"),
        (lambda model: None, ConfigError, "criterion gave a NoneType; it must give a list of a tensor for each of the 3"),
        (lambda model: magnitude(model)[:2], ConfigError, "criterion gave 2 scores"),
        (lambda model: [score.T for score in magnitude(model)], ConfigError, r"layer '0' torch\.float32 \[6, 8\].*\[8, 6\]"),
        (lambda model: [score.tolist() for score in magnitude(model)], ConfigError, "layer '0' a list"),
        (lambda model: [score * 1j for score in magnitude(model)], ConfigError, "layer '0' torch.complex64"),
    ],
)
def test_wrong_criteria(criterion: Any, error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message):
        prune(small_model(), density=0.5, criterion=criterion)


@pytest.mark.parametrize("density", [0.01, 0.5, 1.0])
def test_scores_that_are_no_numbers(density: float) -> None:
    model = small_model()
    with torch.no_grad():
        model[2].weight[1, 2] = torch.nan
    with pytest.raises(TopologyError, match=r"layer '2' the score nan at position 10; every score must be a number"):
        prune(model, density=density)
