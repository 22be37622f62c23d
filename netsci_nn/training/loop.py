"""The training loop: mini-batches, gradient steps and events; everything else is a callback."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netsci_nn.data.dataset import check_labels
from netsci_nn.errors import ConfigError, DataError
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.training.compiled import CompiledTraining, StepRewiring, reason_against

logger = logging.getLogger(__name__)


class Event(StrEnum):
    """When a callback is called."""

    START = "start"  # before the first mini-batch
    STEP = "step"  # after every mini-batch, or after a run of them where no callback needs every step
    EPOCH = "epoch"  # after every complete epoch
    END = "end"  # once, also after an interruption


@dataclass
class TrainingState:
    """What callbacks see, and what `train` returns."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    rng: np.random.Generator  # of the order of mini-batches, and of callbacks that need randomness
    epochs: int  # epochs to train in all
    steps_per_epoch: int
    epoch: int = 0  # epochs completed
    step: int = 0  # mini-batches completed
    interrupted: bool = False
    record: dict[str, Any] = field(default_factory=dict)  # what callbacks say of the current epoch
    carried: dict[str, npt.NDArray[Any]] = field(default_factory=dict)  # what callbacks need to find in a checkpoint


class Progress(tuple[int, int]):
    """What training has behind it: (epochs, mini-batches), and what callbacks have left with the state.

    Attributes:
        carried: arrays by name (see `TrainingState.carried`).
    """

    carried: Mapping[str, npt.NDArray[Any]]

    def __new__(cls, epoch: int, step: int, carried: Mapping[str, npt.NDArray[Any]] | None = None) -> "Progress":
        """Put the three together."""
        progress = super().__new__(cls, (epoch, step))
        progress.carried = dict(carried or {})
        return progress


Callback = Callable[[Event, TrainingState], None]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@runtime_checkable
class RewiresBetweenSteps(Protocol):
    """A callback that may leave its work between mini-batches to compiled training."""

    within_compiled: StepRewiring | None  # set by the training loop while compiled steps do the work

    def step_rewiring(self) -> StepRewiring | None:
        """Return the work, or None where compiled training cannot do it."""
        ...


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    epochs: int,
    batch_size: int,
    rng: Rng,
    callbacks: Sequence[Callback] = (),
    loss: Loss = nn.functional.cross_entropy,
    completed: tuple[int, int] = (0, 0),
    compiled: bool | None = None,
) -> TrainingState:
    """Train `model` by mini-batches in random order; the last mini-batch of an epoch may be smaller.

    Where the model, optimiser, loss and callbacks allow it, runs of mini-batches are one call of compiled code (see
    `netsci_nn.training.compiled`), several times faster at small batches; the event STEP then comes once a run.

    Ctrl-C ends training after the running mini-batch, with the event END as at a normal end; a second one interrupts at
    once.

    Args:
        model: maps `[batch, n_features]` to logits `[batch, n_classes]`.
        optimizer: of the model's parameters.
        x: `[n, n_features]`.
        y: int64 `[n]`, 0 to n_classes - 1.
        epochs: passes over the data, >= 0.
        batch_size: rows of a mini-batch, >= 1.
        rng: int seed or numpy Generator.
        callbacks: called in order at every `Event`.
        loss: of (logits, labels), a mean over the batch.
        completed: what a resumed training has behind it (see `load_checkpoint`).
        compiled: whether to use compiled steps; None where possible.

    Raises:
        ConfigError: when `epochs` or `batch_size` is out of range, or compiled steps are asked for and not possible.
        DataError: when rows and labels do not fit each other or the model.
    """
    _check_counts(epochs, batch_size)
    _check_data(model, x, y)
    y = y.long()
    steps_per_epoch = -(-len(x) // batch_size)
    state = TrainingState(model, optimizer, as_generator(rng), epochs, steps_per_epoch, *completed)
    if isinstance(completed, Progress):
        state.carried.update(completed.carried)
    train_epoch = _choose_epoch(state, x, y, batch_size, loss, callbacks, compiled)

    def notify(event: Event) -> None:
        for callback in callbacks:
            callback(event, state)

    with _interruptible(state):
        notify(Event.START)
        while state.epoch < epochs and not state.interrupted:
            begin, mean_loss = time.perf_counter(), train_epoch(notify)
            if not state.interrupted:
                state.epoch += 1
                seconds = time.perf_counter() - begin
                state.record = {"epoch": state.epoch, "step": state.step, "train_loss": mean_loss, "seconds": seconds}
                notify(Event.EPOCH)
        state.record = {"epoch": state.epoch, "step": state.step, "interrupted": state.interrupted}
        notify(Event.END)
    return state


def _choose_epoch(
    state: TrainingState,
    x: torch.Tensor,
    y: torch.Tensor,
    batch_size: int,
    loss: Loss,
    callbacks: Sequence[Callback],
    compiled: bool | None,
) -> Callable[[Callable[[Event], None]], float]:
    """Return the function that trains one epoch and returns its mean loss: compiled steps where they can serve."""
    reason = "compiled=False" if compiled is False else reason_against(state.model, state.optimizer, x, batch_size)
    if loss is not nn.functional.cross_entropy:
        reason = "the loss is not cross_entropy"
    within: list[tuple[Any, StepRewiring]] = []
    for callback in callbacks:
        if isinstance(callback, RewiresBetweenSteps):
            callback.within_compiled = None
            rewiring = callback.step_rewiring()
            within += [] if rewiring is None else [(callback, rewiring)]
    acting = [callback for callback, _ in within]
    if any(getattr(callback, "needs_every_step", True) for callback in callbacks if callback not in acting):
        reason = "a callback needs every step (set its attribute needs_every_step to False where it does not)"
    if compiled and reason is not None:
        raise ConfigError(f"compiled is True, but compiled steps cannot train this: {reason}")
    if reason is not None:
        logger.debug("training step by step: %s", reason)
        return partial(_train_epoch, state, x, y, batch_size, loss)
    for callback, rewiring in within:
        callback.within_compiled = rewiring
    training = CompiledTraining(state.model, state.optimizer, x, y, batch_size, [rewiring for _, rewiring in within])
    training.compile()
    return partial(_train_epoch_compiled, state, training)


def _train_epoch_compiled(state: TrainingState, training: CompiledTraining, notify: Callable[[Event], None]) -> float:
    state.model.train()

    def report(steps: int) -> bool:
        state.step += steps
        notify(Event.STEP)
        return state.interrupted

    order = torch.from_numpy(state.rng.permutation(len(training.x)))
    return training.run(order, report, step=state.step, rng=state.rng) / len(training.x)


def _train_epoch(
    state: TrainingState, x: torch.Tensor, y: torch.Tensor, batch_size: int, loss: Loss, notify: Callable[[Event], None]
) -> float:
    state.model.train()
    order = torch.from_numpy(state.rng.permutation(len(x))).to(x.device)
    total = torch.zeros((), device=x.device)
    for rows in order.split(batch_size):
        state.optimizer.zero_grad()
        value = loss(state.model(x[rows]), y[rows])
        value.backward()
        state.optimizer.step()
        total += value.detach() * len(rows)
        state.step += 1
        notify(Event.STEP)
        if state.interrupted:
            break
    return float(total) / len(x)


@contextmanager
def _interruptible(state: TrainingState) -> Iterator[None]:
    """Let the first Ctrl-C set `state.interrupted`; outside the main thread signals are not ours to handle."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        state.interrupted = True
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _check_counts(epochs: int, batch_size: int) -> None:
    if not isinstance(epochs, int) or epochs < 0:
        raise ConfigError(f"epochs is {epochs!r}; it must be an integer >= 0")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size!r}; it must be an integer >= 1")


def _check_data(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    if x.dim() < 2 or len(x) == 0 or y.shape != x.shape[:1]:
        raise DataError(f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; they must be [n, n_features] and [n], n >= 1")
    was_training = model.training
    model.eval()
    with torch.no_grad():
        n_classes = model(x[:1]).shape[-1]
    model.train(was_training)
    check_labels("y", y.cpu().numpy(), n_classes)
