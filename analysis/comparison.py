"""Several networks that differ only in their seed: the seed is the unit of replication, not the neuron and not the layer."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from analysis.base.checks import as_generator
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray
from analysis.paired import PairedTest, all_signs, bootstrap_interval, paired_test, rank_among_replicates
from analysis.report import TopologyReport
from analysis.tables import format_number, markdown_table, rich_table

SEED_NOTE = (
    "mean and 95 % percentile bootstrap interval over seeds; with few seeds such an interval is too short. p: two-sided "
    "sign-flip permutation test of the paired differences (same degrees: of where the network ranks among its replicates); "
    "with n seeds it is at least 2 / 2^n"
)
HEADER = ("quantity", "seeds", "mean", "95 % interval", "- untrained", "p", "- same degrees", "p")


@dataclass(frozen=True)
class QuantityComparison:
    """One quantity over seeds.

    Attributes:
        section: "layer 0", ..., or "network".
        name: name of the quantity.
        seeds: number of seeds in which it is defined.
        mean: over these; None where it is defined in none.
        low: lower end of the 95 % bootstrap interval; None below 2 seeds.
        high: upper end.
        untrained: against the untrained controls; None without them.
        shuffled: against degree-preserved graphs; None without them, or where the quantity depends on degrees alone.
    """

    section: str
    name: str
    seeds: int
    mean: float | None
    low: float | None
    high: float | None
    untrained: PairedTest | None
    shuffled: PairedTest | None


@dataclass(frozen=True)
class VerdictShares:
    """How often each conclusion was reached.

    Attributes:
        section: "layer 0", ..., or "network".
        property: the property.
        shares: share of the seeds by conclusion, those that occur; they add up to 1.
    """

    section: str
    property: str
    shares: dict[str, float]


@dataclass(frozen=True)
class SeedComparison:
    """What holds over seeds.

    Attributes:
        seeds: number of reports.
        quantities: in the order of the reports.
        verdicts: in the order of sections and properties.
    """

    seeds: int
    quantities: tuple[QuantityComparison, ...]
    verdicts: tuple[VerdictShares, ...]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain dict, list, str, int, float and None.

        Returns:
            A new dictionary; `json.dumps(..., allow_nan=False)` accepts it.
        """
        return {
            "seeds": self.seeds,
            "reading": SEED_NOTE,
            "quantities": [asdict(quantity) for quantity in self.quantities],
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }

    def to_json(self, indent: int | None = 2) -> str:
        """The comparison as JSON.

        Args:
            indent: spaces a level; None for one line.

        Returns:
            The text.
        """
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def to_markdown(self) -> str:
        """A markdown table and a list of verdicts for every section, with a line that says how to read them.

        Returns:
            The text.
        """
        parts = []
        for section in self._sections():
            verdicts = "\n".join(f"- {verdict.property}: {_shares(verdict)}" for verdict in self._verdicts(section))
            parts.append(f"### {section}\n\n{markdown_table(HEADER, self._rows(section))}\n\nVerdicts:\n\n{verdicts}")
        return "\n\n".join([*parts, f"{self.seeds} seeds; {SEED_NOTE}."]) + "\n"

    def to_table(self) -> Table:
        """One rich table, sections divided by lines.

        Returns:
            The table; print it with `rich.console.Console().print`.
        """
        blocks = []
        for section in self._sections():
            verdicts = [
                [f"verdict: {verdict.property}", "", _shares(verdict), *[""] * (len(HEADER) - 3)]
                for verdict in self._verdicts(section)
            ]
            blocks.append((section, [*self._rows(section), *verdicts]))
        return rich_table(HEADER, blocks, caption=f"{self.seeds} seeds; {SEED_NOTE}.")

    def _sections(self) -> list[str]:
        return list(dict.fromkeys(quantity.section for quantity in self.quantities))

    def _verdicts(self, section: str) -> list[VerdictShares]:
        return [verdict for verdict in self.verdicts if verdict.section == section]

    def _rows(self, section: str) -> list[list[str]]:
        return [_row(quantity) for quantity in self.quantities if quantity.section == section]


def compare(
    reports: Iterable[TopologyReport],
    *,
    untrained: Iterable[TopologyReport] | None = None,
    shuffled: Iterable[TopologyReport] | None = None,
    rng: int | np.random.Generator,
) -> SeedComparison:
    """Compare networks over seeds: mean, interval, and paired tests against the untrained and degree-preserved controls.

    Args:
        reports: one for every seed, at least one; all of the same sections and quantities.
        untrained: reports of the networks before training, in the same order; None takes the control values that stand in
            `reports`, where there are any.
        shuffled: reports of degree-preserving shuffles, in the same order; None takes the replicates of "fixed_degrees"
            that stand behind each report. The difference is then that from their mean, and the test is made on p_less -
            p_greater, which tells where the network ranks among them: its law is symmetric about 0 under the null model,
            also where that of the quantity is skewed.
        rng: seed or generator, for the bootstrap and for sign flips above 16 seeds.

    Returns:
        The comparison. Cost O(quantities * 9999 * seeds).

    Raises:
        AnalysisError: no report, something that is no report, reports of different layer sizes, sections, quantities,
            null models or numbers of replicates asked for, some with a control and some without, or controls of another
            number.
    """
    runs, generator = _reports("reports", reports), as_generator(rng)
    if not runs:
        raise AnalysisError("reports is empty; at least one is needed")
    before, kept = _controls("untrained", untrained, runs), _controls("shuffled", shuffled, runs)
    for index, report in enumerate(runs):
        for what in _ASPECTS:
            _check_alike(f"reports[{index}]", report, runs[0], what)
    for name, group in (("untrained", before or []), ("shuffled", kept or [])):
        for index, report in enumerate(group):
            for what in (_layer_sizes, _keys):
                _check_alike(f"{name}[{index}]", report, runs[0], what)
    seeds, flips = int(generator.integers(2**63)), all_signs(len(runs), generator)
    quantities = tuple(_compared(key, runs, before, kept, seeds, flips) for key in _keys(runs[0]))
    return SeedComparison(len(runs), quantities, _verdict_shares(runs))


def _controls(
    name: str, reports: Iterable[TopologyReport] | None, runs: Sequence[TopologyReport]
) -> list[TopologyReport] | None:
    if reports is None:
        return None
    result = _reports(name, reports)
    if len(result) != len(runs):
        raise AnalysisError(f"{name} has {len(result)} reports; {len(runs)} are needed, one for each of `reports`")
    return result


def _reports(name: str, reports: Iterable[TopologyReport]) -> list[TopologyReport]:
    if isinstance(reports, TopologyReport) or not isinstance(reports, Iterable):
        raise AnalysisError(f"{name} is a {type(reports).__name__}; a sequence of reports, one a seed, is needed")
    result = list(reports)
    for index, report in enumerate(result):
        if not isinstance(report, TopologyReport):
            raise AnalysisError(f"{name}[{index}] is a {type(report).__name__}; a TopologyReport is needed")
    return result


def _check_alike(name: str, report: TopologyReport, first: TopologyReport, what: Callable[[TopologyReport], Any]) -> None:
    """Refuse a report that differs from the first in something that must not depend on the seed."""
    if what(report) != what(first):
        raise AnalysisError(f"{name} has {_ASPECTS[what]} than reports[0]; they must be the same")


def _layer_sizes(report: TopologyReport) -> list[tuple[int, ...]]:
    return [section.layer_sizes for section in report.sections]


def _keys(report: TopologyReport) -> list[tuple[str, str]]:
    return [(section.name, quantity.name) for section in report.sections for quantity in section.quantities]


def _settings(report: TopologyReport) -> tuple[int, int]:
    return report.replicates_requested, report.swaps_per_edge


def _has_control(report: TopologyReport) -> bool:
    return any(quantity.control is not None for section in report.sections for quantity in section.quantities)


_ASPECTS: dict[Callable[[TopologyReport], Any], str] = {
    _layer_sizes: "other layer sizes",
    _keys: "other sections or quantities",
    _settings: "another number of replicates or of switches per edge",
    _has_control: "values of a control in another way",
}


def _compared(
    key: tuple[str, str],
    runs: Sequence[TopologyReport],
    before: Sequence[TopologyReport] | None,
    kept: Sequence[TopologyReport] | None,
    seed: int,
    flips: FloatArray,
) -> QuantityComparison:
    section, name = key
    found = [report[section][name] for report in runs]
    values = _array([quantity.value for quantity in found])
    if before is None:
        starts = _array([None if quantity.control is None else quantity.control.value for quantity in found])
    else:
        starts = _array([report[section][name].value for report in before])
    if kept is None:
        comparisons = [quantity.nulls["fixed_degrees"] for quantity in found]
        differences = values - _array([comparison.mean for comparison in comparisons])
        shuffled = paired_test(differences, _array([rank_among_replicates(comparison) for comparison in comparisons]), flips)
    else:
        differences = values - _array([report[section][name].value for report in kept])
        shuffled = paired_test(differences, differences, flips)
    known = values[~np.isnan(values)]
    low, high = (None, None) if known.size < 2 else bootstrap_interval(known, np.random.default_rng(seed))
    mean = float(known.mean()) if known.size else None
    untrained = paired_test(values - starts, values - starts, flips)
    return QuantityComparison(section, name, int(known.size), mean, low, high, untrained, shuffled)


def _array(values: Sequence[float | None]) -> FloatArray:
    """Missing values are nan in here, and nowhere outside."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _verdict_shares(runs: Sequence[TopologyReport]) -> tuple[VerdictShares, ...]:
    result = []
    all_verdicts = [report.verdicts for report in runs]
    for section, verdicts in all_verdicts[0].items():
        for name in verdicts:
            conclusions = [found[section][name].conclusion for found in all_verdicts]
            shares = {one: conclusions.count(one) / len(runs) for one in dict.fromkeys(conclusions)}
            result.append(VerdictShares(section, name, {str(one): share for one, share in shares.items()}))
    return tuple(result)


def _shares(verdict: VerdictShares) -> str:
    return ", ".join(f"{conclusion} {100 * share:.0f} %" for conclusion, share in verdict.shares.items())


def _row(quantity: QuantityComparison) -> list[str]:
    mean = "not defined" if quantity.mean is None else format_number(quantity.mean)
    has_interval = quantity.low is not None and quantity.high is not None
    interval = f"{format_number(quantity.low or 0.0)} to {format_number(quantity.high or 0.0)}" if has_interval else ""
    tests = [cell for test in (quantity.untrained, quantity.shuffled) for cell in _test_cells(test)]
    return [quantity.name.replace("_", " "), str(quantity.seeds), mean, interval, *tests]


def _test_cells(test: PairedTest | None) -> list[str]:
    return ["", ""] if test is None else [format_number(test.mean_difference), f"{test.p:.3g}"]
