"""Checkpoints: model, optimiser and random state in one safetensors file; loading one can run no code."""

import copy
import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from netsci_nn.digest import METADATA, check_safetensors, seal_safetensors
from netsci_nn.errors import CheckpointError
from netsci_nn.files import atomic_write
from netsci_nn.layers import SparseLayer
from netsci_nn.training.state import Progress, TrainingState

FORMAT = "netsci_nn checkpoint 1"


def save_checkpoint(path: str | PathLike[str], state: TrainingState, configuration: str | None = None) -> None:
    """Write, atomically, all that training needs to resume from here to the same bits, and a digest of the file.

    Args:
        path: of the file.
        state: of the training.
        configuration: a name of its settings, such as the digest of a file that holds them (see `load_checkpoint`).
    """
    saved = state.optimizer.state_dict()
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    scalars: dict[str, dict[str, Any]] = {}
    for number, entries in saved["state"].items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{number}.{name}"] = value
            else:
                scalars.setdefault(str(number), {})[name] = value
    tensors |= {f"carried.{name}": torch.from_numpy(array) for name, array in state.carried.items()}
    tensors["torch_rng"] = torch.get_rng_state()
    if torch.cuda.is_initialized():
        tensors |= {f"cuda_rng.{number}": rng for number, rng in enumerate(torch.cuda.get_rng_state_all())}
    progress = {
        "epoch": state.epoch,
        "step": state.step,
        "rng": state.rng.bit_generator.state,
        "optimizer": type(state.optimizer).__name__,
        "param_groups": saved["param_groups"],
        "optimizer_scalars": scalars,
        "configuration": configuration,
    }
    contiguous = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(progress, default=lambda value: value.tolist())  # arrays of numpy and tensors
    with atomic_write(path) as temporary:
        save_file(contiguous, temporary, metadata={"format": FORMAT, "progress": text, **METADATA})
        seal_safetensors(temporary)


def load_checkpoint(
    path: str | PathLike[str],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
    *,
    configuration: str | None = None,
) -> Progress:
    """Put model, optimiser, `rng` and torch's CPU generator into the saved state; return what is completed.

    Pass the result to `train(completed=...)`. Sparse layers get the saved topology, so their edge counts may differ from the
    file's. If the file does not fit, nothing is changed.

    Args:
        path: of a file by `save_checkpoint`.
        model: of the same layers and layer sizes as the saved one.
        optimizer: of the same class as the saved one, with the parameters of `model`.
        rng: the generator that is passed to `train`.
        configuration: what `Checkpoint` was given, if the file must belong to the same settings. A file of version 0.1.0, which
            does not say to what it belongs, is accepted.

    Raises:
        CheckpointError: if the file is missing, damaged, or belongs to another model, optimiser or configuration.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from netsci_nn.training import Checkpoint, train
        >>> x, y = torch.rand(20, 4), torch.arange(20) % 2
        >>> def start():
        ...     model = nn.Linear(4, 2)
        ...     return model, torch.optim.SGD(model.parameters(), lr=0.1), np.random.default_rng(0)
        >>> with TemporaryDirectory() as folder:
        ...     path = f"{folder}/last.safetensors"
        ...     model, optimizer, rng = start()
        ...     _ = train(model, optimizer, x, y, epochs=2, batch_size=5, rng=rng, callbacks=[Checkpoint(path)])
        ...     model, optimizer, rng = start()
        ...     completed = load_checkpoint(path, model, optimizer, rng)
        >>> completed  # epochs and mini-batches
        (2, 8)
        >>> train(model, optimizer, x, y, epochs=3, batch_size=5, rng=rng, completed=completed).epoch
        3
    """
    tensors, progress = _read(Path(path), configuration)
    if progress["optimizer"] != type(optimizer).__name__:
        raise CheckpointError(
            f"file {str(path)!r} holds the state of {progress['optimizer']}; the optimizer is {type(optimizer).__name__}"
        )
    _rename_values(tensors, model)
    _check_model(path, tensors, model)
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), rng.bit_generator.state, torch.get_rng_state()))
    try:
        loaded = _model_state(tensors), _optimizer_state(tensors, progress), progress["rng"], tensors["torch_rng"]
        _restore(model, optimizer, rng, *loaded)
        _check_optimizer(optimizer, before[1]["param_groups"])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RuntimeError) as error:
        _restore(model, optimizer, rng, *before)
        raise CheckpointError(f"file {str(path)!r} does not fit or is damaged: {error}") from error
    if torch.cuda.is_initialized():
        states = [tensor for name, tensor in sorted(tensors.items()) if name.startswith("cuda_rng.")]
        for number, rng_state in enumerate(states[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(rng_state, number)
    carried = {name.removeprefix("carried."): t.numpy() for name, t in tensors.items() if name.startswith("carried.")}
    return Progress(progress["epoch"], progress["step"], carried)


class SavedEdges(NamedTuple):
    """The edges of one sparse layer in a checkpoint."""

    src: npt.NDArray[np.integer]
    dst: npt.NDArray[np.integer]
    birth: npt.NDArray[np.integer]


def read_edges(path: str | PathLike[str]) -> tuple[int, list[SavedEdges]]:
    """Return the mini-batches completed, and the edges of every sparse layer in the order of the numbers in its name.

    Raises:
        CheckpointError: if the file is missing, damaged or no checkpoint of this program.
    """
    tensors, progress = _read(Path(path))
    prefixes = [name.removesuffix("birth") for name in tensors if name.startswith("model.") and name.endswith("birth")]
    prefixes.sort(key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    parts = ("src", "dst", "birth")
    if any(prefix + part not in tensors for prefix in prefixes for part in parts):
        raise CheckpointError(f"file {str(path)!r} is damaged: a sparse layer has no src or dst")
    return progress["step"], [SavedEdges(*(tensors[prefix + part].numpy() for part in parts)) for prefix in prefixes]


def read_model(path: str | PathLike[str], configuration: str | None = None) -> dict[str, torch.Tensor]:
    """Return the state dict of the model in a file of `save_checkpoint`; errors are those of `read_edges`.

    Args:
        path: of the file.
        configuration: see `load_checkpoint`.
    """
    return _model_state(_read(Path(path), configuration)[0])


def model_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """Return the state dict of the model in the tensors of a file; None if they are not those of a checkpoint."""
    model = _model_state(tensors)
    return model if model and "torch_rng" in tensors else None


def _restore(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
    model_state: dict[str, torch.Tensor],
    optimizer_state: dict[str, Any],
    rng_state: Any,
    torch_rng: torch.Tensor,
) -> None:
    model.load_state_dict(model_state)
    optimizer.load_state_dict(optimizer_state)
    rng.bit_generator.state = rng_state
    torch.set_rng_state(torch_rng)


def _rename_values(tensors: dict[str, torch.Tensor], model: nn.Module) -> None:
    """Rename the weights of sparse layers in a checkpoint of version 0.1.0, where they are called `values`."""
    for name, module in model.named_modules():
        former, present = (f"model.{name}.{part}" if name else f"model.{part}" for part in ("values", "weight"))
        if isinstance(module, SparseLayer) and former in tensors and present not in tensors:
            tensors[present] = tensors.pop(former)


def _check_model(path: str | PathLike[str], tensors: dict[str, torch.Tensor], model: nn.Module) -> None:
    """Raise a CheckpointError unless names and shapes are the model's; the edge counts of sparse layers may differ."""
    saved, expected = _model_state(tensors), model.state_dict()
    prefixes = [f"{name}." if name else "" for name, module in model.named_modules() if isinstance(module, SparseLayer)]
    optional = {prefix + part for prefix in prefixes for part in ("sizes", "active")}  # version 0.1.0 had no sizes
    odd = sorted((set(saved) ^ set(expected)) - optional)
    if odd:
        place = "the file" if odd[0] in saved else "the model"
        raise CheckpointError(f"file {str(path)!r} does not belong to this model: {odd[0]!r} is only in {place}")
    per_edge = {prefix + part for prefix in prefixes for part in ("weight", "src", "dst", "birth", "active")}
    for name, tensor in saved.items():
        known = expected.get(name, tensor)
        trailing = (tensor.shape[1:], known.shape[1:]) if name in per_edge else (tensor.shape, known.shape)
        if trailing[0] != trailing[1] or tensor.dim() != known.dim():
            raise CheckpointError(
                f"file {str(path)!r} holds {name!r} of shape {tuple(tensor.shape)}; the model has {tuple(known.shape)}"
            )
        if name in optional - per_edge and not torch.equal(tensor, known.cpu()):
            raise CheckpointError(f"file {str(path)!r} holds {name!r} = {tensor.tolist()}; the model has {known.tolist()}")


def _check_optimizer(optimizer: torch.optim.Optimizer, groups: list[dict[str, Any]]) -> None:
    """Raise a ValueError unless every setting of `groups` is there, and every parameter's state is complete and fits it.

    A state tensor has the parameter's shape, or 1 in dimensions over which the optimiser (Adafactor) keeps a mean.
    """
    for before, group in zip(groups, optimizer.param_groups, strict=True):
        missing = sorted(before.keys() - group.keys())
        if missing:
            raise ValueError(f"the optimiser's state has no {missing[0]!r}")
        for name, value in {"initial_lr": before["lr"], **before}.items():
            if name in group and not _is_alike(value, group[name]):
                raise ValueError(f"the optimiser's {name!r} is {group[name]!r}; here it is {value!r}")
    if not all(isinstance(parameter, torch.Tensor) for parameter in optimizer.state):  # torch keeps what belongs to none
        raise ValueError("the optimiser's state has an entry for no parameter")
    for dim in {parameter.dim() for parameter in optimizer.state}:
        names = {frozenset(state) for parameter, state in optimizer.state.items() if parameter.dim() == dim}
        if len(names) > 1:
            raise ValueError("the optimiser's state is not the same for all parameters")
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.dim() > 0:
                fits = value.dim() == parameter.dim() and all(
                    size in (1, whole) for size, whole in zip(value.shape, parameter.shape, strict=True)
                )
                if not fits:
                    raise ValueError(f"{name!r} has shape {tuple(value.shape)}; its parameter has {tuple(parameter.shape)}")


def _is_alike(known: Any, value: Any) -> bool:
    """Whether a setting in a file is a number, or numbers, where the optimiser has them; what is neither may be anything."""
    if isinstance(known, (list, tuple)):
        is_list = isinstance(value, (list, tuple)) and len(value) == len(known)
        return is_list and all(map(_is_alike, known, value))
    if isinstance(known, (int, float)) and not isinstance(known, bool):
        return isinstance(value, (int, float, torch.Tensor))
    return True


def _read(path: Path, configuration: str | None = None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    try:
        check_safetensors(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"file {str(path)!r} cannot be read: {error}") from error
    if metadata.get("format") != FORMAT or "torch_rng" not in tensors:
        raise CheckpointError(f"file {str(path)!r} is not a checkpoint of this program")
    try:
        progress = json.loads(metadata["progress"])
        counts = progress["epoch"], progress["step"]
        complete = {"rng", "optimizer", "param_groups", "optimizer_scalars"} <= set(progress)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"file {str(path)!r} is damaged: its progress cannot be read ({error})") from error
    if not complete or not all(isinstance(count, int) and count >= 0 for count in counts):
        raise CheckpointError(f"file {str(path)!r} is damaged: its progress is incomplete or out of range")
    if configuration is not None and progress.get("configuration", configuration) != configuration:
        raise CheckpointError(f"file {str(path)!r} belongs to another training: to other settings or another seed")
    return tensors, progress


def _model_state(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}


def _optimizer_state(tensors: dict[str, torch.Tensor], progress: dict[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, entry = name.split(".", 2)
            state.setdefault(int(number), {})[entry] = tensor
    for number, entries in progress["optimizer_scalars"].items():
        state.setdefault(int(number), {}).update(entries)
    return {"state": state, "param_groups": progress["param_groups"]}
