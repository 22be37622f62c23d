"""Checks of arrays that sampling is given; compiled code would follow a wrong one out of memory."""

import numpy as np

from netsci_nn.errors import TopologyError
from netsci_nn.topology import ArrayLike, Int64Array, as_array


def whole_numbers(name: str, values: ArrayLike) -> Int64Array:
    """Return a one-dimensional array of integers >= 0 as int64, or raise a TopologyError."""
    array = as_array(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise TopologyError(f"{name} has shape {array.shape} and dtype {array.dtype}; it must be a 1-D array of integers")
    if array.size and not (array.min() >= 0 and array.max() < 2**63):
        raise TopologyError(f"{name} reaches from {array.min()} to {array.max()}; it must hold integers >= 0 below 2^63")
    return np.ascontiguousarray(array, dtype=np.int64)


def occupied_cells(occupied: ArrayLike | None, n_cells: int) -> Int64Array:
    """Return occupied cells (None for none) as int64, or raise a TopologyError unless they are sorted, distinct and exist."""
    cells = np.empty(0, np.int64) if occupied is None else whole_numbers("occupied", occupied)
    if len(cells) and (cells[-1] >= n_cells or (cells[1:] <= cells[:-1]).any()):
        raise TopologyError(f"occupied holds cells that are not sorted, not distinct or not from 0 to {n_cells - 1}")
    return cells
