"""The statistical laws that the graph models are named after, on samples large enough that a wrong model fails.

Seeds are fixed. Chi-square tests alarm falsely once in 10,000; other tolerances are those that the documentation states.
"""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog, minimize_scalar
from scipy.special import zeta

import analysis
from netsci_nn import BipartiteTopology, generators

pytestmark = pytest.mark.laws
ALARM = 1e-4


def pooled_chi_square(observed: np.ndarray, law: np.ndarray) -> float:
    """The p-value of counts against probabilities, values with fewer than 5 expected pooled."""
    expected = observed.sum() * law
    common = expected >= 5
    observed = np.append(observed[common], observed[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    keep = expected > 0
    return float(stats.chisquare(observed[keep], expected[keep]).pvalue)


@pytest.mark.parametrize("variant", ["gnm", "gnp"])
def test_erdos_renyi_degree_of_one_node_over_independent_draws(variant: str) -> None:
    n_in, n_out, n_edges, n_draws = 6, 8, 16, 6000
    drawn = [generators.erdos_renyi(n_in, n_out, n_edges=n_edges, variant=variant, rng=seed) for seed in range(n_draws)]
    for degrees, size in (([t.out_degrees[3] for t in drawn], n_out), ([t.in_degrees[7] for t in drawn], n_in)):
        exact = stats.hypergeom(n_in * n_out, n_edges, size) if variant == "gnm" else stats.binom(size, 1 / 3)
        other = stats.binom(size, 1 / 3) if variant == "gnm" else stats.hypergeom(n_in * n_out, n_edges, size)
        observed = np.bincount(degrees, minlength=size + 1)
        assert pooled_chi_square(observed, exact.pmf(np.arange(size + 1))) > ALARM
        assert pooled_chi_square(observed, other.pmf(np.arange(size + 1))) < ALARM, "the test cannot tell the variants apart"


def test_erdos_renyi_counts_of_the_variants() -> None:
    counts = {
        variant: np.array(
            [generators.erdos_renyi(30, 20, n_edges=120, variant=variant, rng=seed).n_edges for seed in range(3000)]
        )
        for variant in ("gnm", "gnp", "with_replacement")
    }
    assert set(counts["gnm"]) == {120}
    law = stats.binom(600, 0.2).pmf(np.arange(601))
    assert pooled_chi_square(np.bincount(counts["gnp"], minlength=601), law) > ALARM
    # 600 (1 - (1 - 1/600)^120) = 108.9; the spread of a count is 3.2, so 4 standard errors are 0.23.
    assert abs(counts["with_replacement"].mean() - 600 * (1 - (1 - 1 / 600) ** 120)) < 0.23
    assert counts["with_replacement"].max() < 120


def test_all_graphs_of_3_x_3_with_4_edges_are_equally_likely() -> None:
    rng, counts = np.random.default_rng(0), dict.fromkeys(itertools.combinations(range(9), 4), 0)
    for _ in range(25_200):
        counts[tuple(generators.erdos_renyi(3, 3, n_edges=4, rng=rng).keys().tolist())] += 1
    assert stats.chisquare(list(counts.values())).pvalue > ALARM


@pytest.mark.parametrize(
    ("out_degrees", "in_degrees", "n_matrices"),
    [((2, 1, 1), (2, 1, 1), 5), ((1, 1, 1), (1, 1, 1), 6), ((2, 2, 1, 1), (3, 2, 1), 8)],
)
def test_configuration_model_is_uniform(out_degrees: tuple[int, ...], in_degrees: tuple[int, ...], n_matrices: int) -> None:
    rng, counts = np.random.default_rng(0), {}
    for _ in range(1000 * n_matrices):
        topology = generators.configuration_model(
            len(out_degrees), len(in_degrees), out_degrees=out_degrees, in_degrees=in_degrees, rng=rng
        )
        key = topology.keys().tobytes()
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == n_matrices
    assert stats.chisquare(list(counts.values())).pvalue > ALARM


def exponent(degrees: np.ndarray, shift: float, minimum: int) -> float:
    """Maximum likelihood of p(k) proportional to (k + shift)^-gamma for k >= minimum."""
    tail = degrees[degrees >= minimum] + shift
    logarithms, count = np.log(tail).sum(), len(tail)
    fit = minimize_scalar(
        lambda gamma: gamma * logarithms + count * np.log(zeta(gamma, minimum + shift)), bounds=(1.2, 8), method="bounded"
    )
    return float(fit.x)


@pytest.mark.parametrize(("attractiveness", "tolerance"), [(0, 0.2), (1, 0.3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_barabasi_albert_exponents_on_both_sides(attractiveness: float, tolerance: float, seed: int) -> None:
    """1 + (1 + a / <k>) / beta with <k> = 4 and beta = 1/2: 3 at a = 0, 3.5 at a = 1."""
    topology = generators.barabasi_albert(10**5, 10**5, n_edges=4 * 10**5, attractiveness=attractiveness, rng=seed)
    theory = 1 + (1 + attractiveness / 4) * 2
    for degrees in (topology.out_degrees, topology.in_degrees):
        assert abs(exponent(degrees, attractiveness, 10) - theory) < tolerance


def test_barabasi_albert_exponents_of_unequal_sides() -> None:
    """Sources gain what targets bring: beta = 2/3 with twice as many targets, so 2.5; with sides="source" too."""
    for sides in ("both", "source"):
        topology = generators.barabasi_albert(10**5, 2 * 10**5, n_edges=4 * 10**5, sides=sides, rng=0)
        assert abs(exponent(topology.out_degrees, 0, 20) - 2.5) < 0.2
    assert np.ptp(topology.in_degrees) == 0


def test_the_urn_is_no_power_law_but_geometric_at_a_1() -> None:
    topology = generators.barabasi_albert(10**5, 10**5, n_edges=4 * 10**5, mode="urn", rng=0)
    for degrees in (topology.out_degrees, topology.in_degrees):
        law = stats.nbinom(1, 1 / 5).pmf(np.arange(degrees.max() + 1))
        # With 10^5 nodes chi-square sees that repeated edges are refused; the distribution function is within 1 %.
        observed = np.bincount(degrees) / len(degrees)
        assert np.abs(np.cumsum(observed) - np.cumsum(law)).max() < 0.01
        assert exponent(degrees, 0, 20) > exponent(degrees, 0, 10) + 1  # that of a power law would not grow with the cut-off
        assert degrees.max() < 100
    grown = generators.barabasi_albert(10**5, 10**5, n_edges=4 * 10**5, rng=0)
    assert grown.out_degrees.max() > 300


@pytest.mark.parametrize("sampler", ["expected", "sequential"])
def test_input_weighted_degrees_follow_the_statistic(sampler: str) -> None:
    rng = np.random.default_rng(0)
    weights = np.clip(rng.normal(0.1, 0.15, size=784), 0, None)
    for seed in range(5):
        degrees = generators.input_weighted(784, 300, weights=weights, density=0.1, sampler=sampler, rng=seed).out_degrees
        assert np.corrcoef(degrees, weights)[0, 1] > 0.95
        assert (degrees[weights == 0] == 0).all()
        assert degrees.sum() == 23_520


def test_sequential_sampling_of_pairs_against_drawing_one_by_one() -> None:
    """Three sources of weights 1, 2, 5 with 2 targets each, 4 edges: degrees against the exact law of successive draws."""
    weights, n_out, n_edges = np.array([1.0, 2.0, 5.0]), 2, 4
    exact: dict[tuple[int, ...], float] = {(0, 0, 0): 1.0}
    for _ in range(n_edges):
        following: dict[tuple[int, ...], float] = {}
        for state, probability in exact.items():
            free = weights * (n_out - np.array(state))
            for source in np.flatnonzero(free):
                key = tuple(np.array(state) + np.eye(3, dtype=int)[source])
                following[key] = following.get(key, 0) + probability * free[source] / free.sum()
        exact = following
    counts = dict.fromkeys(exact, 0)
    for seed in range(6000):
        topology = generators.input_weighted(3, n_out, weights=weights, n_edges=n_edges, sampler="sequential", rng=seed)
        counts[tuple(topology.out_degrees.tolist())] += 1
    assert stats.chisquare(list(counts.values()), 6000 * np.array(list(exact.values()))).pvalue > ALARM


# Rewired with probability p: Robins and Alexander's clustering and mean path length of 500 x 500, 10 edges a source.
WATTS_STROGATZ = {
    0: (0.5926, 28.70),
    0.01: (0.5690, 7.57),
    0.03: (0.5242, 5.66),
    0.1: (0.3777, 4.39),
    0.3: (0.1461, 3.78),
    1: (0.0183, 3.49),
}


def clustering_and_path_length(topology: BipartiteTopology) -> tuple[float, float]:
    report = analysis.describe(topology, measures=["clustering", "paths"], nulls=0, rng=0)
    found = {quantity.name: quantity.value for section in report.sections for quantity in section.quantities}
    return found["robins_alexander_clustering"], found["average_path_length"]


def test_small_world_reproduces_the_watts_strogatz_table() -> None:
    means = []
    for p, expected in WATTS_STROGATZ.items():
        runs = [
            clustering_and_path_length(generators.small_world(500, 500, n_edges=5000, rewiring_probability=p, rng=seed))
            for seed in range(20 if p > 0 else 1)
        ]
        clustering, length = np.mean(runs, axis=0)
        means.append((clustering, length))
        assert abs(clustering / expected[0] - 1) < 0.05
        assert abs(length / expected[1] - 1) < 0.10
    assert means == sorted(means, reverse=True)


def test_swapped_small_worlds_are_ordered_too() -> None:
    means = []
    for p in (0, 0.01, 0.1, 1):
        drawn = [
            generators.small_world(300, 300, n_edges=3000, rewiring_probability=p, rewiring="swap", rng=seed)
            for seed in range(3)
        ]
        means.append(np.mean([clustering_and_path_length(topology) for topology in drawn], axis=0))
    assert all((first > second).all() for first, second in itertools.pairwise(means))


def test_the_lattice_is_nearest_among_graphs_of_its_degrees() -> None:
    """Against linear programming: the smallest sum of circular distances with degrees that differ by at most one."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        n_in, n_out = (int(size) for size in rng.integers(1, 16, size=2))
        n_edges = int(rng.integers(0, n_in * n_out + 1))
        lattice = generators.small_world(n_in, n_out, n_edges=n_edges, rewiring_probability=0, rng=0)
        angles = np.abs(np.arange(n_in)[:, None] / n_in - np.arange(n_out) / n_out)
        distance = np.minimum(angles, 1 - angles)
        sides = np.vstack([np.kron(np.eye(n_in), np.ones(n_out)), np.kron(np.ones(n_in), np.eye(n_out))])
        low = np.r_[np.full(n_in, n_edges // n_in), np.full(n_out, n_edges // n_out)]
        high = np.r_[np.full(n_in, -(-n_edges // n_in)), np.full(n_out, -(-n_edges // n_out))]
        best = linprog(
            distance.ravel(),
            A_ub=np.vstack([sides, -sides]),
            b_ub=np.r_[high, -low],
            A_eq=np.ones((1, n_in * n_out)),
            b_eq=[n_edges],
            bounds=(0, 1),
        )
        assert distance[lattice.src, lattice.dst].sum() == pytest.approx(best.fun, abs=1e-9)
