"""Across-side degree correlation: networkx, numpy, closed forms, and the trap of the undirected coefficient."""

import networkx as nx
import numpy as np
import pytest
from bipartite_examples import (
    assert_alike,
    bipartite_graphs,
    complete,
    from_edges,
    random_graph,
    relabelled,
    ring_lattice,
    sides_exchanged,
    to_networkx,
)
from hypothesis import given, settings

from analysis import describe
from analysis.graph.values import BipartiteGraph
from analysis.measures.degree_correlation import BIREGULAR, degree_correlation, mixing

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=100, derandomize=True)


@COMMON
@given(bipartite_graphs())
def test_agrees_with_networkx_and_numpy(graph: BipartiteGraph) -> None:
    quantity = degree_correlation(graph)
    k, d = graph.out_degrees[graph.src], graph.in_degrees[graph.dst]
    if quantity.value is None:
        assert k.size == 0 or np.ptp(k) == 0 or np.ptp(d) == 0
        return
    directed = nx.DiGraph()
    directed.add_nodes_from(range(graph.n_neurons))
    directed.add_edges_from(zip(graph.src.tolist(), (graph.dst + graph.n_in).tolist(), strict=True))
    expected = nx.degree_pearson_correlation_coefficient(directed, x="out", y="in")
    assert quantity.value == pytest.approx(expected, abs=1e-12)
    assert quantity.value == pytest.approx(np.corrcoef(k, d)[0, 1], abs=1e-12)
    assert -1 - 1e-12 <= quantity.value <= 1 + 1e-12


@COMMON
@given(bipartite_graphs())
def test_labels_and_orientation_do_not_matter(graph: BipartiteGraph) -> None:
    assert mixing(relabelled(graph, 2), RNG) == mixing(graph, RNG)
    assert_alike(sides_exchanged(mixing(graph.transposed(), RNG)), mixing(graph, RNG))


def test_extremes() -> None:
    """A big and a small complete part correlate perfectly; two stars, one each way, inversely."""
    parts = [(s, t) for s in range(3) for t in range(3)] + [(3, 3)]
    assert degree_correlation(from_edges(4, 4, parts)).value == pytest.approx(1.0)
    stars = [(0, t) for t in range(3)] + [(s, 3) for s in range(1, 4)]
    assert degree_correlation(from_edges(4, 4, stars)).value == pytest.approx(-1.0)


def test_it_is_not_the_undirected_coefficient() -> None:
    """In a random layer with unequal sides the undirected one is near -1, whatever the wiring."""
    graph = random_graph(200, 20, 800, seed=1)
    ours = degree_correlation(graph).value
    assert ours is not None
    assert abs(ours) < 0.15
    assert nx.degree_assortativity_coefficient(to_networkx(graph)) < -0.9


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (from_edges(3, 2, []), "the graph has no edge"),
        (complete(3, 4), BIREGULAR),
        (ring_lattice(6, 2), BIREGULAR),
        (from_edges(3, 3, [(0, 0), (1, 0), (2, 1)]), "all sources with edges have the same degree"),
        (from_edges(3, 3, [(0, 0), (0, 1), (1, 2)]), "all targets with edges have the same degree"),
    ],
)
def test_regular_sides_have_none(graph: BipartiteGraph, reason: str) -> None:
    assert degree_correlation(graph).reason == reason


def test_both_nulls_stand_beside_it() -> None:
    report = describe(random_graph(15, 12, 60, seed=1), nulls=3, rng=0, measures=["mixing"])["layer 0"]
    assert {null.status for null in report["degree_correlation"].nulls.values()} == {"compared"}
