"""Whatever a user holds (igraph, networkx, scipy, a topology) becomes a `LayeredGraph`, or an error of one sentence.

No loop of Python runs over edges: igraph and networkx hand their lists over to numpy inside C iterators.
"""

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import igraph
import networkx
import numpy as np
from scipy import sparse

from .errors import AnalysisError
from .graphs import BipartiteGraph, FloatArray, LayeredGraph, LongArray


def as_layered(graph: Any) -> LayeredGraph:
    """Take in a graph of any supported kind.

    Args:
        graph: one of

            - an igraph graph whose vertices carry the boolean attribute `type` (False = source, True = target), or the
              integer attribute `layer` (0..L; edge attribute `layer`, if present, is that of the edge's lower end);
            - a networkx graph whose nodes carry `bipartite` (0 = source, 1 = target), or `layer`;
            - a scipy sparse biadjacency of shape [n_out, n_in]: **targets are rows, sources are columns**, as in a
              PyTorch weight. Every stored entry is an edge, a stored zero too; entries that are not boolean become the
              weights;
            - any object with `n_in`, `n_out`, `src`, `dst` (and perhaps `weights`);
            - a list or tuple of these, one a layer.

            Within a group neurons keep the order that their vertices have. The edge attribute `weight` is taken over
            where present.

    Returns:
        The layers, one or more.

    Raises:
        AnalysisError: a side is empty, an edge does not join two consecutive groups, an edge is repeated, an attribute
            is missing or malformed, a weight is not finite, or the kind of object is not known.
    """
    if isinstance(graph, LayeredGraph):
        return graph
    if isinstance(graph, list | tuple):
        return LayeredGraph(tuple(chain.from_iterable(as_layered(part).layers for part in graph)))
    if isinstance(graph, igraph.Graph):
        return _from_igraph(graph)
    if isinstance(graph, networkx.Graph):
        return _from_networkx(graph)
    if sparse.issparse(graph):
        return LayeredGraph((_from_scipy(graph),))
    if all(hasattr(graph, name) for name in ("n_in", "n_out", "src", "dst")):
        return LayeredGraph((_from_topology(graph),))
    raise AnalysisError(
        f"graph is a {type(graph).__name__}; an igraph or networkx graph, a scipy sparse biadjacency [n_out, n_in], "
        "an object with n_in, n_out, src and dst, or a list of these is needed"
    )


def as_bipartite(graph: Any) -> BipartiteGraph:
    """Take in a graph that must be a single layer.

    Args:
        graph: as for `as_layered`.

    Returns:
        The layer.

    Raises:
        AnalysisError: as for `as_layered`, or the graph has several layers.
    """
    network = as_layered(graph)
    if len(network.layers) != 1:
        raise AnalysisError(f"graph has {len(network.layers)} layers; exactly one is needed here")
    return network.layers[0]


def _from_topology(topology: Any) -> BipartiteGraph:
    if isinstance(topology, BipartiteGraph):
        return topology
    weights = getattr(topology, "weights", None)
    return BipartiteGraph(topology.n_in, topology.n_out, topology.src, topology.dst, weights)


def _from_scipy(matrix: Any) -> BipartiteGraph:
    if matrix.ndim != 2:
        raise AnalysisError(f"graph has shape {matrix.shape}; a biadjacency of shape [n_out, n_in] is needed")
    entries = sparse.coo_array(matrix)
    n_out, n_in = entries.shape
    weights = None if entries.dtype == bool else entries.data
    return BipartiteGraph(n_in, n_out, entries.coords[1], entries.coords[0], weights)


def _from_igraph(graph: igraph.Graph) -> LayeredGraph:
    attribute = _group_attribute(graph.vs.attributes(), "type", "an igraph graph")
    groups = _groups(graph.vs[attribute], attribute)
    # An empty edge list has no second axis of its own.
    ends = np.array(graph.get_edgelist(), dtype=np.int64).reshape(-1, 2)
    weights = _weights(graph.es["weight"]) if "weight" in graph.es.attributes() else None
    network = _assemble(groups, ends[:, 0], ends[:, 1], weights, attribute)
    if attribute == "layer" and "layer" in graph.es.attributes():
        _check_edge_layers(graph.es["layer"], groups, ends)
    return network


def _from_networkx(graph: networkx.Graph) -> LayeredGraph:
    names = set(chain.from_iterable(map(itemgetter(1), graph.nodes(data=True))))
    attribute = _group_attribute(names, "bipartite", "a networkx graph")
    groups = _groups(list(map(itemgetter(1), graph.nodes(data=attribute))), attribute)
    position = dict(zip(graph.nodes, range(graph.number_of_nodes()), strict=True))
    flat = chain.from_iterable(graph.edges())
    ends = np.fromiter(map(position.__getitem__, flat), dtype=np.int64, count=2 * graph.number_of_edges()).reshape(-1, 2)
    values = list(map(itemgetter(2), graph.edges(data="weight")))
    weights = _weights(values) if values and values.count(None) < len(values) else None
    return _assemble(groups, ends[:, 0], ends[:, 1], weights, attribute)


def _group_attribute(names: Any, sides: str, kind: str) -> str:
    """The vertex attribute that says where a neuron belongs: `layer` where it exists, else the two-sided one."""
    for name in ("layer", sides):
        if name in names:
            return name
    raise AnalysisError(
        f"graph has no vertex attribute {sides!r}; {kind} needs {sides!r} (first value source, second target) "
        "or 'layer' on every vertex"
    )


def _groups(values: Sequence[Any], attribute: str) -> LongArray:
    """Group number of every vertex; each must be a whole number from 0 up, and no group may be empty."""
    array = np.asarray(values)
    if array.size == 0:
        raise AnalysisError("graph has no vertices; each side needs at least 1")
    if array.dtype != bool and not np.issubdtype(array.dtype, np.integer):
        raise AnalysisError(f"vertex attribute {attribute!r} must be set to a whole number or a boolean on every vertex")
    groups = array.astype(np.int64)
    highest = int(groups.max()) if attribute == "layer" else 1
    if groups.min() < 0 or groups.max() > highest:
        bad = int(np.flatnonzero((groups < 0) | (groups > highest))[0])
        raise AnalysisError(
            f"vertex attribute {attribute!r} of vertex {bad} is {groups[bad]}; the allowed range is 0 to {highest}"
        )
    missing = np.setdiff1d(np.arange(max(highest, 1) + 1), groups[groups <= max(highest, 1)])
    if missing.size:
        raise AnalysisError(f"graph has no vertex with {attribute!r} = {missing[0]}; every side needs at least 1 vertex")
    return groups


def _weights(values: Sequence[Any]) -> FloatArray:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise AnalysisError("edge attribute 'weight' must be a finite number on every edge") from None


def _assemble(
    groups: LongArray, first: LongArray, second: LongArray, weights: FloatArray | None, attribute: str
) -> LayeredGraph:
    """Sort vertices into groups and edges into layers; every edge must join two consecutive groups."""
    forward = groups[first] < groups[second]
    low, high = np.where(forward, first, second), np.where(forward, second, first)
    bad = np.flatnonzero(groups[high] - groups[low] != 1)
    if bad.size:
        edge = bad[0]
        raise AnalysisError(
            f"graph is not bipartite: edge {edge} joins vertices {first[edge]} and {second[edge]}, "
            f"whose {attribute!r} is {groups[first[edge]]} and {groups[second[edge]]}; "
            "an edge must join consecutive groups"
        )
    sizes = np.bincount(groups)
    # The stable sort keeps the order of the vertices inside each group.
    order = np.argsort(groups, kind="stable")
    local = np.empty(groups.size, dtype=np.int64)
    local[order] = np.arange(groups.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    layers = []
    for index in range(sizes.size - 1):
        inside = np.flatnonzero(groups[low] == index)
        values = None if weights is None else weights[inside]
        src, dst = local[low[inside]].astype(np.int32), local[high[inside]].astype(np.int32)
        layers.append(BipartiteGraph(int(sizes[index]), int(sizes[index + 1]), src, dst, values))
    return LayeredGraph(tuple(layers))


def _check_edge_layers(values: Sequence[Any], groups: LongArray, ends: LongArray) -> None:
    stated = np.asarray(values)
    actual = groups[ends].min(axis=1)
    if stated.size and not np.issubdtype(stated.dtype, np.integer):
        raise AnalysisError("edge attribute 'layer' must be set to a whole number on every edge")
    bad = np.flatnonzero(stated != actual)
    if bad.size:
        edge = bad[0]
        raise AnalysisError(
            f"edge attribute 'layer' of edge {edge} is {stated[edge]}, but its vertices lie in layers "
            f"{groups[ends[edge, 0]]} and {groups[ends[edge, 1]]}; it must be {actual[edge]}"
        )
