"""The verdict "scale-free": its rule, applied to the quantities of a report."""

from typing import Literal

from analysis.report.values import SectionReport
from analysis.tails.evidence import ALTERNATIVES, MIN_TAIL, SIGNIFICANCE, THIN_TAILS

LEVEL = 0.05
"""Below this p an alternative fits significantly better or worse. (The bootstrap's own threshold stays at 0.1.)"""

MIN_SPAN = 10.0

RULE = (
    "Per side of the layer; the verdict is the first of the four that a side has. Supported if the bootstrap p of the "
    "power law is at least 0.1, no alternative (exponential, log-normal, stretched exponential, truncated power law, "
    "binomial, Poisson, negative binomial) fits significantly better (p < 0.05), exponential and binomial fit significantly "
    "worse, 2 < alpha < 3, and the tail has at least 50 points over at least a decade. Compatible if all holds but either "
    "the range of alpha or the tail (its points or its span). Otherwise contradicted if the binomial, the law of a random "
    "layer's degrees, is significantly worse, and indistinguishable from the control if it is not. Exponential or "
    "binomial are significantly worse if the likelihood ratio favours the power law and either Vuong's p, or the law's "
    "own exact probability of two degrees as large as the second largest, is below 0.025 (half of 0.05, as there are two "
    "tests)."
)

ScaleFree = Literal["supported", "compatible", "indistinguishable from the control", "contradicted"]
ORDER: tuple[ScaleFree, ...] = ("supported", "compatible", "contradicted", "indistinguishable from the control")
"""Which side speaks for the layer. A contradiction is not hidden by a side that is as random as its control."""

Which = Literal["observed", "control"]


_RATIOS = tuple(name for alternative in ALTERNATIVES for name in (f"vs_{alternative}", f"vs_{alternative}_p"))
_USED = ("alpha", "bootstrap_p", "tail_size", "span", *_RATIOS, *(f"{name}_extremes_p" for name in THIN_TAILS))
"""All numbers that the rule looks at."""


def scale_free_evidence(section: SectionReport, which: Which) -> tuple[ScaleFree, dict[str, float]] | str:
    """The conclusion by the side that comes first in `ORDER`, with the numbers of both sides; or why there is none."""
    found: list[ScaleFree] = []
    reasons, numbers = list[str](), dict[str, float]()
    for side in ("source", "target"):
        values = _values(section, f"{side}_power_law", which)
        if isinstance(values, str):
            reasons.append(values)
            continue
        found.append(conclusion(values))
        numbers |= {f"{side}_{name}": values[name] for name in _USED if name in values}
    return (min(found, key=ORDER.index), numbers) if found else reasons[0]


def _values(section: SectionReport, prefix: str, which: Which) -> dict[str, float] | str:
    """The defined quantities of one side without their prefix, or why there is no fit."""
    if section.get(f"{prefix}_alpha") is None:
        return "the measure 'power_law' is not in the report"
    if section.get(f"{prefix}_bootstrap_p") is None:
        return "the measure 'power_law_ratios' is not in the report"
    values: dict[str, float] = {}
    for quantity in section.quantities:
        known = quantity.observed if which == "observed" else quantity.control
        if not quantity.name.startswith(f"{prefix}_") or known is None:
            continue
        if known.value is not None:
            values[quantity.name.removeprefix(f"{prefix}_")] = known.value
        elif quantity.name in (f"{prefix}_alpha", f"{prefix}_bootstrap_p"):
            return str(known.reason)
    return values if "alpha" in values else "there is no control"


def is_worse(values: dict[str, float], alternative: str) -> bool:
    """Whether an alternative of thin tail fits significantly worse than the power law, see `RULE`; False if not defined."""
    ratio = values.get(f"vs_{alternative}")
    ps = (values.get(f"vs_{alternative}_p", 1.0), values.get(f"{alternative}_extremes_p", 1.0))
    return ratio is not None and ratio > 0 and min(ps) < LEVEL / 2


def is_better(values: dict[str, float], alternative: str) -> bool:
    """Whether an alternative fits significantly better than the power law: a negative ratio with p < 0.05."""
    ratio = values.get(f"vs_{alternative}")
    return ratio is not None and ratio < 0 and values.get(f"vs_{alternative}_p", 1.0) < LEVEL


def conclusion(values: dict[str, float]) -> ScaleFree:
    """The rule, applied to one side.

    `values` are its quantities by their names without the prefix: `alpha`, `bootstrap_p`, `tail_size`, `span`, and the ratios
    as far as they are defined.
    """
    if not is_worse(values, "binomial"):
        return "indistinguishable from the control"
    is_plausible = values["bootstrap_p"] >= SIGNIFICANCE and not any(is_better(values, name) for name in ALTERNATIVES)
    if not (is_plausible and all(is_worse(values, name) for name in THIN_TAILS)):
        return "contradicted"
    is_long = values["tail_size"] >= MIN_TAIL and values["span"] >= MIN_SPAN
    is_in_range = 2.0 < values["alpha"] < 3.0
    if is_long and is_in_range:
        return "supported"
    return "compatible" if is_long or is_in_range else "contradicted"
