"""What `export_onnx` and `netsci-nn export` refuse, with or without the packages that they need."""

import importlib.util
from pathlib import Path

import pytest
import torch

from netsci_nn import SparseMLP
from netsci_nn.errors import ConfigError
from netsci_nn.export import export_onnx


@pytest.fixture
def model() -> SparseMLP:
    return SparseMLP([20, 10, 3], density=0.2, rng=0)


def test_an_unknown_form(model: SparseMLP, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="form is 'sparse'; it must be 'dense' or 'gather'"):
        export_onnx(model, tmp_path / "m.onnx", torch.rand(2, 20), form="sparse")


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model is a str; it must be a module"):
        export_onnx("model", tmp_path / "m.onnx", torch.rand(2, 20))  # type: ignore[arg-type]


def test_missing_packages_are_named_with_their_install_line(
    model: SparseMLP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"onnx and onnxscript not installed \(pip install 'netsci-nn\[export\]'\)"):
        export_onnx(model, tmp_path / "m.onnx", torch.rand(2, 20))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "example", [torch.rand(1, 20), torch.tensor(1.0), [], [torch.rand(2, 20), None], None, {"x": torch.rand(2, 20)}]
)
def test_an_example_without_a_batch(model: SparseMLP, example: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(ConfigError, match="of at least two rows, so that the batch may have any size"):
        export_onnx(model, tmp_path / "m.onnx", example)  # type: ignore[arg-type]
