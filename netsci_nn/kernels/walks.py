"""Products and gradients of a batch whose blocks, and not the neurons, are shared between threads.

Each block comes into the cache, passes all edges, and leaves. The output is batch-major, as torch's layers have it.
"""

from typing import NamedTuple

import torch

from netsci_nn.kernels.edge_loops import Visit, gather, narrow, sample, visit
from netsci_nn.kernels.index import EdgeIndex, Edges
from netsci_nn.kernels.packing import Array, computed, is_batch_major, lanes_of, numbers, pack_rows, scratch, unpack_rows
from netsci_nn.kernels.parallel import SERIAL_WORK, run_rows, run_threads
from netsci_nn.kernels.vector import LANES, TILE

Lanes = tuple[int, ...]  # a value of LANES

MANY_ROWS = 512  # of a batch, from which its blocks are shared between threads
WALKED_WORK = 2**25  # multiply-adds below which several blocks are shared between threads too: each wakes the other once
ROWS_PER_PART, MOST_PARTS = 256, 8  # parts of a batch whose gradients are added in a fixed order


def is_walked(edges: Edges, x: torch.Tensor) -> bool:
    """Whether the blocks of x, and not the neurons, are shared between threads."""
    batch = x.shape[1]
    if not is_batch_major(x):
        return False
    lanes = lanes_of(x)
    size = len(edges.columns) + edges.n_columns + edges.n_rows
    return batch >= MANY_ROWS or size * batch < (SERIAL_WORK if batch <= lanes else WALKED_WORK)


class Side(NamedTuple):
    """One orientation of the edges, and how its rows of the other side are visited."""

    edges: Edges
    visit: Visit


def _side(edges: Edges, lanes: int, item_size: int) -> Side:
    return Side(edges, visit(edges.n_columns, lanes * item_size, edges.degree))


def walked_product(values: Array, edges: Edges, x: torch.Tensor, bias: Array, dtype: torch.dtype) -> torch.Tensor:
    """W x + b, batch-major as x is; an empty bias is 0."""
    batch, lanes, wide = x.shape[1], lanes_of(x), computed(x.dtype)
    y = torch.empty_strided((edges.n_rows, batch), (1, edges.n_rows), dtype=dtype)
    side, x_rows, y_rows = _side(edges, lanes, wide.itemsize), _rows(x), _rows(y)

    def work(first: int, end: int) -> None:
        packed, sums = scratch("x", edges.n_columns * lanes, wide), scratch("y", edges.n_rows * lanes, wide)
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
        gather(
            lanes, narrow(width * sums.itemsize), values, columns, pointers, bias, packed, 0, visited, sums, width, 0, 0, n_y
        )
        unpack_rows(sums, 0, width, y, n_y, row, count, 0, n_y)


def walked_gradients(
    own: Array, x: torch.Tensor, y: torch.Tensor, index: EdgeIndex, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(sampled product of x and y, W^T y, sums of y over the batch); own are the values in the order by source."""
    (n_in, batch), n_out, lanes, wide = x.shape, len(y), lanes_of(x), computed(x.dtype)
    n_blocks = -(-batch // lanes)
    n_parts = max(1, min(MOST_PARTS, n_blocks, batch // ROWS_PER_PART if batch >= MANY_ROWS else n_blocks))
    x_gradient = torch.empty_strided((n_in, batch), (1, n_in), dtype=x.dtype)
    of_values, of_bias = (torch.empty((n_parts, size) if n_parts > 1 else size, dtype=wide) for size in (len(own), n_out))
    sides = _side(index.by_target, lanes, wide.itemsize), _side(index.from_source, lanes, wide.itemsize)
    values_parts, bias_parts = of_values.numpy().reshape(n_parts, -1), of_bias.numpy().reshape(n_parts, -1)
    rows = _rows(x), _rows(y.t().contiguous().t()), _rows(x_gradient)
    multiply_adds = 2 * (len(own) + n_in + n_out) * batch
    n_threads = 1 if multiply_adds < SERIAL_WORK else min(n_parts, torch.get_num_threads())

    def work(number: int) -> None:
        packed = [scratch(role, size * lanes, wide) for role, size in (("x", n_in), ("y", n_out), ("sums", n_in))]
        for part in range(number, n_parts, n_threads):
            first, end = (min(batch, place * n_blocks // n_parts * lanes) for place in (part, part + 1))
            x_packed, y_packed, sums = packed
            outputs = values_parts[part], bias_parts[part]
            _walk_back(LANES[lanes], own, *sides, *rows, x_packed, y_packed, sums, *outputs, first, end)

    run_threads(work, n_threads)
    if n_parts > 1:
        of_values, of_bias = of_values.sum(0), of_bias.sum(0)
    return of_values.to(dtype), x_gradient, of_bias.to(y.dtype)


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
        sample(lanes, columns, pointers, x_packed, 0, visited, y_packed, 0, row > first, of_values, of_bias, 0, n_y)
        own = lanes, narrow(width * sums.itemsize), own_values, own_columns, own_pointers, own_values[:0]
        gather(*own, y_packed, 0, by_source.visit, sums, width, 0, 0, n_x)
        unpack_rows(sums, 0, width, x_gradient, n_x, row, count, 0, n_x)


def _rows(x: torch.Tensor) -> Array:
    """Return a batch-major x `[n, batch]` as a flat array, one row of n numbers per column of the batch."""
    return numbers(x.t()).reshape(-1)
