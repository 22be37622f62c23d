"""Schedules: a fraction of edges, or a density, that changes as training goes on.

A schedule is a function of progress: 0 when its time begins, 1 when it ends and from then on. Whoever asks it says when that
is, so the same schedule serves steps, epochs and rounds. All but `steps` go from `start` to `end` along a curve.
A new one is a curve in `CURVES` and a function under `@SCHEDULES.register("its_name")` that checks its parameters.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netsci_nn.checks import as_list, check_real
from netsci_nn.errors import ConfigError, shown
from netsci_nn.registry import Registry, check_parameters


@dataclass(frozen=True)
class Schedule:
    """A number in [0, 1] that changes with progress; functions such as `cosine` make one.

    Attributes:
        name: of the function that made it, in `SCHEDULES`.
        parameters: what it was called with, by name.
    """

    name: str
    parameters: tuple[tuple[str, Any], ...]

    def __call__(self, progress: float) -> float:
        """Return the value at a share of the schedule's time, a finite number; below 0 that of 0, above 1 that of 1."""
        progress = check_real("progress", progress, lambda _: True, "that is finite", ConfigError)
        return CURVES[self.name](min(max(progress, 0.0), 1.0), **dict(self.parameters))

    @property
    def is_constant(self) -> bool:
        """Whether the value never changes."""
        return self.name == "constant"

    @property
    def largest(self) -> float:
        """The largest value."""
        numbers = dict(self.parameters)
        return max(numbers["values"]) if "values" in numbers else max(numbers["start"], numbers.get("end", 0.0))

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.parameters)})"


SCHEDULES: Registry[Callable[..., Schedule]] = Registry("schedule")
CURVES: dict[str, Callable[..., float]] = {
    "constant": lambda progress, start: start,
    "linear": lambda progress, start, end: _between(start, end, 1 - progress),
    "cosine": lambda progress, start, end: _between(start, end, (1 + math.cos(math.pi * progress)) / 2),
    "inverse_power": lambda progress, start, end, power: _between(start, end, (1 - progress) ** power),
    "cubic": lambda progress, start, end: _between(start, end, (1 - progress) ** 3),
    "sigmoid": lambda progress, start, end, slope: _between(start, end, 1 - _logistic(progress, slope)),
    "steps": lambda progress, values, until: values[sum(progress >= place for place in until)],
}
LARGEST_POWER = 1e6


@SCHEDULES.register("constant")
def constant(start: float) -> Schedule:
    """Return a schedule that is always `start`, 0 to 1."""
    return Schedule("constant", (("start", _share("start", start)),))


@SCHEDULES.register("linear")
def linear(start: float, end: float = 0.0) -> Schedule:
    """Return a schedule that goes from `start` to `end`, both 0 to 1, at one speed."""
    return _from_to("linear", start, end)


@SCHEDULES.register("cosine")
def cosine(start: float, end: float = 0.0) -> Schedule:
    """Return a schedule that goes from `start` to `end`, both 0 to 1, along half a cosine: slowly, fast, slowly.

    Source: Evci et al. 2020, "Rigging the lottery", f(t) = start / 2 (1 + cos(pi t / T_end)).

    Example:
        >>> fraction = cosine(0.3)
        >>> fraction(0), round(fraction(0.5), 3), fraction(1), fraction(2)
        (0.3, 0.15, 0.0, 0.0)
    """
    return _from_to("cosine", start, end)


@SCHEDULES.register("inverse_power")
def inverse_power(start: float, end: float = 0.0, power: float = 3.0) -> Schedule:
    """Return a schedule with the value end + (start - end) (1 - progress)^power; start and end 0 to 1, power above 0 to 1e6.

    Source: Evci et al. 2020, appendix.
    """
    exponent = check_real("power", power, lambda value: 0 < value <= LARGEST_POWER, "above 0, up to 1e6", ConfigError)
    return _from_to("inverse_power", start, end, power=exponent)


@SCHEDULES.register("cubic")
def cubic(start: float, end: float) -> Schedule:
    """Return the schedule of gradual pruning, from density `start` to `end`, both 0 to 1: fast where much is redundant.

    Source: Zhu & Gupta 2017, "To prune, or not to prune": end + (start - end) (1 - progress)^3.

    Example:
        >>> density = cubic(1.0, 0.1)
        >>> [round(density(share / 4), 3) for share in range(5)]
        [1.0, 0.48, 0.213, 0.114, 0.1]
    """
    return _from_to("cubic", start, end)


@SCHEDULES.register("sigmoid")
def sigmoid(start: float, end: float, slope: float = 6.0) -> Schedule:
    """Return a schedule that follows a logistic curve around the middle, and reaches `start` and `end`, both 0 to 1, exactly.

    Args:
        start: value at the beginning.
        end: value at the end.
        slope: of the logistic function of 2 progress - 1, above 0 to 1e6.

    Source: Zhang et al. 2025, "Brain network science modelling of sparse neural networks" (CHTss), with slope 6.

    Example:
        >>> density = sigmoid(0.5, 0.01)
        >>> [round(density(share / 4), 3) for share in range(5)]
        [0.5, 0.478, 0.255, 0.032, 0.01]
    """
    steepness = check_real("slope", slope, lambda value: 0 < value <= LARGEST_POWER, "above 0, up to 1e6", ConfigError)
    return _from_to("sigmoid", start, end, slope=steepness)


@SCHEDULES.register("steps")
def steps(values: Sequence[float], until: Sequence[float]) -> Schedule:
    """Return a schedule that stays at each of some values until a share of its time is over.

    Args:
        values: n numbers, 0 to 1.
        until: n - 1 shares above 0 and below 1, rising: where the next value begins.

    Source: Yuan et al. 2021, "MEST", whose density is above its final one at first (elastic mutation).

    Example:
        >>> density = steps([0.15, 0.125, 0.1], until=[0.6, 0.9])
        >>> density(0.5), density(0.6), density(1)
        (0.15, 0.125, 0.1)
    """
    levels, places = as_list(values), as_list(until)
    if levels is None or places is None or len(levels) != len(places) + 1:
        raise ConfigError(f"values is {shown(values)} and until {shown(until)}; they must be n numbers and n - 1 shares")
    levels = [_share(f"values[{i}]", value) for i, value in enumerate(levels)]
    before = 0.0
    for i, place in enumerate(places):
        lowest = before
        places[i] = before = check_real(
            f"until[{i}]", place, lambda value, lowest=lowest: lowest < value < 1, f"above {lowest:g} and below 1", ConfigError
        )
    return Schedule("steps", (("values", tuple(levels)), ("until", tuple(places))))


def as_fraction(name: str, value: Any) -> Schedule:
    """Return the schedule of a fraction of edges.

    Args:
        name: for error messages.
        value: a schedule with values below 1; a number in (0, 1); or the name and the parameters of a schedule by name, as in
            an experiment file.

    Raises:
        ConfigError: if it is none of these.

    Example:
        >>> as_fraction("fraction", {"name": "cosine", "start": 0.3}) == cosine(0.3)
        True
    """
    schedule = _schedule(name, value)
    if not isinstance(schedule, Schedule):
        return constant(check_real(name, schedule, lambda number: 0 < number < 1, "in (0, 1), or a schedule", ConfigError))
    if schedule.largest >= 1:
        raise ConfigError(f"{name} is {schedule!r}, which reaches 1; a fraction must stay below")
    return schedule


def as_density(name: str, value: Any) -> Schedule:
    """Return the schedule of a density, in [0, 1]: a schedule, a number in (0, 1], or name and parameters of a schedule.

    Raises:
        ConfigError: if it is none of these.

    Example:
        >>> as_density("density", 0.5), as_density("density", {"name": "cubic", "start": 1.0, "end": 0.1})(1.0)
        (constant(start=0.5), 0.1)
    """
    schedule = _schedule(name, value)
    if isinstance(schedule, Schedule):
        return schedule
    return constant(check_real(name, schedule, lambda number: 0 < number <= 1, "in (0, 1], or a schedule", ConfigError))


def _schedule(name: str, value: Any) -> Any:
    """Return a schedule that is given by its name and parameters; other values as they are."""
    if not isinstance(value, Mapping):
        return value
    parameters = dict(value)
    factory = SCHEDULES[parameters.pop("name", None)]
    check_parameters(f"{name}: schedule {value['name']!r}", factory, parameters)
    try:
        return factory(**parameters)
    except TypeError as error:  # a parameter is missing
        raise ConfigError(f"{name}: schedule {error}") from None


def _from_to(name: str, start: float, end: float, **others: float) -> Schedule:
    return Schedule(name, (("start", _share("start", start)), ("end", _share("end", end)), *others.items()))


def _share(name: str, value: float) -> float:
    return check_real(name, value, _is_share, "from 0 to 1", ConfigError)


def _is_share(value: float) -> bool:
    return 0 <= value <= 1


def _between(start: float, end: float, share: float) -> float:
    """Return start for a share of 1 and end for one of 0, to the last bit."""
    return start * share + end * (1 - share)


def _logistic(progress: float, slope: float) -> float:
    """Return the logistic function of slope (2 progress - 1), stretched so that it is 0 at 0 and 1 at 1."""
    return (math.tanh(slope * (progress - 0.5)) / math.tanh(slope / 2) + 1) / 2
