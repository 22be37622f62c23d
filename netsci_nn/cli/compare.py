"""`netsci-nn compare`: the methods of an experiment file side by side."""

from itertools import groupby, product
from pathlib import Path
from typing import Annotated

import typer

from netsci_nn.cli.destinations import report_unwritten
from netsci_nn.cli.options import check_data_dir, check_nulls
from netsci_nn.cli.output import STDERR, STDOUT, print_line
from netsci_nn.data import load_dataset
from netsci_nn.errors import ConfigError
from netsci_nn.experiment import RunDirectory
from netsci_nn.experiment.config import Experiment, load_experiment, slug
from netsci_nn.files import new_directory
from netsci_nn.interruption import NOTHING_BEGUN, Interrupted, keeping


def compare(
    experiment: Annotated[Path, typer.Argument(help="Experiment file (TOML).")],
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the dataset's files.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results, by default ./runs/NAME; one that holds runs of this experiment is resumed."),
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Folder of results to resume.")] = None,
    nulls: Annotated[int, typer.Option(help="Random graphs of each null model for every network.")] = 20,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, replaces a key of the file; repeatable.")] = None,
) -> None:
    """Train every method with every seed; print a table of results and one of topology; write a page.

    Ctrl-C ends with the tables of what is complete, and exit code 130; the same command with --resume resumes.
    """
    from netsci_nn.reports.comparison import comparison_tables, run_comparison, write_page, write_results

    check_nulls(nulls, 1)
    check_data_dir(data_dir)
    loaded = load_experiment(experiment, set_ or [])
    dataset = load_dataset(loaded.dataset, data_dir)
    directory = _directory(loaded, out, resume)
    with keeping(lambda: _kept(loaded, directory)):
        _say_what_is_there(loaded, directory)
        comparison = run_comparison(loaded, dataset, directory, nulls=nulls, console=STDERR, resume=True)
    if not comparison.results:
        raise Interrupted(_kept(loaded, directory, comparison.state))
    with report_unwritten(directory / "results.json", directory / "report.html"):
        write_results(comparison)
        page = write_page(comparison)
        for part in comparison_tables(comparison):
            STDOUT.print(part)
        print_line(f"The page with curves and pictures: {page}")
    if comparison.is_interrupted:
        raise Interrupted(_kept(loaded, directory, comparison.state))


def _directory(experiment: Experiment, out: Path | None, resume: Path | None) -> Path:
    """Return the folder of the results, which is new or empty, or holds runs of the experiment's methods."""
    if out is not None and resume is not None:
        raise ConfigError("--out and --resume are both given; --resume names the folder of the results itself")
    directory = out or resume
    if directory is None:
        return new_directory(Path("runs") / slug(experiment.name))
    is_begun = _is_begun(experiment, directory)
    if resume is not None and not is_begun:
        raise ConfigError(f"--resume {str(resume)!r} holds no run of this experiment; there is nothing to resume")
    if directory.exists() and not is_begun and (not directory.is_dir() or not RunDirectory.none_below(directory)):
        raise ConfigError(f"--out {str(out)!r} exists already and holds no run of this experiment; give a new folder")
    return directory


def _is_begun(experiment: Experiment, directory: Path) -> bool:
    return any(RunDirectory.all_below(directory, method.name) for method in experiment.methods)


def _kept(experiment: Experiment, directory: Path, state: str = "complete epochs are kept") -> str:
    """Say what is there after Ctrl-C."""
    if not _is_begun(experiment, directory):
        return NOTHING_BEGUN
    return f"{state}; the same command with --resume {directory} resumes"


def _say_what_is_there(experiment: Experiment, directory: Path) -> None:
    """Print which runs are taken over and which are resumed, after checking that all of them are of this experiment."""
    complete, incomplete = list[tuple[str, int]](), list[tuple[str, int]]()
    for method, seed in product(experiment.methods, experiment.seeds):
        run = RunDirectory.of(directory, method.name, seed)
        if run.is_begun:
            run.check_same_run(experiment, method, seed)
            (complete if run.result.is_file() else incomplete).append((method.name, seed))
    for title, chosen in (("taken over", complete), ("resumed", incomplete)):
        parts = [
            f"{name} (seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)})"
            for name, group in groupby(chosen, key=lambda key: key[0])
            for seeds in [[str(seed) for _, seed in group]]
        ]
        if parts:
            print_line(f"{title} from {directory}: {'; '.join(parts)}")
