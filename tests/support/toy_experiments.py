"""Toy data, an experiment on it, and ways to run and to interrupt it."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from netsci_nn.data import Dataset
from netsci_nn.experiment import RunResult, run_method
from netsci_nn.experiment.config import Experiment, parse_experiment
from netsci_nn.training import Event, TrainingState

SET = {"name": "SET", "rewiring": "set"}


def toy_data() -> Dataset:
    rng = np.random.default_rng(0)
    x, y = rng.random((90, 12), dtype=np.float32), np.arange(90) % 3
    x[:, :3] += np.eye(3, dtype=np.float32)[y]
    x[:, 11] = 0
    return Dataset("toy", x[:60], y[:60], x[60:], y[60:], 3)


DATA = toy_data()


def toy(
    method: list[dict[str, Any]] | None = None, epochs: int = 4, training: dict[str, Any] | None = None, **model: Any
) -> Experiment:
    return parse_experiment(
        {
            "name": "toy",
            "dataset": "digits",
            "seeds": [0, 1],
            "model": {"layer_sizes": [12, 10, 3], "density": [0.25, 0.5], **model},
            "training": {"epochs": epochs, "batch_size": 10, "momentum": 0.9, "learning_rate_decay": 0.9, **(training or {})},
            "method": method or [SET],
        },
        "toy",
    )


def run(directory: Path, experiment: Experiment | None = None, seed: int = 0, **arguments: Any) -> RunResult:
    experiment = toy() if experiment is None else experiment
    return run_method(experiment, experiment.methods[0], seed, DATA, directory, **arguments)


def interrupt_at(step: int) -> Any:
    def callback(event: Event, state: TrainingState) -> None:
        if event is Event.STEP and state.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return callback


def events(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
