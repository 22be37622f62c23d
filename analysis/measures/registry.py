"""The measures of a report, by name: the built-in ones in a fixed order, then those that a user registers."""

from collections.abc import Callable, Iterable, Mapping

from analysis.base.checks import is_iterable, shown
from analysis.base.errors import AnalysisError
from analysis.measures import (
    clustering,
    community,
    cores,
    degree,
    degree_correlation,
    nestedness,
    opsahl,
    paths,
    persistence,
    power_law,
    reachability,
    small_world,
    spectral,
    strength,
    weighted_clustering,
)
from analysis.measures.measure import AnyLayerFunction, LayerFunction, Measure, NetworkFunction, takes_any_layer

BUILT_IN = (
    degree.MEASURE,
    clustering.MEASURE,
    community.MEASURE,
    cores.MEASURE,
    paths.MEASURE,
    small_world.MEASURE,
    degree_correlation.MEASURE,
    nestedness.MEASURE,
    opsahl.MEASURE,
    persistence.MEASURE,
    power_law.FIT,
    reachability.MEASURE,
    spectral.MEASURE,
    strength.MEASURE,
    power_law.EVIDENCE,
    weighted_clustering.MEASURE,
    opsahl.WEIGHTED,
)
"""In the order of a report. (The measure of wiring length needs the shape of an image, so `describe` adds it.)"""

_MEASURES = {measure.name: measure for measure in BUILT_IN}


def register_measure(
    name: str,
    *,
    network: NetworkFunction | None = None,
    fixed_by: Mapping[str, frozenset[str]] | None = None,
    under_nulls: bool = True,
    null_edge_limit: int | None = None,
    weighted: frozenset[str] = frozenset(),
) -> Callable[[LayerFunction], AnyLayerFunction]:
    """Decorator that adds a measure under a new name, after the built-in ones.

    Args:
        name: the name; it must be free.
        network: the same measure for a whole network, if it has a meaning there.
        fixed_by: names of null models, and the quantities that they keep by construction.
        under_nulls: whether the measure is repeated on null replicates.
        null_edge_limit: largest number of edges with null distributions by default; None for no limit.
        weighted: the quantities that depend on the weights, or `analysis.measures.measure.EVERYTHING`.

    Returns:
        A decorator of a function `(BipartiteGraph, Generator) -> {quantity name: Quantity}`. What it returns takes any
        single layer (igraph, networkx, scipy, ...) and a seed or a generator.

    Raises:
        AnalysisError: the name is taken.

    Example:
        >>> import scipy.sparse
        >>> from analysis import defined, describe
        >>> @register_measure("lonely")
        ... def lonely(graph, rng):
        ...     return {"lonely_source_fraction": defined((graph.out_degrees == 1).mean())}
        >>> layer = scipy.sparse.csr_array([[0, 1, 1, 0], [1, 1, 0, 0]])  # [n_out, n_in]
        >>> describe(layer, nulls=0, measures=["lonely"], rng=0)["layer 0"]["lonely_source_fraction"].value
        0.5
    """

    def add(function: LayerFunction) -> AnyLayerFunction:
        if name in _MEASURES:
            raise AnalysisError(f"measure {name!r} is registered already; choose another name")
        layer = takes_any_layer(function)
        _MEASURES[name] = Measure(name, layer, network, dict(fixed_by or {}), under_nulls, null_edge_limit, weighted=weighted)
        return layer

    return add


def measure_names() -> tuple[str, ...]:
    """Return the names of all measures, in the order of a report."""
    return tuple(_MEASURES)


def get_measure(name: str) -> Measure:
    """Return the measure of this name; an AnalysisError for an unknown one lists the choices.

    Example:
        >>> import scipy.sparse
        >>> layer = scipy.sparse.csr_array([[0, 1, 1], [1, 1, 0]])  # [n_out, n_in]
        >>> get_measure("paths").layer(layer, 0)["average_path_length"].value
        2.0
    """
    if not isinstance(name, str) or name not in _MEASURES:
        raise AnalysisError(f"measure {shown(name)} is unknown; choose from {', '.join(_MEASURES)}")
    return _MEASURES[name]


def select_measures(names: Iterable[str] | None) -> tuple[Measure, ...]:
    """Return the measures of these names in the order given, each once, or all measures for None."""
    if names is None:
        return tuple(_MEASURES.values())
    if isinstance(names, str) or not is_iterable(names):
        raise AnalysisError(f"measures is {shown(names)}; a sequence of names from {', '.join(_MEASURES)} is needed")
    return tuple({measure.name: measure for measure in map(get_measure, names)}.values())
