"""`parameter_groups`: every parameter once, weights of sparse layers among those that decay, whatever wraps the model."""

import math
from typing import Any

import pytest
import torch
from kernel_layer import KernelLayer
from torch import distributed as dist
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import netsci_nn as ns


def net() -> nn.ModuleDict:
    """A module of each kind that matters."""
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "embedding": nn.Embedding(7, 4),
            "sparse": ns.SparseLinear(ns.generators.erdos_renyi(4, 6, n_edges=9, rng=0)),
            "norm": nn.LayerNorm([2, 6]),
            "conv": nn.Conv2d(2, 3, 3),
            "batch": nn.BatchNorm2d(3),
            "attention": nn.MultiheadAttention(4, 2, add_bias_kv=True),
            "slope": nn.PReLU(3),
            "linear": nn.Linear(6, 5),
            "bilinear": nn.Bilinear(2, 2, 2),
        }
    )


DECAYING = {
    *("embedding.weight", "sparse.weight", "conv.weight", "attention.in_proj_weight", "attention.out_proj.weight"),
    *("linear.weight", "bilinear.weight"),
}


def names_of(model: nn.Module, groups: list[dict[str, Any]], weight_decay: float) -> list[str]:
    """The names of the parameters that decay, after a check that every parameter is in one group, once and in order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert [group["weight_decay"] for group in groups] == [weight_decay, 0.0]
    chosen = [[names[id(parameter)] for parameter in group["params"]] for group in groups]
    assert sorted(chosen[0] + chosen[1]) == sorted(names.values())
    order = list(names.values())
    assert all(group == sorted(group, key=order.index) for group in chosen)
    return chosen[0]


def test_what_decays() -> None:
    model = net()
    assert set(names_of(model, ns.parameter_groups(model, 0.1), 0.1)) == DECAYING


def test_the_usual_rule_would_miss_the_weights_of_sparse_layers() -> None:
    model = ns.SparseMLP([20, 16, 5], density=0.2, rng=0)
    assert not any(parameter.dim() >= 2 for parameter in model.parameters())
    assert names_of(model, ns.parameter_groups(model, 0.1), 0.1) == ["layers.0.weight", "layers.1.weight"]


def test_one_step_decays_weights_and_nothing_else() -> None:
    """With gradients of zero, AdamW multiplies what decays by 1 - lr * weight_decay."""
    model = net()
    optimizer = torch.optim.AdamW(ns.parameter_groups(model, weight_decay=0.5), lr=0.1)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] * (0.95 if name in DECAYING else 1.0))


def test_kernels_decay() -> None:
    layer = KernelLayer(ns.generators.erdos_renyi(3, 4, n_edges=5, rng=0), [2, 2])
    model = nn.Sequential(layer, nn.BatchNorm2d(4))
    assert names_of(model, ns.parameter_groups(model, 0.1), 0.1) == ["0.weight"]


class Halved(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / 2


def test_parametrised_layers() -> None:
    model = net()
    parametrize.register_parametrization(model["sparse"], "weight", Halved())
    parametrizations.weight_norm(model["linear"])
    parametrizations.spectral_norm(model["conv"])
    expected = DECAYING - {"sparse.weight", "linear.weight", "conv.weight"} | {
        "sparse.parametrizations.weight.original",
        "linear.parametrizations.weight.original0",
        "linear.parametrizations.weight.original1",
        "conv.parametrizations.weight.original",
    }
    assert set(names_of(model, ns.parameter_groups(model, 0.1), 0.1)) == expected


@pytest.mark.parametrize(
    "wrap",
    [
        nn.Sequential,
        lambda model: torch.compile(model, backend="eager"),
        torch.optim.swa_utils.AveragedModel,
    ],
    ids=["Sequential", "compile", "AveragedModel"],
)
def test_wrapped_models(wrap: Any) -> None:
    wrapped = wrap(net())
    (prefix,) = {name.partition("embedding")[0] for name, _ in wrapped.named_parameters() if "embedding" in name}
    decaying = names_of(wrapped, ns.parameter_groups(wrapped, 0.1), 0.1)
    assert {name.removeprefix(prefix) for name in decaying} == DECAYING


def test_a_model_for_several_processes() -> None:
    model = net()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        decaying = names_of(wrapped, ns.parameter_groups(wrapped, 0.1), 0.1)
    finally:
        dist.destroy_process_group()
    assert {name.removeprefix("module.") for name in decaying} == DECAYING


def test_shared_parameters_are_there_once() -> None:
    model = nn.ModuleList([nn.Embedding(5, 4), nn.Linear(4, 5), net()["sparse"], net()["sparse"]])
    model[1].weight = model[0].weight
    model[3].weight = model[2].weight
    model[3].bias = model[2].bias
    model.append(model[2])
    assert names_of(model, ns.parameter_groups(model, 0.1), 0.1) == ["0.weight", "2.weight"]


def test_frozen_parameters_are_there_and_stand_still_until_they_are_trainable() -> None:
    model = nn.Sequential(ns.SparseLinear(ns.generators.erdos_renyi(4, 6, n_edges=9, rng=0)), nn.Linear(6, 2))
    model[0].requires_grad_(False)
    groups = ns.parameter_groups(model, 0.1)
    assert names_of(model, groups, 0.1) == ["0.weight", "1.weight"]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    frozen = model[0].weight.detach().clone()
    for is_trainable in (False, True):
        model[0].requires_grad_(is_trainable)
        model(torch.ones(3, 4)).sum().backward()
        optimizer.step()
        assert torch.equal(model[0].weight, frozen) is not is_trainable


def test_empty_groups_are_left_out() -> None:
    assert [group["weight_decay"] for group in ns.parameter_groups(nn.Linear(3, 2, bias=False), 0.1)] == [0.1]
    assert [group["weight_decay"] for group in ns.parameter_groups(nn.LayerNorm(3), 0.1)] == [0.0]
    assert [group["weight_decay"] for group in ns.parameter_groups(nn.Linear(3, 2), 0)] == [0.0, 0.0]


def test_rewiring_with_groups() -> None:
    """The optimiser's state moves with the edges, in whatever group they are."""
    model = nn.Sequential(ns.SparseLinear(ns.generators.erdos_renyi(20, 20, n_edges=80, rng=0)))
    optimizer = torch.optim.AdamW(ns.parameter_groups(model, 0.1), lr=0.1)
    model(torch.randn(5, 20)).square().sum().backward()
    optimizer.step()
    layer = model[0]
    delta = ns.rewiring.SparseEvolution(fraction=0.3).propose(ns.rewiring.edge_view(layer), rng=0)
    ns.rewiring.apply_delta(layer, delta, optimizer)
    assert optimizer.state[layer.weight]["exp_avg"].shape == layer.weight.shape
    assert optimizer.param_groups[0]["params"] == [layer.weight]


class FullyShardedDataParallel(nn.Module):
    """As torch's, which flattens parameters: known by its name, since it cannot be made without processes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


@pytest.mark.parametrize(
    ("model", "weight_decay", "message"),
    [
        ([nn.Linear(2, 2)], 0.1, "model is a list; it must be a module"),
        (nn.ReLU(), 0.1, "model is a ReLU without parameters; it must have some"),
        (nn.Linear(2, 2), -0.1, "weight_decay is -0.1; it must be a number >= 0"),
        (nn.Linear(2, 2), math.nan, "weight_decay is nan; it must be a number >= 0"),
        (nn.Linear(2, 2), math.inf, "weight_decay is inf; it must be a number >= 0"),
        (nn.Linear(2, 2), "0.1", "weight_decay is '0.1'; it must be a number >= 0"),
        (nn.Linear(2, 2), True, "weight_decay is True; it must be a number >= 0"),
        (nn.Sequential(nn.LazyLinear(3)), 0.1, r"parameter '0\.weight' is not initialised; the model must have seen an input"),
        (
            nn.Sequential(FullyShardedDataParallel(nn.Linear(2, 2))),
            0.1,
            "module '0' is a FullyShardedDataParallel, which flattens its parameters, .*; shard with .*fully_shard",
        ),
    ],
)
def test_refusals(model: Any, weight_decay: Any, message: str) -> None:
    with pytest.raises(ns.ConfigError, match=message):
        ns.parameter_groups(model, weight_decay)
