"""Bipartite small world: the nearest windows at probability 0, the share that stays, and a random graph at probability 1."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from netsci_nn import BipartiteTopology, TopologyError
from netsci_nn.generators.bsw import bsw, nearest

shapes = st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(
    lambda shape: st.tuples(*map(st.just, shape), st.integers(0, shape[0] * shape[1]))
)


def lattice(n_in: int, n_out: int, n_edges: int, rng: int = 0) -> BipartiteTopology:
    return bsw(n_in, n_out, n_edges=n_edges, rewiring_probability=0, rng=rng)


def n_four_cycles(topology: BipartiteTopology) -> int:
    """Pairs of targets that a pair of sources shares."""
    shared = topology.to_mask().astype(np.int64)
    pairs = (shared @ shared.T)[np.triu_indices(topology.n_out, k=1)]
    return int((pairs * (pairs - 1) // 2).sum())


@settings(max_examples=150)
@given(shapes, st.floats(0, 1), st.integers(0, 2**32))
def test_exact_budget_unique_in_range_and_reproducible(shape: tuple[int, int, int], p: float, seed: int) -> None:
    n_in, n_out, n_edges = shape
    topology = bsw(n_in, n_out, n_edges=n_edges, rewiring_probability=p, rng=seed)
    assert (topology.n_in, topology.n_out, topology.n_edges) == shape
    assert (np.diff(topology.keys()) > 0).all()
    assert bsw(n_in, n_out, n_edges=n_edges, rewiring_probability=p, rng=seed) == topology


def test_lattice_of_equal_sides_by_hand() -> None:
    topology = lattice(5, 5, 15)
    assert {(int(i), int(j)) for i, j in topology.to_edges()} == {(i, (i + k) % 5) for i in range(5) for k in (-1, 0, 1)}


def test_lattice_of_unequal_sides_by_hand() -> None:
    # Sources 0..5 sit at 0, 1/2, 1, 3/2, 2, 5/2 on a ring of 3 targets: halfway, the following target is the nearer one.
    assert lattice(6, 3, 6).to_edges().tolist() == [[0, 0], [5, 0], [1, 1], [2, 1], [3, 2], [4, 2]]
    # The larger side has the windows: the same lattice with sources and targets exchanged.
    assert sorted(map(tuple, lattice(3, 6, 6).to_edges()[:, ::-1].tolist())) == sorted(
        map(tuple, lattice(6, 3, 6).to_edges().tolist())
    )
    # 9 edges are windows of 1, 2, 1, 2, ...; source 3 at 3/2 takes 1 and 2, source 5 at 5/2 takes 2 and 0.
    edges = lattice(6, 3, 9).to_edges()
    assert {i: sorted(edges[edges[:, 0] == i, 1].tolist()) for i in range(6)} == {
        0: [0],
        1: [0, 1],
        2: [1],
        3: [1, 2],
        4: [2],
        5: [0, 2],
    }


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.integers(0, 20))
def test_windows_are_the_nearest(lengths: list[int], extra: int) -> None:
    n_ring, n_nodes = max(1, max(lengths) + extra), len(lengths)
    node, ring = nearest(np.array(lengths), n_ring)
    for i, length in enumerate(lengths):
        # Distances in units of 1 / n_nodes, so that they are whole; the following of two equally near nodes comes first.
        ahead = (np.arange(n_ring) * n_nodes - i * n_ring) % (n_ring * n_nodes)
        behind = n_ring * n_nodes - ahead
        order = np.lexsort((behind < ahead, np.minimum(ahead, behind)))
        assert sorted(ring[node == i]) == sorted(order[:length])


@given(shapes)
def test_lattice_degrees_and_no_chance(shape: tuple[int, int, int]) -> None:
    topology = lattice(*shape)
    large, small = topology.out_degrees, topology.in_degrees
    if topology.n_in < topology.n_out:
        large, small = small, large
    assert np.ptp(large) <= 1
    assert np.ptp(small) <= 3
    assert lattice(*shape, rng=1) == topology


def test_share_of_kept_edges() -> None:
    # Removed edges are binomial; as many are drawn among the free pairs, so that a share of removed / free comes back.
    # 4 standard errors: a false-alarm rate of 6e-5.
    n_edges, p = 10_000, 0.3
    before = lattice(1000, 200, n_edges)
    after = bsw(1000, 200, n_edges=n_edges, rewiring_probability=p, rng=0)
    removed = n_edges * p
    expected = n_edges - removed + removed**2 / (1000 * 200 - n_edges + removed)
    n_stayed = len(np.intersect1d(before.keys(), after.keys()))
    assert abs(n_stayed - expected) < 4 * np.sqrt(n_edges * p * (1 - p))


def test_neither_side_keeps_its_degrees() -> None:
    """Lattice degrees k are constant here; afterwards they vary by p (1 - p) k + p k, less what a finite layer allows."""
    k, p = 20, 0.3
    topology = bsw(2000, 2000, n_edges=2000 * k, rewiring_probability=p, rng=0)
    for degrees in (topology.out_degrees, topology.in_degrees):
        # The variance of a sample of 2000 has a standard error of about 3 %; 15 % are allowed.
        assert abs(degrees.var() / (p * (1 - p) * k + p * k) - 1) < 0.15


def test_probability_one_is_a_uniform_set_of_pairs() -> None:
    # 5 of 12 pairs: each with probability 5/12. Chi-square for draws without replacement, (12 - 1) / (12 - 5) times the
    # plain one; false-alarm rate 1e-4.
    n_draws, chosen = 2000, np.zeros(12)
    for seed in range(n_draws):
        chosen[bsw(4, 3, n_edges=5, rewiring_probability=1, rng=seed).keys()] += 1
    expected = n_draws * 5 / 12
    statistic = ((chosen - expected) ** 2 / expected).sum() * 11 / 7
    assert statistic < stats.chi2(11).isf(1e-4)


def test_lattice_small_world_random_are_ordered_in_clustering() -> None:
    cycles = [n_four_cycles(bsw(200, 200, density=0.05, rewiring_probability=p, rng=0)) for p in (0, 0.05, 0.2, 0.5, 1)]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > 10 * cycles[-1]


@pytest.mark.parametrize("p", [0, 0.5, 1])
def test_a_full_layer_stays_full(p: float) -> None:
    assert bsw(7, 4, density=1, rewiring_probability=p, rng=0).n_edges == 28


def test_a_million_edges_of_a_hundred_million_pairs() -> None:
    topology = bsw(10_000, 10_000, n_edges=1_000_000, rng=0)
    apart = (topology.dst - topology.src) % 10_000
    assert topology.n_edges == 1_000_000
    assert ((apart <= 50) | (apart >= 9950)).mean() == pytest.approx(0.9 + 0.1 * 0.01, abs=0.002)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan"), float("inf"), True, "0.1", None], ids=repr)
def test_bad_probability(probability: Any) -> None:
    with pytest.raises(TopologyError, match=r"rewiring_probability is .*; it must be a number from 0 to 1"):
        bsw(5, 5, n_edges=5, rewiring_probability=probability, rng=0)


@pytest.mark.parametrize("n_edges", [-1, 21, 2.5])
def test_budget_names_the_feasible_range(n_edges: Any) -> None:
    with pytest.raises(TopologyError, match=r"n_edges is .*; it must be an integer from 0 to n_in \* n_out = 20"):
        bsw(4, 5, n_edges=n_edges, rng=0)
