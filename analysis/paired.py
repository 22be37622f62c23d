"""Pairs of a network and its control, seed by seed: the mean difference, its interval, and a test that is exact."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from analysis.graph.arrays import FloatArray
from analysis.report import NullComparison

RESAMPLES = 9999
EXACT_FLIPS = 16
"""Up to this many pairs every assignment of signs is counted; above it, `RESAMPLES` random ones are."""


@dataclass(frozen=True)
class PairedTest:
    """Paired differences between the networks and their controls, seed by seed.

    Attributes:
        pairs: number n of seeds with both values.
        mean_difference: of network - control.
        p: two-sided sign-flip permutation p-value, in [`smallest_p`, 1]; all flips are counted up to 16 seeds.
        smallest_p: the smallest p that n pairs can give: 2 / 2^n (1 for a single pair), so with 5 seeds 2 / 32 = 0.0625 and
            nothing is significant at 0.05 there; at least 1 / 10,000, as more than 16 seeds have random flips.
    """

    pairs: int
    mean_difference: float
    p: float
    smallest_p: float


def sign_flip_p(differences: FloatArray, signs: FloatArray) -> float:
    """Two-sided sign-flip permutation p-value of the mean of paired differences.

    Under the hypothesis that network and control are exchangeable within each pair, every assignment of signs is equally
    likely. Fisher (1935), "The Design of Experiments", section 21.

    Args:
        differences: shape [n].
        signs: assignments of +1 and -1, the identity among them, shape [n_assignments, n].

    Returns:
        Share of the assignments whose |sum| is at least the observed one, in (0, 1]; sums that differ by less than 1e-12 of
        the largest possible one count as equal.
    """
    sums = np.abs(signs @ differences)
    return float(np.mean(sums >= abs(differences.sum()) - 1e-12 * np.abs(differences).sum()))


def all_signs(n: int, rng: np.random.Generator) -> FloatArray:
    """Assignments of signs to n pairs, the identity first.

    Args:
        n: number of pairs.
        rng: draws them above `EXACT_FLIPS` pairs.

    Returns:
        +1 and -1, float64 of shape [2^n or 1 + `RESAMPLES`, n].
    """
    if n <= EXACT_FLIPS:
        return np.array(list(product((1.0, -1.0), repeat=n)))
    return np.concatenate([np.ones((1, n)), rng.choice([-1.0, 1.0], size=(RESAMPLES, n))])


def bootstrap_interval(known: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a mean.

    Args:
        known: the values, shape [n], n at least 2.
        rng: draws `RESAMPLES` samples.

    Returns:
        Its ends. Efron and Tibshirani (1993), "An introduction to the bootstrap", chapter 13.
    """
    means = known[rng.integers(0, known.size, size=(RESAMPLES, known.size))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def paired_test(differences: FloatArray, tested: FloatArray, flips: FloatArray) -> PairedTest | None:
    """The mean of paired differences, and a sign-flip test.

    Args:
        differences: network - control, shape [n], nan where one is missing.
        tested: what is symmetric about 0 under the hypothesis: the differences themselves, or ranks; likewise.
        flips: as `all_signs` gives them for n pairs.

    Returns:
        The test; None where no pair is complete.
    """
    is_known = ~np.isnan(differences) & ~np.isnan(tested)
    n = int(np.count_nonzero(is_known))
    if n == 0:
        return None
    # Of the assignments for all seeds, the first columns run through those of fewer seeds equally often.
    p = sign_flip_p(tested[is_known], flips[:, :n])
    smallest = min(1.0, 2.0 / 2.0**n)
    return PairedTest(n, float(differences[is_known].mean()), p, max(smallest, 1.0 / len(flips)) if n > 1 else 1.0)


def rank_among_replicates(comparison: NullComparison) -> float | None:
    """Where a network lies among its replicates.

    Args:
        comparison: of one of its quantities with a null model.

    Returns:
        p_less - p_greater: from -1 (below all) to 1 (above all), ties in the middle; symmetric about 0 where the network is
        a draw from the null model. None where there is no p.
    """
    if comparison.p_less is None or comparison.p_greater is None:
        return None
    return comparison.p_less - comparison.p_greater
