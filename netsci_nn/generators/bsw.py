"""Bipartite small world (BSW): windows of nearest nodes on a ring, and a part of the edges redrawn at random."""

import numpy as np

from netsci_nn.checks import check_real, neuron_count
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator, distinct_cells, even_parts
from netsci_nn.topology import BipartiteTopology, Int64Array


@GENERATORS.register("bsw")
def bsw(
    n_in: int,
    n_out: int,
    *,
    n_edges: int | None = None,
    density: float | None = None,
    rewiring_probability: float = 0.1,
    rng: Rng,
) -> BipartiteTopology:
    """Join every node of the larger side to the nearest nodes of the smaller side, then draw part of the edges anew.

    The smaller side lies on a ring, one step apart. Node i of the larger side (of the sources if both are equally
    large) sits at position i * n_small / n_large and is joined to a window of consecutive nodes around it, the nearest
    ones; of two equally near nodes the following one comes first. The windows' lengths are the mean n_edges / n_large
    rounded down or up; the longer ones are evenly spread over the larger side. Each edge is then removed with the
    rewiring probability, and as many edges are drawn uniformly from all pairs that are then free, including the removed
    ones. Neither end is kept: that is the difference from `small_world`.

    Degrees: at probability 0, which leaves nothing to chance, they differ by at most one on the larger side and by few (by
    three at most in all layers up to 60 x 60) on the smaller one. At probability p a node of lattice degree k keeps a binomial
    (k, 1 - p) number of edges and gains, in a sparse layer, about a Poisson number of mean p * (mean degree of its side).
    Probability 1 is `erdos_renyi`.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        rewiring_probability: beta, 0 to 1.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, the budget or the probability is out of range.

    Source: the model BSW of Zhang, Zhao, Wu, Muscoloni & Cannistraci 2024 (Cannistraci-Hebb training). There the longer
    windows are placed at random and the number of edges is met only approximately; here both are exact.

    Example:
        >>> bsw(4, 2, n_edges=4, rewiring_probability=0, rng=0).to_edges().tolist()
        [[0, 0], [3, 0], [1, 1], [2, 1]]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    probability = check_real("rewiring_probability", rewiring_probability, lambda value: 0 <= value <= 1, "from 0 to 1")
    generator = as_generator(rng)
    n_large, n_small = max(n_in, n_out), min(n_in, n_out)
    large, small = nearest(even_parts(count, n_large), n_small)
    keys = np.sort(small * n_in + large if n_in >= n_out else large * n_in + small)
    kept = keys[generator.random(count) >= probability]
    added = distinct_cells(n_in * n_out, count - len(kept), generator, occupied=kept)
    return BipartiteTopology.from_keys(np.concatenate([kept, added]), n_in, n_out)


def nearest(lengths: Int64Array, n_ring: int) -> tuple[Int64Array, Int64Array]:
    """Return, for every node i, the `lengths[i]` nodes of a ring that are nearest to position i * n_ring / len(lengths).

    Args:
        lengths: int64 `[n_nodes]`, each 0 to n_ring.
        n_ring: number of nodes on the ring.

    Returns:
        node and ring node of every pair, int64 `[lengths.sum()]` each; of two equally near nodes the following one first.
    """
    n_nodes = len(lengths)
    node = np.repeat(np.arange(n_nodes, dtype=np.int64), lengths)
    # floor(position - (length - 1) / 2 + 1 / 2): the window's middle lies within half a step of the position.
    first = (2 * np.arange(n_nodes, dtype=np.int64) * n_ring + (2 - lengths) * n_nodes) // (2 * n_nodes)
    within = np.arange(len(node)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return node, (first[node] + within) % n_ring
