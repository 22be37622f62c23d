"""Topologies that layers and kernels must cope with, and what the tests of rewiring and training share."""

import numpy as np
import torch
from hypothesis import strategies as st

from netsci_nn import BipartiteTopology, SparseLinear
from netsci_nn.rewiring import EdgeDelta


def topology(n_in: int, n_out: int, edges: list[tuple[int, int]]) -> BipartiteTopology:
    return BipartiteTopology.from_edges(edges, n_in, n_out)


CASES = {
    "empty sources": topology(5, 4, [(1, 0), (3, 0), (1, 2), (3, 3), (3, 1)]),
    "empty targets": topology(4, 5, [(0, 1), (2, 1), (3, 1), (1, 3), (2, 3)]),
    "no edge": topology(3, 4, []),
    "one edge": topology(4, 3, [(2, 1)]),
    "full": topology(4, 3, [(i, j) for i in range(4) for j in range(3)]),
    "source hub": topology(5, 6, [(3, j) for j in range(6)]),
    "target hub": topology(6, 4, [(i, 2) for i in range(6)]),
    "one by one": topology(1, 1, [(0, 0)]),
    "irregular": topology(6, 5, [(0, 4), (5, 0), (2, 2), (2, 3), (4, 0), (1, 1), (2, 0), (5, 4), (3, 3)]),
}


def random_topology(rng: np.random.Generator, n_in: int, n_out: int, n_edges: int) -> BipartiteTopology:
    keys = rng.choice(n_in * n_out, size=n_edges, replace=False).astype(np.int64)
    return BipartiteTopology.from_keys(keys, n_in, n_out)


def random_delta(layer: SparseLinear, rng: np.random.Generator, n_dropped: int, n_grown: int) -> EdgeDelta:
    """Drop and grow at random; new edges may lie where one was just dropped, and come in no order."""
    dropped = rng.choice(layer.n_edges, size=n_dropped, replace=False)
    kept = set(np.delete(layer.topology.keys(), dropped).tolist())
    free = np.array([key for key in range(layer.n_in * layer.n_out) if key not in kept])
    grown = rng.choice(free, size=n_grown, replace=False)
    return EdgeDelta(dropped, grown % layer.n_in, grown // layer.n_in, rng.normal(size=n_grown).astype(np.float32))


def by_edge(layer: SparseLinear, tensor: torch.Tensor) -> dict[tuple[int, int], float]:
    """The entries of a per-edge tensor under their (source, target)."""
    return dict(zip(map(tuple, layer.topology.to_edges().tolist()), tensor.detach().tolist(), strict=True))


@st.composite
def topologies(draw: st.DrawFn, max_size: int = 9) -> BipartiteTopology:
    n_in, n_out = draw(st.integers(1, max_size)), draw(st.integers(1, max_size))
    keys = draw(st.sets(st.integers(0, n_in * n_out - 1)))
    return BipartiteTopology.from_keys(np.array(sorted(keys), dtype=np.int64), n_in, n_out)
