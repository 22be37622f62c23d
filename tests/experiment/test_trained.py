"""The network of a run, made again from its directory, is the one that was trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from toy_experiments import DATA, SET, run, toy

from netsci_nn import SparseLinear
from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.experiment import RunDirectory
from netsci_nn.experiment.trained import trained_model
from netsci_nn.training import evaluate

PRUNED = {"name": "pruned", "pruning": {"criterion": "magnitude"}}


@pytest.mark.parametrize(
    ("method", "kind"),
    [(SET, SparseLinear), ({"name": "dense", "generator": "dense"}, nn.Linear), (PRUNED, SparseLinear)],
    ids=["SET", "dense", "pruned"],
)
def test_it_computes_what_the_run_reports(tmp_path: Path, method: dict[str, Any], kind: type[nn.Module]) -> None:
    methods = [method, {"name": "dense", "generator": "dense"}] if method is PRUNED else [method]
    result = run(tmp_path / "run", toy(methods))
    model = trained_model(tmp_path / "run")
    assert not model.training
    assert [type(module) for module in model] == [kind, nn.ReLU, kind]
    found = evaluate(model, torch.from_numpy(DATA.x_test), torch.from_numpy(DATA.y_test))
    assert found["accuracy"] == pytest.approx(result.metrics["accuracy"], abs=1e-6)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no config.toml; it must be the directory of one run"):
        trained_model(tmp_path)


def test_a_checkpoint_of_other_layers_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run")
    path = RunDirectory(tmp_path / "run").checkpoint
    path.unlink()
    with pytest.raises(ConfigError, match="has no checkpoint; the run must have completed an epoch"):
        trained_model(tmp_path / "run")
    run(tmp_path / "other", toy(layer_sizes=[12, 11, 3]))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(RunDirectory(tmp_path / "other").checkpoint.read_bytes())
    with pytest.raises(CheckpointError, match=r"does not hold the layers \[12, 10, 3\]"):
        trained_model(tmp_path / "run")
    save_file(load_file(path), path)  # without its metadata
    with pytest.raises(CheckpointError, match="is not a checkpoint of this program"):
        trained_model(tmp_path / "run")
