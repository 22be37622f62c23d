"""Bipartite scale free (BSF): a Barabasi-Albert graph split into two sides, edges within a side moved across."""

import math

import numpy as np

from netsci_nn.checks import neuron_count
from netsci_nn.compiling import njit
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator, distinct_cells, grow_preferentially
from netsci_nn.sampling.cell_set import add, find, new_cell_set
from netsci_nn.topology import BipartiteTopology, Int64Array

# How often another partner is tried for an edge that cannot be moved across, or another node for an edge to re-attach.
TRIES = 32


@GENERATORS.register("bsf")
def bsf(n_in: int, n_out: int, *, n_edges: int | None = None, density: float | None = None, rng: Rng) -> BipartiteTopology:
    """Split the nodes of a Barabasi-Albert graph into sources and targets and make it bipartite with its degrees.

    1. A graph of n_in + n_out nodes grows by preferential attachment to exactly n_edges edges: the first nodes are all
       joined, every other brings m or m + 1 edges (see `arrivals`) to different earlier nodes, drawn one after the other
       with probability proportional to the degree they had before it came.
    2. A random n_in of the nodes become the sources.
    3. An edge (a, b) among the sources and one (c, d) among the targets, partners at random, are replaced by a-c and b-d or
       by a-d and b-c if both are free: no degree changes.
    4. An edge without a partner keeps one end, drawn at random, and exchanges the other for a node across, drawn with
       probability proportional to its degree.
    5. Edges that are still missing, because nothing free was found, join a source and a target each drawn with probability
       proportional to its degree. There are never too many.

    Degrees: if the sides are equally large and sparse, nearly all nodes keep the degree of step 1, so both sides have the
    law 2m(m + 1) / (k (k + 1)(k + 2)) of that graph, a tail of exponent 3, up to the ceiling of degrees, the size of the
    other side. Unequal sides cannot keep them, since both must sum to n_edges: in step 4 the larger side loses ends at
    random, which keeps the exponent and blurs the minimum m, down to isolated nodes, and the smaller side gains by degree,
    which stretches its tail. The law ends where m * sqrt(n_in + n_out), the order of the largest degrees, reaches the
    ceiling (in a square layer of n x n at a density of sqrt(2 / n)): hubs fill up, and steps 4 and 5, which join what has
    many edges already, decide ever more of the degrees. With fewer edges than nodes m is 0: the edges form one tree before
    step 3, and the other nodes stay isolated.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size or the budget is out of range.

    Source: the model BSF of Zhang, Zhao, Wu, Muscoloni & Cannistraci 2024 (Cannistraci-Hebb training), on Barabasi &
    Albert 1999. The published code pairs single ends instead of edges, gives an empty graph if m is whole, and meets the
    number of edges only approximately; the exact budget, the bounded tries and step 5 are this toolkit's.

    Example:
        >>> topology = bsf(200, 200, density=0.05, rng=0)
        >>> topology.n_edges, bool(topology.out_degrees.max() > 3 * topology.out_degrees.mean())
        (2000, True)
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    generator = as_generator(rng)
    first, second = grow(arrivals(n_in + n_out, count, generator), generator)
    side = generator.permutation(n_in + n_out)
    order = generator.permutation(count)
    keys = move_across(side[first[order]], side[second[order]], n_in, n_out, generator)
    src, dst = grow_preferentially(
        n_in, n_out, keys, count - len(keys), attractiveness=0.0, side="both", draw="both_ends", rng=generator
    )
    return BipartiteTopology.from_keys(np.concatenate([keys, dst * n_in + src]), n_in, n_out)


def arrivals(n_nodes: int, n_edges: int, rng: np.random.Generator) -> Int64Array:
    """Return how many edges each node brings: node t brings min(t, m), some nodes t > m one more, n_edges in all.

    Nodes that bring min(t, m) make m (2 n_nodes - 1 - m) / 2 edges; m is the largest for which these are not too many, and
    the rest falls to nodes t > m at random.
    """
    discriminant = (2 * n_nodes - 1) ** 2 - 8 * n_edges
    mean = (2 * n_nodes - 2 - math.isqrt(discriminant - 1)) // 2
    brought = np.minimum(np.arange(n_nodes, dtype=np.int64), mean)
    rest = n_edges - int(brought.sum())
    brought[mean + 1 + distinct_cells(n_nodes - mean - 1, rest, rng)] += 1
    return brought


@njit(cache=True)
def grow(brought, rng):  # type: ignore[no-untyped-def]
    """Let node t join `brought[t]` different earlier nodes by preference; return both ends of all edges, int64.

    The end of a random edge is a node drawn in proportion to its degree; a node that was drawn before is drawn again. After
    many vain draws the smallest exponential variates / degree take the rest, which has the same law.
    """
    newcomers, chosen = np.empty(brought.sum(), np.int64), np.empty(brought.sum(), np.int64)
    chosen_by = np.full(len(brought), -1, np.int64)
    degree, keys = np.zeros(len(brought), np.int64), np.empty(len(brought))
    n_before = 0
    for newcomer, links in enumerate(brought):
        n_after = n_before + links
        placed = n_before
        tries = 8 * links + TRIES if links < newcomer else 0
        while placed < n_after and tries > 0:
            tries -= 1
            edge = int(rng.random() * n_before)
            pick = chosen[edge] if rng.random() < 0.5 else newcomers[edge]
            if n_before == 0:
                pick = int(rng.random() * newcomer)
            if chosen_by[pick] != newcomer:
                chosen_by[pick] = newcomer
                chosen[placed] = pick
                placed += 1
        if placed < n_after:
            for node in range(newcomer):
                # Unlike `pick_by_clocks`, no number is drawn for nodes that cannot be chosen: the edges of a seed depend on it.
                # Nodes without edges come last only if all earlier nodes are taken anyway.
                rate = degree[node] if chosen_by[node] != newcomer else 0
                keys[node] = -np.log(1.0 - rng.random()) / rate if rate > 0 else np.inf
            for node in np.argsort(keys[:newcomer])[: n_after - placed]:
                chosen[placed] = node
                placed += 1
        for edge in range(n_before, n_after):
            newcomers[edge] = newcomer
            degree[chosen[edge]] += 1
        degree[newcomer] = links
        n_before = n_after
    return newcomers, chosen


@njit(cache=True)
def move_across(first, second, n_in, n_out, rng):  # type: ignore[no-untyped-def]
    """Make edges between vertices 0..n_in + n_out - 1, sources first, bipartite: steps 3 and 4 of `bsf`.

    Args:
        first: int64 `[n_edges]`, one end of each edge; edges in random order, none twice, no loops.
        second: int64 `[n_edges]`, the other end.
        n_in: number of sources.
        n_out: number of targets.
        rng: numpy Generator.

    Returns:
        the keys target * n_in + source of the edges that found a place, int64, at most `[n_edges]`, in no order.
    """
    keys = np.empty(len(first), np.int64)
    taken = new_cell_set(len(first))
    inner = np.empty((2, 2, len(first)), np.int64)  # side, end, edge
    n_inner = np.zeros(2, np.int64)
    n_keys = 0
    for one, other in zip(first, second):  # noqa: B905  (numba's zip)
        side = int(one >= n_in)
        if side == int(other >= n_in):
            inner[side, 0, n_inner[side]], inner[side, 1, n_inner[side]] = one, other
            n_inner[side] += 1
        else:
            keys[n_keys] = (max(one, other) - n_in) * n_in + min(one, other)
            add(taken, keys[n_keys])
            n_keys += 1
    n_left, n_keys = _pair(inner, n_inner, n_in, keys, n_keys, taken, rng)
    n_keys = _attach(inner, n_left, n_in, n_out, keys, n_keys, taken, rng)
    return keys[:n_keys]


@njit(cache=True)
def _pair(inner, n_inner, n_in, keys, n_keys, taken, rng):  # type: ignore[no-untyped-def]
    """Replace inner edges in pairs, one of each side; keep the others in `inner` and return their numbers and `n_keys`."""
    n_left = np.array([0, n_inner[1]])
    for edge in range(n_inner[0]):
        source, other_source = inner[0, 0, edge], inner[0, 1, edge]
        is_paired = False
        for _ in range(2 * TRIES if n_left[1] > 0 else 0):
            partner = int(rng.random() * n_left[1])
            end = int(rng.random() * 2)
            key = (inner[1, end, partner] - n_in) * n_in + source
            other_key = (inner[1, 1 - end, partner] - n_in) * n_in + other_source
            if taken[find(taken, key)] == -1 and taken[find(taken, other_key)] == -1:
                add(taken, key)
                add(taken, other_key)
                keys[n_keys], keys[n_keys + 1] = key, other_key
                n_keys += 2
                n_left[1] -= 1
                inner[1, :, partner] = inner[1, :, n_left[1]]
                is_paired = True
                break
        if not is_paired:
            inner[0, 0, n_left[0]], inner[0, 1, n_left[0]] = source, other_source
            n_left[0] += 1
    return n_left, n_keys


@njit(cache=True)
def _attach(inner, n_left, n_in, n_out, keys, n_keys, taken, rng):  # type: ignore[no-untyped-def]
    """Join one end of every inner edge to a node across by preference; return the new number of keys."""
    for side in range(2):
        for edge in range(n_left[side]):
            for _ in range(TRIES):
                kept = inner[side, int(rng.random() * 2), edge]
                drawn = keys[int(rng.random() * n_keys)] if n_keys > 0 else int(rng.random() * n_in * n_out)
                key = drawn // n_in * n_in + kept if side == 0 else (kept - n_in) * n_in + drawn % n_in
                if add(taken, key):
                    keys[n_keys] = key
                    n_keys += 1
                    break
    return n_keys
