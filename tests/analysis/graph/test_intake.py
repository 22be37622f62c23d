"""Intake: every kind of graph gives the same layers, and every malformed one gives one sentence."""

import itertools
from types import SimpleNamespace
from typing import Any

import igraph
import networkx as nx
import numpy as np
import pytest
import torch
from scipy import sparse

from analysis import AnalysisError
from analysis.graph.intake import as_bipartite, as_layered
from analysis.graph.values import BipartiteGraph, LayeredGraph
from netsci_nn import BipartiteTopology, SparseLinear

SRC, DST, WEIGHTS = [2, 0, 1, 2], [1, 0, 0, 0], [0.5, -1.0, 2.0, 4.0]
EXPECTED = BipartiteGraph(3, 2, np.array(SRC), np.array(DST), np.array(WEIGHTS))


def igraph_layer(**changes: Any) -> igraph.Graph:
    graph = igraph.Graph(n=5, edges=[(s, 3 + t) for s, t in zip(SRC, DST, strict=True)])
    graph.vs["type"] = [False] * 3 + [True] * 2
    graph.es["weight"] = WEIGHTS
    for name, values in changes.items():
        graph.vs[name] = values
    return graph


def networkx_layer() -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from("abc", bipartite=0)
    graph.add_nodes_from("xy", bipartite=1)
    graph.add_weighted_edges_from([("abc"[s], "xy"[t], w) for s, t, w in zip(SRC, DST, WEIGHTS, strict=True)])
    return graph


def layered_igraph(edges: list[tuple[int, int]]) -> igraph.Graph:
    graph = igraph.Graph(n=6, edges=edges)
    graph.vs["layer"] = [0, 0, 1, 1, 2, 2]
    return graph


def test_edges_are_sorted_by_target_then_source_and_weights_follow() -> None:
    assert EXPECTED.src.tolist() == [0, 1, 2, 2]
    assert EXPECTED.dst.tolist() == [0, 0, 0, 1]
    assert EXPECTED.weights is not None
    assert EXPECTED.weights.tolist() == [-1.0, 2.0, 4.0, 0.5]
    assert EXPECTED.src.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        EXPECTED.src[0] = 1


def test_biadjacency_has_targets_as_rows() -> None:
    assert EXPECTED.biadjacency.toarray().tolist() == [[1, 1, 1], [0, 0, 1]]
    assert EXPECTED.out_degrees.tolist() == [1, 1, 2]
    assert EXPECTED.in_degrees.tolist() == [3, 1]


@pytest.mark.parametrize(
    "graph",
    [
        igraph_layer(),
        networkx_layer(),
        sparse.csr_array(([-1.0, 2.0, 4.0, 0.5], ([0, 0, 0, 1], [0, 1, 2, 2])), shape=(2, 3)),
        SimpleNamespace(n_in=3, n_out=2, src=np.array(SRC), dst=np.array(DST), weights=np.array(WEIGHTS)),
        [EXPECTED],
    ],
    ids=["igraph", "networkx", "scipy", "topology-like", "list"],
)
def test_every_kind_of_graph_gives_the_same_layer(graph: Any) -> None:
    assert as_bipartite(graph) == EXPECTED


def test_vertices_of_a_side_need_not_be_contiguous() -> None:
    graph = igraph.Graph(n=3, edges=[(0, 1), (1, 2)])
    graph.vs["type"] = [True, False, True]
    assert as_bipartite(graph) == BipartiteGraph(1, 2, np.array([0, 0]), np.array([0, 1]))


def test_boolean_matrix_has_no_weights_and_stored_zero_is_an_edge() -> None:
    assert as_bipartite(sparse.csr_array(np.eye(2, dtype=bool))).weights is None
    stored = sparse.csr_array(([0.0], ([0], [1])), shape=(2, 2))
    assert as_bipartite(stored).n_edges == 1


def test_layered_igraph_is_split_and_folds_back() -> None:
    graph = layered_igraph([(0, 2), (3, 1), (2, 4), (3, 5), (3, 4)])
    graph.es["layer"] = [0, 0, 1, 1, 1]
    network = as_layered(graph)
    assert network.layer_sizes == (2, 2, 2)
    assert [layer.n_edges for layer in network.layers] == [2, 3]
    assert network.degrees.tolist() == graph.degree()
    folded = network.folded
    assert (folded.n_in, folded.n_out, folded.n_edges, folded.n_pairs) == (4, 2, 5, 8)
    assert sorted(folded.out_degrees.tolist() + folded.in_degrees.tolist()) == sorted(graph.degree())


def test_fold_of_four_layers_is_isomorphic_to_the_network() -> None:
    rng = np.random.default_rng(3)
    sizes = (4, 3, 5, 2, 4)
    starts = np.cumsum((0, *sizes))
    layers, edges = [], []
    for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        keys = rng.choice(n_in * n_out, size=n_in + 2, replace=False)
        layers.append(BipartiteGraph(n_in, n_out, keys % n_in, keys // n_in))
        edges += [(int(starts[index] + k % n_in), int(starts[index + 1] + k // n_in)) for k in keys]
    folded = LayeredGraph(tuple(layers)).folded
    ours = igraph.Graph(n=folded.n_neurons, edges=list(zip(folded.src, folded.dst + folded.n_in, strict=True)))
    assert ours.isomorphic(igraph.Graph(n=sum(sizes), edges=edges))


def test_layered_networkx() -> None:
    graph = nx.path_graph(4)
    nx.set_node_attributes(graph, {0: 0, 1: 1, 2: 2, 3: 3}, "layer")
    assert as_layered(graph).layer_sizes == (1, 1, 1, 1)


def one_edge(**changes: Any) -> SimpleNamespace:
    fields = {"n_in": 2, "n_out": 2, "src": np.array([0]), "dst": np.array([1])}
    return SimpleNamespace(**(fields | changes))


def without_type() -> igraph.Graph:
    graph = igraph_layer()
    del graph.vs["type"]
    return graph


def multigraph() -> nx.Graph:
    graph = nx.MultiGraph(networkx_layer())
    graph.add_edge("a", "x", weight=1.0)
    return graph


def partly_weighted() -> nx.Graph:
    graph = networkx_layer()
    graph.add_edge("a", "y")
    return graph


def edge_layers(values: list[Any]) -> igraph.Graph:
    graph = layered_igraph([(0, 2), (2, 4)])
    graph.es["layer"] = values
    return graph


def edge_weights(values: list[Any]) -> igraph.Graph:
    graph = layered_igraph([(0, 2), (2, 4)])
    graph.es["weight"] = values
    return graph


def unmarked_node() -> nx.Graph:
    graph = networkx_layer()
    graph.add_node("b")
    del graph.nodes["b"]["bipartite"]
    return graph


def inside_a_side() -> nx.Graph:
    graph = networkx_layer()
    graph.add_edge("x", "y", weight=1.0)
    return graph


def directed_igraph(edges: list[tuple[int, int]]) -> igraph.Graph:
    graph = igraph.Graph(n=5, edges=edges, directed=True)
    graph.vs["type"] = [False] * 3 + [True] * 2
    return graph


def directed_networkx(edges: list[tuple[str, str]]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from((node, {"layer": layer}) for layer, node in enumerate("abc"))
    graph.add_edges_from(edges)
    return graph


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (igraph.Graph(), "graph is empty"),
        (without_type(), "no vertex attribute 'type'"),
        (nx.path_graph(3), "no vertex attribute 'bipartite'"),
        (nx.Graph(), "graph is empty"),
        (igraph_layer(type=[False] * 5), "no vertex with 'type' = 1"),
        (igraph_layer(type=[True] * 5), "no vertex with 'type' = 0"),
        (igraph_layer(type=[False, False, True, True, True]), "not bipartite: edge 0 joins vertices 2 and 4"),
        (
            igraph_layer(type=[False, None, False, True, True]),
            "'type' is missing on vertex 1; it must be set to a whole number",
        ),
        (igraph_layer(type=[0, 1, 0, 1.5, 2.5]), "'type' of vertex 3 is 1.5; it must be set to a whole number"),
        (igraph_layer(type=[[0], [1], [0], [1], [1]]), r"'type' of vertex 0 is \[0\]; it must be set"),
        (igraph_layer(type=[[0], [1, 2], [0], [1], [1]]), r"'type' of vertex 0 is \[0\]; it must be set"),
        (igraph_layer(layer=[0, 0, 0, 1, 10**9]), "no vertex with 'layer' = 2; every number from 0 to 1000000000"),
        (igraph_layer(layer=[0, 0, 0, 1, 3]), "no vertex with 'layer' = 2; every number from 0 to 3"),
        (igraph_layer(layer=[0, 0, 0, 1, 2**63 + 1]), "'layer' of vertex 4 is 9223372036854775809; it must be set"),
        (igraph_layer(layer=[0, 0, -1, 1, 1]), "'layer' of vertex 2 is -1; the allowed range is 0 to 1"),
        (igraph_layer(type=[0, 0, 0, 1, 2]), "'type' of vertex 4 is 2; the allowed range is 0 to 1"),
        (layered_igraph([(0, 4)]), "joins vertices 0 and 4, whose 'layer' is 0 and 2"),
        (layered_igraph([(0, 1)]), "joins vertices 0 and 1, whose 'layer' is 0 and 0"),
        (edge_layers([0, 0]), "'layer' of edge 1 is 0"),
        (edge_layers([0, None]), "'layer' of edge 1 is missing; it must be a whole number"),
        (edge_layers([0, 1.5]), "'layer' of edge 1 is 1.5"),
        (multigraph(), "more than once"),
        (partly_weighted(), "'weight' of edge 1 between vertices 'a' and 'y' is missing; it must be a finite real number"),
        (edge_weights([1.0, np.nan]), "'weight' of edge 1 between vertices 2 and 4 is nan"),
        (edge_weights([None, 1.0]), "'weight' of edge 0 between vertices 0 and 2 is missing"),
        (edge_weights([1.0, "2"]), "'weight' of edge 1 between vertices 2 and 4 is '2'"),
        (edge_weights([1.0, 2j]), "'weight' of edge 1 between vertices 2 and 4 is 2j"),
        (edge_weights([[1.0], [2.0]]), r"'weight' of edge 0 between vertices 0 and 2 is \[1.0\]"),
        (unmarked_node(), "'bipartite' is missing on vertex 'b'"),
        (inside_a_side(), "joins vertices 'x' and 'y', whose 'bipartite' is 1 and 1"),
        (directed_igraph([(0, 3), (4, 1)]), "edge 1 points from vertex 4 to vertex 1, whose 'type' is 1 and 0; in a directed"),
        (directed_networkx([("a", "b"), ("c", "b")]), "points from vertex 'c' to vertex 'b', whose 'layer' is 2 and 1"),
        (networkx_layer().to_directed(), "graph is directed"),
        (sparse.csr_array((0, 3)), "n_out is 0"),
        (sparse.csr_array((3, 0)), "n_in is 0"),
        (sparse.csr_array([[np.nan, 1.0]]), "weight nan"),
        (sparse.csr_array([[0.0, 1 + 2j]]), r"edge from source 1 to target 0 has the weight \(1\+2j\); .* finite real numbers"),
        (sparse.coo_array(([1.0, 1.0], ([0, 0], [1, 1])), shape=(2, 2)), "source 1 to target 0 more than once"),
        (one_edge(n_in=0), "n_in is 0"),
        (one_edge(src=np.array([2])), r"src\[0\] is 2; the allowed range is 0 to 1"),
        (one_edge(dst=np.array([-1])), r"dst\[0\] is -1"),
        (one_edge(src=np.array([0.0])), "array of integers"),
        (one_edge(src=[[0], [1, 2]]), "src has shape .* and dtype object; a 1-D array of integers"),
        (one_edge(src=["a"]), "array of integers"),
        (one_edge(src=np.array([2**63 + 1], dtype=np.uint64)), r"src\[0\] is 9223372036854775809; the allowed range is 0 to 1"),
        (one_edge(src=np.array([0, 1])), "src has 2 entries and dst has 1"),
        (one_edge(weights=[np.inf]), "weight inf"),
        (one_edge(weights=[1.0, 2.0]), "one number for each of the 1 edges"),
        (one_edge(weights=[None]), "edge from source 0 to target 1 has no weight"),
        (one_edge(weights=["a"]), "has the weight 'a'; weights must be finite real numbers"),
        (one_edge(weights=[1j]), "has the weight 1j"),
        (one_edge(weights=[10**400]), "has the weight 1000"),
        (one_edge(src=[0, 1], dst=[1, 1], weights=[2.0, "a"]), "edge from source 1 to target 1 has the weight 'a'"),
        (one_edge(src=[0, 1], dst=[1, 1], weights=[[0], [1, 2]]), r"has the weight \[0\]"),
        (one_edge(weight=[[1.0, 2.0], [3.0, 4.0]]), r"weights has shape \(2, 2\); one number for each of the 1 edges"),
        (one_edge(weight=[[1.0, np.nan]]), "source 0 to target 1 has the weight nan"),
        (
            one_edge(weight=[1.0], active=[True, True]),
            r"active has shape \(2,\) and dtype bool; booleans, one for each of the 1",
        ),
        (one_edge(weight=[1.0], active=[2]), "active has shape .* and dtype int64; booleans"),
        ([], "no layer"),
        ([one_edge(), one_edge(n_in=3)], "layer 0 has 2 targets and layer 1 has 3 sources"),
        (np.eye(2), "graph is a ndarray"),
    ],
)
def test_bad_graphs_are_refused(graph: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message) as caught:
        as_layered(graph)
    assert "\n" not in str(caught.value)


def test_a_directed_graph_whose_edges_point_forward_is_taken() -> None:
    edges = [(s, 3 + t) for s, t in zip(SRC, DST, strict=True)]
    directed, undirected = directed_igraph(edges), igraph_layer()
    directed.es["weight"] = WEIGHTS
    assert as_layered(directed) == as_layered(undirected)
    layered = directed_networkx([("a", "b"), ("b", "c")])
    assert as_layered(layered) == as_layered(layered.to_undirected())


def test_an_undirected_graph_says_nothing_about_direction() -> None:
    graph = igraph.Graph(n=5, edges=[(3 + t, s) for s, t in zip(SRC, DST, strict=True)])
    graph.vs["type"], graph.es["weight"] = [False] * 3 + [True] * 2, WEIGHTS
    assert as_bipartite(graph) == EXPECTED


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors_of_torch_are_taken(dtype: torch.dtype) -> None:
    weights = torch.tensor(WEIGHTS, dtype=dtype, requires_grad=True)
    topology = SimpleNamespace(n_in=3, n_out=2, src=torch.tensor(SRC), dst=torch.tensor(DST), weights=weights)
    assert as_bipartite(topology) == EXPECTED


def test_signed_and_unsigned_groups_may_stand_together() -> None:
    graph = igraph_layer(layer=[0, np.uint64(0), 0, np.uint64(1), 1])
    assert as_bipartite(graph) == EXPECTED


def test_as_bipartite_wants_one_layer() -> None:
    with pytest.raises(AnalysisError, match="2 layers"):
        as_bipartite(layered_igraph([(0, 2)]))


class Layer(torch.nn.Module):
    """A layer as torch users write one: its weights are a parameter, its edges tensors."""

    def __init__(self, weight: torch.Tensor, active: torch.Tensor | None = None) -> None:
        super().__init__()
        self.n_in, self.n_out = 3, 2
        self.src, self.dst = torch.tensor(SRC), torch.tensor(DST)
        self.weight = torch.nn.Parameter(weight)
        self.active = active

    @property
    def values(self) -> torch.Tensor:
        raise AssertionError("a layer that has `weight` is not asked for `values`")


class LayerWithStrength(Layer):
    def strength(self) -> torch.Tensor:
        return self.weight.detach().abs().amax(dim=(1, 2))


KERNELS = torch.tensor(
    [[[3.0, 0.0], [0.0, -4.0]], [[0.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]]
)


def test_weights_of_a_torch_layer_are_taken_with_their_signs() -> None:
    assert as_bipartite(Layer(torch.tensor(WEIGHTS))) == EXPECTED
    assert as_layered([Layer(torch.tensor(WEIGHTS))]).layers == (EXPECTED,)


@pytest.mark.parametrize("name", ["weights", "weight", "values"])
def test_weights_may_have_any_of_three_names(name: str) -> None:
    assert as_bipartite(one_edge(**{name: np.array([-2.0])})).weights == pytest.approx([-2.0])


def test_a_topology_without_weights_and_a_method_called_values_give_none() -> None:
    assert as_bipartite(one_edge()).weights is None
    assert as_bipartite(one_edge(weights=None)).weights is None
    assert as_bipartite(one_edge(values={}.values)).weights is None


def test_kernels_count_with_their_norm_or_with_the_strength_of_the_layer() -> None:
    # The edges in sorted order are 1, 2, 3, 0.
    assert as_bipartite(Layer(KERNELS)).weights == pytest.approx([1.0, 2.0, 1.0, 5.0])
    assert as_bipartite(LayerWithStrength(KERNELS)).weights == pytest.approx([1.0, 2.0, 1.0, 4.0])
    none = SimpleNamespace(n_in=3, n_out=2, src=np.array([], int), dst=np.array([], int), weight=np.empty((0, 3, 3)))
    assert as_bipartite(none).weights.shape == (0,)  # type: ignore[union-attr]


def test_an_inactive_edge_has_weight_zero() -> None:
    active = torch.tensor([True, False, True, False])
    assert as_bipartite(Layer(torch.tensor(WEIGHTS), active)).weights == pytest.approx([0.0, 2.0, 0.0, 0.5])
    assert as_bipartite(Layer(KERNELS, active)).weights == pytest.approx([0.0, 2.0, 0.0, 5.0])


def test_sparse_linear_keeps_its_weights() -> None:
    layer = SparseLinear(BipartiteTopology(3, 2, np.array([0, 1, 2, 2]), np.array([0, 0, 0, 1])))
    assert as_bipartite(layer).weights == pytest.approx(layer.weight.detach().numpy())
    assert as_bipartite(layer.topology).weights is None


def test_keys_rise_with_the_edges() -> None:
    assert EXPECTED.keys.tolist() == [0, 1, 2, 5]
    assert EXPECTED.keys.dtype == np.int64
