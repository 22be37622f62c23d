"""Any graph as a layer: its own edges if the sizes fit, else its block structure scaled to the sizes of the layer."""

import logging
import math
from fractions import Fraction
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

from netsci_nn.checks import neuron_count
from netsci_nn.errors import TopologyError
from netsci_nn.generators.protocol import GENERATORS
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.topology import BipartiteTopology, Int64Array, graph_edges
from netsci_nn.topology.formats import read_graph

if TYPE_CHECKING:
    import igraph
    import networkx

    AnyGraph: TypeAlias = igraph.Graph | networkx.Graph | str | PathLike[str]

logger = logging.getLogger(__name__)

# Shares are added up as whole numbers in int64; half of its range is left for the start of the sampling.
MAX_TOTAL = 2**62


def from_graph(graph: "AnyGraph", n_in: int, n_out: int, *, rng: Rng | None = None) -> BipartiteTopology:
    """Wire a layer like a graph: a connectome, a social network, another layer.

    If the vertices carry the sides of a bipartite graph (`type` in igraph, `bipartite` in networkx: 0 or False for a
    source, 1 or True for a target), each side is taken in vertex order. Otherwise every vertex is a source and a target: a
    directed edge u -> v joins source u to target v, an undirected edge gives both directions, and a self-loop is one edge.
    Weights are ignored.

    A graph with n_in sources and n_out targets keeps its edges. Any other is scaled: both sides are laid out on the
    unit interval, on which vertex u of n covers [u / n, (u + 1) / n) and neuron i of n_in covers [i / n_in, (i + 1) / n_in),
    so that neighbours in vertex order become neighbours. W [n_out, n_in] is, for every pair of neurons, the share of the
    area they cover that the graph joins, 0 to 1; W sums to the graph's density * n_in * n_out, and that number, rounded, is
    the number of edges. They are chosen by systematic sampling in the order (dst, src): pairs with W = 1 always, the others
    with probability W; if the sum of W is not whole, W (or 1 - W, if it is rounded up) times the factor that makes up
    for the rounding. If n_in and n_out are multiples of the graph's sizes, every edge becomes a complete block.

    Both degree sequences are the graph's own, stretched: the degree of target j is the sum of row j of W, rounded down or
    up (and at most 1/2 more apart from it if the whole sum is rounded); over the starts, the degree of source i has the
    sum of column i as its mean.

    Args:
        graph: an igraph or networkx graph, or the path of a GraphML file.
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        rng: int seed or numpy Generator, for a uniform start of the sampling; None starts halfway, so that the edges are
            always the same. A graph that fits, or whose blocks are complete, leaves nothing to chance.

    Raises:
        TopologyError: when a size is out of range, the graph cannot be a layer (see `netsci_nn.topology.graph_edges`), or it is
            so sparse that scaling leaves no edge, or so large that its shares cannot be counted (a share is a multiple of
            1 / (sources * targets) at the finest, and 2^62 of these units are the limit).
        ConfigError: when the path is not a file.

    Source: systematic sampling with unequal probabilities, Madow 1949; W is the step graphon of the graph (Lovasz 2012)
    averaged over the cells of the layer. Sampling at equal steps of the sum of W, not at unit steps, is this toolkit's: it
    gives the exact number of edges even if that sum is not whole.

    Example:
        >>> import igraph
        >>> from_graph(igraph.Graph.Ring(3), 3, 3).to_mask().astype(int).tolist()
        [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    generator = None if rng is None else as_generator(rng)
    is_file = isinstance(graph, (str, PathLike))
    edges, n_sources, n_targets = graph_edges(read_graph(graph) if is_file else graph)
    if (n_sources, n_targets) == (n_in, n_out):
        logger.info("graph of %d x %d vertices and %d edges fits exactly", n_in, n_out, len(edges))
        return BipartiteTopology(n_in, n_out, edges[:, 0], edges[:, 1])
    keys = _scaled(edges, n_sources, n_targets, n_in, n_out, generator)
    sizes = (n_sources, n_targets, n_in, n_out, len(edges), len(keys))
    logger.warning("graph of %d x %d vertices is scaled to %d x %d neurons: %d edges become %d", *sizes)
    return BipartiteTopology.from_keys(keys, n_in, n_out)


@GENERATORS.register("from_graph")
def from_graph_generator(n_in: int, n_out: int, *, graph: "AnyGraph", rng: Rng | None = None) -> BipartiteTopology:
    """Wire a layer like `graph`: `from_graph` with the arguments in the order of all generators."""
    return from_graph(graph, n_in, n_out, rng=rng)


def _scaled(
    edges: Int64Array, n_sources: int, n_targets: int, n_in: int, n_out: int, rng: np.random.Generator | None
) -> Int64Array:
    """Return the keys dst * n_in + src of the scaled graph; W is held in whole units of 1 / `one`, so nothing is rounded."""
    step_in, step_out = math.gcd(n_in, n_sources), math.gcd(n_out, n_targets)
    one = (n_sources // step_in) * (n_targets // step_out)
    total = len(edges) * (n_in // step_in) * (n_out // step_out)
    n_edges = round(Fraction(total, one))
    scaling = f"graph has {len(edges)} edges between {n_sources} sources and {n_targets} targets; scaled to {n_in} x {n_out} "
    if len(edges) and not n_edges:
        raise TopologyError(f"{scaling}it has {total / one:.3g} edges, which must be at least 1 when rounded")
    keys, units = _shares(edges, n_sources, n_targets, n_in, n_out)
    if len(units) * one > MAX_TOTAL:
        raise TopologyError(
            f"{scaling}it shares edges among {len(units)} pairs, which must be at most {MAX_TOTAL // one} pairs"
        )
    is_open = units < one
    n_open = n_edges - int((~is_open).sum())
    is_chosen = ~is_open
    is_chosen[np.flatnonzero(is_open)[_systematic(units[is_open], one, n_open, rng)]] = True
    return keys[is_chosen]


def _shares(edges: Int64Array, n_sources: int, n_targets: int, n_in: int, n_out: int) -> tuple[Int64Array, Int64Array]:
    """Return the sorted keys dst * n_in + src where W is positive, and the units that it holds there."""
    ones = np.ones(len(edges), dtype=np.int64)
    adjacency = scipy.sparse.csr_array((ones, (edges[:, 1], edges[:, 0])), shape=(n_targets, n_sources))
    share = _overlap(n_out, n_targets) @ adjacency @ _overlap(n_in, n_sources).T.tocsr()
    share.sort_indices()
    dst = np.repeat(np.arange(n_out, dtype=np.int64), np.diff(share.indptr))
    return dst * n_in + share.indices, share.data


def _overlap(n_neurons: int, n_vertices: int) -> "scipy.sparse.csr_array":
    """Return the lengths [n_neurons, n_vertices] in which neurons and vertices overlap, in units of 1 / lcm of the interval."""
    step = math.gcd(n_neurons, n_vertices)
    a_neuron, a_vertex = n_vertices // step, n_neurons // step
    ends = [np.arange(n_neurons, dtype=np.int64) * a_neuron, np.arange(n_vertices, dtype=np.int64) * a_vertex]
    starts = np.unique(np.concatenate(ends))
    lengths = np.diff(starts, append=n_neurons * a_neuron)
    return scipy.sparse.csr_array((lengths, (starts // a_neuron, starts // a_vertex)), shape=(n_neurons, n_vertices))


def _systematic(units: Int64Array, one: int, count: int, rng: np.random.Generator | None) -> npt.NDArray[np.integer]:
    """Return `count` distinct positions, each with a probability near units / one, where 0 < units < one.

    One is taken at equal steps along the cumulative sum. Steps of at least `one` never meet the same position twice; if
    `count` is more than the sum holds they would be shorter, so the positions to leave out are chosen instead.
    """
    total = int(units.sum())
    if count * one > total:
        is_chosen = np.ones(len(units), dtype=np.bool_)
        is_chosen[_systematic(one - units, one, len(units) - count, rng)] = False
        return np.flatnonzero(is_chosen)
    if count == 0:
        return np.empty(0, dtype=np.int64)
    start = total // 2 if rng is None else int(rng.integers(total))
    # Point k is floor((k * total + start) / count), in an order of operations that does not overflow.
    step, rest = divmod(total, count)
    k = np.arange(count, dtype=np.int64)
    points = k * step + (k * rest + start) // count
    return np.searchsorted(np.cumsum(units), points, side="right")
