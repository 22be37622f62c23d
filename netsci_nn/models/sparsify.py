"""`sparsify`: the linear layers of any model become sparse, in place."""

import inspect
import re
from collections import Counter, defaultdict

import torch
from torch import nn

from netsci_nn.allocation import ALLOCATIONS, Allocation
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.generators import GENERATORS, Generator, call
from netsci_nn.layers import SparseLinear
from netsci_nn.sampling import Rng, as_generator

Names = list[str]  # the dotted names of one module; more than one where it is shared


def sparsify(
    model: nn.Module,
    *,
    density: float | None = None,
    allocation: str | Allocation = "erk",
    generator: str | Generator = "erdos_renyi",
    exclude: str | None = None,
    backend: str = "auto",
    rng: Rng,
) -> nn.Module:
    """Replace every `nn.Linear` in `model` by a `SparseLinear` that keeps the weights on its edges, and the bias.

    The model is changed in place, at any depth, and only when all layers could be built. A layer that is registered under
    several names is replaced once, everywhere. Make optimisers afterwards: the parameters are new ones. The output
    projection of an `nn.MultiheadAttention`, which reads its weight past the layer, stays dense like its input projections;
    `nn.TransformerEncoder` leaves its fused path of evaluation, which would do the same.

    Args:
        model: any module that has linear layers and is not one itself.
        density: edges / possible edges of all replaced layers together, in (0, 1]; None with an `Allocation`.
        allocation: how the edges are spread over the layers: a name in `netsci_nn.allocation.ALLOCATIONS` that needs no more
            than a density ("uniform", "er", "erk"), or an `Allocation` for the layers in the order of `model.modules()`.
        generator: a name in `netsci_nn.generators.GENERATORS` or a function with the same signature.
        exclude: regular expression; layers with a match anywhere in one of their dotted names stay dense and take no part
            in the budget. None excludes none.
        backend: of every layer (see `SparseLinear`).
        rng: int seed or numpy Generator, for the topologies; torch's global generators are left as they were.

    Returns:
        `model` itself.

    Raises:
        ConfigError: when an argument is not allowed, no layer is left to replace, or one would lose something: a weight
            that it shares with another module, hooks, further parameters, a `forward` of its own.
        TopologyError: when the budget is out of range or the generator cannot place it.
    """
    layers = _layers(model, exclude)
    graph_model = GENERATORS[generator] if isinstance(generator, str) else generator
    if not callable(graph_model):
        raise ConfigError(f"generator is {generator!r}; it must be a name or a function")
    budget = _allocate([(layer.in_features, layer.out_features) for layer in layers], density, allocation)
    random = as_generator(rng)
    devices = {layer.weight.device for layer in layers if layer.weight.device.type == "cuda"}
    replacement: dict[nn.Linear, SparseLinear] = {}
    with torch.random.fork_rng(devices=devices):
        for (layer, names), n_edges in zip(layers.items(), budget.n_edges, strict=True):
            topology = call(graph_model, layer.in_features, layer.out_features, n_edges=n_edges, rng=random)
            if topology.n_edges != n_edges:
                raise TopologyError(f"generator gave {topology.n_edges} edges to {names[0]!r}; it must give {n_edges}")
            replacement[layer] = _sparse(layer, SparseLinear.from_dense(layer, topology, backend))
    _swap(model, replacement)
    return model


def _layers(model: nn.Module, exclude: str | None) -> dict[nn.Linear, Names]:
    """Return the linear layers that are to be replaced and their names, after checking that they can be."""
    if not isinstance(model, nn.Module) or isinstance(model, nn.Linear):
        raise ConfigError(
            f"model is a {type(model).__name__}; it must be a module that contains nn.Linear layers "
            "(SparseLinear.from_dense makes a sparse layer of a single one)"
        )
    pattern = _compile(exclude)
    projections = {module.out_proj for module in model.modules() if isinstance(module, nn.MultiheadAttention)}
    found: dict[nn.Linear, Names] = defaultdict(list)
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, nn.Linear) and module not in projections:
            found[module].append(name)
    layers = {
        layer: names for layer, names in found.items() if pattern is None or not any(pattern.search(name) for name in names)
    }
    if not layers:
        raise ConfigError(
            f"model has {len(found)} nn.Linear layers and exclude is {exclude!r}; at least one must be left to replace"
        )
    owners = Counter(id(parameter) for module in model.modules() for parameter in module.parameters(recurse=False))
    for layer, names in layers.items():
        reason = _reason_against(layer, owners)
        if reason is not None:
            raise ConfigError(f"layer {names[0]!r} cannot become sparse: {reason}; `exclude` can keep it dense")
    return layers


def _reason_against(layer: nn.Linear, owners: "Counter[int]") -> str | None:
    """Return what would be lost if `layer` were replaced, or None."""
    parameters = dict(layer.named_parameters())
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in parameters.values()):
        return "it has no weights before its first input"
    if type(layer).forward is not nn.Linear.forward or "forward" in vars(layer):
        return f"it is a {type(layer).__name__} with a forward of its own"
    further = sorted(parameters.keys() - {"weight", "bias"})
    if further:
        return f"it has the parameters {', '.join(further)} beside weight and bias"
    shared = [name for name, parameter in parameters.items() if owners[id(parameter)] > 1]
    if shared:
        return f"its {' and '.join(shared)} is shared with another module, and they would train apart"
    hooks = (layer._forward_pre_hooks, layer._forward_hooks, layer._backward_pre_hooks, layer._backward_hooks)
    return "it has hooks, which would be lost" if any(hooks) else None


def _compile(exclude: str | None) -> "re.Pattern[str] | None":
    if exclude is None:
        return None
    try:
        if isinstance(exclude, str):
            return re.compile(exclude)
        reason = "it is no text"
    except (re.error, OverflowError, RecursionError) as error:
        reason = str(error)
    raise ConfigError(f"exclude is {exclude!r}; it must be a regular expression: {reason}")


def _allocate(shapes: list[tuple[int, int]], density: float | None, allocation: str | Allocation) -> Allocation:
    """Return the edges of every layer."""
    if isinstance(allocation, Allocation):
        if density is not None:
            raise ConfigError(f"density is {density!r}; with an Allocation, which says it for every layer, it must be None")
        sizes = tuple(n_in * n_out for n_in, n_out in shapes)
        if allocation.sizes != sizes:
            raise ConfigError(f"allocation is for layers of the sizes {allocation.sizes}; the model's have {sizes}")
        return allocation
    method = ALLOCATIONS[allocation]
    try:
        inspect.signature(method).bind(shapes=shapes, density=density)
    except TypeError:
        raise ConfigError(
            f"allocation is {allocation!r}, which needs more than a density; call it and pass the Allocation that it returns"
        ) from None
    return method(shapes=shapes, density=density)


def _sparse(linear: nn.Linear, layer: SparseLinear) -> SparseLinear:
    """Return `layer` in `linear`'s mode, trainable where that is."""
    layer.weight.requires_grad_(linear.weight.requires_grad)
    if layer.bias is not None:
        layer.bias.requires_grad_(linear.bias.requires_grad)
    return layer.train(linear.training)


def _swap(model: nn.Module, replacement: dict[nn.Linear, SparseLinear]) -> None:
    modules = list(model.modules())
    # Encoders read the weights of their linear layers themselves when they evaluate, unless these attributes say no.
    for module in modules:
        if isinstance(module, nn.TransformerEncoderLayer) and not replacement.keys().isdisjoint(module.modules()):
            module.activation_relu_or_gelu = 0
        if isinstance(module, nn.TransformerEncoder) and not replacement.keys().isdisjoint(module.modules()):
            module.use_nested_tensor = False
    for module in modules:
        for name, child in list(module._modules.items()):
            if isinstance(child, nn.Linear) and child in replacement:
                setattr(module, name, replacement[child])
