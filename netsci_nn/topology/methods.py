"""The methods of a topology that need another library or the disk: the functions of `convert` and `formats`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsci_nn.topology import convert, formats

if TYPE_CHECKING:
    import igraph
    import networkx
    import scipy.sparse

    from netsci_nn.topology.value import BipartiteTopology


class Methods:
    """Given to `BipartiteTopology` by `netsci_nn.topology`; for type checkers and readers, a base of it."""

    to_igraph = convert.to_igraph
    to_networkx = convert.to_networkx
    to_scipy = convert.to_scipy
    to_mask = convert.to_mask
    from_mask = staticmethod(convert.from_mask)
    save = formats.save_topology
    load = staticmethod(formats.load_topology)

    @staticmethod
    def from_igraph(graph: igraph.Graph) -> BipartiteTopology:
        """Build from a bipartite igraph graph (see `netsci_nn.topology.from_igraph`, which also gives the weights)."""
        return convert.from_igraph(graph).topology

    @staticmethod
    def from_networkx(graph: networkx.Graph) -> BipartiteTopology:
        """Build from a bipartite networkx graph (see `netsci_nn.topology.from_networkx`, which also gives the weights)."""
        return convert.from_networkx(graph).topology

    @staticmethod
    def from_scipy(matrix: scipy.sparse.sparray | scipy.sparse.spmatrix) -> BipartiteTopology:
        """Build from the stored entries of a scipy sparse matrix `[n_out, n_in]` (see `netsci_nn.topology.from_scipy`)."""
        return convert.from_scipy(matrix).topology
