"""The module of DenseNet: every layer reads what all layers before it gave."""

from torch import nn

from netsci_nn.models.blocks.parts import Concatenate, counts

BOTTLENECK = 4  # times the growth rate


def dense_block(in_channels: int, growth_rate: int, n_layers: int, bottleneck: bool = True) -> nn.Sequential:
    """Return layers each of which adds `growth_rate` channels to those that it has read.

    A layer is batch normalisation, ReLU and a 3x3 convolution. With a bottleneck, the same with a 1x1 convolution to 4 *
    growth_rate channels precedes it.

    Args:
        in_channels: 1 to 2^16.
        growth_rate: channels that a layer adds, at least 1.
        n_layers: at least 1; in_channels + n_layers * growth_rate is at most 2^16.
        bottleneck: whether layers have one (DenseNet-B).

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, in_channels + n_layers * growth_rate, height, width]`.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: Huang et al. 2017, "Densely connected convolutional networks", section 3.

    Example:
        >>> import torch
        >>> dense_block(64, growth_rate=32, n_layers=6)(torch.zeros(2, 64, 8, 8)).shape
        torch.Size([2, 256, 8, 8])
    """
    in_channels, growth_rate, n_layers = counts(in_channels=in_channels, growth_rate=growth_rate, n_layers=n_layers)
    counts(**{"in_channels + n_layers * growth_rate": in_channels + n_layers * growth_rate})

    def layer(width: int) -> list[nn.Module]:
        reduced = BOTTLENECK * growth_rate
        first = [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, reduced, 1, bias=False)] if bottleneck else []
        read = reduced if bottleneck else width
        return [*first, nn.BatchNorm2d(read), nn.ReLU(), nn.Conv2d(read, growth_rate, 3, padding=1, bias=False)]

    widths = [in_channels + i * growth_rate for i in range(n_layers)]
    return nn.Sequential(*(Concatenate(nn.Identity(), nn.Sequential(*layer(width))) for width in widths))
