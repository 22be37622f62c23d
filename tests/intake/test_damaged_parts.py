"""What is damaged in a file is left out with a word, and the rest is measured."""

from pathlib import Path

import numpy as np
import pytest
import torch

from analysis import as_layered
from netsci_nn import BipartiteTopology, SparseMLP
from netsci_nn.errors import CheckpointError
from netsci_nn.intake import take_in
from netsci_nn.topology import save_network, save_topology

FIRST, SECOND = BipartiteTopology(3, 2, [0, 2], [0, 1]), BipartiteTopology(2, 2, [0, 1], [0, 1])


def test_layers_of_a_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    state = SparseMLP([8, 12, 4], density=0.4, rng=0).state_dict()
    far = torch.sparse_coo_tensor(torch.tensor([[0], [99]]), torch.ones(1), (4, 6), check_invariants=False)
    state |= {"nan.weight": torch.eye(3) * torch.nan, "sound.weight": torch.eye(3), "far.weight": far}
    state["layers.1.dst"] = state["layers.1.dst"] + 50
    torch.save(state, path)
    found, notes, *_ = take_in(path)
    assert [network.name for network in found] == ["layers.0", "sound.weight"]
    said = " ".join(notes)
    assert "a tensor is left out, since it is damaged: tensor 'far.weight' [4, 6] is no valid COO tensor" in said
    assert "a layer is left out, since it is damaged: tensor 'nan.weight' holds NaN or infinity" in said
    assert "a layer is left out, since it is damaged: sparse layer 'layers.1': dst[0] is 5" in said
    torch.save({"nan.weight": torch.eye(3) * torch.nan, "far.weight": far}, path)
    with pytest.raises(CheckpointError, match=r"tensor 'nan\.weight' holds NaN or infinity"):
        take_in(path)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    save_network([FIRST, SECOND], path, [np.float32([1, np.nan]), np.float32([2, 3])])
    (network,), notes = take_in(path)
    assert notes == ["layer 0 is measured without weights, since 1 of 2 are NaN or infinity"]
    layers = as_layered(network.graph).layers
    assert layers[0].weights is None
    assert layers[1].weights.tolist() == [2, 3]
    for ending in ("csv", "npz", "safetensors"):
        save_topology(FIRST, tmp_path / f"t.{ending}", np.float32([np.inf, -np.inf]))
        (network,), notes = take_in(tmp_path / f"t.{ending}")
        assert notes == ["layer 0 is measured without weights, since 2 of 2 are NaN or infinity"]
        assert network.graph[0].weights is None
