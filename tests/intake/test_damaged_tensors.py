"""Sparse tensors that break the rules of their layout, and files with flipped bits: refused in a sentence, never followed."""

import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from netsci_nn import SparseMLP

LAYOUTS = {
    "coo": torch.sparse_coo,
    "csr": torch.sparse_csr,
    "csc": torch.sparse_csc,
    "bsr": torch.sparse_bsr,
    "bsc": torch.sparse_bsc,
}

# What follows an index anywhere kills the process, so the files are read in one of its own.
READER = """
import sys
import warnings
from pathlib import Path
from netsci_nn.intake import take_in
from netsci_nn.errors import CheckpointError, ConfigError
from analysis import AnalysisError, as_layered
warnings.simplefilter("error")
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        for network in take_in(path).networks:
            as_layered(network.graph).degrees
        print(path.name, "taken in", flush=True)
    except (AnalysisError, CheckpointError, ConfigError) as error:
        print(path.name, str(error), flush=True)
"""


def verdicts(folder: Path) -> dict[str, str]:
    """What is said of every file; a reader that crashes or fails otherwise fails the test."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, "-c", READER, str(folder)], capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, ""), f"after {lines[-1:]}"
    assert len(lines) == len(list(folder.iterdir()))
    return {name: verdict for name, _, verdict in lines}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says of some of its layouts that they are new
        yield


def coo(indices: list[list[int]], size: tuple[int, ...] = (4, 6), **options: Any) -> torch.Tensor:
    values = torch.ones(len(indices[0]))
    return torch.sparse_coo_tensor(torch.tensor(indices), values, size, check_invariants=False, **options)


def compressed(layout: str, pointers: list[int], indices: list[int], dtype: torch.dtype = torch.int64) -> torch.Tensor:
    """A 4 x 6 matrix, which in blocks of 2 x 3 has 2 x 2 of them."""
    values = torch.ones(len(indices), 2, 3) if layout.startswith("bs") else torch.ones(len(indices))
    ends = torch.tensor(pointers, dtype=dtype), torch.tensor(indices, dtype=dtype)
    return torch.sparse_compressed_tensor(*ends, values, (4, 6), layout=LAYOUTS[layout], check_invariants=False)


FAR = 10**7


def broken() -> dict[str, torch.Tensor]:
    return {
        "coo-far": coo([[0, FAR], [0, 1]]),
        "coo-negative": coo([[0, -FAR], [0, 1]]),
        "coo-twice": coo([[1, 1], [2, 2]], is_coalesced=True),
        "coo-kernel": coo([[0, 1], [0, FAR], [0, 0], [0, 0]], (4, 3, 2, 2)),
        "coo-hybrid": torch.sparse_coo_tensor(torch.tensor([[0, FAR]]), torch.ones(2, 6), (4, 6), check_invariants=False),
        "csr-pointers": compressed("csr", [0, 1, FAR, 2, 2], [0, 1]),
        "csr-falling": compressed("csr", [0, 2, 1, 2, 2], [0, 1]),
        "csr-late": compressed("csr", [1, 1, 1, 2, 2], [0, 1]),
        "csr-long": compressed("csr", [0, 1, 1, 1, FAR], [0, 1]),
        "csr-negative-pointer": compressed("csr", [0, -FAR, 1, 1, 2], [0, 1]),
        "csr-far": compressed("csr", [0, 1, 2, 2, 2], [0, FAR]),
        "csr-negative": compressed("csr", [0, 1, 2, 2, 2], [0, -FAR]),
        "csr-unsorted": compressed("csr", [0, 2, 2, 2, 2], [3, 1]),
        "csr-twice": compressed("csr", [0, 2, 2, 2, 2], [3, 3]),
        "csr-int32": compressed("csr", [0, 1, FAR, 2, 2], [0, 1], torch.int32),
        "csc-pointers": compressed("csc", [0, 1, FAR, 2, 2, 2, 2], [0, 1]),
        "csc-far": compressed("csc", [0, 1, 2, 2, 2, 2, 2], [0, FAR]),
        "bsr-pointers": compressed("bsr", [0, FAR, 2], [0, 1]),
        "bsr-far": compressed("bsr", [0, 1, 2], [0, FAR]),
        "bsc-pointers": compressed("bsc", [0, FAR, 2], [0, 1]),
        "bsc-negative": compressed("bsc", [0, 1, 2], [0, -FAR]),
    }


def test_broken_sparse_tensors_are_refused(tmp_path: Path) -> None:
    tensors = broken()
    for name, tensor in tensors.items():
        torch.save({"fc.weight": tensor}, tmp_path / f"{name}.pt")
    found = verdicts(tmp_path)
    for name, verdict in found.items():
        kind = name.partition("-")[0].upper()
        assert f"tensor 'fc.weight' {list(tensors[name.removesuffix('.pt')].shape)} is no valid {kind} tensor: " in verdict, (
            name
        )


def strange() -> dict[str, tuple[dict[str, torch.Tensor], str]]:
    return {
        "expanded": ({"fc.weight": torch.zeros(1).expand(10**6, 10**6)}, "has a shape of 1,000,000,000,000 numbers"),
        "hybrid": ({"fc.weight": torch.eye(4, 6).to_sparse(1)}, "taken in"),
        "huge-hybrid": (
            {"fc.weight": torch.sparse_coo_tensor(torch.tensor([[0, 7]]), torch.eye(2), (10**12, 2))},
            "has a shape of 2,000,000,000,000 numbers",
        ),
        "huge-kernel": (
            {"c.weight": coo([[0], [1], [0], [0]], (10**6, 10**6, 3, 3))},
            "has a shape of 9,000,000,000,000 numbers",
        ),
        "sparse-values": (
            {"values": torch.ones(2).to_sparse(), "src": torch.zeros(2).int(), "dst": torch.ones(2).int(), "w": torch.eye(3)},
            "taken in",
        ),
        "pruned": (
            {"w_orig": torch.eye(4).to_sparse_bsr((2, 2)), "w_mask": torch.eye(4).to_sparse_bsr((2, 2))},
            "tensor 'w_orig' cannot be read",
        ),
        "normalised": (
            {"w.weight_g": torch.ones(4, 1), "w.weight_v": torch.eye(4).to_sparse_csr()},
            "tensor 'w.weight_v' cannot be read",
        ),
        "far-source": (
            {"values": torch.ones(2), "src": torch.tensor([0, 2**30]), "dst": torch.tensor([0, 1])},
            "sparse layer 'the layer': it has an edge with the end 1073741824; without sizes in the file it must be below",
        ),
        "far-target": (
            {"values": torch.ones(2), "src": torch.tensor([0, 1]), "dst": torch.tensor([0, 9]), "bias": torch.zeros(5)},
            "sparse layer 'the layer': bias is [5]; with 10 targets it must be [10]",
        ),
    }


def test_strange_tensors_are_read_or_refused(tmp_path: Path) -> None:
    states = strange()
    for name, (state, _) in states.items():
        torch.save(state, tmp_path / f"{name}.pt")
    found = verdicts(tmp_path)
    for name, (_, expected) in states.items():
        assert expected in found[f"{name}.pt"], name


def test_flipped_bits(tmp_path: Path) -> None:
    """Every file is read, or refused by name; torch reads the numbers of a file whose checksum is wrong as if it were right."""
    draw = random.Random(0)
    matrix = torch.eye(8, 12).roll(3, 1) + torch.eye(8, 12)
    tensors = {
        name: matrix.to_sparse(layout=layout, blocksize=(2, 3) if name.startswith("bs") else None)
        for name, layout in LAYOUTS.items()
    }
    states: dict[str, dict[str, torch.Tensor]] = {name: {"fc.weight": tensor} for name, tensor in tensors.items()}
    states["kernel"] = {"conv.weight": matrix.reshape(4, 6, 2, 2).to_sparse()}
    states["mlp"] = SparseMLP([8, 12, 4], density=0.4, rng=0).state_dict()
    for name, state in states.items():
        torch.save(state, tmp_path / f"{name}.pt")
        whole = (tmp_path / f"{name}.pt").read_bytes()
        for number in range(48):
            damaged = bytearray(whole)
            bit = draw.randrange(8 * len(damaged))
            damaged[bit // 8] ^= 1 << bit % 8
            (tmp_path / f"{name}-{number}.pt").write_bytes(damaged)
    found = verdicts(tmp_path)
    assert all(found[f"{name}.pt"] == "taken in" for name in states)
    refused = [verdict for verdict in found.values() if verdict != "taken in"]
    assert len(refused) > 50
    assert all(verdict.startswith("file ") for verdict in refused)
