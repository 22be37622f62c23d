"""Fifty rewirings of sparse convolutions under every optimiser: kernels, gradients and states stay with their edges."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import optim

from netsci_nn import SparseConv1d, SparseConv2d, generators
from netsci_nn.rewiring import EdgeDelta, apply_delta

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.02),
    "SGD momentum": lambda p: optim.SGD(p, lr=0.02, momentum=0.9),
    "SGD Nesterov": lambda p: optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.02),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.02, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.02),
    "Adamax": lambda p: optim.Adamax(p, lr=0.02),
    "NAdam": lambda p: optim.NAdam(p, lr=0.02),
    "RAdam": lambda p: optim.RAdam(p, lr=0.02),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.02, centered=True, momentum=0.9),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.02, initial_accumulator_value=0.25),
    "Adadelta": lambda p: optim.Adadelta(p, lr=1.0),
    "Rprop": lambda p: optim.Rprop(p, lr=0.02),
    "ASGD": lambda p: optim.ASGD(p, lr=0.02),
    "Adafactor": lambda p: optim.Adafactor(p, lr=0.02),
}
STARTS = {("Adagrad", "sum"): 0.25, ("Rprop", "step_size"): 0.02}
"""Where an optimiser starts a state, if not at 0."""


def by_edge(layer: Any, tensor: torch.Tensor) -> dict[tuple[int, int], Any]:
    return dict(zip(map(tuple, layer.topology.to_edges().tolist()), tensor.detach().tolist(), strict=True))


def per_edge(layer: Any, optimizer: optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state[layer.weight].items()
    return {name: value for name, value in state if isinstance(value, torch.Tensor) and value.shape[:1] == (layer.n_edges,)}


def random_delta(layer: Any, rng: np.random.Generator, n_dropped: int, n_grown: int) -> EdgeDelta:
    dropped = rng.choice(layer.n_edges, n_dropped, replace=False)
    kept = np.delete(layer.topology.keys(), dropped)
    grown = rng.choice(np.setdiff1d(np.arange(layer.n_in * layer.n_out), kept), n_grown, replace=False)
    values = rng.normal(size=(n_grown, *layer.weight.shape[1:])).astype(np.float32)
    return EdgeDelta(dropped, grown % layer.n_in, grown // layer.n_in, values)


@pytest.mark.parametrize("kind", ["channel", "patch", "line"])
@pytest.mark.parametrize(("name", "factory"), OPTIMIZERS.items(), ids=OPTIMIZERS.keys())
def test_fifty_rewirings(name: str, factory: Callable[[Any], optim.Optimizer], kind: str) -> None:
    torch.manual_seed(0)
    rng, area = np.random.default_rng(0), 4 if kind == "patch" else 1
    topology = generators.erdos_renyi(5 * area, 6, density=0.4, rng=0)
    layer: Any = SparseConv1d(topology, 3) if kind == "line" else SparseConv2d(topology, 2, graph=kind)
    optimizer, parameter = factory(layer.parameters()), layer.weight
    x = torch.randn(3, 5, *(6,) if kind == "line" else (4, 5))
    for step in range(1, 51):
        optimizer.zero_grad()
        layer(x).sin().sum().backward()
        optimizer.step()
        weights, gradients = by_edge(layer, layer.weight), by_edge(layer, layer.weight.grad)
        states = {key: by_edge(layer, value) for key, value in per_edge(layer, optimizer).items()}
        n_dropped = int(rng.integers(0, layer.n_edges // 2 + 1))
        room = layer.n_in * layer.n_out - layer.n_edges + n_dropped
        n_grown = n_dropped if step % 2 else int(rng.integers(1, min(room, n_dropped + 4) + 1))
        delta = random_delta(layer, rng, n_dropped, n_grown)
        grown = dict(zip(zip(delta.grown_src.tolist(), delta.grown_dst.tolist(), strict=True), delta.grown_values, strict=True))
        births = dict(zip(weights, layer.birth.tolist(), strict=True))
        survivors = set(map(tuple, np.delete(layer.topology.to_edges(), delta.dropped, axis=0).tolist()))
        apply_delta(layer, delta, optimizer, step=step)
        assert layer.weight is parameter
        assert layer.weight.shape == (layer.n_edges, *layer.weight.shape[1:])
        assert (np.diff(layer.topology.keys()) > 0).all()
        now = by_edge(layer, layer.weight)
        assert now.keys() == survivors | grown.keys()
        assert all(now[edge] == weights[edge] for edge in survivors)
        assert all(now[edge] == value.tolist() for edge, value in grown.items())
        born = dict(zip(now, layer.birth.tolist(), strict=True))
        assert born == {edge: births[edge] if edge in survivors else step for edge in now}
        gradient = by_edge(layer, layer.weight.grad)
        assert all(
            gradient[edge] == (gradients[edge] if edge in survivors else np.zeros_like(now[edge]).tolist()) for edge in now
        )
        found = {key: by_edge(layer, value) for key, value in per_edge(layer, optimizer).items()}
        assert found.keys() == states.keys()
        for key, entries in found.items():
            assert all(entries[edge] == states[key][edge] for edge in survivors)
            start = STARTS.get((name, key), 0.0)
            assert all(np.allclose(entries[edge], start, rtol=1e-6, atol=0) for edge in grown)
    assert (name == "SGD") == (not states)
    dense = layer.to_dense()
    torch.testing.assert_close(layer(x), dense(x), rtol=1e-5, atol=1e-5)
