"""Callbacks of the training loop: when to rewire, what to write. Each is a function of (event, state)."""

import json
import time
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netsci_nn.errors import ConfigError
from netsci_nn.io import save_network
from netsci_nn.layers import SparseLinear
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring import (
    ArrayRewirer,
    Memory,
    Rewirer,
    RewiringStatistics,
    apply_delta,
    layer_arrays,
    learning_rate_of,
)
from netsci_nn.training.checkpoint import save_checkpoint
from netsci_nn.training.compiled import StepRewiring
from netsci_nn.training.evaluate import evaluate
from netsci_nn.training.loop import Event, TrainingState


class Rewire:
    """Rewire sparse layers at the rule's own interval or another.

    Args:
        rewirer: the rule.
        layers: positions among the model's sparse layers, by default all.
        every_epochs: act after every so many epochs and, by the rule for the last step, after the last one. At least 1.
        every_steps: act after every so many mini-batches instead, and not again at the end. Where the rule is an
            `ArrayRewirer` and all else fits, this runs within compiled training. Without either, a rule that
            `acts_every_step` acts after every mini-batch, any other after every epoch.

    Raises:
        ConfigError: for an interval below 1, or both; when training starts, for layers that do not exist, and where the
            rule cannot work with the optimiser.
    """

    def __init__(
        self,
        rewirer: Rewirer,
        layers: Sequence[int] | None = None,
        every_epochs: int | None = None,
        every_steps: int | None = None,
    ) -> None:
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ConfigError(f"{name} is {value!r}; it must be an integer >= 1")
        if every_epochs is not None and every_steps is not None:
            raise ConfigError(f"every_epochs is {every_epochs} and every_steps is {every_steps}; only one of them may be given")
        self.rewirer = rewirer
        self.layers = layers
        if every_epochs is None and every_steps is None and getattr(rewirer, "acts_every_step", False):
            every_steps = 1
        self.every_steps = every_steps
        self.every_epochs = every_epochs or 1
        self.memory: dict[int, Memory] = {}
        self.rewired, self.seconds = 0, 0.0
        self.within_compiled: StepRewiring | None = None

    @property
    def needs_every_step(self) -> bool:
        """Whether the callback acts between mini-batches by itself."""
        return self.every_steps is not None and self.within_compiled is None

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Act when it is time; adds `rewiring_seconds` and `rewired_edges`, those since the last epoch, to the record."""
        if event is Event.START:
            self.check(state.model, state.optimizer)
            self._start(state)
        elif event is Event.STEP:
            if self.needs_every_step and self.every_steps and state.step % self.every_steps == 0:
                self._rewire(state, is_last=False)
        elif event is Event.EPOCH:
            if self.every_steps is None:
                is_last = state.epoch == state.epochs
                if is_last or state.epoch % self.every_epochs == 0:
                    self._rewire(state, is_last)
            self._report(state)

    def check(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Raise a ConfigError where the rule cannot work on this model or with this optimiser."""
        self.chosen_layers(model)
        check = getattr(self.rewirer, "check", None)
        if check is not None:
            check(optimizer, self.every_steps)

    def step_rewiring(self) -> StepRewiring | None:
        """Return what compiled training is to do between mini-batches, or None where it cannot."""
        if self.every_steps is None or not hasattr(self.rewirer, "propose_arrays"):
            return None
        return StepRewiring(cast(ArrayRewirer, self.rewirer), self.every_steps, self.memory)

    def _start(self, state: TrainingState) -> None:
        """Make what the rule remembers of each layer, or take over what a checkpoint has kept."""
        self.memory.clear()  # the same object that compiled training may hold
        self.rewired, self.seconds = 0, 0.0
        layers = sparse_layers(state.model)
        for layer in self.chosen_layers(state.model):
            number = layers.index(layer)
            prefix = f"rewiring.{number}."
            kept = {name.removeprefix(prefix): array for name, array in state.carried.items() if name.startswith(prefix)}
            if not kept:
                if getattr(self.rewirer, "needs_previous", False):
                    kept["previous"] = _values(layer)
                if hasattr(self.rewirer, "remember"):
                    kept |= self.rewirer.remember(layer_arrays(layer, None, "", {}), state.rng)
            self.memory[number] = kept

    def _rewire(self, state: TrainingState, is_last: bool) -> None:
        begin = time.perf_counter()
        for number, memory in self.memory.items():
            layer = sparse_layers(state.model)[number]
            statistics = RewiringStatistics(
                step=state.step,
                is_last=is_last,
                learning_rate=learning_rate_of(layer.values, state.optimizer),
                previous_values=memory.get("previous"),
                memory=memory,
            )
            delta = self.rewirer.propose(layer, rng=state.rng, statistics=statistics)
            apply_delta(layer, delta, state.optimizer, step=state.step)
            if "previous" in memory:
                memory["previous"] = _values(layer)
            self.rewired += len(delta.dropped)
        self.seconds += time.perf_counter() - begin

    def _report(self, state: TrainingState) -> None:
        """Say in the record what has been done since the last epoch, and leave with the state what the rule remembers."""
        if self.within_compiled is not None:
            self.rewired, self.seconds = self.within_compiled.rewired, self.within_compiled.seconds
            self.within_compiled.rewired, self.within_compiled.seconds = 0, 0.0
            # Compiled training counts these seconds among its own.
            state.record["seconds"] = max(0.0, state.record["seconds"] - self.seconds)
        if self.rewired or self.every_steps is not None or state.epoch % self.every_epochs == 0:
            before = state.record.get("rewired_edges", 0), state.record.get("rewiring_seconds", 0.0)
            state.record.update(rewired_edges=before[0] + self.rewired, rewiring_seconds=before[1] + self.seconds)
        self.rewired, self.seconds = 0, 0.0
        for number, memory in self.memory.items():
            state.carried.update({f"rewiring.{number}.{name}": array for name, array in memory.items()})

    def chosen_layers(self, model: nn.Module) -> list[SparseLinear]:
        """Return the layers of `model` that are rewired; a ConfigError names one that does not exist."""
        layers = sparse_layers(model)
        if not layers:
            raise ConfigError(f"the model, a {type(model).__name__}, has no sparse layer that could be rewired")
        if self.layers is None:
            return layers
        unknown = [position for position in self.layers if not 0 <= position < len(layers)]
        if unknown:
            raise ConfigError(f"layers names layer {unknown[0]}; the model has the sparse layers 0 to {len(layers) - 1}")
        if len(set(self.layers)) < len(self.layers):
            raise ConfigError(f"layers is {list(self.layers)}; every layer may be named once")
        return [layers[position] for position in self.layers]


def _values(layer: SparseLinear) -> npt.NDArray[np.floating]:
    return layer.values.detach().cpu().numpy().copy()


class Evaluate:
    """Add accuracy and loss on held-out rows to the record, after every epoch and at the end.

    Placed before `Rewire` it measures what the epoch has trained, and at the end what the last rewiring has left.
    """

    needs_every_step = False

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Add `test_accuracy` (0 to 1) and `test_loss`."""
        if event in (Event.EPOCH, Event.END):
            result = evaluate(state.model, self.x, self.y)
            state.record.update(test_accuracy=result.accuracy, test_loss=result.loss)


class LearningRateDecay:
    """Multiply the learning rate of every parameter group by `factor` after every epoch."""

    needs_every_step = False

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Act after an epoch."""
        if event is Event.EPOCH:
            for group in state.optimizer.param_groups:
                group["lr"] *= self.factor


class RecordTopology:
    """Write the edges of every sparse layer at the start and whenever they have changed by the end of an epoch.

    Files are `epoch-0000.safetensors` and so on (see `netsci_nn.io.save_network`), and `final.safetensors`, which holds the
    weights too.
    """

    needs_every_step = False

    def __init__(self, directory: str | PathLike[str]) -> None:
        self.directory = Path(directory)
        self.versions: list[int] | None = None

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Act at the start, after epochs and at the end."""
        if event is Event.STEP:
            return
        layers = sparse_layers(state.model)
        if not layers:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        topologies = [layer.topology for layer in layers]
        if event is Event.END:
            values = [layer.values.detach().cpu().numpy() for layer in layers]
            save_network(topologies, self.directory / "final.safetensors", values)
        elif self.versions != (versions := [layer.topology_version for layer in layers]):
            self.versions = versions
            save_network(topologies, self.directory / f"epoch-{state.epoch:04d}.safetensors")


class JsonlLog:
    """Append one JSON line an event to a file and flush it: the start, every epoch and the end."""

    needs_every_step = False

    def __init__(self, path: str | PathLike[str], start: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        self.start = dict(start or {})

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Write the record."""
        if event is Event.STEP:
            return
        n_edges = sum(layer.n_edges for layer in sparse_layers(state.model))
        record = self.start if event is Event.START else state.record
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event.value, **record, "n_edges": n_edges}) + "\n")


class Checkpoint:
    """Write a checkpoint after every epoch, from which training resumes to the same bits (see `load_checkpoint`)."""

    needs_every_step = False

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Act after an epoch."""
        if event is Event.EPOCH:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_checkpoint(self.path, state)
