"""`netsci-nn ablate`: what is refused before anything is retrained, in one sentence that names the options."""

from pathlib import Path

import pytest
from command_line import Cli

EXPERIMENT = """
name = "tiny"
dataset = "digits"
[model]
layer_sizes = [64, 12, 10]
density = 0.3
[training]
epochs = {epochs}
[[method]]
name = "ER"
"""


@pytest.fixture
def trained(run: Cli, tmp_path: Path) -> str:
    (tmp_path / "tiny.toml").write_text(EXPERIMENT.format(epochs=1))
    assert run("train", "tiny.toml", "--out", "here").code == 0
    return "here"


def refused(run: Cli, message: str, *arguments: object) -> None:
    outcome = run("ablate", *arguments)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert message in outcome.err


def test_epochs_have_to_be_those_of_the_folder(run: Cli, trained: str, tmp_path: Path) -> None:
    outcome = run("ablate", trained, "--seeds", 1, "--epochs", 2)
    assert (outcome.code, outcome.err) == (0, "")
    sentence = (
        "--out 'here/ablation' belongs to another experiment, with 2 epochs per retraining, not {epochs}; "
        "give --epochs 2 to resume it, or another folder by --out"
    )
    refused(run, sentence.format(epochs=1), trained, "--seeds", 1)
    refused(run, sentence.format(epochs=3), trained, "--seeds", 1, "--epochs", 3)
    assert run("ablate", trained, "--seeds", 2, "--epochs", 2).code == 0
    assert run("ablate", trained, "--seeds", 1, "--out", "new").code == 0


def test_no_training_says_nothing_of_wiring(run: Cli, trained: str, tmp_path: Path) -> None:
    refused(run, "epochs is 0; an ablation must train: give --epochs >= 1", trained, "--epochs", 0)
    (tmp_path / "none.toml").write_text(EXPERIMENT.format(epochs=0))
    assert run("train", "none.toml", "--out", "untrained").code == 0
    refused(run, "epochs is 0; an ablation must train: give --epochs >= 1", "untrained")
    assert not (tmp_path / trained / "ablation").exists()


def test_a_data_folder_that_does_not_exist_is_refused_for_bundled_data_too(run: Cli, trained: str, tmp_path: Path) -> None:
    refused(
        run,
        "--data-dir 'nowhere' is not a folder; it must be the folder of the dataset's files",
        trained,
        "--data-dir",
        "nowhere",
    )
    assert not (tmp_path / trained / "ablation").exists()
