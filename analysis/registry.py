"""The registry of measures: a name, what it computes on a layer and on a whole network, and what null models leave
fixed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from analysis.base.checks import as_generator
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantities
from analysis.graph.intake import as_bipartite
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.nulls import WEIGHT_NULL

LayerFunction = Callable[[BipartiteGraph, np.random.Generator], Quantities]
AnyLayerFunction = Callable[[Any, int | np.random.Generator], Quantities]
NetworkFunction = Callable[[LayeredGraph, np.random.Generator], Quantities]

EVERYTHING = frozenset({"*"})

Tier = Literal["must", "second", "third"]

TIERS: Mapping[str, Tier] = MappingProxyType(
    {
        "degree": "must",
        "clustering": "must",
        "mixing": "must",
        "paths": "must",
        "power_law": "must",
        "reachability": "must",
        "small_world": "must",
        "spectral": "must",
        "strength": "must",
        "persistence": "third",
        "weighted_clustering": "third",
        "weighted_opsahl": "third",
    }
)
"""How much a report needs each built-in measure; the others are second. Null distributions are computed by default for
the must tier and for what costs no more than it: only `ON_REQUEST_ABOVE` is excepted. (The small-world indices are in
the must tier as they are made of must-tier replicates.)"""

ON_REQUEST_ABOVE: Mapping[str, int] = MappingProxyType({"community": 2000, "opsahl": 2000, "weighted_opsahl": 2000})
"""Expensive measures: under null models by default on up to this many edges, above that only on request."""

GOVERNED_BY: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "community": frozenset({"barber_modularity"}),
        "opsahl": frozenset({"source_opsahl_clustering", "target_opsahl_clustering"}),
    }
)
"""The quantities that decide when the replicates of an expensive measure are enough; see `replicates.is_settled`."""


@dataclass(frozen=True)
class Measure:
    """A named family of quantities.

    Attributes:
        name: the name in the registry.
        layer: computes the quantities of one layer.
        network: computes those of a network of several layers, or None where the measure has no meaning there.
        fixed_by: for a null model, the quantities that it keeps by construction (`EVERYTHING` for all).
        under_nulls: False for a measure that is computed on the observed graph only.
        tier: "must", "second" or "third": how much a report needs it.
        null_edge_limit: on more edges than this, null distributions are computed only on request; None for no limit.
        governed_by: the quantities that may end its replicates early; empty for a measure that always runs through.
        weighted: the quantities that depend on the weights (`EVERYTHING` for all). They are compared with the same edges
            under permuted weights, all others with random wirings.
    """

    name: str
    layer: AnyLayerFunction
    network: NetworkFunction | None = None
    fixed_by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    under_nulls: bool = True
    tier: Tier = "second"
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
        """Whether a graph of so many edges has null distributions of this measure only where they are asked for."""
        return self.under_nulls and self.null_edge_limit is not None and n_edges > self.null_edge_limit


_MEASURES: dict[str, Measure] = {}


def register_measure(
    name: str,
    *,
    network: NetworkFunction | None = None,
    fixed_by: Mapping[str, frozenset[str]] | None = None,
    under_nulls: bool = True,
    tier: Tier | None = None,
    null_edge_limit: int | None = None,
    weighted: frozenset[str] = frozenset(),
) -> Callable[[LayerFunction], AnyLayerFunction]:
    """Decorator that adds a measure under a new name.

    Args:
        name: the name; it must be free.
        network: the same measure for a whole network, if it has a meaning there.
        fixed_by: names of null models, and the quantities that they keep by construction.
        under_nulls: whether the measure is repeated on null replicates.
        tier: "must", "second" or "third"; None for that of `TIERS`, "second" where it has none.
        null_edge_limit: largest number of edges with null distributions by default; None for that of
            `ON_REQUEST_ABOVE`, no limit where it has none.
        weighted: the quantities that depend on the weights, or `EVERYTHING`.

    Returns:
        A decorator of a function `(BipartiteGraph, Generator) -> {quantity name: Quantity}`. What it returns takes any
        single layer that `analysis.graph.intake.as_bipartite` takes, and a seed or a generator.

    Raises:
        AnalysisError: the name is taken.
    """

    def add(function: LayerFunction) -> AnyLayerFunction:
        @wraps(function)
        def measure(graph: Any, rng: int | np.random.Generator) -> Quantities:
            return function(as_bipartite(graph), as_generator(rng))

        if name in _MEASURES:
            raise AnalysisError(f"measure {name!r} is registered already; choose another name")
        _MEASURES[name] = Measure(
            name,
            measure,
            network,
            dict(fixed_by or {}),
            under_nulls,
            tier or TIERS.get(name, "second"),
            ON_REQUEST_ABOVE.get(name) if null_edge_limit is None else null_edge_limit,
            GOVERNED_BY.get(name, frozenset()),
            weighted,
        )
        return measure

    return add


def measure_names() -> tuple[str, ...]:
    """Names of all measures in the order in which they were registered."""
    return tuple(_MEASURES)


def get_measure(name: str) -> Measure:
    """Look up a measure.

    Args:
        name: one of `measure_names()`.

    Returns:
        The measure.

    Raises:
        AnalysisError: the name is unknown; the sentence lists the choices.
    """
    if not isinstance(name, str) or name not in _MEASURES:
        raise AnalysisError(f"measure {name!r} is unknown; choose from {', '.join(_MEASURES)}")
    return _MEASURES[name]


def select_measures(names: Iterable[str] | None) -> tuple[Measure, ...]:
    """Several measures at once.

    Args:
        names: their names, or None for all.

    Returns:
        The measures in the order given, each once.

    Raises:
        AnalysisError: a name is unknown, or no sequence of names was passed.
    """
    if names is None:
        return tuple(_MEASURES.values())
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise AnalysisError(f"measures is {names!r}; a sequence of names from {', '.join(_MEASURES)} is needed")
    return tuple({measure.name: measure for measure in map(get_measure, names)}.values())
