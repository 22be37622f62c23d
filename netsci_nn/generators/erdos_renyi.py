"""Erdos-Renyi: every pair of a source and a target is equally likely to be an edge."""

import numpy as np

from netsci_nn.checks import check_choice, neuron_count
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator, distinct_cells
from netsci_nn.topology import BipartiteTopology

VARIANTS = ("gnm", "gnp", "with_replacement")


@GENERATORS.register("erdos_renyi")
def erdos_renyi(
    n_in: int, n_out: int, *, n_edges: int | None = None, density: float | None = None, variant: str = "gnm", rng: Rng
) -> BipartiteTopology:
    """Draw a uniformly random bipartite graph.

    Three models go by this name, and only the first has exactly the requested number of edges:

    - `"gnm"`: every set of n_edges pairs is equally likely. Degrees are hypergeometric: a source has mean n_edges / n_in.
    - `"gnp"`: every pair is an edge with probability p = n_edges / (n_in * n_out), independently. The number of edges is
      binomial with mean n_edges, a source's degree Binomial(n_out, p).
    - `"with_replacement"`: n_edges pairs are drawn with replacement and repetitions merged, which leaves
      N (1 - (1 - 1 / N)^n_edges) edges on average, N = n_in * n_out: fewer than asked for.

    Time is O(n_edges log n_edges), memory O(n_edges); the n_in x n_out cells are listed only if more than half of them
    become edges.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: number of edges (exact, or the mean, or that of the draws), 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges; the p of "gnp" itself.
        variant: "gnm", "gnp" or "with_replacement".
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, the budget or the variant is not allowed.

    Source: "gnm": Erdos & Renyi 1959; "gnp": Gilbert 1959; both restricted to pairs (source, target). "with_replacement" is
    what the published SciPy code of SET draws.

    Example:
        >>> erdos_renyi(784, 300, density=0.1, rng=0).n_edges
        23520
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    check_choice("variant", variant, VARIANTS)
    generator, n_cells = as_generator(rng), n_in * n_out
    if variant == "with_replacement":
        return BipartiteTopology.from_keys(np.unique(generator.integers(n_cells, size=count)), n_in, n_out)
    if variant == "gnp":
        # A binomial number of edges, and every set of that size equally likely, is the law of one coin per pair.
        count = int(generator.binomial(n_cells, count / n_cells if density is None else density))
    return BipartiteTopology.from_keys(distinct_cells(n_cells, count, generator), n_in, n_out)
