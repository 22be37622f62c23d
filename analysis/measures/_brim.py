"""BRIM with mergers and kicks: the search for the partition of highest Barber modularity, compiled.

Everything is counted in integers (m^2 times the modularity), so that ties are ties on every platform.
"""

from typing import NamedTuple

import numpy as np

from analysis.base.compiling import njit
from analysis.graph.arrays import IntArray, LongArray
from analysis.graph.bipartite import BipartiteGraph

KICKS_PER_RESTART = 9
"""After the restarts the best partition is disturbed this many times for each of them, and climbed from again."""

KICKED_SHARE = 0.2
MAX_STARTING_MODULES = 256


class Sides(NamedTuple):
    """The connected neurons of both sides, each with its neighbours in CSR form."""

    starts: LongArray
    neighbours: IntArray
    degrees: LongArray
    other_starts: LongArray
    other_neighbours: IntArray
    other_degrees: LongArray


def connected_sides(graph: BipartiteGraph) -> Sides:
    """Sources and targets without the isolated ones; the neurons that remain keep their order."""
    source_positions, target_positions = np.cumsum(graph.out_degrees > 0) - 1, np.cumsum(graph.in_degrees > 0) - 1
    by_source = np.argsort(graph.src, kind="stable")
    sources = _side(graph.out_degrees, target_positions[graph.dst[by_source]])
    return Sides(*sources, *_side(graph.in_degrees, source_positions[graph.src]))


def _side(degrees: LongArray, neighbours: LongArray) -> tuple[LongArray, IntArray, LongArray]:
    positive = degrees[degrees > 0]
    return np.concatenate([[0], np.cumsum(positive)]), neighbours.astype(np.int32), positive


def best_labels(sides: Sides, rng: np.random.Generator, restarts: int) -> LongArray:
    """The best partition of `restarts` climbs and of `KICKS_PER_RESTART` times as many from disturbed partitions.

    Module of every neuron of the first side, then of the second: 0, 1, ... from the largest module to the smallest.
    """
    sizes = (sides.degrees.size, sides.other_degrees.size)
    n_starting = min(MAX_STARTING_MODULES, *sizes)
    best, best_score = np.zeros(sum(sizes), dtype=np.int64), -1
    for attempt in range(restarts * (1 + KICKS_PER_RESTART)):
        if attempt < restarts:
            labels = np.concatenate([rng.permutation(size) % n_starting for size in sizes])
        else:
            kicked = rng.random(best.size) < KICKED_SHARE
            labels = np.where(kicked, rng.integers(0, best.max() + 2, size=best.size), best)
        score = _climb(sides, labels)
        if score >= best_score:
            best, best_score = labels, score
    order = np.argsort(-np.bincount(best), kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(order.size)
    return ranks[best]


@njit(cache=True, nogil=True)
def _climb(sides: Sides, labels: LongArray) -> int:
    """Improve the labels in place until neither BRIM nor a merger does; returns m^2 Q_B. Labels end up consecutive."""
    split = sides.degrees.size
    g, h = labels[:split], labels[split:]
    while True:
        size = _renumber(labels)
        changed = True
        while changed:
            changed = _choose(sides.starts, sides.neighbours, sides.degrees, g, h, _sums(h, sides.other_degrees, size))
            changed |= _choose(
                sides.other_starts, sides.other_neighbours, sides.other_degrees, h, g, _sums(g, sides.degrees, size)
            )
        size = _renumber(labels)
        excess = _excess(sides, g, h, size)
        score = np.diag(excess).sum()
        if not _merge(excess, labels):
            return score


@njit(cache=True, nogil=True)
def _choose(
    starts: LongArray, neighbours: IntArray, degrees: LongArray, labels: LongArray, other: LongArray, sums: LongArray
) -> bool:
    """Give every neuron of one side its best module; it moves for a gain only. Scores are integers: m times the gain."""
    n_edges = neighbours.size
    counts = np.zeros(sums.size, dtype=np.int64)
    changed = False
    for neuron in range(labels.size):
        for edge in range(starts[neuron], starts[neuron + 1]):
            counts[other[neighbours[edge]]] += 1
        degree, best = degrees[neuron], labels[neuron]
        top = counts[best] * n_edges - degree * sums[best]
        for module in range(sums.size):
            score = counts[module] * n_edges - degree * sums[module]
            counts[module] = 0
            if score > top:
                best, top = module, score
        changed |= best != labels[neuron]
        labels[neuron] = best
    return changed


@njit(cache=True, nogil=True)
def _sums(labels: LongArray, degrees: LongArray, size: int) -> LongArray:
    sums = np.zeros(size, dtype=np.int64)
    for neuron in range(labels.size):
        sums[labels[neuron]] += degrees[neuron]
    return sums


@njit(cache=True, nogil=True)
def _renumber(labels: LongArray) -> int:
    """Number the modules in use 0, 1, ... in the order in which they appear; returns how many there are."""
    new = np.full(labels.max() + 1, -1, dtype=np.int64)
    size = 0
    for neuron in range(labels.size):
        if new[labels[neuron]] < 0:
            new[labels[neuron]] = size
            size += 1
        labels[neuron] = new[labels[neuron]]
    return size


@njit(cache=True, nogil=True)
def _excess(sides: Sides, g: LongArray, h: LongArray, size: int) -> LongArray:
    """m^2 times the contribution of every pair (module of the first side's end, of the second's) to the sum in Q_B."""
    n_edges = sides.neighbours.size
    result = np.zeros((size, size), dtype=np.int64)
    for neuron in range(g.size):
        for edge in range(sides.starts[neuron], sides.starts[neuron + 1]):
            result[g[neuron], h[sides.neighbours[edge]]] += n_edges
    sums, other_sums = _sums(g, sides.degrees, size), _sums(h, sides.other_degrees, size)
    for a in range(size):
        for b in range(size):
            result[a, b] -= sums[a] * other_sums[b]
    return result


@njit(cache=True, nogil=True)
def _merge(excess: LongArray, labels: LongArray) -> bool:
    """Merge the best pair of modules as long as a pair gains or loses nothing; whether any was merged."""
    size = excess.shape[0]
    target = np.arange(size)  # A module whose target is another one has been merged into that.
    merged = False
    while True:
        best, into, gone = np.int64(-1), 0, 0
        for a in range(size):
            for b in range(a + 1, size):
                if target[a] == a and target[b] == b and excess[a, b] + excess[b, a] > best:
                    best, into, gone = excess[a, b] + excess[b, a], a, b
        if best < 0:
            break
        merged = True
        for other in range(size):
            excess[into, other] += excess[gone, other]
            if target[other] == gone:
                target[other] = into
        for other in range(size):
            excess[other, into] += excess[other, gone]
    for neuron in range(labels.size):
        labels[neuron] = target[labels[neuron]]
    return merged
