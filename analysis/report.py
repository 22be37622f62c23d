"""What was measured, against which null, with which uncertainty: values that print as a table, as markdown and as
JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table

from .errors import AnalysisError
from .quantity import Quantity
from .tables import markdown_table, report_header, report_rows, rich_table

Status = Literal["compared", "fixed", "not computed", "not defined"]

P_VALUE = (
    "two-sided permutation test: p = (1 + r) / (1 + B), where r of the B replicates lie at least as far as the "
    "observed value from the mean of the observed value and all replicates"
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
    """

    status: Status
    replicates: int = 0
    mean: float | None = None
    sd: float | None = None
    z: float | None = None
    p: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class QuantityReport:
    """One measured quantity with everything beside it.

    Attributes:
        measure: name of the measure in the registry.
        name: name of the quantity.
        observed: its value on the graph.
        control: its value on the control graph; None where no control was given.
        nulls: its comparison with every null model, by name.
    """

    measure: str
    name: str
    observed: Quantity
    control: Quantity | None
    nulls: Mapping[str, NullComparison]

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


@dataclass(frozen=True)
class TopologyReport:
    """The measured topology of a graph, layer by layer and as a whole.

    Attributes:
        sections: one for every layer, then one named "network" where there are several layers.
        replicates: number of replicates that were drawn of every null model.
        swaps_per_edge: attempted switches per edge of the null model "fixed_degrees".
    """

    sections: tuple[SectionReport, ...]
    replicates: int
    swaps_per_edge: int

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
            "p_value": P_VALUE,
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
        """The report as a markdown table for every section, with a line that says how to read it.

        Returns:
            The text.
        """
        header = report_header(self)
        parts = [
            f"### {section_title(section)}\n\n{markdown_table(header, report_rows(self, section))}" for section in self.sections
        ]
        return "\n\n".join([*parts, f"p: {P_VALUE}; B = {self.replicates}."]) + "\n"

    def to_table(self) -> Table:
        """The report as one rich table, sections divided by lines.

        Returns:
            The table; print it with `rich.console.Console().print`.
        """
        blocks = [(section_title(section), report_rows(self, section)) for section in self.sections]
        return rich_table(report_header(self), blocks)


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
    }


def _quantity_dict(quantity: QuantityReport) -> dict[str, Any]:
    return {
        "measure": quantity.measure,
        "name": quantity.name,
        "observed": asdict(quantity.observed),
        "control": None if quantity.control is None else asdict(quantity.control),
        "nulls": {name: asdict(comparison) for name, comparison in quantity.nulls.items()},
    }
