"""Which tensors of a recorded pass lie in the same memory, where a change of one in place shows in the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from netsci_nn.models.wiring.neurons import NONE
from netsci_nn.models.wiring.recording import Step


class Memory:
    """Tensors of a pass by where they lie, from when on they are there, and until when they are read.

    Args:
        steps: of the pass, in order.
        outputs: tensors that are read after it.
    """

    def __init__(self, steps: Sequence[Step], outputs: Sequence[torch.Tensor]) -> None:
        self._tensors: dict[int, dict[int, torch.Tensor]] = defaultdict(dict)
        self._made: dict[int, int] = {}
        self._last_read = {id(tensor): len(steps) for tensor in outputs}
        for number, step in enumerate(steps):
            for tensor in step.reads:
                self._last_read[id(tensor)] = max(number, self._last_read.get(id(tensor), number))
            for tensor in step.gives:
                if not any(tensor is read for read in step.reads):
                    self._made[id(tensor)] = number
            for tensor in (*step.reads, *step.gives):
                if tensor.layout == torch.strided and not is_transformed(tensor):
                    self._tensors[tensor.untyped_storage().data_ptr()][id(tensor)] = tensor

    def others(self, tensor: torch.Tensor, number: int) -> Iterator[torch.Tensor]:
        """Yield other tensors that are there at a step, show numbers of this one, and are read later."""
        if tensor.layout != torch.strided:
            return
        for other in self._tensors[tensor.untyped_storage().data_ptr()].values():
            if other is tensor or self._made.get(id(other), -1) > number or self._last_read.get(id(other), -1) <= number:
                continue
            first, second = _places(tensor, other)
            if np.intersect1d(first.numpy(), second.numpy()).size:
                yield other


def is_transformed(tensor: torch.Tensor) -> bool:
    """Return whether a tensor stands for others within a transform of torch.func, such as vmap."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def overwritten(changed: torch.Tensor, numbers: torch.Tensor, other: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return what `other` carries, `before` until now, once `changed` in the same memory carries `numbers`."""
    first, second = _places(changed, other)
    memory = torch.full((int(max(first.max(), second.max())) + 1,), NONE)
    memory[second], memory[first] = before, numbers
    return memory[second]


def _places(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """Return where in memory the numbers of tensors lie, each in the shape of its tensor."""
    ends = [t.storage_offset() + sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True)) for t in tensors]
    memory = torch.arange(int(max(ends)) + 1)
    return [memory.as_strided(t.shape, t.stride(), t.storage_offset()) for t in tensors]
