"""Several ranks keep one network: two real processes train under DistributedDataParallel, or are refused on both.

Every scenario is a function that both processes run; pytest starts the two processes once and reports each function.
"""

import copy
import gc
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from netsci_nn import SparseLinear, SparseMLP, generators, schedules, sparsify
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring import DeepR, EdgeDelta, EdgeView, Rewiring, RigL, SoftDeepR, SparseEvolution, apply_delta, edge_view
from netsci_nn.training import Rewire, train

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
SCENARIOS: dict[str, Callable[[int], None]] = {}
cross_entropy = nn.functional.cross_entropy


def scenario(function: Callable[[int], None]) -> Callable[[int], None]:
    SCENARIOS[function.__name__] = function
    return function


def mlp(rng: int = 0, dtype: torch.dtype = torch.float32) -> SparseMLP:
    return SparseMLP([20, 16, 12, 3], density=0.3, rng=rng).to(dtype)


def rows(seed: int, n: int = 8, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 20, generator=generator, dtype=torch.float64)
    return x.to(dtype), (x.sum(1) * 7).long() % 3


def everything(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> list[Any]:
    """The state that ranks must share to the last bit: weights, edges, births, masks and the optimiser's state."""
    entries: list[Any] = [(name, tensor.clone()) for name, tensor in model.state_dict().items()]
    states = () if optimizer is None else optimizer.state_dict()["state"].items()
    return entries + [
        (f"{number}.{name}", torch.as_tensor(value))
        for number, state in states
        for name, value in state.items()
        if value is not None
    ]


def of_both(value: Any) -> list[Any]:
    gathered = [None, None]
    dist.all_gather_object(gathered, value)
    return gathered


def assert_same_on_both(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    first, second = of_both(everything(model, optimizer))
    assert [name for name, _ in first] == [name for name, _ in second]
    for (name, ours), (_, theirs) in zip(first, second, strict=True):
        assert torch.equal(ours, theirs), name


def layers_of(model: nn.Module) -> list[SparseLinear]:
    return [module for module in model.modules() if isinstance(module, SparseLinear)]


def rewire(model: nn.Module, optimizer: torch.optim.Optimizer, rng: np.random.Generator, **options: Any) -> None:
    for layer in layers_of(model):
        apply_delta(layer, SparseEvolution(0.3).propose(edge_view(layer), rng=rng), optimizer, **options)


def train_and_rewire(rank: int, steps: int, optimizer_class: type[torch.optim.Optimizer], **options: Any) -> None:
    """SET in a loop of one's own: rank-dependent rows, one rng for the edges."""
    model = mlp()
    start = [layer.topology for layer in layers_of(model)]
    wrapper, rng = DDP(model, **options), np.random.default_rng(5)
    optimizer = optimizer_class(model.parameters(), lr=0.01)
    for step in range(steps):
        x, y = rows(10 * step + rank)
        optimizer.zero_grad()
        cross_entropy(wrapper(x), y).backward()
        optimizer.step()
        if step % 5 == 4:
            rewire(model, optimizer, rng)
    assert all(
        now.topology != before and now.n_edges == before.n_edges for now, before in zip(layers_of(model), start, strict=True)
    )
    assert_same_on_both(model, optimizer)
    x, y = rows(999 + rank)
    optimizer.zero_grad()
    cross_entropy(wrapper(x), y).backward()
    first, second = of_both([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(first, second, strict=True))  # still reduced
    lone = copy.deepcopy(model)  # of this rank's rows alone
    lone.zero_grad()
    cross_entropy(lone(x), y).backward()
    assert not torch.equal(layers_of(lone)[-1].weight.grad, layers_of(model)[-1].weight.grad)


@scenario
def set_under_plain_ddp(rank: int) -> None:
    train_and_rewire(rank, 200, torch.optim.Adam)


@scenario
def set_under_find_unused_parameters(rank: int) -> None:
    train_and_rewire(rank, 200, torch.optim.Adam, find_unused_parameters=True)


@scenario
def set_under_a_static_graph(rank: int) -> None:
    train_and_rewire(rank, 200, torch.optim.RMSprop, static_graph=True)


@scenario
def set_with_gradients_as_views_of_buckets(rank: int) -> None:
    train_and_rewire(rank, 200, torch.optim.AdamW, gradient_as_bucket_view=True)


@scenario
def two_ranks_train_what_one_process_trains_on_all_rows(rank: int) -> None:
    """The oracle: in float64, half of the rows on each rank is all of the rows in one process; the edges are the same."""
    for options in ({}, {"gradient_as_bucket_view": True}):
        model = mlp(dtype=torch.float64)
        alone = copy.deepcopy(model)
        wrapper = DDP(model, **options)
        pairs = [(model, wrapper, np.random.default_rng(5)), (alone, alone, np.random.default_rng(5))]
        optimizers = [torch.optim.Adam(each.parameters(), lr=0.01) for each, _, _ in pairs]
        for step in range(40):
            x, y = rows(step, 16, torch.float64)
            for (each, callee, rng), optimizer in zip(pairs, optimizers, strict=True):
                part = slice(8 * rank, 8 * rank + 8) if each is model else slice(None)
                optimizer.zero_grad()
                cross_entropy(callee(x[part]), y[part]).backward()
                optimizer.step()
                if step % 5 == 4:
                    rewire(each, optimizer, rng)
        for ours, theirs in zip(everything(model, optimizers[0]), everything(alone, optimizers[1]), strict=True):
            torch.testing.assert_close(ours[1], theirs[1], rtol=1e-6, atol=1e-9)


@scenario
def accumulated_gradients_survive_a_rewiring(rank: int) -> None:
    """no_sync, rewire, accumulate, step: as one process that sums the same losses."""
    for options in ({}, {"gradient_as_bucket_view": True}):
        for dtype, tolerance in ((torch.float64, 1e-9), (torch.bfloat16, 0.02)):
            model = mlp(dtype=dtype)
            alone = copy.deepcopy(model)
            wrapper = DDP(model, **options)
            optimizers = [torch.optim.SGD(each.parameters(), lr=0.1, momentum=0.9) for each in (model, alone)]
            rngs = [np.random.default_rng(3) for _ in range(2)]
            for round_ in range(3):
                halves = [[rows(100 * round_ + 10 * part + owner, dtype=dtype) for owner in range(2)] for part in range(2)]
                for optimizer in optimizers:
                    optimizer.zero_grad()
                with wrapper.no_sync():
                    cross_entropy(wrapper(halves[0][rank][0]), halves[0][rank][1]).backward()
                rewire(model, optimizers[0], rngs[0])
                cross_entropy(wrapper(halves[1][rank][0]), halves[1][rank][1]).backward()
                optimizers[0].step()
                sum(cross_entropy(alone(x), y) for x, y in halves[0]).div(2).backward()
                rewire(alone, optimizers[1], rngs[1])
                sum(cross_entropy(alone(x), y) for x, y in halves[1]).div(2).backward()
                optimizers[1].step()
                if dtype == torch.float64:
                    for ours, theirs in zip(layers_of(model), layers_of(alone), strict=True):
                        assert ours.topology == theirs.topology
                        torch.testing.assert_close(ours.weight, theirs.weight, rtol=tolerance, atol=tolerance)
                        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=tolerance, atol=tolerance)
                if round_ == 0:  # later roundings of bfloat16 may drop other edges
                    torch.testing.assert_close(
                        model(rows(1, dtype=dtype)[0]), alone(rows(1, dtype=dtype)[0]), rtol=0.05, atol=0.05
                    )
            assert_same_on_both(model, optimizers[0])


def train_with_rule(rank: int, rule: Any, steps: int, **options: Any) -> tuple[DDP, SparseMLP, Rewire]:
    """The loop on a wrapped model: rank-dependent rows and rank-dependent rng."""
    model = mlp()
    wrapper = DDP(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    callback = Rewire(rule, **options)
    x, y = rows(rank, 40)
    state = train(wrapper, optimizer, x, y, epochs=steps // 5, batch_size=8, rng=rank, callbacks=[callback])
    assert state.step == steps
    assert callback.memory.keys() == {0, 1, 2}
    first, second = of_both({f"{n}.{name}": a for n, memory in callback.memory.items() for name, a in memory.items()})
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert_same_on_both(model, optimizer)
    assert of_both(state.rng.bit_generator.state["state"])[0] != of_both(state.rng.bit_generator.state["state"])[1]
    return wrapper, model, callback


@scenario
def the_loop_trains_with_set(rank: int) -> None:
    before = mlp()
    _, model, _ = train_with_rule(rank, SparseEvolution(0.3, initial_value=0.1), 200, every_steps=7)
    assert all(now.topology != then.topology for now, then in zip(layers_of(model), layers_of(before), strict=True))
    assert [layer.n_edges for layer in layers_of(model)] == [layer.n_edges for layer in layers_of(before)]


@scenario
def the_loop_trains_with_deep_r(rank: int) -> None:
    before = mlp()
    _, model, callback = train_with_rule(rank, DeepR(l1=1e-2, noise=1e-4), 200)
    assert set(callback.memory[0]) >= {"sign_key", "previous"}
    assert all(now.topology != then.topology for now, then in zip(layers_of(model), layers_of(before), strict=True))
    assert [layer.n_edges for layer in layers_of(model)] == [layer.n_edges for layer in layers_of(before)]


@scenario
def the_last_step_of_set_only_drops_and_ends_the_wrapper(rank: int) -> None:
    wrapper, model, _ = train_with_rule(rank, SparseEvolution(0.3), 20)
    assert layers_of(model)[0].n_edges < layers_of(mlp())[0].n_edges
    x, y = rows(rank)
    with torch.no_grad():
        wrapper(x)  # may still be evaluated
    with pytest.raises(TopologyError, match="wrap it again to train on"):
        wrapper(x)
    del wrapper
    again = DDP(model)
    cross_entropy(again(x), y).backward()
    first, second = of_both(layers_of(model)[0].weight.grad)
    assert torch.equal(first, second)


@scenario
def a_rule_with_another_number_of_edges_is_refused_by_the_loop(rank: int) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x, y = rows(rank, 40)
    rule = Rewire(SoftDeepR(l1=1e-2, noise=1e-3))
    with pytest.raises(TopologyError, match=r"edges instead of \d+ inside of DistributedDataParallel"):
        train(DDP(model), optimizer, x, y, epochs=20, batch_size=8, rng=rank, callbacks=[rule])
    assert_same_on_both(model)


@scenario
def equal_generators_stay_equal(rank: int) -> None:
    """Ranks that share a seed, to share the order of rows, still share it after a rewiring."""
    model, (x, y) = mlp(), rows(rank, 40)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    state = train(DDP(model), optimizer, x, y, epochs=4, batch_size=8, rng=7, callbacks=[Rewire(DeepR(l1=1e-2))])
    first, second = of_both(state.rng.bit_generator.state["state"])
    assert first == second


@scenario
def of_a_rule_that_draws_elsewhere_all_ranks_get_what_rank_0_drew(rank: int) -> None:
    grown: list[Any] = []

    class Own:
        def propose(self, edges: EdgeView, *, rng: np.random.Generator) -> EdgeDelta:
            delta = SparseEvolution(0.3).propose(edges, rng=rank)
            grown.append((delta.grown_src, delta.grown_dst))
            return delta

    model, (x, y) = mlp(), rows(rank, 40)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    train(DDP(model), optimizer, x, y, epochs=1, batch_size=8, rng=0, callbacks=[Rewire(Own(), every_steps=5)])
    assert_same_on_both(model, optimizer)
    layer = layers_of(model)[0]
    edges = set(zip(layer.src.tolist(), layer.dst.tolist(), strict=True))
    (src, dst), (other_src, other_dst) = of_both(grown[0])
    assert set(zip(src.tolist(), dst.tolist(), strict=True)) <= edges
    assert not set(zip(other_src.tolist(), other_dst.tolist(), strict=True)) <= edges


def halves_and_whole(rank: int, models: Any, optimizers: Any, drivers: Any, x: torch.Tensor, y: torch.Tensor) -> None:
    """A step on both ranks, each with half of the batch, and one of a model alone, with all of it."""
    for model, optimizer, driver, mine in zip(models, optimizers, drivers, (slice(rank, None, 2), slice(None)), strict=True):
        cross_entropy(model(x[mine]), y[mine]).backward()
        driver.step()
        optimizer.step()
        optimizer.zero_grad()


def rigl_and_set_by_the_driver(rank: int, rule: str) -> None:
    """200 steps on two ranks, each with half of every batch, are those of one process with the whole batch."""
    both, alone = mlp(dtype=torch.float64), mlp(dtype=torch.float64)
    wrapper, start = DDP(both), [layer.topology for layer in layers_of(both)]
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-2) for model in (wrapper, alone)]
    options: Any = {"every": 9, "until": 150, "fraction": schedules.cosine(0.4), "optimizer_state": "age"}
    drivers = [
        Rewiring(wrapper, optimizers[0], rule, rng=3 + rank, **options),  # rank 0's counts
        Rewiring(alone, optimizers[1], rule, rng=3, **options),
    ]
    for step in range(200):
        halves_and_whole(rank, (wrapper, alone), optimizers, drivers, *rows(step, 8, torch.float64))
        if step % 20 == 19:
            assert_same_on_both(both, optimizers[0])
    for ours, theirs in zip(layers_of(both), layers_of(alone), strict=True):
        assert ours.topology == theirs.topology
        assert torch.equal(ours.birth, theirs.birth)
        torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-7, atol=1e-9)
    assert [layer.topology for layer in layers_of(both)] != start
    assert drivers[0].rewired == drivers[1].rewired > 200


@scenario
def rigl_on_two_ranks_is_rigl_on_the_whole_batch(rank: int) -> None:
    rigl_and_set_by_the_driver(rank, "rigl")


@scenario
def set_on_two_ranks_is_set_on_the_whole_batch(rank: int) -> None:
    rigl_and_set_by_the_driver(rank, "set")


@scenario
def rigl_on_convolutions_is_rigl_on_the_whole_batch(rank: int) -> None:
    def network() -> nn.Module:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 25, 3))
        sparsify(model, density=0.3, rng=0)
        return model.double()

    both, alone = network(), network()
    wrapper = DDP(both)
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-2) for model in (wrapper, alone)]
    drivers = [Rewiring(m, o, "rigl", every=3, rng=0) for m, o in zip((wrapper, alone), optimizers, strict=True)]
    for step in range(15):
        x = torch.randn(8, 8, 5, 5, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        halves_and_whole(rank, (wrapper, alone), optimizers, drivers, x, torch.arange(8) % 3)
    assert_same_on_both(both, optimizers[0])
    for ours, theirs, start in zip(sparse_layers(both), sparse_layers(alone), sparse_layers(network()), strict=True):
        assert ours.topology == theirs.topology != start.topology
        torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-7, atol=1e-9)


class Branches(nn.Module):
    """Of two branches, rank 1 uses the first only."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (SparseMLP([20, 12, 3], density=0.3, rng=rng).double() for rng in (0, 1))

    def forward(self, x: torch.Tensor, with_second: bool) -> torch.Tensor:
        return self.first(x) + self.second(x) if with_second else self.first(x)


@scenario
def a_layer_that_one_rank_did_not_use_grows_by_the_gradient_of_the_others(rank: int) -> None:
    model, alone = Branches(), Branches()
    wrapper = DDP(model, find_unused_parameters=True)
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.05) for each in (wrapper, alone)]
    drivers = [Rewiring(wrapper, optimizers[0], "rigl", every=2, rng=0), Rewiring(alone, optimizers[1], "rigl", every=2, rng=0)]
    for step in range(6):
        x, y = rows(step, 8, torch.float64)
        cross_entropy(wrapper(x[rank::2], rank == 0), y[rank::2]).backward()
        parts = [cross_entropy(alone(x[part::2], part == 0), y[part::2]) for part in range(2)]
        (sum(parts) / 2).backward()
        for driver, optimizer in zip(drivers, optimizers, strict=True):
            driver.step()
            optimizer.step()
            optimizer.zero_grad()
    assert_same_on_both(model)
    for ours, theirs in zip(layers_of(model), layers_of(alone), strict=True):
        assert ours.topology == theirs.topology
    assert layers_of(model)[2].topology != layers_of(Branches())[2].topology


@scenario
def an_infinite_gradient_on_one_rank_stops_both_with_a_sentence(rank: int) -> None:
    model, (x, y) = mlp(), rows(rank)
    wrapper = DDP(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    driver = Rewiring(wrapper, optimizer, "rigl", every=1, rng=0)
    (cross_entropy(wrapper(x), y) * (torch.inf if rank else 1)).backward()
    driver.step()
    with pytest.raises(ConfigError, match="the gradient of sparse layer 0 is not finite"):
        optimizer.step()


@scenario
def the_loop_trains_with_rigl(rank: int) -> None:
    before = mlp()
    _, model, callback = train_with_rule(rank, RigL(0.3), 200, every_steps=7)
    assert callback.driver is not None
    assert all(now.topology != then.topology for now, then in zip(layers_of(model), layers_of(before), strict=True))
    assert [layer.n_edges for layer in layers_of(model)] == [layer.n_edges for layer in layers_of(before)]


@scenario
def ranks_whose_edges_differ_are_stopped_at_the_next_rewiring(rank: int) -> None:
    model, (x, y) = mlp(), rows(rank)
    wrapper, optimizer = DDP(model), torch.optim.SGD(model.parameters(), lr=0.05)
    driver = Rewiring(wrapper, optimizer, "set", every=2, rng=0)
    layers_of(model)[1]._birth[0] = rank  # as a rank that was restored from another checkpoint would have it
    for step in range(2):
        cross_entropy(wrapper(x), y).backward()
        driver.step()
        if step == 1:
            with pytest.raises(TopologyError, match=r"the ranks propose different edges for a layer .* or hold different ones"):
                optimizer.step()
        else:
            optimizer.step()


@scenario
def compiled_steps_do_not_bypass_the_reduction(rank: int) -> None:
    model, (x, y) = mlp(), rows(rank, 40)
    wrapper, optimizer = DDP(model), torch.optim.SGD(model.parameters(), lr=0.05)
    for each, reason in ((wrapper, "is a DistributedDataParallel"), (model, "lies in DistributedDataParallel")):
        with pytest.raises(ConfigError, match=reason):
            train(each, optimizer, x, y, epochs=1, batch_size=8, rng=0, compiled=True)


@scenario
def different_deltas_are_refused_before_anything_changes(rank: int) -> None:
    model = mlp()
    wrapper, optimizer = DDP(model), torch.optim.Adam(model.parameters())
    x, y = rows(rank)
    cross_entropy(wrapper(x), y).backward()
    optimizer.step()
    before, layer = everything(model, optimizer), layers_of(model)[0]
    with pytest.raises(TopologyError, match="the ranks propose different edges"):
        apply_delta(layer, SparseEvolution(0.3).propose(edge_view(layer), rng=rank), optimizer)
    delta = SparseEvolution(0.3).propose(edge_view(layer), rng=0)
    with pytest.raises(TopologyError, match="the ranks propose different edges"):
        apply_delta(layer, delta, optimizer, step=rank)  # births, too
    wrong = EdgeDelta(delta.dropped, delta.grown_src, delta.grown_dst + 1000 * rank, delta.grown_values)
    with pytest.raises(TopologyError, match="the ranks propose different edges"):
        apply_delta(layer, wrong, optimizer)  # one rank alone would be refused, and the other wait for it
    for (name, now), (_, then) in zip(everything(model, optimizer), before, strict=True):
        assert torch.equal(now, then), name
    apply_delta(layer, delta, optimizer)
    assert layer.topology_version == 1
    assert_same_on_both(model, optimizer)


@scenario
def a_change_of_masks_alone_is_compared_too(rank: int) -> None:
    model = mlp()
    wrapper, layer, none = DDP(model), layers_of(model)[0], np.empty(0, np.int64)
    mask = np.ones(layer.n_edges, np.bool_)
    mask[rank] = False
    with pytest.raises(TopologyError, match="the ranks propose different edges"):
        apply_delta(layer, EdgeDelta(none, none, none, np.empty(0), kept_active=mask))
    assert layer.active is None
    mask[:2] = False
    apply_delta(layer, EdgeDelta(none, none, none, np.empty(0), kept_active=mask))
    assert layer.active is not None
    assert wrapper(rows(0)[0]).shape == (8, 3)


@scenario
def models_with_different_edges_are_not_wrapped(rank: int) -> None:
    model = mlp(rng=rank)
    before = everything(model)
    with pytest.raises(TopologyError, match="the ranks hold models with different edges"):
        DDP(model)
    for (name, now), (_, then) in zip(everything(model), before, strict=True):
        assert torch.equal(now, then), name
    masked, masks = mlp(), np.ones(layers_of(mlp())[0].n_edges, np.bool_)
    masks[rank] = False
    layers_of(masked)[0].active = masks
    with pytest.raises(TopologyError, match="the ranks hold models with different edges"):
        DDP(masked)
    rewire(model, torch.optim.SGD(model.parameters(), lr=0.1), np.random.default_rng(rank))  # outside: nothing is compared
    model.load_state_dict(of_both(model.state_dict())[0])
    wrapper = DDP(model)
    x, y = rows(rank)
    cross_entropy(wrapper(x), y).backward()
    assert_same_on_both(model)


@scenario
def structures_from_elsewhere_are_compared(rank: int) -> None:
    model = mlp()
    wrapper, layer = DDP(model), layers_of(model)[0]
    before = everything(model)
    other = generators.erdos_renyi(20, 16, n_edges=layer.n_edges, rng=rank)
    with pytest.raises(TopologyError, match="the ranks set different edges"):
        layer.set_structure(other, torch.zeros(layer.n_edges), np.zeros(layer.n_edges, np.int32))
    state = mlp(rng=rank).state_dict()
    with pytest.raises(TopologyError, match="the ranks set different edges"):
        model.load_state_dict(state)
    for (name, now), (_, then) in zip(everything(model), before, strict=True):
        assert torch.equal(now, then), name
    wrapper.load_state_dict({f"module.{name}": tensor for name, tensor in mlp(rng=9).state_dict().items()})
    assert layer.topology == layers_of(mlp(rng=9))[0].topology
    x, y = rows(rank)
    cross_entropy(wrapper(x), y).backward()
    first, second = of_both(layer.weight.grad)
    assert torch.equal(first, second)


@scenario
def another_number_of_edges_needs_a_new_wrapper(rank: int) -> None:
    model = mlp()
    wrapper, optimizer = DDP(model), torch.optim.Adam(model.parameters(), lr=0.01)
    rng = np.random.default_rng(2)

    def steps(callee: nn.Module, start: int) -> None:
        for step in range(start, start + 20):
            x, y = rows(10 * step + rank)
            optimizer.zero_grad()
            cross_entropy(callee(x), y).backward()
            optimizer.step()
            if step % 5 == 4:
                rewire(model, optimizer, rng)

    steps(wrapper, 0)
    layer, before = layers_of(model)[1], everything(model, optimizer)
    shrink = SparseEvolution(0.5).propose(edge_view(layer, is_last=True), rng=0)
    assert len(shrink.dropped) > 0
    dense = generators.erdos_renyi(16, 12, n_edges=192, rng=0)
    shrunk = SparseMLP([20, 16, 12, 3], density=0.2, rng=0).state_dict()
    for change in (
        lambda: apply_delta(layer, shrink, optimizer),
        lambda: layer.set_structure(dense, torch.zeros(192), np.zeros(192, np.int32)),
        lambda: model.load_state_dict(shrunk),
    ):
        with pytest.raises(
            TopologyError, match=r"edges instead of \d+ inside of DistributedDataParallel.*wrap the model again"
        ):
            change()
    for (name, now), (_, then) in zip(everything(model, optimizer), before, strict=True):
        assert torch.equal(now, then), name
    # What the message says: take the module out, drop the wrapper, change, wrap again; the optimiser stays.
    model = wrapper.module
    cycle = [wrapper]
    cycle.append(cycle)  # garbage that is not collected at once
    del wrapper, cycle
    apply_delta(layer, shrink, optimizer)
    assert layer.n_edges < before_edges(before)
    wrapper = DDP(model)
    steps(wrapper, 20)
    assert_same_on_both(model, optimizer)
    momentum = optimizer.state[layer.weight]["exp_avg"]
    assert momentum.shape == layer.weight.shape


def before_edges(entries: list[Any]) -> int:
    return len(dict(entries)["layers.1.weight"])


@scenario
def averaged_copies_follow_on_both_ranks(rank: int) -> None:
    model = mlp()
    wrapper, (x, y) = DDP(model), rows(rank, 40)
    averages = [AveragedModel(each, multi_avg_fn=get_ema_multi_avg_fn(0.9)) for each in (model, wrapper)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def average(event: str, state: Any) -> None:
        if event == "step":
            averages[0].update_parameters(model)
            averages[1].update_parameters(wrapper)

    callbacks = [average, Rewire(SparseEvolution(0.3), every_steps=3, followers=averages)]
    train(wrapper, optimizer, x, y, epochs=4, batch_size=8, rng=rank, callbacks=callbacks)
    for averaged in averages:
        assert_same_on_both(averaged)
        for twin, layer in zip(layers_of(averaged), layers_of(model), strict=True):
            assert twin.topology == layer.topology
            assert not torch.equal(twin.weight, layer.weight)
    assert torch.equal(layers_of(averages[0])[0].weight, layers_of(averages[1])[0].weight)


@scenario
def sharded_weights_are_refused(rank: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    model = mlp()
    layer = layers_of(model)[0]
    delta = SparseEvolution(0.3).propose(edge_view(layer), rng=0)
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    for attempt in (lambda: apply_delta(layer, delta), lambda: edge_view(layer)):
        with pytest.raises(ConfigError, match=r"layer.weight is a DTensor that FSDP shards over ranks"):
            attempt()
    assert layer.topology_version == 0
    for is_kept, message in ((True, "that FSDP shards over ranks"), (False, "part of a flat parameter of FSDP")):
        model = mlp()  # version 1, of flat parameters
        layer = layers_of(model)[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=is_kept)
        with pytest.raises(ConfigError, match=message):
            apply_delta(layer, delta)


@scenario
def a_group_that_is_gone_is_no_wrapper(rank: int) -> None:
    """The last scenario: what still refers to a wrapper does not matter after the ranks have parted."""
    wrapper = DDP(mlp())
    dist.destroy_process_group()
    layer = layers_of(wrapper)[0]
    apply_delta(layer, SparseEvolution(0.3).propose(edge_view(layer), rng=rank))
    assert layer.topology_version == 1


def run_all(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    gc.freeze()  # collections, of which these scenarios need many, then leave torch itself alone
    dist.init_process_group(
        "gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=2, timeout=timedelta(seconds=20)
    )
    for name, function in SCENARIOS.items():
        try:
            function(rank)
            outcome = "passed"
        except BaseException:
            outcome = traceback.format_exc()
        (folder / f"{name}.{rank}").write_text(outcome, encoding="utf-8")
        if outcome != "passed":
            sys.stdout.write(outcome)
        gc.collect()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-W", "error", __file__]
    logs = [open(folder / f"log.{rank}", "w", encoding="utf-8") for rank in range(2)]  # noqa: SIM115
    ranks = [
        subprocess.Popen([*command, str(rank), str(folder)], env=environment, stdout=log, stderr=subprocess.STDOUT)
        for rank, log in enumerate(logs)
    ]
    try:
        for rank in ranks:
            rank.wait(timeout=240)
    finally:
        for rank, log in zip(ranks, logs, strict=True):
            rank.kill()
            rank.wait()
            log.close()
    return folder


@pytest.mark.parametrize("name", SCENARIOS)
def test_on_two_ranks(name: str, outcomes: Path) -> None:
    for rank in range(2):
        file = outcomes / f"{name}.{rank}"
        assert file.exists(), (outcomes / f"log.{rank}").read_text(encoding="utf-8")[-3000:]
        assert file.read_text(encoding="utf-8") == "passed", f"rank {rank}: {file.read_text(encoding='utf-8')}"


if __name__ == "__main__":
    run_all(int(sys.argv[1]), Path(sys.argv[2]))
