"""The training loop: mini-batches, gradient steps and events. All else is done by callbacks and step functions."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Protocol

import torch
from torch import nn

from netsci_nn.checks import check_count, is_iterable
from netsci_nn.data.dataset import check_labels
from netsci_nn.errors import ConfigError, DataError
from netsci_nn.interruption import deferring
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring import ModuleLayer
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.training.compiled import CompiledTraining, StepsOfTorch, reason_against
from netsci_nn.training.evaluate import evaluation_mode, flat_tokens
from netsci_nn.training.losses import Loss
from netsci_nn.training.state import Callback, Event, Progress, TrainingState

logger = logging.getLogger(__name__)

IGNORED = -100  # the label that torch's cross-entropy ignores

# A step function: (model, batch) -> the loss, a mean over the rows of the batch, or a mapping with the loss as "loss" beside
# other means over rows. The loop differentiates the loss; if it does not require gradients, the step function has filled the
# gradients itself.
Step = Callable[[nn.Module, Any], torch.Tensor | Mapping[str, torch.Tensor]]


class Engine(Protocol):
    """It carries out the steps of an epoch: by torch's autograd, or by compiled code."""

    def run_epoch(self, notify: Callable[[Event], None]) -> dict[str, float]:
        """Train one epoch, or less if Ctrl-C stops it; return the means over its rows of the values that the steps return."""
        ...


def supervised(loss: Loss = nn.functional.cross_entropy) -> Step:
    """Return the step function of learning from pairs: the loss of the model's outputs and the targets.

    With the default this is classification. A batch is (inputs, targets); labels of tokens, `[n, length]` beside logits
    `[n, length, n_classes]`, are taken one by one.

    Args:
        loss: of (outputs, targets), a mean over rows.
    """

    def step(model: nn.Module, batch: Any) -> torch.Tensor:
        inputs, targets = batch
        device = next((parameter.device for parameter in model.parameters()), None)
        return loss(*flat_tokens(model(inputs.to(device)), targets.to(device)))

    return step


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor | Iterable[Any],
    y: torch.Tensor | None = None,
    *,
    epochs: int,
    batch_size: int | None = None,
    rng: Rng,
    callbacks: Sequence[Callback] = (),
    loss: Loss = nn.functional.cross_entropy,
    step: Step | None = None,
    completed: tuple[int, int] = (0, 0),
    compiled: bool | None = None,
) -> TrainingState:
    """Train `model` by mini-batches in random order; the last mini-batch of an epoch may be smaller.

    If the model, optimiser, loss and callbacks allow it, runs of mini-batches are one call of compiled code (see
    `netsci_nn.training.compiled`), several times faster at small batches; the event STEP then comes once per run.

    Ctrl-C ends training after the running mini-batch, with the event END as at a normal end; a second one interrupts at
    once.

    Args:
        model: maps `[batch, ...]` to outputs, for classification logits `[batch, n_classes]`.
        optimizer: of the model's parameters.
        x: `[n, ...]`, inputs by rows; or batches for the step function, for example a `DataLoader`, iterated once per epoch.
        y: targets by rows, for classification integers `[n]` from 0 to n_classes - 1; None if the step function needs none, or
            if `x` is batches.
        epochs: passes over the data, >= 0.
        batch_size: rows of a mini-batch, >= 1; None if `x` is batches.
        rng: int seed or numpy Generator, of the order of rows and of callbacks.
        callbacks: called in order at every `Event`.
        loss: of (outputs, targets), a mean over the batch; for the default step function.
        step: the step function (see `Step`), by default `supervised(loss)`. Its batches are (inputs, targets), inputs alone if
            `y` is None, or the items of `x`.
        completed: epochs and mini-batches that a resumed training has completed (see `load_checkpoint`).
        compiled: whether to use compiled steps; None: use them if they can train this.

    Raises:
        ConfigError: if `epochs` or `batch_size` is out of range, `loss` and `step` are both given, batches can be iterated
            only once, or compiled steps are asked for and not possible.
        DataError: if rows and targets do not fit each other or the model.

    Example:
        >>> from netsci_nn import SparseMLP
        >>> model = SparseMLP([20, 10, 3], density=0.3, rng=0)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> x, y = torch.rand(60, 20), torch.arange(60) % 3
        >>> train(model, optimizer, x, y, epochs=3, batch_size=10, rng=0).step
        18
    """
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ConfigError("optimizer is LBFGS, which evaluates the loss several times per step; train it in a loop of your own")
    if not callable(getattr(optimizer, "step", None)) or not callable(getattr(optimizer, "zero_grad", None)):
        raise ConfigError(f"optimizer is a {type(optimizer).__name__}; it must be a torch.optim.Optimizer, or a wrapper of one")
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; it must be a module")
    epochs = check_count("epochs", epochs, 0, error=ConfigError)
    if step is not None and loss is not nn.functional.cross_entropy:
        raise ConfigError("loss and step are both given; a step function computes its own loss")
    if isinstance(x, torch.Tensor):
        batch_size = check_count("batch_size", batch_size, 1, error=ConfigError)
        _check_rows(x, y)
        if step is None:
            y = _checked_targets(model, x, y, loss)
        steps_per_epoch: int | None = -(-len(x) // batch_size)
    else:
        _check_batches(x, y, epochs, batch_size)
        steps_per_epoch = len(x) if isinstance(x, Sized) else None
    state = TrainingState(model, optimizer, as_generator(rng), epochs, steps_per_epoch, *completed, callbacks=tuple(callbacks))
    state.layers = tuple(ModuleLayer(layer, optimizer) for layer in sparse_layers(model))
    if isinstance(completed, Progress):
        state.carried.update(completed.carried)
    batches = _Rows(state, x, y, batch_size) if isinstance(x, torch.Tensor) and batch_size is not None else x
    fallback = EagerTraining(state, batches, step or supervised(loss), fills_gradients=step is not None)
    engine = _choose_engine(state, x, y, batch_size, loss, step, compiled, fallback)
    seconds_between_steps = 0.0

    def notify(event: Event) -> None:
        nonlocal seconds_between_steps
        begin = time.perf_counter()
        for callback in callbacks:
            if event not in (Event.BATCH, Event.GRADIENT) or _wants_gradient(callback, state.step + 1):
                callback(event, state)
        if event in (Event.BATCH, Event.GRADIENT, Event.STEP):
            seconds_between_steps += time.perf_counter() - begin

    def stop() -> None:
        state.interrupted = True

    with deferring(stop):
        notify(Event.START)
        while state.epoch < epochs and not state.interrupted:
            engine = _still_fitting(engine, state, fallback, compiled)
            begin, seconds_between_steps = time.perf_counter(), 0.0
            means = engine.run_epoch(notify)
            if not state.interrupted:
                state.epoch += 1
                seconds = max(0.0, time.perf_counter() - begin - seconds_between_steps)
                state.record = {"epoch": state.epoch, "step": state.step}
                state.record |= {f"train_{name}": value for name, value in means.items()}
                state.record["seconds"] = seconds
                notify(Event.EPOCH)
        state.record = {"epoch": state.epoch, "step": state.step, "interrupted": state.interrupted}
        notify(Event.END)
    return state


def _choose_engine(
    state: TrainingState,
    x: torch.Tensor | Iterable[Any],
    y: torch.Tensor | None,
    batch_size: int | None,
    loss: Loss,
    step: Step | None,
    compiled: bool | None,
    fallback: "EagerTraining",
) -> Engine:
    """Return compiled steps if they can train this, else torch's."""
    intervals = [interval for interval in (getattr(c, "step_interval", None) for c in state.callbacks) if interval]
    reason = None
    if compiled is False:
        reason = "compiled=False"
    elif step is not None:
        reason = "there is a step function"
    elif not isinstance(x, torch.Tensor) or y is None or batch_size is None:
        reason = "the data are batches, not rows"
    elif loss is not nn.functional.cross_entropy:
        reason = "the loss is not cross_entropy"
    elif y.dim() != 1 or y.dtype.is_floating_point:
        reason = "the targets are not one label per row"
    elif any(_needs_torch(callback) for callback in state.callbacks):
        reason = "a callback needs every step (set its attribute needs_every_step to False if it does not)"
    else:
        reason = reason_against(state.model, state.optimizer, x, batch_size)
        if reason is None:
            training = CompiledTraining(state, x, y, batch_size, intervals, _steps_of_torch(state.callbacks, fallback))
            training.compile()
            return training
    _report(state, reason, compiled)
    return fallback


def _still_fitting(engine: Engine, state: TrainingState, fallback: "EagerTraining", compiled: bool | None) -> Engine:
    """Return the engine for the next epoch: callbacks may have hung something on the model that compiled steps would ignore."""
    if not isinstance(engine, CompiledTraining):
        return engine
    reason = reason_against(state.model, state.optimizer, torch.from_numpy(engine.x), engine.batch_size)
    if reason is None:
        return engine
    _report(state, reason, compiled)
    return fallback


def _report(state: TrainingState, reason: str, compiled: bool | None) -> None:
    """Log why torch's engine trains, or raise a ConfigError if compiled steps were asked for."""
    if compiled:
        raise ConfigError(f"compiled is True, but compiled steps cannot train this: {reason}")
    is_expected = compiled is False or not state.layers  # nobody waits for compiled steps of a dense model
    logger.log(logging.DEBUG if is_expected else logging.INFO, "training step by step: %s", reason)


def _needs_torch(callback: Callback) -> bool:
    """Whether a callback must see the module between mini-batches; one that does not say so must."""
    default = not hasattr(callback, "step_interval")
    return getattr(callback, "needs_every_step", default) or getattr(callback, "needs_gradient", False)


def _steps_of_torch(callbacks: Sequence[Callback], fallback: "EagerTraining") -> StepsOfTorch:
    """Return which mini-batches of a compiled training are torch's, and how it does them."""
    intervals = tuple(interval for interval in (getattr(c, "gradient_interval", None) for c in callbacks) if interval)
    return StepsOfTorch(intervals, lambda batch, notify: float(fallback.run_step(batch, notify)["loss"].detach()))


def _wants_gradient(callback: Callback, step: int) -> bool:
    """Whether a callback wants the events BATCH and GRADIENT of a mini-batch, whose number counts from 1."""
    interval = getattr(callback, "gradient_interval", None)
    return getattr(callback, "needs_gradient", False) or (interval is not None and step % interval == 0)


class _Rows:
    """Rows of tensors as mini-batches, in a new random order every epoch."""

    def __init__(self, state: TrainingState, x: torch.Tensor, y: torch.Tensor | None, batch_size: int) -> None:
        self.state, self.x, self.y, self.batch_size = state, x, y, batch_size

    def __iter__(self) -> Iterator[Any]:
        order = torch.from_numpy(self.state.rng.permutation(len(self.x))).to(self.x.device)
        for rows in order.split(min(self.batch_size, len(order))):
            yield self.x[rows] if self.y is None else (self.x[rows], self.y[rows])


class EagerTraining:
    """Training by torch's autograd: every batch goes through the step function."""

    def __init__(self, state: TrainingState, batches: Iterable[Any], step: Step, *, fills_gradients: bool) -> None:
        self.state, self.batches, self.step, self.fills_gradients = state, batches, step, fills_gradients

    def run_epoch(self, notify: Callable[[Event], None]) -> dict[str, float]:
        """See `Engine`."""
        state, n_rows = self.state, 0
        totals: dict[str, torch.Tensor] = {}
        state.model.train()
        for batch in self.batches:
            values = self.run_step(batch, notify)
            rows = _row_count(batch)
            n_rows += rows
            for name, value in values.items():
                value = torch.as_tensor(value).detach()
                value = value.float() if value.element_size() == 2 else value  # means of half precision would be as coarse
                totals[name] = totals.get(name, torch.zeros((), device=value.device)) + value * rows
            state.step += 1
            notify(Event.STEP)
            if state.interrupted:
                break
        return {name: float(total) / max(n_rows, 1) for name, total in totals.items()}

    def run_step(self, batch: Any, notify: Callable[[Event], None]) -> Mapping[str, Any]:
        """Make one gradient step, with the events BATCH and GRADIENT; return what the step function has."""
        optimizer = self.state.optimizer
        notify(Event.BATCH)
        optimizer.zero_grad()
        values = _checked_result(self.step(self.state.model, batch))
        if values["loss"].requires_grad:
            values["loss"].backward()
        elif not self.fills_gradients:
            raise ConfigError("the loss does not depend on a trained parameter: all are frozen, or gradients are disabled")
        notify(Event.GRADIENT)
        optimizer.step()
        return values


def _checked_result(result: Any) -> Mapping[str, Any]:
    """Return what a step function gave as a mapping with the loss as a tensor of one number."""
    values = result if isinstance(result, Mapping) else {"loss": result}
    loss = values.get("loss")
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        got = f"a mapping with {', '.join(map(repr, values))}" if isinstance(result, Mapping) else f"a {type(result).__name__}"
        raise ConfigError(
            f"the step function returned {got}; it must return the loss as a tensor of one number, "
            "or a mapping that holds it as 'loss'"
        )
    return values


def _row_count(batch: Any) -> int:
    """Return the rows of a batch: the length of its first tensor; 1 if it holds none."""
    if isinstance(batch, torch.Tensor):
        return len(batch)
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (tuple, list)) else ()
    return next((len(part) for part in parts if isinstance(part, torch.Tensor) and part.dim()), 1)


def _check_rows(x: torch.Tensor, y: torch.Tensor | None) -> None:
    for name, tensor in (("x", x), ("y", y)):
        if tensor is not None and (not isinstance(tensor, torch.Tensor) or tensor.is_meta or tensor.layout != torch.strided):
            is_tensor = isinstance(tensor, torch.Tensor)
            kind = f"tensor of layout {tensor.layout} on {tensor.device}" if is_tensor else type(tensor).__name__
            raise DataError(f"{name} is a {kind}; it must be a dense tensor with numbers for every row")
    if x.dim() < 2 or len(x) == 0 or (y is not None and y.shape[:1] != x.shape[:1]):
        got = "none" if y is None else str(tuple(y.shape))
        raise DataError(f"x has shape {tuple(x.shape)} and y {got}; they must be [n, n_features] and [n], n >= 1")


def _checked_targets(model: nn.Module, x: torch.Tensor, y: torch.Tensor | None, loss: Loss) -> torch.Tensor:
    """Return targets that fit the loss; for cross-entropy, labels from 0 to n_classes - 1, one per row or token.

    Of tokens the label -100, which cross-entropy ignores, is allowed too. What other losses take is their business.
    """
    if y is None:
        raise DataError("y is None; supervised learning needs a target for every row (or a step function that needs none)")
    if loss is not nn.functional.cross_entropy:
        return y
    device = next((parameter.device for parameter in model.parameters()), None)
    with evaluation_mode(model):
        outputs = model(x[:1].to(device))
    if not isinstance(outputs, torch.Tensor):
        kind = type(outputs).__name__
        raise DataError(f"the model returns a {kind}; cross-entropy needs a tensor of logits (or pass a step function)")
    if y.dtype.is_floating_point and y.shape[1:] == outputs.shape[1:]:  # probabilities
        return y
    if y.shape[1:] != outputs.shape[1:-1]:
        raise DataError(
            f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; they must be [n, n_features] and [n], n >= 1, "
            "or have one label for each of the model's outputs [n, ..., n_classes]"
        )
    if y.dtype.is_floating_point:
        raise DataError(f"y has dtype {y.dtype}; labels must be integers")
    labels = y.flatten().cpu()
    check_labels("y", (labels[labels != IGNORED] if y.dim() > 1 else labels).numpy(), outputs.shape[-1])
    return y.long()


def _check_batches(batches: Iterable[Any], y: torch.Tensor | None, epochs: int, batch_size: int | None) -> None:
    if not is_iterable(batches):
        raise DataError(f"x is a {type(batches).__name__}; it must be a tensor [n, n_features] or an iterable of batches")
    if y is not None or batch_size is not None:
        kind = type(batches).__name__
        if y is not None:
            raise ConfigError(
                f"y is given and x is a {kind} of batches; leave y out: the batches already hold rows and targets"
            )
        raise ConfigError(
            f"batch_size is {batch_size!r} and x is a {kind} of batches; leave batch_size out: the batches already have "
            "their sizes"
        )
    if epochs > 1 and isinstance(batches, Iterator):  # not by iter(), which draws random numbers of a DataLoader
        raise ConfigError(
            f"x is a {type(batches).__name__} that can be iterated once, and epochs is {epochs}; "
            "it must give its batches again for every epoch, as a list or a DataLoader does"
        )
