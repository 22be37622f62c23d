"""The largest of many numbers that come in blocks, one per pair of neurons, with the memory of a block."""

import numpy as np
import numpy.typing as npt

from netsci_nn.compiling import njit
from netsci_nn.kernels.vector import LANES, above, load, lowest
from netsci_nn.topology import Int64Array

CHUNK = 64  # values that are compared with the threshold at once
SPARE = 4  # so many times the pairs asked for are kept before the smallest are thrown away


class Largest:
    """The largest absolute values seen so far, and their keys.

    Args:
        count: how many are kept, at least 1.
        threshold: what they are expected to exceed; nothing at or below it is kept.
        block: most values at a time.
        dtype: of the values, float32 or float64.
    """

    def __init__(self, count: int, threshold: float, block: int, dtype: type[np.floating]) -> None:
        self.count, self.threshold = count, dtype(threshold)
        self.places, self.sizes = np.empty(block, np.int32), np.empty(block, dtype)
        self.parts = [(np.empty(0, np.int64), np.empty(0, dtype))]

    def take(self, block: npt.NDArray[np.floating], first_key: int) -> None:
        """Look at the values of pairs whose keys follow each other; NaN stands for pairs that are not free."""
        size = _above(block.reshape(-1), self.threshold, self.places, self.sizes, LANES[CHUNK])
        self.parts.append((self.places[:size] + np.int64(first_key), self.sizes[:size].copy()))
        if sum(len(keys) for keys, _ in self.parts) > max(SPARE * self.count, len(self.places) // SPARE):
            self.shrink()

    def shrink(self) -> Int64Array:
        """Keep the largest, of equal ones those that came first, and return their keys, increasing."""
        keys, sizes = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        if len(keys) > self.count:
            self.threshold = np.partition(sizes, len(sizes) - self.count)[len(sizes) - self.count]
            keys, sizes = _kept(keys, sizes, self.threshold, self.count)
        self.parts = [(keys, sizes)]
        return keys


@njit(cache=True, nogil=True)
def _above(values, threshold, places, sizes, lanes):  # type: ignore[no-untyped-def]
    """Write places and sizes of the values above the threshold; return their number."""
    found, place = 0, 0
    while place + CHUNK <= len(values):
        bits = above(load(values, place, lanes), threshold)
        while bits != 0:
            chosen = place + lowest(bits)
            places[found], sizes[found] = chosen, abs(values[chosen])
            found += 1
            bits &= bits - np.uint64(1)
        place += CHUNK
    for chosen in range(place, len(values)):
        places[found], sizes[found] = chosen, abs(values[chosen])
        found += sizes[found] > threshold
    return found


@njit(cache=True, nogil=True)
def _kept(keys, sizes, threshold, count):  # type: ignore[no-untyped-def]
    """Return the entries above the threshold, and the first of those equal to it, `count` in all."""
    kept_keys, kept_sizes = np.empty(count + 1, keys.dtype), np.empty(count + 1, sizes.dtype)
    n_equal, kept = count, 0
    for size in sizes:
        n_equal -= size > threshold
    for place in range(len(keys)):
        is_equal = (sizes[place] == threshold) & (n_equal > 0)
        kept_keys[kept], kept_sizes[kept] = keys[place], sizes[place]
        kept += (sizes[place] > threshold) | is_equal
        n_equal -= is_equal
    return kept_keys[:count], kept_sizes[:count]


@njit(cache=True, nogil=True)
def cover(block, first_key, occupied):  # type: ignore[no-untyped-def]
    """Write NaN to the pairs of a block that are not free."""
    for key in occupied:
        block[key - first_key] = np.nan
