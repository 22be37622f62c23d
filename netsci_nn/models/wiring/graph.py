"""The graph of a whole network: its layers, joined at the neurons that they share, as the computation joins them."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from netsci_nn.checks import is_iterable
from netsci_nn.errors import ConfigError, TopologyError, shown
from netsci_nn.layers import SparseLayer
from netsci_nn.layers.conv import SparseConv, grouped_weight
from netsci_nn.layers.dense import weight_matrix
from netsci_nn.models.attention import unpacked
from netsci_nn.models.walk import kernel_of, linear_layers
from netsci_nn.models.wiring.neurons import Neurons
from netsci_nn.models.wiring.reading import Ends, UnreadableError, read_wiring
from netsci_nn.models.wiring.recording import record, tensors_in
from netsci_nn.topology import WiredLayer, Wiring, from_mask, network_to_igraph
from netsci_nn.topology.arrays import Int64Array, as_array

if TYPE_CHECKING:
    import igraph

DENSE_CONVOLUTIONS = nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d
MAP_SIZES = 32, 28, 64, 16, 8, 96, 128, 224, 227, 231, 299  # tried for maps where there is no example
MOST_TRIED = 4  # layers whose inputs are tried
MAX_LISTED = 8
MAX_EDGES = 2**26  # of a graph of igraph with weights, which then takes about 14 GB

Pair = tuple[str, str]
Layers = Mapping[str, nn.Module]


def network_graph(model: nn.Module, example: Any = None, wiring: Iterable[Pair] | None = None) -> igraph.Graph:
    """Return all layers of a model in one undirected igraph graph, joined as the computation joins them.

    The model is run once, without gradients and in evaluation mode, and what it does to every neuron is followed: residual
    sums, concatenations, slices, reshapes, flattening and pooling of maps, normalisations, attention, gates. Layers are
    `nn.Linear`, Hugging Face's `Conv1D`, convolutions of torch, transposed ones too, and sparse layers; those of
    `nn.MultiheadAttention` are called `q_proj`, `k_proj`, `v_proj` and `out_proj`. Neurons of a convolution are its channels,
    those of an embedding its features, which count as inputs. A dense layer is a complete graph; of a kernel the weight is its
    L2 norm.

    Vertices carry `layer`, the number of the group of neurons that they belong to, counted from the inputs on. Edges carry
    `layer`, the number of their layer, counted in the order of the groups that layers start from, and `weight`. Edges come
    layer by layer: edge k of layer l has the id k plus the number of edges before it; a layer that reads a flattened map joins
    a channel and a target once per place of the map. In a chain of layers the edges of layer l join the groups l and l + 1.

    Links come last: edges of weight 1 without a weight of their own. In y = x + f(x), where the last layer of f is used
    nowhere else, its targets are y, and x is linked to y. Where other numbers meet (in a product, or in a sum of what has an
    activation or is used elsewhere) a new neuron is linked to all of them. In attention every head is a neuron: its queries
    and keys are linked to it, and it and its values to what it gives. The graph attribute `layers` says which vertices a layer
    joins and which layers are convolutions (see `netsci_nn.topology.network_to_igraph`).

    Args:
        model: any module.
        example: what the model is run on: a tensor, a tuple of arguments or a dict of keyword arguments. None: zeros of the
            shape that one of its first layers reads; maps have the first size of 32, 28, 64, 16, 8, 96, 128, 224, 227, 231,
            299 that runs.
        wiring: instead of reading it, pairs (a, b) of names of layers: the targets of layer a are the sources of layer b, of
            which each reads n_in / n_out if a is a convolution (a flattened map). Pairs may share a layer, as where outputs
            are added up: after ("a", "c") and ("b", "c") the targets of a, the targets of b and the sources of c are one
            group. [] states that no two layers are joined. A skip connection from the sources of a layer to what it leads to
            would make a cycle; leave it out.

    Returns:
        The graph, which `analysis` takes.

    Raises:
        TopologyError: when there is no layer; when the layers have more than 2^26 edges, for which igraph would take more than
            14 GB; when the model cannot be run, does what is not understood, or uses a layer twice or never, and there is no
            `wiring`; when a pair occurs twice or names no layer; when layers that are joined differ in size; when there is a
            cycle.
        ConfigError: when `example` is given together with `wiring`.

    Example:
        >>> import netsci_nn as ns
        >>> from torch import nn
        >>> graph = ns.network_graph(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)))
        >>> graph.vs["layer"], graph.es["layer"]
        ([0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 0, 0, 1, 1])
    """
    if example is not None and wiring is not None:
        raise ConfigError("example and wiring are both given; the wiring is either read or stated")
    return network_to_igraph(wiring_of(model, example, wiring, most_edges=MAX_EDGES))


def wiring_of(
    model: nn.Module, example: Any = None, pairs: Iterable[Pair] | None = None, most_edges: int | None = None
) -> Wiring:
    """Return how the layers of a model, which may have so many edges, are joined; see `network_graph`."""
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; it must be a module")
    attention = [module for module in model.modules() if type(module) is nn.MultiheadAttention]
    with unpacked(model, attention, for_good=False) as whole:
        layers = _layers(whole)
        if not layers:
            raise TopologyError(f"model is a {type(model).__name__} without linear layers; it must have at least one")
        if most_edges is not None:
            _check_number_of_edges(layers, most_edges)
        neurons, ends = _read(whole, layers, example) if pairs is None else _joined(layers, _stated(pairs, layers))
        return _wiring(layers, neurons, ends)


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    linear = linear_layers(model)
    lazy = next((name for name, p in model.named_parameters() if isinstance(p, nn.UninitializedParameter)), None)
    if lazy is not None:
        raise TopologyError(f"parameter {lazy!r} has no shape yet; the model must be called once before its graph can be read")
    return {
        name: module
        for name, module in model.named_modules()
        if name in linear or type_before_parametrizations(module) in DENSE_CONVOLUTIONS
    }


def _size(layer: nn.Module) -> tuple[int, int]:
    """Return the numbers of neurons that a layer reads and makes."""
    if isinstance(layer, (*DENSE_CONVOLUTIONS, SparseConv)):
        return layer.in_channels, layer.out_channels
    if isinstance(layer, SparseLayer):
        return layer.n_in, layer.n_out
    n_out, n_in = weight_matrix(layer).shape
    return n_in, n_out


def _check_number_of_edges(layers: Layers, most: int) -> None:
    counts = {
        name: layer.n_edges if isinstance(layer, SparseLayer) else prod(_size(layer)) // getattr(layer, "groups", 1)
        for name, layer in layers.items()
    }
    total, largest = sum(counts.values()), max(counts, key=lambda name: counts[name])
    if total > most:
        raise TopologyError(
            f"model has {total:,} edges, {counts[largest]:,} of them in layer {largest!r}; a graph may have at most {most:,}; "
            "`sparsify` or `pruning` takes edges away"
        )


# Reading a model


def _read(model: nn.Module, layers: Layers, example: Any) -> tuple[Neurons, dict[str, Ends]]:
    """Return the neurons of a model and the ends of its layers, as a run on the example shows them."""
    embeddings = {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    known = {module: name for name, module in (*layers.items(), *embeddings.items())}
    scripted = next((name for name, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)), None)
    if scripted is not None:
        raise _not_known(model, layers, f"module {scripted!r} is a program of torch.jit, which cannot be recorded")
    failure = None
    for args, kwargs in _inputs(model, {**embeddings, **layers}, example):
        try:
            steps, outputs = record(model, known, args, kwargs)
        except Exception as error:  # whatever a model raises
            failure = failure or error
            continue
        try:
            reading = read_wiring(steps, tensors_in((args, kwargs)), outputs, {name: module for module, name in known.items()})
        except UnreadableError as error:
            raise _not_known(model, layers, str(error)) from error
        unused = next((name for name in layers if name not in reading.ends), None)
        if unused is not None:
            raise _not_known(model, layers, f"layer {unused!r} has no part in its forward pass in evaluation mode")
        return reading.neurons, {name: reading.ends[name] for name in layers}
    reason = re.split(r"\n|(?<=\w)\. ", str(failure))[0] or type(failure).__name__
    what = "example" if example is not None else "zeros of the shape that one of its first layers reads"
    ways = "another example=, or wiring" if example is not None else "example=, or wiring"
    raise _not_known(model, layers, f"it cannot be run on {what} ({reason})", ways) from failure


def _inputs(model: nn.Module, layers: Layers, example: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield arguments and keyword arguments to run the model on."""
    if isinstance(example, Mapping):
        yield (), dict(example)
    elif example is not None:
        yield (tuple(example) if isinstance(example, list | tuple) else (example,)), {}
    else:
        parameter = next(model.parameters())
        first_of_kind: dict[Any, nn.Module] = {}
        for layer in layers.values():
            first_of_kind.setdefault(isinstance(layer, nn.Embedding) or (type(layer), _size(layer)[0]), layer)
        firsts = list(first_of_kind.values())[:MOST_TRIED]
        for layer in firsts:
            for shape in _shapes(layer):
                dtype = torch.long if isinstance(layer, nn.Embedding) else parameter.dtype
                yield (torch.zeros(shape, dtype=dtype, device=parameter.device),), {}


def _shapes(layer: nn.Module) -> list[tuple[int, ...]]:
    """Return shapes of what a layer may read."""
    if isinstance(layer, nn.Embedding):
        return [(1, 2)]
    n_in = _size(layer)[0]
    if kernel_of(layer):
        maps = [(n_in, *[size] * len(kernel_of(layer))) for size in MAP_SIZES]
        return [(1, *shape) for shape in maps] + [(1, math.prod(shape)) for shape in maps]  # the latter for nn.Unflatten
    return [(1, n_in), (1, 2, n_in)]


def _not_known(model: nn.Module, layers: Layers, reason: str, ways: str = "wiring") -> TopologyError:
    return TopologyError(
        f"model is a {type(model).__name__} whose wiring cannot be read: {reason}; pass {ways}=[(a, b), ...], pairs of "
        f"names: the targets of layer a are the sources of layer b; the layers are {_listed(layers)}"
    )


def _listed(layers: Layers) -> str:
    shapes = ["{} ({} -> {})".format(name or "the model", *_size(layer)) for name, layer in layers.items()]
    return ", ".join(shapes[:MAX_LISTED]) + (f" and {len(shapes) - MAX_LISTED} more" if len(shapes) > MAX_LISTED else "")


# Wiring that is stated


def _stated(wiring: Iterable[Pair], layers: Layers) -> list[Pair]:
    """The pairs of a user, each once and of layers that there are."""
    if isinstance(wiring, str | torch.Tensor) or not is_iterable(wiring):
        raise TopologyError(f"wiring is {shown(wiring)}; it must be pairs (a, b) of layer names, or [] if no layers are joined")
    pairs: list[Pair] = []
    for pair in wiring:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(name, str) for name in pair)):
            raise TopologyError(f"wiring holds {shown(pair)}; it must hold pairs (a, b) of layer names")
        a, b = pair
        for name in (a, b):
            if name not in layers:
                raise TopologyError(f"wiring names {name!r}; the layers of the model are {_listed(layers)}")
        if (a, b) in pairs:
            raise TopologyError(f"wiring holds ({a!r}, {b!r}) more than once; every pair must be there once")
        pairs.append((a, b))
    return pairs


def _joined(layers: Layers, pairs: list[Pair]) -> tuple[Neurons, dict[str, Ends]]:
    """Return the neurons of layers that are joined as pairs say."""
    neurons, ends = Neurons(), {}
    for name, layer in layers.items():
        n_in, n_out = _size(layer)
        ends[name] = Ends(neurons.new(n_in), neurons.new(n_out))
    for a, b in pairs:
        targets, sources = ends[a].targets, ends[b].sources
        assert sources is not None
        if len(sources) != len(targets) and not (kernel_of(layers[a]) and len(sources) % len(targets) == 0):
            raise TopologyError(
                f"layer {a} has n_out = {len(targets)} and layer {b} has n_in = {len(sources)}; layers that follow each other "
                "must share a group of neurons"
            )
        neurons.unite(np.repeat(targets, len(sources) // len(targets)), sources)
    for name, layer in layers.items():
        if isinstance(layer, SparseConv) and layer.graph == "patch":
            sources = ends[name].sources
            assert sources is not None
            ends[name].sources = np.repeat(sources, layer.n_in // len(sources))
    return neurons, ends


# The graph


def _wiring(layers: Layers, neurons: Neurons, ends: Mapping[str, Ends]) -> Wiring:
    """Return the neurons in the order of their groups, and the layers that join them."""
    numbers, groups = neurons.joined_groups()
    sources = {name: numbers[end.sources] for name, end in ends.items()}
    targets = {name: numbers[end.targets] for name, end in ends.items()}
    pairs = [np.stack([numbers[a], numbers[b]], axis=1) for a, b in neurons.links]
    links = np.unique(np.concatenate([np.empty((0, 2), np.int64), *pairs]), axis=0)
    present = np.unique(np.concatenate([*sources.values(), *targets.values(), links.reshape(-1)]))
    order = _order(groups, sources, targets, links)
    vertices = present[np.lexsort((present, order[groups[present]]))]
    vertex_of = np.empty(len(numbers), np.int64)
    vertex_of[vertices] = np.arange(len(vertices))
    place = order[groups]
    names = sorted(layers, key=lambda name: (place[sources[name]].max(), place[targets[name]].max()))
    wired = [_wired(name, layers[name], vertex_of[sources[name]], vertex_of[targets[name]]) for name in names]
    _, dense_order = np.unique(place[vertices], return_inverse=True)
    return Wiring(tuple(wired), dense_order, vertex_of[links])


def _order(
    groups: Int64Array, sources: Mapping[str, Int64Array], targets: Mapping[str, Int64Array], links: Int64Array
) -> Int64Array:
    """Return the place of every group: after those that it is computed from, and else as they are numbered."""
    sorter: TopologicalSorter[int] = TopologicalSorter()
    edges: dict[tuple[int, int], str] = {}
    for name in sources:
        for source in np.unique(groups[sources[name]]).tolist():
            for target in np.unique(groups[targets[name]]).tolist():
                sorter.add(target, source)
                edges.setdefault((source, target), name)
    for source, target in np.unique(groups[links], axis=0).tolist():
        sorter.add(target, source)
    try:
        sorter.prepare()
    except CycleError as error:
        around = {edges[pair] for pair in pairwise(error.args[1]) if pair in edges}
        raise TopologyError(
            f"wiring makes a cycle through {' and '.join(repr(name) for name in sources if name in around)}; the targets of a "
            "layer must not be among the sources that it is computed from"
        ) from error
    place = np.zeros(int(groups.max()) + 1, np.int64)
    ready: list[int] = []
    for count in range(len(place)):
        for group in sorter.get_ready():
            heapq.heappush(ready, group)
        if not ready:
            break
        group = heapq.heappop(ready)
        place[group] = count
        sorter.done(group)
    return place


def _wired(name: str, layer: nn.Module, sources: Int64Array, targets: Int64Array) -> WiredLayer:
    """Return a layer with the vertices that it joins."""
    if isinstance(layer, SparseLayer):
        return WiredLayer(name, kernel_of(layer), layer.topology, layer.edge_weights(), sources, targets)
    if isinstance(layer, DENSE_CONVOLUTIONS):
        weight, allowed = grouped_weight(layer)
        if layer.transposed:  # of which the weight begins with the sources
            weight, allowed = weight.transpose(0, 1), allowed.T
        norms = torch.linalg.vector_norm(weight.detach().flatten(2), dim=2)
        topology = from_mask(allowed.cpu().numpy())
        return WiredLayer(name, kernel_of(layer), topology, as_array(norms[allowed]), sources, targets)
    weights = as_array(weight_matrix(layer))
    topology = from_mask(np.ones(weights.shape, dtype=np.bool_))
    return WiredLayer(name, (), topology, weights.reshape(-1), sources, targets)
