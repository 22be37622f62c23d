"""Run directories: what stands in one, to which run it belongs, and with what it was made."""

import importlib.metadata
import json
import platform
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import tomli_w
import torch

from netsci_nn.errors import ConfigError
from netsci_nn.io import write_text
from netsci_nn.training.config import Experiment, MethodConfig, load_experiment, parse_experiment

PACKAGES = ("netsci-nn", "torch", "numpy", "scipy", "igraph", "networkx", "numba", "powerlaw")
CHECKPOINT = Path("checkpoint") / "last.safetensors"
METRICS = "metrics.jsonl"
HEADER = "config.toml", "environment.json"


def write_header(directory: Path, experiment: Experiment, method: MethodConfig, seed: int) -> None:
    """Begin a run directory: `config.toml` and `environment.json`.

    Raises:
        ConfigError: when `directory` is not empty or cannot be made.
    """
    if directory.is_dir() and any(directory.iterdir()):
        raise ConfigError(f"run directory {str(directory)!r} is not empty; a run must start in a new one")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"run directory {str(directory)!r} cannot be made: {error}") from error
    write_text(directory / "config.toml", _config(experiment, method, seed))
    write_text(directory / "environment.json", json.dumps(describe_environment(seed), indent=2) + "\n")


def check_same_run(directory: Path, experiment: Experiment, method: MethodConfig, seed: int) -> None:
    """Raise a ConfigError unless `directory` was begun by the same method, seed and settings."""
    path = directory / "config.toml"
    if not path.is_file():
        raise ConfigError(f"run directory {str(directory)!r} has no config.toml; there is no run to resume")
    # Compared as values, so that a file from before a key existed belongs to the run in which that key has its default.
    kept = load_experiment(path)
    if kept.model_dump() != parse_experiment(tomllib.loads(_config(experiment, method, seed)), "this run").model_dump():
        raise ConfigError(
            f"run directory {str(directory)!r} belongs to another experiment, method or seed; see its config.toml"
        )


def clear(directory: Path, *, header: bool) -> None:
    """Remove what a training has written that was stopped before its first checkpoint, and the header if that is to go."""
    for name in (METRICS, *(HEADER if header else ())):
        (directory / name).unlink(missing_ok=True)
    for name in ("topology", "checkpoint"):
        shutil.rmtree(directory / name, ignore_errors=True)


def is_begun(directory: Path) -> bool:
    """Whether a run has been begun in `directory`."""
    return (directory / "config.toml").is_file()


def rewind_log(path: Path, epoch: int) -> list[dict[str, Any]]:
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


def _config(experiment: Experiment, method: MethodConfig, seed: int) -> str:
    """Return the experiment file of one run, defaults included; where a named dense method is pruned, with that method."""
    dense = experiment.dense_method(method)
    methods = [method, dense] if dense is not None and dense in experiment.method else [method]
    single = experiment.model_copy(update={"method": methods, "seeds": [seed]})
    table = single.model_dump(mode="json", exclude_none=True)
    for entry, chosen in zip(table["method"], methods, strict=True):
        if chosen.pruning is not None:
            del entry["generator"]
    return tomli_w.dumps(table)


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
