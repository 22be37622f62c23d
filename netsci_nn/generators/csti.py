"""Correlated sparse topological initialisation (CSTI): connect correlated inputs."""

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import neuron_count
from netsci_nn.errors import TopologyError, shown
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.topology import BipartiteTopology, Float64Array, Int64Array, as_array

# Correlations that agree to this many decimals are ties: later digits depend on the order in which a machine adds.
DECIMALS = 12
# How many correlations are held at once, besides the strongest.
BLOCK = 2**22


@GENERATORS.register("csti")
def csti(
    n_in: int,
    n_out: int,
    *,
    inputs: npt.ArrayLike,
    n_edges: int | None = None,
    density: float | None = None,
    rng: Rng,
) -> BipartiteTopology:
    """Join source i to target j if inputs i and j are among the most strongly correlated pairs of the training data.

    The strength of the pair (i, j) is |Pearson correlation| of columns i and j of `inputs`, 0 if a column is constant.
    The diagonal is excluded: no source is joined to its own target. With n_out = n_in the n_edges strongest pairs become
    the edges; (i, j) and (j, i) are two pairs of equal strength. With n_out = k * n_in the pattern is repeated: target
    c * n_in + j stands for input j in copy c, and every copy has the n_edges / k strongest pairs, the first n_edges mod k
    copies one more. Only ties, which are correlations that agree to 12 decimals, are broken at random, the same way in all
    copies.

    Degrees are those of the thresholded correlation matrix: source i has k edges for every input that is like input i, and
    so have its targets together. They follow the data, with no law of their own: inputs with many similar inputs become hubs,
    constant ones stay isolated until all others are joined. Time is O(n_samples * n_in^2), memory that of two copies of
    `inputs`, and O(n_edges); the correlation matrix is worked on in blocks.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, a multiple of n_in.
        inputs: `[n_samples, n_in]`, what the layer receives in training, at least 2 samples, finite; training data only.
        n_edges: exact number of edges, 0 to (n_in - 1) * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, the budget (the message gives the feasible range) or `inputs` is out of range.

    Source: CSTI of Zhang, Zhao, Wu, Muscoloni & Cannistraci 2024 (Cannistraci-Hebb training). There n_out is n_in or
    2 * n_in, deeper layers reuse the pattern of the first, and the strongest entries of the repeated matrix are taken,
    which shares the budget among the copies only approximately.

    Example:
        >>> inputs = [[0, 1, 5], [1, 2, 4], [2, 3, 7], [3, 4, 1]]  # inputs 0 and 1 rise together
        >>> csti(3, 3, inputs=inputs, n_edges=2, rng=0).to_edges().tolist()
        [[1, 0], [0, 1]]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    if n_out % n_in != 0:
        raise TopologyError(f"n_out is {n_out}; it must be a multiple of n_in = {n_in}, since targets stand for inputs")
    feasible = (n_in - 1) * n_out
    if count > feasible:
        raise TopologyError(
            f"n_edges is {count}; without the diagonal (a source and its own targets) it must be from 0 to {feasible}"
        )
    columns = _standardised(_check_inputs(inputs, n_in))
    whole, rest = divmod(count, n_out // n_in)
    pattern = _strongest_pairs(columns, whole + (rest > 0), as_generator(rng))
    copies = [pattern[: whole + (copy < rest)] + copy * n_in * n_in for copy in range(min(n_out // n_in, count))]
    return BipartiteTopology.from_keys(np.concatenate([pattern[:0], *copies]), n_in, n_out)


def _strongest_pairs(columns: Float64Array, count: int, rng: np.random.Generator) -> Int64Array:
    """Return the keys j * n_in + i of the `count` pairs of the largest |correlation|, the strongest first."""
    n_in = columns.shape[1]
    strength, tie_break, keys = np.empty(0), np.empty(0), np.empty(0, dtype=np.int64)
    step = max(1, BLOCK // n_in)
    for start in range(0, n_in if count > 0 else 0, step):
        stop = min(start + step, n_in)
        block = np.round(np.abs(columns[:, start:stop].T @ columns[:, start:]), DECIMALS)
        # Both orders of a pair take one number, for a product computed twice may differ in the last digits.
        row, column = np.nonzero(np.arange(start, n_in) > np.arange(start, stop)[:, None])
        found = block[row, column]
        row, column = row + start, column + start
        strength = np.concatenate([strength, found, found])
        keys = np.concatenate([keys, column * n_in + row, row * n_in + column])
        tie_break = np.concatenate([tie_break, rng.random(2 * len(found))])
        kept = _largest(strength, tie_break, count)
        strength, tie_break, keys = strength[kept], tie_break[kept], keys[kept]
    return keys[np.lexsort((tie_break, -strength))]


def _largest(values: Float64Array, tie_break: Float64Array, count: int) -> Int64Array:
    """Return the positions of the `count` largest values (of all if they are fewer), equal ones by `tie_break`."""
    if len(values) <= count:
        return np.arange(len(values), dtype=np.int64)
    smallest = np.partition(values, len(values) - count)[len(values) - count]
    above, equal = np.flatnonzero(values > smallest), np.flatnonzero(values == smallest)
    missing = count - len(above)
    return np.concatenate([above, equal[np.argpartition(tie_break[equal], missing - 1)[:missing]]])


def _standardised(inputs: Float64Array) -> Float64Array:
    """Return the columns with mean 0 and length 1, constant ones as zeros, so that products are correlations."""
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    # Dividing by a power of two is exact, and no sum or square can overflow or vanish after it.
    columns = np.ldexp(inputs, -np.frexp(np.maximum(high, -low))[1])
    columns -= columns.mean(axis=0)
    length = np.sqrt(np.einsum("si,si->i", columns, columns))
    columns /= np.where((low == high) | (length == 0), np.inf, length)
    return columns


def _check_inputs(inputs: npt.ArrayLike, n_in: int) -> Float64Array:
    try:
        array = as_array(inputs)
    except TopologyError:
        raise TopologyError(f"inputs is {shown(inputs)}; it must be an array [n_samples, n_in] of real numbers") from None
    if array.dtype.kind not in "biuf":
        raise TopologyError(f"inputs has dtype {array.dtype}; it must hold real numbers")
    array = array.astype(np.float64, copy=False)
    if array.ndim != 2 or array.shape[1] != n_in or array.shape[0] < 2:
        raise TopologyError(f"inputs has shape {array.shape}; it must be [n_samples, {n_in}] with at least 2 samples")
    if not np.isfinite(array).all():
        sample, position = np.argwhere(~np.isfinite(array))[0]
        raise TopologyError(f"inputs[{sample}, {position}] is {array[sample, position]}; every input must be finite")
    return array
