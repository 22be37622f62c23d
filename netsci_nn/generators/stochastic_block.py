"""Stochastic block model: neurons in groups, and a density for every pair of groups."""

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import check_count, check_real, neuron_count
from netsci_nn.errors import TopologyError
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator, distinct_cells, distinct_per_row, even_borders, largest_remainder
from netsci_nn.topology import BipartiteTopology, Float64Array, Int64Array

MANY_CELLS = 2**16  # of one block, from which on blocks are drawn one by one


@GENERATORS.register("stochastic_block")
def stochastic_block(
    n_in: int,
    n_out: int,
    *,
    n_edges: int | None = None,
    density: float | None = None,
    n_blocks: int = 4,
    mixing: float = 0.1,
    affinity: npt.ArrayLike | None = None,
    rng: Rng,
) -> BipartiteTopology:
    """Draw a modular layer: each pair of a source group and a target group gets a fixed share of the edges, placed uniformly.

    Both sides are cut into consecutive groups whose sizes differ by at most one. Either there are n_blocks groups on each
    side, of which the matching ones share 1 - mixing of the edges and all others the rest; or `affinity` gives the relative
    density of every pair of groups. Shares are rounded by largest remainder, and what a full block cannot take goes to the
    others in the same proportion. Within a block every set of pairs is equally likely, so degrees there are hypergeometric;
    a neuron's degree is the sum over its blocks.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to the number of pairs whose groups may be joined; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        n_blocks: groups on each side, 1 to min(n_in, n_out); ignored if `affinity` is given.
        mixing: share of the edges between groups that do not match, 0 to 1; (n_blocks - 1) / n_blocks is no modularity.
        affinity: `[target groups, source groups]`, finite, >= 0: the density of each block in any unit.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, the budget or a parameter is out of range; for the budget with the feasible range.

    Source: Holland, Laskey & Leinhardt 1983; with counts fixed as in the microcanonical version (Peixoto 2012).

    Example:
        >>> mask = stochastic_block(40, 40, n_edges=200, n_blocks=2, mixing=0.1, rng=0).to_mask()
        >>> int(mask[:20, :20].sum()), int(mask[:20, 20:].sum())
        (90, 10)
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count, generator = resolve_n_edges(n_in, n_out, n_edges, density), as_generator(rng)
    if affinity is None:
        n_blocks = check_count("n_blocks", n_blocks, 1, min(n_in, n_out))
        mixing = check_real("mixing", mixing, lambda value: 0 <= value <= 1, "from 0 to 1")
        weights = _planted(n_blocks, mixing)
    else:
        weights = _check_affinity(affinity, n_in, n_out)
    targets, sources = even_borders(n_out, len(weights)), even_borders(n_in, weights.shape[1])
    sizes = np.diff(targets)[:, None] * np.diff(sources)
    shares = (weights if affinity is None else weights * sizes).ravel()
    feasible = int(sizes.ravel()[shares > 0].sum())
    if count > feasible:
        raise TopologyError(
            f"n_edges is {count}; it must be from 0 to {feasible}, the number of pairs whose groups may be joined"
        )
    counts = largest_remainder(count, shares, sizes.ravel(), generator, multiplies_first=True)
    block, within = _cells_of_blocks(counts, sizes.ravel(), generator)
    target_group, source_group = np.divmod(block, weights.shape[1])
    width = np.diff(sources)[source_group]
    src, dst = within % width + sources[source_group], within // width + targets[target_group]
    return BipartiteTopology.from_ends(src, dst, n_in, n_out)


def _cells_of_blocks(counts: Int64Array, sizes: Int64Array, rng: np.random.Generator) -> tuple[Int64Array, Int64Array]:
    """Draw counts[b] distinct cells 0..sizes[b] - 1 of every block b; return the block and the cell of each."""
    largest = int(sizes.max())
    if largest > MANY_CELLS:  # then there are few blocks
        drawn = [distinct_cells(int(size), int(n_block), rng) for n_block, size in zip(counts, sizes, strict=True)]
        return np.repeat(np.arange(len(counts)), counts), np.concatenate(drawn)
    # Many blocks at once: each is a row, whose columns beyond the block's size are taken.
    beyond = largest - sizes
    row = np.repeat(np.arange(len(sizes)), beyond)
    column = np.arange(beyond.sum()) - np.repeat(np.cumsum(beyond) - beyond, beyond) + sizes[row]
    block, within = np.divmod(distinct_per_row(counts, largest, rng, occupied=row * largest + column), largest)
    return block, within


def _planted(n_blocks: int, mixing: float) -> Float64Array:
    """Return the share of the edges of each pair of groups."""
    if n_blocks == 1:
        return np.ones((1, 1))
    shares = np.full((n_blocks, n_blocks), mixing / (n_blocks * (n_blocks - 1)))
    np.fill_diagonal(shares, (1 - mixing) / n_blocks)
    return shares


def _check_affinity(affinity: npt.ArrayLike, n_in: int, n_out: int) -> Float64Array:
    try:
        array = np.asarray(affinity, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):  # ragged, or a tensor that numpy cannot read
        array = np.empty(0)
    if array.ndim != 2 or not (1 <= array.shape[0] <= n_out and 1 <= array.shape[1] <= n_in):
        raise TopologyError(
            f"affinity has shape {array.shape}; it must be numbers [target groups, source groups], "
            f"at most {n_out} and {n_in} groups"
        )
    if not (np.isfinite(array).all() and (array >= 0).all() and array.any()):
        raise TopologyError("affinity must be finite, >= 0 and not all zero")
    return array / array.max()
