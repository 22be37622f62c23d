"""`netsci-nn evolve`: what training has done to the wiring of a run, from one recorded topology to the next."""

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from netsci_nn.cli.output import STDOUT, check_writable
from netsci_nn.experiment.recorded import recorded_births, recorded_topologies
from netsci_nn.io import write_text


def evolve(
    run: Annotated[Path, typer.Argument(help="Run directory of a sparse network.")],
    measure: Annotated[list[str] | None, typer.Option(help="Measure to follow, without null models; repeatable.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything as JSON.")] = None,
) -> None:
    """Follow turnover, survival, exploration, ages and chosen measures over the recorded topologies of a run."""
    from analysis import evolution

    check_writable(json)
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
