"""What was measured, against which null, with which uncertainty: values that print as a table, as markdown and as
JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from rich.table import Table

from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantity
from analysis.graph.arrays import FloatArray
from analysis.tables import (
    markdown_table,
    report_notes,
    rich_table,
    section_tables,
    terminal_blocks,
    terminal_header,
    undefined_notes,
    verdict_lines,
    verdict_rows,
)
from analysis.verdicts import RULES, Verdict, section_verdicts

Status = Literal["compared", "fixed", "not computed", "not defined"]

P_VALUE = (
    "two-sided permutation test: p = (1 + r) / (1 + B), where r of the B replicates lie at least as far as the "
    "observed value from the mean of the observed value and all replicates"
)

Q_VALUE = (
    "p adjusted by Benjamini and Hochberg; the family is all p-values of this report: every quantity of every section "
    "under every null model for which one was computed"
)


@dataclass(frozen=True)
class NullComparison:
    """One quantity under one null model.

    Attributes:
        status: "compared"; "fixed" (by the null's construction every replicate equals the observed graph); "not
            computed" (no replicates were asked for, or the measure is for the observed graph only); "not defined".
        replicates: number B of replicates in which the quantity is defined.
        mean: over the replicates.
        sd: standard deviation over the replicates (divisor B - 1); None for one replicate.
        z: (observed - mean) / sd; None where sd is 0 or missing.
        p: exact permutation p-value, in (0, 1]; see `P_VALUE`.
        reason: why something is missing.
        p_greater: one-sided p, (1 + r) / (1 + B) with r replicates of at least the observed value; for the verdicts.
        p_less: likewise with those of at most the observed value.
        q: adjusted p-value, at least p; see `Q_VALUE`.
        replicate_values: the quantity in every replicate in which it is defined, float64 of shape [B]; None where none was
            measured. It takes no part in comparisons and is not in `to_dict`.
    """

    status: Status
    replicates: int = 0
    mean: float | None = None
    sd: float | None = None
    z: float | None = None
    p: float | None = None
    reason: str | None = None
    p_greater: float | None = None
    p_less: float | None = None
    q: float | None = None
    replicate_values: FloatArray | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the replicates.

        Returns:
            A new dictionary of str, int, float and None.
        """
        return {name.name: getattr(self, name.name) for name in fields(self) if name.compare}


@dataclass(frozen=True)
class QuantityReport:
    """One measured quantity with everything beside it.

    Attributes:
        measure: name of the measure in the registry.
        name: name of the quantity.
        observed: its value on the graph.
        control: its value on the control graph; None where no control was given.
        nulls: its comparison with every null model, by name: "erdos_renyi" and "fixed_degrees", and "permuted_weights"
            where the network has weights.
        is_weighted: whether weights enter it.
    """

    measure: str
    name: str
    observed: Quantity
    control: Quantity | None
    nulls: Mapping[str, NullComparison]
    is_weighted: bool = False

    @property
    def value(self) -> float | None:
        """The observed value, or None where it is not defined."""
        return self.observed.value


@dataclass(frozen=True)
class SectionReport:
    """All quantities of one layer, or of the whole network.

    Attributes:
        name: "layer 0", "layer 1", ..., or "network".
        layer_sizes: neurons of every group in it, inputs first.
        n_edges: its number of edges.
        quantities: in the order of the registry.
    """

    name: str
    layer_sizes: tuple[int, ...]
    n_edges: int
    quantities: tuple[QuantityReport, ...]

    def __getitem__(self, name: str) -> QuantityReport:
        """The quantity of this name.

        Args:
            name: name of a quantity.

        Returns:
            Its report.

        Raises:
            AnalysisError: there is none; the sentence lists the choices.
        """
        for quantity in self.quantities:
            if quantity.name == name:
                return quantity
        raise AnalysisError(f"quantity {name!r} is unknown; choose from {', '.join(q.name for q in self.quantities)}")

    def get(self, name: str) -> QuantityReport | None:
        """The quantity of this name, or None where it was not measured.

        Args:
            name: name of a quantity.

        Returns:
            Its report, or None.
        """
        return next((quantity for quantity in self.quantities if quantity.name == name), None)

    @cached_property
    def verdicts(self) -> Mapping[str, Verdict]:
        """What this section's numbers say of its wiring, by property; see `analysis.verdicts`."""
        return section_verdicts(self)


@dataclass(frozen=True)
class TopologyReport:
    """The measured topology of a graph, layer by layer and as a whole.

    Attributes:
        sections: one for every layer, then one named "network" where there are several layers.
        replicates: number of replicates that were drawn of every null model; an expensive measure may have fewer.
        swaps_per_edge: attempted switches per edge of the null model "fixed_degrees".
        interrupted: whether the user stopped the run, so that there are fewer replicates than were asked for.
        replicates_requested: number of replicates that were asked for.
    """

    sections: tuple[SectionReport, ...]
    replicates: int
    swaps_per_edge: int
    interrupted: bool = False
    replicates_requested: int = 0

    @property
    def verdicts(self) -> Mapping[str, Mapping[str, Verdict]]:
        """The verdicts of every section, by its name and by property: `report.verdicts["layer 0"]["scale-free"]`."""
        return {section.name: section.verdicts for section in self.sections}

    def __getitem__(self, name: str) -> SectionReport:
        """The section of this name.

        Args:
            name: "layer 0", ..., or "network".

        Returns:
            The section.

        Raises:
            AnalysisError: there is none; the sentence lists the choices.
        """
        for section in self.sections:
            if section.name == name:
                return section
        raise AnalysisError(f"section {name!r} is unknown; choose from {', '.join(s.name for s in self.sections)}")

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dict, list, str, int, float, bool and None.

        Returns:
            A new dictionary; `json.dumps(..., allow_nan=False)` accepts it.
        """
        return {
            "replicates": self.replicates,
            "swaps_per_edge": self.swaps_per_edge,
            "replicates_requested": self.replicates_requested,
            "interrupted": self.interrupted,
            "p_value": P_VALUE,
            "q_value": Q_VALUE,
            "verdict_rules": dict(RULES),
            "sections": [_section_dict(section) for section in self.sections],
        }

    def to_json(self, indent: int | None = 2) -> str:
        """The report as JSON.

        Args:
            indent: spaces a level; None for one line.

        Returns:
            The text.
        """
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def to_markdown(self) -> str:
        """The report as a markdown table and a list of verdicts for every section, with lines that say how to read it.

        Returns:
            The text.
        """
        parts = []
        for section in self.sections:
            tables = [markdown_table(header, rows) for header, rows in section_tables(self, section)]
            verdicts = "\n".join(f"- {line}" for line in verdict_lines(section))
            parts += [f"### {section_title(section)}", *tables, "Verdicts:", verdicts]
        reading = [f"p: {P_VALUE}; B = {self.replicates}.", f"q: {Q_VALUE}."] if self.replicates else []
        return "\n\n".join([*parts, *report_notes(self), *reading]) + "\n"

    def to_table(self) -> Table:
        """The measures as one rich table, with a block for the wiring of every section and one for its weights.

        Returns:
            The table; print it with `rich.console.Console().print`.
        """
        notes = [*undefined_notes(self), *report_notes(self)]
        if self.replicates:
            notes.append(f"B = {self.replicates} replicates of every null model, unless a cell says otherwise.")
        return rich_table(terminal_header(self), terminal_blocks(self), caption="\n".join(notes) or None)

    def to_verdict_table(self) -> Table:
        """The verdicts as a rich table: property, conclusion, and the numbers that led to it, a block for every section.

        Returns:
            The table.
        """
        rows = [(section_title(section), verdict_rows(section)) for section in self.sections]
        table = rich_table(("property", "verdict", "numbers"), rows, texts=3)
        table.title, table.title_justify = "Verdicts", "left"
        return table


def section_title(section: SectionReport) -> str:
    """A heading for a section.

    Args:
        section: the section.

    Returns:
        For example "layer 0: 784 x 300, 23520 edges".
    """
    return f"{section.name}: {' x '.join(map(str, section.layer_sizes))}, {section.n_edges} edges"


def _section_dict(section: SectionReport) -> dict[str, Any]:
    return {
        "name": section.name,
        "layer_sizes": list(section.layer_sizes),
        "n_edges": section.n_edges,
        "quantities": [_quantity_dict(quantity) for quantity in section.quantities],
        "verdicts": [verdict.to_dict() for verdict in section.verdicts.values()],
    }


def _quantity_dict(quantity: QuantityReport) -> dict[str, Any]:
    return {
        "measure": quantity.measure,
        "name": quantity.name,
        "observed": asdict(quantity.observed),
        "control": None if quantity.control is None else asdict(quantity.control),
        "nulls": {name: comparison.to_dict() for name, comparison in quantity.nulls.items()},
    }
