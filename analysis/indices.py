"""The small-world indices of a report: they compare a graph with its lattice and with the replicates that the report draws
anyway."""

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.base.quantity import Quantities, Quantity, undefined
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.lattice import ring_lattice
from analysis.nulls import randomise_layers
from analysis.registry import register_measure
from analysis.smallworld import ClusteringAndLength, clustering_and_path_length, fragmentation, small_world_reference

MEASURE = "small_world"
REFERENCE = "fixed_degrees"
"""The null model of the indices: the lattice has the graph's degrees, so random graphs of the same degrees are its
opposite."""

INDICES = ("sigma", "omega", "propensity", "delta_clustering", "delta_path_length")


def _lattice_quantities(lattice: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    clustering, length = clustering_and_path_length(lattice, rng)
    return {"lattice_clustering": clustering, "lattice_path_length": length}


def network_lattice(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """`layer_lattice` of a whole network: every layer becomes a lattice by itself, as null models randomise it by itself.

    Args:
        network: the layers.
        rng: draws the random graphs that are ordered.

    Returns:
        As `layer_lattice`.
    """
    lattice = LayeredGraph(tuple(ring_lattice(layer, rng) for layer in network.layers))
    return _lattice_quantities(lattice.folded, rng)


@register_measure(MEASURE, network=network_lattice, under_nulls=False)
def layer_lattice(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Clustering and path length of the ring lattice with the same degrees; in a report the small-world indices follow.

    Args:
        graph: the layer.
        rng: draws the random graph that is ordered.

    Returns:
        `lattice_clustering` and `lattice_path_length`. Cost as `ring_lattice`.
    """
    return _lattice_quantities(ring_lattice(graph, rng), rng)


CONTROL_REPLICATES = 20
"""Replicates behind the indices of a control, which has no other use for them."""


def control_pairs(network: LayeredGraph, rng: np.random.Generator, nulls: int) -> dict[str, list[ClusteringAndLength]]:
    """Clustering and path length of a few random networks with the degrees of a control.

    Args:
        network: the control.
        rng: the generator.
        nulls: replicates of the report; no more than these are drawn, nor more than `CONTROL_REPLICATES`.

    Returns:
        (C, L) of every replicate by section, "layer 0", ..., and "network" where there are several layers.
    """
    result: dict[str, list[ClusteringAndLength]] = {}
    for _ in range(min(nulls, CONTROL_REPLICATES)):
        drawn = randomise_layers(network, REFERENCE, rng)
        graphs = {f"layer {index}": layer for index, layer in enumerate(drawn.layers)}
        if len(drawn.layers) > 1:
            graphs["network"] = drawn.folded
        for section, graph in graphs.items():
            result.setdefault(section, []).append(clustering_and_path_length(graph, rng))
    return result


def pair_of(graph: BipartiteGraph, found: Mapping[str, Quantity], rng: np.random.Generator) -> ClusteringAndLength:
    """Clustering and path length of a graph, taken from what has been measured where it has been.

    Args:
        graph: a layer or a folded network.
        found: quantities of the graph by name.
        rng: draws sampled sources where something has to be measured on a large graph.

    Returns:
        (C, L); L is not defined for a graph in pieces, see `small_world`.
    """
    names = ("robins_alexander_clustering", "average_path_length", "giant_component_size")
    clustering, length, giant = (found.get(name) for name in names)
    if clustering is None or length is None or giant is None or giant.value is None:
        return clustering_and_path_length(graph, rng)
    return clustering, fragmentation(graph, int(giant.value)) or length


def index_quantities(
    observed: ClusteringAndLength, lattice: Mapping[str, Quantity], replicates: Sequence[ClusteringAndLength]
) -> dict[str, Quantity]:
    """Sigma, omega, propensity and its two deltas against the replicates of `REFERENCE`.

    Args:
        observed: C and L of the graph.
        lattice: the quantities of `layer_lattice`.
        replicates: C and L of the replicates.

    Returns:
        `small_world_sigma`, `_omega`, `_propensity`, `_delta_clustering` and `_delta_path_length`; see
        `analysis.smallworld.RandomReference`. All are not defined without replicates.
    """
    if not replicates:
        return without_replicates()
    ordered = (lattice["lattice_clustering"], lattice["lattice_path_length"])
    reference = small_world_reference(observed, ordered, replicates)
    return {f"small_world_{name}": getattr(reference, name) for name in INDICES}


def without_replicates() -> dict[str, Quantity]:
    """The indices of a report without replicates: not defined.

    Returns:
        The same names as `index_quantities`.
    """
    return {f"small_world_{name}": undefined("it needs replicates of the null models") for name in INDICES}
