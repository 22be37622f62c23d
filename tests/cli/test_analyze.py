"""`netsci-nn analyze`: graphs and runs of every kind, what is written of them, and what is refused."""

import io
import json
import re
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch
from command_line import Cli, Outcome
from rich.console import Console

import analysis
from netsci_nn import BipartiteTopology, SparseMLP, generators, network_graph
from netsci_nn.cli.output import version
from netsci_nn.data import DATASETS, IMAGE_SHAPES, image_shape_of
from netsci_nn.intake import take_in
from netsci_nn.topology import save_network

EDGES = [(0, 0), (1, 0), (2, 1)]
TOPOLOGY = BipartiteTopology.from_edges(EDGES, 3, 2)
WEIGHTS = np.array([0.5, -2.0, 1.5], dtype=np.float32)
EXPERIMENT = """
name = "tiny"
dataset = "digits"
[model]
layer_sizes = [64, 12, 10]
density = 0.3
[training]
epochs = 1
[[method]]
name = "ER + SET"
rewiring = "set"
"""


def layers(path: Path, threshold: float | None = None) -> list[list[analysis.BipartiteGraph]]:
    """What is taken in: a list of layers a network."""
    return [list(analysis.as_layered(network.graph).layers) for network in take_in(path, threshold).networks]


def only_layer(path: Path, threshold: float | None = None) -> analysis.BipartiteGraph:
    ((layer,),) = layers(path, threshold)
    return layer


def graph(weights: Any = None) -> analysis.BipartiteGraph:
    return analysis.BipartiteGraph(3, 2, TOPOLOGY.src, TOPOLOGY.dst, weights)


@pytest.mark.parametrize("ending", ["safetensors", "npz", "graphml", "csv"])
def test_our_topologies_with_and_without_weights(ending: str, tmp_path: Path) -> None:
    TOPOLOGY.save(tmp_path / f"plain.{ending}")
    TOPOLOGY.save(tmp_path / f"weighted.{ending}", WEIGHTS)
    assert only_layer(tmp_path / f"plain.{ending}") == graph()
    assert only_layer(tmp_path / f"weighted.{ending}") == graph(WEIGHTS)


def test_whole_networks(tmp_path: Path) -> None:
    model = SparseMLP([6, 5, 3], density=0.5, rng=0)
    expected = list(analysis.as_layered(network_graph(model)).layers)
    save_network([layer.topology for layer in model.layers], tmp_path / "network.safetensors")
    network_graph(model).write_graphml(str(tmp_path / "network.graphml"))
    ((first, second),) = layers(tmp_path / "network.safetensors")
    assert [first.n_edges, second.n_edges] == [15, 8]
    (found,) = layers(tmp_path / "network.graphml")
    for layer, other in zip(found, expected, strict=True):
        assert (layer.src.tolist(), layer.dst.tolist()) == (other.src.tolist(), other.dst.tolist())
        np.testing.assert_allclose(layer.weights, other.weights, rtol=1e-12)


def test_graphml_of_networkx(tmp_path: Path) -> None:
    nx.write_graphml(TOPOLOGY.to_networkx(WEIGHTS), tmp_path / "nx.graphml")
    assert only_layer(tmp_path / "nx.graphml") == graph(WEIGHTS)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_scipy_biadjacency(form: str, tmp_path: Path) -> None:
    scipy.sparse.save_npz(tmp_path / "m.npz", TOPOLOGY.to_scipy(WEIGHTS).asformat(form))
    assert only_layer(tmp_path / "m.npz") == graph(WEIGHTS)
    pattern = scipy.sparse.csr_array(TOPOLOGY.to_mask())
    scipy.sparse.save_npz(tmp_path / "pattern.npz", pattern)
    assert only_layer(tmp_path / "pattern.npz") == graph()
    assert "rows are targets" in take_in(tmp_path / "m.npz").notes[0]


def test_graphml_that_does_not_say_who_is_where(run: Cli, tmp_path: Path) -> None:
    nx.write_graphml(nx.path_graph(3), tmp_path / "plain.graphml")
    refused(run("analyze", "plain.graphml"), "its vertices carry neither 'type' (false for a source, true for a target) nor")
    text = (tmp_path / "plain.graphml").read_text()
    (tmp_path / "odd.graphml").write_text(text.replace('<node id="0" />', '<node id="0"><data key="zz">1</data></node>'))
    refused(run("analyze", "odd.graphml"), "nor 'bipartite' (0 or 1) nor 'layer' (0, 1, ...); one of them must say where")
    (tmp_path / "empty.graphml").write_text("")
    refused(run("analyze", "empty.graphml"), "file 'empty.graphml' does not hold a topology: GraphML cannot be read: Line 1")


def refused(outcome: Outcome, message: str) -> None:
    assert outcome.code == 2, outcome
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err


def test_other_refusals(run: Cli, tmp_path: Path) -> None:
    TOPOLOGY.save(tmp_path / "t.npz")
    refused(
        run("analyze", "t.npz", "--threshold", 0.1),
        "--threshold is 0.1; only state dicts take a threshold, and 't.npz' lists its edges",
    )
    (tmp_path / "t.doc").write_text("")
    refused(run("analyze", "t.doc"), "path 't.doc' ends in '.doc'; allowed are: .safetensors, .npz, .graphml, .csv")
    refused(run("analyze", "no.pt"), "path 'no.pt' does not exist")
    refused(run("analyze", "rnus/first"), "path 'rnus/first' does not exist")
    (tmp_path / "t.safetensors").write_bytes(b"noise")
    refused(run("analyze", "t.safetensors"), "file 't.safetensors' cannot be read")
    bad = {"format": b"csr", "shape": [2, 3], "data": [1.0, 1.0], "indices": [0, 9], "indptr": [0, 1, 2]}
    np.savez(tmp_path / "bad.npz", **{name: np.array(value) for name, value in bad.items()})
    refused(run("analyze", "bad.npz"), "file 'bad.npz' does not hold a topology")
    np.savez(tmp_path / "other.npz", x=np.arange(3))
    no_arrays = "file 'other.npz' does not hold a topology: it has no array 'shape' and no array 'src' and no array 'dst'"
    refused(run("analyze", "other.npz"), no_arrays)
    np.save(tmp_path / "array.npy", np.eye(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    refused(run("analyze", "array.npz"), "file 'array.npz' does not hold a topology: it is no archive of arrays")


@pytest.mark.parametrize("nulls", [-1, 1_000_001, 99999999999999999999])
def test_numbers_of_random_graphs_have_a_limit(nulls: int, run: Cli, tmp_path: Path) -> None:
    TOPOLOGY.save(tmp_path / "t.npz")
    refused(run("analyze", "t.npz", "--nulls", nulls), f"--nulls is {nulls}; it must be an integer from 0 to 1,000,000")


def test_a_run_beside_its_start(run: Cli, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(EXPERIMENT)
    assert run("train", "tiny.toml", "--out", "here").code == 0
    outcome = run("analyze", "here", "--nulls", 0, "--json", "report.json", "--html", "report.html")
    assert (outcome.code, outcome.err) == (0, "")
    report = json.loads((tmp_path / "report.json").read_text())
    edges = {q["name"]: q for q in report["sections"][0]["quantities"]}["edges"]
    assert edges["control"]["value"] == 230 > edges["observed"]["value"]
    strength = {q["name"]: q for q in report["sections"][0]["quantities"]}["source_absolute_strength_mean"]
    assert strength["observed"]["value"] > 0  # the weights of the end are there, those of the start are not recorded
    assert "laid out as the image" in (tmp_path / "report.html").read_text()
    expected = [section["n_edges"] for section in report["sections"][:2]]
    checkpoint = tmp_path / "here" / "checkpoint" / "last.safetensors"
    (chain,) = layers(checkpoint)  # the run says that it is one
    assert [layer.n_edges for layer in chain] == expected
    apart = layers(checkpoint.rename(tmp_path / "elsewhere.safetensors"))
    assert [layer.n_edges for (layer,) in apart] == expected


def test_json_and_page_of_several_networks(run: Cli, tmp_path: Path) -> None:
    torch.save({"a.weight": torch.eye(5, 8), "b.weight": torch.eye(7, 9)}, tmp_path / "m.pt")
    outcome = run("analyze", "m.pt", "--nulls", 1, "--json", "r.json", "--html", "r.html")
    assert (outcome.code, outcome.err) == (0, "")
    first = "the file does not say how its layers are joined; each is reported by itself"
    assert outcome.out.startswith(first + "\nedges are the weights other than 0\n")
    table = json.loads((tmp_path / "r.json").read_text())
    assert [network["layers"] for network in table["networks"]] == ["a.weight", "b.weight"]
    assert table["source"]["notes"] == [first, "edges are the weights other than 0"]
    assert (table["interrupted"], table["not_described"]) == (False, [])
    page = (tmp_path / "r.html").read_text()
    assert all(text in page for text in ("How it was read", first, "Measures: a.weight", "Pictures: b.weight"))


def test_a_report_holds_what_it_takes_to_make_it_again(run: Cli, tmp_path: Path) -> None:
    torch.save({"a.weight": torch.eye(5, 8)}, tmp_path / "m.pt")
    chosen = ["--nulls", 1, "--seed", 7, "--threshold", 0.5, "--image-shape", "2x4"]
    assert run("analyze", "m.pt", *chosen, "--json", "r.json", "--html", "r.html").code == 0
    table = json.loads((tmp_path / "r.json").read_text())
    assert table["source"]["path"] == "m.pt"
    assert table["settings"] == {"version": version(), "seed": 7, "nulls": 1, "threshold": 0.5, "image_shape": [2, 4]}
    page = (tmp_path / "r.html").read_text()
    rows = {"target": "m.pt", "version": version(), "seed": "7", "nulls": "1", "threshold": "0.5", "image shape": "2x4"}
    assert page.index("How it was made") > 0
    made = [re.findall(r"<td[^>]*>\s*(.*?)\s*</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)]
    assert all([name, value] in made for name, value in rows.items())
    assert "laid out as the image" in page


def test_sizes_that_the_file_does_not_state_are_asked_for_and_taken(run: Cli, tmp_path: Path) -> None:
    qkv = {"src": torch.tensor([0, 15, 3]), "dst": torch.tensor([0, 20, 47]), "weight": torch.ones(3)}
    proj = {"src": torch.tensor([0, 9]), "dst": torch.tensor([0, 15]), "weight": torch.ones(2)}
    state = {f"{layer}.{part}": tensor for layer, parts in (("qkv", qkv), ("proj", proj)) for part, tensor in parts.items()}
    torch.save(state, tmp_path / "m.pt")

    def measured(table: dict[str, Any]) -> list[tuple[float, float]]:
        """Density and share of sources without edges of every layer."""
        sections = [network["sections"][0] for network in table["networks"]]
        values = [{found["name"]: found["observed"]["value"] for found in section["quantities"]} for section in sections]
        return [(entry["density"], entry["source_degree_zero_fraction"]) for entry in values]

    outcome = run("analyze", "m.pt", "--nulls", 0, "--json", "r.json", "--html", "r.html")
    assert (outcome.code, outcome.err) == (0, "")
    sentence = (
        "the file does not state all sizes: qkv has at least 16 sources and at least 48 targets, proj has at least 10 sources "
        "and at least 16 targets; these numbers are assumed"
    )
    table = json.loads((tmp_path / "r.json").read_text())
    assert measured(table) == [(3 / (16 * 48), 13 / 16), (2 / (10 * 16), 8 / 10)]  # not 48 sources, 46 of them dead
    assert any(note.startswith(sentence) for note in table["source"]["notes"])
    assert sentence in outcome.out
    assert sentence in (tmp_path / "r.html").read_text()
    assert "sizes" not in table["settings"]

    stated = ["--sizes", "qkv=16x48", "--sizes", "proj=16x16"]
    outcome = run("analyze", "m.pt", "--nulls", 0, *stated, "--json", "r.json", "--html", "r.html")
    assert outcome.code == 0, outcome.err
    assert "does not state" not in outcome.out
    table = json.loads((tmp_path / "r.json").read_text())
    assert measured(table) == [(3 / (16 * 48), 13 / 16), (2 / (16 * 16), 14 / 16)]
    assert table["settings"]["sizes"] == {"qkv": [16, 48], "proj": [16, 16]}
    assert "qkv=16x48, proj=16x16" in (tmp_path / "r.html").read_text()


def test_sizes_that_are_refused(run: Cli, tmp_path: Path) -> None:
    torch.save({"a.weight": torch.eye(5, 8)}, tmp_path / "m.pt")
    for text in ("16x48", "a=16", "a=0x3", "=3x4", "a=3x-4"):
        refused(run("analyze", "m.pt", "--sizes", text), f"--sizes is {text!r}; it must be NAME=INxOUT, for example enc")
    refused(run("analyze", "m.pt", "--sizes", "a=1x2", "--sizes", "a=3x4"), "--sizes names 'a' twice; every layer has one")
    refused(
        run("analyze", "m.pt", "--sizes", "a.weight=8x5"), "--sizes are given for 'a.weight'; they can be given for sparse la"
    )
    (tmp_path / "e.csv").write_text("0,1\n")
    refused(run("analyze", "e.csv", "--sizes", "a=1x2"), "--sizes are given for 'a'; only state dicts take sizes, not 'e.csv'")


def test_an_image_shape_is_measured_where_it_fits(run: Cli, tmp_path: Path) -> None:
    torch.save({"a.weight": torch.eye(5, 8), "b.weight": torch.eye(7, 9)}, tmp_path / "m.pt")
    outcome = run("analyze", "m.pt", "--nulls", 0, "--image-shape", "3x3", "--json", "r.json")
    assert outcome.code == 0, outcome.err
    networks = json.loads((tmp_path / "r.json").read_text())["networks"]
    measured = ["wiring" in {q["measure"] for q in network["sections"][0]["quantities"]} for network in networks]
    assert measured == [False, True]
    refused(run("analyze", "m.pt", "--image-shape", "4x5"), "--image-shape is 4x5, 20 pixels; the first layer has 8 or 9")
    for text in ("28", "0x8", "-2x4", "2x4x1", "axb", ""):
        refused(run("analyze", "m.pt", "--image-shape", text), f"--image-shape is {text!r}; it must be HEIGHTxWIDTH, for exam")


def test_the_shape_of_a_run_is_known_without_its_data(run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the data are asked for")

    monkeypatch.setattr("netsci_nn.data.mnist._from_openml", fail)
    config = EXPERIMENT.replace("digits", "mnist").replace("[64, 12, 10]", "[784, 10]")
    (tmp_path / "here" / "topology").mkdir(parents=True)
    (tmp_path / "here" / "config.toml").write_text(config)
    topology = generators.erdos_renyi(784, 10, n_edges=40, rng=0)
    for name in ("epoch-0000", "final"):
        save_network([topology], tmp_path / "here" / "topology" / f"{name}.safetensors")
    assert run("analyze", "here", "--nulls", 0, "--json", "r.json").code == 0
    table = json.loads((tmp_path / "r.json").read_text())
    assert table["settings"]["image_shape"] == [28, 28]
    assert "wiring" in {q["measure"] for q in table["sections"][0]["quantities"]}
    (tmp_path / "here" / "config.toml").write_text(config.replace("mnist", "digits"))  # 64 pixels are not 784 inputs
    assert run("analyze", "here", "--nulls", 0).code == 0


def test_shapes_of_images_are_stated_beside_the_loaders() -> None:
    assert [image_shape_of(name) for name in ("digits", "mnist", "other")] == [(8, 8), (28, 28), None]
    assert DATASETS["digits"](None).image_shape == IMAGE_SHAPES["digits"]


def test_a_terminal_is_told_that_pictures_are_drawn(run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TOPOLOGY.save(tmp_path / "t.npz")
    terminal = io.StringIO()
    monkeypatch.setattr("netsci_nn.cli.analyze.STDERR", Console(file=terminal, force_terminal=True))
    assert run("analyze", "t.npz", "--nulls", 1, "--html", "r.html").code == 0
    assert "drawing pictures" in terminal.getvalue()


def test_notes_are_printed_as_they_are(run: Cli, tmp_path: Path) -> None:
    """A name of a tensor may look like markup, and a shape does."""
    torch.save({"fc.weight": torch.eye(5, 8), "[/red]table": torch.ones(1, 2, 3)}, tmp_path / "m.pt")
    outcome = run("analyze", "m.pt", "--nulls", 0)
    assert outcome.code == 0, outcome.err
    assert "[/red]table [1, 2, 3]" in outcome.out
