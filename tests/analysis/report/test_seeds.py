"""`compare`: the seed is the unit of replication."""

import json
from itertools import product

import numpy as np
import pytest
from bipartite_examples import random_graph
from rich.console import Console

from analysis import AnalysisError, TopologyReport, compare, describe
from analysis.base.quantity import defined
from analysis.report.permutation import compare_with_replicates
from analysis.report.seeds import RESAMPLES, PairedTest, SeedComparison, bootstrap_interval, paired_test, rank_among_replicates

MEASURES = ["degree", "clustering", "core"]


def run(seed: int, n_edges: int = 120, control: int | None = None) -> TopologyReport:
    before = None if control is None else random_graph(20, 15, control, seed + 100)
    return describe(random_graph(20, 15, n_edges, seed), nulls=19, rng=seed, measures=MEASURES, control=before)


@pytest.fixture(scope="module")
def compared() -> SeedComparison:
    return compare([run(seed, 100 + seed, control=90) for seed in range(5)], rng=0)


def test_means_intervals_and_pairs(compared: SeedComparison) -> None:
    edges = next(quantity for quantity in compared.quantities if quantity.name == "edges")
    assert (edges.section, edges.seeds, edges.mean) == ("layer 0", 5, 102.0)
    assert edges.low is not None
    assert edges.high is not None
    assert 100 <= edges.low < 102 < edges.high <= 104
    assert edges.untrained is not None
    assert (edges.untrained.pairs, edges.untrained.mean_difference) == (5, 12.0)
    assert edges.untrained.p == edges.untrained.smallest_p == 2 / 32
    assert edges.shuffled is None  # The degree-preserving null has no replicates of what it keeps.
    clustering = next(quantity for quantity in compared.quantities if quantity.name == "robins_alexander_clustering")
    assert clustering.shuffled is not None
    assert clustering.shuffled.p >= 2 / 32


def test_shares_of_verdicts_add_up(compared: SeedComparison) -> None:
    shares = {verdict.property: verdict.shares for verdict in compared.verdicts}
    assert shares["sparse"] == {"supported": 1.0}
    assert shares["modular"] == {"not defined": 1.0}
    assert all(sum(one.values()) == pytest.approx(1.0) for one in shares.values())


def test_controls_given_as_reports() -> None:
    reports, before = [run(seed, 100 + seed) for seed in range(3)], [run(seed, 95) for seed in range(3)]
    found = compare(reports, untrained=before, shuffled=before, rng=0).quantities[0]
    assert found.untrained is not None
    assert found.untrained.mean_difference == 6.0
    assert found.untrained == found.shuffled
    assert found.untrained.smallest_p == found.untrained.p == 0.25


def flipped(differences: np.ndarray) -> PairedTest:
    found = paired_test(differences, differences, 0)
    assert found is not None
    return found


def test_sign_flips_by_brute_force() -> None:
    differences = np.array([0.5, -0.2, 1.5, 0.7])
    signs = np.array(list(product((1.0, -1.0), repeat=4)))
    expected = np.mean([abs((row * differences).sum()) >= abs(differences.sum()) - 1e-12 for row in signs])
    assert flipped(differences).p == expected
    assert flipped(np.zeros(4)).p == 1.0


def test_pairs_with_a_missing_value_are_left_out() -> None:
    assert flipped(np.array([0.5, np.nan, -0.2, 1.5, 0.7])) == flipped(np.array([0.5, -0.2, 1.5, 0.7]))
    assert paired_test(np.array([np.nan]), np.array([1.0]), 0) is None


def test_sign_flips_are_exact_under_the_null() -> None:
    """P(p <= 0.0625) is 2 / 32 for 5 pairs: of 400 draws 25 on average; beyond 8 to 45 once in 10,000."""
    rng = np.random.default_rng(0)
    hits = sum(flipped(rng.standard_normal(5)).p <= 2 / 32 for _ in range(400))
    assert 8 <= hits <= 45


def test_one_seed_has_no_interval() -> None:
    found = compare([run(0, control=100)], rng=0).quantities[0]
    assert (found.seeds, found.low, found.high) == (1, None, None)
    assert found.untrained is not None
    assert found.untrained.p == found.untrained.smallest_p == 1.0


def test_many_seeds_flip_at_random() -> None:
    report = run(0, control=100)
    found = compare([report] * 20, rng=0).quantities[0].untrained
    assert found is not None
    assert 0 < found.p < 0.001


def test_output_is_plain_and_reproducible(compared: SeedComparison) -> None:
    plain = compared.to_dict()
    assert json.loads(compared.to_json()) == json.loads(json.dumps(plain, allow_nan=False))
    markdown = compared.to_markdown()
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(compared.to_table())
    printed = console.export_text()
    console.file.close()
    for quantity in compared.quantities:
        assert f"| {quantity.name.replace('_', ' ')} " in markdown
        assert quantity.name.replace("_", " ") in printed
    assert "- sparse: supported 100 %" in markdown
    assert "2 / 2^n" in markdown
    reports = [run(seed) for seed in range(2)]
    assert compare(reports, rng=3) == compare(reports, rng=3)


def test_bad_arguments() -> None:
    report = run(0)
    with pytest.raises(AnalysisError, match="reports is empty"):
        compare([], rng=0)
    with pytest.raises(AnalysisError, match="untrained has 2 reports; 1 are needed"):
        compare([report], untrained=[report, report], rng=0)
    other = describe(random_graph(20, 15, 50, 0), nulls=0, rng=0, measures=["degree"])
    with pytest.raises(AnalysisError, match=r"reports\[1\] has other sections or quantities"):
        compare([report, other], rng=0)
    with pytest.raises(AnalysisError, match=r"shuffled\[0\] has other sections"):
        compare([report], shuffled=[other], rng=0)
    with pytest.raises(AnalysisError, match="rng is None"):
        compare([report], rng=None)  # type: ignore[arg-type]


def test_an_interval_does_not_depend_on_the_order_of_seeds_or_on_those_that_are_missing() -> None:
    values = np.array([5.0, 1.0, 2.0, 1.5, 0.5, 1.2])
    low, high = bootstrap_interval(values, 0)
    assert bootstrap_interval(values[::-1], 1) == pytest.approx((low, high), abs=0.15)
    means = np.sort([np.mean(draw) for draw in product(values, repeat=6)])  # every sample that can be drawn
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.1)


def test_the_test_against_replicates_is_exact_where_the_null_model_is_skewed() -> None:
    """Draws of a log-normal among 99 others, 8 seeds: P(p <= 0.05) is at most 12 / 256. Of 400 comparisons 19 on average,
    above 38 once in 10,000; the differences from the mean reject 50 and more."""
    rng = np.random.default_rng(0)
    ranked = plain = 0
    for _ in range(400):
        values = rng.lognormal(0.0, 1.5, size=(8, 100))
        found = [compare_with_replicates(defined(row[0]), [defined(value) for value in row[1:]]) for row in values]
        differences = np.array([row[0] - row[1:].mean() for row in values])
        ranks = np.array([rank_among_replicates(comparison) for comparison in found], dtype=np.float64)
        for tested, is_rank in ((ranks, True), (differences, False)):
            result = paired_test(differences, tested, 0)
            assert result is not None
            ranked, plain = ranked + (is_rank and result.p <= 0.05), plain + (not is_rank and result.p <= 0.05)
    assert ranked <= 38 < plain


def test_the_smallest_p_of_random_flips_is_their_number() -> None:
    found = compare([run(0, control=100)] * 20, rng=0).quantities[0].untrained
    assert found is not None
    assert found.p == found.smallest_p == 2 / (1 + RESAMPLES)


def test_reports_that_do_not_belong_together() -> None:
    report, graph = run(0), random_graph(20, 15, 120, 0)
    wider = describe(random_graph(30, 15, 120, 0), nulls=19, rng=0, measures=MEASURES)
    fewer = describe(graph, nulls=9, rng=0, measures=MEASURES)
    shorter = describe(graph, nulls=19, rng=0, measures=MEASURES, swaps_per_edge=5)
    for other, aspect in (
        (wider, "other layer sizes"),
        (fewer, "another number"),
        (shorter, "another number"),
        (run(1, control=90), "values"),
    ):
        with pytest.raises(AnalysisError, match=rf"reports\[1\] has {aspect}.* than reports\[0\]; they must be the same"):
            compare([report, other], rng=0)
    with pytest.raises(AnalysisError, match=r"reports\[0\] is a int; a TopologyReport is needed"):
        compare([1, 2], rng=0)  # type: ignore[list-item]
    for wrong in (report, 3):
        with pytest.raises(AnalysisError, match=r"reports is a .*; a sequence of reports, one per seed, is needed"):
            compare(wrong, rng=0)  # type: ignore[arg-type]
