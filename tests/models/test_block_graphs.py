"""The graphs of the compact modules: drawn by hand, beside taint when sparse, and measured after training beside networkx."""

import inspect
import math
import re
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import igraph
import networkx as nx
import numpy as np
import pytest
import torch
from drawn_graphs import alike, drawn, full, groups_of, neurons, reached, tainted
from torch import nn

import analysis
import netsci_nn as ns
from netsci_nn.data import load_dataset
from netsci_nn.models import blocks

NONE: set[tuple[str, str]] = set()
Names = list[str]


class Case(NamedTuple):
    """A small module and its graph by hand.

    Attributes:
        make: builds it.
        groups: the number of neurons of every group, in the order of computation, by the letter of its neurons.
        draw: of the names of these neurons, the edges of layers, the links, and the neurons that the module returns, in order.
    """

    make: Callable[[], nn.Module]
    groups: dict[str, int]
    draw: Callable[..., tuple[set[tuple[str, str]], set[tuple[str, str]], Names]]


def halves(a: Names, b: Names) -> set[tuple[str, str]]:
    """Two groups of a convolution."""
    return full(a[: len(a) // 2], b[: len(b) // 2]) | full(a[len(a) // 2 :], b[len(b) // 2 :])


def thirds(a: Names, b: Names) -> set[tuple[str, str]]:
    """Three groups of a convolution."""
    n, m = len(a) // 3, len(b) // 3
    return full(a[:n], b[:m]) | full(a[n : 2 * n], b[m : 2 * m]) | full(a[2 * n :], b[2 * m :])


CASES = {
    "mlpconv": Case(
        lambda: blocks.mlpconv(2, (3, 2, 2)),
        {"x": 2, "a": 3, "b": 2, "c": 2},
        lambda x, a, b, c: (full(x, a) | full(a, b) | full(b, c), NONE, c),
    ),
    # 1x1 to a | 1x1 to b, 3x3 to c | 1x1 to d, 5x5 to e | pool, 1x1 to f
    "inception_v1": Case(
        lambda: blocks.inception_v1(3, 2, 2, 3, 1, 2, 1),
        {"x": 3, "a": 2, "b": 2, "c": 3, "d": 1, "e": 2, "f": 1},
        lambda x, a, b, c, d, e, f: (
            full(x, a) | full(x, b) | full(b, c) | full(x, d) | full(d, e) | full(x, f),
            NONE,
            a + c + e + f,
        ),
    ),
    # 1x1 to a | 1x1 to b, 3x3 to c | 1x1 to d, 3x3 to e, 3x3 to f | pool, 1x1 to g
    "inception_v3, 3x3": Case(
        lambda: blocks.inception_v3(3, 2, 2, 3, 1, 1),
        {"x": 3, "a": 2, "b": 2, "c": 3, "d": 2, "e": 2, "f": 1, "g": 1},
        lambda x, a, b, c, d, e, f, g: (
            full(x, a) | full(x, b) | full(b, c) | full(x, d) | full(d, e) | full(e, f) | full(x, g),
            NONE,
            a + c + f + g,
        ),
    ),
    # every 3x3 is a 1x3 and a 3x1
    "inception_v3, 1xn": Case(
        lambda: blocks.inception_v3(3, 2, 2, 3, 1, 1, n=3),
        {"x": 3, "a": 2, "b": 2, "B": 2, "c": 3, "d": 2, "D": 2, "e": 2, "E": 2, "f": 1, "g": 1},
        lambda x, a, b, B, c, d, D, e, E, f, g: (
            full(x, a)
            | full(x, b)
            | full(b, B)
            | full(B, c)
            | full(x, g)
            | full(x, d)
            | full(d, D)
            | full(D, e)
            | full(e, E)
            | full(E, f),
            NONE,
            a + c + f + g,
        ),
    ),
    # depthwise from x to a, pointwise to b, ..., y
    "xception, middle flow": Case(
        lambda: blocks.xception(2, 2),
        {"x": 2, "a": 2, "b": 2, "c": 2, "d": 2, "e": 2, "y": 2},
        lambda x, a, b, c, d, e, y: (
            alike(x, a) | full(a, b) | alike(b, c) | full(c, d) | alike(d, e) | full(e, y),
            alike(x, y),
            y,
        ),
    ),
    # what is pooled is no longer a sum, so y is the shortcut's, and the maps before pooling are linked to it
    "xception, entry flow": Case(
        lambda: blocks.xception(2, 3, n_convolutions=2, stride=2),
        {"x": 2, "a": 2, "b": 3, "c": 3, "d": 3, "y": 3},
        lambda x, a, b, c, d, y: (alike(x, a) | full(a, b) | alike(b, c) | full(c, d) | full(x, y), alike(d, y), y),
    ),
    "xception, another width": Case(
        lambda: blocks.xception(2, 3, n_convolutions=1),
        {"x": 2, "a": 2, "y": 3},
        lambda x, a, y: (alike(x, a) | full(a, y) | full(x, y), NONE, y),
    ),
    "highway": Case(
        lambda: blocks.highway(3),
        {"x": 3, "h": 3, "t": 3, "y": 3},
        lambda x, h, t, y: (full(x, h) | full(x, t), alike(x, y) | alike(h, y) | alike(t, y), y),
    ),
    "residual": Case(
        lambda: blocks.residual(3, 3),
        {"x": 3, "h": 3, "y": 3},
        lambda x, h, y: (full(x, h) | full(h, y), alike(x, y), y),
    ),
    "residual, stride 2": Case(
        lambda: blocks.residual(3, 2, stride=2),
        {"x": 3, "h": 2, "y": 2},
        lambda x, h, y: (full(x, h) | full(h, y) | full(x, y), NONE, y),
    ),
    "bottleneck": Case(
        lambda: blocks.bottleneck(4, 2, 4),
        {"x": 4, "h": 2, "i": 2, "y": 4},
        lambda x, h, i, y: (full(x, h) | full(h, i) | full(i, y), alike(x, y), y),
    ),
    "bottleneck, stride 2": Case(
        lambda: blocks.bottleneck(3, 2, 4, stride=2),
        {"x": 3, "h": 2, "i": 2, "y": 4},
        lambda x, h, i, y: (full(x, h) | full(h, i) | full(i, y) | full(x, y), NONE, y),
    ),
    "resnext": Case(
        lambda: blocks.resnext(5, 5, cardinality=2, group_width=2),
        {"x": 5, "h": 4, "i": 4, "y": 5},
        lambda x, h, i, y: (full(x, h) | halves(h, i) | full(i, y), alike(x, y), y),
    ),
    "resnext, stride 2": Case(
        lambda: blocks.resnext(5, 4, cardinality=3, group_width=2, stride=2),
        {"x": 5, "h": 6, "i": 6, "y": 4},
        lambda x, h, i, y: (full(x, h) | thirds(h, i) | full(i, y) | full(x, y), NONE, y),
    ),
    # growth of 1: down to 4 * 1 channels, h and i, then 1 more, a and b
    "dense_block": Case(
        lambda: blocks.dense_block(3, growth_rate=1, n_layers=2),
        {"x": 3, "h": 4, "a": 1, "i": 4, "b": 1},
        lambda x, h, a, i, b: (full(x, h) | full(h, a) | full(x + a, i) | full(i, b), NONE, x + a + b),
    ),
    "dense_block, no bottleneck": Case(
        lambda: blocks.dense_block(3, growth_rate=2, n_layers=3, bottleneck=False),
        {"x": 3, "a": 2, "b": 2, "c": 2},
        lambda x, a, b, c: (full(x, a) | full(x + a, b) | full(x + a + b, c), NONE, x + a + b + c),
    ),
    "mobilenet_v1": Case(
        lambda: blocks.mobilenet_v1(3, 2, stride=2),
        {"x": 3, "d": 3, "y": 2},
        lambda x, d, y: (alike(x, d) | full(d, y), NONE, y),
    ),
    "mobilenet_v2": Case(
        lambda: blocks.mobilenet_v2(2, 2, expansion=3),
        {"x": 2, "h": 6, "d": 6, "y": 2},
        lambda x, h, d, y: (full(x, h) | alike(h, d) | full(d, y), alike(x, y), y),
    ),
    "mobilenet_v2, stride 2": Case(
        lambda: blocks.mobilenet_v2(2, 2, stride=2, expansion=2),
        {"x": 2, "h": 4, "d": 4, "y": 2},
        lambda x, h, d, y: (full(x, h) | alike(h, d) | full(d, y), NONE, y),
    ),
    "mobilenet_v2, expansion 1": Case(
        lambda: blocks.mobilenet_v2(3, 3, expansion=1),
        {"x": 3, "d": 3, "y": 3},
        lambda x, d, y: (alike(x, d) | full(d, y), alike(x, y), y),
    ),
    # 4 channels in 2 groups are shuffled: 0, 2, 1, 3
    "shufflenet": Case(
        lambda: blocks.shufflenet(16, 16, groups=2),
        {"x": 16, "h": 4, "d": 4, "y": 16},
        lambda x, h, d, y: (halves(x, h) | alike([h[0], h[2], h[1], h[3]], d) | halves(d, y), alike(x, y), y),
    ),
    # 6 channels in 3 groups: 0, 2, 4, 1, 3, 5; what is pooled is returned beside y
    "shufflenet, stride 2": Case(
        lambda: blocks.shufflenet(12, 24, groups=3, stride=2),
        {"x": 12, "h": 6, "d": 6, "y": 12},
        lambda x, h, d, y: (thirds(x, h) | alike([*h[::2], *h[1::2]], d) | thirds(d, y), NONE, x + y),
    ),
}


def n_returned(name: str) -> int:
    return len(CASES[name].draw(**neurons(**CASES[name].groups))[2])


def read_by_one_each(name: str) -> nn.Module:
    """A module and a depthwise convolution, which tells in which order the module returns its neurons."""
    torch.manual_seed(0)
    return nn.Sequential(CASES[name].make(), nn.Conv2d(n_returned(name), n_returned(name), 1, groups=n_returned(name)))


def channels(model: nn.Module) -> int:
    """The channels that a module reads: those of its first layer, be it a normalisation."""
    first = next(part for part in model.modules() if isinstance(part, nn.Conv2d | ns.SparseConv2d | nn.BatchNorm2d))
    return first.num_features if isinstance(first, nn.BatchNorm2d) else first.in_channels


def network_graph_at_8(model: nn.Module) -> igraph.Graph:
    return ns.network_graph(model, torch.zeros(1, channels(model), 8, 8))


def part_of(graph: igraph.Graph, name: str) -> dict[str, Any]:
    return next(part for part in graph["layers"] if part["name"] == name)


def test_every_module_is_drawn() -> None:
    makers = {name for name, maker in vars(blocks).items() if inspect.isfunction(maker)}
    assert {name.split(",")[0] for name in CASES} == makers


@pytest.mark.parametrize("name", CASES)
def test_graphs_are_those_drawn_by_hand(name: str) -> None:
    case, model = CASES[name], read_by_one_each(name)
    graph, n = network_graph_at_8(model), neurons(**case.groups)
    edges, links, returned = case.draw(**n)
    n["o"] = [f"o{k}" for k in range(len(returned))]
    expected = edges | alike(returned, n["o"]) | links
    assert groups_of(graph) == [*case.groups.values(), len(returned)]
    assert drawn(graph, n) == expected
    assert graph.ecount() == len(expected)  # no pair is joined twice
    convs = {key: part for key, part in model.named_modules() if isinstance(part, nn.Conv2d)}
    names = [part["name"] for part in graph["layers"]]
    assert sorted(names) == sorted([*convs, *(["links"] if links else [])])
    if links:
        first, last = part_of(graph, "links")["edges"]
        flat = [neuron for group in n.values() for neuron in group]
        assert {(flat[a], flat[b]) for a, b in graph.get_edgelist()[first:last]} == links
        assert graph.es[first:last]["weight"] == [1] * len(links)
    for key, conv in convs.items():
        part = part_of(graph, key)
        first, last = part["edges"]
        norms = conv.weight.detach().flatten(2).norm(dim=2).numpy()  # [n_out, n_in / groups]
        inside = part["src"] % norms.shape[1]  # the place of a source in its group
        assert last - first == norms.size
        assert part["kernel"] == conv.kernel_size
        assert graph.es[first:last]["weight"] == pytest.approx(norms[part["dst"], inside].tolist())


@pytest.mark.parametrize("name", CASES)
def test_the_graph_needs_no_example(name: str) -> None:
    """All but the first layer's number of channels and a size of maps is known from the module."""
    model = read_by_one_each(name)
    assert ns.network_graph(model).get_edgelist() == network_graph_at_8(model).get_edgelist()


@pytest.mark.parametrize("name", [name for name in CASES if n_returned(name) == CASES[name].groups["x"]])
def test_two_modules_one_behind_the_other(name: str) -> None:
    """What the first returns is what the second reads, by its layers as by its links."""
    case, first = CASES[name], neurons(**CASES[name].groups)
    edges, links, returned = case.draw(**first)
    second = {group: [f"second {neuron}" for neuron in names] for group, names in first.items()} | {"x": returned}
    expected = edges | links | set().union(*case.draw(**second)[:2])
    names = first | {f"second {group}": second[group] for group in second if group != "x"}
    assert drawn(network_graph_at_8(nn.Sequential(case.make(), case.make())), names) == expected


# Taint


def becomes_sparse(model: nn.Module, density: float, seed: int) -> None:
    """Make every convolution sparse, however few channels it reads, but for the depthwise ones."""
    convs = {key: part for key, part in model.named_modules() if isinstance(part, nn.Conv2d)}
    pattern = "|".join(f"^{re.escape(key)}$" for key, part in convs.items() if part.groups == 1)
    if pattern:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the whole model has a density of", UserWarning)  # of what is depthwise
            own: dict[str, dict[str, Any]] = {pattern: {}}
            ns.sparsify(model, density=density, allocation="uniform", layers=own, backend="compiled", rng=seed)
    rng = np.random.default_rng(seed)
    for key, part in convs.items():
        if 1 < part.groups < part.in_channels:  # sparsify leaves it as it is
            with torch.no_grad():
                part.weight[rng.random(part.weight.shape[:2]) > density] = 0
            model.set_submodule(key, ns.SparseConv2d.from_dense(part, backend="compiled"))


@pytest.mark.parametrize("name", CASES)
def test_paths_of_sparse_modules_are_those_of_taint(name: str) -> None:
    partly = 0
    for seed in range(6):
        model = read_by_one_each(name)
        becomes_sparse(model, 0.3, seed)
        x = torch.rand(2, CASES[name].groups["x"], 8, 8) + 1
        graph = ns.network_graph(model, x)
        expected = tainted(model, x)
        np.testing.assert_array_equal(reached(graph, part_of(graph, "1")["targets"]), expected)
        partly += 0 < expected.mean() < 1
    assert partly >= 3


# Trained on the digits, and measured

LEARNERS: dict[str, Callable[[], nn.Module]] = {
    "mlpconv": lambda: blocks.mlpconv(8, (24, 16, 12)),
    "inception_v1": lambda: blocks.inception_v1(8, 4, 8, 6, 8, 4, 4),
    "inception_v3": lambda: blocks.inception_v3(8, 4, 8, 6, 4, 4),
    "xception": lambda: blocks.xception(8, 12, n_convolutions=2, stride=2),
    "highway": lambda: blocks.highway(9),
    "residual": lambda: blocks.residual(9, 9),
    "bottleneck": lambda: blocks.bottleneck(12, 8, 12),
    "resnext": lambda: blocks.resnext(8, 12, cardinality=4, group_width=2, stride=2),
    "dense_block": lambda: blocks.dense_block(8, growth_rate=3, n_layers=3),
    "mobilenet_v1": lambda: blocks.mobilenet_v1(9, 12),
    "mobilenet_v2": lambda: blocks.mobilenet_v2(8, 8, expansion=2),
    "shufflenet": lambda: blocks.shufflenet(8, 16, groups=2, stride=2),
}
STEPS = 40


def trained(name: str) -> tuple[nn.Module, list[float]]:
    """A sparse network with one module after so many steps on digits, and its losses; an image of 8 x 8 is 4 of 4 x 4."""
    digits = load_dataset("digits")
    images, y = torch.from_numpy(digits.x_train[:128]).reshape(-1, 1, 8, 8), torch.from_numpy(digits.y_train[:128])
    x = nn.functional.pixel_unshuffle(images, 2)
    torch.manual_seed(1)
    module = LEARNERS[name]()
    stem = nn.Conv2d(4, channels(module), 3, padding=1)
    width = module(stem(x[:2])).shape[1]
    model = nn.Sequential(stem, module, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    becomes_sparse(model, 0.2, seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def reachability_by_brute_force(graph: igraph.Graph) -> dict[str, float]:
    """What the measure says of whole networks, from the descendants of every neuron; paths are counted one by one."""
    links = range(*part_of(graph, "links")["edges"]) if graph["layers"][-1]["kind"] == "link" else range(0)
    flow = nx.MultiDiGraph()
    flow.add_nodes_from(range(graph.vcount()))
    for edge in graph.es:
        flow.add_edge(*sorted(edge.tuple), size=abs(edge["weight"]), is_link=edge.index in links)
    group = graph.vs["layer"]
    inputs, outputs = ({v for v in flow if group[v] == which} for which in (0, max(group)))
    below = {v: nx.descendants(flow, v) | {v} for v in flow}
    begun, ended = set().union(*(below[v] for v in inputs)), {v for v in flow if below[v] & outputs}
    effective = sum(not is_link and a in begun and b in ended for a, b, is_link in flow.edges(data="is_link"))
    paths, sizes = {v: int(v in inputs) for v in flow}, {v: float(v in inputs) for v in flow}
    for a in nx.topological_sort(flow):
        for _, b, size in flow.out_edges(a, data="size"):
            paths[b] += paths[a]
            sizes[b] += sizes[a] * size
    pairs = sum(len(below[v] & outputs) for v in inputs)
    return {
        "dead_neurons": sum(
            (not flow.in_degree(v) and v not in inputs) or (not flow.out_degree(v) and v not in outputs) for v in flow
        ),
        "off_path_neurons": len(flow) - len(begun & ended),
        "effective_edges": effective,
        "effective_density": effective
        / sum(len(part["sources"]) * len(part["targets"]) for part in graph["layers"] if part["kind"] != "link"),
        "joined_pairs": pairs,
        "joined_pair_fraction": pairs / (len(inputs) * len(outputs)),
        "log10_paths": math.log10(sum(paths[v] for v in outputs)),
        "log10_path_weight": math.log10(sum(sizes[v] for v in outputs)),
    }


def test_every_module_is_trained() -> None:
    assert set(LEARNERS) == {name for name, maker in vars(blocks).items() if inspect.isfunction(maker)}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_trained_module_is_measured(name: str) -> None:
    model, losses = trained(name)
    assert losses[-1] < losses[0] - 0.1
    assert sum(b < a for a, b in pairwise(losses)) > 0.8 * STEPS
    graph = network_graph_at_8(model)
    layers = [part for part in graph["layers"] if part["kind"] != "link"]
    report = analysis.describe(graph, nulls=2, measures=("degree", "paths", "reachability", "core"), rng=0)
    assert [section.name for section in report.sections] == [*(f"layer {k}" for k in range(len(layers))), "network"]
    measured = report["network"]
    for key, value in reachability_by_brute_force(graph).items():
        assert measured[key].value == pytest.approx(value, rel=1e-9), key
