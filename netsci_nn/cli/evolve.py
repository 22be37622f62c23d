"""`netsci-nn evolve`: what training has done to the wiring of a run, from one recorded topology to the next."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netsci_nn.cli.output import STDERR, STDOUT, check_writable
from netsci_nn.experiment.recorded import Recorded, recorded_births, recorded_topologies
from netsci_nn.io import write_text
from netsci_nn.training import progress_display

if TYPE_CHECKING:
    from analysis.evolution import Evolution


def evolve(
    run: Annotated[Path, typer.Argument(help="Run directory of a sparse network.")],
    measure: Annotated[list[str] | None, typer.Option(help="Measure to follow, without null models; repeatable.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write everything as a page.")] = None,
    nulls: Annotated[
        int, typer.Option(help="Random graphs of each null model, for the small-world planes of the page.", min=1)
    ] = 20,
    seed: Annotated[int, typer.Option(help="Seed of these random graphs.", min=0)] = 0,
) -> None:
    """Follow turnover, survival, exploration, ages and chosen measures over the recorded topologies of a run."""
    from analysis import evolution

    check_writable(json, html)
    recorded, births = recorded_topologies(run), recorded_births(run)
    followed = evolution.evolve(
        [(entry.epoch, list(entry.layers)) for entry in recorded],
        measures=measure or evolution.MEASURES,
        births=None if births is None else births.layers,
        step=None if births is None else births.step,
    )
    STDOUT.print(followed.to_markdown(), markup=False, highlight=False, soft_wrap=True)
    if json is not None:
        write_text(json, json_format.dumps(followed.to_dict(), indent=2, allow_nan=False) + "\n")
    if html is not None:
        write_text(html, _page(run, recorded, followed, nulls, seed))


def _page(run: Path, recorded: list[Recorded], followed: "Evolution", nulls: int, seed: int) -> str:
    from netsci_nn.cli.evolution_page import evolution_page

    with progress_display(STDERR) as display:
        task = display.add_task("small worlds", total=None)
        return evolution_page(
            f"Evolution of {run}",
            recorded,
            followed,
            nulls=nulls,
            seed=seed,
            progress=lambda done, total: display.update(task, completed=done, total=total),
        )
