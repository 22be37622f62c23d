"""Damaged files of every format that is read, and what becomes of the reader: it must read them or refuse them in one sentence.

As a program it runs for as long as it is asked to: `python tests/support/fuzz.py --seconds 3600 --keep FOLDER`.
"""

import argparse
import contextlib
import faulthandler
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from damage import damaged
from fuzz_formats import formats

CPU_SECONDS = 10
"""What a reader may compute; time in which the machine does other things does not count."""
SECONDS = 120
"""What a reader may take on a clock, also if it only waits."""
MEMORY = 2**30
"""Bytes that a reader may use beyond what the process has when it begins."""
ADDRESSES = 3 * 2**30
"""Bytes of address space beyond that; more is kept for the kernel's and compilers' own ways."""
ALL = "all"  # in place of the name of a format
OK, REFUSED = "ok", "refused"
UNTYPED, CRASH, HANG, MEMORY_ERROR, UNCLEAR = "untyped", "crash", "hang", "memory", "unclear"
LONGEST_SENTENCE = 1500
TIME_IS_UP = (signal.SIGXCPU, signal.SIGALRM)


class Outcome(NamedTuple):
    """What became of one damaged file.

    Attributes:
        kind: one of `OK`, `REFUSED` (a typed error of one line) and the failures `UNTYPED`, `CRASH`, `HANG`, `MEMORY_ERROR` and
            `UNCLEAR` (a typed error of many lines, or of a length that nobody reads).
        name: of the format.
        detail: the error.
        content: of the file, if it is a failure.
    """

    kind: str
    name: str
    detail: str = ""
    content: bytes = b""

    @property
    def is_failure(self) -> bool:
        return self.kind not in (OK, REFUSED)


def judged(read: Callable[[Path], object], path: Path) -> tuple[str, str]:
    """Read a file within the limits and return the kind of outcome, and the error; the process ends if time is up."""
    from analysis import AnalysisError
    from netsci_nn.errors import CheckpointError, ConfigError, DataError, TopologyError

    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + CPU_SECONDS + 1, resource.RLIM_INFINITY))
    before = _peak()
    kind, detail = OK, ""
    try:
        read(path)
    except (AnalysisError, CheckpointError, ConfigError, DataError, TopologyError) as error:
        kind, detail = REFUSED, str(error)
        if "\n" in detail or len(detail) > LONGEST_SENTENCE:
            kind, detail = UNCLEAR, detail[:400]
    except MemoryError as error:
        kind, detail = MEMORY_ERROR, place(error)
    except Exception as error:
        kind, detail = UNTYPED, place(error)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    if used > MEMORY:
        kind, detail = MEMORY_ERROR, f"{used / 2**30:.2f} GB: {detail}"
    return kind, detail


def _peak() -> int:
    """The most bytes that the process has used: since now, where the system can be told to forget what was before."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[::-1][:4])
    return f"{type(error).__name__}: {str(error)[:200]} ({places})"


def limit_process() -> None:
    """Let the process end, with a traceback on stderr, where it crashes or its time is up, and limit its address space."""
    faulthandler.enable(all_threads=False)
    for number in TIME_IS_UP:
        faulthandler.register(number, all_threads=False, chain=True)
    addresses = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _work(folder: Path, name: str, seed: int, n: int, first: int) -> None:
    """Damage and read files, one after the other, and note each in a journal before and after: the work of a child process."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    forms = [form for kind in formats(folder, *([] if name == ALL else [name])).values() for form in kind]
    whole, are_read = [], set()
    for form in forms:
        path = folder / form.name
        path.parent.mkdir(parents=True, exist_ok=True)
        form.write(path)
        whole.append(path.read_bytes())
        if form.write not in are_read:  # once of files that are read together
            form.read(path)  # it is sound, and what it needs is compiled
        are_read.add(form.write)
    limit_process()
    with (folder / JOURNAL).open("a", encoding="utf-8") as journal:
        for number in range(first, n):
            draw = random.Random(f"{name} {seed} {number}")
            (chosen,) = draw.choices(range(len(forms)), [form.share for form in forms])
            form, content = forms[chosen], damaged(whole[chosen], draw)
            path = folder / form.name
            if form.changes:
                form.write(path)
            path.write_bytes(content)
            print(json.dumps([number, form.name]), file=journal, flush=True)
            kind, detail = judged(form.read, path)
            if kind not in (OK, REFUSED):
                (folder / f"failed-{number}").write_bytes(content)
            print(json.dumps([number, form.name, kind, detail]), file=journal, flush=True)


JOURNAL = "journal"


def run(name: str, seed: int, n: int) -> Iterator[Outcome]:
    """Damage and read `n` files of a format in child processes, each of which ends with the reader that brings it down."""
    first, memory = 0, Path("/dev/shm")
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    while first < n:
        # In memory, where small files take a hundredth of the time.
        with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as home:
            folder = Path(home)
            command = [sys.executable, __file__, "--child", home, name, str(seed), str(n), str(first)]
            with (folder / "said").open("w+", encoding="utf-8", errors="replace") as said:
                done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=said, env=environment, check=False)
                said.seek(0)
                words = said.read()[-600:]
            journal = folder / JOURNAL
            lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
            assert lines, words
            for line in lines:
                number, form, *end = json.loads(line)
                if end:
                    kept = folder / f"failed-{number}"
                    yield Outcome(end[0], form, end[1], kept.read_bytes() if kept.exists() else b"")
            first = number + 1
            if not end:
                kind = HANG if -done.returncode in TIME_IS_UP else CRASH
                yield Outcome(kind, form, f"exit code {done.returncode}: {words}", (folder / form).read_bytes())


def main() -> None:
    """Run all formats in turn until the time is up, and keep the files that a reader fails on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--number", type=int, default=2000, help="files per format and round")
    parser.add_argument("--format", action="append", help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files of failures")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, name, *numbers = options.child
        _work(Path(folder), name, *map(int, numbers))
        return
    end, seed, kinds = time.monotonic() + options.seconds, options.seed, Counter[tuple[str, str]]()
    seen: set[tuple[str, str]] = set()
    while time.monotonic() < end:
        for name in options.format or [ALL]:
            begin = time.monotonic()
            for number, outcome in enumerate(run(name, seed, options.number)):
                kinds[name, outcome.kind] += 1
                if outcome.is_failure:
                    if options.keep is not None:
                        options.keep.mkdir(parents=True, exist_ok=True)
                        place = f"{name}-{seed}-{number}-{outcome.kind}-{Path(outcome.name).name}"
                        (options.keep / place).write_bytes(outcome.content)
                    if (outcome.name, outcome.detail[-60:]) not in seen:
                        seen.add((outcome.name, outcome.detail[-60:]))
                        print(f"{name} {seed} {number} {outcome.kind}: {outcome.name}: {outcome.detail}", flush=True)
            rate = options.number / (time.monotonic() - begin)
            counts = dict(sorted((kind, count) for (of, kind), count in kinds.items() if of == name))
            print(name, counts, f"{rate:.0f} per second", flush=True)
        seed += 1


if __name__ == "__main__":
    main()
