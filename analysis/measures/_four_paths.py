"""Paths of length 4 through three different neurons of one side: how many there are, how many close, and samples of them.

A single 4-path i - p - j - q - k is written as four positions (a, b, c, d): `own[a]` = p and `own[b]` = q in the list of the
centre j, `other[c]` = i in the list of p and `other[d]` = k in the list of q. So whatever belongs to an edge can be looked up
for all four.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.base.compiling import njit
from analysis.graph.arrays import IntArray, LongArray
from analysis.graph.neighbours import NeighbourLists
from analysis.measures._overlaps import count_common

EXACT_WORK = 2_000_000_000
"""Up to about this many elementary steps closed paths are counted, which takes some seconds."""

_MAX_LISTED = 2**28


@dataclass(frozen=True)
class FourPaths:
    """4-paths i - p - j - q - k by their centre j; i, j, k are different neurons of one side, p and q of the other.

    Attributes:
        all: number of 4-paths with centre j, int64 of shape [n].
        closed: those whose ends i and k share a neighbour other than p and q, likewise; None if counting them would
            take too long.
    """

    all: LongArray
    closed: LongArray | None


class _Tables(NamedTuple):
    """What the first pass hands to the second.

    Attributes:
        starts: where the entry of every neuron begins in `listed`, int64 of shape [n + 1].
        listed: its second neighbours, or all other neurons that are not, whichever are fewer; int32.
        is_complement: which of the two, bool of shape [n].
        ones: for every edge (p, i) in the order of p: the k in N(p) whose only common neighbour with i is p; int64.
        twos: for every j: the pairs (i, k) with exactly two common neighbours, both of which are j's; int64.
    """

    starts: LongArray
    listed: IntArray
    is_complement: npt.NDArray[np.bool_]
    ones: LongArray
    twos: LongArray


@njit(cache=True, nogil=True)
def _survey(lists: NeighbourLists) -> tuple[LongArray, LongArray, int]:
    """4-paths by centre, number of second neighbours, and number of ordered pairs with exactly two common neighbours."""
    n = lists.own_starts.size - 1
    first = lists.other_starts[:-1]
    common = np.zeros(n, dtype=np.int32)
    found = np.empty(n + 1, dtype=np.int32)
    paths = np.zeros(n, dtype=np.int64)
    partners = np.zeros(n, dtype=np.int64)
    twos = 0
    for j in range(n):
        total, squares = 0, 0
        for edge in range(lists.own_starts[j], lists.own_starts[j + 1]):
            p = lists.own[edge]
            steps = lists.other_starts[p + 1] - lists.other_starts[p] - 1
            total += steps
            squares += steps * steps
        paths[j] = (total * total - squares) // 2
        n_found = count_common(j, lists, first, common, found)
        common[j] = 0
        for position in range(n_found):
            shared = int(common[found[position]])
            common[found[position]] = 0
            # Two steps to the same neuron are no path.
            paths[j] -= shared * (shared - 1) // 2
            partners[j] += shared > 0
            twos += shared == 2
    return paths, partners, twos


@njit(cache=True, nogil=True)
def _in_both(first: IntArray, second: IntArray, result: IntArray) -> int:
    """Write the common entries of two ascending lists; returns how many."""
    a, b, n_common = 0, 0, 0
    while a < first.size and b < second.size:
        if first[a] < second[b]:
            a += 1
        elif first[a] > second[b]:
            b += 1
        else:
            result[n_common] = first[a]
            n_common += 1
            a += 1
            b += 1
    return n_common


@njit(cache=True, nogil=True)
def _first_pass(lists: NeighbourLists, tables: _Tables) -> None:
    """Fill `listed`, `ones` and `twos`."""
    n = lists.own_starts.size - 1
    first = lists.other_starts[:-1]
    seen = first.copy()
    common = np.zeros(n, dtype=np.int32)
    found = np.empty(n + 1, dtype=np.int32)
    joint = np.empty(2, dtype=np.int32)
    both = np.empty(n, dtype=np.int32)
    for i in range(n):
        n_found = count_common(i, lists, first, common, found)
        common[i] = 0
        for edge in range(lists.own_starts[i], lists.own_starts[i + 1]):
            p = lists.own[edge]
            for position in range(lists.other_starts[p], lists.other_starts[p + 1]):
                tables.ones[seen[p]] += common[lists.other[position]] == 1
            seen[p] += 1
        for position in range(n_found):
            k = found[position]
            if k > i and common[k] == 2:
                mine = lists.own[lists.own_starts[i] : lists.own_starts[i + 1]]
                _in_both(mine, lists.own[lists.own_starts[k] : lists.own_starts[k + 1]], joint)
                r, s = joint[0], joint[1]
                of_r = lists.other[lists.other_starts[r] : lists.other_starts[r + 1]]
                n_both = _in_both(of_r, lists.other[lists.other_starts[s] : lists.other_starts[s + 1]], both)
                for index in range(n_both):
                    tables.twos[both[index]] += both[index] != i and both[index] != k
        filled = tables.starts[i]
        if tables.is_complement[i]:
            for k in range(n):
                if common[k] == 0 and k != i:
                    tables.listed[filled] = k
                    filled += 1
        else:
            for position in range(n_found):
                if found[position] != i:
                    tables.listed[filled] = found[position]
                    filled += 1
        for position in range(n_found):
            common[found[position]] = 0


@njit(cache=True, nogil=True)
def _second_pass(lists: NeighbourLists, tables: _Tables) -> LongArray:
    """Closed 4-paths by centre; the formula stands at `four_paths`."""
    n = lists.own_starts.size - 1
    first = lists.other_starts[:-1]
    seen = first.copy()
    common = np.zeros(n, dtype=np.int32)
    found = np.empty(n + 1, dtype=np.int32)
    closed = np.zeros(n, dtype=np.int64)
    for j in range(n):
        n_found = count_common(j, lists, first, common, found)
        common[j] = 0
        weight = 0
        for position in range(n_found):
            weight += common[found[position]]
        doubled = 0
        for position in range(n_found):
            i = found[position]
            listed = 0
            for entry in range(tables.starts[i], tables.starts[i + 1]):
                listed += common[tables.listed[entry]]
            doubled += common[i] * (weight - common[i] - listed if tables.is_complement[i] else listed)
        total = doubled // 2 - 2 * tables.twos[j]
        for edge in range(lists.own_starts[j], lists.own_starts[j + 1]):
            p = lists.own[edge]
            pairs = 0
            for position in range(lists.other_starts[p], lists.other_starts[p + 1]):
                shared = int(common[lists.other[position]])
                pairs += tables.ones[position]
                total -= shared * (tables.ones[position] - (shared == 1))
            others = lists.other_starts[p + 1] - lists.other_starts[p] - 1
            total += 2 * (pairs // 2 - tables.ones[seen[p]]) - others * (others - 1) // 2
            seen[p] += 1
        closed[j] = total
        for position in range(n_found):
            common[found[position]] = 0
    return closed


def four_paths(lists: NeighbourLists, exact_work: int = EXACT_WORK) -> FourPaths:
    """Count 4-paths and closed 4-paths by centre, without walking along any.

    With P_ij the common neighbours of i and j, T those of i, j and k together: P_ij P_jk - T paths lead from i over j to
    k. They are all closed if P_ik >= 3; if P_ik = 2 all but the T (T - 1) whose p and q are the two; if P_ik = 1 all whose p
    and q both differ from the one, P_ij P_jk - T (P_ij + P_jk - 1); if P_ik = 0 none. Summed over pairs (i, k) the products
    are a quadratic form in row j of P, taken over the pairs that share a neighbour or over those that do not, whichever are
    fewer; the rest are sums over the neighbours p of j.

    `closed` is None if it would take more than `exact_work` elementary steps. Cost O(sum d_p^2) for `all`; for `closed` in
    addition O(sum_j S_j min(S_j, n - S_j)), S_j second neighbours of j, and the degrees of pairs with two common neighbours;
    as much memory as the lists of the shorter kind take.
    """
    n = lists.own_starts.size - 1
    paths, partners, twos = _survey(lists)
    sizes = np.minimum(partners, n - 1 - partners)
    longest = int(np.diff(lists.own_starts).max() + np.diff(lists.other_starts).max())
    work = int(partners.astype(np.float64) @ sizes) + twos * longest
    if work > exact_work or sizes.sum() > _MAX_LISTED:
        return FourPaths(paths, None)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    listed = np.empty(starts[-1], dtype=np.int32)
    ones, per_centre = np.zeros(lists.own.size, dtype=np.int64), np.zeros(n, dtype=np.int64)
    tables = _Tables(starts, listed, partners > sizes, ones, per_centre)
    _first_pass(lists, tables)
    return FourPaths(paths, _second_pass(lists, tables))


@njit(cache=True, nogil=True)
def _walk_all(lists: NeighbourLists, walks: LongArray) -> None:
    """Write every 4-path once, with p before q in the list of its centre."""
    found = 0
    for j in range(lists.own_starts.size - 1):
        for a in range(lists.own_starts[j], lists.own_starts[j + 1]):
            for b in range(a + 1, lists.own_starts[j + 1]):
                p, q = lists.own[a], lists.own[b]
                for c in range(lists.other_starts[p], lists.other_starts[p + 1]):
                    for d in range(lists.other_starts[q], lists.other_starts[q + 1]):
                        i, k = lists.other[c], lists.other[d]
                        if i != j and k != j and i != k:
                            walks[0, found] = a
                            walks[1, found] = b
                            walks[2, found] = c
                            walks[3, found] = d
                            found += 1


def all_walks(lists: NeighbourLists, n_walks: int) -> LongArray:
    """Every 4-path once: positions, int64 of shape [4, n_walks], where `n_walks` is what `four_paths` counts."""
    walks = np.empty((4, n_walks), dtype=np.int64)
    _walk_all(lists, walks)
    return walks


def draw_walks(lists: NeighbourLists, centres: LongArray, rng: np.random.Generator) -> LongArray:
    """Draw one 4-path for each given centre, uniform among those with this centre; int64 of shape [4, len(centres)].

    Both ends are drawn with the neuron on the way to them, uniformly among all two steps that lead away from the centre; a
    pair of them that is no path (p = q or i = k) is drawn again. Each centre must be that of at least one 4-path.
    """
    by_other = np.argsort(lists.own, kind="stable")
    place = np.empty(lists.own.size, dtype=np.int64)
    place[by_other] = np.arange(lists.own.size) - lists.other_starts[lists.own[by_other]]
    steps = np.concatenate([[0], np.cumsum(np.diff(lists.other_starts)[lists.own] - 1)])
    walks = np.zeros((4, centres.size), dtype=np.int64)
    pending = np.arange(centres.size)
    while pending.size:
        low, high = steps[lists.own_starts[centres[pending]]], steps[lists.own_starts[centres[pending] + 1]]
        number = rng.integers(low, high, size=(2, pending.size))
        edge = np.searchsorted(steps, number, side="right") - 1
        offset = number - steps[edge]
        last = lists.other_starts[lists.own[edge]] + offset + (offset >= place[edge])
        walks[:, pending] = edge[0], edge[1], last[0], last[1]
        pending = pending[(edge[0] == edge[1]) | (lists.other[last[0]] == lists.other[last[1]])]
    return walks


@njit(cache=True, nogil=True)
def _are_closed(lists: NeighbourLists, walks: LongArray) -> npt.NDArray[np.bool_]:
    result = np.zeros(walks.shape[1], dtype=np.bool_)
    for path in range(walks.shape[1]):
        p, q = lists.own[walks[0, path]], lists.own[walks[1, path]]
        i, k = lists.other[walks[2, path]], lists.other[walks[3, path]]
        a, b = lists.own_starts[i], lists.own_starts[k]
        while not result[path] and a < lists.own_starts[i + 1] and b < lists.own_starts[k + 1]:
            first, second = lists.own[a], lists.own[b]
            if first == second:
                result[path] = first not in (p, q)
            a, b = a + (first <= second), b + (second <= first)
    return result


def are_closed(lists: NeighbourLists, walks: LongArray) -> npt.NDArray[np.bool_]:
    """Whether the ends of each 4-path have a common neighbour besides the two that it passes, bool of shape [n]."""
    return _are_closed(lists, walks)
