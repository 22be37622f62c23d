"""Which edges a rule lets go: criteria by name. A new one is a class here, or in a file that is imported below."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import check_real
from netsci_nn.errors import ConfigError
from netsci_nn.registry import Registry
from netsci_nn.rewiring.relative_importance import relative_importance
from netsci_nn.rewiring.sparse_evolution import dropped_by_sign
from netsci_nn.rewiring.view import EdgeView, check_finite, strength
from netsci_nn.topology import BipartiteTopology, Int64Array

LARGEST_NOISE = 1e30
STANDARD_DEVIATIONS = 8  # beyond which noise is taken to make no difference


class Drop(Protocol):
    """A criterion; `needs` are the fields of the view that it reads beside the weights (see `NEEDS`)."""

    needs: tuple[str, ...]

    def of_fraction(self, view: EdgeView, fraction: float, rng: np.random.Generator) -> Int64Array:
        """Return the positions of the edges that go if a fraction of them goes, increasing."""
        ...

    def of_count(self, view: EdgeView, count: int, rng: np.random.Generator) -> Int64Array:
        """Return the positions of so many edges, those that go first, increasing; 0 to n_edges."""
        ...


DROPS: Registry[Callable[..., Drop]] = Registry("drop criterion")


class _Lowest:
    """Base of criteria by a score: int(fraction * n_edges) edges go, those of the lowest."""

    needs: tuple[str, ...] = ()

    def score(self, view: EdgeView) -> npt.NDArray[np.floating]:
        """Return the score of every edge."""
        raise NotImplementedError

    def of_fraction(self, view: EdgeView, fraction: float, rng: np.random.Generator) -> Int64Array:
        """Return the positions of the int(fraction * n_edges) lowest, increasing."""
        return self.of_count(view, int(fraction * view.n_edges), rng)

    def of_count(self, view: EdgeView, count: int, rng: np.random.Generator) -> Int64Array:
        """Return the positions of the `count` lowest, increasing; of equal ones those that come first."""
        return lowest(self.score(view), count, 0.0, rng)


@DROPS.register("magnitude")
class Magnitude(_Lowest):
    """The smallest |w|, or norms of kernels.

    Args:
        tie_noise: standard deviation of the normal noise that is added to |w|, 0 to 1e30: it decides between equal ones.

    Example:
        >>> from netsci_nn import SparseMLP, rewiring
        >>> view = rewiring.edge_view(SparseMLP([20, 10], density=0.25, rng=0).layers[0])
        >>> dropped = Magnitude().of_fraction(view, 0.1, np.random.default_rng(0))
        >>> bool(len(dropped) == 5 and np.abs(view.weight[dropped]).max() <= np.sort(np.abs(view.weight))[5])
        True
    """

    def __init__(self, tie_noise: float = 0.0) -> None:
        self.tie_noise = check_real(
            "tie_noise", tie_noise, lambda value: 0 <= value <= LARGEST_NOISE, "from 0 to 1e30", ConfigError
        )

    def of_count(self, view: EdgeView, count: int, rng: np.random.Generator) -> Int64Array:
        """Return the positions of the `count` smallest after noise, increasing."""
        size = strength(view.weight)
        check_finite("dropping by magnitude", size)
        return lowest(size, count, self.tie_noise, rng)


@DROPS.register("sign")
class Sign:
    """Those of SET: the fraction of each sign's weights that is nearest to zero, and exact zeros (see `SparseEvolution`)."""

    needs: tuple[str, ...] = ()

    def of_fraction(self, view: EdgeView, fraction: float, rng: np.random.Generator) -> Int64Array:
        """Return the positions of the edges that go, increasing."""
        return dropped_by_sign(view.weight if not view.kernel else strength(view.weight), fraction)

    def of_count(self, view: EdgeView, count: int, rng: np.random.Generator) -> Int64Array:
        """Raise a ConfigError: the two signs say how many go."""
        raise ConfigError("drop 'sign' says by itself how many edges go; a density that falls needs another criterion")


@DROPS.register("random")
class Random:
    """Any, all alike: a control."""

    needs: tuple[str, ...] = ()

    def of_fraction(self, view: EdgeView, fraction: float, rng: np.random.Generator) -> Int64Array:
        """Return int(fraction * n_edges) positions, increasing."""
        return self.of_count(view, int(fraction * view.n_edges), rng)

    def of_count(self, view: EdgeView, count: int, rng: np.random.Generator) -> Int64Array:
        """Return `count` positions, increasing."""
        return np.sort(rng.choice(view.n_edges, count, replace=False)).astype(np.int64)


@DROPS.register("magnitude_and_gradient")
class MagnitudeAndGradient(_Lowest):
    """The smallest |w| + gradient_weight * |gradient|, of MEST.

    Args:
        gradient_weight: lambda, 0 to 1e30.

    Source: Yuan et al. 2021, "MEST: accurate and fast memory-economic sparse training framework on the edge", with 0.01.
    """

    needs: tuple[str, ...] = ("gradient",)

    def __init__(self, gradient_weight: float = 0.01) -> None:
        self.gradient_weight = check_real(
            "gradient_weight", gradient_weight, lambda value: 0 <= value <= LARGEST_NOISE, "from 0 to 1e30", ConfigError
        )

    def score(self, view: EdgeView) -> npt.NDArray[np.floating]:
        """Return |w| + lambda |g| of every edge."""
        assert view.gradient is not None
        score: npt.NDArray[np.floating] = strength(view.weight) + self.gradient_weight * strength(view.gradient)
        check_finite("dropping by magnitude and gradient", score)
        return score


@DROPS.register("relative_importance")
class RelativeImportance(_Lowest):
    """The smallest |w| / sum over the target's edges + |w| / sum over the source's edges (see `relative_importance`).

    Source: Zhang et al. 2024, "Plug-and-play: an efficient post-training pruning method for large language models" (RIA), which
    Cannistraci-Hebb training uses for removal.
    """

    def score(self, view: EdgeView) -> npt.NDArray[np.floating]:
        """Return the relative importance of every edge."""
        size = strength(view.weight)
        check_finite("dropping by relative importance", size)
        return relative_importance(BipartiteTopology(view.n_in, view.n_out, view.src, view.dst), size)


@DROPS.register("soft_magnitude")
class SoftMagnitude(_Lowest):
    """Drawn: the edges that stay are a sample without replacement in proportion to |w|^T, where T goes from start to end.

    Args:
        start: exponent at the beginning of the rule's time, 0 to 100; 0 keeps any edge with equal probability.
        end: at its end, likewise; in between on a straight line.

    Raises:
        ConfigError: when an exponent is out of range.

    Source: Zhang et al. 2025, "Brain network science modelling of sparse neural networks" (CHTs), with 1 and 3 of their code
    for perceptrons. One exponential number per edge, divided by |w|^T, is such a sample (Efraimidis & Spirakis 2006).
    """

    def __init__(self, start: float = 1.0, end: float = 3.0) -> None:
        self.start, self.end = (
            check_real(name, value, lambda number: 0 <= number <= 100, "from 0 to 100", ConfigError)
            for name, value in (("start", start), ("end", end))
        )
        self.needs = () if self.start == self.end else ("step", "total_steps")

    def of_count(self, view: EdgeView, count: int, rng: np.random.Generator) -> Int64Array:
        """Return the positions of `count` edges, increasing; those of weight 0 go first."""
        size = strength(view.weight)
        check_finite("dropping by soft magnitude", size)
        share = 0.0 if view.step is None or view.total_steps is None else min(view.step / max(view.total_steps, 1), 1.0)
        exponent = self.start + share * (self.end - self.start)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = exponent * np.log(size.astype(np.float64)) - np.log(rng.standard_exponential(len(size)))
        return lowest(np.where((size == 0) & (exponent > 0), -np.inf, score), count, 0.0, rng)


def lowest(score: npt.NDArray[np.floating], count: int, noise: float, rng: np.random.Generator) -> Int64Array:
    """Return the positions of the `count` lowest after normal noise, increasing; of equal ones those that come first.

    Noise is drawn only for those to which eight standard deviations could make a difference.
    """
    if count <= 0:
        return np.empty(0, np.int64)
    last = np.partition(score, count - 1)[count - 1]
    reach = 2 * STANDARD_DEVIATIONS * noise
    near = np.flatnonzero((score >= last - reach) & (score <= last + reach))
    below = np.flatnonzero(score < last - reach)
    noisy = score[near] + noise * rng.standard_normal(len(near)) if noise else score[near]
    chosen = near[np.argsort(noisy, kind="stable")[: count - len(below)]]
    return np.sort(np.concatenate([below, chosen]))
