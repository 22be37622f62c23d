"""What every graph model promises: the exact budget, valid edges, the same seed the same edges, and typed errors."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsci_nn import BipartiteTopology, ConfigError, TopologyError, generators
from netsci_nn.generators import GENERATORS

STRUCTURED = ["configuration_model", "depthwise", "from_graph", "grouped", "relational", "shuffle"]  # they fix their number
MODELS = sorted(set(GENERATORS) - set(STRUCTURED))
models = pytest.mark.parametrize("model", MODELS)


def generate(model: str, n_in: Any, n_out: Any, **arguments: Any) -> BipartiteTopology:
    size = n_in if isinstance(n_in, int) and n_in > 0 else 1
    if model == "input_weighted":
        arguments.setdefault("weights", np.arange(1, size + 1))
    if model == "csti":
        arguments.setdefault("inputs", np.random.default_rng(0).random((20, size)))
    if model == "stochastic_block":
        arguments.setdefault("n_blocks", 1 if isinstance(n_in, int) and isinstance(n_out, int) and min(n_in, n_out) < 4 else 4)
    return GENERATORS[model](n_in, n_out, **arguments)


def is_feasible(model: str, n_in: int, n_out: int, n_edges: int) -> bool:
    """Whether the model can have that many edges with the parameters of `generate`."""
    if model == "csti":
        return n_out % n_in == 0 and n_edges <= n_out * (n_in - 1)
    return model != "truncated_power_law" or max(n_in, n_out) <= n_edges


def test_every_model_has_its_place() -> None:
    assert {"barabasi_albert", "brf", "bsf", "bsw", "constant_fan_in", "constant_fan_out", "csti"} < set(MODELS)
    assert {"erdos_renyi", "input_weighted", "regular", "small_world", "stochastic_block", "truncated_power_law"} < set(MODELS)
    assert set(STRUCTURED) < set(GENERATORS)
    assert all(callable(getattr(generators, name)) for name in GENERATORS)


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown generator 'erdos_reny' \(did you mean 'erdos_renyi'\?\); allowed are: bara"
    ):
        GENERATORS["erdos_reny"]


@st.composite
def shapes_and_budgets(draw: st.DrawFn) -> tuple[int, int, int]:
    n_in, n_out = draw(st.integers(1, 200)), draw(st.integers(1, 200))
    n_cells = n_in * n_out
    return n_in, n_out, draw(st.one_of(st.integers(0, n_cells), st.sampled_from([0, 1, n_cells - 1, n_cells])))


@models
@settings(max_examples=50)
@given(shape=shapes_and_budgets(), seed=st.integers(0, 2**32))
def test_exact_budget_unique_sorted_in_range_and_reproducible(model: str, shape: tuple[int, int, int], seed: int) -> None:
    n_in, n_out, n_edges = shape
    if model == "csti":
        n_out = n_in * (1 + n_out % 3)
        n_edges = min(n_edges, n_out * n_in)
        shape = n_in, n_out, n_edges
    if not is_feasible(model, n_in, n_out, n_edges):
        with pytest.raises(TopologyError, match=r"from \d+ to \d+"):
            generate(model, n_in, n_out, n_edges=n_edges, rng=seed)
        return
    topology = generate(model, n_in, n_out, n_edges=n_edges, rng=seed)
    assert (topology.n_in, topology.n_out, topology.n_edges) == shape
    keys = topology.keys()
    assert (np.diff(keys) > 0).all()
    assert n_edges == 0 or (keys[0] >= 0 and keys[-1] < n_in * n_out)
    assert generate(model, n_in, n_out, n_edges=n_edges, rng=seed) == topology
    assert generate(model, n_in, n_out, n_edges=n_edges, rng=np.random.default_rng(seed)) == topology


@models
def test_different_seeds_differ(model: str) -> None:
    if model == "csti":
        pytest.skip("csti is deterministic apart from ties, which are tested there")
    drawn = {generate(model, 40, 40, density=0.2, rng=seed) for seed in range(20)}
    assert len(drawn) == 20


@models
def test_a_generator_object_advances(model: str) -> None:
    if model == "csti":
        pytest.skip("csti is deterministic apart from ties, which are tested there")
    rng = np.random.default_rng(0)
    first, second = (generate(model, 40, 40, density=0.2, rng=rng) for _ in range(2))
    assert first != second


@models
def test_numpys_global_generator_is_neither_used_nor_changed(model: str) -> None:
    legacy = np.random.get_state
    before = legacy()[1].tolist(), legacy()[2]
    generate(model, 40, 40, density=0.2, rng=0)
    assert (legacy()[1].tolist(), legacy()[2]) == before


@models
@pytest.mark.parametrize(("density", "n_edges"), [(0.1, 120), (0.12345, 148), (1.0, 1200), (1, 1200), (1e-9, 0)])
def test_density_means_the_rounded_share(model: str, density: float, n_edges: int) -> None:
    if model == "csti" or (model == "truncated_power_law" and n_edges == 0):
        pytest.skip(f"{model} has its own feasible range, tested there")
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
    if model == "truncated_power_law" and not budget:
        assert generate(model, 10, 10, rng=0).n_edges >= 10  # its degrees may decide
        return
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
        generate(model, 10, 10, n_edges=15, rng=rng)


@models
def test_rng_is_required(model: str) -> None:
    with pytest.raises(TypeError, match="rng"):
        generate(model, 10, 10, n_edges=15)


@models
def test_65536_x_65536_overflows_nothing(model: str) -> None:
    size, n_edges = 65_536, 70_000
    if model == "csti":
        pytest.skip("csti correlates all pairs of inputs: O(n_in^2) time by definition")
    topology = generate(model, size, size, n_edges=n_edges, rng=0)
    assert topology.n_edges == n_edges
    # An int32 overflow would fold the keys: uniform targets must reach the upper half of the range.
    assert topology.keys()[-1] > 2**31
    assert len(np.unique(topology.dst)) > 1000


@models
def test_sizes_may_be_numpy_integers(model: str) -> None:
    """65,536 x 65,536 overflows the int32 that a caller may have read from an array."""
    if model == "csti":
        pytest.skip("csti correlates all pairs of inputs: O(n_in^2) time by definition")
    size = np.int32(65_536)
    parameters: dict[str, Any] = {"weights": np.ones(65_536)} if model == "input_weighted" else {}
    parameters |= {"n_blocks": 4} if model == "stochastic_block" else {}
    topology = generate(model, size, size, n_edges=70_000, rng=0, **parameters)
    assert topology == generate(model, 65_536, 65_536, n_edges=70_000, rng=0, **parameters)
