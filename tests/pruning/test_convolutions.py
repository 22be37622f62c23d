"""Convolutions, dense and sparse, are pruned by weights or by kernels; the sparse twins compute what the masked ones do."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as torch_prune

from netsci_nn import BipartiteTopology, SparseConv1d, SparseConv2d, SparseLinear, generators
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.models import sparse_layers
from netsci_nn.pruning import linear_layers, magnitude, prune, restrict, strengths_of

PARTS = ["weight", "kernel"]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 12, (2, 3), stride=2, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 4 * 3, 5),
    )  # fmt: skip


def images() -> torch.Tensor:
    return torch.randn(4, 3, 8, 7, generator=torch.Generator().manual_seed(1))


def conv_of(weight: Any, groups: int = 1) -> nn.Conv1d:
    tensor = torch.tensor(weight)
    conv = nn.Conv1d(tensor.shape[1] * groups, tensor.shape[0], tensor.shape[2], groups=groups)
    with torch.no_grad():
        conv.weight.copy_(tensor)
    return conv


def test_worked_example() -> None:
    """Norms of the kernels: 5 and 4.9 of the first target, 4 and 3.2 of the second; the largest weight is in the second."""
    conv = conv_of([[[3.0, -4.0], [4.9, 0.0]], [[0.0, 4.0], [-3.2, 0.0]]])
    (kernels,) = prune(conv, density=0.5, convolutions="kernel")
    assert (kernels.n_in, kernels.n_out, kernels.to_edges().tolist()) == (2, 2, [[0, 0], [1, 0]])
    (weights,) = prune(conv, density=0.5, convolutions="weight")  # sources: channel * 2 + entry
    assert (weights.n_in, weights.n_out, weights.to_edges().tolist()) == (4, 2, [[1, 0], [2, 0], [1, 1], [2, 1]])
    by_kernel, by_weight = (restrict(conv, [topology]) for topology in (kernels, weights))
    assert isinstance(by_kernel, SparseConv1d)
    assert isinstance(by_weight, SparseConv1d)
    assert by_kernel.weight.tolist() == torch.tensor([[3.0, -4.0], [4.9, 0.0]]).tolist()
    assert by_weight.weight.tolist() == torch.tensor([-4.0, 4.9, 4.0, -3.2]).tolist()
    assert (by_kernel.graph, by_weight.graph) == ("channel", "patch")
    # Once more, from the sparse layers: a kernel of two, two weights of four.
    assert prune(by_kernel, density=0.25)[0].to_edges().tolist() == [[0, 0]]
    assert prune(by_weight, density=0.25)[0].to_edges().tolist() == [[1, 0], [2, 0]]  # 4.9, and the first of two fours
    again = restrict(by_weight, prune(by_weight, density=0.25))
    assert again.weight.tolist() == torch.tensor([-4.0, 4.9]).tolist()


@pytest.mark.parametrize("part", PARTS)
def test_a_pruned_network_computes_what_the_masked_one_does(part: str) -> None:
    model = network().eval()
    topologies = prune(model, density=[0.5, 0.25, 0.1], convolutions=part)
    areas = [9, 6] if part == "weight" else [1, 1]
    assert [topology.n_edges for topology in topologies] == [12 * areas[0], 24 * areas[1], round(0.1 * 5 * 144)]
    masked = copy.deepcopy(model)
    for conv, topology in zip((masked[0], masked[3]), topologies, strict=False):
        mask = torch.from_numpy(topology.to_mask())
        mask = mask.reshape(conv.weight.shape) if part == "weight" else mask[:, :, None, None]
        with torch.no_grad():
            conv.weight.mul_(mask)
    with torch.no_grad():
        masked[6].weight.mul_(torch.from_numpy(topologies[2].to_mask()))
    before, state = torch.get_rng_state(), copy.deepcopy(model.state_dict())
    sparse = restrict(model, topologies)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in state.items())
    assert [type(layer) for layer in sparse_layers(sparse)] == [SparseConv2d, SparseConv2d, SparseLinear]
    assert [layer.topology for layer in sparse_layers(sparse)] == topologies
    torch.testing.assert_close(sparse(images()), masked(images()), rtol=1e-5, atol=1e-5)
    again = restrict(sparse, prune(sparse, density=[0.25, 0.1, 0.05]))
    for layer, old in zip(sparse_layers(again), sparse_layers(sparse), strict=True):
        assert set(layer.topology.keys()) < set(old.topology.keys())
        assert torch.equal(layer.to_dense().weight.count_nonzero(), layer.weight.count_nonzero())  # type: ignore[operator]


def test_unstructured_pruning_is_that_of_torch() -> None:
    conv = network()[3]
    (topology,) = prune(conv, density=0.25, convolutions="weight")
    torch_prune.l1_unstructured(conv, "weight", amount=conv.weight.numel() - topology.n_edges)
    mask = conv.weight_mask.bool().numpy().reshape(12, -1)  # type: ignore[operator, union-attr]
    np.testing.assert_array_equal(topology.to_mask(), mask)


def test_without_the_argument_convolutions_stay_dense() -> None:
    model = network()
    (topology,) = prune(model, density=0.1)
    sparse = restrict(model, [topology])
    assert [type(module) for module in sparse if not isinstance(module, nn.ReLU | nn.Flatten)] == [
        nn.Conv2d, nn.BatchNorm2d, nn.Conv2d, SparseLinear,
    ]  # fmt: skip
    assert list(linear_layers(model)) == ["6"]
    assert list(linear_layers(model, convolutions=True)) == ["0", "3", "6"]
    assert [score.shape for score in magnitude(model, convolutions=True)] == [(8, 3, 3, 3), (12, 8, 2, 3), (5, 144)]
    assert torch.equal(strengths_of(model[0]), model[0].weight.detach().abs())  # type: ignore[arg-type]


@given(
    groups=st.sampled_from([1, 2, 3, 6]),
    area=st.integers(1, 3),
    share=st.floats(0, 1),
    levels=st.integers(1, 5),
    part=st.sampled_from(PARTS),
    seed=st.integers(0, 1000),
)
def test_within_groups_the_highest_scores_stay(groups: int, area: int, share: float, levels: int, part: str, seed: int) -> None:
    """The oracle: a stable sort of all pairs of the whole weight, of which those between groups have no score."""
    scores = np.random.default_rng(seed).integers(levels, size=(12, 6 // groups, area)).astype(np.float64)
    conv = nn.Conv1d(6, 12, area, groups=groups)
    whole = np.full((12, 6, area), -1.0)
    for target in range(12):
        first = target // (12 // groups) * (6 // groups)
        whole[target, first : first + 6 // groups] = scores[target]
    flat = np.where(whole[..., 0] < 0, -1, np.linalg.norm(whole, axis=2)) if part == "kernel" else whole
    count = round(share * (flat >= 0).sum())
    assert (12 // groups) * 6 * (area if part == "weight" else 1) == (flat >= 0).sum()

    def criterion(model: nn.Module, convolutions: bool) -> list[torch.Tensor]:
        assert convolutions
        return [torch.from_numpy(scores)]

    density = max(count, 0.1) / flat.size
    (topology,) = prune(conv, density=density, criterion=criterion, convolutions=part)
    oracle = np.sort(np.argsort(-flat.reshape(-1), kind="stable")[:count])
    assert topology.keys().tolist() == oracle.tolist()
    sparse, x = restrict(conv, [topology]), torch.randn(2, 6, 5)
    assert sparse.graph == ("channel" if part == "kernel" or area == 1 else "patch")
    mask = torch.from_numpy(topology.to_mask()).reshape(12, 6, -1).expand(12, 6, area)
    masked = nn.functional.conv1d(x, sparse.to_dense().weight * mask, conv.bias)  # type: ignore[operator]
    torch.testing.assert_close(sparse(x), masked, rtol=1e-4, atol=1e-5)
    if count == (flat >= 0).sum():
        torch.testing.assert_close(sparse(x), conv(x), rtol=1e-4, atol=1e-5)


def test_a_criterion_may_score_kernels_or_weights() -> None:
    conv = conv_of([[[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]]])

    def kernels(model: nn.Module, convolutions: bool) -> list[torch.Tensor]:
        return [torch.tensor([[-3.0, -2.0, -1.0]])]

    def signed(model: nn.Module, convolutions: bool) -> list[torch.Tensor]:
        return [conv.weight.detach() - 1]

    assert prune(conv, density=1 / 3, criterion=kernels, convolutions="kernel")[0].src.tolist() == [2]
    assert prune(conv, density=1 / 3, convolutions="kernel")[0].src.tolist() == [1]
    assert prune(conv, density=1 / 6, criterion=signed, convolutions="weight")[0].src.tolist() == [2]
    with pytest.raises(TopologyError, match="layer '' the score -1; scores of a kernel's weights are put together by"):
        prune(conv, density=1 / 3, criterion=signed, convolutions="kernel")
    with pytest.raises(ConfigError, match=r"its weights' shape \[1, 3, 2\]$"):
        prune(conv, density=1 / 3, criterion=kernels, convolutions="weight")
    with pytest.raises(ConfigError, match=r"\[1, 2\]; it must .* shape \[1, 3, 2\], or of its kernels \[1, 3\]"):
        prune(conv, density=1 / 3, criterion=lambda model, convolutions: [torch.ones(1, 2)], convolutions="kernel")


@pytest.mark.parametrize("graph", ["channel", "patch"])
def test_edges_of_sparse_convolutions_go_by_their_strength(graph: str) -> None:
    topology = generators.erdos_renyi(4 * (9 if graph == "patch" else 1), 6, density=0.5, rng=0)
    layer = SparseConv2d(topology, 3, padding=1, graph=graph)
    layer.active = np.arange(layer.n_edges) % 3 > 0
    count = layer.n_edges // 4
    (kept,) = prune(layer, density=count / (layer.n_in * layer.n_out))
    strength = np.where(np.arange(layer.n_edges) % 3 > 0, layer.edge_weights(), 0)
    order = np.argsort(-np.abs(strength), kind="stable")[:count]
    assert kept.keys().tolist() == topology.keys()[np.sort(order)].tolist()
    pruned = restrict(layer, [kept])
    assert (pruned.graph, pruned.kernel_size, pruned.padding) == (graph, (3, 3), (1, 1))
    assert torch.equal(pruned.weight, layer.weight[np.sort(order)])
    assert pruned.active.all()


def test_mode_dtype_trainability_and_shared_names_stay() -> None:
    conv = nn.Conv2d(4, 4, 3, padding="same", padding_mode="circular", dtype=torch.float64).eval()
    conv.weight.requires_grad_(False)
    model = nn.Sequential(conv, nn.ReLU(), conv)
    sparse = restrict(model, prune(model, density=0.5, convolutions="weight"))
    assert sparse[0] is sparse[2]
    assert not sparse[0].training
    assert sparse[0].weight.dtype == torch.float64
    assert [sparse[0].weight.requires_grad, sparse[0].bias.requires_grad] == [False, True]
    assert (sparse[0].padding, sparse[0].padding_mode) == ("same", "circular")


class Own(nn.Conv2d):
    def _conv_forward(self, *arguments: Any) -> torch.Tensor:
        return 2 * super()._conv_forward(*arguments)


def test_what_is_refused() -> None:
    model = network()

    def refused(kind: type[Exception], message: str, model: nn.Module, **options: Any) -> None:
        with pytest.raises(kind, match=message):
            restrict(model, prune(model, **{"density": 0.5, "convolutions": "weight", **options}))

    refused(ConfigError, "convolutions is 'all'; it must be one of 'weight', 'kernel'", model, convolutions="all")
    refused(ConfigError, r"density is \[0.1\]; it must be one value or one for each of the 3 layers", model, density=[0.1])
    refused(ConfigError, "a Tanh without linear layers or convolutions that can be pruned", nn.Tanh())
    refused(ConfigError, "cannot be called with a model and convolutions=True; to prune", model, criterion=lambda m: [])
    refused(ConfigError, "2 scores; it must .* of the 3 linear layers and convolutions", model, criterion=two)
    refused(ConfigError, "layer '' has no weights before its first input", nn.LazyConv2d(3, 3))
    refused(ConfigError, "layer '' is on the meta device", nn.Conv2d(2, 2, 3, device="meta"))
    refused(ConfigError, "it is a Own with a forward of its own", nn.Sequential(Own(2, 2, 3)))
    normed = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(4, 4, 3)))
    refused(ConfigError, "it has the parameters parametrizations.weight.original0, .* beside weight and bias", normed)
    depthwise = nn.Conv2d(8, 8, 3, groups=8)
    refused(
        TopologyError, "density is 0.5 for layer '', which means 32 edges; the layer has 8", depthwise, convolutions="kernel"
    )
    with torch.no_grad():
        depthwise.weight[1, 0, 0, 2] = torch.nan
    refused(TopologyError, "layer '' the score nan at position 11", depthwise, density=0.1, convolutions="kernel")
    with pytest.raises(TopologyError, match="layer '0' has 3 and 8, or 27 positions of a patch"):
        restrict(model, [BipartiteTopology(4, 8, [0], [0]), *prune(model, density=0.1, convolutions="weight")[1:]])
    with pytest.raises(TopologyError, match="joins channels of different groups"):
        restrict(depthwise, [BipartiteTopology(8, 8, [0], [1])])
    with pytest.raises(ConfigError, match=r"topologies has 2 entries; .* of the 1 linear layers, or of the 3 with"):
        restrict(model, prune(model, density=0.1, convolutions="weight")[:2])


def two(model: nn.Module, convolutions: bool) -> list[torch.Tensor]:
    return magnitude(model, convolutions)[:2]
