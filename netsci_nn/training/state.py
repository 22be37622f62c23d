"""The events and the state of a training, as callbacks see them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netsci_nn.rewiring import LiveLayer


class Event(StrEnum):
    """When a callback is called."""

    START = "start"  # before the first mini-batch
    BATCH = "batch"  # before a mini-batch is computed, for callbacks that want its event GRADIENT
    GRADIENT = "gradient"  # between backward pass and optimiser step, if `needs_gradient` or `gradient_interval` asks for it
    STEP = "step"  # after every mini-batch, or after a run of them if no callback needs every step
    EPOCH = "epoch"  # after every complete epoch
    END = "end"  # once, also after an interruption


@dataclass
class TrainingState:
    """The state of a training, which callbacks see and `train` returns."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    rng: np.random.Generator  # of the order of mini-batches, and of callbacks that need randomness
    epochs: int  # epochs to train in all
    steps_per_epoch: int | None  # None if the batches do not say how many they are
    epoch: int = 0  # epochs completed
    step: int = 0  # mini-batches completed
    interrupted: bool = False
    record: dict[str, Any] = field(default_factory=dict)  # what callbacks have recorded of the current epoch
    carried: dict[str, npt.NDArray[Any]] = field(default_factory=dict)  # what callbacks keep in checkpoints
    layers: Sequence[LiveLayer] = ()  # the sparse layers of the model, in the order of `sparse_layers`
    callbacks: Sequence["Callback"] = ()

    @property
    def total_steps(self) -> int | None:
        """Mini-batches of the whole training, or None if their number is not known."""
        return None if self.steps_per_epoch is None else self.epochs * self.steps_per_epoch


Callback = Callable[[Event, TrainingState], None]


class Progress(tuple[int, int]):
    """Completed epochs and mini-batches as a pair, with the arrays that callbacks have left in a checkpoint.

    Attributes:
        carried: arrays by name (see `TrainingState.carried`).
    """

    carried: Mapping[str, npt.NDArray[Any]]

    def __new__(cls, epoch: int, step: int, carried: Mapping[str, npt.NDArray[Any]] | None = None) -> "Progress":
        """Make the pair and attach the arrays."""
        progress = super().__new__(cls, (epoch, step))
        progress.carried = dict(carried or {})
        return progress
