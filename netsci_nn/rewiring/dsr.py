"""DSR, dynamic sparse reparameterization: one threshold for all layers, and growth where edges have survived."""

from collections.abc import Sequence

import numpy as np

from netsci_nn.checks import check_real
from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.rule import REWIRERS, no_change, seen_by
from netsci_nn.rewiring.view import EdgeView, Memory, check_finite, keys_without, strength
from netsci_nn.sampling import Rng, as_generator, distinct_cells
from netsci_nn.sampling.apportion import largest_remainder

LARGEST_THRESHOLD = 1e30


@REWIRERS.register("dsr")
class DynamicSparseReparameterization:
    """Drop every |w| below a threshold that all layers share, and grow as many at random, more where more has survived.

    The threshold adapts: if fewer edges went than (1 - tolerance) of the fraction it doubles, if more than (1 + tolerance) it
    is halved. What went grows again in proportion to the edges that each layer has left, in whole numbers by largest remainder;
    a layer without room gives its share to the others. The number of all edges stays. New edges start at 0, and go at the next
    action unless they have left the threshold by then. After the last step nothing is changed.

    Args:
        fraction: of all edges that should go, in (0, 1).
        threshold: at the beginning, above 0 to 1e30.
        tolerance: in [0, 1).

    Raises:
        ConfigError: when an argument is out of range.

    Source: Mostafa & Wang 2019, "Parameter efficient training of deep convolutional neural networks by dynamic sparse
    reparameterization", algorithm 1.

    Example:
        >>> rule = DynamicSparseReparameterization(fraction=0.1, threshold=0.01)
        >>> rule.needs
        ('memory',)
    """

    needs = ("memory",)

    def __init__(self, fraction: float = 0.1, threshold: float = 1e-3, tolerance: float = 0.1) -> None:
        self.fraction = check_real("fraction", fraction, lambda value: 0 < value < 1, "in (0, 1)", ConfigError)
        self.threshold = check_real(
            "threshold", threshold, lambda value: 0 < value <= LARGEST_THRESHOLD, "above 0, up to 1e30", ConfigError
        )
        self.tolerance = check_real("tolerance", tolerance, lambda value: 0 <= value < 1, "in [0, 1)", ConfigError)

    def remember(self, edges: EdgeView, rng: np.random.Generator) -> Memory:
        """Return the threshold, which every layer keeps a copy of."""
        return {"threshold": np.array([self.threshold])}

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change of a layer that is alone; `rng` is an int seed or numpy Generator."""
        return self.propose_all([edges], rng=rng)[0]

    def propose_all(self, edges: Sequence[EdgeView | SparseLayer], *, rng: Rng) -> list[EdgeDelta]:
        """Return the changes of all layers; `rng` is an int seed or numpy Generator."""
        views, random = [seen_by("dsr", each, *self.needs) for each in edges], as_generator(rng)
        memories = [view.memory for view in views if view.memory is not None]
        if views[0].is_last:
            return [no_change(view) for view in views]
        threshold = float(memories[0]["threshold"][0])
        sizes = [strength(view.weight) for view in views]
        for size in sizes:
            check_finite("DSR", size)
        dropped = [np.flatnonzero(size < threshold) for size in sizes]
        count, aim = sum(map(len, dropped)), self.fraction * sum(view.n_edges for view in views)
        factor = 2.0 if count < (1 - self.tolerance) * aim else 0.5 if count > (1 + self.tolerance) * aim else 1.0
        for memory in memories:
            memory["threshold"][0] = min(threshold * factor, LARGEST_THRESHOLD)
        left = np.array([view.n_edges - len(gone) for view, gone in zip(views, dropped, strict=True)])
        free = np.array([view.n_in * view.n_out for view in views]) - left
        shares = left.astype(np.float64) if left.any() else np.ones(len(left))
        if count > free[shares > 0].sum():
            shares = np.maximum(shares, 1e-9)  # a layer that lost all its edges takes what no other has room for
        counts = largest_remainder(count, shares, free, random)
        return [self._grown(view, gone, int(number), random) for view, gone, number in zip(views, dropped, counts, strict=True)]

    @staticmethod
    def _grown(view: EdgeView, dropped: np.ndarray, count: int, rng: np.random.Generator) -> EdgeDelta:
        """Return the change of a layer that loses these edges, and gets so many anywhere."""
        remaining = keys_without(view, dropped)
        dst, src = np.divmod(distinct_cells(view.n_in * view.n_out, count, rng, occupied=remaining), view.n_in)
        return EdgeDelta(dropped, src, dst, view.zeros(count))
