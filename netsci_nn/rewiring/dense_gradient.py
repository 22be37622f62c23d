"""The gradient of the loss with respect to every pair of neurons of a layer, joined or not, without a dense matrix in memory.

For y = W x the gradient of W is the sum over rows of (gradient of y) x (x). While a layer is watched, both factors of every
backward pass are kept. From them the gradient is computed in blocks of targets, of which only the largest entries stay.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from netsci_nn.checks import check_count
from netsci_nn.compiling import njit
from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer, SparseLinear
from netsci_nn.topology import Int64Array

BLOCK = 2**20  # pairs of neurons in a block of targets
MOST_PAIRS = 2**34  # above, a step would take many seconds per layer; the error says so
SPARE = 4  # buffers hold so many times the entries asked for before the smallest are thrown away
SAMPLE, ALIKE = 1024, 0.99  # edges at which the gradient is compared with that of the weights, and their least cosine


class GradientWatch:
    """It keeps what the gradient of a layer is made of, from every backward pass since the optimiser's last step.

    Args:
        number: of the layer, for errors.
        layer: whose edges stay what they are while it is watched.
    """

    def __init__(self, number: int, layer: SparseLayer) -> None:
        self.number, self.layer = number, layer
        self.factors: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.pass_number, self.is_plain = -1, True
        self.index = layer._edge_index()
        self.index.watchers.append(self)

    def __call__(self, x: torch.Tensor, gradient: torch.Tensor) -> None:
        """Take in the factors of one backward pass: `[n_in, rows]` and `[n_out, rows]`."""
        number = torch._C._current_graph_task_id()
        if number != self.pass_number and not _has_gradient(self.layer):
            self.factors, self.is_plain = [], True  # what was there has been cleared, by zero_grad
        self.pass_number = number
        self.is_plain &= not torch.is_grad_enabled()
        self.factors.append((x.detach().clone(), gradient.detach().clone()))

    def end(self) -> None:
        """Watch no more."""
        if self in self.index.watchers:
            self.index.watchers.remove(self)

    def check(self, compare: bool) -> None:
        """Raise a ConfigError unless the gradient of all pairs is known.

        Args:
            compare: whether that of the weights is the same, so that both can be compared.
        """
        if not self.factors:
            raise ConfigError(
                f"sparse layer {self.number} took no part in the backward pass, so the gradient by which its edges grow is not "
                "known; leave it out by layers=, or use a rule that grows at random"
            )
        if not self.is_plain:
            raise ConfigError(
                f"sparse layer {self.number} was differentiated with create_graph=True; the gradient by which its edges grow "
                "is known of plain backward passes only"
            )
        if not all(part.isfinite().all() for pair in self.factors for part in pair):
            raise ConfigError(f"the gradient of sparse layer {self.number} is not finite; its edges cannot grow by it")
        if compare and self.layer.weight.grad is not None and self.layer.n_edges > 0:
            chosen = torch.arange(0, self.layer.n_edges, -(-self.layer.n_edges // SAMPLE), device=self.index.src.device)
            src, dst = self.index.src[chosen].long(), self.index.dst[chosen].long()
            ours = sum((x[src].double() * g[dst].double()).sum(1) for x, g in self.factors)
            assert isinstance(ours, torch.Tensor)
            theirs = self.layer.weight.grad.reshape(-1)[chosen].double()
            if torch.dot(ours, theirs) < ALIKE * ours.norm() * theirs.norm():
                raise ConfigError(
                    f"the gradient of sparse layer {self.number} is not what its backward passes add up to: a hook or another "
                    "derivative has changed it; its edges cannot grow by it"
                )

    def gradient(self, group: dist.ProcessGroup | None) -> "DenseGradient":
        """Return the gradient; over the ranks of `group`, its sum."""
        parts = zip(*self.factors, strict=True)
        x, of_y = (torch.cat(part, 1) if len(part) > 1 else part[0] for part in parts)
        return DenseGradient(x, of_y, group)


class DenseGradient:
    """The gradient of the loss with respect to every pair of neurons of a linear layer.

    Nothing of the size n_in * n_out is ever held. Gradients have the scale of the backward passes: that of a `GradScaler`
    included, that of clipping not; over the ranks of a process group they are added. Which entries are the largest depends on
    neither.

    Args:
        x: `[n_in, rows]`, what the sources had in the forward passes.
        of_y: `[n_out, rows]`, the gradient of what the targets gave.
        group: ranks that have rows of their own, and call the same methods; None without any.
    """

    def __init__(self, x: torch.Tensor, of_y: torch.Tensor, group: dist.ProcessGroup | None = None) -> None:
        single = torch.float64 if x.dtype == torch.float64 else torch.float32
        self.x, self.of_y, self.group = x.to(single), of_y.to(single), group
        self.n_in, self.n_out = len(x), len(of_y)

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
        """Yield the first target of every block, and the gradient `[targets, n_in]` of its weights; it is overwritten later.

        Raises:
            ConfigError: for more than 2^34 pairs of neurons.
        """
        if self.n_in * self.n_out > MOST_PAIRS:
            raise ConfigError(
                f"the layer has {self.n_in:,} x {self.n_out:,} pairs of neurons, and the gradient of each would be computed; "
                f"rules that grow by the gradient take up to 2^34 = {MOST_PAIRS:,} pairs: use one that grows at random, as set"
            )
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

        Example:
            >>> gradient = DenseGradient(torch.tensor([[1.0], [0.0], [2.0]]), torch.tensor([[1.0], [-3.0]]))
            >>> gradient.largest(2, occupied=np.array([5]))  # of [[1, 0, 2], [-3, 0, -6]], and -6 is taken
            array([2, 3])
        """
        count = check_count("count", count, 0, error=ConfigError)
        free = self.n_in * self.n_out - len(occupied)
        if count > free:
            raise ConfigError(f"count is {count}; only {free} pairs are free")
        best = _Largest(count, self.x.dtype)
        occupied = np.append(occupied, -1)  # the end, which no pair has
        for first, block in self.blocks():
            best.take(block, first * self.n_in, occupied)
        keys = best.keys()
        if len(keys) < count:
            raise ConfigError("the gradient of some pairs of neurons is NaN; edges cannot grow by it")
        return keys


class _Largest:
    """The largest absolute values seen so far, and their keys."""

    def __init__(self, count: int, dtype: torch.dtype) -> None:
        self.count, self.size = count, 0
        capacity = max(SPARE * count, count + 1024) if count else 0
        self.found = np.empty(capacity, np.int64)
        self.values = np.empty(capacity, np.float64 if dtype == torch.float64 else np.float32)
        self.threshold = self.values.dtype.type(-1)

    def take(self, block: npt.NDArray[np.floating], first_key: int, occupied: Int64Array) -> None:
        """Look at the values of a block of pairs whose keys follow each other."""
        flat, place, edge = block.reshape(-1), 0, int(np.searchsorted(occupied[:-1], first_key))
        while self.count and place < len(flat):
            place, edge, self.size = _take(
                flat, place, first_key, occupied, edge, self.threshold, self.found, self.values, self.size
            )
            if self.size == len(self.found):
                self._shrink()

    def keys(self) -> Int64Array:
        """Return the keys of the largest, increasing."""
        if self.size > self.count:
            self._shrink()
        return self.found[: self.size].copy()

    def _shrink(self) -> None:
        """Keep the largest `count`; of equal ones those that came first."""
        values = self.values[: self.size]
        self.threshold = np.partition(values, self.size - self.count)[self.size - self.count]
        self.size = _keep(self.found, self.values, self.size, self.threshold, self.count)


@njit(cache=True, nogil=True)
def _take(flat, place, first_key, occupied, edge, threshold, found, values, size):  # type: ignore[no-untyped-def]
    """Append the keys and sizes of free pairs above the threshold, until the block ends or the buffer is full."""
    capacity = len(found)
    while place < len(flat):
        # Up to the next pair that is taken, or the end, nothing but the threshold is asked.
        stop = len(flat)
        if occupied[edge] >= 0:
            stop = min(stop, occupied[edge] - first_key)
        while place < stop:
            value = abs(flat[place])
            if value > threshold:
                found[size], values[size] = first_key + place, value
                size += 1
                if size == capacity:
                    return place + 1, edge, size
            place += 1
        if place < len(flat):
            place += 1
            edge += 1
    return place, edge, size


@njit(cache=True, nogil=True)
def _keep(found, values, size, threshold, count):  # type: ignore[no-untyped-def]
    """Move the entries above the threshold, and the first of those equal to it, to the front; return how many they are."""
    n_above = 0
    for place in range(size):
        n_above += values[place] > threshold
    n_equal, kept = count - n_above, 0
    for place in range(size):
        if values[place] > threshold or (values[place] == threshold and n_equal > 0):
            n_equal -= values[place] == threshold
            found[kept], values[kept] = found[place], values[place]
            kept += 1
    return kept


def _has_gradient(layer: SparseLayer) -> bool:
    """Whether the weights of a layer have a gradient other than 0."""
    gradient = layer.weight.grad
    return gradient is not None and bool(gradient.any())


def check_linear(rule: str, number: int, layer: SparseLayer) -> None:
    """Raise a ConfigError unless the gradient of all pairs can be computed for a layer, which trains."""
    if not isinstance(layer, SparseLinear):
        raise ConfigError(
            f"rewiring rule {rule!r} grows edges by the gradient of all pairs of neurons, which only a SparseLinear gives; "
            f"sparse layer {number} is a {type(layer).__name__}"
        )
    if not layer.weight.requires_grad:
        raise ConfigError(
            f"rewiring rule {rule!r} grows edges by the gradient, and the weight of sparse layer {number} is frozen"
        )
