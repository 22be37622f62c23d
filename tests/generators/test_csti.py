"""Correlated initialisation: the edges are the strongest correlations of numpy.corrcoef, ties aside, in every copy."""

import importlib
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from netsci_nn import TopologyError
from netsci_nn.generators.csti import csti

# The package offers the function under the module's name.
module = import_module("netsci_nn.generators.csti")

module = importlib.import_module("netsci_nn.generators.csti")

shapes = st.tuples(st.integers(1, 20), st.integers(1, 3)).flatmap(
    lambda shape: st.tuples(*map(st.just, shape), st.integers(0, shape[0] * (shape[0] - 1) * shape[1]))
)


def data(n_samples: int, n_in: int, seed: int = 0) -> np.ndarray:
    """Columns with different scales and a common part of different strength."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n_samples, 1)) * rng.random(n_in)
    return (common + rng.normal(size=(n_samples, n_in))) * rng.uniform(0.1, 10, size=n_in) + 3


def strongest(inputs: np.ndarray, count: int) -> set[tuple[int, int]]:
    """The pairs (source, target) of numpy.corrcoef's largest absolute off-diagonal entries."""
    strength = np.abs(np.corrcoef(inputs, rowvar=False))
    np.fill_diagonal(strength, -1)
    order = np.argsort(strength, axis=None)[::-1][:count]
    return {(int(cell) // len(strength), int(cell) % len(strength)) for cell in order}


def edge_set(topology: Any) -> set[tuple[int, int]]:
    return {(int(source), int(target)) for source, target in topology.to_edges()}


@settings(max_examples=150)
@given(shapes, st.integers(0, 2**32), st.sampled_from(["continuous", "many ties", "constant"]))
def test_exact_budget_unique_in_range_and_reproducible(shape: tuple[int, int, int], seed: int, kind: str) -> None:
    n_in, k, n_edges = shape
    inputs = {
        "continuous": data(10, n_in),
        "many ties": np.random.default_rng(0).integers(0, 2, size=(3, n_in)),
        "constant": np.full((4, n_in), 0.1),
    }[kind]
    topology = csti(n_in, k * n_in, inputs=inputs, n_edges=n_edges, rng=seed)
    assert (topology.n_in, topology.n_out, topology.n_edges) == (n_in, k * n_in, n_edges)
    assert (np.diff(topology.keys()) > 0).all()
    assert (topology.src != topology.dst % n_in).all()
    per_copy = np.bincount(topology.dst // n_in, minlength=k)
    assert np.ptp(per_copy) <= 1
    assert csti(n_in, k * n_in, inputs=inputs, n_edges=n_edges, rng=seed) == topology


# Correlations: columns 0 and 1 are 1; 2 with either is -2 / sqrt(5 * 4) = -0.447; 3 is constant.
BY_HAND = np.array([[1, 2, 1, 7], [2, 4, -1, 7], [3, 6, 1, 7], [4, 8, -1, 7]])


def test_by_hand() -> None:
    assert edge_set(csti(4, 4, inputs=BY_HAND, n_edges=2, rng=0)) == {(0, 1), (1, 0)}
    six = {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}
    assert edge_set(csti(4, 4, inputs=BY_HAND, n_edges=6, rng=0)) == six
    assert edge_set(csti(4, 4, inputs=BY_HAND, n_edges=12, rng=0)) == {(i, j) for i in range(4) for j in range(4) if i != j}


def test_copies_by_hand() -> None:
    # 7 edges over 3 copies: 3, 2, 2. Copy c of target j is 4 c + j.
    edges = edge_set(csti(4, 12, inputs=BY_HAND, n_edges=7, rng=0))
    assert edges >= {(0, 1), (1, 0), (0, 5), (1, 4), (0, 9), (1, 8)}
    (third,) = edges - {(0, 1), (1, 0), (0, 5), (1, 4), (0, 9), (1, 8)}
    assert third in {(0, 2), (2, 0), (1, 2), (2, 1)}


@pytest.mark.parametrize("count", [2, 40, 300, 1000])
def test_edges_are_the_strongest_of_numpys_correlations(count: int) -> None:
    inputs = data(50, 40)
    expected = strongest(inputs, count)
    assert edge_set(csti(40, 40, inputs=inputs, n_edges=count, rng=0)) == expected
    assert edge_set(csti(40, 40, inputs=inputs.astype(np.float32), n_edges=count, rng=0)) == strongest(
        inputs.astype(np.float32).astype(np.float64), count
    )
    twice = csti(40, 80, inputs=inputs, n_edges=2 * count, rng=1)
    assert edge_set(twice) == expected | {(source, target + 40) for source, target in expected}


def test_sign_of_the_correlation_does_not_count_and_symmetry_holds() -> None:
    inputs = data(50, 30)
    topology = csti(30, 30, inputs=inputs, n_edges=200, rng=0)
    assert csti(30, 30, inputs=inputs * np.where(np.arange(30) % 2, 1, -1), n_edges=200, rng=0) == topology
    assert (topology.to_mask() == topology.to_mask().T).all()
    assert topology.out_degrees.tolist() == topology.in_degrees.tolist()


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1e307])
def test_scale_and_offset_of_an_input_do_not_count(scale: float) -> None:
    inputs = np.random.default_rng(0).integers(-8, 8, size=(30, 12)).astype(float)
    scaled = inputs.copy()
    scaled[:, ::2] *= scale
    scaled[:, 1] += 1000
    assert csti(12, 12, inputs=scaled, n_edges=50, rng=0) == csti(12, 12, inputs=inputs, n_edges=50, rng=0)


def test_blocks_do_not_change_the_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = data(50, 40)
    whole = [csti(40, 40, inputs=inputs, n_edges=count, rng=0) for count in (10, 200, 1500)]
    monkeypatch.setattr(module, "BLOCK", 3 * 40)
    assert [csti(40, 40, inputs=inputs, n_edges=count, rng=0) for count in (10, 200, 1500)] == whole


@pytest.mark.parametrize("block", [2**22, 4])
def test_ties_are_broken_fairly(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    # Six equal pairs of constant inputs, two taken, in one block or one row at a time: each with probability 1/3.
    # Chi-square for draws without replacement, (6 - 1) / (6 - 2) times the plain one; false-alarm rate 1e-4.
    monkeypatch.setattr(module, "BLOCK", block)
    n_draws, chosen = 1500, np.zeros(9)
    for seed in range(n_draws):
        chosen[csti(3, 3, inputs=np.zeros((2, 3)), n_edges=2, rng=seed).keys()] += 1
    assert (chosen[[0, 4, 8]] == 0).all()
    statistic = ((chosen[[1, 2, 3, 5, 6, 7]] - n_draws / 3) ** 2 / (n_draws / 3)).sum() * 5 / 4
    assert statistic < stats.chi2(5).isf(1e-4)


def test_only_ties_depend_on_the_seed() -> None:
    inputs = data(50, 40)
    assert len({csti(40, 40, inputs=inputs, n_edges=200, rng=seed) for seed in range(5)}) == 1
    # The 201st pair is one of (i, j) and (j, i).
    assert len({csti(40, 40, inputs=inputs, n_edges=201, rng=seed) for seed in range(20)}) == 2


def test_constant_inputs_come_last() -> None:
    """A constant of 0.1 has a mean that is not 0.1 in floating point; it is constant all the same."""
    inputs = data(7, 10)
    inputs[:, [2, 5]] = 0.1
    topology = csti(10, 20, inputs=inputs, n_edges=2 * 8 * 7, rng=0)
    assert np.flatnonzero(topology.out_degrees == 0).tolist() == [2, 5]
    assert np.flatnonzero(topology.in_degrees == 0).tolist() == [2, 5, 12, 15]


def test_correlated_groups_become_blocks() -> None:
    rng = np.random.default_rng(0)
    inputs = np.repeat(rng.normal(size=(100, 4)), 10, axis=1) + 0.1 * rng.normal(size=(100, 40))
    topology = csti(40, 40, inputs=inputs, n_edges=4 * 10 * 9, rng=0)
    assert (topology.src // 10 == topology.dst // 10).all()


def test_many_inputs_in_blocks() -> None:
    rng = np.random.default_rng(0)
    topology = csti(2000, 2000, inputs=rng.normal(size=(10, 2000)), n_edges=100_000, rng=0)
    assert topology.n_edges == 100_000


def test_inputs_are_not_changed() -> None:
    inputs = data(10, 5)
    before = inputs.copy()
    csti(5, 5, inputs=inputs, n_edges=5, rng=0)
    assert (inputs == before).all()


def test_budget_beyond_the_pairs_without_diagonal() -> None:
    message = r"n_edges is {}; without the diagonal \(a source and its own targets\) it must be from 0 to {}"
    for n_in, n_out, feasible in ((4, 4, 12), (4, 12, 36), (1, 1, 0), (1, 5, 0)):
        inputs = BY_HAND[:, :n_in]
        assert csti(n_in, n_out, inputs=inputs, n_edges=feasible, rng=0).n_edges == feasible
        with pytest.raises(TopologyError, match=message.format(feasible + 1, feasible)):
            csti(n_in, n_out, inputs=inputs, n_edges=feasible + 1, rng=0)
    with pytest.raises(TopologyError, match=message.format(16, 12)):
        csti(4, 4, inputs=BY_HAND, density=1, rng=0)


@pytest.mark.parametrize("n_out", [1, 3, 6])
def test_targets_must_be_a_multiple_of_the_sources(n_out: int) -> None:
    with pytest.raises(TopologyError, match=rf"n_out is {n_out}; it must be a multiple of n_in = 4"):
        csti(4, n_out, inputs=BY_HAND, n_edges=0, rng=0)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (BY_HAND[:, :3], r"inputs has shape \(4, 3\); it must be \[n_samples, 4\] with at least 2 samples"),
        (BY_HAND[:1], r"inputs has shape \(1, 4\)"),
        (BY_HAND[:0], r"inputs has shape \(0, 4\)"),
        (BY_HAND[0], r"inputs has shape \(4,\)"),
        (BY_HAND[None], r"inputs has shape \(1, 4, 4\)"),
        ([], r"inputs has shape \(0,\)"),
        (1.0, r"inputs has shape \(\)"),
        (np.where(BY_HAND == 6, np.nan, BY_HAND), r"inputs\[2, 1\] is nan; every input must be finite"),
        (np.where(BY_HAND == 8, -np.inf, BY_HAND), r"inputs\[3, 1\] is -inf; every input must be finite"),
        (BY_HAND * 1j, "inputs has dtype complex128; it must hold real numbers"),
        ([["a"] * 4] * 3, "inputs has dtype <U1; it must hold real numbers"),
        (None, "inputs has dtype object; it must hold real numbers"),
        (
            [[1, 2, 3, 4], [1, 2]],
            r"inputs is \[\[1, 2, 3, 4\], \[1, 2\]\]; it must be an array \[n_samples",
        ),
    ],
)
@pytest.mark.parametrize("n_edges", [0, 4])
def test_bad_inputs(inputs: Any, message: str, n_edges: int) -> None:
    with pytest.raises(TopologyError, match=message):
        csti(4, 8, inputs=inputs, n_edges=n_edges, rng=0)


def test_inputs_are_required() -> None:
    with pytest.raises(TypeError, match="inputs"):
        csti(4, 4, n_edges=2, rng=0)
