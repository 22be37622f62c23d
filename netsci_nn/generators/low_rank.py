"""Low rank: a layer as two complete layers through a bottleneck."""

from netsci_nn.checks import neuron_count
from netsci_nn.generators.grouped import grouped
from netsci_nn.topology import BipartiteTopology


def low_rank(n_in: int, n_out: int, *, rank: int) -> tuple[BipartiteTopology, BipartiteTopology]:
    """Return two complete topologies, n_in x rank and rank x n_out, whose product is a matrix of at most that rank.

    Together they have rank * (n_in + n_out) edges, which is less than the n_in * n_out of one complete layer if
    rank < n_in * n_out / (n_in + n_out); from there on nothing is saved. In the first, sources have degree rank and targets
    n_in; in the second, sources have degree n_out and targets rank. It is not a single topology, so it has no registered name.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        rank: number of neurons between the two layers, at least 1.

    Raises:
        TopologyError: when a size or the rank is out of range.

    Source: low-rank factorisation of a layer (Sainath et al. 2013; Denton et al. 2014).

    Example:
        >>> [topology.n_edges for topology in low_rank(784, 300, rank=20)]
        [15680, 6000]
    """
    n_in, n_out, rank = neuron_count("n_in", n_in), neuron_count("n_out", n_out), neuron_count("rank", rank)
    return grouped(n_in, rank, n_groups=1), grouped(rank, n_out, n_groups=1)
