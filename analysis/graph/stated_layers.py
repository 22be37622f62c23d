"""Graphs that say what their layers are, as those of `netsci_nn.network_graph` do in the graph attribute `layers`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from analysis.base.checks import is_whole, shown
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, LongArray, as_array
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.values import LayeredGraph
from analysis.graph.wiring import checked_neurons

KINDS = ("linear", "convolution", "link")
KEYS = ("name", "kind", "kernel", "sources", "targets", "edges", "src", "dst")


class StatedLayer(NamedTuple):
    """One entry of the attribute `layers`, checked: edge k of the layer is edge `first` + k of the graph."""

    name: str
    kind: str
    is_link: bool
    sources: LongArray
    targets: LongArray
    first: int
    src: LongArray
    dst: LongArray

    @property
    def edges(self) -> slice:
        """The edges of the layer among those of the graph."""
        return slice(self.first, self.first + self.src.size)


def from_stated_layers(
    stated: Any, ends: LongArray, is_directed: bool, groups: LongArray, weights: FloatArray | None
) -> LayeredGraph:
    """The network of a graph whose attribute `layers` says what its layers are.

    Args:
        stated: one dict per layer, with "name"; "kind", one of `KINDS`; "kernel", the size of a convolution's kernel, or
            None; "sources" and "targets", the vertices that they are; "edges", the first of its edges and the one after its
            last; and "src" and "dst", for each of these the positions of its ends in "sources" and "targets".
        ends: the vertices of every edge, int64 of shape [n_edges, 2].
        is_directed: whether edges lead from the first to the second vertex.
        groups: group of every vertex, int64 of shape [n_vertices], without gaps.
        weights: of every edge, or None.

    Returns:
        The network; layers of the kind "link" are its links.

    Raises:
        AnalysisError: an entry is missing, malformed or contradicts the edges of the graph; or an edge belongs to no layer, or
            to two.
    """
    if not isinstance(stated, list | tuple):
        raise AnalysisError(f"graph attribute 'layers' is {shown(stated)}; a list with one dict per layer is needed")
    layers = [_checked(number, entry, groups.size, len(ends)) for number, entry in enumerate(stated)]
    for number, layer in enumerate(layers):
        _check_vertices(number, layer, ends[layer.edges], is_directed)
    owners = np.zeros(len(ends), dtype=np.int64)
    for layer in layers:
        owners[layer.edges] += 1
    if (owners != 1).any():
        edge = int(np.argmax(owners != 1))
        raise AnalysisError(f"graph attribute 'layers': edge {edge} is in {owners[edge]} layers; every edge must be in one")
    neurons = np.argsort(np.argsort(groups, kind="stable"))
    links = [neurons[np.stack([one.sources[one.src], one.targets[one.dst]], axis=1)] for one in layers if one.is_link]
    trained = [one for one in layers if not one.is_link]
    return LayeredGraph(
        tuple(_layer(one, weights) for one in trained),
        sources=tuple(neurons[one.sources] for one in trained),
        targets=tuple(neurons[one.targets] for one in trained),
        group_sizes=tuple(np.bincount(groups).tolist()),
        links=np.concatenate([np.empty((0, 2), dtype=np.int64), *links]),
        names=tuple(one.name for one in trained),
        kinds=tuple(one.kind for one in trained),
    )


def from_wiring(network: Any) -> LayeredGraph:
    """The network of an object with `layers`, `groups` and `links`, which says how its layers are joined (see `as_layered`).

    Raises:
        AnalysisError: a part contradicts another one.
    """
    layers = tuple(network.layers)
    return LayeredGraph(
        tuple(BipartiteGraph(*_ends(one.topology), None if one.weights is None else as_array(one.weights)) for one in layers),
        sources=tuple(as_array(one.sources) for one in layers),
        targets=tuple(as_array(one.targets) for one in layers),
        group_sizes=tuple(np.bincount(as_array(network.groups)).tolist()),
        links=as_array(network.links),
        names=tuple(one.name for one in layers),
        kinds=tuple(_in_words("convolution" if len(one.kernel) else "linear", one.kernel) for one in layers),
    )


def _ends(topology: Any) -> tuple[int, int, Any, Any]:
    return topology.n_in, topology.n_out, topology.src, topology.dst


def _layer(one: StatedLayer, weights: FloatArray | None) -> BipartiteGraph:
    src, dst = one.src.astype(np.int32), one.dst.astype(np.int32)
    return BipartiteGraph(one.sources.size, one.targets.size, src, dst, None if weights is None else weights[one.edges])


def _checked(number: int, entry: Any, n_vertices: int, n_edges: int) -> StatedLayer:
    what = f"graph attribute 'layers': layer {number}"
    if not isinstance(entry, Mapping) or not entry.keys() >= set(KEYS):
        given = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else shown(entry)
        raise AnalysisError(f"{what} has {given}; a dict with {', '.join(KEYS)} is needed")
    name, kind, kernel, edges = (entry[key] for key in ("name", "kind", "kernel", "edges"))
    if not isinstance(name, str):
        raise AnalysisError(f"{what} has the name {shown(name)}; a text is needed")
    if not isinstance(kind, str) or kind not in KINDS:
        raise AnalysisError(f"{what} has the kind {shown(kind)}; choose from {', '.join(KINDS)}")
    if kernel is not None and not (isinstance(kernel, list | tuple) and all(is_whole(size, 1) for size in kernel)):
        raise AnalysisError(f"{what} has the kernel {shown(kernel)}; numbers of at least 1, or None, are needed")
    is_range = isinstance(edges, list | tuple) and len(edges) == 2 and all(is_whole(edge, 0, n_edges) for edge in edges)
    if not is_range or edges[0] > edges[1]:
        raise AnalysisError(f"{what} has the edges {shown(edges)}; (first, last + 1) from 0 to {n_edges} is needed")
    sources, targets = (
        checked_neurons(f"{what}: {side}", entry[side], (as_array(entry[side]).size,), n_vertices)
        for side in ("sources", "targets")
    )
    src, dst = (
        checked_neurons(f"{what}: {key}", entry[key], (edges[1] - edges[0],), neurons.size)
        for key, neurons in (("src", sources), ("dst", targets))
    )
    return StatedLayer(name, _in_words(kind, kernel), kind == "link", sources, targets, int(edges[0]), src, dst)


def _in_words(kind: str, kernel: Any) -> str:
    """What a `LayeredGraph` calls this kind: only convolutions are said to be one."""
    if kind != "convolution":
        return ""
    return f"{kind} {' x '.join(map(str, kernel))}" if kernel else kind


def _check_vertices(number: int, layer: StatedLayer, ends: LongArray, is_directed: bool) -> None:
    """Refuse a layer whose edges join other vertices in the graph."""
    stated = np.stack([layer.sources[layer.src], layer.targets[layer.dst]], axis=1)
    is_same = (ends == stated).all(axis=1)
    if not is_directed:
        is_same |= (ends[:, ::-1] == stated).all(axis=1)
    if not is_same.all():
        edge = int(np.argmin(is_same))
        raise AnalysisError(
            f"graph attribute 'layers': edge {layer.first + edge} joins vertices {ends[edge, 0]} and {ends[edge, 1]}; by 'src' "
            f"and 'dst' of layer {number} it joins {stated[edge, 0]} and {stated[edge, 1]}"
        )
