"""The weight matrices and kernels of a state dict as layers."""

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from netsci_nn.cli.layer import Layer
from netsci_nn.cli.state_dicts import check_filled_in, converting, described, listed
from netsci_nn.errors import CheckpointError, ConfigError

Tensors = Mapping[str, torch.Tensor]

PARTS = ("values", "src", "dst")  # of a `SparseLinear`
MAX_GUESSED = 2**24  # neurons of a layer whose file does not state how many there are
CONVOLUTIONS = (
    "convolutions are taken as graphs of their channels, grouped ones of those within a group: an edge where any entry of a "
    "kernel is one, its weight the L2 norm of the kernel: "
)
EMBEDDINGS = "left out by their names, as rows of an embedding are no neurons: "
OTHERS = "left out, since they are no matrices of weights: "


class Found(NamedTuple):
    """A layer as a tensor gives it.

    Attributes:
        layer: the layer.
        prefix: of a `SparseLinear` that of its tensors' names, where the sizes are the least that hold its edges; else None.
        is_complete: whether every pair is an edge although nobody has said which are.
    """

    layer: Layer
    prefix: str | None
    is_complete: bool = False


def layers_of(tensors: Tensors, threshold: float | None) -> tuple[list[Layer], list[str]]:
    """Turn a state dict into layers: every matrix `[n_out, n_in]` in order, every convolution, and every `SparseLinear`.

    An edge is a weight other than 0, or one with |w| > threshold; of a `SparseLinear`, every stored edge without a threshold.
    Without a threshold a layer that has no zero is complete, as long as others have a pattern.

    Returns:
        The layers, and what a reader has to know of how they were read.

    Raises:
        ConfigError: when no layer has a zero and there is no threshold, or the threshold is not a number >= 0.
        CheckpointError: when there is no such tensor, or one holds NaN or infinity.
    """
    if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
        raise ConfigError(f"threshold is {threshold}; it must be a finite number >= 0")
    found = list(_layers(tensors, threshold))
    if not found:
        content = listed(described(name, tensor) for name, tensor in tensors.items()) or "nothing"
        raise CheckpointError(f"the state dict has no matrix [n_out, n_in] of floating numbers; it holds {content}")
    notes = [_rule(threshold), *_complete(found, tensors), *_of_kinds(tensors)]
    return _with_sizes(found, tensors, notes), notes


def _rule(threshold: float | None) -> str:
    if threshold is None:
        return "edges are the weights other than 0"
    return f"edges are the weights with |w| > {threshold:g}"


def _complete(found: list[Found], tensors: Tensors) -> list[str]:
    """What to say of the layers without any zero, which is an error where there are no others: nothing is sparse then."""
    complete = [described(entry.layer.name, tensors[entry.layer.name]) for entry in found if entry.is_complete]
    if not complete:
        return []
    if len(complete) < len(found):
        return [f"dense layers among sparse ones, which have no zero, are taken as complete: {listed(complete)}"]
    if len(complete) == 1:
        name = found[0].layer.name
        start = f"tensor {name!r} {list(tensors[name].shape)} has no zero, so it has no pattern of its own"
    else:
        start = f"none of the {len(complete)} layers has a zero, so they have no patterns of their own ({listed(complete)})"
    raise ConfigError(f"{start}; state with --threshold T which weights are edges, |w| > T (0 takes all as complete)")


def _of_kinds(tensors: Tensors) -> list[str]:
    """What is read by a rule of its own, and what is not read at all."""
    shapes = {name: described(name, tensor) for name, tensor in tensors.items()}
    kinds = {
        CONVOLUTIONS: [shapes[name] for name, tensor in tensors.items() if _is_kernel(name, tensor)],
        EMBEDDINGS: [shapes[name] for name, tensor in tensors.items() if _is_embedding(name, tensor)],
        OTHERS: [shapes[name] for name, tensor in tensors.items() if _is_left_out(name, tensor)],
    }
    return [rule + listed(names) for rule, names in kinds.items() if names]


def _layers(tensors: Tensors, threshold: float | None) -> Iterator[Found]:
    """Every layer in order."""
    for name, tensor in tensors.items():
        prefix = name.removesuffix("values")
        with converting(name):
            if name.endswith("values") and _is_sparse_layer(prefix, tensors):
                yield Found(_of_edges(prefix, tensors, threshold), prefix)
            elif _is_matrix(name, tensor):
                yield _found(_of_matrix(name, tensor, threshold or 0.0), threshold)
            elif _is_kernel(name, tensor):
                yield _found(_of_kernels(name, tensor, threshold or 0.0), threshold)


def _found(layer: Layer, threshold: float | None) -> Found:
    return Found(layer, None, threshold is None and len(layer.src) == layer.n_in * layer.n_out)


def _is_matrix(name: str, tensor: torch.Tensor) -> bool:
    return _is_of_weights(tensor, 2) and not _is_embedding(name, tensor)


def _is_embedding(name: str, tensor: torch.Tensor) -> bool:
    return _is_of_weights(tensor, 2) and "embed" in name.lower()


def _is_kernel(name: str, tensor: torch.Tensor) -> bool:
    """Whether this is the weight `[n_out, n_in, height, width]` of a convolution, and no mask or table."""
    return _is_of_weights(tensor, 4) and name.endswith("weight")


def _is_of_weights(tensor: torch.Tensor, dim: int) -> bool:
    return tensor.dim() == dim and tensor.is_floating_point() and tensor.numel() > 0


def _is_sparse_layer(prefix: str, tensors: Tensors) -> bool:
    parts = [tensors.get(prefix + part) for part in PARTS]
    if any(part is None or part.dim() != 1 or part.layout != torch.strided for part in parts):
        return False
    values, src, dst = (part for part in parts if part is not None)
    is_whole = not (src.is_floating_point() or dst.is_floating_point() or src.is_complex() or dst.is_complex())
    return values.is_floating_point() and is_whole and len(values) == len(src) == len(dst)


def _is_left_out(name: str, tensor: torch.Tensor) -> bool:
    """Whether a reader might miss this tensor: biases, counters and other vectors they will not."""
    return tensor.dim() >= 2 and not (_is_of_weights(tensor, 2) or _is_kernel(name, tensor))


def _of_matrix(name: str, tensor: torch.Tensor, threshold: float) -> Layer:
    n_out, n_in = tensor.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says of some of its formats that they are new
        if tensor.layout == torch.sparse_coo and tensor.dense_dim():  # its values are rows
            check_filled_in(name, tensor)
            tensor = tensor.to_dense()
        wide = tensor.to(tensor.dtype if tensor.dtype == torch.float64 else torch.float32)
        entries = wide.to_sparse_coo().coalesce()
    dst, src = entries.indices().numpy()
    return _selected(Layer(name, n_in, n_out, src, dst, _numbers(name, entries.values())), tensor.dtype, threshold)


def _of_kernels(name: str, tensor: torch.Tensor, threshold: float) -> Layer:
    n_out, n_in = tensor.shape[:2]
    if tensor.layout != torch.strided:
        check_filled_in(name, tensor)
    kernels = _numbers(name, tensor.to_dense()).reshape(n_out, n_in, -1)
    dst, src = np.nonzero((np.abs(kernels) > _rounded(threshold, tensor.dtype)).any(axis=2))
    return Layer(name, n_in, n_out, src, dst, np.linalg.norm(kernels[dst, src], axis=1))


def _of_edges(prefix: str, tensors: Tensors, threshold: float | None) -> Layer:
    src, dst = (tensors[prefix + part].numpy() for part in ("src", "dst"))
    name = prefix.removesuffix(".") or "the layer"
    if len(src) and min(src.min(), dst.min()) < 0:
        raise CheckpointError(f"sparse layer {name!r} has an edge with a negative end; sources and targets count from 0")
    n_in, n_out = (int(ends.max()) + 1 if len(ends) else 1 for ends in (src, dst))
    if max(n_in, n_out) > MAX_GUESSED:
        raise CheckpointError(
            f"sparse layer {name!r} has an edge with the end {max(n_in, n_out) - 1}; without sizes in the file it must be "
            f"below {MAX_GUESSED:,}"
        )
    values = tensors[f"{prefix}values"]
    layer = Layer(name, n_in, n_out, src, dst, _numbers(name, values))
    return layer if threshold is None else _selected(layer, values.dtype, threshold)


def _numbers(name: str, tensor: torch.Tensor) -> npt.NDArray[np.float64]:
    values = tensor.detach().to(torch.float64).numpy()
    if not np.isfinite(values).all():
        raise CheckpointError(f"tensor {name!r} holds NaN or infinity; weights must be finite")
    return values


def _selected(layer: Layer, dtype: torch.dtype, threshold: float) -> Layer:
    """The edges with |w| > threshold."""
    assert layer.weights is not None
    kept = np.abs(layer.weights) > _rounded(threshold, dtype)
    return replace(layer, src=layer.src[kept], dst=layer.dst[kept], weights=layer.weights[kept])


def _rounded(threshold: float, dtype: torch.dtype) -> float:
    """The threshold as the weights are rounded: a float32 of 0.2 is not above 0.2."""
    return float(torch.tensor(threshold, dtype=dtype))


def _with_sizes(found: list[Found], tensors: Tensors, notes: list[str]) -> list[Layer]:
    """Give sparse layers the sizes that their biases and neighbours have, and say where that is a guess."""
    result: list[Layer] = []
    for (layer, prefix, _), following in zip(found, [*found[1:], None], strict=True):
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
        if bias is not None and bias.dim() == 1:
            if len(bias) < n_out:
                raise CheckpointError(
                    f"sparse layer {layer.name!r} has an edge to target {n_out - 1}; its bias has {len(bias)} numbers, "
                    "one per target"
                )
            n_out = len(bias)
        else:
            n_out = n_out if following is None else max(n_out, following.layer.n_in)
            notes.append(f"{layer.name}: the number of targets is not in the file; {n_out}, as its neighbours need, are taken")
        result.append(replace(layer, n_in=n_in, n_out=n_out))
    return result
