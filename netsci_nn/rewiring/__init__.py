"""Rules that change the edges of a layer while it trains.

A rule answers *which* edges go and come, as an `EdgeDelta`; `apply_delta` changes layer and optimiser together; *when* is
the training callback's business. A new rule is one file here: a class with `propose` under
`@REWIRERS.register("its_name")`, imported below.
"""

from netsci_nn.rewiring.apply import apply_delta
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.rule import REWIRERS, ArrayRewirer, LayerArrays, Rewirer, RewiringStatistics
from netsci_nn.rewiring.set import SparseEvolution

__all__ = [
    "REWIRERS",
    "ArrayRewirer",
    "EdgeDelta",
    "LayerArrays",
    "Rewirer",
    "RewiringStatistics",
    "SparseEvolution",
    "apply_delta",
]
