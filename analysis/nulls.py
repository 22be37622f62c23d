"""Null models that keep what they promise, and keep the two sides apart.

Generic rewiring of an undirected graph would join neurons of one side; these work on the biadjacency and cannot.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numba
import numpy as np
import numpy.typing as npt

from .errors import AnalysisError
from .graphs import BipartiteGraph, IntArray, LayeredGraph, LongArray
from .randomness import as_generator

MAX_BITMAP_PAIRS = 2**35
"""Edge switching keeps one bit for every pair of neurons; this many take 4 GiB."""

_CHUNK = 1 << 17
Null = Callable[[BipartiteGraph, np.random.Generator], BipartiteGraph]


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


@numba.njit(cache=True)
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


def fixed_degrees(graph: BipartiteGraph, rng: int | np.random.Generator, swaps_per_edge: int = 10) -> BipartiteGraph:
    """A random graph with the same degree of every neuron on both sides, by edge switching.

    One step draws two edges (a, b) and (c, d), with replacement, and turns them into (a, d) and (c, b) where this makes
    no edge twice. A step that changes nothing counts as a step: then the chain is symmetric, and its stationary
    distribution is uniform over all 0/1 matrices with these margins, which switches connect (Ryser 1957, Canadian
    Journal of Mathematics 9, 371-377).
    Ten steps an edge is a convention and no proof of mixing; raise it where much depends on it.

    Args:
        graph: the layer to shuffle.
        rng: seed or generator.
        swaps_per_edge: attempted switches per edge, at least 1.

    Returns:
        A new graph without weights; both degree sequences are those of `graph`, exactly. Cost O(swaps_per_edge *
        n_edges) time and n_in * n_out / 8 bytes.

    Raises:
        AnalysisError: `swaps_per_edge` below 1, or more pairs of neurons than the bitmap may cover.
    """
    if isinstance(swaps_per_edge, bool) or not isinstance(swaps_per_edge, int | np.integer) or swaps_per_edge < 1:
        raise AnalysisError(f"swaps_per_edge is {swaps_per_edge!r}; an integer of at least 1 is needed")
    if graph.n_in * graph.n_out > MAX_BITMAP_PAIRS:
        raise AnalysisError(f"graph has {graph.n_in} x {graph.n_out} pairs of neurons; at most {MAX_BITMAP_PAIRS} are allowed")
    generator = as_generator(rng)
    src, dst = graph.src.copy(), graph.dst.copy()
    bitmap = _edge_bitmap(graph)
    steps = swaps_per_edge * graph.n_edges
    for start in range(0, steps, _CHUNK):
        pairs = generator.integers(0, graph.n_edges, size=(2, min(_CHUNK, steps - start)))
        _switch(src, dst, graph.n_in, bitmap, pairs[0], pairs[1])
    return BipartiteGraph(graph.n_in, graph.n_out, src, dst)


def _edge_bitmap(graph: BipartiteGraph) -> npt.NDArray[np.uint64]:
    """One bit for every pair (target, source), set where there is an edge."""
    keys = graph.dst.astype(np.int64) * graph.n_in + graph.src
    bitmap = np.zeros(graph.n_in * graph.n_out // 64 + 1, dtype=np.uint64)
    np.bitwise_or.at(bitmap, keys >> 6, np.uint64(1) << (keys & 63).astype(np.uint64))
    return bitmap


NULL_MODELS: Mapping[str, Null] = MappingProxyType({"erdos_renyi": erdos_renyi, "fixed_degrees": fixed_degrees})


def randomise_layers(
    network: LayeredGraph, null: str, rng: int | np.random.Generator, swaps_per_edge: int = 10
) -> LayeredGraph:
    """One replicate of a network: every layer is randomised by itself.

    Args:
        network: the layers to match.
        null: "erdos_renyi" or "fixed_degrees".
        rng: seed or generator.
        swaps_per_edge: for "fixed_degrees".

    Returns:
        A network of the same layer sizes. Cost is the sum over layers.

    Raises:
        AnalysisError: the null model is unknown.
    """
    if null not in NULL_MODELS:
        raise AnalysisError(f"null model {null!r} is unknown; choose from {', '.join(NULL_MODELS)}")
    generator = as_generator(rng)
    model: Null = partial(fixed_degrees, swaps_per_edge=swaps_per_edge) if null == "fixed_degrees" else erdos_renyi
    return LayeredGraph(tuple(model(layer, generator) for layer in network.layers))
