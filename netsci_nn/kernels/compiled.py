"""Backend `compiled`: kernels in numba for the CPU, the default there. Needs no compiler.

The batch is cut into blocks of columns (`kernels.packing`), and `kernels.edge_loops` compute them. Work is shared between
threads in one of these ways:

- by neurons: all blocks lie in memory, and each thread takes some of the neurons. The output is feature-major, which spares the
  next sparse layer a transpose.
- by blocks ("walks"), where there are very many, or so little work that to wake other threads costs much of it: each block
  comes into the cache, passes all edges, and leaves. The output is batch-major, as torch's layers have it.
- by parts of the targets, the gradients of one narrow block: each target meets its edges once, for the gradients of its weights
  and for what it adds to those of its sources, whose sums of all parts are added at the end.
"""

import functools
import logging
import math
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from netsci_nn.compiling import config
from netsci_nn.kernels.backend import BACKENDS, HALF, Backend, half_in_single
from netsci_nn.kernels.edge_loops import (
    NARROW_BYTES,
    Visit,
    add_rows,
    gather,
    look_ahead,
    permute,
    sample,
    sample_and_spread,
    visit,
)
from netsci_nn.kernels.index import EdgeIndex, Edges
from netsci_nn.kernels.packing import (
    Array,
    Blocks,
    cut,
    empty,
    is_batch_major,
    narrowed,
    pack,
    pack_rows,
    scratch,
    unpack,
    unpack_rows,
)
from netsci_nn.kernels.parallel import SERIAL_WORK, run_edges, run_rows, run_threads
from netsci_nn.kernels.vector import LANES, TILE

logger = logging.getLogger(__name__)
Lanes = tuple[int, ...]  # a value of LANES

CACHE_MISS = 16  # what reading a number out of order costs, in multiply-adds
MANY_ROWS = 512  # of a batch, from which its blocks are shared between threads
WALKED_WORK = 2**25  # multiply-adds below which several blocks are shared between threads too: each wakes the other once
ROWS_PER_PART, MOST_PARTS = 256, 8  # parts of such a batch whose gradients are added in a fixed order
SPREAD_EDGES = 8  # that a source should have in a part of the targets whose gradients are spread


@functools.cache
def _announce() -> None:
    """Log once per process why the first product takes long."""
    logger.info("loading compiled kernels (the first time they are compiled, which takes some seconds)")


def product(values: torch.Tensor, x: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W x."""
    return affine(values, x, None, index)


@half_in_single
def affine(values: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None, index: EdgeIndex) -> torch.Tensor:
    """W x + b; None for a bias of 0."""
    _announce()
    index.check(values=values, x=x, bias=bias)
    own = _flat(values)
    return _multiply(own, index.by_target, x, own[:0] if bias is None else _flat(bias))


@half_in_single
def transposed_product(values: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W^T y."""
    index.check(values=values, y=y)
    own = _by_source(values, index)
    return _multiply(own, index.from_source, y, own[:0])


@half_in_single
def sampled_product(x: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """The sum over the batch of x[src] * y[dst]."""
    index.check(x=x, y=y)
    if x.shape[1] == 0:
        return x.new_zeros(len(index.src))  # the sum over no batch
    out = x.new_empty(len(index.src))
    _sample(index.by_target, pack(x, "x"), pack(y, "y"), out.numpy())
    return out


@half_in_single
def gradients(
    values: torch.Tensor, x: torch.Tensor, y: torch.Tensor, index: EdgeIndex
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(sampled product of x and y, W^T y, sums of y over the batch), the second in the memory layout of x."""
    index.check(values=values, x=x, y=y)
    if x.shape[1] == 0:
        return torch.zeros_like(values), torch.empty_like(x), y.new_zeros(index.n_out)
    n_parts = _spread_parts(index, x)
    if n_parts > 0:
        return _spread_gradients(values, x, y, index, n_parts)
    if _is_walked(index.from_source, x):
        return _walked_gradients(values, x, y, index)
    x_blocks, y_blocks = pack(x, "x"), pack(y, "y")
    shape = index.n_in, x_blocks.width
    is_copied = is_batch_major(x) or x_blocks.width > x.shape[1]
    x_gradient = scratch("gradient", math.prod(shape), x.dtype).reshape(shape) if is_copied else empty(shape, x.dtype)
    values_gradient = x.new_empty(len(values))
    _sample(index.by_target, x_blocks, y_blocks, values_gradient.numpy())
    own = _by_source(values, index)
    _gather(own, index.from_source, own[:0], y_blocks, x_gradient)
    return values_gradient, unpack(x_gradient, like=x), y.sum(1)


def _multiply(values: Array, edges: Edges, x: torch.Tensor, bias: Array) -> torch.Tensor:
    """Return W x + b for the matrix that has these edges, whose values are in the same order; an empty bias is 0."""
    batch = x.shape[1]
    if batch == 0:
        return x.new_empty(edges.n_rows, 0)
    if _is_walked(edges, x):
        return _walked_product(values, edges, x, bias)
    blocks = pack(x, "x")
    out = empty((edges.n_rows, blocks.width), x.dtype)
    _gather(values, edges, bias, blocks, out)
    return narrowed(out, batch)


def _is_walked(edges: Edges, x: torch.Tensor) -> bool:
    """Whether the blocks of x, and not the neurons, are shared between threads."""
    batch = x.shape[1]
    if not is_batch_major(x):
        return False
    lanes = cut(batch, x.element_size())[0][0]
    size = len(edges.columns) + edges.n_columns + edges.n_rows
    return batch >= MANY_ROWS or size * batch < (SERIAL_WORK if batch <= lanes else WALKED_WORK)


def _spread_parts(index: EdgeIndex, x: torch.Tensor) -> int:
    """Return in how many parts of the targets gradients are spread to the sources; 0: others gather them faster.

    To spread costs no second order of the weights, and a sum per source and part.
    """
    lanes = cut(x.shape[1], x.element_size())[0][0]
    if x.shape[1] > lanes or lanes * x.element_size() > NARROW_BYTES:
        return 0
    if len(index.src) * lanes < SERIAL_WORK:
        return 1
    n_parts = min(MOST_PARTS, len(index.src) // (SPREAD_EDGES * index.n_in))
    return n_parts if n_parts > 1 else 0


def _spread_gradients(
    values: torch.Tensor, x: torch.Tensor, y: torch.Tensor, index: EdgeIndex, n_parts: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x_blocks, y_blocks = pack(x, "x"), pack(y, "y")
    columns, pointers, n_in, n_out = index.by_target
    lanes, size = x_blocks.width, n_in * x_blocks.width
    is_copied = n_parts > 1 or is_batch_major(x) or lanes > x.shape[1]
    sums = scratch("sums", n_parts * size, x.dtype) if is_copied else empty((size,), x.dtype)
    of_values = x.new_empty(len(values))
    ahead = look_ahead(size * x.element_size())
    arrays = _flat(values), columns, pointers, x_blocks.array, ahead, y_blocks.array, of_values.numpy(), sums
    bounds = [0, n_out]
    if n_parts > 1:
        bounds[1:1] = np.searchsorted(pointers, np.arange(1, n_parts) * len(columns) // n_parts).tolist()
    n_threads = min(n_parts, torch.get_num_threads())

    def work(number: int) -> None:
        for part in range(number, n_parts, n_threads):
            sums[part * size : (part + 1) * size] = 0
            sample_and_spread(LANES[lanes], *arrays, part * size, bounds[part], bounds[part + 1])

    run_threads(work, n_threads)
    x_gradient = sums.reshape(n_parts, n_in, lanes)
    total = x_gradient[0] if n_parts == 1 else torch.from_numpy(x_gradient).sum(0).numpy()
    return of_values, unpack(total, like=x), y.sum(1)


class Side(NamedTuple):
    """One orientation of the edges, and how its rows of the other side are visited."""

    edges: Edges
    visit: Visit


def _side(edges: Edges, lanes: int, item_size: int) -> Side:
    return Side(edges, visit(edges.n_columns, lanes * item_size, edges.degree))


def _walked_product(values: Array, edges: Edges, x: torch.Tensor, bias: Array) -> torch.Tensor:
    batch, dtype = x.shape[1], x.dtype
    y = torch.empty_strided((edges.n_rows, batch), (1, edges.n_rows), dtype=dtype)
    lanes = cut(batch, x.element_size())[0][0]
    side, x_rows, y_rows = _side(edges, lanes, x.element_size()), _rows(x), _rows(y)

    def work(first: int, end: int) -> None:
        packed, sums = scratch("x", edges.n_columns * lanes, dtype), scratch("y", edges.n_rows * lanes, dtype)
        _walk(LANES[lanes], values, side, bias, x_rows, packed, sums, y_rows, first, end)

    run_rows(work, batch, len(values) + edges.n_columns + edges.n_rows, lanes)
    return y


def _walk(
    lanes: Lanes, values: Array, side: Side, bias: Array, x: Array, packed: Array, sums: Array, y: Array, first: int, end: int
) -> None:
    """y[row] = W x[row] + b for the rows first..end - 1 of a batch: each block meets all edges while it lies in the cache."""
    (columns, pointers, n_x, n_y), visited = side
    width = len(lanes) * TILE
    for row in range(first, end, width):
        count = min(width, end - row)
        pack_rows(x, n_x, row, count, width, packed, 0, 0, n_x)
        gather(lanes, values, columns, pointers, bias, packed, 0, visited, sums, width, 0, 0, n_y)
        unpack_rows(sums, 0, width, y, n_y, row, count, 0, n_y)


def _walked_gradients(
    values: torch.Tensor, x: torch.Tensor, y: torch.Tensor, index: EdgeIndex
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    (n_in, batch), n_out, dtype = x.shape, len(y), x.dtype
    lanes = cut(batch, x.element_size())[0][0]
    n_blocks = -(-batch // lanes)
    n_parts = max(1, min(MOST_PARTS, n_blocks, batch // ROWS_PER_PART if batch >= MANY_ROWS else n_blocks))
    x_gradient = torch.empty_strided((n_in, batch), (1, n_in), dtype=dtype)
    of_values, of_bias = (torch.empty((n_parts, size) if n_parts > 1 else size, dtype=dtype) for size in (len(values), n_out))
    sides = _side(index.by_target, lanes, x.element_size()), _side(index.from_source, lanes, x.element_size())
    own = _by_source(values, index)
    values_parts, bias_parts = of_values.numpy().reshape(n_parts, -1), of_bias.numpy().reshape(n_parts, -1)
    rows = _rows(x), y.t().contiguous().numpy().reshape(-1), _rows(x_gradient)
    n_threads = min(n_parts, torch.get_num_threads())

    def work(number: int) -> None:
        packed = [scratch(role, size * lanes, dtype) for role, size in (("x", n_in), ("y", n_out), ("sums", n_in))]
        for part in range(number, n_parts, n_threads):
            first, end = (min(batch, place * n_blocks // n_parts * lanes) for place in (part, part + 1))
            x_packed, y_packed, sums = packed
            outputs = values_parts[part], bias_parts[part]
            _walk_back(LANES[lanes], own, *sides, *rows, x_packed, y_packed, sums, *outputs, first, end)

    run_threads(work, n_threads)
    if n_parts > 1:
        of_values, of_bias = of_values.sum(0), of_bias.sum(0)
    return of_values, x_gradient, of_bias


def _walk_back(
    lanes: Lanes,
    own_values: Array,
    by_target: Side,
    by_source: Side,
    x: Array,
    y: Array,
    x_gradient: Array,
    x_packed: Array,
    y_packed: Array,
    sums: Array,
    of_values: Array,
    of_bias: Array,
    first: int,
    end: int,
) -> None:
    """The gradients of `_walk`: those to values and bias are sums over these rows, x_gradient gets its rows first..end - 1.

    own_values are in the order by source.
    """
    (columns, pointers, n_x, n_y), visited = by_target
    own_columns, own_pointers, *_ = by_source.edges
    width = len(lanes) * TILE
    for row in range(first, end, width):
        count = min(width, end - row)
        pack_rows(x, n_x, row, count, width, x_packed, 0, 0, n_x)
        pack_rows(y, n_y, row, count, width, y_packed, 0, 0, n_y)
        add_rows(y_packed, 0, width, of_bias, row > first, 0, n_y)
        sample(lanes, columns, pointers, x_packed, 0, visited, y_packed, 0, row > first, of_values, 0, n_y)
        own = lanes, own_values, own_columns, own_pointers, own_values[:0]
        gather(*own, y_packed, 0, by_source.visit, sums, width, 0, 0, n_x)
        unpack_rows(sums, 0, width, x_gradient, n_x, row, count, 0, n_x)


def _rows(x: torch.Tensor) -> Array:
    """Return a batch-major x `[n, batch]` as a flat array, one row of n numbers per column of the batch."""
    return x.numpy().T.reshape(-1)


def _gather(values: Array, edges: Edges, bias: Array, blocks: Blocks, out: Array) -> None:
    """`gather` for all blocks of a batch; out is `[n_rows, width]`."""
    columns, pointers, *_ = edges
    flat, width = out.reshape(-1), out.shape[1]

    def work(first: int, end: int) -> None:
        for lanes, column in blocks.cuts:
            visited = visit(blocks.n_rows, lanes * out.itemsize, edges.degree)
            x = blocks.array, blocks.n_rows * column, visited
            gather(LANES[lanes], values, columns, pointers, bias, *x, flat, width, column, first, end)

    run_edges(work, pointers, width)


def _sample(edges: Edges, x: Blocks, y: Blocks, out: Array) -> None:
    """`sample` for all blocks of a batch."""
    columns, pointers, *_ = edges

    def work(first: int, end: int) -> None:
        for lanes, column in x.cuts:
            visited = visit(x.n_rows, lanes * out.itemsize, edges.degree)
            rows = x.array, x.n_rows * column, visited, y.array, y.n_rows * column
            sample(LANES[lanes], columns, pointers, *rows, column > 0, out, first, end)

    run_edges(work, pointers, x.width)


def _by_source(values: torch.Tensor, index: EdgeIndex) -> Array:
    """Return the values in the order by source, in scratch memory."""
    pointers = index.from_source.pointers
    out = scratch("values", len(values), values.dtype)
    run_edges(partial(permute, _flat(values), index.order, pointers, out), pointers, CACHE_MISS)
    return out


def _flat(values: torch.Tensor) -> Array:
    return values.contiguous().numpy()


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
        affine=affine,
        gradients=gradients,
        unavailable_because=_unavailable_because,
        unsupported_because=_unsupported_because,
    )
)
