"""Clustering of a bipartite graph. Triangles cannot occur in one, so the closed figure is the 4-cycle."""

import numpy as np
from scipy import sparse

from .graphs import BipartiteGraph, LayeredGraph, LongArray
from .quantity import Quantities, Quantity, defined, undefined
from .registry import register_measure

MAX_CHUNK_PRODUCTS = 20_000_000
"""Upper bound on the scalar products of one chunk of A A^T (unless a single row has more), which bounds the memory."""


def butterflies(graph: BipartiteGraph, max_chunk_products: int = MAX_CHUNK_PRODUCTS) -> int:
    """Number of 4-cycles, sum over pairs i < j of neurons of one side of C(P_ij, 2), with P_ij their common neighbours.

    P = A A^T is formed in chunks of rows, on the side on which it is cheaper; the sum over all its entries counts each
    pair twice and the diagonal (the degrees) once, which is taken out.

    Args:
        graph: the layer.
        max_chunk_products: bound on the work, and so on the memory, of one chunk.

    Returns:
        The count, at least 0, exact. Cost O(min(sum k_i^2, sum d_j^2)) time; O(max_chunk_products) memory.
    """
    matrix, degrees = graph.biadjacency, graph.in_degrees
    # Rows are joined through columns: the work is the sum of squared column sums.
    if int((graph.out_degrees**2).sum()) > int((graph.in_degrees**2).sum()):
        matrix, degrees = sparse.csr_array(matrix.T), graph.out_degrees
    other = sparse.csr_array(matrix.T)
    work = matrix @ np.diff(other.indptr).astype(np.int64)
    pairs_of_pairs = 0
    for start, stop in _chunks(work, max_chunk_products):
        common = (matrix[start:stop] @ other).data
        pairs_of_pairs += int((common * (common - 1) // 2).sum())
    return (pairs_of_pairs - int((degrees * (degrees - 1) // 2).sum())) // 2


def _chunks(work: LongArray, limit: int) -> list[tuple[int, int]]:
    """Ranges of rows whose work adds up to about `limit`; every row lies in exactly one."""
    number = (np.cumsum(work) - work) // max(1, limit)
    starts = np.flatnonzero(np.diff(number, prepend=-1)).tolist()
    return list(zip(starts, [*starts[1:], work.size], strict=True))


def three_paths(graph: BipartiteGraph) -> int:
    """Number of paths of length 3: the sum over edges (i, j) of (k_i - 1)(d_j - 1).

    Args:
        graph: the layer.

    Returns:
        The count, at least 0, exact (no path closes into a triangle in a bipartite graph). Cost O(n_edges).
    """
    return int(((graph.out_degrees[graph.src] - 1) * (graph.in_degrees[graph.dst] - 1)).sum())


def robins_alexander_clustering(graph: BipartiteGraph) -> Quantity:
    """Share of 3-paths that close into a 4-cycle: 4 * butterflies / three_paths, in [0, 1].

    Robins and Alexander (2004), "Small worlds among interlocking directors", Computational & Mathematical Organization
    Theory 10, 69-94. Where the graph has no path of length 3, networkx returns 0; here the value is not defined.

    Args:
        graph: the layer.

    Returns:
        The quantity. Cost as `butterflies`.
    """
    return _clustering(butterflies(graph), three_paths(graph))


def _clustering(cycles: int, paths: int) -> Quantity:
    return undefined("there is no path of length 3") if paths == 0 else defined(4 * cycles / paths)


def _network_clustering(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    return clustering(network.folded, rng)


@register_measure("clustering", network=_network_clustering)
def clustering(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Butterflies, 3-paths and their ratio.

    Args:
        graph: the layer.
        rng: not used.

    Returns:
        `butterflies`, `three_paths`, `robins_alexander_clustering`.
    """
    cycles, paths = butterflies(graph), three_paths(graph)
    return {
        "butterflies": defined(cycles),
        "three_paths": defined(paths),
        "robins_alexander_clustering": _clustering(cycles, paths),
    }
