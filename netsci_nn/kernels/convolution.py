"""The sparse convolution on the CPU: every entry of a kernel reads its source channel at a shift; no patch is ever copied.

A channel lies in memory as one row: image after image, line after line, with zeros between them that serve the end of one line
and the beginning of the next as padding. Output position p of a channel is then the sum over the entries e of its kernels of
values[e] * x[address[e] + p], a sparse product whose edges read at addresses, in blocks of positions whose sums stay in
registers. Positions between the lines are computed too, and left out. With a stride the pixels are parted by their remainders
(phases), each of which is a row of its own, so that neighbouring outputs read neighbouring numbers.

The gradient with respect to x is the same product with opposite shifts; that with respect to the values is one scalar product
per entry.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

from netsci_nn.compiling import njit
from netsci_nn.errors import DataError
from netsci_nn.kernels.backend import HALF
from netsci_nn.kernels.index import EdgeIndex
from netsci_nn.kernels.packing import WIDEST_BYTES, Array
from netsci_nn.kernels.parallel import run_rows, run_threads
from netsci_nn.kernels.vector import GROUP, LANES, TILE, accumulate, dot, dots, load, multiply_add, read, splat, store, zeros

Pair = tuple[int, int]
MOST_NUMBERS = 2**31 - 1  # that an address can reach
POSITIONS_PER_PART, MOST_PARTS = 1024, 8  # parts whose gradients are added in a fixed order, whatever the number of threads


class Window(NamedTuple):
    """How a kernel passes over images.

    Attributes:
        kernel: height and width.
        stride: likewise.
        dilation: likewise.
        before: lines above and columns to the left that are padded with zeros.
        after: lines below and columns to the right.
    """

    kernel: Pair
    stride: Pair
    dilation: Pair
    before: Pair
    after: Pair

    def output_size(self, size: Pair) -> Pair:
        """Return height and width of the output for images of a size; below 1 if the kernel is larger than the padded image."""
        height, width = (
            (n + b + a - d * (k - 1) - 1) // s + 1
            for n, b, a, d, k, s in zip(size, self.before, self.after, self.dilation, self.kernel, self.stride, strict=True)
        )
        return height, width


class Field(NamedTuple):
    """Images of one size in memory, and what an entry of a kernel reads there.

    Attributes:
        lines: of an image, those between images included.
        columns: of a line, those between lines included.
        positions: of all images.
        shifts: int64 `[kernel height * kernel width]`, what is added to a position of the output.
        phases: int64, likewise, in which of a channel's rows.
        n_phases: rows of a channel.
    """

    lines: int
    columns: int
    positions: int
    shifts: Array
    phases: Array
    n_phases: int


@lru_cache(maxsize=256)
def field_of(window: Window, n_images: int, size: Pair) -> Field:
    """Return how images of a size lie in memory for a window."""
    entries = [np.arange(k) * d for k, d in zip(window.kernel, window.dilation, strict=True)]
    out = window.output_size(size)
    if window.stride == (1, 1):
        lines, columns = (max(n + max(b, a), o) for n, b, a, o in zip(size, window.before, window.after, out, strict=True))
        down, right = (entry - b for entry, b in zip(entries, window.before, strict=True))
        phases = np.zeros(len(down) * len(right), np.int64)
        n_phases = 1
    else:
        padded = [n + b + a for n, b, a in zip(size, window.before, window.after, strict=True)]
        lines, columns = (-(-n // s) for n, s in zip(padded, window.stride, strict=True))
        down, right = (entry // s for entry, s in zip(entries, window.stride, strict=True))
        rests = [entry % s for entry, s in zip(entries, window.stride, strict=True)]
        phases = (rests[0][:, None] * window.stride[1] + rests[1]).reshape(-1)
        n_phases = window.stride[0] * window.stride[1]
    shifts = (down[:, None] * columns + right).reshape(-1)
    return Field(lines, columns, n_images * lines * columns, shifts, phases, n_phases)


class Rows(NamedTuple):
    """Channels in memory: `[n_rows, stride]` numbers of which the positions begin at `lead`, with zeros around them."""

    array: torch.Tensor
    lead: int
    stride: int

    @property
    def flat(self) -> Array:
        """All numbers."""
        return self.array.numpy().reshape(-1)


class Convolution:
    """A sparse convolution of images of one size.

    Args:
        index: the edges of the patch graph: sources are channel * kernel height * kernel width + entry.
        window: how kernels pass over images.
        n_images: of a batch.
        size: height and width of an image.
        dtype: of what is computed: float32 or float64.

    Raises:
        DataError: if the batch has more numbers than an address can reach.
    """

    def __init__(self, index: EdgeIndex, window: Window, n_images: int, size: Pair, dtype: torch.dtype) -> None:
        self.index, self.window, self.n_images, self.size, self.dtype = index, window, n_images, size, dtype
        self.field, self.out_size = field_of(window, n_images, size), window.output_size(size)
        self.area = window.kernel[0] * window.kernel[1]
        self.channels = index.n_in // self.area
        widest = WIDEST_BYTES // (8 if dtype == torch.float64 else 4)
        self.lanes = max(TILE, min(widest, 1 << max(self.field.positions - 1, 1).bit_length()))
        self.width = -(-self.field.positions // self.lanes) * self.lanes
        self.reach = int(max(self.field.shifts.max(), 0)), int(max(-self.field.shifts.min(), 0))  # forwards, backwards
        self.stride = sum(self.reach) + self.width
        largest = max(self.channels * self.field.n_phases, index.n_out) * self.stride
        if largest > MOST_NUMBERS:
            raise DataError(
                f"a batch of {n_images} maps of {size[0]} x {size[1]} has {largest:,} numbers with its padding; "
                f"a sparse convolution takes up to {MOST_NUMBERS:,}: use smaller batches"
            )

    def forward(self, values: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None) -> tuple[torch.Tensor, Rows]:
        """Return the output `[n_images, n_out, height, width]`, and x as rows, for the gradients."""
        rows, out = self.pack(x), torch.empty(self.index.n_out, self.width, dtype=self.dtype)
        source, entry = np.divmod(self.index.src.numpy(), self.area)
        addresses = (source.astype(np.int64) * self.field.n_phases + self.field.phases[entry]) * self.stride
        addresses += self.field.shifts[entry]
        self._gather(values, addresses, self.index.target_pointers.numpy(), rows, out)
        y = self._images(out, self.out_size).contiguous()
        return (y if bias is None else y.add_(bias[:, None, None])), rows

    def gradients(
        self, values: torch.Tensor, rows: Rows, gradient: torch.Tensor, needs: tuple[bool, bool]
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return the gradients to the values and to x, each if it is needed."""
        of_y = self._rows(gradient, self.index.n_out, self.reach[0])
        return self._of_values(rows, of_y) if needs[0] else None, self._of_x(values, of_y) if needs[1] else None

    def pack(self, x: torch.Tensor) -> Rows:
        """Return images as rows."""
        if self.field.n_phases == 1:
            return self._rows(x, self.channels, self.reach[1])
        top, left = self.window.before
        height, width = (n * s for n, s in zip((self.field.lines, self.field.columns), self.window.stride, strict=True))
        rest = height - self.size[0] - top, width - self.size[1] - left
        padded = torch.nn.functional.pad(x.detach().to(self.dtype), (left, rest[1], top, rest[0]))
        down, across = self.window.stride
        parted = padded.reshape(self.n_images, self.channels, self.field.lines, down, self.field.columns, across)
        phases = parted.permute(1, 3, 5, 0, 2, 4).reshape(self.channels * self.field.n_phases, self.field.positions)
        array = torch.zeros(len(phases), self.stride, dtype=self.dtype)
        array[:, self.reach[1] : self.reach[1] + self.field.positions] = phases
        return Rows(array, self.reach[1], self.stride)

    def _rows(self, images: torch.Tensor, n_rows: int, lead: int) -> Rows:
        """Return images as rows whose lines and images are apart."""
        array = torch.zeros(n_rows, self.stride, dtype=self.dtype)
        height, width = images.shape[2:]
        self._grid(array[:, lead : lead + self.field.positions])[:, :, :height, :width] = images.detach().transpose(0, 1)
        return Rows(array, lead, self.stride)

    def _grid(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.unflatten(1, (self.n_images, self.field.lines, self.field.columns))

    def _images(self, out: torch.Tensor, size: Pair) -> torch.Tensor:
        """Return what was computed for each position as images."""
        return self._grid(out[:, : self.field.positions])[:, :, : size[0], : size[1]].transpose(0, 1)

    def _of_x(self, values: torch.Tensor, of_y: Rows) -> torch.Tensor:
        """Return the gradient to x: every row of a source gathers the gradients of the targets that read it."""
        source, entry = np.divmod(self.index.src.numpy(), self.area)
        row = source.astype(np.int64) * self.field.n_phases + self.field.phases[entry]
        order = np.argsort(row, kind="stable")
        n_rows = self.channels * self.field.n_phases
        pointers = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_rows))])
        addresses = (self.index.dst.numpy().astype(np.int64) * self.stride - self.field.shifts[entry])[order]
        out = torch.empty(n_rows, self.width, dtype=self.dtype)
        self._gather(values.reshape(-1)[torch.from_numpy(order)], addresses, pointers, of_y, out)
        if self.field.n_phases == 1:
            return self._images(out, self.size).contiguous()
        (top, left), (down, across) = self.window.before, self.window.stride
        parted = (
            out[:, : self.field.positions]
            .unflatten(0, (self.channels, down, across))
            .unflatten(3, (self.n_images, self.field.lines, self.field.columns))
        )
        padded = parted.permute(3, 0, 4, 1, 5, 2).reshape(
            self.n_images, self.channels, self.field.lines * down, self.field.columns * across
        )
        return padded[:, :, top : top + self.size[0], left : left + self.size[1]].contiguous()

    def _of_values(self, rows: Rows, of_y: Rows) -> torch.Tensor:
        """Return the gradient to the values, in the order of the edges."""
        source, entry = np.divmod(self.index.src.numpy(), self.area)
        addresses = (source.astype(np.int64) * self.field.n_phases + self.field.phases[entry]) * self.stride
        addresses = (addresses + self.field.shifts[entry] + rows.lead).astype(np.int32)
        n_blocks = self.width // self.lanes
        n_parts = max(1, min(MOST_PARTS, self.width // POSITIONS_PER_PART))
        parts = torch.zeros(n_parts, len(addresses), dtype=self.dtype)
        pointers, x, y, out = self.index.target_pointers.numpy(), rows.flat, of_y.flat, parts.numpy()
        n_threads = min(n_parts, torch.get_num_threads())

        def work(number: int) -> None:
            for part in range(number, n_parts, n_threads):
                first, end = (place * n_blocks // n_parts * self.lanes for place in (part, part + 1))
                _sample(LANES[self.lanes], addresses, pointers, x, y, of_y.lead, self.stride, out[part], first, end)

        run_threads(work, n_threads)
        return parts.sum(0) if n_parts > 1 else parts[0]

    def _gather(self, values: torch.Tensor, addresses: Array, pointers: Array, rows: Rows, out: torch.Tensor) -> None:
        own = values.detach().to(self.dtype).contiguous().numpy().reshape(-1)
        places, x, sums = (addresses + rows.lead).astype(np.int32), rows.flat, out.numpy().reshape(-1)

        def work(first: int, end: int) -> None:
            _gather(LANES[self.lanes], own, places, pointers, x, sums, self.width, first, end)

        run_rows(work, self.width, len(own) + len(out), self.lanes)


@njit(cache=True, nogil=True)
def _gather(lanes, values, addresses, pointers, x, out, stride, first, end):  # type: ignore[no-untyped-def]
    """out[row, p] = the sum over the entries of row of values[entry] * x[addresses[entry] + p], p from first to end - 1."""
    for position in range(first, end, len(lanes) * TILE):
        for row in range(len(pointers) - 1):
            sums = zeros(x, lanes)
            for entry in range(pointers[row], pointers[row + 1]):
                sums = multiply_add(splat(read(values, entry), lanes), load(x, addresses[entry] + position, lanes), sums)
            store(out, row * stride + position, sums)


@njit(cache=True, nogil=True)
def _sample(lanes, addresses, pointers, x, y, y_first, stride, out, first, end):  # type: ignore[no-untyped-def]
    """out[entry] is increased by the sum over p of x[addresses[entry] + p] * y[row, p], p from first to end - 1."""
    for position in range(first, end, len(lanes) * TILE):
        for row in range(len(pointers) - 1):
            own = load(y, y_first + row * stride + position, lanes)
            entry, last = pointers[row], pointers[row + 1]
            while entry + GROUP <= last:
                accumulate(out, entry, dots(own, x, addresses, entry, 1, position))
                entry += GROUP
            while entry < last:
                out[entry] += dot(own, load(x, addresses[entry] + position, lanes))
                entry += 1


def computed_as(dtype: torch.dtype) -> torch.dtype:
    """Return in what a convolution of a dtype is computed."""
    return torch.float32 if dtype in HALF else dtype


class Convolve(torch.autograd.Function):
    """(values, x, bias) -> the convolution. A gradient that shall be differentiated again is that of `by_patches`.

    Args of `apply`: values, x, bias or None, a `Convolution`, and a function of (values, x, bias) that gives the same by
    operations that can be differentiated as often as wanted.
    """

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None, convolution: Convolution, by_patches: Any
    ) -> torch.Tensor:
        """Return the output in the dtype of the values."""
        y, ctx.rows = convolution.forward(values, x, None if bias is None else bias.detach().to(convolution.dtype))
        ctx.convolution, ctx.by_patches = convolution, by_patches
        ctx.save_for_backward(values, x, bias)
        return y.to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Return the gradients to values, x and bias."""
        (gradient,), convolution = gradients, ctx.convolution
        convolution.index.check_current()
        values, x, bias = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():
            inputs = [tensor for tensor, needed in zip((values, x, bias), needs, strict=True) if needed]
            y = ctx.by_patches(values, x, bias)
            found = iter(torch.autograd.grad(y, inputs, gradient, create_graph=True))
            return *(next(found) if needed else None for needed in needs), None, None
        of_values, of_x = convolution.gradients(values, ctx.rows, gradient, needs[:2])
        return (
            None if of_values is None else of_values.reshape(values.shape).to(values.dtype),
            None if of_x is None else of_x.to(x.dtype),
            gradient.sum((0, 2, 3)) if needs[2] else None,
            None,
            None,
        )
