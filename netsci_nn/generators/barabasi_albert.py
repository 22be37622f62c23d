"""Bipartite Barabasi-Albert: neurons arrive one by one and link preferentially to the other side."""

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import check_choice, check_real, neuron_count
from netsci_nn.compiling import njit
from netsci_nn.errors import TopologyError
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator, fill_quotas, shuffled_parts
from netsci_nn.sampling.preferential import pick_by_clocks, place_pairs
from netsci_nn.topology import BipartiteTopology, Int64Array

SIDES = ("both", "source", "target")
MODES = ("growth", "urn")
UNLIMITED = 2**62


@GENERATORS.register("barabasi_albert")
def barabasi_albert(
    n_in: int,
    n_out: int,
    *,
    n_edges: int | None = None,
    density: float | None = None,
    attractiveness: float | None = None,
    sides: str = "both",
    mode: str = "growth",
    rng: Rng,
) -> BipartiteTopology:
    """Grow a bipartite graph by preferential attachment, with exactly the requested number of edges.

    Sources and targets arrive interleaved in random order. Each brings an equal share of the budget (shares differ by
    at most one) and links to that many different nodes of the other side that have arrived before, chosen one after the
    other with probability proportional to degree + attractiveness; a newcomer's own edges count at once. If all
    candidates have weight 0 they are equally likely. What a newcomer cannot place, because too few nodes have arrived, is
    placed after all have arrived: a source and a target are drawn, each with probability proportional to degree +
    attractiveness, until they are not yet joined (if nearly all such pairs are joined already, the rest is drawn with the
    degrees of that moment). With sides="source" only sources are chosen preferentially: every target has room for its equal
    share of all edges, and an arriving source draws among the places that are left, so that in-degrees differ by at most one.
    sides="target" is the same with the sides exchanged.

    The law: a side with mean degree k that gains the share b of all links preferentially has the tail exponent
    1 + (1 + a / k) / b in degree + a, up to the ceiling of the degrees, the size of the other side. Sources gain what the
    targets bring, b = n_out / (n_in + n_out), and targets b = n_in / (n_in + n_out): on equal sides the exponent is
    3 + 2 a / k. The law holds up to a density of about 2 %, whatever the size: the exponent fitted above twice the mean
    degree is 2.8 to 3.0 there, 3.3 at 5 % and 4.3 at 10 % (n x n with n = 300, 1000, 4000, a = 0), because hubs fill up and
    more edges are left over (1.3 % of them at a density of 5 %, 5 % at 20 %).

    mode="urn" is the version without growth: all nodes are there from the start, and every edge draws its ends as what is
    left over does above. That is a Polya urn: for many nodes a degree is negative binomial with shape a and mean k (at a = 1
    geometric), with an exponential tail: no power law at any a. Its hubs are the nodes that were lucky at the start.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        attractiveness: a >= 0, in edges; the larger, the less preferential; below 1e-290 it may count as 0. None stands for 0
            with growth and 1 in the urn, which needs a > 0: at 0 the first edge would draw all others.
        sides: "both", "source" or "target": who is chosen preferentially; the other side is near-regular.
        mode: "growth" or "urn".
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, the budget (the message gives the feasible range) or a parameter is out of range.

    Source: Barabasi & Albert 1999, attractiveness after Dorogovtsev, Mendes & Samukhin 2000; two sides, the interleaved
    arrival and the exact budget are this toolkit's.

    Example:
        >>> hubs = barabasi_albert(300, 100, density=0.05, rng=0)
        >>> hubs.n_edges, bool(hubs.out_degrees.max() > 3 * hubs.out_degrees.mean())
        (1500, True)
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    check_choice("sides", sides, SIDES)
    check_choice("mode", mode, MODES)
    attraction = _check_attractiveness(attractiveness, mode)
    generator = as_generator(rng)
    quota = np.full(n_in + n_out, UNLIMITED, dtype=np.int64)
    if sides == "source":
        quota[n_in:] = shuffled_parts(count, n_out, generator)
    elif sides == "target":
        quota[:n_in] = shuffled_parts(count, n_in, generator)
    src, dst = np.empty(count, np.int32), np.empty(count, np.int32)
    placed = 0
    if mode == "growth":
        order = generator.permutation(n_in + n_out)
        share = np.minimum(shuffled_parts(count, n_in + n_out, generator), quota[order])
        placed = _grow(n_in, n_out, order, share, attraction, quota, src, dst, generator)
    if placed < count and sides == "both":
        place_pairs(src, dst, placed, n_in, n_out, attraction, generator)
    elif placed < count and sides == "source":
        fill_quotas(src, dst, placed, n_in, quota[n_in:], attraction, generator)
    elif placed < count:
        fill_quotas(dst, src, placed, n_out, quota[:n_in], attraction, generator)
    return BipartiteTopology.from_ends(src, dst, n_in, n_out)


def _check_attractiveness(attractiveness: float | None, mode: str) -> float:
    if attractiveness is None:
        return 0.0 if mode == "growth" else 1.0
    value = check_real("attractiveness", attractiveness, lambda value: value >= 0, ">= 0")
    if value == 0 and mode == "urn":
        raise TopologyError("attractiveness is 0; with mode='urn' it must be a number > 0")
    return value


@njit(cache=True)
def _grow(
    n_in: int,
    n_out: int,
    order: Int64Array,
    share: Int64Array,
    attraction: float,
    quota: Int64Array,
    src: npt.NDArray[np.int32],
    dst: npt.NDArray[np.int32],
    rng: np.random.Generator,
) -> int:
    """Let the nodes arrive in `order`, write the ends of each edge, and return how many could be placed.

    Nodes with a quota are chosen by the places that they have left, one entry of `places` each, the others preferentially.
    """
    degree = np.zeros(n_in + n_out, np.int64)
    arrived = np.empty((2, max(n_in, n_out)), np.int64)
    n_arrived = np.zeros(2, np.int64)
    chosen_by = np.full(n_in + n_out, -1, np.int64)
    picks = np.empty(max(n_in, n_out), np.int64)
    regular = 0 if quota[0] < UNLIMITED else 1 if quota[n_in] < UNLIMITED else -1
    places = np.empty(len(src) if regular >= 0 else 0, np.int64)
    placed, n_places = 0, 0
    for newcomer, links in zip(order, share):  # noqa: B905  (numba's zip)
        side = 0 if newcomer < n_in else 1
        other = 1 - side
        if other == regular:
            n_picks, n_places = _pick_places(places, n_places, links, chosen_by, newcomer, picks, rng)
        else:
            candidates = arrived[other, : n_arrived[other]]
            n_picks = min(links, len(candidates))
            ends = src[:placed] if other == 0 else dst[:placed]
            _pick(candidates, n_picks, degree, chosen_by, newcomer, attraction, ends, other * n_in, picks, rng)
        for pick in picks[:n_picks]:
            src[placed] = pick if other == 0 else newcomer
            dst[placed] = (newcomer if other == 0 else pick) - n_in
            degree[pick] += 1
            placed += 1
        degree[newcomer] += n_picks
        arrived[side, n_arrived[side]] = newcomer
        n_arrived[side] += 1
        if side == regular:
            for _ in range(quota[newcomer] - n_picks):
                places[n_places] = newcomer
                n_places += 1
    return placed


@njit(cache=True)
def _pick_places(places, n_places, links, chosen_by, newcomer, picks, rng):  # type: ignore[no-untyped-def]
    """Take up to `links` places of different nodes at random; return how many were taken and how many are left.

    After many vain draws the rest is left for later.
    """
    n_picks, tries = 0, 4 * links + 16
    while n_picks < links and n_places > 0 and tries > 0:
        tries -= 1
        place = int(rng.random() * n_places)
        pick = places[place]
        if chosen_by[pick] != newcomer:
            chosen_by[pick] = newcomer
            picks[n_picks] = pick
            n_picks += 1
            n_places -= 1
            places[place] = places[n_places]
    return n_picks, n_places


@njit(cache=True)
def _pick(candidates, links, degree, chosen_by, newcomer, attraction, ends, first, picks, rng):  # type: ignore[no-untyped-def]
    """Choose `links` different candidates, one after the other with probability proportional to degree + attraction.

    The end of a random earlier edge is a node drawn in proportion to its degree (`ends` count from node `first`); what was
    chosen before is drawn again. After many vain draws the remaining ones are taken by the smallest exponential variate /
    weight, which has the same law.
    """
    n_picks, placed = 0, len(ends)
    tries = 4 * links + 16
    by_degree = placed / (placed + attraction * len(candidates)) if placed > 0 else 0.0
    while n_picks < links and tries > 0 and (placed > 0 or attraction > 0):
        tries -= 1
        if rng.random() < by_degree:
            pick = ends[int(rng.random() * placed)] + first
        else:
            pick = candidates[int(rng.random() * len(candidates))]
        if chosen_by[pick] != newcomer:
            chosen_by[pick] = newcomer
            picks[n_picks] = pick
            n_picks += 1
    if n_picks < links:
        is_taken = chosen_by[candidates] == newcomer
        for position in pick_by_clocks(degree[candidates] + attraction, is_taken, links - n_picks, rng):
            chosen_by[candidates[position]] = newcomer
            picks[n_picks] = candidates[position]
            n_picks += 1
