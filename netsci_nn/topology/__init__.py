"""`BipartiteTopology`, the value that a graph and a layer share; its conversions and its files.

The value knows edges and nothing else. What needs igraph, networkx, scipy or the disk are functions of `convert` and
`formats`, which the end of this file makes methods of the value.
"""

from netsci_nn.topology import methods
from netsci_nn.topology.arrays import ArrayLike, BoolArray, Float64Array, FloatArray, Int32Array, Int64Array, IntArray, as_array
from netsci_nn.topology.convert import (
    WeightedTopology,
    from_edges,
    from_igraph,
    from_mask,
    from_networkx,
    from_scipy,
    graph_edges,
    network_to_igraph,
    to_igraph,
    to_mask,
    to_networkx,
    to_scipy,
    to_torch_mask,
)
from netsci_nn.topology.formats import (
    check_format,
    load_network,
    load_topology,
    load_weighted,
    save_network,
    save_topology,
)
from netsci_nn.topology.value import BipartiteTopology
from netsci_nn.topology.wiring import WiredLayer, Wiring
from netsci_nn.topology.wiring_file import load_wiring, save_wiring

__all__ = [
    "ArrayLike",
    "BipartiteTopology",
    "BoolArray",
    "Float64Array",
    "FloatArray",
    "Int32Array",
    "Int64Array",
    "IntArray",
    "WeightedTopology",
    "WiredLayer",
    "Wiring",
    "as_array",
    "check_format",
    "from_edges",
    "from_igraph",
    "from_mask",
    "from_networkx",
    "from_scipy",
    "graph_edges",
    "load_network",
    "load_topology",
    "load_weighted",
    "load_wiring",
    "network_to_igraph",
    "save_network",
    "save_topology",
    "save_wiring",
    "to_igraph",
    "to_mask",
    "to_networkx",
    "to_scipy",
    "to_torch_mask",
]

methods.bind()
