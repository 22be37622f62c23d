"""Weight and spectral normalisation of sparse layers: norms of the targets, and of the matrix, from the edges alone."""

from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from netsci_nn.checks import check_count, check_real
from netsci_nn.errors import ConfigError
from netsci_nn.layers.base import SparseLayer
from netsci_nn.topology import BipartiteTopology

Layer = TypeVar("Layer", bound=SparseLayer)


def weight_norm(layer: Layer) -> Layer:
    """Write the weights of every target as a length times a direction, w = g v / |v|, and train g and v.

    Equals `torch.nn.utils.parametrizations.weight_norm` of the masked dense layer. The lengths g are
    `layer.parametrizations.weight.original0` `[n_out]`, the directions v `original1` `[n_edges, *kernel]`; |v| is the norm over
    all edges of a target, with all entries of their kernels. At first `weight` is what it was. A target without edges keeps a
    length of 0. Make the optimiser afterwards: the parameters are new ones. Torch's `remove_parametrizations(layer, "weight")`
    makes `weight` a parameter again; as long as it is none, the edges cannot change.

    Args:
        layer: a sparse layer, changed in place.

    Returns:
        `layer` itself.

    Raises:
        ConfigError: if `layer` is no sparse layer, has inactive edges, is parametrized already, or a target has nothing but
            weights of 0, which have no direction.

    Source: Salimans and Kingma 2016, "Weight normalization: a simple reparameterization to accelerate training of deep neural
    networks", eq. 2.

    Example:
        >>> from netsci_nn import SparseLinear
        >>> layer = SparseLinear(BipartiteTopology(n_in=3, n_out=2, src=[1, 2, 0], dst=[0, 0, 1]))
        >>> _ = layer.weight.data.copy_(torch.tensor([3.0, -4.0, 2.0]))
        >>> weight_norm(layer).parametrizations.weight.original0.tolist()
        [5.0, 2.0]
    """
    weight = _checked("weight_norm", layer)
    if is_parametrized(layer, "weight"):
        raise ConfigError("layer has a parametrized weight already; weight_norm must be the first parametrization")
    norm = WeightNorm(layer.topology)
    lengths = norm.right_inverse(weight)[0][torch.tensor(layer._topology.dst.astype("int64"), device=weight.device)]
    if not weight.is_meta and not (lengths > 0).all():
        target = int(layer.dst[int((~(lengths > 0)).int().argmax())])
        raise ConfigError(f"layer has target {target} whose weights have no direction: they are all 0, or one is no number")
    register_parametrization(layer, "weight", norm, unsafe=True)  # unsafe: not computed once more
    return layer


def spectral_norm(layer: Layer, n_power_iterations: int = 1, eps: float = 1e-12) -> Layer:
    """Divide the weights by the largest singular value of the layer's matrix.

    Equals `torch.nn.utils.parametrizations.spectral_norm` of the masked dense layer: the singular vectors are estimated by
    power iteration with the products W v and W^T u over the edges, whenever `weight` is read in training mode, and are kept in
    the buffers `_u` `[n_out]` and `_v` `[n_in * entries of a kernel]` of `layer.parametrizations.weight[0]`. Kernels count, as
    torch's do, as a matrix `[n_out, n_in * entries]`. Torch's `remove_parametrizations(layer, "weight")` takes it away again;
    until then the edges cannot change.

    Args:
        layer: a sparse layer, changed in place.
        n_power_iterations: at least 1.
        eps: > 0, the least length by which a vector is divided.

    Returns:
        `layer` itself.

    Raises:
        ConfigError: if an argument is not allowed, or the layer has inactive edges or nothing but weights of 0.

    Source: Miyato et al. 2018, "Spectral normalization for generative adversarial networks", algorithm 1.

    Example:
        >>> from netsci_nn import SparseLinear, generators
        >>> layer = spectral_norm(SparseLinear(generators.erdos_renyi(30, 20, density=0.2, rng=0)), n_power_iterations=50)
        >>> round(float(torch.linalg.matrix_norm(layer.to_dense().weight.detach(), 2)), 3)
        1.0
    """
    weight = _checked("spectral_norm", layer)
    check_count("n_power_iterations", n_power_iterations, 1, error=ConfigError)
    check_real("eps", eps, lambda value: value > 0, "> 0 and finite", ConfigError)
    if len(weight) and not weight.is_meta and not weight.any():
        raise ConfigError("layer has nothing but weights of 0; its largest singular value must be positive")
    register_parametrization(layer, "weight", SpectralNorm(layer.topology, weight, n_power_iterations, eps))
    return layer


def _checked(name: str, layer: SparseLayer) -> torch.Tensor:
    """Return the weights of a layer that can be normalised."""
    if not isinstance(layer, SparseLayer):
        raise ConfigError(
            f"layer is a {type(layer).__name__}; it must be a sparse layer (for others: torch.nn.utils.parametrizations.{name})"
        )
    if layer.active is not None:
        raise ConfigError("layer has a forward mask, active, which its norms would not know; set it to None first")
    return layer.weight.detach()


class OverEdges(nn.Module):
    """A parametrization that knows which edges the weights belong to."""

    counts_every_edge = True  # so the layer must have no forward mask

    def __init__(self, topology: BipartiteTopology) -> None:
        super().__init__()
        self.topology = topology
        self._ends: tuple[torch.Tensor, torch.Tensor] | None = None

    def ends(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return source and target of every edge, int64 `[n_edges]`."""
        if self._ends is None or self._ends[0].device != device:
            src, dst = self.topology.src, self.topology.dst
            with torch.inference_mode(False):  # the backward pass of a later training saves them
                self._ends = (
                    torch.tensor(src, dtype=torch.int64, device=device),
                    torch.tensor(dst, dtype=torch.int64, device=device),
                )
        return self._ends


class WeightNorm(OverEdges):
    """(g, v) -> g v / |v|, with a length and a norm per target."""

    def forward(self, length: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """Return weights `[n_edges, *kernel]` from lengths `[n_out]` and directions `[n_edges, *kernel]`."""
        wide, (_, dst) = _entries(direction), self.ends(direction.device)
        # Taken per edge before the root and the division: both are undefined at targets without edges.
        scale = length.to(wide)[dst] / self._squares(wide)[dst].sqrt()
        return (wide * scale[:, None]).reshape(direction.shape).to(direction.dtype)

    def right_inverse(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the lengths of the targets, and the weights as directions."""
        return self._squares(_entries(weight)).sqrt().to(weight.dtype), weight

    def _squares(self, entries: torch.Tensor) -> torch.Tensor:
        _, dst = self.ends(entries.device)
        return entries.new_zeros(self.topology.n_out).index_add(0, dst, entries.square().sum(dim=1))


class SpectralNorm(OverEdges):
    """W -> W / sigma, with the singular vectors as buffers; as in torch they are drawn from its global generator."""

    _u: torch.Tensor
    _v: torch.Tensor

    def __init__(self, topology: BipartiteTopology, weight: torch.Tensor, n_power_iterations: int, eps: float) -> None:
        super().__init__(topology)
        self.n_power_iterations, self.eps = n_power_iterations, eps
        for name, size in (("_u", topology.n_out), ("_v", topology.n_in * weight.shape[1:].numel())):
            self.register_buffer(name, functional.normalize(weight.new_empty(size).normal_(0, 1), dim=0, eps=eps))
        self._iterate(_entries(weight), 15)  # as many as torch starts with

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return `[n_edges, *kernel]` weights whose matrix has the largest singular value 1."""
        entries, (src, dst) = _entries(weight), self.ends(weight.device)
        if self.training:
            self._iterate(entries.detach(), self.n_power_iterations)
        # Copies, since a second forward pass before the backward pass would change what the first has kept.
        u, v = self._u.to(entries, copy=True), self._v.to(entries, copy=True).reshape(self.topology.n_in, -1)
        sigma = (entries * u[dst, None] * v[src]).sum()
        return (entries / sigma).reshape(weight.shape).to(weight.dtype)

    def right_inverse(self, value: torch.Tensor) -> torch.Tensor:
        """Return weights to start from, as they are."""
        return value

    @torch.no_grad()
    def _iterate(self, entries: torch.Tensor, count: int) -> None:
        """Move u towards W v and v towards W^T u, `count` times, in place."""
        src, dst = self.ends(entries.device)
        u, v = self._u.to(entries), self._v.to(entries).reshape(self.topology.n_in, -1)
        for _ in range(count):
            u = functional.normalize(torch.zeros_like(u).index_add(0, dst, (entries * v[src]).sum(dim=1)), dim=0, eps=self.eps)
            back = torch.zeros_like(v).index_add(0, src, entries * u[dst, None])
            v = functional.normalize(back.flatten(), dim=0, eps=self.eps).reshape(v.shape)
        self._u.copy_(u)
        self._v.copy_(v.flatten())


def _entries(weight: torch.Tensor) -> torch.Tensor:
    """Return weights as `[n_edges, entries of a kernel]`, half precision as float32: norms are sums over many."""
    wide = weight.float() if weight.element_size() == 2 else weight
    return wide.unsqueeze(-1).flatten(1)
