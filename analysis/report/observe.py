"""All quantities of a graph and of its control, section by section, and the small-world indices that need replicates."""

from collections.abc import Sequence

import numpy as np

from analysis.base.quantity import Quantities, Quantity, undefined
from analysis.graph.values import LayeredGraph
from analysis.measures.measure import Measure
from analysis.measures.small_world import CONTROL_REPLICATES, REFERENCE, index_quantities, reference_pairs, without_replicates
from analysis.measures.small_world import NAME as SMALL_WORLD
from analysis.measures.wiring_length import NAME as WIRING
from analysis.report.replicates import Key, Replicates, measure_section, section_edges, small_world_pairs

_LATTICE = ("lattice_clustering", "lattice_path_length")


def unmeasured(network: LayeredGraph) -> set[tuple[str, str]]:
    """Pairs (section, measure) that are not measured: only the first layer's sources are pixels."""
    return {(section, WIRING) for section in section_edges(network) if section != "layer 0"}


def observe(
    network: LayeredGraph, measures: Sequence[Measure], rng: np.random.Generator, nulls: int, found: dict[Key, Quantity]
) -> None:
    """Measure a graph into `found`, one measure after the other, so that an interruption leaves what there is.

    Without replicates the small-world indices are not defined, so no lattice is built.
    """
    for section in section_edges(network):
        for measure in measures:
            if nulls == 0 and measure.name == SMALL_WORLD:
                lattice = {name: undefined("it is not built without replicates") for name in _LATTICE}
                found |= _in_section(section, {**lattice, **without_replicates()})
                continue
            if (section, measure.name) not in unmeasured(network):
                found |= measure_section(network, section, measure, rng)
            if measure.name == SMALL_WORLD:
                found |= _in_section(section, without_replicates())


def observe_control(
    start: LayeredGraph, measures: Sequence[Measure], rng: np.random.Generator, nulls: int, found: dict[Key, Quantity]
) -> None:
    """Measure a control into `found`; its small-world indices have a reference of their own, of a few replicates."""
    observe(start, measures, rng, nulls, found)
    if nulls and _has_indices(measures):
        pairs = small_world_pairs(start, found, rng)
        for section, replicates in reference_pairs(start, REFERENCE, min(nulls, CONTROL_REPLICATES), rng).items():
            found |= _in_section(section, index_quantities(pairs[section], _lattice(found, section), replicates))


def with_indices(
    network: LayeredGraph,
    measures: Sequence[Measure],
    observed: dict[Key, Quantity],
    drawn: Replicates,
    rng: np.random.Generator,
) -> tuple[dict[Key, Quantity], dict[str, dict[Key, list[Quantity]]]]:
    """The quantities of the graph, and by null model of the replicates, with the small-world indices.

    The indices of every replicate are taken against the same lattice and the same means as those of the graph.
    """
    found, values = dict(observed), {null: dict(quantities) for null, quantities in drawn.values.items()}
    if not (drawn.pairs and _has_indices(measures)):
        return found, values
    for section, pair in small_world_pairs(network, observed, rng).items():
        lattice, replicates = _lattice(observed, section), drawn.pairs[section]
        found |= _in_section(section, index_quantities(pair, lattice, replicates))
        each = [_in_section(section, index_quantities(replicate, lattice, replicates)) for replicate in replicates]
        values[REFERENCE] |= {key: [quantities[key] for quantities in each] for key in each[0]}
    return found, values


def _has_indices(measures: Sequence[Measure]) -> bool:
    return any(measure.name == SMALL_WORLD for measure in measures)


def _in_section(section: str, quantities: Quantities) -> dict[Key, Quantity]:
    return {(section, SMALL_WORLD, name): quantity for name, quantity in quantities.items()}


def _lattice(found: dict[Key, Quantity], section: str) -> Quantities:
    return {name: found[section, SMALL_WORLD, name] for name in _LATTICE}
