"""Topologies to and from igraph, networkx, scipy sparse matrices, boolean masks and edge lists, weights included.

Every `to_*` writes edge k as edge k. Every `from_*` accepts edges in any order and returns a `WeightedTopology` whose
weights follow the topology's own order (None if the graph carries none). Matrices and masks have PyTorch's orientation
`[n_out, n_in]`. A library is imported by the functions that need it, so that graph models load none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import neuron_count
from netsci_nn.errors import TopologyError
from netsci_nn.topology.arrays import ArrayLike, BoolArray, FloatArray, Int64Array, as_array
from netsci_nn.topology.value import BipartiteTopology, check_topology, edge_pairs
from netsci_nn.topology.wiring import Wiring

if TYPE_CHECKING:
    import igraph
    import networkx
    import scipy.sparse
    import torch


class WeightedTopology(NamedTuple):
    """A topology and, if the graph carries them, its weights `[n_edges]` in edge order."""

    topology: BipartiteTopology
    weights: npt.NDArray[Any] | None


def from_edges(edges: ArrayLike, n_in: int, n_out: int, weights: ArrayLike | None = None) -> WeightedTopology:
    """Build from pairs (source, target) in any order, with their weights.

    Args:
        edges: `[n_edges, 2]` integers, sources 0 to n_in - 1 and targets 0 to n_out - 1: an array, tensor or sequence.
        n_in: number of sources, 1 to 2^31 - 1.
        n_out: number of targets, 1 to 2^31 - 1.
        weights: `[n_edges]` numbers in the order of `edges`; or None.

    Raises:
        TopologyError: when a size, a shape or an end of an edge is out of range, or an edge occurs twice.

    Example:
        >>> topology, weights = from_edges([(2, 0), (0, 1), (1, 0)], n_in=3, n_out=2, weights=[0.5, -1.0, 2.0])
        >>> topology.to_edges().tolist(), weights.tolist()
        ([[1, 0], [2, 0], [0, 1]], [2.0, 0.5, -1.0])
    """
    pairs = edge_pairs(edges)
    return _sorted(pairs[:, 0], pairs[:, 1], n_in, n_out, weights)


def to_igraph(topology: BipartiteTopology, weights: ArrayLike | None = None) -> igraph.Graph:
    """Return the undirected igraph graph of a topology.

    Sources are vertices 0..n_in-1 with `type=False`, targets n_in..n_in+n_out-1 with `type=True`. Edge id k is edge k and
    carries weights[k] in the edge attribute `weight` if weights are given.

    Args:
        topology: what to convert.
        weights: `[n_edges]` numbers in edge order; or None.

    Raises:
        TopologyError: when there are not as many weights as edges.

    Example:
        >>> graph = BipartiteTopology(3, 2, [1, 2, 0], [0, 0, 1]).to_igraph([0.5, -1.0, 2.0])
        >>> graph.get_edgelist(), graph.es["weight"], graph.vs["type"]
        ([(1, 3), (2, 3), (0, 4)], [0.5, -1.0, 2.0], [False, False, False, True, True])
    """
    check_topology("topology", topology)
    import igraph

    ends = np.stack([topology.src, topology.dst.astype(np.int64) + topology.n_in], axis=1)
    graph = igraph.Graph(n=topology.n_in + topology.n_out, edges=ends)
    graph.vs["type"] = [False] * topology.n_in + [True] * topology.n_out
    if weights is not None:
        graph.es["weight"] = edge_weights(weights, topology.n_edges).tolist()
    return graph


def from_igraph(graph: igraph.Graph) -> WeightedTopology:
    """Build from an igraph graph with the boolean vertex attribute `type` (False: source, True: target).

    Sources and targets are numbered by their order among the vertices; the edge attribute `weight` is taken along.

    Raises:
        TopologyError: when `type` is missing, an edge lies within one side, or an edge occurs twice.
    """
    import igraph

    if not isinstance(graph, igraph.Graph):
        raise TopologyError(f"graph is a {type(graph).__name__}; it must be an igraph.Graph")
    if "type" not in graph.vs.attributes():
        raise TopologyError("graph has no vertex attribute 'type'; it must hold False for sources and True for targets")
    is_target = _sides(graph.vs["type"], "type")
    weights = np.array(graph.es["weight"]) if "weight" in graph.es.attributes() else None
    return _from_ends(_ends_of_igraph(graph), is_target, weights)


def to_networkx(topology: BipartiteTopology, weights: ArrayLike | None = None) -> networkx.Graph:
    """Return the networkx graph of a topology: nodes as in `to_igraph`, node attribute `bipartite` 0 (source) or 1 (target).

    Args:
        topology: what to convert.
        weights: `[n_edges]` numbers in edge order, for the edge attribute `weight`; or None.

    Raises:
        TopologyError: when there are not as many weights as edges.
    """
    check_topology("topology", topology)
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(range(topology.n_in), bipartite=0)
    graph.add_nodes_from(range(topology.n_in, topology.n_in + topology.n_out), bipartite=1)
    src, dst = topology.src.tolist(), (topology.dst.astype(np.int64) + topology.n_in).tolist()
    if weights is None:
        graph.add_edges_from(zip(src, dst, strict=True))
    else:
        values = edge_weights(weights, topology.n_edges).tolist()
        graph.add_weighted_edges_from(zip(src, dst, values, strict=True))
    return graph


def from_networkx(graph: networkx.Graph) -> WeightedTopology:
    """Build from a networkx graph whose nodes carry `bipartite` 0 (source) or 1 (target).

    Each side is numbered in node order; the edge attribute `weight` is taken along if every edge has it.

    Raises:
        TopologyError: when a node has no valid `bipartite`, an edge lies within one side, or an edge occurs twice.
    """
    import networkx

    if not isinstance(graph, networkx.Graph):
        raise TopologyError(f"graph is a {type(graph).__name__}; it must be a networkx.Graph")
    is_target = _sides(list(dict(graph.nodes(data="bipartite")).values()), "bipartite")
    values = [value for _, _, value in graph.edges(data="weight")]
    weighted = bool(values) and all(value is not None for value in values)
    return _from_ends(_ends_of_networkx(graph), is_target, np.array(values) if weighted else None)


def to_scipy(topology: BipartiteTopology, weights: ArrayLike | None = None) -> scipy.sparse.csr_array:
    """Return the scipy CSR array `[n_out, n_in]` whose stored entries are the edges.

    Args:
        topology: what to convert.
        weights: `[n_edges]` numbers in edge order, the data; None for int64 ones.

    Raises:
        TopologyError: when there are not as many weights as edges.

    Example:
        >>> BipartiteTopology(3, 2, [1, 2, 0], [0, 0, 1]).to_scipy([0.5, -1.0, 2.0]).toarray().tolist()
        [[0.0, 0.5, -1.0], [2.0, 0.0, 0.0]]
    """
    check_topology("topology", topology)
    import scipy.sparse

    data = np.ones(topology.n_edges, dtype=np.int64) if weights is None else edge_weights(weights, topology.n_edges)
    shape = (topology.n_out, topology.n_in)
    return scipy.sparse.csr_array((data, topology.src.copy(), topology.target_pointers.copy()), shape=shape)


def from_scipy(matrix: scipy.sparse.sparray | scipy.sparse.spmatrix) -> WeightedTopology:
    """Build from a scipy sparse matrix `[n_out, n_in]`; every stored entry is an edge, also a stored zero.

    Raises:
        TopologyError: when `matrix` is not sparse, is empty on a side, stores an entry twice, or its arrays do not fit.

    Example:
        >>> import scipy.sparse
        >>> topology, weights = from_scipy(scipy.sparse.csr_array([[0.0, 0.5, -1.0], [2.0, 0.0, 0.0]]))
        >>> topology.to_edges().tolist(), weights.tolist()
        ([[1, 0], [2, 0], [0, 1]], [0.5, -1.0, 2.0])
    """
    import scipy.sparse

    if not scipy.sparse.issparse(matrix):
        raise TopologyError(f"matrix is a {type(matrix).__name__}; it must be a scipy sparse matrix [n_out, n_in]")
    check_pointers(matrix)
    coo: Any = matrix.tocoo()  # type: ignore[union-attr]
    if coo.ndim != 2:
        raise TopologyError(f"matrix has shape {coo.shape}; it must be [n_out, n_in]")
    n_out, n_in = coo.shape
    return _sorted(coo.col, coo.row, n_in, n_out, coo.data)


def check_pointers(matrix: Any) -> None:
    """Raise a TopologyError if a scipy matrix in rows, columns or blocks points out of its own arrays.

    scipy's own `check_format` lets negative pointers pass, and its conversions follow them out of memory.
    """
    pointers = getattr(matrix, "indptr", None)
    if pointers is None:
        return
    most = min(len(matrix.indices), len(matrix.data))
    if not (pointers[0] == 0 and (pointers[1:] >= pointers[:-1]).all() and pointers[-1] <= most):
        raise TopologyError(f"matrix has an indptr that does not rise from 0 to at most {most}, the number of its entries")


def to_mask(topology: BipartiteTopology) -> BoolArray:
    """Return the boolean numpy mask `[n_out, n_in]`; `to_torch_mask` gives a tensor.

    Example:
        >>> BipartiteTopology(3, 2, [1, 2, 0], [0, 0, 1]).to_mask().astype(int).tolist()
        [[0, 1, 1], [1, 0, 0]]
    """
    check_topology("topology", topology)
    mask = np.zeros((topology.n_out, topology.n_in), dtype=np.bool_)
    mask[topology.dst, topology.src] = True
    return mask


def to_torch_mask(topology: BipartiteTopology) -> torch.Tensor:
    """Return the boolean torch mask `[n_out, n_in]` on the CPU."""
    import torch

    return torch.from_numpy(to_mask(topology))


def from_mask(mask: ArrayLike) -> BipartiteTopology:
    """Build from a boolean mask `[n_out, n_in]`: a numpy array, nested lists or a torch tensor.

    Raises:
        TopologyError: when `mask` is not boolean, has no two dimensions, or is empty on a side.

    Example:
        >>> BipartiteTopology.from_mask([[False, True, True], [True, False, False]]).to_edges().tolist()
        [[1, 0], [2, 0], [0, 1]]
    """
    array = as_array(mask)
    if array.ndim != 2 or array.dtype != np.bool_:
        raise TopologyError(f"mask has shape {array.shape} and dtype {array.dtype}; it must be boolean [n_out, n_in]")
    n_out = neuron_count("mask.shape[0] (n_out)", array.shape[0])
    n_in = neuron_count("mask.shape[1] (n_in)", array.shape[1])
    dst, src = np.nonzero(array)
    return BipartiteTopology(n_in, n_out, src, dst)


def network_to_igraph(wiring: Wiring) -> igraph.Graph:
    """Return a network as one undirected igraph graph.

    Vertices carry `layer`, the number of their group of neurons; edges carry `layer`, the number of their layer (for links, the
    number of layers), and `weight`, 1 for links, if all layers have weights. Edges come layer by layer, links last. The graph
    attribute `layers` holds a dict per layer and one for the links, if there are any: `name`, `kind` ("linear", "convolution",
    "link"), `kernel`, the vertices that are its `sources` and `targets`, and of its edges the positions `src` and `dst` among
    these, and the ids `edges` = (first, last + 1).
    """
    import igraph

    layers, links = wiring.layers, wiring.links
    ends = [np.stack([each.sources[each.topology.src], each.targets[each.topology.dst]], axis=1) for each in layers]
    counts = [len(pairs) for pairs in (*ends, links)]
    graph = igraph.Graph(n=len(wiring.groups), edges=np.concatenate([*ends, links]))
    graph.vs["layer"] = wiring.groups.tolist()
    graph.es["layer"] = np.repeat(np.arange(len(counts)), counts).tolist()
    weights = [each.weights for each in layers if each.weights is not None]
    if len(weights) == len(layers):
        graph.es["weight"] = np.concatenate([*weights, np.ones(len(links))]).tolist()
    last = np.cumsum(counts).tolist()
    graph["layers"] = [
        {
            "name": each.name,
            "kind": "convolution" if each.kernel else "linear",
            "kernel": each.kernel,
            "sources": each.sources,
            "targets": each.targets,
            "src": each.topology.src,
            "dst": each.topology.dst,
            "edges": (end - each.topology.n_edges, end),
        }
        for each, end in zip(layers, last, strict=False)
    ]
    if len(links):
        (sources, src), (targets, dst) = (np.unique(ends, return_inverse=True) for ends in links.T)
        whole = {"sources": sources, "targets": targets, "src": src, "dst": dst, "edges": (last[-1] - len(links), last[-1])}
        graph["layers"].append({"name": "links", "kind": "link", "kernel": (), **whole})
    return graph


def graph_edges(graph: igraph.Graph | networkx.Graph) -> tuple[Int64Array, int, int]:
    """Return any graph as edges from sources to targets, and how many sources and targets it has.

    If all vertices carry 0 (False) or 1 (True) in `type` (igraph) or `bipartite` (networkx, and igraph without `type`), the
    graph is bipartite: each side is numbered by its order among the vertices, and an edge may point either way. Otherwise
    every vertex is a source and a target: a directed edge u -> v is (u, v); an undirected edge is (u, v) and (v, u), a
    self-loop (u, u) once. Weights are ignored.

    Returns:
        int64 `[n_edges, 2]` pairs (source, target), sorted by (target, source); the number of sources; that of targets.

    Raises:
        TopologyError: when a graph has no vertex on a side or only some of them carry one, when an edge lies within one side
            or occurs twice, or `graph` is something else.
    """
    import igraph
    import networkx

    marks: BoolArray | None
    if isinstance(graph, igraph.Graph):
        n_vertices, ends = graph.vcount(), _ends_of_igraph(graph)
        found = (_marks(graph.vs[name], name) for name in ("type", "bipartite") if name in graph.vs.attributes())
        marks = next((marks for marks in found if marks is not None), None)
    elif isinstance(graph, networkx.Graph):
        n_vertices, ends = len(graph), _ends_of_networkx(graph)
        marks = _marks(list(dict(graph.nodes(data="bipartite")).values()), "bipartite")
    else:
        raise TopologyError(
            f"graph is a {type(graph).__name__}; it must be an igraph.Graph, a networkx graph or the path of a GraphML file"
        )
    if n_vertices == 0:
        raise TopologyError("graph has 0 vertices; it must have at least 1")
    if marks is not None:
        if marks.all() or not marks.any():
            raise TopologyError(
                f"graph has {(~marks).sum()} sources and {marks.sum()} targets; it must have at least 1 of both"
            )
        topology = _from_ends(ends, marks, None).topology
    else:
        if not graph.is_directed():
            ends = np.concatenate([ends, ends[ends[:, 0] != ends[:, 1], ::-1]])
        topology = _sorted(ends[:, 0], ends[:, 1], n_vertices, n_vertices, None).topology
    return topology.to_edges().astype(np.int64), topology.n_in, topology.n_out


def edge_weights(weights: ArrayLike, n_edges: int) -> npt.NDArray[Any]:
    """Return weights as an array after checking that there is one number per edge; float16 becomes float32."""
    array = as_array(weights)
    if array.shape != (n_edges,):
        raise TopologyError(f"weights has shape {array.shape}; it must be [n_edges] = [{n_edges}]")
    if array.dtype.kind not in "biuf":
        raise TopologyError(f"weights has dtype {array.dtype}; it must hold real numbers")
    wide = np.dtype(np.float32) if array.dtype.itemsize == 2 and array.dtype.kind == "f" else array.dtype
    return array.astype(wide.newbyteorder("="), copy=False)


def _ends_of_igraph(graph: igraph.Graph) -> Int64Array:
    return np.array(graph.get_edgelist(), dtype=np.int64).reshape(-1, 2)


def _ends_of_networkx(graph: networkx.Graph) -> Int64Array:
    number = {node: position for position, node in enumerate(graph)}
    return np.array([(number[a], number[b]) for a, b in graph.edges()], dtype=np.int64).reshape(-1, 2)


def _from_ends(ends: Int64Array, is_target: BoolArray, weights: FloatArray | None) -> WeightedTopology:
    """Build from pairs of vertices, whichever end comes first."""
    within = is_target[ends[:, 0]] == is_target[ends[:, 1]]
    if within.any():
        edge = int(within.argmax())
        side = "targets" if is_target[ends[edge, 0]] else "sources"
        raise TopologyError(
            f"graph is not bipartite: edge {edge} joins vertices {ends[edge, 0]} and {ends[edge, 1]}, both {side}; "
            "every edge must join a source and a target"
        )
    flip = is_target[ends[:, 0]]
    source, target = np.where(flip, ends[:, 1], ends[:, 0]), np.where(flip, ends[:, 0], ends[:, 1])
    number = np.where(is_target, np.cumsum(is_target), np.cumsum(~is_target)) - 1
    n_out = int(is_target.sum())
    return _sorted(number[source], number[target], len(is_target) - n_out, n_out, weights)


def _sorted(src: npt.NDArray[Any], dst: npt.NDArray[Any], n_in: int, n_out: int, weights: ArrayLike | None) -> WeightedTopology:
    order = np.lexsort((src, dst))
    topology = BipartiteTopology(n_in, n_out, src[order], dst[order])
    return WeightedTopology(topology, None if weights is None else edge_weights(weights, len(order))[order])


def _sides(values: Sequence[Any], attribute: str) -> BoolArray:
    unknown = [position for position, value in enumerate(values) if value not in (0, 1)]
    if unknown:
        raise TopologyError(
            f"vertex {unknown[0]} has {attribute} = {values[unknown[0]]!r}; it must be 0 for a source or 1 for a target"
        )
    return np.array(values, dtype=np.bool_)


def _marks(values: Sequence[Any], attribute: str) -> BoolArray | None:
    """Return the sides that `values` mark; None if no value is 0 or 1."""
    if not any(value in (0, 1) for value in values):
        return None
    return _sides(values, attribute)
