"""The gradient of the loss with respect to every pair of neurons of a layer, joined or not, without a dense matrix in memory.

For y = W x the gradient of W is the sum over rows of (gradient of y) x (x). While a layer is watched, both factors of every
backward pass are kept. From them the gradient is computed in blocks of targets, of which only the largest entries stay.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.grad import conv2d_weight

from netsci_nn.checks import check_count
from netsci_nn.errors import ConfigError, DataError
from netsci_nn.kernels.convolution import Window
from netsci_nn.layers import SparseLayer, SparseLinear
from netsci_nn.layers.conv import SparseConv
from netsci_nn.layers.ranks import group_of
from netsci_nn.rewiring.largest import Largest, cover
from netsci_nn.sampling.arrays import occupied_cells
from netsci_nn.topology import Int64Array

BLOCK = 2**20  # pairs of neurons in a block of targets
MOST_PAIRS = 2**34  # above, a step would take many seconds per layer; the error says so
# Of so many pairs, one asks a sample first how large the largest gradients may be: places in golden steps.
FEW, SAMPLE, GOLDEN = 2**16, 512, (math.sqrt(5) - 1) / 2

Factors = tuple[torch.Tensor, torch.Tensor]


class GradientWatch:
    """It keeps what the gradient of a layer is made of, from every backward pass since the gradient was cleared.

    The factors of a pass count once the weights' gradient has taken it in: what `torch.autograd.grad` computes beside is left
    out, and so is a batch that was given up. Penalties of the weights in the loss are no part of it: at a pair without an edge,
    where the weight is 0, the gradient of such a penalty is 0.

    Args:
        number: of the layer, for errors.
        layer: whose edges stay what they are while it is watched.
    """

    def __init__(self, number: int, layer: SparseLayer) -> None:
        self.number, self.layer = number, layer
        self.factors: list[Factors] = []
        self.window: Window | None = None
        self._pending: dict[int, list[Factors]] = {}  # by the number of the backward pass
        self._seen: tuple[torch.Tensor, int] | None = None  # the gradient after the last pass, and its version
        self.index = layer._edge_index()
        self.index.watchers.append(self)
        self._handle = layer.weight.register_post_accumulate_grad_hook(self._take_in) if layer.weight.requires_grad else None

    def __call__(self, x: torch.Tensor, gradient: torch.Tensor, window: Window | None = None) -> None:
        """Take in the factors of a product in a backward pass: `[n_in, rows]` and `[n_out, rows]`, or images and a window."""
        self.window = window
        if window is not None and torch.is_grad_enabled():
            raise ConfigError(
                f"sparse layer {self.number}, a convolution, is differentiated with create_graph=True at a step at which its "
                "edges grow by the gradient; that is known of plain backward passes only"
            )
        number = torch._C._current_graph_task_id()
        if number not in self._pending:
            self._pending[number] = []
            if self._is_cleared():
                self.factors = []
        self._pending[number].append((x.detach().clone(), gradient.detach().clone()))

    def _take_in(self, weight: torch.Tensor) -> None:
        """Count the factors of the running backward pass, whose gradient the weights have got."""
        self.factors += self._pending.pop(torch._C._current_graph_task_id(), [])
        if weight.grad is not None:
            self._seen = weight.grad, weight.grad._version

    def _is_cleared(self) -> bool:
        """Whether the weights' gradient was cleared since the last pass: taken away, or set to 0."""
        gradient = self.layer.weight.grad
        if gradient is None or self._seen is None:
            return True
        is_untouched = gradient is self._seen[0] and gradient._version == self._seen[1]
        return not is_untouched and not bool(gradient.any())

    def end(self) -> None:
        """Watch no more."""
        if self in self.index.watchers:
            self.index.watchers.remove(self)
        if self._handle is not None:
            self._handle.remove()

    def check(self) -> None:
        """Raise a ConfigError unless there is a gradient; on several ranks, `gradient` asks all of them."""
        if not self.factors and group_of(self.layer) is None:
            raise ConfigError(self._missing())

    def gradient(self) -> "DenseGradient":
        """Return the gradient; over the ranks of the layer's wrapper, its sum.

        Raises:
            ConfigError: if there is none, or it is not finite. A `GradScaler` makes no optimiser step then, and nobody asks.
        """
        group = group_of(self.layer)
        parts = [part for pair in self.factors for part in pair]
        is_finite = all(part.numel() == 0 or bool(part.abs().amax().isfinite()) for part in parts)
        facts = torch.tensor([bool(self.factors), not is_finite], dtype=torch.int32, device=self.layer.weight.device)
        if group is not None:
            dist.all_reduce(facts, dist.ReduceOp.MAX, group=group)
        is_known, is_infinite = facts.tolist()
        if not is_known:
            raise ConfigError(self._missing())
        if is_infinite:
            raise ConfigError(f"the gradient of sparse layer {self.number} is not finite; its edges cannot grow by it")
        if isinstance(self.layer, SparseConv):
            return ConvolutionGradient(self.layer, self.factors, self.window, group)
        if not self.factors:  # of this rank
            weight = self.layer.weight
            return DenseGradient(weight.new_empty(self.layer.n_in, 0), weight.new_empty(self.layer.n_out, 0), group)
        x, of_y = (torch.cat(part, 1) if len(part) > 1 else part[0] for part in zip(*self.factors, strict=True))
        return DenseGradient(x, of_y, group)

    def _missing(self) -> str:
        if self._pending and self.layer.weight.grad is not None:
            return (
                f"the gradient of sparse layer {self.number} was assigned and not accumulated by backward(), so that of the "
                "pairs without an edge is not known; call backward(), or use a rule that grows at random"
            )
        return (
            f"sparse layer {self.number} took no part in the backward pass, or its edges were changed since the optimiser's "
            "last step, so the gradient by which its edges grow is not known; leave it out by layers=, or use a rule that "
            "grows at random"
        )


class DenseGradient:
    """The gradient of the loss with respect to every pair of neurons of a linear layer.

    Nothing of the size n_in * n_out is ever held. Gradients have the scale of the backward passes: that of a `GradScaler`
    included, that of clipping not; over the ranks of a process group they are added. Which entries are the largest depends on
    neither.

    Args:
        x: `[n_in, rows]`, what the sources had in the forward passes.
        of_y: `[n_out, rows]`, the gradient of what the targets gave.
        group: ranks that have rows of their own, and call the same methods; None without any.

    Raises:
        DataError: if `x` or `of_y` is no dense floating tensor, or they do not belong to one batch.
    """

    def __init__(self, x: torch.Tensor, of_y: torch.Tensor, group: dist.ProcessGroup | None = None) -> None:
        for name, factor in (("x", x), ("of_y", of_y)):
            if not isinstance(factor, torch.Tensor) or factor.layout != torch.strided or factor.is_meta:
                raise DataError(f"{name} is a {type(factor).__name__}; it must be a dense tensor")
            if factor.dim() != 2 or not factor.is_floating_point() or factor.shape[1:] != x.shape[1:]:
                raise DataError(
                    f"{name} has shape {list(factor.shape)} and dtype {factor.dtype}; x and of_y must be floating, "
                    "[n_in, rows] and [n_out, rows]"
                )
        if (x.dtype, x.device) != (of_y.dtype, of_y.device):
            raise DataError(f"x is {x.dtype} on {x.device} and of_y {of_y.dtype} on {of_y.device}; both must be alike")
        x, of_y = x.detach(), of_y.detach()
        single = torch.float64 if x.dtype == torch.float64 else torch.float32
        self.x, self.of_y, self.group, self.dtype = x.to(single), of_y.to(single), group, single
        self.n_in, self.n_out = len(x), len(of_y)

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
        """Yield the first target of every block, and the gradient `[targets, n_in]` of its weights; it is overwritten later.

        Raises:
            ConfigError: for more than 2^34 pairs of neurons.
        """
        if self.n_in * self.n_out > MOST_PAIRS:
            raise ConfigError(too_many(self.n_in, self.n_out))
        size = max(1, BLOCK // max(self.n_in, 1))
        columns = self.x.t()
        block = self.x.new_empty(min(size, self.n_out), self.n_in)
        for first in range(0, self.n_out, size):
            end = min(first + size, self.n_out)
            part = block[: end - first]
            with torch.autocast(self.x.device.type, enabled=False):
                torch.mm(self.of_y[first:end], columns, out=part)
            if self.group is not None:
                dist.all_reduce(part, group=self.group)
            yield first, part.cpu().numpy()

    def largest(self, count: int, occupied: Int64Array) -> Int64Array:
        """Return the pairs with the largest absolute gradient among those that are free, as dst * n_in + src, increasing.

        Of equal ones the smaller dst * n_in + src comes first. Takes O(n_in * n_out * rows) operations and
        O(count + block) memory.

        Args:
            count: how many, at most as many as are free.
            occupied: dst * n_in + src of the pairs that are not, increasing.

        Raises:
            ConfigError: for more than 2^34 pairs of neurons, if fewer than `count` are free, or a gradient is NaN.
            TopologyError: if `occupied` is not sorted, not distinct, or names a pair that is none.

        Example:
            >>> gradient = DenseGradient(torch.tensor([[1.0], [0.0], [2.0]]), torch.tensor([[1.0], [-3.0]]))
            >>> gradient.largest(2, occupied=np.array([5]))  # of [[1, 0, 2], [-3, 0, -6]], and -6 is taken
            array([2, 3])
        """
        count, n_pairs = check_count("count", count, 0, error=ConfigError), self.n_in * self.n_out
        occupied = occupied_cells(occupied, n_pairs)
        if count > n_pairs - len(occupied):
            raise ConfigError(f"count is {count}; only {n_pairs - len(occupied)} pairs are free")
        if count == 0:
            return np.empty(0, np.int64)
        keys = self._above(self._likely_threshold(count), count, occupied)
        if len(keys) < count:  # the sample was not like the rest
            keys = self._above(-1.0, count, occupied)
        if len(keys) < count:
            raise ConfigError("the gradient of some pairs of neurons is NaN; edges cannot grow by it")
        return keys

    def _above(self, threshold: float, count: int, occupied: Int64Array) -> Int64Array:
        """Return the largest `count` of the free pairs above a threshold."""
        kept = np.float64 if self.dtype == torch.float64 else np.float32
        best = Largest(count, threshold, max(BLOCK, self.n_in), kept)
        for first, block in self.blocks():
            bounds = np.searchsorted(occupied, [first * self.n_in, (first + len(block)) * self.n_in])
            cover(block.reshape(-1), first * self.n_in, occupied[slice(*bounds)])
            best.take(block, first * self.n_in)
        return best.shrink()

    def _likely_threshold(self, count: int) -> float:
        """Return what the largest `count` gradients very likely exceed, by a sample of pairs; -1 for few pairs."""
        n_pairs = self.n_in * self.n_out
        expected = SAMPLE * count / n_pairs
        rank = int(1.5 * expected + 4 * math.sqrt(expected) + 4)
        if n_pairs < FEW or rank >= SAMPLE:
            return -1.0
        keys = (np.arange(SAMPLE) * GOLDEN % 1 * n_pairs).astype(np.int64)
        dst, src = (torch.from_numpy(part).to(self.x.device) for part in np.divmod(keys, self.n_in))
        sample = (self.x[src] * self.of_y[dst]).sum(1)
        if self.group is not None:
            dist.all_reduce(sample, group=self.group)
        return float(sample.abs().sort(descending=True).values[rank])


class ConvolutionGradient(DenseGradient):
    """The gradient of the loss with respect to the kernel, or the entry of one, of every pair that a convolution could join.

    Of a channel graph it is the Euclidean norm over the kernel. It is computed by torch in blocks of targets.

    Args:
        layer: the convolution.
        factors: images `[n, in_channels, height, width]` and the gradients of the outputs, of every pass.
        window: how the kernel passes over them; None if there are none.
        group: as for `DenseGradient`.
    """

    def __init__(
        self, layer: SparseConv, factors: list[Factors], window: Window | None, group: dist.ProcessGroup | None
    ) -> None:
        self.dtype = torch.float64 if layer.weight.dtype == torch.float64 else torch.float32
        self.layer, self.factors, self.window, self.group = layer, factors, window, group
        self.n_in, self.n_out = layer.n_in, layer.n_out

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
        """See `DenseGradient`."""
        layer, area = self.layer, math.prod(self.layer.kernel_size)
        size = max(1, BLOCK // (layer.in_channels * area))
        for first in range(0, self.n_out, size):
            end = min(first + size, self.n_out)
            total = torch.zeros(end - first, layer.in_channels, area, dtype=self.dtype, device=layer.weight.device)
            for x, of_y in self.factors:
                assert self.window is not None
                (top, left), (bottom, right) = self.window.before, self.window.after
                padded = nn.functional.pad(x.to(self.dtype), (left, right, top, bottom))
                shape = (end - first, layer.in_channels, *self.window.kernel)
                options = {"stride": self.window.stride, "dilation": self.window.dilation}
                total += conv2d_weight(padded, shape, of_y[:, first:end].to(self.dtype), **options).flatten(2)
            if self.group is not None:
                dist.all_reduce(total, group=self.group)
            pairs = torch.linalg.vector_norm(total, dim=2) if layer.graph == "channel" else total.flatten(1)
            yield first, pairs.cpu().numpy()

    def _likely_threshold(self, count: int) -> float:
        return -1.0


def too_many(n_in: int, n_out: int) -> str:
    """Return why the gradient of all pairs of a layer is not computed."""
    return (
        f"the layer has {n_in:,} x {n_out:,} pairs of neurons, and the gradient of each would be computed; rules that grow by "
        f"the gradient take up to 2^34 = {MOST_PAIRS:,} pairs: use one that grows at random, as set"
    )


def check_linear(rule: str, number: int, layer: SparseLayer) -> None:
    """Raise a ConfigError unless the gradient of all pairs can be computed for a layer, which trains."""
    if not isinstance(layer, (SparseLinear, SparseConv)):
        raise ConfigError(
            f"rewiring rule {rule!r} grows edges by the gradient of all pairs of neurons, which SparseLinear and sparse "
            f"convolutions give; sparse layer {number} is a {type(layer).__name__}"
        )
    if layer.n_in * layer.n_out > MOST_PAIRS:
        raise ConfigError(too_many(layer.n_in, layer.n_out))
    if not layer.weight.requires_grad:
        raise ConfigError(
            f"rewiring rule {rule!r} grows edges by the gradient, and the weight of sparse layer {number} is frozen"
        )
