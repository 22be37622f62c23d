"""`load_pretrained`: a saved model, sparse layers and all, into a model that was built anew; for Hugging Face's files, too."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netsci_nn.errors import CheckpointError, ConfigError, TopologyError
from netsci_nn.intake.shards import WHOLE_FILES, weights_in
from netsci_nn.intake.state_dict import listed, read_tensors
from netsci_nn.intake.tensors import is_of_sparse_layer, stored_topology
from netsci_nn.layers import SparseLayer
from netsci_nn.models.attention import PROJECTIONS, UnpackedAttention
from netsci_nn.models.surgery import check_replaceable, replace_layers, sparse_twin
from netsci_nn.models.walk import conv_kind, linear_layers, size_of
from netsci_nn.topology import BipartiteTopology

Tensors = dict[str, torch.Tensor]

STRUCTURE = "src", "dst", "birth", "sizes"
OPTIONAL = "active"


def load_pretrained(model: nn.Module, path: str | PathLike[str]) -> nn.Module:
    """Load all weights of a file or folder into `model`; layers that are sparse there become sparse here, with their edges.

    Layers are linear ones and convolutions, whose graphs are those of the file: of channels, or of the positions of a patch. An
    `nn.MultiheadAttention` whose projections the file holds one by one, as `sparsify` leaves them, becomes an
    `UnpackedAttention`.

    The way back for models that `save_pretrained` of Hugging Face has written, whose `from_pretrained` knows no sparse layers
    and refuses them; `save_original_format=False` keeps it from writing other names than the model has. As in
    `load_state_dict`, names and shapes must be the model's, and values take the dtype and the device that the model has. A
    weight that a model ties to another one may be missing. `model` is changed in place, and only when all fits; its mode stays
    (`from_pretrained` calls `eval`). Make optimisers afterwards.

    Args:
        model: built from the same config as the saved one; its layers may be dense or sparse.
        path: a folder that holds model.safetensors or pytorch_model.bin, whole or in shards; or a file: .safetensors,
            .index.json of shards, or a state dict that torch has saved (.pt, .pth, .bin, .ckpt). Nothing in them is executed.

    Returns:
        `model` itself.

    Raises:
        CheckpointError: when a file is missing, damaged, or does not belong to the model.
        ConfigError: when a layer that is sparse in the file would lose something in the model (see `sparsify`), or the model
            has no memory yet (meta device).

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from netsci_nn import sparsify
        >>> def build():
        ...     return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
        >>> model = build()
        >>> _ = sparsify(model, density=0.5, exclude="2", rng=0)
        >>> with TemporaryDirectory() as folder:
        ...     torch.save(model.state_dict(), f"{folder}/model.pt")
        ...     loaded = load_pretrained(build(), f"{folder}/model.pt")
        >>> x = torch.rand(3, 8)
        >>> loaded[0].topology == model[0].topology, torch.equal(loaded(x), model(x))
        (True, True)
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; it must be a module")
    file = _file(Path(path))
    tensors, notes = read_tensors(file)
    if notes:
        raise CheckpointError(
            f"file {str(file)!r} does not fit the model: it does not hold the state dict of one model alone ({notes[0]})"
        )
    with _unpacked(model, tensors):
        _load(model, tensors, file)
    return model


@contextmanager
def _unpacked(model: nn.Module, tensors: Tensors) -> Iterator[None]:
    """Unpack attention whose projections are layers of their own in the file; pack it again if loading fails."""
    found: dict[str, nn.MultiheadAttention] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if type(module) is nn.MultiheadAttention and module is not model and f"{name}.{PROJECTIONS[0]}.weight" in tensors:
            found[name] = module
    if found:
        check_replaceable(model, found)
    unpacked: dict[nn.Module, nn.Module] = {packed: UnpackedAttention(packed) for packed in found.values()}
    replace_layers(model, unpacked)
    try:
        yield
    except BaseException:
        replace_layers(model, {separate: packed for packed, separate in unpacked.items()})
        raise


def _load(model: nn.Module, tensors: Tensors, file: Path) -> None:
    """Put the tensors of a file into a model after checking that all fit."""
    try:
        tensors |= _tied(model, tensors)
        topologies = _topologies(model, tensors)
        _check(model, tensors, topologies)
    except CheckpointError as error:
        raise CheckpointError(f"file {str(file)!r} does not fit the model: {error}") from error
    modules = dict(model.named_modules(remove_duplicate=False))
    replaced = [name for name in topologies if not isinstance(modules[name], SparseLayer)]
    dense: dict[str, Any] = {name: modules[name] for name in replaced}
    if model in dense.values():
        raise ConfigError("model is a dense layer, which cannot become sparse in place; build a sparse layer to load into")
    check_replaceable(model, dense)
    devices = {layer.weight.device for layer in dense.values() if layer.weight.device.type == "cuda"}
    with torch.random.fork_rng(devices=devices):
        graphs = {name: _graph(tensors[f"{name}.weight"], layer) for name, layer in dense.items()}
        try:
            twins = {layer: sparse_twin(layer, topologies[name], graph=graphs[name]) for name, layer in dense.items()}
        except TopologyError as error:  # of a convolution with groups
            raise CheckpointError(f"file {str(file)!r} does not fit the model: {error}") from error
        replace_layers(model, twins)
    model.load_state_dict(tensors)


def _file(path: Path) -> Path:
    """Return the file with the weights: `path`, or the one in this folder."""
    if not path.is_dir():
        if not path.is_file():
            raise CheckpointError(f"file {str(path)!r} does not exist")
        return path
    file = weights_in(path)
    if file is None:
        raise CheckpointError(
            f"folder {str(path)!r} holds no weights: neither {' nor '.join(WHOLE_FILES)}, nor an index of them"
        )
    return file


def _topologies(model: nn.Module, tensors: Tensors) -> dict[str, BipartiteTopology]:
    """Return the edges of every sparse layer in the file after checking that it can be one of the model's layers."""
    modules = dict(model.named_modules(remove_duplicate=False))
    replaceable: set[nn.Module] = set(linear_layers(model, attention=False, convolutions=True).values())
    of_layer: dict[nn.Module, BipartiteTopology] = {}
    topologies = {}
    for weight in tensors:
        name = weight.rpartition(".")[0]
        if not weight.endswith("weight") or not is_of_sparse_layer(weight, tensors):
            continue
        layer = modules.get(name)
        if layer is None or layer not in replaceable:
            kind = "nothing" if layer is None else f"a {type(layer).__name__}"
            raise CheckpointError(f"layer {name!r} is sparse in the file, and the model has {kind} there{_hint(model)}")
        prefix = f"{name}." if name else ""
        parts = {part: tensors[prefix + part] for part in (*STRUCTURE, OPTIONAL, "bias") if prefix + part in tensors}
        try:
            topology = stored_topology(tensors[weight], parts)
        except TopologyError as error:
            raise CheckpointError(f"sparse layer {name!r}: {error}") from error
        birth = parts.get("birth")
        if birth is None or birth.shape != (topology.n_edges,) or birth.is_floating_point() or birth.is_complex():
            raise CheckpointError(f"sparse layer {name!r} has no birth of its edges, integers [{topology.n_edges}]")
        _check_kind(name, layer, tensors[weight], topology)
        if of_layer.setdefault(layer, topology) != topology:
            raise CheckpointError(f"layer {name!r} has other edges than under its other names in the model")
        topologies[name] = topology
    return topologies


def _check_kind(name: str, layer: nn.Module, weight: torch.Tensor, topology: BipartiteTopology) -> None:
    """Raise a CheckpointError unless a layer has the sizes, and the kernels on its edges, of a sparse one of a file."""
    n_in, n_out = size_of(layer)
    known = layer.weight.shape[1:] if isinstance(layer, SparseLayer) else torch.Size()
    if conv_kind(layer) is not None and _graph(weight, layer) == "channel":
        known = torch.Size(layer.kernel_size)  # type: ignore[arg-type]
    elif conv_kind(layer) is not None:
        n_in *= math.prod(layer.kernel_size)  # type: ignore[arg-type]
    if weight.shape[1:] != known:
        raise CheckpointError(
            f"layer {name!r} has kernels {list(weight.shape[1:])} on its edges, and in the model {list(known)}"
        )
    if (topology.n_in, topology.n_out) != (n_in, n_out):
        raise CheckpointError(
            f"layer {name!r} joins {topology.n_in} sources and {topology.n_out} targets, and in the model {n_in} and {n_out}"
        )


def _graph(weight: torch.Tensor, layer: nn.Module) -> str | None:
    """Return of what graph a sparse convolution is whose edges have these weights; None if the model has no convolution."""
    return None if conv_kind(layer) is None else "channel" if weight.dim() > 1 else "patch"


def _tied(model: nn.Module, tensors: Tensors) -> Tensors:
    """Return what a file leaves out since the model ties it to a weight that is there; what is there twice must be equal."""
    first: dict[int, str] = {}
    left_out: Tensors = {}
    own = model.state_dict(keep_vars=True)
    for name in sorted(own, key=lambda name: name not in tensors):  # those in the file first
        parameter = own[name]
        if not isinstance(parameter, nn.Parameter):
            continue
        known = first.setdefault(id(parameter), name)
        if known != name and known in tensors:
            if name not in tensors:
                left_out[name] = tensors[known]
            elif not torch.equal(tensors[name], tensors[known]):
                raise CheckpointError(f"the model ties {known!r} and {name!r}, which differ in the file")
    return left_out


def _check(model: nn.Module, tensors: Tensors, topologies: Mapping[str, BipartiteTopology]) -> None:
    """Raise an error unless names, shapes and kinds of numbers are those of the model with the sparse layers of the file."""
    own: dict[str, Any] = model.state_dict(keep_vars=True)
    meta = next((name for name, tensor in own.items() if isinstance(tensor, torch.Tensor) and tensor.is_meta), None)
    if meta is not None:
        raise ConfigError(f"model has {meta!r} on the meta device, without memory for numbers; build it on a real device")
    of_edges: set[str] = set()
    for name in topologies:
        prefix = f"{name}." if name else ""
        parts = (*STRUCTURE, OPTIONAL) if f"{prefix}{OPTIONAL}" in tensors else STRUCTURE
        of_edges |= {prefix + part for part in ("weight", *parts)}
    sparse = {name for name, layer in model.named_modules(remove_duplicate=False) if isinstance(layer, SparseLayer)}
    dense_in_file = sorted(name for name in sparse - topologies.keys() if (f"{name}.weight" if name else "weight") in tensors)
    if dense_in_file:
        raise CheckpointError(f"layer {dense_in_file[0]!r} is dense in the file and sparse in the model")
    optional = {f"{name}.{OPTIONAL}" if name else OPTIONAL for name in topologies}
    expected = (own.keys() - optional) | of_edges
    for reason, names in (("it lacks", expected - tensors.keys()), ("the model has no", tensors.keys() - expected)):
        if names:
            raise CheckpointError(f"{reason} {listed(sorted(names))}{_hint(model)}")
    for name in sorted(expected - of_edges):
        tensor, known = tensors[name], own[name]
        if tensor.layout != torch.strided or tensor.shape != known.shape or _kind(tensor) != _kind(known):
            raise CheckpointError(f"tensor {name!r} is {_described(tensor)}, and in the model {_described(known)}")


def _hint(model: nn.Module) -> str:
    """Return what may be the reason if names differ, for the end of the sentence."""
    if not hasattr(model, "save_pretrained"):
        return ""
    return "; if transformers changed the names as it saved, save with save_pretrained(..., save_original_format=False)"


def _kind(tensor: torch.Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _described(tensor: torch.Tensor) -> str:
    layout = "" if tensor.layout == torch.strided else f" of layout {tensor.layout}"
    return f"{list(tensor.shape)} of {tensor.dtype}{layout}"
