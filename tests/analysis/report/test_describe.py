"""`describe`: what stands in a report, that it is reproducible, and that it says what it does not know."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bipartite_examples import complete, from_edges, random_graph, ring_lattice, weighted
from rich.console import Console

import analysis
from analysis import AnalysisError, describe
from analysis.base.quantity import defined, undefined
from analysis.graph.values import BipartiteGraph
from analysis.report.permutation import compare_with_replicates, permutation_p
from analysis.report.verdicts import section_verdicts

TWO_LAYERS = [random_graph(40, 30, 240, seed=1), random_graph(30, 20, 150, seed=2)]


@pytest.fixture(scope="module")
def report() -> analysis.TopologyReport:
    return describe(TWO_LAYERS, nulls=9, control=[random_graph(40, 30, 200, 3), random_graph(30, 20, 150, 4)], rng=0)


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def test_sections_and_measures(report: analysis.TopologyReport) -> None:
    assert [section.name for section in report.sections] == ["layer 0", "layer 1", "network"]
    assert report["network"].layer_sizes == (40, 30, 20)
    measures = [analysis.get_measure(name) for name in analysis.measure_names()]
    of_networks = {measure.name for measure in measures if measure.network is not None}
    assert {measure.name for measure in measures} - of_networks == {"mixing"}
    for section in report.sections:
        expected = of_networks if section.name == "network" else {measure.name for measure in measures}
        assert {quantity.measure for quantity in section.quantities} == expected
    assert report["layer 0"]["edges"].value == 240
    control = report["layer 0"]["edges"].control
    assert control is not None
    assert control.value == 200
    assert report["network"]["density"].value == pytest.approx(390 / (1200 + 600))


def test_single_layer_has_no_network_section() -> None:
    assert [section.name for section in describe(TWO_LAYERS[0], nulls=0, rng=0).sections] == ["layer 0"]


def test_what_a_null_fixes_is_not_repeated(report: analysis.TopologyReport) -> None:
    layer = report["layer 0"]
    assert layer["density"].nulls["erdos_renyi"].status == "fixed"
    assert layer["source_degree_cv"].nulls["erdos_renyi"].status == "compared"
    assert layer["source_degree_cv"].nulls["fixed_degrees"].status == "fixed"
    assert layer["source_power_law_alpha"].nulls["fixed_degrees"].status == "fixed"
    assert layer["source_power_law_vs_lognormal"].nulls["erdos_renyi"].status == "not computed"
    clustering = layer["robins_alexander_clustering"].nulls
    assert all(clustering[null].status == "compared" for null in ("erdos_renyi", "fixed_degrees"))
    assert clustering["erdos_renyi"].replicates == 9


def test_quantities_declared_fixed_are_fixed(report: analysis.TopologyReport) -> None:
    """Every replicate, measured in full, has the observed value wherever the registry says so."""
    from analysis.graph.intake import as_layered
    from analysis.nulls.models import NULL_MODELS

    rng = np.random.default_rng(0)
    layer = weighted(as_layered(TWO_LAYERS[0]).layers[0], 1)
    for null, model in NULL_MODELS.items():
        drawn = model(layer, rng)
        for name in analysis.measure_names():
            measure = analysis.get_measure(name)
            before, after = (measure.layer(graph, np.random.default_rng(1)) for graph in (layer, drawn))
            for quantity in before:
                is_drawn = null == "permuted_weights" or not measure.depends_on_weights(quantity)
                if measure.is_fixed(null, quantity) and is_drawn:
                    assert before[quantity].reason == after[quantity].reason, (null, quantity)
                    assert before[quantity].value == pytest.approx(after[quantity].value, rel=1e-12), (null, quantity)


def test_p_values_lie_on_the_grid_of_permutations(report: analysis.TopologyReport) -> None:
    compared = [
        comparison
        for section in report.sections
        for quantity in section.quantities
        for comparison in quantity.nulls.values()
        if comparison.p is not None
    ]
    assert compared
    for one in compared:
        for p in (one.p, one.p_greater, one.p_less):
            assert p is not None
            assert p <= 1
            assert p * (1 + one.replicates) == pytest.approx(max(1, round(p * (1 + one.replicates))))


def test_lattice_is_told_from_both_nulls() -> None:
    layer = describe(ring_lattice(100, 6), nulls=19, rng=0, measures=["clustering"])["layer 0"]
    for comparison in layer["robins_alexander_clustering"].nulls.values():
        assert comparison.p == pytest.approx(0.05)
        assert comparison.z is not None
        assert comparison.z > 5


def test_p_is_exact_under_the_null() -> None:
    """P(p <= 0.2) <= 0.2 over 400 exchangeable draws; more than 105 hits have a probability below 0.2 %."""
    rng = np.random.default_rng(8)
    hits = sum(permutation_p(values[0], values[1:]) <= 0.2 for values in rng.exponential(size=(400, 20)))
    assert 55 < hits < 105


def test_permutation_p_by_hand() -> None:
    assert permutation_p(10.0, np.array([0.0, 1.0, -1.0])) == 0.25
    assert permutation_p(0.0, np.array([10.0, 11.0, -10.0])) == 1.0
    assert permutation_p(0.1 + 0.2, np.array([0.3, 0.3])) == 1.0


def test_undefined_values_are_counted_and_named() -> None:
    some = compare_with_replicates(defined(1.0), [defined(2.0), undefined("no"), defined(4.0)])
    assert (some.replicates, some.mean, some.reason) == (2, 3.0, "not defined in 1 of 3 replicates")
    none = compare_with_replicates(defined(1.0), [undefined("no")])
    assert (none.status, none.p) == ("not defined", None)
    unseen = compare_with_replicates(undefined("gone"), [defined(2.0)])
    assert unseen.mean == 2.0
    assert unseen.p is None
    assert "gone" in str(unseen.reason)


def test_equal_replicates_have_no_z() -> None:
    comparison = compare_with_replicates(defined(0.3), [defined(0.1 + 0.2)] * 5)
    assert (comparison.sd, comparison.z, comparison.p) == (0.0, None, 1.0)


def test_same_seed_same_report_and_another_seed_another(report: analysis.TopologyReport) -> None:
    first, again, other = (describe(TWO_LAYERS[1], nulls=2, rng=seed).to_json() for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_dictionary_is_plain_and_json_is_strict(report: analysis.TopologyReport) -> None:
    plain = report.to_dict()
    assert all(type(leaf) in (str, int, float, bool, type(None)) for leaf in leaves(plain))
    assert json.loads(report.to_json()) == plain
    assert json.dumps(plain, allow_nan=False)


def test_markdown_and_table_show_every_quantity(report: analysis.TopologyReport) -> None:
    markdown = report.to_markdown()
    console = Console(width=240, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report.to_table())
    printed = console.export_text()
    console.file.close()
    for section in report.sections:
        for quantity in section.quantities:
            label = quantity.name.replace("_", " ")
            assert f"| {label} " in markdown
            assert label in printed
    assert "fixed by the null" in markdown
    assert "control" in markdown
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in tables}) == 1


def test_degenerate_graphs_give_reasons_not_numbers() -> None:
    for graph in (from_edges(3, 2, []), from_edges(1, 1, [(0, 0)]), complete(12, 12), from_edges(12, 12, [(0, 0)])):
        section = describe(graph, nulls=2, rng=0)["layer 0"]
        alpha = section["source_power_law_alpha"]
        assert alpha.value is None
        assert alpha.observed.reason
        assert section["source_power_law_vs_exponential"].observed.reason == alpha.observed.reason
    assert "not defined: " in describe(from_edges(3, 2, []), nulls=0, rng=0).to_markdown()


def test_relabelling_does_not_change_the_observed_values() -> None:
    """Up to the rounding of sums in another order; the search for modules starts from labels and ends within 0.02."""
    graph = TWO_LAYERS[0]
    order = np.random.default_rng(2).permutation(graph.n_in)
    shuffled = BipartiteGraph(graph.n_in, graph.n_out, order[graph.src], graph.dst)
    actual, expected = (describe(g, nulls=0, rng=0)["layer 0"] for g in (shuffled, graph))
    assert [q.name for q in actual.quantities] == [q.name for q in expected.quantities]
    for ours, other in zip(actual.quantities, expected.quantities, strict=True):
        assert ours.observed.reason == other.observed.reason
        if ours.measure != "community" and ours.value is not None:
            assert ours.value == pytest.approx(other.value, rel=1e-12)
    assert actual["barber_modularity"].value == pytest.approx(expected["barber_modularity"].value, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nulls": -1}, "nulls is -1"),
        ({"nulls": 2.5}, "nulls is 2.5"),
        ({"nulls": True}, "nulls is True"),
        ({"swaps_per_edge": 0}, "swaps_per_edge is 0"),
        ({"rng": None}, "rng is None"),
        ({"measures": ["triangles"]}, "'triangles' is unknown; choose from degree, clustering"),
        ({"measures": "degree"}, "measures is 'degree'; a sequence"),
        ({"measures": 3}, "measures is 3; a sequence"),
        ({"measures": [["degree"]]}, "is unknown; choose from"),
        ({"request": None}, "request is None; a sequence"),
        ({"progress": 3}, "progress is 3; a function"),
        ({"control": 3}, "control: graph is a int"),
        ({"request": "opsahl"}, "request is 'opsahl'; a sequence"),
        ({"request": ["triangles"]}, "'triangles' is unknown"),
        ({"request": ["opsahl"], "measures": ["degree"]}, "request names opsahl"),
        ({"control": TWO_LAYERS[0]}, r"control has the layer sizes \(40, 30\)"),
        ({"control": [complete(2, 2), complete(2, 2)]}, "control has the layer sizes"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        describe(TWO_LAYERS, **({"nulls": 0, "rng": 0} | arguments))


def test_rng_is_required() -> None:
    with pytest.raises(TypeError, match="rng"):
        describe(TWO_LAYERS, nulls=0)  # type: ignore[call-arg]


def test_unknown_names_in_a_report_list_the_choices(report: analysis.TopologyReport) -> None:
    with pytest.raises(AnalysisError, match="choose from layer 0, layer 1, network"):
        report["layer 9"]
    with pytest.raises(AnalysisError, match="choose from edges, density"):
        report["layer 0"]["colour"]


def test_measures_can_be_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.measures import registry

    monkeypatch.setattr(registry, "_MEASURES", dict(registry._MEASURES))

    @analysis.register_measure("first_source")
    def first_source(graph: BipartiteGraph, rng: np.random.Generator) -> dict[str, analysis.Quantity]:
        return {"first_source_degree": defined(graph.out_degrees[0])}

    result = describe(TWO_LAYERS[0], nulls=4, rng=0, measures=["first_source"])
    assert result["layer 0"]["first_source_degree"].nulls["erdos_renyi"].replicates == 4
    with pytest.raises(AnalysisError, match="registered already"):
        analysis.register_measure("first_source")(first_source)


def test_progress_counts_every_replicate() -> None:
    seen: list[tuple[int, int]] = []
    describe(TWO_LAYERS[0], nulls=3, rng=0, measures=["degree"], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_q_values_are_those_of_benjamini_and_hochberg(report: analysis.TopologyReport) -> None:
    compared = [
        comparison
        for section in report.sections
        for quantity in section.quantities
        for comparison in quantity.nulls.values()
        if comparison.p is not None
    ]
    p = np.array([comparison.p for comparison in compared])
    q = np.array([comparison.q for comparison in compared])
    order = np.argsort(p)
    expected = np.minimum.accumulate((p[order] * p.size / np.arange(1, p.size + 1))[::-1])[::-1]
    assert q[order] == pytest.approx(np.minimum(expected, 1.0))
    assert all(c.q is None for s in report.sections for x in s.quantities for c in x.nulls.values() if c.p is None)


def test_expensive_measures_are_repeated_up_to_a_number_of_edges() -> None:
    limits = {name: analysis.get_measure(name).null_edge_limit for name in analysis.measure_names()}
    assert {name for name, limit in limits.items() if limit is not None} == {"community", "opsahl", "weighted_opsahl"}


def test_small_world_indices_agree_with_their_own_function() -> None:
    """Up to the replicates, which are other draws."""
    graph = ring_lattice(60, 5)
    section = describe(graph, nulls=20, rng=0, measures=["small_world"])["layer 0"]
    expected = analysis.small_world(graph, 1, nulls=20)
    assert section["small_world_propensity"].value == pytest.approx(expected.propensity.value, abs=0.02)
    assert section["small_world_omega"].value == pytest.approx(expected.omega.value, abs=0.1)
    assert section["lattice_path_length"].value == pytest.approx(expected.path_length_lattice.value, rel=0.1)


def test_verdicts_stand_in_every_form_of_the_report(report: analysis.TopologyReport) -> None:
    assert list(report.verdicts) == ["layer 0", "layer 1", "network"]
    assert report.verdicts["layer 0"]["sparse"].conclusion == "supported"
    assert report.verdicts["network"]["scale-free"].conclusion == "not defined"
    assert "- sparse: supported (density 0.2)" in report.to_markdown()
    plain = report.to_dict()
    assert [verdict["property"] for verdict in plain["sections"][0]["verdicts"]] == list(plain["verdict_rules"])


def test_indices_have_a_null_distribution_and_a_value_of_the_control() -> None:
    lattice, random = ring_lattice(40, 4), random_graph(40, 40, 160, 1)
    section = describe(lattice, nulls=39, control=random, measures=["clustering", "paths", "small_world"], rng=0)["layer 0"]
    sigma, omega = section["small_world_sigma"], section["small_world_omega"]
    for quantity in (sigma, omega):
        assert (quantity.nulls["fixed_degrees"].status, quantity.nulls["fixed_degrees"].replicates) == ("compared", 39)
        assert quantity.nulls["erdos_renyi"].status == "not computed"
    # Replicates are compared with their own mean.
    assert sigma.nulls["fixed_degrees"].mean == pytest.approx(1.0, abs=0.05)
    assert sigma.nulls["fixed_degrees"].p_greater == pytest.approx(1 / 40)
    assert omega.nulls["fixed_degrees"].p_less == pytest.approx(1 / 40)
    assert sigma.control is not None
    assert sigma.control.value is not None
    assert sigma.value is not None
    assert sigma.control.value == pytest.approx(1.0, abs=0.25)
    assert sigma.value > 2 * sigma.control.value


def test_wiring_length_is_measured_where_the_inputs_are_pixels() -> None:
    pixels = np.arange(36)
    near = [(int(p), t) for t in range(12) for p in pixels if abs(p // 6 - t // 2) + abs(p % 6 - t % 6) <= 1]
    report = describe([from_edges(36, 12, near), random_graph(12, 5, 20, 1)], nulls=39, image_shape=(6, 6), rng=0, measures=[])
    radius, ratio = (report["layer 0"][name] for name in ("field_radius_mean", "field_squared_radius_ratio"))
    assert ratio.value is not None
    assert ratio.value < 0.5
    assert ratio.nulls["fixed_degrees"].p_less == pytest.approx(1 / 40)
    # Only the upper pixels are used, so even random fields are a little smaller than those of the whole image.
    assert ratio.nulls["fixed_degrees"].mean == pytest.approx(0.9, abs=0.1)
    assert radius.measure == "wiring"
    assert report["layer 0"]["field_size_gini"].nulls["fixed_degrees"].status == "fixed"
    assert report["layer 1"].get("field_radius_mean") is None
    assert report["network"].get("field_radius_mean") is None


@pytest.mark.parametrize("shape", [(6, 7), (36,), 36, (0, 36), (6.0, 6.0), "6x6"])
def test_image_shapes_that_do_not_fit(shape: Any) -> None:
    with pytest.raises(AnalysisError, match=r"image_shape is .*; a height and a width whose product is 36 are needed"):
        describe(random_graph(36, 12, 80, 1), nulls=0, image_shape=shape, rng=0)


def test_values_are_printed_by_functions_that_the_package_binds(report: analysis.TopologyReport) -> None:
    assert report.to_markdown() == analysis.markdown(report)
    assert report.to_table().row_count == analysis.table(report).row_count
    assert report.to_verdict_table().row_count == analysis.verdict_table(report).row_count
    assert report["layer 0"].title == "layer 0: 40 x 30, 240 edges"


def test_verdicts_are_a_field_of_a_section(report: analysis.TopologyReport) -> None:
    section = report["layer 0"]
    bare = replace(section, verdicts={})
    assert bare.verdicts == {}
    assert section_verdicts(bare) == section.verdicts
    assert replace(report, sections=(bare,)).to_dict()["verdict_rules"] == {}


def with_weights(graph: BipartiteGraph, weights: np.ndarray) -> BipartiteGraph:
    return replace(graph, weights=weights)


def test_a_layer_with_weights_and_no_edges() -> None:
    empty, full = with_weights(from_edges(5, 4, []), np.empty(0)), with_weights(complete(4, 3), np.arange(12) - 5.5)
    report = describe([empty, full], nulls=3, rng=0)
    assert report["layer 0"]["edges"].value == 0
    assert report["layer 0"]["source_net_strength_mean"].value == 0
    alone = describe(full, nulls=3, rng=0)
    assert report["layer 1"]["source_net_strength_sd"].value == alone["layer 0"]["source_net_strength_sd"].value
    json.dumps(report.to_dict(), allow_nan=False)
    assert describe(empty, nulls=3, rng=0, control=empty)["layer 0"]["edges"].control.value == 0


@pytest.mark.parametrize("largest", [1e300, 1.7e308, 1e155, 1.0, 1e-300, 5e-324])
def test_weights_of_any_size(largest: float) -> None:
    """Every comparison is finite, and where nothing overflows it is that of ordinary weights."""
    graph = random_graph(12, 9, 60, seed=3)
    values = np.random.default_rng(0).permutation(np.linspace(-1, 1, 60))
    report = describe(
        with_weights(graph, values * largest), nulls=9, rng=0, control=with_weights(graph, values[::-1] * largest)
    )
    json.dumps(report.to_dict(), allow_nan=False)
    ordinary = describe(with_weights(graph, values), nulls=9, rng=0)
    if 1e-200 < largest < 1e308:
        for name in ("source_net_strength_sd", "target_absolute_strength_cv", "source_positive_strength_cv"):
            found, expected = (one["layer 0"][name].nulls["permuted_weights"] for one in (report, ordinary))
            scale = largest if name.endswith("sd") else 1.0
            assert (found.p, found.p_less) == (expected.p, expected.p_less)
            assert found.sd / scale == pytest.approx(expected.sd)
            assert found.z == pytest.approx(expected.z)


def test_comparisons_at_the_ends_of_the_numbers() -> None:
    huge = compare_with_replicates(defined(0.0), [defined(1.7e308), defined(-1.7e308)])
    assert (huge.mean, huge.sd, huge.z) == (0.0, None, 0.0)  # sd = sqrt(2) * 1.7e308 is no number
    far = compare_with_replicates(defined(1e308), [defined(1e-300), defined(3e-300)])
    assert (far.mean, far.z) == (2e-300, None)
    assert far.p == pytest.approx(1 / 3)
