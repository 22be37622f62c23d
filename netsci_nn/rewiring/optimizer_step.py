"""Steps of an optimiser in whose place edges change: the optimiser then sees no gradient, and moves no weight."""

from weakref import WeakKeyDictionary

import torch
from torch import nn


class OptimizerStep:
    """A step of an optimiser, which several drivers may watch, and whether edges change in its place."""

    def __init__(self) -> None:
        self.is_over, self.is_replaced = True, False
        self._kept: list[tuple[nn.Parameter, torch.Tensor | None]] = []

    def begin(self) -> None:
        """To be called by every driver before the step; the first one begins it."""
        if self.is_over:
            self.is_over, self.is_replaced = False, False

    def replace(self, optimizer: torch.optim.Optimizer) -> None:
        """Take every gradient away, once: an optimiser passes over parameters without one."""
        if not self.is_replaced:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            self._kept = [(parameter, parameter.grad) for parameter in parameters]
            for parameter in parameters:
                parameter.grad = None
            self.is_replaced = True

    def end(self) -> None:
        """To be called by every driver after the step; the first one gives the gradients back."""
        for parameter, gradient in self._kept:
            parameter.grad = gradient
        self._kept, self.is_over = [], True


_STEPS: WeakKeyDictionary[torch.optim.Optimizer, OptimizerStep] = WeakKeyDictionary()


def step_of(optimizer: torch.optim.Optimizer) -> OptimizerStep:
    """Return the step that an optimiser makes now, or its last one."""
    return _STEPS.setdefault(optimizer, OptimizerStep())


def is_void(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a GradScaler has found infinite gradients, and lets a fused optimiser make a step that changes nothing."""
    found = getattr(optimizer, "found_inf", None)
    return isinstance(found, torch.Tensor) and bool(found.item())
