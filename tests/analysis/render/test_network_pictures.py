"""Pictures of networks show what was computed, can be told apart without colour, and refuse what they cannot draw."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, random_graph, ring_lattice, weighted
from matplotlib.figure import Figure
from scipy import stats

from analysis import AnalysisError
from analysis.graph.values import BipartiteGraph
from analysis.measures.community import Modules, modules
from analysis.measures.wiring_length import field_sizes_and_radii
from analysis.nulls.models import erdos_renyi
from analysis.render.pictures.degrees import (
    BAND_LABEL,
    DRAWN_ALTERNATIVES,
    OBSERVED_LABEL,
    degree_tails,
    random_degree_band,
    survival,
)
from analysis.render.pictures.inputs import field_centroids, first_layer_maps, input_strength_map, receptive_field_map
from analysis.render.pictures.modules import adjacency_matrix, cell_densities, module_edges, module_matrix
from analysis.tails.fit import PowerLawFit, fit_power_law
from analysis.tails.laws import power_law, tail_of


def lines(figure: Figure, panel: int) -> dict[str, Any]:
    return {str(line.get_label()): line for line in figure.axes[panel].lines}


def drawn(figure: Figure) -> Figure:
    figure.draw_without_rendering()
    return figure


@cache
def blocks_graph() -> tuple[BipartiteGraph, Modules]:
    """Two planted modules of 30 sources and 20 targets each."""
    rng = np.random.default_rng(0)
    inside = np.arange(40)[:, None] // 20 == np.arange(60)[None, :] // 30
    dst, src = np.nonzero(rng.random(inside.shape) < np.where(inside, 0.5, 0.05))
    graph = BipartiteGraph(60, 40, src, dst)
    return graph, modules(graph, 0)


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


def test_adjacency_orders_and_frames() -> None:
    graph, partition = blocks_graph()
    figure = drawn(adjacency_matrix(graph, partition))
    by_degree, by_module = (axes.images[0].get_array() for axes in figure.axes[:2])
    dense = graph.biadjacency.toarray()
    sources = np.argsort(-graph.out_degrees, kind="stable")
    targets = np.argsort(-graph.in_degrees, kind="stable")
    assert np.array_equal(by_degree, dense[np.ix_(targets, sources)])
    assert sorted(by_module.sum(axis=0)) == sorted(dense.sum(axis=0))
    frames = figure.axes[1].patches
    assert len(frames) == partition.n_modules
    inside = sum(
        by_module[int(f.get_y()) : int(f.get_y() + f.get_height()), int(f.get_x()) : int(f.get_x() + f.get_width())].sum()
        for f in frames
    )
    assert inside == np.count_nonzero(partition.source_labels[graph.src] == partition.target_labels[graph.dst])
    assert len([axes for axes in adjacency_matrix(graph).axes if axes.images]) == 1


def test_cells_hold_shares_of_pairs() -> None:
    graph = random_graph(7, 5, 20, seed=3)
    shares = cell_densities(graph, np.arange(7), np.arange(5), 3)
    dense = graph.biadjacency.toarray()
    rows, columns = np.arange(5) * 3 // 5, np.arange(7) * 3 // 7
    expected = [[dense[np.ix_(rows == r, columns == c)].mean() for c in range(3)] for r in range(3)]
    assert shares == pytest.approx(np.array(expected))


def test_large_layers_are_binned() -> None:
    graph = random_graph(3000, 1200, 5000, seed=0)
    assert adjacency_matrix(graph, cells=100).axes[0].images[0].get_array().shape == (100, 100)


def test_module_matrix_shows_edges_and_expectation() -> None:
    graph, partition = blocks_graph()
    edges, expected = module_edges(graph, partition)
    assert edges.sum() == graph.n_edges
    assert expected.sum() == pytest.approx(graph.n_edges)
    q = np.trace(edges - expected) / graph.n_edges
    assert q == pytest.approx(partition.modularity)
    axes = drawn(module_matrix(graph, partition)).axes[0]
    ratio = edges / expected
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(np.log2(np.maximum(ratio, 0.25)))
    assert [text.get_text() for text in axes.texts] == [
        f"{value:.2f}\n({count})" for value, count in zip(ratio.flat, edges.flat, strict=True)
    ]


def test_module_without_a_side_has_no_row() -> None:
    graph = from_edges(3, 2, [(0, 0), (1, 1)])
    partition = Modules(np.array([0, 1, -1]), np.array([0, 0]), 0.0)
    assert module_matrix(graph, partition).axes[0].images[0].get_array().shape == (1, 2)


def test_first_layer_maps_show_strengths_and_fields() -> None:
    graph = weighted(random_graph(12, 6, 30, seed=0), seed=1)
    assert graph.weights is not None
    figures = first_layer_maps({"before": graph, "after": graph}, (3, 4))
    assert list(figures) == ["degree", "strength", "field"]
    pictures = [np.asarray(axes.images[0].get_array()) for axes in drawn(figures["strength"]).axes[:6]]
    net = np.bincount(graph.src, graph.weights, minlength=12).reshape(3, 4)
    assert pictures[0] - pictures[2] == pytest.approx(net)
    assert pictures[4] == pytest.approx(net)
    points = drawn(figures["field"]).axes[0].collections[0]
    sizes, squared = field_sizes_and_radii(graph, (3, 4))
    assert np.asarray(points.get_offsets())[:, ::-1] == pytest.approx(field_centroids(graph, (3, 4))[sizes > 0])
    assert np.asarray(points.get_array()) == pytest.approx(np.sqrt(squared[sizes > 0]))
    assert "strength" not in first_layer_maps({"a": random_graph(12, 6, 30, seed=0)}, (3, 4))


def test_centroids_by_hand() -> None:
    graph = from_edges(6, 3, [(0, 0), (5, 0), (4, 1)])
    centroids = field_centroids(graph, (2, 3))
    assert centroids[:2].tolist() == [[0.5, 1.0], [1.0, 1.0]]
    assert np.isnan(centroids[2]).all()


EMPTY = from_edges(12, 3, [])
OTHER = Modules(np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64), 0.0)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: degree_tails(EMPTY, rng=0), "graph has no edge"),
        (lambda: degree_tails(complete(3, 3), rng=0, alternatives=["cauchy"]), "alternative 'cauchy' is unknown"),
        (lambda: degree_tails(complete(3, 3), rng=0, replicates=10), "replicates is 10"),
        (lambda: adjacency_matrix(EMPTY), "graph has no edge"),
        (lambda: adjacency_matrix(complete(3, 3), cells=0), "cells is 0"),
        (lambda: adjacency_matrix(complete(3, 3), OTHER), "source_labels has shape"),
        (lambda: module_matrix(complete(3, 3), OTHER), "source_labels has shape"),
        (lambda: module_matrix(complete(1, 1), Modules(np.array([-1]), np.array([0]), 0.0)), "label below 0"),
        (lambda: first_layer_maps({}, (3, 4)), "layers is empty"),
        (lambda: first_layer_maps({"a": complete(5, 2)}, (3, 4)), "image_shape is"),
        (lambda: receptive_field_map({"a": EMPTY}, (3, 4)), "has no edge"),
        (lambda: input_strength_map({"a": complete(12, 2)}, (3, 4)), "the graph has no weights"),
    ],
)
def test_bad_pictures(draw: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        draw()
