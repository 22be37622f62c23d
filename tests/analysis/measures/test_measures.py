"""Degrees, clustering and paths: worked examples, independent oracles, invariances."""

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
    to_igraph,
    to_networkx,
)
from hypothesis import given, settings

from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.clustering import butterflies, clustering, robins_alexander_clustering, three_paths
from analysis.measures.degree import layer_degrees, network_degrees
from analysis.measures.paths import average_path_length, paths

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=60, derandomize=True)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 5), (4, 3), (6, 6)])
def test_complete_graph(n: int, m: int) -> None:
    graph = complete(n, m)
    assert butterflies(graph) == n * (n - 1) // 2 * m * (m - 1) // 2
    assert three_paths(graph) == n * m * (n - 1) * (m - 1)
    assert robins_alexander_clustering(graph).value == 1.0
    total = n + m
    expected = (2 * n * m + 2 * (n * (n - 1) + m * (m - 1))) / (total * (total - 1))
    assert average_path_length(graph, RNG).value == pytest.approx(expected, rel=1e-15)


def test_tree_has_three_paths_but_no_cycle() -> None:
    graph = from_edges(3, 3, [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)])  # a path of six neurons
    assert (butterflies(graph), three_paths(graph)) == (0, 3)
    assert robins_alexander_clustering(graph).value == 0.0
    assert average_path_length(graph, RNG).value == pytest.approx(35 / 15)


def test_perfect_matching_has_no_three_path_and_short_reach() -> None:
    graph = from_edges(4, 4, [(i, i) for i in range(4)])
    quantities = clustering(graph, RNG)
    assert quantities["robins_alexander_clustering"].value is None
    assert quantities["robins_alexander_clustering"].reason == "there is no path of length 3"
    reach = paths(graph, RNG)
    assert reach["average_path_length"].value == 1.0
    assert reach["reachable_pair_fraction"].value == pytest.approx(8 / 56)
    assert reach["giant_component_size"].value == 2


def test_graph_without_edges_has_no_mean_that_could_be_misread() -> None:
    empty = from_edges(3, 2, [])
    assert average_path_length(empty, RNG).reason == "no two neurons are connected"
    degrees = layer_degrees(empty, RNG)
    assert degrees["density"].value == 0.0
    assert degrees["source_degree_cv"].reason == "every degree is 0"
    assert degrees["source_degree_cv_excess"].reason is not None
    assert degrees["target_degree_zero_fraction"].value == 1.0


def test_degrees_of_a_star_by_hand() -> None:
    graph = from_edges(1, 4, [(0, 0), (0, 1), (0, 2)])
    values = {name: quantity.value for name, quantity in layer_degrees(graph, RNG).items()}
    assert values["density"] == 0.75
    assert (values["source_degree_mean"], values["source_degree_max"], values["source_degree_cv"]) == (3, 3, 0)
    assert values["target_degree_mean"] == 0.75
    assert values["target_degree_zero_fraction"] == 0.25
    assert values["target_degree_cv"] == pytest.approx(np.sqrt(0.75 * 0.25) / 0.75)
    # One source: a target's degree is Bernoulli(0.75), whose CV is exactly that.
    assert values["target_degree_cv_excess"] == pytest.approx(0.0)
    assert values["source_degree_cv_excess"] == pytest.approx(-np.sqrt(0.25 / (4 * 0.75)))


def test_density_of_a_network_counts_only_consecutive_groups() -> None:
    network = LayeredGraph((complete(2, 3), from_edges(3, 4, [(0, 0), (1, 1), (2, 2)])))
    quantities = network_degrees(network, RNG)
    assert quantities["density"].value == pytest.approx(9 / 18)
    assert quantities["degree_mean"].value == pytest.approx(2 * 9 / 9)
    assert quantities["degree_max"].value == 3


@COMMON
@given(bipartite_graphs())
def test_clustering_agrees_with_networkx(graph: BipartiteGraph) -> None:
    oracle = nx.bipartite.robins_alexander_clustering(to_networkx(graph))
    ours = robins_alexander_clustering(graph).value
    assert (0 if ours is None else ours) == pytest.approx(oracle, abs=1e-12)


@COMMON
@given(bipartite_graphs())
def test_paths_agree_with_networkx_and_igraph(graph: BipartiteGraph) -> None:
    lengths = dict(nx.all_pairs_shortest_path_length(to_networkx(graph)))
    finite = [d for source, row in lengths.items() for target, d in row.items() if source != target]
    quantities, n = paths(graph, RNG), graph.n_neurons
    assert quantities["reachable_pair_fraction"].value == pytest.approx(len(finite) / (n * (n - 1)), abs=1e-15)
    assert quantities["giant_component_size"].value == max(to_igraph(graph).components().sizes())
    value = quantities["average_path_length"].value
    if finite:
        assert value == pytest.approx(np.mean(finite), rel=1e-12)
        assert value == pytest.approx(to_igraph(graph).average_path_length(), rel=1e-12)
    else:
        assert value is None


@COMMON
@given(bipartite_graphs())
def test_measures_do_not_depend_on_labels_or_orientation(graph: BipartiteGraph) -> None:
    for measure in (layer_degrees, clustering, paths):
        expected = measure(graph, RNG)
        assert_alike(measure(relabelled(graph, 1), RNG), expected)
        assert_alike(sides_exchanged(measure(graph.transposed(), RNG)), expected)
    for exact in (butterflies, three_paths, robins_alexander_clustering):
        assert exact(relabelled(graph, 1)) == exact(graph.transposed()) == exact(graph)
    assert sides_exchanged(layer_degrees(graph.transposed(), RNG)) == layer_degrees(graph, RNG)
    assert paths(relabelled(graph, 1), RNG) == paths(graph.transposed(), RNG) == paths(graph, RNG)


def test_path_length_of_more_than_one_batch_of_sources() -> None:
    graph = random_graph(150, 90, 500, seed=2)
    assert average_path_length(graph, RNG).value == pytest.approx(to_igraph(graph).average_path_length(), rel=1e-12)


@pytest.mark.parametrize("n_edges", [60, 300, 900, 1500])
def test_butterflies_are_those_of_the_matrix_product_on_either_side(n_edges: int) -> None:
    graph = random_graph(30, 50, n_edges, seed=4)
    common = graph.biadjacency.toarray() @ graph.biadjacency.toarray().T
    pairs = common[np.triu_indices(50, 1)]
    assert butterflies(graph) == (pairs * (pairs - 1) // 2).sum()
    assert butterflies(graph.transposed()) == butterflies(graph)


def test_sampled_path_length_is_covered_by_its_standard_error() -> None:
    """|error| <= 4 standard errors in all of 20 fixed draws (15 degrees of freedom: 2 % false alarms)."""
    graph = random_graph(900, 700, 3200, seed=5)
    exact = average_path_length(graph, RNG).value
    assert exact is not None
    for seed in range(20):
        sampled = average_path_length(graph, np.random.default_rng(seed), exact_limit=0, n_batches=16)
        assert sampled.value is not None
        assert sampled.standard_error is not None
        assert 0 < sampled.standard_error < 0.02 * exact
        assert abs(sampled.value - exact) <= 4 * sampled.standard_error


def test_lattice_is_more_clustered_and_longer_than_random() -> None:
    lattice, random = ring_lattice(200, 6), random_graph(200, 200, 1200, seed=6)
    clustered, spread = robins_alexander_clustering(lattice).value, robins_alexander_clustering(random).value
    assert clustered is not None
    assert spread is not None
    assert clustered > 10 * spread
    assert (average_path_length(lattice, RNG).value or 0) > 2 * (average_path_length(random, RNG).value or 0)
