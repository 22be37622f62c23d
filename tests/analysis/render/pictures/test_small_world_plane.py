"""The small-world plane shows its points and references, and nothing in it covers another thing."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from bipartite_examples import from_edges, random_graph, ring_lattice
from matplotlib.text import Text
from picture_examples import drawn, lines

from analysis import AnalysisError, SmallWorld, small_world
from analysis.render.pictures.small_world_plane import (
    LATTICE_LABEL,
    OWN_LABEL,
    RANDOM_LABEL,
    REPLICATE_LABEL,
    PlanePoint,
    plane_point,
    small_world_plane,
)
from analysis.render.pictures.style import label_points, panels


@cache
def small_worlds() -> dict[int, SmallWorld]:
    return {epoch: small_world(graph, 0, 3) for epoch, graph in enumerate([ring_lattice(40, 5), random_graph(40, 40, 200, 0)])}


def test_small_world_plane_has_points_and_references() -> None:
    points = small_worlds()
    figure = drawn(small_world_plane({"run": points}))
    for panel in (0, 1):
        path = lines(figure, panel)
        x, y = path["run"].get_data()
        for index, point in enumerate(points.values()):
            assert point.path_length.value is not None
            assert point.clustering.value is not None
            assert x[index] == pytest.approx(point.path_length.value / point.fixed_degrees.path_length.value)
            assert y[index] == pytest.approx(point.clustering.value / point.clustering_lattice.value)
        last = points[1]
        ratio = last.path_length_lattice.value / last.fixed_degrees.path_length.value  # type: ignore[operator]
        assert path[LATTICE_LABEL].get_data() == (pytest.approx([ratio]), pytest.approx([1.0]))
        assert path[RANDOM_LABEL].get_xdata() == pytest.approx([1.0])
        assert path[REPLICATE_LABEL].get_xdata().size == 3
        first = points[0]
        mean = first.fixed_degrees.clustering.value / first.clustering_lattice.value  # type: ignore[operator]
        assert path[OWN_LABEL].get_data() == (pytest.approx([1.0]), pytest.approx([mean]))
    assert {"0", "1"} <= {text.get_text() for text in figure.axes[1].texts}


def test_plane_is_titled_by_what_it_shows_and_takes_points() -> None:
    points = small_worlds()
    first = drawn(small_world_plane({"run": points}))
    assert first.axes[1].get_title() == "near the path"
    alone = drawn(small_world_plane({"layer 0": {"observed": plane_point(points[1])}}))
    assert alone.axes[1].get_title() == "near the point"
    assert OWN_LABEL not in lines(alone, 0)
    assert drawn(small_world_plane({"a": {0: points[0]}, "b": {1: points[1]}})).axes[1].get_title() == "near the points"
    again = drawn(small_world_plane({"run": {epoch: plane_point(point) for epoch, point in points.items()}}))
    for panel in (0, 1):
        assert np.array_equal(lines(first, panel)["run"].get_data(), lines(again, panel)["run"].get_data())


def test_no_line_crosses_the_words_small_worlds() -> None:
    figure = drawn(small_world_plane({"run": small_worlds()}))
    plane = figure.axes[0]
    (words,) = [text for text in plane.texts if text.get_text() == "small worlds"]
    box, corner = words.get_window_extent(), plane.transData.transform((1.0, 1.0))
    assert box.x0 > corner[0]
    assert box.y0 > corner[1]
    assert box.y1 < plane.get_window_extent().y1


def test_names_of_points_cover_neither_points_nor_one_another() -> None:
    figure, (axes,) = panels(1, 1, (4.0, 4.0))
    axes.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0))
    drawn(figure)
    cloud = np.random.default_rng(0).uniform([0.5, 0.5], [1.0, 0.7], (300, 2))
    label_points(axes, [("observed", 0.5, 0.5, "black"), ("control", 0.5, 0.5, "black")], cloud)
    drawn(figure)
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the leader
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])
    dots = axes.transData.transform(cloud)
    assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for box in boxes for x, y in dots)


def test_small_world_series_differ_in_line_and_marker() -> None:
    figure = small_world_plane({"a": small_worlds(), "b": {1: small_worlds()[1]}})
    a, b = lines(figure, 0)["a"], lines(figure, 0)["b"]
    assert a.get_linestyle() != b.get_linestyle()
    assert a.get_marker() != b.get_marker()


UNDEFINED = {0: small_world(from_edges(3, 3, [(0, 0), (1, 1), (2, 2)]), 0, 1)}
NO_CLOUD = (np.empty(0), np.empty(0))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: small_world_plane({}), "series is empty"),
        (lambda: small_world_plane({"a": {}}), "no point that is defined"),
        (lambda: small_world_plane({"a": UNDEFINED}), r"no point that is defined \(there is no path of length 3"),
        (lambda: PlanePoint(0.1, 2.0, (0.0, 3.0), (0.1, 2.0), NO_CLOUD), "lattice with these degrees has no clustering"),
        (lambda: PlanePoint(0.1, 2.0, (0.5, 3.0), (0.1, 0.0), NO_CLOUD), "no path length above 0"),
        (lambda: PlanePoint(0.1, 2.0, (0.5, 3.0), (0.1, 2.0), (np.ones(2), np.ones(1))), "not defined in the same replicates"),
    ],
)
def test_bad_pictures(draw: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        draw()
