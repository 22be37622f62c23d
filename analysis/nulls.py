"""Null models that keep what they promise, and keep the two sides apart.

Generic rewiring of an undirected graph would join neurons of one side; these work on the biadjacency and cannot.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numba
import numpy as np
import numpy.typing as npt

from analysis.base.checks import as_generator, check_count
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, IntArray, LongArray
from analysis.graph.intake import takes_any_graph
from analysis.graph.values import BipartiteGraph, LayeredGraph

MAX_BITMAP_PAIRS = 2**35
"""Edge switching keeps one bit for every pair of neurons; this many take 4 GiB."""

SWAPS_PER_EDGE = 10
"""Attempted switches per edge. They choose every edge 20 times on average, so where a share a of them succeeds, about
exp(-20 a) of the edges have never moved: 0.7 % at a = 0.25, the share of a random layer whose density is 1/2, the most
that is ever switched, and less than 10^-6 at density 0.1. Where fewer than `MIN_ACCEPTANCE` of them succeed, as in nested
layers, the run goes on until as many successes can be expected. `mixing` finds no trace of the start after it on random,
lattice-like, half-full, heavy-tailed and nested layers, and finds one after 1 attempt (`make test`:
`test_default_number_of_swaps_reaches_the_plateau`)."""

MIN_ACCEPTANCE = 0.25
MAX_EXTENSION = 50
"""A run is made at most this many times as long."""

_MAX_HOPELESS = 1_000_000

_CHUNK = 1 << 17
_MIXING_STEPS = 20
_MIXING_EDGES = 4000
_MAX_CHAINS = 16
Null = Callable[[BipartiteGraph, np.random.Generator], BipartiteGraph]


@takes_any_graph
def erdos_renyi(graph: BipartiteGraph, rng: int | np.random.Generator) -> BipartiteGraph:
    """A uniformly random graph with the same sides and the same number of edges (the bipartite G(n, m)).

    Args:
        graph: the layer to match.
        rng: seed or generator.

    Returns:
        A new graph without weights. Cost O(n_in * n_out) where dense, else O(n_edges log n_edges).
    """
    keys = as_generator(rng).choice(graph.n_in * graph.n_out, size=graph.n_edges, replace=False, shuffle=False)
    return BipartiteGraph(graph.n_in, graph.n_out, _short(keys % graph.n_in), _short(keys // graph.n_in))


def _short(indices: LongArray) -> IntArray:
    return indices.astype(np.int32)


@numba.njit(cache=True, nogil=True)
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

    One step draws two edges (a, b) and (c, d), with replacement, and turns them into (a, d) and (c, b) where this makes
    no edge twice. A step that changes nothing counts as a step: then the chain is symmetric, and its stationary
    distribution is uniform over all 0/1 matrices with these margins, which switches connect (Ryser 1957, Canadian
    Journal of Mathematics 9, 371-377). Where more than half of the pairs are joined, the missing edges are switched
    instead: that is the same law, and fewer steps are refused.

    Args:
        graph: the layer to shuffle.
        rng: seed or generator.
        swaps_per_edge: attempted switches per edge (per missing edge, where these are fewer), at least 1; see
            `SWAPS_PER_EDGE` and `mixing`.

    Returns:
        A new graph without weights; both degree sequences are those of `graph`, exactly. Cost O(swaps_per_edge *
        n_edges) time and n_in * n_out / 8 bytes.

    Raises:
        AnalysisError: `swaps_per_edge` below 1, or more pairs of neurons than the bitmap may cover.
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
    is_missing[graph.dst.astype(np.int64) * graph.n_in + graph.src] = False
    keys = np.flatnonzero(is_missing)
    return BipartiteGraph(graph.n_in, graph.n_out, _short(keys % graph.n_in), _short(keys // graph.n_in))


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
    """One bit for every pair (target, source), set where there is an edge.

    Args:
        graph: the layer.

    Returns:
        uint64 of shape [n_in * n_out // 64 + 1]; pair (source, target) is bit target * n_in + source.

    Raises:
        AnalysisError: there are more than `MAX_BITMAP_PAIRS` pairs.
    """
    if graph.n_in * graph.n_out > MAX_BITMAP_PAIRS:
        raise AnalysisError(f"graph has {graph.n_in} x {graph.n_out} pairs of neurons; at most {MAX_BITMAP_PAIRS} are allowed")
    keys = graph.dst.astype(np.int64) * graph.n_in + graph.src
    bitmap = np.zeros(graph.n_in * graph.n_out // 64 + 1, dtype=np.uint64)
    np.bitwise_or.at(bitmap, keys >> 6, np.uint64(1) << (keys & 63).astype(np.uint64))
    return bitmap


@dataclass(frozen=True)
class Mixing:
    """How far edge switching has gone from where it began.

    Attributes:
        overlap: share of the first graph's edges that are there after each twentieth of the run, and then after each
            twentieth of a run three times as long again; float64 of shape [40], the mean over the chains. (Of its missing
            edges, where these are fewer.)
        acceptance: share of the attempted switches that changed the graph.
        is_mixed: whether the overlap had stopped falling when the run ended, that is at `overlap[19]`.
    """

    overlap: FloatArray
    acceptance: float
    is_mixed: bool


@takes_any_graph
def mixing(graph: BipartiteGraph, rng: int | np.random.Generator, swaps_per_edge: int = SWAPS_PER_EDGE) -> Mixing:
    """Whether so many switches per edge are enough for `fixed_degrees` to forget this graph.

    The overlap with the first graph falls from 1 to a plateau, that of two unrelated graphs with these degrees, which is
    taken from the second half of a continuation three times as long as the run. The run counts as mixed where its mean
    overlap over the last quarter is not above the plateau by more than four standard errors and one edge, the common edges
    taken to be independent. So that little is missed on small graphs, several chains are averaged, up to 16, until they
    have 4,000 edges together: a remainder of about 4 sqrt(overlap / max(n_edges, 4,000)) of the edges can go unseen. A
    graph that allows no switch counts as mixed: it is the only one with its degrees.

    Args:
        graph: where the chains begin.
        rng: seed or generator.
        swaps_per_edge: the number that is judged, at least 1; where few switches succeed, the run is as much longer as that
            of `fixed_degrees`.

    Returns:
        The course of the overlap and the judgement. Cost about five times that of `fixed_degrees`, for each chain.

    Raises:
        AnalysisError: as `fixed_degrees`.
    """
    check_count("swaps_per_edge", swaps_per_edge)
    generator = as_generator(rng)
    start = _complement(graph) if 2 * graph.n_edges > graph.n_in * graph.n_out else graph
    if start.n_edges == 0:
        return Mixing(np.ones(2 * _MIXING_STEPS), 0.0, True)
    steps = swaps_per_edge * start.n_edges
    steps += _extension(steps, _walk(start.src.copy(), start.dst.copy(), graph.n_in, edge_bitmap(start), steps, generator))
    n_chains = int(np.clip(-(-_MIXING_EDGES // start.n_edges), 1, _MAX_CHAINS))
    courses = [_course(start, steps, generator) for _ in range(n_chains)]
    overlap = np.mean([course for course, _ in courses], axis=0)
    acceptance = float(np.mean([share for _, share in courses]))
    return Mixing(overlap, acceptance, _has_settled(overlap, start.n_edges * n_chains))


def _course(start: BipartiteGraph, steps: int, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """The overlap of one chain over a run of `steps` and one of three times as many, and the share of accepted switches."""
    src, dst, bitmap = start.src.copy(), start.dst.copy(), edge_bitmap(start)
    keys = start.dst.astype(np.int64) * start.n_in + start.src
    marks = np.concatenate([np.arange(_MIXING_STEPS + 1), _MIXING_STEPS + 3 * np.arange(1, _MIXING_STEPS + 1)])
    parts = np.diff(steps * marks // _MIXING_STEPS)
    overlap, done = np.empty(parts.size), 0
    for index, count in enumerate(parts):
        done += _walk(src, dst, start.n_in, bitmap, int(count), rng)
        overlap[index] = _bits(bitmap, keys).mean()
    return overlap, done / int(parts.sum())


def _bits(bitmap: npt.NDArray[np.uint64], keys: LongArray) -> npt.NDArray[np.uint64]:
    return (bitmap[keys >> 6] >> (keys & 63).astype(np.uint64)) & np.uint64(1)


def _has_settled(overlap: FloatArray, n_edges: int) -> bool:
    """Whether the last quarter of the run lies on the plateau; `n_edges` are those of all chains."""
    last = overlap[_MIXING_STEPS - _MIXING_STEPS // 4 : _MIXING_STEPS].mean()
    plateau = overlap[_MIXING_STEPS + _MIXING_STEPS // 2 :].mean()
    error = np.sqrt(plateau * (1.0 - plateau) / n_edges)
    return bool(last - plateau <= 4.0 * error + 1.0 / n_edges)


@takes_any_graph
def permuted_weights(graph: BipartiteGraph, rng: int | np.random.Generator) -> BipartiteGraph:
    """The same edges, with their weights permuted uniformly at random.

    It keeps every degree and the multiset of weights, and so isolates what depends on where the large weights lie.

    Args:
        graph: a layer with weights.
        rng: seed or generator.

    Returns:
        A new graph with weights. Cost O(n_edges).

    Raises:
        AnalysisError: the graph has no weights.
    """
    if graph.weights is None:
        raise AnalysisError("graph has no weights; permuting them needs a graph with a weight for every edge")
    weights = as_generator(rng).permutation(graph.weights)
    return BipartiteGraph(graph.n_in, graph.n_out, graph.src, graph.dst, weights, graph.n_pairs)


WIRING_NULLS = ("erdos_renyi", "fixed_degrees")
"""Null models of the wiring; they draw graphs without weights."""

WEIGHT_NULL = "permuted_weights"
"""The null model of where the weights lie; it keeps the wiring."""

NULL_MODELS: Mapping[str, Null] = MappingProxyType(
    {"erdos_renyi": erdos_renyi, "fixed_degrees": fixed_degrees, WEIGHT_NULL: permuted_weights}
)


def null_models_of(network: LayeredGraph) -> tuple[str, ...]:
    """The null models that a network has.

    Args:
        network: the layers.

    Returns:
        `WIRING_NULLS`, and `WEIGHT_NULL` where every layer has weights.
    """
    has_weights = all(layer.weights is not None for layer in network.layers)
    return (*WIRING_NULLS, WEIGHT_NULL) if has_weights else WIRING_NULLS


def randomise_layers(
    network: LayeredGraph, null: str, rng: int | np.random.Generator, swaps_per_edge: int = SWAPS_PER_EDGE
) -> LayeredGraph:
    """One replicate of a network: every layer is randomised by itself.

    Args:
        network: the layers to match.
        null: a name in `NULL_MODELS`.
        rng: seed or generator.
        swaps_per_edge: for "fixed_degrees".

    Returns:
        A network of the same layer sizes. Cost is the sum over layers.

    Raises:
        AnalysisError: the null model is unknown, or permutes weights and a layer has none.
    """
    if null not in NULL_MODELS:
        raise AnalysisError(f"null model {null!r} is unknown; choose from {', '.join(NULL_MODELS)}")
    generator = as_generator(rng)
    model: Null = partial(fixed_degrees, swaps_per_edge=swaps_per_edge) if null == "fixed_degrees" else NULL_MODELS[null]
    return LayeredGraph(tuple(model(layer, generator) for layer in network.layers))
