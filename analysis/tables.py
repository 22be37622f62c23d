"""The cells of a report's tables, once, for markdown, terminals and pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from analysis.base.quantity import Quantity
from analysis.nulls.models import WEIGHT_NULL

if TYPE_CHECKING:
    from analysis.report import NullComparison, QuantityReport, SectionReport, TopologyReport
    from analysis.verdicts import Verdict

NULL_TITLES = {"erdos_renyi": "random, same size", "fixed_degrees": "random, same degrees"}
WEIGHT_TITLES = {WEIGHT_NULL: "weights permuted"}


def report_header(report: TopologyReport, nulls: Mapping[str, str] = NULL_TITLES) -> list[str]:
    """Column titles of a report's tables.

    Args:
        report: the report.
        nulls: null models and their titles.

    Returns:
        "quantity", "value", perhaps "control", and four columns for every null model where replicates were drawn.
    """
    quantities = [quantity for section in report.sections for quantity in section.quantities]
    header = ["quantity", "value"]
    if any(quantity.control is not None for quantity in quantities):
        header.append("control")
    if report.replicates:
        for title in nulls.values():
            header += [title, "z", "p", "q"]
    return header


def report_rows(report: TopologyReport, section: SectionReport, nulls: Mapping[str, str] = NULL_TITLES) -> list[list[str]]:
    """Cells of one section, in the columns of `report_header`.

    Args:
        report: the report.
        section: one of its sections.
        nulls: null models and their titles.

    Returns:
        A row for every quantity of the wiring, with `WEIGHT_TITLES` for every one into which weights enter. Where no
        weights were permuted, the former hold all.
    """
    header, is_weights = report_header(report, nulls), nulls is WEIGHT_TITLES
    chosen = [quantity for quantity in section.quantities if _is_of_weights(quantity) == is_weights]
    return [_row(quantity, "control" in header, nulls, report.replicates) for quantity in chosen]


def section_tables(report: TopologyReport, section: SectionReport) -> list[tuple[list[str], list[list[str]]]]:
    """The tables of one section: its wiring, and its weights where they were permuted.

    Args:
        report: the report.
        section: one of its sections.

    Returns:
        Header and rows of each.
    """
    tables = [(report_header(report, nulls), report_rows(report, section, nulls)) for nulls in (NULL_TITLES, WEIGHT_TITLES)]
    return [(header, rows) for header, rows in tables if rows]


def _is_of_weights(quantity: QuantityReport) -> bool:
    return quantity.is_weighted and WEIGHT_NULL in quantity.nulls


def _row(quantity: QuantityReport, has_control: bool, nulls: Iterable[str], replicates: int) -> list[str]:
    row = [quantity.name.replace("_", " "), _quantity_cell(quantity.observed)]
    if has_control:
        row.append("" if quantity.control is None else _quantity_cell(quantity.control))
    for null in nulls if replicates else ():
        row += _null_cells(quantity.nulls[null], replicates)
    return row


def terminal_header(report: TopologyReport) -> list[str]:
    """`report_header` without the columns of z.

    Args:
        report: the report.

    Returns:
        Column titles.
    """
    return [title for title in report_header(report) if title != "z"]


def terminal_blocks(report: TopologyReport) -> list[tuple[str, list[list[str]]]]:
    """The report's cells for a terminal: shorter than elsewhere, without z, and with reasons in `undefined_notes`.

    Args:
        report: the report.

    Returns:
        A title and rows, each as long as `terminal_header`, for the wiring of every section, and for its weights where
        they were permuted: these use the columns of the last null model.
    """
    header, blocks = terminal_header(report), []
    for section in report.sections:
        is_weights = [_is_of_weights(quantity) for quantity in section.quantities]
        for wanted, nulls in ((False, NULL_TITLES), (True, WEIGHT_TITLES)):
            chosen = [q for q, is_weight in zip(section.quantities, is_weights, strict=True) if is_weight == wanted]
            rows = [_terminal_row(q, header, nulls, report.replicates) for q in chosen]
            title = f"{section.name}, weights; at the right: weights permuted" if wanted else section.name
            blocks += [(title, rows)] if rows else []
    return blocks


def _terminal_row(quantity: QuantityReport, header: Sequence[str], nulls: Iterable[str], replicates: int) -> list[str]:
    first = [quantity.name.replace("_", " "), "-" if quantity.value is None else _quantity_cell(quantity.observed)]
    if "control" in header:
        control = None if quantity.control is None else quantity.control.value
        first.append("-" if control is None else format_number(control))
    cells = [cell for null in nulls if replicates for cell in _terminal_null_cells(quantity.nulls[null], replicates)]
    return first + [""] * (len(header) - len(first) - len(cells)) + cells


def _terminal_null_cells(comparison: NullComparison, replicates: int) -> list[str]:
    if comparison.mean is None:
        return ["fixed" if comparison.status == "fixed" else "-", "", ""]
    spread = "" if comparison.sd is None else f" ± {comparison.sd:.2g}"
    return [format_number(comparison.mean) + spread + _fewer(comparison, replicates), *_null_cells(comparison, replicates)[2:]]


def undefined_notes(report: TopologyReport) -> list[str]:
    """Why quantities have no value.

    Args:
        report: the report.

    Returns:
        For every section and reason a sentence with the quantities, perhaps none.
    """
    notes = []
    for section in report.sections:
        reasons: dict[str, list[str]] = {}
        for quantity in section.quantities:
            if quantity.observed.reason is not None:
                reasons.setdefault(quantity.observed.reason, []).append(quantity.name.replace("_", " "))
        notes += [f"Not defined in {section.name}, as {reason}: {', '.join(names)}." for reason, names in reasons.items()]
    return notes


def verdict_rows(section: SectionReport) -> list[list[str]]:
    """A section's verdicts as rows of a table.

    Args:
        section: the section.

    Returns:
        Property, conclusion, and the numbers or the reason behind it, in a row for every property.
    """
    return [[v.property, v.conclusion, v.reason or _numbers(v)] for v in section.verdicts.values()]


def _quantity_cell(quantity: Quantity) -> str:
    if quantity.value is None:
        return f"not defined: {quantity.reason}"
    error = "" if quantity.standard_error is None else f" (s.e. {format_number(quantity.standard_error)})"
    return format_number(quantity.value) + error


def _fewer(comparison: NullComparison, replicates: int) -> str:
    """B where it is not that of the report."""
    return "" if comparison.replicates == replicates else f" B={comparison.replicates}"


def _null_cells(comparison: NullComparison, replicates: int) -> list[str]:
    if comparison.status == "fixed":
        return ["fixed by the null", "", "", ""]
    if comparison.mean is None:
        return [comparison.status, "", "", ""]
    spread = "" if comparison.sd is None else f" ± {format_number(comparison.sd)}"
    z = "" if comparison.z is None else f"{comparison.z:.2f}"
    p, q = ("" if value is None else f"{value:.3g}" for value in (comparison.p, comparison.q))
    return [format_number(comparison.mean) + spread + _fewer(comparison, replicates), z, p, q]


def verdict_lines(section: SectionReport) -> list[str]:
    """A section's verdicts as sentences.

    Args:
        section: the section.

    Returns:
        A line for every property, such as "sparse: supported (density 0.1)".
    """
    return [f"{verdict.property}: {conclusion(verdict)}" for verdict in section.verdicts.values()]


def conclusion(verdict: Verdict) -> str:
    """A verdict in words, with the numbers behind it or the reason why there is none."""
    if verdict.reason is not None:
        return f"{verdict.conclusion}: {verdict.reason}"
    return f"{verdict.conclusion} ({_numbers(verdict)})"


def _numbers(verdict: Verdict) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {format_number(value)}" for name, value in verdict.numbers.items())


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
    header: Sequence[str],
    blocks: Iterable[tuple[str, Sequence[Sequence[str]]]],
    caption: str | None = None,
    texts: int = 1,
) -> Table:
    """A table for the terminal.

    Args:
        header: column titles.
        blocks: a title and rows of cells for every block.
        caption: text below the table, or None.
        texts: number of columns at the left that hold text; the others hold numbers and are aligned right.

    Returns:
        The table, a title line and a rule for every block.
    """
    table = Table(
        caption=None if caption is None else Text(caption), caption_justify="left", box=SIMPLE_HEAD, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip
    for index, title in enumerate(header):
        table.add_column(title, justify="left" if index < texts else "right", overflow="fold")
    for title, rows in blocks:
        table.add_section()
        table.add_row(Text(title, style="bold"), *[""] * (len(header) - 1))
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
    return table
