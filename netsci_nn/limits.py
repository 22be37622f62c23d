"""How much memory a file may ask for: its length allows some, and beyond that the user decides."""

import os
from pathlib import Path

from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.files import AnyPath

VARIABLE = "NETSCI_NN_MAX_BYTES"
DEFAULT = 2**30
PER_BYTE = 32
"""Bytes in memory that every byte of a file allows; a topology of ours that is compressed well takes about 10."""
PER_NEURON = 32
"""Bytes that a neuron takes as soon as anything is done with a graph, such as its degree and a pointer to its edges."""


def check_memory(path: AnyPath, needed: int, what: str) -> None:
    """Raise an error if a file stands for more memory than `PER_BYTE` times its length and the limit of the user.

    Args:
        path: of the file.
        needed: bytes of memory that its content stands for.
        what: needs them.

    Raises:
        CheckpointError: when it is too much.
        ConfigError: when the environment variable `NETSCI_NN_MAX_BYTES`, which sets the limit, is not a whole number >= 1.
    """
    text = os.environ.get(VARIABLE, str(DEFAULT))
    if not (text.isdecimal() and len(text) < 20 and int(text) >= 1):
        raise ConfigError(f"{VARIABLE} is {text!r}; it must be a whole number of bytes >= 1")
    n_bytes = Path(path).stat().st_size
    allowed = max(int(text), PER_BYTE * n_bytes)
    if needed > allowed:
        raise CheckpointError(
            f"file {str(path)!r} has {n_bytes:,} bytes and stands for {needed:,} bytes in memory ({what}); at most {allowed:,} "
            f"are allowed; set {VARIABLE}={needed} in the environment if it can be trusted"
        )


def check_neurons(path: AnyPath, n_neurons: int) -> None:
    """Raise an error as `check_memory` if a file states more neurons than it may."""
    check_memory(path, PER_NEURON * n_neurons, f"{n_neurons:,} neurons")
