"""`SparseLayer`: what holds for every layer, with one weight or a kernel per edge: structure, mask, state, stale losses."""

import copy
from collections.abc import Callable
from pathlib import Path

import igraph
import numpy as np
import pytest
import torch
from kernel_layer import KernelLayer
from sparse_cases import random_delta, random_topology
from torch import nn

from netsci_nn import BipartiteTopology, ConfigError, SparseLinear, TopologyError, generators, network_graph
from netsci_nn.layers import SparseLayer
from netsci_nn.pruning import prune, restrict
from netsci_nn.rewiring import REWIRERS, EdgeDelta, apply_delta, edge_view
from netsci_nn.training import load_checkpoint, save_checkpoint
from netsci_nn.training.state import TrainingState

TOPOLOGY = generators.erdos_renyi(8, 6, n_edges=20, rng=0)
MAKERS: dict[str, Callable[[], SparseLayer]] = {
    "linear": lambda: SparseLinear(TOPOLOGY),
    "kernels": lambda: KernelLayer(TOPOLOGY),
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def layer(request: pytest.FixtureRequest) -> SparseLayer:
    torch.manual_seed(0)
    result: SparseLayer = request.param()
    return result


def inputs(layer: SparseLayer) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(4, 8, 5, 5) if layer.weight.dim() > 1 else torch.randn(4, 8)


def delta_of(layer: SparseLayer, n_dropped: int = 3, n_grown: int = 3, seed: int = 0) -> EdgeDelta:
    delta = random_delta(layer, np.random.default_rng(seed), n_dropped, n_grown)
    values = np.random.default_rng(seed + 1).normal(size=(n_grown, *layer.weight.shape[1:])).astype(np.float32)
    return EdgeDelta(delta.dropped, delta.grown_src, delta.grown_dst, values)


def test_strength_is_the_size_of_what_an_edge_carries(layer: SparseLayer) -> None:
    expected = [float(torch.linalg.vector_norm(weight)) for weight in layer.weight.detach()]
    np.testing.assert_allclose(layer.strength().numpy(), expected, rtol=1e-6)
    assert not layer.strength().requires_grad


def test_the_mirror_has_one_weight_per_edge(layer: SparseLayer) -> None:
    graph = layer.to_igraph()
    assert isinstance(graph, igraph.Graph)
    assert graph.ecount() == 20
    expected = layer.weight.detach() if layer.weight.dim() == 1 else layer.strength()
    np.testing.assert_array_equal(graph.es["weight"], expected.double().numpy())
    np.testing.assert_array_equal([edge.tuple for edge in graph.es], np.stack([TOPOLOGY.src, TOPOLOGY.dst + 8], axis=1))


def test_initial_kernels_have_the_variance_of_all_inputs_of_a_target() -> None:
    # 400 * 9 draws per target of in-degree 20: the standard error of their deviation is sigma / sqrt(7200); 5 of them allowed.
    torch.manual_seed(0)
    layer = KernelLayer(generators.constant_fan_in(100, 40, density=0.2, rng=0))
    sigma = (2 / (20 * 9)) ** 0.5
    assert abs(layer.weight.std().item() - sigma) < 5 * sigma / (2 * layer.weight.numel()) ** 0.5


def test_inactive_edges_compute_as_zeros_and_still_get_their_gradient(layer: SparseLayer) -> None:
    x, mask = inputs(layer), torch.arange(20) % 3 > 0
    layer.active = mask
    zeroed = copy.deepcopy(layer)
    zeroed.active = None
    with torch.no_grad():
        zeroed.weight[~mask] = 0
    torch.testing.assert_close(layer(x), zeroed(x))
    for module in (layer, zeroed):
        module(x).square().sum().backward()
    assert layer.weight.grad is not None
    assert zeroed.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, zeroed.weight.grad)
    assert (layer.weight.grad[~mask] != 0).any()
    assert layer.to_igraph().es["weight"] == zeroed.to_igraph().es["weight"]
    layer.active[0] = True  # a copy
    assert torch.equal(layer.active, mask)


def test_a_mask_must_be_one_bool_per_edge(layer: SparseLayer) -> None:
    for mask in (torch.ones(20), torch.ones(19, dtype=torch.bool)):
        with pytest.raises(TopologyError, match=r"it must be bool \[n_edges\] = \[20\]"):
            layer.active = mask


def test_deltas_carry_the_mask_along(layer: SparseLayer) -> None:
    layer.active = torch.arange(20) % 2 == 0
    known = dict(zip(layer.topology.keys().tolist(), layer.active.tolist(), strict=True))
    delta = delta_of(layer)
    apply_delta(layer, delta)
    grown = set((delta.grown_dst * 8 + delta.grown_src).tolist())
    for key, is_active in zip(layer.topology.keys().tolist(), layer.active.tolist(), strict=True):
        assert is_active == (True if key in grown else known[key])
    nothing = np.empty(0, dtype=np.int64)
    new_mask = np.arange(20) % 5 == 0
    version = layer.topology_version
    apply_delta(layer, EdgeDelta(nothing, nothing, nothing, np.zeros((0, *layer.weight.shape[1:])), kept_active=new_mask))
    assert layer.active.tolist() == new_mask.tolist()
    assert layer.topology_version == version
    masked = EdgeDelta(delta.dropped[:1], [], [], np.zeros((0, *layer.weight.shape[1:])))
    apply_delta(layer, masked)
    assert layer.active is not None
    assert len(layer.active) == layer.n_edges == 19


def test_the_state_dict_holds_sizes_and_edges_and_loads_into_any_edge_count(layer: SparseLayer, tmp_path: Path) -> None:
    state = layer.state_dict()
    bias = {"bias"} if layer.weight.dim() == 1 else set()
    assert set(state) == {"weight", "src", "dst", "birth", "sizes"} | bias
    assert state["sizes"].tolist() == [8, 6]
    torch.save(state, tmp_path / "state.pt")
    other = type(layer)(generators.erdos_renyi(8, 6, n_edges=5, rng=3))
    parameter = other.weight
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert other.topology == TOPOLOGY
    assert other.weight is parameter
    torch.testing.assert_close(other(inputs(layer)), layer(inputs(layer)))
    layer.active = torch.arange(20) > 3
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.active, layer.active)
    other.load_state_dict(state)
    assert other.active is None


@pytest.mark.parametrize("sizes", [(9, 6), (8, 7), (7, 6)])
def test_other_sizes_are_refused(layer: SparseLayer, sizes: tuple[int, int]) -> None:
    other = type(layer)(generators.erdos_renyi(*sizes, n_edges=20, rng=0))
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(RuntimeError, match=rf"size mismatch .*joins \[8, 6\] neurons, the layer \[{sizes[0]}, {sizes[1]}\]"):
        other.load_state_dict(layer.state_dict())
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_other_kernels_and_lengths_are_refused() -> None:
    layer, other = KernelLayer(TOPOLOGY), KernelLayer(TOPOLOGY, (1, 3))
    with pytest.raises(RuntimeError, match=r"size mismatch for weight: the state dict has \[20, 3, 3\], .*\[20, 1, 3\]"):
        other.load_state_dict(layer.state_dict())
    state = layer.state_dict()
    state["birth"] = state["birth"][:4]
    with pytest.raises(RuntimeError, match=r"size mismatch for birth: the state dict has \[4\]"):
        layer.load_state_dict(state)


def test_missing_and_unexpected_entries_are_torchs_errors(layer: SparseLayer) -> None:
    state = layer.state_dict()
    del state["dst"]
    with pytest.raises(RuntimeError, match=r'Missing key.*"dst"'):
        layer.load_state_dict(state)
    assert layer.load_state_dict(state, strict=False).missing_keys == ["dst"] or layer.weight.dim() == 1
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"other"'):
        layer.load_state_dict({**layer.state_dict(), "other": torch.zeros(1)})


@pytest.mark.parametrize("counts", [(3, 3), (3, 1)], ids=["same count", "other count"])
def test_a_loss_from_before_a_rewiring_is_refused(layer: SparseLayer, counts: tuple[int, int]) -> None:
    x = inputs(layer)
    loss = layer(x).sum()
    apply_delta(layer, delta_of(layer, *counts))
    with pytest.raises(TopologyError, match="the loss was computed before the layer was rewired"):
        loss.backward()
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.shape == layer.weight.shape


def test_with_an_unchanged_edge_count_storage_and_hooks_stay_alive(layer: SparseLayer) -> None:
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    seen: list[torch.Size] = []
    layer.weight.register_post_accumulate_grad_hook(lambda parameter: seen.append(parameter.shape))
    node = layer.weight.expand_as(layer.weight).grad_fn.next_functions[0][0]
    node.register_hook(lambda *_: seen.append(torch.Size([0])))  # what DDP hangs its reduction on
    layer(inputs(layer)).square().sum().backward()
    optimizer.step()
    places = [
        layer.weight.data_ptr(),
        layer.weight.grad.data_ptr(),
        optimizer.state[layer.weight]["momentum_buffer"].data_ptr(),
    ]
    apply_delta(layer, delta_of(layer), optimizer)
    assert [
        layer.weight.data_ptr(),
        layer.weight.grad.data_ptr(),
        optimizer.state[layer.weight]["momentum_buffer"].data_ptr(),
    ] == places
    assert layer.weight.expand_as(layer.weight).grad_fn.next_functions[0][0] is node
    layer(inputs(layer)).square().sum().backward()
    assert len(seen) == 4


@pytest.mark.parametrize("name", ["set", "deep_r_s1", "deep_r_s1_relative"])
def test_rules_work_on_kernels(name: str) -> None:
    layer = KernelLayer(TOPOLOGY)
    previous = layer.weight.detach().numpy() + np.random.default_rng(0).normal(size=layer.weight.shape).astype(np.float32)
    delta = REWIRERS[name]().propose(edge_view(layer, previous=previous), rng=0)
    assert len(delta.dropped) == len(delta.grown_src) > 0
    assert delta.grown_values.shape == (len(delta.grown_src), 3, 3)
    strengths = layer.strength().numpy()
    if name == "set":
        assert strengths[delta.dropped].max() <= np.delete(strengths, delta.dropped).min()
    kept = dict(zip(layer.topology.keys().tolist(), layer.weight.tolist(), strict=True))
    apply_delta(layer, delta)
    grown = set((delta.grown_dst * 8 + delta.grown_src).tolist())
    for key, weight in zip(layer.topology.keys().tolist(), layer.weight.tolist(), strict=True):
        assert weight == ([[0.0] * 3] * 3 if key in grown else kept[key])


@pytest.mark.parametrize("name", ["deep_r", "soft_deep_r", "ba_deep_r"])
def test_rules_of_signs_refuse_kernels(name: str) -> None:

    rule = REWIRERS[name]()
    with pytest.raises(ConfigError, match=rf"rewiring rule '{name}' is defined for one weight per edge; .*kernels \[3, 3\]"):
        rule.remember(edge_view(KernelLayer(TOPOLOGY)), np.random.default_rng(0))


def test_checkpoints_restore_kernels_of_another_edge_count(tmp_path: Path) -> None:
    def training(seed: int) -> TrainingState:
        torch.manual_seed(seed)
        model = nn.Sequential(KernelLayer(TOPOLOGY), nn.ReLU())
        optimizer = torch.optim.Adam(model.parameters())
        return TrainingState(model, optimizer, np.random.default_rng(0), 1, 1)

    first, second = training(0), training(1)
    layer = first.model[0]
    layer(inputs(layer)).square().sum().backward()
    first.optimizer.step()
    apply_delta(layer, delta_of(layer, 5, 1), first.optimizer)
    save_checkpoint(tmp_path / "last.safetensors", first)
    load_checkpoint(tmp_path / "last.safetensors", second.model, second.optimizer, second.rng)
    assert second.model[0].topology == layer.topology
    assert torch.equal(second.model[0].weight, layer.weight)
    states = [state.optimizer.state[state.model[0].weight]["exp_avg"] for state in (first, second)]
    assert torch.equal(*states)


def test_a_linear_layer_has_the_names_of_torch_and_warns_of_its_former_one() -> None:
    layer = SparseLinear(TOPOLOGY)
    assert (layer.in_features, layer.out_features) == (layer.n_in, layer.n_out) == (8, 6)
    with pytest.warns(DeprecationWarning, match="`values` of a sparse layer is called `weight` now"):
        assert layer.values is layer.weight


def test_structure_moves_with_the_dtype_and_survives_copies(layer: SparseLayer) -> None:
    layer.active = torch.arange(20) > 2
    twin = copy.deepcopy(layer).double()
    assert twin.topology == layer.topology
    assert torch.equal(twin.active, layer.active)
    torch.testing.assert_close(twin(inputs(layer).double()).float(), layer(inputs(layer)))
    apply_delta(twin, delta_of(layer))
    assert layer.topology == TOPOLOGY


def test_a_network_graph_takes_the_norms_of_kernels() -> None:
    model = nn.Sequential(KernelLayer(random_topology(np.random.default_rng(0), 5, 4, 9)))
    np.testing.assert_allclose(network_graph(model).es["weight"], model[0].strength().numpy())


def test_an_inactive_edge_computes_as_zero_whatever_its_weight() -> None:
    layer = SparseLinear(TOPOLOGY)
    layer.active = torch.arange(20) > 0
    with torch.no_grad():
        layer.weight[0] = float("nan")
    assert torch.isfinite(layer(torch.randn(3, 8))).all()
    assert torch.isfinite(layer.to_dense().weight).all()


def test_a_delta_that_moves_nothing_keeps_the_mask(layer: SparseLayer) -> None:
    layer.active = torch.arange(20) % 2 == 0
    nothing, weights = np.empty(0, dtype=np.int64), np.zeros((0, *layer.weight.shape[1:]))
    apply_delta(layer, EdgeDelta(nothing, nothing, nothing, weights, grown_active=np.empty(0, dtype=bool)))
    assert layer.active.tolist() == [k % 2 == 0 for k in range(20)]


def test_pruning_keeps_active_edges() -> None:
    layer = SparseLinear(TOPOLOGY)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.1, 1, 20))
    layer.active = torch.arange(20) < 10
    model = nn.Sequential(layer)
    pruned = restrict(model, prune(model, density=0.1))[0]
    assert pruned.n_edges == 5
    assert pruned.active.all()


def test_hooks_that_rename_entries_act_before_the_edges_are_read() -> None:
    other = SparseLinear(generators.erdos_renyi(8, 6, n_edges=20, rng=7))
    state = {name.replace("weight", "w_old"): tensor for name, tensor in other.state_dict().items()}
    layer = SparseLinear(TOPOLOGY)

    def rename(module: nn.Module, state_dict: dict[str, torch.Tensor], prefix: str, *_: object) -> None:
        if prefix + "w_old" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "w_old")

    layer.register_load_state_dict_pre_hook(rename)
    layer.load_state_dict(state)
    assert layer.topology == other.topology
    assert torch.equal(layer.weight, other.weight)


def test_damaged_entries_name_their_layer() -> None:
    model = nn.Sequential(SparseLinear(TOPOLOGY))
    state = model.state_dict()
    with pytest.raises(TopologyError, match=r"^0: src\[0\] is 99"):
        model.load_state_dict({**state, "0.src": torch.full((20,), 99)})
    with pytest.raises(RuntimeError, match=r"0\.birth has dtype torch.float32; it must be integers"):
        model.load_state_dict({**state, "0.birth": torch.zeros(20)})


def test_adafactors_mean_over_edges_is_no_state_of_an_edge() -> None:
    layer = KernelLayer(BipartiteTopology.from_edges([(0, 0)], 8, 6), (3,))
    optimizer = torch.optim.Adafactor(layer.parameters())
    layer.weight.grad = torch.randn_like(layer.weight)
    optimizer.step()
    apply_delta(layer, EdgeDelta([], [1, 2], [0, 0], np.zeros((2, 3))), optimizer)
    layer.weight.grad = torch.randn_like(layer.weight)
    optimizer.step()
    assert layer.weight.shape == (3, 3)
