"""Topologies on disk: safetensors, npz, GraphML and edge-list CSV, and all layers of a network in one file.

A loaded file is data: nothing in it can run code, and a damaged file is reported by name without being half loaded. Safetensors
and npz files hold a digest, so that no changed bit passes; files of earlier versions have none and are read as before.
"""

from __future__ import annotations

import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from netsci_nn.digest import METADATA, check_safetensors, check_zip, seal_safetensors, seal_zip
from netsci_nn.errors import CheckpointError, ConfigError, TopologyError
from netsci_nn.files import AnyPath, atomic_write
from netsci_nn.limits import check_memory, check_neurons
from netsci_nn.topology.arrays import ArrayLike
from netsci_nn.topology.convert import WeightedTopology, edge_weights, from_edges, from_igraph, to_igraph
from netsci_nn.topology.value import BipartiteTopology

if TYPE_CHECKING:
    import igraph

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
    RuntimeError,
)


def save_topology(topology: BipartiteTopology, path: AnyPath, weights: ArrayLike | None = None) -> None:
    """Write `topology` to `path`, atomically.

    Args:
        topology: what to write.
        path: ends in .safetensors, .npz, .graphml or .csv (one "source,target" or "source,target,weight" per line, below
            `# n_in=... n_out=...`).
        weights: `[n_edges]` numbers, kept as float32; or None.

    Raises:
        ConfigError: when the ending is unknown or the file cannot be written.
        TopologyError: when there are not as many weights as edges.

    Example:
        >>> import tempfile
        >>> topology = BipartiteTopology(n_in=3, n_out=2, src=[1, 2, 0], dst=[0, 0, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_topology(topology, f"{folder}/layer.csv", weights=[0.5, -1.0, 2.0])
        ...     loaded, weights = load_weighted(f"{folder}/layer.csv")
        >>> loaded == topology, weights.tolist()
        (True, [0.5, -1.0, 2.0])
    """
    form = _format(path)
    values = None if weights is None else edge_weights(weights, topology.n_edges).astype(np.float32)
    with atomic_write(path) as temporary:
        form.write(topology, values, temporary)


def load_topology(path: AnyPath) -> BipartiteTopology:
    """Read a topology from a file in one of the formats of `save_topology`; weights are left out (`load_weighted`).

    Raises:
        ConfigError: when the ending is unknown or the file is missing.
        CheckpointError: when the file is damaged or does not hold a topology.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> topology = BipartiteTopology(3, 2, [1, 2, 0], [0, 0, 1])
        >>> with TemporaryDirectory() as folder:
        ...     topology.save(f"{folder}/layer.csv")
        ...     load_topology(f"{folder}/layer.csv") == topology
        True
    """
    return load_weighted(path).topology


def load_weighted(path: AnyPath, ending: str | None = None) -> WeightedTopology:
    """Read a topology and, if the file has them, its weights as float32 `[n_edges]`, as `save_topology` writes them.

    Args:
        path: the file.
        ending: which format it has, for example ".csv"; by default the ending of `path` says so.

    Raises:
        ConfigError: when the ending is unknown or the file is missing.
        CheckpointError: when the file is damaged or does not hold a topology.
    """
    form = _format(path if ending is None else f"file{ending}")
    if not Path(path).is_file():
        raise ConfigError(f"path {str(path)!r} is not a file")
    try:
        layer = form.read(Path(path))
        check_neurons(path, layer.topology.n_in + layer.topology.n_out)
        return layer
    except (CheckpointError, ConfigError):
        raise
    except DAMAGE as error:
        raise CheckpointError(f"file {str(path)!r} does not hold a topology: {error}") from error


def save_network(topologies: Sequence[BipartiteTopology], path: AnyPath, values: Sequence[np.ndarray] | None = None) -> None:
    """Write the layers of a network to one safetensors file, atomically.

    Args:
        topologies: one per layer, from the input on.
        path: ends in .safetensors.
        values: the weights of every layer's edges; or None.
    """
    arrays: dict[str, np.ndarray] = {}
    for layer, topology in enumerate(topologies):
        arrays |= {f"layers.{layer}.{name}": array for name, array in arrays_of(topology).items()}
        if values is not None:
            arrays[f"layers.{layer}.values"] = np.ascontiguousarray(values[layer])
    with atomic_write(path) as temporary:
        save_file(arrays, temporary, metadata=METADATA)
        seal_safetensors(temporary)


def load_network(path: AnyPath) -> list[WeightedTopology]:
    """Read what `save_network` wrote, with the weights if it wrote them.

    Raises:
        CheckpointError: when the file is missing, damaged or holds something else.
    """
    try:
        check_safetensors(Path(path))
        arrays = load_file(path)
        n_layers = len({name.split(".")[1] for name in arrays if name.startswith("layers.")})
        prefixes = [f"layers.{layer}." for layer in range(max(1, n_layers))]
        layers = [WeightedTopology(topology_in(arrays, prefix), arrays.get(f"{prefix}values")) for prefix in prefixes]
        check_neurons(path, sum(layer.topology.n_in + layer.topology.n_out for layer in layers))
    except (CheckpointError, ConfigError):
        raise
    except DAMAGE as error:
        raise CheckpointError(f"file {str(path)!r} does not hold a network: {error}") from error
    return layers


def check_format(path: AnyPath) -> None:
    """Raise a ConfigError unless the ending of `path` is that of a topology file."""
    _format(path)


def _format(path: AnyPath) -> _Format:
    ending = Path(path).suffix.lower()
    if ending not in _FORMATS:
        raise ConfigError(f"path {str(path)!r} ends in {ending!r}; allowed are: {', '.join(_FORMATS)}")
    return _FORMATS[ending]


def arrays_of(topology: BipartiteTopology, values: Values = None) -> dict[str, np.ndarray]:
    """Return the arrays that stand for a topology in files."""
    shape = np.array([topology.n_in, topology.n_out], dtype=np.int64)
    arrays = {"shape": shape, "src": np.array(topology.src), "dst": np.array(topology.dst)}
    return arrays if values is None else {**arrays, "values": np.ascontiguousarray(values)}


def _weighted(arrays: Mapping[str, np.ndarray]) -> WeightedTopology:
    topology = topology_in(arrays)
    if "values" not in arrays:
        return WeightedTopology(topology, None)
    return WeightedTopology(topology, edge_weights(arrays["values"], topology.n_edges).astype(np.float32))


def topology_in(arrays: Mapping[str, np.ndarray], prefix: str = "") -> BipartiteTopology:
    """Return the topology whose arrays have names with this prefix; a TopologyError says what is missing or wrong."""
    names = [prefix + name for name in ("shape", "src", "dst")]
    missing = [repr(name) for name in names if name not in arrays]
    if missing:
        raise TopologyError(f"it has no array {' and no array '.join(missing)}")
    shape, src, dst = (arrays[name] for name in names)
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise TopologyError(f"its {names[0]!r} is {shape.tolist()}; it must be two integers, n_in and n_out")
    return BipartiteTopology(int(shape[0]), int(shape[1]), src, dst)


def _write_npz(topology: BipartiteTopology, values: Values, path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays_of(topology, values))
    seal_zip(path)


def _read_npz(path: Path) -> WeightedTopology:
    if not zipfile.is_zipfile(path):
        raise TopologyError("it is no archive of arrays, or its end is missing")
    check_zip(path)
    arrays_in(path)
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return _weighted({name: archive[name] for name in ("shape", "src", "dst", "values") if name in archive.files})


def arrays_in(path: Path) -> list[str]:
    """Return the names of the arrays in an archive of numpy, after checking that each is as long as its header states.

    Raises:
        CheckpointError: when they take too much memory (`limits.check_memory`).
        TopologyError: when it is no such archive, or a header is damaged; or another error of `DAMAGE`.
    """
    if not zipfile.is_zipfile(path):
        raise TopologyError("it is no archive of arrays, or its end is missing")
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        check_memory(path, sum(entry.file_size for entry in entries), "its arrays")
        for entry in entries:
            with archive.open(entry) as file:
                stated, there = _stated_bytes(file, entry.filename), entry.file_size - file.tell()
            if stated != there:
                raise TopologyError(f"{entry.filename!r} holds {there:,} bytes of numbers, and its header states {stated:,}")
    return [entry.filename.removesuffix(".npy") for entry in entries]


def _stated_bytes(file: IO[bytes], name: str) -> int:
    """How many bytes of numbers the header of an array states, before which the file then stands."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
        return math.prod(shape) * dtype.itemsize
    except Exception as error:  # numpy parses the header as Python and raises whatever the parser does
        raise TopologyError(f"the header of {name!r} cannot be read") from error


def read_array(path: AnyPath) -> npt.NDArray[Any]:
    """Read an array of numpy (.npy), after checking that it is as long as its header states.

    Raises:
        TopologyError: when it is no such file or damaged.
    """
    with Path(path).open("rb") as file:
        stated, there = _stated_bytes(file, str(path)), Path(path).stat().st_size - file.tell()
        if stated != there:
            raise TopologyError(f"it holds {there:,} bytes of numbers, and its header states {stated:,}")
        file.seek(0)
        array: npt.NDArray[Any] = np.load(file, allow_pickle=False)
        return array


def _write_csv(topology: BipartiteTopology, values: Values, path: Path) -> None:
    header = f"n_in={topology.n_in} n_out={topology.n_out}"
    if values is None:
        np.savetxt(path, topology.to_edges(), fmt="%d", delimiter=",", header=header)
        return
    table = np.column_stack([topology.to_edges(), values.astype(np.float64)])
    np.savetxt(path, table, fmt=["%d", "%d", "%.9g"], delimiter=",", header=header)  # nine digits tell any float32


def _read_csv(path: Path) -> WeightedTopology:
    with path.open(encoding="utf-8-sig") as file:
        n_in, n_out = _sizes(file.readline().strip())
        lines = [line for line in (line.partition("#")[0].strip() for line in file) if line]
    is_weighted = bool(lines) and lines[0].count(",") == 2
    ends, weights = np.empty((0, 2), dtype=np.int64), None
    try:
        if lines:
            ends = np.loadtxt(lines, dtype=np.int64, delimiter=",", ndmin=2, usecols=(0, 1) if is_weighted else None)
            weights = np.loadtxt(lines, dtype=np.float32, delimiter=",", ndmin=1, usecols=2) if is_weighted else None
    except ValueError as error:
        reason = str(error).partition(";")[0]  # what follows is advice to programmers
        raise TopologyError(f"its further lines must be 'source,target' or 'source,target,weight': {reason}") from error
    return from_edges(ends, n_in, n_out, weights)


def _sizes(line: str) -> tuple[int, int]:
    """The sizes in the first line of a table of edges."""
    sizes = dict(word.partition("=")[::2] for word in line.lstrip("# ").split())
    if set(sizes) != {"n_in", "n_out"} or not all(re.fullmatch("[0-9]{1,20}", size) for size in sizes.values()):
        raise TopologyError(f"its first line is {line[:60]!r}; it must be '# n_in=... n_out=...' with two whole numbers")
    return int(sizes["n_in"]), int(sizes["n_out"])


def _write_safetensors(topology: BipartiteTopology, values: Values, path: Path) -> None:
    save_file(arrays_of(topology, values), path, metadata=METADATA)
    seal_safetensors(path)


def _read_safetensors(path: Path) -> WeightedTopology:
    check_safetensors(path)
    return _weighted(load_file(path))


def _write_graphml(topology: BipartiteTopology, values: Values, path: Path) -> None:
    import igraph

    graph = to_igraph(topology, None if values is None else values.astype(np.float64))
    try:
        graph.write_graphml(str(path))
    except igraph.InternalError as error:
        raise OSError(_without_place(error)) from error


def _read_graphml(path: Path) -> WeightedTopology:
    """Read vertices with the boolean `type` (see `from_igraph`), or networkx's `bipartite` instead; weights become float32."""
    graph = _parsed(path, "GraphML cannot be read")
    if "type" not in graph.vs.attributes() and "bipartite" in graph.vs.attributes():
        graph.vs["type"] = graph.vs["bipartite"]
    topology, weights = from_igraph(graph)
    return WeightedTopology(topology, None if weights is None else weights.astype(np.float32))


def read_layered_graphml(path: Path) -> igraph.Graph | None:
    """Read a GraphML file of a whole network, whose vertices and edges carry `layer` as `network_to_igraph` gives it.

    Returns:
        the graph, `layer` as whole numbers (GraphML stores decimals); None if its vertices carry `type` or `bipartite` instead.

    Raises:
        TopologyError: when the file does not hold GraphML, or its vertices carry none of the three.
    """
    graph = _parsed(path, "GraphML cannot be read")
    if "layer" not in graph.vs.attributes():
        if not {"type", "bipartite"} & set(graph.vs.attributes()):
            raise TopologyError(
                "its vertices carry neither 'type' (false for a source, true for a target) nor 'bipartite' (0 or 1) nor "
                "'layer' (0, 1, ...); one of them must say where each belongs"
            )
        return None
    for sequence in (graph.vs, graph.es):
        if "layer" in sequence.attributes():
            sequence["layer"] = [int(n) if isinstance(n, float) and n.is_integer() else n for n in sequence["layer"]]
    return graph


def read_graph(path: AnyPath) -> igraph.Graph:
    """Read any graph from a GraphML file.

    Raises:
        ConfigError: when `path` is not a file.
        TopologyError: when the file does not hold GraphML.
    """
    if not Path(path).is_file():
        raise ConfigError(f"path {str(path)!r} is not a file")
    return _parsed(path, f"file {str(path)!r} cannot be read as GraphML")


def _parsed(path: AnyPath, failure: str) -> igraph.Graph:
    """Read GraphML without igraph's warnings of undeclared attributes, about which a user can do nothing."""
    import igraph

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return igraph.Graph.Read_GraphML(str(path))
    except (igraph.InternalError, MemoryError) as error:  # the latter also for names that Python cannot decode
        raise TopologyError(f"{failure}: {_without_place(error)}") from error
    except UnicodeDecodeError as error:
        raise TopologyError(f"{failure}: it is not text in UTF-8") from error


def _without_place(error: Exception) -> str:
    """Return igraph's message without the line of its own source, and the kind of error at its end."""
    return re.sub(r"^Error at \S+: |\s*-- [\w ]+$", "", str(error))


class _Format(NamedTuple):
    write: Callable[[BipartiteTopology, Values, Path], None]
    read: Callable[[Path], WeightedTopology]


_FORMATS = {
    ".safetensors": _Format(write=_write_safetensors, read=_read_safetensors),
    ".npz": _Format(write=_write_npz, read=_read_npz),
    ".graphml": _Format(write=_write_graphml, read=_read_graphml),
    ".csv": _Format(write=_write_csv, read=_read_csv),
}
