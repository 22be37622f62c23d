"""Reports and comparisons as tables of rich, for a terminal."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from analysis.render.cells import (
    COMPARISON_HEADER,
    NULL_TITLES,
    WEIGHT_TITLES,
    check_report,
    comparison_row,
    is_of_weights,
    null_cells,
    quantity_cell,
    report_header,
    report_notes,
    shares_cell,
    value_cell,
    verdict_rows,
)
from analysis.report.seeds import SEED_NOTE, SeedComparison
from analysis.report.values import QuantityReport, TopologyReport


def table(report: TopologyReport | SeedComparison) -> Table:
    """The quantities as one table of rich, with a block per section; print it with `rich.console.Console().print`.

    A report's table is shorter than its Markdown: it leaves out z and gives reasons in the caption. A section whose weights
    were permuted has a second block for them, in the columns of the last null model. A comparison's table holds its
    verdicts too.
    """
    check_report(report, TopologyReport, SeedComparison)
    if isinstance(report, SeedComparison):
        return _comparison_table(report)
    header = [title for title in report_header(report) if title != "z"]
    blocks = []
    for section in report.sections:
        for wanted, nulls in ((False, NULL_TITLES), (True, WEIGHT_TITLES)):
            chosen = [quantity for quantity in section.quantities if is_of_weights(quantity) == wanted]
            title = f"{section.full_name}, weights; at the right: weights permuted" if wanted else section.full_name
            if chosen:
                blocks.append((title, [_row(quantity, header, nulls, report.replicates) for quantity in chosen]))
    notes = [*_undefined(report), *report_notes(report)]
    if report.replicates:
        notes.append(f"B = {report.replicates} replicates of every null model, unless a cell says otherwise.")
    return rich_table(header, blocks, caption="\n".join(notes) or None)


def verdict_table(report: TopologyReport) -> Table:
    """The verdicts as a table of rich: property, conclusion, and the numbers behind it, with a block per section."""
    check_report(report, TopologyReport)
    rows = [(section.title, verdict_rows(section)) for section in report.sections]
    result = rich_table(("property", "verdict", "numbers"), rows, texts=3)
    result.title, result.title_justify = "Verdicts", "left"
    return result


def _comparison_table(comparison: SeedComparison) -> Table:
    blocks = []
    for name in dict.fromkeys(quantity.section for quantity in comparison.quantities):
        rows = [comparison_row(quantity) for quantity in comparison.quantities if quantity.section == name]
        blank = [""] * (len(COMPARISON_HEADER) - 3)
        verdicts = [
            [f"verdict: {one.property}", "", shares_cell(one), *blank] for one in comparison.verdicts if one.section == name
        ]
        blocks.append((name, [*rows, *verdicts]))
    return rich_table(COMPARISON_HEADER, blocks, caption=f"{comparison.seeds} seeds; {SEED_NOTE}.")


def _row(quantity: QuantityReport, header: Sequence[str], nulls: Iterable[str], replicates: int) -> list[str]:
    first = [quantity.name.replace("_", " "), "-" if quantity.value is None else quantity_cell(quantity.observed)]
    if "control" in header:
        first.append("-" if quantity.control is None else value_cell(quantity.control))
    cells = []
    for comparison in (quantity.nulls[null] for null in nulls if replicates):
        if comparison.mean is None:
            cells += ["fixed" if comparison.status == "fixed" else "-", "", ""]
        else:
            mean, _, p, q = null_cells(comparison, replicates, digits=2)
            cells += [mean, p, q]
    return first + [""] * (len(header) - len(first) - len(cells)) + cells


def _undefined(report: TopologyReport) -> list[str]:
    """One sentence per section and reason with the quantities that have no value."""
    notes = []
    for section in report.sections:
        reasons: dict[str, list[str]] = {}
        for quantity in section.quantities:
            if quantity.observed.reason is not None:
                reasons.setdefault(quantity.observed.reason, []).append(quantity.name.replace("_", " "))
        notes += [f"Not defined in {section.name}, as {reason}: {', '.join(names)}." for reason, names in reasons.items()]
    return notes


def rich_table(
    header: Sequence[str],
    blocks: Iterable[tuple[str, Sequence[Sequence[str]]]],
    caption: str | None = None,
    texts: int = 1,
) -> Table:
    """A table for the terminal: a title line and a rule per block; the first `texts` columns hold text, the others numbers."""
    result = Table(
        caption=None if caption is None else Text(caption), caption_justify="left", box=SIMPLE_HEAD, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip
    for index, title in enumerate(header):
        result.add_column(title, justify="left" if index < texts else "right", overflow="fold")
    for title, rows in blocks:
        result.add_section()
        result.add_row(Text(title, style="bold"), *[""] * (len(header) - 1))
        for row in rows:
            result.add_row(*(Text(cell) for cell in row))
    return result
