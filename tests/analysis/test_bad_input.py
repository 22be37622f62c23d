"""Arguments that a measure cannot use are refused with one sentence, and what is undefined has the true reason."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, weighted
from scipy import sparse

from analysis import AnalysisError
from analysis.graph.singular import largest_singular_values
from analysis.graph.values import BipartiteGraph, LayeredGraph
from analysis.measures.clustering import latapy_clustering
from analysis.measures.degree import (
    binomial_cv,
    coefficient_of_variation,
    degree_entropy,
    degree_quantities,
    gini,
    moment_ratio,
)
from analysis.measures.opsahl import opsahl_quantities
from analysis.measures.persistence import network_persistence, neural_persistence
from analysis.measures.reachability import joined_pairs, log10_path_sum
from analysis.measures.registry import get_measure
from analysis.measures.rich_club import rich_club_curve
from analysis.tails.bootstrap import goodness_of_fit
from analysis.tails.fit import NoFit, PowerLawFit, fit_power_law

RNG = np.random.default_rng(0)
LAYER = weighted(complete(3, 2), 1)
NETWORK = LayeredGraph((complete(3, 2), complete(2, 2)))
EYE = sparse.csr_array(np.eye(4))


@pytest.mark.parametrize(
    ("degrees", "message"),
    [
        ([np.nan, 1, 2, 3] * 5, r"degrees\[0\] is nan; integers of at least 0 are needed"),
        ([1, np.inf] * 10, r"degrees\[1\] is inf"),
        ([1, 2, -3] * 5, r"degrees\[2\] is -3"),
        ([1.5, 2.5] * 10, r"degrees\[0\] is 1.5"),
        (["a", "b"] * 10, "degrees has shape .* a 1-D array of integers"),
        ([[1], [2, 3]], "degrees has shape"),
        ([[1, 2], [2, 3]], r"degrees has shape \(2, 2\)"),
        ([1, None], "dtype object"),
        ([1j, 2], "dtype object"),
    ],
)
def test_what_is_no_degree(degrees: Any, message: str) -> None:
    functions: list[Callable[[Any], object]] = [
        fit_power_law,
        lambda values: goodness_of_fit(values, 0),
        coefficient_of_variation,
        moment_ratio,
        gini,
        degree_entropy,
        lambda values: degree_quantities("degree", values),
    ]
    for function in functions:
        with pytest.raises(AnalysisError, match=message):
            function(degrees)


def test_degrees_may_be_whole_floats_and_of_any_width() -> None:
    degrees = [0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 200]
    fit = fit_power_law(np.array(degrees))
    assert isinstance(fit, PowerLawFit)
    for dtype in (np.float64, np.uint8, np.uint64):
        assert fit_power_law(np.array(degrees, dtype=dtype)) == fit
        assert moment_ratio(np.array(degrees, dtype=dtype)) == moment_ratio(np.array(degrees))
    assert isinstance(fit_power_law([]), NoFit)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coefficient_of_variation(np.array([])), "degrees has 0 entries; at least 1 is needed"),
        (lambda: degree_quantities("degree", np.array([])), "degrees has 0 entries"),
        (lambda: binomial_cv(10, 1.5), r"density is 1.5; it must be a number in \[0, 1\]"),
        (lambda: binomial_cv(10, np.nan), "density is nan"),
        (lambda: binomial_cv(0, 0.5), "n_opposite is 0; an integer from 1 to 2147483647 is needed"),
        (lambda: latapy_clustering(LAYER, "foo"), "side is 'foo'; it must be 'source' or 'target'"),
        (lambda: opsahl_quantities(LAYER, "foo", RNG), "side is 'foo'; it must be 'source' or 'target'"),
        (lambda: neural_persistence(LAYER, 0.0), "largest is 0.0; it must be finite, above 0"),
        (lambda: neural_persistence(LAYER, 1e-3), "largest is 0.001; .* at least the largest magnitude, "),
        (lambda: neural_persistence(LAYER, np.nan), "largest is nan"),
        (lambda: neural_persistence(LAYER, np.inf), "largest is inf"),
        (lambda: neural_persistence(LAYER, 9.0, p=0), "p is 0; it must be finite and at least 1"),
        (lambda: neural_persistence(LAYER, 9.0, p=np.inf), "p is inf"),
        (lambda: neural_persistence(complete(3, 2), 1.0), "the graph has no weights; neural persistence needs them"),
        (lambda: joined_pairs(NETWORK, block_inputs=10), "block_inputs is 10; a positive multiple of 64"),
        (lambda: joined_pairs(NETWORK, block_inputs=0), "block_inputs is 0"),
        (lambda: log10_path_sum(NETWORK, [np.ones(6)]), "weights has 1 entries; one for each of the 2 layers"),
        (lambda: log10_path_sum(NETWORK, [np.ones(6), np.ones(3)]), r"weights\[1\] has shape \(3,\) .* 4 numbers are needed"),
        (lambda: log10_path_sum(NETWORK, [np.ones(6), np.full(4, -1.0)]), r"weights\[1\]\[0\] is -1.0; finite numbers"),
        (lambda: log10_path_sum(NETWORK, [np.full(6, np.inf), np.ones(4)]), r"weights\[0\]\[0\] is inf"),
        (lambda: largest_singular_values(EYE, 9, RNG), "count is 9; an integer from 1 to 4"),
        (lambda: largest_singular_values(EYE, 0, RNG), "count is 0"),
        (lambda: rich_club_curve(LAYER, ["a"]), "quantile is 'a'; it must be a number of at least 0 and below 1"),
        (lambda: rich_club_curve(LAYER, [[0.5]]), r"quantile is \[0.5\]"),
    ],
)
def test_arguments_out_of_range(call: Callable[[], object], message: str) -> None:
    with pytest.raises(AnalysisError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["strength", "persistence", "reachability"])
def test_a_network_says_which_layer_has_no_weights(name: str) -> None:
    measure = get_measure(name).network
    assert measure is not None
    mixed = LayeredGraph((LAYER, complete(2, 2)))
    for network, reason in ((mixed, "layer 1 has no weights"), (NETWORK, "the graph has no weights")):
        reasons = {quantity.reason for quantity in measure(network, RNG).values() if quantity.value is None}
        assert reasons == {reason}


def test_weights_that_add_up_to_more_than_the_largest_number() -> None:
    edges = from_edges(2, 2, [(0, 0), (1, 0), (1, 1)])
    huge = BipartiteGraph(2, 2, edges.src, edges.dst, np.full(3, 1.7e308))
    layer, network = get_measure("strength").layer, get_measure("strength").network
    assert network is not None
    for quantities in (layer(huge, RNG), network(LayeredGraph((huge, huge)), RNG)):
        reasons = {quantity.reason for name, quantity in quantities.items() if "net" in name or "absolute" in name}
        assert reasons == {"the sum of the weights exceeds the largest number"}


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_spread_of_strengths_whose_squares_are_out_of_range(scale: float) -> None:
    edges = from_edges(2, 1, [(0, 0), (1, 0)])
    graph = BipartiteGraph(2, 1, edges.src, edges.dst, np.array([1.0, -3.0]) * scale)
    assert get_measure("strength").layer(graph, RNG)["source_net_strength_sd"].value == pytest.approx(2 * scale)


def test_persistence_of_a_network_is_taken_with_its_own_largest_weight() -> None:
    """The largest weight lies in the first layer, so the second is measured with a `largest` above its own."""
    small = BipartiteGraph(2, 1, np.array([0, 1]), np.array([0, 0]), np.array([0.1, 0.2]))
    large = BipartiteGraph(2, 2, np.array([0, 1]), np.array([0, 1]), np.array([1.0, 2.0]))
    quantity = network_persistence(LayeredGraph((large, small)), RNG)["neural_persistence"]
    expected = (neural_persistence(large, 2.0)[0] + neural_persistence(small, 2.0)[0]) / 2
    assert quantity.value == pytest.approx(expected)
