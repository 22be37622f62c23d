"""Verdicts: every rung of every rule, from reports whose numbers are put in by hand, and from graphs."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, random_graph, ring_lattice

from analysis import AnalysisError, describe
from analysis.base.quantity import Quantity, defined, undefined
from analysis.measures.power_law import evidence_quantities
from analysis.report.replicates import is_settled
from analysis.report.scale_free import conclusion, is_worse
from analysis.report.values import NullComparison, QuantityReport, SectionReport, Verdict
from analysis.report.verdicts import PROPERTIES, RULES, section_verdicts
from analysis.tails.evidence import extremes_p
from analysis.tails.fit import fit_power_law

BOTH = ("erdos_renyi", "fixed_degrees")
JUDGED = ("degree", "clustering", "paths", "small_world", "core", "power_law", "power_law_ratios")
CONTROL = "indistinguishable from the control"


def null(p_greater: float, p_less: float | None = None, replicates: int = 199, sd: float = 1.0) -> NullComparison:
    less = 1.0 - p_greater if p_less is None else p_less
    return NullComparison("compared", replicates, 5.0, sd, 0.0, 0.5, p_greater=p_greater, p_less=less)


def quantity(
    name: str, value: float | None, nulls: Mapping[str, NullComparison] | None = None, control: float | None = None
) -> QuantityReport:
    observed = undefined("it is missing") if value is None else defined(value)
    return QuantityReport("measure", name, observed, None if control is None else Quantity(control), nulls or {})


def verdict(name: str, *quantities: QuantityReport) -> Verdict:
    return section_verdicts(SectionReport("layer 0", (10, 10), 20, quantities))[name]


def both(p_greater: float, p_fixed: float | None = None, **options: Any) -> dict[str, NullComparison]:
    return {"erdos_renyi": null(p_greater, **options), "fixed_degrees": null(p_fixed or p_greater, **options)}


@pytest.mark.parametrize(("density", "expected"), [(0.1, "supported"), (0.5, "supported"), (0.51, "contradicted")])
def test_sparse(density: float, expected: str) -> None:
    found = verdict("sparse", quantity("density", density))
    assert (found.conclusion, found.numbers) == (expected, {"density": density})


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (0.02, 0.5, "supported"),
        (0.5, 0.025, "supported"),
        (0.03, 0.5, CONTROL),
        (0.5, 0.99, "contradicted"),
        (0.02, 0.99, "supported"),
    ],
)
def test_heterogeneous_is_judged_on_both_sides(source: float, target: float, expected: str) -> None:
    sides = [quantity(f"{side}_degree_cv", 6.0, both(p)) for side, p in (("source", source), ("target", target))]
    assert verdict("heterogeneous", *sides).conclusion == expected


def test_heterogeneous_network_has_the_full_level() -> None:
    assert verdict("heterogeneous", quantity("degree_cv", 6.0, both(0.04))).conclusion == "supported"


@pytest.mark.parametrize(("control", "expected"), [(5.9, CONTROL), (7.0, CONTROL), (3.0, "supported")])
def test_what_the_control_has_too_is_not_supported(control: float, expected: str) -> None:
    """6 - 5.9 is less than 1.645 sqrt(2) deviations of the null model, 6 - 3 is more."""
    found = verdict("hub-connected", quantity("rich_club_ratio", 6.0, both(0.01), control))
    assert found.conclusion == expected
    assert found.numbers["control"] == control
    modular = verdict("modular", quantity("barber_modularity", 6.0, both(0.01), control))
    assert modular.conclusion == expected
    cv = verdict("heterogeneous", quantity("degree_cv", 6.0, both(0.01), control))
    assert cv.conclusion == expected


@pytest.mark.parametrize(
    ("random", "fixed", "expected"),
    [(0.01, 0.01, "supported"), (0.2, 0.01, "compatible"), (0.01, 0.2, CONTROL), (0.5, 0.97, "contradicted")],
)
def test_modular(random: float, fixed: float, expected: str) -> None:
    assert verdict("modular", quantity("barber_modularity", 0.4, both(random, fixed))).conclusion == expected


@pytest.mark.parametrize(("p", "expected"), [(0.05, "supported"), (0.06, CONTROL), (0.96, "contradicted")])
def test_hub_connected(p: float, expected: str) -> None:
    assert verdict("hub-connected", quantity("rich_club_ratio", 2.0, both(p))).conclusion == expected


@pytest.mark.parametrize(
    ("random", "fixed", "propensity", "delta", "expected"),
    [
        (0.01, 0.01, 0.6, 0.2, "supported"),
        (0.01, 0.01, 0.59, 0.2, CONTROL),
        (0.01, 0.01, 0.3, 1.0, "contradicted"),
        (0.01, 0.01, 0.61, 0.55, "contradicted"),
        (0.2, 0.01, 0.9, 0.1, CONTROL),
        (0.01, 0.2, 0.9, 0.1, CONTROL),
    ],
)
def test_small_world(random: float, fixed: float, propensity: float, delta: float, expected: str) -> None:
    parts = [
        quantity("robins_alexander_clustering", 0.5, both(random, fixed)),
        quantity("small_world_propensity", propensity),
        quantity("small_world_delta_path_length", delta),
    ]
    assert verdict("small-world", *parts).conclusion == expected


GOOD = {
    "alpha": 2.5, "bootstrap_p": 0.4, "tail_size": 400.0, "span": 40.0,
    "vs_exponential": 5.0, "vs_exponential_p": 0.001, "vs_binomial": 5.0, "vs_binomial_p": 0.001,
    "vs_lognormal": -0.5, "vs_lognormal_p": 0.6,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "supported"),
        ({"alpha": 3.2}, "compatible"),
        ({"tail_size": 49.0}, "compatible"),
        ({"span": 9.9}, "compatible"),
        ({"span": 9.9, "tail_size": 49.0}, "compatible"),
        ({"span": 9.9, "alpha": 3.2}, "contradicted"),
        ({"tail_size": 49.0, "alpha": 1.9}, "contradicted"),
        ({"bootstrap_p": 0.09}, "contradicted"),
        ({"vs_lognormal_p": 0.04}, "contradicted"),
        ({"vs_exponential_p": 0.03}, "contradicted"),
        ({"vs_binomial_p": 0.03}, CONTROL),
        ({"vs_binomial": -5.0}, CONTROL),
        ({"vs_binomial_p": 0.3, "binomial_extremes_p": 1e-9}, "supported"),
        ({"vs_binomial": -1.0, "vs_binomial_p": 0.3, "binomial_extremes_p": 1e-9}, CONTROL),
    ],
)
def test_scale_free_ladder(change: dict[str, float], expected: str) -> None:
    assert conclusion(GOOD | change) == expected


def scale_free(control: dict[str, float] | None, observed: dict[str, float] = GOOD) -> str:
    quantities = [
        quantity(f"source_power_law_{name}", value, None, None if control is None else control[name])
        for name, value in observed.items()
    ]
    return verdict("scale-free", *quantities, quantity("target_power_law_alpha", None)).conclusion


def test_scale_free_beside_its_control() -> None:
    assert scale_free(None) == "supported"
    assert scale_free(GOOD) == CONTROL
    assert scale_free(GOOD | {"alpha": 3.5}) == "supported"
    assert scale_free(GOOD, GOOD | {"alpha": 3.5}) == CONTROL
    assert scale_free(GOOD | {"vs_binomial": -1.0}) == "supported"


def test_a_missing_ratio_is_not_a_worse_law() -> None:
    assert not is_worse({}, "binomial")
    assert conclusion({"alpha": 2.5, "bootstrap_p": 0.5, "tail_size": 100.0, "span": 20.0}) == CONTROL


def test_the_side_that_contradicts_speaks_for_the_layer() -> None:
    parts = [quantity(f"source_power_law_{name}", value) for name, value in (GOOD | {"bootstrap_p": 0.01}).items()]
    parts += [quantity(f"target_power_law_{name}", value) for name, value in (GOOD | {"vs_binomial": -1.0}).items()]
    found = verdict("scale-free", *parts)
    assert found.conclusion == "contradicted"
    assert found.numbers["source_bootstrap_p"] == 0.01
    assert found.numbers["target_vs_binomial"] == -1.0
    assert {f"source_{name}" for name in GOOD} <= found.numbers.keys()


def test_a_single_hub_makes_no_tail() -> None:
    """784 sources of binomial degrees, one of them joined to all 300 targets: neither supported nor compatible in 20 draws."""
    for seed in range(20):
        degrees = np.random.default_rng(seed).binomial(300, 0.02, size=784)
        degrees[0] = 300
        found = evidence_quantities("source_power_law", degrees, np.random.default_rng(seed), 300)
        values = {name.removeprefix("source_power_law_"): one.value for name, one in found.items() if one.value is not None}
        values |= {name: 1.0 for name in ("alpha", "tail_size") if name not in values}
        assert conclusion(values | {"alpha": 2.5, "tail_size": 100.0, "span": 20.0}) in (CONTROL, "contradicted")


def test_probability_of_the_two_largest_degrees_by_hand() -> None:
    """100 draws of a geometric law that has the tail's mean; the second largest degree is 31."""
    degrees = np.array([1] * 70 + [2] * 28 + [31, 40])
    fit = fit_power_law(np.array([1] * 70 + [2] * 15 + [3] * 8 + [5] * 4 + [9, 31]))
    found = extremes_p(degrees, type(fit)(2.5, 1, 0.1, 100), "exponential")
    mean = float((degrees - 1).mean())
    survival = (mean / (1 + mean)) ** 30
    assert found.value == pytest.approx(1 - (1 - survival) ** 100 - 100 * survival * (1 - survival) ** 99, rel=1e-9)
    assert extremes_p(degrees, type(fit)(2.5, 1, 0.1, 100), "binomial").reason is not None
    whole = extremes_p(np.array([1, 2, 3, 3]), type(fit)(2.5, 1, 0.1, 4), "binomial", 3)
    assert whole.value is not None
    assert 0 < whole.value <= 1
    with pytest.raises(AnalysisError, match="choose from exponential, binomial"):
        extremes_p(degrees, type(fit)(2.5, 1, 0.1, 100), "poisson")


def test_too_few_replicates_are_named() -> None:
    found = verdict("hub-connected", quantity("rich_club_ratio", 2.0, both(0.1, replicates=9)))
    assert (found.conclusion, found.numbers) == ("not defined", {})
    assert found.reason == "p <= 0.05 needs at least 19 replicates and there are 9"
    one_side = [quantity(f"{side}_degree_cv", 6.0, both(0.03, replicates=38)) for side in ("source", "target")]
    assert "at least 39 replicates" in str(verdict("heterogeneous", *one_side).reason)


def test_what_is_missing_is_named() -> None:
    found = section_verdicts(SectionReport("layer 0", (10, 10), 20, ()))
    assert list(found) == list(PROPERTIES) == list(RULES)
    for name, one in found.items():
        assert one.conclusion == "not defined"
        assert "is not in the report" in str(one.reason), name
    assert "it is missing" in str(verdict("sparse", quantity("density", None)).reason)


def test_degenerate_graphs_have_verdicts_without_nan() -> None:
    for graph in (from_edges(3, 2, []), from_edges(1, 1, [(0, 0)]), complete(12, 12), from_edges(12, 12, [(0, 0)])):
        report = describe(graph, nulls=39, rng=0, measures=JUDGED)
        assert json.dumps(report.to_dict(), allow_nan=False)
        for one in report.verdicts["layer 0"].values():
            assert (one.reason is not None) == (one.conclusion == "not defined")
            assert one.conclusion not in ("supported", "compatible") or one.property == "sparse"


def test_large_graphs_are_not_judged_modular_unless_asked() -> None:
    graph = random_graph(80, 60, 2100, seed=0)
    arguments: dict[str, Any] = {"nulls": 19, "rng": 0, "measures": ["community"]}
    silent = describe(graph, **arguments).verdicts["layer 0"]["modular"]
    assert "request=('community',)" in str(silent.reason)
    asked = describe(graph, request=["community"], **arguments).verdicts["layer 0"]["modular"]
    assert asked.conclusion != "not defined"


def test_a_lattice_is_no_small_world_and_more_regular_than_chance() -> None:
    found = describe(ring_lattice(100, 6), nulls=39, rng=0, measures=JUDGED).verdicts["layer 0"]
    assert found["small-world"].conclusion == "contradicted"
    assert found["heterogeneous"].conclusion == "contradicted"
    assert found["scale-free"].conclusion == "not defined"
    assert found["hub-connected"].conclusion == "not defined"


def test_the_same_graph_as_control_leaves_nothing_to_support() -> None:
    graph = random_graph(30, 30, 150, seed=3)
    src, dst = np.concatenate([graph.src, np.zeros(30, int)]), np.concatenate([graph.dst, np.arange(30)])
    keys = np.unique(dst.astype(np.int64) * 30 + src)
    hub = from_edges(30, 30, list(zip((keys % 30).tolist(), (keys // 30).tolist(), strict=True)))
    arguments: dict[str, Any] = {"nulls": 39, "rng": 0, "measures": ["degree"]}
    assert describe(hub, **arguments).verdicts["layer 0"]["heterogeneous"].conclusion == "supported"
    assert describe(hub, control=hub, **arguments).verdicts["layer 0"]["heterogeneous"].conclusion == CONTROL
    assert describe(hub, control=graph, **arguments).verdicts["layer 0"]["heterogeneous"].conclusion == "supported"


def test_replicates_end_when_the_value_lies_inside_them() -> None:
    values = [defined(float(x)) for x in range(40)]
    assert not is_settled(defined(9.5), values[:18], 200)
    assert not is_settled(defined(9.5), values[:20], 200)
    assert is_settled(defined(19.5), values, 200)
    assert not is_settled(defined(3.0), values, 200)
    assert is_settled(undefined("no"), values[:1], 200)
