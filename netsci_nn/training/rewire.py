"""`Rewire`: the callback that lets a rule act on sparse layers while they are trained."""

import time
from collections.abc import Sequence

import torch
from torch import nn

from netsci_nn.checks import check_count
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.layers import SparseLayer
from netsci_nn.layers.ranks import end_training, generator_of_first_rank
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring import NEEDS, Memory, Rewirer, edge_view
from netsci_nn.rewiring.apply import unwrapped
from netsci_nn.training.state import Event, TrainingState


class Rewire:
    """Rewire sparse layers at the rule's own interval or another.

    The callback works on the layers that the training state offers, so it acts in the same way whether the training steps are
    compiled or torch's. If the model lies in DistributedDataParallel, the rule draws with rank 0's generator on every rank, so
    that all ranks get the same edges.

    Args:
        rewirer: the rule.
        layers: positions among the model's sparse layers, by default all.
        every_epochs: act after every `every_epochs`-th epoch, and after the last one as the rule's last step; at least 1.
        every_steps: act after every `every_steps`-th mini-batch instead, and not again at the end; at least 1. Without either,
            a rule that `acts_every_step` acts after every mini-batch, any other after every epoch.
        followers: averaged copies of the model (EMA, SWA), whose sparse layers get the same edges (see
            `netsci_nn.rewiring.apply_delta`); they are matched by their order.

    Raises:
        ConfigError: for an interval below 1, or both; when training starts, for layers that do not exist, if the rule cannot
            work with the optimiser, and if a follower is no copy of the model.
        TopologyError: when training starts, if a follower has other edges than the model.

    Example:
        >>> from netsci_nn import SparseMLP, rewiring
        >>> from netsci_nn.training import Rewire, train
        >>> model = SparseMLP([20, 10, 3], density=0.3, rng=0)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> x, y = torch.rand(60, 20), torch.arange(60) % 3
        >>> set_rule = Rewire(rewiring.SparseEvolution(0.3))
        >>> state = train(model, optimizer, x, y, epochs=2, batch_size=10, rng=0, callbacks=[set_rule])
        >>> state.epoch, state.record["interrupted"]
        (2, False)
    """

    def __init__(
        self,
        rewirer: Rewirer,
        layers: Sequence[int] | None = None,
        every_epochs: int | None = None,
        every_steps: int | None = None,
        followers: Sequence[nn.Module] = (),
    ) -> None:
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps)):
            if value is not None:
                check_count(name, value, 1, error=ConfigError)
        if every_epochs is not None and every_steps is not None:
            raise ConfigError(f"every_epochs is {every_epochs} and every_steps is {every_steps}; only one of them may be given")
        if not isinstance(followers, Sequence) or not all(isinstance(follower, nn.Module) for follower in followers):
            raise ConfigError(f"followers is {followers!r}; it must be a list of averaged models")
        self.rewirer = rewirer
        self.layers = layers
        self.followers = tuple(followers)
        if every_epochs is None and every_steps is None and getattr(rewirer, "acts_every_step", False):
            every_steps = 1
        self.every_steps = every_steps
        self.every_epochs = every_epochs or 1
        self.memory: dict[int, Memory] = {}
        self.rewired, self.seconds = 0, 0.0

    @property
    def step_interval(self) -> int | None:
        """Number of mini-batches after each of which training must stop for the callback; None: only after epochs."""
        return self.every_steps

    @property
    def needs_every_step(self) -> bool:
        """Whether compiled steps cannot serve: they know neither the forward mask that some rules set nor averaged copies."""
        follows_between = bool(self.followers) and self.every_steps is not None
        return bool(getattr(self.rewirer, "sets_active", False)) or follows_between

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Act when it is time; add `rewiring_seconds` and `rewired_edges` since the last epoch to the record."""
        if event is Event.START:
            self.check(state.model, state.optimizer)
            self._start(state)
        elif event is Event.STEP:
            if self.every_steps is not None and state.step % self.every_steps == 0:
                self._rewire(state, is_last=False)
        elif event is Event.EPOCH:
            if self.every_steps is None:
                is_last = state.epoch == state.epochs
                if is_last or state.epoch % self.every_epochs == 0:
                    self._rewire(state, is_last)
            self._report(state)

    def check(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Raise a ConfigError if the rule cannot work on this model or with this optimiser."""
        for layer in self.chosen_layers(model):
            layer._check_own_weight("the edges cannot change")
        unknown = sorted(set(getattr(self.rewirer, "needs", ())) - NEEDS.keys())
        if unknown:
            raise ConfigError(f"the rewiring rule needs {unknown[0]!r}; training can provide: {', '.join(NEEDS)}")
        check = getattr(self.rewirer, "check", None)
        if check is not None:
            check(unwrapped(optimizer), self.every_steps)

    def _start(self, state: TrainingState) -> None:
        """Set up the rule's memory of each layer, or restore it from a checkpoint."""
        self.memory.clear()
        self.rewired, self.seconds = 0, 0.0
        layers = sparse_layers(state.model)
        self._check_rivals(state)
        self._check_followers(state.model)
        for layer in self.chosen_layers(state.model):
            number = layers.index(layer)
            kept = self._carried(state, number)
            if not kept:
                if "previous" in getattr(self.rewirer, "needs", ()):
                    kept["previous"] = edge_view(layer).weight.copy()
                if hasattr(self.rewirer, "remember"):
                    kept |= self.rewirer.remember(edge_view(layer), generator_of_first_rank(layer, state.rng))
            self.memory[number] = kept

    def _check_followers(self, model: nn.Module) -> None:
        """Raise an error unless every follower has the model's sparse layers, with the same edges."""
        layers = sparse_layers(model)
        for number, follower in enumerate(self.followers):
            twins = sparse_layers(follower)
            if len(twins) != len(layers) or set(twins) & set(layers):
                problem = f"has {len(twins)} sparse layers and the model {len(layers)}"
                if set(twins) & set(layers):
                    problem = "holds a layer of the model itself"
                raise ConfigError(f"followers[{number}] {problem}; it must be an averaged copy of the model")
            unequal = [i for i, (twin, layer) in enumerate(zip(twins, layers, strict=True)) if twin.topology != layer.topology]
            if unequal:
                raise TopologyError(
                    f"followers[{number}] has other edges than the model in sparse layer {unequal[0]}; "
                    "make the averaged copy of the model as it is when training starts"
                )

    def _check_rivals(self, state: TrainingState) -> None:
        """Raise a ConfigError if another rule changes a layer whose former weights this rule needs, edge by edge."""
        rivals = [other for other in state.callbacks if isinstance(other, Rewire) and other is not self]
        own = self._numbers(state.model) if "previous" in getattr(self.rewirer, "needs", ()) else set()
        shared = sorted(own & {number for other in rivals for number in other._numbers(state.model)})
        if shared:
            raise ConfigError(
                f"two rewiring rules act on layer {shared[0]}, and one of them needs the former weight of every edge; "
                "give each rule layers of its own"
            )

    def _prefix(self, state: TrainingState, number: int) -> str:
        """Return the prefix of a layer's memory in a checkpoint; every callback has prefixes of its own."""
        others = [callback for callback in state.callbacks if isinstance(callback, Rewire)]
        return f"rewiring.{others.index(self) if self in others else 0}.{number}."

    def _carried(self, state: TrainingState, number: int) -> Memory:
        """Return the memory of a layer that a checkpoint holds."""
        prefix = self._prefix(state, number)
        kept = {name.removeprefix(prefix): array for name, array in state.carried.items() if name.startswith(prefix)}
        former = f"rewiring.{number}."  # version 0.1.0 did not say which callback it was
        inherited = {
            name.removeprefix(former): array
            for name, array in state.carried.items()
            if name.startswith(former) and name.count(".") == 2
        }
        if inherited and not kept:
            rivals = [
                callback
                for callback in state.callbacks
                if isinstance(callback, Rewire) and number in callback._numbers(state.model)
            ]
            if len(rivals) > 1:
                raise ConfigError(
                    f"the checkpoint is of version 0.1.0 and does not record which of {len(rivals)} rewiring rules its memory "
                    f"of layer {number} belongs to; start the training again"
                )
            for name in inherited:
                del state.carried[former + name]
        return kept or inherited

    def _rewire(self, state: TrainingState, is_last: bool) -> None:
        begin = time.perf_counter()
        modules, followers = sparse_layers(state.model), [sparse_layers(follower) for follower in self.followers]
        for number, memory in self.memory.items():
            layer = state.layers[number]
            view = layer.view(
                step=state.step,
                total_steps=state.total_steps,
                is_last=is_last,
                previous=memory.get("previous"),
                memory=memory,
            )
            delta = self.rewirer.propose(view, rng=generator_of_first_rank(modules[number], state.rng))
            if is_last and len(delta.dropped) != len(delta.grown_src):
                end_training(modules[number])
            layer.apply(delta, state.step, [twins[number] for twins in followers])
            if "previous" in memory:
                memory["previous"] = layer.weight()
            self.rewired += len(delta.dropped)
        self.seconds += time.perf_counter() - begin

    def _report(self, state: TrainingState) -> None:
        """Add what was done since the last epoch to the record, and the rule's memory to what checkpoints keep."""
        if self.rewired or self.every_steps is not None or state.epoch % self.every_epochs == 0:
            before = state.record.get("rewired_edges", 0), state.record.get("rewiring_seconds", 0.0)
            state.record.update(rewired_edges=before[0] + self.rewired, rewiring_seconds=before[1] + self.seconds)
        self.rewired, self.seconds = 0, 0.0
        for number, memory in self.memory.items():
            prefix = self._prefix(state, number)
            state.carried.update({prefix + name: array for name, array in memory.items()})

    def _numbers(self, model: nn.Module) -> set[int]:
        layers = sparse_layers(model)
        return {layers.index(layer) for layer in self.chosen_layers(model)}

    def chosen_layers(self, model: nn.Module) -> list[SparseLayer]:
        """Return the layers of `model` that are rewired; a ConfigError if one does not exist."""
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
