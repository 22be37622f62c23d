"""Measures of networks that are no chain, against walks over all paths, networkx, and sums done by hand."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest
from bipartite_examples import complete, from_edges, values_of, weighted
from hypothesis import given, settings
from hypothesis import strategies as st
from network_examples import (
    dense_block,
    edges_of,
    ends_of,
    flattened,
    group_of,
    joined_groups,
    networks,
    paths,
    residual_block,
    undirected,
)

from analysis import measure_names
from analysis.base.quantity import Quantities
from analysis.graph.values import NOT_BIPARTITE, BipartiteGraph, LayeredGraph
from analysis.measures.measure import Measure
from analysis.measures.paths import NO_BOUND
from analysis.measures.reachability import dead_neurons, effective_edges, joined_pairs, log10_path_sum, on_path
from analysis.measures.registry import get_measure
from analysis.nulls.models import WEIGHT_NULL, WIRING_NULLS, randomise_layers

COMMON = settings(deadline=None, max_examples=80, derandomize=True)


def measured(name: str, network: LayeredGraph, seed: int = 0) -> Quantities:
    measure = get_measure(name).network
    assert measure is not None
    return measure(network, np.random.default_rng(seed))


@COMMON
@given(networks())
def test_reachability_agrees_with_walking_all_paths(network: LayeredGraph) -> None:
    every, values = paths(network), values_of(measured("reachability", network))
    inputs, outputs = ends_of(network)
    assert not inputs & outputs
    edges = edges_of(network)
    on = {neuron for path in every for edge in path for neuron in edge[:2]}
    trained = {id(edge) for path in every for edge in path if not edge.is_link}
    n = sum(network.layer_sizes)
    found = np.concatenate(on_path(network).neurons)
    assert set(np.flatnonzero(found).tolist()) == on
    assert values["off_path_neurons"] == n - len(on)
    assert values["effective_edges"] == effective_edges(network) == len(trained)
    assert values["joined_pairs"] == joined_pairs(network) == len({(path[0].source, path[-1].target) for path in every})
    assert values["joined_pair_fraction"] == pytest.approx(joined_pairs(network) / (len(inputs) * len(outputs)))
    assert values["effective_density"] == len(trained) / sum(layer.n_in * layer.n_out for layer in network.layers)
    begun, ended = {edge.source for edge in edges}, {edge.target for edge in edges}
    dead = [k for k in range(n) if (k not in begun and k not in outputs) or (k not in ended and k not in inputs)]
    assert values["dead_neurons"] == dead_neurons(network) == len(dead)
    if every:
        assert values["log10_paths"] == pytest.approx(math.log10(len(every)), abs=1e-12)
        total = sum(math.prod(edge.weight for edge in path) for path in every)
        assert values["log10_path_weight"] == pytest.approx(math.log10(total), abs=1e-12)
    else:
        assert values["log10_paths"] is values["log10_path_weight"] is None


@COMMON
@given(networks())
def test_paths_and_components_agree_with_networkx(network: LayeredGraph) -> None:
    graph, quantities = undirected(network), measured("paths", network)
    values, n = values_of(quantities), len(graph)
    distances = [d for source, lengths in nx.all_pairs_shortest_path_length(graph) for t, d in lengths.items() if t != source]
    if distances:
        assert values["average_path_length"] == pytest.approx(np.mean(distances), abs=1e-12)
    else:
        assert values["average_path_length"] is None
    assert values["global_efficiency"] == pytest.approx(nx.global_efficiency(graph), abs=1e-12)
    components = [len(part) for part in nx.connected_components(graph)]
    assert values["giant_component_size"] == max(components)
    assert values["reachable_pair_fraction"] == pytest.approx(sum(s * (s - 1) for s in components) / (n * (n - 1)))
    if any(second - first > 1 for first, second in joined_groups(network)):
        assert quantities["path_length_minimum"].reason == quantities["efficiency_ratio"].reason == NO_BOUND
        return
    best = nx.Graph(
        (a, b) for a, b in itertools.product(range(n), repeat=2) if group_of(network)[b] - group_of(network)[a] == 1
    )
    assert values["efficiency_maximum"] == pytest.approx(nx.global_efficiency(best), abs=1e-12)
    assert values["path_length_minimum"] == pytest.approx(nx.average_shortest_path_length(best), abs=1e-12)
    assert values["efficiency_ratio"] is not None
    if len(components) == 1:
        assert values["average_path_length"] >= values["path_length_minimum"] - 1e-12  # type: ignore[operator]


@COMMON
@given(networks())
def test_cores_agree_with_networkx(network: LayeredGraph) -> None:
    values, edges = values_of(measured("core", network)), [edge for edge in edges_of(network) if not edge.is_link]
    if not edges:
        assert set(values.values()) == {None}
        return
    levels = nx.core_number(undirected(network))
    highest = max(levels.values())
    assert values["max_coreness"] == highest
    assert values["innermost_core_fraction"] == sum(level == highest for level in levels.values()) / len(levels)
    ratio = values["max_coreness_ratio"]
    assert ratio is not None
    assert 0 < ratio <= 1
    group = group_of(network)
    degree = [sum((edge.source == k) + (edge.target == k) for edge in edges) for k in range(len(group))]
    rich = set()
    for number, size in enumerate(network.layer_sizes):
        members = [k for k in range(len(group)) if group[k] == number]
        least = sorted((degree[k] for k in members), reverse=True)[max(1, math.ceil(size / 10)) - 1]
        rich |= {k for k in members if degree[k] >= max(1, least)}
    inside = sum(edge.source in rich and edge.target in rich for edge in edges)
    ends = [(s.tolist(), t.tolist()) for s, t in network.ends]
    n_pairs = sum(sum(k in rich for k in source) * sum(k in rich for k in target) for source, target in ends)
    if n_pairs:
        assert values["rich_club_density"] == pytest.approx(inside / n_pairs)
        n_all = sum(layer.n_in * layer.n_out for layer in network.layers)
        assert values["rich_club_ratio"] == pytest.approx(inside / n_pairs / (len(edges) / n_all))
    else:
        assert values["rich_club_density"] is None


def test_the_largest_possible_coreness_of_a_network_with_triangles_is_reached() -> None:
    everything = LayeredGraph(
        (complete(1, 1), complete(2, 1), complete(3, 1)),
        sources=(np.arange(1), np.arange(2), np.arange(3)),
        targets=(np.array([1]), np.array([2]), np.array([3])),
        group_sizes=(1, 1, 1, 1),
    )
    assert nx.is_isomorphic(undirected(everything), nx.complete_graph(4))
    values = values_of(measured("core", everything))
    assert (values["max_coreness"], values["max_coreness_ratio"], values["innermost_core_fraction"]) == (3, 1.0, 1.0)
    # A triangle and two more edges: 5 edges are too few for a core of degree 3, though the 5 neurons are enough.
    triangle = LayeredGraph(
        (complete(1, 1), complete(2, 1), complete(1, 2)),
        sources=(np.arange(1), np.arange(2), np.array([2])),
        targets=(np.array([1]), np.array([2]), np.array([3, 4])),
        group_sizes=(1, 1, 1, 2),
    )
    values = values_of(measured("core", triangle))
    assert (values["max_coreness"], values["max_coreness_ratio"], values["innermost_core_fraction"]) == (2, 1.0, 0.6)


@COMMON
@given(networks())
def test_degrees_and_strengths_count_every_trained_edge_and_no_link(network: LayeredGraph) -> None:
    n, edges = sum(network.layer_sizes), [edge for edge in edges_of(network) if not edge.is_link]
    degrees = [sum((edge.source == k) + (edge.target == k) for edge in edges) for k in range(n)]
    assert network.degrees.tolist() == degrees
    values = values_of(measured("degree", network))
    assert (values["edges"], values["degree_max"]) == (len(edges), max(degrees))
    assert values["degree_mean"] == pytest.approx(2 * len(edges) / n)
    absolute = [sum(edge.weight for edge in edges for end in edge[:2] if end == k) for k in range(n)]
    strengths = values_of(measured("strength", network))
    assert strengths["neuron_absolute_strength_mean"] == pytest.approx(np.mean(absolute), abs=1e-12)
    if edges:
        spread = np.std(absolute) / np.mean(absolute)
        assert strengths["neuron_absolute_strength_cv"] == pytest.approx(spread, abs=1e-9)


ON_FOLDED = ("clustering", "community", "nestedness", "opsahl", "spectral", "weighted_clustering", "weighted_opsahl")


@pytest.mark.parametrize("name", [*ON_FOLDED, "small_world"])
@pytest.mark.parametrize("network", [residual_block(), dense_block()], ids=["residual", "dense"])
def test_measures_of_bipartite_graphs_say_why_they_are_not_defined(name: str, network: LayeredGraph) -> None:
    chain = LayeredGraph((weighted(complete(3, 4), 0), weighted(complete(4, 2), 1)))
    quantities = measured(name, network)
    assert quantities.keys() == measured(name, chain).keys()
    assert {quantity.reason for quantity in quantities.values()} == {NOT_BIPARTITE}


def test_every_measure_has_the_same_quantities_on_every_network() -> None:
    chain = LayeredGraph((weighted(complete(3, 4), 0), weighted(complete(4, 2), 1)))
    for name in measure_names():
        if get_measure(name).network is not None:
            for network in (residual_block(), dense_block(), flattened()):
                assert measured(name, network).keys() == measured(name, chain).keys(), name


@COMMON
@given(networks(), st.integers(0, 5))
def test_what_a_null_model_is_said_to_keep_it_keeps(network: LayeredGraph, seed: int) -> None:
    measures = [get_measure(name) for name in ("degree", "paths", "power_law", "reachability", "spectral", "strength")]
    for null in (*WIRING_NULLS, WEIGHT_NULL):
        drawn = randomise_layers(network, null, seed, 2)
        for measure in measures:
            assert_kept(measure, null, network, drawn)


def assert_kept(measure: Measure, null: str, network: LayeredGraph, drawn: LayeredGraph) -> None:
    before, after = measured(measure.name, network), None
    for name, quantity in before.items():
        if measure.is_fixed(null, name) and (null == WEIGHT_NULL or not measure.depends_on_weights(name)):
            after = after or measured(measure.name, drawn)
            if quantity.value is None:
                assert after[name].value is None, (null, name)
            else:
                assert after[name].value == pytest.approx(quantity.value, rel=1e-9, abs=1e-9), (null, name)


@COMMON
@given(networks(), st.integers(0, 5))
def test_a_replicate_keeps_wiring_links_and_what_its_null_model_promises(network: LayeredGraph, seed: int) -> None:
    for null in (*WIRING_NULLS, WEIGHT_NULL):
        drawn = randomise_layers(network, null, seed, 2)
        assert drawn.is_wired_like(network)
        assert (drawn.names, drawn.kinds) == (network.names, network.kinds)
        assert [layer.n_edges for layer in drawn.layers] == [layer.n_edges for layer in network.layers]
        assert drawn.links.tolist() == network.links.tolist()
        if null != "erdos_renyi":
            assert drawn.degrees.tolist() == network.degrees.tolist()


def test_a_residual_block_by_hand() -> None:
    # Neurons 0 1 | 2 3 4 | 5 6 | 7: 2 * 3 * 2 ways through the block and 2 links beside it, then one edge to the output.
    values = values_of(measured("reachability", residual_block()))
    assert values["log10_paths"] == pytest.approx(math.log10(14))
    assert (values["joined_pairs"], values["effective_edges"], values["dead_neurons"]) == (2, 14, 0)
    block = residual_block()
    cut = block.with_layers([from_edges(2, 3, []), from_edges(3, 2, []), block.layers[2]])
    values = values_of(measured("reachability", cut))
    assert (values["joined_pairs"], values["log10_paths"]) == (2, pytest.approx(math.log10(2)))  # over the links
    assert (values["effective_edges"], values["dead_neurons"], values["off_path_neurons"]) == (2, 3, 3)
    values = values_of(measured("reachability", LayeredGraph(cut.layers)))
    assert (values["joined_pairs"], values["log10_paths"], values["off_path_neurons"]) == (0, None, 8)


def test_a_concatenation_by_hand() -> None:
    # From 2 inputs: 1 way straight to the output, 2 over the second group, 2 over the third, 2 * 2 over both.
    values = values_of(measured("reachability", dense_block()))
    assert values["log10_paths"] == pytest.approx(math.log10(2 * (1 + 2 + 2 + 4)))
    # All pairs of neurons of different groups are neighbours, and those of one group are two steps apart.
    assert values_of(measured("paths", dense_block()))["average_path_length"] == pytest.approx((21 + 3) / 21)


def test_several_features_of_a_channel_are_several_paths_and_one_neighbour() -> None:
    network = flattened()
    assert network.is_bipartite
    # Channel 3 feeds neuron 5 by two features and channel 4 by one; channel 4 feeds 6 and 7.
    assert values_of(measured("reachability", network))["log10_paths"] == pytest.approx(math.log10(3 * (2 + 1 + 1 + 1)))
    assert undirected(network).degree(3) == 3 + 1
    folded = network.folded
    assert (folded.n_in, folded.n_out, folded.n_edges) == (6, 2, 6 + 4)
    first, second = network.layers
    assert first.weights is not None
    assert second.weights is not None
    assert folded.weights is not None
    of_pair = {(int(s), int(t)): float(w) for s, t, w in zip(folded.src, folded.dst, folded.weights, strict=True)}
    # Neuron 5 is source 3 of the folded network, behind the inputs, and channel 3 its target 0.
    assert of_pair[3, 0] == pytest.approx(np.abs(second.weights[:2]).sum())
    assert of_pair[4, 1] == pytest.approx(second.weights[3])  # a single edge keeps its sign
    assert of_pair[0, 0] == pytest.approx(first.weights[0])


def test_the_ramanujan_bound_is_not_defined_where_edges_may_coincide() -> None:
    quantities = measured("spectral", flattened())
    assert quantities["singular_value_1"].value is not None
    assert "several edges may join the same two neurons" in (quantities["ramanujan_bound"].reason or "")


@COMMON
@given(networks())
def test_the_folded_network_is_the_network(network: LayeredGraph) -> None:
    groups = nx.Graph(joined_groups(network))
    assert network.is_bipartite == nx.is_bipartite(groups)
    graph = undirected(network)
    if not network.is_bipartite:
        assert (network.adjacency.toarray() == nx.to_numpy_array(graph, nodelist=sorted(graph))).all()
        return
    folded = network.folded
    ours = nx.Graph()
    ours.add_nodes_from(range(folded.n_neurons))
    ours.add_edges_from(zip(folded.src.tolist(), (folded.dst + folded.n_in).tolist(), strict=True))
    assert nx.is_isomorphic(ours, graph)
    assert (network.adjacency != folded.adjacency).nnz == 0
    totals: dict[tuple[int, int], float] = {}
    for edge in edges_of(network):
        totals[edge[:2]] = totals.get(edge[:2], 0.0) + edge.weight
    assert folded.weights is not None
    assert sorted(np.abs(folded.weights)) == pytest.approx(sorted(totals.values()))


@pytest.mark.parametrize("block", [64, 128])
def test_joined_pairs_over_several_blocks_of_inputs(block: int) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random((n_out, 150)) < 0.01 for n_out in (40, 30))
    third = rng.random((30, 40)) < 0.05
    layers = tuple(BipartiteGraph(m.shape[1], m.shape[0], *np.nonzero(m)[::-1]) for m in (first, second, third))
    network = LayeredGraph(
        layers,
        sources=(np.arange(150), np.arange(150), np.arange(150, 190)),
        targets=(np.arange(150, 190), np.arange(190, 220), np.arange(190, 220)),
        group_sizes=(150, 40, 30),
    )
    ways = second.astype(int) + third.astype(int) @ first.astype(int)
    assert joined_pairs(network, block) == np.count_nonzero(ways)
    assert log10_path_sum(network) == pytest.approx(math.log10(ways.sum()))


def test_path_weights_of_a_long_residual_chain_do_not_overflow() -> None:
    # Every step multiplies by |w| + 1: an edge of weight w and a link beside it.
    step = BipartiteGraph(1, 1, np.array([0]), np.array([0]), np.array([1e300]))
    network = LayeredGraph((step,) * 50, links=np.array([[k, k + 1] for k in range(50)]))
    weights = [np.array([1e300])] * 50
    assert log10_path_sum(network, weights) == pytest.approx(50 * 300)
    assert log10_path_sum(network) == pytest.approx(50 * math.log10(2))
