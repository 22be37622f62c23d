"""Read and check the tensors of a state dict; runs no code from the file."""

import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from netsci_nn.digest import check_safetensors
from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.intake.shards import is_index, natural, read_shards
from netsci_nn.limits import check_memory
from netsci_nn.training import model_tensors

Combination = Callable[[torch.Tensor, torch.Tensor], torch.Tensor | None]

MAX_LEVELS = 2
"""Training scripts keep the state dict so deep within what they save: under `model`, under `model.state_dict`."""
MAX_LISTED = 8
N_PICKLES = 5
"""With so many a file from before torch 1.6 begins, the last but one of which holds the state dict."""
LONGEST_WORD = 10_000
MAX_FILLED_IN = 2**28
"""A tensor whose shape stands for more numbers than are in the file is filled in up to so many."""

COMPRESSED = {
    torch.sparse_csr: ("CSR", torch.Tensor.crow_indices, torch.Tensor.col_indices),
    torch.sparse_bsr: ("BSR", torch.Tensor.crow_indices, torch.Tensor.col_indices),
    torch.sparse_csc: ("CSC", torch.Tensor.ccol_indices, torch.Tensor.row_indices),
    torch.sparse_bsc: ("BSC", torch.Tensor.ccol_indices, torch.Tensor.row_indices),
}
"""Of every compressed layout its name, where the pointers of its lines are, and where the indices within a line."""


def read_state_dict(path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Read the tensors of a safetensors file, of one that torch has saved, or of the shards of an index.

    Of a file that holds others too those of the model are taken, and of several dicts of tensors the one with most numbers.
    Pruned and normalised weights, which torch keeps in two tensors, are put together. Sparse tensors are checked: torch loads
    them unchecked, and follows any index in them.

    Tensors that are damaged are left out, as long as there is a matrix or a kernel beside them.

    Returns:
        The tensors by name, in the order of the layers, and sentences that say how they were found and what was left out.

    Raises:
        CheckpointError: when the file is damaged, or holds anything but tensors and plain values: such a file could run code
            when it is read, and is refused before it does.
    """
    unchecked, notes = _read(path)
    tensors: dict[str, torch.Tensor] = {}
    damaged: list[str] = []
    for name, tensor in unchecked.items():
        try:
            tensors[name] = _sound(name, tensor)
        except CheckpointError as error:
            damaged.append(str(error))
    if damaged and all(tensor.dim() < 2 for tensor in tensors.values()):
        raise CheckpointError(f"file {str(path)!r}: {damaged[0]}")
    notes = [*notes, *(f"a tensor is left out, since it is damaged: {reason}" for reason in damaged)]
    try:
        for pair in PAIRS:
            tensors = _put_together(tensors, *pair)
        _check_not_parametrized(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"file {str(path)!r}: {error}") from error
    return tensors, notes


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Read the tensors as `read_state_dict` does, under the names that they have in the file."""
    tensors, notes = _read(path)
    try:
        return {name: _sound(name, tensor) for name, tensor in tensors.items()}, notes
    except CheckpointError as error:
        raise CheckpointError(f"file {str(path)!r}: {error}") from error


def _read(path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    tensors, notes = read_shards(path, _read_file) if is_index(path) else _read_file(path)
    return model_tensors(tensors) or tensors, notes  # of a checkpoint of this program, the model's alone


@contextmanager
def converting(name: str) -> Iterator[None]:
    """Name the tensor in what torch says of one that it cannot convert: there are kinds that it can do little with."""
    try:
        yield
    except CheckpointError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, MemoryError) as error:
        reason = re.split(r"\.\s|\n", str(error))[0]  # what follows is advice to programmers
        raise CheckpointError(f"tensor {name!r} cannot be read: {reason}") from error


def _sound(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor that may be converted: torch loads sparse ones unchecked, and follows any index when it converts them."""
    if tensor.is_meta:
        raise CheckpointError(f"tensor {name!r} is a meta tensor, a shape without numbers")
    if tensor.is_nested or tensor.layout not in (torch.strided, torch.sparse_coo, *COMPRESSED):
        kind = "nested tensor" if tensor.is_nested else f"tensor of layout {tensor.layout}"
        raise CheckpointError(f"tensor {name!r} is a {kind}; a dense, COO, CSR, CSC, BSR or BSC tensor is needed")
    tensor = tensor.detach()
    if tensor.layout == torch.strided:
        if tensor.numel() > tensor.untyped_storage().nbytes() // tensor.element_size():
            check_filled_in(name, tensor)
        return tensor
    kind = "COO" if tensor.layout == torch.sparse_coo else COMPRESSED[tensor.layout][0]
    try:
        return _sound_coo(tensor) if kind == "COO" else _sound_compressed(tensor)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise CheckpointError(f"tensor {name!r} {list(tensor.shape)} is no valid {kind} tensor: {reason}") from error


def check_filled_in(name: str, tensor: torch.Tensor) -> None:
    """Refuse a tensor that would take any amount of memory, since its shape alone says how much."""
    if tensor.numel() > MAX_FILLED_IN:
        raise CheckpointError(
            f"tensor {described(name, tensor)} has a shape of {tensor.numel():,} numbers but stores fewer; at most "
            f"{MAX_FILLED_IN:,} are expanded"
        )


def _sound_coo(tensor: torch.Tensor) -> torch.Tensor:
    indices, values, is_coalesced = tensor._indices(), tensor._values(), tensor.is_coalesced()
    sound = torch.sparse_coo_tensor(indices, values, tensor.shape, check_invariants=True)
    if is_coalesced and sound.coalesce()._nnz() < sound._nnz():
        raise ValueError("it is marked as coalesced and holds an entry more than once")
    return sound


def _sound_compressed(tensor: torch.Tensor) -> torch.Tensor:
    _, pointers_of, indices_of = COMPRESSED[tensor.layout]
    pointers, indices, values = pointers_of(tensor), indices_of(tensor), tensor.values()
    # First, because torch's own check follows the pointers before it has seen all of them.
    if pointers.shape[-1] < 1 or (pointers[..., 0] != 0).any() or (pointers.diff() < 0).any():
        raise ValueError("its pointers must begin with 0 and never decrease")
    if (pointers[..., -1] != indices.shape[-1]).any():
        raise ValueError(f"its last pointer must be the number of indices, {indices.shape[-1]}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says of these layouts that they are new
        return torch.sparse_compressed_tensor(
            pointers, indices, values, tensor.shape, layout=tensor.layout, check_invariants=True
        )


def listed(items: Iterable[str]) -> str:
    """Return the items in one line, the first few of many."""
    items = list(items)
    more = f" and {len(items) - MAX_LISTED} more" if len(items) > MAX_LISTED else ""
    return ", ".join(items[:MAX_LISTED]) + more


def described(name: str, tensor: torch.Tensor) -> str:
    """Return the name of a tensor with its shape."""
    return f"{name} {list(tensor.shape)}"


def _read_file(path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    return _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_pickled(path)


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    try:
        check_safetensors(path)
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"file {str(path)!r} cannot be read as safetensors: {error}") from error
    # The file does not keep the order of the layers; numbers in their names do.
    return {name: tensors[name] for name in sorted(tensors, key=natural)}, []


def _read_pickled(path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                check_memory(path, sum(entry.file_size for entry in archive.infolist()), "its tensors")
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        _check_words(io.BytesIO(archive.read(name)), 1)
        else:
            with path.open("rb") as file:
                _check_words(file, N_PICKLES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that torch does not like, and reads
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (CheckpointError, ConfigError):
        raise
    except Exception as error:  # a file made by others can fail in any way
        raise CheckpointError(
            f"file {str(path)!r} is refused ({type(error).__name__}): it is damaged or holds more than tensors (which could "
            "run code); save it with torch.save(model.state_dict(), path)"
        ) from error
    found = dict(_dicts_of_tensors(loaded))
    if not found:
        raise CheckpointError(
            f"file {str(path)!r} holds a {_kind(loaded)} without tensors by name{_content(loaded)}; it must be a state dict, "
            f"or a dict that holds one at most {MAX_LEVELS} levels down"
        )
    chosen = max(found, key=lambda place: sum(tensor.numel() for tensor in found[place].values()))
    if len(found) == 1:
        return found[chosen], []
    names = {place: repr(place) if place else "the outermost" for place in found}
    others = listed(f"{names[place]} ({len(tensors)} tensors)" for place, tensors in found.items() if place != chosen)
    note = f"of the dicts of tensors in the file the largest was taken, {names[chosen]}, and left out: {others}"
    return found[chosen], [note]


def _check_words(file: IO[bytes], n_pickles: int) -> None:
    """Raise a ValueError if a pickle holds an endless word: torch looks through its messages with slow regular expressions."""
    for _ in range(n_pickles):
        for _, argument, _ in pickletools.genops(file):
            if isinstance(argument, str) and len(argument) > LONGEST_WORD and max(map(len, argument.split())) > LONGEST_WORD:
                raise ValueError(f"it holds a word of more than {LONGEST_WORD:,} characters")


def _dicts_of_tensors(value: Any, place: str = "", level: int = 0) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Every dict that holds tensors, with the keys that lead to it."""
    if not isinstance(value, Mapping):
        return
    tensors = {str(name): tensor for name, tensor in value.items() if isinstance(tensor, torch.Tensor)}
    if tensors:
        yield place, tensors
    if level < MAX_LEVELS:
        for name, inner in value.items():
            yield from _dicts_of_tensors(inner, f"{place}.{name}" if place else str(name), level + 1)


def _kind(value: Any) -> str:
    return "dict" if isinstance(value, Mapping) else type(value).__name__


def _content(value: Any, levels: int = 2) -> str:
    """What a file holds in place of a state dict."""
    if not isinstance(value, Mapping) or not value or not levels:
        return ""
    return f" ({listed(f'{name}: {_kind(entry)}{_content(entry, levels - 1)}' for name, entry in value.items())})"


def _put_together(
    tensors: Mapping[str, torch.Tensor], ending: str, partner: str, whole: str, combine: Combination
) -> dict[str, torch.Tensor]:
    """Put one tensor, named `whole`, in the place of every two that belong together, if their shapes fit."""
    result: dict[str, torch.Tensor] = {}
    used = set()
    for name, tensor in tensors.items():
        prefix = name.removesuffix(ending)
        other = tensors.get(prefix + partner) if name.endswith(ending) else None
        with converting(name):
            combined = None if other is None else combine(tensor, other)
        if combined is None:
            result[name] = tensor
        else:
            result[prefix + whole] = combined
            used.add(prefix + partner)
    return {name: tensor for name, tensor in result.items() if name not in used}


def _check_not_parametrized(tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise a CheckpointError if a sparse layer of ours computes its weights in a way that a file does not hold."""
    for name in tensors:
        prefix = name.partition("parametrizations.weight.original")[0]
        if name != prefix and {prefix + "src", prefix + "dst", prefix + "sizes"} <= tensors.keys():
            raise CheckpointError(
                f"the weight of sparse layer {prefix.removesuffix('.') or 'the layer'!r} is parametrized, and the file does "
                "not say how; call torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') before saving it"
            )


def _masked(weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | None:
    return weight * mask if mask.shape == weight.shape else None


def _normalised(direction: torch.Tensor, length: torch.Tensor) -> torch.Tensor | None:
    """Return g v / |v| if there is one g and one norm per target."""
    rest = tuple(range(1, direction.dim()))
    if not rest or length.shape != (direction.shape[0], *[1] * len(rest)):
        return None
    norm = torch.linalg.vector_norm(direction.to(torch.float64), dim=rest, keepdim=True)
    return direction * torch.where(norm > 0, length / norm, 0.0)


PAIRS: tuple[tuple[str, str, str, Combination], ...] = (
    ("_orig", "_mask", "", _masked),  # torch.nn.utils.prune
    ("weight_v", "weight_g", "weight", _normalised),  # torch.nn.utils.weight_norm, and its successor
    ("parametrizations.weight.original1", "parametrizations.weight.original0", "weight", _normalised),
)
