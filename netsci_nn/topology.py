"""`BipartiteTopology`: the one value that a graph and a layer share."""

from __future__ import annotations

import hashlib
import operator
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import numpy.typing as npt
from numba import njit

from netsci_nn.errors import TopologyError

if TYPE_CHECKING:
    import igraph
    import networkx
    import scipy.sparse

    from netsci_nn.bridge import ArrayLike

Int32Array = npt.NDArray[np.int32]
IntArray = npt.NDArray[np.integer]
Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating]

MAX_NEURONS = 2**31 - 1


@dataclass(frozen=True, eq=False, repr=False)
class BipartiteTopology:
    """The edges between `n_in` source neurons and `n_out` target neurons, as an immutable value.

    Edges are unique and sorted by `(dst, src)`, so that they are the CSR structure of the weight matrix in PyTorch's
    orientation `[n_out, n_in]`; edge k carries weight k of a layer and is edge id k in igraph. Two topologies are equal
    when their sizes and edges are.

    Args:
        n_in: number of source neurons, 1 to 2^31 - 1.
        n_out: number of target neurons, 1 to 2^31 - 1.
        src: integer array `[n_edges]`, the source of each edge, 0 to n_in - 1.
        dst: integer array `[n_edges]`, the target of each edge, 0 to n_out - 1.

    Raises:
        TopologyError: naming the field, the value and the allowed range. Unsorted edges are an error here;
            `from_edges` sorts them.
    """

    n_in: int
    n_out: int
    src: IntArray
    dst: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_in", neuron_count("n_in", self.n_in))
        object.__setattr__(self, "n_out", neuron_count("n_out", self.n_out))
        object.__setattr__(self, "src", _frozen_indices("src", self.src, self.n_in, "n_in"))
        object.__setattr__(self, "dst", _frozen_indices("dst", self.dst, self.n_out, "n_out"))
        if len(self.src) != len(self.dst):
            raise TopologyError(f"src has {len(self.src)} entries and dst has {len(self.dst)}; they must be equally long")
        if not _is_sorted(self.src, self.dst):
            _raise_order(self.src, self.dst)

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.src)

    @property
    def density(self) -> float:
        """Edges / (n_in * n_out), 0 to 1."""
        return self.n_edges / (self.n_in * self.n_out)

    @cached_property
    def out_degrees(self) -> Int64Array:
        """Edges of every source: int64 `[n_in]`, 0 to n_out."""
        return _frozen(np.bincount(self.src, minlength=self.n_in).astype(np.int64, copy=False))

    @cached_property
    def in_degrees(self) -> Int64Array:
        """Edges of every target: int64 `[n_out]`, 0 to n_in."""
        return _frozen(np.bincount(self.dst, minlength=self.n_out).astype(np.int64, copy=False))

    @cached_property
    def row_pointers(self) -> Int64Array:
        """CSR pointers by target: int64 `[n_out + 1]`; the edges of target j are row_pointers[j] to row_pointers[j + 1]."""
        return _frozen(np.concatenate([[0], np.cumsum(self.in_degrees)]))

    def keys(self) -> Int64Array:
        """The flattened position dst * n_in + src of every edge: int64 `[n_edges]`, strictly increasing."""
        return self.dst.astype(np.int64) * self.n_in + self.src

    @cached_property
    def digest(self) -> str:
        """Hexadecimal hash of sizes and edges, the same on every platform."""
        state = hashlib.blake2b(f"{self.n_in} {self.n_out} {self.n_edges}".encode(), digest_size=16)
        for array in (self.src, self.dst):
            state.update(np.ascontiguousarray(array, dtype="<i4").data)
        return state.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BipartiteTopology):
            return NotImplemented
        same_shape = (self.n_in, self.n_out, self.n_edges) == (other.n_in, other.n_out, other.n_edges)
        return self is other or (same_shape and np.array_equal(self.src, other.src) and np.array_equal(self.dst, other.dst))

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"BipartiteTopology(n_in={self.n_in}, n_out={self.n_out}, n_edges={self.n_edges}, density={self.density:.4g})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.n_in, self.n_out, self.src, self.dst)

    def __copy__(self) -> BipartiteTopology:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> BipartiteTopology:
        return self

    def clone(self) -> BipartiteTopology:
        """Return an equal topology with memory of its own, checked again, in O(n_edges)."""
        return BipartiteTopology(self.n_in, self.n_out, _frozen(self.src.copy()), _frozen(self.dst.copy()))

    @classmethod
    def from_keys(cls, keys: Int64Array, n_in: int, n_out: int) -> BipartiteTopology:
        """Build from unsorted flattened positions dst * n_in + src (integers `[n_edges]`, no duplicates)."""
        n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
        keys = np.asarray(keys, dtype=np.int64)
        if len(keys) and not (keys.min() >= 0 and keys.max() < n_in * n_out):
            raise TopologyError(f"keys reach from {keys.min()} to {keys.max()}; they must be from 0 to {n_in * n_out - 1}")
        if (keys[1:] < keys[:-1]).any():
            keys = np.sort(keys)
        src, dst = split_cells(keys, n_in)
        return cls(n_in, n_out, _frozen(src), _frozen(dst))

    @classmethod
    def from_ends(cls, src: IntArray, dst: IntArray, n_in: int, n_out: int) -> BipartiteTopology:
        """Build from sources and targets of edges in any order, in O(n_edges): integer arrays `[n_edges]`."""
        n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
        src, dst = _checked_indices("src", src, n_in, "n_in"), _checked_indices("dst", dst, n_out, "n_out")
        if len(src) != len(dst):
            raise TopologyError(f"src has {len(src)} entries and dst has {len(dst)}; they must be equally long")
        # Two stable passes: by source, then by target.
        src, dst = sorted_by_counting(src, dst, src, n_in)
        src, dst = sorted_by_counting(src, dst, dst, n_out)
        return cls(n_in, n_out, _frozen(src), _frozen(dst))

    @classmethod
    def from_edges(cls, edges: ArrayLike, n_in: int, n_out: int) -> BipartiteTopology:
        """Build from `[n_edges, 2]` pairs (source, target) in any order; duplicates raise a TopologyError."""
        return _bridge().from_edges(edges, n_in, n_out).topology

    def to_edges(self) -> Int32Array:
        """Return the edges as int32 `[n_edges, 2]` pairs (source, target), in edge order."""
        return np.stack([self.src, self.dst], axis=1)

    @classmethod
    def from_igraph(cls, graph: igraph.Graph) -> BipartiteTopology:
        """Build from a bipartite igraph graph (see `netsci_nn.bridge.from_igraph`, which also gives the weights)."""
        return _bridge().from_igraph(graph).topology

    def to_igraph(self, weights: ArrayLike | None = None) -> igraph.Graph:
        """Return the undirected igraph graph: sources first, edge id k is edge k (see `netsci_nn.bridge.to_igraph`)."""
        return _bridge().to_igraph(self, weights)

    @classmethod
    def from_networkx(cls, graph: networkx.Graph) -> BipartiteTopology:
        """Build from a networkx graph with node attribute `bipartite` (see `netsci_nn.bridge.from_networkx`)."""
        return _bridge().from_networkx(graph).topology

    def to_networkx(self, weights: ArrayLike | None = None) -> networkx.Graph:
        """Return the networkx graph with node attribute `bipartite` 0 or 1, sources first."""
        return _bridge().to_networkx(self, weights)

    @classmethod
    def from_scipy(cls, matrix: scipy.sparse.sparray | scipy.sparse.spmatrix) -> BipartiteTopology:
        """Build from the stored entries of a scipy sparse matrix `[n_out, n_in]`."""
        return _bridge().from_scipy(matrix).topology

    def to_scipy(self, weights: ArrayLike | None = None) -> scipy.sparse.csr_array:
        """Return the CSR array `[n_out, n_in]` whose data are `weights`, or ones."""
        return _bridge().to_scipy(self, weights)

    @classmethod
    def from_mask(cls, mask: ArrayLike) -> BipartiteTopology:
        """Build from a boolean mask `[n_out, n_in]`, a numpy array or torch tensor."""
        return _bridge().from_mask(mask)

    def to_mask(self) -> npt.NDArray[np.bool_]:
        """Return the boolean numpy mask `[n_out, n_in]`; `netsci_nn.bridge.to_torch_mask` gives a tensor."""
        return _bridge().to_mask(self)

    def save(self, path: str | PathLike[str], weights: ArrayLike | None = None) -> None:
        """Write to `path`, with weights if given; the ending chooses the format (see `netsci_nn.io.save_topology`)."""
        _io().save_topology(self, path, weights)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> BipartiteTopology:
        """Read what `save` wrote, without weights (see `netsci_nn.io.load_topology`, and `load_weighted` there)."""
        return _io().load_topology(path)


def _bridge() -> Any:
    from netsci_nn import bridge

    return bridge


def _io() -> Any:
    from netsci_nn import io

    return io


def neuron_count(name: str, value: SupportsIndex) -> int:
    """Return `value` as an int after checking that it is a possible number of neurons (1 to 2^31 - 1)."""
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if isinstance(value, (bool, np.bool_)) or not 1 <= count <= MAX_NEURONS:
        raise TopologyError(f"{name} is {value!r}; it must be an integer from 1 to {MAX_NEURONS}")
    return count


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array


def _frozen_indices(name: str, values: Any, size: int, size_name: str) -> Int32Array:
    """Return the checked indices as an array that nobody else can write to: a copy, unless they are so already."""
    array = _checked_indices(name, values, size, size_name)
    is_frozen = array.dtype == np.int32 and array.flags.owndata and not array.flags.writeable
    return array if is_frozen else _frozen(np.array(array, dtype=np.int32))


def _checked_indices(name: str, values: Any, size: int, size_name: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise TopologyError(f"{name} has shape {array.shape}; it must have one dimension")
    if array.dtype.kind not in "iu" and array.size:
        raise TopologyError(f"{name} has dtype {array.dtype}; it must hold integers")
    if array.size and not (array.min() >= 0 and array.max() < size):
        position = int(((array < 0) | (array >= size)).argmax())
        raise TopologyError(f"{name}[{position}] is {array[position]}; it must be from 0 to {size_name} - 1 = {size - 1}")
    return array if array.size else array.astype(np.int32)


@njit(cache=True, nogil=True)
def split_cells(cells: Int64Array, n_columns: int) -> tuple[Int32Array, Int32Array]:
    """Return columns and rows of the flattened positions row * n_columns + column, without temporaries."""
    columns, rows = np.empty(len(cells), np.int32), np.empty(len(cells), np.int32)
    for place, cell in enumerate(cells):
        rows[place] = cell // n_columns
        columns[place] = cell % n_columns
    return columns, rows


@njit(cache=True, nogil=True)
def sorted_by_counting(src: IntArray, dst: IntArray, keys: IntArray, size: int) -> tuple[Int32Array, Int32Array]:
    """Return both ends in the order of `keys` (0..size - 1), edges of equal key in the order they had."""
    place = np.zeros(size + 1, np.int64)
    for key in keys:
        place[key + 1] += 1
    for key in range(size):
        place[key + 1] += place[key]
    sorted_src, sorted_dst = np.empty(len(keys), np.int32), np.empty(len(keys), np.int32)
    for edge, key in enumerate(keys):
        sorted_src[place[key]], sorted_dst[place[key]] = src[edge], dst[edge]
        place[key] += 1
    return sorted_src, sorted_dst


@njit(cache=True, nogil=True)
def _is_sorted(src, dst):  # type: ignore[no-untyped-def]
    """Return whether every edge comes after the one before it by (dst, src)."""
    for edge in range(1, len(src)):
        if dst[edge] < dst[edge - 1] or (dst[edge] == dst[edge - 1] and src[edge] <= src[edge - 1]):
            return False
    return True


def _raise_order(src: IntArray, dst: IntArray) -> None:
    same_target = dst[1:] == dst[:-1]
    duplicate = same_target & (src[1:] == src[:-1])
    if duplicate.any():
        position = int(duplicate.argmax())
        raise TopologyError(f"edge ({src[position]}, {dst[position]}) occurs twice; every edge must be unique")
    ordered = (dst[1:] > dst[:-1]) | (same_target & (src[1:] > src[:-1]))
    position = int(ordered.argmin()) + 1
    raise TopologyError(
        f"edge {position} = ({src[position]}, {dst[position]}) is out of order; "
        "edges must be sorted by (dst, src), as BipartiteTopology.from_edges does"
    )
