"""Barabasi-Albert: the compiled generator against a slow plain-Python one of the same law, and heavier tails than chance.

The comparisons are chi-square tests of two samples with fixed seeds, each with a false-alarm rate of 1e-4.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from netsci_nn import TopologyError
from netsci_nn.generators import barabasi_albert, erdos_renyi

ALARM = 1e-4


def slow_reference(n_in: int, n_out: int, n_edges: int, a: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The law of the docstring, edge by edge; returns the degrees of sources and of targets."""
    n = n_in + n_out
    adjacency, degree = np.zeros((n, n), dtype=bool), np.zeros(n)
    share = np.full(n, n_edges // n)
    share[rng.choice(n, size=n_edges % n, replace=False)] += 1

    def choose(weight: np.ndarray, allowed: np.ndarray) -> int:
        weight = np.where(allowed, weight, 0.0)
        if weight.sum() == 0:
            weight = allowed.astype(float)
        return int(rng.choice(len(weight), p=weight / weight.sum()))

    arrived: list[int] = []
    for newcomer in rng.permutation(n):
        others = np.zeros(n, dtype=bool)
        others[[node for node in arrived if (node < n_in) != (newcomer < n_in)]] = True
        for _ in range(min(share[newcomer], others.sum())):
            pick = choose(degree + a, others & ~adjacency[newcomer])
            adjacency[newcomer, pick] = adjacency[pick, newcomer] = True
            degree[pick] += 1
            degree[newcomer] += 1
        arrived.append(int(newcomer))
    while degree.sum() < 2 * n_edges:
        weight = np.outer(degree[:n_in] + a, degree[n_in:] + a)
        source, target = divmod(choose(weight.ravel(), ~adjacency[:n_in, n_in:].ravel()), n_out)
        adjacency[source, n_in + target] = adjacency[n_in + target, source] = True
        degree[[source, n_in + target]] += 1
    return degree[:n_in].astype(int), degree[n_in:].astype(int)


def two_sample_pvalue(first: list[int], second: list[int]) -> float:
    """Chi-square of two equally large samples, rare values pooled into bins of at least 20."""
    top = max(max(first), max(second)) + 1
    table = np.array([np.bincount(first, minlength=top), np.bincount(second, minlength=top)])
    bins, column = [], np.zeros(2, dtype=int)
    for value in range(top):
        column = column + table[:, value]
        if column.sum() >= 40:
            bins.append(column)
            column = np.zeros(2, dtype=int)
    bins[-1] = bins[-1] + column
    assert len(bins) > 1
    return float(stats.chi2_contingency(np.array(bins).T).pvalue)


STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], int]] = {
    "largest source degree": lambda sources, targets: int(sources.max()),
    "largest target degree": lambda sources, targets: int(targets.max()),
    "sum of squared source degrees": lambda sources, targets: int((sources**2).sum()),
    "sum of squared target degrees": lambda sources, targets: int((targets**2).sum()),
    "degree of source 0": lambda sources, targets: int(sources[0]),
    "isolated nodes": lambda sources, targets: int((sources == 0).sum() + (targets == 0).sum()),
}


@pytest.mark.parametrize(("n_in", "n_out", "n_edges", "a"), [(8, 6, 20, 0.0), (9, 5, 20, 1.0), (5, 9, 13, 0.3)])
def test_degrees_follow_the_slow_reference(n_in: int, n_out: int, n_edges: int, a: float) -> None:
    n_draws, rng = 1200, np.random.default_rng(7)
    slow = [slow_reference(n_in, n_out, n_edges, a, rng) for _ in range(n_draws)]
    fast = []
    for seed in range(n_draws):
        topology = barabasi_albert(n_in, n_out, n_edges=n_edges, attractiveness=a, rng=seed)
        fast.append((topology.out_degrees, topology.in_degrees))
    pvalues = {
        name: two_sample_pvalue([measure(*d) for d in slow], [measure(*d) for d in fast])
        for name, measure in STATISTICS.items()
    }
    assert min(pvalues.values()) > ALARM, pvalues


def test_the_comparison_sees_another_attractiveness() -> None:
    """The reference test has power: the same sample size tells a = 0 from a = 1."""
    squares = [
        [
            int((barabasi_albert(8, 6, n_edges=20, attractiveness=a, rng=seed).out_degrees ** 2).sum())
            for seed in range(1000 * int(a), 1000 * int(a) + 1000)
        ]
        for a in (0.0, 1.0)
    ]
    assert two_sample_pvalue(*squares) < ALARM


def spread(degrees: np.ndarray) -> float:
    return float(degrees.std() / degrees.mean())


def test_tails_are_heavier_than_erdos_renyi_on_both_sides() -> None:
    # Over 5 seeds the smallest ratio of coefficients of variation is required, so that one lucky seed cannot pass.
    for seed in range(5):
        ba = barabasi_albert(1000, 600, n_edges=4000, rng=seed)
        er = erdos_renyi(1000, 600, n_edges=4000, rng=seed)
        for side in ("out_degrees", "in_degrees"):
            assert spread(getattr(ba, side)) > 1.5 * spread(getattr(er, side))
            assert getattr(ba, side).max() > 2 * getattr(er, side).max()


def test_attractiveness_weakens_the_preference() -> None:
    spreads = [
        np.mean([spread(barabasi_albert(500, 500, n_edges=3000, attractiveness=a, rng=seed).out_degrees) for seed in range(5)])
        for a in (0, 3, 30, 1e6)
    ]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] > 1.5 * spreads[-1]


def test_every_newcomer_brings_its_share() -> None:
    """Where nearly all have somebody to link to, nearly no degree is below the share of 3000 / 1000 = 3."""
    topology = barabasi_albert(500, 500, n_edges=3000, rng=0)
    degrees = np.concatenate([topology.out_degrees, topology.in_degrees])
    assert (degrees < 3).mean() < 0.02
    assert np.bincount(degrees).argmax() == 3


@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (1, 50), (50, 1), (2, 30)])
@pytest.mark.parametrize("a", [0, 0.5, 100.0])
def test_every_budget_of_a_thin_layer_is_met(n_in: int, n_out: int, a: float) -> None:
    for n_edges in range(n_in * n_out + 1):
        assert barabasi_albert(n_in, n_out, n_edges=n_edges, attractiveness=a, rng=n_edges).n_edges == n_edges


@pytest.mark.parametrize("attractiveness", [-0.1, float("nan"), float("inf"), True, "1", [1]], ids=repr)
def test_bad_attractiveness(attractiveness: Any) -> None:
    with pytest.raises(TopologyError, match=r"attractiveness is .*; it must be a number >= 0"):
        barabasi_albert(5, 5, n_edges=5, attractiveness=attractiveness, rng=0)


@pytest.mark.parametrize("attractiveness", [1e-12, 1e300])
@pytest.mark.parametrize("mode", ["growth", "urn"])
@pytest.mark.parametrize("sides", ["both", "source", "target"])
def test_extreme_attractiveness_in_nearly_full_layers(attractiveness: float, mode: str, sides: str) -> None:
    topology = barabasi_albert(60, 45, n_edges=2698, attractiveness=attractiveness, mode=mode, sides=sides, rng=0)
    assert topology.n_edges == 2698
    assert sides != "source" or np.ptp(topology.in_degrees) <= 1
    assert sides != "target" or np.ptp(topology.out_degrees) <= 1


def test_the_urn_needs_attractiveness() -> None:
    assert barabasi_albert(5, 5, n_edges=5, mode="urn", rng=0).n_edges == 5
    with pytest.raises(TopologyError, match="attractiveness is 0; with mode='urn' it must be a number > 0"):
        barabasi_albert(5, 5, n_edges=5, mode="urn", attractiveness=0, rng=0)
