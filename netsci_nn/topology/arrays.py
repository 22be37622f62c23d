"""Array types, and numbers of any library as a numpy array."""

from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netsci_nn.errors import TopologyError

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
    """Return numbers as a numpy array: torch tensors (also with a gradient), iterators and nested sequences.

    Half precision becomes float32, since numpy has no bfloat16.

    Raises:
        TopologyError: when nothing but an array of objects could hold them, they have no order, or a tensor is not dense or has
            no numbers.
    """
    if isinstance(values, Set | Mapping):
        raise TopologyError(f"a {type(values).__name__} has no order; an array, a tensor or a list is needed")
    if getattr(values, "is_meta", False):
        raise TopologyError("a tensor is on the meta device, which holds no numbers; it must be on another one")
    try:
        return _as_array(values)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TopologyError(
            f"a {type(values).__name__} cannot become an array; it must be a dense array or tensor, "
            "or hold entries of equal length"
        ) from None


def _as_array(values: ArrayLike) -> npt.NDArray[Any]:
    if hasattr(values, "detach"):
        tensor: Any = values.detach()
        is_half = tensor.is_floating_point() and tensor.element_size() == 2
        array: npt.NDArray[Any] = (tensor.float() if is_half else tensor).cpu().numpy()
        return array
    if isinstance(values, Iterable) and not hasattr(values, "__array__") and not isinstance(values, (str, bytes)):
        return np.asarray(list(values))
    return np.asarray(values)
