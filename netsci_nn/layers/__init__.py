"""Modules that own a topology and its weights: `weight[k]` belongs to edge k."""

from netsci_nn.layers.activations import ACTIVATIONS
from netsci_nn.layers.base import SparseLayer
from netsci_nn.layers.conv import SparseConv1d, SparseConv2d
from netsci_nn.layers.linear import SparseLinear
from netsci_nn.layers.normalisation import spectral_norm, weight_norm
from netsci_nn.layers.wrappers import watch_wrappers

__all__ = ["ACTIVATIONS", "SparseConv1d", "SparseConv2d", "SparseLayer", "SparseLinear", "spectral_norm", "weight_norm"]

watch_wrappers()
