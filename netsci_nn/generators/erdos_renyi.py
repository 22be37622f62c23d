"""Erdos-Renyi: every set of edges of the requested size is equally likely."""

from netsci_nn.generators.budget import GENERATORS, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator, distinct_cells
from netsci_nn.topology import BipartiteTopology


@GENERATORS.register("erdos_renyi")
def erdos_renyi(
    n_in: int, n_out: int, *, n_edges: int | None = None, density: float | None = None, rng: Rng
) -> BipartiteTopology:
    """Draw a uniformly random bipartite graph with exactly the requested number of edges, G(n_in, n_out, m).

    Degrees are hypergeometric: a source has mean n_edges / n_in. Time and memory are O(n_edges log n_edges); the
    n_in x n_out cells are listed only where more than half of them become edges.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size or the budget is out of range.

    Source: Erdos & Renyi 1959, the model G(n, m), restricted to pairs (source, target).
    """
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    return BipartiteTopology.from_keys(distinct_cells(n_in * n_out, count, as_generator(rng)), n_in, n_out)
