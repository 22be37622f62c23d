"""The methods of a topology that need another library or the disk; importing the package binds them to the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsci_nn.topology import convert, formats
from netsci_nn.topology.value import BipartiteTopology

if TYPE_CHECKING:
    import igraph
    import networkx
    import scipy.sparse


def from_igraph(graph: igraph.Graph) -> BipartiteTopology:
    """Build from a bipartite igraph graph (see `netsci_nn.topology.from_igraph`, which also gives the weights)."""
    return convert.from_igraph(graph).topology


def from_networkx(graph: networkx.Graph) -> BipartiteTopology:
    """Build from a bipartite networkx graph (see `netsci_nn.topology.from_networkx`, which also gives the weights)."""
    return convert.from_networkx(graph).topology


def from_scipy(matrix: scipy.sparse.sparray | scipy.sparse.spmatrix) -> BipartiteTopology:
    """Build from the stored entries of a scipy sparse matrix `[n_out, n_in]` (see `netsci_nn.topology.from_scipy`)."""
    return convert.from_scipy(matrix).topology


def bind() -> None:
    """Make conversions and files methods of the value."""
    BipartiteTopology.to_igraph = convert.to_igraph
    BipartiteTopology.to_networkx = convert.to_networkx
    BipartiteTopology.to_scipy = convert.to_scipy
    BipartiteTopology.to_mask = convert.to_mask
    BipartiteTopology.save = formats.save_topology
    BipartiteTopology.from_igraph = staticmethod(from_igraph)
    BipartiteTopology.from_networkx = staticmethod(from_networkx)
    BipartiteTopology.from_scipy = staticmethod(from_scipy)
    BipartiteTopology.from_mask = staticmethod(convert.from_mask)
    BipartiteTopology.load = staticmethod(formats.load_topology)
