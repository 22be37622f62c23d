"""Reachability against paths walked one by one; closed forms; what is cut off and what is not defined."""

import itertools
import math

import numpy as np
import pytest
from bipartite_examples import assert_alike, bipartite_graphs, complete, from_edges, random_graph, values_of, weighted
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import describe
from analysis.base.quantity import Quantities
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.reachability import dead_neurons, effective_edges, joined_pairs, log10_path_sum, on_path, reachability
from analysis.measures.registry import get_measure

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=80, derandomize=True)


def measured(network: LayeredGraph) -> Quantities:
    measure = get_measure("reachability").network
    assert measure is not None
    return measure(network, RNG)


@st.composite
def networks(draw: st.DrawFn) -> LayeredGraph:
    sizes = draw(st.lists(st.integers(1, 4), min_size=3, max_size=5))
    layers = []
    for n_in, n_out in itertools.pairwise(sizes):
        pairs = st.tuples(st.integers(0, n_in - 1), st.integers(0, n_out - 1))
        edges = from_edges(n_in, n_out, draw(st.lists(pairs, unique=True, max_size=n_in * n_out)))
        layers.append(weighted(edges, draw(st.integers(0, 99))))
    return LayeredGraph(tuple(layers))


def walked(network: LayeredGraph) -> list[tuple[tuple[int, ...], float]]:
    """Every path from an input to an output, as its neurons and the product of its |weights|."""
    paths = [((neuron,), 1.0) for neuron in range(network.layers[0].n_in)]
    for layer in network.layers:
        assert layer.weights is not None
        edges = list(zip(layer.src.tolist(), layer.dst.tolist(), np.abs(layer.weights).tolist(), strict=True))
        paths = [((*path, t), weight * w) for path, weight in paths for s, t, w in edges if path[-1] == s]
    return paths


@COMMON
@given(networks())
def test_everything_agrees_with_walking_all_paths(network: LayeredGraph) -> None:
    paths, values = walked(network), values_of(measured(network))
    on = [{path[group] for path, _ in paths} for group in range(len(network.layer_sizes))]
    edges = {(group, *step) for path, _ in paths for group, step in enumerate(itertools.pairwise(path))}
    assert [set(np.flatnonzero(group).tolist()) for group in on_path(network).neurons] == on
    assert values["off_path_neurons"] == sum(network.layer_sizes) - sum(map(len, on))
    assert values["effective_edges"] == effective_edges(network) == len(edges)
    assert values["joined_pairs"] == joined_pairs(network) == len({(path[0], path[-1]) for path, _ in paths})
    if paths:
        assert values["log10_paths"] == pytest.approx(math.log10(len(paths)), abs=1e-12)
        assert values["log10_path_weight"] == pytest.approx(math.log10(sum(weight for _, weight in paths)), abs=1e-12)
    else:
        assert values["log10_paths"] is values["log10_path_weight"] is None
    incoming = [np.ones(network.layers[0].n_in), *(layer.in_degrees for layer in network.layers)]
    outgoing = [*(layer.out_degrees for layer in network.layers), np.ones(network.layers[-1].n_out)]
    dead = sum(int(((a == 0) | (b == 0)).sum()) for a, b in zip(incoming, outgoing, strict=True))
    assert values["dead_neurons"] == dead_neurons(network) == dead
    assert dead <= (values["off_path_neurons"] or 0)


@COMMON
@given(networks())
def test_labels_and_direction_do_not_matter(network: LayeredGraph) -> None:
    orders = [np.random.default_rng(size).permutation(size) for size in network.layer_sizes]
    moved, turned = [], []
    for index, layer in enumerate(network.layers):
        src, dst = orders[index][layer.src], orders[index + 1][layer.dst]
        moved.append(BipartiteGraph(layer.n_in, layer.n_out, src, dst, layer.weights))
        turned.insert(0, layer.transposed())
    expected = measured(network)
    assert_alike(measured(LayeredGraph(tuple(moved))), expected)
    assert_alike(measured(LayeredGraph(tuple(turned))), expected)


@COMMON
@given(bipartite_graphs())
def test_a_layer_counts_its_dead_neurons(graph: BipartiteGraph) -> None:
    values = values_of(reachability(graph, RNG))
    assert values["dead_sources"] == graph.n_in - len(set(graph.src.tolist()))
    assert values["dead_targets"] == graph.n_out - len(set(graph.dst.tolist()))
    turned = values_of(reachability(graph.transposed(), RNG))
    assert (turned["dead_targets"], turned["dead_sources"]) == (values["dead_sources"], values["dead_targets"])


def test_complete_network() -> None:
    values = values_of(measured(LayeredGraph((complete(3, 4), complete(4, 5), complete(5, 2)))))
    assert values["joined_pair_fraction"] == values["effective_edge_fraction"] == values["effective_density"] == 1.0
    assert values["dead_neurons"] == values["off_path_neurons"] == 0
    assert values["log10_paths"] == pytest.approx(math.log10(3 * 4 * 5 * 2))
    assert values["log10_path_weight"] is None


def test_a_neuron_may_be_off_all_paths_without_being_dead() -> None:
    """i0 - a0 - b0 - o0 is the only path; a1 - b1 hangs on neither an input nor an output."""
    layers = (from_edges(1, 2, [(0, 0)]), from_edges(2, 2, [(0, 0), (1, 1)]), from_edges(2, 1, [(0, 0)]))
    values = values_of(measured(LayeredGraph(layers)))
    assert (values["dead_neurons"], values["off_path_neurons"]) == (2, 2)
    layers = (from_edges(2, 2, [(0, 0)]), from_edges(2, 2, [(0, 1), (1, 0)]), from_edges(2, 1, [(0, 0)]))
    quantities = measured(LayeredGraph(layers))
    values = values_of(quantities)
    # b1 is reached but leads nowhere, b0 leads on but is not reached: nothing passes.
    assert (values["effective_edges"], values["joined_pairs"]) == (0, 0)
    assert values["off_path_neurons"] == 7
    assert values["dead_neurons"] == 3
    assert quantities["log10_paths"].reason == "no input is joined to an output"


def test_network_without_edges() -> None:
    quantities = measured(LayeredGraph((from_edges(2, 3, []), from_edges(3, 2, []))))
    assert quantities["dead_neuron_fraction"].value == quantities["off_path_neuron_fraction"].value == 1.0
    assert quantities["effective_edge_fraction"].reason == "the graph has no edge"
    assert quantities["effective_density"].value == quantities["joined_pair_fraction"].value == 0.0


@pytest.mark.parametrize("block", [64, 128, 4096])
def test_blocks_of_inputs_do_not_change_the_pairs(block: int) -> None:
    layers = (random_graph(300, 40, 350, 1), random_graph(40, 50, 90, 2), random_graph(50, 30, 70, 3))
    product = np.eye(300, dtype=np.int64)
    for layer in layers:
        product = layer.biadjacency.toarray() @ product
    assert joined_pairs(LayeredGraph(layers), block) == np.count_nonzero(product)
    assert log10_path_sum(LayeredGraph(layers)) == pytest.approx(math.log10(product.sum()), abs=1e-12)


def test_numbers_of_paths_beyond_floating_point() -> None:
    """100 complete layers of 2000 neurons would have 10^333 paths; here 400 of 10."""
    layer = complete(10, 10)
    assert log10_path_sum(LayeredGraph((layer,) * 400)) == pytest.approx(401.0, abs=1e-9)


def test_weights_far_apart_do_not_vanish() -> None:
    """The only path leads through the smallest weight of every layer."""
    first = BipartiteGraph(1, 2, np.array([0, 0]), np.array([0, 1]), np.array([1.0, 1e-200]))
    second = BipartiteGraph(2, 2, np.array([0, 1]), np.array([0, 1]), np.array([1.0, -1e-200]))
    third = BipartiteGraph(2, 1, np.array([1]), np.array([0]), np.array([1e-200]))
    assert measured(LayeredGraph((first, second, third)))["log10_path_weight"].value == pytest.approx(-600.0)


def test_path_weights_need_weights_that_are_not_zero() -> None:
    partly = LayeredGraph((weighted(complete(2, 2), 0), complete(2, 2)))
    assert measured(partly)["log10_path_weight"].reason == "layer 1 has no weights"
    zero = BipartiteGraph(2, 2, np.array([0, 1]), np.array([0, 1]), np.zeros(2))
    quantities = measured(LayeredGraph((zero, zero)))
    assert quantities["log10_path_weight"].reason == "the weights of all input-output paths add up to 0"
    assert quantities["log10_paths"].value == pytest.approx(math.log10(2))


def test_what_degrees_decide_is_fixed_by_the_degree_null() -> None:
    layers = [random_graph(12, 9, 20, seed=1), random_graph(9, 7, 12, seed=2)]
    report = describe(layers, nulls=3, rng=0, measures=["reachability"])
    assert report["network"]["dead_neurons"].nulls["fixed_degrees"].status == "fixed"
    assert report["network"]["dead_neurons"].nulls["erdos_renyi"].status == "compared"
    assert report["network"]["joined_pair_fraction"].nulls["fixed_degrees"].status == "compared"
    assert report["layer 0"]["dead_sources"].nulls["fixed_degrees"].status == "fixed"
