"""Kill a program at random moments, again and again while it resumes, and compare what it ends with.

    python tests/support/random_kills.py SEED FOLDER [TRIES]

The seed says which of the `killed_programs` it is, and draws the moments, uniformly over the duration of an undisturbed run. Of
programs with worker processes, the whole group is killed, or the program alone, or one of its workers.
"""

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from contents import contents
from killed_programs import HERE, PROGRAMS, Program, execute, fork, import_all, is_left

OUT = "out"
MOST_KILLS = 3  # of one try; then the program is left alone
SLOWEST = 600  # seconds that a program may take to its end


class End(NamedTuple):
    """How a program ended, and whether it was killed before."""

    code: int
    seconds: float
    is_killed: bool
    problems: list[str]


def workers(program: int) -> list[int]:
    """Return the numbers of its worker processes, without the one that only cleans up after them."""
    children = Path(f"/proc/{program}/task/{program}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def run(program: Program, after: float = SLOWEST, victim: str = "group") -> End:
    """Run a program in a fork and kill it, or its victim, after some seconds, unless it ends before."""
    with open(OUT, "wb") as out:
        child = fork(lambda: execute(program), out.fileno())
    begin, code, is_killed, problems = time.monotonic(), None, False, list[str]()
    while code is None and time.monotonic() - begin < SLOWEST:
        ended, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if ended else None
        if code is None and not is_killed and time.monotonic() - begin >= after:
            chosen = workers(child)[-1:] if victim == "worker" else [child]
            if chosen:  # a worker may not have begun yet, or not be there any more
                (os.killpg if victim == "group" else os.kill)(chosen[0], signal.SIGKILL)
                is_killed = True
        time.sleep(0.001)
    if code is None:
        os.killpg(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        problems.append(f"did not end within {SLOWEST} s")
    if code == 0 and victim != "worker":
        is_killed = False  # it had come to its end by itself just before
    seconds = time.monotonic() - begin
    if is_left(child):
        problems.append("a process is left over")
    said = Path(OUT).read_text()
    # Without a worker the program refuses in one sentence. What is left without a program may complain.
    allowed = {"group": (-signal.SIGKILL,), "program": (-signal.SIGKILL,), "worker": (0, 2)}[victim] if is_killed else (0,)
    if code not in allowed or ("Traceback" in said and code != -signal.SIGKILL):
        problems.append(f"ended with {code}: {said[-150:]}")
    return End(code, seconds, is_killed, problems)


def campaign(program: Program, tries: int, draw: random.Random) -> Iterator[tuple[int, list[str]]]:
    """Yield for every try how often the program was killed and what went wrong."""
    os.waitpid(fork(program.prepare), 0)
    run(program)  # compiles what is not compiled yet
    shutil.rmtree(HERE)
    undisturbed = run(program)
    assert undisturbed.code == 0, Path(OUT).read_text()
    expected = contents(Path(HERE))
    for _ in range(tries):
        shutil.rmtree(HERE, ignore_errors=True)
        kills, problems, end, most = 0, list[str](), None, draw.randint(1, MOST_KILLS)
        while end is None or end.is_killed:
            after = draw.uniform(0, undisturbed.seconds) if kills < most else SLOWEST
            victim = draw.choice(("group", "program", "worker")) if program.has_workers else "group"
            end = run(program, after, victim)
            kills += end.is_killed
            problems += [f"{victim} killed after {after:.3f} s: {problem}" for problem in end.problems]
        got = contents(Path(HERE))
        unequal = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
        yield kills, problems + [f"{name} differs after {kills} kills" for name in unequal]


def main(seed: int, place: Path, tries: int | None = None) -> int:
    import_all()
    name = list(PROGRAMS)[seed % len(PROGRAMS)]
    tries = tries or (2 if PROGRAMS[name].has_workers else 10)
    os.chdir(place)
    kills, problems = 0, list[str]()
    for number, (n_kills, found) in enumerate(campaign(PROGRAMS[name], tries, random.Random(f"random kills {seed}"))):
        kills += n_kills
        problems += [f"try {number} of {name}, seed {seed}: {' '.join(problem.split())}" for problem in found]
    sys.stdout.write(f"{kills} kills of {name}: {len(problems)} problems\n" + "".join(f"{line}\n" for line in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])))
