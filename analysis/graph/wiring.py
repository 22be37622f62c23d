"""How the layers of a network share neurons: checks of what was stated, and what follows from it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from analysis.base.checks import is_whole, shown
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import LongArray, as_array, frozen

GroupPair = tuple[int, int]


def checked_sizes(sizes: Any, most: int) -> tuple[int, ...]:
    """Numbers of neurons of the groups, each at least 1 and all together at most `most`."""
    if not isinstance(sizes, list | tuple) or not all(is_whole(size, 1) for size in sizes) or sum(sizes) > most:
        raise AnalysisError(f"group_sizes is {shown(sizes)}; a tuple of numbers of at least 1 is needed, in all at most {most}")
    return tuple(map(int, sizes))


def checked_texts(name: str, texts: Any, count: int) -> tuple[str, ...]:
    """One text for every layer; of none, "" for each."""
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts) or len(texts) not in (0, count):
        raise AnalysisError(f"{name} is {shown(texts)}; one text for each of the {count} layers is needed, or none")
    return tuple(texts) or ("",) * count


def checked_neurons(name: str, neurons: Any, shape: tuple[int, ...], n_neurons: int) -> LongArray:
    """Numbers of neurons of the whole network as a read-only array of this shape."""
    array = as_array(neurons)
    if array.shape == (0,) and 0 in shape:
        array = np.empty(shape, dtype=np.int64)
    if array.shape != shape or not np.issubdtype(array.dtype, np.integer):
        raise AnalysisError(f"{name} has shape {array.shape} and dtype {array.dtype}; integers of shape {shape} are needed")
    if array.size and not 0 <= array.min() <= array.max() < n_neurons:
        raise AnalysisError(f"{name} reaches from {array.min()} to {array.max()}; the allowed range is 0 to {n_neurons - 1}")
    return frozen(array.astype(np.int64))


def check_order(ends: Sequence[tuple[LongArray, LongArray]], links: LongArray, groups: LongArray) -> None:
    """Refuse a layer or a link that does not lead from lower to higher groups, and a group that nothing joins."""
    is_joined = np.zeros(groups[-1] + 1, dtype=bool)
    is_joined[groups[links]] = True
    for index, (sources, targets) in enumerate(ends):
        last, first = groups[sources].max(), groups[targets].min()
        if last >= first:
            raise AnalysisError(
                f"graph: layer {index} has sources in group {last} and targets in group {first}; a layer must lead from lower "
                "to higher groups"
            )
        is_joined[groups[sources]] = is_joined[groups[targets]] = True
    backward = np.flatnonzero(groups[links[:, 0]] >= groups[links[:, 1]])
    if backward.size:
        first, second = groups[links[backward[0]]]
        raise AnalysisError(
            f"graph: link {backward[0]} leads from group {first} to group {second}; a link must lead from a lower to a higher "
            "group"
        )
    if not is_joined.all():
        raise AnalysisError(f"graph: group {np.argmin(is_joined)} belongs to no layer and no link; every group must be joined")


def joined_groups(ends: Iterable[tuple[LongArray, LongArray]], links: LongArray, groups: LongArray) -> list[GroupPair]:
    """Pairs (from, to) of groups that a layer or a link may join; as often as there are such layers, and once for the links."""
    pairs = [(a, b) for source, target in ends for a in _distinct(groups[source]) for b in _distinct(groups[target])]
    return pairs + [(a, b) for a, b in np.unique(groups[links], axis=0).tolist()]


def _distinct(values: LongArray) -> list[int]:
    return np.unique(values).tolist()


def two_colours(n_groups: int, pairs: Iterable[GroupPair]) -> list[int] | None:
    """0 or 1 for every group, so that no pair has equal ones; None if there is no such colouring.

    The lowest group of every connected part has 0.
    """
    neighbours = defaultdict[int, list[int]](list)
    for first, second in pairs:
        neighbours[first].append(second)
        neighbours[second].append(first)
    colours = [-1] * n_groups
    for start in range(n_groups):
        pending = [] if colours[start] >= 0 else [start]
        colours[start] = max(colours[start], 0)
        while pending:
            group = pending.pop()
            for other in neighbours[group]:
                if colours[other] == colours[group]:
                    return None
                if colours[other] < 0:
                    colours[other] = 1 - colours[group]
                    pending.append(other)
    return colours
