"""Nestedness: whether the neighbours of a neuron of low degree are also neighbours of those of higher degree."""

import math

import numpy as np

from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import IntArray, LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.graph.values import LayeredGraph
from analysis.measures.measure import Measure, on_folded, takes_any_layer


def paired_overlap(ends: IntArray, other_ends: IntArray, degrees: LongArray) -> float:
    """Sum over pairs of neurons i, j of one side with k_i > k_j > 0 of |N(i) & N(j)| / k_j.

    The overlaps are not formed: their sum over all i is the number of edges that end at a neighbour of j and belong to a
    neuron of higher degree, so it suffices to sort the edges of every neuron of the other side by the degree of their
    end on this one. Counts are collected by k_j before the division, so the labels do not influence the rounding.
    """
    base = int(degrees.max()) + 1
    ordered = np.sort(other_ends.astype(np.int64) * base + degrees[ends])
    neighbours, end_degrees = np.divmod(ordered, base)
    # Behind an edge, among those of the same neighbour, are the edges of the same degree and then those of higher degree.
    neighbour_stops = np.cumsum(np.bincount(neighbours))[neighbours]
    is_last = np.diff(ordered, append=-1) != 0
    equal_stops = np.repeat(np.flatnonzero(is_last) + 1, np.diff(np.flatnonzero(is_last), prepend=-1))
    above = neighbour_stops - equal_stops
    overlaps = np.zeros(base, dtype=np.int64)
    np.add.at(overlaps, end_degrees, above)
    return float((overlaps[1:] / np.arange(1, base)).sum())


@takes_any_graph
def nodf(graph: BipartiteGraph) -> dict[str, Quantity]:
    """Nestedness by overlap and decreasing fill, NODF = 100 / pairs * sum over pairs with k_i > k_j of |N(i) & N(j)| / k_j.

    Almeida-Neto, Guimarães, Guimarães, Loyola and Ulrich (2008), "A consistent metric for nestedness analysis in ecological
    systems", Oikos 117, 1227-1239. Pairs are those of sources and those of targets, n_in (n_in - 1) / 2 + n_out (n_out - 1) / 2
    in all; neurons of equal degree contribute 0, so a biregular graph has NODF 0, and so does a complete one. NODF follows from
    the degrees to a large part: compare it with graphs of the same degrees.

    Returns:
        `nodf` and the same over the pairs of one side alone, `source_nodf` and `target_nodf`; in [0, 100]. Not defined
        without edges, or if there is no pair.

    >>> import scipy.sparse
    >>> nodf(scipy.sparse.csr_array([[1, 1, 1], [1, 1, 0], [1, 0, 0]]))["nodf"].value
    100.0
    """
    names = ("nodf", "source_nodf", "target_nodf")
    if graph.n_edges == 0:
        return dict.fromkeys(names, undefined("the graph has no edge"))
    sums = [
        paired_overlap(graph.src, graph.dst, graph.out_degrees),
        paired_overlap(graph.dst, graph.src, graph.in_degrees),
    ]
    pairs = [n * (n - 1) // 2 for n in (graph.n_in, graph.n_out)]
    parts = [(sum(sums), sum(pairs), "each side has"), (sums[0], pairs[0], "there is"), (sums[1], pairs[1], "there is")]
    return {
        name: defined(100.0 * total / count) if count else undefined(f"{words} only one {_KINDS[name]}")
        for name, (total, count, words) in zip(names, parts, strict=True)
    }


_KINDS = {"nodf": "neuron", "source_nodf": "source", "target_nodf": "target"}


@takes_any_graph
def spectral_nestedness(graph: BipartiteGraph) -> Quantity:
    """Spectral radius of the undirected adjacency, which is the largest singular value of the biadjacency.

    Staniczenko, Kopp and Allesina (2013), "The ghost of nestedness in ecological networks", Nature Communications 4, 1391: of
    all graphs of a given size and number of edges, the perfectly nested ones have the largest. It is at most sqrt(n_edges),
    with equality just for a complete bipartite graph and isolated neurons (Bhattacharya, Friedland and Peled 2008, "On the
    first eigenvalue of bipartite graphs", Electronic Journal of Combinatorics 15, R144), and at least n_edges / sqrt(n_in
    n_out). Not defined without edges.
    """
    if graph.n_edges == 0:
        return undefined("the graph has no edge")
    return defined(float(graph.singular_values[0]))


def network_nestedness(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """`nestedness` of the folded network, without NODF of single sides.

    Pairs of neurons in groups that share no neighbouring group count, with an overlap of 0.
    """
    quantities = on_folded(nestedness)(network, rng)
    return {name: quantity for name, quantity in quantities.items() if name not in ("source_nodf", "target_nodf")}


@takes_any_layer
def nestedness(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """NODF of the layer and of each side, and the spectral radius raw and against its largest possible value.

    Formulas and sources stand at `nodf` and `spectral_nestedness`.

    Returns:
        `nodf`, `source_nodf`, `target_nodf` in [0, 100]; `spectral_nestedness` in (0, sqrt(n_edges)];
        `spectral_nestedness_ratio`, which is divided by sqrt(n_edges) and lies in (0, 1]. Cost O(n_edges log n_edges).
    """
    radius = spectral_nestedness(graph)
    ratio = radius if radius.value is None else defined(radius.value / math.sqrt(graph.n_edges))
    return {**nodf(graph), "spectral_nestedness": radius, "spectral_nestedness_ratio": ratio}


MEASURE = Measure("nestedness", nestedness, network=network_nestedness)
