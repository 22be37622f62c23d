"""Backend `compiled`: kernels in numba for the CPU, the default there. Needs no compiler.

The batch is cut into blocks of columns (`kernels.packing`), and `kernels.edge_loops` compute them. Work is shared between
threads in one of three ways:

- by neurons, in this file: all blocks lie in memory, and each thread takes some of the neurons. The output is feature-major,
  which spares the next sparse layer a transpose.
- by blocks (`kernels.walks`), where there are very many, or so little work that to wake other threads costs much of it.
- by parts of the targets (`kernels.spreading`), the gradients of one narrow block.
"""

import functools
import logging
import math
from functools import partial

import torch

from netsci_nn.compiling import config
from netsci_nn.kernels.backend import BACKENDS, HALF, Backend, in_single
from netsci_nn.kernels.edge_loops import gather, narrow, permute, sample, visit
from netsci_nn.kernels.index import EdgeIndex, Edges
from netsci_nn.kernels.packing import Array, Blocks, computed, empty, flat, is_batch_major, narrowed, pack, scratch, unpack
from netsci_nn.kernels.parallel import run_edges
from netsci_nn.kernels.spreading import spread_gradients, spread_parts
from netsci_nn.kernels.vector import LANES
from netsci_nn.kernels.walks import is_walked, walked_gradients, walked_product

logger = logging.getLogger(__name__)

CACHE_MISS = 16  # what reading a number out of order costs, in multiply-adds


@functools.cache
def _announce() -> None:
    """Log once per process why the first product takes long."""
    logger.info("loading compiled kernels (the first time they are compiled, which takes some seconds)")


def product(values: torch.Tensor, x: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W x."""
    return affine(values, x, None, index)


@in_single(torch.float16)
def affine(values: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None, index: EdgeIndex) -> torch.Tensor:
    """W x + b; None for a bias of 0."""
    _announce()
    index.check(True, values=values, x=x, bias=bias)
    own = flat(values)
    return _multiply(own, index.by_target, x, own[:0] if bias is None else flat(bias), values.dtype)


@in_single(torch.float16)
def transposed_product(values: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W^T y."""
    index.check(True, values=values, y=y)
    own = _by_source(values, index)
    return _multiply(own, index.from_source, y, own[:0], values.dtype)


@in_single(torch.float16)
def sampled_product(x: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """The sum over the batch of x[src] * y[dst]."""
    index.check(True, x=x, y=y)
    dtype = torch.promote_types(x.dtype, y.dtype)
    if x.shape[1] == 0:
        return x.new_zeros(len(index.src), dtype=dtype)  # the sum over no batch
    out = torch.empty(len(index.src), dtype=computed(x.dtype))
    _sample(index.by_target, pack(x, "x"), pack(y, "y"), out.numpy())
    return out.to(dtype)


@in_single(torch.float16)
def gradients(
    values: torch.Tensor, x: torch.Tensor, y: torch.Tensor, index: EdgeIndex
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(sampled product of x and y, W^T y, sums of y over the batch), the second in the memory layout of x."""
    index.check(True, values=values, x=x, y=y)
    if x.shape[1] == 0:
        return torch.zeros_like(values), torch.empty_like(x), y.new_zeros(index.n_out)
    n_parts = spread_parts(index, x)
    if n_parts > 0:
        return spread_gradients(values, x, y, index, n_parts)
    if is_walked(index.from_source, x):
        return walked_gradients(_by_source(values, index), x, y, index, values.dtype)
    x_blocks, y_blocks = pack(x, "x"), pack(y, "y")
    shape, dtype = (index.n_in, x_blocks.width), computed(x.dtype)
    is_copied = is_batch_major(x) or x_blocks.width > x.shape[1]
    x_gradient = scratch("gradient", math.prod(shape), dtype).reshape(shape) if is_copied else empty(shape, dtype)
    values_gradient = torch.empty(len(values), dtype=dtype)
    _sample(index.by_target, x_blocks, y_blocks, values_gradient.numpy())
    own = _by_source(values, index)
    _gather(own, index.from_source, own[:0], y_blocks, x_gradient)
    return values_gradient.to(values.dtype), unpack(x_gradient, like=x), y.sum(1)


def _multiply(values: Array, edges: Edges, x: torch.Tensor, bias: Array, dtype: torch.dtype) -> torch.Tensor:
    """Return W x + b for the matrix that has these edges, whose values are in the same order; an empty bias is 0."""
    batch = x.shape[1]
    if batch == 0:
        return x.new_empty(edges.n_rows, 0, dtype=dtype)
    if is_walked(edges, x):
        return walked_product(values, edges, x, bias, dtype)
    blocks = pack(x, "x")
    out = empty((edges.n_rows, blocks.width), computed(x.dtype))
    _gather(values, edges, bias, blocks, out)
    return narrowed(out, batch).to(dtype)


def _gather(values: Array, edges: Edges, bias: Array, blocks: Blocks, out: Array) -> None:
    """`gather` for all blocks of a batch; out is `[n_rows, width]`."""
    columns, pointers, *_ = edges
    out_flat, width = out.reshape(-1), out.shape[1]

    def work(first: int, end: int) -> None:
        for lanes, column in blocks.cuts:
            visited = visit(blocks.n_rows, lanes * out.itemsize, edges.degree)
            x = blocks.array, blocks.n_rows * column, visited
            gather(
                LANES[lanes],
                narrow(lanes * out.itemsize),
                values,
                columns,
                pointers,
                bias,
                *x,
                out_flat,
                width,
                column,
                first,
                end,
            )

    run_edges(work, pointers, width)


def _sample(edges: Edges, x: Blocks, y: Blocks, out: Array) -> None:
    """`sample` for all blocks of a batch."""
    columns, pointers, *_ = edges

    def work(first: int, end: int) -> None:
        for lanes, column in x.cuts:
            visited = visit(x.n_rows, lanes * out.itemsize, edges.degree)
            rows = x.array, x.n_rows * column, visited, y.array, y.n_rows * column
            sample(LANES[lanes], columns, pointers, *rows, column > 0, out, out[:0], first, end)

    run_edges(work, pointers, x.width)


def _by_source(values: torch.Tensor, index: EdgeIndex) -> Array:
    """Return the values in the order by source, in scratch memory."""
    pointers = index.from_source.pointers
    own = flat(values)
    out = scratch("values", len(values), computed(values.dtype))
    run_edges(partial(permute, own, index.order, pointers, out), pointers, CACHE_MISS)
    return out


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
        mixes=True,
        gradients=gradients,
        unavailable_because=_unavailable_because,
        unsupported_because=_unsupported_because,
    )
)
