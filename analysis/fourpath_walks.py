"""Single 4-paths, all of them or a random sample: where in the neighbour lists their edges stand, and whether they close.

A 4-path i - p - j - q - k is written as four positions (a, b, c, d): `own[a]` = p and `own[b]` = q in the list of the
centre j, `other[c]` = i in the list of p and `other[d]` = k in the list of q. So whatever belongs to an edge can be looked
up for all four.
"""

import numba
import numpy as np
import numpy.typing as npt

from analysis.graph.arrays import LongArray
from analysis.graph.neighbours import NeighbourLists


@numba.njit(cache=True, nogil=True)
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
    """Every 4-path once.

    Args:
        lists: neighbours, seen from the side whose 4-paths are meant.
        n_walks: their number, as `fourpaths.four_paths` counts them.

    Returns:
        Positions, int64 of shape [4, n_walks]. Cost O(n_walks), and the paths of length 4 that meet a neuron twice.
    """
    walks = np.empty((4, n_walks), dtype=np.int64)
    _walk_all(lists, walks)
    return walks


def draw_walks(lists: NeighbourLists, centres: LongArray, rng: np.random.Generator) -> LongArray:
    """Draw one 4-path for each given centre, uniform among those with this centre.

    Both ends are drawn with the neuron on the way to them, uniformly among all two steps that lead away from the centre;
    a pair of them that is no path (p = q or i = k) is drawn again.

    Args:
        lists: neighbours, seen from the side whose 4-paths are meant.
        centres: neurons of the side, int64 of any length; each must be the centre of at least one 4-path.
        rng: draws the paths.

    Returns:
        Positions, int64 of shape [4, len(centres)]. Cost O(n_edges + paths * log n_edges).
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


@numba.njit(cache=True, nogil=True)
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
    """Whether the ends of each 4-path have a common neighbour besides the two that it passes.

    Args:
        lists: neighbours, seen from the side whose 4-paths are meant.
        walks: positions, int64 of shape [4, n].

    Returns:
        bool of shape [n]. Cost O(degrees of the two ends) a path.
    """
    return _are_closed(lists, walks)
