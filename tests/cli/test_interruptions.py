"""Ctrl-C: what was done is kept, what was not written is said, and the exit code is 130 everywhere."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Cli

import analysis
from analysis.render import evolution_page, evolution_terminal, report_page
from analysis.render import page as html
from netsci_nn import generators
from netsci_nn.reports import analysis_files
from netsci_nn.topology import save_network
from netsci_nn.training import Event, ProgressBar, TrainingState

EXPERIMENT = """
name = "tiny"
dataset = "digits"
[model]
layer_sizes = [64, 12, 10]
density = 0.3
[training]
epochs = 4
[[method]]
name = "ER"
"""


def interrupt(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


@pytest.fixture
def graph(tmp_path: Path) -> str:
    generators.erdos_renyi(12, 9, n_edges=30, rng=0).save(tmp_path / "t.npz")
    return "t.npz"


@pytest.fixture
def networks(tmp_path: Path) -> str:
    state = {f"{name}.weight": torch.eye(n_out, n_in) for name, n_out, n_in in (("a", 5, 8), ("b", 7, 9), ("c", 4, 6))}
    torch.save(state, tmp_path / "m.pt")
    return "m.pt"


@pytest.mark.usefixtures("ctrl_c")
def test_while_random_graphs_are_drawn(run: Cli, graph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = analysis.describe

    def interrupted(*arguments: Any, progress: Callable[[int, int], None], **keywords: Any) -> Any:
        def ring(done: int, total: int) -> None:
            progress(done, total)
            if done == 3:
                os.kill(os.getpid(), signal.SIGINT)

        return describe(*arguments, progress=ring, **keywords)

    monkeypatch.setattr(analysis, "describe", interrupted)
    outcome = run("analyze", graph, "--nulls", 50, "--json", "r.json", "--html", "r.html")
    assert outcome.code == 130
    assert "Interrupted" in outcome.out
    assert outcome.err == "netsci-nn: interrupted; the report so far is in r.json and r.html\n"
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["interrupted"]
    assert report["replicates"] < 50
    page = (tmp_path / "r.html").read_text()
    assert analysis_files.NOT_DRAWN in page
    assert "data:image" not in page


def test_between_networks(run: Cli, networks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe, calls = analysis.describe, iter(range(9))
    monkeypatch.setattr(analysis, "describe", lambda *a, **k: describe(*a, **k) if next(calls) < 2 else interrupt())
    outcome = run("analyze", networks, "--nulls", 1, "--json", "r.json", "--html", "r.html")
    assert (outcome.code, outcome.err) == (130, "netsci-nn: interrupted; the report so far is in r.json and r.html\n")
    table = json.loads((tmp_path / "r.json").read_text())
    assert [network["layers"] for network in table["networks"]] == ["a.weight", "b.weight"]
    assert (table["interrupted"], table["not_described"]) == (True, ["c.weight"])
    page = (tmp_path / "r.html").read_text()
    assert "interrupted before it came to these networks: c.weight." in page
    assert page.count(analysis_files.NOT_DRAWN) == 2


@pytest.mark.usefixtures("ctrl_c")
def test_at_the_end_of_a_report(run: Cli, networks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is complete, and the next one is not begun."""
    describe = analysis.describe

    def interrupted(*arguments: Any, progress: Callable[[int, int], None], **keywords: Any) -> Any:
        def ring(done: int, total: int) -> None:
            progress(done, total)
            if done == total:
                os.kill(os.getpid(), signal.SIGINT)

        return describe(*arguments, progress=ring, **keywords)

    monkeypatch.setattr(analysis, "describe", interrupted)
    assert run("analyze", networks, "--nulls", 3, "--json", "r.json").code == 130
    table = json.loads((tmp_path / "r.json").read_text())
    assert [(network["replicates"], network["interrupted"]) for network in table["networks"]] == [(3, False)]
    assert (table["interrupted"], table["not_described"]) == (True, ["b.weight", "c.weight"])


def test_before_anything_is_measured(run: Cli, graph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "describe", interrupt)
    before = sorted(tmp_path.iterdir())
    outcome = run("analyze", graph, "--json", "r.json", "--html", "r.html")
    assert (outcome.code, outcome.err) == (130, "netsci-nn: interrupted; r.json and r.html were not written\n")
    outcome = run("analyze", graph)
    assert (outcome.code, outcome.err) == (130, "netsci-nn: interrupted; what was printed is all there is\n")
    assert sorted(tmp_path.iterdir()) == before


def test_while_tables_are_printed(run: Cli, networks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis.TopologyReport, "to_table", interrupt)
    assert run("analyze", networks, "--nulls", 0, "--json", "r.json").code == 130
    assert len(json.loads((tmp_path / "r.json").read_text())["networks"]) == 1


def test_while_pictures_are_computed(run: Cli, networks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, calls = report_page.network_blocks, iter(range(9))
    monkeypatch.setattr(report_page, "network_blocks", lambda *a, **k: draw(*a, **k) if next(calls) < 1 else interrupt())
    outcome = run("analyze", networks, "--nulls", 1, "--json", "r.json", "--html", "r.html")
    assert outcome.code == 130
    assert "r.html" in outcome.err
    assert not json.loads((tmp_path / "r.json").read_text())["interrupted"]  # all networks were described
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image") >= 1
    assert page.count(analysis_files.NOT_DRAWN) == 2


def test_while_pictures_are_drawn(run: Cli, graph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(html.Picture):
        calls: Iterator[int] = iter(range(9))

        @property
        def source(self) -> str:
            return "data:image/png;base64," if next(self.calls) < 2 else interrupt()

    def blocks(*_: object, **__: object) -> list[html.Picture]:
        return [Slow(None, f"picture {number}") for number in range(4)]  # type: ignore[arg-type]

    monkeypatch.setattr(report_page, "network_blocks", blocks)
    monkeypatch.setattr(html, "page", lambda _, sections: "\n".join(str(b) for section in sections for b in section.blocks))
    assert run("analyze", graph, "--nulls", 0, "--html", "r.html").code == 130
    page = (tmp_path / "r.html").read_text()
    assert [f"picture {number}" in page for number in range(4)] == [True, True, False, False]
    assert analysis_files.NOT_ALL_DRAWN in page


def test_while_a_page_is_put_together(run: Cli, graph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "page", interrupt)
    outcome = run("analyze", graph, "--nulls", 0, "--json", "r.json", "--html", "r.html")
    assert (outcome.code, outcome.err) == (130, "netsci-nn: interrupted; r.html was not written\n")
    assert (tmp_path / "r.json").is_file()
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("when", ["measures", "tables", "page"])
def test_while_a_run_is_followed(when: str, run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topology = generators.erdos_renyi(12, 10, n_edges=50, rng=0)
    (tmp_path / "here" / "topology").mkdir(parents=True)
    for name in ("epoch-0000", "final"):
        save_network([topology], tmp_path / "here" / "topology" / f"{name}.safetensors")
    place = {"measures": (analysis.report.evolution, "evolve"), "tables": (evolution_terminal, "layer_table")}
    monkeypatch.setattr(*place.get(when, (evolution_page, "page")), interrupt)
    outcome = run("evolve", "here", "--json", "r.json", "--html", "r.html", "--nulls", 1)
    missing = "r.json and r.html were" if when == "measures" else "r.html was"
    assert (outcome.code, outcome.err) == (130, f"netsci-nn: interrupted; {missing} not written\n")
    assert (tmp_path / "r.json").is_file() == (when != "measures")
    assert not (tmp_path / "r.html").exists()


def test_training(run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes after the second of four epochs."""
    shown = ProgressBar.__call__

    def ring(bar: ProgressBar, event: Event, state: TrainingState) -> None:
        shown(bar, event, state)
        if event is Event.EPOCH and state.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    (tmp_path / "tiny.toml").write_text(EXPERIMENT)
    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "__call__", ring)
        outcome = run("train", "tiny.toml", "--out", "here")
        assert (outcome.code, outcome.err) == (
            130,
            "netsci-nn: interrupted; netsci-nn train here --resume continues from here\n",
        )
        assert "interrupted after 2 epochs" in outcome.out
        outcome = run("compare", "tiny.toml", "--nulls", 1, "--out", "all")
        assert outcome.code == 130
        assert outcome.out == ""
        assert outcome.err == ("netsci-nn: interrupted; 0 of 1 runs are complete; the same command with --resume all resumes\n")
    outcome = run("compare", "tiny.toml", "--nulls", 1, "--resume", "all")
    assert (outcome.code, outcome.err) == (0, "")
    assert "resumed from all: ER (seed 0)\n" in outcome.out
    assert run("train", "here", "--resume").code == 0
    assert json.loads((tmp_path / "here" / "result.json").read_text())["interrupted"] is False
