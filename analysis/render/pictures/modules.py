"""Modules and adjacency: who is joined to whom in two orders, and edges between modules beside their expectation."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.base.checks import check_count
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import as_bipartite
from analysis.measures.community import Modules
from analysis.render.pictures.style import halo, panels

CELLS = 250
"""Upper limit of cells per side of an adjacency picture; if there are more neurons, a cell shows the share of joined pairs."""

MAX_ANNOTATED = 12
_CLIP = 2.0


def adjacency_matrix(graph: Any, partition: Modules | None = None, *, cells: int = CELLS, title: str = "") -> Figure:
    """The adjacency of a layer ordered by degree, and beside it ordered by module.

    By degree: neurons of most edges first, so hubs meet in the upper left corner. By module: modules from the largest
    on, inside a module by degree, neurons without edges last; a frame surrounds the pairs inside every module.

    Args:
        graph: one layer, of any kind that `as_bipartite` takes.
        partition: its modules, as `analysis.modules` finds them; without them the first picture stands alone.
        cells: cells per side at most, at least 1.
        title: over the picture.

    Returns:
        A figure; targets downwards and sources to the right, as in the weight matrix. A cell is the darker the larger its
        share of joined pairs; black is the 99.9 % quantile of the cells of both orders.

    Raises:
        AnalysisError: the graph has no edge or cannot be taken in, `cells` is out of range, or the partition is another
            graph's.
    """
    layer = as_bipartite(graph)
    check_count("cells", cells)
    if layer.n_edges == 0:
        raise AnalysisError("graph has no edge; a picture of its adjacency needs at least 1")
    orders = {"by degree": (_by_degree(layer.out_degrees), _by_degree(layer.in_degrees))}
    if partition is not None:
        check_partition(layer, partition)
        orders[f"by module ({partition.n_modules} modules, Q = {partition.modularity:.3f})"] = _by_module(layer, partition)
    shares = {name: cell_densities(layer, *order, cells) for name, order in orders.items()}
    darkest = max(float(np.quantile(share, 0.999)) for share in shares.values()) or 1.0
    figure, axes = panels(len(orders), 2, (4.6, 4.4), (0.5, 0.2))
    for panel, (name, share) in zip(axes, shares.items(), strict=True):
        picture = panel.imshow(share, cmap="Greys", vmin=0.0, vmax=darkest, aspect="auto", interpolation="nearest",
                               extent=(0, layer.n_in, layer.n_out, 0))  # fmt: skip
        panel.set(xlabel="sources", ylabel="targets")
        panel.set_title(name, fontsize=9)
    if partition is not None:
        _frame_modules(axes[1], partition)
    figure.colorbar(picture, ax=axes, label="share of joined pairs", shrink=0.7, extend="max" if darkest < 1.0 else "neither")
    figure.suptitle(title, fontsize=10)
    return figure


def cell_densities(graph: BipartiteGraph, source_order: LongArray, target_order: LongArray, cells: int) -> FloatArray:
    """Share of joined pairs in the cells of an adjacency matrix whose columns (sources) and rows (targets) are put in an order.

    At most `cells` cells per side, as equal in size as the numbers of neurons allow; shape [min(cells, n_out), min(cells,
    n_in)].
    """
    rows, row_sizes = _cell_of(target_order, cells)
    columns, column_sizes = _cell_of(source_order, cells)
    keys = rows[graph.dst] * column_sizes.size + columns[graph.src]
    counts = np.bincount(keys, minlength=row_sizes.size * column_sizes.size).reshape(row_sizes.size, column_sizes.size)
    return counts / np.outer(row_sizes, column_sizes)


def _cell_of(order: LongArray, cells: int) -> tuple[LongArray, LongArray]:
    """Cell of every neuron, and the number of neurons in every cell."""
    n, k = order.size, min(int(cells), order.size)
    cell = np.empty(n, dtype=np.int64)
    cell[order] = np.arange(n, dtype=np.int64) * k // n
    return cell, np.bincount(cell, minlength=k)


def _by_degree(degrees: LongArray) -> LongArray:
    return np.argsort(-degrees, kind="stable")


def _by_module(graph: BipartiteGraph, partition: Modules) -> tuple[LongArray, LongArray]:
    sides = ((partition.source_labels, graph.out_degrees), (partition.target_labels, graph.in_degrees))
    first, second = (np.lexsort((-degrees, np.where(labels < 0, partition.n_modules, labels))) for labels, degrees in sides)
    return first, second


def _frame_modules(axes: Axes, partition: Modules) -> None:
    x, y = np.zeros(partition.n_modules + 1), np.zeros(partition.n_modules + 1)
    for ends, labels in ((x, partition.source_labels), (y, partition.target_labels)):
        ends[1:] = np.cumsum(np.bincount(labels[labels >= 0], minlength=partition.n_modules))
    for left, right, top, bottom in zip(x, x[1:], y, y[1:], strict=False):
        frame = Rectangle(
            (left, top), right - left, bottom - top, fill=False, edgecolor="#a02020", linewidth=1.3, clip_on=False
        )
        frame.set_path_effects(halo(2.6))
        axes.add_patch(frame)


def check_partition(graph: BipartiteGraph, partition: Modules) -> None:
    """Refuse a partition of other neurons than the graph's, and a label below 0 of a neuron with edges."""
    sides = (("source_labels", partition.source_labels, graph.n_in), ("target_labels", partition.target_labels, graph.n_out))
    for name, labels, size in sides:
        if labels.shape != (size,) or not np.issubdtype(labels.dtype, np.integer):
            raise AnalysisError(
                f"partition: {name} has shape {labels.shape} and dtype {labels.dtype}; {size} integers are needed"
            )
    if (partition.source_labels[graph.src] < 0).any() or (partition.target_labels[graph.dst] < 0).any():
        raise AnalysisError("partition: a neuron with edges has a label below 0; only neurons without edges may have that")


def module_edges(graph: BipartiteGraph, partition: Modules) -> tuple[LongArray, FloatArray]:
    """Edges between the sources of one module and the targets of another, and how many the degrees lead one to expect.

    The expectation is that of Barber's modularity, sum_i sum_j k_i d_j / m over the sources i of the one and the targets j of
    the other. Both of shape [n_modules, n_modules] with the module of the targets as row; each adds up to n_edges. An
    AnalysisError without edges, or if the partition is another graph's.
    """
    check_partition(graph, partition)
    if graph.n_edges == 0:
        raise AnalysisError("graph has no edge; edges between modules need at least 1")
    n = partition.n_modules
    g, h = partition.source_labels[graph.src], partition.target_labels[graph.dst]
    edges = np.bincount(h * n + g, minlength=n * n).reshape(n, n)
    return edges, np.outer(edges.sum(axis=1), edges.sum(axis=0)) / graph.n_edges


def module_matrix(graph: Any, partition: Modules, *, title: str = "") -> Figure:
    """Edges from the sources of every module to the targets of every module, divided by their expectation.

    Targets' modules downwards, sources' modules to the right; the shade is log2 of the ratio (middle grey is 1, white at most
    1/4, black at least 4). Up to 12 modules, each cell states the ratio and the number of edges. A module without sources has
    no column, one without targets no row. An AnalysisError as `module_edges`, or if the graph cannot be taken in.
    """
    edges, expected = module_edges(as_bipartite(graph), partition)
    rows, columns = np.flatnonzero(edges.sum(axis=1)), np.flatnonzero(edges.sum(axis=0))
    edges, expected = edges[np.ix_(rows, columns)], expected[np.ix_(rows, columns)]
    ratio = edges / expected
    shade = np.log2(np.maximum(ratio, 2.0**-_CLIP))
    is_annotated = max(ratio.shape) <= MAX_ANNOTATED
    side = np.clip((0.62 if is_annotated else 0.2) * max(ratio.shape), 2.6, 7.5)
    figure = Figure(figsize=(side + 1.8, side + 0.9), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(shade, cmap="Greys", vmin=-_CLIP, vmax=_CLIP)
    if is_annotated:
        for (row, column), value in np.ndenumerate(ratio):
            colour = "white" if shade[row, column] > 0.3 else "black"
            text = f"{value:.2f}\n({edges[row, column]})"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
        axes.set(xticks=range(columns.size), xticklabels=columns + 1, yticks=range(rows.size), yticklabels=rows + 1)
    axes.set(xlabel="module of the sources", ylabel="module of the targets")
    bar = figure.colorbar(picture, ax=axes, ticks=[-2, -1, 0, 1, 2], label="edges / expected", shrink=0.85, extend="both")
    bar.ax.set_yticklabels(["1/4", "1/2", "1", "2", "4"])
    figure.suptitle(title, fontsize=10)
    return figure
