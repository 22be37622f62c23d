"""Edges between vertices that lie in groups become the layers of a network."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.base.checks import shown
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, LongArray, as_array
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.values import LayeredGraph


class GroupedEdges(NamedTuple):
    """Edges as they came, between vertices that are numbered 0, 1, ..., with the groups and the names of the vertices."""

    ends: LongArray
    is_directed: bool
    groups: LongArray
    attribute: str
    labels: Sequence[Any]

    def described(self, edge: int, verb: str, link: str) -> str:
        """An edge and its two vertices, in words."""
        first, second = self.ends[edge]
        return f"edge {edge} {verb} {self.labels[first]!r} {link} {self.labels[second]!r}"

    def groups_of(self, edge: int) -> str:
        """The groups of its two vertices, in words."""
        first, second = self.groups[self.ends[edge]]
        return f"whose {self.attribute!r} is {first} and {second}"


def network_of(edges: GroupedEdges, weights: FloatArray | None, stated: Sequence[Any] | None = None) -> LayeredGraph:
    """Sort vertices into groups and edges into layers; `stated` are the numbers of their layers, if there are such."""
    groups, (first, second) = edges.groups, edges.ends.T
    forward = groups[first] < groups[second]
    _check_ends(edges, forward)
    # The stable sort keeps the order of the vertices inside each group.
    neurons = np.argsort(np.argsort(groups, kind="stable"))
    joined = _Joined(
        neurons[np.where(forward, first, second)], neurons[np.where(forward, second, first)], np.sort(groups), weights
    )
    if (joined.groups[joined.high] - joined.groups[joined.low] == 1).all():
        network = _chain(joined)
        if stated is not None:
            _check_edge_layers(stated, edges)
        return network
    _check_no_group_alone(edges)
    return _joined_layers(joined, None if stated is None else _numbers_of_layers(stated))


class _Joined(NamedTuple):
    """Edges between neurons, which are numbered group after group: the ends in the lower and in the higher group."""

    low: LongArray
    high: LongArray
    groups: LongArray
    weights: FloatArray | None

    def layer(self, inside: LongArray, sources: LongArray, targets: LongArray) -> BipartiteGraph:
        """The layer of some edges between ascending sources and targets."""
        src, dst = np.searchsorted(sources, self.low[inside]), np.searchsorted(targets, self.high[inside])
        values = None if self.weights is None else self.weights[inside]
        return BipartiteGraph(sources.size, targets.size, src.astype(np.int32), dst.astype(np.int32), values)


def _chain(joined: _Joined) -> LayeredGraph:
    """A layer from every group to the next, also if it has no edge."""
    members = np.split(np.arange(joined.groups.size), np.cumsum(np.bincount(joined.groups))[:-1])
    low_groups = joined.groups[joined.low]
    parts = (np.flatnonzero(low_groups == group) for group in range(len(members) - 1))
    return LayeredGraph(tuple(joined.layer(part, *ends) for part, ends in zip(parts, pairwise(members), strict=True)))


def _joined_layers(joined: _Joined, numbers: LongArray | None) -> LayeredGraph:
    """A layer per number, or per pair of groups; its sides are all neurons of the groups that its edges join."""
    low_groups, high_groups = joined.groups[joined.low], joined.groups[joined.high]
    if numbers is None:
        numbers = np.unique(low_groups * (int(joined.groups[-1]) + 1) + high_groups, return_inverse=True)[1]
    parts = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
    ends = [tuple(np.flatnonzero(np.isin(joined.groups, side[part])) for side in (low_groups, high_groups)) for part in parts]
    return LayeredGraph(
        tuple(joined.layer(part, *sides) for part, sides in zip(parts, ends, strict=True)),
        sources=tuple(sources for sources, _ in ends),
        targets=tuple(targets for _, targets in ends),
        group_sizes=tuple(np.bincount(joined.groups).tolist()),
    )


def _check_ends(edges: GroupedEdges, forward: npt.NDArray[np.bool_]) -> None:
    """Refuse an edge within a group, and one that points backward."""
    bad = np.flatnonzero(np.diff(edges.groups[edges.ends], axis=1) == 0)
    if bad.size:
        raise AnalysisError(
            f"graph is not bipartite: {edges.described(bad[0], 'joins vertices', 'and')}, {edges.groups_of(bad[0])}; "
            "an edge must join two groups"
        )
    bad = np.flatnonzero(~forward)
    if edges.is_directed and bad.size:
        raise AnalysisError(
            f"graph is directed: {edges.described(bad[0], 'points from vertex', 'to vertex')}, {edges.groups_of(bad[0])}; "
            "in a directed graph every edge must point from a source to a target, or from a layer to a later one"
        )


def _check_no_group_alone(edges: GroupedEdges) -> None:
    """Refuse a group without edges in a network that is no chain, where it is not known which layer it belongs to."""
    groups = edges.groups[edges.ends]
    alone = np.setdiff1d(edges.groups, groups)
    if alone.size:
        skipping = int(np.argmax(np.abs(np.diff(groups, axis=1)) > 1))
        raise AnalysisError(
            f"graph has no edge at the vertices whose {edges.attribute!r} is {alone[0]}, and is no chain, as "
            f"{edges.described(skipping, 'joins vertices', 'and')}, {edges.groups_of(skipping)}; every group of such a graph "
            "needs an edge"
        )


def _edge_numbers(values: Sequence[Any]) -> LongArray:
    """The edge attribute `layer`, whole numbers."""
    stated = as_array(values)
    if stated.size and (stated.ndim != 1 or not np.issubdtype(stated.dtype, np.integer)):
        edge = next((edge for edge, value in enumerate(values) if not isinstance(value, int | np.integer)), 0)
        given = "missing" if values[edge] is None else repr(values[edge])
        raise AnalysisError(f"edge attribute 'layer' of edge {edge} is {given}; it must be a whole number on every edge")
    return stated


def _numbers_of_layers(values: Sequence[Any]) -> LongArray:
    """The edge attribute `layer` of a network that is no chain: 0, 1, ... without gaps."""
    numbers = _edge_numbers(values)
    found = np.unique(numbers)
    missing = np.setdiff1d(np.arange(found.size), found)
    if missing.size:
        raise AnalysisError(
            f"edge attribute 'layer' has the numbers {shown(found.tolist())}; in a graph that is no chain every number from 0 "
            f"on needs an edge, and {missing[0]} has none"
        )
    return numbers


def _check_edge_layers(values: Sequence[Any], edges: GroupedEdges) -> None:
    """Refuse an edge attribute `layer` that is not that of the lower end in a chain."""
    groups = edges.groups[edges.ends]
    stated, actual = _edge_numbers(values), groups.min(axis=1)
    bad = np.flatnonzero(stated != actual)
    if bad.size:
        edge = bad[0]
        raise AnalysisError(
            f"edge attribute 'layer' of edge {edge} is {stated[edge]}, but its vertices lie in layers "
            f"{groups[edge, 0]} and {groups[edge, 1]}; it must be {actual[edge]}"
        )
