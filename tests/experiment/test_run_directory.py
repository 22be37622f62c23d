"""Run directories: their layout, the log of a killed run, and what they have recorded of topologies and births."""

import json
from pathlib import Path

import numpy as np
import pytest
from toy_experiments import DATA, SET, run, toy

from netsci_nn import CheckpointError, ConfigError, generators
from netsci_nn.experiment import RunDirectory, run_experiment
from netsci_nn.experiment.run_directory import Recorded
from netsci_nn.topology import save_network


def test_it_names_every_file_that_a_run_writes(tmp_path: Path) -> None:
    run(tmp_path / "run", toy(epochs=2))
    here = RunDirectory(tmp_path / "run")
    named = [here.config, here.environment, here.metrics, here.checkpoint, here.result, here.final]
    assert sorted(path for path in here.path.rglob("*") if path.is_file()) == sorted(
        [*named, *(here.topology(epoch) for epoch in range(3))]
    )
    assert all(here.is_part(path) for path in [*named, here.topology(7), here.final.parent / "new"])
    assert not any(here.is_part(path) for path in [here.path, here.path / "report.html", tmp_path, tmp_path / "topology"])


def test_runs_of_an_experiment_are_found_again(tmp_path: Path) -> None:
    results = list(run_experiment(toy([SET, {"name": "two words"}], epochs=0), DATA, tmp_path))
    found = RunDirectory.all_below(tmp_path)
    assert [here.path.relative_to(tmp_path).as_posix() for here in found] == [
        "set/seed-0",
        "set/seed-1",
        "two-words/seed-0",
        "two-words/seed-1",
    ]
    assert found[2:] == RunDirectory.all_below(tmp_path, "two words")
    assert {RunDirectory.of(tmp_path, result.method, result.seed) for result in results} == set(found)
    assert {here.load_result().seed for here in found} == {0, 1}
    assert RunDirectory.all_below(tmp_path / "nowhere") == []


def test_of_a_log_the_whole_lines_are_read(tmp_path: Path) -> None:
    here = RunDirectory(tmp_path)
    assert here.records() == []
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl' is missing; the run cannot be resumed without its log"):
        here.rewind_log(2)
    lines = [{"event": "start"}, *({"event": "epoch", "epoch": epoch, "seconds": 0.5} for epoch in (1, 2, 3))]
    here.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"event": "epo')
    assert here.records() == lines
    assert here.rewind_log(2) == lines[1:3] == here.records()
    for other in ("[1]", "3", '{"event": "epoch"}', '{"event": "epoch", "epoch": "two"}', '{"event": "epoch", "epoch": 3, '):
        here.metrics.write_bytes(json.dumps(lines[1]).encode() + b"\n" + other.encode() + b"\n\xff\n")
        assert here.records() == lines[1:2]


def test_an_experiment_reads_its_complete_runs_without_their_checkpoints(tmp_path: Path) -> None:
    first = list(run_experiment(toy(epochs=1), DATA, tmp_path))
    for here in RunDirectory.all_below(tmp_path):
        here.checkpoint.unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert list(run_experiment(toy(epochs=1), DATA, tmp_path, resume=True)) == first
    with pytest.raises(CheckpointError, match=r"last\.safetensors' does not exist; there is no checkpoint to resume from"):
        run(first[0].directory, toy(epochs=1), resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("text", ["{}", "[]", "3", "nothing", '{"metrics_by_epoch": []}'])
def test_a_damaged_result_is_named(text: str, tmp_path: Path) -> None:
    here = RunDirectory(tmp_path)
    here.result.write_text(text)
    with pytest.raises(CheckpointError, match=r"result\.json' does not hold the result of a run: ."):
        here.load_result()


def test_recorded_topologies_and_births(tmp_path: Path) -> None:
    trained = run(tmp_path / "run")
    here = RunDirectory(tmp_path / "run")
    recorded = here.recorded_topologies()
    assert [epoch for epoch, _ in recorded] == [0, 1, 2, 3, 4]
    assert recorded[0].layers == trained.initial == here.initial_topologies()
    assert recorded[-1].layers == trained.final == tuple(layer.topology for layer in here.final_layers())
    births = here.births()
    assert births is not None
    assert births.step == 24
    for layer, (topology, born) in enumerate(zip(trained.final, births.layers, strict=True)):
        first, keys = recorded[0].layers[layer].keys(), topology.keys()
        assert born.shape == keys.shape
        assert set(np.unique(born)) <= {0, 6, 12, 18}  # rewired after an epoch of six steps; the last removal grows nothing
        assert set(keys[born == 0]) <= set(first)


def test_a_fixed_topology_is_recorded_at_its_start_and_end(tmp_path: Path) -> None:
    result = run(tmp_path / "run", toy([{"name": "ER"}]))
    here = RunDirectory(tmp_path / "run")
    assert here.recorded_topologies() == [(0, result.initial), (4, result.initial)]
    here.checkpoint.write_bytes(b"damaged")
    assert here.births() is None


def test_changes_within_an_interrupted_epoch_stand_under_the_next(tmp_path: Path) -> None:
    here = RunDirectory(tmp_path)
    networks = [[generators.erdos_renyi(6, 5, n_edges=9, rng=seed)] for seed in range(3)]
    here.final.parent.mkdir()
    for epoch in (0, 1):
        save_network(networks[epoch], here.topology(epoch))
    save_network(networks[2], here.final)
    here.metrics.write_text('{"event": "epoch", "epoch": 1}\n')
    assert here.recorded_topologies() == [Recorded(epoch, tuple(networks[epoch])) for epoch in range(3)]


def test_what_is_no_run_of_a_sparse_network(tmp_path: Path) -> None:
    for read in (RunDirectory.recorded_topologies, RunDirectory.initial_topologies, RunDirectory.final_layers):
        with pytest.raises(ConfigError, match="does not exist; it must be a run directory"):
            read(RunDirectory(tmp_path / "nowhere"))
        with pytest.raises(ConfigError, match="has no recorded topology; it must be the run of a sparse network"):
            read(RunDirectory(tmp_path))
