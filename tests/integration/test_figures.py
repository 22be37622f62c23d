"""The paper's figures: drawn from what is there, small, and with the exact null."""

import logging
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from scipy import stats

from analysis import AnalysisError
from analysis.render.pictures.degrees import NULL_LABEL, draw_degree_histogram, draw_degree_tails
from analysis.tails.fit import PowerLawFit, fit_power_law
from netsci_nn import ConfigError, generators
from netsci_nn.data import Dataset, load_dataset
from netsci_nn.experiment import RunResult, run_experiment
from netsci_nn.experiment.config import parse_experiment
from scripts.brain_inspired import figures

NAMES = [f"figure-{number}" for number in range(2, 8)]
SC = {"name": "SC", "generator": "erdos_renyi"}
METHODS = [
    {"name": "FC", "generator": "dense"},
    SC,
    {"name": "Prune_Retrain", "pruning": {"dense": "FC", "weights": "trained"}},
    {"name": "SC_Input", "generator": [{"name": "input_weighted", "statistic": "mean"}, "erdos_renyi", "erdos_renyi"]},
    {**SC, "name": "Deep R", "rewiring": "deep_r"},
    {**SC, "name": "SET", "rewiring": "set"},
]
DENSITIES = [{**SC, "name": f"SC {density}", "density": density} for density in (0.05, 0.5)]


def small_digits() -> Dataset:
    digits = load_dataset("digits")
    return replace(digits, x_train=digits.x_train[:200], y_train=digits.y_train[:200])


DATA = small_digits()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs")
    for folder, methods in (("methods", METHODS), ("densities", DENSITIES)):
        settings = {
            "name": folder,
            "dataset": "digits",
            "seeds": [0, 1],
            "model": {"layer_sizes": [64, 40, 20, 10], "density": [0.15, 0.2, 0.4]},
            "training": {"epochs": 2, "batch_size": 20, "learning_rate": 0.1},
            "method": methods,
        }
        assert list(run_experiment(parse_experiment(settings, folder), DATA, directory / folder))
    return directory


def part_of(runs: Path, target: Path, *folders: str) -> Path:
    for folder in folders:
        shutil.copytree(runs / folder, target / folder)
    return target


def line(axes: Axes, label: str) -> Line2D:
    return next(line for line in axes.lines if line.get_label() == label)


def test_all_figures(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "figures"
    written = figures.draw_all(runs, DATA, out)
    assert written == [out / f"{name}.png" for name in NAMES]
    assert sorted(out.iterdir()) == written
    for path in written:
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG"
            assert 500 <= image.width <= 1500
            assert 350 <= image.height <= 1200


def test_what_has_no_runs_is_left_out(runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    part = part_of(runs, tmp_path, "methods/fc", "methods/sc")
    (part / "methods" / "sc" / "seed-1" / "result.json").unlink()  # as a run in progress
    with caplog.at_level(logging.WARNING):
        written = figures.draw_all(part, DATA, tmp_path / "figures")
    assert [path.stem for path in written] == ["figure-3", "figure-7"]
    assert caplog.messages == [
        "figure-2.png is left out: 'densities' holds no complete run of any method",
        "figure-4.png is left out: 'methods' holds no complete run of Prune_Retrain",
        "figure-5.png is left out: 'methods' holds no complete run of SC_Input",
        "figure-6.png is left out: 'methods' holds no complete run of Deep R, BA_Deep R, SC_Input+BA_Deep R",
    ]
    assert [run.seed for run in figures.load_runs(part)["methods"]["SC"]] == [0]


def test_densities_alone(runs: Path, tmp_path: Path) -> None:
    written = figures.draw_all(part_of(runs, tmp_path, "densities"), DATA, tmp_path / "figures")
    assert [path.stem for path in written] == ["figure-2"]


def test_efficiency_is_as_defined(runs: Path) -> None:
    loaded = figures.load_runs(runs)
    accuracy, efficiency = figures.efficiency_figure(loaded, DATA).axes
    sparse = loaded["densities"]["SC 0.05"]
    mean, cost = np.mean([run.accuracy for run in sparse]), sparse[0].cost
    raw, corrected = (container.lines[0] for container in efficiency.containers)
    assert accuracy.containers[0].lines[0].get_xydata()[0] == pytest.approx([cost, 100 * mean])
    assert raw.get_xydata()[0] == pytest.approx([cost, mean / cost])
    assert corrected.get_xydata()[0] == pytest.approx([cost, (mean - 0.1) / 0.9 / cost])


def test_null_and_fit_are_exact(runs: Path) -> None:
    loaded = figures.load_runs(runs)
    figure = figures.pruned_degrees_figure(loaded, DATA)
    layer = loaded["methods"]["SC"][0].final[0]
    law = stats.hypergeom(layer.n_in * layer.n_out, layer.n_edges, layer.n_out)
    histogram, tail = figure.axes[0], figure.axes[3]
    values, shares = line(histogram, NULL_LABEL).get_data()
    assert shares == pytest.approx(law.pmf(values))
    values, shares = line(tail, NULL_LABEL).get_data()
    assert shares == pytest.approx(law.sf(np.asarray(values) - 1))
    fit = fit_power_law(layer.out_degrees)
    assert isinstance(fit, PowerLawFit)
    fitted = next(line for line in tail.lines if str(line.get_label()).startswith("power law"))
    assert f"= {fit.n_tail}" in str(fitted.get_label())
    zeta = np.array([(np.arange(k, k + 200_000.0) ** -fit.alpha).sum() for k in fitted.get_xdata()])
    assert fitted.get_ydata() == pytest.approx(fit.n_tail / layer.n_in * zeta / zeta[0], rel=1e-6)


def test_wide_bins_hold_the_whole_null() -> None:
    layer = generators.erdos_renyi(50, 400, n_edges=10_000, rng=0)
    axes = Figure().add_subplot()
    draw_degree_histogram(axes, {"SC": [layer]}, max_bins=10)
    assert sum(line(axes, NULL_LABEL).get_ydata()) == pytest.approx(1.0, abs=0.05)
    assert sum(axes.patches[0].get_data().values) == pytest.approx(1.0)


@pytest.mark.parametrize("draw", [draw_degree_tails, draw_degree_histogram])
@pytest.mark.parametrize("graphs", [{}, {"SC": []}])
def test_nothing_to_draw_is_an_error(draw: Any, graphs: Any) -> None:
    with pytest.raises(AnalysisError, match="is empty; at least one"):
        draw(Figure().add_subplot(), graphs)


@pytest.mark.parametrize("draw", [draw_degree_tails, draw_degree_histogram])
def test_a_layer_without_edges_can_be_drawn(draw: Any) -> None:
    figure = Figure()
    draw(figure.add_subplot(), {"none": [generators.erdos_renyi(20, 10, n_edges=0, rng=0)]})
    figure.canvas.draw()


def test_correlations_of_pixels_and_degrees(runs: Path) -> None:
    loaded = figures.load_runs(runs)
    title = figures.input_pixels_figure(loaded, DATA).axes[0].get_title()
    pixels = DATA.x_train.mean(axis=0, dtype=np.float64)
    expected = [stats.spearmanr(pixels, run.final[0].out_degrees).statistic for run in loaded["methods"]["Prune_Retrain"]]
    assert f"\nall: {expected[0]:.2f}, {expected[1]:.2f}\n" in title
    flat = replace(DATA, x_train=np.ones_like(DATA.x_train))
    title = figures.input_pixels_figure(loaded, flat).axes[0].get_title()
    assert title.endswith("all: nan, nan\nwithout constant pixels: nan, nan")


def full_size() -> Any:
    """Runs as large as the paper's, 20 methods with 5 seeds, without training."""
    rng, sizes, epochs = np.random.default_rng(0), (784, 300, 100, 10), 20
    names = ["FC", "SC", "Prune_Retrain", "SC_Input", "Deep R", "BA_Deep R", "SC_Input+BA_Deep R"]

    def run(name: str, seed: int) -> RunResult:
        pairs = zip(sizes, sizes[1:], (0.1, 0.1, 0.25), strict=False)
        layers = tuple(generators.erdos_renyi(*pair, n_edges=int(pair[0] * pair[1] * d), rng=rng) for *pair, d in pairs)
        curve = tuple(np.sort(rng.uniform(0.9, 0.98, epochs)).tolist())
        cost = float(name.split()[-1]) if name.startswith("density") else 0.1
        metrics = {"accuracy": curve[-1]}, {"accuracy": curve}
        return RunResult(name, seed, Path(name), *metrics, 1, 1, cost, 1.0, 1, False, layers, layers)

    methods = [*names, *(f"control {number}, with a long name" for number in range(13))]
    densities = [f"density {0.003 * 2**k}" for k in range(9)]
    return {
        folder: {name: [run(name, seed) for seed in range(5)] for name in group}
        for folder, group in (("methods", methods), ("densities", densities))
    }


def test_files_are_small_at_full_size(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((300, 784), dtype=np.float32)
    labels = np.arange(300) % 10
    data = Dataset("noise", pixels, labels, pixels, labels, 10, (28, 28))
    loaded = full_size()
    for name, draw in figures.FIGURES.items():
        path = tmp_path / f"{name}.png"
        figures.save_png(draw(loaded, data), path)
        assert 5_000 < path.stat().st_size < 300_000


def test_a_wrong_dataset_or_place_is_an_error(runs: Path, tmp_path: Path) -> None:
    wrong = replace(DATA, x_train=DATA.x_train[:, :9], x_test=DATA.x_test[:, :9], image_shape=None)
    with pytest.raises(ConfigError, match="has 64 inputs and digits has 9"):
        figures.draw_all(runs, wrong, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file; it must be a folder"):
        figures.draw_all(runs, DATA, tmp_path / "file")


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_no_runs_end_with_code_2(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["figures.py", str(tmp_path / folder), "--dataset", "digits"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(figures.__file__, run_name="__main__")
    assert ended.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_command_line(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_of(runs, tmp_path, "densities")
    monkeypatch.setattr(sys, "argv", ["figures.py", str(part), "--dataset", "digits"])
    runpy.run_path(figures.__file__, run_name="__main__")
    assert [path.name for path in (part / "figures").iterdir()] == ["figure-2.png"]
