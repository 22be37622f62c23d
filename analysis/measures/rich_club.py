"""Rich clubs: whether the neurons of highest degree are joined to each other."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantity, defined, undefined
from analysis.graph.arrays import BoolArray, FloatArray, LongArray, as_array
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph

RICH_QUANTILE = 0.9
"""The rich club of a side: the neurons whose degree is in the top 10 %."""


RICH_CLUB = ("rich_club_density", "rich_club_ratio")


def is_rich(degrees: LongArray, quantile: float = RICH_QUANTILE) -> BoolArray:
    """Which neurons of a side are its rich club: those with at least the degree of the ceil((1 - quantile) n)-th largest.

    Neurons of equal degree are in or out together, so labels play no role and the club may be larger than the share asked
    for; if all degrees are equal it is the whole side. Neurons without edges are never in it.
    """
    if not isinstance(quantile, int | float | np.number) or not 0 <= quantile < 1:
        raise AnalysisError(f"quantile is {quantile!r}; it must be a number of at least 0 and below 1")
    # The rounding takes back that (1 - 0.7) * 10 is a little above 3.
    size = max(1, math.ceil(round((1 - quantile) * degrees.size, 9)))
    return degrees >= max(1, int(np.sort(degrees)[-size]))


@dataclass(frozen=True)
class Club:
    """Number of edges between rich sources and rich targets, and of pairs that an edge could join."""

    edges: int
    pairs: int


def club_between(graph: BipartiteGraph, sources: BoolArray, targets: BoolArray) -> Club:
    edges = np.count_nonzero(sources[graph.src] & targets[graph.dst])
    return Club(int(edges), int(np.count_nonzero(sources)) * int(np.count_nonzero(targets)))


@takes_any_graph
def rich_club_curve(graph: BipartiteGraph, quantiles: npt.ArrayLike) -> FloatArray:
    """Density among the sources and targets of highest degree, phi(q) = E(q) / (n_sources(q) n_targets(q)).

    The bipartite form of the rich-club coefficient of Zhou and Mondragón (2004), "The rich-club phenomenon in the Internet
    topology", IEEE Communications Letters 8, 180-182. High degrees alone make phi rise (Colizza et al. 2006, "Detecting
    rich-club ordering in complex networks", Nature Physics 2, 110-115): hubs prefer hubs only if it is above that of graphs of
    the same degrees.

    Args:
        graph: one layer with at least one edge.
        quantiles: q of shape [n], each in [0, 1); see `is_rich`.

    Returns:
        float64 of shape [n], in [0, 1]; at q = 0 the density among neurons with edges.

    Raises:
        AnalysisError: no edge, or a quantile that is no number or out of range.
    """
    if graph.n_edges == 0:
        raise AnalysisError("graph has no edge; a rich club needs at least 1")
    levels = np.atleast_1d(as_array(quantiles)).tolist()
    clubs = [club_between(graph, is_rich(graph.out_degrees, level), is_rich(graph.in_degrees, level)) for level in levels]
    return np.array([club.edges / club.pairs for club in clubs], dtype=np.float64)


def rich_club_quantities(club: Club, density: float) -> dict[str, Quantity]:
    if club.pairs == 0:
        return dict.fromkeys(RICH_CLUB, undefined("no layer joins two groups with rich neurons"))
    inside = club.edges / club.pairs
    return {"rich_club_density": defined(inside), "rich_club_ratio": defined(inside / density)}
