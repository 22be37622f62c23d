"""Relational graph: neurons belong to the nodes of an undirected graph, and joined nodes have all edges."""

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import check_count, check_real, neuron_count
from netsci_nn.generators.protocol import GENERATORS
from netsci_nn.sampling import Rng, as_generator, even_borders
from netsci_nn.topology import BipartiteTopology, Int64Array


@GENERATORS.register("relational")
def relational(
    n_in: int,
    n_out: int,
    *,
    n_nodes: int = 64,
    degree: float,
    rewiring_probability: float = 0.0,
    rng: Rng,
) -> BipartiteTopology:
    """Draw a WS-flex graph on n_nodes nodes and expand it to the sizes of the layer.

    The node graph is a Watts-Strogatz graph whose mean degree is any real number: round(degree * n_nodes / 2) undirected
    edges, floor(degree / 2) from every node to its next neighbours on a ring and the rest from distinct random nodes, one
    step further. Node by node, each edge from a node to the next ones is rewired with the given probability: its far end
    becomes a uniformly random node that the node is not yet joined to. A node with too few of those keeps edges. Every node
    is also joined to itself. Sources and targets are dealt out to the nodes in order, in shares that differ by at most one,
    and the sources of a node are joined to all targets of the node itself and of its neighbours.

    A source of a node with k neighbours has degree (k + 1) * n_out / n_nodes and a target (k + 1) * n_in / n_nodes, exactly
    if n_nodes divides the sizes, so the density is then (2 * round(degree * n_nodes / 2) + n_nodes) / n_nodes^2. Without
    rewiring k takes the values 2 floor(degree / 2) + 0, 1 and 2. The graph is undirected, so the layer is symmetric at the
    level of nodes: the targets of node a are joined to the sources of node b exactly if those of b are joined to those of a.

    Graph2NN uses one graph for all layers of a width, and compares graphs at equal FLOPs by widening the sparser nets. Layers
    drawn with different seeds are not that network, and a comparison at equal width may come out the other way round.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_nodes: 1 to min(n_in, n_out); memory and time grow with its square.
        degree: mean number of neighbours of a node, 0 to n_nodes - 1 (the complete layer).
        rewiring_probability: 0 to 1.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, n_nodes, the degree or the probability is out of range.

    Source: You, Leskovec, He & Xie 2020, "Graph Structure of Neural Networks" (Graph2NN), after Watts & Strogatz 1998.
    Deviations: the rest of the edges goes to random nodes, not to the first ones; the edges of a node are rewired at once,
    not one after the other; larger shares are spread evenly, not at random; degrees below 2 are allowed, and the graph may
    be disconnected.

    Example:
        >>> relational(8, 8, n_nodes=4, degree=2, rng=0).in_degrees.tolist()
        [6, 6, 6, 6, 6, 6, 6, 6]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    n_nodes = check_count("n_nodes", n_nodes, 1, min(n_in, n_out), "min(n_in, n_out)")
    degree = check_real("degree", degree, lambda value: 0 <= value <= n_nodes - 1, f"from 0 to n_nodes - 1 = {n_nodes - 1}")
    probability = check_real("rewiring_probability", rewiring_probability, lambda value: 0 <= value <= 1, "from 0 to 1")
    generator = as_generator(rng)
    near, far = _ring(n_nodes, degree, generator)
    is_joined = _rewire(near, far, n_nodes, generator.random(len(near)) < probability, generator)
    return BipartiteTopology.from_keys(_expand(is_joined, n_in, n_out), n_in, n_out)


def _ring(n_nodes: int, degree: float, rng: np.random.Generator) -> tuple[Int64Array, Int64Array]:
    """Return the near and the far end of every edge of the ring lattice, sorted by near end."""
    n_steps = int(degree / 2)
    rest = round(degree * n_nodes / 2) - n_nodes * n_steps
    near = np.repeat(np.arange(n_nodes, dtype=np.int64), n_steps)
    far = near + np.tile(np.arange(1, n_steps + 1, dtype=np.int64), n_nodes)
    # Two opposite nodes reach each other in the same step: one of the two, at random, has their edge.
    is_opposite = 2 * (n_steps + 1) == n_nodes
    extra = rng.choice(n_nodes // 2 if is_opposite else n_nodes, size=rest, replace=False, shuffle=False).astype(np.int64)
    if is_opposite:
        extra += n_nodes // 2 * rng.integers(2, size=rest)
    near, far = np.concatenate([near, extra]), np.concatenate([far, extra + n_steps + 1])
    order = np.lexsort((far, near))
    return near[order], far[order] % n_nodes


def _rewire(
    near: Int64Array, far: Int64Array, n_nodes: int, is_moved: npt.NDArray[np.bool_], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Move far ends; return the symmetric matrix [n_nodes, n_nodes] of joined nodes, every node being joined to itself."""
    is_joined = np.eye(n_nodes, dtype=np.bool_)
    is_joined[near, far] = is_joined[far, near] = True
    moved_far = far[is_moved]
    ends = np.searchsorted(near[is_moved], np.arange(n_nodes + 1))
    for node in np.flatnonzero(np.diff(ends)):
        left = moved_far[ends[node] : ends[node + 1]]
        free = np.flatnonzero(~is_joined[node])
        if len(free) < len(left):
            left = rng.choice(left, size=len(free), replace=False, shuffle=False)
        taken = rng.choice(free, size=len(left), replace=False, shuffle=False)
        is_joined[node, left] = is_joined[left, node] = False
        is_joined[node, taken] = is_joined[taken, node] = True
    return is_joined


def _expand(is_joined: npt.NDArray[np.bool_], n_in: int, n_out: int) -> Int64Array:
    """Return the keys dst * n_in + src of the layer in which joined nodes are joined completely."""
    n_nodes = len(is_joined)
    first_source = even_borders(n_in, n_nodes)
    node, neighbour = np.nonzero(is_joined)
    lengths = np.diff(first_source)[neighbour]
    sources = _ranges(first_source[neighbour], lengths)
    n_heard = np.bincount(node, weights=lengths, minlength=n_nodes).astype(np.int64)
    node_of_target = np.repeat(np.arange(n_nodes), np.diff(even_borders(n_out, n_nodes)))
    in_degrees = n_heard[node_of_target]
    src = sources[_ranges((np.cumsum(n_heard) - n_heard)[node_of_target], in_degrees)]
    return np.repeat(np.arange(n_out, dtype=np.int64), in_degrees) * n_in + src


def _ranges(starts: Int64Array, lengths: Int64Array) -> Int64Array:
    """Return start, start + 1, ..., start + length - 1 for every pair, one after the other."""
    return np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
