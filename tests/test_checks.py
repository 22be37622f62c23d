"""Checks of single arguments: the value in its own type, or a sentence."""

from typing import Any

import numpy as np
import pytest

from netsci_nn import ConfigError, TopologyError
from netsci_nn.checks import as_generator, check_count, check_real, density_per_layer, one_per_layer


def test_as_generator() -> None:
    rng = np.random.default_rng(3)
    assert as_generator(rng) is rng
    assert as_generator(np.int64(3)).random() == as_generator(3).random() == np.random.default_rng(3).random()
    for bad in (None, -1, True, 1.0, "3", np.random):
        with pytest.raises(ConfigError, match=r"rng is .*; it must be an integer seed >= 0"):
            as_generator(bad)


def test_one_per_layer() -> None:
    assert one_per_layer("generator", "erdos_renyi", 2) == ["erdos_renyi", "erdos_renyi"]
    assert one_per_layer("density", np.array([0.1, 0.2]), 2) == one_per_layer("density", (0.1, 0.2), 2) == [0.1, 0.2]
    assert one_per_layer("density", np.array(0.5), 2) == [0.5, 0.5]
    with pytest.raises(ConfigError, match=r"density is \[0\.1\]; it must be one value or one for each of the 2 layers"):
        one_per_layer("density", [0.1], 2)


@pytest.mark.parametrize(
    ("density", "message"), [(2, r"density is 2; it must be a number in \(0, 1\]"), ([0.5, 2], r"density\[1\] is 2; it must")]
)
def test_density_per_layer_names_the_entry(density: Any, message: str) -> None:
    assert density_per_layer(0.5, 2) == density_per_layer([0.5, 0.5], 2) == [0.5, 0.5]
    with pytest.raises(TopologyError, match=message):
        density_per_layer(density, 2)


@pytest.mark.parametrize("value", [True, np.True_, 1.0, "1", None, -1, 6], ids=repr)
def test_check_count_says_what_is_allowed(value: Any) -> None:
    assert check_count("n", np.int8(5), 0, 5) == 5
    with pytest.raises(TopologyError, match=r"n is .*; it must be an integer from 0 to n_in = 5$"):
        check_count("n", value, 0, 5, "n_in")


@pytest.mark.parametrize("value", [True, np.True_, "1", None, np.nan, np.inf, 10**400, 2, 1j], ids=range(9))
def test_check_real_says_what_is_allowed(value: Any) -> None:
    assert check_real("p", np.float32(0.5), lambda number: number <= 1, "up to 1") == 0.5
    with pytest.raises(TopologyError, match=r"p is .*; it must be a number up to 1$"):
        check_real("p", value, lambda number: number <= 1, "up to 1")
