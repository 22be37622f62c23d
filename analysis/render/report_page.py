"""A report as blocks for a page: its tables, and the pictures of every layer and of the network."""

from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from analysis.base.checks import as_generator
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import as_layered
from analysis.measures.community import modules
from analysis.measures.small_world import CONTROL_REPLICATES, REFERENCE
from analysis.nulls.models import WEIGHT_NULL, WIRING_NULLS
from analysis.render.cells import NULL_TITLES, WEIGHT_TITLES, format_number, report_notes, section_tables, verdict_rows
from analysis.render.page import Block, Definitions, Heading, Notice, Paragraph, Picture, Table
from analysis.render.pictures.degrees import degree_tails
from analysis.render.pictures.inputs import first_layer_maps
from analysis.render.pictures.modules import adjacency_matrix, module_matrix
from analysis.render.pictures.nulls import null_histograms
from analysis.render.pictures.small_world_plane import PlanePoint, small_world_plane
from analysis.report.values import P_VALUE, Q_VALUE, QuantityReport, SectionReport, TopologyReport
from analysis.report.verdicts import RULES

_NARROWER = {"fixed by the null": "fixed", " B=": "\nB=", " (s.e.": "\n(s.e."}
"""What makes cells of numbers narrow enough for eleven columns."""

MAX_SEARCHED_EDGES = 200_000
"""Layers with more edges are shown without modules, whose search would take minutes; pages that compute small worlds leave
these out too."""

HISTOGRAMS = (
    "robins_alexander_clustering",
    "average_path_length",
    "barber_modularity",
    "rich_club_ratio",
    "degree_cv",
    "source_degree_cv",
    "target_degree_cv",
)
"""Quantities whose replicates are drawn, as far as there are any. A layer has the last two, a network the one before."""

_PLANE = ("robins_alexander_clustering", "average_path_length", "lattice_clustering", "lattice_path_length")

RESOLUTION = 110
"""Dots per inch, so that a page with the pictures of three layers stays near 3 MB."""

_ADJACENCY = (
    "Who is joined to whom, neurons with most edges first. If there are more neurons than cells, the shade is the share of "
    "joined pairs in a cell; stripes are hubs, an even grey is what a random layer shows. "
)


def report_blocks(report: TopologyReport) -> list[Block]:
    """A report as blocks: how to read it, then for every layer and for the network its verdicts and tables.

    Those of a report that was interrupted begin with a notice that says so.
    """
    blocks = [*_notes(report), Definitions("How to read the tables", _terms(report), is_open=True)]
    blocks.append(Definitions("The rules of the verdicts", list(RULES.items())))
    for section in report.sections:
        # The numbers of the targets stand in a line below those of the sources.
        verdicts = [[*cells, numbers.replace(", target ", "\ntarget ", 1)] for *cells, numbers in verdict_rows(section)]
        blocks += [
            Heading(section.title),
            Table(("property", "verdict", "numbers"), verdicts, texts=(0, 1, 2)),
            *(
                Table(header, [[_narrow(cell) for cell in row] for row in rows])
                for header, rows in section_tables(report, section)
            ),
        ]
    return blocks


def _notes(report: TopologyReport) -> list[Block]:
    """What is missing in the report."""
    notes = report_notes(report)
    blocks: list[Block] = []
    if report.interrupted:
        partial = "This report is partial: the run was interrupted, and what had not been computed by then is missing."
        blocks.append(Notice(" ".join([partial, *notes])))
    else:
        blocks += map(Paragraph, notes)
    if report.replicates == 0:
        text = "No replicates of null models were drawn: there are no p-values, and verdicts that need them are not defined."
        blocks.append(Paragraph(text))
    return blocks


def _terms(report: TopologyReport) -> list[tuple[str, str]]:
    """The words of the report's tables."""
    quantities = [quantity for section in report.sections for quantity in section.quantities]
    terms = [("value", "of the graph; s.e. is its standard error if it is estimated.")]
    if any(quantity.control is not None for quantity in quantities):
        terms.append(("control", "the value of the graph that was given to compare with: for a run, the untrained network."))
    if report.replicates == 0:
        return terms
    each = "mean ± standard deviation over the B replicates of the null model:"
    same_degrees = f"in which every neuron keeps its degree, after {report.swaps_per_edge} attempted switches per edge"
    terms += [
        ("B", f"number of replicates: {report.replicates} of every null model, unless a cell says otherwise."),
        (NULL_TITLES["erdos_renyi"], f"{each} random graphs with as many neurons and edges in each layer (erdos renyi)."),
        (NULL_TITLES["fixed_degrees"], f"{each} random graphs {same_degrees} (fixed degrees)."),
    ]
    if any(WEIGHT_NULL in quantity.nulls for quantity in quantities):
        terms.append((WEIGHT_TITLES[WEIGHT_NULL], f"{each} the same edges with the weights of each layer in random order."))
    return [
        *terms,
        ("z", "(value - mean) / standard deviation."),
        ("p", f"{P_VALUE}."),
        ("q", f"{Q_VALUE}."),
        ("fixed", "by the construction of the null model, all its graphs have the value of the observed one."),
        (
            "not computed",
            "no replicate was measured: it would cost too much, as a note above then says, or weights enter, which random "
            "wirings do not have, or the quantity is itself a comparison with null models.",
        ),
    ]


def _narrow(cell: str) -> str:
    for words, shorter in _NARROWER.items():
        cell = cell.replace(words, shorter)
    return cell


def network_blocks(
    graph: Any,
    report: TopologyReport,
    *,
    rng: int | np.random.Generator,
    control: Any = None,
    image_shape: tuple[int, int] | None = None,
) -> list[Block]:
    """Pictures of every layer, and of the network if it has several, each with a caption that says how it was made.

    What is compared with null models is drawn from the replicates of the report itself, so the pictures cannot contradict
    its tables.

    Args:
        graph: what the report describes, of any kind that `as_layered` takes.
        report: its report; the captions quote it.
        rng: seed or generator, for the bands of random degrees and for the search for modules.
        control: the network that the report took as control, or None; the maps of its first layer are then shown too.
        image_shape: (height, width) if the inputs are the pixels of an image, row after row; None leaves their maps out.

    Returns:
        The blocks, layer after layer, then those of the network. Cost about 3 s for a layer of 784 x 300 with 23,520
        edges; above `MAX_SEARCHED_EDGES` edges modules are left out, and the page says so.

    Raises:
        AnalysisError: the graph, the control or `image_shape` is not usable, or the report is not the graph's.
    """
    generator, network = as_generator(rng), as_layered(graph)
    before = None if control is None else as_layered(control)
    if before is not None and before.layer_sizes != network.layer_sizes:
        raise AnalysisError(f"control has the layer sizes {before.layer_sizes}; those of the graph are {network.layer_sizes}")
    if before is not None and not before.is_wired_like(network):
        raise AnalysisError("control has layers that join other neurons, or other links, than the graph; they must be the same")
    blocks: list[Block] = []
    for index, layer in enumerate(network.layers):
        section = report[f"layer {index}"]
        if (section.layer_sizes, section.n_edges) != ((layer.n_in, layer.n_out), layer.n_edges):
            raise AnalysisError(f"report describes {section.title}; the graph has {layer.n_edges} edges there")
        start = None if before is None else before.layers[index]
        maps = () if image_shape is None or index > 0 else _map_blocks(layer, start, image_shape)
        blocks += [Heading(section.title), *_layer_blocks(layer, section, generator), *maps]
    if not network.is_single:
        blocks += [Heading(report["network"].title), *_null_blocks(report["network"])]
    return blocks


def _layer_blocks(layer: BipartiteGraph, section: SectionReport, rng: np.random.Generator) -> list[Block]:
    if layer.n_edges == 0:
        return [Paragraph("The layer has no edge, so there is nothing to draw.")]
    caption = (
        "Share of neurons with at least k edges: all above, the tail below. Circles: this layer. Grey: the middle 95 % of "
        "random layers of the same size, at each degree by itself (1000 draws of the degree sequence). Lines: discrete "
        "maximum-likelihood fits on the tail from xmin on (dotted), from which a power law fits best; of the laws in the table "
        "only Poisson's is left out, which the binomial resembles if few pairs are joined. If several lines run "
        "through the circles, or cover each other, the tail does not tell the laws apart. "
    )
    caption += _quoted(section, "source_degree_cv_excess", "target_degree_cv_excess")
    degrees = _picture(degree_tails(layer, rng=rng), caption, f"Degree distributions of {section.name} on logarithmic axes")
    if layer.n_edges > MAX_SEARCHED_EDGES:
        note = Paragraph(f"Modules are left out above {MAX_SEARCHED_EDGES} edges.")
        return [degrees, _picture(adjacency_matrix(layer), _ADJACENCY), note, *_null_blocks(section)]
    return [degrees, *_module_blocks(layer, section, rng), *_null_blocks(section)]


def _module_blocks(layer: BipartiteGraph, section: SectionReport, rng: np.random.Generator) -> list[Block]:
    partition = modules(layer, rng)
    caption = (
        f"{_ADJACENCY}Right: the same edges ordered by the best modules found (Barber's modularity, BRIM with restarts); "
        "frames are the pairs inside modules. A search finds modules in random layers too, so frames darker than their "
        "surroundings are evidence only beside null models. This search is not the report's, so its Q may differ a little. "
    )
    matrix = (
        "Edges between modules, divided by the number that the degrees lead one to expect (K D / m), and in brackets the "
        "number of edges. Middle grey is as expected, black four times as many or more, white a quarter or fewer. "
    )
    return [
        _picture(
            adjacency_matrix(layer, partition), caption + _quoted(section, "barber_modularity"), f"Adjacency of {section.name}"
        ),
        _picture(module_matrix(layer, partition), matrix, f"Edges between the modules of {section.name}"),
    ]


def _null_blocks(section: SectionReport) -> list[Block]:
    """Histograms and the small-world plane, from the replicates of the report."""
    figure = _histograms(section)
    if figure is None:
        text = (
            "The report holds no replicates of what would be drawn among null models, so there are neither histograms nor a "
            "small-world plane."
        )
        return [Paragraph(text)]
    caption = (
        f"Values of {_subject(section)} (line) and of its control, if there is one (broken line), among the B replicates of "
        "the report; p is the report's, two-sided and not adjusted. "
    )
    return [_picture(figure, caption, f"Null models of {section.name}"), *_plane_blocks(section)]


def _histograms(section: SectionReport) -> Figure | None:
    """Of the quantities that are defined and have replicates, or None if there is none."""
    observed: dict[str, float] = {}
    control: dict[str, float] = {}
    replicates: dict[str, dict[str, FloatArray]] = {}
    for quantity in filter(None, map(section.get, HISTOGRAMS)):
        compared = {null: quantity.nulls[null].replicate_values for null in WIRING_NULLS if null in quantity.nulls}
        draws = {null: values for null, values in compared.items() if values is not None}
        if quantity.value is None or not draws:
            continue
        title = quantity.name.replace("_", " ")
        observed[title], replicates[title] = quantity.value, draws
        if quantity.control is not None and quantity.control.value is not None:
            control[title] = quantity.control.value
    return null_histograms(observed, replicates, control=control) if observed else None


def _plane_blocks(section: SectionReport) -> list[Block]:
    """The small-world plane with the section and its control, or why there is none."""
    try:
        point = observed_point(section)
    except AnalysisError as error:
        return [Paragraph(f"The small-world plane is not drawn: {error}.")]
    controls, told = _control(section, point)
    caption = (
        f"Clustering C (Robins-Alexander, 4-cycles) of {_subject(section)} relative to the ring lattice with the same degrees, "
        "against its path length L relative to the mean of the report's random graphs with the same degrees "
        f"(B = {point.cloud[0].size}, grey dots). Small worlds lie in the upper left corner of the whole plane; "
        f"what lies inside the cloud of dots is as random. {told}"
    )
    plane = small_world_plane({section.name: {**controls, "observed": point}})
    return [_picture(plane, caption, f"{section.name} in the small-world plane")]


def _control(section: SectionReport, point: PlanePoint) -> tuple[dict[str, PlanePoint], str]:
    """The point of the control, perhaps none, and what has to be said of it."""
    if all(quantity.control is None for quantity in section.quantities):
        return {}, ""
    try:
        control = control_point(section)
    except AnalysisError as error:
        return {}, f"The control has no place in it: {error}."
    if (control.clustering, control.path_length) == (point.clustering, point.path_length):
        # Beside a lattice and random graphs of its own it would seem to have been elsewhere.
        return {}, "The control has the same C and L, and so the same place."
    told = f"The control has a lattice and random graphs of its own, at most {CONTROL_REPLICATES}"
    return {"control": control}, f"{told}; thin lines lead from each point to the mean of its own."


def _subject(section: SectionReport) -> str:
    return "the network" if section.name == "network" else section.name


def observed_point(section: SectionReport) -> PlanePoint:
    """The place of a section in the small-world plane, with the report's random graphs of the same degrees as its cloud.

    An AnalysisError if a quantity that it takes was not measured, is not defined, or has no replicates.
    """
    # Omega is defined if the path lengths speak for the graph and for every replicate, which are then complete.
    clustering, length, *lattice, _ = _values(section, "observed", *_PLANE, "small_world_omega")
    draws = [section[name].nulls[REFERENCE].replicate_values for name in _PLANE[:2]]
    if draws[0] is None or draws[1] is None:
        raise AnalysisError("clustering or path length has no replicates")
    means = (float(draws[0].mean()), float(draws[1].mean()))
    return PlanePoint(clustering, length, (lattice[0], lattice[1]), means, (draws[0], draws[1]))


def control_point(section: SectionReport) -> PlanePoint:
    """The place of a section's control in the small-world plane, beside its own references; without a cloud.

    The report keeps the small-world indices of the control but not the means C_random and L_random behind them, so these are
    solved for: omega = L_random / L - C / C_lattice and sigma = (C / C_random) / (L / L_random). An AnalysisError if there is
    no control, or a quantity that it takes is not defined or 0.
    """
    names = (*_PLANE, "small_world_omega", "small_world_sigma")
    clustering, length, lattice, lattice_length, omega, sigma = _values(section, "control", *names)
    if lattice == 0.0 or sigma == 0.0:
        raise AnalysisError("the control has no clustering")
    random_length = length * (omega + clustering / lattice)
    means = (clustering * random_length / (sigma * length), random_length)
    return PlanePoint(clustering, length, (lattice, lattice_length), means, (np.empty(0), np.empty(0)))


def _values(section: SectionReport, which: Literal["observed", "control"], *names: str) -> list[float]:
    """Values of quantities on the graph or on the control, or an error that names the first without one."""
    values = []
    for name in names:
        found = section.get(name)
        quantity = None if found is None else getattr(found, which)
        if quantity is None or quantity.value is None:
            reason = "it was not measured" if quantity is None else quantity.reason
            raise AnalysisError(f"{name.replace('_', ' ')} is not defined: {reason}")
        values.append(quantity.value)
    return values


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


def _quoted(section: SectionReport, *names: str) -> str:
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
