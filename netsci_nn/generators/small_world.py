"""Small world: a bipartite ring lattice with a part of its edges rewired at random."""

import math

import numpy as np

from netsci_nn.checks import check_choice, check_real, neuron_count
from netsci_nn.compiling import njit
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.generators.trades import trade_targets
from netsci_nn.sampling import Rng, as_generator, distinct_per_row, even_borders
from netsci_nn.topology import BipartiteTopology, Int64Array
from netsci_nn.topology.edge_order import split_cells

REWIRINGS = ("target_end", "swap")


@GENERATORS.register("small_world")
def small_world(
    n_in: int,
    n_out: int,
    *,
    n_edges: int | None = None,
    density: float | None = None,
    rewiring_probability: float = 0.1,
    rewiring: str = "target_end",
    rng: Rng,
) -> BipartiteTopology:
    """Build the bipartite ring lattice and rewire each edge with the given probability.

    Source i sits at angle i / n_in of a circle and target j at j / n_out. In the lattice every source is joined to a
    window of consecutive targets around its angle; the degrees on each side differ by at most one, and no other graph with
    such degrees has a smaller sum of circular distances over its edges (compared with the optimum of the linear programme in
    the tests, not proven). Then every edge is chosen with probability p, and

    - `"target_end"`: a chosen edge keeps its source and takes a uniformly random target to which the source has no other
      edge. Out-degrees stay those of the lattice, in-degrees become those of a random graph.
    - `"swap"`: the chosen edges exchange their targets among each other, by trades between pairs of sources. All degrees stay
      those of the lattice.

    Probability 0 is exactly the lattice, probability 1 a random graph with the degrees that the rewiring keeps.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        rewiring_probability: p, 0 to 1.
        rewiring: "target_end" or "swap".
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, the budget, the probability or the rewiring is not allowed.

    Source: Watts & Strogatz 1998, carried over to two sides; the lattice for unequal sides and any budget is this
    toolkit's. "swap" after Maslov & Sneppen 2002, with trades (see `netsci_nn.generators.trades`) for single swaps.

    Example:
        >>> small_world(4, 4, n_edges=8, rewiring_probability=0, rng=0).to_mask().astype(int).tolist()
        [[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
        >>> small_world(4, 4, n_edges=8, rewiring_probability=0.5, rng=0).out_degrees.tolist()
        [2, 2, 2, 2]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    probability = check_real("rewiring_probability", rewiring_probability, lambda value: 0 <= value <= 1, "from 0 to 1")
    check_choice("rewiring", rewiring, REWIRINGS)
    generator = as_generator(rng)
    cells = _lattice(n_in, n_out, count)
    if rewiring == "target_end":
        kept, counts = _choose_kept(cells, n_in, n_out, probability, generator)
        cells = np.concatenate([kept, distinct_per_row(counts, n_out, generator, occupied=kept)])
        del kept
    dst, src = split_cells(cells, n_out)
    del cells
    if rewiring == "swap" and probability > 0:
        movable = generator.random(count) < probability
        trade_targets(np.bincount(src, minlength=n_in), dst, n_out, movable=movable, rng=generator)
    return BipartiteTopology.from_ends(src, dst, n_in, n_out)


@njit(cache=True)
def _choose_kept(cells, n_in, n_out, probability, rng):  # type: ignore[no-untyped-def]
    """Return the cells that stay, each with 1 - probability, and how many of each source do not."""
    kept, counts, n_kept = np.empty_like(cells), np.zeros(n_in, np.int64), 0
    for cell in cells:
        if rng.random() < probability:
            counts[cell // n_out] += 1
        else:
            kept[n_kept] = cell
            n_kept += 1
    return kept[:n_kept], counts


def _lattice(n_in: int, n_out: int, n_edges: int) -> Int64Array:
    """Return the sorted cells source * n_out + target of the lattice.

    Source i takes the targets floor((i * n_out + low) / n_in) to floor((i * n_out + high) / n_in) - 1, modulo n_out.
    Starts and ends are evenly spread, so the number of windows over a target is a difference of two counts that each are
    exact to less than one: it takes two neighbouring values, and so do the windows' lengths. With g = gcd(n_in, n_out)
    the windows hold g * (floor(high / g) - floor(low / g)) edges; the remaining n_edges mod g are given to the first
    sources that the next value of `high` would serve.
    """
    step = math.gcd(n_in, n_out)
    whole, rest = divmod(n_edges, step)
    low, high = _offsets(n_in, step, whole, rest)
    source = np.arange(n_in, dtype=np.int64)
    first, last = (source * n_out + low) // n_in, (source * n_out + high) // n_in
    served_next = np.flatnonzero((source * n_out + high + step) // n_in > last)
    last[served_next[even_borders(len(served_next), max(rest, 1))[:rest]]] += 1
    return _cells_of_windows(first, last, n_out, n_edges)


@njit(cache=True)
def _cells_of_windows(first, last, n_out, n_edges):  # type: ignore[no-untyped-def]
    """Return the sorted cells row * n_out + target of the targets first[row] to last[row] - 1, modulo n_out."""
    cells, place = np.empty(n_edges, np.int64), 0
    for row in range(len(first)):
        begin = place
        for target in range(first[row], last[row]):
            cells[place] = row * n_out + target % n_out
            place += 1
        cells[begin:place].sort()
    return cells


def _offsets(n_in: int, step: int, whole: int, rest: int) -> tuple[int, int]:
    """Return multiples of `step`, `whole` steps apart, that centre the windows on their sources' angles.

    The mean of a window's first and last target is i * n_out / n_in + (low + high - n_in - (n_in - step)) / (2 n_in).
    """
    low = step * round((2 * n_in - step - (whole + rest / step) * step) / (2 * step))
    return low, low + whole * step
