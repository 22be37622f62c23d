"""Soft Deep R: its count, its floor, and its way through compiled training."""

import numpy as np
import pytest
import torch
from deep_r_cases import DENSITY, Watch, X, Y, network

from netsci_nn import SparseLinear, generators
from netsci_nn.rewiring import SoftDeepR, apply_delta, edge_view
from netsci_nn.training import Rewire, train


def test_soft_count_holds_in_expectation_under_the_prior() -> None:
    """20,000 pairs start in the stationary law, weights exponential with mean T / l1, and take 300 steps without a gradient.

    The mean density over the last 200 steps must lie within 10 % of the first. Draws are correlated in time; the spread
    over seeds was about 1.5 %. Unless theta_min is right, the density leaves these bounds.
    """
    rule = SoftDeepR(l1=0.01, noise=1e-4)
    topology = generators.erdos_renyi(200, 100, density=0.2, rng=0)
    layer = SparseLinear(topology, bias=False)
    rng = np.random.default_rng(1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rng.exponential(1e-4 / 0.01, len(layer.weight))))
    memory = rule.remember(edge_view(layer), rng)
    densities = []
    for step in range(300):
        view = edge_view(layer, step=step, learning_rate=0.1, memory=memory)
        apply_delta(layer, rule.propose(view, rng=rng))
        densities.append(layer.n_edges / 20_000)
    assert np.mean(densities[100:]) == pytest.approx(0.2, rel=0.1)
    assert len(set(densities)) > 50


def test_soft_keeps_signs_and_floor() -> None:
    watch = Watch()
    rule = SoftDeepR(l1=1e-3, noise=1e-6)
    model = network()
    rewire = Rewire(rule)
    train(
        model, torch.optim.SGD(model.parameters(), lr=0.1), X[:200], Y[:200], epochs=1, batch_size=10, rng=0,
        callbacks=[rewire, watch],
    )  # fmt: skip
    assert watch.turned > 0
    for number, layer in enumerate(model.layers):
        memory = rewire.memory[number]
        assert memory["theta"].min() >= np.float32(rule.lowest(DENSITY[number], 0.1)) * (1 + 1e-6)
        np.testing.assert_array_equal(np.flatnonzero(memory["theta"] > 0), layer.topology.keys())


def test_soft_is_the_same_in_compiled_training() -> None:
    models = []
    for compiled in (True, False):
        model = network().double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        callbacks = [Rewire(SoftDeepR())]
        x, y = X[:300].double(), Y[:300]
        train(model, optimizer, x, y, epochs=1, batch_size=10, rng=0, callbacks=callbacks, compiled=compiled)
        models.append(model)
    for a, b in zip(models[0].layers, models[1].layers, strict=True):
        assert a.topology == b.topology
        np.testing.assert_allclose(a.weight.detach().numpy(), b.weight.detach().numpy(), rtol=1e-9, atol=1e-12)
    assert models[0].layers[0].n_edges != network().layers[0].n_edges
