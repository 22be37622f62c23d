"""One bipartite layer, and a stack of layers that share neurons.

A biadjacency matrix has the shape [n_out, n_in] everywhere in this package: **targets are rows and sources are columns**, as
in the weight matrix of a PyTorch linear layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from analysis.base.checks import is_whole, shown
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, IntArray, LongArray, as_array, first_not_finite
from analysis.graph.singular import largest_singular_values

MAX_NEURONS = 2**31 - 1
NO_WEIGHTS = "the graph has no weights"


@dataclass(frozen=True, eq=False)
class BipartiteGraph:
    """A simple bipartite graph: sources (input neurons) on one side, targets (output neurons) on the other.

    Attributes:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        src: source of every edge, int32 of shape [n_edges], in 0..n_in-1.
        dst: target of every edge, int32 of shape [n_edges], in 0..n_out-1. Edges are unique, sorted by (dst, src),
            read-only.
        weights: weight of every edge, float64 of shape [n_edges] and finite, or None. Like `src` and `dst` it may be given
            as anything that numpy makes an array of, or as a tensor.
        n_pairs: number of pairs that an edge could join; n_in * n_out unless the graph is a folded network.

    Raises:
        AnalysisError: an empty side, an index out of range, an edge given twice, or a weight that is not a finite real
            number.

    >>> graph = BipartiteGraph(3, 2, [2, 0, 1], [1, 0, 0])
    >>> graph.out_degrees.tolist(), graph.in_degrees.tolist(), graph.density
    ([1, 1, 1], [2, 1], 0.5)
    """

    n_in: int
    n_out: int
    src: IntArray
    dst: IntArray
    weights: FloatArray | None = None
    n_pairs: int = field(default=0)

    def __post_init__(self) -> None:
        n_in, n_out = _side_size("n_in", self.n_in), _side_size("n_out", self.n_out)
        src, dst = _indices("src", self.src, n_in), _indices("dst", self.dst, n_out)
        if src.size != dst.size:
            raise AnalysisError(f"src has {src.size} entries and dst has {dst.size}; they must have one entry per edge each")
        order = _sorted_order(n_in, src, dst)
        weights = None if self.weights is None else _checked_weights(self.weights, src, dst)
        object.__setattr__(self, "n_in", n_in)
        object.__setattr__(self, "n_out", n_out)
        object.__setattr__(self, "src", _frozen(src[order].astype(np.int32)))
        object.__setattr__(self, "dst", _frozen(dst[order].astype(np.int32)))
        object.__setattr__(self, "weights", None if weights is None else _frozen(weights[order]))
        object.__setattr__(self, "n_pairs", self.n_pairs or n_in * n_out)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BipartiteGraph):
            return NotImplemented
        same_edges = np.array_equal(self.src, other.src) and np.array_equal(self.dst, other.dst)
        if (self.n_in, self.n_out, self.n_pairs) != (other.n_in, other.n_out, other.n_pairs) or not same_edges:
            return False
        if self.weights is None or other.weights is None:
            return self.weights is other.weights
        return np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash((self.n_in, self.n_out, self.src.tobytes(), self.dst.tobytes()))

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return int(self.src.size)

    @property
    def n_neurons(self) -> int:
        """Number of neurons of both sides together."""
        return self.n_in + self.n_out

    @property
    def density(self) -> float:
        """Edges divided by the pairs that an edge could join, in [0, 1]."""
        return self.n_edges / self.n_pairs

    @property
    def keys(self) -> LongArray:
        """dst * n_in + src of every edge, strictly rising, int64 of shape [n_edges]."""
        return self.dst.astype(np.int64) * self.n_in + self.src

    @cached_property
    def out_degrees(self) -> LongArray:
        """Number of edges of every source, int64 of shape [n_in]."""
        return _frozen(np.bincount(self.src, minlength=self.n_in))

    @cached_property
    def in_degrees(self) -> LongArray:
        """Number of edges of every target, int64 of shape [n_out]."""
        return _frozen(np.bincount(self.dst, minlength=self.n_out))

    @cached_property
    def biadjacency(self) -> sparse.csr_array:
        """Pattern of the edges as 0/1 (int64) in CSR form, shape [n_out, n_in]: targets are rows."""
        row_starts = np.concatenate([[0], np.cumsum(self.in_degrees)])
        entries = (np.ones(self.n_edges, dtype=np.int64), self.src, row_starts)
        return sparse.csr_array(entries, shape=(self.n_out, self.n_in))

    @cached_property
    def adjacency(self) -> sparse.csr_array:
        """Symmetric adjacency of the undirected graph as 0/1 (int64) in CSR form, sources first, then targets."""
        lower = self.biadjacency
        upper = sparse.csr_array(lower.T)
        # Put together by hand: scipy's block_array goes through coordinates and takes five times as long.
        starts = np.concatenate([upper.indptr, upper.nnz + lower.indptr[1:]])
        ends = np.concatenate([upper.indices + self.n_in, lower.indices])
        return sparse.csr_array((np.ones(ends.size, dtype=np.int64), ends, starts), shape=(self.n_neurons, self.n_neurons))

    @cached_property
    def singular_values(self) -> FloatArray:
        """The largest singular values of the biadjacency, float64 of shape [min(3, n_in, n_out)], descending.

        Computed at most once per graph: several measures ask for them.
        """
        matrix = self.biadjacency.astype(np.float64)
        values = largest_singular_values(matrix, min(3, *matrix.shape), np.random.default_rng(0))
        return _frozen(values)

    def transposed(self) -> "BipartiteGraph":
        """The same edges with sources and targets exchanged."""
        return BipartiteGraph(self.n_out, self.n_in, self.dst, self.src, self.weights, self.n_pairs)


@dataclass(frozen=True)
class LayeredGraph:
    """A feed-forward stack of bipartite layers: the targets of one layer are the sources of the next.

    Attributes:
        layers: at least one layer; consecutive layers agree on the number of neurons that they share.

    Raises:
        AnalysisError: no layer, or consecutive layers that do not fit.
    """

    layers: tuple[BipartiteGraph, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.layers, list | tuple) or not all(isinstance(layer, BipartiteGraph) for layer in self.layers):
            raise AnalysisError(f"graph is {shown(self.layers)}; a tuple of BipartiteGraph is needed (`as_layered` makes it)")
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise AnalysisError("graph has no layer; at least one is needed")
        for index, (first, second) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            if first.n_out != second.n_in:
                raise AnalysisError(
                    f"graph: layer {index} has {first.n_out} targets and layer {index + 1} has {second.n_in} sources; "
                    "consecutive layers share these neurons, so the two numbers must be equal"
                )

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Number of neurons of every group, from the inputs to the outputs; shape [len(layers) + 1]."""
        return (self.layers[0].n_in, *(layer.n_out for layer in self.layers))

    @property
    def n_edges(self) -> int:
        """Number of edges of all layers."""
        return sum(layer.n_edges for layer in self.layers)

    @cached_property
    def degrees(self) -> LongArray:
        """Incoming plus outgoing edges of every neuron, group after group; int64 of shape [sum(layer_sizes)]."""
        starts = np.concatenate([[0], np.cumsum(self.layer_sizes)])
        total = np.zeros(starts[-1], dtype=np.int64)
        for index, layer in enumerate(self.layers):
            total[starts[index] : starts[index + 1]] += layer.out_degrees
            total[starts[index + 1] : starts[index + 2]] += layer.in_degrees
        return _frozen(total)

    @cached_property
    def folded(self) -> BipartiteGraph:
        """The whole network as one undirected bipartite graph.

        Without skip connections every edge joins a group of even number to one of odd number, so the network is
        bipartite itself: its "sources" are the even groups and its "targets" the odd groups. Paths, cycles and
        components are those of the network; `n_pairs` counts only pairs of neurons in consecutive groups. It has weights
        if every layer has.
        """
        even_starts, odd_starts = _group_starts(self.layer_sizes)
        ends = [_folded_ends(layer, index, even_starts, odd_starts) for index, layer in enumerate(self.layers)]
        n_pairs = sum(layer.n_pairs for layer in self.layers)
        src, dst = np.concatenate([end[0] for end in ends]), np.concatenate([end[1] for end in ends])
        n_even, n_odd = sum(self.layer_sizes[0::2]), sum(self.layer_sizes[1::2])
        parts = [layer.weights for layer in self.layers if layer.weights is not None]
        weights = np.concatenate(parts) if len(parts) == len(self.layers) else None
        return BipartiteGraph(n_even, n_odd, src, dst, weights, n_pairs)


def _group_starts(sizes: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Where group 2i begins among the even neurons, and group 2i+1 among the odd ones."""
    even = np.concatenate([[0], np.cumsum(sizes[0::2])])
    odd = np.concatenate([[0], np.cumsum(sizes[1::2])])
    return even.tolist(), odd.tolist()


def _folded_ends(layer: BipartiteGraph, index: int, even_starts: list[int], odd_starts: list[int]) -> tuple[IntArray, IntArray]:
    """The even and the odd end of every edge of layer `index`, which joins group `index` to group `index + 1`."""
    if index % 2 == 0:
        return layer.src + np.int32(even_starts[index // 2]), layer.dst + np.int32(odd_starts[index // 2])
    return layer.dst + np.int32(even_starts[(index + 1) // 2]), layer.src + np.int32(odd_starts[index // 2])


def missing_weights(layers: Sequence[BipartiteGraph]) -> str | None:
    """Why a network has no weights of its own, naming the first layer without if others have some; None if all do."""
    bare = [index for index, layer in enumerate(layers) if layer.weights is None]
    if not bare:
        return None
    return NO_WEIGHTS if len(bare) == len(layers) else f"layer {bare[0]} has no weights"


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


def _side_size(name: str, size: int) -> int:
    if not is_whole(size, 1, MAX_NEURONS):
        raise AnalysisError(f"{name} is {size!r}; each side needs at least 1 and at most {MAX_NEURONS} neurons")
    return int(size)


def _indices(name: str, values: Any, size: int) -> LongArray:
    array = as_array(values)
    if array.shape == (0,):
        return np.empty(0, np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise AnalysisError(f"{name} has shape {array.shape} and dtype {array.dtype}; a 1-D array of integers is needed")
    bad = np.flatnonzero((array < 0) | (array >= size))
    if bad.size:
        raise AnalysisError(f"{name}[{bad[0]}] is {array[bad[0]]}; the allowed range is 0 to {size - 1}")
    return array.astype(np.int64)


def _sorted_order(n_in: int, src: LongArray, dst: LongArray) -> LongArray:
    """Positions that sort the edges by (dst, src); a repeated edge is an error."""
    keys = dst * n_in + src
    order = np.argsort(keys, kind="stable")
    repeated = np.flatnonzero(np.diff(keys[order]) == 0)
    if repeated.size:
        edge = order[repeated[0]]
        raise AnalysisError(
            f"graph has the edge from source {src[edge]} to target {dst[edge]} more than once; multi-edges are not allowed"
        )
    return order


def _checked_weights(values: Any, src: LongArray, dst: LongArray) -> FloatArray:
    array = as_array(values)
    if array.shape != src.shape:
        raise AnalysisError(f"weights has shape {array.shape}; one number for each of the {src.size} edges is needed")
    edge = first_not_finite(array)
    if edge is not None:
        given = array.item(edge)
        stated = "no weight" if given is None else f"the weight {given!r}"
        raise AnalysisError(
            f"weights: the edge from source {src[edge]} to target {dst[edge]} has {stated}; weights must be finite real numbers"
        )
    return array.astype(np.float64)
