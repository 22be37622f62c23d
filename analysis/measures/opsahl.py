"""Opsahl's clustering of two-mode networks, without and with weights: the share of 4-paths whose ends meet once more."""

import math

import numpy as np
import numpy.typing as npt

from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import FloatArray, LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.graph.neighbours import SIDES, NeighbourLists, Side, check_side, edge_magnitudes, neighbour_lists
from analysis.graph.values import NO_WEIGHTS
from analysis.measures._four_paths import EXACT_WORK, FourPaths, all_walks, are_closed, draw_walks, four_paths
from analysis.measures.measure import EVERYTHING, Measure, on_folded, takes_any_layer

SAMPLED_PATHS = 65_536
"""Paths in a sample; a standard error is then at most 0.002."""


LISTED_PATHS = 2**17
"""Exact up to this many 4-paths; sampled above."""


WEIGHTED_SAMPLED_PATHS = 2**14


VALUES = ("arithmetic", "geometric", "maximum", "minimum")
"""What the four weights of a 4-path are made into: their arithmetic or geometric mean, the largest, or the smallest."""


@takes_any_graph
def opsahl_quantities(
    graph: BipartiteGraph, side: Side, rng: np.random.Generator, exact_work: int = EXACT_WORK
) -> dict[str, Quantity]:
    """The quantities of `opsahl` for one side; exact up to about `exact_work` elementary steps, sampled above.

    An AnalysisError if `side` is neither "source" nor "target".
    """
    check_side(side)
    lists = neighbour_lists(graph, side)
    paths = four_paths(lists, exact_work)
    # Python's integers, as the sum may exceed 64 bits.
    total = sum(paths.all.tolist())
    names = ("closed_four_paths", "opsahl_clustering", "opsahl_local_clustering")
    values: tuple[Quantity, ...]
    if total == 0:
        missing = undefined(f"there is no path of length 4 between {side}s")
        values = (defined(0), missing, missing)
    elif paths.closed is None:
        values = _sampled(lists, paths, total, rng)
    else:
        closed = sum(paths.closed.tolist())
        centres = paths.all > 0
        values = (defined(closed), defined(closed / total), defined((paths.closed[centres] / paths.all[centres]).mean()))
    result = {f"{side}_four_paths": defined(total)}
    return result | {f"{side}_{name}": value for name, value in zip(names, values, strict=True)}


def _sampled(lists: NeighbourLists, paths: FourPaths, total: int, rng: np.random.Generator) -> tuple[Quantity, ...]:
    """Estimates from random paths: uniform ones for the global coefficient, ones with a uniform centre for the local."""
    weights = paths.all / paths.all.sum(dtype=np.float64)
    uniform = rng.choice(paths.all.size, size=SAMPLED_PATHS, p=weights)
    centred = rng.choice(np.flatnonzero(paths.all), size=SAMPLED_PATHS)
    share, error = _share(are_closed(lists, draw_walks(lists, uniform, rng)))
    local = _share(are_closed(lists, draw_walks(lists, centred, rng)))
    return defined(share * total, error * total), defined(share, error), defined(*local)


def _share(closed: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """A share and its standard error, the latter at (x + 2) / (n + 4), so that it is not 0 if all agree (Agresti and
    Coull 1998, The American Statistician 52, 119-126)."""
    n, x = closed.size, int(np.count_nonzero(closed))
    centre = (x + 2) / (n + 4)
    return x / n, math.sqrt(centre * (1 - centre) / (n + 4))


@takes_any_layer
def opsahl(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Opsahl's C* of both sides: closed 4-paths / 4-paths, in [0, 1].

    A 4-path i - p - j - q - k has three different neurons i, j, k of the side and two different ones p, q of the other;
    it is closed if some r other than p and q is joined to both i and k, so that a 6-cycle through r exists, or r is
    joined to j too. Opsahl (2013), "Triadic closure in two-mode networks: redefining the global and local clustering
    coefficients", Social Networks 35, 159-167. The local coefficient is the same share of the 4-paths with centre j,
    averaged over the neurons that are the centre of one. It does not count what `robins_alexander_clustering` does: two
    neurons with two common neighbours alone close nothing.

    Returns:
        For each side `{side}_four_paths` (exact), `{side}_closed_four_paths`, `{side}_opsahl_clustering` and
        `{side}_opsahl_local_clustering`, the last two in [0, 1]; the last three with a standard error if they come from a
        sample, the last two not defined if there is no 4-path. Cost as `four_paths` for each side: at most about `EXACT_WORK`
        steps for closed paths, above which 2 * `SAMPLED_PATHS` paths are drawn.
    """
    return {name: value for side in SIDES for name, value in opsahl_quantities(graph, side, rng).items()}


MEASURE = Measure(
    "opsahl",
    opsahl,
    network=on_folded(opsahl),
    null_edge_limit=2000,
    governed_by=frozenset({"source_opsahl_clustering", "target_opsahl_clustering"}),
)


@takes_any_graph
def weighted_opsahl_quantities(
    graph: BipartiteGraph, side: Side, rng: np.random.Generator, listed_paths: int = LISTED_PATHS
) -> dict[str, Quantity]:
    """The quantities of `weighted_opsahl` for one side; exact up to `listed_paths` 4-paths, sampled above.

    An AnalysisError if `side` is neither "source" nor "target".
    """
    check_side(side)
    names = [f"{side}_opsahl_clustering_{value}" for value in VALUES]
    if graph.weights is None:
        return dict.fromkeys(names, undefined(NO_WEIGHTS))
    lists = neighbour_lists(graph, side)
    by_centre = four_paths(lists, exact_work=0).all
    total = sum(by_centre.tolist())
    if total == 0:
        return dict.fromkeys(names, undefined(f"there is no path of length 4 between {side}s"))
    is_exact = total <= listed_paths
    walks = all_walks(lists, total) if is_exact else _sample(lists, by_centre, rng)
    values, closed = _path_values(walks, *edge_magnitudes(graph, side)), are_closed(lists, walks)
    return {name: _weighted_share(value, closed, is_exact) for name, value in zip(names, values, strict=True)}


def _sample(lists: NeighbourLists, by_centre: LongArray, rng: np.random.Generator) -> LongArray:
    centres = rng.choice(by_centre.size, size=WEIGHTED_SAMPLED_PATHS, p=by_centre / by_centre.sum(dtype=np.float64))
    return draw_walks(lists, centres, rng)


def _path_values(walks: LongArray, own: FloatArray, other: FloatArray) -> tuple[FloatArray, ...]:
    """The values of every path, in the order of `VALUES`."""
    weights = np.stack([own[walks[0]], own[walks[1]], other[walks[2]], other[walks[3]]])
    geometric = np.sqrt(np.sqrt(weights[0] * weights[1]) * np.sqrt(weights[2] * weights[3]))
    return weights.mean(axis=0), geometric, weights.max(axis=0), weights.min(axis=0)


def _weighted_share(values: FloatArray, closed: np.ndarray, is_exact: bool) -> Quantity:
    """Closed value divided by all value; of a sample with the standard error of a ratio."""
    if not values.any():
        return undefined("the value of every path of length 4 is 0")
    share = float(values[closed].sum() / values.sum())
    if is_exact:
        return defined(share)
    residuals = values * (closed - share)
    return defined(share, float(np.sqrt((residuals**2).sum()) / values.sum()))


@takes_any_layer
def weighted_opsahl(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Opsahl's weighted C* of both sides: the value of the closed 4-paths divided by that of all, in [0, 1].

    The value of a 4-path is the arithmetic mean, the geometric mean, the largest or the smallest of its four magnitudes |w|;
    which paths are closed is as in `opsahl`. Opsahl (2013), Social Networks 35, 159-167; the four values are those of Opsahl
    and Panzarasa (2009), "Clustering in weighted networks", Social Networks 31, 155-163.

    Returns:
        For each side `{side}_opsahl_clustering_arithmetic`, `_geometric`, `_maximum` and `_minimum`, with a standard error if
        they come from a sample of `WEIGHTED_SAMPLED_PATHS`; not defined without weights, without 4-paths, or if all of them
        have the value 0.
    """
    return {name: value for side in SIDES for name, value in weighted_opsahl_quantities(graph, side, rng).items()}


WEIGHTED = Measure(
    "weighted_opsahl",
    weighted_opsahl,
    network=on_folded(weighted_opsahl, needs_weights=True),
    weighted=EVERYTHING,
    null_edge_limit=2000,
)
