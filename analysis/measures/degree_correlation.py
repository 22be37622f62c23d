"""Degree correlation across the sides: whether sources with many edges go to targets with many edges."""

import math

import numpy as np

from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.measures.measure import Measure, takes_any_layer

BIREGULAR = "on both sides all neurons with edges have the same degree"


@takes_any_graph
def degree_correlation(graph: BipartiteGraph) -> Quantity:
    """Across-side degree correlation r_b: Pearson's r over edges (i, j) of the pairs (k_i, d_j); in [-1, 1].

    The directed coefficient "out-in" of Foster, Foster, Grassberger and Paczuski (2010), "Edge direction and the structure
    of networks", PNAS 107, 10815-10820, with edges from sources to targets. Each side has its own mean; the undirected
    coefficient, which pools both ends of every edge, would also measure how the two sides' means differ. The sums are exact
    integers.

    Returns:
        The quantity; not defined if there is no edge, or if all neurons of a side that have edges have equally many.
    """
    if graph.n_edges == 0:
        return undefined("the graph has no edge")
    k, d = graph.out_degrees, graph.in_degrees
    # A neuron of degree k ends k edges, so the sum of k^p over edges is that of k^(p + 1) over neurons.
    sum_k, sum_d = _power_sum(k, 2), _power_sum(d, 2)
    spread_k = graph.n_edges * _power_sum(k, 3) - sum_k**2
    spread_d = graph.n_edges * _power_sum(d, 3) - sum_d**2
    regular = [side for side, spread in (("source", spread_k), ("target", spread_d)) if spread == 0]
    if regular:
        return undefined(f"all {regular[0]}s with edges have the same degree" if len(regular) == 1 else BIREGULAR)
    together = graph.n_edges * int((k[graph.src] * d[graph.dst]).sum()) - sum_k * sum_d
    # The square roots are taken one by one, as the product of the integers may exceed the range of a float.
    return defined(together / math.sqrt(spread_k) / math.sqrt(spread_d))


def _power_sum(degrees: LongArray, power: int) -> int:
    """Sum of degree^power in integers of any size, over the distinct degrees."""
    values, counts = np.unique(degrees, return_counts=True)
    return sum(count * value**power for value, count in zip(values.tolist(), counts.tolist(), strict=True))


@takes_any_layer
def mixing(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """`degree_correlation` of a layer.

    A network of several layers has none of its own: over all its edges the correlation would mostly say that layers differ
    in their mean degrees.
    """
    return {"degree_correlation": degree_correlation(graph)}


MEASURE = Measure("mixing", mixing)
