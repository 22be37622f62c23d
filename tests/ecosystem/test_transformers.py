"""A real GPT-2 of Hugging Face, tiny and with random weights: sparse, it computes as the masked dense one does."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

import netsci_nn as ns

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

pytestmark = pytest.mark.ecosystem

TOKENS = torch.arange(20).reshape(2, 10) % 100


def gpt2() -> GPT2LMHeadModel:
    from transformers import GPT2Config, GPT2LMHeadModel  # here, so that the tests are found where it is not installed

    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2,
        n_head=2,
        n_embd=32,
        vocab_size=100,
        n_positions=16,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="eager",
    )
    return GPT2LMHeadModel(config).eval()


def sparse_gpt2(density: float, init: str) -> tuple[GPT2LMHeadModel, ns.SparsifySummary]:
    model = gpt2()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the whole model has a density of", UserWarning)
        return model, ns.sparsify(model, density=density, exclude="lm_head", init=init, rng=0)


def test_the_tied_head_is_refused_with_the_way() -> None:
    model = gpt2()
    with pytest.raises(ns.ConfigError, match=r"layer 'lm_head' cannot become sparse: its weight is shared .*; exclude="):
        ns.sparsify(model, density=0.1, rng=0)
    assert sum(type(module).__name__ == "Conv1D" for module in model.modules()) == 8


@pytest.mark.parametrize("init", ["keep", "fan_in"])
def test_the_same_logits_at_density_1(init: str) -> None:
    model, summary = sparse_gpt2(1.0, init)
    assert len(summary.sparse) == 8
    assert {entry.kind for entry in summary.sparse} == {"Conv1D"}
    torch.testing.assert_close(model(TOKENS).logits, gpt2()(TOKENS).logits, rtol=1e-5, atol=1e-5)


def test_the_masked_dense_model_is_the_oracle() -> None:
    model, _ = sparse_gpt2(0.1, "keep")
    oracle = gpt2()
    for name, layer in model.named_modules():
        if isinstance(layer, ns.SparseLinear):
            with torch.no_grad():
                oracle.get_submodule(name).weight.mul_(torch.from_numpy(layer.topology.to_mask()).t())
    torch.testing.assert_close(model(TOKENS).logits, oracle(TOKENS).logits, rtol=1e-5, atol=1e-5)
    dense, sparse = oracle.transformer.h[0].mlp.c_fc, model.transformer.h[0].mlp.c_fc
    x = torch.randn(2, 3, 32)
    torch.testing.assert_close(sparse(x), dense(x))


def test_it_trains_and_generates() -> None:
    model, _ = sparse_gpt2(0.2, "fan_in")
    optimizer = torch.optim.AdamW(ns.parameter_groups(model.train(), weight_decay=0.01), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = model(TOKENS, labels=TOKENS).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    out = model.eval().generate(TOKENS[:, :4], max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=None)
    assert out.shape == (2, 7)


def test_its_graph() -> None:
    """Weight [i, j] of a Conv1D leads from source i to target j."""
    mlp = gpt2().transformer.h[0].mlp
    graph = ns.network_graph(nn.Sequential(mlp.c_fc, nn.GELU(), mlp.c_proj))
    assert [graph.vs["layer"].count(group) for group in range(3)] == [32, 128, 32]
    weights = {edge.tuple: edge["weight"] for edge in graph.es}
    assert weights[3, 32 + 77] == mlp.c_fc.weight[3, 77].item()
    assert weights[32 + 77, 160 + 5] == mlp.c_proj.weight[77, 5].item()
