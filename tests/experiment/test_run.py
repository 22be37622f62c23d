"""Runs: what a run directory holds, resuming, interruption, and nothing written for what does not fit."""

import importlib.metadata
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_experiments import DATA, events, interrupt_at, run, toy

from netsci_nn import CheckpointError, ConfigError, DataError, TopologyError
from netsci_nn.experiment import build_model, run_experiment
from netsci_nn.experiment.config import parse_experiment
from netsci_nn.models import sparse_layers
from netsci_nn.topology import load_network


def test_run_directory(tmp_path: Path) -> None:
    result = run(tmp_path / "run")
    files = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    steps = {f"topology/epoch-000{epoch}.safetensors" for epoch in range(5)}
    assert files == {
        "config.toml",
        "environment.json",
        "metrics.jsonl",
        "result.json",
        "checkpoint/last.safetensors",
    } | steps | {"topology/final.safetensors"}
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert config["training"]["optimizer"] == {"name": "sgd"}  # defaults included
    assert parse_experiment(config, "run").methods[0].rewiring.name == "set"
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["seed"] == 0
    assert environment["packages"]["torch"] == importlib.metadata.version("torch")
    final = load_network(tmp_path / "run" / "topology" / "final.safetensors")
    assert tuple(layer.topology for layer in final) == result.final
    start = load_network(tmp_path / "run" / "topology" / "epoch-0000.safetensors")
    assert tuple(layer.topology for layer in start) == result.initial


def test_numbers_before_and_after_the_last_removal(tmp_path: Path) -> None:
    result = run(tmp_path / "run")
    lines = events(tmp_path / "run")
    assert [line["event"] for line in lines] == ["start"] + ["epoch"] * 4 + ["end"]
    assert result.n_edges_in_training == 30 + 15 == lines[0]["n_edges"] == lines[3]["n_edges"]
    assert result.n_edges == sum(t.n_edges for t in result.final) == lines[-1]["n_edges"] < 45
    assert result.cost == result.n_edges / (12 * 10 + 10 * 3)
    assert result.accuracy_by_epoch == tuple(line["test_accuracy"] for line in lines[1:5])
    assert result.accuracy == lines[-1]["test_accuracy"]
    assert not result.interrupted
    assert set(result.summary()) >= {"method", "seed", "metrics", "n_edges", "cost", "seconds"}
    json.dumps(result.summary())


def test_same_seed_same_run(tmp_path: Path) -> None:
    first, same, other = run(tmp_path / "a"), run(tmp_path / "b"), run(tmp_path / "c", seed=1)
    assert (first.final, first.accuracy_by_epoch) == (same.final, same.accuracy_by_epoch)
    assert first.initial != other.initial
    content = [(tmp_path / name / "topology" / "final.safetensors").read_bytes() for name in "abc"]
    assert content[0] == content[1] != content[2]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_interrupted_run_is_usable_and_resumes_to_the_same_bits(optimizer: str, tmp_path: Path) -> None:
    options = {"optimizer": optimizer, "momentum": 0.9 if optimizer == "sgd" else 0.0}
    experiment = toy(training=options)
    # A callback that sees every step keeps both runs on the same arithmetic; compiled steps round differently.
    whole = run(tmp_path / "whole", experiment, callbacks=[interrupt_at(10**9)])
    part = run(tmp_path / "part", experiment, callbacks=[interrupt_at(15)])
    assert part.interrupted
    assert len(part.accuracy_by_epoch) == 2
    assert events(tmp_path / "part")[-1] == {**events(tmp_path / "part")[-1], "event": "end", "interrupted": True, "step": 15}
    assert len(load_network(tmp_path / "part" / "topology" / "final.safetensors")) == 2
    resumed = run(tmp_path / "part", experiment, callbacks=[interrupt_at(10**9)], resume=True)
    assert (resumed.final, resumed.accuracy, resumed.accuracy_by_epoch) == (
        whole.final,
        whole.accuracy,
        whole.accuracy_by_epoch,
    )
    assert not resumed.interrupted
    files = ["topology/final.safetensors", "topology/epoch-0004.safetensors"]
    assert all((tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() for name in files)
    epochs = [line["epoch"] for line in events(tmp_path / "part") if line["event"] == "epoch"]
    assert epochs == [1, 2, 3, 4]


def test_resuming_after_a_kill_in_the_middle_of_a_log_line(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    run(tmp_path / "part", callbacks=[interrupt_at(15)])
    with (tmp_path / "part" / "metrics.jsonl").open("a") as file:
        file.write('{"event": "epo')
    assert run(tmp_path / "part", resume=True).final == whole.final


def test_a_fraction_that_follows_a_schedule(tmp_path: Path) -> None:
    experiment = toy([{"name": "SET", "rewiring": {"name": "set", "fraction": {"name": "cosine", "start": 0.4}}}])
    whole = run(tmp_path / "whole", experiment)
    assert whole.n_edges == 30 + 15  # the schedule ends at 0, where nothing is dropped
    assert whole.final != run(tmp_path / "constant", toy([{"name": "SET", "rewiring": {"name": "set", "fraction": 0.4}}])).final
    run(tmp_path / "part", experiment, callbacks=[interrupt_at(15)])
    again = parse_experiment(tomllib.loads((tmp_path / "part" / "config.toml").read_text()), "run")
    assert run(tmp_path / "part", again, resume=True).final == whole.final


def test_resuming_another_experiment_or_seed_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", callbacks=[interrupt_at(15)])
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(ConfigError):
        run(tmp_path / "run", seed=1, resume=True)
    with pytest.raises(ConfigError):
        run(tmp_path / "run", toy([{"name": "SET", "rewiring": {"name": "set", "fraction": 0.5}}]), resume=True)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_resuming_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises((CheckpointError, ConfigError), match=r"last\.safetensors|config\.toml"):
        run(tmp_path / "nowhere", resume=True)
    assert list(tmp_path.iterdir()) == []


def test_a_run_never_starts_in_a_used_directory(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ConfigError, match=r"run directory '.*' is not empty; a run must start in a new one"):
        run(tmp_path)
    with pytest.raises(ConfigError, match="notes"):
        run(tmp_path / "notes")  # a file, not a directory
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_methods_seed_by_seed_and_input_weights_from_the_training_rows(tmp_path: Path) -> None:
    methods = [{"name": "dense", "generator": "dense"}, {"name": "IW", "generator": ["input_weighted", "erdos_renyi"]}]
    experiment = toy(methods, epochs=1)
    results = list(run_experiment(experiment, DATA, tmp_path))
    assert [(result.method, result.seed) for result in results] == [("dense", 0), ("IW", 0), ("dense", 1), ("IW", 1)]
    assert (results[0].n_edges, results[0].cost, results[0].initial) == (150, 1.0, ())
    assert (tmp_path / "iw" / "seed-1" / "metrics.jsonl").is_file()
    degrees = results[1].initial[0].out_degrees
    means = DATA.x_train.mean(axis=0, dtype=np.float64)
    assert degrees[11] == 0
    assert np.abs(degrees - 30 * means / means.sum()).max() <= 1
    model = build_model(experiment, experiment.methods[1], DATA, 1)
    assert tuple(layer.topology for layer in sparse_layers(model)) == results[3].initial


def test_interruption_ends_the_experiment(tmp_path: Path) -> None:
    results = list(run_experiment(toy(), DATA, tmp_path, lambda *_: interrupt_at(3)))
    assert [result.interrupted for result in results] == [True]


@pytest.mark.parametrize(
    ("method", "model", "error", "message"),
    [
        (
            {"name": "a"},
            {"layer_sizes": [13, 10, 3]},
            DataError,
            r"model\.layer_sizes is \[13, 10, 3\]; dataset 'toy' needs 12 inputs",
        ),
        ({"name": "a"}, {"layer_sizes": [12, 10, 2]}, DataError, "at least 3 outputs"),
        ({"name": "a"}, {"backend": "nope"}, ConfigError, "unknown backend 'nope'"),
        (
            {"name": "a", "generator": {"name": "small_world", "p": 1}},
            {},
            ConfigError,
            "generator 'small_world': unknown key 'p' = 1; allowed are: rewiring_probability",
        ),
        (
            {"name": "a", "generator": {"name": "small_world", "rewiring_probability": 2}},
            {},
            TopologyError,
            "rewiring_probability is 2; it must be a number from 0 to 1",
        ),
        (
            {"name": "a", "generator": {"name": "erdos_renyi", "rng": 1}},
            {},
            ConfigError,
            "unknown key 'rng' = 1; allowed are: variant",
        ),
        (
            {"name": "a", "rewiring": {"name": "set", "fraction": 2}},
            {},
            ConfigError,
            r"fraction is 2; it must be a number in \(0, 1\)",
        ),
        ({"name": "a", "rewiring": {"name": "set", "zeta": 2}}, {}, ConfigError, "rewiring 'set': unknown key 'zeta' = 2"),
        ({"name": "a", "rewiring": {"name": "set", "layers": [7]}}, {}, ConfigError, "layers names layer 7; the model has"),
        (
            {"name": "a", "generator": "input_weighted"},
            {"density": 1.0},
            TopologyError,
            "n_edges is 120; with 11 sources of positive",
        ),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(
    method: dict[str, Any], model: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        list(run_experiment(toy([{"name": "good"}, method], **model), DATA, tmp_path / "out"))
    with pytest.raises(error, match=message):
        run(tmp_path / "single", toy([method], **model))
    assert list(tmp_path.iterdir()) == []
