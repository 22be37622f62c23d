"""`network_graph`: all layers in one igraph graph, edge ids and attributes, and how layers are joined."""

import copy
import re
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
from netsci_nn import ConfigError, SparseLinear, SparseMLP, TopologyError, dense_mlp, generators, network_graph
from netsci_nn.models import sparse_layers
from netsci_nn.models.wiring import wiring_of


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
        (
            nn.Sequential(nn.Linear(4, 3), nn.Linear(2, 2)),
            r"reads \(mat1 and mat2 shapes cannot be multi",
        ),
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


def test_a_flattened_map_may_be_stated() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(36, 5))
    assert same(network_graph(model, wiring=[("0", "2")]), network_graph(model, torch.zeros(1, 3, 5, 5)))
    with pytest.raises(TopologyError, match="layer 0 has n_out = 4 and layer 2 has n_in = 34"):
        network_graph(nn.Sequential(model[0], model[1], nn.Linear(34, 5)), wiring=[("0", "2")])


def test_a_chain_in_another_order_than_that_of_registration() -> None:
    model = Sum()
    graph = network_graph(model, wiring=[("a", "c")])
    assert graph.vs["layer"] == [0] * 4 + [1] * 3 + [2] * 2 + [3] * 5 + [4] * 3
    chain = nn.ModuleDict({"last": model.c, "first": model.a})
    layered = analysis.as_layered(network_graph(chain, wiring=[("first", "last")]))
    assert layered.layers == analysis.as_layered(network_graph(nn.Sequential(model.a, model.c))).layers
    assert layered.names == ("first", "last")


def test_summed_outputs_are_one_group() -> None:
    model = Sum()
    graph = network_graph(model, wiring=[("a", "c"), ("b", "c")])
    assert graph.vs["layer"] == [0] * 4 + [1] * 5 + [2] * 3 + [3] * 2
    assert graph.es["layer"] == [0] * 12 + [1] * 15 + [2] * 6
    assert graph.es["weight"] == [w for layer in (model.a, model.b, model.c) for w in layer.weight.flatten().tolist()]
    assert graph.degree()[9:12] == [4 + 5 + 2] * 3
    assert same(network_graph(model, (torch.zeros(1, 4), torch.zeros(1, 5))), graph)
    layered = analysis.as_layered(graph)
    assert layered.layer_sizes == (4, 5, 3, 2)
    assert [neurons.tolist() for neurons in layered.targets or ()] == [[9, 10, 11], [9, 10, 11], [12, 13]]


def test_layers_that_are_not_joined() -> None:
    graph = network_graph(Block(), wiring=[])
    assert graph.vs["layer"] == [0] * 6 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 2
    assert len(graph.connected_components()) == 3


def test_one_output_that_goes_two_ways() -> None:
    model = nn.ModuleDict({"trunk": nn.Linear(5, 3), "left": nn.Linear(3, 2), "right": nn.Linear(3, 4)})
    graph = network_graph(model, wiring=[("trunk", "left"), ("trunk", "right")])
    assert graph.vs["layer"] == [0] * 5 + [1] * 3 + [2] * 2 + [3] * 4
    assert graph.degree()[5:8] == [5 + 2 + 4] * 3


def shared() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), nn.Sequential(layer))


class Aside(nn.Module):
    """A layer that only training uses."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.aside = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.main(x) + self.aside(x) if self.training else self.main(x)


class Weighted(nn.Module):
    """A matrix of its own, which is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.matrix = nn.Linear(3, 4), nn.Parameter(torch.ones(4, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) @ self.matrix


class Mixer(nn.Module):
    """A layer along the places of a map, where every channel is another neuron."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.mix = nn.Conv1d(3, 4, 2, stride=2), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(self.patches(x))


class Chosen(nn.Module):
    """Neurons that are chosen by what they compute."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(3, 4), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layer(x)
        return self.last(h[:, h[0].topk(2).indices])


@pytest.mark.parametrize(
    ("model", "example", "message"),
    [
        (shared(), None, r"layer '0' is used more than once; pass wiring=.* the layers are 0 \(3 -> 3\)$"),
        (Aside(), None, "layer 'aside' has no part in its forward pass in evaluation mode; pass"),
        (nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 4)), None, "module '1' calls torch's lstm, which is not known here; pass"),
        (Weighted(), None, r"the model itself multiplies by a matrix that is no layer's \(matmul\)"),
        (Mixer(), torch.zeros(1, 3, 8), "module 'mix' takes numbers of different neurons for one and the same"),
        (Chosen(), None, "the model itself calls torch's topk, which is not known here"),
        (nn.ModuleList([nn.Linear(1, 1) for _ in range(11)]), None, r"it cannot be run on zeros .* 7 \(1 -> 1\) and 3 more$"),
        (Sum(), None, "it cannot be run on zeros of the shape that one of its first layers reads .*pass example=, or"),
        (Sum(), torch.zeros(1, 4), r"it cannot be run on example \(.*missing 1 required positional argument: 'y'"),
        (
            nn.Sequential(nn.Conv2d(9, 9, 5)),
            torch.zeros(1, 9, 3, 3),
            r"cannot be run on example \(.*Kernel size can't be greater",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_and_the_way_out_is_named(model: nn.Module, example: Any, message: str) -> None:
    training = [module.training for module in model.modules()]
    with pytest.raises(TopologyError, match=message) as caught:
        network_graph(model, example)
    assert "wiring=[(a, b), ...]" in str(caught.value)
    assert [module.training for module in model.modules()] == training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_bad_arguments() -> None:
    with pytest.raises(ConfigError, match="example and wiring are both given; the wiring is either read or stated"):
        network_graph(Block(), torch.zeros(1, 6), [])
    with pytest.raises(ConfigError, match="model is a list; it must be a module"):
        network_graph([])  # type: ignore[arg-type]


def test_the_model_is_left_as_it_was() -> None:
    """Modes, averages, packed attention, hooks and random numbers; the user's hooks see one run."""
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    whole = nn.ModuleDict({"model": model, "encoder": encoder})
    model[2].eval()
    before, modules, seen = copy.deepcopy(whole.state_dict()), list(whole.modules()), []
    model[0].register_forward_hook(lambda *arguments: seen.append(1))
    example, random = torch.randn(4, 8), torch.get_rng_state()
    network_graph(model, example)
    network_graph(encoder)
    assert seen == [1]
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), before.values(), strict=True))
    assert all(a is b for a, b in zip(whole.modules(), modules, strict=True))
    assert (model.training, model[1].training, model[2].training) == (True, True, False)


@pytest.mark.parametrize(
    ("wiring", "message"),
    [
        ("ab", "wiring is 'ab'; it must be pairs"),
        (7, "wiring is 7; it must be pairs"),
        (["ab"], "wiring holds 'ab'; it must hold pairs"),
        ([("first",)], r"wiring holds \('first',\); it must hold pairs"),
        ([("first", 1)], r"wiring holds \('first', 1\); it must hold pairs"),
        ([("first", "third")], r"wiring names 'third'; the layers of the model are first \(6 -> 4\)"),
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


def test_more_edges_than_igraph_can_take_are_refused_before_anything_is_read() -> None:
    """VGG-16 has 103 million edges in one layer; on the meta device nothing is allocated for it."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 512, 3), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(25_088, 4096))
    message = (
        "model has 102,761,984 edges, 102,760,448 of them in layer '3'; a graph may have at most 67,108,864; `sparsify` or "
        "`pruning` takes edges away"
    )
    with pytest.raises(TopologyError, match=f"^{re.escape(message)}$"):
        network_graph(model)
    with pytest.raises(TopologyError, match=re.escape(message)):
        network_graph(model, wiring=[("0", "3")])


@pytest.mark.parametrize(
    ("layer", "n_edges"),
    [
        (nn.Linear(3, 2), 6),
        (nn.Conv2d(4, 6, 3, groups=2), 12),
        (nn.Conv1d(4, 4, 3, groups=4), 4),
        (SparseLinear(generators.erdos_renyi(5, 4, n_edges=7, rng=0)), 7),
        (nn.MultiheadAttention(4, 2), 4 * 16),
    ],
)
def test_the_number_of_edges_is_known_without_a_graph(layer: nn.Module, n_edges: int) -> None:
    wiring = wiring_of(layer, pairs=[], most_edges=n_edges)
    assert sum(part.topology.n_edges for part in wiring.layers) == n_edges
    with pytest.raises(TopologyError, match=f"model has {n_edges} edges, .* at most {n_edges - 1};"):
        wiring_of(layer, pairs=[], most_edges=n_edges - 1)
    assert len(wiring_of(layer, pairs=[]).layers) == len(wiring.layers)  # a wiring by itself may be of any size
