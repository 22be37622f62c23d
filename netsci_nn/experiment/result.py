"""What a run came to, in memory and on disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.io import load_network, write_text
from netsci_nn.topology import BipartiteTopology

FILE = "result.json"
NOT_IN_SUMMARY = ("initial", "final", "directory")


@dataclass(frozen=True)
class RunResult:
    """What one method with one seed came to.

    `metrics` are means over the test rows by name (accuracies are shares, 0 to 1), the first the one that tables show. They and
    `n_edges` are those of the final network, for SET after its last removal; `metrics_by_epoch` and `n_edges_in_training` stand
    before it. `cost` is n_edges over the weights of
    the dense network, biases apart. Seconds are those of gradient steps and rewiring. `multiply_adds` are those of all
    gradient steps (see `training_multiply_adds`). Where a dense network was trained and pruned first, seconds and
    multiply-adds contain it, accuracies by epoch do not. Topologies are those of the sparse layers, none for a dense network.
    """

    method: str
    seed: int
    directory: Path
    metrics: dict[str, float]
    metrics_by_epoch: dict[str, tuple[float, ...]]
    n_edges: int
    n_edges_in_training: int
    cost: float
    seconds: float
    multiply_adds: int
    interrupted: bool
    initial: tuple[BipartiteTopology, ...]
    final: tuple[BipartiteTopology, ...]

    @property
    def metric(self) -> str:
        """The name of the first metric."""
        return next(iter(self.metrics))

    @property
    def score(self) -> float:
        """The first metric of the final network."""
        return self.metrics[self.metric]

    @property
    def score_by_epoch(self) -> tuple[float, ...]:
        """The first metric after every epoch."""
        return self.metrics_by_epoch[self.metric]

    @property
    def accuracy(self) -> float:
        """The share of test rows that the final network puts into the right class."""
        self._check_measured("accuracy")
        return self.metrics["accuracy"]

    @property
    def accuracy_by_epoch(self) -> tuple[float, ...]:
        """The accuracy after every epoch."""
        self._check_measured("accuracy")
        return self.metrics_by_epoch["accuracy"]

    def _check_measured(self, name: str) -> None:
        if name not in self.metrics:
            raise ConfigError(
                f"{name} was not measured by run {str(self.directory)!r}; its metrics are {', '.join(self.metrics)}"
            )

    def summary(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        return {name: value for name, value in vars(self).items() if name not in NOT_IN_SUMMARY}


def save_result(result: RunResult) -> None:
    """Write the numbers to `result.json` in the run directory, which says that the run is complete."""
    write_text(result.directory / FILE, json.dumps(result.summary(), indent=2) + "\n")


def load_result(directory: Path) -> RunResult | None:
    """Read the result of a complete run, or return None where the run is not complete.

    Raises:
        CheckpointError: when a file of the run is damaged.
    """
    path = directory / FILE
    if not path.is_file():
        return None
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        initial, final = _topologies(directory)
        if "accuracy" in summary:  # version 0.1.0 had no other metric
            summary["metrics"] = {"accuracy": summary.pop("accuracy")}
            summary["metrics_by_epoch"] = {"accuracy": summary.pop("accuracy_by_epoch")}
        by_epoch = {name: tuple(values) for name, values in summary.pop("metrics_by_epoch").items()}
        return RunResult(
            **summary,
            metrics_by_epoch=by_epoch,
            directory=directory,
            initial=initial,
            final=final,
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"file {str(path)!r} does not hold the result of a run: {error}") from error


def _topologies(directory: Path) -> tuple[tuple[BipartiteTopology, ...], tuple[BipartiteTopology, ...]]:
    """Topologies of the sparse layers at the start and at the end; none for a dense network."""
    folder = directory / "topology"
    if not folder.is_dir():
        return (), ()
    first, last = (load_network(folder / f"{name}.safetensors") for name in ("epoch-0000", "final"))
    return tuple(layer.topology for layer in first), tuple(layer.topology for layer in last)
