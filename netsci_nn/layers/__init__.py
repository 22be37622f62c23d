"""Modules that own weights and a topology: value k belongs to edge k."""

from netsci_nn.layers.activations import ACTIVATIONS
from netsci_nn.layers.linear import SparseLinear

__all__ = ["ACTIVATIONS", "SparseLinear"]
