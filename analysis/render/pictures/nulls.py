"""Histograms of quantities under null models, with the observed value and that of a control."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray
from analysis.render.cells import NULL_TITLES
from analysis.render.pictures.style import STYLES, finite_vector, not_empty, panels, plain
from analysis.report.permutation import permutation_p

OBSERVED_LABEL = "observed"


CONTROL_LABEL = "control"


_COLUMNS = 4


_HATCHES = ("//", "..", "xx", "--")


def null_histograms(
    observed: Mapping[str, float],
    replicates: Mapping[str, Mapping[str, npt.ArrayLike]],
    *,
    control: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """The distribution of one or several quantities under null models, with the observed value and that of a control.

    Args:
        observed: for every quantity its observed value.
        replicates: for every quantity, by name of the null model, its values on the replicates, shape [B], B >= 1.
        control: for some of the quantities the value of the control.
        title: over the picture.

    Returns:
        A figure with a panel for every pair of quantity and null model, up to four in a row, each on a scale of its own,
        so that a narrow distribution is seen beside a wide one. Bars are shares of the replicates; the heading gives B and
        the two-sided permutation p = (1 + r) / (1 + B) of `analysis.report.permutation.permutation_p`. A control far outside
        the panel is named in the legend alone.

    Raises:
        AnalysisError: no quantity, a quantity without null models, names that do not match, or a number that is not
            finite.
    """
    known = _values("observed", not_empty("observed", observed))
    controls = _values("control", control or {})
    unknown = (set(replicates) ^ set(known)) | (set(controls) - set(known))
    if unknown:
        raise AnalysisError(
            f"observed, replicates and control do not match: {', '.join(sorted(unknown))} is not in all of them"
        )
    pairs = [(name, null) for name in known for null in not_empty(f"replicates[{name!r}]", replicates[name])]
    order = list(dict.fromkeys(null for _, null in pairs))
    figure, axes = panels(len(pairs), _COLUMNS, (2.75, 2.7))
    figure.set_layout_engine("constrained", w_pad=0.08)
    for panel, (name, null) in zip(axes, pairs, strict=True):
        draws = finite_vector(f"replicates[{name!r}][{null!r}]", replicates[name][null])
        _draw_histogram(panel, known[name], draws, controls.get(name), NULL_TITLES.get(null, null), order.index(null))
        panel.set_xlabel(name, fontsize=9)
    figure.supylabel("share of replicates", fontsize=10)
    figure.suptitle(title, fontsize=10)
    return figure


def _values(argument: str, numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: float(finite_vector(f"{argument}[{name!r}]", [value])[0]) for name, value in numbers.items()}


def _draw_histogram(axes: Axes, observed: float, draws: FloatArray, control: float | None, null: str, index: int) -> None:
    shown = np.append(draws, observed)
    span = float(np.ptp(shown)) or 0.1 * abs(observed) or 1.0
    # A control far away would press everything else into a line.
    is_near = control is not None and shown.min() - 2.0 * span <= control <= shown.max() + 2.0 * span
    if control is not None and is_near:
        shown = np.append(shown, control)
        span = float(np.ptp(shown)) or span
    colour, hatch = STYLES[index % len(STYLES)][0], _HATCHES[index % len(_HATCHES)]
    axes.hist(draws, _bins(draws, span).tolist(), weights=np.full(draws.size, 1.0 / draws.size), histtype="stepfilled",
              facecolor=(*_lighter(colour), 0.75), edgecolor=colour, hatch=hatch)  # fmt: skip
    axes.axvline(observed, color="black", linewidth=2.2, label=f"{OBSERVED_LABEL} ({observed:.4g})")
    if control is not None and is_near:
        axes.axvline(control, color="black", linewidth=1.6, linestyle="--", label=f"{CONTROL_LABEL} ({control:.4g})")
    elif control is not None:
        side = "left" if control < observed else "right"
        axes.plot([], [], color="black", linewidth=1.6, linestyle="--", label=f"{CONTROL_LABEL} ({control:.4g}, far {side})")
    axes.set_xlim(shown.min() - 0.06 * span, shown.max() + 0.06 * span)
    axes.locator_params(axis="x", nbins=4)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.tick_params(labelsize=8)
    axes.set_title(f"{null}\nB = {draws.size}, p = {permutation_p(observed, draws):.3g}", fontsize=9)
    plain(axes)
    # Below the panel and one entry a line, so that neither bars nor a neighbour's legend are covered.
    axes.legend(handles=axes.lines, frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.28))


def _lighter(colour: str) -> tuple[float, float, float]:
    red, green, blue = (0.6 + 0.4 * int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def _bins(values: FloatArray, span: float) -> FloatArray:
    """Edges of about sqrt(B) bins; equal values get one bar that is thin but can be seen."""
    low, high = float(values.min()), float(values.max())
    if high - low < 0.02 * span:
        middle = 0.5 * (low + high)
        return np.array([middle - 0.01 * span, middle + 0.01 * span])
    return np.linspace(low, high, int(np.clip(np.sqrt(values.size), 4, 25)) + 1)
