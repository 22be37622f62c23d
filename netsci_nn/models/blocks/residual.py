"""Modules with a way past them: highway, residual, bottleneck, ResNeXt."""

from torch import nn

from netsci_nn.checks import check_real
from netsci_nn.errors import ConfigError
from netsci_nn.models.blocks.parts import Highway, Residual, check_odd, conv_norm, conv_relu, counts, projection


def highway(channels: int, kernel_size: int = 3, gate_bias: float = -2.0) -> Highway:
    """Return y = T * H + (1 - T) * x, where H is a convolution with ReLU, and T one with a sigmoid.

    Args:
        channels: of input and output, 1 to 2^16.
        kernel_size: of both convolutions, odd.
        gate_bias: from which the biases of T start; a negative one lets x pass at first. The paper has -1 to -3.

    Returns:
        A module from `[n, channels, height, width]` to the same shape.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: Srivastava, Greff and Schmidhuber 2015, "Highway networks", equation 3 and section 2.2.

    Example:
        >>> highway(16).gate[0].bias.unique()
        tensor([-2.], grad_fn=<Unique2Backward0>)
    """
    channels, kernel_size = counts(channels=channels, kernel_size=kernel_size)
    check_odd("kernel_size", kernel_size)
    start = check_real("gate_bias", gate_bias, lambda value: abs(value) <= 100, "in [-100, 100]", ConfigError)
    gate = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)
    nn.init.constant_(gate.bias, start)  # type: ignore[arg-type]
    return Highway(conv_relu(channels, channels, kernel_size), nn.Sequential(gate, nn.Sigmoid()))


def residual(in_channels: int, out_channels: int, stride: int = 1) -> Residual:
    """Return the module of ResNet-18 and ResNet-34: 3x3, 3x3, and a shortcut.

    Batch normalisations follow the convolutions, ReLU follows the first of them and the sum.

    Args:
        in_channels: 1 to 2^16.
        out_channels: 1 to 2^16.
        stride: of the first convolution, and of the shortcut's, at least 1.

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, out_channels, ceil(height / stride), ceil(width / stride)]`.
        The shortcut is a 1x1 convolution if shapes differ.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: He et al. 2016, "Deep residual learning for image recognition", figure 5 on the left, option B.

    Example:
        >>> import torch
        >>> residual(64, 128, stride=2)(torch.zeros(2, 64, 16, 16)).shape
        torch.Size([2, 128, 8, 8])
    """
    in_channels, out_channels, stride = counts(in_channels=in_channels, out_channels=out_channels, stride=stride)
    first = conv_norm(in_channels, out_channels, 3, stride)
    body = nn.Sequential(first, conv_norm(out_channels, out_channels, 3, activation=None))
    return Residual(body, projection(in_channels, out_channels, stride), nn.ReLU())


def bottleneck(in_channels: int, width: int, out_channels: int, stride: int = 1) -> Residual:
    """Return the module of ResNet-50 and deeper ones: 1x1 to a smaller width, 3x3, 1x1 back, and a shortcut.

    Batch normalisations follow the convolutions, ReLU follows the first two of them and the sum. The first convolution has the
    stride, as in the paper; many later ones have it in the second.

    Args:
        in_channels: 1 to 2^16.
        width: channels of the 3x3 convolution, 1 to 2^16; a quarter of `out_channels` in the paper.
        out_channels: 1 to 2^16.
        stride: of the first convolution, and of the shortcut's, at least 1.

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, out_channels, ceil(height / stride), ceil(width / stride)]`.
        The shortcut is a 1x1 convolution if shapes differ.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: He et al. 2016, "Deep residual learning for image recognition", figure 5 on the right, option B.

    Example:
        >>> import torch
        >>> bottleneck(256, 64, 256)(torch.zeros(2, 256, 14, 14)).shape
        torch.Size([2, 256, 14, 14])
    """
    in_channels, width, out_channels, stride = counts(
        in_channels=in_channels, width=width, out_channels=out_channels, stride=stride
    )
    reduced = conv_norm(in_channels, width, stride=stride)
    body = nn.Sequential(reduced, conv_norm(width, width, 3), conv_norm(width, out_channels, activation=None))
    return Residual(body, projection(in_channels, out_channels, stride), nn.ReLU())


def resnext(in_channels: int, out_channels: int, cardinality: int = 32, group_width: int = 4, stride: int = 1) -> Residual:
    """Return a bottleneck whose 3x3 convolution has groups: so many paths beside each other, each of a small width.

    Args:
        in_channels: 1 to 2^16.
        out_channels: 1 to 2^16.
        cardinality: number of groups, at least 1.
        group_width: channels of a group, at least 1; cardinality * group_width is at most 2^16.
        stride: of the 3x3 convolution, and of the shortcut's, at least 1.

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, out_channels, ceil(height / stride), ceil(width / stride)]`.
        The shortcut is a 1x1 convolution if shapes differ.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: Xie et al. 2017, "Aggregated residual transformations for deep neural networks", figure 3c; the defaults
        are its "32x4d".

    Example:
        >>> resnext(256, 256).body[1][0]
        Conv2d(128, 128, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=32, bias=False)
    """
    in_channels, out_channels, cardinality, group_width, stride = counts(
        in_channels=in_channels,
        out_channels=out_channels,
        cardinality=cardinality,
        group_width=group_width,
        stride=stride,
    )
    (width,) = counts(**{"cardinality * group_width": cardinality * group_width})
    grouped = conv_norm(width, width, 3, stride, groups=cardinality)
    body = nn.Sequential(conv_norm(in_channels, width), grouped, conv_norm(width, out_channels, activation=None))
    return Residual(body, projection(in_channels, out_channels, stride), nn.ReLU())
