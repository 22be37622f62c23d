"""Modules: groups of sources and targets that are joined more densely than the degrees explain, and each neuron's role.

Newman's modularity expects edges between neurons of one side, where a bipartite graph cannot have any; Barber's does not,
and a partition that maximises the one need not maximise the other. So Barber's own is maximised here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.base.checks import as_generator, check_count
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import FloatArray, IntArray, LongArray, as_array
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.graph.values import NOT_BIPARTITE, LayeredGraph
from analysis.measures._brim import best_labels, connected_sides
from analysis.measures.measure import Measure, takes_any_layer

RESTARTS = 10
HUB_Z = 2.5
"""Guimerà and Amaral's threshold: a neuron with a within-module z above it is a hub of its module."""

_PARTITION = ("barber_modularity", "barber_modularity_ratio", "modules")
_ROLES = ("participation_mean", "within_module_z_max", "module_hub_fraction")


@dataclass(frozen=True, eq=False)
class Modules:
    """A partition of the neurons of both sides.

    Attributes:
        source_labels: module of every source, int64 of shape [n_in]; -1 for a source without edges.
        target_labels: module of every target, int64 of shape [n_out]; -1 for a target without edges. The modules are
            numbered 0, 1, ... from the largest (neurons of both sides) to the smallest.
        modularity: Barber's modularity of the partition.
    """

    source_labels: LongArray
    target_labels: LongArray
    modularity: float

    @property
    def n_modules(self) -> int:
        """Number of modules, at least 1."""
        return int(max(self.source_labels.max(), self.target_labels.max())) + 1


@takes_any_graph
def barber_modularity(graph: BipartiteGraph, source_labels: npt.ArrayLike, target_labels: npt.ArrayLike) -> Quantity:
    """Q_B = 1/m sum_ij (A_ij - k_i d_j / m) delta(g_i, h_j), in [-1/2, 1); 0 for a single module.

    Barber (2007), "Modularity and community detection in bipartite networks", Physical Review E 76, 066102. Computed in
    integers and divided once, so it is exact to the last bit.

    Args:
        graph: one layer.
        source_labels: module g of every source, integers of shape [n_in]; a source and a target are in the same module if
            their numbers are equal.
        target_labels: module h of every target, integers of shape [n_out].

    Returns:
        The quantity; not defined without edges.

    Raises:
        AnalysisError: labels of a wrong shape or kind.

    >>> import scipy.sparse
    >>> barber_modularity(scipy.sparse.csr_array([[1, 0], [0, 1]]), [0, 1], [0, 1]).value
    0.5
    """
    if graph.n_edges == 0:
        return undefined("the graph has no edge")
    inside, expected = _inside_and_expected(graph, *_checked_labels(graph, source_labels, target_labels))
    return defined((graph.n_edges * inside - expected) / graph.n_edges**2)


def _inside_and_expected(graph: BipartiteGraph, g: LongArray, h: LongArray) -> tuple[int, int]:
    """Number of edges inside modules, and m times the number that the degrees lead one to expect there."""
    size = int(max(g.max(), h.max())) + 1
    out_sums, in_sums = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    np.add.at(out_sums, g, graph.out_degrees)
    np.add.at(in_sums, h, graph.in_degrees)
    return int(np.count_nonzero(g[graph.src] == h[graph.dst])), int((out_sums * in_sums).sum())


def _checked_labels(
    graph: BipartiteGraph, source_labels: npt.ArrayLike, target_labels: npt.ArrayLike
) -> tuple[LongArray, LongArray]:
    """The labels as consecutive numbers from 0 up."""
    sides = (
        ("source_labels", as_array(source_labels), graph.n_in),
        ("target_labels", as_array(target_labels), graph.n_out),
    )
    for name, labels, size in sides:
        if labels.shape != (size,) or not np.issubdtype(labels.dtype, np.integer):
            raise AnalysisError(f"{name} has shape {labels.shape} and dtype {labels.dtype}; {size} integers are needed")
    _, numbers = np.unique(np.concatenate([labels for _, labels, _ in sides]), return_inverse=True)
    return numbers[: graph.n_in], numbers[graph.n_in :]


@takes_any_graph
def modules(graph: BipartiteGraph, rng: int | np.random.Generator, restarts: int = RESTARTS) -> Modules:
    """A partition of high Barber modularity.

    BRIM (Barber 2007) gives every neuron of one side the module that is best while the other side stays, and takes the sides
    in turn until nothing changes; here it starts from many modules, on the smaller side one per neuron (at most
    `MAX_STARTING_MODULES`), as in LPAb+ (Liu and Murata 2010, "An efficient algorithm for optimizing bipartite modularity in
    bipartite networks", JACIII 14, 408-415). Between its runs the pairs of modules that gain most are merged, as long as one
    loses nothing, so the number of modules needs no guess. The best of `restarts` such climbs is then improved by iterated
    local search: `KICKED_SHARE` of the neurons get random modules, and the climb is repeated. Maximising modularity is
    NP-hard: the result is a lower bound. On small graphs, whose best partition an exhaustive search finds, it was up to 2.5 %
    too low; on random graphs within 1 or 2 % of what ten times the effort finds; mostly exact if modules are distinct.

    Args:
        graph: one layer with at least one edge.
        rng: seed or generator, of which one number is drawn; the same seed gives the same partition.
        restarts: number of starting partitions, at least 1.

    Returns:
        The partition; modules that can be merged without loss are. About 0.2 s for 784 x 300 with 23,520 edges, 10 s for
        4096 x 4096 with 10^6.

    Raises:
        AnalysisError: no edge, or `restarts` below 1.

    >>> import scipy.sparse
    >>> found = modules(scipy.sparse.block_diag([[[1, 1], [1, 1]], [[1, 1]]]), rng=0)
    >>> found.source_labels.tolist(), found.target_labels.tolist(), round(found.modularity, 3)
    ([0, 0, 1, 1], [0, 0, 1], 0.444)
    """
    if graph.n_edges == 0:
        raise AnalysisError("graph has no edge; modules need at least 1")
    restarts = check_count("restarts", restarts)
    if graph.n_in < graph.n_out:
        swapped = modules(graph.transposed(), rng, restarts)
        return Modules(swapped.target_labels, swapped.source_labels, swapped.modularity)
    # How much the search draws depends on the graph and its labels; whoever draws next should not notice.
    generator = np.random.default_rng(as_generator(rng).integers(2**63))
    labels = best_labels(connected_sides(graph), generator, restarts)
    has_targets, has_sources = graph.out_degrees > 0, graph.in_degrees > 0
    g, h = np.full(graph.n_in, -1, dtype=np.int64), np.full(graph.n_out, -1, dtype=np.int64)
    g[has_targets], h[has_sources] = np.split(labels, [np.count_nonzero(has_targets)])
    inside, expected = _inside_and_expected(graph, *_checked_labels(graph, g, h))
    return Modules(g, h, (graph.n_edges * inside - expected) / graph.n_edges**2)


@takes_any_graph
def participation(
    graph: BipartiteGraph, source_labels: npt.ArrayLike, target_labels: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """How evenly a neuron's edges are spread over modules: P_i = 1 - sum_s (k_is / k_i)^2, with k_is its edges into s.

    Guimerà and Amaral (2005), "Functional cartography of complex metabolic networks", Nature 433, 895-900, Methods.

    Args:
        graph: one layer.
        source_labels: module of every source, integers of shape [n_in].
        target_labels: module of every target, integers of shape [n_out].

    Returns:
        P of every source and of every target, shapes [n_in] and [n_out], in [0, 1 - 1 / number of modules]; 0 if all edges
        go into one module, and for a neuron without edges.

    Raises:
        AnalysisError: labels of a wrong shape or kind.
    """
    g, h = _checked_labels(graph, source_labels, target_labels)
    return _spread(graph.src, graph.out_degrees, h[graph.dst]), _spread(graph.dst, graph.in_degrees, g[graph.src])


def _spread(ends: IntArray, degrees: LongArray, modules_reached: LongArray) -> FloatArray:
    size = int(modules_reached.max(initial=0)) + 1
    keys, counts = np.unique(ends.astype(np.int64) * size + modules_reached, return_counts=True)
    squares = np.zeros(degrees.size, dtype=np.int64)
    np.add.at(squares, keys // size, counts**2)
    return np.where(degrees > 0, 1.0 - squares / np.maximum(degrees, 1) ** 2, 0.0)


@takes_any_graph
def within_module_z(
    graph: BipartiteGraph, source_labels: npt.ArrayLike, target_labels: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """How many edges a neuron has into its own module, against its peers: z_i = (k_i - mean(k)) / sd(k).

    The mean and the population standard deviation are over the neurons of the same module and the same side. Guimerà and
    Amaral (2005), Methods; the restriction to one side is ours, as the sides of a layer have different degrees. Arguments and
    errors as `participation`.

    Returns:
        z of every source and of every target, shapes [n_in] and [n_out]; 0 if all peers are alike.
    """
    g, h = _checked_labels(graph, source_labels, target_labels)
    inside = g[graph.src] == h[graph.dst]
    own_out = np.bincount(graph.src[inside], minlength=graph.n_in)
    own_in = np.bincount(graph.dst[inside], minlength=graph.n_out)
    return _standardised(own_out, g), _standardised(own_in, h)


def _standardised(own: LongArray, labels: LongArray) -> FloatArray:
    """(own - mean) / sd in every group, from integers, so that equal values have a spread of exactly 0."""
    sums, squares = np.zeros(labels.max() + 1, dtype=np.int64), np.zeros(labels.max() + 1, dtype=np.int64)
    np.add.at(sums, labels, own)
    np.add.at(squares, labels, own**2)
    sizes = np.bincount(labels)
    deviations = sizes[labels] * own - sums[labels]
    scale = np.sqrt(sizes * squares - sums**2)[labels]
    return np.divide(deviations, scale, out=np.zeros(own.size), where=scale > 0)


def _role_quantities(prefix: str, degrees: LongArray, spread: FloatArray, z: FloatArray) -> dict[str, Quantity]:
    connected = degrees > 0
    return {
        f"{prefix}participation_mean": defined(spread[connected].mean()),
        f"{prefix}within_module_z_max": defined(z[connected].max()),
        f"{prefix}module_hub_fraction": defined(np.count_nonzero(z[connected] > HUB_Z) / np.count_nonzero(connected)),
    }


def _partition_quantities(graph: BipartiteGraph, best: Modules) -> dict[str, Quantity]:
    _, expected = _inside_and_expected(graph, *_checked_labels(graph, best.source_labels, best.target_labels))
    largest = 1.0 - expected / graph.n_edges**2
    return {
        "barber_modularity": defined(best.modularity),
        "barber_modularity_ratio": defined(best.modularity / largest) if largest else undefined("there is a single module"),
        "modules": defined(best.n_modules),
    }


def network_community(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """`community` of the folded network, with the roles of all neurons together.

    Barber's expectation then also counts pairs in groups that no layer joins, so even a random network of many layers has
    modules, its layers; judge it by null models, which randomise every layer by itself.
    """
    if not network.is_bipartite or network.n_edges == 0:
        reason = "the graph has no edge" if network.is_bipartite else NOT_BIPARTITE
        return dict.fromkeys((*_PARTITION, *_ROLES), undefined(reason))
    graph = network.folded
    best = modules(graph, rng)
    pairs = (f(graph, best.source_labels, best.target_labels) for f in (participation, within_module_z))
    spread, z = (np.concatenate(pair) for pair in pairs)
    degrees = np.concatenate([graph.out_degrees, graph.in_degrees])
    return _partition_quantities(graph, best) | _role_quantities("", degrees, spread, z)


@takes_any_layer
def community(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """The best partition into modules that was found, and the roles of the neurons in it.

    The ratio divides Q_B by its largest value for modules of these degrees, 1 - sum_s K_s D_s / m^2 (all edges inside).
    Modularity is high in sparse random graphs too, so it says nothing without its null models. Formulas and sources stand at
    `barber_modularity`, `participation` and `within_module_z`.

    Returns:
        `barber_modularity` and `barber_modularity_ratio`, at most 1; `modules` (their number, at least 1); and for each
        side, over its neurons with edges, `participation_mean` in [0, 1), `within_module_z_max`, at least 0, and
        `module_hub_fraction` in [0, 1] (share with z above `HUB_Z`).
    """
    if graph.n_edges == 0:
        names = [f"{side}_{name}" for side in ("source", "target") for name in _ROLES]
        return {name: undefined("the graph has no edge") for name in (*_PARTITION, *names)}
    best = modules(graph, rng)
    spread = participation(graph, best.source_labels, best.target_labels)
    z = within_module_z(graph, best.source_labels, best.target_labels)
    sources = _role_quantities("source_", graph.out_degrees, spread[0], z[0])
    return _partition_quantities(graph, best) | sources | _role_quantities("target_", graph.in_degrees, spread[1], z[1])


MEASURE = Measure(
    "community", community, network=network_community, null_edge_limit=2000, governed_by=frozenset({"barber_modularity"})
)
