"""The degrees of a layer beside what chance makes them, and beside the laws that their tail may follow."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.base.checks import as_generator, check_count
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, LongArray
from analysis.graph.intake import as_bipartite
from analysis.graph.values import BipartiteGraph
from analysis.panels import logarithmic, panels, plain
from analysis.plots import STYLES
from analysis.tails.fit import NoFit, PowerLawFit, fit_power_law
from analysis.tails.laws import FittedLaw, power_law, tail_of
from analysis.tails.two_parameter_laws import LAWS

UNDRAWN_ALTERNATIVES = ("poisson",)
"""At the densities of sparse layers it cannot be told from the binomial by eye."""

DRAWN_ALTERNATIVES = tuple(name for name in LAWS if name not in UNDRAWN_ALTERNATIVES)
COVERAGE = 0.95
REPLICATES = 1000
BAND_LABEL = "random layer, 95 % at each degree"
OBSERVED_LABEL = "this layer"

_DASHES = ("--", "-.", ":", (0, (9, 2, 1, 2, 1, 2)), (0, (9, 4)), (0, (1, 3)), (0, (4, 1)))
"""More different from one another than those of curves that also have markers; a solid line is the power law."""

_MAX_EXACT_PAIRS = 10**9 - 1
"""numpy's hypergeometric draws take no larger population."""


def degree_tails(
    graph: Any,
    *,
    rng: int | np.random.Generator,
    alternatives: Sequence[str] = DRAWN_ALTERNATIVES,
    replicates: int = REPLICATES,
    title: str = "",
) -> Figure:
    """P(degree >= k) of each side, with the fitted power law, its alternatives, and what a random layer would show.

    The laws are fitted to the tail that the power law's own fit chooses (degrees of at least xmin), and scaled by the
    share of the neurons in it. The grey band holds, at each degree by itself, the middle 95 % of uniformly random layers
    with the same sides and number of edges; see `random_degree_band`.

    Args:
        graph: one layer, of any kind that `as_bipartite` takes.
        rng: seed or generator, for the band.
        alternatives: which laws to draw beside the power law; see `analysis.tails.evidence.ALTERNATIVES`.
        replicates: random degree sequences behind the band, at least 40.
        title: over the picture.

    Returns:
        A figure on logarithmic axes with a column for sources and one for targets: above all degrees with the power law,
        below the tail with all laws. Where no power law can be fitted, the heading says why, and the lower panel is blank,
        or left out where that is so on both sides. Cost about 0.5 s for the fits of a side.

    Raises:
        AnalysisError: the graph has no edge or cannot be taken in, an alternative is unknown, or too few replicates.
    """
    layer, generator = as_bipartite(graph), as_generator(rng)
    for name in alternatives:
        if name not in LAWS:
            raise AnalysisError(f"alternative {name!r} is unknown; choose from {', '.join(LAWS)}")
    if layer.n_edges == 0:
        raise AnalysisError("graph has no edge; a degree distribution on logarithmic axes needs at least 1")
    sides = {"sources": layer, "targets": layer.transposed()}
    fits = {side: fit_power_law(seen.out_degrees) for side, seen in sides.items()}
    is_fitted = any(isinstance(fit, PowerLawFit) for fit in fits.values())
    figure, axes = panels(4 if is_fitted else 2, 2, (4.7, 3.6), (0.0, 0.8))
    for column, (side, seen) in enumerate(sides.items()):
        _draw_side(axes[column::2], seen, fits[side], alternatives, random_degree_band(seen, generator, replicates))
        for panel in axes[column::2]:
            panel.set(xlabel=f"degree k of {side}", ylabel="share with degree at least k")
    entries = {str(label): handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries, frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    figure.suptitle(title, fontsize=10)
    return figure


def random_degree_band(
    graph: BipartiteGraph, rng: int | np.random.Generator, replicates: int = REPLICATES
) -> tuple[FloatArray, FloatArray]:
    """Pointwise band of the share of sources with degree at least k, in uniformly random layers of the same size.

    The degrees of one side of such a layer are multivariate hypergeometric: n_edges draws without replacement from
    n_in groups of n_out pairs. Only they are drawn, not the layers. (Above 10^9 pairs with replacement, that is from the
    multinomial law, which differs by the small density.)

    Args:
        graph: the layer; transpose it for the targets.
        rng: seed or generator.
        replicates: degree sequences drawn, at least 40, so that 2.5 % of them is one or more.

    Returns:
        The quantiles 2.5 % and 97.5 % over the replicates, float64 of shape [largest degree drawn + 1]; entry k belongs to
        degree k. Pointwise: a curve leaves the band somewhere more often than in 5 % of random layers. Cost
        O(replicates * (n_in + largest degree)).

    Raises:
        AnalysisError: fewer than 40 replicates.
    """
    check_count("replicates", replicates, 40)
    generator = as_generator(rng)
    drawn = [_random_degrees(graph, generator) for _ in range(replicates)]
    size = max(int(degrees.max()) for degrees in drawn) + 1
    counts = np.stack([np.bincount(degrees, minlength=size) for degrees in drawn])
    shares = counts[:, ::-1].cumsum(axis=1)[:, ::-1] / graph.n_in
    # Both quantiles are values that occur, so that the band of counts has whole ends.
    low = np.quantile(shares, (1.0 - COVERAGE) / 2.0, axis=0, method="lower")
    high = np.quantile(shares, (1.0 + COVERAGE) / 2.0, axis=0, method="higher")
    return low, high


def _random_degrees(graph: BipartiteGraph, rng: np.random.Generator) -> LongArray:
    if graph.n_in * graph.n_out > _MAX_EXACT_PAIRS:
        return rng.multinomial(graph.n_edges, np.full(graph.n_in, 1.0 / graph.n_in))
    return rng.multivariate_hypergeometric(np.full(graph.n_in, graph.n_out), graph.n_edges, method="marginals")


def _draw_side(
    axes: Sequence[Axes],
    graph: BipartiteGraph,
    fit: PowerLawFit | NoFit,
    alternatives: Sequence[str],
    band: tuple[FloatArray, FloatArray],
) -> None:
    """The sources of the graph: all of them in the first panel, the tail with all laws in the second, if there is one."""
    degrees, floor = graph.out_degrees, 0.5 / graph.n_in
    low, high = band
    shown = np.flatnonzero(high > 0.0)[1:]
    values, counts = np.unique(degrees[degrees > 0], return_counts=True)
    shares = counts[::-1].cumsum()[::-1] / degrees.size
    for panel in axes if isinstance(fit, PowerLawFit) else axes[:1]:
        # A logarithmic axis has no place for a share of 0.
        panel.fill_between(
            shown, np.maximum(low[shown], floor), high[shown], color="0.8", linewidth=0, zorder=0, label=BAND_LABEL
        )
        panel.plot(values, shares, "o", color="black", markersize=3.5, markerfacecolor="white", label=OBSERVED_LABEL, zorder=4)
    begins = shown[low[shown] < 1.0]
    first = min(int(values[0]), int(begins[0]) if begins.size else int(values[0]))
    axes[0].set_title(_heading(degrees, fit), fontsize=9)
    if isinstance(fit, PowerLawFit):
        _draw_laws(axes[0], graph, fit, ())
        _draw_laws(axes[1], graph, fit, alternatives)
        tail_share = fit.n_tail / degrees.size
        _finish(axes[1], (fit.xmin / 1.03, values[-1] * (values[-1] / fit.xmin) ** 0.15), (floor, 1.2 * tail_share))
    else:
        for blank in axes[1:]:
            blank.set_axis_off()
    _finish(axes[0], (0.8 * first, 1.2 * max(values[-1], shown[-1])), (floor, 1.5))


def _finish(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    logarithmic(axes, x, y)
    plain(axes)


def _heading(degrees: LongArray, fit: PowerLawFit | NoFit) -> str:
    zeros = degrees.size - int(np.count_nonzero(degrees))
    without = f"{zeros} of {degrees.size} neurons have no edge" if zeros else "every neuron has an edge"
    if isinstance(fit, NoFit):
        return f"no power law fitted: {fit.reason}\n{without}".replace(" and a fit", "\nand a fit")
    return (
        f"{without}\npower law: alpha = {fit.alpha:.2f} ± {fit.standard_error:.2f}, xmin = {fit.xmin}, {fit.n_tail} in the tail"
    )


def _draw_laws(axes: Axes, graph: BipartiteGraph, fit: PowerLawFit, alternatives: Sequence[str]) -> None:
    degrees = graph.out_degrees
    x = np.arange(fit.xmin, max(2 * int(degrees.max()), fit.xmin + 2), dtype=np.float64)
    laws = _fitted(degrees, fit, alternatives, graph.n_out)
    # A law that cannot be fitted on one side leaves the styles of the others as they are.
    styles = dict(zip(alternatives, zip(cycle(STYLES[1:]), cycle(_DASHES), strict=False), strict=False))
    for name, law in laws.items():
        inside = x[x <= graph.n_out] if name == "binomial" else x
        shares = fit.n_tail / degrees.size * survival(law, inside)
        seen = shares >= 0.2 / degrees.size
        (colour, _, _), line = styles.get(name, (STYLES[0], "-"))
        width = 1.4 if name in styles else 2.4
        axes.plot(inside[seen], shares[seen], color=colour, linestyle=line, linewidth=width, label=name.replace("_", " "))
    axes.axvline(fit.xmin, color="0.5", linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)


def _fitted(degrees: LongArray, fit: PowerLawFit, alternatives: Sequence[str], n_opposite: int) -> Mapping[str, FittedLaw]:
    """The laws that can be fitted to the tail, the power law first."""
    tail = tail_of(degrees, fit.xmin, n_opposite)
    laws = {"power_law": power_law(tail)}
    for name in alternatives if tail.values.size >= 2 else ():
        try:
            laws[name] = LAWS[name](tail)
        except (ArithmeticError, RuntimeError, ValueError):
            # As in a report, a law whose search fails is left out; the others stand.
            continue
    return laws


def survival(law: FittedLaw, x: FloatArray) -> FloatArray:
    """P(X >= x) of a fitted law.

    Args:
        law: the law.
        x: every whole number from the start of the law's tail on, float64 of shape [n].

    Returns:
        float64 of shape [n], from 1 downwards; to about 1e-12, so meant for drawing.
    """
    return 1.0 - np.concatenate([[0.0], np.cumsum(np.exp(law.log_pmf(x)))[:-1]])
