"""Goodness of fit of a power law: would a true power law often look this bad?

The semi-parametric bootstrap of Clauset, Shalizi and Newman (2009), "Power-law distributions in empirical data", SIAM
Review 51, 661-703, section 4.1. Every synthetic data set has as many points as the data: each comes from the fitted
power law with probability n_tail / n, otherwise from the observed degrees below xmin, with replacement. To each of them
alpha **and xmin** are fitted again; holding them fixed would make every p-value too small or too large.
"""

from dataclasses import dataclass

import numpy as np

from analysis.base.checks import as_generator, check_count
from analysis.base.quantity import Quantity, defined, undefined
from analysis.graph.arrays import FloatArray, LongArray, checked_degrees
from analysis.tails.fit import NoFit, PowerLawFit, fit_distinct, fit_power_law

REPLICATES = 200
STOP_AFTER = 20
"""A tenth of the replicates: stopping early then means p >= 0.1 for certain, so a verdict at 0.1 is that of the full run."""

_TIE = 1e-12
_LARGEST = 1e300


@dataclass(frozen=True)
class GoodnessOfFit:
    """Result of the bootstrap.

    Attributes:
        p: share of power laws that fit as badly, in (0, 1], or "not defined". Small values speak against the power law.
        n_exceeding: replicates whose distance D is at least the observed one, r.
        n_replicates: replicates that were fitted, B; fewer than asked for if it stopped early.
        n_unfitted: draws that could not be fitted and were drawn again.
    """

    p: Quantity
    n_exceeding: int
    n_replicates: int
    n_unfitted: int


def goodness_of_fit(
    degrees: LongArray,
    rng: int | np.random.Generator,
    replicates: int = REPLICATES,
    stop_after: int = STOP_AFTER,
) -> GoodnessOfFit:
    """Bootstrap p-value of the fitted power law.

    p = (1 + r) / (1 + B) after all replicates. It stops as soon as r reaches `stop_after`, after l replicates, with p = r / l
    (Besag and Clifford 1991, "Sequential Monte Carlo p-values", Biometrika 78, 301-304): either way P(p <= a) <= a if the
    replicates are exchangeable with the data. They are nearly so, as the parameters are estimated. A draw whose values are all
    equal cannot be fitted. It is drawn again, since the data are known to be fittable, up to as many times in all as there are
    replicates.

    Args:
        degrees: integers of at least 0, of shape [n]; zeros are left out.
        rng: seed or generator.
        replicates: at most this many, B.
        stop_after: number of exceedances that ends the run; any number above `replicates` never does.

    Returns:
        The p-value; not defined if there is no fit. Cost that of B fits: 0.1 s for 784 degrees.

    Raises:
        AnalysisError: `replicates` or `stop_after` is not an integer of at least 1, or a degree not one of at least 0.

    >>> regular = goodness_of_fit([5] * 40, rng=0)
    >>> regular.p.reason
    'all positive degrees are 5 and a fit needs at least 2 distinct values'
    """
    check_count("replicates", replicates)
    check_count("stop_after", stop_after)
    generator, fit = as_generator(rng), fit_power_law(degrees)
    if isinstance(fit, NoFit):
        return GoodnessOfFit(undefined(fit.reason), 0, 0, 0)
    # Sorted, so that the labels of the neurons play no role in what is drawn.
    degrees = np.sort(checked_degrees(degrees))
    positive = degrees[degrees > 0].astype(np.float64)
    exceeding, done, unfitted = 0, 0, 0
    while done < replicates and exceeding < stop_after and unfitted <= replicates:
        values, counts = np.unique(synthetic_degrees(positive, fit, generator), return_counts=True)
        if values.size < 2:
            unfitted += 1
            continue
        done += 1
        exceeding += fit_distinct(values, counts).distance >= fit.distance * (1.0 - _TIE)
    if unfitted > replicates:
        return GoodnessOfFit(undefined("too many draws from the fitted law have one value only"), exceeding, done, unfitted)
    p = exceeding / done if exceeding >= stop_after else (1 + exceeding) / (1 + done)
    return GoodnessOfFit(defined(p), int(exceeding), done, unfitted)


def synthetic_degrees(positive: FloatArray, fit: PowerLawFit, rng: np.random.Generator) -> FloatArray:
    """One synthetic data set: the fitted tail above xmin, the observed body below; whole numbers, float64 of shape [n]."""
    body = positive[positive < fit.xmin]
    n_tail = int(rng.binomial(positive.size, fit.n_tail / positive.size))
    tail = draw_power_law(fit.alpha, fit.xmin, n_tail, rng)
    return np.concatenate([tail, rng.choice(body, size=positive.size - n_tail)]) if body.size else tail


def draw_power_law(alpha: float, xmin: int, size: int, rng: np.random.Generator) -> FloatArray:
    """Exact draws from p(x) = x^-alpha / zeta(alpha, xmin), x = xmin, xmin + 1, ...; float64 of shape [size].

    By rejection. The proposal floor(xmin U^(-1 / (alpha - 1))) has P(k) = (k^(1 - alpha) - (k + 1)^(1 - alpha)) /
    xmin^(1 - alpha). The ratio of the two laws falls with k, so its value at xmin bounds it: for xmin = 1 this is
    Devroye (1986), Non-Uniform Random Variate Generation, section X.6.1. At least log 2 = 69 % of the proposals are accepted.
    Whole numbers, which are exact below 2^53; a value above 1e300 is set to 1e300.
    """
    drawn, missing = [np.empty(0)], size
    while missing > 0:
        # More than two thirds are accepted, so this is seldom too few.
        uniform = 1.0 - rng.random(missing + missing // 2 + 8)
        log_proposal = np.minimum(np.log(xmin) - np.log(uniform) / (alpha - 1.0), np.log(_LARGEST))
        proposal = np.maximum(np.floor(np.exp(log_proposal)), xmin)
        is_kept = rng.random(proposal.size) * _ratio(float(xmin), alpha) <= _ratio(proposal, alpha)
        drawn.append(proposal[is_kept][:missing])
        missing -= drawn[-1].size
    return np.concatenate(drawn)


def _ratio(x: FloatArray | float, alpha: float) -> FloatArray:
    """Power law over proposal at x, up to a factor: 1 / (x (1 - (1 + 1 / x)^(1 - alpha)))."""
    return np.asarray(1.0 / (x * -np.expm1((1.0 - alpha) * np.log1p(1.0 / np.asarray(x)))))
