"""Digests inside of files: no flipped bit passes, and files without a digest are read as before."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from netsci_nn import CheckpointError, generators
from netsci_nn.digest import KEY, METADATA, check_safetensors, check_zip, seal_safetensors
from netsci_nn.topology import load_network, load_topology, save_network, save_topology
from netsci_nn.topology.formats import load_weighted

TOPOLOGY = generators.erdos_renyi(12, 9, n_edges=30, rng=0)
WEIGHTS = np.random.default_rng(0).normal(size=30).astype(np.float32)


def save(name: str, folder: Path) -> tuple[Path, Callable[[Path], object]]:
    path = folder / name
    if name.startswith("network"):
        save_network([TOPOLOGY, TOPOLOGY], path, [WEIGHTS, WEIGHTS])
        return path, load_network
    save_topology(TOPOLOGY, path, WEIGHTS)
    return path, load_topology


@pytest.mark.parametrize("name", ["layer.safetensors", "layer.npz", "network.safetensors"])
def test_no_flipped_bit_passes(name: str, tmp_path: Path) -> None:
    path, load = save(name, tmp_path)
    load(path)
    content = path.read_bytes()
    # A third of all bits, of which every byte has some.
    for bit in range(0, 8 * len(content), 3):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=f"file '.*{name}' does not hold a"):
            load(path)


def test_the_digest_is_of_the_content_not_of_its_place(tmp_path: Path) -> None:
    """Another library may write the same tensors with the same metadata in another order."""
    path, _ = save("network.safetensors", tmp_path)
    arrays = load_file(path)
    raw = path.read_bytes()
    digest = raw[raw.index(b"sha256:") :][:71].decode()
    save_file(dict(reversed(arrays.items())), path, metadata={KEY: digest})
    check_safetensors(path)
    save_file(arrays | {"layers.0.values": -WEIGHTS}, path, metadata={KEY: digest})
    with pytest.raises(ValueError, match="its content has changed since it was written"):
        check_safetensors(path)
    with pytest.raises(ValueError, match="its content has changed since it was written"):
        check_safetensors(Path(save_file({"a": WEIGHTS}, path, metadata=METADATA) or path))  # not sealed
    seal_safetensors(path)
    check_safetensors(path)


def test_same_content_same_file(tmp_path: Path) -> None:
    for name in ("layer.safetensors", "layer.npz", "network.safetensors"):
        first = save(name, tmp_path)[0].read_bytes()
        assert save(name, tmp_path)[0].read_bytes() == first


def test_files_without_a_digest_are_read(tmp_path: Path) -> None:
    arrays = {"shape": np.array([12, 9]), "src": np.array(TOPOLOGY.src), "dst": np.array(TOPOLOGY.dst), "values": WEIGHTS}
    np.savez_compressed(tmp_path / "old.npz", allow_pickle=False, **arrays)
    save_file(arrays, tmp_path / "old.safetensors")
    for name in ("old.npz", "old.safetensors"):
        assert load_weighted(tmp_path / name).topology == TOPOLOGY
    with zipfile.ZipFile(tmp_path / "old.npz", "a") as archive:
        archive.comment = b"measured in May"
    check_zip(tmp_path / "old.npz")
