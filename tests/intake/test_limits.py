"""Small files that stand for much memory, deep nesting and endless numbers: refused before anything is allocated."""

import io
import json
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from netsci_nn import BipartiteTopology, ConfigError
from netsci_nn.digest import METADATA, seal_safetensors
from netsci_nn.errors import CheckpointError, TopologyError
from netsci_nn.experiment import load_experiment
from netsci_nn.generators import erdos_renyi
from netsci_nn.intake import take_in
from netsci_nn.topology import load_network, load_topology, save_network
from netsci_nn.training import Checkpoint, load_checkpoint, read_edges, train


def bomb(path: Path, **headers: bytes) -> None:
    """An archive of our arrays, where src and dst are zeros that take no room."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in (("shape", np.array([5, 4])), ("src", np.zeros(2, np.int32)), ("dst", np.zeros(2, np.int32))):
            text = io.BytesIO()
            np.save(text, array)
            archive.writestr(f"{name}.npy", headers.get(name, text.getvalue()))


def header(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    text = io.BytesIO()
    np.lib.format.write_array_header_1_0(text, {"descr": "<i4", "fortran_order": False, "shape": shape})
    return text.getvalue() + content


def refused(path: Path, message: str, read: Callable[[Path], object] = take_in) -> None:
    """Read the file where there is no room for what it stands for."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, before[1]))
    try:
        with pytest.raises(CheckpointError, match=message):
            read(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("read", [take_in, load_topology])
def test_archives(tmp_path: Path, read: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.npz"
    bomb(path, src=header((2 * 10**7,), bytes(8 * 10**7)), dst=header((2 * 10**7,), bytes(8 * 10**7)))
    monkeypatch.setenv("NETSCI_NN_MAX_BYTES", "100000000")
    refused(
        path,
        r"stands for 160,\d+,\d+ bytes in memory \(its arrays\); at most 100,000,000 are allowed; set NETSCI_NN_MAX",
        read,
    )
    bomb(path, src=header((10**12,), bytes(8)))
    refused(path, r"'src.npy' holds 8 bytes of numbers, and its header states 4,000,000,000,000", read)
    bomb(path, src=b"\x93NUMPY\x01\x00\x40\x00" + b"{'descr': '<i4', 'fortran_order': False, 'shape': (((((".ljust(64))
    refused(path, "the header of 'src.npy' cannot be read", read)
    bomb(path, src=b"\x93NUMPY\x09\x00\x40\x00")
    refused(path, "the header of 'src.npy' cannot be read", read)


def test_scipy_archives(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    matrix = scipy.sparse.coo_array(([1.0], ([3], [4])), shape=(10**9, 10**9))
    scipy.sparse.save_npz(path, matrix)
    refused(path, r"stands for 64,000,000,000 bytes in memory \(2,000,000,000 neurons\)")
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **{**arrays, "format": np.array(b"nonsense")})
    refused(path, "does not hold a topology: ")


def test_tables_of_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("# n_in=200000000 n_out=1\n0,0\n")
    for read in (take_in, load_topology):
        refused(path, r"has 29 bytes and stands for 6,400,000,032 bytes in memory \(200,000,001 neurons\)", read)
    path.write_text(f"# n_in={'9' * 5000} n_out=1\n0,0\n")
    refused(path, "its first line is ")
    path.write_text("# n_in=200000000 n_out=1\n0,0\n")
    monkeypatch.setenv("NETSCI_NN_MAX_BYTES", "6400000032")
    assert load_topology(path).n_in == 200_000_000
    monkeypatch.setenv("NETSCI_NN_MAX_BYTES", "much")
    with pytest.raises(ConfigError, match=r"NETSCI_NN_MAX_BYTES is 'much'; it must be a whole number of bytes >= 1"):
        load_topology(path)


def test_networks_and_state_dicts(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    save_network([BipartiteTopology(5, 200_000_000, [0], [3])], path)
    refused(path, "200,000,005 neurons", load_network)
    state = {"src": torch.tensor([0]), "dst": torch.tensor([1]), "weight": torch.ones(1), "sizes": torch.tensor([5, 10**9])}
    torch.save(state, tmp_path / "s.pt")
    refused(tmp_path / "s.pt", "1,000,000,005 neurons")


def test_compressed_state_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"fc.weight": torch.zeros(40, 10**5)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
        for number in range(9):
            packed.writestr(f"plain/data/x{number}", bytes(16 * 10**6))
    (tmp_path / "plain.pt").unlink()
    monkeypatch.setenv("NETSCI_NN_MAX_BYTES", "100000000")
    refused(tmp_path / "b.pt", r"stands for 160,\d+,\d+ bytes in memory \(its tensors\)")


def test_a_large_file_is_allowed_in_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETSCI_NN_MAX_BYTES", "1")
    topology = erdos_renyi(3000, 2000, n_edges=60_000, rng=0)
    for ending in ("npz", "csv", "safetensors", "graphml"):
        topology.save(tmp_path / f"t.{ending}")
        assert load_topology(tmp_path / f"t.{ending}") == topology
        take_in(tmp_path / f"t.{ending}")


def test_deep_nesting_and_long_numbers(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    for text in ("a = " + "[" * 10**5, "a = " + "9" * 5000, "a = " + "{b=" * 10**5):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"experiment file '.*e\.toml' cannot be read: "):
            load_experiment(path)
    for depth in range(100, 1000, 50):
        path.write_text("epochs = " + "{a=" * depth + "1" + "}" * depth)
        with pytest.raises(ConfigError, match=r"e\.toml"):
            load_experiment(path)
    path.write_text('name = "a"\ndataset = "digits"\nmodel.layer_sizes = [64, 10]\n[[method]]\nname = "ER"')
    for value in ("[" * 10**5, "9" * 5000):
        with pytest.raises(
            ConfigError, match=r"override of 'training\.epochs' has a number of too many digits or too deep nesting"
        ):
            load_experiment(path, [f"training.epochs={value}"])


def test_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    for progress in ("[" * 10**5, '{"epoch": ' + "9" * 5000 + "}"):
        save_file({"torch_rng": torch.get_rng_state()}, path, {"format": "netsci_nn checkpoint 1", "progress": progress})
        with safe_open(path, "pt") as file:
            assert file.metadata()["progress"] == progress
        with pytest.raises(CheckpointError, match=r"file '.*' is damaged: its progress cannot be read"):
            read_edges(path)


@pytest.mark.parametrize("setting", ["weight_decay", "lr", "momentum"])
def test_checkpoint_without_a_setting(tmp_path: Path, setting: str) -> None:
    path, model = tmp_path / "c.safetensors", torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.rand(20, 4), torch.arange(20) % 2
    train(model, optimizer, x, y, epochs=1, batch_size=5, rng=np.random.default_rng(0), callbacks=[Checkpoint(path)])
    with safe_open(path, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    progress = json.loads(metadata["progress"])
    del progress["param_groups"][0][setting]
    save_file(tensors, path, {**metadata, **METADATA, "progress": json.dumps(progress)})
    seal_safetensors(path)
    before = model.weight.detach().clone(), optimizer.state_dict()["param_groups"]
    with torch.no_grad():
        model.weight += 1
    with pytest.raises(CheckpointError, match=f"does not fit or is damaged: the optimiser's state has no '{setting}'"):
        load_checkpoint(path, model, optimizer, np.random.default_rng(0))
    assert torch.equal(model.weight, before[0] + 1)
    assert optimizer.state_dict()["param_groups"] == before[1]


def test_shards(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"w" + "9" * 5000: "z.safetensors", "w8": "b" * 5000 + ".safetensors"}}))
    with pytest.raises(CheckpointError, match=r"shard b+ \.\.\. b+\.safetensors is missing"):
        take_in(path)


def test_messages_are_one_line_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "g.graphml"
    BipartiteTopology(2, 1, [0, 1], [0, 0]).save(path)
    undeclared = path.read_bytes().replace(b'key="v_type"', b'key="' + b"\xef\xbb\xbf" * 20_000 + b'"', 1)
    for content in (undeclared, b"<graphml>\xff\xff</graphml>", b"\xff" * 50, b"<graphml>\n" + b"<a>" * 9000):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="does not hold a topology: GraphML cannot be read: ") as raised:
            take_in(path)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 1500
    assert str(TopologyError("a\n  b\r\nc")) == "a b c"


@pytest.mark.programs
def test_the_command_line_says_it_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("# n_in=200000000 n_out=1\n0,0\n")
    command = [sys.executable, "-m", "netsci_nn", "analyze", tmp_path / "t.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "set NETSCI_NN_MAX_BYTES=6400000032 in the environment if it can be trusted" in done.stderr
