"""Chain removal against removing edge by edge, and against paths from inputs to outputs."""

import itertools
from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsci_nn import BipartiteTopology, ConfigError, TopologyError, generators
from netsci_nn.rewiring import chain_removal


@st.composite
def networks(draw: Any) -> list[BipartiteTopology]:
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=6))
    return [
        BipartiteTopology.from_keys(np.array(sorted(draw(st.sets(st.integers(0, a * b - 1)))), dtype=np.int64), a, b)
        for a, b in itertools.pairwise(sizes)
    ]


def one_by_one(layers: list[BipartiteTopology]) -> tuple[list[set[int]], int, int]:
    """Remove one edge after the other, until every hidden neuron of every edge has edges on both sides."""
    left = [set(map(tuple, layer.to_edges().tolist())) for layer in layers]

    def active() -> int:
        return sum(len({b for _, b in one} & {a for a, _ in two}) for one, two in itertools.pairwise(left))

    before, is_changed = active(), True
    while is_changed:
        is_changed = False
        for number, edges in enumerate(left):
            for source, target in sorted(edges):
                is_dead_end = number + 1 < len(left) and all(a != target for a, _ in left[number + 1])
                is_dead_start = number > 0 and all(b != source for _, b in left[number - 1])
                if is_dead_end or is_dead_start:
                    edges.discard((source, target))
                    is_changed = True
    removed = [
        {k for k, edge in enumerate(map(tuple, layer.to_edges().tolist())) if edge not in edges}
        for layer, edges in zip(layers, left, strict=True)
    ]
    return removed, before, active()


@given(networks())
def test_it_ends_where_removing_one_by_one_ends(layers: list[BipartiteTopology]) -> None:
    found = chain_removal(layers)
    removed, before, after = one_by_one(layers)
    assert [set(positions.tolist()) for positions in found.removed] == removed
    assert all(positions.dtype == np.int64 and (np.diff(positions) > 0).all() for positions in found.removed)
    assert (found.active_before, found.active_after) == (before, after)
    assert found.active_rate == (after / before if before else None)


@pytest.mark.parametrize("density", [0.02, 0.05, 0.2])
def test_what_stays_is_on_a_path_from_an_input_to_an_output(density: float) -> None:
    sizes = [30, 20, 25, 20, 5]
    layers = [generators.erdos_renyi(a, b, density=density, rng=b) for a, b in itertools.pairwise(sizes)]
    graph = networkx.DiGraph(
        ((number, a), (number + 1, b)) for number, layer in enumerate(layers) for a, b in layer.to_edges().tolist()
    )
    inputs, outputs = ([node for node in graph if node[0] == side] for side in (0, len(layers)))
    reached = set(inputs).union(*(networkx.descendants(graph, node) for node in inputs))
    useful = set(outputs).union(*(networkx.ancestors(graph, node) for node in outputs))
    for number, (layer, positions) in enumerate(zip(layers, chain_removal(layers).removed, strict=True)):
        edges = layer.to_edges().tolist()
        gone = [k for k, (a, b) in enumerate(edges) if (number, a) not in reached or (number + 1, b) not in useful]
        assert positions.tolist() == gone


def test_a_dead_end_goes_up_to_the_input_and_a_dead_start_down_to_the_output() -> None:
    """In a chain of single neurons whose middle layer is empty, one pass from layer to layer would not find the first ones."""
    one, none = BipartiteTopology(1, 1, src=[0], dst=[0]), BipartiteTopology(1, 1, src=[], dst=[])
    found = chain_removal([one, one, one, none, one, one, one])
    assert [positions.tolist() for positions in found.removed] == [[0], [0], [0], [], [0], [0], [0]]
    assert (found.active_before, found.active_after, found.active_rate) == (4, 0, 0.0)


def test_what_has_edges_on_both_sides_may_still_be_dead() -> None:
    """Hidden neuron 1 of the first layer is active, until neuron 1 of the second, a dead end, is gone."""
    layers = [
        BipartiteTopology(2, 2, src=[0, 1], dst=[0, 1]),
        BipartiteTopology(2, 2, src=[0, 1], dst=[0, 1]),
        BipartiteTopology(2, 3, src=[0], dst=[2]),
    ]
    found = chain_removal(layers)
    assert [positions.tolist() for positions in found.removed] == [[1], [1], []]
    assert (found.active_before, found.active_after) == (3, 2)
    assert found.active_rate == pytest.approx(2 / 3)


def test_inputs_and_outputs_keep_their_edges() -> None:
    layer = generators.erdos_renyi(20, 20, density=0.02, rng=0)
    found = chain_removal([layer])
    assert [len(positions) for positions in found.removed] == [0]
    assert found.active_rate is None


def test_what_is_refused() -> None:
    layer = BipartiteTopology(2, 3, src=[0], dst=[0])
    with pytest.raises(
        TopologyError, match=r"topologies\[1\] has 2 sources; it must have 3, the targets of the layer before it"
    ):
        chain_removal([layer, layer])
    with pytest.raises(TopologyError, match=r"topologies\[1\] is a int; it must be a BipartiteTopology"):
        chain_removal([layer, 3])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="topologies is empty; it must hold one topology per layer"):
        chain_removal([])
    for wrong in (layer, None, "layers"):
        with pytest.raises(ConfigError, match="it must be a list of topologies"):
            chain_removal(wrong)  # type: ignore[arg-type]
