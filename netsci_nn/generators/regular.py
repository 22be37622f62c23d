"""Random biregular: every target has the same number of edges, and so has every source."""

from netsci_nn.checks import neuron_count
from netsci_nn.generators.configuration import realise_degrees
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.generators.trades import trade_edges
from netsci_nn.sampling import Rng, as_generator, shuffled_parts
from netsci_nn.topology import BipartiteTopology


@GENERATORS.register("regular")
def regular(n_in: int, n_out: int, *, n_edges: int | None = None, density: float | None = None, rng: Rng) -> BipartiteTopology:
    """Draw a random biregular graph: constant fan-in and constant fan-out at once.

    On either side degrees differ by at most one, and which neurons get one more is random; among the graphs with these
    degrees all are equally likely (see `configuration_model`).

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size or the budget is out of range.

    Example:
        >>> topology = regular(6, 4, n_edges=12, rng=0)
        >>> topology.out_degrees.tolist(), topology.in_degrees.tolist()
        ([2, 2, 2, 2, 2, 2], [3, 3, 3, 3])
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count, generator = resolve_n_edges(n_in, n_out, n_edges, density), as_generator(rng)
    degrees = shuffled_parts(count, n_in, generator), shuffled_parts(count, n_out, generator)
    return trade_edges(realise_degrees(*degrees), rng=generator)
