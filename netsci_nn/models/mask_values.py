"""What the mask of a layer says: which weights are edges; masks may be of any library."""

import math
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import nn

from netsci_nn.errors import TopologyError
from netsci_nn.layers.conv import SparseConv, keys_within_groups
from netsci_nn.layers.dense import dense_kind
from netsci_nn.models.walk import LinearLayer, conv_kind, size_of
from netsci_nn.topology import BipartiteTopology
from netsci_nn.topology.convert import check_pointers

COMPRESSED: dict[torch.layout, tuple[Any, Any, Any]] = {
    torch.sparse_csr: (scipy.sparse.csr_array, torch.Tensor.crow_indices, torch.Tensor.col_indices),
    torch.sparse_csc: (scipy.sparse.csc_array, torch.Tensor.ccol_indices, torch.Tensor.row_indices),
    torch.sparse_bsr: (scipy.sparse.bsr_array, torch.Tensor.crow_indices, torch.Tensor.col_indices),
}
"""Of every compressed layout its class in scipy, where the pointers of its lines are, and where the indices within a line."""


def edges_of_mask(key: str, mask: Any, layer: LinearLayer) -> BipartiteTopology:
    """Return the edges of a mask after checking that it is one for this layer.

    Those of a dense convolution join channels if the mask has its kernels whole, and otherwise the positions of a patch.
    """
    is_convolution = isinstance(layer, SparseConv) or conv_kind(layer) is not None
    kernel: Any = layer.kernel_size if is_convolution else ()
    if is_convolution and _dimensions(mask) > 2:
        return _edges_of_kernels(key, mask, layer, kernel)
    n_in, n_out = size_of(layer)
    entries = _entries(key, mask)
    is_sources_first = dense_kind(layer) not in (None, nn.Linear) and not isinstance(mask, BipartiteTopology)
    shape, words = ((n_in, n_out), "[n_in, n_out]") if is_sources_first else ((n_out, n_in), "[n_out, n_in]")
    if conv_kind(layer) is not None and entries.shape == (n_out, n_in * math.prod(kernel)):
        n_in = entries.shape[1]
    elif entries.shape != shape:
        hint = ", and this looks like its transpose (pass mask.T)" if entries.shape == shape[::-1] else ""
        hint = f", or of a patch {[n_out, n_in * math.prod(kernel)]}" if conv_kind(layer) is not None else hint
        raise TopologyError(
            f"the mask {key!r} has shape {list(entries.shape)}; it must be {words} = {list(shape)}, like the weight{hint}"
        )
    is_edge = ones_of(key, entries.data, lambda k: f"[{entries.row[k]}, {entries.col[k]}]")
    dst, src = (entries.col, entries.row) if is_sources_first else (entries.row, entries.col)
    return BipartiteTopology.from_keys(dst[is_edge].astype(np.int64) * n_in + src[is_edge], n_in, n_out)


def _dimensions(mask: Any) -> int:
    try:
        return int(np.ndim(mask))
    except ValueError:  # lists of unequal lengths
        return 0


def _edges_of_kernels(key: str, mask: Any, layer: Any, kernel: tuple[int, ...]) -> BipartiteTopology:
    """Return the edges of a mask `[n_out, n_in / groups, *kernel]` of a convolution."""
    shape, groups = (layer.out_channels, layer.in_channels, *kernel), 1
    if not isinstance(layer, SparseConv):
        shape, groups = tuple(layer.weight.shape), layer.groups
    values = _as_array(key, mask)
    if values.shape != shape:
        raise TopologyError(
            f"the mask {key!r} has shape {list(values.shape)}; it must be [n_out, n_in / groups, *kernel] = {list(shape)}, "
            "like the weight"
        )
    is_one = ones_of(key, values.reshape(-1), lambda k: str([int(place) for place in np.unravel_index(k, shape)]))
    kernels = is_one.reshape(-1, math.prod(kernel))
    are_whole = (kernels.all(axis=1) == kernels.any(axis=1)).all()
    if isinstance(layer, SparseConv) and layer.graph == "channel" and not are_whole:
        raise TopologyError(f"the mask {key!r} has parts of kernels, and the edges of the layer carry whole ones")
    is_of_channels = layer.graph == "channel" if isinstance(layer, SparseConv) else are_whole
    n_in, n_out = layer.in_channels * (1 if is_of_channels else math.prod(kernel)), layer.out_channels
    positions = np.flatnonzero(kernels[:, 0] if is_of_channels else is_one)
    return BipartiteTopology.from_keys(keys_within_groups(positions, n_in, n_out, groups), n_in, n_out)


def _as_array(key: str, mask: Any) -> Any:
    """Return a dense mask as a numpy array."""
    if not isinstance(mask, torch.Tensor):
        return np.asarray(mask)
    if mask.is_meta or mask.is_nested or mask.layout != torch.strided:
        kind = "on the meta device" if mask.is_meta else "nested" if mask.is_nested else f"of layout {mask.layout}"
        raise TopologyError(f"the mask {key!r} is {kind}; one of kernels must be a dense tensor")
    return _numbers(mask.detach().cpu())


def ones_of(key: str, values: Any, place: Any) -> Any:
    """Return where values are 1 after checking that the others are 0."""
    if values.dtype.kind not in "biuf":
        raise TopologyError(f"the mask {key!r} has dtype {values.dtype}; it must be boolean, or integers or floats 0 and 1")
    odd = np.flatnonzero((values != 0) & (values != 1))
    if len(odd):
        raise TopologyError(
            f"the mask {key!r} holds {values[odd[0]]:g} at {place(odd[0])}; it must hold 0 and 1 only (of a soft mask, pass "
            "which are edges, such as mask > 0.5)"
        )
    return values == 1


def _entries(key: str, mask: Any) -> Any:
    """Return the stored entries of a mask of any kind as a scipy COO array, each place once."""
    try:
        entries = _as_coo(mask)
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise TopologyError(f"the mask {key!r} cannot be read as a matrix [n_out, n_in]: {reason}") from error
    entries.sum_duplicates()
    return entries


def _as_coo(mask: Any) -> Any:
    if isinstance(mask, BipartiteTopology):
        return mask.to_scipy().tocoo()
    if isinstance(mask, torch.Tensor):
        mask = _without_torch(mask)
    if not scipy.sparse.issparse(mask):
        array: Any = np.asarray(mask)
        if array.ndim != 2 or array.dtype.kind not in "biufc":
            raise ValueError(f"it is {array.dtype} of shape {list(array.shape)}")
        return scipy.sparse.coo_array(array.astype(np.float32) if array.dtype == np.float16 else array)  # unknown to scipy
    check_pointers(mask)
    if hasattr(mask, "check_format"):
        mask.check_format(full_check=True)  # before compiled code follows its indices
    sparse: Any = mask
    return sparse.tocoo(copy=True)


def _without_torch(mask: torch.Tensor) -> Any:
    """Return a tensor as a numpy array, or, if its layout is sparse, as a scipy array."""
    if mask.is_meta or mask.is_nested or mask.dim() != 2:
        kind = "meta" if mask.is_meta else "nested" if mask.is_nested else f"{mask.dim()}-dimensional"
        raise ValueError(f"it is a {kind} tensor")
    mask = mask.detach().cpu()
    shape = tuple(mask.shape)
    if mask.layout == torch.strided:
        return _numbers(mask)
    if mask.layout == torch.sparse_coo and mask.dense_dim() == 0:
        return scipy.sparse.coo_array((_numbers(mask._values()), tuple(mask._indices().numpy())), shape=shape)
    if mask.layout in COMPRESSED:
        kind, pointers, indices = COMPRESSED[mask.layout]
        return kind((_numbers(mask.values()), indices(mask).numpy(), pointers(mask).numpy()), shape=shape)
    raise ValueError(f"it is of layout {mask.layout}{', of rows' if mask.layout == torch.sparse_coo else ''}")


def _numbers(tensor: torch.Tensor) -> Any:
    is_known = tensor.dtype in (torch.float32, torch.float64) or not tensor.is_floating_point()
    return (tensor if is_known else tensor.float()).numpy()  # numpy has no bfloat16
