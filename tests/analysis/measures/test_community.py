"""Barber modularity and its maximisation: worked examples, dense brute force, planted modules, roles by hand."""

import itertools
import random
from typing import Any

import igraph
import numpy as np
import pytest
from bipartite_examples import bipartite_graphs, complete, from_edges, random_graph, relabelled, ring_lattice
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import AnalysisError
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures._brim import _choose, _climb, _sums, connected_sides
from analysis.measures.community import barber_modularity, community, modules, network_community, participation, within_module_z

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=60, derandomize=True)
TWO_SQUARES = from_edges(4, 4, [(s, t) for s in range(4) for t in range(4) if s // 2 == t // 2])


def blocks(n_in: int, n_out: int, n_blocks: int, inside: float, outside: float, seed: int) -> BipartiteGraph:
    same = np.arange(n_in)[None, :] % n_blocks == np.arange(n_out)[:, None] % n_blocks
    dst, src = np.nonzero(np.random.default_rng(seed).random((n_out, n_in)) < np.where(same, inside, outside))
    return BipartiteGraph(n_in, n_out, src, dst)


def dense_modularity(graph: BipartiteGraph, g: Any, h: Any) -> float:
    a, m = graph.biadjacency.toarray().T, graph.n_edges
    same = np.asarray(g)[:, None] == np.asarray(h)[None, :]
    return float(((a - np.outer(a.sum(axis=1), a.sum(axis=0)) / m) * same).sum() / m)


def labels_for(graph: BipartiteGraph, seed: int, n_labels: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(-1, n_labels, graph.n_in), rng.integers(-1, n_labels, graph.n_out)


def test_two_complete_squares_by_hand() -> None:
    assert barber_modularity(TWO_SQUARES, [0, 0, 1, 1], [0, 0, 1, 1]).value == 0.5
    assert barber_modularity(TWO_SQUARES, [0, 0, 1, 1], [1, 1, 0, 0]).value == -0.5
    assert barber_modularity(TWO_SQUARES, [0] * 4, [0] * 4).value == 0.0
    assert barber_modularity(TWO_SQUARES, [7, 7, -3, -3], [7, 7, -3, -3]).value == 0.5
    found = modules(TWO_SQUARES, 0)
    assert (found.modularity, found.n_modules) == (0.5, 2)
    assert found.source_labels.tolist() == found.target_labels.tolist()
    values = {name: quantity.value for name, quantity in community(TWO_SQUARES, RNG).items()}
    # All edges are inside, so Q is the largest value for these degrees.
    assert (values["barber_modularity"], values["barber_modularity_ratio"], values["modules"]) == (0.5, 1.0, 2)
    assert values["source_participation_mean"] == values["target_within_module_z_max"] == 0


@COMMON
@given(bipartite_graphs(), st.integers(0, 2**32))
def test_modularity_agrees_with_the_dense_formula(graph: BipartiteGraph, seed: int) -> None:
    g, h = labels_for(graph, seed)
    quantity = barber_modularity(graph, g, h)
    if graph.n_edges == 0:
        assert quantity.reason == "the graph has no edge"
    else:
        assert quantity.value == pytest.approx(dense_modularity(graph, g, h), abs=1e-14)


@COMMON
@given(bipartite_graphs(), st.integers(0, 2**32))
def test_functions_of_labels_follow_relabelling_and_transposition(graph: BipartiteGraph, seed: int) -> None:
    g, h = labels_for(graph, seed)
    rng = np.random.default_rng(seed)
    sources, targets = rng.permutation(graph.n_in), rng.permutation(graph.n_out)
    moved = BipartiteGraph(graph.n_in, graph.n_out, sources[graph.src], targets[graph.dst])
    moved_g, moved_h = np.empty_like(g), np.empty_like(h)
    moved_g[sources], moved_h[targets] = g, h
    assert barber_modularity(moved, moved_g, moved_h) == barber_modularity(graph, g, h)
    assert barber_modularity(graph.transposed(), h, g) == barber_modularity(graph, g, h)
    for function in (participation, within_module_z):
        of_sources, of_targets = function(graph, g, h)
        moved_sources, moved_targets = function(moved, moved_g, moved_h)
        assert np.array_equal(moved_sources[sources], of_sources)
        assert np.array_equal(moved_targets[targets], of_targets)
        swapped_targets, swapped_sources = function(graph.transposed(), h, g)
        assert np.array_equal(swapped_sources, of_sources)
        assert np.array_equal(swapped_targets, of_targets)


@COMMON
@given(bipartite_graphs(), st.integers(0, 2**32))
def test_brim_never_lowers_modularity(graph: BipartiteGraph, seed: int) -> None:
    sides = connected_sides(graph)
    n_first, n_second = sides.degrees.size, sides.other_degrees.size
    if n_first == 0:
        return
    dense = from_edges(n_first, n_second, [(s, t) for s in range(n_first) for t in sides.neighbours[_span(sides, s)]])
    labels = np.random.default_rng(seed).integers(0, 4, n_first + n_second)
    g, h = labels[:n_first].copy(), labels[n_first:].copy()
    value = dense_modularity(dense, g, h)
    for _ in range(3):
        _choose(sides.starts, sides.neighbours, sides.degrees, g, h, _sums(h, sides.other_degrees, 4))
        after_first = dense_modularity(dense, g, h)
        _choose(sides.other_starts, sides.other_neighbours, sides.other_degrees, h, g, _sums(g, sides.degrees, 4))
        after_second = dense_modularity(dense, g, h)
        assert value - 1e-12 <= after_first <= after_second + 1e-12
        value = after_second
    labels = np.concatenate([g, h])
    score = _climb(sides, labels)
    final = dense_modularity(dense, labels[:n_first], labels[n_first:])
    assert final >= max(value, 0.0) - 1e-12
    assert score / graph.n_edges**2 == pytest.approx(final, abs=1e-12)


def _span(sides: Any, neuron: int) -> slice:
    return slice(sides.starts[neuron], sides.starts[neuron + 1])


def set_partitions(n: int) -> list[list[int]]:
    """Every partition of n neurons, as labels in order of first appearance."""
    result = [[0]]
    for _ in range(n - 1):
        result = [[*labels, new] for labels in result for new in range(max(labels) + 2)]
    return result


@settings(deadline=None, max_examples=15, derandomize=True)
@given(bipartite_graphs(largest_side=4))
def test_maximum_of_small_graphs_is_found(graph: BipartiteGraph) -> None:
    if graph.n_edges == 0:
        return
    splits = set_partitions(graph.n_neurons)
    best = max(barber_modularity(graph, p[: graph.n_in], p[graph.n_in :]).value or 0.0 for p in splits)
    found = modules(graph, 0)
    assert found.modularity == pytest.approx(best, abs=1e-14)
    assert found.modularity == barber_modularity(graph, found.source_labels, found.target_labels).value


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (4, 3), (6, 6)])
def test_complete_graph_is_one_module(n: int, m: int) -> None:
    found = modules(complete(n, m), 0)
    assert (found.modularity, found.n_modules) == (0.0, 1)
    quantities = community(complete(n, m), RNG)
    assert quantities["barber_modularity_ratio"].reason == "there is a single module"
    assert quantities["modules"].value == 1


def test_components_are_modules_and_isolated_neurons_are_in_none() -> None:
    matching = from_edges(5, 4, [(i, i) for i in range(3)])
    found = modules(matching, 0)
    assert found.modularity == pytest.approx(1 - 1 / 3)
    assert sorted(found.source_labels.tolist()) == [-1, -1, 0, 1, 2]
    assert found.target_labels.tolist() == [*found.source_labels[:3].tolist(), -1]


def test_modules_are_consecutive_and_ordered_by_size() -> None:
    graph = from_edges(5, 5, [(0, 0), (4, 4), *itertools.product([1, 2, 3], [1, 2]), (4, 3)])
    found = modules(graph, 0)
    sizes = np.bincount(np.concatenate([found.source_labels, found.target_labels]))
    assert sizes.tolist() == [5, 3, 2]
    assert found.source_labels.tolist() == [2, 0, 0, 0, 1]


@pytest.mark.parametrize("seed", range(20))
def test_planted_modules_are_found(seed: int) -> None:
    """Four blocks of 60 x 40 neurons: never worse than the planted partition, which has Q of about 0.25 to 0.5."""
    for inside, outside in ((0.4, 0.05), (0.3, 0.1)):
        graph = blocks(60, 40, 4, inside, outside, seed)
        planted = barber_modularity(graph, np.arange(60) % 4, np.arange(40) % 4).value
        assert planted is not None
        assert modules(graph, seed).modularity >= planted


def test_blocks_are_more_modular_than_random_and_labels_agree() -> None:
    graph = blocks(60, 40, 4, 0.6, 0.01, seed=1)
    found = modules(graph, 0)
    assert found.n_modules == 4
    for labels in (found.source_labels, found.target_labels):
        # The module is a function of the block: one pair (block, module) for each block.
        assert len({(i % 4, module) for i, module in enumerate(labels.tolist())}) == 4
    assert found.modularity > modules(random_graph(60, 40, graph.n_edges, seed=1), 0).modularity + 0.2


def test_lattice_is_cut_into_arcs() -> None:
    """Arcs of length n / c have about Q = 1 - 1/c - c (degree - 1) / (4 n), up to rounding."""
    assert modules(ring_lattice(100, 6), 0).modularity > 0.74


def test_same_seed_gives_the_same_modules_and_orientation_does_not_matter() -> None:
    graph = random_graph(50, 30, 300, seed=3)
    first, again, swapped = modules(graph, 5), modules(graph, 5), modules(graph.transposed(), 5)
    assert np.array_equal(first.source_labels, again.source_labels)
    assert np.array_equal(first.source_labels, swapped.target_labels)
    assert np.array_equal(first.target_labels, swapped.source_labels)
    assert abs(modules(relabelled(graph, 1), 5).modularity - first.modularity) < 0.02


def test_more_restarts_are_not_worse_in_the_mean() -> None:
    graph = random_graph(60, 40, 300, seed=4)
    few, many = (np.mean([modules(graph, seed, restarts).modularity for seed in range(5)]) for restarts in (1, 20))
    assert many >= few


@pytest.mark.parametrize(("shape", "seed"), [((30, 20, 120), 0), ((60, 40, 300), 1), ((60, 40, 300), 2), ((100, 50, 1500), 3)])
def test_modularity_is_that_of_leiden(shape: tuple[int, int, int], seed: int) -> None:
    """On edges from sources to targets, Leiden's algorithm with these node weights maximises Barber's modularity too."""
    graph = random_graph(*shape, seed)
    directed = igraph.Graph(n=graph.n_neurons, edges=np.stack([graph.src, graph.dst + graph.n_in], axis=1), directed=True)
    weights = {
        "node_weights": [*graph.out_degrees.tolist(), *[0] * graph.n_out],
        "node_in_weights": [*[0] * graph.n_in, *graph.in_degrees.tolist()],
    }
    random.seed(seed)  # igraph draws from Python's global generator
    found = []
    for _ in range(10):
        labels = directed.community_leiden("CPM", resolution=1 / graph.n_edges, n_iterations=-1, **weights).membership
        found.append(barber_modularity(graph, labels[: graph.n_in], labels[graph.n_in :]).value)
    assert modules(graph, 0).modularity >= max(found) - 0.01


def test_roles_by_hand() -> None:
    # Source 0 has three edges into module 0 and one into module 1; the others stay inside their modules.
    graph = from_edges(4, 4, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (2, 1), (3, 3)])
    g, h = [0, 0, 0, 1], [0, 0, 0, 1]
    of_sources, of_targets = participation(graph, g, h)
    assert of_sources.tolist() == pytest.approx([1 - (9 + 1) / 16, 0, 0, 0])
    assert of_targets.tolist() == pytest.approx([0, 0, 0, 0.5])
    z_sources, z_targets = within_module_z(graph, g, h)
    # Edges of sources 0, 1, 2 into their module: 3, 1, 1; mean 5/3, standard deviation sqrt(8)/3.
    assert z_sources.tolist() == pytest.approx([4 / np.sqrt(8), -2 / np.sqrt(8), -2 / np.sqrt(8), 0])
    # Targets 0, 1, 2: 2, 2, 1.
    assert z_targets.tolist() == pytest.approx([1 / np.sqrt(2), 1 / np.sqrt(2), -2 / np.sqrt(2), 0])


def test_hub_of_a_module_is_counted() -> None:
    spokes = [(0, t) for t in range(20)] + [(s, s % 20) for s in range(1, 20)]
    graph = from_edges(20, 20, spokes)
    z, _ = within_module_z(graph, [0] * 20, [0] * 20)
    assert z[0] > 2.5
    assert np.count_nonzero(z > 2.5) == 1


def test_network_counts_all_neurons_together() -> None:
    network = LayeredGraph((TWO_SQUARES, TWO_SQUARES))
    values = {name: quantity.value for name, quantity in network_community(network, RNG).items()}
    assert (values["modules"], values["barber_modularity"], values["participation_mean"]) == (2, 0.5, 0)


def test_graph_without_edges() -> None:
    empty = from_edges(3, 2, [])
    layer, network = community(empty, RNG), network_community(LayeredGraph((empty,)), RNG)
    assert {quantity.reason for quantity in (*layer.values(), *network.values())} == {"the graph has no edge"}
    assert layer.keys() == community(TWO_SQUARES, RNG).keys()
    assert network.keys() == network_community(LayeredGraph((TWO_SQUARES,)), RNG).keys()
    assert [values.tolist() for values in participation(empty, [0] * 3, [0] * 2)] == [[0.0] * 3, [0.0] * 2]
    with pytest.raises(AnalysisError, match="no edge"):
        modules(empty, 0)


@pytest.mark.parametrize(
    ("g", "h", "message"),
    [
        ([0, 0, 0], [0, 0, 1, 1], "source_labels has shape"),
        ([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0], "target_labels has shape"),
        ([0, 0, 1, 1], [[0, 0, 1, 1]], "4 integers are needed"),
    ],
)
def test_bad_labels(g: Any, h: Any, message: str) -> None:
    for function in (barber_modularity, participation, within_module_z):
        with pytest.raises(AnalysisError, match=message):
            function(TWO_SQUARES, g, h)


@pytest.mark.parametrize("restarts", [0, -1, 2.0, True])
def test_bad_restarts(restarts: Any) -> None:
    with pytest.raises(AnalysisError, match="restarts is"):
        modules(TWO_SQUARES, 0, restarts)
