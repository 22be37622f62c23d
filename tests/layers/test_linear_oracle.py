"""`SparseLinear` against the masked dense layer: the output and every gradient, on every backend."""

import pytest
import torch
from sparse_cases import CASES
from torch.nn import functional

from netsci_nn import BipartiteTopology, SparseLinear
from netsci_nn.topology import to_torch_mask

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}

cases = pytest.mark.parametrize("topology", CASES.values(), ids=CASES.keys())


def assert_equals_masked_dense(layer: SparseLinear, x: torch.Tensor) -> None:
    """Compare output and gradients (x, values, bias) with a dense matrix that has garbage under its mask."""
    topology = layer.topology
    mask = to_torch_mask(topology)
    src, dst = torch.tensor(topology.src).long(), torch.tensor(topology.dst).long()
    weight = torch.full((topology.n_out, topology.n_in), 7.0, dtype=layer.weight.dtype)
    weight[dst, src] = layer.weight.detach()
    weight.requires_grad_()
    bias = None if layer.bias is None else layer.bias.detach().clone().requires_grad_()
    x_sparse, x_dense = x.detach().clone().requires_grad_(), x.detach().clone().requires_grad_()
    expected = functional.linear(x_dense, weight * mask, bias)
    actual = layer(x_sparse)
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, **TOLERANCE)
    upstream = torch.randn_like(expected)
    layer.zero_grad()
    actual.backward(upstream)
    expected.backward(upstream)
    assert weight.grad is not None
    torch.testing.assert_close(x_sparse.grad, x_dense.grad, **TOLERANCE)
    torch.testing.assert_close(layer.weight.grad, weight.grad[dst, src], **TOLERANCE)
    if bias is not None:
        torch.testing.assert_close(layer.bias.grad, bias.grad, **TOLERANCE)


def make_layer(
    topology: BipartiteTopology, backend: str, dtype: torch.dtype = torch.float32, bias: bool = True
) -> SparseLinear:
    torch.manual_seed(0)
    layer = SparseLinear(topology, bias=bias, backend=backend, dtype=dtype)
    if bias:
        torch.nn.init.normal_(layer.bias)
    return layer


@cases
@pytest.mark.parametrize("leading", [(), (1,), (7,), (2, 3)], ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_equals_masked_dense(topology: BipartiteTopology, leading: tuple[int, ...], bias: bool, backend: str) -> None:
    layer = make_layer(topology, backend, bias=bias)
    assert_equals_masked_dense(layer, torch.randn(*leading, topology.n_in))


@pytest.mark.parametrize("n_rows", [1, 2, 15, 16, 17, 64, 129])
def test_equals_masked_dense_for_batches_around_vector_widths(n_rows: int, backend: str) -> None:
    layer = make_layer(CASES["irregular"], backend)
    assert_equals_masked_dense(layer, torch.randn(n_rows, layer.n_in))


@pytest.mark.parametrize("n_rows", [1, 33])
def test_equals_masked_dense_for_a_larger_layer(n_rows: int, backend: str) -> None:
    from netsci_nn import generators

    layer = make_layer(generators.erdos_renyi(97, 61, density=0.2, rng=3), backend)
    assert_equals_masked_dense(layer, torch.randn(n_rows, 97))


@cases
def test_zero_size_batch(topology: BipartiteTopology, backend: str) -> None:
    layer = make_layer(topology, backend)
    for shape in ((0,), (0, 3), (2, 0)):
        assert_equals_masked_dense(layer, torch.randn(*shape, topology.n_in))
    assert torch.equal(layer.weight.grad, torch.zeros(topology.n_edges))


@pytest.mark.parametrize("kind", ["transposed", "strided", "expanded", "feature-major 3-D"])
def test_non_contiguous_input(kind: str, backend: str) -> None:
    topology = CASES["irregular"]
    x = {
        "transposed": torch.randn(6, 4).t(),
        "strided": torch.randn(8, 12)[::2, ::2],
        "expanded": torch.randn(1, 6).expand(5, 6),
        "feature-major 3-D": torch.randn(6, 2, 3).permute(1, 2, 0),
    }[kind]
    assert not x.is_contiguous()
    layer = make_layer(topology, backend)
    torch.testing.assert_close(layer(x), layer(x.contiguous()), **TOLERANCE)
    assert_equals_masked_dense(layer, x)
    # The gradient that arrives may be of any stride too.
    leaf = x.detach().clone().requires_grad_()
    layer(leaf).sum().backward()
    expected = (layer.to_dense().weight.sum(dim=0)).expand(x.shape)
    torch.testing.assert_close(leaf.grad, expected, **TOLERANCE)


@cases
def test_first_and_second_derivatives_in_double(topology: BipartiteTopology, backend: str) -> None:
    layer = make_layer(topology, backend, torch.float64)
    x = torch.randn(3, topology.n_in, dtype=torch.float64, requires_grad=True)
    values = layer.weight.detach().clone().requires_grad_(topology.n_edges > 0)
    bias = layer.bias.detach().clone().requires_grad_()

    def apply(x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": values, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(apply, (x, values, bias))
    assert torch.autograd.gradgradcheck(apply, (x, values, bias))


def test_only_what_needs_a_gradient_gets_one(backend: str) -> None:
    layer = make_layer(CASES["irregular"], backend)
    x = torch.randn(3, 6, requires_grad=True)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None
    layer.weight.requires_grad_(True)
    layer(x.detach()).sum().backward()
    assert layer.weight.grad is not None


def test_gradients_accumulate(backend: str) -> None:
    layer = make_layer(CASES["irregular"], backend)
    x = torch.randn(4, 6)
    layer(x).sum().backward()
    once = layer.weight.grad.clone()
    layer(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, 2 * once)


def test_nan_and_infinity_stay_visible_where_they_flow_and_nowhere_else(backend: str) -> None:
    topology = BipartiteTopology.from_edges([(0, 0), (1, 1)], 3, 3)
    layer = make_layer(topology, backend, bias=False)
    y = layer(torch.tensor([[float("nan"), 1.0, 1.0]]))
    assert torch.isnan(y[0, 0])
    if backend != "dense":  # a dense product spreads 0 * NaN to every target
        assert torch.isfinite(y[0, 1])
        assert y[0, 2] == 0


def test_auto_equals_csr_to_rounding() -> None:
    x = torch.randn(5, 6)
    torch.testing.assert_close(make_layer(CASES["irregular"], "auto")(x), make_layer(CASES["irregular"], "csr")(x), **TOLERANCE)
