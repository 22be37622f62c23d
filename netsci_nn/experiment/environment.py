"""The versions, threads and commit that a run was made with."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("netsci-nn", "torch", "numpy", "scipy", "igraph", "networkx", "numba", "powerlaw")


def describe_environment(seed: int | None = None, threads: int | None = None) -> dict[str, Any]:
    """Return the versions of Python and of `PACKAGES`, the platform, threads, `seed` and the commit, ready for JSON.

    Threads are by default those that torch has now.

    The commit is None unless the program runs from a git checkout.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "threads": torch.get_num_threads() if threads is None else threads,
        "seed": seed,
        "commit": _commit(),
    }


@contextmanager
def on_threads(number: int) -> Iterator[None]:
    """Let torch compute on `number` threads within the block: sums of large tensors depend on it in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
