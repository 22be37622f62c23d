"""The one way to replace linear layers of a model by sparse ones; refuses to lose hooks, shared weights and the like."""

import copy
import gc
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer, SparseLinear
from netsci_nn.layers.base import DTYPES, DTYPES_IN_WORDS
from netsci_nn.layers.dense import dense_kind
from netsci_nn.models.walk import CONVOLUTIONS, conv_kind, size_of
from netsci_nn.topology import BipartiteTopology

WRAPPERS = frozenset({"DistributedDataParallel", "FullyShardedDataParallel", "AveragedModel"})
"""Names of the classes of torch that keep to the parameters which a model has when it is wrapped."""

MODULE_HOOKS = (
    *("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks"),
    *("_state_dict_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)
ATTENTION_PARAMETERS = (
    *("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "bias_k", "bias_v"),
    *("out_proj.weight", "out_proj.bias"),
)
PARAMETER_HOOKS = "_backward_hooks", "_post_accumulate_grad_hooks"
COMPUTING = "forward", "_conv_forward"
"""Methods by which a layer or a convolution computes."""
HOOKS_LOST = "it has hooks, which would be lost"


def check_replaceable(
    model: nn.Module, layers: Mapping[str, nn.Module], advice: Callable[[str], str] = lambda name: ""
) -> None:
    """Raise a ConfigError if one of `layers` would lose something when another takes its place in `model`.

    Args:
        model: the model that holds them.
        layers: by their names.
        advice: from the name of a layer to what the user can do about it, for the end of the sentence.
    """
    if not layers:
        return
    wrapper = _wrapper_of(model)
    if wrapper is not None:
        raise ConfigError(
            f"model lies in {wrapper}, which works on the parameters that it was given and would pass over new ones; "
            "make the model sparse first, and wrap it afterwards"
        )
    check_convertible(model, layers, advice=advice)
    modules, places = dict(model.named_modules(remove_duplicate=False)), _places_beside_children(model)
    for name in layers:
        if modules[name] in places:
            raise ConfigError(f"layer {name!r} cannot become sparse: {places[modules[name]]}{advice(name)}")


def check_convertible(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    own: Sequence[str] = ("weight", "bias"),
    advice: Callable[[str], str] = lambda name: "",
) -> None:
    """Raise a ConfigError if a sparse layer could not be all that one of `layers` is.

    Args:
        model: the model that holds them.
        layers: by their names.
        own: parameters that a layer must not share with another module, since they would train apart afterwards.
        advice: as for `check_replaceable`.
    """
    owners = Counter(id(parameter) for module in model.modules() for parameter in module.parameters(recurse=False))
    for name, layer in layers.items():
        parameters = dict(layer.named_parameters())
        known = ATTENTION_PARAMETERS if isinstance(layer, nn.MultiheadAttention) else own
        shared = [part for part in known if part in parameters and owners[id(parameters[part])] > 1]
        reason = None if isinstance(layer, SparseLayer) else _reason_against(layer)
        if reason is None and shared:
            reason = f"its {' and '.join(shared)} is shared with another module, and they would train apart"
        if reason is not None:
            raise ConfigError(f"layer {name!r} cannot become sparse: {reason}{advice(name)}")


def _reason_against(layer: nn.Module) -> str | None:
    parameters = dict(layer.named_parameters())
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in parameters.values()):
        return "it has no weights before its first input"
    kind = nn.MultiheadAttention if type(layer) is nn.MultiheadAttention else conv_kind(layer) or dense_kind(layer)
    is_own = kind is None or any(getattr(type(layer), name, None) is not getattr(kind, name, None) for name in COMPUTING)
    if is_own or not vars(layer).keys().isdisjoint(COMPUTING):
        return f"it is a {type(layer).__name__} with a forward of its own"
    is_attention = kind is nn.MultiheadAttention
    own, beside = (ATTENTION_PARAMETERS, "its projections") if is_attention else (("weight", "bias"), "weight and bias")
    children = {name for name, child in layer.named_children() if type(child) is not NonDynamicallyQuantizableLinear}
    further = sorted(parameters.keys() - set(own))
    if further:
        return f"it has the parameters {', '.join(further)} beside {beside}"
    parts = sorted({name for name, _ in layer.named_buffers()} | children)
    if parts:
        return f"it has {', '.join(parts)} beside {beside}"
    for weight in parameters.values() if is_attention else [layer.weight]:
        if type(weight) is not nn.Parameter:
            return f"its weight is a {type(weight).__name__}, and no plain parameter"
        if weight.dtype not in DTYPES:
            return f"its weights are {weight.dtype}; they must be {DTYPES_IN_WORDS}"
    return HOOKS_LOST if any(has_hooks(module) for module in layer.modules()) else None


def has_hooks(layer: nn.Module) -> bool:
    """Return whether hooks hang on a layer, or on one of its parameters."""
    on_parameters = [getattr(parameter, kind) for parameter in layer.parameters() for kind in PARAMETER_HOOKS]
    return any(getattr(layer, kind) for kind in MODULE_HOOKS) or any(on_parameters)


def _wrapper_of(model: nn.Module) -> str | None:
    """Return the kind of a live wrapper that is a part of `model`, or that it is a part of; None without one."""
    inside = list(model.modules())
    holders: Iterable[nn.Module] = inside
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        gc.collect()  # a wrapper that was dropped may still hang in a reference cycle
        holders = [each for each in gc.get_objects() if issubclass(type(each), nn.Module)]
    for holder in holders:
        names = WRAPPERS.intersection(kind.__name__ for kind in type(holder).__mro__)
        if names and (holder in inside or model in holder.modules()):
            return next(iter(names))
    return None


def _places_beside_children(model: nn.Module) -> dict[nn.Module, str]:
    """Return what holds modules where they are not replaced: lists, say, and what torch.compile has made of one."""
    places: dict[nn.Module, str] = {}
    for name, holder in model.named_modules():
        if isinstance(holder._modules.get("_orig_mod"), nn.Module):
            places[holder._modules["_orig_mod"]] = (
                "torch.compile has compiled it by itself, and would go on with the dense layer"
            )
        for key, value in vars(holder).items():
            if key == "_modules":
                continue
            entries = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | set) else [value]
            for entry in entries:
                if isinstance(entry, nn.Module):
                    place = f"{name}.{key}".removeprefix(".")
                    places[entry] = f"the attribute {place!r} holds it, too, and would go on with the dense layer"
    return places


def sparse_twin(
    linear: Any,
    topology: BipartiteTopology,
    backend: str = "auto",
    memo: dict[int, Any] | None = None,
    graph: str | None = None,
) -> SparseLayer:
    """Return `linear` on the edges of `topology`, with its weights, in its mode, and trainable if it is.

    Args:
        linear: the dense layer, linear or a convolution, which stays as it is.
        topology: between as many sources and targets; of a convolution, of channels or of the positions of a patch.
        backend: of the sparse layer.
        memo: that of a `copy.deepcopy` of the model, in which a bias that modules share stays shared.
        graph: of a convolution; None for that which has as many sources as `topology`, of channels if both have.
    """
    kind = conv_kind(linear)
    if kind is not None:
        graph = graph or ("channel" if topology.n_in == size_of(linear)[0] else "patch")
        layer: SparseLayer = CONVOLUTIONS[kind].from_dense(linear, topology, graph, backend)
    else:
        layer = SparseLinear.from_dense(linear, topology, backend)
    layer.weight.requires_grad_(linear.weight.requires_grad)
    if memo is not None:
        layer.bias = copy.deepcopy(linear.bias, memo)
    elif layer.bias is not None:
        layer.bias.requires_grad_(linear.bias.requires_grad)
    return layer.train(linear.training)


def replace_layers(model: nn.Module, replacement: Mapping[nn.Module, nn.Module]) -> None:
    """Put the values of `replacement` in the place of its keys, everywhere in `model`."""
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):
            if child is not None and child in replacement:
                module._modules[name] = replacement[child]  # past a __setattr__ of its own, which might refuse half-way
    leave_fused_paths(model)


def leave_fused_paths(model: nn.Module) -> None:
    """Make encoders call their sparse layers: evaluating, they read weights past the layers unless these attributes say no."""
    for module in model.modules():
        if any(isinstance(inner, SparseLayer) for inner in module.modules()):
            if isinstance(module, nn.TransformerEncoderLayer):
                module.activation_relu_or_gelu = 0
            if isinstance(module, nn.TransformerEncoder):
                module.use_nested_tensor = False
