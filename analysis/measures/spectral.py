"""Singular values of the biadjacency and of its normalised form, beside the Ramanujan bound."""

import math

import numpy as np
from scipy import sparse

from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.graph.singular import largest_singular_values
from analysis.graph.values import LayeredGraph
from analysis.measures.measure import Measure, on_folded, takes_any_layer


@takes_any_graph
def normalised_biadjacency(graph: BipartiteGraph) -> sparse.csr_array:
    """A_ji / sqrt(d_j k_i) over the neurons that have edges; its largest singular value is 1, once for each component.

    Dhillon (2001), "Co-clustering documents and words using bipartite spectral graph partitioning", KDD, section 4. CSR
    matrix of float64, targets as rows.
    """
    rows, columns = graph.in_degrees > 0, graph.out_degrees > 0
    place_in_rows, place_in_columns = np.cumsum(rows) - 1, np.cumsum(columns) - 1
    data = 1.0 / np.sqrt(graph.in_degrees[graph.dst].astype(np.float64) * graph.out_degrees[graph.src])
    ends = (place_in_rows[graph.dst], place_in_columns[graph.src])
    return sparse.csr_array((data, ends), shape=(int(rows.sum()), int(columns.sum())))


@takes_any_graph
def ramanujan_bound(graph: BipartiteGraph) -> Quantity:
    """sqrt(k - 1) + sqrt(d - 1), where k and d are the mean degrees of sources and targets, isolated neurons included.

    A connected (k, d)-biregular graph is Ramanujan if its second singular value is at most this: no infinite family can
    do better (Feng and Li 1996, "Spectra of hypergraphs and applications", Journal of Number Theory 60, 1-22; Marcus,
    Spielman and Srivastava 2015, "Interlacing families I", Annals of Mathematics 182, 307-325). For a graph that is not
    biregular the bound of the mean degrees is a proxy, and nothing is proved by falling below it. Not defined if a mean degree
    is below 1.
    """
    k, d = graph.n_edges / graph.n_in, graph.n_edges / graph.n_out
    if min(k, d) < 1:
        return undefined("a side has a mean degree below 1")
    return defined(math.sqrt(k - 1) + math.sqrt(d - 1))


def _singular_values(graph: BipartiteGraph) -> list[Quantity]:
    """The three largest; those that a matrix of this shape does not have are not defined."""
    values = graph.singular_values
    count = values.size
    missing = undefined(f"the smaller side has {count} neuron{'s' if count > 1 else ''}")
    return [defined(value) for value in values] + [missing] * (3 - count)


def _normalised_second(graph: BipartiteGraph, rng: np.random.Generator) -> Quantity:
    matrix = normalised_biadjacency(graph)
    if min(matrix.shape) < 2:
        return undefined("a side has fewer than 2 neurons with edges")
    # The singular vector of the 1 is sqrt(degrees), on the smaller side.
    rows, columns = graph.in_degrees[graph.in_degrees > 0], graph.out_degrees[graph.out_degrees > 0]
    leading = np.sqrt(rows if rows.size <= columns.size else columns)
    # Rounding may put the 1 of a second component a little above 1.
    return defined(min(1.0, largest_singular_values(matrix, 2, rng, leading)[1]))


def _gap(first: Quantity, second: Quantity) -> Quantity:
    if first.value is None or second.value is None:
        return second if first.value is not None else first
    return defined(first.value - second.value)


def _ratio(numerator: Quantity, divisor: Quantity, reason: str) -> Quantity:
    if numerator.value is None or divisor.value is None:
        return numerator if numerator.value is None else divisor
    return undefined(reason) if divisor.value == 0 else defined(numerator.value / divisor.value)


_BOUND = frozenset({"ramanujan_bound"})


@takes_any_layer
def spectral(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Three largest singular values, their gap, the same for the normalised biadjacency, and the Ramanujan bound.

    Singular values are at most sqrt(max k * max d), and 0 if the rank is smaller than their number. The normalised gap 1 - s2
    is in [0, 1] and 0 if the graph has several components with edges; by Cheeger's inequality a large one means that no small
    cut exists (Chung 1997, "Spectral graph theory", chapter 2). A random biregular graph comes close to the bound, so the
    ratio says something only beside a null model. Of a whole network the matrix joins the groups of even number to those of
    odd number.

    Returns:
        `singular_value_1`, `_2`, `_3`; `spectral_gap` s1 - s2, at least 0; `singular_value_ratio` s2 / s1 in [0, 1];
        `normalised_singular_value_2` and `normalised_spectral_gap` in [0, 1]; `ramanujan_bound` and `ramanujan_ratio` s2
        / bound, at least 0. About 1 s for 4096 x 4096 with 10^6 edges.
    """
    values = _singular_values(graph)
    normalised, bound = _normalised_second(graph, rng), ramanujan_bound(graph)
    return {
        **{f"singular_value_{index}": value for index, value in enumerate(values, 1)},
        "spectral_gap": _gap(values[0], values[1]),
        "singular_value_ratio": _ratio(values[1], values[0], "the graph has no edge"),
        "normalised_singular_value_2": normalised,
        "normalised_spectral_gap": _gap(defined(1.0), normalised),
        "ramanujan_bound": bound,
        "ramanujan_ratio": _ratio(values[1], bound, "the bound is 0"),
    }


def network_spectral(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """`spectral` of the folded network, without the bound if several edges may join the same two neurons.

    They are one edge of the folded network, so that its mean degrees, and the bound, would depend on which edges coincide.
    """
    quantities = on_folded(spectral)(network, rng)
    if not (network.is_bipartite and network.may_repeat_pairs):
        return quantities
    missing = undefined("several edges may join the same two neurons, so that the bound would depend on where they lie")
    return {**quantities, "ramanujan_bound": missing, "ramanujan_ratio": missing}


MEASURE = Measure("spectral", spectral, network=network_spectral, fixed_by={"erdos_renyi": _BOUND, "fixed_degrees": _BOUND})
