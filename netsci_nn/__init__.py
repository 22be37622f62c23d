"""Neural networks whose sparse layers are bipartite graphs: graph models generate them, training rewires them."""

from typing import TYPE_CHECKING, Any

from netsci_nn import allocation, generators, pruning, rewiring
from netsci_nn.errors import CheckpointError, ConfigError, DataError, TopologyError
from netsci_nn.layers import SparseLinear
from netsci_nn.models import SparseMLP, dense_mlp, from_masks, network_graph, sparsify, to_dense
from netsci_nn.topology import BipartiteTopology

if TYPE_CHECKING:
    from netsci_nn.intake import load_pretrained

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
    "load_pretrained",
    "network_graph",
    "pruning",
    "rewiring",
    "sparsify",
    "to_dense",
]


def __getattr__(name: str) -> Any:
    """Return `load_pretrained`, whose room loads much that networks do not need, on its first use."""
    if name == "load_pretrained":
        from netsci_nn.intake import load_pretrained

        return load_pretrained
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
