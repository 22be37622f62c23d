"""Methods that prune a dense network: budgets, weights to go on from, rounds, and the dense run that they share."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_experiments import DATA, interrupt_at, run, toy

from netsci_nn import CheckpointError, ConfigError
from netsci_nn.experiment import RunDirectory, build_model, run_experiment, run_method
from netsci_nn.experiment.config import MethodConfig, load_experiment, parse_experiment
from netsci_nn.experiment.pruned import prune_round
from netsci_nn.experiment.trained import trained_model
from netsci_nn.models import sparse_layers
from netsci_nn.topology import load_network

FC = {"name": "FC", "generator": "dense"}


def method(name: str = "P", **pruning: Any) -> dict[str, Any]:
    return {"name": name, "pruning": pruning}


def weights(directory: Path) -> list[np.ndarray]:
    return [layer.weights for layer in load_network(directory / "topology" / "final.safetensors")]


def test_lenet_is_pruned_to_its_budget() -> None:
    lenet = parse_experiment(
        {
            "name": "lenet", "dataset": "mnist", "model": {"layer_sizes": [784, 300, 100, 10], "density": [0.1, 0.1, 0.25]},
            "method": [FC, method(dense="FC", rounds=3)],
        },
        "lenet",
    )  # fmt: skip
    torch.manual_seed(0)
    dense = torch.nn.Sequential(*[torch.nn.Linear(a, b) for a, b in ((784, 300), (300, 100), (100, 10))])
    model: Any = dense
    counts = []
    for number in (1, 2, 3):
        model = prune_round(lenet, lenet.methods[1], dense, model, number, seed=0)
        counts.append([layer.n_edges for layer in sparse_layers(model)])
    assert counts[-1] == [23_520, 3_000, 250]
    assert counts[0] == [round(0.1 ** (1 / 3) * 235_200), round(0.1 ** (1 / 3) * 30_000), round(0.25 ** (1 / 3) * 1000)]


@pytest.mark.parametrize("kind", ["trained", "initial", "fresh"])
def test_weights_to_go_on_from(kind: str) -> None:
    """The pruned network before its own training: bit for bit the dense network's weights, first weights, or new ones."""
    experiment = toy([FC, method(dense="FC", weights=kind)])
    dense = build_model(experiment, experiment.methods[0], DATA, 3)
    first, trained = (build_model(experiment, experiment.methods[0], DATA, seed) for seed in (3, 4))
    model = prune_round(experiment, experiment.methods[1], first, trained, 1, seed=3)
    linear = {"trained": trained, "initial": dense}.get(kind)
    for number, layer in enumerate(sparse_layers(model)):
        largest = np.sort(trained[2 * number].weight.detach().numpy().ravel())
        mask = layer.topology
        kept = trained[2 * number].weight.detach()[mask.dst.copy(), mask.src.copy()].abs().min()
        assert kept >= np.sort(np.abs(largest))[-mask.n_edges] - 1e-12
        if linear is not None:
            assert torch.equal(layer.weight.detach(), linear[2 * number].weight.detach()[mask.dst.copy(), mask.src.copy()])
            assert torch.equal(layer.bias.detach(), linear[2 * number].bias.detach())
        else:
            assert not np.isin(layer.weight.detach().numpy(), trained[2 * number].weight.detach().numpy()).any()
            assert not np.isin(layer.weight.detach().numpy(), dense[2 * number].weight.detach().numpy()).any()


def test_rewinding_in_a_run_restores_the_first_weights_bit_for_bit(tmp_path: Path) -> None:
    """With a learning rate that changes nothing, what comes out of the sparse training is what went into it."""
    experiment = toy([FC, method(dense="FC", weights="initial")])
    dense = run(tmp_path / "fc", experiment, seed=0)
    still = experiment.model_copy(update={"training": experiment.training.model_copy(update={"learning_rate": 1e-30})})
    first = build_model(experiment, experiment.methods[0], DATA, 0)
    assert dense.accuracy > 0
    run_method(still, still.methods[1], 0, DATA, tmp_path / "pruned")
    for number, layer in enumerate(load_network(tmp_path / "pruned" / "topology" / "final.safetensors")):
        edges = layer.topology
        assert np.array_equal(layer.weights, first[2 * number].weight.detach().numpy()[edges.dst, edges.src])


def test_random_partners_keep_both_degree_sequences(tmp_path: Path) -> None:
    methods = [
        FC,
        method("kept", dense="FC", weights="fresh"),
        method("random", dense="FC", weights="fresh", partners="random"),
    ]
    results = {r.method: r for r in run_experiment(toy(methods).model_copy(update={"seeds": [0]}), DATA, tmp_path)}
    for kept, random in zip(results["kept"].initial, results["random"].initial, strict=True):
        assert np.array_equal(kept.out_degrees, random.out_degrees)
        assert np.array_equal(kept.in_degrees, random.in_degrees)
    assert results["kept"].initial[0] != results["random"].initial[0]


def test_the_dense_run_is_shared_and_counted(tmp_path: Path) -> None:
    methods = [method("A", dense="FC"), method("B", dense="FC", weights="fresh"), FC, {"name": "SC"}]
    experiment = toy(methods).model_copy(update={"seeds": [0]})
    results = {result.method: result for result in run_experiment(experiment, DATA, tmp_path)}
    assert list(results) == ["FC", "SC", "A", "B"]
    assert not (tmp_path / "a" / "seed-0" / "dense").exists()
    rows, epochs = len(DATA.x_train), 4
    assert results["FC"].multiply_adds == rows * epochs * (2 * 120 + 3 * 30)
    assert results["SC"].multiply_adds == rows * epochs * (2 * 30 + 3 * 15)
    assert results["A"].multiply_adds == results["FC"].multiply_adds + results["SC"].multiply_adds
    assert results["A"].seconds > results["FC"].seconds
    assert results["A"].cost == results["SC"].cost == 45 / 150
    assert len(results["A"].accuracy_by_epoch) == epochs


def test_alone_it_trains_a_dense_network_of_its_own(tmp_path: Path) -> None:
    shared = toy([FC, method(dense="FC")]).model_copy(update={"seeds": [0]})
    together = {result.method: result for result in run_experiment(shared, DATA, tmp_path / "all")}["P"]
    alone = run_method(shared, shared.methods[1], 0, DATA, tmp_path / "alone")
    assert (alone.final, alone.accuracy, alone.multiply_adds) == (together.final, together.accuracy, together.multiply_adds)
    assert all(np.array_equal(a, b) for a, b in zip(weights(alone.directory), weights(together.directory), strict=True))
    assert RunDirectory(tmp_path / "alone" / "dense").load_result() is not None


def test_rounds_shrink_the_network_step_by_step(tmp_path: Path) -> None:
    experiment = toy([method(rounds=3)])
    result = run(tmp_path / "run", experiment)
    places = [tmp_path / "run" / name for name in ("dense", "round-1", "round-2")]
    rounds = [RunDirectory(place).load_result() for place in places[1:]] + [result]
    for earlier, later in pairwise(rounds):
        for a, b in zip(earlier.final, later.initial, strict=True):
            assert set(b.keys()) < set(a.keys())
    assert [t.n_edges for t in result.final] == [30, 15]
    assert result.multiply_adds == sum(json.loads((p / "result.json").read_text())["multiply_adds"] for p in places[:1]) + sum(
        60 * 4 * (2 * a + 3 * b) for a, b in (tuple(t.n_edges for t in r.initial) for r in rounds)
    )


@pytest.mark.parametrize("step", [3, 15, 24 + 3, 24 + 15, 48 + 3, 48 + 15])
def test_interrupted_in_any_phase_it_goes_on_where_it_stopped(step: int, tmp_path: Path) -> None:
    """Each of three phases has 24 steps, the first epoch ends at step 6; before it there is no checkpoint."""
    experiment = toy([method(rounds=2, weights="initial")])
    whole = run(tmp_path / "whole", experiment)
    count = 0

    def stop(event: Any, state: Any) -> None:
        nonlocal count
        count += event == "step"
        interrupt_at(state.step)(event, state) if count == step else None

    part = run(tmp_path / "part", experiment, callbacks=[stop])
    assert part.interrupted
    assert part.method == "P"
    assert RunDirectory(tmp_path / "part").load_result() is None
    resumed = run(tmp_path / "part", experiment, resume=True)
    assert not resumed.interrupted
    assert (resumed.final, resumed.multiply_adds) == (whole.final, whole.multiply_adds)
    assert resumed.accuracy == whole.accuracy
    lines = [json.loads(line) for line in (tmp_path / "part" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["event"] == "epoch"] == [1, 2, 3, 4]


def test_a_round_is_known_from_the_others(tmp_path: Path) -> None:
    """Its checkpoint is not taken for that of another round, nor its directory for that of a whole run."""
    experiment, here = toy([method(rounds=2)], epochs=2), RunDirectory(tmp_path / "run")
    whole = run(here.path, experiment)
    first, last = here.round(1), here
    assert first.configuration != last.configuration
    sound = last.checkpoint.read_bytes()
    last.checkpoint.write_bytes(first.checkpoint.read_bytes())
    with pytest.raises(CheckpointError, match="belongs to another training"):
        run(here.path, experiment, resume=True)
    with pytest.raises(CheckpointError, match="belongs to another training"):
        trained_model(here.path)
    last.checkpoint.write_bytes(sound)
    read = load_experiment(first.config)
    with pytest.raises(
        ConfigError, match=r"pruning\.round of method 'P' is 1; it stands only in a run directory that is a part"
    ):
        run_method(read, read.methods[0], 0, DATA, first.path, resume=True)
    assert run(here.path, experiment, resume=True) == whole


@pytest.mark.parametrize("step", [12 + 8, 24 + 8])
def test_a_round_of_an_earlier_version_which_does_not_say_so_is_resumed(step: int, tmp_path: Path) -> None:
    """Each of three phases has 12 steps, of which the round has the second dozen."""
    experiment, here = toy([method(rounds=2)], epochs=2), RunDirectory(tmp_path / "run")
    whole, count = run(tmp_path / "whole", experiment), 0

    def stop(event: Any, state: Any) -> None:
        nonlocal count
        count += event == "step"
        interrupt_at(state.step)(event, state) if count == step else None

    with pytest.MonkeyPatch.context() as former:
        former.setattr(MethodConfig, "of_round", lambda method, _: method)
        assert run(here.path, experiment, callbacks=[stop]).interrupted
    assert load_experiment(here.round(1).config).methods[0].pruning.round is None
    assert run(here.path, experiment, resume=True).final == whole.final


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ([FC, method(dense="nope")], r"pruning\.dense of method 'P' is 'nope'; dense methods are: 'FC'"),
        ([{"name": "SC"}, method(dense="SC")], r"is 'SC'; dense methods are: none in this file"),
        ([method(criterion="size")], "unknown pruning criterion 'size'"),
        ([method(rounds=0)], "rounds is 0"),
        ([method(weights="old")], "weights is 'old'"),
        ([method(partners="random")], r"pruning\.weights is 'trained'; with random partners it must be 'fresh'"),
        ([method(sounds=1)], "unknown key 'method.0.pruning.sounds' = 1; allowed are: criterion, dense, rounds"),
        ([{**method(), "generator": "erdos_renyi"}], "generator and pruning are both given"),
        ([{"name": "a", "density": [0.1]}], "density has 1 entries; it must be one value or one for each of the 2 layers"),
        ([{"name": "a", "rewiring": {"name": "set", "every_steps": 0}}], "every_steps is 0"),
        ([{"name": "a", "rewiring": {"name": "set", "every_steps": 5, "every_epochs": 1}}], "only one of them may be given"),
        ([{"name": "a", "rewiring": ["set", "deep_r"]}], "several rewiring rules act on one layer"),
    ],
)
def test_what_an_experiment_file_may_not_say(methods: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        toy(methods)


def test_its_network_cannot_be_built_without_training() -> None:
    with pytest.raises(ConfigError, match="method 'P' prunes; its network is made from a trained one"):
        build_model(toy([method()]), toy([method()]).methods[0], DATA, 0)


def test_the_config_of_a_run_reads_back(tmp_path: Path) -> None:
    """Also with the dense method it names, so that a run directory is complete by itself."""
    experiment = toy([FC, method(dense="FC", rounds=1)])
    run_method(experiment, experiment.methods[1], 0, DATA, tmp_path / "run")
    read = load_experiment(tmp_path / "run" / "config.toml")
    assert [m.name for m in read.methods] == ["P", "FC"]
    again = run_method(read, read.methods[0], 0, DATA, tmp_path / "run", resume=True)
    assert again.accuracy == RunDirectory(tmp_path / "run").load_result().accuracy
