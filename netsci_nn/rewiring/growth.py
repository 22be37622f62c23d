"""Where a rule lets edges grow: criteria by name. A new one is a class here, or in a file that is imported below."""

from typing import Protocol

import numpy as np

from netsci_nn.registry import Registry
from netsci_nn.rewiring.view import EdgeView
from netsci_nn.sampling import distinct_cells
from netsci_nn.topology import Int64Array


class Growth(Protocol):
    """A criterion.

    Attributes:
        needs: fields of the view that it reads (see `NEEDS`).
        keeps_returning: whether an edge that was just dropped and grows again has never gone: it keeps weight and state.
    """

    needs: tuple[str, ...]
    keeps_returning: bool

    def keys(self, view: EdgeView, count: int, occupied: Int64Array, rng: np.random.Generator) -> Int64Array:
        """Return dst * n_in + src of `count` new edges, increasing, none of them among `occupied`, which is increasing."""
        ...


GROWTHS: Registry[type] = Registry("growth criterion")


@GROWTHS.register("random")
class RandomGrowth:
    """All free pairs alike, those just dropped among them.

    Example:
        >>> from netsci_nn import SparseMLP, rewiring
        >>> view = rewiring.edge_view(SparseMLP([4, 3], density=0.5, rng=0).layers[0])
        >>> grown = RandomGrowth().keys(view, 6, view.keys(), np.random.default_rng(0))
        >>> sorted([*view.keys().tolist(), *grown.tolist()]) == list(range(12))
        True
    """

    needs: tuple[str, ...] = ()
    keeps_returning = False

    def keys(self, view: EdgeView, count: int, occupied: Int64Array, rng: np.random.Generator) -> Int64Array:
        """Return `count` free pairs."""
        return distinct_cells(view.n_in * view.n_out, count, rng, occupied=occupied)


@GROWTHS.register("gradient")
class GradientGrowth:
    """Where the gradient of the loss is largest, of RigL; of equal ones the smaller (target, source)."""

    needs: tuple[str, ...] = ("dense_gradient",)
    keeps_returning = True

    def keys(self, view: EdgeView, count: int, occupied: Int64Array, rng: np.random.Generator) -> Int64Array:
        """Return the `count` free pairs of the largest gradient."""
        assert view.dense_gradient is not None
        return view.dense_gradient.largest(count, occupied)


@GROWTHS.register("none")
class NoGrowth:
    """Nowhere: a mask that never revives."""

    needs: tuple[str, ...] = ()
    keeps_returning = False

    def keys(self, view: EdgeView, count: int, occupied: Int64Array, rng: np.random.Generator) -> Int64Array:
        """Return no pair."""
        return np.empty(0, np.int64)
