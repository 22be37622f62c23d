"""SET, sparse evolutionary training: drop the weights nearest to zero, grow as many at random."""

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import check_real
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.rule import REWIRERS, seen_by
from netsci_nn.rewiring.view import EdgeView, strength
from netsci_nn.sampling import Rng, as_generator, distinct_cells
from netsci_nn.topology import Int64Array


@REWIRERS.register("set")
class SparseEvolution:
    """SET: after each epoch drop a fraction of the smallest positive and of the largest negative weights, regrow at random.

    Both signs are treated separately, so this is not magnitude pruning; exact zeros are always dropped besides. As many
    edges are grown as were dropped, uniformly over all pairs that are then free (a pair just dropped included). On the
    last call (`EdgeView.is_last`) edges are dropped and none grown. Kernels have no sign; their Euclidean norms take the place
    of positive weights.

    Args:
        fraction: zeta, in (0, 1): the share of each sign's weights that is dropped.
        initial_value: standard deviation of the new weights' normal distribution, >= 0; 0 starts them at zero.

    Raises:
        ConfigError: when an argument is out of range.

    Source: Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse connectivity
    inspired by network science", with the thresholds of the authors' code: of the sorted weights v, with i0 the position
    of the one nearest zero and j0 one past its last repetition, keep v < v[int((1 - zeta) i0)] and
    v > v[min(n - 1, int(j0 + zeta (n - j0)))].

    Example:
        >>> import torch
        >>> from netsci_nn import SparseMLP, rewiring
        >>> layer = SparseMLP([20, 10], density=0.25, rng=0).layers[0]
        >>> _ = layer.weight.data.copy_(torch.linspace(-1, 1, 50))
        >>> delta = SparseEvolution(fraction=0.1).propose(rewiring.edge_view(layer), rng=0)
        >>> delta, delta.dropped.tolist()  # the weights nearest to zero, of both signs
        (EdgeDelta(8 dropped, 8 grown), [21, 22, 23, 24, 25, 26, 27, 28])
    """

    def __init__(self, fraction: float = 0.3, initial_value: float = 0.0) -> None:
        self.fraction = check_real("fraction", fraction, lambda value: 0 < value < 1, "in (0, 1)", ConfigError)
        self.initial_value = check_real(
            "initial_value", initial_value, lambda value: value >= 0, ">= 0 and finite", ConfigError
        )

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change in O(n_edges log n_edges); `rng` is an int seed or numpy Generator."""
        view, random = seen_by("set", edges), as_generator(rng)
        dropped = dropped_by_sign(view.weight if not view.kernel else strength(view.weight), self.fraction)
        if view.is_last:
            empty = np.empty(0, dtype=np.int64)
            return EdgeDelta(dropped, empty, empty, view.zeros(0))
        remaining = np.delete(view.keys(), dropped)
        grown = distinct_cells(view.n_in * view.n_out, len(dropped), random, occupied=remaining)
        new = view.zeros(len(grown))
        if self.initial_value > 0:
            new[:] = self.initial_value * random.standard_normal(new.shape)
        return EdgeDelta(dropped, grown % view.n_in, grown // view.n_in, new)


def dropped_by_sign(values: npt.NDArray[np.floating], fraction: float) -> Int64Array:
    """Return the positions of the weights that SET drops, in increasing order.

    Args:
        values: `[n_edges]`, finite.
        fraction: zeta in (0, 1).
    """
    if not np.isfinite(values).all():
        position = int((~np.isfinite(values)).argmax())
        raise TopologyError(f"the weight of edge {position} is {values[position]}; SET needs finite weights")
    if len(values) == 0:
        return np.empty(0, dtype=np.int64)
    # Where these would stand in sorted order: the first of the weights nearest to zero, and one past the last.
    nearest = np.abs(values).min()
    n, first = len(values), np.count_nonzero(values < -nearest)
    end = n - np.count_nonzero(values > nearest)
    lower, upper = int((1 - fraction) * first), min(n - 1, int(end + fraction * (n - end)))
    ordered = np.partition(values, (lower, upper))
    return np.flatnonzero((values >= ordered[lower]) & (values <= ordered[upper]))
