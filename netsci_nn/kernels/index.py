"""The index arrays that every kernel works on: the edges in both orientations."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import scipy
import torch

from netsci_nn.errors import DataError, TopologyError
from netsci_nn.topology import BipartiteTopology


@dataclass
class Edition:
    """Whether edges still are those of their layer: a loss from before a rewiring must not reach the weights after it."""

    is_current: bool = True


@dataclass(frozen=True, eq=False)
class EdgeIndex:
    """The edges of a topology by target (the order of the values) and by source, as tensors on one device."""

    n_in: int
    n_out: int
    src: torch.Tensor  # int32 [n_edges], source of edge k
    dst: torch.Tensor  # int32 [n_edges], target of edge k
    target_pointers: torch.Tensor  # int64 [n_out + 1], edges of target j are target_pointers[j] to target_pointers[j + 1]
    source_pointers: torch.Tensor  # int64 [n_in + 1], the same for sources, in the order of `by_source`
    by_source: torch.Tensor  # int32 [n_edges] (int64 from 2^31 edges on), edges sorted by (src, dst)
    dst_by_source: torch.Tensor  # int32 [n_edges], dst[by_source]
    edition: Edition = field(default_factory=Edition)

    def check_current(self) -> None:
        """Raise a TopologyError if the layer's edges have changed since a product was computed."""
        if not self.edition.is_current:
            raise TopologyError(
                "the loss was computed before the layer was rewired, and its gradient belongs to edges that are gone; "
                "compute the loss again after a rewiring"
            )

    def check(
        self, *, values: torch.Tensor | None = None, x: torch.Tensor | None = None, y: torch.Tensor | None = None
    ) -> None:
        """Raise a DataError unless the operands of a product fit: compiled code would follow the indices out of memory.

        Args:
            values: one per edge, `[n_edges]`.
            x: `[n_in, batch]`.
            y: `[n_out, batch]`.
        """
        if values is not None and values.shape != self.src.shape:
            raise DataError(f"values has shape {list(values.shape)}; it must be [n_edges] = {list(self.src.shape)}")
        for name, operand, size_name, size in (("x", x, "n_in", self.n_in), ("y", y, "n_out", self.n_out)):
            if operand is not None and (operand.dim() != 2 or operand.shape[0] != size):
                raise DataError(
                    f"{name} has shape {list(operand.shape)}; it must be [{size_name}, batch], {size_name} = {size}"
                )
        if x is not None and y is not None and x.shape[1] != y.shape[1]:
            raise DataError(f"x has {x.shape[1]} columns and y has {y.shape[1]}; they must belong to one batch")
        dtypes = {operand.dtype for operand in (values, x, y) if operand is not None}
        if len(dtypes) > 1:
            raise DataError(f"operands have the dtypes {', '.join(sorted(map(str, dtypes)))}; a product needs one")


def edge_index(topology: BipartiteTopology, device: torch.device | str = "cpu", edition: Edition | None = None) -> EdgeIndex:
    """Build both orientations of `topology` in O(n_edges); on the CPU the edges stay in the topology's memory."""
    position = np.dtype(np.int32 if topology.n_edges < 2**31 else np.int64)
    positions = np.arange(topology.n_edges, dtype=position)
    shape = (topology.n_out, topology.n_in)
    by_source = scipy.sparse.csr_array((positions, topology.src, topology.target_pointers), shape=shape).tocsc()

    def tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(array).to(device=device, dtype=dtype)

    return EdgeIndex(
        n_in=topology.n_in,
        n_out=topology.n_out,
        src=tensor(topology.src, torch.int32),
        dst=tensor(topology.dst, torch.int32),
        target_pointers=tensor(topology.target_pointers, torch.int64),
        source_pointers=tensor(by_source.indptr, torch.int64),
        by_source=torch.from_numpy(by_source.data).to(device),
        dst_by_source=tensor(by_source.indices, torch.int32),
        edition=edition or Edition(),
    )
