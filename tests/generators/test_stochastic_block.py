"""Stochastic blocks and truncated power laws: shares and degrees by hand, laws, failure paths."""

import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

from netsci_nn import BipartiteTopology, TopologyError
from netsci_nn.generators import stochastic_block, truncated_power_law


def counts(topology: BipartiteTopology, n_rows: int, n_columns: int) -> list[list[int]]:
    """Edges of every pair of equal consecutive groups, targets downwards."""
    rows, columns = topology.dst // (topology.n_out // n_rows), topology.src // (topology.n_in // n_columns)
    return np.bincount(rows * n_columns + columns, minlength=n_rows * n_columns).reshape(n_rows, n_columns).tolist()


def test_shares_by_hand() -> None:
    # 100 edges, two groups a side: 80 within, 20 between.
    assert counts(stochastic_block(20, 30, n_edges=100, n_blocks=2, mixing=0.2, rng=0), 2, 2) == [[40, 10], [10, 40]]
    # Blocks of 10 x 15 = 150 pairs; densities 1 : 0 : 2 : 1.
    topology = stochastic_block(20, 30, n_edges=100, affinity=[[1, 0], [2, 1]], rng=0)
    assert counts(topology, 2, 2) == [[25, 0], [50, 25]]


def test_a_full_block_passes_on_what_it_cannot_take() -> None:
    # Blocks of 4 pairs; 12 edges in shares of 6, 0, 3, 3: the first takes 4, and 8 in equal shares are 4 and 4.
    assert counts(stochastic_block(4, 4, n_edges=12, affinity=[[2, 0], [1, 1]], rng=0), 2, 2) == [[4, 0], [4, 4]]
    with pytest.raises(TopologyError, match="n_edges is 13; it must be from 0 to 12, the number of pairs whose groups may be"):
        stochastic_block(4, 4, n_edges=13, affinity=[[2, 0], [1, 1]], rng=0)


@pytest.mark.parametrize("many_cells", [1, 2**16])
def test_blocks_of_unequal_sizes_get_their_shares(many_cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of 7 among 50 and 60 neurons, drawn block by block and all at once."""
    monkeypatch.setattr(sys.modules["netsci_nn.generators.stochastic_block"], "MANY_CELLS", many_cells)
    topology = stochastic_block(50, 60, n_edges=300, n_blocks=7, mixing=0.3, rng=0)
    group_of_source, group_of_target = (
        np.searchsorted(np.arange(8) * n // 7, np.arange(n), side="right") - 1 for n in (50, 60)
    )
    within = (group_of_source[topology.src] == group_of_target[topology.dst]).sum()
    assert abs(within - 210) <= 7  # 7 shares of 30, each rounded
    assert topology.n_edges == 300


def test_within_a_block_every_pair_is_alike() -> None:
    # One edge in a block of 2 x 3 pairs, 3000 draws: chi-square, false-alarm rate 1e-4.
    hits = np.zeros(6)
    for seed in range(3000):
        topology = stochastic_block(4, 6, n_edges=2, n_blocks=2, mixing=0, rng=seed)
        assert (topology.src[0], topology.dst[0]) < (2, 3)
        hits[topology.dst[0] * 2 + topology.src[0]] += 1
    assert stats.chisquare(hits).pvalue > 1e-4


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_blocks": 0}, "n_blocks is 0; it must be an integer from 1 to 4"),
        ({"n_blocks": 5}, "n_blocks is 5"),
        ({"n_blocks": 2.0}, "n_blocks is 2.0"),
        ({"mixing": 1.5}, "mixing is 1.5; it must be a number from 0 to 1"),
        ({"affinity": [1, 2]}, "affinity has shape"),
        ({"affinity": [[1, -1]]}, "affinity must be finite, >= 0"),
        ({"affinity": [[0.0]]}, "not all zero"),
        ({"affinity": "ab"}, "affinity has shape"),
        ({"affinity": np.ones((7, 1))}, "at most 6 and 4 groups"),
    ],
)
def test_bad_blocks(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        stochastic_block(4, 6, n_edges=3, **parameters, rng=0)


def test_degrees_without_a_budget_follow_the_law() -> None:
    # 20,000 draws from k^-2.5, 2 <= k <= 8: chi-square with 6 degrees of freedom, false-alarm rate 1e-4.
    degrees = truncated_power_law(20_000, 20_000, minimum=2, maximum=8, sides="source", rng=0).out_degrees
    weights = np.arange(2, 9) ** -2.5
    assert stats.chisquare(np.bincount(degrees, minlength=9)[2:], 20_000 * weights / weights.sum()).pvalue > 1e-4


@pytest.mark.parametrize("sides", ["both", "source", "target"])
def test_a_budget_leaves_the_tail_as_it_is(sides: str) -> None:
    # Mean 5 lies between the means of the laws from 2 and from 3 on, so from 3 on the shares are those of the law: the
    # ratio of the counts of degree 4 to 7 to each other, chi-square with 3 degrees of freedom, false-alarm rate 1e-4.
    topology = truncated_power_law(10_000, 10_000, n_edges=50_000, exponent=2.5, sides=sides, rng=1)
    assert topology.n_edges == 50_000
    free, other = topology.out_degrees, topology.in_degrees
    if sides == "target":
        free, other = other, free
    observed, weights = np.bincount(free)[4:8], np.arange(4, 8) ** -2.5
    assert stats.chisquare(observed, observed.sum() * weights / weights.sum()).pvalue > 1e-4
    assert free.min() == 2
    assert (np.ptp(other) == 0) == (sides != "both")


def test_bounds_are_kept_and_infeasible_budgets_named() -> None:
    topology = truncated_power_law(50, 40, n_edges=300, minimum=3, maximum=12, sides="source", rng=0)
    assert topology.out_degrees.min() >= 3
    assert topology.out_degrees.max() <= 12
    with pytest.raises(TopologyError, match="n_edges is 149; 50 neurons with degrees from 3 to 12 have from 150 to 600 edges"):
        truncated_power_law(50, 40, n_edges=149, minimum=3, maximum=12, sides="source", rng=0)
    with pytest.raises(TopologyError, match="exponent is -1"):
        truncated_power_law(50, 40, exponent=-1, rng=0)
    with pytest.raises(TopologyError, match="maximum is 41; it must be an integer from 1 to 40"):
        truncated_power_law(50, 40, maximum=41, rng=0)
    with pytest.raises(TopologyError, match="sides is 'left'"):
        truncated_power_law(50, 40, sides="left", rng=0)
