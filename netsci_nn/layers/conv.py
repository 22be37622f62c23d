"""`SparseConv1d` and `SparseConv2d`: convolutions on the edges of a graph of channels, or of the positions of a patch."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from netsci_nn.checks import as_list, as_whole_number, check_choice
from netsci_nn.errors import ConfigError, DataError, TopologyError, shown
from netsci_nn.kernels import BACKENDS, backend_of, crossover, is_traced, sparse_product, supporting, traced_product
from netsci_nn.kernels.convolution import Convolution, Convolve, Window, computed_as
from netsci_nn.kernels.index import Edition
from netsci_nn.layers.base import MAX_SIZE, SparseLayer
from netsci_nn.topology import BipartiteTopology, Int64Array
from netsci_nn.topology.value import check_topology

GRAPHS = ("channel", "patch")
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class SparseConv(SparseLayer):
    """Base of sparse convolutions over `n_dims` dimensions; see `SparseConv2d`."""

    n_dims: int
    dense_class: type[nn.Module]
    _patch_edition: Edition
    _is_dense: bool

    def __init__(
        self,
        topology: BipartiteTopology,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        graph: str = "channel",
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_topology("topology", topology)
        check_choice("graph", graph, GRAPHS, ConfigError)
        check_choice("padding_mode", padding_mode, PADDING_MODES, ConfigError)
        kernel = _sizes("kernel_size", kernel_size, self.n_dims, 1)
        area = math.prod(kernel)
        if graph == "patch" and topology.n_in % area:
            raise TopologyError(
                f"topology joins {topology.n_in} sources; those of a patch graph are channels times the {area} entries of a "
                "kernel"
            )
        super().__init__(topology, kernel if graph == "channel" else (), device, dtype)
        self.kernel_size, self.graph, self.padding_mode, self.backend = kernel, graph, padding_mode, backend
        self.stride, self.dilation = _sizes("stride", stride, self.n_dims, 1), _sizes("dilation", dilation, self.n_dims, 1)
        self.padding = self._checked_padding(padding)
        self.bias = nn.Parameter(torch.empty(topology.n_out, device=device, dtype=dtype)) if bias else None
        if not isinstance(backend, str) or backend != "auto":
            supporting(backend, self.weight)
        self.reset_parameters()

    @property
    def in_channels(self) -> int:
        """Number of input channels."""
        return self.n_in if self.graph == "channel" else self.n_in // math.prod(self.kernel_size)

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return self.n_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[n, in_channels, *size]`, or one image without n, to `[n, out_channels, *output size]`."""
        x = self._checked_input(x)
        images = x if x.dim() == self.n_dims + 2 else x[None]
        window, padded = self._window(), images
        if self.padding_mode != "zeros" and any(window.before + window.after):
            self._check_reach(x.shape[-self.n_dims :])
            pads = [number for pair in reversed(self._padding_pairs()) for number in pair]  # the last dimension first
            padded = nn.functional.pad(images, pads, mode=self.padding_mode)
            window = window._replace(before=(0, 0), after=(0, 0))
        padded = padded.unsqueeze(2) if self.n_dims == 1 else padded
        size = int(padded.shape[2]), int(padded.shape[3])
        out_size = window.output_size(size)
        if min(out_size) < 1:
            whole = [n + sum(pads) for n, pads in zip(x.shape[-self.n_dims :], self._padding_pairs(), strict=True)]
            raise DataError(
                f"x has maps of {_shown(x.shape[-self.n_dims :])}; with its padding {_shown(whole)} they must not be "
                f"smaller than the kernel {_shown(self.kernel_size)}"
                + (f" at dilation {_shown(self.dilation)}" if max(self.dilation) > 1 else "")
            )
        y = self._convolve(padded, window, size, out_size)
        if not is_traced() and y.requires_grad and self._edge_index().watchers:
            index, seen = self._edge_index(), padded.detach()
            y.register_hook(lambda gradient: index.tell(seen, gradient, window))
        y = y.squeeze(2) if self.n_dims == 1 else y
        return y if x.dim() == self.n_dims + 2 else y[0]

    def _convolve(self, x: torch.Tensor, window: Window, size: tuple[int, int], out_size: tuple[int, int]) -> torch.Tensor:
        """Return the convolution of `[n, in_channels, height, width]`."""
        is_seen = is_traced() or torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0

        def by_patches(values: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
            return self._by_patches(values, x, bias, window, out_size)

        values = (self.weight if self._mask is None or is_traced() else self.masked_weight()).reshape(-1)
        backend = self._chosen_backend(values)
        if backend == "dense" or (is_traced() and torch.onnx.is_in_onnx_export()):  # ONNX has no sparse product
            if x.is_meta or not torch.is_autocast_enabled(x.device.type):
                return self._by_torch(x, window)
            with torch.autocast(x.device.type, enabled=False):  # every backend computes in the layer's own precision
                return self._by_torch(x, window)
        if backend != "compiled" or is_seen or x.is_meta or 0 in (len(x), len(values)):
            return by_patches(values, x, self.bias)
        index = self._patch_edition.index(x.device)
        convolution = Convolution(index, window, len(x), size, computed_as(values.dtype))
        return Convolve.apply(values, x, self.bias, convolution, by_patches)

    def _chosen_backend(self, values: torch.Tensor) -> str:
        """Return the name of the backend, or that which "auto" stands for."""
        if self.backend != "auto":
            supporting(self.backend, values)
            return self.backend
        is_slow = values.device.type not in ("cpu", "meta") or BACKENDS["compiled"].unavailable_because() is not None
        return "dense" if is_slow or self._is_dense else "compiled"

    def _by_torch(self, x: torch.Tensor, window: Window) -> torch.Tensor:
        """Return the convolution by torch, with the dense weight filled with zeros."""
        if is_traced():
            mask = None if self._mask is None else self._mask.reshape(-1, *[1] * (self.weight.dim() - 1))
            weight = self.weight if mask is None else torch.where(mask.to(x.device), self.weight, 0.0)
        else:
            weight = self.masked_weight()
        shape = (self.n_out, self.n_in, *weight.shape[1:])
        edges = self._edition.dst.to(x.device).long(), self._edition.src.to(x.device).long()
        dense = weight.new_zeros(shape).index_put(edges, weight).reshape(self.n_out, self.in_channels, *window.kernel)
        (top, left), (bottom, right) = window.before, window.after
        padded = nn.functional.pad(x, (left, right, top, bottom)) if any(window.before + window.after) else x
        return nn.functional.conv2d(padded, dense, self.bias, window.stride, 0, window.dilation)

    def _by_patches(
        self, values: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None, window: Window, out_size: tuple[int, int]
    ) -> torch.Tensor:
        """Return the convolution as a sparse product with a matrix of all patches, which any backend computes."""
        (top, left), (bottom, right) = window.before, window.after
        padded = nn.functional.pad(x, (left, right, top, bottom)) if any(window.before + window.after) else x
        patches = nn.functional.unfold(padded, window.kernel, window.dilation, 0, window.stride)
        columns = patches.transpose(0, 1).reshape(patches.shape[1], -1)
        edition = self._patch_edition
        if is_traced():
            mask = None if self._mask is None else self._mask.repeat_interleave(len(values) // max(self.n_edges, 1))
            y = traced_product(values, columns, bias, mask, edition, self.backend)
        else:
            index = edition.index(values.device)
            y = sparse_product(values, columns, index, backend_of(self.backend, values, columns.shape[1], index), bias)
        return y.reshape(self.n_out, len(x), *out_size).transpose(0, 1).contiguous()

    def _set_topology(self, topology: BipartiteTopology, birth: Any, active: Any) -> None:
        if "_patch_edition" in self.__dict__:
            self._patch_edition.retire()
        super()._set_topology(topology, birth, active)
        self._patch_edition = Edition(patch_graph(topology, self._kernel) if self._kernel else topology)
        self._is_dense = topology.density > crossover()["convolutions"]  # now: compilers cannot follow files

    def _window(self) -> Window:
        """Return how the kernel passes over images; one of lines is one of images of one line."""
        before, after = zip(*self._padding_pairs(), strict=True)
        parts = (self.kernel_size, self.stride, self.dilation, before, after)
        fills = (1, 1, 1, 0, 0)
        pairs = [(fill, *part)[-2:] for part, fill in zip(parts, fills, strict=True)]
        return Window(*pairs)

    def _padding_pairs(self) -> list[tuple[int, int]]:
        """Return what is padded before and after, per dimension; "same" puts one more after, as torch does."""
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return [(total // 2, total - total // 2) for total in totals]
        if self.padding == "valid":
            return [(0, 0)] * self.n_dims
        return [(int(p), int(p)) for p in self.padding]

    def _checked_padding(self, padding: Any) -> tuple[int, ...] | str:
        if not isinstance(padding, str):
            return _sizes("padding", padding, self.n_dims, 0)
        check_choice("padding", padding, ("same", "valid"), ConfigError)
        if padding == "same" and max(self.stride) > 1:
            raise ConfigError(
                f"padding is 'same' and stride {_shown(self.stride)}; the output has the same size for stride 1 only"
            )
        return padding

    def _checked_input(self, x: torch.Tensor) -> torch.Tensor:
        if not isinstance(x, torch.Tensor) or x.layout != torch.strided:
            kind = f"tensor of layout {x.layout}" if isinstance(x, torch.Tensor) else type(x).__name__
            raise DataError(f"x is a {kind}; it must be a dense tensor")
        if x.dim() not in (self.n_dims + 1, self.n_dims + 2) or x.shape[-self.n_dims - 1] != self.in_channels:
            size = ", ".join(("height", "width")[-self.n_dims :])
            raise DataError(
                f"x has shape {tuple(x.shape)}; it must be [n, {self.in_channels}, {size}], of {self.in_channels} channels, "
                "with or without n"
            )
        if not x.is_meta and torch.is_autocast_enabled(x.device.type):
            x = x.to(self.weight.dtype)  # sparse products are not among the operations that may lose precision
        if x.dtype != self.weight.dtype:
            raise DataError(f"x has dtype {x.dtype}; it must be the layer's, {self.weight.dtype}")
        if x.device != self.weight.device:
            raise DataError(f"x is on {x.device}; it must be on the layer's device, {self.weight.device}")
        return x

    def _check_reach(self, size: Sequence[int]) -> None:
        """Raise a DataError if maps of a size do not have what is to be padded beside them."""
        farthest = {"reflect": [n - 1 for n in size], "circular": size}.get(self.padding_mode)
        pads = [max(pair) for pair in self._padding_pairs()]
        if farthest is not None and any(pad > most for pad, most in zip(pads, farthest, strict=True)):
            what = "smaller than" if self.padding_mode == "reflect" else "at most"
            raise DataError(f"x has maps of {_shown(size)}; {self.padding_mode} padding of {_shown(pads)} must be {what} them")

    def to_dense(self) -> nn.Module:
        """Return a dense convolution of torch that computes the same; its weight is zero where there is no active edge."""
        weight, has_bias = self.masked_weight(), self.bias is not None
        conv = nn.utils.skip_init(
            self.dense_class,
            self.in_channels,
            self.n_out,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            bias=has_bias,
            padding_mode=self.padding_mode,
            device=weight.device,
            dtype=weight.dtype,
        )
        with torch.no_grad():
            conv.weight.zero_()
            if self.graph == "channel":
                conv.weight[self.dst, self.src] = weight
            else:
                conv.weight.view(self.n_out, -1)[self.dst, self.src] = weight
            if self.bias is not None:
                conv.bias.copy_(self.bias)
        return conv

    @classmethod
    def from_dense(
        cls, conv: nn.Module, topology: BipartiteTopology | None = None, graph: str = "channel", backend: str = "auto"
    ) -> "SparseConv":
        """Return the sparse layer with `conv`'s weights on the edges of `topology`, or where they are not zero.

        Args:
            conv: a convolution of torch over as many dimensions; of one with groups, only pairs of one group can be joined.
            topology: of channels, or of the positions of a patch; None for the pairs that have a weight other than 0.
            graph: "channel" or "patch".
            backend: of the sparse layer.

        Raises:
            TopologyError: if the sizes of `conv` and `topology` differ, or an edge joins channels of different groups.
            ConfigError: if `conv` is no such convolution.
        """
        if not isinstance(conv, cls.dense_class):
            raise ConfigError(f"conv is a {type(conv).__name__}; it must be an nn.{cls.dense_class.__name__}")
        check_choice("graph", graph, GRAPHS, ConfigError)
        weight, allowed = grouped_weight(conv)
        flat = weight.flatten(2)
        matrix = flat.abs().amax(2) if graph == "channel" else flat.flatten(1)
        if topology is None:
            dst, src = np.nonzero(matrix.float().cpu().numpy())
            topology = BipartiteTopology(matrix.shape[1], matrix.shape[0], src, dst)
        check_topology("topology", topology)
        if (topology.n_out, topology.n_in) != tuple(matrix.shape):
            raise TopologyError(
                f"topology joins {topology.n_in} sources and {topology.n_out} targets; the convolution has {matrix.shape[1]} "
                f"and {matrix.shape[0]}"
            )
        channel = topology.src if graph == "channel" else topology.src // flat.shape[2]
        if not allowed.numpy()[topology.dst, channel].all():
            raise TopologyError(
                "topology joins channels of different groups of the convolution, between which it has no weight"
            )
        made = cls(
            topology,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.bias is not None,
            str(conv.padding_mode),
            graph,
            backend,
            weight.device,
            weight.dtype,
        )
        with torch.no_grad():
            made.weight.copy_((weight if graph == "channel" else flat.flatten(1))[made.dst, made.src])
            if made.bias is not None:
                made.bias.copy_(conv.bias)  # type: ignore[arg-type]
        return made.train(conv.training)

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        parts = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}, dilation={self.dilation}"
        return f"{super().extra_repr()}, graph={self.graph!r}, {parts}, bias={self.bias is not None}, backend={self.backend!r}"


class SparseConv2d(SparseConv):
    """A convolution over images whose channels, or positions of a patch, are joined by the edges of a graph.

    In a **channel graph** an edge joins two channels and carries a whole kernel: `weight [n_edges, height, width]`. In a
    **patch graph** the sources are the positions of a patch, channel * height * width + entry, and an edge carries one number:
    `weight [n_edges]`, which is unstructured sparsity. Depthwise and grouped convolutions are channel graphs.

    Weights are drawn from torch's global generator, scaled by each target's in-degree times the entries of a kernel; biases
    start at 0.

    Args:
        topology: the edges.
        kernel_size: height and width, or one number for both; 1 to 2^16.
        stride: likewise.
        padding: rows and columns of padding on each side, or "valid" (none) or "same" (the output has the size of the input).
        dilation: distance between the entries of a kernel.
        bias: whether to add a bias per target.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        graph: "channel" or "patch".
        backend: "auto", "compiled", "csr", "dense" or "torch-sparse"; all but "compiled" multiply a matrix of all patches.
        device: where parameters are created.
        dtype: of the parameters: float32, float64, bfloat16 or float16.

    Shapes: x `[n, in_channels, height, width]`, or without n, to `[n, out_channels, ...]` of the size that `nn.Conv2d` gives.

    Raises:
        ConfigError: if an argument is none of these.
        TopologyError: if the sources of a patch graph are no multiple of the entries of a kernel.
        DataError: if the input has other channels, another dtype or device, or is smaller than the kernel with its padding.

    Example:
        >>> from netsci_nn import generators
        >>> layer = SparseConv2d(generators.erdos_renyi(16, 32, density=0.1, rng=0), kernel_size=3, padding=1)
        >>> layer.weight.shape, layer(torch.zeros(4, 16, 8, 8)).shape
        (torch.Size([51, 3, 3]), torch.Size([4, 32, 8, 8]))
    """

    n_dims = 2
    dense_class = nn.Conv2d


class SparseConv1d(SparseConv):
    """A convolution over sequences; see `SparseConv2d`. x is `[n, in_channels, length]`, with or without n.

    Example:
        >>> from netsci_nn import generators
        >>> layer = SparseConv1d(generators.erdos_renyi(16, 32, density=0.1, rng=0), kernel_size=5, stride=2)
        >>> layer.weight.shape, layer(torch.zeros(4, 16, 21)).shape
        (torch.Size([51, 5]), torch.Size([4, 32, 9]))
    """

    n_dims = 1
    dense_class = nn.Conv1d


def patch_graph(topology: BipartiteTopology, kernel: Sequence[int]) -> BipartiteTopology:
    """Return the graph of the positions of a patch that a graph of channels is, if its edges carry kernels of this shape.

    Edge k becomes the edges k * area, ..., of the area entries of its kernel.

    Example:
        >>> graph = patch_graph(BipartiteTopology(2, 1, [1], [0]), (1, 3))
        >>> graph.n_in, graph.src.tolist(), graph.dst.tolist()
        (6, [3, 4, 5], [0, 0, 0])
    """
    area = math.prod(kernel)
    src = topology.src.astype(np.int64)[:, None] * area + np.arange(area)
    return BipartiteTopology(topology.n_in * area, topology.n_out, src.reshape(-1), np.repeat(topology.dst, area))


def grouped_weight(conv: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a convolution's weight `[n_out, n_in, *kernel]` with zeros between groups, and which pairs are in one group."""
    weight, groups = conv.weight.detach(), int(conv.groups)  # type: ignore[operator, arg-type]
    n_out, per_group = weight.shape[:2]
    whole = weight.new_zeros(n_out, per_group * groups, *weight.shape[2:])
    allowed = torch.zeros(n_out, per_group * groups, dtype=torch.bool, device="cpu")  # known, whatever the device
    for group in range(groups):
        rows = slice(group * n_out // groups, (group + 1) * n_out // groups)
        columns = slice(group * per_group, (group + 1) * per_group)
        whole[rows, columns], allowed[rows, columns] = weight[rows], True
    return whole, allowed


def keys_within_groups(positions: Int64Array, n_in: int, n_out: int, groups: int) -> Int64Array:
    """Return the keys dst * n_in + src of positions in the flattened weight `[n_out, n_in / groups]` of a convolution.

    Example:
        >>> keys_within_groups(np.array([1, 2]), n_in=4, n_out=2, groups=2).tolist()  # sources 1 of target 0, and 2 of target 1
        [1, 6]
    """
    dst, place = np.divmod(positions, n_in // groups)
    return dst * n_in + dst // (n_out // groups) * (n_in // groups) + place


def _sizes(name: str, value: Any, n_dims: int, least: int) -> tuple[int, ...]:
    """Return one whole number per dimension."""
    values = as_list(value)
    values = [value] * n_dims if values is None else values
    numbers = [as_whole_number(number) for number in values]
    if len(numbers) != n_dims or not all(number is not None and least <= number <= MAX_SIZE for number in numbers):
        how_many = "a whole number" if n_dims == 1 else f"a whole number, or {n_dims} of them,"
        raise ConfigError(f"{name} is {shown(value)}; it must be {how_many} from {least} to 2^16")
    return tuple(number for number in numbers if number is not None)


def _shown(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
