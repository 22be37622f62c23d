"""Scores of absent edges against the definition path by path, and which edges they choose."""

import itertools
import math
import tracemalloc
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netsci_nn import BipartiteTopology, ConfigError, TopologyError, generators
from netsci_nn.rewiring import LinkScores, ch2_l3n, ch2_l3p, ch3_l3n, ch3_l3p, link_prediction

PREDICTORS = {"ch2_l3n": ch2_l3n, "ch2_l3p": ch2_l3p, "ch3_l3n": ch3_l3n, "ch3_l3p": ch3_l3p}
every_predictor = pytest.mark.parametrize("name", PREDICTORS)

# Targets 0 = {0, 1, 2}, 1 = {0, 1, 3}, 2 = {1, 2}; from source 0 to target 2 there are three paths.
EXAMPLE = BipartiteTopology(4, 3, src=[0, 1, 2, 0, 1, 3, 1, 2], dst=[0, 0, 0, 1, 1, 1, 2, 2])


@st.composite
def topologies(draw: Any, largest: int = 7) -> BipartiteTopology:
    n_in, n_out = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    keys = draw(st.sets(st.integers(0, n_in * n_out - 1)))
    return BipartiteTopology.from_keys(np.array(sorted(keys), dtype=np.int64), n_in, n_out)


def by_definition(topology: BipartiteTopology, name: str) -> np.ndarray:
    """Find every path of every absent edge, its local community, and the links of that inside and outside."""
    neighbours: dict[Any, set[Any]] = {("source", i): set() for i in range(topology.n_in)}
    neighbours |= {("target", i): set() for i in range(topology.n_out)}
    for source, target in topology.to_edges().tolist():
        neighbours["source", source].add(("target", target))
        neighbours["target", target].add(("source", source))
    scores = np.full((topology.n_out, topology.n_in), np.nan)
    for i, j in itertools.product(range(topology.n_in), range(topology.n_out)):
        u, v = ("source", i), ("target", j)
        if v in neighbours[u]:
            continue
        paths = [(z1, z2) for z1 in neighbours[u] for z2 in neighbours[z1] if z2 in neighbours[v] and len({u, v, z1, z2}) == 4]
        community = {z for path in paths for z in path}
        weights = {}
        for z in community:
            inside = len(neighbours[z] & community)
            outside = len(neighbours[z] - community - {u, v})
            weights[z] = Fraction(1 + inside if name.startswith("ch2") else 1, 1 + outside)
        if name.endswith("p"):
            scores[j, i] = math.fsum(math.sqrt(weights[z1] * weights[z2]) for z1, z2 in paths)
        else:
            scores[j, i] = float(sum(weights.values(), Fraction(0)))
    return scores


def by_matrices(topology: BipartiteTopology, name: str) -> np.ndarray:
    """The same with matrices [z, the end on the same side]: what both have in common, and what z has beside."""
    mask = topology.to_mask().astype(np.float64)

    def weights(mask: np.ndarray) -> np.ndarray:
        common = mask @ mask.T
        outside = np.maximum(mask.sum(1)[:, None] - common, 1) - 1
        return (common > 0) * (1 + common * name.startswith("ch2")) / (1 + outside)

    of_targets, of_sources = weights(mask), weights(mask.T)
    if name.endswith("n"):
        scores = of_targets.T @ mask + mask @ of_sources
    else:
        scores = np.einsum("au,ab,vb,av,bu->vu", mask, mask, mask, np.sqrt(of_targets), np.sqrt(of_sources), optimize=True)
    return np.where(mask > 0, np.nan, scores)


def highest(scores: np.ndarray, count: int) -> list[int]:
    """The keys of the largest, of equal ones the first."""
    free = np.flatnonzero(~np.isnan(scores.reshape(-1)))
    return sorted(free[np.argsort(-scores.reshape(-1)[free], kind="stable")[:count]].tolist())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Inner neurons of the paths 0-t0-1-t2, 0-t0-2-t2, 0-t1-1-t2: t0 has i = 2, e = 0; t1 has i = 1, e = 1 (source 3);
        # source 1 has i = 2, e = 0; source 2 has i = 1, e = 0.
        ("ch3_l3p", 1 + 1 + 1 / math.sqrt(2)),
        ("ch2_l3p", math.sqrt(3 * 3) + math.sqrt(3 * 2) + math.sqrt(2 / 2 * 3)),
        ("ch3_l3n", 1 + 1 / 2 + 1 + 1),
        ("ch2_l3n", 3 + 2 / 2 + 3 + 2),
    ],
)
def test_three_paths_by_hand(name: str, expected: float) -> None:
    scores = PREDICTORS[name](EXAMPLE).matrix()
    assert scores.dtype == np.float32
    assert scores[2, 0] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(scores).tolist() == EXAMPLE.to_mask().tolist()


@every_predictor
@given(topology=topologies(), block=st.integers(1, 60))
def test_scores_are_those_of_the_definition(name: str, topology: BipartiteTopology, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link_prediction, "BLOCK", block)
        scores = PREDICTORS[name](topology).matrix()
    np.testing.assert_allclose(scores, by_definition(topology, name), rtol=1e-6)


@every_predictor
@pytest.mark.parametrize(
    ("n_in", "n_out", "density"), [(60, 40, 0.05), (30, 70, 0.2), (40, 40, 0.7), (1, 50, 0.5), (50, 1, 0.5)]
)
def test_scores_are_those_of_matrices(name: str, n_in: int, n_out: int, density: float) -> None:
    topology = generators.erdos_renyi(n_in, n_out, density=density, rng=0)
    np.testing.assert_allclose(PREDICTORS[name](topology).matrix(), by_matrices(topology, name), rtol=1e-6)


@every_predictor
def test_hubs_are_scored_as_others(name: str) -> None:
    topology = generators.barabasi_albert(80, 60, density=0.1, rng=0)
    assert topology.out_degrees.max() > 20
    np.testing.assert_allclose(PREDICTORS[name](topology).matrix(), by_matrices(topology, name), rtol=1e-6)


@every_predictor
@pytest.mark.parametrize(("n_in", "n_out"), [(2, 2), (5, 3), (4, 9)])
def test_all_edges_but_one(name: str, n_in: int, n_out: int) -> None:
    """No link leaves the community; neurons that have nothing beside would be divided by 0."""
    topology = BipartiteTopology.from_keys(np.arange(1, n_in * n_out), n_in, n_out)
    a, b = n_in - 1, n_out - 1
    expected = {
        "ch3_l3p": a * b,
        "ch2_l3p": a * b * math.sqrt((1 + a) * (1 + b)),
        "ch3_l3n": a + b,
        "ch2_l3n": b * (1 + a) + a * (1 + b),
    }
    scores = PREDICTORS[name](topology)
    assert scores.matrix()[0, 0] == pytest.approx(expected[name], rel=1e-6)
    assert scores.largest(1, rng=0).tolist() == scores.sample(1, rng=0).tolist() == [0]


@every_predictor
def test_complete_empty_and_stars(name: str) -> None:
    complete = PREDICTORS[name](BipartiteTopology.from_keys(np.arange(12), 4, 3))
    assert np.isnan(complete.matrix()).all()
    assert complete.largest(0, rng=0).tolist() == complete.sample(0, rng=0).tolist() == []
    for without_path in ([], [0, 1, 2, 3], [0, 4, 8]):  # no edge, a target with all sources, a source with all targets
        topology = BipartiteTopology.from_keys(np.array(without_path, dtype=np.int64), 4, 3)
        scores = PREDICTORS[name](topology)
        assert np.nansum(scores.matrix()) == 0
        n_absent = 12 - len(without_path)
        for choose in (scores.largest, scores.sample):
            assert choose(n_absent, rng=0).tolist() == sorted(set(range(12)) - set(without_path))


@every_predictor
def test_between_components_there_is_no_score(name: str) -> None:
    """A neuron that is on no path has nothing to give, though (0 + 1) / (e + 1) is above 0."""
    part = EXAMPLE.to_edges()
    topology = BipartiteTopology.from_edges(np.concatenate([part, part + np.array([4, 3])]), 8, 6)
    scores = PREDICTORS[name](topology).matrix()
    assert not scores[:3, 4:].any()
    assert not scores[3:, :4].any()
    np.testing.assert_array_equal(scores[:3, :4], PREDICTORS[name](EXAMPLE).matrix())


@every_predictor
def test_sources_and_targets_can_change_places(name: str) -> None:
    topology = generators.small_world(40, 30, density=0.15, rewiring_probability=0.2, rng=0)
    transposed = BipartiteTopology.from_ends(topology.dst, topology.src, 30, 40)
    np.testing.assert_allclose(PREDICTORS[name](transposed).matrix(), PREDICTORS[name](topology).matrix().T, rtol=1e-6)


@every_predictor
def test_equal_scores_are_equal_in_any_order_of_their_terms(name: str) -> None:
    """Neurons in reverse order have the same scores to the last bit, which sums of float64 have not."""
    topology = generators.barabasi_albert(40, 40, density=0.15, rng=0)
    reverse = BipartiteTopology.from_ends(39 - topology.src, 39 - topology.dst, 40, 40)
    forward, backward = PREDICTORS[name](topology).matrix(), PREDICTORS[name](reverse).matrix()[::-1, ::-1]
    np.testing.assert_array_equal(forward, backward)
    sums = by_matrices(topology, name), by_matrices(reverse, name)[::-1, ::-1]
    assert (sums[0] != sums[1])[~np.isnan(sums[0])].any()


def ring(n: int) -> BipartiteTopology:
    """Target i has the sources i and i + 1: all neurons are alike."""
    return BipartiteTopology.from_ends(
        np.concatenate([np.arange(n), (np.arange(n) + 1) % n]), np.concatenate([np.arange(n)] * 2), n, n
    )


@every_predictor
def test_of_equal_scores_the_smaller_target_and_source_come_first(name: str) -> None:
    scores = PREDICTORS[name](ring(20))
    matrix = scores.matrix()
    assert (matrix > 0).sum() == 40  # all are equal
    assert len(np.unique(matrix[matrix > 0])) == 1
    for count in (1, 7, 39, 40):
        assert scores.largest(count, rng=0).tolist() == np.flatnonzero(matrix.reshape(-1) > 0)[:count].tolist()
    assert np.count_nonzero(matrix >= matrix[matrix > 0].min()) > 7  # a threshold would choose them all


@every_predictor
@given(topology=topologies(), block=st.integers(1, 60), data=st.data())
def test_the_highest_scores_are_chosen(name: str, topology: BipartiteTopology, block: int, data: st.DataObject) -> None:
    matrix = PREDICTORS[name](topology).matrix()
    count = data.draw(st.integers(0, int((matrix > 0).sum())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link_prediction, "BLOCK", block)
        assert PREDICTORS[name](topology).largest(count, rng=0).tolist() == highest(matrix, count)


def test_no_number_is_drawn_where_scores_suffice() -> None:
    rng = np.random.default_rng(5)
    ch3_l3p(ring(20)).largest(40, rng=rng)
    assert rng.random() == np.random.default_rng(5).random()


@every_predictor
@given(topology=topologies(), seed=st.integers(0, 99), data=st.data())
def test_exactly_as_many_absent_edges_as_were_asked_for(
    name: str, topology: BipartiteTopology, seed: int, data: st.DataObject
) -> None:
    """Existing edges have no score above 0 either; they must not fill up the number."""
    scores = PREDICTORS[name](topology)
    count = data.draw(st.integers(0, topology.n_in * topology.n_out - topology.n_edges))
    has_score = np.flatnonzero(scores.matrix().reshape(-1) > 0)
    for choose in (scores.largest, scores.sample):
        keys = choose(count, rng=seed)
        assert keys.dtype == np.int64
        assert len(keys) == count
        assert (np.diff(keys) > 0).all()
        assert not set(keys.tolist()) & set(topology.keys().tolist())
        assert choose is scores.sample or len(np.intersect1d(keys, has_score)) == min(count, len(has_score))
        assert choose is scores.largest or count > len(has_score) or set(keys.tolist()) <= set(has_score.tolist())


def test_where_scores_are_0_the_rest_is_uniform() -> None:
    """By the order of pairs, the first targets would get them all."""
    topology = BipartiteTopology(20, 30, src=[0, 1, 1, 2], dst=[0, 0, 1, 1])
    rng, scores = np.random.default_rng(0), ch3_l3p(topology)
    above = highest(scores.matrix(), 2)
    counts: Counter[int] = Counter()
    for _ in range(3000):
        keys = scores.largest(12, rng=rng).tolist()
        assert set(above) <= set(keys)
        counts.update(set(keys) - set(above))
    others = sorted(set(range(600)) - set(above) - set(topology.keys().tolist()))
    assert set(counts) == set(others)
    assert stats.chisquare([counts[key] for key in others]).pvalue > 1e-3


def law_of_sets(weights: dict[int, float], count: int) -> dict[frozenset[int], float]:
    """The probability of every set that is drawn one by one, in proportion to the weights of the rest."""
    law: Counter[frozenset[int]] = Counter()
    for order in itertools.permutations(weights, count):
        rest, probability = sum(weights.values()), 1.0
        for key in order:
            probability *= weights[key] / rest
            rest -= weights[key]
        law[frozenset(order)] += probability
    return law


def p_value(scores: LinkScores, count: int, law: dict[frozenset[int], float]) -> float:
    rng, draws = np.random.default_rng(0), 20_000
    found = Counter(frozenset(scores.sample(count, rng=rng).tolist()) for _ in range(draws))
    assert set(found) <= set(law)
    expected = np.array(list(law.values())) * draws
    return float(stats.chisquare([found[chosen] for chosen in law], expected * (draws / expected.sum())).pvalue)


@pytest.mark.parametrize(("predictor", "count"), [(ch2_l3n, 1), (ch2_l3n, 2), (ch3_l3p, 3)])
def test_edges_are_drawn_in_proportion_to_their_scores(predictor: Callable[..., LinkScores], count: int) -> None:
    scores = predictor(EXAMPLE)
    values = scores.matrix().reshape(-1)
    weights = {int(key): float(values[key]) for key in np.flatnonzero(values > 0)}
    assert len(set(weights.values())) > 1
    assert p_value(scores, count, law_of_sets(weights, count)) > 1e-3


def test_too_few_scores_are_raised_by_the_constant_of_the_authors() -> None:
    """Not all that have a score are drawn: so many pairs with 1e-5 have their share."""
    topology = BipartiteTopology(200, 200, src=[0, 1, 1], dst=[0, 0, 1])
    scores, draws = ch3_l3p(topology), 1000
    values = scores.matrix().reshape(-1)
    (key,) = np.flatnonzero(values > 0)
    rest = 1e-5 * (200 * 200 - 4)
    expected = 1 - (rest / (rest + values[key])) * (rest / (rest + values[key]))
    rng = np.random.default_rng(0)
    found = sum(int(key in scores.sample(2, rng=rng)) for _ in range(draws))
    assert stats.binomtest(found, draws, expected).pvalue > 1e-3
    assert 0.8 < expected < 0.95


@every_predictor
def test_blocks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    topology = generators.erdos_renyi(70, 90, density=0.03, rng=0)
    chosen = []
    for block in (2**20, 1000, 70, 1):
        monkeypatch.setattr(link_prediction, "BLOCK", block)
        scores = PREDICTORS[name](topology)
        assert [first for first, _ in scores.blocks()] == list(range(0, 90, max(1, block // 70)))
        chosen.append([choose(count, rng=3).tolist() for choose in (scores.largest, scores.sample) for count in (50, 6000)])
    assert chosen[1:] == chosen[:-1]


@every_predictor
def test_memory_is_that_of_a_block(name: str) -> None:
    """6 x 10^7 pairs would take 256 MB."""
    topology = generators.erdos_renyi(8000, 8000, n_edges=30_000, rng=0)
    scores = PREDICTORS[name](topology)
    PREDICTORS[name](EXAMPLE).sample(1, rng=0)
    tracemalloc.start()
    keys = scores.sample(1000, rng=0), scores.largest(1000, rng=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(part) for part in keys] == [1000, 1000]
    assert peak < 2**26


def test_what_is_refused() -> None:
    scores = ch3_l3p(EXAMPLE)
    for choose in (scores.largest, scores.sample):
        with pytest.raises(ConfigError, match=r"count is 5; only 4 edges are absent"):
            choose(5, rng=0)
        with pytest.raises(ConfigError, match=r"count is -1; it must be an integer >= 0"):
            choose(-1, rng=0)
        with pytest.raises(ConfigError, match=r"rng is None; it must be an integer seed"):
            choose(1, rng=None)  # type: ignore[arg-type]
    for predictor in PREDICTORS.values():
        with pytest.raises(TopologyError, match="topology is a list; it must be a BipartiteTopology"):
            predictor([])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="by_paths is 1; it must be True or False"):
        LinkScores(EXAMPLE, by_paths=1, rewards_inner=True)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="rewards_inner is None; it must be True or False"):
        LinkScores(EXAMPLE, by_paths=True, rewards_inner=None)  # type: ignore[arg-type]
    huge = ch2_l3n(BipartiteTopology(2**20, 2**20, src=[0], dst=[0]))
    for ask in (huge.matrix, lambda: huge.largest(1, rng=0), lambda: huge.sample(1, rng=0)):
        with pytest.raises(ConfigError, match=r"1,048,576 x 1,048,576 pairs of neurons.*grow edges at random, as set"):
            ask()
