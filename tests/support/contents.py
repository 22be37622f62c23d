"""What programs have left in a folder, file by file, without measured times: two runs of a program are compared by it."""

import json
import re
from pathlib import Path
from typing import Any

TIMES = ("seconds", "s")  # columns of tables


def contents(folder: Path) -> dict[str, Any]:
    """Return what finished programs have left in a folder.

    If a run is killed when it is complete, its lock stays: it locks nobody out, and complete runs are only read.
    """
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for path in sorted(entry for entry in folder.rglob("*") if entry.is_file() and entry.name != ".lock"):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a mapping)
                tensors.pop("carried.log.0", None)  # the digest of lines with times
                tensors.pop("torch_rng", None)  # it begins at random in every process, and no run draws from it
                found[name] = {key: (value.dtype.str, value.shape, value.tobytes()) for key, value in tensors.items()}
                found[name]["progress"] = (file.metadata() or {}).get("progress")
        elif path.suffix == ".jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            # An epoch is in the log once; a start and an end for every time that the run was begun, resumed or interrupted.
            found[name] = [_timeless(line) for line in lines if line["event"] == "epoch"]
        elif path.suffix == ".json":
            found[name] = _timeless(json.loads(path.read_text()))
        elif path.suffix == ".html":
            found[name] = re.sub(r"<table.*?</table>", _timeless_table, path.read_text(), flags=re.DOTALL)
        elif path.suffix == ".md":
            found[name] = _timeless_columns([line.split("|") for line in path.read_text().splitlines()])
        else:
            found[name] = path.read_bytes()
    return found


def _timeless(value: Any) -> Any:
    """Return a JSON value without times, the digest of lines that have them, and the commit, which may be made meanwhile."""
    if isinstance(value, dict):
        return {
            name: _timeless(part) for name, part in value.items() if "seconds" not in name and name not in ("log", "commit")
        }
    return [_timeless(part) for part in value] if isinstance(value, list) else value


def _timeless_table(table: re.Match[str]) -> str:
    rows = [re.findall(r"<t[hd].*?</t[hd]>", row, flags=re.DOTALL) for row in table[0].split("</tr>")]
    return str(_timeless_columns(rows))


def _timeless_columns(rows: list[list[str]]) -> list[list[str]]:
    """Return the rows of tables without the cells under the name of a time; each table begins with its header."""
    timed: int | None = None
    kept = []
    for row in rows:
        names = [re.sub(r"<[^>]*>", "", cell).strip() for cell in row]
        if any(name in TIMES for name in names):
            timed = next(place for place, name in enumerate(names) if name in TIMES)
        kept.append([cell for place, cell in enumerate(row) if len(row) == 1 or place != timed])
    return kept
