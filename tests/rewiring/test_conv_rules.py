"""Rules, driver and pruning on sparse convolutions."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import netsci_nn as ns
from netsci_nn import Rewiring, SparseConv1d, SparseConv2d, rewiring
from netsci_nn.errors import ConfigError
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring.dense_gradient import GradientWatch


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("graph", ["channel", "patch"])
@pytest.mark.parametrize("backend", ["compiled", "csr", "dense"])
@pytest.mark.parametrize("n_dims", [1, 2])
def test_the_gradient_of_all_pairs_is_that_of_the_dense_convolution(graph: str, backend: str, n_dims: int) -> None:
    kind = SparseConv2d if n_dims == 2 else SparseConv1d
    n_in = 5 * (3**n_dims if graph == "patch" else 1)
    topology = ns.generators.erdos_renyi(n_in, 7, density=0.4, rng=0)
    layer = kind(topology, 3, 2, 2, 2, graph=graph, backend=backend, dtype=torch.float64)
    watch, dense = GradientWatch(0, layer), layer.to_dense()
    for seed in (0, 1):
        x = images(3, 5, *(9, 8)[:n_dims], seed=seed)
        for module in (layer, dense):
            (module(x).sin() * 3).sum().backward()
    gradient = watch.gradient()
    blocks = np.concatenate([block.copy() for _, block in gradient.blocks()])
    expected = dense.weight.grad.flatten(2)  # type: ignore[union-attr, operator]
    expected = expected.norm(dim=2) if graph == "channel" else expected.flatten(1)
    np.testing.assert_allclose(blocks, expected.numpy(), rtol=1e-9, atol=1e-9)
    keys = topology.dst.astype(np.int64) * n_in + topology.src
    free = np.setdiff1d(np.arange(n_in * 7), keys)
    order = np.argsort(-expected.abs().numpy().reshape(-1)[free], kind="stable")
    np.testing.assert_array_equal(gradient.largest(6, keys), np.sort(free[order[:6]]))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


@pytest.mark.parametrize("rule", ["set", "rigl"])
def test_a_sparse_network_of_convolutions_learns_the_digits(rule: str) -> None:
    from netsci_nn.data import load_dataset

    digits = load_dataset("digits")
    x, y, x_test, y_test = map(torch.from_numpy, (digits.x_train, digits.y_train, digits.x_test, digits.y_test))
    model = network()
    summary = ns.sparsify(model, density=0.2, rng=0)
    assert [entry.name for entry in summary.sparse] == ["3", "8"]
    counts = [layer.n_edges for layer in sparse_layers(model)]
    start = [layer.topology for layer in sparse_layers(model)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    driver = Rewiring(model, optimizer, rule, every=10, until=120, fraction=0.3, rng=0)
    for step in range(160):
        rows = torch.from_numpy(np.random.default_rng(step).integers(0, len(x), 32))
        nn.functional.cross_entropy(model(x[rows].reshape(-1, 1, 8, 8)), y[rows]).backward()
        driver.step()
        optimizer.step()
        optimizer.zero_grad()
        assert [layer.n_edges for layer in sparse_layers(model)] == counts
    accuracy = (model.eval()(x_test.reshape(-1, 1, 8, 8)).argmax(1) == y_test).double().mean()
    assert accuracy > 0.85
    assert all(layer.topology != before for layer, before in zip(sparse_layers(model), start, strict=True))


@pytest.mark.parametrize("rule", sorted(rewiring.REWIRERS))
@pytest.mark.parametrize("graph", ["channel", "patch"])
def test_every_rule_rewires_or_refuses_kernels(rule: str, graph: str) -> None:
    torch.manual_seed(0)
    topology = ns.generators.erdos_renyi(8 * (9 if graph == "patch" else 1), 10, density=0.3, rng=0)
    layer = SparseConv2d(topology, 3, padding=1, graph=graph, dtype=torch.float64)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05, momentum=0.9)

    def train() -> None:
        driver = Rewiring(layer, optimizer, rule, every=1, until=10, rng=0)
        for step in range(10):
            optimizer.zero_grad()
            layer(images(4, 8, 6, 6, seed=step)).square().mean().backward()
            driver.step()
            optimizer.step()

    if graph == "channel" and rule in ("deep_r", "ba_deep_r", "soft_deep_r"):  # whose edges have a sign
        with pytest.raises(ConfigError, match=f"rule '{rule}' is defined for one weight per edge; the edges carry kernels"):
            train()
        assert layer.topology == topology
        return
    train()
    assert layer.topology != topology
    assert rule in ("soft_deep_r", "gmp", "granet") or layer.n_edges == topology.n_edges
    x = images(2, 8, 6, 6)
    torch.testing.assert_close(layer(x), layer.to_dense()(x))


def test_compiled_steps_give_way_to_torch(caplog: pytest.LogCaptureFixture) -> None:
    from netsci_nn.training import train

    model = nn.Sequential(SparseConv2d(ns.generators.erdos_renyi(2, 3, density=0.5, rng=0), 3), nn.Flatten(), nn.Linear(48, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = images(20, 2, 6, 6).float(), torch.arange(20) % 3
    before = model[0].weight.detach().clone()
    with pytest.raises(ConfigError, match="the stack holds a SparseConv2d"):
        train(model, optimizer, *data, epochs=1, batch_size=5, rng=0, compiled=True)
    with caplog.at_level("INFO"):
        train(model, optimizer, *data, epochs=1, batch_size=5, rng=0)
    assert "the stack holds a SparseConv2d" in caplog.text
    assert not torch.equal(model[0].weight, before)


def test_a_network_of_convolutions_becomes_dense_again() -> None:
    model = network().double()
    ns.sparsify(model, density=0.2, rng=0)
    dense, x = ns.to_dense(model), images(4, 1, 8, 8)
    assert type(dense[3]) is nn.Conv2d
    torch.testing.assert_close(dense.eval()(x), model.eval()(x))
    assert ns.network_graph(model).vs["layer"] == ns.network_graph(dense).vs["layer"]


def test_what_is_differentiated_again_at_a_due_step_is_refused() -> None:
    layer = SparseConv2d(ns.generators.erdos_renyi(4, 4, density=0.5, rng=0), 3, dtype=torch.float64)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    Rewiring(layer, optimizer, "rigl", every=1, rng=0)
    x = images(2, 4, 6, 6).requires_grad_()
    with pytest.raises(ConfigError, match="sparse layer 0, a convolution, is differentiated with create_graph=True"):
        torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)


def test_a_checkpoint_of_a_network_of_convolutions_resumes(tmp_path: Any) -> None:
    from netsci_nn.training import Checkpoint, Rewire, load_checkpoint, train

    x, y = images(60, 1, 8, 8).float(), torch.arange(60) % 10
    path = tmp_path / "last.safetensors"

    def begin() -> tuple[nn.Module, torch.optim.Optimizer, list[Any]]:
        model = network()
        ns.sparsify(model, density=0.2, rng=0)
        callbacks = [Rewire(rewiring.RigL(0.3), every_steps=4), Checkpoint(path)]
        return model, torch.optim.AdamW(model.parameters(), lr=1e-2), callbacks

    model, optimizer, callbacks = begin()
    train(model, optimizer, x, y, epochs=4, batch_size=10, rng=0, callbacks=callbacks)
    part, other, callbacks = begin()
    train(part, other, x, y, epochs=2, batch_size=10, rng=0, callbacks=callbacks)
    last, own, callbacks = begin()
    rng = np.random.default_rng(1)
    completed = load_checkpoint(path, last, own, rng)
    train(last, own, x, y, epochs=4, batch_size=10, rng=rng, callbacks=callbacks, completed=completed)
    for mine, theirs in zip(model.state_dict().values(), last.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
