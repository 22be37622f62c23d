"""The tools that kill: they count, they kill whom they say, and they notice what is left or different."""

import os
import subprocess
import sys
import time
from pathlib import Path

import crash_points
import killed_programs
import pytest
import random_kills
from contents import contents
from killed_programs import Program

WRITE = "import sys; from pathlib import Path\nfor name in 'abc': Path(sys.argv[1], name).touch()"


@pytest.mark.programs
@pytest.mark.parametrize(("point", "left", "code"), [(2, ["a"], -9), (3, ["a", "b"], -9), (4, ["a", "b", "c"], 0)])
def test_a_worker_dies_at_its_point(point: int, left: list[str], code: int, tmp_path: Path) -> None:
    folder, counted = tmp_path / "watched", tmp_path / "counted"
    folder.mkdir(), counted.touch()
    places = os.pathsep.join([str(crash_points.IN_WORKERS), str(Path(crash_points.__file__).parent)])
    variables = {"PYTHONPATH": places, crash_points.WATCHED: str(folder), crash_points.COUNTED: str(counted)}
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(folder)],
        env={**os.environ, **variables, crash_points.POINT: str(point)},
        check=False,
        start_new_session=True,
    )
    assert done.returncode == code
    assert sorted(path.name for path in folder.iterdir()) == left
    assert counted.stat().st_size == min(point, 3)


def test_what_a_killed_program_leaves_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(random_kills, "is_left", lambda group: killed_programs.is_left(group, seconds=0.5))

    def program(main: object) -> Program:
        return Program(main, list, lambda: None, has_workers=True)  # type: ignore[arg-type]

    end = random_kills.run(program(lambda: time.sleep(30)), after=0.1)
    assert (end.code, end.is_killed, end.problems) == (-9, True, [])
    assert 0.1 < end.seconds < 10
    end = random_kills.run(program(lambda: subprocess.run(["sleep", "30"], check=False)), 0.3, "program")
    assert (end.code, end.problems) == (-9, ["a process is left over"])
    end = random_kills.run(program(lambda: 1 / 0), 20)
    assert (end.code, end.is_killed, end.problems[0][:12]) == (1, False, "ended with 1")
    end = random_kills.run(program(lambda: time.sleep(0.3)), 0.1, "worker")  # there is none
    assert (end.code, end.is_killed, end.problems) == (0, False, [])


def test_contents_are_compared_without_times(tmp_path: Path) -> None:
    page = "<table><tr><th>name</th><th>seconds</th></tr><tr><td>{a}</td><td>{s}</td></tr></table><p>{a}</p>"
    table = "| name | s | x |\n|---|---|---|\n| {a} | {s} | 1 |\n\n{a}"
    record = '{{"event": "epoch", "log": "{s}", "runs": [{{"seconds": {s}, "a": "{a}"}}]}}'
    found = []
    for name, values in {"one": {"a": 1, "s": 2}, "other times": {"a": 1, "s": 3}, "other": {"a": 2, "s": 2}}.items():
        (tmp_path / name).mkdir()
        for ending, text in {"html": page, "md": table, "json": record, "jsonl": record}.items():
            (tmp_path / name / f"file.{ending}").write_text(text.format(**values))
        found.append(contents(tmp_path / name))
    one, other_times, other = found
    assert one == other_times
    assert [name for name in one if one[name] == other[name]] == []
