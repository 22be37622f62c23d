"""What version 0.1.0 has written is read: state dicts, checkpoints and run directories (`tests/fixtures/version-0.1.0`)."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy_experiments import DATA, interrupt_at, run, toy

from netsci_nn import ConfigError, SparseMLP
from netsci_nn.experiment import RunDirectory
from netsci_nn.rewiring import SoftDeepR
from netsci_nn.training import Progress, Rewire, train

FORMER = Path(__file__).parents[1] / "fixtures" / "version-0.1.0"
EXPECTED = json.loads((FORMER / "expected.json").read_text())


@pytest.mark.parametrize("name", ["state.pt", "state.safetensors"])
def test_state_dicts_load_and_logging_says_that_sizes_are_assumed(name: str, caplog: pytest.LogCaptureFixture) -> None:
    path = FORMER / name
    state = torch.load(path, weights_only=True) if path.suffix == ".pt" else load_file(path)
    assert "layers.0.values" in state
    model = SparseMLP([12, 10, 3], density=0.1, rng=0)
    with caplog.at_level(logging.WARNING, "netsci_nn"):
        model.load_state_dict(state)
    assert "layers.0: the state dict, of version 0.1.0, does not say the layer's sizes; 12 sources" in caplog.text
    logits = model(torch.from_numpy(DATA.x_test)[:3])
    torch.testing.assert_close(logits, torch.tensor(EXPECTED["logits"]))
    assert "layers.0.sizes" in model.state_dict()


def test_a_complete_run_is_read() -> None:
    result = RunDirectory(FORMER / "complete").load_result()
    assert result is not None
    assert result.accuracy == result.score == result.metrics["accuracy"] == 0.6333333333333333
    assert result.accuracy_by_epoch[-1] == 0.7333333333333333
    assert [layer.n_edges for layer in result.final] != [layer.n_edges for layer in result.initial]
    assert RunDirectory(FORMER / "complete").recorded_topologies()[0].layers == result.initial
    assert RunDirectory(FORMER / "complete").births() is not None


def without_compiled_steps(epoch: int = 10**9) -> Any:
    """A callback that sees every step keeps both versions on the same arithmetic."""
    return interrupt_at(epoch)


def test_an_interrupted_run_resumes_to_what_0_1_0_came_to(tmp_path: Path) -> None:
    shutil.copytree(FORMER / "interrupted", tmp_path / "run")
    experiment = toy([{"name": "SET", "rewiring": "set"}])
    resumed = run(tmp_path / "run", experiment, callbacks=[without_compiled_steps()], resume=True)
    whole = RunDirectory(FORMER / "complete").load_result()
    assert whole is not None
    assert (resumed.final, resumed.accuracy, resumed.accuracy_by_epoch) == (
        whole.final,
        whole.accuracy,
        whole.accuracy_by_epoch,
    )


def test_what_a_rule_remembers_is_found_under_its_former_name(tmp_path: Path) -> None:
    shutil.copytree(FORMER / "deep-interrupted", tmp_path / "run")
    experiment = toy([{"name": "Deep R", "rewiring": {"name": "deep_r", "l1": 1e-3}}])
    resumed = run(tmp_path / "run", experiment, callbacks=[without_compiled_steps()], resume=True)
    assert resumed.accuracy == EXPECTED["deep accuracy"]


def test_a_memory_that_could_be_two_rules_is_refused() -> None:
    model = SparseMLP([12, 10, 3], density=0.3, rng=0)
    carried = {"rewiring.0.theta": np.zeros(120, np.float32)}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.from_numpy(DATA.x_train), torch.from_numpy(DATA.y_train)
    callbacks = [Rewire(SoftDeepR(), [0]), Rewire(SoftDeepR(), [0])]
    with pytest.raises(ConfigError, match="does not record which of 2 rewiring rules its memory of layer 0 belongs to"):
        train(model, optimizer, x, y, epochs=2, batch_size=10, rng=0, completed=Progress(1, 6, carried), callbacks=callbacks)


def test_a_run_of_other_settings_is_still_refused(tmp_path: Path) -> None:
    shutil.copytree(FORMER / "interrupted", tmp_path / "run")
    with pytest.raises(ConfigError, match="belongs to another experiment, method or seed"):
        run(tmp_path / "run", toy([{"name": "SET", "rewiring": "set"}], training={"batch_size": 20}), resume=True)
