"""Preferential attachment without new nodes.

Two orders of draws stand behind `grow_preferentially`, because they are two laws and a seed stands for its edges: one end and
then its partner, as rewiring grows, or both ends at once, as the Barabasi-Albert models place what their growth left over.
`fill_quotas` chooses one side by degree while the other has its degrees given.
"""

from typing import NamedTuple

import numpy as np

from netsci_nn.checks import MAX_NEURONS, as_generator, check_choice, check_count, check_real, neuron_count
from netsci_nn.compiling import njit
from netsci_nn.errors import ConfigError, TopologyError, shown
from netsci_nn.sampling.arrays import whole_numbers
from netsci_nn.sampling.cell_set import add, find, new_cell_set
from netsci_nn.topology import Int32Array, Int64Array
from netsci_nn.topology.edge_order import split_cells

SIDES = ("source", "target", "both")
UPDATING = ("sequential", "frozen")
SMALLEST_WEIGHT = 1e-290  # a variate divided by a smaller one could overflow; it counts as 0


def grow_preferentially(
    n_in: int,
    n_out: int,
    occupied: Int64Array,
    count: int,
    *,
    attractiveness: float = 1.0,
    updating: str = "sequential",
    side: str = "source",
    draw: str = "end_then_partner",
    rng: np.random.Generator,
) -> tuple[Int64Array, Int64Array]:
    """Choose `count` free cells for new edges, one after the other, by preferential attachment.

    With side="source", every new edge chooses its source i with probability (k_i + a) / sum (k + a), where k is the
    out-degree, a the attractiveness and the sum goes over the sources that are not yet joined to all targets; then its
    target uniformly among those not joined to i. side="target" is the same with the sides exchanged. side="both" chooses
    the source like "source", then the target among those not joined to it with probability proportional to its
    in-degree + a. If all weights are 0 (a = 0, no edge), all that is allowed is equally likely.

    With draw="both_ends" (side="both" and sequential only), a source and a target are drawn, each by degree + a, until they
    are not yet joined: a free pair (i, j) has a probability proportional to (k_i + a) (k_j + a). If nearly all the weight
    lies on joined pairs, the rest is drawn with the degrees of that moment.

    This is not the Barabasi-Albert model, for no node arrives: no power law is to be expected at any a. If edges are
    dropped without regard to degree and regrown like this, they condense onto a few saturated hubs, the more so the
    smaller a is. At a = 0 a node that has lost its last edge gets no new one while others have any.

    Takes O(n_in + n_out + n_edges) once, and for every new edge a few logarithms; an edge of a node that is joined to
    nearly all partners may cost a look at all of them.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        occupied: int64 `[n_edges]`, the keys dst * n_in + src of the edges that exist, sorted and distinct; with
            draw="both_ends" in any order, on which the edges of a seed depend.
        count: number of new edges, 0 to the number of free cells, n_in * n_out - n_edges.
        attractiveness: a >= 0, finite, in edges: 0 is the literal rule, the larger, the closer to a uniform choice.
        updating: "sequential": an edge counts in the degrees as soon as it is grown; "frozen": the weights are the degrees
            at the beginning, but a node that becomes joined to all others leaves the lottery here too.
        side: "source", "target" or "both": who is chosen by degree.
        draw: "end_then_partner" or "both_ends".
        rng: numpy Generator.

    Returns:
        two int64 arrays `[count]`, the sources and the targets of the new edges, in the order in which they were grown.

    Raises:
        ConfigError: when `attractiveness`, `updating`, `side`, `draw` or `rng` is not one of the above.
        TopologyError: when a size is out of range, `occupied` is not as above, or there are not `count` free cells.

    Source: Barabasi & Albert 1999, "Emergence of scaling in random networks", Pi(k_i) = k_i / sum_j k_j; the initial
    attractiveness a after Dorogovtsev, Mendes & Samukhin 2000, "Structure of growing networks with preferential linking".
    Deviations: no node growth, two sides with a degree each, no repeated edge, and so no saturated node in the sum.

    Example:
        >>> occupied = np.array([0, 1, 3])  # edges (0, 0), (1, 0), (0, 1) of 3 sources and 2 targets
        >>> src, dst = grow_preferentially(3, 2, occupied, count=3, rng=np.random.default_rng(0))
        >>> sorted(zip(src.tolist(), dst.tolist()))
        [(1, 1), (2, 0), (2, 1)]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    check_growth(attractiveness, updating, side)
    is_pairwise = isinstance(draw, str) and draw == "both_ends" and (side, updating) == ("both", "sequential")
    if not is_pairwise and not (isinstance(draw, str) and draw == "end_then_partner"):
        raise ConfigError(
            f"draw is {shown(draw)}; it must be 'end_then_partner', or 'both_ends' with side='both' and updating='sequential'"
        )
    count = _check_cells(n_in * n_out, occupied, count, is_any_order=is_pairwise)
    if is_pairwise:
        return _grow_pairs(n_in, n_out, occupied, count, float(attractiveness), as_generator(rng))
    # A uniform choice is one by degree with infinite attractiveness.
    source_attraction = np.inf if side == "target" else float(attractiveness)
    target_attraction = np.inf if side == "source" else float(attractiveness)
    is_sequential, is_source_first = updating == "sequential", side != "target"
    generator = as_generator(rng)
    return _grow(n_in, n_out, occupied, count, source_attraction, target_attraction, is_sequential, is_source_first, generator)


def check_growth(attractiveness: float, updating: str, side: str) -> None:
    """Raise a ConfigError unless these are allowed for `grow_preferentially`."""
    check_real("attractiveness", attractiveness, lambda value: value >= 0, ">= 0", ConfigError)
    check_choice("updating", updating, UPDATING, ConfigError)
    check_choice("side", side, SIDES, ConfigError)


def _check_cells(n_cells: int, occupied: Int64Array, count: int, *, is_any_order: bool) -> int:
    if not isinstance(occupied, np.ndarray) or occupied.ndim != 1 or occupied.dtype != np.int64:
        raise TopologyError(f"occupied is {occupied!r}; it must be a 1-D array of int64 keys")
    if is_any_order and len(occupied) and not (occupied.min() >= 0 and occupied.max() < n_cells):
        raise TopologyError(
            f"occupied holds keys from {occupied.min()} to {occupied.max()}; they must be from 0 to {n_cells - 1}"
        )
    if not is_any_order and not _is_increasing(occupied, n_cells):
        raise TopologyError(f"occupied holds keys that are not sorted, not distinct or not from 0 to {n_cells - 1}")
    return check_count("count", count, 0, n_cells - len(occupied), "the number of free cells")


@njit(cache=True)
def _is_increasing(keys, n_cells):  # type: ignore[no-untyped-def]
    """Return whether every key is larger than the one before it, and all are from 0 to n_cells - 1."""
    if len(keys) == 0:
        return True
    n_wrong = 0
    for edge in range(1, len(keys)):  # without a branch, so that it is vectorised
        n_wrong += keys[edge] <= keys[edge - 1]
    return n_wrong == 0 and keys[0] >= 0 and keys[-1] < n_cells


def _grow_pairs(
    n_in: int, n_out: int, occupied: Int64Array, count: int, attraction: float, rng: np.random.Generator
) -> tuple[Int64Array, Int64Array]:
    """Return the ends of `count` new edges, drawn both at once."""
    first, n_edges = len(occupied), len(occupied) + count
    # int32 is half of int64, so that more of the urn is in the cache.
    src, dst = np.empty(n_edges, np.int32), np.empty(n_edges, np.int32)
    src[:first], dst[:first] = split_cells(occupied, n_in)
    place_pairs(src, dst, first, n_in, n_out, attraction, rng)
    return src[first:].astype(np.int64), dst[first:].astype(np.int64)


def place_pairs(
    src: Int32Array, dst: Int32Array, first: int, n_in: int, n_out: int, attraction: float, rng: np.random.Generator
) -> None:
    """Fill the places from `first` on with new edges: both ends of each are drawn at once from an urn of edge ends.

    What the urn does not place within a bounded number of draws gets the smallest exponential variate / weight.
    """
    placed, n_edges = _fill_by_rejection(src, dst, first, n_in, n_out, attraction, rng), len(src)
    if placed < 0:
        raise TopologyError("occupied holds a key twice; its keys must be distinct")
    if placed < n_edges:
        # Nearly all the weight lies on taken cells: rank the free ones by exponential variate / weight instead.
        free = np.ones(n_in * n_out, dtype=np.bool_)
        free[dst[:placed].astype(np.int64) * n_in + src[:placed]] = False
        cells = np.flatnonzero(free)
        out_degrees, in_degrees = np.bincount(src[:placed], minlength=n_in), np.bincount(dst[:placed], minlength=n_out)
        largest = attraction + max(out_degrees.max(), in_degrees.max(), 1)  # so that no product overflows
        weight = ((out_degrees + attraction) / largest)[cells % n_in] * ((in_degrees + attraction) / largest)[cells // n_in]
        variate, is_positive = rng.exponential(size=len(cells)), weight > SMALLEST_WEIGHT
        keys = np.where(is_positive, variate / np.where(is_positive, weight, 1.0), 1e300 * (1.0 + variate))
        dst[placed:], src[placed:] = np.divmod(cells[np.argsort(keys)[: n_edges - placed]], n_in)


@njit(cache=True)
def _fill_by_rejection(src, dst, placed, n_in, n_out, attraction, rng):  # type: ignore[no-untyped-def]
    """Draw both ends, reject joined pairs, give up when slow; return how many edges there are then, -1 if one is double."""
    taken = new_cell_set(len(src))
    for edge in range(placed):
        if not add(taken, np.int64(dst[edge]) * n_in + src[edge]):
            return -1
    tries = 32 * (len(src) - placed) + 64
    while placed < len(src) and tries > 0:
        tries -= 1
        source = _draw_end(src, placed, n_in, attraction, rng)
        target = _draw_end(dst, placed, n_out, attraction, rng)
        if add(taken, target * n_in + source):
            src[placed], dst[placed] = source, target
            placed += 1
    return placed


@njit(cache=True)
def _draw_end(ends, placed, size, attraction, rng):  # type: ignore[no-untyped-def]
    """Return a node with probability proportional to degree + attraction, any if all have weight 0: a Polya urn."""
    if placed == 0 or rng.random() * (placed + attraction * size) >= placed:
        return int(rng.random() * size)
    return int(ends[int(rng.random() * placed)])


class _Taken(NamedTuple):
    """The cells that have an edge: those from before the call by target, those grown in it as a set."""

    occupied: Int64Array  # [n_edges], sorted keys dst * n_in + src
    start: Int64Array  # [n_out + 1], where each target's keys begin
    grown: Int64Array  # a set of cells
    n_in: int


class _Lottery(NamedTuple):
    """The nodes of one side that are not yet joined to all others, to be drawn by degree + attraction.

    Only the integer degrees are in the Fenwick tree, so its sums stay exact however often they change.
    """

    tree: Int64Array  # [1 + a power of two >= size], Fenwick tree of the weights; the last entry is their sum
    weight: Int64Array  # [size], the degree that counts in the lottery, 0 for nodes that have left it
    degree: Int64Array  # [size], the degree now
    open_nodes: Int64Array  # [size], the nodes in the lottery, in the first n_open[0] places
    place: Int64Array  # [size], the place of each of them there
    n_open: Int64Array  # [1]
    capacity: int  # the size of the other side


@njit(cache=True)
def _grow(  # type: ignore[no-untyped-def]
    n_in, n_out, occupied, count, source_attraction, target_attraction, is_sequential, is_source_first, rng
):
    """Grow edge by edge: one end from its lottery, then a partner that it is not joined to from the other."""
    out_degree, in_degree, start = _degrees(occupied, n_in, n_out)
    sources, targets = _new_lottery(out_degree, n_out), _new_lottery(in_degree, n_in)
    taken = _Taken(occupied, start, new_cell_set(count), n_in)
    source_gain = int(is_sequential and source_attraction < np.inf)  # in a uniform choice no weight matters
    target_gain = int(is_sequential and target_attraction < np.inf)
    src, dst = np.empty(count, np.int64), np.empty(count, np.int64)
    for edge in range(count):
        if is_source_first:
            source = _draw(sources, source_attraction, rng)
            target = _draw_partner(targets, target_attraction, taken, source, True, rng)
        else:
            target = _draw(targets, target_attraction, rng)
            source = _draw_partner(sources, source_attraction, taken, target, False, rng)
        add(taken.grown, target * n_in + source)
        _join(sources, source, source_gain)
        _join(targets, target, target_gain)
        src[edge], dst[edge] = source, target
    return src, dst


@njit(cache=True)
def _degrees(occupied, n_in, n_out):  # type: ignore[no-untyped-def]
    """Return out-degrees, in-degrees and where each target's keys begin; no division, which would take most of the time."""
    out_degree, in_degree, start = np.zeros(n_in, np.int64), np.empty(n_out, np.int64), np.zeros(n_out + 1, np.int64)
    for target in range(n_out):
        first, offset = start[target], target * n_in
        end = _first_from(occupied, first, min(len(occupied), first + n_in), offset + n_in)
        start[target + 1] = end
        in_degree[target] = end - first
        for edge in range(first, end):
            out_degree[np.uint64(occupied[edge] - offset)] += 1  # unsigned: no test for an index from the end
    return out_degree, in_degree, start


@njit(cache=True)
def _first_from(keys, low, high, key):  # type: ignore[no-untyped-def]
    """Return the first position in [low, high) of a key that is not smaller, `high` if there is none."""
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def _new_lottery(degree, capacity):  # type: ignore[no-untyped-def]
    """Return the lottery of the nodes with less than `capacity` edges; it owns `degree` from now on."""
    size, n_leaves = len(degree), 1
    while n_leaves < size:
        n_leaves *= 2
    tree, weight = np.zeros(n_leaves + 1, np.int64), np.zeros(size, np.int64)
    open_nodes, place, n_open = np.empty(size, np.int64), np.empty(size, np.int64), 0
    for node in range(size):
        if degree[node] < capacity:
            tree[node + 1] = weight[node] = degree[node]
            open_nodes[n_open], place[node] = node, n_open
            n_open += 1
    for position in range(1, n_leaves):
        tree[position + (position & -position)] += tree[position]
    return _Lottery(tree, weight, degree, open_nodes, place, np.full(1, n_open, np.int64), capacity)


@njit(cache=True)
def _draw(lottery, attraction, rng):  # type: ignore[no-untyped-def]
    """Draw an open node with probability proportional to weight + attraction; any if all of that is 0."""
    tree, n_open = lottery.tree, lottery.n_open[0]
    ticket = rng.random() * (tree[-1] + attraction * n_open)
    if not ticket < tree[-1]:  # also for an infinite attraction, whose 0 * inf is NaN
        return lottery.open_nodes[int(rng.random() * n_open)]
    rest, node, step = int(ticket), 0, (len(tree) - 1) >> 1
    while step > 0:
        if tree[node + step] <= rest:
            node += step
            rest -= tree[node]
        step >>= 1
    return node


@njit(cache=True)
def _draw_partner(lottery, attraction, taken, node, is_source, rng):  # type: ignore[no-untyped-def]
    """Draw a partner that is not joined to `node`, a source or a target: reject, or list when that takes too long.

    Listing costs a look at all open nodes. A quarter as many tries succeed nearly always when ten are free, and when they
    do not, the law is the same: every try and the list have that of the lottery restricted to the free ones.
    """
    for _ in range(16 + lottery.n_open[0] // 4):
        partner = _draw(lottery, attraction, rng)
        if _is_free(taken, node, partner) if is_source else _is_free(taken, partner, node):
            return partner
    free, n_free, total = np.empty(lottery.n_open[0], np.int64), 0, 0
    for partner in lottery.open_nodes[: lottery.n_open[0]]:
        if _is_free(taken, node, partner) if is_source else _is_free(taken, partner, node):
            free[n_free] = partner
            n_free += 1
            total += lottery.weight[partner]
    ticket = rng.random() * (total + attraction * n_free)
    if not ticket < total:
        return free[int(rng.random() * n_free)]
    rest, position = int(ticket), 0
    while lottery.weight[free[position]] <= rest:
        rest -= lottery.weight[free[position]]
        position += 1
    return free[position]


@njit(cache=True)
def _is_free(taken, source, target):  # type: ignore[no-untyped-def]
    """Return whether no edge joins the two, neither from before the call nor grown in it."""
    cell, end = target * taken.n_in + source, taken.start[target + 1]
    position = _first_from(taken.occupied, taken.start[target], end, cell)
    if position < end and taken.occupied[position] == cell:
        return False
    return taken.grown[find(taken.grown, cell)] == -1


@njit(cache=True)
def _join(lottery, node, gain):  # type: ignore[no-untyped-def]
    """Add one edge to `node` and `gain` to its weight; remove it from the lottery once it is joined to all others."""
    lottery.degree[node] += 1
    change = gain
    if lottery.degree[node] == lottery.capacity:
        change = -lottery.weight[node]
        lottery.n_open[0] -= 1
        last = lottery.open_nodes[lottery.n_open[0]]
        lottery.open_nodes[lottery.place[node]], lottery.place[last] = last, lottery.place[node]
    lottery.weight[node] += change
    position = node + 1
    while change != 0 and position < len(lottery.tree):
        lottery.tree[position] += change
        position += position & -position


def fill_quotas(
    chosen: Int32Array,
    given: Int32Array,
    placed: int,
    size: int,
    quota: Int64Array,
    attraction: float,
    rng: np.random.Generator,
) -> None:
    """Place the edges from number `placed` on so that the given side meets its quotas; the other end is chosen preferentially.

    Args:
        chosen: int32 `[n_edges]`, ends 0..size - 1 on the side of preferential choice; those from `placed` on are written.
        given: int32 `[n_edges]`, ends on the other side, likewise.
        placed: how many edges there are.
        size: number of nodes to choose from; no quota exceeds it.
        quota: int64, the degree of every node of the other side, with the sum n_edges.
        attraction: added to every degree.
        rng: source of randomness.
    """
    for name, ends in (("chosen", chosen), ("given", given)):
        if not isinstance(ends, np.ndarray) or ends.ndim != 1 or ends.dtype != np.int32:
            raise TopologyError(f"{name} is {ends!r}; it must be a 1-D array of int32")
    quota, size, n_edges = whole_numbers("quota", quota), check_count("size", size, 0, MAX_NEURONS), len(given)
    if len(chosen) != n_edges or quota.sum() != n_edges or quota.max(initial=0) > size:
        raise TopologyError(
            f"chosen has {len(chosen)} ends, given {n_edges}, and quota the sum {quota.sum()} and the maximum "
            f"{quota.max(initial=0)}; lengths and sum must be equal, and no quota above size = {size}"
        )
    placed = check_count("placed", placed, 0, n_edges)
    attraction = check_real("attraction", attraction, lambda value: value >= 0, ">= 0")
    ends, others = given[:placed], chosen[:placed]
    if placed and not (0 <= ends.min() <= ends.max() < len(quota) and 0 <= others.min() <= others.max() < size):
        raise TopologyError("chosen or given holds an end that is out of range among the edges that are placed")
    order = np.argsort(ends, kind="stable")
    missing = quota - np.bincount(ends, minlength=len(quota))
    if (missing < 0).any():
        raise TopologyError(f"given holds {(quota - missing).max()} edges of a node; it must be at most its quota")
    rng = as_generator(rng)
    pointers = np.concatenate([[0], np.cumsum(quota - missing)])
    waiting = rng.permutation(np.repeat(np.arange(len(quota), dtype=np.int32), missing > 0))
    _fill_quotas(chosen, given, placed, size, missing, pointers, order, waiting, attraction, rng)


@njit(cache=True)
def _fill_quotas(chosen, given, placed, size, missing, pointers, order, waiting, attraction, rng):  # type: ignore[no-untyped-def]
    """Serve the waiting nodes one after the other; `order` lists the edges there are by their given end."""
    mark = np.full(size, -1, np.int64)  # the last node that the end was joined to
    degree = np.zeros(size, np.int64)
    for edge in range(placed):
        degree[chosen[edge]] += 1
    for node in waiting:
        for position in range(pointers[node], pointers[node + 1]):
            mark[chosen[order[position]]] = node
        wanted, tries = missing[node], 4 * missing[node] + 16
        while wanted > 0 and tries > 0:
            tries -= 1
            end = _draw_end(chosen, placed, size, attraction, rng)
            if mark[end] != node:
                mark[end] = node
                chosen[placed], given[placed] = end, node
                degree[end] += 1
                placed += 1
                wanted -= 1
        if wanted > 0:
            for end in pick_by_clocks(degree + attraction, mark == node, wanted, rng):
                chosen[placed], given[placed] = end, node
                degree[end] += 1
                placed += 1


@njit(cache=True)
def pick_by_clocks(weights, is_taken, count, rng):  # type: ignore[no-untyped-def]
    """Draw `count` different positions that are not taken, one after the other with probability proportional to weight.

    The smallest exponential variates / weight have that law. Weight 0, and one so small that the quotient could overflow, comes
    after every other weight, in random order.
    """
    keys = np.empty(len(weights))
    for position, weight in enumerate(weights):
        variate = -np.log(1.0 - rng.random())
        keys[position] = variate / weight if weight > SMALLEST_WEIGHT else 1e300 * (1.0 + variate)
        if is_taken[position]:
            keys[position] = np.inf
    return np.argsort(keys)[:count]
