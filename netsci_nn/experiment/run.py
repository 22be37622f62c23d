"""One run: train one method with one seed, from the initial network to the result."""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from netsci_nn.data import Dataset
from netsci_nn.errors import ConfigError
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
from netsci_nn.experiment.config import Experiment, MethodConfig
from netsci_nn.experiment.environment import on_threads
from netsci_nn.experiment.lock import locked
from netsci_nn.experiment.pruned import prune_round
from netsci_nn.experiment.result import RunResult
from netsci_nn.experiment.run_directory import RunDirectory
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
    log_digest,
    train,
)

LOG = "log.0"  # the name of the digest of a run's log in its checkpoints


class Phase(NamedTuple):
    """One training with its own directory; a method that prunes has several."""

    experiment: Experiment
    method: MethodConfig
    seed: int
    dataset: Dataset
    run: RunDirectory


class History:
    """A callback that keeps the record of every epoch and of the end, and adds the multiply-adds to it."""

    needs_every_step = False

    def __init__(self, n_rows: int, n_features: int) -> None:
        self.n_rows, self.n_features = n_rows, n_features
        self.epochs: list[dict[str, Any]] = []
        self.end: dict[str, Any] = {}
        self.multiply_adds = 0  # of the running epoch, with the edges at its start

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
            self.multiply_adds = training_multiply_adds(state.model, self.n_rows, self.n_features)


def check_method(experiment: Experiment, method: MethodConfig, dataset: Dataset) -> None:
    """Build the network of a method, its optimiser and its rules once, to find what does not fit before anything is written.

    Raises:
        ConfigError, DataError, TopologyError: if something does not fit.
    """
    if method.pruning is not None and method.pruning.round is not None:
        raise ConfigError(
            f"pruning.round of method {method.name!r} is {method.pruning.round}; it stands only in a run directory that is "
            "a part of another one, which must be resumed instead"
        )
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
        schedule.check(optimizer, experiment.training.epochs)


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
    """Train one method with one seed and write its run directory (see `RunDirectory`).

    The method is checked first; if it does not fit, nothing is written. A method that prunes takes the dense network from
    `dense_run`, or trains one in `directory/dense`; rounds before the last one are written to `directory/round-1` and so on.

    Args:
        experiment: with the model and the recipe of training.
        method: one of its methods.
        seed: of the initial network, the order of mini-batches and all else that is drawn; an integer >= 0.
        dataset: with as many features as the network has inputs.
        directory: new or empty, or with `resume` one that was begun with the same settings.
        callbacks: further ones, called after those of every run (see `netsci_nn.training.train`).
        resume: continue from the last checkpoint, to the same bits as without interruption, or start again if there is none
            yet; a complete run is only read.
        dense_run: run directory of the dense network that the method prunes; it may be complete or not begun yet.

    Returns:
        The result; after Ctrl-C it is marked as interrupted, and `directory` can be resumed.

    Raises:
        ConfigError, DataError, TopologyError: if the method, the dataset or the directory does not fit, or another process
            works in the directory.
        CheckpointError: if the checkpoint to resume from is lost or damaged, or the log lacks an epoch.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from netsci_nn.data import load_dataset
        >>> from netsci_nn.experiment import parse_experiment, run_method
        >>> model = {"layer_sizes": [64, 20, 10], "density": 0.2}
        >>> table = {"name": "example", "dataset": "digits", "model": model, "training": {"epochs": 1}}
        >>> experiment = parse_experiment(table | {"method": [{"name": "SET", "rewiring": "set"}]}, "example")
        >>> with TemporaryDirectory() as folder:
        ...     result = run_method(experiment, experiment.methods[0], 0, load_dataset("digits"), Path(folder) / "run")
        >>> result.method, result.n_edges_in_training, len(result.accuracy_by_epoch)
        ('SET', 296, 1)
    """
    check_method(experiment, method, dataset)
    run = RunDirectory(directory)
    if resume:
        run.check_same_run(experiment, method, seed)
        run.check_checkpoint()
    return run_checked(experiment, method, seed, dataset, directory, callbacks, resume=resume, dense_run=dense_run)


def run_checked(
    experiment: Experiment,
    method: MethodConfig,
    seed: int,
    dataset: Dataset,
    directory: Path,
    callbacks: Sequence[Callback] = (),
    *,
    resume: bool,
    dense_run: Path | None,
) -> RunResult:
    """Do what `run_method` does, without checking the method; with `resume`, a run that is not begun yet is begun."""
    run = RunDirectory(directory)
    with nullcontext() if resume and run.is_complete else locked(directory):
        has_checkpoint = resume and run.take_over(experiment, method, seed)
        if not resume:
            run.begin(experiment, method, seed)
        return _train_phases(Phase(experiment, method, seed, dataset, run), callbacks, has_checkpoint, dense_run)


def _train_phases(last: Phase, callbacks: Sequence[Callback], has_checkpoint: bool, dense_run: Path | None) -> RunResult:
    """Train what the last phase prunes, if it prunes, then the last phase itself."""
    experiment, method, seed, dataset, run = last
    dense = experiment.dense_method(method)
    model = build_model(experiment, dense or method, dataset, seed)
    if dense is None:
        return _train(last, model, callbacks, resume=has_checkpoint)
    assert method.pruning is not None
    phases = [Phase(experiment, dense, seed, dataset, run.dense if dense_run is None else RunDirectory(dense_run))]
    phases += [last._replace(method=method.of_round(n), run=run.round(n)) for n in range(1, method.pruning.rounds)]
    first, earlier = copy.deepcopy(model), list[RunResult]()
    for phase in phases:
        earlier.append(_train_earlier(phase, model, callbacks))
        if earlier[-1].interrupted:
            return replace(earlier[-1], method=method.name, directory=run.path)
        model = prune_round(experiment, method, first, model, len(earlier), seed)
    return _train(last, model, callbacks, resume=has_checkpoint, earlier=earlier)


def _train_earlier(phase: Phase, model: nn.Module, callbacks: Sequence[Callback]) -> RunResult:
    """Train a phase before the last one; a complete one is only read, by any number of processes at once."""
    with nullcontext() if phase.run.is_complete else locked(phase.run.path):
        has_checkpoint = phase.run.take_over(phase.experiment, phase.method, phase.seed)
        return _train(phase, model, callbacks, resume=has_checkpoint)


def _train(
    phase: Phase,
    model: nn.Module,
    callbacks: Sequence[Callback],
    *,
    resume: bool,
    earlier: Sequence[RunResult] = (),
) -> RunResult:
    """Train `model` in place; with `resume` from the phase's checkpoint. A complete phase is only loaded, model and result."""
    experiment, method, seed, dataset, run = phase
    initial, optimizer, rng = _topologies(model), build_optimizer(experiment, model), np.random.default_rng([seed, 1])
    n_weights, history, completed = count_weights(model), History(*dataset.x_train.shape), Progress(0, 0)
    if resume:
        completed = load_checkpoint(run.checkpoint, model, optimizer, rng, configuration=run.configuration)
        known = run.load_result()
        if known is not None:
            return known
        measured = [f"test_{name}" for name in experiment.training.metrics]
        history.epochs = run.rewind_log(completed[0], ["seconds", "multiply_adds", *measured], completed.carried.get(LOG))
        completed = Progress(*completed, {**completed.carried, LOG: log_digest(history.epochs)})  # old checkpoints have none
    device = device_of(experiment)
    x, y = (torch.from_numpy(array).to(device) for array in (dataset.x_train, dataset.y_train))
    with on_threads(run.threads()):
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
            callbacks=[*_recording(phase, history), *callbacks],
        )
    result = RunResult(
        method=method.name,
        seed=seed,
        directory=run.path,
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
        run.save_result(result, state.carried.get(LOG))
    return result


def _recording(phase: Phase, history: History) -> list[Callback]:
    """Return the callbacks of every run in their order: those that measure come before rewiring, those that write after it."""
    experiment, run, schedule = phase.experiment, phase.run, build_schedule(phase.experiment)
    x, y = (torch.from_numpy(a).to(device_of(experiment)) for a in (phase.dataset.x_test, phase.dataset.y_test))
    return [
        Evaluate(x, y, experiment.training.metrics, build_loss(experiment)),
        *build_rewirings(phase.method),
        *([] if schedule is None else [schedule]),
        RecordTopology(run.topology, run.final, run.wiring, x[:1]),
        history,
        JsonlLog(run.metrics, {"method": phase.method.name, "seed": phase.seed}),
        Checkpoint(run.checkpoint, run.configuration),
    ]


def _topologies(model: nn.Module) -> tuple[BipartiteTopology, ...]:
    return tuple(layer.topology for layer in sparse_layers(model))
