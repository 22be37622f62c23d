"""How uneven degrees are: closed forms, definitions written out, and what is not defined."""

import numpy as np
import pytest
from bipartite_examples import bipartite_graphs, complete, from_edges, values_of
from hypothesis import given, settings
from scipy import stats

from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.degree import degree_entropy, degree_quantities, gini, layer_degrees, moment_ratio, network_degrees

RNG = np.random.default_rng(0)
COMMON = settings(deadline=None, max_examples=60, derandomize=True)
NAMES = ("max_to_mean", "kappa", "gini", "entropy", "entropy_normalised")


@COMMON
@given(bipartite_graphs())
def test_definitions_written_out(graph: BipartiteGraph) -> None:
    for degrees in (graph.out_degrees, graph.in_degrees):
        if degrees.sum() == 0:
            continue
        n, mean = degrees.size, degrees.mean()
        assert moment_ratio(degrees).value == pytest.approx((degrees**2).mean() / mean, rel=1e-12)
        pairs = np.abs(degrees[:, None] - degrees[None, :]).sum()
        assert gini(degrees).value == pytest.approx(pairs / (2 * n * n * mean), abs=1e-12)
        assert degree_entropy(degrees).value == pytest.approx(stats.entropy(degrees), abs=1e-12)
        values = values_of(degree_quantities("k", degrees))
        assert values["k_max_to_mean"] == pytest.approx(degrees.max() / mean, rel=1e-12)
        if n > 1:
            assert values["k_entropy_normalised"] == pytest.approx(stats.entropy(degrees) / np.log(n), abs=1e-12)


@COMMON
@given(bipartite_graphs())
def test_ranges(graph: BipartiteGraph) -> None:
    for degrees in (graph.out_degrees, graph.in_degrees):
        values = values_of(degree_quantities("k", degrees))
        if degrees.sum():
            assert (values["k_max_to_mean"] or 0) >= 1
            assert degrees.mean() - 1e-12 <= (values["k_kappa"] or 0) <= degrees.max() + 1e-12
            assert 0 <= (values["k_gini"] or 0) <= 1 - 1 / degrees.size
            assert 0 <= (values["k_entropy"] or 0) <= np.log(degrees.size) + 1e-12


def test_regular_sides_are_even() -> None:
    values = values_of(layer_degrees(complete(5, 3), RNG))
    assert [values[f"source_degree_{name}"] for name in NAMES] == pytest.approx([1, 3, 0, np.log(5), 1], abs=1e-15)
    assert values["target_degree_kappa"] == 5


def test_one_hub_is_as_uneven_as_can_be() -> None:
    values = values_of(layer_degrees(from_edges(4, 6, [(2, t) for t in range(6)]), RNG))
    assert [values[f"source_degree_{name}"] for name in NAMES] == [4.0, 6.0, 0.75, 0.0, 0.0]


def test_what_is_not_defined() -> None:
    empty = layer_degrees(from_edges(3, 2, []), RNG)
    assert {empty[f"{side}_degree_{name}"].reason for side in ("source", "target") for name in NAMES} == {"every degree is 0"}
    single = layer_degrees(from_edges(1, 2, [(0, 0)]), RNG)
    assert single["source_degree_entropy"].value == 0.0
    assert single["source_degree_entropy_normalised"].reason == "there is one neuron only"


def test_network_counts_incoming_and_outgoing_edges_together() -> None:
    values = values_of(network_degrees(LayeredGraph((complete(2, 3), complete(3, 2))), RNG))
    # Degrees 3, 3, 4, 4, 4, 3, 3.
    assert values["degree_kappa"] == pytest.approx((4 * 9 + 3 * 16) / 24)
    assert values["degree_max_to_mean"] == pytest.approx(4 / (24 / 7))
