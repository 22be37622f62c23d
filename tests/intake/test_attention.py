"""Files of models whose attention `sparsify` has unpacked are loaded into models whose attention is packed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import netsci_nn as ns
from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.intake import load_pretrained
from netsci_nn.models import UnpackedAttention

Build = Callable[[], nn.Module]


class OtherSizes(nn.Module):
    """Keys and values of other widths, one more key and value, and the same attention under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, kdim=12, vdim=10, batch_first=True, add_bias_kv=True)
        self.again = self.attention

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first: torch.Tensor = self.attention(x, x[..., :12], x[..., :10])[0]
        second: torch.Tensor = self.again(first, x[..., :12], x[..., :10])[0]
        return second


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2, enable_nested_tensor=False)


@pytest.mark.filterwarnings("ignore:the whole model has a density:UserWarning")  # if projections are excluded
@pytest.mark.parametrize("build", [encoder, OtherSizes])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
@pytest.mark.parametrize("exclude", [None, "q_proj|k_proj|v_proj"])
def test_packed_attention_takes_what_a_file_holds_one_by_one(
    build: Build, ending: str, exclude: str | None, tmp_path: Path
) -> None:
    model, path = build().eval(), tmp_path / f"model.{ending}"
    ns.sparsify(model, density=0.3, exclude=exclude, rng=0)
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(tensors, path) if ending == "safetensors" else torch.save(tensors, path)
    loaded = load_pretrained(build().eval(), path)
    x = torch.rand(2, 3, 16)
    assert torch.equal(loaded(x), model(x))
    assert [type(module) for module in loaded.modules()] == [type(module) for module in model.modules()]
    assert torch.equal(load_pretrained(loaded, path)(x), model(x))


def test_what_does_not_fit_leaves_attention_packed(tmp_path: Path) -> None:
    model = encoder()
    ns.sparsify(model, density=0.3, rng=0)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    narrow = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 24, batch_first=True), 2, enable_nested_tensor=False)
    hooked = encoder()
    next(module for module in hooked.modules() if isinstance(module, nn.MultiheadAttention)).register_forward_hook(print)
    cases = [
        (narrow, CheckpointError, "'layers.0.linear1' joins 16"),
        (hooked, ConfigError, "'layers.0.self_attn' .* has hooks"),
    ]
    for target, kind, message in cases:
        before = [*target.modules()], [*target.parameters()]
        with pytest.raises(kind, match=message):
            load_pretrained(target, tmp_path / "model.pt")
        assert all(a is b for a, b in zip(before[0], target.modules(), strict=True))
        assert all(a is b for a, b in zip(before[1], target.parameters(), strict=True))
        assert not any(isinstance(module, UnpackedAttention) for module in target.modules())
