"""torch's wrappers act on parameters without knowing edges: DDP reduces them over ranks, `AveragedModel` averages them.

Both take in a model by registering it as their `module`, which torch tells a global hook. There the ranks of a DDP compare
their edges, and an averaged model learns to average weights of the same edges only.
"""

from functools import partial

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from netsci_nn.errors import TopologyError
from netsci_nn.layers.base import SparseLayer
from netsci_nn.layers.ranks import join_ranks


def watch_wrappers() -> None:
    """Let torch tell about every wrapper that takes in a model, from now on."""
    register_module_module_registration_hook(_take_in)


def _take_in(wrapper: nn.Module, name: str, model: nn.Module | None) -> None:
    """Act if a wrapper takes in a model with sparse layers."""
    if name != "module" or model is None or not isinstance(wrapper, (DistributedDataParallel, AveragedModel)):
        return
    layers = _sparse_layers(model)
    if not layers:
        return
    if isinstance(wrapper, DistributedDataParallel):
        parts = [(name, layer._topology, layer._birth, layer._active) for name, layer in layers.items()]
        join_ranks(wrapper, model, *(part for layer in parts for part in layer))
    else:
        # As a function of a module, bound to the instance, it survives deepcopy and pickle.
        wrapper.update_parameters = partial(update_average, wrapper)  # type: ignore[method-assign]


def update_average(averaged: AveragedModel, model: nn.Module) -> None:
    """Do `AveragedModel.update_parameters` for weights that belong to the same edges.

    The first update copies the model, here with its edges. Afterwards births and masks follow the model as torch's buffers do.

    Raises:
        TopologyError: if the edges of a layer differ in a later update, or the layers do not fit; nothing is averaged then.
    """
    copies, layers = _sparse_layers(averaged.module), _sparse_layers(model)
    if len(copies) != len(layers):
        raise TopologyError(f"the averaged model has {len(copies)} sparse layers and the model {len(layers)}; they must match")
    pairs = [(name, mine, theirs) for (name, mine), theirs in zip(copies.items(), layers.values(), strict=True)]
    is_first = int(averaged.n_averaged) == 0
    for name, mine, theirs in pairs:
        shapes = [(layer.n_in, layer.n_out, *layer.weight.shape[1:]) for layer in (mine, theirs)]
        if shapes[0] != shapes[1]:
            raise TopologyError(
                f"layer {name!r} joins neurons and kernels {shapes[0]} in the averaged model and {shapes[1]} in the model"
            )
        if not is_first and mine._topology != theirs._topology:
            raise TopologyError(
                f"layer {name!r} of the averaged model has other edges than that of the model, so their weights cannot be "
                "averaged; rewire both together: apply_delta(..., followers=[averaged layer]) or "
                "Rewire(..., followers=[averaged model])"
            )
    for _, mine, theirs in pairs:
        if mine._topology != theirs._topology:
            weight = theirs.weight.detach().to(device=mine.weight.device, dtype=mine.weight.dtype, copy=True)
            mine._replace_structure(theirs._topology, weight, theirs._birth, theirs._active)
        elif mine._active is not theirs._active:
            mine._set_active(theirs._active)
        mine._topology, mine._birth = theirs._topology, theirs._birth  # equal; as one object they are compared in no time
    type(averaged).update_parameters(averaged, model)


def _sparse_layers(model: nn.Module) -> dict[str, SparseLayer]:
    return {name: module for name, module in model.named_modules() if isinstance(module, SparseLayer)}
