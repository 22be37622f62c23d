"""What `netsci-nn analyze` is pointed at becomes layers: run directories, topologies, graphs, edge lists and state dicts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse

from netsci_nn import bridge
from netsci_nn.bridge import WeightedTopology
from netsci_nn.cli.tensors import Layer, layers_of, read_state_dict
from netsci_nn.errors import CheckpointError, ConfigError, TopologyError
from netsci_nn.experiment.recorded import final_layers, initial_topologies
from netsci_nn.io import DAMAGE, load_network, load_weighted

EDGE_LISTS = (".csv", ".tsv", ".txt", ".edges", ".edgelist")
STATE_DICTS = (".pt", ".pth")
ENDINGS = (".safetensors", ".npz", ".graphml", *EDGE_LISTS, *STATE_DICTS)

EDGE_LIST_RULE = (
    "edge list: a source in the first column, a target in the second{weights}; neurons are the labels that occur, {order}, "
    "so a neuron without edges is not among them, and a label in both columns stands for two neurons"
)


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
    ending = target.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"path {str(target)!r} ends in {ending!r}; allowed are: {', '.join(ENDINGS)}")
    if not target.is_file():
        raise ConfigError(f"path {str(target)!r} is not a file")
    if ending in STATE_DICTS:
        return _of_state_dict(target, threshold)
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
    tensors = read_state_dict(path)
    if {"shape", "src", "dst"} <= tensors.keys():
        return _checked(_of_topology(path), threshold)
    if "layers.0.shape" in tensors:
        return _checked(Intake([Network("", [_weighted(layer) for layer in load_network(path)])], []), threshold)
    return _of_state_dict(path, threshold)


def _of_state_dict(path: Path, threshold: float | None) -> Intake:
    try:
        chains, notes = layers_of(read_state_dict(path), threshold)
    except CheckpointError as error:
        raise CheckpointError(str(error) if str(path) in str(error) else f"file {str(path)!r}: {error}") from error
    return Intake([Network(", ".join(layer.name for layer in chain), chain) for chain in chains], notes)


def _of_npz(path: Path) -> Intake:
    """Our own archive, or scipy's, which are told apart by the arrays they hold."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            is_scipy = "format" in archive.files
        if not is_scipy:
            return _of_topology(path)
        matrix: Any = scipy.sparse.load_npz(path)
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)  # before compiled code follows its indices
        layer = bridge.from_scipy(matrix)
    except DAMAGE as error:
        message = str(error) if isinstance(error, CheckpointError) else f"file {str(path)!r} does not hold a topology: {error}"
        raise CheckpointError(message) from error
    note = "biadjacency [n_out, n_in]: rows are targets, columns are sources, every stored entry is an edge"
    is_weighted = layer.weights is not None and layer.weights.dtype != np.bool_
    return Intake([Network("", [_weighted(layer if is_weighted else WeightedTopology(layer.topology, None))])], [note])


def _of_graphml(path: Path) -> Intake:
    try:
        graph = bridge.read_layered_graphml(path)
    except TopologyError as error:
        raise CheckpointError(f"file {str(path)!r} does not hold a topology: {error}") from error
    return _of_topology(path) if graph is None else Intake([Network("", graph)], [])


def _of_topology(path: Path) -> Intake:
    return Intake([Network("", [_weighted(load_weighted(path))])], [])


def _of_edge_list(path: Path) -> Intake:
    try:
        with path.open(encoding="utf-8") as file:
            if re.search(r"\bn_in=\d", file.readline()):
                return _of_topology(path)
            file.seek(0)
            lines = [line for line in file if line.strip() and not line.lstrip().startswith(("#", "%"))]
        return _from_lines(lines)
    except (UnicodeDecodeError, TopologyError, OSError) as error:
        raise CheckpointError(f"file {str(path)!r} does not hold an edge list: {error}") from error


def _from_lines(lines: list[str]) -> Intake:
    if not lines:
        raise TopologyError("it has no line with an edge")
    delimiter = next((mark for mark in ",;\t" if mark in lines[0]), None)
    if re.match(r"\s*\"?(source|src|from|u|in)\b", lines[0], re.IGNORECASE):
        lines = lines[1:]
    try:
        table = np.loadtxt(lines, dtype=str, delimiter=delimiter, ndmin=2, comments=None, quotechar='"')
    except ValueError as error:
        raise TopologyError(f"its lines must all have two or three columns ({error})") from error
    if not len(table) or table.shape[1] not in (2, 3):
        raise TopologyError(f"it has {len(table)} lines of {table.shape[1]} columns; two or three columns are needed")
    weights = _weights(table[:, 2]) if table.shape[1] == 3 else None
    (sources, src), (targets, dst) = _numbered(table[:, 0]), _numbered(table[:, 1])
    is_numeric = sources.dtype.kind == targets.dtype.kind == "i"
    order = "in the order of their numbers" if is_numeric else "in the order of the alphabet"
    note = EDGE_LIST_RULE.format(weights="" if weights is None else ", a weight in the third", order=order)
    return Intake([Network("", [Layer("", len(sources), len(targets), src, dst, weights)])], [note])


def _numbered(column: npt.NDArray[np.str_]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """The labels that occur, sorted, as whole numbers where all are; and the place of each among them."""
    labels = np.char.strip(column)
    try:
        labels, places = np.unique(labels.astype(np.int64), return_inverse=True)
    except (ValueError, OverflowError):
        labels, places = np.unique(labels, return_inverse=True)
    return labels, places


def _weights(column: npt.NDArray[np.str_]) -> npt.NDArray[np.float64]:
    try:
        return column.astype(np.float64)
    except ValueError as error:
        raise TopologyError(f"its third column must hold numbers ({error})") from error


def _weighted(layer: WeightedTopology) -> Layer:
    topology = layer.topology
    return Layer("", topology.n_in, topology.n_out, topology.src, topology.dst, layer.weights)
