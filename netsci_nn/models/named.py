"""Models that experiment files know by name, beside the multilayer perceptron: dense, for flat inputs, to be made sparse."""

import math
from collections.abc import Callable, Sequence

from torch import nn

from netsci_nn.checks import as_list, as_whole_number, check_count
from netsci_nn.errors import ConfigError, shown
from netsci_nn.models.blocks import Residual, residual
from netsci_nn.models.mlp import seeded_torch
from netsci_nn.registry import Registry
from netsci_nn.sampling import Rng, as_generator

MODELS: Registry[Callable[..., nn.Module]] = Registry("model")
"""Functions `(n_in, n_out, *, rng, ...)` that return a dense model of `[n, n_in]` to logits `[n, n_out]`."""

MOST_BLOCKS, MOST_CHANNELS = 1000, 2**16


@MODELS.register("residual_mlp")
def residual_mlp(n_in: int, n_out: int, *, width: int = 256, n_blocks: int = 2, rng: Rng) -> nn.Sequential:
    """Return a perceptron of residual blocks: x + linear(relu(linear(norm(x)))), all of one width.

    Args:
        n_in: inputs, at least 1.
        n_out: outputs, at least 1.
        width: of the blocks, 1 to 2^16.
        n_blocks: 1 to 1000.
        rng: int seed or numpy Generator, for the initial weights.

    Raises:
        ConfigError: when a size is not allowed.

    Example:
        >>> import netsci_nn as ns
        >>> model = residual_mlp(64, 10, width=32, n_blocks=1, rng=0)
        >>> [len(ns.network_graph(model).vs.select(layer=group)) for group in range(5)]
        [64, 32, 32, 32, 10]
    """
    n_in, n_out = (
        check_count(name, value, 1, MOST_CHANNELS, error=ConfigError) for name, value in (("n_in", n_in), ("n_out", n_out))
    )
    width = check_count("width", width, 1, MOST_CHANNELS, error=ConfigError)
    n_blocks = check_count("n_blocks", n_blocks, 1, MOST_BLOCKS, error=ConfigError)
    with seeded_torch(as_generator(rng)):
        blocks = [
            Residual(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)))
            for _ in range(n_blocks)
        ]
        return nn.Sequential(nn.Linear(n_in, width), *blocks, nn.LayerNorm(width), nn.Linear(width, n_out))


@MODELS.register("residual_cnn")
def residual_cnn(n_in: int, n_out: int, *, shape: Sequence[int], widths: Sequence[int] = (16, 32), rng: Rng) -> nn.Sequential:
    """Return a convolutional network of residual blocks, one per width; from the second on they halve the maps.

    Args:
        n_in: numbers per image, the product of `shape`.
        n_out: outputs, at least 1.
        shape: of an image: (height, width), or (channels, height, width).
        widths: channels of the blocks, each 1 to 2^16.
        rng: int seed or numpy Generator, for the initial weights.

    Raises:
        ConfigError: when a size is not allowed, or `shape` does not hold n_in numbers.

    Source: He et al. 2016, "Deep residual learning for image recognition".

    Example:
        >>> import torch
        >>> residual_cnn(64, 10, shape=(8, 8), widths=(8, 16), rng=0)(torch.zeros(2, 64)).shape
        torch.Size([2, 10])
    """
    n_out = check_count("n_out", n_out, 1, MOST_CHANNELS, error=ConfigError)
    sizes, channels = ([as_whole_number(size) or 0 for size in as_list(value) or []] for value in (shape, widths))
    if len(sizes) not in (2, 3) or min(sizes) < 1 or math.prod(sizes) != n_in:
        raise ConfigError(
            f"shape is {shown(shape)}; it must be (height, width) or (channels, height, width) of n_in = {n_in} numbers"
        )
    if not channels or not all(1 <= width <= MOST_CHANNELS for width in channels):
        raise ConfigError(f"widths is {shown(widths)}; it must be whole numbers from 1 to {MOST_CHANNELS}, one per block")
    maps = (1, *sizes)[-3:]
    with seeded_torch(as_generator(rng)):
        stem = [nn.Conv2d(maps[0], channels[0], 3, padding=1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU()]
        blocks = [
            residual(before, width, 2 if number else 1)
            for number, (before, width) in enumerate(zip((channels[0], *channels), channels, strict=False))
        ]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], n_out)]
        return nn.Sequential(nn.Unflatten(1, maps), *stem, *blocks, *head)
