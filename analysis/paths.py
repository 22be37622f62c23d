"""Path lengths of the undirected graph, always beside the share of pairs that are connected at all."""

from dataclasses import dataclass

import numba
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .graphs import BipartiteGraph, FloatArray, IntArray, LayeredGraph, LongArray
from .quantity import Quantities, Quantity, defined, undefined
from .registry import register_measure

EXACT_LIMIT = 10_000
"""Up to this many neurons every pair is measured; above it, sources are sampled."""

SAMPLED_BATCHES = 16
BATCH = 64
"""Sources that one breadth-first search serves at once: one bit of a 64-bit word each."""


@dataclass(frozen=True)
class PathSums:
    """Sums over ordered pairs of different, connected neurons; one entry for every batch of sources.

    Attributes:
        distances: sum of distances from the batch's sources, int64 of shape [n_batches].
        pairs: number of such pairs, int64 of shape [n_batches].
    """

    distances: LongArray
    pairs: LongArray


def undirected_adjacency(graph: BipartiteGraph) -> sparse.csr_array:
    """The (n_in + n_out)-square symmetric adjacency: sources first, then targets.

    Args:
        graph: the layer.

    Returns:
        0/1 matrix in CSR form. Cost O(n_edges).
    """
    upper = graph.biadjacency.T
    return sparse.csr_array(sparse.block_array([[None, upper], [graph.biadjacency, None]], format="csr"))


@numba.njit(cache=True)
def _search(starts: LongArray, neighbours: IntArray, sources: LongArray) -> tuple[int, int]:
    """Breadth-first search from up to 64 sources at once: bit b of a neuron's word says that source b has reached
    it."""
    n = starts.size - 1
    seen = np.zeros(n, dtype=np.uint64)
    frontier = np.zeros(n, dtype=np.uint64)
    arriving = np.zeros(n, dtype=np.uint64)
    active = np.empty(n, dtype=np.int64)
    touched = np.empty(n, dtype=np.int64)
    n_active = sources.size
    for bit in range(sources.size):
        active[bit] = sources[bit]
        seen[sources[bit]] |= np.uint64(1) << np.uint64(bit)
        frontier[sources[bit]] = seen[sources[bit]]
    total, pairs, level = 0, 0, 0
    while n_active > 0:
        level += 1
        n_touched = 0
        for position in range(n_active):
            neuron = active[position]
            bits = frontier[neuron]
            for edge in range(starts[neuron], starts[neuron + 1]):
                other = neighbours[edge]
                new = bits & ~seen[other]
                if new:
                    if arriving[other] == 0:
                        touched[n_touched] = other
                        n_touched += 1
                    arriving[other] |= new
            frontier[neuron] = np.uint64(0)
        for position in range(n_touched):
            neuron = touched[position]
            bits = arriving[neuron]
            arriving[neuron] = np.uint64(0)
            seen[neuron] |= bits
            frontier[neuron] = bits
            active[position] = neuron
            while bits:
                bits &= bits - np.uint64(1)
                total += level
                pairs += 1
        n_active = n_touched
    return total, pairs


def path_sums(graph: BipartiteGraph, sources: LongArray) -> PathSums:
    """Sums of distances from the given sources, by breadth-first searches that serve 64 sources each.

    Then et al. (2014), "The more the merrier: efficient multi-source graph traversal", PVLDB 8(4), 449-460.

    Args:
        graph: the layer.
        sources: neurons to start from, int64, numbered with sources 0..n_in-1 and targets after them; all different.

    Returns:
        The sums, one entry for every 64 sources. Cost O(n_edges * levels * n_sources / 64) time, O(n_in + n_out)
        memory.
    """
    adjacency = undirected_adjacency(graph)
    starts, neighbours = adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int32)
    parts = [sources[first : first + BATCH] for first in range(0, sources.size, BATCH)]
    sums = np.array([_search(starts, neighbours, part) for part in parts], dtype=np.int64).reshape(-1, 2)
    return PathSums(sums[:, 0], sums[:, 1])


def average_path_length(
    graph: BipartiteGraph, rng: np.random.Generator, exact_limit: int = EXACT_LIMIT, n_batches: int = SAMPLED_BATCHES
) -> Quantity:
    """Mean distance over the connected pairs of neurons of the undirected graph; at least 1.

    Exact up to `exact_limit` neurons. Above it, `n_batches` batches of 64 random sources are searched; the value is the
    ratio of the summed distances to the summed pairs, its standard error that of a ratio estimator over batches with
    the correction for a finite population (Cochran, Sampling Techniques, 3rd ed. 1977, chapter 6).

    Args:
        graph: the layer.
        rng: draws the sampled sources; not used where the value is exact.
        exact_limit: largest number of neurons with an exact value.
        n_batches: number of batches in a sample, at least 2.

    Returns:
        The quantity, with a standard error where it is sampled; not defined where no pair is connected. Cost as
        `path_sums`.
    """
    n = graph.n_neurons
    is_exact = n <= max(exact_limit, 2 * BATCH)
    n_sources = n if is_exact else min(n // BATCH, n_batches) * BATCH
    sources = np.arange(n) if is_exact else rng.choice(n, size=n_sources, replace=False)
    sums = path_sums(graph, sources)
    pairs = int(sums.pairs.sum())
    if pairs == 0:
        return undefined("no two neurons are connected")
    mean = int(sums.distances.sum()) / pairs
    return defined(mean) if is_exact else defined(mean, _ratio_error(sums, mean, n_sources / n))


def _ratio_error(sums: PathSums, mean: float, sampled_fraction: float) -> float:
    """Standard error of sum(distances) / sum(pairs) over batches: s(d - mean * p) / (mean(p) * sqrt(n))."""
    residuals: FloatArray = sums.distances - mean * sums.pairs
    spread = np.sqrt((residuals**2).sum() / (residuals.size - 1))
    return float(np.sqrt(1.0 - sampled_fraction) * spread / (sums.pairs.mean() * np.sqrt(residuals.size)))


def component_sizes(graph: BipartiteGraph) -> LongArray:
    """Number of neurons of every connected component, isolated neurons included.

    Args:
        graph: the layer.

    Returns:
        int64 of shape [n_components], in no particular order. Cost O(n_in + n_out + n_edges).
    """
    _, labels = connected_components(undirected_adjacency(graph), directed=False)
    return np.bincount(labels).astype(np.int64)


def _network_paths(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    return paths(network.folded, rng)


@register_measure("paths", network=_network_paths)
def paths(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Average path length, share of pairs that are connected, and size of the giant component.

    The share of connected pairs is sum_c s_c (s_c - 1) / (N (N - 1)) over components of s_c neurons, and exact also
    where the path length is sampled.

    Args:
        graph: the layer.
        rng: draws sampled sources where the graph is large.

    Returns:
        `average_path_length`, `reachable_pair_fraction` in [0, 1], `giant_component_size` (neurons).
    """
    sizes, n = component_sizes(graph), graph.n_neurons
    return {
        "average_path_length": average_path_length(graph, rng),
        "reachable_pair_fraction": defined(int((sizes * (sizes - 1)).sum()) / (n * (n - 1))),
        "giant_component_size": defined(sizes.max()),
    }
