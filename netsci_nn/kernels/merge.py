"""Replacing a few edges of a layer inside compiled training: a merge in sorted order, without a sort."""

import numpy as np
from numba import njit

from netsci_nn.kernels.epoch import Array, Network


def replace_edges(
    network: Network, layer: int, dropped: Array, grown_src: Array, grown_dst: Array, grown_values: Array, step: int
) -> Network | None:
    """Replace edges of one layer, in O(edges of the layer): values, velocity, births and both orientations.

    Args:
        network: the stack; survivors keep their value, velocity and birth, new edges start with velocity 0. It is changed
            in place where as many edges are grown as dropped.
        layer: its number.
        dropped: int64, distinct positions among the layer's edges.
        grown_src: int64, sources of the new edges, sorted by (target, source).
        grown_dst: int64, their targets.
        grown_values: their values.
        step: birth of the new edges.

    Returns:
        The network, a new one where the number of edges differs; None where a new edge exists already, occurs twice or is
        out of range: the network is then unchanged.
    """
    fits, *edges = _merged(network, layer, dropped, grown_src, grown_dst, grown_values, step)
    if not fits:
        return None
    if len(grown_src) != len(dropped):
        network = _resized(network, layer, len(grown_src) - len(dropped))
    _write(network, layer, *edges)
    return network


def _resized(network: Network, layer: int, surplus: int) -> Network:
    """Return a copy with room for `surplus` more edges in one layer; that layer's edges have yet to be written."""
    first, end = network.edge_start[layer], network.edge_start[layer + 1]
    edge_start, row = network.edge_start.copy(), int(network.group_start[layer + 2])
    edge_start[layer + 1 :] += surplus
    later = {"target_pointers": network.target_pointers.copy(), "source_pointers": network.source_pointers.copy()}
    later["target_pointers"][row:] += surplus
    later["source_pointers"][int(network.group_start[layer + 1]) :] += surplus
    per_edge = {}
    for name in ("values", "velocity", "src", "by_source", "dst_by_source", "birth"):
        old = getattr(network, name)
        per_edge[name] = np.concatenate([old[:first], np.empty(end - first + surplus, old.dtype), old[end:]])
    per_edge["by_source"][edge_start[layer + 1] :] += surplus
    return network._replace(edge_start=edge_start, **per_edge, **later)


@njit(cache=True, nogil=True)
def _merged(network, layer, dropped, grown_src, grown_dst, grown_values, step):  # type: ignore[no-untyped-def]
    """Return whether the new edges fit, and the layer's new src, values, velocity, birth and places where targets begin."""
    first, end = network.edge_start[layer], network.edge_start[layer + 1]
    first_source, first_target = network.group_start[layer], network.group_start[layer + 1]
    n_in, n_out = first_target - first_source, network.group_start[layer + 2] - first_target
    n_new = max(0, end - first - len(dropped) + len(grown_dst))
    src, birth = np.empty(n_new, np.int32), np.empty(n_new, np.int32)
    values, velocity = np.empty(n_new, network.values.dtype), np.zeros(n_new, network.values.dtype)
    pointers = np.empty(n_out + 1, np.int64)
    is_dropped = np.zeros(end - first, np.bool_)
    misfit = (False, src, values, velocity, birth, pointers)
    for position in dropped:
        if not 0 <= position < end - first or is_dropped[position]:
            return misfit
        is_dropped[position] = True
    place, grown = 0, 0
    for target in range(n_out):
        pointers[target] = place
        edge, last = network.target_pointers[first_target + target], network.target_pointers[first_target + target + 1]
        while True:
            while edge < last and is_dropped[edge - first]:
                edge += 1
            is_new = grown < len(grown_dst) and grown_dst[grown] == target
            if edge == last and not is_new:
                break
            if place == n_new:
                return misfit
            if is_new and (edge == last or grown_src[grown] <= network.src[edge]):
                is_repeated = place > 0 and pointers[target] < place and src[place - 1] >= grown_src[grown]
                exists = edge < last and grown_src[grown] == network.src[edge]
                if is_repeated or exists or not 0 <= grown_src[grown] < n_in:
                    return misfit
                src[place], values[place], birth[place] = grown_src[grown], grown_values[grown], step
                grown += 1
            else:
                src[place], values[place], birth[place] = network.src[edge], network.values[edge], network.birth[edge]
                velocity[place] = network.velocity[edge]
                edge += 1
            place += 1
    pointers[n_out] = place
    fits = grown == len(grown_dst) and place == n_new
    return fits, src, values, velocity, birth, pointers


@njit(cache=True, nogil=True)
def _write(network, layer, src, values, velocity, birth, pointers):  # type: ignore[no-untyped-def]
    """Put a layer's edges, as many as there is room for, into the network."""
    first, end = network.edge_start[layer], network.edge_start[layer + 1]
    first_target = network.group_start[layer + 1]
    network.src[first:end], network.birth[first:end] = src, birth
    network.values[first:end], network.velocity[first:end] = values, velocity
    network.target_pointers[first_target : first_target + len(pointers)] = pointers + first
    _order_by_source(network, layer)


@njit(cache=True, nogil=True)
def _order_by_source(network, layer):  # type: ignore[no-untyped-def]
    """Rebuild the order by source of one layer by counting."""
    first_source, first_target = network.group_start[layer], network.group_start[layer + 1]
    first, end = network.edge_start[layer], network.edge_start[layer + 1]
    n_in = first_target - first_source
    place = np.zeros(n_in + 1, np.int64)
    for edge in range(first, end):
        place[network.src[edge] + 1] += 1
    for source in range(n_in):
        place[source + 1] += place[source]
    for source in range(n_in):
        place[source] += first
        network.source_pointers[first_source + source] = place[source]
    for target in range(network.group_start[layer + 2] - first_target):
        row = first_target + target
        for edge in range(network.target_pointers[row], network.target_pointers[row + 1]):
            position = place[network.src[edge]]
            network.by_source[position], network.dst_by_source[position] = edge, target
            place[network.src[edge]] += 1
