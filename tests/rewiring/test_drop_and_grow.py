"""Criteria for edges that go and come, freely combined; the named combinations; counts on their schedules."""

from typing import Any

import numpy as np
import pytest
import scipy
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import netsci_nn as ns
from netsci_nn import rewiring
from netsci_nn.errors import ConfigError
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring import DenseGradient, DropAndGrow, EdgeDelta, EdgeView, RigL, SparseEvolution, edge_view, gmp, mest
from netsci_nn.rewiring.drop import SoftMagnitude
from netsci_nn.schedules import cosine, cubic, steps
from netsci_nn.training import Rewire, train


def layer(n_in: int = 12, n_out: int = 9, n_edges: int = 40, seed: int = 0) -> ns.SparseLinear:
    torch.manual_seed(seed)
    return ns.SparseLinear(ns.generators.erdos_renyi(n_in, n_out, n_edges=n_edges, rng=seed))


def view(of: ns.SparseLinear, seed: int = 0, **context: Any) -> EdgeView:
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.normal(size=(of.n_in, 5)).astype(np.float32))
    errors = torch.from_numpy(rng.normal(size=(of.n_out, 5)).astype(np.float32))
    gradient = rng.normal(size=of.n_edges).astype(np.float32)
    dense = DenseGradient(rows, errors)
    return edge_view(of, **{"step": 50, "total_steps": 100, "gradient": gradient, "dense_gradient": dense, **context})


def same(a: EdgeDelta, b: EdgeDelta) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("dropped", "grown_src", "grown_dst"))


@pytest.mark.parametrize("seed", range(5))
def test_set_and_rigl_are_combinations(seed: int) -> None:
    of = layer(seed=seed)
    assert same(
        DropAndGrow("sign", "random", 0.3).propose(view(of), rng=seed), SparseEvolution(0.3).propose(view(of), rng=seed)
    )
    combined = DropAndGrow({"name": "magnitude", "tie_noise": 0.1}, "gradient", cosine(0.3))
    assert same(combined.propose(view(of), rng=seed), RigL(cosine(0.3), tie_noise=0.1).propose(view(of), rng=seed))
    assert combined.replaces_step
    assert not DropAndGrow("sign", "random").replaces_step


def test_sets_drop_with_rigls_growth_and_a_cosine() -> None:
    of = layer()
    delta = DropAndGrow("sign", "gradient", {"name": "cosine", "start": 0.4}).propose(view(of), rng=0)
    goes = SparseEvolution(0.2).propose(view(of), rng=0).dropped  # half of the cosine is over
    left = np.delete(view(of).keys(), goes)
    grown = view(of).dense_gradient.largest(len(goes), left)
    after = np.sort(np.concatenate([np.delete(view(of).keys(), delta.dropped), delta.grown_dst * 12 + delta.grown_src]))
    np.testing.assert_array_equal(after, np.sort(np.concatenate([left, grown])))


@given(
    st.integers(0, 99),
    st.sampled_from(["magnitude", "random", "magnitude_and_gradient"]),
    st.sampled_from(["random", "gradient"]),
)
def test_the_number_of_edges_is_on_its_schedule(seed: int, drop: str, grow: str) -> None:
    of, rng = layer(seed=seed), np.random.default_rng(seed)
    density = cubic(float(rng.uniform(0.1, 1)), float(rng.uniform(0.05, 1)))
    step = int(rng.integers(0, 101))
    delta = DropAndGrow(drop, grow, 0.25, density).propose(view(of, step=step), rng=seed)
    assert of.n_edges - len(delta.dropped) + len(delta.grown_src) == round(density(step / 100) * 108)
    rewiring.apply_delta(of, delta)
    assert of.n_edges == round(density(step / 100) * 108)


def test_what_must_go_beyond_the_fraction_is_the_smallest() -> None:
    of = layer()
    delta = DropAndGrow("magnitude", "none", 0.1, density=0.2).propose(view(of), rng=0)
    smallest = np.sort(np.argsort(np.abs(view(of).weight), kind="stable")[: 40 - 22])
    np.testing.assert_array_equal(delta.dropped, smallest)
    assert len(delta.grown_src) == 0


def test_gmp_falls_along_its_cubic_and_nothing_revives() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 8))
    ns.sparsify(model, density=1.0, rng=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    driver = ns.Rewiring(model, optimizer, gmp(end=0.1), every=2, until=20, rng=0)
    seen, counts = [set(own.topology.keys().tolist()) for own in sparse_layers(model)], []
    for _ in range(24):
        nn.functional.cross_entropy(model(torch.randn(8, 16)), torch.randint(8, (8,))).backward()
        driver.step()
        optimizer.step()
        optimizer.zero_grad()
        now = [set(own.topology.keys().tolist()) for own in sparse_layers(model)]
        assert all(a <= b for a, b in zip(now, seen, strict=True))
        seen = now
        counts.append([own.n_edges for own in sparse_layers(model)])
    expected = [[round((0.1 + 0.9 * (1 - t / 20) ** 3) * n) for n in (320, 160)] for t in range(2, 21, 2)]
    assert counts[1:21:2] == expected
    assert counts[-1] == [32, 16]


def test_mest_drops_by_weight_and_gradient() -> None:
    """0.3 |w| alone would let edge 0 go; its gradient keeps it."""
    of = layer(3, 2, 4)
    with torch.no_grad():
        of.weight.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    gradient = np.array([50.0, 0, 0, 0], np.float32)
    assert mest(0.3).propose(view(of, gradient=gradient), rng=0).dropped.tolist() == [1]
    assert mest(0.3, gradient_weight=0.0).propose(view(of, gradient=gradient), rng=0).dropped.tolist() == [0]


def test_mest_has_edges_beyond_its_budget_until_the_end() -> None:
    """108 pairs at 0.2 + 0.1: 32 edges until 0.6 of the time, then 27, and 22 in the end; every action drops down to 22."""
    of, rule = layer(n_edges=32), mest(density=0.2, surplus=0.1)
    counts = []
    for step in range(10, 101, 10):
        delta = rule.propose(view(of, step=step), rng=step)
        assert of.n_edges - len(delta.dropped) == 22
        rewiring.apply_delta(of, delta)
        counts.append(of.n_edges)
    assert counts == [32] * 5 + [27] * 4 + [22]


def test_a_loop_of_ones_own_gives_mest_the_gradient_of_the_step() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 8))
    ns.sparsify(model, density=0.4, rng=0)
    optimizer = torch.optim.AdamW(model.parameters())
    driver = ns.Rewiring(model, optimizer, mest(0.3, gradient_weight=1e3), every=3, rng=0)
    for step in range(1, 7):
        nn.functional.cross_entropy(model(torch.randn(8, 16)), torch.randint(8, (8,))).backward()
        gradients = [own.weight.grad.clone() for own in sparse_layers(model)]
        before = [own.topology for own in sparse_layers(model)]
        driver.step()
        optimizer.step()
        if step % 3 == 0:
            for own, gradient, topology in zip(sparse_layers(model), gradients, before, strict=True):
                gone = ~np.isin(topology.keys(), own.topology.keys())
                assert gone.any()
                assert gradient.abs().numpy()[gone].max() <= np.sort(gradient.abs().numpy())[int(0.3 * len(gradient)) + 1]
        optimizer.zero_grad()
    assert driver.state_dict()["rule"] == "mest"


@pytest.mark.parametrize("name", ["ch3_l3p", "ch2_l3p", "ch3_l3n", "ch2_l3n"])
def test_links_grow_where_they_are_likely_by_the_edges_that_are_left(name: str) -> None:
    of = layer()
    delta = DropAndGrow("relative_importance", name, 0.3).propose(view(of), rng=0)
    importance = rewiring.relative_importance(of.topology, view(of).weight)
    np.testing.assert_array_equal(delta.dropped, np.sort(np.argsort(importance, kind="stable")[:12]))
    left = ns.BipartiteTopology.from_keys(np.delete(of.topology.keys(), delta.dropped), 12, 9)
    likely = getattr(rewiring, name)(left).largest(12, rng=0)
    np.testing.assert_array_equal(delta.grown_dst * 12 + delta.grown_src, likely)
    drawn = DropAndGrow("magnitude", {"name": name, "soft": True}, 0.3).propose(view(of), rng=1)
    assert len(drawn.grown_src) == 12
    assert not same(drawn, DropAndGrow("magnitude", {"name": name, "soft": True}, 0.3).propose(view(of), rng=2))


@pytest.mark.parametrize(("step", "exponent"), [(0, 1.0), (50, 2.0), (100, 3.0)])
def test_soft_removal_keeps_edges_in_proportion_to_a_power(step: int, exponent: float) -> None:
    """Of 3 edges one stays: 6,000 draws against w^T by a chi-squared test, which errs once in a million."""
    weights = np.array([0.2, -0.5, 1.0])
    of = layer(3, 2, 3)
    with torch.no_grad():
        of.weight.copy_(torch.from_numpy(weights))
    rng, kept = np.random.default_rng(1), np.zeros(3)
    for _ in range(6000):
        dropped = SoftMagnitude().of_count(view(of, step=step), 2, rng)
        kept[np.setdiff1d(np.arange(3), dropped)] += 1
    expected = np.abs(weights) ** exponent / (np.abs(weights) ** exponent).sum()
    assert scipy.stats.chisquare(kept, 6000 * expected).pvalue > 1e-6


def test_soft_removal_lets_zeros_go_first() -> None:
    of = layer()
    with torch.no_grad():
        of.weight[::2] = 0
    for seed in range(5):
        assert SoftMagnitude().of_count(view(of), 20, np.random.default_rng(seed)).tolist() == list(range(0, 40, 2))
    assert SoftMagnitude(2, 2).needs == ()


def test_after_the_last_step_nothing_grows_and_only_what_is_beyond_the_density_goes() -> None:
    assert not DropAndGrow("magnitude", "random", 0.3, keep=0.1).propose(view(layer(), is_last=True), rng=0).moves_edges
    assert not DropAndGrow("magnitude", "random", 0.3, density=0.9).propose(view(layer(), is_last=True), rng=0).moves_edges
    delta = DropAndGrow("magnitude", "random", 0.3, density=0.2).propose(view(layer(), is_last=True), rng=0)
    assert (len(delta.dropped), len(delta.grown_src)) == (40 - 22, 0)


@pytest.mark.parametrize("rule", [gmp(end=0.1, start=0.5), DropAndGrow("magnitude", "random", 0.3, cubic(0.5, 0.1))])
def test_a_training_that_rewires_after_epochs_ends_with_the_last_density(rule: Any) -> None:
    model = ns.SparseMLP([20, 10, 5], density=0.5, rng=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(40, 20), torch.arange(40) % 5
    train(model, optimizer, x, y, epochs=4, batch_size=10, rng=0, callbacks=[Rewire(rule)])
    assert [own.n_edges for own in model.layers] == [20, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"drop": "weight"},
            "unknown drop criterion 'weight'; allowed are: magnitude, magnitude_and_gradient, random, relative_importance, s",
        ),
        (
            {"grow": 3},
            "grow is 3; it must be one of random, gradient, ch3_l3p, ch2_l3p, ch3_l3n, ch2_l3n, none, or a criterion",
        ),
        ({"drop": {"name": "magnitude", "noise": 1}}, "drop 'magnitude': unknown key 'noise' = 1; allowed are: tie_noise"),
        ({"fraction": 1.0}, r"fraction is 1\.0; it must be a number in \(0, 1\), or a schedule"),
        ({"density": 0}, r"density is 0; it must be a number in \(0, 1\], or a schedule"),
        ({"density": {"name": "cubic", "start": 1.0}}, "density: schedule .*missing"),
        ({"drop": {"name": "soft_magnitude", "end": -1}}, r"end is -1; it must be a number from 0 to 100"),
        ({"keep": 2}, r"keep is 2; it must be a number in \(0, 1\]"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DropAndGrow(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"density": 1.5}, r"density is 1\.5; it must be a number in \(0, 1\)"),
        ({"density": 0.9, "surplus": 0.2}, r"surplus is 0\.2; it must be a number from 0 to 0\.1"),
    ],
)
def test_bad_arguments_of_mest(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mest(**arguments)


def test_a_falling_density_needs_a_criterion_that_ranks() -> None:
    with pytest.raises(ConfigError, match="drop 'sign' says by itself how many edges go; a density that falls needs another"):
        DropAndGrow("sign", "random", 0.1, density=0.1).propose(view(layer()), rng=0)


def test_a_rule_without_the_gradient_that_it_needs_is_refused() -> None:
    with pytest.raises(ConfigError, match="gradient is missing in the view of the edges; rewiring rule 'mest' needs"):
        mest().propose(edge_view(layer()), rng=0)


def test_densities_of_steps() -> None:
    rule = DropAndGrow("magnitude", "random", 0.2, steps([0.5, 0.2], until=[0.5]))
    of = layer()
    for step, expected in ((10, 54), (60, 22)):
        rewiring.apply_delta(of, rule.propose(view(of, step=step), rng=0))
        assert of.n_edges == expected
