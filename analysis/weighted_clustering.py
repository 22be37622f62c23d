"""Clustering that asks how much weight two neurons share, and not only with whom: weighted forms of Latapy and Opsahl.

Weights enter by their magnitude |w|. Where all magnitudes are equal, each form is that without weights.
"""

import numba
import numpy as np

from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.fourpath_walks import all_walks, are_closed, draw_walks
from analysis.fourpaths import four_paths
from analysis.graph.arrays import FloatArray, LongArray
from analysis.graph.intake import takes_any_graph
from analysis.graph.neighbours import SIDES, NeighbourLists, Side, check_side, edge_magnitudes, neighbour_lists
from analysis.graph.values import NO_WEIGHTS, BipartiteGraph, LayeredGraph, missing_weights
from analysis.registry import EVERYTHING, register_measure

LISTED_PATHS = 2**17
"""Up to so many 4-paths each is looked at; above it, a sample."""

SAMPLED_PATHS = 2**14

VALUES = ("arithmetic", "geometric", "maximum", "minimum")
"""What the four weights of a 4-path are made into: their arithmetic or geometric mean, the largest, or the smallest."""


@numba.njit(cache=True, nogil=True)
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
    `analysis.clustering.latapy_clustering`) where all magnitudes are equal. Latapy, Magnien and Del Vecchio (2008), Social
    Networks 30, 31-48, for the mean over second neighbours; Ruzicka (1958), Biologia 13, 647-661, for the overlap.

    Args:
        graph: the layer; it needs weights.
        side: whose neurons.

    Returns:
        float64 of shape [n], 0 for a neuron without second neighbours, and for two whose weights are all 0; and whether
        any neuron has a second neighbour. Cost O(sum over the opposite side of d_j^2), O(n + n_edges) memory.

    Raises:
        AnalysisError: the graph has no weights, or `side` is no side.
    """
    check_side(side)
    if graph.weights is None:
        raise AnalysisError(f"{NO_WEIGHTS}; a weight for every edge is needed")
    means, is_any = _ruzicka_means(neighbour_lists(graph, side), *edge_magnitudes(graph, side))
    return means, bool(is_any)


def _network_ruzicka(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """`weighted_clustering` of the whole network as one bipartite graph; see `LayeredGraph.folded`."""
    return _with_reason(network, weighted_clustering(network.folded, rng))


def _with_reason(network: LayeredGraph, quantities: Quantities) -> Quantities:
    """The folded network has no weights where a single layer has none; the reason names that layer."""
    reason = missing_weights(network.layers)
    return quantities if reason is None else dict.fromkeys(quantities, undefined(reason))


@register_measure("weighted_clustering", network=_network_ruzicka, weighted=EVERYTHING)
def weighted_clustering(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Weighted Latapy clustering of both sides: the means of `ruzicka_clustering` over all neurons of a side.

    Args:
        graph: the layer.
        rng: not used.

    Returns:
        `source_weighted_latapy_clustering` and `target_weighted_latapy_clustering`, in [0, 1]; not defined without weights,
        or where no two neurons of the side share a neighbour. Cost O(sum k_i^2 + sum d_j^2).
    """
    result: dict[str, Quantity] = {}
    for side in SIDES:
        quantity = undefined(NO_WEIGHTS)
        if graph.weights is not None:
            means, is_any = ruzicka_clustering(graph, side)
            quantity = defined(means.mean()) if is_any else undefined(f"no two {side}s share a neighbour")
        result[f"{side}_weighted_latapy_clustering"] = quantity
    return result


@takes_any_graph
def weighted_opsahl_quantities(
    graph: BipartiteGraph, side: Side, rng: np.random.Generator, listed_paths: int = LISTED_PATHS
) -> dict[str, Quantity]:
    """Opsahl's weighted coefficient of one side, for each of `VALUES`.

    Args:
        graph: the layer.
        side: whose neurons are the three different ones of a path.
        rng: draws paths where there are too many to look at each.
        listed_paths: up to so many are looked at, each once, and the value is exact.

    Returns:
        `{side}_opsahl_clustering_{value}`; see `weighted_opsahl`.

    Raises:
        AnalysisError: `side` is no side.
    """
    check_side(side)
    names = [f"{side}_opsahl_clustering_{value}" for value in VALUES]
    if graph.weights is None:
        return dict.fromkeys(names, undefined(NO_WEIGHTS))
    lists = neighbour_lists(graph, side)
    by_centre = four_paths(lists, exact_work=0).all
    total = sum(by_centre.tolist())
    if total == 0:
        return dict.fromkeys(names, undefined(f"there is no path of length 4 between {side}s"))
    is_exact = total <= listed_paths
    walks = all_walks(lists, total) if is_exact else _sample(lists, by_centre, rng)
    values, closed = _path_values(walks, *edge_magnitudes(graph, side)), are_closed(lists, walks)
    return {name: _share(value, closed, is_exact) for name, value in zip(names, values, strict=True)}


def _sample(lists: NeighbourLists, by_centre: LongArray, rng: np.random.Generator) -> LongArray:
    centres = rng.choice(by_centre.size, size=SAMPLED_PATHS, p=by_centre / by_centre.sum(dtype=np.float64))
    return draw_walks(lists, centres, rng)


def _path_values(walks: LongArray, own: FloatArray, other: FloatArray) -> tuple[FloatArray, ...]:
    """The values of every path, in the order of `VALUES`."""
    weights = np.stack([own[walks[0]], own[walks[1]], other[walks[2]], other[walks[3]]])
    geometric = np.sqrt(np.sqrt(weights[0] * weights[1]) * np.sqrt(weights[2] * weights[3]))
    return weights.mean(axis=0), geometric, weights.max(axis=0), weights.min(axis=0)


def _share(values: FloatArray, closed: np.ndarray, is_exact: bool) -> Quantity:
    """Closed value divided by all value; of a sample with the standard error of a ratio."""
    if not values.any():
        return undefined("the value of every path of length 4 is 0")
    share = float(values[closed].sum() / values.sum())
    if is_exact:
        return defined(share)
    residuals = values * (closed - share)
    return defined(share, float(np.sqrt((residuals**2).sum()) / values.sum()))


def _network_opsahl(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """`weighted_opsahl` of the whole network as one bipartite graph; see `LayeredGraph.folded`."""
    return _with_reason(network, weighted_opsahl(network.folded, rng))


@register_measure("weighted_opsahl", network=_network_opsahl, weighted=EVERYTHING)
def weighted_opsahl(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Opsahl's weighted C* of both sides: the value of the closed 4-paths divided by that of all, in [0, 1].

    The value of a 4-path is the arithmetic mean, the geometric mean, the largest or the smallest of its four magnitudes
    |w|; which paths are closed is as in `analysis.opsahl.opsahl`. Opsahl (2013), "Triadic closure in two-mode networks:
    redefining the global and local clustering coefficients", Social Networks 35, 159-167; the four values are those of
    Opsahl and Panzarasa (2009), "Clustering in weighted networks", Social Networks 31, 155-163.

    Args:
        graph: the layer.
        rng: draws `SAMPLED_PATHS` paths where there are more than `LISTED_PATHS`.

    Returns:
        For each side `{side}_opsahl_clustering_arithmetic`, `_geometric`, `_maximum` and `_minimum`, with a standard error
        where they come from a sample; not defined without weights, without 4-paths, or where all of them have the value 0.
        Cost O(sum d_p^2), and O(degrees) for each path that is looked at.
    """
    return {name: value for side in SIDES for name, value in weighted_opsahl_quantities(graph, side, rng).items()}
