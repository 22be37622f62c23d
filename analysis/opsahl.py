"""Opsahl's clustering of two-mode networks: the share of 4-paths whose ends meet once more."""

import math

import numpy as np
import numpy.typing as npt

from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.fourpath_walks import are_closed, draw_walks
from analysis.fourpaths import EXACT_WORK, FourPaths, four_paths
from analysis.graph.intake import takes_any_graph
from analysis.graph.neighbours import SIDES, NeighbourLists, Side, check_side, neighbour_lists
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.registry import register_measure

SAMPLED_PATHS = 65_536
"""Paths in a sample; a standard error is then at most 0.002."""


@takes_any_graph
def opsahl_quantities(
    graph: BipartiteGraph, side: Side, rng: np.random.Generator, exact_work: int = EXACT_WORK
) -> dict[str, Quantity]:
    """Global and local coefficient of one side.

    Args:
        graph: the layer.
        side: whose neurons are the three different ones of a path, Opsahl's primary nodes.
        rng: draws paths where they are too many to be counted.
        exact_work: largest number of elementary steps for an exact value; see `four_paths`.

    Returns:
        `{side}_four_paths`, `{side}_closed_four_paths`, `{side}_opsahl_clustering` and `{side}_opsahl_local_clustering`;
        see `opsahl`. Cost as `four_paths`.

    Raises:
        AnalysisError: `side` is neither "source" nor "target".
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
    """A share and its standard error, the latter at (x + 2) / (n + 4), so that it is not 0 where all agree (Agresti and
    Coull 1998, The American Statistician 52, 119-126)."""
    n, x = closed.size, int(np.count_nonzero(closed))
    centre = (x + 2) / (n + 4)
    return x / n, math.sqrt(centre * (1 - centre) / (n + 4))


def _network_opsahl(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """`opsahl` of the folded network; formulas, ranges, source and cost are those of `opsahl`."""
    return opsahl(network.folded, rng)


@register_measure("opsahl", network=_network_opsahl)
def opsahl(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Opsahl's C* of both sides: closed 4-paths / 4-paths, in [0, 1].

    A 4-path i - p - j - q - k has three different neurons i, j, k of the side and two different ones p, q of the other;
    it is closed where some r other than p and q is joined to both i and k, so that a 6-cycle through r exists, or r is
    joined to j too. Opsahl (2013), "Triadic closure in two-mode networks: redefining the global and local clustering
    coefficients", Social Networks 35, 159-167. The local coefficient is the same share of the 4-paths with centre j,
    averaged over the neurons that are the centre of one. It does not count what `robins_alexander_clustering` does: two
    neurons with two common neighbours alone close nothing.

    Args:
        graph: the layer.
        rng: draws paths where they are too many to be counted.

    Returns:
        For each side `{side}_four_paths` (exact), `{side}_closed_four_paths`, `{side}_opsahl_clustering` and
        `{side}_opsahl_local_clustering`, the last two in [0, 1]; the last three with a standard error where they come from
        a sample, the last two not defined where there is no 4-path. Cost as `four_paths` for each side: at most about
        `EXACT_WORK` steps for closed paths, above which 2 * `SAMPLED_PATHS` paths are drawn.
    """
    return {name: value for side in SIDES for name, value in opsahl_quantities(graph, side, rng).items()}
