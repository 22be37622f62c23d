"""Truncated power law: degrees of one side or both from a power law between two bounds."""

from typing import NamedTuple

import numpy as np
import scipy

from netsci_nn.checks import check_choice, check_count, check_real, neuron_count
from netsci_nn.compiling import njit
from netsci_nn.errors import TopologyError
from netsci_nn.generators.configuration import check_feasible, realise_degrees
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.generators.trades import trade_edges
from netsci_nn.sampling import Rng, as_generator, shuffled_parts
from netsci_nn.topology import BipartiteTopology, Float64Array, Int64Array

SIDES = ("both", "source", "target")
TRIES = 200  # draws of the degrees until a graph with them exists


@GENERATORS.register("truncated_power_law")
def truncated_power_law(
    n_in: int,
    n_out: int,
    *,
    n_edges: int | None = None,
    density: float | None = None,
    exponent: float = 2.5,
    minimum: int | None = None,
    maximum: int | None = None,
    sides: str = "both",
    rng: Rng,
) -> BipartiteTopology:
    """Draw degrees from p(k) proportional to k^-exponent, minimum <= k <= maximum, then a uniform graph with these degrees.

    Without a budget the degrees of the sources (of the targets with sides="target") are independent draws, whose sum is the
    number of edges. The other side follows the same law, or is near-regular, and must have the same sum. A side whose sum is
    prescribed gets the law of independent draws given their sum: for many neurons that is p(k) k^-exponent exp(theta k)
    with theta such that the mean is right; single draws are repeated until the sum is exact. If no minimum is
    given, the law begins at the degree at which its own mean reaches that of the budget, the first degree being so much
    rarer as the exact mean needs: the tail is then the power law itself. Only a budget below the mean of the law from 1 on,
    or a given minimum, bends it.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges: on each side that follows the law from minimum (1 if none is given) to maximum times
            its size; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges; or neither.
        exponent: gamma, 0 to 20.
        minimum: smallest degree of a side that follows the law, at least 1; None for 1 without a budget, see above with one.
        maximum: largest degree, at most the size of the other side, which is the default.
        sides: "both", "source" or "target": who follows the law; the other side is near-regular.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a parameter is out of range, the budget is outside the feasible range, which the message gives, or
            200 draws gave no degrees that a graph without repeated edges can have.

    Source: Clauset, Shalizi & Newman 2009 for the law; the graph as in `configuration_model`.

    Example:
        >>> topology = truncated_power_law(300, 100, density=0.05, exponent=2.5, sides="source", rng=0)
        >>> topology.n_edges, set(topology.in_degrees.tolist())
        (1500, {15})
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    check_choice("sides", sides, SIDES)
    count = None if n_edges is None and density is None else resolve_n_edges(n_in, n_out, n_edges, density)
    names, sizes = ("out_degrees", "in_degrees"), (n_in, n_out)
    laws = [
        Law.truncated(exponent, minimum, maximum, other, None if count is None else count / size)
        if sides in ("both", side)
        else None
        for side, other, size in (("source", n_out, n_in), ("target", n_in, n_out))
    ]
    for law, size in zip(laws, sizes, strict=True):
        if law is not None and count is not None:
            law.check_sum(size, count)
    generator = as_generator(rng)
    first, second = (1, 0) if sides == "target" else (0, 1)
    for attempt in range(TRIES):
        degrees = {names[first]: _degrees(laws[first], sizes[first], count, generator)}
        total = int(degrees[names[first]].sum())
        try:
            degrees[names[second]] = _degrees(laws[second], sizes[second], total, generator)
            check_feasible(**degrees)
            break
        except TopologyError as error:
            if attempt == TRIES - 1:
                raise TopologyError(f"{TRIES} draws gave no degrees that fit each other; in the last, {error}") from None
    return trade_edges(realise_degrees(**degrees), rng=generator)


class Law(NamedTuple):
    """Probabilities of the degrees minimum, minimum + 1, ..., as logarithms up to a constant."""

    minimum: int
    logarithms: Float64Array
    allowed: int  # the smallest minimum that the caller allows

    @classmethod
    def truncated(cls, exponent: float, minimum: int | None, maximum: int | None, other: int, mean: float | None) -> "Law":
        """Check the parameters of a power law of degrees towards a side of `other` neurons; `mean` sets a missing minimum."""
        exponent = check_real("exponent", exponent, lambda value: 0 <= value <= 20, "from 0 to 20")
        lowest = 1 if minimum is None else check_count("minimum", minimum, 1, other)
        maximum = other if maximum is None else check_count("maximum", maximum, lowest, other)
        degrees = np.arange(lowest, maximum + 1)
        logarithms = -exponent * np.log(degrees)
        if minimum is None and mean is not None:
            weights = degrees * np.exp(logarithms), np.exp(logarithms)
            above, below = (np.cumsum(weight[::-1])[::-1] for weight in weights)
            first = max(
                0, int(np.searchsorted(above / below, mean, side="right")) - 1
            )  # the mean from a degree on grows with it
            degrees, logarithms = degrees[first:], logarithms[first:]
            if first + 1 < len(above) and mean > above[first] / below[first]:
                rest = above[first + 1] - mean * below[first + 1]
                logarithms[0] = np.log(max(rest / (mean - degrees[0]), 1e-300))
        return cls(int(degrees[0]), logarithms, lowest)

    @property
    def maximum(self) -> int:
        """The largest degree."""
        return self.minimum + len(self.logarithms) - 1

    def check_sum(self, size: int, total: int) -> None:
        """Raise a TopologyError unless `size` degrees of this law can sum up to `total`."""
        lowest, highest = size * self.allowed, size * self.maximum
        if not lowest <= total <= highest:
            raise TopologyError(
                f"n_edges is {total}; {size} neurons with degrees from {self.allowed} to {self.maximum} "
                f"have from {lowest} to {highest} edges"
            )

    def tilted(self, mean: float) -> Float64Array:
        """Return the distribution function of the law times exp(theta k), theta such that it has this mean."""
        degrees = np.arange(len(self.logarithms))

        def probabilities(theta: float) -> Float64Array:
            logarithms = self.logarithms + theta * degrees
            weights = np.exp(logarithms - logarithms.max())
            return weights / weights.sum()

        excess = mean - self.minimum
        theta = 0.0
        if len(degrees) > 1:
            # Steeper than 50 a degree nothing but the smallest or the largest degree is left.
            if probabilities(-50.0) @ degrees >= excess:
                theta = -50.0
            elif probabilities(50.0) @ degrees <= excess:
                theta = 50.0
            else:
                theta = scipy.optimize.brentq(lambda tilt: float(probabilities(tilt) @ degrees) - excess, -50.0, 50.0)
        return np.cumsum(probabilities(theta))


def _degrees(law: Law | None, size: int, total: int | None, rng: np.random.Generator) -> Int64Array:
    """Draw the degrees of one side, near-regular if it has no law, with the given sum if there is one."""
    if law is None:
        assert total is not None
        return shuffled_parts(total, size, rng)
    if total is None:
        cumulated = np.cumsum(np.exp(law.logarithms))
        return law.minimum + np.searchsorted(cumulated, rng.random(size) * cumulated[-1], side="right")
    law.check_sum(size, total)
    cumulated = law.tilted(total / size)
    degrees = np.searchsorted(cumulated, rng.random(size) * cumulated[-1], side="right")
    _mend_sum(degrees, total - size * law.minimum, cumulated, rng)
    return law.minimum + degrees


@njit(cache=True)
def _mend_sum(degrees: Int64Array, total: int, cumulated: Float64Array, rng: np.random.Generator) -> None:
    """Draw single degrees anew if that brings the sum nearer to `total`; in the end move them one by one."""
    missing = total - degrees.sum()
    highest = len(cumulated) - 1
    tries = 100 * len(degrees) + 1000
    while missing != 0 and tries > 0:
        tries -= 1
        neuron = int(rng.random() * len(degrees))
        drawn = np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")
        if abs(missing - (drawn - degrees[neuron])) < abs(missing):
            missing -= drawn - degrees[neuron]
            degrees[neuron] = drawn
    step = 1 if missing > 0 else -1
    while missing != 0:
        for neuron in range(len(degrees)):
            if missing != 0 and 0 <= degrees[neuron] + step <= highest:
                degrees[neuron] += step
                missing -= step
