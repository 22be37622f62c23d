"""Which neurons feed which, read from a recorded forward pass.

Every tensor carries the number of a neuron at every place, in an integer tensor of the same shape. What moves numbers about
(reshape, cat, chunk, ...) is applied to these integers as it is; functions of single numbers keep them; a layer reads the
neurons along its axis and makes new ones. Where numbers of several neurons meet, the outcome is a neuron of its own that they
feed, unless it is a sum: then the targets of a layer that nothing else has seen are that neuron.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map

from netsci_nn.errors import TopologyError
from netsci_nn.layers import SparseLayer
from netsci_nn.models.walk import kernel_of
from netsci_nn.models.wiring import functions
from netsci_nn.models.wiring.memory import Memory, is_transformed, overwritten
from netsci_nn.models.wiring.neurons import NONE, Neurons
from netsci_nn.models.wiring.recording import Step, tensors_in
from netsci_nn.topology.arrays import Int64Array

Key = tuple[int, int]  # of a tensor: its id, and how often it was changed in place before


class Carried(NamedTuple):
    """Numbers of neurons at every place of a tensor, and whether these are targets of layers that nothing else has seen."""

    numbers: torch.Tensor
    is_open: bool


@dataclass
class Ends:
    """Neurons that a layer reads and makes, int64 `[n_in]` and `[n_out]`; an embedding reads None, and makes inputs."""

    sources: Int64Array | None
    targets: Int64Array


class UnreadableError(TopologyError):
    """A step of a forward pass whose meaning for neurons is not known."""


def read_wiring(
    steps: Sequence[Step],
    inputs: Sequence[torch.Tensor],
    outputs: Sequence[torch.Tensor],
    layers: Mapping[str, nn.Module],
) -> Reading:
    """Return what a recorded forward pass says about the wiring.

    Args:
        steps: in the order of the pass.
        inputs: tensors that the model was given; those of real numbers carry input neurons.
        outputs: tensors that it returned.
        layers: by their names.

    Raises:
        UnreadableError: naming the module with a step that is not understood.
    """
    reading = Reading(layers, Memory(steps, outputs))
    reading.count_uses(steps)
    for tensor in inputs:
        if tensor.is_floating_point():
            numbers = reading.neurons.new(tensor.numel(), are_inputs=True)
            reading.carried[id(tensor)] = [Carried(torch.from_numpy(numbers).reshape(tensor.shape), is_open=False)]
    for number, step in enumerate(steps):
        reading.take(step)
        reading.show_changes(step, number)
    for tensor in outputs:
        reading.settled(tensor)
    return reading


class Reading:
    """The neurons of a network, and the ends of its layers, as far as the steps so far tell."""

    def __init__(self, layers: Mapping[str, nn.Module], memory: Memory) -> None:
        self.layers, self.neurons, self._memory = layers, Neurons(), memory
        self.ends: dict[str, Ends] = {}
        # By the ids of tensors, all of which are alive; several of what has met and is not yet one neuron.
        self.carried: dict[int, list[Carried]] = {}
        self._version: Counter[int] = Counter()
        self._uses: Counter[Key] = Counter()

    def count_uses(self, steps: Sequence[Step]) -> None:
        """Count how often every tensor is read before it is changed."""
        version: Counter[int] = Counter()
        for step in steps:
            self._uses.update({(id(tensor), version[id(tensor)]) for tensor in step.reads})
            version.update(id(tensor) for tensor in _given(step))

    def take(self, step: Step) -> None:
        """Work out what the result of one step carries."""
        if any(map(is_transformed, step.reads)):
            raise self._unreadable(step, "computes within a transform of torch.func, of which the outcome is not seen")
        read = [tensor for tensor in step.reads if id(tensor) in self.carried]
        if step.layer is not None:
            carried = self._layer(step, step.layer)
        elif not read or step.function in functions.CONSTANTS:
            carried = [[] for _ in _given(step)]
        else:
            carried = self._function(step, read)
        for tensor, each in zip(_given(step), carried, strict=True):
            self._version[id(tensor)] += 1
            self.carried.pop(id(tensor), None)
            if each:
                self.carried[id(tensor)] = each

    def show_changes(self, step: Step, number: int) -> None:
        """Let what a step changed in place show in other tensors that lie in the same memory."""
        if step.function in functions.KEEPS:
            return
        for changed in _given(step):
            if not any(changed is tensor for tensor in step.reads):
                continue
            for other in self._memory.others(changed, number):
                numbers, before = self.settled(changed).numbers, self.settled(other).numbers
                if changed.dtype != other.dtype or (numbers.shape, before.shape) != (changed.shape, other.shape):
                    raise self._unreadable(step, "changes a tensor in place that another shows in another form")
                self.carried[id(other)] = [Carried(overwritten(changed, numbers, other, before), is_open=False)]

    def _layer(self, step: Step, name: str) -> list[list[Carried]]:
        if name in self.ends:
            raise UnreadableError(f"layer {name!r} is used more than once")
        layer, (result, *_), x = self.layers[name], step.gives, step.reads[0]
        axis, sources = -1, None
        if not isinstance(layer, nn.Embedding):
            axis = -1 - len(kernel_of(layer))
            sources = self._along(step, x, axis)
            if isinstance(layer, SparseLayer):
                sources = np.repeat(sources, layer.n_in // len(sources))  # positions of a patch
        targets = self.neurons.new(result.shape[axis], are_inputs=sources is None)
        self.ends[name] = Ends(sources, targets)
        shape = [1] * result.dim()
        shape[axis] = -1
        return [[Carried(torch.from_numpy(targets).reshape(shape).expand(result.shape), is_open=True)]]

    def _along(self, step: Step, x: torch.Tensor, axis: int) -> Int64Array:
        """Return the neuron at every place of an axis; input neurons are what is read as one."""
        if not x.numel():
            raise self._unreadable(step, f"reads a tensor of shape {tuple(x.shape)}, in which there is no number")
        if id(x) not in self.carried:
            return self.neurons.new(x.shape[axis], are_inputs=True)  # constants
        numbers = self.settled(x).numbers.movedim(axis, 0).reshape(x.shape[axis], -1).numpy()
        result = self._one_per_row(step, numbers)
        constant = result < 0
        result[constant] = self.neurons.new(int(constant.sum()), are_inputs=True)
        return result

    def _one_per_row(self, step: Step, numbers: Int64Array) -> Int64Array:
        """Return the neuron that stands in every row, beside constants."""
        found = self.neurons.find(numbers)
        first = found.max(axis=1, initial=NONE)
        differ = (found != first[:, None]) & (found >= 0)
        if not differ.any():
            return first.copy()
        others = np.broadcast_to(first[:, None], found.shape)[differ]
        if not (self.neurons.are_inputs(found[differ]) and self.neurons.are_inputs(others)):
            raise self._unreadable(step, "takes numbers of different neurons for one and the same")
        self.neurons.unite(found[differ], others)
        return self.neurons.find(first)

    def _function(self, step: Step, read: list[torch.Tensor]) -> list[list[Carried]]:
        name, n_given = step.function, len(_given(step))
        if name in functions.LEAVES and not n_given:
            raise self._unreadable(step, f"takes numbers out of torch ({name})")
        result = _given(step)[0]
        if name == "setitem":
            return [[self._assigned(step)]]
        if name == "copy":
            return [[Carried(self.settled(step.args[1]).numbers.expand(result.shape), is_open=False)]]
        if name in functions.MOVES:
            return [[carried] for carried in self._moved(step)]
        if name in functions.KEEPS:
            return [self._passed_on(read[0], result)] + [[]] * (n_given - 1)
        if name in functions.BENDS and len(read) == 1:
            return [[self.settled(read[0])._replace(is_open=False)]]
        is_scaled = name in functions.SCALES and len(read) == 1
        if name in functions.SUMS or is_scaled or name in functions.SCALES | functions.MIXES or self._is_binary(step, read):
            return [self._met(read, result, is_sum=name in functions.SUMS or is_scaled)]
        if name in functions.POOLS:
            return [[self._pooled(step, read[0], result)]] + [[]] * (n_given - 1)
        if name in functions.REDUCES and len(read) == 1:
            return [[self._reduced(step, read[0], result)]] + [[]] * (n_given - 1)
        if name in functions.MATRIX_PRODUCTS:
            a, b = (self.settled(tensor).numbers for tensor in (step.reads if name != "rmatmul" else step.reads[::-1])[:2])
            return [[self._product(step, a, b)]]
        if name == "baddbmm" and id(step.args[0]) not in self.carried:  # a mask, added to the product
            return [[self._product(step, *(self.settled(tensor).numbers for tensor in step.args[1:3]))]]
        if name == "scaled_dot_product_attention":
            return [[self._attention(step)]]
        if name == "glu":
            return [self._gated(step, read[0])]
        raise self._unreadable(step, f"calls torch's {name}, which is not known here")

    @staticmethod
    def _is_binary(step: Step, read: list[torch.Tensor]) -> bool:
        return step.function in ("max", "min") and len(read) == 2

    def _unreadable(self, step: Step, reason: str) -> UnreadableError:
        return UnreadableError(f"{f'module {step.module!r}' if step.module else 'the model itself'} {reason}")

    def _is_read_once(self, tensor: torch.Tensor) -> bool:
        return self._uses[id(tensor), self._version[id(tensor)]] <= 1

    def settled(self, tensor: torch.Tensor) -> Carried:
        """Return the one neuron at every place of a tensor; a sum of several becomes one now."""
        if id(tensor) not in self.carried:
            return Carried(torch.full(tensor.shape, NONE), is_open=False)
        carried = self.carried[id(tensor)]
        if len(carried) > 1:
            self.carried[id(tensor)] = carried = [self._made_one(carried)]
        numbers, is_open = carried[0]
        return Carried(numbers, is_open and self._is_read_once(tensor))

    def _passed_on(self, tensor: torch.Tensor, result: torch.Tensor) -> list[Carried]:
        """Return what a tensor carries, for a result that only this tensor goes into."""
        carried = self.carried[id(tensor)] if self._is_read_once(tensor) else [self.settled(tensor)]
        return [Carried(each.numbers.expand(result.shape), each.is_open) for each in carried]

    def _met(self, read: Sequence[torch.Tensor], result: torch.Tensor, *, is_sum: bool) -> list[Carried]:
        """Return what meets in a result; it becomes one neuron when something reads it."""
        met: list[Carried] = []
        for tensor in read:
            for numbers, is_open in self._passed_on(tensor, result):
                if not any(torch.equal(numbers, other.numbers) for other in met):
                    met.append(Carried(numbers, is_open and is_sum))
        return met

    def _made_one(self, carried: Sequence[Carried]) -> Carried:
        """Return one neuron per place where several meet, fed by them: open targets of a layer, or new ones."""
        shape = carried[0].numbers.shape
        stacked = np.stack([self.neurons.find(each.numbers.numpy().reshape(-1)) for each in carried])
        columns, inverse = np.unique(stacked, axis=1, return_inverse=True)
        telling = [row for row in range(len(columns)) if _tells_apart(columns, row)]
        takes = [row for row in telling if carried[row].is_open and self.neurons.are_whole_groups(columns[row])]
        kind = np.arange(columns.shape[1])
        if telling:
            kind = np.unique(columns[(takes or telling)[0]], return_inverse=True)[1]
        if takes:
            own = columns[takes[0]]
            for row in takes[1:]:
                self.neurons.unite(own, columns[row])
        else:
            own = self._fed(kind, columns)
        for row, numbers in enumerate(columns):
            if row not in takes:
                self.neurons.link(numbers, own)
        return Carried(torch.from_numpy(own[inverse.reshape(-1)]).reshape(shape), bool(takes))

    def _fed(self, kind: Int64Array, columns: Int64Array) -> Int64Array:
        """Return a neuron per column, one for all of a kind: a new one, unless only one is among them."""
        n_kinds = int(kind.max()) + 1
        least, largest = np.full(n_kinds, np.iinfo(np.int64).max), np.full(n_kinds, NONE)
        for numbers in columns:
            np.maximum.at(largest, kind, numbers)
            np.minimum.at(least, kind[numbers >= 0], numbers[numbers >= 0])
        several = (largest >= 0) & (least != largest)
        largest[several] = self.neurons.new(int(several.sum()))
        return largest[kind]

    def _moved(self, step: Step) -> list[Carried]:
        read = [tensor for tensor in step.reads if id(tensor) in self.carried]
        if step.function in ("getitem", "index_select") and any(id(t) in self.carried for t in step.reads[1:]):
            raise self._unreadable(step, "chooses what it reads by numbers that it has computed")
        settled = {id(tensor): self.settled(tensor) for tensor in read}

        def as_numbers(kind: torch.dtype, leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            known = settled[id(leaf)].numbers if id(leaf) in settled else None
            if known is None and step.function in functions.JOINS:
                known = torch.full(leaf.shape, NONE)
            return leaf if known is None else (known + 1).to(kind)  # what padding puts there, 0, is no neuron

        args, kwargs = step.args, {key: 0 if key == "value" else value for key, value in step.kwargs.items()}
        if step.function == "pad":
            args = args[:3]
        assert step.call is not None
        try:
            arguments = tree_map(partial(as_numbers, torch.int64), (args, kwargs))
            result = step.call(*arguments[0], **arguments[1])
        except (RuntimeError, NotImplementedError):  # not for integers
            arguments = tree_map(partial(as_numbers, torch.float64), (args, kwargs))
            result = step.call(*arguments[0], **arguments[1])
        is_open = all(each.is_open for each in settled.values()) and sum(tensor.numel() for tensor in read) == sum(
            tensor.numel() for tensor in step.gives
        )
        return [Carried(numbers.to(torch.int64) - 1, is_open) for numbers in tensors_in(result)]

    def _assigned(self, step: Step) -> Carried:
        target, place, value = step.args
        numbers = self.settled(target).numbers.clone()
        numbers[place] = self.settled(value).numbers if isinstance(value, torch.Tensor) else NONE
        return Carried(numbers, is_open=False)

    def _pooled(self, step: Step, x: torch.Tensor, result: torch.Tensor) -> Carried:
        numbers = self.settled(x).numbers
        dims = functions.POOLS[step.function] or x.dim() - 2
        places = numbers.shape[-dims:].numel()
        own = torch.from_numpy(self._one_per_row(step, numbers.reshape(-1, places).numpy()))
        own = own.reshape(*numbers.shape[:-dims], *[1] * dims)
        return Carried(own.expand(result.shape), is_open=False)

    def _reduced(self, step: Step, x: torch.Tensor, result: torch.Tensor) -> Carried:
        """One number per row of what lies along the dimensions: its neuron, or a new one that all of them feed."""
        place = 2 if step.function == "norm" else 1
        dims = step.kwargs.get("dim", step.args[place] if len(step.args) > place else None)
        every = range(x.dim()) if dims is None else [dims] if isinstance(dims, int) else dims
        axes = [axis % x.dim() for axis in every] if x.dim() else []
        numbers = self.settled(x).numbers.movedim(axes, tuple(range(-len(axes), 0)))
        rows, kind = np.unique(self.neurons.find(numbers.reshape(result.numel(), -1).numpy()), axis=0, return_inverse=True)
        own = self._fed(np.arange(len(rows)), rows.T)
        for column in rows.T:
            self.neurons.link(column, own)
        return Carried(torch.from_numpy(own[kind.reshape(-1)]).reshape(result.shape), is_open=False)

    def _product(self, step: Step, a: torch.Tensor, b: torch.Tensor) -> Carried:
        """Every entry of a product of matrices is fed by its row and its column; equal rows and columns have one neuron."""
        if min(a.dim(), b.dim()) < 2 or (a < 0).all() or (b < 0).all():
            raise self._unreadable(step, f"multiplies by a matrix that is no layer's ({step.function})")
        batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:]).transpose(-2, -1)
        classes = []
        for rows in (a, b):
            found = self.neurons.find(rows.reshape(-1, rows.shape[-1]).numpy())
            kinds, inverse = np.unique(found, axis=0, return_inverse=True)
            classes.append((kinds, inverse.reshape(*batch, -1)))
        (of_rows, row), (of_columns, column) = classes
        pairs = row[..., :, None] * len(of_columns) + column[..., None, :]
        units, inverse = np.unique(pairs, return_inverse=True)
        own = self.neurons.new(len(units))
        for unit, number in zip(units, own, strict=True):
            sources = np.union1d(of_rows[unit // len(of_columns)], of_columns[unit % len(of_columns)])
            self.neurons.link(sources, np.full(len(sources), number))
        return Carried(torch.from_numpy(own[inverse.reshape(-1)]).reshape(pairs.shape), is_open=False)

    def _attention(self, step: Step) -> Carried:
        query, key, value = (self.settled(tensor).numbers for tensor in step.reads[:3])
        if query.shape[-3:-2] != key.shape[-3:-2]:  # groups of queries share keys
            key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
        scores = self._product(step, query, key.transpose(-2, -1))
        return self._product(step, scores.numbers, value)

    def _gated(self, step: Step, x: torch.Tensor) -> list[Carried]:
        dim = step.kwargs.get("dim", step.args[1] if len(step.args) > 1 else -1)
        return [Carried(half, is_open=False) for half in self.settled(x).numbers.chunk(2, dim)]


def _tells_apart(columns: Int64Array, row: int) -> bool:
    """Return whether a row has no constant, and each of its neurons meets at most one other in every other row."""
    numbers = columns[row]
    if not numbers.size or numbers.min() < 0:
        return False
    for other in np.delete(columns, row, axis=0):
        pairs = np.unique(np.stack([numbers, other])[:, other >= 0], axis=1)
        if len(np.unique(pairs[0])) < pairs.shape[1]:
            return False
    return True


def _given(step: Step) -> list[torch.Tensor]:
    """Return the tensors that a step makes or changes."""
    return [step.args[0]] if step.function == "setitem" else step.gives
