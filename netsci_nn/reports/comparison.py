"""The comparison of methods: an experiment's runs, their topologies, and both as tables, as numbers and as one page.

comparison = run_comparison(experiment, dataset, directory)
write_results(comparison)
for part in comparison_tables(comparison):
    rich.print(part)
write_page(comparison)
"""

import json
import math
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

import analysis
from analysis.render import page as html
from analysis.render.pictures.curves import learning_curves
from analysis.render.pictures.degrees import degree_distribution
from analysis.render.pictures.inputs import input_degree_map
from netsci_nn.checks import check_count
from netsci_nn.data import Dataset
from netsci_nn.errors import ConfigError
from netsci_nn.experiment import RunDirectory, RunResult, describe_environment, run_experiment
from netsci_nn.experiment.config import Experiment
from netsci_nn.files import leftovers, to_json, write_text
from netsci_nn.interruption import is_requested
from netsci_nn.reports.tables import over_seeds, plain_table
from netsci_nn.topology import BipartiteTopology
from netsci_nn.training import METRICS, Metric, ProgressBar, progress_display

MEASURES = ("degree", "clustering", "paths", "power_law")
RESULT_NOTE = (
    "Mean ± standard deviation over {n} seeds of the test {metric} of the final network; edges and cost (edges / weights of "
    "the dense network, biases apart) are the final network's too, after SET's last removal, which nothing regrows; "
    "'before last removal' is the {metric} before that.{efficiency} "
    "Seconds: gradient steps and rewiring."
)
TOPOLOGY_COLUMNS = (
    # title, section, quantity, null models beside it
    ("input degree CV", "layer 0", "source_degree_cv", ("erdos_renyi",)),
    ("clustering", "network", "robins_alexander_clustering", ("erdos_renyi", "fixed_degrees")),
    ("path length", "network", "average_path_length", ("erdos_renyi", "fixed_degrees")),
    ("input alpha", "layer 0", "source_power_law_alpha", ("erdos_renyi",)),
)
NULL_COLUMNS = {"erdos_renyi": "random", "fixed_degrees": "same degrees"}
TOPOLOGY_NOTE = (
    "Means over {n} seeds. 'random' is the mean of {nulls} random graphs of equal size, 'same degrees' of {nulls} random "
    "graphs with equal degrees, drawn for every network. Clustering is Robins and Alexander's (4-cycles), over the whole "
    "network, as is the path length; input degrees are those of the first layer, CV their standard deviation / mean, alpha "
    "the exponent of a discrete power-law fit, which says nothing of whether a power law fits (- where none is defined). Rows "
    "without 'before' and 'after' have a topology that training does not change."
)


@dataclass
class Comparison:
    """An experiment with the results of its runs.

    Attributes:
        experiment: what was run.
        dataset: on which data.
        directory: where its run directories are.
        nulls: random graphs of each null model for every network.
        results: of the complete runs.
        reports: on the topologies, by method, seed, and "before" or "after" training; those after only if it changed them.
        is_interrupted: whether Ctrl-C has come before all runs and all reports were complete.
    """

    experiment: Experiment
    dataset: Dataset
    directory: Path
    nulls: int
    results: list[RunResult] = field(default_factory=list)
    reports: dict[tuple[str, int, str], analysis.TopologyReport] = field(default_factory=dict)
    is_interrupted: bool = False

    @property
    def n_runs(self) -> int:
        """Runs of the whole experiment."""
        return len(self.experiment.methods) * len(self.experiment.seeds)

    @property
    def n_seeds(self) -> str:
        """How many seeds stand behind each row of the results, such as "3", or "2 to 3" if not all runs are complete."""
        return _range({len(self.of(method)) for method in self.methods})

    @property
    def state(self) -> str:
        """How much is complete."""
        networks = f", and the topologies of {len(self.described)} of them are measured" if self.sparse else ""
        return f"{len(self.results)} of {self.n_runs} runs are complete{networks}"

    @property
    def sparse(self) -> list[RunResult]:
        """The complete runs of sparse networks."""
        return [result for result in self.results if result.initial]

    @property
    def described(self) -> list[RunResult]:
        """The runs whose topologies are all measured."""
        return [run for run in self.sparse if all((run.method, run.seed, when) in self.reports for when in _states(run))]

    @property
    def metric(self) -> Metric:
        """What is compared: the first metric of the experiment."""
        return METRICS[self.experiment.training.metrics[0]]

    def of(self, method: str) -> list[RunResult]:
        """The runs of one method, by seed."""
        return [result for result in self.results if result.method == method]

    @property
    def methods(self) -> list[str]:
        """Methods with at least one run, in the order of the experiment."""
        return [method.name for method in self.experiment.methods if self.of(method.name)]


def run_comparison(
    experiment: Experiment,
    dataset: Dataset,
    directory: Path,
    *,
    nulls: int = 20,
    console: Console | None = None,
    resume: bool = False,
) -> Comparison:
    """Run an experiment and analyse the topologies of its networks before and after training.

    Args:
        experiment: what to run, every method with every seed.
        dataset: loaded data.
        directory: where run directories are made: `METHOD/seed-0` and so on.
        nulls: random graphs of each null model for every network, at least 1.
        console: where progress is shown, if it is a terminal; None for nowhere.
        resume: take over complete runs in `directory` and resume incomplete ones, instead of refusing them.

    Returns:
        The comparison; after Ctrl-C that of the complete runs, with the reports that are complete. It is marked as interrupted.

    Raises:
        ConfigError, DataError, TopologyError: when an argument is not allowed or the experiment does not fit, before anything
            is written.
    """
    check_count("nulls", nulls, 1, error=ConfigError)
    comparison = Comparison(experiment, dataset, directory, nulls)
    try:
        with progress_display(console or Console(quiet=True)) as display:
            _train(comparison, display, resume)
            if not comparison.is_interrupted:
                _measure(comparison, display)
    except KeyboardInterrupt:
        comparison.is_interrupted = True
    return comparison


def _train(comparison: Comparison, display: Progress, resume: bool) -> None:
    """Do all runs; the one that Ctrl-C ends is not among the results."""

    def bar(method: str, seed: int) -> ProgressBar:
        return ProgressBar(display, escape(f"{method}, seed {seed}"))

    total = display.add_task("runs", total=comparison.n_runs)
    experiment, dataset, directory = comparison.experiment, comparison.dataset, comparison.directory
    with closing(run_experiment(experiment, dataset, directory, bar, resume=resume)) as runs:
        for result in runs:
            if result.interrupted:
                comparison.is_interrupted = True
                return
            comparison.results.append(result)
            display.advance(total)


def _measure(comparison: Comparison, display: Progress) -> None:
    """Describe all topologies; a report that Ctrl-C ends is not among the reports."""
    task = display.add_task("topology", total=len(comparison.sparse))
    for result in comparison.sparse:
        for when, layers in _states(result).items():
            network = RunDirectory(result.directory).network(layers)
            report = analysis.describe(network, nulls=comparison.nulls, measures=MEASURES, rng=result.seed)
            if report.interrupted:
                comparison.is_interrupted = True
                return
            comparison.reports[result.method, result.seed, when] = report
            if is_requested() and comparison.described != comparison.sparse:
                comparison.is_interrupted = True
                return
        display.advance(task)


def _states(run: RunResult) -> dict[str, tuple[BipartiteTopology, ...]]:
    """The topologies of a run to measure."""
    return {"before": run.initial} | ({"after": run.final} if run.final != run.initial else {})


def comparison_tables(comparison: Comparison) -> list[Table | Text]:
    """The results and the topologies as tables of rich, each followed by how to read it."""
    if not comparison.results:
        return [Text(f"Interrupted: {comparison.state}.")]
    title = f"Results: {comparison.experiment.name} on {comparison.dataset.name}"
    parts: list[Table | Text] = [
        plain_table(title, result_header(comparison), result_rows(comparison)),
        Text(result_note(comparison)),
    ]
    rows = topology_rows(comparison)
    if rows or not comparison.is_interrupted:
        parts += [plain_table("Topology before and after training", topology_header(), rows), Text(topology_note(comparison))]
    return parts


def result_header(comparison: Comparison) -> list[str]:
    """Column titles of the result table."""
    metric = comparison.metric
    before = "before last removal %" if metric.is_share else "before last removal"
    efficiency = ["efficiency"] if metric.is_share else []
    return ["method", metric.heading, before, "edges", "cost", *efficiency, "seconds"]


def result_rows(comparison: Comparison) -> list[list[str]]:
    """Cells of the result table, one row per method."""
    metric = comparison.metric
    rows = []
    for method in comparison.methods:
        runs = comparison.of(method)
        scores, cost = [metric.scale * run.score for run in runs], fmean(run.cost for run in runs)
        before = [metric.scale * run.score_by_epoch[-1] for run in runs if run.score_by_epoch]
        rows.append(
            [
                method,
                over_seeds(scores),
                over_seeds(before) if before and runs[0].n_edges_in_training != runs[0].n_edges else "",
                f"{fmean(run.n_edges for run in runs):,.0f}",
                f"{cost:.4f}",
                *([f"{fmean(scores) / 100 / cost:.3f}" if cost else "-"] if metric.is_share else []),
                f"{fmean(run.seconds for run in runs):.2f}",
            ]
        )
    return rows


def result_note(comparison: Comparison) -> str:
    """How to read the result table."""
    metric = comparison.metric
    partial = f"Interrupted: {comparison.state}. " if comparison.is_interrupted else ""
    efficiency = f" Efficiency = ({metric.title} / 100) / cost." if metric.is_share else ""
    return partial + RESULT_NOTE.format(n=comparison.n_seeds, metric=metric.title, efficiency=efficiency)


def topology_header() -> list[str]:
    """Column titles of the topology table."""
    columns = [[title, *(NULL_COLUMNS[null] for null in nulls)] for title, _, _, nulls in TOPOLOGY_COLUMNS]
    return ["method", *(title for column in columns for title in column)]


def topology_rows(comparison: Comparison) -> list[list[str]]:
    """Cells of the topology table: one row per method, two if training has changed the topology."""
    rows = []
    for method in comparison.methods:
        runs = [run for run in comparison.described if run.method == method]
        changed = any(run.initial != run.final for run in runs)
        for when in ("before", "after") if changed else ("before",):
            reports = [comparison.reports[method, run.seed, when] for run in runs]
            if reports:
                name = f"{method}, {when}" if changed else method
                rows.append([name, *(cell for column in TOPOLOGY_COLUMNS for cell in _topology_cells(reports, column))])
    return rows


def topology_note(comparison: Comparison) -> str:
    """How to read the topology table."""
    described = [run.method for run in comparison.described]
    n_seeds = _range({described.count(method) for method in described})
    return TOPOLOGY_NOTE.format(n=n_seeds, nulls=comparison.nulls)


def write_results(comparison: Comparison) -> Path:
    """Write the numbers of every run to `results.json` in the comparison's directory; return its path.

    What a kill has left of this file or of the page is removed.
    """
    path = comparison.directory / "results.json"
    for temporary in leftovers(comparison.directory, "results.json", "report.html"):
        temporary.unlink(missing_ok=True)
    table = {
        "interrupted": comparison.is_interrupted,
        "experiment": comparison.experiment.model_dump(mode="json"),
        "environment": describe_environment(),
        "runs": [result.summary() for result in comparison.results],
    }
    write_text(path, to_json(table))
    return path


def write_page(comparison: Comparison) -> Path:
    """Write `report.html` in the comparison's directory; return its path."""
    path = comparison.directory / "report.html"
    write_text(path, comparison_page(comparison))
    return path


def comparison_page(comparison: Comparison) -> str:
    """Return the page: tables, learning curves, degree distributions and the picture of the input degrees."""
    experiment, image_shape = comparison.experiment, comparison.dataset.image_shape
    first = {name: layers[0] for name, layers in _topologies(comparison).items()}
    pictures: list[html.Block] = []
    curves = _curves(comparison)
    sections = [
        html.Section(
            "Results",
            [html.Table(result_header(comparison), result_rows(comparison)), html.Paragraph(result_note(comparison))],
        ),
    ]
    if curves:
        title = comparison.metric.title
        figure = learning_curves(curves, ylabel=f"test {title}{' (%)' if comparison.metric.is_share else ''}")
        pictures.append(html.Picture(figure, f"Test {title} after every epoch: mean over seeds, band from least to greatest."))
        sections.append(html.Section("Learning curves", pictures))
    topology: list[html.Block] = [
        html.Table(topology_header(), topology_rows(comparison)),
        html.Paragraph(topology_note(comparison)),
    ]
    if first:
        caption = (
            f"Degrees in the first sparse layer, seed {comparison.results[0].seed}. The grey line is the exact law of a "
            "uniformly random graph of the same size."
        )
        topology.append(html.Picture(degree_distribution(first), caption))
        if image_shape is not None and all(layer.n_in == math.prod(image_shape) for layer in first.values()):
            maps = input_degree_map({name: layer.out_degrees for name, layer in first.items()}, image_shape)
            topology.append(html.Picture(maps, "Edges of every input neuron, laid out as the image that the inputs are."))
    sections.append(html.Section("Topology", topology))
    sections.append(html.Section("How it was made", [html.Table(("setting", "value"), _settings(experiment), texts=(0, 1))]))
    return html.page(f"{experiment.name}: {comparison.dataset.name}", sections)


def _settings(experiment: Experiment) -> list[list[str]]:
    """Every key of the experiment, then the versions that ran it."""
    table = experiment.model_dump(mode="json", exclude_none=True)
    rows = [["dataset", table["dataset"]], ["seeds", str(table["seeds"])]]
    rows += [[f"{section}.{key}", str(value)] for section in ("model", "training") for key, value in table[section].items()]
    rows += [[f"method {method.pop('name')!r}", json.dumps(method)] for method in table["method"]]
    environment = describe_environment()
    rows += [[key, str(environment[key])] for key in ("python", "platform", "threads")]
    return rows + [[name, version] for name, version in environment["packages"].items()]


def _curves(comparison: Comparison) -> dict[str, np.ndarray]:
    curves = {}
    for method in comparison.methods:
        runs = [run.score_by_epoch for run in comparison.of(method) if run.score_by_epoch]
        if runs:
            longest = max(map(len, runs))
            curves[method] = comparison.metric.scale * np.array([[*run, *[np.nan] * (longest - len(run))] for run in runs])
    return curves


def _topologies(comparison: Comparison) -> dict[str, tuple[BipartiteTopology, ...]]:
    """The networks to draw: every method's first run, before and after where training has changed it."""
    shown: dict[str, tuple[BipartiteTopology, ...]] = {}
    for method in comparison.methods:
        run = comparison.of(method)[0]
        if run.initial and run.initial != run.final:
            shown |= {f"{method}, before": run.initial, f"{method}, after": run.final}
        elif run.initial:
            shown[method] = run.initial
    return shown


def _topology_cells(reports: Sequence[analysis.TopologyReport], column: tuple[str, str, str, tuple[str, ...]]) -> list[str]:
    _, section, name, nulls = column
    quantities = [report[section if len(report.sections) > 1 else "layer 0"][name] for report in reports]
    cells = [_mean(quantity.value for quantity in quantities)]
    return cells + [_mean(quantity.nulls[null].mean for quantity in quantities) for null in nulls]


def _range(counts: set[int]) -> str:
    """Return "3", or "2 to 3" if counts differ."""
    return " to ".join(str(count) for count in sorted({min(counts, default=0), max(counts, default=0)}))


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{fmean(known):.3f}" if known else "-"
