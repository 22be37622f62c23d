"""Strengths by sign: by hand, by matrix sums, over a network, and where they do not exist."""

import numpy as np
import pytest
from bipartite_examples import (
    assert_alike,
    bipartite_graphs,
    complete,
    from_edges,
    random_graph,
    sides_exchanged,
    to_networkx,
    values_of,
    weighted,
)
from hypothesis import given, settings
from scipy import sparse

from analysis import AnalysisError, describe
from analysis.graph.intake import as_bipartite
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.strength import KINDS, layer_strengths, strengths

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=60, derandomize=True)


def network_values(network: LayeredGraph) -> dict[str, float | None]:
    from analysis.measures.registry import get_measure

    measure = get_measure("strength").network
    assert measure is not None
    return values_of(measure(network, RNG))


def test_by_hand() -> None:
    graph = as_bipartite(sparse.csr_array([[1.0, -2.0], [3.0, 0.0], [-1.0, 0.0]]))
    assert graph.n_edges == 4
    values = values_of(layer_strengths(graph, RNG))
    assert (values["source_net_strength_mean"], values["source_net_strength_sd"]) == (0.5, 2.5)
    assert (values["source_positive_strength_mean"], values["source_negative_strength_mean"]) == (2.0, 1.5)
    assert values["source_absolute_strength_mean"] == 3.5
    assert values["source_positive_strength_cv"] == pytest.approx(1.0)
    assert values["source_negative_strength_cv"] == pytest.approx(0.5 / 1.5)
    assert values["target_absolute_strength_cv"] == pytest.approx(np.sqrt(8 / 9 - 0.0) / (7 / 3))


@COMMON
@given(bipartite_graphs())
def test_agrees_with_networkx_and_matrix_sums(graph: BipartiteGraph) -> None:
    graph = weighted(graph, 4)
    assert graph.weights is not None
    other = to_networkx(graph)
    for (s, t), w in zip(zip(graph.src.tolist(), (graph.dst + graph.n_in).tolist(), strict=True), graph.weights, strict=True):
        other[s][t]["weight"] = w
    degrees = dict(other.degree(weight="weight"))
    assert strengths(graph.src, graph.weights, graph.n_in)["net"] == pytest.approx(
        [degrees[s] for s in range(graph.n_in)], abs=1e-12
    )
    matrix = sparse.csr_array((graph.weights, (graph.dst, graph.src)), shape=(graph.n_out, graph.n_in)).toarray()
    parts = strengths(graph.dst, graph.weights, graph.n_out)
    assert parts["positive"] == pytest.approx(np.maximum(matrix, 0).sum(axis=1), abs=1e-12)
    assert parts["negative"] == pytest.approx(np.maximum(-matrix, 0).sum(axis=1), abs=1e-12)
    assert parts["absolute"] == pytest.approx(np.abs(matrix).sum(axis=1), abs=1e-12)
    assert parts["net"] == pytest.approx(parts["positive"] - parts["negative"], abs=1e-12)
    assert_alike(sides_exchanged(layer_strengths(graph.transposed(), RNG)), layer_strengths(graph, RNG))


def test_network_adds_what_comes_in_and_what_goes_out() -> None:
    first, second = weighted(complete(2, 3), 1), weighted(complete(3, 1), 2)
    assert first.weights is not None
    assert second.weights is not None
    values = network_values(LayeredGraph((first, second)))
    total = first.weights.sum() + second.weights.sum()
    assert values["neuron_net_strength_mean"] == pytest.approx(2 * total / 6)
    hidden = np.bincount(first.dst, first.weights) + np.bincount(second.src, second.weights)
    sums = np.concatenate([np.bincount(first.src, first.weights), hidden, np.bincount(second.dst, second.weights)])
    assert values["neuron_net_strength_sd"] == pytest.approx(sums.std())


def test_without_weights_there_is_a_reason() -> None:
    graph = complete(3, 2)
    assert {quantity.reason for quantity in layer_strengths(graph, RNG).values()} == {"the graph has no weights"}
    assert set(network_values(LayeredGraph((graph, weighted(complete(2, 2), 0)))).values()) == {None}


def test_a_sign_that_does_not_occur_has_no_cv() -> None:
    graph = BipartiteGraph(2, 2, np.array([0, 1]), np.array([0, 1]), np.array([1.0, 3.0]))
    quantities = layer_strengths(graph, RNG)
    assert quantities["source_negative_strength_mean"].value == 0.0
    assert quantities["source_negative_strength_cv"].reason == "every such strength is 0"
    assert quantities["source_positive_strength_cv"].value == pytest.approx(0.5)
    empty = layer_strengths(BipartiteGraph(2, 2, np.array([], int), np.array([], int), np.array([])), RNG)
    assert empty["target_absolute_strength_mean"].value == 0.0


def test_weights_at_the_ends_of_the_range() -> None:
    edges = from_edges(2, 2, [(0, 0), (1, 0), (1, 1)])
    huge = BipartiteGraph(2, 2, edges.src, edges.dst, np.full(3, 1.7e308))
    quantities = layer_strengths(huge, RNG)
    assert quantities["source_absolute_strength_mean"].reason == "the sum of the weights exceeds the largest number"
    assert all(quantity.value is None or np.isfinite(quantity.value) for quantity in quantities.values())
    tiny = layer_strengths(BipartiteGraph(2, 2, edges.src, edges.dst, np.full(3, 1e-300)), RNG)
    assert tiny["source_absolute_strength_cv"].value == pytest.approx(1 / 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named(bad: float) -> None:
    with pytest.raises(AnalysisError, match=rf"edge from source 1 to target 0 has the weight {bad}"):
        describe(sparse.csr_array([[1.0, bad]]), nulls=0, rng=0, measures=["strength"])


def test_null_models_have_no_weights_to_compare_with() -> None:
    report = describe(weighted(random_graph(10, 8, 40, 1), 2), nulls=2, rng=0, measures=["strength"])["layer 0"]
    assert {quantity.nulls["erdos_renyi"].status for quantity in report.quantities} == {"not computed"}
    assert len(report.quantities) == 2 * (2 + 2 * len(KINDS))
