"""The benchmark: its tables are those of its runs, and a case that is measured once is not measured again."""

import json
import re
from pathlib import Path

import pytest

from scripts import benchmark

ROOT = Path(__file__).parents[2]


def test_the_page_shows_the_tables_of_the_log() -> None:
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- \1 -->", page, flags=re.DOTALL))
    assert shown == benchmark.tables(benchmark.read_lines()), "paste what `python scripts/benchmark.py --table` prints"
    assert set(shown) == set(benchmark.PARTS)


def test_the_last_measurement_of_a_case_counts_and_other_columns_have_their_own_table() -> None:
    lines = [
        {"part": "layer", "case": "a", "result": {"ours ms": 2.0, "nn.Linear / ours": 1.234}},
        {"part": "layer", "case": "b", "result": {"edges": 10_000, "auto takes": "csr", "dense ms": None}},
        {"part": "layer", "case": "a", "result": {"ours ms": 150.4, "nn.Linear / ours": 3.0}},
    ]
    first, second = benchmark.tables(lines)["layer"].split("\n\n")
    assert [cell.strip() for cell in first.splitlines()[2].split("|")[1:-1]] == ["a", "150", "3.00"]
    assert [cell.strip() for cell in second.splitlines()[2].split("|")[1:-1]] == ["b", "10,000", "csr", "-"]


def test_what_is_in_the_log_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, measured = tmp_path / "speed.jsonl", []

    def case(name: str) -> benchmark.Case:
        return benchmark.Case("layer", name, lambda: measured.append(name) or {"ours ms": 1.0})

    monkeypatch.setattr(benchmark, "PARTS", {"layer": lambda: iter([case("a"), case("b")])})
    log.write_text(json.dumps({"part": "layer", "case": "a", "result": {"ours ms": 2.0}}) + "\n")
    benchmark.measure_missing(["layer"], log, again=False)
    assert measured == ["b"]
    benchmark.measure_missing(["layer"], log, again=True)
    assert measured == ["b", "a", "b"]
    lines = benchmark.read_lines(log)
    assert [line["case"] for line in lines] == ["a", "b", "a", "b"]
    assert set(lines[-1]) == {"part", "case", "result", "commit", "machine", "date"}


def test_what_is_measured_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    row = benchmark.measure_auto(30, 0.3, 8)
    assert (row["auto takes"], list(row)) == ("compiled", ["compiled ms", "csr ms", "dense ms", "auto takes", "auto / fastest"])
    assert row["auto / fastest"] >= 1
    monkeypatch.setattr(benchmark, "MOST_DENSE", 100)
    assert benchmark.measure_auto(30, 0.3, 8)["dense ms"] is None
    row = benchmark.measure_layer(30, 20, 0.3, 8)
    assert row["edges"] == 180
    assert {"ours ms", "nn.Linear / ours", "masked dense / ours", "torch CSR / ours"} <= set(row)


def test_bfloat16_is_beside_float32() -> None:
    assert list(benchmark.measure_bfloat16(30, 20, 0.3, 8)) == ["float32 ms", "bfloat16 / float32", "autocast / float32"]
