"""Five classic networks without weights: sizes layer by layer, by hand, beside torch's counter and beside the survey."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import netsci_nn as ns
from netsci_nn.models import classic, cost
from netsci_nn.models.cost import Cost
from scripts import compact_modules

PAGE = Path(__file__).parents[2] / "docs" / "compact-modules.md"


def counts(make: Callable[[], nn.Module], size: int) -> Cost:
    with torch.device("meta"):
        return cost(make(), torch.zeros(1, 3, size, size))


def check(counted: Cost, conv: tuple[int, int], linear: tuple[int, int]) -> None:
    """Parameters without biases, and multiply-adds, of convolutions and of fully connected layers."""
    for role, (weights, macs) in {"convolution": conv, "linear": linear}.items():
        part = counted.of(role)
        assert part.n_macs == macs
        biases = part.n_parameters - weights
        assert 0 <= biases < 20_000  # one per channel or neuron, or none
    assert not counted.of("uncounted").layers


def test_alexnet() -> None:
    weights = [121 * 3 * 96, 25 * 96 * 256 // 2, 9 * 256 * 384, 9 * 384 * 384 // 2, 9 * 384 * 256 // 2]
    fc = 256 * 36 * 4096 + 4096 * 4096 + 4096 * 1000
    counted = counts(classic.alexnet, 227)
    check(counted, (sum(weights), sum(w * n * n for w, n in zip(weights, (55, 27, 13, 13, 13), strict=True))), (fc, fc))
    assert counted.n_parameters == sum(weights) + fc + (96 + 256 + 384 + 384 + 256) + 4096 + 4096 + 1000
    assert [layer.density for layer in counted.of("convolution").layers] == [1, 0.5, 1, 0.5, 0.5]


def test_overfeat() -> None:
    weights = [121 * 3 * 96, 25 * 96 * 256, 9 * 256 * 512, 9 * 512 * 1024, 9 * 1024 * 1024]
    fc = 1024 * 36 * 3072 + 3072 * 4096 + 4096 * 1000
    maps = 56, 24, 12, 12, 12
    check(counts(classic.overfeat, 231), (sum(weights), sum(w * n * n for w, n in zip(weights, maps, strict=True))), (fc, fc))


def test_vgg16() -> None:
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    weights = [9 * a * b for a, b in pairwise(widths)]
    maps = [224] * 2 + [112] * 2 + [56] * 3 + [28] * 3 + [14] * 3
    fc = 512 * 49 * 4096 + 4096 * 4096 + 4096 * 1000
    counted = counts(classic.vgg16, 224)
    check(counted, (sum(weights), sum(w * n * n for w, n in zip(weights, maps, strict=True))), (fc, fc))
    assert counted.n_parameters == 138_357_544  # as everyone's VGG-16


# The modules of the paper's table 1: input channels, then its columns, and the module's maps.
MODULES = [
    (192, 64, 96, 128, 16, 32, 32, 28),
    (256, 128, 128, 192, 32, 96, 64, 28),
    (480, 192, 96, 208, 16, 48, 64, 14),
    (512, 160, 112, 224, 24, 64, 64, 14),
    (512, 128, 128, 256, 24, 64, 64, 14),
    (512, 112, 144, 288, 32, 64, 64, 14),
    (528, 256, 160, 320, 32, 128, 128, 14),
    (832, 256, 160, 320, 32, 128, 128, 7),
    (832, 384, 192, 384, 48, 128, 128, 7),
]
PAPER_OPS = 128, 304, 73, 88, 100, 119, 170, 54, 71  # in millions, of its table 1


@pytest.mark.parametrize(("ceil_mode", "maps"), [(True, (112, 56, 28, 14, 7)), (False, (112, 55, 27, 13, 6))])
def test_googlenet(ceil_mode: bool, maps: tuple[int, ...]) -> None:
    smaller = dict(zip((112, 56, 28, 14, 7), maps, strict=True))
    stem = [(49 * 3 * 64, 112), (64 * 64, 56), (9 * 64 * 192, 56)]
    modules = [
        (n_in * one + n_in * r3 + 9 * r3 * o3 + n_in * r5 + 25 * r5 * o5 + n_in * pool, n)
        for n_in, one, r3, o3, r5, o5, pool, n in MODULES
    ]
    conv = sum(w for w, _ in stem + modules), sum(w * smaller[n] ** 2 for w, n in stem + modules)
    check(counts(lambda: classic.googlenet(ceil_mode=ceil_mode), 224), conv, (1024 * 1000, 1024 * 1000))


def test_the_modules_of_googlenet_beside_its_paper() -> None:
    """The paper has rounded figures for every module; that of 5a, 54 M, is 6 % more than its own widths give."""
    counted = counts(classic.googlenet, 224)
    with torch.device("meta"):
        numbers = [name for name, part in classic.googlenet().named_children() if hasattr(part, "branches")]
    for number, ops in zip(numbers, PAPER_OPS, strict=True):
        n_macs = sum(layer.n_macs for layer in counted.layers if layer.name.startswith(f"{number}."))
        assert n_macs / 1e6 == pytest.approx(ops, rel=0.06)


def test_resnet50() -> None:
    weights, macs, width = [49 * 3 * 64], [49 * 3 * 64 * 112**2], 64
    for inner, n_blocks, n in ((64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7)):
        for block in range(n_blocks):
            own = width * inner + 9 * inner * inner + inner * 4 * inner + (width * 4 * inner if block == 0 else 0)
            weights.append(own)
            macs.append(own * n * n)
            width = 4 * inner
    counted = counts(classic.resnet50, 224)
    check(counted, (sum(weights), sum(macs)), (2048 * 1000, 2048 * 1000))
    assert counted.n_parameters == 25_557_032  # as everyone's ResNet-50
    assert len(counted.of("convolution").layers) == 49 + 4  # and the shortcuts, which the survey does not count


@pytest.mark.parametrize(
    ("make", "size"), [(classic.alexnet, 227), (classic.overfeat, 231), (classic.googlenet, 224), (classic.resnet50, 224)]
)
def test_beside_the_counter_of_torch(make: Callable[..., nn.Module], size: int) -> None:
    with torch.device("meta"):
        model, x = make(n_classes=7).eval(), torch.zeros(2, 3, size, size)
        with FlopCounterMode(display=False) as counter:
            assert model(x).shape == (2, 7)
    assert cost(model, x).n_macs == counter.get_total_flops() // 2


@pytest.mark.parametrize("name", ["alexnet", "overfeat", "vgg16", "googlenet", "resnet50"])
def test_a_number_of_classes_that_is_not_allowed(name: str) -> None:
    with pytest.raises(ns.ConfigError, match="n_classes is 0; it must be an integer from 1 to 65536"):
        getattr(classic, name)(n_classes=0)


def test_a_resnet_with_numbers_computes_and_becomes_sparse() -> None:
    torch.manual_seed(0)
    model = classic.resnet50(n_classes=10)
    summary = ns.sparsify(model, density=0.1, rng=0)
    assert len(summary.sparse) == 49 + 4 - 1 + 1  # all but the convolution of three colours, and the classifier
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 10)


def test_the_page_shows_the_tables_of_the_code() -> None:
    shown = dict(re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- \1 -->", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))
    expected = {"classic": compact_modules.classic_table(), "modules": compact_modules.modules_table()}
    assert shown == expected, "paste what `python -m scripts.compact_modules` prints"


def test_all_figures_are_those_of_the_survey_but_for_those_that_are_explained() -> None:
    differing = {
        (name, column)
        for name, row in compact_modules.SURVEY.items()
        for column, (figure, number) in enumerate(zip(row.figures, compact_modules.figures_of(name), strict=True))
        if compact_modules.rounded_as(figure, number) != figure
    }
    assert differing == {("OverFeat, fast", 3), ("VGG-16", 3), ("GoogLeNet", 2)}
    overfeat, vgg = (compact_modules.figures_of(name)[3] for name in ("OverFeat, fast", "VGG-16"))
    theirs = {name: compact_modules.SURVEY[name].figures[3] for name in ("OverFeat, fast", "VGG-16")}
    assert compact_modules.rounded_as(theirs["VGG-16"], overfeat) == theirs["VGG-16"]  # they have changed places
    assert compact_modules.rounded_as(theirs["OverFeat, fast"], vgg) == theirs["OverFeat, fast"]


def test_every_module_of_the_table_gives_as_many_channels() -> None:
    for name, make in compact_modules.MODULES.items():
        with torch.device("meta"):
            x = torch.zeros(1, 128 if "dense" in name else 256, 28, 28)
            assert make()(x).shape == (1, 256, 28, 28), name


def test_rounding_as_a_figure_is_printed() -> None:
    assert compact_modules.rounded_as("2.67 G", 2_671_478_784) == "2.67 G"
    assert compact_modules.rounded_as("16 M", 15_499_999) == "15 M"
    assert compact_modules.rounded_as("58.6 M", 58_660_000) == "58.7 M"
