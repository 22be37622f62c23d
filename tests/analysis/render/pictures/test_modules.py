"""Adjacency and modules as pictures: what is drawn is what was computed."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, random_graph
from picture_examples import drawn

from analysis.base.errors import AnalysisError
from analysis.graph.values import BipartiteGraph
from analysis.measures.community import Modules, modules
from analysis.render.pictures.modules import adjacency_matrix, cell_densities, module_edges, module_matrix


@cache
def blocks_graph() -> tuple[BipartiteGraph, Modules]:
    """Two planted modules of 30 sources and 20 targets each."""
    rng = np.random.default_rng(0)
    inside = np.arange(40)[:, None] // 20 == np.arange(60)[None, :] // 30
    dst, src = np.nonzero(rng.random(inside.shape) < np.where(inside, 0.5, 0.05))
    graph = BipartiteGraph(60, 40, src, dst)
    return graph, modules(graph, 0)


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


EMPTY = from_edges(12, 3, [])


OTHER = Modules(np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64), 0.0)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: adjacency_matrix(EMPTY), "graph has no edge"),
        (lambda: adjacency_matrix(complete(3, 3), cells=0), "cells is 0"),
        (lambda: adjacency_matrix(complete(3, 3), OTHER), "source_labels has shape"),
        (lambda: module_matrix(complete(3, 3), OTHER), "source_labels has shape"),
        (lambda: module_matrix(complete(1, 1), Modules(np.array([-1]), np.array([0]), 0.0)), "label below 0"),
    ],
)
def test_bad_pictures(draw: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        draw()
