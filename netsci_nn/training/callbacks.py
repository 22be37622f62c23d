"""Callbacks of the training loop: when to rewire, what to write. Each is a function of (event, state)."""

import json
import time
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netsci_nn.errors import ConfigError
from netsci_nn.io import save_network
from netsci_nn.layers import SparseLinear
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring import Rewirer, RewiringStatistics, apply_delta
from netsci_nn.training.checkpoint import save_checkpoint
from netsci_nn.training.evaluate import evaluate
from netsci_nn.training.loop import Event, TrainingState


class Rewire:
    """Rewire sparse layers after every `every_epochs`-th epoch and, by the rule for the last step, after the last one.

    Args:
        rewirer: the rule.
        layers: positions among the model's sparse layers, by default all.
        every_epochs: at least 1.
        every_steps: act after every so many mini-batches instead, and not again at the end. Where the rule is an
            `ArrayRewirer` and all else fits, this runs within compiled training.
    """

    def __init__(
        self, rewirer: Rewirer, layers: Sequence[int] | None = None, every_epochs: int = 1, every_steps: int | None = None
    ) -> None:
        for name, value in (("every_epochs", every_epochs), ("every_steps", 1 if every_steps is None else every_steps)):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} is {value!r}; it must be an integer >= 1")
        self.rewirer = rewirer
        self.layers = layers
        self.every_epochs = every_epochs
        self.every_steps = every_steps
        self.is_within_compiled = False  # set by the training loop where compiled steps do the rewiring

    @property
    def needs_every_step(self) -> bool:
        """Whether the callback acts between mini-batches by itself."""
        return self.every_steps is not None and not self.is_within_compiled

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Act when it is time; adds `rewiring_seconds` and `rewired_edges` to the record."""
        if event is Event.START:
            self.chosen_layers(state.model)
        if self.every_steps is not None:
            is_last, is_time = False, event is Event.STEP and state.step % self.every_steps == 0 and self.needs_every_step
        else:
            is_last = state.epoch == state.epochs
            is_time = event is Event.EPOCH and (is_last or state.epoch % self.every_epochs == 0)
        if is_time:
            self._rewire(state, is_last)

    def _rewire(self, state: TrainingState, is_last: bool) -> None:
        begin, rewired = time.perf_counter(), 0
        for layer in self.chosen_layers(state.model):
            statistics = RewiringStatistics(step=state.step, is_last=is_last)
            delta = self.rewirer.propose(layer, rng=state.rng, statistics=statistics)
            apply_delta(layer, delta, state.optimizer, step=state.step)
            rewired += len(delta.dropped)
        state.record.update(rewired_edges=rewired, rewiring_seconds=time.perf_counter() - begin)

    def chosen_layers(self, model: nn.Module) -> list[SparseLinear]:
        """Return the layers of `model` that are rewired; a ConfigError names one that does not exist."""
        layers = sparse_layers(model)
        if self.layers is None:
            return layers
        unknown = [position for position in self.layers if not 0 <= position < len(layers)]
        if unknown:
            raise ConfigError(f"layers names layer {unknown[0]}; the model has the sparse layers 0 to {len(layers) - 1}")
        return [layers[position] for position in self.layers]


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
