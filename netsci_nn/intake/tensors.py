"""The matrices, kernels and sparse layers of a state dict as layers."""

import math
import re
import warnings
from collections.abc import Mapping
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
Sizes = Mapping[str, tuple[int, int]]

MAX_ASSUMED = 2**24  # neurons of a layer whose file does not state how many there are
CONVOLUTIONS = (
    "convolutions are taken as graphs of their channels, grouped ones of those within a group: an edge where any entry of a "
    "kernel is one, its weight the L2 norm of the kernel: "
)
KERNELS = "sparse layers with a kernel on every edge, whose weight is the L2 norm of the kernel: "
EMBEDDINGS = "left out by their names, as rows of an embedding are no neurons: "
LEFT_OUT = "a layer is left out, since it is damaged: {}"
OTHERS = "left out, since they are no matrices of weights: "
BIAS_TELLS = "weights taken as [n_in, n_out], since they have as many biases as that gives targets: "
NAME_TELLS = (
    "square weights, which their biases cannot tell apart, taken as [n_in, n_out] for their names, under which GPT-2 in "
    "transformers keeps them so: "
)
UNKNOWN = (
    "the file does not state all sizes: {}; these numbers are assumed, and what depends on neurons beyond them (density, "
    "neurons without edges, the random graphs) is not known; state the sizes with --sizes NAME=INxOUT"
)
PARTS = ("src", "dst", "sizes", "active", "bias")
"""Of a sparse layer, beside its weights."""
TELLS = {"n_in": ("sizes",), "n_out": ("sizes", "bias")}
"""Which parts of a sparse layer tell a size."""
CONV1D = re.compile(r"(^|\.)(c_attn|c_proj|c_fc|q_attn)\.weight$")
"""Names of weights `[n_in, n_out]` in GPT-2 of transformers. Others give them to linear layers."""


class Found(NamedTuple):
    """A layer as its tensors give it.

    Attributes:
        layer: the layer.
        is_complete: whether every pair is an edge although nobody has said which are.
        unknown: which of `n_in` and `n_out` are the least that hold its edges, since the file does not state them.
        turned: why its weights are taken as `[n_in, n_out]`; None if they are `[n_out, n_in]`.
    """

    layer: Layer
    is_complete: bool = False
    unknown: tuple[str, ...] = ()
    turned: str | None = None


def layers_of(
    tensors: Tensors, threshold: float | None, sizes: Sizes | None = None, is_chain: bool = False
) -> tuple[list[Layer], list[str], bool]:
    """Turn a state dict into layers: every matrix `[n_out, n_in]` in order, every convolution, and every sparse layer.

    An edge is a weight other than 0, or one with |w| > threshold; of a sparse layer, every stored edge without a threshold.
    Without a threshold a layer that has no zero is complete, as long as others have a pattern. A weight is `[n_in, n_out]` if
    its bias is as long as its second side and not as its first, or if it is square and called as in GPT-2.

    Args:
        tensors: by name, in the order of the layers.
        threshold: a finite number >= 0, or None.
        sizes: (n_in, n_out) by the names of sparse layers that do not state theirs.
        is_chain: whether the targets of every layer are the sources of the next.

    Layers that are damaged are left out, as long as there are others.

    Returns:
        The layers, sentences that say how they were read, and whether they are a chain, with nothing left out of it.

    Raises:
        ConfigError: when no layer has a zero and there is no threshold, the threshold is not a number >= 0, or sizes are
            given for anything but a sparse layer that does not state them.
        CheckpointError: when there is no such tensor, or each holds NaN or infinity or is a sparse layer without valid edges.
    """
    if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
        raise ConfigError(f"threshold is {threshold}; it must be a finite number >= 0")
    sizes = sizes or {}
    _check_names(sizes, tensors)
    found, damaged = _layers(tensors, threshold, sizes)
    if damaged and not found:
        raise CheckpointError(damaged[0])
    if not found:
        content = listed(described(name, tensor) for name, tensor in tensors.items()) or "nothing"
        raise CheckpointError(f"the state dict has no matrix [n_out, n_in] of floating numbers; it holds {content}")
    rule = "edges are the weights " + ("other than 0" if threshold is None else f"with |w| > {threshold:g}")
    if is_chain and not damaged:
        found = _chained(found)
    notes = [rule, *_complete(found, tensors), *_notes_on_kinds(tensors), *_notes_on_turned(found, tensors), *_unknown(found)]
    return [entry.layer for entry in found], [*map(LEFT_OUT.format, damaged), *notes], is_chain and not damaged


def _check_names(sizes: Sizes, tensors: Tensors) -> None:
    """Raise a ConfigError unless every name is that of a sparse layer whose sizes are not in the file."""
    layers = [name for name in tensors if is_of_sparse_layer(name, tensors)]
    allowed = [_label(name) for name in layers if f"{_prefix(name)}sizes" not in tensors]
    for name in sizes:
        if name not in allowed:
            raise ConfigError(
                f"sizes are given for {name!r}; they can be given for sparse layers whose sizes are not in the file: "
                f"{listed(allowed) or 'there are none'}"
            )


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


def _notes_on_turned(found: list[Found], tensors: Tensors) -> list[str]:
    """Which weights are taken as `[n_in, n_out]`, and why."""
    names = {why: [entry.layer.name for entry in found if entry.turned == why] for why in (BIAS_TELLS, NAME_TELLS)}
    return [why + listed(described(name, tensors[name]) for name in turned) for why, turned in names.items() if turned]


def _unknown(found: list[Found]) -> list[str]:
    """What to say of the layers whose sizes are not known."""
    texts = []
    for layer, _, unknown, _ in found:
        least = {"n_in": f"{layer.n_in} sources", "n_out": f"{layer.n_out} targets"}
        if unknown:
            texts.append(f"{layer.name} has at least {' and at least '.join(least[side] for side in unknown)}")
    return [UNKNOWN.format(listed(texts))] if texts else []


def _chained(found: list[Found]) -> list[Found]:
    """Of layers in a chain, the targets of one are the sources of the next: what the file states of one side holds for both."""
    found = list(found)
    for place in range(1, len(found)):
        before, after = found[place - 1 : place + 1]
        n, is_known = max(before.layer.n_out, after.layer.n_in), "n_out" not in before.unknown or "n_in" not in after.unknown
        found[place - 1 : place + 1] = [_sized(before, "n_out", n, is_known), _sized(after, "n_in", n, is_known)]
    return found


def _sized(entry: Found, side: str, n: int, is_known: bool) -> Found:
    if side not in entry.unknown:
        return entry
    layer = replace(entry.layer, n_in=n) if side == "n_in" else replace(entry.layer, n_out=n)
    return entry._replace(layer=layer, unknown=tuple(other for other in entry.unknown if other != side or not is_known))


def _layers(tensors: Tensors, threshold: float | None, sizes: Sizes) -> tuple[list[Found], list[str]]:
    """Return the layers, and what is wrong with those that are damaged."""
    found, damaged = [], []
    for name, tensor in tensors.items():
        try:
            with converting(name):
                if is_of_sparse_layer(name, tensors):
                    found.append(_of_sparse_layer(name, tensors, threshold, sizes))
                elif _is_of_weights(tensor, 2) and not _is_embedding(name, tensor):
                    found.append(_turned(_of_matrix(name, tensor, threshold), tensors))
                elif _is_kernel(name, tensor):
                    found.append(_turned(_of_kernels(name, tensor, threshold), tensors))
        except CheckpointError as error:
            if _label(name) in sizes:  # then the user may be wrong, and not the file
                raise
            damaged.append(str(error))
    return found, damaged


def _turned(found: Found, tensors: Tensors) -> Found:
    """Turn a layer whose weight is `[n_in, n_out]`: there are as many biases as targets."""
    layer, n_biases = found.layer, _n_biases(found.layer.name, tensors)
    if n_biases != layer.n_in:
        return found
    if layer.n_in != layer.n_out:
        why = BIAS_TELLS
    elif CONV1D.search(layer.name) and not _are_linear(tensors):
        why = NAME_TELLS
    else:
        return found
    turned = replace(layer, n_in=layer.n_out, n_out=layer.n_in, src=layer.dst, dst=layer.src)
    return found._replace(layer=turned, turned=why)


def _n_biases(weight: str, tensors: Tensors) -> int | None:
    """The length of the bias beside a weight, if there is one."""
    bias = tensors.get(weight.removesuffix("weight") + "bias") if weight.endswith("weight") else None
    return len(bias) if bias is not None and bias.dim() == 1 else None


def _are_linear(tensors: Tensors) -> bool:
    """Whether a layer with a name of GPT-2 that is not square has as many biases as a linear layer."""
    named = [(name, tensor.shape) for name, tensor in tensors.items() if CONV1D.search(name) and tensor.dim() == 2]
    return any(shape[0] != shape[1] and _n_biases(name, tensors) == shape[0] for name, shape in named)


def _is_of_weights(tensor: torch.Tensor, dim: int) -> bool:
    return tensor.dim() == dim and tensor.is_floating_point() and tensor.numel() > 0


def _is_embedding(name: str, tensor: torch.Tensor) -> bool:
    return _is_of_weights(tensor, 2) and "embed" in name.lower()


def _is_kernel(name: str, tensor: torch.Tensor) -> bool:
    """Whether this is the weight `[n_out, n_in, length]` or `[n_out, n_in, height, width]` of a convolution, and no table."""
    return (_is_of_weights(tensor, 3) or _is_of_weights(tensor, 4)) and name.endswith("weight")


def is_of_sparse_layer(name: str, tensors: Tensors) -> bool:
    """Whether these are the weights of a sparse layer: `weight` (in 0.1.0 `values`) beside `src`, `dst` and perhaps `sizes`."""
    prefix, tensor = _prefix(name), tensors[name]
    if prefix is None:
        return False
    src, dst, sizes = (tensors.get(prefix + part) for part in ("src", "dst", "sizes"))
    if src is None or dst is None:
        return False
    # Without sizes, strangers may call something else so.
    are_edges = _is_list_of_integers(src) and _is_list_of_integers(dst) and src.shape == dst.shape == tensor.shape[:1]
    return sizes is not None or (are_edges and tensor.is_floating_point())


def _prefix(name: str) -> str | None:
    """What the tensors of a sparse layer begin with whose weights have this name, if they can be those of one."""
    prefix, dot, ending = name.rpartition(".")
    return prefix + dot if ending in ("weight", "values") else None


def _label(name: str) -> str:
    return (_prefix(name) or "").removesuffix(".") or "the layer"


def _is_list_of_integers(tensor: torch.Tensor) -> bool:
    is_list = tensor.dim() == 1 and tensor.layout == torch.strided
    return is_list and not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _of_sparse_layer(name: str, tensors: Tensors, threshold: float | None, sizes: Sizes) -> Found:
    """The edges that a sparse layer stores; those that are not `active` have weight 0."""
    prefix, label = _prefix(name), _label(name)
    parts = {part: tensors[f"{prefix}{part}"] for part in PARTS if f"{prefix}{part}" in tensors}
    if label in sizes:
        parts["sizes"] = torch.tensor(sizes[label])
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
    return Found(layer, unknown=tuple(side for side, part in TELLS.items() if parts.keys().isdisjoint(part)))


def stored_topology(weight: torch.Tensor, parts: Tensors) -> BipartiteTopology:
    """The topology of a sparse layer after checking all its tensors, of the least sizes that its file allows."""
    src, dst, sizes, active, bias = (parts.get(part) for part in PARTS)
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
        if max(n_in, n_out) > MAX_ASSUMED:
            raise TopologyError(
                f"it has an edge with the end {max(n_in, n_out) - 1}; without sizes in the file it must be below "
                f"{MAX_ASSUMED:,}"
            )
        if bias is not None and bias.dim() == 1:
            n_out = max(n_out, len(bias))
    elif _is_list_of_integers(sizes) and len(sizes) == 2:
        n_in, n_out = sizes.tolist()
    else:
        raise TopologyError(f"sizes is {list(sizes.shape)} of {sizes.dtype}; it must be two integers, n_in and n_out")
    if bias is not None and bias.shape != (n_out,):
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
