"""The bootstrap of a power law: exact draws, a refit of every draw, and when it stops."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis import AnalysisError
from analysis.tails.bootstrap import draw_power_law, goodness_of_fit, synthetic_degrees
from analysis.tails.fit import PowerLawFit, fit_power_law
from analysis.tails.zeta import scaled_zeta


@pytest.mark.parametrize(("alpha", "xmin"), [(1.2, 1), (2.5, 1), (2.5, 7), (20.0, 30), (60.0, 44)])
def test_draws_follow_the_power_law_exactly(alpha: float, xmin: int) -> None:
    """Chi-square on 50,000 draws, false-alarm rate 0.1 % each."""
    drawn = draw_power_law(alpha, xmin, 50_000, np.random.default_rng(1))
    assert drawn.size == 50_000
    assert drawn.min() == xmin
    assert np.array_equal(drawn, np.floor(drawn))
    x = np.arange(xmin, xmin + 40.0)
    expected = 50_000 * (x / xmin) ** -alpha / scaled_zeta(alpha, float(xmin))
    x, expected = x[expected > 5], expected[expected > 5]
    observed = np.array([np.count_nonzero(drawn == one) for one in x])
    rest = 50_000 - observed.sum(), 50_000 - expected.sum()
    if rest[1] < 5:
        observed[-1], expected[-1] = observed[-1] + rest[0], expected[-1] + rest[1]
    else:
        observed, expected = np.append(observed, rest[0]), np.append(expected, rest[1])
    assert stats.chisquare(observed, expected).pvalue > 0.001


def test_extreme_tails_stay_finite_and_whole() -> None:
    drawn = draw_power_law(1.01, 1, 2000, np.random.default_rng(2))
    assert np.isfinite(drawn).all()
    assert drawn.max() > 1e50
    assert draw_power_law(2.5, 3, 0, np.random.default_rng(2)).size == 0


def test_synthetic_data_keep_the_body_and_the_share_of_the_tail() -> None:
    positive = np.concatenate([np.repeat([1.0, 2.0], [300, 500]), np.arange(10.0, 60.0)])
    drawn = synthetic_degrees(positive, PowerLawFit(2.5, 10, 0.1, 50), np.random.default_rng(3))
    assert drawn.size == positive.size
    below = drawn[drawn < 10]
    assert set(below) == {1.0, 2.0}
    assert np.mean(below == 1.0) == pytest.approx(3 / 8, abs=0.07)
    assert np.count_nonzero(drawn >= 10) == pytest.approx(50, abs=28)  # four deviations of a binomial


def test_power_law_is_not_rejected_and_one_on_even_numbers_is() -> None:
    rng = np.random.default_rng(4)
    assert (goodness_of_fit(rng.zipf(2.5, 1000), 0).p.value or 0) >= 0.1
    result = goodness_of_fit(2 * rng.zipf(2.5, 1000), 0)
    assert result.p.value is not None
    assert result.p.value < 0.05
    assert result.n_replicates == 200
    assert result.p.value == (1 + result.n_exceeding) / 201


def test_same_seed_gives_the_same_p() -> None:
    degrees = np.random.default_rng(5).zipf(2.2, 300)
    assert goodness_of_fit(degrees, 7) == goodness_of_fit(degrees, np.random.default_rng(7))
    assert goodness_of_fit(degrees, 7, stop_after=1000) != goodness_of_fit(degrees, 8, stop_after=1000)


@pytest.mark.parametrize("seed", range(6))
def test_stopping_early_does_not_change_the_verdict(seed: int) -> None:
    """The run that stops is the beginning of the full one, and p >= 0.1 in one exactly where it is in the other."""
    degrees = np.random.default_rng(seed).zipf(2.2, 200) + seed
    early, full = goodness_of_fit(degrees, 1), goodness_of_fit(degrees, 1, stop_after=1000)
    assert early.p.value is not None
    assert full.p.value is not None
    assert (early.p.value >= 0.1) == (full.p.value >= 0.1)
    if early.n_replicates < 200:
        assert early.n_exceeding == 20
        assert early.p.value == 20 / early.n_replicates


def test_draws_that_cannot_be_fitted_are_repeated() -> None:
    """Two values, one of them rare: many draws have one value only; they are counted and never enter p."""
    result = goodness_of_fit(np.array([1] * 400 + [2]), 0)
    assert result.n_unfitted > 0
    assert result.p.value is None or result.n_replicates > 0
    for name, p in (("too few", goodness_of_fit(np.arange(1, 5), 0).p), ("one value", goodness_of_fit(np.full(99, 4), 0).p)):
        assert p.value is None, name
        assert p.reason


def test_replicates_refit_xmin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every replicate is fitted by the function that fits the data, so xmin is chosen again."""
    chosen: list[int] = []
    from analysis.tails import bootstrap

    fit = bootstrap.fit_distinct

    def spy(*arguments: Any) -> PowerLawFit:
        result = fit(*arguments)
        chosen.append(result.xmin)
        return result

    monkeypatch.setattr(bootstrap, "fit_distinct", spy)
    degrees = np.random.default_rng(6).zipf(2.2, 300) + 3
    goodness_of_fit(degrees, 0, stop_after=1000)
    assert len(chosen) == 200
    assert len(set(chosen)) > 1
    assert isinstance(fit_power_law(degrees), PowerLawFit)


@pytest.mark.parametrize("number", [0, -1, 1.5, True])
def test_numbers_are_checked(number: Any) -> None:
    with pytest.raises(AnalysisError, match="replicates is"):
        goodness_of_fit(np.arange(1, 50), 0, replicates=number)
    with pytest.raises(AnalysisError, match="stop_after is"):
        goodness_of_fit(np.arange(1, 50), 0, stop_after=number)
