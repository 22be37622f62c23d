"""`apply_delta` with every torch optimiser that keeps a tensor per edge; LBFGS is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sparse_cases import by_edge, random_delta, random_topology
from torch import optim

from netsci_nn import ConfigError, SparseLinear
from netsci_nn.rewiring import apply_delta

# name: (factory, the per-edge state with the value that the optimiser itself would start with)
OPTIMIZERS: dict[str, tuple[Callable[[Any], optim.Optimizer], dict[str, float]]] = {
    "SGD momentum": (lambda p: optim.SGD(p, lr=0.02, momentum=0.9), {"momentum_buffer": 0}),
    "SGD Nesterov": (lambda p: optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True), {"momentum_buffer": 0}),
    "Adam": (lambda p: optim.Adam(p, lr=0.02), {"exp_avg": 0, "exp_avg_sq": 0}),
    "Adam amsgrad": (lambda p: optim.Adam(p, lr=0.02, amsgrad=True), {"exp_avg": 0, "exp_avg_sq": 0, "max_exp_avg_sq": 0}),
    "AdamW": (lambda p: optim.AdamW(p, lr=0.02), {"exp_avg": 0, "exp_avg_sq": 0}),
    "Adamax": (lambda p: optim.Adamax(p, lr=0.02), {"exp_avg": 0, "exp_inf": 0}),
    "NAdam": (lambda p: optim.NAdam(p, lr=0.02), {"exp_avg": 0, "exp_avg_sq": 0}),
    "RAdam": (lambda p: optim.RAdam(p, lr=0.02), {"exp_avg": 0, "exp_avg_sq": 0}),
    "RMSprop": (
        lambda p: optim.RMSprop(p, lr=0.02, centered=True, momentum=0.9),
        {"square_avg": 0, "momentum_buffer": 0, "grad_avg": 0},
    ),
    "Adagrad": (lambda p: optim.Adagrad(p, lr=0.02, initial_accumulator_value=0.25), {"sum": 0.25}),
    "Adadelta": (lambda p: optim.Adadelta(p, lr=1.0), {"square_avg": 0, "acc_delta": 0}),
    "Rprop": (lambda p: optim.Rprop(p, lr=0.02), {"prev": 0, "step_size": 0.02}),
    "ASGD": (lambda p: optim.ASGD(p, lr=0.02), {"ax": 0}),
}
optimizers = pytest.mark.parametrize(("factory", "initial"), OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


def make_layer(n_edges: int = 20) -> SparseLinear:
    torch.manual_seed(0)
    return SparseLinear(random_topology(np.random.default_rng(0), 8, 7, n_edges))


def train(layer: SparseLinear, optimizer: optim.Optimizer, n_steps: int) -> None:
    for _ in range(n_steps):
        optimizer.zero_grad()
        layer(torch.randn(4, 8)).square().sum().backward()
        optimizer.step()


@optimizers
@pytest.mark.parametrize(("n_dropped", "n_grown"), [(6, 6), (6, 13), (9, 2)], ids=["same", "more", "fewer"])
def test_state_follows_the_edges(
    factory: Callable[[Any], optim.Optimizer], initial: dict[str, float], n_dropped: int, n_grown: int
) -> None:
    layer, rng = make_layer(), np.random.default_rng(1)
    optimizer = factory(layer.parameters())
    for _ in range(4):
        train(layer, optimizer, 3)
        state = optimizer.state[layer.weight]
        per_edge = {name for name, value in state.items() if isinstance(value, torch.Tensor) and value.dim() == 1}
        assert per_edge == set(initial)
        others = {name: float(value) for name, value in state.items() if name not in per_edge}
        old = {name: by_edge(layer, state[name]) for name in per_edge}
        delta = random_delta(layer, rng, n_dropped, min(n_grown, 56 - layer.n_edges + n_dropped))
        survivors = set(map(tuple, np.delete(layer.topology.to_edges(), delta.dropped, axis=0).tolist()))
        apply_delta(layer, delta, optimizer)
        state = optimizer.state[layer.weight]
        assert {name: float(value) for name, value in state.items() if name not in per_edge} == others
        for name in per_edge:
            new = by_edge(layer, state[name])
            assert all(new[edge] == old[name][edge] for edge in survivors)
            grown = [new[edge] for edge in new if edge not in survivors]
            assert grown == pytest.approx([initial[name]] * len(grown), abs=0, rel=1e-6)
        before, is_grown = layer.weight.detach().clone(), layer.birth == layer.topology_version
        train(layer, optimizer, 1)
        moved = layer.weight.detach() != before
        # A new edge moves at once; an old one may stand still for a step (Rprop where the gradient has changed its sign).
        assert torch.equal(moved[is_grown], (layer.weight.grad != 0)[is_grown])
        assert moved.any()
        n_dropped = min(n_dropped, layer.n_edges)


@optimizers
def test_before_the_first_step(factory: Callable[[Any], optim.Optimizer], initial: dict[str, float]) -> None:
    layer = make_layer()
    optimizer = factory(layer.parameters())
    apply_delta(layer, random_delta(layer, np.random.default_rng(0), 8, 3), optimizer)
    train(layer, optimizer, 2)
    assert all(optimizer.state[layer.weight][name].shape == (15,) for name in initial)


@optimizers
def test_initial_values_are_torchs_own(factory: Callable[[Any], optim.Optimizer], initial: dict[str, float]) -> None:
    """The oracle of the table above: with a zero gradient, the first step leaves each state where the optimiser starts it."""
    layer = make_layer()
    optimizer = factory([layer.weight])
    layer.weight.grad = torch.zeros_like(layer.weight)
    optimizer.step()
    state = optimizer.state[layer.weight]
    # ASGD's average of the weights follows the weights from the first step on; its start is 0 by torch's source.
    for name, value in initial.items():
        if name != "ax":
            assert state[name].tolist() == pytest.approx([value] * 20, abs=1e-7)


def test_several_layers_and_groups_in_one_optimiser() -> None:
    first, second = make_layer(), make_layer(30)
    optimizer = optim.Rprop([{"params": first.parameters(), "lr": 0.5}, {"params": second.parameters(), "lr": 0.125}])
    for layer in (first, second):
        layer(torch.randn(4, 8)).square().sum().backward()
    optimizer.step()
    untouched = optimizer.state[first.weight]["step_size"].clone()
    apply_delta(second, random_delta(second, np.random.default_rng(0), 4, 4), optimizer, step=7)
    fresh = optimizer.state[second.weight]["step_size"][second.birth == 7]
    assert fresh.tolist() == [0.125] * 4
    assert torch.equal(optimizer.state[first.weight]["step_size"], untouched)


@pytest.mark.parametrize("trained", [True, False])
def test_lbfgs_is_refused_and_nothing_changes(trained: bool) -> None:
    layer = make_layer()
    optimizer = optim.LBFGS(layer.parameters())
    if trained:
        x = torch.randn(4, 8)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = layer(x).square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
    topology, values = layer.topology, layer.weight.detach().clone()
    with pytest.raises(ConfigError, match="optimizer is LBFGS, whose state cannot be remapped; it must be one that"):
        apply_delta(layer, random_delta(layer, np.random.default_rng(0), 3, 3), optimizer)
    assert layer.topology == topology
    assert torch.equal(layer.weight, values)
