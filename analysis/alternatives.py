"""What else a tail of degrees may follow: the laws with two parameters, and the list of all alternatives.

Each is truncated to whole x >= xmin, normalised there, and fitted by its exact discrete likelihood. The laws with one
parameter are in `laws.py`; `LAWS` names all of them.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy import optimize, special

from .graphs import FloatArray
from .laws import FittedLaw, LogPmf, Tail, binomial, exponential, poisson, power_law

_DIRECT_TERMS = 2000
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(200)

Point = tuple[float, float]


def lognormal(tail: Tail) -> FittedLaw:
    """p(x) proportional to P(x - 1/2 < Y < x + 1/2), log Y normal with mean mu and deviation sigma, sigma <= 50.

    The package `powerlaw` and the R package poweRlaw round in the same way. A wide log-normal with a very negative mu
    mimics a power law, and on data from one the likelihood has its supremum there, so sigma is bounded; read a ratio
    near 0 with a large p as "cannot be told apart".

    Args:
        tail: with at least 2 distinct values.

    Returns:
        The law, parameters `mu` and `sigma`.
    """
    centre = tail.mean(np.log(tail.values))
    spread = np.sqrt(tail.mean((np.log(tail.values) - centre) ** 2))
    alpha = power_law(tail).parameters["alpha"]

    # The search is easy in the slope and the curvature that log p has over log x at the centre of the data.
    def mu_and_sigma(point: FloatArray | Point) -> Point:
        sigma = float(np.exp(point[1]))
        return centre + (1.0 - float(point[0])) * sigma**2, sigma

    def law(point: FloatArray) -> LogPmf:
        return _lognormal_log_pmf(*mu_and_sigma(point), tail.xmin)

    starts = [(1.0, np.log(spread)), (alpha, np.log(3.0 * spread)), (alpha, np.log(20.0))]
    mu, sigma = mu_and_sigma(_search(tail, law, starts, [(-np.inf, np.inf), (np.log(1e-3), np.log(50.0))]))
    return FittedLaw({"mu": mu, "sigma": sigma}, _lognormal_log_pmf(mu, sigma, tail.xmin))


def _lognormal_log_pmf(mu: float, sigma: float, xmin: int) -> LogPmf:
    log_survival = special.log_ndtr(-(np.log(xmin - 0.5) - mu) / sigma)

    def log_pmf(x: FloatArray) -> FloatArray:
        low, high = (np.log(x - 0.5) - mu) / sigma, (np.log(x + 0.5) - mu) / sigma
        # Both ends are moved to the left tail, where a difference of probabilities keeps its digits.
        near, far = np.where(low > 0, -low, high), np.where(low > 0, -high, low)
        log_near = special.log_ndtr(near)
        gap = np.minimum(special.log_ndtr(far) - log_near, -1e-300)
        return np.asarray(log_near + np.log(-np.expm1(gap)) - log_survival)

    return log_pmf


def negative_binomial(tail: Tail) -> FittedLaw:
    """p(x) proportional to Gamma(x + r) / (Gamma(r) x!) q^x (1 - q)^r, 10^-6 <= r <= 10^5, 0 < q < 1.

    Contains the geometric law (r = 1) and, in the limit of large r, the Poisson law, which is what it becomes on tails that
    are less spread than that.

    Args:
        tail: with at least 2 distinct values.

    Returns:
        The law, parameters `r` and `q`; its likelihood is never below that of the geometric law.
    """

    def law(point: FloatArray) -> LogPmf:
        return _negative_binomial_log_pmf(float(np.exp(point[0])), float(point[1]), tail.xmin)

    mean, offset = tail.mean(tail.values), tail.mean(tail.values - tail.xmin)
    spread = tail.mean((tail.values - mean) ** 2)
    r = mean**2 / max(spread - mean, 1e-3 * mean)
    log_poisson = np.log(poisson(tail).parameters["mean"])
    starts = [
        (0.0, np.log(offset)),
        (np.log(r), np.log(mean / r)),
        (np.log(1e5), log_poisson - np.log(1e5)),
        (-4.0, np.log(mean)),
    ]
    log_r, logit = _search(tail, law, starts, [(np.log(1e-6), np.log(1e5)), (-60.0, 30.0)])
    parameters = {"r": float(np.exp(log_r)), "q": float(special.expit(logit))}
    return FittedLaw(parameters, law(np.array([log_r, logit])))


def _negative_binomial_log_pmf(r: float, logit: float, xmin: int) -> LogPmf:
    log_q, log_rest = -np.logaddexp(0.0, -logit), -np.logaddexp(0.0, logit)

    def log_weight(x: FloatArray) -> FloatArray:
        return np.asarray(-special.betaln(x, r) - np.log(x) + r * log_rest + x * log_q)

    survival = float(special.betainc(xmin, r, np.exp(log_q)))
    log_survival = np.log(survival) if survival > 1e-250 else _log_far_tail(log_weight, xmin)
    return lambda x: log_weight(x) - log_survival


def _log_far_tail(log_weight: LogPmf, xmin: int) -> float:
    """log of the sum of weights from xmin on. So far out each weight is well below the one before it, or they would not
    have fallen so low by xmin."""
    return float(special.logsumexp(log_weight(xmin + np.arange(200.0 + xmin))))


def truncated_power_law(tail: Tail) -> FittedLaw:
    """p(x) proportional to x^-a exp(-rate x), 0 <= a <= 200 and rate >= 0: the power law with a cutoff.

    Args:
        tail: with at least 2 distinct values.

    Returns:
        The law, parameters `alpha` and `rate`; its likelihood is never below that of the power law, which it contains.
        Cost about 30 ms.
    """
    mean_log, mean_offset = tail.mean(np.log(tail.values / tail.xmin)), tail.mean(tail.values - tail.xmin)
    plain = power_law(tail)

    def cost(point: FloatArray) -> float:
        alpha, rate = float(point[0]), float(np.exp(point[1]))
        return float(alpha * mean_log + rate * mean_offset + log_cutoff_sum(alpha, rate, tail.xmin))

    slope = plain.parameters["alpha"]
    starts = [(min(slope, 200.0), np.log(0.01 / mean_offset)), (1.0, np.log(1.0 / mean_offset))]
    alpha, log_rate = _lowest(cost, starts, [(0.0, 200.0), (-18.0, 5.0)])
    rate = float(np.exp(log_rate))
    log_normaliser = log_cutoff_sum(alpha, rate, tail.xmin)

    def log_pmf(x: FloatArray) -> FloatArray:
        return np.asarray(-alpha * np.log(x / tail.xmin) - rate * (x - tail.xmin) - log_normaliser)

    if tail.mean(log_pmf(tail.values)) < tail.mean(plain.log_pmf(tail.values)):
        return FittedLaw({"alpha": slope, "rate": 0.0}, plain.log_pmf)
    return FittedLaw({"alpha": alpha, "rate": rate}, log_pmf)


def log_cutoff_sum(alpha: float, rate: float, xmin: int) -> float:
    """log of the sum over x >= xmin of (x / xmin)^-alpha exp(-rate (x - xmin)).

    The first 2000 terms are added; the rest is an integral, by Gauss-Legendre quadrature in log x, with the first terms
    of the Euler-Maclaurin formula.

    Args:
        alpha: exponent, at least 0; above 1 where rate is 0.
        rate: of the cutoff, at least 0.
        xmin: first term, at least 1.

    Returns:
        The logarithm, to about 1e-9.
    """
    offsets = np.arange(_DIRECT_TERMS)
    direct = np.exp(-alpha * np.log1p(offsets / xmin) - rate * offsets).sum()
    start = xmin + _DIRECT_TERMS
    first = np.exp(-alpha * np.log(start / xmin) - rate * _DIRECT_TERMS)
    width = np.log1p(60.0 / (rate * start)) if rate > 0 else 60.0 / (alpha - 1.0)
    u = 0.5 * width * (_NODES + 1.0)
    integral = 0.5 * width * start * (_NODE_WEIGHTS * np.exp((1.0 - alpha) * u - rate * start * np.expm1(u))).sum()
    slope = alpha / start + rate
    return float(np.log(direct + first * (integral + 0.5 + slope / 12.0)))


def _search(tail: Tail, law: Callable[[FloatArray], LogPmf], starts: list[Point], bounds: list[Point]) -> Point:
    """The two parameters that maximise the likelihood."""

    def cost(point: FloatArray) -> float:
        value = -tail.mean(law(point)(tail.values))
        return value if np.isfinite(value) else 1e300

    return _lowest(cost, starts, bounds)


def _lowest(cost: Callable[[FloatArray], float], starts: list[Point], bounds: list[Point]) -> Point:
    """Where the cost is lowest, by the Nelder-Mead search from every start."""
    low, high = np.array(bounds).T
    best, lowest = starts[0], np.inf
    for start in starts:
        begin: FloatArray = np.clip(np.array(start), low, high)
        options = {"xatol": 1e-7, "fatol": 1e-12, "maxiter": 600, "maxfev": 600}
        result = optimize.minimize(cost, begin, method="Nelder-Mead", bounds=bounds, options=options)  # type: ignore[call-overload]
        if result.fun < lowest:
            best, lowest = (float(result.x[0]), float(result.x[1])), float(result.fun)
    return best


LAWS: Mapping[str, Callable[[Tail], FittedLaw]] = MappingProxyType(
    {
        "exponential": exponential,
        "lognormal": lognormal,
        "truncated_power_law": truncated_power_law,
        "binomial": binomial,
        "poisson": poisson,
        "negative_binomial": negative_binomial,
    }
)
"""The alternatives to the power law, in the order of reports."""
