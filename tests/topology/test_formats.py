"""Topologies on disk: exact round trips, damaged files by name, and writes that are all or nothing."""

import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from safetensors.numpy import save_file
from sparse_cases import CASES, topologies

from netsci_nn import BipartiteTopology, CheckpointError, ConfigError, TopologyError, generators
from netsci_nn.topology import load_network, load_topology, load_weighted, save_network, save_topology

ENDINGS = [".safetensors", ".npz", ".graphml", ".csv"]
EXAMPLE = generators.erdos_renyi(30, 20, density=0.2, rng=0)
formats = pytest.mark.parametrize("ending", ENDINGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("io")


@formats
@settings(max_examples=20)
@given(topology=topologies())
def test_round_trip(ending: str, folder: Path, topology: BipartiteTopology) -> None:
    path = folder / f"topology{ending}"
    topology.save(path)
    loaded = BipartiteTopology.load(path)
    assert loaded == topology
    assert loaded.src.dtype == np.int32
    assert [entry.name for entry in folder.iterdir() if entry.name.startswith(".")] == []


@formats
def test_round_trip_of_a_wide_layer_by_string_path(ending: str, tmp_path: Path) -> None:
    topology = BipartiteTopology(70_000, 3, [0, 69_999], [2, 2])
    path = str(tmp_path / f"wide{ending.upper()}")
    topology.save(path)
    assert BipartiteTopology.load(path) == topology


def test_csv_is_readable_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    BipartiteTopology(3, 2, [1, 0], [0, 1]).save(path)
    assert path.read_text() == "# n_in=3 n_out=2\n1,0\n0,1\n"


@pytest.mark.parametrize("name", ["a.pkl", "a", "a.npz.gz"])
def test_unknown_ending_lists_the_choices_and_writes_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"allowed are: \.safetensors, \.npz, \.graphml, \.csv"):
        EXAMPLE.save(tmp_path / name)
    with pytest.raises(ConfigError, match="allowed are"):
        load_topology(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@formats
def test_missing_file_and_folder(ending: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"path '.*nowhere{ending}' is not a file"):
        load_topology(tmp_path / f"nowhere{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    with pytest.raises(ConfigError, match="is not a file"):
        load_topology(tmp_path / f"folder{ending}")


@formats
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.97])
def test_truncated_file_is_named(ending: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"cut{ending}"
    EXAMPLE.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    if ending == ".csv" and share > 0.02:
        # Edge lists say nothing of their length: a cut within a line is seen, a cut between lines is not.
        path.write_bytes(path.read_bytes().rpartition(b",")[0])
    with pytest.raises(CheckpointError, match=rf"file '.*cut{ending}' does not hold a topology: ."):
        load_topology(path)


@formats
@pytest.mark.parametrize(
    "garbage", [b"", b"\x00" * 64, b"hello", b"PK\x03\x04garbage", b"\xff\xfe" * 40, b"<graphml></graphml>"]
)
def test_garbage_is_named(ending: str, garbage: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"garbage{ending}"
    path.write_bytes(garbage)
    with pytest.raises(CheckpointError, match=rf"file '.*garbage{ending}' does not hold a topology: ."):
        load_topology(path)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
@pytest.mark.parametrize("seed", range(6))
def test_flipped_bytes_give_a_topology_or_a_typed_error(ending: str, seed: int, tmp_path: Path) -> None:
    """Neither format guards every byte by a checksum, but nothing else than a valid value or a CheckpointError may come."""
    path = tmp_path / f"flipped{ending}"
    EXAMPLE.save(path)
    content, rng = path.read_bytes(), np.random.default_rng(seed)
    for _ in range(60):
        altered = bytearray(content)
        altered[rng.integers(len(content))] ^= int(rng.integers(1, 256))
        path.write_bytes(altered)
        try:
            loaded = load_topology(path)
        except CheckpointError:
            continue
        assert BipartiteTopology(loaded.n_in, loaded.n_out, loaded.src, loaded.dst) == loaded


def arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    good = {"shape": np.array([3, 2]), "src": np.array([1, 0], dtype=np.int32), "dst": np.array([0, 1], dtype=np.int32)}
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
@pytest.mark.parametrize(
    "changes",
    [
        {"src": None},
        {"shape": None},
        {"shape": np.array([3, 2, 1])},
        {"shape": np.array(3)},
        {"shape": np.array([3, 0])},
        {"shape": np.array([3.7, 2.0])},
        {"src": np.array([3, 0])},
        {"dst": np.array([1, 0])},
        {"dst": np.array([0, 1, 1])},
        {"src": np.array([1.0, 0.0])},
        {"src": np.array([[1, 0]])},
    ],
    ids=str,
)
def test_arrays_that_are_no_topology(ending: str, changes: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / f"bad{ending}"
    if ending == ".npz":
        np.savez(path, **arrays(**changes))
    else:
        save_file(arrays(**changes), path)
    with pytest.raises(CheckpointError, match=rf"file '.*bad{ending}' does not hold a topology: ."):
        load_topology(path)


def test_a_pickle_in_an_archive_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, **arrays(src=np.array([{}, {}], dtype=object)), allow_pickle=True)
    with pytest.raises(CheckpointError, match="evil"):
        load_topology(path)


@pytest.mark.parametrize(
    "text",
    [
        "1,0\n0,1\n",
        "# n_in=3\n1,0\n",
        "# n_in=x n_out=2\n",
        "# n_in=3 n_out=2\n1;0\n",
        "# n_in=3 n_out=2\n1,0\n1,0\n",
        "# n_in=3 n_out=2\n3,0\n",
        "# n_in=3 n_out=2\n1,0,7,8\n",
        "# n_in=3 n_out=2\n1.5,0\n",
    ],
)
def test_edge_lists_that_are_no_topology(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"file '.*bad\.csv' does not hold a topology: ."):
        load_topology(path)


@formats
def test_failing_save_leaves_the_old_file(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"kept{ending}"
    EXAMPLE.save(path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ConfigError, match=rf"path '.*kept{ending}' cannot be written: disk full"):
        generators.erdos_renyi(5, 5, n_edges=7, rng=0).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "# n_in=x n_out=2\n1,0\n", r"its first line is '# n_in=x n_out=2'; it must be '# n_in=... n_out=...' with"),
        ("a.csv", "# n_in=-3 n_out=2\n1,0\n", r"with two whole numbers"),
        ("a.csv", "# n_in=3 n_out=2\n1,0\n1\n", r"the number of columns changed from 2 to 1 at row 2$"),
        ("a.npz", "text", "it is no archive of arrays, or its end is missing"),
        ("a.graphml", "text", r"GraphML cannot be read: Line 1: Document is empty"),
    ],
)
def test_sentences_are_for_those_who_wrote_the_file(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        load_topology(tmp_path / name)


def test_edge_lists_may_begin_with_a_mark_and_have_no_edge(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeff# n_in=3 n_out=2\n# no edge\n", encoding="utf-8")
    assert load_topology(tmp_path / "a.csv") == BipartiteTopology(3, 2, [], [])
    (tmp_path / "a.txt").write_text("# n_in=3 n_out=2\n1,0\n")
    assert load_weighted(tmp_path / "a.txt", ".csv").topology == BipartiteTopology(3, 2, [1], [0])


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    save_file(arrays(src=None), tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"does not hold a topology: it has no array 'src'$"):
        load_topology(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"does not hold a network: it has no array 'layers\.0\.shape' and no array"):
        load_network(tmp_path / "a.safetensors")


def test_overwriting_replaces_and_uses_the_usual_permissions(tmp_path: Path) -> None:
    path, plain = tmp_path / "t.npz", tmp_path / "plain"
    plain.write_text("")
    EXAMPLE.save(path)
    other = generators.erdos_renyi(5, 5, n_edges=7, rng=0)
    save_topology(other, path)
    assert load_topology(path) == other
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_network_round_trip_with_and_without_values(tmp_path: Path) -> None:
    layers = [generators.erdos_renyi(a, b, density=0.5, rng=a) for a, b in ((4, 6), (6, 3), *[(3, 3)] * 10)]
    values = [np.random.default_rng(i).normal(size=t.n_edges).astype(np.float32) for i, t in enumerate(layers)]
    path = tmp_path / "network.safetensors"
    save_network(layers, path)
    assert [(layer.topology, layer.weights) for layer in load_network(path)] == [(t, None) for t in layers]
    save_network(layers, path, values)
    for loaded, topology, expected in zip(load_network(path), layers, values, strict=True):
        assert loaded.topology == topology
        assert loaded.weights.tobytes() == expected.tobytes()


@pytest.mark.parametrize("content", [None, b"", b"nonsense", struct.pack("<Q", 2**60) + b"{}"], ids=str)
def test_damaged_network_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"file '.*network\.safetensors' does not hold a network: ."):
        load_network(path)


def test_a_topology_is_not_a_network(tmp_path: Path) -> None:
    path = tmp_path / "single.safetensors"
    EXAMPLE.save(path)
    with pytest.raises(CheckpointError, match="does not hold a network"):
        load_network(path)


def test_npz_holds_no_pickles(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    EXAMPLE.save(path)
    assert sorted(zipfile.ZipFile(path).namelist()) == ["dst.npy", "shape.npy", "src.npy"]


@pytest.mark.parametrize("ending", ["safetensors", "npz", "graphml", "csv"])
@pytest.mark.parametrize("case", ["irregular", "no edge", "one edge"])
def test_weights_come_back_as_float32(ending: str, case: str, tmp_path: Path) -> None:
    topology, path = CASES[case], tmp_path / f"t.{ending}"
    weights = np.random.default_rng(0).normal(size=topology.n_edges) * 10.0 ** np.arange(-4, topology.n_edges - 4)
    topology.save(path, weights)
    found = load_weighted(path)
    assert found.topology == topology == BipartiteTopology.load(path)
    if topology.n_edges:
        assert found.weights is not None
        assert found.weights.dtype == np.float32
        np.testing.assert_array_equal(found.weights, weights.astype(np.float32))
    with pytest.raises(TopologyError, match="weights has shape"):
        topology.save(path, np.ones(topology.n_edges + 1))
    assert BipartiteTopology.load(path) == topology
