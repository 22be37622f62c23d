"""`network_graph`: all layers in one igraph graph, edge ids and attributes."""

import pytest
import torch
from torch import nn

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
            assert edge["weight"] == layer.values[k].item()
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
