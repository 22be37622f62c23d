"""Weight decay: which parameters of a model decay, the 1-D weights of sparse layers among them."""

from typing import Any

from torch import nn

from netsci_nn.checks import check_real
from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.models.walk import NORMALISATIONS

OF_SPARSE_WEIGHT = "weight", "parametrizations.weight.original"
"""How names of what the weights of a sparse layer are computed from begin, within the layer."""


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters of `model` in two groups for an optimiser of torch: those that decay, and those that do not.

    The usual rule decays parameters with two or more dimensions (nanoGPT and others). The weights of a `SparseLinear` have one
    dimension, `[n_edges]`, and would be left out. Here

    - weights of sparse layers decay, with or without kernels, and so does what they are computed from if they are parametrised,
    - of all other modules parameters with two or more dimensions decay; matrices of embeddings are among them, as usual,
    - biases, all parameters of normalisations, and other parameters of one dimension do not.

    Every parameter is in one group, once, in the order of `model.parameters()`; one that modules share decays if one of them
    says so. Frozen parameters are there, too, as in `model.parameters()`: optimisers pass over what has no gradient, and go on
    when it is trainable again. `torch.compile`, `DistributedDataParallel` or an `AveragedModel` may wrap the model.

    Args:
        model: any module that has parameters.
        weight_decay: of the group that decays, >= 0; the other has 0.

    Returns:
        dicts with `params` and `weight_decay`, first the one that decays; a group without parameters is left out.

    Raises:
        ConfigError: when an argument is not allowed, the model has no parameters, or the dimensions of one are not known: it is
            not initialised yet, or was flattened by `FullyShardedDataParallel` (`fully_shard` keeps them).

    Example:
        >>> import torch
        >>> from netsci_nn import SparseMLP
        >>> model = SparseMLP([64, 32, 10], density=0.1, rng=0)
        >>> groups = parameter_groups(model, weight_decay=0.01)
        >>> [([tuple(parameter.shape) for parameter in group["params"]], group["weight_decay"]) for group in groups]
        [([(205,), (32,)], 0.01), ([(32,), (10,)], 0.0)]
        >>> optimizer = torch.optim.AdamW(groups, lr=1e-3)
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; it must be a module")
    decay = check_real("weight_decay", weight_decay, lambda value: value >= 0, ">= 0", ConfigError)
    _check_dimensions(model)
    decaying = {
        id(parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=isinstance(module, SparseLayer))
        if _decays(module, name, parameter)
    }
    parameters = list(model.parameters())
    if not parameters:
        raise ConfigError(f"model is a {type(model).__name__} without parameters; it must have some")
    chosen = [parameter for parameter in parameters if id(parameter) in decaying]
    others = [parameter for parameter in parameters if id(parameter) not in decaying]
    return [{"params": group, "weight_decay": value} for group, value in ((chosen, decay), (others, 0.0)) if group]


def _decays(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    if isinstance(module, SparseLayer) and name.startswith(OF_SPARSE_WEIGHT):
        return True
    return parameter.dim() >= 2 and not name.startswith("bias") and not isinstance(module, NORMALISATIONS)


def _check_dimensions(model: nn.Module) -> None:
    """Raise a ConfigError if a parameter does not have the dimensions that it computes with."""
    for name, module in model.named_modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            raise ConfigError(
                f"module {name!r} is a FullyShardedDataParallel, which flattens its parameters, so that those that decay "
                "cannot be told from others; shard with torch.distributed.fsdp.fully_shard, which keeps their dimensions"
            )
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ConfigError(f"parameter {name!r} is not initialised; the model must have seen an input")
