"""Experiments with models that are no perceptron: built, recorded with their wiring, resumed, followed, ablated."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toy_experiments import DATA, interrupt_at, run, toy

import analysis
from netsci_nn.cli.evolve import _follow
from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.experiment import RunDirectory, build_model, count_weights
from netsci_nn.experiment.ablation import plan_ablation, run_ablation, summarise
from netsci_nn.experiment.build import dense_model, sparse_sizes, training_multiply_adds
from netsci_nn.experiment.config import Experiment, parse_experiment
from netsci_nn.experiment.trained import trained_model
from netsci_nn.intake import take_in
from netsci_nn.layers import SparseConv2d
from netsci_nn.models import MODELS, sparse_layers

SET = {"name": "SET", "rewiring": "set"}
CNN = {"name": "residual_cnn", "layer_sizes": [12, 3], "shape": [3, 4], "widths": [8, 16], "density": 0.5}
MLP = {"name": "residual_mlp", "layer_sizes": [12, 3], "width": 10, "n_blocks": 2, "density": 0.3}


def experiment(model: dict[str, Any] = CNN, *methods: dict[str, Any], epochs: int = 3) -> Experiment:
    training = {"epochs": epochs, "batch_size": 10, "momentum": 0.9}
    table = {"name": "toy", "dataset": "digits", "seeds": [0, 1], "model": model, "training": training}
    return parse_experiment({**table, "method": list(methods) or [SET]}, "toy")


def test_layers_of_eight_sources_are_sparse_with_the_density_of_every_one() -> None:
    model = build_model(experiment(), experiment().methods[0], DATA, 0)
    assert [type(layer).__name__ for layer in sparse_layers(model)] == ["SparseConv2d"] * 5 + ["SparseLinear"]
    assert [layer.n_edges for layer in sparse_layers(model)] == [32, 32, 64, 128, 64, 24]
    assert isinstance(model[1], nn.Conv2d)  # it reads one channel
    assert model(torch.zeros(2, 12)).shape == (2, 3)
    dense = build_model(experiment(), experiment(CNN, {"name": "dense", "generator": "dense"}).methods[0], DATA, 0)
    assert not sparse_layers(dense)
    assert count_weights(dense) == 72 + 2 * 576 + 128 + 1152 + 2304 + 48
    assert count_weights(model) == 72 + 2 * 288 + 64 + 576 + 1152 + 24


def test_a_value_per_layer() -> None:
    sizes = sparse_sizes(experiment(MLP))
    assert list(sizes.values()) == [(12, 10), *[(10, 10)] * 4, (10, 3)]
    densities = [0.1, 0.2, 0.3, 0.4, 0.5, 1.0]
    own = experiment(MLP, {"name": "own", "density": densities, "generator": ["erdos_renyi"] * 5 + ["constant_fan_in"]})
    model = build_model(own, own.methods[0], DATA, 0)
    assert [layer.n_edges for layer in sparse_layers(model)] == [12, 20, 30, 40, 50, 30]
    short = experiment(MLP, {"name": "own", "density": densities[:2]})
    with pytest.raises(ConfigError, match=r"density is \[0\.1, 0\.2\]; it must be one value or one for each of the 6"):
        build_model(short, short.methods[0], DATA, 0)


def test_multiply_adds_by_hand() -> None:
    """Per place of the map a weight counts once; the first layer gives no gradient back."""
    model = dense_model(experiment({**CNN, "widths": [8]}))
    pass_of_one = 12 * (72 + 2 * 576) + 24
    assert training_multiply_adds(model, 5, 12) == 5 * (3 * pass_of_one - 12 * 72)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({**CNN, "name": "cnn"}, "unknown model 'cnn'; allowed are: residual_cnn, residual_mlp"),
        ({**CNN, "depth": 3}, "model 'residual_cnn': unknown key 'depth' = 3; allowed are: shape, widths"),
        ({**CNN, "layer_sizes": [12, 5, 3]}, r"layer_sizes is \[12, 5, 3\]; of model 'residual_cnn' it must be its inputs and"),
        ({**CNN, "bias": False}, "activation and bias are for model 'mlp'; model 'residual_cnn' has its own"),
        ({"layer_sizes": [12, 3], "width": 3}, "unknown key 'model.width' = 3; allowed are: layer_sizes, density"),
    ],
)
def test_sections_that_are_refused(model: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        experiment(model)


def test_methods_that_prune_are_for_perceptrons() -> None:
    with pytest.raises(ConfigError, match="method 'p' prunes; only networks of model 'mlp' are pruned in experiment files"):
        experiment(CNN, {"name": "p", "pruning": {}})


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("residual_cnn", {"shape": [3, 5]}, r"shape is \[3, 5\]; it must be \(height, width\) or .* of n_in = 12 numbers"),
        ("residual_cnn", {"shape": [3, 4], "widths": []}, r"widths is \[\]; it must be whole numbers from 1 to 65536"),
        ("residual_cnn", {"shape": [True, 12]}, r"shape is \[True, 12\]; it must be"),
        ("residual_cnn", {"shape": [3, 4], "widths": [True]}, r"widths is \[True\]; it must be whole numbers"),
        ("residual_mlp", {"width": 0}, "width is 0; it must be"),
    ],
)
def test_parameters_that_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MODELS[name](12, 3, **arguments, rng=0)


@pytest.mark.parametrize("model", [CNN, MLP], ids=["cnn", "mlp"])
def test_a_run_is_resumed_to_the_same_bits(model: dict[str, Any], tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", experiment(model))
    cut = run(tmp_path / "cut", experiment(model), callbacks=[interrupt_at(9)])
    assert cut.interrupted
    resumed = run(tmp_path / "cut", experiment(model), resume=True)
    assert replace(resumed, directory=whole.directory, seconds=whole.seconds) == whole
    states = [trained_model(tmp_path / name).state_dict() for name in ("whole", "cut")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_run_knows_how_its_layers_are_joined(tmp_path: Path) -> None:
    run(tmp_path / "run", experiment())
    directory = RunDirectory(tmp_path / "run")
    network = analysis.as_layered(directory.network(directory.initial_topologies()))
    assert not network.is_chain
    assert network.group_sizes == (1, 8, 8, 8, 16, 16, 3)
    assert network.names[:3] == ("1", "4.body.0.0", "4.body.1.0")
    assert network.kinds == (*["convolution 3 x 3"] * 4, "convolution 1 x 1", "convolution 3 x 3", "")
    assert len(network.links) == 8  # past the first block; the second has a projection
    model = build_model(experiment(), experiment().methods[0], DATA, 0)
    by_name = dict(zip(network.names, network.layers, strict=True))
    for name, layer in model.named_modules():
        if isinstance(layer, SparseConv2d):
            np.testing.assert_array_equal(by_name[name].src, layer.topology.src)
    recorded = directory.recorded_topologies()
    followed = _follow(tmp_path / "run", recorded, ["degree"])
    assert followed.epochs == tuple(entry.epoch for entry in recorded)
    assert [(states[1].new.value or 0) > 0 for states in followed.layers] == [False] + [True] * 6
    described = analysis.describe(take_in(tmp_path / "run").networks[0].graph, nulls=0, measures=["reachability"], rng=0)
    assert described["network"]["dead_neurons"].value >= 0
    assert "convolution 3 x 3" in described.to_markdown()


def test_a_perceptron_has_no_file_of_its_wiring(tmp_path: Path) -> None:
    run(tmp_path / "run", toy())
    directory = RunDirectory(tmp_path / "run")
    assert not directory.wiring.exists()
    assert directory.network(directory.initial_topologies()) == list(directory.initial_topologies())


def test_a_wiring_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", experiment())
    directory = RunDirectory(tmp_path / "run")
    with pytest.raises(CheckpointError, match="has sparse layers of other sizes than those that are recorded"):
        directory.network(directory.initial_topologies()[:-1])
    directory.wiring.write_bytes(directory.wiring.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"wiring\.safetensors"):
        directory.network(directory.initial_topologies())


def test_the_checkpoint_gives_the_trained_network(tmp_path: Path) -> None:
    result = run(tmp_path / "run", experiment())
    model = trained_model(tmp_path / "run")
    x, y = torch.from_numpy(DATA.x_test), torch.from_numpy(DATA.y_test)
    accuracy = (model(x).argmax(1) == y).float().mean().item()
    assert accuracy == pytest.approx(result.metrics_by_epoch["accuracy"][-1])
    assert not model.training


def test_an_ablation_retrains_the_wiring(tmp_path: Path) -> None:
    run(tmp_path / "run", experiment(CNN, {"name": "ER"}))
    plan = plan_ablation(tmp_path / "run", tmp_path / "ablation", seeds=2, epochs=1)
    results = list(run_ablation(plan, DATA))
    ablation = summarise(results)
    assert ablation is not None
    assert ablation.seeds == (1, 2)
    final = RunDirectory(tmp_path / "run").final_layers()
    own, degrees, size = (next(result for result in results if result.method == arm) for arm in ablation.scores)
    assert own.initial == tuple(layer.topology for layer in final)
    for layer, topology in zip(degrees.initial, own.initial, strict=True):
        assert layer.in_degrees.tolist() == topology.in_degrees.tolist()
    assert [layer.n_edges for layer in size.initial] == [layer.n_edges for layer in own.initial]
