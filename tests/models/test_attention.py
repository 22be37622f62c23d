"""Attention: unpacked it computes what torch's does, sparse it computes what masked dense projections do."""

import copy
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import netsci_nn as ns
from netsci_nn.layers import SparseLayer
from netsci_nn.models import UnpackedAttention, sparse_layers

PROJECTIONS = "q_proj", "k_proj", "v_proj", "out_proj"
LENGTH, KEYS, BATCH = 3, 5, 4


def inputs(attention: nn.MultiheadAttention, is_batched: bool, mask: str, padding: str) -> dict[str, Any]:
    q, k, v = (torch.randn(BATCH, n, size) for n, size in ((LENGTH, 8), (KEYS, attention.kdim), (KEYS, attention.vdim)))
    masks = {
        "none": None,
        "bool": (torch.rand(LENGTH, KEYS) > 0.6).index_fill(1, torch.tensor([0]), False),
        "float": torch.randn(LENGTH, KEYS),
        "per head": torch.randn((BATCH if is_batched else 1) * 2, LENGTH, KEYS),
    }
    hidden = torch.zeros(BATCH, KEYS, dtype=torch.bool)
    hidden[1:, 3:] = True
    if not is_batched:
        q, k, v, hidden = q[0], k[0], v[0], hidden[1]
    elif not attention.batch_first:
        q, k, v = (x.transpose(0, 1) for x in (q, k, v))
    paddings = {"none": None, "bool": hidden, "float": -3.0 * hidden}
    return {"query": q, "key": k, "value": v, "attn_mask": masks[mask], "key_padding_mask": paddings[padding]}


@pytest.mark.filterwarnings("ignore:Support for mismatched")
@pytest.mark.parametrize("mask", ["none", "bool", "float", "per head"])
@pytest.mark.parametrize(
    ("bias", "add_bias_kv", "add_zero_attn"), [(True, True, False), (False, False, True), (True, True, True)]
)
def test_it_is_that_of_torch(bias: bool, add_bias_kv: bool, add_zero_attn: bool, mask: str) -> None:
    """Over other sizes of keys, orders, batches, masks of padding, and with or without the weights as a result."""
    torch.manual_seed(0)
    flags = (False, True)
    for sizes, first, is_batched, needs, averages, padding in product(
        ({}, {"kdim": 6, "vdim": 10}), flags, flags, flags, flags, ("none", "bool", "float")
    ):
        dense = nn.MultiheadAttention(8, 2, 0, bias, add_bias_kv, add_zero_attn, batch_first=first, **sizes)
        for parameter in dense.parameters():
            nn.init.normal_(parameter)
        arguments = inputs(dense, is_batched, mask, padding)
        expected, expected_weights = dense(**arguments, need_weights=needs, average_attn_weights=averages)
        output, weights = UnpackedAttention(dense)(**arguments, need_weights=needs, average_attn_weights=averages)
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-4)
        assert (weights is None) == (expected_weights is None)
        if needs:
            torch.testing.assert_close(weights, expected_weights, atol=1e-5, rtol=1e-4)


def test_dropout_and_causality_are_those_of_torch() -> None:
    dense = nn.MultiheadAttention(8, 2, dropout=0.5)
    attention, x = UnpackedAttention(dense), torch.randn(6, 3, 8)
    causal = nn.Transformer.generate_square_subsequent_mask(6)
    results = []
    for each in (dense, attention):
        torch.manual_seed(0)
        results += [each(x, x, x, attn_mask=causal)]
    torch.testing.assert_close(results[0], results[1])
    assert (results[1][1] == 0).float().mean() > 0.5
    dense.eval(), attention.eval()
    alone = attention(x, x, x, is_causal=True)[0]
    torch.testing.assert_close(alone, dense(x, x, x, attn_mask=causal, is_causal=True, need_weights=False)[0])


@pytest.mark.parametrize("sizes", [{}, {"kdim": 6, "vdim": 10}])
def test_packed_it_is_what_it_was(sizes: dict[str, int]) -> None:
    dense = nn.MultiheadAttention(8, 2, 0.1, add_bias_kv=True, batch_first=True, dtype=torch.float64, **sizes).eval()
    dense.out_proj.weight.requires_grad_(False)
    packed = UnpackedAttention(dense).packed()
    assert type(packed) is nn.MultiheadAttention
    assert packed.state_dict().keys() == dense.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(packed.state_dict().values(), dense.state_dict().values(), strict=True))
    assert [p.requires_grad for p in packed.parameters()] == [p.requires_grad for p in dense.parameters()]
    assert (packed.training, packed.dropout, packed.batch_first) == (False, 0.1, True)


def encoder(norm_first: bool = False) -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 24, dropout=0, batch_first=True, norm_first=norm_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first)


def masked(dense: nn.Module, sparse: nn.Module) -> nn.Module:
    """The dense encoder with zeros where the sparse one has no edge: an independent way to the packed weights."""
    result = copy.deepcopy(dense)
    edges = {name: layer for name, layer in sparse.named_modules() if isinstance(layer, SparseLayer)}
    with torch.no_grad():
        for name, module in result.named_modules():
            if isinstance(module, nn.MultiheadAttention):
                for part, weight in zip(PROJECTIONS[:3], module.in_proj_weight.chunk(3), strict=True):
                    layer = edges[f"{name}.{part}"]
                    weight.mul_(torch.from_numpy(layer.topology.to_mask()))
            elif name in edges:
                module.weight.mul_(torch.from_numpy(edges[name].topology.to_mask()))
    return result


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_sparse_encoder_is_the_masked_dense_one(norm_first: bool) -> None:
    """In training, in evaluation, and without gradients, where torch's encoders would take their fused path."""
    dense = encoder(norm_first)
    sparse = copy.deepcopy(dense)
    summary = ns.sparsify(sparse, density=0.3, init="keep", rng=0)
    assert [entry.name for entry in summary.sparse[:6]] == [
        *(f"layers.0.self_attn.{part}" for part in PROJECTIONS),
        *("layers.0.linear1", "layers.0.linear2"),
    ]
    assert all(reason == "a normalisation" for reason in (entry.reason for entry in summary.dense))
    x, padding = torch.randn(3, 5, 16), torch.tensor([[False] * (5 - n) + [True] * n for n in range(3)])
    expected = masked(dense, sparse)
    for module in (sparse, sparse.eval()):
        torch.testing.assert_close(module(x, src_key_padding_mask=padding)[~padding], expected(x, None, padding)[~padding])
        with torch.no_grad():
            torch.testing.assert_close(module(x), expected(x))
    gradients = []
    for module in (sparse, expected):
        inputs = x.clone().requires_grad_()
        module(inputs).square().sum().backward()
        gradients.append(inputs.grad)
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)
    back = ns.to_dense(sparse)
    assert back.state_dict().keys() == dense.state_dict().keys()
    torch.testing.assert_close(back.state_dict(), expected.state_dict())


def test_names_choose_projections() -> None:
    """The rest shares 160 edges in proportion to n_in + n_out, which are 32 and 20."""
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(16, 4), "head": nn.Linear(16, 4)})
    summary = ns.sparsify(model, density=0.5, layers={"[qk]_proj": {"density": 0.25}}, exclude="out_proj", rng=0)
    assert [(entry.name, entry.n_edges) for entry in summary.sparse] == [
        *((f"attention.{part}", 64) for part in ("q_proj", "k_proj")),
        *(("attention.v_proj", 98), ("head", 62)),
    ]
    assert [(entry.name, entry.reason) for entry in summary.dense] == [("attention.out_proj", "excluded")]


@pytest.mark.filterwarnings("ignore:the whole model has a density")
def test_attention_that_is_excluded_or_small_stays_packed() -> None:
    model = nn.ModuleDict(
        {"first": nn.MultiheadAttention(16, 4), "small": nn.MultiheadAttention(4, 2), "head": nn.Linear(16, 4)}
    )
    summary = ns.sparsify(model, density=0.5, exclude="^first", rng=0)
    assert type(model["first"]) is type(model["small"]) is nn.MultiheadAttention
    reasons = {entry.name: entry.reason for entry in summary.dense}
    assert reasons["first"] == "excluded"
    assert reasons["small"] == "it has fewer than 8 sources"
    named = nn.ModuleDict({"small": nn.MultiheadAttention(4, 2)})
    assert len(ns.sparsify(named, density=0.5, layers={"small": {}}, rng=0).sparse) == 4


def hooked() -> nn.MultiheadAttention:
    attention = nn.MultiheadAttention(8, 2)
    attention.register_forward_hook(lambda module, arguments, output: output)
    return attention


def shared() -> nn.Module:
    model = nn.ModuleList([nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 2)])
    model[1].in_proj_weight = model[0].in_proj_weight
    return model


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (hooked(), "'0' cannot become sparse: it has hooks, which would be lost; exclude="),
        (shared(), "in_proj_weight is shared with another module, and they would train apart"),
        (nn.MultiheadAttention(8, 2, dtype=torch.complex64), r"its weights are torch\.complex64; they must be float32"),
    ],
)
def test_what_would_be_lost_is_refused_and_the_model_stays_as_it_was(part: nn.Module, message: str) -> None:
    model = nn.ModuleList([part, nn.MultiheadAttention(8, 2), nn.Linear(8, 8)])
    before = list(model.modules())
    with pytest.raises(ns.ConfigError, match=message):
        ns.sparsify(model, density=0.5, rng=0)
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))


@pytest.mark.parametrize("arguments", [{"density": 2.0}, {"density": 0.5, "generator": "nope"}, {"density": 0.5, "rng": None}])
def test_a_failure_puts_the_packed_attention_back(arguments: dict[str, Any]) -> None:
    model = encoder()
    before = list(model.modules())
    with pytest.raises(ValueError, match=r"it must be|allowed are"):
        ns.sparsify(model, **{"rng": 0, **arguments})
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))


def test_a_sparse_encoder_is_trained_rewired_and_resumed() -> None:
    model = encoder()
    ns.sparsify(model, density=0.3, rng=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rewiring = ns.Rewiring(model, optimizer, "rigl", every=5, until=20, fraction=0.3, rng=0)
    x, losses = torch.randn(16, 5, 16), []
    for _ in range(30):
        loss = (model(x)[:, 0] - x[:, 1]).square().mean()
        loss.backward()
        rewiring.step()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert rewiring.rewired > 0
    other = encoder()
    ns.sparsify(other, density=0.3, rng=1)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))
    assert all(a.topology == b.topology for a, b in zip(sparse_layers(model), sparse_layers(other), strict=True))


def test_bad_input() -> None:
    attention = UnpackedAttention(nn.MultiheadAttention(8, 2))
    with pytest.raises(ns.DataError, match=r"have the shapes \(8,\), \(8,\), \(8,\); all must be 2-D, or all 3-D"):
        attention(torch.zeros(8), torch.zeros(8), torch.zeros(8))
    with pytest.raises(ns.ConfigError, match=r"attention is a Linear; it must be an nn\.MultiheadAttention"):
        UnpackedAttention(nn.Linear(2, 2))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:the whole model has a density")
def test_a_saved_sparse_encoder_is_loaded_into_a_dense_one(tmp_path: Path) -> None:
    saved, x = encoder(), torch.randn(2, 5, 16)
    ns.sparsify(saved, density=0.3, exclude="layers.1", rng=0)
    torch.save(saved.state_dict(), tmp_path / "m.pt")
    fresh = encoder()
    for parameter in fresh.parameters():
        nn.init.normal_(parameter)
    assert torch.equal(ns.load_pretrained(fresh, tmp_path / "m.pt")(x), saved(x))
    assert isinstance(fresh.layers[0].self_attn, UnpackedAttention)
    assert type(fresh.layers[1].self_attn) is nn.MultiheadAttention
    other = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 20, batch_first=True), 2)
    before = list(other.modules())
    with pytest.raises(ns.CheckpointError, match=r"'layers\.0\.linear1' joins 16 sources and 24 targets, and in the model"):
        ns.load_pretrained(other, tmp_path / "m.pt")
    assert all(a is b for a, b in zip(other.modules(), before, strict=True))
