"""Small world: the lattice at p = 0, kept source degrees at every p, and the order lattice < small world < random."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from netsci_nn import BipartiteTopology, TopologyError
from netsci_nn.generators import small_world

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
    lambda shape: st.tuples(*map(st.just, shape), st.integers(0, shape[0] * shape[1]))
)


def lattice(n_in: int, n_out: int, n_edges: int, rng: int = 0) -> BipartiteTopology:
    return small_world(n_in, n_out, n_edges=n_edges, rewiring_probability=0, rng=rng)


def n_four_cycles(topology: BipartiteTopology) -> int:
    """Pairs of targets that a pair of sources shares."""
    shared = topology.to_mask().astype(np.int64)
    overlap = shared @ shared.T
    pairs = overlap[np.triu_indices(len(overlap), k=1)]
    return int((pairs * (pairs - 1) // 2).sum())


@settings(max_examples=300)
@given(shapes)
def test_lattice_degrees_differ_by_at_most_one_on_each_side(shape: tuple[int, int, int]) -> None:
    topology = lattice(*shape)
    assert topology.n_edges == shape[2]
    assert np.ptp(topology.out_degrees) <= 1
    assert np.ptp(topology.in_degrees) <= 1
    assert lattice(*shape, rng=1) == topology


@given(shapes)
def test_lattice_windows_are_consecutive_targets_around_the_circle(shape: tuple[int, int, int]) -> None:
    topology = lattice(*shape)
    mask = topology.to_mask()
    for source in range(topology.n_in):
        targets = mask[:, source]
        # A window on a circle is entered at most once.
        assert (targets & ~np.roll(targets, 1)).sum() <= 1


def test_lattice_windows_lie_at_the_angle_of_their_source() -> None:
    topology = lattice(40, 20, 200)
    for source in range(40):
        targets = topology.dst[topology.src == source]
        offsets = (targets - source / 2 + 10) % 20 - 10
        assert np.abs(offsets).max() <= 3.5
        assert abs(offsets.mean()) <= 1


def test_lattice_of_equal_sides_by_hand() -> None:
    topology = lattice(5, 5, 15)
    assert all(sorted(topology.dst[topology.src == i].tolist()) == sorted((i + k) % 5 for k in (-1, 0, 1)) for i in range(5))


@given(shapes, st.floats(0, 1), st.integers(0, 2**32))
def test_source_degrees_are_the_lattices_at_every_probability(shape: tuple[int, int, int], p: float, seed: int) -> None:
    topology = small_world(shape[0], shape[1], n_edges=shape[2], rewiring_probability=p, rng=seed)
    assert topology.out_degrees.tolist() == lattice(*shape).out_degrees.tolist()


def test_lattice_small_world_random_are_ordered_in_clustering() -> None:
    cycles = [n_four_cycles(small_world(200, 200, density=0.05, rewiring_probability=p, rng=0)) for p in (0, 0.05, 0.2, 0.5, 1)]
    assert cycles == sorted(cycles, reverse=True)
    assert len(set(cycles)) == 5
    # At probability 1 two sources draw 10 of 200 targets each, independently: the number of pairs of targets they share
    # has the mean C(10, 2)^2 / C(200, 2), and there are C(200, 2) pairs of sources. The spread over seeds is 48, measured;
    # 4 of them are allowed, a false-alarm rate of 6e-5 at this fixed seed.
    assert abs(cycles[-1] - 45**2) < 4 * 48
    assert cycles[0] > 10 * cycles[-1]


def test_share_of_moved_edges_is_the_probability() -> None:
    # Moved edges are binomial; a moved edge takes a free target, of which it left one, so it returns by chance at most in a
    # share 10 / 190 of the cases. 4 standard errors: a false-alarm rate of 6e-5.
    n_edges, p = 10_000, 0.3
    before = lattice(1000, 200, n_edges)
    after = small_world(1000, 200, n_edges=n_edges, rewiring_probability=p, rng=0)
    n_stayed = len(np.intersect1d(before.keys(), after.keys()))
    spread = 4 * np.sqrt(n_edges * p * (1 - p))
    assert n_edges * (1 - p) - spread < n_stayed < n_edges * (1 - p) + n_edges * p * 10 / 190 + spread


def test_rewired_targets_are_uniform() -> None:
    # All 4 edges of a source move: each of 12 targets is hit with probability 1/3. Chi-square for draws without
    # replacement, (12 - 1) / (12 - 4) times the plain one; false-alarm rate 1e-4.
    n_draws, chosen = 2000, np.zeros(12)
    for seed in range(n_draws):
        topology = small_world(6, 12, n_edges=24, rewiring_probability=1, rng=seed)
        chosen[topology.dst[topology.src == 2]] += 1
    statistic = ((chosen - n_draws / 3) ** 2 / (n_draws / 3)).sum() * 11 / 8
    assert statistic < stats.chi2(11).isf(1e-4)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan"), float("inf"), True, "0.1", None], ids=repr)
def test_bad_probability(probability: Any) -> None:
    with pytest.raises(TopologyError, match=r"rewiring_probability is .*; it must be a number from 0 to 1"):
        small_world(5, 5, n_edges=5, rewiring_probability=probability, rng=0)
