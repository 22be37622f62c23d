"""Stacks of layers, layers of any model made sparse, and the graph of a whole network."""

from netsci_nn.models import blocks, classic
from netsci_nn.models.attention import UnpackedAttention
from netsci_nn.models.cost import Cost, cost
from netsci_nn.models.dense import to_dense
from netsci_nn.models.gpt import GPT
from netsci_nn.models.masks import from_masks
from netsci_nn.models.mlp import SparseMLP, dense_mlp
from netsci_nn.models.named import MODELS
from netsci_nn.models.parameter_groups import parameter_groups
from netsci_nn.models.sparsify import sparsify
from netsci_nn.models.summary import SparsifySummary
from netsci_nn.models.walk import linear_layers, sparse_layers
from netsci_nn.models.wiring import network_graph

__all__ = [
    "GPT",
    "MODELS",
    "Cost",
    "SparseMLP",
    "SparsifySummary",
    "UnpackedAttention",
    "blocks",
    "classic",
    "cost",
    "dense_mlp",
    "from_masks",
    "linear_layers",
    "network_graph",
    "parameter_groups",
    "sparse_layers",
    "sparsify",
    "to_dense",
]
