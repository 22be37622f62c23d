"""Drawing distinct cells: uniform, never an occupied one, on both sides of the switch between the two methods."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netsci_nn import TopologyError
from netsci_nn.sampling import contains, distinct_cells, distinct_per_row


@st.composite
def cells_and_budget(draw: st.DrawFn) -> tuple[int, list[int], int]:
    n_cells = draw(st.integers(1, 80))
    occupied = sorted(draw(st.sets(st.integers(0, n_cells - 1))))
    return n_cells, occupied, draw(st.integers(0, n_cells - len(occupied)))


@given(cells_and_budget(), st.integers(0, 2**32))
def test_distinct_cells_are_free_distinct_and_sorted(case: tuple[int, list[int], int], seed: int) -> None:
    n_cells, occupied, count = case
    drawn = distinct_cells(n_cells, count, np.random.default_rng(seed), np.array(occupied, dtype=np.int64))
    assert drawn.dtype == np.int64
    assert len(drawn) == count
    assert (np.diff(drawn) > 0).all()
    assert set(drawn.tolist()) <= set(range(n_cells)) - set(occupied)


@pytest.mark.parametrize("n_cells", [6, 24], ids=["listing", "rejection"])
def test_every_set_of_free_cells_is_equally_likely(n_cells: int) -> None:
    # Chi-square with a fixed seed, false-alarm rate 1e-4.
    rng, occupied = np.random.default_rng(0), np.array([1, 2])
    free = sorted(set(range(n_cells)) - {1, 2})
    counts = dict.fromkeys(itertools.combinations(free, 2), 0)
    for _ in range(40 * len(counts)):
        counts[tuple(distinct_cells(n_cells, 2, rng, occupied).tolist())] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


@pytest.mark.parametrize("count", [-1, 4])
def test_distinct_cells_refuse_what_is_not_free(count: int) -> None:
    with pytest.raises(TopologyError, match=rf"count is {count}; from 0 to 3 of 5 cells are free"):
        distinct_cells(5, count, np.random.default_rng(0), np.array([0, 4]))


@given(st.data())
def test_rows_get_their_counts_of_free_columns(data: st.DataObject) -> None:
    n_rows, n_columns = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 12))
    occupied = sorted(data.draw(st.sets(st.integers(0, n_rows * n_columns - 1))))
    free = [n_columns - sum(cell // n_columns == row for cell in occupied) for row in range(n_rows)]
    counts = np.array([data.draw(st.integers(0, size)) for size in free], dtype=np.int64)
    drawn = distinct_per_row(counts, n_columns, np.random.default_rng(0), np.array(occupied, dtype=np.int64))
    assert np.bincount(drawn // n_columns, minlength=n_rows).tolist() == counts.tolist()
    assert (np.diff(drawn) > 0).all()
    assert not set(drawn.tolist()) & set(occupied)


@pytest.mark.parametrize("n_columns", [5, 16], ids=["ranking", "rejection"])
def test_every_set_of_columns_is_equally_likely_in_every_row(n_columns: int) -> None:
    # Row 1 draws 3 of the columns but for column 0; chi-square with a fixed seed, false-alarm rate 1e-4.
    rng, counts = np.random.default_rng(0), np.array([1, 3, 0])
    seen = dict.fromkeys(itertools.combinations(range(1, n_columns), 3), 0)
    for _ in range(20 * len(seen) + 200):
        drawn = distinct_per_row(counts, n_columns, rng, np.array([n_columns]))
        seen[tuple((drawn[drawn >= n_columns] - n_columns).tolist())] += 1
    assert stats.chisquare(list(seen.values())).pvalue > 1e-4


@pytest.mark.parametrize("n_columns", [1000, 2**22, 2**31])
def test_columns_of_long_rows_are_drawn_as_those_of_short_ones_and_take_little_memory(n_columns: int) -> None:
    """The first draws of every row that are free and new, on both sides of the switch from a list to a set."""
    counts = np.array([40, 0, 25, 3])
    twin = np.random.default_rng(7)
    taken = sorted({2 * n_columns + int(twin.random() * n_columns) for _ in range(30)})
    rng, expected = np.random.default_rng(3), list[int]()
    for row, count in enumerate(counts.tolist()):
        own = set[int]()
        while len(own) < count:
            cell = row * n_columns + int(rng.random() * n_columns)
            own |= {cell} - set(taken)
        expected += sorted(own)
    drawn = distinct_per_row(counts, n_columns, np.random.default_rng(3), np.array(taken))
    assert drawn.tolist() == expected


def test_a_row_that_is_too_full_is_named() -> None:
    with pytest.raises(TopologyError, match="neuron 1 needs 3 of 4 partners, of which 2 are free"):
        distinct_per_row(np.array([4, 3]), 4, np.random.default_rng(0), np.array([4, 7]))


@given(st.sets(st.integers(0, 50)), st.lists(st.integers(0, 50)))
def test_contains(cells: set[int], asked: list[int]) -> None:
    answer = contains(np.array(sorted(cells), dtype=np.int64), np.array(asked, dtype=np.int64))
    assert answer.tolist() == [cell in cells for cell in asked]
