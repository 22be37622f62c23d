"""The largest gradients among absent edges, against the dense computation."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from netsci_nn import BipartiteTopology, Rewiring, SparseLinear, generators
from netsci_nn.errors import ConfigError
from netsci_nn.rewiring import DenseGradient, dense_gradient, edge_view, rigl
from netsci_nn.rewiring.dense_gradient import GradientWatch
from netsci_nn.rewiring.drop import lowest
from netsci_nn.rewiring.drop_and_grow import without_common


def dense(x: torch.Tensor, of_y: torch.Tensor) -> np.ndarray:
    return np.abs((of_y.double() @ x.double().t()).numpy())


def expected(size: np.ndarray, count: int, occupied: np.ndarray) -> np.ndarray:
    free = np.setdiff1d(np.arange(size.size), occupied)
    order = np.argsort(-size.reshape(-1)[free], kind="stable")
    return np.sort(free[order[:count]])


@given(st.data())
def test_it_is_the_dense_computation(data: st.DataObject) -> None:
    """Small integers, whose products are exact: equal ones are frequent, and any difference is a mistake."""
    n_in, n_out, rows = (data.draw(st.integers(1, 12)) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    x, of_y = (torch.from_numpy(rng.integers(-2, 3, (n, rows)).astype(np.float64)).to(dtype) for n in (n_in, n_out))
    occupied = np.flatnonzero(rng.random(n_in * n_out) < data.draw(st.floats(0, 1)))
    count = data.draw(st.integers(0, n_in * n_out - len(occupied)))
    block = data.draw(st.integers(1, 150))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense_gradient, "BLOCK", block)
        found = DenseGradient(x, of_y).largest(count, occupied)
    np.testing.assert_array_equal(found, expected(dense(x, of_y), count, occupied))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("density", "share"), list(product([0.01, 0.3, 0.9], [0.001, 0.05, 0.4])))
def test_many_pairs_in_many_blocks(density: float, share: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x, of_y = (torch.randint(-50, 51, (n, 8), generator=generator).to(dtype) for n in (700, 300))
    of_y[:50] *= 100  # the largest are all together, where a sample of few may miss them
    occupied = generators.erdos_renyi(700, 300, density=density, rng=0)
    keys = occupied.dst.astype(np.int64) * 700 + occupied.src
    count = int(share * (700 * 300 - len(keys)))
    truth = expected(dense(x, of_y), count, keys)
    for block in (2**20, 2**14, 700):
        monkeypatch.setattr(dense_gradient, "BLOCK", block)
        np.testing.assert_array_equal(DenseGradient(x, of_y).largest(count, keys), truth)


def test_a_sample_that_misleads_costs_a_second_pass_only(monkeypatch: pytest.MonkeyPatch) -> None:
    x, of_y = torch.ones(700, 1), torch.zeros(300, 1)
    of_y[::2] = 1.0
    monkeypatch.setattr(DenseGradient, "_likely_threshold", lambda self, count: 1.0)
    gradient = DenseGradient(x, of_y)
    np.testing.assert_array_equal(gradient.largest(5, np.array([0])), [1, 2, 3, 4, 5])


def test_memory_is_that_of_a_block() -> None:
    """4 x 10^8 pairs would be 1.6 GB."""
    generator = torch.Generator().manual_seed(0)
    x, of_y = (torch.randn(20_000, 1, generator=generator) for _ in range(2))
    DenseGradient(x[:10], of_y[:10]).largest(5, np.empty(0, np.int64))
    tracemalloc.start()
    found = DenseGradient(x, of_y).largest(1000, np.empty(0, np.int64))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**26
    least = float((x[found % 20_000, 0] * of_y[found // 20_000, 0]).abs().min())
    assert len(found) == 1000
    assert (of_y.abs()[:, 0] * x.abs().max() >= least).sum() <= 1000


def test_too_many_pairs_are_refused() -> None:
    gradient = DenseGradient(torch.zeros(10**6, 1), torch.zeros(10**6, 1))
    with pytest.raises(ConfigError, match=r"1,000,000 x 1,000,000 pairs of neurons.*use one that grows at random, as set"):
        gradient.largest(10, np.empty(0, np.int64))
    layer = SparseLinear(generators.erdos_renyi(10**6, 10**6, n_edges=1000, rng=0), bias=False)
    with pytest.raises(ConfigError, match=r"1,000,000 x 1,000,000 pairs of neurons"):
        Rewiring(layer, torch.optim.SGD(layer.parameters()), "rigl", rng=0)
    with pytest.raises(ConfigError, match="count is 10; only 3 pairs are free"):
        DenseGradient(torch.zeros(2, 1), torch.zeros(2, 1)).largest(10, np.array([1]))
    with pytest.raises(ConfigError, match="the gradient of some pairs of neurons is NaN"):
        DenseGradient(torch.tensor([[np.nan], [1.0]]), torch.ones(2, 1)).largest(3, np.empty(0, np.int64))


@pytest.mark.parametrize("shape", [(7, 20), (3, 4, 20), (2, 1, 3, 20), (20,), (0, 20)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_collects_batches_of_any_shape(shape: tuple[int, ...], bias: bool, backend: str) -> None:
    layer = SparseLinear(generators.erdos_renyi(20, 10, density=0.3, rng=0), bias=bias, backend=backend)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    watch = GradientWatch(0, layer)
    linear = layer.to_dense()
    for module in (layer, linear):
        (module(x).sin() * torch.arange(10)).sum().backward()
    watch.check()
    blocks = np.concatenate([block.copy() for _, block in watch.gradient().blocks()])
    np.testing.assert_allclose(blocks, linear.weight.grad.numpy(), rtol=1e-4, atol=1e-5)
    watch.end()
    layer(x).sum().backward()
    assert len(watch.factors) == 1


def test_passes_add_up_until_the_gradient_is_cleared() -> None:
    layer = SparseLinear(generators.erdos_renyi(20, 10, density=0.3, rng=0))
    xs = torch.randn(4, 6, 20, generator=torch.Generator().manual_seed(0))
    for set_to_none in (True, False):
        watch = GradientWatch(0, layer)
        layer(xs[0]).exp().sum().backward()  # a batch that is given up, as by a GradScaler
        layer.zero_grad(set_to_none=set_to_none)
        linear = layer.to_dense()
        for module in (layer, linear):
            for x in xs[1:3]:
                (module(x).sin() + module(x.flip(0)).cos()).sum().backward()  # twice in one pass
        blocks = np.concatenate([block.copy() for _, block in watch.gradient().blocks()])
        np.testing.assert_allclose(blocks, linear.weight.grad.numpy(), rtol=1e-4, atol=1e-5)
        watch.check()
        watch.end()
        layer.zero_grad()


def test_a_penalty_of_the_gradient_is_part_of_it() -> None:
    layer = SparseLinear(generators.erdos_renyi(20, 10, density=0.3, rng=0))
    x = torch.randn(6, 20, generator=torch.Generator().manual_seed(0), requires_grad=True)
    watch, linear = GradientWatch(0, layer), layer.to_dense()
    for module in (layer, linear):
        y = module(x).tanh().sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        (y + slope.square().sum()).backward()
    watch.check()
    blocks = np.concatenate([block.copy() for _, block in watch.gradient().blocks()])
    np.testing.assert_allclose(blocks, linear.weight.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_what_is_beside_the_gradient_is_left_out() -> None:
    layer = SparseLinear(generators.erdos_renyi(20, 10, density=0.3, rng=0))
    x = torch.randn(6, 20, generator=torch.Generator().manual_seed(0), requires_grad=True)
    watch = GradientWatch(3, layer)
    with pytest.raises(ConfigError, match="sparse layer 3 took no part in the backward pass"):
        watch.check()

    def saliency() -> None:  # which nobody descends
        torch.autograd.grad(layer(x).exp().sum() * 100, [*layer.parameters(), x])

    saliency()
    layer(x.cos()).sum().backward()
    saliency()
    (1e6 * layer.weight.square().sum()).backward()  # a penalty, whose gradient is 0 where there is no edge
    layer(x.sin()).exp().sum().backward()
    saliency()
    torch.func.grad(lambda w: torch.func.functional_call(layer, {"weight": w}, (x,)).sum())(layer.weight)
    assert len(watch.factors) == 2
    linear = layer.to_dense()
    (linear(x.cos()).sum() + linear(x.sin()).exp().sum()).backward()
    blocks = np.concatenate([block.copy() for _, block in watch.gradient().blocks()])
    np.testing.assert_allclose(blocks, linear.weight.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_a_pass_whose_gradient_is_zero_at_all_edges_counts() -> None:
    layer = SparseLinear(BipartiteTopology(6, 4, [0, 1, 0, 1], [0, 1, 2, 3]), bias=False)
    watch = GradientWatch(0, layer)
    first, second = torch.zeros(1, 6), torch.tensor([[1.0, 1, 0.5, 0, 0, 0]])
    first[0, 5] = 10.0
    for x in (first, second):
        (layer(x) * torch.tensor([1.0, 2, 3, 4])).sum().backward()
    assert len(watch.factors) == 2
    for clear in (lambda: layer.zero_grad(set_to_none=False), layer.zero_grad):
        clear()
        layer(second).sum().backward()
        assert len(watch.factors) == 1


def test_a_gradient_that_was_assigned_is_refused_with_the_way() -> None:
    layer = SparseLinear(generators.erdos_renyi(20, 10, density=0.3, rng=0), bias=False)
    watch = GradientWatch(3, layer)
    (layer.weight.grad,) = torch.autograd.grad(layer(torch.ones(2, 20)).sum(), layer.weight)
    with pytest.raises(ConfigError, match=r"the gradient of sparse layer 3 was assigned and not accumulated by backward\(\)"):
        watch.check()


def test_an_infinite_gradient_is_told_where_it_is_asked_for() -> None:
    layer = SparseLinear(generators.erdos_renyi(20, 10, density=0.3, rng=0))
    watch = GradientWatch(3, layer)
    layer(torch.full((2, 20), torch.inf)).sum().backward()
    watch.check()
    with pytest.raises(ConfigError, match="the gradient of sparse layer 3 is not finite"):
        watch.gradient()


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_recomputed_passes_count_once(use_reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    layer = SparseLinear(generators.erdos_renyi(10, 10, density=0.3, rng=0))
    x = torch.randn(6, 10, generator=torch.Generator().manual_seed(0), requires_grad=True)
    watch, linear = GradientWatch(0, layer), layer.to_dense()

    def through(module: nn.Module) -> torch.Tensor:
        inner = checkpoint(lambda z: module(module(z).sin()), module(x).tanh(), use_reentrant=use_reentrant)
        return module(inner).square().sum()

    for module in (layer, linear):
        through(module).backward()
    blocks = np.concatenate([block.copy() for _, block in watch.gradient().blocks()])
    np.testing.assert_allclose(blocks, linear.weight.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_rigl_without_noise_by_hand() -> None:
    """Weights 1, 2, 3, 4 on (source, target) (0,0), (1,0), (0,1), (2,1); two of them go, gradients decide who comes."""
    layer = SparseLinear(BipartiteTopology(3, 2, src=[0, 1, 0, 2], dst=[0, 0, 1, 1]))
    nn.init.zeros_(layer.bias)
    layer.weight.data.copy_(torch.tensor([1.0, -2.0, 3.0, -4.0]))
    gradient = DenseGradient(torch.tensor([[5.0], [1.0], [3.0]]), torch.tensor([[1.0], [-2.0]]))  # 5 1 3 / -10 -2 -6
    view = edge_view(layer, dense_gradient=gradient)
    delta = rigl.RigL(0.5, tie_noise=0).propose(view, rng=0)
    assert delta.dropped.tolist() == [1]  # edge 0 was dropped, too, but came back at once, by its gradient of 5
    assert (delta.grown_src.tolist(), delta.grown_dst.tolist(), delta.grown_values.tolist()) == ([2], [0], [0.0])
    assert rigl.RigL(0.49).propose(view, rng=0).dropped.tolist() == []  # int(0.49 * 4) = 1: edge 0, which comes back
    assert not rigl.RigL(0.24).propose(view, rng=0).moves_edges
    last = edge_view(layer, dense_gradient=gradient, is_last=True)
    assert not rigl.RigL(0.5).propose(last, rng=0).moves_edges


@given(st.integers(0, 10**6), st.integers(2, 40), st.floats(0, 1))
def test_common_entries_of_sorted_arrays(seed: int, size: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = (np.flatnonzero(rng.random(size) < share) for _ in range(2))
    only_a, only_b = without_common(a, b)
    np.testing.assert_array_equal(a[only_a], np.setdiff1d(a, b))
    np.testing.assert_array_equal(b[only_b], np.setdiff1d(b, a))


def test_noise_decides_between_equal_weights_only() -> None:
    """Of 40 weights, 10 are smaller and 20 are equal; 20 go. Chance 1e-9 that fewer than 15 of the equal ones ever do."""
    size = np.repeat([0.1, 0.2, 0.3], [10, 20, 10]).astype(np.float32)
    chosen = [lowest(size, 20, 1e-5, np.random.default_rng(seed)) for seed in range(40)]
    assert all(set(range(10)) <= set(weakest) <= set(range(30)) and len(weakest) == 20 for weakest in chosen)
    assert len(set(np.concatenate(chosen))) == 30
    np.testing.assert_array_equal(lowest(size, 20, 0.0, np.random.default_rng(0)), np.arange(20))
