"""The same seed gives the same edges, on every platform and in every version: digests recorded with version 0.1.0."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import igraph
import numpy as np
import pytest

from netsci_nn import BipartiteTopology
from netsci_nn.generators import GENERATORS, call, takes

RECORDED: dict[str, list[Any]] = json.loads((Path(__file__).parent / "edges_of_seeds.json").read_text())
WEIGHTS = np.abs(np.random.default_rng(5).normal(size=64)) + 0.01
INPUTS = np.random.default_rng(6).normal(size=(50, 64)).astype(np.float32)
GIVEN = GENERATORS["erdos_renyi"](40, 30, density=0.2, rng=3)
DEGREES = {"out_degrees": GIVEN.out_degrees.tolist(), "in_degrees": GIVEN.in_degrees.tolist()}

SINGLE: dict[str, Callable[[], BipartiteTopology]] = {
    "configuration_model": lambda: GENERATORS["configuration_model"](40, 30, **DEGREES, rng=5),
    "configuration_model swap": lambda: GENERATORS["configuration_model"](40, 30, **DEGREES, rng=6),
    "from_graph": lambda: GENERATORS["from_graph"](100, 50, graph=igraph.Graph.Ring(12), rng=5),
    "from_graph same": lambda: GENERATORS["from_graph"](40, 30, graph=GIVEN.to_igraph(), rng=5),
    "relational": lambda: GENERATORS["relational"](100, 50, n_nodes=10, degree=4, rewiring_probability=0.3, rng=3),
    "grouped": lambda: GENERATORS["grouped"](64, 48, n_groups=4),
    "shuffle": lambda: GENERATORS["shuffle"](64, 64, n_groups=4),
    "depthwise": lambda: GENERATORS["depthwise"](48, 48),
    "csti": lambda: GENERATORS["csti"](64, 64, density=0.1, inputs=INPUTS, rng=3),
    "urn": lambda: GENERATORS["barabasi_albert"](300, 100, density=0.05, mode="urn", rng=3),
}


def drawn(case: str) -> BipartiteTopology:
    """The topology of a recorded case: "more NAME", or "NAME (n_in, n_out) SEED" at a density of 0.1."""
    if case.startswith("more "):
        return SINGLE[case.removeprefix("more ")]()
    name, rest = case.split(" ", 1)
    n_in, n_out, seed = (int(number) for number in rest.replace("(", "").replace(")", "").replace(",", "").split())
    model, density = GENERATORS[name], 0.1 if takes(GENERATORS[name], "density") else None
    if name == "input_weighted":
        return model(n_in, n_out, density=density, weights=WEIGHTS, rng=seed)
    return call(model, n_in, n_out, density=density, rng=seed)


@pytest.mark.parametrize("case", RECORDED)
def test_the_edges_of_a_seed_are_those_of_0_1_0(case: str) -> None:
    topology = drawn(case)
    digest = hashlib.blake2b(digest_size=12)
    for ends in (topology.src, topology.dst):
        digest.update(np.ascontiguousarray(ends, dtype="<i8").tobytes())
    assert [topology.n_edges, digest.hexdigest()] == RECORDED[case]
