"""`PowerLawFit.to_powerlaw`: the package's numbers are ours where it is right, and its limits are where the docstring says."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis import AnalysisError
from analysis.tails.bootstrap import draw_power_law
from analysis.tails.evidence import likelihood_ratio
from analysis.tails.fit import PowerLawFit, fit_power_law
from analysis.tails.laws import power_law_log_pmf


def fitted(alpha: float, xmin: int, n: int, seed: int = 0) -> PowerLawFit:
    degrees = draw_power_law(alpha, xmin, n, np.random.default_rng(seed))
    fit = fit_power_law(np.concatenate([degrees, np.zeros(7)]))
    assert isinstance(fit, PowerLawFit)
    return fit


@pytest.mark.parametrize(("alpha", "xmin"), [(2.2, 1), (2.5, 5), (3.5, 2), (6.0, 20)])
def test_its_numbers_are_ours(alpha: float, xmin: int) -> None:
    """Also above alpha = 3, where the package's own bound of alpha would end."""
    fit = fitted(alpha, xmin, 1500)
    theirs = fit.to_powerlaw()
    tail = theirs.data
    assert (theirs.discrete, theirs.xmin, theirs.n_tail) == (True, fit.xmin, fit.n_tail)
    assert theirs.power_law.alpha == fit.alpha
    assert pytest.approx(fit.distance, abs=1e-6) == theirs.power_law.D
    ours = power_law_log_pmf(fit.alpha, fit.xmin)(tail)
    assert theirs.power_law.loglikelihoods(tail) == pytest.approx(ours, abs=1e-7)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("alpha", "xmin"), [(2.5, 1), (3.5, 2)])
def test_ratios_against_the_exponential_agree(alpha: float, xmin: int) -> None:
    fit = fitted(alpha, xmin, 1500)
    assert fit.degrees is not None
    ratio, p = likelihood_ratio(fit.degrees, fit, "exponential")
    theirs = fit.to_powerlaw().distribution_compare("power_law", "exponential", normalized_ratio=True)
    assert theirs == pytest.approx((ratio.value, p.value), rel=1e-2)


def test_its_pictures_can_be_drawn() -> None:
    fit = fitted(2.5, 1, 300).to_powerlaw()
    axes = Figure().add_subplot()
    fit.plot_ccdf(ax=axes)
    fit.power_law.plot_ccdf(ax=axes)
    (_, observed), (_, law) = (line.get_data() for line in axes.lines)
    assert observed[0] == pytest.approx(1.0)
    assert law[0] == pytest.approx(1.0)


def test_for_steep_laws_its_normaliser_is_zero() -> None:
    """What the docstring warns of; here the exact likelihoods are finite."""
    fit = fitted(12.0, 30, 800)
    theirs = fit.to_powerlaw()
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        likelihoods = theirs.power_law.loglikelihoods(theirs.data)
    assert not np.isfinite(likelihoods).all()
    assert np.isfinite(power_law_log_pmf(fit.alpha, fit.xmin)(theirs.data)).all()


def test_a_fit_without_degrees_says_so() -> None:
    with pytest.raises(AnalysisError, match="to_powerlaw needs a fit that fit_power_law has returned"):
        PowerLawFit(2.5, 1, 0.1, 100).to_powerlaw()


def test_degrees_take_no_part_in_comparisons_and_cannot_be_changed() -> None:
    fit = fitted(2.5, 1, 300)
    assert fit == PowerLawFit(fit.alpha, fit.xmin, fit.distance, fit.n_tail)
    assert hash(fit) == hash(PowerLawFit(fit.alpha, fit.xmin, fit.distance, fit.n_tail))
    assert fit.degrees is not None
    assert fit.degrees.size == 300  # zeros are left out
    with pytest.raises(ValueError, match="read-only"):
        fit.degrees[0] = 1
