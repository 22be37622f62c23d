"""Real programs that get a signal at some moment: from their start on, while they work, with processes of their own."""

import json
import signal
from pathlib import Path

import pytest
from interrupted_programs import EXPERIMENT, START_UP, End, faults, run_and_signal

from netsci_nn import generators

pytestmark = pytest.mark.programs

TINY = EXPERIMENT.format(epochs=200000)
PAPER = ("-m", "scripts.brain_inspired.paper", "--dataset", "digits", "--seeds", "1", "--epochs", "9999", "--out", "paper")
BENCHMARK = (str(Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"), "--only", "layer", "--log", "bench.jsonl")
ENDLESS = ("compare", "tiny.toml", "--out", "all")
TRAIN = ("train", "tiny.toml", "--out", "here")


def program(*arguments: str) -> tuple[str, ...]:
    return ("-m", "netsci_nn", *arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(TINY)
    generators.erdos_renyi(60, 50, n_edges=600, rng=0).save(tmp_path / "t.npz")
    return tmp_path


def test_from_the_first_moments_on(folder: Path) -> None:
    """While the program and what it imports are loaded: nothing is begun, and the program ends at once."""
    commands = [program("analyze", "t.npz", "--nulls", "99999"), program(*ENDLESS), PAPER, BENCHMARK]
    before = sorted(folder.iterdir())
    for number, after in enumerate((START_UP, 0.2, 0.3, 0.45)):
        end = run_and_signal(commands[number], folder, after)
        assert (faults(end), end.code) == ([], 130), end
        assert end.err == "netsci-nn: interrupted; nothing was begun\n"
    assert {path for path in folder.iterdir() if path.name not in (".out", ".err")} == set(before)


@pytest.mark.parametrize("is_group", [False, True], ids=["alone", "terminal"])
def test_while_it_trains(folder: Path, is_group: bool) -> None:
    log = folder / "all" / "er" / "seed-0" / "checkpoint" / "last.safetensors"
    end = run_and_signal(program(*ENDLESS), folder, log.is_file, is_group=is_group)
    assert (faults(end), end.code) == ([], 130), end
    kept = "0 of 4 runs are complete; the same command with --resume all resumes"
    assert end.err.splitlines()[-1] == f"netsci-nn: interrupted; {kept}"


def test_while_processes_are_started_and_train(folder: Path) -> None:
    """Workers are told to end, and write nothing after the program has ended."""
    text = EXPERIMENT.format(epochs=2)
    (folder / "short.toml").write_text(text)
    assert run_and_signal(program("train", "short.toml", "--out", "run"), folder, None).code == 0
    command = program("ablate", "run", "--epochs", "200000", "--workers", "2", "--out", "retrained")
    begun = folder / "retrained" / "wiring"
    for when in (begun.is_dir, lambda: len(list((folder / "retrained").glob("*/*/metrics.jsonl"))) == 2):
        end = run_and_signal(command, folder, when, is_group=True)
        assert (faults(end), end.code) == ([], 130), end
        kept = "what is complete is kept, and the same command resumes from here"
        assert end.err.splitlines()[-1] == f"netsci-nn: interrupted; {kept}"
        assert not end.survivors


def test_workers_end_when_the_program_is_killed(folder: Path) -> None:
    (folder / "short.toml").write_text(EXPERIMENT.format(epochs=1))
    assert run_and_signal(program("train", "short.toml", "--out", "run"), folder, None).code == 0
    command = program("ablate", "run", "--epochs", "200000", "--workers", "2", "--seeds", "1", "--out", "retrained")
    runs = (folder / "retrained").glob
    end = run_and_signal(command, folder, lambda: len(list(runs("*/*/metrics.jsonl"))) == 2, number=signal.SIGKILL)
    assert end.code == -signal.SIGKILL
    assert not end.survivors


def test_an_analysis_says_how_far_it_came(folder: Path) -> None:
    end = run_and_signal(program("analyze", "t.npz", "--nulls", "99999", "--json", "r.json"), folder, 6.0)
    assert (faults(end), end.code) == ([], 130), end
    if (folder / "r.json").is_file():
        report = json.loads((folder / "r.json").read_text())
        assert report["interrupted"]
        assert f"Interrupted: {report['replicates']} of 99999" in " ".join(end.out.split())


@pytest.mark.parametrize("command", [TRAIN, ENDLESS], ids=["train", "compare"])
def test_a_program_that_is_told_to_terminate_ends_at_once(folder: Path, command: tuple[str, ...]) -> None:
    def is_training() -> bool:
        return any(folder.glob("**/last.safetensors"))

    end: End = run_and_signal(program(*command), folder, is_training, number=signal.SIGTERM)
    assert (faults(end, number=signal.SIGTERM), end.code) == ([], 143), end
    assert end.seconds is not None
    assert end.seconds < 10
