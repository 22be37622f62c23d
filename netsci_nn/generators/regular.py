"""Regular layers: every target has the same number of edges, or every source, or both."""

import numpy as np

from netsci_nn.checks import neuron_count
from netsci_nn.generators.budget import GENERATORS, resolve_n_edges
from netsci_nn.generators.configuration import realise_degrees
from netsci_nn.generators.trades import trade_edges
from netsci_nn.sampling import Rng, as_generator, distinct_per_row
from netsci_nn.topology import BipartiteTopology, Int64Array
from netsci_nn.topology.edge_order import split_cells


@GENERATORS.register("constant_fan_in")
def constant_fan_in(
    n_in: int, n_out: int, *, n_edges: int | None = None, density: float | None = None, rng: Rng
) -> BipartiteTopology:
    """Give every target the same number of sources, each set of that size equally likely.

    In-degrees are n_edges / n_out; where that is not whole they differ by one, and which targets get one more is random.
    Out-degrees are nearly binomial: sums of n_out independent coins of probability in-degree / n_in.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size or the budget is out of range.

    Source: the layout of structured sparse training, for example Lasby et al. 2023 (SRigL); drawn at random here.
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count, generator = resolve_n_edges(n_in, n_out, n_edges, density), as_generator(rng)
    return BipartiteTopology.from_keys(distinct_per_row(equal_degrees(count, n_out, generator), n_in, generator), n_in, n_out)


@GENERATORS.register("constant_fan_out")
def constant_fan_out(
    n_in: int, n_out: int, *, n_edges: int | None = None, density: float | None = None, rng: Rng
) -> BipartiteTopology:
    """Give every source the same number of targets: `constant_fan_in` with the sides exchanged.

    Out-degrees differ by at most one; in-degrees are nearly binomial. Arguments and errors as there.
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count, generator = resolve_n_edges(n_in, n_out, n_edges, density), as_generator(rng)
    dst, src = split_cells(distinct_per_row(equal_degrees(count, n_in, generator), n_out, generator), n_out)
    return BipartiteTopology.from_ends(src, dst, n_in, n_out)


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
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count, generator = resolve_n_edges(n_in, n_out, n_edges, density), as_generator(rng)
    degrees = equal_degrees(count, n_in, generator), equal_degrees(count, n_out, generator)
    return trade_edges(realise_degrees(*degrees), rng=generator)


def equal_degrees(count: int, size: int, rng: np.random.Generator) -> Int64Array:
    """Return `size` degrees that sum up to `count` and differ by at most one, in random order."""
    degrees = np.full(size, count // size, dtype=np.int64)
    degrees[: count % size] += 1
    rng.shuffle(degrees)
    return degrees
