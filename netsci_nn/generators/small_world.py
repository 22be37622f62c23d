"""Small world: a bipartite ring lattice, part of whose edges is rewired at random."""

import math

import numpy as np

from netsci_nn.generators.budget import GENERATORS, check_real, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator, distinct_per_row
from netsci_nn.topology import BipartiteTopology, Int64Array


@GENERATORS.register("small_world")
def small_world(
    n_in: int,
    n_out: int,
    *,
    n_edges: int | None = None,
    density: float | None = None,
    rewiring_probability: float = 0.1,
    rng: Rng,
) -> BipartiteTopology:
    """Build the bipartite ring lattice and move the target end of each edge with the given probability.

    Source i sits at angle i / n_in of a circle and target j at j / n_out. In the lattice every source is joined to a
    window of consecutive targets around its angle, and the degrees on each side differ by at most one. A rewired edge
    keeps its source and takes a uniformly random target to which the source has no other edge, so that out-degrees stay
    those of the lattice. Probability 0 is exactly the lattice, probability 1 a random graph with the lattice's out-degrees.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        rewiring_probability: 0 to 1.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, the budget or the probability is out of range.

    Source: Watts & Strogatz 1998, carried over to two sides; the lattice for unequal sides and any budget is this
    toolkit's.
    """
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    probability = check_real("rewiring_probability", rewiring_probability, lambda value: 0 <= value <= 1, "from 0 to 1")
    generator = as_generator(rng)
    cells = _lattice(n_in, n_out, count)
    moved = generator.random(count) < probability
    counts = np.bincount(cells[moved] // n_out, minlength=n_in)
    kept = cells[~moved]
    cells = np.concatenate([kept, distinct_per_row(counts, n_out, generator, occupied=kept)])
    return BipartiteTopology.from_keys((cells % n_out) * n_in + cells // n_out, n_in, n_out)


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
    last[served_next[_evenly_spread(rest, len(served_next))]] += 1
    lengths = last - first
    rows = np.repeat(source, lengths)
    offset = np.arange(n_edges) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.sort(rows * n_out + (first[rows] + offset) % n_out)


def _offsets(n_in: int, step: int, whole: int, rest: int) -> tuple[int, int]:
    """Return multiples of `step`, `whole` steps apart, that centre the windows on their sources' angles.

    The mean of a window's first and last target is i * n_out / n_in + (low + high - n_in - (n_in - step)) / (2 n_in).
    """
    low = step * round((2 * n_in - step - (whole + rest / step) * step) / (2 * step))
    return low, low + whole * step


def _evenly_spread(count: int, size: int) -> Int64Array:
    """Return `count` of the positions 0..size - 1, evenly spread."""
    return np.arange(count, dtype=np.int64) * size // max(count, 1)
