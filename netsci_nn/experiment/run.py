"""One run: a method with a seed, from the network at the start to the result."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from netsci_nn.data import Dataset
from netsci_nn.experiment.build import (
    build_loss,
    build_model,
    build_optimizer,
    build_rewirings,
    build_schedule,
    count_dense_weights,
    count_weights,
    device_of,
    training_multiply_adds,
)
from netsci_nn.experiment.directory import CHECKPOINT, METRICS, check_same_run, clear, is_begun, rewind_log, write_header
from netsci_nn.experiment.pruned import prune_round
from netsci_nn.experiment.result import RunResult, load_result, save_result
from netsci_nn.models import sparse_layers
from netsci_nn.topology import BipartiteTopology
from netsci_nn.training import (
    Callback,
    Checkpoint,
    Evaluate,
    Event,
    JsonlLog,
    Progress,
    RecordTopology,
    TrainingState,
    load_checkpoint,
    train,
)
from netsci_nn.training.config import Experiment, MethodConfig


class Phase(NamedTuple):
    """One training with a directory of its own."""

    experiment: Experiment
    method: MethodConfig
    seed: int
    dataset: Dataset
    directory: Path


class History:
    """A callback that keeps the record of every epoch and of the end, and adds the multiply-adds of its gradient steps."""

    needs_every_step = False

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.epochs: list[dict[str, Any]] = []
        self.end: dict[str, Any] = {}
        self.multiply_adds = 0  # of the epoch that runs, with the edges that it began with

    @property
    def seconds(self) -> float:
        """Of gradient steps and rewiring."""
        return sum(record["seconds"] + record.get("rewiring_seconds", 0.0) for record in self.epochs)

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Keep a copy of the record."""
        if event is Event.EPOCH:
            state.record["multiply_adds"] = self.multiply_adds
            self.epochs.append(dict(state.record))
        elif event is Event.END:
            self.end = dict(state.record)
        if event in (Event.START, Event.EPOCH):
            self.multiply_adds = training_multiply_adds(state.model, self.n_rows)


def check_method(experiment: Experiment, method: MethodConfig, dataset: Dataset) -> None:
    """Build the network of a method, its optimiser and its rules once, so that what does not fit shows before anything runs.

    Raises:
        ConfigError, DataError, TopologyError: when something does not fit.
    """
    dense = experiment.dense_method(method)
    model = build_model(experiment, dense or method, dataset, experiment.seeds[0])
    if dense is not None:
        model = prune_round(experiment, method, model, model, 1, experiment.seeds[0])
    optimizer = build_optimizer(experiment, model)
    for callback in build_rewirings(method):
        callback.check(model, optimizer)
    build_loss(experiment)
    schedule = build_schedule(experiment)
    if schedule is not None:
        schedule.make(optimizer, experiment.training.epochs)


def run_method(
    experiment: Experiment,
    method: MethodConfig,
    seed: int,
    dataset: Dataset,
    directory: Path,
    callbacks: Sequence[Callback] = (),
    *,
    resume: bool = False,
    dense_run: Path | None = None,
) -> RunResult:
    """Train one method with one seed and write its run directory.

    The directory gets `config.toml`, `environment.json`, `metrics.jsonl`, `topology/`, `checkpoint/last.safetensors` and, at
    the end, `result.json`. With `resume`, training goes on from the last checkpoint of that directory, to the same bits as
    without interruption; of a complete run the result is read. A method that prunes takes the dense network from
    `dense_run`, or trains one in `directory/dense`; rounds before the last one lie in `directory/round-1` and so on.

    Raises:
        ConfigError: when `directory` is not empty, or with `resume` belongs to another experiment.
        CheckpointError: when the checkpoint to resume from is missing or damaged.
    """
    check_method(experiment, method, dataset)
    (check_same_run if resume else write_header)(directory, experiment, method, seed)
    dense = experiment.dense_method(method)
    model = build_model(experiment, dense or method, dataset, seed)
    if dense is None:
        return _train(Phase(experiment, method, seed, dataset, directory), model, callbacks, resume=resume)
    first, earlier = copy.deepcopy(model), list[RunResult]()
    for phase in _phases_before(experiment, method, dense, seed, dataset, directory, dense_run):
        earlier.append(_train(phase, model, callbacks, resume=_go_on(phase)))
        if earlier[-1].interrupted:
            return replace(earlier[-1], method=method.name, directory=directory)
        model = prune_round(experiment, method, first, model, len(earlier), seed)
    phase = Phase(experiment, method, seed, dataset, directory)
    return _train(phase, model, callbacks, resume=_go_on(phase), earlier=earlier)


def _phases_before(
    experiment: Experiment,
    method: MethodConfig,
    dense: MethodConfig,
    seed: int,
    dataset: Dataset,
    directory: Path,
    dense_run: Path | None,
) -> list[Phase]:
    """The dense training, and the trainings between two rounds of pruning."""
    assert method.pruning is not None
    rounds = [
        Phase(experiment, method, seed, dataset, directory / f"round-{number}") for number in range(1, method.pruning.rounds)
    ]
    return [Phase(experiment, dense, seed, dataset, dense_run or directory / "dense"), *rounds]


def _go_on(phase: Phase) -> bool:
    """Begin the directory of a phase, or take over what an interrupted run has left; return whether it has a checkpoint."""
    run = phase.experiment, phase.method, phase.seed
    if not is_begun(phase.directory):
        write_header(phase.directory, *run)
        return False
    check_same_run(phase.directory, *run)
    if (phase.directory / CHECKPOINT).is_file():
        return True
    clear(phase.directory, header=False)
    return False


def _train(
    phase: Phase,
    model: nn.Module,
    callbacks: Sequence[Callback],
    *,
    resume: bool,
    earlier: Sequence[RunResult] = (),
) -> RunResult:
    """Train `model` in place, or go on from the checkpoint in the phase's directory; of a complete phase read the result."""
    experiment, method, seed, dataset, directory = phase
    initial, optimizer, rng = _topologies(model), build_optimizer(experiment, model), np.random.default_rng([seed, 1])
    n_weights, history, completed = count_weights(model), History(len(dataset.x_train)), Progress(0, 0)
    rewirings = build_rewirings(method)
    for callback in rewirings:
        callback.check(model, optimizer)
    if resume:
        completed = load_checkpoint(directory / CHECKPOINT, model, optimizer, rng)
        known = load_result(directory)
        if known is not None:
            return known
        history.epochs = rewind_log(directory / METRICS, completed[0])
    device = device_of(experiment)
    x, y = (torch.from_numpy(array).to(device) for array in (dataset.x_train, dataset.y_train))
    state = train(
        model,
        optimizer,
        x,
        y,
        epochs=experiment.training.epochs,
        batch_size=experiment.training.batch_size,
        rng=rng,
        loss=build_loss(experiment),
        completed=completed,
        callbacks=[*_recording(phase, rewirings, history), *callbacks],
    )
    result = RunResult(
        method=method.name,
        seed=seed,
        directory=directory,
        metrics={name: history.end[f"test_{name}"] for name in experiment.training.metrics},
        metrics_by_epoch={
            name: tuple(record[f"test_{name}"] for record in history.epochs) for name in experiment.training.metrics
        },
        n_edges=count_weights(model),
        n_edges_in_training=n_weights,
        cost=count_weights(model) / count_dense_weights(experiment),
        seconds=history.seconds + sum(result.seconds for result in earlier),
        multiply_adds=sum(record["multiply_adds"] for record in history.epochs) + sum(r.multiply_adds for r in earlier),
        interrupted=state.interrupted,
        initial=initial,
        final=_topologies(model),
    )
    if not result.interrupted:
        save_result(result)
    return result


def _recording(phase: Phase, rewirings: Sequence[Callback], history: History) -> list[Callback]:
    """The callbacks of every run, in their order: what is measured before rewiring, and what is written after it."""
    directory, experiment, schedule = phase.directory, phase.experiment, build_schedule(phase.experiment)
    x, y = (torch.from_numpy(a).to(device_of(experiment)) for a in (phase.dataset.x_test, phase.dataset.y_test))
    return [
        Evaluate(x, y, experiment.training.metrics, build_loss(experiment)),
        *rewirings,
        *([] if schedule is None else [schedule]),
        RecordTopology(directory / "topology"),
        history,
        JsonlLog(directory / METRICS, {"method": phase.method.name, "seed": phase.seed}),
        Checkpoint(directory / CHECKPOINT),
    ]


def _topologies(model: nn.Module) -> tuple[BipartiteTopology, ...]:
    return tuple(layer.topology for layer in sparse_layers(model))
