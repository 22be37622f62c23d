"""What a rewiring rule is, and what it may ask to know."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from netsci_nn.layers import SparseLinear
from netsci_nn.registry import Registry
from netsci_nn.rewiring.delta import EdgeDelta


class RewiringStatistics(NamedTuple):
    """What training knows at the moment of a rewiring step."""

    step: int  # mini-batches trained so far
    is_last: bool  # whether no training follows


class Rewirer(Protocol):
    """A rule that says which edges of a layer go and which come; it changes nothing itself."""

    def propose(
        self, layer: SparseLinear, *, rng: np.random.Generator, statistics: RewiringStatistics | None = None
    ) -> EdgeDelta:
        """Return the change that the rule wants for `layer`."""
        ...


class LayerArrays(NamedTuple):
    """A layer as compiled training holds it between two mini-batches; views to read, not to write."""

    n_in: int
    n_out: int
    src: npt.NDArray[np.int32]  # [n_edges], sorted by (dst, src)
    dst: npt.NDArray[np.int32]
    values: npt.NDArray[np.floating]
    velocity: npt.NDArray[np.floating]  # momentum buffer, zeros without momentum


class ArrayRewirer(Rewirer, Protocol):
    """A rule that can also act within compiled training, after mini-batches; its work should be compiled itself."""

    def propose_arrays(self, layer: LayerArrays, *, learning_rate: float, rng: np.random.Generator) -> EdgeDelta:
        """Return the change that the rule wants: as many edges grown as dropped."""
        ...


REWIRERS: Registry[type[Rewirer]] = Registry("rewirer")
