"""`apply_delta` with every torch optimiser that keeps a tensor per edge; LBFGS is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sparse_cases import by_edge, random_delta, random_topology
from torch import optim

from netsci_nn import ConfigError, SparseLinear, SparseMLP, training
from netsci_nn.rewiring import DeepR, apply_delta, parameter_group
from netsci_nn.training import Rewire

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


class Accelerated(optim.Optimizer):
    """As accelerate wraps an optimiser: a subclass of `Optimizer` without its `__init__`."""

    def __init__(self, optimizer: optim.Optimizer) -> None:
        self.optimizer = optimizer

    state = property(lambda self: self.optimizer.state)
    param_groups = property(lambda self: self.optimizer.param_groups)

    def step(self, closure: Any = None) -> None:
        self.optimizer.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)


class Lightning:
    """As Lightning wraps one: of no kind, and with all attributes of what is in it."""

    def __init__(self, optimizer: optim.Optimizer) -> None:
        self._optimizer = optimizer

    optimizer = property(lambda self: self._optimizer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)


class Local:
    """As `PostLocalSGDOptimizer` wraps one."""

    def __init__(self, optimizer: optim.Optimizer) -> None:
        self.optim = optimizer

    state = property(lambda self: self.optim.state)
    param_groups = property(lambda self: self.optim.param_groups)


WRAPPERS: list[Callable[[Any], Any]] = [Accelerated, Lightning, Local, lambda inner: Lightning(Accelerated(inner))]


@optimizers
@pytest.mark.parametrize("wrap", WRAPPERS, ids=["accelerate", "Lightning", "optim", "twice"])
def test_wrappers_are_seen_through(
    wrap: Callable[[Any], Any], factory: Callable[[Any], optim.Optimizer], initial: dict[str, float]
) -> None:
    layer, twin = make_layer(), make_layer()
    inner, bare = factory(layer.parameters()), factory(twin.parameters())
    for one, optimizer in ((layer, inner), (twin, bare)):
        torch.manual_seed(1)
        train(one, optimizer, 3)
    delta = random_delta(layer, np.random.default_rng(1), 6, 9)
    apply_delta(layer, delta, wrap(inner))
    apply_delta(twin, delta, bare)
    for name in initial:
        assert torch.equal(inner.state[layer.weight][name], bare.state[twin.weight][name])
    assert parameter_group(layer, wrap(inner)) is inner.param_groups[0]


def test_subclasses_of_an_optimiser_start_as_it_does() -> None:
    class OwnRprop(optim.Rprop):
        pass

    layer = make_layer()
    optimizer = OwnRprop(layer.parameters(), lr=0.5)
    train(layer, optimizer, 2)
    apply_delta(layer, random_delta(layer, np.random.default_rng(1), 6, 6), optimizer, step=7)
    assert optimizer.state[layer.weight]["step_size"][layer.birth == 7].tolist() == [0.5] * 6


def test_lbfgs_in_a_wrapper_is_refused() -> None:
    layer = make_layer()
    with pytest.raises(ConfigError, match="optimizer is LBFGS, whose state cannot be remapped"):
        apply_delta(layer, random_delta(layer, np.random.default_rng(0), 3, 3), Accelerated(optim.LBFGS(layer.parameters())))


def test_optimisers_that_do_not_hold_the_whole_state_are_refused() -> None:
    class Lookahead(Accelerated):
        state = None  # type: ignore[assignment]

    class ZeroRedundancyOptimizer(Local):  # torch's own needs several ranks: see tests/training/test_ranks.py
        pass

    layer = make_layer()
    inner = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    train(layer, inner, 1)
    ahead = Lookahead(inner)
    ahead.state = {layer.weight: {"slow": layer.weight.detach().clone()}}  # type: ignore[assignment]
    weight, momentum = layer.weight.detach().clone(), inner.state[layer.weight]["momentum_buffer"].clone()
    refused: list[tuple[Any, str]] = [
        (ahead, "optimizer is Lookahead, whose state beside that of the SGD in it cannot be remapped"),
        (Lightning(ahead), "optimizer is Lookahead"),
        (ZeroRedundancyOptimizer(inner), "optimizer is ZeroRedundancyOptimizer, which shards its state over ranks"),
        ("SGD", "optimizer is a str; it must be a torch.optim.Optimizer, or a wrapper of one"),
    ]
    for optimizer, sentence in refused:
        with pytest.raises(ConfigError, match=sentence):
            apply_delta(layer, random_delta(layer, np.random.default_rng(0), 3, 3), optimizer)
        with pytest.raises(ConfigError, match=sentence):
            parameter_group(layer, optimizer)
    assert torch.equal(layer.weight, weight)
    assert torch.equal(inner.state[layer.weight]["momentum_buffer"], momentum)


def test_a_rule_for_sgd_takes_sgd_in_a_wrapper_and_nothing_else() -> None:
    def run(make: Callable[[Any], Any]) -> SparseMLP:
        model = SparseMLP([20, 10, 3], density=0.3, rng=0)
        x, y = torch.rand(40, 20, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
        options: Any = {"epochs": 2, "batch_size": 10, "rng": 0, "callbacks": [Rewire(DeepR())], "compiled": False}
        training.train(model, make(model.parameters()), x, y, **options)
        return model

    wrapped, bare = run(lambda p: Accelerated(optim.SGD(p, lr=0.1))), run(lambda p: optim.SGD(p, lr=0.1))
    for one, other in zip(wrapped.layers, bare.layers, strict=True):
        assert one.topology == other.topology
        assert torch.equal(one.weight, other.weight)
    with pytest.raises(ConfigError, match="optimizer is Adam; rewiring 'deep_r' is defined for SGD alone"):
        run(lambda p: Accelerated(optim.Adam(p)))
