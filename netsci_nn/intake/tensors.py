"""The matrices, kernels and sparse layers of a state dict as layers."""

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from netsci_nn.errors import CheckpointError, ConfigError, TopologyError
from netsci_nn.intake.state_dict import check_filled_in, converting, described, listed
from netsci_nn.intake.values import Layer
from netsci_nn.topology import BipartiteTopology

Tensors = Mapping[str, torch.Tensor]

MAX_GUESSED = 2**24  # neurons of a layer whose file does not state how many there are
CONVOLUTIONS = (
    "convolutions are taken as graphs of their channels, grouped ones of those within a group: an edge where any entry of a "
    "kernel is one, its weight the L2 norm of the kernel: "
)
KERNELS = "sparse layers with a kernel on every edge, whose weight is the L2 norm of the kernel: "
EMBEDDINGS = "left out by their names, as rows of an embedding are no neurons: "
OTHERS = "left out, since they are no matrices of weights: "


class Found(NamedTuple):
    """A layer as its tensors give it.

    Attributes:
        layer: the layer.
        is_complete: whether every pair is an edge although nobody has said which are.
        prefix: of the names of a sparse layer's tensors if its sizes are the least that hold its edges; else None.
    """

    layer: Layer
    is_complete: bool = False
    prefix: str | None = None


def layers_of(tensors: Tensors, threshold: float | None) -> tuple[list[Layer], list[str]]:
    """Turn a state dict into layers: every matrix `[n_out, n_in]` in order, every convolution, and every sparse layer.

    An edge is a weight other than 0, or one with |w| > threshold; of a sparse layer, every stored edge without a threshold.
    Without a threshold a layer that has no zero is complete, as long as others have a pattern.

    Returns:
        The layers, and sentences that say how they were read.

    Raises:
        ConfigError: when no layer has a zero and there is no threshold, or the threshold is not a number >= 0.
        CheckpointError: when there is no such tensor, one holds NaN or infinity, or the edges of a sparse layer are none.
    """
    if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
        raise ConfigError(f"threshold is {threshold}; it must be a finite number >= 0")
    found = list(_layers(tensors, threshold))
    if not found:
        content = listed(described(name, tensor) for name, tensor in tensors.items()) or "nothing"
        raise CheckpointError(f"the state dict has no matrix [n_out, n_in] of floating numbers; it holds {content}")
    rule = "edges are the weights " + ("other than 0" if threshold is None else f"with |w| > {threshold:g}")
    notes = [rule, *_complete(found, tensors), *_notes_on_kinds(tensors)]
    return _with_sizes(found, tensors, notes), notes


def _complete(found: list[Found], tensors: Tensors) -> list[str]:
    """What to say of the layers without any zero; if there are no others it is an error, since nothing is sparse then."""
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


def _notes_on_kinds(tensors: Tensors) -> list[str]:
    """What is read by a rule of its own, and what is not read at all, though a reader might miss it: no biases or counters."""
    kinds: dict[str, list[str]] = {CONVOLUTIONS: [], KERNELS: [], EMBEDDINGS: [], OTHERS: []}
    for name, tensor in tensors.items():
        if is_of_sparse_layer(name, tensors):
            kind = KERNELS if tensor.dim() > 1 else None
        elif _is_kernel(name, tensor):
            kind = CONVOLUTIONS
        elif _is_embedding(name, tensor):
            kind = EMBEDDINGS
        else:
            kind = OTHERS if tensor.dim() >= 2 and not _is_of_weights(tensor, 2) else None
        if kind is not None:
            kinds[kind].append(described(name, tensor))
    return [rule + listed(names) for rule, names in kinds.items() if names]


def _layers(tensors: Tensors, threshold: float | None) -> Iterator[Found]:
    for name, tensor in tensors.items():
        with converting(name):
            if is_of_sparse_layer(name, tensors):
                yield _of_sparse_layer(name, tensors, threshold)
            elif _is_of_weights(tensor, 2) and not _is_embedding(name, tensor):
                yield _of_matrix(name, tensor, threshold)
            elif _is_kernel(name, tensor):
                yield _of_kernels(name, tensor, threshold)


def _is_of_weights(tensor: torch.Tensor, dim: int) -> bool:
    return tensor.dim() == dim and tensor.is_floating_point() and tensor.numel() > 0


def _is_embedding(name: str, tensor: torch.Tensor) -> bool:
    return _is_of_weights(tensor, 2) and "embed" in name.lower()


def _is_kernel(name: str, tensor: torch.Tensor) -> bool:
    """Whether this is the weight `[n_out, n_in, height, width]` of a convolution, and no mask or table."""
    return _is_of_weights(tensor, 4) and name.endswith("weight")


def is_of_sparse_layer(name: str, tensors: Tensors) -> bool:
    """Whether these are the weights of a sparse layer: `weight` beside `src`, `dst`, `sizes`; in 0.1.0 `values`, no sizes."""
    prefix, _, ending = name.rpartition(".")
    others = [tensors.get(f"{prefix}.{part}" if prefix else part) for part in ("src", "dst", "sizes")]
    if ending == "weight":
        return all(other is not None for other in others)
    if ending != "values" or tensors[name].dim() != 1 or not tensors[name].is_floating_point():
        return False
    # Strangers may call something else so.
    return all(end is not None and _is_list_of_integers(end) and len(end) == len(tensors[name]) for end in others[:2])


def _is_list_of_integers(tensor: torch.Tensor) -> bool:
    is_list = tensor.dim() == 1 and tensor.layout == torch.strided
    return is_list and not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _of_sparse_layer(name: str, tensors: Tensors, threshold: float | None) -> Found:
    """The edges that a sparse layer stores; those that are not `active` have weight 0."""
    prefix = name[: -len("weight")]  # "values" is as long
    label = prefix.removesuffix(".") or "the layer"
    parts = {part: tensors[prefix + part] for part in ("src", "dst", "sizes", "active", "bias") if prefix + part in tensors}
    weight = tensors[name]
    try:
        topology = stored_topology(weight, parts)
    except TopologyError as error:
        raise CheckpointError(f"sparse layer {label!r}: {error}") from error
    kernels = _numbers(name, weight).reshape(topology.n_edges, math.prod(weight.shape[1:]))
    if "active" in parts:
        kernels = kernels * parts["active"].numpy()[:, None]
    weights = kernels[:, 0] if weight.dim() == 1 else np.linalg.norm(kernels, axis=1)
    src, dst = topology.src, topology.dst
    if threshold is not None:
        kept = np.flatnonzero((np.abs(kernels) > _rounded(threshold, weight.dtype)).any(axis=1))
        src, dst, weights = src[kept], dst[kept], weights[kept]
    layer = Layer(label, topology.n_in, topology.n_out, src, dst, weights)
    return Found(layer, prefix=None if "sizes" in parts else prefix)


def stored_topology(weight: torch.Tensor, parts: Tensors) -> BipartiteTopology:
    """The topology of a sparse layer after checking all its tensors, of the least size if the file does not state its size."""
    src, dst, sizes, active, bias = (parts.get(part) for part in ("src", "dst", "sizes", "active", "bias"))
    assert src is not None
    assert dst is not None
    for part, ends in (("src", src), ("dst", dst)):
        if not _is_list_of_integers(ends):
            raise TopologyError(f"{part} is a tensor {list(ends.shape)} of {ends.dtype}; it must be integers [n_edges]")
    if not weight.is_floating_point() or weight.layout != torch.strided or weight.shape[:1] != src.shape:
        raise TopologyError(
            f"its weights are {list(weight.shape)} of {weight.dtype}; they must be dense floats [{len(src)}, ...]"
        )
    if active is not None and (active.dtype != torch.bool or active.layout != torch.strided or active.shape != src.shape):
        raise TopologyError(f"active is {list(active.shape)} of {active.dtype}; it must be booleans [{len(src)}]")
    if sizes is None:
        n_in, n_out = (int(ends.max().clamp(min=0)) + 1 if len(ends) else 1 for ends in (src, dst))
        if max(n_in, n_out) > MAX_GUESSED:
            raise TopologyError(
                f"it has an edge with the end {max(n_in, n_out) - 1}; without sizes in the file it must be below "
                f"{MAX_GUESSED:,}"
            )
    elif _is_list_of_integers(sizes) and len(sizes) == 2:
        n_in, n_out = sizes.tolist()
    else:
        raise TopologyError(f"sizes is {list(sizes.shape)} of {sizes.dtype}; it must be two integers, n_in and n_out")
    if bias is not None and (bias.dim() != 1 or len(bias) < n_out or (sizes is not None and len(bias) > n_out)):
        raise TopologyError(f"bias is {list(bias.shape)}; with {n_out} targets it must be [{n_out}]")
    return BipartiteTopology(n_in, n_out, src.numpy(), dst.numpy())


def _of_matrix(name: str, tensor: torch.Tensor, threshold: float | None) -> Found:
    n_out, n_in = tensor.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says of some of its formats that they are new
        if tensor.layout == torch.sparse_coo and tensor.dense_dim():  # its values are rows
            check_filled_in(name, tensor)
            tensor = tensor.to_dense()
        wide = tensor.to(tensor.dtype if tensor.dtype == torch.float64 else torch.float32)
        entries = wide.to_sparse_coo().coalesce()
    dst, src = entries.indices().numpy()
    weights = _numbers(name, entries.values())
    kept = np.abs(weights) > _rounded(threshold or 0.0, tensor.dtype)
    layer = Layer(name, n_in, n_out, src[kept], dst[kept], weights[kept])
    return Found(layer, is_complete=threshold is None and len(layer.src) == n_in * n_out)


def _of_kernels(name: str, tensor: torch.Tensor, threshold: float | None) -> Found:
    n_out, n_in = tensor.shape[:2]
    if tensor.layout != torch.strided:
        check_filled_in(name, tensor)
    kernels = _numbers(name, tensor.to_dense()).reshape(n_out, n_in, -1)
    dst, src = np.nonzero((np.abs(kernels) > _rounded(threshold or 0.0, tensor.dtype)).any(axis=2))
    layer = Layer(name, n_in, n_out, src, dst, np.linalg.norm(kernels[dst, src], axis=1))
    return Found(layer, is_complete=threshold is None and len(src) == n_in * n_out)


def _numbers(name: str, tensor: torch.Tensor) -> npt.NDArray[np.float64]:
    values = tensor.detach().to(torch.float64).numpy()
    if not np.isfinite(values).all():
        raise CheckpointError(f"tensor {name!r} holds NaN or infinity; weights must be finite")
    return values


def _rounded(threshold: float, dtype: torch.dtype) -> float:
    """The threshold as the weights are rounded: a float32 of 0.2 is not above 0.2."""
    return float(torch.tensor(threshold, dtype=dtype))


def _with_sizes(found: list[Found], tensors: Tensors, notes: list[str]) -> list[Layer]:
    """Give sparse layers without sizes those of their biases and neighbours, and say if that is a guess."""
    result: list[Layer] = []
    for (layer, _, prefix), following in zip(found, [*found[1:], None], strict=True):
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
        if bias is not None:
            n_out = len(bias)
        else:
            n_out = n_out if following is None else max(n_out, following.layer.n_in)
            notes.append(f"{layer.name}: the number of targets is not in the file; {n_out}, as its neighbours need, are taken")
        result.append(replace(layer, n_in=n_in, n_out=n_out))
    return result
