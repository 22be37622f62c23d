"""A sparse layer on the meta device: the edges are known, the weights are a shape, and numbers can come in later."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import netsci_nn as ns
from netsci_nn import ConfigError, DataError, SparseLinear, SparseMLP, TopologyError, generators, rewiring
from netsci_nn.layers import SparseLayer

WITHOUT_NUMBERS = "the layer is on the meta device, where weights have no numbers"


def topology(n_edges: int = 50, seed: int = 0) -> ns.BipartiteTopology:
    return generators.erdos_renyi(20, 10, n_edges=n_edges, rng=seed)


def meta(n_edges: int = 50, seed: int = 0, **options: object) -> SparseLinear:
    return SparseLinear(topology(n_edges, seed), device="meta", **options)  # type: ignore[arg-type]


def is_on_meta(model: nn.Module) -> bool:
    return all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("name", ["auto", "dense", "csr", "compiled"])
def test_shapes_and_gradients_as_of_a_dense_layer(name: str) -> None:
    layers = [meta(backend=name), nn.Linear(20, 10, device="meta")]
    for leading in ((), (3,), (0,), (2, 3)):
        ys = [layer(torch.empty(*leading, 20, device="meta", requires_grad=True)) for layer in layers]
        assert ys[0].shape == ys[1].shape
        assert ys[0].is_meta
        assert ys[0].requires_grad
        ys[0].sum().backward()
    assert layers[0].weight.grad.shape == (50,)
    assert layers[0].bias.grad.shape == (10,)
    x = torch.empty(3, 20, device="meta", requires_grad=True)
    (gradient,) = torch.autograd.grad(layers[0](x).sum(), x, create_graph=True)
    assert gradient.shape == (3, 20)
    layers[0].active = torch.arange(50) < 40
    assert layers[0](x).shape == (3, 10)


def test_no_matrix_and_no_index_is_made_for_the_widest_layers() -> None:
    wide = SparseLinear(generators.erdos_renyi(10**6, 10**6, n_edges=1000, rng=0), device="meta")
    assert wide(torch.empty(10**6, 10**6, device="meta")).shape == (10**6, 10**6)


def test_numbers_and_shapes_do_not_mix() -> None:
    with pytest.raises(DataError, match="x is on cpu; it must be on the layer's device, meta"):
        meta()(torch.ones(3, 20))
    with pytest.raises(DataError, match="x is on meta; it must be on the layer's device, cpu"):
        SparseLinear(topology())(torch.ones(3, 20, device="meta"))


def test_the_edges_are_known_and_what_needs_numbers_is_refused() -> None:
    layer = meta()
    assert layer.topology == topology()
    assert layer.src.tolist() == topology().src.tolist()
    assert layer.birth.tolist() == [0] * 50
    for act in (
        layer.strength,
        layer.edge_weights,
        layer.to_igraph,
        lambda: rewiring.edge_view(layer),
        lambda: rewiring.SparseEvolution().propose(layer, rng=0),
        lambda: ns.network_graph(layer),
    ):
        with pytest.raises(ConfigError, match=WITHOUT_NUMBERS):
            act()
    with pytest.raises(TopologyError, match="a tensor is on the meta device, which holds no numbers"):
        ns.network_graph(nn.Linear(3, 2, device="meta"))
    for model in (layer, nn.Linear(3, 2, device="meta")):
        with pytest.raises(ConfigError, match="layer '' is on the meta device"):
            ns.pruning.prune(model, density=0.1)
    with pytest.raises(ConfigError, match="linear is on the meta device, where it is not known which weights are zero"):
        SparseLinear.from_dense(nn.Linear(3, 2, device="meta"))
    assert layer.to_dense().weight.is_meta


def test_a_device_of_the_context_is_obeyed() -> None:
    with torch.device("meta"):
        model = SparseMLP([20, 10, 5], density=0.3, rng=0)
        dense = nn.Sequential(nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 5))
        ns.sparsify(dense, density=0.3, rng=0)
        conv = nn.Sequential(nn.Conv2d(8, 6, 3))
        ns.sparsify(conv, density=0.3, rng=0)
        # What is real stays real.
        real, other = SparseLinear(topology(), device="cpu"), SparseLinear(topology(40, 1), device="cpu")
        real.active = torch.ones(50, dtype=torch.bool, device="cpu")
        other.load_state_dict(real.state_dict())
        assert not any(tensor.is_meta for tensor in real.state_dict().values())
    assert is_on_meta(model)
    assert is_on_meta(dense)
    assert is_on_meta(conv)
    assert conv[0].n_edges == 14
    assert isinstance(dense[0], SparseLayer)
    assert model(torch.empty(4, 20, device="meta")).shape == dense(torch.empty(4, 20, device="meta")).shape == (4, 5)
    expected = SparseMLP([20, 10, 5], density=0.3, rng=0)
    assert [layer.topology for layer in model.layers] == [layer.topology for layer in expected.layers]
    assert torch.equal(other.weight, real.weight)


def test_sparsify_on_meta_has_the_edges_of_sparsify_elsewhere() -> None:
    models = [
        nn.Sequential(nn.Linear(20, 10, device=device), nn.ReLU(), nn.Linear(10, 5, device=device))
        for device in ("meta", "cpu")
    ]
    for model in models:
        ns.sparsify(model, density=0.3, rng=0)
    assert [m.topology for m in ns.models.sparse_layers(models[0])] == [m.topology for m in ns.models.sparse_layers(models[1])]
    models[0].load_state_dict(models[1].state_dict(), assign=True)
    assert torch.equal(models[0](torch.ones(2, 20)), models[1](torch.ones(2, 20)))


def test_there_and_back_with_to_empty() -> None:
    layer = SparseLinear(topology())
    layer(torch.ones(2, 20))  # caches an index
    layer.to("meta")
    assert layer(torch.empty(2, 20, device="meta")).is_meta
    layer.to_empty(device="cpu")
    torch.manual_seed(0)
    layer.reset_parameters()
    torch.manual_seed(0)
    assert torch.equal(layer.weight, SparseLinear(topology()).weight)
    torch.testing.assert_close(layer(torch.ones(2, 20)), layer.to_dense()(torch.ones(2, 20)))
    assert torch.nn.utils.skip_init(SparseLinear, topology()).weight.shape == (50,)


def test_copies_pickles_and_rewirings() -> None:
    layer = meta()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert is_on_meta(other)
        assert other.topology == layer.topology
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.empty(2, 20, device="meta")).sum().backward()
    optimizer.step()
    delta = rewiring.EdgeDelta(np.arange(30), *np.zeros((2, 0), np.int64), np.zeros(0))
    rewiring.apply_delta(layer, delta, optimizer)
    assert layer.weight.shape == layer.weight.grad.shape == optimizer.state[layer.weight]["exp_avg"].shape == (20,)
    layer.set_structure(topology(), torch.ones(50), torch.zeros(50, dtype=torch.int32))
    assert layer.weight.is_meta
    assert layer.weight.shape == (50,)


# load_state_dict


@pytest.mark.parametrize("target", ["cpu", "meta"])
@pytest.mark.parametrize("n_edges", [50, 30], ids=["as many edges", "other edges"])
@pytest.mark.parametrize("as_parameters", [False, True], ids=["tensors", "parameters"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_assign_takes_over_the_tensors_as_in_a_dense_layer(
    target: str, n_edges: int, as_parameters: bool, dtype: torch.dtype
) -> None:
    def pair(device: str, dtype: torch.dtype, n_edges: int) -> nn.Sequential:
        sparse = SparseLinear(topology(n_edges, n_edges), device=device, dtype=dtype)
        return nn.Sequential(nn.Linear(20, 20, device=device, dtype=dtype), sparse)

    source, model = pair("cpu", dtype, 50), pair(target, torch.float32, n_edges)
    source[1].active = torch.arange(50) < 40
    for layer in model:
        layer.weight.requires_grad_(False)
    former, edges = model[1].weight, model[1].n_edges
    state = source.state_dict(keep_vars=as_parameters)
    model.load_state_dict(state, assign=True)
    for number, layer in enumerate(model):
        weight = state[f"{number}.weight"]
        assert (layer.weight is weight) is as_parameters
        assert isinstance(layer.weight, nn.Parameter)
        assert layer.weight.data_ptr() == weight.data_ptr()
        assert layer.weight.dtype == layer.bias.dtype == dtype
        assert not layer.weight.requires_grad
        assert layer.bias.requires_grad
    assert former is not model[1].weight
    assert former.shape == (edges,)  # whoever still holds the parameter of before finds it as it was
    assert model[1].topology == source[1].topology
    assert model[1].active.tolist() == source[1].active.tolist()
    x = torch.randn(3, 20, dtype=dtype)
    assert torch.equal(model(x), source(x))
    model[1].weight.requires_grad_()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(x).sum().backward()
    optimizer.step()


def test_assign_is_refused_where_it_does_not_fit() -> None:
    layer, state = meta(30, 1), SparseLinear(topology()).state_dict()
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        layer.load_state_dict({**state, "weight": torch.ones(49)}, assign=True)
    with pytest.raises(RuntimeError, match=r"weight has dtype torch\.int64; it must be floating"):
        layer.load_state_dict({**state, "weight": torch.ones(50, dtype=torch.int64)}, assign=True)
    with pytest.raises(TopologyError, match="active has dtype float32"):
        layer.load_state_dict({**state, "active": torch.ones(50)}, assign=True)
    assert layer.topology == topology(30, 1)
    assert layer.weight.shape == (30,)


def test_a_state_dict_of_a_meta_layer_has_real_edges() -> None:
    state = meta().state_dict()
    assert {name for name, tensor in state.items() if tensor.is_meta} == {"weight", "bias"}
    layer, shape = SparseLinear(topology(30, 1)), meta(30, 1)
    shape.load_state_dict(meta().state_dict(), assign=True)  # torch notes in the dict that it was assigned
    assert shape.topology == topology()
    with pytest.raises(RuntimeError, match=r"weight is on the meta device, which holds no numbers; only .*assign=True"):
        layer.load_state_dict(state)
    assert layer.topology == topology(30, 1)
    layer.load_state_dict(state, assign=True)
    assert layer.weight.is_meta
    with pytest.raises(RuntimeError, match="src is on the meta device, which holds no numbers; edges must be known"):
        layer.load_state_dict({name: tensor.to("meta") for name, tensor in state.items()}, assign=True)


def test_copying_numbers_into_a_meta_layer_warns_as_torch_does() -> None:
    layer = meta(30, 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer.load_state_dict(SparseLinear(topology()).state_dict())
    assert "Did you mean to pass `assign=True`" in str(caught[0].message)
    assert layer.topology == topology()
    assert layer.weight.is_meta
