"""Drop the edges whose weight changed most.

Two literal readings of a description of Deep R, neither of them Deep R.
"""

import numpy as np

from netsci_nn.checks import check_choice
from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.rule import REWIRERS, fraction_now, needs_of, no_change, seen_by
from netsci_nn.rewiring.view import EdgeView, keys_without, strength
from netsci_nn.sampling import Rng, as_generator, distinct_cells
from netsci_nn.schedules import Schedule, as_fraction
from netsci_nn.topology import Int64Array

CRITERIA = ("abs_delta", "rel_delta")
TINY = 1e-8  # added to the weight that a relative change is divided by


class WeightChange:
    """Drop the fraction of edges whose weight has changed most since the rule's last action; regrow as many at random.

    New edges are drawn uniformly over all pairs that are then free (a pair just dropped included) and start at 0. After the
    last epoch nothing is changed: the edges would not be trained any more.

    Args:
        criterion: "abs_delta": the size of the change, |w - w'|; "rel_delta": |w - w'| / (|w'| + 1e-8), where w' is the weight
            after the rule's last action, or where training began.
        fraction: in (0, 1), the share of a layer's edges that is dropped, rounded to a whole number; or a schedule of it.

    Raises:
        ConfigError: when an argument is out of range.

    Source: the description of deep rewiring in the paper that `docs/brain-inspired-paper.md` reproduces (its sections 2 and
    3.3). It is not Bellec's Deep R, which drops weights that would cross zero (`deep_r`). The paper states neither fraction nor
    interval: both defaults, 0.1 and an epoch, are ours.
    """

    def __init__(self, criterion: str, fraction: float | Schedule = 0.1) -> None:
        check_choice("criterion", criterion, CRITERIA, ConfigError)
        self.criterion = criterion
        self.fraction = as_fraction("fraction", fraction)
        self.needs = ("previous", *needs_of(self.fraction))

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change in O(n_edges log n_edges); `rng` is an int seed or numpy Generator."""
        view = seen_by(self.criterion, edges, *self.needs)
        if view.is_last:
            return no_change(view)
        dropped = most_changed(view, self.criterion, fraction_now(self.fraction, view))
        remaining = keys_without(view, dropped)
        grown = distinct_cells(view.n_in * view.n_out, len(dropped), as_generator(rng), occupied=remaining)
        return EdgeDelta(dropped, grown % view.n_in, grown // view.n_in, view.zeros(len(grown)))


@REWIRERS.register("deep_r_s1")
def absolute_weight_change(fraction: float | Schedule = 0.1) -> WeightChange:
    """Return `WeightChange` by the absolute size of the change: the literal reading."""
    return WeightChange("abs_delta", fraction)


@REWIRERS.register("deep_r_s1_relative")
def relative_weight_change(fraction: float | Schedule = 0.1) -> WeightChange:
    """Return `WeightChange` by the size of the change relative to the weight before it."""
    return WeightChange("rel_delta", fraction)


def most_changed(edges: EdgeView, criterion: str, fraction: float) -> Int64Array:
    """Return the positions of the round(fraction * n_edges) edges whose weight has changed most, increasing.

    Equal changes: the edge with the smaller number goes first. The size of a kernel's change is its Euclidean norm.
    """
    assert edges.previous is not None
    change = strength(edges.weight - edges.previous)
    if criterion == "rel_delta":
        change = change / (strength(edges.previous) + TINY)
    return np.sort(np.argsort(-change, kind="stable")[: round(fraction * len(change))])
