"""The ring lattice with given degrees: what it keeps, and that it is clustered and long."""

import numpy as np
import pytest
from bipartite_examples import bipartite_graphs, complete, from_edges, random_graph, ring_lattice
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.graph.values import BipartiteGraph
from analysis.measures.clustering import robins_alexander_clustering
from analysis.measures.paths import average_path_length
from analysis.nulls import lattice
from analysis.nulls.switching import fixed_degrees


def clustering_and_length(graph: BipartiteGraph) -> tuple[float, float]:
    clustering, length = robins_alexander_clustering(graph).value, average_path_length(graph, np.random.default_rng(0)).value
    assert clustering is not None
    assert length is not None
    return clustering, length


@settings(deadline=None, max_examples=60, derandomize=True)
@given(bipartite_graphs(), st.integers(0, 2**32))
def test_lattice_keeps_both_degree_sequences(graph: BipartiteGraph, seed: int) -> None:
    drawn = lattice.ring_lattice(graph, seed)  # a repeated edge would be refused by the value itself
    assert np.array_equal(drawn.out_degrees, graph.out_degrees)
    assert np.array_equal(drawn.in_degrees, graph.in_degrees)


@pytest.mark.parametrize(
    "graph",
    [random_graph(300, 200, 2400, 1), random_graph(200, 300, 12_000, 2), random_graph(60, 40, 240, 3)],
    ids=["sparse", "denser", "small"],
)
def test_lattice_is_more_clustered_and_longer_than_random_graphs(graph: BipartiteGraph) -> None:
    ordered = lattice.ring_lattice(graph, 0)
    assert np.array_equal(ordered.out_degrees, graph.out_degrees)
    assert np.array_equal(ordered.in_degrees, graph.in_degrees)
    clustering, length = clustering_and_length(ordered)
    for seed in range(3):
        other = clustering_and_length(fixed_degrees(graph, seed))
        assert clustering > 2 * other[0]
        assert length > 1.2 * other[1]


def test_degrees_of_the_perfect_ring_give_nearly_the_perfect_ring() -> None:
    """Clustering and path length within 10 % of those of 300 + 300 neurons, each joined to its 8 nearest."""
    perfect = clustering_and_length(ring_lattice(300, 8))
    for seed in range(5):
        clustering, length = clustering_and_length(lattice.ring_lattice(ring_lattice(300, 8), seed))
        assert clustering == pytest.approx(perfect[0], rel=0.1)
        assert length == pytest.approx(perfect[1], rel=0.1)


def test_lattice_depends_on_the_degrees_alone() -> None:
    graph = random_graph(100, 80, 600, 4)
    other = fixed_degrees(graph, 9)
    first, second = (clustering_and_length(lattice.ring_lattice(one, 1)) for one in (graph, other))
    assert first == pytest.approx(second, rel=0.1)
    assert lattice.ring_lattice(graph, 1) == lattice.ring_lattice(graph, 1)
    assert lattice.ring_lattice(graph, 1) != lattice.ring_lattice(graph, 2)


def test_neurons_without_edges_take_no_room() -> None:
    """Dead neurons among the others leave the ring as it is: its clustering and path length do not suffer."""
    plain = ring_lattice(120, 6)
    spread = BipartiteGraph(480, 120, 4 * plain.src, plain.dst)
    whole = clustering_and_length(lattice.ring_lattice(plain, 1))
    assert clustering_and_length(lattice.ring_lattice(spread, 1)) == pytest.approx(whole, rel=0.1)


def test_graphs_without_freedom_stay_as_they_are() -> None:
    for graph in (complete(4, 3), from_edges(3, 2, []), from_edges(2, 2, [(0, 1)])):
        assert lattice.ring_lattice(graph, 0) == graph
