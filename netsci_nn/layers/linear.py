"""`SparseLinear`: a linear layer whose weights live on the edges of a bipartite graph."""

import torch
from torch import nn

from netsci_nn.errors import ConfigError, DataError, TopologyError
from netsci_nn.kernels import backend_of, is_traced, sparse_product, supporting, traced_product
from netsci_nn.layers.base import SparseLayer
from netsci_nn.layers.dense import dense_kind, weight_matrix
from netsci_nn.topology import BipartiteTopology, from_mask
from netsci_nn.topology.value import check_topology


class SparseLinear(SparseLayer):
    """y = W x + b, where W has an entry for every edge of a topology and nowhere else.

    `weight[k]` is the weight of edge k of `topology`, which is edge id k of `to_igraph()`. Weights are drawn from torch's
    global generator, scaled by each target's in-degree; biases start at 0. `weight` has one dimension, so rules of weight decay
    that look for two pass it over: `netsci_nn.parameter_groups(model, weight_decay)` makes the groups for an optimiser.

    Args:
        topology: the edges.
        bias: whether to add a bias per target.
        backend: "auto", "compiled", "csr", "dense" or "torch-sparse" (see `netsci_nn.kernels`).
        device: where parameters are created.
        dtype: of the parameters: float32, float64, bfloat16 or float16.

    Shapes: x `(..., n_in)` to `(..., n_out)`. The output of a batch may be feature-major in memory, which spares the next
    sparse layer a transpose; call `.contiguous()` before `.view`.

    Raises:
        ConfigError: if the backend is unknown or not available, or `dtype` is another one.
        DataError: if the input's last dimension is not n_in, or its dtype or device not the layer's. Under autocast the
            input is cast to the layer's dtype.

    Example:
        >>> from netsci_nn import SparseLinear, generators
        >>> layer = SparseLinear(generators.erdos_renyi(784, 300, density=0.1, rng=0))
        >>> layer.weight.shape, layer(torch.zeros(32, 784)).shape
        (torch.Size([23520]), torch.Size([32, 300]))
    """

    dense_class: type[nn.Module] = nn.Linear  # of the layer that this one was made of

    def __init__(
        self,
        topology: BipartiteTopology,
        bias: bool = True,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(topology, (), device, dtype)
        self.backend = backend
        self.bias = nn.Parameter(torch.empty(topology.n_out, device=device, dtype=dtype)) if bias else None
        if not isinstance(backend, str) or backend != "auto":
            supporting(backend, self.weight)
        self.reset_parameters()

    @property
    def in_features(self) -> int:
        """Number of sources, under the name that `nn.Linear` has for it."""
        return self.n_in

    @property
    def out_features(self) -> int:
        """Number of targets, under the name that `nn.Linear` has for it."""
        return self.n_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(..., n_in)` to `(..., n_out)`."""
        if not isinstance(x, torch.Tensor):
            raise DataError(f"x is a {type(x).__name__}; it must be a tensor (..., n_in)")
        if x.layout != torch.strided:
            raise DataError(f"x has layout {x.layout}; it must be a dense tensor")
        if x.dim() == 0 or x.shape[-1] != self.n_in:
            raise DataError(f"x has shape {tuple(x.shape)}; its last dimension must be n_in = {self.n_in}")
        is_seen = is_traced()
        weight = self.weight if self._mask is None or is_seen else self.masked_weight()
        mixes = False
        if not x.is_meta and torch.is_autocast_enabled(x.device.type):
            # Sparse products are not among the operations that may lose precision.
            mixes = not is_seen and (x.dtype, weight.dtype) == (torch.bfloat16, torch.float32)
            x = x if mixes else x.to(weight.dtype)
        if x.dtype != weight.dtype and not mixes:
            raise DataError(f"x has dtype {x.dtype}; it must be the layer's, {weight.dtype}")
        if x.device != weight.device:
            raise DataError(f"x is on {x.device}; it must be on the layer's device, {weight.device}")
        columns = x.reshape(-1, self.n_in).t()
        if is_seen:
            y = traced_product(weight, columns, self.bias, self._mask, self._edition, self.backend)
        else:
            index = self._edge_index()
            backend = backend_of(self.backend, weight, columns.shape[1], index)
            y = sparse_product(weight, columns if backend.mixes else columns.to(weight.dtype), index, backend, self.bias)
        return y.t().reshape(*x.shape[:-1], self.n_out)

    def to_dense(self) -> nn.Linear:
        """Return an `nn.Linear` that computes the same; its weight is zero where there is no active edge."""
        weight, has_bias = self.masked_weight(), self.bias is not None
        linear = nn.utils.skip_init(nn.Linear, self.n_in, self.n_out, bias=has_bias, device=weight.device, dtype=weight.dtype)
        with torch.no_grad():
            linear.weight.zero_()
            linear.weight[self.dst, self.src] = weight
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        return linear

    @classmethod
    def from_dense(cls, linear: nn.Linear, topology: BipartiteTopology | None = None, backend: str = "auto") -> "SparseLinear":
        """Return the sparse layer with `linear`'s weights on the edges of `topology`, or on its own non-zero weights.

        Args:
            linear: an `nn.Linear`, or a Hugging Face `Conv1D`, whose weight is `[n_in, n_out]`.
            topology: between as many sources and targets; None for the non-zero weights of `linear`.
            backend: of the sparse layer.

        Raises:
            TopologyError: if the sizes of `linear` and `topology` differ.
            ConfigError: if `linear` is no linear layer; if there is no `topology`, and `linear` is on the meta device.
        """
        if not isinstance(linear, nn.Module) or dense_kind(linear) is None:
            raise ConfigError(f"linear is a {type(linear).__name__}; it must be an nn.Linear, or Hugging Face's Conv1D")
        if topology is not None:
            check_topology("topology", topology)
        weight = weight_matrix(linear)
        if topology is None and weight.is_meta:
            raise ConfigError("topology is None and linear is on the meta device, where it is not known which weights are zero")
        if topology is None:
            topology = from_mask(weight != 0)
        n_out, n_in = weight.shape
        if (topology.n_in, topology.n_out) != (n_in, n_out):
            raise TopologyError(
                f"topology joins {topology.n_in} sources and {topology.n_out} targets; linear maps {n_in} to {n_out}"
            )
        layer = cls(topology, linear.bias is not None, backend, device=weight.device, dtype=weight.dtype)
        with torch.no_grad():
            layer.weight.copy_(weight[layer.dst, layer.src])
            if layer.bias is not None:
                layer.bias.copy_(linear.bias)
        layer.dense_class = dense_kind(linear) or nn.Linear
        return layer

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return f"{super().extra_repr()}, bias={self.bias is not None}, backend={self.backend!r}"
