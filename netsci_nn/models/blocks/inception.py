"""Inception modules: branches with kernels of different sizes beside each other."""

from itertools import pairwise

from torch import nn

from netsci_nn.models.blocks.parts import Concatenate, check_odd, conv_norm, conv_relu, counts


def inception_v1(
    in_channels: int, out_1x1: int, reduce_3x3: int, out_3x3: int, reduce_5x5: int, out_5x5: int, out_pool: int
) -> Concatenate:
    """Return the module of GoogLeNet: 1x1 | 1x1, 3x3 | 1x1, 5x5 | max-pooling, 1x1; every convolution has a bias and ReLU.

    Args:
        in_channels: 1 to 2^16, as all that follow.
        out_1x1: output channels of the branch of one 1x1 convolution.
        reduce_3x3: channels to which a 1x1 convolution reduces the input of the 3x3 convolution.
        out_3x3: output channels of the 3x3 convolution.
        reduce_5x5: likewise.
        out_5x5: likewise.
        out_pool: output channels of the 1x1 convolution after pooling.

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, out_1x1 + out_3x3 + out_5x5 + out_pool, height, width]`.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: Szegedy et al. 2015, "Going deeper with convolutions", figure 2b; the arguments have the order of its table 1.

    Example:
        >>> import torch
        >>> inception_v1(192, 64, 96, 128, 16, 32, 32)(torch.zeros(2, 192, 28, 28)).shape
        torch.Size([2, 256, 28, 28])
    """
    in_channels, out_1x1, reduce_3x3, out_3x3, reduce_5x5, out_5x5, out_pool = counts(
        in_channels=in_channels,
        out_1x1=out_1x1,
        reduce_3x3=reduce_3x3,
        out_3x3=out_3x3,
        reduce_5x5=reduce_5x5,
        out_5x5=out_5x5,
        out_pool=out_pool,
    )
    return Concatenate(
        conv_relu(in_channels, out_1x1),
        nn.Sequential(conv_relu(in_channels, reduce_3x3), conv_relu(reduce_3x3, out_3x3, 3)),
        nn.Sequential(conv_relu(in_channels, reduce_5x5), conv_relu(reduce_5x5, out_5x5, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_relu(in_channels, out_pool)),
    )


def inception_v3(
    in_channels: int, out_1x1: int, reduce: int, out_single: int, out_double: int, out_pool: int, n: int | None = None
) -> Concatenate:
    """Return a factorised Inception module: 1x1 | 1x1, K | 1x1, K, K | average pooling, 1x1.

    K is a 3x3 convolution, of which two stand in the place of one of 5x5; or, with `n`, one of 1xn and one of nx1, in the place
    of one of nxn. Every convolution has a batch normalisation and ReLU. All convolutions of a branch but the last keep the
    width `reduce`, about which the paper says nothing.

    Args:
        in_channels: 1 to 2^16, as all that follow.
        out_1x1: output channels of the branch of one 1x1 convolution.
        reduce: channels to which 1x1 convolutions reduce the input of K.
        out_single: output channels of the branch with one K.
        out_double: output channels of the branch with two.
        out_pool: output channels of the 1x1 convolution after pooling.
        n: odd; None for 3x3 convolutions. The paper has n = 7 on maps of 17 x 17.

    Returns:
        A module from `[n, in_channels, height, width]` to `[n, out_1x1 + out_single + out_double + out_pool, height, width]`.

    Raises:
        ConfigError: if an argument is not allowed.

    Source: Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", figures 5 and 6.

    Example:
        >>> import torch
        >>> inception_v3(768, 192, 128, 192, 192, 192, n=7)(torch.zeros(2, 768, 17, 17)).shape
        torch.Size([2, 768, 17, 17])
    """
    in_channels, out_1x1, reduce, out_single, out_double, out_pool = counts(
        in_channels=in_channels,
        out_1x1=out_1x1,
        reduce=reduce,
        out_single=out_single,
        out_double=out_double,
        out_pool=out_pool,
    )
    size = 3 if n is None else counts(n=n)[0]
    check_odd("n", size)
    kernels = [(3, 3)] if n is None else [(1, size), (size, 1)]

    def branch(n_kernels: int, width: int) -> nn.Sequential:
        widths = [*[reduce] * (len(kernels) * n_kernels), width]
        convs = [conv_norm(a, b, kernel) for (a, b), kernel in zip(pairwise(widths), kernels * n_kernels, strict=True)]
        return nn.Sequential(conv_norm(in_channels, reduce), *convs)

    pool = nn.Sequential(nn.AvgPool2d(3, 1, 1), conv_norm(in_channels, out_pool))
    return Concatenate(conv_norm(in_channels, out_1x1), branch(1, out_single), branch(2, out_double), pool)
