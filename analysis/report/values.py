"""The values of a report: quantities beside their control and null models, verdicts, sections, and the whole.

They are plain: `describe` fills them, the verdicts as its last step, and `analysis.render` prints them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantity

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
        z: (observed - mean) / sd; None if sd is 0 or missing.
        p: exact permutation p-value, in (0, 1]; see `P_VALUE`.
        reason: why something is missing.
        p_greater: one-sided p, (1 + r) / (1 + B) with r replicates of at least the observed value; for the verdicts.
        p_less: likewise with those of at most the observed value.
        q: adjusted p-value, at least p; see `Q_VALUE`.
        replicate_values: the quantity in every replicate in which it is defined, float64 of shape [B]; None if none was
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
    replicate_values: npt.NDArray[np.float64] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the replicates, as str, int, float and None."""
        return {name.name: getattr(self, name.name) for name in fields(self) if name.compare}


@dataclass(frozen=True)
class QuantityReport:
    """One measured quantity with everything beside it.

    Attributes:
        measure: name of the measure in the registry.
        name: name of the quantity.
        observed: its value on the graph.
        control: its value on the control graph; None if no control was given.
        nulls: its comparison with every null model, by name: "erdos_renyi" and "fixed_degrees", and "permuted_weights"
            if the network has weights.
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
        """The observed value, or None if it is not defined."""
        return self.observed.value

    def to_dict(self) -> dict[str, Any]:
        """The quantity as plain dict, str, int, float and None."""
        return {
            "measure": self.measure,
            "name": self.name,
            "observed": asdict(self.observed),
            "control": None if self.control is None else asdict(self.control),
            "nulls": {name: comparison.to_dict() for name, comparison in self.nulls.items()},
        }


Conclusion = Literal["supported", "compatible", "indistinguishable from the control", "contradicted", "not defined"]


@dataclass(frozen=True)
class Verdict:
    """What the numbers say of one property; `analysis.report.verdicts` has the rules.

    Attributes:
        property: one of `analysis.report.verdicts.PROPERTIES`, such as "small-world".
        conclusion: what the rule concludes.
        rule: the rule in words.
        numbers: what the rule was applied to, by name; perhaps empty if the verdict is not defined.
        reason: why the verdict is not defined; None if it is.
    """

    property: str
    conclusion: Conclusion
    rule: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain dict, str, float and None."""
        return asdict(self)


def with_details(name: str, details: str) -> str:
    """A name, with details in brackets if there are any."""
    return f"{name} ({details})" if details else name


@dataclass(frozen=True)
class SectionReport:
    """All quantities of one layer, or of the whole network.

    Attributes:
        name: "layer 0", "layer 1", ..., or "network".
        layer_sizes: neurons of every group in it, inputs first.
        n_edges: its number of edges.
        quantities: in the order of the registry.
        verdicts: what the numbers say of the wiring, by property; `describe` fills them.
        details: what else is known of it, such as the name and the kind of a layer; or "".
    """

    name: str
    layer_sizes: tuple[int, ...]
    n_edges: int
    quantities: tuple[QuantityReport, ...]
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    details: str = ""

    @property
    def full_name(self) -> str:
        """Its name with the details, for example "layer 2 (features.3, convolution 3 x 3)"."""
        return with_details(self.name, self.details)

    @property
    def title(self) -> str:
        """A heading, for example "layer 0: 784 x 300, 23520 edges"."""
        return f"{self.full_name}: {' x '.join(map(str, self.layer_sizes))}, {self.n_edges} edges"

    def __getitem__(self, name: str) -> QuantityReport:
        """The quantity of this name; an AnalysisError for an unknown one lists the choices."""
        found = self.get(name)
        if found is None:
            raise AnalysisError(f"quantity {name!r} is unknown; choose from {', '.join(q.name for q in self.quantities)}")
        return found

    def get(self, name: str) -> QuantityReport | None:
        """The quantity of this name, or None if it was not measured."""
        return next((quantity for quantity in self.quantities if quantity.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """The section as plain dict, list, str, int, float and None; "details" only if there are any."""
        return {
            "name": self.name,
            "layer_sizes": list(self.layer_sizes),
            "n_edges": self.n_edges,
            "quantities": [quantity.to_dict() for quantity in self.quantities],
            "verdicts": [verdict.to_dict() for verdict in self.verdicts.values()],
            **({"details": self.details} if self.details else {}),
        }


@dataclass(frozen=True)
class TopologyReport:
    """The measured topology of a graph, layer by layer and as a whole.

    `to_markdown`, `to_table` and `to_verdict_table` are `analysis.markdown`, `analysis.table` and
    `analysis.verdict_table`; the package binds them, since values do not print themselves.

    Attributes:
        sections: one for every layer, then one named "network" unless there is a single layer and nothing else.
        replicates: number of replicates that were drawn of every null model; an expensive measure may have fewer.
        swaps_per_edge: attempted switches per edge of the null model "fixed_degrees".
        interrupted: whether the user stopped the run, so that there are fewer replicates than were asked for.
        replicates_requested: number of replicates that were asked for.
    """

    to_markdown: ClassVar[Callable[["TopologyReport"], str]]
    to_table: ClassVar[Callable[["TopologyReport"], Any]]
    to_verdict_table: ClassVar[Callable[["TopologyReport"], Any]]

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
        """The section "layer 0", ..., or "network"; an AnalysisError for an unknown one lists the choices."""
        for section in self.sections:
            if section.name == name:
                return section
        raise AnalysisError(f"section {name!r} is unknown; choose from {', '.join(s.name for s in self.sections)}")

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dict, list, str, int, float, bool and None; `json.dumps(..., allow_nan=False)` takes it."""
        rules = {verdict.property: verdict.rule for section in self.sections for verdict in section.verdicts.values()}
        return {
            "replicates": self.replicates,
            "swaps_per_edge": self.swaps_per_edge,
            "replicates_requested": self.replicates_requested,
            "interrupted": self.interrupted,
            "p_value": P_VALUE,
            "q_value": Q_VALUE,
            "verdict_rules": rules,
            "sections": [section.to_dict() for section in self.sections],
        }

    def to_json(self, indent: int | None = 2) -> str:
        """The report as JSON, `indent` spaces per level or, for None, on one line."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)
