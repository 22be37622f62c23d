"""Bipartite small-worldness: the ladder from the lattice over the small world to the random graph, and undefined cases."""

import functools
import math
from typing import Any

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, random_graph, ring_lattice

from analysis import AnalysisError
from analysis.base.quantity import Quantity
from analysis.graph.values import BipartiteGraph
from analysis.measures.small_world import SmallWorld, small_world


def rewired(probability: float, seed: int = 1, n: int = 500, degree: int = 10) -> BipartiteGraph:
    """Every source joined to `degree` targets in a row; each edge moves to a random free target with the probability."""
    rng = np.random.default_rng(seed)
    targets = []
    for source in range(n):
        kept = [(source + shift) % n for shift in range(degree) if rng.random() >= probability]
        free = np.setdiff1d(np.arange(n), kept)
        targets.append([*kept, *rng.choice(free, degree - len(kept), replace=False)])
    return BipartiteGraph(n, n, np.repeat(np.arange(n), degree), np.concatenate(targets).astype(int))


@functools.cache
def measured(probability: float) -> SmallWorld:
    return small_world(rewired(probability), 0, nulls=5)


def value(quantity: Quantity) -> float:
    assert quantity.value is not None, quantity.reason
    return quantity.value


# p: C, L, sigma, omega, propensity of one draw each, from another implementation that compared with the perfect ring.
TABLE = {
    0.0: (0.5926, 28.70, 4.5, -0.88, 0.29),
    0.01: (0.5690, 7.57, 16.1, -0.50, 0.88),
    0.03: (0.5242, 5.66, 19.5, -0.27, 0.90),
    0.1: (0.3777, 4.39, 17.8, 0.16, 0.74),
    0.3: (0.1461, 3.78, 8.0, 0.68, 0.45),
    1.0: (0.0183, 3.49, 1.03, 0.97, 0.29),
}


@pytest.mark.parametrize("probability", TABLE)
def test_table_of_the_rewired_ring(probability: float) -> None:
    """Draws differ: 5 % in C and L (10 % where C is small), 12 % in sigma, 0.06 in omega and 0.04 in the propensity."""
    clustering, length, sigma, omega, propensity = TABLE[probability]
    found = measured(probability)
    assert value(found.clustering) == pytest.approx(clustering, rel=0.05 if probability < 0.3 else 0.1)
    assert value(found.path_length) == pytest.approx(length, rel=0.05)
    assert value(found.sigma) == pytest.approx(sigma, rel=0.12)
    assert value(found.omega) == pytest.approx(omega, abs=0.06)
    assert value(found.propensity) == pytest.approx(propensity, abs=0.04)


def test_order_of_lattice_small_world_and_random_graph() -> None:
    lattice, small, random = measured(0.0), measured(0.03), measured(1.0)
    assert value(lattice.clustering) > value(small.clustering) > 10 * value(random.clustering)
    assert value(lattice.path_length) > 3 * value(small.path_length) > 3 * value(random.path_length)
    assert value(small.propensity) > 0.6
    for end in (lattice, random):
        assert value(end.propensity) == pytest.approx(1 - 1 / math.sqrt(2), abs=0.01)
    assert value(lattice.omega) < value(small.omega) < value(random.omega)
    assert value(lattice.fixed_degrees.delta_path_length) > 0.5 > value(small.fixed_degrees.delta_path_length)
    assert value(small.clustering) > max(
        small.fixed_degrees.clustering_replicates.max(), small.erdos_renyi.clustering_replicates.max()
    )
    assert value(random.sigma) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_random_layer_has_nothing_of_a_small_world(seed: int) -> None:
    found = small_world(random_graph(120, 80, 960, seed), seed)
    assert value(found.sigma) == pytest.approx(1, abs=0.1)
    assert value(found.propensity) < 0.45
    assert found.fixed_degrees.clustering_replicates.shape == (20,)


def test_formulas_by_hand() -> None:
    found = small_world(random_graph(60, 40, 240, 5), 0, nulls=3)
    one = found.erdos_renyi
    clustering, length = value(found.clustering), value(found.path_length)
    clustering_random, length_random = one.clustering_replicates.mean(), one.path_length_replicates.mean()
    assert value(one.sigma) == pytest.approx(clustering / clustering_random * length_random / length)
    assert value(one.omega) == pytest.approx(length_random / length - clustering / value(found.clustering_lattice))
    delta_c = (value(found.clustering_lattice) - clustering) / (value(found.clustering_lattice) - clustering_random)
    delta_l = (length - length_random) / (value(found.path_length_lattice) - length_random)
    deltas = [min(max(delta, 0), 1) for delta in (delta_c, delta_l)]
    assert [value(one.delta_clustering), value(one.delta_path_length)] == pytest.approx(deltas)
    assert value(one.propensity) == pytest.approx(1 - math.sqrt((deltas[0] ** 2 + deltas[1] ** 2) / 2))


def test_same_seed_gives_the_same_indices() -> None:
    graph = random_graph(40, 30, 200, 6)
    first, again = (small_world(graph, 3, nulls=2) for _ in range(2))
    assert first.sigma == again.sigma
    assert first.propensity == again.propensity


def test_graph_in_pieces_has_no_path_length() -> None:
    blocks = [(4 * block + s, 4 * block + t) for block in range(4) for s in range(4) for t in range(4)]
    found = small_world(from_edges(16, 16, blocks), 0, nulls=3)
    assert found.path_length.reason == "the graph is in pieces: the largest holds 8 of the 32 neurons that have an edge"
    assert value(found.clustering) == 1.0
    assert found.sigma.reason == found.propensity.reason == found.omega.reason == found.path_length.reason


def test_isolated_neurons_do_not_count_as_pieces() -> None:
    ring = ring_lattice(20, 4)
    found = small_world(BipartiteGraph(100, 20, ring.src, ring.dst), 0, nulls=3)
    assert value(found.path_length) == value(small_world(ring, 0, nulls=3).path_length)


@pytest.mark.parametrize(
    "graph", [from_edges(3, 2, []), ring_lattice(12, 1), complete(4, 3)], ids=["empty", "matching", "full"]
)
def test_undefined_indices_say_why(graph: BipartiteGraph) -> None:
    found = small_world(graph, 0, nulls=2)
    for quantity in (found.propensity, found.fixed_degrees.delta_clustering, found.erdos_renyi.delta_path_length):
        assert quantity.value is None
        assert quantity.reason


@pytest.mark.parametrize("nulls", [0, -1, 2.0, True])
def test_number_of_nulls_is_checked(nulls: Any) -> None:
    with pytest.raises(AnalysisError, match="nulls is"):
        small_world(complete(2, 2), 0, nulls=nulls)
