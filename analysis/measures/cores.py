"""k-cores, and the division of a layer into core and periphery."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from analysis.base.compiling import njit
from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import IntArray, LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.graph.values import LayeredGraph
from analysis.measures.measure import Measure, takes_any_layer
from analysis.measures.rich_club import RICH_CLUB, Club, club_between, is_rich, rich_club_quantities


@takes_any_graph
def coreness(graph: BipartiteGraph) -> tuple[LongArray, LongArray]:
    """The largest k for which a neuron is in the k-core, the largest subgraph in which every degree is at least k.

    Seidman (1983), "Network structure and minimum degree", Social Networks 5, 269-287; computed by removing the neurons in
    the order of their remaining degrees (Batagelj and Zaversnik 2003, arXiv:cs/0310049).

    Returns:
        The coreness of every source and of every target, int64 of shapes [n_in] and [n_out], in 0..degree. Cost
        O(n_in + n_out + n_edges).

    >>> import networkx
    >>> [side.tolist() for side in coreness(networkx.complete_bipartite_graph(2, 3))]
    [[2, 2], [2, 2, 2]]
    """
    levels = _coreness(graph.adjacency)
    return levels[: graph.n_in], levels[graph.n_in :]


def _coreness(adjacency: sparse.csr_array) -> LongArray:
    starts, neighbours = adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int32)
    degrees = np.diff(starts)
    order, counts = np.argsort(degrees, kind="stable"), np.bincount(degrees)
    return _peel(starts, neighbours, degrees, order, np.cumsum(counts) - counts)


@njit(cache=True, nogil=True)
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


def _largest_bipartite(graph: BipartiteGraph) -> int:
    """The largest coreness that the sides and n_edges allow: a k-core has at least k neurons on each side, and k^2 edges."""
    return min(graph.n_in, graph.n_out, math.isqrt(graph.n_edges))


def _coreness_quantities(sides: dict[str, LongArray], largest_possible: int) -> dict[str, Quantity]:
    """Largest coreness, raw and against the largest possible one, and the innermost core."""
    highest = max(int(levels.max()) for levels in sides.values())
    fractions = {f"{side}innermost_core_fraction": defined((levels == highest).mean()) for side, levels in sides.items()}
    return {"max_coreness": defined(highest), "max_coreness_ratio": defined(highest / largest_possible), **fractions}


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
    Networks 21, 375-395, the discrete model, with the edges between core and periphery absent and two sides in place of one.
    They search over all subsets; here a core is closed under degree (any neuron with the degree of a core neuron is in it),
    so that the result is exact, does not depend on labels, and takes one table of the edges by both degrees.

    Returns:
        The core of the highest correlation, of equals the one with the fewest pairs; None if there is no edge, if all pairs
        are joined, or if no such core exists but the whole layer. Cost O(n_edges + (n_in + n_out) log(n_in + n_out)).
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
_CORE_PERIPHERY = ("core_periphery", "source_core_fraction", "target_core_fraction")


def network_core(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """Coreness over all layers and links, and the rich club of the top 10 % of every group, over the pairs of the layers.

    For the coreness several edges between two neurons are one. In a network that is not bipartite a k-core has at least
    k + 1 neurons and k (k + 1) / 2 edges, which bounds k.
    """
    if network.n_edges == 0:
        return dict.fromkeys((*_CORENESS, "innermost_core_fraction", *RICH_CLUB), undefined("the graph has no edge"))
    adjacency = network.adjacency
    if network.is_bipartite:
        largest_possible = _largest_bipartite(network.folded)
    else:
        largest_possible = min(network.n_neurons - 1, (math.isqrt(4 * adjacency.nnz + 1) - 1) // 2)
    degrees = np.split(network.degrees, np.cumsum(network.layer_sizes)[:-1])
    rich = np.concatenate([is_rich(group) for group in degrees])
    layers = zip(network.layers, network.ends, strict=True)
    clubs = [club_between(layer, rich[sources], rich[targets]) for layer, (sources, targets) in layers]
    club = Club(sum(club.edges for club in clubs), sum(club.pairs for club in clubs))
    return {
        **_coreness_quantities({"": _coreness(adjacency)}, largest_possible),
        **rich_club_quantities(club, network.density),
    }


@takes_any_layer
def core(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Innermost k-core, rich club of the top 10 % of both sides, and the fit of a core-periphery pattern.

    Formulas and sources stand at `coreness`, `rich_club_curve` and `core_periphery`.

    Returns:
        `max_coreness` (at least 1) and `max_coreness_ratio` (divided by its largest value for this size, min(n_in, n_out,
        floor(sqrt(n_edges))), in (0, 1]); the share of each side in the innermost core, `source_innermost_core_fraction`
        and `target_innermost_core_fraction`; `rich_club_density` in [0, 1] and `rich_club_ratio` (divided by the density
        of the layer, at least 0, 1 if all degrees are equal); `core_periphery` in [-1, 1] with the shares of the sides in
        that core, `source_core_fraction` and `target_core_fraction`. All are not defined without edges.
    """
    if graph.n_edges == 0:
        fractions = ("source_innermost_core_fraction", "target_innermost_core_fraction")
        names = (*_CORENESS, *fractions, *RICH_CLUB, *_CORE_PERIPHERY)
        return dict.fromkeys(names, undefined("the graph has no edge"))
    sources, targets = coreness(graph)
    club = club_between(graph, is_rich(graph.out_degrees), is_rich(graph.in_degrees))
    return {
        **_coreness_quantities({"source_": sources, "target_": targets}, _largest_bipartite(graph)),
        **rich_club_quantities(club, graph.density),
        **_core_periphery_quantities(graph),
    }


MEASURE = Measure("core", core, network=network_core)
