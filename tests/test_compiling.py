"""Compiled code is kept on disk where that is possible; whatever is wrong there stops nothing and is said once."""

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import analysis.base.compiling
import netsci_nn.compiling

ROOT = Path(netsci_nn.__file__).resolve().parents[1]
DROP_FROM_BOUNDING_SET, WRITE_ANYWHERE = 24, 1  # PR_CAPBSET_DROP and CAP_DAC_OVERRIDE of Linux

# Runs compiled code of both packages.
PROGRAM = """
import numpy as np
from netsci_nn.topology import BipartiteTopology
from netsci_nn.topology.edge_order import is_sorted
from analysis.measures.reachability import _spread
topology = BipartiteTopology.from_ends([0, 2, 1], [1, 0, 0], n_in=3, n_out=2)
assert topology.to_edges().tolist() == [[1, 0], [2, 0], [0, 1]]
bits = np.array([[1], [2], [4], [0], [0]], np.uint64)
_spread(topology.src.astype(np.int64), topology.dst + np.int64(3), bits)
assert bits[3:].tolist() == [[6], [1]]
print(*(sum(function.stats.cache_hits.values()) for function in (is_sorted, _spread)), is_sorted.stats.cache_path)
"""
WARNING = "RuntimeWarning: "


class Run(NamedTuple):
    hits: list[int]  # loaded from the disk, of the two packages
    folder: str
    warnings: list[str]


def run(code: Path, home: Path, prepare: Callable[[], None] | None = None, **variables: str) -> Run:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "NETSCI", "XDG", "PYTHON"))}
    environment = {**kept, "HOME": str(home), "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd="/", env=environment, preexec_fn=prepare, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    *hits, folder = done.stdout.split()
    return Run([int(number) for number in hits], folder, [line for line in done.stderr.splitlines() if WARNING in line])


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def code(place: Path) -> Path:
    """A copy of the code without anything compiled."""
    for package in ("netsci_nn", "analysis"):
        shutil.copytree(ROOT / package, place / "code" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return place / "code"


@pytest.fixture
def home(place: Path) -> Path:
    (place / "home").mkdir()
    return place / "home"


@pytest.fixture
def read_only(code: Path, home: Path) -> Iterator[Callable[[], None]]:
    """Take away the right to write code and home; gives what a process of root does so that this holds for it too."""
    folders = [path for top in (code, home) for path in (top, *top.rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def give_up() -> None:
        if os.getuid() == 0 and prctl(DROP_FROM_BOUNDING_SET, WRITE_ANYWHERE, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")

    yield give_up
    for folder in folders:
        folder.chmod(0o755)


def test_both_packages_have_the_same_file() -> None:
    first, second = (Path(module.__file__ or "").read_text() for module in (netsci_nn.compiling, analysis.base.compiling))
    assert first == second


@pytest.mark.programs
def test_a_second_process_loads_what_the_first_has_compiled(code: Path, home: Path) -> None:
    assert run(code, home) == ([0, 0], f"{code}/netsci_nn/topology/__pycache__", [])
    assert run(code, home) == ([1, 1], f"{code}/netsci_nn/topology/__pycache__", [])


@pytest.mark.programs
def test_read_only_code_and_home(place: Path, code: Path, home: Path, read_only: Callable[[], None]) -> None:
    temporary = place / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    first = run(code, home, read_only, TMPDIR=str(temporary))
    assert first.hits == [0, 0]
    assert first.folder.startswith(f"{temporary}/netsci_nn-compiled-{os.getuid()}/")
    (warning,) = first.warnings
    assert (
        "neither the folder of the program nor a cache folder of the user can be written, so compiled code is kept" in warning
    )
    assert "NUMBA_CACHE_DIR can name a folder for it" in warning
    second = run(code, home, read_only, TMPDIR=str(temporary))
    assert (second.hits, second.folder, len(second.warnings)) == ([1, 1], first.folder, 1)
    (temporary / "own").mkdir()
    (temporary / "own").chmod(0o777)
    third = run(code, home, read_only, TMPDIR=str(temporary), NUMBA_CACHE_DIR=str(temporary / "own"))
    assert third.folder.startswith(f"{temporary}/own/")
    assert third.warnings == []


@pytest.mark.programs
def test_a_temporary_folder_that_others_can_write_is_not_trusted(
    place: Path, code: Path, home: Path, read_only: Callable[[], None]
) -> None:
    folder = place / "tmp" / f"netsci_nn-compiled-{os.getuid()}"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    found = run(code, home, read_only, TMPDIR=str(place / "tmp"))
    assert (found.hits, found.folder) == ([0, 0], "None")
    (warning,) = found.warnings
    assert "so compiled code is compiled anew by every process" in warning
    assert list(folder.iterdir()) == []


@pytest.mark.programs
def test_a_full_disk(place: Path, code: Path, home: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    for _ in range(2):
        found = run(code, home, limit, NUMBA_CACHE_DIR=str(place / "cache"))
        assert found.hits == [0, 0]
        (warning,) = found.warnings
        assert "compiled code cannot be kept on disk (File too large), so other processes compile it anew" in warning
    assert [path for path in (place / "cache").rglob("*") if path.is_file()] == []


def flip(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "flipped": flip,
    "other": lambda content: b"not a cache\n" * 50,
}


@pytest.mark.programs
def test_damaged_files_are_compiled_anew(place: Path, code: Path, home: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(place / "cache")}
    run(code, home, **cache)
    files = {ending: sorted((place / "cache").rglob(f"*.{ending}")) for ending in ("nbi", "nbc")}
    assert all(len(paths) >= 3 for paths in files.values())
    for name, ending in (("empty", "nbi"), ("cut", "nbc"), ("flipped", "nbi"), ("flipped", "nbc"), ("other", "nbi")):
        for path in files[ending]:
            path.write_bytes(DAMAGES[name](path.read_bytes()))
        assert run(code, home, **cache)._replace(folder="") == ([0, 0], "", []), (name, ending)
    assert run(code, home, **cache)._replace(folder="") == ([1, 1], "", [])


@pytest.mark.programs
def test_files_that_cannot_be_read_or_replaced(place: Path, code: Path, home: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(place / "cache")}
    run(code, home, **cache)
    for path in (place / "cache").rglob("*.nbi"):
        path.unlink()
        path.mkdir()
    found = run(code, home, **cache)
    assert found.hits == [0, 0]
    (warning,) = found.warnings
    assert "compiled code cannot be kept on disk (Is a directory)" in warning


@pytest.mark.programs
def test_bounds_are_checked_if_that_is_asked_for(place: Path, code: Path, home: Path) -> None:
    """Compiled code of ours and of the cache heeds NUMBA_BOUNDSCHECK; `make test-debug` rests on it."""
    program = """
import numpy as np
from analysis.measures.reachability import _spread
ends, seen = np.array([7]), np.zeros((1, 1), np.uint64)
try:
    _spread(ends, ends, seen)
except IndexError as error:
    print(error)
"""
    variables = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(place / "cache"), "HOME": str(home), "PYTHONPATH": str(code)}
    for _ in range(2):  # compiled, and loaded
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **variables}, check=True
        )
        assert done.stdout == "index is out of bounds\n", done.stderr
