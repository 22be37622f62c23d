"""What a pruning criterion is, and which weights it scores."""

from collections.abc import Callable

import torch
from torch import nn

from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.layers.dense import weight_matrix
from netsci_nn.models import walk
from netsci_nn.models.walk import LinearLayer
from netsci_nn.registry import Registry

# A criterion: (model, **parameters) -> one tensor for each of `linear_layers(model)`, in that order: `[n_out, n_in]` of a dense
# layer, `[n_edges]` of a sparse one; the higher a score, the better worth keeping. What it needs beside the model, such as
# inputs to compute gradients from, is bound by functools.partial. It leaves the model as it was. If convolutions are pruned it
# is called with convolutions=True, and scores those of `linear_layers(model, convolutions=True)`: of a dense convolution every
# weight, `[n_out, n_in / groups, *kernel]`, or, where kernels are pruned, perhaps every kernel, `[n_out, n_in / groups]`.
Criterion = Callable[..., list[torch.Tensor]]

PRUNERS: Registry[Criterion] = Registry("pruning criterion")


def linear_layers(model: nn.Module, convolutions: bool = False) -> dict[str, LinearLayer]:
    """Return the layers that are pruned, dense or sparse, by their dotted names and in the order of `model.modules()`.

    A layer that is registered under several names occurs once, under the first; the name of `model` itself is "". The output
    projection of an `nn.MultiheadAttention`, which reads its weight past the layer, is left out, as are its input projections.

    Args:
        model: any module that has such layers, or is one.
        convolutions: whether dense `nn.Conv1d` and `nn.Conv2d` are among them, also those with groups; sparse ones always are.

    Raises:
        ConfigError: if `model` is no module, has no such layer, or one without weights before its first input.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; it must be a module with linear layers")
    layers = walk.linear_layers(model, attention=False, convolutions=convolutions)
    if not layers:
        kinds = "linear layers or convolutions" if convolutions else "linear layers"
        raise ConfigError(f"model is a {type(model).__name__} without {kinds} that can be pruned; it must have at least one")
    for name, layer in layers.items():
        if isinstance(layer.weight, nn.parameter.UninitializedParameter):
            raise ConfigError(f"layer {name!r} has no weights before its first input; the model must have seen one")
        if next(layer.parameters()).is_meta:
            raise ConfigError(f"layer {name!r} is on the meta device, where weights have no numbers; the model must have some")
    return layers


def strengths_of(layer: LinearLayer) -> torch.Tensor:
    """Return |w| of a layer: `[n_out, n_in]` of a dense one; `[n_edges]` of a sparse one, of its kernels the norms.

    Of a dense convolution it is `[n_out, n_in / groups, *kernel]`. The strength of an inactive edge is 0, as it computes.

    Raises:
        ConfigError: if `layer` is no linear layer and no convolution.
    """
    if isinstance(layer, nn.Module) and walk.conv_kind(layer) is not None:
        return layer.weight.detach().abs()
    if not isinstance(layer, nn.Module) or not walk.is_linear(layer):
        raise ConfigError(f"layer is a {type(layer).__name__}; it must be a linear layer or a convolution, dense or sparse")
    if not isinstance(layer, SparseLayer):
        return weight_matrix(layer).abs()
    active = layer.active
    return layer.strength() if active is None else layer.strength() * active
