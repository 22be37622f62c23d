"""Stacks of layers, and the graph of a whole network."""

from netsci_nn.models.mlp import SparseMLP, dense_mlp
from netsci_nn.models.network import network_graph, sparse_layers
from netsci_nn.models.sparsify import sparsify

__all__ = ["SparseMLP", "dense_mlp", "network_graph", "sparse_layers", "sparsify"]
