"""Maps of a first layer whose sources are the pixels of an image: degrees, strengths, receptive fields."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import as_bipartite
from analysis.measures.strength import NO_WEIGHTS, strengths
from analysis.measures.wiring_length import expected_squared_radii, field_sizes_and_radii
from analysis.render.pictures.style import not_empty, panels

KINDS = {"positive": "positive weights", "negative": "negative weights (magnitude)", "net": "net (positive - negative)"}


def first_layer_maps(layers: Mapping[str, Any], image_shape: tuple[int, int]) -> dict[str, Figure]:
    """All maps of one or several first layers, such as one layer at several epochs.

    Args:
        layers: layers by name, of any kind that `as_bipartite` takes; their sources are pixels, row after row.
        image_shape: (height, width) of the image.

    Returns:
        "degree" (`input_degree_map`), "strength" if all layers have weights (`input_strength_map`), and "field"
        (`receptive_field_map`).

    Raises:
        AnalysisError: no layers, a layer that cannot be taken in or has no edge, or one with another number of sources than
            the image has pixels.
    """
    graphs = _first_layers(layers, image_shape)
    figures = {"degree": input_degree_map({name: graph.out_degrees for name, graph in graphs.items()}, image_shape)}
    if all(graph.weights is not None for graph in graphs.values()):
        figures["strength"] = input_strength_map(graphs, image_shape)
    return figures | {"field": receptive_field_map(graphs, image_shape)}


def _first_layers(layers: Mapping[str, Any], image_shape: tuple[int, int]) -> dict[str, BipartiteGraph]:
    graphs = {name: as_bipartite(graph) for name, graph in not_empty("layers", layers).items()}
    for name, graph in graphs.items():
        field_sizes_and_radii(graph, image_shape)
        if graph.n_edges == 0:
            raise AnalysisError(f"layers[{name!r}] has no edge; a map needs at least 1")
    return graphs


def input_degree_map(degrees: Mapping[str, npt.ArrayLike], image_shape: tuple[int, int]) -> Figure:
    """The degree of every input neuron, laid out as the image that the inputs are; all panels share one scale.

    Args:
        degrees: for every name the degrees of the inputs, shape [height * width], row by row.
        image_shape: (height, width) of the image.

    Raises:
        AnalysisError: no degrees, or a number of them that is not height * width.
    """
    height, width = image_shape
    arrays = {name: np.asarray(values, dtype=float) for name, values in not_empty("degrees", degrees).items()}
    for name, values in arrays.items():
        if values.ndim != 1 or values.size != height * width:
            raise AnalysisError(
                f"degrees[{name!r}] has shape {values.shape}; image_shape {image_shape} needs a vector of {height * width}"
            )
    figure, axes = panels(len(arrays), 4, (2.3, 2.5), (0.9, 0.3))
    highest = max(1.0, *(float(values.max()) for values in arrays.values()))
    for panel, (name, values) in zip(axes, arrays.items(), strict=True):
        picture = panel.imshow(values.reshape(height, width), cmap="viridis", vmin=0.0, vmax=highest)
        panel.set(title=name, xticks=[], yticks=[])
    figure.colorbar(picture, ax=axes, label="degree of the input neuron", shrink=0.85)
    return figure


def input_strength_map(layers: Mapping[str, Any], image_shape: tuple[int, int]) -> Figure:
    """Sums of the weights that leave every input, by sign, laid out as the image; arguments and errors as `first_layer_maps`.

    A column for every layer, and rows for s+_i = sum_j max(w_ij, 0), s-_i = sum_j max(-w_ij, 0) and their difference; all
    columns share the scale of a row. In the difference middle grey is 0, black positive, white negative.
    """
    graphs = _first_layers(layers, image_shape)
    sums = {name: _strengths(name, graph) for name, graph in graphs.items()}
    figure, axes = panels(3 * len(graphs), len(graphs), (2.4, 2.5), (1.4, 0.3))
    largest = max(float(part[kind].max()) for part in sums.values() for kind in ("positive", "negative")) or 1.0
    widest = max(float(np.abs(part["net"]).max()) for part in sums.values()) or 1.0
    for row, (kind, heading) in enumerate(KINDS.items()):
        line = axes[row * len(graphs) : (row + 1) * len(graphs)]
        low, high, colours = (-widest, widest, "Greys") if kind == "net" else (0.0, largest, "viridis")
        for panel, (name, part) in zip(line, sums.items(), strict=True):
            picture = panel.imshow(part[kind].reshape(image_shape), cmap=colours, vmin=low, vmax=high)
            panel.set(xticks=[], yticks=[])
            panel.set_title(f"{name}\n{heading}" if row == 0 else heading, fontsize=9)
        figure.colorbar(picture, ax=line, label="strength of the input", shrink=0.85)
    return figure


def _strengths(name: str, graph: BipartiteGraph) -> dict[str, FloatArray]:
    if graph.weights is None:
        raise AnalysisError(f"layers[{name!r}]: {NO_WEIGHTS}")
    return strengths(graph.src, graph.weights, graph.n_in)


def field_centroids(graph: BipartiteGraph, image_shape: tuple[int, int]) -> FloatArray:
    """Mean (row, column) of the pixels that every target is joined to, shape [n_out, 2]; nan for a target without edges."""
    sizes, _ = field_sizes_and_radii(graph, image_shape)
    sums = [np.bincount(graph.dst, part, minlength=graph.n_out) for part in np.divmod(graph.src, int(image_shape[1]))]
    centroids = np.full((graph.n_out, 2), np.nan)
    seeing = sizes > 0
    centroids[seeing] = np.stack(sums, axis=1)[seeing] / sizes[seeing, None]
    return centroids


def receptive_field_map(layers: Mapping[str, Any], image_shape: tuple[int, int]) -> Figure:
    """The centroid of every target's pixels, shaded by their radius about it; arguments and errors as `first_layer_maps`.

    A panel for every layer; the frame is the image, one point per target, its shade the root mean square distance of its pixels
    from their centroid, on one scale. Title and circles compare the root of the mean squared radius (solid, about the mean
    centroid) with that of random fields of the same sizes (dashed, about the image's centre;
    `analysis.measures.wiring_length.expected_squared_radii`). Targets without edges are left out.
    """
    graphs = _first_layers(layers, image_shape)
    height, width = image_shape
    figure, axes = panels(len(graphs), 4, (2.7, 2.9), (0.9, 0.2))
    fields = {name: field_sizes_and_radii(graph, image_shape) for name, graph in graphs.items()}
    seen = np.sqrt(np.concatenate([squared[sizes > 0] for sizes, squared in fields.values()]))
    for panel, (name, (sizes, squared)) in zip(axes, fields.items(), strict=True):
        seeing = sizes > 0
        rows, columns = field_centroids(graphs[name], image_shape)[seeing].T
        points = panel.scatter(columns, rows, c=np.sqrt(squared[seeing]), s=14, cmap="viridis_r",
                               vmin=seen.min(), vmax=seen.max(), edgecolors="black", linewidths=0.4)  # fmt: skip
        panel.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[], aspect="equal")
        radius = float(np.sqrt(squared[seeing].mean()))
        expected = float(np.sqrt(expected_squared_radii(sizes[seeing], image_shape).mean()))
        for centre, length, line in (
            ((columns.mean(), rows.mean()), radius, "-"),
            ((0.5 * (width - 1), 0.5 * (height - 1)), expected, "--"),
        ):
            panel.add_patch(Circle(centre, length, fill=False, linestyle=line, edgecolor="0.35", linewidth=1.3, zorder=0))
        panel.set_title(f"{name}\nradius {radius:.2f}, random {expected:.2f}", fontsize=9)
    figure.colorbar(points, ax=axes, label="radius of the field (pixels)", shrink=0.8)
    return figure
