"""Wiring length on an image: fields by hand, the exact expectation by enumeration, local against random wiring."""

import itertools
from typing import Any

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, random_graph

from analysis import AnalysisError
from analysis.graph.values import BipartiteGraph
from analysis.measures.wiring_length import expected_squared_radii, field_sizes_and_radii, wiring_length


def values(graph: BipartiteGraph, shape: tuple[int, int]) -> dict[str, float | None]:
    return {name: quantity.value for name, quantity in wiring_length(graph, shape).items()}


def test_fields_by_hand() -> None:
    # On a 2 x 3 image: target 0 sees (0, 0) and (0, 2), target 1 sees (0, 0), (1, 0), (0, 1), target 2 one pixel.
    graph = from_edges(6, 4, [(0, 0), (2, 0), (0, 1), (3, 1), (1, 1), (5, 2)])
    sizes, squared = field_sizes_and_radii(graph, (2, 3))
    assert sizes.tolist() == [2, 3, 1, 0]
    assert squared.tolist() == pytest.approx([1.0, 4 / 9, 0.0, 0.0])
    result = values(graph, (2, 3))
    assert result["field_radius_mean"] == pytest.approx((1 + 2 / 3) / 2)
    assert result["field_squared_radius_mean"] == pytest.approx((1 + 4 / 9) / 2)
    # sigma^2 = 3/12 + 8/12 = 11/12 and n / (n - 1) = 6/5.
    assert result["field_squared_radius_expected"] == pytest.approx((1 / 2 + 2 / 3) / 2 * 6 / 5 * 11 / 12)
    # The sizes 0, 1, 2, 3 differ by 1, 2 and 3 in 3, 2 and 1 pairs, each counted twice.
    assert result["field_size_gini"] == pytest.approx(2 * (3 * 1 + 2 * 2 + 1 * 3) / (2 * 16 * 1.5))


@pytest.mark.parametrize(("shape", "size"), [((2, 3), 2), ((2, 3), 3), ((1, 5), 2), ((3, 3), 4), ((2, 2), 4)])
def test_expectation_is_the_mean_over_all_fields(shape: tuple[int, int], size: int) -> None:
    n = shape[0] * shape[1]
    fields = list(itertools.combinations(range(n), size))
    graph = from_edges(n, len(fields), [(pixel, index) for index, field in enumerate(fields) for pixel in field])
    _, squared = field_sizes_and_radii(graph, shape)
    assert squared.mean() == pytest.approx(float(expected_squared_radii(np.array(size), shape)), rel=1e-13)


def test_mean_squared_distance_of_pairs() -> None:
    graph = random_graph(35, 1, 9, seed=1)
    rows, columns = np.divmod(graph.src, 7)
    distances = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    _, squared = field_sizes_and_radii(graph, (5, 7))
    assert distances.sum() / (9 * 8) == pytest.approx(2 * squared[0] * 9 / 8)


def test_local_wiring_is_told_from_random_wiring() -> None:
    """Windows of 5 x 5 on a 28 x 28 image; the ratio of random fields is 1 up to 5 standard errors (about 1 %)."""
    corners = list(itertools.product(range(24), range(24)))
    windows = [
        ((row + y) * 28 + column + x, target)
        for target, (row, column) in enumerate(corners)
        for y, x in itertools.product(range(5), range(5))
    ]
    local = values(from_edges(784, 576, windows), (28, 28))
    assert local["field_radius_mean"] == pytest.approx(2.0)
    assert local["field_squared_radius_ratio"] == pytest.approx(4 / (24 / 25 * 784 / 783 * (28**2 - 1) / 6))
    assert local["field_size_gini"] == 0.0
    random = values(random_graph(784, 300, 23_520, seed=2), (28, 28))
    assert random["field_squared_radius_ratio"] == pytest.approx(1.0, abs=0.02)


def test_full_fields_have_the_radius_of_the_image() -> None:
    result = values(complete(12, 3), (3, 4))
    assert result["field_squared_radius_mean"] == pytest.approx(8 / 12 + 15 / 12)
    assert result["field_squared_radius_ratio"] == pytest.approx(1.0)


def test_what_is_not_defined() -> None:
    for graph in (from_edges(4, 3, []), from_edges(4, 3, [(0, 0), (1, 1)]), from_edges(1, 3, [(0, 0)])):
        quantities = wiring_length(graph, (1, graph.n_in))
        radius = [quantity for name, quantity in quantities.items() if name != "field_size_gini"]
        assert {quantity.reason for quantity in radius} == {"no target has 2 sources or more"}
    assert wiring_length(from_edges(4, 3, []), (2, 2))["field_size_gini"].reason is not None


@pytest.mark.parametrize("shape", [(2, 3), (0, 4), (-2, -2), (2.0, 2), (4,), (2, 2, 1), (True, 4)])
def test_bad_shapes(shape: Any) -> None:
    with pytest.raises(AnalysisError, match="image_shape is"):
        wiring_length(complete(4, 2), shape)
