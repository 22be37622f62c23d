"""The result of one run: its metrics, its cost and its topologies."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netsci_nn.errors import ConfigError
from netsci_nn.topology import BipartiteTopology

LARGEST = 1e100
"""More than any finite number in a summary; sums of such numbers are finite too."""
NOT_IN_SUMMARY = ("initial", "final", "directory")


@dataclass(frozen=True)
class RunResult:
    """The result of training one method with one seed.

    Attributes:
        method: its name.
        seed: of the run.
        directory: of the run.
        metrics: of the final network, means over the test rows by name (accuracies are shares, 0 to 1); tables show the first.
            SET's final network is the one after its last removal.
        metrics_by_epoch: the same after every epoch, before that removal; of a pruned method, in the training after pruning.
        n_edges: weights of the final network.
        n_edges_in_training: weights before SET's last removal.
        cost: n_edges over the weights of the dense network; biases are not counted.
        seconds: of gradient steps and rewiring, with those of a dense network that was trained and pruned first.
        multiply_adds: of all gradient steps (see `training_multiply_adds`), with those of such a dense network.
        interrupted: whether Ctrl-C has ended the training.
        initial: topologies of the sparse layers before training, none for a dense network.
        final: those at the end.
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
        """The share of test rows that the final network classifies correctly; a ConfigError if it was not measured."""
        self._check_measured("accuracy")
        return self.metrics["accuracy"]

    @property
    def accuracy_by_epoch(self) -> tuple[float, ...]:
        """The accuracy after every epoch; a ConfigError if it was not measured."""
        self._check_measured("accuracy")
        return self.metrics_by_epoch["accuracy"]

    def _check_measured(self, name: str) -> None:
        if name not in self.metrics:
            raise ConfigError(
                f"{name} was not measured by run {str(self.directory)!r}; its metrics are {', '.join(self.metrics)}"
            )

    def summary(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON."""
        return {name: value for name, value in vars(self).items() if name not in NOT_IN_SUMMARY}

    @classmethod
    def from_summary(
        cls,
        summary: dict[str, Any],
        directory: Path,
        initial: tuple[BipartiteTopology, ...],
        final: tuple[BipartiteTopology, ...],
    ) -> "RunResult":
        """Return the result with these numbers; a KeyError or TypeError if they are not those of `summary`."""
        numbers = dict(summary)
        if "accuracy" in numbers:  # version 0.1.0 had no other metric
            numbers["metrics"] = {"accuracy": numbers.pop("accuracy")}
            numbers["metrics_by_epoch"] = {"accuracy": numbers.pop("accuracy_by_epoch")}
        by_epoch = {name: tuple(values) for name, values in numbers.pop("metrics_by_epoch").items()}
        result = cls(**numbers, metrics_by_epoch=by_epoch, directory=directory, initial=initial, final=final)
        result._check_types()
        return result

    def _check_types(self) -> None:
        """Raise a TypeError if a part of a summary is of another type."""
        for name in ("seed", "n_edges", "n_edges_in_training", "multiply_adds"):
            _check_type(name, getattr(self, name), int)
        for name, kind in {"method": str, "interrupted": bool, "cost": float, "seconds": float, "metrics": dict}.items():
            _check_type(name, getattr(self, name), kind)
        if not self.metrics or self.metrics.keys() != self.metrics_by_epoch.keys():
            raise TypeError(f"metrics are {', '.join(self.metrics)}, and by epoch {', '.join(self.metrics_by_epoch)}")
        for name, score in self.metrics.items():
            for value in (score, *self.metrics_by_epoch[name]):
                _check_type(name, value, float)


def _check_type(name: str, value: object, kind: type) -> None:
    is_right = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    if not is_right:
        raise TypeError(f"{name} is {value!r}; it must be of the type {kind.__name__}")
    if isinstance(value, (int, float)) and (value < -LARGEST or LARGEST < value < math.inf):
        raise TypeError(f"{name} is {value!r}, more than can be measured")
