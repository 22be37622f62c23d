"""A layer among its null models: histograms of a quantity, and the place of a layer between lattice and random graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .errors import AnalysisError
from .graphs import FloatArray
from .panels import finite_vector, halo, not_empty, panels, plain
from .plots import STYLES
from .significance import permutation_p
from .smallworld import SmallWorld
from .tables import NULL_TITLES

LATTICE_LABEL = "ring lattice, same degrees"
RANDOM_LABEL = "random, same degrees (mean)"
REPLICATE_LABEL = "random, same degrees (each)"
OBSERVED_LABEL = "observed"
CONTROL_LABEL = "control"

_HATCHES = ("////", "....", "xxxx", "----")
_MAX_LABELS = 6
_LABEL_ROOM = 0.05
"""Two names this share of the axes apart do not cover each other."""


def null_histograms(
    observed: Mapping[str, float],
    replicates: Mapping[str, Mapping[str, npt.ArrayLike]],
    *,
    control: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """The distribution of one or several quantities under null models, with the observed value and that of a control.

    Args:
        observed: for every quantity its observed value.
        replicates: for every quantity, by name of the null model, its values on the replicates, shape [B], B >= 1.
        control: for some of the quantities the value of the control.
        title: over the picture.

    Returns:
        A figure with a row for every quantity and a panel for each of its null models, on a scale of its own, so that a
        narrow distribution is seen beside a wide one. Bars are shares of the replicates; the heading gives B and the
        two-sided permutation p = (1 + r) / (1 + B) of `analysis.significance.permutation_p`. A control far outside the
        panel is named in the legend alone.

    Raises:
        AnalysisError: no quantity, a quantity without null models, names that do not match, or a number that is not
            finite.
    """
    known = _values("observed", not_empty("observed", observed))
    controls = _values("control", control or {})
    unknown = (set(replicates) ^ set(known)) | (set(controls) - set(known))
    if unknown:
        raise AnalysisError(
            f"observed, replicates and control do not match: {', '.join(sorted(unknown))} is not in all of them"
        )
    pairs = [(name, null) for name in known for null in not_empty(f"replicates[{name!r}]", replicates[name])]
    columns = max(len(replicates[name]) for name in known)
    order = list(dict.fromkeys(null for _, null in pairs))
    figure, axes = panels(len(known) * columns, columns, (3.9, 3.1))
    blank = iter(axes)
    for name, value in known.items():
        row = [next(blank) for _ in range(columns)]
        for panel, null in zip(row, replicates[name], strict=False):
            draws = finite_vector(f"replicates[{name!r}][{null!r}]", replicates[name][null])
            _draw_histogram(panel, value, draws, controls.get(name), NULL_TITLES.get(null, null), order.index(null))
            panel.set(xlabel=name, ylabel="share of replicates")
        for panel in row[len(replicates[name]) :]:
            panel.set_axis_off()
    figure.suptitle(title, fontsize=10)
    return figure


def _values(argument: str, numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: float(finite_vector(f"{argument}[{name!r}]", [value])[0]) for name, value in numbers.items()}


def _draw_histogram(axes: Axes, observed: float, draws: FloatArray, control: float | None, null: str, index: int) -> None:
    shown = np.append(draws, observed)
    span = float(np.ptp(shown)) or 0.1 * abs(observed) or 1.0
    # A control far away would press everything else into a line.
    is_near = control is not None and shown.min() - 2.0 * span <= control <= shown.max() + 2.0 * span
    if control is not None and is_near:
        shown = np.append(shown, control)
        span = float(np.ptp(shown)) or span
    colour, hatch = STYLES[index % len(STYLES)][0], _HATCHES[index % len(_HATCHES)]
    axes.hist(draws, _bins(draws, span).tolist(), weights=np.full(draws.size, 1.0 / draws.size), histtype="stepfilled",
              facecolor=(*_lighter(colour), 0.75), edgecolor=colour, hatch=hatch, label="replicates")  # fmt: skip
    axes.axvline(observed, color="black", linewidth=2.2, label=f"{OBSERVED_LABEL} ({observed:.4g})")
    if control is not None and is_near:
        axes.axvline(control, color="black", linewidth=1.6, linestyle="--", label=f"{CONTROL_LABEL} ({control:.4g})")
    elif control is not None:
        side = "left" if control < observed else "right"
        axes.plot([], [], color="black", linewidth=1.6, linestyle="--", label=f"{CONTROL_LABEL} ({control:.4g}, far {side})")
    axes.set_xlim(shown.min() - 0.06 * span, shown.max() + 0.06 * span)
    axes.locator_params(axis="x", nbins=5)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.set_title(f"{null} (B = {draws.size}, p = {permutation_p(observed, draws):.3g})", fontsize=9)
    plain(axes)
    axes.legend(frameon=False, fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)


def _lighter(colour: str) -> tuple[float, float, float]:
    red, green, blue = (0.6 + 0.4 * int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def _bins(values: FloatArray, span: float) -> FloatArray:
    """Edges of about sqrt(B) bins; equal values get one bar that is thin but can be seen."""
    low, high = float(values.min()), float(values.max())
    if high - low < 0.02 * span:
        middle = 0.5 * (low + high)
        return np.array([middle - 0.01 * span, middle + 0.01 * span])
    return np.linspace(low, high, int(np.clip(np.sqrt(values.size), 4, 25)) + 1)


@dataclass(frozen=True, eq=False)
class _Path:
    """The points of one series, and the references of its last point."""

    labels: tuple[str, ...]
    x: FloatArray
    y: FloatArray
    lattice: tuple[float, float]
    random: tuple[float, float]
    cloud: tuple[FloatArray, FloatArray]


def small_world_plane(series: Mapping[str, Mapping[Any, SmallWorld]], *, title: str = "") -> Figure:
    """Clustering relative to the lattice, against path length relative to the random graph, along a training.

    Every point is (L / L_random, C / C_lattice) of one `SmallWorld`, with L_random the mean over graphs with the same
    degrees and C_lattice that of the ring lattice with the same degrees. Lattices lie at C / C_lattice = 1 far to the
    right, random graphs at L / L_random = 1 low down, and small worlds in the upper left corner.

    Args:
        series: for every name the results of `small_world` by epoch (or any label), in the order of training. A point
            whose C or L or reference is not defined is left out.
        title: over the picture.

    Returns:
        A figure with the whole plane, and beside it the neighbourhood of the paths with arrows along them and with the
        epochs at up to six points each. References are those of the last point of every series: the lattice, the mean of
        the random graphs, and each of these (with its own C / C_lattice and L / L_random).

    Raises:
        AnalysisError: no series, or one without any point that is defined.
    """
    paths = {name: _path(name, points) for name, points in not_empty("series", series).items()}
    figure, (plane, near) = panels(2, 2, (4.7, 4.5))
    for axes in (plane, near):
        _draw_references(axes, list(paths.values()))
        for (name, path), (colour, line, marker) in zip(paths.items(), cycle(STYLES), strict=False):
            axes.plot(path.x, path.y, color=colour, linestyle=line, marker=marker, markersize=5, label=name, zorder=4)
        axes.axvline(1.0, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
        axes.set(xlabel=r"path length relative to random, $L\,/\,L_\mathrm{random}$")
        plain(axes)
    plane.axhline(1.0, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    plane.annotate("small worlds", (0.0, 1.0), (6, -24), xycoords="axes fraction", textcoords="offset points",
                   va="top", style="italic", color="0.35")  # fmt: skip
    plane.set(ylabel=r"clustering relative to the lattice, $C\,/\,C_\mathrm{lattice}$", ylim=(0.0, None))
    plane.set_title("the whole plane", fontsize=9)
    figure.legend(*plane.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    _zoom(near, list(paths.values()))
    named: list[FloatArray] = []
    for path, (colour, _, _) in zip(paths.values(), cycle(STYLES), strict=False):
        _annotate(near, path, colour, named)
    near.set_title("near the path", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _path(name: str, points: Mapping[Any, SmallWorld]) -> _Path:
    usable = {str(epoch): point for epoch, point in points.items() if _missing(point) is None}
    if not usable:
        reasons = [reason for reason in map(_missing, points.values()) if reason is not None]
        raise AnalysisError(f"series[{name!r}] has no point that is defined ({reasons[0] if reasons else 'it is empty'})")
    pairs = np.array([_coordinates(point, _value(point.path_length), _value(point.clustering)) for point in usable.values()])
    last = list(usable.values())[-1]
    reference = last.fixed_degrees
    lattice = _coordinates(last, _value(last.path_length_lattice), _value(last.clustering_lattice))
    random = _coordinates(last, _value(reference.path_length), _value(reference.clustering))
    cloud = _coordinates(last, reference.path_length_replicates, reference.clustering_replicates)
    return _Path(tuple(usable), pairs[:, 0], pairs[:, 1], lattice, random, cloud)


def _missing(point: SmallWorld) -> str | None:
    """Why a point has no place in the plane, or None where it has one."""
    reference = point.fixed_degrees
    needed = (point.clustering, point.path_length, point.clustering_lattice, point.path_length_lattice,
              reference.clustering, reference.path_length)  # fmt: skip
    for quantity in needed:
        if quantity.value is None:
            return quantity.reason
    return None if point.clustering_lattice.value else "the lattice with these degrees has no clustering"


def _value(quantity: Any) -> float:
    return float(quantity.value)


def _coordinates(point: SmallWorld, length: Any, clustering: Any) -> tuple[Any, Any]:
    """Length and clustering (numbers or arrays) relative to the references of the point."""
    return length / _value(point.fixed_degrees.path_length), clustering / _value(point.clustering_lattice)


def _draw_references(axes: Axes, paths: list[_Path]) -> None:
    x, y = (np.concatenate([path.cloud[axis] for path in paths]) for axis in (0, 1))
    axes.plot(x, y, ".", color="0.7", markersize=4, zorder=1, label=REPLICATE_LABEL)
    for label, marker, points in (
        (RANDOM_LABEL, "P", [path.random for path in paths]),
        (LATTICE_LABEL, "h", [path.lattice for path in paths]),
    ):
        axes.plot(
            *zip(*points, strict=True), marker, color="black", markerfacecolor="white", markersize=9, zorder=3, label=label
        )


def _annotate(axes: Axes, path: _Path, colour: str, named: list[FloatArray]) -> None:
    """Arrows along the path and names of its points, at a few of them where there are many.

    Args:
        named: where names stand already, as shares of the axes; points too near to them get none.
    """
    last = len(path.labels) - 1
    places = axes.transAxes.inverted().transform(axes.transData.transform(np.stack([path.x, path.y], axis=1)))
    # The ends first: they matter most.
    spread = np.unique(np.linspace(0, last, min(_MAX_LABELS, last + 1)).round().astype(int)).tolist()
    for index in dict.fromkeys([0, last, *spread]):
        if all(np.abs(places[index] - other).max() > _LABEL_ROOM for other in named):
            named.append(places[index])
            axes.annotate(path.labels[index], (path.x[index], path.y[index]), (5, 5), textcoords="offset points",
                          fontsize=8, color=colour, path_effects=halo(), zorder=6)  # fmt: skip
        if index < last and np.abs(places[index + 1] - places[index]).max() > 0.5 * _LABEL_ROOM:
            axes.annotate("", (path.x[index + 1], path.y[index + 1]), (path.x[index], path.y[index]), zorder=5,
                          arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 3, "shrinkB": 3})  # fmt: skip


def _zoom(axes: Axes, paths: list[_Path]) -> None:
    for axis, limit in ((0, axes.set_xlim), (1, axes.set_ylim)):
        parts = [path.x if axis == 0 else path.y for path in paths]
        shown = np.concatenate([*parts, *(path.cloud[axis] for path in paths), [path.random[axis] for path in paths]])
        margin = 0.15 * float(np.ptp(shown)) or 0.05 * float(shown[0]) or 0.05
        limit(shown.min() - margin, shown.max() + margin)
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(nbins=6)
