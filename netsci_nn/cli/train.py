"""`netsci-nn train`: one method of an experiment file with one seed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from netsci_nn.cli.options import check_data_dir
from netsci_nn.cli.output import STDERR, print_line
from netsci_nn.data import load_dataset
from netsci_nn.errors import ConfigError
from netsci_nn.experiment import RunDirectory, run_method
from netsci_nn.experiment.config import Experiment, MethodConfig, load_experiment, slug
from netsci_nn.files import new_directory
from netsci_nn.interruption import Interrupted, keeping
from netsci_nn.training import METRICS, ProgressBar, progress_display


def train(
    experiment: Annotated[Path, typer.Argument(help="Experiment file (TOML), or with --resume a run directory.")],
    method: Annotated[str | None, typer.Option(help="Which method; by default the first.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; by default the experiment's first.", min=0)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the dataset's files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; by default ./runs/NAME/METHOD/seed-SEED.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the last checkpoint of a run directory.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, replaces a key of the file; repeatable.")] = None,
) -> None:
    """Train one network and write its run directory.

    Ctrl-C ends training after the running mini-batch, with exit code 130; --resume continues from the last complete epoch,
    or starts again if there is none.
    """
    check_data_dir(data_dir)
    path = RunDirectory(experiment).config if resume else experiment
    loaded = load_experiment(path, set_ or [])
    chosen = _choose(loaded, method)
    number = loaded.seeds[0] if seed is None else seed
    dataset = load_dataset(loaded.dataset, data_dir)
    default = new_directory(RunDirectory.of(Path("runs") / slug(loaded.name), chosen.name, number).path)
    directory = experiment if resume else out or default
    with keeping(lambda: _kept(RunDirectory(directory))), progress_display(STDERR) as display:
        bar = ProgressBar(display, escape(f"{chosen.name}, seed {number}"))
        result = run_method(loaded, chosen, number, dataset, directory, [bar], resume=resume)
    ending = f"interrupted after {len(result.score_by_epoch)} epochs, " if result.interrupted else ""
    metric = METRICS[result.metric]
    print_line(
        f"{chosen.name}, seed {number}: {ending}test {metric.title} {metric.text(result.score)}, {result.n_edges} edges, "
        f"cost {result.cost:.4f}, {result.seconds:.2f} s\nrun directory: {directory}"
    )
    if result.interrupted:
        raise Interrupted(_kept(RunDirectory(directory)))


def _kept(run: RunDirectory) -> str:
    """Say what is there after Ctrl-C."""
    if run.checkpoint.is_file():
        return f"netsci-nn train {run.path} --resume continues from here"
    return f"netsci-nn train {run.path} --resume starts again: no epoch was complete"


def _choose(experiment: Experiment, name: str | None) -> MethodConfig:
    methods = {method.name: method for method in experiment.methods}
    if name is not None and name not in methods:
        raise ConfigError(f"--method is {name!r}; allowed are: {', '.join(methods)}")
    return experiment.methods[0] if name is None else methods[name]
