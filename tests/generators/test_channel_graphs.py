"""Channel graphs: block-diagonal groups, depthwise stripes, torch's own channel shuffle, and what a low rank saves."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netsci_nn import TopologyError
from netsci_nn.generators import GENERATORS, depthwise, grouped, low_rank, shuffle

sizes = st.integers(1, 12)


def test_grouped_by_hand() -> None:
    topology = grouped(4, 6, n_groups=2)
    assert topology.to_edges().tolist() == [[i, j] for j in range(6) for i in ((0, 1) if j < 3 else (2, 3))]


@given(sizes, sizes, sizes)
def test_grouped_is_block_diagonal_with_constant_degrees(n_groups: int, width: int, height: int) -> None:
    topology = grouped(n_groups * width, n_groups * height, n_groups=n_groups)
    blocks = np.kron(np.eye(n_groups, dtype=np.bool_), np.ones((height, width), dtype=np.bool_))
    assert (topology.to_mask() == blocks).all()
    assert set(topology.out_degrees) == {height}
    assert set(topology.in_degrees) == {width}
    assert topology.density == pytest.approx(1 / n_groups)


def test_grouped_has_the_weights_of_torchs_group_convolution() -> None:
    assert grouped(12, 18, n_groups=3).n_edges == torch.nn.Conv1d(12, 18, 1, groups=3).weight.numel()


def test_one_group_is_complete() -> None:
    assert grouped(5, 7, n_groups=1).n_edges == 35


@pytest.mark.parametrize("n_groups", [0, -1, 5, 8, 12, 2.0, True, "2", None], ids=repr)
def test_groups_that_do_not_divide(n_groups: Any) -> None:
    with pytest.raises(TopologyError, match=r"n_groups is .*; it must divide n_in = 12 and n_out = 18: 1, 2, 3, 6$"):
        grouped(12, 18, n_groups=n_groups)


def test_numpy_integers_serve_as_groups() -> None:
    assert grouped(60_000, 60_000, n_groups=np.int32(30_000)).n_edges == 120_000
    with pytest.raises(TopologyError, match=r"n_groups is .*; it must divide n_in = 1 and n_out = 2147483647: 1$"):
        grouped(1, 2**31 - 1, n_groups=np.int32(2))


def test_depthwise_by_hand() -> None:
    assert depthwise(3, 6).to_edges().tolist() == [[0, 0], [0, 1], [1, 2], [1, 3], [2, 4], [2, 5]]


@given(sizes, sizes)
def test_depthwise_gives_every_target_one_source(n_in: int, multiplier: int) -> None:
    topology = depthwise(n_in, n_in * multiplier)
    assert set(topology.out_degrees) == {multiplier}
    assert set(topology.in_degrees) == {1}
    assert topology == grouped(n_in, n_in * multiplier, n_groups=n_in)


@pytest.mark.parametrize(("n_in", "n_out"), [(4, 6), (4, 2), (4, 5)])
def test_depthwise_needs_a_whole_multiplier(n_in: int, n_out: int) -> None:
    with pytest.raises(TopologyError, match=rf"n_out is {n_out}; it must be a multiple of n_in = 4"):
        depthwise(n_in, n_out)


def test_shuffle_by_hand() -> None:
    # Channels 0 1 2 | 3 4 5 come out as 0 3 1 4 2 5.
    assert shuffle(6, 6, n_groups=2).src.tolist() == [0, 3, 1, 4, 2, 5]


@given(sizes, sizes)
def test_shuffle_is_torchs(n_groups: int, width: int) -> None:
    n = n_groups * width
    topology = shuffle(n, n, n_groups=n_groups)
    channels = torch.arange(n, dtype=torch.float32)
    expected = channels.view(n_groups, width).transpose(0, 1).reshape(n)
    assert topology.dst.tolist() == list(range(n))
    assert topology.src.tolist() == expected.tolist()
    assert torch.equal(torch.nn.functional.channel_shuffle(channels.view(1, n, 1, 1), n_groups).flatten(), expected)


@given(sizes, sizes)
def test_shuffles_of_complementary_groups_undo_each_other(n_groups: int, width: int) -> None:
    n = n_groups * width
    there, back = shuffle(n, n, n_groups=n_groups).to_scipy(), shuffle(n, n, n_groups=width).to_scipy()
    assert ((back @ there).toarray() == np.eye(n)).all()


@pytest.mark.parametrize("n_groups", [1, 12])
def test_shuffle_of_one_group_and_of_single_channels_is_the_identity(n_groups: int) -> None:
    assert shuffle(12, 12, n_groups=n_groups).src.tolist() == list(range(12))


def test_two_grouped_layers_reach_every_target_only_with_a_shuffle_between() -> None:
    groups, mixed = grouped(9, 9, n_groups=3).to_scipy(), shuffle(9, 9, n_groups=3).to_scipy()
    assert ((groups @ mixed @ groups).toarray() == 1).all()
    assert (groups @ groups).nnz == 27


def test_shuffle_needs_equal_sizes_and_a_divisor() -> None:
    with pytest.raises(TopologyError, match=r"n_out is 8; it must be n_in = 6"):
        shuffle(6, 8, n_groups=2)
    with pytest.raises(TopologyError, match=r"n_groups is 4; it must divide n_in = 6 and n_out = 6: 1, 2, 3, 6$"):
        shuffle(6, 6, n_groups=4)


@given(sizes, sizes, sizes)
def test_low_rank_saves_exactly_below_the_stated_rank(n_in: int, n_out: int, rank: int) -> None:
    down, up = low_rank(n_in, n_out, rank=rank)
    assert (down.n_in, down.n_out, up.n_in, up.n_out) == (n_in, rank, rank, n_out)
    assert down.density == up.density == 1
    assert (down.n_edges + up.n_edges < n_in * n_out) == (rank * (n_in + n_out) < n_in * n_out)


@pytest.mark.parametrize("rank", [0, -1, 1.5, True, "1", None], ids=repr)
def test_bad_rank(rank: Any) -> None:
    with pytest.raises(TopologyError, match=r"rank is .*; it must be an integer from 1 to"):
        low_rank(5, 5, rank=rank)


@pytest.mark.parametrize(
    ("model", "parameters"), [(grouped, {"n_groups": 1}), (depthwise, {}), (shuffle, {"n_groups": 1}), (low_rank, {"rank": 1})]
)
@pytest.mark.parametrize(("n_in", "n_out", "name"), [(0, 5, "n_in"), (5, 0, "n_out"), (5, 2.5, "n_out"), (True, 5, "n_in")])
def test_bad_sizes(model: Any, parameters: dict[str, int], n_in: Any, n_out: Any, name: str) -> None:
    with pytest.raises(TopologyError, match=rf"{name} is .*; it must be an integer from 1 to"):
        model(n_in, n_out, **parameters)


@pytest.mark.parametrize(
    "topology", [grouped(65_536, 65_536, n_groups=65_536), depthwise(65_536, 65_536)], ids=["grouped", "dw"]
)
def test_65536_x_65536_overflows_nothing(topology: Any) -> None:
    assert topology.src.tolist() == topology.dst.tolist() == list(range(65_536))


def test_shuffle_of_65536_channels_has_all_of_them() -> None:
    topology = shuffle(65_536, 65_536, n_groups=256)
    assert math.isqrt(65_536) == 256
    assert topology.src[:3].tolist() == [0, 256, 512]
    assert set(topology.out_degrees) == set(topology.in_degrees) == {1}


def test_registered_names() -> None:
    assert [GENERATORS[name] for name in ("grouped", "depthwise", "shuffle")] == [grouped, depthwise, shuffle]
    assert "low_rank" not in GENERATORS
