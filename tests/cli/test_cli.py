"""The command line: every bad input is one sentence, exit code 2 and nothing written; and the commands at work."""

import importlib.metadata
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli, Outcome

import netsci_nn
from netsci_nn import BipartiteTopology

EXPERIMENT = """
name = "tiny"
dataset = "digits"
seeds = [0]
[model]
layer_sizes = [64, 16, 10]
density = 0.3
[training]
epochs = 1
momentum = 0.9
[[method]]
name = "dense"
generator = "dense"
[[method]]
name = "ER + SET"
rewiring = "set"
"""


@pytest.fixture
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "tiny.toml"
    path.write_text(EXPERIMENT)
    return path


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_one_sentence(outcome: Outcome, message: str) -> None:
    assert outcome.code == 2
    assert re.search(message, outcome.err), outcome.err
    assert outcome.err.startswith("netsci-nn: ")
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


@pytest.mark.programs
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_compare_prints_in_any_encoding(experiment: Path, tmp_path: Path, encoding: str) -> None:
    command = [sys.executable, "-m", "netsci_nn", "compare", experiment, "--nulls", "1", "--set", "seeds=[0,1]", "--out", "out"]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": f"{encoding}:strict"}
    environment["PYTHONPATH"] = str(Path(netsci_nn.__file__).parents[1])
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.decode(encoding)
    plus_minus = "+-" if encoding == "ascii" else "±"
    assert re.search(rf"dense .* \d\d\.\d\d {re.escape(plus_minus)} \d\.\d\d", printed)
    assert f"Mean {plus_minus} standard deviation over 2 seeds" in printed
    assert "?" not in printed
    assert "±" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.programs
def test_compare_writes_its_page_where_nobody_reads_its_tables(experiment: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "netsci_nn", "compare", experiment, "--nulls", "1", "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(Path(netsci_nn.__file__).parents[1])}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 2
    assert b"output cannot be written: No space left on device" in done.stderr
    assert (tmp_path / "out" / "report.html").is_file()


GENERATE = ["generate", "erdos_renyi", 10, 8, "--out", "t.npz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["generate", "erdos_reny", 5, 5, "--out", "t.npz"],
            r"unknown generator 'erdos_reny' \(did you mean 'erdos_renyi'\?\)",
        ),
        (GENERATE, "neither --edges nor --density is given; exactly one of them must be given"),
        ([*GENERATE, "--density", 0.1, "--edges", 3], "exactly one of them must be given"),
        ([*GENERATE, "--density", 0], r"density is 0\.0; it must be a number in \(0, 1\]"),
        ([*GENERATE, "--density", 1.5], r"density is 1\.5; it must be"),
        ([*GENERATE, "--density", "nan"], "density is nan; it must be"),
        ([*GENERATE, "--edges", 81], r"--edges is 81; it must be an integer from 0 to n_in \* n_out = 80"),
        ([*GENERATE, "--edges", -1], "--edges is -1; it must be"),
        ([*GENERATE, "--edges", 3, "--seed", -1], "--seed is -1; it must be an integer seed >= 0"),
        ([*GENERATE, "--edges", 3, "--param", "p=1"], "model 'erdos_renyi': unknown key 'p' = 1; allowed are: variant"),
        (["generate", "erdos_renyi", 0, 8, "--out", "t.npz", "--edges", 0], "n_in is 0; it must be an integer from 1"),
        (["generate", "erdos_renyi", 5, 8, "--out", "t.txt", "--edges", 3], r"path 't\.txt' ends in '\.txt'; allowed are: "),
        (["generate", "erdos_renyi", 5, 8, "--out", "no/t.npz", "--edges", 3], "lies in a folder that does not exist"),
        (["generate", "erdos_renyi", 5, 8, "--out", "folder.npz", "--edges", 3], r"folder\.npz"),
        (
            ["generate", "small_world", 5, 8, "--out", "t.npz", "--edges", 3, "--param", "rewiring_probability=2"],
            "is 2; it must be",
        ),
        (
            ["generate", "small_world", 5, 8, "--out", "t.npz", "--edges", 3, "--param", "rewiring_probability"],
            "--param is 'rewiring_probability'; it must be KEY=VALUE",
        ),
        (
            ["generate", "input_weighted", 3, 8, "--out", "t.npz", "--edges", 3],
            "--param weights=VALUE is missing; model 'input_weighted' needs it",
        ),
        (
            ["generate", "input_weighted", 3, 8, "--out", "t.npz", "--edges", 3, "--param", "weights=[1,-1,2]"],
            r"weights\[1\] is -1\.0",
        ),
        (
            ["generate", "input_weighted", 3, 8, "--out", "t.npz", "--edges", 3, "--param", "weights=[0,0,0]"],
            "weights are all zero",
        ),
        (
            ["generate", "input_weighted", 3, 8, "--out", "t.npz", "--edges", 3, "--param", "weights=[1,NaN,1]"],
            r"weights\[1\] is nan",
        ),
        (
            ["generate", "input_weighted", 3, 8, "--out", "t.npz", "--edges", 3, "--param", "weights=words.txt"],
            "does not hold numbers",
        ),
        (
            ["generate", "input_weighted", 3, 8, "--out", "t.npz", "--edges", 3, "--param", "weights=broken.npy"],
            "file 'broken.npy' does not hold numbers: the header",
        ),
        (
            ["generate", "input_weighted", 3, 8, "--out", "t.npz", "--edges", 3, "--param", "weights=short.npy"],
            "file 'short.npy' does not hold numbers: it holds 16 bytes of numbers, and its header states 24",
        ),
        ([*GENERATE, "--edges", 3, "--param", f"variant={'n' * 5000}"], "variant is 'nn"),
        ([*GENERATE, "--edges", 3, "--param", f"variant={'[' * 10_000}"], "--param variant has a number of too many digits or"),
        ([*GENERATE, "--edges", 3, "--param", f"variant={'9' * 5000}"], "--param variant has a number of too many digits or"),
        (
            ["generate", "small_world", 5, 8, "--out", "t.npz", "--edges", 3, "--param", f"rewiring_probability=1{'0' * 400}"],
            "rewiring_probability is 10",
        ),
        (
            ["generate", "input_weighted", 3, 8, "--out", "t.npz", "--edges", 3, "--param", f"weights=[1, 2, 1{'0' * 400}]"],
            "weights is ",
        ),
        (
            [
                *("generate", "configuration_model", 2, 2, "--out", "t.npz"),
                *("--param", "out_degrees=[1, [2]]", "--param", "in_degrees=[1, 2]"),
            ],
            r"out_degrees is \[1, \[2\]\]; it must be 2 integers",
        ),
        (["generate", "grouped", 4, 4, "--out", "t.npz"], "--param n_groups=VALUE is missing; model 'grouped' needs it"),
        (
            ["generate", "input_weighted", 3, 8, "--out", "t.npz", "--edges", 3, "--param", "weights=empty.txt"],
            "file 'empty.txt' does not hold numbers: it is empty",
        ),
        (
            ["generate", "grouped", 4, 4, "--out", "t.npz", "--density", 0.5, "--param", "n_groups=2"],
            "density is 0.5; the structure of this model fixes its number of edges",
        ),
        ([*GENERATE, "--edges", 3, "--plot", "t.bmp"], r"--plot 't\.bmp' ends in '\.bmp'; allowed are: \.png"),
        ([*GENERATE, "--edges", 3, "--param", "variant=gmp"], "variant is 'gmp'; it must be one of 'gnm', 'gnp'"),
        (["analyze", "nowhere.npz"], r"path 'nowhere\.npz' does not exist"),
        (["analyze", "good.csv", "--nulls", -1], r"--nulls is -1; it must be an integer from 0 to 1,000,000"),
        (["analyze", "good.csv", "--nulls", 10**30], r"--nulls is 10+; it must be an integer from 0"),
        (["analyze", "good.csv", "--image-shape", "2by2"], r"--image-shape is '2by2'; it must be HEIGHTxWIDTH"),
        (["analyze", "good.csv", "--image-shape", "2x2"], r"--image-shape is 2x2, 4 pixels; the first layer has 3 inputs"),
        (["analyze", "words"], r"path 'words' does not exist"),
        (["ablate", "nowhere"], "run 'nowhere' does not exist; it must be a run directory"),
        (["ablate", "words.txt"], r"run 'words\.txt' is a file; it must be a run directory"),
        (["train", "EXPERIMENT", "--data-dir", "nowhere"], "--data-dir 'nowhere' is not a folder"),
        (["compare", "EXPERIMENT", "--nulls", 0], r"--nulls is 0; it must be an integer from 1"),
        (["evolve", "folder.npz", "--nulls", 0], r"--nulls is 0; it must be an integer from 1"),
        (["analyze", "broken.npz"], r"file 'broken\.npz' does not hold a topology"),
        (["analyze", "triangle.graphml"], r"file 'triangle\.graphml' does not hold a topology: .*not bipartite"),
        (["analyze", "words.doc"], r"path 'words\.doc' does not exist"),
        (["analyze", "words.md"], "allowed are: .safetensors"),
        (["analyze", "folder.npz"], "has no recorded topology"),
        (["analyze", "good.csv", "--json", "no/report.json"], "lies in a folder that does not exist"),
        (["train", "nowhere.toml"], r"experiment file 'nowhere\.toml' cannot be read: No such file or directory$"),
        (["compare", "nowhere.toml"], r"experiment file 'nowhere\.toml' cannot be read"),
        (["compare", "words.txt"], r"experiment file 'words\.txt' cannot be read"),
        (["train", "EXPERIMENT", "--method", "nope"], "--method is 'nope'; allowed are: dense, ER \\+ SET"),
        (["train", "EXPERIMENT", "--out", "used"], "run directory 'used' is not empty"),
        (["train", "EXPERIMENT", "--out", "words.txt"], r"words\.txt"),
        (["train", "folder.npz", "--resume"], "cannot be read"),
        (["train", "EXPERIMENT", "--set", "training.epoch=3"], r"unknown key 'training\.epoch' = 3; allowed are: epochs"),
        (["train", "EXPERIMENT", "--set", "training.epochs"], "override is 'training.epochs'; it must be KEY=VALUE"),
        (
            ["compare", "EXPERIMENT", "--set", "training.epochs=-3"],
            "training.epochs is -3; it must be greater than or equal to 0",
        ),
        (["compare", "EXPERIMENT", "--set", "model.layer_sizes=[63, 10]"], "dataset 'digits' needs 64 inputs"),
        (["compare", "EXPERIMENT", "--set", "model.density=2"], "model.density.* is 2; it must be less than or equal to 1"),
        (["compare", "EXPERIMENT", "--set", "dataset=minst"], "unknown dataset 'minst'"),
        (["compare", "EXPERIMENT", "--set", "model.backend=nope"], "unknown backend 'nope'"),
        (["compare", "EXPERIMENT", "--set", "dataset=mnist", "--data-dir", "nowhere"], "--data-dir 'nowhere' is not a folder"),
        (["compare", "EXPERIMENT", "--out", "used"], "--out 'used' exists already"),
    ],
    ids=lambda value: " ".join(map(str, value))[-60:] if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    arguments: list[object], message: str, run: Cli, experiment: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    (tmp_path / "words.txt").write_text("these are words\n")
    (tmp_path / "words.md").write_text("these are words\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    np.save(tmp_path / "short.npy", np.ones(3))
    whole = (tmp_path / "short.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(whole[:-8])
    (tmp_path / "broken.npy").write_bytes(whole.replace(b"}", b" "))
    BipartiteTopology(3, 2, [1], [1]).save(tmp_path / "good.csv")
    graph = BipartiteTopology(2, 1, [0, 1], [0, 0]).to_igraph()
    graph.add_edges([(0, 1)])
    graph.write_graphml(str(tmp_path / "triangle.graphml"))
    before = listing(tmp_path)
    outcome = run(*[experiment if argument == "EXPERIMENT" else argument for argument in arguments])
    assert_one_sentence(outcome, message)
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "erdos_renyi", "five", 5, "--out", "t.npz"],
        [*GENERATE, "--density", "much"],
        [*GENERATE, "--nope"],
        ["nonsense"],
        ["train"],
        ["analyze", "a.npz", "--seed", -1],
    ],
    ids=str,
)
def test_bad_usage_has_exit_code_2_and_no_traceback(arguments: list[object], run: Cli, tmp_path: Path) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert "Usage" in outcome.err
    assert "Traceback" not in outcome.err
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("ending", ["safetensors", "npz", "graphml", "csv"])
def test_generate_and_analyze(ending: str, run: Cli, tmp_path: Path) -> None:
    outcome = run("generate", "barabasi_albert", 30, 20, "--density", 0.2, "--seed", 3, "--out", f"t.{ending}")
    assert (outcome.code, outcome.err) == (0, "")
    assert "n_edges=120" in outcome.out
    expected = netsci_nn.generators.barabasi_albert(30, 20, density=0.2, rng=3)
    assert BipartiteTopology.load(tmp_path / f"t.{ending}") == expected
    outcome = run("analyze", f"t.{ending}", "--nulls", 0, "--json", "report.json")
    assert (outcome.code, outcome.err) == (0, "")
    assert "density" in outcome.out
    assert json.loads((tmp_path / "report.json").read_text())["sections"][0]["n_edges"] == 120


def test_a_report_is_the_same_again(run: Cli, tmp_path: Path) -> None:
    run("generate", "barabasi_albert", 30, 20, "--density", 0.2, "--seed", 3, "--out", "t.npz")
    outcome = run("analyze", "t.npz", "--nulls", 2, "--json", "report.json", "--html", "report.html")
    assert (outcome.code, outcome.err) == (0, "")
    assert "<html" in (tmp_path / "report.html").read_text()
    text = (tmp_path / "report.json").read_text()
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    run("analyze", "t.npz", "--nulls", 2, "--json", "again.json")
    assert (tmp_path / "again.json").read_text() == text


def test_generate_with_parameters_from_text_and_files(run: Cli, tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.array([0.0, 1.0, 3.0]))
    np.savetxt(tmp_path / "w.txt", np.array([0.0, 1.0, 3.0]))
    for number, weights in enumerate(("[0, 1, 3]", "w.npy", "w.txt")):
        arguments = ["input_weighted", 3, 10, "--edges", 8, "--param", f"weights={weights}", "--out", f"{number}.csv"]
        assert run("generate", *arguments).code == 0
        assert BipartiteTopology.load(tmp_path / f"{number}.csv").out_degrees.tolist() == [0, 2, 6]


def test_generate_draws_a_picture_and_takes_models_without_a_budget(run: Cli, tmp_path: Path) -> None:
    outcome = run("generate", "grouped", 8, 4, "--param", "n_groups=2", "--out", "g.graphml", "--plot", "g.png")
    assert (outcome.code, outcome.err) == (0, "")
    assert "n_edges=16" in outcome.out
    assert "(grouped, n_groups=2, seed=0)" in outcome.out
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    outcome = run("generate", "from_graph", 16, 8, "--param", "graph=g.graphml", "--out", "scaled.npz")
    assert outcome.code == 0
    assert BipartiteTopology.load(tmp_path / "scaled.npz") == netsci_nn.generators.grouped(16, 8, n_groups=2)
    assert run("generate", "erdos_renyi", 8, 4, "--edges", 0, "--out", "e.csv", "--plot", "e.png").code == 0


def test_an_empty_topology_can_be_analysed(run: Cli) -> None:
    assert run("generate", "erdos_renyi", 4, 3, "--edges", 0, "--out", "t.csv").code == 0
    outcome = run("analyze", "t.csv", "--nulls", 2)
    assert outcome.code == 0 or (outcome.code == 2 and outcome.err.count("\n") == 1)
    assert "Traceback" not in outcome.err


def test_compare_writes_page_results_and_runs(run: Cli, experiment: Path, tmp_path: Path) -> None:
    outcome = run("compare", experiment, "--nulls", 2)
    assert outcome.code == 0, outcome.err
    folder = tmp_path / "runs" / "tiny"
    assert str(Path("runs") / "tiny" / "report.html") in outcome.out
    page = (folder / "report.html").read_text()
    assert "<html" in page
    assert "ER + SET" in page
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)  # self-contained
    results = json.loads((folder / "results.json").read_text())
    assert [(r["method"], r["seed"]) for r in results["runs"]] == [("dense", 0), ("ER + SET", 0)]
    dense, sparse = results["runs"]
    assert (dense["n_edges"], dense["cost"]) == (64 * 16 + 16 * 10, 1.0)
    assert sparse["n_edges"] < sparse["n_edges_in_training"] == 307 + 48
    assert str(sparse["n_edges"]) in outcome.out
    for name in ("dense", "er-set"):
        files = {path.name for path in (folder / name / "seed-0").iterdir()}
        assert {"config.toml", "environment.json", "metrics.jsonl", "checkpoint"} <= files
    assert run("compare", experiment, "--nulls", 1, "--set", "training.epochs=0").code == 0
    assert (tmp_path / "runs" / "tiny-2" / "report.html").is_file()  # nothing is overwritten


def test_train_resume_and_analyse_the_run(run: Cli, experiment: Path, tmp_path: Path) -> None:
    outcome = run("train", experiment, "--method", "ER + SET", "--seed", 5, "--out", "here")
    assert outcome.code == 0, outcome.err
    assert "ER + SET, seed 5: test accuracy" in outcome.out
    resumed = run("train", "here", "--resume")
    assert resumed.code == 0, resumed.err
    assert "ER + SET, seed 5" in resumed.out
    accuracy = re.compile(r"accuracy ([\d.]+) %, (\d+) edges")
    assert accuracy.search(outcome.out).groups() == accuracy.search(resumed.out).groups()
    analysed = run("analyze", "here", "--nulls", 2)
    assert analysed.code == 0, analysed.err
    assert re.search(r"Verdicts.*property.*layer 0.*sparse.*supported", analysed.out, re.DOTALL)
    followed = run("evolve", "here", "--measure", "degree", "--json", "evolution.json")
    assert followed.code == 0, followed.err
    assert "first edges left" in followed.out
    assert set(json.loads((tmp_path / "evolution.json").read_text())) >= {"epochs"}
    assert_one_sentence(run("evolve", "nowhere"), "directory 'nowhere' does not exist")
    (tmp_path / "here" / "checkpoint" / "last.safetensors").write_bytes(b"damaged")
    assert_one_sentence(run("train", "here", "--resume"), r"last\.safetensors' cannot be read")


def test_doctor_names_every_backend(run: Cli) -> None:
    outcome = run("doctor")
    assert outcome.code == 0
    assert all(name in outcome.out for name in ("torch", "igraph", "powerlaw", *netsci_nn.kernels.BACKENDS))


def test_version(run: Cli) -> None:
    assert run("--version") == (0, f"netsci-nn {importlib.metadata.version('netsci-nn')}\n", "")


def test_a_current_folder_that_is_gone(run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MKL ends the process there when torch is imported."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert_one_sentence(run("doctor"), "the current folder cannot be used: No such file or directory")


@pytest.mark.programs
def test_training_without_compiled_code(experiment: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "netsci_nn", "train", str(experiment), "--method", "ER + SET", "--out", "run"]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "result.json").is_file()


@pytest.mark.parametrize(("work", "code"), [("logging.warning('words')", 0), ("raise ConfigError('words')", 2)])
def test_what_cannot_be_said_changes_no_exit_code(work: str, code: int) -> None:
    imports = "import logging; from netsci_nn.cli.output import reported_errors; from netsci_nn.errors import ConfigError"
    with open("/dev/full", "w") as full:
        program = [sys.executable, "-c", f"{imports}\nwith reported_errors(): {work}"]
        assert subprocess.run(program, stderr=full, check=False).returncode == code


def test_no_thread_can_be_started(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    run("generate", "erdos_renyi", 9, 8, "--edges", 20, "--out", "t.npz")

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")  # what Python says at the limit of processes

    monkeypatch.setattr("threading._start_new_thread", refuse)
    assert_one_sentence(run("analyze", "t.npz", "--nulls", 2), "^netsci-nn: can't start new thread: the system allows no more")


@pytest.mark.programs
def test_a_backend_of_matplotlib_that_is_not_installed(tmp_path: Path) -> None:
    """Notebooks hand theirs down to the programs that are started there; pictures need none."""
    command = [
        sys.executable,
        "-m",
        "netsci_nn",
        "generate",
        "erdos_renyi",
        "3",
        "2",
        "--edges",
        "4",
        "--out",
        "t.npz",
        "--plot",
        "t.png",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MPLBACKEND": "none"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "t.png").is_file()


def test_python_runs_the_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["netsci_nn", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("netsci_nn", run_name="__main__")
    assert ended.value.code == 0
    assert "analyze" in capsys.readouterr().out


def test_the_installed_program(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "netsci-nn"
    command = [str(program), "generate", "erdos_renyi", "5", "5", "--density", "7", "--out", str(tmp_path / "t.npz")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert_one_sentence(Outcome(done.returncode, done.stdout, done.stderr), r"density is 7\.0; it must be a number in \(0, 1\]")
    assert listing(tmp_path) == {}


def test_a_module_that_hides_analysis_is_named(tmp_path: Path) -> None:
    (tmp_path / "analysis.py").write_text("class AnalysisError(ValueError): pass\n")
    command = [sys.executable, "-c", "from netsci_nn.cli import main; main()", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert_one_sentence(Outcome(done.returncode, done.stdout, done.stderr), "module 'analysis' is .*analysis.py")
