"""What `sparsify` does to weights: "fan_in" gives back their variance, "keep" leaves them; and the table of the docs."""

import copy
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import netsci_nn as ns
from netsci_nn.models import sparse_layers
from scripts import initialisation

ROOT = Path(__file__).parents[2]


def layer_of(init: str, density: float, size: int = 1024) -> tuple[nn.Linear, ns.SparseLinear]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(size, size))
    dense = copy.deepcopy(model[0])
    ns.sparsify(model, density=density, init=init, rng=0)
    return dense, model[0]


@pytest.mark.parametrize("density", [0.01, 0.05, 0.3])
def test_the_output_deviates_as_that_of_the_dense_layer(density: float) -> None:
    """Of torch's initialisation sqrt(1 / 3) = 0.577 for inputs of variance 1; kept weights lose the root of the density."""
    x = torch.randn(512, 1024)
    for init, expected in (("fan_in", (1 / 3) ** 0.5), ("keep", (density / 3) ** 0.5)):
        _, layer = layer_of(init, density)
        with torch.no_grad():
            assert float((layer(x) - layer.bias).std()) == pytest.approx(expected, rel=0.02)


def test_every_target_has_the_law_of_a_dense_layer_with_its_sources() -> None:
    dense, layer = layer_of("fan_in", 0.02)
    degrees = torch.from_numpy(layer.topology.in_degrees)[layer.dst.long()]
    kept = dense.weight[layer.dst, layer.src]
    torch.testing.assert_close(layer.weight, kept * (1024 / degrees).sqrt())
    bound = 1 / degrees.sqrt()  # nn.Linear's of as many sources
    assert bool((layer.weight.abs() <= bound * 1.000001).all())
    assert float((layer.weight.detach().abs() / bound).mean()) == pytest.approx(0.5, rel=0.02)
    assert torch.equal(layer.bias, dense.bias)


def test_at_density_1_nothing_changes() -> None:
    dense, layer = layer_of("fan_in", 1.0, 30)
    assert torch.equal(layer.weight, dense.weight.reshape(-1))


def test_keep_keeps() -> None:
    dense, layer = layer_of("keep", 0.1, 30)
    assert torch.equal(layer.weight, dense.weight[layer.dst, layer.src])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtypes_and_targets_without_sources(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(8, 64, dtype=dtype))
    dense = copy.deepcopy(model[0])
    ns.sparsify(model, density=0.05, rng=0)
    degrees = torch.from_numpy(model[0].topology.in_degrees)
    assert model[0].weight.dtype == dtype
    assert bool((degrees == 0).any())
    assert bool(model[0].weight.isfinite().all())
    kept, factor = dense.weight[model[0].dst, model[0].src], (8 / degrees[model[0].dst.long()]).sqrt().to(dtype)
    torch.testing.assert_close(model[0].weight, kept * factor)


def test_a_deep_network_starts_by_default() -> None:
    """Ten layers at 5 %: the signal of kept weights is gone, the default's is as large as the dense network's."""
    dense = ns.dense_mlp([64, *[256] * 9, 10], rng=0)
    deviations = {}
    for init in ("keep", "fan_in", None):
        model = copy.deepcopy(dense)
        ns.sparsify(model, density=0.05, rng=0, **({} if init is None else {"init": init}))
        deviations[init] = initialisation.deviation(model) / initialisation.deviation(dense)
    assert deviations["keep"] < 1e-4
    assert 0.5 < deviations["fan_in"] < 2
    assert deviations[None] == deviations["fan_in"]


@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("bias", [True, False, None])
@pytest.mark.parametrize("init", ["keep", "fan_in"])
def test_what_was_frozen_stays_frozen(weight: bool, bias: bool | None, init: str) -> None:
    model = nn.Sequential(nn.Linear(20, 10, bias=bias is not None))
    model[0].weight.requires_grad_(weight)
    if bias is not None:
        model[0].bias.requires_grad_(bias)
    summary = ns.sparsify(model, density=0.3, init=init, rng=0)
    assert model[0].weight.requires_grad is weight
    assert (None if model[0].bias is None else model[0].bias.requires_grad) is bias
    assert [entry.requires_grad for entry in summary.sparse] == [weight]
    assert model[0].weight.is_leaf


def test_the_table_of_the_page_is_that_of_the_runs() -> None:
    runs = initialisation.read_runs()
    keys = [tuple(record[key] for key in initialisation.KEYS) for record in runs]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {tuple(settings.values()) for settings in initialisation.all_settings()}
    assert initialisation.table(runs) in (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    assert all({"commit", "cpus", "cpu", "epochs", "batch", "lr"} <= record.keys() for record in runs)


def test_a_run_gives_the_same_deviation_again() -> None:
    """The measured numbers are of this code: one of the runs that need no training, again."""
    record = next(
        run for run in initialisation.read_runs() if (run["init"], run["layers"], run["start"]) == ("fan_in", 10, "he")
    )
    model = copy.deepcopy(initialisation.dense_network(record["start"], record["layers"], record["seed"]))
    before = initialisation.deviation(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ns.sparsify(model, density=record["density"], init="fan_in", rng=record["seed"])
    assert len(sparse_layers(model)) == 10
    assert initialisation.deviation(model) / before == pytest.approx(record["result"]["deviation"], rel=1e-3)
