"""Stacks of layers, and the graph of a whole network."""

from netsci_nn.models.dense import to_dense
from netsci_nn.models.masks import from_masks
from netsci_nn.models.mlp import SparseMLP, dense_mlp
from netsci_nn.models.sparsify import sparsify
from netsci_nn.models.walk import linear_layers, sparse_layers
from netsci_nn.models.wiring import network_graph

__all__ = [
    "SparseMLP",
    "dense_mlp",
    "from_masks",
    "linear_layers",
    "network_graph",
    "sparse_layers",
    "sparsify",
    "to_dense",
]
