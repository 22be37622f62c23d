"""Chain removal: edges of a network that no signal passes, since a hidden neuron has no edge on its other side."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from netsci_nn.checks import is_iterable
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.topology import BipartiteTopology, BoolArray, Int64Array, IntArray
from netsci_nn.topology.value import check_topology


class ChainRemoval(NamedTuple):
    """What chain removal takes from a network.

    Attributes:
        removed: per layer the positions of the edges that go, int64, increasing.
        active_before: how many hidden neurons have edges on both sides.
        active_after: how many have without the removed edges.
    """

    removed: tuple[Int64Array, ...]
    active_before: int
    active_after: int

    @property
    def active_rate(self) -> float | None:
        """active_after / active_before, from 0 to 1; None if no hidden neuron was active."""
        return self.active_after / self.active_before if self.active_before else None


def chain_removal(topologies: Sequence[BipartiteTopology]) -> ChainRemoval:
    """Find the edges of hidden neurons without incoming or without outgoing edges, repeatedly until there are none.

    Inputs and outputs keep their edges. Takes O(edges + neurons).

    Args:
        topologies: of the layers of a chain, from the input on: the targets of one are the sources of the next.

    Returns:
        the edges that go, and the numbers of active hidden neurons. Deviation: the authors' active neuron post-percolation rate
        also counts inputs and outputs, and divides by all neurons.

    Raises:
        TopologyError: if one of them is no topology, or has another number of sources than the last one has targets.
        ConfigError: if there is none.

    Source: Zhang et al. 2024, "Epitopological learning and Cannistraci-Hebb network shape intelligence"; the removal is that of
    its code, one pass from the output to the input and one back.

    Example:
        >>> first = BipartiteTopology(2, 3, src=[0, 1], dst=[0, 1])  # hidden neuron 2 has no source,
        >>> second = BipartiteTopology(3, 1, src=[0, 2], dst=[0, 0])  # and 1 no target
        >>> found = chain_removal([first, second])
        >>> [positions.tolist() for positions in found.removed], found.active_rate
        ([[1], [1]], 1.0)
    """
    if not is_iterable(topologies) or isinstance(topologies, (str, bytes)):
        raise ConfigError(f"topologies is a {type(topologies).__name__}; it must be a list of topologies")
    layers = list(topologies)
    if not layers:
        raise ConfigError("topologies is empty; it must hold one topology per layer")
    for number, layer in enumerate(layers):
        check_topology(f"topologies[{number}]", layer)
        if number > 0 and layer.n_in != layers[number - 1].n_out:
            raise TopologyError(
                f"topologies[{number}] has {layer.n_in} sources; it must have {layers[number - 1].n_out}, the targets of the "
                "layer before it"
            )
    stays = [np.ones(layer.n_edges, np.bool_) for layer in layers]
    before = _active(layers, stays)
    # Backwards, every neuron that keeps an incoming edge gets to know whether it keeps an outgoing one. Forwards, edges go only
    # where the source has no incoming edge, so that no neuron with one loses its last outgoing edge, and nothing is left to do.
    for number in reversed(range(len(layers) - 1)):
        stays[number] &= _has_edge(layers[number + 1].src, stays[number + 1], layers[number].n_out)[layers[number].dst]
    for number in range(1, len(layers)):
        stays[number] &= _has_edge(layers[number - 1].dst, stays[number - 1], layers[number].n_in)[layers[number].src]
    return ChainRemoval(tuple(np.flatnonzero(~kept) for kept in stays), before, _active(layers, stays))


def _has_edge(ends: IntArray, stays: BoolArray, n_neurons: int) -> BoolArray:
    """Return which neurons are the end of an edge that stays."""
    found = np.zeros(n_neurons, np.bool_)
    found[ends[stays]] = True
    return found


def _active(layers: list[BipartiteTopology], stays: list[BoolArray]) -> int:
    """Return how many hidden neurons have edges on both sides."""
    return sum(
        int((_has_edge(a.dst, stays_a, a.n_out) & _has_edge(b.src, stays_b, b.n_in)).sum())
        for a, stays_a, b, stays_b in zip(layers, stays, layers[1:], stays[1:], strict=False)
    )
