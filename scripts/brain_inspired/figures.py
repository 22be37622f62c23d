"""Draw Figures 2 to 7 of the brain-inspired paper from run directories alone.

    python -m scripts.brain_inspired.figures runs/brain-inspired --data-dir DIR

RUNS holds the folders `methods` and `densities` that `make paper` fills; incomplete runs are left out.
"""

import argparse
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from scipy import stats

from analysis.render.pictures.degrees import draw_degree_histogram, draw_degree_tails
from analysis.render.pictures.style import STYLES
from netsci_nn import BipartiteTopology
from netsci_nn.cli.output import STDOUT, reported_errors
from netsci_nn.data import Dataset, load_dataset
from netsci_nn.errors import ConfigError
from netsci_nn.experiment import RunDirectory, RunResult
from netsci_nn.files import atomic_write, leftovers

FOLDERS = ("methods", "densities")
PAPER = ("FC", "SC", "Prune_Retrain", "Prune_Init_Retrain", "SC_Input", "Deep R", "BA_Deep R", "SC_Input+BA_Deep R")
REWIRED = ("Deep R", "BA_Deep R", "SC_Input+BA_Deep R")
PRUNED = "Prune_Retrain"
DPI = 110
NEAR = 2  # points of accuracy

Runs = Mapping[str, Mapping[str, Sequence[RunResult]]]
Layers = Mapping[str, Sequence[BipartiteTopology]]
_log = logging.getLogger(__name__)


class NoRuns(Exception):
    """There is no run from which a figure can be drawn."""


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--dataset", default="mnist", help="what the runs were trained on")
    parser.add_argument("--out", type=Path, help="by default RUNS/figures")
    arguments = parser.parse_args()
    _complete(arguments.runs)  # before a dataset is perhaps downloaded
    dataset = load_dataset(arguments.dataset, arguments.data_dir)
    for path in draw_all(arguments.runs, dataset, arguments.out or arguments.runs / "figures"):
        STDOUT.print(str(path), highlight=False)


def draw_all(runs: Path, dataset: Dataset, out: Path) -> list[Path]:
    """Draw every figure for which `runs` has the runs.

    Args:
        runs: folder with `methods` and `densities`, as `make paper` fills them.
        dataset: what the runs were trained on.
        out: folder for the PNG files; made if it does not exist.

    Returns:
        The files written. A figure without runs is left out, with a logged sentence.

    Raises:
        ConfigError: if there is no complete run, the dataset is not that of the runs, or `out` is a file.
    """
    loaded = load_runs(runs)
    check_dataset(loaded, dataset)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out {str(out)!r} is a file; it must be a folder")
    out.mkdir(parents=True, exist_ok=True)
    for temporary in leftovers(out, *(f"{name}.png" for name in FIGURES)):  # that a kill has left
        temporary.unlink(missing_ok=True)
    written = []
    for name, draw in FIGURES.items():
        try:
            figure = draw(loaded, dataset)
        except NoRuns as reason:
            _log.warning("%s.png is left out: %s", name, reason)
            continue
        written.append(out / f"{name}.png")
        save_png(figure, written[-1])
    return written


def load_runs(runs: Path) -> Runs:
    """Read all complete runs: results by folder and method, by ascending seed."""
    loaded: dict[str, dict[str, list[RunResult]]] = {folder: {} for folder in FOLDERS}
    for folder, run in _complete(runs):
        result = run.load_result()
        if result is not None:
            loaded[folder].setdefault(result.method, []).append(result)
    for methods in loaded.values():
        for results in methods.values():
            results.sort(key=lambda result: result.seed)
    return loaded


def _complete(runs: Path) -> list[tuple[str, RunDirectory]]:
    """Folders and directories of all complete runs."""
    found = [(folder, run) for folder in FOLDERS for run in RunDirectory.all_below(runs / folder) if run.result.is_file()]
    if not found:
        raise ConfigError(f"folder {str(runs)!r} has no complete run; METHOD/seed-0 and so on must lie in its 'methods'")
    return found


def check_dataset(runs: Runs, dataset: Dataset) -> None:
    """Raise a ConfigError unless every sparse first layer has an input for every feature."""
    for methods in runs.values():
        for result in (result for results in methods.values() for result in results if result.final):
            if result.final[0].n_in != dataset.n_features:
                raise ConfigError(
                    f"run {str(result.directory)!r} has {result.final[0].n_in} inputs and {dataset.name} has "
                    f"{dataset.n_features}; give the dataset of the runs by --dataset"
                )


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure with at most 256 colours, which takes a third of the space."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    with atomic_write(path) as temporary:
        Image.open(buffer).convert("RGB").quantize(256).save(temporary, format="png", optimize=True)


def chosen(runs: Runs, names: Sequence[str], folder: str = "methods") -> dict[str, Sequence[RunResult]]:
    """Return the methods that have runs, in the order of `names`; raise NoRuns if there is none."""
    if not any(name in runs[folder] for name in names):
        raise NoRuns(f"{folder!r} holds no complete run of {', '.join(names) or 'any method'}")
    return {name: runs[folder][name] for name in names if name in runs[folder]}


def final_layers(runs: Runs, names: Sequence[str]) -> list[Layers]:
    """Return for every layer of the trained networks the topologies by method and seed."""
    methods = chosen(runs, names)
    n_layers = min(len(result.final) for results in methods.values() for result in results)
    if n_layers == 0:
        raise NoRuns(f"a run of {', '.join(methods)} has no sparse layer")
    return [{name: [run.final[layer] for run in results] for name, results in methods.items()} for layer in range(n_layers)]


def efficiency_figure(runs: Runs, dataset: Dataset) -> Figure:
    """Figure 2: accuracy and efficiency of SC against connection cost."""
    sweep = chosen(runs, list(runs["densities"]), "densities").values()
    points = sorted((fmean(run.cost for run in results), [run.accuracy for run in results]) for results in sweep)
    costs, accuracies = np.array([cost for cost, _ in points]), [np.array(values) for _, values in points]
    chance = 1 / dataset.n_classes
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    _error_bars(left, costs, [100 * values for values in accuracies], 0, "SC")
    left.axhline(100 * chance, color="0.6", linestyle=":", label="chance")
    if "FC" in runs["methods"]:
        dense = fmean(run.accuracy for run in runs["methods"]["FC"])
        left.axhline(100 * dense, color="0.2", linestyle="--", linewidth=1, label=f"FC, {100 * dense:.2f} %")
        right.plot(1.0, dense, color="0.2", marker="*", markersize=9, linestyle="none", label="FC")
    _error_bars(right, costs, [values / cost for values, cost in zip(accuracies, costs, strict=True)], 0, "accuracy / cost")
    corrected = [(values - chance) / (1 - chance) / cost for values, cost in zip(accuracies, costs, strict=True)]
    _error_bars(right, costs, corrected, 1, "corrected for chance")
    right.plot(costs, chance / costs, color="0.6", linestyle=":", label="chance / cost")
    left.set(ylabel="test accuracy (%)")
    right.set(ylabel="efficiency")
    figure.suptitle("Fixed random networks (SC), mean over seeds and their range", fontsize="medium")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="connection cost (share of the dense network's weights)")
        _finish(axes)
    return figure


def _error_bars(axes: Axes, x: npt.NDArray[Any], values: Sequence[npt.NDArray[Any]], style: int, label: str) -> None:
    """Draw means with bars from the lowest to the highest seed."""
    colour, line, marker = STYLES[style]
    mean = np.array([part.mean() for part in values])
    spread = [mean - [part.min() for part in values], [part.max() for part in values] - mean]
    look: dict[str, Any] = {"color": colour, "linestyle": line, "marker": marker, "markersize": 4, "capsize": 3}
    axes.errorbar(x, mean, yerr=np.abs(spread), label=label, **look)


def pruned_degrees_figure(runs: Runs, dataset: Dataset) -> Figure:
    """Figure 3: out-degrees of the sparse and of the pruned network, for every layer."""
    return _degrees_figure(final_layers(runs, ("SC", PRUNED)), "Sparse and pruned")


def input_degrees_figure(runs: Runs, dataset: Dataset) -> Figure:
    """Figure 5: out-degrees of the input-weighted network in its input and its first hidden layer."""
    return _degrees_figure(final_layers(runs, ["SC_Input"])[:2], "Input weighting")


def _degrees_figure(layers: Sequence[Layers], title: str) -> Figure:
    """Draw histograms above, tails on logarithmic axes below; one column per layer."""
    figure = Figure(figsize=(max(7.6, 3.8 * len(layers)), 6.6), layout="constrained")
    panels = figure.subplots(2, len(layers), squeeze=False)
    for index, methods in enumerate(layers):
        draw_degree_histogram(panels[0, index], methods)
        draw_degree_tails(panels[1, index], methods)
        panels[0, index].set_title(layer_name(index, methods), fontsize="medium")
    figure.suptitle(_with_seeds(title, layers, "above, mean and range over seeds; below, "), fontsize="medium")
    return figure


def rewired_degrees_figure(runs: Runs, dataset: Dataset) -> Figure:
    """Figure 6: out-degrees of input and first hidden layer before and after training with each of the rewirings."""
    layers = final_layers(runs, REWIRED)[:2]
    figure = Figure(figsize=(max(5.0, 3.8 * len(layers[0])), 3.3 * len(layers) + 0.3), layout="constrained")
    panels = figure.subplots(len(layers), len(layers[0]), squeeze=False, sharex="row", sharey="row")
    for index, methods in enumerate(layers):
        for axes, (name, topologies) in zip(panels[index], methods.items(), strict=True):
            before = runs["methods"][name][0].initial[index]
            draw_degree_tails(axes, {"before training": [before], "after training": topologies})
            axes.set_title(name if index == 0 else "", fontsize="medium")
            axes.set_ylabel("")
        panels[index, 0].set_ylabel(f"{layer_name(index, methods)}\nshare of neurons with degree ≥ $k$")
    figure.suptitle(_with_seeds("Rewiring", layers), fontsize="medium")
    return figure


def _with_seeds(title: str, layers: Sequence[Layers], above: str = "") -> str:
    several = any(len(topologies) > 1 for topologies in layers[0].values())
    return f"{title}: {above}first seed bold and fitted, others thin" if several else f"{title}: one seed"


def layer_name(index: int, methods: Layers) -> str:
    """Return the name of the sources of a layer."""
    return f"{'input layer' if index == 0 else f'hidden layer {index}'} ({next(iter(methods.values()))[0].n_in} units)"


def input_pixels_figure(runs: Runs, dataset: Dataset) -> Figure:
    """Figure 4: degree of the inputs after pruning against the mean pixel of the training images, and maps of both."""
    results = chosen(runs, [PRUNED])[PRUNED]
    pixels, degrees = dataset.x_train.mean(axis=0, dtype=np.float64), np.array([run.final[0].out_degrees for run in results])
    figure = Figure(figsize=(11.5 if dataset.image_shape else 5.0, 3.9), layout="constrained")
    panels = figure.subplots(1, 3 if dataset.image_shape else 1, squeeze=False)[0]
    _scatter(panels[0], pixels, degrees, np.ptp(dataset.x_train, axis=0) > 0, results[0].seed)
    if dataset.image_shape:
        note = f"mean of {len(results)} seeds" if len(results) > 1 else f"seed {results[0].seed}"
        maps = (("mean pixel", pixels), (f"out-degree, {note}", degrees.mean(axis=0)))
        for axes, (title, values) in zip(panels[1:], maps, strict=True):
            picture = axes.imshow(values.reshape(dataset.image_shape), cmap="viridis", vmin=0)
            axes.set(xticks=[], yticks=[])
            axes.set_title(title, fontsize="medium")
            figure.colorbar(picture, ax=axes, shrink=0.8)
    return figure


def _scatter(axes: Axes, pixels: npt.NDArray[Any], degrees: npt.NDArray[Any], varies: npt.NDArray[np.bool_], seed: int) -> None:
    """Draw the first seed dark and the others light, with crosses for pixels that never vary."""
    for others in degrees[1:]:
        axes.plot(pixels, others, ".", color="0.75", markersize=3, zorder=0)
    axes.plot(pixels[varies], degrees[0][varies], "o", color=STYLES[0][0], markersize=3, label=f"seed {seed}")
    axes.plot(pixels[~varies], degrees[0][~varies], "x", color=STYLES[1][0], markersize=5, label="constant pixels")
    if len(degrees) > 1:
        axes.plot([], [], ".", color="0.75", label="other seeds")
    parts = [("all", np.ones_like(varies)), ("without constant pixels", varies)]
    lines = ["Spearman correlation, one number per seed"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)  # the title says nan
        for name, part in parts:
            correlations = [stats.spearmanr(pixels[part], row[part]).statistic for row in degrees]
            lines.append(f"{name}: {', '.join(f'{correlation:.2f}' for correlation in correlations)}")
    axes.set_title("\n".join(lines), fontsize="small")
    axes.set(xlabel="mean pixel of the training images", ylabel=f"out-degree after {PRUNED}")
    _finish(axes)


def learning_figure(runs: Runs, dataset: Dataset) -> Figure:
    """Figure 7: test accuracy by epoch; the paper's methods above, the others below, the last epochs enlarged on the right."""
    methods = chosen(runs, [*PAPER, *(name for name in runs["methods"] if name not in PAPER)])
    rows = [part for part in ([n for n in methods if n in PAPER], [n for n in methods if n not in PAPER]) if part]
    figure = Figure(figsize=(11.0, 3.7 * len(rows) + 0.3), layout="constrained")
    for row, names in zip(figure.subplots(len(rows), 2, squeeze=False), rows, strict=True):
        curves = {name: 100 * np.array([run.accuracy_by_epoch for run in methods[name]]) for name in names}
        of_paper, middle = names[0] in PAPER, (next(iter(curves.values())).shape[1] - 1) // 2
        for axes, first in zip(row, (0, middle), strict=True):
            _draw_curves(axes, curves, first, band=of_paper)
            if not of_paper:
                _draw_references(axes, methods, first)
            axes.set(xlabel="epoch", ylabel="test accuracy (%)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
            _finish(axes)
        row[0].get_legend().remove()
        row[1].legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=3.5)
        row[0].set_title("The paper's methods" if of_paper else "Readings and controls", fontsize="medium")
        row[1].set_title("last epochs" if of_paper else f"last epochs, within {NEAR} points of the best", fontsize="medium")
        if not of_paper:
            row[1].set_ylim(*_zoomed(curves, middle))
    title = "Test accuracy, mean over seeds (band: their range); of pruned methods, the training after pruning"
    figure.suptitle(title, fontsize="medium")
    return figure


def _draw_curves(axes: Axes, curves: Mapping[str, npt.NDArray[Any]], first: int, *, band: bool) -> None:
    for position, (name, values) in enumerate(curves.items()):
        index = PAPER.index(name) if name in PAPER else position
        # After eight, line styles and markers meet other colours, and markers are hollow.
        turn, (colour, _, _) = index // len(STYLES), STYLES[index % len(STYLES)]
        _, line, marker = STYLES[(index + 3 * turn) % len(STYLES)]
        epochs, shown = np.arange(first + 1, values.shape[1] + 1), values[:, first:]
        axes.plot(
            epochs, shown.mean(axis=0), color=colour, linestyle=line, marker=marker, markersize=4.5,
            markerfacecolor="white" if turn else colour, markevery=(index % 3, 3) if len(epochs) > 8 else 1, label=name,
        )  # fmt: skip
        if band:
            axes.fill_between(epochs, shown.min(axis=0), shown.max(axis=0), color=colour, alpha=0.12, linewidth=0)


def _draw_references(axes: Axes, methods: Mapping[str, Sequence[RunResult]], first: int) -> None:
    """Draw the dense and the fixed random network in grey."""
    for name, line in (("FC", "-"), ("SC", "--")):
        if name in methods:
            mean = 100 * np.mean([run.accuracy_by_epoch for run in methods[name]], axis=0)
            epochs = np.arange(first + 1, mean.size + 1)
            axes.plot(epochs, mean[first:], color="0.6", linestyle=line, linewidth=3, zorder=0, label=name)


def _zoomed(curves: Mapping[str, npt.NDArray[Any]], first: int) -> tuple[float, float]:
    """Return the range of the last epochs of the methods that end within `NEAR` points of the best."""
    best = max(values[:, -1].mean() for values in curves.values())
    shown = np.concatenate([values[:, first:].ravel() for values in curves.values() if values[:, -1].mean() >= best - NEAR])
    margin = 0.05 * (np.ptp(shown) or 1.0)
    return float(shown.min() - margin), float(shown.max() + margin)


def _finish(axes: Axes) -> None:
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")


FIGURES: dict[str, Callable[[Runs, Dataset], Figure]] = {
    "figure-2": efficiency_figure,
    "figure-3": pruned_degrees_figure,
    "figure-4": input_pixels_figure,
    "figure-5": input_degrees_figure,
    "figure-6": rewired_degrees_figure,
    "figure-7": learning_figure,
}


if __name__ == "__main__":
    with reported_errors():
        main()
