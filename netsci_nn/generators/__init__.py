"""Graph models that generate the topology of a layer: sizes, an edge budget and a seed in, a `BipartiteTopology` out.

Every generator has the signature `model(n_in, n_out, *, n_edges=None, density=None, rng, **parameters)`, returns exactly
the requested number of edges without duplicates, and gives the same edges for the same seed on every platform.
A new model is one file here: a function with that signature under `@GENERATORS.register("its_name")`, imported below.
"""

from netsci_nn.generators.barabasi_albert import barabasi_albert
from netsci_nn.generators.budget import GENERATORS, Generator, resolve_n_edges
from netsci_nn.generators.erdos_renyi import erdos_renyi
from netsci_nn.generators.input_weighted import input_weighted
from netsci_nn.generators.small_world import small_world

__all__ = [
    "GENERATORS",
    "Generator",
    "barabasi_albert",
    "erdos_renyi",
    "input_weighted",
    "resolve_n_edges",
    "small_world",
]
