"""Clustering of a bipartite graph: 4-cycles, since it has no triangles."""

import numpy as np

from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import FloatArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.graph.neighbours import SIDES, Side, check_side
from analysis.measures._overlaps import SideOverlaps, side_overlaps
from analysis.measures.measure import Measure, on_folded, takes_any_layer

LATAPY_MODES = ("dot", "min", "max")
"""What the number of common neighbours is divided by: the size of the union, the smaller, or the larger degree."""


@takes_any_graph
def butterflies(graph: BipartiteGraph) -> int:
    """Number of 4-cycles, sum over pairs i < j of neurons of one side of C(P_ij, 2), with P_ij their common neighbours.

    Sanei-Mehri, Sariyüce and Tirthapura (2018), "Butterfly counting in bipartite networks", KDD. Exact; counted on the side
    on which it is cheaper, O(min(sum k_i^2, sum d_j^2)) time.

    >>> import networkx
    >>> butterflies(networkx.complete_bipartite_graph(3, 3))
    9
    """
    # Sources are joined through targets, so their pairs cost the squared degrees of the targets.
    through_targets, through_sources = int((graph.in_degrees**2).sum()), int((graph.out_degrees**2).sum())
    return side_overlaps(graph, "source" if through_targets <= through_sources else "target").butterflies


@takes_any_graph
def three_paths(graph: BipartiteGraph) -> int:
    """Number of paths of length 3: the sum over edges (i, j) of (k_i - 1)(d_j - 1); exact.

    Robins and Alexander (2004), "Small worlds among interlocking directors", Computational & Mathematical Organization
    Theory 10, 69-94. (No path closes into a triangle in a bipartite graph.) Cost O(n_edges).
    """
    return int(((graph.out_degrees[graph.src] - 1) * (graph.in_degrees[graph.dst] - 1)).sum())


@takes_any_graph
def robins_alexander_clustering(graph: BipartiteGraph) -> Quantity:
    """Share of 3-paths that close into a 4-cycle: 4 * butterflies / three_paths, in [0, 1].

    Robins and Alexander (2004), "Small worlds among interlocking directors", Computational & Mathematical Organization
    Theory 10, 69-94. Not defined if the graph has no path of length 3, for which networkx returns 0.

    >>> import networkx
    >>> robins_alexander_clustering(networkx.complete_bipartite_graph(3, 3)).value
    1.0
    """
    return _clustering(butterflies(graph), three_paths(graph))


@takes_any_graph
def latapy_clustering(graph: BipartiteGraph, side: Side) -> FloatArray:
    """Latapy's clustering of every neuron of one side: the mean of c_uv over its second neighbours v, in [0, 1].

    c_uv = |N(u) & N(v)| / |N(u) | N(v)| ("dot"), or / min(k_u, k_v) ("min"), or / max(k_u, k_v) ("max"). Latapy,
    Magnien and Del Vecchio (2008), "Basic notions for the analysis of large two-mode networks", Social Networks 30,
    31-48. A neuron without second neighbours has the value 0, as in networkx.

    Args:
        graph: one layer.
        side: "source" or "target".

    Returns:
        float64 of shape [n, 3], one column for each of `LATAPY_MODES`. Cost O(sum over the opposite side of d_j^2).

    Raises:
        AnalysisError: `side` is neither "source" nor "target".
    """
    check_side(side)
    return _latapy_values(side_overlaps(graph, side))


def _latapy_values(overlaps: SideOverlaps) -> FloatArray:
    return overlaps.sums / np.maximum(overlaps.partners, 1)[:, None]


def _clustering(cycles: int, paths: int) -> Quantity:
    return undefined("there is no path of length 3") if paths == 0 else defined(4 * cycles / paths)


@takes_any_layer
def clustering(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Butterflies, 3-paths and their ratio, and Latapy's clustering of both sides in three modes.

    Formulas and sources stand at `butterflies`, `three_paths`, `robins_alexander_clustering` and `latapy_clustering`. A side's
    Latapy clustering is the average over all its neurons, those without second neighbours counting 0, as in
    `networkx.bipartite.average_clustering`; if no neuron of the side has any, it is not defined. Of a whole network, the two
    sides are the groups of even and of odd number.

    Returns:
        `butterflies` and `three_paths`, counts; `robins_alexander_clustering` and
        `{source,target}_latapy_{dot,min,max}_clustering` in [0, 1]. Cost O(sum k_i^2 + sum d_j^2 + pairs that share a
        neighbour), about 0.6 s on one core for 4096 x 4096 with 10^6 edges.
    """
    overlaps = {side: side_overlaps(graph, side) for side in SIDES}
    cycles, paths = overlaps["source"].butterflies, three_paths(graph)
    result = {
        "butterflies": defined(cycles),
        "three_paths": defined(paths),
        "robins_alexander_clustering": _clustering(cycles, paths),
    }
    for side, pairs in overlaps.items():
        # Over all neurons of the side, those without second neighbours counting 0.
        names = [f"{side}_latapy_{mode}_clustering" for mode in LATAPY_MODES]
        values = map(defined, _latapy_values(pairs).mean(axis=0))
        missing = undefined(f"no two {side}s share a neighbour")
        result |= dict(zip(names, values, strict=True)) if pairs.partners.any() else dict.fromkeys(names, missing)
    return result


MEASURE = Measure("clustering", clustering, network=on_folded(clustering))
