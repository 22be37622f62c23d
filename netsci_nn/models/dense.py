"""`to_dense`: a copy of a model whose sparse layers are dense ones that compute the same."""

import copy
import re
from collections import Counter
from typing import Any

import torch
from torch import nn

from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer, SparseLinear
from netsci_nn.layers.conv import SparseConv
from netsci_nn.models.attention import PROJECTIONS, UnpackedAttention
from netsci_nn.models.surgery import HOOKS_LOST, has_hooks
from netsci_nn.models.walk import linear_layers


def to_dense(model: nn.Module) -> nn.Module:
    """Return a copy of `model` whose sparse layers are dense ones that compute the same; `model` stays as it is.

    They are `nn.Linear` layers, or what the sparse layers were made of (Hugging Face's `Conv1D`); of sparse convolutions,
    `nn.Conv1d` and `nn.Conv2d` without groups; an `UnpackedAttention` is an `nn.MultiheadAttention` again.

    A weight is 0 where there is no edge, and where the edge is not active. All other modules are copied. Layers and biases
    that are shared stay shared; modes, dtypes, devices and what is trainable stay. Gradients, births of edges and backends are
    not copied. Trained on, the zeros become weights: `from_masks` takes them away again. An `nn.TransformerEncoder` that has
    been made sparse stays off its fused path of evaluation.

    Args:
        model: any module, also a sparse layer itself.

    Raises:
        ConfigError: when a sparse layer would lose something (a weight that it shares with another module, hooks, further
            parameters, a `forward` of its own), or the model cannot be copied.

    Example:
        >>> import torch
        >>> from netsci_nn import SparseMLP
        >>> model = SparseMLP([3, 2], density=0.5, rng=0)
        >>> dense = to_dense(model)
        >>> dense.layers[0], dense.layers[0].weight.count_nonzero()
        (Linear(in_features=3, out_features=2, bias=True), tensor(3))
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; it must be a module")
    owners = Counter(id(parameter) for module in model.modules() for parameter in module.parameters(recurse=False))
    # What the memo has under a module's id is what copies of the model get in its place, under all its names.
    memo: dict[int, Any] = {}
    for name, layer in linear_layers(model).items():
        if isinstance(layer, SparseLayer):
            reason = "its weight is shared with another module" if owners[id(layer.weight)] > 1 else _reason_against(layer)
            if reason is not None:
                raise ConfigError(f"layer {name!r} cannot become dense: {reason}")
            assert isinstance(layer, (SparseLinear, SparseConv))
            memo[id(layer)] = _dense_twin(layer, memo)
    for attention in model.modules():
        if isinstance(attention, UnpackedAttention) and not has_hooks(attention):
            projections = {name: getattr(attention, name) for name in PROJECTIONS}
            dense = {name: memo.get(id(layer), layer) for name, layer in projections.items()}
            memo[id(attention)] = attention.packed(dense)
    try:
        return copy.deepcopy(model, memo)
    except (RuntimeError, TypeError) as error:
        reason = re.split(r"\.\s|\n", str(error))[0]  # what follows is advice to programmers
        raise ConfigError(f"model is a {type(model).__name__} that cannot be copied: {reason}") from error


def _dense_twin(layer: SparseLinear | SparseConv, memo: dict[int, Any]) -> nn.Module:
    linear: Any = layer.to_dense()
    if isinstance(layer, SparseLinear) and layer.dense_class is not nn.Linear:
        # Hugging Face's Conv1D, whose weight is [n_in, n_out].
        with torch.device("meta"):
            twin: Any = layer.dense_class(layer.n_out, layer.n_in)
        twin.weight, twin.bias = nn.Parameter(linear.weight.detach().t().contiguous()), linear.bias
        linear = twin
    linear.weight.requires_grad_(layer.weight.requires_grad)
    if layer.bias is not None:
        linear.bias = copy.deepcopy(layer.bias, memo)
    return linear.train(layer.training)


def _reason_against(layer: SparseLayer) -> str | None:
    if not isinstance(layer, (SparseLinear, SparseConv)):
        return f"it is a {type(layer).__name__}, which has no dense form"
    kind = SparseLinear if isinstance(layer, SparseLinear) else SparseConv
    if type(layer).forward is not kind.forward or "forward" in vars(layer):
        return f"it is a {type(layer).__name__} with a forward of its own"
    further = sorted(dict(layer.named_parameters()).keys() - {"weight", "bias"})
    if further:
        return f"it has the parameters {', '.join(further)} beside weight and bias"
    return HOOKS_LOST if has_hooks(layer) else None
