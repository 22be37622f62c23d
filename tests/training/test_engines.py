"""Which engine trains, and that callbacks and rules cannot tell: hooks, SET between mini-batches, masks, gradients."""

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from netsci_nn import ConfigError, SparseMLP
from netsci_nn.rewiring import EdgeDelta, EdgeView, SparseEvolution, apply_delta, edge_view
from netsci_nn.training import (
    Checkpoint,
    Event,
    LearningRateSchedule,
    Progress,
    Rewire,
    TrainingState,
    load_checkpoint,
    train,
)

X, Y = torch.rand(60, 12, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3


def network() -> SparseMLP:
    return SparseMLP([12, 10, 8, 3], density=0.4, rng=0)


def sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def run(model: nn.Module, optimizer: torch.optim.Optimizer, **arguments: Any) -> TrainingState:
    return train(model, optimizer, X, Y, **{"epochs": 2, "batch_size": 10, "rng": 0, **arguments})


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *_: Any) -> None:
        self.calls += 1


def on_layer(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    return model.layers[1].register_forward_hook(counter)


def before_layer(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    return model.layers[0].register_forward_pre_hook(counter)


def on_activation(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    return model.activation.register_full_backward_hook(counter)


def on_model(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    return model.register_forward_hook(counter)


def on_parameter(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    return model.layers[0].weight.register_hook(counter)


def after_accumulation(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    return model.layers[0].weight.register_post_accumulate_grad_hook(counter)


def before_step(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    return optimizer.register_step_pre_hook(counter)


def after_step(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    return optimizer.register_step_post_hook(counter)


def on_all_modules(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    return register_module_forward_hook(counter)


def on_all_optimizers(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    return register_optimizer_step_post_hook(counter)


def own_forward(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    forward = model.layers[0].forward

    def counted(x: torch.Tensor) -> torch.Tensor:
        counter()
        return forward(x)

    model.layers[0].forward = counted


def own_step(model: SparseMLP, optimizer: torch.optim.SGD, counter: Counter) -> Any:
    step = optimizer.step

    def counted() -> Any:
        counter()
        return step()

    optimizer.step = counted


@pytest.mark.parametrize(
    ("hang", "reason"),
    [
        (on_layer, "module 'layers.1' has hooks"),
        (before_layer, "module 'layers.0' has hooks"),
        (on_activation, "module 'activation' has hooks"),
        (on_model, "the model has hooks"),
        (on_parameter, "a parameter has hooks"),
        (after_accumulation, "a parameter has hooks"),
        (before_step, "the optimizer has hooks"),
        (after_step, "the optimizer has hooks"),
        (on_all_modules, "there are global module hooks"),
        (on_all_optimizers, "there are global optimizer hooks"),
        (own_forward, "module 'layers.0' has a forward of its own set on the instance"),
        (own_step, "the optimizer has a step or zero_grad of its own"),
    ],
)
def test_hooks_are_obeyed_and_logging_says_why(hang: Callable[..., Any], reason: str, caplog: pytest.LogCaptureFixture) -> None:
    model, counter = network(), Counter()
    optimizer = sgd(model)
    handle = hang(model, optimizer, counter)
    try:
        with caplog.at_level(logging.INFO, "netsci_nn"):
            run(model, optimizer)
        assert counter.calls >= 12  # mini-batches
        assert f"training step by step: {reason}" in caplog.text
        with pytest.raises(ConfigError, match=reason):
            run(model, optimizer, compiled=True)
    finally:
        if handle is not None:
            handle.remove()


def test_without_hooks_steps_are_compiled_also_beside_a_schedule() -> None:
    model = network()
    optimizer = sgd(model)
    torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)  # wraps optimizer.step, to count its calls only
    run(model, optimizer, compiled=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_set_between_mini_batches_runs_inside_compiled_training(dtype: torch.dtype) -> None:
    models = []
    for compiled in (True, False):
        model = network().to(dtype)
        rewire = Rewire(SparseEvolution(0.3, initial_value=0.1), every_steps=4)
        optimizer = sgd(model)
        train(model, optimizer, X.to(dtype), Y, epochs=3, batch_size=10, rng=0, callbacks=[rewire], compiled=compiled)
        models.append((model, optimizer))
    (a, a_sgd), (b, b_sgd) = models
    for first, second in zip(a.layers, b.layers, strict=True):
        assert first.topology == second.topology
        assert torch.equal(first.birth, second.birth)
        assert len(set(first.birth.tolist())) > 2
        torch.testing.assert_close(first.weight, second.weight, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            a_sgd.state[first.weight]["momentum_buffer"], b_sgd.state[second.weight]["momentum_buffer"], rtol=1e-3, atol=1e-5
        )


class Spy:
    """A rule that notes what it is shown and changes nothing."""

    needs = ("previous", "step", "total_steps")

    def __init__(self) -> None:
        self.seen: list[EdgeView] = []

    def propose(self, edges: EdgeView, *, rng: np.random.Generator) -> EdgeDelta:
        self.seen.append(edges)
        nothing = np.empty(0, dtype=np.int64)
        return EdgeDelta(nothing, nothing, nothing, edges.zeros(0))


@pytest.mark.parametrize("compiled", [True, False])
def test_rules_know_step_total_learning_rate_and_former_weights(compiled: bool) -> None:
    model, rule = network(), Spy()
    start = [layer.weight.detach().numpy().copy() for layer in model.layers]
    run(model, sgd(model), callbacks=[Rewire(rule, layers=[0, 2], every_steps=4)], compiled=compiled)
    assert [view.step for view in rule.seen] == [4, 4, 8, 8, 12, 12]
    assert {view.total_steps for view in rule.seen} == {12}
    assert {view.learning_rate for view in rule.seen} == {0.1}
    assert [view.n_in for view in rule.seen[:2]] == [12, 8]
    np.testing.assert_array_equal(rule.seen[0].previous, start[0])
    assert not any(view.is_last for view in rule.seen)


def test_a_rule_that_needs_the_unknown_is_refused() -> None:
    rule = Spy()
    rule.needs = ("hessian",)
    model = network()
    with pytest.raises(ConfigError, match="the rewiring rule needs 'hessian'; training can provide: previous"):
        run(model, sgd(model), callbacks=[Rewire(rule)])


class Masking(Spy):
    """A rule that switches off the weaker half of the edges in the forward pass."""

    needs = ()
    sets_active = True

    def propose(self, edges: EdgeView, *, rng: np.random.Generator) -> EdgeDelta:
        nothing = np.empty(0, dtype=np.int64)
        strong = np.abs(edges.weight) >= np.median(np.abs(edges.weight))
        return EdgeDelta(nothing, nothing, nothing, edges.zeros(0), kept_active=strong)


def test_a_rule_may_set_the_forward_mask() -> None:
    model = network()
    run(model, sgd(model), callbacks=[Rewire(Masking(), every_steps=3)])
    for layer in model.layers:
        assert layer.active is not None
        assert 0 < int(layer.active.sum()) < layer.n_edges
    with pytest.raises(ConfigError, match=r"compiled is True, but .* a callback needs every step"):
        run(network(), sgd(network()), callbacks=[Rewire(Masking(), every_steps=3)], compiled=True)


def test_a_rule_that_does_not_declare_its_mask_is_refused_by_compiled_training() -> None:
    rule = Masking()
    rule.sets_active = False
    model = network()
    with pytest.raises(ConfigError, match="the rule must say so by its attribute sets_active"):
        run(model, sgd(model), callbacks=[Rewire(rule, every_steps=3)], compiled=True)


def test_a_layer_with_a_mask_is_trained_by_torch() -> None:
    model = network()
    model.layers[1].active = torch.arange(model.layers[1].n_edges) % 2 == 0
    before = copy.deepcopy(model)
    with pytest.raises(ConfigError, match="a layer has a forward mask"):
        run(model, sgd(model), compiled=True)
    run(model, sgd(model))
    assert not torch.equal(model.layers[1].weight, before.layers[1].weight)


def test_the_event_between_backward_pass_and_step() -> None:
    seen: list[tuple[int, bool]] = []
    model = network()
    weights = model.layers[0].weight

    def look(event: Event, state: TrainingState) -> None:
        if event is Event.GRADIENT:
            assert weights.grad is not None
            seen.append((state.step, bool((weights.grad != 0).any())))
            weights.grad.zero_()

    look.needs_gradient = True  # type: ignore[attr-defined]
    look.needs_every_step = False  # type: ignore[attr-defined]
    before = weights.detach().clone()
    run(model, torch.optim.SGD(model.parameters(), lr=0.1), callbacks=[look])
    assert seen == [(step, True) for step in range(12)]
    assert torch.equal(weights, before)  # the event comes before the step


def test_two_rules_on_one_layer_keep_their_memories_apart_when_training_resumes() -> None:
    class Remembering(Spy):
        needs = ()

        def __init__(self, mark: int) -> None:
            super().__init__()
            self.mark = mark

        def remember(self, edges: EdgeView, rng: np.random.Generator) -> dict[str, np.ndarray]:
            return {"mark": np.array([self.mark])}

    model = network()
    state = run(model, sgd(model), callbacks=[Rewire(Remembering(1), [0]), Rewire(Remembering(2), [0, 1])])
    second = [Rewire(Remembering(7), [0]), Rewire(Remembering(8), [0, 1])]
    run(model, sgd(model), epochs=3, callbacks=second, completed=Progress(2, 12, state.carried))
    assert [int(callback.memory[0]["mark"][0]) for callback in second] == [1, 2]
    assert int(second[1].memory[1]["mark"][0]) == 2


@pytest.mark.parametrize(
    ("schedule", "parameters", "expected"),
    [
        ("exponential", {"gamma": 0.5}, [0.05, 0.025, 0.0125, 0.00625]),
        ("step", {"step_size": 2, "gamma": 0.1}, [0.1, 0.01, 0.01, 0.001]),
        ("multi_step", {"milestones": [1, 3], "gamma": 0.1}, [0.01, 0.01, 0.001, 0.001]),
        ("cosine", {}, [0.1 * (1 + np.cos(np.pi * k / 4)) / 2 for k in (1, 2, 3, 4)]),
        ("linear", {"end_factor": 0.0}, [0.075, 0.05, 0.025, 0.0]),
        ("polynomial", {"power": 2.0}, [0.1 * (1 - k / 4) ** 2 for k in (1, 2, 3, 4)]),
    ],
)
def test_schedules_by_name_also_resumed_after_two_epochs(
    schedule: str, parameters: dict[str, Any], expected: list[float], tmp_path: Path
) -> None:
    def rates(completed: Progress | None, epochs: int, seed: int = 0) -> list[float]:
        seen: list[float] = []

        def note(event: Event, state: TrainingState) -> None:
            if event is Event.EPOCH:
                seen.append(state.optimizer.param_groups[0]["lr"])

        note.needs_every_step = False  # type: ignore[attr-defined]
        model, rng = network(), np.random.default_rng(seed)
        optimizer = sgd(model)
        checkpoint = Checkpoint(tmp_path / "last.safetensors")
        completed = Progress(0, 0) if completed is None else load_checkpoint(checkpoint.path, model, optimizer, rng)
        callbacks = [LearningRateSchedule(schedule, **parameters), note]
        if epochs == 4:
            train(model, optimizer, X, Y, epochs=4, batch_size=10, rng=rng, completed=completed, callbacks=callbacks)
        else:  # stopped by a limit of its own, as a killed process is, while 4 epochs are planned

            def stop(event: Event, state: TrainingState) -> None:
                state.interrupted = event is Event.EPOCH and state.epoch == epochs

            stop.needs_every_step = False  # type: ignore[attr-defined]
            callbacks += [checkpoint, stop]
            train(model, optimizer, X, Y, epochs=4, batch_size=10, rng=rng, completed=completed, callbacks=callbacks)
        return seen

    assert rates(None, 4) == pytest.approx(expected)
    assert rates(None, 2) == pytest.approx(expected[:2])
    assert rates(Progress(2, 12), 4) == pytest.approx(expected[2:])


def test_a_schedule_that_does_not_fit_is_refused() -> None:
    model = network()
    with pytest.raises(ConfigError, match="learning-rate schedule 'step' does not take"):
        run(model, sgd(model), callbacks=[LearningRateSchedule("step", gamma=0.1)])

    def chained(optimizer: torch.optim.Optimizer, epochs: int) -> torch.optim.lr_scheduler.LRScheduler:
        parts = [torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma) for gamma in (0.9, 0.5)]
        return torch.optim.lr_scheduler.SequentialLR(optimizer, parts, milestones=[1])

    with pytest.raises(ConfigError, match="'chained' chains several schedules; a checkpoint cannot save them"):
        run(model, sgd(model), callbacks=[LearningRateSchedule(chained)])
    with pytest.raises(ConfigError, match="unknown learning-rate schedule 'exponental'"):
        LearningRateSchedule("exponental")


class Vandal(Spy):
    """A rule that tries to change what it is shown."""

    needs = ()

    def propose(self, edges: EdgeView, *, rng: np.random.Generator) -> EdgeDelta:
        edges.src[:] = 2**30
        torch.from_numpy(edges.dst)[:] = -(2**28)
        with pytest.raises(ValueError, match="read-only"):
            edges.weight[0] = 1
        return super().propose(edges, rng=rng)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_rule_cannot_write_to_what_it_sees(compiled: bool) -> None:
    models = [network(), network()]
    run(models[0], sgd(models[0]), callbacks=[Rewire(Vandal(), every_steps=2)], compiled=compiled)
    run(models[1], sgd(models[1]), compiled=compiled)
    for first, second in zip(models[0].layers, models[1].layers, strict=True):
        assert first.topology == second.topology
        assert torch.equal(first.weight, second.weight)


def test_a_mask_set_after_epochs_is_obeyed() -> None:
    models = []
    for compiled in (None, False):
        model = network()
        run(model, sgd(model), epochs=3, callbacks=[Rewire(Masking())], compiled=compiled)
        models.append(model)
    assert models[0].layers[0].active is not None
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_what_a_callback_hangs_on_the_model_ends_compiled_training(caplog: pytest.LogCaptureFixture) -> None:
    counter = Counter()

    def hang(event: Event, state: TrainingState) -> None:
        if event is Event.EPOCH and state.epoch == 1:
            state.model.layers[0].register_forward_hook(counter)

    hang.needs_every_step = False  # type: ignore[attr-defined]
    model = network()
    with caplog.at_level(logging.INFO, "netsci_nn"):
        run(model, sgd(model), callbacks=[hang])
    assert counter.calls == 6  # the mini-batches of the second epoch
    assert "training step by step: module 'layers.0' has hooks" in caplog.text
    model, counter.calls = network(), 0
    with pytest.raises(ConfigError, match=r"module 'layers\.0' has hooks"):
        run(model, sgd(model), callbacks=[hang], compiled=True)


@pytest.mark.parametrize("first", [0, 1])
def test_a_rule_that_needs_former_weights_shares_no_layer(first: int) -> None:
    rules = [Rewire(SparseEvolution(0.3), [0], every_steps=2), Rewire(Spy(), [0, 1], every_steps=3)]
    model = network()
    with pytest.raises(ConfigError, match="two rewiring rules act on layer 0, and one of them needs the former weight"):
        run(model, sgd(model), callbacks=[rules[first], rules[1 - first]])


def test_a_callback_at_steps_may_set_the_learning_rate_but_not_change_modules() -> None:
    def decay(event: Event, state: TrainingState) -> None:
        if event is Event.STEP and state.step % 3 == 0:
            state.optimizer.param_groups[0]["lr"] *= 0.5

    decay.step_interval = 3  # type: ignore[attr-defined]
    models = [network().double() for _ in range(2)]
    for model, compiled in zip(models, (True, False), strict=True):
        train(model, sgd(model), X.double(), Y, epochs=2, batch_size=10, rng=0, callbacks=[decay], compiled=compiled)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b)

    def change(event: Event, state: TrainingState) -> None:
        if event is Event.STEP and state.step == 3:
            layer = state.model.layers[0]
            apply_delta(layer, SparseEvolution(0.3).propose(edge_view(layer), rng=0))

    change.step_interval = 3  # type: ignore[attr-defined]
    model = network()
    with pytest.raises(ConfigError, match="a callback changed the edges of a layer between compiled steps"):
        run(model, sgd(model), callbacks=[change])


def test_two_schedules_resume_apart() -> None:
    def schedules() -> list[LearningRateSchedule]:
        return [LearningRateSchedule("exponential", gamma=0.9), LearningRateSchedule("step", step_size=2, gamma=0.5)]

    model = network()
    optimizer = sgd(model)
    state = run(model, optimizer, epochs=2, callbacks=schedules())
    assert {name for name in state.carried if name.startswith("schedule")} == {"schedule.0", "schedule.1"}
    run(model, optimizer, epochs=4, callbacks=schedules(), completed=Progress(2, 12, state.carried))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.9**4 * 0.5**2)


def test_a_schedule_made_with_a_function_resumes() -> None:
    def schedule() -> LearningRateSchedule:
        return LearningRateSchedule(lambda o, epochs: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)))

    model = network()
    optimizer = sgd(model)
    state = run(model, optimizer, epochs=2, callbacks=[schedule()])
    run(model, optimizer, epochs=4, callbacks=[schedule()], completed=Progress(2, 12, state.carried))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 / 5)


def test_gradients_that_are_disabled_are_not_passed_over() -> None:
    model = network()
    with torch.no_grad(), pytest.raises(ConfigError, match="the loss does not depend on a trained parameter"):
        run(model, sgd(model))
    counter = Counter()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        counter()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run(model, sgd(model))
    assert counter.calls > 0
