"""`netsci-nn export` refuses in one sentence, with exit code 2, and writes nothing."""

from pathlib import Path

import pytest
from command_line import Cli
from toy_experiments import run as train_toy


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--out", "m.pt"), "--out 'm.pt' ends in '.pt'; it must end in '.onnx'"),
        (("run", "--out", "no/m.onnx"), "lies in a folder that does not exist"),
        (("run", "--out", "m.onnx", "--form", "csr"), "--form is 'csr'; it must be 'dense' or 'gather'"),
        ((".", "--out", "m.onnx"), "directory '.' has no config.toml; it must be the directory of one run"),
        (("gone", "--out", "m.onnx"), "directory 'gone' has no config.toml"),
    ],
)
def test_refusals(arguments: tuple[str, ...], sentence: str, run: Cli, tmp_path: Path) -> None:
    train_toy(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    outcome = run("export", *arguments)
    assert outcome.code == 2
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
