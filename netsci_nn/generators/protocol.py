"""The protocol of graph models: their registry, their signature, and how the number of edges is stated."""

from collections.abc import Callable
from typing import Any

from netsci_nn.checks import check_count, check_density, neuron_count
from netsci_nn.errors import ConfigError
from netsci_nn.registry import Registry, takes
from netsci_nn.topology import BipartiteTopology

# A graph model: (n_in, n_out, *, n_edges=None, density=None, rng, **parameters), exactly that many edges out; models whose
# structure fixes the number of edges have neither n_edges nor density, deterministic ones no rng.
Generator = Callable[..., BipartiteTopology]

GENERATORS: Registry[Generator] = Registry("generator")


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
    """Call a generator with what it takes: `rng` only if it draws, a number of edges only if it is left to choose.

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

    Example:
        >>> from netsci_nn import generators
        >>> call(generators.grouped, 4, 4, n_groups=2, rng=0).n_edges  # takes neither a density nor rng
        8
    """
    given = {"n_edges": n_edges, "density": density}
    for name, value in given.items():
        if value is not None and not takes(generator, name):
            raise ConfigError(
                f"{name} is {value!r}; the structure of this model fixes its number of edges, so it must be left out"
            )
    budget = {name: value for name, value in given.items() if value is not None}
    return generator(n_in, n_out, **budget, **({"rng": rng} if takes(generator, "rng") else {}), **parameters)


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

    Example:
        >>> resolve_n_edges(784, 300, n_edges=None, density=0.1)
        23520
    """
    n_cells = neuron_count("n_in", n_in) * neuron_count("n_out", n_out)
    if (n_edges is None) == (density is None):
        raise ConfigError(f"n_edges is {n_edges!r} and density is {density!r}; exactly one of them must be given")
    if density is not None:
        return round(check_density("density", density) * n_cells)
    return check_count("n_edges", n_edges, 0, n_cells, "n_in * n_out")
