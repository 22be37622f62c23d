"""Callbacks that measure and record: evaluation, topologies, the log and checkpoints."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.files import append_line, make_directory
from netsci_nn.layers import SparseLayer
from netsci_nn.models import linear_layers, sparse_layers
from netsci_nn.models.wiring import wiring_of
from netsci_nn.topology import save_network, save_wiring
from netsci_nn.training.checkpoint import save_checkpoint
from netsci_nn.training.evaluate import Batches, evaluate
from netsci_nn.training.losses import Loss
from netsci_nn.training.rewire import Rewire
from netsci_nn.training.state import Event, TrainingState

logger = logging.getLogger(__name__)

BETWEEN_EPOCHS = Event.START, Event.EPOCH, Event.END


class Evaluate:
    """Add metrics and the loss on held-out rows to the record, after every epoch and at the end.

    Placed before `Rewire` it measures what the epoch has trained, and at the end what the last rewiring has left.

    Args:
        x: held-out inputs, or batches of (inputs, targets) if `y` is None.
        y: their targets.
        metrics: names in `netsci_nn.training.METRICS`; recorded as `test_NAME`.
        loss: recorded as `test_loss`.

    Example:
        >>> from netsci_nn.training import train
        >>> model, x, y = nn.Linear(4, 2), torch.rand(20, 4), torch.arange(20) % 2
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> state = train(model, optimizer, x, y, epochs=1, batch_size=5, rng=0, callbacks=[Evaluate(x, y)])
        >>> [name for name in state.record if name.startswith("test_")]
        ['test_accuracy', 'test_loss']
    """

    needs_every_step = False

    def __init__(
        self,
        x: torch.Tensor | Batches,
        y: torch.Tensor | None = None,
        metrics: Sequence[str] = ("accuracy",),
        loss: Loss = nn.functional.cross_entropy,
    ) -> None:
        self.x, self.y, self.metrics, self.loss = x, y, tuple(metrics), loss

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Add `test_accuracy` (0 to 1) and its like, and `test_loss`."""
        if event in (Event.EPOCH, Event.END):
            measured = evaluate(state.model, self.x, self.y, metrics=self.metrics, loss=self.loss)
            state.record.update({f"test_{name}": value for name, value in measured.items()})


class RecordTopology:
    """Write the edges of every sparse layer at the start and whenever they have changed by the end of an epoch.

    Args:
        at_epoch: the file for the edges after an epoch, 0 at the start (see `netsci_nn.topology.save_network`).
        final: the file for the edges and the weights at the end.
        wiring: a file for how the layers are joined, written at the start if they are no chain (see `save_wiring`); or None.
        example: what the model is run on to read the wiring (see `network_graph`).
    """

    needs_every_step = False

    def __init__(
        self, at_epoch: Callable[[int], Path], final: Path, wiring: Path | None = None, example: torch.Tensor | None = None
    ) -> None:
        self.at_epoch, self.final, self.wiring, self.example = at_epoch, final, wiring, example
        self.versions: list[int] | None = None

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Act at the start, after epochs and at the end."""
        if event not in BETWEEN_EPOCHS:
            return
        layers = sparse_layers(state.model)
        if not layers:
            return
        path = self.final if event is Event.END else self.at_epoch(state.epoch)
        make_directory(path.parent)
        topologies = [layer.topology for layer in layers]
        if event is Event.START and self.wiring is not None and not self.wiring.is_file():
            self._record_wiring(state.model, self.wiring)
        if event is Event.END:
            save_network(topologies, path, [layer.edge_weights() for layer in layers])
        elif event is Event.START and state.epoch > 0 and any(self.at_epoch(n).is_file() for n in range(state.epoch + 1)):
            self.versions = [layer.topology_version for layer in layers]  # resumed: the last of these files has the edges
        elif self.versions != (versions := [layer.topology_version for layer in layers]):
            self.versions = versions
            save_network(topologies, path)

    def _record_wiring(self, model: nn.Module, path: Path) -> None:
        try:
            wiring = wiring_of(model, self.example)
        except TopologyError as error:
            logger.warning("how the layers are joined is not recorded, and each is analysed by itself: %s", error)
            return
        names = [name for name, layer in linear_layers(model).items() if isinstance(layer, SparseLayer)]
        if not wiring.is_chain or [layer.name for layer in wiring.layers] != names:
            save_wiring(wiring, names, path)


class JsonlLog:
    """Append one JSON line per event to a file and flush it to the disk: the start, every epoch and the end.

    The digest of its epochs is in `TrainingState.carried` as `log.0`, that of a second log as `log.1`; so a checkpoint says
    which lines belong to it (see `log_digest`).
    """

    needs_every_step = False

    def __init__(self, path: str | PathLike[str], start: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        self.start = dict(start or {})

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Write the record."""
        if event not in BETWEEN_EPOCHS:
            return
        n_edges = sum(layer.n_edges for layer in sparse_layers(state.model))
        record = self.start if event is Event.START else state.record
        line = {"event": event.value, **record, "n_edges": n_edges}
        make_directory(self.path.parent)
        append_line(self.path, json.dumps(line))
        if event is Event.EPOCH:
            logs = [callback for callback in state.callbacks if isinstance(callback, JsonlLog)]
            name = f"log.{logs.index(self) if self in logs else 0}"
            state.carried[name] = log_digest([line], state.carried.get(name))


def log_digest(lines: Iterable[Mapping[str, Any]], before: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
    """Return the digest of lines of a log, each with the digest of those before it.

    Args:
        lines: in their order.
        before: the digest of the lines before them; None if there are none.

    Returns:
        uint8 `[32]`, a SHA-256.

    Example:
        >>> bool((log_digest([{"epoch": 1}, {"epoch": 2}]) == log_digest([{"epoch": 2}], log_digest([{"epoch": 1}]))).all())
        True
    """
    digest = np.zeros(32, np.uint8) if before is None else before
    for line in lines:
        digest = np.frombuffer(hashlib.sha256(digest.tobytes() + json.dumps(line).encode()).digest(), np.uint8).copy()
    return digest


class Checkpoint:
    """Write a checkpoint after every epoch, from which training resumes to the same bits.

    Args:
        path: of the file, which every checkpoint replaces.
        configuration: a name of the settings of the training (see `load_checkpoint`).

    Raises:
        ConfigError: when training starts, if a `Rewire` comes after it in the list: what that does to an epoch's edges would be
            missing.

    Example: see `load_checkpoint`.
    """

    needs_every_step = False

    def __init__(self, path: str | PathLike[str], configuration: str | None = None) -> None:
        self.path, self.configuration = Path(path), configuration

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Act after an epoch."""
        if event is Event.START and self in state.callbacks:
            following = state.callbacks[state.callbacks.index(self) + 1 :]
            if any(isinstance(callback, Rewire) for callback in following):
                raise ConfigError(
                    "callbacks has Checkpoint before Rewire; it must come after it, or its checkpoints lack what Rewire does "
                    "after the epoch"
                )
        elif event is Event.EPOCH:
            make_directory(self.path.parent)
            save_checkpoint(self.path, state, self.configuration)
