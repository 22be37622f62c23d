"""GMP, gradual magnitude pruning: the density falls along a cubic, and nothing grows back."""

from netsci_nn.rewiring.drop_and_grow import DropAndGrow
from netsci_nn.rewiring.rule import REWIRERS
from netsci_nn.schedules import cubic


@REWIRERS.register("gmp")
def gmp(end: float = 0.1, start: float = 1.0) -> DropAndGrow:
    """Return the rule that lets the density of every layer fall from `start` to `end` by dropping the smallest weights.

    A mask never revives here: the weight of an edge that went is gone, as it is no longer stored. (Where dense weights are kept
    and masks computed anew, they may come back.) Layers begin with the density `start`, or lose the rest at the first action.

    Args:
        end: density at the end of the rule's time, in (0, 1].
        start: density at its beginning, in (0, 1].

    Raises:
        ConfigError: when a density is out of range.

    Source: Zhu & Gupta 2017, "To prune, or not to prune: exploring the efficacy of pruning for model compression".

    Example:
        >>> from netsci_nn import SparseMLP, rewiring
        >>> layer = SparseMLP([20, 10], density=1.0, rng=0).layers[0]
        >>> view = rewiring.edge_view(layer, step=50, total_steps=100)
        >>> delta = gmp(end=0.2).propose(view, rng=0)
        >>> len(delta.dropped), len(delta.grown_src)  # 200 (0.2 + 0.8 / 8) edges are left
        (140, 0)
    """
    return DropAndGrow(drop="magnitude", grow="none", fraction=0, density=cubic(start, end), name="gmp")
