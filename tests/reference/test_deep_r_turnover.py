"""Deep R beside a plain transcription of the published update, on the same data and the same random numbers.

Printed with `pytest -s tests/reference/test_deep_r_turnover.py`.
"""

from typing import Any

import numpy as np
import pytest
import torch

from netsci_nn import SparseMLP
from netsci_nn.data import load_dataset
from netsci_nn.rewiring import DeepR, edge_view
from netsci_nn.rewiring.signs import signs_of
from netsci_nn.sampling import distinct_cells
from netsci_nn.training import Event, Rewire, TrainingState, train

SIZES, DENSITY, BATCH, EPOCHS, RATE = [64, 40, 10], [0.1, 0.25], 10, 4, 0.2
DIGITS = load_dataset("digits")


def network() -> SparseMLP:
    return SparseMLP(SIZES, density=DENSITY, bias=False, rng=0).double()


class Transcription:
    """Algorithm 1 of Bellec et al. 2018 with dense matrices: theta, a sign for every pair, who is active."""

    def __init__(self, rule: DeepR, rng: np.random.Generator) -> None:
        self.rule, self.rng, self.rewired = rule, rng, 0
        self.theta, self.sign, self.active = [], [], []
        for layer in network().layers:
            weight = layer.to_dense().weight.detach().numpy()
            memory = rule.remember(edge_view(layer), rng)
            self.sign.append(signs_of(np.arange(weight.size), memory).reshape(weight.shape))
            self.theta.append(np.abs(weight))
            mask = np.zeros(weight.shape, bool)
            mask[layer.topology.dst, layer.topology.src] = True
            self.active.append(mask)

    def step(self, x: Any, y: Any) -> None:
        first, second = (t * s * a for t, s, a in zip(self.theta, self.sign, self.active, strict=True))
        hidden = np.maximum(x @ first.T, 0)
        logits = hidden @ second.T
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        to_hidden = (p @ second) * (hidden > 0)
        for number, gradient in enumerate((to_hidden.T @ x, p.T @ hidden)):
            self.update(number, gradient)

    def update(self, number: int, gradient: Any) -> None:
        theta, sign, active = self.theta[number], self.sign[number], self.active[number]
        noise = np.zeros(theta.shape)
        if self.rule.dynamics.noise:
            noise[active] = np.sqrt(2 * RATE * self.rule.dynamics.noise) * self.rng.standard_normal(active.sum())
        moved = theta - RATE * sign * gradient - RATE * self.rule.dynamics.l1 + noise
        theta[active] = moved[active]
        dead = active & (theta < 0)
        active[dead] = False
        self.rewired += int(dead.sum())
        if dead.any():
            reborn = distinct_cells(active.size, int(dead.sum()), self.rng, occupied=np.flatnonzero(active))
            active.reshape(-1)[reborn] = True
            theta.reshape(-1)[reborn] = 1e-12


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("rule", [DeepR(), DeepR(l1=1e-3, noise=1e-7), DeepR(l1=0, noise=0)], ids=["default", "strong", "bare"])
def test_turnover_equals_the_transcription(rule: DeepR, compiled: bool) -> None:
    x, y = DIGITS.x_train.astype(np.float64), DIGITS.y_train
    rng = np.random.default_rng(7)
    plain, expected = Transcription(rule, rng), []
    for _ in range(EPOCHS):
        before = plain.rewired
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            plain.step(x[rows], y[rows])
        expected.append(plain.rewired - before)

    model, found = network(), []

    def note(event: Event, state: TrainingState) -> None:
        if event is Event.EPOCH:
            found.append(state.record["rewired_edges"])

    note.needs_every_step = False  # type: ignore[attr-defined]
    train(
        model,
        torch.optim.SGD(model.parameters(), lr=RATE),
        torch.from_numpy(x),
        torch.from_numpy(y),
        epochs=EPOCHS,
        batch_size=BATCH,
        rng=7,
        callbacks=[Rewire(rule), note],
        compiled=compiled,
    )
    print(f"\nl1 {rule.dynamics.l1:g}, noise {rule.dynamics.noise:g}, {'compiled' if compiled else 'autograd'}: edges rewired")
    print("epoch        ", *(f"{epoch:>7}" for epoch in range(1, EPOCHS + 1)))
    print("netsci_nn    ", *(f"{count:>7}" for count in found))
    print("transcription", *(f"{count:>7}" for count in expected))
    assert found == expected
    assert min(found) > 0
    for layer, theta, sign, active in zip(model.layers, plain.theta, plain.sign, plain.active, strict=True):
        np.testing.assert_array_equal(layer.topology.keys(), np.flatnonzero(active))
        np.testing.assert_allclose(layer.weight.detach().numpy(), (theta * sign)[active], rtol=1e-9, atol=1e-13)
