"""The order of edges by (dst, src): sorting by counting, flattened positions, and checks of the order."""

import numpy as np

from netsci_nn.compiling import njit
from netsci_nn.errors import TopologyError
from netsci_nn.topology.arrays import Int32Array, Int64Array, IntArray


@njit(cache=True, nogil=True)
def split_cells(cells: Int64Array, size: int) -> tuple[Int32Array, Int32Array]:
    """Return cell % size and cell // size, without temporaries: src and dst of keys dst * n_in + src, with size = n_in."""
    rests, quotients = np.empty(len(cells), np.int32), np.empty(len(cells), np.int32)
    for place, cell in enumerate(cells):
        quotients[place] = cell // size
        rests[place] = cell % size
    return rests, quotients


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


def degrees(ends: IntArray, size: int) -> Int64Array:
    """Return how often each of 0..size - 1 is among `ends`: int64 `[size]`."""
    counts = np.zeros(size, np.int64)
    _count(ends, counts)
    return counts


@njit(cache=True, nogil=True)
def _count(ends, counts):  # type: ignore[no-untyped-def]
    for end in ends:
        counts[end] += 1


@njit(cache=True, nogil=True)
def is_sorted(src, dst):  # type: ignore[no-untyped-def]
    """Return whether every edge comes after the one before it by (dst, src)."""
    for edge in range(1, len(src)):
        if dst[edge] < dst[edge - 1] or (dst[edge] == dst[edge - 1] and src[edge] <= src[edge - 1]):
            return False
    return True


def raise_order(src: IntArray, dst: IntArray) -> None:
    """Raise the error that names the first edge that repeats or is out of order."""
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
