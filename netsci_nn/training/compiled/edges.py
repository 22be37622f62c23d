"""Changing the edges of one layer of a compiled stack between two mini-batches."""

import numpy as np

from netsci_nn.compiling import njit
from netsci_nn.rewiring import EdgeDelta, merge_edges
from netsci_nn.training.compiled.steps import Network

PER_EDGE = "weight", "velocity", "src", "dst", "by_source", "dst_by_source", "birth"


def replace_edges(network: Network, layer: int, delta: EdgeDelta, step: int) -> Network:
    """Carry out `delta` in one layer: survivors keep weight, velocity and birth, new edges start with velocity 0.

    Takes O(edges of the layer), without a sort. As long as as many edges are grown as dropped, the network is changed in place;
    else a new one is returned.

    Args:
        network: the stack.
        layer: its number.
        delta: positions among the layer's edges, and new edges.
        step: birth of the new edges.

    Raises:
        TopologyError: if a new edge exists already, occurs twice or is out of range; nothing is changed then.
    """
    first, end = network.edge_start[layer : layer + 2]
    rows = slice(network.group_start[layer + 1], network.group_start[layer + 2] + 1)
    first_source, first_target, last = network.group_start[layer : layer + 3].tolist()
    n_in, n_out = first_target - first_source, last - first_target
    delta.check_fits(int(end - first), ())
    pointers = network.target_pointers[rows] - first
    merged = merge_edges(n_in, n_out, network.src[first:end], network.dst[first:end], pointers, delta)
    weight = network.weight[first:end] if delta.kept_values is None else delta.kept_values.astype(network.weight.dtype)
    new_values = delta.grown_values[merged.order].astype(network.weight.dtype)
    old = weight, network.velocity[first:end], network.birth[first:end]
    moved = _moved(*old, merged.origin, merged.grown, new_values, step)
    if len(merged.src) != end - first:
        network = _resized(network, layer, len(merged.src) - int(end - first))
    _write(network, layer, merged.src, merged.dst, *moved)
    return network


@njit(cache=True, nogil=True)
def _moved(weight, velocity, birth, origin, grown, grown_values, step):  # type: ignore[no-untyped-def]
    """Return weight, velocity and birth of every edge in its new place; new edges start with velocity 0."""
    n_edges = len(origin)
    new_weight, new_velocity = np.empty(n_edges, weight.dtype), np.empty(n_edges, weight.dtype)
    new_birth = np.empty(n_edges, np.int32)
    next_grown = 0
    for place in range(n_edges):
        if next_grown < len(grown) and grown[next_grown] == place:
            new_weight[place], new_velocity[place], new_birth[place] = grown_values[next_grown], 0, step
            next_grown += 1
        else:
            old = origin[place]
            new_weight[place], new_velocity[place], new_birth[place] = weight[old], velocity[old], birth[old]
    return new_weight, new_velocity, new_birth


def _resized(network: Network, layer: int, surplus: int) -> Network:
    """Return a copy with room for `surplus` more edges in one layer; that layer's edges have yet to be written."""
    first, end = network.edge_start[layer], network.edge_start[layer + 1]
    edge_start, row = network.edge_start.copy(), int(network.group_start[layer + 2])
    edge_start[layer + 1 :] += surplus
    later = {"target_pointers": network.target_pointers.copy(), "source_pointers": network.source_pointers.copy()}
    later["target_pointers"][row:] += surplus
    later["source_pointers"][int(network.group_start[layer + 1]) :] += surplus
    per_edge = {}
    for name in PER_EDGE:
        old = getattr(network, name)
        per_edge[name] = np.concatenate([old[:first], np.empty(end - first + surplus, old.dtype), old[end:]])
    per_edge["by_source"][edge_start[layer + 1] :] += surplus
    return network._replace(edge_start=edge_start, **per_edge, **later)


@njit(cache=True, nogil=True)
def _write(network, layer, src, dst, weight, velocity, birth):  # type: ignore[no-untyped-def]
    """Put a layer's edges, sorted by target, into the network, and rebuild its pointers and order by source by counting."""
    first_source, first_target = network.group_start[layer], network.group_start[layer + 1]
    first, end = network.edge_start[layer], network.edge_start[layer + 1]
    n_in, n_out = first_target - first_source, network.group_start[layer + 2] - first_target
    network.src[first:end], network.dst[first:end], network.birth[first:end] = src, dst, birth
    network.weight[first:end], network.velocity[first:end] = weight, velocity
    place, edge = np.zeros(n_in + 1, np.int64), 0
    for target in range(n_out):
        network.target_pointers[first_target + target] = first + edge
        while edge < len(dst) and dst[edge] == target:
            place[src[edge] + 1] += 1
            edge += 1
    network.target_pointers[first_target + n_out] = end
    for source in range(n_in):
        place[source + 1] += place[source]
    for source in range(n_in):
        place[source] += first
        network.source_pointers[first_source + source] = place[source]
    for edge in range(len(src)):
        position = place[src[edge]]
        network.by_source[position], network.dst_by_source[position] = first + edge, dst[edge]
        place[src[edge]] += 1
