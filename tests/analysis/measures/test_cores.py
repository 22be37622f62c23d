"""Cores and rich clubs: igraph and networkx as oracles, exhaustive search, planted structure against fixed degrees."""

import itertools
from typing import Any

import networkx as nx
import numpy as np
import pytest
from bipartite_examples import (
    bipartite_graphs,
    complete,
    from_edges,
    random_graph,
    relabelled,
    ring_lattice,
    to_igraph,
    to_networkx,
)
from hypothesis import given, settings

from analysis import AnalysisError
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.cores import core, core_periphery, coreness, network_core
from analysis.measures.rich_club import is_rich, rich_club_curve
from analysis.nulls.switching import fixed_degrees

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=80, derandomize=True)


def planted_club(seed: int) -> BipartiteGraph:
    """60 x 40 neurons, of which 6 sources and 4 targets have three times the degree and are completely joined."""
    rng = np.random.default_rng(seed)
    rates = np.where(np.arange(60) < 6, 0.3, 0.1)[None, :] + np.where(np.arange(40) < 4, 0.2, 0.0)[:, None]
    joined = rng.random((40, 60)) < rates
    joined[:4, :6] = True
    dst, src = np.nonzero(joined)
    return BipartiteGraph(60, 40, src, dst)


@COMMON
@given(bipartite_graphs())
def test_coreness_agrees_with_igraph_and_networkx(graph: BipartiteGraph) -> None:
    ours = np.concatenate(coreness(graph))
    assert ours.tolist() == to_igraph(graph).coreness()
    assert dict(enumerate(ours.tolist())) == nx.core_number(to_networkx(graph))


def test_coreness_of_a_larger_graph() -> None:
    graph = planted_club(0)
    assert np.concatenate(coreness(graph)).tolist() == to_igraph(graph).coreness()


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 5), (6, 6)])
def test_complete_graph(n: int, m: int) -> None:
    quantities = core(complete(n, m), RNG)
    assert quantities["max_coreness"].value == min(n, m)
    assert quantities["max_coreness_ratio"].value == 1.0
    assert quantities["source_innermost_core_fraction"].value == 1.0
    assert (quantities["rich_club_density"].value, quantities["rich_club_ratio"].value) == (1.0, 1.0)
    assert quantities["core_periphery"].reason == "every pair is joined"


def test_core_with_a_tail_by_hand() -> None:
    # A square (sources 0, 1; targets 0, 1) with a path hanging from it and an isolated source.
    graph = from_edges(4, 3, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2)])
    assert [levels.tolist() for levels in coreness(graph)] == [[2, 2, 1, 0], [2, 2, 1]]
    quantities = core(graph, RNG)
    assert quantities["max_coreness"].value == 2
    assert quantities["source_innermost_core_fraction"].value == 0.5
    assert quantities["target_innermost_core_fraction"].value == pytest.approx(2 / 3)


def test_rich_neurons_are_closed_under_degree() -> None:
    degrees = np.array([5, 3, 3, 1, 1, 1, 1, 1, 1, 1])
    assert np.flatnonzero(is_rich(degrees, 0.9)).tolist() == [0]
    assert np.flatnonzero(is_rich(degrees, 0.8)).tolist() == [0, 1, 2]
    assert np.flatnonzero(is_rich(degrees, 0.7)).tolist() == [0, 1, 2]
    assert is_rich(degrees, 0.6).all()
    assert np.flatnonzero(is_rich(np.array([0, 0, 2]), 0.0)).tolist() == [2]
    assert not is_rich(np.zeros(3, dtype=np.int64)).any()


def test_rich_club_by_hand_and_as_a_curve() -> None:
    # Degrees of sources 3, 1, 1 and of targets 2, 2, 1: the richest are source 0 and targets 0 and 1.
    graph = from_edges(3, 3, [(0, 0), (0, 1), (0, 2), (1, 0), (2, 1)])
    quantities = core(graph, RNG)
    assert quantities["rich_club_density"].value == 1.0
    assert quantities["rich_club_ratio"].value == pytest.approx(9 / 5)
    assert rich_club_curve(graph, [0.0, 0.5, 0.9]).tolist() == pytest.approx([5 / 9, 4 / 6, 1.0])
    assert rich_club_curve(ring_lattice(10, 3), 0.9).tolist() == pytest.approx([0.3])


@pytest.mark.parametrize("seed", range(3))
def test_planted_club_is_denser_than_degrees_explain(seed: int) -> None:
    """Above every one of 39 graphs of the same degrees (p = 1/40), and far above their mean."""
    graph = planted_club(seed)
    observed = core(graph, RNG)["rich_club_density"].value
    drawn = [core(fixed_degrees(graph, 100 + other), RNG)["rich_club_density"].value or 0.0 for other in range(39)]
    assert observed == 1.0
    assert observed > max(drawn)
    assert observed > 1.3 * np.mean(drawn)


def brute_force_core(graph: BipartiteGraph) -> float | None:
    """The best correlation over all pairs of degree thresholds, from numpy's own."""
    matrix = graph.biadjacency.toarray().T
    fits = []
    for low_out, low_in in itertools.product(np.unique(graph.out_degrees), np.unique(graph.in_degrees)):
        pattern = np.outer(graph.out_degrees >= low_out, graph.in_degrees >= low_in)
        if 0 < pattern.mean() < 1 and 0 < matrix.mean() < 1:
            fits.append(np.corrcoef(matrix.ravel(), pattern.ravel())[0, 1])
    return max(fits, default=None)


@COMMON
@given(bipartite_graphs())
def test_core_periphery_is_the_best_of_all_degree_cuts(graph: BipartiteGraph) -> None:
    best, expected = core_periphery(graph), brute_force_core(graph)
    assert (best is None) == (expected is None)
    if best is not None:
        assert best.correlation == pytest.approx(expected, abs=1e-12)
        sources, targets = graph.out_degrees >= best.min_source_degree, graph.in_degrees >= best.min_target_degree
        pattern = np.outer(sources, targets).ravel()
        fit = np.corrcoef(graph.biadjacency.toarray().T.ravel(), pattern)[0, 1]
        assert fit == pytest.approx(best.correlation, abs=1e-12)


def test_ideal_core_is_found() -> None:
    graph = from_edges(6, 5, list(itertools.product(range(2), range(3))))
    quantities = core(graph, RNG)
    assert quantities["core_periphery"].value == pytest.approx(1.0)
    assert quantities["source_core_fraction"].value == pytest.approx(2 / 6)
    assert quantities["target_core_fraction"].value == pytest.approx(3 / 5)


@COMMON
@given(bipartite_graphs())
def test_labels_play_no_role_and_transposition_swaps_the_sides(graph: BipartiteGraph) -> None:
    expected = core(graph, RNG)
    assert core(relabelled(graph, 1), RNG) == expected
    swapped = core(graph.transposed(), RNG)
    names = {name: name.replace("source", "?").replace("target", "source").replace("?", "target") for name in expected}
    # The graph may be its own transpose with two equally good cores, of which only one can be reported.
    for name, other in names.items():
        if not name.endswith("_core_fraction") or "innermost" in name:
            assert swapped[other] == expected[name]


def test_transposition_swaps_the_core_where_it_is_unique() -> None:
    graph = planted_club(1)
    here, there = core_periphery(graph), core_periphery(graph.transposed())
    assert here is not None
    assert there is not None
    assert (here.min_source_degree, here.min_target_degree) == (there.min_target_degree, there.min_source_degree)


def test_what_is_not_defined() -> None:
    empty = core(from_edges(3, 2, []), RNG)
    assert {quantity.reason for quantity in empty.values()} == {"the graph has no edge"}
    assert empty.keys() == core(planted_club(0), RNG).keys()
    assert core(ring_lattice(8, 3), RNG)["core_periphery"].reason == "all sources and all targets have equal degrees"
    matching = core(from_edges(4, 4, [(i, i) for i in range(3)]), RNG)  # disconnected, with isolated neurons
    assert matching["max_coreness"].value == 1
    assert matching["source_innermost_core_fraction"].value == 0.75
    with pytest.raises(AnalysisError, match="no edge"):
        rich_club_curve(from_edges(3, 2, []), [0.5])


@pytest.mark.parametrize("quantile", [-0.1, 1.0, np.nan])
def test_bad_quantiles(quantile: Any) -> None:
    with pytest.raises(AnalysisError, match="quantile is"):
        rich_club_curve(complete(2, 2), [quantile])


def test_network_counts_edges_of_both_layers() -> None:
    # A chain of complete layers: every neuron of the middle group has edges on both sides.
    network = LayeredGraph((complete(3, 4), complete(4, 2)))
    values = {name: quantity.value for name, quantity in network_core(network, RNG).items()}
    graph = network.folded
    assert values["max_coreness"] == max(to_igraph(graph).coreness())
    assert (values["rich_club_density"], values["rich_club_ratio"]) == (1.0, 1.0)
    empty = LayeredGraph((from_edges(2, 2, []), from_edges(2, 2, [])))
    assert {quantity.reason for quantity in network_core(empty, RNG).values()} == {"the graph has no edge"}
    apart = LayeredGraph((from_edges(2, 2, [(0, 0)]), from_edges(2, 2, []), random_graph(2, 3, 4, 0)))
    assert network_core(apart, RNG)["rich_club_density"].value is not None
