"""Replicates of the null models, measured: one seed each, so that a report does not depend on how many are drawn before."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from .graphs import LayeredGraph
from .indices import MEASURE as SMALL_WORLD
from .indices import REFERENCE, pair_of
from .nulls import WEIGHT_NULL, WIRING_NULLS, null_models_of, randomise_layers
from .quantity import Quantity
from .registry import Measure
from .smallworld import ClusteringAndLength

Key = tuple[str, str, str]
"""Section, measure, quantity."""

MIN_REPLICATES = 19
"""With fewer, no p-value can reach 0.05."""

Progress = Callable[[int, int], None]
"""Called with (replicates done, replicates in all)."""


@dataclass
class Replicates:
    """What was found on the replicates.

    Attributes:
        values: for every null model and quantity, its value in every replicate in which it was measured.
        drawn: for every null model, the number of replicates that were drawn and measured.
        pairs: for every section, clustering and path length of every replicate of the small-world reference.
        settled: (null model, section, measure) whose replicates ended early; see `is_settled`.
        interrupted: whether the user stopped the run.
    """

    values: dict[str, dict[Key, list[Quantity]]]
    drawn: dict[str, int]
    pairs: dict[str, list[ClusteringAndLength]] = field(default_factory=lambda: defaultdict(list))
    settled: set[tuple[str, str, str]] = field(default_factory=set)
    interrupted: bool = False


def section_names(network: LayeredGraph) -> list[str]:
    """Names of the sections of a report: every layer, and the network where it has several.

    Args:
        network: the layers.

    Returns:
        "layer 0", ..., "network".
    """
    names = [f"layer {index}" for index in range(len(network.layers))]
    return [*names, "network"] if len(names) > 1 else names


def section_edges(network: LayeredGraph) -> dict[str, int]:
    """Number of edges of every section.

    Args:
        network: the layers.

    Returns:
        By name.
    """
    counts = [layer.n_edges for layer in network.layers]
    return dict(zip(section_names(network), [*counts, sum(counts)], strict=False))


def measure_sections(
    network: LayeredGraph,
    measures: Sequence[Measure],
    rng: np.random.Generator,
    skip: Collection[tuple[str, str]] = frozenset(),
) -> dict[Key, Quantity]:
    """Every quantity of every layer, then of the network where it has several layers.

    Args:
        network: the layers.
        measures: what to measure.
        rng: the generator.
        skip: pairs (section, measure) to leave out.

    Returns:
        The quantities, in the order of the sections and measures.
    """
    result: dict[Key, Quantity] = {}
    for index, section in enumerate(section_names(network)):
        for measure in measures:
            if (section, measure.name) in skip or (section == "network" and measure.network is None):
                continue
            if section == "network" and measure.network is not None:
                found = measure.network(network, rng)
            else:
                found = measure.layer(network.layers[index], rng)
            result |= {(section, measure.name, name): quantity for name, quantity in found.items()}
    return result


def small_world_pairs(
    network: LayeredGraph, found: dict[Key, Quantity], rng: np.random.Generator
) -> dict[str, ClusteringAndLength]:
    """Clustering and path length of every section; see `analysis.indices.pair_of`.

    Args:
        network: the layers.
        found: what has been measured on it.
        rng: the generator.

    Returns:
        (C, L) by section.
    """
    graphs = [*network.layers, *([network.folded] if len(network.layers) > 1 else [])]
    return {
        section: pair_of(graph, {key[2]: quantity for key, quantity in found.items() if key[0] == section}, rng)
        for section, graph in zip(section_names(network), graphs, strict=True)
    }


def draw_replicates(
    network: LayeredGraph,
    measures: Sequence[Measure],
    observed: dict[Key, Quantity],
    *,
    nulls: int,
    seeds: Sequence[np.random.SeedSequence],
    swaps_per_edge: int,
    skip: Collection[tuple[str, str]],
    progress: Progress | None,
) -> Replicates:
    """Draw and measure the replicates of all null models, in turn, so that an interruption finds as many of each.

    Replicate i of a null model has a seed of its own: it is the same graph whatever `nulls` is and whether or not the
    network has weights.
    A KeyboardInterrupt ends the run; the replicate in progress is lost, what was measured before it is returned.

    Args:
        network: the layers.
        measures: what to measure; those that a null model fixes are left out.
        observed: the quantities of the graph, which decide when an expensive measure has been repeated enough.
        nulls: number of replicates of each null model.
        seeds: the root of the seeds for the wiring, and of those for the weights.
        swaps_per_edge: of "fixed_degrees".
        skip: pairs (section, measure) to leave out.
        progress: called after every replicate, or None.

    Returns:
        The replicates.
    """
    models = null_models_of(network)
    result = Replicates({null: defaultdict(list) for null in models}, dict.fromkeys(models, 0))
    schedule = _schedule(models, nulls, seeds)
    try:
        for index, (null, seed) in enumerate(schedule):
            wanted = [measure for measure in measures if measure.is_computed_under(null)]
            settled = {(section, name) for model, section, name in result.settled if model == null}
            rng = np.random.default_rng(seed)
            drawn = randomise_layers(network, null, rng, swaps_per_edge)
            found = measure_sections(drawn, wanted, rng, settled.union(skip))
            has_indices = null == REFERENCE and any(measure.name == SMALL_WORLD for measure in measures)
            pairs = small_world_pairs(drawn, found, rng) if has_indices else {}
            _add(result, null, found, pairs)
            _settle(result, null, wanted, observed, nulls)
            if progress is not None:
                progress(index + 1, len(schedule))
    except KeyboardInterrupt:
        result.interrupted = True
    return result


def _schedule(
    models: Sequence[str], nulls: int, seeds: Sequence[np.random.SeedSequence]
) -> list[tuple[str, np.random.SeedSequence]]:
    """(null model, seed) of every replicate, all models in turn."""
    wiring, weights = seeds[0].spawn(nulls * len(WIRING_NULLS)), seeds[1].spawn(nulls)
    own = {null: wiring[index :: len(WIRING_NULLS)] for index, null in enumerate(WIRING_NULLS)} | {WEIGHT_NULL: weights}
    return [(null, own[null][replicate]) for replicate in range(nulls) for null in models]


def _add(result: Replicates, null: str, found: dict[Key, Quantity], pairs: dict[str, ClusteringAndLength]) -> None:
    for key, quantity in found.items():
        result.values[null][key].append(quantity)
    for section, pair in pairs.items():
        result.pairs[section].append(pair)
    result.drawn[null] += 1


def _settle(result: Replicates, null: str, measures: Sequence[Measure], observed: dict[Key, Quantity], nulls: int) -> None:
    """Note the expensive measures that need no more replicates."""
    for measure in measures:
        governing = [key for key in result.values[null] if key[1] == measure.name and key[2] in measure.governed_by]
        for section in {key[0] for key in governing}:
            keys = [key for key in governing if key[0] == section]
            if all(is_settled(observed[key], result.values[null][key], nulls) for key in keys):
                result.settled.add((null, section, measure.name))


def is_settled(observed: Quantity, replicates: Sequence[Quantity], nulls: int) -> bool:
    """Whether more replicates could no longer make an expensive measure significant at 0.1.

    Sequential Monte Carlo tests: Besag and Clifford (1991), "Sequential Monte Carlo p-values", Biometrika 78, 301-304. The
    replicates of a measure end when there are at least `MIN_REPLICATES` and a tenth of `nulls` lie on either side of the
    observed value of each quantity that governs it. Then both one-sided p-values, reported as (1 + r) / (1 + B) of the B
    replicates until then, are above 0.1 for certain; and whoever calls a governing quantity significant at a level of at
    most 0.1 does so on a complete run, whose p-values are exact. For the other quantities of the measure, B was chosen with
    an eye on a related quantity, and their p-values are exact only where the run was complete.

    Args:
        observed: the quantity on the graph.
        replicates: on the replicates so far.
        nulls: number of replicates of a complete run.

    Returns:
        True also where the quantity is not defined on the graph, so that no replicate can be compared with it.
    """
    if observed.value is None:
        return True
    values = np.array([quantity.value for quantity in replicates if quantity.value is not None])
    needed = max(1, math.ceil(nulls / 10))
    either = min(np.count_nonzero(values >= observed.value), np.count_nonzero(values <= observed.value))
    return bool(values.size >= MIN_REPLICATES and either >= needed)
