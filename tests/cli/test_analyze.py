"""`netsci-nn analyze`: every kind of input, and what is refused."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch
from command_line import Cli, Outcome
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

import analysis
from netsci_nn import BipartiteTopology, SparseLinear, SparseMLP, generators, network_graph
from netsci_nn.cli.intake import take_in
from netsci_nn.io import save_network

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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.csv", "0,0\n1,0\n2,1\n"),
        ("e.csv", "source,target\n10,7\n20,7\n30,8\n"),
        ("e.txt", "# a comment\n% another\n1 1\n2 1\n\n11 2\n"),
        ("e.tsv", "a b\tx\nb\tx\nc\ty z\n"),
        ("e.edges", "ada;paper 1\nbob;paper 1\ncyd;paper 2\n"),
        ("e.edgelist", "0 0\n1 0\n2 1"),
    ],
)
def test_edge_lists(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert only_layer(tmp_path / name) == graph()
    assert "a source in the first column, a target in the second" in take_in(tmp_path / name).notes[0]


def test_weighted_edge_list_and_labels_on_both_sides(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("source,target,weight\n1,1,0.5\n2,1,-2\n10,2,1.5\n")
    assert only_layer(tmp_path / "w.csv") == graph(WEIGHTS)
    assert "a weight in the third" in take_in(tmp_path / "w.csv").notes[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.txt", "these are words\n", "its third column must hold numbers"),
        ("e.txt", "0 1\n0\n", "two or three columns"),
        ("e.txt", "0 1 2 3\n", "two or three columns are needed"),
        ("e.csv", "", "no line with an edge"),
        ("e.csv", "0,1\n0,1\n", "more than once"),
        ("e.csv", "0,1,nan\n", "weights must be finite"),
        ("e.csv", "# n_in=2 n_out=2\n0,5\n", "it must be from 0 to n_out - 1 = 1"),
    ],
)
def test_edge_lists_that_are_none(name: str, text: str, message: str, run: Cli, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    refused(run("analyze", name), message)


def refused(outcome: Outcome, message: str) -> None:
    assert outcome.code == 2, outcome
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err


def sparse_linears() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    for module in (model[0], model[2]):
        with torch.no_grad():
            module.weight[:, ::2] = 0
    return model


@pytest.mark.parametrize("ending", ["pt", "pth", "safetensors"])
def test_state_dict_of_linear_layers(ending: str, tmp_path: Path) -> None:
    model, path = sparse_linears(), tmp_path / f"m.{ending}"
    save_file(model.state_dict(), path) if ending == "safetensors" else torch.save(model.state_dict(), path)
    (chain,) = layers(path)
    for layer, module in zip(chain, (model[0], model[2]), strict=True):
        dense = np.zeros((layer.n_out, layer.n_in))
        dense[layer.dst, layer.src] = layer.weights
        np.testing.assert_array_equal(dense, module.weight.detach().numpy())
        assert layer.n_edges == np.count_nonzero(dense)
    intake = take_in(path)
    assert intake.notes == ["edges are the weights other than 0"]
    assert intake.networks[0].name == "0.weight, 2.weight"


def test_threshold(tmp_path: Path) -> None:
    weight = torch.tensor([[0.5, -0.1, 0.2], [-0.3, 0.25, 0.01]])
    torch.save({"w.weight": weight}, tmp_path / "m.pt")
    layer = only_layer(tmp_path / "m.pt", 0.2)
    assert list(zip(layer.src.tolist(), layer.dst.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 1)]
    assert only_layer(tmp_path / "m.pt", 0.0).n_edges == 6
    assert only_layer(tmp_path / "m.pt", 9.0).n_edges == 0
    assert take_in(tmp_path / "m.pt", 0.2).notes == ["edges are the weights with |w| > 0.2"]


def test_chains_and_what_is_left_out(tmp_path: Path) -> None:
    state = {
        "conv1.weight": torch.ones(4, 1, 3, 3),
        "conv1.bias": torch.ones(4),
        "ids": torch.zeros(2, 2, dtype=torch.int64),
        "fc1.weight": torch.eye(5, 8),
        "fc2.weight": torch.eye(3, 5),
        "other.weight": torch.eye(7, 9),
    }
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "m.pt")
    intake = take_in(tmp_path / "m.pt")
    assert [network.name for network in intake.networks] == ["fc1.weight, fc2.weight", "other.weight"]
    assert "left out, since they are no matrices of weights: conv1.weight [4, 1, 3, 3], ids [2, 2]" in intake.notes
    assert any("networks of their own" in note for note in intake.notes)


def test_pruned_and_half_precision_tensors(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 4))
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    torch.save(model.state_dict(), tmp_path / "pruned.pt")
    assert only_layer(tmp_path / "pruned.pt").n_edges == 12
    torch.save({"w": torch.eye(4, 6, dtype=torch.bfloat16)}, tmp_path / "half.pt")
    assert only_layer(tmp_path / "half.pt").n_edges == 4


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_state_dict_of_sparse_layers(ending: str, bias: bool, tmp_path: Path) -> None:
    model, path = SparseMLP([8, 30, 4], density=0.4, bias=bias, rng=1), tmp_path / f"m.{ending}"
    save_file(model.state_dict(), path) if ending == "safetensors" else torch.save(model.state_dict(), path)
    (chain,) = layers(path)
    for layer, module in zip(chain, model.layers, strict=True):
        expected = [module.n_in, module.n_out, module.topology.src, module.topology.dst, module.values.detach().numpy()]
        assert layer == analysis.BipartiteGraph(*expected)
    notes = take_in(path).notes
    assert notes[1] == "layers.0: the number of sources is not in the file; 8, up to the last with an edge, are taken"
    assert len(notes) == (2 if bias else 4)


def test_a_single_sparse_layer_and_a_dense_head(tmp_path: Path) -> None:
    layer = SparseLinear(TOPOLOGY)
    torch.save(layer.state_dict(), tmp_path / "one.pt")
    assert only_layer(tmp_path / "one.pt") == graph(layer.values.detach().numpy())
    torch.save(nn.Sequential(layer, nn.Linear(2, 4)).state_dict(), tmp_path / "head.pt")
    ((first, head),) = layers(tmp_path / "head.pt", 0.0)
    assert (first.n_edges, head.n_edges) == (3, 8)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch was-run",)


def test_a_file_that_would_run_code_is_refused(run: Cli, tmp_path: Path) -> None:
    torch.save({"w": torch.eye(3), "trap": Malicious()}, tmp_path / "trap.pt")
    torch.save(nn.Linear(3, 2), tmp_path / "module.pt")
    (tmp_path / "noise.pth").write_bytes(b"\x80\x02noise")
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("trap.pt", "module.pt", "noise.pth", "empty.pt"):
        refused(run("analyze", name), f"file '{name}' is refused")
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("state", "arguments", "message"),
    [
        ({"w": torch.ones(3, 2)}, [], "tensor 'w' [3, 2] has no zero, so it has no pattern of its own; state with --threshold"),
        ({"b": torch.ones(3)}, [], "has no matrix [n_out, n_in]"),
        ({"w": torch.tensor([[0.0, float("nan")]])}, [], "tensor 'w' holds NaN or infinity"),
        ({"w": torch.tensor([[0.0, float("nan")]])}, ["--threshold", 0.1], "tensor 'w' holds NaN or infinity"),
        ({"w": torch.eye(3)}, ["--threshold", -1], "threshold is -1.0; it must be a finite number >= 0"),
        ({"w": torch.eye(3)}, ["--threshold", "nan"], "threshold is nan; it must be"),
        ({"epoch": 3}, [], "holds a dict without tensors"),
        (
            {"a.values": torch.ones(2), "a.src": torch.tensor([0, -1]), "a.dst": torch.tensor([0, 1])},
            [],
            "has an edge with a negative end",
        ),
        ({"a.values": torch.ones(2), "a.src": torch.zeros(2).int(), "a.dst": torch.zeros(2).int()}, [], "more than once"),
    ],
)
def test_state_dicts_that_cannot_be_read(
    state: dict[str, Any], arguments: list[object], message: str, run: Cli, tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "m.pt")
    refused(run("analyze", "m.pt", *arguments), message)


def test_other_refusals(run: Cli, tmp_path: Path) -> None:
    TOPOLOGY.save(tmp_path / "t.npz")
    refused(run("analyze", "t.npz", "--threshold", 0.1), "threshold is 0.1; it is for the weights of a state dict")
    (tmp_path / "t.doc").write_text("")
    refused(run("analyze", "t.doc"), "path 't.doc' ends in '.doc'; allowed are: .safetensors, .npz, .graphml, .csv")
    refused(run("analyze", "no.pt"), "path 'no.pt' is not a file")
    (tmp_path / "t.safetensors").write_bytes(b"noise")
    refused(run("analyze", "t.safetensors"), "file 't.safetensors' cannot be read")
    bad = {"format": b"csr", "shape": [2, 3], "data": [1.0, 1.0], "indices": [0, 9], "indptr": [0, 1, 2]}
    np.savez(tmp_path / "bad.npz", **{name: np.array(value) for name, value in bad.items()})
    refused(run("analyze", "bad.npz"), "file 'bad.npz' does not hold a topology")
    np.savez(tmp_path / "other.npz", x=np.arange(3))
    refused(run("analyze", "other.npz"), "file 'other.npz' does not hold a topology")


def test_a_run_beside_its_start(run: Cli, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(EXPERIMENT)
    assert run("train", "tiny.toml", "--out", "here").code == 0
    outcome = run("analyze", "here", "--nulls", 0, "--json", "report.json")
    assert (outcome.code, outcome.err) == (0, "")
    report = json.loads((tmp_path / "report.json").read_text())
    edges = {q["name"]: q for q in report["sections"][0]["quantities"]}["edges"]
    assert edges["control"]["value"] == 230 > edges["observed"]["value"]
    strength = {q["name"]: q for q in report["sections"][0]["quantities"]}["source_absolute_strength_mean"]
    assert strength["observed"]["value"] > 0  # the weights of the end are there, those of the start are not recorded
    assert run("analyze", "here", "--nulls", 1, "--html", "report.html").code == 0
    assert "laid out as the image" in (tmp_path / "report.html").read_text()
    (chain,) = layers(tmp_path / "here" / "checkpoint" / "last.safetensors")
    assert [layer.n_edges for layer in chain] == [section["n_edges"] for section in report["sections"][:2]]


def test_json_and_page_of_several_networks(run: Cli, tmp_path: Path) -> None:
    torch.save({"a.weight": torch.eye(5, 8), "b.weight": torch.eye(7, 9)}, tmp_path / "m.pt")
    outcome = run("analyze", "m.pt", "--nulls", 1, "--json", "r.json", "--html", "r.html")
    assert (outcome.code, outcome.err) == (0, "")
    assert "edges are the weights other than 0" in outcome.out
    table = json.loads((tmp_path / "r.json").read_text())
    assert [network["layers"] for network in table["networks"]] == ["a.weight", "b.weight"]
    assert table["source"]["notes"][0] == "edges are the weights other than 0"
    page = (tmp_path / "r.html").read_text()
    assert all(text in page for text in ("How it was read", "Measures: a.weight", "Pictures: b.weight"))


def test_ctrl_c_gives_the_report_so_far(run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generators.erdos_renyi(12, 9, n_edges=30, rng=0).save(tmp_path / "t.npz")
    describe = analysis.describe

    def interrupted(*arguments: Any, progress: Callable[[int, int], None], **keywords: Any) -> Any:
        def ring(done: int, total: int) -> None:
            progress(done, total)
            if done == 3:
                os.kill(os.getpid(), signal.SIGINT)

        return describe(*arguments, progress=ring, **keywords)

    monkeypatch.setattr(analysis, "describe", interrupted)
    outcome = run("analyze", "t.npz", "--nulls", 50, "--json", "r.json", "--html", "r.html")
    assert outcome.code == 130
    assert "Interrupted" in outcome.out
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["interrupted"]
    assert report["replicates"] < 50
    assert "Pictures" not in (tmp_path / "r.html").read_text()
