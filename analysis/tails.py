"""Likelihood ratios of the fitted power law against other tails on the same xmin.

A positive ratio favours the power law, a negative one the alternative; p says whether the sign can be trusted (Vuong's
test), and for the truncated power law, which contains the power law, p is that of the chi-squared test with one degree
of freedom.

The exponential and the log-normal are fitted by the package `powerlaw`, rounded to whole numbers, and so is the ratio
computed. Two likelihoods are computed here instead. (1) The power law's: `powerlaw` 2.0 computes its normaliser as 1 -
(1 - zeta(alpha, xmin)), which is 0 in double precision as soon as zeta(alpha, xmin) < 1e-16, so that every ratio
becomes nan for the steep tails that random layers have; it also bounds alpha to at most 3 unless told otherwise. Here
it is taken at igraph's alpha, without a bound. (2) The truncated power law's: its bound on alpha is lifted likewise,
and a direct sum replaces an arbitrary-precision Lerch function that took seconds for ten points.

The log-normal's mu is unbounded, so it may drift to a very negative mu where it mimics a power law (ratio near 0, large
p); read such a result as "cannot be told apart".
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
from scipy import optimize, special

from .graphs import BipartiteGraph, FloatArray, LayeredGraph, LongArray
from .powerlaw import NoFit, PowerLawFit, fit_power_law
from .quantity import Quantities, Quantity, defined, undefined
from .registry import EVERYTHING, register_measure

ALTERNATIVES = ("exponential", "lognormal", "truncated_power_law")

_DIRECT_TERMS = 2000
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(200)
_log = logging.getLogger(__name__)


def power_law_log_likelihoods(tail: FloatArray, alpha: float, xmin: int) -> FloatArray:
    """Log-likelihood of every point under p(x) = x^-alpha / zeta(alpha, xmin).

    Args:
        tail: values of at least xmin, shape [n_tail].
        alpha: exponent, above 1.
        xmin: where the tail begins.

    Returns:
        Shape [n_tail]. The Hurwitz zeta function is scaled by xmin^alpha, so that steep tails do not underflow.
    """
    scaled = np.log(tail / xmin) * -alpha
    return scaled - np.log(_scaled_zeta(alpha, xmin))


def _scaled_zeta(alpha: float, xmin: int) -> float:
    """xmin^alpha * zeta(alpha, xmin) = sum over x >= xmin of (x / xmin)^-alpha."""
    log_scale = alpha * np.log(xmin)
    if log_scale < 600:
        return float(special.zeta(alpha, xmin) * np.exp(log_scale))
    return float(np.exp(_log_cutoff_sum(alpha, 0.0, xmin)))


def _log_cutoff_sum(alpha: float, rate: float, xmin: int) -> float:
    """log of the sum over x >= xmin of (x / xmin)^-alpha exp(-rate (x - xmin)).

    The first 2000 terms are added; the rest is an integral, by Gauss-Legendre quadrature in log x, with the first terms
    of the Euler-Maclaurin formula.
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


def fit_truncated_power_law(tail: FloatArray, fit: PowerLawFit) -> FloatArray:
    """Log-likelihoods under the best p(x) proportional to x^-a exp(-rate x), x >= xmin, with 0 <= a <= 200 and rate >=
    0.

    Args:
        tail: values of at least xmin, shape [n_tail].
        fit: the power law that it contains (rate 0), where the search starts.

    Returns:
        Shape [n_tail]; its sum is never below the power law's. Cost about 20 ms.
    """
    xmin, plain = fit.xmin, power_law_log_likelihoods(tail, fit.alpha, fit.xmin)
    mean_log, mean_offset = np.log(tail / xmin).mean(), (tail - xmin).mean()

    def cost(parameters: FloatArray) -> float:
        alpha, rate = float(parameters[0]), float(np.exp(parameters[1]))
        return float(alpha * mean_log + rate * mean_offset + _log_cutoff_sum(alpha, rate, xmin))

    bounds = [(0.0, 200.0), (-18.0, 5.0)]
    begins = [(min(fit.alpha, 200.0), np.log(0.01 / max(mean_offset, 0.1))), (1.0, np.log(1.0 / max(mean_offset, 0.1)))]
    results = [optimize.minimize(cost, begin, method="Nelder-Mead", bounds=bounds) for begin in begins]
    alpha, log_rate = min(results, key=lambda result: float(result.fun)).x
    rate = float(np.exp(log_rate))
    best = -alpha * np.log(tail / xmin) - rate * (tail - xmin) - _log_cutoff_sum(float(alpha), rate, xmin)
    return best if best.sum() > plain.sum() else plain


def likelihood_ratio(degrees: LongArray, fit: PowerLawFit, alternative: str) -> tuple[Quantity, Quantity]:
    """Ratio of the power law to one alternative, both on the tail that the power law's fit chose.

    Vuong (1989), Econometrica 57, 307-333; used as in Clauset, Shalizi and Newman (2009), section 5.

    Args:
        degrees: int64 of shape [n].
        fit: the power law fitted to them.
        alternative: one of `ALTERNATIVES`.

    Returns:
        (ratio, p). The ratio is sum(l_i) / (sd(l_i) sqrt(n)) of the log-likelihood differences l_i, except that of the
        truncated power law, which is the plain sum and at most 0. p is in [0, 1]. Not defined where the tail has one
        value or a fit fails.
    """
    tail = np.sort(np.asarray(degrees)[np.asarray(degrees) >= fit.xmin]).astype(np.float64)
    if tail.size == 0 or tail[0] == tail[-1]:
        return _twice(undefined("the tail has fewer than 2 distinct values"))
    plain = power_law_log_likelihoods(tail, fit.alpha, fit.xmin)
    nested = alternative == "truncated_power_law"
    try:
        with _quiet():
            import powerlaw  # late, because it is slow to import

            other = fit_truncated_power_law(tail, fit) if nested else _alternative(tail, fit.xmin, alternative)
            # The package overwrites its arguments where a likelihood is 0, so it gets copies.
            ratio, p = powerlaw.loglikelihood_ratio(plain.copy(), other.copy(), nested=nested, normalized_ratio=not nested)
    except (ArithmeticError, ValueError) as error:
        return _twice(undefined(f"the fit of the {alternative.replace('_', ' ')} failed ({error})"))
    return defined(ratio), defined(p)


def _twice(quantity: Quantity) -> tuple[Quantity, Quantity]:
    return quantity, quantity


def _alternative(tail: FloatArray, xmin: int, name: str) -> FloatArray:
    """Log-likelihoods under the package's fit of one alternative."""
    import powerlaw

    fit = powerlaw.Fit(tail, discrete=True, xmin=xmin, estimate_discrete=False, verbose=0)
    return np.asarray(getattr(fit, name).loglikelihoods(tail), dtype=np.float64)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package's prints and warnings away from the user; both go to the log."""
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        yield
    for text in {str(warning.message) for warning in caught} | ({printed.getvalue()} - {""}):
        _log.debug("powerlaw: %s", text)


def ratio_quantities(prefix: str, degrees: LongArray) -> Quantities:
    """Ratios against every alternative as named quantities.

    Args:
        prefix: what the names start with.
        degrees: int64 of shape [n].

    Returns:
        `{prefix}_vs_{alternative}` and `{prefix}_vs_{alternative}_p` for each of `ALTERNATIVES`. Cost about 50 ms.
    """
    fit = fit_power_law(degrees)
    result = {}
    for alternative in ALTERNATIVES:
        name = f"{prefix}_vs_{alternative}"
        pair = _twice(undefined(fit.reason)) if isinstance(fit, NoFit) else likelihood_ratio(degrees, fit, alternative)
        result[name], result[f"{name}_p"] = pair
    return result


def _network_ratios(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    return ratio_quantities("degree_power_law", network.degrees)


@register_measure("power_law_ratios", network=_network_ratios, fixed_by={"fixed_degrees": EVERYTHING}, under_nulls=False)
def power_law_ratios(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Likelihood ratios of each side's power law against the alternatives; measured on the observed graph only.

    Args:
        graph: the layer.
        rng: not used.

    Returns:
        The quantities of `ratio_quantities` with the prefixes `source_power_law` and `target_power_law`.
    """
    return {
        **ratio_quantities("source_power_law", graph.out_degrees),
        **ratio_quantities("target_power_law", graph.in_degrees),
    }
