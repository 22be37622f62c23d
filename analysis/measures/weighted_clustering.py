"""Weighted Latapy clustering, by Ruzicka's similarity of the neighbourhoods.

Weights enter by their magnitude |w|. If all magnitudes are equal, it is Latapy's clustering without weights.
"""

import numpy as np

from analysis.base.compiling import njit
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import FloatArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.graph.neighbours import SIDES, NeighbourLists, Side, check_side, edge_magnitudes, neighbour_lists
from analysis.graph.values import NO_WEIGHTS
from analysis.measures.measure import EVERYTHING, Measure, on_folded, takes_any_layer


@njit(cache=True, nogil=True)
def _ruzicka_means(lists: NeighbourLists, own: FloatArray, other: FloatArray) -> tuple[FloatArray, bool]:
    """Mean over the second neighbours of sum min / sum max; and whether there is any. Each pair is met once."""
    n = lists.own_starts.size - 1
    strengths = np.zeros(n)
    for neuron in range(n):
        strengths[neuron] = own[lists.own_starts[neuron] : lists.own_starts[neuron + 1]].sum()
    # Neurons come in ascending order, so what stands behind a neuron in every list are the pairs still to be met.
    first = lists.other_starts[:-1].copy()
    shared, is_met = np.zeros(n), np.zeros(n, dtype=np.bool_)
    found = np.empty(n, dtype=np.int64)
    totals, partners = np.zeros(n), np.zeros(n, dtype=np.int64)
    for u in range(n):
        n_found = 0
        for edge in range(lists.own_starts[u], lists.own_starts[u + 1]):
            j = lists.own[edge]
            first[j] += 1
            for position in range(first[j], lists.other_starts[j + 1]):
                v = lists.other[position]
                if not is_met[v]:
                    is_met[v] = True
                    found[n_found] = v
                    n_found += 1
                shared[v] += min(own[edge], other[position])
        for v in found[:n_found]:
            largest = strengths[u] + strengths[v] - shared[v]
            overlap = shared[v] / largest if largest > 0.0 else 0.0
            totals[u] += overlap
            totals[v] += overlap
            partners[u] += 1
            partners[v] += 1
            shared[v], is_met[v] = 0.0, False
    return totals / np.maximum(partners, 1), bool(partners.any())


@takes_any_graph
def ruzicka_clustering(graph: BipartiteGraph, side: Side) -> tuple[FloatArray, bool]:
    """Weighted Latapy clustering of every neuron of one side: the mean over its second neighbours v of the overlap

        c_uv = sum_j min(|w_uj|, |w_vj|) / sum_j max(|w_uj|, |w_vj|), in [0, 1],

    where an edge that is not there has the weight 0: Ruzicka's similarity, which is that of Jaccard ("dot" in
    `latapy_clustering`) if all magnitudes are equal. Latapy, Magnien and Del Vecchio (2008), Social Networks 30, 31-48, for
    the mean over second neighbours; Ruzicka (1958), Biologia 13, 647-661, for the overlap.

    Returns:
        float64 of shape [n], 0 for a neuron without second neighbours, and for two whose weights are all 0; and whether any
        neuron has a second neighbour. Cost O(sum over the opposite side of d_j^2), O(n + n_edges) memory.

    Raises:
        AnalysisError: the graph has no weights, or `side` is neither "source" nor "target".
    """
    check_side(side)
    if graph.weights is None:
        raise AnalysisError(f"{NO_WEIGHTS}; a weight for every edge is needed")
    means, is_any = _ruzicka_means(neighbour_lists(graph, side), *edge_magnitudes(graph, side))
    return means, bool(is_any)


@takes_any_layer
def weighted_clustering(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Weighted Latapy clustering of both sides: the means of `ruzicka_clustering` over all neurons of a side.

    `source_weighted_latapy_clustering` and `target_weighted_latapy_clustering`, in [0, 1]; not defined without weights, or if
    no two neurons of the side share a neighbour.
    """
    result: dict[str, Quantity] = {}
    for side in SIDES:
        quantity = undefined(NO_WEIGHTS)
        if graph.weights is not None:
            means, is_any = ruzicka_clustering(graph, side)
            quantity = defined(means.mean()) if is_any else undefined(f"no two {side}s share a neighbour")
        result[f"{side}_weighted_latapy_clustering"] = quantity
    return result


MEASURE = Measure(
    "weighted_clustering", weighted_clustering, network=on_folded(weighted_clustering, needs_weights=True), weighted=EVERYTHING
)
