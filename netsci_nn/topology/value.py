"""`BipartiteTopology`: the one value that a graph and a layer share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import neuron_count
from netsci_nn.errors import TopologyError
from netsci_nn.topology.arrays import ArrayLike, BoolArray, Int32Array, Int64Array, IntArray, as_array
from netsci_nn.topology.edge_order import degrees, is_sorted, raise_order, sorted_by_counting, split_cells

if TYPE_CHECKING:
    import igraph
    import networkx
    import scipy.sparse


@dataclass(frozen=True, eq=False, repr=False)
class BipartiteTopology:
    """The edges between `n_in` source neurons and `n_out` target neurons, as an immutable value.

    Edges are unique and sorted by `(dst, src)`: the CSR structure of the weight matrix in PyTorch's orientation
    `[n_out, n_in]`. Edge k carries weight k of a layer and is edge id k in igraph. Two topologies are equal if their sizes
    and edges are. Conversions and files are methods too: `to_igraph`, `from_scipy`, `to_mask`, `save`, ... The package
    binds them, since they need other libraries and the disk, and this value does not.

    Args:
        n_in: number of source neurons, 1 to 2^31 - 1.
        n_out: number of target neurons, 1 to 2^31 - 1.
        src: integer array `[n_edges]`, the source of each edge, 0 to n_in - 1.
        dst: integer array `[n_edges]`, the target of each edge, 0 to n_out - 1.

    Raises:
        TopologyError: naming the field, the value and the allowed range. Unsorted edges are an error here;
            `from_edges` sorts them.

    Example:
        >>> topology = BipartiteTopology(n_in=3, n_out=2, src=[1, 2, 0], dst=[0, 0, 1])
        >>> topology
        BipartiteTopology(n_in=3, n_out=2, n_edges=3, density=0.5)
        >>> topology.out_degrees.tolist(), topology.in_degrees.tolist()
        ([1, 1, 1], [2, 1])
    """

    n_in: int
    n_out: int
    src: IntArray
    dst: IntArray

    to_igraph: ClassVar[Callable[..., igraph.Graph]]
    to_networkx: ClassVar[Callable[..., networkx.Graph]]
    to_scipy: ClassVar[Callable[..., scipy.sparse.csr_array]]
    to_mask: ClassVar[Callable[..., BoolArray]]
    save: ClassVar[Callable[..., None]]
    from_igraph: ClassVar[Callable[[igraph.Graph], BipartiteTopology]]
    from_networkx: ClassVar[Callable[[networkx.Graph], BipartiteTopology]]
    from_scipy: ClassVar[Callable[[Any], BipartiteTopology]]
    from_mask: ClassVar[Callable[[ArrayLike], BipartiteTopology]]
    load: ClassVar[Callable[..., BipartiteTopology]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_in", neuron_count("n_in", self.n_in))
        object.__setattr__(self, "n_out", neuron_count("n_out", self.n_out))
        object.__setattr__(self, "src", _frozen_indices("src", self.src, self.n_in, "n_in"))
        object.__setattr__(self, "dst", _frozen_indices("dst", self.dst, self.n_out, "n_out"))
        if len(self.src) != len(self.dst):
            raise TopologyError(f"src has {len(self.src)} entries and dst has {len(self.dst)}; they must be equally long")
        if not is_sorted(self.src, self.dst):
            raise_order(self.src, self.dst)

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
        """Edges per source: int64 `[n_in]`, 0 to n_out."""
        return _frozen(degrees(self.src, self.n_in))

    @cached_property
    def in_degrees(self) -> Int64Array:
        """Edges per target: int64 `[n_out]`, 0 to n_in."""
        return _frozen(degrees(self.dst, self.n_out))

    @cached_property
    def target_pointers(self) -> Int64Array:
        """CSR pointers, int64 `[n_out + 1]`: the edges of target j are target_pointers[j] to target_pointers[j + 1] - 1."""
        return _frozen(np.concatenate([[0], np.cumsum(self.in_degrees)]))

    def keys(self) -> Int64Array:
        """The flattened positions dst * n_in + src of the edges: int64 `[n_edges]`, strictly increasing."""
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
        """Build from flattened positions dst * n_in + src in any order: integers `[n_edges]`, no duplicates.

        Example:
            >>> BipartiteTopology.from_keys([3, 2, 1], n_in=3, n_out=2).to_edges().tolist()
            [[1, 0], [2, 0], [0, 1]]
        """
        n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
        array = as_array(keys)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise TopologyError(f"keys has shape {array.shape} and dtype {array.dtype}; it must be integers [n_edges]")
        if array.size and not (array.min() >= 0 and array.max() < n_in * n_out):
            raise TopologyError(f"keys reach from {array.min()} to {array.max()}; they must be from 0 to {n_in * n_out - 1}")
        keys = array.astype(np.int64)
        if (keys[1:] < keys[:-1]).any():
            keys = np.sort(keys)
        src, dst = split_cells(keys, n_in)
        return cls(n_in, n_out, _frozen(src), _frozen(dst))

    @classmethod
    def from_ends(cls, src: IntArray, dst: IntArray, n_in: int, n_out: int) -> BipartiteTopology:
        """Build from sources and targets of edges in any order, integers `[n_edges]` each, in O(n_in + n_out + n_edges).

        Example:
            >>> BipartiteTopology.from_ends([0, 2, 1], [1, 0, 0], n_in=3, n_out=2).to_edges().tolist()
            [[1, 0], [2, 0], [0, 1]]
        """
        n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
        src, dst = _checked_indices("src", src, n_in, "n_in"), _checked_indices("dst", dst, n_out, "n_out")
        if len(src) != len(dst):
            raise TopologyError(f"src has {len(src)} entries and dst has {len(dst)}; they must be equally long")
        # One type, as compiled code is compiled for each; then two stable passes: by source, then by target.
        src, dst = np.ascontiguousarray(src, dtype=np.int32), np.ascontiguousarray(dst, dtype=np.int32)
        src, dst = sorted_by_counting(src, dst, src, n_in)
        src, dst = sorted_by_counting(src, dst, dst, n_out)
        return cls(n_in, n_out, _frozen(src), _frozen(dst))

    @classmethod
    def from_edges(cls, edges: ArrayLike, n_in: int, n_out: int) -> BipartiteTopology:
        """Build from pairs (source, target) in any order.

        Args:
            edges: `[n_edges, 2]` integers, sources 0 to n_in - 1 and targets 0 to n_out - 1: an array, tensor or sequence.
            n_in: number of sources, 1 to 2^31 - 1.
            n_out: number of targets, 1 to 2^31 - 1.

        Raises:
            TopologyError: when a size, a shape or an end of an edge is out of range, or an edge occurs twice.

        Example:
            >>> topology = BipartiteTopology.from_edges([(2, 0), (0, 1), (1, 0)], n_in=3, n_out=2)
            >>> topology.to_edges().tolist()  # sorted by target, then source
            [[1, 0], [2, 0], [0, 1]]
        """
        pairs = edge_pairs(edges)
        pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
        return cls(n_in, n_out, pairs[:, 0], pairs[:, 1])

    def to_edges(self) -> Int32Array:
        """Return the edges as int32 `[n_edges, 2]` pairs (source, target), in edge order."""
        return np.stack([self.src, self.dst], axis=1)


def check_topology(name: str, value: Any) -> None:
    """Raise a TopologyError unless `value` is a `BipartiteTopology`."""
    if not isinstance(value, BipartiteTopology):
        raise TopologyError(f"{name} is a {type(value).__name__}; it must be a BipartiteTopology")


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array


def _frozen_indices(name: str, values: Any, size: int, size_name: str) -> Int32Array:
    """Return the checked indices as an array that nobody else can write to: a copy, unless it is one already."""
    array = _checked_indices(name, values, size, size_name)
    is_frozen = array.dtype == np.int32 and array.flags.owndata and not array.flags.writeable
    return array if is_frozen else _frozen(np.array(array, dtype=np.int32))


def _checked_indices(name: str, values: Any, size: int, size_name: str) -> npt.NDArray[Any]:
    array = as_array(values)
    if array.ndim != 1:
        raise TopologyError(f"{name} has shape {array.shape}; it must have one dimension")
    if array.dtype.kind not in "iu" and array.size:
        raise TopologyError(f"{name} has dtype {array.dtype}; it must hold integers")
    if array.size and not (array.min() >= 0 and array.max() < size):
        position = int(((array < 0) | (array >= size)).argmax())
        raise TopologyError(f"{name}[{position}] is {array[position]}; it must be from 0 to {size_name} - 1 = {size - 1}")
    return array if array.size else array.astype(np.int32)


def edge_pairs(edges: ArrayLike) -> npt.NDArray[Any]:
    """Return edges as an array `[n_edges, 2]` of pairs (source, target) after checking its shape."""
    try:
        pairs = as_array(list(edges) if isinstance(edges, Set) else edges)
    except ValueError:
        raise TopologyError("edges holds entries of unequal length; it must be [n_edges, 2], pairs (source, target)") from None
    if pairs.size == 0:
        pairs = np.empty((0, 2), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise TopologyError(f"edges has shape {pairs.shape}; it must be [n_edges, 2], pairs (source, target)")
    if pairs.dtype.kind == "O":
        raise TopologyError("edges holds entries of different types; it must hold integers")
    return pairs
