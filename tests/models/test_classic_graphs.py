"""The graphs of the five classic networks: groups, layers, edges and links, counted by hand."""

import re
import warnings
from collections.abc import Callable
from itertools import pairwise

import igraph
import numpy as np
import pytest
import torch
from drawn_graphs import groups_of
from torch import nn

import netsci_nn as ns
from netsci_nn.models import classic, sparse_layers
from netsci_nn.models.wiring import wiring_of

# The modules of GoogLeNet: input channels; output channels of 1x1 | 1x1, 3x3 | 1x1, 5x5 | pooling, 1x1.
MODULES = [
    (192, 64, 96, 128, 16, 32, 32),
    (256, 128, 128, 192, 32, 96, 64),
    (480, 192, 96, 208, 16, 48, 64),
    (512, 160, 112, 224, 24, 64, 64),
    (512, 128, 128, 256, 24, 64, 64),
    (512, 112, 144, 288, 32, 64, 64),
    (528, 256, 160, 320, 32, 128, 128),
    (832, 256, 160, 320, 32, 128, 128),
    (832, 384, 192, 384, 48, 128, 128),
]
ALEXNET = [3, 96, 256, 384, 384, 256, 4096, 4096, 1000]
OVERFEAT = [3, 96, 256, 512, 1024, 1024, 3072, 4096, 1000]
VGG16 = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512, 4096, 4096, 1000]
GOOGLENET = [3, 64, 64, 192, *(width for _, *widths in MODULES for width in widths), 1000]
STAGES = [(64, 3), (128, 4), (256, 6), (512, 3)]  # of ResNet-50: width and number of bottlenecks, which give 4 times the width
RESNET50 = [3, 64, *(size for width, n in STAGES for size in n * (width, width, 4 * width)), 1000]


def pairs(sizes: list[int]) -> int:
    return sum(a * b for a, b in pairwise(sizes))


def sparse_graph(make: Callable[[], nn.Module], size: int) -> tuple[nn.Module, igraph.Graph]:
    """A network at a density of 1 %, of which the dense weights were never allocated, and its graph."""
    torch.manual_seed(0)
    with torch.device("meta"):
        model = make()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the whole model has a density of", UserWarning)  # of convolutions with groups
        ns.sparsify(model, density=0.01, rng=0)
    model.to_empty(device="cpu")
    for part in model.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    return model, ns.network_graph(model, torch.zeros(1, 3, size, size))


@pytest.mark.parametrize(
    ("make", "n_edges"),
    [
        # A flattened map has every channel 36 or 49 times; of AlexNet, three convolutions have two groups.
        (classic.alexnet, pairs(ALEXNET) - (96 * 256 + 384 * 384 + 384 * 256) // 2 + 35 * 256 * 4096),
        (classic.overfeat, pairs(OVERFEAT) + 35 * 1024 * 3072),
        (classic.vgg16, pairs(VGG16) + 48 * 512 * 4096),
        (
            classic.googlenet,
            pairs([3, 64, 64, 192]) + sum(x * (a + b + d + f) + b * c + d * e for x, a, b, c, d, e, f in MODULES) + 1024 * 1000,
        ),
        # A bottleneck reads 4 * width channels; the first of a stage those of the stage before, and so does its shortcut.
        (
            classic.resnet50,
            3 * 64
            + sum(n * (w * w + w * 4 * w) + (n - 1) * 4 * w * w for w, n in STAGES)
            + sum(read * (w + 4 * w) for read, (w, _) in zip((64, 256, 512, 1024), STAGES, strict=True))
            + 2048 * 1000,
        ),
    ],
)
def test_edges_of_dense_networks(make: Callable[[], nn.Module], n_edges: int) -> None:
    with torch.device("meta"), pytest.raises(ns.TopologyError, match=f"^model has {n_edges:,} edges, "):
        wiring_of(make(), most_edges=1)


@pytest.mark.parametrize("make", [classic.overfeat, classic.vgg16])
def test_two_are_too_large_unless_they_are_sparse(make: Callable[[], nn.Module]) -> None:
    with torch.device("meta"), pytest.raises(ns.TopologyError, match=re.escape("a graph may have at most 67,108,864; `spars")):
        ns.network_graph(make())


@pytest.mark.parametrize(
    ("make", "size", "groups", "places"),
    [(classic.alexnet, 227, ALEXNET, 36), (classic.overfeat, 231, OVERFEAT, 36), (classic.vgg16, 224, VGG16, 49)],
)
def test_chains(make: Callable[[], nn.Module], size: int, groups: list[int], places: int) -> None:
    """Every layer joins a group with the next; the first linear one reads every channel of a map at all its places."""
    model, graph = sparse_graph(make, size)
    assert groups_of(graph) == groups
    assert len(graph["layers"]) == len(groups) - 1
    vertices = np.split(np.arange(sum(groups)), np.cumsum(groups)[:-1])
    flattened = next(k for k, part in enumerate(graph["layers"]) if part["kind"] == "linear")
    for k, part in enumerate(graph["layers"]):
        expected = np.repeat(vertices[k], places) if k == flattened else vertices[k]
        np.testing.assert_array_equal(part["sources"], expected)
        np.testing.assert_array_equal(part["targets"], vertices[k + 1])
    sizes = [stop - start for start, stop in (part["edges"] for part in graph["layers"])]
    assert sum(sizes) == graph.ecount()
    sparse = [layer.n_edges for layer in sparse_layers(model)]
    assert [size for part, size in zip(graph["layers"], sizes, strict=True) if part["kind"] == "linear"] == sparse[-3:]


def test_googlenet() -> None:
    """Of a module, six groups: its branches are concatenated, and every branch of the next reads all four."""
    _, graph = sparse_graph(classic.googlenet, 64)
    assert groups_of(graph) == GOOGLENET
    assert len(graph["layers"]) == 3 + 9 * 6 + 1
    assert {part["kind"] for part in graph["layers"]} == {"convolution", "linear"}  # no links
    group = np.array(graph.vs["layer"])
    names = {part["name"]: part for part in graph["layers"]}
    modules = [int(name.split(".")[0]) for name in names if name.endswith("branches.0.0")]
    assert len(modules) == 9
    for number, module in enumerate(modules):
        read = [3] if number == 0 else [4 + 6 * (number - 1) + k for k in (0, 2, 4, 5)]
        for branch in ("branches.0.0", "branches.1.0.0", "branches.2.0.0", "branches.3.1.0"):
            sources = names[f"{module}.{branch}"]["sources"]
            assert np.unique(group[sources]).tolist() == read
            assert np.array_equal(sources, np.flatnonzero(np.isin(group, read)))  # in the order of the branches
    assert np.unique(group[graph["layers"][-1]["sources"]]).tolist() == [4 + 6 * 8 + k for k in (0, 2, 4, 5)]


def test_resnet50() -> None:
    """A stage has one bottleneck whose shortcut is a layer, and others over which links lead."""
    model, graph = sparse_graph(classic.resnet50, 64)
    assert groups_of(graph) == RESNET50
    *layers, links = graph["layers"]
    assert len(layers) == 1 + 16 * 3 + 4 + 1
    assert links["kind"] == "link"
    first, last = links["edges"]
    assert last - first == 2 * 256 + 3 * 512 + 5 * 1024 + 2 * 2048 == 11_264
    starts = np.cumsum([0, *RESNET50])
    ends = [(block, block + 1) for block in range(16) if block not in (2, 6, 12, 15)]  # the last of a stage leads to a layer
    outputs = [4 + 3 * block for block in range(16)]
    expected = {
        (int(starts[outputs[a]]) + k, int(starts[outputs[b]]) + k) for a, b in ends for k in range(RESNET50[outputs[a]])
    }
    assert {(a, b) for a, b in graph.get_edgelist()[first:last]} == expected
    dense = sum(part.weight.flatten(2).shape[:2].numel() for part in model.modules() if isinstance(part, nn.Conv2d))
    assert first == sum(layer.n_edges for layer in sparse_layers(model)) + dense
