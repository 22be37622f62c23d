"""Power-law fits: known exponents are found, random layers do not look scale-free, undefined is said."""

import random
from typing import Any

import igraph
import numpy as np
import pytest
from bipartite_examples import random_graph
from scipy import special, stats

from analysis.powerlaw import NoFit, PowerLawFit, fit_power_law
from analysis.tails import (
    ALTERNATIVES,
    _log_cutoff_sum,
    fit_truncated_power_law,
    likelihood_ratio,
    power_law_log_likelihoods,
)


def zeta_sample(alpha: float, size: int, seed: int) -> np.ndarray[Any, Any]:
    return np.minimum(stats.zipf.rvs(alpha, size=size, random_state=seed), 10**6)


def fitted(degrees: np.ndarray[Any, Any]) -> PowerLawFit:
    fit = fit_power_law(degrees)
    assert isinstance(fit, PowerLawFit)
    return fit


@pytest.mark.parametrize("alpha", [2.2, 2.5, 3.5, 4.5])
def test_exponent_of_zeta_samples_is_recovered_and_not_capped(alpha: float) -> None:
    """Within 5 standard errors, with the discrete s.e. 1 / sqrt(n (log zeta)'') at the true xmin = 1."""
    fit = fitted(zeta_sample(alpha, 20_000, seed=1))
    step = 1e-4
    logs = np.log(special.zeta(np.array([alpha - step, alpha, alpha + step]), fit.xmin))
    error = 1 / np.sqrt(fit.n_tail * (logs[0] - 2 * logs[1] + logs[2]) / step**2)
    assert abs(fit.alpha - alpha) < 5 * error


def test_fit_is_the_maximum_of_the_likelihood_and_d_is_taken_at_the_data() -> None:
    degrees = zeta_sample(2.7, 3000, seed=2)
    fit = fitted(degrees)
    tail = degrees[degrees >= fit.xmin].astype(float)
    best = power_law_log_likelihoods(tail, fit.alpha, fit.xmin).sum()
    for other in (fit.alpha - 0.02, fit.alpha + 0.02):
        assert power_law_log_likelihoods(tail, other, fit.xmin).sum() < best
    values = np.unique(tail)
    empirical = np.searchsorted(np.sort(tail), values, side="left") / tail.size
    model = 1 - special.zeta(fit.alpha, values) / special.zeta(fit.alpha, fit.xmin)
    assert fit.distance == pytest.approx(np.abs(empirical - model).max(), abs=2e-3)
    assert fit.n_tail == tail.size


@pytest.mark.parametrize("seed", range(5))
def test_random_layer_is_not_in_the_scale_free_range(seed: int) -> None:
    graph = random_graph(784, 300, 23_520, seed)
    for degrees in (graph.out_degrees, graph.in_degrees):
        assert fitted(degrees).alpha > 5


@pytest.mark.parametrize(
    ("degrees", "reason"),
    [
        (np.zeros(50, dtype=int), "there are 0 positive degrees"),
        (np.arange(1, 10), "there are 9 positive degrees"),
        (np.full(50, 3), "all positive degrees are 3"),
    ],
)
def test_undefined_fits_say_why(degrees: np.ndarray[Any, Any], reason: str) -> None:
    fit = fit_power_law(degrees)
    assert isinstance(fit, NoFit)
    assert reason in fit.reason


def test_fit_leaves_the_global_generator_alone() -> None:
    degrees = zeta_sample(2.5, 500, seed=3)
    random.seed(1)
    expected = random.random()
    random.seed(1)
    fit_power_law(degrees)
    assert random.random() == expected


def test_ratios_prefer_the_power_law_on_zeta_data_and_not_on_a_random_layer() -> None:
    degrees = zeta_sample(2.5, 5000, seed=4)
    ratio, p = likelihood_ratio(degrees, fitted(degrees), "exponential")
    assert ratio.value is not None
    assert ratio.value > 3
    assert p.value is not None
    assert p.value < 0.001
    layer = random_graph(784, 300, 23_520, seed=0).out_degrees
    for alternative in ALTERNATIVES:
        ratio, p = likelihood_ratio(layer, fitted(layer), alternative)
        assert ratio.value is not None, ratio.reason
        assert ratio.value < 3
        assert p.value is not None
        assert 0 <= p.value <= 1


def test_truncated_power_law_contains_the_power_law_and_finds_a_cutoff() -> None:
    plain = zeta_sample(2.5, 3000, seed=5)
    ratio, p = likelihood_ratio(plain, fitted(plain), "truncated_power_law")
    assert ratio.value is not None
    assert -3 < ratio.value <= 0
    assert p.value is not None
    assert p.value > 0.01
    x = np.arange(1, 400)
    weights = x**-1.5 * np.exp(-0.05 * x)
    cut = np.random.default_rng(6).choice(x, size=3000, p=weights / weights.sum())
    fit = PowerLawFit(1.8, 1, 0.0, cut.size)
    truth = np.log(weights / weights.sum())[cut - 1].sum()
    assert fit_truncated_power_law(cut.astype(float), fit).sum() >= truth


def test_package_likelihoods_agree_where_they_do_not_underflow() -> None:
    powerlaw = pytest.importorskip("powerlaw")
    tail = np.sort(zeta_sample(2.5, 400, seed=7)).astype(float)
    theirs = powerlaw.Power_Law(xmin=1, discrete=True, parameters=[2.5], verbose=0)
    assert power_law_log_likelihoods(tail, 2.5, 1) == pytest.approx(theirs.loglikelihoods(tail), abs=1e-9)


def test_steep_tail_far_out_does_not_underflow() -> None:
    tail = np.array([900.0, 901.0, 903.0, 950.0])
    x = np.arange(900, 3000)
    law = -250 * np.log(x / 900)
    expected = law - np.log(np.exp(law).sum())
    assert power_law_log_likelihoods(tail, 250.0, 900) == pytest.approx(expected[(tail - 900).astype(int)], abs=1e-9)


@pytest.mark.parametrize(("alpha", "rate", "xmin"), [(1.5, 0.0, 1), (2.0, 0.0, 30), (0.5, 1e-4, 1), (1.2, 1e-3, 50)])
def test_sum_over_a_long_tail_is_complete(alpha: float, rate: float, xmin: int) -> None:
    offsets = np.arange(1_000_000)
    brute = np.exp(-alpha * np.log1p(offsets / xmin) - rate * offsets).sum()
    expected = np.log(brute) if rate else np.log(special.zeta(alpha, xmin)) + alpha * np.log(xmin)
    assert _log_cutoff_sum(alpha, rate, xmin) == pytest.approx(expected, abs=1e-9)


def test_tail_of_one_value_has_no_ratio() -> None:
    ratio, p = likelihood_ratio(np.array([1] * 20 + [5] * 5), PowerLawFit(2.0, 5, 0.1, 5), "lognormal")
    assert ratio.reason == p.reason == "the tail has fewer than 2 distinct values"


def test_nothing_is_printed_or_warned(capfd: pytest.CaptureFixture[str]) -> None:
    degrees = random_graph(100, 10, 250, seed=1).in_degrees
    for alternative in ALTERNATIVES:
        likelihood_ratio(degrees, fitted(degrees), alternative)
    assert capfd.readouterr() == ("", "")


def test_bootstrap_precision_does_not_change_the_fit() -> None:
    degrees = zeta_sample(2.5, 300, seed=8)
    precise = igraph.power_law_fit(degrees.tolist(), method="discrete", p_precision=0.2)
    assert (precise.alpha, precise.xmin, precise.D) == (
        fitted(degrees).alpha,
        fitted(degrees).xmin,
        fitted(degrees).distance,
    )
