"""Laws of a tail: each is a probability, each fit is the maximum of its likelihood."""

from typing import Any

import numpy as np
import pytest
from scipy import optimize, special, stats

from analysis import AnalysisError
from analysis.tails.laws import FittedLaw, Tail, power_law, tail_of
from analysis.tails.two_parameter_laws import LAWS, log_cutoff_sum

ALL_LAWS = {"power_law": power_law, **LAWS}
CASES = {
    "zeta": (np.minimum(stats.zipf.rvs(2.5, size=1500, random_state=1), 900), 1, 1000),
    "zeta, later": (np.minimum(stats.zipf.rvs(2.5, size=1500, random_state=1), 900), 4, 1000),
    "random layer": (np.random.default_rng(2).binomial(300, 0.1, 784), 1, 300),
    "its upper tail": (np.random.default_rng(2).binomial(300, 0.1, 784), 37, 300),
    "nearly full": (np.random.default_rng(3).binomial(60, 0.95, 80), 55, 60),
    "geometric": (np.random.default_rng(4).geometric(0.1, 1000), 1, 500),
    "spread": (np.random.default_rng(5).negative_binomial(3, 0.1, 1000), 10, 500),
}


def tail_named(name: str) -> Tail:
    degrees, xmin, n_opposite = CASES[name]
    return tail_of(degrees, xmin, n_opposite)


@pytest.mark.parametrize("law", ALL_LAWS)
@pytest.mark.parametrize("case", CASES)
def test_probabilities_add_up_to_one(law: str, case: str) -> None:
    tail = tail_named(case)
    fitted = ALL_LAWS[law](tail)
    heavy = law in ("power_law", "lognormal", "stretched_exponential", "truncated_power_law") and case.startswith("zeta")
    last = float(tail.n_opposite or 0) if law == "binomial" else tail.xmin + (1e6 if heavy else 2e4)
    total = np.exp(fitted.log_pmf(np.arange(tail.xmin, last + 1))).sum()
    if law == "power_law":
        alpha = fitted.parameters["alpha"]
        total += special.zeta(alpha, last + 1) / special.zeta(alpha, tail.xmin)
    assert total == pytest.approx(1.0, abs=1e-6 if heavy else 1e-9)


def rebuilt(law: str, tail: Tail, parameters: tuple[float, ...]) -> np.ndarray[Any, Any]:
    """Log-probabilities at the tail's values, from scipy.stats or by a plain sum; no code of the toolkit."""
    x, first = tail.values, tail.xmin
    support = np.arange(first, first + 20_000.0)
    if law == "exponential":
        return stats.geom.logpmf(x - first + 1, -np.expm1(-parameters[0]))
    if law == "poisson":
        return stats.poisson.logpmf(x, parameters[0]) - special.logsumexp(stats.poisson.logpmf(support, parameters[0]))
    if law == "binomial":
        logs = stats.binom.logpmf(np.arange(first, (tail.n_opposite or 0) + 1.0), tail.n_opposite, parameters[0])
        return stats.binom.logpmf(x, tail.n_opposite, parameters[0]) - special.logsumexp(logs)
    if law == "negative_binomial":
        logs = stats.nbinom.logpmf(support, parameters[0], 1 - parameters[1])
        return stats.nbinom.logpmf(x, parameters[0], 1 - parameters[1]) - special.logsumexp(logs)
    if law == "lognormal":
        edges = stats.norm.sf((np.log(np.array([x - 0.5, x + 0.5])) - parameters[0]) / parameters[1])
        return np.log(edges[0] - edges[1]) - stats.norm.logsf((np.log(first - 0.5) - parameters[0]) / parameters[1])
    if law == "stretched_exponential":
        weibull = stats.weibull_min(parameters[1], scale=parameters[0] ** (-1 / parameters[1]))
        return np.log(weibull.sf(x) - weibull.sf(x + 1)) - weibull.logsf(first)
    logs = -parameters[0] * np.log(support / first) - parameters[1] * (support - first)
    return -parameters[0] * np.log(x / first) - parameters[1] * (x - first) - special.logsumexp(logs)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("case", ["random layer", "its upper tail", "nearly full", "geometric", "spread"])
def test_fit_is_the_maximum_of_the_likelihood(law: str, case: str) -> None:
    """The same likelihood, written independently, is not raised by searches around the fitted parameters."""
    tail = tail_named(case)
    fitted = LAWS[law](tail)
    parameters = tuple(fitted.parameters.values())
    ours = tail.mean(fitted.log_pmf(tail.values))
    assert tail.mean(rebuilt(law, tail, parameters)) == pytest.approx(ours, abs=1e-8)

    def cost(scale: np.ndarray[Any, Any]) -> float:
        moved = tuple(value * np.exp(change) for value, change in zip(parameters, scale, strict=True))
        outside = law in ("binomial", "negative_binomial", "stretched_exponential") and moved[-1] >= 1
        if outside or (law == "negative_binomial" and moved[0] > 1e5):
            return 1e9
        value = -tail.mean(rebuilt(law, tail, moved))
        return value if np.isfinite(value) else 1e9

    starts = [np.zeros(len(parameters)), *np.random.default_rng(0).normal(0.0, 0.5, (3, len(parameters)))]
    with np.errstate(all="ignore"):
        best = [optimize.minimize(cost, start, method="Nelder-Mead", options={"maxfev": 100}).fun for start in starts]
    assert -min(best) <= ours + 1e-7


@pytest.mark.parametrize("law", ["binomial", "poisson"])
def test_exponential_families_match_the_mean(law: str) -> None:
    tail = tail_named("its upper tail")
    x = np.arange(tail.xmin, 301.0)
    assert (x * np.exp(LAWS[law](tail).log_pmf(x))).sum() == pytest.approx(tail.mean(tail.values), rel=1e-9)


def test_known_parameters_are_found() -> None:
    """Within 4 standard errors of large samples."""
    rng = np.random.default_rng(6)
    binomial = tail_of(rng.binomial(300, 0.1, 20_000), 25, 300)
    assert LAWS["binomial"](binomial).parameters["probability"] == pytest.approx(0.1, abs=0.001)
    poisson = tail_of(rng.poisson(12.0, 20_000), 8)
    assert LAWS["poisson"](poisson).parameters["mean"] == pytest.approx(12.0, abs=0.15)
    spread = LAWS["negative_binomial"](tail_of(rng.negative_binomial(3, 0.1, 20_000), 5)).parameters
    assert spread["r"] == pytest.approx(3.0, abs=0.25)
    assert spread["q"] == pytest.approx(0.9, abs=0.01)
    rounded = LAWS["lognormal"](tail_of(np.round(rng.lognormal(3.0, 0.6, 20_000)).astype(int), 10)).parameters
    assert rounded["mu"] == pytest.approx(3.0, abs=0.04)
    assert rounded["sigma"] == pytest.approx(0.6, abs=0.03)


def test_nested_laws_are_never_less_likely() -> None:
    for case in CASES:
        tail = tail_named(case)
        level = {name: tail.mean(law(tail).log_pmf(tail.values)) for name, law in ALL_LAWS.items()}
        assert level["truncated_power_law"] >= level["power_law"] - 1e-12
        assert level["stretched_exponential"] >= level["exponential"] - 1e-12
        assert level["negative_binomial"] >= level["exponential"] - 1e-9
        assert level["negative_binomial"] >= level["poisson"] - 1e-3


def test_thin_tails_make_the_stretched_exponential_exponential() -> None:
    """beta ends at 1, where the law is the geometric one; it never exceeds 1."""
    tail = tail_named("its upper tail")
    fitted, plain = LAWS["stretched_exponential"](tail), LAWS["exponential"](tail)
    assert fitted.parameters == pytest.approx({"beta": 1.0, "rate": plain.parameters["rate"]}, rel=1e-9)
    x = np.arange(tail.xmin, 400.0)
    assert fitted.log_pmf(x) == pytest.approx(plain.log_pmf(x), rel=1e-9)


def test_power_laws_stretch_the_exponential_to_its_bound() -> None:
    """beta ends at 0.01, where S(x) is nearly (x / xmin)^(1 - alpha): a power law that is rounded down."""
    tail = tail_named("zeta")
    fitted = LAWS["stretched_exponential"](tail)
    rate, beta = fitted.parameters["rate"], fitted.parameters["beta"]
    assert beta == 0.01
    x = np.arange(1.0, 50.0)
    rounded = np.log(x ** (-rate * beta) - (x + 1) ** (-rate * beta))
    assert fitted.log_pmf(x) == pytest.approx(rounded, abs=0.2)


def weibull_sample(beta: float, scale: float, size: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """P(X >= x) = exp(-(x / scale)^beta) at whole x."""
    return np.floor(scale * rng.weibull(beta, size)).astype(int)


@pytest.mark.parametrize(("beta", "scale", "xmin"), [(0.3, 1.0, 2), (0.6, 5.0, 4)])
def test_parameters_of_stretched_exponentials_are_found(beta: float, scale: float, xmin: int) -> None:
    """Twice the likelihood that the fit gains on the truth is chi-squared with 2 degrees of freedom: 100 draws of about 600
    or 800 points. Kolmogorov-Smirnov alarms falsely once in 1,000."""
    rng, gains = np.random.default_rng(8), []
    for _ in range(100):
        tail = tail_of(weibull_sample(beta, scale, 2000, rng), xmin)
        truth = rebuilt("stretched_exponential", tail, (scale**-beta, beta))
        fitted = LAWS["stretched_exponential"](tail)
        gains.append(2 * tail.counts.sum() * tail.mean(fitted.log_pmf(tail.values) - truth))
    assert min(gains) >= 0
    assert stats.kstest(gains, stats.chi2(2).cdf).pvalue > 0.001
    large = LAWS["stretched_exponential"](tail_of(weibull_sample(beta, scale, 200_000, rng), xmin)).parameters
    assert large["beta"] == pytest.approx(beta, rel=0.05)
    assert large["rate"] == pytest.approx(scale**-beta, rel=0.15)


def test_stretched_exponential_of_extreme_tails() -> None:
    """Two values, a huge degree, a late start: the fit is finite, in its bounds, and no worse than any on a grid of beta."""
    tails = [
        Tail(np.array([3.0, 4.0]), np.array([100_000, 1]), 3),
        Tail(np.array([3.0, 4.0]), np.array([1, 100_000]), 3),
        Tail(np.array([1.0, 2.0, 1e6]), np.array([500, 20, 1]), 1),
        Tail(np.array([90_000.0, 90_001.0, 90_007.0]), np.array([5, 3000, 2]), 90_000),
    ]
    for tail in tails:
        fitted = LAWS["stretched_exponential"](tail)
        assert 0.01 <= fitted.parameters["beta"] <= 1
        assert fitted.parameters["rate"] > 0
        ours = tail.mean(fitted.log_pmf(tail.values))
        for beta in np.linspace(0.01, 1, 34):
            grown = ((tail.values / tail.xmin) ** beta - 1) / beta
            step = (((tail.values + 1) / tail.xmin) ** beta - 1) / beta - grown

            def cost(log_hazard: float, grown: Any = grown, step: Any = step, tail: Tail = tail) -> float:
                return tail.mean(np.exp(log_hazard) * grown - np.log(-np.expm1(-np.exp(log_hazard) * step)))

            guess = -np.log(tail.mean(grown))
            assert -optimize.minimize_scalar(cost, bracket=(guess - 1, guess)).fun <= ours + 1e-7


@pytest.mark.parametrize("name", ["exponential", "lognormal"])
def test_package_finds_no_better_fit(name: str) -> None:
    """`powerlaw` rounds in the same way; where its search ends at the maximum, the likelihoods are the same."""
    package = pytest.importorskip("powerlaw")
    degrees = np.sort(np.random.default_rng(7).negative_binomial(3, 0.1, 400) + 1).astype(float)
    theirs = package.Fit(degrees, discrete=True, xmin=5, estimate_discrete=False, verbose=0)
    tail = tail_of(degrees, 5)
    kept = degrees[degrees >= 5]
    expected = np.asarray(getattr(theirs, name).loglikelihoods(kept)).sum()
    assert LAWS[name](tail).log_pmf(kept).sum() == pytest.approx(expected, abs=0.02)
    assert LAWS[name](tail).log_pmf(kept).sum() >= expected - 1e-6


def test_truncated_power_law_finds_a_cutoff() -> None:
    x = np.arange(1, 400)
    weights = x**-1.5 * np.exp(-0.05 * x)
    cut = np.random.default_rng(6).choice(x, size=3000, p=weights / weights.sum())
    fitted: FittedLaw = LAWS["truncated_power_law"](tail_of(cut, 1))
    truth = np.log(weights / weights.sum())[cut - 1].sum()
    assert fitted.log_pmf(cut.astype(float)).sum() >= truth
    assert fitted.parameters["rate"] == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(("alpha", "rate", "xmin"), [(1.5, 0.0, 1), (2.0, 0.0, 30), (0.5, 1e-4, 1), (1.2, 1e-3, 50)])
def test_sum_over_a_long_tail_is_complete(alpha: float, rate: float, xmin: int) -> None:
    offsets = np.arange(1_000_000)
    brute = np.exp(-alpha * np.log1p(offsets / xmin) - rate * offsets).sum()
    expected = np.log(brute) if rate else np.log(special.zeta(alpha, xmin)) + alpha * np.log(xmin)
    assert log_cutoff_sum(alpha, rate, xmin) == pytest.approx(expected, abs=1e-9)


def test_tail_is_checked() -> None:
    with pytest.raises(AnalysisError, match="n_opposite is 5; the largest degree is 9"):
        tail_of(np.array([1, 9]), 1, 5)
    with pytest.raises(AnalysisError, match="at least one and none below xmin"):
        tail_of(np.array([1, 2]), 3)
    with pytest.raises(AnalysisError, match="binomial tail needs"):
        LAWS["binomial"](tail_of(np.array([1, 2]), 1))


@pytest.mark.parametrize("shift", [1, 2**20])
def test_a_tail_far_from_zero_costs_no_memory(shift: int) -> None:
    """Next to its beginning, a Poisson law of far larger numbers is geometric or half a normal distribution."""
    tail = tail_of([2**40, 2**40 + shift], 2**40)
    fitted = LAWS["poisson"](tail)
    x = 2.0**40 + np.arange(0, 300 * shift, max(1, shift // 64))
    probabilities = np.exp(fitted.log_pmf(x)) * (x[1] - x[0])
    assert probabilities.sum() == pytest.approx(1, abs=0.02)
    assert (probabilities * (x - 2.0**40)).sum() == pytest.approx(shift / 2, rel=0.02)


def test_poisson_and_binomial_of_large_degrees_are_those_of_scipy() -> None:
    degrees = np.random.default_rng(6).poisson(2**30, 200)
    poisson = LAWS["poisson"](tail_of(degrees, 1))
    assert poisson.parameters["mean"] == pytest.approx(degrees.mean(), rel=1e-9)
    np.testing.assert_allclose(poisson.log_pmf(degrees.astype(float)), stats.poisson.logpmf(degrees, degrees.mean()), atol=2e-4)
    binomial = LAWS["binomial"](tail_of(degrees, 1, 2**31 - 1))
    share = degrees.mean() / (2**31 - 1)
    assert binomial.parameters["probability"] == pytest.approx(share, rel=1e-9)
    expected = stats.binom.logpmf(degrees, 2**31 - 1, share)
    np.testing.assert_allclose(binomial.log_pmf(degrees.astype(float)), expected, atol=2e-4)
