"""Checks of single arguments: each returns the value in its own type, or raises an error that says what is allowed."""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from netsci_nn.errors import TopologyError

MAX_NEURONS = 2**31 - 1


def check_density(name: str, density: float) -> float:
    """Return `density` as a float after checking that it lies in (0, 1]."""
    return check_real(name, density, lambda value: 0 < value <= 1, "in (0, 1]")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise a TopologyError unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise TopologyError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}")


def check_count(name: str, value: int, lowest: int, highest: int | None = None) -> int:
    """Return `value` as an int after checking that it is a whole number from `lowest` to `highest`."""
    try:
        count = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        count = None
    if count is None or count < lowest or (highest is not None and count > highest):
        allowed = f">= {lowest}" if highest is None else f"from {lowest} to {highest}"
        raise TopologyError(f"{name} is {value!r}; it must be an integer {allowed}")
    return count


def neuron_count(name: str, value: int) -> int:
    """Return `value` as an int after checking that it is a possible number of neurons (1 to 2^31 - 1)."""
    return check_count(name, value, 1, MAX_NEURONS)


def check_real(name: str, value: float, is_allowed: Any, allowed: str, error: type[ValueError] = TopologyError) -> float:
    """Return `value` as a float, or raise `error` saying that it must be a finite number that is `allowed`."""
    if (
        isinstance(value, (bool, np.bool_))
        or not isinstance(value, numbers.Real)
        or not math.isfinite(value)
        or not is_allowed(value)
    ):
        raise error(f"{name} is {value!r}; it must be a number {allowed}")
    return float(value)
