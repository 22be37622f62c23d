"""The index arrays that every kernel works on: the edges in both orientations."""

from __future__ import annotations

import secrets
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import scipy
import torch

from netsci_nn.compiling import njit
from netsci_nn.errors import DataError, TopologyError
from netsci_nn.kernels.parallel import run_edges
from netsci_nn.topology import BipartiteTopology
from netsci_nn.topology.value import check_topology

MIXED = {torch.bfloat16, torch.float32}  # dtypes that a product may be of, for backends that mix them
SOURCES, EDGES = 16_384, 4  # sources whose edges are listed together: so many, or a target's edges among them on average
LISTING = 8  # what it costs to list an edge by its source, in multiply-adds
MANY_EDGES = 10**6  # from which they are listed by compiled code
MAX_FOREIGN = 256  # sets of edges of programs that another process compiled, whose both orientations are kept


Watcher = Callable[..., None]


class Edition:
    """The edges of a layer from one change to the next, and what is computed from them once.

    A loss from before a change must not reach the weights after it, and an exported program, which shares the layer's weights,
    must not compute with them on former edges. `retire` tells that to whoever holds the `mark`: indices in eager mode, and
    programs, which hold nothing but tensors.

    Attributes:
        topology: the edges.
        src: int32 `[n_edges]` on the CPU, in the topology's memory.
        dst: int32 `[n_edges]`, likewise.
        mark: int64 `[1]` on the CPU, a number that no other edition has, or 0 if the layer has other edges by now.
    """

    _known: ClassVar[WeakValueDictionary[int, Edition]] = WeakValueDictionary()
    _foreign: ClassVar[OrderedDict[int, Edition]] = OrderedDict()

    @torch.inference_mode(False)  # whoever trains later could not save tensors of that mode for the backward pass
    def __init__(self, topology: BipartiteTopology) -> None:
        check_topology("topology", topology)
        self.topology = topology
        self.src, self.dst = _tensor(topology.src), _tensor(topology.dst)
        number = 1 + secrets.randbits(62)
        self.mark = torch.tensor([number], device="cpu")
        self._index: EdgeIndex | None = None
        self._known[number] = self

    def __reduce__(self) -> tuple[Any, ...]:
        return Edition, (self.topology,)

    def index(self, device: torch.device) -> EdgeIndex:
        """Return the edges in both orientations, cached until another device is asked for."""
        if self._index is None or self._index.src.device != device:
            self._index = edge_index(self.topology, device, self.mark)
        return self._index

    def retire(self) -> None:
        """Say that the layer has other edges from now on."""
        self.mark.numpy()[0] = 0  # not by torch: autograd would complain about the change instead of reading it

    @classmethod
    def of_mark(cls, mark: torch.Tensor, src: torch.Tensor, dst: torch.Tensor, n_in: int, n_out: int) -> Edition:
        """Return the edition that has this mark; if it comes from another process, one of the same edges.

        Raises:
            TopologyError: if the edition is of the past, or these are no edges.
        """
        number = int(mark.item())
        if number == 0:
            raise TopologyError(
                "the layer was rewired since this program was exported or this loss computed, and the edges are gone; "
                "export again, or compute the loss again, after a rewiring"
            )
        edition = cls._known.get(number) or cls._foreign.get(number)
        if edition is None:
            edition = cls._foreign[number] = cls(BipartiteTopology(n_in, n_out, src.cpu().numpy(), dst.cpu().numpy()))
            if len(cls._foreign) > MAX_FOREIGN:
                cls._foreign.popitem(last=False)
        return edition


class Edges(NamedTuple):
    """The edges in one orientation, as arrays.

    Attributes:
        columns: int32 `[n_edges]`, the other end of each edge.
        pointers: int64 `[n_rows + 1]`, edges of row i are pointers[i] to pointers[i + 1].
        n_columns: number of neurons at the other ends.
        n_rows: number of neurons at this end.
    """

    columns: np.ndarray
    pointers: np.ndarray
    n_columns: int
    n_rows: int

    @property
    def degree(self) -> float:
        """Edges of a row, on average."""
        return len(self.columns) / self.n_rows


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
    mark: torch.Tensor  # of the edition
    watchers: list[Watcher] = field(default_factory=list)  # told of every part of the gradient to the values

    def tell(self, x: torch.Tensor, y: torch.Tensor, *further: Any) -> None:
        """Tell the watchers what a backward pass adds to the gradient of the values: sum(x[src[k]] * y[dst[k]]) to value k.

        Of a convolution x and y are images, and `further` is the window.
        """
        if self.watchers and not torch._C._are_functorch_transforms_active():
            for watcher in self.watchers:
                watcher(x, y, *further)

    @cached_property
    def by_target(self) -> Edges:
        """The edges by target, for compiled code."""
        return Edges(self.src.numpy(), self.target_pointers.numpy(), self.n_in, self.n_out)

    @cached_property
    def from_source(self) -> Edges:
        """The edges by source, for compiled code."""
        return Edges(self.dst_by_source.numpy(), self.source_pointers.numpy(), self.n_out, self.n_in)

    @cached_property
    def order(self) -> np.ndarray:
        """`by_source`, for compiled code."""
        return self.by_source.numpy()

    def check_current(self) -> None:
        """Raise a TopologyError if the layer's edges have changed since a product was computed."""
        if self.mark.item() == 0:
            raise TopologyError(
                "the loss was computed before the layer was rewired, and its gradient belongs to edges that are gone; "
                "compute the loss again after a rewiring"
            )

    def check(self, mixes: bool = False, **operands: torch.Tensor | None) -> None:
        """Raise a DataError unless the operands of a product fit: compiled code would follow the indices out of memory.

        Args:
            mixes: whether x and y may be bfloat16 beside others in float32.
            operands: some of `values`, one per edge, `[n_edges]`; `x`, `[n_in, batch]`; `y`, `[n_out, batch]`; and `bias`,
                `[n_out]`, or None if there is none.
        """
        for name, operand in operands.items():
            if not isinstance(operand, torch.Tensor) and not (name == "bias" and operand is None):
                raise DataError(f"{name} is a {type(operand).__name__}; it must be a dense tensor")
            if operand is not None and operand.layout != torch.strided:
                raise DataError(f"{name} is a tensor of layout {operand.layout}; it must be a dense tensor")
        values, x, y, bias = map(operands.get, ("values", "x", "y", "bias"))
        if values is not None and values.shape != self.src.shape:
            raise DataError(f"values has shape {list(values.shape)}; it must be [n_edges] = {list(self.src.shape)}")
        for name, operand, size_name, size in (("x", x, "n_in", self.n_in), ("y", y, "n_out", self.n_out)):
            if operand is not None and (operand.dim() != 2 or operand.shape[0] != size):
                raise DataError(
                    f"{name} has shape {list(operand.shape)}; it must be [{size_name}, batch], {size_name} = {size}"
                )
        if x is not None and y is not None and x.shape[1] != y.shape[1]:
            raise DataError(f"x has {x.shape[1]} columns and y has {y.shape[1]}; they must belong to one batch")
        if bias is not None and bias.shape != (self.n_out,):
            raise DataError(f"bias has shape {list(bias.shape)}; it must be [n_out] = [{self.n_out}]")
        if values is not None:
            for name, operand in (("x", x), ("y", y), ("bias", bias)):
                if operand is not None and operand.device != values.device:
                    raise DataError(f"values are on {values.device} and {name} on {operand.device}; a product needs one device")
        dtypes = {operand.dtype for operand in operands.values() if operand is not None}
        if len(dtypes) > 1 and not (mixes and dtypes == MIXED and (values is None or values.dtype == torch.float32)):
            raise DataError(f"operands have the dtypes {', '.join(sorted(map(str, dtypes)))}; a product needs one")


@torch.inference_mode(False)
def edge_index(topology: BipartiteTopology, device: torch.device | str = "cpu", mark: torch.Tensor | None = None) -> EdgeIndex:
    """Build both orientations of `topology` in O(n_edges); on the CPU the edges stay in the topology's memory."""
    check_topology("topology", topology)
    source_pointers = np.concatenate([[0], np.cumsum(topology.out_degrees)])
    list_edges = _listed_by_scipy if topology.n_edges < MANY_EDGES else _listed
    by_source, dst_by_source = list_edges(topology, source_pointers)
    return EdgeIndex(
        n_in=topology.n_in,
        n_out=topology.n_out,
        src=_tensor(topology.src).to(device),
        dst=_tensor(topology.dst).to(device),
        target_pointers=_tensor(topology.target_pointers).to(device),
        source_pointers=_tensor(source_pointers).to(device),
        by_source=_tensor(by_source).to(device),
        dst_by_source=_tensor(dst_by_source).to(device),
        mark=Edition(topology).mark if mark is None else mark,
    )


def _listed_by_scipy(topology: BipartiteTopology, source_pointers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and targets of the edges by source: of few edges, as it takes longer to compile than to list them."""
    positions, shape = np.arange(topology.n_edges, dtype=np.int32), (topology.n_out, topology.n_in)
    by_source = scipy.sparse.csr_array((positions, topology.src, topology.target_pointers), shape=shape).tocsc()
    return by_source.data, by_source.indices.astype(np.int32, copy=False)


def _listed(topology: BipartiteTopology, source_pointers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and targets of the edges by source, by all threads; each takes some of the sources."""
    size, pointers = topology.n_edges, topology.target_pointers
    by_source, dst_by_source = np.empty(size, np.int32 if size < 2**31 else np.int64), np.empty(size, np.int32)
    chunk = max(SOURCES, EDGES * topology.n_in * topology.n_out // max(size, 1))

    def work(first: int, end: int) -> None:
        place, next_edge = source_pointers[first:end].copy(), pointers[:-1].copy()
        _list_by_source(topology.src, pointers, place, next_edge, chunk, by_source, dst_by_source, first, end)

    run_edges(work, source_pointers, LISTING)
    return by_source, dst_by_source


@njit(cache=True, nogil=True)
def _list_by_source(src, pointers, place, next_edge, chunk, by_source, dst_by_source, first, end):  # type: ignore[no-untyped-def]
    """Write position and target of the edges of sources first..end - 1, which are sorted by target, by source.

    The sources come in chunks, so that what is written stays near a cache. `place` is where the edges of each of them begin,
    `next_edge` where those of each target do.
    """
    for target in range(len(next_edge) if first > 0 else 0):
        while next_edge[target] < pointers[target + 1] and src[next_edge[target]] < first:
            next_edge[target] += 1
    for start in range(first, end, chunk):
        last = min(start + chunk, end)
        for target in range(len(next_edge)):
            edge, behind = next_edge[target], pointers[target + 1]
            while edge < behind and src[edge] < last:
                source = src[edge] - first
                by_source[place[source]] = edge
                dst_by_source[place[source]] = target
                place[source] += 1
                edge += 1
            next_edge[target] = edge


def _tensor(array: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor in the same memory, which nobody may write to if the array forbids it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
