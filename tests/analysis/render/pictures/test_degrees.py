"""Pictures of degrees: the data, the fit, the laws and the band of random layers."""

from typing import Any

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, random_graph, ring_lattice
from picture_examples import drawn, lines
from scipy import stats

from analysis import AnalysisError
from analysis.nulls.models import erdos_renyi
from analysis.render.pictures.degrees import (
    BAND_LABEL,
    DRAWN_ALTERNATIVES,
    NULL_LABEL,
    OBSERVED_LABEL,
    degree_distribution,
    degree_tails,
    random_degree_band,
    survival,
)
from analysis.tails.fit import PowerLawFit, fit_power_law
from analysis.tails.laws import power_law, tail_of


def test_degree_tails_show_the_data_the_fit_and_every_law() -> None:
    graph = random_graph(200, 100, 2000, seed=1)
    figure = drawn(degree_tails(graph, rng=0))
    for column, (degrees, n_opposite) in enumerate([(graph.out_degrees, 100), (graph.in_degrees, 200)]):
        fit = fit_power_law(degrees)
        assert isinstance(fit, PowerLawFit)
        whole, end = lines(figure, column), lines(figure, column + 2)
        x, y = whole[OBSERVED_LABEL].get_data()
        assert y == pytest.approx([np.mean(degrees >= value) for value in x])
        x, y = end["power law"].get_data()
        law = stats.zipfian(fit.alpha, 10**6)
        expected = fit.n_tail / degrees.size * law.sf(x - 1) / law.sf(fit.xmin - 1)
        assert y == pytest.approx(expected, rel=1e-6)
        x, y = end["binomial"].get_data()
        assert x[0] == fit.xmin
        assert x[-1] <= n_opposite
        assert y[0] == pytest.approx(fit.n_tail / degrees.size)
        assert {name.replace("_", " ") for name in DRAWN_ALTERNATIVES} < set(end)
        assert f"alpha = {fit.alpha:.2f}" in figure.axes[column].get_title()


def test_laws_and_null_can_be_told_apart_in_black_and_white() -> None:
    figure = degree_tails(random_graph(200, 100, 2000, seed=1), rng=0)
    names = {"power law", *(name.replace("_", " ") for name in DRAWN_ALTERNATIVES)}
    laws = [line for name, line in lines(figure, 2).items() if name in names]
    assert {"negative_binomial", "binomial", "lognormal"} < set(DRAWN_ALTERNATIVES)
    styles = {str(line.get_linestyle()) + str(line._dash_pattern) for line in laws}
    assert len(styles) == len({line.get_color() for line in laws}) == len(laws) == len(names)
    assert lines(figure, 2)[OBSERVED_LABEL].get_marker() == "o"
    assert any(artist.get_label() == BAND_LABEL for artist in figure.axes[0].collections)


def test_the_legend_of_the_laws_is_below_all_panels_and_styles_are_those_of_names() -> None:
    graph = random_graph(200, 100, 2000, seed=1)
    figure = drawn(degree_tails(graph, rng=0))
    (legend,) = figure.legends
    assert all(axes.get_legend() is None for axes in figure.axes)
    lowest = min(axes.get_tightbbox().y0 for axes in figure.axes)
    assert 0.0 <= legend.get_window_extent().y0 < legend.get_window_extent().y1 <= lowest
    told = [text.get_text() for text in legend.get_texts()]
    assert told == list(dict.fromkeys(told))
    assert set(told) >= {"power law", OBSERVED_LABEL, BAND_LABEL, *(name.replace("_", " ") for name in DRAWN_ALTERNATIVES)}
    alone = lines(degree_tails(graph, rng=0, alternatives=["binomial", "exponential"]), 2)
    assert alone["binomial"].get_color() == lines(figure, 2)[DRAWN_ALTERNATIVES[0].replace("_", " ")].get_color()


def test_survival_is_that_of_the_law() -> None:
    law = power_law(tail_of(np.array([2, 3, 3, 4, 9, 20]), 2))
    x = np.arange(2.0, 50.0)
    exact = stats.zipfian(law.parameters["alpha"], 10**7)
    assert survival(law, x) == pytest.approx(exact.sf(x - 1) / exact.sf(1), rel=1e-3)


def test_band_is_that_of_the_exact_counts() -> None:
    graph = random_graph(60, 40, 480, seed=1)
    low, high = random_degree_band(graph, 0, 2000)
    share = stats.hypergeom(2400, 40, 480).sf(np.arange(low.size) - 1)
    assert (low - 1.0 / 60 <= share).all()
    assert (share - 1.0 / 60 <= high).all()
    # Whole random layers have the same band: the sum of the degrees is fixed, so it is narrower than a binomial one.
    counts = [np.count_nonzero(erdos_renyi(graph, seed).out_degrees >= 9) / 60 for seed in range(800)]
    assert (low[9], high[9]) == pytest.approx(tuple(np.quantile(counts, [0.025, 0.975])), abs=1.01 / 60)
    again = random_degree_band(graph, 0, 2000)
    assert np.array_equal(low, again[0])
    assert np.array_equal(high, again[1])


def test_degrees_without_a_fit_say_why() -> None:
    figure = drawn(degree_tails(ring_lattice(20, 3), rng=0, replicates=40))
    assert all("all positive degrees are 3" in axes.get_title() for axes in figure.axes)
    assert len(figure.axes) == 2
    # Sources of one degree, targets of several: the sources' lower panel is blank.
    graph = from_edges(40, 10, [(s, t) for s in range(40) for t in (s % 4, 4 + s % 6)])
    figure = drawn(degree_tails(graph, rng=0, replicates=40))
    assert not figure.axes[2].lines
    assert figure.axes[3].lines


def test_degree_distribution_shows_observed_and_exact_null() -> None:
    graph = random_graph(60, 40, 480, seed=1)
    for panel, (degrees, law) in enumerate(
        [(graph.out_degrees, stats.hypergeom(2400, 40, 480)), (graph.in_degrees, stats.hypergeom(2400, 60, 480))]
    ):
        drawn = lines(degree_distribution({"ER": graph}, kind="histogram"), panel)
        x, y = drawn["ER"].get_data()
        assert y == pytest.approx([np.mean(degrees == value) for value in x])
        x, y = drawn[NULL_LABEL].get_data()
        assert y == pytest.approx(law.pmf(x))
        x, y = lines(degree_distribution({"ER": graph}), panel)["ER"].get_data()
        assert y == pytest.approx([np.mean(degrees >= value) for value in x])


EMPTY = from_edges(12, 3, [])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: degree_tails(EMPTY, rng=0), "graph has no edge"),
        (lambda: degree_tails(complete(3, 3), rng=0, alternatives=["cauchy"]), "alternative 'cauchy' is unknown"),
        (lambda: degree_tails(complete(3, 3), rng=0, replicates=10), "replicates is 10"),
        (lambda: degree_distribution({}), "graphs is empty"),
        (lambda: degree_distribution({"a": random_graph(3, 3, 4, 0)}, kind="pie"), "kind is 'pie'"),  # type: ignore[arg-type]
    ],
)
def test_bad_pictures(draw: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        draw()
