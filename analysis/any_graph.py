"""A decorator that lets a function of one layer take whatever a user holds."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from .graphs import BipartiteGraph
from .intake import as_bipartite

P = ParamSpec("P")
R = TypeVar("R")


def takes_any_graph(function: Callable[Concatenate[BipartiteGraph, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Let the first argument be any single layer that `analysis.intake.as_bipartite` takes: igraph, networkx, scipy, ...

    Args:
        function: takes a `BipartiteGraph` first.

    Returns:
        The same function, which converts that argument first; a `BipartiteGraph` is passed on as it is.
    """

    @wraps(function)
    def taking(graph: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return function(graph if isinstance(graph, BipartiteGraph) else as_bipartite(graph), *args, **kwargs)

    return taking
