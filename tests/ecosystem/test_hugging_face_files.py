"""Sparse Hugging Face models: built from a config, saved by `save_pretrained`, and loaded again in three lines."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import netsci_nn as ns
from netsci_nn import CheckpointError, ConfigError, SparseLinear
from netsci_nn.intake import take_in
from netsci_nn.models import sparse_layers

pytestmark = [pytest.mark.ecosystem, pytest.mark.filterwarnings("default")]  # warnings of transformers are its own

SIZES = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES_OF_GPT2 = {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}
IDS = torch.arange(12).reshape(2, 6)

# model_type, arguments of the config, name of the auto class, layers that stay dense
MODELS: dict[str, tuple[str, dict[str, Any], str, str | None]] = {
    "bert": ("bert", SIZES, "AutoModelForMaskedLM", "decoder"),
    "bert-classifier": ("bert", SIZES | {"num_labels": 3}, "AutoModelForSequenceClassification", None),
    "llama": ("llama", SIZES | {"num_key_value_heads": 2}, "AutoModelForCausalLM", "lm_head"),
    "llama-sparse-head": ("llama", SIZES, "AutoModelForCausalLM", None),
    "llama-tied": ("llama", SIZES | {"tie_word_embeddings": True}, "AutoModelForCausalLM", "lm_head"),
    "llama-bfloat16": ("llama", SIZES | {"tie_word_embeddings": True, "dtype": "bfloat16"}, "AutoModelForCausalLM", "lm_head"),
    "albert": ("albert", SIZES | {"embedding_size": 16}, "AutoModelForMaskedLM", "decoder"),  # its layers are shared
    "gpt2": ("gpt2", SIZES_OF_GPT2, "AutoModelForCausalLM", "lm_head"),  # its layers are Conv1D, its head is tied
    "gpt2-classifier": ("gpt2", SIZES_OF_GPT2 | {"pad_token_id": 59}, "AutoModelForSequenceClassification", None),
    "mixtral": ("mixtral", SIZES | {"num_key_value_heads": 2, "num_local_experts": 3}, "AutoModelForCausalLM", "lm_head"),
    "t5": (
        "t5",
        {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
        "AutoModelForSeq2SeqLM",
        "lm_head",
    ),
}


def build(name: str) -> tuple[Any, nn.Module]:
    """The auto class and a sparse model with weights drawn anew."""
    import transformers

    kind, arguments, auto, exclude = MODELS[name]
    config = transformers.AutoConfig.for_model(kind, **arguments)
    torch.manual_seed(0)
    model = getattr(transformers, auto).from_config(config)
    ns.sparsify(model, density=0.3, exclude=exclude, rng=0)
    return getattr(transformers, auto), model.eval()


def logits(model: nn.Module) -> torch.Tensor:
    further = {"decoder_input_ids": IDS} if model.config.model_type == "t5" else {}
    with torch.no_grad():
        return model(input_ids=IDS, **further).logits


@pytest.mark.parametrize("shard_size", ["1GB", "20KB"])
@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_in_three_lines(name: str, shard_size: str, tmp_path: Path) -> None:
    from transformers import AutoConfig

    auto, model = build(name)
    model.save_pretrained(tmp_path, max_shard_size=shard_size, save_original_format=False)
    assert (tmp_path / "model.safetensors.index.json").is_file() == (shard_size == "20KB")

    config = AutoConfig.from_pretrained(tmp_path)
    loaded = auto.from_config(config)
    ns.load_pretrained(loaded, tmp_path).eval()

    assert torch.equal(logits(loaded), logits(model))
    assert loaded.dtype == model.dtype
    pairs = zip(sparse_layers(loaded), sparse_layers(model), strict=True)
    assert all(a.topology == b.topology and torch.equal(a.weight, b.weight) for a, b in pairs)
    state, again = model.state_dict(), loaded.state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(tensor, again[key]) for key, tensor in state.items())
    if "tied" in name:
        assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    found = {network.name: network.graph[0] for network in take_in(tmp_path).networks}
    for key, layer in model.named_modules():
        if isinstance(layer, SparseLinear):
            assert len(found[key].src) == layer.n_edges


def test_the_lines_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if "transformers." in block
    )
    _, model = build("gpt2")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"ns": ns, "transformers": transformers, "gpt": model}
    exec(code, names)
    assert names["again"] is not model
    assert torch.equal(logits(names["again"]), logits(model))
    assert torch.equal(logits(names["plain"]), logits(ns.to_dense(model)))


def test_names_that_transformers_changes_are_hinted_at(tmp_path: Path) -> None:
    auto, model = build("mixtral")
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"it lacks .*experts.*; .*save_original_format=False"):
        ns.load_pretrained(auto.from_config(copy.deepcopy(model.config)), tmp_path)


def test_a_loaded_model_trains_and_generates(tmp_path: Path) -> None:
    auto, model = build("llama-tied")
    model.save_pretrained(tmp_path)
    loaded = ns.load_pretrained(auto.from_config(copy.deepcopy(model.config)), tmp_path).eval()
    options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(loaded.generate(IDS, **options), model.generate(IDS, **options))
    optimizer = torch.optim.Adam(loaded.parameters(), lr=0.01)
    losses = []
    for _ in range(15):
        loss = loaded(input_ids=IDS, labels=IDS).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_from_pretrained_itself_refuses_the_files(tmp_path: Path) -> None:
    """As the page says: an error, not a model with weights drawn anew."""
    auto, model = build("bert")
    model.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        auto.from_pretrained(tmp_path)


def test_a_dense_copy_is_loaded_by_from_pretrained(tmp_path: Path) -> None:
    for name in ("bert", "llama-tied", "gpt2", "gpt2-classifier", "mixtral"):
        auto, model = build(name)
        dense = ns.to_dense(model)
        dense.save_pretrained(tmp_path / name)
        again = auto.from_pretrained(tmp_path / name)
        assert torch.equal(logits(again), logits(dense))
        torch.testing.assert_close(logits(again), logits(model), rtol=1e-4, atol=1e-5)
        masks = {key: layer.topology for key, layer in model.named_modules() if isinstance(layer, SparseLinear)}
        ns.from_masks(again, masks)
        assert torch.equal(logits(again), logits(model))
        assert not any(isinstance(module, SparseLinear) for module in dense.modules())


def test_files_of_another_model_and_heads_that_are_tied(tmp_path: Path) -> None:
    auto, model = build("llama")
    model.save_pretrained(tmp_path)
    config = copy.deepcopy(model.config)
    config.hidden_size = 16
    with pytest.raises(CheckpointError, match="joins 48 sources and 32 targets, and in the model 48 and 16"):
        ns.load_pretrained(auto.from_config(config), tmp_path)
    config = copy.deepcopy(model.config)
    config.tie_word_embeddings = True
    with pytest.raises(CheckpointError, match=r"the model ties .*, which differ in the file"):
        ns.load_pretrained(auto.from_config(config), tmp_path)
    with pytest.raises(ConfigError, match="'lm_head' cannot become sparse: its weight is shared"):
        ns.sparsify(auto.from_config(config), density=0.5, rng=0)
