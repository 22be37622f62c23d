"""Training by compiled steps: which models it can train, and their state in flat arrays."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as torch_modules
from torch.optim import optimizer as torch_optimizers

from netsci_nn.errors import ConfigError, DataError
from netsci_nn.kernels import BACKENDS
from netsci_nn.kernels.parallel import run_threads
from netsci_nn.kernels.vector import LANES, TILE
from netsci_nn.layers import SparseLayer, SparseLinear
from netsci_nn.layers.ranks import wrapper_of
from netsci_nn.models import SparseMLP
from netsci_nn.rewiring import EdgeDelta, EdgeView, LiveLayer
from netsci_nn.topology import BipartiteTopology
from netsci_nn.training.compiled.edges import replace_edges
from netsci_nn.training.compiled.steps import SGD, WIDEST_SHARE, Array, Network, Scratch, descend, gradients, train
from netsci_nn.training.state import Event, TrainingState

logger = logging.getLogger(__name__)

SECONDS_PER_CALL = 0.1  # how long compiled code runs before Ctrl-C and progress get a turn
# A mini-batch is computed in parts whose gradients are added in a fixed order. How many parts is a matter of its size alone, so
# that the result does not depend on the number of threads that share them.
SHARED_WORK = 2_000_000  # edges times rows of a mini-batch from which it has two parts
MOST_PARTS = 8
MODULE_HOOKS = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
GLOBAL_HOOKS = tuple(f"_global{name}" for name in (*MODULE_HOOKS, "_forward_hooks_always_called"))


def reason_against(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, batch_size: int) -> str | None:
    """Return why compiled steps cannot train `model`, or None if they can.

    They train `SparseMLP` and `nn.Sequential` stacks of `SparseLinear` layers with ReLU, LeakyReLU or nothing between them, in
    float32 or float64 on the CPU, by `torch.optim.SGD` without Nesterov momentum, dampening or maximisation. Hooks
    of a module, a parameter, the optimiser or of torch as a whole, and a `forward` or `step` set on an instance, would not be
    called, so they are reasons too.
    """
    unavailable = BACKENDS["compiled"].unavailable_because()
    if unavailable is not None:
        return unavailable
    try:
        layers, _ = _stack(model)
    except ValueError as error:
        return str(error)
    if wrapper_of(model) is not None or any(wrapper_of(layer) is not None for layer in layers):
        return "the model lies in DistributedDataParallel, which compiled steps would bypass"
    if type(optimizer) is not torch.optim.SGD:
        return f"the optimizer is {type(optimizer).__name__}, not SGD"
    if any(group["nesterov"] or group["dampening"] or group["maximize"] for group in optimizer.param_groups):
        return "the optimizer uses Nesterov momentum, dampening or maximisation"
    if any(isinstance(group["lr"], torch.Tensor) for group in optimizer.param_groups):
        return "the learning rate is a tensor"
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    group_of = {id(parameter): number for number, group in enumerate(optimizer.param_groups) for parameter in group["params"]}
    if len(optimizer.param_groups) != 1 or set(group_of) != set(map(id, parameters)):
        return "the optimizer does not hold exactly the layers' parameters in one group"
    if not all(parameter.requires_grad for parameter in parameters):
        return "a parameter is frozen"
    hooked = _hooked(model, optimizer, parameters)
    if hooked is not None:
        return hooked
    kinds = {(parameter.dtype, parameter.device.type) for parameter in parameters} | {(x.dtype, x.device.type)}
    if len(kinds) != 1 or kinds.pop() not in ((torch.float32, "cpu"), (torch.float64, "cpu")):
        return "parameters and data are not all float32, or all float64, on the CPU"
    if x.dim() != 2 or batch_size > MOST_PARTS * WIDEST_SHARE:
        return f"a mini-batch has more than {MOST_PARTS * WIDEST_SHARE} rows, or rows are no vectors"
    return None


def _hooked(model: nn.Module, optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> str | None:
    """Return what would not be called by compiled steps, or None."""
    for name, module in model.named_modules():
        place = f"module {name!r}" if name else "the model"
        if any(getattr(module, hooks) for hooks in MODULE_HOOKS):
            return f"{place} has hooks"
        if {"forward", "__call__"} & vars(module).keys():
            return f"{place} has a forward of its own set on the instance"
    if any(parameter._backward_hooks or parameter._post_accumulate_grad_hooks for parameter in parameters):
        return "a parameter has hooks"
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return "the optimizer has hooks"
    step = vars(optimizer).get("step")
    # A learning-rate schedule of torch counts the calls of `step` by a wrapper on the instance, which changes nothing.
    is_counter = hasattr(step, "_wrapped_by_lr_sched") and getattr(step, "__wrapped__", None) is type(optimizer).step
    if (step is not None and not is_counter) or "zero_grad" in vars(optimizer):
        return "the optimizer has a step or zero_grad of its own set on the instance"
    if any(getattr(torch_modules, hooks, None) for hooks in GLOBAL_HOOKS):
        return "there are global module hooks"
    if torch_optimizers._global_optimizer_pre_hooks or torch_optimizers._global_optimizer_post_hooks:
        return "there are global optimizer hooks"
    if not torch.is_grad_enabled():
        return "gradients are disabled"
    top_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    if top_hooks is not None and top_hooks(True) is not None:
        return "there are hooks of saved tensors"
    return "anomaly detection is on" if torch.is_anomaly_enabled() else None


@cache
def _announce(lanes: int, dtype: str) -> None:
    """Log once per process why the first step takes long."""
    logger.info("loading compiled training steps for %d rows of %s (the first time they are compiled)", lanes, dtype)


def _stack(model: nn.Module) -> tuple[list[SparseLinear], list[float]]:
    """Return the layers of a stack and the slope for negative arguments of what follows each (1: nothing)."""
    if type(model) is SparseMLP:
        modules: list[nn.Module] = [m for layer in model.layers for m in (layer, model.activation)][:-1]
    elif type(model) is nn.Sequential:
        modules = list(model)
    else:
        raise ValueError(f"the model is a {type(model).__name__}, not a stack")
    layers: list[SparseLinear] = []
    slopes: list[float] = []
    for module in modules:
        if type(module) is SparseLinear and module.backend not in ("auto", "compiled"):
            raise ValueError(f"a layer has the backend {module.backend!r}")
        if type(module) is SparseLinear:
            if module.active is not None:
                raise ValueError("a layer has a forward mask")
            layers.append(module)
            slopes.append(1.0)
        elif layers and slopes[-1] == 1.0 and type(module) in (nn.ReLU, nn.LeakyReLU):
            slopes[-1] = module.negative_slope if isinstance(module, nn.LeakyReLU) else 0.0
        elif not (layers and type(module) is nn.Identity):
            raise ValueError(f"the stack holds a {type(module).__name__}")
    if not layers or slopes[-1] != 1.0 or any(first.n_out != second.n_in for first, second in pairwise(layers)):
        raise ValueError("the stack does not end in a sparse layer, or its layers do not fit each other")
    if len(set(layers)) < len(layers):
        raise ValueError("a layer occurs twice in the stack")
    return layers, slopes


@dataclass
class CompiledLayer:
    """A layer of a compiled stack between two mini-batches."""

    training: "CompiledTraining"
    number: int

    def view(self, **context: Any) -> EdgeView:
        """See `LiveLayer`."""
        network = self.training.network
        first, end = network.edge_start[self.number : self.number + 2]
        layer = self.training.layers[self.number]
        arrays = network.src[first:end], network.dst[first:end], network.weight[first:end]
        return EdgeView(layer.n_in, layer.n_out, *arrays, learning_rate=self.training.settings.learning_rate, **context)

    def apply(self, delta: EdgeDelta, step: int, followers: Sequence[SparseLayer] = (), optimizer_state: str = "zero") -> None:
        """See `LiveLayer`; SGD has no second moments, which could start otherwise than at 0."""
        training = self.training
        if followers:
            raise ConfigError(
                "averaged copies follow a rewiring rule between compiled steps, while the modules do not hold the edges; "
                "the callback must say needs_every_step = True"
            )
        if delta.sets_active:
            raise ConfigError(
                "the rewiring rule sets a forward mask, which compiled training steps do not know; "
                "the rule must say so by its attribute sets_active"
            )
        if delta.moves_edges:
            training.network = replace_edges(training.network, self.number, delta, step)
            training.changed.add(self.number)
        elif delta.kept_values is not None:
            edges = slice(*training.network.edge_start[self.number : self.number + 2])
            delta.check_fits(edges.stop - edges.start, ())
            training.network.weight[edges] = delta.kept_values

    def weight(self) -> Array:
        """See `LiveLayer`."""
        return self.training.network.weight[slice(*self.training.network.edge_start[self.number : self.number + 2])].copy()


class StepsOfTorch(NamedTuple):
    """Mini-batches between the compiled ones that torch computes, as a callback needs their gradients.

    Attributes:
        intervals: every mini-batch whose number, from 1, is a multiple of one of them.
        run: does the gradient step of a batch, and returns its loss.
    """

    intervals: tuple[int, ...] = ()
    run: Callable[[Any, Callable[[Event], None]], float] | None = None

    def until_next(self, step: int) -> int | None:
        """Return how many mini-batches come before the next of them, after `step` in all; None: there is none."""
        return min((-(step + 1) % interval for interval in self.intervals), default=None)


class CompiledTraining:
    """The state of a stack in flat arrays, trained by compiled steps and written back to the layers after every epoch.

    Args:
        state: with a model and an optimiser that `reason_against` accepts.
        x: `[n, n_features]`.
        y: int64 `[n]`, checked labels.
        batch_size: rows of a mini-batch.
        intervals: numbers of mini-batches at every multiple of which a callback acts on the edges (event STEP).
        steps_of_torch: mini-batches that are not compiled.
    """

    network: Network
    settings: SGD

    def __init__(
        self,
        state: TrainingState,
        x: torch.Tensor,
        y: torch.Tensor,
        batch_size: int,
        intervals: Sequence[int] = (),
        steps_of_torch: StepsOfTorch = StepsOfTorch(),  # noqa: B008  (a value)
    ) -> None:
        self.state, self.intervals, self.steps_of_torch = state, tuple(intervals), steps_of_torch
        self.layers, slopes = _stack(state.model)
        self.optimizer = state.optimizer
        self.changed: set[int] = set()
        self.x, self.y = x.detach().contiguous().numpy(), y.contiguous().numpy()
        self.batch_size = batch_size
        self.slopes = np.array(slopes, dtype=self.x.dtype)
        work = sum(layer.n_edges for layer in self.layers) * batch_size
        self.n_parts = max(2 if work >= SHARED_WORK else 1, -(-batch_size // WIDEST_SHARE))
        share = -(-batch_size // self.n_parts)
        self.lanes = max(TILE, 1 << (share - 1).bit_length())

    def compile(self) -> None:
        """Load the compiled steps from numba's cache on disk, or compile them, which takes some seconds the first time."""
        _announce(self.lanes, str(self.x.dtype))
        network = self._pack()
        arguments = self._settings(), self.x, self.y, np.empty(0, dtype=np.int64), self.batch_size, self._scratch(network)
        train(LANES[self.lanes], network, *arguments, 0.0)

    def run_epoch(self, notify: Callable[[Event], None]) -> dict[str, float]:
        """Train one epoch in random order, or less if Ctrl-C stops it; return the mean cross-entropy as "loss".

        The event STEP comes at every multiple of the intervals, and about every `SECONDS_PER_CALL`.
        """
        state = self.state
        state.model.train()
        rows = state.rng.permutation(len(self.x))
        self.network, self.settings = self._pack(), self._settings()
        versions = [layer.topology_version for layer in self.layers]
        scratch = [self._scratch(self.network) for _ in range(self.n_parts)]
        total, position, n_steps, reported = 0.0, 0, 1, time.perf_counter()
        eager, state.layers = state.layers, tuple(CompiledLayer(self, number) for number in range(len(self.layers)))
        try:
            with _flushed_denormals():
                while position < len(rows) and not state.interrupted:
                    n_free = self.steps_of_torch.until_next(state.step)
                    if n_free == 0:
                        end = min(len(rows), position + self.batch_size)
                        total += self._step_of_torch(rows[position:end], eager, notify) * (end - position)
                        versions = [layer.topology_version for layer in self.layers]
                        scratch = [self._scratch(self.network) for _ in range(self.n_parts)]
                        position, reported = end, time.perf_counter()
                        continue
                    n_now = min([n_steps, *(interval - state.step % interval for interval in self.intervals)])
                    n_now = n_now if n_free is None else min(n_now, n_free)
                    end = min(len(rows), position + n_now * self.batch_size)
                    begin = time.perf_counter()
                    total = self._train(rows[position:end], scratch, total)
                    seconds = max(time.perf_counter() - begin, 1e-9)
                    done = -(-(end - position) // self.batch_size)
                    position, state.step = end, state.step + done
                    # The first call may include compilation, so the run of mini-batches only doubles.
                    if done == n_steps:
                        n_steps = max(1, min(2 * n_steps, int(n_steps * SECONDS_PER_CALL / seconds)))
                    is_time = position >= len(rows) or time.perf_counter() - reported >= SECONDS_PER_CALL
                    if is_time or any(state.step % interval == 0 for interval in self.intervals):
                        n_edges = len(self.network.weight)
                        notify(Event.STEP)
                        self._check_untouched(versions)
                        self.settings = self._settings()  # a callback may set the learning rate
                        reported = time.perf_counter()
                        if len(self.network.weight) != n_edges:
                            scratch = [self._scratch(self.network) for _ in range(self.n_parts)]
        finally:
            state.layers = eager
        self._unpack(self.network)
        return {"loss": total / len(rows)}

    def _step_of_torch(self, rows: Array, eager: Sequence[LiveLayer], notify: Callable[[Event], None]) -> float:
        """Let torch make the step of a mini-batch, on the modules; return its loss."""
        state, compiled = self.state, self.state.layers
        assert self.steps_of_torch.run is not None
        self._unpack(self.network)
        state.layers = eager
        try:
            chosen = torch.from_numpy(rows)
            loss = self.steps_of_torch.run((torch.from_numpy(self.x)[chosen], torch.from_numpy(self.y)[chosen]), notify)
            state.step += 1
            notify(Event.STEP)
        finally:
            state.layers = compiled
            self.network, self.settings = self._pack(), self._settings()
        return loss

    def _check_untouched(self, versions: list[int]) -> None:
        """Raise a ConfigError if a callback has changed the edges of a module while its state is in flat arrays."""
        if [layer.topology_version for layer in self.layers] != versions:
            raise ConfigError(
                "a callback changed the edges of a layer between compiled steps; it must act on state.layers, "
                "or leave out step_interval and needs_every_step = False"
            )

    def _train(self, rows: Array, scratch: Sequence[Scratch], total: float) -> float:
        """Train on mini-batches; return `total` plus their losses, added one by one: the clock says how many come at once."""
        network, sgd = self.network, self.settings
        if self.n_parts == 1:
            return train(LANES[self.lanes], network, sgd, self.x, self.y, rows, self.batch_size, scratch[0], total)
        n_threads = min(torch.get_num_threads(), self.n_parts)
        losses = [0.0] * self.n_parts
        for start in range(0, len(rows), self.batch_size):
            chosen = rows[start : start + self.batch_size]
            parts = np.array_split(chosen, self.n_parts)

            def work(first: int, parts: list[Array] = parts, n_rows: int = len(chosen)) -> None:
                for part in range(first, self.n_parts, n_threads):
                    own = scratch[part]
                    losses[part] = gradients(LANES[self.lanes], network, self.x, self.y, parts[part], n_rows, own)

            run_threads(work, n_threads)
            total += sum(losses)
            for own in scratch[1:]:
                np.add(scratch[0].weight_gradient, own.weight_gradient, out=scratch[0].weight_gradient)
                np.add(scratch[0].bias_gradient, own.bias_gradient, out=scratch[0].bias_gradient)
            descend(network, sgd, scratch[0].weight_gradient, scratch[0].bias_gradient)
        return total

    def _settings(self) -> SGD:
        (group,) = self.optimizer.param_groups
        return SGD(float(group["lr"]), float(group["momentum"]), float(group["weight_decay"]))

    def _scratch(self, network: Network) -> Scratch:
        n_rows, dtype = int(network.group_start[-1]), self.x.dtype
        width = -(-self.x.shape[1] // TILE) * TILE
        shapes = [(n_rows, self.lanes), (n_rows, self.lanes), (self.lanes, width), (len(network.weight),), (n_rows,)]
        shapes.append((len(network.weight),))
        return Scratch(*(_zeros(shape, dtype) for shape in shapes))

    def _pack(self) -> Network:
        for layer in self.layers:
            layer._edge_index().check(values=layer.weight)
            for parameter in layer.parameters():
                buffer = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
                if buffer is not None and buffer.shape != parameter.shape:
                    raise DataError(
                        f"momentum_buffer has shape {list(buffer.shape)}; its parameter has {list(parameter.shape)}"
                    )
            if layer.bias is not None and layer.bias.shape != (layer.n_out,):
                raise DataError(f"bias has shape {list(layer.bias.shape)}; it must be [n_out] = [{layer.n_out}]")
        sizes = [self.layers[0].n_in, *(layer.n_out for layer in self.layers)]
        group_start = np.concatenate([[0], np.cumsum(sizes)])
        edge_start = np.concatenate([[0], np.cumsum([layer.n_edges for layer in self.layers])])
        n_rows, n_edges = int(group_start[-1]), int(edge_start[-1])
        target_pointers, source_pointers = np.zeros(n_rows + 1, np.int64), np.full(n_rows + 1, n_edges, np.int64)
        bias, bias_velocity = _zeros((n_rows,), self.x.dtype), _zeros((n_rows,), self.x.dtype)
        for number, layer in enumerate(self.layers):
            first, middle, end = group_start[number : number + 3]
            target_pointers[middle : end + 1] = edge_start[number] + layer._edge_index().target_pointers.numpy()
            source_pointers[first : middle + 1] = edge_start[number] + layer._edge_index().source_pointers.numpy()
            if layer.bias is not None:
                bias[middle:end] = layer.bias.detach().numpy()
                bias_velocity[middle:end] = self._velocity(layer.bias)
        indices = [layer._edge_index() for layer in self.layers]
        return Network(
            group_start=group_start,
            edge_start=edge_start,
            weight=np.concatenate([layer.weight.detach().numpy() for layer in self.layers]),
            velocity=np.concatenate([self._velocity(layer.weight) for layer in self.layers]),
            src=np.concatenate([index.src.numpy() for index in indices]),
            dst=np.concatenate([index.dst.numpy() for index in indices]),
            target_pointers=target_pointers,
            source_pointers=source_pointers,
            by_source=np.concatenate([edge_start[i] + index.by_source.numpy() for i, index in enumerate(indices)]),
            dst_by_source=np.concatenate([index.dst_by_source.numpy() for index in indices]),
            birth=np.concatenate([layer._birth for layer in self.layers]),
            bias=bias,
            bias_velocity=bias_velocity,
            has_bias=np.array([layer.bias is not None for layer in self.layers]),
            slopes=self.slopes,
        )

    def _unpack(self, network: Network) -> None:
        (group,) = self.optimizer.param_groups
        for number, layer in enumerate(self.layers):
            edges = slice(*network.edge_start[number : number + 2])
            rows = slice(*network.group_start[number + 1 : number + 3])
            if number in self.changed:
                topology = BipartiteTopology(layer.n_in, layer.n_out, network.src[edges], network.dst[edges])
                layer.set_structure(topology, torch.from_numpy(network.weight[edges]), network.birth[edges])
            self._write(layer.weight, network.weight[edges], network.velocity[edges], group["momentum"])
            if layer.bias is not None:
                self._write(layer.bias, network.bias[rows], network.bias_velocity[rows], group["momentum"])
        self.changed.clear()

    def _velocity(self, parameter: nn.Parameter) -> Array:
        buffer: Any = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
        return np.zeros(parameter.shape, self.x.dtype) if buffer is None else buffer.numpy()

    def _write(self, parameter: nn.Parameter, weight: Array, velocity: Array, momentum: float) -> None:
        parameter.grad = None
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(weight))
        if momentum:
            self.optimizer.state[parameter]["momentum_buffer"] = torch.from_numpy(velocity.copy())


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return zeros aligned to cache lines, as torch aligns them and numpy does not."""
    return torch.zeros(shape, dtype=torch.float32 if dtype == np.float32 else torch.float64).numpy()


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Count denormal numbers as 0 within the block; decaying momentum would otherwise slow arithmetic down many times."""
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    was_flushed = float(tiny * 1.0) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_flushed)
