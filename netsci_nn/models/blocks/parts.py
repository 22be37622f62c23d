"""What the modules are made of: three ways to join branches, convolutions with what follows them, and checks of sizes."""

from typing import Any

import torch
from torch import nn

from netsci_nn.checks import check_count
from netsci_nn.errors import ConfigError

MAX_CHANNELS = 2**16


class Residual(nn.Module):
    """y = activation(body(x) + shortcut(x)).

    Args:
        body: any module.
        shortcut: a module whose output has the shape of the body's; the identity if None.
        activation: what follows the sum; nothing if None.

    Source: He et al. 2016, "Deep residual learning for image recognition", equations 1 and 2.

    Example:
        >>> Residual(nn.Conv2d(4, 4, 3, padding=1))(torch.zeros(2, 4, 8, 8)).shape
        torch.Size([2, 4, 8, 8])
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut, self.activation = body, shortcut or nn.Identity(), activation or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the activated sum."""
        return self.activation(self.body(x) + self.shortcut(x))


class Concatenate(nn.Module):
    """The outputs of several branches for one input, one behind the other along the channels (dimension 1).

    Args:
        branches: modules whose outputs are equal in all other dimensions.

    Source: Szegedy et al. 2015, "Going deeper with convolutions".

    Example:
        >>> Concatenate(nn.Identity(), nn.Conv2d(4, 6, 1))(torch.zeros(2, 4, 8, 8)).shape
        torch.Size([2, 10, 8, 8])
    """

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the concatenated outputs."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Highway(nn.Module):
    """y = T(x) * H(x) + (1 - T(x)) * x.

    Args:
        transform: H, whose output has the shape of its input.
        gate: T, likewise, with values in [0, 1].

    Source: Srivastava, Greff and Schmidhuber 2015, "Highway networks", equation 3.

    Example:
        >>> half = nn.Threshold(1, 0.5)  # 0.5 for every number up to 1
        >>> Highway(nn.ReLU(), half)(torch.tensor([-1.0, 1.0]))
        tensor([-0.5000,  1.0000])
    """

    def __init__(self, transform: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.transform, self.gate = transform, gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what lies between x and its transform, as far as the gate is open."""
        return torch.lerp(x, self.transform(x), self.gate(x))


def conv_relu(in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1) -> nn.Sequential:
    """Return a convolution with a bias that keeps sizes at stride 1, and ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
    return nn.Sequential(conv, nn.ReLU())


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int] = 1,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Return a convolution without bias that keeps sizes at stride 1, its normalisation, and an activation."""
    kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    padding = (kernel[0] // 2, kernel[1] // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), *([] if activation is None else [activation()]))


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return the shortcut of a residual module: a 1x1 convolution where shapes differ, otherwise the identity."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return conv_norm(in_channels, out_channels, stride=stride, activation=None)


def counts(**values: Any) -> list[int]:
    """Return arguments, by name, as ints after checking that each is a whole number from 1 to 2^16."""
    return [check_count(name, value, 1, MAX_CHANNELS, error=ConfigError) for name, value in values.items()]


def check_odd(name: str, kernel_size: int) -> None:
    """Raise a ConfigError for a kernel that has no middle, with which the output would be larger than the input."""
    if kernel_size % 2 == 0:
        raise ConfigError(f"{name} is {kernel_size}; it must be odd, so that the output has the size of the input")
