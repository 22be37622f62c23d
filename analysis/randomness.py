"""Random numbers enter through one door: an explicit seed or generator, never a global one."""

import numpy as np

from .errors import AnalysisError


def as_generator(rng: int | np.random.Generator) -> np.random.Generator:
    """Turn a seed into a generator; a generator is returned as it is (and advanced by whoever draws from it).

    Args:
        rng: a non-negative integer seed, or a `numpy.random.Generator`.

    Returns:
        A generator. The same seed gives the same numbers on every platform.

    Raises:
        AnalysisError: `rng` is neither.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
        raise AnalysisError(f"rng is {rng!r}; a seed (an integer of at least 0) or a numpy.random.Generator is needed")
    return np.random.default_rng(int(rng))
