"""NODF against brute force over pairs; spectral nestedness against closed forms and a dense decomposition."""

import itertools
import math

import numpy as np
import pytest
from bipartite_examples import bipartite_graphs, complete, from_edges, random_graph, relabelled, ring_lattice
from hypothesis import given, settings

from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.nestedness import nestedness, network_nestedness, nodf, spectral_nestedness
from analysis.nulls.models import erdos_renyi

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=80, derandomize=True)


def staircase(n: int) -> BipartiteGraph:
    """Source i is joined to the targets 0..n-1-i: perfectly nested, all degrees of a side different."""
    return from_edges(n, n, [(s, t) for s in range(n) for t in range(n - s)])


def brute_force(rows: np.ndarray) -> float:
    """Sum over pairs of rows of |overlap| / (smaller degree), where the degrees differ and neither is 0."""
    total = 0.0
    for first, second in itertools.combinations(rows, 2):
        high, low = max(first.sum(), second.sum()), min(first.sum(), second.sum())
        total += (first & second).sum() / low if high > low > 0 else 0.0
    return total


@COMMON
@given(bipartite_graphs())
def test_nodf_agrees_with_brute_force(graph: BipartiteGraph) -> None:
    matrix = graph.biadjacency.toarray()
    sums = {"source_nodf": brute_force(matrix.T), "target_nodf": brute_force(matrix)}
    pairs = {"source_nodf": math.comb(graph.n_in, 2), "target_nodf": math.comb(graph.n_out, 2)}
    sums["nodf"], pairs["nodf"] = sum(sums.values()), sum(pairs.values())
    for name, quantity in nodf(graph).items():
        if graph.n_edges == 0 or pairs[name] == 0:
            assert quantity.reason is not None
        else:
            assert quantity.value == pytest.approx(100 * sums[name] / pairs[name], abs=1e-11)


def test_nested_matrix_has_nodf_100_and_equal_degrees_0() -> None:
    assert [quantity.value for quantity in nodf(staircase(6)).values()] == [100.0] * 3
    for graph in (complete(4, 6), ring_lattice(10, 3)):
        assert [quantity.value for quantity in nodf(graph).values()] == [0.0] * 3


def test_nodf_by_hand() -> None:
    # Sources with targets {0, 1, 2}, {0, 1}, {2, 3}, {}: overlaps 2/2, 1/2, and pairs of equal degree or with degree 0 give 0.
    graph = from_edges(4, 4, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 2), (2, 3)])
    # Targets have the degrees 2, 2, 2, 1: target 3 shares its source 2 with target 2 alone.
    assert nodf(graph)["source_nodf"].value == pytest.approx(100 * 1.5 / 6)
    assert nodf(graph)["target_nodf"].value == pytest.approx(100 * 1.0 / 6)
    assert nodf(graph)["nodf"].value == pytest.approx(100 * 2.5 / 12)


def test_sides_without_pairs_are_not_defined() -> None:
    star = nodf(from_edges(1, 3, [(0, 0), (0, 1)]))
    assert star["source_nodf"].reason == "there is only one source"
    assert star["target_nodf"].value == 0.0
    assert star["nodf"].value == 0.0
    single = nestedness(from_edges(1, 1, [(0, 0)]), RNG)
    assert single["nodf"].reason == "each side has only one neuron"
    assert single["spectral_nestedness"].value == pytest.approx(1.0)
    empty = nestedness(from_edges(3, 2, []), RNG)
    assert {quantity.reason for quantity in empty.values()} == {"the graph has no edge"}
    assert empty.keys() == nestedness(complete(2, 2), RNG).keys()


@COMMON
@given(bipartite_graphs())
def test_labels_play_no_role_and_transposition_swaps_the_sides(graph: BipartiteGraph) -> None:
    expected = nodf(graph)
    assert nodf(relabelled(graph, 1)) == expected
    swapped = nodf(graph.transposed())
    for name, other in (("nodf", "nodf"), ("source_nodf", "target_nodf"), ("target_nodf", "source_nodf")):
        assert swapped[name].value == pytest.approx(expected[other].value, abs=1e-12)
    radius = spectral_nestedness(graph).value
    if radius is not None:
        for other_graph in (relabelled(graph, 1), graph.transposed()):
            assert spectral_nestedness(other_graph).value == pytest.approx(radius, rel=1e-13)


@pytest.mark.parametrize("graph", [complete(5, 7), complete(80, 70)])
def test_complete_graph_has_the_largest_radius(graph: BipartiteGraph) -> None:
    quantities = nestedness(graph, RNG)
    assert quantities["spectral_nestedness"].value == pytest.approx(math.sqrt(graph.n_edges), rel=1e-13)
    assert quantities["spectral_nestedness_ratio"].value == pytest.approx(1.0, rel=1e-13)


def test_radius_of_a_regular_graph_is_its_degree() -> None:
    assert spectral_nestedness(ring_lattice(100, 6)).value == pytest.approx(6.0, rel=1e-13)


@pytest.mark.parametrize(("n_in", "n_out", "n_edges"), [(90, 70, 800), (70, 90, 200), (50, 20, 100)])
def test_radius_agrees_with_a_dense_decomposition(n_in: int, n_out: int, n_edges: int) -> None:
    graph = random_graph(n_in, n_out, n_edges, seed=1)
    expected = np.linalg.svd(graph.biadjacency.toarray().astype(float), compute_uv=False)[0]
    assert spectral_nestedness(graph).value == pytest.approx(expected, rel=1e-12)


def test_nested_is_above_random_is_above_regular() -> None:
    nested, regular = staircase(30), ring_lattice(30, 15)
    for seed in range(5):
        random = nestedness(erdos_renyi(nested, seed), RNG)
        for name in ("nodf", "spectral_nestedness_ratio"):
            order = [nestedness(regular, RNG)[name].value, random[name].value, nestedness(nested, RNG)[name].value]
            assert None not in order
            assert order == sorted(order)  # type: ignore[type-var]


def test_network_of_one_layer_is_that_layer() -> None:
    graph = random_graph(20, 15, 80, seed=2)
    whole, layer = network_nestedness(LayeredGraph((graph,)), RNG), nestedness(graph, RNG)
    assert whole == {name: layer[name] for name in ("nodf", "spectral_nestedness", "spectral_nestedness_ratio")}
