"""Opsahl's coefficient: brute force over all 4-paths, closed forms, a published value, samples."""

import itertools

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
    sides_exchanged,
    values_of,
)
from hypothesis import given, settings

from analysis import describe
from analysis.graph.intake import as_bipartite
from analysis.graph.neighbours import SIDES, Side, neighbour_lists
from analysis.graph.values import BipartiteGraph
from analysis.measures._four_paths import four_paths
from analysis.measures.opsahl import opsahl, opsahl_quantities

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=80, derandomize=True)


def walked(graph: BipartiteGraph, side: Side) -> tuple[list[int], list[int]]:
    """4-paths and closed 4-paths by centre, one path after the other."""
    matrix = graph.biadjacency.toarray()
    neighbours = [set(np.flatnonzero(row).tolist()) for row in (matrix.T if side == "source" else matrix)]
    paths, closed = [0] * len(neighbours), [0] * len(neighbours)
    for i, j, k in itertools.permutations(range(len(neighbours)), 3):
        if i < k:
            for p, q in itertools.product(neighbours[i] & neighbours[j], neighbours[j] & neighbours[k]):
                if p != q:
                    paths[j] += 1
                    closed[j] += bool((neighbours[i] & neighbours[k]) - {p, q})
    return paths, closed


def assert_counted(graph: BipartiteGraph) -> None:
    for side in SIDES:
        counts = four_paths(neighbour_lists(graph, side))
        assert counts.closed is not None
        assert (counts.all.tolist(), counts.closed.tolist()) == walked(graph, side)


@COMMON
@given(bipartite_graphs())
def test_counts_agree_with_brute_force(graph: BipartiteGraph) -> None:
    assert_counted(graph)
    quantities = opsahl(graph, RNG)
    for side in SIDES:
        paths, closed = (np.array(counts) for counts in walked(graph, side))
        assert quantities[f"{side}_four_paths"].value == paths.sum()
        assert quantities[f"{side}_closed_four_paths"].value == closed.sum()
        shares = closed[paths > 0] / paths[paths > 0]
        for name, expected in (
            ("clustering", closed.sum() / max(1, paths.sum())),
            ("local_clustering", np.sum(shares) / max(1, shares.size)),
        ):
            quantity = quantities[f"{side}_opsahl_{name}"]
            assert (quantity.value is None) == (paths.sum() == 0)
            assert (quantity.value or 0.0) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n_in", "n_out", "n_edges"), [(25, 18, 60), (20, 24, 130), (14, 12, 120), (40, 6, 60), (6, 40, 60)])
def test_counts_agree_with_brute_force_where_either_list_is_shorter(n_in: int, n_out: int, n_edges: int) -> None:
    assert_counted(random_graph(n_in, n_out, n_edges, seed=n_edges))


@COMMON
@given(bipartite_graphs())
def test_labels_and_orientation_do_not_matter(graph: BipartiteGraph) -> None:
    expected = opsahl(graph, RNG)
    assert_alike(opsahl(relabelled(graph, 1), RNG), expected)
    assert_alike(sides_exchanged(opsahl(graph.transposed(), RNG)), expected)


def test_women_and_events_of_davis() -> None:
    """The R package tnet documents 0.7718968 for the women of Davis's data."""
    graph = nx.davis_southern_women_graph()
    assert opsahl(as_bipartite(graph), RNG)["source_opsahl_clustering"].value == pytest.approx(0.7718968, abs=5e-8)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (4, 3), (3, 5)])
def test_complete_graph_closes_every_path(n: int, m: int) -> None:
    values = values_of(opsahl(complete(n, m), RNG))
    assert values["source_four_paths"] == n * (n - 1) * (n - 2) // 2 * m * (m - 1)
    assert values["source_opsahl_clustering"] == values["source_opsahl_local_clustering"] == 1.0
    assert values["target_opsahl_clustering"] == 1.0


def test_two_secondary_neurons_are_too_few_to_close_anything() -> None:
    values = values_of(opsahl(complete(4, 2), RNG))
    assert values["source_four_paths"] == 24
    assert values["source_opsahl_clustering"] == 0.0
    assert values["target_four_paths"] == 0


@pytest.mark.parametrize(("length", "expected"), [(3, 1.0), (4, 0.0), (7, 0.0)])
def test_only_the_six_cycle_closes(length: int, expected: float) -> None:
    ring = from_edges(length, length, [(i, (i + shift) % length) for i in range(length) for shift in (0, 1)])
    values = values_of(opsahl(ring, RNG))
    assert values["source_four_paths"] == length
    assert values["source_opsahl_clustering"] == values["target_opsahl_local_clustering"] == expected


def test_tree_closes_nothing() -> None:
    values = values_of(opsahl(from_edges(3, 3, [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2)]), RNG))
    assert (values["source_four_paths"], values["source_closed_four_paths"]) == (1, 0)
    assert values["source_opsahl_clustering"] == 0.0


@pytest.mark.parametrize(
    "graph", [from_edges(3, 2, []), from_edges(1, 4, [(0, 1)]), from_edges(3, 3, [(i, i) for i in range(3)])]
)
def test_without_paths_there_is_a_reason(graph: BipartiteGraph) -> None:
    quantities = opsahl(graph, RNG)
    assert quantities["source_four_paths"].value == 0
    assert quantities["source_opsahl_clustering"].reason == "there is no path of length 4 between sources"
    assert quantities["target_opsahl_local_clustering"].reason == "there is no path of length 4 between targets"


@pytest.mark.parametrize("side", SIDES)
def test_samples_are_covered_by_their_standard_errors(side: Side) -> None:
    """|error| <= 4.5 standard errors for 3 quantities in 10 fixed draws: below 0.03 % false alarms."""
    graph = random_graph(60, 45, 320, seed=3)
    exact = opsahl_quantities(graph, side, RNG)
    for seed in range(10):
        sampled = opsahl_quantities(graph, side, np.random.default_rng(seed), exact_work=0)
        assert sampled[f"{side}_four_paths"] == exact[f"{side}_four_paths"]
        for name in ("closed_four_paths", "opsahl_clustering", "opsahl_local_clustering"):
            value, error = sampled[f"{side}_{name}"].value, sampled[f"{side}_{name}"].standard_error
            expected = exact[f"{side}_{name}"].value
            assert value is not None
            assert error is not None
            assert expected is not None
            assert error > 0
            assert abs(value - expected) <= 4.5 * error
    assert opsahl_quantities(graph, side, np.random.default_rng(9), 0) == sampled


def test_sampled_centres_without_choice() -> None:
    """A path of five neurons has one 4-path; the sample finds nothing else."""
    graph = from_edges(3, 2, [(0, 0), (1, 0), (1, 1), (2, 1)])
    values = values_of(opsahl_quantities(graph, "source", RNG, exact_work=0))
    assert (values["source_opsahl_clustering"], values["source_opsahl_local_clustering"]) == (0.0, 0.0)


def test_null_distributions_of_large_graphs_are_on_request() -> None:
    small, large = random_graph(12, 10, 50, seed=1), random_graph(60, 60, 2001, seed=1)
    cases = ((small, (), "compared"), (large, (), "not computed"), (large, ("opsahl",), "compared"))
    for graph, request, status in cases:
        report = describe(graph, nulls=2, rng=0, measures=["opsahl"], request=request)["layer 0"]
        assert report["source_opsahl_clustering"].value is not None
        assert report["source_opsahl_clustering"].nulls["fixed_degrees"].status == status
