"""The two sides of a layer, and the neighbours of their neurons as compiled code takes them."""

from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse

from analysis.base.checks import shown
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, IntArray, LongArray
from analysis.graph.bipartite import BipartiteGraph

Side = Literal["source", "target"]


SIDES: tuple[Side, ...] = ("source", "target")


class NeighbourLists(NamedTuple):
    """Neighbours in both directions, each list ascending: of the neurons of one side (own), and of the other side's.

    Attributes:
        own_starts: where the list of every neuron of the side begins in `own`, int64 of shape [n + 1].
        own: neighbours of the side's neurons, int32 of shape [n_edges].
        other_starts: likewise for the opposite side, int64 of shape [n_opposite + 1].
        other: neighbours of the opposite side's neurons, int32 of shape [n_edges].
    """

    own_starts: LongArray
    own: IntArray
    other_starts: LongArray
    other: IntArray


def neighbour_lists(graph: BipartiteGraph, side: Side) -> NeighbourLists:
    """Neighbour lists in which the neurons of this side are "own"."""
    by_target = graph.biadjacency
    by_source = sparse.csr_array(by_target.T)
    own, other = (by_source, by_target) if side == "source" else (by_target, by_source)
    own_list, other_list = own.indices.astype(np.int32), other.indices.astype(np.int32)
    return NeighbourLists(own.indptr.astype(np.int64), own_list, other.indptr.astype(np.int64), other_list)


def edge_magnitudes(graph: BipartiteGraph, side: Side) -> tuple[FloatArray, FloatArray]:
    """|w| beside the entries of `own` and of `other` in `neighbour_lists`; the graph needs weights.

    Divided by the largest, so that products neither overflow nor vanish.
    """
    assert graph.weights is not None
    by_target = np.abs(graph.weights)
    by_target = by_target / (by_target.max(initial=0.0) or 1.0)
    by_source = by_target[np.argsort(graph.src, kind="stable")]
    return (by_source, by_target) if side == "source" else (by_target, by_source)


def check_side(side: Side) -> None:
    """Refuse what is neither "source" nor "target"."""
    if not isinstance(side, str) or side not in SIDES:
        raise AnalysisError(f"side is {shown(side)}; it must be 'source' or 'target'")
