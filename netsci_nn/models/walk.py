"""The one way to find the layers of a model: linear ones, dense or sparse, by their names."""

from collections import defaultdict
from typing import Any, TypeGuard

from torch import nn

from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseConv1d, SparseConv2d, SparseLayer
from netsci_nn.layers.conv import SparseConv
from netsci_nn.layers.dense import dense_kind, weight_matrix

# Hugging Face's Conv1D is typed as nn.Linear, too: it has a weight and a bias; and so are dense convolutions where they are
# asked for. Size and orientation are asked of `size_of` and `weight_matrix`, and whether a layer is dense of
# `not isinstance(layer, SparseLayer)`.
LinearLayer = nn.Linear | SparseLayer

# Convolutions that a sparse layer can take the place of.
CONVOLUTIONS: dict[type[nn.Module], type[SparseConv1d] | type[SparseConv2d]] = {
    nn.Conv1d: SparseConv1d,
    nn.Conv2d: SparseConv2d,
}

NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def is_linear(module: nn.Module) -> TypeGuard[LinearLayer]:
    """Return whether a module is a linear layer: a sparse layer, `nn.Linear` or Hugging Face's `Conv1D`."""
    return isinstance(module, SparseLayer) or dense_kind(module) is not None


def conv_kind(module: nn.Module) -> type[nn.Module] | None:
    """Return the class that makes `module` a dense convolution, a key of `CONVOLUTIONS`; None if it is none."""
    return next((kind for kind in type(module).__mro__ if kind in CONVOLUTIONS), None)


def linear_layers(model: nn.Module, *, attention: bool = True, convolutions: bool = False) -> dict[str, LinearLayer]:
    """Return every `nn.Linear`, every Hugging Face `Conv1D` and every sparse layer by its dotted name.

    They come in the order of `model.modules()`. A layer that is registered under several names occurs once, under the first;
    the name of `model` itself is "".

    Args:
        model: any module.
        attention: whether the output projection of an `nn.MultiheadAttention` counts. Its weight is read past the layer, so
            it cannot be replaced while it is there.
        convolutions: whether every dense `nn.Conv1d` and `nn.Conv2d` counts, too, also one with groups.

    Raises:
        ConfigError: if `model` is no module.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; it must be a module")
    projections = set() if attention else attention_projections(model)
    modules: Any = model.named_modules()
    return {
        name: module
        for name, module in modules
        if (is_linear(module) or (convolutions and conv_kind(module) is not None)) and module not in projections
    }


def convolutions(model: nn.Module) -> dict[str, nn.Module]:
    """Return every dense convolution without groups by its dotted name; subclasses may compute anything, and are left out."""
    return {name: module for name, module in model.named_modules() if type(module) in CONVOLUTIONS and module.groups == 1}


def attention_projections(model: nn.Module) -> set[nn.Module]:
    """Return the output projections of every `nn.MultiheadAttention`, whose weights are read past the layers."""
    return {module.out_proj for module in model.modules() if isinstance(module, nn.MultiheadAttention)}


def sparse_layers(model: nn.Module) -> list[SparseLayer]:
    """Return the sparse layers of `model` in the order of their registration, which is the order of computation in a stack."""
    return [layer for layer in linear_layers(model).values() if isinstance(layer, SparseLayer)]


def names_of(model: nn.Module) -> dict[nn.Module, list[str]]:
    """Return all dotted names of every module; more than one if it is registered several times."""
    names: dict[nn.Module, list[str]] = defaultdict(list)
    for name, module in model.named_modules(remove_duplicate=False):
        names[module].append(name)
    return names


def size_of(layer: nn.Module) -> tuple[int, int]:
    """Return the numbers of sources and of targets: neurons of a linear layer, channels of a dense convolution."""
    if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
        return layer.in_channels, layer.out_channels
    if isinstance(layer, SparseLayer):
        return layer.n_in, layer.n_out
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    n_out, n_in = weight_matrix(layer).shape
    return n_in, n_out


def kernel_of(layer: nn.Module) -> tuple[int, ...]:
    """Return the sizes of a layer's kernels, as many as its maps have dimensions; () for a linear layer."""
    if isinstance(layer, (nn.modules.conv._ConvNd, SparseConv)):
        return tuple(layer.kernel_size)
    return tuple(layer.weight.shape[1:]) if isinstance(layer, SparseLayer) else ()


def shape_of(layer: nn.Module) -> tuple[int, ...]:
    """Return the shape that budgets know (see `netsci_nn.allocation`): sources, targets, and the sizes of a kernel."""
    return (*size_of(layer), *kernel_of(layer))


def count_edges(layer: LinearLayer) -> int:
    """Return the number of edges; a dense layer has one per weight."""
    return layer.n_edges if isinstance(layer, SparseLayer) else layer.weight.numel()
