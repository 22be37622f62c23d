"""Configuration model: a random layer with a given degree for every neuron."""

import logging

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import neuron_count
from netsci_nn.compiling import njit
from netsci_nn.errors import TopologyError
from netsci_nn.generators.protocol import GENERATORS
from netsci_nn.generators.trades import N_SWEEPS, mixing
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.topology import BipartiteTopology, Int64Array

logger = logging.getLogger(__name__)


@GENERATORS.register("configuration_model")
def configuration_model(
    n_in: int,
    n_out: int,
    *,
    out_degrees: npt.ArrayLike,
    in_degrees: npt.ArrayLike,
    n_sweeps: int = N_SWEEPS,
    rng: Rng,
) -> BipartiteTopology:
    """Draw uniformly among all graphs in which every source and every target has its given degree, without repeated edges.

    One such graph is built greedily, then its edges are traded (`netsci_nn.generators.trades.trade_edges`) until it has
    forgotten how it was built; a warning is logged if `netsci_nn.generators.trades.mixing` finds that it has not.
    The number of edges is the sum of the degrees, so there is no budget.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        out_degrees: integers `[n_in]`, 0 to n_out each.
        in_degrees: integers `[n_out]`, 0 to n_in each, with the same sum.
        n_sweeps: sweeps of trades, 0 to 10^6.
        rng: int seed or numpy Generator.

    Raises:
        TopologyError: when a degree is out of range, the sums differ, or no graph has these degrees; the message then gives
            the first violated inequality of Gale and Ryser.

    Source: Molloy & Reed 1995 for the model; Gale 1957 and Ryser 1957 for what is feasible; the uniform law over simple
    graphs by curveball trades (Strona et al. 2014); pairing stubs at random would give repeated edges.

    Example:
        >>> topology = configuration_model(3, 4, out_degrees=[4, 2, 1], in_degrees=[2, 2, 2, 1], rng=0)
        >>> topology.out_degrees.tolist(), topology.in_degrees.tolist()
        ([4, 2, 1], [2, 2, 2, 1])
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    sources = check_degrees("out_degrees", out_degrees, n_in, n_out)
    targets = check_degrees("in_degrees", in_degrees, n_out, n_in)
    topology, report = mixing(realise_degrees(sources, targets), n_sweeps=n_sweeps, rng=as_generator(rng))
    if not report.is_mixed:
        logger.warning(
            "after %d sweeps the graph still overlaps by %.3g with the one it was built from, and falling; raise n_sweeps",
            n_sweeps,
            report.overlap[-1] if n_sweeps else 1.0,
        )
    return topology


def check_degrees(name: str, degrees: npt.ArrayLike, size: int, highest: int) -> Int64Array:
    """Return degrees as int64 `[size]` after checking that they are whole numbers from 0 to `highest`."""
    try:
        array = np.asarray(degrees)
    except (ValueError, TypeError, RuntimeError):  # nested sequences of several lengths, tensors that are not dense
        raise TopologyError(f"{name} is {degrees!r}; it must be {size} integers") from None
    if array.shape != (size,) or array.dtype.kind not in "iu":
        raise TopologyError(f"{name} has shape {array.shape} and dtype {array.dtype}; it must be {size} integers")
    outside = (array < 0) | (array > highest)
    if outside.any():
        position = int(outside.argmax())
        raise TopologyError(f"{name}[{position}] is {array[position]}; it must be from 0 to {highest}")
    return array.astype(np.int64)


def check_feasible(out_degrees: Int64Array, in_degrees: Int64Array) -> None:
    """Raise a TopologyError with numbers unless some graph without repeated edges has these degrees (Gale 1957, Ryser 1957)."""
    if out_degrees.sum() != in_degrees.sum():
        raise TopologyError(
            f"out_degrees sum up to {out_degrees.sum()} and in_degrees to {in_degrees.sum()}; both must be the number of edges"
        )
    taken = np.cumsum(np.sort(out_degrees)[::-1])
    at_least = np.cumsum(np.bincount(in_degrees, minlength=len(out_degrees) + 1)[::-1])[::-1]
    offered = np.cumsum(at_least[1 : len(out_degrees) + 1])
    violated = taken > offered
    if violated.any():
        k = int(violated.argmax()) + 1
        raise TopologyError(
            f"no graph has these degrees: the {k} largest out_degrees sum up to {taken[k - 1]}, but {k} sources can have at "
            f"most sum(min(in_degrees, {k})) = {offered[k - 1]} edges"
        )


def realise_degrees(out_degrees: Int64Array, in_degrees: Int64Array) -> BipartiteTopology:
    """Build one graph with these degrees: int64 `[n_in]` and `[n_out]`, checked by `check_feasible`.

    The sources, largest degree first, take the targets that still need the most edges (Gale 1957), in O(n_edges).
    """
    check_feasible(out_degrees, in_degrees)
    order, targets = np.argsort(-out_degrees, kind="stable"), np.argsort(-in_degrees, kind="stable")
    src, dst = _realise(order, out_degrees[order], targets, -in_degrees[targets])
    return BipartiteTopology.from_ends(src, dst, len(out_degrees), len(in_degrees))


@njit(cache=True)
def _realise(order, degrees, targets, needs):  # type: ignore[no-untyped-def]
    """Keep the targets sorted by what they still need, and take from the equally needy ones at the border the last.

    `degrees` are those of the sources in `order`; `needs`, negated so that they ascend, those of the `targets`.
    """
    n_edges = degrees.sum()
    src, dst = np.empty(n_edges, np.int32), np.empty(n_edges, np.int32)
    place = 0
    for position, degree in enumerate(degrees):
        if degree == 0:
            break
        border = needs[degree - 1]
        first, end = np.searchsorted(needs, border), np.searchsorted(needs, border, side="right")
        for number in range(degree):
            chosen = number if number < first else end - degree + number
            src[place], dst[place] = order[position], targets[chosen]
            needs[chosen] += 1
            place += 1
    return src, dst
