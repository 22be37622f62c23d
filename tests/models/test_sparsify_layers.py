"""`sparsify(layers=...)`: density, generator and its parameters by name pattern; and messages that say what to do."""

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
from torch import nn

import netsci_nn as ns
from netsci_nn.allocation import Allocation, erk
from netsci_nn.generators import constant_fan_in, erdos_renyi, grouped, small_world
from netsci_nn.models import sparse_layers, sparsify
from netsci_nn.topology import BipartiteTopology


def two_parts() -> nn.ModuleDict:
    encoder = nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 40))
    return nn.ModuleDict({"encoder": encoder, "mixer": nn.Linear(40, 40), "head": nn.Linear(40, 10)})


NAMES = ["encoder.0", "encoder.2", "mixer", "head"]


def edges_of(model: nn.Module) -> dict[str, int]:
    return {name: model.get_submodule(name).n_edges for name in NAMES}


def test_a_density_of_its_own_takes_a_layer_out_of_the_budget() -> None:
    model = two_parts()
    summary = ns.sparsify(model, density=0.1, layers={"head": {"density": 0.5}}, rng=0)
    shared = erk([(20, 40), (40, 40), (40, 40)], 0.1).n_edges
    assert edges_of(model) == dict(zip(NAMES, [*shared, 200], strict=True))
    assert summary.asked == summary.density == (400 + 200) / 4400


def test_every_layer_of_a_pattern_and_the_first_pattern_counts() -> None:
    model = two_parts()
    layers = {r"^encoder\.2": {"density": 0.25}, "^encoder": {"density": 0.5}, "": {"density": 1.0}}
    ns.sparsify(model, layers=layers, rng=0)
    assert edges_of(model) == {"encoder.0": 400, "encoder.2": 400, "mixer": 1600, "head": 400}


def test_generators_and_their_parameters() -> None:
    model = two_parts()
    layers = {
        "encoder": {"generator": "small_world", "rewiring_probability": 0.0},
        "mixer": {"generator": constant_fan_in, "density": 0.2},
    }
    ns.sparsify(model, density=0.2, allocation="uniform", layers=layers, rng=3)
    rng = np.random.default_rng(3)
    assert [layer.topology for layer in sparse_layers(model)] == [
        small_world(20, 40, n_edges=160, rewiring_probability=0.0, rng=rng),
        small_world(40, 40, n_edges=320, rewiring_probability=0.0, rng=rng),
        constant_fan_in(40, 40, n_edges=320, rng=rng),
        erdos_renyi(40, 10, n_edges=80, rng=rng),
    ]


def test_parameters_of_the_common_generator_by_pattern() -> None:
    model = two_parts()
    layers = {"mixer": {"rewiring_probability": 0.0}}
    common = partial(small_world, rewiring_probability=1.0)
    ns.sparsify(model, density=0.1, allocation="uniform", generator=common, layers=layers, rng=0)
    lattice = small_world(40, 40, n_edges=160, rewiring_probability=0.0, rng=0)
    assert model["mixer"].topology == lattice != model["encoder"][2].topology


def test_a_structure_that_fixes_its_edges_has_no_share_in_the_budget() -> None:
    model = two_parts()
    summary = ns.sparsify(model, density=0.1, layers={"mixer": {"generator": "grouped", "n_groups": 4}}, rng=0)
    assert model["mixer"].topology == grouped(40, 40, n_groups=4)
    shared = erk([(20, 40), (40, 40), (40, 10)], 0.1).n_edges
    assert edges_of(model) == dict(zip(NAMES, [*shared[:2], 400, shared[2]], strict=True))
    assert summary.asked == (280 + 400) / 4400
    model = two_parts()
    ns.sparsify(model, generator=partial(grouped, n_groups=5), rng=0)
    assert edges_of(model) == {"encoder.0": 160, "encoder.2": 320, "mixer": 320, "head": 80}


def test_an_allocation_is_for_the_layers_that_share_it() -> None:
    model = two_parts()
    allocation = Allocation((800, 1600, 400), (8, 16, 4))
    summary = ns.sparsify(model, allocation=allocation, layers={"mixer": {"density": 0.5}}, rng=0)
    assert edges_of(model) == {"encoder.0": 8, "encoder.2": 16, "mixer": 800, "head": 4}
    assert summary.asked == 828 / 4400


def test_any_name_of_a_shared_layer_serves() -> None:
    model = two_parts()
    model["again"] = model["mixer"]
    ns.sparsify(model, density=0.1, layers={"again": {"density": 0.5}}, rng=0)
    assert model["again"] is model["mixer"]
    assert model["mixer"].n_edges == 800


def test_layers_beside_exclude() -> None:
    model = two_parts()
    with pytest.warns(UserWarning, match="the whole model has a density"):
        ns.sparsify(model, exclude="head", layers={"encoder|mixer": {"density": 0.05}}, rng=0)
    assert isinstance(model["head"], nn.Linear)


def takes_anything(n_in: int, n_out: int, *, n_edges: int, rng: Any, **parameters: Any) -> ns.BipartiteTopology:
    assert parameters == {"whatever": 3}
    return erdos_renyi(n_in, n_out, n_edges=n_edges, rng=rng)


def test_a_generator_of_ones_own() -> None:
    model = two_parts()
    ns.sparsify(model, density=0.1, layers={"head": {"generator": takes_anything, "whatever": 3}}, rng=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": ["head"]}, ns.ConfigError, "layers is a list; it must map a regular expression of layer names to"),
        ({"layers": {"(": {}}}, ns.ConfigError, r"layers is '\('; it must be a regular expression: missing \)"),
        ({"layers": {3: {}}}, ns.ConfigError, "layers is 3; it must be a regular expression: it is no text"),
        ({"layers": {"head": 0.5}}, ns.ConfigError, r"layers\['head'\] is 0\.5; it must be a mapping with density, generator"),
        (
            {"layers": {"tail": {}}},
            ns.ConfigError,
            r"layers has the pattern 'tail', which is the first to match for none of the layers to be replaced: 'encoder\.0', "
            r"'encoder\.2', 'mixer', 'head'$",
        ),
        (
            {"layers": {"mi": {}, "mixer": {}}},
            ns.ConfigError,
            "layers has the pattern 'mixer', which is the first to match for",
        ),
        ({"layers": {"head": {}}, "exclude": "head"}, ns.ConfigError, "pattern 'head', .*: 'encoder.0', 'encoder.2', 'mixer'$"),
        (
            {"layers": {"head": {"density": 1.5}}},
            ns.TopologyError,
            r"layers\['head'\]\['density'\] is 1\.5; it must be a number",
        ),
        ({"layers": {"head": {"generator": 3}}}, ns.ConfigError, r"layers\['head'\]\['generator'\] is 3; it must be a name"),
        ({"layers": {"head": {"generator": "erd"}}}, ns.ConfigError, "unknown generator 'erd'"),
        (
            {"layers": {"head": {"generator": "small_world", "beta": 0.1}}},
            ns.ConfigError,
            r"layers\['head'\] has the key 'beta'; allowed are density, generator and its parameters \(rewiring_probability",
        ),
        ({"layers": {"head": {"rng": 3}}}, ns.ConfigError, r"layers\['head'\] has the key 'rng'; allowed are density"),
        ({"layers": {"head": {"n_edges": 3}}}, ns.ConfigError, r"layers\['head'\] has the key 'n_edges'; allowed are density"),
        (
            {"layers": {"head": {"generator": "grouped", "n_groups": 2, "density": 0.1}}},
            ns.ConfigError,
            "has the density 0.1 and a generator whose structure fixes its own number of edges; leave the density out",
        ),
        (
            {"generator": partial(grouped, n_groups=5)},
            ns.ConfigError,
            "density is 0.1; it must be None, since every layer has edges of its own",
        ),
        ({"layers": {"": {"density": 0.2}}}, ns.ConfigError, "density is 0.1; it must be None, since every layer has edges of"),
        (
            {"layers": {"head": {"density": 0.2}}, "density": None},
            ns.TopologyError,
            r"density is None; it must be a number in \(0, 1\] for the layers that have none of their own: 'encoder\.0', ",
        ),
        (
            {"layers": {"head": {"density": 0.2}}, "density": None, "allocation": Allocation((800, 1600), (8, 16))},
            ns.ConfigError,
            r"sizes \(800, 1600\); the model's have \(800, 1600, 1600\) \('encoder\.0', 'encoder\.2', 'mixer'\)",
        ),
        (
            {"layers": {"mixer": {"variant": "gnp"}}},
            ns.TopologyError,
            r"generator gave \d+ edges to 'mixer'; it must give \d+, so choose a model that meets its budget exactly",
        ),
        ({"layers": {"mixer": {"variant": "no"}}}, ns.TopologyError, "layer 'mixer': variant is 'no'; it must be one of"),
        (
            {"layers": {"mixer": {"generator": "grouped"}}},
            ns.ConfigError,
            "layer 'mixer' has a generator that needs n_groups; give it in `layers`, or bind it with functools.partial",
        ),
        ({"generator": "input_weighted"}, ns.ConfigError, "layer 'encoder.0' has a generator that needs weights; give it in"),
        ({"init": "xavier"}, ns.ConfigError, "init is 'xavier'; it must be one of 'fan_in', 'keep'"),
    ],
)
def test_bad_settings_leave_the_model_as_it_was(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    model = two_parts()
    modules = list(model.modules())
    with pytest.raises(error, match=message):
        ns.sparsify(model, **{"density": 0.1, "rng": 0, **arguments})
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))


def test_settings_are_not_changed() -> None:
    layers = {"head": {"density": 0.5, "generator": "small_world", "rewiring_probability": 0.1}}
    before = copy.deepcopy(layers)
    ns.sparsify(two_parts(), density=0.1, layers=layers, rng=0)
    assert layers == before


def test_every_target_has_an_edge_where_there_are_as_many() -> None:
    """A law that leaves many targets without: all edges to the first ones; each gives what it can spare."""

    def to_the_first(n_in: int, n_out: int, *, n_edges: int, rng: Any) -> BipartiteTopology:
        return BipartiteTopology.from_keys(np.arange(n_edges), n_in, n_out)

    model = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 40))
    sparsify(model, allocation=Allocation((600, 1200), (45, 39)), generator=to_the_first, rng=0)
    first, second = (layer.topology for layer in sparse_layers(model))
    assert (first.n_edges, first.in_degrees.min()) == (45, 1)
    assert first.out_degrees.tolist() == [3] * 5 + [2] * 15  # sources keep their edges
    assert second == to_the_first(30, 40, n_edges=39, rng=0)  # 39 edges are too few for 40 targets


def test_a_generator_that_fixes_its_number_of_edges_is_taken_at_its_word() -> None:
    def only_two(n_in: int, n_out: int, *, rng: Any) -> BipartiteTopology:
        return BipartiteTopology(n_in, n_out, np.arange(9), np.repeat([0, 1], [4, 5]))

    model = nn.Sequential(nn.Linear(9, 3))
    sparsify(model, generator=only_two, rng=0)
    assert model[0].topology.in_degrees.tolist() == [4, 5, 0]


def test_layers_with_few_sources_stay_dense_unless_named() -> None:
    model = nn.Sequential(nn.Linear(7, 20), nn.Linear(20, 7), nn.Linear(7, 9))
    summary = sparsify(model, density=0.5, layers={"^2$": {}}, rng=0)
    assert [entry.name for entry in summary.sparse] == ["1", "2"]
    assert [(entry.name, entry.reason) for entry in summary.dense] == [("0", "it has fewer than 8 sources")]
