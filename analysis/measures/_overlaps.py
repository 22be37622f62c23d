"""Common neighbours of the neurons of one side: the rows of P = A A^T, one at a time, so that memory stays O(n)."""

from dataclasses import dataclass

import numpy as np

from analysis.base.compiling import njit
from analysis.graph.arrays import FloatArray, IntArray, LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.neighbours import NeighbourLists, Side, neighbour_lists


@njit(cache=True, nogil=True)
def count_common(neuron: int, lists: NeighbourLists, first: LongArray, common: IntArray, found: IntArray) -> int:
    """Count the common neighbours of `neuron` with every neuron that stands at `first[j]` or later in a list of `other`.

    Adds to `common`, of shape [n] and zero before, and writes the neurons that it met to `found`, of shape [n + 1];
    returns how many these are. The caller sets `common` back to zero.
    """
    work = 0
    for edge in range(lists.own_starts[neuron], lists.own_starts[neuron + 1]):
        j = lists.own[edge]
        work += lists.other_starts[j + 1] - first[j]
    n_found = 0
    # If most neurons will be met, it is faster to look through all of them afterwards than to note each.
    if work > common.size:
        for edge in range(lists.own_starts[neuron], lists.own_starts[neuron + 1]):
            j = lists.own[edge]
            for position in range(first[j], lists.other_starts[j + 1]):
                common[lists.other[position]] += 1
        for partner in range(common.size):
            found[n_found] = partner
            n_found += common[partner] > 0
        return n_found
    for edge in range(lists.own_starts[neuron], lists.own_starts[neuron + 1]):
        j = lists.own[edge]
        for position in range(first[j], lists.other_starts[j + 1]):
            partner = lists.other[position]
            found[n_found] = partner
            n_found += common[partner] == 0
            common[partner] += 1
    return n_found


@njit(cache=True, nogil=True)
def _overlap_sums(lists: NeighbourLists) -> tuple[int, LongArray, FloatArray]:
    """Butterflies, number of second neighbours, and sums of the three overlap ratios; each pair is met once."""
    n = lists.own_starts.size - 1
    degrees = lists.own_starts[1:] - lists.own_starts[:-1]
    # Neurons come in ascending order, so what stands behind a neuron in every list are the pairs still to be met.
    first = lists.other_starts[:-1].copy()
    common = np.zeros(n, dtype=np.int32)
    found = np.empty(n + 1, dtype=np.int32)
    partners = np.zeros(n, dtype=np.int64)
    sums = np.zeros((n, 3), dtype=np.float64)
    butterflies = 0
    for u in range(n):
        for edge in range(lists.own_starts[u], lists.own_starts[u + 1]):
            first[lists.own[edge]] += 1
        n_found = count_common(u, lists, first, common, found)
        for v in found[:n_found]:
            shared = int(common[v])
            common[v] = 0
            butterflies += shared * (shared - 1) // 2
            dot = shared / (degrees[u] + degrees[v] - shared)
            low = shared / min(degrees[u], degrees[v])
            high = shared / max(degrees[u], degrees[v])
            for w in (u, np.int64(v)):
                sums[w, 0] += dot
                sums[w, 1] += low
                sums[w, 2] += high
                partners[w] += 1
    return butterflies, partners, sums


@dataclass(frozen=True)
class SideOverlaps:
    """What one pass over the pairs of one side's neurons gives.

    Attributes:
        butterflies: number of 4-cycles, the sum over pairs of C(P_uv, 2); the same for both sides.
        partners: number of second neighbours |N(N(u))| of every neuron, int64 of shape [n].
        sums: sum over the second neighbours v of |N(u) & N(v)| divided by |N(u) | N(v)|, by the smaller and by the
            larger degree; float64 of shape [n, 3].
    """

    butterflies: int
    partners: LongArray
    sums: FloatArray


def side_overlaps(graph: BipartiteGraph, side: Side) -> SideOverlaps:
    """Compare the neighbourhoods of all pairs of neurons of one side.

    Cost O(sum over the opposite side of d_j^2 + pairs that share a neighbour) time, O(n_in + n_out + n_edges) memory.
    """
    return SideOverlaps(*_overlap_sums(neighbour_lists(graph, side)))
