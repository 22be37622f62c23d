"""Small-worldness of a bipartite layer: clustered like a lattice, yet short like a random graph?

The usual indices count triangles, of which a bipartite graph has none; here clustering is that of Robins and Alexander
(4-cycles per 3-path), and every graph that is compared with is bipartite. In a report, the indices compare a graph with its
lattice and with the replicates that the report draws anyway.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.base.checks import as_generator, check_count
from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import FloatArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.graph.values import NOT_BIPARTITE, LayeredGraph
from analysis.measures.clustering import robins_alexander_clustering
from analysis.measures.measure import Measure, takes_any_layer
from analysis.measures.paths import average_path_length, component_sizes
from analysis.nulls.lattice import ring_lattice
from analysis.nulls.models import randomise_layers
from analysis.nulls.switching import SWAPS_PER_EDGE

NAME = "small_world"

REFERENCE = "fixed_degrees"
"""The null model of the indices: the lattice has the graph's degrees, so random graphs of the same degrees are its
opposite."""

INDICES = ("sigma", "omega", "propensity", "delta_clustering", "delta_path_length")

CONTROL_REPLICATES = 20
"""Replicates behind the indices of a control, which has no other use for them."""

ClusteringAndLength = tuple[Quantity, Quantity]

MIN_GIANT_FRACTION = 0.5
"""The path length speaks for a graph only if at least this share of the neurons that have an edge are connected."""


@dataclass(frozen=True, eq=False)
class RandomReference:
    """One null model beside the graph, and the indices against it.

    Attributes:
        clustering_replicates: C of every replicate, float64 of shape [nulls], without those in which it is not defined.
        path_length_replicates: L likewise.
        clustering: mean of C over all replicates; not defined if it is not in any one of them.
        path_length: mean of L likewise.
        sigma: (C / C_random) / (L / L_random), above 0; about 1 for a random graph. It grows with the size of the graph, so
            no threshold is put on it: ask the replicates whether C is larger than chance.
        omega: L_random / L - C / C_lattice; about -1 for a lattice, 0 for a small world, 1 for a random graph.
        propensity: 1 - sqrt((delta_clustering^2 + delta_path_length^2) / 2), in [0, 1]; as both deltas are clipped, a
            perfect lattice and a random graph have 1 - 1 / sqrt(2) = 0.293.
        delta_clustering: (C_lattice - C) / (C_lattice - C_random), clipped to [0, 1]; 0 for a lattice.
        delta_path_length: (L - L_random) / (L_lattice - L_random), clipped to [0, 1]; 0 for a random graph, above 1/2
            if the path length is nearer the lattice's.
    """

    clustering_replicates: FloatArray
    path_length_replicates: FloatArray
    clustering: Quantity
    path_length: Quantity
    sigma: Quantity
    omega: Quantity
    propensity: Quantity
    delta_clustering: Quantity
    delta_path_length: Quantity


@dataclass(frozen=True, eq=False)
class SmallWorld:
    """Clustering and path length of a layer, of its lattice and of its null models.

    Attributes:
        clustering: Robins-Alexander clustering C of the layer, in [0, 1].
        path_length: average path length L over connected pairs, at least 1; with a standard error if it is sampled.
        clustering_lattice: C of the ring lattice with the same degrees.
        path_length_lattice: L of that lattice.
        fixed_degrees: against random graphs with the same degrees: the primary reference, since the lattice has these
            degrees too.
        erdos_renyi: against random graphs with the same number of edges.
    """

    clustering: Quantity
    path_length: Quantity
    clustering_lattice: Quantity
    path_length_lattice: Quantity
    fixed_degrees: RandomReference
    erdos_renyi: RandomReference

    @property
    def sigma(self) -> Quantity:
        """Sigma against the graphs with the same degrees."""
        return self.fixed_degrees.sigma

    @property
    def omega(self) -> Quantity:
        """Omega against the graphs with the same degrees."""
        return self.fixed_degrees.omega

    @property
    def propensity(self) -> Quantity:
        """Small-world propensity against the graphs with the same degrees."""
        return self.fixed_degrees.propensity


@takes_any_graph
def small_world(
    graph: BipartiteGraph, rng: int | np.random.Generator, nulls: int = 20, swaps_per_edge: int = SWAPS_PER_EDGE
) -> SmallWorld:
    """Bipartite sigma, omega and small-world propensity, against two null models and one lattice.

    Sigma: Humphries and Gurney (2008), "Network small-world-ness", PLoS ONE 3, e0002051. Omega: Telesford et al. (2011),
    "The ubiquity of small-world networks", Brain Connectivity 1, 367-375. Propensity: Muldoon, Bridgeford and Bassett
    (2016), "Small-world propensity and weighted brain networks", Scientific Reports 6, 22057. Carried over to bipartite
    graphs by the choice of C (Robins and Alexander 2004), of the null models and of the lattice; the deltas are clipped
    on both sides.

    Graphs in pieces: L is the mean over connected pairs, so that of a graph in small pieces is short and says nothing. Of each
    graph (the layer, each replicate, the lattice) it is therefore not defined if the largest component holds less than half of
    the neurons that have an edge, and neither are the indices that need it.

    Args:
        graph: one layer (of a folded network the null models would join neurons that no edge may join).
        rng: seed or generator.
        nulls: replicates of each null model, at least 1.
        swaps_per_edge: of "fixed_degrees".

    Returns:
        The indices. Cost about (2 + 2 * nulls) times that of clustering and path length (sampled above 10,000 neurons),
        and that of `ring_lattice`.

    Raises:
        AnalysisError: `nulls` or `swaps_per_edge` is not an integer of at least 1.

    >>> import scipy.sparse
    >>> ring = scipy.sparse.csr_array([[abs(s - t) % 29 <= 1 for s in range(30)] for t in range(30)])
    >>> world = small_world(ring, rng=0, nulls=5)
    >>> world.clustering.value > world.fixed_degrees.clustering.value
    True
    """
    check_count("nulls", nulls)
    generator = as_generator(rng)
    observed = clustering_and_path_length(graph, generator)
    ordered = clustering_and_path_length(ring_lattice(graph, generator, swaps_per_edge), generator)
    references = []
    for null in ("fixed_degrees", "erdos_renyi"):
        replicates = reference_pairs(LayeredGraph((graph,)), null, nulls, generator, swaps_per_edge)["layer 0"]
        references.append(small_world_reference(observed, ordered, replicates))
    return SmallWorld(*observed, *ordered, *references)


@takes_any_graph
def clustering_and_path_length(graph: BipartiteGraph, rng: np.random.Generator) -> ClusteringAndLength:
    """(C, L): Robins-Alexander clustering, and the average path length unless the graph is in pieces (see `small_world`)."""
    in_pieces = fragmentation(graph, int(component_sizes(graph).max()))
    return robins_alexander_clustering(graph), average_path_length(graph, rng) if in_pieces is None else in_pieces


def fragmentation(graph: BipartiteGraph, giant: int) -> Quantity | None:
    """Why the path length does not speak for a graph whose largest component has `giant` neurons, or None if it does."""
    joined = np.count_nonzero(graph.out_degrees) + np.count_nonzero(graph.in_degrees)
    if giant >= MIN_GIANT_FRACTION * joined:
        return None
    return undefined(f"the graph is in pieces: the largest holds {giant} of the {joined} neurons that have an edge")


def small_world_reference(
    observed: ClusteringAndLength, ordered: ClusteringAndLength, replicates: Sequence[ClusteringAndLength]
) -> RandomReference:
    """The indices of a graph against the replicates of one null model, from its (C, L), the lattice's and the replicates'."""
    every_clustering, every_length = [pair[0] for pair in replicates], [pair[1] for pair in replicates]
    clustering, length = _mean(every_clustering), _mean(every_length)
    delta_clustering = _combined(_clustering_delta, observed[0], clustering, ordered[0])
    delta_length = _combined(_length_delta, observed[1], length, ordered[1])
    return RandomReference(
        _values(every_clustering),
        _values(every_length),
        clustering,
        length,
        sigma=_combined(_sigma, observed[0], clustering, observed[1], length),
        omega=_combined(_omega, observed[0], ordered[0], observed[1], length),
        propensity=_combined(_propensity, delta_clustering, delta_length),
        delta_clustering=delta_clustering,
        delta_path_length=delta_length,
    )


def _values(quantities: Sequence[Quantity]) -> FloatArray:
    return np.array([quantity.value for quantity in quantities if quantity.value is not None], dtype=np.float64)


def _mean(quantities: Sequence[Quantity]) -> Quantity:
    missing = [quantity.reason for quantity in quantities if quantity.value is None]
    if missing:
        return undefined(f"not defined in {len(missing)} of {len(quantities)} replicates: {missing[0]}")
    return defined(_values(quantities).mean())


def _combined(formula: Callable[..., float | str], *parts: Quantity) -> Quantity:
    """The formula of the parts' values, or the reason why there is none: a part's, or the text that the formula gives."""
    for part in parts:
        if part.value is None:
            return part
    result = formula(*(part.value for part in parts))
    return undefined(result) if isinstance(result, str) else defined(result)


def _sigma(clustering: float, random_clustering: float, length: float, random_length: float) -> float | str:
    if random_clustering == 0:
        return "the replicates of the null model have no clustering"
    return clustering / random_clustering / (length / random_length)


def _omega(clustering: float, lattice_clustering: float, length: float, random_length: float) -> float | str:
    if lattice_clustering == 0:
        return "the lattice with these degrees has no clustering"
    return random_length / length - clustering / lattice_clustering


def _clustering_delta(clustering: float, random_clustering: float, lattice_clustering: float) -> float | str:
    if lattice_clustering <= random_clustering:
        return "the lattice with these degrees is not more clustered than the null model"
    return min(max((lattice_clustering - clustering) / (lattice_clustering - random_clustering), 0.0), 1.0)


def _length_delta(length: float, random_length: float, lattice_length: float) -> float | str:
    if lattice_length <= random_length:
        return "the lattice with these degrees has no longer paths than the null model"
    return min(max((length - random_length) / (lattice_length - random_length), 0.0), 1.0)


def _propensity(delta_clustering: float, delta_length: float) -> float:
    return 1.0 - math.sqrt((delta_clustering**2 + delta_length**2) / 2.0)


def _lattice_quantities(lattice: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    clustering, length = clustering_and_path_length(lattice, rng)
    return {"lattice_clustering": clustering, "lattice_path_length": length}


def network_lattice(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """`layer_lattice` of a whole network: every layer becomes a lattice by itself, as null models randomise it by itself.

    Not defined if the network is not bipartite.
    """
    if not network.is_bipartite:
        return dict.fromkeys(("lattice_clustering", "lattice_path_length"), undefined(NOT_BIPARTITE))
    lattice = network.with_layers([ring_lattice(layer, rng) for layer in network.layers])
    return _lattice_quantities(lattice.folded, rng)


@takes_any_layer
def layer_lattice(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """`lattice_clustering` and `lattice_path_length` of the ring lattice with the same degrees; a report adds the indices."""
    return _lattice_quantities(ring_lattice(graph, rng), rng)


def reference_pairs(
    network: LayeredGraph, null: str, replicates: int, rng: np.random.Generator, swaps_per_edge: int = SWAPS_PER_EDGE
) -> dict[str, list[ClusteringAndLength]]:
    """(C, L) of every replicate of a null model by section: "layer 0", ..., and "network" unless it is a single layer."""
    result: dict[str, list[ClusteringAndLength]] = {}
    for _ in range(replicates):
        drawn = randomise_layers(network, null, rng, swaps_per_edge)
        pairs = {f"layer {index}": clustering_and_path_length(layer, rng) for index, layer in enumerate(drawn.layers)}
        if not drawn.is_single:
            pairs["network"] = pair_of_network(drawn, {}, rng)
        for section, pair in pairs.items():
            result.setdefault(section, []).append(pair)
    return result


def pair_of_network(network: LayeredGraph, found: Mapping[str, Quantity], rng: np.random.Generator) -> ClusteringAndLength:
    """`pair_of` the folded network; not defined if it is not bipartite."""
    if not network.is_bipartite:
        return undefined(NOT_BIPARTITE), undefined(NOT_BIPARTITE)
    return pair_of(network.folded, found, rng)


def pair_of(graph: BipartiteGraph, found: Mapping[str, Quantity], rng: np.random.Generator) -> ClusteringAndLength:
    """(C, L) of a graph, from the quantities that have been measured as far as they go; see `clustering_and_path_length`."""
    names = ("robins_alexander_clustering", "average_path_length", "giant_component_size")
    clustering, length, giant = (found.get(name) for name in names)
    if clustering is None or length is None or giant is None or giant.value is None:
        return clustering_and_path_length(graph, rng)
    return clustering, fragmentation(graph, int(giant.value)) or length


def index_quantities(
    observed: ClusteringAndLength, lattice: Mapping[str, Quantity], replicates: Sequence[ClusteringAndLength]
) -> dict[str, Quantity]:
    """`small_world_sigma`, `_omega`, `_propensity`, `_delta_clustering` and `_delta_path_length` against the replicates.

    See `RandomReference`. `lattice` holds the quantities of `layer_lattice`. All are not defined without replicates.
    """
    if not replicates:
        return without_replicates()
    ordered = (lattice["lattice_clustering"], lattice["lattice_path_length"])
    reference = small_world_reference(observed, ordered, replicates)
    return {f"small_world_{name}": getattr(reference, name) for name in INDICES}


def without_replicates() -> dict[str, Quantity]:
    """The indices of a report without replicates: not defined."""
    return {f"small_world_{name}": undefined("it needs replicates of the null models") for name in INDICES}


MEASURE = Measure(NAME, layer_lattice, network=network_lattice, under_nulls=False)
