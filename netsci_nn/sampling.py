"""Random choice of distinct cells without ever listing all cells; the one place where edges are drawn.

Positions in a matrix of n_in x n_out cells are flattened to int64, because 65,536 x 65,536 overflows int32. All functions
are vectorised; none loops over edges, and none can loop for ever, since crowded cases are solved by listing the free cells.
"""

import numpy as np
import numpy.typing as npt

from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.topology import Int64Array

Rng = int | np.random.Generator

# Above this share of taken cells, listing the free ones is cheaper than drawing and rejecting.
CROWDED = 0.5


def as_generator(rng: Rng) -> np.random.Generator:
    """Return `rng` itself when it is a numpy Generator, or a new one seeded with it when it is an int >= 0."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(int(rng))
    raise ConfigError(f"rng is {rng!r}; it must be an integer seed >= 0 or a numpy.random.Generator")


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
    """
    occupied = np.empty(0, dtype=np.int64) if occupied is None else occupied
    n_free = n_cells - len(occupied)
    if not 0 <= count <= n_free:
        raise TopologyError(f"count is {count}; from 0 to {n_free} of {n_cells} cells are free to be drawn")
    if len(occupied) + count > CROWDED * n_cells:
        free = np.ones(n_cells, dtype=np.bool_)
        free[occupied] = False
        return np.sort(rng.permutation(np.flatnonzero(free))[:count])
    chosen = np.empty(0, dtype=np.int64)
    while len(chosen) < count:
        # Every pass adds a uniform set to a uniform set; what is drawn too much is removed uniformly at the end.
        missing = count - len(chosen)
        acceptance = 1 - (len(occupied) + count) / n_cells
        draws = _unique(rng.integers(n_cells, size=int(missing / acceptance * 1.01) + 64))
        fresh = draws if len(occupied) == 0 else draws[~contains(occupied, draws)]
        chosen = _unique(np.concatenate([chosen, fresh])) if len(chosen) else fresh
    surplus = rng.choice(len(chosen), size=len(chosen) - count, replace=False, shuffle=False)
    return np.delete(chosen, surplus)


def distinct_per_row(
    counts: Int64Array, n_columns: int, rng: np.random.Generator, occupied: Int64Array | None = None
) -> Int64Array:
    """Draw, independently for every row, `counts[row]` distinct free columns, every set equally likely.

    Args:
        counts: int64 `[n_rows]`, how many columns each row gets, 0 to the number of its free columns.
        n_columns: number of columns.
        rng: source of randomness.
        occupied: sorted distinct cells row * n_columns + column that must not be drawn.

    Returns:
        sorted int64 cells row * n_columns + column, `[counts.sum()]`.
    """
    occupied = np.empty(0, dtype=np.int64) if occupied is None else occupied
    taken = np.bincount(occupied // n_columns, minlength=len(counts)) + counts
    if (taken > n_columns).any():
        row = int((taken > n_columns).argmax())
        raise TopologyError(
            f"row {row} needs {counts[row]} of {n_columns} columns, of which {n_columns - taken[row] + counts[row]} are free"
        )
    crowded = np.flatnonzero((taken > CROWDED * n_columns) & (counts > 0))
    drawn = [_per_crowded_row(crowded, counts, n_columns, rng, occupied)]
    needed = counts.copy()
    needed[crowded] = 0
    taken_cells = occupied
    while (remaining := int(needed.sum())) > 0:
        # A rejected column is drawn again within its row, so that each row's set stays uniform.
        rows = np.repeat(np.arange(len(counts)), needed)
        draws = _unique(rows * n_columns + rng.integers(n_columns, size=remaining))
        fresh = draws if len(taken_cells) == 0 else draws[~contains(taken_cells, draws)]
        needed -= np.bincount(fresh // n_columns, minlength=len(counts))
        taken_cells = np.sort(np.concatenate([taken_cells, fresh]))
        drawn.append(fresh)
    return np.sort(np.concatenate(drawn))


def contains(sorted_cells: Int64Array, cells: Int64Array) -> npt.NDArray[np.bool_]:
    """Return for every cell whether it is among `sorted_cells`."""
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


def _per_crowded_row(
    rows: Int64Array, counts: Int64Array, n_columns: int, rng: np.random.Generator, occupied: Int64Array
) -> Int64Array:
    """Rank random keys within each row, in blocks of rows of bounded memory; taken cells rank last."""
    block = max(1, 2**22 // n_columns)
    chosen = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        keys = rng.random((len(part), n_columns))
        first, last = np.searchsorted(occupied, part * n_columns), np.searchsorted(occupied, (part + 1) * n_columns)
        lengths = last - first
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        columns = occupied[np.repeat(first, lengths) + within] % n_columns
        keys[np.repeat(np.arange(len(part)), lengths), columns] = np.inf
        ranked = np.argsort(keys, axis=1)
        wanted = np.arange(n_columns) < counts[part][:, None]
        chosen.append((part[:, None] * n_columns + ranked)[wanted])
    return np.concatenate(chosen)
