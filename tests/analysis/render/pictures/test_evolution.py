"""Pictures of topologies over time show the numbers of the evolution, say what is not defined, and refuse what is not there."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from bipartite_examples import from_edges, random_graph, ring_lattice
from matplotlib.figure import Figure

from analysis import AnalysisError, SmallWorld, small_world
from analysis.render.pictures.evolution import (
    CUT_LABEL,
    HEADLINES,
    MAX_QUANTITIES,
    age_bars,
    age_histogram,
    headline_quantities,
    layer_changes,
    measure_courses,
    training_plane,
)
from analysis.render.pictures.small_world_plane import RANDOM_LABEL
from analysis.report.evolution import EdgeAges, Evolution, evolve


@cache
def evolution() -> Evolution:
    """Two layers at three epochs, with two measures."""
    recorded = [(3 * k, [random_graph(12, 9, 40, k), random_graph(9, 5, 20, k)]) for k in range(3)]
    return evolve(recorded, measures=("paths", "degree"))


@cache
def small_worlds() -> dict[int, SmallWorld]:
    graphs = [ring_lattice(20, 5), random_graph(20, 20, 100, 0), random_graph(20, 20, 90, 1)]
    return {epoch: small_world(graph, 0, 2) for epoch, graph in enumerate(graphs)}


NO_PATHS = small_world(from_edges(3, 3, [(0, 0), (1, 1), (2, 2)]), 0, 1)


def lines(figure: Figure, panel: int) -> dict[str, Any]:
    return {str(line.get_label()): line for line in figure.axes[panel].lines}


def drawn(figure: Figure) -> Figure:
    figure.draw_without_rendering()
    return figure


def test_changes_are_those_of_the_evolution() -> None:
    figure = drawn(layer_changes(evolution(), 1, title="layer 1"))
    assert len(figure.axes) == 4
    states = evolution().layers[1]
    fields = {"new edges": "new", "first edges left": "survival", "Jaccard with the topology before": "jaccard",
              "$R_s$": "exploration", "degrees of sources": "source_rank_correlation",
              "of targets": "target_rank_correlation"}  # fmt: skip
    found = {label: line for panel in range(4) for label, line in lines(figure, panel).items()}
    assert set(found) == set(fields)
    for label, name in fields.items():
        values = [getattr(state, name) for state in states]
        numbers = [np.nan if (number := getattr(value, "value", value)) is None else number for value in values]
        assert found[label].get_xdata() == pytest.approx([0, 3, 6])
        assert found[label].get_ydata() == pytest.approx(numbers, nan_ok=True)
    assert all(axes.get_xlabel() == "epoch" and axes.get_ylim()[0] < 0.0 for axes in figure.axes)


def test_curves_of_a_panel_differ_without_colour_and_are_named_below_it() -> None:
    figure = drawn(layer_changes(evolution(), 0))
    for panel in (1, 3):
        a, b = lines(figure, panel).values()
        assert a.get_marker() != b.get_marker()
        assert a.get_linestyle() != b.get_linestyle()
        legend = figure.axes[panel].get_legend()
        assert legend.get_window_extent().y1 < figure.axes[panel].get_window_extent().y0


def test_one_epoch_and_no_edges_say_why_there_is_no_curve() -> None:
    figure = drawn(layer_changes(evolve([(0, ring_lattice(5, 2))], measures=()), 0))
    assert [text.get_text() for text in figure.axes[0].texts] == ["not defined: no topology was\nrecorded before"]
    assert lines(figure, 1)["first edges left"].get_ydata() == pytest.approx([1.0])
    assert "all degrees are equal" in figure.axes[3].texts[0].get_text().replace("\n", " ")
    empty = from_edges(3, 2, [])
    drawn(layer_changes(evolve([(0, empty), (1, empty)], measures=()), 0))


def test_ages_of_few_kinds_have_a_bar_each() -> None:
    ages = EdgeAges("steps", np.repeat([6000, 18000, 120000], [2, 1, 7]))
    (axes,) = drawn(age_histogram(ages)).axes
    bars = {round(bar.get_x() + 0.5 * bar.get_width()): bar.get_height() for bar in axes.patches}
    assert bars == {6000: 2, 18000: 1, 120000: 7}
    assert axes.get_xlabel() == "age in steps"
    assert [line.get_label() for line in axes.lines] == ["median (120000)"]
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y0 >= axes.get_window_extent().y1


def test_ages_of_many_kinds_are_binned_and_none_is_lost() -> None:
    ages = np.random.default_rng(0).integers(0, 100_000, 5000)
    starts, counts, width, unit = age_bars(ages)
    assert unit == 1
    assert starts.size <= 40
    assert counts.sum() == 5000
    for start, count in zip(starts, counts, strict=True):
        assert count == np.count_nonzero((start <= ages) & (ages < start + width))
    (axes,) = age_histogram(EdgeAges("epochs", ages)).axes
    assert [bar.get_height() for bar in axes.patches] == counts.tolist()
    # Multiples of 7 stay together: a bar holds a whole number of them.
    assert age_bars(7 * ages)[2] % 7 == 0


@pytest.mark.parametrize("age", [0, 1, 120_000])
def test_equal_ages_are_one_bar_within_the_axes(age: int) -> None:
    (axes,) = drawn(age_histogram(EdgeAges("epochs", np.full(3, age)))).axes
    (bar,) = axes.patches
    low, high = axes.get_xlim()
    assert low <= bar.get_x() < bar.get_x() + bar.get_width() <= high
    assert bar.get_x() + 0.5 * bar.get_width() == pytest.approx(age)


def test_plane_has_one_path_or_the_end_by_itself() -> None:
    points = small_worlds()
    whole = lines(drawn(training_plane(points, "layer 0")), 0)
    assert whole["layer 0"].get_xdata().size == 3
    figure = drawn(training_plane(points, "layer 0", is_cut=True))
    path = lines(figure, 0)
    assert path["layer 0"].get_xdata() == pytest.approx(whole["layer 0"].get_xdata()[:2])
    assert path[f"layer 0, {CUT_LABEL}"].get_xdata() == pytest.approx(whole["layer 0"].get_xdata()[2:])
    assert path[RANDOM_LABEL].get_xdata().size == 2
    assert {"0", "1", "2"} <= {text.get_text() for text in figure.axes[1].texts}


def test_plane_is_drawn_where_the_end_is_not_defined() -> None:
    points = small_worlds() | {3: NO_PATHS}
    assert lines(training_plane(points, "layer 0", is_cut=True), 0)["layer 0"].get_xdata().size == 3


def test_courses_are_the_trajectories() -> None:
    figure = drawn(measure_courses(evolution(), "layer 0"))
    names = headline_quantities(evolution(), "layer 0")
    assert names[:4] == ("edges", "source_degree_cv", "target_degree_cv", "average_path_length")
    assert [axes.get_title() for axes in figure.axes[: len(names)]] == [name.replace("_", " ") for name in names]
    for panel, name in enumerate(names):
        line = lines(figure, panel)[name]
        expected = [quantity.value for quantity in evolution().trajectory("layer 0", name).values]
        assert line.get_ydata() == pytest.approx(expected)
    assert lines(figure, 1)["source_degree_cv"].get_marker() != lines(figure, 2)["target_degree_cv"].get_marker()


def test_chosen_courses_and_those_of_the_network() -> None:
    figure = measure_courses(evolution(), "network", ["degree_max"])
    assert [axes.get_title() for axes in figure.axes] == ["degree max"]
    assert headline_quantities(evolution(), "network")[:2] == ("edges", "degree_cv")
    assert headline_quantities(evolution(), "nowhere") == ()


def test_measures_without_headline_are_shown_too_and_those_without_value_are_not() -> None:
    graph = random_graph(12, 9, 40, 0)
    followed = evolve([(0, graph), (1, graph)], measures=("persistence", "reachability"))
    assert headline_quantities(followed, "layer 0") == ("dead_sources", "dead_targets")
    text = drawn(measure_courses(followed, "layer 0", ["neural_persistence"])).axes[0].texts[0].get_text()
    assert text.startswith("not defined: ")


def test_headlines_are_measured_and_few_are_shown() -> None:
    measures = ("degree", "clustering", "community", "core", "mixing", "nestedness", "opsahl", "paths", "power_law",
                "reachability", "spectral")  # fmt: skip
    followed = evolve([(0, [random_graph(30, 20, 150, 0), random_graph(20, 10, 60, 1)])], measures=measures)
    assert set(HEADLINES) <= {trajectory.name for trajectory in followed.trajectories}
    assert len(headline_quantities(followed, "layer 0")) == MAX_QUANTITIES


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: layer_changes(evolution(), 2), "layer is 2; an integer from 0 to 1 is needed"),
        (lambda: layer_changes(evolution(), -1), "layer is -1"),
        (lambda: age_histogram(EdgeAges("steps", np.zeros(0, dtype=np.int64))), "ages is empty"),
        (lambda: training_plane({}, "layer 0"), "no point that is defined"),
        (lambda: training_plane({0: NO_PATHS, 1: NO_PATHS}, "layer 0", is_cut=True), "no point that is defined"),
        (lambda: measure_courses(evolution(), "nowhere"), "section 'nowhere' has no quantity"),
        (lambda: measure_courses(evolution(), "layer 0", []), "has no quantity"),
        (lambda: measure_courses(evolution(), "layer 0", ["nope"]), "trajectory layer 0/nope is unknown"),
    ],
)
def test_bad_pictures(draw: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        draw()
