"""What every graph model promises: the exact budget, valid edges, the same seed the same edges, and typed errors."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsci_nn import BipartiteTopology, ConfigError, TopologyError, generators
from netsci_nn.generators import GENERATORS

MODELS = sorted(GENERATORS)
models = pytest.mark.parametrize("model", MODELS)


def generate(model: str, n_in: Any, n_out: Any, **arguments: Any) -> BipartiteTopology:
    if model == "input_weighted" and "weights" not in arguments:
        arguments["weights"] = np.arange(1, n_in + 1) if isinstance(n_in, int) and n_in > 0 else [1.0]
    return GENERATORS[model](n_in, n_out, **arguments)


def test_the_four_models_are_there() -> None:
    assert MODELS == ["barabasi_albert", "erdos_renyi", "input_weighted", "small_world"]
    assert all(getattr(generators, name) is GENERATORS[name] for name in MODELS)


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown generator 'erdos_reny' \(did you mean 'erdos_renyi'\?\); allowed are: bara"
    ):
        GENERATORS["erdos_reny"]


@st.composite
def shapes_and_budgets(draw: st.DrawFn) -> tuple[int, int, int]:
    n_in, n_out = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    n_cells = n_in * n_out
    return n_in, n_out, draw(st.one_of(st.integers(0, n_cells), st.sampled_from([0, 1, n_cells - 1, n_cells])))


@models
@settings(max_examples=150)
@given(shape=shapes_and_budgets(), seed=st.integers(0, 2**32))
def test_exact_budget_unique_sorted_in_range_and_reproducible(model: str, shape: tuple[int, int, int], seed: int) -> None:
    n_in, n_out, n_edges = shape
    topology = generate(model, n_in, n_out, n_edges=n_edges, rng=seed)
    assert (topology.n_in, topology.n_out, topology.n_edges) == shape
    keys = topology.keys()
    assert (np.diff(keys) > 0).all()
    assert n_edges == 0 or (keys[0] >= 0 and keys[-1] < n_in * n_out)
    assert generate(model, n_in, n_out, n_edges=n_edges, rng=seed) == topology
    assert generate(model, n_in, n_out, n_edges=n_edges, rng=np.random.default_rng(seed)) == topology


@models
def test_different_seeds_differ(model: str) -> None:
    drawn = {generate(model, 40, 30, density=0.2, rng=seed) for seed in range(20)}
    assert len(drawn) == 20


@models
def test_a_generator_object_advances(model: str) -> None:
    rng = np.random.default_rng(0)
    first, second = (generate(model, 40, 30, density=0.2, rng=rng) for _ in range(2))
    assert first != second


@models
def test_numpys_global_generator_is_neither_used_nor_changed(model: str) -> None:
    legacy = np.random.get_state
    before = legacy()[1].tolist(), legacy()[2]
    generate(model, 40, 30, density=0.2, rng=0)
    assert (legacy()[1].tolist(), legacy()[2]) == before


@models
@pytest.mark.parametrize(("density", "n_edges"), [(0.1, 120), (0.12345, 148), (1.0, 1200), (1, 1200), (1e-9, 0)])
def test_density_means_the_rounded_share(model: str, density: float, n_edges: int) -> None:
    topology = generate(model, 40, 30, density=density, rng=0)
    assert topology.n_edges == n_edges
    assert generate(model, 40, 30, n_edges=n_edges, rng=0) == topology


def test_lenet_budgets() -> None:
    counts = [
        generators.erdos_renyi(a, b, density=d, rng=0).n_edges
        for a, b, d in ((784, 300, 0.1), (300, 100, 0.1), (100, 10, 0.25))
    ]
    assert counts == [23_520, 3_000, 250]


@models
@pytest.mark.parametrize("density", [0, 0.0, -0.1, 1.5, float("nan"), float("inf"), True, "0.1", [0.1]], ids=repr)
def test_density_outside_its_range(model: str, density: Any) -> None:
    with pytest.raises(TopologyError, match=r"density is .*; it must be a number in \(0, 1\]"):
        generate(model, 10, 10, density=density, rng=0)


@models
@pytest.mark.parametrize("n_edges", [-1, 101, 2**40, 2.5, 2.0, True, "5", [5], float("nan")], ids=repr)
def test_n_edges_outside_its_range(model: str, n_edges: Any) -> None:
    with pytest.raises(TopologyError, match=r"n_edges is .*; it must be an integer from 0 to n_in \* n_out = 100"):
        generate(model, 10, 10, n_edges=n_edges, rng=0)


@models
@pytest.mark.parametrize("budget", [{}, {"n_edges": 5, "density": 0.1}], ids=["neither", "both"])
def test_exactly_one_budget(model: str, budget: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="exactly one of them must be given"):
        generate(model, 10, 10, **budget, rng=0)


@models
@pytest.mark.parametrize(("n_in", "n_out", "name"), [(0, 5, "n_in"), (5, 0, "n_out"), (-3, 5, "n_in"), (5, 2.5, "n_out")])
def test_bad_sizes(model: str, n_in: Any, n_out: Any, name: str) -> None:
    with pytest.raises(TopologyError, match=rf"{name} is .*; it must be an integer from 1 to"):
        generate(model, n_in, n_out, n_edges=0, rng=0)


@models
@pytest.mark.parametrize("rng", [None, -1, True, 0.5, "0"], ids=repr)
def test_bad_rng(model: str, rng: Any) -> None:
    with pytest.raises(ConfigError, match=r"rng is .*; it must be an integer seed >= 0 or a numpy\.random\.Generator"):
        generate(model, 10, 10, n_edges=5, rng=rng)


@models
def test_rng_is_required(model: str) -> None:
    with pytest.raises(TypeError, match="rng"):
        generate(model, 10, 10, n_edges=5)


@models
def test_65536_x_65536_overflows_nothing(model: str) -> None:
    size, n_edges = 65_536, 4_000
    topology = generate(model, size, size, n_edges=n_edges, rng=0)
    assert topology.n_edges == n_edges
    # An int32 overflow would fold the keys: uniform targets must reach the upper half of the range.
    assert topology.keys()[-1] > 2**31
    assert len(np.unique(topology.dst)) > 1000
