"""Elementwise activations by name; all keep the strides of their input, so a sparse stack stays feature-major."""

from collections.abc import Callable

from torch import nn

from netsci_nn.registry import Registry

ACTIVATIONS: Registry[Callable[[], nn.Module]] = Registry("activation")

for _name, _module in {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}.items():
    ACTIVATIONS.register(_name)(_module)
