"""Whether edge switching has forgotten where it began: the diagnosis behind the default number of switches per edge."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.base.checks import as_generator, check_count
from analysis.graph.arrays import FloatArray, LongArray
from analysis.graph.intake import takes_any_graph
from analysis.graph.values import BipartiteGraph
from analysis.nulls.switching import SWAPS_PER_EDGE, _complement, _extension, _walk, edge_bitmap

_MIXING_STEPS = 20


_MIXING_EDGES = 4000


_MAX_CHAINS = 16


@dataclass(frozen=True)
class Mixing:
    """How far edge switching has gone from where it began.

    Attributes:
        overlap: share of the first graph's edges that are there after each twentieth of the run, and then after each
            twentieth of a run three times as long again; float64 of shape [40], the mean over the chains. (Of its missing
            edges, where these are fewer.)
        acceptance: share of the attempted switches that changed the graph.
        is_mixed: whether the overlap had stopped falling when the run ended, that is at `overlap[19]`.
    """

    overlap: FloatArray
    acceptance: float
    is_mixed: bool


@takes_any_graph
def mixing(graph: BipartiteGraph, rng: int | np.random.Generator, swaps_per_edge: int = SWAPS_PER_EDGE) -> Mixing:
    """Whether so many switches per edge are enough for `fixed_degrees` to forget this graph.

    The overlap with the first graph falls from 1 to a plateau, that of two unrelated graphs with these degrees, which is
    taken from the second half of a continuation three times as long as the run. The run counts as mixed where its mean
    overlap over the last quarter is not above the plateau by more than four standard errors and one edge, the common edges
    taken to be independent. So that little is missed on small graphs, several chains are averaged, up to 16, until they
    have 4,000 edges together: a remainder of about 4 sqrt(overlap / max(n_edges, 4,000)) of the edges can go unseen. A
    graph that allows no switch counts as mixed: it is the only one with its degrees.

    Args:
        graph: where the chains begin.
        rng: seed or generator.
        swaps_per_edge: the number that is judged, at least 1; where few switches succeed, the run is as much longer as that
            of `fixed_degrees`.

    Returns:
        The course of the overlap and the judgement. Cost about five times that of `fixed_degrees`, for each chain.

    Raises:
        AnalysisError: as `fixed_degrees`.
    """
    check_count("swaps_per_edge", swaps_per_edge)
    generator = as_generator(rng)
    start = _complement(graph) if 2 * graph.n_edges > graph.n_in * graph.n_out else graph
    if start.n_edges == 0:
        return Mixing(np.ones(2 * _MIXING_STEPS), 0.0, True)
    steps = swaps_per_edge * start.n_edges
    steps += _extension(steps, _walk(start.src.copy(), start.dst.copy(), graph.n_in, edge_bitmap(start), steps, generator))
    n_chains = int(np.clip(-(-_MIXING_EDGES // start.n_edges), 1, _MAX_CHAINS))
    courses = [_course(start, steps, generator) for _ in range(n_chains)]
    overlap = np.mean([course for course, _ in courses], axis=0)
    acceptance = float(np.mean([share for _, share in courses]))
    return Mixing(overlap, acceptance, _has_settled(overlap, start.n_edges * n_chains))


def _course(start: BipartiteGraph, steps: int, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """The overlap of one chain over a run of `steps` and one of three times as many, and the share of accepted switches."""
    src, dst, bitmap = start.src.copy(), start.dst.copy(), edge_bitmap(start)
    keys = start.keys
    marks = np.concatenate([np.arange(_MIXING_STEPS + 1), _MIXING_STEPS + 3 * np.arange(1, _MIXING_STEPS + 1)])
    parts = np.diff(steps * marks // _MIXING_STEPS)
    overlap, done = np.empty(parts.size), 0
    for index, count in enumerate(parts):
        done += _walk(src, dst, start.n_in, bitmap, int(count), rng)
        overlap[index] = _bits(bitmap, keys).mean()
    return overlap, done / int(parts.sum())


def _bits(bitmap: npt.NDArray[np.uint64], keys: LongArray) -> npt.NDArray[np.uint64]:
    return (bitmap[keys >> 6] >> (keys & 63).astype(np.uint64)) & np.uint64(1)


def _has_settled(overlap: FloatArray, n_edges: int) -> bool:
    """Whether the last quarter of the run lies on the plateau; `n_edges` are those of all chains."""
    last = overlap[_MIXING_STEPS - _MIXING_STEPS // 4 : _MIXING_STEPS].mean()
    plateau = overlap[_MIXING_STEPS + _MIXING_STEPS // 2 :].mean()
    error = np.sqrt(plateau * (1.0 - plateau) / n_edges)
    return bool(last - plateau <= 4.0 * error + 1.0 / n_edges)
