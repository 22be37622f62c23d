"""The module of "Network in network": a convolution and a small perceptron at every position."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from netsci_nn.checks import as_list
from netsci_nn.errors import ConfigError, shown
from netsci_nn.models.blocks.parts import check_odd, conv_relu, counts


def mlpconv(in_channels: int, widths: Sequence[int], kernel_size: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution that 1x1 convolutions follow, each with a bias and ReLU.

    Args:
        in_channels: 1 to 2^16.
        widths: output channels of the convolution and of every 1x1 convolution after it, each 1 to 2^16. The paper has two of
            them, as in (192, 160, 96).
        kernel_size: of the first convolution, odd.
        stride: of the first convolution.

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, widths[-1], ceil(height / stride), ceil(width / stride)]`.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: Lin, Chen and Yan 2013, "Network in network", section 3.1.

    Example:
        >>> import torch
        >>> mlpconv(3, (192, 160, 96), kernel_size=5)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 96, 32, 32])
    """
    given = as_list(widths)
    if not given:
        raise ConfigError(f"widths is {shown(widths)}; it must be a sequence of at least one number of channels")
    in_channels, kernel_size, stride = counts(in_channels=in_channels, kernel_size=kernel_size, stride=stride)
    check_odd("kernel_size", kernel_size)
    sizes = counts(**{f"widths[{i}]": width for i, width in enumerate(given)})
    return nn.Sequential(conv_relu(in_channels, sizes[0], kernel_size, stride), *(conv_relu(*pair) for pair in pairwise(sizes)))
