"""Measures as functions: each takes whatever a user holds, and says what it cannot take."""

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
from bipartite_examples import random_graph, to_igraph, to_networkx, weighted
from scipy import sparse

import analysis
from analysis import AnalysisError
from analysis.base.quantity import Quantities
from analysis.graph.values import BipartiteGraph
from analysis.measures import clustering, community, nestedness, paths, persistence
from analysis.measures.cores import coreness
from analysis.measures.degree_correlation import degree_correlation
from analysis.measures.opsahl import opsahl_quantities
from analysis.measures.small_world import small_world
from analysis.measures.spectral import ramanujan_bound
from analysis.measures.weighted_clustering import ruzicka_clustering
from analysis.measures.wiring_length import wiring_length
from analysis.nulls.lattice import ring_lattice
from analysis.nulls.models import erdos_renyi, permuted_weights
from analysis.nulls.switching import fixed_degrees

GRAPH = weighted(random_graph(12, 9, 50, seed=1), 2)


class Topology:
    """Nothing but the four attributes, as `netsci_nn.BipartiteTopology` has them."""

    def __init__(self, graph: BipartiteGraph) -> None:
        self.n_in, self.n_out, self.src, self.dst, self.weights = graph.n_in, graph.n_out, graph.src, graph.dst, graph.weights


def kinds() -> dict[str, Any]:
    igraph, networkx = to_igraph(GRAPH), to_networkx(GRAPH)
    igraph.vs["type"] = [False] * GRAPH.n_in + [True] * GRAPH.n_out
    igraph.es["weight"] = GRAPH.weights
    assert GRAPH.weights is not None
    for s, t, w in zip(GRAPH.src.tolist(), GRAPH.dst.tolist(), GRAPH.weights.tolist(), strict=True):
        networkx[s][GRAPH.n_in + t]["weight"] = w
    matrix = sparse.csr_array((GRAPH.weights, (GRAPH.dst, GRAPH.src)), shape=(GRAPH.n_out, GRAPH.n_in))
    return {"igraph": igraph, "networkx": networkx, "scipy": matrix, "topology": Topology(GRAPH)}


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "butterflies": clustering.butterflies,
    "three_paths": clustering.three_paths,
    "robins_alexander": clustering.robins_alexander_clustering,
    "latapy": lambda graph: clustering.latapy_clustering(graph, "source").tolist(),
    "ruzicka": lambda graph: ruzicka_clustering(graph, "target")[0].tolist(),
    "modules": lambda graph: community.modules(graph, 0).source_labels.tolist(),
    "coreness": lambda graph: coreness(graph)[0].tolist(),
    "degree_correlation": degree_correlation,
    "nodf": nestedness.nodf,
    "spectral_nestedness": nestedness.spectral_nestedness,
    "opsahl": lambda graph: opsahl_quantities(graph, "source", np.random.default_rng(0)),
    "path_length": lambda graph: paths.average_path_length(graph, np.random.default_rng(0)),
    "efficiency": lambda graph: paths.global_efficiency(graph, np.random.default_rng(0)),
    "persistence": lambda graph: persistence.neural_persistence(graph, 10.0),
    "ramanujan_bound": ramanujan_bound,
    "small_world": lambda graph: small_world(graph, 0, nulls=2).sigma,
    "wiring_length": lambda graph: wiring_length(graph, (3, 4)),
    "erdos_renyi": lambda graph: erdos_renyi(graph, 0),
    "fixed_degrees": lambda graph: fixed_degrees(graph, 0),
    "permuted_weights": lambda graph: permuted_weights(graph, 0),
    "ring_lattice": lambda graph: ring_lattice(graph, 0),
} | {name: lambda graph, name=name: analysis.get_measure(name).layer(graph, 0) for name in analysis.measure_names()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_kind_of_graph_gives_the_same(name: str) -> None:
    expected = FUNCTIONS[name](GRAPH)
    for kind, graph in kinds().items():
        assert FUNCTIONS[name](graph) == expected, kind


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_no_layer_is_refused(name: str) -> None:
    with pytest.raises(AnalysisError, match=r"graph is a int; an igraph or networkx graph, a scipy sparse biadjacency"):
        FUNCTIONS[name](3)
    with pytest.raises(AnalysisError, match=r"graph has no vertex attribute 'bipartite'"):
        FUNCTIONS[name](nx.path_graph(4))


def test_a_registered_function_takes_any_graph_too() -> None:
    measure = analysis.get_measure("clustering")
    result: Quantities = clustering.clustering(kinds()["networkx"], 0)
    assert result == measure.layer(GRAPH, np.random.default_rng(0))
    assert clustering.clustering.__doc__ is not None
    with pytest.raises(AnalysisError, match=r"rng is 'x'; a seed"):
        clustering.clustering(GRAPH, "x")  # type: ignore[arg-type]
