"""Files of models with convolutions, dense, pruned and sparse: as graphs, and loaded into models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

import netsci_nn as ns
from analysis import as_layered
from netsci_nn import SparseConv1d, SparseConv2d, generators
from netsci_nn.errors import CheckpointError
from netsci_nn.intake import take_in
from netsci_nn.topology import load_weighted

CHANNELS = (
    "convolutions are taken as graphs of their channels, grouped ones of those within a group: an edge where any entry of a "
    "kernel is one, its weight the L2 norm of the kernel: "
)
KERNELS = "sparse layers with a kernel on every edge, whose weight is the L2 norm of the kernel: "


def saved(model: nn.Module, path: Path) -> Path:
    save_file(model.state_dict(), path) if path.suffix == ".safetensors" else torch.save(model.state_dict(), path)
    return path


def layers(path: Path, **options: Any) -> list[Any]:
    return [as_layered(network.graph).layers[0] for network in take_in(path, **options).networks]


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_sparse_convolutions_are_graphs_whose_weights_are_strengths(ending: str, tmp_path: Path) -> None:
    model = nn.ModuleDict({
        "channels": SparseConv2d(generators.erdos_renyi(4, 6, density=0.5, rng=0), (3, 2)),
        "line": SparseConv1d(generators.erdos_renyi(6, 5, density=0.5, rng=1), 3, bias=False),
        "patch": SparseConv2d(generators.erdos_renyi(5 * 4, 3, density=0.5, rng=2), 2, graph="patch"),
    })  # fmt: skip
    model["channels"].active = np.arange(12) % 2 == 0
    path = saved(model, tmp_path / f"m.{ending}")
    found = layers(path)
    names = [network.name for network in take_in(path).networks]
    for name, graph in zip(names, found, strict=True):
        layer = model[name]
        assert (graph.n_in, graph.n_out) == (layer.n_in, layer.n_out)
        np.testing.assert_array_equal(graph.src, layer.topology.src)
        np.testing.assert_allclose(graph.weights, layer.edge_weights(), rtol=1e-6)
    assert sorted(names) == ["channels", "line", "patch"]
    note = next(note for note in take_in(path).notes if note.startswith(KERNELS))
    assert sorted(note.removeprefix(KERNELS).split("], ")) == ["channels.weight [12, 3, 2", "line.weight [15, 3]"]


def test_dense_pruned_and_grouped_convolutions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Conv1d(6, 5, 4), nn.ConvTranspose1d(5, 7, 2))
    prune.l1_unstructured(model[0], "weight", amount=90)
    with torch.no_grad():
        model[1].weight[:, 1::2] = 0
    path = saved(model, tmp_path / "m.pt")
    first, second, third = layers(path)
    norms = model[0].weight.detach().flatten(2).norm(dim=2).numpy()
    assert (first.n_in, first.n_out, first.n_edges) == (2, 6, np.count_nonzero(norms))
    np.testing.assert_allclose(first.weights, norms[norms > 0], rtol=1e-6)
    assert (second.n_in, second.n_out, second.n_edges) == (6, 5, 15)
    np.testing.assert_allclose(second.weights, model[1].weight.detach()[:, ::2].norm(dim=2).reshape(-1).numpy(), rtol=1e-6)
    assert (third.n_in, third.n_out) == (5, 7)  # its bias tells that its weight is [n_in, n_out, length]
    assert f"{CHANNELS}0.weight [6, 2, 3, 3], 1.weight [5, 6, 4], 2.weight [5, 7, 2]" in take_in(path).notes
    largest = model[1].weight.detach().abs().amax(2)
    assert layers(path, threshold=0.15)[1].n_edges == (largest > 0.15).sum()


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Sequential(nn.Conv1d(6, 6, 1), nn.ReLU()), nn.Linear(6, 2))


def sparse(kind: str) -> nn.Sequential:
    torch.manual_seed(1)
    model: Any = network()
    if kind == "mixed":  # a patch graph of kernels with one entry, too
        model[0] = SparseConv2d.from_dense(model[0])
        model[1][0] = SparseConv1d.from_dense(model[1][0], generators.erdos_renyi(6, 6, density=0.3, rng=0), graph="patch")
        return model
    return ns.pruning.restrict(model, ns.pruning.prune(model, density=0.2, convolutions=kind))  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["weight", "kernel", "mixed"])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_sparse_convolutions_are_loaded_into_dense_and_sparse_models(kind: str, ending: str, tmp_path: Path) -> None:
    model = sparse(kind)
    path = saved(model, tmp_path / f"m.{ending}")
    for target in (network(), sparse(kind)):
        loaded: Any = ns.load_pretrained(target, path)
        assert loaded is target
        for name, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor)
        assert [type(module) for module in loaded.modules()] == [type(module) for module in model.modules()]
        assert [getattr(module, "graph", None) for module in loaded.modules()] == [
            getattr(module, "graph", None) for module in model.modules()
        ]
        x = torch.randn(2, 4, 5, 5)
        assert torch.equal(loaded[0](x), model[0](x))


def test_files_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    path = saved(sparse("weight"), tmp_path / "m.pt")

    def refused(model: nn.Module, message: str) -> None:
        kinds = [type(module) for module in model.modules()]
        with pytest.raises(CheckpointError, match=message):
            ns.load_pretrained(model, path)
        assert [type(module) for module in model.modules()] == kinds

    other = network()
    other[0] = nn.Conv2d(4, 6, 2, groups=2)
    refused(other, "layer '0' joins 36 sources and 6 targets, and in the model 16 and 6")
    refused(sparse("kernel"), r"layer '0' has kernels \[\] on its edges, and in the model \[3, 3\]")
    narrow = network()
    narrow[0] = nn.Conv2d(4, 6, 3, groups=1)
    ns.load_pretrained(narrow, path)  # a convolution without groups has all pairs
    depthwise = nn.Sequential(nn.Conv2d(6, 6, 3, groups=6), nn.ReLU())
    path = saved(nn.Sequential(SparseConv2d(generators.erdos_renyi(6, 6, density=0.9, rng=0), 3)), tmp_path / "full.pt")
    refused(depthwise, "does not fit the model: topology joins channels of different groups")
    transposed = nn.Sequential(nn.ConvTranspose2d(6, 6, 3))
    refused(transposed, "layer '0' is sparse in the file, and the model has a ConvTranspose2d there")


@pytest.mark.parametrize("ending", ["safetensors", "npz", "graphml", "csv"])
def test_topologies_of_convolutions_in_files(ending: str, tmp_path: Path) -> None:
    for graph, n_in in (("channel", 4), ("patch", 36)):
        layer = SparseConv2d(generators.erdos_renyi(n_in, 6, density=0.5, rng=0), 3, graph=graph)
        layer.topology.save(tmp_path / f"{graph}.{ending}", weights=layer.edge_weights())
        topology, weights = load_weighted(tmp_path / f"{graph}.{ending}")
        assert topology == layer.topology
        np.testing.assert_allclose(weights, layer.edge_weights(), rtol=1e-6)
        mirror = layer.to_igraph()
        assert [(a, b - n_in) for a, b in mirror.get_edgelist()] == [tuple(edge) for edge in topology.to_edges().tolist()]
        np.testing.assert_allclose(np.abs(mirror.es["weight"]), layer.strength().numpy(), rtol=1e-6)
