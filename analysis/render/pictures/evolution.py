"""How the wiring of a network has changed: what stays and what is tried, ages of edges, measures by epoch."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.base.checks import check_count
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantity
from analysis.graph.arrays import LongArray
from analysis.measures.small_world import SmallWorld
from analysis.render.cells import format_number
from analysis.render.pictures.small_world_plane import small_world_plane
from analysis.render.pictures.style import STYLES, panels, plain
from analysis.report.evolution import EdgeAges, Evolution, LayerState

MAX_QUANTITIES = 8
"""Panels of `measure_courses` if no names are given."""

HEADLINES = (
    "edges",
    "source_degree_cv",
    "target_degree_cv",
    "degree_cv",
    "robins_alexander_clustering",
    "average_path_length",
    "barber_modularity",
    "degree_correlation",
    "nodf",
    "normalised_spectral_gap",
    "effective_edge_fraction",
    "core_periphery",
    "rich_club_ratio",
    "source_power_law_alpha",
    "target_power_law_alpha",
    "degree_power_law_alpha",
    "source_opsahl_clustering",
    "target_opsahl_clustering",
    "source_latapy_dot_clustering",
    "target_latapy_dot_clustering",
    "giant_component_size",
    "source_degree_max_to_mean",
    "target_degree_max_to_mean",
    "degree_max_to_mean",
)
"""The quantities that say most, the most telling first."""

CUT_LABEL = "after the last removal"

_SOURCES, _TARGETS, _NEITHER = STYLES[0], STYLES[1], STYLES[5]
_MAX_BARS = 40
_MIN_BARS = 20
_MAX_MARKERS = 12
_REASON_WIDTH = 32


class _Panel(NamedTuple):
    """What `layer_changes` draws in one panel."""

    title: str
    ylabel: str
    curves: Mapping[str, tuple[str, tuple[str, Any, str]]]  # field of LayerState -> label and style


class _Curve(NamedTuple):
    """A line: values by epoch."""

    label: str
    style: tuple[str, Any, str]
    quantities: Sequence[Quantity]


_PANELS = (
    _Panel("What is new", "share of the edges", {"new": ("new edges", STYLES[0])}),
    _Panel(
        "What stays",
        "share of edges",
        {"survival": ("first edges left", STYLES[2]), "jaccard": ("Jaccard with the topology before", STYLES[3])},
    ),
    _Panel("What has been tried", "share of all pairs, $R_s$", {"exploration": ("$R_s$", STYLES[4])}),
    _Panel(
        "Who has many edges, beside the start",
        "rank correlation",
        {"source_rank_correlation": ("degrees of sources", _SOURCES), "target_rank_correlation": ("of targets", _TARGETS)},
    ),
)


def layer_changes(evolution: Evolution, layer: int, *, title: str = "") -> Figure:
    """Turnover, survival, exploration and the order of the degrees of one layer over the epochs.

    Args:
        evolution: the recorded topologies, as `evolve` has followed them.
        layer: number of the layer, from 0.
        title: over the picture.

    Returns:
        A figure with four panels: the share of new edges; the first edges left beside the Jaccard index with the topology
        before; R_s; and Spearman's rank correlation of the degrees with the first topology's. Every scale includes 0 and is
        the panel's own, so that a slow turnover can be seen. What is not defined leaves a gap; a panel without any value says
        why.

    Raises:
        AnalysisError: there is no such layer.
    """
    states = evolution.layers[check_count("layer", layer, 0, len(evolution.layers) - 1)]
    figure, axes = panels(len(_PANELS), 2, (4.7, 2.7))
    for axis, panel in zip(axes, _PANELS, strict=True):
        curves = [
            _Curve(label, style, [_quantity(state, name) for state in states]) for name, (label, style) in panel.curves.items()
        ]
        _draw_courses(axis, evolution.epochs, curves)
        axis.set_title(panel.title, fontsize=9)
        axis.set_ylabel(panel.ylabel)
        _limit(axis, [quantity.value for curve in curves for quantity in curve.quantities if quantity.value is not None])
        if len(axis.lines) > 1:
            axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    figure.suptitle(title, fontsize=10)
    return figure


def age_histogram(ages: EdgeAges, *, title: str = "") -> Figure:
    """How many edges of the last topology have which age; an AnalysisError if there is no edge.

    A bar for every age if there are few, otherwise about 40 of equal width; the numbers of edges on a logarithmic axis, as most
    edges are often as old as the training; a dashed line at the median.
    """
    if ages.ages.size == 0:
        raise AnalysisError("ages is empty; a histogram needs at least 1 edge")
    starts, counts, width, unit = age_bars(ages.ages)
    figure, (axes,) = panels(1, 1, (7.0, 2.9))
    # Ages are multiples of a unit: bars that stand around these do not hide which ages occur.
    drawn = min(width, max(float(ages.ages.max()), 1.0) / _MIN_BARS)
    axes.bar(starts + 0.5 * (width - unit), counts, drawn, color=STYLES[0][0], edgecolor="white", linewidth=0.7)
    median = float(np.median(ages.ages))
    axes.axvline(median, color="black", linestyle="--", linewidth=1.2, label=f"median ({format_number(median)})")
    axes.set(xlabel=f"age in {ages.unit}", ylabel="edges", yscale="log")
    axes.set_ylim(0.5, 2.0 * counts.max())
    axes.set_xlim(-drawn, max(ages.ages.max(), starts[-1] + width - unit) + drawn)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    plain(axes)
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    figure.suptitle(title, fontsize=10)
    return figure


def age_bars(ages: LongArray) -> tuple[LongArray, LongArray, int, int]:
    """Bars of a histogram that treats every age alike: lowest ages, counts, width, and the unit that all ages are multiples of.

    If topologies change every 6000 steps, all ages are multiples of 6000; bars of another width would hold now one of them and
    now two. Only bars that hold edges are returned.
    """
    unit = max(int(np.gcd.reduce(ages)), 1)
    width = unit * -(-(int(ages.max()) // unit + 1) // _MAX_BARS)
    counts = np.bincount(ages // width)
    held = np.flatnonzero(counts)
    return held * width, counts[held], width, unit


def training_plane(points: Mapping[int, SmallWorld], name: str, *, is_cut: bool = False, title: str = "") -> Figure:
    """One layer in the small-world plane, along its training; see `small_world_plane`.

    Args:
        points: small worlds by epoch, ascending.
        name: of the layer, for the legend.
        is_cut: whether edges were removed at the last epoch without others in their place. That point then stands by itself
            beside its own references: those of a sparser graph would put all others in a wrong light.
        title: over the picture.

    Raises:
        AnalysisError: no point is defined.
    """
    if is_cut and len(points) > 1:
        *before, last = points
        parts = {name: {epoch: points[epoch] for epoch in before}, f"{name}, {CUT_LABEL}": {last: points[last]}}
        # If one of the two has no point, the other can still be drawn.
        with suppress(AnalysisError):
            return small_world_plane(parts, title=title)
    return small_world_plane({name: points}, title=title)


def measure_courses(evolution: Evolution, section: str, names: Iterable[str] | None = None, *, title: str = "") -> Figure:
    """The course of measured quantities over the epochs, a small panel per quantity, each on a scale of its own.

    What is not defined leaves a gap; a panel without any value says why. `names` None takes `headline_quantities`. An
    AnalysisError if a quantity was not measured, or there is none to draw.
    """
    chosen = headline_quantities(evolution, section) if names is None else tuple(names)
    if not chosen:
        raise AnalysisError(f"section {section!r} has no quantity that is defined; there is nothing to draw")
    trajectories = [evolution.trajectory(section, name) for name in chosen]
    figure, axes = panels(len(chosen), 4, (2.75, 2.1))
    for axis, trajectory in zip(axes, trajectories, strict=True):
        side = trajectory.name.partition("_")[0]
        style = {"source": _SOURCES, "target": _TARGETS}.get(side, _NEITHER)
        _draw_courses(axis, evolution.epochs, [_Curve(trajectory.name, style, trajectory.values)])
        axis.set_title(trajectory.name.replace("_", " "), fontsize=9)
        axis.tick_params(labelsize=8)
        axis.yaxis.set_major_locator(MaxNLocator(4))
    figure.suptitle(title, fontsize=10)
    return figure


def headline_quantities(evolution: Evolution, section: str) -> tuple[str, ...]:
    """At most `MAX_QUANTITIES` names of quantities that are defined at some epoch, to draw if nobody has chosen.

    First those of `HEADLINES`, then those of measures that have none there.
    """
    followed = {
        trajectory.name: trajectory.measure
        for trajectory in evolution.trajectories
        if trajectory.section == section and any(quantity.value is not None for quantity in trajectory.values)
    }
    named = [name for name in HEADLINES if name in followed]
    told = {followed[name] for name in named}
    others = [name for name, measure in followed.items() if measure not in told]
    return tuple([*named, *others][:MAX_QUANTITIES])


def _quantity(state: LayerState, name: str) -> Quantity:
    value = getattr(state, name)
    return value if isinstance(value, Quantity) else Quantity(float(value))


def _limit(axes: Axes, values: Sequence[float]) -> None:
    """A vertical scale that includes 0, with room for the markers at both ends."""
    low = min([0.0, *values])
    span = max([0.0, *values]) - low or 1.0
    axes.set_ylim(low - 0.04 * span, low + 1.06 * span)


def _draw_courses(axes: Axes, epochs: Sequence[int], curves: Sequence[_Curve]) -> None:
    """Draw the curves that have a value; if none has, write the reason instead."""
    every = max(1, len(epochs) // _MAX_MARKERS)
    for label, (colour, line, marker), quantities in curves:
        values = np.array([np.nan if quantity.value is None else quantity.value for quantity in quantities])
        if np.isfinite(values).any():
            axes.plot(epochs, values, color=colour, linestyle=line, marker=marker, markevery=every, markersize=4, label=label)
    if not axes.lines:
        reason = textwrap.fill(f"not defined: {curves[0].quantities[-1].reason}", _REASON_WIDTH)
        axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", fontsize=8)
        axes.set_yticks([])
    axes.set_xlabel("epoch", fontsize=9)
    margin = 0.03 * (epochs[-1] - epochs[0]) or 0.5
    axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    plain(axes)
