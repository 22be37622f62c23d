"""Topologies to and from igraph, networkx, scipy sparse matrices, boolean masks and edge lists, weights included.

Every `to_*` writes edge k as edge k. Every `from_*` accepts edges in any order and returns a `WeightedTopology` whose
weights follow the topology's own order (`None` where the graph carries none). Matrices and masks have PyTorch's
orientation `[n_out, n_in]`: targets are rows, sources are columns. This is the only module of the package that imports
igraph; torch is imported only where a tensor is asked for.
"""

import re
import warnings
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import igraph
import networkx
import numpy as np
import numpy.typing as npt
import scipy.sparse

from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.topology import BipartiteTopology, FloatArray, Int64Array, neuron_count

if TYPE_CHECKING:
    import torch

    ArrayLike = npt.ArrayLike | torch.Tensor
else:
    ArrayLike = Any


class WeightedTopology(NamedTuple):
    """A topology and, where the graph carries them, its weights `[n_edges]` in edge order."""

    topology: BipartiteTopology
    weights: npt.NDArray[Any] | None


def from_edges(edges: ArrayLike, n_in: int, n_out: int, weights: ArrayLike | None = None) -> WeightedTopology:
    """Build from `[n_edges, 2]` integer pairs (source, target) in any order, with `[n_edges]` weights if given."""
    try:
        pairs = _array(edges)
    except ValueError:
        raise TopologyError("edges holds entries of unequal length; it must be [n_edges, 2], pairs (source, target)") from None
    if pairs.size == 0:
        pairs = np.empty((0, 2), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise TopologyError(f"edges has shape {pairs.shape}; it must be [n_edges, 2], pairs (source, target)")
    return _sorted(pairs[:, 0], pairs[:, 1], n_in, n_out, weights)


def to_igraph(topology: BipartiteTopology, weights: ArrayLike | None = None) -> igraph.Graph:
    """Return the undirected igraph graph of `topology`.

    Sources are vertices 0..n_in-1 with `type=False`, targets n_in..n_in+n_out-1 with `type=True`; edge id k is edge k
    and carries weights[k] in the edge attribute `weight` where weights are given.
    """
    ends = np.stack([topology.src, topology.dst.astype(np.int64) + topology.n_in], axis=1)
    graph = igraph.Graph(n=topology.n_in + topology.n_out, edges=ends)
    graph.vs["type"] = [False] * topology.n_in + [True] * topology.n_out
    if weights is not None:
        graph.es["weight"] = edge_weights(weights, topology.n_edges).tolist()
    return graph


def from_igraph(graph: igraph.Graph) -> WeightedTopology:
    """Build from an igraph graph with the boolean vertex attribute `type` (False source, True target).

    Sources and targets are numbered by their order among the vertices; the edge attribute `weight` is taken along.

    Raises:
        TopologyError: when `type` is missing, an edge lies within one side, or an edge occurs twice.
    """
    if "type" not in graph.vs.attributes():
        raise TopologyError("graph has no vertex attribute 'type'; it must hold False for sources and True for targets")
    is_target = _sides(graph.vs["type"], "type")
    ends = np.array(graph.get_edgelist(), dtype=np.int64).reshape(-1, 2)
    weights = np.array(graph.es["weight"]) if "weight" in graph.es.attributes() else None
    return _from_ends(ends, is_target, weights)


def to_networkx(topology: BipartiteTopology, weights: ArrayLike | None = None) -> networkx.Graph:
    """Return the networkx graph: nodes numbered as in `to_igraph`, node attribute `bipartite` 0 (source) or 1 (target)."""
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

    Each side is numbered in node order; the edge attribute `weight` is taken along where every edge has it.

    Raises:
        TopologyError: when a node has no valid `bipartite`, an edge lies within one side, or an edge occurs twice.
    """
    sides = dict(graph.nodes(data="bipartite"))
    is_target = _sides(list(sides.values()), "bipartite")
    number = {node: position for position, node in enumerate(sides)}
    ends = np.array([(number[a], number[b]) for a, b in graph.edges()], dtype=np.int64).reshape(-1, 2)
    values = [value for _, _, value in graph.edges(data="weight")]
    weighted = bool(values) and all(value is not None for value in values)
    return _from_ends(ends, is_target, np.array(values) if weighted else None)


def to_scipy(topology: BipartiteTopology, weights: ArrayLike | None = None) -> scipy.sparse.csr_array:
    """Return the scipy CSR array `[n_out, n_in]` whose stored entries are the edges: `weights`, or int64 ones."""
    data = np.ones(topology.n_edges, dtype=np.int64) if weights is None else edge_weights(weights, topology.n_edges)
    shape = (topology.n_out, topology.n_in)
    return scipy.sparse.csr_array((data, topology.src.copy(), topology.row_pointers.astype(np.int64)), shape=shape)


def from_scipy(matrix: scipy.sparse.sparray | scipy.sparse.spmatrix) -> WeightedTopology:
    """Build from a scipy sparse matrix `[n_out, n_in]`; every stored entry is an edge, also a stored zero.

    Raises:
        TopologyError: when `matrix` is not sparse, is empty on a side, or stores an entry twice.
    """
    if not scipy.sparse.issparse(matrix):
        raise TopologyError(f"matrix is a {type(matrix).__name__}; it must be a scipy sparse matrix [n_out, n_in]")
    coo: Any = matrix.tocoo()  # type: ignore[union-attr]
    if coo.ndim != 2:
        raise TopologyError(f"matrix has shape {coo.shape}; it must be [n_out, n_in]")
    n_out, n_in = coo.shape
    return _sorted(coo.col, coo.row, n_in, n_out, coo.data)


def to_mask(topology: BipartiteTopology) -> npt.NDArray[np.bool_]:
    """Return the boolean numpy mask `[n_out, n_in]`."""
    mask = np.zeros((topology.n_out, topology.n_in), dtype=np.bool_)
    mask[topology.dst, topology.src] = True
    return mask


def to_torch_mask(topology: BipartiteTopology) -> "torch.Tensor":
    """Return the boolean torch mask `[n_out, n_in]` on the CPU."""
    import torch

    return torch.from_numpy(to_mask(topology))


def from_mask(mask: ArrayLike) -> BipartiteTopology:
    """Build from a boolean mask `[n_out, n_in]`, a numpy array, nested lists or a torch tensor."""
    array = _array(mask)
    if array.ndim != 2 or array.dtype != np.bool_:
        raise TopologyError(f"mask has shape {array.shape} and dtype {array.dtype}; it must be boolean [n_out, n_in]")
    n_out, n_in = array.shape
    neuron_count("mask.shape[0] (n_out)", n_out)
    neuron_count("mask.shape[1] (n_in)", n_in)
    dst, src = np.nonzero(array)
    return BipartiteTopology(n_in, n_out, src, dst)


def _from_ends(ends: Int64Array, is_target: npt.NDArray[np.bool_], weights: FloatArray | None) -> WeightedTopology:
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


def _sides(values: Sequence[Any], attribute: str) -> npt.NDArray[np.bool_]:
    unknown = [position for position, value in enumerate(values) if value not in (0, 1)]
    if unknown:
        raise TopologyError(
            f"vertex {unknown[0]} has {attribute} = {values[unknown[0]]!r}; it must be 0 for a source or 1 for a target"
        )
    return np.array(values, dtype=np.bool_)


def edge_weights(weights: ArrayLike, n_edges: int) -> npt.NDArray[Any]:
    """Return weights as an array after checking that there is one for every edge."""
    array = _array(weights)
    if array.shape != (n_edges,):
        raise TopologyError(f"weights has shape {array.shape}; it must be [n_edges] = [{n_edges}]")
    return array


def _array(values: ArrayLike) -> npt.NDArray[Any]:
    if hasattr(values, "detach"):
        return values.detach().cpu().numpy()
    if isinstance(values, Iterable) and not hasattr(values, "__array__") and not isinstance(values, (str, bytes)):
        return np.asarray(list(values))
    return np.asarray(values)


def write_graphml(topology: BipartiteTopology, weights: npt.NDArray[Any] | None, path: Path) -> None:
    """Write the igraph graph of `topology` as GraphML.

    Raises:
        OSError: when the disk is full.
    """
    graph = to_igraph(topology, None if weights is None else weights.astype(np.float64))
    try:
        graph.write_graphml(str(path))
    except igraph.InternalError as error:
        raise OSError(_without_place(error)) from error


def read_graphml(path: Path) -> WeightedTopology:
    """Read a GraphML file whose vertices carry the boolean `type` (see `from_igraph`), or networkx's `bipartite` instead;
    weights become float32."""
    graph = _parsed(path, "GraphML cannot be read")
    if "type" not in graph.vs.attributes() and "bipartite" in graph.vs.attributes():
        graph.vs["type"] = graph.vs["bipartite"]
    topology, weights = from_igraph(graph)
    return WeightedTopology(topology, None if weights is None else weights.astype(np.float32))


def read_layered_graphml(path: Path) -> igraph.Graph | None:
    """Read a GraphML file of a whole network, whose vertices carry `layer` as `stack_to_igraph` gives it, as whole numbers
    (GraphML keeps them as decimals); None where they carry `type` or `bipartite` instead.

    Raises:
        TopologyError: when the file does not hold GraphML, or its vertices carry none of the three.
    """
    graph = _parsed(path, "GraphML cannot be read")
    if "layer" not in graph.vs.attributes():
        if not {"type", "bipartite"} & set(graph.vs.attributes()):
            raise TopologyError(
                "its vertices carry neither 'type' (false for a source, true for a target) nor 'bipartite' (0 or 1) nor "
                "'layer' (0, 1, ...); one of them must say where each belongs"
            )
        return None
    for sequence in (graph.vs, graph.es):
        if "layer" in sequence.attributes():
            sequence["layer"] = [int(n) if isinstance(n, float) and n.is_integer() else n for n in sequence["layer"]]
    return graph


def stack_to_igraph(
    topologies: Sequence[BipartiteTopology],
    weights: npt.NDArray[Any],
    group_sizes: Sequence[int],
    groups: Sequence[tuple[int, int]],
) -> igraph.Graph:
    """Return the layers of a network as one undirected igraph graph.

    Vertices carry `layer`, the number of their group of neurons, edges `layer` 0..len(topologies) - 1 and `weight`; edges come
    layer by layer.

    Args:
        topologies: of every layer.
        weights: of the edges of all layers.
        group_sizes: number of neurons of every group.
        groups: of every layer the group of its sources and that of its targets.
    """
    first = np.concatenate([[0], np.cumsum(group_sizes)])
    ends = [
        np.stack([t.src + first[source], t.dst + first[target]], axis=1)
        for t, (source, target) in zip(topologies, groups, strict=True)
    ]
    graph = igraph.Graph(n=int(first[-1]), edges=np.concatenate(ends))
    graph.vs["layer"] = np.repeat(np.arange(len(group_sizes)), group_sizes).tolist()
    graph.es["layer"] = np.repeat(np.arange(len(topologies)), [t.n_edges for t in topologies]).tolist()
    graph.es["weight"] = weights.tolist()
    return graph


def graph_edges(graph: igraph.Graph | networkx.Graph | str | PathLike[str]) -> tuple[Int64Array, int, int]:
    """Return any graph as edges from sources to targets, and how many sources and targets it has.

    Where all vertices carry 0 (False) or 1 (True) in `type` (igraph) or `bipartite` (networkx, and igraph without `type`),
    the graph is bipartite: each side is numbered by its order among the vertices, and an edge may point either way.
    Otherwise every vertex is a source and a target: a directed edge u -> v is (u, v); an undirected edge is (u, v) and
    (v, u), a self-loop (u, u) once. Weights are ignored.

    Args:
        graph: an igraph or networkx graph, or the path of a GraphML file.

    Returns:
        int64 `[n_edges, 2]` pairs (source, target), sorted by (target, source); the number of sources; that of targets.

    Raises:
        TopologyError: when a graph has no vertex on a side or only some of them carry one, when an edge lies within one side
            or occurs twice, when a file does not hold GraphML, or `graph` is something else.
        ConfigError: when a path is not a file.
    """
    if isinstance(graph, (str, PathLike)):
        graph = _graph_of_file(graph)
    if isinstance(graph, igraph.Graph):
        n_vertices, marks = graph.vcount(), _marks_of_igraph(graph)
        ends = np.array(graph.get_edgelist(), dtype=np.int64).reshape(-1, 2)
    elif isinstance(graph, networkx.Graph):
        n_vertices, marks = len(graph), _marks(list(dict(graph.nodes(data="bipartite")).values()), "bipartite")
        number = {node: position for position, node in enumerate(graph)}
        ends = np.array([(number[a], number[b]) for a, b in graph.edges()], dtype=np.int64).reshape(-1, 2)
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


def _graph_of_file(path: str | PathLike[str]) -> igraph.Graph:
    if not Path(path).is_file():
        raise ConfigError(f"path {str(path)!r} is not a file")
    return _parsed(path, f"file {str(path)!r} cannot be read as GraphML")


def _parsed(path: str | PathLike[str], failure: str) -> igraph.Graph:
    """Read GraphML; warnings of attributes that are not declared are nothing that a reader can do anything about."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return igraph.Graph.Read_GraphML(str(path))
    except igraph.InternalError as error:
        raise TopologyError(f"{failure}: {_without_place(error)}") from error


def _without_place(error: igraph.InternalError) -> str:
    """What igraph says, without the line of its own source."""
    return re.sub(r"^Error at \S+: ", "", str(error))


def _marks_of_igraph(graph: igraph.Graph) -> npt.NDArray[np.bool_] | None:
    found = (_marks(graph.vs[name], name) for name in ("type", "bipartite") if name in graph.vs.attributes())
    return next((marks for marks in found if marks is not None), None)


def _marks(values: Sequence[Any], attribute: str) -> npt.NDArray[np.bool_] | None:
    """Return the sides that `values` mark; None where not one of them is a side, since other tools name other things `type`."""
    if not any(value in (0, 1) for value in values):
        return None
    return _sides(values, attribute)
