"""Replacing a few edges of a layer inside compiled training: a merge in sorted order, without a sort."""

import numpy as np
from numba import njit

from netsci_nn.kernels.epoch import Network


@njit(cache=True, nogil=True)
def replace_edges(  # type: ignore[no-untyped-def]
    network: Network, layer, dropped, grown_src, grown_dst, grown_values, step
):
    """Replace edges of one layer in place, in O(edges of the layer): values, velocity, births and both orientations.

    Args:
        network: the stack; survivors keep their value, velocity and birth, new edges start with velocity 0.
        layer: its number.
        dropped: int64, distinct positions among the layer's edges, as many as edges are grown.
        grown_src: int64, sources of the new edges, sorted by (target, source).
        grown_dst: int64, their targets.
        grown_values: their values.
        step: birth of the new edges.

    Returns:
        True; False where a new edge exists already, occurs twice or is out of range: the layer is then unchanged.
    """
    first, end = network.edge_start[layer], network.edge_start[layer + 1]
    first_source, first_target = network.group_start[layer], network.group_start[layer + 1]
    n_in, n_out = first_target - first_source, network.group_start[layer + 2] - first_target
    src, birth = np.empty(end - first, np.int32), np.empty(end - first, np.int32)
    values, velocity = np.empty(end - first, network.values.dtype), np.zeros(end - first, network.values.dtype)
    pointers = np.empty(n_out + 1, np.int64)
    is_dropped = np.zeros(end - first, np.bool_)
    for position in dropped:
        if not 0 <= position < end - first or is_dropped[position]:
            return False
        is_dropped[position] = True
    place, grown = 0, 0
    for target in range(n_out):
        pointers[target] = first + place
        edge, last = network.target_pointers[first_target + target], network.target_pointers[first_target + target + 1]
        while True:
            while edge < last and is_dropped[edge - first]:
                edge += 1
            is_new = grown < len(grown_dst) and grown_dst[grown] == target
            if edge == last and not is_new:
                break
            if place == end - first:
                return False
            if is_new and (edge == last or grown_src[grown] <= network.src[edge]):
                is_repeated = place > 0 and pointers[target] < first + place and src[place - 1] >= grown_src[grown]
                exists = edge < last and grown_src[grown] == network.src[edge]
                if is_repeated or exists or not 0 <= grown_src[grown] < n_in:
                    return False
                src[place], values[place], birth[place] = grown_src[grown], grown_values[grown], step
                grown += 1
            else:
                src[place], values[place], birth[place] = network.src[edge], network.values[edge], network.birth[edge]
                velocity[place] = network.velocity[edge]
                edge += 1
            place += 1
    if grown < len(grown_dst) or place != end - first:
        return False
    pointers[n_out] = end
    network.src[first:end], network.birth[first:end] = src, birth
    network.values[first:end], network.velocity[first:end] = values, velocity
    network.target_pointers[first_target : first_target + n_out + 1] = pointers
    _order_by_source(network, layer)
    return True


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
