"""bfloat16 (and float16, which is served alike) in every backend, rule and graph: sums in float32, results rounded once."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from kernel_layer import KernelLayer
from sparse_cases import CASES
from torch import nn

import analysis
import netsci_nn as ns
from netsci_nn import SparseLinear, SparseMLP, generators, rewiring
from netsci_nn.intake import take_in
from netsci_nn.kernels import BACKENDS, choose_backend, edge_index, sparse_product
from netsci_nn.rewiring import REWIRERS
from netsci_nn.topology import load_network, load_weighted
from netsci_nn.training import Checkpoint, RecordTopology, Rewire, evaluate, load_checkpoint, make_optimizer, train

HALF = {torch.bfloat16: 2**-8, torch.float16: 2**-11}  # with the largest relative error of rounding once

halves = pytest.mark.parametrize("dtype", HALF, ids=str)


def assert_rounded_once(actual: torch.Tensor, exact: torch.Tensor) -> None:
    """What was summed up in float32 and then rounded is off by half a unit in the last place, and the error of the sum."""
    torch.testing.assert_close(actual.double(), exact.double(), rtol=1.1 * HALF[actual.dtype], atol=1e-5)


@halves
@pytest.mark.parametrize("batch", [1, 3, 40, 300])
@pytest.mark.parametrize("size", [(70, 50, 0.2), (300, 40, 0.9)], ids=["sparse", "nearly full"])
def test_products_and_gradients_are_rounded_once(
    size: tuple[int, int, float], batch: int, dtype: torch.dtype, backend: str
) -> None:
    topology = generators.erdos_renyi(*size[:2], density=size[2], rng=0)
    torch.manual_seed(0)
    values = torch.randn(topology.n_edges).to(dtype).requires_grad_()
    x = torch.randn(topology.n_in, batch).to(dtype).requires_grad_()
    upstream = torch.randn(topology.n_out, batch).to(dtype)
    index, edges = edge_index(topology), (torch.tensor(topology.dst), torch.tensor(topology.src))
    y = sparse_product(values, x, index, BACKENDS[backend])
    assert y.dtype == dtype
    gradients = torch.autograd.grad(y, (values, x), upstream)
    W = torch.zeros(topology.n_out, topology.n_in, dtype=torch.float64)
    W[edges] = values.detach().double()
    assert_rounded_once(y, W @ x.double())
    assert_rounded_once(gradients[0], (upstream.double() @ x.double().t())[edges])
    assert_rounded_once(gradients[1], W.t() @ upstream.double())
    # of second order
    (gradient,) = torch.autograd.grad(sparse_product(values, x, index, BACKENDS[backend]), x, upstream, create_graph=True)
    direction = torch.randn(gradient.shape).to(dtype)
    (second,) = torch.autograd.grad(gradient, values, direction)
    assert_rounded_once(second, (upstream.double() @ direction.double().t())[edges])


@halves
@pytest.mark.parametrize("topology", CASES.values(), ids=CASES.keys())
def test_layers_equal_the_masked_dense_layer(topology: ns.BipartiteTopology, dtype: torch.dtype, backend: str) -> None:
    torch.manual_seed(0)
    layer = SparseLinear(topology, backend=backend, dtype=dtype)
    x = torch.randn(2, 3, topology.n_in).to(dtype).requires_grad_()
    y = layer(x)
    y.backward(torch.ones_like(y))
    exact = layer.to_dense().double()
    z = x.detach().double().requires_grad_()
    expected = exact(z)
    expected.backward(torch.ones_like(expected))
    tolerance = {"rtol": 4 * HALF[dtype], "atol": 4 * HALF[dtype]}
    torch.testing.assert_close(y.double(), expected, **tolerance)
    torch.testing.assert_close(x.grad.double(), z.grad, **tolerance)
    torch.testing.assert_close(layer.weight.grad.double(), exact.weight.grad[layer.dst, layer.src], **tolerance)
    torch.testing.assert_close(layer.bias.grad.double(), exact.bias.grad, **tolerance)


@halves
@pytest.mark.parametrize("size", [60_000, 1_000_000])
def test_auto_never_makes_the_matrix_of_a_sparse_layer(size: int, dtype: torch.dtype) -> None:
    layer = SparseLinear(generators.erdos_renyi(size, size, n_edges=1000, rng=0), dtype=dtype)
    assert choose_backend(layer.weight, 2, layer._edge_index()) == "compiled"
    x = torch.ones(2, size, dtype=dtype, requires_grad=True)
    layer(x).sum().backward()
    assert torch.equal(layer.weight.grad, torch.full((1000,), 2.0, dtype=dtype))


@halves
def test_initial_weights_have_the_spread_of_float32(dtype: torch.dtype) -> None:
    topology = generators.erdos_renyi(200, 100, density=0.3, rng=0)
    assert float(SparseLinear(topology, dtype=dtype).weight.detach().float().std()) == pytest.approx((2 / 60) ** 0.5, rel=0.1)


# graphs and analysis


@halves
def test_graphs_and_numbers_of_a_layer_are_those_of_its_weights(dtype: torch.dtype, tmp_path: Path) -> None:
    layer = SparseLinear(generators.erdos_renyi(30, 20, density=0.3, rng=0), dtype=dtype)
    weights = layer.weight.tolist()
    assert layer.edge_weights().dtype == np.float32
    assert layer.edge_weights().tolist() == layer.to_igraph().es["weight"] == weights
    assert layer.strength().dtype == dtype
    assert layer.strength().tolist() == [abs(weight) for weight in weights]
    dense = nn.Linear(20, 4, dtype=dtype)
    graph = ns.network_graph(nn.Sequential(layer, nn.ReLU(), dense))
    assert graph.es["weight"] == weights + dense.weight.flatten().tolist()
    topology = layer.topology
    assert topology.to_scipy(layer.weight).data.tolist() == weights
    assert topology.to_igraph(layer.weight).es["weight"] == weights
    for ending in ("safetensors", "npz", "csv", "graphml"):
        topology.save(tmp_path / f"layer.{ending}", weights=layer.weight)
        assert load_weighted(tmp_path / f"layer.{ending}").weights.tolist() == weights
    single = SparseLinear.from_dense(layer.to_dense().float(), topology)
    ours, theirs = (analysis.describe(each, nulls=3, rng=0).to_dict() for each in (layer, single))
    assert str(ours) == str(theirs)


@halves
def test_kernels_too(dtype: torch.dtype) -> None:
    layer = KernelLayer(CASES["irregular"]).to(dtype)
    expected = layer.weight.double().flatten(1).norm(dim=1)
    torch.testing.assert_close(torch.tensor(layer.edge_weights()).double(), expected, rtol=2 * HALF[dtype], atol=0)
    delta = rewiring.SparseEvolution(0.3, initial_value=1.0).propose(layer, rng=0)
    rewiring.apply_delta(layer, delta)
    assert layer.weight.dtype == dtype


@halves
def test_state_dicts_and_the_intake_of_files(dtype: torch.dtype, tmp_path: Path) -> None:
    layer = SparseLinear(generators.erdos_renyi(30, 20, density=0.3, rng=0), dtype=dtype)
    wide = SparseLinear(generators.erdos_renyi(30, 20, n_edges=7, rng=1))
    wide.load_state_dict(layer.state_dict())
    assert wide.weight.dtype == torch.float32
    assert wide.weight.tolist() == layer.weight.tolist()
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    taken = take_in(tmp_path / "layer.pt")
    assert taken.networks[0].graph[0].weights.tolist() == layer.weight.tolist()


@halves
def test_pruning(dtype: torch.dtype) -> None:
    model = nn.Sequential(
        nn.Linear(20, 10, dtype=dtype), SparseLinear(generators.erdos_renyi(10, 8, density=0.9, rng=0), dtype=dtype)
    )
    restricted = ns.pruning.restrict(model, ns.pruning.prune(model, density=0.3))
    assert {parameter.dtype for parameter in restricted.parameters()} == {dtype}
    assert set(restricted[0].weight.tolist()) <= set(model[0].weight.flatten().tolist())


# rules and training


@halves
@pytest.mark.parametrize("rule", list(REWIRERS))
def test_every_rule_trains_in_half_precision(rule: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = SparseMLP([20, 16, 3], density=0.3, rng=0).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    x, y = torch.randn(60, 20).to(dtype), torch.arange(60) % 3
    callbacks = [
        Rewire(REWIRERS[rule](), every_steps=5 if rule in ("rigl", "granet", "mest") else None),
        RecordTopology(lambda epoch: tmp_path / f"{epoch}.safetensors", tmp_path / "final.safetensors"),
        Checkpoint(tmp_path / "last.safetensors"),
    ]
    state = train(model, optimizer, x, y, epochs=3, batch_size=10, rng=0, callbacks=callbacks)
    for layer, written in zip(model.layers, load_network(tmp_path / "final.safetensors"), strict=True):
        assert layer.weight.dtype == dtype
        assert torch.isfinite(layer.weight).all()
        momentum = optimizer.state[layer.weight]["momentum_buffer"]
        assert (momentum.dtype, momentum.shape) == (dtype, layer.weight.shape)
        assert written.topology == layer.topology
        assert written.weights.tolist() == layer.weight.tolist()
    assert state.step == 18
    other = SparseMLP([20, 16, 3], density=0.3, rng=1).to(dtype)
    fresh = torch.optim.SGD(other.parameters(), lr=0.05, momentum=0.9)
    load_checkpoint(tmp_path / "last.safetensors", other, fresh, np.random.default_rng(0))
    assert torch.equal(other(x), model(x))


def test_edges_do_go_and_come_in_bfloat16() -> None:
    """Under every rule but the one whose noise per step is less than a bfloat16 weight can show."""
    cases: list[tuple[str, dict[str, float]]] = [("set", {}), ("rigl", {}), ("deep_r_s1", {})]
    for rule, options in [*cases, ("deep_r", {"l1": 0.05}), ("ba_deep_r", {"l1": 0.05})]:
        torch.manual_seed(0)
        model = SparseMLP([20, 16, 3], density=0.3, rng=0).bfloat16()
        before = model.layers[0].topology
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x, y = torch.randn(60, 20).bfloat16(), torch.arange(60) % 3
        rewire = Rewire(REWIRERS[rule](**options), every_steps=5 if rule in ("rigl", "granet", "mest") else None)
        train(model, optimizer, x, y, epochs=3, batch_size=10, rng=0, callbacks=[rewire])
        assert model.layers[0].topology != before, rule


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "adagrad", "sgd"])
def test_the_state_of_every_optimiser_keeps_its_dtype(name: str) -> None:
    layer = SparseLinear(generators.erdos_renyi(30, 20, n_edges=100, rng=0), dtype=torch.bfloat16)
    optimizer = make_optimizer(name, layer.parameters(), 0.01)
    for _ in range(2):
        optimizer.zero_grad()
        layer(torch.randn(4, 30).bfloat16()).square().sum().backward()
        optimizer.step()
        before = {key: value.dtype for key, value in optimizer.state[layer.weight].items()}
        halved, nothing = layer.edge_weights() / 2, np.zeros(0, np.int64)
        dropped = np.arange(20)
        delta = rewiring.EdgeDelta(dropped, nothing, nothing, np.zeros(0), kept_values=halved)
        rewiring.apply_delta(layer, delta, optimizer)
        assert layer.weight.tolist() == halved[20:].tolist()  # a half is exact
        state = optimizer.state[layer.weight]
        assert {key: value.dtype for key, value in state.items()} == before
        assert all(value.dim() == 0 or value.shape == layer.weight.shape for value in state.values())
        assert layer.weight.grad.dtype == torch.bfloat16


def test_training_records_and_evaluates_beyond_the_precision_of_a_row() -> None:
    """A sum over rows in bfloat16 would stop growing at 256."""
    model = SparseMLP([20, 16, 3], density=0.5, rng=0)
    half = copy.deepcopy(model).bfloat16()
    torch.manual_seed(0)
    x, y = torch.randn(1200, 20), torch.arange(1200) % 3
    exact, ours = (
        evaluate(*each, y, metrics=["accuracy", "mean_squared_error"]) for each in ((model, x), (half, x.bfloat16()))
    )
    assert ours["loss"] == pytest.approx(exact["loss"], rel=1e-3)
    assert ours["mean_squared_error"] == pytest.approx(exact["mean_squared_error"], rel=1e-2)
    records = []
    for each, rows in ((model, x), (half, x.bfloat16())):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.0)
        losses = lambda event, state: records.append(state.record.get("train_loss"))  # noqa: E731
        train(each, optimizer, rows, y, epochs=1, batch_size=7, rng=0, callbacks=[losses], compiled=False)
    exact_loss, ours_loss = (record for record in records if record is not None)
    assert ours_loss == pytest.approx(exact_loss, rel=2e-3)


def test_compiled_steps_say_why_they_do_not_train_it() -> None:
    model = SparseMLP([20, 16, 3], density=0.5, rng=0).bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ns.ConfigError, match="parameters and data are not all float32, or all float64, on the CPU"):
        train(model, optimizer, torch.rand(6, 20).bfloat16(), torch.arange(6) % 3, epochs=1, batch_size=3, rng=0, compiled=True)


def test_autocast_keeps_a_half_layer_half() -> None:
    layer = SparseLinear(CASES["irregular"], dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.ones(2, 6)).dtype == torch.bfloat16


@pytest.mark.parametrize("batch", [0, 1, 3, 40, 130, 600])
def test_autocast_reads_bfloat16_without_a_copy(batch: int) -> None:
    """Between layers in bfloat16, as autocast makes them, x is read as it is, and results are those of its copy in float32."""
    layer = SparseLinear(generators.erdos_renyi(70, 50, density=0.2, rng=0))
    torch.manual_seed(0)
    rows, upstream = torch.randn(batch, 70).bfloat16(), torch.randn(batch, 50)
    kept: list[torch.dtype] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.extend([tensor.dtype] if tensor.dim() == 2 else [])
        return tensor

    found = []
    for is_cast in (True, False):
        x = rows.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_cast), torch.autograd.graph.saved_tensors_hooks(keep, keep):
            y = layer(x if is_cast else x.float())
            assert y.dtype == torch.float32
            parts = torch.autograd.grad(y, (layer.weight, layer.bias, x), upstream, create_graph=True)
        assert [part.dtype for part in parts] == [torch.float32, torch.float32, torch.bfloat16]
        (second,) = torch.autograd.grad(parts[2].square().sum(), layer.weight)
        found.append([y, *parts, second])
    assert kept[0] == torch.bfloat16
    for mixed, single in zip(*found, strict=True):
        torch.testing.assert_close(mixed, single, rtol=2**-8 if mixed.dtype == torch.bfloat16 else 1e-5, atol=1e-5)


def test_a_backend_that_does_not_mix_dtypes_gets_a_copy(backend: str) -> None:
    layer = SparseLinear(CASES["irregular"], backend=backend)
    x = torch.rand(2, 6).bfloat16().requires_grad_()
    exact = layer(x.float())
    (gradient,) = torch.autograd.grad(exact.square().sum(), layer.weight)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        assert y.dtype == torch.float32
        torch.testing.assert_close(y, exact)
        torch.testing.assert_close(torch.autograd.grad(y.square().sum(), layer.weight)[0], gradient)
    if not BACKENDS[backend].mixes:
        with pytest.raises(ns.DataError, match="a product needs one"):
            sparse_product(layer.weight, x.t(), edge_index(layer.topology), BACKENDS[backend])
