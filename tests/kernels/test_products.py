"""Every backend's three products against plain loops, and the memory that they may not take."""

from collections.abc import Iterator
from itertools import product as product_of
from typing import Any

import numpy as np
import pytest
import torch
from sparse_cases import CASES

from netsci_nn import BipartiteTopology, SparseLinear, generators
from netsci_nn.kernels import BACKENDS, EdgeIndex, edge_index, edge_loops, packing

cases = pytest.mark.parametrize("topology", [t for t in CASES.values() if t.n_edges], ids=[k for k in CASES if k != "no edge"])


def index_of(topology: BipartiteTopology) -> EdgeIndex:
    return edge_index(topology)


@cases
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_three_products_edge_by_edge(topology: BipartiteTopology, dtype: torch.dtype, backend: str) -> None:
    torch.manual_seed(1)
    values = torch.randn(topology.n_edges, dtype=dtype)
    x, y = torch.randn(topology.n_in, 3, dtype=dtype), torch.randn(topology.n_out, 3, dtype=dtype)
    forward, back = torch.zeros_like(y), torch.zeros_like(x)
    sampled = torch.zeros_like(values)
    for k, (source, target) in enumerate(topology.to_edges().tolist()):
        forward[target] += values[k] * x[source]
        back[source] += values[k] * y[target]
        sampled[k] = (x[source] * y[target]).sum()
    index, products = index_of(topology), BACKENDS[backend]
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(products.product(values, x, index), forward, **tolerance)
    torch.testing.assert_close(products.transposed_product(values, y, index), back, **tolerance)
    torch.testing.assert_close(products.sampled_product(x, y, index), sampled, **tolerance)


# By the processor, the sizes and the batch the kernels take other ways; here each is forced, whatever machine this is.
WAYS: dict[str, dict[str, Any]] = {
    "AVX2": {"packing.WIDEST_BYTES": 256},
    "AVX-512": {"packing.WIDEST_BYTES": 512},
    "small tiles": {"edge_loops.TILE_BYTES": 0, "edge_loops.CACHE_BYTES": 2**14, "edge_loops.LEAST_EDGES": 0},
    "rows asked for early": {"edge_loops.CACHE_BYTES": 0},
    "tiles of rows asked for early": {
        **{"edge_loops.CACHE_BYTES": 0, "edge_loops.SHARED_CACHE_BYTES": 0},
        **{"edge_loops.TILE_BYTES": 2**14, "edge_loops.LEAST_EDGES": 0},
    },
    "by neurons": {
        **{"walks.MANY_ROWS": 10**9, "walks.SERIAL_WORK": 0, "walks.WALKED_WORK": 0},
        **{"spreading.SERIAL_WORK": 0, "parallel.SERIAL_WORK": 0},
    },
    "spread by several parts": {"spreading.SERIAL_WORK": 0, "spreading.LEAST_EDGES": 1},
    "spread far": {"spreading.SERIAL_WORK": 0, "spreading.LEAST_EDGES": 1, "edge_loops.CACHE_BYTES": 0},
    "by blocks": {"walks.MANY_ROWS": 0, "walks.ROWS_PER_PART": 16, "walks.SERIAL_WORK": 0, "parallel.SERIAL_WORK": 0},
}


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def forced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in request.param.items():
        monkeypatch.setattr(f"netsci_nn.kernels.{name}", value)
    kept = packing.cut, edge_loops.visit
    for function in kept:
        function.cache_clear()
    yield
    for function in kept:
        function.cache_clear()


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("batch", [1, 15, 16, 17, 65, 128, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_every_way_through_long_rows(batch: int, dtype: torch.dtype) -> None:
    """Rows of 0 to 600 edges, so that groups of edges, tiles of rows and blocks of columns all begin and end within them."""
    rng = np.random.default_rng(batch)
    mask = rng.random((61, 2300)) < rng.choice([0, 0.004, 0.05, 0.25], size=(61, 1))
    topology = BipartiteTopology.from_mask(mask)
    values = torch.randn(topology.n_edges, dtype=dtype)
    x, y, bias = (torch.randn(*shape, dtype=dtype) for shape in ((2300, batch), (61, batch), (61,)))
    dense = torch.zeros(mask.shape, dtype=torch.float64)
    dense[topology.dst.copy(), topology.src.copy()] = values.double()
    exact = dense @ x.double(), dense.t() @ y.double(), (y.double() @ x.double().t())[topology.dst.copy(), topology.src.copy()]
    product, back, sampled, total = (of.to(dtype) for of in (*exact, y.double().sum(1)))
    shifted = (exact[0] + bias.double()[:, None]).to(dtype)
    small = {torch.float32: 1e-4, torch.float64: 1e-11, torch.bfloat16: 1e-2}[dtype]
    tolerance = {"rtol": small, "atol": small}
    compiled, index = BACKENDS["compiled"], index_of(topology)
    assert compiled.gradients is not None
    assert compiled.affine is not None
    for own_x, own_y in product_of((x, batch_major(x)), (y, batch_major(y))):
        torch.testing.assert_close(compiled.product(values, own_x, index), product, **tolerance)
        torch.testing.assert_close(compiled.transposed_product(values, own_y, index), back, **tolerance)
        torch.testing.assert_close(compiled.sampled_product(own_x, own_y, index), sampled, **tolerance)
        values_gradient, x_gradient, bias_gradient = compiled.gradients(values, own_x, own_y, index)
        torch.testing.assert_close(bias_gradient, total, **tolerance)
        torch.testing.assert_close(compiled.affine(values, own_x, bias, index), shifted, **tolerance)
        torch.testing.assert_close(values_gradient, sampled, **tolerance)
        torch.testing.assert_close(x_gradient, back, **tolerance)
        assert x_gradient.stride() == own_x.stride()


def batch_major(x: torch.Tensor) -> torch.Tensor:
    """Return x as it lies in memory when it comes from a batch, row by row."""
    return x.t().contiguous().t()


@pytest.mark.parametrize("topology", CASES.values(), ids=CASES.keys())
def test_edge_index_holds_both_orientations(topology: BipartiteTopology) -> None:
    index = index_of(topology)
    assert (index.n_in, index.n_out) == (topology.n_in, topology.n_out)
    for j in range(topology.n_out):
        edges = range(int(index.target_pointers[j]), int(index.target_pointers[j + 1]))
        assert all(topology.dst[k] == j for k in edges)
    seen = []
    for i in range(topology.n_in):
        edges = index.by_source[index.source_pointers[i] : index.source_pointers[i + 1]].tolist()
        assert all(topology.src[k] == i for k in edges)
        seen += edges
    assert sorted(seen) == list(range(topology.n_edges))
    assert index.dst_by_source.tolist() == topology.dst[index.by_source.numpy()].tolist()
    assert index.target_pointers.dtype == index.source_pointers.dtype == torch.int64
    assert index.by_source.dtype == torch.int32  # below 2^31 edges


@pytest.mark.parametrize("size", [60_000, 1_000_000])
def test_no_sparse_backend_allocates_n_in_x_n_out(size: int, backend: str) -> None:
    """At 10^12 cells even one byte a cell is more than any memory here, so an allocation would raise."""
    if backend == "dense":
        pytest.skip("the masked dense oracle allocates the matrix by design")
    topology = generators.erdos_renyi(size, size, n_edges=1000, rng=0)
    layer = SparseLinear(topology, backend=backend)
    x = torch.randn(2, size, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert layer.weight.grad is not None
    expected = x.detach().sum(dim=0)[torch.tensor(topology.src).long()]
    torch.testing.assert_close(layer.weight.grad, expected)
    assert int((x.grad != 0).any(dim=0).sum()) == len(np.unique(topology.src))


def test_same_input_gives_the_same_bits(backend: str) -> None:
    layer = SparseLinear(generators.erdos_renyi(80, 70, density=0.3, rng=0), backend=backend)
    x = torch.randn(65, 80)
    results = []
    for _ in range(3):
        layer.zero_grad()
        y = layer(x)
        y.square().sum().backward()
        results.append((y.detach().clone(), layer.weight.grad.clone()))
    for y, gradient in results[1:]:
        assert torch.equal(y, results[0][0])
        assert torch.equal(gradient, results[0][1])
