"""Soft Deep R: pairs without an edge have a hidden weight below zero; the number of edges is kept in expectation only."""

import math

import numpy as np
import torch

from netsci_nn.compiling import njit
from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.deep_r import Dynamics
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.rule import REWIRERS, seen_by
from netsci_nn.rewiring.signs import draw_signs, signs_of
from netsci_nn.rewiring.view import EdgeView, Memory
from netsci_nn.sampling import Rng, as_generator


@REWIRERS.register("soft_deep_r")
class SoftDeepR:
    """Soft Deep R: every pair of neurons has theta >= theta_min; pairs with theta > 0 are joined, with weight s * theta.

    After every mini-batch, noise acts on theta of all pairs, L1 on that of joined ones (gradient steps reach only them), and
    theta below theta_min = -(1 - p) T / (p l1) is set to it, where T is the temperature and p the density at the start. With
    T and l1 alone, theta is then uniform below 0 and exponential above, and a pair is joined with probability p: the number
    of edges holds in expectation over that law. What the loss adds to it moves the number, too.

    Dense: theta and sign of all n_in * n_out pairs are kept, and a step costs as much. Dormant pairs start uniformly in
    [theta_min, 0].

    Args:
        l1: alpha > 0.
        noise: > 0.
        noise_scaling: as in `deep_r`. With "authors" T, and so theta_min, follows the learning rate.

    Raises:
        ConfigError: as `deep_r`, and when l1 or noise is 0.

    Source: Bellec et al. 2018, section 4 and the authors' code (theta_min); the start of dormant pairs is ours: the law in
    which they stay.
    """

    acts_every_step = True
    needs = ("learning_rate", "memory")

    def __init__(self, l1: float = 1e-5, noise: float = 2.5e-11, noise_scaling: str = "published") -> None:
        self.dynamics = Dynamics(l1, noise, noise_scaling)
        for name, value in (("l1", l1), ("noise", noise)):
            if value == 0:
                raise ConfigError(f"{name} is {value!r}; in soft Deep R it must be > 0, for theta_min depends on it")

    def check(self, optimizer: torch.optim.Optimizer, every_steps: int | None) -> None:
        """See the class."""
        self.dynamics.check("soft_deep_r", optimizer, every_steps)

    def remember(self, edges: EdgeView, rng: np.random.Generator) -> Memory:
        """Return theta and sign of every pair, and the density; dormant theta in units of -theta_min until the first step."""
        layer = seen_by("soft_deep_r", edges, single_weights=True)
        n_pairs, keys = layer.n_in * layer.n_out, layer.keys()
        theta = (-rng.random(n_pairs)).astype(layer.weight.dtype)
        theta[keys] = np.abs(layer.weight)
        sign = signs_of(np.arange(n_pairs), draw_signs(layer, rng)).astype(np.int8)
        return {"theta": theta, "sign": sign, "density": np.array([len(keys) / n_pairs]), "is_scaled": np.zeros(1, np.bool_)}

    def lowest(self, density: float, learning_rate: float) -> float:
        """Return theta_min; it is minus infinity for a layer that started without edges, which grows none."""
        pull = density * self.dynamics.l1
        return -(1 - density) * self.dynamics.temperature(learning_rate) / pull if pull > 0 else -math.inf

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change in O(n_in * n_out); theta in the memory moves on. `rng` is an int seed or numpy Generator."""
        view, random = seen_by("soft_deep_r", edges, *self.needs, single_weights=True), as_generator(rng)
        assert view.memory is not None
        assert view.learning_rate is not None
        theta, sign, n_pairs = view.memory["theta"], view.memory["sign"], view.n_in * view.n_out
        if len(theta) != n_pairs or len(sign) != n_pairs:
            raise ConfigError(f"memory holds theta of {len(theta)} and signs of {len(sign)} pairs; the layer has {n_pairs}")
        lowest = theta.dtype.type(self.lowest(float(view.memory["density"][0]), view.learning_rate))
        if not view.memory["is_scaled"][0]:
            theta[theta < 0] *= -lowest
            view.memory["is_scaled"][0] = True
        noise = self.dynamics.draw(n_pairs, view.learning_rate, theta.dtype, random)
        shift = theta.dtype.type(view.learning_rate * self.dynamics.l1)
        kept, dropped, grown = _advance_all(theta, sign, view.keys(), view.weight, shift, noise, lowest)
        return EdgeDelta(dropped, grown % view.n_in, grown // view.n_in, sign[grown] * theta[grown], kept)


@njit(cache=True, nogil=True)
def _advance_all(theta, sign, keys, values, shift, noise, lowest):  # type: ignore[no-untyped-def]
    """Move theta of all pairs in place; return the weights of the edges, positions of those that go, and pairs that come."""
    kept = np.empty_like(values)
    dropped, n_dropped, grown, n_grown = np.empty(len(keys), np.int64), 0, np.empty(len(theta), np.int64), 0
    edge = 0
    for pair in range(len(theta)):
        if edge < len(keys) and keys[edge] == pair:
            theta[pair] = max(sign[pair] * values[edge] - shift + noise[pair], lowest)
            kept[edge] = sign[pair] * theta[pair]
            if not theta[pair] > 0 and not np.isnan(theta[pair]):
                dropped[n_dropped] = edge
                n_dropped += 1
            edge += 1
        else:
            theta[pair] = max(theta[pair] + noise[pair], lowest)
            if theta[pair] > 0:
                grown[n_grown] = pair
                n_grown += 1
    return kept, dropped[:n_dropped].copy(), grown[:n_grown].copy()
