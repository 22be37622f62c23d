"""The null models by name, and a replicate of a whole network.

Generic rewiring of an undirected graph would join neurons of one side; these work on the biadjacency and cannot.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from analysis.base.checks import as_generator, shown
from analysis.base.errors import AnalysisError
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import as_layered, takes_any_graph
from analysis.graph.values import LayeredGraph
from analysis.nulls.switching import SWAPS_PER_EDGE, fixed_degrees

Null = Callable[[BipartiteGraph, np.random.Generator], BipartiteGraph]


@takes_any_graph
def erdos_renyi(graph: BipartiteGraph, rng: int | np.random.Generator) -> BipartiteGraph:
    """A uniformly random graph with the same sides and the same number of edges (the bipartite G(n, m)), without weights.

    >>> import networkx
    >>> erdos_renyi(networkx.complete_bipartite_graph(4, 3), rng=0).n_edges
    12
    """
    keys = as_generator(rng).choice(graph.n_in * graph.n_out, size=graph.n_edges, replace=False, shuffle=False)
    return BipartiteGraph(graph.n_in, graph.n_out, (keys % graph.n_in).astype(np.int32), (keys // graph.n_in).astype(np.int32))


@takes_any_graph
def permuted_weights(graph: BipartiteGraph, rng: int | np.random.Generator) -> BipartiteGraph:
    """The same edges, with their weights permuted uniformly at random.

    It keeps every degree and the multiset of weights, and so isolates what depends on where the large weights lie. An
    AnalysisError if the graph has no weights.
    """
    if graph.weights is None:
        raise AnalysisError("graph has no weights; permuting them needs a graph with a weight for every edge")
    weights = as_generator(rng).permutation(np.array(graph.weights))  # numpy refuses a read-only array without entries
    return BipartiteGraph(graph.n_in, graph.n_out, graph.src, graph.dst, weights, graph.n_pairs)


WIRING_NULLS = ("erdos_renyi", "fixed_degrees")
"""Null models of the wiring; they draw graphs without weights."""


WEIGHT_NULL = "permuted_weights"
"""The null model of where the weights lie; it keeps the wiring."""


NULL_MODELS: Mapping[str, Null] = MappingProxyType(
    {"erdos_renyi": erdos_renyi, "fixed_degrees": fixed_degrees, WEIGHT_NULL: permuted_weights}
)


def null_models_of(network: LayeredGraph) -> tuple[str, ...]:
    """`WIRING_NULLS`, and `WEIGHT_NULL` if every layer of the network has weights."""
    has_weights = all(layer.weights is not None for layer in network.layers)
    return (*WIRING_NULLS, WEIGHT_NULL) if has_weights else WIRING_NULLS


def randomise_layers(
    network: LayeredGraph, null: str, rng: int | np.random.Generator, swaps_per_edge: int = SWAPS_PER_EDGE
) -> LayeredGraph:
    """One replicate of a network: every layer is randomised by itself.

    Args:
        network: the layers to match.
        null: a name in `NULL_MODELS`.
        rng: seed or generator.
        swaps_per_edge: for "fixed_degrees".

    Returns:
        A network of the same layer sizes, wired as this one, with the same links.

    Raises:
        AnalysisError: the null model is unknown, or permutes weights and a layer has none.
    """
    network = as_layered(network)
    if not isinstance(null, str) or null not in NULL_MODELS:
        raise AnalysisError(f"null model {shown(null)} is unknown; choose from {', '.join(NULL_MODELS)}")
    generator = as_generator(rng)
    model: Null = partial(fixed_degrees, swaps_per_edge=swaps_per_edge) if null == "fixed_degrees" else NULL_MODELS[null]
    return network.with_layers([model(layer, generator) for layer in network.layers])
