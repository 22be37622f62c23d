"""Programs that get a signal at some moment: what they come to, and what must hold whenever the signal comes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = """
name = "tiny"
dataset = "digits"
seeds = [0, 1]
[model]
layer_sizes = [64, 12, 10]
density = 0.3
[training]
epochs = {epochs}
[[method]]
name = "ER"
[[method]]
name = "SET"
rewiring = "set"
"""
START_UP = 0.1  # seconds in which Python itself starts; nothing of ours can act on a signal then


class End(NamedTuple):
    """How a program ended.

    `seconds` is the time from the signal to the end, None if the program ended before; `files` are those in its folder;
    `survivors` are processes that it has left behind.
    """

    code: int
    out: str
    err: str
    seconds: float | None
    files: list[Path]
    survivors: bool


def run_and_signal(
    command: Sequence[str],
    folder: Path,
    after: float | Callable[[], bool] | None,
    *,
    number: signal.Signals = signal.SIGINT,
    environment: Mapping[str, str] | None = None,
    timeout: float = 300,
    is_group: bool = False,
) -> End:
    """Run `python COMMAND` in `folder` and send it a signal after some seconds, or when something holds; None for never.

    Args:
        is_group: whether all processes get the signal, as by Ctrl-C on a terminal, or the program alone.
    """
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", **(environment or {})}
    with (folder / ".out").open("w+") as out, (folder / ".err").open("w+") as err:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=variables, stdout=out, stderr=err, start_new_session=True
        )
        seconds = None
        try:
            try:
                if callable(after):
                    while process.poll() is None and not after():
                        time.sleep(0.01)
                process.wait(timeout if after is None else 0 if callable(after) else after)
            except subprocess.TimeoutExpired:
                begin = time.perf_counter()
                (os.killpg if is_group else os.kill)(process.pid, number)
                process.wait(timeout)
                seconds = time.perf_counter() - begin
        finally:
            is_over = process.poll() is not None
            survivors = _killed(process.pid)
            if not is_over:
                process.wait()
        out.seek(0), err.seek(0)
        texts = out.read(), err.read()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (".out", ".err"))
    return End(process.returncode, *texts, seconds, files, survivors)


def _killed(group: int) -> bool:
    """Kill what is left of a group of processes; return whether there was anything, apart from what is just ending."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    os.killpg(group, signal.SIGKILL)
    return True


def faults(end: End, *, number: signal.Signals = signal.SIGINT) -> list[str]:
    """What is wrong with an end, whatever the program and the moment; empty if nothing is."""
    code = 130 if number == signal.SIGINT else 143
    allowed = {0, code} if number == signal.SIGINT else {0, code, -number}  # a program that is not at work yet just dies
    found = [] if end.code in allowed else [f"exit code {end.code}"]
    found += [f"{word!r} in the output" for word in ("Traceback", "Exception ignored") if word in end.out + end.err]
    found += [f"left over: {path.name}" for path in end.files if path.name.startswith(".")]
    last = (end.err.strip().splitlines() or [""])[-1]
    if end.code == 130 and not (last.startswith("netsci-nn: interrupted; ") and end.err.count("interrupted;") == 1):
        found.append(f"the last line is {last!r}")
    return found
