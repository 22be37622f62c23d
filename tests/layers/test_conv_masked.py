"""Both kinds of sparse convolutions equal torch's with a masked weight: outputs, all gradients, gradcheck and tangents."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from netsci_nn import BipartiteTopology, SparseConv1d, SparseConv2d, generators

# torch's forward mode loads decompositions by a function that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


class Case(NamedTuple):
    """A convolution of torch and an input; how many of a hundred pairs are edges."""

    channels: tuple[int, int]
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    options: dict[str, Any]
    density: float = 0.4
    batch: int = 2


CASES = {
    "odd sizes": Case((3, 5), (7, 5), (3, 3), {"padding": 1}),
    "even kernel": Case((3, 5), (7, 6), (2, 4), {"padding": (1, 3)}),
    "strides": Case((4, 3), (9, 7), (3, 2), {"stride": (2, 3)}),
    "stride beyond the kernel": Case((4, 3), (11, 8), (2, 1), {"stride": 3, "padding": 1}),
    "dilations": Case((3, 4), (9, 10), (3, 2), {"dilation": (2, 3), "padding": 2}),
    "all at once": Case((3, 4), (11, 9), (3, 3), {"dilation": 2, "padding": (3, 1), "stride": (3, 2)}),
    "same": Case((3, 4), (6, 7), (3, 5), {"padding": "same", "padding_mode": "circular"}),
    "no bias": Case((3, 4), (5, 5), (3, 3), {"bias": False}),
    "no edge": Case((3, 4), (5, 6), (3, 3), {"padding": 1}, 0.0),
    "full": Case((3, 4), (5, 6), (3, 3), {"padding": 1}, 1.0),
    "one channel": Case((1, 1), (5, 6), (3, 3), {"padding": 1}, 1.0),
    "one channel to many": Case((1, 6), (5, 6), (3, 3), {}, 0.5),
    "one pixel": Case((3, 2), (1, 1), (1, 1), {}, 0.5, 1),
    "kernel as large as the map": Case((3, 2), (4, 5), (4, 5), {}, 0.5),
    "one image": Case((3, 2), (6, 5), (3, 1), {}, 0.5, 1),
    "line": Case((3, 4), (9,), (3,), {"stride": 2, "dilation": 2, "padding": 3}),
    "line without edges": Case((3, 4), (9,), (4,), {}, 0.0),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
both_graphs = pytest.mark.parametrize("graph", ["channel", "patch"])


def made(
    case: Case, graph: str, dtype: torch.dtype, backend: str = "auto"
) -> tuple[Any, nn.Module, torch.Tensor, torch.Tensor]:
    """Return the sparse layer, a convolution of torch with a masked weight, the mask, and an input."""
    torch.manual_seed(0)
    kinds = (nn.Conv2d, SparseConv2d) if len(case.kernel) == 2 else (nn.Conv1d, SparseConv1d)
    conv = kinds[0](*case.channels, case.kernel, dtype=dtype, **case.options)  # type: ignore[arg-type]
    n_in, n_out = case.channels[0] * (conv.weight[0, 0].numel() if graph == "patch" else 1), case.channels[1]
    topology = generators.erdos_renyi(n_in, n_out, n_edges=round(case.density * n_in * n_out), rng=0)
    assert isinstance(topology, BipartiteTopology)
    layer = kinds[1].from_dense(conv, topology, graph, backend)  # type: ignore[arg-type]
    mask = torch.from_numpy(topology.to_mask())
    mask = mask.reshape(conv.weight.shape) if graph == "patch" else mask.reshape(n_out, n_in, *[1] * len(case.kernel))
    with torch.no_grad():
        conv.weight.mul_(mask)
    return layer, conv, mask.expand(conv.weight.shape), torch.randn(case.batch, case.channels[0], *case.size, dtype=dtype)


@every_case
@both_graphs
@pytest.mark.parametrize("backend", ["auto", "compiled", "csr", "dense"])
def test_outputs_and_all_gradients(case: Case, graph: str, backend: str) -> None:
    layer, conv, mask, x = made(case, graph, torch.float32, backend)
    results = []
    for module in (layer, conv):
        inputs = x.clone().requires_grad_()
        y = module(inputs)
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        results.append([y, inputs.grad, None if module.bias is None else module.bias.grad])
    for mine, theirs in zip(*results, strict=True):
        if theirs is None:
            assert mine is None or not mine.any()
        else:
            torch.testing.assert_close(torch.zeros_like(theirs) if mine is None else mine, theirs, rtol=1e-5, atol=1e-5)
    gradient: Any = conv.weight.grad
    of_edges = (gradient if graph == "channel" else gradient.flatten(1))[layer.dst, layer.src]
    found = torch.zeros_like(layer.weight) if layer.weight.grad is None else layer.weight.grad
    torch.testing.assert_close(found, of_edges, rtol=1e-5, atol=1e-5)
    assert layer.weight.numel() == mask.sum()


@every_case
@both_graphs
def test_gradcheck_and_tangents(case: Case, graph: str) -> None:
    layer, conv, mask, x = made(case, graph, torch.float64, "compiled")
    numbers = {name: parameter.detach().clone() for name, parameter in layer.named_parameters() if parameter.numel()}
    names, parameters = list(numbers), [value.requires_grad_() for value in numbers.values()]

    def function(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))
        return result

    assert torch.autograd.gradcheck(function, (x.clone().requires_grad_(), *parameters), check_forward_ad=True)
    tangent_x, tangent_weight = torch.randn_like(x), torch.randn_like(conv.weight) * mask  # type: ignore[arg-type]
    of_edges = (tangent_weight if graph == "channel" else tangent_weight.flatten(1))[layer.dst, layer.src]
    tangents = []
    for module, weight, tangent in ((layer, layer.weight, of_edges), (conv, conv.weight, tangent_weight)):
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(weight.detach(), tangent)  # type: ignore[operator, union-attr]
            y = torch.func.functional_call(module, {"weight": dual}, (forward_ad.make_dual(x, tangent_x),))
            tangents.append(forward_ad.unpack_dual(y).tangent)
    expected = tangents[1]
    torch.testing.assert_close(torch.zeros_like(expected) if tangents[0] is None else tangents[0], expected)
    _, mine = torch.func.jvp(layer, (x,), (tangent_x,))
    _, theirs = torch.func.jvp(conv, (x,), (tangent_x,))
    torch.testing.assert_close(mine, theirs)
