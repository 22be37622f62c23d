"""Every kind of file and of structured text that is read: how a sound one is made, and what reads it."""

import gzip
import json
import os
import re
import shutil
import signal
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        name: how the file is called, from its folder on.
        write: makes a sound one at a path, and what belongs to it beside it.
        read: reads it.
        share: how often it is tried, beside the others.
        changes: whether the reader writes too, so that all must be written anew before the next one.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]
    share: float = 1
    changes: bool = False


def formats(folder: Path, *names: str) -> dict[str, list[Format]]:
    """Return some formats by name, or all, with a few sound files each.

    Args:
        folder: where all files are written and read, each under the name of its format.
        names: of the formats; all if there are none.
    """
    warnings.simplefilter("ignore")
    known: dict[str, Callable[[], list[Format]]] = {
        "safetensors": _safetensors,
        "checkpoint": _checkpoints,
        "npz": _npz,
        "graphml": _graphml,
        "text": _edge_lists,
        "torch": _torch,
        "shards": lambda: [Format("model.safetensors.index.json", _write_index, _taken_in)],
        "toml": _toml,
        "json": _json,
        "idx": _idx,
        "run": lambda: _runs(folder),
        "option": _options,
    }
    return {name: known[name]() for name in names or known}


def _taken_in(path: Path) -> None:
    from analysis import as_layered
    from netsci_nn.intake import take_in

    for network in take_in(path).networks:
        _ = as_layered(network.graph).degrees


def _topology() -> tuple[Any, Any]:
    """A small topology, and weights."""
    import numpy as np

    from netsci_nn import generators

    return generators.erdos_renyi(9, 7, n_edges=25, rng=0), np.random.default_rng(0).normal(size=25).astype(np.float32)


def _matrix() -> Any:
    import torch

    return torch.eye(8, 12).roll(3, 1) + torch.eye(8, 12)


def _model() -> Any:
    from netsci_nn import SparseMLP

    return SparseMLP([8, 12, 4], density=0.4, rng=0)


def _write(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def _unsealed(write: Callable[[Path], object]) -> Callable[[Path], object]:
    """Write a safetensors file without its digest, as earlier versions and other programs do."""

    def written(path: Path) -> None:
        write(path)
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        del header["__metadata__"]["netsci_nn_digest"]
        raw = json.dumps(header).encode()
        path.write_bytes(len(raw).to_bytes(8, "little") + raw + content[8 + length :])

    return written


def _safetensors() -> list[Format]:
    import torch
    from safetensors.torch import save_file

    from netsci_nn.topology import save_network, save_topology

    topology, weights = _topology()
    model = _model()
    kinds = {
        "conv.weight": torch.eye(6).reshape(6, 2, 3),
        "half.weight": torch.eye(4).to(torch.bfloat16),
        "byte.weight": torch.eye(4).to(torch.uint8),
        "old.weight_v": torch.eye(4),
        "old.weight_g": torch.ones(4, 1),
        "lost.weight_orig": torch.eye(4),
        "lost.weight_mask": torch.eye(4),
    }
    network = _unsealed(lambda path: save_network([topology], path, [weights]))
    return [
        Format("topology.safetensors", lambda path: save_topology(topology, path, weights), _taken_in),
        Format("open.safetensors", _unsealed(lambda path: save_topology(topology, path, weights)), _taken_in),
        Format("network.safetensors", lambda path: save_network([topology], path, [weights]), _taken_in),
        Format("open-network.safetensors", network, _taken_in),
        Format("state.safetensors", lambda path: save_file(model.state_dict(), path), _taken_in),
        Format("kinds.safetensors", lambda path: save_file(kinds, path), _taken_in),
    ]


def _start() -> tuple[Any, Any, Any]:
    import numpy as np
    import torch

    model = _model()
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), np.random.default_rng(0)


def _write_checkpoint(path: Path) -> None:
    import torch

    from netsci_nn.training import Checkpoint, LearningRateSchedule, train

    model, optimizer, rng = _start()
    x, y = torch.rand(20, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 4
    callbacks = [LearningRateSchedule("step", step_size=2), Checkpoint(path)]
    train(model, optimizer, x, y, epochs=1, batch_size=10, rng=rng, callbacks=callbacks)


def _checkpoints() -> list[Format]:
    import torch

    from netsci_nn.training import LearningRateSchedule, load_checkpoint, read_edges, train

    x, y = torch.rand(20, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 4

    def loaded(path: Path) -> None:
        load_checkpoint(path, *_start())
        read_edges(path)

    def resumed(path: Path) -> None:
        model, optimizer, rng = _start()
        completed = load_checkpoint(path, model, optimizer, rng)
        schedule = LearningRateSchedule("step", step_size=2)
        epochs = completed[0] + 1
        train(model, optimizer, x, y, epochs=epochs, batch_size=10, rng=rng, completed=completed, callbacks=[schedule])

    return [
        Format("last.safetensors", _write_checkpoint, loaded),
        Format("taken.safetensors", _write_checkpoint, _taken_in),
        Format("open-last.safetensors", _unsealed(_write_checkpoint), resumed),
    ]


def _npz() -> list[Format]:
    import numpy as np
    import scipy.sparse

    from netsci_nn.topology import save_topology

    topology, weights = _topology()
    matrix = topology.to_scipy()
    ends = {"src": topology.src, "dst": topology.dst}
    big = {name: np.asfortranarray(array.astype(">i8")) for name, array in ends.items()}

    def of_scipy(kind: str, is_compressed: bool = True) -> Format:
        sparse = matrix.asformat(kind) if kind != "bsr" else matrix.tobsr((7, 3))
        return Format(f"{kind}.npz", lambda path: scipy.sparse.save_npz(path, sparse, compressed=is_compressed), _taken_in)

    return [
        Format("ours.npz", lambda path: save_topology(topology, path, weights), _taken_in),
        Format("plain.npz", lambda path: np.savez(path, shape=[9, 7], **ends), _taken_in),
        Format("big-endian.npz", lambda path: np.savez(path, shape=np.array([9, 7], ">i4"), **big), _taken_in),
        Format("scipy.npz", lambda path: scipy.sparse.save_npz(path, matrix), _taken_in),
        Format("bool.npz", lambda path: scipy.sparse.save_npz(path, matrix.astype(bool)), _taken_in),
        *(of_scipy(kind) for kind in ("csc", "bsr", "dia")),
        of_scipy("coo", is_compressed=False),
    ]


def _graphml() -> list[Format]:
    import igraph
    import networkx

    from netsci_nn import network_graph
    from netsci_nn.generators import from_graph
    from netsci_nn.topology import save_topology

    topology, weights = _topology()
    sides = {n: {"bipartite": int(n >= 9)} for n in range(16)}
    of_networkx = networkx.Graph()
    of_networkx.add_nodes_from(sides.items())
    of_networkx.add_weighted_edges_from((s, 9 + t, 0.5 * s) for s, t in topology.to_edges().tolist())
    ring = igraph.Graph.Ring(12, directed=True)
    ring.vs["name"] = [f"v{number}" for number in range(12)]
    ring.es["kind"] = ["chemical"] * 12

    def wired(path: Path) -> None:
        from_graph(str(path), 9, 7)

    return [
        Format("g.graphml", lambda path: save_topology(topology, path, weights), _taken_in),
        Format("layers.graphml", lambda path: network_graph(_model()).write_graphml(str(path)), _taken_in),
        Format("networkx.graphml", lambda path: networkx.write_graphml_xml(of_networkx, path), _taken_in),
        Format("named.graphml", lambda path: ring.write_graphml(str(path)), wired),
    ]


def _edge_lists() -> list[Format]:
    from netsci_nn.topology import save_topology

    topology, weights = _topology()
    pairs = topology.to_edges().tolist()
    numbers = "".join(f"{source},{target},{0.5 * source - target}\n" for source, target in pairs)
    dialects = {
        "edges.csv": numbers,
        "named.tsv": "source\ttarget\tweight\n" + "".join(f"n{s}\tm{t}\t{s}e-{t}\n" for s, t in pairs),
        "blank.edges": numbers.replace(",", " "),
        "semicolon.csv": "\ufeffto;from\r\n" + "".join(f"{t};{s}\r\n" for s, t in pairs),
        "konect.txt": "% bip weighted\n% 25 9 7\n" + "".join(f"{s + 1} {t + 1} 1\n" for s, t in pairs),
        "quoted.csv": '"node1", "node2"\n' + "".join(f'"a, {s}", "b ""{t}"""\n' for s, t in pairs),
        "blank-quoted.edgelist": "# networkx\n" + "".join(f'"a {s}" {-t} .5\n' for s, t in pairs),
    }
    return [
        Format("ours.csv", lambda path: save_topology(topology, path, weights), _taken_in),
        Format("ours-plain.txt", _write("# n_in=9 n_out=7\n" + "".join(f"{s},{t}\n" for s, t in pairs)), _taken_in),
        *(Format(name, _write(text), _taken_in) for name, text in dialects.items()),
    ]


def _torch() -> list[Format]:
    import torch

    model, matrix = _model(), _matrix()

    def of(name: str, state: Any, **options: Any) -> Format:
        return Format(name, lambda path: torch.save(state, path, **options), _taken_in)

    layouts = {"csr": {}, "csc": {}, "coo": {}, "bsr": {"blocksize": (2, 3)}, "bsc": {"blocksize": (2, 3)}}
    kinds = {
        "bf.weight": matrix.bfloat16(),
        "view.weight": matrix.t()[2:, ::2],
        "wide.weight": torch.ones(1, 1).expand(5, 6),
        "long.weight": matrix.long(),
        "complex.weight": matrix.to(torch.complex64),
        "quantized.weight": torch.quantize_per_tensor(matrix, 0.5, 0, torch.qint8),
        "parameter.weight": torch.nn.Parameter(matrix),
    }
    pruned = {"fc.weight_orig": matrix, "fc.weight_mask": (matrix != 0).float()}
    pruned |= {"n.weight_v": matrix, "n.weight_g": matrix[:, :1]}
    return [
        of("model.pt", {"model": model.state_dict(), "epoch": 3}),
        of("dense.bin", {"fc.weight": matrix}),
        *(
            of(f"{name}.pth", {"fc.weight": matrix.to_sparse(layout=getattr(torch, f"sparse_{name}"), **options)})
            for name, options in layouts.items()
        ),
        of("old.pt", {"fc.weight": matrix}, _use_new_zipfile_serialization=False),
        of("kinds.ckpt", kinds),
        of("pruned.pt", {"state_dict": pruned, "ema": {"fc.weight": matrix}}),
    ]


def _write_index(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"fc.weight": _matrix()}, path.parent / "model-1-of-1.safetensors")
    table = {"metadata": {"total_size": 384}, "weight_map": {"fc.weight": "model-1-of-1.safetensors"}}
    path.write_text(json.dumps(table, indent=2))


EXPERIMENT = (
    'name = "a"\ndataset = "digits"\nseeds = [0, 1]\nmodel.layer_sizes = [64, 20, 10]\ntraining.epochs = 3\n'
    'training.learning_rate = 0.1\n[[method]]\nname = "ER"\ndensity = [0.1, 0.5]\n[method.rewiring]\nname = "set"\n'
)
PRUNING = EXPERIMENT + (
    '[[method]]\nname = "FC"\ngenerator = "dense"\n[[method]]\nname = "LTH"\ndensity = 0.2\n'
    '[method.pruning]\ndense = "FC"\nrounds = 2\nweights = "initial"\n'
)


def _toml() -> list[Format]:
    from netsci_nn.experiment import load_experiment

    def overridden(path: Path) -> None:
        (path.parent / "config.toml").write_text(EXPERIMENT)
        load_experiment(path.parent / "config.toml", [argument(path)])

    return [
        Format("config.toml", _write(EXPERIMENT), load_experiment),
        Format("pruning.toml", _write(PRUNING), load_experiment),
        Format("override-rate.txt", _write("training.learning_rate=0.5"), overridden),
        Format("override-table.txt", _write('training.optimizer={name="adam", betas=[0.9, 0.99]}'), overridden),
    ]


def _json() -> list[Format]:
    from netsci_nn.experiment import RunDirectory
    from netsci_nn.kernels import auto
    from netsci_nn.topology import save_network

    result = {
        "method": "ER", "seed": 0, "metrics": {"accuracy": 0.5}, "metrics_by_epoch": {"accuracy": [0.1, 0.5]}, "n_edges": 25,
        "n_edges_in_training": 25, "cost": 0.1, "seconds": 1.5, "multiply_adds": 12345, "interrupted": False,
    }  # fmt: skip

    def write_result(path: Path) -> None:
        (path.parent / "topology").mkdir(exist_ok=True)
        for name in ("epoch-0000", "final"):
            save_network([_topology()[0]], path.parent / "topology" / f"{name}.safetensors")
        path.write_text(json.dumps(result, indent=2))

    def measured(path: Path) -> None:
        found, auto.cache_file = auto.cache_file, lambda: path
        try:
            auto.crossover.cache_clear()
            density = auto.crossover()["small_batch"]
            assert 0 <= density <= 1, f"crossover is {density}"
        finally:
            auto.cache_file = found
            auto.crossover.cache_clear()

    return [
        Format("result.json", write_result, lambda path: RunDirectory(path.parent).load_result()),
        Format(
            "crossover.json",
            _write('{"small_batch": 0.8, "large_batch": 0.4, "many_rows": 0.3, "csr_below_degree": 1.5}'),
            measured,
        ),
    ]


def _idx() -> list[Format]:
    from netsci_nn.data.idx import read_idx

    images = struct.pack(">IIII", 0x803, 5, 4, 3) + bytes(range(60))
    labels = struct.pack(">II", 0x801, 5) + bytes(range(5))
    return [
        Format("images", _write(images), lambda path: read_idx(path, (5, 4, 3))),
        Format("images.gz", _write(gzip.compress(images, mtime=0)), lambda path: read_idx(path, (5, 4, 3))),
        Format("labels.gz", _write(gzip.compress(labels, mtime=0)), lambda path: read_idx(path, (5,))),
    ]


SHARE_OF_RUNS = 0.02
"""They take some fifty times as long as other files."""
SET = {"name": "SET", "rewiring": "set"}
FC = {"name": "FC", "generator": "dense"}
PRUNED = {"name": "LTH", "pruning": {"dense": "FC", "rounds": 2}, "density": 0.3}
MODEL = {"layer_sizes": [12, 10, 3], "density": [0.25, 0.5]}


def _experiment(methods: list[dict[str, Any]], **training: Any) -> Any:
    from netsci_nn.experiment import parse_experiment

    known = {"epochs": 2, "batch_size": 10, "momentum": 0.9, "learning_rate_decay": 0.9, **training}
    table = {"name": "toy", "dataset": "digits", "seeds": [0], "model": MODEL, "training": known, "method": methods}
    return parse_experiment(table, "toy")


def _data() -> Any:
    import numpy as np

    from netsci_nn.data import Dataset

    x, y = np.random.default_rng(0).random((30, 12), dtype=np.float32), np.arange(30) % 3
    return Dataset("toy", x[:20], y[:20], x[20:], y[20:], 3)


def _runs(folder: Path) -> list[Format]:
    """Every file of a complete run, of an interrupted one, of pruning, a comparison and an ablation: read and resumed."""
    from netsci_nn.cli.evolve import evolve
    from netsci_nn.experiment import RunDirectory, load_experiment, run_experiment, run_method
    from netsci_nn.experiment.ablation import plan_ablation, run_ablation, save_ablation, summarise
    from netsci_nn.experiment.trained import trained_model
    from netsci_nn.reports.comparison import Comparison, comparison_tables, write_results
    from netsci_nn.training import Event

    data = _data()

    def stop(event: Any, state: Any) -> None:
        if event is Event.STEP and state.step == 3:  # in the second epoch
            os.kill(os.getpid(), signal.SIGINT)

    def trained(methods: list[dict[str, Any]], number: int = 0, *callbacks: Any) -> Callable[[Path], object]:
        experiment = _experiment(methods)
        return lambda run: run_method(experiment, experiment.methods[number], 0, data, run, callbacks)

    def resumed(run: Path) -> None:
        experiment = load_experiment(RunDirectory(run).config)
        run_method(experiment, experiment.methods[0], experiment.seeds[0], data, run, resume=True)
        RunDirectory(run).load_result()

    def looked_at(run: Path) -> None:
        _taken_in(run)
        evolve(run, measure=["degree"], json=run.parent / "evolution.json", html=None, nulls=1, seed=0)
        trained_model(run)

    pair = _experiment([SET, FC])

    def write_comparison(folder: Path) -> None:
        runs = run_experiment(pair, data, folder)
        next(runs)
        runs.close()
        method = pair.methods[1]
        run_method(pair, method, 0, data, RunDirectory.of(folder, method.name, 0).path, [stop])

    def compared(folder: Path) -> None:
        comparison = Comparison(pair, data, folder, 1)
        comparison.results += run_experiment(pair, data, folder, resume=True)
        write_results(comparison)
        comparison_tables(comparison)

    def ablated(folder: Path) -> None:
        plan = plan_ablation(folder, folder / "ablation", seeds=1)
        ablation = summarise(run_ablation(plan, data))
        assert ablation is not None
        save_ablation(ablation, plan, folder)

    def write_ablation(folder: Path) -> None:
        trained([SET])(folder)
        for _ in run_ablation(plan_ablation(folder, folder / "ablation", seeds=1), data):
            pass

    kinds: list[tuple[str, str, Callable[[Path], object], Callable[[Path], object]]] = [
        ("complete", ".", trained([SET]), resumed),
        ("seen", "final|epoch|metrics|last", trained([SET]), looked_at),
        ("stopped", ".", trained([SET], 0, stop), resumed),
        ("pruned", "^(dense|round-1|topology)/", trained([PRUNED, FC]), resumed),
        ("compared", "result|metrics|config|last", write_comparison, compared),
        ("ablated", "wiring/layer|own-wiring.*(result|config)|^config|^topology/final", write_ablation, ablated),
    ]
    return [form for name, *kind in kinds for form in _files_of(folder / name, *kind)]


def _files_of(top: Path, pattern: str, write: Callable[[Path], object], read: Callable[[Path], object]) -> Iterator[Format]:
    """A format for every file of a folder whose place in it has the pattern; the folder is read as a whole."""
    write(top)
    contents = {path: path.read_bytes() for path in top.rglob("*") if path.is_file()}

    def written(_: Path) -> None:
        shutil.rmtree(top)
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    for path in sorted(contents):
        if re.search(pattern, str(path.relative_to(top))):
            yield Format(str(path.relative_to(top.parent)), written, lambda _: read(top), SHARE_OF_RUNS, changes=True)


def argument(path: Path) -> str:
    """The content of a file as an argument of a command line, which is no longer than Linux has it."""
    return path.read_bytes().replace(b"\0", b"")[: 2**17 - 1].decode(errors="surrogateescape")


def _options() -> list[Format]:
    """Texts of options, and the files that they name."""
    import numpy as np

    from netsci_nn import limits
    from netsci_nn.cli.generate import generate
    from netsci_nn.cli.options import parse_image_shape, parse_sizes
    from netsci_nn.kernels import auto
    from netsci_nn.topology import save_topology

    topology, _ = _topology()
    texts = {
        "attractiveness": ("barabasi_albert", "0.5"),
        "sides": ("barabasi_albert", '"both"'),
        "mode": ("barabasi_albert", "growth"),
        "rewiring_probability": ("bsw", "0.2"),
        "randomness": ("brf", "0.3"),
        "variant": ("erdos_renyi", "gnp"),
        "weights": ("input_weighted", "[1, 2, 3, 4, 5, 6, 7, 8, 9]"),
        "exponent": ("truncated_power_law", "2.5"),
        "minimum": ("truncated_power_law", "1"),
        "affinity": ("stochastic_block", "[[1, 0.5], [0.5, 1]]"),
        "n_blocks": ("stochastic_block", "2"),
        "n_groups": ("grouped", "1"),
        "n_nodes": ("relational", "6"),
        "in_degrees": ("configuration_model", json.dumps(topology.in_degrees.tolist())),
    }
    needed = {
        "n_blocks": [], "affinity": ["n_blocks=2"], "n_nodes": ["degree=3"],
        "in_degrees": [f"out_degrees={topology.out_degrees.tolist()}"],
    }  # fmt: skip
    without_density = ("grouped", "relational", "configuration_model", "from_graph")

    def generated(model: str, params: list[str], path: Path) -> None:
        density = None if model in without_density else 0.4
        generate(model, 9, 7, out=path.parent / "new.npz", density=density, param=params)

    def of_text(key: str, model: str, text: str) -> Format:
        def read(path: Path) -> None:
            generated(model, [f"{key}={argument(path)}", *needed.get(key, [])], path)

        return Format(f"param-{key}", _write(text), read)

    def of_file(name: str, write: Callable[[Path], object], model: str = "input_weighted", key: str = "weights") -> Format:
        return Format(name, write, lambda path: generated(model, [f"{key}={path}"], path))

    def variable(name: str, read: Callable[[], object]) -> Callable[[Path], object]:
        def changed(path: Path) -> None:
            os.environ[name] = argument(path)
            try:
                read()
            finally:
                del os.environ[name]

        return changed

    def crossed() -> None:
        auto.crossover.cache_clear()
        auto.crossover()

    weights, graph = np.arange(1.0, 10.0), lambda path: save_topology(topology, path)
    return [
        *(of_text(key, *rest) for key, rest in texts.items()),
        Format("whole-param.txt", _write("randomness=0.3"), lambda path: generated("brf", [argument(path)], path)),
        of_file("weights.npy", lambda path: np.save(path, weights)),
        of_file("weights.txt", lambda path: np.savetxt(path, weights, header="weights")),
        of_file("graph.graphml", graph, "from_graph", "graph"),
        Format("sizes.txt", _write("encoder.qkv=16x48"), lambda path: parse_sizes([argument(path)])),
        Format("image-shape.txt", _write("28x28"), lambda path: parse_image_shape(argument(path))),
        Format("max-bytes.txt", _write("1000000"), variable(limits.VARIABLE, lambda: limits.check_neurons(__file__, 5))),
        Format("dense-above.txt", _write("0.5"), variable(auto.OVERRIDE, crossed)),
    ]
