"""The command line in-process."""

import sys
from pathlib import Path

import pytest
from command_line import Cli, Outcome, own_signals

from netsci_nn import cli


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the program in an empty directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETSCI_NN_DATA", raising=False)

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["netsci-nn", *map(str, arguments)])
        code = 0
        try:
            with own_signals():
                cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        output = capsys.readouterr()
        return Outcome(code, output.out, output.err)

    return call
