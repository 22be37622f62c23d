"""DSR: the threshold, where edges grow, the number of all edges, beside a transcription with dense masks."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import netsci_nn as ns
from netsci_nn.errors import ConfigError
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring import DynamicSparseReparameterization as DSR
from netsci_nn.rewiring import EdgeView, edge_view


def view(n_in: int, weights: list[float], threshold: float, **context: Any) -> EdgeView:
    """A layer of one target whose first edges have these weights."""
    layer = ns.SparseLinear(ns.BipartiteTopology(n_in, 1, list(range(len(weights))), [0] * len(weights)), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
    return edge_view(layer, memory={"threshold": np.array([threshold])}, **context)


def test_growth_follows_what_survives() -> None:
    """Six edges go; 6 and 2 are left, so 4.5 and 1.5 grow: by largest remainder 4 or 5, and the rest."""
    views = [view(20, [1.0] * 6 + [0.01], 0.1), view(20, [1.0] * 2 + [0.01] * 5, 0.1)]
    grown = set()
    for seed in range(20):
        deltas = DSR(fraction=0.4).propose_all(views, rng=seed)
        assert [delta.dropped.tolist() for delta in deltas] == [[6], [2, 3, 4, 5, 6]]
        grown.add(tuple(len(delta.grown_src) for delta in deltas))
    assert grown == {(4, 2), (5, 1)}


def test_a_layer_without_room_gives_its_share_to_the_others() -> None:
    """The first layer has 2 free pairs once its edge is gone, and its share is 3 of 4."""
    views = [view(7, [1.0] * 5 + [0.01], 0.1), view(9, [1.0] * 2 + [0.01] * 3, 0.1)]
    first, second = DSR(fraction=0.4).propose_all(views, rng=0)
    assert (len(first.grown_src), len(second.grown_src)) == (2, 2)


@pytest.mark.parametrize(("n_small", "expected"), [(0, 0.2), (8, 0.2), (9, 0.1), (10, 0.1), (11, 0.1), (12, 0.05), (50, 0.05)])
def test_the_threshold_doubles_and_halves(n_small: int, expected: float) -> None:
    """Of 100 edges 10 should go, with a tolerance of 0.1: 9 to 11 leave it as it is."""
    of = view(200, [1.0] * (100 - n_small) + [0.01] * n_small, 0.1)
    DSR(fraction=0.1).propose(of, rng=0)
    assert of.memory is not None
    assert of.memory["threshold"].tolist() == [expected]


@given(st.integers(0, 99))
def test_the_number_of_all_edges_stays_and_pairs_are_distinct(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = [ns.SparseLinear(ns.generators.erdos_renyi(6, 5, n_edges=int(rng.integers(0, 31)), rng=seed)) for _ in range(3)]
    memory = [{"threshold": np.array([float(rng.uniform(0, 1))])} for _ in layers]
    for kept in memory[1:]:
        kept["threshold"][:] = memory[0]["threshold"]
    views = [edge_view(layer, memory=kept) for layer, kept in zip(layers, memory, strict=True)]
    deltas = DSR(fraction=0.3).propose_all(views, rng=seed)
    before = sum(layer.n_edges for layer in layers)
    for layer, delta in zip(layers, deltas, strict=True):
        ns.rewiring.apply_delta(layer, delta)
    assert sum(layer.n_edges for layer in layers) == before
    assert len({float(kept["threshold"][0]) for kept in memory}) == 1


def test_thirty_actions_beside_dense_masks() -> None:
    """Which edges go, and how many grow in each layer, by an independent count; where they grow is random."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 8))
    ns.sparsify(model, density=0.3, rng=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    driver = ns.Rewiring(model, optimizer, DSR(fraction=0.2, threshold=0.05), every=2, rng=0)
    threshold, thresholds = 0.05, set()
    for step in range(1, 61):
        before = [layer.topology.to_mask() for layer in sparse_layers(model)]
        nn.functional.cross_entropy(model(torch.randn(8, 16)), torch.randint(8, (8,))).backward()
        driver.step()
        weights: list[np.ndarray] = []

        def note(*_: Any, weights: list[np.ndarray] = weights) -> None:
            weights += [layer.to_dense().weight.detach().numpy().copy() for layer in sparse_layers(model)]

        hook = optimizer.register_step_post_hook(note)
        optimizer._optimizer_step_post_hooks.move_to_end(hook.id, last=False)  # before the driver's
        optimizer.step()
        hook.remove()
        optimizer.zero_grad()
        if step % 2:
            continue
        after = [layer.topology.to_mask() for layer in sparse_layers(model)]
        gone = [mask & (np.abs(weight) < threshold) for mask, weight in zip(before, weights, strict=True)]
        n_gone, n_edges = sum(mask.sum() for mask in gone), sum(mask.sum() for mask in before)
        left = np.array([mask.sum() - dropped.sum() for mask, dropped in zip(before, gone, strict=True)])
        for old, new, dropped, stay in zip(before, after, gone, left, strict=True):
            assert (new & old & ~dropped).sum() == stay  # what survives stays
            share = n_gone * stay / left.sum()
            assert abs(new.sum() - stay - share) < 1 or new.all()
        assert sum(mask.sum() for mask in after) == n_edges
        threshold *= 2 if n_gone < 0.9 * 0.2 * n_edges else 0.5 if n_gone > 1.1 * 0.2 * n_edges else 1
        assert all(driver.memory[number]["threshold"].tolist() == [threshold] for number in driver.modules)
        thresholds.add(threshold)
    assert len(thresholds) > 1
    assert driver.rewired > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fraction": 0}, r"fraction is 0; it must be a number in \(0, 1\)"),
        ({"threshold": 0.0}, r"threshold is 0\.0; it must be a number above 0, up to 1e30"),
        ({"tolerance": 1}, r"tolerance is 1; it must be a number in \[0, 1\)"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DSR(**arguments)


def test_after_the_last_step_nothing_changes() -> None:
    of = view(9, [1.0, 0.01], 0.1, is_last=True)
    assert not DSR().propose(of, rng=0).moves_edges
