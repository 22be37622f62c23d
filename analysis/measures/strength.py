"""Strengths: sums of weights at every neuron, by sign."""

import numpy as np

from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import FloatArray, IntArray, LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.values import NO_WEIGHTS, LayeredGraph, missing_weights
from analysis.measures.measure import EVERYTHING, Measure, takes_any_layer
from analysis.nulls.models import WEIGHT_NULL

KINDS = ("positive", "negative", "absolute")
TOO_LARGE = "the sum of the weights exceeds the largest number"


def strengths(ends: IntArray | LongArray, weights: FloatArray, n: int) -> dict[str, FloatArray]:
    """Strengths of the neurons of one side, by the sign of the weights: "net" and each of `KINDS`, float64 of shape [n].

    net s_i = sum_j w_ij; positive s+_i = sum_j max(w_ij, 0); negative s-_i = sum_j max(-w_ij, 0), a magnitude; absolute
    s_i = sum_j |w_ij|. Barrat et al. (2004), "The architecture of complex weighted networks", PNAS 101, 3747-3752; by sign as
    in Rubinov and Sporns (2011), "Weight-conserving characterization of complex functional brain networks", NeuroImage 56,
    2068-2079. `ends` is the neuron at this side's end of every edge.
    """
    parts = {"net": weights, "positive": np.maximum(weights, 0.0), "negative": np.maximum(-weights, 0.0)}
    parts["absolute"] = np.abs(weights)
    return {kind: np.bincount(ends, part, minlength=n).astype(np.float64) for kind, part in parts.items()}


def strength_quantities(prefix: str, sums: dict[str, FloatArray] | None, without: str = NO_WEIGHTS) -> dict[str, Quantity]:
    """Means and spreads of strengths, not defined (for the reason `without`) if there are none.

    `{prefix}_net_strength_mean`, `{prefix}_net_strength_sd` (its mean may be 0, so it has no CV), and for each of `KINDS`
    `{prefix}_{kind}_strength_mean` and `{prefix}_{kind}_strength_cv`, which is not defined if every strength is 0; population
    standard deviations.
    """
    names = [f"{prefix}_net_strength_mean", f"{prefix}_net_strength_sd"]
    names += [f"{prefix}_{kind}_strength_{statistic}" for kind in KINDS for statistic in ("mean", "cv")]
    if sums is None:
        return dict.fromkeys(names, undefined(without))
    # Finite weights may add up to more than the largest number; that makes a quantity "not defined".
    with np.errstate(over="ignore", invalid="ignore"):
        quantities = [_if_finite(sums["net"].mean()), _sd(sums["net"])]
        for kind in KINDS:
            quantities += [_if_finite(sums[kind].mean()), _cv(sums[kind])]
    return dict(zip(names, quantities, strict=True))


def _if_finite(value: float) -> Quantity:
    return defined(value) if np.isfinite(value) else undefined(TOO_LARGE)


def _sd(values: FloatArray) -> Quantity:
    # Scaled first, so that the squares of tiny or huge weights stay in range.
    scale = np.abs(values).max()
    return _if_finite((values / scale).std() * scale) if scale else defined(0.0)


def _cv(values: FloatArray) -> Quantity:
    if not values.any():
        return undefined("every such strength is 0")
    scaled = values / values.max()
    return _if_finite(scaled.std() / scaled.mean())


def _network_strength(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """Strengths of all neurons, incoming plus outgoing weights without links, with the prefix `neuron`."""
    reason = missing_weights(network.layers)
    if reason is not None:
        return strength_quantities("neuron", None, reason)
    totals = dict.fromkeys(("net", *KINDS), np.zeros(network.n_neurons))
    for layer, (sources, targets) in zip(network.layers, network.ends, strict=True):
        assert layer.weights is not None
        for ends in (sources[layer.src], targets[layer.dst]):
            part = strengths(ends, layer.weights, network.n_neurons)
            with np.errstate(over="ignore", invalid="ignore"):
                totals = {kind: total + part[kind] for kind, total in totals.items()}
    return strength_quantities("neuron", totals)


_MEANS = frozenset(f"{prefix}_{kind}_strength_mean" for prefix in ("source", "target", "neuron") for kind in ("net", *KINDS))


@takes_any_layer
def layer_strengths(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Strengths s_i = sum_j w_ij of each side, and the same over max(w, 0), max(-w, 0) and |w|.

    Formulas and sources stand at `strengths`; the quantities are those of `strength_quantities` with the prefixes `source` and
    `target`. Net means are any number, all others at least 0, a CV at most sqrt(n - 1) for n neurons.
    """
    result: dict[str, Quantity] = {}
    for side, ends, n in (("source", graph.src, graph.n_in), ("target", graph.dst, graph.n_out)):
        sums = None if graph.weights is None else strengths(ends, graph.weights, n)
        result |= strength_quantities(side, sums)
    return result


MEASURE = Measure("strength", layer_strengths, network=_network_strength, weighted=EVERYTHING, fixed_by={WEIGHT_NULL: _MEANS})
