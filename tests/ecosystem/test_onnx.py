"""ONNX files by torch's exporter, computed with by onnxruntime."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
import torch.distributed as dist
from torch import nn
from toy_experiments import DATA
from toy_experiments import run as train_toy

from netsci_nn import BipartiteTopology, SparseConv1d, SparseConv2d, SparseLinear, SparseMLP, generators, sparsify
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
    assert (dense.dense_bytes, dense.gather_bytes) == (492_000, 6_150 * 12)
    assert "123,000 dense weights (492,000 bytes), not as 6,150 edges with their indices (73,800 bytes)" in str(dense)
    assert "6,150 edges with their indices (73,800 bytes), not as 123,000 dense weights (492,000 bytes)" in str(gather)
    assert dense.n_bytes == pytest.approx(492_000, rel=0.1)
    assert gather.n_bytes == pytest.approx(73_800, rel=0.4)  # 25 kB are not numbers
    matrices = [one for one in onnx.load(dense.path).graph.initializer if len(one.dims) == 2]
    assert sorted(max(one.dims) * min(one.dims) for one in matrices) == [3_000, 120_000]


@pytest.mark.parametrize("edges", [2_000, 60_000, 400_000])
def test_an_edge_takes_as_many_bytes_as_is_said_however_many_there_are(edges: int, tmp_path: Path) -> None:
    model = nn.Sequential(SparseLinear(generators.erdos_renyi(2_000, 1_000, n_edges=edges, rng=0), bias=False))
    sizes = {export_onnx(model, tmp_path / f"{form}.onnx", torch.rand(2, 2_000), form=form).n_bytes: form for form in FORMS}
    gather, dense = sorted(sizes)
    assert sizes[gather] == "gather"
    assert gather == pytest.approx(12 * edges, abs=20_000)
    assert dense == pytest.approx(8_000_000, abs=20_000)


@pytest.mark.parametrize("form", FORMS)
def test_layers_of_several_precisions(form: str, tmp_path: Path) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.single = SparseLinear(generators.erdos_renyi(8, 6, density=0.5, rng=0))
            self.wide = SparseLinear(generators.erdos_renyi(6, 4, density=0.5, rng=0), dtype=torch.float64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.wide(self.single(x).double())

    written = export_onnx(Mixed(), tmp_path / "model.onnx", torch.rand(2, 8), form=form)
    assert (written.dense_bytes, written.gather_bytes) == (48 * 4 + 24 * 8, 24 * 12 + 12 * 16)


class Several(nn.Module):
    """Returns tensors of several kinds in a dict, a tuple within, and None."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = SparseMLP([20, 30, 10], density=0.3, rng=0)

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        y = self.layer(x)
        return {"y": y, "more": (y.argmax(-1), y > 0, None), "logarithm": y.log()}


@pytest.mark.parametrize("form", FORMS)
def test_outputs_of_every_kind_are_compared(form: str, tmp_path: Path) -> None:
    model = Several()
    export_onnx(model, tmp_path / "model.onnx", torch.rand(3, 5, 20), form=form)
    session, x = onnxruntime.InferenceSession(tmp_path / "model.onnx"), torch.randn(4, 5, 20)
    y, largest, is_positive, logarithm = map(torch.from_numpy, session.run(None, {session.get_inputs()[0].name: x.numpy()}))
    expected = model(x)
    assert expected["logarithm"].isnan().any()
    torch.testing.assert_close(y, expected["y"].detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logarithm, expected["logarithm"].detach(), rtol=1e-3, atol=1e-3, equal_nan=True)
    assert torch.equal(largest, expected["more"][0])
    assert torch.equal(is_positive, expected["more"][1])


@pytest.mark.parametrize("change", [torch.nan, torch.inf, 1.0])
def test_a_file_that_computes_something_else_is_not_written(change: float, tmp_path: Path) -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = SparseMLP([20, 10], density=0.3, rng=0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) + (0.0 if torch.compiler.is_compiling() else change)  # the exporter sees another model

    with pytest.raises(ConfigError, match="the ONNX file computes something else: onnxruntime's outputs differ by up to"):
        export_onnx(Changing(), tmp_path / "model.onnx", torch.rand(2, 20), form="gather")
    assert not list(tmp_path.iterdir())


def test_what_onnxruntime_does_not_know_is_said(tmp_path: Path) -> None:
    model = SparseMLP([20, 30, 10], density=0.3, rng=0)
    for dtype, form in ((torch.bfloat16, "dense"), (torch.bfloat16, "gather"), (torch.float16, "gather")):
        with pytest.raises(ConfigError, match=r"onnxruntime cannot compute with the ONNX file: .* \(model\.float\(\)\)"):
            export_onnx(model.to(dtype), tmp_path / "model.onnx", torch.rand(2, 20, dtype=dtype), form=form)
    with pytest.raises(ConfigError, match=r"onnxruntime cannot compute with the ONNX file: .*different types"):
        export_onnx(model.float(), tmp_path / "model.onnx", torch.rand(2, 20, dtype=torch.float64))
    assert not list(tmp_path.iterdir())
    export_onnx(model.half(), tmp_path / "model.onnx", torch.rand(2, 20, dtype=torch.float16))
    export_onnx(model.double(), tmp_path / "model.onnx", torch.rand(2, 20, dtype=torch.float64), form="gather")


def test_a_wrapped_model_is_taken_out(tmp_path: Path) -> None:
    model, x = SparseMLP([20, 30, 10], density=0.3, rng=0), torch.rand(3, 20)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(model)
        for wrapped in (parallel, torch.compile(model, backend="eager"), torch.compile(parallel, backend="eager")):
            export_onnx(wrapped, tmp_path / "model.onnx", x)
            torch.testing.assert_close(outputs_of(tmp_path / "model.onnx", x), model(x).detach(), rtol=1e-4, atol=1e-5)
    finally:
        dist.destroy_process_group()


def test_modes_and_weights_are_as_before(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(20, 30), nn.BatchNorm1d(30), nn.Dropout(0.5), nn.Linear(30, 4))
    sparsify(model, density=0.3, rng=0)
    model[1].eval()
    model[3].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for form in FORMS:
        export_onnx(model, tmp_path / "model.onnx", torch.rand(5, 20), form=form)
    assert [module.training for module in model.modules()] == [True, True, False, True, True]
    assert [parameter.requires_grad for parameter in model.parameters()] == [True] * 4 + [False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_reason_of_a_failed_export_is_the_models(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"that torch cannot export to ONNX: .*must have same reduction dim.*21\] X \[20, 30\]"
    ):
        export_onnx(SparseMLP([20, 30, 10], density=0.3, rng=0), tmp_path / "model.onnx", torch.rand(2, 21))


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


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("graph", ["channel", "patch"])
@pytest.mark.parametrize("backend", ["auto", "csr"])
def test_convolutions(form: str, graph: str, backend: str, tmp_path: Path) -> None:
    def topology(n_in: int, area: int, n_out: int, density: float) -> BipartiteTopology:
        return generators.erdos_renyi(n_in * (area if graph == "patch" else 1), n_out, density=density, rng=0)

    image = SparseConv2d(topology(3, 9, 8, 0.2), 3, 2, 1, 2, padding_mode="reflect", graph=graph, backend=backend)
    image.active = torch.arange(image.n_edges) % 3 > 0
    empty = SparseConv2d(topology(8, 6, 4, 0.9), (3, 2), padding="same", bias=False, graph=graph, backend=backend)
    nothing = SparseConv2d(BipartiteTopology(4 * (4 if graph == "patch" else 1), 4, [], []), 2, graph=graph)
    line = SparseConv1d(topology(4, 3, 5, 0.4), 3, graph=graph, backend=backend)
    model = nn.Sequential(image, nn.ReLU(), empty, nn.BatchNorm2d(4), nothing, nn.Flatten(2), line)
    with torch.no_grad():
        nothing.bias.normal_()
    written = export_onnx(model, tmp_path / "model.onnx", torch.rand(2, 3, 11, 10), form=form)
    for size in (1, 5):
        x = torch.randn(size, 3, 11, 10)
        torch.testing.assert_close(outputs_of(written.path, x), model.eval()(x).detach(), rtol=1e-4, atol=1e-5)
    operators = {node.op_type for node in onnx.load(written.path).graph.node}
    assert "Conv" in operators
    assert ("ScatterND" in operators) == (form == "gather")


@pytest.mark.parametrize("graph", ["channel", "patch"])
def test_the_sizes_of_convolutions_are_said_and_true(graph: str, tmp_path: Path) -> None:
    topology = generators.erdos_renyi(100 * (9 if graph == "patch" else 1), 200, density=0.05, rng=0)
    model = nn.Sequential(SparseConv2d(topology, 3, graph=graph, bias=False))
    dense, gather = (export_onnx(model, tmp_path / f"{form}.onnx", torch.rand(2, 100, 5, 5), form=form) for form in FORMS)
    entries = 9 if graph == "channel" else 1
    assert (dense.dense_weights, dense.edges) == (180_000, 9_000 // entries)
    assert (dense.dense_bytes, dense.gather_bytes) == (720_000, 9_000 // entries * (8 + 4 * entries))
    assert dense.n_bytes == pytest.approx(dense.dense_bytes, abs=20_000)
    assert gather.n_bytes == pytest.approx(gather.gather_bytes, abs=20_000)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # torch's exporter uses what torch deprecates
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


def test_a_model_without_sparse_layers(tmp_path: Path) -> None:
    written = export_onnx(nn.Linear(4, 3), tmp_path / "model.onnx", torch.rand(2, 4))
    assert re.search(r" bytes, no sparse layers; onnxruntime computes", str(written))


def test_the_command_says_that_a_run_was_interrupted(tmp_path: Path) -> None:
    train_toy(tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    command = [sys.executable, "-m", "netsci_nn", "export", "run", "--out", "m.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "the run is not complete; this is its network after the last epoch that is\nm.onnx: " in done.stdout


@pytest.mark.parametrize("form", FORMS)
def test_the_command(form: str, tmp_path: Path) -> None:
    train_toy(tmp_path / "run")
    command = [sys.executable, "-m", "netsci_nn", "export", "run", "--out", "m.onnx", "--form", form]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "m.onnx: " in done.stdout
    assert "dense weights" in done.stdout
    assert "edges with their indices" in done.stdout
    assert "not complete" not in done.stdout
    x = torch.from_numpy(DATA.x_test)
    found = outputs_of(tmp_path / "m.onnx", x)
    torch.testing.assert_close(found, trained_model(tmp_path / "run")(x).detach(), rtol=1e-4, atol=1e-5)
