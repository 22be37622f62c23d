"""Neural persistence: the formula on a hand example, networkx's spanning forest as the oracle, its bound."""

import networkx as nx
import numpy as np
import pytest
from bipartite_examples import bipartite_graphs, complete, from_edges, random_graph, to_networkx
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.persistence import network_persistence, neural_persistence, persistence, spanning_forest_weights

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=80, derandomize=True)


def weighted(graph: BipartiteGraph, weights: object) -> BipartiteGraph:
    return BipartiteGraph(graph.n_in, graph.n_out, graph.src, graph.dst, np.asarray(weights, dtype=np.float64))


def values(graph: BipartiteGraph) -> tuple[float | None, float | None]:
    quantities = persistence(graph, RNG)
    return quantities["neural_persistence"].value, quantities["neural_persistence_normalised"].value


def test_square_by_hand() -> None:
    # Edges in the order (dst, src) of a square, with |w| / max = 1, 1/2, 1/4, 3/4: the forest leaves out 1/4.
    graph = weighted(complete(2, 2), [4.0, -2.0, 1.0, -3.0])
    norm = np.sqrt(0.0**2 + 0.5**2 + 0.25**2)
    assert values(graph) == pytest.approx((norm, norm / (0.75 * np.sqrt(3))))
    assert neural_persistence(graph, 4.0, p=1.0) == pytest.approx((0.75, 0.75 * 3))


def test_stored_zeros_are_edges_of_weight_0() -> None:
    graph = weighted(from_edges(1, 3, [(0, 0), (0, 1), (0, 2)]), [2.0, 0.0, 1.0])
    assert spanning_forest_weights(graph, np.abs(np.array([2.0, 0.0, 1.0]))).tolist() == [2.0, 1.0, 0.0]
    norm = np.sqrt(1.0 + 0.25)
    assert values(graph) == pytest.approx((norm, norm / np.sqrt(3)))


@COMMON
@given(bipartite_graphs(), st.integers(0, 2**32))
def test_forest_agrees_with_networkx(graph: BipartiteGraph, seed: int) -> None:
    magnitudes = np.random.default_rng(seed).integers(0, 4, graph.n_edges) / 4.0
    other = to_networkx(graph)
    for source, target, weight in zip(graph.src.tolist(), graph.dst.tolist(), magnitudes.tolist(), strict=True):
        other.edges[source, target + graph.n_in]["weight"] = weight
    expected = sorted((data["weight"] for *_, data in nx.maximum_spanning_edges(other)), reverse=True)
    assert spanning_forest_weights(graph, magnitudes).tolist() == expected


@COMMON
@given(bipartite_graphs(), st.integers(0, 2**32))
def test_bound_labels_orientation_and_scale(graph: BipartiteGraph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = weighted(graph, rng.normal(size=graph.n_edges))
    expected = persistence(graph, RNG)
    sources, targets = rng.permutation(graph.n_in), rng.permutation(graph.n_out)
    moved = BipartiteGraph(graph.n_in, graph.n_out, sources[graph.src], targets[graph.dst], graph.weights)
    assert persistence(moved, RNG) == expected
    assert persistence(graph.transposed(), RNG) == expected
    if graph.n_edges:
        norm, ratio = values(graph)
        assert norm is not None
        assert 0 <= norm <= np.sqrt(graph.n_neurons - 1)
        assert ratio is None or 0 <= ratio <= 1
        assert values(weighted(graph, -8.0 * graph.weights)) == (norm, ratio)


def test_equal_weights_and_one_dominant_weight_are_the_extremes() -> None:
    equal = persistence(weighted(complete(3, 3), np.full(9, -0.5)), RNG)
    assert equal["neural_persistence"].value == 0.0
    assert equal["neural_persistence_normalised"].reason == "all weights have the same magnitude"
    dominant = np.full(400, 1e-9)
    dominant[0] = 1.0
    _, ratio = values(weighted(complete(20, 20), dominant))
    assert ratio == pytest.approx(np.sqrt(38 / 39), rel=1e-6)


def test_components_that_never_join_contribute_nothing() -> None:
    graph = weighted(from_edges(3, 3, [(0, 0), (1, 1)]), [1.0, 0.5])
    assert values(graph) == pytest.approx((0.5, 0.5 / (0.5 * np.sqrt(5))))


def test_network_uses_one_scale_for_all_layers() -> None:
    first, second = weighted(complete(2, 2), [4.0, -2.0, 1.0, -3.0]), weighted(complete(2, 1), [2.0, 2.0])
    quantities = network_persistence(LayeredGraph((first, second)), RNG)
    norms = (np.sqrt(0.5**2 + 0.25**2), np.sqrt(2 * 0.5**2))
    assert quantities["neural_persistence"].value == pytest.approx(np.mean(norms))
    assert quantities["neural_persistence_normalised"].value == pytest.approx(
        np.mean([norms[0] / (0.75 * np.sqrt(3)), norms[1] / (0.5 * np.sqrt(2))])
    )


def test_what_is_not_defined() -> None:
    for graph, reason in [
        (random_graph(5, 4, 8, 0), "the graph has no weights"),
        (weighted(from_edges(3, 2, []), []), "the graph has no edge"),
        (weighted(complete(2, 2), np.zeros(4)), "every weight is 0"),
    ]:
        for quantities in (persistence(graph, RNG), network_persistence(LayeredGraph((graph,)), RNG)):
            assert {quantity.reason for quantity in quantities.values()} == {reason}
    single = persistence(weighted(complete(1, 1), [3.0]), RNG)
    assert single["neural_persistence"].value == 0.0
    assert single["neural_persistence_normalised"].value is None
