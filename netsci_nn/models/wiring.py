"""The graph of a whole network: its linear layers, joined at the neurons that they share."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import scipy
import torch
from torch import nn

from netsci_nn.checks import is_iterable
from netsci_nn.errors import TopologyError, shown
from netsci_nn.layers import SparseLayer
from netsci_nn.layers.dense import dense_kind, weight_matrix
from netsci_nn.models.mlp import SparseMLP
from netsci_nn.models.walk import LinearLayer, linear_layers, size_of
from netsci_nn.topology import WeightedTopology, from_mask, stack_to_igraph
from netsci_nn.topology.arrays import as_array

if TYPE_CHECKING:
    import igraph

ELEMENTWISE = (
    *(nn.Identity, nn.Flatten, nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(nn.BatchNorm1d, nn.SyncBatchNorm, nn.InstanceNorm1d, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.LogSigmoid, nn.Hardsigmoid, nn.Tanh, nn.Hardtanh, nn.Tanhshrink, nn.Hardswish, nn.Softplus, nn.Softsign),
    *(nn.Hardshrink, nn.Softshrink, nn.Threshold, nn.Softmax, nn.Softmin, nn.LogSoftmax),
)
"""Modules after which feature k is still neuron k."""

MAX_LISTED = 8

Pair = tuple[str, str]
Sizes = Mapping[str, tuple[int, int]]  # n_in and n_out of every linear layer by its name


def network_graph(model: nn.Module, *, wiring: Iterable[Pair] | None = None) -> igraph.Graph:
    """Return all linear layers of a model in one undirected igraph graph.

    Vertices carry `layer`, the number of the group of neurons that they belong to, counted from the inputs on. Edges carry
    `layer`, the number of their layer, counted in the order of the groups that the layers start from, and `weight`. Edges
    come layer by layer: edge k of layer l has the id k plus the number of edges before it. In a chain of layers the edges of
    layer l join the groups l and l + 1. A dense `nn.Linear`, or Hugging Face `Conv1D`, counts as a complete bipartite graph.

    Args:
        model: without `wiring` a plain stack: a linear layer, a `SparseMLP`, or an `nn.Sequential` of linear layers,
            activations, dropout, `nn.Flatten`, normalisations and plain stacks, in which no layer occurs twice.
        wiring: for all other models, pairs (a, b) of names from `model.named_modules()`: the targets of layer a are the
            sources of layer b. Pairs may share a layer, as where outputs are added up: after ("a", "c") and ("b", "c") the
            targets of a, the targets of b and the sources of c are one group. [] states that no two layers are joined. A
            skip connection from the sources of a layer to what it leads to would make a cycle; leave it out.

    Returns:
        The graph. `analysis` takes it if the layers form one chain, and refuses edges that skip a group.

    Raises:
        TopologyError: when there is no linear layer; when the model is no plain stack and there is no `wiring`; when a pair
            occurs twice or names no linear layer; when layers that are joined differ in size; when there is a cycle.

    Example:
        >>> import netsci_nn as ns
        >>> from torch import nn
        >>> graph = ns.network_graph(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)))
        >>> graph.vs["layer"], graph.es["layer"]
        ([0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 0, 0, 1, 1])
    """
    layers = linear_layers(model)
    if not layers:
        raise TopologyError(f"model is a {type(model).__name__} without linear layers; it must have at least one")
    sizes = {name: size_of(layer) for name, layer in layers.items()}
    pairs = _of_stack(model, sizes) if wiring is None else _stated(wiring, sizes)
    for a, b in pairs:
        n_out, n_in = sizes[a][1], sizes[b][0]
        if n_out != n_in:
            raise TopologyError(
                f"layer {a} has n_out = {n_out} and layer {b} has n_in = {n_in}; layers that follow each other must share a "
                "group of neurons"
            )
    groups = _groups(list(layers), pairs)
    order = sorted(groups, key=groups.__getitem__)
    group_sizes = dict(pair for name in order for pair in zip(groups[name], sizes[name], strict=True))
    edges = [_edges(layers[name]) for name in order]
    return stack_to_igraph(
        [topology for topology, _ in edges],
        np.concatenate([weights for _, weights in edges]),
        [group_sizes[group] for group in range(len(group_sizes))],
        [groups[name] for name in order],
    )


def _edges(layer: LinearLayer) -> WeightedTopology:
    if isinstance(layer, SparseLayer):
        return WeightedTopology(layer.topology, layer.edge_weights())
    weights = as_array(weight_matrix(layer))
    return WeightedTopology(from_mask(np.ones(weights.shape, dtype=np.bool_)), weights.reshape(-1))


def _of_stack(model: nn.Module, sizes: Sizes) -> list[Pair]:
    """The wiring of a plain stack; any other module may join its layers in whatever way."""
    names = {module: name for name, module in model.named_modules()}
    stack: list[str] = []
    pending = [model]
    while pending:
        module = pending.pop()
        kind = dense_kind(module)
        if (kind and _runs_as(module, (kind,))) or (isinstance(module, SparseLayer) and "forward" not in vars(module)):
            stack.append(names[module])
        elif _runs_as(module, (nn.Sequential, SparseMLP)):
            pending += reversed(list(module.layers if isinstance(module, SparseMLP) else module))  # type: ignore[call-overload]
        elif not _runs_as(module, ELEMENTWISE):
            place = f" ({names[module]} is a {type(module).__name__})" if names[module] else ""
            raise _not_known(model, sizes, place)
    uses = Counter(stack)
    odd = next((name for name in sizes if uses[name] != 1), None)
    if odd is not None:
        raise _not_known(model, sizes, f" ({odd} is used {uses[odd]} times)")
    return list(pairwise(stack))


def _runs_as(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether a module is one of these kinds and computes as that kind does."""
    is_as_made = "forward" not in vars(module)
    return is_as_made and any(isinstance(module, kind) and type(module).forward is kind.forward for kind in kinds)


def _not_known(model: nn.Module, sizes: Sizes, reason: str) -> TopologyError:
    return TopologyError(
        f"model is a {type(model).__name__} and no plain stack{reason}, so how its layers are joined is not known; pass "
        "wiring=[(a, b), ...], pairs of names: the targets of layer a are the sources of layer b; the linear layers are "
        f"{_listed(sizes)}"
    )


def _listed(sizes: Sizes) -> str:
    shapes = [f"{name or 'the model'} ({n_in} -> {n_out})" for name, (n_in, n_out) in sizes.items()]
    return ", ".join(shapes[:MAX_LISTED]) + (f" and {len(shapes) - MAX_LISTED} more" if len(shapes) > MAX_LISTED else "")


def _stated(wiring: Iterable[Pair], sizes: Sizes) -> list[Pair]:
    """The pairs of a user, each once and of layers that there are."""
    if isinstance(wiring, str | torch.Tensor) or not is_iterable(wiring):
        raise TopologyError(f"wiring is {shown(wiring)}; it must be pairs (a, b) of layer names, or [] if no layers are joined")
    pairs: list[Pair] = []
    for pair in wiring:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(name, str) for name in pair)):
            raise TopologyError(f"wiring holds {shown(pair)}; it must hold pairs (a, b) of layer names")
        a, b = pair
        for name in (a, b):
            if name not in sizes:
                raise TopologyError(f"wiring names {name!r}; the linear layers of the model are {_listed(sizes)}")
        if (a, b) in pairs:
            raise TopologyError(f"wiring holds ({a!r}, {b!r}) more than once; every pair must be there once")
        pairs.append((a, b))
    return pairs


def _groups(names: list[str], pairs: list[Pair]) -> dict[str, tuple[int, int]]:
    """The groups of sources and of targets of every layer, numbered so that sources come before targets."""
    place = {name: 2 * number for number, name in enumerate(names)}  # of the sources, and that of the targets is the next
    ends = [[place[a] + 1 for a, _ in pairs], [place[b] for _, b in pairs]]
    joined = scipy.sparse.coo_array((np.ones(len(pairs)), np.array(ends, int)), shape=(2 * len(names),) * 2)
    sources, targets = scipy.sparse.csgraph.connected_components(joined, directed=False)[1].reshape(-1, 2).T.tolist()
    order: TopologicalSorter[int] = TopologicalSorter()
    for source, target in zip(sources, targets, strict=True):
        order.add(target, source)
    try:
        order.prepare()
    except CycleError as error:
        cycle = set(pairwise(error.args[1]))
        around = [name for name, *ends in zip(names, sources, targets, strict=True) if tuple(ends) in cycle]
        raise TopologyError(
            f"wiring makes a cycle through {' and '.join(map(repr, around))}; the targets of a layer must not be among the "
            "sources that it is computed from"
        ) from error
    ready: list[int] = []
    numbers: dict[int, int] = {}
    while order.is_active():
        for group in order.get_ready():
            heapq.heappush(ready, group)
        numbers[heapq.heappop(ready)] = len(numbers)
        order.done(next(reversed(numbers)))
    return {name: (numbers[a], numbers[b]) for name, a, b in zip(names, sources, targets, strict=True)}
