"""Damaged files of every format that is read, and what becomes of the reader: it must read them or refuse them in one sentence.

As a program it runs for as long as it is asked to: `python tests/support/fuzz.py --seconds 3600 --keep FOLDER`.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

MEMORY = 3 * 2**30
"""Bytes of address space of a reader beyond what it has when it starts."""
SECONDS = 10
ALL = "all"  # in place of the name of a format
OK, REFUSED = "ok", "refused"
UNTYPED, CRASH, HANG, MEMORY_ERROR, UNCLEAR = "untyped", "crash", "hang", "memory", "unclear"
LONGEST_SENTENCE = 1500
NUMBERS = (b"0", b"-1", b"1e999", b"nan", b"2147483648", b"9" * 30, b"9" * 5000, b"200000000", b"null", b'""', b"[]", b"{}")


class Outcome(NamedTuple):
    """What became of one damaged file.

    Attributes:
        kind: one of `OK`, `REFUSED` (a typed error of one line) and the failures `UNTYPED`, `CRASH`, `HANG`, `MEMORY_ERROR` and
            `UNCLEAR` (a typed error of many lines, or of a length that nobody reads).
        detail: the error.
        content: of the file.
    """

    kind: str
    detail: str
    content: bytes

    @property
    def is_failure(self) -> bool:
        return self.kind not in (OK, REFUSED)


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        name: how the file is called.
        write: makes a sound one at a path.
        read: reads it.
    """

    name: str
    write: Callable[[Path], None]
    read: Callable[[Path], Any]


def formats() -> dict[str, list[Format]]:
    """Return the formats by name, with a few sound files each."""
    import numpy as np
    import scipy.sparse
    import torch
    from safetensors.torch import save_file

    import netsci_nn as ns
    from analysis import as_layered
    from netsci_nn.experiment import RunDirectory, load_experiment
    from netsci_nn.intake import take_in
    from netsci_nn.topology import from_edges, save_network, save_topology
    from netsci_nn.training import Checkpoint, load_checkpoint, read_edges, train

    warnings.simplefilter("ignore")
    topology = ns.generators.erdos_renyi(9, 7, n_edges=25, rng=0)
    weights = np.random.default_rng(0).normal(size=25).astype(np.float32)
    model = ns.SparseMLP([8, 12, 4], density=0.4, rng=0)
    matrix = torch.eye(8, 12).roll(3, 1) + torch.eye(8, 12)

    def start() -> tuple[Any, Any, Any]:
        fresh = ns.SparseMLP([8, 12, 4], density=0.4, rng=0)
        return fresh, torch.optim.SGD(fresh.parameters(), lr=0.1, momentum=0.9), np.random.default_rng(0)

    def write_checkpoint(path: Path) -> None:
        net, optimizer, rng = start()
        x, y = torch.rand(20, 8), torch.arange(20) % 4
        train(net, optimizer, x, y, epochs=1, batch_size=10, rng=rng, callbacks=[Checkpoint(path)])

    def taken_in(path: Path) -> None:
        for network in take_in(path).networks:
            _ = as_layered(network.graph).degrees

    def loaded(path: Path) -> None:
        load_checkpoint(path, *start())
        read_edges(path)

    def write_index(path: Path) -> None:
        save_file({"fc.weight": matrix}, path.parent / "model-1-of-1.safetensors")
        table = {"metadata": {"total_size": 384}, "weight_map": {"fc.weight": "model-1-of-1.safetensors"}}
        path.write_text(json.dumps(table, indent=2))

    def write_graphml(path: Path) -> None:
        save_topology(topology, path, weights)

    def write_layered(path: Path) -> None:
        ns.network_graph(model).write_graphml(str(path))

    def write_text(text: str) -> Callable[[Path], None]:
        return lambda path: _write(path, text.encode())

    edges = "".join(f"{source},{target},{0.5 * source - target}\n" for source, target in topology.to_edges())
    named = "source\ttarget\tweight\n" + "".join(f"n{s}\tm{t}\t{s}e-{t}\n" for s, t in topology.to_edges())
    toml = (
        'name = "a"\ndataset = "digits"\nseeds = [0, 1]\nmodel.layer_sizes = [64, 20, 10]\ntraining.epochs = 3\n'
        'training.learning_rate = 0.1\n[[method]]\nname = "ER"\ndensity = [0.1, 0.5]\n[method.rewiring]\nname = "set"\n'
    )

    result = {
        "method": "ER", "seed": 0, "metrics": {"accuracy": 0.5}, "metrics_by_epoch": {"accuracy": [0.1, 0.5]}, "n_edges": 25,
        "n_edges_in_training": 25, "cost": 0.1, "seconds": 1.5, "multiply_adds": 12345, "interrupted": False,
    }  # fmt: skip

    def write_result(path: Path) -> None:
        for name in ("epoch-0000", "final"):
            (path.parent / "topology").mkdir(exist_ok=True)
            save_network([topology], path.parent / "topology" / f"{name}.safetensors")
        path.write_text(json.dumps(result, indent=2))

    def torch_of(state: Any) -> Callable[[Path], None]:
        return lambda path: torch.save(state, path)

    layouts = {
        name: {"fc.weight": matrix.to_sparse(layout=getattr(torch, f"sparse_{name}"), **options)}
        for name, options in (("csr", {}), ("bsc", {"blocksize": (2, 3)}))
    }
    assert from_edges(topology.to_edges(), 9, 7).topology == topology
    return {
        "safetensors": [
            Format("topology.safetensors", lambda path: save_topology(topology, path, weights), taken_in),
            Format("network.safetensors", lambda path: save_network([topology], path, [weights]), taken_in),
            Format("state.safetensors", lambda path: save_file(model.state_dict(), path), taken_in),
        ],
        "checkpoint": [
            Format("last.safetensors", write_checkpoint, loaded),
            Format("taken.safetensors", write_checkpoint, taken_in),
        ],
        "npz": [
            Format("ours.npz", lambda path: save_topology(topology, path, weights), taken_in),
            Format("plain.npz", lambda path: np.savez(path, shape=[9, 7], src=topology.src, dst=topology.dst), taken_in),
            Format("scipy.npz", lambda path: scipy.sparse.save_npz(path, topology.to_scipy()), taken_in),
            Format(
                "coo.npz", lambda path: scipy.sparse.save_npz(path, topology.to_scipy().tocoo(), compressed=False), taken_in
            ),
        ],
        "graphml": [Format("g.graphml", write_graphml, taken_in), Format("layers.graphml", write_layered, taken_in)],
        "text": [
            Format("ours.csv", lambda path: save_topology(topology, path, weights), taken_in),
            Format("edges.csv", write_text(edges), taken_in),
            Format("named.tsv", write_text(named), taken_in),
            Format("blank.edges", write_text(edges.replace(",", " ")), taken_in),
        ],
        "torch": [
            Format("model.pt", torch_of({"model": model.state_dict(), "epoch": 3}), taken_in),
            Format("dense.bin", torch_of({"fc.weight": matrix}), taken_in),
            *(Format(f"{name}.pth", torch_of(state), taken_in) for name, state in layouts.items()),
            Format(
                "old.pt", lambda path: torch.save({"fc.weight": matrix}, path, _use_new_zipfile_serialization=False), taken_in
            ),
        ],
        "shards": [Format("model.safetensors.index.json", write_index, taken_in)],
        "toml": [Format("config.toml", write_text(toml), load_experiment)],
        "json": [
            Format("result.json", write_result, lambda path: RunDirectory(path.parent).load_result()),
        ],
    }


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return the content with up to three changes: of bits and bytes, lengths, repeated and removed parts, and numbers."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if not data:
            return bytes(data)
        at, kind = draw.randrange(len(data)), draw.randrange(10)
        end = min(len(data), at + draw.choice((1, 2, 4, 8, 40, 200)))
        if kind < 3:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 3:
            data[at] = draw.choice((0, 0xFF, 0x80, 0x7F, 0x22, 0x5B, 0x7B, 0x0A, 0x2C))
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            del data[at:end]
        elif kind == 6:
            data[at:at] = data[at:end] * draw.choice((1, 2, 3000))
        elif kind == 7:
            data[at:end] = draw.choice((b"\xff", b"\x00", b"\x7f")) * (end - at)
        elif kind == 8:
            data[at : at + 1] = draw.choice(NUMBERS)
        else:
            data[at:at] = draw.choice((b"[", b'{"a":', b"(", b"\n", b"\xef\xbb\xbf", b'"')) * draw.choice((1, 3, 20_000))
    return bytes(data)


def _of(name: str) -> list[Format]:
    return [form for forms in formats().values() for form in forms] if name == ALL else formats()[name]


def attempts(name: str, seed: int, n: int) -> Iterator[bytes]:
    """Damaged contents of the sound files of a format, in turn, the same for the same seed; with the place of the format."""
    with tempfile.TemporaryDirectory() as folder:
        whole = []
        for form in _of(name):
            form.write(Path(folder, form.name))
            whole.append(Path(folder, form.name).read_bytes())
    draw = random.Random(f"{name} {seed}")
    for number in range(n):
        yield damaged(whole[number % len(whole)], draw)


def _work(name: str, seed: int, n: int, first: int) -> None:
    """Read damaged files, one after the other, and print a line of JSON before and after each: the work of a child process."""
    from analysis import AnalysisError
    from netsci_nn.errors import CheckpointError, ConfigError, DataError, TopologyError

    with tempfile.TemporaryDirectory() as folder:
        forms = _of(name)
        for form in forms:
            form.write(Path(folder, form.name))
            form.read(Path(folder, form.name))  # it is sound, and what it needs is compiled
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        contents = list(attempts(name, seed, n))
        for number in range(first, n):
            form = forms[number % len(forms)]
            path = Path(folder, form.name)
            path.write_bytes(contents[number])
            print(json.dumps([number]), flush=True)
            kind, detail = OK, ""
            try:
                form.read(path)
            except (AnalysisError, CheckpointError, ConfigError, DataError, TopologyError) as error:
                kind, detail = REFUSED, str(error)
                if "\n" in detail or len(detail) > LONGEST_SENTENCE:
                    kind, detail = UNCLEAR, detail[:400]
            except MemoryError as error:
                kind, detail = MEMORY_ERROR, place(error)
            except Exception as error:
                kind, detail = UNTYPED, place(error)
            print(json.dumps([number, kind, f"{form.name}: {detail}"]), flush=True)


def place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[::-1][:4])
    return f"{type(error).__name__}: {str(error)[:200]} ({places})"


def run(name: str, seed: int, n: int) -> Iterator[Outcome]:
    """Damage and read `n` files of a format in child processes, each of which ends with the reader that brings it down."""
    contents = list(attempts(name, seed, n))
    first = 0
    while first < n:
        with tempfile.TemporaryDirectory() as folder:
            printed, said = Path(folder, "out"), Path(folder, "err")
            command = [
                sys.executable,
                __file__,
                "--child",
                name,
                "--seed",
                str(seed),
                "--number",
                str(n),
                "--first",
                str(first),
            ]
            environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
            with printed.open("w") as out, said.open("w") as err:
                child = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
            try:
                code = watched(child, printed)
            finally:
                child.kill()
                child.wait()
            lines = [json.loads(line) for line in printed.read_text().splitlines(keepends=True) if line.endswith("\n")]
            assert lines or first == n, said.read_text()
            for number, *result in lines:
                if result:
                    yield Outcome(*result, contents[number])
            first = lines[-1][0] + 1
            if len(lines[-1]) == 1:
                kind = HANG if code is None else CRASH
                yield Outcome(kind, f"exit code {code}: {said.read_text()[-300:]}", contents[first - 1])


def watched(child: subprocess.Popen[bytes], printed: Path) -> int | None:
    """Wait for the end of a child; None if it has printed nothing for too long."""
    size, since = 0, time.monotonic()
    while child.poll() is None:
        time.sleep(0.05)
        if printed.stat().st_size != size:
            size, since = printed.stat().st_size, time.monotonic()
        elif time.monotonic() - since > (SECONDS if size else 60 * SECONDS):
            return None
    return child.returncode


def main() -> None:
    """Run all formats in turn until the time is up, and keep the files that a reader fails on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--number", type=int, default=2000, help="files per format and round")
    parser.add_argument("--format", action="append", help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files of failures")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _work(options.child, options.seed, options.number, options.first)
        return
    end, seed, kinds = time.monotonic() + options.seconds, options.seed, Counter[tuple[str, str]]()
    seen: set[tuple[str, str]] = set()
    names = options.format or list(formats())
    while time.monotonic() < end:
        for name in names:
            for number, outcome in enumerate(run(name, seed, options.number)):
                kinds[name, outcome.kind] += 1
                if outcome.is_failure:
                    if options.keep is not None:
                        options.keep.mkdir(parents=True, exist_ok=True)
                        (options.keep / f"{name}-{seed}-{number}-{outcome.kind}").write_bytes(outcome.content)
                    if (name, outcome.detail[-60:]) not in seen:
                        seen.add((name, outcome.detail[-60:]))
                        print(f"{name} {seed} {number} {outcome.kind}: {outcome.detail}", flush=True)
                if time.monotonic() > end:
                    break
            print(name, dict(sorted((kind, count) for (of, kind), count in kinds.items() if of == name)), flush=True)
        seed += 1


if __name__ == "__main__":
    main()
