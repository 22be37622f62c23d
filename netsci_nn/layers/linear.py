"""`SparseLinear`: a linear layer whose weights live on the edges of a bipartite graph."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from netsci_nn import bridge
from netsci_nn.errors import ConfigError, DataError, TopologyError
from netsci_nn.kernels import BACKENDS, Backend, EdgeIndex, choose_backend, edge_index, sparse_product
from netsci_nn.layers.init import kaiming_normal_
from netsci_nn.topology import BipartiteTopology

if TYPE_CHECKING:
    import igraph


class SparseLinear(nn.Module):
    """y = W x + b where W has an entry for every edge of a topology and nowhere else.

    `values[k]` is the weight of edge k of `topology`, which is edge id k of `to_igraph()`. The parameter is a strided
    1-D tensor, so every optimiser works on it. Weights are drawn from torch's global generator, scaled by each target's
    in-degree; biases start at 0.

    Args:
        topology: the edges.
        bias: whether to add a bias per target.
        backend: "auto", "compiled", "csr", "dense" or "torch-sparse" (see `netsci_nn.kernels`).
        device: where parameters are created.
        dtype: floating dtype of the parameters.

    Shapes: x `(..., n_in)` to `(..., n_out)`. The output of a batch is feature-major in memory, which spares the next
    sparse layer a transpose; call `.contiguous()` before `.view`.

    Raises:
        ConfigError: when the backend is unknown or not available.
        DataError: when the input's last dimension is not n_in, or its dtype not the layer's. Under autocast the input is
            cast to the layer's dtype.
    """

    values: nn.Parameter
    bias: nn.Parameter | None
    src: torch.Tensor
    dst: torch.Tensor
    birth: torch.Tensor
    _index: EdgeIndex | None
    _mirror: igraph.Graph | None
    _checked: tuple[Any, ...]

    def __init__(
        self,
        topology: BipartiteTopology,
        bias: bool = True,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(topology, BipartiteTopology):
            raise TopologyError(f"topology is a {type(topology).__name__}; it must be a BipartiteTopology")
        self.backend = backend
        self.values = nn.Parameter(torch.empty(topology.n_edges, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(topology.n_out, device=device, dtype=dtype)) if bias else None
        if backend != "auto":
            self._supporting(backend)
        self.topology_version = 0
        self._set_topology(topology, torch.zeros(topology.n_edges, dtype=torch.int32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights (see `netsci_nn.layers.init`) and set the biases to 0."""
        kaiming_normal_(self.values, self.dst, self.n_out)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @property
    def topology(self) -> BipartiteTopology:
        """The edges that the layer computes on."""
        return self._topology

    @property
    def n_in(self) -> int:
        """Number of sources."""
        return self._topology.n_in

    @property
    def n_out(self) -> int:
        """Number of targets."""
        return self._topology.n_out

    @property
    def n_edges(self) -> int:
        """Number of edges, and of values."""
        return self._topology.n_edges

    @property
    def index(self) -> EdgeIndex:
        """The edges in both orientations, cached until the topology or the device changes.

        Raises:
            TopologyError: when somebody wrote to `src` or `dst` what is no topology: compiled code would follow it anywhere.
        """
        state = self._buffer_state()
        if state != self._checked:
            edges = (buffer.cpu().numpy() for buffer in (self.src, self.dst))
            self._topology = BipartiteTopology(self.n_in, self.n_out, *edges)
            self._checked, self._index, self._mirror = state, None, None
        if self._index is None:
            self._index = edge_index(self._topology, self.src, self.dst)
        return self._index

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(..., n_in)` to `(..., n_out)`."""
        if x.dim() == 0 or x.shape[-1] != self.n_in:
            raise DataError(f"x has shape {tuple(x.shape)}; its last dimension must be n_in = {self.n_in}")
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(self.values.dtype)  # sparse products are not among the operations that may lose precision
        if x.dtype != self.values.dtype:
            raise DataError(f"x has dtype {x.dtype}; it must be the layer's, {self.values.dtype}")
        columns = x.reshape(-1, self.n_in).t()
        index = self.index
        name = choose_backend(self.values, columns.shape[1], index) if self.backend == "auto" else self.backend
        y = sparse_product(self.values, columns, index, self._supporting(name))
        if self.bias is not None:
            y += self.bias[:, None]
        return y.t().reshape(*x.shape[:-1], self.n_out)

    def set_structure(self, topology: BipartiteTopology, values: torch.Tensor, birth: torch.Tensor) -> None:
        """Replace the edges and their weights; the `Parameter` object stays the same, its gradient is cleared.

        An optimiser's state is not touched: `netsci_nn.rewiring.apply_delta` changes layer and optimiser together.

        Args:
            topology: the new edges, between as many sources and targets.
            values: `[topology.n_edges]`.
            birth: integer `[topology.n_edges]`, the step at which each edge was born.
        """
        if (topology.n_in, topology.n_out) != (self.n_in, self.n_out):
            raise TopologyError(
                f"topology joins {topology.n_in} sources and {topology.n_out} targets; "
                f"the layer has {self.n_in} and {self.n_out}"
            )
        if values.shape != (topology.n_edges,) or birth.shape != (topology.n_edges,):
            raise TopologyError(
                f"values has shape {tuple(values.shape)} and birth {tuple(birth.shape)}; "
                f"both must be [n_edges] = [{topology.n_edges}]"
            )
        dtype, device = self.values.dtype, self.values.device
        new_values = values.detach().to(device=device, dtype=dtype, copy=True)  # first: `values` may be the layer's own
        self.values.grad = None
        # Passing through another dtype makes autograd forget the node that remembers the old length; without it, a
        # loss that is still referenced would make the next backward fail.
        self.values.data = torch.empty(0, dtype=torch.float32 if dtype == torch.float16 else torch.float16, device=device)
        self.values.data = new_values
        self._set_topology(topology, birth)
        self.topology_version += 1

    def to_igraph(self) -> igraph.Graph:
        """Return the layer as an igraph graph of its own: edge id k is edge k, edge attribute `weight` its value."""
        if self._mirror is None:
            self._mirror = bridge.to_igraph(self._topology)
        graph = self._mirror.copy()
        graph.es["weight"] = self.values.detach().cpu().tolist()
        return graph

    def to_dense(self) -> nn.Linear:
        """Return an `nn.Linear` that computes the same; its weight is zero where there is no edge."""
        has_bias = self.bias is not None
        linear = nn.utils.skip_init(
            nn.Linear, self.n_in, self.n_out, bias=has_bias, device=self.values.device, dtype=self.values.dtype
        )
        with torch.no_grad():
            linear.weight.zero_()
            linear.weight[self.dst, self.src] = self.values
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        return linear

    @classmethod
    def from_dense(cls, linear: nn.Linear, topology: BipartiteTopology | None = None, backend: str = "auto") -> SparseLinear:
        """Return the sparse layer with `linear`'s weights on the edges of `topology`, or on its own non-zero weights.

        Raises:
            TopologyError: when the sizes of `linear` and `topology` differ.
        """
        if topology is None:
            topology = bridge.from_mask(linear.weight.detach() != 0)
        if (topology.n_in, topology.n_out) != (linear.in_features, linear.out_features):
            raise TopologyError(
                f"topology joins {topology.n_in} sources and {topology.n_out} targets; "
                f"linear maps {linear.in_features} to {linear.out_features}"
            )
        weight = linear.weight.detach()
        layer = cls(topology, linear.bias is not None, backend, device=weight.device, dtype=weight.dtype)
        with torch.no_grad():
            layer.values.copy_(weight[layer.dst, layer.src])
            if layer.bias is not None:
                layer.bias.copy_(linear.bias)
        return layer

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        topology = self._topology
        return (
            f"n_in={topology.n_in}, n_out={topology.n_out}, n_edges={topology.n_edges}, density={topology.density:.4g}, "
            f"bias={self.bias is not None}, backend={self.backend!r}"
        )

    def _supporting(self, name: str) -> Backend:
        backend = BACKENDS[name]
        reason = backend.unavailable_because() or backend.unsupported_because(self.values)
        if reason is not None:
            raise ConfigError(f"backend {name!r} cannot serve this layer: {reason}")
        return backend

    def _set_topology(self, topology: BipartiteTopology, birth: torch.Tensor) -> None:
        device = self.values.device
        self._topology = topology
        self._index = None
        self._mirror = None
        self.register_buffer("src", _shared(topology.src).to(device))
        self.register_buffer("dst", _shared(topology.dst).to(device))
        self.register_buffer("birth", birth.to(device=device, dtype=torch.int32))
        self._checked = self._buffer_state()

    def _buffer_state(self) -> tuple[Any, ...]:
        """What changes whenever the buffers of the edges are replaced or written to."""
        buffers = self.src, self.dst
        versions = [None if buffer.is_inference() else buffer._version for buffer in buffers]  # those count no writes
        return self.src.device, *map(id, buffers), *versions

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_index": None, "_mirror": None}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        names = [prefix + name for name in ("src", "dst", "values", "birth")]
        if all(name in state_dict for name in names):
            src, dst, values, birth = (state_dict[name] for name in names)
            topology = BipartiteTopology(self.n_in, self.n_out, src.cpu().numpy(), dst.cpu().numpy())
            if topology != self._topology:
                self.set_structure(topology, values, birth)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _shared(array: np.ndarray) -> torch.Tensor:
    """Return a tensor on the memory of a read-only array; the layer never writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
