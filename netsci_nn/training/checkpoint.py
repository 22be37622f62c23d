"""Checkpoints: model, optimiser and random state in one safetensors file; loading one can run no code."""

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from netsci_nn.errors import CheckpointError
from netsci_nn.io import atomic_write
from netsci_nn.training.loop import TrainingState

FORMAT = "netsci_nn checkpoint 1"


def save_checkpoint(path: str | PathLike[str], state: TrainingState) -> None:
    """Write everything that training needs to go on from here to the same bits, atomically."""
    saved = state.optimizer.state_dict()
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    scalars: dict[str, dict[str, Any]] = {}
    for number, entries in saved["state"].items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{number}.{name}"] = value
            else:
                scalars.setdefault(str(number), {})[name] = value
    tensors["torch_rng"] = torch.get_rng_state()
    progress = {
        "epoch": state.epoch,
        "step": state.step,
        "rng": state.rng.bit_generator.state,
        "optimizer": type(state.optimizer).__name__,
        "param_groups": saved["param_groups"],
        "optimizer_scalars": scalars,
    }
    contiguous = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(contiguous, temporary, metadata={"format": FORMAT, "progress": json.dumps(progress)})


def load_checkpoint(
    path: str | PathLike[str], model: nn.Module, optimizer: torch.optim.Optimizer, rng: np.random.Generator
) -> tuple[int, int]:
    """Put model, optimiser, `rng` and torch's CPU generator into the saved state; return (epochs, steps) completed.

    Pass the result to `train(completed=...)`. The edge counts of sparse layers may differ from the file's: layers take
    over the saved topology. Nothing is changed when the file does not fit.

    Raises:
        CheckpointError: when the file is missing, damaged, or belongs to another model or optimiser.
    """
    tensors, progress = _read(Path(path))
    model_state = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    expected = model.state_dict()
    if set(model_state) != set(expected):
        odd = sorted(set(model_state) ^ set(expected))[0]
        raise CheckpointError(f"file {str(path)!r} does not belong to this model: {odd!r} is on one side only")
    resizable = ("values", "src", "dst", "birth")
    for name, tensor in model_state.items():
        if tensor.shape != expected[name].shape and name.rpartition(".")[2] not in resizable:
            raise CheckpointError(
                f"file {str(path)!r} holds {name!r} of shape {tuple(tensor.shape)}; the model has {tuple(expected[name].shape)}"
            )
    if progress["optimizer"] != type(optimizer).__name__:
        raise CheckpointError(
            f"file {str(path)!r} holds the state of {progress['optimizer']}; the optimizer is {type(optimizer).__name__}"
        )
    model.load_state_dict(model_state)
    optimizer.load_state_dict(_optimizer_state(tensors, progress))
    rng.bit_generator.state = progress["rng"]
    torch.set_rng_state(tensors["torch_rng"])
    return progress["epoch"], progress["step"]


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"file {str(path)!r} cannot be read: {error}") from error
    if metadata.get("format") != FORMAT or "torch_rng" not in tensors:
        raise CheckpointError(f"file {str(path)!r} is not a checkpoint of this program")
    return tensors, json.loads(metadata["progress"])


def _optimizer_state(tensors: dict[str, torch.Tensor], progress: dict[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, entry = name.split(".", 2)
            state.setdefault(int(number), {})[entry] = tensor
    for number, entries in progress["optimizer_scalars"].items():
        state.setdefault(int(number), {}).update(entries)
    return {"state": state, "param_groups": progress["param_groups"]}
