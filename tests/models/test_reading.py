"""The wiring that is read from a forward pass: hand-drawn edge lists, and taint as an oracle.

Taint: a number that is not one (NaN) in an input neuron reaches exactly the outputs that the neuron is joined to, whatever
torch computes in between, since sparse layers touch no other edges. Nothing of the reading takes part in that.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from drawn_graphs import alike, drawn, full, groups_of, neurons, reached, tainted
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import netsci_nn as ns
from netsci_nn import network_graph
from netsci_nn.errors import TopologyError
from netsci_nn.generators import erdos_renyi
from netsci_nn.layers import SparseConv2d
from netsci_nn.models import GPT


class Residual(nn.Module):
    """The block of ResNet, with a projection where the shapes differ."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)])
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride) if (n_in, stride) != (n_out, 1) else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norms[0](self.first(x)).relu_()
        h = self.norms[1](self.second(h))
        h += self.shortcut(x)
        return h.relu()


def test_residual_blocks() -> None:
    """x -> h -> y with x linked to y; then y -> g -> z, with the projection's edges from y to z beside them."""
    model = nn.Sequential(Residual(3, 3), Residual(3, 2, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 4))
    graph = network_graph(model)
    n = neurons(x=3, h=3, y=3, g=2, z=2, o=4)
    expected = full(n["x"], n["h"]) | full(n["h"], n["y"]) | alike(n["x"], n["y"])
    expected |= full(n["y"], n["g"]) | full(n["g"], n["z"]) | full(n["y"], n["z"]) | full(n["z"], n["o"])
    assert groups_of(graph) == [3, 3, 3, 2, 2, 4]
    assert drawn(graph, n) == expected
    names = [(part["name"], part["kind"], part["kernel"]) for part in graph["layers"]]
    assert names == [
        ("0.first", "convolution", (3, 3)),
        ("0.second", "convolution", (3, 3)),
        ("1.first", "convolution", (3, 3)),
        ("1.shortcut", "convolution", (1, 1)),
        ("1.second", "convolution", (3, 3)),
        ("4", "linear", ()),
        ("links", "link", ()),
    ]
    assert graph.ecount() == 9 + 9 + 6 + 6 + 4 + 8 + 3
    assert graph.es[:9]["weight"] == pytest.approx(model[0].first.weight.flatten(2).norm(dim=2).flatten().tolist())
    assert graph.es[-3:]["weight"] == [1, 1, 1]


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 2, 1)
        self.three = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 3, padding=1))
        self.five = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU(), nn.Conv2d(1, 2, 5, padding=2))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], dim=1).relu()


def test_an_inception_block_and_a_flattened_map() -> None:
    """Four branches, joined by a concatenation of 2 + 3 + 2 + 1 channels; the classifier reads every place of every channel."""
    model = nn.Sequential(Inception(), nn.Conv2d(8, 2, 3), nn.Flatten(), nn.Linear(2 * 6 * 6, 3))
    graph = network_graph(model)  # the first size that runs is 8 x 8
    n = neurons(x=3, a=2, b=2, c=3, d=1, e=2, f=1, g=2, o=3)
    expected = full(n["x"], n["a"]) | full(n["x"], n["b"]) | full(n["b"], n["c"]) | full(n["x"], n["d"]) | full(n["d"], n["e"])
    expected |= full(n["x"], n["f"]) | full(n["a"] + n["c"] + n["e"] + n["f"], n["g"]) | full(n["g"], n["o"])
    assert groups_of(graph) == [3, 2, 2, 3, 1, 2, 1, 2, 3]
    assert drawn(graph, n) == expected
    flattened = graph["layers"][-1]
    assert len(flattened["src"]) == 72 * 3
    assert flattened["sources"].tolist() == [14] * 36 + [15] * 36
    joins = next(part for part in graph["layers"] if part["name"] == "1")
    assert joins["sources"].tolist() == [3, 4, 7, 8, 9, 11, 12, 13]


def attention_edges(q: list[str], k: list[str], v: list[str], heads: list[str], out: list[str]) -> set[tuple[str, str]]:
    """Every head is fed by its queries and keys; what it gives by itself and by the value."""
    width, edges = len(q) // len(heads), set()
    for number, head in enumerate(heads):
        part = slice(number * width, (number + 1) * width)
        edges |= full(q[part] + k[part], [head]) | full([head], out[part])
    return edges | alike(v, out)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_transformer_encoder_layer(norm_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, norm_first=norm_first)
    n = neurons(x=4, q=4, k=4, v=4, s=2, a=4, y=4, h=6, z=4)
    expected = full(n["x"], n["q"]) | full(n["x"], n["k"]) | full(n["x"], n["v"])
    expected |= attention_edges(n["q"], n["k"], n["v"], n["s"], n["a"]) | full(n["a"], n["y"]) | alike(n["x"], n["y"])
    expected |= full(n["y"], n["h"]) | full(n["h"], n["z"]) | alike(n["y"], n["z"])
    for frozen in (False, True):  # without gradients torch's layers would take their fused path
        layer.requires_grad_(not frozen).eval()
        graph = network_graph(layer, torch.randn(2, 5, 4))
        assert groups_of(graph) == [4, 4, 4, 4, 2, 4, 4, 6, 4]
        assert drawn(graph, n) == expected
    assert [part["name"] for part in graph["layers"]] == [
        *(f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")),
        *("linear1", "linear2", "links"),
    ]
    sparse = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    ns.sparsify(sparse, density=1.0, rng=0)
    assert groups_of(network_graph(sparse)) == [8, 8, 8, 8, 2, 8, 8, 16, 8]


def test_the_gpt() -> None:
    model = GPT(5, 6, width=4, n_layers=2, n_heads=2, rng=0)
    graph = network_graph(model)
    n = neurons(x=4, p=12, s=2, a=4, y=4, h=16, z=4, P=12, S=2, A=4, Y=4, H=16, Z=4, o=5)
    expected: set[tuple[str, str]] = set()
    for x, p, s, a, y, h, z in (("x", "p", "s", "a", "y", "h", "z"), ("z", "P", "S", "A", "Y", "H", "Z")):
        q, k, v = n[p][:4], n[p][4:8], n[p][8:]
        expected |= full(n[x], n[p]) | attention_edges(q, k, v, n[s], n[a]) | full(n[a], n[y]) | alike(n[x], n[y])
        expected |= full(n[y], n[h]) | full(n[h], n[z]) | alike(n[y], n[z])
    assert groups_of(graph) == [len(group) for group in n.values()]
    assert drawn(graph, n) == expected | full(n["Z"], n["o"])
    assert graph.es[0]["weight"] == model.blocks[0].attention.query_key_value.weight[0, 0].item()


def test_attention_written_in_several_ways_is_the_same_graph() -> None:
    class Attention(nn.Module):
        def __init__(self, way: str) -> None:
            super().__init__()
            self.way, self.q, self.k, self.v = way, *(nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.q(x), self.k(x), self.v(x)
            if self.way == "matmul":
                return (q @ k.transpose(1, 2) / 2).softmax(-1) @ v
            if self.way == "baddbmm":
                mask = torch.zeros(1, x.shape[1], x.shape[1])
                return torch.bmm(torch.baddbmm(mask, q, k.mT).softmax(-1), v)
            return nn.functional.scaled_dot_product_attention(q, k, v)

    n = neurons(x=4, q=4, k=4, v=4, s=1, a=4)
    expected = full(n["x"], n["q"]) | full(n["x"], n["k"]) | full(n["x"], n["v"])
    expected |= attention_edges(n["q"], n["k"], n["v"], n["s"], n["a"])
    for way in ("matmul", "baddbmm", "attention"):
        assert drawn(network_graph(Attention(way), torch.randn(2, 3, 4)), n) == expected


def test_maps_that_come_as_rows_are_tried() -> None:
    model = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(3 * 36, 2))
    assert groups_of(network_graph(model)) == [1, 3, 2]


class Highway(nn.Module):
    """y = t h + (1 - t) x."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.transform, self.last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = self.gate(x).sigmoid()
        return self.last(t * self.transform(x).relu() + (1 - t) * x)


def test_a_highway_links_gate_transform_and_input_to_one_neuron() -> None:
    n = neurons(x=3, t=3, h=3, y=3, o=2)
    expected = full(n["x"], n["t"]) | full(n["x"], n["h"]) | alike(n["t"], n["y"]) | alike(n["h"], n["y"])
    assert drawn(network_graph(Highway()), n) == expected | alike(n["x"], n["y"]) | full(n["y"], n["o"])


class DenseBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3 + 2 * k, 2, 3, padding=1) for k in range(3)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x).relu()], dim=1)
        return x


def test_a_dense_block() -> None:
    n = neurons(x=3, a=2, b=2, c=2)
    expected = full(n["x"], n["a"]) | full(n["x"] + n["a"], n["b"]) | full(n["x"] + n["a"] + n["b"], n["c"])
    assert drawn(network_graph(DenseBlock()), n) == expected


def test_grouped_depthwise_and_shuffled_convolutions() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.ChannelShuffle(2), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))
    n = neurons(x=4, a=4, b=4, c=2)
    halves = full(n["x"][:2], n["a"][:2]) | full(n["x"][2:], n["a"][2:])
    shuffled = alike([n["a"][k] for k in (0, 2, 1, 3)], n["b"])
    assert drawn(network_graph(model), n) == halves | shuffled | full(n["b"], n["c"])


def test_a_patch_graph_reads_every_channel_at_several_places() -> None:
    topology = erdos_renyi(2 * 9, 3, n_edges=14, rng=0)
    layer = SparseConv2d(topology, 3, graph="patch")
    graph = network_graph(layer)
    assert groups_of(graph) == [2, 3]
    assert graph.get_edgelist() == [(source // 9, 2 + target) for source, target in topology.to_edges().tolist()]
    assert graph.es["weight"] == layer.weight.tolist()


def test_transposed_convolutions() -> None:
    """Their weights are [sources, targets per group, *kernel]."""
    model = nn.Sequential(nn.ConvTranspose2d(4, 6, 2, 2, groups=2), nn.Conv2d(6, 2, 1))
    graph = network_graph(model)
    n = neurons(x=4, h=6, o=2)
    halves = full(n["x"][:2], n["h"][:3]) | full(n["x"][2:], n["h"][3:])
    assert drawn(graph, n) == halves | full(n["h"], n["o"])
    assert [(part["kind"], part["kernel"]) for part in graph["layers"]] == [("convolution", (2, 2)), ("convolution", (1, 1))]
    for edge in graph.es.select(layer=0):
        source, target = edge.source, edge.target - 4
        assert edge["weight"] == pytest.approx(model[0].weight[source, target % 3].norm().item())


def test_what_hooks_do_to_a_result_comes_after_the_layer() -> None:
    model = nn.Sequential(ns.SparseLinear(erdos_renyi(6, 4, n_edges=7, rng=0)), nn.Linear(3, 2))
    model[0].register_forward_hook(lambda module, args, result: result[:, 1:].sigmoid())
    graph = network_graph(model)
    assert graph["layers"][1]["sources"].tolist() == graph["layers"][0]["targets"].tolist()[1:]


class Between(nn.Module):
    """Two layers, and what a test does between them."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.between, self.first, self.second = between, nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.between(self.first(x)))


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (lambda h: torch.from_numpy(h.numpy()), r"takes numbers out of torch \(numpy\)"),
        (lambda h: torch.from_numpy(np.asarray(h)), r"takes numbers out of torch \(array\)"),
        (lambda h: torch.tensor(h.tolist()), r"takes numbers out of torch \(tolist\)"),
        (lambda h: h * h.mean().item(), r"takes numbers out of torch \(item\)"),
        (lambda h: h * float(h.mean()), r"takes numbers out of torch \(float\)"),
        (lambda h: torch.vmap(torch.relu)(h), "computes within a transform of torch.func"),
    ],
)
def test_numbers_that_get_out_of_sight_are_an_error(between: Callable[[torch.Tensor], torch.Tensor], reason: str) -> None:
    with pytest.raises(TopologyError, match=f"the model itself {reason}.*; pass wiring="):
        network_graph(Between(between))


def test_an_example_without_numbers_tells_nothing() -> None:
    with pytest.raises(TopologyError, match=r"module 'first' reads a tensor of shape \(0, 4\), in which there is no number"):
        network_graph(Between(torch.relu), torch.zeros(0, 4))


def test_compiled_and_parametrized_models() -> None:
    plain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1))
    n = neurons(x=2, h=3, o=2)
    expected = full(n["x"], n["h"]) | full(n["h"], n["o"])
    compiled = torch.compile(plain, backend="eager")
    assert isinstance(compiled, nn.Module)
    assert drawn(network_graph(compiled), n) == expected
    nn.utils.parametrizations.weight_norm(plain[0])
    graph = network_graph(plain)
    assert drawn(graph, n) == expected
    assert graph.es[0]["weight"] == pytest.approx(plain[0].weight[0, 0].norm().item())


def test_scripts_and_lazy_layers_are_refused() -> None:
    mixed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    with pytest.warns(DeprecationWarning, match="jit"):
        mixed[0] = torch.jit.script(mixed[0])
    with pytest.raises(TopologyError, match=r"module .0. is a program of torch\.jit, which cannot be recorded; pass wiring="):
        network_graph(mixed)
    lazy = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2))
    with pytest.raises(TopologyError, match=r"parameter '0.weight' has no shape yet; the model must be called once"):
        network_graph(lazy, torch.zeros(1, 3))


def test_embeddings_are_inputs_and_positions_join_them() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places, self.layer = nn.Embedding(7, 3), nn.Embedding(4, 3), nn.Linear(3, 2)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.layer(self.words(tokens) + self.places(torch.arange(tokens.shape[1])))

    assert groups_of(network_graph(Tokens())) == [3, 2]


def test_a_sum_whose_part_is_used_elsewhere_is_a_neuron_of_its_own() -> None:
    """h feeds the sum and another layer; were h itself the sum, x would seem to reach the other layer."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.of_sum, self.of_part = nn.Linear(2, 2), nn.Linear(2, 1), nn.Linear(2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.inner(x)
            return self.of_sum(x + h) * self.of_part(h)

    n = neurons(x=2, h=2, y=2, a=1, b=1, c=1)
    expected = full(n["x"], n["h"]) | alike(n["x"], n["y"]) | alike(n["h"], n["y"]) | full(n["y"], n["a"])
    assert drawn(network_graph(Twice()), n) == expected | full(n["h"], n["b"]) | {("a0", "c0"), ("b0", "c0")}


# Taint


class Flow(nn.Module):
    """Sparse layers between which numbers meet in a way that a test chooses."""

    def __init__(self, meet: Callable[..., torch.Tensor], *sizes: tuple[int, int], is_map: bool, seed: int) -> None:
        super().__init__()
        self.meet = meet
        rng = np.random.default_rng(seed)
        self.parts = nn.ModuleList()
        for n_in, n_out in sizes:
            topology = erdos_renyi(n_in, n_out, n_edges=max(1, n_in * n_out // 3), rng=rng)
            self.parts.append(
                SparseConv2d(topology, 3, padding=1, backend="compiled")
                if is_map
                else ns.SparseLinear(topology, backend="compiled")
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.meet(x, *self.parts)


def two_halves(x: torch.Tensor, a: Any, b: Any, c: Any, d: Any) -> torch.Tensor:
    left, right = a(x).chunk(2, dim=1)
    return d(torch.cat([b(left).relu() + right, c(right), left[:, 1:]], dim=1))


def either(x: torch.Tensor, a: Any, b: Any, c: Any) -> torch.Tensor:
    left, right = a(x), b(x)
    chosen = torch.where(torch.arange(left.shape[-1]) > 2, left, right)
    return c(chosen + 0 * (left + right))  # taint must not depend on the choice


def view_changed(x: torch.Tensor, a: Any, b: Any, c: Any) -> torch.Tensor:
    h = a(x)
    h[:, 1:3].mul_(b(x))
    return c(h)


def base_changed(x: torch.Tensor, a: Any, b: Any, c: Any) -> torch.Tensor:
    h = a(x)
    part = h[:, 1:4]
    h.add_(b(x))
    return c(part)


def part_added_to(x: torch.Tensor, a: Any, b: Any, c: Any) -> torch.Tensor:
    h = a(x)
    h[:, 3:] += b(x)
    return c(h)


def base_assigned(x: torch.Tensor, a: Any, b: Any) -> torch.Tensor:
    buffer = torch.zeros_like(x)
    part = buffer[:, :]
    buffer[:, 1:] = a(x)
    return b(part + x[:, :1])


MEETINGS: dict[str, tuple[Callable[..., torch.Tensor], list[tuple[int, int]]]] = {
    "chain": (lambda x, a, b: b(a(x).relu()), [(6, 5), (5, 4)]),
    "residual": (lambda x, a, b: b(x + a(x)), [(6, 6), (6, 4)]),
    "residual twice": (lambda x, a, b, c: c((h := x + a(x)) + b(h.relu())), [(6, 6), (6, 6), (6, 4)]),
    "sum of three": (lambda x, a, b, c: c(x - a(x) + b(x)), [(6, 6), (6, 6), (6, 4)]),
    "sum after activations": (lambda x, a, b, c: c(a(x).relu() + b(x).tanh()), [(6, 5), (6, 5), (5, 4)]),
    "gate": (lambda x, a, b, c: c(a(x).sigmoid() * b(x)), [(6, 5), (6, 5), (5, 4)]),
    "halves": (two_halves, [(6, 6), (3, 3), (3, 2), (7, 4)]),
    "part of a part": (lambda x, a, b: b((h := a(x))[:, :3] + h[:, 3:]), [(6, 6), (3, 4)]),
    "half feeds the other half": (lambda x, a, b, c: c((h := a(x))[:, :3] + b(h[:, 3:])), [(6, 6), (3, 3), (3, 4)]),
    "flipped": (lambda x, a, b: b(torch.roll(a(x).flip(1), 2, 1)), [(6, 5), (5, 4)]),
    "unused input": (lambda x, a, b: b(a(x[:, 1:5])), [(4, 5), (5, 4)]),
    "stacked": (lambda x, a, b, c: c(torch.stack([a(x), b(x)], 2).flatten(1, 2)), [(6, 3), (6, 3), (6, 4)]),
    "assigned": (lambda x, a, b: b(_assigned(a(x), x)), [(6, 5), (5, 4)]),
    "mean of neurons": (lambda x, a, b, c: c(a(x) * b(x).mean(1, keepdim=True)), [(6, 5), (6, 3), (5, 4)]),
    "maximum": (lambda x, a, b, c: c(torch.maximum(a(x), b(x))), [(6, 5), (6, 5), (5, 4)]),
    "where": (either, [(6, 5), (6, 5), (5, 4)]),
    "normalised": (lambda x, a, b: b(nn.functional.batch_norm(a(x), torch.zeros(5), torch.ones(5))), [(6, 5), (5, 4)]),
    "constant beside": (lambda x, a, b: b(torch.cat([a(x), torch.ones_like(x[:, :2])], 1)), [(6, 5), (7, 4)]),
    "in place": (lambda x, a, b: b(a(x).add_(x).mul_(2).relu_()), [(6, 6), (6, 4)]),
    "copied": (lambda x, a, b: b(torch.empty(len(x), 5, *x.shape[2:]).copy_(a(x))), [(6, 5), (5, 4)]),
    "view changed": (view_changed, [(6, 5), (6, 2), (5, 4)]),
    "base changed": (base_changed, [(6, 5), (6, 5), (3, 4)]),
    "part added to": (part_added_to, [(6, 5), (6, 2), (5, 4)]),
    "base assigned": (base_assigned, [(6, 5), (6, 4)]),
    "other part changed": (lambda x, a, b: b((p := a(x).chunk(2, 1))[1] + 0 * p[0].mul_(x[:, :3])), [(6, 6), (3, 4)]),
    "glu": (lambda x, a, b: b(nn.functional.glu(a(x), 1)), [(6, 6), (3, 4)]),
}


def _assigned(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    buffer = torch.zeros_like(h)
    buffer[:, 1:3] = h[:, :2]
    buffer[:, 3:] = x[:, :2]
    return buffer


@pytest.mark.parametrize("is_map", [False, True], ids=["features", "maps"])
@pytest.mark.parametrize("name", MEETINGS)
def test_paths_are_those_of_taint(name: str, is_map: bool) -> None:
    meet, sizes = MEETINGS[name]
    for seed in range(5):
        model = Flow(meet, *sizes, is_map=is_map, seed=seed)
        x = torch.rand(2, 6, 5, 5) + 1 if is_map else torch.rand(2, 6) + 1
        graph = network_graph(model, x)
        last = graph["layers"][[part["name"] for part in graph["layers"]].index(f"parts.{len(sizes) - 1}")]
        expected = tainted(model, x)
        read = reached(graph, last["targets"])
        constants = sum(group == 0 for group in graph.vs["layer"])
        used = expected[[0, 1, 2, 3, 4, 5] if name != "unused input" else [1, 2, 3, 4]]
        assert read.shape[0] == constants
        np.testing.assert_array_equal(read[: len(used)], used)


def test_attention_is_that_of_taint() -> None:
    """A NaN in a feature of any token reaches every output of the heads that see it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 4, 8, dropout=0, batch_first=True))
    model[0].norm1, model[0].norm2 = nn.Identity(), nn.Identity()  # which would put every feature into every other
    model[0].activation_relu_or_gelu = 0
    ns.sparsify(model, density=0.15, backend="compiled", rng=0)
    x = torch.rand(1, 3, 8)
    graph = network_graph(model, x)
    outputs = np.flatnonzero(np.array(graph.vs["layer"]) == max(graph.vs["layer"]))
    rows = []
    for feature in range(8):
        changed = x.clone()
        changed[..., feature] = torch.nan
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # others put 0 in the place of NaN
            rows.append(model(changed).isnan().any(1)[0].numpy())
    expected = np.array(rows)
    assert 0.2 < expected.mean() < 1
    np.testing.assert_array_equal(reached(graph, outputs), expected)
