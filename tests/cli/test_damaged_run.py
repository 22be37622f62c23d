"""`analyze` of a run whose start is damaged and whose training diverged: the wiring at its end is measured."""

import json
from pathlib import Path

import numpy as np
from command_line import Cli
from toy_experiments import run as run_experiment

from netsci_nn.experiment import RunDirectory
from netsci_nn.intake import take_in
from netsci_nn.topology import save_network


def test_a_run(tmp_path: Path, run: Cli) -> None:
    run_experiment(tmp_path / "run")
    directory = RunDirectory(tmp_path / "run")
    directory.topology(0).write_bytes(b"damaged")
    final = directory.final_layers()
    save_network([layer.topology for layer in final], directory.final, [layer.weights * np.float32("nan") for layer in final])
    (network,), notes = take_in(tmp_path / "run")
    assert network.control is None
    assert len(notes) == len(final) + 1
    outcome = run("analyze", tmp_path / "run", "--nulls", 1, "--json", "r.json")
    assert outcome.code == 0
    assert "the start does not stand beside the end, since it is damaged: file " in outcome.out
    report = json.loads((tmp_path / "r.json").read_text())
    assert [section["n_edges"] for section in report["sections"]][: len(final)] == [layer.topology.n_edges for layer in final]
