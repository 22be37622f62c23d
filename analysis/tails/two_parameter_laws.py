"""The two-parameter laws of a tail, and the list of all alternatives.

Each is truncated to whole x >= xmin, normalised there, and fitted by its exact discrete likelihood. The laws with one
parameter are in `laws`; `LAWS` names all of them.
"""

import math
from collections.abc import Callable, Mapping
from operator import itemgetter
from types import MappingProxyType

import numpy as np
import scipy

from analysis.graph.arrays import FloatArray
from analysis.tails.laws import FittedLaw, LogPmf, Tail, binomial, exponential, poisson, power_law

_DIRECT_TERMS = 200
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(200)
_SMALLEST_BETA = 0.01

Point = tuple[float, float]


def lognormal(tail: Tail) -> FittedLaw:
    """p(x) proportional to P(x - 1/2 < Y < x + 1/2), log Y normal with mean mu and deviation sigma, sigma <= 50.

    The package `powerlaw` and the R package poweRlaw round in the same way. A wide log-normal with a very negative mu
    mimics a power law, and on data from one the likelihood has its supremum there, so sigma is bounded; read a ratio
    near 0 with a large p as "cannot be told apart".
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
    log_survival = scipy.special.log_ndtr(-(np.log(xmin - 0.5) - mu) / sigma)

    def log_pmf(x: FloatArray) -> FloatArray:
        low, high = (np.log(x - 0.5) - mu) / sigma, (np.log(x + 0.5) - mu) / sigma
        # Both ends are moved to the left tail, where a difference of probabilities keeps its digits.
        near, far = np.where(low > 0, -low, high), np.where(low > 0, -high, low)
        log_near = scipy.special.log_ndtr(near)
        gap = np.minimum(scipy.special.log_ndtr(far) - log_near, -1e-300)
        return np.asarray(log_near + np.log(-np.expm1(gap)) - log_survival)

    return log_pmf


def stretched_exponential(tail: Tail) -> FittedLaw:
    """p(x) = S(x) - S(x + 1) with S(x) = exp(-rate (x^beta - xmin^beta)), rate > 0 and 0.01 <= beta <= 1.

    The discrete Weibull law of Nakagawa and Osaki (1975), "The discrete Weibull distribution", IEEE Transactions on
    Reliability R-24, 300-301, on the tail. Clauset, Shalizi and Newman (2009), table 2.1, have its continuous form and no
    bound on beta; beta is at most 1 here, as in the code that Broido and Clauset (2019) published: above 1 the law is
    compressed, not stretched, and tails thinner than the exponential have their own laws in `LAWS`. As beta tends to 0 and
    rate beta to alpha - 1, S becomes that of a power law, and on data from one the likelihood has its supremum there; so beta
    is bounded from below too: at 0.01 the slope of log S over log x changes by less than a tenth in four decades. Read a
    ratio near 0 with a large p as "cannot be told apart".

    For each beta the likelihood has one maximum over the rate; over beta, that maximum is searched for by Brent's method. It is
    never below that of the exponential law, which it contains (beta = 1).
    """

    def cost(beta: float) -> float:
        return -tail.mean(_stretched_log_pmf(_likeliest_hazard(tail, beta), beta, tail.xmin)(tail.values))

    found = scipy.optimize.minimize_scalar(cost, bounds=(_SMALLEST_BETA, 1.0), method="bounded", options={"xatol": 1e-6})
    beta = min((_SMALLEST_BETA, float(found.x), 1.0), key=cost)
    hazard = _likeliest_hazard(tail, beta)
    return FittedLaw({"rate": hazard / (beta * tail.xmin**beta), "beta": beta}, _stretched_log_pmf(hazard, beta, tail.xmin))


def _stretched_log_pmf(hazard: float, beta: float, xmin: int) -> LogPmf:
    """With hazard = rate beta xmin^beta, S(x) = exp(-hazard grown(x)); as beta tends to 0, grown(x) does to log(x / xmin)."""

    def log_pmf(x: FloatArray) -> FloatArray:
        grown, step = _growth(x, beta, xmin)
        return np.asarray(np.log(-np.expm1(-hazard * step)) - hazard * grown)

    return log_pmf


def _growth(x: FloatArray, beta: float, xmin: int) -> tuple[FloatArray, FloatArray]:
    """((x / xmin)^beta - 1) / beta, and how much more it is at x + 1."""
    log = np.log1p((x - xmin) / xmin)
    return np.expm1(beta * log) / beta, np.exp(beta * log) * np.expm1(beta * np.log1p(1.0 / x)) / beta


def _likeliest_hazard(tail: Tail, beta: float) -> float:
    """The hazard that maximises the likelihood at this beta, where mean(step / (exp(hazard step) - 1)) = mean(grown).

    The left side falls with the hazard and with step, so that the smallest and the largest step bracket the root.
    """
    grown, step = _growth(tail.values, beta, tail.xmin)
    observed = tail.mean(grown)

    def excess(hazard: float) -> float:
        return tail.mean(step * np.exp(-hazard * step) / -np.expm1(-hazard * step)) - observed

    ends = np.array([step.min(), step.max()])
    high, low = np.log1p(ends / observed) / ends
    return float(scipy.optimize.brentq(excess, low * (1.0 - 1e-9), high * (1.0 + 1e-9), xtol=1e-13 * high))


def negative_binomial(tail: Tail) -> FittedLaw:
    """p(x) proportional to Gamma(x + r) / (Gamma(r) x!) q^x (1 - q)^r, 10^-6 <= r <= 10^5, 0 < q < 1.

    Contains the geometric law (r = 1), below which its likelihood never is, and, in the limit of large r, the Poisson law,
    which is what it becomes on tails that are less spread than that.
    """

    # For large r the data tell the mean, r q / (1 - q), and for small r only q; log(q / (1 - q)) + log(1 + r) suits both.
    def r_and_logit(point: FloatArray | Point) -> Point:
        r = float(np.exp(point[0]))
        return r, float(point[1]) - float(np.log1p(r))

    def law(point: FloatArray) -> LogPmf:
        return _negative_binomial_log_pmf(*r_and_logit(point), tail.xmin)

    mean, offset = tail.mean(tail.values), tail.mean(tail.values - tail.xmin)
    spread = tail.mean((tail.values - mean) ** 2)
    r = mean**2 / max(spread - mean, 1e-3 * mean)
    starts = [
        (0.0, np.log(2.0 * offset)),
        (np.log(r), np.log(mean * (1.0 + r) / r)),
        (np.log(1e5), np.log(poisson(tail).parameters["mean"])),
        (-4.0, np.log(mean)),
    ]
    r, logit = r_and_logit(_search(tail, law, starts, [(np.log(1e-6), np.log(1e5)), (-40.0, 40.0)]))
    parameters = {"r": r, "q": float(scipy.special.expit(logit))}
    return FittedLaw(parameters, _negative_binomial_log_pmf(r, logit, tail.xmin))


def _negative_binomial_log_pmf(r: float, logit: float, xmin: int) -> LogPmf:
    log_q, log_rest = -np.logaddexp(0.0, -logit), -np.logaddexp(0.0, logit)

    def log_weight(x: FloatArray) -> FloatArray:
        return np.asarray(-scipy.special.betaln(x, r) - np.log(x) + r * log_rest + x * log_q)

    survival = float(scipy.special.betainc(xmin, r, np.exp(log_q)))
    log_survival = np.log(survival) if survival > 1e-250 else _log_far_tail(log_weight, xmin)
    return lambda x: log_weight(x) - log_survival


def _log_far_tail(log_weight: LogPmf, xmin: int) -> float:
    """log of the sum of weights from xmin on. So far out each weight is well below the one before it, or they would not
    have fallen so low by xmin."""
    return float(scipy.special.logsumexp(log_weight(xmin + np.arange(200.0 + xmin))))


def truncated_power_law(tail: Tail) -> FittedLaw:
    """p(x) proportional to x^-alpha exp(-rate x), 0 <= alpha <= 200 and rate >= 0: the power law with a cutoff.

    Its likelihood is never below the power law's, which it contains.
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
    """log of the sum over x >= xmin of (x / xmin)^-alpha exp(-rate (x - xmin)), to about 1e-11.

    The first 200 terms are added; the rest is an integral, by Gauss-Legendre quadrature in log x, with the first terms
    of the Euler-Maclaurin formula. alpha is at least 0, above 1 if rate is 0.
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

    shares = tail.counts / tail.counts.sum()

    def cost(point: FloatArray) -> float:
        value = -float(law(point)(tail.values) @ shares)
        return value if math.isfinite(value) else 1e300

    return _lowest(cost, starts, bounds)


def _lowest(cost: Callable[[FloatArray], float], starts: list[Point], bounds: list[Point]) -> Point:
    """Where the cost is lowest: a coarse Nelder-Mead search from every start, and a fine one from where the best ended."""

    def descend(start: FloatArray, xatol: float, fatol: float) -> tuple[float, FloatArray]:
        options = {"xatol": xatol, "fatol": fatol, "maxiter": 600, "maxfev": 600}
        result = scipy.optimize.minimize(cost, start, method="Nelder-Mead", bounds=bounds, options=options)  # type: ignore[call-overload]
        return float(result.fun), result.x

    low, high = np.array(bounds).T
    coarse = min((descend(np.clip(start, low, high), 0.1, 1e-3) for start in starts), key=itemgetter(0))
    best = min(descend(coarse[1], 1e-5, 1e-12), coarse, key=itemgetter(0))[1]
    return float(best[0]), float(best[1])


LAWS: Mapping[str, Callable[[Tail], FittedLaw]] = MappingProxyType(
    {
        "exponential": exponential,
        "lognormal": lognormal,
        "stretched_exponential": stretched_exponential,
        "truncated_power_law": truncated_power_law,
        "binomial": binomial,
        "poisson": poisson,
        "negative_binomial": negative_binomial,
    }
)
"""The alternatives to the power law, in the order of reports."""
