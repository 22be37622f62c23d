"""What compact modules and classic networks cost: parameters, multiply-adds, and density of the graphs of their channels.

    python -m scripts.compact_modules    # seconds; prints the tables of docs/compact-modules.md

Everything is counted by `netsci_nn.models.cost` on the meta device, without weights. The classic networks stand beside table 1
of the survey of Lin, Wu, Chai and Yin (Acta Automatica Sinica 46(1), 2020).
"""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import groupby
from typing import NamedTuple

import torch
from torch import nn

from netsci_nn.models import blocks, classic, cost
from netsci_nn.models.cost import Cost

UNITS = {"M": 1e6, "G": 1e9}
WIDTH, SIZE = 256, 28


class Row(NamedTuple):
    """A network, the size of its images, and what the survey prints of it.

    These are parameters of convolutions and of fully connected layers, and then their multiply-adds.
    """

    make: Callable[[], nn.Module]
    size: int
    figures: tuple[str, str, str, str]


OF_GOOGLENET = "6 M", "1 M", "1.43 G", "1 M"
SURVEY = {
    "AlexNet": Row(classic.alexnet, 227, ("2.3 M", "58.6 M", "666 M", "58.6 M")),
    "OverFeat, fast": Row(classic.overfeat, 231, ("16 M", "130 M", "2.67 G", "124 M")),
    "VGG-16": Row(classic.vgg16, 224, ("14.7 M", "124 M", "15.3 G", "130 M")),
    "GoogLeNet": Row(classic.googlenet, 224, OF_GOOGLENET),
    "GoogLeNet, pooling rounds down": Row(partial(classic.googlenet, ceil_mode=False), 224, OF_GOOGLENET),
    "ResNet-50": Row(classic.resnet50, 224, ("23.5 M", "2 M", "3.86 G", "2 M")),
}

NOTES = """
- A fully connected layer has one multiply-add per weight, so OverFeat has 130 M and VGG-16 has 124 M, as the survey's own
  columns of parameters say; its two figures of multiply-adds have changed places.
- GoogLeNet's paper has maps of 56, 28, 14 and 7, for which pooling must round sizes up; the survey's 1.43 G come out if it
  rounds down, to 55, 27, 13 and 6."""

MODULES: dict[str, Callable[[], nn.Module]] = {
    "3x3 convolution": partial(nn.Conv2d, WIDTH, WIDTH, 3, padding=1),
    "NiN, 3x3 and two of 1x1": partial(blocks.mlpconv, WIDTH, (WIDTH, WIDTH, WIDTH)),
    "Inception v1": partial(blocks.inception_v1, WIDTH, 64, 96, 128, 16, 32, 32),
    "Inception v3, 3x3": partial(blocks.inception_v3, WIDTH, 64, 64, 64, 64, 64),
    "Inception v3, 1x7 and 7x1": partial(blocks.inception_v3, WIDTH, 64, 64, 64, 64, 64, n=7),
    "Xception, 3 convolutions": partial(blocks.xception, WIDTH, WIDTH),
    "highway": partial(blocks.highway, WIDTH),
    "residual": partial(blocks.residual, WIDTH, WIDTH),
    "bottleneck of 64": partial(blocks.bottleneck, WIDTH, 64, WIDTH),
    "ResNeXt, 32 x 4": partial(blocks.resnext, WIDTH, WIDTH),
    "dense block, 128 + 4 x 32": partial(blocks.dense_block, WIDTH // 2, growth_rate=32, n_layers=4),
    "MobileNet v1": partial(blocks.mobilenet_v1, WIDTH, WIDTH),
    "MobileNet v2, t = 6": partial(blocks.mobilenet_v2, WIDTH, WIDTH),
    "ShuffleNet, 4 groups": partial(blocks.shufflenet, WIDTH, WIDTH, groups=4),
}


def count(make: Callable[[], nn.Module], channels: int, size: int) -> Cost:
    """Return the cost of a network or a module for one image."""
    with torch.device("meta"):
        return cost(make(), torch.zeros(1, channels, size, size))


def figures_of(name: str) -> list[int]:
    """Return what is counted of a classic network, in the order of the survey's figures."""
    counted = count(SURVEY[name].make, 3, SURVEY[name].size)
    conv, linear = counted.of("convolution"), counted.of("linear")
    return [conv.n_parameters, linear.n_parameters, conv.n_macs, linear.n_macs]


def rounded_as(figure: str, number: int) -> str:
    """Return a number with the unit and the digits of a figure of the survey."""
    value, unit = figure.split()
    return f"{number / UNITS[unit]:.{len(value.partition('.')[2])}f} {unit}"


def classic_table() -> str:
    """Return what is counted of the classic networks and, in brackets, what the survey prints; bold where it differs."""
    lines = [
        "| network | parameters: convolutions | fully connected | multiply-adds: convolutions | fully connected |",
        "|---|---|---|---|---|",
    ]
    for name, row in SURVEY.items():
        pairs = zip(figures_of(name), row.figures, strict=True)
        cells = [f"{n:,} ({text})" if rounded_as(text, n) == text else f"**{n:,}** ({text})" for n, text in pairs]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join([*lines, NOTES])


def modules_table() -> str:
    """Return the cost of every module for maps of 28 x 28 and 256 channels that come out, beside one 3x3 convolution."""
    counted = {name: count(make, WIDTH // 2 if "dense" in name else WIDTH, SIZE) for name, make in MODULES.items()}
    whole = next(iter(counted.values()))
    lines = [
        "| module | parameters | multiply-adds | of those of the 3x3 convolution | density of its layers | of all together |",
        "|---|---|---|---|---|---|",
    ]
    for name, part in counted.items():
        densities = [Fraction(layer.n_joined, layer.n_pairs) for layer in part.of("convolution").layers]
        groups = [(density, len(list(group))) for density, group in groupby(densities)]
        shown = ", ".join(str(density) if n == 1 else f"{n} x {density}" for density, n in groups)
        cells = [f"{part.n_parameters:,}", f"{part.n_macs:,}", f"{100 * part.n_macs / whole.n_macs:.1f} %", shown]
        lines.append(f"| {' | '.join([name, *cells, f'{part.density:.3f}'])} |")
    return "\n".join(lines)


def main() -> None:
    """Print both tables."""
    print(classic_table(), modules_table(), sep="\n\n")


if __name__ == "__main__":
    main()
