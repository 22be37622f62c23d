"""Hugging Face's Conv1D, whose weight is `[n_in, n_out]`, wherever a linear layer is read; with a stand-in of its name."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import netsci_nn as ns
from netsci_nn.models import linear_layers
from netsci_nn.models.walk import size_of
from netsci_nn.pruning import prune, restrict, strengths_of


class Conv1D(nn.Module):
    """As `transformers.pytorch_utils.Conv1D`."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight, self.bias = nn.Parameter(torch.empty(nx, nf)), nn.Parameter(torch.randn(nf))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(*x.shape[:-1], self.nf)


Conv1D.__module__ = "transformers.pytorch_utils"


class Shifted(Conv1D):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


class Renamed(Conv1D):
    """A Conv1D by its base."""


def stack() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Conv1D(30, 12), nn.GELU(), Conv1D(5, 30))


def masked(dense: nn.Module, sparse: nn.Module) -> nn.Module:
    """Return `dense` with the weights zeroed where `sparse` has no edge."""
    dense = copy.deepcopy(dense)
    for name, layer in sparse.named_modules():
        if isinstance(layer, ns.SparseLinear):
            with torch.no_grad():
                dense.get_submodule(name).weight.mul_(torch.from_numpy(layer.topology.to_mask()).t())
    return dense


def test_sparsified_it_computes_as_the_masked_layer_does(backend: str) -> None:
    dense, x = stack(), torch.randn(4, 3, 12)
    model = copy.deepcopy(dense)
    summary = ns.sparsify(model, density=0.3, init="keep", backend=backend, rng=0)
    assert [(entry.kind, entry.n_in, entry.n_out) for entry in summary.sparse] == [("Conv1D", 12, 30), ("Conv1D", 30, 5)]
    torch.testing.assert_close(model(x), masked(dense, model)(x))
    assert torch.equal(model[0].weight, dense[0].weight[model[0].src, model[0].dst])
    assert torch.equal(model[0].bias, dense[0].bias)


def test_the_fan_in_is_its_number_of_sources() -> None:
    model = nn.Sequential(Conv1D(1000, 100))
    ns.sparsify(model, density=0.1, rng=0)
    expected = 0.02 * np.sqrt(100 / model[0].topology.in_degrees.mean())
    assert float(model[0].weight.detach().std()) == pytest.approx(expected, rel=0.06)


def test_all_at_once_computes_the_same() -> None:
    dense, x = stack(), torch.randn(4, 3, 12)
    model = copy.deepcopy(dense)
    ns.sparsify(model, density=1.0, rng=0)
    torch.testing.assert_close(model(x), dense(x))


@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_frozen_parts_stay_frozen(weight: bool, bias: bool) -> None:
    model = nn.Sequential(Conv1D(10, 20)).eval()
    model[0].weight.requires_grad_(weight)
    model[0].bias.requires_grad_(bias)
    ns.sparsify(model, density=0.3, rng=0)
    assert (model[0].weight.requires_grad, model[0].bias.requires_grad) == (weight, bias)
    assert not model[0].training


def test_its_graph_has_the_right_orientation() -> None:
    """Three sources and two targets; weight[i, j] leads from source i to target j."""
    model = nn.Sequential(Conv1D(2, 3), nn.ReLU(), Conv1D(1, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    graph = ns.network_graph(model)
    assert graph.vs["layer"] == [0, 0, 0, 1, 1, 2]
    weights = {edge.tuple: edge["weight"] for edge in graph.es if edge["layer"] == 0}
    assert weights == {(0, 3): 1.0, (1, 3): 3.0, (2, 3): 5.0, (0, 4): 2.0, (1, 4): 4.0, (2, 4): 6.0}
    assert {name: size_of(layer) for name, layer in linear_layers(model).items()} == {"0": (3, 2), "2": (2, 1)}


def test_pruned_it_keeps_the_largest_weights() -> None:
    layer = Conv1D(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.1, 0.8], [-0.9, 0.0], [0.2, -0.7]]))
    assert strengths_of(layer).shape == (2, 3)
    model = nn.Sequential(layer)
    (kept,) = prune(model, density=0.5)
    assert kept.to_edges().tolist() == [[1, 0], [0, 1], [2, 1]]
    sparse = restrict(model, [kept])
    x = torch.randn(5, 3)
    torch.testing.assert_close(sparse(x), masked(model, sparse)(x))
    assert sparse[0].weight.tolist() == pytest.approx([-0.9, 0.8, -0.7])
    assert isinstance(model[0], Conv1D)


def test_from_dense() -> None:
    layer, x = Conv1D(4, 6), torch.randn(2, 6)
    torch.testing.assert_close(ns.SparseLinear.from_dense(layer)(x), layer(x))
    with pytest.raises(ns.TopologyError, match="topology joins 4 sources and 6 targets; linear maps 6 to 4"):
        ns.SparseLinear.from_dense(layer, ns.generators.erdos_renyi(4, 6, n_edges=3, rng=0))


def hooked() -> nn.Module:
    layer = Conv1D(8, 8)
    layer.register_forward_hook(lambda module, arguments, output: output)
    return layer


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Shifted(8, 8), r'layer \'0\' cannot become sparse: it is a Shifted with a forward of its own; exclude=r"\^0\$" keeps'),
        (hooked(), "layer '0' cannot become sparse: it has hooks"),
    ],
)
def test_what_would_be_lost_is_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises(ns.ConfigError, match=message):
        ns.sparsify(nn.Sequential(layer, nn.Linear(8, 8)), density=0.5, rng=0)


def test_a_tied_head_is_refused_and_the_message_names_the_way() -> None:
    model: Any = nn.ModuleDict({"wte": nn.Embedding(9, 8), "mlp": Conv1D(8, 8), "lm_head": nn.Linear(8, 9, bias=False)})
    model["lm_head"].weight = model["wte"].weight
    with pytest.raises(ns.ConfigError, match=r'its weight is shared .*; exclude=r"\^lm_head\$" keeps it dense'):
        ns.sparsify(model, density=0.5, rng=0)
    with pytest.warns(UserWarning, match="the whole model has a density"):
        ns.sparsify(model, density=0.1, exclude=r"^lm_head$", rng=0)
    assert isinstance(model["mlp"], ns.SparseLinear)


def test_the_class_and_what_is_built_on_it_and_no_other_of_that_name() -> None:
    namesake = type("Conv1D", (nn.Module,), {"__module__": "elsewhere.transformers"})
    assert list(linear_layers(nn.ModuleList([Conv1D(2, 2), Renamed(2, 2), namesake(), nn.Conv1d(2, 2, 1)]))) == ["0", "1"]
    model = nn.Sequential(Conv1D(3, 3))
    with pytest.raises(ns.ConfigError, match="model is a Conv1D; it must be a module that contains"):
        ns.sparsify(model[0], density=0.5, rng=0)
