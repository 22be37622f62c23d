"""Checks of what a user passes: whole numbers in a range, and seeds."""

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from analysis.base.errors import AnalysisError


def shown(value: Any) -> str:
    """What a message shows of a value: its `repr`, or its size if it is an integer that Python does not turn into text."""
    try:
        return repr(value)
    except ValueError:
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"


def as_real(value: Any) -> float:
    """A real number as a float; nan for what is none (a boolean is none) or is too large."""
    try:
        return float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan


def is_whole(value: Any, at_least: int, at_most: int | None = None) -> bool:
    """Whether the value is an integer (not a boolean) in the range, both ends included."""
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_integer and at_least <= value and (at_most is None or value <= at_most)


def check_count(name: str, value: Any, at_least: int = 1, at_most: int | None = None, note: str = "") -> int:
    """Return the value as an int, or raise an AnalysisError that names it, its value and the allowed range."""
    if not is_whole(value, at_least, at_most):
        allowed = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        raise AnalysisError(f"{name} is {shown(value)}; an integer {allowed}{note and f' {note}'} is needed")
    return int(value)


def as_generator(rng: int | np.random.Generator) -> np.random.Generator:
    """Return a new generator for a seed (an integer of at least 0); a generator is returned as it is.

    The same seed gives the same numbers on every platform; nothing here draws from a global generator.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if not is_whole(rng, 0):
        raise AnalysisError(f"rng is {shown(rng)}; a seed (an integer of at least 0) or a numpy.random.Generator is needed")
    return np.random.default_rng(int(rng))


def is_iterable(value: Any) -> bool:
    """Whether a loop can go over `value`; an array or a tensor without dimensions only looks like it."""
    return isinstance(value, Iterable) and getattr(value, "shape", None) != ()
