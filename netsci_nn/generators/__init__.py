"""Graph models that generate the topology of a layer from its sizes, a number of edges and a seed; one model per file.

Most generators have the signature `model(n_in, n_out, *, n_edges=None, density=None, rng, **parameters)` and return exactly
the requested number of edges without duplicates. Models whose structure fixes the number of edges take neither of the two,
and deterministic ones take no `rng`; `call` passes to a model what it takes. The same seed gives the same edges on every
platform. A new model is one file here: a function under `@GENERATORS.register("its_name")`, imported below.
"""

from netsci_nn.generators.barabasi_albert import barabasi_albert
from netsci_nn.generators.brf import brf
from netsci_nn.generators.bsf import bsf
from netsci_nn.generators.bsw import bsw
from netsci_nn.generators.configuration import configuration_model
from netsci_nn.generators.constant_fan import constant_fan_in, constant_fan_out
from netsci_nn.generators.csti import csti
from netsci_nn.generators.depthwise import depthwise
from netsci_nn.generators.erdos_renyi import erdos_renyi
from netsci_nn.generators.from_graph import from_graph
from netsci_nn.generators.grouped import grouped
from netsci_nn.generators.input_weighted import input_weighted
from netsci_nn.generators.low_rank import low_rank
from netsci_nn.generators.power_law import truncated_power_law
from netsci_nn.generators.protocol import GENERATORS, Generator, call, resolve_n_edges
from netsci_nn.generators.regular import regular
from netsci_nn.generators.relational import relational
from netsci_nn.generators.shuffle import shuffle
from netsci_nn.generators.small_world import small_world
from netsci_nn.generators.stochastic_block import stochastic_block
from netsci_nn.generators.trades import Mixing, mixing, trade_edges
from netsci_nn.registry import check_parameters, takes

__all__ = [
    "GENERATORS",
    "Generator",
    "Mixing",
    "barabasi_albert",
    "brf",
    "bsf",
    "bsw",
    "call",
    "check_parameters",
    "configuration_model",
    "constant_fan_in",
    "constant_fan_out",
    "csti",
    "depthwise",
    "erdos_renyi",
    "from_graph",
    "grouped",
    "input_weighted",
    "low_rank",
    "mixing",
    "regular",
    "relational",
    "resolve_n_edges",
    "shuffle",
    "small_world",
    "stochastic_block",
    "takes",
    "trade_edges",
    "truncated_power_law",
]
