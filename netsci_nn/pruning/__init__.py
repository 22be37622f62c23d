"""Which weights of a trained or untrained model are kept, and the sparse model that has only these.

A criterion scores every weight; `prune` keeps the highest of each layer, as topologies; `restrict` puts a model's weights on
them; *when*, and what is trained between, is the caller's business. A new criterion is one file here: a function of the
model under `@PRUNERS.register("its_name")`, imported below.
"""

from netsci_nn.pruning.criterion import PRUNERS, Criterion, LinearLayer, linear_layers, strengths_of
from netsci_nn.pruning.magnitude import magnitude
from netsci_nn.pruning.prune import prune, restrict, round_densities

__all__ = [
    "PRUNERS",
    "Criterion",
    "LinearLayer",
    "linear_layers",
    "magnitude",
    "prune",
    "restrict",
    "round_densities",
    "strengths_of",
]
