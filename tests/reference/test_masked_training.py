"""RigL and SET against sparse training with masks on dense matrices: the same edges, one by one, over many rewirings."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from netsci_nn import Rewiring, SparseMLP, schedules
from netsci_nn.rewiring import EdgeDelta, EdgeView, GraNet, Rewirer, RigL, SparseEvolution, gmp, mest
from netsci_nn.training import Rewire, train
from tests.reference.masked_training import MaskedNetwork, of_model

SIZES, N, BATCH, RATE, MOMENTUM, EVERY = [30, 24, 16, 5], 240, 12, 0.05, 0.9, 4


def data() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    x = rng.random((N, SIZES[0])) * (rng.random(SIZES[0]) > 0.2)  # some inputs are always 0: exact ties among gradients
    return torch.from_numpy(x), torch.from_numpy(np.argmax(x @ rng.standard_normal((SIZES[0], 5)), 1))


def model() -> SparseMLP:
    return SparseMLP(SIZES, density=0.25, rng=0).double()


def batches(epochs: int, seed: int) -> Iterator[np.ndarray]:
    """The rows of every mini-batch that `train` takes if nothing else draws from its generator."""
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(N)
        yield from (order[start : start + BATCH] for start in range(0, N, BATCH))


class Noted:
    """A rule with a generator of its own, so that the order of rows is not disturbed; it notes what it proposes."""

    def __init__(self, rule: Rewirer) -> None:
        self.rule, self.own, self.needs = rule, np.random.default_rng(7), getattr(rule, "needs", ())
        self.replaces_step = getattr(rule, "replaces_step", False)
        self.noted: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # masks before, dropped, grown
        if isinstance(rule, GraNet):
            self.propose_all = lambda edges, rng: list(map(self.noted_of, edges, rule.propose_all(edges, rng=self.own)))

    def propose(self, edges: EdgeView, *, rng: np.random.Generator) -> EdgeDelta:
        return self.noted_of(edges, self.rule.propose(edges, rng=self.own))

    def noted_of(self, edges: EdgeView, delta: EdgeDelta) -> EdgeDelta:
        before, dropped, grown = (np.zeros((edges.n_out, edges.n_in), bool) for _ in range(3))
        before[edges.dst, edges.src] = True
        dropped[edges.dst[delta.dropped], edges.src[delta.dropped]] = True
        grown[delta.grown_dst, delta.grown_src] = True
        self.noted.append((before, dropped, grown))
        return delta


def edges_of(network: SparseMLP) -> list[np.ndarray]:
    return of_model(network.layers, 0, 0).masks


def train_in_own_loop(network: SparseMLP, rule: Noted, epochs: int, until: int) -> None:
    x, y = data()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)
    rewiring = Rewiring(network, optimizer, rule, every=EVERY, until=until, rng=0)
    counts = [layer.n_edges for layer in network.layers]
    for rows in batches(epochs, 3):
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        rewiring.step()
        optimizer.step()
        optimizer.zero_grad()
        if isinstance(rule.rule, RigL | SparseEvolution):
            assert [layer.n_edges for layer in network.layers] == counts


def train_by(engine: str, network: SparseMLP, rule: Noted, epochs: int, until: int) -> None:
    if engine == "own loop":
        return train_in_own_loop(network, rule, epochs, until)
    x, y = data()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)
    rewire = Rewire(rule, every_steps=EVERY, until_epoch=until // (N // BATCH))
    options = {"epochs": epochs, "batch_size": BATCH, "rng": 3, "compiled": engine == "compiled"}
    train(network, optimizer, x, y, callbacks=[rewire], **options)  # type: ignore[arg-type]


def check_end(network: SparseMLP, reference: MaskedNetwork) -> None:
    end = of_model(network.layers, 0, 0)
    for ours, theirs in zip(end.weights, reference.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("engine", ["own loop", "eager", "compiled"])
@pytest.mark.parametrize("name", ["constant", "cosine"])
def test_rigl_is_that_of_dense_masks(name: str, engine: str) -> None:
    epochs, until = 8, 120
    fraction = schedules.constant(0.3) if name == "constant" else schedules.cosine(0.3)
    network, rule = model(), Noted(RigL(fraction, tie_noise=0))
    reference = of_model(network.layers, RATE, MOMENTUM)
    train_by(engine, network, rule, epochs, until)
    (x, y), n_rewirings, n_changes = data(), 0, 0
    for step, rows in enumerate(batches(epochs, 3), start=1):
        of_weights, of_biases = reference.gradients(x[rows].numpy(), y[rows].numpy())
        if step % EVERY or step > until:
            reference.descend(of_weights, of_biases)
            continue
        for number, gradient in enumerate(of_weights):
            before, dropped, grown = rule.noted[n_rewirings * 3 + number]
            np.testing.assert_array_equal(before, reference.masks[number])
            reference.rigl(number, gradient, fraction(step / until))
            np.testing.assert_array_equal((before & ~dropped) | grown, reference.masks[number])
            n_changes += int(grown.sum())
        n_rewirings += 1
    assert n_rewirings == 30
    assert len(rule.noted) == 90
    assert n_changes > 500
    check_end(network, reference)


@pytest.mark.parametrize("engine", ["own loop", "eager", "compiled"])
def test_set_is_that_of_dense_masks(engine: str) -> None:
    """Which edges go is the reference's decision; which come is random, so it takes over what the library drew."""
    epochs, until, zeta = 8, 100, 0.3
    network, rule = model(), Noted(SparseEvolution(zeta))
    reference = of_model(network.layers, RATE, MOMENTUM)
    train_by(engine, network, rule, epochs, until)
    (x, y), n_rewirings = data(), 0
    for step, rows in enumerate(batches(epochs, 3), start=1):
        reference.descend(*reference.gradients(x[rows].numpy(), y[rows].numpy()))
        if step % EVERY or step > until:
            continue
        for number in range(3):
            before, dropped, grown = rule.noted[n_rewirings * 3 + number]
            np.testing.assert_array_equal(before, reference.masks[number])
            np.testing.assert_array_equal(dropped, reference.set_drops(number, zeta))
            assert grown.sum() == dropped.sum() > 0
            assert not (grown & before & ~dropped).any()
            reference.replace(number, dropped, grown)
        n_rewirings += 1
    assert n_rewirings == 25
    assert len(rule.noted) == 75
    check_end(network, reference)


@pytest.mark.parametrize("engine", ["own loop", "eager", "compiled"])
@pytest.mark.parametrize("trap", [None, "gradient of the step before", "weights before the step"])
def test_mest_is_that_of_dense_masks(engine: str, trap: str | None) -> None:
    """|w| after the step + 2 |gradient| of the step; with density, down to it and beyond it again until 0.6 and the end."""
    epochs, until, weight = 8, 120, 2.0
    rule = mest(gradient_weight=weight, density=0.2, surplus=0.1)
    network, noted = model(), Noted(rule)
    reference = of_model(network.layers, RATE, MOMENTUM)
    train_by(engine, network, noted, epochs, until)
    (x, y), n_rewirings, differ = data(), 0, 0
    last = [np.zeros_like(each) for each in reference.weights]
    for step, rows in enumerate(batches(epochs, 3), start=1):
        before_step = [each.copy() for each in reference.weights]
        of_weights, of_biases = reference.gradients(x[rows].numpy(), y[rows].numpy())
        reference.descend(of_weights, of_biases)
        gradients, last = (last if trap == "gradient of the step before" else of_weights), of_weights
        if step % EVERY or step > until:
            continue
        level = 0.3 if step / until < 0.6 else 0.25 if step < until else 0.2
        for number in range(3):
            before, dropped, grown = noted.noted[n_rewirings * 3 + number]
            np.testing.assert_array_equal(before, reference.masks[number])
            pairs = before.size
            own = before_step[number] if trap == "weights before the step" else reference.weights[number]
            score = np.abs(own) + weight * np.abs(gradients[number])
            expected = reference.smallest(number, score, int(before.sum()) - round(0.2 * pairs))
            differ += not np.array_equal(dropped, expected)
            assert before.sum() - dropped.sum() + grown.sum() == round(level * pairs)
            assert not (grown & before & ~dropped).any()
            reference.replace(number, dropped, grown)
        n_rewirings += 1
    assert n_rewirings == 30
    assert (differ > 0) == (trap is not None)
    check_end(network, reference)


@pytest.mark.parametrize("engine", ["own loop", "eager", "compiled"])
@pytest.mark.parametrize("name", ["constant", "cosine"])
def test_granet_is_that_of_dense_masks(name: str, engine: str) -> None:
    """One ranking of all layers, then regeneration layer by layer, after the step."""
    epochs, until = 8, 120
    fraction = schedules.constant(0.3) if name == "constant" else schedules.cosine(0.5, 0.005)
    network, noted = model(), Noted(GraNet(end=0.08, start=0.25, fraction=fraction))
    reference = of_model(network.layers, RATE, MOMENTUM)
    train_by(engine, network, noted, epochs, until)
    (x, y), n_rewirings, shares = data(), 0, []
    n_pairs = sum(mask.size for mask in reference.masks)
    for step, rows in enumerate(batches(epochs, 3), start=1):
        of_weights, of_biases = reference.gradients(x[rows].numpy(), y[rows].numpy())
        reference.descend(of_weights, of_biases)
        if step % EVERY or step > until:
            continue
        density = 0.08 + 0.17 * (1 - step / until) ** 3
        reference.granet(of_weights, density, fraction(step / until))
        for number in range(3):
            before, dropped, grown = noted.noted[n_rewirings * 3 + number]
            np.testing.assert_array_equal((before & ~dropped) | grown, reference.masks[number])
        assert sum(mask.sum() for mask in reference.masks) == int(density * n_pairs)
        shares.append([mask.mean() for mask in reference.masks])
        n_rewirings += 1
    assert n_rewirings == 30
    assert max(shares[-1]) > 1.5 * min(shares[-1])  # the ranking of all layers gives them other densities
    check_end(network, reference)


@pytest.mark.parametrize("trap", ["a ranking per layer", "masked gradients", "edges that come back start anew"])
def test_a_wrong_granet_is_found_out(trap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = MaskedNetwork.granet

    def wrong(self: MaskedNetwork, gradients: list[np.ndarray], density: float, fraction: float) -> None:
        if trap == "a ranking per layer":
            for number, mask in enumerate(self.masks):
                gone = self.smallest(number, np.abs(self.weights[number]), int(mask.sum()) - int(density * mask.size))
                self.replace(number, gone, np.zeros_like(gone))
            right(self, gradients, 1.0, fraction)
        elif trap == "masked gradients":
            right(self, [np.where(m, g, 0) for m, g in zip(self.masks, gradients, strict=True)], density, fraction)
        else:
            before = [weight.copy() for weight in self.weights]
            right(self, gradients, density, fraction)
            weak = [np.abs(w) < np.quantile(np.abs(w[m]), 0.3) for w, m in zip(before, self.masks, strict=True)]
            self.weights = [np.where(few, 0, weight) for few, weight in zip(weak, self.weights, strict=True)]

    monkeypatch.setattr(MaskedNetwork, "granet", wrong)
    with pytest.raises((AssertionError, ValueError)):
        test_granet_is_that_of_dense_masks("constant", "own loop")


@pytest.mark.parametrize("engine", ["own loop", "eager", "compiled"])
def test_gmp_is_that_of_dense_masks(engine: str) -> None:
    epochs, until = 8, 120
    network, noted = model(), Noted(gmp(end=0.05, start=0.25))
    reference = of_model(network.layers, RATE, MOMENTUM)
    train_by(engine, network, noted, epochs, until)
    (x, y), n_rewirings = data(), 0
    for step, rows in enumerate(batches(epochs, 3), start=1):
        reference.descend(*reference.gradients(x[rows].numpy(), y[rows].numpy()))
        if step % EVERY or step > until:
            continue
        for number in range(3):
            before, dropped, grown = noted.noted[n_rewirings * 3 + number]
            left = round((0.05 + 0.2 * (1 - step / until) ** 3) * before.size)
            expected = reference.smallest(number, np.abs(reference.weights[number]), int(before.sum()) - left)
            np.testing.assert_array_equal(dropped, expected)
            assert not grown.any()
            reference.replace(number, dropped, grown)
        n_rewirings += 1
    assert n_rewirings == 30
    assert [layer.n_edges for layer in network.layers] == [36, 19, 4]
    check_end(network, reference)


@pytest.mark.parametrize(
    "trap",
    [
        "masked gradients",
        "momentum of edges that come back",
        "weights of edges that come back",
        "a weight step",
        "rounded count",
    ],
)
def test_a_wrong_rigl_is_found_out(trap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = MaskedNetwork.rigl

    def wrong(self: MaskedNetwork, number: int, gradient: np.ndarray, fraction: float) -> None:
        mask, weight, velocity = self.masks[number], self.weights[number], self.velocities[number]
        if trap == "masked gradients":
            right(self, number, np.where(mask, gradient, 0), fraction)
        elif trap == "rounded count":
            right(self, number, gradient, (np.ceil(fraction * mask.sum()) + 0.5) / mask.sum())
        else:
            strength = np.where(mask, np.abs(weight), np.inf)
            weak = np.zeros(mask.size, bool)
            weak[np.argsort(strength, axis=None, kind="stable")[: int(fraction * mask.sum())]] = True
            right(self, number, gradient, fraction)
            if trap == "weights of edges that come back":
                self.weights[number] = np.where(weak.reshape(mask.shape), 0, self.weights[number])
            elif trap == "momentum of edges that come back":
                self.velocities[number] = np.where(weak.reshape(mask.shape), 0, self.velocities[number])
            else:
                self.weights[number] = self.weights[number] - self.rate * np.where(self.masks[number], velocity, 0)

    monkeypatch.setattr(MaskedNetwork, "rigl", wrong)
    with pytest.raises(AssertionError):
        test_rigl_is_that_of_dense_masks("constant", "own loop")
