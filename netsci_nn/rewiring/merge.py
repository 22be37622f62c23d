"""Merging new edges into the sorted order of those that stay, in O(n_edges) and without a sort."""

from functools import partial
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import neuron_count
from netsci_nn.compiling import njit
from netsci_nn.errors import TopologyError
from netsci_nn.kernels.parallel import run_edges
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.topology import Int32Array, Int64Array, IntArray

MERGING = 8  # what merging costs per edge, in multiply-adds


class MergedEdges(NamedTuple):
    """The edges of a layer after a delta, and where each comes from."""

    src: Int32Array  # [n_new]
    dst: Int32Array  # [n_new]
    origin: npt.NDArray[Any]  # [n_new], the old position of every edge, 0 for a new one
    grown: Int64Array  # [n_grown], the positions of the new edges
    order: Int64Array  # [n_grown], the order of the delta's new edges by (target, source): that of `grown`


def merge_edges(n_in: int, n_out: int, src: IntArray, dst: IntArray, pointers: Int64Array, delta: EdgeDelta) -> MergedEdges:
    """Return the edges that `delta` leaves, sorted by (dst, src).

    Args:
        n_in: number of sources.
        n_out: number of targets.
        src: `[n_edges]`, sorted by (dst, src).
        dst: `[n_edges]`.
        pointers: `[n_out + 1]`, the edges of target j are pointers[j] to pointers[j + 1].
        delta: positions into these edges, and new edges in any order.

    Raises:
        TopologyError: if the arrays do not fit each other; if `delta` names an edge that does not exist, is out of range, or
            would duplicate an edge.
    """
    n_in, n_out, pointers = _check_edges(n_in, n_out, src, dst, pointers)
    if not isinstance(delta, EdgeDelta):
        raise TopologyError(f"delta is a {type(delta).__name__}; it must be an EdgeDelta")
    n_edges = len(src)
    is_within, is_in_order = _inspect(delta.dropped, delta.grown_src, delta.grown_dst, n_in, n_out, n_edges)
    if not is_within:
        _raise_range(delta, n_in, n_out, n_edges)
    order = np.arange(len(delta.grown_src))
    if not is_in_order:
        order = np.argsort(delta.grown_dst * n_in + delta.grown_src)
    grown_src, grown_dst = delta.grown_src[order], delta.grown_dst[order]
    n_new = n_edges - len(delta.dropped) + len(grown_src)
    new_src, new_dst = np.empty(n_new, np.int32), np.empty(n_new, np.int32)
    origin, grown = np.empty(n_new, np.int32 if n_edges < 2**31 else np.int64), np.empty(len(grown_src), np.int64)
    repeated = np.full(1, -1, np.int64)
    edges = src, pointers, delta.dropped, grown_src, grown_dst
    run_edges(partial(_merge_targets, *edges, new_src, new_dst, origin, grown, repeated), pointers, MERGING)
    if repeated[0] >= 0:
        raise TopologyError(
            f"delta grows an edge that exists already or grows one twice: edge ({new_src[repeated[0]]}, {new_dst[repeated[0]]})"
        )
    return MergedEdges(new_src, new_dst, origin, grown, order)


def _check_edges(n_in: int, n_out: int, src: IntArray, dst: IntArray, pointers: Int64Array) -> tuple[int, int, Int64Array]:
    """Return sizes and pointers, or raise a TopologyError unless the arrays fit each other.

    What they hold is trusted, but whatever it is, compiled code stays within them.
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    for name, array in (("src", src), ("dst", dst), ("pointers", pointers)):
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "iu":
            raise TopologyError(f"{name} is a {type(array).__name__}; it must be a 1-D array of integers")
    is_whole = len(src) == len(dst) and len(pointers) == n_out + 1 and pointers[0] == 0 and pointers[-1] == len(src)
    if not is_whole or (pointers[1:] < pointers[:-1]).any():
        raise TopologyError(
            f"src has {len(src)} entries, dst {len(dst)} and pointers {len(pointers)}; src and dst must be equally long, and "
            f"n_out + 1 = {n_out + 1} pointers rise from 0 to their length"
        )
    return n_in, n_out, pointers.astype(np.int64, copy=False)


@njit(cache=True, nogil=True)
def _inspect(dropped, grown_src, grown_dst, n_in, n_out, n_edges):  # type: ignore[no-untyped-def]
    """Return whether all positions and ends are in range, and whether the new edges come sorted by (target, source)."""
    is_within = len(dropped) == 0 or (dropped[0] >= 0 and dropped[-1] < n_edges)  # they are sorted
    is_in_order = True
    for edge in range(len(grown_src)):
        is_within &= 0 <= grown_src[edge] < n_in and 0 <= grown_dst[edge] < n_out
        if edge > 0:
            is_later = grown_dst[edge] > grown_dst[edge - 1]
            is_in_order &= is_later or (grown_dst[edge] == grown_dst[edge - 1] and grown_src[edge] >= grown_src[edge - 1])
    return is_within, is_in_order


def _raise_range(delta: EdgeDelta, n_in: int, n_out: int, n_edges: int) -> NoReturn:
    """Raise the TopologyError that names what is out of range."""
    if len(delta.dropped) and not (delta.dropped[0] >= 0 and delta.dropped[-1] < n_edges):
        first, last = delta.dropped[0], delta.dropped[-1]
        raise TopologyError(f"dropped reaches from {first} to {last}; positions must be from 0 to {n_edges - 1}")
    is_source = not (delta.grown_src.min() >= 0 and delta.grown_src.max() < n_in)
    name, ends, size = ("grown_src", delta.grown_src, n_in) if is_source else ("grown_dst", delta.grown_dst, n_out)
    raise TopologyError(f"{name} reaches from {ends.min()} to {ends.max()}; it must be from 0 to {size - 1}")


@njit(cache=True, nogil=True)
def _merge_targets(src, pointers, dropped, grown_src, grown_dst, new_src, new_dst, origin, new, repeated, first, end):  # type: ignore[no-untyped-def]
    """Merge the survivors of targets first..end - 1 with the edges grown there, in one pass.

    Fills new_src, new_dst and origin from the place on where these targets begin, and new, the places of the grown edges;
    puts the place of an edge that occurs twice into repeated. Which edges go and where new ones come is random, so both are
    computed without branches, which would be guessed wrong: each list ends with a source behind all others.
    """
    behind, next_dropped = np.int32(2**31 - 1), np.searchsorted(dropped, pointers[first])
    grown, last_grown = np.searchsorted(grown_dst, first), np.searchsorted(grown_dst, end)
    place = pointers[first] - next_dropped + grown
    most = (pointers[first + 1 : end + 1] - pointers[first:end]).max() + 1
    kept_src, kept = np.empty(most, np.int32), np.empty(most, origin.dtype)
    fresh_src, fresh_place = np.empty(last_grown - grown + 1, np.int32), np.empty(last_grown - grown + 1, np.int64)
    for target in range(first, end):
        n_kept, n_fresh, start = 0, 0, place
        for old in range(pointers[target], pointers[target + 1]):
            kept_src[n_kept], kept[n_kept] = src[old], old
            is_dropped = len(dropped) > 0 and dropped[min(next_dropped, len(dropped) - 1)] == old
            next_dropped += is_dropped
            n_kept += 1 - is_dropped
        while grown + n_fresh < last_grown and grown_dst[grown + n_fresh] == target:
            fresh_src[n_fresh] = grown_src[grown + n_fresh]
            n_fresh += 1
        kept_src[n_kept], fresh_src[n_fresh] = behind, behind
        old, fresh = 0, 0
        for place in range(start, start + n_kept + n_fresh):
            is_old = kept_src[old] < fresh_src[fresh]
            new_src[place] = min(kept_src[old], fresh_src[fresh])
            origin[place] = kept[old] * is_old
            fresh_place[fresh] = place
            old += is_old
            fresh += 1 - is_old
        place = start + n_kept + n_fresh
        new[grown : grown + n_fresh] = fresh_place[:n_fresh]
        new_dst[start:place] = target
        n_repeated = 0
        for edge in range(start + 1, place):
            n_repeated += new_src[edge] == new_src[edge - 1]
        if n_repeated > 0:
            repeated[0] = start + 1 + np.argmax(new_src[start + 1 : place] == new_src[start : place - 1])
        grown += n_fresh
