"""Cells and Markdown tables of the programs in this package."""

from collections.abc import Iterable, Sequence

from analysis.render.markdown import markdown_table
from netsci_nn.experiment.paired import paired_difference


def print_markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table and an empty line."""
    print(markdown_table(header, rows) + "\n")


def difference_cell(values: Sequence[float], others: Sequence[float]) -> str:
    """Return the mean of values - others, paired, and its 95 % t-interval; a single difference has no interval."""
    found = paired_difference("", "", values, "", others)
    interval = "" if found.low is None else f" [{found.low:+.2f}, {found.high:+.2f}]"
    return f"{found.mean:+.2f}{interval}"
