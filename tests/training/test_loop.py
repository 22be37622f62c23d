"""The training loop: what happens how often, how Ctrl-C ends it, and what it refuses."""

import os
import signal
from typing import Any

import pytest
import torch
from torch import nn

from netsci_nn import ConfigError, DataError, SparseMLP
from netsci_nn.rewiring import SparseEvolution
from netsci_nn.training import Event, Rewire, TrainingState, evaluate, train

X, Y = torch.randn(23, 6, generator=torch.Generator().manual_seed(0)), torch.arange(23) % 3


def make_model(seed: int = 0) -> SparseMLP:
    return SparseMLP([6, 8, 3], density=0.5, rng=seed)


def run(model: nn.Module | None = None, x: torch.Tensor = X, y: torch.Tensor = Y, **arguments: Any) -> TrainingState:
    model = make_model() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return train(model, optimizer, x, y, **{"epochs": 3, "batch_size": 5, "rng": 0, **arguments})


class Recorder:
    def __init__(self) -> None:
        self.events: list[tuple[str, int, int]] = []
        self.records: list[dict[str, Any]] = []

    def __call__(self, event: Event, state: TrainingState) -> None:
        self.events.append((event.value, state.epoch, state.step))
        if event in (Event.EPOCH, Event.END):
            self.records.append(dict(state.record))


def test_events_and_counts() -> None:
    recorder = Recorder()
    state = run(epochs=2, callbacks=[recorder])
    steps = [("step", 0, step) for step in range(1, 6)], [("step", 1, step) for step in range(6, 11)]
    assert recorder.events == [("start", 0, 0), *steps[0], ("epoch", 1, 5), *steps[1], ("epoch", 2, 10), ("end", 2, 10)]
    assert (state.epoch, state.step, state.steps_per_epoch, state.interrupted) == (2, 10, 5, False)
    assert [record["epoch"] for record in recorder.records] == [1, 2, 2]


def test_every_row_is_seen_once_an_epoch_in_another_order() -> None:
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.append(x[:, 0].detach())
            return self.linear(x)

    run(Spy(), x=torch.arange(23.0)[:, None], epochs=2)
    assert [len(batch) for batch in seen] == [5, 5, 5, 5, 3] * 2
    epochs = torch.cat(seen[:5]).tolist(), torch.cat(seen[5:]).tolist()
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(23))
    assert epochs[0] != epochs[1] != sorted(epochs[1])


def test_train_loss_is_the_mean_over_rows() -> None:
    recorder, model = Recorder(), make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    train(model, optimizer, X, Y, epochs=1, batch_size=5, rng=0, callbacks=[recorder])
    expected = nn.functional.cross_entropy(model(X), Y).item()
    assert recorder.records[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_no_epochs_only_start_and_end() -> None:
    recorder = Recorder()
    run(epochs=0, callbacks=[recorder])
    assert [event for event, *_ in recorder.events] == ["start", "end"]


def test_training_learns_and_the_same_seed_gives_the_same_bits() -> None:
    models = [make_model() for _ in range(3)]
    before = evaluate(models[0], X, Y)
    for model, seed in zip(models, (0, 0, 1), strict=True):
        run(model, rng=seed, epochs=30)
    assert evaluate(models[0], X, Y)["loss"] < 0.7 * before["loss"]
    first, same, other = ([p.detach() for p in model.parameters()] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not torch.equal(first[0], other[0])


def test_evaluate_agrees_with_the_definition_for_any_batch_size() -> None:
    model = make_model().train()
    logits = model(X)
    accuracy = (logits.argmax(dim=1) == Y).double().mean().item()
    loss = nn.functional.cross_entropy(logits, Y).item()
    for batch_size in (1, 5, 1000):
        result = evaluate(model, X, Y, batch_size)
        assert result["accuracy"] == accuracy
        assert result["loss"] == pytest.approx(loss, rel=1e-5)
    assert model.training


def test_evaluate_needs_targets_for_a_tensor() -> None:
    with pytest.raises(DataError, match="y is None; with x as a tensor every row needs a target"):
        evaluate(make_model(), X)


@pytest.mark.parametrize("when", [Event.STEP, Event.EPOCH])
def test_ctrl_c_ends_cleanly(when: Event) -> None:
    recorder, handler = Recorder(), signal.getsignal(signal.SIGINT)

    def interrupt(event: Event, state: TrainingState) -> None:
        if event is when and state.step >= 7 and not state.interrupted:
            os.kill(os.getpid(), signal.SIGINT)

    state = run(epochs=50, callbacks=[interrupt, recorder])
    assert state.interrupted
    assert recorder.events[-1] == (("end", 1, 7) if when is Event.STEP else ("end", 2, 10))
    assert sum(event == "end" for event, *_ in recorder.events) == 1
    assert recorder.records[-1]["interrupted"] is True
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_interrupts_at_once_and_the_handler_is_put_back() -> None:
    handler = signal.getsignal(signal.SIGINT)

    def interrupt_twice(event: Event, state: TrainingState) -> None:
        if event is Event.STEP:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(callbacks=[interrupt_twice])
    assert signal.getsignal(signal.SIGINT) is handler


def test_rewiring_keeps_the_count_and_only_the_last_epoch_shrinks() -> None:
    counts: list[list[int]] = []
    model = make_model()

    def count(event: Event, state: TrainingState) -> None:
        if event is Event.EPOCH:
            counts.append([layer.n_edges for layer in model.layers])

    start = [layer.topology for layer in model.layers]
    run(model, epochs=4, callbacks=[Rewire(SparseEvolution(0.3)), count])
    assert counts[:3] == [[24, 12]] * 3
    assert counts[3][0] < 24
    assert counts[3][1] < 12
    assert all(layer.topology != topology for layer, topology in zip(model.layers, start, strict=True))


def test_rewiring_of_chosen_layers_and_epochs() -> None:
    model, rewired = make_model(), []
    first = model.layers[0].topology

    def watch(event: Event, state: TrainingState) -> None:
        if event is Event.EPOCH:
            rewired.append("rewired_edges" in state.record)

    run(model, epochs=5, callbacks=[Rewire(SparseEvolution(0.3), layers=[1], every_epochs=2), watch])
    assert rewired == [False, True, False, True, True]
    assert model.layers[0].topology == first
    assert model.layers[1].topology_version == 3


@pytest.mark.parametrize("layers", [[2], [-1], [0, 5]], ids=str)
def test_rewiring_of_a_layer_that_is_not_there(layers: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"layers names layer (2|-1|5); the model has the sparse layers 0 to 1"):
        run(callbacks=[Rewire(SparseEvolution(0.3), layers=layers)])


@pytest.mark.parametrize("every", [0, -1, 1.5], ids=str)
def test_bad_every_epochs(every: Any) -> None:
    with pytest.raises(ConfigError, match=r"every_epochs is .*; it must be an integer >= 1"):
        Rewire(SparseEvolution(0.3), every_epochs=every)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y + 1, r"y\[2\] is 3; labels must be from 0 to 2"),
        (Y - 1, r"y\[0\] is -1; labels must be from 0 to 2"),
        (Y.double(), r"y has dtype torch\.float64; labels must be integers"),
        (Y[:-1], r"x has shape \(23, 6\) and y \(22,\); they must be \[n, n_features\] and \[n\]"),
        (Y[:, None], "they must be"),
    ],
)
def test_bad_labels(y: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        run(y=y)


def test_integer_labels_of_any_width_train() -> None:
    assert run(y=Y.int()).step == run(y=Y.to(torch.uint8)).step == 15


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[:, :5], r"x has shape \(1, 5\); its last dimension must be n_in = 6"),
        (X[:0], r"x has shape \(0, 6\)"),
        (X[:, 0], r"x has shape \(23,\)"),
    ],
)
def test_bad_rows(x: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        run(x=x, y=Y[: len(x)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": -1}, "epochs is -1; it must be an integer >= 0"),
        ({"epochs": 1.5}, r"epochs is 1\.5; it must be an integer >= 0"),
        ({"batch_size": 0}, "batch_size is 0; it must be an integer >= 1"),
        ({"batch_size": "5"}, "batch_size is '5'; it must be"),
        ({"rng": None}, "rng is None; it must be"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(**arguments)


def test_loop_does_not_use_global_random_numbers() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    run(callbacks=[Rewire(SparseEvolution(0.3))])
    assert torch.equal(torch.get_rng_state(), before)
