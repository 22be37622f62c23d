"""The modules of MobileNet v1 and v2: depthwise and pointwise convolutions."""

from torch import nn

from netsci_nn.models.blocks.parts import Residual, conv_norm, counts


def mobilenet_v1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Return a depthwise 3x3 and a pointwise 1x1 convolution, each with a batch normalisation and ReLU.

    It needs 1 / out_channels + 1 / 9 of the multiply-adds of a 3x3 convolution.

    Args:
        in_channels: 1 to 2^16.
        out_channels: 1 to 2^16.
        stride: of the depthwise convolution, at least 1.

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, out_channels, ceil(height / stride), ceil(width / stride)]`.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: Howard et al. 2017, "MobileNets", section 3.1 and figure 3.

    Example:
        >>> import torch
        >>> mobilenet_v1(32, 64, stride=2)(torch.zeros(2, 32, 16, 16)).shape
        torch.Size([2, 64, 8, 8])
    """
    in_channels, out_channels, stride = counts(in_channels=in_channels, out_channels=out_channels, stride=stride)
    depthwise = conv_norm(in_channels, in_channels, 3, stride, groups=in_channels)
    return nn.Sequential(depthwise, conv_norm(in_channels, out_channels))


def mobilenet_v2(in_channels: int, out_channels: int, stride: int = 1, expansion: int = 6) -> nn.Module:
    """Return an inverted residual with a linear bottleneck: 1x1 to more channels, depthwise 3x3, 1x1 to fewer.

    All have a batch normalisation, the first two ReLU6, the last no activation. With an expansion of 1 the first is left out,
    as in the authors' code.

    Args:
        in_channels: 1 to 2^16.
        out_channels: 1 to 2^16.
        stride: of the depthwise convolution, at least 1.
        expansion: the paper's t: channels of the depthwise convolution / in_channels; in_channels * expansion is at
            most 2^16.

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, out_channels, ceil(height / stride), ceil(width / stride)]`;
        a `Residual` if the stride is 1 and both widths are equal, otherwise without a shortcut.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 1 and figure 4d.

    Example:
        >>> type(mobilenet_v2(24, 24)).__name__, type(mobilenet_v2(24, 32)).__name__
        ('Residual', 'Sequential')
    """
    in_channels, out_channels, stride, expansion = counts(
        in_channels=in_channels, out_channels=out_channels, stride=stride, expansion=expansion
    )
    (width,) = counts(**{"in_channels * expansion": in_channels * expansion})
    body = nn.Sequential(
        *([] if expansion == 1 else [conv_norm(in_channels, width, activation=nn.ReLU6)]),
        conv_norm(width, width, 3, stride, groups=width, activation=nn.ReLU6),
        conv_norm(width, out_channels, activation=None),
    )
    return Residual(body) if stride == 1 and in_channels == out_channels else body
