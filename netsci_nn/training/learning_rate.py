"""Learning-rate schedules by name, and the callback that follows one of torch's schedulers epoch by epoch."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.optim import lr_scheduler

from netsci_nn.errors import CheckpointError, ConfigError, shown
from netsci_nn.registry import Registry
from netsci_nn.training.state import Event, TrainingState

ScheduleFactory = Callable[..., lr_scheduler.LRScheduler]  # (optimizer, epochs, **parameters)

SCHEDULES: Registry[ScheduleFactory] = Registry("learning-rate schedule")


@SCHEDULES.register("exponential")
def exponential(optimizer: torch.optim.Optimizer, epochs: int, gamma: float) -> lr_scheduler.LRScheduler:
    """Multiply the learning rate by `gamma` after every epoch."""
    return lr_scheduler.ExponentialLR(optimizer, gamma)


@SCHEDULES.register("step")
def step(optimizer: torch.optim.Optimizer, epochs: int, step_size: int, gamma: float = 0.1) -> lr_scheduler.LRScheduler:
    """Multiply the learning rate by `gamma` after every `step_size` epochs."""
    return lr_scheduler.StepLR(optimizer, step_size, gamma)


@SCHEDULES.register("multi_step")
def multi_step(
    optimizer: torch.optim.Optimizer, epochs: int, milestones: list[int], gamma: float = 0.1
) -> lr_scheduler.LRScheduler:
    """Multiply the learning rate by `gamma` after each of the epochs in `milestones`."""
    return lr_scheduler.MultiStepLR(optimizer, milestones, gamma)


@SCHEDULES.register("cosine")
def cosine(
    optimizer: torch.optim.Optimizer, epochs: int, t_max: int | None = None, eta_min: float = 0.0
) -> lr_scheduler.LRScheduler:
    """Let the learning rate fall to `eta_min` along half a cosine within `t_max` epochs, by default all."""
    return lr_scheduler.CosineAnnealingLR(optimizer, t_max or max(epochs, 1), eta_min)


@SCHEDULES.register("linear")
def linear(
    optimizer: torch.optim.Optimizer,
    epochs: int,
    start_factor: float = 1.0,
    end_factor: float = 0.1,
    total_iters: int | None = None,
) -> lr_scheduler.LRScheduler:
    """Let the learning rate go from `start_factor` to `end_factor` times itself within `total_iters` epochs, by default all."""
    return lr_scheduler.LinearLR(optimizer, start_factor, end_factor, total_iters or max(epochs, 1))


@SCHEDULES.register("polynomial")
def polynomial(
    optimizer: torch.optim.Optimizer, epochs: int, power: float = 1.0, total_iters: int | None = None
) -> lr_scheduler.LRScheduler:
    """Let the learning rate fall to 0 within `total_iters` epochs, by default all, as a power of the epochs that are left."""
    return lr_scheduler.PolynomialLR(optimizer, total_iters or max(epochs, 1), power)


class LearningRateSchedule:
    """Follow a learning-rate schedule: one step of a scheduler after every epoch.

    Args:
        schedule: a name in `SCHEDULES`, or a function (optimizer, epochs, **parameters) -> `torch.optim.lr_scheduler` object.
        parameters: of the schedule.

    Raises:
        ConfigError: for an unknown name; when training starts, for parameters that the schedule does not take.

    Example:
        >>> from torch import nn
        >>> from netsci_nn.training import train
        >>> model, x, y = nn.Linear(4, 2), torch.rand(20, 4), torch.arange(20) % 2
        >>> optimizer, schedule = torch.optim.SGD(model.parameters(), lr=0.5), LearningRateSchedule("step", step_size=2)
        >>> _ = train(model, optimizer, x, y, epochs=2, batch_size=5, rng=0, callbacks=[schedule])
        >>> round(optimizer.param_groups[0]["lr"], 6)
        0.05
    """

    needs_every_step = False

    def __init__(self, schedule: str | ScheduleFactory, **parameters: object) -> None:
        if not isinstance(schedule, str) and not callable(schedule):
            raise ConfigError(f"schedule is {shown(schedule)}; it must be one of {', '.join(SCHEDULES)}, or a function")
        self.factory = SCHEDULES[schedule] if isinstance(schedule, str) else schedule
        self.name = schedule if isinstance(schedule, str) else getattr(schedule, "__name__", repr(schedule))
        self.parameters = parameters
        self.scheduler: lr_scheduler.LRScheduler | None = None

    def make(self, optimizer: torch.optim.Optimizer, epochs: int) -> lr_scheduler.LRScheduler:
        """Return the scheduler, or raise a ConfigError if it does not take its parameters."""
        try:
            scheduler = self.factory(optimizer, epochs, **self.parameters)
        except Exception as error:  # torch checks little, and by errors of many kinds
            raise ConfigError(f"learning-rate schedule {self.name!r} does not take {self.parameters}: {error}") from error
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            raise ConfigError("ReduceLROnPlateau needs a metric at every step; call it in a callback of your own")
        if "_schedulers" in vars(scheduler):
            raise ConfigError(f"learning-rate schedule {self.name!r} chains several schedules; a checkpoint cannot save them")
        return scheduler

    def check(self, optimizer: torch.optim.Optimizer, epochs: int) -> None:
        """Raise a ConfigError if the schedule cannot be made or take a step; the rates of `optimizer` change."""
        scheduler = self.make(optimizer, epochs)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scheduler.step()
        except Exception as error:
            given = shown(self.parameters)
            raise ConfigError(f"learning-rate schedule {self.name!r} cannot work with {given}: {error}") from error

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Make the scheduler at the start, in the state that a checkpoint holds; advance it after an epoch."""
        if event is Event.START:
            carried = state.carried.get(self._key(state))
            rates = [group["lr"] for group in state.optimizer.param_groups]
            self.scheduler = self.make(state.optimizer, state.epochs)
            if carried is not None:
                # Not load_state_dict: some schedulers want the functions back that they were made with.
                vars(self.scheduler).update(_moving_of(carried, self.scheduler))
            if carried is not None or state.epoch > 0:  # the checkpoint holds the rate of the epoch to come
                for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate
                self.scheduler.last_epoch = state.epoch
        elif event is Event.EPOCH and self.scheduler is not None:
            with warnings.catch_warnings():
                # Compiled steps do not call `optimizer.step`, which torch's schedulers watch.
                warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step\\(\\)` before")
                self.scheduler.step()
            moving = {name: value for name, value in self.scheduler.state_dict().items() if _is_numeric(value)}
            state.carried[self._key(state)] = np.frombuffer(json.dumps(moving).encode(), dtype=np.uint8).copy()

    def _key(self, state: TrainingState) -> str:
        """Return under what a checkpoint keeps the state; another schedule has another."""
        schedules = [callback for callback in state.callbacks if isinstance(callback, LearningRateSchedule)]
        return f"schedule.{schedules.index(self) if self in schedules else 0}"


def _moving_of(carried: npt.NDArray[Any], scheduler: lr_scheduler.LRScheduler) -> dict[str, Any]:
    """Return the parts of a scheduler's state that a checkpoint holds, or raise a CheckpointError."""
    try:
        moving = json.loads(carried.tobytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the state of the learning-rate schedule is damaged: {error}") from error
    known = vars(scheduler)
    if not isinstance(moving, dict) or any(
        not _is_numeric(value) or isinstance(value, list) != isinstance(known.get(name), list) for name, value in moving.items()
    ):
        raise CheckpointError("the state of the learning-rate schedule is damaged: it must hold numbers by name")
    return moving


def _is_numeric(value: object) -> bool:
    """Whether a part of a scheduler's state is a number or a list of numbers, which may change while it runs."""
    return isinstance(value, (int, float)) or (isinstance(value, list) and all(isinstance(v, (int, float)) for v in value))
