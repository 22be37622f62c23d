"""`apply_delta`: change a layer's edges together with its gradient and its optimiser's state."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from netsci_nn.checks import check_choice, check_count
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.kernels.parallel import run_rows
from netsci_nn.layers import SparseLayer
from netsci_nn.layers.ranks import check_resizable, check_same_change
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.merge import MergedEdges, merge_edges
from netsci_nn.rewiring.view import check_whole
from netsci_nn.topology import BipartiteTopology

# The value that an optimiser gives to its own per-edge state before the first step, if that is not zero.
INITIAL_STATE: dict[tuple[str, str], Callable[[dict[str, Any]], float]] = {
    ("Rprop", "step_size"): lambda group: float(group["lr"]),
    ("Adagrad", "sum"): lambda group: float(group["initial_accumulator_value"]),
}

# Of two-dimensional weights, state that all edges share, although its first dimension is that of one edge.
SHARED_STATE = {("Adafactor", "col_var")}

# How the state of new edges may start, and state that is a mean or sum of squared gradients, or their largest.
STARTS = ("zero", "survivors")
SECOND_MOMENTS = {"exp_avg_sq", "max_exp_avg_sq", "square_avg", "exp_inf", "sum", "variance", "row_var"}

CACHE_MISS = 16  # what it costs to carry an edge's entry over, in multiply-adds
LAST_STEP = 2**31 - 1  # births are int32

UNEQUAL_RANKS = (
    "the ranks propose different edges for a layer that lies in DistributedDataParallel, or hold different ones; "
    "pass the same rng on every rank (Rewiring draws with that of rank 0)"
)


def apply_delta(
    layer: SparseLayer,
    delta: EdgeDelta,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    step: int | None = None,
    followers: Sequence[SparseLayer] = (),
    optimizer_state: str = "zero",
) -> None:
    """Carry out `delta`: survivors keep their weight, gradient, optimiser state and birth, new edges start afresh.

    The layer's `Parameter` object stays the same, so the optimiser continues to train it. Every tensor of its state whose
    first dimension is n_edges is remapped; new edges get the optimiser's own initial value and gradient 0. As long as the
    number of edges stays the same, weights, gradient and state are written into the same storage. New edges merge into the
    sorted order in O(n_edges), without a sort. Everything is checked before anything is changed.

    Inside of DistributedDataParallel every rank must call this, with the same delta; the number of edges must stay the same.

    Args:
        layer: whose edges change.
        delta: positions into the layer's current edges, and the new edges.
        optimizer: the optimiser that trains `layer.weight`, or a wrapper that has it as `optimizer`, as those of Lightning and
            accelerate; None only while there is none.
        step: birth step of the new edges, by default the layer's new topology version.
        followers: averaged copies of the layer, with the same edges, which nobody trains. They get the new edges, births and
            mask; an edge that stays keeps the copy's own weight, a new one takes the delta's.
        optimizer_state: of new edges, "zero": as the optimiser starts it; "survivors": second moments (of Adam, RMSprop, ...)
            start at the mean over the edges that stay. For the policies that act on later steps see `Rewiring`.

    Raises:
        TopologyError: if `delta` names an edge that does not exist, is out of range, or would duplicate an edge; if a follower
            has other edges; if ranks would get different edges, or a layer another number of edges inside of
            DistributedDataParallel; if a new weight is infinite in the layer's dtype.
        ConfigError: if `layer` is no sparse layer, is sharded over ranks or its weight is parametrized; if `optimizer` does not
            train it, or keeps state that cannot be remapped (LBFGS, ZeroRedundancyOptimizer); if a follower is no other sparse
            layer, occurs twice or is trained; if `step` is no whole number from 0 to 2^31 - 1; if `optimizer_state` is unknown.

    Example:
        >>> from netsci_nn import SparseLinear, generators, rewiring
        >>> layer = SparseLinear(generators.erdos_renyi(20, 10, n_edges=50, rng=0))
        >>> optimizer = torch.optim.Adam(layer.parameters())
        >>> delta = rewiring.SparseEvolution(0.3).propose(rewiring.edge_view(layer), rng=0)
        >>> rewiring.apply_delta(layer, delta, optimizer)
        >>> layer.n_edges, layer.topology_version
        (50, 1)
    """
    if not isinstance(layer, SparseLayer):
        raise ConfigError(f"layer is a {type(layer).__name__}; it must be a SparseLayer, for example a SparseLinear")
    born = layer.topology_version + 1 if step is None else step
    structure, change = (layer._topology, layer._birth, layer._active), vars(delta) if isinstance(delta, EdgeDelta) else {}
    check_same_change(layer, UNEQUAL_RANKS, *structure, *change.values(), born)  # first: else one rank may wait for others
    if not isinstance(delta, EdgeDelta):
        raise TopologyError(f"delta is a {type(delta).__name__}; it must be an EdgeDelta")
    born = check_count("step", born, 0, LAST_STEP, error=ConfigError)
    check_choice("optimizer_state", optimizer_state, STARTS, ConfigError)
    layer._check_own_weight("the edges cannot change")
    check_whole(layer)
    optimizer = None if optimizer is None else unwrapped(optimizer)
    delta.check_fits(layer.n_edges, tuple(layer.weight.shape[1:]))
    if not torch.from_numpy(delta.grown_values).to(layer.weight.dtype).isfinite().all():
        raise TopologyError(f"grown_values holds numbers that are infinite as weights of {layer.weight.dtype}")
    _check_followers(layer, followers, optimizer)
    group = None if optimizer is None else parameter_group(layer, optimizer)
    state = {} if optimizer is None else _remappable_state(layer, optimizer)
    weight = layer.weight
    kept = weight.detach() if delta.kept_values is None else torch.from_numpy(delta.kept_values).to(weight)
    if not delta.moves_edges:
        if delta.kept_values is not None:
            with torch.no_grad():
                weight.copy_(kept)
        if delta.kept_active is not None:
            for each in (layer, *followers):
                each.active = delta.kept_active
        return
    old = layer._topology
    merged = merge_edges(old.n_in, old.n_out, old.src, old.dst, old.target_pointers, delta)
    for array in (merged.src, merged.dst):
        array.setflags(write=False)  # so that the topology need not copy them
    topology = BipartiteTopology(old.n_in, old.n_out, merged.src, merged.dst)
    for each in (layer, *followers):
        check_resizable(each, each.n_edges, topology.n_edges)

    @functools.cache
    def places_on(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(merged.origin).to(device), torch.from_numpy(merged.grown).to(device)

    def remap(old: torch.Tensor, fill: float | torch.Tensor) -> torch.Tensor:
        # A new edge takes the entry of edge 0 first; if there was no edge at all, there is none to take.
        source, grown = places_on(old.device)
        result = old.new_empty((len(source), *old.shape[1:]))

        def take(first: int, end: int) -> None:
            torch.index_select(old.detach(), 0, source[first:end], out=result[first:end])

        if len(old):
            run_rows(take, len(source), CACHE_MISS if old.device.type == "cpu" else 0, 1)
        result[grown] = torch.as_tensor(fill, dtype=old.dtype, device=old.device)
        return result

    def replaced(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        return old.copy_(new) if old.shape == new.shape else new

    gradient, n_edges = weight.grad, layer.n_edges
    grown_values = torch.from_numpy(delta.grown_values[merged.order])
    new_weight = remap(kept, grown_values)
    birth = remap(torch.from_numpy(layer._birth), born).numpy()
    mask = _new_mask(layer._active, delta, merged)
    for follower in followers:
        follower._replace_structure(topology, remap(follower.weight.detach(), grown_values), birth, mask)
    layer._replace_structure(topology, new_weight, birth, mask)
    if gradient is not None:
        weight.grad = replaced(gradient, remap(gradient, 0.0))
    kinds = [kind.__name__ for kind in type(optimizer).__mro__]
    for name, tensor in state.items():
        is_shared = any((kind, name) in SHARED_STATE for kind in kinds) and weight.dim() == 2
        if isinstance(tensor, torch.Tensor) and tensor.dim() > 0 and tensor.shape[0] == n_edges and not is_shared:
            known = next((INITIAL_STATE[kind, name] for kind in kinds if (kind, name) in INITIAL_STATE), None)
            start: float | torch.Tensor = 0.0 if known is None else known(group or {})
            if optimizer_state == "survivors" and name in SECOND_MOMENTS and len(delta.dropped) < n_edges:
                stays = torch.ones(n_edges, dtype=torch.bool)
                stays[torch.from_numpy(delta.dropped)] = False
                start = tensor[stays.to(tensor.device)].mean(0)
            state[name] = replaced(tensor, remap(tensor, start))


def unwrapped(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimiser that holds the state: `optimizer`, or what wrappers (of Lightning, accelerate, ...) have in it.

    Raises:
        ConfigError: if `optimizer` is none, holds the state of some parameters only (ZeroRedundancyOptimizer), or is a wrapper
            with per-parameter state of its own.
    """
    kind = type(optimizer).__name__
    if any(base.__name__ == "ZeroRedundancyOptimizer" for base in type(optimizer).__mro__):
        raise ConfigError(
            f"optimizer is {kind}, which shards its state over ranks; edges can change only where every rank holds all of it: "
            "train with the optimizer that it wraps"
        )
    inner = getattr(optimizer, "optimizer", getattr(optimizer, "optim", None))
    if isinstance(inner, torch.optim.Optimizer):
        state, name = getattr(optimizer, "state", None), type(inner).__name__
        if state and state is not inner.state:
            raise ConfigError(
                f"optimizer is {kind}, whose state beside that of the {name} in it cannot be remapped; train with {name} alone"
            )
        return unwrapped(inner)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ConfigError(f"optimizer is a {kind}; it must be a torch.optim.Optimizer, or a wrapper of one")
    return optimizer


def parameter_group(layer: SparseLayer, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the parameter group in which `optimizer` trains `layer.weight`, or raise a ConfigError."""
    if not isinstance(layer, SparseLayer):
        raise ConfigError(f"layer is a {type(layer).__name__}; it must be a SparseLayer, for example a SparseLinear")
    layer._check_own_weight("the edges cannot change")
    for group in unwrapped(optimizer).param_groups:
        if any(parameter is layer.weight for parameter in group["params"]):
            return group
    raise ConfigError("optimizer does not train layer.weight; it must be the one that holds this layer's parameters")


def _check_followers(layer: SparseLayer, followers: Sequence[SparseLayer], optimizer: torch.optim.Optimizer | None) -> None:
    """Raise an error unless the followers are distinct, untrained copies of the layer with its edges."""
    if not isinstance(followers, Sequence):
        raise ConfigError(f"followers is a {type(followers).__name__}; it must be a list of sparse layers")
    trained = {id(p) for group in (optimizer.param_groups if optimizer else ()) for p in group["params"]} if followers else ()
    for number, follower in enumerate(followers):
        name = f"followers[{number}]"
        if not isinstance(follower, SparseLayer):
            raise ConfigError(f"{name} is a {type(follower).__name__}; it must be a SparseLayer, an averaged copy of the layer")
        if follower is layer or any(follower is other for other in followers[:number]):
            twin = "layer itself" if follower is layer else "a layer that followers names before"
            raise ConfigError(f"{name} is {twin}; every follower must be a copy of its own")
        if follower.weight is layer.weight or id(follower.weight) in trained:
            raise ConfigError(f"{name} is trained by the optimizer; a follower must be an averaged copy that nobody trains")
        if follower.weight.shape[1:] != layer.weight.shape[1:]:
            shapes = list(follower.weight.shape[1:]), list(layer.weight.shape[1:])
            raise TopologyError(f"{name} carries kernels {shapes[0]}; those of the layer are {shapes[1]}")
        if follower._topology != layer._topology:
            raise TopologyError(
                f"{name} has other edges than layer; a follower must have followed every rewiring, or be copied afresh"
            )


def _remappable_state(layer: SparseLayer, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the optimiser's state of the layer's weights, or raise a ConfigError if it is not one tensor per parameter."""
    state = optimizer.state.get(layer.weight, {})
    strange = [
        name for name, value in state.items() if not isinstance(value, (torch.Tensor, int, float, bool, str, type(None)))
    ]
    if isinstance(optimizer, torch.optim.LBFGS) or strange:
        raise ConfigError(
            f"optimizer is {type(optimizer).__name__}, whose state cannot be remapped; "
            "it must be one that keeps a tensor per parameter (SGD, Adam, RMSprop, Rprop, ...)"
        )
    return state


def _new_mask(active: npt.NDArray[np.bool_] | None, delta: EdgeDelta, merged: MergedEdges) -> npt.NDArray[np.bool_] | None:
    """Return the forward mask after a delta, or None if nobody has ever set one."""
    kept = active if delta.kept_active is None else delta.kept_active
    if kept is None and delta.grown_active is None:
        return None
    mask = np.ones(len(merged.src), np.bool_) if kept is None or len(kept) == 0 else kept[merged.origin]
    mask[merged.grown] = True if delta.grown_active is None else delta.grown_active[merged.order]
    return mask
