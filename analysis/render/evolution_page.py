"""The page of an evolution: tables and pictures of what training has done to the wiring of every layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from analysis.base.errors import AnalysisError
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import as_layered
from analysis.graph.values import LayeredGraph
from analysis.measures.small_world import SmallWorld, small_world
from analysis.render.cells import STATE_TITLES, evenly_spread, state_cells, value_cell
from analysis.render.page import Block, Heading, Paragraph, Picture, Section, Table, page
from analysis.render.pictures import evolution as pictures
from analysis.render.report_page import MAX_SEARCHED_EDGES, RESOLUTION
from analysis.report.evolution import NOTE, Evolution, LayerState

MAX_PLANE_EPOCHS = 12
"""Upper limit of epochs per layer at which small worlds are computed."""

CHANGES_CAPTION = (
    "What is new: edges that the topology before does not have. What stays: edges of the first topology that are in every "
    "one since, and the edges of both over the edges of either (Jaccard) with the topology before. What has been tried: R_s. "
    "Who has many edges: Spearman's rank correlation of the degrees with those of the first topology. Each panel has a scale "
    "of its own."
)
PLANE_CAPTION = (
    "Clustering (Robins-Alexander, 4-cycles) relative to the ring lattice with the same degrees, against the path length "
    "relative to {nulls} random layers with the same degrees, {epochs}. Small worlds lie in the upper left corner of the whole "
    "plane. Every point is relative to references of its own: a thin line leads from it to the mean of its own random "
    "layers. Dots, cross and hexagon are those of the last point of each path. A point that is not defined is left out. "
)
UNCHANGED = "The layer has not changed, so its points coincide. "
AFTER_REMOVAL = (
    "The end, after edges were removed that nothing has regrown, is no part of the path, as a sparser layer has other "
    "references. "
)
POINTS_HEADER = ("epoch", "C", "C random", "C lattice", "L", "L random", "L lattice", "sigma", "omega", "propensity")
POINTS_CAPTION = (
    "The numbers behind the plane: clustering C and path length L of the layer, the means over {nulls} random layers with the "
    "same degrees, and those of the ring lattice. Sigma and omega are about 1 for a random layer; omega is about 0 for a small "
    "world and -1 for a lattice."
)
AGES_CAPTION = (
    "Ages in {unit} of the {n} edges that the last topology has. The axis of edges is logarithmic: most edges are often as old "
    "as the training, and would hide the others."
)
MEASURES_CAPTION = (
    "Some of the measures below, each on a scale of its own: look at the numbers before taking a slope for a change. "
    "Null models are not drawn here; `netsci-nn analyze` compares the last topology with them. "
)
FEWER_EDGES = (
    "The last topology has {last} edges, the one before it {before}: most measures change with the number of edges, so the "
    "last step of every curve shows that too."
)
TABLE_CAPTION = "Values by epoch; - if a quantity is not defined."

Progress = Callable[[int, int], None]


def evolution_page(
    title: str,
    recorded: Sequence[tuple[int, Any]],
    followed: Evolution,
    *,
    nulls: int,
    seed: int,
    progress: Progress,
    notes: Sequence[str] = (),
) -> str:
    """A page that says how to read it, with a section per layer and one of the whole network's measures.

    Args:
        title: title of the page.
        recorded: (epoch, graph) pairs, as `evolve` took them.
        followed: what `evolve` found in them.
        nulls: random graphs of each null model behind every point of the small-world planes, at least 1.
        seed: seed of these.
        progress: called with the number of points that are done and of those to do.
        notes: sentences on what the user must know to read it, such as what was left out.

    Returns:
        A complete HTML document. Cost: mostly that of `small_world` at up to `MAX_PLANE_EPOCHS` epochs per layer.
    """
    networks = [as_layered(graph) for _, graph in recorded]
    worlds = _small_worlds(networks, followed, nulls, seed, progress)
    sentences = [_what_was_recorded(followed), *notes, NOTE]
    sections = [Section("How to read it", [Paragraph(sentence) for sentence in sentences])]
    for index, (layer, points) in enumerate(zip(networks[0].layers, worlds, strict=True)):
        blocks = [
            *_change_blocks(followed, index),
            *_plane_blocks(followed, index, points, nulls),
            *_measure_blocks(followed, f"layer {index}", [followed.layers[index]]),
        ]
        sections.append(Section(f"{followed.full_name(index)}: {layer.n_in} x {layer.n_out}", blocks))
    whole = _measure_blocks(followed, "network", followed.layers)
    return page(title, [*sections, Section("network", whole)] if whole else sections)


def plane_epochs(followed: Evolution) -> list[int]:
    """Positions of the epochs that small worlds are computed at: evenly spread, with the first and the last.

    If edges were removed at the end, the last epoch before that is among them too.
    """
    n = len(followed.epochs)
    if any(map(_is_cut, followed.layers)):
        return [*evenly_spread(n - 1, MAX_PLANE_EPOCHS - 1), n - 1]
    return evenly_spread(n, MAX_PLANE_EPOCHS)


def _is_cut(states: Sequence[LayerState]) -> bool:
    """Whether at the end edges of a layer were removed and none added."""
    return len(states) > 1 and states[-1].n_edges < states[-2].n_edges and states[-1].new.value == 0


def _small_worlds(
    networks: Sequence[LayeredGraph], followed: Evolution, nulls: int, seed: int, progress: Progress
) -> list[dict[int, SmallWorld]]:
    """For every layer its small worlds by epoch; none if it is too large."""
    chosen = plane_epochs(followed)
    searched = [max(state.n_edges for state in states) <= MAX_SEARCHED_EDGES for states in followed.layers]
    total, done = len(chosen) * sum(searched), 0
    result: list[dict[int, SmallWorld]] = [{} for _ in followed.layers]
    for index in np.flatnonzero(searched).tolist():
        found: dict[BipartiteGraph, SmallWorld] = {}
        for k in chosen:
            # A layer that has not changed keeps its point, which other random graphs would move.
            layer = networks[k].layers[index]
            if layer not in found:
                found[layer] = small_world(layer, np.random.default_rng((seed, index, k)), nulls)
            result[index][followed.epochs[k]] = found[layer]
            progress(done := done + 1, total)
    return result


def _what_was_recorded(followed: Evolution) -> str:
    first, *others = followed.epochs
    if not others:
        return f"One topology was recorded, at epoch {first}."
    return f"{1 + len(others)} topologies were recorded, from epoch {first} to epoch {others[-1]}; epoch 0 is before training."


def _change_blocks(followed: Evolution, index: int) -> list[Block]:
    """The table of states, their picture, and the ages."""
    states = followed.layers[index]
    rows = [[str(epoch), *state_cells(state)] for epoch, state in zip(followed.epochs, states, strict=True)]
    changes = pictures.layer_changes(followed, index)
    blocks: list[Block] = [
        Table(("epoch", *STATE_TITLES.values()), rows),
        Picture(changes, CHANGES_CAPTION, f"Turnover, survival and exploration of layer {index} by epoch", RESOLUTION),
    ]
    ages = followed.ages[index]
    if ages.ages.size == 0:
        return [*blocks, Paragraph("The last topology has no edges, so they have no ages.")]
    text = AGES_CAPTION.format(n=ages.ages.size, unit=ages.unit)
    return [*blocks, Picture(pictures.age_histogram(ages), text, f"Ages of the edges of layer {index}", RESOLUTION)]


def _plane_blocks(followed: Evolution, index: int, points: Mapping[int, SmallWorld], nulls: int) -> list[Block]:
    """The small-world plane of one layer with its numbers, or why there is none."""
    if not points:
        return [Paragraph(f"The small-world plane is left out above {MAX_SEARCHED_EDGES} edges.")]
    cut = _is_cut(followed.layers[index])
    try:
        plane = pictures.training_plane(points, f"layer {index}", is_cut=cut)
    except AnalysisError as error:
        return [Paragraph(f"The small-world plane is not drawn: {error}.")]
    listed = ", ".join(map(str, points))
    is_thinned = len(points) < len(followed.epochs)
    shown = f"{len(points)} of the {len(followed.epochs)} recorded epochs: {listed}" if is_thinned else f"the epochs {listed}"
    caption = PLANE_CAPTION.format(nulls=nulls, epochs=f"at {shown}") + (AFTER_REMOVAL if cut else "")
    if len(points) > 1 and len(set(map(id, points.values()))) == 1:
        caption += UNCHANGED
    rows = [[str(epoch), *_point_cells(point)] for epoch, point in points.items()]
    return [
        Picture(plane, caption.strip(), f"Layer {index} in the small-world plane", RESOLUTION),
        Table(POINTS_HEADER, rows, POINTS_CAPTION.format(nulls=nulls)),
    ]


def _point_cells(point: SmallWorld) -> list[str]:
    random = point.fixed_degrees
    clustering = (point.clustering, random.clustering, point.clustering_lattice)
    length = (point.path_length, random.path_length, point.path_length_lattice)
    return [value_cell(quantity) for quantity in (*clustering, *length, point.sigma, point.omega, point.propensity)]


def _measure_blocks(followed: Evolution, section: str, layers: Sequence[Sequence[LayerState]]) -> list[Block]:
    """The measures of a section, which holds these layers, as panels and as a table, or nothing if none was followed."""
    trajectories = [trajectory for trajectory in followed.trajectories if trajectory.section == section]
    if not trajectories:
        return []
    header = ("quantity", *(f"epoch {epoch}" for epoch in followed.epochs))
    rows = [[trajectory.name.replace("_", " "), *map(value_cell, trajectory.values)] for trajectory in trajectories]
    blocks: list[Block] = [Heading("Measures")]
    if pictures.headline_quantities(followed, section):
        figure = pictures.measure_courses(followed, section)
        edges = [sum(state.n_edges for state in states) for states in zip(*layers, strict=True)]
        is_fewer = len(edges) > 1 and edges[-1] < edges[-2]
        fewer = FEWER_EDGES.format(last=edges[-1], before=edges[-2]) if is_fewer else ""
        caption = MEASURES_CAPTION + fewer
        blocks.append(Picture(figure, caption.strip(), f"Measures of {section} by epoch", RESOLUTION))
    return [*blocks, Table(header, rows, TABLE_CAPTION)]
