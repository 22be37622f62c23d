"""Apportioning: sums and caps are exact, remainders by hand, ties fair, parts nearly equal."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netsci_nn.generators import input_weighted
from netsci_nn.sampling import even_borders, even_parts, exact_largest_remainder, largest_remainder, shuffled_parts


@pytest.mark.parametrize(
    ("count", "shares", "cap", "expected"),
    [
        (10, [1, 2, 4], 10, [1, 3, 6]),  # quotas 1.43, 2.86, 5.71: floors 1, 2, 5; two left for the largest remainders
        (10, [1, 2, 4], 4, [2, 4, 4]),  # 5.71 is cut to 4; 6 among 1:2 are 2 and 4
        (9, [1, 1, 8], 5, [2, 2, 5]),  # 7.2 is cut to 5; 4 among 1:1
        (7, [1, 6, 0, 7], 3, [1, 3, 0, 3]),  # both large ones are cut, the zero stays zero
        (6, [5, 0, 1], 3, [3, 0, 3]),
        (0, [1, 2], 3, [0, 0]),
        (6, [1, 2], 3, [3, 3]),
    ],
)
def test_largest_remainder_by_hand(count: int, shares: list[float], cap: int, expected: list[int]) -> None:
    assert largest_remainder(count, np.array(shares, dtype=float), cap, np.random.default_rng(0)).tolist() == expected
    assert input_weighted(len(shares), cap, weights=shares, n_edges=count, rng=1).out_degrees.tolist() == expected


def test_ties_of_remainders_are_broken_at_random_and_fairly() -> None:
    # One edge between three equal sources, 3000 draws: chi-square with 2 degrees of freedom, false-alarm rate 1e-4.
    rng = np.random.default_rng(0)
    winners = [int(largest_remainder(1, np.ones(3), 5, rng).argmax()) for _ in range(3000)]
    assert stats.chisquare(np.bincount(winners, minlength=3)).pvalue > 1e-4


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-300, 1e300)), min_size=1, max_size=30).filter(any),
    st.integers(1, 30),
    st.floats(0, 1),
)
def test_sum_cap_and_order_hold_for_any_weights(weights: list[float], cap: int, share: float) -> None:
    array = np.array(weights)
    count = round(share * cap * int((array > 0).sum()))
    degrees = largest_remainder(count, array, cap, np.random.default_rng(0))
    assert degrees.sum() == count
    assert degrees.max() <= cap
    assert (degrees[array == 0] == 0).all()
    ordered = degrees[np.argsort(array, kind="stable")]
    assert (np.diff(ordered) >= -1).all()  # a larger weight never gets less, except for a tie's random remainder


@given(st.lists(st.integers(1, 100), min_size=2, max_size=30), st.integers(1, 20), st.floats(0, 1))
def test_uncapped_degrees_keep_the_quota_rule(weights: list[int], cap: int, share: float) -> None:
    array = np.array(weights, dtype=float)
    count = int(share * cap * array.sum() / array.max())  # no quota exceeds the cap
    quota = count * array / array.sum()
    degrees = largest_remainder(count, array, cap, np.random.default_rng(0))
    assert (np.abs(degrees - quota) < 1 + 1e-9).all()


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 20)), min_size=1, max_size=12), st.floats(0, 1))
def test_both_orders_of_operations_and_the_exact_one_agree_up_to_ties(parts: list[tuple[int, int]], share: float) -> None:
    shares, caps = (np.array(column) for column in zip(*parts, strict=True))
    count = int(share * caps.sum())
    results = [
        largest_remainder(count, shares.astype(float), caps, np.random.default_rng(0), multiplies_first=first)
        for first in (False, True)
    ]
    for result in results:
        assert result.sum() == count
        assert (result <= caps).all()
    assert np.abs(results[0] - results[1]).max() <= 1
    exact = exact_largest_remainder(count, [Fraction(int(value)) for value in shares], caps.tolist())
    assert sum(exact) == count
    assert (np.array(exact) <= caps).all()


def test_exact_largest_remainder_by_hand() -> None:
    assert exact_largest_remainder(10, [Fraction(1), Fraction(2), Fraction(4)], [10, 10, 10]) == [1, 3, 6]
    assert exact_largest_remainder(1, [Fraction(1), Fraction(1)], [5, 5]) == [1, 0]
    assert exact_largest_remainder(5, [Fraction(0), Fraction(9)], [3, 2]) == [3, 2]


def test_even_parts_by_hand() -> None:
    assert even_parts(10, 4).tolist() == [2, 3, 2, 3]
    assert even_parts(3, 4).tolist() == [0, 1, 1, 1]
    assert even_parts(0, 2).tolist() == [0, 0]


@given(st.integers(0, 100), st.integers(1, 20))
def test_parts_are_nearly_equal(total: int, n_parts: int) -> None:
    borders, even = even_borders(total, n_parts), even_parts(total, n_parts)
    assert np.diff(borders).tolist() == even.tolist()
    assert (borders[0], borders[-1]) == (0, total)
    assert sorted(shuffled_parts(total, n_parts, np.random.default_rng(0)).tolist()) == sorted(even.tolist())
    assert even.max() - even.min() <= 1
