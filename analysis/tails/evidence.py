"""Likelihood ratios of the fitted power law against other tails on the same xmin, and the conclusion.

A positive ratio favours the power law, a negative one the alternative; p says whether the sign can be trusted (Vuong's
test), and for the truncated power law, which contains the power law, p is that of the chi-squared test with one degree
of freedom. All likelihoods are exact and discrete (`laws`, `two_parameter_laws`): the package `powerlaw` 2.0 bounds alpha to
at most 3 unless told otherwise, computes a normaliser that is 0 in double precision for the steep tails that random layers
have, and knows neither the binomial nor the Poisson nor the negative binomial, which are what a random layer really follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy

from analysis.base.checks import as_generator, check_count
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantity, defined, undefined
from analysis.graph.arrays import FloatArray, LongArray
from analysis.tails.bootstrap import REPLICATES, STOP_AFTER, GoodnessOfFit, goodness_of_fit
from analysis.tails.fit import NoFit, PowerLawFit, fit_power_law
from analysis.tails.laws import power_law, tail_of
from analysis.tails.two_parameter_laws import LAWS

ALTERNATIVES = tuple(LAWS)
THIN_TAILS = ("exponential", "binomial")
UNEQUAL_SIDES = "the neurons do not all face the same number of others"
SIGNIFICANCE = 0.1
"""Below this p, a ratio's sign is trusted and a fit is rejected, as Clauset, Shalizi and Newman do."""

CATEGORIES = ("Not scale free", "Super-Weak", "Weakest", "Weak", "Strong", "Strongest")
MIN_TAIL = 50


def vuong(first: FloatArray, second: FloatArray, counts: LongArray) -> tuple[Quantity, Quantity]:
    """Normalised log-likelihood ratio of two laws that do not contain each other, and its p-value.

    Vuong (1989), "Likelihood ratio tests for model selection and non-nested hypotheses", Econometrica 57, 307-333; used as in
    Clauset, Shalizi and Newman (2009), section 5. `first` and `second` are the log-likelihoods of every distinct value.

    Returns:
        (R / (sd sqrt(N)), p) with R the sum of the N differences, sd their deviation and p = erfc(|R| / (sd sqrt(2 N))),
        two-sided. Not defined if all differences are the same and not 0.
    """
    difference, n = first - second, int(counts.sum())
    mean = float((counts * difference).sum() / n)
    deviation = float(np.sqrt((counts * (difference - mean) ** 2).sum() / n))
    if deviation <= 1e-12 * max(1.0, float(np.abs(first).max())):
        same = abs(mean) <= 1e-12 * max(1.0, float(np.abs(first).max()))
        return (defined(0.0), defined(1.0)) if same else _twice(undefined("the two likelihoods differ by a constant"))
    ratio = mean * np.sqrt(n) / deviation
    return defined(ratio), defined(scipy.special.erfc(abs(ratio) / np.sqrt(2.0)))


def _nested(plain: FloatArray, containing: FloatArray, counts: LongArray) -> tuple[Quantity, Quantity]:
    """Log-likelihood ratio of a law to one that contains it, at most 0, and Wilks' p with one degree of freedom."""
    ratio = min(float((counts * (plain - containing)).sum()), 0.0)
    return defined(ratio), defined(scipy.special.erfc(np.sqrt(-ratio)))


def likelihood_ratio(
    degrees: LongArray, fit: PowerLawFit, alternative: str, n_opposite: int | None = None
) -> tuple[Quantity, Quantity]:
    """Ratio of the power law to one alternative, both at their maximum likelihood on the tail of the power law's fit.

    Args:
        degrees: integers of at least 0, of shape [n].
        fit: the power law fitted to them, which tells xmin.
        alternative: one of `ALTERNATIVES`.
        n_opposite: largest possible degree, the number of neurons on the other side; the binomial needs it.

    Returns:
        (ratio, p). The ratio is that of `vuong`, except for the truncated power law: the plain sum, at most 0. p is in [0, 1].
        Not defined if the tail has one value, if a fit fails, or for the binomial without n_opposite. Cost up to 20 ms.

    Raises:
        AnalysisError: the alternative is unknown, or a degree is above n_opposite.
    """
    if alternative not in LAWS:
        raise AnalysisError(f"alternative {alternative!r} is unknown; choose from {', '.join(ALTERNATIVES)}")
    if np.unique(np.asarray(degrees)[np.asarray(degrees) >= fit.xmin]).size < 2:
        return _twice(undefined("the tail has fewer than 2 distinct values"))
    tail = tail_of(degrees, fit.xmin, n_opposite)
    if alternative == "binomial" and n_opposite is None:
        return _twice(undefined(UNEQUAL_SIDES))
    try:
        plain, other = (law(tail).log_pmf(tail.values) for law in (power_law, LAWS[alternative]))
    except (ArithmeticError, RuntimeError, ValueError) as error:
        return _twice(undefined(f"the fit of the {alternative.replace('_', ' ')} failed ({error})"))
    compare = _nested if alternative == "truncated_power_law" else vuong
    return compare(plain, other, tail.counts)


def _twice(quantity: Quantity) -> tuple[Quantity, Quantity]:
    return quantity, quantity


@dataclass(frozen=True, eq=False)
class TailEvidence:
    """All that is known about one degree sequence and the power law.

    Attributes:
        fit: the fitted power law, or why there is none.
        goodness: bootstrap of the fit.
        ratios: (ratio, p) against every alternative; see `likelihood_ratio`.
        span: largest degree / xmin, at least 1; 10 is a decade. Not defined if there is no fit.
    """

    fit: PowerLawFit | NoFit
    goodness: GoodnessOfFit
    ratios: Mapping[str, tuple[Quantity, Quantity]]
    span: Quantity

    def is_plausible(self) -> bool:
        """Whether the bootstrap does not reject the power law: p >= 0.1."""
        return self.goodness.p.value is not None and self.goodness.p.value >= SIGNIFICANCE

    def better(self) -> tuple[str, ...]:
        """Alternatives that fit significantly better than the power law: negative ratio with p < 0.1."""
        return tuple(name for name in self.ratios if self._sign(name) < 0)

    def worse(self) -> tuple[str, ...]:
        """Alternatives that fit significantly worse than the power law: positive ratio with p < 0.1."""
        return tuple(name for name in self.ratios if self._sign(name) > 0)

    def _sign(self, name: str) -> int:
        ratio, p = self.ratios[name]
        return 0 if ratio.value is None or p.value is None or p.value >= SIGNIFICANCE else int(np.sign(ratio.value))


def tail_evidence(
    degrees: LongArray,
    rng: int | np.random.Generator,
    n_opposite: int | None = None,
    replicates: int = REPLICATES,
    stop_after: int = STOP_AFTER,
) -> TailEvidence:
    """Fit, bootstrap and likelihood ratios of one degree sequence.

    Args:
        degrees: integers of at least 0, of shape [n].
        rng: seed or generator, for the bootstrap.
        n_opposite: number of neurons on the other side, for the binomial; None if it is not the same for all.
        replicates: of the bootstrap.
        stop_after: exceedances that end the bootstrap; see `goodness_of_fit`.

    Returns:
        The evidence. Cost about 0.5 s.

    Raises:
        AnalysisError: as `goodness_of_fit` and `likelihood_ratio`.

    >>> degrees = np.random.default_rng(0).binomial(300, 0.1, size=784)
    >>> evidence = tail_evidence(degrees, rng=0, n_opposite=300)
    >>> broido_clauset(evidence), evidence.ratios["exponential"][0].value < 0
    ('Weakest', True)
    """
    if n_opposite is not None:
        n_opposite = check_count("n_opposite", n_opposite)
    fit, goodness = fit_power_law(degrees), goodness_of_fit(degrees, as_generator(rng), replicates, stop_after)
    if isinstance(fit, NoFit):
        missing = undefined(fit.reason)
        return TailEvidence(fit, goodness, dict.fromkeys(ALTERNATIVES, _twice(missing)), missing)
    ratios = {name: likelihood_ratio(degrees, fit, name, n_opposite) for name in ALTERNATIVES}
    return TailEvidence(fit, goodness, ratios, defined(np.max(degrees) / fit.xmin))


def broido_clauset(*evidence: TailEvidence) -> str:
    """Category of scale-freeness of the degree sequences of one network, usually one sequence: one of `CATEGORIES`.

    Broido and Clauset (2019), "Scale-free networks are rare", Nature Communications 10, 1017. They derive several simple
    graphs from a network and ask for shares of their degree sequences:

    - Super-Weak: in half of them no alternative fits significantly better than the power law;
    - Weakest: in half of them the bootstrap p is at least 0.1; Weak: and the tail has at least 50 points;
    - Strong: in half of them both, and 2 < alpha < 3;
    - Strongest: all but the comparison with alternatives in 90 %, all of it in 95 %.

    Adaptation. With one sequence every share is 0 or 1, so that Strong and Strongest are the same and the answer is
    Strongest. Alternatives are those of `ALTERNATIVES` that are defined, and theirs are the first four: the exponential,
    log-normal, stretched exponential and truncated power law. (Their log-normal is rounded down, ours to the nearest, and
    the bounds of the parameters differ.) They leave out sequences of mean degree below 2 or above sqrt(n); here the caller
    decides. The category is the strongest that holds; Super-Weak does not follow from Weak. An AnalysisError without evidence.
    """
    if not evidence:
        raise AnalysisError("evidence is empty; at least one degree sequence is needed")
    fits = [(one, one.fit) for one in evidence if isinstance(one.fit, PowerLawFit)]
    weakest = [one for one, _ in fits if one.is_plausible()]
    weak = [one for one, fit in fits if one.is_plausible() and fit.n_tail >= MIN_TAIL]
    in_range = [one for one, fit in fits if one in weak and 2.0 < fit.alpha < 3.0]
    strong = [one for one in in_range if not one.better()]
    half, size = len(evidence) / 2.0, len(evidence)
    if len(in_range) >= 0.9 * size and len(strong) >= 0.95 * size:
        return "Strongest"
    ladder = (
        ("Strong", strong),
        ("Weak", weak),
        ("Weakest", weakest),
        ("Super-Weak", [one for one, _ in fits if not one.better()]),
    )
    return next((name for name, holding in ladder if len(holding) >= half), "Not scale free")


def extremes_p(degrees: LongArray, fit: PowerLawFit, alternative: str, n_opposite: int | None = None) -> Quantity:
    """Would an alternative of thin tail give two so large degrees? P(two of n_tail draws >= the second largest observed).

    Exact under the law at its maximum likelihood on the power law's tail, to which the large degrees themselves belong; that
    makes it err towards the alternative. It is beside Vuong's test because few huge degrees, which speak most strongly
    against a thin tail, inflate the spread of the likelihood ratios and so that test's p. Two of them, because a single hub
    makes no tail. Arguments and errors as `likelihood_ratio`, with an alternative of `THIN_TAILS`; not defined if that is not.
    """
    if alternative not in THIN_TAILS:
        raise AnalysisError(f"alternative {alternative!r} is unknown; choose from {', '.join(THIN_TAILS)}")
    if alternative == "binomial" and n_opposite is None:
        return undefined(UNEQUAL_SIDES)
    tail = tail_of(degrees, fit.xmin, n_opposite)
    if tail.values.size < 2:
        return undefined("the tail has fewer than 2 distinct values")
    law, second = LAWS[alternative](tail), float(tail.values[-1 if tail.counts[-1] > 1 else -2])
    if n_opposite is not None and alternative == "binomial":
        last = float(n_opposite)
    else:
        # Terms 60 scales further on are below e^-60 of the first.
        last = second + np.ceil(60.0 / law.parameters["rate"])
    survival = min(float(np.exp(scipy.special.logsumexp(law.log_pmf(np.arange(second, last + 1.0))))), 1.0)
    return defined(float(scipy.stats.binom.sf(1, int(tail.counts.sum()), survival)))
