"""The directory of one run: the names of its files, and how they are written and read."""

import hashlib
import json
import os
import re
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tomli_w
import torch

from netsci_nn.checks import check_count
from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.experiment.config import Experiment, MethodConfig, load_experiment, parse_experiment, slug
from netsci_nn.experiment.environment import describe_environment
from netsci_nn.experiment.lock import NAME as LOCK
from netsci_nn.experiment.result import RunResult
from netsci_nn.files import leftovers, write_text
from netsci_nn.topology import BipartiteTopology, WeightedTopology, Wiring, load_network, load_wiring
from netsci_nn.training import log_digest, read_edges

MAX_THREADS = 4096
"""More than any machine has; torch would try to start them."""


class Recorded(NamedTuple):
    """The sparse layers of a network after an epoch; 0 is before any training."""

    epoch: int
    layers: tuple[BipartiteTopology, ...]


class Births(NamedTuple):
    """When the edges of the final topology were born."""

    step: int  # mini-batches completed
    layers: tuple[npt.NDArray[np.int64], ...]  # `[n_edges]` each, the step at which edge k was born; 0 is the start


@dataclass(frozen=True)
class RunDirectory:
    """The directory of one run, the training of one method with one seed.

    ```
    config.toml                        the experiment of this run alone, defaults included
    environment.json                   versions, threads, seed and commit
    metrics.jsonl                      one JSON line for the start, every epoch and the end
    topology/epoch-0000.safetensors    the sparse layers before training, and after every epoch that changed them
    topology/final.safetensors         the sparse layers at the end, with their weights
    topology/wiring.safetensors        dense layers, and how all are joined, unless the network is a chain of sparse layers
    checkpoint/last.safetensors        from which training resumes
    result.json                        the numbers of the run; it exists only if the run is complete
    dense/, round-1/, ...              runs of the same layout: what a method that prunes has trained before
    ```

    A dense network has no folder `topology`.

    Args:
        path: of the directory, which need not exist yet.

    Example:
        >>> run = RunDirectory("runs/demo/set/seed-0")
        >>> run.topology(3).relative_to(run.path).as_posix()
        'topology/epoch-0003.safetensors'
        >>> run.is_begun, run.load_result()
        (False, None)
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(path))

    @classmethod
    def of(cls, directory: Path, method: str, seed: int) -> "RunDirectory":
        """Return where an experiment in `directory` puts the run of a method, by its name, with a seed."""
        return cls(directory / slug(method) / f"seed-{seed}")

    @classmethod
    def all_below(cls, directory: Path, method: str | None = None) -> list["RunDirectory"]:
        """Return the runs that an experiment in `directory` has begun, in the order of their paths; or those of one method."""
        configs = directory.glob(f"{'*' if method is None else slug(method)}/seed-*/config.toml")
        return [cls(path.parent) for path in sorted(configs)]

    @staticmethod
    def none_below(directory: Path) -> bool:
        """Whether a folder holds no file but what killed processes have left before they began their first run."""
        files = (path for path in directory.rglob("*") if not path.is_dir())
        return all(file.name == LOCK or file in leftovers(file.parent, "config.toml") for file in files)

    @property
    def config(self) -> Path:
        """The experiment of this run alone."""
        return self.path / "config.toml"

    @property
    def environment(self) -> Path:
        """What the run was made with."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """The log."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The state after the last complete epoch."""
        return self.path / "checkpoint" / "last.safetensors"

    @property
    def result(self) -> Path:
        """The numbers of a complete run."""
        return self.path / "result.json"

    @property
    def final(self) -> Path:
        """The sparse layers at the end, with their weights."""
        return self.path / "topology" / "final.safetensors"

    def topology(self, epoch: int) -> Path:
        """The sparse layers after an epoch; 0 is before any training."""
        return self.path / "topology" / f"epoch-{epoch:04d}.safetensors"

    @property
    def wiring(self) -> Path:
        """How the layers are joined, if they are no chain."""
        return self.path / "topology" / "wiring.safetensors"

    def network(self, layers: Sequence[BipartiteTopology | WeightedTopology]) -> Wiring | list[Any]:
        """Return sparse layers of this run joined as they are in its network, dense layers among them; a chain is a list.

        Raises:
            CheckpointError: if the file of the wiring is damaged or does not fit.
        """
        if not self.wiring.is_file():
            return list(layers)
        wiring, places = load_wiring(self.wiring)
        recorded = [layer if isinstance(layer, WeightedTopology) else WeightedTopology(layer, None) for layer in layers]
        shapes = [(wiring.layers[place].topology.n_in, wiring.layers[place].topology.n_out) for place in places]
        if shapes != [(topology.n_in, topology.n_out) for topology, _ in recorded]:
            raise CheckpointError(f"file {str(self.wiring)!r} has sparse layers of other sizes than those that are recorded")
        return wiring.with_recorded(recorded, places)

    @property
    def dense(self) -> "RunDirectory":
        """The run of the dense network that this run has pruned, unless it was given one."""
        return RunDirectory(self.path / "dense")

    def round(self, number: int) -> "RunDirectory":
        """The run after the `number`-th round of pruning; the last round's is this directory itself."""
        return RunDirectory(self.path / f"round-{number}")

    def is_part(self, path: Path) -> bool:
        """Whether `path` is one of the files that make up the run, or lies in one of its folders."""
        files = self.config, self.environment, self.metrics, self.checkpoint, self.final, self.result
        parts = {file.relative_to(self.path).parts[0] for file in files}
        place, folder = Path(os.path.realpath(path)), Path(os.path.realpath(self.path))
        return place != folder and place.is_relative_to(folder) and place.relative_to(folder).parts[0] in parts

    @property
    def is_begun(self) -> bool:
        """Whether a run has been begun here."""
        return self.config.is_file()

    @property
    def is_complete(self) -> bool:
        """Whether the run has its result and the network that it has trained."""
        return self.result.is_file() and self.checkpoint.is_file()

    def begin(self, experiment: Experiment, method: MethodConfig, seed: int) -> None:
        """Write `config.toml` and `environment.json` into the directory, whose lock must be held.

        Raises:
            ConfigError: if the directory is not empty; what a kill has left of a beginning does not count.
        """
        if {*self.path.iterdir()} - {self.path / LOCK, *self._leftovers()}:
            hint = ", or resume the one that is in it" if self.is_begun else ""
            raise ConfigError(f"run directory {str(self.path)!r} is not empty; a run must start in a new one{hint}")
        self._clear()
        write_text(self.config, _config(experiment, method, seed))
        write_text(self.environment, json.dumps(describe_environment(seed, experiment.training.threads), indent=2) + "\n")

    def threads(self) -> int:
        """Return the number of threads that the run was begun with, or torch's own if that was not written down.

        Raises:
            CheckpointError: if the file is damaged.
        """
        if not self.environment.is_file():
            return torch.get_num_threads()
        try:
            stated = json.loads(self.environment.read_text(encoding="utf-8"))["threads"]
            return check_count("threads", stated, 1, MAX_THREADS)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CheckpointError(f"file {str(self.environment)!r} does not say the run's threads: {error}") from error

    def check_same_run(self, experiment: Experiment, method: MethodConfig, seed: int) -> None:
        """Raise a ConfigError unless the run was begun with this method, this seed and these settings."""
        if not self.is_begun:
            raise ConfigError(f"run directory {str(self.path)!r} has no config.toml; there is no run to resume")
        # Compared as values, so that a key that the file is too old to have counts as its default.
        kept = load_experiment(self.config)
        files = [_config(experiment, each, seed) for each in (method, method.of_round(None))]  # old ones do not say the round
        if kept.model_dump() not in [parse_experiment(tomllib.loads(text), "this run").model_dump() for text in files]:
            raise ConfigError(
                f"run directory {str(self.path)!r} belongs to another experiment, method or seed; see its config.toml"
            )

    def take_over(self, experiment: Experiment, method: MethodConfig, seed: int) -> bool:
        """Begin the run, or take over what an interrupted one has left; return whether there is a checkpoint to resume from.

        A run that was stopped before its first checkpoint starts again. The lock of the directory must be held.

        Raises:
            ConfigError: if the run was begun with other settings, or the directory cannot be used.
            CheckpointError: if the checkpoint is lost.
        """
        if not self.is_begun:
            self.begin(experiment, method, seed)
            return False
        self.check_same_run(experiment, method, seed)
        self.check_checkpoint()
        if self.checkpoint.is_file():
            for temporary in self._leftovers():
                temporary.unlink(missing_ok=True)
            return True
        self._clear()
        write_text(self.environment, json.dumps(describe_environment(seed, experiment.training.threads), indent=2) + "\n")
        return False

    def check_checkpoint(self) -> None:
        """Raise a CheckpointError if the checkpoint is lost, which is written after the line of each epoch in the log."""
        last = max((record["epoch"] for record in self.records() if record.get("event") == "epoch"), default=0)
        if not self.checkpoint.is_file() and (last > 1 or (last == 1 and self.result.is_file())):
            raise CheckpointError(f"file {str(self.checkpoint)!r} does not exist; there is no checkpoint to resume from")

    @property
    def configuration(self) -> str:
        """The digest of `config.toml`, which checkpoints of this run carry."""
        return hashlib.sha256(self.config.read_bytes()).hexdigest()

    def _clear(self) -> None:
        """Remove what training has written, and temporary files that a kill has left."""
        for file in (self.metrics, self.result, *self._leftovers()):
            file.unlink(missing_ok=True)
        for file in (self.checkpoint, self.final):
            shutil.rmtree(file.parent, ignore_errors=True)

    def _leftovers(self) -> list[Path]:
        names = [file.name for file in (self.config, self.environment, self.metrics, self.result)]
        folders = self.checkpoint.parent, self.final.parent
        return leftovers(self.path, *names) + [file for folder in folders for file in leftovers(folder, "*.safetensors")]

    def records(self) -> list[dict[str, Any]]:
        """Return the sound lines of the log, without those that are cut off or damaged; none if there is no log."""
        if not self.metrics.is_file():
            return []
        records = []
        for line in self.metrics.read_bytes().splitlines():
            try:
                record = json.loads(line.decode())
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and (record.get("event") != "epoch" or isinstance(record.get("epoch"), int)):
                records.append(record)
        return records

    def rewind_log(
        self, epoch: int, needed: Sequence[str] = (), digest: npt.NDArray[np.uint8] | None = None
    ) -> list[dict[str, Any]]:
        """Cut the log back to the epochs that a checkpoint after `epoch` has seen, and return their records.

        Args:
            epoch: epochs completed.
            needed: names under which every record must have a number.
            digest: of the lines of these epochs, by `log_digest`; None if the checkpoint is too old to have it.

        Raises:
            CheckpointError: if the log does not have exactly one sound line per epoch, or has changed; then it stays as it is.
        """
        if not self.metrics.is_file():
            raise CheckpointError(f"file {str(self.metrics)!r} is missing; the run cannot be resumed without its log")
        kept = [record for record in self.records() if record.get("event") == "epoch" and record["epoch"] <= epoch]
        found = [record["epoch"] for record in kept if all(isinstance(record.get(name), (int, float)) for name in needed)]
        wrong = [number for number in range(1, epoch + 1) if found.count(number) != 1]
        if wrong or len(kept) != epoch:
            problem = f"has {found.count(wrong[0])} sound lines of epoch {wrong[0]}" if wrong else "has lines of no epoch"
            raise CheckpointError(
                f"file {str(self.metrics)!r} {problem}; it must have one for each of the {epoch} epochs of the checkpoint"
            )
        kept.sort(key=lambda record: record["epoch"])
        if digest is not None and not np.array_equal(digest, log_digest(kept)):
            raise CheckpointError(
                f"file {str(self.metrics)!r} has changed: it must have the lines of the {epoch} epochs of the checkpoint"
            )
        write_text(self.metrics, "".join(json.dumps(record) + "\n" for record in kept))
        return kept

    def save_result(self, result: RunResult, log: npt.NDArray[np.uint8] | None = None) -> None:
        """Write the numbers of the run, which says that it is complete, and the digest of the epochs in its log."""
        digest = {} if log is None else {"log": log.tobytes().hex()}
        write_text(self.result, json.dumps({**result.summary(), **digest}, indent=2) + "\n")

    def load_result(self) -> RunResult | None:
        """Read the result of the run, or return None if it is not complete.

        Raises:
            CheckpointError: if a file of the run is damaged, or its log has changed.
        """
        if not self.result.is_file():
            return None
        try:
            summary = json.loads(self.result.read_text(encoding="utf-8"))
            digest = summary.pop("log", None)
            is_sparse = self.final.parent.is_dir()
            initial, final = (_topologies(file) if is_sparse else () for file in (self.topology(0), self.final))
            result = RunResult.from_summary(summary, self.path, initial, final)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"file {str(self.result)!r} does not hold the result of a run: {error}") from error
        epochs = [record for record in self.records() if record.get("event") == "epoch"]
        if digest is not None and self.metrics.is_file() and log_digest(epochs).tobytes().hex() != digest:
            raise CheckpointError(f"file {str(self.metrics)!r} has changed since the run was complete")
        return result

    def recorded_topologies(self, damaged: list[str] | None = None) -> list[Recorded]:
        """Read the topologies in order: the start, every epoch after which the edges had changed, and the end.

        The end stands under the number of epochs completed, or under the next one if training was interrupted after edges had
        changed within an epoch. It is left out if it repeats the last epoch's record.

        Args:
            damaged: if given, damaged files are left out, and a sentence on each is appended here.

        Raises:
            ConfigError: if this is no run of a sparse network.
            CheckpointError: if a file is damaged; with `damaged`, if all are.
        """
        self._check_recorded()
        found = (re.fullmatch(r"epoch-(\d{4,})\.safetensors", path.name, re.ASCII) for path in self.final.parent.iterdir())
        epochs = sorted(int(match[1]) for match in found if match)
        read: dict[Path, tuple[BipartiteTopology, ...]] = {}
        for file in (*map(self.topology, epochs), self.final):
            try:
                read[file] = _topologies(file)
            except CheckpointError as error:
                if damaged is None:
                    raise
                damaged.append(f"left out, since it is damaged: {error}")
        if not read:
            raise CheckpointError(f"every file in {str(self.final.parent)!r} is damaged; at least one topology must be sound")
        recorded = [Recorded(epoch, read[self.topology(epoch)]) for epoch in epochs if self.topology(epoch) in read]
        end = max((record["epoch"] for record in self.records() if record.get("event") == "epoch"), default=0)
        if self.final in read and (end > epochs[-1] or not recorded or read[self.final] != recorded[-1].layers):
            recorded.append(Recorded(max(end, epochs[-1] + 1), read[self.final]))
        return recorded

    def initial_topologies(self) -> tuple[BipartiteTopology, ...]:
        """Read the topologies before any training: the untrained control. Errors are those of `recorded_topologies`."""
        self._check_recorded()
        return _topologies(self.topology(0))

    def final_layers(self) -> list[WeightedTopology]:
        """Read the topologies at the end with their weights. Errors are those of `recorded_topologies`."""
        self._check_recorded()
        return load_network(self.final)

    def births(self) -> Births | None:
        """Read from the checkpoint when the final topology's edges were born; None if the checkpoint has other edges.

        Raises:
            ConfigError: if this is no run of a sparse network.
            CheckpointError: if the file of the final topology is damaged.
        """
        final = [layer.topology for layer in self.final_layers()]
        try:
            step, edges = read_edges(self.checkpoint)
        except CheckpointError:
            return None
        is_same = len(edges) == len(final) and all(
            np.array_equal(saved.src, topology.src) and np.array_equal(saved.dst, topology.dst)
            for saved, topology in zip(edges, final, strict=True)
        )
        births = tuple(saved.birth.astype(np.int64) for saved in edges)
        if self.wiring.is_file():  # dense layers have been there from the start
            wiring, places = load_wiring(self.wiring)
            known = dict(zip(places, births, strict=False))
            births = tuple(
                known.get(place, np.zeros(layer.topology.n_edges, np.int64)) for place, layer in enumerate(wiring.layers)
            )
        return Births(step, births) if is_same else None

    def _check_recorded(self) -> None:
        """Raise a ConfigError unless the first and the last topology of a run are here."""
        if not self.path.exists():
            raise ConfigError(f"directory {str(self.path)!r} does not exist; it must be a run directory")
        if not (self.topology(0).is_file() and self.final.is_file()):
            raise ConfigError(f"directory {str(self.path)!r} has no recorded topology; it must be the run of a sparse network")


def _topologies(path: Path) -> tuple[BipartiteTopology, ...]:
    return tuple(layer.topology for layer in load_network(path))


def _config(experiment: Experiment, method: MethodConfig, seed: int) -> str:
    """Return the experiment file of one run, defaults included; with the dense method too that it prunes by name."""
    dense = experiment.dense_method(method)
    methods = [method, dense] if dense is not None and dense in experiment.methods else [method]
    single = experiment.model_copy(update={"methods": methods, "seeds": [seed]})
    table = single.model_dump(mode="json", exclude_none=True)
    for entry, chosen in zip(table["method"], methods, strict=True):
        if chosen.pruning is not None:
            del entry["generator"]
    return tomli_w.dumps(table)
