"""Input-weighted: degrees are the largest-remainder rounding of the weights, capped; only the targets are random."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from netsci_nn import TopologyError
from netsci_nn.generators import input_weighted


def test_degrees_correlate_with_the_weights_and_dark_inputs_get_none() -> None:
    rng = np.random.default_rng(0)
    weights = np.clip(rng.normal(0.1, 0.15, size=784), 0, None)
    topology = input_weighted(784, 300, weights=weights, density=0.1, rng=0)
    assert topology.n_edges == 23_520
    assert np.corrcoef(topology.out_degrees, weights)[0, 1] > 0.95
    assert (weights == 0).sum() > 100
    assert (topology.out_degrees[weights == 0] == 0).all()
    assert topology.out_degrees.max() <= 300


def test_transposition_is_impossible_to_miss() -> None:
    topology = input_weighted(3, 50, weights=[0, 0, 1], n_edges=20, rng=0)
    assert topology.out_degrees.tolist() == [0, 0, 20]


def test_smoothing_evens_out() -> None:
    weights = [0.0, 1.0, 3.0]
    degrees = [
        input_weighted(3, 100, weights=weights, n_edges=70, smoothing=s, rng=0).out_degrees.tolist() for s in (0, 1, 1e9)
    ]
    assert degrees[0] == [0, 18, 52] or degrees[0] == [0, 17, 53]  # quotas 17.5 and 52.5: a tie
    assert degrees[1] == [10, 20, 40]
    assert sorted(degrees[2]) == [23, 23, 24]


def test_targets_are_uniform() -> None:
    # Degrees are fixed, so a source of degree 2 among 6 targets is joined to each with probability 1/3. With fixed sizes
    # the statistic is the chi-square of 6 cells times (6 - 1) / (6 - 2); false-alarm rate 1e-4.
    n_draws = 3000
    chosen = np.zeros(6)
    for seed in range(n_draws):
        topology = input_weighted(2, 6, weights=[1, 2], n_edges=6, rng=seed)
        assert topology.out_degrees.tolist() == [2, 4]
        chosen[topology.dst[topology.src == 0]] += 1
    statistic = ((chosen - n_draws / 3) ** 2 / (n_draws / 3)).sum() * 5 / 4
    assert statistic < stats.chi2(5).isf(1e-4)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -0.5, 2], r"weights\[1\] is -0\.5; every weight must be finite and >= 0"),
        ([1, 2, float("nan")], r"weights\[2\] is nan; every weight must be finite and >= 0"),
        ([float("inf"), 2, 1], r"weights\[0\] is inf; every weight must be finite"),
        ([0, 0, 0], "weights are all zero; at least one must be positive"),
        ([1, 2], r"weights has shape \(2,\); it must be \[n_in\] = \[3\]"),
        ([[1, 2, 3]], r"weights has shape \(1, 3\)"),
        (1.0, r"weights has shape \(\)"),
        (["a", "b", "c"], "weights is .*; it must be an array of n_in = 3 numbers"),
        (None, "weights"),
    ],
)
@pytest.mark.parametrize("n_edges", [0, 4])
def test_bad_weights(weights: Any, message: str, n_edges: int) -> None:
    with pytest.raises(TopologyError, match=message):
        input_weighted(3, 5, weights=weights, n_edges=n_edges, rng=0)


def test_budget_beyond_the_sources_of_positive_weight() -> None:
    assert input_weighted(3, 5, weights=[0, 1, 1], n_edges=10, rng=0).n_edges == 10
    with pytest.raises(TopologyError, match="n_edges is 11; with 2 sources of positive weight it must be from 0 to 10"):
        input_weighted(3, 5, weights=[0, 1, 1], n_edges=11, rng=0)


@pytest.mark.parametrize("smoothing", [-1, float("nan"), float("inf"), "1", True], ids=repr)
def test_bad_smoothing(smoothing: Any) -> None:
    with pytest.raises(TopologyError, match=r"smoothing is .*; it must be a number >= 0"):
        input_weighted(3, 5, weights=[1, 1, 1], n_edges=3, smoothing=smoothing, rng=0)
