"""Numbers and verdicts as text: the cells of all tables, for Markdown, terminals and pages."""

from collections.abc import Iterable, Mapping

import numpy as np

from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantity
from analysis.nulls.models import WEIGHT_NULL
from analysis.report.evolution import EdgeAges, LayerState
from analysis.report.seeds import PairedTest, QuantityComparison, VerdictShares
from analysis.report.values import NullComparison, QuantityReport, SectionReport, TopologyReport, Verdict

NULL_TITLES = {"erdos_renyi": "random, same size", "fixed_degrees": "random, same degrees"}
WEIGHT_TITLES = {WEIGHT_NULL: "weights permuted"}

COMPARISON_HEADER = ("quantity", "seeds", "mean", "95 % interval", "- untrained", "p", "- same degrees", "p")

STATE_TITLES = {
    "n_edges": "edges",
    "new": "new edges",
    "jaccard": "Jaccard",
    "survival": "first edges left",
    "exploration": "R_s",
    "mean_age": "mean age",
    "source_rank_correlation": "source degrees",
    "target_rank_correlation": "target degrees",
}
"""Fields of `LayerState` and their column titles."""


def check_report(report: object, *kinds: type) -> None:
    """Refuse what is no report of these kinds."""
    if not isinstance(report, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise AnalysisError(f"report is a {type(report).__name__}; a {names} is needed")


def format_number(value: float, digits: int = 4) -> str:
    """A finite number with so many significant digits; whole numbers in full."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.{digits}g}"


def mean_and_spread(mean: float, sd: float | None, digits: int = 4) -> str:
    """ "mean ± sd", the sd with so many significant digits; the mean alone if there is no sd."""
    return format_number(mean) + ("" if sd is None else f" ± {format_number(sd, digits)}")


def value_cell(value: Quantity | float) -> str:
    """A number as text, or a dash if it is not defined."""
    number = value.value if isinstance(value, Quantity) else value
    return "-" if number is None else format_number(number)


def quantity_cell(quantity: Quantity) -> str:
    """The value with its standard error, or the reason why there is none."""
    if quantity.value is None:
        return f"not defined: {quantity.reason}"
    error = "" if quantity.standard_error is None else f" (s.e. {format_number(quantity.standard_error)})"
    return format_number(quantity.value) + error


def is_of_weights(quantity: QuantityReport) -> bool:
    """Whether the quantity is compared with permuted weights, and so stands in a table of its own."""
    return quantity.is_weighted and WEIGHT_NULL in quantity.nulls


def report_header(report: TopologyReport, nulls: Mapping[str, str] = NULL_TITLES) -> list[str]:
    """ "quantity", "value", perhaps "control", and four columns for every null model if replicates were drawn."""
    quantities = [quantity for section in report.sections for quantity in section.quantities]
    header = ["quantity", "value"]
    if any(quantity.control is not None for quantity in quantities):
        header.append("control")
    if report.replicates:
        for title in nulls.values():
            header += [title, "z", "p", "q"]
    return header


def section_tables(report: TopologyReport, section: SectionReport) -> list[tuple[list[str], list[list[str]]]]:
    """Header and rows of a section's tables: its wiring, and its weights if they were permuted."""
    tables = []
    for nulls in (NULL_TITLES, WEIGHT_TITLES):
        header = report_header(report, nulls)
        chosen = [quantity for quantity in section.quantities if is_of_weights(quantity) == (nulls is WEIGHT_TITLES)]
        rows = [_row(quantity, "control" in header, nulls, report.replicates) for quantity in chosen]
        tables += [(header, rows)] if rows else []
    return tables


def _row(quantity: QuantityReport, has_control: bool, nulls: Iterable[str], replicates: int) -> list[str]:
    row = [quantity.name.replace("_", " "), quantity_cell(quantity.observed)]
    if has_control:
        row.append("" if quantity.control is None else quantity_cell(quantity.control))
    for null in nulls if replicates else ():
        row += null_cells(quantity.nulls[null], replicates)
    return row


def null_cells(comparison: NullComparison, replicates: int, digits: int = 4) -> list[str]:
    """Mean and spread, z, p and q under one null model; B is named if it is not that of the report."""
    if comparison.status == "fixed":
        return ["fixed by the null", "", "", ""]
    if comparison.mean is None:
        return [comparison.status, "", "", ""]
    fewer = "" if comparison.replicates == replicates else f" B={comparison.replicates}"
    z = "" if comparison.z is None else f"{comparison.z:.2f}"
    p, q = ("" if value is None else f"{value:.3g}" for value in (comparison.p, comparison.q))
    return [mean_and_spread(comparison.mean, comparison.sd, digits) + fewer, z, p, q]


def verdict_rows(section: SectionReport) -> list[list[str]]:
    """Property, conclusion, and the numbers or the reason behind it, in a row per property."""
    return [[v.property, v.conclusion, v.reason or _numbers(v)] for v in section.verdicts.values()]


def conclusion(verdict: Verdict) -> str:
    """A verdict in words, with the numbers behind it or the reason why there is none."""
    if verdict.reason is not None:
        return f"{verdict.conclusion}: {verdict.reason}"
    return f"{verdict.conclusion} ({_numbers(verdict)})"


def _numbers(verdict: Verdict) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {format_number(value)}" for name, value in verdict.numbers.items())


def report_notes(report: TopologyReport) -> list[str]:
    """Sentences that a reader of the tables needs: whether the run was interrupted, what was not computed under null models."""
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


def comparison_row(quantity: QuantityComparison) -> list[str]:
    """A quantity over seeds, in the columns of `COMPARISON_HEADER`."""
    mean = "not defined" if quantity.mean is None else format_number(quantity.mean)
    has_interval = quantity.low is not None and quantity.high is not None
    interval = f"{format_number(quantity.low or 0.0)} to {format_number(quantity.high or 0.0)}" if has_interval else ""
    tests = [cell for test in (quantity.untrained, quantity.shuffled) for cell in _test_cells(test)]
    return [quantity.name.replace("_", " "), str(quantity.seeds), mean, interval, *tests]


def _test_cells(test: PairedTest | None) -> list[str]:
    return ["", ""] if test is None else [format_number(test.mean_difference), f"{test.p:.3g}"]


def shares_cell(verdict: VerdictShares) -> str:
    """The conclusions over seeds and how often each was reached."""
    return ", ".join(f"{conclusion} {100 * share:.0f} %" for conclusion, share in verdict.shares.items())


def evenly_spread(n: int, most: int) -> list[int]:
    """Of 0, ..., n - 1 at most `most` numbers, evenly spread, with both ends."""
    return np.linspace(0, n - 1, min(n, most)).round().astype(int).tolist()


def state_cells(state: LayerState) -> list[str]:
    """The cells of a layer at one epoch, one per title of `STATE_TITLES`."""
    return [value_cell(getattr(state, name)) for name in STATE_TITLES]


def ages_sentence(ages: EdgeAges) -> str:
    """A sentence with the age of the youngest, the median and the oldest edge of a layer."""
    if not ages.ages.size:
        return "The last topology has no edges."
    youngest, median, oldest = np.quantile(ages.ages, (0, 0.5, 1))
    return (
        f"Ages of the last topology's edges in {ages.unit}: from {format_number(youngest)} to {format_number(oldest)}, "
        f"half of them at most {format_number(median)}."
    )
