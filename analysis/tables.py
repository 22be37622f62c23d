"""The cells of a report's tables, once, for markdown, terminals and pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from .quantity import Quantity

if TYPE_CHECKING:
    from .report import NullComparison, QuantityReport, SectionReport, TopologyReport
    from .verdicts import Verdict

NULL_TITLES = {"erdos_renyi": "random, same size", "fixed_degrees": "random, same degrees"}


def report_header(report: TopologyReport) -> list[str]:
    """Column titles of a report's tables.

    Args:
        report: the report.

    Returns:
        "quantity", "value", perhaps "control", and four columns for every null model where replicates were drawn.
    """
    quantities = [quantity for section in report.sections for quantity in section.quantities]
    header = ["quantity", "value"]
    if any(quantity.control is not None for quantity in quantities):
        header.append("control")
    if report.replicates:
        for title in NULL_TITLES.values():
            header += [title, "z", "p", "q"]
    return header


def report_rows(report: TopologyReport, section: SectionReport) -> list[list[str]]:
    """Cells of one section, in the columns of `report_header`.

    Args:
        report: the report.
        section: one of its sections.

    Returns:
        A row for every quantity.
    """
    has_control = "control" in report_header(report)
    return [_row(quantity, has_control, bool(report.replicates)) for quantity in section.quantities]


def _row(quantity: QuantityReport, has_control: bool, has_nulls: bool) -> list[str]:
    row = [quantity.name.replace("_", " "), _quantity_cell(quantity.observed)]
    if has_control:
        row.append("" if quantity.control is None else _quantity_cell(quantity.control))
    if has_nulls:
        for null in NULL_TITLES:
            row += _null_cells(quantity.nulls[null])
    return row


def _quantity_cell(quantity: Quantity) -> str:
    if quantity.value is None:
        return f"not defined: {quantity.reason}"
    error = "" if quantity.standard_error is None else f" (s.e. {format_number(quantity.standard_error)})"
    return format_number(quantity.value) + error


def _null_cells(comparison: NullComparison) -> list[str]:
    if comparison.status == "fixed":
        return ["fixed by the null", "", "", ""]
    if comparison.mean is None:
        return [comparison.status, "", "", ""]
    spread = "" if comparison.sd is None else f" ± {format_number(comparison.sd)}"
    z = "" if comparison.z is None else f"{comparison.z:.2f}"
    p, q = ("" if value is None else f"{value:.3g}" for value in (comparison.p, comparison.q))
    return [format_number(comparison.mean) + spread, z, p, q]


def verdict_lines(section: SectionReport) -> list[str]:
    """A section's verdicts as sentences.

    Args:
        section: the section.

    Returns:
        A line for every property, such as "sparse: supported (density 0.1)".
    """
    return [f"{verdict.property}: {conclusion(verdict)}" for verdict in section.verdicts.values()]


def verdict_rows(section: SectionReport, width: int) -> list[list[str]]:
    """A section's verdicts as rows of a table.

    Args:
        section: the section.
        width: number of columns.

    Returns:
        A row for every property.
    """
    return [[f"verdict: {verdict.property}", conclusion(verdict), *[""] * (width - 2)] for verdict in section.verdicts.values()]


def conclusion(verdict: Verdict) -> str:
    """A verdict in words, with the numbers behind it or the reason why there is none."""
    if verdict.reason is not None:
        return f"{verdict.conclusion}: {verdict.reason}"
    numbers = ", ".join(f"{name.replace('_', ' ')} {format_number(value)}" for name, value in verdict.numbers.items())
    return f"{verdict.conclusion} ({numbers})"


def report_notes(report: TopologyReport) -> list[str]:
    """What a reader of the tables has to know: that the run was interrupted, and what was not computed under null models.

    Args:
        report: the report.

    Returns:
        Sentences, perhaps none.
    """
    notes = []
    if report.interrupted:
        notes.append(
            f"Interrupted: {report.replicates} of {report.replicates_requested} replicates of every null model were drawn."
        )
    missing: dict[str, list[str]] = {}
    for section in report.sections:
        for quantity in section.quantities:
            reasons = (comparison.reason for comparison in quantity.nulls.values() if comparison.status == "not computed")
            for reason in reasons:
                sections = missing.setdefault(reason, []) if reason and "request" in reason else []
                if section.name not in sections:
                    sections.append(section.name)
    return notes + [f"Not computed ({', '.join(sections)}): {reason}." for reason, sections in missing.items()]


def format_number(value: float) -> str:
    """Four significant digits; whole numbers in full.

    Args:
        value: a finite number.

    Returns:
        The text.
    """
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table with aligned columns.

    Args:
        header: column titles.
        rows: cells, one sequence a row, each as long as the header.

    Returns:
        The lines; a vertical bar inside a cell is escaped.
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [list(header), *map(list, rows)]]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def rich_table(
    header: Sequence[str], blocks: Iterable[tuple[str, Sequence[Sequence[str]]]], caption: str | None = None
) -> Table:
    """A table for the terminal.

    Args:
        header: column titles.
        blocks: a title and rows of cells for every block.
        caption: text below the table, or None.

    Returns:
        The table, a title line and a rule for every block.
    """
    table = Table(caption=None if caption is None else Text(caption), caption_justify="left")
    for index, title in enumerate(header):
        table.add_column(title, justify="left" if index == 0 else "right", overflow="fold")
    for title, rows in blocks:
        table.add_section()
        table.add_row(Text(title, style="bold"), *[""] * (len(header) - 1))
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
    return table
