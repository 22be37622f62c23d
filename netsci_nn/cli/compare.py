"""`netsci-nn compare`: the methods of an experiment file side by side."""

from pathlib import Path
from typing import Annotated

import typer

from netsci_nn.cli.options import check_data_dir, check_nulls
from netsci_nn.data import load_dataset
from netsci_nn.errors import ConfigError
from netsci_nn.experiment.config import load_experiment, slug


def compare(
    experiment: Annotated[Path, typer.Argument(help="Experiment file (TOML).")],
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the dataset's files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; by default ./runs/NAME.")] = None,
    nulls: Annotated[int, typer.Option(help="Random graphs of each null model for every network.")] = 20,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, replaces a key of the file; repeatable.")] = None,
) -> None:
    """Train every method with every seed; print a table of results and one of topology; write a page."""
    from netsci_nn.cli.comparison import run_comparison
    from netsci_nn.cli.output import INTERRUPTED, new_directory

    check_nulls(nulls, 1)
    check_data_dir(data_dir)
    loaded = load_experiment(experiment, set_ or [])
    dataset = load_dataset(loaded.dataset, data_dir)
    if out is not None and out.exists():
        raise ConfigError(f"out {str(out)!r} exists already; results go to a new folder")
    comparison = run_comparison(loaded, dataset, out or new_directory(Path("runs") / slug(loaded.name)), nulls)
    if any(result.interrupted for result in comparison.results):
        raise typer.Exit(INTERRUPTED)
