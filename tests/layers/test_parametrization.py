"""Parametrized weights: torch's machinery works on edges, and norms are those of the masked dense layer."""

import copy
from collections.abc import Callable

import pytest
import torch
from kernel_layer import KernelLayer
from sparse_cases import CASES
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import netsci_nn as ns
from netsci_nn import BipartiteTopology, ConfigError, SparseLinear, SparseMLP, generators, rewiring
from netsci_nn.layers import SparseLayer
from netsci_nn.training import Rewire, train


class Exponential(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.exp()

    def right_inverse(self, y: torch.Tensor) -> torch.Tensor:
        return (y.abs() + 1e-3).log()


class Square(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x


def layer(seed: int = 0, dtype: torch.dtype = torch.float64, edges: int = 0) -> SparseLinear:
    torch.manual_seed(seed)
    return SparseLinear(generators.erdos_renyi(20, 10, n_edges=60, rng=edges), dtype=dtype)


def parametrized(seed: int = 0, edges: int = 0) -> SparseLinear:
    sparse = layer(seed, edges=edges)
    parametrize.register_parametrization(sparse, "weight", Exponential())
    parametrize.register_parametrization(sparse, "weight", Square())
    return sparse


def x(n_in: int = 20, rows: int = 4) -> torch.Tensor:
    return torch.randn(rows, n_in, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def dense_from(weight: torch.Tensor, sparse: SparseLayer) -> torch.Tensor:
    dense = weight.new_zeros(sparse.n_out, sparse.n_in, *weight.shape[1:])
    dense[sparse.dst, sparse.src] = weight
    return dense


# torch's machinery


def test_a_chain_computes_and_trains_as_the_masked_dense_layer() -> None:
    sparse = parametrized()
    original = sparse.parametrizations.weight.original
    own = original.detach().clone().requires_grad_()
    expected = nn.functional.linear(x(), dense_from(own.exp().square(), sparse), sparse.bias)
    actual = sparse(x())
    torch.testing.assert_close(actual, expected)
    actual.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(original.grad, own.grad)
    before = original.detach().clone()
    torch.optim.Adam(sparse.parameters(), lr=0.1).step()
    assert not torch.equal(original, before)
    torch.testing.assert_close(sparse.weight, original.exp().square())


def test_the_weight_is_computed_once_in_a_forward_pass() -> None:
    calls = []

    class Counting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            return 2 * x

    sparse = parametrize.register_parametrization(layer(), "weight", Counting())
    calls.clear()
    sparse(x())
    assert len(calls) == 1
    sparse.active = torch.arange(60) < 50
    sparse(x())
    assert len(calls) == 2
    _ = repr(sparse), sparse.src, sparse.dst, sparse.birth, sparse.active, sparse.topology, sparse.n_edges
    assert len(calls) == 2
    with parametrize.cached():
        torch.testing.assert_close(sparse(x()), sparse(x()))
    assert len(calls) == 3


@pytest.mark.parametrize("leave", [True, False])
def test_removal_makes_the_weight_a_parameter_again_and_edges_free(leave: bool) -> None:
    sparse = parametrized()
    original = sparse.parametrizations.weight.original
    expected = sparse.weight.detach().clone() if leave else original.detach().clone()
    parametrize.remove_parametrizations(sparse, "weight", leave_parametrized=leave)
    assert type(sparse) is SparseLinear
    assert sparse.weight is original
    assert torch.equal(sparse.weight, expected)
    optimizer = torch.optim.SGD(sparse.parameters(), lr=0.1)
    rewiring.apply_delta(sparse, rewiring.SparseEvolution().propose(sparse, rng=0), optimizer)
    assert sparse.topology_version == 1


def test_copies_conversions_and_graphs_read_the_computed_weight() -> None:
    sparse = parametrized()
    other = copy.deepcopy(sparse)
    assert torch.equal(other(x()), sparse(x()))
    with torch.no_grad():
        other.parametrizations.weight.original.zero_()
    assert not torch.equal(other(x()), sparse(x()))
    weights = sparse.weight.tolist()
    assert sparse.edge_weights().tolist() == sparse.to_igraph().es["weight"] == weights
    assert sparse.strength().tolist() == weights
    assert ns.network_graph(nn.Sequential(sparse)).es["weight"] == weights
    assert rewiring.edge_view(sparse).weight.tolist() == weights
    torch.testing.assert_close(sparse.to_dense()(x()), sparse(x()))
    assert copy.deepcopy(sparse).float()(x().float()).dtype == torch.float32


def test_state_dict_of_the_same_edges_is_loaded() -> None:
    source, target = parametrized(0), parametrized(1)
    assert list(source.state_dict()) == ["bias", "src", "dst", "birth", "sizes", "parametrizations.weight.original"]
    target.load_state_dict(source.state_dict())
    assert torch.equal(source(x()), target(x()))


@pytest.mark.parametrize("saved", [parametrized, layer], ids=["parametrized", "plain"])
def test_state_dict_of_other_edges_is_refused_and_changes_nothing(saved: Callable[..., SparseLinear]) -> None:
    model = nn.Sequential(parametrized(1, edges=1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ConfigError, match=r"the state dict has other edges.*remove_parametrizations"):
        model.load_state_dict(nn.Sequential(saved(0)).state_dict())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_needs_a_parameter_is_refused_before_anything_changes() -> None:
    sparse = parametrized()
    weight, delta = sparse.weight.detach().clone(), rewiring.SparseEvolution().propose(parametrized(), rng=0)
    optimizer = torch.optim.SGD(sparse.parameters(), lr=0.1)
    for act in (
        lambda: rewiring.apply_delta(sparse, delta),
        lambda: rewiring.apply_delta(sparse, delta, optimizer),
        lambda: sparse.set_structure(sparse.topology, weight, sparse.birth),
        lambda: sparse.reset_parameters(),
        lambda: Rewire(rewiring.SparseEvolution()).check(sparse, optimizer),
        lambda: ns.pruning.restrict(sparse, ns.pruning.prune(sparse, density=0.1)),
    ):
        with pytest.raises(ConfigError, match=r"parametrized.*call torch.nn.utils.parametrize.remove_parametrizations\(layer"):
            act()
    assert torch.equal(sparse.weight, weight)
    assert sparse.topology_version == 0


def test_training_takes_torchs_engine() -> None:
    model = SparseMLP([20, 10, 3], density=0.3, rng=0)
    ns.weight_norm(model.layers[0])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rows, labels = torch.rand(30, 20), torch.arange(30) % 3
    with pytest.raises(ConfigError, match="compiled steps cannot train this: the stack holds a ParametrizedSparseLinear"):
        train(model, optimizer, rows, labels, epochs=1, batch_size=10, rng=0, compiled=True)
    lengths = model.layers[0].parametrizations.weight.original0.detach().clone()
    train(model, optimizer, rows, labels, epochs=1, batch_size=10, rng=0)
    assert not torch.equal(model.layers[0].parametrizations.weight.original0, lengths)


def test_a_parametrized_bias_leaves_the_edges_free() -> None:
    sparse = layer()
    parametrize.register_parametrization(sparse, "bias", Square())
    optimizer = torch.optim.SGD(sparse.parameters(), lr=0.1)
    sparse(x()).square().sum().backward()
    rewiring.apply_delta(sparse, rewiring.SparseEvolution().propose(sparse, rng=0), optimizer)
    other = parametrize.register_parametrization(layer(1, edges=1), "bias", Square())
    other.load_state_dict(sparse.state_dict())
    assert torch.equal(other(x()), sparse(x()))


# torch's own norms


@pytest.mark.parametrize("is_frozen", [False, True], ids=["trained", "frozen"])
@pytest.mark.parametrize("has_other", [False, True], ids=["plain", "parametrized bias"])
@pytest.mark.parametrize("make", [layer, lambda: KernelLayer(CASES["irregular"])], ids=["linear", "kernels"])
@pytest.mark.parametrize(
    "norm",
    [parametrizations.weight_norm, parametrizations.spectral_norm, nn.utils.weight_norm, nn.utils.spectral_norm],
    ids=["weight_norm", "spectral_norm", "old weight_norm", "old spectral_norm"],
)
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_torchs_norms_are_refused_and_leave_the_layer_as_it_was(
    norm: Callable[[nn.Module], nn.Module], make: Callable[[], SparseLayer], has_other: bool, is_frozen: bool
) -> None:
    sparse = make()
    if has_other:
        sparse.bias = nn.Parameter(torch.ones(sparse.n_out))
        parametrize.register_parametrization(sparse, "bias", Square())
    sparse.weight.requires_grad_(not is_frozen)
    weight, kind, entries = sparse.weight, type(sparse), dict(sparse.__dict__)
    names, state = [name for name, _ in sparse.named_parameters()], list(sparse.state_dict())
    with pytest.raises(ConfigError, match=rf"torch's {norm.__name__} takes .*use netsci_nn.{norm.__name__}\(layer\)"):
        norm(sparse)
    assert sparse.weight is weight
    assert weight.requires_grad is not is_frozen
    assert type(sparse) is kind
    assert [name for name, _ in sparse.named_parameters()] == names
    assert list(sparse.state_dict()) == state
    assert sparse.__dict__.keys() == entries.keys()
    assert not sparse._forward_pre_hooks
    assert not list(sparse.buffers())
    getattr(ns, norm.__name__)(make())
    if isinstance(sparse, SparseLinear):
        assert sparse(x()).shape == (4, 10)


def test_orthogonal_is_refused_where_it_could_be_registered() -> None:
    kernels = KernelLayer(CASES["irregular"])
    weight = kernels.weight
    with pytest.raises(ConfigError, match=r"torch's orthogonal takes .* netsci_nn.weight_norm\(layer\)"):
        parametrizations.orthogonal(kernels)
    assert kernels.weight is weight
    with pytest.raises(ValueError, match="Expected a matrix"):  # by torch itself
        parametrizations.orthogonal(layer())


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_torchs_norms_are_refused_on_top_of_another_parametrization(norm: Callable[[nn.Module], nn.Module]) -> None:
    for sparse in (parametrized(), copy.deepcopy(parametrized())):
        expected = sparse(x())
        with pytest.raises(ConfigError, match=f"use netsci_nn.{norm.__name__}"):
            norm(sparse)
        assert len(sparse.parametrizations.weight) == 2
        assert torch.equal(sparse(x()), expected)


# norms over edges


def normalised_pair(name: str, make: Callable[[], SparseLayer], **options: float) -> tuple[SparseLayer, nn.Module]:
    """A sparse layer and the dense one with zeros in place of missing edges, both normalised from the same seed."""
    sparse = make()
    dense = nn.Conv2d(1, 1, 3) if sparse.weight.dim() > 1 else nn.Linear(1, 1)
    dense.weight = nn.Parameter(dense_from(sparse.weight.detach(), sparse))
    torch.manual_seed(3)
    getattr(ns, name)(sparse, **options)
    torch.manual_seed(3)
    getattr(parametrizations, name)(dense, **options)
    return sparse, dense


makes = pytest.mark.parametrize(
    "make",
    [
        layer,
        lambda: SparseLinear(CASES["irregular"], dtype=torch.float64),
        lambda: SparseLinear(CASES["full"], dtype=torch.float64),
        lambda: SparseLinear(CASES["target hub"], dtype=torch.float64),
        lambda: SparseLinear(CASES["empty targets"], dtype=torch.float64),
        lambda: SparseLinear(CASES["empty sources"], dtype=torch.float64),
        lambda: KernelLayer(CASES["irregular"]).double(),
        lambda: KernelLayer(CASES["empty sources"], (2, 3)).double(),
    ],
    ids=["random", "irregular", "full", "target hub", "empty targets", "empty sources", "kernels", "kernels and empty sources"],
)


@makes
def test_weight_norm_is_that_of_the_dense_layer_in_value_and_gradient(make: Callable[[], SparseLayer]) -> None:
    sparse, dense = normalised_pair("weight_norm", make)
    edges, has_edges = (sparse.dst, sparse.src), torch.bincount(sparse.dst, minlength=sparse.n_out) > 0
    g, v = sparse.parametrizations.weight.original0, sparse.parametrizations.weight.original1
    G, V = dense.parametrizations.weight.original0, dense.parametrizations.weight.original1
    assert g.shape == (sparse.n_out,)
    torch.testing.assert_close(g, G.flatten())
    torch.testing.assert_close(sparse.weight, make().weight if make is layer else V[edges])
    with torch.no_grad():
        scale = torch.rand(sparse.n_out, dtype=g.dtype) + 0.5
        g.mul_(scale)
        G.mul_(scale.reshape(G.shape))
    torch.testing.assert_close(sparse.weight, dense.weight[edges])
    upstream = torch.randn_like(v)
    (sparse.weight * upstream).sum().backward()
    (dense.weight[edges] * upstream).sum().backward()
    torch.testing.assert_close(v.grad, V.grad[edges])
    torch.testing.assert_close(g.grad[has_edges], G.grad.flatten()[has_edges])
    assert (g.grad[~has_edges] == 0).all()


@makes
def test_spectral_norm_is_that_of_the_dense_layer_in_value_and_gradient(make: Callable[[], SparseLayer]) -> None:
    sparse, dense = normalised_pair("spectral_norm", make, n_power_iterations=2, eps=1e-10)
    edges = sparse.dst, sparse.src
    for is_training in (True, True, False, False, True):
        sparse.train(is_training)
        dense.train(is_training)
        ours, theirs = sparse.parametrizations.weight, dense.parametrizations.weight
        before = ours[0]._u.clone()
        weight, expected = sparse.weight, dense.weight[edges]
        torch.testing.assert_close(weight, expected)
        torch.testing.assert_close(ours[0]._u, theirs[0]._u)
        torch.testing.assert_close(ours[0]._v, theirs[0]._v)
        assert is_training or torch.equal(ours[0]._u, before)
        upstream = torch.randn_like(weight)
        (weight * upstream).sum().backward()
        (expected * upstream).sum().backward()
        torch.testing.assert_close(ours.original.grad, theirs.original.grad[edges])
    assert list(dense.state_dict())[-2:] == list(sparse.state_dict())[-2:]
    # Many iterations give the norm itself.
    for _ in range(300):
        sparse.train()
        _ = sparse.weight
    matrix = dense_from(sparse.weight.detach(), sparse).flatten(1)
    assert float(torch.linalg.matrix_norm(matrix, 2)) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("norm", [ns.weight_norm, ns.spectral_norm])
def test_normalised_layers_are_citizens(norm: Callable[[SparseLinear], SparseLinear]) -> None:
    plain = layer(dtype=torch.float32)
    rows = x().float()
    sparse = norm(copy.deepcopy(plain))
    assert norm is ns.spectral_norm or torch.allclose(sparse(rows), plain(rows), atol=1e-6)
    optimizer = torch.optim.Adam(sparse.parameters(), lr=0.01)
    for _ in range(3):  # two passes before one backward, as in adversarial training
        optimizer.zero_grad()
        (sparse(rows) - sparse(2 * rows)).square().sum().backward()
        optimizer.step()
    sparse.eval()
    other = norm(layer(1, torch.float32)).eval()
    other.load_state_dict(sparse.state_dict())
    assert torch.equal(other(rows), sparse(rows))
    assert torch.equal(copy.deepcopy(sparse)(rows), sparse(rows))
    half = copy.deepcopy(sparse).bfloat16()
    assert half.weight.dtype == torch.bfloat16
    torch.testing.assert_close(half(rows.bfloat16()).float(), sparse(rows), rtol=0.05, atol=0.05)
    assert norm(SparseLinear(plain.topology, device="meta"))(rows.to("meta")).shape == (4, 10)
    weight = sparse.weight.detach().clone()
    parametrize.remove_parametrizations(sparse, "weight")
    assert type(sparse) is SparseLinear
    assert torch.equal(sparse.weight, weight)
    rewiring.apply_delta(sparse, rewiring.SparseEvolution().propose(sparse, rng=0))


def test_spectral_norm_can_follow_another_parametrization() -> None:
    sparse = layer()
    parametrize.register_parametrization(sparse, "weight", Exponential())
    ns.spectral_norm(sparse, n_power_iterations=100)
    matrix = dense_from(sparse.weight.detach(), sparse)
    assert float(torch.linalg.matrix_norm(matrix, 2)) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("norm", [ns.weight_norm, ns.spectral_norm])
def test_a_layer_without_edges_stays_without(norm: Callable[[SparseLinear], SparseLinear]) -> None:
    sparse = norm(SparseLinear(BipartiteTopology(3, 2, [], [])))
    y = sparse(torch.ones(2, 3))
    y.sum().backward()
    assert torch.equal(y, torch.zeros(2, 2))
    assert all(parameter.grad is None or torch.isfinite(parameter.grad).all() for parameter in sparse.parameters())


def test_what_has_no_norm_is_refused() -> None:
    zero, masked = layer(), layer()
    with torch.no_grad():
        zero.weight[zero.dst == 4] = 0
    masked.active = torch.arange(60) < 50
    with pytest.raises(ConfigError, match="layer has target 4 whose weights have no direction"):
        ns.weight_norm(zero)
    zero.weight.data.zero_()
    with pytest.raises(ConfigError, match="layer has nothing but weights of 0"):
        ns.spectral_norm(zero)
    for norm in (ns.weight_norm, ns.spectral_norm):
        with pytest.raises(ConfigError, match="layer is a Linear; it must be a sparse layer"):
            norm(nn.Linear(2, 3))  # type: ignore[type-var]
        with pytest.raises(ConfigError, match="layer has a forward mask"):
            norm(masked)
        normalised = norm(layer())
        with pytest.raises(ConfigError, match="active cannot be set while weight_norm or spectral_norm"):
            normalised.active = torch.arange(60) < 50
        normalised.active = None
    with pytest.raises(ConfigError, match="must be the first parametrization"):
        ns.weight_norm(parametrized())
    with pytest.raises(ConfigError, match="n_power_iterations is 0"):
        ns.spectral_norm(layer(), n_power_iterations=0)
    with pytest.raises(ConfigError, match="eps is 0"):
        ns.spectral_norm(layer(), eps=0)


def test_a_weight_that_is_a_plain_tensor_computes_as_in_torchs_replicas() -> None:
    sparse = layer()
    expected, own = sparse(x()), sparse.weight
    del sparse._parameters["weight"]
    sparse.weight = own.detach() * 2
    torch.testing.assert_close(sparse(x()) - sparse.bias, 2 * (expected - sparse.bias))
    assert sparse.src.device == own.device


# torch's pruning


def test_torchs_pruning_computes_and_is_saved_but_edges_must_wait_for_its_removal() -> None:
    sparse = layer()
    prune.l1_unstructured(sparse, "weight", amount=0.4)
    mask = sparse.weight_mask.clone()
    torch.testing.assert_close(
        sparse(x()), nn.functional.linear(x(), dense_from(sparse.weight_orig * mask, sparse), sparse.bias)
    )
    assert sparse.edge_weights().tolist() == (sparse.weight_orig * mask).tolist()
    sparse(x()).square().sum().backward()
    assert (sparse.weight_orig.grad[mask == 0] == 0).all()
    other = prune.identity(layer(1), "weight")
    other.load_state_dict(sparse.state_dict())
    assert torch.equal(other(x()), sparse(x()))
    delta = rewiring.SparseEvolution().propose(layer(), rng=0)
    with pytest.raises(
        ConfigError, match=r"the edges cannot change: .* weight_orig .* call torch.nn.utils.prune.remove\(layer"
    ):
        rewiring.apply_delta(sparse, delta)
    stranger = prune.identity(layer(1, edges=1), "weight")
    with pytest.raises(ConfigError, match="the state dict has other edges"):
        stranger.load_state_dict(sparse.state_dict())
    prune.remove(sparse, "weight")
    rewiring.apply_delta(sparse, delta)
    assert sparse.topology_version == 1
