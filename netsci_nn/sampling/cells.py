"""Random choice of distinct cells (pairs of a source and a target) without listing all of them.

A cell of a layer is a flattened position in int64, because 65,536 x 65,536 overflows int32. All functions are vectorised or
compiled, and all end: crowded cases are solved by listing the free cells.
"""

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import as_generator, as_whole_number, check_count
from netsci_nn.compiling import njit
from netsci_nn.errors import TopologyError, shown
from netsci_nn.sampling.arrays import occupied_cells, whole_numbers
from netsci_nn.sampling.cell_set import add, new_cell_set
from netsci_nn.topology import Int64Array

# Above this share of taken columns, listing the free ones is cheaper than drawing and rejecting.
CROWDED = 0.5
# Up to this many bits of memory per draw, a bitmap of all numbers is faster than sorting the draws.
BITS_PER_DRAW = 64
# Up to so many columns, all are listed to mark which of them a row has.
LISTED = 2**22

# Of a number with one bit, times this, the first six bits say which bit it is: all 64 windows of a de Bruijn sequence differ.
DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
POSITIONS = np.empty(64, np.int64)
POSITIONS[[(int(DE_BRUIJN) << bit) % 2**64 >> 58 for bit in range(64)]] = np.arange(64)


def distinct_cells(n_cells: int, count: int, rng: np.random.Generator, occupied: Int64Array | None = None) -> Int64Array:
    """Draw `count` distinct free cells, every set of that size equally likely.

    Args:
        n_cells: number of cells; they are 0..n_cells - 1.
        count: how many to draw, 0 to the number of free cells.
        rng: source of randomness.
        occupied: sorted distinct cells that must not be drawn.

    Returns:
        sorted int64 array `[count]`.

    Raises:
        TopologyError: when `count` exceeds the number of free cells.

    Example:
        >>> distinct_cells(6, 4, np.random.default_rng(0), occupied=np.array([1, 4])).tolist()
        [0, 2, 3, 5]
    """
    n_cells, rng = check_count("n_cells", n_cells, 0, 2**63 - 1), as_generator(rng)
    occupied = occupied_cells(occupied, n_cells)
    n_free, wanted = n_cells - len(occupied), as_whole_number(count)
    if wanted is None or not 0 <= wanted <= n_free:
        raise TopologyError(f"count is {shown(count)}; from 0 to {n_free} of {n_cells} cells are free to be drawn")
    return _free_cells(_distinct(n_free, wanted, rng), occupied)


@njit(cache=True)
def _free_cells(ranks, occupied):  # type: ignore[no-untyped-def]
    """Return the cells of the sorted ranks among those that are not occupied, in one pass over both."""
    cells = np.empty_like(ranks)
    passed = 0
    for place, rank in enumerate(ranks):
        while passed < len(occupied) and occupied[passed] - passed <= rank:  # as many free cells lie before it
            passed += 1
        cells[place] = rank + passed
    return cells


def _distinct(size: int, count: int, rng: np.random.Generator) -> Int64Array:
    """Return `count` distinct numbers below `size`, sorted; every set is equally likely."""
    if 2 * count > size:
        is_chosen = np.ones(size, dtype=np.bool_)
        is_chosen[_distinct(size, size - count, rng)] = False
        return np.flatnonzero(is_chosen)
    if size <= BITS_PER_DRAW * count:
        return _distinct_by_bitmap(size, count, rng)
    chosen = np.empty(0, dtype=np.int64)
    while len(chosen) < count:
        # Every pass adds a uniform set to a uniform set; the surplus is removed uniformly at the end.
        draws = _unique(rng.integers(size, size=int((count - len(chosen)) * 1.01) + 64))
        chosen = _unique(np.concatenate([chosen, draws])) if len(chosen) else draws
    surplus = rng.choice(len(chosen), size=len(chosen) - count, replace=False, shuffle=False)
    return np.delete(chosen, surplus)


def _distinct_by_bitmap(size: int, count: int, rng: np.random.Generator) -> Int64Array:
    """Draw and reject repetitions, with one bit per number; then read the set bits in order."""
    bits = np.zeros(size // 64 + 1, np.uint64)
    missing = count
    while missing > 0:
        missing -= _set_bits(bits, rng.random(missing), size)  # several times faster than rng.integers
    return _read_bits(bits, count)


@njit(cache=True)
def _set_bits(bits: npt.NDArray[np.uint64], draws: npt.NDArray[np.float64], size: int) -> int:
    """Set the bit of every draw from [0, 1) that was not set, and return how many those are."""
    fresh = 0
    for draw in draws:
        number = np.uint64(draw * size)
        word, shift = number >> np.uint64(6), number & np.uint64(63)
        fresh += int(not bits[word] >> shift & np.uint64(1))
        bits[word] |= np.uint64(1) << shift
    return fresh


@njit(cache=True)
def _read_bits(bits: npt.NDArray[np.uint64], count: int) -> Int64Array:
    """Return the positions of the `count` set bits in order."""
    result = np.empty(count, np.int64)
    place = 0
    for word, bits_of_word in enumerate(bits):
        while bits_of_word:
            lowest = bits_of_word & (~bits_of_word + np.uint64(1))
            result[place] = word * 64 + POSITIONS[(lowest * DE_BRUIJN) >> np.uint64(58)]
            bits_of_word ^= lowest
            place += 1
    return result


def distinct_per_row(
    counts: Int64Array, n_columns: int, rng: np.random.Generator, occupied: Int64Array | None = None
) -> Int64Array:
    """Draw, independently per row, `counts[row]` distinct free columns, every set equally likely.

    Rows may be the sources or the targets of a layer, and columns the other side.

    Args:
        counts: int64 `[n_rows]`, how many columns a row gets, 0 to the number of its free columns.
        n_columns: number of columns.
        rng: source of randomness.
        occupied: sorted distinct cells row * n_columns + column that must not be drawn.

    Returns:
        sorted int64 cells row * n_columns + column, `[counts.sum()]`.
    """
    counts, n_columns, rng = whole_numbers("counts", counts), check_count("n_columns", n_columns, 1, 2**31), as_generator(rng)
    occupied = occupied_cells(occupied, len(counts) * n_columns)
    taken = np.bincount(occupied // n_columns, minlength=len(counts))
    if (taken + counts > n_columns).any():
        row = int((taken + counts > n_columns).argmax())
        free = n_columns - taken[row]
        raise TopologyError(f"neuron {row} needs {counts[row]} of {n_columns} partners, of which {free} are free")
    return _distinct_per_row(counts, taken, n_columns, rng, occupied)


@njit(cache=True)
def _distinct_per_row(counts, taken, n_columns, rng, occupied):  # type: ignore[no-untyped-def]
    """Draw and reject within every row; crowded rows draw which of their free columns stay out instead.

    Which columns a row has is marked in a list of all of them, or, where that would be long, in a set.
    """
    cells = np.empty(counts.sum(), np.int64)
    is_listed = n_columns <= LISTED
    mark = np.full(n_columns if is_listed else 0, -1, np.int64)  # the last row to which the column was given
    free, own = np.empty(0, np.int64), new_cell_set(0)
    end, place = 0, 0
    for row in range(len(counts)):
        is_crowded = taken[row] + counts[row] > CROWDED * n_columns
        if is_crowded and len(free) == 0:
            free = np.empty(n_columns, np.int64)
            if not is_listed:
                is_listed, mark = True, np.full(n_columns, -1, np.int64)
        if not is_listed:
            own = new_cell_set(taken[row] + counts[row])
        for _ in range(taken[row]):
            column = occupied[end] - row * n_columns
            if is_listed:
                mark[column] = row
            else:
                add(own, column)
            end += 1
        first = place
        if not is_crowded:
            while place < first + counts[row]:
                column = int(rng.random() * n_columns)
                if mark[column] != row if is_listed else add(own, column):
                    if is_listed:
                        mark[column] = row
                    cells[place] = row * n_columns + column
                    place += 1
        elif counts[row] > 0:
            n_free = 0
            for column in range(n_columns):
                if mark[column] != row:
                    free[n_free] = column
                    n_free += 1
            for chosen in range(counts[row]):  # the first steps of a Fisher-Yates shuffle
                other = chosen + int(rng.random() * (n_free - chosen))
                free[chosen], free[other] = free[other], free[chosen]
                cells[place] = row * n_columns + free[chosen]
                place += 1
        cells[first:place].sort()
    return cells


def contains(sorted_cells: Int64Array, cells: Int64Array) -> npt.NDArray[np.bool_]:
    """Return for every cell whether it is among `sorted_cells`; both are 1-D integers >= 0, the former increasing.

    Raises:
        TopologyError: when they are not.
    """
    sorted_cells, cells = whole_numbers("sorted_cells", sorted_cells), whole_numbers("cells", cells)
    if (sorted_cells[1:] < sorted_cells[:-1]).any():
        raise TopologyError("sorted_cells is not sorted; it must be increasing")
    if len(sorted_cells) == 0:
        return np.zeros(len(cells), dtype=np.bool_)
    position = np.minimum(np.searchsorted(sorted_cells, cells), len(sorted_cells) - 1)
    return sorted_cells[position] == cells


def _unique(cells: Int64Array) -> Int64Array:
    """Sort in place and drop repetitions: several times faster on integers than numpy.unique, which hashes."""
    cells.sort()
    first = np.ones(len(cells), dtype=np.bool_)
    np.not_equal(cells[1:], cells[:-1], out=first[1:])
    return cells[first]
