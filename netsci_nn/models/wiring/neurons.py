"""Numbers for neurons while a wiring is read: which are new, which turn out to be the same, which feed which."""

from __future__ import annotations

import numpy as np

from netsci_nn.topology.arrays import Int64Array

NONE = -1  # stands where a tensor carries no neuron: a constant


class Neurons:
    """Neurons that are numbered as they appear, in groups of those that appeared together.

    Attributes:
        links: pairs of arrays: neurons, and those that each of them feeds without a weight of its own.
    """

    def __init__(self) -> None:
        self._parent = np.empty(0, np.int64)
        self._group = np.empty(0, np.int64)
        self._is_input = np.empty(0, np.bool_)
        self._n_groups = 0
        self.links: list[tuple[Int64Array, Int64Array]] = []

    def __len__(self) -> int:
        return len(self._parent)

    def new(self, n: int, *, are_inputs: bool = False) -> Int64Array:
        """Return the numbers of n new neurons, a group of their own."""
        numbers = np.arange(len(self), len(self) + n)
        self._parent = np.concatenate([self._parent, numbers])
        self._group = np.concatenate([self._group, np.full(n, self._n_groups)])
        self._is_input = np.concatenate([self._is_input, np.full(n, are_inputs)])
        self._n_groups += 1
        return numbers

    def find(self, numbers: Int64Array) -> Int64Array:
        """Return the smallest number of each neuron; `NONE` stays."""
        if not len(self):
            return numbers
        while True:
            parents = np.where(numbers < 0, numbers, self._parent[numbers])
            if np.array_equal(parents, numbers):
                return numbers
            numbers = parents

    def unite(self, first: Int64Array, second: Int64Array) -> None:
        """State that neurons with two numbers are the same."""
        while True:
            a, b = self.find(first), self.find(second)
            differ = a != b
            if not differ.any():
                return
            np.minimum.at(self._parent, np.maximum(a, b)[differ], np.minimum(a, b)[differ])

    def are_inputs(self, numbers: Int64Array) -> bool:
        """Return whether all are input neurons."""
        return bool(self._is_input[numbers].all())

    def are_whole_groups(self, numbers: Int64Array) -> bool:
        """Return whether these are all neurons of their groups."""
        groups = np.unique(self._group[numbers])
        return len(np.unique(numbers)) == int(np.isin(self._group, groups).sum())

    def link(self, sources: Int64Array, targets: Int64Array) -> None:
        """State that every source feeds the target at its place; a constant feeds nothing."""
        feeds = (sources >= 0) & (sources != targets)
        self.links.append((sources[feeds], targets[feeds]))

    def joined_groups(self) -> tuple[Int64Array, Int64Array]:
        """Return the smallest number of every neuron, and its group, where groups that share a neuron are one.

        Groups are numbered by their first neurons.
        """
        numbers = self.find(np.arange(len(self)))
        groups = np.arange(self._n_groups)
        while True:
            before = groups.copy()
            np.minimum.at(groups, groups[self._group], groups[self._group[numbers]])
            np.minimum.at(groups, groups[self._group[numbers]], groups[self._group])
            groups = groups[groups]
            if np.array_equal(before, groups):
                return numbers, groups[self._group]
