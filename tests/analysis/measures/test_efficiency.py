"""Efficiency and the bounds of complete wiring: networkx, closed forms, samples."""

import itertools

import networkx as nx
import numpy as np
import pytest
from bipartite_examples import bipartite_graphs, complete, from_edges, random_graph, to_networkx
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import AnalysisError, describe
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.paths import global_efficiency, path_bounds, path_sums, paths

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=60, derandomize=True)


@COMMON
@given(bipartite_graphs())
def test_efficiency_agrees_with_networkx_and_stays_within_its_bounds(graph: BipartiteGraph) -> None:
    quantities = paths(graph, RNG)
    values = {name: quantity.value for name, quantity in quantities.items()}
    assert values["global_efficiency"] == pytest.approx(nx.global_efficiency(to_networkx(graph)), abs=1e-12)
    shortest, most = path_bounds((graph.n_in, graph.n_out))
    assert (values["path_length_minimum"], values["efficiency_maximum"]) == (shortest, most)
    ratio, excess = values["efficiency_ratio"], values["path_length_excess"]
    assert ratio is not None
    assert 0.0 <= ratio <= 1.0
    assert ratio == pytest.approx(nx.global_efficiency(to_networkx(graph)) / most, abs=1e-12)
    if nx.is_connected(to_networkx(graph)):
        assert excess == pytest.approx(nx.average_shortest_path_length(to_networkx(graph)) - shortest, abs=1e-12)
    else:
        assert quantities["path_length_excess"].reason == "the graph is not connected"


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (3, 3), (5, 2)])
def test_complete_layers_reach_both_bounds(n: int, m: int) -> None:
    values = {name: quantity.value for name, quantity in paths(complete(n, m), RNG).items()}
    same = n * (n - 1) + m * (m - 1)
    total = (n + m) * (n + m - 1)
    assert values["path_length_minimum"] == pytest.approx((2 * n * m + 2 * same) / total)
    assert values["efficiency_maximum"] == pytest.approx((2 * n * m + same / 2) / total)
    assert values["path_length_excess"] == pytest.approx(0.0, abs=1e-12)
    assert values["efficiency_ratio"] == pytest.approx(1.0, abs=1e-12)


@COMMON
@given(st.lists(st.integers(1, 4), min_size=2, max_size=5))
def test_a_network_is_bounded_by_the_complete_wiring_of_its_layers(sizes: list[int]) -> None:
    network = nx.complete_multipartite_graph(*sizes)
    group = [network.nodes[node]["subset"] for node in network]
    network.remove_edges_from([(a, b) for a, b in network.edges if abs(group[a] - group[b]) > 1])
    shortest, most = path_bounds(sizes)
    assert shortest == pytest.approx(nx.average_shortest_path_length(network), abs=1e-12)
    assert most == pytest.approx(nx.global_efficiency(network), abs=1e-12)
    layers = LayeredGraph(tuple(complete(n, m) for n, m in itertools.pairwise(sizes)))
    section = describe(layers, nulls=0, measures=["paths"], rng=0).sections[-1]
    assert section["efficiency_ratio"].value == pytest.approx(1.0, abs=1e-12)
    assert section["path_length_excess"].value == pytest.approx(0.0, abs=1e-12)


def test_pairs_that_are_not_connected_count_as_zero() -> None:
    matching = paths(from_edges(4, 4, [(i, i) for i in range(4)]), RNG)
    assert matching["global_efficiency"].value == pytest.approx(8 / 56)
    assert paths(from_edges(3, 2, []), RNG)["global_efficiency"].value == 0.0


def test_more_than_one_batch_of_sources() -> None:
    graph = random_graph(150, 90, 500, seed=2)
    assert global_efficiency(graph, RNG).value == pytest.approx(nx.global_efficiency(to_networkx(graph)), rel=1e-12)


def test_sampled_efficiency_is_covered_by_its_standard_error() -> None:
    """|error| <= 4 standard errors in all of 20 fixed draws (15 degrees of freedom: 2 % false alarms)."""
    graph = random_graph(900, 700, 3200, seed=5)
    exact = global_efficiency(graph, RNG).value
    assert exact is not None
    for seed in range(20):
        sampled = global_efficiency(graph, np.random.default_rng(seed), exact_limit=0, n_batches=16)
        assert sampled.value is not None
        assert sampled.standard_error is not None
        assert 0 < sampled.standard_error < 0.02 * exact
        assert abs(sampled.value - exact) <= 4 * sampled.standard_error


def test_a_large_graph_with_few_edges_is_exact() -> None:
    """One path of three neurons among 12,000: 4 ordered pairs at distance 1 and 2 at distance 2."""
    graph = from_edges(6000, 6000, [(5, 7), (5, 9)])
    for seed in range(3):
        values = paths(graph, np.random.default_rng(seed))
        assert values["average_path_length"].value == pytest.approx(8 / 6)
        assert values["global_efficiency"].value == pytest.approx(5 / (12_000 * 11_999), rel=1e-12)
        assert values["global_efficiency"].standard_error is None


def test_isolated_neurons_do_not_bias_a_sample() -> None:
    """|error| <= 4 standard errors in all of 20 fixed draws, with as many isolated neurons as others."""
    core = random_graph(900, 700, 3200, seed=5)
    graph = BipartiteGraph(1800, 1500, core.src, core.dst)
    exact = global_efficiency(graph, RNG).value
    assert exact == pytest.approx(nx.global_efficiency(to_networkx(graph)), rel=1e-9)
    for seed in range(20):
        sampled = global_efficiency(graph, np.random.default_rng(seed), exact_limit=0)
        assert sampled.value is not None
        assert sampled.standard_error is not None
        assert abs(sampled.value - exact) <= 4 * sampled.standard_error


@pytest.mark.parametrize("n_batches", [1, 0, 2.5, True])
def test_batches_that_give_no_standard_error(n_batches: int) -> None:
    with pytest.raises(AnalysisError, match=r"n_batches is .*; an integer of at least 2 is needed"):
        global_efficiency(random_graph(9, 9, 20, 1), RNG, n_batches=n_batches)


def test_sources_out_of_range() -> None:
    with pytest.raises(AnalysisError, match=r"sources reaches from 0 to 18; the allowed range is 0 to 17"):
        path_sums(random_graph(9, 9, 20, 1), np.array([0, 18]))
