"""Learning curves."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray
from analysis.render.pictures.style import STYLES, not_empty, plain


def learning_curves(
    curves: Mapping[str, npt.ArrayLike], *, ylabel: str = "test accuracy", title: str = "Learning curves"
) -> Figure:
    """Mean over seeds for every method, with a band from the lowest to the highest seed.

    Args:
        curves: for every name an array of shape [n_seeds, n_epochs]; a nan leaves a gap.
        ylabel: label of the vertical axis.
        title: title of the figure.

    Returns:
        The figure.

    Raises:
        AnalysisError: no curves, or one that is not a two-dimensional array with at least one number.
    """
    arrays = {name: _curve(name, values) for name, values in not_empty("curves", curves).items()}
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for (name, values), (colour, line, marker) in zip(arrays.items(), cycle(STYLES), strict=False):
        epochs = np.arange(1, values.shape[1] + 1)
        # An epoch without a number in any seed stays a gap; numpy's nan-reductions would warn about it.
        known = np.isfinite(values)
        counts = known.sum(axis=0)
        mean = np.where(counts > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)
        low = np.where(counts > 0, np.where(known, values, np.inf).min(axis=0), np.nan)
        high = np.where(counts > 0, np.where(known, values, -np.inf).max(axis=0), np.nan)
        every = max(1, values.shape[1] // 8)
        axes.plot(epochs, mean, color=colour, linestyle=line, marker=marker, markevery=every, markersize=4, label=name)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="epoch", ylabel=ylabel, title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain(axes)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _curve(name: str, values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not np.isfinite(array).any():
        raise AnalysisError(f"curves[{name!r}] has shape {array.shape}; numbers of shape [n_seeds, n_epochs] are needed")
    return array
