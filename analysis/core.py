"""Cores: neurons that hold on to each other when the weakly connected are taken away, and hubs that join hubs."""

import math
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import FloatArray, IntArray, LongArray, as_array
from analysis.graph.intake import takes_any_graph
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.registry import register_measure

RICH_QUANTILE = 0.9
"""The rich club of a side: the neurons whose degree is in the top 10 %."""

BoolArray = npt.NDArray[np.bool_]


@takes_any_graph
def coreness(graph: BipartiteGraph) -> tuple[LongArray, LongArray]:
    """The largest k for which a neuron is in the k-core, the largest subgraph in which every degree is at least k.

    Seidman (1983), "Network structure and minimum degree", Social Networks 5, 269-287; computed by taking away the
    neurons in the order of their remaining degrees (Batagelj and Zaversnik 2003, arXiv:cs/0310049).

    Args:
        graph: the layer.

    Returns:
        The coreness of every source and of every target, int64 of shapes [n_in] and [n_out], in 0..degree. Cost
        O(n_in + n_out + n_edges).
    """
    adjacency = graph.adjacency
    degrees = np.concatenate([graph.out_degrees, graph.in_degrees])
    order = np.argsort(degrees, kind="stable")
    starts, neighbours = adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int32)
    levels = _peel(starts, neighbours, degrees, order, np.cumsum(np.bincount(degrees)) - np.bincount(degrees))
    return levels[: graph.n_in], levels[graph.n_in :]


@numba.njit(cache=True, nogil=True)
def _peel(starts: LongArray, neighbours: IntArray, degrees: LongArray, order: LongArray, first: LongArray) -> LongArray:
    """Coreness of every neuron; `order` is sorted by degree, `first[k]` is where degree k begins in it."""
    levels, position = degrees.copy(), np.empty_like(order)
    for place in range(order.size):
        position[order[place]] = place
    for place in range(order.size):
        neuron = order[place]
        for edge in range(starts[neuron], starts[neuron + 1]):
            other = neighbours[edge]
            if levels[other] > levels[neuron]:
                # Swap with the first neuron of its degree, which then belongs to the degree below.
                front = first[levels[other]]
                swapped = order[front]
                order[position[other]], order[front] = swapped, other
                position[swapped], position[other] = position[other], front
                first[levels[other]] += 1
                levels[other] -= 1
    return levels


def _coreness_quantities(graph: BipartiteGraph, sides: dict[str, LongArray]) -> dict[str, Quantity]:
    """Largest coreness, raw and against what n_edges allow (a k-core has at least k^2 edges), and the innermost core."""
    highest = max(int(levels.max()) for levels in sides.values())
    largest_possible = min(graph.n_in, graph.n_out, math.isqrt(graph.n_edges))
    fractions = {f"{side}innermost_core_fraction": defined((levels == highest).mean()) for side, levels in sides.items()}
    return {"max_coreness": defined(highest), "max_coreness_ratio": defined(highest / largest_possible), **fractions}


def is_rich(degrees: LongArray, quantile: float = RICH_QUANTILE) -> BoolArray:
    """Which neurons of a side are its rich club: those with at least the degree of the ceil((1 - quantile) n)-th largest.

    Neurons of equal degree are in or out together, so labels play no role and the club may be larger than the share asked
    for; where all degrees are equal it is the whole side. Neurons without edges are never in it.

    Args:
        degrees: int64 of shape [n], n >= 1.
        quantile: in [0, 1).

    Returns:
        bool of shape [n]. Cost O(n log n).

    Raises:
        AnalysisError: `quantile` is not a number in that range.
    """
    if not isinstance(quantile, int | float | np.number) or not 0 <= quantile < 1:
        raise AnalysisError(f"quantile is {quantile!r}; it must be a number of at least 0 and below 1")
    # The rounding takes back that (1 - 0.7) * 10 is a little above 3.
    size = max(1, math.ceil(round((1 - quantile) * degrees.size, 9)))
    return degrees >= max(1, int(np.sort(degrees)[-size]))


@dataclass(frozen=True)
class Club:
    """Edges and pairs between rich sources and rich targets.

    Attributes:
        edges: number of edges that join two of them.
        pairs: number of pairs that an edge could join.
    """

    edges: int
    pairs: int


def _club(graph: BipartiteGraph, sources: BoolArray, targets: BoolArray) -> Club:
    edges = np.count_nonzero(sources[graph.src] & targets[graph.dst])
    return Club(int(edges), int(np.count_nonzero(sources)) * int(np.count_nonzero(targets)))


@takes_any_graph
def rich_club_curve(graph: BipartiteGraph, quantiles: npt.ArrayLike) -> FloatArray:
    """Density among the sources and targets of highest degree, phi(q) = E(q) / (n_sources(q) n_targets(q)).

    The bipartite form of the rich-club coefficient of Zhou and Mondragón (2004), "The rich-club phenomenon in the Internet
    topology", IEEE Communications Letters 8, 180-182. High degrees alone make phi rise (Colizza et al. 2006, "Detecting
    rich-club ordering in complex networks", Nature Physics 2, 110-115): hubs prefer hubs only where it is above that of
    graphs of the same degrees.

    Args:
        graph: the layer; it needs an edge.
        quantiles: q of shape [n], each in [0, 1); see `is_rich`.

    Returns:
        float64 of shape [n], in [0, 1]; at q = 0 the density among neurons with edges. Cost O(n_edges) a quantile.

    Raises:
        AnalysisError: no edge, or a quantile that is no number or out of range.
    """
    if graph.n_edges == 0:
        raise AnalysisError("graph has no edge; a rich club needs at least 1")
    levels = np.atleast_1d(as_array(quantiles)).tolist()
    clubs = [_club(graph, is_rich(graph.out_degrees, level), is_rich(graph.in_degrees, level)) for level in levels]
    return np.array([club.edges / club.pairs for club in clubs], dtype=np.float64)


def _rich_club_quantities(club: Club, density: float) -> dict[str, Quantity]:
    if club.pairs == 0:
        return dict.fromkeys(_RICH_CLUB, undefined("no layer joins two groups with rich neurons"))
    inside = club.edges / club.pairs
    return {"rich_club_density": defined(inside), "rich_club_ratio": defined(inside / density)}


@dataclass(frozen=True)
class CorePeriphery:
    """The core that describes a layer best.

    Attributes:
        correlation: between the biadjacency and the pattern "core sources x core targets", in [-1, 1].
        min_source_degree: a source is in the core if its degree is at least this.
        min_target_degree: likewise for targets.
    """

    correlation: float
    min_source_degree: int
    min_target_degree: int


@takes_any_graph
def core_periphery(graph: BipartiteGraph) -> CorePeriphery | None:
    """The best division into core and periphery, among those that cut both sides at a degree.

    The ideal pattern has an edge between every core source and every core target, and no other. The fit is Pearson's
    correlation of the pattern with the biadjacency over all N = n_in n_out pairs: with s pairs and e edges in the core,
    (N e - m s) / sqrt(m (N - m) s (N - s)). Borgatti and Everett (1999), "Models of core/periphery structures", Social
    Networks 21, 375-395, the discrete model, with the edges between core and periphery absent and two sides in place of
    one. They search over all subsets; here a core is closed under degree (whoever has the degree of a core neuron is in
    it), so that the result is exact, does not depend on labels, and takes one table of the edges by both degrees.

    Args:
        graph: the layer.

    Returns:
        The core of the highest correlation, of equals the one with the fewest pairs; None where there is no edge, where
        all pairs are joined, or where no such core exists but the whole layer. Cost O(n_edges + (n_in + n_out) log(n_in +
        n_out)).
    """
    source_degrees, source_class, source_counts = _degree_classes(graph.out_degrees)
    target_degrees, target_class, target_counts = _degree_classes(graph.in_degrees)
    shape = (source_degrees.size, target_degrees.size)
    cells = source_class[graph.src] * shape[1] + target_class[graph.dst]
    edges = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).cumsum(axis=0).cumsum(axis=1)
    pairs = np.multiply.outer(np.cumsum(source_counts), np.cumsum(target_counts))
    n_pairs, n_edges = graph.n_in * graph.n_out, graph.n_edges
    variance = float(n_edges) * (n_pairs - n_edges) * pairs.astype(np.float64) * (n_pairs - pairs)
    if not variance.any():
        return None
    covariance = n_pairs * edges.astype(np.float64) - float(n_edges) * pairs
    fits = np.divide(covariance, np.sqrt(variance), out=np.full(shape, -np.inf), where=variance > 0)
    best = np.flatnonzero(fits == fits.max())
    row, column = np.unravel_index(best[np.argmin(pairs.ravel()[best])], shape)
    return CorePeriphery(float(fits.max()), int(source_degrees[row]), int(target_degrees[column]))


def _degree_classes(degrees: LongArray) -> tuple[LongArray, LongArray, LongArray]:
    """The different degrees from the highest down, the position of every neuron's degree among them, and their counts."""
    counts = np.bincount(degrees)
    present = np.flatnonzero(counts)[::-1]
    positions = np.empty(counts.size, dtype=np.int64)
    positions[present] = np.arange(present.size)
    return present, positions[degrees], counts[present]


def _core_periphery_quantities(graph: BipartiteGraph) -> dict[str, Quantity]:
    best = core_periphery(graph)
    if best is None:
        reason = "every pair is joined" if graph.n_edges == graph.n_pairs else "all sources and all targets have equal degrees"
        return dict.fromkeys(_CORE_PERIPHERY, undefined(reason))
    return {
        "core_periphery": defined(best.correlation),
        "source_core_fraction": defined((graph.out_degrees >= best.min_source_degree).mean()),
        "target_core_fraction": defined((graph.in_degrees >= best.min_target_degree).mean()),
    }


_CORENESS = ("max_coreness", "max_coreness_ratio")
_RICH_CLUB = ("rich_club_density", "rich_club_ratio")
_CORE_PERIPHERY = ("core_periphery", "source_core_fraction", "target_core_fraction")


def network_core(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """Coreness and rich club of a whole network, with degrees counted over all layers.

    The rich club takes the top 10 % of every group of neurons by itself; its pairs are those in consecutive groups.
    Formulas and sources stand at `coreness` and `rich_club_curve`.

    Args:
        network: the layers.
        rng: not used.

    Returns:
        `max_coreness`, `max_coreness_ratio`, `innermost_core_fraction`, `rich_club_density`, `rich_club_ratio`, in the
        ranges of `core`. Cost O(n_edges log n_edges + n log n) for n neurons.
    """
    graph = network.folded
    if graph.n_edges == 0:
        return dict.fromkeys((*_CORENESS, "innermost_core_fraction", *_RICH_CLUB), undefined("the graph has no edge"))
    groups = [is_rich(degrees) for degrees in np.split(network.degrees, np.cumsum(network.layer_sizes)[:-1])]
    clubs = [_club(layer, *groups[index : index + 2]) for index, layer in enumerate(network.layers)]
    club = Club(sum(club.edges for club in clubs), sum(club.pairs for club in clubs))
    return {
        **_coreness_quantities(graph, {"": np.concatenate(coreness(graph))}),
        **_rich_club_quantities(club, graph.density),
    }


@register_measure("core", network=network_core)
def core(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Innermost k-core, rich club of the top 10 % of both sides, and the fit of a core-periphery pattern.

    Formulas and sources stand at `coreness` (Seidman 1983), `rich_club_curve` (Zhou and Mondragón 2004) and
    `core_periphery` (Borgatti and Everett 1999).

    Args:
        graph: the layer.
        rng: not used.

    Returns:
        `max_coreness` (at least 1) and `max_coreness_ratio` (divided by its largest value for this size, min(n_in, n_out,
        floor(sqrt(n_edges))), in (0, 1]); the share of each side in the innermost core, `source_innermost_core_fraction`
        and `target_innermost_core_fraction`; `rich_club_density` in [0, 1] and `rich_club_ratio` (divided by the density
        of the layer, at least 0, 1 where all degrees are equal); `core_periphery` in [-1, 1] with the shares of the sides
        in that core, `source_core_fraction` and `target_core_fraction`. All are not defined without edges. Cost O(n_edges
        + (n_in + n_out) log(n_in + n_out)).
    """
    if graph.n_edges == 0:
        fractions = ("source_innermost_core_fraction", "target_innermost_core_fraction")
        names = (*_CORENESS, *fractions, *_RICH_CLUB, *_CORE_PERIPHERY)
        return dict.fromkeys(names, undefined("the graph has no edge"))
    sources, targets = coreness(graph)
    club = _club(graph, is_rich(graph.out_degrees), is_rich(graph.in_degrees))
    return {
        **_coreness_quantities(graph, {"source_": sources, "target_": targets}),
        **_rich_club_quantities(club, graph.density),
        **_core_periphery_quantities(graph),
    }
