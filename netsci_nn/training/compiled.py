"""Training by compiled steps: when a model, its optimiser and its callbacks fit, whole runs of mini-batches are one call."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from netsci_nn.errors import DataError, TopologyError
from netsci_nn.kernels.epoch import SGD, WIDEST_SHARE, Array, Network, Scratch, descend, gradients, train
from netsci_nn.kernels.merge import replace_edges
from netsci_nn.kernels.parallel import workers
from netsci_nn.kernels.vector import LANES, TILE
from netsci_nn.layers import SparseLinear
from netsci_nn.models import SparseMLP
from netsci_nn.rewiring import ArrayRewirer, EdgeDelta, LayerArrays, Memory
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.topology import BipartiteTopology

logger = logging.getLogger(__name__)

SECONDS_A_CALL = 0.1  # how long compiled code runs before Ctrl-C and progress get a turn
THREADED_WORK = 2_000_000  # edges times rows of a mini-batch from which it is shared between threads


def reason_against(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, batch_size: int) -> str | None:
    """Return why compiled steps cannot train `model`, or None when they can.

    They train `SparseMLP` and `nn.Sequential` stacks of `SparseLinear` layers with ReLU, LeakyReLU or nothing between them, in
    float32 or float64 on the CPU, by `torch.optim.SGD` without Nesterov momentum, dampening or maximisation.
    """
    try:
        layers, _ = _stack(model)
    except ValueError as error:
        return str(error)
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
    kinds = {(parameter.dtype, parameter.device.type) for parameter in parameters} | {(x.dtype, x.device.type)}
    if len(kinds) != 1 or kinds.pop() not in ((torch.float32, "cpu"), (torch.float64, "cpu")):
        return "parameters and data are not all float32, or all float64, on the CPU"
    if x.dim() != 2 or batch_size > WIDEST_SHARE * torch.get_num_threads():
        return f"a mini-batch has more than {WIDEST_SHARE} rows for each thread, or rows are no vectors"
    return None


@cache
def _announce(lanes: int, dtype: str) -> None:
    """Say once a process why the first step takes so long."""
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
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
            raise ValueError("a module has hooks")
        if type(module) is SparseLinear and module.backend in ("auto", "compiled"):
            layers.append(module)
            slopes.append(1.0)
        elif layers and slopes[-1] == 1.0 and type(module) in (nn.ReLU, nn.LeakyReLU):
            slopes[-1] = module.negative_slope if isinstance(module, nn.LeakyReLU) else 0.0
        elif not (layers and type(module) is nn.Identity):
            raise ValueError(f"the stack holds a {type(module).__name__}")
    if not layers or slopes[-1] != 1.0 or any(first.n_out != second.n_in for first, second in pairwise(layers)):
        raise ValueError("the stack does not end in a sparse layer, or its layers do not fit each other")
    return layers, slopes


@dataclass
class StepRewiring:
    """A rule that acts within compiled training after every `every_steps`-th mini-batch, and what it has done so far.

    Attributes:
        rewirer: the rule.
        every_steps: at least 1.
        memory: for every layer that it acts on, by number, what training keeps for the rule (see `netsci_nn.rewiring.rule`);
            "previous" holds the weights after its last action.
        rewired: edges dropped.
        seconds: time spent.
    """

    rewirer: ArrayRewirer
    every_steps: int
    memory: dict[int, Memory]
    rewired: int = 0
    seconds: float = 0.0


class CompiledTraining:
    """The state of a stack in flat arrays, trained by compiled steps and written back to the layers.

    Args:
        model: for which `reason_against` is None.
        optimizer: its optimiser.
        x: `[n, n_features]`.
        y: int64 `[n]`, checked labels.
        batch_size: rows of a mini-batch.
        rewirings: rules that act between mini-batches.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        x: torch.Tensor,
        y: torch.Tensor,
        batch_size: int,
        rewirings: Sequence[StepRewiring] = (),
    ) -> None:
        self.layers, slopes = _stack(model)
        self.optimizer = optimizer
        self.rewirings = tuple(rewirings)
        self.changed: set[int] = set()
        self.x, self.y = x.detach().contiguous().numpy(), y.contiguous().numpy()
        self.batch_size = batch_size
        self.slopes = np.array(slopes, dtype=self.x.dtype)
        work = sum(layer.n_edges for layer in self.layers) * batch_size
        wanted = torch.get_num_threads() if work >= THREADED_WORK else 1
        self.n_shares = max(wanted, -(-batch_size // WIDEST_SHARE))
        share = -(-batch_size // self.n_shares)
        self.lanes = max(TILE, 1 << (share - 1).bit_length())

    def compile(self) -> None:
        """Load the compiled steps from numba's cache on disk, or compile them, which takes some seconds the first time."""
        _announce(self.lanes, str(self.x.dtype))
        network = self._pack()
        arguments = self._settings(), self.x, self.y, np.empty(0, dtype=np.int64), self.batch_size, self._scratch(network)
        train(LANES[self.lanes], network, *arguments)

    def run(self, order: torch.Tensor, report: Callable[[int], bool], *, step: int = 0, rng: Rng = 0) -> float:
        """Train on the rows `order`, mini-batch by mini-batch, and return the sum of their cross-entropies.

        Args:
            order: int64 row numbers.
            report: called with the mini-batches done since its last call, about every `SECONDS_A_CALL`; returns whether
                to stop.
            step: mini-batches trained before.
            rng: for the rewirings.
        """
        random = as_generator(rng)
        network = self._pack()
        scratch = [self._scratch(network) for _ in range(self.n_shares)]
        sgd = self._settings()
        rows = order.numpy()
        total, position, n_steps, unreported, reported = 0.0, 0, 1, 0, time.perf_counter()
        with _flushed_denormals():
            while position < len(rows):
                n_now = min([n_steps, *(rewiring.every_steps - step % rewiring.every_steps for rewiring in self.rewirings)])
                end = min(len(rows), position + n_now * self.batch_size)
                begin = time.perf_counter()
                total += self._train(network, sgd, rows[position:end], scratch)
                seconds = max(time.perf_counter() - begin, 1e-9)
                done = -(-(end - position) // self.batch_size)
                position, step, unreported = end, step + done, unreported + done
                for rewiring in self.rewirings:
                    if step % rewiring.every_steps == 0:
                        begin, n_edges = time.perf_counter(), len(network.values)
                        network = self._rewire(network, rewiring, step, sgd, random)
                        if len(network.values) != n_edges:
                            scratch = [self._scratch(network) for _ in range(self.n_shares)]
                        rewiring.seconds += time.perf_counter() - begin
                # The first call may include compilation, so the run of mini-batches only doubles.
                if done == n_steps:
                    n_steps = max(1, min(2 * n_steps, int(n_steps * SECONDS_A_CALL / seconds)))
                if position >= len(rows) or time.perf_counter() - reported >= SECONDS_A_CALL:
                    is_stopped, unreported, reported = report(unreported), 0, time.perf_counter()
                    if is_stopped:
                        break
        self._unpack(network)
        return total

    def _train(self, network: Network, sgd: SGD, rows: Array, scratch: Sequence[Scratch]) -> float:
        if self.n_shares == 1:
            return train(LANES[self.lanes], network, sgd, self.x, self.y, rows, self.batch_size, scratch[0])
        total = 0.0
        for start in range(0, len(rows), self.batch_size):
            chosen = rows[start : start + self.batch_size]
            shares = np.array_split(chosen, self.n_shares)
            futures: list[Future[float]] = [
                workers().submit(gradients, LANES[self.lanes], network, self.x, self.y, share, len(chosen), own)
                for share, own in zip(shares[1:], scratch[1:], strict=True)
            ]
            total += gradients(LANES[self.lanes], network, self.x, self.y, shares[0], len(chosen), scratch[0])
            for future, own in zip(futures, scratch[1:], strict=True):
                total += future.result()
                np.add(scratch[0].values_gradient, own.values_gradient, out=scratch[0].values_gradient)
                np.add(scratch[0].bias_gradient, own.bias_gradient, out=scratch[0].bias_gradient)
            descend(network, sgd, scratch[0].values_gradient, scratch[0].bias_gradient)
        return total

    def _rewire(self, network: Network, rewiring: StepRewiring, step: int, sgd: SGD, rng: np.random.Generator) -> Network:
        for number, memory in rewiring.memory.items():
            delta = rewiring.rewirer.propose_arrays(
                self._arrays(network, number, memory), learning_rate=sgd.learning_rate, rng=rng
            )
            if delta.kept_values is not None:
                network.values[slice(*network.edge_start[number : number + 2])] = delta.kept_values
            if len(delta.dropped) or len(delta.grown_src):
                network = self._replace(network, number, delta, step)
            if "previous" in memory:
                memory["previous"] = network.values[slice(*network.edge_start[number : number + 2])].copy()
            rewiring.rewired += len(delta.dropped)
        return network

    def _replace(self, network: Network, number: int, delta: EdgeDelta, step: int) -> Network:
        order = np.lexsort((delta.grown_src, delta.grown_dst))
        grown = delta.grown_src[order], delta.grown_dst[order], delta.grown_values[order].astype(self.x.dtype)
        replaced = replace_edges(network, number, delta.dropped, *grown, step)
        if replaced is None:
            raise TopologyError(
                f"the rewirer's delta for layer {number} drops {len(delta.dropped)} edges and grows {len(order)}; "
                "none of them may be out of range, and no edge may be grown that exists already"
            )
        self.changed.add(number)
        return replaced

    def _arrays(self, network: Network, number: int, memory: Memory) -> LayerArrays:
        layer, edges = self.layers[number], slice(*network.edge_start[number : number + 2])
        return LayerArrays(
            n_in=layer.n_in,
            n_out=layer.n_out,
            src=network.src[edges],
            dst=self._targets(network, number),
            values=network.values[edges],
            velocity=network.velocity[edges],
            previous=memory.get("previous"),
            memory=memory,
        )

    def _targets(self, network: Network, number: int) -> Array:
        """Return the target of every edge of a layer, int32."""
        first, end = network.group_start[number + 1 : number + 3]
        degrees = np.diff(network.target_pointers[first : end + 1])
        return np.repeat(np.arange(end - first, dtype=np.int32), degrees)

    def _settings(self) -> SGD:
        (group,) = self.optimizer.param_groups
        return SGD(float(group["lr"]), float(group["momentum"]), float(group["weight_decay"]))

    def _scratch(self, network: Network) -> Scratch:
        n_rows, dtype = int(network.group_start[-1]), self.x.dtype
        width = -(-self.x.shape[1] // TILE) * TILE
        shapes = [(n_rows, self.lanes), (n_rows, self.lanes), (self.lanes, width), (len(network.values),), (n_rows,)]
        return Scratch(*(_zeros(shape, dtype) for shape in shapes))

    def _pack(self) -> Network:
        for layer in self.layers:
            layer.index.check(values=layer.values)
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
            target_pointers[middle : end + 1] = edge_start[number] + layer.index.target_pointers.numpy()
            source_pointers[first : middle + 1] = edge_start[number] + layer.index.source_pointers.numpy()
            if layer.bias is not None:
                bias[middle:end] = layer.bias.detach().numpy()
                bias_velocity[middle:end] = self._velocity(layer.bias)
        indices = [layer.index for layer in self.layers]
        return Network(
            group_start=group_start,
            edge_start=edge_start,
            values=np.concatenate([layer.values.detach().numpy() for layer in self.layers]),
            velocity=np.concatenate([self._velocity(layer.values) for layer in self.layers]),
            src=np.concatenate([index.src.numpy() for index in indices]),
            target_pointers=target_pointers,
            source_pointers=source_pointers,
            by_source=np.concatenate([edge_start[i] + index.by_source.numpy() for i, index in enumerate(indices)]),
            dst_by_source=np.concatenate([index.dst_by_source.numpy() for index in indices]),
            birth=np.concatenate([layer.birth.numpy() for layer in self.layers]),
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
                dst = self._targets(network, number)
                topology = BipartiteTopology(layer.n_in, layer.n_out, network.src[edges], dst)
                values, birth = torch.from_numpy(network.values[edges]), torch.from_numpy(network.birth[edges].copy())
                layer.set_structure(topology, values, birth)
            self._write(layer.values, network.values[edges], network.velocity[edges], group["momentum"])
            if layer.bias is not None:
                self._write(layer.bias, network.bias[rows], network.bias_velocity[rows], group["momentum"])
        self.changed.clear()

    def _velocity(self, parameter: nn.Parameter) -> Array:
        buffer: Any = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
        return np.zeros(parameter.shape, self.x.dtype) if buffer is None else buffer.numpy()

    def _write(self, parameter: nn.Parameter, values: Array, velocity: Array, momentum: float) -> None:
        parameter.grad = None
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(values))
        if momentum:
            self.optimizer.state[parameter]["momentum_buffer"] = torch.from_numpy(velocity.copy())


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return zeros aligned to cache lines, as torch aligns them and numpy does not."""
    return torch.zeros(shape, dtype=torch.float32 if dtype == np.float32 else torch.float64).numpy()


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Count denormal numbers as 0 within the block: momentum that dies out slows arithmetic down many times otherwise."""
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    was_flushed = float(tiny * 1.0) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_flushed)
