"""Checks of single arguments: each returns the value in its own type, or raises one sentence that says what is allowed."""

import math
import numbers
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from netsci_nn.errors import ConfigError, TopologyError, shown

Rng = int | np.random.Generator

MAX_NEURONS = 2**31 - 1
LARGEST_SINGLE = 1e38  # a float32 holds it


def check_density(name: str, density: float) -> float:
    """Return `density` as a float after checking that it lies in (0, 1]."""
    return check_real(name, density, lambda value: 0 < value <= 1, "in (0, 1]")


def as_list(value: Any) -> list[Any] | None:
    """Return a sequence or an array as a list, or None if `value` is a single value (a text is one)."""
    values = value.tolist() if isinstance(value, np.ndarray) else value
    return list(values) if isinstance(values, Sequence) and not isinstance(values, (str, bytes)) else None


def one_per_layer(name: str, value: Any, n_layers: int, layers: str = "layers") -> list[Any]:
    """Return `n_layers` values: one for all layers repeated, or a sequence of them after checking its length."""
    values = as_list(value)
    if values is None:
        return [value] * n_layers
    if len(values) != n_layers:
        raise ConfigError(f"{name} is {shown(values)}; it must be one value or one for each of the {n_layers} {layers}")
    return values


def density_per_layer(density: Any, n_layers: int, layers: str = "layers") -> list[float]:
    """Return `n_layers` densities in (0, 1], from one for all layers or a sequence of them."""
    is_one = as_list(density) is None
    values = one_per_layer("density", density, n_layers, layers)
    return [check_density("density" if is_one else f"density[{i}]", value) for i, value in enumerate(values)]


def check_choice(name: str, value: str, choices: Sequence[str], error: type[ValueError] = TopologyError) -> None:
    """Raise `error` unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise error(f"{name} is {shown(value)}; it must be one of {', '.join(map(repr, choices))}")


def as_whole_number(value: Any) -> int | None:
    """Return `value` as an int if it is a whole number of any integer type, else None; True and False are none."""
    try:
        return None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        return None


def check_count(
    name: str,
    value: Any,
    lowest: int,
    highest: int | None = None,
    meaning: str = "",
    error: type[ValueError] = TopologyError,
) -> int:
    """Return `value` as an int after checking that it is a whole number from `lowest` to `highest`.

    Args:
        name: of the argument.
        value: what was given.
        lowest: the smallest number allowed.
        highest: the largest; None for no limit.
        meaning: what `highest` is, for the message, for example "n_in * n_out".
        error: what is raised.
    """
    count = as_whole_number(value)
    if count is None or count < lowest or (highest is not None and count > highest):
        limit = f"{meaning} = {highest}" if meaning else highest
        allowed = f">= {lowest}" if highest is None else f"from {lowest} to {limit}"
        raise error(f"{name} is {shown(value)}; it must be an integer {allowed}")
    return count


def neuron_count(name: str, value: int) -> int:
    """Return `value` as an int after checking that it is a possible number of neurons (1 to 2^31 - 1)."""
    return check_count(name, value, 1, MAX_NEURONS)


def check_real(name: str, value: Any, is_allowed: Any, allowed: str, error: type[ValueError] = TopologyError) -> float:
    """Return `value` as a float, or raise `error` saying that it must be a finite number that is `allowed`."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    try:
        number = float(value) if is_number else math.nan
    except OverflowError:  # an integer beyond all floats
        number = math.inf
    if not (math.isfinite(number) and is_allowed(number)):
        raise error(f"{name} is {shown(value)}; it must be a number {allowed}")
    return number


def as_generator(rng: Rng) -> np.random.Generator:
    """Return `rng` itself if it is a numpy Generator, or a new one seeded with it if it is an int >= 0."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(int(rng))
    raise ConfigError(f"rng is {shown(rng)}; it must be an integer seed >= 0 or a numpy.random.Generator")


def is_iterable(value: Any) -> bool:
    """Whether a loop can go over `value`; an array or a tensor without dimensions only looks like it."""
    return isinstance(value, Iterable) and getattr(value, "shape", None) != ()
