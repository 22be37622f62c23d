"""A sparse layer behaves as torch's own layers do, whatever is done with it."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, grad, vmap

from netsci_nn import BipartiteTopology, SparseLinear, SparseMLP, generators, weight_norm
from netsci_nn.kernels import parallel


def layer(n_in: int = 30, n_out: int = 20, density: float = 0.3, seed: int = 0, backend: str = "compiled") -> SparseLinear:
    torch.manual_seed(seed)
    return SparseLinear(generators.erdos_renyi(n_in, n_out, density=density, rng=seed), backend=backend)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_equals_the_masked_dense_layer_for_drawn_shapes_skews_and_batches(data: st.DataObject) -> None:
    n_in, n_out = data.draw(st.integers(1, 70), label="n_in"), data.draw(st.integers(1, 70), label="n_out")
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6), label="seed"))
    mask = rng.random((n_out, n_in)) < data.draw(st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]), label="density")
    if data.draw(st.booleans(), label="hub"):
        mask[rng.integers(n_out)] = True
    sparse = SparseLinear(BipartiteTopology.from_mask(mask), backend="compiled", dtype=torch.float64)
    dense = sparse.to_dense()
    x = torch.from_numpy(rng.standard_normal((data.draw(st.integers(0, 150), label="batch"), n_in)))
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [sparse(inputs[0]), dense(inputs[1])]
    gradient = torch.from_numpy(rng.standard_normal((len(x), n_out)))
    for output in outputs:
        output.backward(gradient)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-10, atol=1e-10)
    assert sparse.weight.grad is not None
    assert dense.weight.grad is not None
    torch.testing.assert_close(sparse.weight.grad, dense.weight.grad[sparse.dst, sparse.src], rtol=1e-10, atol=1e-10)


def test_rows_beyond_a_cache_tile() -> None:
    """2,500 sources at batch 128 do not fit one tile of the kernels' walk over the batch."""
    sparse = layer(2500, 1300, density=0.02)
    dense = sparse.to_dense()
    xs = [torch.randn(128, 2500, generator=torch.Generator().manual_seed(0)).requires_grad_() for _ in range(2)]
    for module, x in zip((sparse, dense), xs, strict=True):
        module(x).square().sum().backward()
    torch.testing.assert_close(sparse(xs[0]), dense(xs[0]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(xs[0].grad, xs[1].grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("batch", [1, 10, 40])
def test_the_same_bits_for_every_number_of_threads(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "SERIAL_WORK", 0)
    before, results = torch.get_num_threads(), []
    x = torch.randn(batch, 30, generator=torch.Generator().manual_seed(0))
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            sparse, own = layer(), x.clone().requires_grad_()
            y = sparse(own)
            y.square().sum().backward()
            results.append((y.detach(), own.grad, sparse.weight.grad))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_hidden_activations_stay_feature_major_and_the_output_is_contiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("WALKED_WORK", "SERIAL_WORK"):  # as if these layers were large; which counts depends on the processor
        monkeypatch.setattr(f"netsci_nn.kernels.walks.{limit}", 0)
    model = SparseMLP([30, 40, 20, 10], density=0.3, backend="compiled", rng=0)
    seen: list[torch.Tensor] = []
    for hidden in model.layers:
        hidden.register_forward_hook(lambda module, inputs, output: seen.extend((inputs[0], output)))
    output = model(torch.randn(128, 30))
    assert output.is_contiguous()
    assert output.view(-1).shape == (1280,)
    assert all(tensor.t().is_contiguous() for tensor in seen[1:])


@pytest.mark.parametrize("batch", [3, 700])
def test_little_work_and_very_many_rows_give_what_torchs_layers_give(batch: int) -> None:
    sparse = SparseLinear(generators.erdos_renyi(30, 20, density=0.3, rng=0), backend="compiled")
    x = torch.randn(batch, 30, requires_grad=True)
    output = sparse(x)
    assert output.is_contiguous()
    output.sum().backward()
    assert x.grad is not None
    assert x.grad.is_contiguous()


def test_gradients_are_clipped_and_nothing_is_kept_without_grad() -> None:
    sparse = layer()
    sparse(torch.randn(8, 30)).square().sum().mul(100).backward()
    norm = nn.utils.clip_grad_norm_(sparse.parameters(), 1.0)
    assert norm > 1
    assert sum(float(p.grad.square().sum()) for p in sparse.parameters() if p.grad is not None) == pytest.approx(1.0, rel=1e-4)
    with torch.no_grad():
        assert sparse(torch.randn(8, 30, requires_grad=True)).grad_fn is None
    with torch.inference_mode():
        assert sparse(torch.randn(8, 30)).shape == (8, 20)
        assert layer()(torch.randn(8, 30)).shape == (8, 20)  # made here, too


def test_a_second_backward_raises_as_torchs_does() -> None:
    loss = layer()(torch.randn(4, 30)).square().sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_autocast_computes_in_the_layers_own_precision() -> None:
    sparse, x = layer(), torch.randn(4, 30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = sparse(x.bfloat16())
        assert y.dtype == torch.float32
        torch.testing.assert_close(y, sparse(x), rtol=0.05, atol=0.05)
        y.sum().backward()
    assert sparse.weight.grad is not None
    assert sparse.weight.grad.dtype == torch.float32


def _train_in_a_worker(seed: int) -> list[float]:
    torch.set_num_threads(1)
    sparse = layer(seed=seed)
    sparse(torch.ones(20, 30)).square().mean().backward()
    assert sparse.weight.grad is not None
    return sparse.weight.grad.tolist()


@pytest.mark.programs
def test_spawned_workers_compute_the_same() -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_train_in_a_worker, [3, 4])) == [_train_in_a_worker(3), _train_in_a_worker(4)]


def test_writes_from_outside_do_not_reach_the_edges() -> None:
    """Compiled code would follow an index anywhere."""
    given = generators.erdos_renyi(30, 20, density=0.2, rng=0)
    sparse, x = SparseLinear(given), torch.randn(4, 30)
    expected, edges = sparse(x), given.to_edges().copy()
    for tensor in (sparse.src, sparse.dst, sparse.birth):
        tensor.fill_(10**6)
        tensor.data[0] = -1
        tensor.numpy()[:] = 10**6
        tensor.copy_(torch.zeros_like(tensor))
    for topology in (given, sparse.topology):
        for array in (topology.src, topology.dst):
            array.setflags(write=True)
            array[:] = 0
    assert torch.equal(sparse(x), expected)
    np.testing.assert_array_equal(sparse.topology.to_edges(), edges)
    assert sparse.birth.tolist() == [0] * len(edges)
    assert list(sparse.buffers()) == []


@pytest.mark.parametrize("action", ["compute", "rewire", "mask", "normalise"])
def test_what_is_first_done_in_inference_mode_serves_training_later(action: str) -> None:
    """Lightning validates in inference mode before it trains."""
    module, x = layer(7, 5, 0.4), torch.randn(4, 7)
    other = generators.erdos_renyi(7, 5, density=0.4, rng=1)
    if action == "normalise":  # the edges come to a device on which they were not yet
        module = weight_norm(module).to("meta")
        assert module.weight.is_meta
        module.to_empty(device="cpu")
        for parameter in module.parameters():
            nn.init.ones_(parameter)
    with torch.inference_mode():
        if action == "rewire":
            module.set_structure(other, torch.ones(other.n_edges), np.zeros(other.n_edges, np.int32))
        elif action == "mask":
            module.active = torch.arange(module.n_edges) % 2 == 0
        module(x)
    torch._dynamo.reset()
    parameters = dict(module.named_parameters())

    def loss(parameters: dict[str, torch.Tensor], z: torch.Tensor) -> torch.Tensor:
        return functional_call(module, parameters, (z,)).sin().sum()

    per_sample = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    expected = torch.autograd.grad(loss(parameters, x), list(parameters.values()))
    torch.testing.assert_close([found.sum(0) for found in per_sample.values()], list(expected))
    sum(found.sum() for found in per_sample.values()).backward()  # through indices that autograd saves
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(x).sin().sum(), list(parameters.values()))
    torch.testing.assert_close(found, expected)
