"""Selection: keep the edges of the highest scores, and make the sparse model that has only these."""

import copy
import inspect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netsci_nn.checks import as_list, check_choice, check_count, density_per_layer
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.generators.protocol import resolve_n_edges
from netsci_nn.layers import SparseLayer
from netsci_nn.layers.conv import keys_within_groups
from netsci_nn.models import walk
from netsci_nn.models.surgery import check_convertible, leave_fused_paths, sparse_twin
from netsci_nn.models.walk import LinearLayer, conv_kind, size_of
from netsci_nn.pruning.criterion import PRUNERS, Criterion, linear_layers
from netsci_nn.sampling import contains
from netsci_nn.topology import BipartiteTopology, Int64Array

Layers = dict[str, LinearLayer]

PARTS_OF_CONVOLUTIONS = "weight", "kernel"


def prune(
    model: nn.Module,
    *,
    density: float | Sequence[float],
    criterion: str | Criterion = "magnitude",
    convolutions: str | None = None,
) -> list[BipartiteTopology]:
    """Return the edges that are worth keeping in every linear layer of `model`, which stays as it is.

    Each layer keeps exactly round(density * n_in * n_out) edges, those of its highest scores; of equal scores those that
    come first by (dst, src). A sparse layer, also a sparse convolution, keeps some of its own edges. Layers do not compete: for
    one threshold over all of them, `netsci_nn.allocation.global_scores` of the same scores gives the densities.

    Dense convolutions stay dense unless `convolutions` says what is pruned of them. "weight" keeps single weights
    (unstructured): edges of a patch graph, whose sources are the positions of a patch. "kernel" keeps whole kernels, by the
    Euclidean norms of their scores: edges of a channel graph. With groups, edges join channels of one group only, and n_in
    counts those of all groups: a depthwise convolution has the density 1 / n_in, and cannot keep more.

    Args:
        model: a module that has linear layers, dense or sparse, or is one (see `linear_layers`).
        density: edges / (n_in * n_out), in (0, 1]; one number for all layers or one a layer.
        criterion: a name in `netsci_nn.pruning.PRUNERS` or a function of the model; `functools.partial` binds what it
            needs beside the model. With `convolutions` it is called with convolutions=True.
        convolutions: "weight" or "kernel", what is pruned of every dense `nn.Conv1d` and `nn.Conv2d`; None for none of them.

    Returns:
        a topology a layer, in the order of `model.modules()`: of every linear one, and of convolutions if they are pruned.

    Raises:
        ConfigError: if there is no such layer, the criterion is unknown or does not give a score for every weight, or
            the number of densities is wrong.
        TopologyError: when a density is out of range, a layer has fewer edges than it would keep, a score is NaN, or one of
            a weight is negative where kernels are pruned.

    Example:
        >>> layer = nn.Linear(3, 2, bias=False)
        >>> _ = layer.weight.data.copy_(torch.tensor([[0.1, -0.9, 0.2], [0.8, 0.0, -0.7]]))
        >>> [topology.to_edges().tolist() for topology in prune(layer, density=0.5)]  # pairs (source, target)
        [[[1, 0], [0, 1], [2, 1]]]
        >>> conv = nn.Conv1d(2, 1, 2, bias=False)
        >>> _ = conv.weight.data.copy_(torch.tensor([[[0.1, -0.9], [0.7, 0.7]]]))
        >>> [prune(conv, density=0.5, convolutions=part)[0].to_edges().tolist() for part in ("weight", "kernel")]
        [[[1, 0], [2, 0]], [[1, 0]]]
    """
    if convolutions is not None:
        check_choice("convolutions", convolutions, PARTS_OF_CONVOLUTIONS, ConfigError)
    layers = linear_layers(model, convolutions is not None)
    sizes = [_sizes(layer, convolutions) for layer in layers.values()]
    counts = _counts(layers, sizes, convolutions, density)
    scores = _scores(model, layers, criterion, convolutions)
    positions = [_highest(*layer) for layer in zip(scores, counts, strict=True)]
    return [_topology(*layer) for layer in zip(layers.values(), positions, sizes, strict=True)]


def restrict(model: nn.Module, topologies: Sequence[BipartiteTopology]) -> nn.Module:
    """Return a copy of `model` whose i-th linear layer is sparse and has the edges of topologies[i], with model's weights.

    Where there are as many topologies as linear layers and convolutions together, convolutions become sparse, too: on a graph
    of their channels, or of the positions of a patch, whichever has the topology's number of sources.

    Given the trained model that was pruned, the copy is to be trained on from its trained weights (Han et al. 2015); given
    the model as it was before it was trained, it is the lottery ticket, rewound to its first weights (Frankle and Carbin
    2019, "The lottery ticket hypothesis: finding sparse, trainable neural networks", section 1).

    Weights, biases and all other modules are the same bit for bit, on their device, in their dtype and mode, trainable where
    they were. Sparse layers keep their backend and the births of their edges; gradients are not copied. Torch's global
    generators are left as they were. Make optimisers afterwards: all parameters are new ones. `nn.TransformerEncoder`
    leaves its fused path of evaluation, which would read weights past the layers.

    Args:
        model: as in `prune`; its sparse layers must have the edges that they are to keep.
        topologies: one for each linear layer, or for each linear layer and convolution, in the order of `model.modules()`, as
            `prune` returns them.

    Raises:
        ConfigError: if there is no linear layer, the number of topologies is wrong, or a layer would lose something: a
            weight that it shares with another module, hooks, further parameters, a `forward` of its own.
        TopologyError: when a topology has other sizes than its layer, an edge that its sparse layer has not, or one between
            groups of a convolution.

    Example:
        >>> dense = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> restrict(dense, prune(dense, density=[0.1, 0.25]))
        Sequential(
          (0): SparseLinear(n_in=64, n_out=32, n_edges=205, density=0.1001, bias=True, backend='auto')
          (1): ReLU()
          (2): SparseLinear(n_in=32, n_out=10, n_edges=80, density=0.25, bias=True, backend='auto')
        )
    """
    n_all = len(walk.linear_layers(model, attention=False, convolutions=True))
    layers = linear_layers(model, isinstance(topologies, Sequence) and len(topologies) == n_all > 0)
    chosen = _check_topologies(topologies, layers, n_all)
    check_convertible(model, layers, own=["weight"])
    places = [_places(layer, topology) for layer, topology in zip(layers.values(), chosen, strict=True)]
    # What the memo has under a module's id is what copies of the model get in its place, under all its names.
    memo: dict[int, Any] = {}
    devices = {layer.weight.device for layer in layers.values() if layer.weight.device.type == "cuda"}
    with torch.random.fork_rng(devices=devices):
        for layer, topology in zip(layers.values(), chosen, strict=True):
            if not isinstance(layer, SparseLayer):
                memo[id(layer)] = sparse_twin(layer, topology, memo=memo)
    result = copy.deepcopy(model, memo)
    for layer, topology, kept in zip(layers.values(), chosen, places, strict=True):
        if isinstance(layer, SparseLayer):
            active = layer.active
            mask = None if active is None else active[kept]
            memo[id(layer)].set_structure(topology, layer.weight.detach()[kept], layer.birth[kept], mask)
    leave_fused_paths(result)
    return result


def round_densities(density: float | Sequence[float], rounds: int) -> list[list[float]]:
    """Return the densities after each round of iterative pruning: density^(r / rounds) after round r = 1, ..., rounds.

    Every round takes the same share of the weights that are left, the share of a layer being 1 - density^(1 / rounds).

    Args:
        density: of every layer after the last round, in (0, 1]; one number stands for a single layer.
        rounds: at least 1.

    Returns:
        `[rounds][n_layers]`; the last are `density` itself.

    Raises:
        ConfigError, TopologyError: naming the argument that is not allowed.

    Source: Frankle and Carbin 2019, section 1. Deviation: the paper says that each of n rounds prunes p^(1/n) % of the
    surviving weights, to prune p % in the end; it is the share that is kept whose n-th power is the density.
    """
    values = as_list(density)
    if values == []:
        raise ConfigError(f"density is {density!r}; it must be one value or one for each layer")
    last = density_per_layer(density, 1 if values is None else len(values))
    count = check_count("rounds", rounds, 1)
    return [[value ** (done / count) for value in last] for done in range(1, count + 1)]


def _sizes(layer: LinearLayer, part: str | None) -> tuple[int, int]:
    """Return the numbers of sources and targets of what is kept of a layer."""
    n_in, n_out = size_of(layer)
    return (n_in * _area(layer) if part == "weight" else n_in), n_out


def _area(layer: nn.Module) -> int:
    """Return the number of weights of a kernel of a dense convolution; 1 of other layers."""
    return 1 if conv_kind(layer) is None else math.prod(layer.kernel_size)  # type: ignore[arg-type]


def _counts(layers: Layers, sizes: list[tuple[int, int]], part: str | None, density: float | Sequence[float]) -> list[int]:
    """Return how many edges each layer keeps."""
    counts = []
    densities = density_per_layer(density, len(layers), "linear layers" if part is None else "layers")
    for (name, layer), size, value in zip(layers.items(), sizes, densities, strict=True):
        count = resolve_n_edges(*size, None, value)
        available = _shape(layer).numel() // (_area(layer) if part == "kernel" else 1)
        if count > available:
            raise TopologyError(
                f"density is {value!r} for layer {name!r}, which means {count} edges; the layer has {available}, "
                "and pruning adds none"
            )
        counts.append(count)
    return counts


def _scores(model: nn.Module, layers: Layers, criterion: str | Criterion, part: str | None) -> list[npt.NDArray[Any]]:
    """Return the checked scores of every layer, flat and in the order of its possible edges."""
    function = PRUNERS[criterion] if isinstance(criterion, str) else criterion
    if not callable(function):
        raise ConfigError(f"criterion is {criterion!r}; it must be a name or a function")
    options = {} if part is None else {"convolutions": True}
    if isinstance(criterion, str) or options:
        try:
            inspect.signature(function).bind(model, **options)
        except TypeError:
            if options:
                raise ConfigError(
                    f"criterion is {criterion!r}, which cannot be called with a model and convolutions=True; to prune "
                    "convolutions it must, and score those of linear_layers(model, convolutions=True)"
                ) from None
            raise ConfigError(
                f"criterion is {criterion!r}, which needs more than a model; bind that with functools.partial and pass it"
            ) from None
    scores = function(model, **options)
    if not isinstance(scores, Sequence) or len(scores) != len(layers):
        got = f"{len(scores)} scores" if isinstance(scores, Sequence) else f"a {type(scores).__name__}"
        kinds = "linear layers" if part is None else "linear layers and convolutions"
        raise ConfigError(f"criterion gave {got}; it must give a list of a tensor for each of the {len(layers)} {kinds}")
    return [_flat(name, layer, tensor, part) for (name, layer), tensor in zip(layers.items(), scores, strict=True)]


def _flat(name: str, layer: LinearLayer, scores: torch.Tensor, part: str | None) -> npt.NDArray[Any]:
    shape = tuple(_shape(layer))
    are_of_kernels = part == "kernel" and isinstance(scores, torch.Tensor) and conv_kind(layer) is not None
    shapes = (shape, shape[:2]) if are_of_kernels else (shape,)
    if not isinstance(scores, torch.Tensor) or tuple(scores.shape) not in shapes or scores.is_complex():
        got = f"{scores.dtype} {list(scores.shape)}" if isinstance(scores, torch.Tensor) else f"a {type(scores).__name__}"
        kernels = f", or of its kernels {list(shape[:2])}" if are_of_kernels else ""
        raise ConfigError(
            f"criterion gave layer {name!r} {got}; it must give a real tensor of its weights' shape {list(shape)}{kernels}"
        )
    known = scores.float() if scores.dtype == torch.bfloat16 else scores  # a dtype that numpy has
    flat = known.detach().cpu().numpy().reshape(-1)
    if np.isnan(flat).any():
        position = int(np.isnan(flat).argmax())
        raise TopologyError(f"criterion gave layer {name!r} the score nan at position {position}; every score must be a number")
    if not are_of_kernels or scores.dim() == 2:
        return flat
    if flat.min() < 0:
        raise TopologyError(
            f"criterion gave layer {name!r} the score {flat.min():g}; scores of a kernel's weights are put together by their "
            "norm, so they must be >= 0, unless it gives one per kernel"
        )
    return np.linalg.norm(flat.reshape(-1, _area(layer)).astype(np.float64), axis=1)


def _highest(scores: npt.NDArray[Any], count: int) -> Int64Array:
    """Return the positions of the `count` highest scores, increasing; of equal ones the first."""
    if count == 0:
        return np.empty(0, dtype=np.int64)
    threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
    is_kept = scores > threshold
    level = np.flatnonzero(scores == threshold)
    is_kept[level[: count - np.count_nonzero(is_kept)]] = True
    return np.flatnonzero(is_kept)


def _topology(layer: LinearLayer, positions: Int64Array, sizes: tuple[int, int]) -> BipartiteTopology:
    """Return the edges at positions of the layer's flattened scores."""
    groups = int(layer.groups) if conv_kind(layer) is not None else 1  # type: ignore[arg-type]
    if isinstance(layer, SparseLayer):
        return BipartiteTopology.from_keys(layer.topology.keys()[positions], *sizes)
    return BipartiteTopology.from_keys(keys_within_groups(positions, *sizes, groups), *sizes)


def _shape(layer: LinearLayer) -> torch.Size:
    """Return the shape of the scores of a layer's weights, or, of a sparse one, of its edges."""
    if isinstance(layer, SparseLayer):
        return torch.Size([layer.n_edges])
    return torch.Size(size_of(layer)[::-1]) if conv_kind(layer) is None else layer.weight.shape


def _check_topologies(topologies: Any, layers: Layers, n_all: int) -> list[BipartiteTopology]:
    """Return the topologies after checking that each can be its layer's; `n_all` counts convolutions, too."""
    if not isinstance(topologies, Sequence) or len(topologies) != len(layers):
        got = f"has {len(topologies)} entries" if isinstance(topologies, Sequence) else f"is a {type(topologies).__name__}"
        further = f", or of the {n_all} with convolutions" if n_all > len(layers) else ""
        raise ConfigError(f"topologies {got}; it must be a list with one for each of the {len(layers)} linear layers{further}")
    for i, ((name, layer), topology) in enumerate(zip(layers.items(), topologies, strict=True)):
        if not isinstance(topology, BipartiteTopology):
            raise TopologyError(f"topologies[{i}] is a {type(topology).__name__}; it must be a BipartiteTopology")
        n_in, n_out = size_of(layer)
        if (topology.n_in, topology.n_out) not in ((n_in, n_out), (n_in * _area(layer), n_out)):
            patch = f", or {n_in * _area(layer)} positions of a patch" if _area(layer) > 1 else ""
            raise TopologyError(
                f"topologies[{i}] joins {topology.n_in} sources and {topology.n_out} targets; "
                f"layer {name!r} has {n_in} and {n_out}{patch}"
            )
        if isinstance(layer, SparseLayer):
            has = contains(layer.topology.keys(), topology.keys())
            if not has.all():
                edge = int(has.argmin())
                raise TopologyError(
                    f"topologies[{i}] has the edge ({topology.src[edge]}, {topology.dst[edge]}), which layer {name!r} does "
                    "not have; a sparse layer can only keep edges that it has"
                )
    return list(topologies)


def _places(layer: LinearLayer, topology: BipartiteTopology) -> torch.Tensor | None:
    """Return where a sparse layer has the edges of `topology`: int64 `[topology.n_edges]`; None for a dense layer."""
    if not isinstance(layer, SparseLayer):
        return None
    return torch.from_numpy(np.searchsorted(layer.topology.keys(), topology.keys())).to(layer.weight.device)
