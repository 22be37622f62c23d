"""Kill a program before its n-th change to the files of a folder, in a process of its own.

Changes are what the interpreter reports to audit hooks: files opened for writing, renames, removals, folders made and removed.
So no way of writing is missed, whichever function it goes through. As a script it is a campaign over the points of a scenario:

    python tests/support/crash_points.py pruning FOLDER [STRIDE [FIRST [LAST]]]
"""

import importlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

KILLED = 9
PLACES = {"os.rename": (0, 1), "os.remove": (0,), "os.mkdir": (0,), "os.rmdir": (0,), "os.truncate": (0,), "os.chmod": (0,)}

Action = Callable[[], object]


class Outcome(NamedTuple):
    code: int  # 0: it ended; 1: it raised; 9: it was killed
    changes: int  # made in the folder


def run_until(action: Action, folder: Path, point: int | None = None) -> Outcome:
    """Run `action` in a fork and kill it before its `point`-th change in `folder`, counted from 1; None: let it end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _watch(folder.resolve(), point, writer)
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        changes = len(pipe.read())
    return Outcome(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), changes)


def _watch(folder: Path, point: int | None, writer: int) -> None:
    """Count the changes in `folder`, a byte each into the pipe; end the process without a farewell before the `point`-th."""
    count = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
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
            count += 1
            if count == point:
                os._exit(KILLED)
            os.write(writer, b".")

    sys.addaudithook(watch)


def contents(folder: Path) -> dict[str, Any]:
    """Return what a finished run has left, file by file, without measured times.

    If a run is killed when it is complete, its lock stays: it locks nobody out, and complete runs are only read.
    """
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for path in sorted(entry for entry in folder.rglob("*") if entry.is_file() and entry.name != ".lock"):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a mapping)
                found[name] = {key: (value.dtype.str, value.shape, value.tobytes()) for key, value in tensors.items()}
                found[name]["progress"] = (file.metadata() or {}).get("progress")
        elif path.suffix == ".jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            # An epoch is in the log once; a start and an end for every time that the run was begun, resumed or interrupted.
            found[name] = [_timeless(line) for line in lines if line["event"] == "epoch"]
        elif path.suffix == ".json":
            found[name] = _timeless(json.loads(path.read_text()))
        else:
            found[name] = path.read_bytes()
    return found


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if "seconds" not in name}


def campaign(prepare: Action, action: Action, folder: Path, points: Callable[[int], range]) -> list[str]:
    """Kill `action` at points of `folder`, run it again until it ends, and return how it then differs from an undisturbed run.

    Args:
        prepare: makes the folder's first state; it is removed before.
        action: writes into the folder; run again, it resumes.
        folder: whose files are watched.
        points: of the number of changes of an undisturbed run, the points to kill at.
    """

    def fresh() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        prepare()

    fresh()
    undisturbed = run_until(action, folder)
    assert undisturbed.code == 0, "the undisturbed run failed"
    expected, problems = contents(folder), []
    for point in points(undisturbed.changes):
        fresh()
        if run_until(action, folder, point).code != KILLED:
            problems.append(f"point {point}: was not killed")
        # Killed again while it resumes, and then left alone.
        if run_until(action, folder, 3).code == 1:
            problems.append(f"point {point}: could not resume")
        if run_until(action, folder).code != 0:
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
    from toy_experiments import DATA

    from netsci_nn.experiment import ablation

    def action() -> None:
        plan = ablation.plan_ablation(folder.parent / "ablated", folder / "ablation", seeds=2, epochs=1)
        results = list(ablation.run_ablation(plan, DATA))
        found = ablation.summarise(results)
        assert found is not None
        ablation.save_ablation(found, plan, folder.parent / "ablated")

    return action


SCENARIOS: dict[str, Callable[[Path], Action]] = {"train": train_or_resume, "pruning": prune_in_rounds, "ablate": ablate}


def main(scenario: str, place: Path, stride: int = 1, first: int = 1, last: int = sys.maxsize) -> int:
    # Once here instead of in every fork: optimisers import the one, training the other.
    for module in ("torch._dynamo", "netsci_nn.training.compiled.steps"):
        importlib.import_module(module)
    folder = place.resolve() / "watched"
    if scenario == "ablate":
        from toy_experiments import run

        run_until(lambda: run(folder.parent / "ablated"), folder)
    action = SCENARIOS[scenario](folder)
    problems = campaign(folder.mkdir, action, folder, lambda changes: range(first, min(changes, last) + 1, stride))
    sys.stdout.write("".join(problem + "\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])))
