"""Run the methods of the brain-inspired paper, its readings and controls; write Table 1 and Figures 2 to 7.

    python -m scripts.brain_inspired.paper --data-dir DIR            # everything; run it again to resume
    python -m scripts.brain_inspired.paper --seeds 1 --epochs 2      # a smoke run

Run directories, the table (`table.md`, `results.json`) and the figures are written to --out.
"""

from netsci_nn.interruption import Interrupted, at_work, before_work, keeping

if __name__ == "__main__":
    before_work()  # the imports take seconds, in which Ctrl-C may come

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import fmean

from netsci_nn.cli.output import STDERR, STDOUT, print_table, reported_errors
from netsci_nn.data import Dataset, load_dataset
from netsci_nn.errors import ConfigError
from netsci_nn.experiment import RunResult, describe_environment, run_experiment
from netsci_nn.experiment.config import Experiment, load_experiment
from netsci_nn.files import leftovers, write_text
from netsci_nn.reports.tables import over_seeds
from netsci_nn.training import progress_display
from scripts.brain_inspired.figures import draw_all
from scripts.brain_inspired.tables import difference_cell, markdown_table

FILES = {
    "methods": Path(__file__).parents[1] / "experiments" / "brain-inspired.toml",
    "densities": Path(__file__).parents[1] / "experiments" / "brain-inspired-densities.toml",
}
REFERENCE = "SC"
# Test accuracies in %, Table 1 of the paper; single runs.
PAPER = {
    "FC": 98.44,
    "SC": 96.88,
    "Prune_Retrain": 98.31,
    "Prune_Init_Retrain": 97.76,
    "SC_Input": 97.41,
    "Deep R": 96.90,
    "BA_Deep R": 96.81,
    "SC_Input+BA_Deep R": 97.35,
}
HEADER = ("method", "accuracy %", "- SC [95 %]", "paper", "edges", "cost", "eff.", "corr.", "s", "GMAC")
NOTE = (
    "Test accuracy after the last epoch, mean ± standard deviation over {n} seeds. '- SC' is the mean difference to SC of the "
    "same seed with its 95 % t-interval. Edges and cost (edges / weights of the dense network, biases apart) are the final "
    "network's, SET's after its last removal. eff. = (accuracy / 100) / cost, as the paper defines it; corr. puts "
    "(accuracy - chance) / (1 - chance) in its place. Seconds and GMAC (10^9 multiply-adds) are those of all gradient steps, "
    "with the dense training for what is pruned."
)


def main() -> None:
    """Parse the command line, run what is missing, print the table, draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, help="by default runs/brain-inspired, followed by what these options change")
    parser.add_argument("--seeds", type=int, help="how many seeds, by default those of the experiment files")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--dataset", default="mnist", help="instead of MNIST; the hidden layers keep their sizes")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    out = arguments.out or _out(arguments)
    dataset = load_dataset(arguments.dataset, arguments.data_dir)
    experiments = {name: _experiment(path, arguments, dataset) for name, path in FILES.items()}
    resumes = f"what is complete is kept in {out}, and the same command resumes from here"
    with keeping(lambda: resumes):
        results: dict[str, list[RunResult]] = {name: [] for name in FILES}
        with progress_display(STDERR) as display:
            for name, experiment in experiments.items():
                task = display.add_task(name, total=len(experiment.methods) * len(experiment.seeds))
                directory, workers = out / name, arguments.workers
                with closing(run_experiment(experiment, dataset, directory, workers=workers, resume=True)) as runs:
                    for result in runs:
                        if result.interrupted:
                            raise Interrupted(resumes)
                        results[name].append(result)
                        display.advance(task)
        write_table(experiments, results, dataset, out)
        for path in draw_all(out, dataset, out / "figures"):
            STDOUT.print(str(path), highlight=False)


def _out(arguments: argparse.Namespace) -> Path:
    changed = [f"-{arguments.dataset}"] if arguments.dataset != "mnist" else []
    changed += [f"-{value}-{name}" for name, value in vars(arguments).items() if name in ("seeds", "epochs") and value]
    return Path("runs") / f"brain-inspired{''.join(changed)}"


def _experiment(path: Path, arguments: argparse.Namespace, dataset: Dataset) -> Experiment:
    """Read an experiment file with the changes that the command line asks for."""
    overrides = [f"dataset={arguments.dataset}", f"model.layer_sizes=[{dataset.n_features}, 300, 100, {dataset.n_classes}]"]
    if arguments.epochs is not None:
        overrides.append(f"training.epochs={arguments.epochs}")
    if arguments.seeds is not None:
        seeds = load_experiment(path).seeds
        if arguments.seeds < 1:
            raise ConfigError(f"seeds is {arguments.seeds}; it must be an integer >= 1")
        chosen = [*seeds, *range(max(seeds) + 1, arguments.seeds)][: arguments.seeds]
        # The density sweep needs no more seeds than its file asks for.
        overrides.append(f"seeds={chosen if path == FILES['methods'] else chosen[: len(seeds)]}")
    return load_experiment(path, overrides)


def write_table(experiments: dict[str, Experiment], results: dict[str, list[RunResult]], dataset: Dataset, out: Path) -> None:
    """Print Table 1 and the density sweep, and write them to `table.md`, every run to `results.json`.

    What a kill has left of these files is removed.
    """
    for temporary in leftovers(out, "table.md", "results.json"):
        temporary.unlink(missing_ok=True)
    parts = []
    for name, experiment in experiments.items():
        rows = list(table_rows(experiment, results[name], dataset.n_classes))
        title = f"{name}: {experiment.dataset}, {experiment.training.epochs} epochs"
        print_table(title, HEADER, rows)
        parts += [f"### {title}", "", markdown_table(HEADER, rows), ""]
    note = NOTE.format(n=len(experiments["methods"].seeds))
    STDOUT.print(note, highlight=False)
    write_text(out / "table.md", "\n".join([*parts, note, ""]))
    table = {
        "environment": describe_environment(),
        **{
            name: [run.summary() for run in sorted(runs, key=lambda run: (run.method, run.seed))]
            for name, runs in results.items()
        },
    }
    write_text(out / "results.json", json.dumps(table, indent=2, allow_nan=False) + "\n")


def table_rows(experiment: Experiment, results: Sequence[RunResult], n_classes: int) -> Iterator[list[str]]:
    """Cells of the table, one row per method."""
    by_method = {method.name: [run for run in results if run.method == method.name] for method in experiment.methods}
    reference = {run.seed: 100 * run.accuracy for run in by_method.get(REFERENCE, [])}
    for name, runs in by_method.items():
        accuracy, cost = [100 * run.accuracy for run in runs], fmean(run.cost for run in runs)
        corrected = (fmean(accuracy) / 100 - 1 / n_classes) / (1 - 1 / n_classes)
        paired = [(100 * run.accuracy, reference[run.seed]) for run in runs if run.seed in reference]
        yield [
            name,
            over_seeds(accuracy, 2),
            "" if name == REFERENCE or not paired else difference_cell(*zip(*paired, strict=True)),
            f"{PAPER[name]:.2f}" if name in PAPER else "",
            f"{fmean(run.n_edges for run in runs):,.0f}",
            f"{cost:.4f}",
            f"{fmean(accuracy) / 100 / cost:.2f}",
            f"{corrected / cost:.2f}",
            f"{fmean(run.seconds for run in runs):.0f}",
            f"{fmean(run.multiply_adds for run in runs) / 1e9:,.0f}",
        ]


if __name__ == "__main__":
    with reported_errors():
        at_work()
        main()
