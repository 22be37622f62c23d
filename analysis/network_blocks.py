"""The pictures of a described network, layer by layer, as blocks for a page."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .community import modules
from .degree_pictures import degree_tails
from .errors import AnalysisError
from .graphs import BipartiteGraph, FloatArray
from .html import Block, Heading, Paragraph, Picture
from .input_maps import first_layer_maps
from .intake import as_layered
from .module_pictures import adjacency_matrix, module_matrix
from .null_pictures import null_histograms, small_world_plane
from .randomness import as_generator
from .report import QuantityReport, SectionReport, TopologyReport, section_title
from .smallworld import SmallWorld, small_world
from .tables import NULL_TITLES, format_number

MAX_SEARCHED_EDGES = 200_000
"""Layers with more edges are shown without modules and small-world pictures, whose searches would take minutes."""

RESOLUTION = 110
"""Dots an inch, so that a page with the pictures of three layers stays near 2 MB."""

_ADJACENCY = (
    "Who is joined to whom, neurons with most edges first. Where there are more neurons than cells, the shade is the share of "
    "joined pairs in a cell; stripes are hubs, an even grey is what a random layer shows. "
)


def network_blocks(
    graph: Any,
    report: TopologyReport,
    *,
    rng: int | np.random.Generator,
    control: Any = None,
    image_shape: tuple[int, int] | None = None,
    nulls: int = 20,
) -> list[Block]:
    """Pictures of every layer as blocks for a page, each with a caption that tells how it was computed.

    Args:
        graph: what the report describes, of any kind that `as_layered` takes.
        report: its report; the captions quote it.
        rng: seed or generator, for the null models and for the search for modules.
        control: the network that the report took as control, or None; its first layer and its place in the small-world
            plane are then shown too.
        image_shape: (height, width) where the inputs are the pixels of an image, row after row; None leaves their maps
            out.
        nulls: replicates of each null model behind the small-world pictures, at least 1; drawn anew, as a report
            keeps no replicates.

    Returns:
        The blocks, layer after layer. Cost about 3 s for a layer of 784 x 300 with 23,520 edges; above
        `MAX_SEARCHED_EDGES` edges what takes a search is left out, and the page says so.

    Raises:
        AnalysisError: the graph, the control or `image_shape` is not usable, or the report is not the graph's.
    """
    generator, network = as_generator(rng), as_layered(graph)
    before = None if control is None else as_layered(control)
    if before is not None and before.layer_sizes != network.layer_sizes:
        raise AnalysisError(f"control has the layer sizes {before.layer_sizes}; those of the graph are {network.layer_sizes}")
    blocks: list[Block] = []
    for index, layer in enumerate(network.layers):
        section = report[f"layer {index}"]
        if (section.layer_sizes, section.n_edges) != ((layer.n_in, layer.n_out), layer.n_edges):
            raise AnalysisError(f"report describes {section_title(section)}; the graph has {layer.n_edges} edges there")
        start = None if before is None else before.layers[index]
        maps = () if image_shape is None or index > 0 else _map_blocks(layer, start, image_shape)
        blocks += [Heading(section_title(section)), *_layer_blocks(layer, section, start, generator, nulls), *maps]
    return blocks


def _layer_blocks(
    layer: BipartiteGraph, section: SectionReport, start: BipartiteGraph | None, rng: np.random.Generator, nulls: int
) -> list[Block]:
    if layer.n_edges == 0:
        return [Paragraph("The layer has no edge, so there is nothing to draw.")]
    caption = (
        "Share of neurons with at least k edges: all above, the tail below. Circles: this layer. Grey: the middle 95 % of "
        "random layers of the same size, at each degree by itself (1000 draws of the degree sequence). Lines: discrete "
        "maximum-likelihood fits on the tail from xmin on (dotted), where a power law fits best. Where several lines run "
        "through the circles, the tail does not tell the laws apart. "
    )
    caption += _told(section, "source_degree_cv_excess", "target_degree_cv_excess")
    degrees = _picture(degree_tails(layer, rng=rng), caption, f"Degree distributions of {section.name} on logarithmic axes")
    if layer.n_edges > MAX_SEARCHED_EDGES:
        note = f"Modules and small-world pictures are left out above {MAX_SEARCHED_EDGES} edges."
        return [degrees, _picture(adjacency_matrix(layer), _ADJACENCY), Paragraph(note)]
    return [degrees, *_module_blocks(layer, section, rng), *_small_world_blocks(layer, section, start, rng, nulls)]


def _module_blocks(layer: BipartiteGraph, section: SectionReport, rng: np.random.Generator) -> list[Block]:
    partition = modules(layer, rng)
    caption = (
        f"{_ADJACENCY}Right: the same edges ordered by the best modules found (Barber's modularity, BRIM with restarts); "
        "frames are the pairs inside modules. A search finds modules in random layers too, so frames darker than their "
        "surroundings are evidence only beside null models. "
    )
    matrix = (
        "Edges between modules, divided by the number that the degrees lead one to expect (K D / m), and in brackets the "
        "number of edges. Middle grey is as expected, black four times as many or more, white a quarter or fewer. "
    )
    return [
        _picture(
            adjacency_matrix(layer, partition), caption + _told(section, "barber_modularity"), f"Adjacency of {section.name}"
        ),
        _picture(module_matrix(layer, partition), matrix, f"Edges between the modules of {section.name}"),
    ]


def _small_world_blocks(
    layer: BipartiteGraph, section: SectionReport, start: BipartiteGraph | None, rng: np.random.Generator, nulls: int
) -> list[Block]:
    points = {} if start is None else {"control": small_world(start, rng, nulls)}
    points["observed"] = small_world(layer, rng, nulls)
    try:
        plane = small_world_plane({section.name: points})
    except AnalysisError as error:
        return [Paragraph(f"The small-world pictures are not drawn: {error}.")]
    caption = (
        "Clustering (Robins-Alexander, 4-cycles) relative to the ring lattice with the same degrees, against the path length "
        f"relative to {nulls} random layers with the same degrees (grey dots). Small worlds lie in the upper left corner of "
        "the whole plane; a layer inside the cloud of dots is as random. "
    )
    histograms = (
        f"Clustering and path length of the layer (line) among {nulls} random layers of the same size and {nulls} with the "
        f"same degrees, drawn for this picture; p is two-sided, (1 + r) / (1 + B), so at least {1 / (1 + nulls):.2g} here. "
    )
    told = _told(section, "robins_alexander_clustering", "average_path_length")
    blocks: list[Block] = [_picture(plane, caption, f"{section.name} in the small-world plane")]
    figure = _histograms(points)
    return blocks if figure is None else [*blocks, _picture(figure, histograms + told, f"Null models of {section.name}")]


def _histograms(points: Mapping[str, SmallWorld]) -> Figure | None:
    """Of clustering and path length, as far as they and their replicates are defined."""
    observed: dict[str, float] = {}
    control: dict[str, float] = {}
    replicates: dict[str, dict[str, FloatArray]] = {}
    point = points["observed"]
    for title, name in (("clustering C", "clustering"), ("average path length L", "path_length")):
        draws = {null: getattr(getattr(point, null), f"{name}_replicates") for null in NULL_TITLES}
        value = getattr(point, name).value
        if value is None or any(values.size == 0 for values in draws.values()):
            continue
        observed[title], replicates[title] = value, draws
        if "control" in points and getattr(points["control"], name).value is not None:
            control[title] = getattr(points["control"], name).value
    return null_histograms(observed, replicates, control=control) if observed else None


def _map_blocks(layer: BipartiteGraph, start: BipartiteGraph | None, image_shape: tuple[int, int]) -> list[Block]:
    layers = {
        name: graph for name, graph in (("control", start), ("observed", layer)) if graph is not None and graph.n_edges > 0
    }
    if "observed" not in layers:
        return []
    captions = {
        "degree": "Number of edges of every input, laid out as the image.",
        "strength": "Sums of the weights that leave every input, by sign, and their difference (middle grey is 0).",
        "field": "Receptive fields: every point is the centroid of the pixels that one target is joined to, its shade their "
        "root mean square distance from it. Circles: the radius over all targets (solid), and that of random fields of the "
        "same sizes (dashed); a smaller one means local wiring, or pixels that are used by all.",
    }
    return [_picture(figure, captions[name]) for name, figure in first_layer_maps(layers, image_shape).items()]


def _told(section: SectionReport, *names: str) -> str:
    """What the report says of these quantities, as far as they are in it."""
    quantities = [quantity for quantity in section.quantities if quantity.name in names and quantity.value is not None]
    return f"In the report: {'; '.join(map(_sentence, quantities))}." if quantities else ""


def _sentence(quantity: QuantityReport) -> str:
    parts = [f"{quantity.name.replace('_', ' ')} {format_number(quantity.observed.value or 0.0)}"]
    if quantity.control is not None and quantity.control.value is not None:
        parts.append(f"control {format_number(quantity.control.value)}")
    for null, title in NULL_TITLES.items():
        comparison = quantity.nulls.get(null)
        if comparison is not None and comparison.mean is not None and comparison.p is not None:
            parts.append(f"{title} {format_number(comparison.mean)} (p = {comparison.p:.3g})")
    return ", ".join(parts)


def _picture(figure: Figure, caption: str, alt: str = "") -> Picture:
    return Picture(figure, caption.strip(), alt, RESOLUTION)
