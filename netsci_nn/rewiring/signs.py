"""A fixed sign for every pair of neurons that may ever be joined, without a table of all pairs."""

import numpy as np
import numpy.typing as npt

from netsci_nn.rewiring.view import EdgeView, Memory
from netsci_nn.sampling import contains
from netsci_nn.topology import Int64Array


def draw_signs(edges: EdgeView, rng: np.random.Generator) -> Memory:
    """Return what fixes the sign of every pair of a layer, in O(n_edges) memory.

    Pairs that are joined now keep the sign of their weight (that of a zero is its sign bit). All others have a random one,
    the bit of a hash of the pair and of a key drawn here.
    """
    return {
        "sign_key": rng.integers(-(2**63), 2**63, size=1),
        "first_cells": edges.keys(),
        "first_is_negative": np.signbit(edges.weight),
    }


def signs_of(cells: Int64Array, memory: Memory) -> npt.NDArray[np.float64]:
    """Return the sign, 1.0 or -1.0, of each pair dst * n_in + src."""
    is_negative = _is_odd_hash(cells, memory["sign_key"])
    is_first = contains(memory["first_cells"], cells)
    position = np.searchsorted(memory["first_cells"], cells[is_first])
    is_negative[is_first] = memory["first_is_negative"][position]
    return np.where(is_negative, -1.0, 1.0)


def _is_odd_hash(cells: Int64Array, key: Int64Array) -> npt.NDArray[np.bool_]:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014), one bit of it."""
    mixed = cells.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + key.view(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed >> np.uint64(63)) & np.uint64(1)).astype(np.bool_)
