"""RigL, "rigging the lottery": drop the smallest weights, grow where the gradient of the loss is largest."""

from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.drop import Magnitude
from netsci_nn.rewiring.drop_and_grow import DropAndGrow
from netsci_nn.rewiring.rule import REWIRERS
from netsci_nn.rewiring.view import EdgeView
from netsci_nn.sampling import Rng
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
        self.fraction, drop = as_fraction("fraction", fraction), Magnitude(tie_noise)
        self.tie_noise = drop.tie_noise
        self._rule = DropAndGrow(drop, "gradient", self.fraction, name="rigl")
        self.needs = self._rule.needs

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change in O(n_in * n_out * rows) operations; `rng` is an int seed or numpy Generator."""
        return self._rule.propose(edges, rng=rng)
