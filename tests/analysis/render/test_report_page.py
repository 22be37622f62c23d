"""Pictures of a report show the report's own replicates, so that they cannot contradict its tables."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from bipartite_examples import from_edges, random_graph, weighted
from matplotlib.figure import Figure

from analysis import AnalysisError, TopologyReport, describe, small_world
from analysis.graph.values import BipartiteGraph
from analysis.render.page import Block, Heading, Paragraph, Picture, Section, page
from analysis.render.pictures.small_world_plane import OWN_LABEL, REPLICATE_LABEL
from analysis.render.report_page import control_point, network_blocks, observed_point
from analysis.report.values import QuantityReport

B = 19


@cache
def network() -> tuple[list[BipartiteGraph], list[BipartiteGraph]]:
    """Two layers with weights, and a control."""
    graphs = [weighted(random_graph(36, 30, 200, 0), 0), weighted(random_graph(30, 10, 60, 1), 1)]
    return graphs, [random_graph(36, 30, 250, 2), random_graph(30, 10, 80, 3)]


@cache
def described() -> tuple[TopologyReport, list[Block]]:
    graphs, control = network()
    report = describe(graphs, nulls=B, control=control, rng=0)
    return report, network_blocks(graphs, report, control=control, image_shape=(6, 6), rng=0)


def figure(blocks: list[Block], alt: str) -> Figure:
    (found,) = [block.figure for block in blocks if isinstance(block, Picture) and block.alt == alt]
    return found


def compared(report: TopologyReport, section: str) -> dict[tuple[str, str], QuantityReport]:
    """Quantities by (name on the axis, heading of the null model)."""
    titles = {"erdos_renyi": "random, same size", "fixed_degrees": "random, same degrees"}
    return {
        (quantity.name.replace("_", " "), titles[null]): quantity
        for quantity in report[section].quantities
        for null in titles
        if quantity.nulls[null].replicate_values is not None
    }


def weight(axes: Any) -> float:
    """Sum of the heights of the bars: the area of their outline, divided by the width of a bar."""
    x, y = axes.patches[0].get_path().vertices.T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    return float(area / np.diff(np.unique(x)).mean())


@pytest.mark.parametrize("section", ["layer 0", "layer 1", "network"])
def test_histograms_have_the_p_and_the_replicates_of_the_report(section: str) -> None:
    report, blocks = described()
    quantities, names = compared(report, section), set()
    for axes in filter(lambda axes: axes.axison, figure(blocks, f"Null models of {section}").axes):
        heading, numbers = axes.get_title().split("\n")
        quantity = quantities[axes.get_xlabel(), heading]
        null = "erdos_renyi" if heading.endswith("size") else "fixed_degrees"
        comparison = quantity.nulls[null]
        assert comparison.replicate_values is not None
        assert numbers == f"B = {comparison.replicates}, p = {comparison.p:.3g}"
        assert weight(axes) == pytest.approx(1.0)
        x = axes.patches[0].get_path().vertices[:, 0]
        values = comparison.replicate_values
        if np.ptp(values) > 0.1 * np.ptp(x):
            assert (x.min(), x.max()) == pytest.approx((values.min(), values.max()))
        assert axes.lines[0].get_xdata()[0] == pytest.approx(quantity.value)
        names.add(quantity.name)
    sides = {"degree_cv"} if section == "network" else {"source_degree_cv", "target_degree_cv"}
    assert names == {"robins_alexander_clustering", "average_path_length", "barber_modularity", "rich_club_ratio"} | sides


@pytest.mark.parametrize("section", ["layer 0", "network"])
def test_the_plane_is_made_of_the_numbers_of_the_report(section: str) -> None:
    report, blocks = described()
    found = report[section]
    drawn = figure(blocks, f"{section} in the small-world plane")
    lines = {str(line.get_label()): line for line in drawn.axes[0].lines}
    assert lines[REPLICATE_LABEL].get_xdata().size == B
    assert lines[OWN_LABEL].get_xdata().size == 1  # the control's
    (x, y), omegas = lines[section].get_data(), found["small_world_omega"]
    assert omegas.control is not None
    # omega = L_random / L - C / C_lattice
    assert 1.0 / x - y == pytest.approx([omegas.control.value, omegas.value])
    clustering, length = found["robins_alexander_clustering"], found["average_path_length"]
    means = [quantity.nulls["fixed_degrees"].mean for quantity in (clustering, length)]
    assert observed_point(found).random == pytest.approx(means)
    assert {"control", "observed"} <= {text.get_text() for text in drawn.axes[1].texts}
    assert drawn.axes[1].get_title() == "near the path"


def test_the_references_of_the_control_are_solved_for() -> None:
    report, _ = described()
    section, control = report["layer 0"], network()[1][0]
    point, world = control_point(section), small_world(control, 0, 60)
    sigma = section["small_world_sigma"].control
    assert sigma is not None
    ratio = (point.clustering / point.random[0]) / (point.path_length / point.random[1])
    assert ratio == pytest.approx(sigma.value)
    assert point.random[0] == pytest.approx(world.fixed_degrees.clustering.value, rel=0.1)
    assert point.random[1] == pytest.approx(world.fixed_degrees.path_length.value, rel=0.02)


def test_network_blocks_make_a_page_of_moderate_size() -> None:
    _, blocks = described()
    assert [block.text for block in blocks if isinstance(block, Heading)] == [
        "layer 0: 36 x 30, 200 edges", "layer 1: 30 x 10, 60 edges", "network: 36 x 30 x 10, 260 edges"
    ]  # fmt: skip
    assert not [block for block in blocks if isinstance(block, Paragraph)]
    assert sum(isinstance(block, Picture) for block in blocks) == 5 + 2 + 5 + 2
    captions = [block.caption for block in blocks if isinstance(block, Picture)]
    assert any("The control has a lattice and random graphs of its own" in caption for caption in captions)
    assert any(f"(B = {B}, grey dots)" in caption for caption in captions)
    assert len(page("t", [Section("Pictures", blocks)])) < 2_500_000


def test_without_replicates_a_sentence_stands_for_histograms_and_plane() -> None:
    graphs, control = network()
    report = describe(graphs, nulls=0, control=control, rng=0)
    blocks = network_blocks(graphs, report, control=control, rng=0)
    sentences = [block.text for block in blocks if isinstance(block, Paragraph)]
    assert len(sentences) == 3
    assert all("neither histograms nor a small-world plane" in sentence for sentence in sentences)
    assert not [block for block in blocks if isinstance(block, Picture) and "Null models" in block.alt]


def test_what_was_not_measured_is_not_drawn() -> None:
    graphs, control = network()
    report = describe(graphs[0], nulls=3, control=control[0], rng=0, measures=["clustering", "paths"])
    blocks = network_blocks(graphs[0], report, rng=0)
    assert [block.text for block in blocks if isinstance(block, Paragraph)] == [
        "The small-world plane is not drawn: lattice clustering is not defined: it was not measured."
    ]
    names = {axes.get_xlabel() for axes in figure(blocks, "Null models of layer 0").axes}
    assert names == {"robins alexander clustering", "average path length"}


def test_a_graph_in_pieces_has_no_place_and_a_control_in_pieces_is_left_out() -> None:
    pieces = from_edges(6, 6, [(k, k) for k in range(6)] + [(0, 1), (1, 0), (2, 3), (3, 2)])
    whole = random_graph(6, 6, 14, 0)
    report = describe(pieces, nulls=2, rng=0)
    texts = [block.text for block in network_blocks(pieces, report, rng=0) if isinstance(block, Paragraph)]
    assert any("the graph is in pieces" in text for text in texts)
    report = describe(whole, nulls=2, rng=0, control=pieces)
    captions = [block.caption for block in network_blocks(whole, report, rng=0) if isinstance(block, Picture)]
    assert any("The control has no place in it" in caption for caption in captions)


def test_an_unchanged_layer_has_one_place() -> None:
    graph = random_graph(8, 8, 24, 0)
    blocks = network_blocks(graph, describe(graph, nulls=2, rng=0, control=graph), rng=0)
    drawn = figure(blocks, "layer 0 in the small-world plane")
    assert drawn.axes[1].get_title() == "near the point"
    captions = [block.caption for block in blocks if isinstance(block, Picture)]
    assert any("The control has the same C and L" in caption for caption in captions)


def test_network_blocks_pass_over_what_cannot_be_drawn() -> None:
    network = [from_edges(4, 4, [(0, 0), (1, 1), (2, 2), (3, 3)]), from_edges(4, 2, [])]
    report = describe(network, nulls=0, rng=0, measures=["degree"])
    blocks = network_blocks(network, report, image_shape=(2, 2), rng=0)
    texts = [block.text for block in blocks if isinstance(block, Paragraph)]
    assert len(texts) == 3
    assert "no replicates" in texts[0]
    assert "no edge" in texts[1]
    assert isinstance(blocks[0], Heading)


def test_network_blocks_refuse_another_report() -> None:
    graph = random_graph(6, 5, 12, 0)
    report = describe(graph, nulls=0, rng=0, measures=["degree"])
    with pytest.raises(AnalysisError, match="report describes layer 0: 6 x 5, 12 edges"):
        network_blocks(random_graph(6, 5, 13, 0), report, rng=0)
    with pytest.raises(AnalysisError, match="control has the layer sizes"):
        network_blocks(graph, report, control=random_graph(5, 5, 12, 0), rng=0)
