"""Deep R: every pair of neurons has a fixed sign; an edge whose weight would cross zero is replaced by a random one."""

import numpy as np
import numpy.typing as npt
import torch

from netsci_nn.checks import LARGEST_SINGLE, check_choice, check_real
from netsci_nn.compiling import njit
from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.rule import REWIRERS, seen_by
from netsci_nn.rewiring.signs import draw_signs, signs_of
from netsci_nn.rewiring.view import EdgeView, Memory, keys_without
from netsci_nn.sampling import Rng, as_generator, distinct_cells
from netsci_nn.topology import Int64Array

Weights = npt.NDArray[np.floating]

NEWBORN = 1e-12  # theta of a new edge, as in the authors' code
NOISE_SCALINGS = ("published", "authors")
NEEDS = ("learning_rate", "previous", "memory")


class Dynamics:
    """What Deep R does to the weight theta >= 0 of an active edge in a mini-batch, beside the gradient step.

    theta <- theta - learning_rate * l1 + spread * N(0, 1), where the spread is sqrt(2 * learning_rate * noise) as published
    (Bellec et al. 2018, eq. 2; `noise` is their temperature T), or learning_rate * noise as in the authors' code.

    Args:
        l1: alpha, 0 to 1e38, the slope of the L1 penalty.
        noise: 0 to 1e38.
        noise_scaling: "published" or "authors".

    Raises:
        ConfigError: when an argument is out of range.
    """

    def __init__(self, l1: float, noise: float, noise_scaling: str) -> None:
        self.l1 = check_real("l1", l1, lambda value: 0 <= value <= LARGEST_SINGLE, "from 0 to 1e38", ConfigError)
        self.noise = check_real("noise", noise, lambda value: 0 <= value <= LARGEST_SINGLE, "from 0 to 1e38", ConfigError)
        check_choice("noise_scaling", noise_scaling, NOISE_SCALINGS, ConfigError)
        self.noise_scaling = noise_scaling

    def spread(self, learning_rate: float) -> float:
        """Return the standard deviation of the noise in one mini-batch."""
        if self.noise_scaling == "authors":
            return learning_rate * self.noise
        return float(np.sqrt(2 * learning_rate * self.noise))

    def temperature(self, learning_rate: float) -> float:
        """Return T, with which the spread is sqrt(2 * learning_rate * T)."""
        return self.noise if self.noise_scaling == "published" else learning_rate * self.noise**2 / 2

    def draw(self, count: int, learning_rate: float, dtype: npt.DTypeLike, rng: np.random.Generator) -> Weights:
        """Return the noise of `count` weights; without noise nothing is drawn."""
        spread = self.spread(learning_rate)
        if spread == 0:
            return np.zeros(count, dtype)
        return rng.standard_normal(count, dtype=dtype) * np.asarray(spread, dtype)  # type: ignore[arg-type]

    def check(self, rule: str, optimizer: torch.optim.Optimizer, every_steps: int | None) -> None:
        """Raise a ConfigError unless the rule acts after every mini-batch of SGD, without a second weight decay."""
        if every_steps != 1:
            given = "epochs" if every_steps is None else str(every_steps)
            raise ConfigError(f"rewiring {rule!r} acts after every mini-batch, not every {given}; its interval must be 1")
        if type(optimizer) is not torch.optim.SGD:
            raise ConfigError(f"optimizer is {type(optimizer).__name__}; rewiring {rule!r} is defined for SGD alone")
        decay = max(group["weight_decay"] for group in optimizer.param_groups)
        if decay and self.l1:
            raise ConfigError(
                f"weight_decay = {decay} and l1 = {self.l1} of rewiring {rule!r} are both given; use one and set the other to 0"
            )


@REWIRERS.register("deep_r")
class DeepR:
    """Deep R: after every mini-batch, edges whose weight would change sign go, as many others come at random.

    Every pair of neurons has a fixed sign s. A joined pair has a weight s * theta with theta >= 0; gradient step, L1 and noise
    act on theta (see `Dynamics`). Edges with theta < 0 are dropped, and as many pairs that are not joined then (those just
    dropped included) are joined with theta = 1e-12, uniformly at random. So no weight ever changes sign, nor does a pair that
    comes back; the number of edges stays what it is; pairs that are not joined have no weight, gradient or noise.

    Args:
        l1: alpha >= 0; the default is that of the authors' code.
        noise: >= 0; the default gives the noise of the authors' code at its own learning rate, 0.5.
        noise_scaling: "published": noise is the temperature T; "authors": their gdnoise (see `Dynamics`).

    Raises:
        ConfigError: when an argument is out of range; in training, when the optimiser is not SGD, has a weight decay beside
            l1, or the rule is to act at another interval than every mini-batch.

    Source: Bellec, Kappel, Maass and Legenstein 2018, "Deep rewiring: training very sparse deep networks", algorithm 1.
    Deviations: pairs joined at the start keep the sign of their initial weight; momentum is allowed, and starts at 0 for
    a new edge.
    """

    acts_every_step = True
    needs = NEEDS

    def __init__(self, l1: float = 1e-5, noise: float = 2.5e-11, noise_scaling: str = "published") -> None:
        self.dynamics = Dynamics(l1, noise, noise_scaling)

    def check(self, optimizer: torch.optim.Optimizer, every_steps: int | None) -> None:
        """See the class."""
        self.dynamics.check("deep_r", optimizer, every_steps)

    def remember(self, edges: EdgeView, rng: np.random.Generator) -> Memory:
        """Fix the sign of every pair."""
        return draw_signs(seen_by("deep_r", edges, single_weights=True), rng)

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change in O(n_edges); `rng` is an int seed or numpy Generator."""
        view, random = seen_by("deep_r", edges, *self.needs, single_weights=True), as_generator(rng)
        kept, dropped = advance(view, self.dynamics, random)
        if len(dropped) == 0:
            return EdgeDelta(dropped, dropped, dropped, view.zeros(0), kept)
        remaining = keys_without(view, dropped)
        grown = distinct_cells(view.n_in * view.n_out, len(dropped), random, occupied=remaining)
        return EdgeDelta(dropped, grown % view.n_in, grown // view.n_in, newborn(grown, view), kept)


def advance(edges: EdgeView, dynamics: Dynamics, rng: np.random.Generator) -> tuple[Weights, Int64Array]:
    """Return every edge's weight after L1 and noise, and the positions of those that have crossed zero since `previous`."""
    assert edges.previous is not None
    assert edges.learning_rate is not None
    noise = dynamics.draw(edges.n_edges, edges.learning_rate, edges.weight.dtype, rng)
    shift = edges.weight.dtype.type(edges.learning_rate * dynamics.l1)
    return _advance(edges.weight, edges.previous, shift, noise)


def newborn(cells: Int64Array, edges: EdgeView) -> Weights:
    """Return the weights of edges that are born on pairs dst * n_in + src: 1e-12 with the pair's sign."""
    assert edges.memory is not None
    return (NEWBORN * signs_of(cells, edges.memory)).astype(edges.weight.dtype)


@njit(cache=True, nogil=True)
def _advance(values, previous, shift, noise):  # type: ignore[no-untyped-def]
    kept, dropped, n_dropped = np.empty_like(values), np.empty(len(values), np.int64), 0
    for edge in range(len(values)):
        one = values.dtype.type(1)
        sign = np.copysign(one, previous[edge])
        theta = sign * values[edge] - shift + noise[edge]
        kept[edge] = np.copysign(theta, sign) if theta == 0 else sign * theta  # so that a zero, too, keeps its sign
        if theta < 0:
            dropped[n_dropped] = edge
            n_dropped += 1
    return kept, dropped[:n_dropped].copy()
