"""Deep R and its relatives: signs for life, edge counts, what turns edges over, and what they refuse."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deep_r_cases import Watch, X, Y, network, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from netsci_nn import BipartiteTopology, SparseLinear, generators
from netsci_nn.rewiring import (
    REWIRERS,
    DeepR,
    EdgeView,
    PreferentialDeepR,
    Rewirer,
    edge_view,
)
from netsci_nn.rewiring.signs import draw_signs, signs_of
from netsci_nn.training import Checkpoint, Rewire, load_checkpoint, train

RULES: dict[str, Rewirer] = {
    "deep_r": DeepR(),
    "strong": DeepR(l1=1e-3, noise=1e-4, noise_scaling="authors"),
    "ba_deep_r": PreferentialDeepR(l1=1e-4),
    "both frozen": PreferentialDeepR(l1=1e-4, side="both", updating="frozen", attractiveness=0),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_pair_ever_changes_its_sign_and_counts_hold_after_every_batch(rule: Rewirer) -> None:
    watch = Watch()
    trained(rule, [watch])
    assert watch.turned > 50
    assert all(count == watch.counts[0] for count in watch.counts)
    assert len(watch.counts) == 1 + 2 * 40


@pytest.mark.parametrize("rule", [DeepR(l1=0.1, noise=0.1), PreferentialDeepR(l1=0.1, noise=0.1)])
@pytest.mark.parametrize("compiled", [True, False])
def test_no_turnover_without_a_learning_rate(rule: Rewirer, compiled: bool) -> None:
    model, first = trained(rule, lr=0.0, compiled=compiled), network()
    for layer, other in zip(model.layers, first.layers, strict=True):
        assert layer.topology == other.topology
        assert torch.equal(layer.weight, other.weight)


def no_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return 0 * logits.sum()


def test_no_turnover_without_gradient_l1_and_noise() -> None:
    model, first = trained(DeepR(l1=0, noise=0), loss=no_gradient), network()
    assert all(
        a.topology == b.topology and torch.equal(a.weight, b.weight) for a, b in zip(model.layers, first.layers, strict=True)
    )


def test_l1_alone_moves_every_edge_towards_zero_and_out() -> None:
    """|w| falls by rate * l1 a step: edges below 40 steps of it have gone at least once, and none above."""
    model, first = trained(DeepR(l1=0.05, noise=0), loss=no_gradient, epochs=1), network()
    for layer, other in zip(model.layers, first.layers, strict=True):
        weak = other.topology.keys()[np.abs(other.weight.detach().numpy()) < 0.05 * 0.1 * 39.5]
        strong = other.topology.keys()[np.abs(other.weight.detach().numpy()) > 0.05 * 0.1 * 40.5]
        born_later = layer.topology.keys()[layer.birth.numpy() > 0]
        assert np.isin(strong, layer.topology.keys()).all()
        assert not np.isin(strong, born_later).any()
        assert not np.isin(np.setdiff1d(weak, born_later), layer.topology.keys()).any()


def test_larger_l1_turns_more_edges_over() -> None:
    turned = []
    for l1 in (0.0, 1e-3, 1e-2):
        watch = Watch()
        trained(DeepR(l1=l1), [watch])
        turned.append(watch.turned)
    assert turned[0] < turned[1] < turned[2]


def test_noise_has_the_stated_spread() -> None:
    """Standard deviations of 10^5 draws lie within 1.5 % (more than six standard errors of 1/sqrt(2n) = 0.22 %)."""
    rng = np.random.default_rng(0)
    published, authors = DeepR(noise=0.02).dynamics, DeepR(noise=0.02, noise_scaling="authors").dynamics
    assert np.std(published.draw(100_000, 0.1, np.float64, rng)) == pytest.approx(np.sqrt(2 * 0.1 * 0.02), rel=0.015)
    assert np.std(authors.draw(100_000, 0.1, np.float64, rng)) == pytest.approx(0.1 * 0.02, rel=0.015)
    assert published.temperature(0.1) == 0.02
    assert authors.temperature(0.1) == pytest.approx(0.1 * 0.02**2 / 2)


def arrays(values: Any, previous: Any, n_in: int = 3, n_out: int = 2) -> EdgeView:
    """A layer with the first edges of the complete graph."""
    values = np.array(values, dtype=np.float64)
    keys = np.arange(len(values))
    view = EdgeView(n_in, n_out, (keys % n_in).astype(np.int32), (keys // n_in).astype(np.int32), values, learning_rate=0.5)
    previous = np.array(previous, dtype=np.float64)
    memory = draw_signs(dataclasses.replace(view, weight=previous), np.random.default_rng(0))
    return dataclasses.replace(view, previous=previous, memory=memory)


def test_a_step_by_hand() -> None:
    """Rate 0.5, l1 0.2: theta falls by 0.1. Edge 1 has crossed zero before, edge 2 crosses now, edge 3 rests on zero."""
    layer = arrays([0.4, 0.01, -0.05, -0.1], [0.5, -0.02, -0.3, -0.2])
    delta = DeepR(l1=0.2, noise=0).propose(layer, rng=np.random.default_rng(0))
    assert delta.dropped.tolist() == [1, 2]
    np.testing.assert_allclose(delta.kept_values, [0.3, 0.11, 0.05, -0.0], atol=1e-15)
    assert np.signbit(delta.kept_values[3])
    assert len(delta.grown_src) == 2
    grown = delta.grown_dst * 3 + delta.grown_src
    assert set(grown) <= {1, 2, 4, 5}
    assert np.abs(delta.grown_values).tolist() == [1e-12, 1e-12]
    first = {1: -1.0, 2: -1.0}  # those that come back keep the sign they had
    assert all(np.sign(value) == first.get(key, np.sign(value)) for key, value in zip(grown, delta.grown_values, strict=True))


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_signs_are_fixed_and_those_of_the_first_edges(seed: int, n_in: int, n_out: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    topology = generators.erdos_renyi(n_in, n_out, n_edges=int(share * n_in * n_out), rng=rng)
    layer = SparseLinear(topology)
    held = edge_view(layer)
    memory = draw_signs(held, rng)
    cells = np.arange(n_in * n_out)
    signs = signs_of(cells, memory)
    np.testing.assert_array_equal(signs[topology.keys()], np.sign(layer.weight.detach().numpy()))
    np.testing.assert_array_equal(signs, signs_of(cells, memory))
    some = rng.permutation(cells)[: len(cells) // 2]
    np.testing.assert_array_equal(signs_of(some, memory), signs[some])


def test_signs_of_new_pairs_are_a_fair_coin() -> None:
    """Over 10^5 pairs: share, neighbours and rows; two-sided binomial tests at 1e-4 each, 3e-4 in all for the fixed seed."""
    empty = edge_view(SparseLinear(BipartiteTopology(500, 200, [], [])))
    signs = signs_of(np.arange(100_000), draw_signs(empty, np.random.default_rng(3)))
    for sample in (signs, signs[1:] * signs[:-1], signs[500:] * signs[:-500]):
        assert stats.binomtest(int((sample > 0).sum()), len(sample)).pvalue > 1e-4


def test_new_edges_of_deep_r_are_uniform_over_free_pairs() -> None:
    """Chi-square over the 5 free pairs in 4000 draws; false alarms at 1e-3."""
    layer = arrays([0.4, -0.01], [0.5, 0.02])
    counts = np.zeros(6)
    rng = np.random.default_rng(0)
    for _ in range(4000):
        delta = DeepR(l1=0, noise=0).propose(layer, rng=rng)
        counts[delta.grown_dst * 3 + delta.grown_src] += 1
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-3


def test_momentum_of_survivors_goes_along() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    train(model, optimizer, X[:200], Y[:200], epochs=1, batch_size=10, rng=0, callbacks=[Rewire(DeepR(l1=1e-3))])
    assert all(len(optimizer.state[layer.weight]["momentum_buffer"]) == layer.n_edges for layer in model.layers)


def test_as_many_weights_as_before_and_learning_goes_on() -> None:
    model = trained(DeepR(), epochs=8, rows=1000)
    accuracy = (model(X[1000:]).argmax(1) == Y[1000:]).double().mean()
    assert accuracy > 0.8


@pytest.mark.parametrize("name", ["deep_r", "soft_deep_r", "ba_deep_r", "deep_r_s1"])
def test_resumed_training_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    """An interval that does not end with the epoch, where the rule allows it: what the rule remembers is in the checkpoint."""
    every = {"every_steps": 7} if name == "deep_r_s1" else {}
    results = []
    for stop in (None, 2):
        model, rng = network(), np.random.default_rng(5)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        path = tmp_path / f"{stop}.safetensors"
        run: dict[str, Any] = {"batch_size": 10, "compiled": True}
        for epochs in (4,) if stop is None else (stop, 4):
            done = (0, 0)
            if epochs == 4 and stop is not None:
                model, rng = network(seed=9), np.random.default_rng(9)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                done = load_checkpoint(path, model, optimizer, rng)
                assert done == (2, 40)
            callbacks = [Rewire(REWIRERS[name](), **every), Checkpoint(path)]
            train(model, optimizer, X[:200], Y[:200], epochs=epochs, rng=rng, callbacks=callbacks, completed=done, **run)
        results.append(model)
    for a, b in zip(results[0].layers, results[1].layers, strict=True):
        assert a.topology == b.topology
        assert torch.equal(a.weight, b.weight)
    assert results[0].layers[0].topology != network().layers[0].topology
