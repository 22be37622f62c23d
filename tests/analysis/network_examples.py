"""Networks that are no chain, for the tests, and what a walk over their edges one by one finds in them."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import networkx as nx
import numpy as np
from bipartite_examples import complete, from_edges, weighted
from hypothesis import strategies as st

from analysis.graph.values import LayeredGraph


class Edge(NamedTuple):
    source: int
    target: int
    weight: float
    is_link: bool


def edges_of(network: LayeredGraph) -> list[Edge]:
    """Every edge and every link, read off the fields of the network."""
    sources, targets = network.sources, network.targets
    if sources is None or targets is None:
        neurons = np.split(np.arange(sum(network.layer_sizes)), np.cumsum(network.layer_sizes)[:-1])
        sources, targets = tuple(neurons[:-1]), tuple(neurons[1:])
    edges = []
    for layer, source, target in zip(network.layers, sources, targets, strict=True):
        weights = np.ones(layer.n_edges) if layer.weights is None else np.abs(layer.weights)
        triples = zip(layer.src.tolist(), layer.dst.tolist(), weights.tolist(), strict=True)
        edges += [Edge(int(source[s]), int(target[t]), weight, False) for s, t, weight in triples]
    return edges + [Edge(a, b, 1.0, True) for a, b in network.links.tolist()]


def undirected(network: LayeredGraph) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(sum(network.layer_sizes)))
    graph.add_edges_from((edge.source, edge.target) for edge in edges_of(network))
    return graph


def group_of(network: LayeredGraph) -> list[int]:
    return [group for group, size in enumerate(network.layer_sizes) for _ in range(size)]


def joined_groups(network: LayeredGraph) -> set[tuple[int, int]]:
    """Pairs of groups that a layer, whatever its edges, or a link joins."""
    group = group_of(network)
    pairs = {(group[a], group[b]) for a, b in network.links.tolist()}
    for source, target in zip(network.sources or (), network.targets or (), strict=True):
        pairs |= {(group[a], group[b]) for a in source.tolist() for b in target.tolist()}
    return pairs if network.sources is not None else pairs | set(itertools.pairwise(range(len(network.layer_sizes))))


def ends_of(network: LayeredGraph) -> tuple[set[int], set[int]]:
    """Inputs and outputs."""
    pairs, group = joined_groups(network), group_of(network)
    led_to, led_from = {b for _, b in pairs}, {a for a, _ in pairs}
    neurons = range(len(group))
    return {n for n in neurons if group[n] not in led_to}, {n for n in neurons if group[n] not in led_from}


def paths(network: LayeredGraph) -> list[list[Edge]]:
    """Every way from an input to an output, edge by edge."""
    inputs, outputs = ends_of(network)
    edges = edges_of(network)

    def onward(path: list[Edge], neuron: int) -> Iterator[list[Edge]]:
        if neuron in outputs:
            yield path
        for edge in edges:
            if edge.source == neuron:
                yield from onward([*path, edge], edge.target)

    return [path for neuron in sorted(inputs) for path in onward([], neuron)]


@st.composite
def networks(draw: st.DrawFn) -> LayeredGraph:
    """Skips, concatenations, slices, sums, neurons that are several sources, and links, in any mixture."""
    n_groups = draw(st.integers(2, 5))
    sizes = draw(st.lists(st.integers(1, 3), min_size=n_groups, max_size=n_groups))
    group = [index for index, size in enumerate(sizes) for _ in range(size)]
    layers, sources, targets = [], [], []
    for _ in range(draw(st.integers(1, 4))):
        later = draw(st.integers(1, n_groups - 1))
        before = [neuron for neuron in range(len(group)) if group[neuron] < later]
        inside = [neuron for neuron in range(len(group)) if group[neuron] == later]
        sources.append(draw(st.lists(st.sampled_from(before), min_size=1, max_size=4)))
        targets.append(draw(st.lists(st.sampled_from(inside), min_size=1, max_size=3, unique=draw(st.booleans()))))
        n_in, n_out = len(sources[-1]), len(targets[-1])
        pairs = st.tuples(st.integers(0, n_in - 1), st.integers(0, n_out - 1))
        edges = from_edges(n_in, n_out, draw(st.lists(pairs, unique=True, max_size=n_in * n_out)))
        layers.append(weighted(edges, draw(st.integers(0, 99))))
    pairs = [(a, b) for a, b in itertools.combinations(range(len(group)), 2) if group[a] < group[b]]
    links = draw(st.lists(st.sampled_from(pairs), max_size=4))
    # Groups that nothing joins are taken out.
    used = sorted({group[n] for n in itertools.chain(*sources, *targets, *links)})
    left = [n for n in range(len(group)) if group[n] in used]
    number = {neuron: index for index, neuron in enumerate(left)}
    return LayeredGraph(
        tuple(layers),
        sources=tuple(np.array([number[n] for n in side]) for side in sources),
        targets=tuple(np.array([number[n] for n in side]) for side in targets),
        group_sizes=tuple(sizes[index] for index in used),
        links=np.array([[number[a], number[b]] for a, b in links], dtype=np.int64).reshape(-1, 2),
    )


def residual_block() -> LayeredGraph:
    """y = x + F(x) of 2 neurons, where F has two complete layers with 3 neurons between them; then one output."""
    return LayeredGraph(
        (weighted(complete(2, 3), 0), weighted(complete(3, 2), 1), weighted(complete(2, 1), 2)),
        links=np.array([[0, 5], [1, 6]]),
        names=("up", "down", "head"),
        kinds=("convolution 3 x 3", "convolution 1 x 1", ""),
    )


def dense_block() -> LayeredGraph:
    """Every layer reads everything before it: groups of 2, 2, 2 and 1 neurons."""
    return LayeredGraph(
        (complete(2, 2), complete(4, 2), complete(6, 1)),
        sources=tuple(np.arange(n) for n in (2, 4, 6)),
        targets=(np.array([2, 3]), np.array([4, 5]), np.array([6])),
        group_sizes=(2, 2, 2, 1),
    )


def flattened() -> LayeredGraph:
    """Maps of a convolution, 2 from 3, of 4 positions each, which a linear layer of 3 neurons reads: two groups in a row."""
    return LayeredGraph(
        (weighted(complete(3, 2), 3), weighted(from_edges(8, 3, [(0, 0), (1, 0), (4, 0), (5, 1), (7, 2)]), 4)),
        sources=(np.arange(3), np.repeat([3, 4], 4)),
        targets=(np.array([3, 4]), np.array([5, 6, 7])),
        group_sizes=(3, 2, 3),
        kinds=("convolution 5 x 5", ""),
    )
