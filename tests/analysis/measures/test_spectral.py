"""Singular values: numpy's dense decomposition, closed forms, both solvers, and what is not defined."""

import math

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
    values_of,
)
from hypothesis import given, settings
from scipy import sparse

from analysis import describe
from analysis.graph import bipartite as graphs
from analysis.graph import singular
from analysis.graph.singular import largest_singular_values
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.spectral import normalised_biadjacency, ramanujan_bound, spectral

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=60, derandomize=True)
SINGULAR = ("singular_value_1", "singular_value_2", "singular_value_3")


def copies(graph: BipartiteGraph, n: int) -> BipartiteGraph:
    """The graph n times, side by side."""
    shift = np.repeat(np.arange(n), graph.n_edges)
    src, dst = np.tile(graph.src, n) + shift * graph.n_in, np.tile(graph.dst, n) + shift * graph.n_out
    return BipartiteGraph(graph.n_in * n, graph.n_out * n, src, dst)


@COMMON
@given(bipartite_graphs())
def test_agrees_with_numpy(graph: BipartiteGraph) -> None:
    values = values_of(spectral(graph, RNG))
    matrix = graph.biadjacency.toarray()
    expected = np.linalg.svd(matrix, compute_uv=False)[:3]
    found = [values[name] for name in SINGULAR[: expected.size]]
    assert found == pytest.approx(expected.tolist(), abs=1e-12)
    assert all(values[name] is None for name in SINGULAR[expected.size :])
    rows, columns = matrix.any(axis=1), matrix.any(axis=0)
    if min(rows.sum(), columns.sum()) >= 2:
        part = matrix[rows][:, columns]
        part = part / np.sqrt(np.outer(part.sum(axis=1), part.sum(axis=0)))
        assert normalised_biadjacency(graph).toarray() == pytest.approx(part, abs=1e-15)
        second = np.linalg.svd(part, compute_uv=False)[1]
        assert values["normalised_singular_value_2"] == pytest.approx(second, abs=1e-12)
        assert 0 <= (values["normalised_spectral_gap"] or 0.0) <= 1
    else:
        assert values["normalised_singular_value_2"] is None


@COMMON
@given(bipartite_graphs())
def test_labels_and_orientation_do_not_matter(graph: BipartiteGraph) -> None:
    expected = spectral(graph, RNG)
    assert_alike(spectral(relabelled(graph, 1), RNG), expected)
    assert_alike(sides_exchanged(spectral(graph.transposed(), RNG)), expected)


@pytest.mark.parametrize(
    "graph",
    [
        random_graph(60, 45, 400, seed=1),
        random_graph(45, 60, 400, seed=2),
        ring_lattice(50, 4),  # pairs of equal values
        copies(random_graph(12, 10, 50, seed=3), 4),  # the first value four times
        copies(complete(3, 4), 12),
        complete(40, 50),  # rank 1
        from_edges(50, 50, [(i, i) for i in range(50)]),
        from_edges(50, 50, [(0, 0)]),
    ],
)
def test_sparse_solver_agrees_with_the_dense_one(graph: BipartiteGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    expected_quantities = spectral(graph, RNG)
    monkeypatch.setattr(singular, "DENSE_LIMIT", 0)
    assert_alike(spectral(graph, np.random.default_rng(5)), expected_quantities)
    for matrix in (graph.biadjacency.astype(np.float64), normalised_biadjacency(graph)):
        if min(matrix.shape) > 4:
            expected = np.linalg.svd(matrix.toarray(), compute_uv=False)[:3]
            for seed in range(3):
                found = largest_singular_values(matrix, 3, np.random.default_rng(seed))
                assert found == pytest.approx(expected, abs=1e-12 * expected[0] + 1e-13)


def test_squaring_is_avoided_where_it_would_cost_digits() -> None:
    matrix = sparse.csr_array(np.diag([1e9, 1.0, 0.5, 0.25]))
    assert largest_singular_values(matrix, 3, RNG)[:1] == pytest.approx([1e9])
    matrix = sparse.csr_array(np.diag([1e5, 1.0, 0.5, 0.25]))
    assert largest_singular_values(matrix, 3, RNG) == pytest.approx([1e5, 1.0, 0.5], rel=1e-12)


def test_complete_graph() -> None:
    values = values_of(spectral(complete(6, 4), RNG))
    assert values["singular_value_1"] == pytest.approx(math.sqrt(24), rel=1e-12)
    assert (values["singular_value_2"], values["singular_value_3"], values["normalised_singular_value_2"]) == (0, 0, 0)
    assert values["normalised_spectral_gap"] == 1.0
    assert values["ramanujan_bound"] == pytest.approx(math.sqrt(3) + math.sqrt(5))
    assert values["ramanujan_ratio"] == 0.0


def test_four_cycle_and_star() -> None:
    ring = values_of(spectral(complete(2, 2), RNG))
    assert [ring[name] for name in SINGULAR] == [pytest.approx(2.0), 0.0, None]
    star = spectral(from_edges(1, 5, [(0, t) for t in range(5)]), RNG)
    assert star["singular_value_1"].value == pytest.approx(math.sqrt(5))
    assert star["singular_value_2"].reason == star["spectral_gap"].reason == "the smaller side has 1 neuron"
    assert star["normalised_singular_value_2"].reason == "a side has fewer than 2 neurons with edges"


def test_perfect_matching_has_no_gap_and_no_bound_to_compare_with() -> None:
    quantities = spectral(from_edges(5, 5, [(i, i) for i in range(5)]), RNG)
    values = values_of(quantities)
    assert [values[name] for name in SINGULAR] == pytest.approx([1, 1, 1])
    assert values["spectral_gap"] == pytest.approx(0.0, abs=1e-14)
    assert values["normalised_spectral_gap"] == pytest.approx(0.0, abs=1e-14)
    assert values["ramanujan_bound"] == 0.0
    assert quantities["ramanujan_ratio"].reason == "the bound is 0"


def test_heawood_graph_is_ramanujan() -> None:
    """Points and lines of the Fano plane: (3, 3)-biregular, s1 = 3, all others sqrt(2), below the bound 2 sqrt(2)."""
    fano = from_edges(7, 7, [(s, (s + shift) % 7) for s in range(7) for shift in (0, 1, 3)])
    values = values_of(spectral(fano, RNG))
    assert [values[name] for name in SINGULAR] == pytest.approx([3, math.sqrt(2), math.sqrt(2)])
    assert values["normalised_singular_value_2"] == pytest.approx(math.sqrt(2) / 3)
    assert values["ramanujan_ratio"] == pytest.approx(0.5)


def test_components_close_the_normalised_gap() -> None:
    graph = copies(random_graph(8, 7, 40, seed=1), 2)
    values = values_of(spectral(graph, RNG))
    assert values["normalised_singular_value_2"] == pytest.approx(1.0, abs=1e-12)
    assert (values["normalised_singular_value_2"] or 0) <= 1.0


def test_without_edges_and_below_mean_degree_one() -> None:
    quantities = spectral(from_edges(3, 4, []), RNG)
    assert [quantities[name].value for name in SINGULAR] == [0.0, 0.0, 0.0]
    assert quantities["singular_value_ratio"].reason == "the graph has no edge"
    assert quantities["ramanujan_bound"].reason == quantities["ramanujan_ratio"].reason == "a side has a mean degree below 1"
    assert ramanujan_bound(from_edges(2, 3, [(0, 0), (1, 1)])).value is None


def test_lattice_has_a_smaller_gap_than_random() -> None:
    lattice, random = values_of(spectral(ring_lattice(100, 6), RNG)), values_of(spectral(random_graph(100, 100, 600, 1), RNG))
    assert (lattice["normalised_spectral_gap"] or 0) < 0.1 < (random["normalised_spectral_gap"] or 0)
    assert (lattice["ramanujan_ratio"] or 0) > (random["ramanujan_ratio"] or 0)


def test_the_null_models_leave_only_the_bound() -> None:
    report = describe([random_graph(14, 10, 60, 1), complete(10, 3)], nulls=3, rng=0, measures=["spectral"])
    for section in report.sections:
        for null in ("erdos_renyi", "fixed_degrees"):
            assert section["ramanujan_bound"].nulls[null].status == "fixed"
            assert section["singular_value_1"].nulls[null].status == "compared"
    folded = LayeredGraph((random_graph(14, 10, 60, 1), complete(10, 3))).folded
    assert report["network"]["singular_value_1"].value == spectral(folded, RNG)["singular_value_1"].value


def test_singular_values_are_computed_once_per_graph_and_never_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*args: object) -> np.ndarray:
        calls.append(args)
        return largest_singular_values(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(graphs, "largest_singular_values", counted)
    graph, equal = random_graph(8, 6, 20, 0), random_graph(8, 6, 20, 0)
    assert graph.singular_values is graph.singular_values
    assert len(calls) == 1
    assert equal.singular_values is not graph.singular_values
    assert equal.singular_values.tolist() == graph.singular_values.tolist()
    with pytest.raises(ValueError, match="read-only"):
        graph.singular_values[0] = 1
