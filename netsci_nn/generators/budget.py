"""What all generators share: their registry, their signature and how an edge budget is stated."""

import math
import numbers
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.registry import Registry
from netsci_nn.topology import BipartiteTopology, neuron_count

# A graph model: (n_in, n_out, *, n_edges=None, density=None, rng, **parameters), exactly that many edges out.
Generator = Callable[..., BipartiteTopology]

GENERATORS: Registry[Generator] = Registry("generator")


def resolve_n_edges(n_in: int, n_out: int, n_edges: int | None, density: float | None) -> int:
    """Return the number of edges that a budget stands for, after checking sizes and budget.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: the number itself, 0 to n_in * n_out; or None.
        density: a share in (0, 1] of n_in * n_out, meaning round(density * n_in * n_out) edges; or None.

    Raises:
        ConfigError: when not exactly one of `n_edges` and `density` is given.
        TopologyError: when the one that is given is out of range.
    """
    n_cells = neuron_count("n_in", n_in) * neuron_count("n_out", n_out)
    if (n_edges is None) == (density is None):
        raise ConfigError(f"n_edges is {n_edges!r} and density is {density!r}; exactly one of them must be given")
    if density is not None:
        return round(check_density("density", density) * n_cells)
    try:
        count = -1 if isinstance(n_edges, (bool, np.bool_)) else operator.index(n_edges)  # type: ignore[arg-type]
    except TypeError:
        count = -1
    if not 0 <= count <= n_cells:
        raise TopologyError(f"n_edges is {n_edges!r}; it must be an integer from 0 to n_in * n_out = {n_cells}")
    return count


def check_density(name: str, density: float) -> float:
    """Return `density` as a float after checking that it lies in (0, 1]."""
    return check_real(name, density, lambda value: 0 < value <= 1, "in (0, 1]")


def check_real(name: str, value: float, is_allowed: Any, allowed: str) -> float:
    """Return `value` as a float, or raise a TopologyError saying that it must be a finite number that is `allowed`."""
    if (
        isinstance(value, (bool, np.bool_))
        or not isinstance(value, numbers.Real)
        or not math.isfinite(value)
        or not is_allowed(value)
    ):
        raise TopologyError(f"{name} is {value!r}; it must be a number {allowed}")
    return float(value)
