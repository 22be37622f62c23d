"""Whatever a user holds (igraph, networkx, scipy, a topology, a sparse layer) becomes a `LayeredGraph`, or an error.

No loop of Python runs over edges: igraph and networkx hand their lists over to numpy inside C iterators.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, LongArray, as_array, first_not_finite
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.grouped_edges import GroupedEdges, network_of
from analysis.graph.stated_layers import from_stated_layers, from_wiring
from analysis.graph.values import LayeredGraph

if TYPE_CHECKING:
    import igraph
    import networkx


def as_layered(graph: Any) -> LayeredGraph:
    """Take in a graph of any supported kind.

    Args:
        graph: one of

            - an igraph graph whose vertices carry the boolean attribute `type` (False = source, True = target), or the
              integer attribute `layer`, the number 0..L of their group;
            - an igraph graph that has such groups and says in the graph attribute `layers` what its layers are (see
              `analysis.graph.stated_layers`), as `netsci_nn.network_graph` makes it;
            - a networkx graph whose nodes carry `bipartite` (0 = source, 1 = target), or `layer`;
            - a scipy sparse biadjacency of shape [n_out, n_in]: **targets are rows, sources are columns**, as in a
              PyTorch weight. Every stored entry is an edge, a stored zero too; entries that are not boolean become the
              weights;
            - any object with `n_in`, `n_out`, `src`, `dst` and perhaps weights, called `weights`, `weight` or `values`: a
              topology, or a sparse layer of torch. One number per edge keeps its sign; a kernel per edge
              ([n_edges, ...]) counts with the layer's `strength()`, or, without such a method, with its L2 norm. An edge
              that the mask `active` (bool of shape [n_edges]) switches off has the weight 0;
            - any object with `layers`, `groups` and `links`, such as a `Wiring` of netsci_nn: a whole network, of which each
              layer has `name`, `kernel` (the size of its kernels, empty if it is linear), `topology`, `weights` (or None), and
              the numbers of its neurons, `sources` and `targets`;
            - a list or tuple of these, one per layer.

            Within a group neurons keep the order of their vertices, and groups are numbered without gaps. The edge attribute
            `weight` is taken over if present. In a directed graph every edge must point from a lower to a higher group; an
            undirected one says nothing about direction.

            If all edges join consecutive groups, the graph is a chain: a layer leads from every group to the next, even if it
            has no edge, and igraph's edge attribute `layer`, if present, must be the group of the edge's lower end. Otherwise
            edges between the same two groups are a layer, in the order of these pairs; or, if igraph's edge attribute
            `layer` numbers the layers 0, 1, ..., edges of the same number, and a layer may join several groups. The sources of
            a layer are all neurons of the groups that its edges start from, its targets those of the groups that they lead
            to. There is no layer without edges then; and a group without edges is an error, as it is not known which layer it
            belongs to.

    Returns:
        The layers, one or more. Those of a list are a chain.

    Raises:
        AnalysisError: a side is empty; an edge lies within a group, is repeated or points backward; a graph that is no chain
            has a group without edges; an attribute is missing, malformed or contradicts the edges; a weight is not a
            finite real number; or the kind of object is not known.

    >>> import scipy.sparse
    >>> network = as_layered(scipy.sparse.csr_array([[0.5, 0.0, -1.0], [0.0, 2.0, 0.0]]))
    >>> network.layer_sizes, network.layers[0].weights.tolist()
    ((3, 2), [0.5, -1.0, 2.0])
    """
    if isinstance(graph, LayeredGraph):
        return graph
    if isinstance(graph, list | tuple):
        return _from_list(graph)
    if all(hasattr(graph, name) for name in ("layers", "groups", "links")):
        return from_wiring(graph)
    if _is_graph_of("igraph", graph):
        return _from_igraph(graph)
    if _is_graph_of("networkx", graph):
        return _from_networkx(graph)
    if sparse.issparse(graph):
        return LayeredGraph((_from_scipy(graph),))
    if all(hasattr(graph, name) for name in ("n_in", "n_out", "src", "dst")):
        if not isinstance(graph, BipartiteGraph):
            graph = BipartiteGraph(graph.n_in, graph.n_out, graph.src, graph.dst, _weights_of(graph))
        return LayeredGraph((graph,))
    raise AnalysisError(
        f"graph is a {type(graph).__name__}; an igraph or networkx graph, a scipy sparse biadjacency [n_out, n_in], "
        "an object with n_in, n_out, src and dst, or a list of these is needed"
    )


def as_bipartite(graph: Any) -> BipartiteGraph:
    """Take in a graph that must be a single layer; otherwise as `as_layered`.

    >>> import networkx
    >>> as_bipartite(networkx.complete_bipartite_graph(3, 2)).n_edges
    6
    """
    network = as_layered(graph)
    if len(network.layers) != 1:
        raise AnalysisError(f"graph has {len(network.layers)} layers; exactly one is needed here")
    if not network.is_single:
        raise AnalysisError("graph is a network of one layer with links or shared neurons; a layer by itself is needed here")
    return network.layers[0]


def _from_list(parts: Sequence[Any]) -> LayeredGraph:
    """The layers of several graphs as one chain; a single graph is what it is."""
    networks = [as_layered(part) for part in parts]
    if len(networks) == 1:
        return networks[0]
    for index, network in enumerate(networks):
        if not network.is_chain:
            raise AnalysisError(
                f"graph: entry {index} of the list is a network that is no chain; the layers of a list are a chain"
            )
    return LayeredGraph(
        tuple(chain.from_iterable(network.layers for network in networks)),
        names=tuple(chain.from_iterable(network.names for network in networks)),
        kinds=tuple(chain.from_iterable(network.kinds for network in networks)),
    )


def _weights_of(topology: Any) -> npt.NDArray[Any] | None:
    """One number per edge of a topology or a layer: its weight with its sign, or the strength of its kernel; None without."""
    # `values` comes last and alone: layers that have `weight` keep it as a deprecated name.
    given = [getattr(topology, name) for name in ("weights", "weight") if hasattr(topology, name)]
    if not given and not callable(getattr(topology, "values", None)):
        given = [getattr(topology, "values", None)]
    weights = next((as_array(found) for found in given if found is not None), None)
    if weights is None:
        return None
    n_edges = as_array(topology.src).size
    if weights.ndim > 1 and weights.shape[0] == n_edges:
        if hasattr(topology, "strength"):
            weights = as_array(topology.strength())
        elif weights.dtype.kind in "biuf":
            weights = np.linalg.norm(weights.reshape(n_edges, weights[:1].size).astype(np.float64), axis=1)
    active = getattr(topology, "active", None)
    if active is None:
        return weights
    mask = as_array(active)
    if mask.shape != (n_edges,) or mask.dtype != bool:
        raise AnalysisError(
            f"active has shape {mask.shape} and dtype {mask.dtype}; booleans, one for each of the {n_edges} edges, are needed"
        )
    return np.where(mask, weights, 0) if weights.shape == mask.shape else weights


def _from_scipy(matrix: Any) -> BipartiteGraph:
    if matrix.ndim != 2:
        raise AnalysisError(f"graph has shape {matrix.shape}; a biadjacency of shape [n_out, n_in] is needed")
    pointers = getattr(matrix, "indptr", None)
    if pointers is not None:  # scipy follows them wherever they lead
        most = min(len(matrix.indices), len(matrix.data))
        if not (pointers[0] == 0 and (pointers[1:] >= pointers[:-1]).all() and pointers[-1] <= most):
            raise AnalysisError(f"graph has an indptr that does not rise from 0 to at most {most}, the number of its entries")
    entries = sparse.coo_array(matrix)
    n_out, n_in = entries.shape
    weights = None if entries.dtype == bool else entries.data
    return BipartiteGraph(n_in, n_out, entries.coords[1], entries.coords[0], weights)


def _is_graph_of(library: str, graph: Any) -> bool:
    """Whether it is a `Graph` of a library, which is loaded by then if it is."""
    module = sys.modules.get(library)
    return module is not None and isinstance(graph, module.Graph)


def _from_igraph(graph: igraph.Graph) -> LayeredGraph:
    labels = range(graph.vcount())
    attribute = _group_attribute(labels, graph.vs.attributes(), "type", "an igraph graph")
    groups = _groups(graph.vs[attribute], attribute, labels)
    # An empty edge list has no second axis of its own.
    ends = np.array(graph.get_edgelist(), dtype=np.int64).reshape(-1, 2)
    edges = GroupedEdges(ends, graph.is_directed(), groups, attribute, labels)
    weights = _weights(graph.es["weight"], edges) if "weight" in graph.es.attributes() else None
    if attribute == "layer" and "layers" in graph.attributes():
        return from_stated_layers(graph["layers"], ends, edges.is_directed, groups, weights)
    is_numbered = attribute == "layer" and "layer" in graph.es.attributes()
    return network_of(edges, weights, graph.es["layer"] if is_numbered else None)


def _from_networkx(graph: networkx.Graph) -> LayeredGraph:
    labels = list(graph.nodes)
    names = set(chain.from_iterable(map(itemgetter(1), graph.nodes(data=True))))
    attribute = _group_attribute(labels, names, "bipartite", "a networkx graph")
    groups = _groups(list(map(itemgetter(1), graph.nodes(data=attribute))), attribute, labels)
    position = dict(zip(labels, range(len(labels)), strict=True))
    flat = chain.from_iterable(graph.edges())
    ends = np.fromiter(map(position.__getitem__, flat), dtype=np.int64, count=2 * graph.number_of_edges()).reshape(-1, 2)
    values = list(map(itemgetter(2), graph.edges(data="weight")))
    edges = GroupedEdges(ends, graph.is_directed(), groups, attribute, labels)
    weights = _weights(values, edges) if values and values.count(None) < len(values) else None
    return network_of(edges, weights)


def _group_attribute(labels: Sequence[Any], names: Any, sides: str, kind: str) -> str:
    """The vertex attribute that says where a neuron belongs: `layer` if it exists, else the two-sided one."""
    if not labels:
        raise AnalysisError("graph is empty: it has no vertices, and each side needs at least 1")
    for name in ("layer", sides):
        if name in names:
            return name
    raise AnalysisError(
        f"graph has no vertex attribute {sides!r}; {kind} needs {sides!r} (first value source, second target) "
        "or 'layer' on every vertex"
    )


def _groups(values: Sequence[Any], attribute: str, labels: Sequence[Any]) -> LongArray:
    """Group number of every vertex; each must be a whole number from 0 up, and no group may be empty."""
    array = as_array(values)
    if array.ndim != 1 or array.dtype.kind not in "biu":
        is_good = [isinstance(value, int | np.integer | np.bool_) and 0 <= value <= len(values) for value in values]
        if not all(is_good):
            raise AnalysisError(
                f"vertex attribute {attribute!r} {_stated(values, is_good.index(False), labels)}; "
                "it must be set to a whole number (0, 1, ... without gaps) or a boolean on every vertex"
            )
        # Signed and unsigned numbers together, of which numpy makes decimals.
        array = np.array([int(value) for value in values], dtype=np.int64)
    highest = int(array.max()) if attribute == "layer" else 1
    outside = np.flatnonzero((array < 0) | (array > highest))
    if outside.size:
        raise AnalysisError(
            f"vertex attribute {attribute!r} {_stated(values, int(outside[0]), labels)}; "
            f"the allowed range is 0 to {max(highest, 1)}"
        )
    groups = array.astype(np.int64)
    # Among 0, 1, ..., n at least one number is missing if the highest group is not below the number n of vertices.
    missing = np.setdiff1d(np.arange(min(max(highest, 1), groups.size) + 1), groups)
    if missing.size:
        raise AnalysisError(
            f"graph has no vertex with {attribute!r} = {missing[0]}; every number from 0 to {max(highest, 1)} needs at least "
            "1 vertex"
        )
    return groups


def _stated(values: Sequence[Any], vertex: int, labels: Sequence[Any]) -> str:
    """What is said of a vertex, as the rest of a sentence about an attribute."""
    value = values[vertex]
    return f"is missing on vertex {labels[vertex]!r}" if value is None else f"of vertex {labels[vertex]!r} is {value!r}"


def _weights(values: Sequence[Any], edges: GroupedEdges) -> FloatArray:
    array = as_array(values)
    edge = 0 if array.ndim != 1 else first_not_finite(array)
    if edge is not None:
        stated = "missing" if values[edge] is None else repr(values[edge])
        raise AnalysisError(
            f"edge attribute 'weight' of {edges.described(edge, 'between vertices', 'and')} is {stated}; "
            "it must be a finite real number on every edge"
        )
    return array.astype(np.float64)


P = ParamSpec("P")


R = TypeVar("R")


def takes_any_graph(function: Callable[Concatenate[BipartiteGraph, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Let the first argument of a function be any single layer that `as_bipartite` takes."""

    @wraps(function)
    def taking(graph: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return function(graph if isinstance(graph, BipartiteGraph) else as_bipartite(graph), *args, **kwargs)

    return taking
