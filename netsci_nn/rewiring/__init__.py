"""Rules that change the edges of a layer while it trains.

A rule answers *which* edges go and come, as an `EdgeDelta`; `apply_delta` changes layer and optimiser together; *when* is
the training callback's business. A new rule is one file here: a class with `propose` under
`@REWIRERS.register("its_name")`, imported below.
"""

from netsci_nn.rewiring.apply import apply_delta
from netsci_nn.rewiring.ba_deep_r import PreferentialDeepR
from netsci_nn.rewiring.deep_r import DeepR
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.rule import (
    REWIRERS,
    ArrayRewirer,
    LayerArrays,
    Memory,
    Rewirer,
    RewiringStatistics,
    layer_arrays,
    learning_rate_of,
)
from netsci_nn.rewiring.set import SparseEvolution
from netsci_nn.rewiring.soft_deep_r import SoftDeepR
from netsci_nn.rewiring.weight_change import WeightChange

__all__ = [
    "REWIRERS",
    "ArrayRewirer",
    "DeepR",
    "EdgeDelta",
    "LayerArrays",
    "Memory",
    "PreferentialDeepR",
    "Rewirer",
    "RewiringStatistics",
    "SoftDeepR",
    "SparseEvolution",
    "WeightChange",
    "apply_delta",
    "layer_arrays",
    "learning_rate_of",
]
