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

LARGEST_DEGREE = 2**53
"""Above it floats do not hold every whole number."""


def frozen(array: Any) -> Any:
    """The same array, which from now on is read-only."""
    array.flags.writeable = False
    return array


def as_array(values: Any) -> npt.NDArray[Any]:
    """A numpy array of what a user passed, of any shape and kind.

    A tensor is taken off its autograd graph and its device (torch is not imported). Text, complex numbers and lists of unequal
    length give an array of objects, which keeps every entry as it is.
    """
    if hasattr(values, "detach"):
        try:
            values = values.detach().cpu()
            # numpy has no bfloat16.
            values = (values.double() if values.is_floating_point() else values).numpy()
        except (TypeError, RuntimeError):
            raise AnalysisError("a tensor is sparse or on the meta device; it must be dense and hold numbers") from None
    try:
        array = np.asarray(values)
    except ValueError:
        return np.fromiter(values, dtype=object)
    return np.asarray(values, dtype=object) if array.dtype.kind in "USc" else array


def first_not_finite(array: npt.NDArray[Any]) -> int | None:
    """Position of the first entry of a 1-D array that is no finite real number, or None."""
    if array.dtype.kind in "biuf":
        bad = np.flatnonzero(~np.isfinite(array))
    else:
        bad = np.flatnonzero([not _is_finite(value) for value in array.tolist()])
    return int(bad[0]) if bad.size else None


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float | np.integer | np.floating)
    return is_number and bool(abs(value) <= sys.float_info.max)


def checked_degrees(degrees: Any, at_least: int = 0) -> npt.NDArray[Any]:
    """The degrees as an array of whole numbers of at least 0, at least so many; an AnalysisError if they are not.

    int64 of shape [n], or float64 if they were given as a type that int64 does not hold; floats are taken if they are whole.
    """
    array = as_array(degrees)
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        raise AnalysisError(
            f"degrees has shape {array.shape} and dtype {array.dtype}; a 1-D array of integers of at least 0 is needed"
        )
    if array.size < at_least:
        raise AnalysisError(f"degrees has {array.size} entries; at least {at_least} is needed")
    is_degree = (array >= 0) & (array <= LARGEST_DEGREE)
    if array.dtype.kind == "f":
        is_degree &= np.isfinite(array) & (np.floor(array) == array)
    if not is_degree.all():
        bad = int(np.argmin(is_degree))
        raise AnalysisError(f"degrees[{bad}] is {array[bad]}; integers of at least 0 are needed, up to 2^53")
    return array.astype(np.int64 if np.can_cast(array.dtype, np.int64) else np.float64, copy=False)
