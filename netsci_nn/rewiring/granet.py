"""GraNet: prune gradually by one ranking of all layers, and let a part regenerate where the gradient is largest."""

from collections.abc import Sequence

import numpy as np

from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.drop import lowest
from netsci_nn.rewiring.drop_and_grow import without_common
from netsci_nn.rewiring.rule import REWIRERS, fraction_now, needs_of, seen_by
from netsci_nn.rewiring.view import EdgeView, check_finite, keys_without, strength
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.schedules import Schedule, as_fraction, cosine, cubic


@REWIRERS.register("granet")
class GraNet:
    """Prune to a density of all layers together, then drop a fraction of every layer and grow as many by the gradient.

    All layers are ranked as one: the int(density * pairs of all layers) largest |w| stay, wherever they are. Then of every
    layer ceil(fraction * edges) of the smallest go, and as many grow where the gradient is largest, "zero-cost
    neuroregeneration". Of these an edge that comes back at once has never gone. It acts after the optimiser's step, by the
    gradient of that step.
    After the last step edges are pruned to the density, and none regenerate.

    Args:
        end: density of all layers at the end of the rule's time, in (0, 1].
        start: density at its beginning, in (0, 1]; layers should begin with it.
        fraction: of a layer's edges that regenerates, in (0, 1); or a schedule.

    Raises:
        ConfigError: when an argument is out of range.

    Source: Liu et al. 2021, "Sparse training via boosting pruning plasticity with neuroregeneration", with the order and the
    counts of the authors' code: a start of 0.5, and half a cosine from 0.5 to 0.005. Deviation: there weights must be above the
    smallest one that may stay, so that one edge more is pruned, and all that are equal; here the number is exact.

    Example:
        >>> GraNet(end=0.05).needs
        ('dense_gradient', 'step', 'total_steps')
    """

    def __init__(self, end: float = 0.1, start: float = 0.5, fraction: float | Schedule | None = None) -> None:
        self.density = cubic(start, end)
        self.fraction = cosine(0.5, 0.005) if fraction is None else as_fraction("fraction", fraction)
        self.needs = tuple(dict.fromkeys(("dense_gradient", *needs_of(self.density), *needs_of(self.fraction))))

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change of a layer that is alone; `rng` is an int seed or numpy Generator."""
        return self.propose_all([edges], rng=rng)[0]

    def propose_all(self, edges: Sequence[EdgeView | SparseLayer], *, rng: Rng) -> list[EdgeDelta]:
        """Return the changes of all layers; `rng` is an int seed or numpy Generator."""
        views, random = [seen_by("granet", each, *self.needs) for each in edges], as_generator(rng)
        sizes = [strength(view.weight) for view in views]
        for size in sizes:
            check_finite("GraNet", size)
        n_pairs = sum(view.n_in * view.n_out for view in views)
        n_edges = sum(view.n_edges for view in views)
        goes = lowest(np.concatenate(sizes), n_edges - int(fraction_now(self.density, views[0]) * n_pairs), 0.0, random)
        ends = np.cumsum([view.n_edges for view in views])
        pruned = np.split(goes, np.searchsorted(goes, ends[:-1]))
        return [
            self._regenerated(view, size, positions - (end - view.n_edges), random)
            for view, size, positions, end in zip(views, sizes, pruned, ends, strict=True)
        ]

    def _regenerated(self, view: EdgeView, size: np.ndarray, pruned: np.ndarray, rng: np.random.Generator) -> EdgeDelta:
        """Return the change of a layer of which the edges at `pruned` go for good."""
        assert view.dense_gradient is not None
        if view.is_last:
            return EdgeDelta(pruned, pruned[:0], pruned[:0], view.zeros(0))
        count = int(np.ceil(fraction_now(self.fraction, view) * (view.n_edges - len(pruned))))
        ranked = size.astype(np.float64)
        ranked[pruned] = np.inf
        weakest = lowest(ranked, count, 0.0, rng)
        grown = view.dense_gradient.largest(count, keys_without(view, np.sort(np.concatenate([pruned, weakest]))))
        stay_away, comes = without_common(view.keys()[weakest], grown)
        dst, src = np.divmod(grown[comes], view.n_in)
        return EdgeDelta(np.sort(np.concatenate([pruned, weakest[stay_away]])), src, dst, view.zeros(len(src)))
