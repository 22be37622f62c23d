"""The compact modules: counts by hand, shapes, formulas, what `sparsify` makes of them, and that they learn."""

import ast
import inspect
import math
import re
import warnings
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import netsci_nn as ns
from netsci_nn.data import load_dataset
from netsci_nn.models import blocks, cost
from netsci_nn.models.cost import Cost


class Case(NamedTuple):
    """A module and its counts by hand, for one input of 8 x 8: parameters, multiply-adds, densities of its convolutions."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    n_parameters: int
    n_macs: int
    densities: list[float]


CASES = {
    # Three convolutions with biases: 5x5 over 8 channels, then two of 1x1.
    "mlpconv": Case(
        lambda: blocks.mlpconv(8, (24, 16, 12), kernel_size=5),
        (12, 8, 8),
        (25 * 8 * 24 + 24) + (24 * 16 + 16) + (16 * 12 + 12),
        64 * (25 * 8 * 24 + 24 * 16 + 16 * 12),
        [1, 1, 1],
    ),
    "mlpconv, stride 2": Case(lambda: blocks.mlpconv(8, [24], stride=2), (24, 4, 4), 9 * 8 * 24 + 24, 16 * 9 * 8 * 24, [1]),
    # 1x1 | 1x1, 3x3 | 1x1, 5x5 | pool, 1x1, with biases; the outputs are 8 + 16 + 4 + 4 = 32 channels.
    "inception_v1": Case(
        lambda: blocks.inception_v1(24, 8, 12, 16, 2, 4, 4),
        (32, 8, 8),
        (24 * 8 + 8) + (24 * 12 + 12 + 9 * 12 * 16 + 16) + (24 * 2 + 2 + 25 * 2 * 4 + 4) + (24 * 4 + 4),
        64 * (24 * 8 + 24 * 12 + 9 * 12 * 16 + 24 * 2 + 25 * 2 * 4 + 24 * 4),
        [1] * 6,
    ),
    # 1x1 | 1x1, 3x3 | 1x1, 3x3, 3x3 | pool, 1x1, without biases; two numbers of each normalisation per channel.
    "inception_v3, 3x3": Case(
        lambda: blocks.inception_v3(24, 8, 12, 16, 20, 4),
        (48, 8, 8),
        (24 * 8 + 24 * 12 + 9 * 12 * 16 + 24 * 12 + 9 * 12 * 12 + 9 * 12 * 20 + 24 * 4) + 2 * (8 + 12 + 16 + 12 + 12 + 20 + 4),
        64 * (24 * 8 + 24 * 12 + 9 * 12 * 16 + 24 * 12 + 9 * 12 * 12 + 9 * 12 * 20 + 24 * 4),
        [1] * 7,
    ),
    # As before with 1x7, 7x1 in the place of every 3x3.
    "inception_v3, 1xn": Case(
        lambda: blocks.inception_v3(24, 8, 12, 16, 20, 4, n=7),
        (48, 8, 8),
        (24 * 8 + 24 * 12 + 7 * 12 * (12 + 16) + 24 * 12 + 7 * 12 * (12 + 12 + 12 + 20) + 24 * 4)
        + 2 * (8 + 12 + (12 + 16) + 12 + (12 + 12 + 12 + 20) + 4),
        64 * (24 * 8 + 24 * 12 + 7 * 12 * (12 + 16) + 24 * 12 + 7 * 12 * (12 + 12 + 12 + 20) + 24 * 4),
        [1] * 10,
    ),
    # Two separable convolutions, 8 -> 16 -> 16, at 8 x 8; then pooling; the shortcut at 4 x 4.
    "xception, entry flow": Case(
        lambda: blocks.xception(8, 16, n_convolutions=2, stride=2),
        (16, 4, 4),
        (9 * 8 + 8 * 16 + 9 * 16 + 16 * 16 + 2 * (16 + 16)) + (8 * 16 + 2 * 16),
        64 * (9 * 8 + 8 * 16 + 9 * 16 + 16 * 16) + 16 * 8 * 16,
        [1 / 8, 1, 1 / 16, 1, 1],
    ),
    "xception, middle flow": Case(
        lambda: blocks.xception(16, 16), (16, 8, 8), 3 * (9 * 16 + 16 * 16 + 2 * 16), 64 * 3 * (9 + 16) * 16, [1 / 16, 1] * 3
    ),
    "highway": Case(lambda: blocks.highway(16), (16, 8, 8), 2 * (9 * 16 * 16 + 16), 64 * 2 * 9 * 16 * 16, [1, 1]),
    "residual": Case(lambda: blocks.residual(16, 16), (16, 8, 8), 2 * (9 * 16 * 16 + 2 * 16), 64 * 2 * 9 * 16 * 16, [1, 1]),
    "residual, stride 2": Case(
        lambda: blocks.residual(16, 32, stride=2),
        (32, 4, 4),
        (9 * 16 * 32 + 2 * 32) + (9 * 32 * 32 + 2 * 32) + (16 * 32 + 2 * 32),
        16 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32),
        [1, 1, 1],
    ),
    "bottleneck": Case(
        lambda: blocks.bottleneck(32, 8, 32),
        (32, 8, 8),
        (32 * 8 + 2 * 8) + (9 * 8 * 8 + 2 * 8) + (8 * 32 + 2 * 32),
        64 * (32 * 8 + 9 * 8 * 8 + 8 * 32),
        [1, 1, 1],
    ),
    # The stride is in the first convolution, so all of it is at 4 x 4.
    "bottleneck, stride 2": Case(
        lambda: blocks.bottleneck(16, 8, 32, stride=2),
        (32, 4, 4),
        (16 * 8 + 2 * 8) + (9 * 8 * 8 + 2 * 8) + (8 * 32 + 2 * 32) + (16 * 32 + 2 * 32),
        16 * (16 * 8 + 9 * 8 * 8 + 8 * 32 + 16 * 32),
        [1, 1, 1, 1],
    ),
    # Four groups of four channels: the 3x3 convolution has 9 * 4 weights per output channel.
    "resnext": Case(
        lambda: blocks.resnext(32, 32, cardinality=4, group_width=4),
        (32, 8, 8),
        (32 * 16 + 2 * 16) + (9 * 4 * 16 + 2 * 16) + (16 * 32 + 2 * 32),
        64 * (32 * 16 + 9 * 4 * 16 + 16 * 32),
        [1, 1 / 4, 1],
    ),
    # The stride is in the second convolution: the first is at 8 x 8.
    "resnext, stride 2": Case(
        lambda: blocks.resnext(32, 64, cardinality=4, group_width=4, stride=2),
        (64, 4, 4),
        (32 * 16 + 2 * 16) + (9 * 4 * 16 + 2 * 16) + (16 * 64 + 2 * 64) + (32 * 64 + 2 * 64),
        64 * 32 * 16 + 16 * (9 * 4 * 16 + 16 * 64 + 32 * 64),
        [1, 1 / 4, 1, 1],
    ),
    # Layers read 16, 20 and 24 channels, go down to 16 = 4 * 4, and add 4.
    "dense_block": Case(
        lambda: blocks.dense_block(16, growth_rate=4, n_layers=3),
        (28, 8, 8),
        sum(2 * width + width * 16 + 2 * 16 + 9 * 16 * 4 for width in (16, 20, 24)),
        64 * sum(width * 16 + 9 * 16 * 4 for width in (16, 20, 24)),
        [1] * 6,
    ),
    "dense_block, no bottleneck": Case(
        lambda: blocks.dense_block(16, growth_rate=4, n_layers=2, bottleneck=False),
        (24, 8, 8),
        (2 * 16 + 9 * 16 * 4) + (2 * 20 + 9 * 20 * 4),
        64 * 9 * (16 + 20) * 4,
        [1, 1],
    ),
    "mobilenet_v1": Case(
        lambda: blocks.mobilenet_v1(16, 32, stride=2),
        (32, 4, 4),
        (9 * 16 + 2 * 16) + (16 * 32 + 2 * 32),
        16 * (9 * 16 + 16 * 32),
        [1 / 16, 1],
    ),
    # 8 channels become 48 and 8 again.
    "mobilenet_v2": Case(
        lambda: blocks.mobilenet_v2(8, 8),
        (8, 8, 8),
        (8 * 48 + 2 * 48) + (9 * 48 + 2 * 48) + (48 * 8 + 2 * 8),
        64 * (8 * 48 + 9 * 48 + 48 * 8),
        [1, 1 / 48, 1],
    ),
    "mobilenet_v2, stride 2": Case(
        lambda: blocks.mobilenet_v2(8, 16, stride=2, expansion=4),
        (16, 4, 4),
        (8 * 32 + 2 * 32) + (9 * 32 + 2 * 32) + (32 * 16 + 2 * 16),
        64 * 8 * 32 + 16 * (9 * 32 + 32 * 16),
        [1, 1 / 32, 1],
    ),
    "mobilenet_v2, expansion 1": Case(
        lambda: blocks.mobilenet_v2(8, 16, expansion=1),
        (16, 8, 8),
        (9 * 8 + 2 * 8) + (8 * 16 + 2 * 16),
        64 * (9 * 8 + 8 * 16),
        [1 / 8, 1],
    ),
    # 24 channels in three groups go down to 6 = 24 / 4.
    "shufflenet": Case(
        lambda: blocks.shufflenet(24, 24),
        (24, 8, 8),
        (24 * 6 // 3 + 2 * 6) + (9 * 6 + 2 * 6) + (6 * 24 // 3 + 2 * 24),
        64 * (24 * 6 // 3 + 9 * 6 + 6 * 24 // 3),
        [1 / 3, 1 / 6, 1 / 3],
    ),
    # 24 channels go down to 12 = 48 / 4, and 24 of its own join the 24 that are pooled.
    "shufflenet, stride 2": Case(
        lambda: blocks.shufflenet(24, 48, stride=2),
        (48, 4, 4),
        (24 * 12 // 3 + 2 * 12) + (9 * 12 + 2 * 12) + (12 * 24 // 3 + 2 * 24),
        64 * 24 * 12 // 3 + 16 * (9 * 12 + 12 * 24 // 3),
        [1 / 3, 1 / 12, 1 / 3],
    ),
}


def made(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return CASES[name].make()


def test_every_module_is_a_function_of_at_most_20_lines() -> None:
    makers = {name: made for name, made in vars(blocks).items() if inspect.isfunction(made)}
    assert len(makers) == 12
    for name, maker in makers.items():
        (tree,) = ast.parse(inspect.getsource(maker)).body
        assert isinstance(tree, ast.FunctionDef)
        assert tree.body[-1].end_lineno - tree.body[1].lineno < 20, name  # without the docstring


def in_channels(module: nn.Module) -> int:
    """The channels that a module reads: those of its first layer, be it a normalisation."""
    first = next(part for part in module.modules() if isinstance(part, nn.Conv2d | nn.BatchNorm2d))
    return first.in_channels if isinstance(first, nn.Conv2d) else first.num_features


def convolutions(counted: Cost) -> list[Any]:
    return list(counted.of("convolution").layers)


@pytest.mark.parametrize("name", CASES)
def test_counts_are_those_by_hand(name: str) -> None:
    case, module = CASES[name], made(name)
    counted = cost(module, torch.zeros(1, in_channels(module), 8, 8))
    assert counted.n_parameters == sum(parameter.numel() for parameter in module.parameters()) == case.n_parameters
    assert counted.n_macs == case.n_macs
    assert [layer.density for layer in convolutions(counted)] == pytest.approx(case.densities)
    assert not counted.of("uncounted").layers


@pytest.mark.parametrize("name", CASES)
def test_shapes_of_outputs(name: str) -> None:
    module = made(name)
    assert module(torch.randn(2, in_channels(module), 8, 8)).shape == (2, *CASES[name].shape)
    for height, width in ((7, 9), (9, 6)):  # sizes that a stride does not divide are rounded up
        stride = 8 // CASES[name].shape[1]
        size = -(-height // stride), -(-width // stride)
        assert module(torch.randn(2, in_channels(module), height, width)).shape[2:] == size


def joined_channels(module: nn.Module, n_in: int) -> np.ndarray:
    """Which output channel depends on which input channel, by the derivative; bool [n_out, n_in]."""
    x = torch.randn(3, n_in, 8, 8, dtype=torch.float64, requires_grad=True)
    y = module.double().eval()(x)
    rows = [
        torch.autograd.grad(y[:, i].square().sum(), x, retain_graph=True)[0].abs().amax((0, 2, 3)) for i in range(y.shape[1])
    ]
    return (torch.stack(rows) > 0).numpy()


def test_the_shuffle_joins_every_group_with_every_other() -> None:
    """Behind two grouped convolutions an output depends on its own group only, unless channels were shuffled between them."""
    torch.manual_seed(0)
    unit = blocks.shufflenet(36, 36, groups=3)  # three channels per group between the convolutions, one for each group
    assert joined_channels(unit.body, 36).all()
    plain = nn.Sequential(unit.body[0], *unit.body[2:])
    group = np.arange(36) // 12
    assert (joined_channels(plain, 36) == (group[:, None] == group)).all()


def test_a_highway_is_its_formula_and_lets_its_input_pass_at_first() -> None:
    module, x = made("highway").double(), torch.randn(2, 16, 8, 8, dtype=torch.float64)
    h = torch.relu(nn.functional.conv2d(x, *(p for p in module.transform[0].parameters()), padding=1))
    t = torch.sigmoid(nn.functional.conv2d(x, *(p for p in module.gate[0].parameters()), padding=1))
    assert torch.allclose(module(x), t * h + (1 - t) * x, rtol=1e-12, atol=1e-12)
    assert (module.gate[0].bias == -2).all()
    nn.init.zeros_(module.gate[0].weight)
    share = 1 / (1 + math.exp(2))
    assert torch.allclose(module(x), share * h + (1 - share) * x)
    closed = blocks.highway(16, gate_bias=-100).double()
    assert torch.allclose(closed(x), x)


@pytest.mark.parametrize("name", ["residual", "bottleneck", "resnext", "shufflenet"])
def test_a_residual_whose_last_normalisation_is_zero_is_relu(name: str) -> None:
    module = made(name)
    nn.init.zeros_([part for part in module.modules() if isinstance(part, nn.BatchNorm2d)][-1].weight)
    x = torch.randn(2, in_channels(module), 8, 8)
    assert torch.equal(module(x), torch.relu(x))


@pytest.mark.parametrize("name", ["mobilenet_v2", "xception, middle flow"])
def test_a_residual_without_activation_behind_it(name: str) -> None:
    module = made(name)
    nn.init.zeros_([part for part in module.modules() if isinstance(part, nn.BatchNorm2d)][-1].weight)
    x = torch.randn(2, in_channels(module), 8, 8)
    assert torch.equal(module(x), x)


def test_shortcuts_are_convolutions_only_where_shapes_differ() -> None:
    assert isinstance(blocks.residual(16, 16).shortcut, nn.Identity)
    for module in (blocks.residual(16, 16, stride=2), blocks.residual(16, 24), blocks.xception(16, 16, stride=2)):
        assert isinstance(module.shortcut[0], nn.Conv2d)
    assert not isinstance(blocks.mobilenet_v2(16, 16, stride=2), blocks.Residual)
    assert not isinstance(blocks.mobilenet_v2(16, 24), blocks.Residual)


def test_the_bottleneck_of_mobilenet_v2_is_linear() -> None:
    module = made("mobilenet_v2")
    assert [type(part).__name__ for part in module.modules() if "ReLU" in type(part).__name__] == ["ReLU6", "ReLU6"]
    assert (module.body(torch.randn(4, 8, 8, 8)) < 0).any()


def test_a_dense_block_keeps_what_it_has_read() -> None:
    module, x = made("dense_block"), torch.randn(2, 16, 8, 8)
    y = module(x)
    assert torch.equal(y[:, :16], x)
    assert torch.equal(y[:, :20], module[0](x))
    by_hand = x
    for layer in module:
        by_hand = torch.cat([by_hand, layer.branches[1](by_hand)], dim=1)
    assert torch.equal(y, by_hand)


def test_branches_are_concatenated_in_order() -> None:
    module, x = made("inception_v1"), torch.randn(2, 24, 8, 8)
    pieces = module(x).split([8, 16, 4, 4], dim=1)
    assert all(torch.equal(piece, branch(x)) for piece, branch in zip(pieces, module.branches, strict=True))


def weights(*convs: nn.Module) -> int:
    return cost(nn.Sequential(*convs), torch.zeros(1, 16, 15, 15)).n_parameters


def test_what_the_survey_says_of_factorised_kernels() -> None:
    """Two 3x3 need 18 weights where one 5x5 needs 25, and 1x3 with 3x1 need 6 where one 3x3 needs 9."""
    conv = partial(nn.Conv2d, 16, 16, bias=False)
    assert weights(conv(3), conv(3)) / weights(conv(5)) == 18 / 25
    assert weights(conv((1, 3)), conv((3, 1))) / weights(conv(3)) == 6 / 9
    v3 = blocks.inception_v3(16, 16, 16, 16, 16, 16)
    v1 = blocks.inception_v1(16, 16, 16, 16, 16, 16, 16)
    example = torch.zeros(1, 16, 8, 8)
    assert cost(v1, example).n_macs - cost(v3, example).n_macs == (25 - 18) * 16 * 16 * 64


@given(n_in=st.integers(1, 40), n_out=st.integers(1, 40))
def test_mobilenet_v1_beside_a_full_convolution(n_in: int, n_out: int) -> None:
    with torch.device("meta"):
        example = torch.zeros(1, n_in, 8, 8)
        full = cost(nn.Conv2d(n_in, n_out, 3, padding=1), example).n_macs
        assert cost(blocks.mobilenet_v1(n_in, n_out), example).n_macs * 9 * n_out == full * (9 + n_out)


@given(cardinality=st.integers(1, 12), group_width=st.integers(1, 12))
def test_a_resnext_of_one_group_is_a_bottleneck(cardinality: int, group_width: int) -> None:
    """Beside a bottleneck of the same width, only the weights of the 3x3 convolution become fewer: those of one group each."""
    width = cardinality * group_width
    with torch.device("meta"):
        example = torch.zeros(1, 16, 4, 4)
        whole, grouped = (
            cost(blocks.bottleneck(16, width, 16), example),
            cost(blocks.resnext(16, 16, cardinality, group_width), example),
        )
    assert whole.n_parameters - grouped.n_parameters == 9 * width * (width - group_width)


@given(groups=st.integers(1, 8), factor=st.integers(1, 5), stride=st.integers(1, 3))
def test_any_legal_shufflenet_computes(groups: int, factor: int, stride: int) -> None:
    width = 4 * groups * factor
    out = width if stride == 1 else 2 * width
    with torch.device("meta"):
        assert blocks.shufflenet(width, out, groups, stride)(torch.zeros(1, width, 9, 9)).shape == (
            1,
            out,
            -(-9 // stride),
            -(-9 // stride),
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: blocks.residual(0, 8), "in_channels is 0; it must be an integer from 1 to 65536"),
        (lambda: blocks.residual(8, 8, stride=0), "stride is 0; it must be an integer from 1 to 65536"),
        (lambda: blocks.bottleneck(8, 2.5, 8), "width is 2.5; it must be an integer"),
        (lambda: blocks.resnext(8, 8, 2**15, 4), "cardinality * group_width is 131072; it must be an integer from 1 to 65536"),
        (lambda: blocks.mobilenet_v1(8, 2**17), "out_channels is 131072; it must be an integer"),
        (lambda: blocks.mobilenet_v2(8, 8, expansion=2**14), "in_channels * expansion is 131072; it must be an integer from"),
        (lambda: blocks.mobilenet_v2(8, 8, expansion="6"), "expansion is '6'; it must be an integer"),
        (lambda: blocks.dense_block(8, 2**15, 2), "in_channels + n_layers * growth_rate is 65544; it must be an integer from"),
        (lambda: blocks.dense_block(8, 4, 0), "n_layers is 0; it must be an integer"),
        (lambda: blocks.xception(8, 8, n_convolutions=0), "n_convolutions is 0; it must be an integer"),
        (lambda: blocks.inception_v1(8, 8, 8, 8, 0, 8, 8), "reduce_5x5 is 0; it must be an integer"),
        (lambda: blocks.inception_v3(8, 8, 8, 8, 8, 8, n=6), "n is 6; it must be odd, so that the output has the size"),
        (lambda: blocks.inception_v3(8, 8, 8, 8, 8, 8, n=0), "n is 0; it must be an integer"),
        (lambda: blocks.mlpconv(8, []), "widths is []; it must be a sequence of at least one number of channels"),
        (lambda: blocks.mlpconv(8, 16), "widths is 16; it must be a sequence of at least one number of channels"),
        (lambda: blocks.mlpconv(8, (16, -1)), "widths[1] is -1; it must be an integer"),
        (lambda: blocks.mlpconv(8, (16,), kernel_size=4), "kernel_size is 4; it must be odd"),
        (lambda: blocks.highway(8, kernel_size=2), "kernel_size is 2; it must be odd"),
        (lambda: blocks.highway(8, gate_bias=float("nan")), "gate_bias is nan; it must be a number in [-100, 100]"),
        (lambda: blocks.shufflenet(24, 36), "out_channels is 36; at stride 1 it must be in_channels = 24"),
        (lambda: blocks.shufflenet(24, 32), "out_channels is 32; it must be a multiple of 4 * groups = 12"),
        (lambda: blocks.shufflenet(24, 24, stride=2), "out_channels is 24; at stride 2 it must be more than in_channels = 24"),
        (lambda: blocks.shufflenet(10, 24, stride=2), "in_channels is 10; it must be a multiple of groups = 3"),
    ],
)
def test_arguments_that_are_not_allowed(call: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ns.ConfigError, match=re.escape(message)):
        call()


def test_sizes_of_numpy_do_not_wrap_around() -> None:
    """In uint8, 6 * 50 would be 44."""
    assert blocks.mobilenet_v2(np.uint8(50), np.uint8(50), expansion=np.uint8(6)).body[0][0].out_channels == 300
    assert blocks.dense_block(np.uint8(8), np.uint8(100), np.uint8(2))(torch.zeros(1, 8, 4, 4)).shape[1] == 208


class Net(nn.Sequential):
    """A module between a convolution that reads the image and a classifier."""

    def __init__(self, name: str) -> None:
        module = made(name)
        stem = nn.Conv2d(1, in_channels(module), 3, padding=1)
        super().__init__(stem, module, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CASES[name].shape[0], 10))


def sparsified(model: nn.Module) -> ns.SparsifySummary:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the whole model has a density of", UserWarning)  # of what stays dense by groups
        return ns.sparsify(model, density=0.2, rng=0)


@pytest.mark.parametrize("name", CASES)
def test_what_becomes_sparse(name: str) -> None:
    model = Net(name)
    convs = {key: part for key, part in model.named_modules() if isinstance(part, nn.Conv2d)}
    expected = {key for key, part in convs.items() if part.groups == 1 and part.in_channels >= 8} | {"4"}
    before = cost(model, torch.zeros(1, 1, 8, 8))
    summary = sparsified(model)
    assert {entry.name for entry in summary.sparse} == expected
    after = cost(model, torch.zeros(1, 1, 8, 8))
    density = {entry.name: entry.density for entry in summary.sparse}
    for old, new in zip(before.layers, after.layers, strict=True):
        assert old.name == new.name
        assert new.density == pytest.approx(old.density * density.get(old.name, 1), nan_ok=True)
        assert new.n_macs == pytest.approx(old.n_macs * density.get(old.name, 1))
    assert model(torch.randn(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("is_sparse", [False, True])
def test_they_learn_the_digits(name: str, is_sparse: bool) -> None:
    digits = load_dataset("digits")
    x, y = torch.from_numpy(digits.x_train[:128]).reshape(-1, 1, 8, 8), torch.from_numpy(digits.y_train[:128])
    model = Net(name)
    if is_sparse:
        sparsified(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.grad.any() for parameter in model.parameters() if parameter.dim() > 1)
    assert sum(b < a for a, b in pairwise(losses)) >= 24
    assert losses[-1] < losses[0] - 0.2
