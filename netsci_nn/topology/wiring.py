"""`Wiring`: how the layers of a network share neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netsci_nn.topology.arrays import Int64Array
from netsci_nn.topology.value import BipartiteTopology


class WiredLayer(NamedTuple):
    """A layer within a network.

    Attributes:
        name: of the layer.
        kernel: the size of its kernels if it is a convolution; empty if it is linear.
        topology: its edges.
        weights: `[n_edges]`, of its edges; None if they are not known.
        sources: int64 `[n_in]`, the neuron that is each source; several sources may be one neuron.
        targets: int64 `[n_out]`, likewise.
    """

    name: str
    kernel: tuple[int, ...]
    topology: BipartiteTopology
    weights: npt.NDArray[Any] | None
    sources: Int64Array
    targets: Int64Array


@dataclass(frozen=True)
class Wiring:
    """The layers of a network, and how they share neurons.

    Attributes:
        layers: in the order of computation.
        groups: int64 `[n_neurons]`, rising: the group of every neuron. Layers and links lead from lower to higher groups.
        links: int64 `[n_links, 2]`: neurons that are joined by an edge without a weight of its own, from and to.
    """

    layers: tuple[WiredLayer, ...]
    groups: Int64Array
    links: Int64Array

    @property
    def is_chain(self) -> bool:
        """Whether every layer reads what the layer before it has made, all of it and in its order, and nothing else."""
        first = self.layers[0]
        n_neurons = first.topology.n_in + sum(layer.topology.n_out for layer in self.layers)
        follow = all(np.array_equal(a.targets, b.sources) for a, b in pairwise(self.layers))
        return follow and not len(self.links) and n_neurons == len(self.groups)

    def with_recorded(
        self, layers: Sequence[tuple[BipartiteTopology, npt.NDArray[Any] | None]], places: Sequence[int]
    ) -> Wiring:
        """Return the same wiring with other edges and weights in the layers at these places."""
        changed = list(self.layers)
        for place, (topology, weights) in zip(places, layers, strict=True):
            changed[place] = changed[place]._replace(topology=topology, weights=weights)
        return Wiring(tuple(changed), self.groups, self.links)
