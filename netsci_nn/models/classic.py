"""Five networks of ImageNet as their papers have them: AlexNet, OverFeat, VGG-16, GoogLeNet, ResNet-50.

There are no weights of them here; they are for counting (`netsci_nn.models.cost`) and for sparse training. Built under
`torch.device("meta")`, they allocate nothing.
"""

from functools import partial
from itertools import pairwise

from torch import nn

from netsci_nn.models.blocks import bottleneck, inception_v1
from netsci_nn.models.blocks.parts import conv_norm, conv_relu, counts


def alexnet(n_classes: int = 1000) -> nn.Sequential:
    """Return AlexNet with the two halves of its second, fourth and fifth convolution, which were on two GPUs, as groups.

    Args:
        n_classes: 1 to 2^16.

    Returns:
        A module from `[n, 3, 227, 227]` to logits `[n, n_classes]`. The paper says 224, with which its maps of 55 x 55 do not
        come out.

    Raises:
        ConfigError: if `n_classes` is not allowed.

    Source: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks", section 3.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     alexnet()(torch.zeros(1, 3, 227, 227)).shape
        torch.Size([1, 1000])
    """
    (n_classes,) = counts(n_classes=n_classes)
    norm = partial(nn.LocalResponseNorm, 5, alpha=5e-4, beta=0.75, k=2.0)  # torch divides alpha by the 5 channels
    first = [nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)]
    second = [nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)]
    third = [nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()]
    fourth = [nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()]
    fifth = [nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    return nn.Sequential(*first, *second, *third, *fourth, *fifth, *_classifier(256 * 6 * 6, 4096, 4096, n_classes))


def overfeat(n_classes: int = 1000) -> nn.Sequential:
    """Return the fast model of OverFeat.

    Args:
        n_classes: 1 to 2^16.

    Returns:
        A module from `[n, 3, 231, 231]` to logits `[n, n_classes]`.

    Raises:
        ConfigError: if `n_classes` is not allowed.

    Source: Sermanet et al. 2014, "OverFeat: integrated recognition, localization and detection using convolutional networks",
        table 1.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     overfeat()(torch.zeros(1, 3, 231, 231)).shape
        torch.Size([1, 1000])
    """
    (n_classes,) = counts(n_classes=n_classes)
    first = [nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(96, 256, 5), nn.ReLU(), nn.MaxPool2d(2)]
    others = [conv_relu(a, b, 3) for a, b in pairwise([256, 512, 1024, 1024])]
    return nn.Sequential(*first, *second, *others, nn.MaxPool2d(2), *_classifier(1024 * 6 * 6, 3072, 4096, n_classes))


def vgg16(n_classes: int = 1000) -> nn.Sequential:
    """Return VGG-16: configuration D of its paper.

    Args:
        n_classes: 1 to 2^16.

    Returns:
        A module from `[n, 3, 224, 224]` to logits `[n, n_classes]`.

    Raises:
        ConfigError: if `n_classes` is not allowed.

    Source: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", table 1.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     vgg16()(torch.zeros(1, 3, 224, 224)).shape
        torch.Size([1, 1000])
    """
    (n_classes,) = counts(n_classes=n_classes)
    body, width = nn.Sequential(), 3
    for out, n_convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        body.extend([conv_relu(a, b, 3) for a, b in pairwise([width, *[out] * n_convolutions])])
        body.append(nn.MaxPool2d(2))
        width = out
    return body.extend(_classifier(512 * 7 * 7, 4096, 4096, n_classes))


def googlenet(n_classes: int = 1000, ceil_mode: bool = True) -> nn.Sequential:
    """Return GoogLeNet without the auxiliary heads, which serve training only.

    Args:
        n_classes: 1 to 2^16.
        ceil_mode: whether pooling rounds sizes up, which gives the paper's maps of 56, 28, 14 and 7; rounded down they are 55,
            27, 13 and 6.

    Returns:
        A module from `[n, 3, 224, 224]` to logits `[n, n_classes]`.

    Raises:
        ConfigError: if `n_classes` is not allowed.

    Source: Szegedy et al. 2015, "Going deeper with convolutions", table 1.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     googlenet()(torch.zeros(1, 3, 224, 224)).shape
        torch.Size([1, 1000])
    """
    (n_classes,) = counts(n_classes=n_classes)
    pool = partial(nn.MaxPool2d, 3, 2, ceil_mode=ceil_mode)
    stem = [conv_relu(3, 64, 7, 2), pool(), nn.LocalResponseNorm(5)]
    second = [conv_relu(64, 64), conv_relu(64, 192, 3), nn.LocalResponseNorm(5), pool()]
    third = [inception_v1(192, 64, 96, 128, 16, 32, 32), inception_v1(256, 128, 128, 192, 32, 96, 64), pool()]
    fourth = [
        inception_v1(480, 192, 96, 208, 16, 48, 64),
        inception_v1(512, 160, 112, 224, 24, 64, 64),
        inception_v1(512, 128, 128, 256, 24, 64, 64),
        inception_v1(512, 112, 144, 288, 32, 64, 64),
        inception_v1(528, 256, 160, 320, 32, 128, 128),
        pool(),
    ]
    fifth = [inception_v1(832, 256, 160, 320, 32, 128, 128), inception_v1(832, 384, 192, 384, 48, 128, 128)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(1024, n_classes)]
    return nn.Sequential(*stem, *second, *third, *fourth, *fifth, *head)


def resnet50(n_classes: int = 1000) -> nn.Sequential:
    """Return ResNet-50 as in its paper: the first convolution of a bottleneck has the stride.

    Args:
        n_classes: 1 to 2^16.

    Returns:
        A module from `[n, 3, height, width]` to logits `[n, n_classes]`; the paper has 224 x 224.

    Raises:
        ConfigError: if `n_classes` is not allowed.

    Source: He et al. 2016, "Deep residual learning for image recognition", table 1.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     resnet50()(torch.zeros(1, 3, 224, 224)).shape
        torch.Size([1, 1000])
    """
    (n_classes,) = counts(n_classes=n_classes)
    body, width = nn.Sequential(conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)), 64
    for stage, n_blocks in enumerate((3, 4, 6, 3)):
        inner = 64 * 2**stage
        for block in range(n_blocks):
            body.append(bottleneck(width, inner, 4 * inner, stride=2 if stage > 0 and block == 0 else 1))
            width = 4 * inner
    return body.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, n_classes)])


def _classifier(n_in: int, n_first: int, n_second: int, n_classes: int) -> list[nn.Module]:
    """Return two fully connected layers with dropout before them, and the last one."""
    first = [nn.Flatten(), nn.Dropout(), nn.Linear(n_in, n_first), nn.ReLU()]
    return [*first, nn.Dropout(), nn.Linear(n_first, n_second), nn.ReLU(), nn.Linear(n_second, n_classes)]
