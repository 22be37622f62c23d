"""Graphs for the tests."""

import igraph
import networkx as nx
import numpy as np
import pytest
from hypothesis import strategies as st

from analysis.base.quantity import Quantities, Quantity
from analysis.graph.values import BipartiteGraph


def from_edges(n_in: int, n_out: int, edges: list[tuple[int, int]]) -> BipartiteGraph:
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
    return BipartiteGraph(n_in, n_out, ends[:, 0], ends[:, 1])


def complete(n_in: int, n_out: int) -> BipartiteGraph:
    return from_edges(n_in, n_out, [(s, t) for s in range(n_in) for t in range(n_out)])


def random_graph(n_in: int, n_out: int, n_edges: int, seed: int) -> BipartiteGraph:
    keys = np.random.default_rng(seed).choice(n_in * n_out, size=n_edges, replace=False)
    return BipartiteGraph(n_in, n_out, keys % n_in, keys // n_in)


def ring_lattice(n: int, degree: int) -> BipartiteGraph:
    return from_edges(n, n, [(s, (s + shift) % n) for s in range(n) for shift in range(degree)])


def to_networkx(graph: BipartiteGraph) -> nx.Graph:
    result = nx.Graph()
    result.add_nodes_from(range(graph.n_in), bipartite=0)
    result.add_nodes_from(range(graph.n_in, graph.n_neurons), bipartite=1)
    result.add_edges_from(zip(graph.src.tolist(), (graph.dst + graph.n_in).tolist(), strict=True))
    return result


def to_igraph(graph: BipartiteGraph) -> igraph.Graph:
    return igraph.Graph(n=graph.n_neurons, edges=np.stack([graph.src, graph.dst + graph.n_in], axis=1))


@st.composite
def bipartite_graphs(draw: st.DrawFn, largest_side: int = 7) -> BipartiteGraph:
    n_in, n_out = draw(st.integers(1, largest_side)), draw(st.integers(1, largest_side))
    pairs = st.tuples(st.integers(0, n_in - 1), st.integers(0, n_out - 1))
    return from_edges(n_in, n_out, draw(st.lists(pairs, unique=True, max_size=n_in * n_out)))


def relabelled(graph: BipartiteGraph, seed: int) -> BipartiteGraph:
    rng = np.random.default_rng(seed)
    sources, targets = rng.permutation(graph.n_in), rng.permutation(graph.n_out)
    return BipartiteGraph(graph.n_in, graph.n_out, sources[graph.src], targets[graph.dst])


def weighted(graph: BipartiteGraph, seed: int) -> BipartiteGraph:
    """The same edges with weights of both signs."""
    weights = np.random.default_rng(seed).standard_normal(graph.n_edges)
    return BipartiteGraph(graph.n_in, graph.n_out, graph.src, graph.dst, weights)


def values_of(quantities: Quantities) -> dict[str, float | None]:
    return {name: quantity.value for name, quantity in quantities.items()}


def assert_alike(actual: Quantities, expected: Quantities) -> None:
    """Equal, up to the rounding of sums that run in another order."""
    assert actual.keys() == expected.keys()
    for name, quantity in expected.items():
        assert actual[name].reason == quantity.reason, name
        if quantity.value is not None:
            assert actual[name].value == pytest.approx(quantity.value, rel=1e-12, abs=1e-12), name


def sides_exchanged(quantities: Quantities) -> dict[str, Quantity]:
    """Sources become targets and targets sources, in names and reasons."""

    def exchanged(text: str) -> str:
        return text.replace("source", "?").replace("target", "source").replace("?", "target")

    return {
        exchanged(name): Quantity(q.value, q.standard_error, None if q.reason is None else exchanged(q.reason))
        for name, q in quantities.items()
    }
