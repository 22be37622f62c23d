"""10^5 random rewirings of both kinds of layers under every optimiser that keeps a tensor per parameter.

After every one, weights, births, gradient and every per-edge tensor of the optimiser must agree, edge by edge, with a
transcription in dictionaries from pairs (source, target) to numbers, which knows no order of edges.
"""

from typing import Any

import numpy as np
import pytest
import torch
from kernel_layer import KernelLayer

from netsci_nn import SparseLinear, generators
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring import EdgeDelta, apply_delta
from netsci_nn.training import OPTIMIZERS

REWIRINGS = 100_000
SIZES = 7, 6
OPTIONS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9},
    "rmsprop": {"momentum": 0.5, "centered": True},
    "adam": {"amsgrad": True},
}
CASES = [(kind, name) for kind in ("linear", "kernels") for name in [*sorted(OPTIMIZERS), "adafactor"]]

Edges = dict[int, Any]


def make(kind: str) -> SparseLayer:
    topology = generators.erdos_renyi(*SIZES, n_edges=15, rng=0)
    return SparseLinear(topology) if kind == "linear" else KernelLayer(topology, (2, 3))


def by_pair(layer: SparseLayer, tensor: torch.Tensor) -> Edges:
    return dict(zip(layer.topology.keys().tolist(), tensor.detach().tolist(), strict=True))


def snapshot(layer: SparseLayer, optimizer: torch.optim.Optimizer) -> dict[str, Edges]:
    tensors = {"weight": layer.weight, "birth": layer.birth, "gradient": layer.weight.grad}
    tensors |= {name: value for name, value in optimizer.state[layer.weight].items() if isinstance(value, torch.Tensor)}
    return {
        name: by_pair(layer, tensor)
        for name, tensor in tensors.items()
        if tensor is not None and tensor.dim() > 0 and len(tensor) == layer.n_edges
    }


def random_delta(layer: SparseLayer, rng: np.random.Generator) -> EdgeDelta:
    n_pairs, keys = SIZES[0] * SIZES[1], layer.topology.keys()
    n_dropped = int(rng.integers(min(5, layer.n_edges) + 1))
    dropped = rng.choice(layer.n_edges, n_dropped, replace=False)
    free = np.setdiff1d(np.arange(n_pairs), np.delete(keys, dropped))
    # As many as dropped in one half of the cases, else any number that keeps the layer between 2 and 40 edges.
    n_left = layer.n_edges - n_dropped
    n_grown = n_dropped if rng.random() < 0.5 else int(rng.integers(max(0, 2 - n_left), min(7, 40 - n_left, len(free)) + 1))
    grown = rng.choice(free, n_grown, replace=False)
    values = rng.normal(size=(n_grown, *layer.weight.shape[1:])).astype(np.float32)
    return EdgeDelta(dropped, grown % SIZES[0], grown // SIZES[0], values)


def first_state(optimizer: torch.optim.Optimizer, name: str) -> float:
    """What the optimiser itself gives a weight before its first step."""
    return {"step_size": optimizer.param_groups[0]["lr"]}.get(name, 0.0)


@pytest.mark.laws
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_edges_weights_births_and_optimiser_agree_after_every_rewiring(kind: str, name: str) -> None:
    torch.manual_seed(0)
    rng, layer = np.random.default_rng(1), make(kind)
    factory = torch.optim.Adafactor if name == "adafactor" else OPTIMIZERS[name]
    optimizer = factory(layer.parameters(), lr=1e-3, **OPTIONS.get(name, {}))
    parameter, n_checked = layer.weight, 0
    for step in range(1, REWIRINGS // len(CASES) + 1):
        if step % 4 == 1:
            layer.weight.grad = torch.randn_like(layer.weight)
            optimizer.step()
        before, delta = snapshot(layer, optimizer), random_delta(layer, rng)
        keys = layer.topology.keys()
        gone = set(keys[delta.dropped].tolist())
        new = dict(zip((delta.grown_dst * SIZES[0] + delta.grown_src).tolist(), delta.grown_values.tolist(), strict=True))
        apply_delta(layer, delta, optimizer, step=step)
        assert layer.weight is parameter
        assert len(layer.weight) == layer.n_edges == layer.topology.n_edges
        after = snapshot(layer, optimizer)
        assert after.keys() == before.keys()
        for part, entries in after.items():
            start: Any = {"weight": None, "birth": step}.get(part, first_state(optimizer, part))
            expected = {key: value for key, value in before[part].items() if key not in gone}
            shape = np.array(next(iter(entries.values()))).shape
            for key, value in new.items():
                expected[key] = value if part == "weight" else np.full(shape, start, np.float32).tolist()
            assert entries == expected, (part, step)
            n_checked += len(entries)
    assert n_checked > REWIRINGS // len(CASES) * 3
