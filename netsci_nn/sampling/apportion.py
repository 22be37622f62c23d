"""Splitting a number into whole parts: nearly equal ones, or in proportion to shares by largest remainder."""

import math
from collections.abc import Sequence
from fractions import Fraction
from numbers import Rational

import numpy as np

from netsci_nn.checks import MAX_NEURONS, as_generator, check_count, check_real
from netsci_nn.errors import TopologyError, shown
from netsci_nn.sampling.arrays import whole_numbers
from netsci_nn.topology import ArrayLike, Float64Array, Int64Array, as_array

MAX_TOTAL, MAX_PARTS = 2**63 - 1, MAX_NEURONS


def even_borders(total: int, n_parts: int) -> Int64Array:
    """Return where each of `n_parts` consecutive, nearly equal parts of 0..total - 1 begins, and `total`: `[n_parts + 1]`."""
    n_parts = check_count("n_parts", n_parts, 1, MAX_PARTS)
    total = check_count("total", total, 0, MAX_TOTAL // n_parts)
    return np.arange(n_parts + 1, dtype=np.int64) * total // n_parts


def even_parts(total: int, n_parts: int) -> Int64Array:
    """Split `total` into `n_parts` integers that differ by at most one, the larger ones evenly spread: int64 `[n_parts]`."""
    total, n_parts = check_count("total", total, 0, MAX_TOTAL), check_count("n_parts", n_parts, 1, MAX_PARTS)
    whole, rest = divmod(total, n_parts)
    return whole + np.diff(even_borders(rest, n_parts))


def shuffled_parts(total: int, n_parts: int, rng: np.random.Generator) -> Int64Array:
    """Split `total` into `n_parts` integers that differ by at most one, in random order: int64 `[n_parts]`."""
    total, n_parts = check_count("total", total, 0, MAX_TOTAL), check_count("n_parts", n_parts, 1, MAX_PARTS)
    parts = np.full(n_parts, total // n_parts, dtype=np.int64)
    parts[: total % n_parts] += 1
    as_generator(rng).shuffle(parts)
    return parts


def largest_remainder(
    count: int, shares: Float64Array, caps: int | Int64Array, rng: np.random.Generator, *, multiplies_first: bool = False
) -> Int64Array:
    """Split `count` into integers proportional to `shares`, none above its cap; equal remainders are ranked at random.

    Entries whose quota reaches their cap keep it, and the rest is split again among the others, until nothing exceeds a cap.

    Args:
        count: at most the sum of the caps of positive shares.
        shares: float64 `[n_parts]`, >= 0.
        caps: the largest part, one number or int64 `[n_parts]`.
        rng: numpy Generator.
        multiplies_first: a quota is (count * share) / sum, or count * (share / sum), which neither overflows nor vanishes.
            The last digit differs, and it ranks remainders that are equal but for rounding: each caller keeps its order of
            operations, so that the edges of a seed stay what they are.

    Returns:
        int64 `[n_parts]` with the sum `count`.
    """
    shares = _shares(shares)
    caps = np.full(len(shares), check_count("caps", caps, 0)) if isinstance(caps, int) else whole_numbers("caps", caps)
    if len(caps) != len(shares):
        raise TopologyError(f"caps has {len(caps)} entries and shares {len(shares)}; they must be equally long")
    count = check_count("count", count, 0, int(caps[shares > 0].sum()), "the caps of positive shares")
    quota, is_open = np.zeros(len(shares)), shares > 0
    scaled = shares if multiplies_first else shares / shares.max()
    while is_open.any():
        remaining = count - int(quota[~is_open].sum())
        weight = scaled[is_open] if scaled[is_open].any() else np.ones(int(is_open.sum()))  # what underflowed shares evenly
        quota[is_open] = remaining * weight / weight.sum() if multiplies_first else remaining * (weight / weight.sum())
        is_full = is_open & (quota >= caps)
        if not is_full.any():
            break
        quota[is_full] = caps[is_full]
        is_open &= ~is_full
    parts = np.floor(quota).astype(np.int64)
    order = np.lexsort((as_generator(rng).random(len(shares)), parts - quota))
    order = order[(parts < caps)[order] & (shares > 0)[order]]
    parts[order[: count - int(parts.sum())]] += 1
    return parts


def exact_largest_remainder(count: int, shares: list[Fraction], caps: list[int]) -> list[int]:
    """Split `count` into integers proportional to `shares`, none above its cap; of equal remainders the first comes first.

    Args:
        count: at most the sum of `caps`.
        shares: >= 0.
        caps: the largest part of each.
    """
    for name, values in (("shares", shares), ("caps", caps)):
        if not isinstance(values, Sequence) or len(values) != len(shares):
            raise TopologyError(f"{name} is {shown(values)}; shares and caps must be lists of equal length")
    caps = [check_count(f"caps[{part}]", cap, 0) for part, cap in enumerate(caps)]
    count = check_count("count", count, 0, sum(caps), "the sum of caps")
    for part, share in enumerate(shares):
        check_real(f"shares[{part}]", share, lambda value: value >= 0, ">= 0")
    exact = [Fraction(share if isinstance(share, Rational) else float(share)) for share in shares]
    scale = count / (sum(exact, Fraction(0)) or 1)
    quotas = [min(share * scale, Fraction(cap)) for share, cap in zip(exact, caps, strict=True)]
    parts = [math.floor(quota) for quota in quotas]
    order = sorted(range(len(quotas)), key=lambda part: parts[part] - quotas[part])
    while (left := count - sum(parts)) > 0:
        for part in [part for part in order if parts[part] < caps[part]][:left]:
            parts[part] += 1
    return parts


def _shares(values: ArrayLike) -> Float64Array:
    """Return shares as float64 after checking that they are finite and >= 0."""
    array = as_array(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        raise TopologyError(f"shares has shape {array.shape} and dtype {array.dtype}; it must be a 1-D array of numbers")
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise TopologyError("shares must be finite and >= 0")
    return array.astype(np.float64, copy=False)
