"""`Rewiring`: it lets a rule change the edges of a model while any loop trains it."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from netsci_nn.checks import check_choice, check_count, check_real
from netsci_nn.errors import CheckpointError, ConfigError, shown
from netsci_nn.layers import SparseLayer
from netsci_nn.layers.ranks import end_training, generator_of_first_rank, of_first_rank
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring.apply import parameter_group, unwrapped
from netsci_nn.rewiring.arguments import (
    as_rule,
    check_edges_of_followers,
    check_followers,
    check_rule,
    chosen_layers,
    name_of,
    needs,
    needs_a_step,
    numbers_of,
)
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.dense_gradient import GradientWatch, check_linear
from netsci_nn.rewiring.live_layer import LiveLayer, ModuleLayer
from netsci_nn.rewiring.newborn import DEFAULT, POLICIES, NewbornSteps
from netsci_nn.rewiring.optimizer_step import is_void, step_of
from netsci_nn.rewiring.rule import Rewirer
from netsci_nn.rewiring.view import EdgeView, Memory, edge_view
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.schedules import Schedule

FORMAT = "netsci_nn rewiring 1"
AGE = "newborn_age"
LAST_STEP = 2**31 - 1


class Rewiring:
    """Rewire the sparse layers of a model while it is trained, in whatever loop.

    `step()` stands between `backward()` and the optimiser's step, and changes nothing. The edges change by a hook of the
    optimiser when the number of its step is a multiple of `every`: after the step, or in its place if the rule says so (RigL).
    So clipping, `GradScaler`, learning-rate schedules and gradient accumulation stand where they always do. A step that a
    `GradScaler` skips does not count. What a rule needs of the backward pass is collected at the steps that need it only.

    Inside of DistributedDataParallel every rank makes one; the gradients by which edges grow are added over the ranks, rank 0
    draws, and all ranks get its change.

    Args:
        model: with sparse layers, wrapped or not.
        optimizer: that trains them, or a wrapper of it.
        rule: a name in `REWIRERS`, or a rule.
        every: number of optimiser steps from one change to the next, at least 1; None if only `rewire()` makes changes.
        until: last step at which edges may change, and end of the rule's schedules, at least `every`; None: there is none.
        fraction: of edges that the rule drops, if `rule` is a name; a number or a schedule.
        rng: int seed or numpy Generator.
        layers: positions among the model's sparse layers, by default all.
        followers: averaged copies of the model, whose edges change with it (see `apply_delta`).
        optimizer_state: of new edges. "survivors": second moments (of Adam, RMSprop, ...) start at the mean of the edges that
            stay. "zero": as the optimiser starts it. "age": the bias correction of Adam counts the edge's own age. "warmup": an
            edge's first 100 steps are scaled up linearly from 1/100 to 1.

    Attributes:
        steps: steps that the optimiser has made, those in whose place edges changed included.
        rewired: edges that were replaced so far.

    Raises:
        ConfigError: if an argument is out of range, the model has no sparse layer, the optimiser does not train it or keeps
            state that cannot be remapped (LBFGS), the rule cannot work with it or needs what training cannot provide, or a
            follower is no copy of the model.
        TopologyError: if a follower has other edges than the model.

    Example:
        >>> import netsci_nn as ns
        >>> from netsci_nn.models import sparse_layers
        >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> _ = ns.sparsify(model, density=0.2, rng=0)
        >>> optimizer = torch.optim.AdamW(model.parameters())
        >>> fraction = ns.schedules.cosine(0.3)
        >>> rewiring = Rewiring(model, optimizer, rule="rigl", every=5, until=15, fraction=fraction, rng=0)
        >>> for _ in range(20):
        ...     x, y = torch.rand(8, 64), torch.randint(10, (8,))
        ...     nn.functional.cross_entropy(model(x), y).backward()
        ...     rewiring.step()
        ...     optimizer.step()
        ...     optimizer.zero_grad()
        >>> rewiring.steps, rewiring.rewired > 0, sum(layer.n_edges for layer in sparse_layers(model))
        (20, True, 474)
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rule: str | Rewirer,
        *,
        every: int | None = 100,
        until: float | None = None,
        fraction: float | Schedule | None = None,
        rng: Rng,
        layers: Sequence[int] | None = None,
        followers: Sequence[nn.Module] = (),
        optimizer_state: str = DEFAULT,
    ) -> None:
        self.every = None if every is None else check_count("every", every, 1, LAST_STEP, error=ConfigError)
        self.until = None if until is None else self._checked_end(until)
        self.total_steps = self.until
        self._set_up(model, optimizer, as_rule(rule, fraction), rng, layers, followers, optimizer_state)
        check_rule(self.rule, list(self.modules.values()), optimizer, self.every)
        if self.collects and self.every is None:
            raise ConfigError(
                f"every is None, and rule {name_of(self.rule)!r} needs the gradient of the step at which it acts; give every"
            )
        if self.until is None and "total_steps" in needs(self.rule):
            raise ConfigError(
                f"rule {name_of(self.rule)!r} follows a schedule, and nobody knows where it ends; give until, its last step"
            )
        self._check_rivals()
        self.start({})
        self._listen()
        self._expect(self._is_time(1))

    @classmethod
    def led(
        cls,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rule: Rewirer,
        *,
        rng: np.random.Generator,
        layers: Sequence[int] | None,
        followers: Sequence[nn.Module],
        optimizer_state: str,
        total_steps: int | None,
        carried: Mapping[int, Memory],
    ) -> Self:
        """Return one for a loop that counts its own steps, and says by `expect_once` and `rewire` when it is time.

        Args:
            model: see the class, as for all arguments but the last two; the rule has been checked.
            optimizer: see the class.
            rule: see the class.
            rng: see the class.
            layers: see the class.
            followers: see the class.
            optimizer_state: see the class.
            total_steps: of the whole training, if it is known.
            carried: what `kept` returned for every layer, if a training is resumed; empty at a start.
        """
        driver = cls.__new__(cls)
        driver.every, driver.until, driver.total_steps = None, None, total_steps
        driver._set_up(model, optimizer, rule, rng, layers, followers, optimizer_state)
        if total_steps is None and "total_steps" in needs(rule):
            raise ConfigError(
                f"rule {name_of(rule)!r} follows a schedule, and nobody knows how long the training is; give batches that have "
                "a length"
            )
        driver.start(carried)
        if driver._newborn:
            driver._listen()
        return driver

    def _set_up(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rule: Rewirer,
        rng: Rng,
        layers: Sequence[int] | None,
        followers: Sequence[nn.Module],
        optimizer_state: str,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ConfigError(f"model is a {type(model).__name__}; it must be a module")
        check_choice("optimizer_state", optimizer_state, POLICIES, ConfigError)
        if not isinstance(followers, Sequence) or not all(isinstance(follower, nn.Module) for follower in followers):
            raise ConfigError(f"followers is {shown(followers)}; it must be a list of averaged models")
        # Not the model: whoever holds a DistributedDataParallel keeps it alive, and with it the number of edges.
        self.rule, self.followers = rule, tuple(followers)
        self.rng, self.optimizer_state = as_generator(rng), optimizer_state
        self._inner = unwrapped(optimizer)
        chosen = chosen_layers(model, layers)
        self.modules: dict[int, SparseLayer] = dict(zip(numbers_of(model, layers), chosen, strict=True))
        every = sparse_layers(model)
        for number, layer in self.modules.items():
            twins = [i for i, other in enumerate(every) if other is not layer and other.weight is layer.weight]
            if twins:
                raise ConfigError(
                    f"sparse layers {number} and {twins[0]} share one weight, and would get other edges each; register one "
                    "layer twice instead"
                )
            try:
                parameter_group(layer, optimizer)
            except ConfigError as error:
                raise ConfigError(f"sparse layer {number}: {error}") from None
            if "dense_gradient" in needs(rule):
                check_linear(name_of(rule), number, layer)
        check_followers(model, self.followers)
        self.live: Mapping[int, LiveLayer] = {n: ModuleLayer(layer, optimizer) for n, layer in self.modules.items()}
        self.memory: dict[int, Memory] = {}
        self._newborn = {
            number: NewbornSteps(optimizer_state, layer, self._inner)
            for number, layer in self.modules.items()
            if optimizer_state in ("age", "warmup")
        }
        self._watches: dict[int, GradientWatch] = {}
        self._is_ready = self._is_due = False
        self._handles: list[RemovableHandle] = []

    @property
    def collects(self) -> bool:
        """Whether the rule needs something of the backward pass."""
        return needs_a_step(self.rule)

    @property
    def replaces_step(self) -> bool:
        """Whether the rule acts in the place of an optimiser step."""
        return bool(getattr(self.rule, "replaces_step", False))

    def step(self) -> None:
        """Take in what the rule needs of the backward pass; to be called between `backward()` and the optimiser's step.

        Raises:
            ConfigError: if no sparse layer has a gradient, or one whose edges are about to grow by it took no part in the
                backward pass.
        """
        trained = [layer.weight for layer in self.modules.values() if layer.weight.requires_grad]
        if trained and all(weight.grad is None for weight in trained):
            raise ConfigError(
                "rewiring.step() was called before loss.backward(): no sparse layer has a gradient; "
                "call it between backward() and optimizer.step()"
            )
        if self._is_due and self.collects:
            for watch in self._watches.values():
                watch.check()
            self._is_ready = True

    def rewire(self, *, is_last: bool = False) -> None:
        """Change the edges now, for example after an epoch.

        Args:
            is_last: whether no training follows, which some rules want to know: SET then drops edges and grows none.

        Raises:
            ConfigError: if the rule needs the gradient of a step: it acts at multiples of `every` only.
        """
        begin = time.perf_counter()
        if self.collects and not self._is_ready:
            raise ConfigError(
                f"rule {name_of(self.rule)!r} needs the gradient of the step at which it acts, and rewiring.step() was not "
                "called between backward() and optimizer.step()"
            )
        check_edges_of_followers(self.modules, self.followers)
        deltas = self._proposals(is_last)
        twins = [sparse_layers(follower) for follower in self.followers]
        for number, delta in deltas.items():
            if is_last and len(delta.dropped) != len(delta.grown_src):
                end_training(self.modules[number])
            start = "survivors" if self.optimizer_state == "survivors" else "zero"
            self.live[number].apply(delta, self.steps, [layers[number] for layers in twins], start)
            if number in self._newborn and delta.moves_edges:
                self._newborn[number].follow(delta)
            if "previous" in self.memory[number]:
                self.memory[number]["previous"] = self.live[number].weight()
            self.rewired += len(delta.dropped)
        self.seconds += time.perf_counter() - begin

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed training needs beside the state of model and optimiser: numbers, text and tensors."""
        return {
            "format": FORMAT,
            "rule": name_of(self.rule),
            "steps": self.steps,
            "rewired": self.rewired,
            "rng": json.dumps(self.rng.bit_generator.state, default=lambda value: value.tolist()),
            **{f"{n}.{name}": torch.tensor(array) for n, kept in self.kept().items() for name, array in kept.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state of `state_dict()`, after model and optimiser have been put into theirs.

        Raises:
            CheckpointError: if it is none, or belongs to another rule, other layers or edges; nothing is changed then.
        """
        if not isinstance(state, Mapping) or state.get("format") != FORMAT:
            raise CheckpointError(f"the state is none of a Rewiring: its format is not {FORMAT!r}")
        expected = self.state_dict()
        odd = sorted(set(map(str, state)) ^ set(expected))
        if odd:
            where = "is missing" if odd[0] in expected else "is not of this rule and these layers"
            raise CheckpointError(f"the state does not belong to this Rewiring: {odd[0]!r} {where}")
        if state["rule"] != expected["rule"]:
            raise CheckpointError(f"the state is of rule {state['rule']!r}; this Rewiring has {expected['rule']!r}")
        carried: dict[int, Memory] = {number: {} for number in self.modules}
        for number, kept in self.kept().items():
            for name, known in kept.items():
                tensor, shape = state[f"{number}.{name}"], list(known.shape)
                if name in (AGE, "previous"):  # one per edge, and the edges are those of the state by now
                    shape[0] = self.modules[number].n_edges
                if not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.tensor(known).dtype:
                    raise CheckpointError(f"the state holds no {known.dtype} as {number}.{name}")
                if list(tensor.shape) != shape:
                    raise CheckpointError(
                        f"the state holds {number}.{name} of shape {list(tensor.shape)}, and sparse layer {number} needs "
                        f"{shape}: put model and optimizer into their states first"
                    )
                carried[number][name] = tensor.detach().cpu().numpy().copy()
                if name == AGE and len(tensor) and int(tensor.min()) < -1:
                    raise CheckpointError(f"the state holds an age of {int(tensor.min())}; it must be -1 or more")
        steps, rewired = (check_count(name, state[name], 0, error=CheckpointError) for name in ("steps", "rewired"))
        before = self.rng.bit_generator.state
        try:
            self.rng.bit_generator.state = json.loads(state["rng"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            self.rng.bit_generator.state = before
            raise CheckpointError(f"the state is damaged: {error}") from error
        self.start(carried)
        self.steps, self.rewired = steps, rewired
        self._expect(self._is_time(steps + 1))

    def remove(self) -> None:
        """Take the hooks off the optimiser: nothing is changed any more, unless `rewire()` is called."""
        self._expect(False)
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def start(self, carried: Mapping[int, Memory]) -> None:
        """Begin to count, and set up what is kept of each layer unless it is `carried` over."""
        self.steps, self.rewired, self.seconds = 0, 0, 0.0
        for number, layer in self.modules.items():
            kept = dict(carried.get(number, {}))
            if number in self._newborn and AGE in kept:
                self._newborn[number].age = kept.pop(AGE)
            elif not kept:
                if "previous" in needs(self.rule):
                    kept["previous"] = edge_view(layer).weight.copy()
                if hasattr(self.rule, "remember"):
                    kept |= self.rule.remember(edge_view(layer), generator_of_first_rank(layer, self.rng))
            self.memory[number] = kept

    def kept(self) -> dict[int, Memory]:
        """Return all arrays that are kept of every layer, by name: the rule's memory and the ages of edges."""
        ages = {number: {AGE: newborn.age} for number, newborn in self._newborn.items()}
        return {number: {**memory, **ages.get(number, {})} for number, memory in self.memory.items()}

    def expect_once(self) -> None:
        """Let the edges change at the optimiser's coming step, for a loop that counts steps by itself; `rest` ends it."""
        self._listen()
        self._expect(True)

    def rest(self) -> None:
        """Take the hooks off the optimiser until the next `expect_once`, unless newborn edges need them."""
        if not self._newborn:
            self.remove()

    def _proposals(self, is_last: bool) -> dict[int, EdgeDelta]:
        """Return the change of every layer, on every rank that of rank 0."""
        if not hasattr(self.rule, "propose_all"):
            return {
                number: of_first_rank(layer, self.rule.propose(self._view(number, is_last), rng=self._generator_for(layer)))
                for number, layer in self.modules.items()
            }
        first = next(iter(self.modules.values()))
        views = [self._view(number, is_last) for number in self.modules]
        deltas = self.rule.propose_all(views, rng=self._generator_for(first))
        return {
            number: of_first_rank(layer, delta) for (number, layer), delta in zip(self.modules.items(), deltas, strict=True)
        }

    def _generator_for(self, layer: SparseLayer) -> np.random.Generator:
        return generator_of_first_rank(layer, self.rng)

    def _view(self, number: int, is_last: bool) -> EdgeView:
        """Return what the rule sees of a layer."""
        memory = self.memory[number]
        context: dict[str, Any] = {}
        if number in self._watches:
            context["dense_gradient"] = self._watches[number].gradient()
        if "gradient" in needs(self.rule):
            context["gradient"] = self._gradient_of_weight(number)
        return self.live[number].view(
            step=self.steps,
            total_steps=self.total_steps,
            is_last=is_last,
            previous=memory.get("previous"),
            memory=memory,
            **context,
        )

    def _gradient_of_weight(self, number: int) -> npt.NDArray[np.floating]:
        gradient = self.modules[number].weight.grad
        if gradient is None:
            raise ConfigError(
                f"rule {name_of(self.rule)!r} needs the gradient of sparse layer {number}, which took no part in the backward "
                "pass"
            )
        array: npt.NDArray[np.floating] = gradient.detach().float().cpu().numpy()
        return array

    def _is_time(self, step: int) -> bool:
        """Whether edges change at the optimiser's step of this number, counted from 1."""
        is_within = self.until is None or step <= self.until
        return self.every is not None and step % self.every == 0 and is_within

    def _checked_end(self, until: float) -> float:
        least = self.every or 1
        if check_real("until", until, lambda _: True, "of steps", ConfigError) < least:
            raise ConfigError(f"until is {until}; the rewiring would end before it begins, at step {least}")
        return until

    def _listen(self) -> None:
        """Hang the hooks on the optimiser, once."""
        if not self._handles:
            self._handles = [
                self._inner.register_step_pre_hook(self._before_step),
                self._inner.register_step_post_hook(self._after_step),
            ]

    def _expect(self, is_due: bool) -> None:
        """Watch the layers until the optimiser's coming step if edges change at it, and else not."""
        self._is_due, self._is_ready = is_due, False
        for watch in self._watches.values():
            watch.end()
        self._watches = {}
        if is_due and "dense_gradient" in needs(self.rule):
            self._watches = {number: GradientWatch(number, layer) for number, layer in self.modules.items()}

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        """Keep gradients from the optimiser at a step in whose place edges change."""
        if is_void(optimizer):
            return None
        step = step_of(optimizer)
        step.begin()
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if self._is_due and self.collects and closure is None and not self._is_ready:
            raise ConfigError(
                f"rule {name_of(self.rule)!r} needs the gradient of this step, and rewiring.step() was not called between "
                "backward() and optimizer.step()"
            )
        for newborn in self._newborn.values():
            newborn.before()
        if not (self._is_due and self.replaces_step):
            return None
        if closure is None:
            step.replace(optimizer)
            return None

        def evaluate() -> Any:
            loss = closure()
            step.replace(optimizer)
            return loss

        return ((args[0], evaluate, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "closure": evaluate})

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Count the step, and change the edges if it is time."""
        if is_void(optimizer):
            return
        step = step_of(optimizer)
        step.end()
        self.steps += 1
        if not step.is_replaced:
            for newborn in self._newborn.values():
                newborn.after()
        if self._is_due:
            self.rewire()
        self._expect(self._is_time(self.steps + 1))

    def _check_rivals(self) -> None:
        """Raise a ConfigError if another driver whose hooks hang on the optimiser changes one of these layers."""
        for hook in self._inner._optimizer_step_post_hooks.values():
            other = getattr(hook, "__self__", None)
            shared = set(self.modules.values()) & set(other.modules.values()) if isinstance(other, Rewiring) else set()
            numbers = [number for number, layer in self.modules.items() if layer in shared]
            if numbers:
                raise ConfigError(
                    f"sparse layer {numbers[0]} is rewired by another Rewiring of this optimizer; call its remove() first, or "
                    "give each of them layers of its own"
                )
