"""Graphs whose edges skip groups: which layers they have, and what is refused."""

from typing import Any

import igraph
import networkx as nx
import numpy as np
import pytest
from bipartite_examples import from_edges

from analysis import AnalysisError, as_layered
from analysis.graph.values import LayeredGraph

# Vertices 0 1 | 2 3 | 4 | 5, with an edge from the first to the third group and one from the second to the last.
GROUPS = [0, 0, 1, 1, 2, 3]
EDGES = [(0, 2), (1, 3), (2, 4), (1, 4), (5, 4), (3, 5)]


def skipping(edges: list[tuple[int, int]] = EDGES, **attributes: Any) -> igraph.Graph:
    graph = igraph.Graph(n=6, edges=edges)
    graph.vs["layer"] = GROUPS
    for name, values in attributes.items():
        graph.es[name] = values
    return graph


def pairs_of(network: LayeredGraph) -> list[tuple[list[int], list[int], list[tuple[int, int]]]]:
    return [
        (sources.tolist(), targets.tolist(), list(zip(layer.src.tolist(), layer.dst.tolist(), strict=True)))
        for layer, (sources, targets) in zip(network.layers, network.ends, strict=True)
    ]


EXPECTED = [
    ([0, 1], [2, 3], [(0, 0), (1, 1)]),
    ([0, 1], [4], [(1, 0)]),
    ([2, 3], [4], [(0, 0)]),
    ([2, 3], [5], [(1, 0)]),
    ([4], [5], [(0, 0)]),
]


def test_the_edges_between_two_groups_are_a_layer() -> None:
    network = as_layered(skipping(weight=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    assert network.layer_sizes == (2, 2, 1, 1)
    assert pairs_of(network) == EXPECTED
    assert [layer.weights.tolist() for layer in network.layers if layer.weights is not None] == [[1, 2], [4], [3], [6], [5]]
    assert network.degrees.tolist() == skipping().degree()


def test_networkx_gives_the_same_and_keeps_the_order_of_its_nodes() -> None:
    names = "fabcde"
    graph = nx.Graph()
    graph.add_nodes_from((name, {"layer": group}) for name, group in zip(names, GROUPS, strict=True))
    graph.add_edges_from((names[a], names[b]) for a, b in EDGES)
    assert as_layered(graph) == as_layered(skipping())
    directed = nx.DiGraph()
    directed.add_nodes_from(graph.nodes(data=True))
    directed.add_edges_from((names[min(pair)], names[max(pair)]) for pair in EDGES)
    assert as_layered(directed) == as_layered(skipping())
    directed.add_edge("e", "f")
    with pytest.raises(AnalysisError, match=r"points from vertex 'e' to vertex 'f', whose 'layer' is 3 and 0"):
        as_layered(directed)


def test_vertices_of_a_group_need_not_stand_together() -> None:
    order = np.array([4, 0, 5, 2, 1, 3])  # vertex k of the other graph is vertex order[k] of the first
    graph = igraph.Graph(n=6, edges=[tuple(np.argsort(order)[list(pair)]) for pair in EDGES])
    graph.vs["layer"] = np.array(GROUPS)[order].tolist()
    # Inside every group the order of the vertices is the same.
    assert pairs_of(as_layered(graph)) == EXPECTED


def test_the_edge_attribute_makes_layers_of_several_groups_and_several_layers_between_two() -> None:
    network = as_layered(skipping([*EDGES, (0, 2)], layer=[0, 0, 1, 1, 2, 2, 3]))
    assert pairs_of(network) == [
        ([0, 1], [2, 3], [(0, 0), (1, 1)]),
        ([0, 1, 2, 3], [4], [(1, 0), (2, 0)]),
        ([2, 3, 4], [5], [(1, 0), (2, 0)]),
        ([0, 1], [2, 3], [(0, 0)]),
    ]


def test_a_chain_is_what_it_was_with_and_without_the_attribute() -> None:
    chain = igraph.Graph(n=6, edges=[(0, 2), (3, 1), (5, 4)])
    chain.vs["layer"] = GROUPS
    expected = LayeredGraph((from_edges(2, 2, [(0, 0), (1, 1)]), from_edges(2, 1, []), from_edges(1, 1, [(0, 0)])))
    assert as_layered(chain) == expected
    assert as_layered(chain).is_chain
    chain.es["layer"] = [0, 0, 2]
    assert as_layered(chain) == expected


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            skipping([(0, 2), (1, 4)]),
            "no edge at the vertices whose 'layer' is 3, and is no chain, as edge 1 joins vertices 1 and 4",
        ),
        (skipping([*EDGES, (2, 3)]), "edge 6 joins vertices 2 and 3, whose 'layer' is 1 and 1; an edge must join two groups"),
        (skipping([*EDGES, (2, 0)]), "from source 0 to target 0 more than once"),
        (
            skipping(layer=[0, 0, 1, 1, 3, 3]),
            r"'layer' has the numbers \[0, 1, 3\]; .* every number from 0 on .*, and 2 has none",
        ),
        (skipping(layer=[-1, 0, 1, 1, 2, 2]), r"'layer' has the numbers \[-1, 0, 1, 2\]"),
        (skipping(layer=[0, 0, 1, 1, 2, None]), "'layer' of edge 5 is missing; it must be a whole number"),
        (skipping(layer=[0, 0, 0, 0, 0, 0]), "layer 0 has sources in group 2 and targets in group 1"),
    ],
)
def test_what_is_no_network_is_refused(graph: igraph.Graph, message: str) -> None:
    with pytest.raises(AnalysisError, match=message) as caught:
        as_layered(graph)
    assert "\n" not in str(caught.value)
