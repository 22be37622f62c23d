"""`EdgeDelta`: a validated value."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from netsci_nn import TopologyError
from netsci_nn.rewiring import EdgeDelta


def test_fields_are_sorted_copied_and_frozen() -> None:
    src = np.array([3, 1], dtype=np.int32)
    delta = EdgeDelta(np.array([5, 2]), src, [0, 1], [1, 2])
    src[:] = 9
    assert delta.dropped.tolist() == [2, 5]
    assert delta.grown_src.tolist() == [3, 1]
    assert delta.grown_src.dtype == delta.dropped.dtype == np.int64
    assert delta.grown_values.dtype.kind == "f"
    with pytest.raises(dataclasses.FrozenInstanceError):
        delta.dropped = np.array([1])


def test_what_nobody_can_write_to_is_not_copied_and_a_view_is() -> None:
    own, base = np.array([1, 2]), np.array([3, 4])
    own.setflags(write=False)
    view = base.view()
    view.setflags(write=False)
    delta = EdgeDelta([], own, view, [0.0, 0.0])
    assert delta.grown_src is own
    base[:] = 9
    assert delta.grown_dst.tolist() == [3, 4]


def test_the_empty_delta() -> None:
    delta = EdgeDelta([], [], [], [])
    assert [len(array) for array in (delta.dropped, delta.grown_src, delta.grown_dst, delta.grown_values)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (([1, 2, 1], [], [], []), "dropped names an edge twice; positions must be distinct"),
        (([0.5], [], [], []), r"dropped has shape \(1,\) and dtype float64; it must be 1-D integers"),
        (([[1]], [], [], []), r"dropped has shape \(1, 1\)"),
        (([True], [], [], []), "dropped has .* dtype bool; it must be 1-D integers"),
        (([], [1], [1, 2], [0.0]), "have 1, 2 and 1 entries; they must be equally long"),
        (([], [1], [1], []), "have 1, 1 and 0 entries"),
        (([], ["a"], [1], [0.0]), "grown_src has .*; it must be 1-D integers"),
        (([], [1], [1], [float("nan")]), "grown_values holds NaN or infinity; new weights must be finite"),
        (([], [1], [1], [float("inf")]), "grown_values holds NaN or infinity"),
        (([], [1], [1], 0.5), r"grown_values has shape \(\)"),
        (([], [1], [1], [0.5], None, [True]), "kept_active is .*; it must be a 1-D array of bool"),
        (([], [1], [1], [0.5], None, None, np.ones(2, bool)), "grown_active has 2; they must be equally long"),
    ],
)
def test_bad_fields(fields: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        EdgeDelta(*fields)
