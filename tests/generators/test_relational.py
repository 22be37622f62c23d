"""Relational graphs: the exact number of edges, the ring at p = 0, blocks at the level of nodes, and no endless rewiring."""

import time
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netsci_nn import BipartiteTopology, ConfigError, TopologyError
from netsci_nn.generators.protocol import GENERATORS
from netsci_nn.generators.relational import relational


@st.composite
def node_graphs(draw: st.DrawFn) -> tuple[int, float]:
    n_nodes = draw(st.integers(1, 24))
    degree = draw(st.one_of(st.floats(0, n_nodes - 1), st.integers(0, n_nodes - 1)))
    return n_nodes, degree


seeds = st.integers(0, 2**32)
probabilities = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))


def node_graph(n_nodes: int, degree: float, p: float, rng: int) -> nx.Graph:
    """The graph on the nodes: the layer with one source and one target a node, without what a node hears of itself."""
    mask = relational(n_nodes, n_nodes, n_nodes=n_nodes, degree=degree, rewiring_probability=p, rng=rng).to_mask()
    assert (mask == mask.T).all()
    assert mask.diagonal().all()
    np.fill_diagonal(mask, False)
    return nx.from_numpy_array(mask)


@given(node_graphs(), probabilities, seeds)
def test_node_graph_has_exactly_the_rounded_number_of_edges(shape: tuple[int, float], p: float, seed: int) -> None:
    n_nodes, degree = shape
    assert node_graph(n_nodes, degree, p, seed).number_of_edges() == round(degree * n_nodes / 2)


@given(node_graphs(), seeds)
def test_degrees_of_the_ring_take_three_values_at_most(shape: tuple[int, float], seed: int) -> None:
    n_nodes, degree = shape
    low = 2 * int(degree / 2)
    assert {k - low for _, k in node_graph(n_nodes, degree, 0, seed).degree()} <= {0, 1, 2}


@given(st.integers(3, 30), st.data())
def test_even_degree_is_the_lattice_of_watts_and_strogatz(n_nodes: int, data: st.DataObject) -> None:
    degree = 2 * data.draw(st.integers(0, (n_nodes - 1) // 2))
    expected = nx.circulant_graph(n_nodes, range(1, degree // 2 + 1))
    assert set(map(frozenset, node_graph(n_nodes, degree, 0, 0).edges())) == set(map(frozenset, expected.edges()))


def test_ring_by_hand() -> None:
    # Six nodes, degree 2: node i hears i - 1, i and i + 1. Two sources and one target a node.
    topology = relational(12, 6, n_nodes=6, degree=2, rng=0)
    for target in range(6):
        nodes = sorted((target + step) % 6 for step in (-1, 0, 1))
        assert topology.src[topology.dst == target].tolist() == [unit for node in nodes for unit in (2 * node, 2 * node + 1)]


def test_degree_0_is_grouped_and_the_highest_degree_is_complete() -> None:
    blocks = np.kron(np.eye(4, dtype=np.bool_), np.ones((2, 3), dtype=np.bool_))
    assert (relational(12, 8, n_nodes=4, degree=0, rewiring_probability=1, rng=0).to_mask() == blocks).all()
    for n_nodes in range(1, 9):
        for p in (0, 0.5, 1):
            assert relational(13, 9, n_nodes=n_nodes, degree=n_nodes - 1, rewiring_probability=p, rng=0).density == 1


def test_edges_beyond_the_whole_steps_go_to_distinct_random_nodes() -> None:
    # Degree 3 on 20 nodes: one step for all, and 10 of 20 nodes reach two steps. Each does with probability 1/2; over 2000
    # draws, chi-square for draws without replacement is (20 - 1) / (20 - 10) times the plain one; false-alarm rate 1e-4.
    n_draws, chosen = 2000, np.zeros(20)
    for seed in range(n_draws):
        graph = node_graph(20, 3, 0, seed)
        further = [i for i in range(20) if graph.has_edge(i, (i + 2) % 20)]
        assert len(further) == 10
        assert all(graph.has_edge(i, (i + 1) % 20) for i in range(20))
        chosen[further] += 1
    statistic = ((chosen - n_draws / 2) ** 2 / (n_draws / 2)).sum() * 19 / 10
    assert statistic < stats.chi2(19).isf(1e-4)


@given(node_graphs(), st.integers(0, 40), st.integers(0, 40), probabilities, seeds)
def test_layer_is_the_node_graph_with_nodes_blown_up(
    shape: tuple[int, float], more_in: int, more_out: int, p: float, seed: int
) -> None:
    n_nodes, degree = shape
    n_in, n_out = n_nodes + more_in, n_nodes + more_out
    topology = relational(n_in, n_out, n_nodes=n_nodes, degree=degree, rewiring_probability=p, rng=seed)
    nodes = relational(n_nodes, n_nodes, n_nodes=n_nodes, degree=degree, rewiring_probability=p, rng=seed).to_mask()
    # The units of a node follow each other, and their numbers differ by at most one.
    first_source, first_target = (np.arange(n_nodes) * n // n_nodes for n in (n_in, n_out))
    owner_in = np.searchsorted(first_source, np.arange(n_in), side="right") - 1
    owner_out = np.searchsorted(first_target, np.arange(n_out), side="right") - 1
    assert np.ptp(np.bincount(owner_in)) <= 1
    assert np.ptp(np.bincount(owner_out)) <= 1
    assert (topology.to_mask() == nodes[np.ix_(owner_out, owner_in)]).all()


@pytest.mark.parametrize("p", [0, 0.3, 1])
def test_degrees_and_density_where_nodes_divide_the_sizes(p: float) -> None:
    n_nodes, degree, width, height = 16, 5.3, 3, 2
    graph = node_graph(n_nodes, degree, p, 7)
    topology = relational(16 * width, 16 * height, n_nodes=n_nodes, degree=degree, rewiring_probability=p, rng=7)
    heard = np.array([k + 1 for _, k in graph.degree()])
    assert topology.out_degrees.tolist() == np.repeat(heard * height, width).tolist()
    assert topology.in_degrees.tolist() == np.repeat(heard * width, height).tolist()
    assert topology.density == pytest.approx((2 * round(degree * n_nodes / 2) + n_nodes) / n_nodes**2)


def test_lattice_small_world_random_are_ordered_in_clustering_and_paths() -> None:
    graphs = [node_graph(64, 8, p, 0) for p in (0, 0.1, 0.4, 1)]
    clustering = [nx.average_clustering(graph) for graph in graphs]
    assert clustering == sorted(clustering, reverse=True)
    # A ring lattice of degree k has clustering 3 (k - 2) / (4 (k - 1)).
    assert clustering[0] == pytest.approx(3 * 6 / (4 * 7))
    lengths = [nx.average_shortest_path_length(graph) for graph in graphs]
    assert lengths == sorted(lengths, reverse=True)


def test_share_of_moved_edges_is_the_probability() -> None:
    # Moved edges are binomial; a moved edge takes a node it was not joined to, so it is back on the ring only when another
    # one takes the place it left: at most 1000 of 200 * 199 / 2 places. 4 standard errors: a false-alarm rate of 6e-5.
    n_edges, p = 1000, 0.3
    before, after = (set(map(frozenset, node_graph(200, 10, probability, 0).edges())) for probability in (0, p))
    spread = 4 * np.sqrt(n_edges * p * (1 - p))
    assert n_edges * (1 - p) - spread < len(before & after) < n_edges * (1 - p) + n_edges * p * 0.05 + spread


def test_rewired_ends_are_uniform() -> None:
    # One edge on 7 nodes, always moved: its near end a is uniform, and its far end leaves a + 1 for one of 5 others, so every
    # ordered pair (a, b) with b != a + 1 has probability 1 / 35. A pair of neighbours on the ring is met in one order only,
    # any other pair in two. Chi-square over the 21 pairs, false-alarm rate 1e-4.
    n_draws = 3500
    observed = np.zeros((7, 7))
    for seed in range(n_draws):
        ((a, b),) = node_graph(7, 2 / 7, 1, seed).edges()
        observed[a, b] += 1
    a, b = np.triu_indices(7, k=1)
    expected = np.where((b - a == 1) | (b - a == 6), 1, 2) * n_draws / 35
    statistic = ((observed[a, b] - expected) ** 2 / expected).sum()
    assert statistic < stats.chi2(20).isf(1e-4)


@pytest.mark.parametrize("degree", [0, 1, 6.5, 150, 198, 198.9, 199])
def test_200_x_200_takes_no_second_and_ends(degree: float) -> None:
    relational(200, 200, n_nodes=8, degree=2, rng=0)  # compiles what all topologies share
    start = time.perf_counter()
    topology = relational(200, 200, n_nodes=200, degree=degree, rewiring_probability=1, rng=0)
    assert time.perf_counter() - start < 1
    assert topology.n_edges == 200 + 2 * round(100 * degree)


def test_a_node_joined_to_all_others_keeps_its_edges() -> None:
    # On 4 nodes all but one of the 6 edges are there, whatever is rewired: two nodes are joined to all others.
    for seed in range(50):
        assert sorted(k for _, k in node_graph(4, 2.5, 1, seed).degree()) == [2, 2, 3, 3]


def test_same_seed_same_edges() -> None:
    def draw(rng: Any) -> BipartiteTopology:
        return relational(100, 80, n_nodes=32, degree=5.5, rewiring_probability=0.3, rng=rng)

    assert draw(0) == draw(0) == draw(np.random.default_rng(0))
    assert len({draw(seed) for seed in range(10)}) == 10


def test_defaults_are_64_nodes_without_rewiring() -> None:
    assert relational(128, 64, degree=4, rng=0) == relational(128, 64, n_nodes=64, degree=4, rewiring_probability=0, rng=9)


def test_65536_units_overflow_nothing() -> None:
    topology = relational(65_536, 65_536, n_nodes=4096, degree=2, rng=0)
    assert topology.n_edges == 4096 * 3 * 16 * 16
    assert topology.keys()[-1] == 65_536**2 - 1


@pytest.mark.parametrize("n_nodes", [0, -1, 9, 2.0, True, "2", None], ids=repr)
def test_bad_n_nodes(n_nodes: Any) -> None:
    with pytest.raises(TopologyError, match=r"n_nodes is .*; it must be an integer from 1 to min\(n_in, n_out\) = 8"):
        relational(10, 8, n_nodes=n_nodes, degree=0, rng=0)


@pytest.mark.parametrize("degree", [-0.1, 4.01, float("nan"), float("inf"), True, "2", None], ids=repr)
def test_bad_degree(degree: Any) -> None:
    with pytest.raises(TopologyError, match=r"degree is .*; it must be a number from 0 to n_nodes - 1 = 4"):
        relational(10, 10, n_nodes=5, degree=degree, rng=0)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan"), True, "0.1", None], ids=repr)
def test_bad_probability(probability: Any) -> None:
    with pytest.raises(TopologyError, match=r"rewiring_probability is .*; it must be a number from 0 to 1"):
        relational(10, 10, n_nodes=5, degree=2, rewiring_probability=probability, rng=0)


@pytest.mark.parametrize(("n_in", "n_out", "name"), [(0, 5, "n_in"), (5, 0, "n_out"), (5, 2.5, "n_out")])
def test_bad_sizes(n_in: Any, n_out: Any, name: str) -> None:
    with pytest.raises(TopologyError, match=rf"{name} is .*; it must be an integer from 1 to"):
        relational(n_in, n_out, n_nodes=1, degree=0, rng=0)


def test_rng_is_required_and_checked() -> None:
    with pytest.raises(TypeError, match="rng"):
        relational(10, 10, n_nodes=5, degree=2)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=r"rng is None; it must be an integer seed >= 0"):
        relational(10, 10, n_nodes=5, degree=2, rng=None)  # type: ignore[arg-type]


def test_registered() -> None:
    assert GENERATORS["relational"] is relational
