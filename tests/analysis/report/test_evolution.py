"""Topologies over time: worked examples by hand, brute force over sets of edges, and what must always hold."""

import json
from itertools import pairwise

import numpy as np
import pytest
from bipartite_examples import bipartite_graphs, from_edges, random_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from analysis import AnalysisError, BipartiteGraph, describe
from analysis.render.cells import ages_sentence
from analysis.report.evolution import evolve

FIRST = from_edges(3, 2, [(0, 0), (1, 0), (2, 1)])
SECOND = from_edges(3, 2, [(0, 0), (0, 1), (2, 1)])  # (1, 0) became (0, 1)
THIRD = from_edges(3, 2, [(0, 0), (1, 0), (0, 1), (1, 1)])  # (2, 1) went, (1, 0) came back, (1, 1) is new
RECORDED = [(0, FIRST), (2, SECOND), (5, THIRD)]


def test_worked_example() -> None:
    evolution = evolve(RECORDED, measures=())
    assert evolution.epochs == (0, 2, 5)
    first, second, third = evolution.layers[0]
    assert [state.n_edges for state in evolution.layers[0]] == [3, 3, 4]
    assert first.new.value is None
    assert "before" in (first.new.reason or "")
    assert (second.new.value, second.jaccard.value) == (1 / 3, 2 / 4)
    assert (third.new.value, third.jaccard.value) == (2 / 4, 2 / 5)
    assert [state.survival.value for state in evolution.layers[0]] == [1, 2 / 3, 1 / 3]
    assert [state.exploration for state in evolution.layers[0]] == [3 / 6, 4 / 6, 5 / 6]
    # Ages by (dst, src): (0, 0) since 0; (1, 0) anew since 5; (0, 1) since 2; (1, 1) since 5.
    assert evolution.ages[0].ages.tolist() == [5, 0, 3, 0]
    assert [state.mean_age.value for state in evolution.layers[0]] == [0, 4 / 3, 2]
    assert evolution.ages[0].to_dict() == {"unit": "epochs", "ages": [0, 3, 5], "counts": [2, 1, 1]}
    assert third.source_rank_correlation.reason == "all degrees are equal"  # of the first: 1, 1, 1
    assert second.target_rank_correlation.value == pytest.approx(-1)


def test_births_give_ages_in_steps() -> None:
    evolution = evolve(RECORDED, measures=(), births=[[0, 40, 17, 50]], step=50)
    assert evolution.ages[0].unit == "steps"
    assert evolution.ages[0].ages.tolist() == [50, 10, 33, 0]
    assert "in steps: from 0 to 50, half of them at most 21.5" in ages_sentence(evolution.ages[0])


def test_trajectories_are_those_of_describe() -> None:
    layers = [[random_graph(12, 9, 30, seed), random_graph(9, 5, 20, seed + 10)] for seed in range(3)]
    evolution = evolve(list(enumerate(layers)), measures=("degree", "paths"), rng=3)
    for epoch, network in enumerate(layers):
        report = describe(network, nulls=0, measures=("degree", "paths"), rng=3)
        for section in report.sections:
            for quantity in section.quantities:
                assert evolution.trajectory(section.name, quantity.name).values[epoch] == quantity.observed
    assert len(evolution.layers) == len(evolution.ages) == 2
    assert {trajectory.section for trajectory in evolution.trajectories} == {"layer 0", "layer 1", "network"}
    with pytest.raises(AnalysisError, match=r"trajectory layer 0/nope is unknown; choose from layer 0/"):
        evolution.trajectory("layer 0", "nope")


def test_one_topology_and_one_without_edges() -> None:
    (state,) = evolve([(0, FIRST)], measures=()).layers[0]
    assert (state.survival.value, state.exploration, state.mean_age.value) == (1, 0.5, 0)
    empty = from_edges(3, 2, [])
    evolution = evolve([(0, empty), (1, empty)], measures=())
    state = evolution.layers[0][1]
    assert state.exploration == 0
    assert all(q.value is None for q in (state.new, state.jaccard, state.survival, state.mean_age))
    assert "The last topology has no edges." in ages_sentence(evolution.ages[0])


@settings(max_examples=40)
@given(data=st.data())
def test_brute_force_and_invariants(data: st.DataObject) -> None:
    first = data.draw(bipartite_graphs())
    pairs = st.tuples(st.integers(0, first.n_in - 1), st.integers(0, first.n_out - 1))
    more = data.draw(st.lists(st.lists(pairs, unique=True), max_size=4))
    graphs = [first, *(from_edges(first.n_in, first.n_out, edges) for edges in more)]
    states = evolve(list(enumerate(graphs)), measures=()).layers[0]
    sets = [edge_set(graph) for graph in graphs]
    for number, state in enumerate(states):
        assert state.exploration == len(set().union(*sets[: number + 1])) / (first.n_in * first.n_out)
        if sets[0]:
            assert state.survival.value == len(set.intersection(*sets[: number + 1])) / len(sets[0])
        if number and sets[number]:
            assert state.new.value == len(sets[number] - sets[number - 1]) / len(sets[number])
            both, either = sets[number] & sets[number - 1], sets[number] | sets[number - 1]
            assert state.jaccard.value == len(both) / len(either)
        if state.target_rank_correlation.value is not None:
            expected = spearmanr(first.in_degrees, graphs[number].in_degrees).statistic
            assert state.target_rank_correlation.value == pytest.approx(expected)
    assert all(a.exploration <= b.exploration for a, b in pairwise(states))


def edge_set(graph: BipartiteGraph) -> set[tuple[int, int]]:
    return set(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))


def test_a_fixed_topology_is_all_survival() -> None:
    graph = random_graph(20, 10, 60, 0)
    state = evolve([(0, graph), (7, graph)], measures=()).layers[0][1]
    assert (state.new.value, state.jaccard.value, state.survival.value, state.mean_age.value) == (0, 1, 1, 7)
    assert state.exploration == graph.density
    assert state.source_rank_correlation.value == pytest.approx(1)


def test_dictionary_is_plain() -> None:
    evolution = evolve(RECORDED, measures=("degree",))
    table = json.loads(json.dumps(evolution.to_dict(), allow_nan=False))
    assert table["epochs"] == [0, 2, 5]
    assert table["layers"][0][2]["exploration"] == 5 / 6
    assert "between two of them is not counted" in table["note"]


@pytest.mark.parametrize(
    ("recorded", "arguments", "message"),
    [
        ([], {}, "recorded is empty"),
        ([(1, FIRST), (1, SECOND)], {}, r"recorded has the epochs \[1, 1\]; they must ascend"),
        ([(0, FIRST), (1, from_edges(3, 3, []))], {}, r"epoch 1 has the layer sizes \(3, 3\)"),
        (RECORDED, {"measures": ("nope",)}, "measure 'nope' is unknown"),
        (RECORDED, {"births": [], "step": 1}, "births has 0 entries"),
        (RECORDED, {"births": [[0, 0, 0, 0]]}, "step is None"),
        (RECORDED, {"births": [[0, 0, 0]], "step": 1}, r"births\[0\] has shape \(3,\)"),
        (RECORDED, {"births": [[0.0] * 4], "step": 1}, "4 integers are needed"),
        (RECORDED, {"births": [[0, 0, 2, 0]], "step": 1}, "the allowed range is 0 to 1"),
    ],
)
def test_errors(recorded: list[tuple[int, BipartiteGraph]], arguments: dict[str, object], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        evolve(recorded, **arguments)


def test_large_layers_do_not_overflow() -> None:
    n = 65_536
    graph = BipartiteGraph(n, n, np.array([n - 1, 0]), np.array([n - 1, 0]))
    assert evolve([(0, graph), (1, graph)], measures=()).layers[0][1].exploration == 2 / n**2
