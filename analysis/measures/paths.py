"""Path lengths and efficiency of the undirected graph, their bounds, and the share of pairs that are connected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from analysis.base.checks import check_count
from analysis.base.compiling import njit
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import FloatArray, IntArray, LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.graph.values import LayeredGraph
from analysis.measures.measure import Measure, takes_any_layer

EXACT_LIMIT = 10_000
"""Up to this many neurons with edges every pair is measured; above it, sources are sampled."""

SAMPLED_BATCHES = 16
BATCH = 64
"""Sources that one breadth-first search serves at once: one bit of a 64-bit word each."""

NO_BOUND = "edges skip groups, and the bound is that of groups of which only consecutive ones are joined"


@dataclass(frozen=True)
class PathSums:
    """Sums over ordered pairs of different, connected neurons; one entry for every batch of sources.

    Attributes:
        distances: sum of distances from the batch's sources, int64 of shape [n_batches].
        pairs: number of such pairs, int64 of shape [n_batches].
        reciprocals: sum of 1 / distance from the batch's sources, float64 of shape [n_batches].
        n_sources: number of sources in every batch, int64 of shape [n_batches].
    """

    distances: LongArray
    pairs: LongArray
    reciprocals: FloatArray
    n_sources: LongArray


@njit(cache=True, nogil=True)
def _search(starts: LongArray, neighbours: IntArray, sources: LongArray) -> tuple[int, int, float]:
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
    total, pairs, level, reciprocals = 0, 0, 0, 0.0
    while n_active > 0:
        level += 1
        n_touched, reached = 0, 0
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
                reached += 1
        total += level * reached
        pairs += reached
        reciprocals += reached / level
        n_active = n_touched
    return total, pairs, reciprocals


def path_sums(graph: BipartiteGraph, sources: LongArray) -> PathSums:
    """Sums of distances from the given sources, one entry per 64 of them, which one breadth-first search serves.

    Then et al. (2014), "The more the merrier: efficient multi-source graph traversal", PVLDB 8(4), 449-460. The sources are
    numbered with sources 0..n_in-1 and targets after them, all different; an AnalysisError if one is out of range. Cost
    O(n_edges * levels * n_sources / 64) time, O(n_in + n_out) memory.
    """
    if sources.size and not 0 <= sources.min() <= sources.max() < graph.n_neurons:
        raise AnalysisError(
            f"sources reaches from {sources.min()} to {sources.max()}; the allowed range is 0 to {graph.n_neurons - 1}"
        )
    return _path_sums(graph.adjacency, sources)


def _path_sums(adjacency: sparse.csr_array, sources: LongArray) -> PathSums:
    starts, neighbours = adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int32)
    parts = [sources[first : first + BATCH] for first in range(0, sources.size, BATCH)]
    found = [_search(starts, neighbours, part) for part in parts]
    distances, pairs = (np.array([sums[index] for sums in found], dtype=np.int64) for index in (0, 1))
    reciprocals = np.array([sums[2] for sums in found], dtype=np.float64)
    return PathSums(distances, pairs, reciprocals, np.array([part.size for part in parts], dtype=np.int64))


@takes_any_graph
def average_path_length(
    graph: BipartiteGraph, rng: np.random.Generator, exact_limit: int = EXACT_LIMIT, n_batches: int = SAMPLED_BATCHES
) -> Quantity:
    """Mean distance over the connected pairs of neurons of the undirected graph; at least 1.

    Exact up to `exact_limit` neurons with edges. Above it, `n_batches` batches of 64 random ones of them are searched; the
    value is the ratio of the summed distances to the summed pairs, its standard error that of a ratio estimator over
    batches with the correction for a finite population (Cochran, Sampling Techniques, 3rd ed. 1977, chapter 6).

    Args:
        graph: one layer.
        rng: generator that draws the sampled sources; not used if the value is exact.
        exact_limit: largest number of neurons with edges for which the value is exact.
        n_batches: number of batches in a sample, at least 2.

    Returns:
        The quantity, with a standard error if it is sampled; not defined if no pair is connected. Cost as `path_sums`.

    Raises:
        AnalysisError: `n_batches` is not an integer of at least 2.

    >>> import networkx
    >>> average_path_length(networkx.complete_bipartite_graph(2, 2), np.random.default_rng(0)).value
    1.333...
    """
    return _mean_distance(*_sums(graph.adjacency, rng, exact_limit, n_batches))


@takes_any_graph
def global_efficiency(
    graph: BipartiteGraph, rng: np.random.Generator, exact_limit: int = EXACT_LIMIT, n_batches: int = SAMPLED_BATCHES
) -> Quantity:
    """Mean of 1 / distance over all pairs of neurons of the undirected graph, 0 for those that are not connected; in [0, 1].

    Latora and Marchiori (2001), "Efficient behavior of small-world networks", Physical Review Letters 87, 198701, eq. 1.
    Arguments, errors and what is sampled are as in `average_path_length`; the standard error is that of a mean over batches.
    """
    return _efficiency(*_sums(graph.adjacency, rng, exact_limit, n_batches), graph.n_neurons)


def path_bounds(layer_sizes: Sequence[int]) -> tuple[float, float]:
    """(L_min, E_max): the shortest mean distance and the largest efficiency of these groups, those of complete wiring.

    With every pair of consecutive groups fully joined, neurons of groups i and j are |i - j| apart and two of the same
    group 2. For a single layer L_min = [2 n1 n2 + 2 (n1 (n1 - 1) + n2 (n2 - 1))] / N (N - 1) and E_max = [2 n1 n2 + (n1
    (n1 - 1) + n2 (n2 - 1)) / 2] / N (N - 1), with N = n1 + n2. No graph between these groups can do better; one that is
    not connected can have a shorter mean over its connected pairs.
    """
    sizes = np.array(layer_sizes, dtype=np.float64)
    apart = np.abs(np.subtract.outer(np.arange(sizes.size), np.arange(sizes.size))).astype(np.float64)
    np.fill_diagonal(apart, 2.0)
    pairs = np.outer(sizes, sizes) - np.diag(sizes)
    return float((pairs * apart).sum() / pairs.sum()), float((pairs / apart).sum() / pairs.sum())


def _sums(adjacency: sparse.csr_array, rng: np.random.Generator, exact_limit: int, n_batches: int) -> tuple[PathSums, int]:
    """Sums of all neurons that have an edge if these are few, else of a sample of them; and how many there are."""
    check_count("n_batches", n_batches, 2)
    # Isolated neurons are connected to nothing: they add 0 to every sum, and need no search.
    joined = np.flatnonzero(np.diff(adjacency.indptr))
    if joined.size > max(exact_limit, 2 * BATCH):
        sources = rng.choice(joined, size=min(joined.size // BATCH, n_batches) * BATCH, replace=False)
        return _path_sums(adjacency, sources), joined.size
    return _path_sums(adjacency, joined), joined.size


def _mean_distance(sums: PathSums, n_joined: int) -> Quantity:
    pairs, n_sources = int(sums.pairs.sum()), int(sums.n_sources.sum())
    if pairs == 0:
        return undefined("no two neurons are connected")
    mean = int(sums.distances.sum()) / pairs
    if n_sources == n_joined:
        return defined(mean)
    return defined(mean, _ratio_error(sums.distances, sums.pairs, mean, n_sources / n_joined))


def _efficiency(sums: PathSums, n_joined: int, n: int) -> Quantity:
    n_sources = int(sums.n_sources.sum())
    if n_sources == 0:
        return defined(0.0)
    wholes = sums.n_sources.astype(np.float64) * (n * (n - 1) / n_joined)
    mean = float(sums.reciprocals.sum() / wholes.sum())
    if n_sources == n_joined:
        return defined(mean)
    return defined(mean, _ratio_error(sums.reciprocals, wholes, mean, n_sources / n_joined))


def _ratio_error(parts: FloatArray | LongArray, wholes: FloatArray | LongArray, ratio: float, sampled_fraction: float) -> float:
    """Standard error of sum(parts) / sum(wholes) over batches: s(part - ratio * whole) / (mean(whole) * sqrt(n))."""
    residuals = np.asarray(parts - ratio * wholes, dtype=np.float64)
    spread = np.sqrt((residuals**2).sum() / (residuals.size - 1))
    return float(np.sqrt(1.0 - sampled_fraction) * spread / (wholes.mean() * np.sqrt(residuals.size)))


@takes_any_graph
def component_sizes(graph: BipartiteGraph) -> LongArray:
    """Number of neurons of every connected component, isolated neurons included, in no particular order."""
    return _component_sizes(graph.adjacency)


def _component_sizes(adjacency: sparse.csr_array) -> LongArray:
    _, labels = connected_components(adjacency, directed=False)
    return np.bincount(labels).astype(np.int64)


def network_paths(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """`paths` of a whole network, links included; several edges between the same two neurons are one.

    The bounds hold if every layer and every link joins consecutive groups, otherwise they are not defined.
    """
    return _path_quantities(network.adjacency, None if network.skips_groups else network.layer_sizes, rng)


_BOUNDS = frozenset({"path_length_minimum", "efficiency_maximum"})


@takes_any_layer
def paths(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Path length and efficiency beside their bounds, share of pairs that are connected, size of the giant component.

    The share of connected pairs is sum_c s_c (s_c - 1) / (N (N - 1)) over components of s_c neurons, and exact also if the
    path length is sampled. Bounds are those of `path_bounds`: of the complete bipartite graph, and for a whole network of the
    complete wiring of all its layers (see `network_paths`).

    Returns:
        `average_path_length` L, `path_length_minimum` L_min and `path_length_excess` L - L_min, at least 0 (not defined if
        the graph is not connected, as the bound does not hold for its connected pairs); `global_efficiency` E,
        `efficiency_maximum` E_max and `efficiency_ratio` E / E_max in [0, 1]; `reachable_pair_fraction` in [0, 1];
        `giant_component_size` (neurons). Cost as `path_sums`, once.
    """
    return _path_quantities(graph.adjacency, (graph.n_in, graph.n_out), rng)


def _path_quantities(
    adjacency: sparse.csr_array, layer_sizes: Sequence[int] | None, rng: np.random.Generator
) -> dict[str, Quantity]:
    """The quantities of `paths`; those that need the bounds are not defined without sizes of consecutive groups."""
    component, n = _component_sizes(adjacency), adjacency.shape[0]
    sums, n_joined = _sums(adjacency, rng, EXACT_LIMIT, SAMPLED_BATCHES)
    length, efficiency = _mean_distance(sums, n_joined), _efficiency(sums, n_joined, n)
    result = {
        "average_path_length": length,
        "path_length_minimum": undefined(NO_BOUND),
        "path_length_excess": undefined(NO_BOUND),
        "global_efficiency": efficiency,
        "efficiency_maximum": undefined(NO_BOUND),
        "efficiency_ratio": undefined(NO_BOUND),
        "reachable_pair_fraction": defined(int((component * (component - 1)).sum()) / (n * (n - 1))),
        "giant_component_size": defined(component.max()),
    }
    if layer_sizes is None:
        return result
    shortest, most = path_bounds(layer_sizes)
    assert efficiency.value is not None
    # Rounding may put a complete graph a little beyond its own bounds.
    excess = length if length.value is None else defined(max(0.0, length.value - shortest), length.standard_error)
    ratio_error = None if efficiency.standard_error is None else efficiency.standard_error / most
    return result | {
        "path_length_minimum": defined(shortest),
        "path_length_excess": excess if component.size == 1 else undefined("the graph is not connected"),
        "efficiency_maximum": defined(most),
        "efficiency_ratio": defined(min(1.0, efficiency.value / most), ratio_error),
    }


MEASURE = Measure("paths", paths, network=network_paths, fixed_by={"erdos_renyi": _BOUNDS, "fixed_degrees": _BOUNDS})
