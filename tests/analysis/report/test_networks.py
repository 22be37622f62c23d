"""Reports and evolutions of networks that are no chain: what layers are called, controls, null models, pages."""

import io
import json

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, random_graph, weighted
from network_examples import dense_block, flattened, residual_block
from rich.console import Console

from analysis import AnalysisError, describe, evolve, measure_names
from analysis.graph.values import NOT_BIPARTITE, LayeredGraph
from analysis.measures.small_world import pair_of
from analysis.render.evolution_page import evolution_page
from analysis.render.evolution_terminal import evolution_tables
from analysis.render.page import Section, page
from analysis.render.report_page import network_blocks, report_blocks
from analysis.report.replicates import small_world_pairs


def residual_network(seed: int, width: int = 12) -> LayeredGraph:
    """x -> F(x) of two layers, x + F(x) read by a third; random edges with weights."""
    layers = [weighted(random_graph(width, width, 3 * width, seed + k), k) for k in range(2)]
    layers.append(weighted(random_graph(width, 5, 2 * width, seed + 2), 2))
    return LayeredGraph(
        tuple(layers),
        links=np.stack([np.arange(width), np.arange(2 * width, 3 * width)], axis=1),
        names=("block.conv1", "block.conv2", "head"),
        kinds=("convolution 3 x 3", "convolution 3 x 3", ""),
    )


def printed(*parts: object) -> str:
    console = Console(file=io.StringIO(), width=160)
    for part in parts:
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_report_of_everything() -> None:
    network = residual_network(0)
    report = describe(network, nulls=19, control=residual_network(5), rng=0)
    assert [section.name for section in report.sections] == ["layer 0", "layer 1", "layer 2", "network"]
    assert {quantity.measure for quantity in report["network"].quantities} == set(measure_names()) - {"mixing"}
    assert report["network"]["edges"].value == report["network"].n_edges == 36 + 36 + 24
    for quantity in report["network"].quantities:
        assert (quantity.value is None) == (quantity.observed.reason is not None)
    reasons = {quantity.name: quantity.observed.reason for quantity in report["network"].quantities}
    assert reasons["robins_alexander_clustering"] == reasons["small_world_propensity"] == NOT_BIPARTITE
    verdicts = report.verdicts["network"]
    assert NOT_BIPARTITE in (verdicts["small-world"].reason or "")
    assert NOT_BIPARTITE in (verdicts["modular"].reason or "")
    assert verdicts["sparse"].conclusion == "supported"
    assert report["network"]["global_efficiency"].nulls["fixed_degrees"].p is not None
    assert report["network"]["max_coreness"].nulls["erdos_renyi"].p is not None
    # Layers are what they are by themselves.
    alone = describe(network.layers[1], nulls=0, measures=["degree", "clustering", "paths"], rng=0)["layer 0"]
    for quantity in alone.quantities:
        assert report["layer 1"][quantity.name].observed == quantity.observed


def test_the_same_seed_gives_the_same_report_also_beside_other_measures() -> None:
    first, second = (describe(residual_network(0), nulls=5, measures=["paths", "core"], rng=3) for _ in range(2))
    assert first == second
    assert first != describe(residual_network(0), nulls=5, measures=["paths", "core"], rng=4)


def test_the_report_says_what_layers_are_called_and_which_are_convolutions() -> None:
    report = describe(residual_block(), nulls=0, measures=["degree"], rng=0)
    assert [section.title for section in report.sections] == [
        "layer 0 (up, convolution 3 x 3): 2 x 3, 6 edges",
        "layer 1 (down, convolution 1 x 1): 3 x 2, 6 edges",
        "layer 2 (head): 2 x 1, 2 edges",
        "network (groups of neurons that are no chain): 2 x 3 x 2 x 1, 14 edges",
    ]
    assert "### layer 0 (up, convolution 3 x 3): 2 x 3, 6 edges" in report.to_markdown()
    assert printed(report.to_table()).count("layer 0 (up, convolution 3 x 3)") == 1
    assert "layer 1 (down, convolution 1 x 1): 3 x 2" in printed(report.to_verdict_table())
    assert "layer 2 (head): 2 x 1" in page("x", [Section("a", report_blocks(report))])
    sections = json.loads(report.to_json())["sections"]
    assert [section["name"] for section in sections] == ["layer 0", "layer 1", "layer 2", "network"]
    assert sections[0]["details"] == "up, convolution 3 x 3"


def test_a_chain_without_names_has_no_details() -> None:
    report = describe([complete(3, 2), complete(2, 2)], nulls=0, measures=["degree"], rng=0)
    assert [section.title for section in report.sections][::2] == ["layer 0: 3 x 2, 6 edges", "network: 3 x 2 x 2, 10 edges"]
    assert not any("details" in section for section in json.loads(report.to_json())["sections"])


def test_a_network_that_can_be_folded_has_all_indices() -> None:
    network = LayeredGraph(
        (weighted(random_graph(20, 10, 70, 0), 0), weighted(random_graph(40, 15, 60, 1), 1)),
        sources=(np.arange(20), np.repeat(np.arange(20, 30), 4)),
        targets=(np.arange(20, 30), np.arange(30, 45)),
        group_sizes=(20, 10, 15),
    )
    report = describe(network, nulls=19, measures=["clustering", "paths", "small_world"], rng=0)
    section = report["network"]
    assert section["small_world_propensity"].value is not None
    assert section["path_length_minimum"].value is not None
    pair = small_world_pairs(network, {}, np.random.default_rng(0))["network"]
    assert pair == pair_of(network.folded, {}, np.random.default_rng(0))
    assert section["average_path_length"].value == pair[1].value
    # The indices rest on the replicates of the whole network.
    comparison = section["robins_alexander_clustering"].nulls["fixed_degrees"]
    assert comparison.mean is not None
    ratio = (section["robins_alexander_clustering"].value or 0) / comparison.mean
    lengths = section["average_path_length"].nulls["fixed_degrees"].mean
    assert lengths is not None
    assert section["small_world_sigma"].value == pytest.approx(ratio / (pair[1].value or 0) * lengths)


def test_a_control_must_join_the_same_neurons() -> None:
    block = residual_block()
    for other in (LayeredGraph(block.layers), LayeredGraph(block.layers, links=block.links[:1])):
        with pytest.raises(AnalysisError, match="control has layers that join other neurons, or other links"):
            describe(block, nulls=0, control=other, rng=0)
        with pytest.raises(AnalysisError, match="control has layers that join other neurons, or other links"):
            network_blocks(block, describe(block, nulls=0, rng=0), rng=0, control=other)
    with pytest.raises(AnalysisError, match=r"control has the layer sizes \(2, 2, 2, 1\)"):
        describe(block, nulls=0, control=dense_block(), rng=0)
    unnamed = LayeredGraph(block.layers, links=block.links)
    assert describe(block, nulls=0, control=unnamed, measures=["degree"], rng=0)["network"]["edges"].control is not None


def test_pixels_are_the_sources_of_the_first_layer() -> None:
    network = flattened()
    report = describe(network, nulls=0, measures=[], image_shape=(1, 3), rng=0)
    assert [quantity.measure for quantity in report["layer 0"].quantities] == ["wiring"] * 5
    shuffled = LayeredGraph(
        network.layers, sources=(np.array([2, 1, 0]), network.ends[1][0]), targets=network.targets, group_sizes=(3, 2, 3)
    )
    with pytest.raises(AnalysisError, match="image_shape is given, but the sources of layer 0 are not the neurons of group 0"):
        describe(shuffled, nulls=0, image_shape=(1, 3), rng=0)


def test_pages_are_drawn() -> None:
    network = residual_network(0)
    report = describe(network, nulls=19, measures=["degree", "clustering", "paths", "core", "small_world"], rng=0)
    blocks = network_blocks(network, report, rng=0, control=residual_network(1))
    text = page("x", [Section("pictures", blocks), Section("tables", report_blocks(report))])
    assert text.count("layer 0 (block.conv1, convolution 3 x 3): 12 x 12, 36 edges") == 2
    assert "network (groups of neurons that are no chain)" in text


def test_an_evolution() -> None:
    recorded = [(epoch, residual_network(epoch)) for epoch in (0, 2, 5)]
    followed = evolve(recorded, measures=["degree", "paths", "reachability", "clustering"])
    assert [states[0].n_edges for states in followed.layers] == [36, 36, 24]
    lengths = followed.trajectory("network", "average_path_length")
    for value, (_, network) in zip(lengths.values, recorded, strict=True):
        assert value == describe(network, nulls=0, measures=["paths"], rng=0)["network"]["average_path_length"].observed
    assert followed.trajectory("network", "robins_alexander_clustering").values[0].reason == NOT_BIPARTITE
    tables = printed(*evolution_tables(followed))
    assert "layer 0 (block.conv1, convolution 3 x 3)" in tables
    text = evolution_page("x", recorded, followed, nulls=1, seed=0, progress=lambda done, total: None)
    assert "layer 1 (block.conv2, convolution 3 x 3): 12 x 12" in text
    assert "layer 2 (head): 12 x 5" in text


def test_recorded_networks_must_join_the_same_neurons() -> None:
    block = residual_block()
    chain = LayeredGraph(block.layers, names=block.names)
    with pytest.raises(AnalysisError, match="epoch 3 has layers that join other neurons, or other links, than epoch 0"):
        evolve([(0, block), (3, chain)], measures=())


def test_births_belong_to_the_edges_of_layers() -> None:
    block = residual_block()
    cut = block.with_layers([block.layers[0], from_edges(3, 2, [(0, 0), (2, 1)]), block.layers[2]])
    followed = evolve([(0, block), (1, cut)], measures=(), births=[[0] * 6, [3, 4], [0, 0]], step=10)
    assert [ages.ages.tolist() for ages in followed.ages] == [[10] * 6, [7, 6], [10, 10]]
    assert followed.full_name(1) == "layer 1 (down, convolution 1 x 1)"
    assert evolve([(0, [complete(2, 2)])], measures=()).full_name(0) == "layer 0"
