"""`from_masks`: linear layers and convolutions get the edges of masks, in place; also of live ones of `nn.utils.prune`."""

import copy
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.prune import BasePruningMethod

from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.layers import SparseLayer
from netsci_nn.layers.conv import patch_graph
from netsci_nn.layers.dense import dense_kind
from netsci_nn.models.mask_values import edges_of_mask, ones_of
from netsci_nn.models.summary import SparsifySummary, summarise
from netsci_nn.models.surgery import check_replaceable, replace_layers, sparse_twin
from netsci_nn.models.walk import LinearLayer, conv_kind, is_linear, linear_layers, names_of, size_of
from netsci_nn.sampling import contains
from netsci_nn.topology import BipartiteTopology

logger = logging.getLogger(__name__)

MAX_LISTED = 8
WEIGHT_KEYS, BIAS_KEYS = ("", "weight", "_mask", "weight_mask"), ("bias", "bias_mask")


class Restriction(NamedTuple):
    """What the masks of a layer leave: the edges, and which biases."""

    layer: LinearLayer
    topology: BipartiteTopology
    bias_mask: torch.Tensor | None


def from_masks(model: nn.Module, masks: Mapping[str, Any] | None = None, *, backend: str = "auto") -> SparsifySummary:
    """Replace the layers that have a mask by sparse ones: an edge for every one in the mask, with the layer's weight.

    Linear layers, `nn.Conv1d` and `nn.Conv2d` (also with groups) can have one. Of a convolution, the edges of a mask that keeps
    or leaves out kernels as a whole join channels (a channel graph), and those of any other mask join the positions of a patch
    with output channels (a patch graph): unstructured sparsity.

    The model is changed in place, at any depth, and only when all masks fit; layers without a mask stay as they are. A weight
    of 0 under a one is an edge. Biases, modes, dtypes, devices and what is trainable stay. A layer with live
    `torch.nn.utils.prune` masks gives its `weight_orig` and loses its masks and hooks; a mask that is given for it, or for a
    layer that is sparse already, can only take edges away (weights, births and `active` of the others stay). Where the bias
    has a mask it becomes 0, and is trained on like any other bias. Make optimisers afterwards: the parameters are new ones.

    Args:
        model: any module that has linear layers or convolutions and is none itself.
        masks: by the dotted names of layers ("fc1") or of their parameters ("fc1.weight", "fc1.bias"), each with or without
            "_mask" at the end. A mask is `[n_out, n_in]`, like the weight (of a Hugging Face `Conv1D` `[n_in, n_out]`; of a
            convolution `[n_out, n_in / groups, *kernel]` and dense, or a matrix of all channels or positions of a patch), and
            holds True and False or 1 and 0: a torch tensor on any device, dense, COO, CSR, CSC or BSR, a numpy array, nested
            lists, or a scipy sparse matrix; or it is a `BipartiteTopology`. Stored zeros are no edges; entries that are stored
            several times are summed up. None takes the live masks of `torch.nn.utils.prune`.
        backend: of every new layer (see `SparseLinear`).

    Returns:
        What became sparse, what stayed dense and why, and the density of the whole model (see `SparsifySummary`).

    Raises:
        ConfigError: when there are no masks, a name is of no such layer or occurs twice, or a layer would lose something:
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
    if not isinstance(model, nn.Module) or dense_kind(model) is not None or conv_kind(model) is not None:
        raise ConfigError(
            f"model is a {type(model).__name__}; it must be a module that contains linear layers or convolutions "
            "(SparseLinear.from_dense, or that of a sparse convolution, makes a sparse layer of a single one)"
        )
    chosen = _restrictions(model, _live_masks(model) if masks is None else masks)
    plain = {name: _unpruned(entry.layer) for name, entry in chosen.items() if not isinstance(entry.layer, SparseLayer)}
    check_replaceable(model, plain)
    devices = {layer.weight.device for layer in plain.values() if layer.weight.device.type == "cuda"}
    replacement: dict[nn.Module, Any] = {}
    with torch.random.fork_rng(devices=devices):
        for name, linear in plain.items():
            replacement[chosen[name].layer] = sparse_twin(linear, chosen[name].topology, backend)
    for layer, topology, _ in chosen.values():
        if isinstance(layer, SparseLayer):
            _restrict(layer, topology)
    for name, (layer, _, bias_mask) in chosen.items():
        if bias_mask is not None:
            _clear_biases(name, replacement.get(layer, layer), bias_mask)
    others = [layer for layer in linear_layers(model, convolutions=True).values() if layer not in replacement]
    left: dict[nn.Module, str] = dict.fromkeys(others, "it has no mask")
    replace_layers(model, replacement)
    kinds: dict[nn.Module, str] = {twin: type(layer).__name__ for layer, twin in replacement.items()}
    new: list[Any] = [replacement.get(layer, layer) for layer, _, _ in chosen.values()]
    entries = [(layer.topology, layer.weight.shape[1:].numel()) for layer in new]
    asked = sum(t.n_edges * area for t, area in entries) / sum(t.n_in * t.n_out * area for t, area in entries)
    summary = summarise(model, kinds, left, asked)
    # What the summary counts between groups was never there.
    between_groups = sum(layer.weight.numel() * (getattr(layer, "groups", 1) - 1) for layer in plain.values())
    return replace(summary, n_parameters_before=summary.n_parameters_before - between_groups)


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
    layers = linear_layers(model, attention=False, convolutions=True)
    places = _places(model, layers)
    given: dict[tuple[str, str], str] = {}
    for key in masks:
        if key not in places:
            kinds = "linear layers" if all(map(is_linear, layers.values())) else "linear layers and convolutions"
            raise ConfigError(f"masks names {key!r}{_kind_of(model, key)}; the {kinds} of the model are {_listed(layers)}")
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
        topology = edges_of_mask(weight_key, masks[weight_key], layer)
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


def _bias_mask(key: str, mask: Any, layer: LinearLayer) -> torch.Tensor:
    """Return which biases stay, bool `[n_out]`, after checking that it is a mask for this layer."""
    n_out = size_of(layer)[1]
    has_bias = any(name in dict(layer.named_parameters()) for name in ("bias", "bias_orig"))
    if not has_bias:
        raise ConfigError(f"masks has {key!r}, and the layer has no bias")
    values = np.asarray(mask.detach().cpu().float() if isinstance(mask, torch.Tensor) else mask)
    if values.shape != (n_out,):
        raise TopologyError(f"the mask {key!r} has shape {list(values.shape)}; it must be [n_out] = {[n_out]}")
    return torch.from_numpy(ones_of(key, values, lambda k: f"[{k}]"))


def _check_subset(name: str, layer: Any, topology: BipartiteTopology) -> None:
    """Raise a TopologyError if the layer has a pattern already and the mask has an edge beside it."""
    if isinstance(layer, SparseLayer) and _pruned_parts(layer):
        raise ConfigError(
            f"layer {name!r} is sparse and has live masks on its edges; end them first with nn.utils.prune.remove"
        )
    if isinstance(layer, SparseLayer):
        pattern = layer.topology
    elif "weight" in _pruned_parts(layer):
        pattern = edges_of_mask(f"{name}.weight_mask", layer.weight_mask, layer)
    else:
        return
    if pattern.n_in != topology.n_in:  # one of channels and one of the positions of a patch
        n_in, kernel = max(pattern.n_in, topology.n_in), layer.kernel_size
        pattern, topology = (t if t.n_in == n_in else patch_graph(t, kernel) for t in (pattern, topology))
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
