"""The module of ShuffleNet: grouped pointwise convolutions, between which channels change their groups."""

from torch import nn

from netsci_nn.errors import ConfigError
from netsci_nn.models.blocks.parts import Concatenate, Residual, conv_norm, counts

REDUCTION = 4


def shufflenet(in_channels: int, out_channels: int, groups: int = 3, stride: int = 1) -> nn.Module:
    """Return a unit of ShuffleNet: grouped 1x1, shuffle, depthwise 3x3, grouped 1x1, joined with the input.

    Batch normalisations follow the convolutions; ReLU follows the first of them and the whole. The depthwise convolution has a
    quarter of `out_channels`.

    Args:
        in_channels: a multiple of `groups`, 1 to 2^16.
        out_channels: a multiple of 4 * groups, 1 to 2^16; equal to `in_channels` at stride 1, more at another.
        groups: of both 1x1 convolutions, at least 1.
        stride: at 1 the result is added to the input; at more it is concatenated with the average-pooled input, and so has
            out_channels - in_channels channels of its own, a multiple of `groups`.

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, out_channels, ceil(height / stride), ceil(width / stride)]`.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: Zhang et al. 2018, "ShuffleNet: an extremely efficient CNN for mobile devices", figures 2b and 2c.

    Example:
        >>> import torch
        >>> shufflenet(240, 480, groups=3, stride=2)(torch.zeros(2, 240, 28, 28)).shape
        torch.Size([2, 480, 14, 14])
    """
    in_channels, out_channels, groups, stride = counts(
        in_channels=in_channels, out_channels=out_channels, groups=groups, stride=stride
    )
    if out_channels % (REDUCTION * groups):
        raise ConfigError(f"out_channels is {out_channels}; it must be a multiple of 4 * groups = {REDUCTION * groups}")
    if stride == 1 and in_channels != out_channels:
        raise ConfigError(f"out_channels is {out_channels}; at stride 1 it must be in_channels = {in_channels}")
    if stride > 1 and in_channels >= out_channels:
        raise ConfigError(
            f"out_channels is {out_channels}; at stride {stride} it must be more than in_channels = {in_channels}"
        )
    if in_channels % groups:
        raise ConfigError(f"in_channels is {in_channels}; it must be a multiple of groups = {groups}")
    width, own = out_channels // REDUCTION, out_channels if stride == 1 else out_channels - in_channels
    depthwise = conv_norm(width, width, 3, stride, groups=width, activation=None)
    last = conv_norm(width, own, groups=groups, activation=None)
    body = nn.Sequential(conv_norm(in_channels, width, groups=groups), nn.ChannelShuffle(groups), depthwise, last)
    if stride == 1:
        return Residual(body, activation=nn.ReLU())
    return nn.Sequential(Concatenate(nn.AvgPool2d(3, stride, 1), body), nn.ReLU())
