"""The index arrays that every kernel works on: the edges in both orientations."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch

from netsci_nn.topology import BipartiteTopology


class EdgeIndex(NamedTuple):
    """The edges of a topology by target (the order of the values) and by source, as tensors on one device."""

    n_in: int
    n_out: int
    src: torch.Tensor  # int32 [n_edges], source of edge k
    dst: torch.Tensor  # int32 [n_edges], target of edge k
    target_pointers: torch.Tensor  # int64 [n_out + 1], edges of target j are target_pointers[j] to target_pointers[j + 1]
    source_pointers: torch.Tensor  # int64 [n_in + 1], the same for sources, in the order of `by_source`
    by_source: torch.Tensor  # int32 [n_edges] (int64 from 2^31 edges on), edges sorted by (src, dst)
    dst_by_source: torch.Tensor  # int32 [n_edges], dst[by_source]


def edge_index(topology: BipartiteTopology, src: torch.Tensor, dst: torch.Tensor) -> EdgeIndex:
    """Build both orientations of `topology` in O(n_edges); `src` and `dst` are its edges as tensors on the device."""
    position = np.dtype(np.int32 if topology.n_edges < 2**31 else np.int64)
    positions = np.arange(topology.n_edges, dtype=position)
    shape = (topology.n_out, topology.n_in)
    by_source = scipy.sparse.csr_array((positions, topology.src, topology.row_pointers), shape=shape).tocsc()

    def tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        return torch.from_numpy(np.require(array, requirements="W")).to(device=src.device, dtype=dtype)

    return EdgeIndex(
        n_in=topology.n_in,
        n_out=topology.n_out,
        src=src,
        dst=dst,
        target_pointers=tensor(topology.row_pointers, torch.int64),
        source_pointers=tensor(by_source.indptr, torch.int64),
        by_source=torch.from_numpy(by_source.data).to(src.device),
        dst_by_source=tensor(by_source.indices, torch.int32),
    )
