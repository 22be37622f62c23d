"""Strengths: sums of weights at every neuron, by sign. They exist only where a graph carries weights."""

import numpy as np

from .graphs import BipartiteGraph, FloatArray, IntArray, LayeredGraph
from .nulls import WEIGHT_NULL
from .quantity import Quantities, Quantity, defined, undefined
from .registry import EVERYTHING, register_measure

KINDS = ("positive", "negative", "absolute")
NO_WEIGHTS = "the graph has no weights"


def strengths(ends: IntArray, weights: FloatArray, n: int) -> dict[str, FloatArray]:
    """Strengths of the neurons of one side, by the sign of the weights.

    net s_i = sum_j w_ij; positive s+_i = sum_j max(w_ij, 0); negative s-_i = sum_j max(-w_ij, 0), a magnitude; absolute
    s_i = sum_j |w_ij|. Barrat et al. (2004), "The architecture of complex weighted networks", PNAS 101, 3747-3752;
    by sign as in Rubinov and Sporns (2011), "Weight-conserving characterization of complex functional brain networks",
    NeuroImage 56, 2068-2079.

    Args:
        ends: the neuron at this side's end of every edge, int32 of shape [n_edges].
        weights: float64 of shape [n_edges].
        n: number of neurons of the side.

    Returns:
        "net" and each of `KINDS`, float64 of shape [n]. Cost O(n + n_edges).
    """
    parts = {"net": weights, "positive": np.maximum(weights, 0.0), "negative": np.maximum(-weights, 0.0)}
    parts["absolute"] = np.abs(weights)
    return {kind: np.bincount(ends, part, minlength=n).astype(np.float64) for kind, part in parts.items()}


def strength_quantities(prefix: str, sums: dict[str, FloatArray] | None) -> dict[str, Quantity]:
    """Means and spreads of strengths.

    Args:
        prefix: what the names start with.
        sums: as `strengths` returns them, or None where there are no weights.

    Returns:
        `{prefix}_net_strength_mean`, `{prefix}_net_strength_sd` (its mean may be 0, so it has no CV), and for each of
        `KINDS` `{prefix}_{kind}_strength_mean` and `{prefix}_{kind}_strength_cv`; population standard deviations. A CV
        is not defined where every strength is 0, nothing is where there are no weights. Cost O(n).
    """
    names = [f"{prefix}_net_strength_mean", f"{prefix}_net_strength_sd"]
    names += [f"{prefix}_{kind}_strength_{statistic}" for kind in KINDS for statistic in ("mean", "cv")]
    if sums is None:
        return dict.fromkeys(names, undefined(NO_WEIGHTS))
    # Finite weights may add up to more than the largest number; that makes a quantity "not defined".
    with np.errstate(over="ignore", invalid="ignore"):
        quantities = [defined(sums["net"].mean()), defined(sums["net"].std())]
        for kind in KINDS:
            quantities += [defined(sums[kind].mean()), _cv(sums[kind])]
    return dict(zip(names, quantities, strict=True))


def _cv(values: FloatArray) -> Quantity:
    if not values.any():
        return undefined("every such strength is 0")
    # Scaled first, so that the squares of tiny or huge weights stay in range.
    scaled = values / values.max()
    return defined(scaled.std() / scaled.mean())


def _network_strength(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """Incoming plus outgoing weights of every neuron of the network."""
    if any(layer.weights is None for layer in network.layers):
        return strength_quantities("neuron", None)
    starts = np.concatenate([[0], np.cumsum(network.layer_sizes)])
    n = int(starts[-1])
    totals = dict.fromkeys(("net", *KINDS), np.zeros(n))
    for index, layer in enumerate(network.layers):
        assert layer.weights is not None
        for ends, start in ((layer.src, starts[index]), (layer.dst, starts[index + 1])):
            part = strengths(ends + start, layer.weights, n)
            totals = {kind: total + part[kind] for kind, total in totals.items()}
    return strength_quantities("neuron", totals)


_MEANS = frozenset(f"{prefix}_{kind}_strength_mean" for prefix in ("source", "target", "neuron") for kind in ("net", *KINDS))


@register_measure("strength", network=_network_strength, weighted=EVERYTHING, fixed_by={WEIGHT_NULL: _MEANS})
def layer_strengths(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Strengths of each side.

    Args:
        graph: the layer.
        rng: not used.

    Returns:
        The quantities of `strength_quantities` with the prefixes `source` and `target`; of a whole network those of all
        its neurons, incoming and outgoing weights together, with the prefix `neuron`.
    """
    result: dict[str, Quantity] = {}
    for side, ends, n in (("source", graph.src, graph.n_in), ("target", graph.dst, graph.n_out)):
        sums = None if graph.weights is None else strengths(ends, graph.weights, n)
        result |= strength_quantities(side, sums)
    return result
