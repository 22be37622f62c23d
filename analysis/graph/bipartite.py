"""One bipartite layer.

A biadjacency matrix has the shape [n_out, n_in] everywhere in this package: **targets are rows and sources are columns**, as
in the weight matrix of a PyTorch linear layer.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from analysis.base.checks import is_whole
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, IntArray, LongArray, as_array, first_not_finite, frozen
from analysis.graph.singular import largest_singular_values

MAX_NEURONS = 2**31 - 1


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
        object.__setattr__(self, "src", frozen(src[order].astype(np.int32)))
        object.__setattr__(self, "dst", frozen(dst[order].astype(np.int32)))
        object.__setattr__(self, "weights", None if weights is None else frozen(weights[order]))
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
        return frozen(np.bincount(self.src, minlength=self.n_in))

    @cached_property
    def in_degrees(self) -> LongArray:
        """Number of edges of every target, int64 of shape [n_out]."""
        return frozen(np.bincount(self.dst, minlength=self.n_out))

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
        return frozen(values)

    def transposed(self) -> "BipartiteGraph":
        """The same edges with sources and targets exchanged."""
        return BipartiteGraph(self.n_out, self.n_in, self.dst, self.src, self.weights, self.n_pairs)


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
