"""Rules that change the edges of a layer while it trains.

A rule answers *which* edges go and come, as an `EdgeDelta`, from an `EdgeView`; `apply_delta` changes layer and optimiser
together; *when* is the business of `Rewiring`, the driver. A new rule is one file here: a class with `propose` under
`@REWIRERS.register("its_name")`, imported below.
"""

from netsci_nn.rewiring.apply import apply_delta, parameter_group
from netsci_nn.rewiring.ba_deep_r import PreferentialDeepR
from netsci_nn.rewiring.chain_removal import ChainRemoval, chain_removal
from netsci_nn.rewiring.deep_r import DeepR
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.dense_gradient import DenseGradient
from netsci_nn.rewiring.driver import Rewiring
from netsci_nn.rewiring.drop import DROPS, Drop
from netsci_nn.rewiring.drop_and_grow import DropAndGrow
from netsci_nn.rewiring.dsr import DynamicSparseReparameterization
from netsci_nn.rewiring.gmp import gmp
from netsci_nn.rewiring.granet import GraNet
from netsci_nn.rewiring.growth import GROWTHS, Growth
from netsci_nn.rewiring.link_prediction import LinkScores, ch2_l3n, ch2_l3p, ch3_l3n, ch3_l3p
from netsci_nn.rewiring.live_layer import LiveLayer, ModuleLayer
from netsci_nn.rewiring.merge import MergedEdges, merge_edges
from netsci_nn.rewiring.mest import mest
from netsci_nn.rewiring.relative_importance import relative_importance
from netsci_nn.rewiring.rigl import RigL
from netsci_nn.rewiring.rule import NEEDS, REWIRERS, Rewirer, seen_by
from netsci_nn.rewiring.soft_deep_r import SoftDeepR
from netsci_nn.rewiring.sparse_evolution import SparseEvolution
from netsci_nn.rewiring.view import EdgeView, Memory, edge_view
from netsci_nn.rewiring.weight_change import WeightChange

__all__ = [
    "DROPS",
    "GROWTHS",
    "NEEDS",
    "REWIRERS",
    "ChainRemoval",
    "DeepR",
    "DenseGradient",
    "Drop",
    "DropAndGrow",
    "DynamicSparseReparameterization",
    "EdgeDelta",
    "EdgeView",
    "GraNet",
    "Growth",
    "LinkScores",
    "LiveLayer",
    "Memory",
    "MergedEdges",
    "ModuleLayer",
    "PreferentialDeepR",
    "Rewirer",
    "Rewiring",
    "RigL",
    "SoftDeepR",
    "SparseEvolution",
    "WeightChange",
    "apply_delta",
    "ch2_l3n",
    "ch2_l3p",
    "ch3_l3n",
    "ch3_l3p",
    "chain_removal",
    "edge_view",
    "gmp",
    "merge_edges",
    "mest",
    "parameter_group",
    "relative_importance",
    "seen_by",
]
