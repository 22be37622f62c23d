"""Ratios of likelihoods, and the category that they and the bootstrap add up to."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bipartite_examples import random_graph
from scipy import stats

from analysis import AnalysisError
from analysis.base.quantity import Quantity, defined, undefined
from analysis.measures.power_law import evidence_quantities
from analysis.tails.bootstrap import GoodnessOfFit
from analysis.tails.evidence import (
    ALTERNATIVES,
    CATEGORIES,
    TailEvidence,
    broido_clauset,
    likelihood_ratio,
    tail_evidence,
    vuong,
)
from analysis.tails.fit import PowerLawFit, fit_power_law
from analysis.tails.laws import FittedLaw, Tail, power_law_log_pmf, tail_of
from analysis.tails.two_parameter_laws import LAWS, truncated_power_law


def zeta_sample(alpha: float, size: int, seed: int) -> np.ndarray[Any, Any]:
    return np.minimum(stats.zipf.rvs(alpha, size=size, random_state=seed), 10**6)


def fitted(degrees: np.ndarray[Any, Any]) -> PowerLawFit:
    fit = fit_power_law(degrees)
    assert isinstance(fit, PowerLawFit)
    return fit


def value(quantity: Quantity) -> float:
    assert quantity.value is not None, quantity.reason
    return quantity.value


@pytest.mark.parametrize("alternative", ["exponential", "stretched_exponential", "poisson", "binomial", "negative_binomial"])
def test_zeta_data_prefer_the_power_law(alternative: str) -> None:
    degrees = zeta_sample(2.5, 5000, seed=4)
    ratio, p = likelihood_ratio(degrees, fitted(degrees), alternative, 10**6)
    assert value(ratio) > 0
    assert value(p) < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_random_layer_never_prefers_the_power_law(seed: int) -> None:
    graph = random_graph(784, 300, 23_520, seed)
    for degrees, n_opposite in ((graph.out_degrees, 300), (graph.in_degrees, 784)):
        for alternative in ALTERNATIVES:
            ratio, p = likelihood_ratio(degrees, fitted(degrees), alternative, n_opposite)
            assert value(ratio) < 0 or value(p) > 0.1


def test_whole_random_layer_is_binomial_and_no_power_law() -> None:
    """On all degrees, not only on the tail that suits the power law, the binomial wins by far."""
    degrees = random_graph(784, 300, 23_520, seed=0).out_degrees
    ratio, p = likelihood_ratio(degrees, PowerLawFit(1.2, 1, 0.5, degrees.size), "binomial", 300)
    assert value(ratio) < -20
    assert value(p) < 1e-10


def test_truncated_power_law_contains_the_power_law() -> None:
    plain = zeta_sample(2.5, 3000, seed=5)
    ratio, p = likelihood_ratio(plain, fitted(plain), "truncated_power_law")
    assert -3 < value(ratio) <= 0
    assert value(p) > 0.01
    tail = plain[plain >= fitted(plain).xmin].astype(float)
    better = truncated_power_law(tail_of(tail, fitted(plain).xmin)).log_pmf(tail).sum()
    likeliest = power_law_log_pmf(fitted(plain).alpha, fitted(plain).xmin)(tail).sum()
    assert better >= likeliest
    assert value(ratio) == pytest.approx(likeliest - better, abs=1e-6)


def test_stretched_exponential_data_prefer_it() -> None:
    """Degrees with P(K >= k) = exp(1 - k^0.5): from 1 on it wins by far, and where both begin late they look alike."""
    degrees = np.floor((1 + np.random.default_rng(1).exponential(size=3000)) ** 2).astype(int)
    ratio, p = likelihood_ratio(degrees, PowerLawFit(1.5, 1, 0.1, degrees.size), "stretched_exponential")
    assert value(ratio) < -10
    assert value(p) < 1e-10
    ratio, p = likelihood_ratio(degrees, PowerLawFit(4.0, 40, 0.1, 10), "stretched_exponential")
    assert value(p) > 0.05


def test_a_fit_that_fails_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(tail: Tail) -> FittedLaw:
        raise ValueError("no bracket")

    monkeypatch.setattr("analysis.tails.evidence.LAWS", {**LAWS, "stretched_exponential": broken})
    degrees = zeta_sample(2.5, 300, seed=1)
    found = likelihood_ratio(degrees, fitted(degrees), "stretched_exponential")
    assert {one.reason for one in found} == {"the fit of the stretched exponential failed (no bracket)"}


def test_ratio_is_that_of_the_package() -> None:
    package = pytest.importorskip("powerlaw")
    rng = np.random.default_rng(0)
    first, second, counts = rng.normal(size=30), rng.normal(size=30), rng.integers(1, 5, 30)
    ratio, p = vuong(first, second, counts)
    expected = package.loglikelihood_ratio(np.repeat(first, counts), np.repeat(second, counts), normalized_ratio=True)
    assert (value(ratio), value(p)) == pytest.approx(expected, rel=1e-12)


def test_package_likelihoods_agree_where_they_do_not_underflow() -> None:
    powerlaw = pytest.importorskip("powerlaw")
    tail = np.sort(zeta_sample(2.5, 400, seed=7)).astype(float)
    theirs = powerlaw.Power_Law(xmin=1, discrete=True, parameters=[2.5], verbose=0)
    assert power_law_log_pmf(2.5, 1)(tail) == pytest.approx(theirs.loglikelihoods(tail), abs=1e-9)


def test_equal_laws_are_a_draw_and_a_constant_difference_is_not_defined() -> None:
    likelihoods, counts = np.array([-1.0, -2.0]), np.array([3, 4])
    assert [value(one) for one in vuong(likelihoods, likelihoods, counts)] == [0.0, 1.0]
    assert vuong(likelihoods, likelihoods + 1.0, counts)[0].reason == "the two likelihoods differ by a constant"


def test_tail_of_one_value_has_no_ratio() -> None:
    for alternative in ALTERNATIVES:
        ratio, p = likelihood_ratio(np.array([1] * 20 + [5] * 5), PowerLawFit(2.0, 5, 0.1, 5), alternative)
        assert ratio.reason == p.reason == "the tail has fewer than 2 distinct values"


def test_binomial_needs_one_number_of_neurons_on_the_other_side() -> None:
    quantities = evidence_quantities("degree", zeta_sample(2.5, 300, seed=1), np.random.default_rng(0))
    assert quantities["degree_vs_binomial"].reason == "the neurons do not all face the same number of others"
    assert quantities["degree_vs_poisson"].value is not None
    with pytest.raises(AnalysisError, match="choose from exponential"):
        likelihood_ratio(np.arange(1, 20), fitted(np.arange(1, 20)), "gamma")


def test_nothing_is_printed_or_warned(capfd: pytest.CaptureFixture[str]) -> None:
    degrees = random_graph(100, 10, 250, seed=1).in_degrees
    for alternative in ALTERNATIVES:
        likelihood_ratio(degrees, fitted(degrees), alternative, 100)
    assert capfd.readouterr() == ("", "")


def evidence(p: float, alpha: float = 2.5, n_tail: int = 100, ratio: float = 0.0, ratio_p: float = 0.5) -> TailEvidence:
    goodness = GoodnessOfFit(defined(p), 1, 10, 0)
    ratios = {"stretched_exponential": (defined(ratio), defined(ratio_p)), "binomial": (undefined("no"), undefined("no"))}
    return TailEvidence(PowerLawFit(alpha, 2, 0.1, n_tail), goodness, ratios, defined(50.0))


@pytest.mark.parametrize(
    ("case", "category"),
    [
        (evidence(0.5), "Strongest"),
        (evidence(0.5, ratio=-5.0, ratio_p=0.2), "Strongest"),
        (evidence(0.5, ratio=-5.0, ratio_p=0.01), "Weak"),
        (evidence(0.5, alpha=3.2), "Weak"),
        (evidence(0.5, n_tail=49), "Weakest"),
        (evidence(0.05), "Super-Weak"),
        (evidence(0.05, ratio=-5.0, ratio_p=0.01), "Not scale free"),
        (replace(evidence(0.05), goodness=GoodnessOfFit(undefined("no"), 0, 0, 0)), "Super-Weak"),
    ],
)
def test_category_of_one_sequence(case: TailEvidence, category: str) -> None:
    assert category in CATEGORIES
    assert broido_clauset(case) == category


def test_category_of_two_sequences_counts_shares() -> None:
    strong, beaten = evidence(0.5), evidence(0.05, ratio=-5.0, ratio_p=0.01)
    assert broido_clauset(strong, beaten) == "Strong"
    assert broido_clauset(beaten, beaten, strong) == "Not scale free"
    with pytest.raises(AnalysisError, match="evidence is empty"):
        broido_clauset()


def test_evidence_of_zeta_data_and_of_a_random_layer() -> None:
    found = tail_evidence(zeta_sample(2.5, 2000, seed=3), 0, 10**6)
    assert broido_clauset(found) == "Strongest"
    assert found.better() == ()
    assert {"exponential", "binomial", "poisson"} <= set(found.worse())
    assert value(found.span) >= 10
    layer = tail_evidence(random_graph(784, 300, 23_520, seed=1).out_degrees, 0, 300)
    assert broido_clauset(layer) not in ("Strong", "Strongest")
    assert layer.worse() == ()


def test_evidence_without_a_fit_says_why() -> None:
    found = tail_evidence(np.full(50, 3), 0, 10)
    assert found.span.reason == "all positive degrees are 3 and a fit needs at least 2 distinct values"
    assert not found.is_plausible()
    assert found.better() == found.worse() == ()
    assert broido_clauset(found) == "Not scale free"
