"""Edges whose weight has changed most go: two readings of a sentence about Deep R that is not what Deep R does."""

import numpy as np

from netsci_nn.checks import check_real
from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLinear
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.rule import REWIRERS, LayerArrays, RewiringStatistics, layer_arrays
from netsci_nn.sampling import Rng, as_generator, distinct_cells
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
        fraction: in (0, 1), the share of a layer's edges that is dropped, rounded to a whole number.

    Raises:
        ConfigError: when an argument is out of range.

    Source: the description of deep rewiring in the paper that `docs/brain-inspired-paper.md` reproduces (its sections 2 and
    3.3). It is not Bellec's Deep R, which drops weights that would cross zero (`deep_r`). The paper states neither fraction nor
    interval: both defaults, 0.1 and an epoch, are ours.
    """

    needs_previous = True

    def __init__(self, criterion: str, fraction: float = 0.1) -> None:
        if criterion not in CRITERIA:
            raise ConfigError(f"criterion is {criterion!r}; it must be one of {', '.join(map(repr, CRITERIA))}")
        self.criterion = criterion
        self.fraction = check_real("fraction", fraction, lambda value: 0 < value < 1, "in (0, 1)", ConfigError)

    def propose(self, layer: SparseLinear, *, rng: Rng, statistics: RewiringStatistics | None = None) -> EdgeDelta:
        """Return the change for `layer` in O(n_edges log n_edges); `rng` is an int seed or numpy Generator."""
        arrays = layer_arrays(layer, statistics, self.criterion, {"previous_values": "the weights of some time before"})
        if statistics is not None and statistics.is_last:
            return nothing(arrays)
        return self.propose_arrays(arrays, learning_rate=0.0, rng=as_generator(rng))

    def propose_arrays(self, layer: LayerArrays, *, learning_rate: float, rng: np.random.Generator) -> EdgeDelta:
        """Return the change for a layer held as arrays."""
        dropped = most_changed(layer, self.criterion, self.fraction)
        remaining = np.delete(layer.keys(), dropped)
        grown = distinct_cells(layer.n_in * layer.n_out, len(dropped), rng, occupied=remaining)
        return EdgeDelta(dropped, grown % layer.n_in, grown // layer.n_in, np.zeros(len(grown), layer.values.dtype))


@REWIRERS.register("deep_r_s1")
def absolute_weight_change(fraction: float = 0.1) -> WeightChange:
    """Return `WeightChange` by the absolute size of the change: the literal reading."""
    return WeightChange("abs_delta", fraction)


@REWIRERS.register("deep_r_s1_relative")
def relative_weight_change(fraction: float = 0.1) -> WeightChange:
    """Return `WeightChange` by the size of the change relative to the weight before it."""
    return WeightChange("rel_delta", fraction)


def most_changed(layer: LayerArrays, criterion: str, fraction: float) -> Int64Array:
    """Return the positions of the round(fraction * n_edges) edges whose weight has changed most, increasing.

    Equal changes: the edge with the smaller number goes first.
    """
    assert layer.previous is not None
    change = np.abs(layer.values - layer.previous)
    if criterion == "rel_delta":
        change = change / (np.abs(layer.previous) + TINY)
    return np.sort(np.argsort(-change, kind="stable")[: round(fraction * len(change))])


def nothing(layer: LayerArrays) -> EdgeDelta:
    """Return the change that changes nothing."""
    empty = np.empty(0, dtype=np.int64)
    return EdgeDelta(empty, empty, empty, np.empty(0, dtype=layer.values.dtype))
