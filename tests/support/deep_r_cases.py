"""A small network on digits, its training with a rule, and a callback that watches every pair of neurons."""

from typing import Any

import numpy as np
import torch

from netsci_nn import SparseMLP
from netsci_nn.data import load_dataset
from netsci_nn.rewiring import Rewirer
from netsci_nn.training import Event, Rewire, TrainingState, train

DIGITS = load_dataset("digits")
X, Y = torch.from_numpy(DIGITS.x_train), torch.from_numpy(DIGITS.y_train)
SIZES, DENSITY = [64, 30, 20, 10], [0.1, 0.2, 0.25]


def network(seed: int = 0) -> SparseMLP:
    return SparseMLP(SIZES, density=DENSITY, rng=seed)


def trained(
    rule: Rewirer, callbacks: Any = (), *, lr: float = 0.1, epochs: int = 2, rows: int = 400, **options: Any
) -> SparseMLP:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    rewire = Rewire(rule, options.pop("layers", None))
    train(model, optimizer, X[:rows], Y[:rows], epochs=epochs, batch_size=10, rng=1, callbacks=[rewire, *callbacks], **options)
    return model


class Watch:
    """A callback that follows every pair of neurons through training: its sign, and the number of edges."""

    def __init__(self, model_counts: list[int] | None = None) -> None:
        self.signs: list[dict[int, bool]] = [{} for _ in DENSITY]
        self.counts: list[list[int]] = []
        self.turned = 0
        self.before: list[set[int]] | None = None

    def __call__(self, event: Event, state: TrainingState) -> None:
        if event not in (Event.START, Event.STEP):
            return
        layers = state.model.layers
        self.counts.append([layer.n_edges for layer in layers])
        now = [set(layer.topology.keys().tolist()) for layer in layers]
        if self.before is not None:
            self.turned += sum(len(a - b) for a, b in zip(self.before, now, strict=True))
        self.before = now
        for layer, known in zip(layers, self.signs, strict=True):
            is_negative = np.signbit(layer.weight.detach().numpy())
            for key, negative in zip(layer.topology.keys().tolist(), is_negative.tolist(), strict=True):
                assert known.setdefault(key, negative) == negative
