"""`evolve`: recorded topologies over time; which edges stay, what has been tried, how measures move."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy

from analysis.base.checks import check_count
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantity, defined, undefined
from analysis.graph.arrays import LongArray, as_array
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import as_layered
from analysis.graph.values import LayeredGraph
from analysis.measures.registry import select_measures
from analysis.report.describe import describe
from analysis.report.values import with_details

MEASURES = ("degree", "clustering")
"""What is followed if nothing else is asked for."""

NOTE = (
    "New edges: share of the edges that the topology before does not have; Jaccard: edges of both over edges of either. "
    "First edges left: share of the first topology's edges that are in every one since. R_s: share of all pairs that have "
    "been an edge in any topology so far. Mean age: epochs since an edge has been there without a break. Degrees: Spearman's "
    "rank correlation with the first topology's. All of them see the recorded topologies only: what came and went between "
    "two of them is not counted, so turnover and R_s are at least these."
)


LARGEST_EPOCH = 2**62


@dataclass(frozen=True)
class LayerState:
    """One layer of one recorded topology, beside those before it.

    Attributes:
        n_edges: its edges.
        new: share of its edges that the topology before does not have, 0 to 1.
        jaccard: |both| / |either| with the edges of the topology before, 0 to 1.
        survival: share of the first topology's edges that are in every one up to this, 0 to 1, never rising.
        exploration: R_s, the share of all pairs that have been an edge in any topology up to this, 0 to 1, never falling.
        mean_age: mean over its edges of the epochs since each has been there without a break, at least 0.
        source_rank_correlation: Spearman's rank correlation of out-degrees with the first topology's, -1 to 1.
        target_rank_correlation: the same of in-degrees.
    """

    n_edges: int
    new: Quantity
    jaccard: Quantity
    survival: Quantity
    exploration: float
    mean_age: Quantity
    source_rank_correlation: Quantity
    target_rank_correlation: Quantity


@dataclass(frozen=True)
class Trajectory:
    """One measured quantity over the recorded topologies.

    Attributes:
        section: "layer 0", ..., or "network".
        measure: name of the measure in the registry.
        name: name of the quantity.
        values: one per recorded topology.
    """

    section: str
    measure: str
    name: str
    values: tuple[Quantity, ...]


@dataclass(frozen=True, eq=False)
class EdgeAges:
    """How old the edges of a layer of the last topology are.

    Attributes:
        unit: "steps" if births were given, else "epochs" since an edge has been recorded without a break.
        ages: int64 of shape [n_edges], at least 0, in the order (dst, src) of the edges.
    """

    unit: Literal["steps", "epochs"]
    ages: LongArray

    def to_dict(self) -> dict[str, Any]:
        """Every age that occurs, ascending, and how many edges have it."""
        ages, counts = np.unique(self.ages, return_counts=True)
        return {"unit": self.unit, "ages": ages.tolist(), "counts": counts.tolist()}


@dataclass(frozen=True, eq=False)
class Evolution:
    """A sequence of recorded topologies.

    Attributes:
        epochs: when each was recorded, ascending.
        layers: for every layer one state per epoch.
        trajectories: chosen measures, one value per epoch.
        ages: of the last topology's edges, layer by layer.
        details: what else is known of every layer, such as its name and kind, or ""; () if nothing is.
    """

    epochs: tuple[int, ...]
    layers: tuple[tuple[LayerState, ...], ...]
    trajectories: tuple[Trajectory, ...]
    ages: tuple[EdgeAges, ...]
    details: tuple[str, ...] = ()

    def full_name(self, layer: int) -> str:
        """The name of a layer with the details, for example "layer 2 (features.3, convolution 3 x 3)"."""
        return with_details(f"layer {layer}", self.details[layer] if self.details else "")

    def trajectory(self, section: str, name: str) -> Trajectory:
        """The course of one quantity of a section; an AnalysisError for an unknown one lists the choices."""
        for trajectory in self.trajectories:
            if (trajectory.section, trajectory.name) == (section, name):
                return trajectory
        known = ", ".join(f"{trajectory.section}/{trajectory.name}" for trajectory in self.trajectories) or "none"
        raise AnalysisError(f"trajectory {section}/{name} is unknown; choose from {known}")

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain dict, list, str, int, float and None, which JSON can hold."""
        return {
            "epochs": list(self.epochs),
            "note": NOTE,
            "layers": [[asdict(state) for state in states] for states in self.layers],
            "trajectories": [asdict(trajectory) for trajectory in self.trajectories],
            "ages": [ages.to_dict() for ages in self.ages],
        }


def evolve(
    recorded: Sequence[tuple[int, Any]],
    *,
    measures: Iterable[str] = MEASURES,
    births: Sequence[npt.ArrayLike] | None = None,
    step: int | None = None,
    rng: int = 0,
) -> Evolution:
    """Follow the recorded topologies of one training.

    R_s is the in-time over-parametrisation rate of Liu et al. (2021), "Do We Actually Need Dense Over-Parameterization?
    In-Time Over-Parameterization in Sparse Training", ICML: |union of all topologies| / n_pairs, here layer by layer.

    Args:
        recorded: (epoch, graph) pairs with ascending epochs; each graph is anything that `as_layered` takes, such as a
            list of topologies, one per layer, and all have the same layer sizes and are wired alike.
        measures: names of registered measures to follow, without null models; empty for none, None for all.
        births: for every layer of the last topology the step at which each edge was born, integers of shape [n_edges] in
            the order (dst, src) of the edges; without them ages are read off the records.
        step: the step at which the last topology was recorded; needed with `births`.
        rng: seed for measures that sample, the same for every topology.

    Returns:
        The evolution. Cost: that of the measures, and O(n_edges log n_edges) per topology for the rest; memory for every
        pair that has ever been an edge.

    Raises:
        AnalysisError: nothing is recorded, epochs do not ascend, layer sizes or what layers join change, or births do not fit.

    >>> import analysis
    >>> before, after = analysis.BipartiteGraph(2, 2, [0, 1], [0, 1]), analysis.BipartiteGraph(2, 2, [0, 0], [0, 1])
    >>> state = analysis.evolve([(0, before), (1, after)], measures=()).layers[0][1]
    >>> state.survival.value, state.exploration
    (0.5, 0.75)
    """
    epochs = _checked_epochs(recorded)
    networks = [as_layered(graph) for _, graph in recorded]
    for epoch, network in zip(epochs, networks, strict=True):
        if network.layer_sizes != networks[0].layer_sizes:
            raise AnalysisError(
                f"recorded: epoch {epoch} has the layer sizes {network.layer_sizes}; they must be those of epoch {epochs[0]}, "
                f"{networks[0].layer_sizes}"
            )
        if not network.is_wired_like(networks[0]):
            raise AnalysisError(
                f"recorded: epoch {epoch} has layers that join other neurons, or other links, than epoch {epochs[0]}; they "
                "must be the same"
            )
    followed = [_follow(epochs, [network.layers[i] for network in networks]) for i in range(len(networks[0].layers))]
    ages = tuple(EdgeAges("epochs", epochs[-1] - since) for _, since in followed)
    if births is not None:
        ages = _ages_from_births(networks[-1], births, step)
    return Evolution(
        epochs,
        tuple(states for states, _ in followed),
        _trajectories(networks, tuple(measure.name for measure in select_measures(measures)), rng),
        ages,
        networks[0].details,
    )


def _checked_epochs(recorded: Sequence[tuple[int, Any]]) -> tuple[int, ...]:
    pairs = recorded if isinstance(recorded, Sequence) else None
    if not pairs or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        got = "is empty" if pairs is not None and len(pairs) == 0 else f"is a {type(recorded).__name__}"
        raise AnalysisError(f"recorded {got}; a list of at least one (epoch, graph) is needed")
    epochs = tuple(check_count(f"recorded[{index}][0]", epoch, 0, LARGEST_EPOCH) for index, (epoch, _) in enumerate(pairs))
    if any(after <= before for before, after in pairwise(epochs)):
        raise AnalysisError(f"recorded has the epochs {list(epochs)}; they must ascend")
    return epochs


def _follow(epochs: Sequence[int], layers: Sequence[BipartiteGraph]) -> tuple[tuple[LayerState, ...], LongArray]:
    """The states of one layer, and since when each edge of the last topology has been there."""
    first = layers[0]
    first_keys = left = ever = before = first.keys
    since = np.full(before.size, epochs[0], dtype=np.int64)
    states = []
    for number, (epoch, layer) in enumerate(zip(epochs, layers, strict=True)):
        keys = layer.keys
        left, ever = np.intersect1d(left, keys, assume_unique=True), np.union1d(ever, keys)
        since = _since(before, since, keys, epoch)
        states.append(
            LayerState(
                n_edges=layer.n_edges,
                **_turnover(before if number else None, keys),
                survival=_share(left.size, first_keys.size, "the first topology has no edges"),
                exploration=ever.size / layer.n_pairs,
                mean_age=defined(float((epoch - since).mean())) if keys.size else undefined("the graph has no edges"),
                source_rank_correlation=_rank_correlation(first.out_degrees, layer.out_degrees),
                target_rank_correlation=_rank_correlation(first.in_degrees, layer.in_degrees),
            )
        )
        before = keys
    return tuple(states), since


def _since(before: LongArray, since: LongArray, keys: LongArray, epoch: int) -> LongArray:
    """Since when each edge of `keys` has been there, where those of `before` have been there since `since`."""
    result = np.full(keys.size, epoch, dtype=np.int64)
    _, here, there = np.intersect1d(keys, before, assume_unique=True, return_indices=True)
    result[here] = since[there]
    return result


def _turnover(before: LongArray | None, keys: LongArray) -> dict[str, Quantity]:
    if before is None:
        return dict.fromkeys(("new", "jaccard"), undefined("no topology was recorded before"))
    n_both = np.intersect1d(before, keys, assume_unique=True).size
    return {
        "new": _share(keys.size - n_both, keys.size, "the graph has no edges"),
        "jaccard": _share(n_both, before.size + keys.size - n_both, "neither topology has edges"),
    }


def _share(part: int, whole: int, reason: str) -> Quantity:
    return defined(part / whole) if whole else undefined(reason)


def _rank_correlation(first: LongArray, degrees: LongArray) -> Quantity:
    """Spearman's rank correlation, with mean ranks for ties."""
    if (first == first[0]).all() or (degrees == degrees[0]).all():
        return undefined("all degrees are equal")
    return defined(float(scipy.stats.spearmanr(first, degrees).statistic))


def _ages_from_births(network: LayeredGraph, births: Sequence[npt.ArrayLike], step: int | None) -> tuple[EdgeAges, ...]:
    if not isinstance(births, Sequence) or len(births) != len(network.layers):
        got = f"has {len(births)} entries" if isinstance(births, Sequence) else f"is a {type(births).__name__}"
        raise AnalysisError(f"births {got}; one for each of the {len(network.layers)} layers is needed")
    step = check_count("step", step, 0, note="(the step of the last topology, as births are given)")
    ages = []
    for index, (layer, values) in enumerate(zip(network.layers, births, strict=True)):
        born = as_array(values)
        if born.shape != (layer.n_edges,) or (born.size and not np.issubdtype(born.dtype, np.integer)):
            raise AnalysisError(
                f"births[{index}] has shape {born.shape} and dtype {born.dtype}; {layer.n_edges} integers are needed"
            )
        if born.size and not 0 <= born.min() <= born.max() <= step:
            raise AnalysisError(f"births[{index}] reaches from {born.min()} to {born.max()}; the allowed range is 0 to {step}")
        ages.append(EdgeAges("steps", step - born.astype(np.int64)))
    return tuple(ages)


def _trajectories(networks: Sequence[LayeredGraph], measures: tuple[str, ...], rng: int) -> tuple[Trajectory, ...]:
    if not measures:
        return ()
    reports = [describe(network, nulls=0, measures=measures, rng=rng) for network in networks]
    return tuple(
        Trajectory(
            section.name,
            quantity.measure,
            quantity.name,
            tuple(report[section.name][quantity.name].observed for report in reports),
        )
        for section in reports[0].sections
        for quantity in section.quantities
    )
