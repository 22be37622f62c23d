"""Does a degree sequence look like a power law? The exact discrete fit; its bootstrap p-value is in `bootstrap.py`,
ratios against alternatives are in `tails.py`.

Convention. The fit is compiled here and is that of igraph's `power_law_fit`, which the tests compare it with: exact
discrete maximum likelihood for alpha, with xmin chosen to minimise the Kolmogorov-Smirnov distance D between the
empirical and the fitted distribution of the tail. Three things follow igraph and are not the only choice. (1) **D is
evaluated only at values that occur in the data**, so it can be a little smaller than the exact supremum where the data
have gaps; compare it only with values of D from the same code. (2) xmin is any distinct value but the two largest, and
the second largest too where the third largest occurs more than once. (3) Below 50 positive degrees, alpha is corrected
for bias: alpha (n - 1) / n + 1 / n with n points in the tail.
alpha, xmin and D agree with igraph 1.0 to 1e-6 on tails of moderate exponent. On the steep tails of random layers (alpha
of 20 and more), igraph stops its search early, by up to some per cent in alpha; the likelihood here is then the larger.
igraph's bootstrap p-value is never used: it comes from a generator that nobody here seeds.
"""

from dataclasses import dataclass

import numpy as np

from analysis.graph.arrays import FloatArray, LongArray, checked_degrees
from analysis.tails.zeta import best_tail, log_zeta_derivatives

MIN_POINTS = 10
"""Fewer positive degrees than this are not fitted."""

SMALL_SAMPLE = 50
"""Below this many positive degrees, alpha is corrected for bias, as igraph does."""


@dataclass(frozen=True)
class PowerLawFit:
    """A fitted tail p(x) = x^-alpha / zeta(alpha, xmin) for whole x >= xmin.

    Attributes:
        alpha: exponent, above 1; not bounded from above.
        xmin: where the tail begins.
        distance: Kolmogorov-Smirnov distance D of the tail, in [0, 1], by igraph's convention.
        n_tail: number of degrees that are at least xmin.
    """

    alpha: float
    xmin: int
    distance: float
    n_tail: int

    @property
    def standard_error(self) -> float:
        """Of alpha at this xmin: 1 / sqrt(n_tail (log zeta(alpha, xmin))''), from the Fisher information; above 0.

        Clauset, Shalizi and Newman (2009), eq. 3.6. It does not include the choice of xmin.
        """
        return float(1.0 / np.sqrt(self.n_tail * log_zeta_derivatives(self.alpha, float(self.xmin))[1]))


@dataclass(frozen=True)
class NoFit:
    """A fit that is not defined.

    Attributes:
        reason: why not.
    """

    reason: str


def fit_power_law(degrees: LongArray) -> PowerLawFit | NoFit:
    """Fit a discrete power law to the positive degrees.

    Clauset, Shalizi and Newman (2009), "Power-law distributions in empirical data", SIAM Review 51, 661-703, eq. 3.5
    and section 3.3; see the module for the conventions.

    Args:
        degrees: integers of at least 0, int64 of shape [n]; zeros are left out, as the distribution has no mass there.

    Returns:
        The fit, or `NoFit` where there are fewer than 10 positive degrees, or fewer than 2 distinct ones. Cost O(n log n)
        and about 0.2 ms for 40 distinct degrees, growing with their square.

    Raises:
        AnalysisError: an entry is not an integer of at least 0; floats are taken where they are whole.
    """
    checked = checked_degrees(degrees)
    positive = checked[checked > 0]
    if positive.size < MIN_POINTS:
        return NoFit(f"there are {positive.size} positive degrees and a fit needs at least {MIN_POINTS}")
    if positive.min() == positive.max():
        return NoFit(f"all positive degrees are {positive[0]} and a fit needs at least 2 distinct values")
    return fit_distinct(*np.unique(positive.astype(np.float64), return_counts=True))


def fit_distinct(values: FloatArray, counts: LongArray) -> PowerLawFit:
    """Fit a discrete power law to whole numbers that are given by their counts.

    Args:
        values: the distinct values, at least 2, whole, at least 1 and rising, float64 of shape [n].
        counts: how often each occurs, at least 1, int64 of shape [n].

    Returns:
        The fit. Cost O(n^2).
    """
    alpha, first, distance = best_tail(values, counts)
    n_tail = int(counts[first:].sum())
    if counts.sum() < SMALL_SAMPLE:
        alpha = alpha * (n_tail - 1) / n_tail + 1.0 / n_tail
    return PowerLawFit(alpha, int(values[first]), distance, n_tail)
