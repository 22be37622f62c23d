"""An experiment: every method with every seed, each run in a directory of its own."""

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from torch import nn

from netsci_nn.data import Dataset, input_statistic
from netsci_nn.errors import ConfigError, DataError
from netsci_nn.generators import GENERATORS, Generator, check_parameters
from netsci_nn.io import write_text
from netsci_nn.models import SparseMLP, dense_mlp, sparse_layers
from netsci_nn.rewiring import REWIRERS
from netsci_nn.topology import BipartiteTopology
from netsci_nn.training import (
    Callback,
    Checkpoint,
    Evaluate,
    Event,
    JsonlLog,
    LearningRateDecay,
    RecordTopology,
    Rewire,
    TrainingState,
    load_checkpoint,
    train,
)
from netsci_nn.training.config import Experiment, GeneratorConfig, MethodConfig, slug

PACKAGES = ("netsci-nn", "torch", "numpy", "scipy", "igraph", "networkx", "numba", "powerlaw")

CallbackFactory = Callable[[str, int], Callback]


@dataclass(frozen=True)
class RunResult:
    """What one method with one seed came to.

    Accuracies are shares of the test rows, 0 to 1. `accuracy` and `n_edges` are those of the final network, for SET after
    its last removal; `accuracy_by_epoch` and `n_edges_in_training` stand before it. `cost` is n_edges over the weights of
    the dense network, biases apart. Seconds are those of gradient steps and rewiring. Topologies are those of the sparse
    layers, none for a dense network.
    """

    method: str
    seed: int
    directory: Path
    accuracy: float
    accuracy_by_epoch: tuple[float, ...]
    n_edges: int
    n_edges_in_training: int
    cost: float
    seconds: float
    interrupted: bool
    initial: tuple[BipartiteTopology, ...]
    final: tuple[BipartiteTopology, ...]

    def summary(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        return {name: value for name, value in vars(self).items() if name not in ("initial", "final", "directory")}


class History:
    """A callback that keeps the record of every epoch and of the end."""

    needs_every_step = False

    def __init__(self) -> None:
        self.epochs: list[dict[str, Any]] = []
        self.end: dict[str, Any] = {}

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Keep a copy of the record."""
        if event is Event.EPOCH:
            self.epochs.append(dict(state.record))
        elif event is Event.END:
            self.end = dict(state.record)


def run_experiment(
    experiment: Experiment, dataset: Dataset, directory: Path, further: CallbackFactory | None = None
) -> Iterator[RunResult]:
    """Run every method with every seed, seed by seed, and yield each result as it comes; stop after an interruption.

    Args:
        experiment: what to run.
        dataset: loaded data.
        directory: where run directories are made: `METHOD/seed-0` and so on.
        further: makes one more callback for a method's name and a seed, for example a progress bar.

    Raises:
        ConfigError, DataError, TopologyError: when the experiment does not fit, before anything is written.
    """
    if experiment.training.threads is not None:
        torch.set_num_threads(experiment.training.threads)
    for method in experiment.method:
        model = build_model(experiment, method, dataset, experiment.seeds[0])
        for callback in _build_rewiring(method):
            callback.chosen_layers(model)
    for seed in experiment.seeds:
        for method in experiment.method:
            callbacks = [] if further is None else [further(method.name, seed)]
            result = run_method(experiment, method, seed, dataset, directory / slug(method.name) / f"seed-{seed}", callbacks)
            yield result
            if result.interrupted:
                return


def run_method(
    experiment: Experiment,
    method: MethodConfig,
    seed: int,
    dataset: Dataset,
    directory: Path,
    callbacks: Sequence[Callback] = (),
    *,
    resume: bool = False,
) -> RunResult:
    """Train one method with one seed and write its run directory.

    The directory gets `config.toml`, `environment.json`, `metrics.jsonl`, `topology/` and `checkpoint/last.safetensors`.
    With `resume`, training goes on from the last checkpoint of that directory, to the same bits as without interruption.

    Raises:
        ConfigError: when `directory` is not empty, or with `resume` belongs to another experiment.
        CheckpointError: when the checkpoint to resume from is missing or damaged.
    """
    model = build_model(experiment, method, dataset, seed)
    initial = tuple(layer.topology for layer in sparse_layers(model))
    n_weights = count_weights(model)
    optimizer = build_optimizer(experiment, model)
    rewiring = _build_rewiring(method)
    rng = np.random.default_rng([seed, 1])
    history, completed = History(), (0, 0)
    for callback in rewiring:
        callback.chosen_layers(model)
    if resume:
        _check_resumable(directory, experiment, method, seed)
        completed = load_checkpoint(directory / "checkpoint" / "last.safetensors", model, optimizer, rng)
        history.epochs = _rewind_log(directory / "metrics.jsonl", completed[0])
    else:
        _write_header(directory, experiment, method, seed)
    x, y, x_test, y_test = map(torch.from_numpy, (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test))
    state = train(
        model,
        optimizer,
        x,
        y,
        epochs=experiment.training.epochs,
        batch_size=experiment.training.batch_size,
        rng=rng,
        completed=completed,
        callbacks=[
            Evaluate(x_test, y_test),
            *rewiring,
            LearningRateDecay(experiment.training.learning_rate_decay),
            RecordTopology(directory / "topology"),
            history,
            JsonlLog(directory / "metrics.jsonl", {"method": method.name, "seed": seed}),
            Checkpoint(directory / "checkpoint" / "last.safetensors"),
            *callbacks,
        ],
    )
    return RunResult(
        method=method.name,
        seed=seed,
        directory=directory,
        accuracy=history.end["test_accuracy"],
        accuracy_by_epoch=tuple(record["test_accuracy"] for record in history.epochs),
        n_edges=count_weights(model),
        n_edges_in_training=n_weights,
        cost=count_weights(model) / count_dense_weights(experiment),
        seconds=sum(record["seconds"] + record.get("rewiring_seconds", 0.0) for record in history.epochs),
        interrupted=state.interrupted,
        initial=initial,
        final=tuple(layer.topology for layer in sparse_layers(model)),
    )


def build_model(experiment: Experiment, method: MethodConfig, dataset: Dataset, seed: int) -> nn.Module:
    """Build the untrained network of a method; the same seed gives the same network.

    Raises:
        DataError: when the layer sizes do not fit the dataset.
        ConfigError, TopologyError: when a generator's parameters are not allowed.
    """
    sizes = experiment.model.layer_sizes
    if sizes[0] != dataset.n_features or sizes[-1] < dataset.n_classes:
        raise DataError(
            f"model.layer_sizes is {sizes}; dataset {dataset.name!r} needs {dataset.n_features} inputs "
            f"and at least {dataset.n_classes} outputs"
        )
    settings = experiment.model
    rng = np.random.default_rng([seed, 0])
    if method.is_dense:
        return dense_mlp(sizes, activation=settings.activation, bias=settings.bias, rng=rng)
    choices = method.generator if isinstance(method.generator, list) else [method.generator] * (len(sizes) - 1)
    return SparseMLP(
        sizes,
        density=settings.density,
        generator=[_build_generator(choice, dataset) for choice in choices],
        activation=settings.activation,
        bias=settings.bias,
        backend=settings.backend,
        rng=rng,
    )


def build_optimizer(experiment: Experiment, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser that section [training] describes."""
    training = experiment.training
    if training.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    return torch.optim.SGD(
        model.parameters(), lr=training.learning_rate, momentum=training.momentum, weight_decay=training.weight_decay
    )


def count_weights(model: nn.Module) -> int:
    """Return the number of edges of all linear layers, sparse or dense; biases are not counted."""
    dense = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    return dense + sum(layer.n_edges for layer in sparse_layers(model))


def count_dense_weights(experiment: Experiment) -> int:
    """Return the number of weights of the dense network of the same layer sizes."""
    return sum(n_in * n_out for n_in, n_out in pairwise(experiment.model.layer_sizes))


def _build_generator(choice: GeneratorConfig, dataset: Dataset) -> Generator:
    """Bind a generator's parameters; those that come from data are computed on the training inputs where not given."""
    generator, parameters = GENERATORS[choice.name], choice.parameters
    statistic = parameters.pop("statistic", "mean") if choice.name == "input_weighted" else ""
    check_parameters(f"generator {choice.name!r}", generator, parameters)
    if choice.name == "input_weighted" and "weights" not in parameters:
        parameters["weights"] = input_statistic(statistic, dataset.x_train, dataset.y_train)
    if choice.name == "csti":
        parameters.setdefault("inputs", dataset.x_train)
    return partial(generator, **parameters)


def _build_rewiring(method: MethodConfig) -> list[Rewire]:
    if method.rewiring is None:
        return []
    factory = REWIRERS[method.rewiring.name]
    check_parameters(f"rewiring {method.rewiring.name!r}", factory, method.rewiring.parameters)
    return [Rewire(factory(**method.rewiring.parameters), method.rewiring.layers, method.rewiring.every_epochs)]


def _write_header(directory: Path, experiment: Experiment, method: MethodConfig, seed: int) -> None:
    if directory.is_dir() and any(directory.iterdir()):
        raise ConfigError(f"run directory {str(directory)!r} is not empty; a run must start in a new one")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"run directory {str(directory)!r} cannot be made: {error}") from error
    write_text(directory / "config.toml", _config(experiment, method, seed))
    write_text(directory / "environment.json", json.dumps(describe_environment(seed), indent=2) + "\n")


def _config(experiment: Experiment, method: MethodConfig, seed: int) -> str:
    """Return the experiment file of one run, defaults included."""
    single = experiment.model_copy(update={"method": [method], "seeds": [seed]})
    return tomli_w.dumps(single.model_dump(mode="json", exclude_none=True))


def _check_resumable(directory: Path, experiment: Experiment, method: MethodConfig, seed: int) -> None:
    path = directory / "config.toml"
    if not path.is_file():
        raise ConfigError(f"run directory {str(directory)!r} has no config.toml; there is no run to resume")
    if path.read_text(encoding="utf-8") != _config(experiment, method, seed):
        raise ConfigError(
            f"run directory {str(directory)!r} belongs to another experiment, method or seed; see its config.toml"
        )


def _rewind_log(path: Path, epoch: int) -> list[dict[str, Any]]:
    """Cut the log back to what a checkpoint after `epoch` has seen, and return its epochs' records."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break  # the program was killed while it wrote this line
    kept = [line for line in lines if line["event"] == "epoch" and line["epoch"] <= epoch]
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
    return kept


def describe_environment(seed: int | None = None) -> dict[str, Any]:
    """Return versions, threads and, where the program runs from a git checkout, its commit."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "seed": seed,
        "commit": _commit(),
    }


def _commit() -> str | None:
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
