"""Pictures, as matplotlib figures without pyplot, so that no global state is touched. They can be told apart without
colour."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from scipy import stats

from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, LongArray
from analysis.graph.intake import as_bipartite
from analysis.graph.values import BipartiteGraph
from analysis.tails.fit import NoFit, fit_power_law
from analysis.tails.laws import power_law_log_pmf

STYLES = tuple(
    zip(
        ("#1b4f9c", "#c0392b", "#1e8449", "#7d3c98", "#b9770e", "#34495e", "#117a8b", "#6e2c00"),
        ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (6, 2, 1, 2))),
        ("o", "s", "^", "D", "v", "P", "X", "*"),
        strict=True,
    )
)
"""Colour, line style and marker; each alone tells the curves apart."""

NULL_LABEL = "random graph, exact"


def learning_curves(
    curves: Mapping[str, npt.ArrayLike], *, ylabel: str = "test accuracy", title: str = "Learning curves"
) -> Figure:
    """Mean over seeds for every method, with a band from the lowest to the highest seed.

    Args:
        curves: for every name an array of shape [n_seeds, n_epochs]; a nan leaves a gap.
        ylabel: label of the vertical axis.
        title: title of the figure.

    Returns:
        The figure.

    Raises:
        AnalysisError: no curves, or one that is not a two-dimensional array with at least one number.
    """
    arrays = {name: _curve(name, values) for name, values in _not_empty("curves", curves).items()}
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for (name, values), (colour, line, marker) in zip(arrays.items(), cycle(STYLES), strict=False):
        epochs = np.arange(1, values.shape[1] + 1)
        # An epoch without a number in any seed stays a gap; numpy's nan-reductions would warn about it.
        known = np.isfinite(values)
        counts = known.sum(axis=0)
        mean = np.where(counts > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)
        low = np.where(counts > 0, np.where(known, values, np.inf).min(axis=0), np.nan)
        high = np.where(counts > 0, np.where(known, values, -np.inf).max(axis=0), np.nan)
        every = max(1, values.shape[1] // 8)
        axes.plot(epochs, mean, color=colour, linestyle=line, marker=marker, markevery=every, markersize=4, label=name)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="epoch", ylabel=ylabel, title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(axes)
    return figure


def degree_distribution(graphs: Mapping[str, Any], *, kind: Literal["ccdf", "histogram"] = "ccdf") -> Figure:
    """Observed degrees of each side, and the exact degree distribution of a uniformly random graph of the same size.

    The degree of one source in a uniformly random bipartite graph with m edges is hypergeometric: m draws without
    replacement from n_in * n_out pairs of which n_out are the source's. The grey line is this distribution, one for
    every size that occurs.

    Args:
        graphs: single layers by name, of any kind that `as_bipartite` takes.
        kind: "ccdf" draws P(degree >= k) on two logarithmic axes, "histogram" the share of neurons of every degree.

    Returns:
        A figure with a panel for sources and a panel for targets.

    Raises:
        AnalysisError: no graphs, an unknown kind, or a graph that cannot be taken in.
    """
    if kind not in ("ccdf", "histogram"):
        raise AnalysisError(f"kind is {kind!r}; choose from ccdf, histogram")
    layers = {name: as_bipartite(graph) for name, graph in _not_empty("graphs", graphs).items()}
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, side in zip(panels, ("sources", "targets"), strict=True):
        for (name, layer), style in zip(layers.items(), cycle(STYLES), strict=False):
            _draw_degrees(axes, _degrees(layer, side), name, style, kind)
        for index, size in enumerate(sorted({(graph.n_in, graph.n_out, graph.n_edges) for graph in layers.values()})):
            _draw_null(axes, size, side, kind, NULL_LABEL if index == 0 else None)
        ylabel = "share of neurons with at least this degree" if kind == "ccdf" else "share of neurons"
        axes.set(xlabel=f"degree of {side}", ylabel=ylabel, title=side.capitalize())
        if kind == "ccdf":
            axes.set(xscale="log", yscale="log")
        _finish(axes)
    return figure


def topology_card(graph: Any, *, title: str = "", bins: int = 300) -> Figure:
    """A layer at a glance: its adjacency matrix, and the degree distribution of either side beside that of a random layer.

    Args:
        graph: one layer, in any form that `describe` takes.
        title: over the picture.
        bins: the adjacency is drawn as shares of joined pairs in at most bins x bins cells.

    Returns:
        A figure; black on white, targets downwards and sources to the right, as in the weight matrix.
    """
    layer = as_bipartite(graph)
    rows, columns = min(bins, layer.n_out), min(bins, layer.n_in)
    edges = (layer.dst.astype(np.int64) * rows // layer.n_out) * columns + layer.src.astype(np.int64) * columns // layer.n_in
    cells = np.bincount(edges, minlength=rows * columns).reshape(rows, columns)
    sizes = [
        np.bincount(np.arange(n, dtype=np.int64) * k // n, minlength=k) for n, k in ((layer.n_out, rows), (layer.n_in, columns))
    ]
    share = cells / np.outer(*sizes)
    figure = Figure(figsize=(9, 3), layout="constrained")
    picture, sources, targets = figure.subplots(1, 3)
    picture.imshow(share, cmap="Greys", vmin=0, vmax=share.max() or 1, aspect="auto", interpolation="nearest",
                   extent=(0, layer.n_in, layer.n_out, 0))  # fmt: skip
    picture.set(xlabel="source", ylabel="target")
    for axes, side in ((sources, "sources"), (targets, "targets")):
        _draw_degrees(axes, _degrees(layer, side), "this layer", STYLES[0], "ccdf")
        _draw_null(axes, (layer.n_in, layer.n_out, layer.n_edges), side, "ccdf", NULL_LABEL)
        axes.set(xlabel=f"degree of {side}", ylabel="share with at least this degree")
        if layer.n_edges > 0:
            axes.set(xscale="log", yscale="log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        _finish(axes)
    figure.suptitle(title, fontsize=9)
    return figure


def input_degree_map(degrees: Mapping[str, npt.ArrayLike], image_shape: tuple[int, int]) -> Figure:
    """The degree of every input neuron, laid out as the image that the inputs are; all panels share one scale.

    Args:
        degrees: for every name the degrees of the inputs, shape [height * width], row by row.
        image_shape: (height, width) of the image.

    Returns:
        A figure with a panel for every name and one colour bar.

    Raises:
        AnalysisError: no degrees, or a number of them that is not height * width.
    """
    height, width = image_shape
    arrays = {name: np.asarray(values, dtype=float) for name, values in _not_empty("degrees", degrees).items()}
    for name, values in arrays.items():
        if values.ndim != 1 or values.size != height * width:
            raise AnalysisError(
                f"degrees[{name!r}] has shape {values.shape}; image_shape {image_shape} needs a vector of {height * width}"
            )
    n_columns = min(4, len(arrays))
    n_rows = -(-len(arrays) // n_columns)
    figure = Figure(figsize=(2.3 * n_columns + 0.9, 2.5 * n_rows + 0.3), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    highest = max(1.0, *(float(values.max()) for values in arrays.values()))
    for axes in panels.flat[len(arrays) :]:
        axes.set_axis_off()
    for axes, (name, values) in zip(panels.flat, arrays.items(), strict=False):
        picture = axes.imshow(values.reshape(height, width), cmap="viridis", vmin=0.0, vmax=highest)
        axes.set(title=name, xticks=[], yticks=[])
    figure.colorbar(picture, ax=panels, label="degree of the input neuron", shrink=0.85)
    return figure


def draw_degree_tails(axes: Axes, graphs: Mapping[str, Sequence[Any]]) -> None:
    """Draw P(out-degree >= k) on two logarithmic axes: observed, of a uniformly random layer, and of a fitted power law.

    Args:
        axes: where to draw.
        graphs: for every name one layer a seed, of any kind that `as_bipartite` takes. The first is drawn bold and is the
            one that the power law is fitted to (see `fit_power_law`); the others are thin.

    Raises:
        AnalysisError: no graphs, or one that cannot be taken in.
    """
    layers = _seeds(graphs)
    for (name, (first, *others)), style in zip(layers.items(), cycle(STYLES), strict=False):
        for other in others:
            _draw_degrees(axes, other.out_degrees, "_", style, "ccdf")
            axes.lines[-1].set(linewidth=0.7, alpha=0.6, marker="")
        _draw_degrees(axes, first.out_degrees, name, style, "ccdf")
        _draw_power_law(axes, first.out_degrees, style[1])
    for index, size in enumerate(_sizes(layers)):
        _draw_null(axes, size, "sources", "ccdf", NULL_LABEL if index == 0 else None)
    axes.set(xscale="log", yscale="log", xlabel="out-degree $k$", ylabel="share of neurons with degree ≥ $k$")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0.005 / max(n_in for n_in, _, _ in _sizes(layers)))  # room for the legend
    _finish(axes)
    axes.legend(frameon=False, fontsize="x-small", loc="lower left")


def draw_degree_histogram(axes: Axes, graphs: Mapping[str, Sequence[Any]], *, max_bins: int = 40) -> None:
    """Draw the share of neurons in each bin of out-degrees, and that of a uniformly random layer.

    Args:
        axes: where to draw.
        graphs: for every name one layer a seed, of any kind that `as_bipartite` takes. The line is their mean, the band
            reaches from the lowest to the highest.
        max_bins: bins are one degree wide, or as many as keep their number within about this.

    Raises:
        AnalysisError: no graphs, or one that cannot be taken in.
    """
    layers = _seeds(graphs)
    highest = max(int(layer.out_degrees.max()) for seeds in layers.values() for layer in seeds)
    width = 1 + highest // max_bins
    edges = np.arange(0, highest + width + 1, width)
    for (name, seeds), (colour, line, _) in zip(layers.items(), cycle(STYLES), strict=False):
        shares = np.array([np.histogram(layer.out_degrees, edges)[0] / layer.n_in for layer in seeds])
        axes.stairs(shares.mean(axis=0), edges - 0.5, color=colour, linestyle=line, linewidth=1.5, label=name)
        axes.stairs(shares.max(axis=0), edges - 0.5, baseline=shares.min(axis=0), fill=True, color=colour, alpha=0.2)
    for index, (n_in, n_out, n_edges) in enumerate(_sizes(layers)):
        null = np.diff(stats.hypergeom(n_in * n_out, n_out, n_edges).cdf(edges - 1))
        label = None if index else NULL_LABEL
        axes.plot(edges[:-1] + (width - 1) / 2, null, color="0.45", linewidth=3.5, alpha=0.6, zorder=0, label=label)
    axes.set(xlabel="out-degree $k$", ylabel=f"share of neurons (bins of {width})" if width > 1 else "share of neurons")
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
    _finish(axes)
    axes.legend(frameon=False, fontsize="small", loc="upper right")


def _not_empty(argument: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    if not values:
        raise AnalysisError(f"{argument} is empty; at least one entry is needed")
    return values


def _seeds(graphs: Mapping[str, Sequence[Any]]) -> dict[str, list[BipartiteGraph]]:
    layers = {name: [as_bipartite(seed) for seed in seeds] for name, seeds in _not_empty("graphs", graphs).items()}
    for name, seeds in layers.items():
        if not seeds:
            raise AnalysisError(f"graphs[{name!r}] is empty; at least one seed is needed")
    return layers


def _sizes(layers: Mapping[str, Sequence[BipartiteGraph]]) -> list[tuple[int, int, int]]:
    return sorted({(layer.n_in, layer.n_out, layer.n_edges) for seeds in layers.values() for layer in seeds})


def _curve(name: str, values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not np.isfinite(array).any():
        raise AnalysisError(f"curves[{name!r}] has shape {array.shape}; numbers of shape [n_seeds, n_epochs] are needed")
    return array


def _degrees(graph: BipartiteGraph, side: str) -> LongArray:
    return graph.out_degrees if side == "sources" else graph.in_degrees


def _draw_degrees(axes: Axes, degrees: LongArray, name: str, style: tuple[str, Any, str], kind: str) -> None:
    colour, line, marker = style
    values, counts = np.unique(degrees, return_counts=True)
    shares = counts / degrees.size
    if kind == "ccdf":
        shares = shares[::-1].cumsum()[::-1]
        # A logarithmic axis has no place for degree 0.
        values, shares = values[values > 0], shares[values > 0]
    every = max(1, values.size // 20)
    axes.plot(values, shares, color=colour, linestyle=line, marker=marker, markersize=4, markevery=every, label=name)


def _draw_power_law(axes: Axes, degrees: LongArray, line: Any) -> None:
    """Draw the fitted tail from xmin to the largest degree, at the height of the observed share; nothing without a fit."""
    fit = fit_power_law(degrees)
    if isinstance(fit, NoFit):
        return
    values = np.arange(fit.xmin, degrees.max() + 1)
    below = np.exp(power_law_log_pmf(fit.alpha, fit.xmin)(values[:-1].astype(np.float64))).cumsum()
    shares = fit.n_tail / degrees.size * (1 - np.concatenate([[0.0], below]))
    names = ("\\alpha", "x_\\mathrm{min}", "n_\\mathrm{tail}")
    label = ", ".join(
        f"${name}$ = {value}" for name, value in zip(names, (f"{fit.alpha:.1f}", fit.xmin, fit.n_tail), strict=True)
    )
    axes.plot(values, shares, color="black", linestyle=line, linewidth=1.8, zorder=3, label=f"power law, {label}")


def _draw_null(axes: Axes, size: tuple[int, int, int], side: str, kind: str, label: str | None) -> None:
    n_in, n_out, n_edges = size
    n_opposite, n_own = (n_out, n_in) if side == "sources" else (n_in, n_out)
    law = stats.hypergeom(n_in * n_out, n_opposite, n_edges)
    values = np.arange(n_opposite + 1)
    shares = law.sf(values - 1) if kind == "ccdf" else law.pmf(values)
    # Where fewer than a tenth of one neuron is expected, on either end, the line would only stretch the axis.
    rare = 0.1 / n_own
    shown = (shares >= rare) & (law.cdf(values) >= rare) & ((values > 0) | (kind == "histogram"))
    axes.plot(values[shown], shares[shown], color="0.45", linewidth=3.5, alpha=0.6, zorder=0, label=label)


def _finish(axes: Axes) -> None:
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
