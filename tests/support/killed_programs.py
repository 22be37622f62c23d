"""Small programs that campaigns kill, each with the command that a user gives, and gives again to resume.

A program runs in a process that was forked from one with everything imported, since starting Python takes seconds.
"""

import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

HERE = "here"  # where a program writes, in its place
TINY = """
name = "tiny"
dataset = "digits"
seeds = [0, 1]
model = { layer_sizes = [64, 12, 10], density = 0.2 }
training = { epochs = 1, batch_size = 500 }
[[method]]
name = "SET"
rewiring = "set"
[[method]]
name = "ER"
"""
PAPER = """
name = "small-paper"
dataset = "digits"
seeds = [0]
model = { layer_sizes = [64, 300, 100, 10], density = [0.05, 0.05, 0.25] }
training = { epochs = 1, batch_size = 500, threads = 1 }
[[method]]
name = "SC"
"""
MORE = """
[[method]]
name = "FC"
generator = "dense"
[[method]]
name = "Prune_Retrain"
pruning = { dense = "FC" }
"""


class Program(NamedTuple):
    """What a user runs, with a place as the current folder.

    `arguments` are those of the command for a folder that may hold what a killed one has left; `prepare` writes what it reads.
    """

    main: Callable[[], None]
    arguments: Callable[[], list[str]]
    prepare: Callable[[], None]
    has_workers: bool = False


def _netsci_nn() -> None:
    from netsci_nn.cli import main

    main()


def _paper() -> None:
    from netsci_nn.cli.output import reported_errors
    from netsci_nn.interruption import at_work
    from scripts.brain_inspired import figures, paper

    paper.FILES = {name: Path(f"{name}.toml").resolve() for name in ("methods", "densities")}
    figures.FIGURES = {name: figures.FIGURES[name] for name in ("figure-2", "figure-7")}
    with reported_errors():
        at_work()
        paper.main()


def _train_arguments() -> list[str]:
    """The first command is repeated until there is a run, which is then resumed."""
    if Path(HERE, "config.toml").is_file():
        return ["train", HERE, "--resume"]
    return ["train", "tiny.toml", "--out", HERE, "--set", "training.epochs=3"]


def _write_tiny() -> None:
    Path("tiny.toml").write_text(TINY)


def _write_paper() -> None:
    Path("methods.toml").write_text(PAPER + MORE)
    Path("densities.toml").write_text(PAPER)


def _train_what_is_ablated() -> None:
    _write_tiny()
    if not Path("run").exists():
        execute(Program(_netsci_nn, lambda: ["train", "tiny.toml", "--out", "run"], _write_tiny))


def _ablate_arguments() -> list[str]:
    return ["ablate", "run", "--seeds", "1", "--epochs", "2", "--out", HERE]


def _paper_arguments() -> list[str]:
    return ["--dataset", "digits", "--workers", "1", "--out", HERE]


PROGRAMS = {
    "train": Program(_netsci_nn, _train_arguments, _write_tiny),
    "compare": Program(_netsci_nn, lambda: ["compare", "tiny.toml", "--nulls", "1", "--out", HERE], _write_tiny),
    "ablate": Program(_netsci_nn, _ablate_arguments, _train_what_is_ablated),
    "paper": Program(_paper, _paper_arguments, _write_paper),
    "ablate in workers": Program(_netsci_nn, lambda: [*_ablate_arguments(), "--workers", "2"], _train_what_is_ablated, True),
    "paper in workers": Program(_paper, lambda: [*_paper_arguments(), "--workers", "2"], _write_paper, True),
}


TRAINING = ("torch._dynamo", "netsci_nn.training.compiled.steps")  # optimisers import the one, training the other
ALL = (
    "netsci_nn.cli.app",
    "netsci_nn.cli.train",
    "netsci_nn.cli.compare",
    "netsci_nn.cli.ablate",
    "netsci_nn.reports.comparison",
    "scripts.brain_inspired.paper",
    "sklearn.datasets",
    "matplotlib.backends.backend_agg",
    "scipy.stats",
)


def import_all(everything: bool = True) -> None:
    """Import what the programs need, or what training alone needs, once instead of in every fork.

    Compiled loops and fonts are loaded too, but nothing that leaves threads, which would be missing in a fork.
    """
    for module in TRAINING + ALL * everything:
        importlib.import_module(module)
    if everything:
        from matplotlib.figure import Figure

        import analysis
        from netsci_nn import generators

        analysis.describe([generators.erdos_renyi(64, 12, density=0.2, rng=0)], nulls=1, rng=0)
        figure = Figure(layout="constrained")
        figure.subplots().set(title="title", xlabel=r"$k$", yscale="log")
        figure.savefig(BytesIO())


def execute(program: Program) -> None:
    """Run a program in this process, in the current folder; an error if its exit code is not 0."""
    sys.argv = ["netsci-nn", *program.arguments()]
    try:
        program.main()
    except SystemExit as end:
        if end.code not in (None, 0):
            raise


def fork(action: Callable[[], object], out: int | None = None) -> int:
    """Run `action` in a fork that leads a group of processes; return its number. Its exit code is 0, or 1 after an error.

    Args:
        out: descriptor of a file that gets what is printed.
    """
    child = os.fork()
    if child:
        os.setpgid(child, child)
        return child
    code = 1
    try:
        os.setpgid(0, 0)  # in both, as either may come first
        for stream in (1, 2) if out is not None else ():
            os.dup2(out, stream)
        action()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def is_left(group: int, seconds: float = 60) -> bool:
    """Kill what is left of a group of processes after some seconds; return whether there was anything."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.01)
    os.killpg(group, signal.SIGKILL)
    return True
