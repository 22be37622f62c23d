"""`netsci-nn compare`: the methods of an experiment file side by side."""

from pathlib import Path
from typing import Annotated

import typer

from netsci_nn.cli.options import check_data_dir, check_nulls
from netsci_nn.cli.output import INTERRUPTED, STDERR, STDOUT, print_line, report_interrupted
from netsci_nn.data import load_dataset
from netsci_nn.errors import ConfigError
from netsci_nn.experiment.config import load_experiment, slug
from netsci_nn.files import new_directory


def compare(
    experiment: Annotated[Path, typer.Argument(help="Experiment file (TOML).")],
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the dataset's files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; by default ./runs/NAME.")] = None,
    nulls: Annotated[int, typer.Option(help="Random graphs of each null model for every network.")] = 20,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, replaces a key of the file; repeatable.")] = None,
) -> None:
    """Train every method with every seed; print a table of results and one of topology; write a page."""
    from netsci_nn.reports.comparison import comparison_tables, run_comparison, write_page, write_results

    check_nulls(nulls, 1)
    check_data_dir(data_dir)
    loaded = load_experiment(experiment, set_ or [])
    dataset = load_dataset(loaded.dataset, data_dir)
    if out is not None and out.exists():
        raise ConfigError(f"--out {str(out)!r} exists already; results go to a new folder")
    directory = out or new_directory(Path("runs") / slug(loaded.name))
    comparison = run_comparison(loaded, dataset, directory, nulls=nulls, console=STDERR)
    if comparison.is_interrupted:
        report_interrupted("the last run is incomplete, the tables hold what there is")
    write_results(comparison)
    page = write_page(comparison)
    for part in comparison_tables(comparison):
        STDOUT.print(part)
    print_line(f"The page with curves and pictures: {page}")
    if comparison.is_interrupted:
        raise typer.Exit(INTERRUPTED)
