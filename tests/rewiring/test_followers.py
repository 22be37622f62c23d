"""Averaged copies (EMA, SWA) follow a rewiring edge by edge, and never average weights of different edges."""

import copy
import io
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn, update_bn

from netsci_nn import BipartiteTopology, SparseLinear, SparseMLP, generators
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring import EdgeDelta, SparseEvolution, apply_delta, edge_view
from netsci_nn.training import Rewire, train

Edges = dict[tuple[int, int], float]


def by_edge(layer: SparseLayer) -> Edges:
    return {(s, d): w for (s, d), w in zip(layer.topology.to_edges().tolist(), layer.weight.tolist(), strict=True)}


def small() -> SparseLinear:
    layer = SparseLinear(BipartiteTopology(n_in=3, n_out=2, src=[1, 2, 0], dst=[0, 0, 1]), bias=False)
    layer.weight.data.copy_(torch.tensor([1.0, 2.0, 3.0]))
    return layer


def delta(
    dropped: Sequence[int] = (1,), src: Sequence[int] = (0,), dst: Sequence[int] = (0,), values: Any = (9.0,), **more: Any
) -> EdgeDelta:
    return EdgeDelta(np.array(dropped, int), np.array(src, int), np.array(dst, int), np.array(values, np.float32), **more)


def set_delta(layer: SparseLayer, rng: int = 0, **context: Any) -> EdgeDelta:
    return SparseEvolution(0.3).propose(edge_view(layer, **context), rng=rng)


def mlp(rng: int = 0) -> SparseMLP:
    return SparseMLP([20, 16, 3], density=0.3, rng=rng)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    x = torch.rand(8, 20, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model(x).square().sum().backward()
    optimizer.step()


def test_by_hand_survivors_keep_their_averaged_weight_and_new_edges_take_the_grown_value() -> None:
    layer = small()
    follower = copy.deepcopy(layer)
    follower.weight.data.copy_(torch.tensor([10.0, 20.0, 30.0]))
    apply_delta(layer, delta(), step=7, followers=[follower])
    assert by_edge(layer) == {(0, 0): 9.0, (1, 0): 1.0, (0, 1): 3.0}
    assert by_edge(follower) == {(0, 0): 9.0, (1, 0): 10.0, (0, 1): 30.0}
    assert follower.birth.tolist() == layer.birth.tolist() == [7, 0, 0]
    assert follower.topology == layer.topology
    x = torch.tensor([[1.0, 10.0, 100.0]])
    assert follower(x).tolist() == [[109.0, 30.0]]


def test_the_rules_changes_of_kept_weights_are_not_the_followers() -> None:
    layer, follower = small(), small()
    kept = np.array([4.0, 5.0, 6.0], np.float32)
    apply_delta(layer, delta((), (), (), (), kept_values=kept), followers=[follower])
    assert follower.weight.tolist() == [1.0, 2.0, 3.0]
    apply_delta(layer, delta(kept_values=kept), followers=[follower])
    assert by_edge(follower) == {(0, 0): 9.0, (1, 0): 1.0, (0, 1): 3.0}


def test_masks_births_dtypes_and_counts_follow() -> None:
    layer, follower = small(), small().double()
    mask = np.array([True, False, True])
    apply_delta(layer, delta((), (), (), (), kept_active=mask), followers=[follower])
    assert follower.active is not None
    assert follower.active.tolist() == [True, False, True]
    x = torch.tensor([[1.0, 10.0, 100.0]])
    assert follower(x.double()).tolist() == layer(x).tolist() == [[10.0, 3.0]]
    apply_delta(layer, delta((0,), (0, 1), (0, 1), (7.0, 8.0), grown_active=np.array([False, True])), followers=[follower])
    assert follower.n_edges == layer.n_edges == 4
    assert follower.weight.dtype == torch.float64
    assert follower.active is not None
    assert layer.active is not None
    assert follower.active.tolist() == layer.active.tolist() == [False, False, True, True]
    assert follower(x.double()).tolist() == layer(x).tolist() == [[0.0, 83.0]]


def test_a_layer_with_no_edge_left_and_its_follower() -> None:
    layer, follower = small(), small()
    apply_delta(layer, delta((0, 1, 2), (), (), ()), followers=[follower])
    assert follower.n_edges == 0
    apply_delta(layer, delta((), (2,), (1,), (5.0,)), followers=[follower])
    assert by_edge(follower) == {(2, 1): 5.0}


def refused(*followers: Any, layer: SparseLinear | None = None, optimizer: torch.optim.Optimizer | None = None) -> str:
    """The error of `apply_delta` with these followers, after a look at whether anything has changed."""
    layer = layer or small()
    known = [each for each in (layer, *followers) if isinstance(each, SparseLayer)]
    before = [(each.topology, each.weight.tolist(), each.birth.tolist(), each.topology_version) for each in known]
    with pytest.raises((ConfigError, TopologyError)) as error:
        apply_delta(layer, delta(), optimizer, followers=list(followers))
    assert [(each.topology, each.weight.tolist(), each.birth.tolist(), each.topology_version) for each in known] == before
    assert "\n" not in str(error.value)
    return str(error.value)


def test_followers_that_do_not_fit_are_refused_before_anything_changes() -> None:
    layer, other = small(), SparseLinear(BipartiteTopology(n_in=3, n_out=2, src=[0, 1, 2], dst=[0, 0, 1]))
    assert "followers[0] is a Linear" in refused(nn.Linear(3, 2))
    assert "followers[0] is layer itself" in refused(layer, layer=layer)
    twin = small()
    assert "followers[1] is a layer that followers names before" in refused(twin, twin)
    assert "followers[0] has other edges than layer" in refused(other)
    assert "followers[1] has other edges than layer" in refused(small(), other)
    trained = small()
    optimizer = torch.optim.SGD([*layer.parameters(), *trained.parameters()], lr=0.1)
    assert "followers[0] is trained by the optimizer" in refused(trained, layer=layer, optimizer=optimizer)
    tied = small()
    tied.weight = layer.weight
    assert "followers[0] is trained" in refused(tied, layer=layer)
    kernels = SparseLayer(small().topology, kernel=(2,))
    assert "followers[0] carries kernels [2]; those of the layer are []" in refused(kernels)
    with pytest.raises(ConfigError, match="followers is a SparseLinear; it must be a list of sparse layers"):
        apply_delta(layer, delta(), followers=small())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"avg_fn": get_ema_avg_fn(0.9)},
        {"multi_avg_fn": get_ema_multi_avg_fn(0.9)},
        {"multi_avg_fn": get_ema_multi_avg_fn(0.9), "use_buffers": True},
    ],
)
def test_an_average_over_rewirings_is_the_average_edge_by_edge(options: dict[str, Any]) -> None:
    """The oracle: a dictionary of weights by edge, averaged by hand; an edge that is born starts at its grown value."""
    layer = SparseLinear(generators.erdos_renyi(20, 10, n_edges=60, rng=0), dtype=torch.float64)
    averaged = AveragedModel(layer, **options)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
    expected: Edges = {}
    for number in range(12):
        optimizer.zero_grad()
        layer(torch.rand(8, 20, generator=torch.Generator().manual_seed(number)).double()).square().sum().backward()
        optimizer.step()
        averaged.update_parameters(layer)
        share = 1 / (number + 1) if not options else 0.1
        now = by_edge(layer)
        expected = now if number == 0 else {edge: expected[edge] + share * (now[edge] - expected[edge]) for edge in now}
        assert by_edge(averaged.module) == pytest.approx(expected)
        if number % 3 == 2:
            change = set_delta(layer, number)
            grown = list(zip(change.grown_src.tolist(), change.grown_dst.tolist(), change.grown_values.tolist(), strict=True))
            survivors = [edge for k, edge in enumerate(now) if k not in set(change.dropped.tolist())]
            apply_delta(layer, change, optimizer, followers=[averaged.module])
            expected = {edge: expected[edge] for edge in survivors} | {(s, d): value for s, d, value in grown}
            assert averaged.module.topology == layer.topology
    assert int(averaged.n_averaged) == 12


def test_averaging_over_other_edges_is_refused_before_anything_is_averaged() -> None:
    model = mlp()
    averaged, optimizer = AveragedModel(model), torch.optim.SGD(model.parameters(), lr=0.1)
    averaged.update_parameters(model)
    step(model, optimizer)
    apply_delta(model.layers[1], set_delta(model.layers[1]), optimizer)
    before = copy.deepcopy(averaged.state_dict())
    with pytest.raises(TopologyError, match=r"layer 'layers.1' of the averaged model has other edges .* followers="):
        averaged.update_parameters(model)
    after = averaged.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert averaged.module.layers[1].topology != model.layers[1].topology


@pytest.mark.parametrize("is_last", [False, True])
def test_the_first_update_copies_the_edges_too(is_last: bool) -> None:
    model = mlp()
    averaged, optimizer = AveragedModel(model), torch.optim.SGD(model.parameters(), lr=0.1)
    step(model, optimizer)
    for layer in model.layers:
        apply_delta(layer, set_delta(layer, is_last=is_last), optimizer, step=3)
    model.layers[0].active = np.arange(model.layers[0].n_edges) % 2 == 0
    averaged.update_parameters(model)
    for twin, layer in zip(averaged.module.layers, model.layers, strict=True):
        assert twin.topology == layer.topology
        assert torch.equal(twin.weight, layer.weight)
        assert torch.equal(twin.birth, layer.birth)
        assert twin.weight is not layer.weight
    x = torch.rand(4, 20)
    assert torch.equal(averaged(x), model(x))
    averaged.update_parameters(model)
    model.layers[0].active = None  # masks follow at later updates too, as torch's buffers do
    averaged.update_parameters(model)
    assert averaged.module.layers[0].active is None
    torch.testing.assert_close(averaged(x), model(x))


def test_models_that_do_not_match_are_refused() -> None:
    averaged = AveragedModel(mlp())
    with pytest.raises(TopologyError, match="has 2 sparse layers and the model 3"):
        averaged.update_parameters(SparseMLP([20, 16, 16, 3], density=0.3, rng=0))
    with pytest.raises(TopologyError, match=r"layer 'layers.1' .*\(16, 3\).*\(16, 4\)"):
        averaged.update_parameters(SparseMLP([20, 16, 4], density=0.3, rng=0))


def reloaded(averaged: AveragedModel) -> AveragedModel:
    file = io.BytesIO()
    torch.save(averaged, file)
    file.seek(0)
    result = torch.load(file, weights_only=False)
    assert isinstance(result, AveragedModel)
    return result


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda averaged: pickle.loads(pickle.dumps(averaged)), reloaded])
def test_copies_of_an_averaged_model_are_checked_too(copied: Any) -> None:
    model = mlp()
    averaged = AveragedModel(model, multi_avg_fn=None)
    averaged.update_parameters(model)
    twin, optimizer = copied(averaged), torch.optim.SGD(model.parameters(), lr=0.1)
    step(model, optimizer)
    twin.update_parameters(model)
    assert (int(twin.n_averaged), int(averaged.n_averaged)) == (2, 1)
    torch.testing.assert_close(twin.module.layers[0].weight, (averaged.module.layers[0].weight + model.layers[0].weight) / 2)
    apply_delta(model.layers[0], set_delta(model.layers[0]), optimizer)
    with pytest.raises(TopologyError, match="other edges"):
        twin.update_parameters(model)
    assert int(twin.n_averaged) == 2


def test_an_averaged_state_dict_is_loaded_with_its_edges() -> None:
    model = mlp()
    averaged, optimizer = AveragedModel(model), torch.optim.SGD(model.parameters(), lr=0.1)
    averaged.update_parameters(model)
    step(model, optimizer)
    for layer, twin in zip(model.layers, averaged.module.layers, strict=True):
        apply_delta(layer, set_delta(layer, is_last=True), optimizer, followers=[twin])
    fresh = AveragedModel(mlp(rng=5))
    fresh.load_state_dict(averaged.state_dict())
    assert fresh.module.layers[0].topology == model.layers[0].topology
    for each in (averaged, fresh):
        each.update_parameters(model)
    assert torch.equal(fresh.module.layers[0].weight, averaged.module.layers[0].weight)
    assert int(fresh.n_averaged) == 2


class Counted(AveragedModel):
    """A subclass with an update of its own, as libraries write it."""

    calls = 0

    def update_parameters(self, model: nn.Module) -> None:
        self.calls += 1
        super().update_parameters(model)


def test_subclasses_keep_their_own_update() -> None:
    model = mlp()
    averaged, optimizer = Counted(model), torch.optim.SGD(model.parameters(), lr=0.1)
    averaged.update_parameters(model)
    assert (averaged.calls, int(averaged.n_averaged)) == (1, 1)
    apply_delta(model.layers[0], set_delta(model.layers[0]), optimizer)
    with pytest.raises(TopologyError, match="other edges"):
        averaged.update_parameters(model)
    assert averaged.calls == 1


def test_dense_models_are_left_alone() -> None:
    averaged = AveragedModel(nn.Linear(3, 2))
    assert "update_parameters" not in vars(averaged)


def test_batch_norm_statistics_of_an_averaged_model() -> None:
    model = nn.Sequential(SparseLinear(generators.erdos_renyi(20, 10, n_edges=60, rng=0)), nn.BatchNorm1d(10))
    layer = model[0]
    assert isinstance(layer, SparseLinear)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for use_buffers in (False, True):
        averaged = AveragedModel(model, use_buffers=use_buffers)
        for number in range(4):
            step(model, optimizer, number)
            averaged.update_parameters(model)
            apply_delta(layer, set_delta(layer, number), optimizer, followers=[averaged.module[0]])
        x = torch.rand(64, 20)
        update_bn([x], averaged)
        assert isinstance(averaged.module[0], SparseLinear)
        torch.testing.assert_close(averaged.module[1].running_mean, averaged.module[0](x).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("when", [{"every_epochs": 1}, {"every_steps": 4}])
def test_rewire_takes_whole_averaged_models(when: dict[str, int]) -> None:
    model, x, y = mlp(), torch.rand(40, 20), torch.arange(40) % 3
    averaged, optimizer = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)), torch.optim.SGD(model.parameters(), 0.1)

    def average(event: str, state: Any) -> None:
        if event == "step":
            averaged.update_parameters(model)

    start = [layer.topology for layer in model.layers]
    rewire = Rewire(SparseEvolution(0.3), layers=[1], followers=[averaged], **when)
    train(model, optimizer, x, y, epochs=3, batch_size=8, rng=0, callbacks=[average, rewire])
    for twin, layer in zip(averaged.module.layers, model.layers, strict=True):
        assert twin.topology == layer.topology
        assert torch.equal(twin.birth, layer.birth)
    assert model.layers[0].topology == start[0]
    assert model.layers[1].topology != start[1]


def test_followers_in_runs_of_compiled_steps() -> None:
    """After epochs the modules hold the edges, so compiled steps serve; between steps they do not, so torch trains."""
    x, y = torch.rand(40, 20), torch.arange(40) % 3
    for when, is_possible in (({"every_epochs": 1}, True), ({"every_steps": 4}, False)):
        model = mlp()
        averaged, optimizer = AveragedModel(model), torch.optim.SGD(model.parameters(), lr=0.1)
        rewire = Rewire(SparseEvolution(0.3), followers=[averaged], **when)
        options: dict[str, Any] = {"epochs": 3, "batch_size": 8, "rng": 0, "callbacks": [rewire]}
        if not is_possible:
            with pytest.raises(ConfigError, match="a callback needs every step"):
                train(model, optimizer, x, y, compiled=True, **options)
        train(model, optimizer, x, y, compiled=True if is_possible else None, **options)
        assert [t.topology for t in averaged.module.layers] == [layer.topology for layer in model.layers]
        averaged.update_parameters(model)
        averaged.update_parameters(model)


def test_rewire_refuses_followers_that_are_no_copies_when_training_starts() -> None:
    model, x, y = mlp(), torch.rand(40, 20), torch.arange(40) % 3
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = [layer.topology for layer in model.layers]
    for followers, error, message in (
        ([SparseMLP([20, 16, 16, 3], density=0.3, rng=0)], ConfigError, "followers.0. has 3 sparse layers and the model 2"),
        ([model], ConfigError, "followers.0. holds a layer of the model itself"),
        ([AveragedModel(model), mlp(rng=3)], TopologyError, "followers.1. has other edges than the model in sparse layer 0"),
    ):
        rewire = Rewire(SparseEvolution(0.3), followers=followers)
        with pytest.raises(error, match=message):
            train(model, optimizer, x, y, epochs=1, batch_size=8, rng=0, callbacks=[rewire])
    for wrong in (mlp(), ["ema"]):
        with pytest.raises(ConfigError, match="it must be a list of averaged models"):
            Rewire(SparseEvolution(0.3), followers=wrong)  # type: ignore[arg-type]
    assert [layer.topology for layer in model.layers] == before


def test_the_topology_is_that_of_the_weights_whatever_is_done() -> None:
    """The edges that a layer names are those it computes on: the dense matrix of edge and weight gives the same outputs."""

    def check(layer: SparseLayer, weight: torch.Tensor | None = None) -> None:
        assert isinstance(layer, SparseLinear)
        matrix = torch.zeros(layer.n_out, layer.n_in)
        matrix[layer.topology.dst.astype(int), layer.topology.src.astype(int)] = (
            layer.weight.detach() if weight is None else weight
        )
        x = torch.rand(4, layer.n_in)
        output = layer(x) if weight is None else torch.func.functional_call(layer, {"weight": weight}, (x,))
        bias = 0 if layer.bias is None else layer.bias
        torch.testing.assert_close(output, x @ matrix.t() + bias)

    model = mlp()
    averaged, optimizer = AveragedModel(model), torch.optim.SGD(model.parameters(), lr=0.1)
    for number in range(3):
        step(model, optimizer)
        averaged.update_parameters(model)
        for layer, twin in zip(model.layers, averaged.module.layers, strict=True):
            apply_delta(layer, set_delta(layer, number), optimizer, followers=[twin])
            for each in (layer, twin, copy.deepcopy(layer), copy.deepcopy(twin)):
                check(each)
                check(each, torch.rand(each.n_edges))
    other = mlp(rng=8)
    other.load_state_dict(averaged.module.state_dict())
    for layer in other.layers:
        check(layer)
    twin = copy.deepcopy(other.layers[0])
    apply_delta(other.layers[0], set_delta(other.layers[0]))  # a copy is a layer of its own
    assert twin.topology != other.layers[0].topology
    check(twin)
