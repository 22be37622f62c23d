"""Neural persistence (Rieck et al. 2019)."""

import math

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import minimum_spanning_tree

from analysis.base.checks import as_real, shown
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import FloatArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.graph.values import NO_WEIGHTS, LayeredGraph, missing_weights
from analysis.measures.measure import EVERYTHING, Measure, takes_any_layer


def spanning_forest_weights(graph: BipartiteGraph, magnitudes: FloatArray) -> FloatArray:
    """Magnitudes of the edges of a maximum spanning forest, in descending order.

    Every maximum spanning forest has the same ones. The search minimises the ranks of the edges rather than weights: ranks are
    positive (to scipy a 0 is no edge) and exact.
    """
    order = np.argsort(-magnitudes, kind="stable")
    ranks = np.empty(graph.n_edges)
    ranks[order] = np.arange(1, graph.n_edges + 1)
    n = graph.n_neurons
    ends = (graph.src.astype(np.int64), graph.dst.astype(np.int64) + graph.n_in)
    forest = minimum_spanning_tree(sparse.csr_array((ranks, ends), shape=(n, n)))
    return magnitudes[order[np.sort(forest.data).astype(np.int64) - 1]]


@takes_any_graph
def neural_persistence(graph: BipartiteGraph, largest: float, p: float = 2.0) -> tuple[float, float]:
    """The p-norm of 1 - w over the edges of a maximum spanning forest with weights w = |weight| / largest, and its bound.

    Rieck et al. (2019), "Neural persistence: a complexity measure for deep neural networks using algebraic topology",
    ICLR (arXiv:1812.09764), definition 2: edges enter from the largest w down, every neuron is a component that is born at
    1, and the component that an edge joins to another dies at the edge's w. The bound is that of theorem 1, (phi_max -
    phi_min) (n - 1)^(1/p) for n neurons, where phi_min is the smallest w and phi_max is 1, at which neurons are born
    (the paper's maximum over the layer is no bound if the largest weight is in another layer). Deviations: a sparse layer need
    not become connected, and components that never die contribute nothing, whereas the authors' program lets one die at 0.

    Args:
        graph: one layer with weights.
        largest: what becomes 1, above 0 and at least the largest magnitude.
        p: order of the norm, at least 1.

    Returns:
        The norm and its bound; 0 <= norm <= bound. Cost O(n_edges log n_edges).

    Raises:
        AnalysisError: no weights, or `largest` or `p` out of range.
    """
    if graph.weights is None:
        raise AnalysisError(f"{NO_WEIGHTS}; neural persistence needs them")
    if not (0 < as_real(largest) < math.inf and _largest(graph) <= largest):
        raise AnalysisError(
            f"largest is {shown(largest)}; it must be finite, above 0 and at least the largest magnitude, {_largest(graph)}"
        )
    if not 1 <= as_real(p) < math.inf:
        raise AnalysisError(f"p is {shown(p)}; it must be finite and at least 1")
    scaled = np.abs(graph.weights) / largest
    lifetimes = 1.0 - spanning_forest_weights(graph, scaled)
    bound = (1.0 - scaled.min(initial=1.0)) * (graph.n_neurons - 1) ** (1.0 / p)
    return float((lifetimes**p).sum() ** (1.0 / p)), float(bound)


_NAMES = ("neural_persistence", "neural_persistence_normalised")


def _reason_for_none(layers: tuple[BipartiteGraph, ...]) -> str | None:
    reason = missing_weights(layers)
    if reason is not None:
        return reason
    if not any(layer.n_edges for layer in layers):
        return "the graph has no edge"
    return None if any(np.any(layer.weights) for layer in layers) else "every weight is 0"


def _largest(graph: BipartiteGraph) -> float:
    return 0.0 if graph.weights is None else float(np.abs(graph.weights).max(initial=0.0))


def _ratio(norm: float, bound: float) -> Quantity:
    return defined(min(1.0, norm / bound)) if bound else undefined("all weights have the same magnitude")


def network_persistence(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """Means over the layers, with all weights divided by the largest magnitude in the network (the paper's definition 4).

    Layers without edges do not enter the means, nor layers in which all weights have the largest magnitude the normalised one.
    """
    reason = _reason_for_none(network.layers)
    if reason is not None:
        return dict.fromkeys(_NAMES, undefined(reason))
    largest = max(_largest(layer) for layer in network.layers)
    norms = [neural_persistence(layer, largest) for layer in network.layers if layer.n_edges]
    ratios = [min(1.0, norm / bound) for norm, bound in norms if bound]
    normalised = defined(math.fsum(ratios) / len(ratios)) if ratios else _ratio(0.0, 0.0)
    return dict(zip(_NAMES, (defined(math.fsum(norm for norm, _ in norms) / len(norms)), normalised), strict=True))


@takes_any_layer
def persistence(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Neural persistence of the layer for p = 2, with its weights divided by its own largest magnitude.

    Returns:
        `neural_persistence` in [0, sqrt(n - 1)] for n neurons, and `neural_persistence_normalised`, divided by its bound,
        in [0, 1]; 0 if the weights that join the parts are the largest, near 1 if few weights are large and the others alike.
        Not defined without weights.
    """
    reason = _reason_for_none((graph,))
    if reason is not None:
        return dict.fromkeys(_NAMES, undefined(reason))
    norm, bound = neural_persistence(graph, _largest(graph))
    return dict(zip(_NAMES, (defined(norm), _ratio(norm, bound)), strict=True))


MEASURE = Measure("persistence", persistence, network=network_persistence, weighted=EVERYTHING)
