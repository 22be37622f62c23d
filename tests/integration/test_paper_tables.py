"""The paper's tables and claims: numbers of a tiny set of runs against the same numbers computed by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from netsci_nn import ConfigError
from netsci_nn.data import load_dataset
from netsci_nn.experiment import RunResult, run_experiment
from netsci_nn.experiment.config import Experiment, parse_experiment
from netsci_nn.reports.tables import over_seeds
from scripts.brain_inspired import claims, paper, verdicts

DIGITS = load_dataset("digits")
METHODS = [
    {"name": "FC", "generator": "dense"},
    {"name": "SC"},
    {"name": "SC_Input", "generator": ["input_weighted", "erdos_renyi"]},
    {"name": "SET", "rewiring": "set"},
]


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    settings: dict[str, Any] = {
        "name": "tiny",
        "dataset": "digits",
        "seeds": [0, 1, 2],
        "model": {"layer_sizes": [64, 40, 10], "density": [0.15, 0.4]},
        "training": {"epochs": 2, "batch_size": 20, "learning_rate": 0.1},
        "method": METHODS,
    }
    return parse_experiment(settings, "tiny")


@pytest.fixture(scope="module")
def results(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> list[RunResult]:
    return list(run_experiment(experiment, DIGITS, tmp_path_factory.mktemp("runs") / "methods"))


def runs_of(results: list[RunResult]) -> Path:
    return results[0].directory.parents[1]


def test_table_rows(experiment: Experiment, results: list[RunResult]) -> None:
    rows = {row[0]: row for row in paper.table_rows(experiment, results, 10)}
    accuracy = {name: np.array([100 * r.accuracy for r in results if r.method == name]) for name in rows}
    gains = accuracy["SC_Input"] - accuracy["SC"]
    low, high = stats.t.interval(0.95, 2, gains.mean(), stats.sem(gains))
    assert rows["SC_Input"][1] == f"{accuracy['SC_Input'].mean():.2f} ± {accuracy['SC_Input'].std(ddof=1):.2f}"
    assert rows["SC_Input"][2] == f"{gains.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
    assert rows["SC"][2] == ""
    assert rows["FC"][3] == "98.44"
    cost = (384 + 160) / (64 * 40 + 400)
    assert rows["SC"][5:8] == [
        f"{cost:.4f}",
        f"{accuracy['SC'].mean() / 100 / cost:.2f}",
        f"{(accuracy['SC'].mean() / 100 - 0.1) / 0.9 / cost:.2f}",
    ]


def test_differences_and_degrees(results: list[RunResult]) -> None:
    runs = claims.read_runs(runs_of(results))
    assert {name: sorted(by_seed) for name, by_seed in runs.items()} == {m["name"]: [0, 1, 2] for m in METHODS}
    differences = {row[0]: row[1:] for row in claims.difference_rows(runs)}
    gains = np.array([100 * (runs["SET"][seed].accuracy - runs["SC"][seed].accuracy) for seed in range(3)])
    low, high = stats.t.interval(0.95, 2, gains.mean(), stats.sem(gains))
    assert differences["SET - SC"] == [f"{gains.mean():+.2f} [{low:+.2f}, {high:+.2f}]", "3"]
    degrees = {(row[0], row[1]): row for row in claims.degree_rows(runs, DIGITS)}
    first = [runs["SC_Input"][seed].final[0].out_degrees for seed in range(3)]
    assert degrees["SC_Input", "input"][2] == over_seeds([row.std() / row.mean() for row in first], 2)
    null = stats.hypergeom(64 * 40, 384, 40)
    assert degrees["SC_Input", "input"][3] == f"{null.std() / null.mean():.2f}"
    assert float(degrees["SC_Input", "input"][9].split()[0]) > 0.9
    assert ("FC", "input") not in degrees


def test_settling() -> None:
    """0.970 is within 0.2 points of 0.971; the last that is not is epoch 2, so it is settled from epoch 3 on."""

    class Run:
        accuracy_by_epoch = (0.9, 0.968, 0.970, 0.9705, 0.971)

    assert claims.settling_rows({"A": {0: Run()}}) == [["A", "3.0", ""]]
    flat = type("Flat", (), {"accuracy_by_epoch": (0.5, 0.5)})
    assert claims.settling_rows({"FC": {0: flat()}}) == [["FC", "1.0", "0.00"]]


def test_no_runs_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no complete run"):
        claims.read_runs(tmp_path)
    with pytest.raises(ConfigError, match="holds no complete run of SET"):
        verdicts.find_tasks(tmp_path, [0], 1)


def test_verdicts_over_epochs(results: list[RunResult]) -> None:
    tasks = verdicts.find_tasks(runs_of(results), [0], 39)
    assert {(task.method, task.epoch) for task in tasks} == {("SET", 0), ("SET", 5), ("SC_Input", 0)}
    chosen = [next(task for task in tasks if task.method == method) for method in ("SET", "SC_Input")]
    header, random, weighted = verdicts.verdict_rows([verdicts.judge(task) for task in chosen])
    column = header.index("heterogeneous")
    assert random[column] == "1 indist."
    assert weighted[column] == "1 supported"
    assert weighted[header.index("sparse")] == "1 supported"
