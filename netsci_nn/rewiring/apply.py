"""`apply_delta`: change a layer's edges together with its gradient and its optimiser's state."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit

from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.kernels.parallel import run_edges
from netsci_nn.layers import SparseLinear
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.topology import BipartiteTopology, Int64Array

MERGING = 8  # what merging costs an edge, in multiply-adds

# The value that an optimiser gives to its own per-edge state before the first step, where it is not zero.
INITIAL_STATE: dict[tuple[str, str], Callable[[dict[str, Any]], float]] = {
    ("Rprop", "step_size"): lambda group: float(group["lr"]),
    ("Adagrad", "sum"): lambda group: float(group["initial_accumulator_value"]),
}


def apply_delta(
    layer: SparseLinear, delta: EdgeDelta, optimizer: torch.optim.Optimizer | None = None, *, step: int | None = None
) -> None:
    """Carry out `delta`: survivors keep their weight, gradient, optimiser state and birth, new edges start afresh.

    The layer's `Parameter` object stays the same, so the optimiser goes on training it. Every tensor of its state whose
    first dimension is n_edges is remapped; new edges get the optimiser's own initial value and gradient 0. New edges merge
    into the sorted order in O(n_edges), without sorting them. Everything is checked before anything is changed.

    Args:
        layer: whose edges change.
        delta: positions into the layer's current edges, and the new edges.
        optimizer: the optimiser that trains `layer.values`; None only while there is none.
        step: birth step of the new edges, by default the layer's new topology version.

    Raises:
        TopologyError: when `delta` names an edge that does not exist, is out of range, or would duplicate an edge.
        ConfigError: when `optimizer` does not train the layer, or keeps state that cannot be remapped (LBFGS).
    """
    if delta.kept_values is not None and len(delta.kept_values) != layer.n_edges:
        raise TopologyError(f"kept_values has {len(delta.kept_values)} entries; the layer has {layer.n_edges} edges")
    by_key = _order(delta, layer.n_in)
    origin, new, topology = _merge(layer.topology, delta, by_key)
    group = None if optimizer is None else _parameter_group(layer, optimizer)
    device = layer.values.device
    source, grown = (torch.from_numpy(array).to(device) for array in (origin, new))

    def remap(old: torch.Tensor, fill: float | torch.Tensor) -> torch.Tensor:
        # A new edge takes anything first; where there was no edge at all, there is nothing to take.
        result = old.index_select(0, source) if len(old) else old.new_empty((len(source), *old.shape[1:]))
        result[grown] = torch.as_tensor(fill, dtype=old.dtype, device=old.device)
        return result

    gradient = layer.values.grad
    n_edges = layer.n_edges
    kept = layer.values.detach() if delta.kept_values is None else torch.from_numpy(delta.kept_values).to(layer.values)
    values = remap(kept, torch.from_numpy(delta.grown_values[by_key]))
    birth = remap(layer.birth, layer.topology_version + 1 if step is None else step)
    layer.set_structure(topology, values, birth)
    if gradient is not None:
        layer.values.grad = remap(gradient, 0.0)
    if optimizer is not None and group is not None:
        state = optimizer.state.get(layer.values, {})
        for name, tensor in state.items():
            if isinstance(tensor, torch.Tensor) and tensor.dim() > 0 and tensor.shape[0] == n_edges:
                initial = INITIAL_STATE.get((type(optimizer).__name__, name), lambda _: 0.0)
                state[name] = remap(tensor, initial(group))


def _order(delta: EdgeDelta, n_in: int) -> Int64Array:
    """Return the order of the grown edges by (target, source), without a sort where they come in it."""
    keys = delta.grown_dst * n_in + delta.grown_src
    return np.arange(len(keys)) if (np.diff(keys) >= 0).all() else np.argsort(keys)


def _merge(
    topology: BipartiteTopology, delta: EdgeDelta, by_key: Int64Array
) -> tuple[npt.NDArray[Any], Int64Array, BipartiteTopology]:
    """Return the old position of every edge (0 for a grown one), the positions of the grown edges, and the new topology."""
    n_edges, n_in, n_out = topology.n_edges, topology.n_in, topology.n_out
    if len(delta.dropped) and not (delta.dropped[0] >= 0 and delta.dropped[-1] < n_edges):
        raise TopologyError(
            f"dropped reaches from {delta.dropped[0]} to {delta.dropped[-1]}; positions must be from 0 to {n_edges - 1}"
        )
    for name, ends, size in (("grown_src", delta.grown_src, n_in), ("grown_dst", delta.grown_dst, n_out)):
        if len(ends) and not (ends.min() >= 0 and ends.max() < size):
            raise TopologyError(f"{name} reaches from {ends.min()} to {ends.max()}; it must be from 0 to {size - 1}")
    grown_src, grown_dst = delta.grown_src[by_key], delta.grown_dst[by_key]
    n_new = n_edges - len(delta.dropped) + len(grown_src)
    src, dst = np.empty(n_new, np.int32), np.empty(n_new, np.int32)
    origin, new = np.empty(n_new, np.int32 if n_edges < 2**31 else np.int64), np.empty(len(grown_src), np.int64)
    edges = topology.src, topology.dst, topology.row_pointers, delta.dropped, grown_src, grown_dst
    run_edges(partial(_merge_rows, *edges, src, dst, origin, new), topology.row_pointers, MERGING)
    for array in (src, dst):
        array.setflags(write=False)  # so that the topology need not copy them
    try:
        return origin, new, BipartiteTopology(n_in, n_out, src, dst)
    except TopologyError as error:
        raise TopologyError(f"delta grows an edge that exists already or grows one twice: {error}") from None


@njit(cache=True, nogil=True)
def _merge_rows(src, dst, pointers, dropped, grown_src, grown_dst, new_src, new_dst, origin, new, first, end):  # type: ignore[no-untyped-def]
    """Merge the survivors of targets first..end - 1 with the edges grown there, both sorted by (dst, src), in one pass.

    Fills new_src, new_dst and origin (the old position, 0 for a grown edge) from the place on where these targets begin, and
    new, the places of the grown edges.
    """
    old, last = pointers[first], pointers[end]
    next_dropped = np.searchsorted(dropped, old)
    grown, last_grown = np.searchsorted(grown_dst, first), np.searchsorted(grown_dst, end)
    place = old - next_dropped + grown
    while old < last or grown < last_grown:
        is_old = old < last
        if is_old and next_dropped < len(dropped) and dropped[next_dropped] == old:
            next_dropped += 1
            old += 1
            continue
        if is_old and grown < last_grown:
            is_old = dst[old] < grown_dst[grown] or (dst[old] == grown_dst[grown] and src[old] < grown_src[grown])
        if is_old:
            new_src[place], new_dst[place], origin[place] = src[old], dst[old], old
            old += 1
        else:
            new_src[place], new_dst[place], origin[place], new[grown] = grown_src[grown], grown_dst[grown], 0, place
            grown += 1
        place += 1


def _parameter_group(layer: SparseLinear, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    for group in optimizer.param_groups:
        if any(parameter is layer.values for parameter in group["params"]):
            break
    else:
        raise ConfigError("optimizer does not train layer.values; it must be the one that holds this layer's parameters")
    remappable = (torch.Tensor, int, float, bool, str, type(None))
    state = optimizer.state.get(layer.values, {})
    strange = [name for name, value in state.items() if not isinstance(value, remappable)]
    if isinstance(optimizer, torch.optim.LBFGS) or strange:
        raise ConfigError(
            f"optimizer is {type(optimizer).__name__}, whose state cannot be remapped; "
            "it must be one that keeps a tensor per parameter (SGD, Adam, RMSprop, Rprop, ...)"
        )
    return group
