"""Campaigns add up over starts, say what went wrong, and the page on reliability shows what their log holds."""

import re
import subprocess
import sys
import time
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import campaign_slices
import crash_points
import hostile_environments
import pytest
from interrupted_programs import End

from netsci_nn import generators
from scripts import campaign

ROOT = Path(__file__).parents[2]


class Fake:
    """A campaign of slices of 3, which finds problems in those that begin at `bad`; Ctrl-C ends it after `n` slices."""

    def __init__(self, n: int, bad: int = -1) -> None:
        self.firsts: list[int] = []
        self.n, self.bad = n, bad

    def __call__(self, first: int) -> campaign_slices.Slice:
        if len(self.firsts) == self.n:
            raise KeyboardInterrupt
        self.firsts.append(first)
        return campaign_slices.Slice(3, ["went\nwrong" + "." * 999] * 2 if first == self.bad else [], first + 3)


def run(log: Path, **fakes: Fake) -> None:
    campaigns: dict[str, Any] = {name: (fake, 0) for name, fake in fakes.items()}
    with pytest.raises(KeyboardInterrupt):
        campaign.run(campaigns, log, seconds=60)


def test_each_goes_on_where_its_last_slice_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    kills, files = Fake(9), Fake(2)
    run(log, kills=kills, files=files)
    assert (kills.firsts, files.firsts) == ([0, 3, 6], [0, 3])
    files = Fake(1)
    run(log, files=files)  # as with --only
    again = Fake(1), Fake(1)
    run(log, kills=again[0], files=again[1])
    assert (again[0].firsts, files.firsts, again[1].firsts) == ([9], [6], [9])
    lines = campaign.read_lines(log)
    assert [(line["campaign"], line["first"], line["next"]) for line in lines if line["campaign"] == "files"] == [
        ("files", first, first + 3) for first in (0, 3, 6, 9)
    ]
    table = campaign.table(lines)
    assert re.search(r"^\| kills: .* \| 12 \| 0 \| 0\.00 \|", table, flags=re.MULTILINE)
    assert re.search(r"^\| files: .* \| 12 \| 0 \| 0\.00 \|", table, flags=re.MULTILINE)
    assert re.search(r"^\| flips: .* \| 0 \| 0 \| 0\.00 \|  \|$", table, flags=re.MULTILINE)
    assert set(lines[0]) == {"campaign", "first", "tried", "problems", "next", "seconds", "commit", "machine", "date"}


def test_a_problem_is_kept_in_a_line_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    run(log, flips=Fake(2, bad=3))
    assert [len(line["problems"]) for line in campaign.read_lines(log)] == [0, 2]
    assert campaign.read_lines(log)[1]["problems"][0].startswith("went wrong...")
    assert max(map(len, log.read_text().splitlines())) < 1000
    assert "flips from 3: 3 tried, 2 problems" in capsys.readouterr().out
    assert campaign.run({"flips": (Fake(1), 0)}, log, seconds=0)  # the time is over before anything is begun


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("problems", "code"), [([], 0), (["wrong"], 1)])
def test_exit_code(problems: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.jsonl"
    monkeypatch.setattr(sys, "argv", ["campaign.py", "--minutes", "0.001", "--only", "files", "--log", str(log)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    def one_slice(first: int) -> campaign_slices.Slice:
        time.sleep(0.1)  # longer than the campaign may begin slices
        return campaign_slices.Slice(1, problems, first + 1)

    monkeypatch.setitem(campaign_slices.CAMPAIGNS, "files", (one_slice, 0))
    assert campaign.main() == code
    assert [line["campaign"] for line in campaign.read_lines(log)] == ["files"]


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the arguments --hours --minutes --table is required"),
        (["--minutes", "0"], "argument --minutes: 0 is no time; it must be above 0 and finite"),
        (["--hours", "nan"], "argument --hours: nan is no time; it must be above 0 and finite"),
        (["--minutes", "1", "--log", "no/log.jsonl"], "path 'no/log.jsonl' lies in a folder that does not exist"),
        (["--table", "--log", "no.jsonl"], "file 'no.jsonl' does not exist; --log must name a log of slices"),
    ],
)
def test_arguments_that_are_refused(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["campaign.py", *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    with pytest.raises(SystemExit, match="2"):
        campaign.main()
    assert message in capsys.readouterr().err


def test_table() -> None:
    def line(name: str, tried: int, problems: list[str], seconds: float, commit: str) -> dict[str, Any]:
        return {"campaign": name, "tried": tried, "problems": problems, "seconds": seconds, "commit": commit}

    lines = [
        line("kills", 10, [], 1800, "a"),
        line("kills", 1234, ["x", "y"], 900, "b"),
        line("kills", 1, [], 0, "a"),
        line("files", 5, [], 36, "b"),
    ]
    assert campaign.table(lines).splitlines() == [
        "| campaign | tried | problems | hours | commits |",
        "|---|---|---|---|---|",
        f"| kills: {campaign.WHAT['kills']} | 1,245 | 2 | 0.75 | a, b |",
        f"| random-kills: {campaign.WHAT['random-kills']} | 0 | 0 | 0.00 |  |",
        f"| flips: {campaign.WHAT['flips']} | 0 | 0 | 0.00 |  |",
        f"| files: {campaign.WHAT['files']} | 5 | 0 | 0.01 | b |",
        f"| calls: {campaign.WHAT['calls']} | 0 | 0 | 0.00 |  |",
        f"| interruptions: {campaign.WHAT['interruptions']} | 0 | 0 | 0.00 |  |",
        f"| hindrances: {campaign.WHAT['hindrances']} | 0 | 0 | 0.00 |  |",
        f"| environments: {campaign.WHAT['environments']} | 0 | 0 | 0.00 |  |",
    ]


def test_kills_go_through_all_points_of_one_scenario_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(output: str, code: int = 0) -> None:
        done = subprocess.CompletedProcess([], code, output, "no memory")
        monkeypatch.setattr(campaign_slices.subprocess, "run", lambda *_, **__: done)

    answer("10 of 90 points: 0 problems\n")
    assert campaign_slices.kills("train 71") == (10, [], "train 81")
    assert campaign_slices.kills("train 81") == (10, [], "pruning 1")
    answer("3 of 343 points: 1 problems\npoint 342: a.json differs\n", 1)
    assert campaign_slices.kills("ablate 341") == (3, ["ablate, point 342: a.json differs"], "compare 1")
    assert campaign_slices.kills("workers 342")[2] == "train 1"
    assert campaign_slices.kills("compare 1")[2] == "compare 21"
    answer("", -9)
    assert campaign_slices.kills("train 1") == (0, ["train 1: exit code -9: no memory"], "train 1")
    assert list(crash_points.SCENARIOS) == ["train", "pruning", "ablate", "compare", "paper", "workers"]


def test_kills_at_random_are_counted_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(output: str, code: int) -> None:
        done = subprocess.CompletedProcess([], code, output, "no memory")
        monkeypatch.setattr(campaign_slices.subprocess, "run", lambda *_, **__: done)

    answer("run directory: run\n17 kills of ablate: 1 problems\ntry 3 of ablate, seed 8: a.json differs after 2 kills\n", 1)
    assert campaign_slices.kills_at_random(8) == (17, ["try 3 of ablate, seed 8: a.json differs after 2 kills"], 9)
    answer("", -9)
    assert campaign_slices.kills_at_random(8) == (0, ["seed 8: exit code -9: no memory"], 9)


def test_hindered_programs_are_counted_and_what_went_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(output: str, code: int = 0) -> None:
        done = subprocess.CompletedProcess([], code, output, "no memory")
        monkeypatch.setattr(campaign_slices.subprocess, "run", lambda *_, **__: done)

    answer("two of train, 0.3 s apart: sound\n5 tries: 0 problems\n")
    assert campaign_slices.hindrances(4) == (5, [], 5)
    answer("problem: train on a disk of 4 of 9 kB: a.json differs\n5 tries: 1 problems\n", 1)
    assert campaign_slices.hindrances(4) == (5, ["train on a disk of 4 of 9 kB: a.json differs, seed 4"], 5)
    answer("", -9)
    assert campaign_slices.hindrances(4) == (0, ["4: exit code -9: no memory"], 4)


def test_every_environment_meets_every_program(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[tuple[str, str]]()

    def faults(name: str, program: str) -> list[str] | None:
        seen.append((name, program))
        return None if name == "TMPDIR full" else ["wrong"] * (program == "train")

    monkeypatch.setattr(campaign_slices.hostile_environments, "faults", faults)
    first, tried, problems = 0, 0, list[str]()
    while first or not seen:
        one = campaign_slices.environments(first)
        first, tried, problems = one.following, tried + one.tried, problems + one.problems
    counted = [(name, program) for name, program in seen if name != "TMPDIR full"]
    assert (tried, problems) == (len(counted), [f"train, {name}: wrong" for name, program in counted if program == "train"])
    assert len(seen) == len(set(seen))
    assert {*product(hostile_environments.ENVIRONMENTS, hostile_environments.PROGRAMS.keys() - {"demo"})} <= {*seen}


def test_how_a_program_may_end_in_a_hostile_environment() -> None:
    def n_faults(code: int, err: str) -> int:
        return len(hostile_environments.faults_of_output(hostile_environments.End(code, "some words\n", err, {})))

    assert n_faults(0, "RuntimeWarning: compiled code is kept elsewhere\n") == 0
    assert n_faults(2, "netsci-nn: path 'x' cannot be written: No space left on device\n") == 0
    assert n_faults(2, "") == 1
    assert n_faults(2, "netsci-nn: one\nnetsci-nn: two\n") == 1
    assert n_faults(0, "Exception ignored in: <stdout>\n") == 1
    assert n_faults(1, "Traceback (most recent call last):\n") == 1


def test_a_bit_that_is_not_noticed_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign_slices, "FLIPS", 40)
    assert campaign_slices.flips(0) == (40, [], 1)
    monkeypatch.setattr("netsci_nn.topology.load_network", Path.read_bytes)
    tried, problems, _ = campaign_slices.flips(0)
    assert (tried, len(problems)) == (40, 10)
    assert all(re.fullmatch(r"bit \d+ of network.safetensors, seed 0: was read", problem) for problem in problems)


def test_what_a_program_leaves_half_done_is_a_problem(tmp_path: Path) -> None:
    generators.erdos_renyi(6, 5, n_edges=9, rng=0).save(whole := tmp_path / "t.npz")
    (text := tmp_path / "r.json").write_text('{"a": 1}')
    end = End(130, "", "", 0.1, [whole, text], survivors=False)
    assert campaign_slices._half_done(end) == []
    text.write_text('{"a": ')
    whole.write_bytes(whole.read_bytes()[:-40])
    found = campaign_slices._half_done(end._replace(seconds=31.0, survivors=True))
    assert found[:2] == ["a process is left over", "ended after 31 s"]
    assert [problem.partition(" is not whole: ")[0] for problem in found[2:]] == ["r.json", "t.npz"]


def test_the_page_shows_the_totals_of_the_log() -> None:
    lines = campaign.read_lines()
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    shown = text.split("<!-- campaign -->\n")[1]
    assert shown == campaign.table(lines) + "\n", "paste what `python scripts/campaign.py --table` prints"
    assert {line["campaign"] for line in lines} == set(campaign.WHAT) == set(campaign_slices.CAMPAIGNS)
    for name in campaign.WHAT:
        own = [line for line in lines if line["campaign"] == name]
        assert own[0]["first"] == campaign_slices.CAMPAIGNS[name][1]
        for before, after in pairwise(own):  # a campaign may begin anew, and programs that are killed in another order
            begins = after["first"] == own[0]["first"] or (name == "kills" and after["first"].endswith(" 1"))
            assert begins or before["next"] == after["first"], f"a slice of {name} is missing"
