"""Relative importance against its two sums, edge by edge."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netsci_nn import BipartiteTopology, ConfigError, TopologyError, generators
from netsci_nn.rewiring import relative_importance

EXAMPLE = BipartiteTopology(3, 2, src=[0, 1, 1, 2], dst=[0, 0, 1, 1])


def test_four_edges_by_hand() -> None:
    """Target 0 has |1| + |-3|, target 1 |5| + |0|; source 1 has 3 + 5, source 2 has 0."""
    found = relative_importance(EXAMPLE, [1.0, -3.0, 5.0, 0.0])
    assert found.tolist() == [1 / 4 + 1, 3 / 4 + 3 / 8, 1 + 5 / 8, 0.0]


@given(st.data())
def test_it_is_the_two_shares(data: st.DataObject) -> None:
    n_in, n_out = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 8))
    keys = sorted(data.draw(st.sets(st.integers(0, n_in * n_out - 1))))
    topology = BipartiteTopology.from_keys(np.array(keys, dtype=np.int64), n_in, n_out)
    weights = np.array(data.draw(st.lists(st.integers(-4, 4), min_size=len(keys), max_size=len(keys))), dtype=float)
    expected = []
    for weight, (source, target) in zip(weights, topology.to_edges().tolist(), strict=True):
        of_target, of_source = abs(weights[topology.dst == target]).sum(), abs(weights[topology.src == source]).sum()
        expected.append(abs(weight) / of_target + abs(weight) / of_source if weight else 0.0)
    found = relative_importance(topology, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.dtype == np.float64
    assert ((found >= 0) & (found <= 2)).all()
    alive = weights != 0
    n_alive = len(set(topology.dst[alive])) + len(set(topology.src[alive]))
    assert found.sum() == pytest.approx(n_alive)


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8, 1e307])
def test_the_scale_of_the_weights_does_not_matter(scale: float) -> None:
    """A constant of 1e-5 in the sums would hide small weights, and sums of large ones exceed all numbers."""
    topology = generators.erdos_renyi(40, 30, density=0.2, rng=0)
    weights = np.random.default_rng(0).uniform(-1, 1, topology.n_edges)
    np.testing.assert_allclose(
        relative_importance(topology, scale * weights), relative_importance(topology, weights), rtol=1e-9
    )


def test_it_keeps_what_magnitude_would_drop() -> None:
    """The only edge of target 1 is the smallest, and the most important."""
    topology = BipartiteTopology(3, 2, src=[0, 1, 2], dst=[0, 0, 1])
    assert relative_importance(topology, [5.0, 5.0, 0.001]).argmax() == 2


def test_weights_of_any_kind() -> None:
    weights = torch.tensor([1.0, -3.0, 5.0, 0.0], requires_grad=True)
    expected = relative_importance(EXAMPLE, [1, -3, 5, 0])
    for given_weights in (weights, weights.detach().bfloat16(), np.array([1, -3, 5, 0], np.float16)):
        np.testing.assert_array_equal(relative_importance(EXAMPLE, given_weights), expected)
    assert weights.tolist() == [1, -3, 5, 0]
    assert relative_importance(BipartiteTopology(3, 2, src=[], dst=[]), []).tolist() == []


def test_what_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"weights has shape \(3,\) and dtype float64; it must be 4 real numbers, one per edge"
    ):
        relative_importance(EXAMPLE, np.ones(3))
    for wrong in (np.ones((4, 1)), np.ones(4, complex), np.ones(4, bool), ["a"] * 4, 1.0):
        with pytest.raises(ConfigError, match="it must be 4 real numbers"):
            relative_importance(EXAMPLE, wrong)
    for value in (np.nan, np.inf):
        with pytest.raises(TopologyError, match=r"the weight of edge 2 is .*; relative importance needs finite weights"):
            relative_importance(EXAMPLE, [1.0, 2.0, value, 3.0])
    with pytest.raises(TopologyError, match="topology is a list; it must be a BipartiteTopology"):
        relative_importance([], [])  # type: ignore[arg-type]
