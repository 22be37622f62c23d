"""Barabasi-Albert, bipartite: sources and targets arrive one after the other and link preferentially to the other side."""

import numpy as np
from numba import njit

from netsci_nn.generators.budget import GENERATORS, check_real, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.topology import BipartiteTopology, Int64Array


@GENERATORS.register("barabasi_albert")
def barabasi_albert(
    n_in: int,
    n_out: int,
    *,
    n_edges: int | None = None,
    density: float | None = None,
    attractiveness: float = 0.0,
    rng: Rng,
) -> BipartiteTopology:
    """Grow a bipartite graph by preferential attachment, with exactly the requested number of edges.

    Sources and targets arrive interleaved in random order. Each brings an equal share of the budget (shares differ by
    at most one) and links to that many different nodes of the other side that have arrived before, chosen one after the
    other with probability proportional to degree + attractiveness; a newcomer's own edges count at once. Where all
    candidates have weight 0 they are equally likely. What a newcomer cannot place, because too few nodes have arrived, is
    placed after all have arrived: a source and a target are drawn, each with probability proportional to degree +
    attractiveness, until they are not yet joined (where nearly all such pairs are joined already, the rest is drawn with the
    degrees of that moment).

    With half of its links gained preferentially, a side of mean degree k has the tail exponent 1 + 2 (1 + a / k), which is
    3 at a = 0, up to the ceiling of the degrees, the size of the other side. That law needs a mean degree far below that
    size: the denser the layer, the more edges are left over at the start and the sooner hubs are full.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        attractiveness: a >= 0, in edges; the larger, the less preferential.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, the budget (the message gives the feasible range) or the attractiveness is out of range.

    Source: Barabasi & Albert 1999, attractiveness after Dorogovtsev, Mendes & Samukhin 2000; two sides, the interleaved
    arrival and the exact budget are this toolkit's.
    """
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    attraction = check_real("attractiveness", attractiveness, lambda value: value >= 0, ">= 0")
    generator = as_generator(rng)
    order = generator.permutation(n_in + n_out)
    share = np.full(n_in + n_out, count // (n_in + n_out), dtype=np.int64)
    share[: count % (n_in + n_out)] += 1
    generator.shuffle(share)
    src, dst, placed = _grow(n_in, n_out, order, share, attraction, generator)
    cells = dst[:placed] * n_in + src[:placed]
    if placed < count:
        cells = np.concatenate([cells, _fill(cells, count - placed, n_in, n_out, attraction, generator)])
    return BipartiteTopology.from_keys(cells, n_in, n_out)


@njit(cache=True)
def _grow(n_in, n_out, order, share, attraction, rng):  # type: ignore[no-untyped-def]
    """Let the nodes arrive in `order`; return source and target of each edge (int64) and how many could be placed."""
    total = share.sum()
    src, dst = np.empty(total, np.int64), np.empty(total, np.int64)
    degree = np.zeros(n_in + n_out, np.int64)
    arrived = np.empty((2, max(n_in, n_out)), np.int64)
    n_arrived = np.zeros(2, np.int64)
    chosen_by = np.full(n_in + n_out, -1, np.int64)
    placed = 0
    for newcomer, links in zip(order, share):  # noqa: B905  (numba's zip)
        side = 0 if newcomer < n_in else 1
        other = 1 - side
        candidates = arrived[other, : n_arrived[other]]
        links = min(links, len(candidates))
        picks = _pick(candidates, links, degree, chosen_by, newcomer, attraction, src, dst, placed, other, n_in, rng)
        for pick in picks:
            src[placed] = pick if other == 0 else newcomer
            dst[placed] = (newcomer if other == 0 else pick) - n_in
            degree[pick] += 1
            placed += 1
        degree[newcomer] += links
        arrived[side, n_arrived[side]] = newcomer
        n_arrived[side] += 1
    return src, dst, placed


@njit(cache=True)
def _pick(candidates, links, degree, chosen_by, newcomer, attraction, src, dst, placed, other, n_in, rng):  # type: ignore[no-untyped-def]
    """Choose `links` different candidates, one after the other with probability proportional to degree + attraction.

    The end of a random earlier edge is a node drawn in proportion to its degree; what was chosen before is drawn again.
    After many vain draws the remaining ones are taken by the smallest exponential variate / weight, which has the same law.
    """
    picks = np.empty(links, np.int64)
    n_picks = 0
    tries = 4 * links + 16
    by_degree = placed / (placed + attraction * len(candidates)) if placed > 0 else 0.0
    while n_picks < links and tries > 0 and (placed > 0 or attraction > 0):
        tries -= 1
        if rng.random() < by_degree:
            edge = int(rng.random() * placed)
            pick = src[edge] if other == 0 else dst[edge] + n_in
        else:
            pick = candidates[int(rng.random() * len(candidates))]
        if chosen_by[pick] != newcomer:
            chosen_by[pick] = newcomer
            picks[n_picks] = pick
            n_picks += 1
    if n_picks < links:
        keys = np.empty(len(candidates))
        for position, candidate in enumerate(candidates):
            weight = degree[candidate] + attraction
            variate = -np.log(1.0 - rng.random())
            # Weight 0 comes after every positive weight, in random order.
            keys[position] = variate / weight if weight > 0 else 1e300 * (1.0 + variate)
            if chosen_by[candidate] == newcomer:
                keys[position] = np.inf
        for position in np.argsort(keys)[: links - n_picks]:
            chosen_by[candidates[position]] = newcomer
            picks[n_picks] = candidates[position]
            n_picks += 1
    return picks


def _fill(cells: Int64Array, count: int, n_in: int, n_out: int, attraction: float, rng: np.random.Generator) -> Int64Array:
    """Place `count` further edges: both ends preferentially, sequentially, never twice the same."""
    cells = np.sort(cells)
    degree_in = np.bincount(cells % n_in, minlength=n_in)
    degree_out = np.bincount(cells // n_in, minlength=n_out)
    placed = _fill_by_rejection(cells, count, degree_in, degree_out, attraction, rng)
    if len(placed) < count:
        # Nearly all the weight lies on taken cells: rank the free ones by exponential variate / weight instead.
        free = np.ones(n_in * n_out, dtype=np.bool_)
        free[cells] = False
        free[placed] = False
        open_cells = np.flatnonzero(free)
        weight = (degree_in[open_cells % n_in] + attraction) * (degree_out[open_cells // n_in] + attraction)
        variate = rng.exponential(size=len(open_cells))
        positive = weight > 0
        keys = np.where(positive, variate / np.where(positive, weight, 1.0), 1e300 * (1.0 + variate))
        rest = count - len(placed)
        placed = np.concatenate([placed, open_cells[np.argsort(keys)[:rest]]])
    return placed


@njit(cache=True)
def _fill_by_rejection(cells, count, degree_in, degree_out, attraction, rng):  # type: ignore[no-untyped-def]
    """Draw both ends from an urn of edge ends (plus `attraction` balls a node), reject joined pairs, give up when slow."""
    n_in, n_out = len(degree_in), len(degree_out)
    n_first = len(cells)
    placed = np.empty(count, np.int64)
    taken = set(cells[:0])
    n_placed = 0
    tries = 32 * count + 64
    while n_placed < count and tries > 0:
        tries -= 1
        n_ends = n_first + n_placed
        source, target = 0, 0
        for side in range(2):
            size = n_in if side == 0 else n_out
            if n_ends == 0 or rng.random() * (n_ends + attraction * size) >= n_ends:
                end = int(rng.random() * size)
            else:
                edge = int(rng.random() * n_ends)
                cell = cells[edge] if edge < n_first else placed[edge - n_first]
                end = cell % n_in if side == 0 else cell // n_in
            if side == 0:
                source = end
            else:
                target = end
        cell = target * n_in + source
        position = np.searchsorted(cells, cell)
        if (position < n_first and cells[position] == cell) or cell in taken:
            continue
        taken.add(cell)
        placed[n_placed] = cell
        n_placed += 1
        degree_in[source] += 1
        degree_out[target] += 1
    return placed[:n_placed]
