"""A set of cells in compiled code: a hash table with open addressing, at most half full."""

import numpy as np

from netsci_nn.compiling import njit


@njit(cache=True)
def new_cell_set(count):  # type: ignore[no-untyped-def]
    """Return an empty table for up to `count` cells: int64, a power of two of places, -1 where empty."""
    size = 2
    while size < 2 * count:
        size *= 2
    return np.full(size, -1, np.int64)


@njit(cache=True)
def find(table, cell):  # type: ignore[no-untyped-def]
    """Return where the cell (>= 0) is in the table, or the empty place where it belongs."""
    mask = np.uint64(len(table) - 1)
    mixed = np.uint64(cell) * np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio parts neighbouring cells
    place = (mixed ^ (mixed >> np.uint64(32))) & mask
    while table[place] != -1 and table[place] != cell:
        place = (place + np.uint64(1)) & mask
    return place


@njit(cache=True)
def add(table, cell):  # type: ignore[no-untyped-def]
    """Enter a cell and return whether it is new."""
    place = find(table, cell)
    is_new = table[place] == -1
    table[place] = cell
    return is_new
