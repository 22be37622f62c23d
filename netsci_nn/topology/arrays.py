"""Array types, and numbers of any library as a numpy array."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    ArrayLike = npt.ArrayLike | torch.Tensor
else:
    ArrayLike = Any

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.floating]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def as_array(values: ArrayLike) -> npt.NDArray[Any]:
    """Return numbers as a numpy array: torch tensors (also with a gradient), iterators and nested sequences."""
    if hasattr(values, "detach"):
        return values.detach().cpu().numpy()
    if isinstance(values, Iterable) and not hasattr(values, "__array__") and not isinstance(values, (str, bytes)):
        return np.asarray(list(values))
    return np.asarray(values)
