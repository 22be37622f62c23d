"""The weight matrices of a state dict of any torch model as layers; nothing in a file that is loaded can run code."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from netsci_nn.errors import CheckpointError, ConfigError

Tensors = Mapping[str, torch.Tensor]

NESTED = ("state_dict", "model_state_dict", "model")  # where training scripts keep the state dict within what they save
PARTS = ("values", "src", "dst")  # of a `SparseLinear`


@dataclass(frozen=True)
class Layer:
    """A bipartite layer with weights, as `analysis` takes it; edges in any order.

    Attributes:
        name: of the tensor.
        n_in: number of sources.
        n_out: number of targets.
        src: integers `[n_edges]`.
        dst: integers `[n_edges]`.
        weights: `[n_edges]` numbers, or None.
    """

    name: str
    n_in: int
    n_out: int
    src: npt.NDArray[np.integer]
    dst: npt.NDArray[np.integer]
    weights: npt.NDArray[Any] | None = None


class Found(NamedTuple):
    """A layer; of a sparse one the prefix of its tensors' names, and the least sizes that hold its edges."""

    layer: Layer
    prefix: str | None


class Chains(NamedTuple):
    """The layers of a state dict, those that follow each other together, and what a reader has to know of them."""

    chains: list[list[Layer]]
    notes: list[str]


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a .pt, .pth or .safetensors file by name, those of a model where it holds an optimiser's too.

    Raises:
        CheckpointError: when the file is damaged, or holds anything but tensors and plain values: such a file could run code
            when it is read, and is refused before it does.
    """
    tensors = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_pickled(path)
    if "torch_rng" in tensors and any(name.startswith("model.") for name in tensors):  # a checkpoint of this program
        return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    return tensors


def layers_of(tensors: Tensors, threshold: float | None) -> Chains:
    """Turn a state dict into layers: every matrix `[n_out, n_in]` in order, and every `SparseLinear`.

    An edge is a weight other than 0, or one with |w| > threshold; of a `SparseLinear`, every stored edge without a threshold.
    Consecutive layers form a chain as long as one has as many sources as the one before has targets.

    Raises:
        ConfigError: when a matrix without any zero comes without a threshold, or the threshold is not a number >= 0.
        CheckpointError: when there is no such tensor, or one holds NaN or infinity.
    """
    if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
        raise ConfigError(f"threshold is {threshold}; it must be a finite number >= 0")
    tensors, notes = _masked(tensors), [_rule(threshold)]
    found = list(_layers(tensors, threshold))
    if not found:
        raise CheckpointError(f"the state dict of {len(tensors)} tensors has no matrix [n_out, n_in] of floating numbers")
    left_out = [f"{name} {list(tensor.shape)}" for name, tensor in tensors.items() if _is_left_out(tensor)]
    if left_out:
        notes.append(f"left out, since they are no matrices of weights: {', '.join(left_out)}")
    layers = _with_sizes(found, tensors, notes)
    chains: list[list[Layer]] = []
    for layer in layers:
        if chains and chains[-1][-1].n_out == layer.n_in:
            chains[-1].append(layer)
        else:
            chains.append([layer])
    if len(chains) > 1:
        notes.append("layers whose sizes do not follow each other are networks of their own")
    return Chains(chains, notes)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"file {str(path)!r} cannot be read as safetensors: {error}") from error
    # The file does not keep the order of the layers; numbers in their names do.
    return {name: tensors[name] for name in sorted(tensors, key=_natural)}


def _read_pickled(path: Path) -> dict[str, torch.Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file made by others can fail in any way
        raise CheckpointError(
            f"file {str(path)!r} is refused ({type(error).__name__}): it is damaged or holds more than tensors, which could "
            "run code; nothing of it was run. A file that torch.save(model.state_dict(), path) has written can be read"
        ) from error
    for name in NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping) or not any(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise CheckpointError(f"file {str(path)!r} holds a {type(loaded).__name__} without tensors; it must be a state dict")
    return {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}


def _natural(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _masked(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Put weight_orig * weight_mask of `torch.nn.utils.prune` in the place of the two."""
    result = {}
    for name, tensor in tensors.items():
        base = name.removesuffix("_orig")
        mask = tensors.get(f"{base}_mask")
        if name.endswith("_orig") and mask is not None and mask.shape == tensor.shape:
            result[base] = tensor * mask
        elif not (name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in tensors):
            result[name] = tensor
    return result


def _rule(threshold: float | None) -> str:
    if threshold is None:
        return "edges are the weights other than 0"
    return f"edges are the weights with |w| > {threshold:g}"


def _layers(tensors: Tensors, threshold: float | None) -> Iterator[Found]:
    """Every layer in order."""
    for name, tensor in tensors.items():
        prefix = name.removesuffix("values")
        if name.endswith("values") and _is_sparse_layer(prefix, tensors):
            yield Found(_of_edges(prefix, tensors, threshold), prefix)
        elif _is_matrix(tensor):
            yield Found(_of_matrix(name, tensor, threshold), None)


def _is_matrix(tensor: torch.Tensor) -> bool:
    return tensor.dim() == 2 and tensor.is_floating_point() and tensor.numel() > 0


def _is_sparse_layer(prefix: str, tensors: Tensors) -> bool:
    parts = [tensors.get(prefix + part) for part in PARTS]
    if any(part is None or part.dim() != 1 for part in parts):
        return False
    values, src, dst = (part for part in parts if part is not None)
    is_whole = not (src.is_floating_point() or dst.is_floating_point() or src.is_complex() or dst.is_complex())
    return values.is_floating_point() and is_whole and len(values) == len(src) == len(dst)


def _is_left_out(tensor: torch.Tensor) -> bool:
    """Whether a reader might miss this tensor: biases, counters and other vectors they will not."""
    return tensor.dim() >= 2 and not _is_matrix(tensor)


def _of_matrix(name: str, tensor: torch.Tensor, threshold: float | None) -> Layer:
    n_out, n_in = tensor.shape
    wide = tensor.detach().to(tensor.dtype if tensor.dtype == torch.float64 else torch.float32)
    entries = wide.to_sparse_coo().coalesce()
    (dst, src), values = entries.indices().numpy(), _numbers(name, entries.values())
    if threshold is None and np.count_nonzero(values) == n_in * n_out:
        raise ConfigError(
            f"tensor {name!r} [{n_out}, {n_in}] has no zero, so it has no pattern of its own; state with --threshold T which "
            "weights are edges, |w| > T (0 takes it as complete)"
        )
    return _selected(Layer(name, n_in, n_out, src, dst, values), tensor.dtype, threshold or 0.0)


def _of_edges(prefix: str, tensors: Tensors, threshold: float | None) -> Layer:
    src, dst = (tensors[prefix + part].numpy() for part in ("src", "dst"))
    name = prefix.removesuffix(".") or "the layer"
    if len(src) and min(src.min(), dst.min()) < 0:
        raise CheckpointError(f"sparse layer {name!r} has an edge with a negative end; sources and targets count from 0")
    n_in, n_out = (int(ends.max()) + 1 if len(ends) else 1 for ends in (src, dst))
    values = tensors[f"{prefix}values"]
    layer = Layer(name, n_in, n_out, src, dst, _numbers(name, values))
    return layer if threshold is None else _selected(layer, values.dtype, threshold)


def _numbers(name: str, tensor: torch.Tensor) -> npt.NDArray[np.float64]:
    values = tensor.detach().to(torch.float64).numpy()
    if not np.isfinite(values).all():
        raise CheckpointError(f"tensor {name!r} holds NaN or infinity; weights must be finite")
    return values


def _selected(layer: Layer, dtype: torch.dtype, threshold: float) -> Layer:
    """The edges with |w| > threshold, which is rounded as the weights are: a float32 of 0.2 is not above 0.2."""
    assert layer.weights is not None
    kept = np.abs(layer.weights) > float(torch.tensor(threshold, dtype=dtype))
    return replace(layer, src=layer.src[kept], dst=layer.dst[kept], weights=layer.weights[kept])


def _with_sizes(found: list[Found], tensors: Tensors, notes: list[str]) -> list[Layer]:
    """Give sparse layers the sizes that their biases and neighbours have, and say where that is a guess."""
    result: list[Layer] = []
    for (layer, prefix), following in zip(found, [*found[1:], None], strict=True):
        if prefix is None:
            result.append(layer)
            continue
        bias, n_in, n_out = tensors.get(f"{prefix}bias"), layer.n_in, layer.n_out
        if result and result[-1].n_out >= n_in:
            n_in = result[-1].n_out
        else:
            notes.append(
                f"{layer.name}: the number of sources is not in the file; {n_in}, up to the last with an edge, are taken"
            )
        if bias is not None and bias.dim() == 1 and len(bias) >= n_out:
            n_out = len(bias)
        else:
            n_out = n_out if following is None else max(n_out, following.layer.n_in)
            notes.append(f"{layer.name}: the number of targets is not in the file; {n_out}, as its neighbours need, are taken")
        result.append(replace(layer, n_in=n_in, n_out=n_out))
    return result
