"""`compare`: several networks that differ only in their seed, which is the unit of replication, not the neuron."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import scipy

from analysis.base.checks import as_generator, is_iterable
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import FloatArray
from analysis.report.values import NullComparison, TopologyReport

RESAMPLES = 9999
"""Of the bootstrap. As many sign flips are drawn at random if 2^n is larger, that is from 14 seeds on."""

SEED_NOTE = (
    "mean and 95 % percentile bootstrap interval over seeds; with few seeds such an interval is too short. p: two-sided "
    "sign-flip permutation test of the paired differences (same degrees: of where the network ranks among its replicates); "
    "with n seeds it is at least 2 / 2^n"
)


@dataclass(frozen=True)
class PairedTest:
    """Paired differences between the networks and their controls, seed by seed.

    Attributes:
        pairs: number n of seeds with both values.
        mean_difference: of network - control.
        p: two-sided sign-flip permutation p-value, in [`smallest_p`, 1]; all flips are counted up to 13 seeds.
        smallest_p: the smallest p that n pairs can give: 2 / 2^n, so with 5 seeds 2 / 32 = 0.0625 and nothing is
            significant at 0.05 there; at least 2 / 10,000, as more than 13 seeds have random flips.
    """

    pairs: int
    mean_difference: float
    p: float
    smallest_p: float


@dataclass(frozen=True)
class QuantityComparison:
    """One quantity over seeds.

    Attributes:
        section: "layer 0", ..., or "network".
        name: name of the quantity.
        seeds: number of seeds in which it is defined.
        mean: over these; None if it is defined in none.
        low: lower end of the 95 % bootstrap interval; None below 2 seeds.
        high: upper end.
        untrained: against the untrained controls; None without them.
        shuffled: against degree-preserved graphs; None without them, or if the quantity depends on degrees alone.
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

    `to_markdown` and `to_table` are `analysis.markdown` and `analysis.table`; the package binds them.

    Attributes:
        seeds: number of reports.
        quantities: in the order of the reports.
        verdicts: in the order of sections and properties.
    """

    to_markdown: ClassVar[Callable[["SeedComparison"], str]]
    to_table: ClassVar[Callable[["SeedComparison"], Any]]

    seeds: int
    quantities: tuple[QuantityComparison, ...]
    verdicts: tuple[VerdictShares, ...]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain dict, list, str, int, float and None; `json.dumps(..., allow_nan=False)` takes it."""
        return {
            "seeds": self.seeds,
            "reading": SEED_NOTE,
            "quantities": [asdict(quantity) for quantity in self.quantities],
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }

    def to_json(self, indent: int | None = 2) -> str:
        """The comparison as JSON, `indent` spaces per level or, for None, on one line."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


def compare(
    reports: Iterable[TopologyReport],
    *,
    untrained: Iterable[TopologyReport] | None = None,
    shuffled: Iterable[TopologyReport] | None = None,
    rng: int | np.random.Generator,
) -> SeedComparison:
    """Compare networks over seeds: mean, interval, and paired tests against the untrained and degree-preserved controls.

    Args:
        reports: one per seed, at least one; all of the same sections and quantities.
        untrained: reports of the networks before training, in the same order; None takes the control values that stand in
            `reports`, if there are any.
        shuffled: reports of degree-preserving shuffles, in the same order; None takes the replicates of "fixed_degrees"
            that stand behind each report. The difference is then that from their mean, and the test is made on p_less -
            p_greater, which tells where the network ranks among them: its law is symmetric about 0 under the null model,
            also if that of the quantity is skewed.
        rng: seed or generator, for the bootstrap and for sign flips above 13 seeds.

    Returns:
        The comparison. Cost O(quantities * 9999 * seeds).

    Raises:
        AnalysisError: no report, something that is no report, reports of different layer sizes, sections, quantities, null
            models or numbers of replicates asked for, some with a control and some without, or controls of another number.

    >>> import analysis
    >>> layers = [analysis.BipartiteGraph(4, 3, range(n), [0] * n) for n in (2, 3, 4)]
    >>> reports = [analysis.describe(layer, nulls=0, measures=["degree"], rng=0) for layer in layers]
    >>> edges = analysis.compare(reports, rng=0).quantities[0]
    >>> edges.name, edges.seeds, edges.mean
    ('edges', 3, 3.0)
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
    seed = int(generator.integers(2**63))
    quantities = tuple(_compared(key, runs, before, kept, seed) for key in _keys(runs[0]))
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
    if isinstance(reports, TopologyReport) or not is_iterable(reports):
        raise AnalysisError(f"{name} is a {type(reports).__name__}; a sequence of reports, one per seed, is needed")
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
        shuffled = paired_test(differences, _array([rank_among_replicates(comparison) for comparison in comparisons]), seed)
    else:
        differences = values - _array([report[section][name].value for report in kept])
        shuffled = paired_test(differences, differences, seed)
    known = values[~np.isnan(values)]
    low, high = (None, None) if known.size < 2 else bootstrap_interval(known, seed)
    mean = float(known.mean()) if known.size else None
    untrained = paired_test(values - starts, values - starts, seed)
    return QuantityComparison(section, name, int(known.size), mean, low, high, untrained, shuffled)


def bootstrap_interval(known: FloatArray, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of at least two values."""
    generator = np.random.default_rng(seed)
    found = scipy.stats.bootstrap((known,), np.mean, n_resamples=RESAMPLES, method="percentile", random_state=generator)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def paired_test(differences: FloatArray, tested: FloatArray, seed: int) -> PairedTest | None:
    """The mean of paired differences, and a two-sided sign-flip test (Fisher 1935, "The Design of Experiments", section 21).

    Args:
        differences: network - control, shape [n], nan if one is missing.
        tested: what is symmetric about 0 under the hypothesis: the differences themselves, or ranks; likewise.
        seed: of the flips that are drawn if they are too many to be counted.

    Returns:
        The test; None if no pair is complete.
    """
    is_known = ~np.isnan(differences) & ~np.isnan(tested)
    n = int(np.count_nonzero(is_known))
    if n == 0:
        return None
    p = 1.0
    if n > 1:
        flipped = scipy.stats.permutation_test(
            (tested[is_known],), np.mean, permutation_type="samples", n_resamples=RESAMPLES,
            random_state=np.random.default_rng(seed),
        )  # fmt: skip
        p = float(flipped.pvalue)
    return PairedTest(n, float(differences[is_known].mean()), p, 2.0 / min(2.0**n, 1.0 + RESAMPLES))


def rank_among_replicates(comparison: NullComparison) -> float | None:
    """p_less - p_greater, from -1 (below all replicates) to 1 (above all), ties in the middle; None if there is no p.

    Symmetric about 0 if the network is a draw from the null model.
    """
    if comparison.p_less is None or comparison.p_greater is None:
        return None
    return comparison.p_less - comparison.p_greater


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
