"""Differences between two methods, paired by seed, with their t-interval."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import scipy

CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairedDifference:
    """A mean difference of a metric, paired by seed.

    Attributes:
        name: what it is the effect of.
        first: the method whose metric is taken.
        second: the method whose metric is subtracted.
        mean: over the seeds, in the unit of the metric; of the accuracy in shares of the test rows, -1 to 1.
        sd: standard deviation over the seeds (divisor n - 1); None for one seed.
        low: lower end of the 95 % interval of Student's t; None for one seed.
        high: its upper end.
        is_better_high: whether more of the metric is better.
    """

    name: str
    first: str
    second: str
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    is_better_high: bool = True

    @property
    def sentence(self) -> str:
        """What the interval says."""
        if self.low is None or self.high is None:
            reason = "one seed has no interval" if math.isfinite(self.mean) else "a score is not finite"
            return f"{self.name}: {reason}, so nothing can be said"
        if self.low > 0:
            return f"{self.name}: {'helps' if self.is_better_high else 'harms'}, since the interval lies above 0"
        if self.high < 0:
            return f"{self.name}: {'harms' if self.is_better_high else 'helps'}, since the interval lies below 0"
        return f"{self.name}: no effect is shown, since the interval holds 0"


def paired_difference(
    name: str,
    first: str,
    values: Sequence[float],
    second: str,
    others: Sequence[float],
    *,
    is_better_high: bool = True,
) -> PairedDifference:
    """Return the mean of values - others with its 95 % interval; differences that are all equal have an interval of length 0.

    Args:
        name: what the difference is the effect of.
        first: the method of `values`.
        values: its metric, one number per seed, at least one.
        second: the method of `others`.
        others: its metric for the same seeds in the same order.
        is_better_high: whether more of the metric is better.

    Returns:
        The difference; its mean is NaN where a score is not finite, as after training that has diverged.

    Example:
        >>> found = paired_difference("wiring", "own", [0.9, 0.8, 0.85], "random", [0.88, 0.79, 0.82])
        >>> f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
        '0.020 [-0.005, 0.045]'
    """
    differences = [value - other for value, other in zip(values, others, strict=True)]
    is_finite = all(map(math.isfinite, differences))
    mean = fmean(differences) if is_finite else math.nan
    if len(differences) == 1 or not is_finite:
        return PairedDifference(name, first, second, mean, None, None, None, is_better_high)
    with warnings.catch_warnings():
        # Differences that are equal but for rounding make scipy warn of the p-value, which nobody reads.
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
        low, high = scipy.stats.ttest_1samp(differences, 0).confidence_interval(CONFIDENCE)
    return PairedDifference(name, first, second, mean, stdev(differences), float(low), float(high), is_better_high)


def spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation (divisor n - 1) of the values of seeds; None for a single one, or if one is not finite."""
    return stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None
