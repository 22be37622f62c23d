"""Random graphs with given degrees, by edge switching."""

import numpy as np
import numpy.typing as npt

from analysis.base.checks import as_generator, check_count
from analysis.base.compiling import njit
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import IntArray, LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph

MAX_BITMAP_PAIRS = 2**35
"""Edge switching keeps one bit for every pair of neurons; this many take 4 GiB."""

SWAPS_PER_EDGE = 10
"""Attempted switches per edge. They choose every edge 20 times on average, so if a share a of them succeeds, about
exp(-20 a) of the edges have never moved: 0.7 % at a = 0.25, the share of a random layer whose density is 1/2, the most
that is ever switched, and less than 10^-6 at density 0.1. If fewer than `MIN_ACCEPTANCE` of them succeed, as in nested
layers, the run is prolonged until as many successes can be expected. The tests find no trace of the start after it on
random, lattice-like, half-full, heavy-tailed and nested layers, and find one after 1 attempt
(`test_default_number_of_swaps_reaches_the_plateau`)."""

MIN_ACCEPTANCE = 0.25
MAX_EXTENSION = 50
"""A run is made at most this many times as long."""

_MAX_HOPELESS = 1_000_000

_CHUNK = 1 << 17


@njit(cache=True, nogil=True)
def _switch(
    src: IntArray, dst: IntArray, n_in: int, bitmap: npt.NDArray[np.uint64], first: LongArray, second: LongArray
) -> int:
    """Attempt one switch for every pair (first, second) of edge positions; returns how many succeeded."""
    one, mask = np.uint64(1), np.int64(63)
    done = 0
    for step in range(first.size):
        a, b = first[step], second[step]
        source_a, source_b, target_a, target_b = np.int64(src[a]), np.int64(src[b]), np.int64(dst[a]), np.int64(dst[b])
        # Two edges that share an end would become themselves, which the bitmap refuses like any other existing edge.
        new_a, new_b = target_b * n_in + source_a, target_a * n_in + source_b
        if (bitmap[new_a >> 6] >> np.uint64(new_a & mask)) & one or (bitmap[new_b >> 6] >> np.uint64(new_b & mask)) & one:
            continue
        old_a, old_b = target_a * n_in + source_a, target_b * n_in + source_b
        bitmap[old_a >> 6] ^= one << np.uint64(old_a & mask)
        bitmap[old_b >> 6] ^= one << np.uint64(old_b & mask)
        bitmap[new_a >> 6] ^= one << np.uint64(new_a & mask)
        bitmap[new_b >> 6] ^= one << np.uint64(new_b & mask)
        dst[a], dst[b] = target_b, target_a
        done += 1
    return done


@takes_any_graph
def fixed_degrees(
    graph: BipartiteGraph, rng: int | np.random.Generator, swaps_per_edge: int = SWAPS_PER_EDGE
) -> BipartiteGraph:
    """A random graph with the same degree of every neuron on both sides, by edge switching.

    One step draws two edges (a, b) and (c, d), with replacement, and turns them into (a, d) and (c, b) if this makes no edge
    twice. A step that changes nothing counts as a step: then the chain is symmetric, and its stationary distribution is
    uniform over all 0/1 matrices with these margins, which switches connect (Ryser 1957, Canadian Journal of Mathematics 9,
    371-377). If more than half of the pairs are joined, the missing edges are switched instead: that is the same law, and
    fewer steps are refused.

    Args:
        graph: the layer to shuffle.
        rng: seed or generator.
        swaps_per_edge: attempted switches per edge (per missing edge, if these are fewer), at least 1; see `SWAPS_PER_EDGE`.

    Returns:
        A new graph without weights; both degree sequences are those of `graph`, exactly. Cost O(swaps_per_edge * n_edges) time
        and n_in * n_out / 8 bytes.

    Raises:
        AnalysisError: `swaps_per_edge` below 1, or more pairs of neurons than the bitmap may cover.

    >>> import networkx
    >>> fixed_degrees(networkx.complete_bipartite_graph(4, 3), rng=0).out_degrees.tolist()
    [3, 3, 3, 3]
    """
    check_count("swaps_per_edge", swaps_per_edge)
    is_dense = 2 * graph.n_edges > graph.n_in * graph.n_out
    start = _complement(graph) if is_dense else graph
    src, dst, bitmap = start.src.copy(), start.dst.copy(), edge_bitmap(start)
    generator, steps = as_generator(rng), swaps_per_edge * start.n_edges
    done = _walk(src, dst, graph.n_in, bitmap, steps, generator)
    _walk(src, dst, graph.n_in, bitmap, _extension(steps, done), generator)
    end = BipartiteGraph(graph.n_in, graph.n_out, src, dst)
    return _complement(end) if is_dense else end


def _complement(graph: BipartiteGraph) -> BipartiteGraph:
    """The pairs of neurons that are not joined."""
    is_missing = np.ones(graph.n_in * graph.n_out, dtype=np.bool_)
    is_missing[graph.keys] = False
    keys = np.flatnonzero(is_missing)
    return BipartiteGraph(graph.n_in, graph.n_out, (keys % graph.n_in).astype(np.int32), (keys // graph.n_in).astype(np.int32))


def _walk(src: IntArray, dst: IntArray, n_in: int, bitmap: npt.NDArray[np.uint64], steps: int, rng: np.random.Generator) -> int:
    """Attempt `steps` switches in place; returns how many succeeded."""
    done = 0
    for start in range(0, steps, _CHUNK):
        pairs = rng.integers(0, src.size, size=(2, min(_CHUNK, steps - start)))
        done += _switch(src, dst, n_in, bitmap, pairs[0], pairs[1])
    return done


def _extension(steps: int, done: int) -> int:
    """Further attempts after `steps` of which `done` succeeded, so that `MIN_ACCEPTANCE` of the first ones can be expected.

    How long the run is depends on its beginning alone, so its end is as uniform as after any number of steps that large.
    """
    if done >= MIN_ACCEPTANCE * steps:
        return 0
    if done == 0:
        return min(_MAX_HOPELESS, (MAX_EXTENSION - 1) * steps)
    return int(min(MIN_ACCEPTANCE * steps / done, MAX_EXTENSION) * steps) - steps


def edge_bitmap(graph: BipartiteGraph) -> npt.NDArray[np.uint64]:
    """One bit per pair, set if there is an edge: bit target * n_in + source of uint64 words, n_in * n_out // 64 + 1 of them.

    An AnalysisError if there are more than `MAX_BITMAP_PAIRS` pairs.
    """
    if graph.n_in * graph.n_out > MAX_BITMAP_PAIRS:
        raise AnalysisError(f"graph has {graph.n_in} x {graph.n_out} pairs of neurons; at most {MAX_BITMAP_PAIRS} are allowed")
    keys = graph.keys
    bitmap = np.zeros(graph.n_in * graph.n_out // 64 + 1, dtype=np.uint64)
    np.bitwise_or.at(bitmap, keys >> 6, np.uint64(1) << (keys & 63).astype(np.uint64))
    return bitmap
