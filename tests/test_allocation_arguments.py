"""What allocations refuse: densities, shapes, scores and budgets out of range."""

from typing import Any

import numpy as np
import pytest
import torch

from netsci_nn.allocation import (
    Allocation,
    er,
    er_epsilon,
    erk,
    explicit,
    global_scores,
    layer_shapes,
    uniform,
)
from netsci_nn.errors import ConfigError, TopologyError

LENET = [(784, 300), (300, 100), (100, 10)]
BAD_NUMBERS = [0, -0.5, 1.5, float("nan"), float("inf"), True, "0.1", None]


@pytest.mark.parametrize("density", BAD_NUMBERS, ids=repr)
def test_bad_density(density: Any) -> None:
    for method in (uniform, er, erk):
        with pytest.raises(TopologyError, match=r"density is .*; it must be a number in \(0, 1\]"):
            method(LENET, density)
    with pytest.raises(TopologyError, match=r"density is .*; it must be a number in \(0, 1\]"):
        global_scores([np.ones((2, 2))], density)
    with pytest.raises(TopologyError, match=r"densities\[1\] is .*; it must be a number in \(0, 1\]"):
        explicit(LENET, [0.1, density, 0.1])


@pytest.mark.parametrize("epsilon", [0, -1, float("nan"), float("inf"), True, "20", None], ids=repr)
def test_bad_epsilon(epsilon: Any) -> None:
    with pytest.raises(TopologyError, match=r"epsilon is .*; it must be a number in \(0, 2147483647\]"):
        er_epsilon(LENET, epsilon)


@pytest.mark.parametrize("power", [-1, float("nan"), float("inf"), True, "1"], ids=repr)
def test_bad_power(power: Any) -> None:
    with pytest.raises(TopologyError, match=r"power is .*; it must be a number >= 0 and finite"):
        erk(LENET, 0.1, power)


@pytest.mark.parametrize(
    ("shapes", "error", "message"),
    [
        ([], ConfigError, r"shapes is \[\]; it must be a sequence of at least one entry"),
        (5, ConfigError, r"shapes is 5; it must be a sequence"),
        ([784, 300], ConfigError, r"shapes\[0\] is 784; it must be \(n_in, n_out\) or \(n_in, n_out, kernel_height"),
        ([np.array(3)], ConfigError, r"shapes\[0\] is array\(3\); it must be \(n_in, n_out\) or"),
        ([(3, 4), (3, 4, 5)], ConfigError, r"shapes\[1\] is \(3, 4, 5\); it must be \(n_in, n_out\)"),
        (["ab"], TopologyError, r"shapes\[0\]\[0\] is 'a'; it must be an integer from 1"),
        ([(3, 4), (3, 0)], TopologyError, r"shapes\[1\]\[1\] is 0; it must be an integer from 1"),
        ([(3, 4.0)], TopologyError, r"shapes\[0\]\[1\] is 4\.0; it must be an integer"),
        ([(True, 4)], TopologyError, r"shapes\[0\]\[0\] is True"),
        ([(3, 4, 0, 3)], TopologyError, r"shapes\[0\]\[2\] is 0"),
        ([(3, float("nan"))], TopologyError, r"shapes\[0\]\[1\] is nan"),
    ],
)
def test_bad_shapes(shapes: Any, error: type[Exception], message: str) -> None:
    for method in (uniform, er, erk, er_epsilon):
        with pytest.raises(error, match=message):
            method(shapes, 0.5)
    with pytest.raises(error, match=message):
        explicit(shapes, [0.5])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1, 0.1], r"densities is \[0\.1, 0\.1\]; it must have one for each of the 3 layers"),
        ([], r"densities is \[\]; it must be a sequence of at least one"),
        (0.1, r"densities is 0\.1; it must be a sequence"),
    ],
)
def test_wrong_number_of_densities(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        explicit(LENET, values)


@pytest.mark.parametrize(
    ("layer_sizes", "error", "message"),
    [
        ([784], ConfigError, r"layer_sizes is \[784\]; it must have at least an input and an output size"),
        (784, ConfigError, "layer_sizes is 784; it must be a sequence"),
        ([784, 2.5], TopologyError, r"layer_sizes\[1\] is 2\.5; it must be an integer from 1"),
    ],
)
def test_bad_layer_sizes(layer_sizes: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        layer_shapes(layer_sizes)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scores": []}, ConfigError, r"scores is \[\]; it must be a sequence of at least one"),
        ({"scores": 3}, ConfigError, "scores is 3; it must be a sequence"),
        ({"scores": [[1, float("nan")]]}, TopologyError, r"scores\[0\] has nan at position 1; every score must be a number"),
        ({"scores": [[1.0], []]}, TopologyError, r"scores\[1\] is a list; it must be an array with a number for each"),
        ({"scores": [[1.0], ["a"]]}, TopologyError, r"scores\[1\] is a list; it must be an array"),
        ({"scores": [[[1.0], [1, 2]]]}, TopologyError, r"scores\[0\] is a list; it must be an array"),
        ({"scores": [[True, False]]}, TopologyError, r"scores\[0\] is a list; it must be an array"),
        ({"scores": [torch.ones(2, requires_grad=True)]}, TopologyError, r"scores\[0\] is a Tensor; it must be an array"),
        (
            {"scores": [[1, float("inf")]], "normalise": True},
            TopologyError,
            r"scores\[0\] has inf at position 1; every score must be finite to be normalised",
        ),
        ({"minimum": -1}, TopologyError, "minimum is -1; it must be an integer from 0"),
        ({"minimum": 1.0}, TopologyError, r"minimum is 1\.0; it must be an integer from 0"),
        ({"minimum": True}, TopologyError, "minimum is True; it must be an integer from 0"),
        (
            {"minimum": 3},
            TopologyError,
            r"minimum is 3, which takes 6 edges in 2 layers; density 0\.5 allows 4",
        ),
    ],
)
def test_bad_scores(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        global_scores(**{"scores": [np.ones((2, 2)), np.ones(4)], "density": 0.5, **arguments})


@pytest.mark.parametrize(
    ("cells", "n_edges", "error", "message"),
    [
        ((), (), ConfigError, r"sizes is \(\); it must be a sequence of at least one entry"),
        ((4, 4), (1,), ConfigError, "sizes has 2 entries and n_edges has 1; both need one for each layer"),
        ((4, 0), (1, 0), TopologyError, r"sizes\[1\] is 0; it must be an integer from 1"),
        ((4, 4), (1, 5), TopologyError, r"n_edges\[1\] is 5; it must be an integer from 0 to 4"),
        ((4,), (-1,), TopologyError, r"n_edges\[0\] is -1; it must be an integer from 0 to 4"),
        ((4,), (2.0,), TopologyError, r"n_edges\[0\] is 2\.0; it must be an integer"),
        ((4,), (True,), TopologyError, r"n_edges\[0\] is True; it must be an integer"),
    ],
)
def test_bad_allocation(cells: Any, n_edges: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Allocation(cells, n_edges)
