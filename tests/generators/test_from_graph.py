"""Any graph as a layer: its very edges where it fits, blocks where sizes are multiples, shares where they are not."""

import importlib
import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import igraph
import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsci_nn import BipartiteTopology, ConfigError, TopologyError
from netsci_nn.generators.erdos_renyi import erdos_renyi
from netsci_nn.generators.from_graph import from_graph, from_graph_generator
from netsci_nn.generators.protocol import GENERATORS
from netsci_nn.topology import graph_edges

KARATE = nx.karate_club_graph()
TRIANGLE_AND_LOOP = igraph.Graph(n=3, edges=[(0, 1), (1, 2), (2, 0), (1, 1)], directed=True)


def random_bipartite(n_sources: int, n_targets: int, density: float, seed: int) -> BipartiteTopology:
    return BipartiteTopology.from_mask(np.random.default_rng(seed).random((n_targets, n_sources)) < density)


def coverage(n_neurons: int, n_vertices: int) -> np.ndarray:
    """The share of every neuron's interval that lies in every vertex's, from the definition."""
    neuron, vertex = np.arange(n_neurons)[:, None], np.arange(n_vertices)
    low = np.maximum(neuron / n_neurons, vertex / n_vertices)
    high = np.minimum((neuron + 1) / n_neurons, (vertex + 1) / n_vertices)
    return np.maximum(high - low, 0) * n_neurons


def shares(topology: BipartiteTopology, n_in: int, n_out: int) -> np.ndarray:
    return coverage(n_out, topology.n_out) @ topology.to_mask() @ coverage(n_in, topology.n_in).T


graphs = st.builds(
    random_bipartite, st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.1, 0.5, 0.9, 1.0]), st.integers(0, 2**32)
)
seeds = st.one_of(st.none(), st.integers(0, 2**32))


def n_wanted(topology: BipartiteTopology, n_in: int, n_out: int) -> int:
    return round(Fraction(topology.n_edges * n_in * n_out, topology.n_in * topology.n_out))


def test_edges_of_an_undirected_graph_go_both_ways_and_a_loop_once() -> None:
    edges, n_sources, n_targets = graph_edges(nx.Graph([(0, 1), (1, 2), (2, 2)]))
    assert (n_sources, n_targets) == (3, 3)
    assert edges.dtype == np.int64
    assert edges.tolist() == [[1, 0], [0, 1], [2, 1], [1, 2], [2, 2]]


@pytest.mark.parametrize("graph", [TRIANGLE_AND_LOOP, nx.DiGraph([(0, 1), (1, 2), (2, 0), (1, 1)])], ids=["igraph", "networkx"])
def test_edges_of_a_directed_graph_keep_their_direction(graph: Any) -> None:
    edges, *sizes = graph_edges(graph)
    assert sizes == [3, 3]
    assert edges.tolist() == [[2, 0], [0, 1], [1, 1], [1, 2]]


def test_edges_of_a_bipartite_graph_join_its_sides_whichever_way_they_point() -> None:
    graph = igraph.Graph(n=4, edges=[(0, 1), (3, 2), (3, 1)], directed=True)
    graph.vs["type"] = [True, False, False, True]
    edges, *sizes = graph_edges(graph)
    assert sizes == [2, 2]
    assert edges.tolist() == [[0, 0], [0, 1], [1, 1]]
    directed = nx.DiGraph([("t", "s"), ("r", "t")])
    nx.set_node_attributes(directed, {"t": 1, "s": 0, "r": 0}, "bipartite")
    assert graph_edges(directed)[0].tolist() == [[0, 0], [1, 0]]


@given(graphs)
def test_the_graph_of_a_topology_gives_the_topology_back(topology: BipartiteTopology) -> None:
    weights = np.arange(topology.n_edges, dtype=np.float64)
    for graph in (topology.to_igraph(weights), topology.to_networkx(weights)):
        assert from_graph(graph, topology.n_in, topology.n_out) == topology
        assert from_graph(graph, topology.n_in, topology.n_out, rng=0) == topology


def test_types_that_are_no_sides_do_not_make_a_graph_bipartite() -> None:
    graph = igraph.Graph(n=2, edges=[(0, 1)], directed=True)
    graph.vs["type"] = ["neuron", "glia"]
    assert graph_edges(graph)[1:] == (2, 2)


def test_karate_club_fits_exactly(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="netsci_nn"):
        topology = from_graph(KARATE, 34, 34)
    assert (topology.to_mask() == (nx.to_numpy_array(KARATE, weight=None) > 0)).all()
    assert topology.n_edges == 2 * 78
    assert topology.out_degrees.tolist() == [degree for _, degree in KARATE.degree()]
    messages = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert messages == [("INFO", "graph of 34 x 34 vertices and 156 edges fits exactly")]


def test_directed_igraph_fits_exactly() -> None:
    topology = from_graph(TRIANGLE_AND_LOOP, 3, 3)
    assert topology.to_mask().T.tolist() == [[bool(cell) for cell in row] for row in TRIANGLE_AND_LOOP.get_adjacency()]


def test_scaling_is_a_warning_with_the_numbers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="netsci_nn"):
        topology = from_graph(KARATE, 100, 50)
    assert topology.n_edges == round(156 / 34**2 * 100 * 50) == 675
    messages = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert messages == [("WARNING", "graph of 34 x 34 vertices is scaled to 100 x 50 neurons: 156 edges become 675")]


@given(graphs, st.integers(1, 6), st.integers(1, 6), seeds)
def test_multiples_expand_every_edge_to_a_complete_block(
    topology: BipartiteTopology, width: int, height: int, seed: int | None
) -> None:
    scaled = from_graph(topology.to_igraph(), topology.n_in * width, topology.n_out * height, rng=seed)
    assert (scaled.to_mask() == np.kron(topology.to_mask(), np.ones((height, width), dtype=np.bool_))).all()
    assert scaled.out_degrees.tolist() == np.repeat(topology.out_degrees * height, width).tolist()
    assert scaled.in_degrees.tolist() == np.repeat(topology.in_degrees * width, height).tolist()


@given(graphs, st.integers(1, 30), st.integers(1, 30), seeds)
def test_any_sizes_give_the_rounded_number_within_the_blocks(
    topology: BipartiteTopology, n_in: int, n_out: int, seed: int | None
) -> None:
    wanted = n_wanted(topology, n_in, n_out)
    if topology.n_edges and not wanted:
        with pytest.raises(TopologyError, match="must be at least 1 when rounded"):
            from_graph(topology.to_igraph(), n_in, n_out, rng=seed)
        return
    scaled = from_graph(topology.to_igraph(), n_in, n_out, rng=seed)
    assert (scaled.n_in, scaled.n_out, scaled.n_edges) == (n_in, n_out, wanted)
    assert from_graph(topology.to_networkx(), n_in, n_out, rng=seed) == scaled
    share, mask = shares(topology, n_in, n_out), scaled.to_mask()
    assert share.sum() == pytest.approx(topology.density * n_in * n_out)
    assert (share[mask] > 1e-12).all()
    assert mask[share > 1 - 1e-12].all()
    assert (np.abs(scaled.in_degrees - share.sum(axis=1)) < 1.5 + 1e-9).all()


def test_scaling_down_by_hand() -> None:
    # Two of four targets hear the one source, in blocks of two: shares 1/2, 1/2. One edge of the two is left, that which
    # holds the middle of the cumulative sum 1/2, 1.
    graph = BipartiteTopology(1, 4, [0, 0], [0, 2]).to_igraph()
    assert from_graph(graph, 1, 2).to_edges().tolist() == [[0, 1]]
    assert {from_graph(graph, 1, 2, rng=seed).to_edges()[0].tolist()[1] for seed in range(20)} == {0, 1}


def test_sizes_that_do_not_divide_by_hand() -> None:
    # Source 0 of 2 over 3 neurons: shares 1, 1/2, 0 for target 0 and the mirror image for target 1. The sum 3 is whole, and
    # the open shares 1/2, 1/2 have their middle in the second.
    graph = BipartiteTopology(2, 2, [0, 1], [0, 1]).to_igraph()
    assert shares(BipartiteTopology(2, 2, [0, 1], [0, 1]), 3, 2).tolist() == pytest.approx(np.array([[1, 0.5, 0], [0, 0.5, 1]]))
    assert from_graph(graph, 3, 2).to_edges().tolist() == [[0, 0], [1, 1], [2, 1]]


def test_karate_club_scaled_down_keeps_its_hubs() -> None:
    topology = from_graph(KARATE, 17, 17, rng=0)
    assert topology.n_edges == 39
    # Vertices 0 and 1, and 32 and 33, are the hubs of the two factions.
    assert set(np.argsort(topology.in_degrees)[-2:]) == {0, 16}
    # Halved exactly, every share is a number of quarters; the sum, 39, is whole, so degrees are rounded by less than 1.
    blocks = nx.to_numpy_array(KARATE, weight=None).reshape(17, 2, 34).sum(axis=(1, 2)) / 4
    assert (np.abs(topology.in_degrees - blocks) < 1).all()


@pytest.mark.parametrize(("n_in", "n_out", "rounded"), [(6, 6, "whole"), (5, 5, "down"), (4, 5, "up"), (7, 5, "up")])
def test_every_pair_is_chosen_with_its_share(n_in: int, n_out: int, rounded: str) -> None:
    graph = erdos_renyi(9, 9, n_edges=36, rng=4)
    share = shares(graph, n_in, n_out)
    wanted, total = n_wanted(graph, n_in, n_out), share.sum()
    assert rounded == ("whole" if abs(wanted - total) < 1e-9 else "up" if wanted > total else "down")
    is_open = (share > 0) & (share < 1 - 1e-12)
    expected = share.copy()
    n_open, open_total = wanted - (share > 1 - 1e-12).sum(), share[is_open].sum()
    if rounded == "up":
        left_out = (is_open.sum() - n_open) / (is_open.sum() - open_total)
        expected[is_open] = 1 - (1 - share[is_open]) * left_out
    else:
        expected[is_open] *= n_open / open_total
    # Chosen or not is a Bernoulli variable in each of 600 draws: 4.5 standard errors for each of at most 36 pairs, a
    # false-alarm rate below 3e-4 at these fixed seeds.
    n_draws = 600
    rng = np.random.default_rng(0)
    frequency = (
        sum(from_graph(graph.to_igraph(), n_in, n_out, rng=rng).to_mask().astype(float) for _ in range(n_draws)) / n_draws
    )
    assert (np.abs(frequency - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / n_draws) + 1e-9).all()


def test_same_seed_same_edges_and_no_seed_no_chance() -> None:
    drawn = [from_graph(KARATE, 50, 45, rng=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert from_graph(KARATE, 50, 45, rng=np.random.default_rng(0)) == drawn[0]
    assert from_graph(KARATE, 50, 45) == from_graph(KARATE, 50, 45)


def test_graph_without_edges() -> None:
    graph = igraph.Graph(n=4, directed=True)
    assert from_graph(graph, 4, 4).n_edges == 0
    assert from_graph(graph, 3, 10, rng=0).n_edges == 0


@pytest.mark.parametrize("write", ["igraph", "networkx"])
def test_graphml_round_trip(tmp_path: Path, write: str) -> None:
    path = tmp_path / "graph.graphml"
    if write == "igraph":
        igraph.Graph.from_networkx(KARATE).write_graphml(str(path))
    else:
        nx.write_graphml(KARATE, path)
    for file in (path, str(path)):
        assert from_graph(file, 34, 34) == from_graph(KARATE, 34, 34)
    assert from_graph(path, 784, 300, rng=0) == from_graph(KARATE, 784, 300, rng=0)


@pytest.mark.parametrize("write", ["igraph", "networkx"])
def test_graphml_of_a_bipartite_graph(tmp_path: Path, write: str) -> None:
    path, topology = tmp_path / "layer.graphml", random_bipartite(5, 4, 0.5, seed=0)
    if write == "igraph":
        topology.save(path)
    else:
        nx.write_graphml(topology.to_networkx(), path)
    assert from_graph(path, 5, 4) == topology


def test_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.graphml", tmp_path):
        with pytest.raises(ConfigError, match=r"path '.*' is not a file"):
            from_graph(path, 5, 5)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00\x01\x02", b"<graphml></graphml>", b'<graphml><graph><node id="a"'])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.graphml"
    path.write_bytes(content)
    with pytest.raises(TopologyError, match=r"file '.*bad\.graphml' cannot be read as GraphML: "):
        from_graph(path, 5, 5)


def with_types(types: list[Any], edges: list[tuple[int, int]]) -> igraph.Graph:
    graph = igraph.Graph(n=len(types), edges=edges)
    graph.vs["type"] = types
    return graph


def with_sides(sides: list[Any], edges: list[tuple[int, int]]) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from((node, {} if side is None else {"bipartite": side}) for node, side in enumerate(sides))
    graph.add_edges_from(edges)
    return graph


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (igraph.Graph(), r"graph has 0 vertices; it must have at least 1"),
        (nx.DiGraph(), r"graph has 0 vertices; it must have at least 1"),
        (igraph.Graph(n=2, edges=[(0, 1), (1, 0)]), r"edge \(1, 0\) occurs twice"),
        (igraph.Graph(n=2, edges=[(0, 1), (0, 1)], directed=True), r"edge \(0, 1\) occurs twice"),
        (igraph.Graph(n=2, edges=[(1, 1), (1, 1)]), r"edge \(1, 1\) occurs twice"),
        (nx.MultiGraph([(0, 1), (1, 0)]), r"edge \(1, 0\) occurs twice"),
        (nx.MultiDiGraph([(0, 1), (0, 1)]), r"edge \(0, 1\) occurs twice"),
        (with_types([False, True], [(0, 1), (1, 0)]), r"edge \(0, 0\) occurs twice"),
        (with_types([False, True, True], [(0, 1), (1, 2)]), r"edge 1 joins vertices 1 and 2, both targets"),
        (with_types([False, True], [(0, 0)]), r"edge 0 joins vertices 0 and 0, both sources"),
        (with_types([True, True], []), r"graph has 0 sources and 2 targets; it must have at least 1 of both"),
        (with_types([0, 1, 2], [(0, 1)]), r"vertex 2 has type = 2; it must be 0 for a source or 1 for a target"),
        (with_sides([0, 0], []), r"graph has 2 sources and 0 targets; it must have at least 1 of both"),
        (with_sides([0, 1, 1], [(1, 2)]), r"edge 0 joins vertices 1 and 2, both targets"),
        (with_sides([0, 1, None], [(0, 1)]), r"vertex 2 has bipartite = None; it must be 0 for a source or 1"),
        ([(0, 1)], r"graph is a list; it must be an igraph\.Graph, a networkx graph or the path of a GraphML file"),
        (None, r"graph is a NoneType; it must be"),
    ],
)
def test_graphs_that_are_no_layer(graph: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        from_graph(graph, 5, 5)


def test_multigraph_without_parallel_edges_is_fine() -> None:
    assert from_graph(nx.MultiDiGraph([(0, 1)]), 2, 2).to_edges().tolist() == [[0, 1]]


def test_scaling_that_leaves_no_edge_is_an_error_with_the_numbers() -> None:
    graph = igraph.Graph(n=100, edges=[(0, 1)], directed=True)
    expected = (
        r"graph has 1 edges between 100 sources and 100 targets; scaled to 50 x 50 it has 0\.25 edges, which must be at least 1"
    )
    with pytest.raises(TopologyError, match=expected):
        from_graph(graph, 50, 50)


def test_scaling_whose_shares_overflow_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # The real limit, 2^62, takes a graph of millions of vertices. Two edges over 3 x 3 neurons touch all
    # pairs but two corners, in units of 1 / 4.
    monkeypatch.setattr(importlib.import_module("netsci_nn.generators.from_graph"), "MAX_TOTAL", 11)
    graph = BipartiteTopology(2, 2, [0, 1], [0, 1]).to_igraph()
    assert from_graph(graph, 4, 4).n_edges == 8
    with pytest.raises(TopologyError, match=r"scaled to 3 x 3 it shares edges among 7 pairs, which must be at most 2 pairs"):
        from_graph(graph, 3, 3)


def test_large_layers_overflow_nothing() -> None:
    # 65,536 x 65,536 neurons, coprime to the graph's sizes: the shares' sum is far above 2^32.
    n = 40_009
    ring = igraph.Graph(n=n, edges=[(i, (i + 1) % n) for i in range(n)], directed=True)
    topology = from_graph(ring, 65_536, 65_536, rng=0)
    assert topology.n_edges == round(Fraction(65_536**2, n))
    offset = (topology.dst.astype(np.int64) - topology.src) % 65_536
    # Source and target lie less than two vertices apart, and a vertex is 1.64 neurons.
    assert (offset <= 4).all()
    assert topology.dst.max() == 65_535


@pytest.mark.parametrize("rng", [-1, True, 0.5, "0"], ids=repr)
@pytest.mark.parametrize("size", [34, 20])
def test_bad_rng(rng: Any, size: int) -> None:
    with pytest.raises(ConfigError, match=r"rng is .*; it must be an integer seed >= 0 or a numpy\.random\.Generator"):
        from_graph(KARATE, size, size, rng=rng)


@pytest.mark.parametrize(("n_in", "n_out", "name"), [(0, 5, "n_in"), (5, -1, "n_out"), (5, 2.5, "n_out"), (True, 5, "n_in")])
def test_bad_sizes(n_in: Any, n_out: Any, name: str) -> None:
    with pytest.raises(TopologyError, match=rf"{name} is .*; it must be an integer from 1 to"):
        from_graph(KARATE, n_in, n_out)


def test_the_registered_generator_takes_the_sizes_first() -> None:
    assert GENERATORS["from_graph"] is from_graph_generator
    assert from_graph_generator(60, 40, graph=KARATE, rng=3) == from_graph(KARATE, 60, 40, rng=3)
    assert from_graph_generator(60, 40, graph=KARATE) == from_graph(KARATE, 60, 40)
