"""Masks of convolutions, and live ones of torch.nn.utils.prune, become graphs of channels or of the positions of a patch."""

import copy
import re
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
from netsci_nn import SparseConv1d, SparseConv2d
from netsci_nn.errors import ConfigError, TopologyError


def network(groups: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=groups), nn.ReLU(), nn.Conv2d(6, 2, (1, 2), stride=2))


def images() -> torch.Tensor:
    return torch.randn(3, 4, 6, 7, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("groups", [1, 2])
def test_live_masks_compute_what_the_pruned_model_does(groups: int) -> None:
    model = network(groups)
    prune.l1_unstructured(model[0], "weight", amount=0.7)
    prune.ln_structured(model[2], "weight", amount=2, n=2, dim=1)  # two of the six input channels go
    expected, weight = model(images()), model[0].weight.detach().clone()
    summary = ns.from_masks(model)
    assert [type(module) for module in (model[0], model[2])] == [SparseConv2d, SparseConv2d]
    assert [model[0].graph, model[2].graph] == ["patch", "channel"]
    assert (model[0].n_edges, model[2].n_edges) == (216 // groups - round(0.7 * 216 / groups), 8)
    torch.testing.assert_close(model(images()), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(model[0].weight.detach().sort().values, weight[weight != 0].sort().values)
    assert not model[0]._forward_pre_hooks
    assert summary.n_parameters_before == 216 // groups + 6 + 24 + 2
    assert summary.n_parameters == model[0].n_edges + 6 + 16 + 2
    assert summary.n_weights == model[0].n_edges + 16
    assert summary.density == summary.asked == summary.n_weights / (216 + 24)
    assert [(entry.kind, entry.n_in, entry.n_out) for entry in summary.sparse] == [("Conv2d", 36, 6), ("Conv2d", 6, 2)]


@given(data=st.data())
def test_any_mask_is_the_pattern_of_the_layer(data: st.DataObject) -> None:
    draw = data.draw
    groups, area, n_dims = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    kind = nn.Conv2d if n_dims == 2 else nn.Conv1d
    conv = kind(4, 4, area, groups=groups)
    shape, generator = tuple(conv.weight.shape), np.random.default_rng(draw(st.integers(0, 1000)))
    by_kernels = draw(st.booleans())
    mask: Any = generator.random(shape[:2] if by_kernels else shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    mask = np.broadcast_to(mask.reshape(*mask.shape, *[1] * (len(shape) - mask.ndim)), shape)
    are_whole = (mask.reshape(16 // groups, -1).all(1) == mask.reshape(16 // groups, -1).any(1)).all()
    tensor = torch.tensor(mask)
    forms = {"numpy": mask, "tensor": tensor, "ints": mask.astype(int), "list": mask.tolist(), "half": tensor.half()}
    model = nn.Sequential(copy.deepcopy(conv))
    ns.from_masks(model, {"0.weight": forms[draw(st.sampled_from(sorted(forms)))]})
    layer = model[0]
    assert isinstance(layer, SparseConv2d if n_dims == 2 else SparseConv1d)
    assert layer.graph == ("channel" if are_whole else "patch")
    assert layer.weight.numel() == mask.sum()
    x = torch.randn(2, 4, *[5] * n_dims)
    with torch.no_grad():
        conv.weight.mul_(tensor)
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-4, atol=1e-5)


def test_matrices_and_topologies_say_of_what_by_their_size() -> None:
    topologies = [ns.generators.erdos_renyi(n_in, 6, density=0.4, rng=0) for n_in in (4, 36)]
    for topology, graph in zip(topologies, ("channel", "patch"), strict=True):
        for mask in (topology, topology.to_mask(), torch.from_numpy(topology.to_mask()).to_sparse(), topology.to_scipy()):
            model = network()
            weight = model[0].weight.detach()
            ns.from_masks(model, {"0": mask})
            assert (model[0].graph, model[0].topology) == (graph, topology)
            flat = weight if graph == "channel" else weight.flatten(1)
            assert torch.equal(model[0].weight, flat[model[0].dst, model[0].src])


def test_a_further_mask_takes_edges_away() -> None:
    first = torch.rand(6, 4, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    second = first.clone()
    second[:, :, 1] = False
    model = network()
    ns.from_masks(model, {"0": first})
    weight = model[0].to_dense().weight.detach()
    ns.from_masks(model, {"0": second})
    assert torch.equal(model[0].to_dense().weight, weight * second)
    with pytest.raises(TopologyError, match="a mask can only take edges away"):
        ns.from_masks(model, {"0": first})
    whole = network()
    ns.from_masks(whole, {"0": torch.ones(6, 4, 3, 3)})
    with pytest.raises(TopologyError, match="the mask '0' has parts of kernels, and the edges of the layer carry whole ones"):
        ns.from_masks(whole, {"0": first})
    kernels = torch.zeros(6, 4, 3, 3)
    kernels[::2] = 1
    ns.from_masks(whole, {"0": kernels})
    assert whole[0].n_edges == 12
    live = network()
    prune.random_unstructured(live[0], "weight", 0.3)
    pattern = live[0].weight_mask.bool()
    with pytest.raises(TopologyError, match=r"the mask of layer '0' has the edge \(\d+, \d+\), which the layer does not have"):
        ns.from_masks(live, {"0": torch.ones(6, 4, 3, 3)})  # of channels, over one of the positions of a patch
    ns.from_masks(live, {"0": pattern & first})
    assert torch.equal(live[0].to_dense().weight != 0, pattern & first)


def test_masked_biases_and_what_has_no_mask() -> None:
    model = network()
    nn.init.ones_(model[0].bias)
    mask = {"0": torch.ones(6, 4, 3, 3), "0.bias": torch.tensor([1, 0, 1, 1, 0, 1])}
    summary = ns.from_masks(model, mask)
    assert model[0].bias.tolist() == [1, 0, 1, 1, 0, 1]
    assert [(entry.name, entry.reason) for entry in summary.dense] == [("2", "it has no mask")]


def test_pruned_topologies_are_masks_as_well() -> None:
    for part in ("weight", "kernel"):
        model = network()
        topologies = ns.pruning.prune(model, density=0.3, convolutions=part)
        restricted = ns.pruning.restrict(model, topologies)
        ns.from_masks(model, dict(zip(("0", "2"), topologies, strict=True)))
        assert torch.equal(model(images()), restricted(images()))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"0": torch.ones(6, 4, 3, 2)}, "the mask '0' has shape [6, 4, 3, 2]; it must be [n_out, n_in / groups, *kernel] ="),
        ({"0": torch.ones(6, 4, 3)}, "the mask '0' has shape [6, 4, 3]; it must be"),
        ({"0": torch.full((6, 4, 3, 3), 0.5)}, "the mask '0' holds 0.5 at [0, 0, 0, 0]; it must hold 0 and 1 only"),
        ({"0": torch.ones(6, 5)}, "it must be [n_out, n_in] = [6, 4], like the weight, or of a patch [6, 36]"),
        ({"0": scipy.sparse.eye_array(6, 5)}, "the mask '0' has shape [6, 5]"),
        ({"0": torch.ones(6, 4, 3, 3, device="meta")}, "the mask '0' is on the meta device; one of kernels must be a dense"),
        ({"0": torch.ones(6, 4, 3, 3).to_sparse()}, "the mask '0' is of layout torch.sparse_coo; one of kernels must be"),
        ({"0": torch.ones(6, 4, 3, 3, dtype=torch.complex64)}, "the mask '0' has dtype complex64"),
        ({"1": torch.ones(2)}, "masks names '1', a part of a ReLU; the linear layers and convolutions of the model are '0',"),
        ({"0": torch.ones(6, 4, 3, 3), "2": [[[[0]], [[1, 2]]]]}, "the mask '2' cannot be read"),
    ],
    ids=str,
)  # fmt: skip
def test_masks_that_do_not_fit_change_nothing(masks: Any, message: str) -> None:
    model = network()
    modules = list(model.modules())
    with pytest.raises((ConfigError, TopologyError), match=re.escape(message)):
        ns.from_masks(model, masks)
    assert list(model.modules()) == modules


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="model is a Conv2d; it must be a module that contains linear layers or convolutions"):
        ns.from_masks(nn.Conv2d(4, 4, 3), {"": torch.ones(4, 4, 3, 3)})
    hooked = network()
    hooked[0].register_forward_hook(lambda module, arguments, output: output)
    with pytest.raises(ConfigError, match="it has hooks, which would be lost"):
        ns.from_masks(hooked, {"0": torch.ones(6, 4, 3, 3)})
    with pytest.raises(TopologyError, match="joins channels of different groups"):
        ns.from_masks(network(2), {"0": torch.ones(6, 4)})
