"""BA_Deep R: edges go as in Deep R; new ones prefer neurons that have many edges already."""

from functools import partial

import numpy as np
import torch

from netsci_nn.checks import check_choice
from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.deep_r import NEEDS, Dynamics, advance, newborn
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.rule import REWIRERS, fraction_now, needs_of, no_change, seen_by
from netsci_nn.rewiring.signs import draw_signs
from netsci_nn.rewiring.view import EdgeView, Memory, keys_without
from netsci_nn.rewiring.weight_change import CRITERIA, most_changed
from netsci_nn.sampling import Rng, as_generator, check_growth, grow_preferentially
from netsci_nn.schedules import Schedule, as_fraction

SIGN_CROSSING = "sign_crossing"
DELETIONS = (SIGN_CROSSING, *CRITERIA)


@REWIRERS.register("ba_deep_r")
class PreferentialDeepR:
    """Drop edges as Deep R does, or by the size of the weight's change; grow as many with preference for high degrees.

    Args:
        deletion: "sign_crossing" as in `deep_r`, after every mini-batch of SGD; "abs_delta" or "rel_delta" as in `deep_r_s1`
            and `deep_r_s1_relative`, after every epoch unless told otherwise.
        attractiveness: a >= 0: a source with k edges is chosen with probability proportional to k + a. 0 is the literal
            rule, under which a source without edges never comes back.
        updating: "sequential": degrees count the edges grown before in the same step; "frozen": they do not.
        side: "source": the source of a new edge is chosen preferentially and its target uniformly among those it is not
            joined to; "target": the other way round; "both": both preferentially. Saturated neurons take no part.
        l1, noise, noise_scaling: of sign crossing, as in `deep_r`.
        fraction: of the deletion by change, as in `deep_r_s1`.

    Raises:
        ConfigError: when an argument is out of range; in training as `deep_r`.

    Source: the paper that `docs/brain-inspired-paper.md` reproduces, section 3.3, after Barabasi and Albert 1999. It
    leaves a, the order of updating and the side open (a = 1, sequential and source are ours), and describes the deletion
    as that by change (see `deep_r_s1`); sign crossing is what the algorithm does that it cites. Growth without new
    neurons is not the Barabasi-Albert model: no power law is implied, degrees may condense on few neurons.

    Example:
        >>> from netsci_nn import SparseMLP, rewiring
        >>> layer = SparseMLP([20, 10], density=0.25, rng=0).layers[0]
        >>> view = rewiring.edge_view(layer, previous=np.zeros(50, np.float32))  # the weights of an epoch ago
        >>> PreferentialDeepR(deletion="abs_delta", fraction=0.2).propose(view, rng=0)
        EdgeDelta(10 dropped, 10 grown)
    """

    def __init__(
        self,
        deletion: str = SIGN_CROSSING,
        attractiveness: float = 1.0,
        updating: str = "sequential",
        side: str = "source",
        l1: float = 1e-5,
        noise: float = 2.5e-11,
        noise_scaling: str = "published",
        fraction: float | Schedule = 0.1,
    ) -> None:
        check_choice("deletion", deletion, DELETIONS, ConfigError)
        self.deletion = deletion
        check_growth(attractiveness, updating, side)
        self.grow = partial(grow_preferentially, attractiveness=attractiveness, updating=updating, side=side)
        self.dynamics = Dynamics(l1, noise, noise_scaling)
        self.fraction = as_fraction("fraction", fraction)
        self.acts_every_step = deletion == SIGN_CROSSING
        self.needs = NEEDS if self.acts_every_step else ("previous", *needs_of(self.fraction))

    def check(self, optimizer: torch.optim.Optimizer, every_steps: int | None) -> None:
        """See the class."""
        if self.deletion == SIGN_CROSSING:
            self.dynamics.check("ba_deep_r", optimizer, every_steps)

    def remember(self, edges: EdgeView, rng: np.random.Generator) -> Memory:
        """Fix the sign of every pair if edges go by it."""
        if self.deletion != SIGN_CROSSING:
            return {}
        return draw_signs(seen_by("ba_deep_r", edges, single_weights=True), rng)

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change; `rng` is an int seed or numpy Generator."""
        by_sign = self.deletion == SIGN_CROSSING
        view, random = seen_by("ba_deep_r", edges, *self.needs, single_weights=by_sign), as_generator(rng)
        if view.is_last:
            return no_change(view)
        if by_sign:
            kept, dropped = advance(view, self.dynamics, random)
        else:
            kept, dropped = None, most_changed(view, self.deletion, fraction_now(self.fraction, view))
        src = dst = dropped
        if len(dropped):
            src, dst = self.grow(view.n_in, view.n_out, keys_without(view, dropped), len(dropped), rng=random)
        new = newborn(dst * view.n_in + src, view) if by_sign else view.zeros(len(src))
        return EdgeDelta(dropped, src, dst, new, kept)
