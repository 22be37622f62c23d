"""`Rewire`: the callback that lets a rule act on sparse layers while they are trained."""

from collections.abc import Sequence

import torch
from torch import nn

from netsci_nn.checks import check_choice, check_count
from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring import Memory, Rewirer, Rewiring
from netsci_nn.rewiring.arguments import check_rule, chosen_layers, name_of, needs, needs_a_step, numbers_of
from netsci_nn.rewiring.newborn import DEFAULT, POLICIES
from netsci_nn.training.state import Event, TrainingState

EVERY_STEPS = 100  # of rules that act in the place of a step, unless they are told otherwise


class Rewire:
    """Rewire sparse layers at the rule's own interval or another: `netsci_nn.Rewiring`, told by `train` when it is time.

    It works on the layers that the training state offers, so it acts in the same way whether the training steps are compiled or
    torch's; a step whose gradient the rule needs is always torch's.

    Args:
        rewirer: the rule.
        layers: positions among the model's sparse layers, by default all.
        every_epochs: act after every `every_epochs`-th epoch, and after the last one as the rule's last step; at least 1.
        every_steps: act after every `every_steps`-th mini-batch instead, and not again at the end; at least 1. Without either,
            a rule that `acts_every_step` acts after every mini-batch, one that replaces steps (RigL) at every 100th, any other
            after every epoch.
        until_epoch: last epoch in which edges change, and end of the rule's schedules, at least 1; by default the last of all.
        optimizer_state: of new edges, see `netsci_nn.Rewiring`.
        followers: averaged copies of the model (EMA, SWA), whose sparse layers get the same edges (see
            `netsci_nn.rewiring.apply_delta`); they are matched by their order.

    Raises:
        ConfigError: for an interval below 1, or both, or epochs where the rule needs the gradient of a step; for an unknown
            `optimizer_state`; when training starts, for layers that do not exist, if the rule cannot
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
        until_epoch: int | None = None,
        optimizer_state: str = DEFAULT,
    ) -> None:
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps), ("until_epoch", until_epoch)):
            if value is not None:
                check_count(name, value, 1, error=ConfigError)
        if every_epochs is not None and every_steps is not None:
            raise ConfigError(f"every_epochs is {every_epochs} and every_steps is {every_steps}; only one of them may be given")
        if every_epochs is not None and needs_a_step(rewirer):
            raise ConfigError(
                f"every_epochs is {every_epochs}, and rule {name_of(rewirer)!r} needs the gradient of a step; give every_steps"
            )
        if not isinstance(followers, Sequence) or not all(isinstance(follower, nn.Module) for follower in followers):
            raise ConfigError(f"followers is {followers!r}; it must be a list of averaged models")
        check_choice("optimizer_state", optimizer_state, POLICIES, ConfigError)
        self.rewirer = rewirer
        self.layers = layers
        self.followers = tuple(followers)
        if every_epochs is None and every_steps is None and getattr(rewirer, "acts_every_step", False):
            every_steps = 1
        if every_epochs is None and every_steps is None and needs_a_step(rewirer):
            every_steps = EVERY_STEPS
        self.every_steps = every_steps
        self.every_epochs = every_epochs or 1
        self.until_epoch, self.optimizer_state = until_epoch, optimizer_state
        self.driver: Rewiring | None = None

    @property
    def memory(self) -> dict[int, Memory]:
        """What the rule keeps of every layer, once training has started."""
        return {} if self.driver is None else self.driver.memory

    @property
    def step_interval(self) -> int | None:
        """Number of mini-batches after each of which training must stop for the callback; None: only after epochs."""
        return self.every_steps

    @property
    def gradient_interval(self) -> int | None:
        """Number of mini-batches at every multiple of which the callback needs the gradient; None: never."""
        return self.every_steps if needs_a_step(self.rewirer) else None

    @property
    def needs_every_step(self) -> bool:
        """Whether compiled steps cannot serve: they know no forward mask, averaged copies, or steps of newborn edges."""
        follows_between = bool(self.followers) and self.every_steps is not None
        return bool(getattr(self.rewirer, "sets_active", False)) or follows_between or self.optimizer_state in ("age", "warmup")

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Act when it is time; add `rewiring_seconds` and `rewired_edges` since the last epoch to the record."""
        if event is Event.START:
            self.check(state.model, state.optimizer)
            self._start(state)
            return
        driver = self.driver
        if driver is None:
            raise ConfigError("Rewire was not told that training starts (event START)")
        is_over = self.until_epoch is not None and state.epoch >= self.until_epoch
        if event is Event.BATCH and not is_over and self._is_step(state.step + 1):
            driver.steps, driver.live = state.step, dict(enumerate(state.layers))
            driver.expect_once()
        elif event is Event.GRADIENT and not is_over and self._is_step(state.step + 1):
            driver.step()
        elif event is Event.STEP and self._is_step(state.step):
            if self.gradient_interval is not None:
                driver.rest()
            elif not is_over:
                self._rewire(state, is_last=False)
        elif event is Event.EPOCH:
            if self.every_steps is None and (self.until_epoch is None or state.epoch <= self.until_epoch):
                is_last = state.epoch == state.epochs
                if is_last or state.epoch % self.every_epochs == 0:
                    self._rewire(state, is_last)
            self._report(state)

    def check(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Raise a ConfigError if the rule cannot work on this model or with this optimiser."""
        check_rule(self.rewirer, self.chosen_layers(model), optimizer, self.every_steps)

    def chosen_layers(self, model: nn.Module) -> list[SparseLayer]:
        """Return the layers of `model` that are rewired; a ConfigError if one does not exist."""
        return chosen_layers(model, self.layers)

    def _is_step(self, step: int) -> bool:
        return self.every_steps is not None and step % self.every_steps == 0

    def _start(self, state: TrainingState) -> None:
        """Set up the driver, with the rule's memory of each layer if a checkpoint holds it."""
        self._check_rivals(state)
        carried = {number: self._carried(state, number) for number in numbers_of(state.model, self.layers)}
        self.driver = Rewiring.led(
            state.model,
            state.optimizer,
            self.rewirer,
            rng=state.rng,
            layers=self.layers,
            followers=self.followers,
            optimizer_state=self.optimizer_state,
            total_steps=self._end(state),
            carried=carried,
        )

    def _end(self, state: TrainingState) -> int | None:
        """Return the step at which the rule's schedules end, if it is known; a ConfigError if the rule would never act."""
        if state.steps_per_epoch is None:
            return None
        last = state.epochs if self.until_epoch is None else min(self.until_epoch, state.epochs)
        if self.every_steps is not None and 0 < last * state.steps_per_epoch < self.every_steps:
            raise ConfigError(
                f"every_steps is {self.every_steps}, and the rewiring ends at step {last * state.steps_per_epoch}, before it "
                "begins; give a smaller interval, or train for longer"
            )
        return (self.until_epoch or state.epochs) * state.steps_per_epoch

    def _check_rivals(self, state: TrainingState) -> None:
        """Raise a ConfigError if another rule changes a layer whose former weights this rule needs, edge by edge."""
        rivals = [other for other in state.callbacks if isinstance(other, Rewire) and other is not self]
        own = set(numbers_of(state.model, self.layers)) if "previous" in needs(self.rewirer) else set()
        shared = sorted(own & {number for other in rivals for number in numbers_of(state.model, other.layers)})
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
                if isinstance(callback, Rewire) and number in numbers_of(state.model, callback.layers)
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
        assert self.driver is not None
        self.driver.steps, self.driver.live = state.step, dict(enumerate(state.layers))
        self.driver.rewire(is_last=is_last)

    def _report(self, state: TrainingState) -> None:
        """Add what was done since the last epoch to the record, and the rule's memory to what checkpoints keep."""
        assert self.driver is not None
        driver = self.driver
        if driver.rewired or self.every_steps is not None or state.epoch % self.every_epochs == 0:
            before = state.record.get("rewired_edges", 0), state.record.get("rewiring_seconds", 0.0)
            state.record.update(rewired_edges=before[0] + driver.rewired, rewiring_seconds=before[1] + driver.seconds)
            if self.gradient_interval is not None:  # it acted inside of optimiser steps, and counts once
                state.record["seconds"] = max(0.0, state.record["seconds"] - driver.seconds)
        driver.rewired, driver.seconds = 0, 0.0
        for number, kept in driver.kept().items():
            prefix = self._prefix(state, number)
            state.carried.update({prefix + name: array for name, array in kept.items()})
