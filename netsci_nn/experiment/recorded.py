"""What a run directory has recorded of its topologies, in order, for those who ask how they came about."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from netsci_nn.errors import ConfigError
from netsci_nn.experiment.directory import CHECKPOINT, METRICS
from netsci_nn.topology import BipartiteTopology, WeightedTopology, load_network

FINAL = Path("topology") / "final.safetensors"


class Recorded(NamedTuple):
    """The sparse layers of a network after an epoch; 0 is before any training."""

    epoch: int
    layers: tuple[BipartiteTopology, ...]


class Births(NamedTuple):
    """When the edges of the final topology were born."""

    step: int  # mini-batches completed
    layers: tuple[npt.NDArray[np.int64], ...]  # `[n_edges]` each, the step at which edge k was born; 0 is the start


def recorded_topologies(directory: Path) -> list[Recorded]:
    """Read the topologies of a run in order: the start, every epoch after which the edges had changed, and the end.

    The end stands under the number of epochs completed; where training was interrupted after edges had changed within an
    epoch, under the next one. It is left out where it repeats the last epoch's record.

    Raises:
        ConfigError: when `directory` is no run directory of a sparse network.
        CheckpointError: when a file is damaged.
    """
    check_recorded(directory)
    files = (directory / "topology").glob("epoch-*.safetensors")
    numbers = {path: path.stem.removeprefix("epoch-") for path in files}
    found = sorted((int(number), path) for path, number in numbers.items() if number.isdecimal())
    recorded = [Recorded(epoch, _topologies(path)) for epoch, path in found]
    last, end = _topologies(directory / FINAL), _epochs_completed(directory)
    if end > recorded[-1].epoch or last != recorded[-1].layers:
        recorded.append(Recorded(max(end, recorded[-1].epoch + 1), last))
    return recorded


def final_layers(directory: Path) -> list[WeightedTopology]:
    """Read the topologies with the weights that a run has ended with.

    Raises:
        ConfigError: when `directory` is no run directory of a sparse network.
        CheckpointError: when the file is damaged.
    """
    check_recorded(directory)
    return load_network(directory / FINAL)


def initial_topologies(directory: Path) -> tuple[BipartiteTopology, ...]:
    """Read the topologies that a run has begun with: the untrained control.

    Raises:
        ConfigError: when `directory` is no run directory of a sparse network.
        CheckpointError: when the file is damaged.
    """
    check_recorded(directory)
    return _topologies(directory / "topology" / "epoch-0000.safetensors")


def recorded_births(directory: Path) -> Births | None:
    """Read the births of the final topology's edges from the checkpoint; None where it does not belong to that topology.

    Raises:
        ConfigError: when `directory` is no run directory of a sparse network.
        CheckpointError: when the topology's file is damaged.
    """
    final = [layer.topology for layer in final_layers(directory)]
    try:
        with safe_open(directory / CHECKPOINT, framework="numpy") as file:
            names = sorted((name for name in file.keys() if name.endswith(".birth")), key=_natural)  # noqa: SIM118
            prefixes = [name.removesuffix("birth") for name in names]
            ends = [tuple(file.get_tensor(prefix + part) for part in ("src", "dst")) for prefix in prefixes]
            births = tuple(file.get_tensor(name).astype(np.int64) for name in names)
            step = int(json.loads((file.metadata() or {})["progress"])["step"])
    except (SafetensorError, OSError, ValueError, TypeError, KeyError):
        return None
    same = [(topology.src, topology.dst) for topology in final]
    is_same = len(ends) == len(same) and all(
        np.array_equal(a, b) for pair in zip(ends, same, strict=True) for a, b in zip(*pair, strict=True)
    )
    return Births(step, births) if is_same else None


def check_recorded(directory: Path) -> None:
    """Raise a ConfigError unless `directory` holds the first and the last topology of a run."""
    if not directory.exists():
        raise ConfigError(f"directory {str(directory)!r} does not exist; it must be a run directory")
    if not all((directory / "topology" / f"{name}.safetensors").is_file() for name in ("epoch-0000", "final")):
        raise ConfigError(f"directory {str(directory)!r} has no recorded topology; it must be the run of a sparse network")


def _topologies(path: Path) -> tuple[BipartiteTopology, ...]:
    return tuple(layer.topology for layer in load_network(path))


def _epochs_completed(directory: Path) -> int:
    """The last epoch in the log of a run; a line that was cut off when the program was killed is passed over."""
    epoch, path = 0, directory / METRICS
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            record = json.loads(line)
            if record["event"] == "epoch":
                epoch = int(record["epoch"])
        except (ValueError, TypeError, KeyError):
            continue
    return epoch


def _natural(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]
