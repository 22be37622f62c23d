"""Power-law fits: known exponents are found, random layers do not look scale-free, undefined is said."""

from typing import Any

import igraph
import numpy as np
import pytest
from bipartite_examples import random_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from analysis.measures.power_law import power_law_quantities
from analysis.tails.fit import NoFit, PowerLawFit, fit_power_law
from analysis.tails.laws import power_law_log_pmf
from analysis.tails.zeta import log_zeta_derivatives, scaled_zeta


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
    best = power_law_log_pmf(fit.alpha, fit.xmin)(tail).sum()
    for other in (fit.alpha - 0.02, fit.alpha + 0.02):
        assert power_law_log_pmf(other, fit.xmin)(tail).sum() < best
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


@pytest.mark.parametrize("alpha", [1.8, 2.5, 3.5])
@pytest.mark.parametrize("size", [300, 3000])
def test_fit_equals_that_of_igraph(alpha: float, size: int) -> None:
    for seed in range(5):
        degrees = zeta_sample(alpha, size, seed)
        theirs, ours = igraph.power_law_fit(degrees.tolist(), method="discrete", p_precision=0.5), fitted(degrees)
        assert ours.xmin == theirs.xmin
        assert ours.alpha == pytest.approx(theirs.alpha, rel=1e-6)
        assert ours.distance == pytest.approx(theirs.D, abs=1e-6)


def test_small_samples_have_the_bias_correction_of_igraph() -> None:
    """igraph stops its search at about 1e-5 here, hence the tolerance."""
    for seed in range(20):
        degrees = zeta_sample(2.2, 30, seed)
        theirs, ours = igraph.power_law_fit(degrees.tolist(), method="discrete", p_precision=0.5), fitted(degrees)
        assert ours.xmin == theirs.xmin
        assert ours.alpha == pytest.approx(theirs.alpha, rel=1e-4)


def test_steep_tails_are_fitted_at_least_as_well_as_by_igraph() -> None:
    """On random layers igraph ends short of the maximum; xmin is the same, the likelihood here is not smaller."""
    for seed in range(10):
        degrees = random_graph(784, 300, 23_520, seed).out_degrees
        theirs, ours = igraph.power_law_fit(degrees.tolist(), method="discrete", p_precision=0.5), fitted(degrees)
        tail = degrees[degrees >= ours.xmin].astype(float)
        assert ours.xmin == theirs.xmin
        assert ours.alpha == pytest.approx(theirs.alpha, rel=0.05)
        likelihoods = [power_law_log_pmf(alpha, ours.xmin)(tail).sum() for alpha in (ours.alpha, theirs.alpha)]
        assert likelihoods[0] >= likelihoods[1]


def brute_force_fit(degrees: np.ndarray[Any, Any]) -> tuple[float, int, float]:
    """Every candidate for xmin by the rule that the module states, one after the other; scipy maximises."""
    values, counts = np.unique(degrees, return_counts=True)
    last = max(values.size - 3, 0)
    last += values.size > 2 and counts[last] > 1
    found = []
    for xmin in values[: last + 1]:
        tail = degrees[degrees >= xmin].astype(float)

        def cost(alpha: float, tail: np.ndarray[Any, Any] = tail, xmin: int = int(xmin)) -> float:
            return -float(power_law_log_pmf(alpha, xmin)(tail).sum())

        alpha = float(optimize.minimize_scalar(cost, bounds=(1.001, 300), method="bounded", options={"xatol": 1e-10}).x)
        points = np.unique(tail)
        law = np.exp(power_law_log_pmf(alpha, int(xmin))(np.arange(xmin, points[-1] + 1.0)))
        below = [law[: int(point - xmin)].sum() - (tail < point).mean() for point in points]
        found.append((float(np.abs(below).max()), alpha, int(xmin)))
    distance, alpha, xmin = min(found, key=lambda one: one[0])
    return alpha, xmin, distance


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.integers(1, 25), min_size=50, max_size=120))
def test_fit_agrees_with_brute_force(values: list[int]) -> None:
    degrees = np.array(values)
    if degrees.min() == degrees.max():
        return
    alpha, _, distance = brute_force_fit(degrees)
    ours = fitted(degrees)
    assert ours.distance == pytest.approx(distance, abs=1e-6)
    assert ours.alpha == pytest.approx(alpha, rel=1e-4)


def test_standard_error_is_the_spread_of_the_exponent_at_a_known_xmin() -> None:
    """With xmin = 1 for certain; the spread of 300 estimates is itself known to 4 %, so 16 % is 4 standard errors."""
    fits = [fitted(zeta_sample(2.5, 400, seed)) for seed in range(600)]
    at_one = [fit for fit in fits if fit.xmin == 1][:300]
    spread = np.std([fit.alpha for fit in at_one], ddof=1)
    assert np.mean([fit.standard_error for fit in at_one]) == pytest.approx(spread, rel=0.16)
    quantity = power_law_quantities("x", zeta_sample(2.5, 400, 1))["x_alpha"]
    assert quantity.standard_error == fitted(zeta_sample(2.5, 400, 1)).standard_error


@pytest.mark.parametrize("alpha", [1.05, 1.5, 2.5, 8.0, 40.0])
@pytest.mark.parametrize("x", [1.0, 2.0, 7.0, 300.0, 1e5])
def test_scaled_zeta_and_its_derivatives(alpha: float, x: float) -> None:
    """Against scipy where that does not underflow, and against differences of the function itself."""
    if alpha * np.log(x) < 300:
        assert scaled_zeta(alpha, x) == pytest.approx(special.zeta(alpha, x) * x**alpha, rel=1e-12)
    step = 1e-3 * (alpha - 1)
    logs = [np.log(scaled_zeta(alpha + shift * step, x)) for shift in (-1, 0, 1)]
    first, second = log_zeta_derivatives(alpha, x)
    assert first == pytest.approx((logs[2] - logs[0]) / (2 * step), rel=1e-4)
    assert second == pytest.approx((logs[2] - 2 * logs[1] + logs[0]) / step**2, rel=1e-3, abs=1e-9)


def test_steep_tail_far_out_does_not_underflow() -> None:
    tail = np.array([900.0, 901.0, 903.0, 950.0])
    x = np.arange(900, 3000)
    law = -250 * np.log(x / 900)
    expected = law - np.log(np.exp(law).sum())
    assert power_law_log_pmf(250.0, 900)(tail) == pytest.approx(expected[(tail - 900).astype(int)], abs=1e-9)
