"""Does a degree sequence look like a power law? The exact discrete fit; ratios against alternatives are in `tails.py`.

Convention. The fit is that of igraph's `power_law_fit`: exact discrete maximum likelihood for alpha, with xmin chosen
to minimise the Kolmogorov-Smirnov distance D between the empirical and the fitted distribution of the tail. **igraph
evaluates D only at values that occur in the data**, not at every integer, so D can be a little smaller than the exact
supremum where the data have gaps. Compare it only with values of D from the same code. igraph's bootstrap p-value is
never used: it comes from a generator that nobody here seeds.
"""

import random
from dataclasses import dataclass

import igraph
import numpy as np

from .graphs import BipartiteGraph, LayeredGraph, LongArray
from .quantity import Quantities, defined, undefined
from .registry import EVERYTHING, register_measure

MIN_POINTS = 10
"""Fewer positive degrees than this are not fitted."""

# igraph always runs 0.25 / p_precision**2 bootstrap replicates and refuses a precision above 0.5, so one is the fewest
# that it can be asked for. They change neither alpha nor xmin nor D.
_ONE_REPLICATE = 0.5


@dataclass(frozen=True)
class PowerLawFit:
    """A fitted tail p(x) = x^-alpha / zeta(alpha, xmin) for whole x >= xmin.

    Attributes:
        alpha: exponent, above 1; not bounded from above.
        xmin: where the tail begins.
        distance: Kolmogorov-Smirnov distance D of the tail, in [0, 1], by igraph's convention.
        n_tail: number of degrees that are at least xmin.
    """

    alpha: float
    xmin: int
    distance: float
    n_tail: int


@dataclass(frozen=True)
class NoFit:
    """A fit that is not defined.

    Attributes:
        reason: why not.
    """

    reason: str


def fit_power_law(degrees: LongArray) -> PowerLawFit | NoFit:
    """Fit a discrete power law to the positive degrees.

    Clauset, Shalizi and Newman (2009), "Power-law distributions in empirical data", SIAM Review 51, 661-703, eq. 3.5
    and section 3.3; computed by igraph (see the module's convention on D).

    Args:
        degrees: int64 of shape [n]; zeros are left out, as the distribution has no mass there.

    Returns:
        The fit, or `NoFit` where there are fewer than 10 positive degrees, fewer than 2 distinct ones, or no finite
        maximum. Cost about 10 ms for 40 distinct degrees, growing with their square.
    """
    positive = np.asarray(degrees)[np.asarray(degrees) > 0]
    if positive.size < MIN_POINTS:
        return NoFit(f"there are {positive.size} positive degrees and a fit needs at least {MIN_POINTS}")
    if positive.min() == positive.max():
        return NoFit(f"all positive degrees are {positive[0]} and a fit needs at least 2 distinct values")
    # The replicate draws from Python's global generator, which must not notice.
    state = random.getstate()
    try:
        fit = igraph.power_law_fit(positive.tolist(), method="discrete", p_precision=_ONE_REPLICATE)
    finally:
        random.setstate(state)
    if not (np.isfinite(fit.alpha) and fit.alpha > 1 and 0 <= fit.D <= 1):
        return NoFit(f"the likelihood has no finite maximum (alpha = {fit.alpha})")
    return PowerLawFit(fit.alpha, int(fit.xmin), fit.D, int(np.count_nonzero(positive >= fit.xmin)))


def power_law_quantities(prefix: str, degrees: LongArray) -> Quantities:
    """The fit as named quantities.

    Args:
        prefix: what the names start with.
        degrees: int64 of shape [n].

    Returns:
        `{prefix}_alpha`, `{prefix}_xmin`, `{prefix}_ks_distance`, `{prefix}_tail_size`; all not defined where there is
        no fit.
    """
    names = [f"{prefix}_{name}" for name in ("alpha", "xmin", "ks_distance", "tail_size")]
    fit = fit_power_law(degrees)
    if isinstance(fit, NoFit):
        return dict.fromkeys(names, undefined(fit.reason))
    values = (fit.alpha, fit.xmin, fit.distance, fit.n_tail)
    return {name: defined(value) for name, value in zip(names, values, strict=True)}


def _network_power_law(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    return power_law_quantities("degree_power_law", network.degrees)


@register_measure("power_law", network=_network_power_law, fixed_by={"fixed_degrees": EVERYTHING})
def power_law(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Discrete power-law fit of each side.

    Args:
        graph: the layer.
        rng: not used.

    Returns:
        The quantities of `power_law_quantities` with the prefixes `source_power_law` and `target_power_law`.
    """
    return {
        **power_law_quantities("source_power_law", graph.out_degrees),
        **power_law_quantities("target_power_law", graph.in_degrees),
    }
