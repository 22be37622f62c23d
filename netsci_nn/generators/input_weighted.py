"""Input-weighted: sources receive edges in proportion to a statistic of the data, such as the mean intensity of a pixel.

`netsci_nn.data.input_statistic` computes such statistics.
"""

import numpy as np
import numpy.typing as npt
import scipy

from netsci_nn.checks import check_choice, check_real, neuron_count
from netsci_nn.errors import TopologyError, shown
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator, distinct_per_row, largest_remainder
from netsci_nn.topology import BipartiteTopology, Float64Array, Int64Array, as_array
from netsci_nn.topology.edge_order import split_cells

SAMPLERS = ("expected", "sequential")


@GENERATORS.register("input_weighted")
def input_weighted(
    n_in: int,
    n_out: int,
    *,
    weights: npt.ArrayLike,
    n_edges: int | None = None,
    density: float | None = None,
    smoothing: float = 0.0,
    sampler: str = "expected",
    rng: Rng,
) -> BipartiteTopology:
    """Draw edges whose source is chosen in proportion to weights[i] + smoothing, and whose target is any free one.

    Two samplers differ in the out-degrees; given these, the targets of a source are a uniform set:

    - `"expected"`: out-degrees are the largest-remainder rounding of n_edges * (w_i + s) / sum(w + s), each at most n_out;
      what a full source cannot take goes to the others in the same proportion. Only the targets are random.
    - `"sequential"`: pairs are drawn one after the other, each of the free pairs (i, j) with probability proportional to
      w_i + s. Out-degrees then spread around the same values (Wallenius' noncentral hypergeometric law).

    With smoothing 0 a source of weight 0 gets no edge. Out-degrees follow the law of the weights: heterogeneous, not
    scale-free by itself. In-degrees are nearly binomial: a sum over sources of coins with the sources' shares.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        weights: `[n_in]`, finite, >= 0, not all zero (with smoothing 0); computed on training data only.
        n_edges: exact number of edges, 0 to n_out times the number of sources with weight + smoothing > 0; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        smoothing: s >= 0, added to every weight, in the weights' unit.
        sampler: "expected" or "sequential".
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, the budget or a weight is out of range (weights of standardised inputs are: their means are
            not >= 0), or the sampler unknown.

    Source: the rule SC_Input of the brain-inspired LeNet-300-100 study (edges of the first layer drawn with a
    probability that grows with the mean input pixel); the samplers and the cap are this
    toolkit's.

    Example:
        >>> input_weighted(3, 10, weights=[0.1, 0.2, 0.4], n_edges=14, rng=0).out_degrees.tolist()
        [2, 4, 8]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    smoothing = check_real("smoothing", smoothing, lambda value: value >= 0, ">= 0")
    shares = _check_weights(weights, n_in) + smoothing
    feasible = n_out * int((shares > 0).sum())
    if feasible == 0:
        raise TopologyError("weights are all zero; at least one must be positive if smoothing is 0")
    if count > feasible:
        raise TopologyError(
            f"n_edges is {count}; with {feasible // n_out} sources of positive weight it must be from 0 to {feasible}"
        )
    check_choice("sampler", sampler, SAMPLERS)
    generator = as_generator(rng)
    degrees = (largest_remainder if sampler == "expected" else sequential_degrees)(count, shares, n_out, generator)
    cells = distinct_per_row(degrees, n_out, generator)
    dst, src = split_cells(cells, n_out)
    del cells
    return BipartiteTopology.from_ends(src, dst, n_in, n_out)


def sequential_degrees(count: int, shares: Float64Array, cap: int, rng: np.random.Generator) -> Int64Array:
    """Return how many pairs each source has after `count` draws without replacement, `cap` pairs of weight shares[i] each.

    The law is that of clocks: every pair rings after an exponential time of rate shares[i], and the first `count` pairs to
    ring are drawn. So the number of pairs that ring within a stretch of time is binomial for every source, and only those
    of the last stretch need times of their own.
    """
    rates = np.maximum(shares / shares.max(), np.where(shares > 0, 1e-280, 0.0))
    degrees = np.zeros(len(shares), dtype=np.int64)
    if count == cap * int((shares > 0).sum()):
        return np.where(shares > 0, cap, 0)
    while (missing := count - int(degrees.sum())) > 0:
        free = cap - degrees
        stretch = _stretch(free, rates, missing)
        rung = rng.binomial(free, -np.expm1(-rates * stretch))
        if rung.sum() <= missing:
            degrees += rung
            continue
        source = np.repeat(np.arange(len(shares)), rung)
        # Inverse of the distribution function of an exponential time that is known to lie within the stretch.
        times = -np.log1p(rng.random(len(source)) * np.expm1(-rates[source] * stretch)) / rates[source]
        degrees += np.bincount(source[np.argpartition(times, missing)[:missing]], minlength=len(shares))
    return degrees


def _stretch(free: Int64Array, rates: Float64Array, missing: int) -> float:
    """Return a time within which on average a few more than `missing` pairs ring, or half of the surplus pairs."""
    surplus = int(free[rates > 0].sum()) - missing
    wanted = missing + min(4 * np.sqrt(missing), surplus / 2)
    return float(np.exp(scipy.optimize.brentq(lambda t: float(free @ -np.expm1(-rates * np.exp(t))) - wanted, -80.0, 690.0)))


def _check_weights(weights: npt.ArrayLike, n_in: int) -> Float64Array:
    try:
        array = np.asarray(as_array(weights), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TopologyError(f"weights is {shown(weights)}; it must be an array of n_in = {n_in} numbers") from None
    if array.shape != (n_in,):
        raise TopologyError(f"weights has shape {array.shape}; it must be [n_in] = [{n_in}]")
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        position = int(bad.argmax())
        raise TopologyError(f"weights[{position}] is {array[position]}; every weight must be finite and >= 0")
    return array
