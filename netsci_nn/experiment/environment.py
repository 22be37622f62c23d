"""The versions, threads and commit that a run was made with."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("netsci-nn", "torch", "numpy", "scipy", "igraph", "networkx", "numba", "powerlaw")


def describe_environment(seed: int | None = None) -> dict[str, Any]:
    """Return the versions of Python and of `PACKAGES`, the platform, torch's threads, `seed` and the commit, ready for JSON.

    The commit is None unless the program runs from a git checkout.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "seed": seed,
        "commit": _commit(),
    }


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
