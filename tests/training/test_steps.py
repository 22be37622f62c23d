"""Training that is not classification of rows: step functions, batches of any kind, other losses and metrics."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from netsci_nn import ConfigError, DataError, SparseMLP
from netsci_nn.rewiring import SparseEvolution
from netsci_nn.training import (
    LOSSES,
    METRICS,
    OPTIMIZERS,
    Checkpoint,
    Evaluate,
    Event,
    Rewire,
    TrainingState,
    evaluate,
    load_checkpoint,
    make_optimizer,
    train,
)

X = torch.rand(40, 12, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 3


def network(outputs: int = 3) -> SparseMLP:
    return SparseMLP([12, 10, outputs], density=0.5, rng=0)


def adam(model: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=0.01)


def last_record(records: list[dict[str, Any]]) -> Any:
    def note(event: Event, state: TrainingState) -> None:
        if event is Event.EPOCH:
            records.append(dict(state.record))

    return note


def test_an_autoencoder_by_its_step_function() -> None:
    records: list[dict[str, Any]] = []

    def step(model: nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        error = nn.functional.mse_loss(model(batch), batch)
        return {"loss": error, "deviation": error.detach().sqrt()}

    model = network(12)
    rewire = Rewire(SparseEvolution(0.2))
    train(model, adam(model), X, epochs=20, batch_size=8, rng=0, step=step, callbacks=[rewire, last_record(records)])
    assert records[-1]["train_loss"] < 0.7 * records[0]["train_loss"]
    assert records[0]["train_deviation"] == pytest.approx(records[0]["train_loss"] ** 0.5, rel=0.1)
    assert records[0]["rewired_edges"] > 0


def test_a_step_function_may_fill_the_gradients_itself() -> None:
    def step(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        return torch.tensor(1.5)

    model = network()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    records: list[dict[str, Any]] = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    train(model, optimizer, X, epochs=1, batch_size=10, rng=0, step=step, callbacks=[last_record(records)])
    assert records[0]["train_loss"] == 1.5
    for parameter, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), old - 4 * 0.5)


def test_batches_of_a_data_loader_train_like_rows_in_its_order() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=7)
    models = [network(), network()]
    state = train(models[0], adam(models[0]), loader, epochs=2, rng=0, callbacks=[Rewire(SparseEvolution(0.3))])
    assert (state.step, state.steps_per_epoch, state.total_steps) == (12, 6, 12)
    optimizer = adam(models[1])
    for epoch in range(2):
        for rows, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(models[1](rows), labels).backward()
            optimizer.step()
        if epoch == 0:
            # The first rewiring moves edges; up to it both are the same.
            first = [parameter.detach().clone() for parameter in models[1].parameters()]
    alone = network()
    train(alone, adam(alone), loader, epochs=1, rng=0)
    for parameter, expected in zip(alone.parameters(), first, strict=True):
        torch.testing.assert_close(parameter.detach(), expected)


def test_batches_without_a_length() -> None:
    class Stream:
        def __iter__(self) -> Any:
            return iter([(X[:10], Y[:10]), (X[10:15], Y[10:15])])

    model = network()
    state = train(model, adam(model), Stream(), epochs=3, rng=0)
    assert (state.step, state.steps_per_epoch, state.total_steps) == (6, None, None)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": iter([(X, Y)]), "epochs": 2}, ConfigError, "can be iterated once, and epochs is 2"),
        ({"x": [(X, Y)], "batch_size": 5}, ConfigError, "batch_size is 5 and x is a list of batches; leave batch_size out"),
        ({"x": [(X, Y)], "y": Y}, ConfigError, "leave y out: the batches already hold rows and targets"),
        ({"x": 3.5}, DataError, "x is a float; it must be a tensor"),
        ({"x": X, "batch_size": 5}, DataError, "y is None; supervised learning needs a target"),
        ({"x": X, "y": Y}, ConfigError, "batch_size is None; it must be an integer >= 1"),
        ({"x": X, "y": Y[:-1], "batch_size": 5}, DataError, "x has shape"),
        ({"x": X, "y": Y, "batch_size": 5, "step": lambda m, b: 0, "loss": nn.functional.l1_loss}, ConfigError, "both given"),
    ],
    ids=["once", "batch_size", "y", "no data", "no targets", "no batch_size", "lengths", "step and loss"],
)
def test_data_that_do_not_fit(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    model = network()
    arguments = dict(arguments)
    x, y = arguments.pop("x"), arguments.pop("y", None)
    with pytest.raises(error, match=message):
        train(model, adam(model), x, y, **{"epochs": 1, "rng": 0, **arguments})


def test_labels_of_tokens() -> None:
    tokens = torch.randint(3, (40, 5), generator=torch.Generator().manual_seed(1))
    inputs = nn.functional.one_hot(tokens, 12).float()
    model = network()
    before = evaluate(model, inputs, tokens)
    train(model, adam(model), inputs, tokens, epochs=60, batch_size=10, rng=0)
    after = evaluate(model, inputs, tokens)
    assert after["loss"] < 0.7 * before["loss"]
    logits = model(inputs).detach()
    assert after["accuracy"] == pytest.approx(float((logits.argmax(-1) == tokens).double().mean()))
    assert after["loss"] == pytest.approx(float(nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())), rel=1e-5)


def test_regression_by_a_loss_of_the_registry() -> None:
    targets = torch.stack([X[:, :3].sum(1), X[:, 3]], dim=1)
    model, loss = network(2), LOSSES["mean_squared_error"]()
    records: list[dict[str, Any]] = []
    measure = Evaluate(X, targets, metrics=["mean_squared_error", "mean_absolute_error"], loss=loss)
    train(model, adam(model), X, targets, epochs=30, batch_size=10, rng=0, loss=loss, callbacks=[measure, last_record(records)])
    assert records[-1]["test_mean_squared_error"] < 0.5 * records[0]["test_mean_squared_error"]
    assert records[-1]["test_loss"] == pytest.approx(records[-1]["test_mean_squared_error"], rel=1e-5)
    expected = (model(X) - targets).abs().mean().item()
    assert records[-1]["test_mean_absolute_error"] == pytest.approx(expected, rel=1e-5)


def test_metrics_by_hand() -> None:
    outputs = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 2.0, 1.0]])
    labels = torch.tensor([0, 2, 1])
    assert METRICS["accuracy"].per_row(outputs, labels).tolist() == [1, 0, 1]
    assert METRICS["top_5_accuracy"].per_row(outputs, labels).tolist() == [1, 1, 1]
    squared = METRICS["mean_squared_error"].per_row(outputs, labels)
    np.testing.assert_allclose(squared, [(4 + 1 + 0) / 3, (0 + 4 + 0) / 3, (0 + 1 + 1) / 3])
    assert METRICS["accuracy"].text(0.9712) == "97.12 %"
    assert METRICS["mean_squared_error"].text(0.01234567) == "0.01235"


def test_losses_of_labels() -> None:
    outputs, labels = torch.randn(6, 3), torch.arange(6) % 3
    one_hot = nn.functional.one_hot(labels, 3).float()
    torch.testing.assert_close(LOSSES["mean_squared_error"]()(outputs, labels), nn.functional.mse_loss(outputs, one_hot))
    smooth = LOSSES["cross_entropy"](label_smoothing=0.1)
    torch.testing.assert_close(smooth(outputs, labels), nn.functional.cross_entropy(outputs, labels, label_smoothing=0.1))
    assert LOSSES["cross_entropy"]() is nn.functional.cross_entropy
    torch.testing.assert_close(LOSSES["multi_margin"]()(outputs, labels), nn.functional.multi_margin_loss(outputs, labels))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimiser_of_the_registry_trains_through_rewirings(name: str) -> None:
    model = network()
    optimizer = make_optimizer(name, model.parameters(), 0.01, weight_decay=0.0, momentum=0.0)
    before = evaluate(model, X, Y)["loss"]
    train(model, optimizer, X, Y, epochs=5, batch_size=10, rng=0, callbacks=[Rewire(SparseEvolution(0.1), every_steps=5)])
    assert evaluate(model, X, Y)["loss"] < before


def test_an_option_that_an_optimiser_does_not_have_is_not_dropped_silently() -> None:
    parameters = list(network().parameters())
    with pytest.raises(ConfigError, match=r"optimizer 'adam' has no option 'momentum' = 0\.9; allowed are: .*betas"):
        make_optimizer("adam", parameters, 0.1, momentum=0.9)
    with pytest.raises(ConfigError, match="optimizer 'sgd': Invalid momentum value"):
        make_optimizer("sgd", parameters, 0.1, momentum=-1)
    with pytest.raises(ConfigError, match=r"unknown optimizer 'adamm' \(did you mean 'adam'\?\)"):
        make_optimizer("adamm", parameters, 0.1)


def test_resuming_with_a_shuffled_loader_is_to_the_same_bits(tmp_path: Path) -> None:
    def run(epochs: int, completed: bool, stop: int | None = None) -> nn.Module:
        model, rng = network(), np.random.default_rng(0)
        optimizer, path = adam(model), tmp_path / "last.safetensors"
        loader = DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True)
        torch.manual_seed(3)
        progress = load_checkpoint(path, model, optimizer, rng) if completed else (0, 0)

        def interrupt(event: Event, state: TrainingState) -> None:
            state.interrupted = event is Event.EPOCH and state.epoch == stop

        callbacks = [Rewire(SparseEvolution(0.3)), Checkpoint(path), interrupt]
        train(model, optimizer, loader, epochs=epochs, rng=rng, completed=progress, callbacks=callbacks)
        return model

    whole = run(4, completed=False)
    run(4, completed=False, stop=2)
    resumed = run(4, completed=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_soft_targets_train_and_are_evaluated() -> None:
    soft = nn.functional.one_hot(Y, 3) * 0.8 + 0.2 / 3
    model = network()
    before = evaluate(model, X, soft)
    train(model, adam(model), X, soft, epochs=40, batch_size=10, rng=0)
    after = evaluate(model, X, soft)
    assert after["loss"] < before["loss"]
    assert after["accuracy"] == evaluate(model, X, Y)["accuracy"]
    assert evaluate(model, X, Y.int())["loss"] == evaluate(model, X, Y)["loss"]


def test_counts_and_padded_tokens() -> None:
    counts = torch.poisson(X[:, :2].sum(1, keepdim=True)).long()
    model = network(1)
    train(model, adam(model), X, counts, epochs=2, batch_size=10, rng=0, loss=nn.functional.poisson_nll_loss)
    tokens = torch.randint(3, (40, 5), generator=torch.Generator().manual_seed(1))
    tokens[:, 3:] = -100
    train(network(), adam(network()), torch.rand(40, 5, 12), tokens, epochs=1, batch_size=10, rng=0)
    with pytest.raises(DataError, match="labels"):
        train(network(), adam(network()), X, torch.full((40,), -100), epochs=1, batch_size=10, rng=0)


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(DataError, match=r"targets have shape \[6\] and outputs \[6, 1\]; they must be equal"):
        METRICS["mean_squared_error"].per_row(torch.rand(6, 1), torch.rand(6))


@pytest.mark.parametrize(
    "result", [0.5, None, {"error": torch.ones(())}, torch.ones(3)], ids=["float", "none", "dict", "vector"]
)
def test_what_a_step_function_must_return(result: Any) -> None:
    model = network()
    with pytest.raises(ConfigError, match="it must return the loss as a tensor of one number"):
        train(model, adam(model), X, epochs=1, batch_size=10, rng=0, step=lambda model, batch: result)


def test_lbfgs_and_batches_that_are_gone_are_refused() -> None:
    model = network()
    with pytest.raises(ConfigError, match="optimizer is LBFGS, which evaluates the loss several times per step"):
        train(model, torch.optim.LBFGS(model.parameters()), X, Y, epochs=1, batch_size=10, rng=0)
    batches = iter([(X, Y)])
    evaluate(model, batches)
    with pytest.raises(DataError, match="x gave no batch"):
        evaluate(model, batches)


def test_adafactor_and_rates_that_are_tensors_are_in_checkpoints(tmp_path: Path) -> None:
    for kind, rate in ((torch.optim.Adafactor, 0.01), (torch.optim.Adam, torch.tensor(0.01))):
        model = nn.Sequential(network(8), nn.Linear(8, 3))
        optimizer = kind(model.parameters(), lr=rate)
        path = tmp_path / f"{kind.__name__}.safetensors"
        train(
            model, optimizer, X, Y, epochs=1, batch_size=10, rng=0, callbacks=[Rewire(SparseEvolution(0.3)), Checkpoint(path)]
        )
        again = nn.Sequential(network(8), nn.Linear(8, 3))
        other = kind(again.parameters(), lr=rate)
        assert load_checkpoint(path, again, other, np.random.default_rng(0)) == (1, 4)
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
