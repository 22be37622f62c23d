"""Replicates of the null models, measured: one seed each, so that a report does not depend on how many are drawn before."""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from analysis.base.quantity import Quantities, Quantity
from analysis.graph.values import LayeredGraph
from analysis.measures.measure import Measure
from analysis.measures.small_world import NAME as SMALL_WORLD
from analysis.measures.small_world import REFERENCE, ClusteringAndLength, pair_of, pair_of_network
from analysis.nulls.models import WEIGHT_NULL, WIRING_NULLS, null_models_of, randomise_layers

Key = tuple[str, str, str]
"""Section, measure, quantity."""

MIN_REPLICATES = 19
"""With fewer, no p-value can reach 0.05."""

_Found = tuple[str, dict[Key, Quantity], dict[str, ClusteringAndLength]]

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

    @classmethod
    def none(cls, network: LayeredGraph) -> "Replicates":
        """No replicates yet, with an entry for every null model that the network has."""
        models = null_models_of(network)
        return cls({null: defaultdict(list) for null in models}, dict.fromkeys(models, 0))


def section_names(network: LayeredGraph) -> list[str]:
    """Names of the sections of a report: "layer 0", ..., and "network" unless it is a single layer."""
    names = [f"layer {index}" for index in range(len(network.layers))]
    return names if network.is_single else [*names, "network"]


def section_edges(network: LayeredGraph) -> dict[str, int]:
    """Number of edges of every section, by name."""
    counts = [layer.n_edges for layer in network.layers]
    return dict(zip(section_names(network), [*counts, sum(counts)], strict=False))


def measure_sections(
    network: LayeredGraph,
    measures: Sequence[Measure],
    rng: np.random.Generator,
    skip: Collection[tuple[str, str]] = frozenset(),
) -> dict[Key, Quantity]:
    """Every quantity of every layer, then of the network if it has several, but for pairs (section, measure) to skip."""
    result: dict[Key, Quantity] = {}
    for section in section_names(network):
        for measure in measures:
            if (section, measure.name) not in skip:
                result |= measure_section(network, section, measure, rng)
    return result


def measure_section(network: LayeredGraph, section: str, measure: Measure, rng: np.random.Generator) -> dict[Key, Quantity]:
    """The quantities of one measure in one section; none of the network if the measure has no meaning there."""
    found: Quantities = {}
    if section != "network":
        found = measure.layer(network.layers[section_names(network).index(section)], rng)
    elif measure.network is not None:
        found = measure.network(network, rng)
    return {(section, measure.name, name): quantity for name, quantity in found.items()}


def small_world_pairs(
    network: LayeredGraph, found: dict[Key, Quantity], rng: np.random.Generator
) -> dict[str, ClusteringAndLength]:
    """Clustering and path length of every section; see `analysis.measures.small_world.pair_of`."""
    result = {}
    for index, section in enumerate(section_names(network)):
        own = {key[2]: quantity for key, quantity in found.items() if key[0] == section}
        is_layer = section != "network"
        result[section] = pair_of(network.layers[index], own, rng) if is_layer else pair_of_network(network, own, rng)
    return result


def draw_replicates(
    network: LayeredGraph,
    measures: Sequence[Measure],
    observed: dict[Key, Quantity],
    result: Replicates,
    *,
    nulls: int,
    seeds: Sequence[np.random.SeedSequence],
    swaps_per_edge: int,
    skip: Collection[tuple[str, str]],
    progress: Progress | None,
) -> None:
    """Draw and measure the replicates of all null models into `result`, in turn, so that an interruption finds as many of each.

    The null models have a thread each, and wait for each other after every replicate. Replicate i of a null model has a
    seed of its own: it is the same graph whatever `nulls` is, whether or not the network has weights, and on any number of
    processors. After a KeyboardInterrupt the replicates in progress are lost, what was measured before them stays.

    Args:
        network: the layers.
        measures: what to measure; those that a null model fixes are left out.
        observed: the quantities of the graph, which decide when an expensive measure has been repeated enough.
        result: receives the replicates.
        nulls: number of replicates of each null model.
        seeds: the root of the seeds for the wiring, and of those for the weights.
        swaps_per_edge: of "fixed_degrees".
        skip: pairs (section, measure) to leave out.
        progress: called after every replicate, or None.
    """
    models, done = list(result.drawn), 0

    def measured(null: str, seed: np.random.SeedSequence) -> _Found:
        wanted = [measure for measure in measures if measure.is_computed_under(null)]
        settled = {(section, name) for model, section, name in result.settled if model == null}
        rng = np.random.default_rng(seed)
        drawn = randomise_layers(network, null, rng, swaps_per_edge)
        found = measure_sections(drawn, wanted, rng, settled.union(skip))
        has_indices = null == REFERENCE and any(measure.name == SMALL_WORLD for measure in measures)
        return null, found, small_world_pairs(drawn, found, rng) if has_indices else {}

    with ThreadPoolExecutor(min(len(models), os.cpu_count() or 1)) as threads:
        for _ in range(nulls):
            own = dict(zip((*WIRING_NULLS, WEIGHT_NULL), (*seeds[0].spawn(2), *seeds[1].spawn(1)), strict=True))
            for null, found, pairs in threads.map(measured, models, [own[null] for null in models]):
                _add(result, null, found, pairs)
                _settle(result, null, measures, observed, nulls)
                done += 1
                if progress is not None:
                    progress(done, nulls * len(models))


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
    """Whether more of the `nulls` replicates could no longer make an expensive measure significant at 0.1.

    Sequential Monte Carlo tests: Besag and Clifford (1991), "Sequential Monte Carlo p-values", Biometrika 78, 301-304. The
    replicates of a measure end when there are at least `MIN_REPLICATES` and a tenth of `nulls` lie on either side of the
    observed value of each quantity that governs it. Then both one-sided p-values, reported as (1 + r) / (1 + B) of the B
    replicates until then, are above 0.1 for certain; and whoever calls a governing quantity significant at a level of at
    most 0.1 does so on a complete run, whose p-values are exact. For the other quantities of the measure, B was chosen with
    an eye on a related quantity, and their p-values are exact only if the run was complete.

    True also if the quantity is not defined on the graph, so that no replicate can be compared with it.
    """
    if observed.value is None:
        return True
    values = np.array([quantity.value for quantity in replicates if quantity.value is not None])
    needed = max(1, math.ceil(nulls / 10))
    either = min(np.count_nonzero(values >= observed.value), np.count_nonzero(values <= observed.value))
    return bool(values.size >= MIN_REPLICATES and either >= needed)
