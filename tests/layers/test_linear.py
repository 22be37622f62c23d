"""`SparseLinear`: arguments, structure, dense counterparts, and what is saved, copied and printed."""

import copy
import pickle
import re

import igraph
import numpy as np
import pytest
import torch
from sparse_cases import CASES, by_edge, random_topology
from torch import nn

from netsci_nn import BipartiteTopology, ConfigError, DataError, SparseLinear, TopologyError, generators

TOPOLOGY = CASES["irregular"]


@pytest.mark.parametrize("shape", [(), (5,), (7,), (3, 5), (6, 5), (2, 6, 1), (0,), (0, 5)], ids=str)
def test_wrong_last_dimension_is_a_data_error(shape: tuple[int, ...], backend: str) -> None:
    layer = SparseLinear(TOPOLOGY, backend=backend)
    with pytest.raises(DataError, match=rf"x has shape {re.escape(str(shape))}; its last dimension must be n_in = 6"):
        layer(torch.zeros(shape))


def test_unknown_backend_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"unknown backend 'crs' \(did you mean 'csr'\?\); allowed are: .*dense"):
        SparseLinear(TOPOLOGY, backend="crs")


def test_topology_must_be_a_topology() -> None:
    with pytest.raises(TopologyError, match="topology is a ndarray; it must be a BipartiteTopology"):
        SparseLinear(np.ones((3, 3)))


def test_initial_weights_have_the_variance_of_the_actual_in_degree() -> None:
    # Targets of in-degree 2 and 200. The sample standard deviation of m normal variates has a standard error of
    # sigma / sqrt(2 m); 5 of them are allowed, a false-alarm rate of 6e-7 at this fixed seed.
    torch.manual_seed(0)
    few, many = 2000, 20
    edges = [(i, j) for j in range(few) for i in (0, 1)] + [(i, few + j) for j in range(many) for i in range(200)]
    layer = SparseLinear(BipartiteTopology.from_edges(edges, 200, few + many))
    for select, degree in ((layer.dst < few, 2), (layer.dst >= few, 200)):
        values = layer.weight[select].detach()
        sigma = (2 / degree) ** 0.5
        assert abs(values.std().item() - sigma) < 5 * sigma / (2 * len(values)) ** 0.5
        assert abs(values.mean().item()) < 5 * sigma / len(values) ** 0.5
    assert torch.equal(layer.bias, torch.zeros(few + many))


def test_weights_come_from_torchs_global_generator() -> None:
    torch.manual_seed(5)
    first = SparseLinear(TOPOLOGY).weight
    second = SparseLinear(TOPOLOGY).weight
    torch.manual_seed(5)
    assert torch.equal(SparseLinear(TOPOLOGY).weight, first)
    assert not torch.equal(first, second)


def test_parameters_are_strided_and_indices_are_state_but_no_buffers() -> None:
    layer = SparseLinear(TOPOLOGY, dtype=torch.float64)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert list(layer.named_buffers()) == []
    assert set(layer.state_dict()) == {"weight", "bias", "src", "dst", "birth", "sizes"}
    assert layer.weight.layout == torch.strided
    assert layer.weight.shape == (TOPOLOGY.n_edges,)
    assert layer.weight.dtype == layer.bias.dtype == torch.float64
    assert layer.birth.tolist() == [0] * TOPOLOGY.n_edges
    assert [name for name, _ in SparseLinear(TOPOLOGY, bias=False).named_parameters()] == ["weight"]


def test_change_of_dtype_keeps_computing(backend: str) -> None:
    layer = SparseLinear(TOPOLOGY, backend=backend)
    x = torch.randn(2, 6)
    before = layer(x)
    layer.double()
    torch.testing.assert_close(layer(x.double()).float(), before)


def test_mirror_has_edge_ids_and_current_weights() -> None:
    layer = SparseLinear(TOPOLOGY)
    graph = layer.to_igraph()
    assert graph.get_edgelist() == [(int(s), int(d) + 6) for s, d in zip(TOPOLOGY.src, TOPOLOGY.dst, strict=True)]
    assert graph.vs["type"] == [False] * 6 + [True] * 5
    assert graph.es["weight"] == layer.weight.tolist()
    with torch.no_grad():
        layer.weight.add_(1)
    assert layer.to_igraph().es["weight"] == layer.weight.tolist()


def test_mirror_is_a_copy() -> None:
    layer = SparseLinear(TOPOLOGY)
    graph = layer.to_igraph()
    graph.delete_edges([0, 1])
    graph.add_vertices(3)
    assert layer.to_igraph().ecount() == TOPOLOGY.n_edges
    assert layer.to_igraph().vcount() == 11
    assert BipartiteTopology.from_igraph(layer.to_igraph()) == TOPOLOGY


@pytest.mark.parametrize("bias", [True, False])
def test_dense_round_trip_is_exact(bias: bool) -> None:
    layer = SparseLinear(TOPOLOGY, bias=bias, dtype=torch.float64)
    if bias:
        nn.init.normal_(layer.bias)
    linear = layer.to_dense()
    assert isinstance(linear, nn.Linear)
    assert linear.weight.dtype == torch.float64
    assert (linear.bias is not None) == bias
    assert torch.equal(linear.weight != 0, torch.from_numpy(TOPOLOGY.to_mask()))
    for (source, target), value in by_edge(layer, layer.weight).items():
        assert linear.weight[target, source].item() == value
    for topology in (TOPOLOGY, None):
        back = SparseLinear.from_dense(linear, topology=topology)
        assert back.topology == TOPOLOGY
        assert torch.equal(back.weight, layer.weight)
        assert back.bias is None if layer.bias is None else torch.equal(back.bias, layer.bias)


def test_from_dense_takes_only_the_weights_on_edges_and_shares_no_memory() -> None:
    linear = nn.Linear(6, 5)
    layer = SparseLinear.from_dense(linear, topology=TOPOLOGY)
    assert layer.weight.tolist() == [linear.weight[d, s].item() for s, d in TOPOLOGY.to_edges().tolist()]
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.fill_(3)
    assert layer.weight.abs().min() > 0
    assert layer.bias.abs().max() < 3


def test_from_dense_refuses_other_sizes() -> None:
    with pytest.raises(TopologyError, match="topology joins 6 sources and 5 targets; linear maps 5 to 6"):
        SparseLinear.from_dense(nn.Linear(5, 6), topology=TOPOLOGY)


@pytest.mark.parametrize("n_edges", [0, 1, 9, 30])
def test_state_dict_into_a_layer_with_another_edge_count(n_edges: int, backend: str) -> None:
    saved = SparseLinear(TOPOLOGY, backend=backend)
    nn.init.normal_(saved.bias)
    saved.birth.copy_(torch.arange(TOPOLOGY.n_edges))
    other = SparseLinear(random_topology(np.random.default_rng(n_edges), 6, 5, n_edges), backend=backend)
    other(torch.randn(2, 6)).sum().backward()
    parameter, version = other.weight, other.topology_version
    other.load_state_dict(saved.state_dict())
    assert other.weight is parameter
    assert other.topology_version == version + 1
    assert other.topology == TOPOLOGY
    assert other.weight.grad is None
    assert other.birth.tolist() == saved.birth.tolist()
    x = torch.randn(3, 6)
    assert torch.equal(other(x), saved(x))
    assert other.to_igraph().es["weight"] == saved.weight.tolist()


def test_an_optimiser_that_was_not_remapped_refuses_to_step() -> None:
    saved, layer = SparseLinear(TOPOLOGY), SparseLinear(random_topology(np.random.default_rng(0), 6, 5, 4))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.randn(2, 6)).sum().backward()
    optimizer.step()
    layer.load_state_dict(saved.state_dict())
    layer(torch.randn(2, 6)).sum().backward()
    with pytest.raises((RuntimeError, ValueError)):
        optimizer.step()


@pytest.mark.parametrize("field", ["src", "dst"])
def test_state_dict_with_bad_edges_is_refused_and_changes_nothing(field: str) -> None:
    layer = SparseLinear(TOPOLOGY)
    before = layer.weight.detach().clone()
    state = {name: tensor.clone() for name, tensor in SparseLinear(CASES["irregular"]).state_dict().items()}
    state[field][-1] = 6
    with pytest.raises(TopologyError, match=field):
        layer.load_state_dict(state)
    assert layer.topology == TOPOLOGY
    assert torch.equal(layer.weight, before)


def test_set_structure_checks_before_it_changes() -> None:
    layer = SparseLinear(TOPOLOGY)
    with pytest.raises(TopologyError, match="topology joins 5 sources and 6 targets; the layer has 6 and 5"):
        layer.set_structure(CASES["source hub"], torch.zeros(6), torch.zeros(6, dtype=torch.int32))
    one = BipartiteTopology.from_edges([(0, 0)], 6, 5)
    with pytest.raises(TopologyError, match=r"they must be \[n_edges, \*kernel\] = \[1\] and \[n_edges\] = \[1\]"):
        layer.set_structure(one, torch.zeros(2), torch.zeros(1, dtype=torch.int32))
    assert layer.topology == TOPOLOGY
    assert layer.topology_version == 0


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["deepcopy", "pickle"])
def test_copies_are_independent_and_carry_no_cache(clone: object, backend: str) -> None:
    layer = SparseLinear(TOPOLOGY, backend=backend)
    x = torch.randn(3, 6)
    expected = layer(x).detach()
    mirror: igraph.Graph = layer.to_igraph()
    twin = clone(layer)
    assert twin.__dict__["_mirror"] is None
    assert twin.topology == layer.topology
    assert torch.equal(twin(x), expected)
    with torch.no_grad():
        twin.weight.zero_()
    assert torch.equal(layer(x), expected)
    assert layer.to_igraph().es["weight"] == mirror.es["weight"]


def test_extra_repr() -> None:
    layer = SparseLinear(generators.erdos_renyi(10, 20, n_edges=50, rng=0), bias=False, backend="dense")
    assert repr(layer) == "SparseLinear(n_in=10, n_out=20, n_edges=50, density=0.25, bias=False, backend='dense')"
