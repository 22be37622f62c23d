"""The module of Xception: separable convolutions beside a shortcut."""

from itertools import pairwise

from torch import nn

from netsci_nn.models.blocks.parts import Residual, counts, projection


def xception(in_channels: int, out_channels: int, n_convolutions: int = 3, stride: int = 1) -> Residual:
    """Return separable convolutions, each after ReLU and before a batch normalisation, with a residual shortcut.

    A separable convolution is a depthwise one of 3x3 and a pointwise one of 1x1, with nothing between them. The survey has them
    the other way round, as in the paper's figure 4; this is the order of its figure 5 and of its author's code. With a stride,
    max-pooling follows.

    Args:
        in_channels: 1 to 2^16.
        out_channels: 1 to 2^16.
        n_convolutions: separable convolutions, at least 1: 3 in the paper's middle flow, 2 in its entry flow.
        stride: of the pooling and of the shortcut's convolution, at least 1.

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, out_channels, ceil(height / stride), ceil(width / stride)]`.
        The shortcut is a 1x1 convolution if shapes differ.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: Chollet 2017, "Xception: deep learning with depthwise separable convolutions", figure 5.

    Example:
        >>> import torch
        >>> xception(64, 128, n_convolutions=2, stride=2)(torch.zeros(2, 64, 16, 16)).shape
        torch.Size([2, 128, 8, 8])
    """
    in_channels, out_channels, n_convolutions, stride = counts(
        in_channels=in_channels, out_channels=out_channels, n_convolutions=n_convolutions, stride=stride
    )
    body = nn.Sequential()
    for a, b in pairwise([in_channels, *[out_channels] * n_convolutions]):
        depthwise = nn.Conv2d(a, a, 3, padding=1, groups=a, bias=False)
        body.extend([nn.ReLU(), depthwise, nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b)])
    if stride > 1:
        body.append(nn.MaxPool2d(3, stride, 1))
    return Residual(body, projection(in_channels, out_channels, stride))
