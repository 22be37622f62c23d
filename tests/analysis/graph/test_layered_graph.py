"""The value of a network: chains as before, what further fields mean, and what is refused."""

from typing import Any

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, weighted
from hypothesis import given, settings
from network_examples import dense_block, flattened, networks, residual_block

from analysis import AnalysisError, describe
from analysis.graph.intake import as_bipartite, as_layered
from analysis.graph.values import LayeredGraph

CHAIN = LayeredGraph((complete(2, 3), complete(3, 1)))
COMMON = settings(deadline=None, max_examples=40, derandomize=True)


def stated_chain(**changes: Any) -> LayeredGraph:
    fields: dict[str, Any] = {
        "layers": CHAIN.layers,
        "sources": ([0, 1], [2, 3, 4]),
        "targets": ([2, 3, 4], [5]),
        "group_sizes": (2, 3, 1),
    }
    return LayeredGraph(**(fields | changes))


def test_a_chain_needs_no_further_fields() -> None:
    assert CHAIN.is_chain
    assert CHAIN.layer_sizes == CHAIN.group_sizes == (2, 3, 1)
    assert [[side.tolist() for side in pair] for pair in CHAIN.ends] == [[[0, 1], [2, 3, 4]], [[2, 3, 4], [5]]]
    assert (CHAIN.names, CHAIN.kinds, CHAIN.details) == (("", ""),) * 3
    assert CHAIN.links.shape == (0, 2)
    assert np.flatnonzero(CHAIN.inputs).tolist() == [0, 1]
    assert np.flatnonzero(CHAIN.outputs).tolist() == [5]


def test_a_chain_that_is_stated_is_a_chain() -> None:
    assert stated_chain().is_chain
    assert stated_chain() == CHAIN
    assert hash(stated_chain()) == hash(CHAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"sources": ([1, 0], [2, 3, 4])},
        {"targets": ([2, 4, 3], [5])},
        {"sources": ([0, 1], [2, 2, 4])},
        {"links": [[0, 5]]},
        {"links": [[0, 2]]},
    ],
    ids=["sources", "targets", "repeated", "skip", "link beside an edge"],
)
def test_a_chain_with_another_order_or_links_is_none(changes: dict[str, Any]) -> None:
    network = stated_chain(**changes)
    assert not network.is_chain
    assert network != CHAIN
    assert not network.is_wired_like(CHAIN)
    assert not CHAIN.is_wired_like(network)
    assert network == stated_chain(**changes)


def test_other_edges_are_wired_alike_and_other_layers_are_not() -> None:
    block = dense_block()
    assert block.is_wired_like(block.with_layers([from_edges(layer.n_in, layer.n_out, []) for layer in block.layers]))
    assert CHAIN.is_wired_like(LayeredGraph((from_edges(2, 3, []), complete(3, 1))))
    assert not block.is_wired_like(CHAIN)
    with pytest.raises(AnalysisError, match=r"sources\[0\] has shape \(2,\) .* integers of shape \(3,\) are needed"):
        block.with_layers([complete(3, 2), *block.layers[1:]])
    with pytest.raises(AnalysisError, match=r"group_sizes is \(2, 3, 1\); a chain of these layers has \(2, 3, 2\)"):
        CHAIN.with_layers([complete(2, 3), complete(3, 2)])


def test_arrays_cannot_be_changed() -> None:
    network = flattened()
    for array in (network.links, network.groups, network.degrees, *network.edges, *network.ends[1], network.inputs):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_edges_come_layer_by_layer_and_then_the_links() -> None:
    network = residual_block()
    src, dst = network.edges
    assert src.tolist() == [0, 1] * 3 + [2, 3, 4] * 2 + [5, 6] + [0, 1]
    assert dst.tolist() == [2, 2, 3, 3, 4, 4] + [5] * 3 + [6] * 3 + [7, 7] + [5, 6]
    assert (network.n_edges, network.n_neurons, network.density) == (14, 8, 1.0)
    assert [(edges.neurons, edges.edges.tolist()) for edges in network.arrivals] == [
        (slice(2, 5), [0, 1, 2, 3, 4, 5]),
        (slice(5, 7), [6, 7, 8, 9, 10, 11, 14, 15]),
        (slice(7, 8), [12, 13]),
    ]
    assert network.details == ("up, convolution 3 x 3", "down, convolution 1 x 1", "head")


@COMMON
@given(networks())
def test_edges_arrive_when_all_that_they_start_from_is_there(network: LayeredGraph) -> None:
    done = set(np.flatnonzero(network.inputs).tolist())
    seen: list[int] = []
    for neurons, edges in network.arrivals:
        group = set(range(neurons.start, neurons.stop))
        assert set(network.edges.dst[edges].tolist()) <= group
        assert not set(network.edges.src[edges].tolist()) & set(range(neurons.start, network.n_neurons))
        done |= group
        seen += edges.tolist()
    assert sorted(seen) == list(range(network.n_edges + len(network.links)))


def test_parts_that_are_joined_to_no_other_part_are_bipartite_each() -> None:
    apart = LayeredGraph(
        (complete(1, 2), complete(3, 1)),
        sources=([0], [1, 2, 3]),
        targets=([4, 5], [6]),
        group_sizes=(1, 3, 2, 1),
    )
    assert apart.is_bipartite
    assert (apart.folded.n_in, apart.folded.n_out) == (4, 3)
    assert np.flatnonzero(apart.inputs).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(apart.outputs).tolist() == [4, 5, 6]


def test_parallel_edges_of_two_layers_are_one_edge_of_the_folded_network() -> None:
    twice = LayeredGraph(
        (weighted(complete(2, 2), 0), weighted(from_edges(2, 2, [(0, 1), (1, 1)]), 1)),
        sources=([0, 1], [0, 1]),
        targets=([2, 3], [2, 3]),
        group_sizes=(2, 2),
    )
    assert (twice.n_edges, twice.folded.n_edges, twice.may_repeat_pairs) == (6, 4, True)
    assert twice.degrees.tolist() == [3, 3, 2, 4]
    first, second = twice.layers
    assert first.weights is not None
    assert second.weights is not None
    assert twice.folded.weights == pytest.approx([*first.weights[:2], *(np.abs(first.weights[2:]) + np.abs(second.weights))])
    assert not residual_block().may_repeat_pairs
    assert LayeredGraph(CHAIN.layers, links=[[0, 5], [0, 5]]).may_repeat_pairs  # type: ignore[arg-type]


def test_a_network_with_an_odd_cycle_of_groups_cannot_be_folded() -> None:
    with pytest.raises(AnalysisError, match=r"cannot be folded: edges skip groups, so the network is not bipartite"):
        _ = residual_block().folded


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_sizes": (2, 3)}, r"targets\[1\] reaches from 5 to 5; the allowed range is 0 to 4"),
        ({"group_sizes": ()}, r"reaches from 0 to 1; the allowed range is 0 to -1"),
        ({"group_sizes": (2, 0, 4)}, r"group_sizes is \(2, 0, 4\); a tuple of numbers of at least 1"),
        ({"group_sizes": (2, 3, 2**31)}, "in all at most 2147483647"),
        ({"group_sizes": 6}, "group_sizes is 6"),
        ({"group_sizes": (2, 3, 1, 1)}, "group 3 belongs to no layer and no link"),
        ({"sources": None}, "sources is None; an array for each of the 2 layers"),
        ({"targets": ([2, 3, 4],)}, "targets is .*; an array for each of the 2 layers"),
        ({"sources": ([0, 1], [2, 3])}, r"sources\[1\] has shape \(2,\) .*; integers of shape \(3,\) are needed"),
        ({"sources": ([0, 0.5], [2, 3, 4])}, r"sources\[0\] has shape \(2,\) and dtype float64"),
        ({"sources": ([0, -1], [2, 3, 4])}, r"sources\[0\] reaches from -1 to 0; the allowed range is 0 to 5"),
        ({"sources": ([0, 1], [2, 3, 5])}, "layer 1 has sources in group 2 and targets in group 2; a layer must lead"),
        ({"targets": ([0, 3, 4], [5])}, "layer 0 has sources in group 0 and targets in group 0"),
        ({"links": [[0, 1]]}, "link 0 leads from group 0 to group 0"),
        ({"links": [[0, 5], [5, 0]]}, "link 1 leads from group 2 to group 0; a link must lead from a lower to a higher group"),
        ({"links": [[0, 6]]}, "links reaches from 0 to 6; the allowed range is 0 to 5"),
        ({"links": [0, 5]}, r"links has shape \(2,\) .*; integers of shape \(2, 2\) are needed"),
        ({"links": 5}, r"links has shape \(1,\)"),
        ({"links": None}, r"links has shape \(1,\) and dtype object"),
        ({"names": ("a",)}, r"names is \('a',\); one text for each of the 2 layers"),
        ({"kinds": ("a", 3)}, r"kinds is \('a', 3\)"),
        ({"names": "ab"}, "names is 'ab'"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AnalysisError, match=message) as caught:
        stated_chain(**changes)
    assert "\n" not in str(caught.value)


def test_a_list_is_a_chain_and_a_list_of_one_is_what_it_holds() -> None:
    block = residual_block()
    assert as_layered([block]) == block
    with pytest.raises(AnalysisError, match="entry 1 of the list is a network that is no chain"):
        as_layered([complete(3, 2), block])
    named = LayeredGraph((complete(1, 4),), names=("last",), kinds=("convolution 1",))
    assert as_layered([CHAIN, named]).details == ("", "", "last, convolution 1")
    assert as_layered([CHAIN, named]).is_chain


@pytest.mark.parametrize(
    "network",
    [
        LayeredGraph((complete(2, 2),), links=[[0, 2], [1, 3]]),  # type: ignore[arg-type]
        LayeredGraph((complete(2, 2),), sources=([0, 0],), targets=([1, 2],), group_sizes=(1, 2)),  # type: ignore[arg-type]
    ],
    ids=["link", "shared"],
)
def test_one_layer_with_more_around_it_is_no_layer_by_itself(network: LayeredGraph) -> None:
    assert not network.is_single
    assert LayeredGraph((complete(2, 2),)).is_single
    with pytest.raises(AnalysisError, match="a network of one layer with links or shared neurons; a layer by itself"):
        as_bipartite(network)
    report = describe(network, nulls=1, measures=["paths", "reachability", "small_world"], rng=0)
    assert [section.name for section in report.sections] == ["layer 0", "network"]
    paths = 10 ** (report["network"]["log10_paths"].value or 0)
    assert paths == pytest.approx(6 if len(network.links) else 4)


def test_a_chain_whose_sides_do_not_fit_may_still_be_stated_with_slices() -> None:
    layers = (complete(2, 3), complete(2, 1))
    with pytest.raises(AnalysisError, match="layer 0 has 3 targets and layer 1 has 2 sources"):
        LayeredGraph(layers)
    part = LayeredGraph(layers, sources=([0, 1], [3, 4]), targets=([2, 3, 4], [5]), group_sizes=(2, 3, 1))  # type: ignore[arg-type]
    assert part.degrees.tolist() == [3, 3, 2, 3, 3, 2]
