"""Judge the wiring of the runs of `make paper` over training epochs, and count the verdicts over seeds.

    python -m scripts.brain_inspired.verdicts runs/brain-inspired

Two claims are tested: that training with SET evolves a random layer into a scale-free one (Mocanu et al. 2018), and that
input weighting with preferential rewiring comes closest to a power law (the brain-inspired paper). Prints Markdown tables,
which `docs/trained-networks.md` discusses.
"""

import argparse
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import analysis
from netsci_nn.cli.output import reported_errors
from netsci_nn.errors import ConfigError
from netsci_nn.experiment import RunDirectory
from netsci_nn.topology import BipartiteTopology
from scripts.brain_inspired.tables import print_markdown

METHODS = ("SET", "Deep R", "BA_Deep R", "SC_Input", "SC_Input+BA_Deep R", "Prune_Retrain")
EPOCHS = (0, 5, 20)
SHORT = {
    "supported": "supported",
    "compatible": "compatible",
    "indistinguishable from the control": "indist.",
    "contradicted": "contradicted",
    "not defined": "not defined",
}
NUMBERS = ("source_degree_cv", "source_power_law_alpha", "source_power_law_bootstrap_p", "robins_alexander_clustering")


class Task(NamedTuple):
    """A layer of one run after one epoch."""

    method: str
    seed: int
    epoch: int
    layer: int
    topology: BipartiteTopology
    nulls: int


class Finding(NamedTuple):
    """The verdicts on a task's layer by property, and some of the numbers behind them."""

    task: Task
    verdicts: dict[str, str]
    numbers: dict[str, float | None]


def main() -> None:
    """Parse the command line, judge every layer, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="what `make paper` wrote")
    parser.add_argument("--nulls", type=int, default=99, help="random graphs of each null model for every layer")
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    tasks = find_tasks(arguments.runs / "methods", arguments.layers, arguments.nulls)
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
        findings = list(pool.map(judge, tasks))
    for layer in arguments.layers:
        print(f"### Layer {layer}\n")
        header, *rows = verdict_rows(finding for finding in findings if finding.task.layer == layer)
        print_markdown(header, rows)


def find_tasks(directory: Path, layers: Sequence[int], nulls: int) -> list[Task]:
    """Return the layers to judge: of every complete run of `METHODS`, the chosen layers at `EPOCHS`, if they differ.

    Raises:
        ConfigError: if there is no complete run of any of the methods.
    """
    tasks = []
    for method in METHODS:
        for run in RunDirectory.all_below(directory, method):
            result = run.load_result()
            if result is not None and result.method == method:
                tasks += [
                    Task(method, result.seed, epoch, layer, topologies[layer], nulls)
                    for epoch, topologies in snapshots(run).items()
                    for layer in layers
                ]
    if not tasks:
        raise ConfigError(f"directory {str(directory)!r} holds no complete run of {', '.join(METHODS)}")
    return tasks


def snapshots(run: RunDirectory) -> dict[int, tuple[BipartiteTopology, ...]]:
    """Return the topologies of a run as last recorded at `EPOCHS`, without those that have occurred before."""
    found: dict[int, tuple[BipartiteTopology, ...]] = {}
    recorded = run.recorded_topologies()
    for epoch in EPOCHS:
        layers = [entry.layers for entry in recorded if entry.epoch <= epoch][-1]
        if layers not in found.values():
            found[epoch] = layers
    return found


def judge(task: Task) -> Finding:
    """Measure a layer beside its null models, which are also the control, and judge it."""
    report = analysis.describe(
        task.topology,
        nulls=task.nulls,
        rng=task.seed,
        request=("community",),
    )
    section = report["layer 0"]
    verdicts = {name: str(verdict.conclusion) for name, verdict in report.verdicts["layer 0"].items()}
    numbers = {name: section[name].value for name in NUMBERS}
    return Finding(task, verdicts, numbers)


def verdict_rows(findings: Iterable[Finding]) -> list[list[str]]:
    """Return the header and one row per method and epoch, with verdicts counted over seeds."""
    groups: dict[tuple[str, int], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.task.method, finding.task.epoch), []).append(finding)
    rows = []
    for (method, epoch), group in groups.items():
        counts = [Counter(finding.verdicts[name] for finding in group) for name in group[0].verdicts]
        cells = [", ".join(f"{count} {SHORT[name]}" for name, count in counter.most_common()) for counter in counts]
        numbers = [[n for finding in group if (n := finding.numbers[name]) is not None] for name in NUMBERS]
        rows.append([method, str(epoch), *cells, *(f"{np.median(values):.2f}" if values else "-" for values in numbers)])
    header: list[Any] = ["method", "epoch", *next(iter(groups.values()))[0].verdicts]
    return [[*header, "CV", "alpha", "bootstrap p", "clustering"], *rows]


if __name__ == "__main__":
    with reported_errors():
        main()
