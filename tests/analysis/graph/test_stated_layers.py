"""igraph graphs that say what their layers are: networks come back as they were, and contradictions are found."""

from collections.abc import Callable
from typing import Any

import igraph
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_examples import dense_block, flattened, networks, residual_block

from analysis import AnalysisError, as_layered
from analysis.graph.values import LayeredGraph


def stated(network: LayeredGraph, order: list[int] | None = None, **options: Any) -> igraph.Graph:
    """The network as such a graph, whose vertex k is neuron order[k]; every link is a layer of its own."""
    order = list(range(network.n_neurons)) if order is None else order
    vertex = np.argsort(order)
    layers: list[dict[str, Any]] = []
    ends, weights = [], list[float]()
    for layer, (sources, targets), name, kind in zip(network.layers, network.ends, network.names, network.kinds, strict=True):
        sources, targets, first = vertex[sources].tolist(), vertex[targets].tolist(), len(ends)
        src, dst = layer.src.tolist(), layer.dst.tolist()
        ends += [(sources[s], targets[t]) for s, t in zip(src, dst, strict=True)]
        weights += np.zeros(layer.n_edges).tolist() if layer.weights is None else layer.weights.tolist()
        kernel = tuple(map(int, kind.removeprefix("convolution ").split(" x "))) if kind else None
        one = {"name": name, "kind": kind.split()[0] if kind else "linear", "kernel": kernel, "sources": sources}
        layers.append(one | {"targets": targets, "edges": (first, len(ends)), "src": src, "dst": dst})
    for link in network.links.tolist():
        source, target = vertex[link].tolist()
        one = {"name": "link", "kind": "link", "kernel": None, "sources": [source], "targets": [target]}
        layers.insert(0, one | {"edges": (len(ends), len(ends) + 1), "src": np.array([0]), "dst": np.array([0])})
        ends.append((source, target))
        weights.append(1.0)
    graph = igraph.Graph(n=network.n_neurons, edges=ends, **options)
    graph.vs["layer"] = network.groups[order].tolist()
    if any(layer.weights is not None for layer in network.layers):
        graph.es["weight"] = weights
    graph["layers"] = layers
    return graph


def with_links_reversed(network: LayeredGraph) -> LayeredGraph:
    """`stated` puts the last link first."""
    fields = {name: getattr(network, name) for name in ("sources", "targets", "group_sizes", "names", "kinds")}
    return LayeredGraph(network.layers, links=network.links[::-1], **fields)


@settings(deadline=None, max_examples=80, derandomize=True)
@given(networks(), st.randoms(use_true_random=False))
def test_every_network_comes_back(network: LayeredGraph, random: Any) -> None:
    assert as_layered(stated(network)) == with_links_reversed(network)
    assert as_layered(stated(network, directed=True)) == with_links_reversed(network)
    # In whatever order groups stand among the vertices, as long as it is the same inside each.
    groups = network.groups.tolist()
    random.shuffle(groups)
    order = np.empty(network.n_neurons, dtype=int)
    order[np.argsort(groups, kind="stable")] = np.arange(network.n_neurons)
    assert as_layered(stated(network, order.tolist())) == with_links_reversed(network)


@pytest.mark.parametrize("network", [residual_block(), dense_block(), flattened()], ids=["residual", "dense", "flattened"])
def test_names_and_kinds_are_kept(network: LayeredGraph) -> None:
    found = as_layered(stated(network))
    assert (found.names, found.kinds, found.details) == (network.names, network.kinds, network.details)
    assert found.n_edges == network.n_edges


def test_a_chain_that_is_stated_is_a_chain_with_names() -> None:
    graph = stated(LayeredGraph(residual_block().layers, names=("a", "b", "c"), kinds=("", "convolution 3", "")))
    assert as_layered(graph).is_chain
    assert as_layered(graph).details == ("a", "b, convolution 3", "c")
    graph["layers"][1]["kernel"] = None
    assert as_layered(graph).kinds == ("", "convolution", "")


def test_a_layer_without_edges_is_a_layer() -> None:
    block = residual_block()
    empty = block.with_layers([block.layers[0], block.layers[1].__class__(3, 2, [], [], []), block.layers[2]])  # type: ignore[arg-type]
    found = as_layered(stated(empty))
    assert [layer.n_edges for layer in found.layers] == [6, 0, 2]
    assert found == with_links_reversed(empty)


def change(number: int, **entries: Any) -> Callable[[igraph.Graph], None]:
    def apply(graph: igraph.Graph) -> None:
        graph["layers"][number].update(entries)

    return apply


def set_layers(layers: Any) -> Callable[[igraph.Graph], None]:
    def apply(graph: igraph.Graph) -> None:
        graph["layers"] = layers

    return apply


def without(number: int, key: str) -> Callable[[igraph.Graph], None]:
    return lambda graph: graph["layers"][number].pop(key)


# The first two layers are the links, edges 15 and 14; then come the layers of 6, 6 and 2 edges.
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (set_layers(3), "'layers' is 3; a list with one dict per layer"),
        (set_layers([3]), "layer 0 has 3; a dict with name, kind, kernel, sources, targets, edges, src, dst is needed"),
        (set_layers([]), "edge 0 is in 0 layers; every edge must be in one"),
        (without(2, "src"), "layer 2 has name, kind, kernel, sources, targets, edges, dst; a dict with"),
        (change(2, name=None), "layer 2 has the name None; a text is needed"),
        (change(2, kind="conv"), "layer 2 has the kind 'conv'; choose from linear, convolution, link"),
        (change(2, kind=["linear"]), r"layer 2 has the kind \['linear'\]"),
        (change(2, kernel=3), "layer 2 has the kernel 3; numbers of at least 1, or None"),
        (change(2, kernel=(3, 0)), r"layer 2 has the kernel \(3, 0\)"),
        (change(2, edges=(0, 17)), r"layer 2 has the edges \(0, 17\); \(first, last \+ 1\) from 0 to 16 is needed"),
        (change(2, edges=(6, 0)), r"layer 2 has the edges \(6, 0\)"),
        (change(2, edges=6), "layer 2 has the edges 6"),
        (change(2, edges=(0, 5)), r"layer 2: src has shape \(6,\) .*; integers of shape \(5,\) are needed"),
        (change(2, src=[0, 1, 0, 1, 0, 2]), "layer 2: src reaches from 0 to 2; the allowed range is 0 to 1"),
        (change(2, dst=[0.0] * 6), r"layer 2: dst has shape \(6,\) and dtype float64"),
        (change(2, sources=[0, 8]), "layer 2: sources reaches from 0 to 8; the allowed range is 0 to 7"),
        (change(2, sources=[1, 0]), "edge 0 joins vertices 0 and 2; by 'src' and 'dst' of layer 2 it joins 1 and 2"),
        (change(2, dst=[0, 0, 1, 2, 2, 2]), "edge 3 joins vertices 1 and 3; by 'src' and 'dst' of layer 2 it joins 1 and 4"),
        (change(4, edges=(12, 13), src=[0], dst=[0]), "edge 13 is in 0 layers"),
        (change(0, edges=(14, 15), sources=[0], targets=[5]), "edge 14 is in 2 layers"),
        (lambda graph: graph.delete_edges([3]), r"layer 0 has the edges \(15, 16\); \(first, last \+ 1\) from 0 to 15"),
        (
            lambda graph: graph.vs.__setitem__("layer", [0, 0, 1, 1, 1, 1, 1, 2]),
            "layer 1 has sources in group 1 and targets in",
        ),
    ],
)
def test_contradictions_are_refused(damage: Callable[[igraph.Graph], None], message: str) -> None:
    graph = stated(residual_block())
    assert as_layered(graph).n_edges == 14
    damage(graph)
    with pytest.raises(AnalysisError, match=message) as caught:
        as_layered(graph)
    assert "\n" not in str(caught.value)


def test_in_a_directed_graph_edges_lead_from_source_to_target() -> None:
    graph = stated(residual_block(), directed=True)
    turned = igraph.Graph(n=8, edges=[(b, a) for a, b in graph.get_edgelist()], directed=True)
    turned.vs["layer"], turned["layers"] = graph.vs["layer"], graph["layers"]
    with pytest.raises(AnalysisError, match="edge 15 joins vertices 6 and 1; by 'src' and 'dst' of layer 0 it joins 1 and 6"):
        as_layered(turned)


def test_only_links_are_no_network() -> None:
    graph = stated(residual_block())
    for layer in graph["layers"]:
        layer["kind"] = "link"
    with pytest.raises(AnalysisError, match="graph has no layer"):
        as_layered(graph)
