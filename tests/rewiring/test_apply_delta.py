"""`apply_delta`: layer, mirror, gradient and optimiser change together, and only when everything fits."""

from typing import Any

import numpy as np
import pytest
import torch
from sparse_cases import by_edge, random_delta, random_topology
from torch import nn

from netsci_nn import BipartiteTopology, ConfigError, SparseLinear, TopologyError
from netsci_nn.rewiring import EdgeDelta, apply_delta

SGD = torch.optim.SGD


def make_layer(seed: int = 0, n_edges: int = 20, **arguments: Any) -> SparseLinear:
    torch.manual_seed(seed)
    return SparseLinear(random_topology(np.random.default_rng(seed), 8, 7, n_edges), **arguments)


def train_step(layer: SparseLinear, optimizer: torch.optim.Optimizer, *, clear: bool = True) -> torch.Tensor:
    if clear:
        optimizer.zero_grad()
    loss = layer(torch.randn(4, 8)).square().sum()
    loss.backward()
    optimizer.step()
    return loss


def delta_of(dropped: list[int], grown: list[tuple[int, int]], values: list[float] | None = None) -> EdgeDelta:
    src, dst = [s for s, _ in grown], [d for _, d in grown]
    return EdgeDelta(
        np.array(dropped, dtype=int), np.array(src, dtype=int), np.array(dst, dtype=int), values or [0.5] * len(grown)
    )


@pytest.mark.parametrize("keep_loss", [True, False], ids=["loss kept", "loss gone"])
@pytest.mark.parametrize("seed", range(5))
def test_optimiser_trains_after_any_number_of_rewirings(seed: int, keep_loss: bool, backend: str) -> None:
    """Fails when the Parameter is rebound, when a gradient of another length survives, or autograd remembers a length."""
    layer, rng = make_layer(seed, backend=backend), np.random.default_rng(seed)
    optimizer = SGD(layer.parameters(), lr=0.01)
    parameter, losses = layer.weight, []
    for _ in range(15):
        losses.append(train_step(layer, optimizer))
        if not keep_loss:
            losses.clear()
        n_dropped = int(rng.integers(0, layer.n_edges + 1))
        n_grown = int(rng.integers(0, 56 - layer.n_edges + n_dropped + 1))
        apply_delta(layer, random_delta(layer, rng, n_dropped, n_grown), optimizer)
        assert layer.weight is parameter
        assert optimizer.param_groups[0]["params"][0] is layer.weight
        assert layer.weight.grad.shape == layer.weight.shape == (layer.n_edges,)
        optimizer.zero_grad()
        before, x = layer.weight.detach().clone(), torch.randn(4, 8)
        dense = layer.to_dense()
        layer(x).square().sum().backward()
        dense(x).square().sum().backward()
        gradient = dense.weight.grad[layer.dst, layer.src]
        torch.testing.assert_close(layer.weight.grad, gradient, rtol=1e-4, atol=1e-4)
        optimizer.step()
        torch.testing.assert_close(layer.weight.detach(), before - 0.01 * gradient, rtol=1e-4, atol=1e-5)


def test_training_learns_after_rewirings() -> None:
    """The end of the chain: 30 rewirings of a quarter of the edges, and the loss still falls by training alone."""
    layer, rng = make_layer(n_edges=28), np.random.default_rng(0)
    optimizer, x = torch.optim.Adam(layer.parameters(), lr=0.02), torch.randn(64, 8)
    for _ in range(30):
        train_step(layer, optimizer)
        apply_delta(layer, random_delta(layer, rng, 7, 7), optimizer)
    target = x @ torch.randn(8, 7)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(layer(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zeroed_gradients_before_and_after(set_to_none: bool) -> None:
    layer = make_layer()
    optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
    train_step(layer, optimizer)
    optimizer.zero_grad(set_to_none=set_to_none)
    apply_delta(layer, random_delta(layer, np.random.default_rng(0), 8, 3), optimizer)
    assert layer.weight.grad is None if set_to_none else layer.weight.grad.tolist() == [0.0] * 15
    optimizer.zero_grad(set_to_none=set_to_none)
    train_step(layer, optimizer, clear=False)
    assert layer.weight.grad.shape == (15,)


@pytest.mark.parametrize("seed", range(20))
def test_survivors_keep_everything_and_grown_edges_start_afresh(seed: int) -> None:
    layer, rng = make_layer(seed), np.random.default_rng(seed)
    optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
    for step in range(1, 4):
        train_step(layer, optimizer)
        momentum = optimizer.state[layer.weight]["momentum_buffer"]
        old = {
            name: by_edge(layer, t)
            for name, t in (("value", layer.weight), ("grad", layer.weight.grad), ("momentum", momentum))
        }
        births = by_edge(layer, layer.birth)
        edges = layer.topology.to_edges()
        delta = random_delta(layer, rng, int(rng.integers(0, layer.n_edges + 1)), int(rng.integers(0, 20)))
        survivors = set(map(tuple, np.delete(edges, delta.dropped, axis=0).tolist()))
        grown = dict(zip(zip(delta.grown_src.tolist(), delta.grown_dst.tolist(), strict=True), delta.grown_values, strict=True))
        version, bias_momentum = layer.topology_version, optimizer.state[layer.bias]["momentum_buffer"].clone()
        apply_delta(layer, delta, optimizer, step=100 * step)
        assert set(map(tuple, layer.topology.to_edges().tolist())) == survivors | set(grown)
        assert layer.topology_version == version + 1
        assert torch.equal(optimizer.state[layer.bias]["momentum_buffer"], bias_momentum)
        momentum = optimizer.state[layer.weight]["momentum_buffer"]
        new = {
            name: by_edge(layer, t)
            for name, t in (("value", layer.weight), ("grad", layer.weight.grad), ("momentum", momentum))
        }
        for edge in survivors:
            assert {name: new[name][edge] for name in new} == {name: old[name][edge] for name in old}
            assert by_edge(layer, layer.birth)[edge] == births[edge]
        for edge, value in grown.items():
            assert {name: new[name][edge] for name in new} == {"value": float(value), "grad": 0.0, "momentum": 0.0}
            assert by_edge(layer, layer.birth)[edge] == 100 * step


def test_mirror_and_layer_agree_edge_by_edge() -> None:
    layer, rng = make_layer(), np.random.default_rng(0)
    optimizer = SGD(layer.parameters(), lr=0.1)
    for _ in range(20):
        layer.to_igraph()  # fills the cache that the next change must not leave behind
        apply_delta(layer, random_delta(layer, rng, 5, int(rng.integers(3, 8))), optimizer)
        train_step(layer, optimizer)
        graph = layer.to_igraph()
        assert graph.ecount() == layer.n_edges == len(layer.weight) == len(layer.src) == len(layer.dst)
        for k, edge in enumerate(graph.es):
            assert edge.tuple == (int(layer.src[k]), int(layer.dst[k]) + 8)
            assert edge["weight"] == layer.weight[k].item()
        assert BipartiteTopology.from_igraph(graph) == layer.topology
        assert torch.equal(torch.tensor(layer.topology.src), layer.src)
        assert torch.equal(torch.tensor(layer.topology.dst), layer.dst)


@pytest.mark.parametrize(("n_dropped", "n_grown"), [(20, 0), (0, 36), (20, 56), (0, 0)], ids=["all", "full", "swap", "none"])
def test_edge_count_from_nothing_to_everything(n_dropped: int, n_grown: int, backend: str) -> None:
    layer = make_layer(backend=backend)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    train_step(layer, optimizer)
    apply_delta(layer, random_delta(layer, np.random.default_rng(0), n_dropped, n_grown), optimizer)
    assert layer.n_edges == 20 - n_dropped + n_grown
    train_step(layer, optimizer)
    assert all(len(optimizer.state[layer.weight][name]) == layer.n_edges for name in ("exp_avg", "exp_avg_sq"))
    x = torch.randn(3, 8)
    torch.testing.assert_close(layer(x), layer.to_dense()(x), rtol=1e-5, atol=1e-5)


def test_default_birth_is_the_new_version_and_ages_can_be_read_off() -> None:
    layer = make_layer(n_edges=0)
    for grown in ([(0, 0)], [(1, 1), (2, 2)], [(3, 3)]):
        apply_delta(layer, delta_of([], grown))
    assert by_edge(layer, layer.birth) == {(0, 0): 1, (1, 1): 2, (2, 2): 2, (3, 3): 3}


def test_a_dropped_edge_that_regrows_is_a_new_edge() -> None:
    layer = make_layer()
    optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
    train_step(layer, optimizer)
    edge = tuple(layer.topology.to_edges()[4].tolist())
    apply_delta(layer, delta_of([4], [edge], [2.5]), optimizer, step=9)
    assert layer.weight[4].item() == 2.5
    assert optimizer.state[layer.weight]["momentum_buffer"][4] == 0
    assert layer.weight.grad[4] == 0
    assert layer.birth[4] == 9


def test_double_layers_take_float_values_and_stay_double() -> None:
    layer = make_layer(dtype=torch.float64)
    apply_delta(layer, random_delta(layer, np.random.default_rng(0), 3, 5))
    assert layer.weight.dtype == torch.float64
    layer(torch.randn(2, 8, dtype=torch.float64)).sum().backward()
    assert layer.weight.grad.dtype == torch.float64


BAD_DELTAS = {
    "dropped too large": (delta_of([20], []), "dropped reaches from 20 to 20; positions must be from 0 to 19"),
    "dropped negative": (delta_of([-1, 3], []), "dropped reaches from -1 to 3; positions must be from 0 to 19"),
    "source too large": (delta_of([], [(8, 0)]), "grown_src reaches from 8 to 8; it must be from 0 to 7"),
    "source negative": (delta_of([], [(-1, 1)]), "grown_src reaches from -1 to -1; it must be"),
    "target too large": (delta_of([], [(0, 7)]), "grown_dst reaches from 7 to 7; it must be from 0 to 6"),
    "twice": (delta_of([0], [tuple(make_layer().topology.to_edges()[0].tolist())] * 2), "grows one twice"),
    "existing": (delta_of([0], [tuple(make_layer().topology.to_edges()[1].tolist())]), "grows an edge that exists already"),
    "existing, the last": (delta_of([], [tuple(make_layer().topology.to_edges()[-1].tolist())]), "exists already"),
}


@pytest.mark.parametrize(("delta", "message"), BAD_DELTAS.values(), ids=BAD_DELTAS.keys())
def test_a_delta_that_does_not_fit_changes_nothing(delta: EdgeDelta, message: str) -> None:
    layer = make_layer()
    optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
    train_step(layer, optimizer)
    before = [t.clone() for t in (layer.weight.detach(), layer.weight.grad, optimizer.state[layer.weight]["momentum_buffer"])]
    topology = layer.topology
    with pytest.raises(TopologyError, match=message):
        apply_delta(layer, delta, optimizer)
    after = (layer.weight, layer.weight.grad, optimizer.state[layer.weight]["momentum_buffer"])
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert layer.topology == topology
    assert layer.topology_version == 0


def test_another_layers_optimiser_is_refused() -> None:
    layer = make_layer()
    with pytest.raises(ConfigError, match=r"optimizer does not train layer\.weight"):
        apply_delta(layer, random_delta(layer, np.random.default_rng(0), 3, 3), SGD(make_layer(1).parameters(), lr=0.1))
    assert layer.topology_version == 0
