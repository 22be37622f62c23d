"""What all generators share: their registry, their signature and how an edge budget is stated."""

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from netsci_nn.checks import check_density, neuron_count
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.registry import Registry
from netsci_nn.topology import BipartiteTopology

# A graph model: (n_in, n_out, *, n_edges=None, density=None, rng, **parameters), exactly that many edges out; models whose
# structure fixes the number of edges have neither n_edges nor density, deterministic ones no rng.
Generator = Callable[..., BipartiteTopology]

GENERATORS: Registry[Generator] = Registry("generator")


RESERVED = ("n_in", "n_out", "n_edges", "density", "rng")  # what is not a model's own parameter


def takes(generator: Callable[..., Any], name: str) -> bool:
    """Return whether a generator has a parameter of that name."""
    parameters = inspect.signature(generator).parameters
    return name in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def call(
    generator: Generator,
    n_in: int,
    n_out: int,
    *,
    n_edges: int | None = None,
    density: float | None = None,
    rng: Any = None,
    **parameters: Any,
) -> BipartiteTopology:
    """Call a generator with what it takes: `rng` only where it draws, a budget only where one is left to choose.

    Args:
        generator: as in `GENERATORS`.
        n_in: number of sources.
        n_out: number of targets.
        n_edges: exact number of edges; or
        density: share of the possible edges; or neither, for a generator that needs no budget.
        rng: int seed or numpy Generator.
        parameters: the model's own.

    Raises:
        ConfigError: when a budget is given to a generator whose structure fixes the number of edges.
        TopologyError: as the generator does.
    """
    given = {"n_edges": n_edges, "density": density}
    for name, value in given.items():
        if value is not None and not takes(generator, name):
            raise ConfigError(
                f"{name} is {value!r}; the structure of this model fixes its number of edges, so it must be left out"
            )
    budget = {name: value for name, value in given.items() if value is not None}
    return generator(n_in, n_out, **budget, **({"rng": rng} if takes(generator, "rng") else {}), **parameters)


def check_parameters(what: str, factory: Callable[..., Any], parameters: Mapping[str, Any]) -> None:
    """Raise a ConfigError that lists the choices unless `factory` has every one of these parameters of its own."""
    allowed = [name for name in inspect.signature(factory).parameters if name not in RESERVED]
    for name, value in parameters.items():
        if name not in allowed:
            raise ConfigError(f"{what}: unknown key {name!r} = {value!r}; allowed are: {', '.join(allowed) or 'none'}")


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
