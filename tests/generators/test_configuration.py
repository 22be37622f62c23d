"""Given degrees: Gale and Ryser's condition, the greedy graph, trades, and the generators that build on them."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparse_cases import topologies

from netsci_nn import BipartiteTopology, TopologyError
from netsci_nn.generators import configuration_model, constant_fan_in, constant_fan_out, mixing, regular, trade_edges
from netsci_nn.generators.configuration import check_feasible, realise_degrees
from netsci_nn.generators.small_world import small_world


def degrees_of(topology: BipartiteTopology) -> tuple[list[int], list[int]]:
    return topology.out_degrees.tolist(), topology.in_degrees.tolist()


@given(topologies(max_size=12), st.integers(0, 2**32))
def test_degrees_of_any_graph_are_met(topology: BipartiteTopology, seed: int) -> None:
    assert degrees_of(realise_degrees(topology.out_degrees, topology.in_degrees)) == degrees_of(topology)
    drawn = configuration_model(
        topology.n_in, topology.n_out, out_degrees=topology.out_degrees, in_degrees=topology.in_degrees, rng=seed
    )
    assert degrees_of(drawn) == degrees_of(topology)
    assert degrees_of(trade_edges(topology, rng=seed)) == degrees_of(topology)
    assert trade_edges(topology, rng=seed) == trade_edges(topology, rng=seed)


def test_feasibility_against_every_graph_of_3_x_3() -> None:
    """The condition holds for exactly those pairs of degree sequences that some of the 512 graphs has."""
    masks = (np.array(cells).reshape(3, 3) for cells in product([0, 1], repeat=9))
    possible = {(tuple(mask.sum(axis=0)), tuple(mask.sum(axis=1))) for mask in masks}
    for sources in product(range(4), repeat=3):
        for targets in product(range(4), repeat=3):
            if (sources, targets) in possible:
                check_feasible(np.array(sources), np.array(targets))
            else:
                with pytest.raises(TopologyError):
                    check_feasible(np.array(sources), np.array(targets))


def test_the_first_violated_inequality_is_named() -> None:
    # Sources 3, 3, 0 need 6; of the targets, 3 + 2 + 1, two sources can have min(3, 2) + min(2, 2) + min(1, 2) = 5.
    with pytest.raises(TopologyError, match=r"the 2 largest out_degrees sum up to 6, but 2 sources can have at most .* = 5"):
        configuration_model(3, 3, out_degrees=[3, 3, 0], in_degrees=[3, 2, 1], rng=0)


@pytest.mark.parametrize(
    ("out_degrees", "in_degrees", "message"),
    [
        ([1, 1], [1, 1, 1], "out_degrees sum up to 2 and in_degrees to 3"),
        ([1], [1, 0, 0], r"out_degrees has shape \(1,\)"),
        ([4, 0], [2, 1, 1], r"out_degrees\[0\] is 4; it must be from 0 to 3"),
        ([1, -1], [0, 0, 0], r"out_degrees\[1\] is -1"),
        ([1.0, 1.0], [1, 1, 0], "dtype float64; it must be 2 integers"),
        ([1, 1], None, "in_degrees"),
    ],
)
def test_bad_degrees(out_degrees: Any, in_degrees: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        configuration_model(2, 3, out_degrees=out_degrees, in_degrees=in_degrees, rng=0)


def test_the_diagnostic_sees_too_few_sweeps_and_is_content_with_the_default() -> None:
    lattice = small_world(400, 300, density=0.05, rewiring_probability=0, rng=0)
    for n_sweeps in (0, 1, 4, 7):
        assert not mixing(lattice, n_sweeps=n_sweeps, rng=0)[1].is_mixed
    # Eight sweeps can be judged, and the second half is still falling: overlaps of 0.078, 0.062, 0.054, 0.052.
    assert not mixing(lattice, n_sweeps=8, rng=0)[1].is_mixed
    matching = configuration_model(5000, 5000, out_degrees=[1] * 5000, in_degrees=[1] * 5000, rng=0)
    assert not mixing(matching, n_sweeps=8, rng=0)[1].is_mixed
    assert mixing(matching, rng=0)[1].is_mixed
    for seed in range(10):
        shuffled, report = mixing(lattice, rng=seed)
        assert report.is_mixed
        assert report.overlap.shape == (20,)
        overlap = len(np.intersect1d(shuffled.keys(), lattice.keys())) / lattice.n_edges
        assert report.overlap[-1] == pytest.approx(overlap, abs=1e-12)
        assert report.overlap[0] > 2 * report.overlap[-1]


def test_a_short_chain_warns(caplog: pytest.LogCaptureFixture) -> None:
    configuration_model(40, 40, out_degrees=[4] * 40, in_degrees=[4] * 40, n_sweeps=2, rng=0)
    assert "after 2 sweeps the graph still overlaps by" in caplog.text


@pytest.mark.parametrize(("n_in", "n_out", "n_edges"), [(7, 5, 17), (784, 300, 23_520), (1, 9, 4), (6, 6, 0), (3, 3, 9)])
def test_regular_layers(n_in: int, n_out: int, n_edges: int) -> None:
    both = regular(n_in, n_out, n_edges=n_edges, rng=0)
    assert max(np.ptp(both.out_degrees), np.ptp(both.in_degrees)) <= 1
    assert np.ptp(constant_fan_in(n_in, n_out, n_edges=n_edges, rng=0).in_degrees) <= 1
    assert np.ptp(constant_fan_out(n_in, n_out, n_edges=n_edges, rng=0).out_degrees) <= 1


def test_the_free_side_of_a_constant_fan_is_not_regular() -> None:
    # 784 degrees of mean 30 that are nearly Binomial(300, 0.1), variance 27: within 4 standard errors, 20 %.
    degrees = constant_fan_in(784, 300, density=0.1, rng=0).out_degrees
    assert abs(degrees.var() / 27 - 1) < 4 * np.sqrt(2 / 783)


def test_swap_keeps_both_degree_sequences_and_moves_the_chosen_share() -> None:
    lattice = small_world(200, 150, density=0.1, rewiring_probability=0, rng=0)
    kept = []
    for p in (0.1, 0.5, 1.0):
        rewired = small_world(200, 150, density=0.1, rewiring_probability=p, rewiring="swap", rng=0)
        assert degrees_of(rewired) == degrees_of(lattice)
        kept.append(len(np.intersect1d(rewired.keys(), lattice.keys())) / lattice.n_edges)
    # Chosen edges return to a place of the lattice with a chance of about its density; 4 standard errors are 0.03.
    for share, p in zip(kept, (0.1, 0.5, 1.0), strict=True):
        assert 1 - p - 0.03 < share < 1 - p + p * 0.1 + 0.06


def test_bad_rewiring() -> None:
    with pytest.raises(TopologyError, match="rewiring is 'source_end'; it must be one of 'target_end', 'swap'"):
        small_world(5, 5, n_edges=5, rewiring="source_end", rng=0)
