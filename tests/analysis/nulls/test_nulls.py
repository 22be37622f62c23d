"""Null models: what they promise to keep is kept, and what they draw is uniform."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from bipartite_examples import bipartite_graphs, complete, from_edges, random_graph, ring_lattice
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from switching_mixing import mixing

from analysis import AnalysisError
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.nulls.models import erdos_renyi, permuted_weights, randomise_layers
from analysis.nulls.switching import SWAPS_PER_EDGE, fixed_degrees


@settings(deadline=None, max_examples=60, derandomize=True)
@given(bipartite_graphs(), st.integers(0, 2**32))
def test_fixed_degrees_keeps_both_degree_sequences(graph: BipartiteGraph, seed: int) -> None:
    drawn = fixed_degrees(graph, seed)  # a repeated edge would be refused by the value itself
    assert np.array_equal(drawn.out_degrees, graph.out_degrees)
    assert np.array_equal(drawn.in_degrees, graph.in_degrees)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(bipartite_graphs(), st.integers(0, 2**32))
def test_erdos_renyi_keeps_sides_and_edge_count(graph: BipartiteGraph, seed: int) -> None:
    drawn = erdos_renyi(graph, seed)
    assert (drawn.n_in, drawn.n_out, drawn.n_edges) == (graph.n_in, graph.n_out, graph.n_edges)


def test_bitmap_follows_the_edges_over_many_chunks() -> None:
    graph = random_graph(90, 70, 2000, seed=1)
    drawn = fixed_degrees(graph, 3, swaps_per_edge=200)
    assert np.array_equal(drawn.in_degrees, graph.in_degrees)
    shared = np.intersect1d(drawn.dst * 90 + drawn.src, graph.dst * 90 + graph.src).size
    # Two independent graphs of density 0.317 share about 635 of 2000 edges.
    assert 500 < shared < 780


def chi_square_p(counts: Counter[Any], n_states: int) -> float:
    assert len(counts) == n_states
    return float(stats.chisquare(list(counts.values())).pvalue)


def test_fixed_degrees_is_uniform_over_an_enumerable_margin() -> None:
    """The margins (2, 1, 1) and (2, 1, 1) have 5 matrices; chi-square on 4000 draws, false-alarm rate 0.1 %."""
    graph = from_edges(3, 3, [(0, 0), (0, 1), (1, 0), (2, 2)])
    rng = np.random.default_rng(11)
    counts: Counter[Any] = Counter()
    for _ in range(4000):
        drawn = fixed_degrees(graph, rng)
        counts[tuple((drawn.dst * 3 + drawn.src).tolist())] += 1
    assert chi_square_p(counts, 5) > 0.001


def test_missing_edges_are_switched_uniformly_where_they_are_fewer() -> None:
    """The margins (1, 2, 2) and (1, 2, 2) are the complements of the above: 5 of 9 pairs are joined."""
    graph = from_edges(3, 3, [(0, 2), (1, 1), (1, 2), (2, 0), (2, 1)])
    rng = np.random.default_rng(13)
    counts: Counter[Any] = Counter()
    for _ in range(4000):
        drawn = fixed_degrees(graph, rng)
        assert np.array_equal(drawn.in_degrees, graph.in_degrees)
        counts[tuple((drawn.dst * 3 + drawn.src).tolist())] += 1
    assert chi_square_p(counts, 5) > 0.001


def zeta_graph(n: int, seed: int) -> BipartiteGraph:
    """Both sides have power-law degrees; repeated edges are dropped."""
    rng = np.random.default_rng(seed)
    ends = [np.repeat(np.arange(n), np.minimum(rng.zipf(2.5, n) + 1, n // 3)) for _ in range(2)]
    size = min(end.size for end in ends)
    keys = np.unique(rng.permutation(ends[0])[:size] + n * rng.permutation(ends[1])[:size])
    return BipartiteGraph(n, n, keys % n, keys // n)


def nested_graph(n: int, seed: int) -> BipartiteGraph:
    """A triangle in which 2 % of the pairs are exchanged: hardly any switch succeeds."""
    rng = np.random.default_rng(seed)
    is_joined = (np.add.outer(np.arange(n), np.arange(n)) < n) ^ (rng.random((n, n)) < 0.02)
    src, dst = np.nonzero(is_joined)
    return BipartiteGraph(n, n, src, dst)


LAYERS = {
    "random": random_graph(784, 300, 23_520, 0),
    "lattice": ring_lattice(500, 10),
    "half full": random_graph(300, 200, 30_000, 0),
    "nearly full": random_graph(300, 200, 57_000, 0),
    "heavy-tailed": zeta_graph(2000, 0),
    "small": random_graph(60, 40, 240, 0),
    "small and denser": random_graph(60, 40, 480, 0),
    "nested": nested_graph(60, 0),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_default_number_of_swaps_reaches_the_plateau(layer: str) -> None:
    """Ten attempts an edge are enough everywhere, and one attempt is caught everywhere (but in the nested layer, where it
    is prolonged 25 times), in each of 5 runs."""
    for seed in range(5):
        assert mixing(LAYERS[layer], seed).is_mixed
        course = mixing(LAYERS[layer], seed, 1)
        assert not course.is_mixed or layer == "nested"
        assert course.overlap[0] > course.overlap[19] > course.overlap[39]


def test_plateau_is_the_overlap_of_unrelated_graphs() -> None:
    graph = LAYERS["heavy-tailed"]
    course = mixing(graph, 1, SWAPS_PER_EDGE)
    unrelated = fixed_degrees(graph, 2, 50), fixed_degrees(graph, 3, 50)
    keys = [one.dst.astype(np.int64) * graph.n_in + one.src for one in unrelated]
    shared = np.intersect1d(keys[0], keys[1]).size / graph.n_edges
    assert course.overlap[20:].mean() == pytest.approx(shared, abs=0.02)
    assert 0.5 < course.acceptance < 1


def test_butterflies_forget_the_lattice_within_the_default() -> None:
    """From a lattice, which has thirty times as many: 30 draws after 10 and after 100 attempts an edge have means within 4
    standard errors."""
    from analysis.measures.clustering import butterflies

    few, many = ([butterflies(fixed_degrees(ring_lattice(200, 6), seed, swaps)) for seed in range(30)] for swaps in (10, 100))
    error = np.sqrt((np.var(few, ddof=1) + np.var(many, ddof=1)) / 30)
    assert abs(np.mean(few) - np.mean(many)) < 4 * error
    assert butterflies(ring_lattice(200, 6)) > 10 * np.mean(many)


def test_nested_graphs_are_forgotten_although_few_switches_succeed() -> None:
    """Butterflies after the default and after four times as many attempts an edge: the means
    of 30 draws each lie within 4 standard errors."""
    from analysis.measures.clustering import butterflies

    graph = nested_graph(60, 1)
    assert mixing(graph, 0, 1).acceptance < 0.02
    few, many = ([butterflies(fixed_degrees(graph, seed, swaps)) for seed in range(30)] for swaps in (10, 40))
    error = np.sqrt((np.var(few, ddof=1) + np.var(many, ddof=1)) / 30)
    assert abs(np.mean(few) - np.mean(many)) < 4 * error
    assert abs(butterflies(graph) - np.mean(many)) > 10 * error


def test_mixing_of_graphs_without_freedom() -> None:
    for graph in (complete(4, 3), from_edges(3, 2, []), from_edges(3, 3, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)])):
        course = mixing(graph, 0)
        assert course.is_mixed
        assert course.overlap == pytest.approx(np.ones(40))
        assert course.acceptance == 0.0
    with pytest.raises(AnalysisError, match="swaps_per_edge"):
        mixing(complete(2, 2), 0, 0)


def test_permuted_weights_keep_the_edges_and_the_multiset() -> None:
    plain = random_graph(30, 20, 150, seed=1)
    graph = BipartiteGraph(30, 20, plain.src, plain.dst, np.random.default_rng(1).normal(size=150))
    drawn = permuted_weights(graph, 4)
    assert np.array_equal(drawn.src, graph.src)
    assert np.array_equal(drawn.dst, graph.dst)
    assert drawn.weights is not None
    assert graph.weights is not None
    assert np.array_equal(np.sort(drawn.weights), np.sort(graph.weights))
    assert not np.array_equal(drawn.weights, graph.weights)
    assert drawn == permuted_weights(graph, 4)
    with pytest.raises(AnalysisError, match="graph has no weights"):
        permuted_weights(plain, 0)


def test_weights_are_permuted_uniformly() -> None:
    """3 weights have 6 orders; chi-square on 3000 draws, false-alarm rate 0.1 %."""
    graph = BipartiteGraph(3, 1, np.arange(3), np.zeros(3, dtype=int), np.array([1.0, 2.0, 3.0]))
    rng = np.random.default_rng(14)
    counts = Counter(tuple(permuted_weights(graph, rng).weights.tolist()) for _ in range(3000))  # type: ignore[union-attr]
    assert chi_square_p(counts, 6) > 0.001


def test_erdos_renyi_is_uniform() -> None:
    """2 of 6 pairs give 15 graphs; chi-square on 4500 draws, false-alarm rate 0.1 %."""
    graph = from_edges(2, 3, [(0, 0), (1, 2)])
    rng = np.random.default_rng(12)
    counts: Counter[Any] = Counter()
    for _ in range(4500):
        drawn = erdos_renyi(graph, rng)
        counts[tuple((drawn.dst * 2 + drawn.src).tolist())] += 1
    assert chi_square_p(counts, 15) > 0.001


def test_graphs_without_freedom_stay_as_they_are() -> None:
    for graph in (complete(4, 3), from_edges(3, 2, []), from_edges(1, 1, [(0, 0)])):
        assert fixed_degrees(graph, 0) == graph
        assert erdos_renyi(graph, 0) == graph


@pytest.mark.parametrize("null", ["erdos_renyi", "fixed_degrees"])
def test_same_seed_gives_the_same_layers(null: str) -> None:
    network = LayeredGraph((random_graph(20, 30, 150, seed=1), random_graph(30, 10, 90, seed=2)))
    first, again, other = (randomise_layers(network, null, seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert first.layer_sizes == network.layer_sizes


@pytest.mark.parametrize("swaps", [0, -1, 1.5, True])
def test_number_of_swaps_is_checked(swaps: Any) -> None:
    with pytest.raises(AnalysisError, match="swaps_per_edge"):
        fixed_degrees(complete(2, 2), 0, swaps)


@pytest.mark.parametrize("rng", [None, -1, 0.5, True, "seed"])
def test_rng_is_checked(rng: Any) -> None:
    with pytest.raises(AnalysisError, match="rng is"):
        erdos_renyi(complete(2, 2), rng)


def test_unknown_null_lists_the_choices() -> None:
    with pytest.raises(AnalysisError, match="choose from erdos_renyi, fixed_degrees"):
        randomise_layers(LayeredGraph((complete(2, 2),)), "configuration", 0)


def test_too_many_pairs_for_the_bitmap() -> None:
    wide = from_edges(2**20, 2**20, [(0, 0)])
    with pytest.raises(AnalysisError, match="pairs of neurons"):
        fixed_degrees(wide, 0)
