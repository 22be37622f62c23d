"""The small-world plane: the place of a layer between its lattice and its random graphs."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray
from analysis.measures.small_world import SmallWorld
from analysis.render.pictures.style import STYLES, between, label_points, not_empty, panels, plain

LATTICE_LABEL = "ring lattice, same degrees"
RANDOM_LABEL = "random, same degrees (mean)"
REPLICATE_LABEL = "random, same degrees (each)"
OWN_LABEL = "random mean of each earlier point"

_MAX_LABELS = 6


@dataclass(frozen=True, eq=False)
class PlanePoint:
    """What a place in the small-world plane needs: clustering C and path length L of a graph and of its references.

    Attributes:
        clustering: C of the graph.
        path_length: L of the graph.
        lattice: (C, L) of the ring lattice with the same degrees, both above 0.
        random: means of (C, L) over random graphs with the same degrees; the mean of L is above 0.
        cloud: C and L of each of these random graphs, float64 of shape [B] both; empty if only the means are known.

    Raises:
        AnalysisError: a reference that is divided by is not above 0, or C and L have not as many replicates.
    """

    clustering: float
    path_length: float
    lattice: tuple[float, float]
    random: tuple[float, float]
    cloud: tuple[FloatArray, FloatArray]

    def __post_init__(self) -> None:
        if self.lattice[0] <= 0.0:
            raise AnalysisError("the lattice with these degrees has no clustering")
        if self.random[1] <= 0.0:
            raise AnalysisError("random graphs with these degrees have no path length above 0")
        if self.cloud[0].size != self.cloud[1].size:
            raise AnalysisError("clustering and path length are not defined in the same replicates")

    def place(self, clustering: Any, path_length: Any) -> tuple[Any, Any]:
        """Where a graph of this C and L, numbers or arrays, lies beside these references: (L / L_random, C / C_lattice)."""
        return path_length / self.random[1], clustering / self.lattice[0]


def plane_point(world: SmallWorld) -> PlanePoint:
    """The place of a small world, beside the random graphs with the same degrees; an AnalysisError if C or L is missing."""
    reference = world.fixed_degrees
    needed = (world.clustering, world.path_length, world.clustering_lattice, world.path_length_lattice,
              reference.clustering, reference.path_length)  # fmt: skip
    values = [quantity.value for quantity in needed if quantity.value is not None]
    if len(values) < len(needed):
        raise AnalysisError(next(quantity.reason for quantity in needed if quantity.reason is not None))
    own, lattice, random = zip(values[::2], values[1::2], strict=True)
    return PlanePoint(*own, lattice, random, (reference.clustering_replicates, reference.path_length_replicates))


@dataclass(frozen=True, eq=False)
class _Path:
    """The points of one series in the plane, the random mean of each, and the other references of the last."""

    labels: tuple[str, ...]
    x: FloatArray
    y: FloatArray
    means: FloatArray
    lattice: tuple[float, float]
    cloud: tuple[FloatArray, FloatArray]


def small_world_plane(series: Mapping[str, Mapping[Any, SmallWorld | PlanePoint]], *, title: str = "") -> Figure:
    """Clustering relative to the lattice, against path length relative to the random graph, along a training.

    Every point is (L / L_random, C / C_lattice) of one graph, with L_random the mean over graphs with the same degrees
    and C_lattice that of the ring lattice with the same degrees. Lattices lie at C / C_lattice = 1 far to the right,
    random graphs at L / L_random = 1 low down, and small worlds in the upper left corner.

    Args:
        series: for every name the results of `small_world`, or points, by epoch (or any label), in the order of training.
            A small world of which C, L or a reference is not defined is left out.
        title: over the picture.

    Returns:
        A figure with the whole plane, and beside it the neighbourhood of the points with arrows along paths and with the
        epochs at up to six points each. A thin line leads from every point to the mean of its own random graphs, at
        (1, C_random / C_lattice). The other references are those of the last point of every series: the lattice, and each
        of the random graphs.

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
    for path in paths.values():
        for left, low, mean in zip(path.x, path.y, path.means, strict=True):
            near.plot([left, 1.0], [low, mean], color="0.55", linewidth=0.6, zorder=2)
    _finish_plane(plane)
    figure.legend(*plane.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    _zoom(near, list(paths.values()))
    figure.suptitle(title, fontsize=10)
    # Places on the screen are known once the layout is.
    figure.draw_without_rendering()
    _annotate(near, paths)
    return figure


def _path(name: str, points: Mapping[Any, SmallWorld | PlanePoint]) -> _Path:
    usable, reason = dict[str, PlanePoint](), "it is empty"
    for epoch, point in points.items():
        try:
            usable[str(epoch)] = point if isinstance(point, PlanePoint) else plane_point(point)
        except AnalysisError as error:
            reason = str(error)
    if not usable:
        raise AnalysisError(f"series[{name!r}] has no point that is defined ({reason})")
    places = np.array([point.place(point.clustering, point.path_length) for point in usable.values()])
    means = np.array([point.place(*point.random)[1] for point in usable.values()])
    last = list(usable.values())[-1]
    return _Path(tuple(usable), places[:, 0], places[:, 1], means, last.place(*last.lattice), last.place(*last.cloud))


def _draw_references(axes: Axes, paths: list[_Path]) -> None:
    x, y = (np.concatenate([path.cloud[axis] for path in paths]) for axis in (0, 1))
    axes.plot(x, y, ".", color="0.7", markersize=4, zorder=1, label=REPLICATE_LABEL)
    earlier = np.concatenate([path.means[:-1] for path in paths])
    if earlier.size:
        axes.plot(np.ones(earlier.size), earlier, "_", color="0.35", markersize=9, zorder=2, label=OWN_LABEL)
    for label, marker, places in (
        (RANDOM_LABEL, "P", [(1.0, path.means[-1]) for path in paths]),
        (LATTICE_LABEL, "h", [path.lattice for path in paths]),
    ):
        axes.plot(
            *zip(*places, strict=True), marker, color="black", markerfacecolor="white", markersize=9, zorder=3, label=label
        )


def _finish_plane(plane: Axes) -> None:
    plane.axhline(1.0, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    plane.set(ylabel=r"clustering relative to the lattice, $C\,/\,C_\mathrm{lattice}$")
    plane.set_ylim(0.0, 1.14 * max(1.0, plane.dataLim.y1))
    # Right of the line at 1 and above the one at 1, where points are rare.
    plane.annotate("small worlds", (1.0, 1.0), (6, 7), textcoords="offset points", style="italic", color="0.35", zorder=0)
    plane.set_title("the whole plane", fontsize=9)


def _annotate(axes: Axes, paths: Mapping[str, _Path]) -> None:
    """Arrows along the paths and names of their points, at a few of them if there are many; the ends first."""
    labels: list[tuple[str, float, float, str]] = []
    obstacles = [np.array([path.cloud[0], path.cloud[1]]).T for path in paths.values()]
    for path, (colour, _, _) in zip(paths.values(), cycle(STYLES), strict=False):
        last = len(path.labels) - 1
        spread = np.unique(np.linspace(0, last, min(_MAX_LABELS, last + 1)).round().astype(int)).tolist()
        labels += [(path.labels[k], path.x[k], path.y[k], colour) for k in dict.fromkeys([0, last, *spread])]
        corners = np.stack([path.x, path.y], axis=1)
        for start, end in pairwise(corners):
            arrow = {"arrowstyle": "-|>", "color": colour, "shrinkA": 3, "shrinkB": 3}
            axes.annotate("", tuple(end), tuple(start), zorder=5, arrowprops=arrow)
        means = np.stack([np.ones(path.means.size), path.means], axis=1)
        obstacles += [*map(between, corners, corners[1:]), *map(between, corners, means)]
    label_points(axes, labels, np.concatenate(obstacles))


def _zoom(axes: Axes, paths: list[_Path]) -> None:
    x = np.concatenate([[1.0], *(part for path in paths for part in (path.x, path.cloud[0]))])
    y = np.concatenate([part for path in paths for part in (path.y, path.means, path.cloud[1])])
    axes.set_xlim(_around(x))
    axes.set_ylim(_around(y))
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(nbins=6)
    many = [path for path in paths if len(path.labels) > 1]
    axes.set_title("near the path" if many else "near the point" if len(paths) == 1 else "near the points", fontsize=9)


def _around(values: FloatArray) -> tuple[float, float]:
    margin = 0.15 * float(np.ptp(values)) or 0.05 * float(values[0]) or 0.05
    return float(values.min()) - margin, float(values.max()) + margin
