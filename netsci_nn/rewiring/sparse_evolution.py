"""SET, sparse evolutionary training: drop the weights nearest to zero, grow as many at random."""

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import check_real
from netsci_nn.compiling import njit
from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.rule import REWIRERS, fraction_now, needs_of, no_change, seen_by
from netsci_nn.rewiring.view import EdgeView, check_finite, keys_without, strength
from netsci_nn.sampling import Rng, as_generator, distinct_cells
from netsci_nn.schedules import Schedule, as_fraction
from netsci_nn.topology import Int64Array

LARGEST = 1e30  # standard deviation, whose draws a float32 holds
MANY, SAMPLE, REACH = 200_000, 10_000, 300  # reach: six standard deviations of a median's place in the sample


@REWIRERS.register("set")
class SparseEvolution:
    """SET: after each epoch drop a fraction of the smallest positive and of the largest negative weights, regrow at random.

    Both signs are treated separately, so this is not magnitude pruning; exact zeros are always dropped besides. As many
    edges are grown as were dropped, uniformly over all pairs that are then free (a pair just dropped included). On the
    last call (`EdgeView.is_last`) edges are dropped and none grown. Kernels have no sign; their Euclidean norms take the place
    of positive weights.

    Args:
        fraction: zeta, in (0, 1): the share of each sign's weights that is dropped; or a schedule of it (0: no change).
        initial_value: standard deviation of the new weights' normal distribution, 0 to 1e30; 0 starts them at zero.

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

    def __init__(self, fraction: float | Schedule = 0.3, initial_value: float = 0.0) -> None:
        self.fraction = as_fraction("fraction", fraction)
        self.needs = needs_of(self.fraction)
        self.initial_value = check_real(
            "initial_value", initial_value, lambda value: 0 <= value <= LARGEST, f"from 0 to {LARGEST:g}", ConfigError
        )

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change in O(n_edges log n_edges); `rng` is an int seed or numpy Generator."""
        view, random = seen_by("set", edges, *self.needs), as_generator(rng)
        fraction = fraction_now(self.fraction, view)
        if fraction == 0:
            return no_change(view)
        dropped = dropped_by_sign(view.weight if not view.kernel else strength(view.weight), fraction)
        if view.is_last:
            empty = np.empty(0, dtype=np.int64)
            return EdgeDelta(dropped, empty, empty, view.zeros(0))
        remaining = keys_without(view, dropped)
        grown = distinct_cells(view.n_in * view.n_out, len(dropped), random, occupied=remaining)
        new = view.zeros(len(grown))
        if self.initial_value > 0:
            new[:] = self.initial_value * random.standard_normal(new.shape)
        dst, src = np.divmod(grown, view.n_in)
        for array in (src, dst, new):
            array.setflags(write=False)  # so that the delta need not copy them
        return EdgeDelta(dropped, src, dst, new)


def dropped_by_sign(values: npt.NDArray[np.floating], fraction: float) -> Int64Array:
    """Return the positions of the weights that SET drops, in increasing order.

    Args:
        values: `[n_edges]`, finite.
        fraction: zeta in (0, 1).
    """
    check_finite("SET", values)
    if len(values) == 0:
        return np.empty(0, dtype=np.int64)
    # Where these would stand in sorted order: the first of the weights nearest to zero, and one past the last.
    nearest = np.abs(values).min()
    n, first = len(values), np.count_nonzero(values < -nearest)
    end = n - np.count_nonzero(values > nearest)
    lower, upper = int((1 - fraction) * first), min(n - 1, int(end + fraction * (n - end)))
    return np.flatnonzero((values >= _in_order(values, lower)) & (values <= _in_order(values, upper)))


def _in_order(values: npt.NDArray[np.floating], position: int) -> np.floating:
    """Return the value at a position of the sorted order: among many, of those that a sample says are near it."""
    n, before = len(values), 0
    if n > MANY:
        sample = np.sort(values[:: n // SAMPLE])
        place = position * len(sample) // n
        low, high = sample[max(place - REACH, 0)], sample[min(place + REACH, len(sample) - 1)]
        n_below, near = _between(values, low, high)
        if n_below <= position < n_below + len(near):
            values, before = near, n_below
    return np.partition(values, position - before)[position - before]


@njit(cache=True, nogil=True)
def _between(values, low, high):  # type: ignore[no-untyped-def]
    """Return how many values are below `low`, and those from `low` to `high`."""
    n_below, n_near = 0, 0
    for value in values:
        n_below += value < low
        n_near += (value >= low) & (value <= high)
    near, place = np.empty(n_near + 1, values.dtype), 0
    for value in values:
        near[place] = value
        place += (value >= low) & (value <= high)
    return n_below, near[:n_near]
