"""Laws of a tail: each is a probability, each fit is the maximum of its likelihood."""

from typing import Any

import numpy as np
import pytest
from scipy import optimize, special, stats

from analysis import AnalysisError
from analysis.alternatives import LAWS, log_cutoff_sum
from analysis.laws import FittedLaw, Tail, power_law, tail_of

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
    heavy = law in ("power_law", "lognormal", "truncated_power_law") and case.startswith("zeta")
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
    logs = -parameters[0] * np.log(support / first) - parameters[1] * (support - first)
    return -parameters[0] * np.log(x / first) - parameters[1] * (x - first) - special.logsumexp(logs)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("case", ["random layer", "its upper tail", "nearly full", "geometric", "spread"])
def test_fit_is_the_maximum_of_the_likelihood(law: str, case: str) -> None:
    """The same likelihood, written independently, is not raised by a search around the fitted parameters."""
    tail = tail_named(case)
    fitted = LAWS[law](tail)
    parameters = tuple(fitted.parameters.values())
    ours = tail.mean(fitted.log_pmf(tail.values))
    assert tail.mean(rebuilt(law, tail, parameters)) == pytest.approx(ours, abs=1e-8)

    def cost(scale: np.ndarray[Any, Any]) -> float:
        moved = tuple(value * np.exp(change) for value, change in zip(parameters, scale, strict=True))
        outside = law in ("binomial", "negative_binomial") and not moved[-1] < 1
        if outside or (law == "negative_binomial" and moved[0] > 1e5):
            return 1e9
        value = -tail.mean(rebuilt(law, tail, moved))
        return value if np.isfinite(value) else 1e9

    with np.errstate(all="ignore"):
        best = optimize.minimize(cost, np.zeros(len(parameters)), method="Nelder-Mead", options={"maxfev": 100})
    assert -best.fun <= ours + 1e-7


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
        assert level["negative_binomial"] >= level["exponential"] - 1e-9
        assert level["negative_binomial"] >= level["poisson"] - 1e-3


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
