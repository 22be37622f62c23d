"""What a measure is: a name, what it computes on a layer and on a network, and what null models leave fixed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import numpy as np

from analysis.base.checks import as_generator
from analysis.base.quantity import Quantities, undefined
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import as_bipartite
from analysis.graph.values import NOT_BIPARTITE, LayeredGraph, missing_weights
from analysis.nulls.models import WEIGHT_NULL

LayerFunction = Callable[[BipartiteGraph, np.random.Generator], Quantities]
AnyLayerFunction = Callable[[Any, int | np.random.Generator], Quantities]
NetworkFunction = Callable[[LayeredGraph, np.random.Generator], Quantities]

EVERYTHING = frozenset({"*"})

_NO_EDGES = BipartiteGraph(1, 1, np.empty(0, np.int32), np.empty(0, np.int32))
"""A measure has the same quantities on every graph; this one tells their names."""


def takes_any_layer(function: LayerFunction) -> AnyLayerFunction:
    """Let a measure of one layer take whatever `as_bipartite` takes, and a seed or a generator."""

    @wraps(function)
    def measure(graph: Any, rng: int | np.random.Generator) -> Quantities:
        return function(as_bipartite(graph), as_generator(rng))

    return measure


def on_folded(layer: AnyLayerFunction, *, needs_weights: bool = False) -> NetworkFunction:
    """The same measure of a whole network as one bipartite graph (`LayeredGraph.folded`).

    All its quantities are not defined if the network is not bipartite. If it needs weights and a layer has none, the reason
    names that layer.
    """

    def measure(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
        if not network.is_bipartite:
            return dict.fromkeys(layer(_NO_EDGES, rng), undefined(NOT_BIPARTITE))
        quantities, reason = layer(network.folded, rng), missing_weights(network.layers)
        return quantities if reason is None or not needs_weights else dict.fromkeys(quantities, undefined(reason))

    return measure


@dataclass(frozen=True)
class Measure:
    """A named family of quantities.

    Attributes:
        name: the name in the registry.
        layer: computes the quantities of one layer; see `takes_any_layer`.
        network: computes those of a network of several layers, or None if the measure has no meaning there.
        fixed_by: for a null model, the quantities that it keeps by construction (`EVERYTHING` for all).
        under_nulls: False for a measure that is computed on the observed graph only.
        null_edge_limit: on more edges than this, null distributions are computed only on request; None for no limit.
        governed_by: the quantities that may end its replicates early (see `analysis.report.replicates.is_settled`); empty
            for a measure that always runs through.
        weighted: the quantities that depend on the weights (`EVERYTHING` for all). They are compared with the same edges
            under permuted weights, all others with random wirings.
    """

    name: str
    layer: AnyLayerFunction
    network: NetworkFunction | None = None
    fixed_by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    under_nulls: bool = True
    null_edge_limit: int | None = None
    governed_by: frozenset[str] = frozenset()
    weighted: frozenset[str] = frozenset()

    def depends_on_weights(self, quantity: str) -> bool:
        """Whether the weights enter this quantity."""
        return self.weighted == EVERYTHING or quantity in self.weighted

    def is_fixed(self, null: str, quantity: str) -> bool:
        """Whether every replicate of the null has the same value of this quantity as the observed graph."""
        kept = self.fixed_by.get(null, frozenset())
        if null == WEIGHT_NULL and not self.depends_on_weights(quantity):
            return True
        return kept == EVERYTHING or quantity in kept

    def is_computed_under(self, null: str) -> bool:
        """Whether replicates of the null have to be measured at all."""
        is_concerned = bool(self.weighted) if null == WEIGHT_NULL else self.weighted != EVERYTHING
        return self.under_nulls and is_concerned and self.fixed_by.get(null) != EVERYTHING

    def is_on_request(self, n_edges: int) -> bool:
        """Whether a graph of so many edges has null distributions of this measure only if they are asked for."""
        return self.under_nulls and self.null_edge_limit is not None and n_edges > self.null_edge_limit
