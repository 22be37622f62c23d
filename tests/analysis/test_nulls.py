"""Null models: what they promise to keep is kept, and what they draw is uniform."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from bipartite_examples import bipartite_graphs, complete, from_edges, random_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis import AnalysisError
from analysis.graphs import BipartiteGraph, LayeredGraph
from analysis.nulls import erdos_renyi, fixed_degrees, randomise_layers


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
