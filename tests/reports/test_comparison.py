"""The comparison of methods as a library: tables, numbers, the page, and the script that shows how to use it."""

import io
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text
from toy_experiments import DATA, SET, toy

from netsci_nn import ConfigError
from netsci_nn.files import new_directory
from netsci_nn.reports.comparison import Comparison, comparison_tables, run_comparison, write_page, write_results

ROOT = Path(__file__).resolve().parents[2]
METHODS = [{"name": "ER"}, SET, {"name": "dense", "generator": "dense"}]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return run_comparison(toy(METHODS, epochs=2), DATA, tmp_path_factory.mktemp("runs"), nulls=2)


def test_all_runs_are_there_and_topologies_are_described(comparison: Comparison) -> None:
    assert comparison.methods == ["ER", "SET", "dense"]
    assert [result.seed for result in comparison.of("SET")] == [0, 1]
    assert not comparison.is_interrupted
    assert sorted(comparison.reports) == [
        *(("ER", seed, "before") for seed in (0, 1)),
        *(("SET", seed, when) for seed in (0, 1) for when in ("after", "before")),
    ]
    assert comparison.reports["SET", 0, "after"].replicates == 2


def test_tables_stand_with_how_to_read_them(comparison: Comparison) -> None:
    results, note, topology, other = comparison_tables(comparison)
    assert isinstance(results, Table)
    assert isinstance(topology, Table)
    assert [str(cell) for cell in results.columns[0].cells] == ["ER", "SET", "dense"]
    assert [str(cell) for cell in topology.columns[0].cells] == ["ER", "SET, before", "SET, after"]
    assert isinstance(note, Text)
    assert "over 2 seeds" in note.plain
    assert "mean of 2 random graphs" in str(other)
    printed = io.StringIO()
    Console(width=136, file=printed).print(*comparison_tables(comparison))
    assert "Results: toy on toy" in printed.getvalue()


def test_a_method_without_epochs_has_no_score_before_the_last_removal(comparison: Comparison) -> None:
    runs = [replace(run, n_edges=run.n_edges - 1, metrics_by_epoch={"accuracy": ()}) for run in comparison.results]
    results, *_ = comparison_tables(replace(comparison, results=runs))
    assert isinstance(results, Table)
    assert [str(cell) for cell in results.columns[2].cells] == ["", "", ""]


def test_numbers_and_page_are_written(comparison: Comparison) -> None:
    numbers, page = write_results(comparison), write_page(comparison)
    assert (numbers.parent, page.parent) == (comparison.directory, comparison.directory)
    runs = json.loads(numbers.read_text())["runs"]
    assert [(run["method"], run["seed"]) for run in runs] == [(result.method, result.seed) for result in comparison.results]
    assert page.read_text().count("data:image/png") >= 2


def test_a_run_that_has_diverged_leaves_the_others_their_tables(comparison: Comparison, tmp_path: Path) -> None:
    first, *others = comparison.results
    lost = replace(first, metrics={"accuracy": math.nan}, metrics_by_epoch={"accuracy": (math.inf, math.nan)}, cost=0.0)
    diverged = Comparison(comparison.experiment, DATA, tmp_path, 2, [lost, *others])
    table = comparison_tables(diverged)[0]
    assert isinstance(table, Table)
    assert "nan ± nan" in map(str, table.columns[1].cells)
    run = json.loads(write_results(diverged).read_text())["runs"][0]
    assert run["metrics"] == {"accuracy": None}
    assert run["metrics_by_epoch"] == {"accuracy": [None, None]}
    assert write_page(diverged).is_file()


@pytest.mark.parametrize("nulls", [0, -1, True, 1.5])
def test_numbers_of_random_graphs_are_checked_before_anything_runs(nulls: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"nulls is {nulls}; it must be an integer >= 1"):
        run_comparison(toy(), DATA, tmp_path, nulls=nulls)
    assert list(tmp_path.iterdir()) == []


def test_new_directories_overwrite_nothing(tmp_path: Path) -> None:
    assert new_directory(tmp_path / "run") == tmp_path / "run"
    (tmp_path / "run").mkdir()
    (tmp_path / "run-2").mkdir()
    assert new_directory(tmp_path / "run") == tmp_path / "run-3"


EXPERIMENT = """
name = "tiny"
dataset = "digits"
[model]
layer_sizes = [64, 8, 10]
density = 0.3
[training]
epochs = 1
[[method]]
name = "ER"
"""

SCRIPT = f"""
import runpy, sys
runpy.run_path({str(ROOT / "scripts" / "compare.py")!r}, run_name="__main__")
print([name for name in sys.modules if name.startswith(("netsci_nn.cli", "typer"))])
"""


@pytest.mark.programs
def test_the_script_is_a_comparison_without_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(EXPERIMENT)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )

    done = run("tiny.toml", "--nulls", "1", "--set", "training.batch_size=64")
    assert done.returncode == 0, done.stderr
    assert "Results: tiny on digits" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["The page with curves and pictures: runs/tiny/report.html", "[]"]
    assert {"results.json", "report.html", "er"} <= {path.name for path in (tmp_path / "runs" / "tiny").iterdir()}
    wrong = run("tiny.toml", "--set", "training.epochs=-1")
    assert wrong.returncode == 2
    assert "training.epochs is -1" in wrong.stderr.splitlines()[-1]
    assert "Traceback" not in wrong.stderr
