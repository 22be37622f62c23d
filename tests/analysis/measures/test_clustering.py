"""Latapy's clustering and butterflies: networkx, brute force, closed forms."""

import itertools

import networkx as nx
import numpy as np
import pytest
from bipartite_examples import bipartite_graphs, complete, from_edges, random_graph, relabelled, ring_lattice, to_networkx
from hypothesis import given, settings

from analysis import AnalysisError, describe
from analysis.graph.neighbours import SIDES, Side
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures._overlaps import side_overlaps
from analysis.measures.clustering import LATAPY_MODES, butterflies, clustering, latapy_clustering
from analysis.measures.registry import get_measure

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=60, derandomize=True)


def neurons(graph: BipartiteGraph, side: Side) -> range:
    """The nodes of one side in `to_networkx`."""
    return range(graph.n_in) if side == "source" else range(graph.n_in, graph.n_neurons)


@COMMON
@given(bipartite_graphs())
def test_latapy_agrees_with_networkx_in_every_mode_on_both_sides(graph: BipartiteGraph) -> None:
    other, quantities = to_networkx(graph), clustering(graph, RNG)
    for side in SIDES:
        ours = latapy_clustering(graph, side)
        for column, mode in enumerate(LATAPY_MODES):
            expected = nx.bipartite.latapy_clustering(other, nodes=neurons(graph, side), mode=mode)
            assert ours[:, column] == pytest.approx(list(expected.values()), abs=1e-12)
            average = nx.bipartite.average_clustering(other, nodes=neurons(graph, side), mode=mode)
            quantity = quantities[f"{side}_latapy_{mode}_clustering"]
            assert (quantity.value or 0.0) == pytest.approx(average, abs=1e-12)
            assert (quantity.value is None) == (average == 0.0)


@COMMON
@given(bipartite_graphs(largest_side=5))
def test_butterflies_by_brute_force(graph: BipartiteGraph) -> None:
    edges = set(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
    found = sum(
        {(a, c), (a, d), (b, c), (b, d)} <= edges
        for a, b in itertools.combinations(range(graph.n_in), 2)
        for c, d in itertools.combinations(range(graph.n_out), 2)
    )
    assert butterflies(graph) == found
    assert {side_overlaps(graph, side).butterflies for side in SIDES} == {found}


@pytest.mark.parametrize("n_edges", [200, 900, 4000])
def test_many_and_few_second_neighbours_are_counted_alike(n_edges: int) -> None:
    """Neurons that meet most others are handled by another loop than those that meet few."""
    graph = random_graph(120, 90, n_edges, seed=2)
    other = to_networkx(graph)
    for column, mode in enumerate(LATAPY_MODES):
        expected = nx.bipartite.latapy_clustering(other, nodes=neurons(graph, "target"), mode=mode)
        assert latapy_clustering(graph, "target")[:, column] == pytest.approx(list(expected.values()), abs=1e-12)


def test_values_follow_their_neurons() -> None:
    graph = random_graph(12, 9, 40, seed=1)
    order = np.random.default_rng(5).permutation(graph.n_in)
    moved = BipartiteGraph(graph.n_in, graph.n_out, order[graph.src], graph.dst)
    assert latapy_clustering(moved, "source")[order] == pytest.approx(latapy_clustering(graph, "source"), abs=1e-15)
    assert latapy_clustering(graph.transposed(), "target") == pytest.approx(latapy_clustering(graph, "source"), abs=1e-15)
    assert butterflies(relabelled(graph, 3)) == butterflies(graph)


def test_complete_graph_has_latapy_clustering_one() -> None:
    quantities = clustering(complete(4, 3), RNG)
    assert all(quantities[f"{side}_latapy_{mode}_clustering"].value == 1.0 for side in SIDES for mode in LATAPY_MODES)


def test_path_of_four_neurons_by_hand() -> None:
    """s0 - t0 - s1 - t1: the two sources share t0, their union has 2 targets, the degrees are 1 and 2."""
    quantities = clustering(from_edges(2, 2, [(0, 0), (1, 0), (1, 1)]), RNG)
    assert [quantities[f"source_latapy_{mode}_clustering"].value for mode in LATAPY_MODES] == [0.5, 1.0, 0.5]


def test_star_is_one_sided() -> None:
    quantities = clustering(from_edges(1, 5, [(0, t) for t in range(4)]), RNG)
    assert quantities["source_latapy_dot_clustering"].reason == "no two sources share a neighbour"
    # Four leaves with the value 1, and the isolated target with 0.
    assert quantities["target_latapy_dot_clustering"].value == pytest.approx(0.8)


@pytest.mark.parametrize("graph", [from_edges(3, 2, []), from_edges(4, 4, [(i, i) for i in range(4)])])
def test_without_shared_neighbours_nothing_is_defined(graph: BipartiteGraph) -> None:
    quantities = clustering(graph, RNG)
    assert quantities["butterflies"].value == 0
    assert quantities["target_latapy_min_clustering"].reason == "no two targets share a neighbour"


def test_more_butterflies_than_32_bits_hold() -> None:
    n = 100_000
    graph = BipartiteGraph(n, 2, np.tile(np.arange(n), 2), np.repeat([0, 1], n))
    assert butterflies(graph) == n * (n - 1) // 2


def test_disconnected_parts_do_not_see_each_other() -> None:
    """Two copies of a graph have its values, twice its butterflies."""
    graph = random_graph(10, 8, 40, seed=7)
    src, dst = np.concatenate([graph.src, graph.src + 10]), np.concatenate([graph.dst, graph.dst + 8])
    twice, once = clustering(BipartiteGraph(20, 16, src, dst), RNG), clustering(graph, RNG)
    assert twice["butterflies"].value == 2 * (once["butterflies"].value or 0)
    for name, quantity in once.items():
        if name not in ("butterflies", "three_paths"):
            assert twice[name].value == pytest.approx(quantity.value, rel=1e-12)


def test_network_is_measured_on_its_folded_graph() -> None:
    network = LayeredGraph((complete(2, 3), from_edges(3, 2, [(0, 0), (1, 0), (2, 1)])))
    measure = get_measure("clustering").network
    assert measure is not None
    assert measure(network, RNG) == clustering(network.folded, RNG)


def test_lattice_is_more_clustered_than_chance() -> None:
    layer = describe(ring_lattice(60, 5), nulls=19, rng=0, measures=["clustering"])["layer 0"]
    for comparison in layer["source_latapy_dot_clustering"].nulls.values():
        assert comparison.p == pytest.approx(0.05)
        assert comparison.z is not None
        assert comparison.z > 5


def test_edges_given_twice_are_refused() -> None:
    with pytest.raises(AnalysisError, match="more than once"):
        clustering(from_edges(2, 2, [(0, 0), (0, 0)]), RNG)
