"""A wiring on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from netsci_nn.digest import METADATA, check_safetensors, seal_safetensors
from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.files import AnyPath, atomic_write
from netsci_nn.topology.formats import DAMAGE, arrays_of, topology_in
from netsci_nn.topology.wiring import WiredLayer, Wiring


def save_wiring(wiring: Wiring, recorded: Sequence[str], path: AnyPath) -> None:
    """Write a wiring to a safetensors file, atomically, without weights.

    Args:
        wiring: what to write.
        recorded: names of the layers whose edges are recorded elsewhere, in the order in which they are.
        path: of the file.
    """
    names = [layer.name for layer in wiring.layers]
    arrays = {"groups": wiring.groups, "links": wiring.links, "recorded": np.array([names.index(name) for name in recorded])}
    for number, layer in enumerate(wiring.layers):
        parts = {"sources": layer.sources, "targets": layer.targets, "kernel": np.array(layer.kernel, np.int64)}
        parts |= {"name": np.frombuffer(layer.name.encode(), np.uint8), **arrays_of(layer.topology)}
        arrays |= {f"wired.{number}.{part}": array for part, array in parts.items()}
    with atomic_write(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, metadata=METADATA)
        seal_safetensors(temporary)


def load_wiring(path: AnyPath) -> tuple[Wiring, list[int]]:
    """Read what `save_wiring` wrote: the wiring, and which of its layers are recorded elsewhere, in that order.

    Raises:
        CheckpointError: when the file is missing, damaged or holds something else.
    """
    try:
        check_safetensors(Path(path))
        arrays = load_file(path)
        layers = []
        for number in range(sum(name.endswith(".sources") for name in arrays)):
            prefix = f"wired.{number}."
            kernel, name = arrays[f"{prefix}kernel"].tolist(), arrays[f"{prefix}name"].tobytes().decode()
            ends = arrays[f"{prefix}sources"], arrays[f"{prefix}targets"]
            layers.append(WiredLayer(name, tuple(kernel), topology_in(arrays, prefix), None, *ends))
        return Wiring(tuple(layers), arrays["groups"], arrays["links"]), arrays["recorded"].tolist()
    except (CheckpointError, ConfigError):
        raise
    except DAMAGE as error:
        raise CheckpointError(f"file {str(path)!r} does not hold a wiring: {error}") from error
