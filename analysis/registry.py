"""The registry of measures: a name, what it computes on a layer and on a whole network, and what null models leave
fixed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .errors import AnalysisError
from .graphs import BipartiteGraph, LayeredGraph
from .quantity import Quantities

LayerFunction = Callable[[BipartiteGraph, np.random.Generator], Quantities]
NetworkFunction = Callable[[LayeredGraph, np.random.Generator], Quantities]

EVERYTHING = frozenset({"*"})


@dataclass(frozen=True)
class Measure:
    """A named family of quantities.

    Attributes:
        name: the name in the registry.
        layer: computes the quantities of one layer.
        network: computes those of a network of several layers, or None where the measure has no meaning there.
        fixed_by: for a null model, the quantities that it keeps by construction (`EVERYTHING` for all).
        under_nulls: False for a measure that is computed on the observed graph only.
    """

    name: str
    layer: LayerFunction
    network: NetworkFunction | None = None
    fixed_by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    under_nulls: bool = True

    def is_fixed(self, null: str, quantity: str) -> bool:
        """Whether every replicate of the null has the same value of this quantity as the observed graph."""
        kept = self.fixed_by.get(null, frozenset())
        return kept == EVERYTHING or quantity in kept

    def is_computed_under(self, null: str) -> bool:
        """Whether replicates of the null have to be measured at all."""
        return self.under_nulls and self.fixed_by.get(null) != EVERYTHING


_MEASURES: dict[str, Measure] = {}


def register_measure(
    name: str,
    *,
    network: NetworkFunction | None = None,
    fixed_by: Mapping[str, frozenset[str]] | None = None,
    under_nulls: bool = True,
) -> Callable[[LayerFunction], LayerFunction]:
    """Decorator that adds a measure under a new name.

    Args:
        name: the name; it must be free.
        network: the same measure for a whole network, if it has a meaning there.
        fixed_by: names of null models, and the quantities that they keep by construction.
        under_nulls: whether the measure is repeated on null replicates.

    Returns:
        A decorator that returns its function, `(BipartiteGraph, Generator) -> {quantity name: Quantity}`, unchanged.

    Raises:
        AnalysisError: the name is taken.
    """

    def add(function: LayerFunction) -> LayerFunction:
        if name in _MEASURES:
            raise AnalysisError(f"measure {name!r} is registered already; choose another name")
        _MEASURES[name] = Measure(name, function, network, dict(fixed_by or {}), under_nulls)
        return function

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
    if name not in _MEASURES:
        raise AnalysisError(f"measure {name!r} is unknown; choose from {', '.join(_MEASURES)}")
    return _MEASURES[name]


def select_measures(names: Iterable[str] | None) -> tuple[Measure, ...]:
    """Several measures at once.

    Args:
        names: their names, or None for all.

    Returns:
        The measures in the order given.

    Raises:
        AnalysisError: a name is unknown, or a single string was passed.
    """
    if isinstance(names, str):
        raise AnalysisError(f"measures is the string {names!r}; a sequence of names from {', '.join(_MEASURES)} is needed")
    return tuple(get_measure(name) for name in (measure_names() if names is None else names))
