"""Section [training] beyond SGD and accuracy: optimisers, losses, metrics, schedules and the device by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_experiments import DATA, SET, events, run, toy

from netsci_nn import ConfigError
from netsci_nn.experiment import RunDirectory, run_experiment


def test_another_optimiser_loss_metric_and_schedule(tmp_path: Path) -> None:
    training = {
        "optimizer": {"name": "adamw", "betas": [0.8, 0.99]},
        "learning_rate": 0.01,
        "learning_rate_decay": 1.0,
        "momentum": 0.0,
        "weight_decay": 0.01,
        "loss": "mean_squared_error",
        "metrics": ["mean_squared_error", "accuracy"],
        "schedule": {"name": "step", "step_size": 2, "gamma": 0.5},
    }
    result = run(tmp_path / "run", toy(epochs=6, training=training))
    lines = [line for line in events(tmp_path / "run") if line["event"] == "epoch"]
    assert result.metric == "mean_squared_error"
    assert result.score == pytest.approx(result.metrics["mean_squared_error"])
    assert result.score_by_epoch == tuple(line["test_mean_squared_error"] for line in lines)
    assert result.accuracy_by_epoch == tuple(line["test_accuracy"] for line in lines)
    assert lines[-1]["test_loss"] == pytest.approx(lines[-1]["test_mean_squared_error"], rel=1e-5)
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]
    assert RunDirectory(tmp_path / "run").load_result() == result


def test_accuracy_that_was_not_measured_is_an_error(tmp_path: Path) -> None:
    result = run(tmp_path / "run", toy(epochs=1, training={"metrics": ["mean_absolute_error"]}))
    with pytest.raises(ConfigError, match=r"accuracy was not measured by run .*; its metrics are mean_absolute_error"):
        _ = result.accuracy


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"optimizer": "adam"}, r"optimizer 'adam' has no option 'momentum' = 0\.9; allowed are: .*betas"),
        (
            {"optimizer": {"name": "sgd", "betas": [1]}},
            r"optimizer 'sgd' has no option 'betas' = \[1\]; allowed are: .*momentum",
        ),
        ({"loss": {"name": "cross_entropy", "smoothing": 0.1}}, "smoothing"),
        ({"learning_rate_decay": 1.0, "schedule": {"name": "step"}}, "learning-rate schedule 'step' does not take"),
        ({"device": "cuda:99"}, r"training\.device is 'cuda:99'; this machine has \d+ devices of the kind 'cuda'"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_before_anything_runs(
    training: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        list(run_experiment(toy([SET], training=training), DATA, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"optimizer": "lbfgs"}, "unknown optimizer 'lbfgs'"),
        ({"loss": "crossentropy"}, r"unknown loss 'crossentropy' \(did you mean 'cross_entropy'\?\)"),
        ({"metrics": ["acuracy"]}, r"unknown metric 'acuracy' \(did you mean 'accuracy'\?\)"),
        ({"metrics": []}, "metrics is "),
        ({"metrics": ["accuracy", "accuracy"]}, "every metric may be named once"),
        ({"schedule": "cosin"}, r"unknown learning-rate schedule 'cosin' \(did you mean 'cosine'\?\)"),
        ({"schedule": "cosine"}, r"learning_rate_decay = 0\.9 and schedule = 'cosine' are both given; use one"),
        ({"device": "gpu"}, "device is 'gpu'; it must be cpu, cuda, cuda:NUMBER, mps or auto"),
    ],
)
def test_names_that_do_not_exist_are_refused_by_the_file(training: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        toy([SET], training=training)


def test_auto_is_a_device_that_is_there(tmp_path: Path) -> None:
    result = run(tmp_path / "run", toy(epochs=1, training={"device": "auto"}))
    if not torch.cuda.is_available():
        assert result.metrics == run(tmp_path / "cpu", toy(epochs=1)).metrics
