"""Topologies on disk: safetensors, npz, GraphML and edge-list CSV; and atomic writing for everything that is written.

A loaded file is data: nothing in it can run code, and a damaged file is reported by name without being half loaded.
"""

import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
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


def save_topology(topology: BipartiteTopology, path: Path_) -> None:
    """Write `topology` to `path`, atomically.

    Args:
        topology: what to write.
        path: ends in .safetensors, .npz, .graphml or .csv (one "source,target" a line below `# n_in=... n_out=...`).

    Raises:
        ConfigError: when the ending is unknown.
    """
    form = _format(path)
    with atomic_write(path) as temporary:
        form.write(topology, temporary)


def load_topology(path: Path_) -> BipartiteTopology:
    """Read a topology from a file in one of the formats of `save_topology`.

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


def _arrays(topology: BipartiteTopology) -> dict[str, np.ndarray]:
    shape = np.array([topology.n_in, topology.n_out], dtype=np.int64)
    return {"shape": shape, "src": np.array(topology.src), "dst": np.array(topology.dst)}


def _from_arrays(arrays: dict[str, np.ndarray]) -> BipartiteTopology:
    shape = arrays["shape"]
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise TopologyError(f"its 'shape' is {shape.tolist()}; it must be two integers, n_in and n_out")
    return BipartiteTopology(int(shape[0]), int(shape[1]), arrays["src"], arrays["dst"])


def _write_npz(topology: BipartiteTopology, path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **_arrays(topology))


def _read_npz(path: Path) -> BipartiteTopology:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return _from_arrays({name: archive[name] for name in ("shape", "src", "dst")})


def _write_csv(topology: BipartiteTopology, path: Path) -> None:
    header = f"n_in={topology.n_in} n_out={topology.n_out}"
    np.savetxt(path, topology.to_edges(), fmt="%d", delimiter=",", header=header)


def _read_csv(path: Path) -> BipartiteTopology:
    with path.open(encoding="utf-8") as file:
        sizes = dict(word.partition("=")[::2] for word in file.readline().lstrip("# ").split())
        lines = [line for line in file if line.strip()]
    if set(sizes) != {"n_in", "n_out"}:
        raise TopologyError("its first line must be '# n_in=... n_out=...'")
    edges = np.loadtxt(lines, dtype=np.int64, delimiter=",", ndmin=2) if lines else np.empty((0, 2), dtype=np.int64)
    return BipartiteTopology.from_edges(edges, int(sizes["n_in"]), int(sizes["n_out"]))


class _Format(NamedTuple):
    write: Callable[[BipartiteTopology, Path], None]
    read: Callable[[Path], BipartiteTopology]


_FORMATS = {
    ".safetensors": _Format(
        write=lambda topology, path: save_file(_arrays(topology), path),
        read=lambda path: _from_arrays(load_file(path)),
    ),
    ".npz": _Format(write=_write_npz, read=_read_npz),
    ".graphml": _Format(write=bridge.write_graphml, read=bridge.read_graphml),
    ".csv": _Format(write=_write_csv, read=_read_csv),
}
