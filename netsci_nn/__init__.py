"""Neural networks whose sparse layers are bipartite graphs: graph models generate them, training rewires them."""

from netsci_nn import allocation, generators, pruning, rewiring
from netsci_nn.errors import CheckpointError, ConfigError, DataError, TopologyError
from netsci_nn.layers import SparseLinear
from netsci_nn.models import SparseMLP, SparsifySummary, dense_mlp, network_graph, parameter_groups, sparsify
from netsci_nn.topology import BipartiteTopology

__all__ = [
    "BipartiteTopology",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "SparseLinear",
    "SparseMLP",
    "SparsifySummary",
    "TopologyError",
    "allocation",
    "dense_mlp",
    "generators",
    "network_graph",
    "parameter_groups",
    "pruning",
    "rewiring",
    "sparsify",
]
