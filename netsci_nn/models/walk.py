"""The one way to find the layers of a model: linear ones, dense or sparse, by their names."""

from collections import defaultdict

from torch import nn

from netsci_nn.layers import SparseLayer

LinearLayer = nn.Linear | SparseLayer


def linear_layers(model: nn.Module, *, attention: bool = True) -> dict[str, LinearLayer]:
    """Return every `nn.Linear` and every sparse layer by its dotted name, in the order of `model.modules()`.

    A layer that is registered under several names occurs once, under the first; the name of `model` itself is "".

    Args:
        model: any module.
        attention: whether the output projection of an `nn.MultiheadAttention` counts. Its weight is read past the layer, so
            it can be neither replaced nor pruned.
    """
    modules = [] if attention else [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    projections = {module.out_proj for module in modules}
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LinearLayer)}
    return {name: layer for name, layer in layers.items() if layer not in projections}


def sparse_layers(model: nn.Module) -> list[SparseLayer]:
    """Return the sparse layers of `model` in the order of their registration, which is the order of computation in a stack."""
    return [layer for layer in linear_layers(model).values() if isinstance(layer, SparseLayer)]


def names_of(model: nn.Module) -> dict[nn.Module, list[str]]:
    """Return all dotted names of every module; more than one if it is registered several times."""
    names: dict[nn.Module, list[str]] = defaultdict(list)
    for name, module in model.named_modules(remove_duplicate=False):
        names[module].append(name)
    return names


def size_of(layer: LinearLayer) -> tuple[int, int]:
    """Return the numbers of sources and of targets."""
    return (layer.n_in, layer.n_out) if isinstance(layer, SparseLayer) else (layer.in_features, layer.out_features)


def count_edges(layer: LinearLayer) -> int:
    """Return the number of edges; a dense layer has one per weight."""
    return layer.n_edges if isinstance(layer, SparseLayer) else layer.weight.numel()
