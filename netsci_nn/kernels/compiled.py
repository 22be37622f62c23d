"""Backend `compiled`: kernels in numba for the CPU, the default there. Needs no compiler.

A row of partial sums, one number per column of the batch, stays in registers while the edges of its neuron pass, so that an
edge costs one vector load and one fused multiply-add. The batch is cut into blocks of at most `WIDEST` columns, the last of
which is padded with zeros up to a power of two; their results are dropped. Rows of the other side are visited in tiles that
fit the second-level cache. If a block leaves enough registers, the backward pass computes both gradients in one pass over the
edges by source: each row of the output's gradient is loaded once.
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

from netsci_nn.compiling import config, njit
from netsci_nn.kernels.backend import BACKENDS, HALF, Backend, half_in_single
from netsci_nn.kernels.index import EdgeIndex
from netsci_nn.kernels.parallel import run_edges, run_rows
from netsci_nn.kernels.vector import (
    GROUP,
    LANES,
    TILE,
    accumulate,
    dot,
    dots,
    dots_and_sums,
    load,
    multiply_add,
    splat,
    store,
    transpose_tile,
    zeros,
)

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]

WIDEST = 128  # float32 lanes of a block; their partial sums fill the 16 registers of AVX2, and half of AVX-512's
CACHE_MISS = 16  # what reading a number out of order costs, in multiply-adds
_IS_AVX512 = llvmlite.binding.get_host_cpu_features().get("avx512f", False)
WIDEST_FUSED = 128 if _IS_AVX512 else 32  # lanes whose partial sums and own row both fit the registers
CACHE_BYTES = 2**19 if _IS_AVX512 else 2**18  # of rows used together: half of the second-level cache such processors have


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
    """out[edge] = x[columns[edge]] . y[row] for the first block of the batch; the others add to it."""
    stride = x.shape[1]
    flat_x, flat_y = x.reshape(-1), y.reshape(-1)
    tile = max(TILE, CACHE_BYTES // (stride * x.itemsize))
    place = pointers[first:end].copy()
    for start in range(0, len(x), tile):
        for row in range(first, end):
            edge, last = place[row - first], pointers[row + 1]
            own = load(flat_y, row * stride + offset, lanes)
            while edge + GROUP <= last and columns[edge + GROUP - 1] < start + tile:
                products = dots(own, flat_x, columns, edge, stride, offset)
                if offset == 0:
                    store(out, edge, products)
                else:
                    accumulate(out, edge, products)
                edge += GROUP
            while edge < last and columns[edge] < start + tile:
                product = dot(own, load(flat_x, np.int64(columns[edge]) * stride + offset, lanes))
                out[edge] = product if offset == 0 else out[edge] + product
                edge += 1
            place[row - first] = edge


@njit(cache=True, nogil=True)
def _gather_and_sample(lanes, values, order, columns, pointers, x, y, own_values, x_gradient, out, first, end):  # type: ignore[no-untyped-def]
    """`_gather` of y and `_sample` of x and y in one pass, for a batch of one block.

    Rows are sources, values and out are permuted by `order`.

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
            own = load(flat_x, row * stride, lanes)
            sums = zeros(x, lanes) if start == 0 else load(flat_gradient, row * stride, lanes)
            while edge + GROUP <= last and columns[edge + GROUP - 1] < start + tile:
                products, sums = dots_and_sums(own, sums, own_values, flat_y, columns, edge, stride, 0)
                store(own_values, edge, products)
                edge += GROUP
            while edge < last and columns[edge] < start + tile:
                column = load(flat_y, np.int64(columns[edge]) * stride, lanes)
                sums = multiply_add(splat(own_values[edge], lanes), column, sums)
                own_values[edge] = dot(own, column)
                edge += 1
            store(flat_gradient, row * stride, sums)
            place[row - first] = edge
    for edge in range(pointers[first], pointers[end]):
        out[order[edge]] = own_values[edge]


@njit(cache=True, nogil=True)
def _permute(values, order, pointers, out, first, end):  # type: ignore[no-untyped-def]
    """out[edge] = values[order[edge]] for the edges of rows first..end - 1."""
    for edge in range(pointers[first], pointers[end]):
        out[edge] = values[order[edge]]


@functools.cache
def _announce() -> None:
    """Log once per process why the first product takes long."""
    logger.info("loading compiled kernels (the first time they are compiled, which takes some seconds)")


@half_in_single
def product(values: torch.Tensor, x: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W x."""
    _announce()
    index.check(values=values, x=x)
    x_padded = _padded(x, "x")
    out = _empty((index.n_out, x_padded.shape[1]), x.dtype)
    _gather_blocks(_flat(values), index.src.numpy(), index.target_pointers.numpy(), x_padded, x.shape[1], out)
    return _cut(out, x.shape[1])


@half_in_single
def transposed_product(values: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W^T y."""
    index.check(values=values, y=y)
    y_padded = _padded(y, "y")
    out = _empty((index.n_in, y_padded.shape[1]), y.dtype)
    own = _by_source(values, index)
    _gather_blocks(own, index.dst_by_source.numpy(), index.source_pointers.numpy(), y_padded, y.shape[1], out)
    return _cut(out, y.shape[1])


@half_in_single
def sampled_product(x: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """The sum over the batch of x[src] * y[dst]."""
    index.check(x=x, y=y)
    out = x.new_empty(len(index.src)) if x.shape[1] else x.new_zeros(len(index.src))  # the sum over no batch
    _sample_blocks(index, _padded(x, "x"), _padded(y, "y"), x.shape[1], out.numpy())
    return out


@half_in_single
def both_gradients(
    values: torch.Tensor, x: torch.Tensor, y: torch.Tensor, index: EdgeIndex
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sampled product of x and y, W^T y), the latter in the memory layout of x."""
    index.check(values=values, x=x, y=y)
    if x.shape[1] == 0:
        return torch.zeros_like(values), torch.empty_like(x)
    x_padded, y_padded = _padded(x, "x"), _padded(y, "y")
    is_copied = _is_transposed(x) or x_padded.shape[1] > x.shape[1]
    x_gradient = _scratch.array("gradient", x_padded.shape, x.dtype) if is_copied else _empty(x_padded.shape, x.dtype)
    values_gradient = x.new_empty(len(values))
    columns, pointers = index.dst_by_source.numpy(), index.source_pointers.numpy()
    (lanes, _), *further = _blocks(x.shape[1], x.element_size())
    if further or lanes * x.element_size() > WIDEST_FUSED * 4:
        _sample_blocks(index, x_padded, y_padded, x.shape[1], values_gradient.numpy())
        _gather_blocks(_by_source(values, index), columns, pointers, y_padded, x.shape[1], x_gradient)
    else:
        own = _scratch.array("values", values.shape, values.dtype)
        edges = _flat(values), index.by_source.numpy(), columns, pointers
        work = partial(_gather_and_sample, LANES[lanes], *edges, x_padded, y_padded, own, x_gradient, values_gradient.numpy())
        run_edges(work, pointers, lanes)
    return values_gradient, _unpadded(x_gradient, like=x)


def _gather_blocks(values: Array, columns: Array, pointers: Array, x: Array, n_columns: int, out: Array) -> None:
    """`_gather` for all blocks of a batch of n_columns."""
    for lanes, offset in _blocks(n_columns, x.itemsize):
        run_edges(partial(_gather, LANES[lanes], values, columns, pointers, x, offset, out), pointers, lanes)


def _sample_blocks(index: EdgeIndex, x: Array, y: Array, n_columns: int, out: Array) -> None:
    """`_sample` for all blocks of a batch of n_columns."""
    columns, pointers = index.src.numpy(), index.target_pointers.numpy()
    for lanes, offset in _blocks(n_columns, x.itemsize):
        run_edges(partial(_sample, LANES[lanes], columns, pointers, x, y, offset, out), pointers, lanes)


def _by_source(values: torch.Tensor, index: EdgeIndex) -> Array:
    """Return the values in the order by source, in scratch memory."""
    pointers = index.source_pointers.numpy()
    out = _scratch.array("values", values.shape, values.dtype)
    run_edges(partial(_permute, _flat(values), index.by_source.numpy(), pointers, out), pointers, CACHE_MISS)
    return out


def _flat(values: torch.Tensor) -> Array:
    return values.detach().contiguous().numpy()


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
    """Whether the memory of x holds its transpose, one row per column of the batch, as torch lays a batch out."""
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
    if values.device.type not in ("cpu", "meta") or values.dtype not in (torch.float32, torch.float64, *HALF):
        return f"it computes float32, float64, bfloat16 and float16 on the CPU, not {values.dtype} on {values.device.type}"
    return None


def _unavailable_because() -> str | None:
    return "NUMBA_DISABLE_JIT is set, so nothing is compiled" if config.DISABLE_JIT else None


BACKENDS.register("compiled")(
    Backend(
        product,
        transposed_product,
        sampled_product,
        both_gradients=both_gradients,
        unavailable_because=_unavailable_because,
        unsupported_because=_unsupported_because,
    )
)
