"""The exact discrete power-law fit of a degree sequence.

Conventions, which are igraph's and not the only choice. (1) The Kolmogorov-Smirnov distance D between the empirical and the
fitted distribution of the tail is **evaluated only at values that occur in the data**, so it can be a little smaller than
the exact supremum if the data have gaps; compare it only with values of D from the same code. (2) xmin is any distinct value
but the two largest, and the second largest too if the third largest occurs more than once. (3) Below 50 positive degrees,
alpha is corrected for bias: alpha (n - 1) / n + 1 / n with n points in the tail.

alpha, xmin and D agree with igraph 1.0 to 1e-6 on tails of moderate exponent. On the steep tails of random layers (alpha of
20 and more), igraph stops its search early, by up to some per cent in alpha; the likelihood here is then the larger.
"""

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analysis.base.errors import AnalysisError
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
        degrees: the positive degrees that were fitted, float64 of shape [n]; None in a fit that was put together by hand.
            They take no part in comparisons.
    """

    alpha: float
    xmin: int
    distance: float
    n_tail: int
    degrees: FloatArray | None = field(default=None, repr=False, compare=False)

    @property
    def standard_error(self) -> float:
        """Of alpha at this xmin: 1 / sqrt(n_tail (log zeta(alpha, xmin))''), from the Fisher information; above 0.

        Clauset, Shalizi and Newman (2009), eq. 3.6. It does not include the choice of xmin.
        """
        return float(1.0 / np.sqrt(self.n_tail * log_zeta_derivatives(self.alpha, float(self.xmin))[1]))

    def to_powerlaw(self) -> Any:
        """The fit as a `powerlaw.Fit` of the same degrees, with this xmin and alpha and as a discrete law.

        For those who know the package: `fit.to_powerlaw().plot_ccdf()`, `.power_law.plot_ccdf()`,
        `.distribution_compare("power_law", "exponential")`. Three things to know about `powerlaw` 2.0. It computes
        1 - (1 - zeta(alpha, xmin)), so likelihoods and D of its power law lose digits as zeta(alpha, xmin) falls, and are
        nan or infinite below 1e-16: that is so for the steep tails of random layers (alpha = 12 from xmin = 30 on). Its
        `standard_err` is that of a continuous law. The alternatives are fitted by the package when they are asked for; its
        searches may end below the maximum (the log-normal), and for alpha they get a wider range than its default, which
        ends at 3. `analysis.tail_evidence` has none of these limits.

        Returns:
            The `powerlaw.Fit`; its `power_law` is not fitted again.

        Raises:
            AnalysisError: the fit holds no degrees.

        >>> fit = fit_power_law([1] * 60 + [2] * 20 + [3] * 9 + [4] * 5 + [5] * 3 + [8, 13])
        >>> theirs = fit.to_powerlaw()
        >>> theirs.power_law.alpha == fit.alpha, theirs.xmin == fit.xmin
        (True, True)
        """
        if self.degrees is None:
            raise AnalysisError("degrees is None in this fit; to_powerlaw needs a fit that fit_power_law has returned")
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            import powerlaw

            ranges = {"alpha": (1.0, 10.0 + 2.0 * self.alpha)}
            settings: dict[str, Any] = {"discrete": True, "estimate_discrete": False, "parameter_ranges": ranges, "verbose": 0}
            fit = powerlaw.Fit(self.degrees, xmin=self.xmin, **settings)
            # A law that is made without data keeps its parameters; then it gets the data as the package's own fit would.
            law = powerlaw.Power_Law(xmin=fit.xmin, parameters=[self.alpha], **settings)
            law.data, law.original_data, law.n, law.parent_Fit = fit.data, fit.data, len(fit.data), fit
            law.compute_distance_metrics()
            fit.power_law = law
        return fit


@dataclass(frozen=True)
class NoFit:
    """Why there is no fit."""

    reason: str


def fit_power_law(degrees: LongArray) -> PowerLawFit | NoFit:
    """Fit a discrete power law to the positive degrees.

    Clauset, Shalizi and Newman (2009), "Power-law distributions in empirical data", SIAM Review 51, 661-703, eq. 3.5
    and section 3.3; see the module for the conventions.

    Args:
        degrees: integers of at least 0, int64 of shape [n]; zeros are left out, as the distribution has no mass there.

    Returns:
        The fit, or `NoFit` if there are fewer than 10 positive degrees, or fewer than 2 distinct ones. Cost O(n log n)
        and about 0.2 ms for 40 distinct degrees, growing with their square.

    Raises:
        AnalysisError: an entry is not an integer of at least 0; floats are taken if they are whole.

    >>> fit_power_law([1] * 60 + [2] * 20 + [3] * 9 + [4] * 5 + [5] * 3 + [8, 13])
    PowerLawFit(alpha=3.306..., xmin=3, distance=0.0556..., n_tail=19)
    >>> fit_power_law([3, 3, 3])
    NoFit(reason='there are 3 positive degrees and a fit needs at least 10')
    """
    checked = checked_degrees(degrees)
    positive = checked[checked > 0]
    if positive.size < MIN_POINTS:
        return NoFit(f"there are {positive.size} positive degrees and a fit needs at least {MIN_POINTS}")
    if positive.min() == positive.max():
        return NoFit(f"all positive degrees are {positive[0]} and a fit needs at least 2 distinct values")
    positive = positive.astype(np.float64)
    positive.flags.writeable = False
    return replace(fit_distinct(*np.unique(positive, return_counts=True)), degrees=positive)


def fit_distinct(values: FloatArray, counts: LongArray) -> PowerLawFit:
    """Fit a discrete power law to at least 2 distinct whole numbers of at least 1, rising, given with their counts."""
    alpha, first, distance = best_tail(values, counts)
    n_tail = int(counts[first:].sum())
    if counts.sum() < SMALL_SAMPLE:
        alpha = alpha * (n_tail - 1) / n_tail + 1.0 / n_tail
    return PowerLawFit(alpha, int(values[first]), distance, n_tail)
