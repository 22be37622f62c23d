"""`from_masks` and `to_dense`: edges where other tools have ones, outputs as before, and all or nothing."""

import copy
import re
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

import netsci_nn as ns
from netsci_nn import BipartiteTopology, ConfigError, SparseLinear, SparseMLP, TopologyError
from netsci_nn.models import sparse_layers

MASK = torch.tensor([[0, 1, 1], [1, 0, 0]])
EDGES = [[1, 0], [2, 0], [0, 1]]  # (source, target)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse (CSR|CSC|BSR|BSC)")  # torch says of its layouts that they are new
        yield


def stack() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.ModuleDict({"fc": nn.Linear(2, 4, bias=False)})["fc"], nn.Linear(4, 4))


def uncoalesced() -> torch.Tensor:
    """The mask, in another order of its entries."""
    return torch.sparse_coo_tensor(torch.tensor([[1, 0, 0], [0, 2, 1]]), torch.ones(3), (2, 3), check_invariants=True)


def with_zeros() -> torch.Tensor:
    return torch.sparse_coo_tensor(
        torch.tensor([[1, 0, 0, 1], [0, 2, 1, 1]]), torch.tensor([1.0, 1, 1, 0]), (2, 3), check_invariants=True
    )


KINDS: dict[str, Callable[[], Any]] = {
    "bool": MASK.bool,
    "uint8": lambda: MASK.to(torch.uint8),
    "int64": lambda: MASK,
    "float32": MASK.float,
    "float16": MASK.half,
    "bfloat16": MASK.bfloat16,
    "with gradient": lambda: nn.Parameter(MASK.float()),
    "not contiguous": lambda: MASK.T.contiguous().T,
    "coo": MASK.float().to_sparse,
    "coo bool": MASK.bool().to_sparse,
    "coo uncoalesced": uncoalesced,
    "coo with zeros": with_zeros,
    "csr": MASK.double().to_sparse_csr,
    "csr bfloat16": MASK.bfloat16().to_sparse_csr,
    "csc": MASK.float().to_sparse_csc,
    "bsr": lambda: MASK.float().to_sparse_bsr((1, 3)),
    "numpy": MASK.numpy,
    "numpy bool": MASK.bool().numpy,
    "numpy float16": MASK.half().numpy,
    "lists": MASK.tolist,
    "scipy csr": lambda: scipy.sparse.csr_array(MASK.numpy()),
    "scipy matrix": lambda: scipy.sparse.csc_matrix(MASK.numpy()),
    "topology": lambda: BipartiteTopology.from_edges(EDGES, 3, 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_mask(kind: str) -> None:
    model = stack()
    linear = model[0]
    summary = ns.from_masks(model, {"0": KINDS[kind]()})
    assert [entry.n_edges for entry in summary.sparse] == [3]
    assert isinstance(model[0], SparseLinear)
    assert model[0].topology.to_edges().tolist() == EDGES
    expected = [linear.weight[0, 1], linear.weight[0, 2], linear.weight[1, 0]]
    assert model[0].weight.tolist() == [weight.item() for weight in expected]
    assert torch.equal(model[0].bias, linear.bias)
    assert [type(module) for module in model[1:]] == [nn.Tanh, nn.Linear, nn.Linear]


def test_outputs_are_those_of_the_masked_model() -> None:
    model, masks = stack(), {"0": MASK.bool(), "2.weight": torch.eye(4, 2), "3.weight_mask": 1 - torch.eye(4)}
    dense = copy.deepcopy(model)
    with torch.no_grad():
        for name, mask in masks.items():
            dense[int(name[0])].weight.mul_(mask)
    x = torch.randn(7, 3)
    ns.from_masks(model, masks)
    torch.testing.assert_close(model(x), dense(x))
    assert [layer.n_edges for layer in sparse_layers(model)] == [3, 2, 12]


@pytest.mark.parametrize("key", ["0", "0.weight", "0_mask", "0.weight_mask"])
def test_names_of_layers_and_of_parameters(key: str) -> None:
    model = stack()
    ns.from_masks(model, {key: MASK})
    assert model[0].n_edges == 3


def test_a_layer_may_be_called_like_a_mask() -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 2), "a_mask": nn.Linear(3, 2)})
    ns.from_masks(model, {"a_mask": MASK})
    assert [type(model[name]) for name in model] == [nn.Linear, SparseLinear]


def test_empty_and_full_masks() -> None:
    model = stack()
    ns.from_masks(model, {"0": torch.zeros(2, 3), "2": torch.ones(4, 2)})
    assert [layer.n_edges for layer in sparse_layers(model)] == [0, 8]
    assert torch.equal(model[0](torch.ones(1, 3))[0], model[0].bias)


def test_a_weight_of_0_under_a_one_is_an_edge() -> None:
    model = stack()
    model[0].weight.data.zero_()
    ns.from_masks(model, {"0": MASK})
    assert model[0].n_edges == 3


def test_modes_dtypes_and_what_is_trainable_stay() -> None:
    model = stack().double().eval()
    model[0].weight.requires_grad_(False)
    random = torch.get_rng_state()
    ns.from_masks(model, {"0": MASK, "3": torch.eye(4)}, backend="csr")
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module.training for module in model.modules())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert [layer.weight.requires_grad for layer in sparse_layers(model)] == [False, True]
    assert {layer.backend for layer in sparse_layers(model)} == {"csr"}


class Twice(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.block = nn.Sequential(self.first, nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.first(x))


@pytest.mark.parametrize("name", ["first", "block.0"])
def test_a_shared_layer_is_replaced_under_all_its_names(name: str) -> None:
    model = Twice()
    ns.from_masks(model, {name: torch.eye(3)})
    assert isinstance(model.first, SparseLinear)
    assert model.first is model.block[0]


# live masks


def test_live_masks() -> None:
    model = stack()
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    prune.random_unstructured(model[0], "weight", amount=1)  # one mask over another
    prune.ln_structured(model[3], "weight", amount=2, n=2, dim=0)
    x = torch.randn(7, 3)
    expected, masks = model(x), [model[0].weight_mask, model[3].weight_mask]
    original = model[0].weight_orig.detach()
    ns.from_masks(model)
    torch.testing.assert_close(model(x), expected)
    assert [layer.topology for layer in sparse_layers(model)] == [BipartiteTopology.from_mask(mask.bool()) for mask in masks]
    assert torch.equal(model[0].weight, original[model[0].dst, model[0].src])
    assert isinstance(model[2], nn.Linear)
    assert not any("_orig" in name or "_mask" in name for name in model.state_dict())
    assert not any(module._forward_pre_hooks for module in model.modules())
    loss = model(x).sum()
    loss.backward()
    assert model[0].weight.grad is not None


def test_live_masks_of_biases(caplog: pytest.LogCaptureFixture) -> None:
    for masks in (None, {"0": torch.ones(2, 3)}):  # a live mask of the bias counts in both
        model = stack()
        prune.identity(model[0], "weight")
        prune.custom_from_mask(model[0], "bias", torch.tensor([0, 1]))
        x = torch.randn(4, 3)
        expected = model(x)
        caplog.clear()
        ns.from_masks(model, masks)
        torch.testing.assert_close(model(x), expected)
        assert model[0].bias.tolist()[0] == 0
        assert caplog.messages == ["0: 1 biases under a mask are 0 now, and are trained on like the others"]


def test_masks_by_the_names_of_buffers_equal_live_masks() -> None:
    model = stack()
    prune.global_unstructured(
        [(model[0], "weight"), (model[3], "weight"), (model[3], "bias")], prune.L1Unstructured, amount=0.6
    )
    other = copy.deepcopy(prune_free(model))
    x, expected = torch.randn(5, 3), model(torch.ones(1, 3))
    ns.from_masks(other, {name: mask for name, mask in model.named_buffers() if name.endswith("_mask")})
    ns.from_masks(model)
    assert torch.equal(model(x), other(x))
    torch.testing.assert_close(model(torch.ones(1, 3)), expected)


def prune_free(model: nn.Sequential) -> nn.Sequential:
    """A model as it was before it was pruned."""
    plain = stack()
    for name, parameter in model.named_parameters():
        plain.get_parameter(name.removesuffix("_orig")).data.copy_(parameter.data)
    return plain


def test_a_mask_over_a_live_mask_or_a_sparse_layer_takes_edges_away() -> None:
    smaller = MASK.clone()
    smaller[0, 1] = 0
    for make in (
        lambda model: prune.custom_from_mask(model[0], "weight", MASK),
        lambda model: ns.from_masks(model, {"0": MASK}),
    ):
        model = stack()
        weight = model[0].weight.detach().clone()
        make(model)
        with pytest.raises(TopologyError, match=r"^the mask of layer '0' has the edge \(0, 0\), which the layer does not have"):
            ns.from_masks(model, {"0": torch.ones(2, 3)})
        ns.from_masks(model, {"0": smaller})
        assert model[0].topology.to_edges().tolist() == [[2, 0], [0, 1]]
        assert model[0].weight.tolist() == [weight[0, 2], weight[1, 0]]


def test_restricting_a_sparse_layer_keeps_births_and_what_is_active() -> None:
    layer = SparseLinear(BipartiteTopology.from_edges(EDGES, 3, 2))
    layer.set_structure(
        layer.topology, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5, 6, 7]), torch.tensor([True, False, True])
    )
    parameter = layer.weight
    ns.from_masks(nn.Sequential(layer), {"0": torch.tensor([[0, 0, 1], [1, 0, 0]])})
    assert layer.weight is parameter
    assert (layer.weight.tolist(), layer.birth.tolist(), layer.active.tolist()) == ([2, 3], [6, 7], [False, True])


# what is refused


def broken_csr() -> torch.Tensor:
    ends = torch.tensor([0, 10**7, 3]), torch.tensor([1, 2, 0])
    return torch.sparse_csr_tensor(*ends, torch.ones(3), (2, 3), check_invariants=False)


def far_coo() -> torch.Tensor:
    return torch.sparse_coo_tensor(torch.tensor([[0, 10**9], [0, 1]]), torch.ones(2), (2, 3), check_invariants=False)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({}, "masks is empty; it must map names"),
        ([MASK], "masks is a list; it must map names"),
        (None, "model has no live masks of torch.nn.utils.prune; pass masks={name: mask}"),
        ({"fc1": MASK}, "masks names 'fc1'; the linear layers of the model are '0', '2', '3'"),
        ({0: MASK}, "masks names 0; the linear layers"),
        ({"1": MASK}, "masks names '1', a part of a Tanh; the linear layers of the model are"),
        ({"0": MASK, "0.weight": MASK}, "masks names the weight of layer '0' twice, as '0' and as '0.weight'"),
        ({"0.bias": torch.ones(2)}, "masks has one for the bias of layer '0' and none for its weight"),
        ({"2": torch.ones(4, 2), "2.bias": torch.ones(4)}, "masks has '2.bias', and the layer has no bias"),
        ({"0": MASK, "0.bias_mask": torch.ones(3)}, "the mask '0.bias_mask' has shape [3]; it must be [n_out] = [2]"),
        ({"0": MASK, "0.bias": torch.tensor([0.5, 1])}, "the mask '0.bias' holds 0.5 at [0]; it must hold 0 and 1 only"),
        (
            {"0": MASK.T},
            "the mask '0' has shape [3, 2]; it must be [n_out, n_in] = [2, 3], like the weight, and this looks like",
        ),
        ({"0": torch.ones(5, 3)}, "the mask '0' has shape [5, 3]; it must be [n_out, n_in] = [2, 3], like the weight"),
        ({"0": MASK * 0.5}, "the mask '0' holds 0.5 at [0, 1]; it must hold 0 and 1 only (of a soft mask, pass"),
        ({"0": -MASK}, "the mask '0' holds -1 at [0, 1]"),
        ({"0": MASK * float("nan")}, "the mask '0' holds nan at [0, 0]"),
        ({"0": 2 * uncoalesced()}, "the mask '0' holds 2 at [0, 1]"),
        ({"0": MASK.to(torch.complex64)}, "the mask '0' has dtype complex64"),
        ({"0": torch.ones(3)}, "the mask '0' cannot be read as a matrix [n_out, n_in]: it is a 1-dimensional tensor"),
        ({"0": torch.ones(2, 3, device="meta")}, "cannot be read as a matrix [n_out, n_in]: it is a meta tensor"),
        ({"0": MASK.float().to_sparse(1)}, "it is of layout torch.sparse_coo, of rows"),
        ({"0": "all"}, "the mask '0' cannot be read as a matrix [n_out, n_in]: it is <U3"),
        ({"0": None}, "the mask '0' cannot be read as a matrix [n_out, n_in]: it is object"),
        ({"0": [[1, 0], [1]]}, "the mask '0' cannot be read as a matrix"),
        ({"0": far_coo()}, "the mask '0' cannot be read as a matrix [n_out, n_in]: axis 0 index 1000000000 exceeds"),
        ({"0": MASK, "3": torch.ones(3, 3)}, "the mask '3' has shape [3, 3]"),  # the last of several
    ],
    ids=str,
)
def test_masks_that_do_not_fit_change_nothing(masks: Any, message: str) -> None:
    model = stack()
    modules, state = list(model.modules()), copy.deepcopy(model.state_dict())
    with pytest.raises((ConfigError, TopologyError), match=re.escape(message)) as caught:
        ns.from_masks(model, masks)
    assert "\n" not in str(caught.value)
    assert list(model.modules()) == modules
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in state.items())


def test_broken_csr_is_not_followed() -> None:
    with pytest.raises(TopologyError, match=r"the mask '0' cannot be read as a matrix .* indptr that does not rise"):
        ns.from_masks(stack(), {"0": broken_csr()})


def test_models_and_layers_that_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model is a Linear; .*SparseLinear\.from_dense"):
        ns.from_masks(nn.Linear(3, 2), {"": MASK})
    attention = nn.MultiheadAttention(4, 2)
    with pytest.raises(ConfigError, match="'out_proj', a part of attention, which reads its weight past the layer"):
        ns.from_masks(attention, {"out_proj": torch.eye(4)})
    convolution = nn.Sequential(nn.ConvTranspose2d(1, 2, 3), nn.Linear(3, 2))
    prune.random_unstructured(convolution[0], "weight", 0.5)
    prune.random_unstructured(convolution[1], "weight", 0.5)
    with pytest.raises(
        ConfigError, match=r"'0\.weight_mask', a part of a ConvTranspose2d; the linear layers of the model are '1'"
    ):
        ns.from_masks(convolution)
    ns.from_masks(convolution, {"1": convolution[1].weight_mask})  # as the page says
    assert isinstance(convolution[1], SparseLinear)
    tied = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9, bias=False))
    tied[1].weight = tied[0].weight
    with pytest.raises(ConfigError, match="its weight is shared with another module"):
        ns.from_masks(tied, {"1": torch.ones(9, 4)})
    hooked = stack()
    prune.identity(hooked[0], "weight")
    hooked[0].register_forward_hook(lambda module, arguments, output: output + 1)
    with pytest.raises(ConfigError, match="it has hooks, which would be lost"):
        ns.from_masks(hooked)
    assert "weight_orig" in dict(hooked[0].named_parameters())
    masked = stack()
    ns.from_masks(masked, {"0": MASK})
    prune.identity(masked[0], "weight")
    with pytest.raises(ConfigError, match="layer '0' is sparse and has live masks on its edges; end them first"):
        ns.from_masks(masked, {"0": MASK})
    with pytest.raises(ConfigError, match="backend"):
        ns.from_masks(stack(), {"0": MASK}, backend="nothing")


# and back


def test_dense_copies_compute_the_same(backend: str) -> None:
    model = SparseMLP([6, 9, 4], density=0.4, backend=backend, rng=0).eval()
    model.layers[0].active = torch.arange(model.layers[0].n_edges) % 2 == 0
    model.layers[1].weight.requires_grad_(False)
    state = copy.deepcopy(model.state_dict())
    dense, x = ns.to_dense(model), torch.randn(5, 6)
    assert [type(layer) for layer in dense.layers] == [nn.Linear, nn.Linear]
    torch.testing.assert_close(dense(x), model(x))
    assert dense.layers[0].weight.count_nonzero() == model.layers[0].active.count_nonzero()
    assert [layer.weight.requires_grad for layer in dense.layers] == [True, False]
    assert not any(module.training for module in dense.modules())
    assert all(layer.backend == backend for layer in sparse_layers(model))
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in state.items())
    own = {parameter.data_ptr() for parameter in model.parameters()}
    assert not own & {parameter.data_ptr() for parameter in dense.parameters()}


def test_dense_copies_of_single_shared_and_nested_layers() -> None:
    layer = SparseLinear(BipartiteTopology.from_edges(EDGES, 3, 2)).double()
    dense = ns.to_dense(layer)
    assert type(dense) is nn.Linear
    assert dense.weight.dtype == torch.float64
    assert torch.equal(dense.weight != 0, MASK.bool())
    sparse = Twice()
    ns.from_masks(sparse, {"first": torch.eye(3)})
    twice = ns.to_dense(sparse)
    assert type(twice.first) is nn.Linear
    assert twice.first is twice.block[0]
    plain = stack()
    assert ns.to_dense(plain) is not plain
    assert torch.equal(ns.to_dense(plain)(torch.ones(1, 3)), plain(torch.ones(1, 3)))


def test_a_dense_encoder_computes_the_same() -> None:
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True), 2)
    ns.sparsify(encoder, density=0.5, rng=0)
    dense, x = ns.to_dense(encoder), torch.randn(3, 5, 8)
    assert not sparse_layers(dense)
    for module in (encoder, dense):
        module.eval()
    with torch.no_grad():
        torch.testing.assert_close(dense(x), encoder(x))


class Louder(SparseLinear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def test_sparse_layers_that_cannot_become_dense() -> None:
    topology = BipartiteTopology.from_edges(EDGES, 3, 2)
    hooked = nn.Sequential(SparseLinear(topology))
    hooked[0].register_forward_hook(lambda module, arguments, output: output + 1)
    hooked_weight = nn.Sequential(SparseLinear(topology))
    hooked_weight[0].weight.register_hook(lambda gradient: None)
    tied = nn.Sequential(SparseLinear(topology), SparseLinear(topology))
    tied[1].weight = tied[0].weight
    pruned = stack()
    prune.identity(pruned[0], "weight")
    for model, reason in (
        (hooked, "layer '0' cannot become dense: it has hooks, which would be lost"),
        (hooked_weight, "layer '0' cannot become dense: it has hooks, which would be lost"),
        (nn.Sequential(Louder(topology)), "layer '0' cannot become dense: it is a Louder with a forward of its own"),
        (tied, "layer '0' cannot become dense: its weight is shared with another module"),
        (pruned, "model is a Sequential that cannot be copied: Only Tensors created explicitly by the user"),
        ("model", "model is a str; it must be a module"),
    ):
        with pytest.raises(ConfigError, match=re.escape(reason)):
            ns.to_dense(model)  # type: ignore[arg-type]


@given(st.data())
def test_to_dense_and_from_masks_are_inverse(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=4))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    model = nn.Sequential(*(nn.Linear(n_in, n_out, bias=data.draw(st.booleans())) for n_in, n_out in pairwise(sizes)))
    masks = {
        str(i): np.array(
            data.draw(st.lists(st.booleans(), min_size=layer.weight.numel(), max_size=layer.weight.numel()))
        ).reshape(layer.weight.shape)
        for i, layer in enumerate(model)
    }
    ns.from_masks(model, masks)
    back = ns.to_dense(model)
    ns.from_masks(back, {str(i): layer.topology.to_mask() for i, layer in enumerate(model)})
    for layer, again, mask in zip(model, back, masks.values(), strict=True):
        assert layer.topology == again.topology == BipartiteTopology.from_mask(mask)
        assert torch.equal(layer.weight, again.weight)
        assert (layer.bias is None and again.bias is None) or torch.equal(layer.bias, again.bias)


def test_the_summary_says_what_has_no_mask() -> None:
    summary = ns.from_masks(stack(), {"0": MASK})
    assert [(entry.name, entry.n_edges, entry.kind) for entry in summary.sparse] == [("0", 3, "Linear")]
    assert [(entry.name, entry.reason) for entry in summary.dense] == [("2", "it has no mask"), ("3", "it has no mask")]
    assert summary.asked == 0.5


class Conv1D(nn.Module):
    """What transformers has under this name: the weight is `[n_in, n_out]`."""

    __module__ = "transformers.pytorch_utils"

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.empty(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))
        nn.init.normal_(self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


@pytest.mark.parametrize("n_out", [3, 5])
def test_layers_whose_weight_is_sources_first(n_out: int) -> None:
    """Masks are like the weight, and the way back gives the same class in the same orientation, also where it is square."""
    model = nn.Sequential(Conv1D(n_out, 3), nn.Tanh())
    mask, x = torch.rand(3, n_out, generator=torch.Generator().manual_seed(0)) < 0.5, torch.randn(6, 3)
    masked = x @ (model[0].weight * mask) + model[0].bias
    ns.from_masks(model, {"0": mask})
    assert isinstance(model[0], ns.SparseLinear)
    torch.testing.assert_close(model(x), masked.tanh())
    dense = ns.to_dense(model)
    assert type(dense[0]) is Conv1D
    assert dense[0].weight.shape == (3, n_out)
    torch.testing.assert_close(dense(x), masked.tanh())
    again = nn.Sequential(Conv1D(n_out, 3), nn.Tanh())
    ns.from_masks(again, {"0": model[0].topology})
    assert again[0].topology == model[0].topology
    if n_out != 3:
        with pytest.raises(TopologyError, match=r"it must be \[n_in, n_out\] = \[3, 5\], like the weight, and this looks like"):
            ns.from_masks(nn.Sequential(Conv1D(n_out, 3)), {"0": mask.T})


def test_live_masks_of_layers_whose_weight_is_sources_first() -> None:
    model = nn.Sequential(Conv1D(5, 3))
    prune.random_unstructured(model[0], "weight", amount=0.5)
    x = torch.randn(6, 3)
    expected = model(x)
    ns.from_masks(model)
    torch.testing.assert_close(model(x), expected)
