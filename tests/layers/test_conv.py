"""Sparse convolutions against those of torch with a masked weight."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.autograd import forward_ad

from netsci_nn import BipartiteTopology, SparseConv1d, SparseConv2d, generators
from netsci_nn.errors import ConfigError, DataError, TopologyError
from netsci_nn.layers import conv as conv_module
from netsci_nn.layers.conv import SparseConv, grouped_weight, patch_graph
from netsci_nn.rewiring import SparseEvolution, apply_delta, edge_view

# torch's forward mode loads decompositions by a function that it has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning"),
]

BACKENDS = ["compiled", "csr", "dense"]


def topology_of(n_in: int, n_out: int, density: float, seed: int = 0) -> BipartiteTopology:
    return generators.erdos_renyi(n_in, n_out, n_edges=round(density * n_in * n_out), rng=seed)


def layer_of(
    channels: tuple[int, int], density: float, kernel: Any, n_dims: int = 2, graph: str = "channel", **options: Any
) -> Any:
    kind = SparseConv2d if n_dims == 2 else SparseConv1d
    sizes = (kernel,) * n_dims if isinstance(kernel, int) else kernel
    n_in = channels[0] * (int(np.prod(sizes)) if graph == "patch" else 1)
    layer = kind(topology_of(n_in, channels[1], density), kernel, graph=graph, dtype=torch.float64, **options)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    return layer


def outputs_and_gradients(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    module.zero_grad()
    y = module(x)
    (y.sin() * torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape).cos()).sum().backward()
    return [y.detach(), x.grad] if x.grad is not None else [y.detach(), torch.zeros_like(x)]


def edge_gradient(layer: SparseConv, dense: nn.Module) -> torch.Tensor:
    weight = dense.weight.grad
    assert isinstance(weight, torch.Tensor)
    flat = weight if layer.graph == "channel" else weight.reshape(layer.n_out, -1)
    return flat[layer.dst, layer.src]


def assert_like_torch(layer: SparseConv, x: torch.Tensor) -> None:
    dense = layer.to_dense()
    for mine, theirs in zip(outputs_and_gradients(layer, x), outputs_and_gradients(dense, x), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
    assert layer(x).is_contiguous()
    if layer.n_edges and layer.weight.grad is not None:
        torch.testing.assert_close(layer.weight.grad, edge_gradient(layer, dense), rtol=1e-9, atol=1e-9)
    if layer.bias is not None:
        torch.testing.assert_close(layer.bias.grad, dense.bias.grad, rtol=1e-9, atol=1e-9)  # type: ignore[union-attr]


@given(st.data())
def test_any_window_is_that_of_torch(data: st.DataObject) -> None:
    draw = data.draw
    n_dims = draw(st.integers(1, 2))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(n_dims))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(n_dims))
    dilation = tuple(draw(st.integers(1, 3)) for _ in range(n_dims))
    padding: Any = tuple(draw(st.integers(0, 4)) for _ in range(n_dims))
    if draw(st.booleans()):
        padding = draw(st.sampled_from(["valid", "same"])) if stride == (1,) * n_dims else "valid"
    pads = [0] * n_dims if padding == "valid" else [9] * n_dims if padding == "same" else padding
    least = [max(1, d * (k - 1) + 1 - 2 * p) for d, k, p in zip(dilation, kernel, pads, strict=True)]
    size = [draw(st.integers(low, low + 7)) for low in least]
    channels = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    layer = layer_of(
        channels,
        draw(st.floats(0, 1)),
        kernel,
        n_dims,
        draw(st.sampled_from(["channel", "patch"])),
        stride=stride,
        padding=padding,
        dilation=dilation,
        bias=draw(st.booleans()),
        backend=draw(st.sampled_from(BACKENDS)),
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    x = torch.randn(draw(st.integers(1, 3)), channels[0], *size, generator=generator, dtype=torch.float64)
    if layer.n_edges or layer.bias is not None:
        assert_like_torch(layer, x)
    else:
        assert torch.equal(layer(x), layer.to_dense()(x))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_modes(mode: str, backend: str) -> None:
    x = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert_like_torch(layer_of((3, 4), 0.5, (3, 2), padding=(2, 1), padding_mode=mode, backend=backend), x)
    same = layer_of((3, 4), 0.5, 3, 1, padding=2, padding_mode=mode, backend=backend)
    assert_like_torch(same, x[:, :, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("graph", ["channel", "patch"])
def test_large_maps_in_every_dtype(dtype: torch.dtype, graph: str) -> None:
    """Several blocks of positions and several parts of the gradient."""
    layer = layer_of((24, 40), 0.2, 3, graph=graph, padding=1, backend="compiled").to(dtype)
    x = torch.randn(16, 24, 20, 18, generator=torch.Generator().manual_seed(0)).to(dtype)
    dense = copy.deepcopy(layer).float().to_dense()
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}[dtype]
    for module, given_x in ((layer, x), (dense, x.float())):
        given_x.requires_grad_()
        module(given_x).float().square().mean().backward()
    expected = dense(x.float()), x.grad.float(), edge_gradient(layer, dense)  # type: ignore[union-attr]
    found = layer(x), x.grad, layer.weight.grad
    for mine, theirs in zip(found, expected, strict=True):
        assert mine is not None
        scale = theirs.abs().max()
        torch.testing.assert_close(mine.float() / scale, theirs / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("graph", ["channel", "patch"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives_of_any_order_and_kind(graph: str, backend: str) -> None:
    layer = layer_of((2, 3), 0.6, (2, 3), graph=graph, padding=1, stride=(2, 1), backend=backend)
    x = torch.randn(2, 2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    parameters = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]
    names = [name for name, _ in layer.named_parameters()]

    def function(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))
        return result

    assert torch.autograd.gradcheck(function, (x, *parameters))
    assert torch.autograd.gradgradcheck(function, (x, *parameters))
    dense = layer.to_dense()
    tangent = torch.randn_like(x)
    with forward_ad.dual_level():
        mine, theirs = (forward_ad.unpack_dual(module(forward_ad.make_dual(x, tangent))).tangent for module in (layer, dense))
    torch.testing.assert_close(mine, theirs)
    per_sample = torch.func.vmap(torch.func.grad(lambda one: layer(one[None]).square().sum()))(x.detach())
    expected = torch.stack([torch.func.grad(lambda one: dense(one[None]).square().sum())(one) for one in x.detach()])
    torch.testing.assert_close(per_sample, expected)


def test_masks_and_empty_inputs() -> None:
    layer = layer_of((3, 4), 0.6, 3, padding=1, backend="compiled")
    layer.active = np.arange(layer.n_edges) % 2 == 0
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for mine, theirs in zip(outputs_and_gradients(layer, x), outputs_and_gradients(layer.to_dense(), x), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert layer(x[:0]).shape == (0, 4, 5, 6)
    torch.testing.assert_close(layer(x[0]), layer(x)[0])
    empty = SparseConv2d(BipartiteTopology(3, 4, [], []), 3, padding=1)
    assert torch.equal(empty(x.float()), torch.zeros(2, 4, 5, 6))


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    layer = layer_of((24, 40), 0.2, 3, padding=1, backend="compiled").float()
    x = torch.randn(16, 24, 20, 18, generator=torch.Generator().manual_seed(0))
    found, before = [], torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append([*outputs_and_gradients(layer, x), layer.weight.grad.clone()])
    torch.set_num_threads(before)
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.Conv1d])
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("graph", ["channel", "patch"])
def test_a_dense_convolution_becomes_a_graph_and_back(kind: type[nn.Module], groups: int, graph: str) -> None:
    conv = kind(6, 12, 3, stride=2, padding=1, groups=groups, dtype=torch.float64)  # type: ignore[call-arg]
    sparse_kind = SparseConv2d if kind is nn.Conv2d else SparseConv1d
    layer = sparse_kind.from_dense(conv, graph=graph)
    assert layer.topology.density == pytest.approx(1 / groups)
    x = torch.randn(2, 6, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x if kind is nn.Conv2d else x[:, :, 0]
    torch.testing.assert_close(layer(x), conv(x))
    torch.testing.assert_close(layer.to_dense().weight, grouped_weight(conv)[0])
    depthwise = generators.depthwise(6, 12) if groups == 6 and graph == "channel" else None
    if depthwise is not None:
        assert set(map(tuple, depthwise.to_edges().tolist())) == set(map(tuple, layer.topology.to_edges().tolist()))


def test_rewirings_keep_weights_on_their_edges() -> None:
    for graph in ("channel", "patch"):
        layer = layer_of((8, 10), 0.3, 3, graph=graph, padding=1)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
        x = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        count = layer.n_edges
        for step in range(50):
            loss = layer(x).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            before = dict(zip(map(tuple, layer.topology.to_edges().tolist()), layer.weight.tolist(), strict=True))
            delta = SparseEvolution(0.2).propose(edge_view(layer), rng=step)
            apply_delta(layer, delta, optimizer, step=step)
            for edge, weight in zip(map(tuple, layer.topology.to_edges().tolist()), layer.weight.tolist(), strict=True):
                assert weight == before[edge] if edge in before and np.any(weight) else not np.any(weight)
            assert layer.n_edges == count
        stale = layer(x).sum()
        apply_delta(layer, SparseEvolution(0.2).propose(edge_view(layer), rng=99), optimizer)
        with pytest.raises(TopologyError, match="the loss was computed before the layer was rewired"):
            stale.backward()
        twin = copy.deepcopy(layer)
        assert torch.equal(twin(x), layer(x))
        fresh = layer_of((8, 10), 0.2, 3, graph=graph, padding=1)
        fresh.load_state_dict(layer.state_dict())
        assert torch.equal(fresh(x), layer(x))
        assert layer.to_igraph().ecount() == layer.n_edges


def test_auto_takes_torchs_convolution_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for threshold, backend in ((0.4, "dense"), (0.6, "compiled")):
        monkeypatch.setattr(conv_module, "crossover", lambda threshold=threshold: {"convolutions": threshold})
        layer = layer_of((4, 4), 0.5, 3)
        assert layer._chosen_backend(layer.weight.reshape(-1)) == backend


@pytest.mark.programs
@pytest.mark.parametrize("graph", ["channel", "patch"])
@pytest.mark.parametrize("density", [0.1, 0.6])
def test_compilers_take_the_whole_graph(graph: str, density: float) -> None:
    layer = layer_of((8, 10), density, 3, graph=graph, padding=1)
    x = torch.randn(2, 8, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = [*outputs_and_gradients(layer, x), layer.weight.grad.clone()]
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for mine, theirs in zip([*outputs_and_gradients(compiled, x), layer.weight.grad], expected, strict=True):
        torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), expected[0])


@pytest.mark.parametrize("backend", ["compiled", "csr", "dense"])
def test_autocast_computes_in_the_layers_own_precision(backend: str) -> None:
    layer, x = layer_of((6, 4), 0.5, 3, backend=backend).float(), torch.randn(2, 6, 5, 5).bfloat16()
    expected = layer(x.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
        y.sum().backward()
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, expected)


def test_patch_graph_by_hand() -> None:
    graph = patch_graph(BipartiteTopology(3, 2, [0, 2, 1], [0, 0, 1]), (1, 2))
    assert (graph.n_in, graph.n_out) == (6, 2)
    assert graph.to_edges().tolist() == [[0, 0], [1, 0], [4, 0], [5, 0], [2, 1], [3, 1]]


def test_bad_arguments_get_one_sentence_each() -> None:
    topology, maps = topology_of(6, 4, 0.5), torch.zeros(2, 6, 8, 8)

    def make(*arguments: Any, kind: type[SparseConv] = SparseConv2d, **options: Any) -> Any:
        return lambda: kind(topology, *arguments, **options)

    def call(x: Any, kind: type[SparseConv] = SparseConv2d, **options: Any) -> Any:
        return lambda: kind(topology, 3, **options)(x)

    def convert(conv: nn.Module, *arguments: Any) -> Any:
        return lambda: SparseConv2d.from_dense(conv, *arguments)

    reflect, circular = ({"padding": n, "padding_mode": mode} for n, mode in ((8, "reflect"), (9, "circular")))
    cases: list[tuple[type[Exception], str, Any]] = [
        (ConfigError, "kernel_size is 0; it must be a whole number, or 2 of them, from 1", make(0)),
        (ConfigError, r"kernel_size is \(3, 3, 3\); it must be", make((3, 3, 3))),
        (ConfigError, "stride is 1.5; it must be", make(3, stride=1.5)),
        (ConfigError, "padding is -1; it must be", make(3, padding=-1, kind=SparseConv1d)),
        (ConfigError, "padding is 'full'; it must be one of 'same', 'valid'", make(3, padding="full")),
        (ConfigError, "padding is 'same' and stride 2 x 2", make(3, 2, "same")),
        (ConfigError, "padding_mode is 'mirror'; it must be one of", make(3, padding_mode="mirror")),
        (ConfigError, "graph is 'pixels'; it must be one of 'channel', 'patch'", make(3, graph="pixels")),
        (TopologyError, "joins 6 sources; those of a patch graph are channels times the 9", make(3, graph="patch")),
        (ConfigError, "unknown backend 'cuda'", make(3, backend="cuda")),
        (DataError, r"x has shape \(2, 5, 8, 8\); it must be \[n, 6, height, width\]", call(torch.zeros(2, 5, 8, 8))),
        (DataError, r"x has shape \(8,\); it must be \[n, 6, width\]", call(torch.zeros(8), SparseConv1d)),
        (DataError, "x has maps of 2 x 8; .* must not be smaller than the kernel 3 x 3", call(torch.zeros(2, 6, 2, 8))),
        (DataError, "smaller than the kernel 3 at dilation 4", call(torch.zeros(2, 6, 8), SparseConv1d, dilation=4)),
        (DataError, "x has maps of 8 x 8; reflect padding of 8 x 8 must be smaller than them", call(maps, **reflect)),
        (DataError, "x has maps of 8; circular padding of 9 must be at", call(maps[:, :, 0], SparseConv1d, **circular)),
        (DataError, "x has dtype torch.float64; it must be the layer's", call(maps.double())),
        (DataError, "x is a list; it must be a dense tensor", call([1])),
        (ConfigError, "conv is a Linear; it must be an nn.Conv2d", convert(nn.Linear(3, 3))),
        (TopologyError, "6 sources and 4 targets; the convolution has 3 and 4", convert(nn.Conv2d(3, 4, 3), topology)),
        (TopologyError, "joins channels of different groups", convert(nn.Conv2d(6, 4, 3, groups=2), topology)),
    ]
    for kind, message, attempt in cases:
        with pytest.raises(kind, match=message):
            attempt()
