"""SET: the worked examples of the exact rule (both signs apart, zeros recycled), growth, the last step, bad input."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netsci_nn import BipartiteTopology, ConfigError, SparseLinear, TopologyError
from netsci_nn.rewiring import REWIRERS, EdgeDelta, SparseEvolution, apply_delta, edge_view
from netsci_nn.rewiring.sparse_evolution import dropped_by_sign


def layer_with(values: Any, n_in: int = 50, n_out: int = 40, seed: int = 0) -> SparseLinear:
    keys = np.random.default_rng(seed).choice(n_in * n_out, size=len(values), replace=False).astype(np.int64)
    layer = SparseLinear(BipartiteTopology.from_keys(keys, n_in, n_out), dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(np.array(values), dtype=torch.float64))
    return layer


def dropped_values(values: Any, fraction: float = 0.3) -> list[float]:
    values = np.random.default_rng(0).permutation(np.array(values, dtype=float))
    positions = dropped_by_sign(values, fraction)
    assert (np.diff(positions) > 0).all()
    return sorted(values[positions].tolist())


@pytest.mark.parametrize("small_side", ["positive", "negative"])
def test_100_positive_and_20_negative_weights_lose_each_their_share(small_side: str) -> None:
    """31 and 6, not the 36 smallest in magnitude; 31 and 7 where the value nearest zero is negative."""
    scale = 1.0 if small_side == "positive" else 100.0
    positive, negative = scale * np.arange(1, 101), -50.5 - np.arange(20)
    if small_side == "negative":
        negative = -0.5 - np.arange(20)
    dropped = dropped_values([*positive, *negative])
    n_positive, n_negative = (31, 6) if small_side == "positive" else (31, 7)
    by_sign = sorted(negative, reverse=True)[:n_negative] + sorted(positive)[:n_positive]
    assert dropped == sorted(by_sign)
    by_magnitude = sorted([*positive, *negative], key=abs)[: len(dropped)]
    assert dropped != sorted(by_magnitude)


def test_exact_zeros_are_dropped_besides() -> None:
    positive, negative, zeros = np.arange(1, 496), -np.arange(1, 506), np.zeros(50)
    dropped = dropped_values([*positive, *negative, *zeros])
    assert dropped == sorted([*range(1, 150), *(-value for value in range(1, 153)), *zeros])
    assert len(dropped) == 149 + 152 + 50


@pytest.mark.parametrize("sign", [1, -1])
def test_one_signed_layers_work(sign: int) -> None:
    assert sorted(map(abs, dropped_values(sign * np.arange(1, 101)))) == list(range(1, 32))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([3.0], [3.0]),
        ([-3.0], [-3.0]),
        ([0.0] * 5, [0.0] * 5),
        ([2.0] * 5, [2.0] * 5),  # ties: all as near to zero as the nearest
        ([-1.0, 1.0], [-1.0, 1.0]),  # ties of both signs
        # v = -3 -2 -1 | 1 ... 4: i0 = 2, j0 = 4: thresholds v[int(0.7 * 2)] = -2 and v[int(4 + 0.3 * 3)] = 2.
        ([-3, -2, -1, 1, 2, 3, 4], [-2, -1, 1, 2]),
        # A threshold that is repeated takes all its repetitions along.
        ([1, 2, 2, 2, 2, 5, 6, 7, 8, 9], [1, 2, 2, 2, 2]),
    ],
)
def test_ties_and_tiny_layers_by_hand(values: list[float], expected: list[float]) -> None:
    assert dropped_values(values) == expected


@given(
    st.lists(st.floats(-10, 10).filter(lambda value: value != 0), min_size=1, max_size=60, unique_by=abs),
    st.floats(0.01, 0.99),
)
def test_each_sign_loses_its_fraction_from_the_middle(values: list[float], fraction: float) -> None:
    dropped = dropped_values(values, fraction)
    for sign in (-1, 1):
        magnitudes = sorted(abs(value) for value in values if value * sign > 0)
        lost = sorted(abs(value) for value in dropped if value * sign > 0)
        assert lost == magnitudes[: len(lost)]
        assert fraction * len(magnitudes) - 1 <= len(lost) <= fraction * len(magnitudes) + 2
    assert min(values, key=abs) in dropped


def test_as_many_grown_as_dropped_on_free_pairs_and_the_layer_is_untouched() -> None:
    layer = layer_with(np.random.default_rng(0).normal(size=200))
    before, topology = layer.weight.detach().clone(), layer.topology
    delta = SparseEvolution(0.3).propose(layer, rng=0)
    assert isinstance(delta, EdgeDelta)
    assert torch.equal(layer.weight, before)
    assert layer.topology == topology
    assert len(delta.grown_src) == len(delta.dropped) == len(dropped_by_sign(before.numpy(), 0.3)) > 55
    remaining = set(map(tuple, np.delete(topology.to_edges(), delta.dropped, axis=0).tolist()))
    grown = set(zip(delta.grown_src.tolist(), delta.grown_dst.tolist(), strict=True))
    assert len(grown) == len(delta.dropped)
    assert not grown & remaining
    assert delta.grown_values.tolist() == [0.0] * len(grown)


@pytest.mark.parametrize("n_edges", [0, 1, 100, 1999, 2000], ids=str)
def test_the_number_of_edges_is_constant(n_edges: int) -> None:
    layer, rng = layer_with(np.random.default_rng(1).normal(size=n_edges)), np.random.default_rng(0)
    optimizer, rewirer = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9), SparseEvolution(0.3)
    for _ in range(10):
        optimizer.zero_grad()
        layer(torch.randn(3, 50, dtype=torch.float64)).square().sum().backward()
        optimizer.step()
        delta = rewirer.propose(layer, rng=rng)
        apply_delta(layer, delta, optimizer)
        assert layer.n_edges == n_edges
        assert len(np.unique(layer.topology.keys())) == n_edges
        assert layer.weight[layer.birth == layer.topology_version].tolist() == [0.0] * len(delta.dropped)


def test_the_last_step_only_removes() -> None:
    layer = layer_with(np.arange(1, 101))
    delta = SparseEvolution(0.3).propose(edge_view(layer, step=10, is_last=True), rng=0)
    assert len(delta.dropped) == 31
    assert len(delta.grown_src) == len(delta.grown_dst) == len(delta.grown_values) == 0
    apply_delta(layer, delta)
    assert layer.weight.tolist() == list(range(32, 101))
    again = SparseEvolution(0.3).propose(edge_view(layer, step=10, is_last=False), rng=0)
    assert len(again.grown_src) == len(again.dropped) > 0


def test_grown_edges_are_uniform_over_the_free_cells() -> None:
    # 8 = int(1 + 0.33 * 19) + 1 of 20 edges of a 6 x 5 layer go, so 8 of 18 free cells are drawn, just dropped ones
    # included. The counts are negatively correlated: the statistic is 17 / (18 - 8) of the plain one. Fixed seeds,
    # false-alarm rate 1e-4.
    layer = layer_with(np.arange(1, 21), 6, 5)
    n_draws, counts = 2000, np.zeros(30)
    for seed in range(n_draws):
        delta = SparseEvolution(0.33).propose(layer, rng=seed)
        assert len(delta.dropped) == 8
        counts[delta.grown_dst * 6 + delta.grown_src] += 1
    free = np.ones(30, dtype=bool)
    free[np.delete(layer.topology.keys(), delta.dropped)] = False
    assert counts[~free].sum() == 0
    expected = n_draws * 8 / 18
    assert ((counts[free] - expected) ** 2 / expected).sum() * 17 / 10 < stats.chi2(17).isf(1e-4)


def test_same_seed_same_delta() -> None:
    layer = layer_with(np.random.default_rng(0).normal(size=300))
    deltas = [SparseEvolution(0.3, initial_value=0.1).propose(layer, rng=rng) for rng in (5, np.random.default_rng(5), 6)]
    same = [np.array_equal(getattr(deltas[0], name), getattr(deltas[1], name)) for name in vars(deltas[0])]
    assert all(same)
    assert not np.array_equal(deltas[0].grown_src, deltas[2].grown_src)


def test_initial_value_is_a_standard_deviation() -> None:
    # 1000 normal variates: the standard error of their spread is 2.2 %; 4 of them, a false-alarm rate of 6e-5.
    layer = layer_with(np.arange(1, 1001))
    values = SparseEvolution(0.999, initial_value=0.1).propose(layer, rng=0).grown_values
    assert len(values) > 990
    assert abs(values.std() / 0.1 - 1) < 4 / np.sqrt(2 * len(values))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_an_error(value: float) -> None:
    layer = layer_with([1.0, value, 2.0])
    with pytest.raises(TopologyError, match=rf"the weight of edge 1 is {value}; SET needs finite weights"):
        SparseEvolution().propose(layer, rng=0)


@pytest.mark.parametrize("fraction", [0, 1, -0.3, 1.5, float("nan"), True, "0.3", None], ids=repr)
def test_fraction_outside_its_range(fraction: Any) -> None:
    with pytest.raises(ConfigError, match=r"fraction is .*; it must be a number in \(0, 1\)"):
        SparseEvolution(fraction)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), True, "0"], ids=repr)
def test_initial_value_outside_its_range(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"initial_value is .*; it must be a number from 0 to 1e\+30"):
        SparseEvolution(initial_value=value)


def test_bad_rng_and_unknown_rewirer() -> None:
    with pytest.raises(ConfigError, match="rng is None"):
        SparseEvolution().propose(layer_with([1.0]), rng=None)
    assert REWIRERS["set"] is SparseEvolution
    with pytest.raises(ConfigError, match=r"unknown rewiring rule 'sett' .*; allowed are: ba_deep_r, "):
        REWIRERS["sett"]


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).standard_normal(300_001).astype(np.float32),
        np.random.default_rng(1).integers(-3, 4, 250_000).astype(np.float64),  # a value fills a quarter
        np.tile([1e-3, 5.0, -7.0], 100_000),
        np.where(np.arange(400_000) % (400_000 // 10_000) == 0, 50.0, np.random.default_rng(2).standard_normal(400_000)),
        -np.arange(1.0, 300_000.0),
    ],
    ids=["normal", "ties", "three values", "a sample that misleads", "one sign"],
)
@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.99])
def test_thresholds_among_many_weights_are_those_of_the_sorted_order(values: Any, fraction: float) -> None:
    ordered = np.sort(values)
    nearest = np.abs(values).min()
    first, end = int((ordered < -nearest).sum()), len(values) - int((ordered > nearest).sum())
    low = ordered[int((1 - fraction) * first)]
    high = ordered[min(len(values) - 1, int(end + fraction * (len(values) - end)))]
    expected = np.flatnonzero((values >= low) & (values <= high))
    np.testing.assert_array_equal(dropped_by_sign(values, fraction), expected)
