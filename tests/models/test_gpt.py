"""The small GPT: sizes and counts by hand, causality, initial weights, learning, and bad input."""

from typing import Any

import pytest
import torch
from torch import nn

import netsci_nn as ns
from netsci_nn.models import GPT

SIZES: dict[str, Any] = {"vocabulary_size": 11, "context": 12, "width": 16, "n_layers": 2, "n_heads": 4, "rng": 0}


def test_parameters_by_hand() -> None:
    """Per block: four matrices with biases, two norms; the embeddings; a last norm and the head."""
    w = 16
    block = w * 3 * w + 3 * w + w * w + w + w * 4 * w + 4 * w + 4 * w * w + w + 2 * 2 * w
    expected = 11 * w + 12 * w + 2 * block + 2 * w + w * 11 + 11
    assert sum(parameter.numel() for parameter in GPT(**SIZES).parameters()) == expected
    paper = GPT(65, 128, rng=0)
    assert sum(parameter.numel() for parameter in paper.parameters()) == 3_225_665


def test_a_block_is_the_formula() -> None:
    """x + W_o softmax(q k / sqrt(d) before its time) v, then + the perceptron, written out for one head at a time."""
    block, x, n = GPT(**SIZES).blocks[0].double(), torch.randn(2, 7, 16, dtype=torch.float64), 7
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    attention, mlp = block.attention, block.mlp
    h = nn.functional.layer_norm(x, (16,), block.attention_norm.weight, block.attention_norm.bias)
    q, k, v = (h @ attention.query_key_value.weight.T + attention.query_key_value.bias).split(16, dim=-1)
    seen = []
    for head in range(4):
        part = slice(4 * head, 4 * head + 4)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / 2
        scores[:, torch.ones(n, n).triu(1).bool()] = -torch.inf
        seen.append(scores.softmax(-1) @ v[..., part])
    middle = x + torch.cat(seen, -1) @ attention.projection.weight.T + attention.projection.bias
    h = nn.functional.layer_norm(middle, (16,), block.mlp_norm.weight, block.mlp_norm.bias)
    expected = middle + nn.functional.gelu(h @ mlp[0].weight.T + mlp[0].bias) @ mlp[2].weight.T + mlp[2].bias
    torch.testing.assert_close(block(x), expected)


def test_the_loss_at_the_start_is_that_of_chance_and_falls() -> None:
    """A text that repeats a cycle of 11 tokens is learned: ln 11 = 2.40 at the start."""
    model = GPT(**SIZES)
    ns.sparsify(model, density=0.5, rng=0)
    optimizer = torch.optim.AdamW(ns.parameter_groups(model, weight_decay=0.1), lr=1e-2)
    rewiring = ns.Rewiring(model, optimizer, "rigl", every=10, until=60, fraction=0.3, rng=0)
    text, losses = torch.arange(200) % 11, []
    for _ in range(80):
        starts = torch.randint(180, (16, 1))
        tokens = text[starts + torch.arange(13)]
        loss = nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rewiring.step()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert 2.3 < losses[0] < 2.6
    assert losses[-1] < 0.5
    assert rewiring.rewired > 0


def test_initial_weights() -> None:
    model = GPT(65, 32, width=128, n_layers=8, rng=0)
    before = torch.get_rng_state()
    again = GPT(65, 32, width=128, n_layers=8, rng=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    deviations = {name: parameter.std().item() for name, parameter in model.named_parameters() if parameter.dim() > 1}
    for name, deviation in deviations.items():
        is_added = name.endswith(("projection.weight", "mlp.2.weight"))
        assert deviation == pytest.approx(0.005 if is_added else 0.02, rel=0.05), name
    assert not any(parameter.any() for name, parameter in model.named_parameters() if name.endswith("bias"))


def test_dropout_acts_in_training_only() -> None:
    model, tokens = GPT(**SIZES, dropout=0.5), torch.randint(11, (2, 12))
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 15}, "width is 15 and n_heads is 4; the width must be a multiple of the heads"),
        ({"n_layers": 0}, "n_layers is 0; it must be"),
        ({"vocabulary_size": 2**30}, f"vocabulary_size is {2**30}; it must be"),
        ({"dropout": 1.0}, r"dropout is 1\.0; it must be a number in \[0, 1\)"),
        ({"rng": None}, "rng is None"),
    ],
)
def test_sizes_that_are_not_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ns.ConfigError, match=message):
        GPT(**SIZES | changes)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.full((1, 3), 11), r"tokens has the value 11; values must be in \[0, 11\)"),
        (torch.full((1, 3), -1), r"tokens has the value -1; values must be in \[0, 11\)"),
        (torch.zeros(1, 13, dtype=torch.long), "tokens has length 13; it must be at most the context, 12"),
        (torch.zeros(1, 3), r"tokens is torch\.float32 of shape \(1, 3\); it must be int64 or int32"),
        (torch.zeros(3, dtype=torch.long), r"tokens is torch\.int64 of shape \(3,\); it must be int64 or int32 of shape"),
        ([[1, 2]], r"tokens is list; it must be int64"),
    ],
)
def test_bad_tokens(tokens: Any, message: str) -> None:
    with pytest.raises(ns.DataError, match=message):
        GPT(**SIZES)(tokens)
