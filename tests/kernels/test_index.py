"""Both orientations of the edges equal those of scipy, at sizes that take one thread, several, and chunks of sources."""

import numpy as np
import pytest
import scipy
import torch

from netsci_nn import generators
from netsci_nn.kernels import index as index_module
from netsci_nn.kernels.index import SOURCES, edge_index


@pytest.mark.parametrize(
    ("n_in", "n_out", "n_edges"),
    [
        (1, 1, 0),
        (1, 1, 1),
        (5, 7, 0),
        (60, 50, 800),
        (3 * SOURCES + 5, 300, 90_000),
        (300, 3 * SOURCES, 90_000),
        (3 * SOURCES, 3 * SOURCES, 100_000),
        (2000, 1500, 600_000),
    ],
)
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("many", [0, 10**9], ids=["compiled", "by scipy"])
def test_edges_by_source(
    n_in: int, n_out: int, n_edges: int, n_threads: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "MANY_EDGES", many)
    topology = generators.erdos_renyi(n_in, n_out, n_edges=n_edges, rng=0)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        index = edge_index(topology)
    finally:
        torch.set_num_threads(before)
    matrix = scipy.sparse.csr_array((np.arange(n_edges), topology.src, topology.target_pointers), shape=(n_out, n_in)).tocsc()
    np.testing.assert_array_equal(index.by_source.numpy(), matrix.data)
    np.testing.assert_array_equal(index.dst_by_source.numpy(), matrix.indices)
    np.testing.assert_array_equal(index.source_pointers.numpy(), matrix.indptr)
    assert (index.by_source.dtype, index.source_pointers.dtype) == (torch.int32, torch.int64)
