"""Copies with a model's weights on the edges that are kept, bit for bit; rounds of pruning; layers that cannot be replaced."""

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.generators import erdos_renyi
from netsci_nn.layers import SparseLinear
from netsci_nn.models import SparseMLP, sparse_layers
from netsci_nn.pruning import linear_layers, prune, restrict, round_densities
from netsci_nn.topology import BipartiteTopology


def small_model() -> nn.Sequential:
    """Linear layers at two depths among other modules, one without a bias."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(8, 7, bias=False), nn.Dropout(0.5), nn.BatchNorm1d(7))
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), block, nn.Linear(7, 4))


def trained(model: nn.Module) -> nn.Module:
    """Return a copy after some steps of SGD."""
    model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(16, 6, generator=generator)).square().mean().backward()
        optimizer.step()
    optimizer.zero_grad()
    return model


def masked(model: nn.Module, topologies: Sequence[BipartiteTopology]) -> nn.Module:
    """Return a dense copy of `model` with zeros where the topologies have no edge."""
    model = copy.deepcopy(model)
    for layer, topology in zip(linear_layers(model).values(), topologies, strict=True):
        with torch.no_grad():
            layer.weight.mul_(torch.from_numpy(topology.to_mask()))
    return model


def test_surviving_weights_are_the_models_bit_for_bit() -> None:
    """From the trained model for training on; from the untrained one for rewinding."""
    initial = small_model()
    final = trained(initial)
    topologies = prune(final, density=0.4)
    for source in (final, initial):
        sparse = restrict(source, topologies)
        for layer, kept, topology in zip(linear_layers(source).values(), sparse_layers(sparse), topologies, strict=True):
            assert kept.topology == topology
            assert torch.equal(kept.weight, layer.weight[kept.dst, kept.src])
            assert (kept.bias is None) == (layer.bias is None)
            assert layer.bias is None or torch.equal(kept.bias, layer.bias)
        assert torch.equal(sparse[2][2].running_mean, source[2][2].running_mean)
    assert not torch.equal(restrict(final, topologies)[0].weight, restrict(initial, topologies)[0].weight)


def test_computes_what_the_masked_model_does() -> None:
    model = trained(small_model()).eval()
    topologies = prune(model, density=[0.2, 0.5, 1.0])
    x = torch.randn(9, 6, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(restrict(model, topologies)(x), masked(model, topologies)(x), rtol=1e-5, atol=1e-6)


def test_the_model_and_torchs_generator_stay_as_they_were() -> None:
    model = trained(small_model())
    model(torch.ones(3, 6)).sum().backward()
    state, modules = copy.deepcopy(model.state_dict()), list(model.modules())
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    before = torch.get_rng_state()
    sparse = restrict(model, prune(model, density=0.3))
    assert torch.equal(torch.get_rng_state(), before)
    for parameter in sparse.parameters():
        assert parameter.grad is None
        nn.init.zeros_(parameter)  # nothing is shared
    assert list(model.modules()) == modules
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    pairs = zip(model.parameters(), gradients, strict=True)
    assert all(torch.equal(parameter.grad, gradient) for parameter, gradient in pairs)


def test_mode_and_trainability_are_kept() -> None:
    model = small_model()
    model[0].weight.requires_grad_(False)
    model[3].bias.requires_grad_(False)
    model[2].eval()
    sparse = restrict(model, prune(model, density=0.5))
    assert [sparse[0].weight.requires_grad, sparse[0].bias.requires_grad] == [False, True]
    assert [sparse[3].weight.requires_grad, sparse[3].bias.requires_grad] == [True, False]
    assert [module.training for module in sparse.modules()] == [module.training for module in model.modules()]
    assert isinstance(sparse[2][1], nn.Dropout)
    again = restrict(sparse, prune(sparse, density=0.2))
    assert [again[0].weight.requires_grad, again[3].bias.requires_grad, again[2].training] == [False, False, False]


def test_a_layer_of_several_names_and_a_shared_bias_stay_shared() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].bias = model[0].bias
    model.append(model[0])
    model.extra = [model[0]]  # not registered
    sparse = restrict(model, prune(model, density=0.5))
    assert sparse[3] is sparse[0] is sparse.extra[0] is not model[0]
    assert sparse[2].bias is sparse[0].bias is not model[0].bias
    assert len(list(sparse.parameters())) == 3


def test_a_pruned_model_trains_and_keeps_its_edges() -> None:
    sparse = restrict(small_model(), prune(small_model(), density=0.3))
    topologies = [layer.topology for layer in sparse_layers(sparse)]
    after = trained(sparse)
    assert [layer.topology for layer in sparse_layers(after)] == topologies
    assert not torch.equal(after[0].weight, sparse[0].weight)


def test_transformers_keep_their_projections_and_leave_their_fused_path() -> None:
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, dim_feedforward=12, batch_first=True)
    model = nn.TransformerEncoder(block, 2).eval()
    topologies = prune(model, density=0.3)
    assert [(topology.n_in, topology.n_out) for topology in topologies] == [(8, 12), (12, 8)] * 2
    x = torch.randn(3, 5, 8)
    with torch.no_grad():
        torch.testing.assert_close(restrict(model, topologies)(x), masked(model, topologies)(x), rtol=1e-4, atol=1e-5)
    assert model.layers[0].activation_relu_or_gelu == 1


def test_rounds_nest_and_rewind() -> None:
    """Train, prune, rewind, twice; with weights of the untrained model at the end, and edges of the first round."""
    initial = small_model()
    model: nn.Module = initial
    rounds = []
    for densities in round_densities([0.2, 0.3, 0.5], 2):
        model = restrict(initial, prune(trained(model), density=densities))
        rounds.append([layer.topology for layer in sparse_layers(model)])
    for first, second, layer, kept in zip(*rounds, linear_layers(initial).values(), sparse_layers(model), strict=True):
        assert set(second.keys()) < set(first.keys())
        assert torch.equal(kept.weight, layer.weight[kept.dst, kept.src])
    assert [topology.n_edges for topology in rounds[1]] == [round(0.2 * 48), round(0.3 * 56), round(0.5 * 28)]


@settings(max_examples=20)
@given(density=st.floats(0.01, 1), rounds=st.integers(1, 5))
def test_without_training_rounds_end_where_one_shot_does(density: float, rounds: int) -> None:
    model = small_model()
    once = prune(model, density=density)
    for densities in round_densities([density] * 3, rounds):
        model = restrict(model, prune(model, density=densities))
    assert [layer.topology for layer in sparse_layers(model)] == once


def test_sparse_layers_keep_values_births_and_backend() -> None:
    model = SparseMLP([6, 8, 4], density=0.5, backend="csr", rng=0)
    for layer in sparse_layers(model):
        layer.set_structure(layer.topology, layer.weight.detach(), torch.arange(layer.n_edges))
    for topologies in (prune(model, density=0.2), [layer.topology for layer in sparse_layers(model)]):
        sparse = restrict(model, topologies)
        for old, new, topology in zip(sparse_layers(model), sparse_layers(sparse), topologies, strict=True):
            places = np.searchsorted(old.topology.keys(), topology.keys())
            assert new.topology == topology
            assert torch.equal(new.weight, old.weight[places])
            assert new.birth.tolist() == places.tolist()
            assert new.backend == "csr"
            assert new.weight is not old.weight
        dense = nn.Sequential(model.layers[0].to_dense(), nn.ReLU(), model.layers[1].to_dense())
        x = torch.randn(5, 6, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(sparse(x), masked(dense, topologies)(x), rtol=1e-5, atol=1e-6)


def test_wrong_topologies() -> None:
    model = small_model()
    good = prune(model, density=0.5)
    for topologies, message in ((good[:2], "topologies has 2 entries"), (good[0], "topologies is a BipartiteTopology")):
        with pytest.raises(ConfigError, match=f"{message}; it must be a list with one for each of the 3 linear layers"):
            restrict(model, topologies)
    with pytest.raises(TopologyError, match=r"topologies\[1\] is a ndarray; it must be a BipartiteTopology"):
        restrict(model, [good[0], good[1].to_mask(), good[2]])
    with pytest.raises(TopologyError, match=r"topologies\[0\] joins 8 sources and 7 targets; layer '0' has 6 and 8"):
        restrict(model, [good[1], good[0], good[2]])
    sparse = restrict(model, good)
    missing = BipartiteTopology.from_mask(~good[2].to_mask())
    edge = rf"\({missing.src[0]}, {missing.dst[0]}\)"
    with pytest.raises(TopologyError, match=rf"topologies\[2\] has the edge {edge}, which layer '3' does not have"):
        restrict(sparse, [good[0], good[1], missing])


def with_hook(linear: nn.Linear) -> nn.Linear:
    linear.register_forward_hook(lambda module, inputs, output: output)
    return linear


class Scaled(nn.Linear):
    """A linear layer that computes something else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def tied() -> nn.Module:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))
    model[1].weight = model[0].weight
    return model


def tied_sparse() -> nn.Module:
    topology = erdos_renyi(4, 4, n_edges=8, rng=0)
    model = nn.Sequential(SparseLinear(topology), SparseLinear(topology))
    model[1].weight = model[0].weight
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(Scaled(4, 4)), "layer '0' cannot become sparse: it is a Scaled with a forward of its own"),
        (nn.Sequential(with_hook(nn.Linear(4, 4))), "layer '0' cannot become sparse: it has hooks"),
        (parametrizations.weight_norm(nn.Linear(4, 4)), "it has the parameters parametrizations"),
        (tied(), "layer '1' cannot become sparse: its weight is shared with another module"),
        (tied_sparse(), "layer '0' cannot become sparse: its weight is shared with another module"),
    ],
)
def test_layers_that_would_lose_something(model: nn.Module, message: str) -> None:
    topologies = prune(model, density=0.25)
    with pytest.raises(ConfigError, match=message):
        restrict(model, topologies)
