"""What `netsci-nn analyze` is pointed at becomes layers: run directories, topologies, graphs, edge lists and state dicts."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from netsci_nn import bridge
from netsci_nn.bridge import WeightedTopology
from netsci_nn.cli.edge_lists import read_edge_list
from netsci_nn.cli.layer import Layer
from netsci_nn.cli.state_dicts import StateDict, read_state_dict
from netsci_nn.cli.tensors import layers_of
from netsci_nn.errors import CheckpointError, ConfigError, TopologyError
from netsci_nn.experiment.directory import CHECKPOINT, is_begun
from netsci_nn.experiment.recorded import final_layers, initial_topologies
from netsci_nn.io import DAMAGE, load_network, load_weighted

EDGE_LISTS = (".csv", ".tsv", ".txt", ".edges", ".edgelist")
STATE_DICTS = (".pt", ".pth", ".ckpt", ".bin")
NOT_JOINED = "the file does not say how its layers are joined; each is reported by itself"
ENDINGS = (".safetensors", ".npz", ".graphml", *EDGE_LISTS, *STATE_DICTS)


@dataclass(frozen=True)
class Network:
    """One network to describe.

    Attributes:
        name: of its layers, or nothing where there is one network only.
        graph: what `analysis.describe` takes.
        control: its untrained beginning, or None.
    """

    name: str
    graph: Any
    control: Any = None


class Intake(NamedTuple):
    """All that a target holds, and the rules by which it was read."""

    networks: list[Network]
    notes: list[str]


def take_in(target: Path, threshold: float | None = None) -> Intake:
    """Read a target of any kind; its ending and its content say which.

    Args:
        target: a run directory or a file.
        threshold: weights of a state dict are edges where |w| > threshold; None for those other than 0.

    Raises:
        ConfigError: when the kind is not known, or a threshold is given for something else than a state dict.
        CheckpointError, TopologyError: when the content is damaged or no network.
    """
    if target.is_dir():
        return _checked(_of_run(target), threshold)
    if not target.exists():
        raise ConfigError(f"path {str(target)!r} does not exist")
    ending = target.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"path {str(target)!r} ends in {ending!r}; allowed are: {', '.join(ENDINGS)}")
    if not target.is_file():
        raise ConfigError(f"path {str(target)!r} is not a file")
    if ending in STATE_DICTS:
        return _of_state_dict(target, read_state_dict(target), threshold)
    if ending == ".safetensors":
        return _of_safetensors(target, threshold)
    readers: dict[str, Callable[[Path], Intake]] = {".npz": _of_npz, ".graphml": _of_graphml}
    return _checked(readers.get(ending, _of_edge_list)(target), threshold)


def _checked(intake: Intake, threshold: float | None) -> Intake:
    if threshold is not None:
        raise ConfigError(
            f"threshold is {threshold:g}; it is for the weights of a state dict, this target has edges of its own"
        )
    return intake


def _of_run(directory: Path) -> Intake:
    layers = [_weighted(layer) for layer in final_layers(directory)]
    return Intake([Network("", layers, list(initial_topologies(directory)))], [])


def _of_safetensors(path: Path, threshold: float | None) -> Intake:
    state = read_state_dict(path)
    tensors = state.tensors
    if {"shape", "src", "dst"} <= tensors.keys():
        return _checked(_of_topology(path), threshold)
    if "layers.0.shape" in tensors:
        return _checked(Intake([Network("", [_weighted(layer) for layer in load_network(path)])], []), threshold)
    return _of_state_dict(path, state, threshold)


def _of_state_dict(path: Path, state: StateDict, threshold: float | None) -> Intake:
    """The layers of a state dict: one network if it is the checkpoint of a run, otherwise each by itself."""
    try:
        layers, notes = layers_of(state.tensors, threshold)
    except CheckpointError as error:
        raise CheckpointError(f"file {str(path)!r}: {error}") from error
    notes = [*state.notes, *notes]
    if len(layers) == 1 or _is_checkpoint_of_run(path):
        return Intake([Network(", ".join(layer.name for layer in layers), layers)], notes)
    return Intake([Network(layer.name, [layer]) for layer in layers], [NOT_JOINED, *notes])


def _is_checkpoint_of_run(path: Path) -> bool:
    """Whether a file is where a run of this program keeps its checkpoint; the networks of runs are chains."""
    directory = path.absolute().parent.parent
    return path.absolute() == directory / CHECKPOINT and is_begun(directory)


def _of_npz(path: Path) -> Intake:
    """Our own archive, or scipy's, which are told apart by the arrays they hold."""
    try:
        if not _is_of_scipy(path):
            return _of_topology(path)
        matrix: Any = scipy.sparse.load_npz(path)
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)  # before compiled code follows its indices
        layer = bridge.from_scipy(matrix)
    except DAMAGE as error:
        if isinstance(error, CheckpointError):
            raise
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise CheckpointError(f"file {str(path)!r} does not hold a topology: {reason}") from error
    note = "biadjacency [n_out, n_in]: rows are targets, columns are sources, every stored entry is an edge"
    is_weighted = layer.weights is not None and layer.weights.dtype != np.bool_
    return Intake([Network("", [_weighted(layer if is_weighted else WeightedTopology(layer.topology, None))])], [note])


def _is_of_scipy(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return "format" in archive.files


def _of_graphml(path: Path) -> Intake:
    try:
        graph = bridge.read_layered_graphml(path)
    except TopologyError as error:
        raise CheckpointError(f"file {str(path)!r} does not hold a topology: {error}") from error
    return _of_topology(path) if graph is None else Intake([Network("", graph)], [])


def _of_topology(path: Path) -> Intake:
    return Intake([Network("", [_weighted(load_weighted(path))])], [])


def _of_edge_list(path: Path) -> Intake:
    layer, notes = read_edge_list(path)
    return Intake([Network("", [layer])], notes)


def _weighted(layer: WeightedTopology) -> Layer:
    topology = layer.topology
    return Layer("", topology.n_in, topology.n_out, topology.src, topology.dst, layer.weights)
