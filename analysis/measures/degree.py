"""Degrees of both sides, density, and how unequal the degrees are."""

import math

import numpy as np
import scipy

from analysis.base.checks import as_real, check_count, shown
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import LongArray, checked_degrees
from analysis.graph.bipartite import MAX_NEURONS, BipartiteGraph
from analysis.graph.values import LayeredGraph
from analysis.measures.measure import EVERYTHING, Measure, takes_any_layer

SIZE_ONLY = frozenset({"edges", "density", "source_degree_mean", "target_degree_mean", "degree_mean"})


def coefficient_of_variation(degrees: LongArray) -> Quantity:
    """CV = sd(k) / mean(k), with the population standard deviation; in [0, sqrt(n - 1)], 0 for equal degrees.

    Not defined if every degree is 0; an AnalysisError for what is no degree.

    >>> coefficient_of_variation([2, 4]).value
    0.333...
    """
    degrees = checked_degrees(degrees, at_least=1)
    mean = degrees.mean()
    return undefined("every degree is 0") if mean == 0 else defined(degrees.std() / mean)


def binomial_cv(n_opposite: int, density: float) -> Quantity:
    """CV of a degree that is Binomial(n_opposite, density): sqrt((1 - density) / (n_opposite * density)).

    Not defined at density 0; an AnalysisError if `n_opposite` is not from 1 to 2^31 - 1 or the density outside of [0, 1].
    """
    check_count("n_opposite", n_opposite, at_most=MAX_NEURONS)
    if not 0 <= as_real(density) <= 1:
        raise AnalysisError(f"density is {shown(density)}; it must be a number in [0, 1]")
    if density == 0:
        return undefined("the graph has no edge")
    return defined(math.sqrt((1.0 - density) / (n_opposite * density)))


def moment_ratio(degrees: LongArray) -> Quantity:
    """kappa = <k^2> / <k>, the mean degree of the neuron at the end of a random edge; in [<k>, max k].

    Cohen, Erez, ben-Avraham and Havlin (2000), "Resilience of the Internet to random breakdowns", Physical Review Letters 85,
    4626. Not defined if every degree is 0.
    """
    degrees = checked_degrees(degrees, at_least=1)
    total = degrees.sum(dtype=np.float64)  # squares of large integers overflow
    return undefined("every degree is 0") if total == 0 else defined((degrees.astype(np.float64) ** 2).sum() / total)


def gini(degrees: LongArray) -> Quantity:
    """Gini coefficient, sum_ij |k_i - k_j| / (2 n^2 <k>); in [0, 1 - 1/n], 0 for equal degrees.

    Gini (1912), "Variabilita e mutabilita"; computed as sum_i (2i - n - 1) k_(i) / (n sum k) over ascending degrees. Not
    defined if every degree is 0.

    >>> gini([0, 0, 4]).value
    0.666...
    """
    degrees = checked_degrees(degrees, at_least=1)
    n, total = degrees.size, degrees.sum(dtype=np.float64)
    if total == 0:
        return undefined("every degree is 0")
    return defined(((2.0 * np.arange(1, n + 1) - n - 1) * np.sort(degrees)).sum() / (n * total))


def degree_entropy(degrees: LongArray) -> Quantity:
    """Entropy of the degree sequence, -sum_i s_i ln s_i with s_i = k_i / sum k, in nats; in [0, ln n], ln n for equal degrees.

    Wu, Tan, Deng and Zhu, "A new measure of heterogeneity of complex networks based on degree sequence", InterJournal of
    Complex Systems. It is not the entropy of the degree distribution. Not defined if every degree is 0.
    """
    degrees = checked_degrees(degrees, at_least=1)
    if not degrees.any():
        return undefined("every degree is 0")
    # Sorted, so that the labels do not influence the rounding; adding 0 turns the -0.0 of a single neuron into 0.
    return defined(scipy.stats.entropy(np.sort(degrees)) + 0.0)


def _heterogeneity(prefix: str, degrees: LongArray) -> dict[str, Quantity]:
    """Unevenness in five ways; the entropy also divided by its largest value, ln n (Pielou 1966, "The measurement of
    diversity in different types of biological collections", Journal of Theoretical Biology 13, 131-144)."""
    total, entropy = int(degrees.sum()), degree_entropy(degrees)
    if entropy.value is None or degrees.size > 1:
        normalised = entropy if entropy.value is None else defined(entropy.value / math.log(degrees.size))
    else:
        normalised = undefined("there is one neuron only")
    return {
        f"{prefix}_max_to_mean": undefined("every degree is 0") if total == 0 else defined(degrees.max() / degrees.mean()),
        f"{prefix}_kappa": moment_ratio(degrees),
        f"{prefix}_gini": gini(degrees),
        f"{prefix}_entropy": entropy,
        f"{prefix}_entropy_normalised": normalised,
    }


def degree_quantities(prefix: str, degrees: LongArray) -> dict[str, Quantity]:
    """How uneven one set of degrees is: mean, maximum, CV, fraction of zeros, and what `_heterogeneity` adds.

    `{prefix}_mean`, `{prefix}_max`, `{prefix}_cv`, `{prefix}_zero_fraction` (in [0, 1]), `{prefix}_max_to_mean` (at least 1),
    `{prefix}_kappa`, `{prefix}_gini`, `{prefix}_entropy` (nats) and `{prefix}_entropy_normalised` (in [0, 1], 1 for equal
    degrees).
    """
    degrees = checked_degrees(degrees, at_least=1)
    return {
        f"{prefix}_mean": defined(degrees.mean()),
        f"{prefix}_max": defined(degrees.max()),
        f"{prefix}_cv": coefficient_of_variation(degrees),
        f"{prefix}_zero_fraction": defined(np.count_nonzero(degrees == 0) / degrees.size),
        **_heterogeneity(prefix, degrees),
    }


def _cv_excess(cv: Quantity, expected: Quantity) -> Quantity:
    if cv.value is None:
        return cv
    return expected if expected.value is None else defined(cv.value - expected.value)


def network_degrees(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """`edges`, `density`, and the degrees of all neurons together, without links; no binomial reference, as groups differ."""
    counts = {"edges": defined(network.n_edges), "density": defined(network.density)}
    return counts | degree_quantities("degree", network.degrees)


@takes_any_layer
def layer_degrees(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Number of edges, density, and for each side the numbers of `degree_quantities` and the CV above the binomial's.

    The CV excess of a side is its CV minus that of Binomial(n_opposite, density): about 0 for a uniformly random layer,
    below 0 for a more regular one, above 0 for a more heterogeneous one. The density is n_edges / (n_in n_out), in [0, 1].
    The quantities are prefixed `source_degree` and `target_degree`.
    """
    result = {"edges": defined(graph.n_edges), "density": defined(graph.density)}
    sides = (("source_degree", graph.out_degrees, graph.n_out), ("target_degree", graph.in_degrees, graph.n_in))
    for prefix, degrees, n_opposite in sides:
        side = degree_quantities(prefix, degrees)
        side[f"{prefix}_cv_excess"] = _cv_excess(side[f"{prefix}_cv"], binomial_cv(n_opposite, graph.density))
        result |= side
    return result


MEASURE = Measure(
    "degree", layer_degrees, network=network_degrees, fixed_by={"erdos_renyi": SIZE_ONLY, "fixed_degrees": EVERYTHING}
)
