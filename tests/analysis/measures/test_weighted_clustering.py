"""Weighted forms of clustering: brute force, the forms without weights, a worked example, samples, weights permuted."""

import itertools

import numpy as np
import pytest
from bipartite_examples import (
    assert_alike,
    bipartite_graphs,
    from_edges,
    random_graph,
    sides_exchanged,
    values_of,
    weighted,
)
from hypothesis import given, settings

from analysis import AnalysisError, describe
from analysis.graph.neighbours import SIDES, Side
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.clustering import clustering
from analysis.measures.opsahl import VALUES, opsahl, weighted_opsahl, weighted_opsahl_quantities
from analysis.measures.weighted_clustering import ruzicka_clustering, weighted_clustering

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=60, derandomize=True)


def magnitudes(graph: BipartiteGraph, side: Side) -> tuple[np.ndarray, np.ndarray]:
    """|w| and the pattern, a row for every neuron of the side."""
    weights, pattern = np.zeros((graph.n_in, graph.n_out)), np.zeros((graph.n_in, graph.n_out), dtype=bool)
    weights[graph.src, graph.dst] = np.abs(graph.weights)
    pattern[graph.src, graph.dst] = True
    return (weights, pattern) if side == "source" else (weights.T, pattern.T)


def walked(weights: np.ndarray, pattern: np.ndarray) -> dict[str, float | None]:
    """Closed value over all value, one 4-path after the other."""
    n, m = pattern.shape
    closed, every = dict.fromkeys(VALUES, 0.0), dict.fromkeys(VALUES, 0.0)
    for i, j, k in itertools.permutations(range(n), 3):
        for p, q in itertools.permutations(range(m), 2):
            if i < k and pattern[i, p] and pattern[j, p] and pattern[j, q] and pattern[k, q]:
                four = np.array([weights[i, p], weights[j, p], weights[j, q], weights[k, q]])
                is_closed = any(pattern[i, r] and pattern[k, r] for r in range(m) if r not in (p, q))
                for name, value in zip(VALUES, (four.mean(), four.prod() ** 0.25, four.max(), four.min()), strict=True):
                    every[name] += value
                    closed[name] += value * is_closed
    return {name: closed[name] / every[name] if every[name] else None for name in VALUES}


@COMMON
@given(bipartite_graphs(largest_side=5))
def test_agrees_with_brute_force(graph: BipartiteGraph) -> None:
    graph = weighted(graph, 3)
    latapy, closed = values_of(weighted_clustering(graph, RNG)), values_of(weighted_opsahl(graph, RNG))
    for side in SIDES:
        weights, pattern = magnitudes(graph, side)
        expected = np.zeros(len(weights))
        is_any = False
        for u in range(len(weights)):
            partners = [v for v in range(len(weights)) if v != u and (pattern[u] & pattern[v]).any()]
            overlaps = [np.minimum(weights[u], weights[v]).sum() / np.maximum(weights[u], weights[v]).sum() for v in partners]
            expected[u] = np.mean(overlaps) if partners else 0.0
            is_any |= bool(partners)
        means, found_any = ruzicka_clustering(graph, side)
        assert found_any == is_any
        assert means == pytest.approx(expected, abs=1e-12)
        value = latapy[f"{side}_weighted_latapy_clustering"]
        assert value == (pytest.approx(expected.mean(), abs=1e-12) if is_any else None)
        for name, share in walked(weights, pattern).items():
            found = closed[f"{side}_opsahl_clustering_{name}"]
            assert found == (None if share is None else pytest.approx(share, abs=1e-12))


@COMMON
@given(bipartite_graphs())
def test_equal_magnitudes_give_the_forms_without_weights(graph: BipartiteGraph) -> None:
    signs = np.random.default_rng(1).choice([-0.3, 0.3], size=graph.n_edges)
    equal = BipartiteGraph(graph.n_in, graph.n_out, graph.src, graph.dst, signs)
    plain, counted = clustering(graph, RNG), opsahl(graph, RNG)
    for side in SIDES:
        latapy = weighted_clustering(equal, RNG)[f"{side}_weighted_latapy_clustering"]
        assert latapy.value == pytest.approx(plain[f"{side}_latapy_dot_clustering"].value, abs=1e-12)
        for name in VALUES:
            share = weighted_opsahl(equal, RNG)[f"{side}_opsahl_clustering_{name}"]
            assert share.value == pytest.approx(counted[f"{side}_opsahl_clustering"].value, abs=1e-12)


@COMMON
@given(bipartite_graphs())
def test_orientation_and_scale_do_not_matter(graph: BipartiteGraph) -> None:
    graph = weighted(graph, 2)
    assert graph.weights is not None
    scaled = BipartiteGraph(graph.n_in, graph.n_out, graph.src, graph.dst, -1e200 * graph.weights)
    for measure in (weighted_clustering, weighted_opsahl):
        expected = measure(graph, RNG)
        assert_alike(sides_exchanged(measure(graph.transposed(), RNG)), expected)
        assert_alike(measure(scaled, RNG), expected)


def test_two_sources_by_hand() -> None:
    """Sources with the weights (1, 3) and (2, 0.5, 4): min 1 + 0.5, max 2 + 3 + 4."""
    graph = from_edges(2, 3, [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)])
    rows = {(0, 0): 1.0, (0, 1): -3.0, (1, 0): 2.0, (1, 1): 0.5, (1, 2): -4.0}
    weights = np.array([rows[s, t] for s, t in zip(graph.src.tolist(), graph.dst.tolist(), strict=True)])
    graph = BipartiteGraph(2, 3, graph.src, graph.dst, weights)
    assert weighted_clustering(graph, RNG)["source_weighted_latapy_clustering"].value == pytest.approx(1.5 / 9.0)


def test_sampled_coefficients_are_covered_by_their_standard_error() -> None:
    """|error| <= 4.5 standard errors in all of 10 draws of 4 values (16,384 paths: about 3e-4 false alarms)."""
    graph = weighted(random_graph(40, 30, 240, seed=5), 6)
    exact = weighted_opsahl_quantities(graph, "source", RNG, listed_paths=10**9)
    for seed in range(10):
        sampled = weighted_opsahl_quantities(graph, "source", np.random.default_rng(seed), listed_paths=0)
        for name, quantity in exact.items():
            found = sampled[name]
            assert quantity.value is not None
            assert quantity.standard_error is None
            assert found.value is not None
            assert found.standard_error is not None
            assert 0 < found.standard_error < 0.005
            assert abs(found.value - quantity.value) <= 4.5 * found.standard_error


def test_what_is_missing_is_said() -> None:
    plain = random_graph(10, 8, 30, seed=1)
    for measure in (weighted_clustering, weighted_opsahl):
        assert {quantity.reason for quantity in measure(plain, RNG).values()} == {"the graph has no weights"}
    star = weighted(from_edges(1, 4, [(0, t) for t in range(4)]), 1)
    assert weighted_clustering(star, RNG)["source_weighted_latapy_clustering"].reason == "no two sources share a neighbour"
    assert (
        weighted_opsahl(star, RNG)["target_opsahl_clustering_minimum"].reason == "there is no path of length 4 between targets"
    )
    zero = BipartiteGraph(plain.n_in, plain.n_out, plain.src, plain.dst, np.zeros(plain.n_edges))
    assert weighted_opsahl(zero, RNG)["source_opsahl_clustering_maximum"].reason is not None
    assert weighted_clustering(zero, RNG)["source_weighted_latapy_clustering"].value == 0.0


def concentrated(seed: int) -> LayeredGraph:
    """A random layer whose large weights lie among a third of the neurons of both sides."""
    graph = random_graph(30, 24, 200, seed)
    is_inside = (graph.src < 10) & (graph.dst < 8)
    weights = np.random.default_rng(seed).uniform(0.5, 1.0, graph.n_edges) * np.where(is_inside, 10.0, 0.5)
    return LayeredGraph((BipartiteGraph(30, 24, graph.src, graph.dst, weights),))


def test_weights_are_compared_with_the_same_edges_under_permuted_weights() -> None:
    measures = ["weighted_clustering", "weighted_opsahl", "strength", "persistence", "degree"]
    report = describe(concentrated(3), nulls=39, measures=measures, rng=0)
    section = report["layer 0"]
    strength = section["source_absolute_strength_cv"]
    assert strength.is_weighted
    assert set(strength.nulls) == {"erdos_renyi", "fixed_degrees", "permuted_weights"}
    permuted = strength.nulls["permuted_weights"]
    assert (permuted.status, permuted.replicates) == ("compared", 39)
    assert permuted.p_greater == pytest.approx(1 / 40)
    assert strength.nulls["fixed_degrees"].reason == "the null model draws graphs without weights"
    assert section["source_absolute_strength_mean"].nulls["permuted_weights"].status == "fixed"
    assert section["density"].nulls["permuted_weights"].status == "fixed"
    assert section["source_opsahl_clustering_geometric"].nulls["permuted_weights"].p_greater == pytest.approx(1 / 40)
    assert "weights permuted" in report.to_markdown()


def test_reports_without_weights_have_no_such_null_model_and_the_same_replicates() -> None:
    graph = random_graph(20, 15, 80, seed=2)
    plain, heavy = (describe(g, nulls=9, measures=["degree"], rng=4)["layer 0"] for g in (graph, weighted(graph, 1)))
    assert set(plain["degree_cv" if plain.get("degree_cv") else "source_degree_cv"].nulls) == {"erdos_renyi", "fixed_degrees"}
    for quantity in plain.quantities:
        for null, comparison in quantity.nulls.items():
            assert heavy[quantity.name].nulls[null].mean == comparison.mean


def test_a_network_of_which_one_layer_has_weights_says_which_has_none() -> None:
    network = [weighted(random_graph(8, 6, 20, 1), 2), random_graph(6, 4, 12, 3)]
    section = describe(network, nulls=0, measures=["weighted_clustering", "weighted_opsahl"], rng=0)["network"]
    assert {quantity.observed.reason for quantity in section.quantities} == {"layer 1 has no weights"}


def test_arguments_that_do_not_fit() -> None:
    graph = random_graph(8, 6, 20, 1)
    with pytest.raises(AnalysisError, match="the graph has no weights; a weight for every edge is needed"):
        ruzicka_clustering(graph, "source")
    for function in (lambda g: ruzicka_clustering(g, "both"), lambda g: weighted_opsahl_quantities(g, "both", RNG)):
        with pytest.raises(AnalysisError, match="side is 'both'; it must be 'source' or 'target'"):
            function(weighted(graph, 1))
