"""Degrees of both sides, density, and how much more unequal the degrees are than chance makes them."""

import math

import numpy as np

from .graphs import BipartiteGraph, LayeredGraph, LongArray
from .quantity import Quantities, Quantity, defined, undefined
from .registry import EVERYTHING, register_measure

SIZE_ONLY = frozenset({"edges", "density", "source_degree_mean", "target_degree_mean", "degree_mean"})


def coefficient_of_variation(degrees: LongArray) -> Quantity:
    """CV = sd(k) / mean(k), with the population standard deviation; in [0, sqrt(n - 1)], 0 for equal degrees.

    Args:
        degrees: int64 of shape [n], n >= 1.

    Returns:
        The quantity; not defined where every degree is 0. Cost O(n).
    """
    mean = degrees.mean()
    return undefined("every degree is 0") if mean == 0 else defined(degrees.std() / mean)


def binomial_cv(n_opposite: int, density: float) -> Quantity:
    """CV of a degree that is Binomial(n_opposite, density): sqrt((1 - density) / (n_opposite * density)).

    Args:
        n_opposite: number of neurons on the other side.
        density: edges / (n_in * n_out).

    Returns:
        The quantity, at least 0; not defined at density 0. Cost O(1).
    """
    if density == 0:
        return undefined("the graph has no edge")
    return defined(math.sqrt((1.0 - density) / (n_opposite * density)))


def degree_quantities(prefix: str, degrees: LongArray) -> dict[str, Quantity]:
    """Mean, maximum, CV and fraction of zeros of one set of degrees.

    Args:
        prefix: what the names of the quantities start with.
        degrees: int64 of shape [n], n >= 1.

    Returns:
        `{prefix}_mean`, `{prefix}_max`, `{prefix}_cv` and `{prefix}_zero_fraction` (in [0, 1]). Cost O(n).
    """
    return {
        f"{prefix}_mean": defined(degrees.mean()),
        f"{prefix}_max": defined(degrees.max()),
        f"{prefix}_cv": coefficient_of_variation(degrees),
        f"{prefix}_zero_fraction": defined(np.count_nonzero(degrees == 0) / degrees.size),
    }


def _cv_excess(cv: Quantity, expected: Quantity) -> Quantity:
    if cv.value is None:
        return cv
    return expected if expected.value is None else defined(cv.value - expected.value)


def network_degrees(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """Degrees (incoming plus outgoing edges) of all neurons of a network together; no binomial reference, as groups
    differ.

    Args:
        network: the layers.
        rng: not used.

    Returns:
        `edges`, `density` (edges divided by the pairs in consecutive groups) and the four numbers of
        `degree_quantities`.
    """
    density = network.n_edges / sum(layer.n_pairs for layer in network.layers)
    counts = {"edges": defined(network.n_edges), "density": defined(density)}
    return counts | degree_quantities("degree", network.degrees)


@register_measure("degree", network=network_degrees, fixed_by={"erdos_renyi": SIZE_ONLY, "fixed_degrees": EVERYTHING})
def layer_degrees(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Number of edges, density, and for each side the mean, maximum, CV, CV above the binomial's, and fraction of
    zeros.

    The CV excess of a side is its CV minus that of Binomial(n_opposite, density): about 0 for a uniformly random layer,
    below 0 for a more regular one, above 0 for a more heterogeneous one.

    Args:
        graph: the layer.
        rng: not used.

    Returns:
        The quantities, prefixed `source_degree` and `target_degree`. Cost O(n_in + n_out + n_edges).
    """
    result = {"edges": defined(graph.n_edges), "density": defined(graph.density)}
    sides = (("source_degree", graph.out_degrees, graph.n_out), ("target_degree", graph.in_degrees, graph.n_in))
    for prefix, degrees, n_opposite in sides:
        side = degree_quantities(prefix, degrees)
        side[f"{prefix}_cv_excess"] = _cv_excess(side[f"{prefix}_cv"], binomial_cv(n_opposite, graph.density))
        result |= side
    return result
