"""What all pictures share: styles of curves, panels, axes, labels, and checks of what is drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter

from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray

_LABEL_SIZE = 8.0
_GAPS = (4.0, 18.0)
_AROUND = ((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))

_MANY_TICKS = 6.0
"""A logarithmic axis over a smaller ratio than this would have two labels or three."""


def not_empty(argument: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping itself; an AnalysisError that names the argument if it is empty."""
    if not values:
        raise AnalysisError(f"{argument} is empty; at least one entry is needed")
    return values


def finite_vector(name: str, values: npt.ArrayLike) -> FloatArray:
    """At least one finite number as float64 of shape [n]; an AnalysisError that names the argument otherwise."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise AnalysisError(f"{name} is not a vector of numbers") from None
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise AnalysisError(f"{name} has shape {array.shape}; a vector of at least 1 finite number is needed")
    return array


def panels(
    n: int, columns: int, size: tuple[float, float], extra: tuple[float, float] = (0.0, 0.0)
) -> tuple[Figure, list[Axes]]:
    """A figure with n panels, row after row, and the panels; what is left of the last row is blank.

    `size` is width and height of a panel in inches, `extra` is added to the figure's for what stands beside the panels.
    """
    n_columns = min(columns, n)
    n_rows = -(-n // n_columns)
    figure = Figure(figsize=(size[0] * n_columns + extra[0], size[1] * n_rows + extra[1]), layout="constrained")
    axes: list[Axes] = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for blank in axes[n:]:
        blank.set_axis_off()
    return figure, axes[:n]


def plain(axes: Axes) -> None:
    """A faint grid, and no frame on the right and above."""
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def log_log(axes: Axes) -> None:
    """Both axes logarithmic, the horizontal one with plain numbers."""
    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def limited(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Plain logarithmic axes with these limits, all above 0."""
    log_log(axes)
    axes.set(xlim=x, ylim=y)
    if x[1] / x[0] < _MANY_TICKS:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_minor_locator(NullLocator())
    plain(axes)


def halo(width: float = 2.5) -> list[AbstractPathEffect]:
    """A white seam, so many points wide, that keeps lines and letters readable on any ground."""
    return [withStroke(linewidth=width, foreground="white")]


def between(start: npt.ArrayLike, end: npt.ArrayLike, n: int = 15) -> FloatArray:
    """n points along a straight line from (x, y) to (x, y), its ends among them; float64 of shape [n, 2]."""
    return np.linspace(np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64), n)


def label_points(axes: Axes, labels: Sequence[tuple[str, float, float, str]], obstacles: FloatArray) -> None:
    """Write names beside points where they cover least; a name that would cover another one is left out.

    Args:
        axes: the panel; its figure has been laid out and its limits are final.
        labels: (text, x, y, colour) of every point, the most important first.
        obstacles: places that had better not be covered, float64 of shape [n, 2], in the units of the data.
    """
    pixels = axes.figure.dpi / 72.0
    dots, window = axes.transData.transform(obstacles), axes.get_window_extent()
    taken: list[tuple[FloatArray, FloatArray]] = []
    for text, x, y, colour in labels:
        half = 0.5 * _LABEL_SIZE * pixels * np.array([0.62 * len(text), 1.25])
        here = axes.transData.transform((x, y))
        centres = [here + np.array(way) * (half + gap * pixels) for gap in _GAPS for way in _AROUND]
        free = [c for c in centres if all((np.abs(c - other) >= half + size).any() for other, size in taken)]
        inside = [c for c in free if (c - half >= window.min).all() and (c + half <= window.max).all()]
        if not (inside or free):
            continue
        # The first of equals, that is the nearest.
        best = min(inside or free, key=lambda c: np.count_nonzero((np.abs(dots - c) < half).all(axis=1)))
        taken.append((best, half))
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
        axes.annotate(text, (x, y), (best - here) / pixels, textcoords="offset points", ha="center", va="center", zorder=6,
                      fontsize=_LABEL_SIZE, color=colour, path_effects=halo(), arrowprops=leader)  # fmt: skip


STYLES = tuple(
    zip(
        ("#1b4f9c", "#c0392b", "#1e8449", "#7d3c98", "#b9770e", "#34495e", "#117a8b", "#6e2c00"),
        ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (6, 2, 1, 2))),
        ("o", "s", "^", "D", "v", "P", "X", "*"),
        strict=True,
    )
)
"""Colour, line style and marker; each alone tells the curves apart."""
