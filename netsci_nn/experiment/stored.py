"""The generator `stored`: a topology read from a file."""

from os import PathLike

from netsci_nn.errors import TopologyError
from netsci_nn.topology import BipartiteTopology, load_topology


def stored(n_in: int, n_out: int, *, path: str | PathLike[str]) -> BipartiteTopology:
    """Return the topology in a file of `netsci_nn.topology.save_topology`; a TopologyError if it has other sizes."""
    topology = load_topology(path)
    if (topology.n_in, topology.n_out) != (n_in, n_out):
        raise TopologyError(
            f"path {str(path)!r} holds a layer of {topology.n_in} x {topology.n_out} neurons; it must be {n_in} x {n_out}"
        )
    return topology
