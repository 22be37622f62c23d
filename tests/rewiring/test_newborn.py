"""What the optimiser does with newborn edges, policy by policy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from netsci_nn import BipartiteTopology, Rewiring, SparseLinear, SparseMLP, generators, rewiring
from netsci_nn.errors import ConfigError
from netsci_nn.rewiring import EdgeDelta, EdgeView, apply_delta
from netsci_nn.rewiring.newborn import POLICIES, WARMUP
from netsci_nn.training import Rewire, train

RATE = 1e-2


class Swap:
    """At its n-th call it drops edge n and joins the pair `comes[n]` in its place."""

    def __init__(self, comes: list[tuple[int, int]]) -> None:
        self.comes = comes

    def propose(self, edges: EdgeView, *, rng: np.random.Generator) -> EdgeDelta:
        src, dst = self.comes.pop(0)
        gone = int(np.flatnonzero((edges.src == 0) & (edges.dst == len(self.comes)))[0])
        return EdgeDelta(np.array([gone]), np.array([src]), np.array([dst]), edges.zeros(1))


def layer() -> SparseLinear:
    """Source 0 is joined with four targets; rewiring replaces its edges one by one."""
    made = SparseLinear(BipartiteTopology(3, 4, src=[0, 0, 0, 0, 1], dst=[0, 1, 2, 3, 3]), bias=False).double()
    made.weight.data.copy_(torch.tensor([0.5, -0.4, 0.3, 0.2, -0.1]))
    return made


def adam(kind: type[torch.optim.Optimizer], parameters: Any, **options: Any) -> torch.optim.Optimizer:
    return kind(parameters, lr=RATE, weight_decay=0.1, betas=(0.8, 0.99), **options)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"maximize": True}, {"foreach": True}, {"fused": True}])
def test_age_is_an_adam_of_the_edges_own(kind: type[torch.optim.Optimizer], options: dict[str, bool]) -> None:
    """Every newborn edge beside a parameter of one number with a fresh Adam, which gets the same gradients."""
    model = layer()
    optimizer = adam(kind, model.parameters(), **options)
    comes = [(1, 2), (2, 0), (2, 3)]
    driver = Rewiring(model, optimizer, Swap([*comes]), every=7, until=21, rng=0, optimizer_state="age")
    alone: dict[tuple[int, int], tuple[nn.Parameter, torch.optim.Optimizer]] = {}
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 60):
        x, to = (torch.randn(5, n, generator=generator, dtype=torch.float64) for n in (3, 4))
        (model(x) - to).square().mean().backward()
        for (src, dst), (weight, own) in alone.items():
            place = int(torch.argwhere((model.src == src) & (model.dst == dst)))
            weight.grad = model.weight.grad[place : place + 1].clone()
            own.step()
        driver.step()
        optimizer.step()
        optimizer.zero_grad()
        for (src, dst), (weight, _) in alone.items():
            place = int(torch.argwhere((model.src == src) & (model.dst == dst)))
            torch.testing.assert_close(model.weight[place], weight[0], rtol=1e-12, atol=1e-14)
        if step in (7, 14, 21):
            weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
            alone[comes[step // 7 - 1]] = weight, adam(kind, [weight], **options)
    assert len(alone) == 3


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_steps_are_as_long_as_the_page_says(policy: str) -> None:
    """A constant gradient of 1 for 1000 steps, then newborn edges: their steps, in learning rates."""
    model = SparseLinear(generators.erdos_renyi(30, 20, n_edges=120, rng=0), bias=False).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    driver = Rewiring(model, optimizer, "set", every=1000, until=1000, fraction=0.2, rng=0, optimizer_state=policy)
    lengths = []
    for step in range(1, 1200):
        model(torch.ones(1, 30, dtype=torch.float64)).sum().backward()
        before, new = model.weight.detach().clone(), model.birth == 1000
        driver.step()
        optimizer.step()
        optimizer.zero_grad()
        if step > 1000:
            moved = (model.weight.detach() - before).abs() / RATE
            torch.testing.assert_close(moved[~new], torch.ones_like(moved[~new]), rtol=1e-6, atol=1e-6)
            lengths.append(float(moved[new].max()))
    age = np.arange(1, 200)
    first, second = 1 - 0.9**age, 1 - 0.999**age
    if policy == "survivors":
        second = second + 0.999**age * (1 - 0.999**1000)
    expected = np.ones(199) if policy == "age" else first / np.sqrt(second / (1 - 0.999 ** (1000 + age)))
    if policy == "warmup":
        expected *= np.minimum(age / WARMUP, 1)
    np.testing.assert_allclose(lengths, expected, rtol=1e-6)
    most = {"zero": 5.2, "age": 1.0, "survivors": 1.0, "warmup": 2.6}[policy]
    assert max(lengths) == pytest.approx(most, abs=0.1)


def test_warmup_scales_every_optimizers_steps() -> None:
    def begin(**options: Any) -> tuple[SparseLinear, torch.optim.Optimizer, Rewiring]:
        model = SparseLinear(generators.erdos_renyi(30, 20, n_edges=120, rng=0), bias=False).double()
        torch.manual_seed(0)
        model.reset_parameters()
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        return model, optimizer, Rewiring(model, optimizer, "set", every=3, until=3, rng=0, **options)

    (plain, own, driver), (warm, other, other_driver) = begin(), begin(optimizer_state="warmup")
    generator = torch.Generator().manual_seed(0)
    for step in range(1, WARMUP + 8):
        x = torch.randn(5, 30, generator=generator, dtype=torch.float64)
        moved = []
        for model, optimizer, each in ((plain, own, driver), (warm, other, other_driver)):
            before = model.weight.detach().clone()
            (model(x) @ torch.arange(20.0, dtype=torch.float64)).sum().backward()
            each.step()
            optimizer.step()
            optimizer.zero_grad()
            if step != 3:
                moved.append(model.weight.detach() - before)
        if step > 3:
            share = min((step - 3) / WARMUP, 1.0)
            expected = torch.where(warm.birth == 3, torch.tensor(share, dtype=torch.float64), 1.0) * moved[0]
            torch.testing.assert_close(moved[1], expected, rtol=1e-9, atol=1e-12)


def test_survivors_lend_the_mean_of_their_second_moments() -> None:
    for kind, names in (
        (torch.optim.Adam, ["exp_avg_sq"]),
        (torch.optim.RMSprop, ["square_avg"]),
        (torch.optim.Adafactor, ["variance"]),
        (torch.optim.SGD, []),
    ):
        model = SparseLinear(generators.erdos_renyi(30, 20, n_edges=120, rng=0), bias=False)
        optimizer = kind(model.parameters(), lr=RATE)
        model(torch.rand(4, 30)).square().sum().backward()
        optimizer.step()
        before = {name: tensor.clone() for name, tensor in optimizer.state[model.weight].items() if torch.is_tensor(tensor)}
        delta = rewiring.SparseEvolution(0.3).propose(rewiring.edge_view(model), rng=0)
        apply_delta(model, delta, optimizer, step=5, optimizer_state="survivors")
        new = model.birth == 5
        kept = np.delete(np.arange(120), delta.dropped)
        for name, tensor in optimizer.state[model.weight].items():
            if name in names:
                assert torch.equal(tensor[new], before[name][kept].mean().expand(int(new.sum())))
            elif torch.is_tensor(tensor) and tensor.dim():
                assert not tensor[new].any()
    with pytest.raises(ConfigError, match="optimizer_state is 'age'; it must be one of 'zero', 'survivors'"):
        apply_delta(model, delta, optimizer, optimizer_state="age")


@pytest.mark.parametrize("policy", POLICIES)
def test_train_takes_the_policies_and_resumes(policy: str, tmp_path: Any) -> None:
    from netsci_nn.training import Checkpoint, load_checkpoint

    x, y = torch.rand(120, 20, generator=torch.Generator().manual_seed(0)), torch.arange(120) % 3
    path = tmp_path / "last.safetensors"

    def begin() -> tuple[SparseMLP, torch.optim.Optimizer, list[Any]]:
        model = SparseMLP([20, 12, 3], density=0.4, rng=0)
        callbacks = [Rewire(rewiring.RigL(0.3), every_steps=5, optimizer_state=policy), Checkpoint(path)]
        return model, torch.optim.AdamW(model.parameters(), lr=RATE), callbacks

    model, optimizer, callbacks = begin()
    train(model, optimizer, x, y, epochs=6, batch_size=10, rng=0, callbacks=callbacks)
    again, other, callbacks = begin()
    train(again, other, x, y, epochs=3, batch_size=10, rng=0, callbacks=callbacks)
    last, own, callbacks = begin()
    rng = np.random.default_rng(1)
    completed = load_checkpoint(path, last, own, rng)
    train(last, own, x, y, epochs=6, batch_size=10, rng=rng, callbacks=callbacks, completed=completed)
    for mine, theirs in zip(model.parameters(), last.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert [layer.topology for layer in model.layers] == [layer.topology for layer in last.layers]
    assert [layer.topology for layer in model.layers] != [layer.topology for layer in begin()[0].layers]
