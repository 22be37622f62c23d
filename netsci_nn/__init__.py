"""Neural networks whose sparse layers are bipartite graphs: graph models generate them, training rewires them."""

from netsci_nn import allocation, generators, pruning, rewiring
from netsci_nn.errors import CheckpointError, ConfigError, DataError, TopologyError
from netsci_nn.layers import SparseLinear
from netsci_nn.models import SparseMLP, dense_mlp, from_masks, network_graph, sparsify, to_dense
from netsci_nn.topology import BipartiteTopology

__all__ = [
    "BipartiteTopology",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "SparseLinear",
    "SparseMLP",
    "TopologyError",
    "allocation",
    "dense_mlp",
    "from_masks",
    "generators",
    "network_graph",
    "pruning",
    "rewiring",
    "sparsify",
    "to_dense",
]
