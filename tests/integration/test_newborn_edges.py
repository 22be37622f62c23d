"""The measurement of newborn edges: the page shows the table of its runs, and a run measures what it says."""

import json
import re
import sys
from pathlib import Path

import pytest

from scripts import newborn_edges

PAGE = Path(__file__).parents[2] / "docs" / "newborn-edges.md"


def test_the_page_shows_the_table_of_the_runs() -> None:
    runs = newborn_edges.read_runs(newborn_edges.RESULTS)
    shown = dict(re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- \1 -->", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))
    expected = {"table": newborn_edges.table(runs), "differences": newborn_edges.differences(runs)}
    assert shown == expected, "paste what `python -m scripts.newborn_edges` prints"
    settings = [{key: run[key] for key in newborn_edges.KEYS} for run in runs]
    assert sorted(settings, key=str) == sorted(newborn_edges.all_settings(), key=str)


def test_runs_are_measured_once_and_the_same_seed_gives_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"digits": {**newborn_edges.NETWORKS["digits"], "epochs": 5}}
    monkeypatch.setattr(newborn_edges, "NETWORKS", small)
    monkeypatch.setattr(newborn_edges, "RATES", (3e-3,))
    monkeypatch.setattr(newborn_edges, "SEEDS", range(2))
    monkeypatch.setattr(sys, "argv", ["newborn_edges", "--out", str(tmp_path / "runs.jsonl")])
    newborn_edges.main()
    first = (tmp_path / "runs.jsonl").read_text(encoding="utf-8")
    newborn_edges.main()
    assert (tmp_path / "runs.jsonl").read_text(encoding="utf-8") == first
    runs = [json.loads(line) for line in first.splitlines()]
    assert len(runs) == 16
    assert all(run["result"]["accuracy"] > 0.5 and run["result"]["rewired"] > 100 for run in runs)
    again = newborn_edges.run({key: runs[-1][key] for key in newborn_edges.KEYS})
    assert again == runs[-1]["result"]
    table = capsys.readouterr().out
    assert table.count("| digits | rigl | 0.003 | accuracy, % |") == 2
