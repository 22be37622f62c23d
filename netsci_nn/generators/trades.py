"""Shuffling edges with fixed degrees: trades between pairs of sources (curveball)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import check_count
from netsci_nn.compiling import njit
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.topology import BipartiteTopology, Int32Array, Int64Array
from netsci_nn.topology.edge_order import sorted_by_counting
from netsci_nn.topology.value import check_topology

N_SWEEPS = 20
MAX_SWEEPS = 10**6
SEGMENTS = 4  # of the second half of a chain, which `mixing` compares


class Mixing(NamedTuple):
    """How far a chain of trades has moved away from its first graph."""

    overlap: npt.NDArray[np.float64]  # [n_sweeps], share of the first graph's edges that exist after each sweep
    is_mixed: bool  # whether the overlap has stopped falling: see `mixing`


def trade_edges(topology: BipartiteTopology, *, n_sweeps: int = N_SWEEPS, rng: Rng) -> BipartiteTopology:
    """Return a random graph with the same degree of every neuron on both sides.

    In a sweep all sources are paired at random, and every pair trades: of the targets that only one of the two has, each
    source gets as many as before, chosen at random. The chain is symmetric, so its stationary law is uniform over all
    graphs with these degrees.

    Args:
        topology: the first graph of the chain.
        n_sweeps: 0 to 10^6.
        rng: int seed or numpy Generator.

    Source: Strona et al. 2014 (curveball), the pairing of all rows after Carstens, Hamann et al. 2018 (global curveball).

    Example:
        >>> from netsci_nn.generators import erdos_renyi
        >>> first = erdos_renyi(60, 40, n_edges=400, rng=0)
        >>> shuffled = trade_edges(first, rng=1)
        >>> shuffled == first, shuffled.out_degrees.tolist() == first.out_degrees.tolist()
        (False, True)
    """
    return _traded(topology, n_sweeps, rng, None)


def mixing(topology: BipartiteTopology, *, n_sweeps: int = N_SWEEPS, rng: Rng) -> tuple[BipartiteTopology, Mixing]:
    """Return `trade_edges` of a topology and whether the chain was long enough to forget its first graph.

    The overlap with the first graph falls from 1 to a plateau. The second half of the sweeps is cut into four segments: the
    chain counts as mixed when the first segment's mean overlap is not above the last one's by more than two edges and four
    standard errors, with the number of common edges taken to be Poisson. Fewer than 8 sweeps are never enough to tell.

    Args:
        topology: the first graph of the chain.
        n_sweeps: 0 to 10^6.
        rng: int seed or numpy Generator.

    Example:
        >>> from netsci_nn.generators import erdos_renyi
        >>> shuffled, report = mixing(erdos_renyi(60, 40, n_edges=400, rng=0), rng=1)
        >>> report.is_mixed
        True
    """
    overlap = np.ones(check_count("n_sweeps", n_sweeps, 0, MAX_SWEEPS))
    shuffled = _traded(topology, n_sweeps, rng, overlap)
    if topology.n_edges == 0:
        return shuffled, Mixing(overlap, True)
    if n_sweeps < 2 * SEGMENTS:
        return shuffled, Mixing(overlap, False)
    first, *_, last = np.array_split(overlap[n_sweeps // 2 :], SEGMENTS)
    error = np.sqrt(2 * last.mean() / topology.n_edges)
    return shuffled, Mixing(overlap, bool(first.mean() - last.mean() <= 4 * error + 2 / topology.n_edges))


def trade_targets(
    out_degrees: Int64Array,
    targets: Int32Array,
    n_out: int,
    *,
    n_sweeps: int = N_SWEEPS,
    movable: npt.NDArray[np.bool_] | None = None,
    overlap: npt.NDArray[np.float64] | None = None,
    rng: np.random.Generator,
) -> None:
    """Trade in place: `targets` are int32 `[n_edges]`, source after source; see `trade_edges`.

    If `overlap` `[n_sweeps]` is given, it is filled with the share of the first edges that exist after each sweep.
    """
    pointers = np.concatenate([[0], np.cumsum(out_degrees)])
    can_move = np.ones(len(targets), np.bool_) if movable is None else movable
    begin = targets if overlap is None else targets.copy()
    for sweep in range(n_sweeps):
        _sweep(pointers, targets, can_move, rng.permutation(len(out_degrees)), n_out, rng)
        if overlap is not None:
            overlap[sweep] = _n_common(pointers, begin, targets, n_out) / max(1, len(targets))


def _traded(topology: BipartiteTopology, n_sweeps: int, rng: Rng, overlap: npt.NDArray[np.float64] | None) -> BipartiteTopology:
    check_topology("topology", topology)
    n_sweeps, generator = check_count("n_sweeps", n_sweeps, 0, MAX_SWEEPS), as_generator(rng)
    src, targets = sorted_by_counting(topology.src, topology.dst, topology.src, topology.n_in)
    trade_targets(topology.out_degrees, targets, topology.n_out, n_sweeps=n_sweeps, overlap=overlap, rng=generator)
    return BipartiteTopology.from_ends(src, targets, topology.n_in, topology.n_out)


@njit(cache=True)
def _sweep(
    pointers: Int64Array,
    targets: Int32Array,
    movable: npt.NDArray[np.bool_],
    order: Int64Array,
    n_out: int,
    rng: np.random.Generator,
) -> None:
    """Let the sources trade in pairs, in the order given; `targets` of source i begin at pointers[i]."""
    mark = np.zeros(n_out, np.uint8)  # 1 where the first source of a pair has the target, 2 where the second, 3 both
    slots, pool = np.empty(2 * n_out, np.int64), np.empty(2 * n_out, np.int32)
    for pair in range(0, len(order) - 1, 2):
        for one in range(2):
            for slot in range(pointers[order[pair + one]], pointers[order[pair + one] + 1]):
                mark[targets[slot]] |= one + 1
        n_pool = 0
        for one in range(2):
            for slot in range(pointers[order[pair + one]], pointers[order[pair + one] + 1]):
                if movable[slot] and mark[targets[slot]] != 3:
                    slots[n_pool], pool[n_pool] = slot, targets[slot]
                    n_pool += 1
        for one in range(2):
            for slot in range(pointers[order[pair + one]], pointers[order[pair + one] + 1]):
                mark[targets[slot]] = 0
        for place in range(n_pool - 1, 0, -1):
            other = int(rng.random() * (place + 1))
            pool[place], pool[other] = pool[other], pool[place]
        for place in range(n_pool):
            targets[slots[place]] = pool[place]


@njit(cache=True)
def _n_common(pointers: Int64Array, first: Int32Array, second: Int32Array, n_out: int) -> int:
    """Return the number of edges that two graphs with the same out-degrees share."""
    mark = np.full(n_out, -1, np.int64)
    count = 0
    for source in range(len(pointers) - 1):
        for slot in range(pointers[source], pointers[source + 1]):
            mark[first[slot]] = source
        for slot in range(pointers[source], pointers[source + 1]):
            count += mark[second[slot]] == source
    return count
