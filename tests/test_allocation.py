"""Allocation: published counts, ERK worked by hand, exact totals, and dense layers that lose nothing of the budget."""

import logging
import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netsci_nn.allocation import (
    ALLOCATIONS,
    Allocation,
    er,
    er_epsilon,
    erk,
    explicit,
    global_scores,
    layer_shapes,
    uniform,
)
from netsci_nn.errors import ConfigError, TopologyError

LENET = [(784, 300), (300, 100), (100, 10)]
LENET5 = [(1, 6, 5, 5), (6, 16, 5, 5), (400, 120), (120, 84), (84, 10)]

sizes = st.integers(1, 60)
kernels = st.sampled_from([(1, 1), (3, 3), (5, 5), (2, 3)])
linear = st.lists(st.tuples(sizes, sizes), min_size=1, max_size=8)
convolutions = st.lists(
    st.builds(lambda pair, kernel: (*pair, *kernel), st.tuples(sizes, sizes), kernels), min_size=1, max_size=8
)
densities = st.floats(0.001, 1)


def is_dense(allocation: Allocation) -> tuple[bool, ...]:
    return tuple(density == 1 for density in allocation.densities)


def n_weights(shapes: list[tuple[int, ...]], allocation: Allocation) -> int:
    return sum(count * math.prod(shape[2:]) for count, shape in zip(allocation.n_edges, shapes, strict=True))


@pytest.mark.parametrize(
    ("layer_sizes", "total"),
    [
        ([784, 1000, 1000, 1000], 115_680),  # 20 * (1784 + 2000 + 2000)
        ([3072, 4000, 1000, 4000], 341_440),  # 20 * (7072 + 5000 + 5000)
    ],
)
def test_epsilon_counts_of_the_set_paper(layer_sizes: list[int], total: int, caplog: pytest.LogCaptureFixture) -> None:
    allocation = er_epsilon(layer_shapes(layer_sizes), epsilon=20)
    assert allocation.total == total
    assert not any(is_dense(allocation))
    assert not caplog.records


def test_epsilon_fills_a_small_layer_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    allocation = er_epsilon(layer_shapes([2048, 2048, 2048, 10]), epsilon=20)
    assert allocation.n_edges == (81_920, 81_920, 20_480)
    assert allocation.total == 184_320
    assert is_dense(allocation) == (False, False, True)
    assert allocation.densities[2] == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "epsilon = 20 asks for 41160 edges in layer 2, which gets all of its 20480"


def test_epsilon_that_fits_exactly_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert is_dense(er_epsilon([(4, 4), (4, 4, 3, 3)], epsilon=2)) == (True, True)  # 2 * 8 = 16; a kernel changes nothing
    assert not caplog.records


def test_explicit_is_the_published_lenet() -> None:
    allocation = explicit(LENET, (0.1, 0.1, 0.25))
    assert allocation.n_edges == (23_520, 3_000, 250)
    assert allocation.total == 26_770
    assert explicit(LENET, np.array([0.1, 0.1, 0.25])) == allocation


def test_uniform_rounds_every_layer() -> None:
    assert uniform(LENET, 0.1).n_edges == (23_520, 3_000, 100)
    assert uniform([(3, 5), (5, 5, 3, 3)], 0.3).n_edges == (4, 8)  # 4.5 and 7.5, halves to even; channel pairs, not weights


def test_layer_shapes() -> None:
    assert layer_shapes([784, 300, 100, 10]) == LENET
    assert layer_shapes((np.int64(3), 2)) == [(3, 2)]


def test_erk_by_hand_without_a_dense_layer() -> None:
    # Cells 100 and 400, r = 20/100 and 40/400; 0.1 * 500 = 50 = e (20 + 40), so e = 5/6: shares 16.67 and 33.33.
    for method in (er, erk):
        assert method([(10, 10), (20, 20)], 0.1).n_edges == (17, 33)


def test_erk_by_hand_with_a_forced_dense_layer() -> None:
    # Cells 100, 20, 2000 and density 0.1, so 212 edges; n_in + n_out = 20, 12, 120. e = 212 / 152 = 1.39, and layer 1 would
    # have 16.7 of its 20. At density 0.2, 424 edges: e = 2.79, layer 1 would have 33.5 > 20. Dense; the other 404 are split
    # again with e = 404 / 140 = 2.886: 57.7 and 346.3. Clipping alone would give 55.8 + 20 + 334.7 = 410.5.
    shapes = [(10, 10), (2, 10), (20, 100)]
    assert erk(shapes, 0.1).n_edges == (28, 17, 167)  # 27.9, 16.7, 167.4
    allocation = erk(shapes, 0.2)
    assert allocation.n_edges == (58, 20, 346)
    assert is_dense(allocation) == (False, True, False)
    assert allocation.total == 424


def test_erk_makes_one_layer_dense_after_the_other() -> None:
    # 1272 of 2120 cells: e = 8.37, layer 1 would have 100 of 20 and layer 0 167 of 100. Layer 1 dense: e = 1252 / 140 = 8.94,
    # layer 0 would have 179. Dense too: 1152 are left for layer 2.
    allocation = erk([(10, 10), (2, 10), (20, 100)], 0.6)
    assert allocation.n_edges == (100, 20, 1152)
    assert is_dense(allocation) == (True, True, False)


def test_er_of_convolutions_by_hand() -> None:
    # 4 * 4 pairs of 9 weights and 16 * 16 cells: 144 + 256 = 400 weights, 100 of them.
    shapes = [(4, 4, 3, 3), (16, 16)]
    # er: r = 8/16 and 32/256, e (0.5 * 144 + 0.125 * 256) = 100, e = 0.9615: 7.69 pairs -> 8 of 9 weights, 28 are left.
    assert er(shapes, 0.25).n_edges == (8, 28)
    # erk: r = 14/144 and 32/256, e (14 + 32) = 100: densities 0.2114 and 0.2717; 3.38 pairs -> 3, 73 are left.
    assert erk(shapes, 0.25).n_edges == (3, 73)


def test_power_softens_and_sharpens() -> None:
    assert erk(LENET, 0.1, power=0).n_edges == uniform(LENET, 0.1).n_edges
    spreads = [np.ptp(erk(LENET, 0.02, power=power).densities) for power in (0, 0.5, 1, 1.5)]
    assert spreads == sorted(set(spreads))
    assert erk(LENET, 0.1, power=1e6).n_edges == (0, 25_620, 1000)  # the smallest ratio's share vanishes


def test_lenet5_meets_its_weights() -> None:
    for method in (er, erk):
        for density in (0.02, 0.1, 0.5, 0.9):
            allocation = method(LENET5, density)
            assert n_weights(LENET5, allocation) == round(density * sum(math.prod(shape) for shape in LENET5))


@given(linear, densities)
def test_total_is_exact_and_no_layer_overflows(shapes: list[tuple[int, int]], density: float) -> None:
    total = sum(n_in * n_out for n_in, n_out in shapes)
    for power in (0.0, 0.5, 1.0, 3.0):
        allocation = erk(shapes, density, power)
        assert allocation.total == round(density * total)
        assert all(0 <= count <= n_in * n_out for count, (n_in, n_out) in zip(allocation.n_edges, shapes, strict=True))
    assert er(shapes, density) == erk(shapes, density)


@given(convolutions, densities, st.sampled_from([er, erk]))
def test_weights_of_convolutions_are_met_as_whole_edges_allow(
    shapes: list[tuple[int, ...]], density: float, method: Any
) -> None:
    allocation = method(shapes, density)
    missed = round(density * sum(map(math.prod, shapes))) - n_weights(shapes, allocation)
    layers = zip(allocation.n_edges, allocation.sizes, shapes, strict=True)
    with_room = [math.prod(shape[2:]) for count, size, shape in layers if 0 < count < size]
    largest = max(math.prod(shape[2:]) for shape in shapes)
    assert 2 * abs(missed) <= min(with_room, default=largest)


@given(linear, densities)
def test_densities_follow_the_ratio_and_dense_layers_have_the_largest(shapes: list[tuple[int, int]], density: float) -> None:
    allocation = erk(shapes, density)
    by_ratio = sorted(range(len(shapes)), key=lambda layer: -Fraction(sum(shapes[layer]), math.prod(shapes[layer])))
    n_edges, cells = allocation.n_edges, allocation.sizes
    for first, second in pairwise(by_ratio):
        # Rounding moves a layer by less than one edge.
        assert (n_edges[first] + 1) * cells[second] > (n_edges[second] - 1) * cells[first]
    # Away from rounding: a layer that lacks more than an edge has no dense layer of a smaller ratio with as many edges.
    budget, total_sum = round(density * sum(cells)), sum(sum(shape) for shape in shapes)
    dense = set()
    for layer in by_ratio:
        if Fraction(budget, total_sum) * sum(shapes[layer]) <= cells[layer]:
            break
        dense.add(layer)
        budget, total_sum = budget - cells[layer], total_sum - sum(shapes[layer])
    assert all(is_dense(allocation)[layer] for layer in dense)
    for layer in set(range(len(shapes))) - dense:
        assert abs(n_edges[layer] - Fraction(budget, total_sum) * sum(shapes[layer])) < 1


@given(linear, densities)
def test_solving_again_meets_what_clipping_would_miss(shapes: list[tuple[int, int]], density: float) -> None:
    cells = [n_in * n_out for n_in, n_out in shapes]
    scale = Fraction(round(density * sum(cells)), sum(map(sum, shapes)))
    clipped = sum(min(scale * sum(shape), size) for shape, size in zip(shapes, cells, strict=True))
    allocation = erk(shapes, density)
    assert clipped <= allocation.total == round(density * sum(cells))
    for shape, size, dense in zip(shapes, cells, is_dense(allocation), strict=True):
        assert dense or scale * sum(shape) <= size


def test_many_layers_and_huge_layers() -> None:
    shapes = layer_shapes([1024 + layer for layer in range(200)])
    assert erk(shapes, 0.05).total == round(0.05 * sum(n_in * n_out for n_in, n_out in shapes))
    # The product of float 1.0 with this size is 1 above it.
    shapes = [(94_906_267, 94_906_269)]
    assert round(1.0 * math.prod(shapes[0])) > math.prod(shapes[0])
    for method in (uniform, er, erk):
        assert is_dense(method(shapes, 1.0)) == (True,)


def test_equal_layers_differ_by_one_edge_and_the_first_come_first() -> None:
    assert erk([(3, 3)] * 4, 0.5).n_edges == (5, 5, 4, 4)


def test_global_scores_by_hand() -> None:
    scores = [np.array([[9.0, 1.0], [2.0, 8.0]]), np.array([[7.0, 3.0, 4.0]]), np.array([0.5, 0.25])]
    # 4 of 9: 9, 8, 7, 4 are the highest, and the last layer would be empty; with one edge each it takes the place of 4.
    assert global_scores(scores, 4 / 9, minimum=0).n_edges == (2, 2, 0)
    assert global_scores(scores, 4 / 9).n_edges == (2, 1, 1)
    assert global_scores(scores, 6 / 9, minimum=2).n_edges == (2, 2, 2)
    assert global_scores(scores, 8 / 9, minimum=3).n_edges == (3, 3, 2)
    assert is_dense(global_scores(scores, 1)) == (True, True, True)


def test_equal_scores_serve_the_first_layers_first() -> None:
    scores = [np.ones((2, 2)), np.ones(4), np.array([2.0, 1.0])]
    assert global_scores(scores, 0.6, minimum=0).n_edges == (4, 1, 1)
    assert global_scores(scores, 0.6).n_edges == (4, 1, 1)
    assert global_scores(scores[::-1], 0.6).n_edges == (2, 3, 1)


def test_normalising_ignores_the_scale_of_a_layer() -> None:
    rng = np.random.default_rng(0)
    scores = [np.abs(rng.normal(size=(10, 20))) for _ in range(3)]
    plain = global_scores(scores, 0.2, normalise=True)
    for factor in (1e3, 1e-200, 1e200):
        scaled = [scores[0] * factor, scores[1], scores[2]]
        assert global_scores(scaled, 0.2, normalise=True) == plain
    assert global_scores([scores[0] * 1e3, scores[1], scores[2]], 0.2).n_edges == (118, 1, 1)
    # Norms 5 and 10: 0.6, 0.8 against 0.6, 0.8 and zeros; a layer of zeros stays one.
    small, large, zeros = np.array([3.0, 4.0]), np.array([6.0, 8.0]), np.zeros(2)
    assert global_scores([small, large, zeros], 1 / 2, normalise=True).n_edges == (1, 1, 1)
    assert global_scores([small, large, zeros], 1 / 3, minimum=0, normalise=True).n_edges == (1, 1, 0)
    assert global_scores([small, large, zeros], 1 / 3, minimum=0).n_edges == (0, 2, 0)


def test_scores_of_many_kinds() -> None:
    scores = [torch.tensor([[1.0, 4.0]]), np.array([[2, 3]], dtype=np.int32), [[np.inf, -np.inf]]]
    assert global_scores(scores, 0.5).n_edges == (1, 1, 1)
    assert scores[0].tolist() == [[1, 4]]


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=30), min_size=1, max_size=6), densities, st.integers(0, 4))
def test_scores_decide_and_the_total_is_exact(layers: list[list[int]], density: float, minimum: int) -> None:
    arrays = [np.array(layer, dtype=float) for layer in layers]
    budget = round(density * sum(map(len, layers)))
    least = [min(minimum, len(layer)) for layer in layers]
    if sum(least) > budget:
        with pytest.raises(TopologyError, match=f"minimum is {minimum}"):
            global_scores(arrays, density, minimum)
        return
    n_edges = global_scores(arrays, density, minimum).n_edges
    assert sum(n_edges) == budget
    assert all(low <= count <= len(layer) for low, count, layer in zip(least, n_edges, layers, strict=True))
    # By sorting: what is kept anyway, then the highest of all others, equal ones in the order of layers.
    others = [(-score, i) for i, layer in enumerate(layers) for score in sorted(layer, reverse=True)[least[i] :]]
    winners = [i for _, i in sorted(others)[: budget - sum(least)]]
    assert list(n_edges) == [low + winners.count(i) for i, low in enumerate(least)]


@given(st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 1)), min_size=1, max_size=5))
def test_densities_give_the_edges_back(layers: list[tuple[int, float]]) -> None:
    cells = tuple(size for size, _ in layers)
    allocation = Allocation(cells, tuple(int(share * size) for size, share in layers))
    assert tuple(round(d * size) for d, size in zip(allocation.densities, cells, strict=True)) == allocation.n_edges
    assert allocation.total == sum(allocation.n_edges)


def test_allocation_is_a_value() -> None:
    allocation = Allocation([4, np.int64(6)], np.array([4, 2]))  # type: ignore[arg-type]
    assert allocation == Allocation((4, 6), (4, 2))
    assert hash(allocation) == hash(Allocation((4, 6), (4, 2)))
    assert is_dense(allocation) == (True, False)
    assert allocation.densities == (1.0, 2 / 6)
    with pytest.raises(AttributeError):
        allocation.n_edges = (1, 1)  # type: ignore[misc]


def test_registered_by_name() -> None:
    assert set(ALLOCATIONS) == {"uniform", "er_epsilon", "er", "erk", "global_scores", "explicit"}
    assert ALLOCATIONS["erk"] is erk
    with pytest.raises(ConfigError, match=r"unknown allocation 'erd' \(did you mean 'er"):
        ALLOCATIONS["erd"]
