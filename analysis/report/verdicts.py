"""Verdicts: what the numbers of a report say of six properties of a layer or a network, each with its rule and numbers.

A verdict is one of

- "supported": the property is there, beyond what the null models and the control explain;
- "compatible": part of the rule holds and nothing speaks against the rest;
- "indistinguishable from the control": the graph does not differ in this from its null models, or no more than the
  untrained control does;
- "contradicted": the numbers speak against the property;
- "not defined": the numbers that the rule needs are missing; the verdict's `reason` says which.

**Level.** Each verdict has a level of its own, `LEVEL` = 0.05: if the graph is a draw from the null model, it is
supported or compatible with at most this probability, and contradicted with at most this probability. If a rule asks
for two null models, both must be exceeded at the level; if it looks at two sides, each side has half of it
(Bonferroni). The p-values are one-sided and exact, (1 + r) / (1 + B), and not adjusted for the number of verdicts; with
fewer replicates than the level needs (19; 39 for two sides) a verdict is not defined. Sparse makes no test.

**Control.** If the untrained control is given, a property counts only as far as the graph exceeds it: with x the
quantity the rule tests, x_control its value on the control and sd its deviation under the null model, (x - x_control) /
(sqrt(2) sd) must be at least 1.645, the one-sided 5 % point of the difference of two draws that vary as the null model
does. Otherwise a supported or compatible property is indistinguishable from the control: it was there before training,
or has not grown beyond chance. For scale-free, which has no such quantity, the control must fare worse on the same
rule. Sparse is not compared with the control.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

from analysis.nulls.models import WIRING_NULLS
from analysis.report.scale_free import RULE as SCALE_FREE_RULE
from analysis.report.scale_free import scale_free_evidence
from analysis.report.values import Conclusion, NullComparison, QuantityReport, SectionReport, Verdict

LEVEL = 0.05
CHANGE = 1.645
MAX_DENSITY = 0.5
MIN_PROPENSITY = 0.6

RULES: Mapping[str, str] = MappingProxyType(
    {
        "sparse": "Supported if at most half of the pairs of neurons that an edge could join are joined, otherwise "
        "contradicted: a statement of density, without a null model.",
        "heterogeneous": "Supported if the coefficient of variation of the degrees of a side is above that of random "
        "graphs of equal size (p <= 0.05 divided by the number of sides); contradicted if no side is above and one is "
        "below them likewise, that is more regular than chance.",
        "scale-free": SCALE_FREE_RULE,
        "small-world": "Supported if clustering is above both null models (p <= 0.05 each) and the small-world "
        "propensity is at least 0.6; contradicted if clustering is above both and the path length is nearer the "
        "lattice's than that of random graphs with the same degrees; otherwise indistinguishable.",
        "modular": "Supported if Barber's modularity is above both null models (p <= 0.05 each); compatible if it "
        "is above graphs with the same degrees only; contradicted if it is below these (p <= 0.05).",
        "hub-connected": "Supported if the density among the top 10 % of degrees is above that of graphs with the same "
        "degrees (p <= 0.05); contradicted if it is below (p <= 0.05).",
    }
)
PROPERTIES = tuple(RULES)


class _Missing(Exception):
    """Something that a rule needs is not there."""


Finding = tuple[Conclusion, dict[str, float]]


def section_verdicts(section: SectionReport) -> dict[str, Verdict]:
    """The verdicts of one section of a report, by property and in the order of `PROPERTIES`."""
    result = {}
    for name, judge in _JUDGES.items():
        try:
            conclusion, numbers = judge(section)
            result[name] = Verdict(name, conclusion, RULES[name], numbers)
        except _Missing as missing:
            result[name] = Verdict(name, "not defined", RULES[name], reason=str(missing))
    return result


def _quantity(section: SectionReport, name: str, measure: str) -> QuantityReport:
    found = section.get(name)
    if found is None:
        raise _Missing(f"the measure {measure!r} is not in the report")
    return found


def _value(quantity: QuantityReport) -> float:
    if quantity.value is None:
        raise _Missing(f"{quantity.name.replace('_', ' ')} is not defined: {quantity.observed.reason}")
    return quantity.value


def _tested(quantity: QuantityReport, null: str, level: float) -> tuple[float, float]:
    """(p_greater, p_less) under a null model, provided that there are enough replicates for the level."""
    _value(quantity)
    comparison = quantity.nulls[null]
    if comparison.p_greater is None or comparison.p_less is None:
        name = quantity.name.replace("_", " ")
        raise _Missing(f"{name} has no null distribution: {comparison.reason or comparison.status}")
    if 1.0 / (1 + comparison.replicates) > level * (1.0 + 1e-9):
        needed = math.ceil(1.0 / level - 1e-9) - 1
        raise _Missing(f"p <= {level:g} needs at least {needed} replicates and there are {comparison.replicates}")
    return comparison.p_greater, comparison.p_less


def _is_beyond_control(quantity: QuantityReport, null: str, numbers: dict[str, float], prefix: str = "") -> bool:
    """Whether the quantity exceeds the control's by more than chance; notes the control's value and the change."""
    control = None if quantity.control is None else quantity.control.value
    if control is None or quantity.value is None:
        return True
    numbers[f"{prefix}control"] = control
    change, sd = quantity.value - control, quantity.nulls[null].sd
    if not sd:
        return change > 0
    numbers[f"{prefix}change_in_null_sd"] = change / (math.sqrt(2.0) * sd)
    return change / (math.sqrt(2.0) * sd) >= CHANGE


def _mean(comparison: NullComparison, name: str) -> dict[str, float]:
    return {} if comparison.mean is None else {name: comparison.mean}


def _sparse(section: SectionReport) -> Finding:
    density = _value(_quantity(section, "density", "degree"))
    return ("supported" if density <= MAX_DENSITY else "contradicted"), {"density": density}


def _heterogeneous(section: SectionReport) -> Finding:
    names = ("degree_cv",) if section.get("degree_cv") is not None else ("source_degree_cv", "target_degree_cv")
    level, numbers, reasons = LEVEL / len(names), dict[str, float](), []
    above, below, beyond = False, False, False
    for name in names:
        quantity, prefix = _quantity(section, name, "degree"), name.removesuffix("degree_cv")
        try:
            greater, less = _tested(quantity, "erdos_renyi", level)
        except _Missing as missing:
            reasons.append(str(missing))
            continue
        numbers |= {f"{prefix}cv": _value(quantity)} | _mean(quantity.nulls["erdos_renyi"], f"{prefix}cv_random")
        numbers[f"{prefix}p"] = greater
        above, below = above or greater <= level, below or less <= level
        is_beyond = _is_beyond_control(quantity, "erdos_renyi", numbers, prefix)
        beyond = beyond or (greater <= level and is_beyond)
    if len(reasons) == len(names):
        raise _Missing(reasons[0])
    if above:
        return ("supported" if beyond else "indistinguishable from the control"), numbers
    return ("contradicted" if below else "indistinguishable from the control"), numbers


def _scale_free(section: SectionReport) -> Finding:
    if section.get("degree_power_law_alpha") is not None:
        raise _Missing("neurons of different layers face different numbers of others; see the verdicts of the layers")
    observed = scale_free_evidence(section, "observed")
    if isinstance(observed, str):
        raise _Missing(observed)
    conclusion, numbers = observed
    control = scale_free_evidence(section, "control")
    if not isinstance(control, str):
        order = ("supported", "compatible")
        if conclusion in order and control[0] in order and order.index(control[0]) <= order.index(conclusion):
            return "indistinguishable from the control", numbers
    return conclusion, numbers


def _small_world(section: SectionReport) -> Finding:
    clustering = _quantity(section, "robins_alexander_clustering", "clustering")
    propensity = _quantity(section, "small_world_propensity", "small_world")
    position = _quantity(section, "small_world_delta_path_length", "small_world")
    ps = {null: _tested(clustering, null, LEVEL)[0] for null in WIRING_NULLS}
    numbers = {"clustering": _value(clustering)} | {f"p_{null}": p for null, p in ps.items()}
    for null in WIRING_NULLS:
        numbers |= _mean(clustering.nulls[null], f"clustering_{null}")
    if max(ps.values()) > LEVEL:
        return "indistinguishable from the control", numbers
    numbers |= {"propensity": _value(propensity), "delta_path_length": _value(position)}
    if numbers["delta_path_length"] > 0.5:
        return "contradicted", numbers
    is_beyond = _is_beyond_control(clustering, "fixed_degrees", numbers)
    is_supported = numbers["propensity"] >= MIN_PROPENSITY and is_beyond
    return ("supported" if is_supported else "indistinguishable from the control"), numbers


def _modular(section: SectionReport) -> Finding:
    quantity = _quantity(section, "barber_modularity", "community")
    greater, less = _tested(quantity, "fixed_degrees", LEVEL)
    random = _tested(quantity, "erdos_renyi", LEVEL)[0]
    numbers = {"modularity": _value(quantity), "p_fixed_degrees": greater, "p_erdos_renyi": random}
    for null in WIRING_NULLS:
        numbers |= _mean(quantity.nulls[null], f"modularity_{null}")
    is_beyond = _is_beyond_control(quantity, "fixed_degrees", numbers)
    if greater > LEVEL:
        return ("contradicted" if less <= LEVEL else "indistinguishable from the control"), numbers
    if not is_beyond:
        return "indistinguishable from the control", numbers
    return ("supported" if random <= LEVEL else "compatible"), numbers


def _hub_connected(section: SectionReport) -> Finding:
    quantity = _quantity(section, "rich_club_ratio", "core")
    greater, less = _tested(quantity, "fixed_degrees", LEVEL)
    comparison = quantity.nulls["fixed_degrees"]
    if comparison.sd == 0 and comparison.mean == quantity.value:
        raise _Missing("all graphs with these degrees have the same density among the top 10 % of degrees")
    numbers = {"rich_club_ratio": _value(quantity), "p_fixed_degrees": greater} | _mean(comparison, "ratio_fixed_degrees")
    is_beyond = _is_beyond_control(quantity, "fixed_degrees", numbers)
    if greater <= LEVEL:
        return ("supported" if is_beyond else "indistinguishable from the control"), numbers
    return ("contradicted" if less <= LEVEL else "indistinguishable from the control"), numbers


_JUDGES = {
    "sparse": _sparse,
    "heterogeneous": _heterogeneous,
    "scale-free": _scale_free,
    "small-world": _small_world,
    "modular": _modular,
    "hub-connected": _hub_connected,
}
