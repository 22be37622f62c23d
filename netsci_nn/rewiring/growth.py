"""Preferential growth: new edges between nodes that are all there already, drawn to those that have many."""

import numbers
from typing import NamedTuple

import numpy as np
from numba import njit

from netsci_nn.checks import neuron_count
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.sampling import as_generator
from netsci_nn.topology import Int64Array

SIDES = ("source", "target", "both")
UPDATING = ("sequential", "frozen")


def grow_preferentially(
    n_in: int,
    n_out: int,
    occupied: Int64Array,
    count: int,
    *,
    attractiveness: float = 1.0,
    updating: str = "sequential",
    side: str = "source",
    rng: np.random.Generator,
) -> tuple[Int64Array, Int64Array]:
    """Choose `count` free cells for new edges, one after the other, by preferential attachment.

    With side="source", every new edge chooses its source i with probability (k_i + a) / sum (k + a), where k is the
    out-degree, a the attractiveness and the sum goes over the sources that are not yet joined to all targets; then its
    target uniformly among those not joined to i. side="target" is the same with the sides exchanged. side="both" chooses
    the source like "source", then the target among those not joined to it with probability proportional to its
    in-degree + a. Where all weights are 0 (a = 0, no edge), all that is allowed is equally likely.

    This is not the Barabasi-Albert model, for no node arrives: no power law is to be expected at any a. Where edges are
    dropped without regard to degree and regrown like this, they condense onto a few saturated hubs, the more so the
    smaller a is; and at a = 0 a node that has lost its last edge does not come back while others have any.

    Takes O(n_in + n_out + n_edges) once, and for every new edge a few logarithms; an edge of a node that is joined to
    nearly all partners may cost a look at all of them.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        occupied: int64 `[n_edges]`, the keys dst * n_in + src of the edges that exist, sorted and distinct.
        count: number of new edges, 0 to the number of free cells, n_in * n_out - n_edges.
        attractiveness: a >= 0, finite, in edges: 0 is the literal rule, the larger, the closer to a uniform choice.
        updating: "sequential": an edge counts in the degrees as soon as it is grown; "frozen": the weights are the degrees
            at the beginning, but a node that becomes joined to all others leaves the lottery here too.
        side: "source", "target" or "both": who is chosen by degree.
        rng: numpy Generator.

    Returns:
        two int64 arrays `[count]`, the sources and the targets of the new edges, in the order in which they were grown.

    Raises:
        ConfigError: when `attractiveness`, `updating`, `side` or `rng` is not one of the above.
        TopologyError: when a size is out of range, `occupied` is not as above, or there are not `count` free cells.

    Source: Barabasi & Albert 1999, "Emergence of scaling in random networks", Pi(k_i) = k_i / sum_j k_j; the initial
    attractiveness a after Dorogovtsev, Mendes & Samukhin 2000, "Structure of growing networks with preferential linking".
    Deviations: no node growth, two sides with a degree each, no repeated edge, and so no saturated node in the sum.
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    check_growth(attractiveness, updating, side)
    _check_cells(n_in * n_out, occupied, count)
    # A uniform choice is one by degree with infinite attractiveness.
    source_attraction = np.inf if side == "target" else float(attractiveness)
    target_attraction = np.inf if side == "source" else float(attractiveness)
    is_sequential, is_source_first = updating == "sequential", side != "target"
    generator = as_generator(rng)
    return _grow(
        n_in, n_out, occupied, int(count), source_attraction, target_attraction, is_sequential, is_source_first, generator
    )


def check_growth(attractiveness: float, updating: str, side: str) -> None:
    """Raise a ConfigError unless these are allowed for `grow_preferentially`."""
    is_number = isinstance(attractiveness, numbers.Real) and not isinstance(attractiveness, (bool, np.bool_))
    if not is_number or not 0 <= attractiveness < np.inf:
        raise ConfigError(f"attractiveness is {attractiveness!r}; it must be a finite number >= 0")
    for name, value, choices in (("updating", updating, UPDATING), ("side", side, SIDES)):
        if not isinstance(value, str) or value not in choices:
            raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}")


def _check_cells(n_cells: int, occupied: Int64Array, count: int) -> None:
    if not isinstance(occupied, np.ndarray) or occupied.ndim != 1 or occupied.dtype != np.int64:
        raise TopologyError(f"occupied is {occupied!r}; it must be a 1-D array of int64 keys")
    if not _is_increasing(occupied, n_cells):
        raise TopologyError(f"occupied holds keys that are not sorted, not distinct or not from 0 to {n_cells - 1}")
    n_free = n_cells - len(occupied)
    if isinstance(count, (bool, np.bool_)) or not isinstance(count, (int, np.integer)) or not 0 <= count <= n_free:
        raise TopologyError(f"count is {count!r}; it must be an integer from 0 to {n_free}, the number of free cells")


@njit(cache=True)
def _is_increasing(keys, n_cells):  # type: ignore[no-untyped-def]
    """Return whether every key is larger than the one before it, and all are from 0 to n_cells - 1."""
    if len(keys) == 0:
        return True
    n_wrong = 0
    for edge in range(1, len(keys)):  # without a branch, so that it is vectorised
        n_wrong += keys[edge] <= keys[edge - 1]
    return n_wrong == 0 and keys[0] >= 0 and keys[-1] < n_cells


class _Taken(NamedTuple):
    """The cells that have an edge: those from before the call by row, those grown in it in a hash table."""

    occupied: Int64Array  # [n_edges], sorted keys dst * n_in + src
    start: Int64Array  # [n_out + 1], where each target's keys begin
    grown: Int64Array  # a power of two of places, -1 where empty, at least half of them
    n_in: int


class _Lottery(NamedTuple):
    """The nodes of one side that are not yet joined to all others, to be drawn by degree + attraction.

    Only the integer degrees are in the Fenwick tree, so its sums stay exact however often they change.
    """

    tree: Int64Array  # [1 + a power of two >= size], Fenwick tree of the weights; the last entry is their sum
    weight: Int64Array  # [size], the degree that counts in the lottery, 0 for who has left it
    degree: Int64Array  # [size], the degree now
    open_nodes: Int64Array  # [size], who is in the lottery, in the first n_open[0] places
    place: Int64Array  # [size], where each of them is there
    n_open: Int64Array  # [1]
    capacity: int  # the size of the other side


@njit(cache=True)
def _grow(  # type: ignore[no-untyped-def]
    n_in, n_out, occupied, count, source_attraction, target_attraction, is_sequential, is_source_first, rng
):
    """Grow edge by edge: one end from its lottery, then a partner that it is not joined to from the other."""
    out_degree, in_degree, start = _degrees(occupied, n_in, n_out)
    sources, targets = _new_lottery(out_degree, n_out), _new_lottery(in_degree, n_in)
    n_places = 2
    while n_places < 2 * count:
        n_places *= 2
    taken = _Taken(occupied, start, np.full(n_places, -1, np.int64), n_in)
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
        cell = target * n_in + source
        taken.grown[_find(taken.grown, cell)] = cell
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
    """Draw an open node with probability proportional to weight + attraction; where all of that is 0, any."""
    tree, n_open = lottery.tree, lottery.n_open[0]
    ticket = rng.random() * (tree[-1] + attraction * n_open)
    if not ticket < tree[-1]:  # so also for an infinite attraction, where 0 * inf is NaN
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
    """Draw from the lottery who is not joined to `node`, a source or a target: reject, or list when that takes too long.

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
    return taken.grown[_find(taken.grown, cell)] == -1


@njit(cache=True)
def _find(table, cell):  # type: ignore[no-untyped-def]
    """Return where the cell is in the hash table, or the empty place where it belongs."""
    mask = np.uint64(len(table) - 1)
    mixed = np.uint64(cell) * np.uint64(0x9E3779B97F4A7C15)
    place = (mixed ^ (mixed >> np.uint64(32))) & mask
    while table[place] != -1 and table[place] != cell:
        place = (place + np.uint64(1)) & mask
    return place


@njit(cache=True)
def _join(lottery, node, gain):  # type: ignore[no-untyped-def]
    """Count an edge more, which adds `gain` to the weight; who is then joined to all others leaves the lottery."""
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
