"""Ranks that train one model together hold the same edges: before edges change they compare hashes, and stop if these differ.

A layer belongs to several ranks while it lies in a live `DistributedDataParallel`. Outside of one nothing is ever communicated.
"""

import gc
import hashlib
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from netsci_nn.errors import TopologyError
from netsci_nn.topology import BipartiteTopology

Value = TypeVar("Value")


@dataclass
class _Wrapping:
    """What is known about a live wrapper."""

    is_collected: bool = False  # whether garbage was collected since it was made
    is_over: bool = False  # whether it may not train any more


# Every live wrapper of a model with sparse layers.
_WRAPPERS: WeakKeyDictionary[DistributedDataParallel, _Wrapping] = WeakKeyDictionary()


def join_ranks(wrapper: DistributedDataParallel, model: nn.Module, *structure: Any) -> None:
    """Remember that `wrapper` is about to hold `model`, with edges that are `structure` on every rank.

    Raises:
        TopologyError: on every rank, if the ranks hold different edges.
    """
    device = next(model.parameters()).device
    if not _is_same_on_all_ranks(wrapper.process_group, device, *structure):
        raise TopologyError(
            "the ranks hold models with different edges, which DistributedDataParallel would give the weights of rank 0; "
            "draw the edges with the same rng, or load the same state dict, on every rank before the model is wrapped"
        )
    _WRAPPERS[wrapper] = _Wrapping()


def wrapper_of(layer: nn.Module) -> DistributedDataParallel | None:
    """Return the live `DistributedDataParallel` in which `layer` lies, or None."""
    if not _WRAPPERS or not dist.is_initialized():
        return None
    return next((each for each in list(_WRAPPERS) if any(module is layer for module in each.modules())), None)


def check_same_change(layer: nn.Module, problem: str, *change: Any) -> None:
    """Compare a change of a layer's edges over the ranks of its wrapper, if there is one; every rank must call this.

    Args:
        layer: that is about to change.
        problem: the error's sentence.
        change: topologies, arrays, tensors or plain values that must be the same on every rank.

    Raises:
        TopologyError: on every rank, if the change differs.
    """
    wrapper = _wrapper_of_ranks(layer)
    if wrapper is not None:
        device = next(wrapper.parameters()).device
        if not _is_same_on_all_ranks(wrapper.process_group, device, *change):
            raise TopologyError(problem)


def check_resizable(layer: nn.Module, n_before: int, n_after: int) -> None:
    """Raise a TopologyError if the layer would get another number of edges inside of a wrapper that may still train it."""
    wrapper = wrapper_of(layer) if n_before != n_after else None
    if wrapper is None or _WRAPPERS[wrapper].is_over:
        return
    del wrapper
    gc.collect()  # a wrapper that was dropped may still hang in a reference cycle
    if wrapper_of(layer) is not None:
        raise TopologyError(
            f"the layer would get {n_after} edges instead of {n_before} inside of DistributedDataParallel, which reduces "
            "gradients of a fixed size; take the model out (model = wrapper.module), drop the wrapper (del wrapper), change "
            "the edges, and wrap the model again: the optimizer stays the same"
        )


def end_training(layer: nn.Module) -> None:
    """Let the wrapper of a layer, if there is one, train no more, so that the number of edges may change in it."""
    wrapper = wrapper_of(layer)
    if wrapper is not None and not _WRAPPERS[wrapper].is_over:
        _WRAPPERS[wrapper].is_over = True
        wrapper.register_forward_pre_hook(_refuse_training)


def _refuse_training(wrapper: nn.Module, _: Any) -> None:
    if wrapper.training and torch.is_grad_enabled():
        raise TopologyError(
            "the number of edges changed at the end of training, and this DistributedDataParallel reduces gradients of the "
            "former size; take the model out (model = wrapper.module) and wrap it again to train on"
        )


def generator_of_first_rank(layer: nn.Module, rng: np.random.Generator) -> np.random.Generator:
    """Return the generator that all ranks of the layer's wrapper draw from: `rng` in the state that it has on rank 0.

    A rank whose `rng` is in this state already, and a layer outside of wrappers, gets `rng` itself.
    """
    received = of_first_rank(layer, rng)
    return rng if repr(received.bit_generator.state) == repr(rng.bit_generator.state) else received


def of_first_rank(layer: nn.Module, value: Value) -> Value:
    """Return what rank 0 of the layer's wrapper has in the place of `value`; outside of wrappers, `value` itself."""
    group = group_of(layer)
    if group is None:
        return value
    received: list[Any] = [value]
    dist.broadcast_object_list(received, src=dist.get_global_rank(group, 0), group=group)
    return received[0]


def group_of(layer: nn.Module) -> dist.ProcessGroup | None:
    """Return the ranks of the layer's wrapper, or None if it does not join several."""
    wrapper = _wrapper_of_ranks(layer)
    return None if wrapper is None else wrapper.process_group


def _wrapper_of_ranks(layer: nn.Module) -> DistributedDataParallel | None:
    """Return the live wrapper of a layer if it joins several ranks; all of them come to the same answer."""
    wrapper = wrapper_of(layer)
    if wrapper is not None and not _WRAPPERS[wrapper].is_collected:
        # What the first steps leave in reference cycles may keep a wrapper alive on some ranks only, after it was dropped.
        del wrapper
        gc.collect()
        wrapper = wrapper_of(layer)
        if wrapper is not None:
            _WRAPPERS[wrapper].is_collected = True
    return wrapper if wrapper is not None and dist.get_world_size(wrapper.process_group) > 1 else None


def _is_same_on_all_ranks(group: dist.ProcessGroup, device: torch.device, *values: Any) -> bool:
    """Return whether all ranks of `group` gave the same values; all get the same answer, from one reduction of 64 bytes."""
    if dist.get_world_size(group) == 1:
        return True
    words = np.frombuffer(_digest(*values), dtype=np.int64)
    extremes = torch.from_numpy(np.concatenate([words, ~words])).to(device)
    try:
        dist.all_reduce(extremes, dist.ReduceOp.MAX, group=group)
    except RuntimeError as error:
        error.add_note("the ranks compare their edges: every rank must wrap the model, or change a layer, by the same call")
        raise
    highest, lowest = extremes[: len(words)], ~extremes[len(words) :]
    return torch.equal(highest, lowest)


def _digest(*values: Any) -> bytes:
    """Return a hash of 32 bytes of topologies, arrays, tensors and plain values."""
    state = hashlib.blake2b(digest_size=32)
    for value in values:
        known = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        if isinstance(known, BipartiteTopology):
            known = known.digest
        if isinstance(known, np.ndarray):
            state.update(f"{known.dtype} {known.shape}".encode())
            state.update(known.tobytes())
        else:
            state.update(repr(known).encode())
        state.update(b";")
    return state.digest()
