"""The one way to replace linear layers of a model by sparse ones; refuses to lose hooks, shared weights and the like."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer, SparseLinear
from netsci_nn.layers.dense import dense_kind
from netsci_nn.models.walk import LinearLayer
from netsci_nn.topology import BipartiteTopology


def check_replaceable(
    model: nn.Module,
    layers: Mapping[str, LinearLayer],
    own: Sequence[str] = ("weight", "bias"),
    advice: Callable[[str], str] = lambda name: "",
) -> None:
    """Raise a ConfigError if one of `layers` would lose something when it is replaced.

    Args:
        model: the model that holds them.
        layers: by their names.
        own: parameters that a layer must not share with another module, since they would train apart afterwards.
        advice: from the name of a layer to what the user can do about it, for the end of the sentence.
    """
    owners = Counter(id(parameter) for module in model.modules() for parameter in module.parameters(recurse=False))
    for name, layer in layers.items():
        parameters = dict(layer.named_parameters())
        shared = [part for part in own if part in parameters and owners[id(parameters[part])] > 1]
        reason = None if isinstance(layer, SparseLayer) else _reason_against(layer)
        if reason is None and shared:
            reason = f"its {' and '.join(shared)} is shared with another module, and they would train apart"
        if reason is not None:
            raise ConfigError(f"layer {name!r} cannot become sparse: {reason}{advice(name)}")


def _reason_against(layer: nn.Linear) -> str | None:
    parameters = dict(layer.named_parameters())
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in parameters.values()):
        return "it has no weights before its first input"
    kind = dense_kind(layer)
    if kind is None or type(layer).forward is not kind.forward or "forward" in vars(layer):
        return f"it is a {type(layer).__name__} with a forward of its own"
    further = sorted(parameters.keys() - {"weight", "bias"})
    if further:
        return f"it has the parameters {', '.join(further)} beside weight and bias"
    hooks = (layer._forward_pre_hooks, layer._forward_hooks, layer._backward_pre_hooks, layer._backward_hooks)
    return "it has hooks, which would be lost" if any(hooks) else None


def sparse_twin(
    linear: nn.Linear, topology: BipartiteTopology, backend: str = "auto", memo: dict[int, Any] | None = None
) -> SparseLinear:
    """Return `linear` on the edges of `topology`, with its weights, in its mode, and trainable if it is.

    Args:
        linear: the dense layer, which stays as it is.
        topology: between as many sources and targets.
        backend: of the sparse layer.
        memo: that of a `copy.deepcopy` of the model, in which a bias that modules share stays shared.
    """
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
                setattr(module, name, replacement[child])
    leave_fused_paths(model)


def leave_fused_paths(model: nn.Module) -> None:
    """Make encoders call their sparse layers: evaluating, they read weights past the layers unless these attributes say no."""
    for module in model.modules():
        if any(isinstance(inner, SparseLayer) for inner in module.modules()):
            if isinstance(module, nn.TransformerEncoderLayer):
                module.activation_relu_or_gelu = 0
            if isinstance(module, nn.TransformerEncoder):
                module.use_nested_tensor = False
