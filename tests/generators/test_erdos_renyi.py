"""Erdos-Renyi G(n_in, n_out, m): exact distributions. Each chi-square test has a fixed seed and a false-alarm rate of 1e-4."""

import itertools

import numpy as np
from scipy import stats

from netsci_nn.generators import erdos_renyi

ALARM = 1e-4


def test_all_graphs_of_3_x_3_with_4_edges_are_equally_likely() -> None:
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(itertools.combinations(range(9), 4), 0)
    for _ in range(12_600):
        counts[tuple(erdos_renyi(3, 3, n_edges=4, rng=rng).keys().tolist())] += 1
    assert len(counts) == 126
    assert stats.chisquare(list(counts.values())).pvalue > ALARM


def test_all_sparse_graphs_are_equally_likely() -> None:
    """Two edges of 4 x 5: the sampler draws and rejects instead of listing the cells."""
    rng = np.random.default_rng(1)
    counts = dict.fromkeys(itertools.combinations(range(20), 2), 0)
    for _ in range(9_500):
        counts[tuple(erdos_renyi(4, 5, n_edges=2, rng=rng).keys().tolist())] += 1
    assert stats.chisquare(list(counts.values())).pvalue > ALARM


def test_degrees_of_one_source_and_one_target_are_hypergeometric() -> None:
    n_in, n_out, n_edges, n_draws = 12, 10, 36, 4000
    drawn = [erdos_renyi(n_in, n_out, n_edges=n_edges, rng=seed) for seed in range(n_draws)]
    for degrees, size in (([t.out_degrees[3] for t in drawn], n_out), ([t.in_degrees[7] for t in drawn], n_in)):
        law = stats.hypergeom(n_in * n_out, n_edges, size)
        observed = np.bincount(degrees, minlength=size + 1)
        expected = n_draws * law.pmf(np.arange(size + 1))
        common = expected >= 5
        observed = np.append(observed[common], observed[~common].sum())
        expected = np.append(expected[common], expected[~common].sum())
        assert stats.chisquare(observed, expected).pvalue > ALARM


def test_degrees_of_a_large_layer_have_the_hypergeometric_variance() -> None:
    # The sample variance of 784 nearly normal degrees has a standard error of var * sqrt(2 / 783), 5 %; 4 of them: 6e-5.
    degrees = erdos_renyi(784, 300, density=0.1, rng=0).out_degrees
    law = stats.hypergeom(784 * 300, 23_520, 300)
    assert degrees.mean() == law.mean()
    assert abs(degrees.var(ddof=1) / law.var() - 1) < 4 * np.sqrt(2 / 783)
