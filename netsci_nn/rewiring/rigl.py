"""RigL, "rigging the lottery": drop the smallest weights, grow where the gradient of the loss is largest."""

import numpy as np

from netsci_nn.compiling import njit
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.drop import Magnitude
from netsci_nn.rewiring.rule import REWIRERS, fraction_now, needs_of, no_change, seen_by
from netsci_nn.rewiring.view import EdgeView, keys_without
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.schedules import Schedule, as_fraction


@REWIRERS.register("rigl")
class RigL:
    """RigL: drop the int(fraction * n_edges) smallest weights, grow as many edges where the gradient is largest.

    It acts in the place of an optimiser step: at that step no weight changes. Candidates for growth are all pairs that are free
    once the edges are dropped. An edge that was just dropped and comes back has never gone: it keeps its weight and its
    optimiser state. Other new edges start at 0, with the optimiser's own initial state. Of equal gradients the pair with the
    smaller (target, source) comes first. After the last step nothing is changed.
    The size of a kernel, or of its gradient, is its Euclidean norm.

    Args:
        fraction: in (0, 1), the share of a layer's edges that is dropped; or a schedule of it (0: no change). The authors'
            experiments let it fall from 0.3 along `cosine` until three quarters of the training.
        tie_noise: standard deviation of the normal noise that is added to |weight|, 0 to 1e30: it decides between equal ones.

    Raises:
        ConfigError: when an argument is out of range.

    Source: Evci et al. 2020, "Rigging the lottery: making all tickets winners", with the counts, the noise and the treatment
    of edges that come back of the authors' code. Deviation: there the noise is added to absent pairs, too, so that one of them
    may take the place of an edge whose weight is below 1e-5; here it is added to edges only.

    Example:
        >>> import torch
        >>> from netsci_nn import BipartiteTopology, SparseLinear, rewiring
        >>> layer = SparseLinear(BipartiteTopology(3, 2, src=[0, 1, 2], dst=[0, 0, 1]), bias=False)
        >>> _ = layer.weight.data.copy_(torch.tensor([0.1, -2.0, 3.0]))
        >>> gradient = rewiring.DenseGradient(torch.tensor([[1.0], [0.0], [2.0]]), torch.tensor([[1.0], [-3.0]]))
        >>> delta = RigL(fraction=0.4).propose(rewiring.edge_view(layer, dense_gradient=gradient), rng=0)
        >>> delta.dropped.tolist(), delta.grown_src.tolist(), delta.grown_dst.tolist()
        ([0], [0], [1])
    """

    replaces_step = True

    def __init__(self, fraction: float | Schedule = 0.3, tie_noise: float = 1e-5) -> None:
        self.fraction = as_fraction("fraction", fraction)
        self.needs = ("dense_gradient", *needs_of(self.fraction))
        self.drop = Magnitude(tie_noise)
        self.tie_noise = self.drop.tie_noise

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change in O(n_in * n_out * rows) operations; `rng` is an int seed or numpy Generator."""
        view, random = seen_by("rigl", edges, *self.needs), as_generator(rng)
        assert view.dense_gradient is not None
        count = int(fraction_now(self.fraction, view) * view.n_edges)
        if count == 0 or view.is_last:
            return no_change(view)
        weakest = self.drop.of_count(view, count, random)
        grown = view.dense_gradient.largest(count, keys_without(view, weakest))
        was_dropped = view.dst[weakest].astype(np.int64) * view.n_in + view.src[weakest]
        goes, comes = without_common(was_dropped, grown)
        dst, src = np.divmod(grown[comes], view.n_in)
        return EdgeDelta(weakest[goes], src, dst, view.zeros(len(src)))


@njit(cache=True, nogil=True)
def without_common(a, b):  # type: ignore[no-untyped-def]
    """Return the positions in each of two increasing arrays of what the other does not have."""
    only_a, only_b = np.empty(len(a) + 1, np.int64), np.empty(len(b) + 1, np.int64)
    i, j, n_a, n_b = 0, 0, 0, 0
    while i < len(a) or j < len(b):
        if j == len(b) or (i < len(a) and a[i] < b[j]):
            only_a[n_a] = i
            n_a, i = n_a + 1, i + 1
        elif i == len(a) or b[j] < a[i]:
            only_b[n_b] = j
            n_b, j = n_b + 1, j + 1
        else:
            i, j = i + 1, j + 1
    return only_a[:n_a], only_b[:n_b]
