"""What is read from a file: layers with weights, networks of them, and how they were read."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netsci_nn.topology import WeightedTopology


@dataclass(frozen=True)
class Layer:
    """A bipartite layer with weights, as `analysis` takes it.

    Attributes:
        name: of its tensor, or "".
        n_in: number of sources.
        n_out: number of targets.
        src: integers `[n_edges]`, the source of every edge.
        dst: integers `[n_edges]`, the target of every edge; edges come in any order.
        weights: numbers `[n_edges]`, or None.
    """

    name: str
    n_in: int
    n_out: int
    src: npt.NDArray[np.integer]
    dst: npt.NDArray[np.integer]
    weights: npt.NDArray[Any] | None = None

    @classmethod
    def of(cls, layer: WeightedTopology, name: str = "") -> "Layer":
        """Return a topology and its weights as a layer."""
        topology, weights = layer
        return cls(name, topology.n_in, topology.n_out, topology.src, topology.dst, weights)


@dataclass(frozen=True)
class Network:
    """One network to describe.

    Attributes:
        name: the names of its layers, or "" if there is one network only.
        graph: its layers, or an igraph graph whose vertices carry `layer`: what `analysis.describe` takes.
        control: the topologies that it was trained from, or None.
    """

    name: str
    graph: Any
    control: Any = None


class Intake(NamedTuple):
    """All networks of a file or a run directory, and sentences that say how they were read."""

    networks: list[Network]
    notes: list[str]
