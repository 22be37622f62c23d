"""Programs that are hindered at work, and resumed: by a full disk, by a file system that refuses, by a second process.

As a script it is a campaign over random tries:

    python tests/support/hindrances.py SEED NUMBER
"""

import ctypes
import errno
import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from contents import contents
from crash_points import watch
from half_written import half_written
from killed_programs import HERE, PROGRAMS, execute, fork, import_all

NAMES = ("train", "compare", "ablate")
OWN_MOUNTS = 0x00020000  # CLONE_NEWNS of Linux
ENOUGH = "64m"


class End(NamedTuple):
    code: int
    printed: str


def prepare(name: str) -> None:
    """Write what a program reads into the current folder; in a fork, since nothing that has trained can be forked."""
    os.waitpid(fork(PROGRAMS[name].prepare), 0)


def run(name: str, hinder: Callable[[], None] = lambda: None) -> End:
    """Run a program in the current folder, in a fork that `hinder` prepares."""
    (end,) = run_together([name], hinder=hinder)
    return end


def run_together(names: list[str], delay: float = 0, hinder: Callable[[], None] = lambda: None) -> list[End]:
    """Start programs one after the other with some seconds between them, and wait for all."""

    def action(name: str) -> None:
        hinder()
        execute(PROGRAMS[name])

    children = []
    for number, name in enumerate(names):
        time.sleep(delay * bool(number))
        with open(f"printed-{number}", "wb") as file:
            children.append(fork(functools.partial(action, name), file.fileno()))
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return [End(code, Path(f"printed-{number}").read_text()) for number, code in enumerate(codes)]


def refusing(point: int, number: int, forever: bool) -> Callable[[], None]:
    """From its `point`-th change in the folder on, or this once, the system refuses with an error of that number."""
    count = 0

    def change() -> None:
        nonlocal count
        count += 1
        if count == point or (forever and count > point):
            raise OSError(number, os.strerror(number))

    return lambda: watch(Path(HERE).resolve(), change)


def on_small_disk(name: str, kilobytes: int) -> tuple[End, list[str], End]:
    """Run a program whose folder is a disk of some kilobytes, then again once there is space.

    Returns:
        The first end, what the disk then held that was not whole, and the second end. The folder is an ordinary one after it.
    """

    def controlled() -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(OWN_MOUNTS):
            raise OSError(ctypes.get_errno(), "unshare")
        for options in (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", f"size={kilobytes}k", "none", HERE]):
            subprocess.run(["mount", *options], check=True)
        first = run(name)
        found = half_written(Path(HERE).rglob("*"))
        subprocess.run(["mount", "-o", f"remount,size={ENOUGH}", HERE], check=True)
        second = run(name)
        shutil.copytree(HERE, "kept")
        subprocess.run(["umount", HERE], check=True)
        shutil.copytree("kept", HERE, dirs_exist_ok=True)
        Path("ends.json").write_text(json.dumps([first, found, second]))

    os.mkdir(HERE)
    os.waitpid(fork(controlled), 0)
    first, found, second = json.loads(Path("ends.json").read_text())
    return End(*first), found, End(*second)


@contextmanager
def fresh_place() -> Iterator[None]:
    """A new current folder, always at the same path, since some programs write it down."""
    place = Path(tempfile.gettempdir(), f"hindrances-{os.getpid()}")
    place.mkdir()
    try:
        with chdir(place):
            yield
    finally:
        shutil.rmtree(place)


@functools.cache
def undisturbed(name: str) -> tuple[dict[str, Any], int, int]:
    """What a program leaves, how often it changes a file, and how many kilobytes its files take."""

    def count() -> None:
        file = os.open("changes", os.O_WRONLY | os.O_CREAT)
        watch(Path(HERE).resolve(), lambda: os.write(file, b"."))

    with fresh_place():
        prepare(name)
        end = run(name, count)
        assert end.code == 0, end.printed
        size = sum(4 + path.stat().st_size // 1024 for path in Path(HERE).rglob("*"))
        return contents(Path(HERE)), Path("changes").stat().st_size, size


def faults(end: End, refusals: str = "") -> list[str]:
    """What is wrong with an end: anything but success, or one sentence that says why not."""
    sentences = re.findall(r"^netsci-nn: .*", end.printed, flags=re.MULTILINE)
    found = [f"{word!r} in {end.printed[-300:]!r}" for word in ("Traceback", "Exception ignored") if word in end.printed]
    if end.code not in (0, 2) or (end.code == 2) != (len(sentences) == 1):
        found.append(f"exit code {end.code} with {end.printed[-300:]!r}")
    elif end.code == 2 and not re.search(refusals, sentences[0]):
        found.append(f"said {sentences[0]!r}")
    return found


class Hindrance(NamedTuple):
    """What was tried with a program, what was wrong with its ends, and how it ended when it was run again unhindered."""

    what: str
    found: list[str]
    last: End


def full(name: str, draw: random.Random) -> Hindrance:
    """A disk that is too small, or nearly so; then there is space."""
    kilobytes = undisturbed(name)[2]
    size = draw.randint(4, kilobytes)
    first, found, last = on_small_disk(name, size)
    return Hindrance(f"{name} on a disk of {size} of {kilobytes} kB", found + faults(first), last)


def refused(name: str, draw: random.Random) -> Hindrance:
    """A change that the system refuses, once or with all that follow; then it refuses nothing."""
    changes = undisturbed(name)[1]
    number, point, forever = draw.choice((errno.EIO, errno.EROFS)), draw.randint(1, changes), draw.random() < 0.5
    found = faults(run(name, refusing(point, number, forever))) + half_written(Path(HERE).rglob("*"))
    what = f"{name}, change {point} of {changes} refused by {errno.errorcode[number]}{' for good' * forever}"
    return Hindrance(what, found, run(name))


def two(name: str, draw: random.Random) -> Hindrance:
    """A second process on the same folder, mostly at nearly the same moment."""
    delay = 2 * draw.random() ** 2
    ends = run_together([name, name], delay)
    refusals = "in use by another process|is not empty|holds no run"
    found = [fault for end in ends for fault in faults(end, refusals)] + ["none has worked"] * all(end.code for end in ends)
    return Hindrance(f"two of {name}, {delay:.3f} s apart", found, run(name))


Kind = Callable[[str, random.Random], Hindrance]
KINDS: tuple[Kind, ...] = (refused, two, full) if os.geteuid() == 0 else (refused, two)  # only root can mount a disk


def one_try(draw: random.Random, kinds: Sequence[Kind], names: Sequence[str] = NAMES) -> tuple[str, list[str]]:
    """Hinder a program and resume it; return what was tried, and what was wrong."""
    name, kind = draw.choice(names), draw.choice(kinds)
    expected = undisturbed(name)[0]
    with fresh_place():
        prepare(name)
        what, found, last = kind(name, draw)
        if last.code != 0:
            return what, [*found, f"could not resume: exit code {last.code} with {last.printed[-300:]!r}"]
        got = contents(Path(HERE))
    return what, found + [f"{file} differs" for file in sorted(expected.keys() | got) if expected.get(file) != got.get(file)]


def main(seed: int, number: int) -> int:
    """Print how many tries there were and what was wrong."""
    import_all()
    draw, problems = random.Random(f"hindrances {seed}"), 0
    for _ in range(number):
        what, found = one_try(draw, KINDS)
        problems += len(found)
        sys.stdout.write("".join(f"problem: {what}: {fault}\n" for fault in found) or f"{what}: sound\n")
        sys.stdout.flush()
    sys.stdout.write(f"{number} tries: {problems} problems\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
