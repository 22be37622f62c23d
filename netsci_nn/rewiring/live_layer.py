"""`LiveLayer`: a sparse layer while it is trained, whichever engine holds its weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.apply import apply_delta, parameter_group
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.view import EdgeView, edge_view


class LiveLayer(Protocol):
    """A sparse layer while it is trained."""

    def view(self, **context: Any) -> EdgeView:
        """Return its edges as arrays, with its learning rate and the fields of `EdgeView` in `context`."""
        ...

    def apply(self, delta: EdgeDelta, step: int, followers: Sequence[SparseLayer] = (), optimizer_state: str = "zero") -> None:
        """Carry out a change, also in averaged copies of the layer; new edges are born at `step` (see `apply_delta`)."""
        ...

    def weight(self) -> npt.NDArray[np.floating]:
        """Return a copy of its weights, `[n_edges, *kernel]`."""
        ...


@dataclass
class ModuleLayer:
    """A layer whose weights are in the module itself."""

    layer: SparseLayer
    optimizer: torch.optim.Optimizer

    def view(self, **context: Any) -> EdgeView:
        """See `LiveLayer`."""
        return edge_view(self.layer, learning_rate=float(parameter_group(self.layer, self.optimizer)["lr"]), **context)

    def apply(self, delta: EdgeDelta, step: int, followers: Sequence[SparseLayer] = (), optimizer_state: str = "zero") -> None:
        """See `LiveLayer`."""
        apply_delta(self.layer, delta, self.optimizer, step=step, followers=followers, optimizer_state=optimizer_state)

    def weight(self) -> npt.NDArray[np.floating]:
        """See `LiveLayer`."""
        return edge_view(self.layer).weight.copy()
