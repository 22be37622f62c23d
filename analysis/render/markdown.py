"""Reports and comparisons as Markdown."""

from collections.abc import Iterable, Sequence

from analysis.render.cells import (
    COMPARISON_HEADER,
    check_report,
    comparison_row,
    conclusion,
    report_notes,
    section_tables,
    shares_cell,
)
from analysis.report.seeds import SEED_NOTE, SeedComparison
from analysis.report.values import P_VALUE, Q_VALUE, TopologyReport


def markdown(report: TopologyReport | SeedComparison) -> str:
    """Tables and a list of verdicts per section, with lines that say how to read them.

    Args:
        report: what `describe` or `compare` returns.

    Returns:
        The text, headings of level 3.

    >>> import analysis
    >>> ring = analysis.BipartiteGraph(3, 3, [0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0])
    >>> print(analysis.markdown(analysis.describe(ring, nulls=0, measures=["mixing"], rng=0)).splitlines()[0])
    ### layer 0: 3 x 3, 6 edges
    """
    check_report(report, TopologyReport, SeedComparison)
    parts = []
    if isinstance(report, SeedComparison):
        for name in dict.fromkeys(quantity.section for quantity in report.quantities):
            rows = [comparison_row(quantity) for quantity in report.quantities if quantity.section == name]
            verdicts = [f"- {one.property}: {shares_cell(one)}" for one in report.verdicts if one.section == name]
            parts += [f"### {name}", markdown_table(COMPARISON_HEADER, rows), "Verdicts:", "\n".join(verdicts)]
        return "\n\n".join([*parts, f"{report.seeds} seeds; {SEED_NOTE}."]) + "\n"
    for section in report.sections:
        tables = [markdown_table(header, rows) for header, rows in section_tables(report, section)]
        verdicts = [f"- {verdict.property}: {conclusion(verdict)}" for verdict in section.verdicts.values()]
        parts += [f"### {section.title}", *tables, "Verdicts:", "\n".join(verdicts)]
    reading = [f"p: {P_VALUE}; B = {report.replicates}.", f"q: {Q_VALUE}."] if report.replicates else []
    return "\n\n".join([*parts, *report_notes(report), *reading]) + "\n"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with aligned columns; each row is as long as the header, a vertical bar in a cell is escaped.

    >>> print(markdown_table(("name", "n"), [("first", "1")]))
    | name  | n   |
    |-------|-----|
    | first | 1   |
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [list(header), *map(list, rows)]]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
