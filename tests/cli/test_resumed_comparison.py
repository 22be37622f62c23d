"""A comparison that Ctrl-C ends: its tables hold what is complete and say so, and the same command with --resume goes on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Cli
from interrupted_programs import EXPERIMENT

import analysis
from netsci_nn.training import Event, ProgressBar, TrainingState

TINY = EXPERIMENT.format(epochs=2)

pytestmark = pytest.mark.programs


@pytest.fixture
def experiment(tmp_path: Path) -> str:
    (tmp_path / "tiny.toml").write_text(TINY)
    return "tiny.toml"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], str]:
    """What the comparison comes to if nothing ends it: its numbers, and what it prints."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "tiny.toml").write_text(TINY)
    command = [sys.executable, "-m", "netsci_nn", "compare", "tiny.toml", "--nulls", "4", "--out", "whole"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, encoding="utf-8")
    return numbers(folder / "whole" / "results.json"), done.stdout


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupted_training(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Ctrl-C within the first epoch of the run with this number, from 0."""
    shown, begun = ProgressBar.__call__, -1

    def ring(bar: ProgressBar, event: Event, state: TrainingState) -> None:
        nonlocal begun
        shown(bar, event, state)
        begun += event is Event.START
        if event is Event.STEP and begun == number and not state.interrupted:
            interrupt()

    monkeypatch.setattr(ProgressBar, "__call__", ring)


def interrupted_measuring(monkeypatch: pytest.MonkeyPatch, number: int, replicate: int) -> None:
    """Ctrl-C while the report with this number, from 0, is made; after a replicate, or after the last one."""
    describe, calls = analysis.describe, iter(range(99))

    def measured(*arguments: Any, **keywords: Any) -> Any:
        is_last = next(calls) == number

        def ring(done: int, total: int) -> None:
            if is_last and done == min(replicate, total):
                interrupt()

        return describe(*arguments, progress=ring, **keywords)

    monkeypatch.setattr(analysis, "describe", measured)


def numbers(path: Path) -> list[dict[str, Any]]:
    runs = json.loads(path.read_text())["runs"]
    return [{name: value for name, value in run.items() if name != "seconds"} for run in runs]


@pytest.mark.parametrize(
    ("stop", "complete", "state"),
    [
        (lambda patch: interrupted_training(patch, 0), 0, "0 of 4 runs are complete"),
        (lambda patch: interrupted_training(patch, 3), 3, "3 of 4 runs are complete, and the topologies of 0 of them"),
        (lambda patch: interrupted_measuring(patch, 0, 3), 4, "4 of 4 runs are complete, and the topologies of 0 of them"),
        (lambda patch: interrupted_measuring(patch, 2, 3), 4, "4 of 4 runs are complete, and the topologies of 1 of them"),
        (lambda patch: interrupted_measuring(patch, 3, 99), 4, "4 of 4 runs are complete, and the topologies of 3 of them"),
    ],
    ids=["first run", "last run", "first report", "between the reports of a run", "the end of a report"],
)
def test_what_is_complete_is_kept_and_said(
    stop: Callable[[pytest.MonkeyPatch], None],
    complete: int,
    state: str,
    run: Cli,
    experiment: str,
    whole: tuple[list[dict[str, Any]], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        stop(patch)
        outcome = run("compare", experiment, "--nulls", 4, "--out", "all")
    assert outcome.code == 130
    assert outcome.err.startswith(f"netsci-nn: interrupted; {state}")
    assert outcome.err.endswith("; the same command with --resume all resumes\n")
    assert outcome.err.count("\n") == 1
    results, page = tmp_path / "all" / "results.json", tmp_path / "all" / "report.html"
    if complete:
        assert f"Interrupted: {state}" in " ".join(outcome.out.split())
        assert json.loads(results.read_text())["interrupted"] is True
        assert len(numbers(results)) == complete
        assert f"Interrupted: {state}" in page.read_text()
    else:
        assert outcome.out == ""
        assert not results.exists()
    resumed = run("compare", experiment, "--nulls", 4, "--resume", "all")
    assert (resumed.code, resumed.err) == (0, "")
    taken = {0: [], 3: ["ER (seeds 0, 1)", "SET (seed 0)"], 4: ["ER (seeds 0, 1)", "SET (seeds 0, 1)"]}[complete]
    first, *tables = resumed.out.split("\n", 1)
    assert first == (f"taken over from all: {'; '.join(taken)}" if taken else "resumed from all: ER (seed 0)")
    assert numbers(results) == whole[0]
    assert json.loads(results.read_text())["interrupted"] is False
    assert "nterrupted" not in page.read_text()
    topology = [text.split("Topology before and after training")[1].split("The page")[0] for text in (whole[1], *tables)]
    assert topology[0] == topology[1]


def test_an_interruption_of_the_last_report_that_loses_nothing_is_none(
    run: Cli, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_measuring(monkeypatch, 5, 99)
    outcome = run("compare", experiment, "--nulls", 4, "--out", "all")
    assert "Interrupted" not in outcome.out
    assert "mean of 4 random graphs" in " ".join(outcome.out.split())
    assert (outcome.code, outcome.err) == (0, "")


def test_seeds_that_not_all_methods_have_are_said(run: Cli, experiment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_training(monkeypatch, 3)
    out = " ".join(run("compare", experiment, "--nulls", 1, "--out", "all").out.split())
    assert "standard deviation over 1 to 2 seeds" in out


def test_the_same_command_again_takes_over_and_adds_what_is_new(run: Cli, experiment: str, tmp_path: Path) -> None:
    assert run("compare", experiment, "--nulls", 1, "--out", "all").code == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "all").glob("*/*/result.json")}
    outcome = run("compare", experiment, "--nulls", 1, "--out", "all", "--set", "seeds=[0, 1, 2]")
    assert outcome.code == 0
    assert outcome.out.startswith("taken over from all: ER (seeds 0, 1); SET (seeds 0, 1)\n")
    assert len(list((tmp_path / "all").glob("*/*/result.json"))) == 6
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_what_a_kill_leaves_before_the_first_run_and_of_the_last_files_is_no_obstacle(
    run: Cli, experiment: str, tmp_path: Path
) -> None:
    seed, left = tmp_path / "all" / "er" / "seed-0", tmp_path / "all" / ".report.abcd_123.html"
    seed.mkdir(parents=True)
    for name in (".lock", ".config.abcd_123.toml"):
        (seed / name).touch()
    left.touch()
    done = run("compare", experiment, "--nulls", 1, "--out", "all")
    assert (done.code, "exists already and holds no run" in done.err) == (2, True)  # it is older than the runs, so not ours
    left.unlink()
    (tmp_path / "all" / "er" / "notes.txt").touch()
    assert run("compare", experiment, "--nulls", 1, "--out", "all").code == 2
    (tmp_path / "all" / "er" / "notes.txt").unlink()
    assert run("compare", experiment, "--nulls", 1, "--out", "all").code == 0
    left.touch()
    assert run("compare", experiment, "--nulls", 1, "--out", "all").code == 0
    assert not list((tmp_path / "all").rglob(".*"))


def test_other_settings_are_refused_before_anything_is_trained(run: Cli, experiment: str, tmp_path: Path) -> None:
    assert run("compare", experiment, "--nulls", 1, "--out", "all", "--set", "seeds=[1]").code == 0
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    outcome = run("compare", experiment, "--nulls", 1, "--resume", "all", "--set", "training.epochs=3")
    assert outcome.code == 2
    assert "'all/er/seed-1' belongs to another experiment" in outcome.err
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_a_folder_of_something_else_is_refused(run: Cli, experiment: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("Dear")
    outcome = run("compare", experiment, "--out", "other")
    assert (outcome.code, "--out 'other' exists already and holds no run of this experiment" in outcome.err) == (2, True)
    for folder in ("other", "nowhere"):
        outcome = run("compare", experiment, "--resume", folder)
        assert (outcome.code, f"--resume '{folder}' holds no run of this experiment" in outcome.err) == (2, True)
    outcome = run("compare", experiment, "--resume", "other", "--out", "other")
    assert (outcome.code, "--out and --resume are both given" in outcome.err) == (2, True)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["letter.txt"]
