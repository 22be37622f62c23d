"""`cost`: parameters, multiply-adds and density of channel graphs of any model, without its numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode

from netsci_nn.errors import ConfigError, DataError
from netsci_nn.layers import SparseLayer, SparseLinear
from netsci_nn.layers.conv import SparseConv
from netsci_nn.layers.dense import dense_kind
from netsci_nn.models.walk import NORMALISATIONS, attention_projections, size_of

CONVOLUTIONS = nn.Conv1d, nn.Conv2d, nn.Conv3d, SparseConv
FREE = *NORMALISATIONS, nn.Embedding, nn.PReLU  # they look up, or compute number by number
PRODUCTS = {
    getattr(torch.ops.aten, name)
    for name in ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "vdot", "convolution", "convolution_overrideable")
}


@dataclass(frozen=True)
class LayerCost:
    """What a module costs.

    Args:
        name: dotted, in the model.
        kind: its class.
        role: "convolution", "linear", "free" (a normalisation, an embedding, PReLU) or "uncounted".
        n_parameters: of its own, biases among them; a shared parameter counts where it comes first.
        n_macs: multiply-adds of one pass, those of all its calls together; 0 if it is free, uncounted or not called.
        n_joined: pairs of an input and an output channel that have a weight; 0 if it is free or uncounted.
        n_pairs: all pairs of an input and an output channel; likewise.
    """

    name: str
    kind: str
    role: str
    n_parameters: int
    n_macs: int = 0
    n_joined: int = 0
    n_pairs: int = 0

    @property
    def density(self) -> float:
        """Density of the channel graph: pairs that are joined / all pairs; nan if there are none."""
        return self.n_joined / self.n_pairs if self.n_pairs else math.nan


@dataclass(frozen=True, repr=False)
class Cost:
    """What a model costs: the modules that have parameters of their own, and those that multiply without.

    Args:
        layers: in the order of `model.modules()`.
    """

    layers: tuple[LayerCost, ...]

    @property
    def n_parameters(self) -> int:
        """Parameters, each once."""
        return sum(layer.n_parameters for layer in self.layers)

    @property
    def n_macs(self) -> int:
        """Multiply-adds of convolutions and linear layers in one pass, without those of `of("uncounted")`."""
        return sum(layer.n_macs for layer in self.layers)

    @property
    def density(self) -> float:
        """Density of the channel graphs of all layers together; nan if there are none."""
        n_pairs = sum(layer.n_pairs for layer in self.layers)
        return sum(layer.n_joined for layer in self.layers) / n_pairs if n_pairs else math.nan

    def of(self, role: str) -> Cost:
        """Return the part of a role: "convolution", "linear", "free" or "uncounted".

        Example:
            >>> cost(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), torch.zeros(1, 3)).of("free").n_parameters
            8
        """
        return Cost(tuple(layer for layer in self.layers if layer.role == role))

    def __repr__(self) -> str:
        parts = {"Cost": self, "  convolutions": self.of("convolution"), "  linear layers": self.of("linear")}
        lines = [
            f"{label}: {part.n_parameters:,} parameters, {part.n_macs:,} multiply-adds, channel density {part.density:.4g}"
            for label, part in parts.items()
            if part.layers
        ]
        if self.of("free").layers:
            lines.append(f"  normalisations, embeddings, PReLU: {self.of('free').n_parameters:,} parameters")
        lines += [
            f"  multiply-adds not counted: {layer.name or 'the model itself'} ({layer.kind}), {layer.n_parameters:,} parameters"
            for layer in self.of("uncounted").layers
        ]
        return "\n".join(lines)


def cost(model: nn.Module, example: torch.Tensor | Sequence[torch.Tensor]) -> Cost:
    """Return the parameters of `model`, and the multiply-adds of its layers in one pass of `example`.

    The pass computes with shapes alone, on the meta device: nothing of the model's size is allocated, and the model stays as it
    is. It runs in the mode, of training or evaluation, that the model is in.

    A multiply-add is a weight times a number that it meets, for every example of the batch: of convolutions (with groups, too),
    linear layers and sparse layers, whose edges all count, inactive ones as well. Biases, normalisations, activations, pooling
    and other arithmetic number by number are not counted, as is usual. What cannot be counted has the role "uncounted": other
    modules with parameters, such as recurrent layers, attention and layers with a `forward` of their own, and modules that
    multiply matrices beside their layers.

    Args:
        model: any module whose `forward` can compute with shapes.
        example: the input of the pass, or several; on any device, only their shapes and dtypes count.

    Returns:
        What every module costs, and in total (see `Cost`).

    Raises:
        ConfigError: if `model` is no module, or has a parameter without a shape yet.
        DataError: if `example` is no tensor and no sequence of tensors, or the model cannot compute with its shape.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, groups=4), nn.Flatten(), nn.Linear(32 * 64, 10))
        >>> cost(model, torch.zeros(1, 16, 8, 8))
        Cost: 21,674 parameters, 94,208 multiply-adds, channel density 0.9817
          convolutions: 1,184 parameters, 73,728 multiply-adds, channel density 0.25
          linear layers: 20,490 parameters, 20,480 multiply-adds, channel density 1
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; it must be a module")
    inputs = [example] if isinstance(example, torch.Tensor) else example
    if not isinstance(inputs, (list, tuple)) or not all(isinstance(value, torch.Tensor) for value in inputs):
        raise DataError(f"example is a {type(example).__name__}; it must be a tensor, or a list or tuple of tensors")
    lazy = next((name for name, parameter in model.named_parameters() if nn.parameter.is_lazy(parameter)), None)
    if lazy is not None:
        raise ConfigError(f"model has the parameter {lazy!r}, which gets its shape in the first pass; make one before")
    projections = attention_projections(model)
    roles = {module: _role(module) for module in model.modules() if module not in projections}
    counted = {module for module, role in roles.items() if role in ("convolution", "linear")}
    n_macs, multiplying = _run(model, inputs, counted)
    layers, seen = [], set[nn.Parameter]()
    for name, module in model.named_modules():
        own = [parameter for parameter in _own_parameters(module) if parameter not in seen]
        seen.update(own)
        role = "uncounted" if module in multiplying else roles.get(module, "uncounted")
        if not isinstance(module, parametrize.ParametrizationList) and (_own_parameters(module) or module in multiplying):
            pairs = _channel_pairs(module) if module in counted else (0, 0)
            size = sum(parameter.numel() for parameter in own)
            layers.append(LayerCost(name, type(module).__name__, role, size, n_macs[module], *pairs))
    return Cost(tuple(layers))


def _role(module: nn.Module) -> str:
    """Return the role of a module by its class, if its `forward` is still the one of that class."""
    layers = *CONVOLUTIONS, SparseLinear
    kind = next((kind for kind in layers if isinstance(module, kind)), dense_kind(module))
    if kind is not None and type(module).forward is kind.forward and "forward" not in vars(module):
        return "convolution" if kind in CONVOLUTIONS else "linear"
    return "free" if isinstance(module, FREE) else "uncounted"


def _own_parameters(module: nn.Module) -> list[nn.Parameter]:
    parameters = list(module.parameters(recurse=False))
    if parametrize.is_parametrized(module):
        parameters += module.parametrizations.parameters()  # type: ignore[union-attr]
    return parameters


def _run(
    model: nn.Module, inputs: Sequence[torch.Tensor], counted: set[nn.Module]
) -> tuple[Counter[nn.Module], set[nn.Module]]:
    """Return the multiply-adds of every counted layer in a pass, and the modules that multiply matrices beside their layers."""
    n_macs: Counter[nn.Module] = Counter()
    running: list[nn.Module] = []
    multiplying: set[nn.Module] = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func._overloadpacket in PRODUCTS and counted.isdisjoint(running):
                multiplying.add(running[-1])
            return func(*args, **(kwargs or {}))

    def leave(module: nn.Module, args: Any, y: Any) -> None:
        if module in counted:
            n_macs[module] += module.weight.numel() * y.numel() // _channels(module)[1]  # type: ignore[operator]
        running.pop()

    hooks = [module.register_forward_pre_hook(lambda module, _: running.append(module)) for module in model.modules()]
    hooks += [module.register_forward_hook(leave) for module in model.modules()]
    # `torch.func.functional_call` would leave tensors of the meta device in a module that has two names.
    stores: list[dict[str, Any]] = [store for module in model.modules() for store in (module._parameters, module._buffers)]
    values = [(store, name, tensor) for store in stores for name, tensor in store.items() if tensor is not None]
    try:
        for store, name, tensor in values:
            store[name] = tensor.detach().to("meta")
        with torch.no_grad(), Watch():
            model(*(value.detach().to("meta") for value in inputs))
    except Exception as error:
        shapes = ", ".join(str(list(value.shape)) for value in inputs)
        raise DataError(f"the model cannot compute with the shape {shapes} of example: {error}") from error
    finally:
        for store, name, tensor in values:
            store[name] = tensor
        for hook in hooks:
            hook.remove()
    return n_macs, multiplying


def _channels(module: Any) -> tuple[int, int]:
    """Return the numbers of input and output channels, or neurons, of a counted layer."""
    return (module.in_channels, module.out_channels) if isinstance(module, CONVOLUTIONS) else size_of(module)


def _channel_pairs(module: Any) -> tuple[int, int]:
    """Return how many pairs of an input and an output channel a counted layer joins, and how many there are."""
    n_in, n_out = _channels(module)
    if not isinstance(module, SparseLayer):
        return n_in * n_out // getattr(module, "groups", 1), n_in * n_out
    edges = module.topology
    channels = edges.src // (edges.n_in // n_in)  # of a patch graph, whose edges are in the order of (target, source)
    return int(np.count_nonzero(np.diff(edges.dst.astype(np.int64) * n_in + channels, prepend=-1))), n_in * n_out
