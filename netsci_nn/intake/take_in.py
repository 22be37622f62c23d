"""Read any file of a graph, or a run directory, as networks."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

from netsci_nn.errors import CheckpointError, ConfigError, TopologyError
from netsci_nn.experiment import RunDirectory
from netsci_nn.intake.edge_list import read_edge_list
from netsci_nn.intake.shards import ENDING as INDEX
from netsci_nn.intake.shards import is_index, weights_in
from netsci_nn.intake.state_dict import listed, read_state_dict
from netsci_nn.intake.tensors import Sizes, layers_of
from netsci_nn.intake.values import Intake, Layer, Network
from netsci_nn.limits import check_neurons
from netsci_nn.topology import WeightedTopology, from_scipy, load_network, load_weighted
from netsci_nn.topology.formats import DAMAGE, arrays_in, read_layered_graphml

EDGE_LISTS = (".csv", ".tsv", ".txt", ".edges", ".edgelist")
STATE_DICTS = (".pt", ".pth", ".ckpt", ".bin")
ENDINGS = (".safetensors", ".npz", ".graphml", *EDGE_LISTS, *STATE_DICTS, INDEX)

NOT_JOINED = "the file does not say how its layers are joined; each is reported by itself"


def take_in(target: str | PathLike[str], threshold: float | None = None, sizes: Sizes | None = None) -> Intake:
    """Read a run directory or a file of any kind; its ending and its content say which.

    A run directory, a network file, a checkpoint in its run directory and a GraphML file with `layer` say how their layers
    are joined, and give one network. The layers of any other state dict give a network each.

    Args:
        target: a run directory; a topology or network (.safetensors, .npz, .graphml, .csv); a scipy matrix (.npz); an edge
            list (.csv, .tsv, .txt, .edges, .edgelist); or a state dict (.pt, .pth, .ckpt, .bin, .safetensors, the
            .index.json of several such files, or the folder that `save_pretrained` of Hugging Face has written).
        threshold: weights of a state dict are edges if |w| > threshold; None for those other than 0.
        sizes: (n_in, n_out) by the names of sparse layers of a state dict that does not state theirs. Without, the least that
            hold their edges are assumed, which a note says.

    Raises:
        ConfigError: when the kind is not known, a threshold is given for anything but a state dict, or sizes for anything but
            a sparse layer that does not state them.
        CheckpointError, TopologyError: when the content is damaged or no network.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     torch.save({"fc.weight": torch.tensor([[0.0, 0.5, -0.02], [2.0, 0.0, 0.0]])}, f"{folder}/model.pt")
        ...     intake = take_in(f"{folder}/model.pt", threshold=0.1)
        >>> layer = intake.networks[0].graph[0]
        >>> layer.name, layer.src.tolist(), layer.dst.tolist(), layer.weights.tolist()
        ('fc.weight', [1, 0], [0, 1], [0.5, 2.0])
    """
    target = Path(target)
    ending = INDEX if is_index(target) else target.suffix.lower()
    weights = weights_in(target) if target.is_dir() and not RunDirectory(target).is_begun else None
    if weights is not None:
        networks, notes = take_in(weights, threshold)
        return Intake(networks, [f"the weights are read from {weights.name}", *notes])
    if target.is_dir():
        run = RunDirectory(target)
        layers = run.final_layers()
        intake = _finite([Layer.of(layer) for layer in layers])
        if run.wiring.is_file():
            pairs = zip(layers, intake.networks[0].graph, strict=True)
            finite = [WeightedTopology(layer.topology, kept.weights) for layer, kept in pairs]
            intake.networks[0] = replace(intake.networks[0], graph=run.network(finite))
        try:
            intake.networks[0] = replace(intake.networks[0], control=run.network(run.initial_topologies()))
        except CheckpointError as error:
            intake.notes.append(f"the start does not stand beside the end, since it is damaged: {error}")
    elif not target.exists():
        raise ConfigError(f"path {str(target)!r} does not exist")
    elif ending not in ENDINGS:
        raise ConfigError(f"path {str(target)!r} ends in {ending!r}; allowed are: {', '.join(ENDINGS)}")
    elif not target.is_file():
        raise ConfigError(f"path {str(target)!r} is not a file")
    elif ending in EDGE_LISTS:
        layer, notes = read_edge_list(target)
        networks, odd = _finite([layer])
        intake = Intake(networks, [*notes, *odd])
    elif ending == ".npz":
        intake = _of_npz(target)
    elif ending == ".graphml":
        intake = _of_graphml(target)
    else:
        tensors, notes = read_state_dict(target)
        if ending == ".safetensors" and {"shape", "src", "dst"} <= tensors.keys():
            intake = _of_topology(target)
        elif ending == ".safetensors" and "layers.0.shape" in tensors:
            intake = _finite([Layer.of(layer) for layer in load_network(target)])
        else:
            return _of_state_dict(target, tensors, notes, threshold, sizes)
    if threshold is not None:
        raise ConfigError(f"threshold is {threshold:g}; only state dicts take a threshold, and {str(target)!r} lists its edges")
    if sizes:
        raise ConfigError(f"sizes are given for {listed(map(repr, sizes))}; only state dicts take sizes, not {str(target)!r}")
    return intake


def _of_state_dict(
    path: Path, tensors: Mapping[str, torch.Tensor], notes: list[str], threshold: float | None, sizes: Sizes | None
) -> Intake:
    run = RunDirectory(path.absolute().parent.parent)
    is_chain = path.absolute() == run.checkpoint and run.is_begun  # the networks of runs are chains
    try:
        layers, rules, is_joined = layers_of(tensors, threshold, sizes, is_chain=is_chain)
    except CheckpointError as error:
        raise CheckpointError(f"file {str(path)!r}: {error}") from error
    check_neurons(path, sum(layer.n_in + layer.n_out for layer in layers))
    if len(layers) == 1 or is_joined:
        return Intake([Network(", ".join(layer.name for layer in layers), layers)], [*notes, *rules])
    return Intake([Network(layer.name, [layer]) for layer in layers], [NOT_JOINED, *notes, *rules])


def _of_npz(path: Path) -> Intake:
    """Read our own archive or scipy's; the arrays that it holds tell which it is."""
    try:
        if "format" not in arrays_in(path):
            return _of_topology(path)
        matrix: Any = scipy.sparse.load_npz(path)
        check_neurons(path, sum(matrix.shape))
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)  # before compiled code follows its indices
        topology, weights = from_scipy(matrix)
    except (CheckpointError, ConfigError):
        raise
    except (*DAMAGE, AttributeError) as error:  # scipy looks for a class of the name that the file gives
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise CheckpointError(f"file {str(path)!r} does not hold a topology: {reason}") from error
    if weights is not None and weights.dtype == np.bool_:
        weights = None
    note = "biadjacency [n_out, n_in]: rows are targets, columns are sources, every stored entry is an edge"
    return Intake([Network("", [Layer.of(WeightedTopology(topology, weights))])], [note])


def _of_graphml(path: Path) -> Intake:
    try:
        graph = read_layered_graphml(path)
    except TopologyError as error:
        raise CheckpointError(f"file {str(path)!r} does not hold a topology: {error}") from error
    return _of_topology(path) if graph is None else Intake([Network("", graph)], [])


def _of_topology(path: Path) -> Intake:
    return _finite([Layer.of(load_weighted(path))])


def _finite(layers: list[Layer]) -> Intake:
    """A network of these layers; of one whose weights are not all finite, as of training that diverged, the edges alone."""
    found, notes = list(layers), []
    for number, layer in enumerate(layers):
        n_odd = 0 if layer.weights is None else np.count_nonzero(~np.isfinite(layer.weights))
        if n_odd:
            found[number] = replace(layer, weights=None)
            notes.append(f"layer {number} is measured without weights, since {n_odd} of {len(layer.src)} are NaN or infinity")
    return Intake([Network("", found)], notes)
