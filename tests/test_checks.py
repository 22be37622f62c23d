"""Checks of single arguments: the value in its own type, or a sentence."""

import numpy as np
import pytest

from netsci_nn import ConfigError
from netsci_nn.checks import as_generator


def test_as_generator() -> None:
    rng = np.random.default_rng(3)
    assert as_generator(rng) is rng
    assert as_generator(np.int64(3)).random() == as_generator(3).random() == np.random.default_rng(3).random()
    for bad in (None, -1, True, 1.0, "3", np.random):
        with pytest.raises(ConfigError, match=r"rng is .*; it must be an integer seed >= 0"):
            as_generator(bad)
