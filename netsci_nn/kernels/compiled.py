"""Backend `compiled`: kernels in numba for the CPU, the default there. Needs no compiler.

A row of partial sums, one number a batch column, stays in registers while the edges of its neuron go by, so that an edge costs
one vector load and one fused multiply-add. The batch is cut into blocks of at most `WIDEST` columns, the last of which is
padded with zeros up to a power of two; their results are dropped. The backward pass computes both gradients in one
pass over the edges by source: each row of the output's gradient is loaded once.
"""

import functools
import logging
import math
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import llvmlite.binding
import numpy as np
import torch
from numba import njit

from netsci_nn.kernels.backend import BACKENDS, Backend
from netsci_nn.kernels.index import EdgeIndex
from netsci_nn.kernels.parallel import run_edges, run_rows
from netsci_nn.kernels.vector import LANES, TILE, dot, load, multiply_add, splat, store, transpose_tile, zeros

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]

CACHE_BYTES = 2**19  # rows of the batch that are used together, so that they stay in the second-level cache of a core
CACHE_MISS = 16  # what reading a number out of order costs, in multiply-adds
# Float32 lanes whose partial sums and second operand fit the vector registers of this processor.
WIDEST = 128 if llvmlite.binding.get_host_cpu_features().get("avx512f", False) else 32


@njit(cache=True, nogil=True)
def _gather(lanes, values, columns, pointers, x, offset, out, first, end):  # type: ignore[no-untyped-def]
    """out[row] = sum over the edges of row of values[edge] * x[columns[edge]], for one block of the batch."""
    stride = x.shape[1]
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    tile = max(TILE, CACHE_BYTES // (stride * x.itemsize))
    place = pointers[first:end].copy()
    for start in range(0, len(x), tile):
        for row in range(first, end):
            edge, last = place[row - first], pointers[row + 1]
            sums = zeros(x, lanes) if start == 0 else load(flat_out, row * stride + offset, lanes)
            while edge < last and columns[edge] < start + tile:
                column = load(flat_x, np.int64(columns[edge]) * stride + offset, lanes)
                sums = multiply_add(splat(values[edge], lanes), column, sums)
                edge += 1
            store(flat_out, row * stride + offset, sums)
            place[row - first] = edge


@njit(cache=True, nogil=True)
def _sample(lanes, columns, pointers, x, y, offset, out, first, end):  # type: ignore[no-untyped-def]
    """out[edge] += x[columns[edge]] . y[row], for one block of the batch."""
    stride = x.shape[1]
    flat_x, flat_y = x.reshape(-1), y.reshape(-1)
    for row in range(first, end):
        own = load(flat_y, row * stride + offset, lanes)
        for edge in range(pointers[row], pointers[row + 1]):
            out[edge] += dot(load(flat_x, np.int64(columns[edge]) * stride + offset, lanes), own)


@njit(cache=True, nogil=True)
def _gather_and_sample(lanes, values, order, columns, pointers, x, y, offset, own_values, x_gradient, out, first, end):  # type: ignore[no-untyped-def]
    """`_gather` of y and `_sample` of x and y in one pass; rows are sources, values and out are permuted by `order`.

    Permuting is a pass of its own, to and from `own_values`: consecutive sources meet the same cache lines of the values again,
    which they would not if rows of the batch were streamed in between.
    """
    stride = x.shape[1]
    flat_x, flat_y, flat_gradient = x.reshape(-1), y.reshape(-1), x_gradient.reshape(-1)
    _permute(values, order, pointers, own_values, first, end)
    tile = max(TILE, CACHE_BYTES // (stride * x.itemsize))
    place = pointers[first:end].copy()
    for start in range(0, len(y), tile):
        for row in range(first, end):
            edge, last = place[row - first], pointers[row + 1]
            own = load(flat_x, row * stride + offset, lanes)
            sums = zeros(x, lanes) if start == 0 else load(flat_gradient, row * stride + offset, lanes)
            while edge < last and columns[edge] < start + tile:
                column = load(flat_y, np.int64(columns[edge]) * stride + offset, lanes)
                sums = multiply_add(splat(own_values[edge], lanes), column, sums)
                own_values[edge] = dot(own, column)
                edge += 1
            store(flat_gradient, row * stride + offset, sums)
            place[row - first] = edge
    if offset == 0:
        for edge in range(pointers[first], pointers[end]):
            out[order[edge]] = own_values[edge]
    else:
        for edge in range(pointers[first], pointers[end]):
            out[order[edge]] += own_values[edge]


@njit(cache=True, nogil=True)
def _permute(values, order, pointers, out, first, end):  # type: ignore[no-untyped-def]
    """out[edge] = values[order[edge]] for the edges of rows first..end - 1."""
    for edge in range(pointers[first], pointers[end]):
        out[edge] = values[order[edge]]


@functools.cache
def _announce() -> None:
    """Say once a process why the first product takes so long."""
    logger.info("loading compiled kernels (the first time they are compiled, which takes some seconds)")


def product(values: torch.Tensor, x: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W x."""
    _announce()
    return _gather_rows(values, x, index.src, index.target_pointers, index.n_out)


def transposed_product(values: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W^T y."""
    return _gather_rows(_by_source(values, index), y, index.dst_by_source, index.source_pointers, index.n_in)


def sampled_product(x: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """The sum over the batch of x[src] * y[dst]."""
    columns, pointers = index.src.numpy(), index.target_pointers.numpy()
    x_padded, y_padded = _padded(x, "x"), _padded(y, "y")
    out = x.new_zeros(len(columns))
    for lanes, offset in _blocks(x.shape[1], x.element_size()):
        work = partial(_sample, LANES[lanes], columns, pointers, x_padded, y_padded, offset, out.numpy())
        run_edges(work, pointers, lanes)
    return out


def both_gradients(
    values: torch.Tensor, x: torch.Tensor, y: torch.Tensor, index: EdgeIndex
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sampled product of x and y, W^T y), the latter in the memory layout of x."""
    columns, pointers = index.dst_by_source.numpy(), index.source_pointers.numpy()
    x_padded, y_padded = _padded(x, "x"), _padded(y, "y")
    values_gradient = torch.empty_like(values)
    own = _scratch.array("values", values.shape, values.dtype)
    is_copied = _is_transposed(x) or x_padded.shape[1] > x.shape[1]
    x_gradient = _scratch.array("gradient", x_padded.shape, x.dtype) if is_copied else _empty(x_padded.shape, x.dtype)
    arrays: tuple[Any, ...] = values.contiguous().numpy(), index.by_source.numpy(), columns, pointers, x_padded, y_padded
    for lanes, offset in _blocks(x.shape[1], x.element_size()):
        work: Any = partial(_gather_and_sample, LANES[lanes], *arrays, offset, own, x_gradient, values_gradient.numpy())  # type: ignore[call-arg]
        run_edges(work, pointers, lanes)
    return values_gradient, _unpadded(x_gradient, like=x)


def _by_source(values: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """Return the values in the order by source."""
    values, pointers = values.detach().contiguous(), index.source_pointers.numpy()
    out = torch.empty_like(values)
    run_edges(partial(_permute, values.numpy(), index.by_source.numpy(), pointers, out.numpy()), pointers, CACHE_MISS)
    return out


def _gather_rows(
    values: torch.Tensor, x: torch.Tensor, columns: torch.Tensor, pointers: torch.Tensor, n_rows: int
) -> torch.Tensor:
    x_padded, row_pointers = _padded(x, "x"), pointers.numpy()
    out = _empty((n_rows, x_padded.shape[1]), x.dtype)
    for lanes, offset in _blocks(x.shape[1], x.element_size()):
        arguments = values.detach().contiguous().numpy(), columns.numpy(), row_pointers, x_padded, offset, out
        run_edges(partial(_gather, LANES[lanes], *arguments), row_pointers, lanes)
    return _cut(out, x.shape[1])


def _transpose(x: Array, out: Array) -> None:
    """out[:, : len(x)] = x^T, zeros in the further columns; both are contiguous."""
    run_rows(partial(_transpose_columns, x, out), x.shape[1], out.shape[1], TILE)


@njit(cache=True, nogil=True)
def _transpose_columns(x, out, first, end):  # type: ignore[no-untyped-def]
    """Transpose the columns first..end - 1, tile by tile along the longer side: few streams of memory at a time."""
    n_rows, n_columns = x.shape
    flat_x, flat_out, width = x.reshape(-1), out.reshape(-1), out.shape[1]
    whole_rows, whole_columns = n_rows // TILE * TILE, first + (end - first) // TILE * TILE
    if n_rows < n_columns:
        for row in range(0, whole_rows, TILE):
            for column in range(first, whole_columns, TILE):
                transpose_tile(flat_x, row * n_columns + column, n_columns, flat_out, column * width + row, width)
    else:
        for column in range(first, whole_columns, TILE):
            for row in range(0, whole_rows, TILE):
                transpose_tile(flat_x, row * n_columns + column, n_columns, flat_out, column * width + row, width)
    for column in range(first, end):
        for row in range(whole_rows if column < whole_columns else 0, n_rows):
            out[column, row] = x[row, column]
        for row in range(n_rows, width):
            out[column, row] = 0


def _is_transposed(x: torch.Tensor) -> bool:
    """Whether the memory of x holds its transpose: one row a batch column, as the outer world lays it out."""
    return x.t().is_contiguous() and not x.is_contiguous()


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Array:
    """Return an array whose rows start on a cache line, as torch aligns its memory and numpy does not."""
    return torch.empty(shape, dtype=dtype).numpy()


class _Scratch(threading.local):
    """Memory that is used again and again: a fresh megabyte costs more page faults than a sparse product costs time."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype], torch.Tensor] = {}

    def array(self, role: str, shape: tuple[int, ...], dtype: torch.dtype) -> Array:
        """Return an array of undefined content, valid until the next call for the same role."""
        size = math.prod(shape)
        if (role, dtype) not in self.buffers or len(self.buffers[role, dtype]) < size:
            self.buffers[role, dtype] = torch.empty(size, dtype=dtype)
        return self.buffers[role, dtype][:size].view(shape).numpy()


_scratch = _Scratch()


def _padded(x: torch.Tensor, role: str) -> Array:
    """Return x as the kernels want it, in the scratch memory for `role` unless it is so already.

    That is contiguous, with zeros up to the width of all blocks.
    """
    x = x.detach()
    width = sum(lanes for lanes, _ in _blocks(x.shape[1], x.element_size()))
    if not _is_transposed(x):
        x = x.contiguous()
        if width == x.shape[1]:
            return x.numpy()
    by_row = x.t().numpy() if _is_transposed(x) else x.numpy()
    shape = x.shape[0], width
    out = _scratch.array(role, shape, x.dtype)
    if _is_transposed(x):
        _transpose(by_row, out)
    else:
        out[:, : x.shape[1]], out[:, x.shape[1] :] = by_row, 0
    return out


def _unpadded(array: Array, like: torch.Tensor) -> torch.Tensor:
    """Return the first columns of array as a tensor of the shape and the memory layout of `like`, a copy unless equal."""
    if _is_transposed(like):
        out = _empty((array.shape[1], array.shape[0]), like.dtype)
        _transpose(array, out)
        return torch.from_numpy(out)[: like.shape[1]].t()
    return _cut(array, like.shape[1])


def _cut(array: Array, width: int) -> torch.Tensor:
    """Return the first columns as a tensor that is no view, since autograd lets nobody change a view in place."""
    tensor = torch.from_numpy(array)
    return tensor if array.shape[1] == width else tensor[:, :width].clone(memory_format=torch.contiguous_format)


def _blocks(n_columns: int, item_size: int) -> Iterator[tuple[int, int]]:
    """Cut a batch into blocks as wide as the registers allow; pairs (lanes, first column).

    The last block is the narrowest power of two that holds what remains: a few columns of zeros cost less than passing over
    the edges once more.
    """
    widest = WIDEST * 4 // item_size
    for offset in range(0, n_columns, widest):
        remaining = min(widest, n_columns - offset)
        yield max(TILE, 1 << (remaining - 1).bit_length()), offset


def _unsupported_because(values: torch.Tensor) -> str | None:
    if values.device.type != "cpu" or values.dtype not in (torch.float32, torch.float64):
        return f"it computes float32 and float64 on the CPU, not {values.dtype} on {values.device.type}"
    return None


BACKENDS.register("compiled")(
    Backend(
        product,
        transposed_product,
        sampled_product,
        both_gradients=both_gradients,
        unsupported_because=_unsupported_because,
    )
)
