"""A batch as the kernels want it: cut into blocks of columns, each of which lies in memory row after row.

A row of a block fills at most `WIDEST_BYTES`, so that its sums stay in registers, and has no gap to the next row: rows at a
stride of a power of two would share few of the sets of a cache. Blocks hold numbers as they are computed with: of bfloat16,
they become float32 on the way in, and are rounded on the way out.
"""

import functools
import threading
from functools import partial
from typing import Any, NamedTuple

import llvmlite.binding
import numpy as np
import torch

from netsci_nn.compiling import njit
from netsci_nn.kernels.parallel import run_rows
from netsci_nn.kernels.vector import TILE, read, transpose_tile, write

Array = np.ndarray[Any, Any]

IS_AVX512 = llvmlite.binding.get_host_cpu_features().get("avx512f", False)
WIDEST_BYTES = 512 if IS_AVX512 else 256  # eight registers; as many again hold what is multiplied


class Blocks(NamedTuple):
    """A matrix `[n_rows, batch]` in blocks.

    Attributes:
        array: flat; the block that begins at column c, of `lanes` columns, is `[n_rows, lanes]` from n_rows * c on. Columns
            beyond the batch are zeros.
        n_rows: of the matrix.
        cuts: (lanes, first column) of every block.
    """

    array: Array
    n_rows: int
    cuts: tuple[tuple[int, int], ...]

    @property
    def width(self) -> int:
        """Columns of all blocks."""
        lanes, first = self.cuts[-1]
        return first + lanes


def lanes_of(x: torch.Tensor) -> int:
    """Return the columns of the first block of x `[n_rows, batch]`, the widest of them."""
    return cut(x.shape[1], computed(x.dtype).itemsize)[0][0]


@functools.lru_cache(maxsize=1024)
def cut(batch: int, item_size: int) -> tuple[tuple[int, int], ...]:
    """Cut a batch into blocks; pairs (lanes, first column).

    The last block is the narrowest power of two that holds what remains: a few columns of zeros cost less than passing over
    the edges once more.
    """
    widest = WIDEST_BYTES // item_size
    return tuple((max(TILE, 1 << (min(widest, batch - first) - 1).bit_length()), first) for first in range(0, batch, widest))


def pack(x: torch.Tensor, role: str) -> Blocks:
    """Return x `[n_rows, batch]` in blocks, in the scratch memory for `role` unless it lies so already."""
    x = x.detach()
    n_rows, batch = x.shape
    dtype = computed(x.dtype)
    cuts = cut(batch, dtype.itemsize)
    if not is_batch_major(x):
        x = x.contiguous()
        if cuts == ((batch, 0),):
            return Blocks(x.to(dtype).numpy().reshape(-1), n_rows, cuts)
    blocks = Blocks(scratch(role, n_rows * sum(lanes for lanes, _ in cuts), dtype), n_rows, cuts)
    if is_batch_major(x):
        run_rows(partial(_pack_all, numbers(x.t()).reshape(-1), batch, blocks), n_rows, blocks.width, TILE)
        return blocks
    for lanes, column in cuts:
        count = min(lanes, batch - column)
        block = torch.from_numpy(blocks.array[n_rows * column : n_rows * (column + lanes)]).view(n_rows, lanes)
        block[:, :count] = x[:, column : column + count]
        block[:, count:] = 0
    return blocks


def _pack_all(x: Array, batch: int, blocks: Blocks, first: int, end: int) -> None:
    for lanes, column in blocks.cuts:
        count = min(lanes, batch - column)
        pack_rows(x, blocks.n_rows, column, count, lanes, blocks.array, blocks.n_rows * column, first, end)


@njit(cache=True, nogil=True)
def pack_rows(x, n, row, count, lanes, out, out_first, first, end):  # type: ignore[no-untyped-def]
    """Transpose x[row : row + count, first:end] into rows first..end - 1 of the block of `lanes` columns at out[out_first].

    x is flat, with rows of n numbers.
    """
    whole, filled = first + (end - first) // TILE * TILE, min(lanes, -(-count // TILE) * TILE)
    for column in range(first, whole, TILE):
        for lane in range(0, count, TILE):
            transpose_tile(x, (row + lane) * n + column, n, count - lane, out, out_first + column * lanes + lane, lanes)
    for column in range(first, end):
        place = out_first + column * lanes
        for lane in range(0 if column >= whole else filled, lanes):
            out[place + lane] = read(x, (row + lane) * n + column) if lane < count else 0


@njit(cache=True, nogil=True)
def unpack_rows(x, x_first, lanes, out, n, row, count, first, end):  # type: ignore[no-untyped-def]
    """Transpose rows first..end - 1 of the block of `lanes` columns at x[x_first] into out[row : row + count, first:end].

    out is flat, with rows of n numbers.
    """
    whole, whole_lanes = first + (end - first) // TILE * TILE, count // TILE * TILE
    for column in range(first, whole, TILE):
        for lane in range(0, whole_lanes, TILE):
            transpose_tile(x, x_first + column * lanes + lane, lanes, TILE, out, (row + lane) * n + column, n)
    for lane in range(count):
        for column in range(whole if lane < whole_lanes else first, end):
            write(out, (row + lane) * n + column, x[x_first + column * lanes + lane])


def unpack(array: Array, like: torch.Tensor) -> torch.Tensor:
    """Return the first columns of array `[n_rows, width]` as a tensor of the shape, dtype and memory layout of `like`."""
    n_rows, batch = like.shape
    if not is_batch_major(like):
        return narrowed(array, batch).to(like.dtype)
    out, width = torch.empty(batch, n_rows, dtype=like.dtype), array.shape[1]
    flat_out = numbers(out).reshape(-1)
    run_rows(partial(unpack_rows, array.reshape(-1), 0, width, flat_out, n_rows, 0, batch), n_rows, width, TILE)
    return out.t()


def computed(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of what is computed for numbers of this one."""
    return torch.float32 if dtype == torch.bfloat16 else dtype


def numbers(x: torch.Tensor) -> Array:
    """Return x as an array in the same memory; numpy has no bfloat16, whose bits are an int16."""
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()


def flat(values: torch.Tensor) -> Array:
    """Return `numbers` of a flat tensor without gaps, of a copy if there are some."""
    return numbers(values.contiguous())


def narrowed(array: Array, width: int) -> torch.Tensor:
    """Return the first columns as a tensor that is no view, since autograd lets nobody change a view in place."""
    tensor = torch.from_numpy(array)
    return tensor if array.shape[1] == width else tensor[:, :width].clone(memory_format=torch.contiguous_format)


def is_batch_major(x: torch.Tensor) -> bool:
    """Whether the memory of x holds its transpose, one row per column of the batch, as torch lays a batch out."""
    return x.t().is_contiguous() and not x.is_contiguous()


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Array:
    """Return an array whose rows start on a cache line, as torch aligns its memory and numpy does not."""
    return torch.empty(shape, dtype=dtype).numpy()


class _Scratch(threading.local):
    """Memory that is used again and again: a fresh megabyte costs more page faults than a sparse product costs time."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype], Array] = {}


_scratch = _Scratch()


def scratch(role: str, size: int, dtype: torch.dtype) -> Array:
    """Return a flat array of undefined content, valid until the thread's next call for the same role."""
    buffers = _scratch.buffers
    buffer = buffers.get((role, dtype))
    if buffer is None or len(buffer) < size:
        buffer = buffers[role, dtype] = empty((size,), dtype)
    return buffer[:size]
