"""`netsci-nn ablate`: does a run's wiring matter, or only its degrees, or only its size?"""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from netsci_nn.cli.options import check_data_dir, naming_options
from netsci_nn.cli.output import STDERR, STDOUT, print_line, print_table
from netsci_nn.data import Dataset, load_dataset
from netsci_nn.errors import ConfigError
from netsci_nn.experiment import RunDirectory, RunResult, load_experiment
from netsci_nn.experiment.ablation import (
    Ablation,
    Plan,
    plan_ablation,
    run_ablation,
    save_ablation,
    summarise,
)
from netsci_nn.experiment.paired import PairedDifference
from netsci_nn.interruption import Interrupted, keeping
from netsci_nn.reports.tables import over_seeds
from netsci_nn.training import METRICS, ProgressBar, progress_display

RESUMES = "what is complete is kept, and the same command resumes from here"
NOTE = (
    "Own wiring: the run's final topology; same degrees: a random graph with the degree of every neuron on both sides, drawn "
    "anew for every seed; same size: a uniformly random graph with as many edges in every layer. {epochs} epochs each, "
    "{n} seeds, wiring fixed, initial weights fresh and paired by seed. Differences are paired by seed, in percentage points, "
    "with 95 % intervals of Student's t."
)


def ablate(
    run: Annotated[Path, typer.Argument(help="Run directory of a sparse network.")],
    seeds: Annotated[int, typer.Option(help="Retrainings of each wiring.")] = 5,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the dataset's files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the retrainings; by default RUN/ablation.")] = None,
    workers: Annotated[int, typer.Option(help="Number of parallel processes.")] = 1,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each retraining; by default the run's.")] = None,
) -> None:
    """Retrain from the run's final wiring, from shuffles with its degrees and from random wiring of its size.

    After an interruption the same command resumes.
    """
    directory = run / "ablation" if out is None else out
    if not run.is_dir():
        state = "is a file" if run.exists() else "does not exist"
        raise ConfigError(f"run {str(run)!r} {state}; it must be a run directory")
    check_data_dir(data_dir)
    options = {
        f"directory {str(directory)!r}": f"--out {str(directory)!r}",
        "seeds is": "--seeds is",
        "workers is": "--workers is",
    }
    with naming_options(options):
        plan = plan_ablation(run, directory, seeds=seeds, epochs=epochs)
    _check_epochs(plan)
    dataset = load_dataset(plan.experiment.dataset, data_dir)
    with keeping(lambda: RESUMES), naming_options(options):
        ablation = summarise(_retrain(plan, dataset, workers))
        assert ablation is not None
        path = save_ablation(ablation, plan, run)
        _print(ablation, plan)
        print_line(f"written to {path}")


def _retrain(plan: Plan, dataset: Dataset, workers: int) -> list[RunResult]:
    """Return the results of all retrainings."""

    def bar(method: str, seed: int) -> ProgressBar:
        return ProgressBar(display, escape(f"{method}, seed {seed}"))

    results = []
    with progress_display(STDERR) as display, closing(run_ablation(plan, dataset, bar, workers=workers)) as runs:
        total = display.add_task("retrainings", total=len(plan.experiment.methods) * len(plan.experiment.seeds))
        for result in runs:
            if result.interrupted:
                raise Interrupted(RESUMES)
            results.append(result)
            display.advance(total)
    return results


def _check_epochs(plan: Plan) -> None:
    """Raise a ConfigError unless there is training, as long as in the retrainings that the folder holds already."""
    epochs = plan.experiment.training.epochs
    if epochs < 1:
        raise ConfigError(f"epochs is {epochs}; an ablation must train: give --epochs >= 1")
    methods = plan.experiment.methods
    for begun in (run for method in methods for run in RunDirectory.all_below(plan.directory, method.name)):
        known = load_experiment(begun.config).training.epochs
        if known != epochs:
            raise ConfigError(
                f"--out {str(plan.directory)!r} belongs to another experiment, with {known} epochs per retraining, not "
                f"{epochs}; give --epochs {known} to resume it, or another folder by --out"
            )


def _print(ablation: Ablation, plan: Plan) -> None:
    n_seeds = len(ablation.seeds)
    metric = METRICS[ablation.metric]
    rows = [[name, over_seeds([metric.scale * value for value in values])] for name, values in ablation.scores.items()]
    print_table(
        f"Does the wiring matter? {plan.experiment.name} on {plan.experiment.dataset}", ["wiring", metric.heading], rows
    )
    header = ["effect of", "difference", "points" if metric.is_share else "mean", "95 % interval"]
    print_table(
        "Paired differences", header, [_difference_row(difference, metric.scale) for difference in ablation.differences]
    )
    for difference in ablation.differences:
        print_line(difference.sentence)
    STDOUT.print(NOTE.format(epochs=plan.experiment.training.epochs, n=n_seeds), markup=False, highlight=False)


def _difference_row(difference: PairedDifference, scale: int) -> list[str]:
    interval = "-"
    if difference.low is not None and difference.high is not None:
        interval = f"{scale * difference.low:+.2f} to {scale * difference.high:+.2f}"
    return [difference.name, f"{difference.first} - {difference.second}", f"{scale * difference.mean:+.2f}", interval]
