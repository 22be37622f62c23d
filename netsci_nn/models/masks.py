"""`from_masks`: linear layers get the edges of masks, in place: masks of any kind, and live ones of `nn.utils.prune`."""

import copy
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import nn
from torch.nn.utils.prune import BasePruningMethod

from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.layers import SparseLayer
from netsci_nn.layers.dense import dense_kind
from netsci_nn.models.summary import SparsifySummary, summarise
from netsci_nn.models.surgery import check_replaceable, replace_layers, sparse_twin
from netsci_nn.models.walk import LinearLayer, linear_layers, names_of, size_of
from netsci_nn.sampling import contains
from netsci_nn.topology import BipartiteTopology
from netsci_nn.topology.convert import check_pointers

logger = logging.getLogger(__name__)

MAX_LISTED = 8
WEIGHT_KEYS, BIAS_KEYS = ("", "weight", "_mask", "weight_mask"), ("bias", "bias_mask")
COMPRESSED: dict[torch.layout, tuple[Any, Any, Any]] = {
    torch.sparse_csr: (scipy.sparse.csr_array, torch.Tensor.crow_indices, torch.Tensor.col_indices),
    torch.sparse_csc: (scipy.sparse.csc_array, torch.Tensor.ccol_indices, torch.Tensor.row_indices),
    torch.sparse_bsr: (scipy.sparse.bsr_array, torch.Tensor.crow_indices, torch.Tensor.col_indices),
}
"""Of every compressed layout its class in scipy, where the pointers of its lines are, and where the indices within a line."""


class Restriction(NamedTuple):
    """What the masks of a layer leave: the edges, and which biases."""

    layer: LinearLayer
    topology: BipartiteTopology
    bias_mask: torch.Tensor | None


def from_masks(model: nn.Module, masks: Mapping[str, Any] | None = None, *, backend: str = "auto") -> SparsifySummary:
    """Replace the linear layers that have a mask by sparse ones: an edge for every one in the mask, with the layer's weight.

    The model is changed in place, at any depth, and only when all masks fit; layers without a mask stay as they are. A weight
    of 0 under a one is an edge. Biases, modes, dtypes, devices and what is trainable stay. A layer with live
    `torch.nn.utils.prune` masks gives its `weight_orig` and loses its masks and hooks; a mask that is given for it, or for a
    layer that is sparse already, can only take edges away (weights, births and `active` of the others stay). Where the bias
    has a mask it becomes 0, and is trained on like any other bias. Make optimisers afterwards: the parameters are new ones.

    Args:
        model: any module that has linear layers and is no `nn.Linear` itself.
        masks: by the dotted names of layers ("fc1") or of their parameters ("fc1.weight", "fc1.bias"), each with or without
            "_mask" at the end. A mask is `[n_out, n_in]`, like the weight (of a Hugging Face `Conv1D` `[n_in, n_out]`), and
            holds True and False or 1 and 0: a torch tensor on any device, dense, COO, CSR, CSC or BSR, a numpy array, nested
            lists, or a scipy sparse matrix; or it is a `BipartiteTopology`. Stored zeros are no edges; entries that are stored
            several times are summed up. None takes the live masks of `torch.nn.utils.prune`.
        backend: of every new layer (see `SparseLinear`).

    Returns:
        What became sparse, what stayed dense and why, and the density of the whole model (see `SparsifySummary`).

    Raises:
        ConfigError: when there are no masks, a name is of no linear layer or occurs twice, or a layer would lose something:
            a weight that it shares with another module, hooks, further parameters, a `forward` of its own; or when the model
            lies in `DistributedDataParallel` or the like already.
        TopologyError: when a mask is of another shape, holds anything but 0 and 1, or adds edges to a layer that has a
            pattern already.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 4))
        >>> from_masks(model, {"0": torch.tensor([[0, 1, 1], [1, 0, 0]])}).density
        0.7857142857142857
        >>> model
        Sequential(
          (0): SparseLinear(n_in=3, n_out=2, n_edges=3, density=0.5, bias=True, backend='auto')
          (1): ReLU()
          (2): Linear(in_features=2, out_features=4, bias=True)
        )
    """
    if not isinstance(model, nn.Module) or dense_kind(model) is not None:
        raise ConfigError(
            f"model is a {type(model).__name__}; it must be a module that contains linear layers "
            "(SparseLinear.from_dense makes a sparse layer of a single one)"
        )
    chosen = _restrictions(model, _live_masks(model) if masks is None else masks)
    plain = {name: _unpruned(entry.layer) for name, entry in chosen.items() if not isinstance(entry.layer, SparseLayer)}
    check_replaceable(model, plain)
    devices = {layer.weight.device for layer in plain.values() if layer.weight.device.type == "cuda"}
    replacement: dict[nn.Module, nn.Module] = {}
    with torch.random.fork_rng(devices=devices):
        for name, linear in plain.items():
            replacement[chosen[name].layer] = sparse_twin(linear, chosen[name].topology, backend)
    for layer, topology, _ in chosen.values():
        if isinstance(layer, SparseLayer):
            _restrict(layer, topology)
    for name, (layer, _, bias_mask) in chosen.items():
        if bias_mask is not None:
            _clear_biases(name, replacement.get(layer, layer), bias_mask)
    others = [layer for layer in linear_layers(model).values() if layer not in replacement]
    left: dict[nn.Module, str] = dict.fromkeys(others, "it has no mask")
    replace_layers(model, replacement)
    kinds = {twin: type(layer).__name__ for layer, twin in replacement.items()}
    topologies = [entry.topology for entry in chosen.values()]
    asked = sum(t.n_edges for t in topologies) / sum(t.n_in * t.n_out for t in topologies)
    return summarise(model, kinds, left, asked)


def _live_masks(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the masks that `torch.nn.utils.prune` has put on a model by the names of their buffers."""
    masks = {
        f"{name}.{part}_mask".removeprefix("."): getattr(module, f"{part}_mask")
        for name, module in model.named_modules()
        for part in _pruned_parts(module)
    }
    if not masks:
        raise ConfigError(
            "model has no live masks of torch.nn.utils.prune; pass masks={name: mask}, by the names of layers or parameters"
        )
    return masks


def _pruned_parts(module: nn.Module) -> list[str]:
    """Return the names of the parameters on which there is a live mask."""
    return [hook._tensor_name for hook in module._forward_pre_hooks.values() if isinstance(hook, BasePruningMethod)]


def _unpruned(layer: nn.Linear) -> nn.Linear:
    """Return the layer without its live masks and their hooks, as a shallow copy with the same parameters."""
    parts = _pruned_parts(layer)
    plain = copy.copy(layer)
    hooks = layer._forward_pre_hooks.items()
    plain._forward_pre_hooks = OrderedDict((key, hook) for key, hook in hooks if not isinstance(hook, BasePruningMethod))
    plain._buffers = {name: buffer for name, buffer in layer._buffers.items() if name.removesuffix("_mask") not in parts}
    plain._parameters = dict(layer._parameters)
    for part in parts:
        del plain.__dict__[part]  # the product with the mask
        plain._parameters[part] = plain._parameters.pop(f"{part}_orig")
    return plain


def _restrictions(model: nn.Module, masks: Mapping[str, Any]) -> dict[str, Restriction]:
    """Return what the masks leave of every layer that has one, by its first name, after checking that they fit."""
    if not isinstance(masks, Mapping) or not masks:
        kind = "empty" if isinstance(masks, Mapping) else f"a {type(masks).__name__}"
        raise ConfigError(f"masks is {kind}; it must map names of layers or parameters to masks, or be None for live masks")
    layers = linear_layers(model, attention=False)
    places = _places(model, layers)
    given: dict[tuple[str, str], str] = {}
    for key in masks:
        if key not in places:
            raise ConfigError(
                f"masks names {key!r}{_kind_of(model, key)}; the linear layers of the model are {_listed(layers)}"
            )
        if places[key] in given:
            name, part = places[key]
            raise ConfigError(f"masks names the {part} of layer {name!r} twice, as {given[name, part]!r} and as {key!r}")
        given[places[key]] = key
    named = dict.fromkeys(name for name, _ in given)
    alone = next((name for name in named if (name, "weight") not in given), None)
    if alone is not None:
        raise ConfigError(f"masks has one for the bias of layer {alone!r} and none for its weight, which would stay dense")
    result = {}
    for name in named:
        layer, weight_key, bias_key = layers[name], given[name, "weight"], given.get((name, "bias"))
        topology = _topology(weight_key, masks[weight_key], layer)
        _check_subset(name, layer, topology)
        bias_masks = [] if bias_key is None else [_bias_mask(bias_key, masks[bias_key], layer)]
        if "bias" in _pruned_parts(layer):
            bias_masks.append(_bias_mask(f"{name}.bias_mask", layer.bias_mask, layer))
        result[name] = Restriction(layer, topology, torch.stack(bias_masks).all(dim=0) if bias_masks else None)
    return result


def _places(model: nn.Module, layers: Mapping[str, LinearLayer]) -> dict[str, tuple[str, str]]:
    """Return the layer (by its first name) and the part that every possible name of a mask stands for."""
    names = names_of(model)
    places: dict[str, tuple[str, str]] = {}
    for keys, part in ((WEIGHT_KEYS, "weight"), (BIAS_KEYS, "bias")):
        for key in keys:  # names of layers come before other readings of the same text
            for first, layer in layers.items():
                for name in names[layer]:
                    joint = "." if name and key and not key.startswith("_") else ""
                    places.setdefault(f"{name}{joint}{key}", (first, part))
    return places


def _kind_of(model: nn.Module, key: Any) -> str:
    """Say what a name stands for that is of no linear layer."""
    name = key.removesuffix("_mask") if isinstance(key, str) else ""
    modules = dict(model.named_modules(remove_duplicate=False))
    module = modules.get(name) or modules.get(name.rpartition(".")[0])
    if module is None or module is model:
        return ""
    if isinstance(module, nn.Linear | nn.MultiheadAttention):
        return ", a part of attention, which reads its weight past the layer"
    return f", a part of a {type(module).__name__}"


def _listed(names: Mapping[str, Any]) -> str:
    shown = [repr(name) for name in names]
    return (", ".join(shown[:MAX_LISTED]) or "none") + (
        f" and {len(shown) - MAX_LISTED} more" if len(shown) > MAX_LISTED else ""
    )


def _topology(key: str, mask: Any, layer: LinearLayer) -> BipartiteTopology:
    """Return the edges of a mask after checking that it is one for this layer."""
    n_in, n_out = size_of(layer)
    entries = _entries(key, mask)
    is_sources_first = dense_kind(layer) not in (None, nn.Linear) and not isinstance(mask, BipartiteTopology)
    shape, words = ((n_in, n_out), "[n_in, n_out]") if is_sources_first else ((n_out, n_in), "[n_out, n_in]")
    if entries.shape != shape:
        hint = ", and this looks like its transpose (pass mask.T)" if entries.shape == shape[::-1] else ""
        raise TopologyError(
            f"the mask {key!r} has shape {list(entries.shape)}; it must be {words} = {list(shape)}, like the weight{hint}"
        )
    is_edge = _ones(key, entries.data, lambda k: f"[{entries.row[k]}, {entries.col[k]}]")
    dst, src = (entries.col, entries.row) if is_sources_first else (entries.row, entries.col)
    return BipartiteTopology.from_keys(dst[is_edge].astype(np.int64) * n_in + src[is_edge], n_in, n_out)


def _bias_mask(key: str, mask: Any, layer: LinearLayer) -> torch.Tensor:
    """Return which biases stay, bool `[n_out]`, after checking that it is a mask for this layer."""
    n_out = size_of(layer)[1]
    has_bias = any(name in dict(layer.named_parameters()) for name in ("bias", "bias_orig"))
    if not has_bias:
        raise ConfigError(f"masks has {key!r}, and the layer has no bias")
    values = np.asarray(mask.detach().cpu().float() if isinstance(mask, torch.Tensor) else mask)
    if values.shape != (n_out,):
        raise TopologyError(f"the mask {key!r} has shape {list(values.shape)}; it must be [n_out] = {[n_out]}")
    return torch.from_numpy(_ones(key, values, lambda k: f"[{k}]"))


def _ones(key: str, values: Any, place: Any) -> Any:
    """Return where values are 1 after checking that the others are 0."""
    if values.dtype.kind not in "biuf":
        raise TopologyError(f"the mask {key!r} has dtype {values.dtype}; it must be boolean, or integers or floats 0 and 1")
    odd = np.flatnonzero((values != 0) & (values != 1))
    if len(odd):
        raise TopologyError(
            f"the mask {key!r} holds {values[odd[0]]:g} at {place(odd[0])}; it must hold 0 and 1 only (of a soft mask, pass "
            "which are edges, such as mask > 0.5)"
        )
    return values == 1


def _entries(key: str, mask: Any) -> Any:
    """Return the stored entries of a mask of any kind as a scipy COO array, each place once."""
    try:
        entries = _as_coo(mask)
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise TopologyError(f"the mask {key!r} cannot be read as a matrix [n_out, n_in]: {reason}") from error
    entries.sum_duplicates()
    return entries


def _as_coo(mask: Any) -> Any:
    if isinstance(mask, BipartiteTopology):
        return mask.to_scipy().tocoo()
    if isinstance(mask, torch.Tensor):
        mask = _without_torch(mask)
    if not scipy.sparse.issparse(mask):
        array: Any = np.asarray(mask)
        if array.ndim != 2 or array.dtype.kind not in "biufc":
            raise ValueError(f"it is {array.dtype} of shape {list(array.shape)}")
        return scipy.sparse.coo_array(array.astype(np.float32) if array.dtype == np.float16 else array)  # unknown to scipy
    check_pointers(mask)
    if hasattr(mask, "check_format"):
        mask.check_format(full_check=True)  # before compiled code follows its indices
    sparse: Any = mask
    return sparse.tocoo(copy=True)


def _without_torch(mask: torch.Tensor) -> Any:
    """Return a tensor as a numpy array, or, if its layout is sparse, as a scipy array."""
    if mask.is_meta or mask.is_nested or mask.dim() != 2:
        kind = "meta" if mask.is_meta else "nested" if mask.is_nested else f"{mask.dim()}-dimensional"
        raise ValueError(f"it is a {kind} tensor")
    mask = mask.detach().cpu()
    shape = tuple(mask.shape)
    if mask.layout == torch.strided:
        return _numbers(mask)
    if mask.layout == torch.sparse_coo and mask.dense_dim() == 0:
        return scipy.sparse.coo_array((_numbers(mask._values()), tuple(mask._indices().numpy())), shape=shape)
    if mask.layout in COMPRESSED:
        kind, pointers, indices = COMPRESSED[mask.layout]
        return kind((_numbers(mask.values()), indices(mask).numpy(), pointers(mask).numpy()), shape=shape)
    raise ValueError(f"it is of layout {mask.layout}{', of rows' if mask.layout == torch.sparse_coo else ''}")


def _numbers(tensor: torch.Tensor) -> Any:
    is_known = tensor.dtype in (torch.float32, torch.float64) or not tensor.is_floating_point()
    return (tensor if is_known else tensor.float()).numpy()  # numpy has no bfloat16


def _check_subset(name: str, layer: LinearLayer, topology: BipartiteTopology) -> None:
    """Raise a TopologyError if the layer has a pattern already and the mask has an edge beside it."""
    if isinstance(layer, SparseLayer) and _pruned_parts(layer):
        raise ConfigError(
            f"layer {name!r} is sparse and has live masks on its edges; end them first with nn.utils.prune.remove"
        )
    if isinstance(layer, SparseLayer):
        pattern = layer.topology
    elif "weight" in _pruned_parts(layer):
        pattern = _topology(f"{name}.weight_mask", layer.weight_mask, layer)
    else:
        return
    has = contains(pattern.keys(), topology.keys())
    if not has.all():
        edge = int(has.argmin())
        raise TopologyError(
            f"the mask of layer {name!r} has the edge ({topology.src[edge]}, {topology.dst[edge]}), which the layer does not "
            "have; a mask can only take edges away from a layer that is sparse or pruned already"
        )


def _restrict(layer: SparseLayer, topology: BipartiteTopology) -> None:
    """Take the edges that are not in `topology` from a sparse layer."""
    kept = torch.from_numpy(np.searchsorted(layer.topology.keys(), topology.keys())).to(layer.weight.device)
    active = layer.active
    layer.set_structure(topology, layer.weight.detach()[kept], layer.birth[kept], None if active is None else active[kept])


def _clear_biases(name: str, layer: Any, mask: torch.Tensor) -> None:
    if mask.all():
        return
    with torch.no_grad():
        layer.bias.masked_fill_(~mask.to(layer.bias.device), 0)
    logger.warning("%s: %d biases under a mask are 0 now, and are trained on like the others", name, int((~mask).sum()))
