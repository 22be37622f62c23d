"""`netsci-nn evolve`: what training has done to the wiring of a run, from one recorded topology to the next."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netsci_nn.cli.destinations import check_writable, report_unwritten
from netsci_nn.cli.options import check_nulls
from netsci_nn.cli.output import STDERR, STDOUT, print_line
from netsci_nn.errors import CheckpointError
from netsci_nn.experiment.run_directory import Recorded, RunDirectory
from netsci_nn.files import write_text
from netsci_nn.training import progress_display

if TYPE_CHECKING:
    from analysis.report.evolution import Evolution


def evolve(
    run: Annotated[Path, typer.Argument(help="Run directory of a sparse network.")],
    measure: Annotated[list[str] | None, typer.Option(help="Measure to follow, without null models; repeatable.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write everything as a page.")] = None,
    nulls: Annotated[int, typer.Option(help="Random graphs of each null model, for the small-world planes of the page.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of these random graphs.", min=0)] = 0,
) -> None:
    """Follow turnover, survival, exploration, ages and chosen measures over the recorded topologies of a run.

    Damaged files are left out, each with a sentence.
    """
    check_nulls(nulls, 1)
    check_writable(json, html, reads=run)
    with report_unwritten(json, html):
        notes: list[str] = []
        recorded = RunDirectory(run).recorded_topologies(notes)
        followed = _follow(run, recorded, measure)
        if json is not None:
            table = {"notes": notes, **followed.to_dict()}
            write_text(json, json_format.dumps(table, indent=2, allow_nan=False) + "\n")
    with report_unwritten(html):
        try:
            _print(notes, followed)
        except (SystemExit, OSError):  # the tables cannot be printed any more
            _write_page(html, run, recorded, followed, notes, nulls, seed)
            raise
        _write_page(html, run, recorded, followed, notes, nulls, seed)


def _follow(run: Path, recorded: list[Recorded], measures: list[str] | None) -> "Evolution":
    from analysis.report import evolution

    try:
        births = RunDirectory(run).births()
    except CheckpointError:  # the end is damaged, and another topology the last one
        births = None
    return evolution.evolve(
        [(entry.epoch, RunDirectory(run).network(entry.layers)) for entry in recorded],
        measures=measures or evolution.MEASURES,
        births=None if births is None else births.layers,
        step=None if births is None else births.step,
    )


def _print(notes: list[str], followed: "Evolution") -> None:
    from analysis.render.evolution_terminal import evolution_tables

    for note in notes:
        print_line(note)
    for part in evolution_tables(followed, "--json and --html have them all"):
        STDOUT.print(part)


def _write_page(
    html: Path | None, run: Path, recorded: list[Recorded], followed: "Evolution", notes: list[str], nulls: int, seed: int
) -> None:
    if html is None:
        return
    from analysis.render.evolution_page import evolution_page

    with progress_display(STDERR) as display:
        task = display.add_task("small worlds", total=None)
        text = evolution_page(
            f"Evolution of {run}",
            [(entry.epoch, RunDirectory(run).network(entry.layers)) for entry in recorded],
            followed,
            notes=notes,
            nulls=nulls,
            seed=seed,
            progress=lambda done, total: display.update(task, completed=done, total=total),
        )
    write_text(html, text)
