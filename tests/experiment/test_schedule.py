"""All runs of an experiment: in several processes, and from where they stopped."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from toy_experiments import DATA, SET, interrupt_at, run, toy

from netsci_nn import CheckpointError, ConfigError
from netsci_nn.experiment import RunDirectory, build_model, run_experiment
from netsci_nn.training import Rewire

ROOT = Path(__file__).parents[2]
METHODS = [
    {"name": "P", "pruning": {"dense": "FC"}},
    {"name": "FC", "generator": "dense"},
    SET,
    {"name": "two rules", "rewiring": [{"name": "deep_r", "layers": [0]}, {"name": "ba_deep_r", "layers": [1]}]},
]


def numbers(results: Any) -> dict[tuple[str, int], Any]:
    return {(r.method, r.seed): (r.accuracy, r.n_edges, r.multiply_adds, r.initial, r.final) for r in results}


def stamps(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*.safetensors")}


@pytest.mark.programs
def test_several_processes_come_to_the_same_results(tmp_path: Path) -> None:
    experiment = toy(METHODS).model_copy(update={"training": toy().training.model_copy(update={"momentum": 0.0, "threads": 1})})
    here = list(run_experiment(experiment, DATA, tmp_path / "here"))
    there = list(run_experiment(experiment, DATA, tmp_path / "there", workers=2))
    assert numbers(here) == numbers(there)
    assert len(here) == 8
    before = stamps(tmp_path)
    again = list(run_experiment(experiment, DATA, tmp_path / "there", workers=2, resume=True))
    assert numbers(again) == numbers(here)
    assert stamps(tmp_path) == before


@pytest.mark.programs
def test_a_worker_that_dies_is_an_error(tmp_path: Path) -> None:
    experiment, log = toy(epochs=10**6).model_copy(update={"seeds": [0]}), tmp_path / "set" / "seed-0" / "metrics.jsonl"

    def kill() -> None:
        while not log.is_file():
            time.sleep(0.01)
        (worker,) = multiprocessing.active_children()
        worker.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ConfigError, match="workers is 2, and one of these processes has died"):
        list(run_experiment(experiment, DATA, tmp_path, workers=2))
    killer.join()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("step", [1, 15, 26, 30])
def test_an_interrupted_experiment_goes_on_run_by_run(step: int, tmp_path: Path) -> None:
    experiment = toy(METHODS)
    whole = numbers(run_experiment(experiment, DATA, tmp_path / "whole"))
    count = 0

    def stop(event: Any, state: Any) -> None:
        nonlocal count
        count += event == "step"
        if count == step and event == "step":
            interrupt_at(state.step)(event, state)

    stop.needs_every_step = False  # type: ignore[attr-defined]
    part = list(run_experiment(experiment, DATA, tmp_path / "part", lambda *_: stop))
    if part[-1].interrupted:
        assert RunDirectory(part[-1].directory).load_result() is None
    complete = {path: path.stat().st_mtime_ns for path in (tmp_path / "part").rglob("result.json")}
    assert numbers(run_experiment(experiment, DATA, tmp_path / "part", resume=True)) == whole
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in complete.items())


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many models have been built and how often a rule has been checked."""
    counted: Counter[str] = Counter()

    def counting(name: str, function: Any) -> Any:
        def wrapper(*arguments: Any) -> Any:
            counted[name] += 1
            return function(*arguments)

        return wrapper

    monkeypatch.setattr("netsci_nn.experiment.run.build_model", counting("models", build_model))
    monkeypatch.setattr(Rewire, "check", counting("rules", Rewire.check))
    return counted


def test_every_method_is_checked_once_before_the_first_run(count: Counter[str], tmp_path: Path) -> None:
    """Two methods with two seeds: a network each to check the methods, then one per run, whose training looks at its rule."""
    experiment = toy([SET, {"name": "Deep R", "rewiring": "deep_r"}], epochs=1)
    seen = [dict(count) for _ in run_experiment(experiment, DATA, tmp_path)]
    assert seen[0] == {"models": 2 + 1, "rules": 2 + 1}
    assert count == {"models": 2 + 4, "rules": 2 + 4}
    list(run_experiment(experiment, DATA, tmp_path, resume=True))
    assert count == {"models": 6 + 2, "rules": 6 + 2}  # complete runs are only read


def test_a_single_run_checks_its_method_itself(count: Counter[str], tmp_path: Path) -> None:
    run(tmp_path / "run", toy(epochs=1))
    assert count == {"models": 1 + 1, "rules": 1 + 1}


def test_results_of_another_experiment_are_not_taken_over(tmp_path: Path) -> None:
    list(run_experiment(toy(), DATA, tmp_path))
    with pytest.raises(ConfigError, match="is not empty; a run must start in a new one"):
        list(run_experiment(toy(), DATA, tmp_path))
    with pytest.raises(ConfigError, match="belongs to another experiment, method or seed"):
        list(run_experiment(toy(epochs=5), DATA, tmp_path, resume=True))


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (result, *_) = run_experiment(toy(), DATA, tmp_path)
    (result.directory / "result.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"result\.json' does not hold the result of a run"):
        list(run_experiment(toy(), DATA, tmp_path, resume=True))


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_workers_out_of_range(workers: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"workers is .*; it must be an integer >= 1"):
        list(run_experiment(toy(), DATA, tmp_path, workers=workers))


@pytest.mark.parametrize(
    ("rewiring", "training", "message"),
    [
        ("deep_r", {"optimizer": "adam", "momentum": 0.0}, "optimizer is Adam; rewiring 'deep_r' is defined for SGD alone"),
        ("deep_r", {"weight_decay": 1e-3}, r"weight_decay = 0\.001 and l1 = 1e-05 of rewiring 'deep_r' are both given"),
        ({"name": "deep_r", "every_epochs": 2}, {}, "rewiring 'deep_r' acts after every mini-batch, not every epochs"),
        ({"name": "ba_deep_r", "every_steps": 5}, {}, "acts after every mini-batch, not every 5; its interval must be 1"),
        ({"name": "ba_deep_r", "layers": [2]}, {}, "layers names layer 2; the model has the sparse layers 0 to 1"),
    ],
)
@pytest.mark.parametrize("pruned", [False, True])
def test_rules_that_cannot_serve_are_refused_before_anything_runs(
    pruned: bool, rewiring: Any, training: dict[str, Any], message: str, tmp_path: Path
) -> None:
    bad = {"name": "bad", "rewiring": rewiring} | ({"pruning": {"dense": "FC"}} if pruned else {})
    experiment = toy([{"name": "FC", "generator": "dense"}, bad], training=training)
    with pytest.raises(ConfigError, match=message):
        list(run_experiment(experiment, DATA, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"method": "other"}, {"seed": 5}, {"interrupted": True}])
def test_the_result_of_another_run_is_not_taken_over(change: dict[str, Any], tmp_path: Path) -> None:
    experiment = toy(epochs=1)
    first, _ = run_experiment(experiment, DATA, tmp_path)
    path = first.directory / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=r"result\.json' is of method .*; it must be of 'SET', seed 0, complete"):
        list(run_experiment(experiment, DATA, tmp_path, resume=True))


DEAD_AT_ONCE = """
import os, sys
if any("spawn_main" in word for word in sys.orig_argv):
    os._exit(9)
"""
TWO_WORKERS = """
import sys, tempfile
from pathlib import Path
from netsci_nn.data import load_dataset
from netsci_nn.errors import ConfigError
from netsci_nn.experiment import parse_experiment, run_experiment

if __name__ == "__main__":
    table = {"name": "t", "dataset": "digits", "model": {"layer_sizes": [64, 10], "density": 0.2}, "seeds": [0, 1]}
    table |= {"training": {"epochs": 1}, "method": [{"name": "ER"}]}
    with tempfile.TemporaryDirectory() as folder:
        try:
            list(run_experiment(parse_experiment(table, "t"), load_dataset("digits"), Path(folder), workers=2))
        except ConfigError as error:
            sys.exit(f"refused: {error}")
"""


@pytest.mark.programs
def test_workers_that_die_before_they_have_read_what_they_are_handed(tmp_path: Path) -> None:
    """The dataset, of 900 kB, is more than the pipe to them holds."""
    (tmp_path / "sitecustomize.py").write_text(DEAD_AT_ONCE)
    (tmp_path / "two_workers.py").write_text(TWO_WORKERS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "two_workers.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert re.fullmatch(r"refused: workers is 2, and one of these processes has died, .*\n", done.stderr), done.stderr
