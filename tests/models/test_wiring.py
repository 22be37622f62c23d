"""`network_graph`: all layers in one igraph graph, edge ids and attributes, and how layers are joined."""

from itertools import pairwise
from typing import Any

import igraph
import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import analysis
from netsci_nn import SparseLinear, SparseMLP, TopologyError, dense_mlp, generators, network_graph
from netsci_nn.models import sparse_layers


def test_edge_ids_and_attributes_layer_by_layer() -> None:
    model = SparseMLP([6, 5, 4, 3], density=[0.3, 0.5, 1.0], rng=0)
    graph = network_graph(model)
    first_vertex, first_edge = [0, 6, 11, 15], 0
    assert graph.vcount() == 18
    assert graph.vs["layer"] == [0] * 6 + [1] * 5 + [2] * 4 + [3] * 3
    assert not graph.is_directed()
    for number, layer in enumerate(model.layers):
        for k in range(layer.n_edges):
            edge = graph.es[first_edge + k]
            ends = first_vertex[number] + int(layer.src[k]), first_vertex[number + 1] + int(layer.dst[k])
            assert edge.tuple == ends
            assert edge["layer"] == number
            assert edge["weight"] == layer.weight[k].item()
        first_edge += layer.n_edges
    assert graph.ecount() == first_edge == 9 + 10 + 12


def test_dense_layers_are_complete_bipartite_graphs() -> None:
    model = dense_mlp([4, 3, 2], rng=0)
    graph = network_graph(model)
    assert graph.ecount() == 12 + 6
    assert graph.es["weight"][:12] == model[0].weight.flatten().tolist()  # sorted by (target, source)
    assert graph.degree() == [3] * 4 + [6] * 3 + [3] * 2


def test_mixed_stack_and_layer_without_edges() -> None:
    empty = SparseLinear(generators.erdos_renyi(3, 2, n_edges=0, rng=0))
    graph = network_graph(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), empty))
    assert (graph.vcount(), graph.ecount()) == (9, 12)
    assert set(graph.es["layer"]) == {0}


def test_measuring_draws_no_random_numbers() -> None:
    model = nn.Sequential(nn.Linear(4, 3), SparseLinear(generators.erdos_renyi(3, 2, n_edges=3, rng=0)))
    before = torch.get_rng_state()
    network_graph(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_sparse_layers_in_order() -> None:
    model = SparseMLP([6, 5, 4], density=0.5, rng=0)
    assert sparse_layers(model) == list(model.layers)
    assert sparse_layers(nn.Linear(3, 2)) == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.ReLU(), "model is a ReLU without linear layers; it must have at least one"),
        (nn.Sequential(nn.Linear(4, 3), nn.Linear(2, 2)), "layer 0 has n_out = 3 and layer 1 has n_in = 2"),
    ],
)
def test_models_that_are_no_stack(model: nn.Module, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        network_graph(model)


def same(first: igraph.Graph, second: igraph.Graph) -> bool:
    """Equal vertices and edges in equal order, with equal attributes."""
    return first.to_dict_list() == second.to_dict_list()


class Block(nn.Module):
    """A residual block between two layers: `second` gets what `first` gives and what `inner` makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.second = nn.Linear(6, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        return self.second(h + self.inner(h))


class Sum(nn.Module):
    """Two inputs, summed after a layer each."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.a, self.b = nn.Linear(3, 2), nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.c(self.a(x) + self.b(y))


def test_nested_stacks() -> None:
    head, mlp = nn.Linear(3, 2), SparseMLP([6, 5, 4], density=0.5, rng=0)
    norm = nn.Sequential(nn.BatchNorm1d(4), nn.GELU())
    model = nn.Sequential(nn.Flatten(), nn.Sequential(mlp, norm, nn.Dropout(0.1)), nn.Linear(4, 3), nn.LayerNorm(3), head)
    graph = network_graph(model)
    assert [len(graph.vs.select(layer=group)) for group in range(5)] == [6, 5, 4, 3, 2]
    assert [len(graph.es.select(layer=layer)) for layer in range(4)] == [15, 10, 12, 6]
    assert len(analysis.as_layered(graph).layers) == 4
    assert same(network_graph(mlp.layers[1]), network_graph(nn.Sequential(nn.ReLU(), mlp.layers[1])))


@pytest.mark.parametrize("model", [SparseMLP([6, 5, 4, 3], density=0.5, rng=0), dense_mlp([6, 5, 3], rng=0)])
def test_a_chain_that_is_stated_is_the_chain_that_is_known(model: nn.Module) -> None:
    names = [name for name, module in model.named_modules() if isinstance(module, (SparseLinear, nn.Linear))]
    wiring = list(pairwise(names))
    assert same(network_graph(model, wiring=wiring[::-1]), network_graph(model))


def test_a_chain_in_another_order_than_that_of_registration() -> None:
    model = Sum()
    graph = network_graph(model, wiring=[("a", "c")])
    assert graph.vs["layer"] == [0] * 4 + [1] * 3 + [2] * 2 + [3] * 5 + [4] * 3
    chain = nn.ModuleDict({"last": model.c, "first": model.a})
    layered = analysis.as_layered(network_graph(chain, wiring=[("first", "last")]))
    assert layered == analysis.as_layered(network_graph(nn.Sequential(model.a, model.c)))


def test_summed_outputs_are_one_group() -> None:
    model = Sum()
    graph = network_graph(model, wiring=[("a", "c"), ("b", "c")])
    assert graph.vs["layer"] == [0] * 4 + [1] * 5 + [2] * 3 + [3] * 2
    assert graph.es["layer"] == [0] * 12 + [1] * 15 + [2] * 6
    assert graph.es["weight"] == [w for layer in (model.a, model.b, model.c) for w in layer.weight.flatten().tolist()]
    assert graph.degree()[9:12] == [4 + 5 + 2] * 3
    layered = analysis.as_layered(graph)
    assert layered.layer_sizes == (4, 5, 3, 2)
    assert [neurons.tolist() for neurons in layered.targets or ()] == [[9, 10, 11], [9, 10, 11], [12, 13]]


def test_layers_that_are_not_joined() -> None:
    graph = network_graph(Block(), wiring=[])
    assert graph.vs["layer"] == [0] * 6 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 2
    assert len(graph.connected_components()) == 3
    with pytest.raises(analysis.AnalysisError, match=r"is 1, but its vertices lie in layers 2 and 3"):
        analysis.as_layered(graph)


def test_one_output_that_goes_two_ways() -> None:
    model = nn.ModuleDict({"trunk": nn.Linear(5, 3), "left": nn.Linear(3, 2), "right": nn.Linear(3, 4)})
    graph = network_graph(model, wiring=[("trunk", "left"), ("trunk", "right")])
    assert graph.vs["layer"] == [0] * 5 + [1] * 3 + [2] * 2 + [3] * 4
    assert graph.degree()[5:8] == [5 + 2 + 4] * 3


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x) + x


def transformer() -> nn.Module:
    return nn.Sequential(*(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2)))


def shared() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), nn.Sequential(layer))


def patched() -> nn.Module:
    model = dense_mlp([3, 2, 2], rng=0)
    model.forward = lambda x: x  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Block(), r"Block and no plain stack, so .* first \(6 -> 4\), inner \(4 -> 4\), second \(4 -> 2\)$"),
        (transformer(), r"\(0 is a TransformerEncoderLayer\), .* 0\.self_attn\.out_proj \(8 -> 8\), 0\.linear1 \(8 -> 16\), "),
        (shared(), r"no plain stack \(0 is used 2 times\), so .* are 0 \(3 -> 3\)$"),
        (patched(), r"Sequential and no plain stack, so"),
        (nn.Sequential(nn.Linear(3, 3), Doubled(3, 3)), r"\(1 is a Doubled\)"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)), r"\(0 is a Conv2d\)"),
        (nn.ModuleList([nn.Linear(1, 1) for _ in range(11)]), r"7 \(1 -> 1\) and 3 more$"),
    ],
)
def test_unknown_wiring_is_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(TopologyError, match=message) as caught:
        network_graph(model)
    assert "pass wiring=[(a, b), ...]" in str(caught.value)


@pytest.mark.parametrize(
    ("wiring", "message"),
    [
        ("ab", "wiring is 'ab'; it must be pairs"),
        (7, "wiring is 7; it must be pairs"),
        (["ab"], "wiring holds 'ab'; it must hold pairs"),
        ([("first",)], r"wiring holds \('first',\); it must hold pairs"),
        ([("first", 1)], r"wiring holds \('first', 1\); it must hold pairs"),
        ([("first", "third")], r"wiring names 'third'; the linear layers of the model are first \(6 -> 4\)"),
        ([("first", "inner"), ("first", "inner")], r"wiring holds \('first', 'inner'\) more than once"),
        ([("second", "first")], "layer second has n_out = 2 and layer first has n_in = 6"),
        ([("inner", "inner")], "wiring makes a cycle through 'inner'; "),
        ([("first", "inner"), ("first", "second"), ("inner", "second")], "wiring makes a cycle through 'inner'; "),
    ],
)
def test_wirings_that_are_refused(wiring: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        network_graph(Block(), wiring=wiring)


def test_a_cycle_of_two_layers_is_named() -> None:
    model = nn.ModuleDict({"there": nn.Linear(3, 2), "back": nn.Linear(2, 3), "other": nn.Linear(2, 2)})
    with pytest.raises(TopologyError, match="wiring makes a cycle through 'there' and 'back'; "):
        network_graph(model, wiring=[("there", "back"), ("back", "there")])


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")), max_size=6, unique=True))
def test_groups_are_the_ends_that_pairs_connect(wiring: list[tuple[str, str]]) -> None:
    """Beside networkx: groups are components of ends, and a wiring is refused if and only if layers lead in a circle."""
    ends = nx.Graph([((a, "targets"), (b, "sources")) for a, b in wiring])
    ends.add_nodes_from((name, side) for name in "abcde" for side in ("sources", "targets"))
    group = {end: number for number, component in enumerate(nx.connected_components(ends)) for end in component}
    flow = nx.MultiDiGraph([(group[name, "sources"], group[name, "targets"]) for name in "abcde"])
    model = nn.ModuleDict({name: nn.Linear(2, 2) for name in "abcde"})
    if not nx.is_directed_acyclic_graph(flow):
        with pytest.raises(TopologyError, match="wiring makes a cycle through"):
            network_graph(model, wiring=wiring)
        return
    graph = network_graph(model, wiring=wiring)
    layer = graph.vs["layer"]
    assert layer == sorted(layer)
    assert len(layer) == 2 * (max(layer) + 1) == 2 * flow.number_of_nodes()
    steps = [(layer[min(edge.tuple)], layer[max(edge.tuple)]) for edge in graph.es]
    assert all(a < b for a, b in steps)
    assert steps == sorted(steps)
    assert nx.is_isomorphic(nx.MultiDiGraph(steps[::4]), flow)
