"""Laws of a tail of degrees with one parameter, each fitted by its exact discrete likelihood.

Every law is truncated to whole x >= xmin and normalised there; the binomial also ends at n_opposite, the number of neurons
that a degree can reach at most. Tails have at least 2 distinct values. The laws with two parameters, and the list of all,
are in `two_parameter_laws`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy

from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, LongArray
from analysis.tails.zeta import most_likely_exponent, scaled_zeta

LogPmf = Callable[[FloatArray], FloatArray]

MOST_VALUES = 2**16  # of which probabilities are added up; among more, each stands for some neighbours too, to 4 digits


@dataclass(frozen=True, eq=False)
class Tail:
    """The degrees of at least xmin, by their counts.

    Attributes:
        values: the distinct degrees, rising, float64 of shape [n].
        counts: how often each occurs, int64 of shape [n].
        xmin: where the tail begins, at least 1.
        n_opposite: largest possible degree, or None if there is none.

    Raises:
        AnalysisError: no value or a value out of range.
    """

    values: FloatArray
    counts: LongArray
    xmin: int
    n_opposite: int | None = None

    def __post_init__(self) -> None:
        if self.values.size == 0 or self.xmin < 1 or self.values[0] < self.xmin:
            raise AnalysisError(f"tail has {self.values.size} values; at least one and none below xmin = {self.xmin} is needed")
        if self.n_opposite is not None and self.values[-1] > self.n_opposite:
            raise AnalysisError(f"n_opposite is {self.n_opposite}; the largest degree is {self.values[-1]:.0f}")

    def mean(self, values: FloatArray) -> float:
        """Mean over the points of something that is given at every distinct value."""
        return float((values * self.counts).sum() / self.counts.sum())


@dataclass(frozen=True, eq=False)
class FittedLaw:
    """A law at its maximum-likelihood parameters.

    Attributes:
        parameters: by name.
        log_pmf: log-probability of whole numbers x >= xmin (and x <= n_opposite for the binomial), float64 of the same
            shape; the probabilities add up to 1.
    """

    parameters: Mapping[str, float]
    log_pmf: LogPmf


def tail_of(degrees: LongArray | FloatArray, xmin: int, n_opposite: int | None = None) -> Tail:
    """The degrees of at least xmin; an AnalysisError if there is none, or one is above n_opposite."""
    kept = np.asarray(degrees)[np.asarray(degrees) >= xmin].astype(np.float64)
    return Tail(*np.unique(kept, return_counts=True), xmin, n_opposite)


def power_law(tail: Tail) -> FittedLaw:
    """p(x) = x^-alpha / zeta(alpha, xmin), alpha > 1; parameter `alpha`."""
    alpha = float(most_likely_exponent(tail.mean(np.log(tail.values / tail.xmin)), float(tail.xmin)))
    return FittedLaw({"alpha": alpha}, power_law_log_pmf(alpha, tail.xmin))


def power_law_log_pmf(alpha: float, xmin: int) -> LogPmf:
    """log p(x) of the power law; scaled by xmin^alpha inside, so that steep tails do not underflow."""
    log_normaliser = np.log(scaled_zeta(alpha, float(xmin)))
    return lambda x: -alpha * np.log(x / xmin) - log_normaliser


def exponential(tail: Tail) -> FittedLaw:
    """p(x) = (1 - exp(-rate)) exp(-rate (x - xmin)), rate > 0: the geometric law; rate = log(1 + 1 / mean(x - xmin))."""
    rate = float(np.log1p(1.0 / tail.mean(tail.values - tail.xmin)))
    log_start = np.log(-np.expm1(-rate))
    return FittedLaw({"rate": rate}, lambda x: log_start - rate * (x - tail.xmin))


def poisson(tail: Tail) -> FittedLaw:
    """p(x) proportional to mean^x / x!; parameter `mean`, above 0, that of the law before it is truncated."""
    tilt, log_pmf = _fit_tilted(tail, lambda x: -scipy.special.gammaln(x + 1.0), lambda x: -np.log(x + 1.0), np.inf)
    return FittedLaw({"mean": float(np.exp(tilt))}, log_pmf)


def binomial(tail: Tail) -> FittedLaw:
    """p(x) proportional to C(n, x) q^x (1 - q)^(n - x) for x <= n = n_opposite, 0 < q < 1: degrees of a random layer.

    Parameter `probability`. An AnalysisError if the tail has no n_opposite.
    """
    if tail.n_opposite is None:
        raise AnalysisError("n_opposite is None; a binomial tail needs the largest possible degree")
    n = float(tail.n_opposite)
    tilt, log_pmf = _fit_tilted(
        tail, lambda x: -scipy.special.betaln(x + 1.0, n - x + 1.0), lambda x: np.log(n - x) - np.log(x + 1.0), n
    )
    return FittedLaw({"probability": float(scipy.special.expit(tilt))}, log_pmf)


def _fit_tilted(tail: Tail, log_base: LogPmf, log_step: LogPmf, largest: float) -> tuple[float, LogPmf]:
    """Fit p(x) proportional to exp(tilt x + log_base(x)), log_base concave, on xmin <= x <= largest.

    The likelihood is concave in the tilt and at its maximum the law's mean is the tail's, which lies strictly inside
    the support, so the maximum exists. log_step(x), for x < largest, is log_base(x + 1) - log_base(x), also where x is so large
    that a difference would be rounding errors.
    """
    observed, first = tail.mean(tail.values), float(tail.xmin)

    def law(tilt: float) -> tuple[float, FloatArray, FloatArray, float]:
        """The most probable x; where there is mass; log-probabilities there, less that of this x; the log of their sum."""

        def rise(x: FloatArray) -> FloatArray:
            return tilt + log_step(x)

        top = _turning_point(rise, first, largest)
        width = 64.0
        while True:
            stride = float(max(1, int(width / MOST_VALUES)))
            up = np.arange(top, min(top + width, largest), stride)
            down = np.arange(top - stride, max(top - width, first - 0.5), -stride)
            middle = (stride - 1.0) / 2.0  # of a stride
            above, below = np.cumsum(stride * rise(up + middle)), np.cumsum(-stride * rise(down + middle))
            # Concave: what is far below the top is followed by nothing of weight.
            if (top + width >= largest or above[-1] < -45.0) and (top - width < first or below[-1] < -45.0):
                x, logs = np.concatenate([down[::-1], [top], up + stride]), np.concatenate([below[::-1], [0.0], above])
                return top, x, logs, float(scipy.special.logsumexp(logs) + np.log(stride))
            width *= 2.0

    def excess(tilt: float) -> float:
        top, x, logs, _ = law(tilt)
        shares = np.exp(logs - scipy.special.logsumexp(logs))
        return float(((x - top) * shares).sum() + (top - observed))

    low, high = _bracket(excess, -float(log_step(np.array([observed]))[0]))
    tilt = float(scipy.optimize.brentq(excess, low, high, xtol=1e-13))
    top, _, _, total = law(tilt)
    origin = log_base(np.array([top]))[0]
    return tilt, lambda x: tilt * (x - top) + (log_base(x) - origin) - total


def _turning_point(rise: LogPmf, first: float, largest: float) -> float:
    """The smallest whole number >= first at which rise, a falling function, is not above 0; largest if none is below it."""

    def is_rising(x: float) -> bool:
        return x < largest and float(rise(np.array([x]))[0]) > 0.0

    low, high = first, first
    while is_rising(high):
        low, high = high, min(2.0 * high + 1.0, largest)
    while high - low > 1.0 and low + 1.0 != low:
        middle = low + np.floor((high - low) / 2.0)
        low, high = (middle, high) if is_rising(middle) else (low, middle)
    return high


def _bracket(excess: Callable[[float], float], guess: float) -> tuple[float, float]:
    """An interval around the root of a rising function."""
    low = high = guess
    step = 0.25
    while excess(low) > 0.0:
        high, low, step = low, low - step, 2.0 * step
    step = 0.25
    while excess(high) < 0.0:
        low, high, step = high, high + step, 2.0 * step
    return low, high
