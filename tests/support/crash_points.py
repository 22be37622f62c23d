"""Kill a program before its n-th change to the files of a folder, in a process of its own.

Changes are what the interpreter reports to audit hooks: files opened for writing, renames, removals, folders made and removed.
So no way of writing is missed, whichever function it goes through. As a script it is a campaign over the points of a scenario:

    python tests/support/crash_points.py pruning FOLDER [STRIDE [FIRST [LAST]]]

In the scenario "workers" the changes are those of worker processes. The one that comes to the point dies, at every second point
with all others.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any, NamedTuple

KILLED = 9
PLACES = {"os.rename": (0, 1), "os.remove": (0,), "os.mkdir": (0,), "os.rmdir": (0,), "os.truncate": (0,), "os.chmod": (0,)}
IN_WORKERS = Path(__file__).parent / "in_workers"
WATCHED, POINT, COUNTED = ("CRASH_POINTS_" + name for name in ("FOLDER", "POINT", "COUNTED"))  # for worker processes

Action = Callable[[], object]


class Outcome(NamedTuple):
    code: int  # 0: it ended; 1: it raised; 9: it was killed
    changes: int  # made in the folder
    fault: str = ""  # what must not be, however it ended


def run_until(action: Action, folder: Path, point: int | None = None) -> Outcome:
    """Run `action` in a fork and kill it before its `point`-th change in `folder`, counted from 1; None: let it end."""
    from killed_programs import fork

    reader, writer = os.pipe()
    count = 0

    def change() -> None:
        nonlocal count
        count += 1
        if count == point:
            os._exit(KILLED)
        os.write(writer, b".")

    def watched() -> None:
        watch(folder.resolve(), change)
        action()

    child = fork(watched)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        changes = len(pipe.read())
    return Outcome(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), changes)


def run_workers_until(action: Action, folder: Path, point: int | None = None) -> Outcome:
    """Do what `run_until` does, at the `point`-th change that worker processes make."""
    from killed_programs import fork, is_left

    counted, out = folder.parent / "counted", folder.parent / "out"
    counted.write_bytes(b"")
    places = os.pathsep.join([str(IN_WORKERS), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    variables = {WATCHED: str(folder.resolve()), POINT: str(point or 0), COUNTED: str(counted), "PYTHONPATH": places}

    def watched() -> None:
        os.environ.update(variables)
        action()

    with out.open("wb") as file:
        child = fork(watched, file.fileno())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    changes, fault = counted.stat().st_size, "a process is left over" if is_left(child) else ""
    if point is not None and changes >= point:
        if code not in (-signal.SIGKILL, 2) or "Traceback" in out.read_text():
            fault = f"without a worker the program ended with {code}: {out.read_text()[-200:]}"
        return Outcome(KILLED, changes, fault)
    return Outcome(min(abs(code), 1), changes, fault)


def watch_workers() -> None:
    """In a worker process: count the changes of all workers, a byte each in a file, and die at the point."""
    if WATCHED not in os.environ:
        return
    folder, point = Path(os.environ[WATCHED]), int(os.environ[POINT])
    counted = os.open(os.environ[COUNTED], os.O_WRONLY | os.O_APPEND)

    def change() -> None:
        os.write(counted, b".")
        if os.lseek(counted, 0, os.SEEK_CUR) == point:  # behind the byte of this process, wherever others stand
            (os.kill if point % 2 else os.killpg)(os.getpid() if point % 2 else os.getpgrp(), signal.SIGKILL)
            time.sleep(60)

    watch(folder, change)


def watch(folder: Path, change: Action) -> None:
    """Call `change` before every change in `folder`."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            mode, flags = arguments[1], arguments[2] or 0
            is_change = bool(flags & (os.O_WRONLY | os.O_RDWR)) or bool(set(mode or "") & set("wax+"))
            paths = arguments[:1] if is_change else ()
        else:
            paths = [arguments[place] for place in PLACES.get(event, ())]
        # A path beside a descriptor of a folder, as rmtree has them, is relative to that.
        here = [os.path.abspath(os.fsdecode(path)) for path in paths if isinstance(path, (str, bytes, os.PathLike))]
        by_descriptor = event in ("os.remove", "os.rmdir") and arguments[-1] != -1
        if by_descriptor or any(Path(path) == folder or folder in Path(path).parents for path in here):
            change()

    sys.addaudithook(hook)


def campaign(
    prepare: Action, action: Action, folder: Path, points: Callable[[int], range], run: Callable[..., Outcome] = run_until
) -> list[str]:
    """Kill `action` at points of `folder`, run it again until it ends, and return how it then differs from an undisturbed run.

    Args:
        prepare: makes the folder's first state; it is removed before.
        action: writes into the folder; run again, it resumes.
        folder: whose files are watched.
        points: of the number of changes of an undisturbed run, the points to kill at.
        run: runs the action until a point.
    """
    from contents import contents

    def fresh() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        prepare()

    fresh()
    undisturbed = run(action, folder)
    assert undisturbed.code == 0, "the undisturbed run failed"
    expected, problems = contents(folder), []
    for point in points(undisturbed.changes):
        fresh()
        first = run(action, folder, point)
        if first.code != KILLED:
            problems.append(f"point {point}: was not killed")
        # Killed again while it resumes, and then left alone.
        second, last = run(action, folder, 3), run(action, folder)
        problems += [f"point {point}: {outcome.fault}" for outcome in (first, second, last) if outcome.fault]
        if second.code not in (0, KILLED):
            problems.append(f"point {point}: could not resume")
        if last.code != 0:
            problems.append(f"point {point}: could not resume after a second kill")
            continue
        got = contents(folder)
        unequal = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
        problems += [f"point {point}: {name} differs" for name in unequal]
    sys.stdout.write(f"{len(points(undisturbed.changes))} of {undisturbed.changes} points: {len(problems)} problems\n")
    return problems


def train_or_resume(folder: Path) -> Action:
    """As a user has it: the first command is repeated until there is a run, which is then resumed."""
    from toy_experiments import SET, run, toy

    experiment = toy([SET], epochs=3)
    return lambda: run(folder / "run", experiment, resume=(folder / "run" / "config.toml").is_file())


def prune_in_rounds(folder: Path) -> Action:
    from toy_experiments import DATA, toy

    from netsci_nn.experiment import run_experiment

    methods = [
        {"name": "dense", "generator": "dense"},
        {"name": "pruned", "pruning": {"dense": "dense", "rounds": 3}},
        {"name": "own dense", "pruning": {"rounds": 2, "weights": "initial"}},
    ]
    experiment = toy(methods, epochs=2).model_copy(update={"seeds": [0]})
    return lambda: list(run_experiment(experiment, DATA, folder / "runs", resume=True))


def ablate(folder: Path) -> Action:
    from toy_experiments import DATA, run

    from netsci_nn.experiment import ablation

    ablated = folder.parent / "ablated"

    def action() -> None:
        plan = ablation.plan_ablation(ablated, folder / "ablation", seeds=2, epochs=1)
        results = list(ablation.run_ablation(plan, DATA))
        found = ablation.summarise(results)
        assert found is not None
        ablation.save_ablation(found, plan, ablated)

    run_until(lambda: run(ablated), folder)
    return action


def program(name: str) -> Callable[[Path], Action]:
    """Return the scenario of one of the `killed_programs`, with its output in a file."""

    def scenario(folder: Path) -> Action:
        from killed_programs import PROGRAMS, execute, fork

        chosen = PROGRAMS[name]
        with chdir(folder.parent):
            os.waitpid(fork(chosen.prepare), 0)

        def action() -> None:
            os.chdir(folder.parent)
            out = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            execute(chosen)

        return action

    return scenario


SCENARIOS: dict[str, Callable[[Path], Action]] = {
    "train": train_or_resume,
    "pruning": prune_in_rounds,
    "ablate": ablate,
    "compare": program("compare"),
    "paper": program("paper"),
    "workers": program("ablate in workers"),
}


def main(scenario: str, place: Path, stride: int = 1, first: int = 1, last: int = sys.maxsize) -> int:
    from killed_programs import HERE, import_all

    import_all(everything=scenario in ("compare", "paper", "workers"))
    folder = place.resolve() / HERE
    action = SCENARIOS[scenario](folder)
    run = run_workers_until if scenario == "workers" else run_until
    problems = campaign(folder.mkdir, action, folder, lambda changes: range(first, min(changes, last) + 1, stride), run)
    sys.stdout.write("".join(problem + "\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])))
