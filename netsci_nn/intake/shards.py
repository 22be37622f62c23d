"""Weights that are spread over several files (shards) and an index that says which tensor is where; folders of such files."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from netsci_nn.errors import CheckpointError

ENDING = ".index.json"
SHARDS = (".safetensors", ".bin", ".pt", ".pth")
WHOLE_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names that `save_pretrained` of Hugging Face gives, with `ENDING` if there are shards; the first that is there is read."""

ReadFile = Callable[[Path], tuple[dict[str, torch.Tensor], list[str]]]


def is_index(path: Path) -> bool:
    """Whether a file is, by its name, an index of shards."""
    return path.name.lower().endswith(ENDING)


def weights_in(folder: Path) -> Path | None:
    """Return the file in a folder, as `save_pretrained` writes one, that holds the weights or is their index; None without one.

    Raises:
        CheckpointError: when there is a file beside an index, which may be of another model.
    """
    for name in WHOLE_FILES:
        found = [folder / candidate for candidate in (name, name + ENDING) if (folder / candidate).is_file()]
        if len(found) > 1:
            raise CheckpointError(f"folder {str(folder)!r} holds both {name} and {name + ENDING}; name the one to read")
        if found:
            return found[0]
    return None


def read_shards(index: Path, read: ReadFile) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Read the tensors of all shards of an index: a JSON file whose `weight_map` says in which file every tensor is.

    Shards lie beside their index: a name that leads elsewhere is refused, be it by its text or by a link; only the links
    within the cache of Hugging Face, whose files lie in a folder `blobs`, are followed.

    Args:
        index: the path of the index.
        read: reads a single file as tensors by name, and sentences that say how.

    Returns:
        The tensors by name, in the order of the numbers in their names, and the sentences of all shards.

    Raises:
        CheckpointError: when the index is damaged, a shard is missing or elsewhere, or a shard holds other tensors than the
            index says.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from safetensors.torch import load_file, save_file
        >>> with TemporaryDirectory() as folder:
        ...     save_file({"a": torch.ones(2)}, f"{folder}/1.safetensors")
        ...     save_file({"b": torch.zeros(3)}, f"{folder}/2.safetensors")
        ...     index = Path(folder) / "model.safetensors.index.json"
        ...     _ = index.write_text('{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}')
        ...     tensors, notes = read_shards(index, lambda path: (load_file(path), []))
        >>> tensors
        {'a': tensor([1., 1.]), 'b': tensor([0., 0., 0.])}
    """
    places = _weight_map(index)
    shards = {shard: _beside(index, shard) for shard in sorted(set(places.values()), key=natural)}
    tensors: dict[str, torch.Tensor] = {}
    notes: list[str] = []
    for shard, path in shards.items():
        held, said = read(path)
        listed = {name for name, place in places.items() if place == shard}
        for name in sorted(listed ^ held.keys()):
            where = f"is not in {shard}, where" if name in listed else f"is in {shard}, and not there"
            raise _refused(index, f"tensor {name!r} {where} by the index")
        tensors |= held
        notes += said
    return {name: tensors[name] for name in sorted(tensors, key=natural)}, notes


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Return what sorts names by the numbers in them: layer 10 after layer 9."""
    parts = re.split(r"(\d+)", name, flags=re.ASCII)
    numbers = [part.lstrip("0") if part.isdecimal() else None for part in parts]  # the longer, the larger
    return [(number is not None, len(number or ""), number or part) for number, part in zip(numbers, parts, strict=True)]


def _refused(index: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"file {str(index)!r} cannot be read as an index of shards: {reason}")


def _weight_map(index: Path) -> dict[str, str]:
    """Return the name of the shard of every tensor."""
    try:
        content = json.loads(index.read_bytes(), object_pairs_hook=_without_repeats)
    except (ValueError, OSError, RecursionError) as error:
        raise _refused(index, str(error)) from error
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise _refused(index, "it has no weight_map, a table of the file of every tensor")
    odd = next((name for name, shard in places.items() if not isinstance(shard, str)), None)
    if odd is not None:
        raise _refused(index, f"weight_map has a {type(places[odd]).__name__} for {odd!r}; it must have the name of a file")
    return places


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name, value in pairs:
        if name in entries:
            raise ValueError(f"{name!r} occurs twice")
        entries[name] = value
    return entries


def _beside(index: Path, shard: str) -> Path:
    """Return the path of a shard after checking that it is a file beside the index."""
    if not shard or re.search(r"[/\\:\x00-\x1f]", shard) or shard in (".", ".."):
        raise _refused(index, f"weight_map has the file {shard!r}; it must be the plain name of a file in the same folder")
    if not shard.lower().endswith(SHARDS):
        raise _refused(index, f"weight_map has the file {shard!r}; it must end in {', '.join(SHARDS)}")
    path = index.parent / shard
    if not os.path.isfile(path):  # False for names that are too long, of which Path raises an error
        raise _refused(index, f"shard {shard} is missing" if not os.path.exists(path) else f"shard {shard} is not a file")
    folder = index.parent.resolve()
    if path.resolve().parent not in (folder, folder.parent.parent / "blobs"):
        raise _refused(index, f"shard {shard} is a link to another folder")
    return path
