"""What `grow_preferentially` refuses."""

from typing import Any

import numpy as np
import pytest

from netsci_nn import ConfigError, TopologyError
from netsci_nn.sampling.preferential import grow_preferentially

OCCUPIED = np.array([0, 4, 5, 6, 8, 9], dtype=np.int64)  # of 4 x 5 cells


def call(**changes: Any) -> None:
    arguments = {"n_in": 4, "n_out": 5, "occupied": OCCUPIED, "count": 2, "rng": np.random.default_rng(0)} | changes
    grow_preferentially(**arguments)


@pytest.mark.parametrize(
    "a", [-1, -1e-300, float("nan"), float("inf"), True, np.True_, "1", None, 1j], ids=lambda a: repr(a)[:9]
)
def test_attractiveness_outside_its_range(a: Any) -> None:
    with pytest.raises(ConfigError, match=r"attractiveness is .*; it must be a number >= 0"):
        call(attractiveness=a)


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"updating is 'parallel'; it must be one of 'sequential', 'frozen'"):
        call(updating="parallel")
    for side in ("sources", True, None, ["source"]):
        with pytest.raises(ConfigError, match=r"side is .*; it must be one of 'source', 'target', 'both'"):
            call(side=side)
    for changes in ({"draw": "ends"}, {"draw": "both_ends"}, {"draw": "both_ends", "side": "both", "updating": "frozen"}):
        with pytest.raises(ConfigError, match=r"draw is .*; it must be 'end_then_partner', or 'both_ends' with side='both'"):
            call(**changes)
    with pytest.raises(ConfigError, match="rng is None"):
        call(rng=None)


@pytest.mark.parametrize("count", [-1, 15, True, 1.0, "1", None], ids=repr)
def test_count_outside_the_free_cells(count: Any) -> None:
    with pytest.raises(TopologyError, match=r"count is .*; it must be an integer from 0 to the number of free cells = 14"):
        call(count=count)


@pytest.mark.parametrize("occupied", [[0, 2, 1], [0, 1, 1], [-1, 2], [0, 20], [-1], [20]], ids=repr)
def test_occupied_keys_that_are_not_sorted_distinct_cells(occupied: list[int]) -> None:
    with pytest.raises(TopologyError, match="occupied holds keys that are not sorted, not distinct or not from 0 to 19"):
        call(occupied=np.array(occupied, dtype=np.int64))


@pytest.mark.parametrize("occupied", [[0, 1], np.zeros((1, 1), np.int64), np.zeros(1, np.int32), np.zeros(1), None], ids=repr)
def test_occupied_that_is_no_array_of_keys(occupied: Any) -> None:
    with pytest.raises(TopologyError, match=r"(?s)occupied is .*; it must be a 1-D array of int64 keys"):
        call(occupied=occupied)


def test_keys_in_any_order_are_still_keys_of_the_layer() -> None:
    with pytest.raises(TopologyError, match="occupied holds keys from 0 to 20; they must be from 0 to 19"):
        call(occupied=np.array([20, 0], dtype=np.int64), draw="both_ends", side="both")


def test_sizes_out_of_range() -> None:
    with pytest.raises(TopologyError, match="n_in is 0"):
        call(n_in=0)
    with pytest.raises(TopologyError, match="n_out is True"):
        call(n_out=True)


def test_a_key_that_occurs_twice_is_refused_where_any_order_is_allowed() -> None:
    options = {"count": 2, "side": "both", "draw": "both_ends", "rng": np.random.default_rng(0)}
    with pytest.raises(TopologyError, match="occupied holds a key twice; its keys must be distinct"):
        grow_preferentially(3, 2, np.array([3, 0, 3]), **options)  # type: ignore[arg-type]
