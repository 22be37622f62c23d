"""`sparsify`: the linear layers of any model become sparse, in place."""

import inspect
import re

import torch
from torch import nn

from netsci_nn.allocation import ALLOCATIONS, Allocation
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.generators import GENERATORS, Generator, call
from netsci_nn.models.surgery import check_replaceable, replace_layers, sparse_twin
from netsci_nn.models.walk import linear_layers, names_of, size_of
from netsci_nn.sampling import Rng, as_generator


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

    Example:
        >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> _ = sparsify(model, density=0.1, allocation="uniform", exclude="^2$", rng=0)  # keeps layer "2" dense
        >>> model
        Sequential(
          (0): SparseLinear(n_in=64, n_out=32, n_edges=205, density=0.1001, bias=True, backend='auto')
          (1): ReLU()
          (2): Linear(in_features=32, out_features=10, bias=True)
        )
    """
    layers = _chosen(model, exclude)
    graph_model = GENERATORS[generator] if isinstance(generator, str) else generator
    if not callable(graph_model):
        raise ConfigError(f"generator is {generator!r}; it must be a name or a function")
    budget = _allocate([size_of(layer) for layer in layers.values()], density, allocation)
    random = as_generator(rng)
    devices = {layer.weight.device for layer in layers.values() if layer.weight.device.type == "cuda"}
    replacement: dict[nn.Module, nn.Module] = {}
    with torch.random.fork_rng(devices=devices):
        for (name, layer), n_edges in zip(layers.items(), budget.n_edges, strict=True):
            topology = call(graph_model, *size_of(layer), n_edges=n_edges, rng=random)
            if topology.n_edges != n_edges:
                raise TopologyError(f"generator gave {topology.n_edges} edges to {name!r}; it must give {n_edges}")
            replacement[layer] = sparse_twin(layer, topology, backend)
    replace_layers(model, replacement)
    return model


def _chosen(model: nn.Module, exclude: str | None) -> dict[str, nn.Linear]:
    """Return the dense layers that are to be replaced by their first names, after checking that they can be."""
    if not isinstance(model, nn.Module) or isinstance(model, nn.Linear):
        raise ConfigError(
            f"model is a {type(model).__name__}; it must be a module that contains nn.Linear layers "
            "(SparseLinear.from_dense makes a sparse layer of a single one)"
        )
    pattern, names = _compile(exclude), names_of(model)
    dense = {name: layer for name, layer in linear_layers(model, attention=False).items() if isinstance(layer, nn.Linear)}
    chosen = {
        name: layer
        for name, layer in dense.items()
        if pattern is None or not any(pattern.search(other) for other in names[layer])
    }
    if not chosen:
        raise ConfigError(
            f"model has {len(dense)} nn.Linear layers and exclude is {exclude!r}; at least one must be left to replace"
        )
    check_replaceable(model, chosen, advice="; `exclude` can keep it dense")
    return chosen


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
            raise ConfigError(
                f"density is {density!r}; it must be None beside an Allocation, which has the edges of every layer"
            )
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
