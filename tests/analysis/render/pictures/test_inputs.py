"""Maps of inputs: degrees, strengths and receptive fields, laid out as the image."""

from typing import Any

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, random_graph, weighted
from picture_examples import drawn

from analysis.base.errors import AnalysisError
from analysis.measures.wiring_length import field_sizes_and_radii
from analysis.render.pictures.inputs import (
    field_centroids,
    first_layer_maps,
    input_degree_map,
    input_strength_map,
    receptive_field_map,
)


def test_first_layer_maps_show_strengths_and_fields() -> None:
    graph = weighted(random_graph(12, 6, 30, seed=0), seed=1)
    assert graph.weights is not None
    figures = first_layer_maps({"before": graph, "after": graph}, (3, 4))
    assert list(figures) == ["degree", "strength", "field"]
    pictures = [np.asarray(axes.images[0].get_array()) for axes in drawn(figures["strength"]).axes[:6]]
    net = np.bincount(graph.src, graph.weights, minlength=12).reshape(3, 4)
    assert pictures[0] - pictures[2] == pytest.approx(net)
    assert pictures[4] == pytest.approx(net)
    points = drawn(figures["field"]).axes[0].collections[0]
    sizes, squared = field_sizes_and_radii(graph, (3, 4))
    assert np.asarray(points.get_offsets())[:, ::-1] == pytest.approx(field_centroids(graph, (3, 4))[sizes > 0])
    assert np.asarray(points.get_array()) == pytest.approx(np.sqrt(squared[sizes > 0]))
    assert "strength" not in first_layer_maps({"a": random_graph(12, 6, 30, seed=0)}, (3, 4))


def test_centroids_by_hand() -> None:
    graph = from_edges(6, 3, [(0, 0), (5, 0), (4, 1)])
    centroids = field_centroids(graph, (2, 3))
    assert centroids[:2].tolist() == [[0.5, 1.0], [1.0, 1.0]]
    assert np.isnan(centroids[2]).all()


def test_input_maps_share_one_scale() -> None:
    figure = input_degree_map({"before": np.arange(6), "after": np.arange(6) * 2}, (2, 3))
    pictures = [axes.images[0] for axes in figure.axes if axes.images]
    assert [picture.get_clim() for picture in pictures[:2]] == [(0.0, 10.0)] * 2
    assert pictures[0].get_array().tolist() == [[0, 1, 2], [3, 4, 5]]


EMPTY = from_edges(12, 3, [])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: first_layer_maps({}, (3, 4)), "layers is empty"),
        (lambda: first_layer_maps({"a": complete(5, 2)}, (3, 4)), "image_shape is"),
        (lambda: receptive_field_map({"a": EMPTY}, (3, 4)), "has no edge"),
        (lambda: input_strength_map({"a": complete(12, 2)}, (3, 4)), "the graph has no weights"),
        (lambda: input_degree_map({}, (2, 2)), "degrees is empty"),
        (lambda: input_degree_map({"a": np.ones(5)}, (2, 2)), "needs a vector of 4"),
    ],
)
def test_bad_pictures(draw: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        draw()
