"""ONNX files by torch's exporter, computed with by onnxruntime."""

import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from toy_experiments import DATA
from toy_experiments import run as train_toy

from netsci_nn import SparseLinear, SparseMLP, generators, sparsify
from netsci_nn.errors import ConfigError
from netsci_nn.experiment.trained import trained_model
from netsci_nn.export import FORMS, export_onnx

pytestmark = [
    pytest.mark.ecosystem,
    # In torch's exporter.
    pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated:FutureWarning"),
]


def outputs_of(path: Path, *inputs: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(path)
    named = {place.name: one.numpy() for place, one in zip(session.get_inputs(), inputs, strict=True)}
    return torch.from_numpy(session.run(None, named)[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_every_batch_has_the_models_outputs(form: str, density: float, tmp_path: Path) -> None:
    model = SparseMLP([40, 30, 10], density=density, rng=0).train()
    written = export_onnx(model, tmp_path / "model.onnx", torch.rand(2, 40), form=form)
    assert model.training
    for size in (1, 2, 33):
        x = torch.randn(size, 40)
        torch.testing.assert_close(outputs_of(written.path, x), model(x).detach(), rtol=1e-4, atol=1e-5)
    assert written.difference is not None
    assert written.difference < 1e-4
    assert written.n_bytes == written.path.stat().st_size


def test_the_sizes_of_both_forms_are_said_and_true(tmp_path: Path) -> None:
    model = SparseMLP([400, 300, 10], density=0.05, rng=0)
    dense, gather = (export_onnx(model, tmp_path / f"{form}.onnx", torch.rand(2, 400), form=form) for form in FORMS)
    assert (dense.dense_weights, dense.edges) == (123_000, 6_150)
    assert (dense.dense_bytes, dense.gather_bytes) == (492_000, 6_150 * 20)
    assert "123,000 dense weights (492,000 bytes), not as 6,150 edges with their indices (123,000 bytes)" in str(dense)
    assert "6,150 edges with their indices (123,000 bytes), not as 123,000 dense weights (492,000 bytes)" in str(gather)
    assert dense.n_bytes == pytest.approx(492_000, rel=0.1)
    assert gather.n_bytes == pytest.approx(123_000, rel=0.3)
    matrices = [one for one in onnx.load(dense.path).graph.initializer if len(one.dims) == 2]
    assert sorted(max(one.dims) * min(one.dims) for one in matrices) == [3_000, 120_000]


@pytest.mark.parametrize("form", FORMS)
def test_masks_empty_layers_and_missing_biases(form: str, tmp_path: Path) -> None:
    masked = SparseLinear(generators.erdos_renyi(8, 6, density=0.5, rng=0), bias=False)
    masked.active = torch.arange(masked.n_edges) % 2 == 0
    empty = SparseLinear(generators.erdos_renyi(6, 4, n_edges=0, rng=0))
    model = nn.Sequential(masked, nn.Tanh(), empty)
    with torch.no_grad():
        empty.bias.normal_()
    export_onnx(model, tmp_path / "model.onnx", torch.rand(2, 8), form=form)
    x = torch.randn(5, 8)
    torch.testing.assert_close(outputs_of(tmp_path / "model.onnx", x), model(x).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_model_of_other_modules_and_two_inputs(form: str, tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 16))
            self.both = nn.Linear(20, 3)

        def forward(self, image: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
            return self.both(torch.cat([self.image(image), extra], 1))

    model = Two()
    sparsify(model, density=0.2, rng=0)
    export_onnx(model, tmp_path / "model.onnx", [torch.rand(2, 1, 8, 8), torch.rand(2, 4)], form=form)
    inputs = torch.rand(7, 1, 8, 8), torch.rand(7, 4)
    torch.testing.assert_close(outputs_of(tmp_path / "model.onnx", *inputs), model(*inputs).detach(), rtol=1e-4, atol=1e-5)


def test_torchs_own_exporter_takes_a_sparse_model(tmp_path: Path) -> None:
    model = SparseMLP([40, 30, 10], density=0.1, rng=0).eval()
    torch.onnx.export(model, (torch.rand(2, 40),), tmp_path / "model.onnx", dynamo=True, verbose=False)
    x = torch.rand(2, 40)
    torch.testing.assert_close(outputs_of(tmp_path / "model.onnx", x), model(x).detach(), rtol=1e-4, atol=1e-5)


def test_a_file_that_is_there_stays_if_the_export_fails(tmp_path: Path) -> None:
    class Untraceable(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float(x.sum().item() > 0) if x.sum() > 0 else x

    path = tmp_path / "model.onnx"
    path.write_text("before")
    with pytest.raises(ConfigError, match="that torch cannot export to ONNX"):
        export_onnx(Untraceable(), path, torch.rand(2, 4))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", FORMS)
def test_the_command(form: str, tmp_path: Path) -> None:
    train_toy(tmp_path / "run")
    command = [sys.executable, "-m", "netsci_nn", "export", "run", "--out", "m.onnx", "--form", form]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "m.onnx: " in done.stdout
    assert "dense weights" in done.stdout
    assert "edges with their indices" in done.stdout
    x = torch.from_numpy(DATA.x_test)
    found = outputs_of(tmp_path / "m.onnx", x)
    torch.testing.assert_close(found, trained_model(tmp_path / "run")(x).detach(), rtol=1e-4, atol=1e-5)
