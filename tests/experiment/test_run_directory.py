"""Run directories: their layout, the log of a killed run, and what they have recorded of topologies and births."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy_experiments import DATA, SET, interrupt_at, run, toy

from netsci_nn import CheckpointError, ConfigError, generators
from netsci_nn.digest import KEY
from netsci_nn.experiment import RunDirectory, run_experiment
from netsci_nn.experiment.environment import on_threads
from netsci_nn.experiment.run_directory import Recorded
from netsci_nn.experiment.trained import trained_model
from netsci_nn.topology import save_network
from netsci_nn.training import Event, TrainingState


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


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda lines: lines[:3], id="the tail is lost"),
        pytest.param(lambda lines: lines[:1], id="all epochs are lost"),
        pytest.param(lambda lines: [*lines[:2], lines[2][:20] + b"\0" * 9, *lines[3:]], id="NULs"),
        pytest.param(lambda lines: [*lines[:2], b"\xff" + lines[2][1:], *lines[3:]], id="not UTF-8"),
        pytest.param(lambda lines: [*lines[:2], lines[2].replace(b'"seconds"', b'"se\xffonds"'), *lines[3:]], id="one byte"),
        pytest.param(lambda lines: [*lines[:2], lines[2].replace(b"test_accuracy", b"test_acc"), *lines[3:]], id="no metric"),
        pytest.param(lambda lines: [*lines[:3], *lines[2:]], id="an epoch twice"),
        pytest.param(lambda lines: [*lines, *lines], id="two processes"),
        pytest.param(lambda lines: [*lines, lines[2].replace(b'"epoch": 2', b'"epoch": 0')], id="no epoch"),
    ],
)
def test_a_log_without_exactly_one_line_per_epoch_is_refused(
    damage: Callable[[list[bytes]], list[bytes]], tmp_path: Path
) -> None:
    run(tmp_path / "run", callbacks=[interrupt_at(20)])
    log = RunDirectory(tmp_path / "run").metrics
    log.write_bytes(b"\n".join(damage(log.read_bytes().splitlines())) + b"\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl' has .*; it must have one for each of the 3 epochs"):
        run(tmp_path / "run", resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_changed_digit_of_the_log_is_refused(tmp_path: Path) -> None:
    """By a run that is interrupted, once and again, and by a complete one; a log that is gone says nothing wrong."""
    here = RunDirectory(tmp_path / "run")
    for callbacks in ([interrupt_at(14)], [interrupt_at(20)], []):
        run(here.path, callbacks=callbacks, resume=here.is_begun)
        sound = here.metrics.read_bytes()
        digit = sound.index(b'"test_loss": ', sound.index(b'"epoch": 2')) + len(b'"test_loss": 0.')
        here.metrics.write_bytes(sound[:digit] + bytes([(sound[digit] - 48 + 1) % 10 + 48]) + sound[digit + 1 :])
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(CheckpointError, match=r"metrics\.jsonl' has changed"):
            run(here.path, resume=True)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        here.metrics.write_bytes(sound)
    assert here.load_result() == run(here.path, resume=True)
    here.metrics.unlink()
    assert here.load_result() is not None


def test_a_checkpoint_without_the_digest_of_the_log_gets_it_when_it_resumes(tmp_path: Path) -> None:
    here = RunDirectory(tmp_path / "run")
    run(here.path, callbacks=[interrupt_at(14)])
    with safe_open(here.checkpoint, "pt") as file:
        metadata = {name: text for name, text in file.metadata().items() if name != KEY}
    tensors = load_file(here.checkpoint)
    del tensors["carried.log.0"]
    save_file(tensors, here.checkpoint, metadata=metadata)
    run(here.path, callbacks=[interrupt_at(20)], resume=True)
    assert run(here.path, resume=True).final == run(tmp_path / "whole").final


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    here = RunDirectory(tmp_path / "part")
    run(here.path, callbacks=[interrupt_at(3)])
    here.environment.unlink()
    (here.path / ".result.abcd_123.json").touch()
    (here.final.parent / ".epoch-0000.abcd_123.safetensors").touch()
    assert run(here.path, resume=True).final == whole.final
    files = [
        sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        for folder in (here.path, tmp_path / "whole")
    ]
    assert files[0] == files[1]
    with pytest.raises(ConfigError, match="is not empty; a run must start in a new one, or resume the one that is in it"):
        run(here.path)


def test_a_run_that_starts_again_has_the_threads_of_its_experiment(tmp_path: Path) -> None:
    here, experiment = RunDirectory(tmp_path / "run"), toy(training={"threads": 1})
    with on_threads(2):
        run(here.path, experiment, callbacks=[interrupt_at(3)])
        assert here.threads() == 1
        run(here.path, experiment, resume=True)
    assert here.threads() == 1


def test_what_a_kill_leaves_of_a_beginning_does_not_block_a_new_one(tmp_path: Path) -> None:
    for name in (".config.a_cd1234.toml", ".lock"):
        (tmp_path / name).touch()
    run(tmp_path)
    assert not any(path.name.startswith(".") for path in tmp_path.iterdir())
    other = tmp_path / "other"
    other.mkdir()
    (other / ".config.mine.toml").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        run(other)
    assert [path.name for path in other.iterdir()] == [".config.mine.toml"]


def test_a_lost_checkpoint_is_no_reason_to_start_again(tmp_path: Path) -> None:
    run(tmp_path / "run", callbacks=[interrupt_at(20)])
    RunDirectory(tmp_path / "run").checkpoint.unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=r"last\.safetensors' does not exist; there is no checkpoint to resume from"):
        run(tmp_path / "run", resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_checkpoint_of_another_seed_is_refused(tmp_path: Path) -> None:
    for seed in (0, 1):
        run(tmp_path / str(seed), seed=seed, callbacks=[interrupt_at(20)])
    shutil.copy(RunDirectory(tmp_path / "1").checkpoint, RunDirectory(tmp_path / "0").checkpoint)
    with pytest.raises(CheckpointError, match="belongs to another training: to other settings or another seed"):
        run(tmp_path / "0", resume=True)
    with pytest.raises(CheckpointError, match="belongs to another training"):
        trained_model(tmp_path / "0")


HOLD = "import sys; from pathlib import Path; from netsci_nn.experiment.lock import locked\nwith locked(Path(sys.argv[1])): "


@pytest.mark.programs
def test_only_one_process_works_in_a_directory(tmp_path: Path) -> None:
    run(tmp_path / "run", callbacks=[interrupt_at(20)])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    hold = [sys.executable, "-c", HOLD + "print('held', flush=True); sys.stdin.read()", str(tmp_path / "run")]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=r"run directory '.*run' is in use by another process"):
            run(tmp_path / "run", resume=True)
        other.kill()
    assert (tmp_path / "run" / ".lock").is_file()  # the killed process has left it
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"} == before
    run(tmp_path / "run", resume=True)
    assert not (tmp_path / "run" / ".lock").exists()
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert run(tmp_path / "run", resume=True).interrupted is False  # a complete run is only read
        other.kill()


def test_a_run_within_a_run_of_the_same_directory_is_refused(tmp_path: Path) -> None:
    def again(event: Event, state: TrainingState) -> None:
        if event is Event.STEP and state.step == 8:
            with pytest.raises(ConfigError, match="is in use by another process"):
                run(tmp_path / "run", resume=True)

    assert len(run(tmp_path / "run", callbacks=[again]).accuracy_by_epoch) == 4


def test_an_experiment_reads_its_complete_runs_without_their_checkpoints(tmp_path: Path) -> None:
    first = list(run_experiment(toy(epochs=1), DATA, tmp_path))
    for here in RunDirectory.all_below(tmp_path):
        here.checkpoint.unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert list(run_experiment(toy(epochs=1), DATA, tmp_path, resume=True)) == first
    with pytest.raises(CheckpointError, match=r"last\.safetensors' does not exist; there is no checkpoint to resume from"):
        run(first[0].directory, toy(epochs=1), resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


SUMMARY = {
    "method": "ER", "seed": 0, "metrics": {"accuracy": 0.5}, "metrics_by_epoch": {"accuracy": [1, 0.5]}, "n_edges": 25,
    "n_edges_in_training": 25, "cost": 0.1, "seconds": 1, "multiply_adds": 12345, "interrupted": False,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        *({"method": 1}, {"seed": "0"}, {"seed": True}, {"n_edges": 2.5}, {"cost": "0.1"}, {"seconds": 10**400}),
        *({"interrupted": 0}, {"multiply_adds": None}, {"metrics": {}}, {"metrics": 3}, {"metrics": {"accuracy": "high"}}),
        *({"metrics": {"loss": 0.5}}, {"metrics_by_epoch": {"accuracy": 3}}, {"metrics_by_epoch": {"accuracy": [None]}}),
        *({"seconds": 1e308}, {"cost": float("-inf")}),
    ],
    ids=range(16),
)
def test_a_result_with_a_part_of_another_type_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    here = RunDirectory(tmp_path)
    here.result.write_text(json.dumps(SUMMARY))
    assert here.load_result() is not None
    here.result.write_text(json.dumps(SUMMARY | change))
    with pytest.raises(CheckpointError, match=r"result\.json' does not hold the result of a run: ."):
        here.load_result()


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


def test_damaged_topologies_are_left_out_if_asked(tmp_path: Path) -> None:
    run(tmp_path / "run")
    here, damaged = RunDirectory(tmp_path / "run"), list[str]()
    whole = here.recorded_topologies(damaged)
    assert damaged == []
    here.topology(2).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"epoch-0002\.safetensors' does not hold a network"):
        here.recorded_topologies()
    assert here.recorded_topologies(damaged) == [entry for entry in whole if entry.epoch != 2]
    assert len(damaged) == 1


def test_what_is_no_run_of_a_sparse_network(tmp_path: Path) -> None:
    for read in (RunDirectory.recorded_topologies, RunDirectory.initial_topologies, RunDirectory.final_layers):
        with pytest.raises(ConfigError, match="does not exist; it must be a run directory"):
            read(RunDirectory(tmp_path / "nowhere"))
        with pytest.raises(ConfigError, match="has no recorded topology; it must be the run of a sparse network"):
            read(RunDirectory(tmp_path))
