"""Measure speed and memory of sparse layers beside dense and other sparse ones, as ratios.

    python scripts/benchmark.py                  # what docs/results/speed.jsonl lacks, about half an hour on two cores
    python scripts/benchmark.py --only layer     # or another part of the page: tokens, bfloat16, ...; a wrong name lists them
    python scripts/benchmark.py --again          # everything anew; the tables show the last measurement of each case
    python scripts/benchmark.py --table          # the tables of docs/speed.md

Every case is measured in one process, its candidates in turn, and the medians are compared. A ratio is the other's time over
ours: above 1 we are faster. Layers run forward and backward with an input that requires a gradient; epochs are whole
epochs of MNIST (if its files are not found, random numbers of the same shape, which the case says). SparseLab (`pip install
sparselab`) and torch-sparse are measured where they are installed. OpenMP waits passively, since a spinning thread of one
candidate would slow down the next. Imports are whole processes, from start to end.

A measured case is one line of JSON: the seconds of each candidate, the commit (with a + if the code has changed since), the
machine. Cases that are there are not measured again.
"""

import os

from netsci_nn.interruption import Interrupted, at_work, before_work

if __name__ == "__main__":
    before_work()  # the imports take seconds, in which Ctrl-C may come
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import netsci_nn as ns
from analysis.render.markdown import markdown_table
from netsci_nn.cli.output import reported_errors
from netsci_nn.data import load_dataset
from netsci_nn.errors import DataError
from netsci_nn.files import try_writing
from netsci_nn.kernels import BACKENDS, choose_backend
from netsci_nn.models import GPT
from netsci_nn.training import train

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "docs" / "results" / "speed.jsonl"
Row = dict[str, Any]

# n_in, n_out, density, batch
LAYERS = [
    *((4096, 4096, density, 128) for density in (0.2, 0.1, 0.05, 0.01)),
    *((4096, 4096, 0.1, batch) for batch in (512, 16)),
    *((1024, 1024, density, batch) for density in (0.2, 0.1, 0.05) for batch in (128, 10)),
    (1024, 1024, 0.1, 1024),
    (1024, 1024, 0.01, 128),
    (1024, 1024, 0.01, 10),
]
TOKENS = [(n_in, n_out, 0.1, 4096) for n_in, n_out in ((256, 256), (256, 768), (1024, 256), (512, 2048))]
BFLOAT16 = [LAYERS[1], LAYERS[3], *LAYERS[4:6], *LAYERS[8:10], *TOKENS]
MANY = 10**7
# n, density, batch
AUTO = [
    *((n, density, batch) for n in (64, 256, 1024) for density in (0.01, 0.1, 0.3, 0.8) for batch in (10, 128, 2048)),
    *((4096, density, batch) for density in (0.01, 0.1, 0.3) for batch in (10, 128)),
    *((1_000_000, degree / 10**6, 16) for degree in (1, 10)),
]
MOST_DENSE = 2**26  # numbers of a dense matrix
HYPERSPARSE = [*((size, 16) for size in (8192, 65_536, 262_144, 1_000_000)), *((size, 128) for size in (8192, 65_536, 262_144))]


class Case(NamedTuple):
    """What is measured: the table that it belongs to, its name there, and how, which returns a row."""

    part: str
    name: str
    measure: Callable[[], Row]


def medians(candidates: Mapping[str, Callable[..., Any]], repeats: int) -> dict[str, float]:
    """Run the candidates in turn, once to warm up and then `repeats` times; return the median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        for name, run in candidates.items():
            begin = time.perf_counter()
            run()
            if repeat > 0:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def ratios(seconds: dict[str, float]) -> Row:
    """Return a table row: our time, and how many times as long each other takes."""
    ours = seconds.pop("ours")
    return {"ours ms": 1e3 * ours, **{f"{name} / ours": value / ours for name, value in seconds.items()}}


kept_alive: list[Any] = []


class MaskedLinear(nn.Linear):
    """The usual imitation of sparsity: a dense weight times a mask."""

    mask: torch.Tensor

    def __init__(self, topology: ns.BipartiteTopology) -> None:
        super().__init__(topology.n_in, topology.n_out)
        self.register_buffer("mask", torch.from_numpy(topology.to_mask()).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(..., n_in)` to `(..., n_out)`."""
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


def torch_sparse_layer(layer: ns.SparseLinear) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the layer as torch-sparse itself would compute it, with its own derivatives."""
    from netsci_nn.kernels.torch_sparse_backend import import_torch_sparse

    library = import_torch_sparse()
    topology, values = layer.topology, layer.weight.detach().clone().requires_grad_()
    matrix = library.SparseTensor(
        rowptr=torch.from_numpy(topology.target_pointers.copy()),
        col=torch.from_numpy(topology.src.astype(np.int64)),
        value=values,
        sparse_sizes=(topology.n_out, topology.n_in),
        is_sorted=True,
    )
    matrix.storage.csr2csc(), matrix.storage.colptr(), matrix.storage.rowcount()
    return lambda x: library.matmul(matrix, x.t()).t() + layer.bias


def measure_layer(n_in: int, n_out: int, density: float, batch: int) -> Row:
    """Forward and backward of one layer."""
    topology = ns.generators.erdos_renyi(n_in, n_out, density=density, rng=0)
    x, gradient = torch.randn(batch, n_in, requires_grad=True), torch.randn(batch, n_out)
    ours = ns.SparseLinear(topology)
    layers: dict[str, Any] = {
        "ours": ours,
        "nn.Linear": nn.Linear(n_in, n_out),
        "masked dense": MaskedLinear(topology),
        "torch CSR": ns.SparseLinear(topology, backend="csr"),
    }
    if importlib.util.find_spec("sparselab") is not None:
        layers["SparseLab"] = importlib.import_module("sparselab").SparseLinear(n_in, n_out, sparsity=1 - density)
        kept_alive.append(layers["SparseLab"])  # its cache goes by `id`, which a layer may inherit from one that is gone
    if BACKENDS["torch-sparse"].unavailable_because() is None:
        layers["torch-sparse"] = torch_sparse_layer(ours)

    def step(layer: Any) -> None:
        x.grad = None
        for parameter in layer.parameters() if isinstance(layer, nn.Module) else ():
            parameter.grad = None
        layer(x).backward(gradient)

    seconds = medians({name: partial(step, layer) for name, layer in layers.items()}, repeats=11)
    return {"edges": topology.n_edges, **ratios(seconds)}


def measure_bfloat16(n_in: int, n_out: int, density: float, batch: int) -> Row:
    """Forward and backward of one layer in bfloat16, and of one in float32 under autocast between others in bfloat16."""
    topology = ns.generators.erdos_renyi(n_in, n_out, density=density, rng=0)
    x, gradient = torch.randn(batch, n_in), torch.randn(batch, n_out)
    single, half = ns.SparseLinear(topology), ns.SparseLinear(topology, dtype=torch.bfloat16)

    def step(layer: ns.SparseLinear, rows: torch.Tensor, upstream: torch.Tensor, is_cast: bool) -> None:
        rows.grad = None
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_cast):
            y = layer(rows).to(upstream.dtype)
        y.backward(upstream)

    small, small_gradient = x.bfloat16().requires_grad_(), gradient.bfloat16()
    candidates = {
        "float32": partial(step, single, x.requires_grad_(), gradient, False),
        "bfloat16": partial(step, half, small, small_gradient, False),
        "autocast": partial(step, single, small.detach().clone().requires_grad_(), small_gradient, True),
    }
    seconds = medians(candidates, repeats=11)
    others = {f"{name} / float32": seconds[name] / seconds["float32"] for name in ("bfloat16", "autocast")}
    return {"float32 ms": 1e3 * seconds["float32"], **others}


def measure_auto(n: int, density: float, batch: int) -> Row:
    """Forward and backward of one layer by every backend that `auto` may choose, and by the chosen one."""
    topology = ns.generators.erdos_renyi(n, n, density=density, rng=0)
    x, gradient = torch.randn(batch, n, requires_grad=True), torch.randn(batch, n)
    names = ["compiled", "csr", *(["dense"] if n * n <= MOST_DENSE else [])]
    layers = {name: ns.SparseLinear(topology, backend=name) for name in names}

    def step(layer: ns.SparseLinear) -> None:
        x.grad = None
        layer.zero_grad()
        layer(x).backward(gradient)

    seconds = medians({name: partial(step, layer) for name, layer in layers.items()}, repeats=11)
    chosen = choose_backend(layers["compiled"].weight, batch, layers["compiled"]._edge_index())
    row = {f"{name} ms": 1e3 * seconds[name] if name in seconds else None for name in ("compiled", "csr", "dense")}
    return {**row, "auto takes": chosen, "auto / fastest": seconds[chosen] / min(seconds.values())}


def measure_gpt(density: float) -> Row:
    """A step of training on 32 texts, all linear layers sparse, against the same network dense."""
    torch.manual_seed(0)
    models = {name: GPT(65, 128, rng=0) for name in ("ours", "nn.Linear")}
    ns.sparsify(models["ours"], density=density, rng=0)
    optimizers = {name: torch.optim.AdamW(model.parameters(), lr=1e-3) for name, model in models.items()}
    tokens = torch.randint(65, (32, 129))

    def step(name: str) -> None:
        optimizers[name].zero_grad()
        logits = models[name](tokens[:, :-1])
        nn.functional.cross_entropy(logits.reshape(-1, 65), tokens[:, 1:].reshape(-1)).backward()
        optimizers[name].step()

    return ratios(medians({name: partial(step, name) for name in models}, repeats=9))


def nanoseconds(size: int, n_edges: int, batch: int, repeats: int, *, with_csr: bool) -> Row:
    """Nanoseconds per edge of forward and backward."""
    topology = ns.generators.erdos_renyi(size, size, n_edges=n_edges, rng=0)
    x, gradient = torch.randn(batch, size, requires_grad=True), torch.randn(batch, size)
    layers = {"ours": ns.SparseLinear(topology, backend="compiled")}
    if with_csr:
        layers["torch CSR"] = ns.SparseLinear(topology, backend="csr")
    seconds: dict[str, list[float]] = {}
    for repeat in range(repeats + 1):
        for name, layer in layers.items():
            layer.zero_grad()
            x.grad = None
            begin = time.perf_counter()
            y = layer(x)
            middle = time.perf_counter()
            y.backward(gradient)
            end = time.perf_counter()
            del y
            if repeat > 0:
                seconds.setdefault(f"{name} forward", []).append(middle - begin)
                seconds.setdefault(f"{name} backward", []).append(end - middle)
    result: Row = {f"{name}, ns per edge": 1e9 * statistics.median(values) / n_edges for name, values in seconds.items()}
    return result if with_csr else {**result, "kept bytes per edge": kept_bytes(layers["ours"])}


def kept_bytes(layer: ns.SparseLinear, *others: torch.Tensor) -> float:
    """Return the bytes per edge that a layer keeps: edges in both orientations, weights and their gradient, births, others."""
    index = layer._edge_index()
    kept: list[Any] = [layer.weight, layer.weight.grad, layer.birth, *others]
    kept += [tensor for tensor in vars(index).values() if isinstance(tensor, torch.Tensor)]  # src, dst: the topology's memory
    return sum(tensor.numel() * tensor.element_size() for tensor in kept if len(tensor) == layer.n_edges) / layer.n_edges


def measure_epoch(sizes: list[int], density: Any, batch: int, momentum: float, x: torch.Tensor, y: torch.Tensor) -> Row:
    """One epoch, SGD, against the same network dense."""
    models: dict[str, nn.Module] = {
        "ours": ns.SparseMLP(sizes, density=density, rng=0),
        "dense torch": ns.dense_mlp(sizes, rng=0),
    }

    def epoch(model: nn.Module) -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=momentum)
        train(model, optimizer, x, y, epochs=1, batch_size=batch, rng=0)

    return ratios(medians({name: partial(epoch, model) for name, model in models.items()}, repeats=3))


def measure_conv(channels: int, density: float, batch: int, size: int, stride: int) -> Row:
    """A convolution of 3 x 3 on a graph of channels, forward and backward, against that of torch."""
    topology = ns.generators.erdos_renyi(channels, channels, density=density, rng=0)
    sparse = ns.SparseConv2d(topology, 3, stride, padding=1, backend="compiled")
    layers: dict[str, nn.Module] = {"ours": sparse, "nn.Conv2d": nn.Conv2d(channels, channels, 3, stride, padding=1)}
    x = torch.randn(batch, channels, size, size, requires_grad=True)
    gradient = torch.randn_like(sparse(x))

    def step(layer: nn.Module) -> None:
        layer(x).backward(gradient)

    return ratios(medians({name: partial(step, layer) for name, layer in layers.items()}, repeats=9))


def measure_rigl(n_in: int, n_out: int, density: float, batch: int) -> Row:
    """A step of RigL, which finds the largest gradients among all pairs and changes edges, against a dense layer's step.

    Beside it: the dense gradient as a matrix, and torch's `topk` of it, without changing anything.
    """
    layer = ns.SparseLinear(ns.generators.erdos_renyi(n_in, n_out, density=density, rng=0))
    dense, optimizer = nn.Linear(n_in, n_out), torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9)
    rewiring = ns.Rewiring(layer, optimizer, "rigl", every=1, fraction=0.3, rng=0)
    seconds: dict[str, list[float]] = {"rigl": [], "dense": [], "matrix": []}

    def timed(name: str, work: Callable[[], Any]) -> None:
        begin = time.perf_counter()
        work()
        seconds[name].append(time.perf_counter() - begin)

    def change() -> None:
        rewiring.step()
        optimizer.step()

    def dense_step(x: torch.Tensor, gradient: torch.Tensor) -> None:
        dense(x).backward(gradient)

    def dense_gradient(x: torch.Tensor, gradient: torch.Tensor) -> None:
        size = (gradient.t() @ x).abs_()
        size[layer.dst.long(), layer.src.long()] = -1
        size.flatten().topk(int(0.3 * layer.n_edges))

    for _ in range(20):
        x, gradient = torch.randn(batch, n_in).relu_().requires_grad_(), torch.randn(batch, n_out)
        timed("dense", partial(dense_step, x, gradient))
        timed("matrix", partial(dense_gradient, x.detach(), gradient))
        nn.init.normal_(layer.weight)
        layer(x).backward(gradient)
        timed("rigl", change)
        optimizer.zero_grad()
        dense.zero_grad()
    ours, step, matrix = (1e3 * statistics.median(seconds[name][3:]) for name in ("rigl", "dense", "matrix"))
    return {
        "rewiring ms": ours,
        "dense forward + backward ms": step,
        "rewiring / dense": ours / step,
        "dense gradient + topk / rewiring": matrix / ours,
    }


def mnist() -> tuple[torch.Tensor, torch.Tensor, str]:
    """Return inputs and labels, and what is to be said of them."""
    try:
        if "NETSCI_NN_DATA" not in os.environ:
            raise DataError("no folder of data")
        dataset = load_dataset("mnist")
    except DataError:
        generator = np.random.default_rng(0)
        x, y = generator.random((60_000, 784), dtype=np.float32), generator.integers(10, size=60_000)
        return torch.from_numpy(x), torch.from_numpy(y), " (random data)"
    return torch.from_numpy(dataset.x_train), torch.from_numpy(dataset.y_train), ""


def in_own_process(name: str) -> Row:
    """Measure a case of ten million edges by itself, since memory counts."""
    command = [sys.executable, __file__, "--scale", name]
    result: Row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return result


def generate_many() -> Row:
    """Generate 10^7 edges by every model."""
    weights = np.random.default_rng(0).random(65_536)
    models: dict[str, dict[str, Any]] = {
        "erdos_renyi": {},
        "barabasi_albert": {},
        "input_weighted": {"weights": weights},
        "small_world": {},
    }
    result = {}
    for name, parameters in models.items():
        ns.generators.GENERATORS[name](100, 100, n_edges=500, rng=0, **({"weights": np.ones(100)} if parameters else {}))
        begin = time.perf_counter()
        ns.generators.GENERATORS[name](65_536, 65_536, n_edges=MANY, rng=0, **parameters)
        result[f"{name} s"] = time.perf_counter() - begin
    return result


def rewire_many() -> Row:
    """Rewire 10^7 edges by SET, against forward and backward of the same layer at batch 128; medians of nine in turn."""
    layer = ns.SparseLinear(ns.generators.erdos_renyi(8192, 8192, n_edges=MANY, rng=0))
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3, momentum=0.9)
    x, gradient, rewirer = torch.randn(128, 8192, requires_grad=True), torch.randn(128, 8192), ns.rewiring.SparseEvolution()
    steps, rewirings = list[float](), list[float]()
    for _ in range(10):
        x.grad = None
        optimizer.zero_grad()
        begin = time.perf_counter()
        layer(x).backward(gradient)
        steps.append(time.perf_counter() - begin)
        optimizer.step()
        layer.weight.data.normal_()  # as if it had been trained: new edges that stay at zero would all go again
        begin = time.perf_counter()
        ns.rewiring.apply_delta(layer, rewirer.propose(layer, rng=0), optimizer)
        assert layer._edge_index()  # both orientations of the new edges, which the next step needs
        rewirings.append(time.perf_counter() - begin)
    step, rewiring = statistics.median(steps[1:]), statistics.median(rewirings[1:])
    return {"rewiring ms": 1e3 * rewiring, "rewiring / step": rewiring / step}


def remember_many() -> Row:
    """Bytes per edge that a layer of 10^7 edges with SGD momentum keeps, both orientations included."""
    topology = ns.generators.erdos_renyi(65_536, 65_536, n_edges=MANY, rng=0)
    layer = ns.SparseLinear(topology)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3, momentum=0.9)
    layer(torch.randn(1, 65_536, requires_grad=True)).sum().backward()  # makes gradient and momentum
    optimizer.step()
    x, gradient = torch.randn(128, 65_536, requires_grad=True), torch.randn(128, 65_536)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest memory use so far (Linux only)
    before = memory("VmRSS")
    layer(x).backward(gradient)
    optimizer.step()
    return {
        "kept bytes per edge": kept_bytes(layer, optimizer.state[layer.weight]["momentum_buffer"]),
        "before a step, MB": before,
        "peak of a step at batch 128, MB": memory("VmHWM"),
    }


def memory(name: str) -> float:
    """Return a figure of this process's memory in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


SCALE = {
    "generate 10^7 edges in 65,536 x 65,536": generate_many,
    "SET on 10^7 edges, 8192 x 8192, batch 128": rewire_many,
    "memory of 10^7 edges in 65,536 x 65,536 with SGD momentum": remember_many,
}
IMPORTS = {
    "import netsci_nn": ("-c", "import netsci_nn"),
    "from netsci_nn import SparseMLP": ("-c", "from netsci_nn import SparseMLP"),
    "netsci-nn generate erdos_renyi 10 10 --density .5 --out x.npz": (
        *("-m", "netsci_nn", "generate", "erdos_renyi", "10", "10"),
        *("--density", ".5", "--out", "x.npz"),
    ),
}


def measure_start(arguments: tuple[str, ...]) -> Row:
    """A whole process that imports something, or runs a short command, beside one that imports torch."""
    with tempfile.TemporaryDirectory() as folder:

        def candidate(arguments: tuple[str, ...]) -> Callable[[], Any]:
            command, environment = [sys.executable, *arguments], {**os.environ, "PYTHONPATH": str(ROOT)}
            return lambda: subprocess.run(command, capture_output=True, check=True, cwd=folder, env=environment)

        return ratios(medians({"ours": candidate(arguments), "import torch": candidate(("-c", "import torch"))}, repeats=21))


def layer_cases(part: str) -> Iterator[Case]:
    """Layers of one part."""
    measure = measure_bfloat16 if part == "bfloat16" else measure_layer
    for n_in, n_out, density, batch in {"layer": LAYERS, "tokens": TOKENS, "bfloat16": BFLOAT16}[part]:
        name = f"{n_in} x {n_out}, density {density:g}, batch {batch}"
        yield Case(part, name, partial(measure, n_in, n_out, density, batch))


def auto_cases() -> Iterator[Case]:
    """Square layers of many sizes."""
    for n, density, batch in AUTO:
        yield Case("auto", f"{n:,} x {n:,}, density {density:g}, batch {batch}", partial(measure_auto, n, density, batch))


def gpt_cases() -> Iterator[Case]:
    """A transformer at two densities."""
    for density in (0.1, 0.05):
        yield Case("gpt", f"step of a GPT, 32 x 128 tokens, density {density:g}", partial(measure_gpt, density))


def hypersparse_cases() -> Iterator[Case]:
    """As many edges between more and more neurons."""
    for size, batch in HYPERSPARSE:
        name = f"10^7 edges in {size:,} x {size:,}, batch {batch}"
        yield Case("hypersparse", name, partial(nanoseconds, size, MANY, batch, 9 if batch == 16 else 3, with_csr=True))


def edges_cases() -> Iterator[Case]:
    """More and more edges at the same density."""
    for power in range(4, 9):
        name, size = f"10^{power} edges, density 0.01, batch 16", round((100 * 10**power) ** 0.5)
        yield Case("edges", name, partial(nanoseconds, size, 10**power, 16, 9 if power < 8 else 3, with_csr=False))


def conv_cases() -> Iterator[Case]:
    """Convolutions of several widths and densities."""
    widths = [
        (64, 0.1, 1),
        (128, 0.1, 1),
        (256, 0.1, 1),
        (128, 0.1, 2),
        *((128, density, 1) for density in (0.01, 0.05, 0.2, 0.3)),
    ]
    for channels, density, stride in widths:
        name = f"{channels} -> {channels} channels, 3 x 3, stride {stride}, density {density}, 32 maps of 16 x 16"
        yield Case("conv", name, partial(measure_conv, channels, density, 32, 16, stride))


def rigl_cases() -> Iterator[Case]:
    """Steps of RigL on layers of several densities."""
    for n_in, n_out, density, batch in ((1568, 1568, 0.01, 32), (1568, 1568, 0.1, 32), (4096, 4096, 0.01, 32)):
        name = f"{n_in} x {n_out}, density {density}, batch {batch}"
        yield Case("rigl", name, partial(measure_rigl, n_in, n_out, density, batch))


def epoch_cases() -> Iterator[Case]:
    """Epochs of compiled training."""
    x, y, origin = mnist()
    settings: list[tuple[list[int], Any, int, float]] = [
        ([784, 300, 100, 10], [0.1, 0.1, 0.25], 10, 0.0),
        ([784, 300, 100, 10], [0.1, 0.1, 0.25], 100, 0.0),
        ([784, 1000, 1000, 1000, 10], 0.05, 100, 0.9),
    ]
    for sizes, density, batch, momentum in settings:
        name = f"epoch of {'-'.join(map(str, sizes))}, density {density}, batch {batch}{origin}"
        yield Case("epoch", name, partial(measure_epoch, sizes, density, batch, momentum, x, y))


PARTS: dict[str, Callable[[], Iterator[Case]]] = {
    "layer": partial(layer_cases, "layer"),
    "tokens": partial(layer_cases, "tokens"),
    "bfloat16": partial(layer_cases, "bfloat16"),
    "gpt": gpt_cases,
    "auto": auto_cases,
    "hypersparse": hypersparse_cases,
    "edges": edges_cases,
    "epoch": epoch_cases,
    "conv": conv_cases,
    "rigl": rigl_cases,
    "scale": lambda: (Case("scale", name, partial(in_own_process, name)) for name in SCALE),
    "imports": lambda: (Case("imports", name, partial(measure_start, arguments)) for name, arguments in IMPORTS.items()),
}


def read_lines(log: Path = LOG) -> list[Row]:
    """Return what has been measured, in the order of time."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def tables(lines: Iterable[Row]) -> dict[str, str]:
    """Return the last measurement of every case as Markdown tables, by part; rows with other columns have their own table."""
    last = {(line["part"], line["case"]): line["result"] for line in lines}
    found: dict[str, dict[tuple[str, ...], list[list[str]]]] = {}
    for (part, case), result in last.items():
        columns = found.setdefault(part, {})
        columns.setdefault(tuple(result), []).append([case, *map(cell, result.values())])
    return {
        part: "\n\n".join(markdown_table(["case", *header], rows) for header, rows in columns.items())
        for part, columns in found.items()
    }


def cell(value: float | str | None) -> str:
    """Return a number or a name as it stands in a table; None for what was not measured."""
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def machine() -> Row:
    """Return what this is measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    widths = [width for width in ("avx512f", "avx2") if width in told.get("flags", "").split()]
    return {
        "cpu": told.get("model name", platform.processor()),
        "vectors": widths[0] if widths else "",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit of the code, with a + if the code has changed since; "unknown" outside of a repository."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    name = git("rev-parse", "--short", "HEAD")
    return name + "+" * bool(git("status", "--porcelain", "--", "netsci_nn", "scripts")) if name else "unknown"


def main() -> None:
    """Measure what is not in the log, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(PARTS), action="append", help="one part; repeatable")
    parser.add_argument("--again", action="store_true", help="also what is in the log")
    parser.add_argument("--table", action="store_true", help="print the tables of the log")
    parser.add_argument("--log", type=Path, default=LOG, help="file of the measurements")
    parser.add_argument("--scale", choices=list(SCALE), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scale:
        print(json.dumps(SCALE[arguments.scale]()))
        return
    chosen = arguments.only or list(PARTS)
    if not arguments.table:
        measure_missing(chosen, arguments.log, arguments.again)
    found = tables(line for line in read_lines(arguments.log) if line["part"] in chosen)
    print("\n\n".join(f"<!-- {part} -->\n{table}\n<!-- {part} -->" for part, table in found.items()))


def measure_missing(parts: list[str], log: Path, again: bool) -> None:
    """Measure the cases that are not in the log, or all of them, and add a line for each."""
    try_writing(log)
    done = set() if again else {(line["part"], line["case"]) for line in read_lines(log)}
    frame, n_measured = {"commit": commit(), "machine": machine()}, 0
    try:
        for part, name, measure in chain.from_iterable(PARTS[part]() for part in parts):
            if (part, name) in done:
                continue
            result, date = measure(), datetime.now(UTC).isoformat(timespec="seconds")
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"part": part, "case": name, "result": result, **frame, "date": date}) + "\n")
            n_measured += 1
            figures = ", ".join(f"{key} {cell(value)}" for key, value in result.items())
            print(f"{name}: {figures}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        raise Interrupted(f"{n_measured} measurements were added to {log}; the same command resumes") from None


if __name__ == "__main__":
    with reported_errors():
        at_work()
        main()
