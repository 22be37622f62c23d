"""Faults that random calls have found: wrong results, changed objects and untyped errors."""

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from torch import nn

import analysis
import netsci_nn as ns
from analysis import AnalysisError, BipartiteGraph, LayeredGraph, measures
from analysis.measures.degree import moment_ratio
from netsci_nn import generators, kernels, pruning, rewiring, sampling, training
from netsci_nn.data import input_statistic
from netsci_nn.errors import CheckpointError, ConfigError, DataError, TopologyError
from netsci_nn.intake import take_in
from netsci_nn.models import from_masks
from netsci_nn.topology import BipartiteTopology, from_edges, from_networkx, from_scipy, to_igraph

HUGE = 10**4300  # Python does not turn it into text
TOPOLOGY = generators.erdos_renyi(20, 30, n_edges=300, rng=0)


def test_the_gradient_of_an_empty_batch_is_zero() -> None:
    index, backend = kernels.edge_index(TOPOLOGY), kernels.BACKENDS["compiled"]
    assert backend.gradients is not None
    for _ in range(20):
        torch.full((300,), 7.0)  # what is freed is taken again
        assert not backend.sampled_product(torch.zeros(20, 0), torch.zeros(30, 0), index).any()
        values, x, bias = backend.gradients(torch.ones(300), torch.zeros(20, 0), torch.zeros(30, 0), index)
        assert not values.any()
        assert not bias.any()
        assert x.shape == (20, 0)


@pytest.mark.parametrize("sides", ["both", "source", "target"])
def test_a_tiny_attractiveness_repeats_no_edge(sides: str) -> None:
    for seed in range(60):
        topology = generators.barabasi_albert(6, 5, n_edges=24, attractiveness=1e-320, sides=sides, rng=seed)
        assert topology.n_edges == 24


def test_the_degree_moments_of_large_degrees_do_not_overflow() -> None:
    assert moment_ratio([2**40, 0]).value == 2**40
    with pytest.raises(AnalysisError, match=r"up to 2\^53"):
        moment_ratio(np.array([1e308, 1e308]))


def test_an_evaluation_that_fails_leaves_every_mode_as_it_was() -> None:
    model = nn.Sequential(ns.SparseLinear(TOPOLOGY), nn.BatchNorm1d(30)).train()
    model[1].eval()  # frozen
    x, y = torch.zeros(4, 20), torch.zeros(4, dtype=torch.long)
    for inputs in (x, x.double()):
        try:
            training.evaluate(model, inputs, y)
        except DataError:
            assert inputs.dtype == torch.float64
        assert [module.training for module in model.modules()] == [True, True, False]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(DataError, match="dtype"):
        training.train(model, optimizer, x.double(), y, epochs=1, batch_size=2, rng=0)
    assert [module.training for module in model.modules()] == [True, True, False]


def test_soft_deep_r_takes_a_layer_without_edges() -> None:
    layer = ns.SparseLinear(generators.erdos_renyi(4, 3, n_edges=0, rng=0))
    rule, view = rewiring.SoftDeepR(), rewiring.edge_view(layer)
    memory = rule.remember(view, np.random.default_rng(0))
    delta = rule.propose(rewiring.edge_view(layer, memory=memory, learning_rate=0.1), rng=0)
    assert not delta.moves_edges
    assert rule.lowest(0.0, 0.1) == -math.inf


def test_the_step_of_a_change_is_one_whole_number() -> None:
    layer = ns.SparseLinear(TOPOLOGY)
    delta = rewiring.SparseEvolution(0.3).propose(rewiring.edge_view(layer), rng=0)
    before = layer.topology, layer.birth
    for step in (np.arange(len(delta.grown_src)), 2**31, -1, 1.5):
        with pytest.raises(ConfigError, match=r"step is .* an integer from 0 to 2147483647"):
            rewiring.apply_delta(layer, delta, step=step)  # type: ignore[arg-type]
    assert layer.topology == before[0]
    assert torch.equal(layer.birth, before[1])


def test_kept_values_may_lie_backwards_in_memory() -> None:
    layer, values = ns.SparseLinear(TOPOLOGY), np.arange(300, dtype=np.float32)
    empty = np.empty(0, dtype=np.int64)
    rewiring.apply_delta(layer, rewiring.EdgeDelta(empty, empty, empty, np.empty(0, np.float32), values[::-1]))
    assert layer.weight.tolist() == values[::-1].tolist()


def test_merging_stays_within_its_arrays() -> None:
    delta, t = rewiring.SparseEvolution(0.3).propose(rewiring.edge_view(ns.SparseLinear(TOPOLOGY)), rng=0), TOPOLOGY
    for pointers in (t.target_pointers + 10**6, t.target_pointers[:-1], t.target_pointers[::-1], None):
        with pytest.raises(TopologyError, match="pointers"):
            rewiring.merge_edges(t.n_in, t.n_out, t.src, t.dst, pointers, delta)


def test_quotas_are_checked_before_edges_are_placed() -> None:
    chosen, given, rng = np.zeros(4, np.int32), np.zeros(4, np.int32), np.random.default_rng(0)
    for quota, size in (([5, 9], 9), ([4, 0], 3), ([2, -2, 4], 4)):
        with pytest.raises(TopologyError, match="quota"):
            sampling.fill_quotas(chosen, given, 0, size, np.array(quota), 0.0, rng)
    with pytest.raises(TopologyError, match="out of range"):
        sampling.fill_quotas(np.full(4, 99, np.int32), given, 2, 4, np.array([4]), 0.0, rng)


LINEAR = ns.SparseLinear(TOPOLOGY)
GRAPH = BipartiteGraph(3, 2, [0, 1], [0, 1])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: generators.erdos_renyi(HUGE, 3, n_edges=1, rng=0), TopologyError),
        (lambda: generators.relational(8, 8, n_nodes=4, degree=HUGE, rng=0), TopologyError),
        (lambda: generators.grouped(4, 4, n_groups=-HUGE), TopologyError),
        (lambda: generators.mixing(TOPOLOGY, n_sweeps=2**31, rng=0), TopologyError),
        (lambda: generators.trade_edges([1], rng=0), TopologyError),
        (lambda: ns.BipartiteTopology(3, 2, [[1], [2, 3]], [0]), TopologyError),
        (lambda: ns.BipartiteTopology.from_keys({"a": 1}, 3, 2), TopologyError),
        (lambda: ns.BipartiteTopology(3, 2, torch.eye(3).to_sparse(), [0]), TopologyError),
        (lambda: from_networkx(None), TopologyError),
        (lambda: to_igraph("x"), TopologyError),
        (lambda: TOPOLOGY.to_scipy(np.full(300, "a")), TopologyError),
        (lambda: sampling.largest_remainder(3, np.array([np.nan, 1.0]), 5, np.random.default_rng(0)), TopologyError),
        (lambda: sampling.distinct_cells(9, "x", np.random.default_rng(0)), TopologyError),
        (lambda: LINEAR([1.0]), DataError),
        (lambda: ns.SparseLinear(TOPOLOGY, dtype=False), ConfigError),
        (lambda: ns.SparseLinear.from_dense("x"), ConfigError),
        (lambda: ns.SparseLinear.from_dense(nn.Linear(20, 30), "x"), TopologyError),
        (lambda: LINEAR.set_structure("x", LINEAR.weight, LINEAR.birth), TopologyError),
        (lambda: LINEAR.set_structure(TOPOLOGY, "x", LINEAR.birth), TopologyError),
        (lambda: LINEAR.set_structure(TOPOLOGY, LINEAR.weight.detach(), np.full(300, 0.5)), TopologyError),
        (lambda: setattr(LINEAR, "active", {}), TopologyError),
        (lambda: kernels.edge_index("x"), TopologyError),
        (lambda: pruning.strengths_of("x"), ConfigError),
        (lambda: pruning.magnitude("x"), ConfigError),
        (lambda: ns.network_graph(3), ConfigError),
        (lambda: rewiring.apply_delta(LINEAR, "x"), TopologyError),
        (lambda: rewiring.parameter_group("x", torch.optim.SGD([LINEAR.weight], lr=0.1)), ConfigError),
        (lambda: rewiring.PreferentialDeepR(deletion=np.array(["a", "b"])), ConfigError),
        (lambda: ns.SparseMLP([3, 2], density=0.5, generator=0.5, rng=0), ConfigError),
        (lambda: training.make_optimizer("sgd", [nn.Parameter(torch.ones(1))], 1e300), ConfigError),
        (lambda: training.evaluate("x", torch.ones(2, 3), torch.ones(2).long()), ConfigError),
        (lambda: training.evaluate(nn.Linear(3, 2), [1, 2]), DataError),
        (lambda: training.train(nn.Linear(3, 2), 0.5, torch.ones(2, 3), torch.ones(2).long(), epochs=1, rng=0), ConfigError),
        (lambda: LayeredGraph((HUGE,)), AnalysisError),
        (lambda: analysis.nulls.models.randomise_layers(3, "erdos_renyi", 0), AnalysisError),
        (lambda: analysis.nulls.models.randomise_layers(LayeredGraph((GRAPH,)), [], 0), AnalysisError),
        (lambda: measures.degree.binomial_cv(5, 1j), AnalysisError),
        (lambda: measures.clustering.latapy_clustering(GRAPH, np.array([])), AnalysisError),
        (lambda: measures.community.participation(GRAPH, [[1], [2, 3]], [0, 1]), AnalysisError),
        (lambda: analysis.evolve(0.5), AnalysisError),
        (lambda: analysis.describe(GRAPH, nulls=0, rng=np.zeros((2, 3, 4))), AnalysisError),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_sentence(call: Callable[[], Any], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("single", [np.array(3), torch.tensor(3)], ids=["array", "tensor"])
def test_what_has_no_dimensions_is_no_sequence(single: Any) -> None:
    """It only looks as if a loop could go over it."""
    reports = [analysis.describe(TOPOLOGY, nulls=0, measures=["degree"], rng=0)]
    for arguments in ({"reports": single}, {"reports": reports, "untrained": single}, {"reports": reports, "shuffled": single}):
        with pytest.raises(AnalysisError, match="a sequence of reports, one per seed, is needed"):
            analysis.compare(**arguments, rng=0)
    for name in ("measures", "request"):
        with pytest.raises(AnalysisError, match=f"{name} is .*; a sequence of names"):
            analysis.describe(TOPOLOGY, nulls=0, **{name: single}, rng=0)
    model = ns.SparseMLP([20, 30], density=0.5, rng=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    array = np.array(3)
    with pytest.raises(DataError, match="x is a ndarray; it must be a tensor"):
        training.train(model, optimizer, array, None, epochs=1, rng=0)
    with pytest.raises(DataError, match="x is a ndarray; it must be a tensor"):
        training.evaluate(model, array, None)


def test_a_schedule_is_a_name_or_a_function() -> None:
    with pytest.raises(ConfigError, match=r"schedule is an integer of 14285 bits; it must be one of .*, or a function"):
        training.LearningRateSchedule(HUGE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.rand(4, 20).to_sparse()}, "x has layout torch.sparse_coo; it must be a dense tensor"),
        ({"y": torch.zeros(4, dtype=torch.long).to_sparse()}, "y has layout torch.sparse_coo; it must be a dense tensor"),
        (
            {"y": torch.zeros(4, dtype=torch.complex64)},
            "y has dtype torch.complex64; targets must be real numbers",
        ),
        ({"y": torch.full((4,), 2**40)}, r"y has dtype torch.int64 and shape \(4,\), which do not fit outputs \(4, 30\)"),
        ({"y": torch.zeros(4, 1, dtype=torch.long)}, r"y has dtype torch.int64 and shape \(4, 1\), which do not fit outputs"),
    ],
    ids=["sparse rows", "sparse labels", "complex labels", "labels beyond the outputs", "labels with an axis too many"],
)
def test_an_evaluation_says_what_does_not_fit(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"x": torch.rand(4, 20), "y": torch.zeros(4, dtype=torch.long), **change}
    with pytest.raises(DataError, match=message):
        training.evaluate(ns.SparseLinear(TOPOLOGY), **arguments, metrics=["mean_squared_error"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"name": "rmsprop", "centered": torch.eye(3).to_sparse()},
            "optimizer 'rmsprop': centered is .*; it must be true or false",
        ),
        (
            {"name": "adamw", "amsgrad": torch.empty(2, device="meta")},
            "optimizer 'adamw': amsgrad is .*; it must be true or false",
        ),
    ],
    ids=["sparse", "meta"],
)
def test_switches_of_optimisers_are_true_or_false(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        training.make_optimizer(parameters=[nn.Parameter(torch.ones(3))], learning_rate=0.1, **options)


def test_options_of_optimisers_may_be_any_real_number() -> None:
    with pytest.raises(ConfigError, match=r"optimizer 'rmsprop': momentum is array\(\[1\]\); it must be a number up to 1e38"):
        training.make_optimizer("rmsprop", [nn.Parameter(torch.ones(3))], 0.01, momentum=np.array([1]))
    weight = nn.Parameter(torch.ones(3))
    optimizer = training.make_optimizer("rmsprop", [weight], 0.01, momentum=Fraction(1, 2), centered=True)
    weight.grad = torch.ones(3)
    optimizer.step()
    assert weight.isfinite().all()


def test_arrays_of_a_change_of_edges_of_other_types() -> None:
    with pytest.raises(TopologyError, match=r"dropped holds 9223372036854775808; it must hold integers below 2\^63"):
        rewiring.EdgeDelta(np.array([2**63], np.uint64), [], [], [])
    with pytest.raises(TopologyError, match=r"grown_values has .* dtype <U1; it must be numbers"):
        rewiring.EdgeDelta([], [], [], np.empty(0, "<U1"))
    layer = ns.SparseLinear(BipartiteTopology(3, 2, [0, 2], [0, 1]))
    kept = np.array([1.5, -2.5], dtype=np.dtype(np.float32).newbyteorder())
    rewiring.apply_delta(layer, rewiring.EdgeDelta([], [], [], [], kept))
    assert layer.weight.tolist() == [1.5, -2.5]
    with pytest.raises(ConfigError, match=r"initial_value is 1e\+300; it must be a number from 0 to 1e\+30"):
        rewiring.SparseEvolution(initial_value=1e300)


def test_no_edges_are_no_edges_whatever_their_type() -> None:
    empty = np.empty(0, "datetime64[s]")
    assert BipartiteGraph(2, 3, empty, empty).n_edges == 0


@pytest.mark.parametrize("layout", ["csr", "csc", "bsr"])
@pytest.mark.parametrize("pointers", [(-2, -(10**7)), (1, 3), (-1, 10**9)], ids=["negative", "falling", "beyond the entries"])
def test_sparse_matrices_that_point_out_of_their_arrays_are_refused(
    layout: str, pointers: tuple[int, int], tmp_path: Path
) -> None:
    """scipy would read and write there; its own check lets negative pointers pass."""
    matrix = scipy.sparse.random_array((7, 9), density=0.5, format=layout, rng=0)
    place, value = pointers
    matrix.indptr = matrix.indptr.copy()
    matrix.indptr[place] = value
    if place == -2:
        matrix.indptr[-1] = -1
    elif place == 1:
        matrix.indptr[2] = 0
    reason = "has an indptr that does not rise from 0 to at most"
    with pytest.raises(TopologyError, match=reason):
        from_scipy(matrix)
    with pytest.raises(TopologyError, match=reason):
        from_masks(nn.Sequential(nn.Linear(9, 7)), {"0": matrix})
    with pytest.raises(AnalysisError, match=reason):
        analysis.describe(matrix, nulls=0, rng=0)
    np.savez(
        tmp_path / "m.npz",
        **{"indices": matrix.indices, "indptr": matrix.indptr, "format": np.array(layout.encode()), "shape": matrix.shape},
        data=matrix.data,
        _is_array=True,
    )
    with pytest.raises(CheckpointError, match="does not hold a topology"):
        take_in(tmp_path / "m.npz")


def test_shares_below_all_normal_numbers_keep_the_count() -> None:
    assert sampling.exact_largest_remainder(11, [1e-320], [20]) == [11]
    assert sampling.exact_largest_remainder(6, [5e-324, 1e-323], [9, 9]) == [2, 4]


def test_entries_of_several_types_are_no_edges() -> None:
    for build in (ns.BipartiteTopology.from_edges, from_edges):
        with pytest.raises(TopologyError, match="edges holds entries of different types; it must hold integers"):
            build([(0, None), (0, 1)], n_in=1, n_out=3)


def test_an_operand_that_is_missing_is_refused() -> None:
    index, backend = kernels.edge_index(TOPOLOGY), kernels.BACKENDS["compiled"]
    with pytest.raises(DataError, match="x is a NoneType; it must be a dense tensor"):
        kernels.sparse_product(torch.ones(300), None, index, backend)
    with pytest.raises(DataError, match="values is a NoneType; it must be a dense tensor"):
        backend.product(None, torch.ones(20, 3), index)


def test_features_whose_squares_overflow_are_refused() -> None:
    for name in ("variance", "label_correlation"):
        with pytest.raises(DataError, match="x_train holds 1e\\+308; its squares"):
            input_statistic(name, np.array([[1e308], [0.0]]), np.array([0, 1]))


def test_a_number_of_neurons_may_be_a_tensor() -> None:
    degrees = {"out_degrees": [1, 0, 0], "in_degrees": [0, 1, 0], "rng": 0}
    for n_in in (torch.tensor(3), np.array(3)):
        assert generators.configuration_model(n_in, 3, **degrees) == generators.configuration_model(3, 3, **degrees)


def test_degrees_that_are_a_sparse_tensor_are_refused() -> None:
    with pytest.raises(TopologyError, match=r"out_degrees is .*; it must be 3 integers"):
        generators.configuration_model(3, 3, out_degrees=torch.eye(3).to_sparse(), in_degrees=[1, 1, 1], rng=0)


def test_new_weights_that_are_infinite_in_the_dtype_of_the_layer_are_refused() -> None:
    layer = ns.SparseLinear(BipartiteTopology(3, 2, [0, 2], [0, 1]))
    delta = rewiring.EdgeDelta([0], [1], [0], np.array([1e308]))
    with pytest.raises(TopologyError, match=r"grown_values holds numbers that are infinite as weights of torch\.float32"):
        rewiring.apply_delta(layer, delta)
    assert layer.topology.to_edges().tolist() == [[0, 0], [2, 1]]
    rewiring.apply_delta(layer.double(), delta)
    assert layer.weight[0] == 1e308


def test_features_that_are_true_or_false_have_statistics() -> None:
    x, y = np.array([[True, False], [False, False], [True, False]]), np.array([0, 1, 0])
    for name in ("mean", "variance", "not_constant"):
        np.testing.assert_allclose(input_statistic(name, x, y), input_statistic(name, x.astype(np.float64), y), rtol=1e-6)


@pytest.mark.parametrize("unordered", [set(), {3, 1}, {}, frozenset({0}), {0: 1}.keys()])
def test_what_has_no_order_is_no_array(unordered: Any) -> None:
    with pytest.raises(TopologyError, match="has no order; an array, a tensor or a list is needed"):
        BipartiteTopology(4, 4, unordered, np.arange(len(unordered)))
    with pytest.raises(TopologyError, match="has no order"):
        sampling.distinct_per_row(unordered, 5, np.random.default_rng(0))


def test_edges_need_no_order() -> None:
    assert BipartiteTopology.from_edges({(1, 0), (0, 1)}, 2, 2).to_edges().tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("momentum", [HUGE, 1e300, -math.inf], ids=["integer", "float", "infinite"])
def test_an_option_of_an_optimiser_beyond_single_precision_is_refused(momentum: float) -> None:
    with pytest.raises(ConfigError, match=r"momentum is .*; it must be a number up to 1e38"):
        training.make_optimizer("rmsprop", [nn.Parameter(torch.ones(3))], 0.01, momentum=momentum)


def test_labels_of_half_precision_are_refused_by_name() -> None:
    model = ns.SparseMLP([20, 3], density=0.5, rng=0)
    x, y = torch.rand(6, 20), torch.tensor([0.0, 1, 2, 0, 1, 2], dtype=torch.bfloat16)
    with pytest.raises(DataError, match=r"y has dtype torch\.bfloat16; labels must be integers"):
        training.train(model, torch.optim.SGD(model.parameters(), lr=0.1), x, y, epochs=1, batch_size=3, rng=0)


def test_a_single_kept_weight_may_lie_backwards_in_memory() -> None:
    layer = ns.SparseLinear(BipartiteTopology(3, 2, [0], [0]))
    rewiring.apply_delta(layer, rewiring.EdgeDelta([], [1], [0], np.zeros(1), np.array([2.5])[::-1]))
    assert layer.edge_weights().tolist() == [2.5, 0]


@pytest.mark.parametrize("rule", ["deep_r", "soft_deep_r"])
@pytest.mark.parametrize("argument", ["l1", "noise"])
def test_a_rule_whose_numbers_overflow_is_refused(rule: str, argument: str) -> None:
    with pytest.raises(ConfigError, match=rf"{argument} is 1e\+300; it must be a number from 0 to 1e38"):
        rewiring.REWIRERS[rule](**{argument: 1e300}, noise_scaling="authors")


def test_a_mini_batch_may_be_larger_than_any_tensor() -> None:
    model = ns.SparseMLP([20, 3], density=0.5, rng=0)
    x, y = torch.rand(6, 20), torch.arange(6) % 3
    state = training.train(model, torch.optim.SGD(model.parameters(), lr=0.1), x, y, epochs=2, batch_size=HUGE, rng=0)
    assert state.step == 2
