"""Wiring length of a layer whose sources are the pixels of an image: how local receptive fields are."""

import numpy as np

from analysis.base.checks import is_whole
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantities, defined, undefined
from analysis.graph.arrays import FloatArray, LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import takes_any_graph
from analysis.measures.degree import gini
from analysis.measures.measure import Measure

NAME = "wiring"


@takes_any_graph
def field_sizes_and_radii(graph: BipartiteGraph, image_shape: tuple[int, int]) -> tuple[LongArray, FloatArray]:
    """Size |F| and squared radius r^2 (in squared pixels) of every receptive field, both of shape [n_out].

    The receptive field of a target is the set F of pixels that it is joined to; its radius is the root mean square
    distance from their centroid c: r^2 = 1/|F| sum_{x in F} |x - c|^2, 0 for an empty field. The mean squared distance of two
    different pixels of the field is 2 r^2 |F| / (|F| - 1). Source = row * width + column; an AnalysisError if `image_shape`,
    (height, width), does not have the product n_in.
    """
    _, width = _checked_shape(graph, image_shape)
    sizes = np.maximum(graph.in_degrees, 1)
    radii = np.zeros(graph.n_out)
    for coordinate in np.divmod(graph.src.astype(np.int64), width):
        sums = np.bincount(graph.dst, coordinate, minlength=graph.n_out)
        squares = np.bincount(graph.dst, coordinate**2, minlength=graph.n_out)
        # Sums of integers are exact, so equal coordinates have a variance of exactly 0.
        radii += (sizes * squares - sums**2) / sizes**2
    return graph.in_degrees, radii


def _checked_shape(graph: BipartiteGraph, image_shape: tuple[int, int]) -> tuple[int, int]:
    is_pair = isinstance(image_shape, tuple | list) and len(image_shape) == 2
    are_sizes = is_pair and all(is_whole(size, 1) for size in image_shape)
    if not are_sizes or int(image_shape[0]) * int(image_shape[1]) != graph.n_in:
        raise AnalysisError(f"image_shape is {image_shape!r}; a height and a width whose product is {graph.n_in} are needed")
    return int(image_shape[0]), int(image_shape[1])


def expected_squared_radii(sizes: LongArray, image_shape: tuple[int, int]) -> FloatArray:
    """Expected squared radius of a field of f pixels drawn uniformly without replacement: (1 - 1/f) n / (n - 1) sigma^2.

    Here n = height * width, and sigma^2 = (height^2 - 1) / 12 + (width^2 - 1) / 12 is the squared radius of the whole image.
    Exact: the sample variance with the divisor f - 1 has the mean n / (n - 1) sigma^2 in each coordinate (Cochran, Sampling
    Techniques, 3rd ed. 1977, theorem 2.4). 0 for fields of 0 or 1 pixel.
    """
    height, width = image_shape
    n = height * width
    whole = (height**2 - 1) / 12 + (width**2 - 1) / 12
    return (1.0 - 1.0 / np.maximum(sizes, 1)) * whole * (n / max(n - 1, 1))


@takes_any_graph
def wiring_length(graph: BipartiteGraph, image_shape: tuple[int, int]) -> Quantities:
    """How far the pixels that a target sees lie apart, against random fields of the same sizes.

    Args:
        graph: one layer; its sources are pixels, row after row (source = row * width + column).
        image_shape: (height, width), whose product is n_in.

    Returns:
        Over the targets with at least 2 pixels: `field_radius_mean`, the mean radius in pixels;
        `field_squared_radius_mean`, in squared pixels; `field_squared_radius_expected`, its exact mean for uniformly
        random fields of the same sizes; `field_squared_radius_ratio`, the former divided by the latter, at least 0: 1 for
        random wiring, below 1 for local wiring. Over all targets: `field_size_gini` in [0, 1). Not defined if no target sees 2
        pixels.

    Raises:
        AnalysisError: `image_shape` does not fit.
    """
    sizes, squared = field_sizes_and_radii(graph, image_shape)
    wide = sizes >= 2
    if wide.any():
        mean = squared[wide].mean()
        expected = expected_squared_radii(sizes[wide], image_shape).mean()
        values = (np.sqrt(squared[wide]).mean(), mean, expected, mean / expected)
        quantities = [defined(value) for value in values]
    else:
        quantities = [undefined("no target has 2 sources or more")] * 4
    names = ("field_radius_mean", "field_squared_radius_mean", "field_squared_radius_expected", "field_squared_radius_ratio")
    return {**dict(zip(names, quantities, strict=True)), "field_size_gini": gini(sizes)}


def wiring_measure(graph: BipartiteGraph, image_shape: tuple[int, int]) -> Measure:
    """`wiring_length` as a measure of a first layer, for a report; it is in no registry, as it needs the image's shape."""
    shape = _checked_shape(graph, image_shape)
    kept = {"fixed_degrees": frozenset({"field_squared_radius_expected", "field_size_gini"})}
    return Measure(NAME, lambda layer, rng: wiring_length(layer, shape), fixed_by=kept)
