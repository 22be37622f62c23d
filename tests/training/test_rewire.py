"""The callback `Rewire` around the driver: intervals, the gradients of single steps, and experiment files."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_experiments import events, interrupt_at, run, toy

from netsci_nn import ConfigError, SparseMLP, schedules
from netsci_nn.rewiring import REWIRERS, RigL, SparseEvolution
from netsci_nn.topology import load_network
from netsci_nn.training import Event, Rewire, TrainingState, train

X = torch.rand(120, 20, generator=torch.Generator().manual_seed(0))
Y = torch.arange(120) % 3


def network() -> SparseMLP:
    return SparseMLP([20, 12, 3], density=0.4, rng=0)


def fit(callbacks: list[Any], model: SparseMLP | None = None, epochs: int = 3, **options: Any) -> SparseMLP:
    model = model or network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, optimizer, X, Y, epochs=epochs, batch_size=10, rng=0, callbacks=callbacks, **options)
    return model


@pytest.mark.parametrize("compiled", [True, False])
def test_only_the_steps_of_rigl_are_torchs(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []

    class Watch:
        gradient_interval, step_interval, needs_every_step = 5, 5, False

        def __call__(self, event: Event, state: TrainingState) -> None:
            if event in (Event.BATCH, Event.GRADIENT):
                seen.append((event.value, state.step + 1))

    forwards: list[int] = []
    model = network()
    original = type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda self, x: (forwards.append(len(x)), original(self, x))[1])
    fit([Rewire(RigL(0.3), every_steps=5), Watch()], model, compiled=compiled)
    assert seen == [(name, step) for step in range(5, 37, 5) for name in ("batch", "gradient")]
    assert forwards.count(10) == (7 if compiled else 36)
    births = set(torch.cat([layer.birth for layer in model.layers]).tolist())
    assert {10, 35} < births <= {0, 5, 10, 15, 20, 25, 30, 35}


def test_the_time_of_a_rewiring_inside_of_a_step_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    propose, records = RigL.propose, []

    def slow(self: RigL, *arguments: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return propose(self, *arguments, **options)

    def note(event: Event, state: TrainingState) -> None:
        if event is Event.EPOCH:
            records.append(dict(state.record))

    monkeypatch.setattr(RigL, "propose", slow)
    begin = time.perf_counter()
    fit([Rewire(RigL(0.3), every_steps=4), note], epochs=1, compiled=False)
    seconds = time.perf_counter() - begin
    (record,) = records
    assert record["rewiring_seconds"] >= 6 * 0.05  # three steps, two layers
    assert record["seconds"] + record["rewiring_seconds"] <= seconds


def test_both_engines_make_the_same_changes() -> None:
    models = []
    for compiled in (True, False):
        model = network().double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        callbacks = [Rewire(RigL(schedules.cosine(0.4)), every_steps=4), Rewire(SparseEvolution(0.2), [0], every_steps=6)]
        train(model, optimizer, X.double(), Y, epochs=4, batch_size=10, rng=0, callbacks=callbacks, compiled=compiled)
        models.append(model)
    for mine, theirs in zip(models[0].layers, models[1].layers, strict=True):
        assert mine.topology == theirs.topology
        assert torch.equal(mine.birth, theirs.birth)
        torch.testing.assert_close(mine.weight, theirs.weight, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("optimizer_state", ["survivors", "warmup"])
def test_two_rules_that_replace_steps(compiled: bool, optimizer_state: str) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    options: Any = {"epochs": 3, "batch_size": 10, "rng": 0, "compiled": compiled and optimizer_state == "survivors"}
    rules = [Rewire(RigL(0.3), [0], every_steps=4, optimizer_state=optimizer_state), Rewire(RigL(0.2), [1], every_steps=6)]
    gradients: list[bool] = []

    def watch(event: Event, state: TrainingState) -> None:
        if event is Event.STEP and state.step % 12 == 0:
            gradients.append(all(parameter.grad is not None for parameter in model.parameters()))

    watch.step_interval, watch.needs_every_step = 12, False  # type: ignore[attr-defined]
    train(model, optimizer, X, Y, callbacks=[*rules, watch], **options)
    assert all(gradients)
    assert 36 in model.layers[0].birth.tolist()
    assert 36 in model.layers[1].birth.tolist()
    if optimizer_state == "survivors":
        assert not optimizer._optimizer_step_pre_hooks
        assert not optimizer._optimizer_step_post_hooks


def test_it_stops_at_an_epoch_and_its_schedule_ends_there() -> None:
    births = {}
    for until in (None, 2):
        model = fit([Rewire(SparseEvolution(schedules.linear(0.5)), every_steps=3, until_epoch=until)], epochs=4)
        births[until] = torch.cat([layer.birth for layer in model.layers])
    assert int(births[None].max()) == 45
    assert int(births[2].max()) == 21  # at step 24 the fraction is 0
    epochwise = [Rewire(SparseEvolution(0.3), until_epoch=2)]
    model = fit(epochwise, epochs=4)
    assert model.layers[0].n_edges == network().layers[0].n_edges  # the last epoch is not the rule's
    assert int(model.layers[0].birth.max()) == 24


def test_intervals_of_a_rule_that_needs_a_gradient() -> None:
    assert Rewire(RigL()).every_steps == 100
    assert Rewire(SparseEvolution()).every_steps is None
    with pytest.raises(ConfigError, match="every_epochs is 1, and rule 'rigl' needs the gradient of a step; give every_steps"):
        Rewire(RigL(), every_epochs=1)
    with pytest.raises(ConfigError, match="until_epoch is 0; it must be an integer >= 1"):
        Rewire(RigL(), until_epoch=0)
    with pytest.raises(ConfigError, match="optimizer_state is 'warm'; it must be one of"):
        Rewire(RigL(), optimizer_state="warm")
    with pytest.raises(ConfigError, match="optimizer_state is 'age' and the optimizer SGD"):
        fit([Rewire(RigL(), every_steps=5, optimizer_state="age")])
    with pytest.raises(ConfigError, match="every_steps is 100, and the rewiring ends at step 36, before it begins"):
        fit([Rewire(RigL())])
    with pytest.raises(ConfigError, match="every_steps is 20, and the rewiring ends at step 12, before it begins"):
        fit([Rewire(SparseEvolution(), every_steps=20, until_epoch=1)])
    batches = ((X[first : first + 10], Y[first : first + 10]) for first in range(0, 120, 10))

    class Unsized:
        def __iter__(self) -> Any:
            return batches

    model, callbacks = network(), [Rewire(RigL(schedules.cosine(0.3)), every_steps=2)]
    with pytest.raises(ConfigError, match="rule 'rigl' follows a schedule, and nobody knows how long the training is"):
        train(model, torch.optim.SGD(model.parameters()), Unsized(), epochs=1, rng=0, callbacks=callbacks)


EXPERIMENT = {
    "name": "RigL",
    "rewiring": {
        "name": "rigl",
        "fraction": {"name": "cosine", "start": 0.4},
        "every_steps": 3,
        "until_epoch": 3,
        "optimizer_state": "warmup",
    },
}


@pytest.mark.parametrize("policy", ["zero", "warmup"])
def test_an_experiment_with_rigl_runs_and_resumes(policy: str, tmp_path: Path) -> None:
    rewiring = {**EXPERIMENT["rewiring"], "optimizer_state": policy}  # type: ignore[dict-item]
    experiment = toy([{"name": "RigL", "rewiring": rewiring}])
    whole = run(tmp_path / "whole", experiment)
    assert whole.initial != whole.final
    run(tmp_path / "half", experiment, callbacks=[interrupt_at(15)])
    resumed = run(tmp_path / "half", experiment, resume=True)
    assert resumed.final == whole.final
    assert resumed.accuracy_by_epoch == whole.accuracy_by_epoch
    counts = [line["n_edges"] for line in events(tmp_path / "whole")]
    assert len(set(counts)) == 1
    epochs = [load_network(tmp_path / "whole" / "topology" / f"epoch-000{n}.safetensors") for n in (0, 1, 2)]
    assert len({tuple(layer.topology for layer in epoch) for epoch in epochs}) == 3
    assert not (tmp_path / "whole" / "topology" / "epoch-0004.safetensors").exists()


def test_bad_settings_of_an_experiment_are_refused() -> None:
    assert "rigl" in REWIRERS
    for change, message in (
        ({"until_epoch": 0}, "until_epoch"),
        ({"optimizer_state": "old"}, "optimizer_state is 'old'; it must be one of 'zero', 'age', 'survivors', 'warmup'"),
        ({"every_steps": None, "every_epochs": 1}, "rule 'rigl' needs the gradient of a step; give every_steps"),
    ):
        rewiring = {name: value for name, value in {**EXPERIMENT["rewiring"], **change}.items() if value is not None}  # type: ignore[dict-item]
        with pytest.raises(ConfigError, match=message):
            run(Path("unused"), toy([{"name": "a", "rewiring": rewiring}]))
    assert not Path("unused").exists()
