"""Paired differences: the interval against scipy's paired test, its words, and differences that are all equal."""

import numpy as np
import pytest
from scipy import stats

from netsci_nn.experiment.paired import paired_difference, spread


def test_the_interval_of_scipy_and_its_words() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 0.1, 7), rng.normal(0.3, 0.1, 7)
    found = paired_difference("x", "a", a.tolist(), "b", b.tolist())
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert "helps" in paired_difference("x", "a", [0.9, 0.91], "b", [0.5, 0.51]).sentence
    assert "harms" in paired_difference("x", "a", [0.5, 0.51], "b", [0.9, 0.91]).sentence
    assert paired_difference("x", "a", [0.9], "b", [0.5]).low is None
    assert "nothing can be said" in paired_difference("x", "a", [0.9], "b", [0.5]).sentence
    assert "harms" in paired_difference("x", "a", [0.9, 0.91], "b", [0.5, 0.51], is_better_high=False).sentence


@pytest.mark.parametrize("values", [[0.5, 0.5, 0.5], [0.0, 0.0], [0.1 + 0.2, 0.3, 0.7 - 0.4]])
def test_equal_differences_have_an_interval_of_length_zero(values: list[float]) -> None:
    """Warnings are errors here; the last differences are equal but for rounding."""
    found = paired_difference("x", "a", values, "b", [0.0] * len(values))
    assert (found.low, found.high) == pytest.approx((values[0], values[0]), abs=1e-15)


@pytest.mark.parametrize("values", [[np.inf, 0.5], [np.nan, 0.5], [np.inf, -np.inf]])
def test_scores_that_are_not_finite_say_nothing(values: list[float]) -> None:
    found = paired_difference("wiring", "own", values, "random", [0.5, 0.5])
    assert np.isnan(found.mean)
    assert (found.sd, found.low, found.high) == (None, None, None)
    assert found.sentence == "wiring: a score is not finite, so nothing can be said"
    assert spread(values) is None
    assert spread([0.5, 1.5]) == pytest.approx(0.5**0.5)
