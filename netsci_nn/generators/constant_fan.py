"""Constant fan-in and constant fan-out: every target, or every source, has the same number of edges."""

from netsci_nn.checks import neuron_count
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator, distinct_per_row, shuffled_parts
from netsci_nn.topology import BipartiteTopology
from netsci_nn.topology.edge_order import split_cells


@GENERATORS.register("constant_fan_in")
def constant_fan_in(
    n_in: int, n_out: int, *, n_edges: int | None = None, density: float | None = None, rng: Rng
) -> BipartiteTopology:
    """Give every target the same number of sources, each set of that size equally likely.

    In-degrees are n_edges / n_out; if that is not whole they differ by one, and which targets get one more is random.
    Out-degrees are nearly binomial: sums of n_out independent coins with probability in-degree / n_in.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size or the budget is out of range.

    Source: the layout of structured sparse training, for example Lasby et al. 2023 (SRigL); here it is drawn at random.

    Example:
        >>> constant_fan_in(8, 4, n_edges=12, rng=0).in_degrees.tolist()
        [3, 3, 3, 3]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count, generator = resolve_n_edges(n_in, n_out, n_edges, density), as_generator(rng)
    return BipartiteTopology.from_keys(distinct_per_row(shuffled_parts(count, n_out, generator), n_in, generator), n_in, n_out)


@GENERATORS.register("constant_fan_out")
def constant_fan_out(
    n_in: int, n_out: int, *, n_edges: int | None = None, density: float | None = None, rng: Rng
) -> BipartiteTopology:
    """Give every source the same number of targets: `constant_fan_in` with the sides exchanged.

    Out-degrees differ by at most one; in-degrees are nearly binomial. Arguments and errors as there.

    Example:
        >>> constant_fan_out(8, 4, n_edges=16, rng=0).out_degrees.tolist()
        [2, 2, 2, 2, 2, 2, 2, 2]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count, generator = resolve_n_edges(n_in, n_out, n_edges, density), as_generator(rng)
    dst, src = split_cells(distinct_per_row(shuffled_parts(count, n_in, generator), n_out, generator), n_out)
    return BipartiteTopology.from_ends(src, dst, n_in, n_out)
