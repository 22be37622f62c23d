"""The number of threads of a run: stored when it begins and used again when it resumes, so that the bits are the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_experiments import interrupt_at

from netsci_nn.data import Dataset
from netsci_nn.errors import CheckpointError
from netsci_nn.experiment import RunDirectory, run_experiment, run_method
from netsci_nn.experiment.config import Experiment, parse_experiment
from netsci_nn.training.checkpoint import read_model


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def wide_data() -> Dataset:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1500, 200), dtype=np.float32), rng.integers(10, size=1500)
    return Dataset("wide", x[:1400], y[:1400], x[1400:], y[1400:], 10)


DATA = wide_data()
DENSE = {"name": "dense", "generator": "dense"}
SPARSE = {"name": "ER", "generator": "erdos_renyi", "rewiring": "set"}


def wide(method: dict[str, Any], **training: Any) -> Experiment:
    table = {
        "name": "wide",
        "dataset": "digits",
        "model": {"layer_sizes": [200, 600, 10], "density": 0.2},
        "training": {"epochs": 2, "batch_size": 350, "momentum": 0.9, **training},
        "method": [method],
    }
    return parse_experiment(table, "wide")


def trained(directory: Path, experiment: Experiment, threads: int, **arguments: Any) -> dict[str, torch.Tensor]:
    torch.set_num_threads(threads)
    run_method(experiment, experiment.methods[0], 0, DATA, directory, **arguments)
    assert torch.get_num_threads() == threads
    return read_model(RunDirectory(directory).checkpoint)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_compiled_steps_give_the_same_bits_on_any_number_of_threads(tmp_path: Path) -> None:
    found = [trained(tmp_path / str(threads), wide(SPARSE), threads) for threads in (1, 2, 3)]
    assert same(found[0], found[1])
    assert same(found[0], found[2])


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("method", [DENSE, SPARSE], ids=["dense", "sparse"])
@pytest.mark.parametrize(("begun", "resumed"), [(2, 1), (1, 2)])
def test_a_run_resumes_on_the_threads_that_it_was_begun_with(
    method: dict[str, Any], begun: int, resumed: int, tmp_path: Path
) -> None:
    """Weights by Adam, where torch's engine trains sparse layers too."""
    experiment = wide(method, optimizer="adam", learning_rate=0.001, momentum=0.0)
    whole = trained(tmp_path / "whole", experiment, begun)
    trained(tmp_path / "half", experiment, begun, callbacks=[interrupt_at(6)])
    assert RunDirectory(tmp_path / "half").load_result() is None
    assert json.loads(RunDirectory(tmp_path / "half").environment.read_text())["threads"] == begun
    assert same(whole, trained(tmp_path / "half", experiment, resumed, resume=True))


def test_threads_of_the_experiment_file_are_those_of_the_run_alone(tmp_path: Path) -> None:
    seen = []
    torch.set_num_threads(1)
    experiment = wide(SPARSE, threads=2, epochs=1)
    list(run_experiment(experiment, DATA, tmp_path, lambda *_: lambda *_: seen.append(torch.get_num_threads())))
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1
    assert RunDirectory.of(tmp_path, "ER", 0).threads() == 2


@pytest.mark.parametrize(
    "text", ["", "{}", '{"threads": 0}', '{"threads": "two"}', '{"threads": 5000}', "[1]", "[" * 10_000], ids=range(7)
)
def test_a_damaged_environment_is_refused(text: str, tmp_path: Path) -> None:
    trained(tmp_path / "run", wide(SPARSE), 1)
    run = RunDirectory(tmp_path / "run")
    run.environment.write_text(text)
    with pytest.raises(CheckpointError, match="does not say the run's threads"):
        run.threads()
    run.environment.unlink()
    assert run.threads() == torch.get_num_threads()
