"""Plain tables for a terminal, and cells that tables of results share."""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

from rich.table import Table
from rich.text import Text


def plain_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table whose first column is aligned left and the others right."""
    table = Table(title=Text(title, style="table.title"), title_justify="left", header_style="bold")
    for position, name in enumerate(header):
        justify = "left" if position == 0 else "right"
        table.add_column(Text(name), justify=justify, no_wrap=position == 0, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def over_seeds(values: Sequence[float], digits: int = 2) -> str:
    """Return "mean ± standard deviation" (divisor n - 1) with `digits` decimals; a single value has no spread.

    Both are "nan" where training has diverged.
    """
    if len(values) > 1 and not all(map(math.isfinite, values)):
        return "nan ± nan"
    mean = f"{fmean(values):.{digits}f}"
    return f"{mean} ± {stdev(values):.{digits}f}" if len(values) > 1 else mean
