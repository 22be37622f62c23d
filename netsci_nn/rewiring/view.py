"""`EdgeView`: what a rewiring rule sees of a layer, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from netsci_nn.compiling import njit
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.dense_gradient import DenseGradient
from netsci_nn.topology import Int64Array, IntArray

Memory = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class EdgeView:
    """A layer at the moment of a rewiring step, as arrays to read, and what training knows at that moment.

    Attributes:
        n_in: number of sources.
        n_out: number of targets.
        src: int32 `[n_edges]`, the source of every edge; edges are sorted by (dst, src).
        dst: int32 `[n_edges]`, the target of every edge.
        weight: `[n_edges, *kernel]`.
        active: bool `[n_edges]`, the layer's forward mask, or None if every edge is active.
        step: mini-batches trained so far, or None if no training is running.
        total_steps: mini-batches that the training will have in all, or None if nobody knows.
        is_last: whether no training follows.
        learning_rate: of the layer's weights, or None without an optimiser.
        previous: `[n_edges, *kernel]`, the weights after the rule's last action on the layer (at first: when training began),
            for rules that need "previous"; else None.
        gradient: `[n_edges, *kernel]`, the gradient with respect to the weights, for rules that need "gradient"; else None.
        dense_gradient: the gradient with respect to every pair of neurons, for rules that need "dense_gradient"; else None.
        memory: what the rule keeps for the layer, by name, for rules with `remember`; else None. It may be changed in place.
    """

    n_in: int
    n_out: int
    src: IntArray
    dst: IntArray
    weight: npt.NDArray[np.floating]
    active: npt.NDArray[np.bool_] | None = None
    step: int | None = None
    total_steps: int | None = None
    is_last: bool = False
    learning_rate: float | None = None
    previous: npt.NDArray[np.floating] | None = None
    gradient: npt.NDArray[np.floating] | None = None
    dense_gradient: DenseGradient | None = None
    memory: Memory | None = None

    def __post_init__(self) -> None:
        if self.previous is not None and self.previous.shape != self.weight.shape:
            raise ConfigError(
                f"previous has shape {self.previous.shape}; it must be that of the weights, {self.weight.shape}: "
                "nothing else may change the edges of a layer between two actions of a rule that needs it"
            )
        # A rule proposes and changes nothing: it gets copies of the edges, and weights that it cannot write to.
        object.__setattr__(self, "src", self.src.copy())
        object.__setattr__(self, "dst", self.dst.copy())
        object.__setattr__(self, "active", None if self.active is None else self.active.copy())
        weight = self.weight.view()
        weight.setflags(write=False)
        object.__setattr__(self, "weight", weight)

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.src)

    @property
    def kernel(self) -> tuple[int, ...]:
        """Shape of what an edge carries: () for one weight per edge."""
        return self.weight.shape[1:]

    def keys(self) -> Int64Array:
        """Return dst * n_in + src of every edge, int64 `[n_edges]`, increasing."""
        return self.dst.astype(np.int64) * self.n_in + self.src

    def zeros(self, count: int) -> npt.NDArray[np.floating]:
        """Return `[count, *kernel]` zeros in the dtype of the weights: new edges that start at 0."""
        return np.zeros((count, *self.kernel), self.weight.dtype)


def keys_without(view: EdgeView, dropped: Int64Array) -> Int64Array:
    """Return the keys of all edges but those at the positions `dropped`, increasing."""
    stays = np.ones(view.n_edges, np.bool_)
    stays[dropped] = False
    return _keys_of(view.src, view.dst, view.n_in, stays, np.count_nonzero(stays))


@njit(cache=True, nogil=True)
def _keys_of(src, dst, n_in, stays, count):  # type: ignore[no-untyped-def]
    keys, place = np.empty(count + 1, np.int64), 0
    for edge in range(len(src)):
        keys[place] = np.int64(dst[edge]) * n_in + src[edge]
        place += stays[edge]  # without a branch: which edges go is random, so it would be guessed wrong
    return keys[:count]


def strength(weight: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the sizes of `[n_edges, *kernel]` numbers: |w|, or the Euclidean norm over a kernel; `[n_edges]`."""
    return np.abs(weight) if weight.ndim == 1 else np.linalg.norm(weight.reshape(len(weight), -1), axis=1)


def check_finite(rule: str, values: npt.NDArray[np.floating]) -> None:
    """Raise a TopologyError unless the weights, or strengths, of all edges are finite."""
    if not np.isfinite(values).all():
        position = int((~np.isfinite(values)).argmax())
        raise TopologyError(f"the weight of edge {position} is {values[position]}; {rule} needs finite weights")


def edge_view(layer: SparseLayer, **context: Any) -> EdgeView:
    """Return a layer as the arrays that a rule sees.

    Args:
        layer: a sparse layer.
        context: the fields of `EdgeView` that only training knows (`step`, `learning_rate`, `previous`, ...).

    Raises:
        ConfigError: if `layer` is no sparse layer, is sharded over ranks or on the meta device, its weights are not one per
            edge, or `previous` is not of their shape.

    Example:
        >>> import torch
        >>> from netsci_nn import SparseLinear, generators, rewiring
        >>> layer = SparseLinear(generators.erdos_renyi(20, 10, n_edges=50, rng=0))
        >>> _ = layer.weight.data.copy_(torch.linspace(-1, 1, 50))
        >>> rewiring.SparseEvolution(0.3).propose(rewiring.edge_view(layer), rng=0)
        EdgeDelta(18 dropped, 18 grown)
    """
    if not isinstance(layer, SparseLayer):
        raise ConfigError(f"layer is a {type(layer).__name__}; it must be a SparseLayer, for example a SparseLinear")
    check_whole(layer)
    weight = layer._known_weight()
    topology = layer._topology
    array = (weight.float() if weight.element_size() == 2 else weight).cpu().numpy()
    if len(array) != topology.n_edges:
        raise ConfigError(f"weight has shape {array.shape}; the layer has {topology.n_edges} edges")
    return EdgeView(topology.n_in, topology.n_out, topology.src, topology.dst, array, layer._active, **context)


def check_whole(layer: SparseLayer) -> None:
    """Raise a ConfigError if the layer's weights are spread over ranks."""
    weight = layer.weight
    # A DTensor, as fully_shard makes it, or what FSDP's first version leaves of a parameter.
    if hasattr(weight, "placements") or getattr(weight, "_fsdp_flattened", False):
        raise ConfigError(
            f"layer.weight is a {type(weight).__name__} that FSDP shards over ranks; edges can change only where every rank "
            "holds the whole layer: rewire before sharding, or train with DistributedDataParallel"
        )
