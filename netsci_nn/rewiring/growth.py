"""Where a rule lets edges grow: criteria by name. A new one is a class here, or in a file that is imported below."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from netsci_nn.errors import ConfigError, shown
from netsci_nn.registry import Registry
from netsci_nn.rewiring.link_prediction import LinkScores, ch2_l3n, ch2_l3p, ch3_l3n, ch3_l3p
from netsci_nn.rewiring.view import EdgeView
from netsci_nn.sampling import distinct_cells
from netsci_nn.topology import BipartiteTopology, Int64Array


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


GROWTHS: Registry[Callable[..., Growth]] = Registry("growth criterion")


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


class LinkGrowth:
    """Where a link predictor says that edges are likely, by the edges that are left (see `LinkScores.largest`).

    Registered for `ch3_l3p` (of CHT), `ch2_l3p`, `ch3_l3n` and `ch2_l3n` (of CHTs), under their names.

    Args:
        predictor: from a topology to its `LinkScores`.
        soft: whether edges are drawn in proportion to their scores, instead of the highest ones.

    Example:
        >>> from netsci_nn import rewiring
        >>> rewiring.DropAndGrow("relative_importance", "ch3_l3p", 0.3).grow.predictor is ch3_l3p
        True
    """

    needs: tuple[str, ...] = ()
    keeps_returning = False

    def __init__(self, predictor: Callable[[BipartiteTopology], LinkScores], soft: bool = False) -> None:
        if not isinstance(soft, bool):
            raise ConfigError(f"soft is {shown(soft)}; it must be True or False")
        self.predictor, self.soft = predictor, soft

    def keys(self, view: EdgeView, count: int, occupied: Int64Array, rng: np.random.Generator) -> Int64Array:
        """Return `count` free pairs."""
        scores = self.predictor(BipartiteTopology.from_keys(occupied, view.n_in, view.n_out))
        return scores.sample(count, rng=rng) if self.soft else scores.largest(count, rng=rng)


for _predictor in (ch3_l3p, ch2_l3p, ch3_l3n, ch2_l3n):
    GROWTHS.register(_predictor.__name__)(partial(LinkGrowth, _predictor))


@GROWTHS.register("none")
class NoGrowth:
    """Nowhere: a mask that never revives."""

    needs: tuple[str, ...] = ()
    keeps_returning = False

    def keys(self, view: EdgeView, count: int, occupied: Int64Array, rng: np.random.Generator) -> Int64Array:
        """Return no pair."""
        return np.empty(0, np.int64)
