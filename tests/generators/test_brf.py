"""Bipartite receptive field: the exact weights of single draws and of pairs, the nearest targets at r = 0, uniform at r = 1.

The chi-square tests have fixed seeds and a false-alarm rate of 1e-4 each.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from netsci_nn import BipartiteTopology, TopologyError
from netsci_nn.generators.brf import brf, draw_targets
from netsci_nn.generators.bsw import bsw

ALARM = 1e-4

shapes = st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(
    lambda shape: st.tuples(*map(st.just, shape), st.integers(0, shape[0] * shape[1]))
)
randomness = st.one_of(st.floats(0, 1), st.sampled_from([0, 5e-324, 1e-300, 1e-16, 1e-9, 0.01, 1 - 1e-9, 1]))


def ring_distances(source: np.ndarray, target: np.ndarray, n_in: int, n_out: int) -> np.ndarray:
    """The formula, in float64."""
    apart = np.abs(target - source * n_out / n_in)
    return np.minimum(apart, n_out - apart)


def edge_distances(topology: BipartiteTopology) -> np.ndarray:
    return ring_distances(topology.src, topology.dst, topology.n_in, topology.n_out)


def weights(source: np.ndarray | int, n_in: int, n_out: int, r: float) -> np.ndarray:
    """Probabilities of the first draw, `[..., n_out]`."""
    distances = ring_distances(np.asarray(source)[..., None], np.arange(n_out), n_in, n_out)
    weight = (1 + distances) ** (-(1 - r) / r)
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def chi_square_pvalue(observed: np.ndarray, expected: np.ndarray) -> float:
    """Cells of fewer than 10 expected are one cell, together with the smallest of the others."""
    order = np.argsort(expected)[::-1]
    n_cells = int((expected >= 10).sum())
    assert n_cells > 1
    group = np.minimum(np.arange(len(order)), n_cells - 1)
    observed, expected = np.bincount(group, observed[order]), np.bincount(group, expected[order])
    return float(stats.chi2(n_cells - 1).sf(((observed - expected) ** 2 / expected).sum()))


@settings(max_examples=200)
@given(shapes, randomness, st.sampled_from(["fixed", "uniform"]), st.integers(0, 2**32))
def test_exact_budget_unique_in_range_and_reproducible(shape: tuple[int, int, int], r: float, degrees: str, seed: int) -> None:
    n_in, n_out, n_edges = shape
    topology = brf(n_in, n_out, n_edges=n_edges, randomness=r, degrees=degrees, rng=seed)
    assert (topology.n_in, topology.n_out, topology.n_edges) == shape
    assert (np.diff(topology.keys()) > 0).all()
    assert brf(n_in, n_out, n_edges=n_edges, randomness=r, degrees=degrees, rng=seed) == topology
    if degrees == "fixed":
        assert np.ptp(topology.out_degrees) <= 1


@given(shapes, st.sampled_from(["fixed", "uniform"]), st.sampled_from([0, 5e-324, 1e-20, 1e-6]))
def test_r_0_and_nearly_0_take_exactly_the_nearest_targets(shape: tuple[int, int, int], degrees: str, r: float) -> None:
    topology = brf(*shape[:2], n_edges=shape[2], randomness=r, degrees=degrees, rng=0)
    distances = edge_distances(topology)
    for source, degree in enumerate(topology.out_degrees):
        nearest = np.sort(ring_distances(np.array(source), np.arange(topology.n_out), *shape[:2]))[:degree]
        assert np.sort(distances[topology.src == source]) == pytest.approx(nearest)


@given(shapes)
def test_r_0_is_the_lattice_of_bsw(shape: tuple[int, int, int]) -> None:
    n_out, n_in = sorted(shape[:2])
    lattice = bsw(n_in, n_out, n_edges=shape[2], rewiring_probability=0, rng=0)
    assert brf(n_in, n_out, n_edges=shape[2], randomness=0, rng=1) == lattice


def test_r_0_by_hand() -> None:
    # Source 1 sits at 1 * 3 / 2 = 1.5 between the targets 1 and 2: the following one comes first.
    assert brf(2, 3, n_edges=2, randomness=0, rng=0).to_edges().tolist() == [[0, 0], [1, 2]]
    assert brf(2, 3, n_edges=4, randomness=0, rng=0).to_edges().tolist() == [[0, 0], [0, 1], [1, 1], [1, 2]]


@pytest.mark.parametrize("r", [1e-300, 1e-12, 1e-3])
def test_equally_near_targets_have_equal_chances_however_small_r_is(r: float) -> None:
    # Each of 2000 sources takes its own target and one of the two beside it.
    topology = brf(2000, 2000, n_edges=4000, randomness=r, rng=0)
    n_following = int(((topology.dst - topology.src) % 2000 == 1).sum())
    assert n_following + int(((topology.src - topology.dst) % 2000 == 1).sum()) == 2000
    assert stats.binomtest(n_following, 2000).pvalue > ALARM


@pytest.mark.parametrize(("n_in", "n_out"), [(20_000, 9), (20_000, 41), (8000, 150)])
@pytest.mark.parametrize(("r", "other"), [(0.1, 0.2), (0.3, 0.2), (0.6, 0.5), (0.9, 0.7)])
def test_single_draws_have_the_exact_weights(n_in: int, n_out: int, r: float, other: float) -> None:
    """Targets by their place relative to the source, over all positions between two targets that sources have."""
    topology = brf(n_in, n_out, n_edges=n_in, randomness=r, rng=0)
    assert (topology.out_degrees == 1).all()
    source = np.arange(n_in)
    place = (np.arange(n_out) - (source * n_out // n_in)[:, None]) % n_out
    expected = np.bincount(place.ravel(), weights(source, n_in, n_out, r).ravel(), minlength=n_out)
    observed = np.bincount((topology.dst - topology.src * np.int64(n_out) // n_in) % n_out, minlength=n_out)
    assert chi_square_pvalue(observed, expected) > ALARM
    # The test has power: it tells another r apart.
    wrong = np.bincount(place.ravel(), weights(source, n_in, n_out, other).ravel(), minlength=n_out)
    assert chi_square_pvalue(observed, wrong) < ALARM


@pytest.mark.parametrize("horizon", [-np.inf, -1.0, 1.0, 4.0, np.inf])
@pytest.mark.parametrize(("n_out", "r"), [(6, 0.4), (7, 0.7), (40, 0.4)])
def test_pairs_are_two_draws_without_replacement(n_out: int, r: float, horizon: float) -> None:
    """However early the clocks' horizon is: with few rung by then the rest is drawn as well."""
    rng, n_draws = np.random.default_rng(0), 10_000
    exponent = (1 - r) / r
    n_rounds = n_draws // n_out
    drawn = np.zeros((n_out, n_out))
    counts, horizons = np.full(n_out, 2), np.full(n_out, horizon)
    for _ in range(n_rounds):
        keys = np.sort(draw_targets(counts, horizons, n_out, exponent, rng))
        target, source = np.divmod(keys, n_out)
        order = np.argsort(source, kind="stable")
        places = np.sort(((target - source) % n_out)[order].reshape(-1, 2), axis=1)
        np.add.at(drawn, (places[:, 0], places[:, 1]), 1)
    p = weights(0, n_out, n_out, r)
    pairs = list(combinations(range(n_out), 2))
    exact = np.array([p[i] * p[j] * (1 / (1 - p[i]) + 1 / (1 - p[j])) for i, j in pairs])
    assert exact.sum() == pytest.approx(1)
    assert chi_square_pvalue(np.array([drawn[pair] for pair in pairs]), exact * n_rounds * n_out) > ALARM


@pytest.mark.parametrize(("n_in", "n_out", "k"), [(5000, 12, 5), (4000, 100, 10)])
def test_r_1_is_uniform(n_in: int, n_out: int, k: int) -> None:
    # k of n_out targets, by their place relative to the source: chi-square for draws without replacement, (n_out - 1) /
    # (n_out - k) times the plain one.
    topology = brf(n_in, n_out, n_edges=k * n_in, randomness=1, rng=0)
    for place in (topology.dst, (topology.dst - topology.src * np.int64(n_out) // n_in) % n_out):
        observed, expected = np.bincount(place, minlength=n_out), n_in * k / n_out
        statistic = ((observed - expected) ** 2 / expected).sum() * (n_out - 1) / (n_out - k)
        assert statistic < stats.chi2(n_out - 1).isf(ALARM)


@pytest.mark.parametrize(("n_in", "n_out"), [(300, 300), (300, 100), (100, 300)])
def test_mean_distance_is_ordered_in_r(n_in: int, n_out: int) -> None:
    values = (0, 0.1, 0.2, 0.3, 0.5, 0.8, 1)
    means = [edge_distances(brf(n_in, n_out, density=0.1, randomness=r, rng=0)).mean() for r in values]
    assert means == sorted(means)
    assert means[0] == pytest.approx(0.1 * n_out / 4, rel=0.1)  # a window of w steps has the mean distance w / 4
    assert means[-1] == pytest.approx(n_out / 4, rel=0.03)


def test_uniform_degrees_reach_evenly_from_zero_to_twice_the_mean() -> None:
    n_in, n_out, mean = 2000, 1000, 100
    degrees = brf(n_in, n_out, n_edges=n_in * mean, degrees="uniform", rng=0).out_degrees
    # Kolmogorov-Smirnov against the uniform law; rounding to whole edges shifts it by 0.5 / 200 at most.
    assert stats.kstest(degrees / (2 * mean), "uniform").statistic < stats.kstwo(n_in).isf(ALARM) + 0.5 / 200
    assert stats.kstest(degrees / (2 * mean), "norm", (0.5, 0.29)).statistic > stats.kstwo(n_in).isf(ALARM)


def test_uniform_degrees_of_a_dense_layer_leave_evenly_many_out() -> None:
    degrees = brf(2000, 100, density=0.8, degrees="uniform", rng=0).out_degrees
    assert degrees.max() == 100
    assert abs(degrees.min() - 60) <= 2
    assert abs(degrees.std() - 40 / np.sqrt(12)) < 0.5


def test_in_degrees_of_r_1_are_binomial_and_of_small_r_narrower() -> None:
    variances = [brf(2000, 2000, n_edges=40_000, randomness=r, rng=0).in_degrees.var() for r in (0.05, 0.3, 1)]
    assert variances == sorted(variances)
    assert variances[-1] == pytest.approx(20 * 0.99, rel=0.15)


def test_sources_of_many_and_of_few_edges_share_a_layer() -> None:
    """Degrees from 0 to 600 of 1000: some sources read all clocks, others only the early ones."""
    topology = brf(300, 1000, density=0.3, randomness=0.2, degrees="uniform", rng=0)
    distances = edge_distances(topology)
    few, many = np.flatnonzero(topology.out_degrees < 100), np.flatnonzero(topology.out_degrees > 500)
    assert len(few) > 20
    assert len(many) > 20
    for source in (*few, *many):
        # Half of the k nearest targets at least are taken, as at r = 0.2 (exponent 4) they outweigh all others.
        k = topology.out_degrees[source]
        assert (distances[topology.src == source] <= k / 2 + 1).sum() >= k / 2


def test_a_million_edges_of_a_hundred_million_pairs() -> None:
    topology = brf(10_000, 10_000, n_edges=1_000_000, rng=0)
    assert topology.n_edges == 1_000_000
    assert (topology.out_degrees == 100).all()


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), True, "0.1", None], ids=repr)
def test_bad_randomness(value: Any) -> None:
    with pytest.raises(TopologyError, match=r"randomness is .*; it must be a number from 0 to 1"):
        brf(5, 5, n_edges=5, randomness=value, rng=0)


@pytest.mark.parametrize("degrees", ["even", "", None, 3, ["fixed"]], ids=repr)
def test_bad_degrees(degrees: Any) -> None:
    with pytest.raises(TopologyError, match=r"degrees is .*; it must be one of 'fixed', 'uniform'"):
        brf(5, 5, n_edges=5, degrees=degrees, rng=0)


@pytest.mark.parametrize("n_edges", [-1, 21, 2.5])
def test_budget_names_the_feasible_range(n_edges: Any) -> None:
    with pytest.raises(TopologyError, match=r"n_edges is .*; it must be an integer from 0 to n_in \* n_out = 20"):
        brf(4, 5, n_edges=n_edges, rng=0)
