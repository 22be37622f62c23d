"""`SparseLayer`: what every sparse layer is made of, a topology and one weight, or one kernel of weights, per edge."""

from __future__ import annotations

import logging
import sys
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netsci_nn.checks import as_list, check_count
from netsci_nn.errors import ConfigError, TopologyError, shown
from netsci_nn.kernels import EdgeIndex, Edition, of_edition
from netsci_nn.layers.computed_weight import Parametrizations, counts_every_edge, put_back, reason_against_change, refusal
from netsci_nn.layers.init import kaiming_normal_
from netsci_nn.layers.ranks import check_resizable, check_same_change
from netsci_nn.topology import BipartiteTopology, as_array, to_igraph
from netsci_nn.topology.value import check_topology

if TYPE_CHECKING:
    import igraph

logger = logging.getLogger(__name__)

DTYPES = torch.float32, torch.float64, torch.bfloat16, torch.float16
MAX_SIZE = 2**16  # of a kernel along one dimension
DTYPES_IN_WORDS = "float32, float64, bfloat16 or float16"
STRUCTURE = "src", "dst", "birth", "sizes", "active"  # entries of the state dict beside the parameters
UNEQUAL_RANKS = "the ranks set different edges of a layer that lies in DistributedDataParallel; set the same on every rank"


class SparseLayer(nn.Module):
    """Base of every sparse layer: edge k of `topology`, which is edge id k of `to_igraph()`, carries `weight[k]`.

    `weight` is a strided `Parameter` of shape `[n_edges, *kernel]`, so every optimiser works on it; it stays the same object
    when the edges change. The layer keeps a topology of its own, which nothing outside can write to: `topology`, `src`, `dst`,
    `birth` and `active` hand out copies. They are in the state dict together with the sizes, but are no registered buffers, so
    broadcasts, averages of buffers and stray writes cannot reach them.

    On the meta device the weights are a shape without numbers, but the edges are known: `src` and its like are on the CPU then.

    A 1-D `weight` escapes rules of weight decay that take parameters of two or more dimensions;
    `netsci_nn.parameter_groups` has the weights of sparse layers among those that decay.

    A layer may carry `active`, a mask over its edges: an inactive edge computes as if its weight were 0, and still receives the
    gradient that a weight of 0 there would have.

    A new kind of layer calls `super().__init__`, fills `weight`, and writes `forward` with `masked_weight()` and
    `_edge_index()`.

    Args:
        topology: the edges.
        kernel: shape of what each edge carries beside one number, `()` for one weight per edge.
        device: where the parameter is created.
        dtype: of the parameter: float32, float64, bfloat16 or float16.

    Raises:
        TopologyError: if `topology` is no `BipartiteTopology`.
        ConfigError: if `dtype` is another one, or `kernel` no sequence of sizes from 1 to 2^16.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    _kernel: tuple[int, ...]
    _topology: BipartiteTopology
    _birth: npt.NDArray[np.int32]
    _active: npt.NDArray[np.bool_] | None
    _edition: Edition
    _mask: torch.Tensor | None
    _mirror: igraph.Graph | None

    def __init__(
        self,
        topology: BipartiteTopology,
        kernel: Sequence[int] = (),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_topology("topology", topology)
        chosen = torch.get_default_dtype() if dtype is None else dtype
        if not isinstance(chosen, torch.dtype) or chosen not in DTYPES:
            raise ConfigError(f"dtype is {shown(dtype)}; it must be {DTYPES_IN_WORDS}")
        sizes = as_list(kernel)
        if sizes is None:
            raise ConfigError(f"kernel is {shown(kernel)}; it must be a sequence of sizes")
        self._kernel = tuple(check_count(f"kernel[{i}]", size, 1, MAX_SIZE, error=ConfigError) for i, size in enumerate(sizes))
        self.weight = nn.Parameter(torch.empty(topology.n_edges, *self._kernel, device=device, dtype=dtype))
        self.topology_version = 0
        self._set_topology(topology.clone(), np.zeros(topology.n_edges, dtype=np.int32), None)

    @property
    def topology(self) -> BipartiteTopology:
        """The edges that the layer computes on, as a copy in O(n_edges)."""
        return self._topology.clone()

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
        """Number of edges, and of entries of `weight` along its first dimension."""
        return self._topology.n_edges

    @property
    def src(self) -> torch.Tensor:
        """The source of every edge, int32 `[n_edges]`, as a copy."""
        return torch.tensor(self._topology.src, device=self._device_of_edges())

    @property
    def dst(self) -> torch.Tensor:
        """The target of every edge, int32 `[n_edges]`, as a copy."""
        return torch.tensor(self._topology.dst, device=self._device_of_edges())

    @property
    def birth(self) -> torch.Tensor:
        """The step at which every edge was born, int32 `[n_edges]`, as a copy; 0 is the start."""
        return torch.tensor(self._birth, device=self._device_of_edges())

    @property
    def active(self) -> torch.Tensor | None:
        """The mask over the edges, bool `[n_edges]`, as a copy, or None if every edge is active; it may be set.

        Raises:
            TopologyError: if what is set is no bool `[n_edges]`.
            ConfigError: if `weight_norm` or `spectral_norm`, whose norms count every edge, is in force.
        """
        return None if self._active is None else torch.tensor(self._active, device=self._device_of_edges())

    @active.setter
    def active(self, mask: torch.Tensor | npt.NDArray[np.bool_] | None) -> None:
        if mask is not None and counts_every_edge(self):
            raise ConfigError("active cannot be set while weight_norm or spectral_norm counts every edge of the layer")
        self._set_active(self._checked_mask(mask, self.n_edges))

    @property
    def values(self) -> nn.Parameter:
        """The former name of `weight`."""
        warnings.warn(
            "`values` of a sparse layer is called `weight` now; `values` goes with the next release", DeprecationWarning, 2
        )
        return self.weight

    def reset_parameters(self) -> None:
        """Draw new weights (see `netsci_nn.layers.init`) and set the biases, if there are any, to 0.

        Raises:
            ConfigError: if the weight is computed, by a parametrization or a hook.
        """
        self._check_own_weight("no weights can be drawn")
        kaiming_normal_(self.weight, self.dst, self.n_out)
        bias = getattr(self, "bias", None)
        if bias is not None:
            nn.init.zeros_(bias)

    def strength(self) -> torch.Tensor:
        """Return how strong every edge is: |w|, or the Euclidean norm of its kernel; `[n_edges]`, without gradient.

        Raises:
            ConfigError: if the layer is on the meta device.

        Example:
            >>> from netsci_nn import SparseLinear
            >>> layer = SparseLinear(BipartiteTopology(n_in=3, n_out=2, src=[1, 2, 0], dst=[0, 0, 1]))
            >>> _ = layer.weight.data.copy_(torch.tensor([0.5, -1.0, 2.0]))
            >>> layer.strength().tolist()
            [0.5, 1.0, 2.0]
        """
        weight = self._known_weight()
        return weight.abs() if weight.dim() == 1 else torch.linalg.vector_norm(weight.flatten(1), dim=1)

    def masked_weight(self) -> torch.Tensor:
        """Return the weights to compute with: `weight`, with 0 at inactive edges; the gradient passes through the mask.

        A gradient that comes back after the layer was rewired is refused.
        """
        weight = self.weight  # once: a parametrized weight is computed whenever it is read
        if self._mask is None:
            return of_edition(weight, self._edge_index())
        if self._mask.device != weight.device:
            with torch.inference_mode(False):
                self._mask = torch.tensor(self._active, device=weight.device)
        mask = self._mask.reshape(-1, *[1] * (weight.dim() - 1))
        return of_edition(weight, self._edge_index(), mask)

    def _edge_index(self) -> EdgeIndex:
        """Return the edges in both orientations for the kernels, cached until the topology or the device changes.

        The arrays are the layer's own: whoever computes with them must not write to them.
        """
        return self._edition.index(self._device())

    def _device(self) -> torch.device:
        """Return the device of the weight without computing it, should it be parametrized."""
        weight = self._parameters.get("weight", self.__dict__.get("weight"))  # hooks and replicas make it a plain tensor
        return (next(self.parameters()) if weight is None else weight).device

    def _device_of_edges(self) -> torch.device:
        """Return the device of the tensors that show the edges."""
        device = self._device()
        return torch.device("cpu") if device.type == "meta" else device

    def _known_weight(self) -> torch.Tensor:
        """Return the weights without gradient, or raise a ConfigError if they have no numbers."""
        weight = self.weight.detach()
        if weight.is_meta:
            raise ConfigError(
                "the layer is on the meta device, where weights have no numbers; to_empty(device=...) and reset_parameters(), "
                "or load_state_dict(..., assign=True), give it some"
            )
        return weight

    def _check_own_weight(self, consequence: str) -> None:
        """Raise a ConfigError if the weight is computed, and so cannot be changed."""
        reason = reason_against_change(self)
        if reason is not None:
            raise ConfigError(f"{consequence}: {reason}")

    def set_structure(
        self,
        topology: BipartiteTopology,
        weight: torch.Tensor,
        birth: torch.Tensor | npt.NDArray[np.integer],
        active: torch.Tensor | npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Replace the edges and their weights; the `Parameter` object stays the same, its gradient is cleared.

        As long as the number of edges stays the same, the weights are written into the same storage, so that what autograd and
        DDP have hooked to the parameter stays alive. A loss that was computed before cannot be differentiated any more.

        An optimiser's state is not touched: `netsci_nn.rewiring.apply_delta` changes layer and optimiser together.

        Inside of DistributedDataParallel the number of edges must stay the same, and every rank must set the same edges.

        Args:
            topology: the new edges, between as many sources and targets.
            weight: `[topology.n_edges, *kernel]`.
            birth: integer `[topology.n_edges]`, the step at which each edge was born.
            active: bool `[topology.n_edges]`, or None if all are.

        Raises:
            TopologyError: if sizes or shapes do not fit, or ranks would get different edges; nothing is changed then.
            ConfigError: if the weight is computed, by a parametrization or a hook.
        """
        check_same_change(self, UNEQUAL_RANKS, topology, tuple(getattr(weight, "shape", ())), birth, active)
        self._check_own_weight("the edges cannot change")
        check_topology("topology", topology)
        if (
            not isinstance(weight, torch.Tensor)
            or weight.layout != torch.strided
            or (weight.is_meta and not self.weight.is_meta)
        ):
            raise TopologyError(f"weight is {_kind(weight)}; it must be a dense tensor with numbers")
        if (topology.n_in, topology.n_out) != (self.n_in, self.n_out):
            raise TopologyError(
                f"topology joins {topology.n_in} sources and {topology.n_out} targets; "
                f"the layer has {self.n_in} and {self.n_out}"
            )
        kernel, births = self._kernel, _births("birth", birth)
        if weight.shape != (topology.n_edges, *kernel) or births.shape != (topology.n_edges,):
            raise TopologyError(
                f"weight has shape {tuple(weight.shape)} and birth {births.shape}; "
                f"they must be [n_edges, *kernel] = {[topology.n_edges, *kernel]} and [n_edges] = [{topology.n_edges}]"
            )
        mask = self._checked_mask(active, topology.n_edges)
        copied = weight.detach().to(device=self.weight.device, dtype=self.weight.dtype, copy=True)  # it may be the layer's own
        self._replace_structure(topology.clone(), copied, births, mask)

    def _replace_structure(
        self,
        topology: BipartiteTopology,
        weight: torch.Tensor,
        birth: npt.NDArray[np.int32],
        active: npt.NDArray[np.bool_] | None,
    ) -> None:
        """Do the work of `set_structure` with checked values that nobody writes to."""
        check_resizable(self, self.n_edges, topology.n_edges)
        self.weight.grad = None
        if weight.shape == self.weight.shape:
            with torch.no_grad():
                self.weight.copy_(weight)
        else:
            # Passing through another dtype makes autograd forget the node that remembers the old length; without it, a
            # loss that is still referenced would make the next backward fail.
            other = torch.float32 if weight.dtype == torch.float16 else torch.float16
            self.weight.data = torch.empty(0, dtype=other, device=weight.device)
            self.weight.data = weight
        self._set_topology(topology, birth, active)
        self.topology_version += 1

    def to_igraph(self) -> igraph.Graph:
        """Return the layer as an igraph graph of its own: edge id k is edge k, edge attribute `weight` its weight.

        Of a layer with kernels `weight` is `strength()`; of an inactive edge it is 0.

        Raises:
            ConfigError: if the layer is on the meta device; `layer.topology.to_igraph()` needs no weights.

        Example:
            >>> from netsci_nn import SparseLinear
            >>> layer = SparseLinear(BipartiteTopology(n_in=3, n_out=2, src=[1, 2, 0], dst=[0, 0, 1]))
            >>> _ = layer.weight.data.copy_(torch.tensor([0.5, -1.0, 2.0]))
            >>> graph = layer.to_igraph()
            >>> graph.get_edgelist(), graph.es["weight"]
            ([(1, 3), (2, 3), (0, 4)], [0.5, -1.0, 2.0])
        """
        weights = self.edge_weights()
        if self._mirror is None:
            self._mirror = to_igraph(self._topology)
        graph = self._mirror.copy()
        graph.es["weight"] = weights.tolist()
        return graph

    def edge_weights(self) -> npt.NDArray[np.floating]:
        """Return one number per edge for graphs, `[n_edges]`: the weight, or the strength of a kernel; 0 if inactive.

        Half precision, which few libraries know, becomes float32.

        Raises:
            ConfigError: if the layer is on the meta device.

        Example:
            >>> from netsci_nn import SparseLinear
            >>> layer = SparseLinear(BipartiteTopology(n_in=3, n_out=2, src=[1, 2, 0], dst=[0, 0, 1]))
            >>> _ = layer.weight.data.copy_(torch.tensor([0.5, -1.0, 2.0]))
            >>> layer.edge_weights().tolist()
            [0.5, -1.0, 2.0]
        """
        weight = self.strength() if self._kernel else self._known_weight()
        known = weight.float() if weight.element_size() == 2 else weight
        array = known.cpu().numpy().copy()
        if self._active is not None:
            array[~self._active] = 0
        return array

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        t, kernel = self._topology, list(self._kernel)
        shape = f", kernel={kernel}" if kernel else ""
        return f"n_in={t.n_in}, n_out={t.n_out}, n_edges={t.n_edges}, density={t.density:.4g}{shape}"

    def _set_topology(
        self, topology: BipartiteTopology, birth: npt.NDArray[np.int32], active: npt.NDArray[np.bool_] | None
    ) -> None:
        """Take over a topology, births and a mask that nobody else holds."""
        if "_edition" in self.__dict__:
            self._edition.retire()
        self._topology, self._birth = topology, birth
        self._edition = Edition(topology)
        self._set_active(active)
        self._mirror = None

    @torch.inference_mode(False)
    def _set_active(self, active: npt.NDArray[np.bool_] | None) -> None:
        """Take over a mask that nobody else holds, as an array and as a tensor."""
        self._active = active
        self._mask = None if active is None else torch.from_numpy(active)

    @staticmethod
    def _checked_mask(mask: Any, n_edges: int) -> npt.NDArray[np.bool_] | None:
        if mask is None:
            return None
        array = _array("active", mask).copy()
        if array.dtype != np.bool_ or array.shape != (n_edges,):
            raise TopologyError(
                f"active has dtype {array.dtype} and shape {array.shape}; it must be bool [n_edges] = [{n_edges}]"
            )
        return array

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, Parametrizations(self) if name == "parametrizations" else value)

    def __delattr__(self, name: str) -> None:
        if name == "weight" and name in self._parameters:
            self.__dict__["_deleted_weight"] = self._parameters[name]  # until it is known what takes its place
        super().__delattr__(name)

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """See `nn.Module`; what torch's old `weight_norm` and `spectral_norm` put in the place of `weight` is refused."""
        if name in ("weight_g", "weight_orig") and "weight" not in self._parameters:
            # weight_norm has taken the parameter out of the layer, and nobody but its own frame holds it now.
            put_back(self, param if name == "weight_orig" else sys._getframe(1).f_locals["weight"])
            raise refusal("spectral_norm" if name == "weight_orig" else "weight_norm")
        if name == "weight":
            self.__dict__.pop("_deleted_weight", None)
        super().register_parameter(name, param)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mirror": None}

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        sizes = torch.tensor([self.n_in, self.n_out], device="cpu")
        entries = {"src": self.src, "dst": self.dst, "birth": self.birth, "sizes": sizes, "active": self.active}
        destination.update({prefix + name: tensor for name, tensor in entries.items() if tensor is not None})

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take over the edges of the state dict, whatever their number, and load the weights; other sizes are refused."""
        rest = (local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        hooks, self._load_state_dict_pre_hooks = self._load_state_dict_pre_hooks, OrderedDict()
        try:
            for hook in hooks.values():  # before the structure is read: they may rename its entries
                hook(state_dict, prefix, *rest)
            own = {name: tensor for name, tensor in state_dict.items() if name.startswith(prefix)}
            if prefix + "values" in own and prefix + "weight" not in own:  # as 0.1.0 called it
                own[prefix + "weight"] = own.pop(prefix + "values")
            structure = {name: own.pop(prefix + name, None) for name in STRUCTURE}
            check_same_change(self, UNEQUAL_RANKS, *structure.values())
            weight, is_computed = own.get(prefix + "weight"), reason_against_change(self) is not None
            missing_keys += [prefix + name for name in ("src", "dst", "birth") if strict and structure[name] is None]
            if (is_computed or weight is not None) and structure["src"] is not None and structure["dst"] is not None:
                is_assigned = local_metadata.get("assign_to_params_buffers", False)
                reason = self._take_structure(None if is_computed else weight, structure, prefix, is_assigned)
                if reason is not None:
                    error_msgs.append(reason)
                    return
            super()._load_from_state_dict(own, prefix, *rest)
        finally:
            self._load_state_dict_pre_hooks = hooks

    def _take_structure(
        self, weight: torch.Tensor | None, structure: dict[str, torch.Tensor | None], prefix: str, is_assigned: bool
    ) -> str | None:
        """Take over edges, births and mask of a state dict, or return why they do not fit.

        `weight` is None if the layer computes its own from what the state dict holds for it; the edges must be the same then.
        """
        on_meta = [part for part, tensor in structure.items() if tensor is not None and tensor.is_meta]
        if on_meta:
            return f"{prefix}{on_meta[0]} is on the meta device, which holds no numbers; edges must be known to be loaded"
        name, sizes = prefix.removesuffix(".") or type(self).__name__, structure["sizes"]
        if sizes is None:
            logger.warning(
                "%s: the state dict, of version 0.1.0, does not say the layer's sizes; %d sources and %d targets are assumed",
                name,
                self.n_in,
                self.n_out,
            )
        elif sizes.tolist() != [self.n_in, self.n_out]:
            return (
                f"size mismatch for {name}: the state dict joins {sizes.tolist()} neurons, the layer {[self.n_in, self.n_out]}"
            )
        src, dst, birth = structure["src"], structure["dst"], structure["birth"]
        assert src is not None
        assert dst is not None
        try:
            topology = BipartiteTopology(self.n_in, self.n_out, src.cpu().numpy(), dst.cpu().numpy())
        except TopologyError as error:
            raise TopologyError(f"{name}: {error}") from None
        births = torch.zeros(topology.n_edges, dtype=torch.int32, device="cpu") if birth is None else birth
        if births.is_floating_point() or births.is_complex():
            return f"{prefix}birth has dtype {births.dtype}; it must be integers"
        if weight is None and topology != self._topology:
            self._check_own_weight(f"{name}: the state dict has other edges, which the layer cannot take over")
        shapes = (("weight", weight, (topology.n_edges, *self._kernel)), ("birth", births, (topology.n_edges,)))
        for part, tensor, shape in shapes:
            if tensor is not None and tensor.shape != shape:
                return (
                    f"size mismatch for {prefix}{part}: the state dict has {list(tensor.shape)}, its edges need {list(shape)}"
                )
        if weight is not None and topology != self._topology:
            if is_assigned:  # the parameter of before stays as it is, and another takes its place
                mask = self._checked_mask(structure["active"], topology.n_edges)
                if not weight.is_floating_point():
                    return f"{prefix}weight has dtype {weight.dtype}; it must be floating"
                self.weight = nn.Parameter(weight.detach(), self.weight.requires_grad)
                self._set_topology(topology, _array("birth", births).astype(np.int32), mask)
                self.topology_version += 1
            elif weight.is_meta and not self.weight.is_meta:
                return (
                    f"{prefix}weight is on the meta device, which holds no numbers; only load_state_dict(assign=True) takes it"
                )
            else:
                self.set_structure(topology, weight, births, structure["active"])
        else:
            self.active = structure["active"]
            self._birth = births.cpu().numpy().astype(np.int32)
        return None


def _array(name: str, values: Any) -> npt.NDArray[Any]:
    """Return a tensor, on any device, or an array as one of numpy."""
    if isinstance(values, torch.Tensor) and values.is_meta:
        raise TopologyError(f"{name} is on the meta device, which holds no numbers; it must be known")
    try:
        return as_array(values)
    except TopologyError:
        raise TopologyError(f"{name} is {_kind(values)}; it must be a dense tensor or an array") from None


def _births(name: str, values: Any) -> npt.NDArray[np.int32]:
    """Return steps of birth as int32 after checking that they are whole numbers of that type."""
    array = _array(name, values)
    limits = np.iinfo(np.int32)
    is_whole = array.dtype.kind in "iu" or array.size == 0
    if not is_whole or (array.size and not limits.min <= array.min() <= array.max() <= limits.max):
        raise TopologyError(f"{name} has dtype {array.dtype}; it must be integers from -2^31 to 2^31 - 1")
    return array.astype(np.int32)


def _kind(value: Any) -> str:
    """Return what a value is, for a message."""
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    return f"a tensor of layout {value.layout} on {value.device}"
