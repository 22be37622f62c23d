"""Bipartite receptive field (BRF): sources prefer the targets near their position on a ring, with a tunable strength."""

import math

import numpy as np

from netsci_nn.checks import check_choice, check_real, neuron_count
from netsci_nn.compiling import njit
from netsci_nn.generators.bsw import nearest
from netsci_nn.generators.protocol import GENERATORS, resolve_n_edges
from netsci_nn.sampling import Rng, as_generator, even_parts, largest_remainder
from netsci_nn.topology import BipartiteTopology, Float64Array, Int64Array

DEGREES = ("fixed", "uniform")
# A larger exponent would not separate more distances (they differ by more than 1e-11 of themselves), but would use up the
# digits of a double that decide between equal ones.
LARGEST_EXPONENT = 1e12
# Steps of the table of expected numbers.
GRID = 513


@GENERATORS.register("brf")
def brf(
    n_in: int,
    n_out: int,
    *,
    n_edges: int | None = None,
    density: float | None = None,
    randomness: float = 0.3,
    degrees: str = "fixed",
    rng: Rng,
) -> BipartiteTopology:
    """Draw the targets of every source by their distance on a ring, one after the other and without replacement.

    The targets lie on a ring, one step apart, and source i sits at position i * n_out / n_in. Among the targets that it
    has not yet drawn, a source draws target j with probability proportional to (1 + d_ij)^(-(1 - r) / r), where d_ij is
    the distance on the ring, 0 to n_out / 2 steps. r = 0 leaves nothing to chance: the nearest targets, of two equally
    near ones the following first (the lattice of `bsw`, if there are no fewer sources than targets); r = 1 is uniform.
    Time and memory grow with the number of edges, not of pairs, except for a source that takes a large part of all targets.

    Out-degrees with `degrees="fixed"` are n_edges / n_in rounded down or up, the larger ones evenly spread. With
    `degrees="uniform"` each is first drawn uniformly from 0 to twice the mean, and all are then multiplied by what makes
    their sum n_edges, rounded by largest remainder and capped at n_out; in a layer denser than one half this is the law of
    the missing edges, so that out-degrees reach from 2 * mean - n_out to n_out. The in-degree of a target is a sum of
    independent draws, one per source: binomial at r = 1 (degrees fixed), narrower for smaller r. Its mean is the same for all
    targets if n_out divides n_in; if targets outnumber sources, those at a source's position get more.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_edges: exact number of edges, 0 to n_in * n_out; or
        density: share of the possible edges in (0, 1], meaning round(density * n_in * n_out) edges.
        randomness: r, 0 to 1.
        degrees: "fixed" or "uniform".
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a size, the budget, the randomness or `degrees` is out of range.

    Source: the model BRF of Zhang, Cerretti, Zhao, Wu, Liao, Michieli & Cannistraci 2025 (Cannistraci-Hebb training, soft
    rule), appendix D, with the weight of its published code. There the targets' degrees are chosen; here the sources'.
    The law of "uniform" with its exact budget, and positions that are not rounded to whole steps, are this toolkit's.

    Example:
        >>> brf(4, 4, n_edges=8, randomness=0, rng=0).to_mask().astype(int).tolist()
        [[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    count = resolve_n_edges(n_in, n_out, n_edges, density)
    r = check_real("randomness", randomness, lambda value: 0 <= value <= 1, "from 0 to 1")
    check_choice("degrees", degrees, DEGREES)
    generator = as_generator(rng)
    counts = even_parts(count, n_in) if degrees == "fixed" else _uniform_degrees(count, n_in, n_out, generator)
    if r == 0:
        source, target = nearest(counts, n_out)
        return BipartiteTopology.from_keys(target * n_in + source, n_in, n_out)
    exponent = min((1 - r) / r, LARGEST_EXPONENT)
    horizons = _horizons(counts, n_out, exponent)
    return BipartiteTopology.from_keys(draw_targets(counts, horizons, n_out, exponent, generator), n_in, n_out)


def _uniform_degrees(count: int, n_in: int, n_out: int, rng: np.random.Generator) -> Int64Array:
    """Draw out-degrees in proportion to uniform variates, or n_out minus such ones if most pairs are joined."""
    shares = 1.0 - rng.random(n_in)
    n_missing = n_in * n_out - count
    if count <= n_missing:
        return largest_remainder(count, shares, n_out, rng)
    return n_out - largest_remainder(n_missing, shares, n_out, rng)


def _horizons(counts: Int64Array, n_out: int, exponent: float) -> Float64Array:
    """Return, per source, the log of a time by which a few more than `counts` clocks are expected to ring (see `draw_targets`).

    The expectation is tabulated as an integral over the distances, on a logarithmic grid. Infinity stands for a source
    that takes so many targets that reading all clocks is faster.
    """
    wanted = 1.1 * counts + 4 * np.sqrt(counts) + 8
    is_few = (counts > 0) & (wanted < n_out / 2)
    horizons = np.full(len(counts), np.inf)
    if is_few.any():
        bounds = np.linspace(0.0, math.log1p(n_out / 2), GRID)
        times = np.linspace(-math.log(n_out) - 1, exponent * bounds[-1] + 4, GRID)
        with np.errstate(over="ignore", under="ignore"):
            chance = -np.expm1(-np.exp(times[:, None] - exponent * (bounds[1:] + bounds[:-1]) / 2))
        expected = chance @ (2 * np.diff(np.expm1(bounds)))
        horizons[is_few] = np.interp(wanted[is_few], expected, times)
    return horizons


@njit(cache=True)
def draw_targets(counts, horizons, n_out, exponent, rng):  # type: ignore[no-untyped-def]
    """Return the keys target * n_in + source of `counts[source]` targets for every source, by the law of `brf`.

    Every target has a clock that rings after an exponential time whose rate is the target's weight; the first k to ring
    are k draws without replacement. The clocks that ring up to the source's horizon are read; if these are too few, all
    others too: since they have not rung yet, the rest of their times is exponential. So the law is the same for all
    horizons (float64 `[n_in]`, logs of times), and only the work depends on them.
    """
    n_in = len(counts)
    keys = np.empty(counts.sum(), np.int64)
    times, targets, is_known = np.empty(n_out), np.empty(n_out, np.int64), np.zeros(n_out, np.bool_)
    n_keys = 0
    for source, wanted in enumerate(counts):
        if wanted == 0:
            continue
        n_read = _read_clocks(source, n_in, n_out, exponent, horizons[source], is_known, times, targets, rng)
        if n_read < wanted:
            early = targets[:n_read].copy()
            for target in early:
                keys[n_keys] = target * n_in + source
                is_known[target] = True
                n_keys += 1
            wanted -= n_read
            n_read = _read_clocks(source, n_in, n_out, exponent, np.inf, is_known, times, targets, rng)
            is_known[early] = False
        for place in np.argsort(times[:n_read])[:wanted]:
            keys[n_keys] = targets[place] * n_in + source
            n_keys += 1
    return keys


@njit(cache=True)
def _read_clocks(source, n_in, n_out, exponent, horizon, is_known, times, targets, rng):  # type: ignore[no-untyped-def]
    """Find the clocks that ring up to exp(horizon), but not those known; write the logs of their times and their targets.

    Behind and ahead of the source weights fall, so a clock's chance bounds that of all farther ones: the next that could
    ring lies a geometric number of places away and rings with the ratio of its own chance to that bound. Hence about as
    many steps as clocks that ring. Returns how many.
    """
    before, offset = source * n_out // n_in, source * n_out % n_in / n_in
    n_behind = n_out // 2 + int(n_out % 2 == 1 and offset <= 0.5)
    n_read = 0
    for side in range(2):
        place, nearest = 0, offset if side == 0 else 1.0 - offset
        n_side = n_behind if side == 0 else n_out - n_behind
        while place < n_side:
            bound = -np.expm1(-np.exp(horizon - exponent * np.log1p(nearest + place)))
            if bound < 1.0:
                skipped = np.log1p(-rng.random()) / np.log1p(-bound) if bound > 0.0 else np.inf
                if skipped >= n_side - place:
                    break
                place += int(skipped)
            target = (before - place if side == 0 else before + 1 + place) % n_out
            log_weight = -exponent * np.log1p(nearest + place)
            level = rng.random() * bound
            if level < -np.expm1(-np.exp(horizon + log_weight)) and not is_known[target]:
                times[n_read] = np.log(-np.log1p(-level)) - log_weight
                targets[n_read] = target
                n_read += 1
            place += 1
    return n_read
