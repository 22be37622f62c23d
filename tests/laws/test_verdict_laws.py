"""What the verdicts promise over many draws. Seeds are fixed, and were not chosen; the rates stand beside each test."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest

import analysis
from analysis.graph.values import BipartiteGraph
from analysis.report.verdicts import PROPERTIES
from netsci_nn import generators

pytestmark = pytest.mark.laws

POSITIVE = ("supported", "compatible")
TAILS = ("power_law", "power_law_ratios")
MEASURES = ("degree", "clustering", "paths", "small_world", "community", "core", *TAILS)


def random_layer(n_in: int, n_out: int, n_edges: int, seed: int) -> BipartiteGraph:
    keys = np.random.default_rng(seed).choice(n_in * n_out, size=n_edges, replace=False)
    return BipartiteGraph(n_in, n_out, keys % n_in, keys // n_in)


def conclusions(graph: object, measures: Sequence[str], seed: int, nulls: int = 39) -> dict[str, str]:
    verdicts = analysis.describe(graph, measures=measures, nulls=nulls, rng=seed).verdicts["layer 0"]
    return {name: verdict.conclusion for name, verdict in verdicts.items()}


def test_random_layers_rarely_alarm() -> None:
    """200 random layers of 60 x 40: every verdict but "sparse" is positive in at most 20, and is defined in most.

    The level of a verdict is 0.05: with 39 replicates p is exact, so a test at the full level alarms in 10 of 200 on
    average, and in more than 20 with a probability of 0.1 %. The tests of two nulls or of a power law alarm less often."""
    found: dict[str, Counter[str]] = {name: Counter() for name in PROPERTIES}
    for seed in range(200):
        for name, conclusion in conclusions(random_layer(60, 40, 240, seed), MEASURES, seed).items():
            found[name][conclusion] += 1
    alarms = {name: sum(found[name][one] for one in POSITIVE) for name in PROPERTIES if name != "sparse"}
    assert max(alarms.values()) <= 20, found
    assert all(counts["not defined"] <= 20 for counts in found.values()), found
    assert found["sparse"]["supported"] == 200


def test_random_layers_are_not_scale_free() -> None:
    """20 layers of 784 x 300 at 10 %: never supported, never compatible."""
    for seed in range(20):
        conclusion = conclusions(random_layer(784, 300, 23_520, seed), TAILS, seed, nulls=0)["scale-free"]
        assert conclusion == "indistinguishable from the control"


def zeta_layer(seed: int) -> object:
    return generators.truncated_power_law(10_000, 10_000, exponent=2.5, rng=seed)


def block_layer(seed: int) -> object:
    """A third of the edges fall anywhere."""
    return generators.stochastic_block(120, 80, density=0.1, n_blocks=4, mixing=0.3, rng=seed)


def input_weighted_layer(seed: int) -> object:
    """Inputs are used in proportion to weights that are uniform on [0, 1]."""
    weights = np.random.default_rng(seed).random(784)
    return generators.input_weighted(784, 300, density=0.1, weights=weights, rng=seed)


def rich_club_layer(seed: int) -> BipartiteGraph:
    """A random layer of 300 x 200 at 5 %, in which 30 sources and 20 targets are also joined to each other at 60 %."""
    rng = np.random.default_rng(seed)
    is_joined = rng.random((300, 200)) < 0.05
    is_joined[:30, :20] |= rng.random((30, 20)) < 0.6
    src, dst = np.nonzero(is_joined)
    return BipartiteGraph(300, 200, src, dst)


def small_world_layer(seed: int, probability: float = 0.03) -> object:
    return generators.small_world(500, 500, n_edges=5000, rewiring_probability=probability, rng=seed)


@pytest.mark.parametrize(
    ("name", "draw", "measures", "nulls"),
    [
        ("scale-free", zeta_layer, TAILS, 0),
        ("modular", block_layer, ("community",), 39),
        ("heterogeneous", input_weighted_layer, ("degree",), 39),
        ("hub-connected", rich_club_layer, ("core",), 39),
        ("small-world", small_world_layer, ("clustering", "paths", "small_world"), 19),
    ],
)
def test_planted_structure_is_found(name: str, draw: Callable[[int], object], measures: Sequence[str], nulls: int) -> None:
    """Supported in at least 16 of 20 draws."""
    found = Counter(conclusions(draw(seed), measures, seed, nulls)[name] for seed in range(20))
    assert found["supported"] >= 16, found


def test_order_of_small_worlds() -> None:
    """A lattice, a small world, a random graph. At p = 1 clustering is that of the null model, so that an alarm has a
    probability of at most 0.05."""
    measures = ("clustering", "paths", "small_world")
    verdicts = [conclusions(small_world_layer(0, p), measures, 0, nulls=39)["small-world"] for p in (0.0, 0.03, 1.0)]
    assert verdicts == ["contradicted", "supported", "indistinguishable from the control"]
