"""Permutation tests: an observed value against the replicates of a null model."""

import math
from collections.abc import Sequence

import numpy as np
import scipy

from analysis.base.quantity import Quantity
from analysis.graph.arrays import FloatArray
from analysis.report.values import NullComparison

_TIE = 1e-12


def permutation_p(observed: float, replicates: FloatArray) -> float:
    """Two-sided permutation p-value, (1 + r) / (1 + B), in [1 / (1 + B), 1].

    r counts the replicates that lie at least as far as the observed value from the mean of all B + 1 values. That
    centre treats all of them alike, so under the null, where they are exchangeable, the p-value is exact: P(p <= a) <=
    a for every a. (Phipson and Smyth 2010, "Permutation P-values should never be zero", Statistical Applications in
    Genetics and Molecular Biology 9, 39.) Distances that differ by less than 1e-12 of the largest magnitude count as equal.

    >>> permutation_p(10.0, np.array([0.0, 1.0, -1.0]))
    0.25
    """
    values, _ = _scaled(np.append(replicates, observed))
    distances = np.abs(values - values.mean())
    tolerance = _TIE * np.abs(values).max()
    return float((1 + np.count_nonzero(distances[:-1] >= distances[-1] - tolerance)) / values.size)


def _scaled(values: FloatArray) -> tuple[FloatArray, int]:
    """Values times a power of 2 that takes the largest magnitude to [0.5, 1), so that sums and squares stay in range."""
    _, exponent = math.frexp(float(np.abs(values).max()))
    return np.ldexp(values, -exponent), exponent


def _times_power(number: float, exponent: int) -> float:
    """The number times 2^exponent; infinity beyond the largest number."""
    try:
        return math.ldexp(number, exponent)
    except OverflowError:
        return math.copysign(math.inf, number)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def one_sided_p(observed: float, replicates: FloatArray) -> tuple[float, float]:
    """One-sided permutation p-values (p_greater, p_less), (1 + r) / (1 + B), exact under the null as `permutation_p`.

    r counts the replicates that are at least, at most the observed value; values that differ by less than 1e-12 of the largest
    magnitude count as equal, that is on both sides.
    """
    tolerance = _TIE * max(abs(observed), float(np.abs(replicates).max(initial=0.0)))
    greater = np.count_nonzero(replicates >= observed - tolerance)
    less = np.count_nonzero(replicates <= observed + tolerance)
    return (1 + int(greater)) / (1 + replicates.size), (1 + int(less)) / (1 + replicates.size)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's q-values: the smallest false discovery rate at which each would be called a discovery.

    Benjamini and Hochberg (1995), "Controlling the false discovery rate", Journal of the Royal Statistical Society B 57,
    289-300. The rate is controlled for independent and for positively dependent p-values.
    """
    return np.asarray(scipy.stats.false_discovery_control(p_values, method="bh")).tolist() if len(p_values) else []


def compare_with_replicates(observed: Quantity, replicates: Sequence[Quantity]) -> NullComparison:
    """Mean, spread, z and p of one quantity; replicates in which it is not defined are left out and counted."""
    values = np.array([quantity.value for quantity in replicates if quantity.value is not None], dtype=np.float64)
    missing = len(replicates) - values.size
    note = f"not defined in {missing} of {len(replicates)} replicates" if missing else None
    if values.size == 0:
        return NullComparison("not defined", reason=note)
    scaled, exponent = _scaled(values)
    centre, spread = float(scaled.mean()), float(scaled.std(ddof=1)) if values.size > 1 else None
    # The deviation of equal values is rounding error, not spread.
    if spread is not None and spread <= _TIE * float(np.abs(scaled).max()):
        spread = 0.0
    mean, sd = (None if number is None else _finite(_times_power(number, exponent)) for number in (centre, spread))
    if observed.value is None:
        missing_value = f"the observed value is not defined: {observed.reason}"
        return NullComparison("compared", values.size, mean, sd, reason=missing_value, replicate_values=values)
    z = _finite((_times_power(observed.value, -exponent) - centre) / spread) if spread else None
    p, (p_greater, p_less) = permutation_p(observed.value, values), one_sided_p(observed.value, values)
    values.flags.writeable = False
    return NullComparison(
        "compared", values.size, mean, sd, z, p, note, p_greater=p_greater, p_less=p_less, replicate_values=values
    )
