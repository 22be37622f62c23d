"""The gradients of one narrow block, by parts of the targets.

Each target meets its edges once, for the gradients of its weights and for what it adds to those of its sources, whose sums of
all parts are added at the end. This costs no second order of the weights, and a sum per source and part.
"""

import numpy as np
import torch

from netsci_nn.kernels.edge_loops import NARROW_BYTES, look_ahead, sample_and_spread
from netsci_nn.kernels.index import EdgeIndex
from netsci_nn.kernels.packing import computed, empty, flat, is_batch_major, lanes_of, numbers, pack, scratch, unpack
from netsci_nn.kernels.parallel import SERIAL_WORK, run_threads
from netsci_nn.kernels.vector import LANES

MOST_PARTS = 8  # whose sums are added in a fixed order
LEAST_EDGES = 8  # that a source should have in a part


def spread_parts(index: EdgeIndex, x: torch.Tensor) -> int:
    """Return in how many parts of the targets gradients are spread to the sources; 0: they are gathered faster."""
    lanes = lanes_of(x)
    if x.shape[1] > lanes or lanes * computed(x.dtype).itemsize > NARROW_BYTES:
        return 0
    if len(index.src) * lanes < SERIAL_WORK:
        return 1
    n_parts = min(MOST_PARTS, len(index.src) // (LEAST_EDGES * index.n_in))
    return n_parts if n_parts > 1 else 0


def spread_gradients(
    values: torch.Tensor, x: torch.Tensor, y: torch.Tensor, index: EdgeIndex, n_parts: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(sampled product of x and y, W^T y, sums of y over the batch) in so many parts of the targets."""
    x_blocks, y_blocks = pack(x, "x"), pack(y, "y")
    columns, pointers, n_in, n_out = index.by_target
    lanes, size, dtype = x_blocks.width, n_in * x_blocks.width, computed(x.dtype)
    is_copied = n_parts > 1 or is_batch_major(x) or lanes > x.shape[1]
    sums = scratch("sums", n_parts * size, dtype) if is_copied else empty((size,), dtype)
    of_values = torch.empty(len(values), dtype=values.dtype)
    ahead = look_ahead(size * dtype.itemsize)
    arrays = flat(values), columns, pointers, x_blocks.array, ahead, y_blocks.array, numbers(of_values), sums
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
