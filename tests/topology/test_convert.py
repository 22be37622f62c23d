"""Conversions: exact round trips whatever the order of edges, and sentences for graphs that are no layer."""

import random
from typing import Any

import igraph
import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from sparse_cases import topologies

from netsci_nn import BipartiteTopology, TopologyError
from netsci_nn.topology import convert

EXAMPLE = BipartiteTopology(3, 2, [1, 0, 2], [0, 1, 1])
WEIGHTS = np.array([0.1, -2.0, 3e-300])

seeds = st.integers(0, 2**32 - 1)


def weights_of(topology: BipartiteTopology, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=topology.n_edges)


def assert_same(result: convert.WeightedTopology, topology: BipartiteTopology, weights: np.ndarray | None) -> None:
    assert result.topology == topology
    if weights is None:
        assert result.weights is None
    else:
        assert result.weights is not None
        assert result.weights.tolist() == weights.tolist()


@given(topologies(), seeds)
def test_igraph_round_trip(topology: BipartiteTopology, seed: int) -> None:
    weights = weights_of(topology, seed)
    graph = convert.to_igraph(topology, weights)
    assert graph.get_edgelist() == [(int(s), int(d) + topology.n_in) for s, d in topology.to_edges()]
    assert graph.es["weight"] == weights.tolist()
    assert graph.vs["type"] == [False] * topology.n_in + [True] * topology.n_out
    assert not graph.is_directed()
    assert_same(convert.from_igraph(graph), topology, weights)
    assert BipartiteTopology.from_igraph(topology.to_igraph()) == topology
    assert convert.from_igraph(topology.to_igraph()).weights is None


@given(topologies(), seeds)
def test_igraph_with_shuffled_edges_turned_ends_and_mixed_vertices(topology: BipartiteTopology, seed: int) -> None:
    weights, order = weights_of(topology, seed), random.Random(seed)
    n = topology.n_in + topology.n_out
    places = order.sample(range(n), n)
    sources, targets = sorted(places[: topology.n_in]), sorted(places[topology.n_in :])
    edges = list(zip(topology.to_edges().tolist(), weights.tolist(), strict=True))
    order.shuffle(edges)
    ends = [(sources[s], targets[d])[:: order.choice([1, -1])] for (s, d), _ in edges]
    graph = igraph.Graph(n=n, edges=ends)
    graph.vs["type"] = [place in set(targets) for place in range(n)]
    graph.es["weight"] = [weight for _, weight in edges]
    assert convert.from_igraph(graph).topology == topology
    if topology.n_edges:
        assert_same(convert.from_igraph(graph), topology, weights)


@given(topologies(), seeds)
def test_networkx_round_trip_also_shuffled(topology: BipartiteTopology, seed: int) -> None:
    weights, order = weights_of(topology, seed), random.Random(seed)
    expected = weights if topology.n_edges else None
    graph = topology.to_networkx(weights)
    assert list(graph) == list(range(topology.n_in + topology.n_out))
    assert [side for _, side in graph.nodes(data="bipartite")] == [0] * topology.n_in + [1] * topology.n_out
    assert_same(convert.from_networkx(graph), topology, expected)
    assert_same(convert.from_networkx(topology.to_networkx()), topology, None)
    shuffled = nx.Graph()
    nodes = [("t", d) for d in range(topology.n_out)] + [("s", s) for s in range(topology.n_in)]
    shuffled.add_nodes_from((node, {"bipartite": int(node[0] == "t")}) for node in nodes)
    edges = [(("s", s), ("t", d), w) for (s, d), w in zip(topology.to_edges().tolist(), weights.tolist(), strict=True)]
    order.shuffle(edges)
    shuffled.add_weighted_edges_from((a, b, w) if order.random() < 0.5 else (b, a, w) for a, b, w in edges)
    assert_same(convert.from_networkx(shuffled), topology, expected)


@given(topologies(), seeds, st.sampled_from(["csr", "csc", "coo", "lil"]))
def test_scipy_round_trip_in_any_format(topology: BipartiteTopology, seed: int, layout: str) -> None:
    weights = weights_of(topology, seed)
    matrix = topology.to_scipy(weights)
    assert matrix.shape == (topology.n_out, topology.n_in)
    assert matrix.data.tolist() == weights.tolist()
    assert matrix.indices.tolist() == topology.src.tolist()
    assert_same(convert.from_scipy(matrix), topology, weights)
    assert_same(convert.from_scipy(matrix.asformat(layout)), topology, weights)
    order = np.random.default_rng(seed).permutation(topology.n_edges)
    entries = weights[order], (topology.dst[order], topology.src[order])
    assert_same(convert.from_scipy(scipy.sparse.coo_array(entries, shape=matrix.shape)), topology, weights)
    assert topology.to_scipy().data.tolist() == [1] * topology.n_edges


@given(topologies())
def test_mask_round_trip_numpy_and_torch(topology: BipartiteTopology) -> None:
    mask = topology.to_mask()
    assert mask.shape == (topology.n_out, topology.n_in)
    assert mask.dtype == np.bool_
    assert {(s, d) for d, s in zip(*np.nonzero(mask), strict=True)} == set(map(tuple, topology.to_edges().tolist()))
    assert BipartiteTopology.from_mask(mask) == topology
    assert BipartiteTopology.from_mask(mask.tolist()) == topology
    tensor = convert.to_torch_mask(topology)
    assert tensor.dtype == torch.bool
    assert BipartiteTopology.from_mask(tensor) == topology


@given(topologies(), seeds)
def test_edge_list_round_trip_with_weights(topology: BipartiteTopology, seed: int) -> None:
    weights = weights_of(topology, seed)
    order = np.random.default_rng(seed).permutation(topology.n_edges)
    edges = topology.to_edges()[order]
    for form in (edges, edges.tolist(), torch.tensor(edges), map(tuple, edges.tolist())):
        result = convert.from_edges(form, topology.n_in, topology.n_out, weights[order])
        assert_same(result, topology, weights)
    assert convert.from_edges(edges, topology.n_in, topology.n_out).weights is None


def test_torch_weights_that_require_gradients_are_taken() -> None:
    weights = torch.tensor(WEIGHTS, requires_grad=True)
    assert EXAMPLE.to_igraph(weights).es["weight"] == WEIGHTS.tolist()
    assert EXAMPLE.to_scipy(weights).data.tolist() == WEIGHTS.tolist()


def test_stored_zero_and_zero_weight_are_edges() -> None:
    zero = np.zeros(3)
    assert convert.from_scipy(EXAMPLE.to_scipy(zero)).topology == EXAMPLE
    assert convert.from_igraph(EXAMPLE.to_igraph(zero)).topology == EXAMPLE
    assert convert.from_networkx(EXAMPLE.to_networkx(zero)).topology == EXAMPLE


def test_changing_what_was_given_out_does_not_change_the_topology() -> None:
    mask, matrix = EXAMPLE.to_mask(), EXAMPLE.to_scipy()
    mask[:] = True
    matrix.indices[:] = 0
    matrix.indptr[:] = 0
    EXAMPLE.to_igraph().delete_edges([0])
    assert EXAMPLE.to_edges().tolist() == [[1, 0], [0, 1], [2, 1]]


def igraph_with(types: Any, edges: list[tuple[int, int]]) -> igraph.Graph:
    graph = igraph.Graph(n=4, edges=edges)
    if types is not None:
        graph.vs["type"] = types
    return graph


@pytest.mark.parametrize(
    ("types", "edges", "message"),
    [
        (None, [(0, 2)], "graph has no vertex attribute 'type'; it must hold False for sources"),
        ([False, False, True, None], [(0, 2)], "vertex 3 has type = None; it must be 0 for a source or 1 for a target"),
        ([False, False, True, "target"], [(0, 2)], "vertex 3 has type = 'target'"),
        ([False, False, True, True], [(0, 2), (0, 1)], "not bipartite: edge 1 joins vertices 0 and 1, both sources"),
        ([False, False, True, True], [(2, 3)], "not bipartite: edge 0 joins vertices 2 and 3, both targets"),
        ([False, False, True, True], [(1, 1)], "not bipartite: edge 0 joins vertices 1 and 1, both sources"),
        ([False, False, True, True], [(0, 2), (2, 0)], r"edge \(0, 0\) occurs twice"),
        ([False] * 4, [], "n_out is 0; it must be"),
    ],
)
def test_igraph_graphs_that_are_no_layer(types: Any, edges: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        BipartiteTopology.from_igraph(igraph_with(types, edges))


@pytest.mark.parametrize(
    ("sides", "edges", "message"),
    [
        ({}, [("a", "x")], "vertex 0 has bipartite = None; it must be 0 for a source or 1 for a target"),
        ({"a": 0, "x": 2}, [("a", "x")], "vertex 1 has bipartite = 2"),
        ({"a": 0, "b": 0, "x": 1}, [("a", "x"), ("a", "b")], "not bipartite: edge 1 joins vertices 0 and 1, both sources"),
    ],
)
def test_networkx_graphs_that_are_no_layer(sides: dict[str, int], edges: list[tuple[str, str]], message: str) -> None:
    graph = nx.Graph(edges)
    ordered = nx.Graph()
    ordered.add_nodes_from((node, {}) for node in (sides or graph))
    ordered.add_edges_from(edges)
    nx.set_node_attributes(ordered, sides, "bipartite")
    with pytest.raises(TopologyError, match=message):
        BipartiteTopology.from_networkx(ordered)


def test_networkx_multigraph_with_parallel_edges_is_refused() -> None:
    graph = nx.MultiGraph(EXAMPLE.to_networkx())
    graph.add_edge(1, 3)
    with pytest.raises(TopologyError, match=r"edge \(1, 0\) occurs twice"):
        BipartiteTopology.from_networkx(graph)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), "matrix is a ndarray; it must be a scipy sparse matrix"),
        (scipy.sparse.coo_array(([1, 1], ([0, 0], [1, 1])), shape=(2, 3)), r"edge \(1, 0\) occurs twice"),
        (scipy.sparse.csr_array((0, 3)), "n_out is 0"),
        (scipy.sparse.coo_array(np.array([1, 0, 1])), "shape"),  # one dimension
    ],
)
def test_matrices_that_are_no_layer(matrix: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        BipartiteTopology.from_scipy(matrix)


@pytest.mark.parametrize("mask", [np.ones((2, 2)), np.ones(3, dtype=bool), torch.ones(2, 2), [[0, 1]], np.bool_(True)], ids=str)
def test_masks_must_be_boolean_matrices(mask: Any) -> None:
    with pytest.raises(TopologyError, match=r"it must be boolean \[n_out, n_in\]"):
        BipartiteTopology.from_mask(mask)


@pytest.mark.parametrize(("shape", "name"), [((0, 3), "n_out"), ((3, 0), "n_in")])
def test_masks_need_both_sides(shape: tuple[int, int], name: str) -> None:
    with pytest.raises(TopologyError, match=rf"{name}\) is 0"):
        BipartiteTopology.from_mask(np.ones(shape, dtype=bool))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([(0, 1), (2, 0), (0, 1)], r"edge \(0, 1\) occurs twice"),
        ([(3, 0)], r"src\[0\] is 3; it must be from 0 to n_in - 1 = 2"),
        ([(0, -1)], r"dst\[0\] is -1; it must be from 0 to n_out - 1 = 1"),
        ([(0, 1, 1)], r"edges has shape \(1, 3\); it must be \[n_edges, 2\]"),
        ([0, 1], r"edges has shape \(2,\)"),
        ([(0.5, 1.0)], "src has dtype float64; it must hold integers"),
        ([(0, 1), (2,)], "edges"),  # ragged
    ],
)
def test_edge_lists_that_are_no_layer(edges: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        BipartiteTopology.from_edges(edges, 3, 2)


@pytest.mark.parametrize("convert", [EXAMPLE.to_igraph, EXAMPLE.to_networkx, EXAMPLE.to_scipy])
@pytest.mark.parametrize("weights", [np.ones(2), np.ones((3, 1)), np.float64(1.0)], ids=str)
def test_weights_must_be_one_an_edge(convert: Any, weights: Any) -> None:
    with pytest.raises(TopologyError, match=r"weights has shape .*; it must be \[n_edges\] = \[3\]"):
        convert(weights)
