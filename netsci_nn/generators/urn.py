"""Placing edges preferentially between nodes that are all there: a Polya urn of edge ends, without repeated edges."""

import numpy as np
import numpy.typing as npt
from numba import njit

from netsci_nn.topology import Int64Array

Ends = npt.NDArray[np.int32]


def fill_preferentially(
    src: Ends, dst: Ends, placed: int, n_in: int, n_out: int, attraction: float, rng: np.random.Generator
) -> None:
    """Place the edges from number `placed` on: both ends preferentially, one edge after the other, never twice the same.

    Args:
        src: int32 `[n_edges]`, sources; those from `placed` on are written.
        dst: int32 `[n_edges]`, targets, likewise.
        placed: how many edges there are.
        n_in: number of sources.
        n_out: number of targets.
        attraction: added to every degree.
        rng: source of randomness.
    """
    table = np.full(1 << int(1.5 * len(src) + 8).bit_length(), -1, dtype=np.int64)
    placed = _fill_by_rejection(table, src, dst, placed, n_in, n_out, attraction, rng)
    if placed == len(src):
        return
    # Nearly all the weight lies on taken cells: rank the free ones by exponential variate / weight instead.
    free = np.ones(n_in * n_out, dtype=np.bool_)
    free[dst[:placed].astype(np.int64) * n_in + src[:placed]] = False
    cells = np.flatnonzero(free)
    out_degrees, in_degrees = np.bincount(src[:placed], minlength=n_in), np.bincount(dst[:placed], minlength=n_out)
    largest = attraction + max(out_degrees.max(), in_degrees.max(), 1)  # so that no product overflows
    weight = ((out_degrees + attraction) / largest)[cells % n_in] * ((in_degrees + attraction) / largest)[cells // n_in]
    variate, is_positive = rng.exponential(size=len(cells)), weight > 0
    keys = np.where(is_positive, variate / np.where(is_positive, weight, 1.0), 1e300 * (1.0 + variate))
    chosen = cells[np.argsort(keys)[: len(src) - placed]]
    src[placed:], dst[placed:] = chosen % n_in, chosen // n_in


@njit(cache=True)
def _fill_by_rejection(table, src, dst, placed, n_in, n_out, attraction, rng):  # type: ignore[no-untyped-def]
    """Draw both ends from an urn of edge ends (plus `attraction` balls a node), reject joined pairs, give up when slow.

    Returns how many edges there are then. `table` is an empty hash table for all of them.
    """
    for edge in range(placed):
        _insert(table, np.int64(dst[edge]) * n_in + src[edge])
    tries = 32 * (len(src) - placed) + 64
    while placed < len(src) and tries > 0:
        tries -= 1
        source = _draw(src, placed, n_in, attraction, rng)
        target = _draw(dst, placed, n_out, attraction, rng)
        if _insert(table, np.int64(target) * n_in + source):
            src[placed], dst[placed] = source, target
            placed += 1
    return placed


@njit(cache=True)
def _draw(ends, placed, size, attraction, rng):  # type: ignore[no-untyped-def]
    """Return a node with probability proportional to degree + attraction; where all have weight 0, any."""
    if placed == 0 or rng.random() * (placed + attraction * size) >= placed:
        return int(rng.random() * size)
    return int(ends[int(rng.random() * placed)])


@njit(cache=True)
def _insert(table, cell):  # type: ignore[no-untyped-def]
    """Enter a cell into a hash table (-1 where empty, its size a power of two); return whether it is new."""
    mask = np.uint64(len(table) - 1)
    mixed = np.uint64(cell) * np.uint64(0x9E3779B97F4A7C15)
    place = (mixed ^ (mixed >> np.uint64(32))) & mask
    while table[place] != -1:
        if table[place] == cell:
            return False
        place = (place + np.uint64(1)) & mask
    table[place] = cell
    return True


def fill_quotas(
    chosen: Ends, given: Ends, placed: int, size: int, quota: Int64Array, attraction: float, rng: np.random.Generator
) -> None:
    """Place the edges from number `placed` on so that the given side meets its quotas; the other end is chosen preferentially.

    Args:
        chosen: int32 `[n_edges]`, ends 0..size - 1 on the side of preferential choice; those from `placed` on are written.
        given: int32 `[n_edges]`, ends on the other side, likewise.
        placed: how many edges there are.
        size: number of nodes to choose from; no quota exceeds it.
        quota: int64, the degree of every node of the other side, with the sum n_edges.
        attraction: added to every degree.
        rng: source of randomness.
    """
    order = np.argsort(given[:placed], kind="stable")
    missing = quota - np.bincount(given[:placed], minlength=len(quota))
    pointers = np.concatenate([[0], np.cumsum(quota - missing)])
    waiting = rng.permutation(np.repeat(np.arange(len(quota), dtype=np.int32), missing > 0))
    _fill_quotas(chosen, given, placed, size, missing, pointers, order, waiting, attraction, rng)


@njit(cache=True)
def _fill_quotas(chosen, given, placed, size, missing, pointers, order, waiting, attraction, rng):  # type: ignore[no-untyped-def]
    """Serve the waiting nodes one after the other; `order` lists the edges there are by their given end."""
    mark = np.full(size, -1, np.int64)  # the last node that the end was joined to
    degree = np.zeros(size, np.int64)
    for edge in range(placed):
        degree[chosen[edge]] += 1
    for node in waiting:
        for position in range(pointers[node], pointers[node + 1]):
            mark[chosen[order[position]]] = node
        wanted, tries = missing[node], 4 * missing[node] + 16
        while wanted > 0 and tries > 0:
            tries -= 1
            end = _draw(chosen, placed, size, attraction, rng)
            if mark[end] != node:
                mark[end] = node
                chosen[placed], given[placed] = end, node
                degree[end] += 1
                placed += 1
                wanted -= 1
        if wanted > 0:
            keys = np.empty(size)
            for end in range(size):
                weight = degree[end] + attraction
                variate = -np.log(1.0 - rng.random())
                keys[end] = variate / weight if weight > 0 else 1e300 * (1.0 + variate)
                if mark[end] == node:
                    keys[end] = np.inf
            for end in np.argsort(keys)[:wanted]:
                chosen[placed], given[placed] = end, node
                degree[end] += 1
                placed += 1
