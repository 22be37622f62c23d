"""Topologies on disk: safetensors, npz, GraphML and edge-list CSV; and atomic writing for everything that is written.

A loaded file is data: nothing in it can run code, and a damaged file is reported by name without being half loaded.
"""

import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from netsci_nn import bridge
from netsci_nn.errors import CheckpointError, ConfigError, TopologyError
from netsci_nn.topology import BipartiteTopology

Path_ = str | PathLike[str]
Values = np.ndarray | None  # float32 [n_edges]

# What the readers of damaged files raise.
DAMAGE = (
    SafetensorError,
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    NotImplementedError,
)


@contextmanager
def atomic_write(path: Path_) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; rename it to `path` when the block ends without an error.

    The data are flushed to the disk before the rename, so that `path` holds the old or the new content, never a part.

    Raises:
        ConfigError: when `path` is a folder or lies in none.
    """
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():
        reason = "is a folder" if target.is_dir() else "lies in a folder that does not exist"
        raise ConfigError(f"path {str(path)!r} {reason}; it must be a file that can be written")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path_, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_topology(topology: BipartiteTopology, path: Path_, weights: bridge.ArrayLike | None = None) -> None:
    """Write `topology` to `path`, atomically.

    Args:
        topology: what to write.
        path: ends in .safetensors, .npz, .graphml or .csv (one "source,target" or "source,target,weight" a line below
            `# n_in=... n_out=...`).
        weights: `[n_edges]` numbers, kept as float32; or None.

    Raises:
        ConfigError: when the ending is unknown.
        TopologyError: when there are not as many weights as edges.
    """
    form = _format(path)
    values = None if weights is None else bridge.edge_weights(weights, topology.n_edges).astype(np.float32)
    with atomic_write(path) as temporary:
        form.write(topology, values, temporary)


def load_topology(path: Path_) -> BipartiteTopology:
    """Read a topology from a file in one of the formats of `save_topology`; weights are left out (`load_weighted`).

    Raises:
        ConfigError: when the ending is unknown or the file is missing.
        CheckpointError: when the file is damaged or does not hold a topology.
    """
    return load_weighted(path).topology


def load_weighted(path: Path_) -> bridge.WeightedTopology:
    """Read a topology and, where the file has them, its weights as float32 `[n_edges]`, as `save_topology` writes them.

    Raises:
        ConfigError: when the ending is unknown or the file is missing.
        CheckpointError: when the file is damaged or does not hold a topology.
    """
    form = _format(path)
    if not Path(path).is_file():
        raise ConfigError(f"path {str(path)!r} is not a file")
    try:
        return form.read(Path(path))
    except DAMAGE as error:
        raise CheckpointError(f"file {str(path)!r} does not hold a topology: {error}") from error


def save_network(topologies: Sequence[BipartiteTopology], path: Path_, values: Sequence[np.ndarray] | None = None) -> None:
    """Write the layers of a network to one safetensors file, atomically.

    Args:
        topologies: one a layer, from the input on.
        path: ends in .safetensors.
        values: the weights of every layer's edges, if they are to be kept.
    """
    arrays: dict[str, np.ndarray] = {}
    for layer, topology in enumerate(topologies):
        arrays |= {f"layers.{layer}.{name}": array for name, array in _arrays(topology).items()}
        if values is not None:
            arrays[f"layers.{layer}.values"] = np.ascontiguousarray(values[layer])
    with atomic_write(path) as temporary:
        save_file(arrays, temporary, metadata={"n_layers": str(len(topologies))})


def load_network(path: Path_) -> list[bridge.WeightedTopology]:
    """Read what `save_network` wrote, with the weights where it wrote them.

    Raises:
        CheckpointError: when the file is missing, damaged or holds something else.
    """
    try:
        arrays = load_file(path)
        n_layers = len({name.split(".")[1] for name in arrays})
        layers = [
            bridge.WeightedTopology(
                _from_arrays({name: arrays[f"layers.{layer}.{name}"] for name in ("shape", "src", "dst")}),
                arrays.get(f"layers.{layer}.values"),
            )
            for layer in range(n_layers)
        ]
    except DAMAGE as error:
        raise CheckpointError(f"file {str(path)!r} does not hold a network: {error}") from error
    return layers


def check_format(path: Path_) -> None:
    """Raise a ConfigError unless the ending of `path` is that of a topology file."""
    _format(path)


def _format(path: Path_) -> "_Format":
    ending = Path(path).suffix.lower()
    if ending not in _FORMATS:
        raise ConfigError(f"path {str(path)!r} ends in {ending!r}; allowed are: {', '.join(_FORMATS)}")
    return _FORMATS[ending]


def _arrays(topology: BipartiteTopology, values: Values = None) -> dict[str, np.ndarray]:
    shape = np.array([topology.n_in, topology.n_out], dtype=np.int64)
    arrays = {"shape": shape, "src": np.array(topology.src), "dst": np.array(topology.dst)}
    return arrays if values is None else {**arrays, "values": np.ascontiguousarray(values)}


def _weighted(arrays: Mapping[str, np.ndarray]) -> bridge.WeightedTopology:
    topology = _from_arrays(arrays)
    if "values" not in arrays:
        return bridge.WeightedTopology(topology, None)
    return bridge.WeightedTopology(topology, bridge.edge_weights(arrays["values"], topology.n_edges).astype(np.float32))


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> BipartiteTopology:
    shape = arrays["shape"]
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise TopologyError(f"its 'shape' is {shape.tolist()}; it must be two integers, n_in and n_out")
    return BipartiteTopology(int(shape[0]), int(shape[1]), arrays["src"], arrays["dst"])


def _write_npz(topology: BipartiteTopology, values: Values, path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **_arrays(topology, values))


def _read_npz(path: Path) -> bridge.WeightedTopology:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return _weighted({name: archive[name] for name in ("shape", "src", "dst", "values") if name in archive.files})


def _write_csv(topology: BipartiteTopology, values: Values, path: Path) -> None:
    header = f"n_in={topology.n_in} n_out={topology.n_out}"
    if values is None:
        np.savetxt(path, topology.to_edges(), fmt="%d", delimiter=",", header=header)
        return
    table = np.column_stack([topology.to_edges(), values.astype(np.float64)])
    np.savetxt(path, table, fmt=["%d", "%d", "%.9g"], delimiter=",", header=header)  # nine digits tell any float32


def _read_csv(path: Path) -> bridge.WeightedTopology:
    with path.open(encoding="utf-8") as file:
        sizes = dict(word.partition("=")[::2] for word in file.readline().lstrip("# ").split())
        lines = [line for line in file if line.strip()]
    if set(sizes) != {"n_in", "n_out"}:
        raise TopologyError("its first line must be '# n_in=... n_out=...'")
    is_weighted = bool(lines) and lines[0].count(",") == 2
    ends, weights = np.empty((0, 2), dtype=np.int64), None
    if lines:
        ends = np.loadtxt(lines, dtype=np.int64, delimiter=",", ndmin=2, usecols=(0, 1) if is_weighted else None)
        weights = np.loadtxt(lines, dtype=np.float32, delimiter=",", ndmin=1, usecols=2) if is_weighted else None
    return bridge.from_edges(ends, int(sizes["n_in"]), int(sizes["n_out"]), weights)


def _write_safetensors(topology: BipartiteTopology, values: Values, path: Path) -> None:
    save_file(_arrays(topology, values), path)


class _Format(NamedTuple):
    write: Callable[[BipartiteTopology, Values, Path], None]
    read: Callable[[Path], bridge.WeightedTopology]


_FORMATS = {
    ".safetensors": _Format(write=_write_safetensors, read=lambda path: _weighted(load_file(path))),
    ".npz": _Format(write=_write_npz, read=_read_npz),
    ".graphml": _Format(write=bridge.write_graphml, read=bridge.read_graphml),
    ".csv": _Format(write=_write_csv, read=_read_csv),
}
