"""Measure speed and memory of sparse layers beside dense and other sparse ones, as ratios.

    python scripts/benchmark.py --out runs/benchmark          # everything, about ten minutes on two cores
    python scripts/benchmark.py --only layer                  # layer | epoch | scale | imports

Every row is measured in one process, its candidates in turn, and the medians are compared. A ratio is the other's time over
ours: above 1 we are faster. Layers run forward and backward with an input that requires a gradient; epochs are whole
epochs of MNIST (if its files are not found, random numbers of the same shape, which the row says). OpenMP waits
passively, since a spinning thread of one candidate would slow down the next. Imports are whole processes, from start to end.
"""

import os

from netsci_nn.interruption import Interrupted, at_work, before_work

if __name__ == "__main__":
    before_work()  # the imports take seconds, in which Ctrl-C may come
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

import netsci_nn as ns
from analysis.render.markdown import markdown_table
from netsci_nn.cli.destinations import report_unwritten
from netsci_nn.cli.output import reported_errors
from netsci_nn.data import load_dataset
from netsci_nn.errors import DataError
from netsci_nn.files import write_text
from netsci_nn.kernels import BACKENDS
from netsci_nn.training import train

Row = dict[str, Any]
SIZES, DENSITIES, BATCHES = (1024, 4096), (0.2, 0.1, 0.05, 0.01), (10, 128)


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


def row(case: str, seconds: dict[str, float]) -> Row:
    """Return a table row: our time, and how many times as long each other takes."""
    ours = seconds.pop("ours")
    return {"case": case, "ours ms": 1e3 * ours, **{f"{name} / ours": value / ours for name, value in seconds.items()}}


class MaskedLinear(nn.Linear):
    """The usual imitation of sparsity: a dense weight times a mask."""

    mask: torch.Tensor

    def __init__(self, topology: ns.BipartiteTopology) -> None:
        super().__init__(topology.n_in, topology.n_out)
        self.register_buffer("mask", torch.from_numpy(topology.to_mask()).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(..., n_in)` to `(..., n_out)`."""
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


def torch_sparse_layer(layer: ns.SparseLinear) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return the layer as torch-sparse itself would compute it, with its own derivatives, or None if it is not installed."""
    if BACKENDS["torch-sparse"].unavailable_because() is not None:
        return None
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


def layer_rows() -> Iterator[Row]:
    """Forward and backward of one layer."""
    for size in SIZES:
        for density in DENSITIES:
            topology = ns.generators.erdos_renyi(size, size, density=density, rng=0)
            for batch in BATCHES:
                x, gradient = torch.randn(batch, size, requires_grad=True), torch.randn(batch, size)
                layers: dict[str, Any] = {
                    "ours": ns.SparseLinear(topology),
                    "nn.Linear": nn.Linear(size, size),
                    "masked dense": MaskedLinear(topology),
                    "torch CSR": ns.SparseLinear(topology, backend="csr"),
                }
                other = torch_sparse_layer(layers["ours"])
                if other is not None:
                    layers["torch-sparse"] = other

                def step(layer: Any, x: torch.Tensor = x, gradient: torch.Tensor = gradient) -> None:
                    x.grad = None
                    for parameter in layer.parameters() if isinstance(layer, nn.Module) else ():
                        parameter.grad = None
                    layer(x).backward(gradient)

                candidates = {name: lambda layer=layer, step=step: step(layer) for name, layer in layers.items()}
                case = f"{size} x {size}, density {density:g}, batch {batch}"
                yield row(case, medians(candidates, repeats=15 if size < 4096 or batch < 128 else 9))


def epoch_rows() -> Iterator[Row]:
    """One epoch of MNIST, SGD, against the same network dense."""
    x, y, origin = _mnist()
    cases: list[tuple[list[int], Any, int, float]] = [
        ([784, 300, 100, 10], [0.1, 0.1, 0.25], 10, 0.0),
        ([784, 300, 100, 10], [0.1, 0.1, 0.25], 100, 0.0),
        ([784, 1000, 1000, 1000, 10], 0.05, 100, 0.9),
    ]
    for sizes, density, batch, momentum in cases:
        models: dict[str, nn.Module] = {
            "ours": ns.SparseMLP(sizes, density=density, rng=0),
            "dense torch": ns.dense_mlp(sizes, rng=0),
        }

        def epoch(model: nn.Module, batch: int = batch, momentum: float = momentum) -> None:
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=momentum)
            train(model, optimizer, x, y, epochs=1, batch_size=batch, rng=0)

        candidates = {name: lambda model=model, epoch=epoch: epoch(model) for name, model in models.items()}
        name = f"epoch of {'-'.join(map(str, sizes))}, density {density}, batch {batch}{origin}"
        yield row(name, medians(candidates, repeats=3))


def _mnist() -> tuple[torch.Tensor, torch.Tensor, str]:
    try:
        if "NETSCI_NN_DATA" not in os.environ:
            raise DataError("no folder of data")
        dataset = load_dataset("mnist")
    except DataError:
        generator = np.random.default_rng(0)
        x, y = generator.random((60_000, 784), dtype=np.float32), generator.integers(10, size=60_000)
        return torch.from_numpy(x), torch.from_numpy(y), " (random data)"
    return torch.from_numpy(dataset.x_train), torch.from_numpy(dataset.y_train), ""


def scale_rows() -> Iterator[Row]:
    """Measure ten million edges: generating, rewiring and memory, each in its own process."""
    for name, description in SCALE.items():
        command = [sys.executable, __file__, "--scale", name]
        result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        yield {"case": description, **result}


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
        ns.generators.GENERATORS[name](65_536, 65_536, n_edges=10**7, rng=0, **parameters)
        result[f"{name} s"] = time.perf_counter() - begin
    return result


def rewire_many() -> Row:
    """Rewire 10^7 edges by SET, against forward and backward of the same layer at batch 128."""
    layer = ns.SparseLinear(ns.generators.erdos_renyi(8192, 8192, n_edges=10**7, rng=0))
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3, momentum=0.9)
    x, gradient, rewirer = torch.randn(128, 8192, requires_grad=True), torch.randn(128, 8192), ns.rewiring.SparseEvolution()

    def step() -> None:
        x.grad = None
        optimizer.zero_grad()
        layer(x).backward(gradient)

    def rewire() -> None:
        ns.rewiring.apply_delta(layer, rewirer.propose(layer, rng=0), optimizer)
        assert layer._edge_index()  # both orientations of the new edges, which the next step needs

    step()
    optimizer.step()
    seconds = medians({"step": step, "rewire": rewire}, repeats=5)
    return {"rewiring ms": 1e3 * seconds["rewire"], "rewiring / step": seconds["rewire"] / seconds["step"]}


def remember_many() -> Row:
    """Bytes per edge that a layer of 10^7 edges with SGD momentum keeps, both orientations included."""
    topology = ns.generators.erdos_renyi(65_536, 65_536, n_edges=10**7, rng=0)
    layer = ns.SparseLinear(topology)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3, momentum=0.9)
    layer(torch.randn(1, 65_536, requires_grad=True)).sum().backward()  # makes gradient and momentum
    optimizer.step()
    x, gradient = torch.randn(128, 65_536, requires_grad=True), torch.randn(128, 65_536)
    before = _reset_peak()
    layer(x).backward(gradient)
    optimizer.step()
    peak = _memory("VmHWM")
    index = layer._edge_index()
    kept: list[Any] = [layer.weight, layer.weight.grad, optimizer.state[layer.weight]["momentum_buffer"], layer.birth]
    kept += [
        tensor for tensor in vars(index).values() if isinstance(tensor, torch.Tensor)
    ]  # src and dst are the topology's own memory
    n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in kept if len(tensor) == layer.n_edges)
    return {
        "kept bytes per edge": n_bytes / layer.n_edges,
        "before a step, MB": before,
        "peak of a step at batch 128, MB": peak,
    }


IMPORTS = {
    "import netsci_nn": ("-c", "import netsci_nn"),
    "from netsci_nn import SparseMLP": ("-c", "from netsci_nn import SparseMLP"),
    "netsci-nn generate erdos_renyi 10 10 --density .5 --out x.npz": (
        *("-m", "netsci_nn", "generate", "erdos_renyi", "10", "10"),
        *("--density", ".5", "--out", "x.npz"),
    ),
}
TORCH = ("-c", "import torch")


def import_rows() -> Iterator[Row]:
    """Whole processes that import something, or run a short command, beside one that imports torch."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:

        def candidate(arguments: tuple[str, ...]) -> Callable[[], Any]:
            command, environment = [sys.executable, *arguments], {**os.environ, "PYTHONPATH": str(root)}
            return lambda: subprocess.run(command, capture_output=True, check=True, cwd=folder, env=environment)

        candidates = {name: candidate(arguments) for name, arguments in {**IMPORTS, "import torch": TORCH}.items()}
        seconds = medians(candidates, repeats=21)
    for name in IMPORTS:
        yield row(name, {"ours": seconds[name], "import torch": seconds["import torch"]})


def _reset_peak() -> float:
    """Forget the highest memory use so far (Linux only); return the present one in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


SCALE = {
    "generate": "generate 10^7 edges in 65,536 x 65,536",
    "rewire": "SET on 10^7 edges, 8192 x 8192, batch 128",
    "memory": "memory of 10^7 edges in 65,536 x 65,536 with SGD momentum",
}


def markdown(rows: list[Row]) -> str:
    """Return the rows as Markdown, one table per set of columns."""
    tables: dict[tuple[str, ...], list[Row]] = {}
    for entry in rows:
        tables.setdefault(tuple(entry), []).append(entry)
    return "\n\n".join(
        markdown_table(header, [[_cell(value) for value in entry.values()] for entry in entries])
        for header, entries in tables.items()
    )


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def machine() -> str:
    """Say what this was measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return f"{cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"


def main() -> None:
    """Measure, print, and write benchmark.json and benchmark.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["layer", "epoch", "scale", "imports"], help="one part only")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), help="folder of the results")
    parser.add_argument("--scale", choices=list(SCALE), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scale:
        print(json.dumps({"generate": generate_many, "rewire": rewire_many, "memory": remember_many}[arguments.scale]()))
        return
    console, rows = Console(stderr=True), []
    parts = {"layer": layer_rows, "epoch": epoch_rows, "scale": scale_rows, "imports": import_rows}
    is_interrupted = False
    try:
        for part, measure in parts.items():
            if arguments.only in (None, part):
                for entry in measure():
                    console.print(", ".join(f"{name}: {_cell(value)}" for name, value in entry.items()), highlight=False)
                    rows.append(entry)
    except KeyboardInterrupt:
        is_interrupted = True
        if not rows:
            raise Interrupted("no row was complete, and nothing was written") from None
    with report_unwritten(arguments.out / "benchmark.md", arguments.out / "benchmark.json"):
        arguments.out.mkdir(parents=True, exist_ok=True)
        note = "Interrupted: rows are missing.\n\n" if is_interrupted else ""
        text = f"{machine()}\n\n{note}{markdown(rows)}\n"
        table = {"machine": machine(), "interrupted": is_interrupted, "rows": rows}
        write_text(arguments.out / "benchmark.md", text)
        write_text(arguments.out / "benchmark.json", json.dumps(table, indent=2) + "\n")
        print(text)
    if is_interrupted:
        raise Interrupted(f"the {len(rows)} rows so far are in {arguments.out}")


if __name__ == "__main__":
    with reported_errors():
        at_work()
        main()
