"""One measured number: a value, perhaps with a standard error, or the reason why there is none."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """A finite number, or "not defined" with a reason; never a nan that somebody has to guess about.

    Attributes:
        value: the number, or None if it is not defined.
        standard_error: of an estimate from a sample; None for an exact value.
        reason: why the value is not defined; None if it is.
    """

    value: float | None
    standard_error: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        assert (self.value is None) == (self.reason is not None)
        assert self.value is None or math.isfinite(self.value)


Quantities = Mapping[str, Quantity]


def defined(value: float, standard_error: float | None = None) -> Quantity:
    """A quantity with this value; "not defined" if it is not finite.

    >>> defined(0.5)
    Quantity(value=0.5, standard_error=None, reason=None)
    """
    number = float(value)
    if not math.isfinite(number):
        return undefined(f"the computation gave {number}")
    return Quantity(number, None if standard_error is None else float(standard_error))


def undefined(reason: str) -> Quantity:
    """A quantity without a value; the reason is a clause that can follow "not defined"."""
    return Quantity(None, reason=reason)
