"""Histograms of null models: replicates, the observed value and the control."""

from typing import Any

import numpy as np
import pytest
from picture_examples import drawn

from analysis.base.errors import AnalysisError
from analysis.render.pictures.nulls import null_histograms
from analysis.report.permutation import permutation_p


def test_histograms_show_replicates_observed_and_control() -> None:
    rng = np.random.default_rng(0)
    draws = {"erdos_renyi": rng.normal(size=99), "fixed_degrees": rng.normal(3.0, 1.0, 49)}
    figure = drawn(null_histograms({"C": 2.0}, {"C": draws}, control={"C": 0.5}))
    hatches = set()
    for axes, values in zip(figure.axes, draws.values(), strict=True):
        assert axes.get_title().endswith(f"B = {values.size}, p = {permutation_p(2.0, values):.3g}")
        positions = {str(line.get_label()): line.get_xdata()[0] for line in axes.lines}
        assert positions == {"observed (2)": 2.0, "control (0.5)": 0.5}
        bars = axes.patches[0]
        assert weight(axes) == pytest.approx(1.0)
        assert bars.get_path().vertices[:, 1].max() == pytest.approx(
            np.histogram(values, len_bins(values))[0].max() / values.size
        )
        hatches.add(bars.get_hatch())
    assert len(hatches) == 2


def weight(axes: Any) -> float:
    """Sum of the heights of the bars: the area of their outline, divided by the width of a bar."""
    x, y = axes.patches[0].get_path().vertices.T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    return float(area / np.diff(np.unique(x)).mean())


def test_legends_of_histograms_lie_below_their_panels_and_inside_the_picture() -> None:
    names = ["average path length", "robins alexander clustering", "barber modularity"]
    draws = {name: {"erdos_renyi": [0.1, 0.2, 0.3], "fixed_degrees": [0.1, 0.2, 0.3]} for name in names}
    figure = drawn(null_histograms(dict.fromkeys(names, 0.12345), draws, control=dict.fromkeys(names, 123.45)))
    shown = figure.axes[:6]
    boxes = [axes.get_legend().get_window_extent() for axes in shown]
    for axes, box in zip(shown, boxes, strict=True):
        assert box.y1 < axes.get_window_extent().y0
        assert 0.0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert box.y0 > -1.0
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            "observed (0.1235)",
            "control (123.5, far right)",
        ]
    for index, box in enumerate(boxes):
        others = [*boxes[:index], *boxes[index + 1 :], *(axes.get_window_extent() for axes in shown)]
        assert not any(box.overlaps(other) for other in others)


def len_bins(values: Any) -> int:
    return int(np.clip(np.sqrt(values.size), 4, 25))


def test_histograms_of_equal_values_and_of_a_far_control() -> None:
    figure = drawn(null_histograms({"a": 1.0, "b": 0.0}, {"a": {"x": [2.0, 2.0]}, "b": {"x": [0.0]}}, control={"a": 1e6}))
    assert any("far right" in str(line.get_label()) for line in figure.axes[0].lines)
    assert figure.axes[0].get_xlim()[1] < 10.0


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: null_histograms({}, {}), "observed is empty"),
        (lambda: null_histograms({"a": 1.0}, {"b": {"x": [1.0]}}), "do not match: a, b"),
        (lambda: null_histograms({"a": 1.0}, {"a": {}}), r"replicates\['a'\] is empty"),
        (lambda: null_histograms({"a": np.nan}, {"a": {"x": [1.0]}}), r"observed\['a'\]"),
        (lambda: null_histograms({"a": 1.0}, {"a": {"x": [np.inf]}}), r"replicates\['a'\]\['x'\]"),
        (lambda: null_histograms({"a": 1.0}, {"a": {"x": ["no"]}}), "not a vector of numbers"),
    ],
)
def test_bad_pictures(draw: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        draw()
