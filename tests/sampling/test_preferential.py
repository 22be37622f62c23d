"""Preferential growth: exact laws on small graphs, invariants on all graphs, crowded graphs, bad input.

The chi-square tests have fixed seeds and a false-alarm rate of 1e-4 each. What they expect is the rule written down a second
time, with fractions and without any of the tricks (`law_of_one`), and worked examples by hand.
"""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netsci_nn.sampling import distinct_cells
from netsci_nn.sampling.preferential import SIDES, UPDATING, grow_preferentially

ALARM = 1e-4
Edge = tuple[int, int]
Law = dict[Any, Fraction]

# 4 sources with 3, 2, 1, 0 edges, 5 targets with 1, 3, 2, 0, 0.
N_IN, N_OUT = 4, 5
EDGES = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 1)]
# 3 x 3, where one edge more fills source 0, and likewise target 1.
SQUARE = [(0, 0), (0, 1), (1, 1)]


def keys(edges: Any, n_in: int) -> np.ndarray:
    return np.array(sorted(dst * n_in + src for src, dst in edges), dtype=np.int64)


def grow(n_in: int, n_out: int, edges: Any, count: int, rng: Any, **rule: Any) -> list[Edge]:
    src, dst = grow_preferentially(n_in, n_out, keys(edges, n_in), count, rng=rng, **rule)
    assert src.dtype == dst.dtype == np.int64
    return list(zip(src.tolist(), dst.tolist(), strict=True))


def shares(weights: dict[int, int]) -> dict[int, Fraction]:
    total = sum(weights.values())
    return {node: Fraction(weight, total) if total else Fraction(1, len(weights)) for node, weight in weights.items()}


def law_of_one(n_in: int, n_out: int, edges: list[Edge], a: int, side: str, counted: list[Edge] | None = None) -> Law:
    """The probability of every free cell to be the next edge; `counted` are the edges that make the degrees."""
    counted = edges if counted is None else counted
    out = {i: sum(edge[0] == i for edge in counted) + a for i in range(n_in)}
    into = {j: sum(edge[1] == j for edge in counted) + a for j in range(n_out)}
    free = [(i, j) for i in range(n_in) for j in range(n_out) if (i, j) not in edges]
    law = {}
    for i, j in free:
        partners_of_i, partners_of_j = [t for s, t in free if s == i], [s for s, t in free if t == j]
        if side == "target":
            law[i, j] = shares({t: into[t] for t in {t for _, t in free}})[j] / len(partners_of_j)
        else:
            chosen = shares({s: out[s] for s in {s for s, _ in free}})[i]
            law[i, j] = (
                chosen
                * (shares({t: into[t] for t in partners_of_i})[j] if side == "both" else 1)
                / (1 if side == "both" else len(partners_of_i))
            )
    assert sum(law.values()) == 1
    return law


def law_of_two(edges: list[Edge], a: int, side: str, updating: str) -> Law:
    law = {}
    for first, probability in law_of_one(3, 3, edges, a, side).items():
        after = [*edges, first]
        for second, given_first in law_of_one(3, 3, after, a, side, after if updating == "sequential" else edges).items():
            law[first, second] = probability * given_first
    return law


def p_value(observed: list[Any], law: Law) -> float:
    """Chi-square of the outcomes against their law; 0 when something impossible has occurred."""
    counts = dict.fromkeys(law, 0)
    for outcome in observed:
        counts[outcome] += 1
    possible = [outcome for outcome in law if law[outcome] > 0]
    if sum(counts[outcome] for outcome in possible) < len(observed):
        return 0.0
    expected = [float(law[outcome]) * len(observed) for outcome in possible]
    assert min(expected) >= 5
    return float(stats.chisquare([counts[outcome] for outcome in possible], expected).pvalue)


def single_draws(n_draws: int, a: float, side: str, updating: str = "sequential") -> list[Edge]:
    rng, occupied = np.random.default_rng(0), keys(EDGES, N_IN)
    rule = {"attractiveness": a, "side": side, "updating": updating}
    drawn = [grow_preferentially(N_IN, N_OUT, occupied, 1, rng=rng, **rule) for _ in range(n_draws)]  # type: ignore[arg-type]
    return [(int(src[0]), int(dst[0])) for src, dst in drawn]


def test_the_law_by_hand() -> None:
    """Weights 4, 3, 2, 1 of the sources at a = 1; source 0 has targets 3 and 4 to go to, source 3 all five."""
    law = law_of_one(N_IN, N_OUT, EDGES, 1, "source")
    assert law[0, 3] == law[0, 4] == Fraction(4, 10) / 2
    assert law[3, 0] == Fraction(1, 10) / 5
    # The targets weigh 2, 4, 3, 1, 1; source 2 has 0, 2, 3, 4 to go to.
    assert law_of_one(N_IN, N_OUT, EDGES, 1, "both")[2, 2] == Fraction(2, 10) * Fraction(3, 7)
    # Target 1 goes to source 3 alone.
    assert law_of_one(N_IN, N_OUT, EDGES, 1, "target")[3, 1] == Fraction(4, 11)
    # At a = 0 target 1 goes on attracting half of the edges, and targets 3 and 4 none.
    law = law_of_one(N_IN, N_OUT, EDGES, 0, "target")
    assert (law[3, 1], law[0, 3], law[0, 4]) == (Fraction(1, 2), 0, 0)


@pytest.mark.parametrize("a", [0, 1, 5])
@pytest.mark.parametrize("side", SIDES)
def test_single_edges_have_their_law(side: str, a: int) -> None:
    """Choice and partner at once: the law of all free cells; the laws of other a are refused."""
    drawn = single_draws(8000, a, side)
    assert p_value(drawn, law_of_one(N_IN, N_OUT, EDGES, a, side)) > ALARM
    for other in {0, 1, 5} - {a}:
        assert p_value(drawn, law_of_one(N_IN, N_OUT, EDGES, other, side)) < ALARM


@pytest.mark.parametrize("a", [0, 1, 5])
@pytest.mark.parametrize("side", SIDES)
def test_100_000_choices_are_proportional_to_degree_plus_attractiveness(side: str, a: int) -> None:
    """With frozen degrees and room enough, the choices of one call are independent draws; node 0 is full."""
    degrees, room, count = {1: 0, 2: 3, 3: 1, 4: 10, 5: 6}, 100_000, 100_000
    edges = [(node, partner) for node, degree in [(0, room), *degrees.items()] for partner in range(degree)]
    rule = {"attractiveness": a, "updating": "frozen", "side": side}
    if side == "target":
        grown = grow(room, 6, [(src, dst) for dst, src in edges], count, np.random.default_rng(1), **rule)
        chosen = [dst for _, dst in grown]
    else:
        chosen = [src for src, _ in grow(6, room, edges, count, np.random.default_rng(1), **rule)]
    assert p_value(chosen, shares({node: degree + a for node, degree in degrees.items()})) > ALARM
    assert p_value(chosen, shares({node: degree + a + 1 for node, degree in degrees.items()})) < ALARM


@pytest.mark.parametrize("a", [0, 1, 5])
@pytest.mark.parametrize("side", SIDES)
def test_uniform_growth_would_be_refused(side: str, a: int) -> None:
    rng, law = np.random.default_rng(2), law_of_one(N_IN, N_OUT, EDGES, a, side)
    drawn = [int(distinct_cells(N_IN * N_OUT, 1, rng, keys(EDGES, N_IN))[0]) for _ in range(8000)]
    assert p_value([(cell % N_IN, cell // N_IN) for cell in drawn], law) < ALARM


def test_uniform_choice_of_the_source_would_be_refused() -> None:
    """That is what a large attractiveness comes to: a uniform source, then a uniform target."""
    drawn = single_draws(8000, 1e9, "source")
    assert p_value([src for src, _ in drawn], shares(dict.fromkeys(range(N_IN), 1))) > ALARM
    for a in (0, 1, 5):
        assert p_value(drawn, law_of_one(N_IN, N_OUT, EDGES, a, "source")) < ALARM


def test_sequential_and_frozen_differ_by_hand() -> None:
    """Two sources, 9 targets, source 0 has one edge, a = 1: weights 2 and 1.

    Frozen, two edges choose 00, 01, 10, 11 with 4/9, 2/9, 2/9, 1/9. Sequential: after 0 the weights are 3 and 1, after 1
    they are 2 and 2: 2/3 3/4 = 1/2, 2/3 1/4 = 1/6, 1/3 1/2 = 1/6, 1/6.
    """
    outcomes = [(0, 0), (0, 1), (1, 0), (1, 1)]
    frozen = dict(zip(outcomes, [Fraction(n, 9) for n in (4, 2, 2, 1)], strict=True))
    sequential = dict(zip(outcomes, [Fraction(n, 6) for n in (3, 1, 1, 1)], strict=True))
    for updating, law, other in (("frozen", frozen, sequential), ("sequential", sequential, frozen)):
        rng = np.random.default_rng(3)
        grown = [grow(2, 9, [(0, 4)], 2, rng, updating=updating) for _ in range(10_000)]
        chosen = [(first[0], second[0]) for first, second in grown]
        assert p_value(chosen, law) > ALARM
        assert p_value(chosen, other) < ALARM


@pytest.mark.parametrize("updating", UPDATING)
@pytest.mark.parametrize("side", SIDES)
def test_two_edges_have_their_law_where_one_fills_a_hub(side: str, updating: str) -> None:
    """All ordered pairs of edges by enumeration; source 0 and target 1 leave the lottery after an edge more."""
    rng, law = np.random.default_rng(4), law_of_two(SQUARE, 1, side, updating)
    grown = [tuple(grow(3, 3, SQUARE, 2, rng, side=side, updating=updating)) for _ in range(8000)]
    assert p_value(grown, law) > ALARM
    assert p_value(grown, law_of_two(SQUARE, 1, side, "frozen" if updating == "sequential" else "sequential")) < ALARM


def test_sequential_growth_is_a_polya_urn() -> None:
    """Without saturation the edges that a source gains are beta-binomial, with frozen degrees binomial."""
    edges, count = [(0, 0), (0, 1), (1, 0), (2, 5), (2, 7), (2, 8)], 20
    beta_binomial, binomial = stats.betabinom(count, 2 + 2, 9 + 2 * 3 - 3 - 4), stats.binom(count, 4 / 12)
    for updating, law, other in (("sequential", beta_binomial, binomial), ("frozen", binomial, beta_binomial)):
        rng = np.random.default_rng(5)
        gains = [
            sum(src == 0 for src, _ in grow(3, 60, edges, count, rng, attractiveness=2, updating=updating)) for _ in range(4000)
        ]
        bins = [range(2), *([gain] for gain in range(2, 12)), range(12, count + 1)]
        observed = [sum(gain in group for gain in gains) for group in bins]
        expected, wrong = ([4000 * law_.pmf(list(group)).sum() for group in bins] for law_ in (law, other))
        assert stats.chisquare(observed, expected).pvalue > ALARM
        assert stats.chisquare(observed, wrong).pvalue < ALARM


@pytest.mark.parametrize("updating", UPDATING)
def test_the_partner_is_uniform_among_those_not_joined(updating: str) -> None:
    """Three more edges of the only source, which has 3 of 8 targets: all sets of the other five are equally likely.

    The counts are negatively correlated: the statistic is (5 - 1) / (5 - 3) of the plain one.
    """
    rng, counts, n_draws = np.random.default_rng(6), np.zeros(8), 5000
    for _ in range(n_draws):
        counts[[dst for _, dst in grow(1, 8, [(0, 1), (0, 4), (0, 5)], 3, rng, updating=updating)]] += 1
    assert counts[[1, 4, 5]].sum() == 0
    expected = n_draws * 3 / 5
    assert ((counts[[0, 2, 3, 6, 7]] - expected) ** 2 / expected).sum() * 4 / 2 < stats.chi2(4).isf(ALARM)


# Source 0 has 197 of 200 targets, all but 3, 4 and 5; its weight is 197 times that of the other sources.
NEARLY_FULL = [(0, dst) for dst in range(200) if dst not in (3, 4, 5)]
WEIGHED = [*NEARLY_FULL, (1, 3), (1, 4), (2, 4)]


@pytest.mark.parametrize(
    ("edges", "side", "a", "weights"),
    [
        (WEIGHED, "source", 0, (1, 1, 1)),
        (WEIGHED, "both", 0, (1, 2, 0)),  # the hub's other targets weigh 197 together
        (WEIGHED, "both", 1, (2, 3, 1)),
        (NEARLY_FULL, "both", 0, (1, 1, 1)),  # all weights of those not joined are 0
    ],
)
def test_a_crowded_hub_finds_its_last_partners_by_the_same_law(
    edges: list[Edge], side: str, a: int, weights: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(7)
    grown = [grow(4, 200, edges, 1, rng, attractiveness=a, side=side)[0] for _ in range(5000)]
    of_the_hub = [dst for src, dst in grown if src == 0]
    assert len(of_the_hub) > 4700
    assert p_value(of_the_hub, shares(dict(zip((3, 4, 5), weights, strict=True)))) > ALARM


@pytest.mark.parametrize("updating", UPDATING)
def test_target_is_source_with_the_sides_exchanged(updating: str) -> None:
    edges = [(int(cell) % 9, int(cell) // 9) for cell in distinct_cells(9 * 7, 25, np.random.default_rng(0))]
    exchanged = [(dst, src) for src, dst in edges]
    grown = grow(9, 7, edges, 30, np.random.default_rng(8), side="source", updating=updating)
    assert grown == [
        (src, dst) for dst, src in grow(7, 9, exchanged, 30, np.random.default_rng(8), side="target", updating=updating)
    ]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, int, set[int], int]:
    n_in, n_out = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    occupied = draw(st.sets(st.integers(0, n_in * n_out - 1)))
    n_free = n_in * n_out - len(occupied)
    return n_in, n_out, occupied, draw(st.sampled_from([n_free, n_free // 2]) | st.integers(0, n_free))


@given(
    graphs(),
    st.sampled_from([0, 5e-324, 0.5, 1, 1e300, np.float32(2), Fraction(1, 3)]),
    st.sampled_from(UPDATING),
    st.sampled_from(SIDES),
    st.integers(0, 2**32),
)
def test_exactly_so_many_edges_all_new(graph: Any, a: float, updating: str, side: str, seed: int) -> None:
    n_in, n_out, occupied, count = graph
    before = np.array(sorted(occupied), dtype=np.int64)
    before.setflags(write=False)
    rule = {"attractiveness": a, "updating": updating, "side": side}
    src, dst = grow_preferentially(n_in, n_out, before, count, rng=np.random.default_rng(seed), **rule)  # type: ignore[arg-type]
    assert len(src) == len(dst) == count
    assert ((src >= 0) & (src < n_in) & (dst >= 0) & (dst < n_out)).all()
    grown = set((dst * n_in + src).tolist())
    assert len(grown) == count
    assert not grown & occupied


@pytest.mark.parametrize("a", [0, 1])
@pytest.mark.parametrize("updating", UPDATING)
@pytest.mark.parametrize("side", SIDES)
def test_all_but_one_target_of_every_source_taken(side: str, updating: str, a: int) -> None:
    rule = {"attractiveness": a, "updating": updating, "side": side}
    for missing in ([(i, (7 * i) % 150) for i in range(120)], [(i, 3) for i in range(120)]):
        cells = np.delete(np.arange(120 * 150), keys(missing, 120))
        src, dst = grow_preferentially(120, 150, cells, 120, rng=np.random.default_rng(9), **rule)  # type: ignore[arg-type]
        assert sorted(zip(src.tolist(), dst.tolist(), strict=True)) == sorted(missing)


@pytest.mark.parametrize("a", [0, 1])
@pytest.mark.parametrize("updating", UPDATING)
@pytest.mark.parametrize("side", SIDES)
def test_from_nothing_to_the_complete_graph(side: str, updating: str, a: int) -> None:
    grown = grow(30, 40, [], 1200, np.random.default_rng(10), attractiveness=a, updating=updating, side=side)
    assert sorted(grown) == [(i, j) for i in range(30) for j in range(40)]


@pytest.mark.parametrize("updating", UPDATING)
@pytest.mark.parametrize("side", SIDES)
def test_a_saturated_hub_is_never_chosen(side: str, updating: str) -> None:
    """Source 0 and target 0 are joined to all others: a naive lottery would go on drawing them."""
    edges = [*((0, dst) for dst in range(30)), *((src, 0) for src in range(1, 20))]
    grown = grow(20, 30, edges, 500, np.random.default_rng(11), attractiveness=0.01, side=side, updating=updating)
    assert min(src for src, _ in grown) == min(dst for _, dst in grown) == 1


def test_literal_attachment_to_the_empty_graph_fills_one_source_after_the_other() -> None:
    """At a = 0 whoever has the first edge draws all others; saturated, it leaves the rest with weights 0: any is next."""
    rng = np.random.default_rng(12)
    grown = [[src for src, _ in grow(5, 6, [], 18, rng, attractiveness=0)] for _ in range(1000)]
    for sources in grown:
        assert all(len(set(sources[start : start + 6])) == 1 for start in (0, 6, 12))
        assert len(set(sources)) == 3
    for start in (0, 6, 12):
        assert p_value([sources[start] for sources in grown], shares(dict.fromkeys(range(5), 1))) > ALARM


@pytest.mark.parametrize("side", SIDES)
def test_all_cells_are_equally_likely_where_all_weights_are_0(side: str) -> None:
    rng = np.random.default_rng(13)
    grown = [grow(3, 4, [], 1, rng, attractiveness=0, side=side)[0] for _ in range(5000)]
    assert p_value(grown, {(i, j): Fraction(1, 12) for i in range(3) for j in range(4)}) > ALARM


@pytest.mark.parametrize("updating", UPDATING)
@pytest.mark.parametrize("side", SIDES)
def test_same_seed_same_edges(side: str, updating: str) -> None:
    occupied = distinct_cells(50 * 40, 200, np.random.default_rng(0))
    rule = {"side": side, "updating": updating}
    first, again, other = (
        grow_preferentially(50, 40, occupied, 100, rng=np.random.default_rng(seed), **rule)  # type: ignore[arg-type]
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_edge_and_no_free_cell() -> None:
    rng = np.random.default_rng(0)
    assert grow(3, 2, EDGES[:2], 0, rng) == []
    assert grow(1, 1, [], 1, rng) == [(0, 0)]
    assert grow(1, 1, [(0, 0)], 0, rng) == []


def test_both_ends_are_drawn_with_the_product_of_their_weights() -> None:
    """One edge more in SQUARE, where sources have 2, 1, 0 edges and targets 1, 2, 0, each of weight one more."""
    occupied, rng, n_draws = keys(SQUARE, 3), np.random.default_rng(0), 4000
    out, into = [3, 2, 1], [2, 3, 1]
    weights = {(i, j): out[i] * into[j] for i in range(3) for j in range(3) if (i, j) not in SQUARE}
    counts = dict.fromkeys(weights, 0)
    for _ in range(n_draws):
        src, dst = grow_preferentially(3, 3, occupied, 1, side="both", draw="both_ends", rng=rng)
        counts[int(src[0]), int(dst[0])] += 1
    expected = np.array(list(weights.values())) / sum(weights.values()) * n_draws
    assert stats.chisquare(list(counts.values()), expected).pvalue > ALARM


@pytest.mark.parametrize("count", [0, 3, 6])
def test_both_ends_fill_what_is_free(count: int) -> None:
    src, dst = grow_preferentially(3, 3, keys(SQUARE, 3), count, side="both", draw="both_ends", rng=np.random.default_rng(0))
    grown = set(zip(src.tolist(), dst.tolist(), strict=True))
    assert len(grown) == count
    assert not grown & set(SQUARE)
