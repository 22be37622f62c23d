"""`Rewiring` in loops that are not ours: hooks of the optimiser, scalers, accumulation, resuming, refusals."""

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import netsci_nn as ns
from netsci_nn import Rewiring, SparseMLP, rewiring, schedules
from netsci_nn.errors import CheckpointError, ConfigError, TopologyError
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring.newborn import POLICIES
from netsci_nn.training import Rewire, make_optimizer, train

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(240, 20, generator=GENERATOR)
Y = (X @ torch.randn(20, 5, generator=GENERATOR)).argmax(1)
cross_entropy = nn.functional.cross_entropy


def network() -> SparseMLP:
    return SparseMLP([20, 24, 16, 5], density=0.3, rng=0)


def adam(model: nn.Module, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-2, **options)


def rows(step: int, size: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = torch.from_numpy(np.random.default_rng(step).integers(0, len(X), size))
    return X[chosen], Y[chosen]


def fit(
    model: nn.Module, optimizer: torch.optim.Optimizer, driver: Rewiring, first: int, last: int, schedule: Any = None
) -> None:
    for step in range(first, last + 1):
        x, y = rows(step)
        cross_entropy(model(x), y).backward()
        driver.step()
        optimizer.step()
        optimizer.zero_grad()
        if schedule is not None:
            schedule.step()


def everything(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    entries = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        entries |= {f"{number}.{name}": torch.as_tensor(value).clone() for name, value in state.items() if value is not None}
    return entries


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def edges(model: nn.Module) -> list[Any]:
    return [layer.topology for layer in sparse_layers(model)]


@pytest.mark.parametrize("rule", ["set", "deep_r_s1"])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_it_does_what_the_callback_does_to_the_last_bit(rule: str, kind: str) -> None:
    options = {"batch_size": 12, "compiled": False}
    by_train, own = network(), network()
    optimizers = [make_optimizer(kind, model.parameters(), 0.01) for model in (by_train, own)]
    callback = Rewire(rewiring.REWIRERS[rule](fraction=0.3), every_steps=7)  # type: ignore[call-arg]
    train(by_train, optimizers[0], X, Y, epochs=4, rng=5, callbacks=[callback], **options)  # type: ignore[arg-type]
    rng = np.random.default_rng(5)
    driver = Rewiring(own, optimizers[1], rule, every=7, fraction=0.3, rng=rng)
    for _ in range(4):
        for chosen in torch.from_numpy(rng.permutation(240)).split(12):
            optimizers[1].zero_grad()
            cross_entropy(own(X[chosen]), Y[chosen]).backward()
            driver.step()
            optimizers[1].step()
    assert driver.steps == 80
    assert edges(own) != edges(network())
    assert_same(everything(by_train, optimizers[0]), everything(own, optimizers[1]))


def test_set_with_states_of_zero_is_propose_and_apply_delta() -> None:
    by_hand, driven = network(), network()
    optimizers = [adam(model) for model in (by_hand, driven)]
    driver = Rewiring(driven, optimizers[1], "set", every=6, rng=3, optimizer_state="zero")
    rule, rng = rewiring.SparseEvolution(0.3), np.random.default_rng(3)
    for step in range(1, 31):
        x, y = rows(step)
        for model, optimizer in zip((by_hand, driven), optimizers, strict=True):
            cross_entropy(model(x), y).backward()
            if model is driven:
                driver.step()
            optimizer.step()
            optimizer.zero_grad()
        if step % 6 == 0:
            for layer in by_hand.layers:
                delta = rule.propose(rewiring.edge_view(layer), rng=rng)
                rewiring.apply_delta(layer, delta, optimizers[0], step=step)
    assert edges(driven) != edges(network())
    assert_same(everything(by_hand, optimizers[0]), everything(driven, optimizers[1]))


def test_rigl_takes_the_place_of_a_step_and_costs_nothing_at_others() -> None:
    model = network()
    optimizer = adam(model)
    driver = Rewiring(model, optimizer, "rigl", every=4, until=9, fraction=0.3, rng=0)
    for step in range(1, 14):
        x, y = rows(step)
        is_time = step in (4, 8)
        for layer in model.layers:
            assert bool(layer._edge_index().watchers) == is_time
        cross_entropy(model(x), y).backward()
        before = [parameter.detach().clone() for parameter in model.parameters()]
        updates = [int(optimizer.state[p]["step"]) for p in model.parameters() if p in optimizer.state]
        gradients = [parameter.grad for parameter in model.parameters()]
        driver.step()
        optimizer.step()
        after = [int(optimizer.state[p]["step"]) for p in model.parameters()]
        if is_time:
            assert after == updates
            assert all(mine.grad is theirs for mine, theirs in zip(model.parameters(), gradients, strict=True))
            assert torch.equal(model.layers[0].bias, before[1])
        else:
            assert not torch.equal(model.layers[0].bias, before[1])
        optimizer.zero_grad()
    births = torch.cat([layer.birth for layer in model.layers])
    assert set(births.tolist()) == {0, 4, 8}
    assert [layer.n_edges for layer in model.layers] == [layer.n_edges for layer in network().layers]


@pytest.mark.parametrize("rule", ["rigl", "set"])
@pytest.mark.parametrize("options", [{"foreach": True}, {"fused": True}, {"amsgrad": True}])
def test_implementations_of_an_optimizer_agree(options: dict[str, bool], rule: str) -> None:
    plain, other = network().double(), network().double()
    optimizers = [adam(plain, foreach=False, amsgrad="amsgrad" in options), adam(other, **options)]
    for model, optimizer in zip((plain, other), optimizers, strict=True):
        driver = Rewiring(model, optimizer, rule, every=3, fraction=0.3, rng=0, optimizer_state="age")
        for step in range(1, 31):
            x, y = rows(step)
            cross_entropy(model(x.double()), y).backward()
            driver.step()
            optimizer.step()
            optimizer.zero_grad()
    assert edges(plain) == edges(other)
    for mine, theirs in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("rule", ["rigl", "set"])
def test_clipping_and_a_scaler_change_nothing(rule: str, fused: bool) -> None:
    """With a scale of 2^10 and a norm that is never reached the bits are those of a plain loop; infinite steps do not count."""
    plain, scaled = network(), network()
    drivers, optimizers = [], []
    for model in (plain, scaled):
        optimizers.append(adam(model, fused=fused))
        drivers.append(Rewiring(model, optimizers[-1], rule, every=4, fraction=0.3, rng=0))
    fit(plain, optimizers[0], drivers[0], 1, 25)
    scaler, step, n_void = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1000), 1, 0
    while step <= 25:
        x, y = rows(step)
        is_void = step in (4, 8, 9)[n_void : n_void + 1]
        scaler.scale(cross_entropy(scaled(x), y) * (torch.inf if is_void else 1)).backward()
        drivers[1].step()
        scaler.unscale_(optimizers[1])
        nn.utils.clip_grad_norm_(scaled.parameters(), 1e6)
        scaler.step(optimizers[1])
        scaler.update()
        optimizers[1].zero_grad()
        if is_void:
            n_void += 1
            scaler.update(2.0**10)
        else:
            step += 1
    assert n_void == 3
    assert drivers[1].steps == 25
    assert_same(everything(plain, optimizers[0]), everything(scaled, optimizers[1]))


@pytest.mark.parametrize("set_to_none", [True, False])
def test_accumulated_gradients_are_those_of_the_whole_batch(set_to_none: bool) -> None:
    whole, parts = network().double(), network().double()
    optimizers = [adam(model) for model in (whole, parts)]
    drivers = [Rewiring(m, o, "rigl", every=2, fraction=0.3, rng=0) for m, o in zip((whole, parts), optimizers, strict=True)]
    for step in range(1, 21):
        x, y = rows(step)
        cross_entropy(whole(x.double()), y).backward()
        drivers[0].step()
        for piece in range(4):
            chosen = slice(3 * piece, 3 * piece + 3)
            (cross_entropy(parts(x[chosen].double()), y[chosen]) / 4).backward()
            if step % 3 or piece == 3:  # it may be called after every part, or after the last only
                drivers[1].step()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=set_to_none)
        assert edges(whole) == edges(parts), step
    for mine, theirs in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_groups_have_their_own_rates_and_a_closure_serves() -> None:
    grouped, closed = network(), network()
    groups = [{"params": list(grouped.layers[0].parameters()), "lr": 1e-2}, {"params": list(grouped.layers[1:].parameters())}]
    optimizers = [torch.optim.Adam(groups, lr=1e-2), torch.optim.Adam(closed.parameters(), lr=1e-2)]
    drivers = [Rewiring(m, o, "rigl", every=3, rng=0) for m, o in zip((grouped, closed), optimizers, strict=True)]
    fit(grouped, optimizers[0], drivers[0], 1, 20)
    for step in range(1, 21):

        def closure(step: int = step) -> torch.Tensor:
            optimizers[1].zero_grad()
            x, y = rows(step)
            loss = cross_entropy(closed(x), y)
            loss.backward()
            drivers[1].step()
            return loss

        loss = optimizers[1].step(closure) if step % 2 else optimizers[1].step(closure=closure)
        assert torch.is_tensor(loss)
    assert drivers[1].steps == 20
    assert edges(grouped) == edges(closed) != edges(network())
    for mine, theirs in zip(grouped.parameters(), closed.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_averaged_copies_follow() -> None:
    model = network()
    optimizer = adam(model)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    averaged.update_parameters(model)
    driver = Rewiring(model, optimizer, "rigl", every=3, rng=0, followers=[averaged])
    for step in range(1, 20):
        fit(model, optimizer, driver, step, step)
        averaged.update_parameters(model)
        assert edges(averaged) == edges(model)
    assert edges(model) != edges(network())


RULES = {
    "rigl": {"rule": "rigl", "every": 3, "fraction": schedules.cosine(0.4), "until": 40},
    "set": {"rule": "set", "every": 3, "fraction": schedules.linear(0.4), "until": 40.5},
    "deep_r_s1": {"rule": "deep_r_s1", "every": 2},
    "soft_deep_r": {"rule": "soft_deep_r", "every": 1},
    "deep_r": {"rule": "deep_r", "every": 1},
}


OF_SGD = ("deep_r", "soft_deep_r")  # whose steps know no age


@pytest.mark.parametrize(("name", "policy"), [(n, p) for n in RULES for p in POLICIES if n not in OF_SGD or p != "age"])
@pytest.mark.parametrize("at", [8, 12])
def test_a_resumed_training_has_the_same_bits(name: str, policy: str, at: int) -> None:
    is_sgd = name in OF_SGD
    make: Callable[[nn.Module], torch.optim.Optimizer] = (
        (lambda model: torch.optim.SGD(model.parameters(), lr=0.1)) if is_sgd else adam
    )

    def begin(seed: int) -> tuple[SparseMLP, torch.optim.Optimizer, Rewiring, Any]:
        model = network()
        optimizer = make(model)
        driver = Rewiring(model, optimizer, rng=seed, optimizer_state=policy, **RULES[name])  # type: ignore[arg-type]
        return model, optimizer, driver, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)

    model, optimizer, driver, schedule = begin(1)
    fit(model, optimizer, driver, 1, at, schedule)
    file = io.BytesIO()
    torch.save([part.state_dict() for part in (model, optimizer, driver, schedule)], file)
    fit(model, optimizer, driver, at + 1, 30, schedule)
    other, other_optimizer, other_driver, other_schedule = begin(2)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    for part, state in zip((other, other_optimizer, other_driver, other_schedule), saved, strict=True):
        part.load_state_dict(state)
    fit(other, other_optimizer, other_driver, at + 1, 30, other_schedule)
    assert edges(model) != edges(network())
    assert_same(everything(model, optimizer), everything(other, other_optimizer))
    assert (driver.steps, driver.rewired) == (other_driver.steps, other_driver.rewired)
    for name_, value in driver.state_dict().items():
        theirs = other_driver.state_dict()[name_]
        assert torch.equal(value, theirs) if isinstance(value, torch.Tensor) else value == theirs


def test_states_that_do_not_fit_are_refused_and_change_nothing() -> None:
    model = network()
    optimizer = adam(model)
    driver = Rewiring(model, optimizer, "deep_r_s1", every=3, rng=0, optimizer_state="warmup")
    fit(model, optimizer, driver, 1, 7)
    state, before = driver.state_dict(), copy.deepcopy(driver.state_dict())
    bad: dict[str, Any] = {
        "its format is not": {**state, "format": "other"},
        "'rng' is missing": {name: value for name, value in state.items() if name != "rng"},
        "'0.more' is not of this rule": {**state, "0.more": torch.zeros(3)},
        "steps is -1; it must be an integer": {**state, "steps": -1},
        "the state is damaged": {**state, "rng": "{"},
        "the state is damaged: ": {**state, "rng": '{"bit_generator": "PCG64", "state": 3}'},
        "holds no float32 as 1.previous": {**state, "1.previous": torch.zeros(3, dtype=torch.int64)},
        "put model and optimizer into their states first": {**state, "1.previous": torch.zeros(3)},
    }
    for message, damaged in bad.items():
        with pytest.raises(CheckpointError, match=message):
            driver.load_state_dict(damaged)
    with pytest.raises(CheckpointError, match="its format is not"):
        driver.load_state_dict([])  # type: ignore[arg-type]
    for name, value in driver.state_dict().items():
        assert torch.equal(value, before[name]) if isinstance(value, torch.Tensor) else value == before[name]


def test_a_state_of_another_rule_or_of_other_edges_is_refused() -> None:
    model = network()
    optimizer = adam(model)
    driver = Rewiring(model, optimizer, "set", every=3, rng=0, optimizer_state="age")
    fit(model, optimizer, driver, 1, 7)
    state = driver.state_dict()
    driver.remove()
    other = Rewiring(model, optimizer, "rigl", every=3, rng=0, optimizer_state="age")
    with pytest.raises(CheckpointError, match="the state is of rule 'set'; this Rewiring has 'rigl'"):
        other.load_state_dict(state)
    with pytest.raises(CheckpointError, match="the state holds an age of -5; it must be -1 or more"):
        other.load_state_dict({**state, "rule": "rigl", "0.newborn_age": state["0.newborn_age"] * 0 - 5})
    smaller = SparseMLP([20, 24, 16, 5], density=0.2, rng=0)
    model.load_state_dict(smaller.state_dict())
    cross_entropy(model(X[:9]), Y[:9]).backward()
    other.step()
    with pytest.raises(
        ConfigError, match=r"the layer has 96 edges, and the driver knows the age of 144: its edges were changed"
    ):
        optimizer.step()


@pytest.mark.parametrize("first", ["rigl", "set"])
@pytest.mark.parametrize("policy", POLICIES)
def test_of_two_drivers_nothing_moves_at_a_step_that_one_replaces(first: str, policy: str) -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    made: dict[str, Any] = {
        "rigl": lambda: Rewiring(model, optimizer, "rigl", every=4, layers=[0, 2], rng=0),
        "set": lambda: Rewiring(model, optimizer, "set", every=5, layers=[1], rng=0, optimizer_state=policy),
    }
    drivers = [made[name]() for name in sorted(made, key=lambda name: name != first)]
    for step in range(1, 25):
        x, y = rows(step)
        cross_entropy(model(x), y).backward()
        before = [model.layers[1].weight.detach().clone(), model.layers[1].bias.detach().clone()]
        for driver in drivers:
            driver.step()
        optimizer.step()
        assert all(parameter.grad is not None for parameter in model.parameters())
        if step % 4 == 0 and step % 5:
            assert torch.equal(model.layers[1].weight, before[0])
            assert torch.equal(model.layers[1].bias, before[1])
        optimizer.zero_grad()
    assert {driver.steps for driver in drivers} == {24}
    with pytest.raises(
        ConfigError, match=r"sparse layer 2 is rewired by another Rewiring of this optimizer; call its remove\(\)"
    ):
        Rewiring(model, optimizer, "set", layers=[2], rng=0)


def test_a_penalty_of_the_weights_does_not_disturb_rigl() -> None:
    penalised, decayed = network().double(), network().double()
    optimizers = [torch.optim.SGD(penalised.parameters(), lr=0.1), torch.optim.SGD(decayed.parameters(), lr=0.1)]
    drivers = [Rewiring(m, o, "rigl", every=3, rng=0) for m, o in zip((penalised, decayed), optimizers, strict=True)]
    for step in range(1, 31):
        x, y = rows(step)
        penalty = 1e3 * sum(layer.weight.square().sum() for layer in penalised.layers) * (step % 3 == 0)
        (cross_entropy(penalised(x.double()), y) + penalty).backward()  # it is large where its gradient is not descended
        cross_entropy(decayed(x.double()), y).backward()
        for driver, optimizer in zip(drivers, optimizers, strict=True):
            driver.step()
            nn.utils.clip_grad_value_([p for group in optimizer.param_groups for p in group["params"]], 100)
            optimizer.step()
            optimizer.zero_grad()
        assert edges(penalised) == edges(decayed), step


def test_averaged_copies_with_other_edges_stop_a_change_before_it_begins() -> None:
    model = network()
    optimizer, follower = adam(model), copy.deepcopy(model)
    driver = Rewiring(model, optimizer, "set", every=1, rng=0, followers=[follower])
    rewiring.apply_delta(follower.layers[1], rewiring.SparseEvolution(0.3).propose(follower.layers[1], rng=0))
    cross_entropy(model(X[:9]), Y[:9]).backward()
    driver.step()
    with pytest.raises(TopologyError, match=r"followers\[0\] has other edges than the model in sparse layer 1"):
        optimizer.step()
    assert edges(model) == edges(network())


def test_a_watched_model_is_copied_and_saved() -> None:
    model = network()
    optimizer = adam(model)
    Rewiring(model, optimizer, "rigl", every=1, rng=0)
    cross_entropy(model(X[:9]), Y[:9]).backward()
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert edges(twin) == edges(model)
        cross_entropy(twin(X[:9]), Y[:9]).backward()
        assert not twin.layers[0]._edge_index().watchers


def test_by_hand_after_every_epoch() -> None:
    model = network()
    optimizer = adam(model)
    driver = Rewiring(model, optimizer, "set", every=None, rng=0)
    for epoch in range(3):
        fit(model, optimizer, driver, 1, 5)
        counts = [layer.n_edges for layer in model.layers]
        driver.rewire(is_last=epoch == 2)
    assert driver.steps == 15
    assert [layer.n_edges for layer in model.layers] < counts
    births = torch.cat([layer.birth for layer in model.layers])
    assert {5, 10} <= set(births.tolist()) <= {0, 5, 10}
    driver.remove()
    fit(model, optimizer, driver, 1, 5)
    assert driver.steps == 15


def test_bad_arguments_get_one_sentence_each() -> None:
    model = network()
    optimizer, sgd = adam(model), torch.optim.SGD(model.parameters())
    dense = nn.Sequential(nn.Linear(3, 3))
    frozen, tied = network(), nn.ModuleList([SparseMLP([9, 9], density=0.5, rng=0) for _ in range(2)])
    frozen.layers[1].weight.requires_grad_(False)
    tied[1].layers[0].weight = tied[0].layers[0].weight
    cosine = schedules.cosine(0.3)

    def make(rule: Any = "set", model: Any = model, optimizer: Any = optimizer, rng: Any = 0, **options: Any) -> Any:
        return lambda: Rewiring(model, optimizer, rule, rng=rng, **options)

    cases: list[tuple[str, Callable[[], object]]] = [
        ("optimizer is LBFGS, whose state cannot be remapped", make(optimizer=torch.optim.LBFGS(model.parameters()))),
        ("until is 50; the rewiring would end before it begins, at step 100", make(until=50)),
        ("until is nan; it must be a number of steps", make(until=float("nan"))),
        ("rule 'rigl' follows a schedule, and nobody knows where it ends", make("rigl", fraction=cosine)),
        (r"fraction is 1.0; it must be a number in \(0, 1\)", make("rigl", fraction=1.0)),
        ("fraction is 0; it must be a number", make(fraction=0)),
        ("which reaches 1; a fraction must stay below", make(fraction=schedules.cosine(1.0), until=200)),
        ("every is 0; it must be an integer", make(every=0)),
        ("the model, a Sequential, has no sparse layer", make(model=dense, optimizer=adam(dense))),
        ("model is a int; it must be a module", make(model=3)),
        ("optimizer is a int; it must be a torch.optim.Optimizer", make(optimizer=3)),
        ("optimizer does not train layer.weight", make(optimizer=adam(network()))),
        ("unknown rewiring rule 'rig'.*did you mean 'rigl'", make("rig")),
        ("rule is a type; it must be the name of a rewiring rule", make(rewiring.RigL)),
        ("fraction and a RigL are both given", make(rewiring.RigL(), fraction=0.3)),
        ("rewiring rule 'deep_r': unknown key 'fraction'", make("deep_r", fraction=0.3)),
        ("'deep_r' acts after every mini-batch, not every 100", make("deep_r")),
        ("optimizer is AdamW; rewiring 'deep_r' is defined for SGD alone", make("deep_r", every=1)),
        ("optimizer_state is 'old'; it must be one of 'zero', 'age'", make(optimizer_state="old")),
        ("optimizer_state is 'age' and the optimizer SGD", make(optimizer=sgd, optimizer_state="age")),
        ("every is None, and rule 'rigl' needs the gradient", make("rigl", every=None)),
        ("rule 'set' follows a schedule, and nobody knows", make(every=None, fraction=cosine)),
        ("sparse layers 0 and 1 share one weight", make(model=tied, optimizer=adam(tied))),
        ("sparse layer 0: optimizer does not train layer.weight", make(optimizer=adam(network()))),
        ("layers names layer 3; the model has the sparse layers 0 to 2", make(layers=[3])),
        ("the weight of sparse layer 1 is frozen", make("rigl", model=frozen, optimizer=adam(frozen))),
        (r"followers\[0\] has 0 sparse layers and the model 3", make(followers=[dense])),
        ("rng is -1; it must be an integer seed", make(rng=-1)),
    ]
    for message, call in cases:
        with pytest.raises(ConfigError, match=message):
            call()
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    other = SparseMLP([20, 24, 16, 5], density=0.3, rng=1)
    with pytest.raises(TopologyError, match=r"followers\[0\] has other edges than the model in sparse layer 0"):
        Rewiring(model, optimizer, "set", followers=[other], rng=0)


def test_steps_in_the_wrong_order_get_one_sentence() -> None:
    model = network()
    optimizer = adam(model)
    driver = Rewiring(model, optimizer, "rigl", every=2, rng=0)
    with pytest.raises(ConfigError, match=r"rewiring.step\(\) was called before loss.backward\(\)"):
        driver.step()
    fit(model, optimizer, driver, 1, 1)
    cross_entropy(model(X[:9]), Y[:9]).backward()
    before = everything(model, optimizer)
    with pytest.raises(ConfigError, match=r"rule 'rigl' needs the gradient.*rewiring.step\(\) was not called"):
        optimizer.step()
    with pytest.raises(ConfigError, match=r"rewiring.step\(\) was not called"):
        driver.rewire()
    assert_same(before, everything(model, optimizer))
    driver.step()
    optimizer.step()
    assert driver.steps == 2


def test_an_infinite_gradient_without_a_scaler_is_refused_before_any_edge_changes() -> None:
    model = network()
    optimizer = adam(model)
    driver = Rewiring(model, optimizer, "rigl", every=1, rng=0)
    (cross_entropy(model(X[:9]), Y[:9]) * torch.inf).backward()
    driver.step()
    with pytest.raises(ConfigError, match="the gradient of sparse layer 0 is not finite"):
        optimizer.step()
    assert edges(model) == edges(network())


def test_a_layer_that_took_no_part_is_named() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = SparseMLP([20, 5], density=0.5, rng=0), SparseMLP([20, 5], density=0.5, rng=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    model = Branches()
    optimizer = adam(model)
    driver = Rewiring(model, optimizer, "rigl", every=1, rng=0)
    cross_entropy(model(X[:9]), Y[:9]).backward()
    with pytest.raises(ConfigError, match=r"sparse layer 1 took no part in the backward pass.*leave it out by layers="):
        driver.step()
    driver.remove()
    driver = Rewiring(model, optimizer, "rigl", every=1, rng=0, layers=[0])
    optimizer.zero_grad()
    fit(model, optimizer, driver, 1, 3)
    assert model.idle.layers[0].topology == SparseMLP([20, 5], density=0.5, rng=1).layers[0].topology
    assert model.used.layers[0].topology != SparseMLP([20, 5], density=0.5, rng=0).layers[0].topology


def test_any_sparsified_model_trains_in_three_lines() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 5))
    ns.sparsify(model, density=0.2, allocation="erk", rng=0)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=3e-3)
    driver = Rewiring(model, optimizer, rule="rigl", every=10, until=150, fraction=schedules.cosine(0.3), rng=0)
    start = cross_entropy(model(X), Y).item()
    fit(model, optimizer, driver, 1, 200)
    assert cross_entropy(model(X), Y).item() < start / 2
    assert driver.rewired > 30
