"""The degrees of a layer beside what chance makes them, and beside the laws that their tail may follow."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, Literal

import numpy as np
import scipy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.base.checks import as_generator, check_count
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray, LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import as_bipartite
from analysis.render.pictures.modules import cell_densities
from analysis.render.pictures.style import STYLES, limited, log_log, not_empty, panels, plain
from analysis.tails.fit import NoFit, PowerLawFit, fit_power_law
from analysis.tails.laws import FittedLaw, power_law, power_law_log_pmf, tail_of
from analysis.tails.two_parameter_laws import LAWS

NULL_LABEL = "random graph, exact"


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

    The laws are fitted to the tail that the power law's own fit chooses (degrees of at least xmin), and scaled by the share
    of the neurons in it. They are this package's, not those of `powerlaw`, which has no finite likelihoods for steep tails
    and knows no binomial; `fit_power_law(degrees).to_powerlaw()` gives its pictures. The grey band holds, at each degree by
    itself, the middle 95 % of uniformly random layers with the same sides and number of edges; see `random_degree_band`.

    Args:
        graph: one layer, of any kind that `as_bipartite` takes.
        rng: seed or generator, for the band.
        alternatives: which laws to draw beside the power law; see `analysis.tails.evidence.ALTERNATIVES`.
        replicates: random degree sequences behind the band, at least 40.
        title: over the picture.

    Returns:
        A figure on logarithmic axes with a column for sources and one for targets: above all degrees with the power law,
        below the tail with all laws. If no power law can be fitted, the heading says why, and the lower panel is blank, or
        left out if that is so on both sides. Cost about 0.5 s for the fits of a side.

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
        degree k. Pointwise: a curve leaves the band somewhere more often than in 5 % of random layers.

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
        limited(axes[1], (fit.xmin / 1.03, values[-1] * (values[-1] / fit.xmin) ** 0.15), (floor, 1.2 * tail_share))
    else:
        for blank in axes[1:]:
            blank.set_axis_off()
    limited(axes[0], (0.8 * first, 1.2 * max(values[-1], shown[-1])), (floor, 1.5))


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
    """P(X >= x) of a fitted law at every whole number from the start of its tail on; to about 1e-12, so meant for drawing."""
    return 1.0 - np.concatenate([[0.0], np.cumsum(np.exp(law.log_pmf(x)))[:-1]])


def degree_distribution(graphs: Mapping[str, Any], *, kind: Literal["ccdf", "histogram"] = "ccdf") -> Figure:
    """Observed degrees of each side, and the exact degree distribution of a uniformly random graph of the same size.

    The degree of one source in a uniformly random bipartite graph with m edges is hypergeometric: m draws without
    replacement from n_in * n_out pairs of which n_out are the source's. The grey line is this distribution, one for
    every size that occurs.

    Args:
        graphs: single layers by name, of any kind that `as_bipartite` takes.
        kind: "ccdf" draws P(degree >= k) on two logarithmic axes, "histogram" the share of neurons of every degree.

    Returns:
        A figure with a panel for sources and a panel for targets.

    Raises:
        AnalysisError: no graphs, an unknown kind, or a graph that cannot be taken in.
    """
    if kind not in ("ccdf", "histogram"):
        raise AnalysisError(f"kind is {kind!r}; choose from ccdf, histogram")
    layers = {name: as_bipartite(graph) for name, graph in not_empty("graphs", graphs).items()}
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, side in zip(panels, ("sources", "targets"), strict=True):
        for (name, layer), style in zip(layers.items(), cycle(STYLES), strict=False):
            _draw_degrees(axes, _degrees(layer, side), name, style, kind)
        for index, size in enumerate(sorted({(graph.n_in, graph.n_out, graph.n_edges) for graph in layers.values()})):
            _draw_null(axes, size, side, kind, NULL_LABEL if index == 0 else None)
        ylabel = "share of neurons with at least this degree" if kind == "ccdf" else "share of neurons"
        axes.set(xlabel=f"degree of {side}", ylabel=ylabel, title=side.capitalize())
        if kind == "ccdf":
            axes.set(xscale="log", yscale="log")
        plain(axes)
        axes.legend(frameon=False, fontsize="small")
    return figure


def topology_card(graph: Any, *, title: str = "", bins: int = 300) -> Figure:
    """A layer at a glance: its adjacency matrix, and the degree distribution of either side beside that of a random layer.

    Black on white, targets downwards and sources to the right, as in the weight matrix; the adjacency is drawn as shares of
    joined pairs in at most `bins` x `bins` cells.
    """
    layer = as_bipartite(graph)
    share = cell_densities(layer, np.arange(layer.n_in), np.arange(layer.n_out), bins)
    figure = Figure(figsize=(9, 3), layout="constrained")
    picture, sources, targets = figure.subplots(1, 3)
    picture.imshow(share, cmap="Greys", vmin=0, vmax=share.max() or 1, aspect="auto", interpolation="nearest",
                   extent=(0, layer.n_in, layer.n_out, 0))  # fmt: skip
    picture.set(xlabel="source", ylabel="target")
    for axes, side in ((sources, "sources"), (targets, "targets")):
        _draw_degrees(axes, _degrees(layer, side), "this layer", STYLES[0], "ccdf")
        _draw_null(axes, (layer.n_in, layer.n_out, layer.n_edges), side, "ccdf", NULL_LABEL)
        axes.set(xlabel=f"degree of {side}", ylabel="share with at least this degree")
        if layer.n_edges > 0:
            log_log(axes)
        plain(axes)
        axes.legend(frameon=False, fontsize="small")
    figure.suptitle(title, fontsize=9)
    return figure


def draw_degree_tails(axes: Axes, graphs: Mapping[str, Sequence[Any]]) -> None:
    """Draw P(out-degree >= k) on two logarithmic axes: observed, of a uniformly random layer, and of a fitted power law.

    `graphs` has for every name one layer per seed. The first is drawn bold and is the one that the power law is fitted to (see
    `fit_power_law`); the others are thin. An AnalysisError if there are none.
    """
    layers = _seeds(graphs)
    for (name, (first, *others)), style in zip(layers.items(), cycle(STYLES), strict=False):
        for other in others:
            _draw_degrees(axes, other.out_degrees, "_", style, "ccdf")
            axes.lines[-1].set(linewidth=0.7, alpha=0.6, marker="")
        _draw_degrees(axes, first.out_degrees, name, style, "ccdf")
        _draw_power_law(axes, first.out_degrees, style[1])
    for index, size in enumerate(_sizes(layers)):
        _draw_null(axes, size, "sources", "ccdf", NULL_LABEL if index == 0 else None)
    log_log(axes)
    axes.set(xlabel="out-degree $k$", ylabel="share of neurons with degree ≥ $k$")
    axes.set_ylim(bottom=0.005 / max(n_in for n_in, _, _ in _sizes(layers)))  # room for the legend
    plain(axes)
    axes.legend(frameon=False, fontsize="x-small", loc="lower left")


def draw_degree_histogram(axes: Axes, graphs: Mapping[str, Sequence[Any]], *, max_bins: int = 40) -> None:
    """Draw the share of neurons in each bin of out-degrees, and that of a uniformly random layer.

    `graphs` has for every name one layer per seed: the line is their mean, the band reaches from the lowest to the highest.
    Bins are one degree wide, or as many as keep their number within about `max_bins`. An AnalysisError if there are no
    graphs.
    """
    layers = _seeds(graphs)
    highest = max(int(layer.out_degrees.max()) for seeds in layers.values() for layer in seeds)
    width = 1 + highest // max_bins
    edges = np.arange(0, highest + width + 1, width)
    for (name, seeds), (colour, line, _) in zip(layers.items(), cycle(STYLES), strict=False):
        shares = np.array([np.histogram(layer.out_degrees, edges)[0] / layer.n_in for layer in seeds])
        axes.stairs(shares.mean(axis=0), edges - 0.5, color=colour, linestyle=line, linewidth=1.5, label=name)
        axes.stairs(shares.max(axis=0), edges - 0.5, baseline=shares.min(axis=0), fill=True, color=colour, alpha=0.2)
    for index, (n_in, n_out, n_edges) in enumerate(_sizes(layers)):
        null = np.diff(scipy.stats.hypergeom(n_in * n_out, n_out, n_edges).cdf(edges - 1))
        label = None if index else NULL_LABEL
        axes.plot(edges[:-1] + (width - 1) / 2, null, color="0.45", linewidth=3.5, alpha=0.6, zorder=0, label=label)
    axes.set(xlabel="out-degree $k$", ylabel=f"share of neurons (bins of {width})" if width > 1 else "share of neurons")
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
    plain(axes)
    axes.legend(frameon=False, fontsize="small", loc="upper right")


def _seeds(graphs: Mapping[str, Sequence[Any]]) -> dict[str, list[BipartiteGraph]]:
    layers = {name: [as_bipartite(seed) for seed in seeds] for name, seeds in not_empty("graphs", graphs).items()}
    for name, seeds in layers.items():
        if not seeds:
            raise AnalysisError(f"graphs[{name!r}] is empty; at least one seed is needed")
    return layers


def _sizes(layers: Mapping[str, Sequence[BipartiteGraph]]) -> list[tuple[int, int, int]]:
    return sorted({(layer.n_in, layer.n_out, layer.n_edges) for seeds in layers.values() for layer in seeds})


def _degrees(graph: BipartiteGraph, side: str) -> LongArray:
    return graph.out_degrees if side == "sources" else graph.in_degrees


def _draw_degrees(axes: Axes, degrees: LongArray, name: str, style: tuple[str, Any, str], kind: str) -> None:
    colour, line, marker = style
    values, counts = np.unique(degrees, return_counts=True)
    shares = counts / degrees.size
    if kind == "ccdf":
        shares = shares[::-1].cumsum()[::-1]
        # A logarithmic axis has no place for degree 0.
        values, shares = values[values > 0], shares[values > 0]
    every = max(1, values.size // 20)
    axes.plot(values, shares, color=colour, linestyle=line, marker=marker, markersize=4, markevery=every, label=name)


def _draw_power_law(axes: Axes, degrees: LongArray, line: Any) -> None:
    """Draw the fitted tail from xmin to the largest degree, at the height of the observed share; nothing without a fit."""
    fit = fit_power_law(degrees)
    if isinstance(fit, NoFit):
        return
    values = np.arange(fit.xmin, degrees.max() + 1)
    law = FittedLaw({"alpha": fit.alpha}, power_law_log_pmf(fit.alpha, fit.xmin))
    shares = fit.n_tail / degrees.size * survival(law, values.astype(np.float64))
    names = ("\\alpha", "x_\\mathrm{min}", "n_\\mathrm{tail}")
    label = ", ".join(
        f"${name}$ = {value}" for name, value in zip(names, (f"{fit.alpha:.1f}", fit.xmin, fit.n_tail), strict=True)
    )
    axes.plot(values, shares, color="black", linestyle=line, linewidth=1.8, zorder=3, label=f"power law, {label}")


def _draw_null(axes: Axes, size: tuple[int, int, int], side: str, kind: str, label: str | None) -> None:
    n_in, n_out, n_edges = size
    n_opposite, n_own = (n_out, n_in) if side == "sources" else (n_in, n_out)
    law = scipy.stats.hypergeom(n_in * n_out, n_opposite, n_edges)
    values = np.arange(n_opposite + 1)
    shares = law.sf(values - 1) if kind == "ccdf" else law.pmf(values)
    # If fewer than a tenth of one neuron is expected, on either end, the line would only stretch the axis.
    rare = 0.1 / n_own
    shown = (shares >= rare) & (law.cdf(values) >= rare) & ((values > 0) | (kind == "histogram"))
    axes.plot(values[shown], shares[shown], color="0.45", linewidth=3.5, alpha=0.6, zorder=0, label=label)
