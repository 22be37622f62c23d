"""What the tests of pictures look at."""

from typing import Any

from matplotlib.figure import Figure


def lines(figure: Figure, panel: int) -> dict[str, Any]:
    return {str(line.get_label()): line for line in figure.axes[panel].lines}


def drawn(figure: Figure) -> Figure:
    figure.draw_without_rendering()
    return figure
