"""Numpy arrays of what a user passed: edges, weights, degrees."""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.base.errors import AnalysisError

IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def as_array(values: Any) -> npt.NDArray[Any]:
    """A numpy array of what a user passed, whatever it is.

    Args:
        values: anything; a tensor of torch is taken off its autograd graph and its device (and torch is not imported).

    Returns:
        The array, of any shape. Text, complex numbers and lists of unequal length give an array of objects, which keeps
        every entry as it is.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16.
        values = (values.double() if values.is_floating_point() else values).numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        return np.fromiter(values, dtype=object)
    return np.asarray(values, dtype=object) if array.dtype.kind in "USc" else array


def first_not_finite(array: npt.NDArray[Any]) -> int | None:
    """Where a 1-D array holds something else than a finite real number.

    Args:
        array: as `as_array` returns it, of shape [n].

    Returns:
        The first such position, or None. Cost O(n).
    """
    if array.dtype.kind in "biuf":
        bad = np.flatnonzero(~np.isfinite(array))
    else:
        bad = np.flatnonzero([not _is_finite(value) for value in array.tolist()])
    return int(bad[0]) if bad.size else None


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float | np.integer | np.floating)
    return is_number and bool(abs(value) <= sys.float_info.max)


def checked_degrees(degrees: Any, at_least: int = 0) -> npt.NDArray[Any]:
    """Degrees as a user passed them, known to be degrees.

    Args:
        degrees: whole numbers of at least 0, of shape [n]; floats are taken where they are whole.
        at_least: how many there must be.

    Returns:
        int64 of shape [n], float64 where they were given as something that int64 does not hold. Cost O(n).

    Raises:
        AnalysisError: something else than a whole number of at least 0, another shape, or too few.
    """
    array = as_array(degrees)
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        raise AnalysisError(
            f"degrees has shape {array.shape} and dtype {array.dtype}; a 1-D array of integers of at least 0 is needed"
        )
    if array.size < at_least:
        raise AnalysisError(f"degrees has {array.size} entries; at least {at_least} is needed")
    is_degree = array >= 0
    if array.dtype.kind == "f":
        is_degree &= np.isfinite(array) & (np.floor(array) == array)
    if not is_degree.all():
        bad = int(np.argmin(is_degree))
        raise AnalysisError(f"degrees[{bad}] is {array[bad]}; integers of at least 0 are needed")
    return array.astype(np.int64 if np.can_cast(array.dtype, np.int64) else np.float64, copy=False)
