"""What a rewiring rule is, and what it may ask to know."""

from typing import NamedTuple, Protocol

import numpy as np

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


REWIRERS: Registry[type[Rewirer]] = Registry("rewirer")
