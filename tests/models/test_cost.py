"""`cost`: counts by hand and beside torch's own counter, what is free, what is named, and that the model stays as it is."""

import copy
import math
import re
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode

import netsci_nn as ns
from netsci_nn.models import GPT, cost
from netsci_nn.models.cost import Cost
from netsci_nn.topology import BipartiteTopology


def named(counted: Cost) -> dict[str, Any]:
    return {layer.name: layer for layer in counted.layers}


def by_torch(model: nn.Module, *inputs: torch.Tensor) -> int:
    """Multiply-adds by the counter of torch, which counts two operations for each."""
    with FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops() // 2


def test_a_small_network_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2),  # 16 x 16 becomes 8 x 8
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 12, 3, groups=4, bias=False),  # 6 x 6
        nn.PReLU(12),
        nn.Flatten(),
        nn.Linear(12 * 36, 10),
    )
    counted = cost(model, torch.zeros(7, 3, 16, 16))
    layers = named(counted)
    assert list(layers) == ["0", "1", "2", "3", "5"]
    assert [layer.role for layer in counted.layers] == ["convolution", "free", "convolution", "free", "linear"]
    assert [layer.kind for layer in counted.layers] == ["Conv2d", "BatchNorm2d", "Conv2d", "PReLU", "Linear"]
    assert [layer.n_parameters for layer in counted.layers] == [
        25 * 3 * 8 + 8, 2 * 8, 9 * 8 * 12 // 4, 12, 12 * 36 * 10 + 10,
    ]  # fmt: skip
    assert [layer.n_macs for layer in counted.layers] == [
        7 * 64 * 25 * 3 * 8, 0, 7 * 36 * 9 * 8 * 12 // 4, 0, 7 * 12 * 36 * 10,
    ]  # fmt: skip
    assert [(layer.n_joined, layer.n_pairs) for layer in counted.of("convolution").layers] == [(24, 24), (24, 96)]
    assert counted.of("convolution").density == 48 / 120
    assert counted.density == (48 + 4320) / (120 + 4320)
    assert math.isnan(layers["1"].density)
    assert math.isnan(counted.of("free").density)
    assert counted.n_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert counted.n_macs == counted.of("convolution").n_macs + counted.of("linear").n_macs


@given(
    n_dims=st.integers(1, 3),
    groups=st.integers(1, 4),
    per_group=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    batch=st.integers(1, 3),
    size=st.integers(5, 9),
)
def test_convolutions_beside_the_counter_of_torch(
    n_dims: int, groups: int, per_group: int, kernel: int, stride: int, dilation: int, batch: int, size: int
) -> None:
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[n_dims - 1]
    conv = kind(groups * per_group, 2 * groups, kernel, stride, padding=1, dilation=dilation, groups=groups)
    x = torch.zeros(batch, groups * per_group, *[size] * n_dims)
    counted = cost(conv, x)
    assert counted.n_macs == by_torch(conv, x)
    assert counted.density == pytest.approx(1 / groups)
    assert counted.layers[0].name == ""


@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=4), rows=st.integers(1, 5))
def test_linear_layers_on_rows_of_any_shape(sizes: list[int], rows: int) -> None:
    model = ns.dense_mlp(sizes, rng=0)
    x = torch.zeros(2, rows, sizes[0])
    products = sum(a * b for a, b in pairwise(sizes))
    assert cost(model, x).n_macs == 2 * rows * products == by_torch(model, x)


@pytest.mark.parametrize("backend", ["auto", "compiled", "csr", "dense"])
def test_sparse_layers_count_their_edges(backend: str) -> None:
    model = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    ns.sparsify(model, density=0.2, backend=backend, rng=0)
    conv, linear = model[0], model[3]
    counted = cost(model, torch.zeros(3, 8, 8, 8))
    assert [layer.role for layer in counted.layers] == ["convolution", "linear"]
    assert [layer.n_macs for layer in counted.layers] == [3 * 16 * 9 * conv.n_edges, 3 * linear.n_edges]
    assert [layer.n_parameters for layer in counted.layers] == [9 * conv.n_edges + 16, linear.n_edges + 10]
    assert [layer.density for layer in counted.layers] == [conv.n_edges / 128, linear.n_edges / 2560]
    conv.active = torch.arange(conv.n_edges) < 3  # an inactive edge is computed as a weight of 0
    assert cost(model, torch.zeros(3, 8, 8, 8)) == counted


def test_a_patch_graph_joins_two_channels_by_any_of_its_edges() -> None:
    # Targets 0 and 1; the sources of channel c of a 1x3 kernel are 3 c to 3 c + 2.
    graph = BipartiteTopology(n_in=12, n_out=2, src=[0, 2, 3, 4, 5, 11], dst=[0, 0, 0, 1, 1, 1])
    counted = cost(ns.SparseConv2d(graph, (1, 3), graph="patch"), torch.zeros(1, 4, 5, 7))
    (layer,) = counted.layers
    assert (layer.n_joined, layer.n_pairs) == (2 + 2, 4 * 2)  # channels 0 and 1 to target 0, channels 1 and 3 to target 1
    assert layer.n_macs == 6 * 5 * 5


@given(seed=st.integers(0, 1000), n_edges=st.integers(0, 40))
def test_channel_pairs_of_any_patch_graph(seed: int, n_edges: int) -> None:
    graph = ns.generators.erdos_renyi(4 * 9, 5, n_edges=n_edges, rng=seed)
    layer = ns.SparseConv2d(graph, 3, graph="patch", device="meta")
    pairs = {(int(s) // 9, int(d)) for s, d in zip(graph.src, graph.dst, strict=True)}
    assert cost(layer, torch.zeros(1, 4, 3, 3)).layers[0].n_joined == len(pairs)
    of_channels = ns.SparseConv2d(ns.generators.erdos_renyi(8, 5, n_edges=n_edges, rng=seed), 3, device="meta")
    assert cost(of_channels, torch.zeros(1, 8, 3, 3)).layers[0].n_joined == n_edges


def test_a_layer_that_is_used_twice_has_its_parameters_once_and_its_products_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 6)
            self.again = self.first
            self.tied = nn.Linear(6, 6)
            self.tied.weight = self.first.weight
            self.unused = nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.tied(self.again(self.first(x)))

    model = Twice()
    weight = model.first.weight
    layers = named(cost(model, torch.zeros(1, 6)))
    assert {name: (layer.n_parameters, layer.n_macs) for name, layer in layers.items()} == {
        "first": (42, 72),
        "tied": (6, 36),
        "unused": (42, 0),
    }
    assert model.first.weight is model.tied.weight is weight
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_normalised_weights_count_once_and_belong_to_their_layer() -> None:
    model = nn.Sequential(
        parametrizations.weight_norm(nn.Conv2d(8, 16, 3)), parametrizations.spectral_norm(nn.Conv2d(16, 8, 1))
    )
    counted = cost(model, torch.zeros(1, 8, 3, 3))
    assert [layer.role for layer in counted.layers] == ["convolution", "convolution"]
    assert [layer.n_parameters for layer in counted.layers] == [9 * 8 * 16 + 16 + 16, 16 * 8 + 8]
    assert [layer.n_macs for layer in counted.layers] == [9 * 8 * 16, 16 * 8]
    assert not any(parameter.is_meta for parameter in model.parameters())


class Recurrent(nn.Module):
    """A layer that is counted behind one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.memory, self.head = nn.Embedding(20, 8), nn.LSTM(8, 9, batch_first=True), nn.Linear(9, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.memory(self.words(x))[0])


def test_recurrent_layers_are_named() -> None:
    counted = cost(Recurrent(), torch.zeros(1, 5, dtype=torch.long))
    assert {name: layer.role for name, layer in named(counted).items()} == {
        "words": "free",
        "memory": "uncounted",
        "head": "linear",
    }
    assert counted.n_macs == 5 * 9 * 2
    assert counted.of("uncounted").n_parameters == 4 * 9 * (8 + 9) + 2 * 4 * 9
    assert repr(counted).splitlines() == [
        "Cost: 864 parameters, 90 multiply-adds, channel density 1",
        "  linear layers: 20 parameters, 90 multiply-adds, channel density 1",
        "  normalisations, embeddings, PReLU: 160 parameters",
        "  multiply-adds not counted: memory (LSTM), 684 parameters",
    ]


@pytest.mark.parametrize("is_training", [True, False])
def test_attention_is_named_and_the_perceptron_behind_it_counted(is_training: bool) -> None:
    """In evaluation torch has a fused path past the layers, which would leave them at 0."""
    model = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).train(is_training)
    counted = cost(model, torch.zeros(1, 5, 16))
    assert [layer.name for layer in counted.of("uncounted").layers] == ["self_attn", "self_attn.out_proj"]
    assert {name: layer.n_macs for name, layer in named(counted).items() if layer.role == "linear"} == {
        "linear1": 5 * 16 * 32,
        "linear2": 5 * 32 * 16,
    }


def test_products_beside_the_layers_are_named() -> None:
    """The attention of a GPT multiplies queries and keys, but has no weights of its own."""
    counted = cost(GPT(65, 16, width=32, n_layers=2, n_heads=4, rng=0), torch.zeros(1, 16, dtype=torch.long))
    assert [layer.name for layer in counted.of("uncounted").layers] == ["blocks.0.attention", "blocks.1.attention"]
    assert counted.of("uncounted").n_parameters == 0
    per_token = 2 * (32 * 3 * 32 + 32 * 32 + 2 * 4 * 32 * 32) + 32 * 65
    assert counted.n_macs == 16 * per_token


class Reads(nn.Module):
    """A parameter of one's own, and a weight that is read past its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.scale = nn.Embedding(20, 8), nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.words(x) * self.scale, self.words.weight)


class Doubled(nn.Linear):
    """A layer with a `forward` of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(super().forward(x))


class TwoNumbers(ns.SparseLinear):
    """A sparse layer with a `forward` of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + super().forward(x**2)


def test_what_may_compute_anything_is_named() -> None:
    assert [layer.role for layer in cost(Reads(), torch.zeros(1, 3, dtype=torch.long)).layers] == ["uncounted", "free"]
    patched = nn.Linear(8, 8)
    patched.forward = lambda x: x  # type: ignore[method-assign]
    own = TwoNumbers(ns.generators.erdos_renyi(8, 8, density=0.5, rng=0))
    model = nn.Sequential(nn.Linear(8, 8), Doubled(8, 8), own, patched, nn.Bilinear(8, 8, 8))
    with pytest.raises(ns.DataError, match="cannot compute"):
        cost(model, torch.zeros(1, 8))  # Bilinear has two inputs
    counted = cost(model[:4], torch.zeros(1, 8))
    assert [layer.role for layer in counted.layers] == ["linear", "uncounted", "uncounted", "uncounted"]
    assert counted.n_macs == 64
    assert [layer.role for layer in cost(model[4], [torch.zeros(1, 8), torch.zeros(1, 8)]).layers] == ["uncounted"]
    (transposed,) = cost(nn.ConvTranspose2d(4, 4, 3), torch.zeros(1, 4, 5, 5)).layers
    assert (transposed.role, transposed.n_parameters, transposed.n_macs) == ("uncounted", 9 * 16 + 4, 0)


def test_a_model_without_layers() -> None:
    counted = cost(nn.ReLU(), torch.zeros(1, 3))
    assert counted.layers == ()
    assert (counted.n_parameters, counted.n_macs) == (0, 0)
    assert math.isnan(counted.density)


def test_the_model_and_the_generators_of_torch_stay_as_they_are() -> None:
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.Dropout(), nn.Flatten(), nn.Linear(16 * 36, 10))
    ns.sparsify(model, density=0.3, rng=0)
    before, parameters = copy.deepcopy(model.state_dict()), list(model.parameters())
    x = torch.randn(2, 8, 8, 8)
    y = model.eval()(x)
    model.train()
    state = torch.get_rng_state()
    cost(model, x)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model.training
    assert torch.equal(model.eval()(x), y)
    with pytest.raises(ns.DataError):
        cost(model, torch.zeros(1, 3))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_nothing_of_the_size_of_the_model_is_allocated() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(10**6, 10**6), nn.Linear(10**6, 10**6))
    assert cost(model, torch.zeros(1, 10**6)).n_macs == 2 * 10**12


def test_any_dtype_and_device_of_the_example() -> None:
    model = nn.Linear(3, 4)
    assert cost(model, torch.zeros(2, 3, device="meta")) == cost(model, torch.zeros(2, 3)) == cost(model, (torch.ones(2, 3),))
    assert cost(model.double(), torch.zeros(2, 3, dtype=torch.float64)).n_macs == 24


@pytest.mark.parametrize(
    ("model", "example", "error", "message"),
    [
        (3, torch.zeros(1, 3), ns.ConfigError, "model is a int; it must be a module"),
        (nn.Linear(3, 4), None, ns.DataError, "example is a NoneType; it must be a tensor, or a list or tuple of tensors"),
        (nn.Linear(3, 4), [1.0], ns.DataError, "example is a list; it must be a tensor, or a list or tuple of tensors"),
        (nn.Linear(3, 4), np.zeros((1, 3)), ns.DataError, "example is a ndarray; it must be a tensor"),
        (nn.Linear(3, 4), torch.zeros(1, 5), ns.DataError, "the model cannot compute with the shape [1, 5] of example: "),
        (nn.Linear(3, 4), [], ns.DataError, "the model cannot compute with"),
        (
            nn.Sequential(nn.ReLU(), nn.LazyLinear(3)),
            torch.zeros(1, 3),
            ns.ConfigError,
            "model has the parameter '1.weight', which gets its shape in the first pass; make one before",
        ),
    ],
)
def test_what_cannot_be_counted(model: Any, example: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as raised:
        cost(model, example)
    assert "\n" not in str(raised.value)


def test_a_pass_that_asks_for_numbers_is_refused() -> None:
    class Asks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum().item() > 0 else -x

    with pytest.raises(ns.DataError, match="cannot compute with the shape"):
        cost(Asks(), torch.zeros(1, 3))


def test_roles_are_a_partition() -> None:
    model = Recurrent()
    counted = cost(model, torch.zeros(1, 5, dtype=torch.long))
    parts = [counted.of(role) for role in ("convolution", "linear", "free", "uncounted")]
    assert sum(len(part.layers) for part in parts) == len(counted.layers)
    assert sum(part.n_parameters for part in parts) == sum(map(torch.numel, model.parameters()))


def test_generators_that_fix_their_channels_give_the_density_that_they_promise() -> None:
    model = nn.Sequential(nn.Conv2d(16, 16, 1, bias=False), nn.ReLU(), nn.Conv2d(16, 16, 3, bias=False))
    ns.sparsify(model, generator=partial(ns.generators.grouped, n_groups=4), rng=0)
    grouped = nn.Sequential(nn.Conv2d(16, 16, 1, groups=4, bias=False), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=4, bias=False))
    ours, theirs = (cost(net, torch.zeros(1, 16, 8, 8)) for net in (model, grouped))
    assert (ours.n_parameters, ours.n_macs, ours.density) == (theirs.n_parameters, theirs.n_macs, theirs.density)
