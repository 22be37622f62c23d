"""Metrics and loss of a model on held-out rows."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from netsci_nn.checks import as_list, check_count, is_iterable
from netsci_nn.errors import ConfigError, DataError, shown
from netsci_nn.training.losses import Loss
from netsci_nn.training.metrics import METRICS

Batches = Iterable[Any]


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode without gradients within a `with` block; then every module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluate(
    model: nn.Module,
    x: torch.Tensor | Batches,
    y: torch.Tensor | None = None,
    batch_size: int = 1000,
    *,
    metrics: Sequence[str] = ("accuracy",),
    loss: Loss = nn.functional.cross_entropy,
) -> dict[str, float]:
    """Evaluate `model` on all rows, in evaluation mode and without gradients; its mode is restored afterwards.

    Args:
        model: maps `[batch, ...]` to outputs, for classification logits `[batch, n_classes]`.
        x: `[n, ...]`, n >= 1; or batches of (inputs, targets), for example a `DataLoader`, if `y` is None.
        y: `[n, ...]`.
        batch_size: rows at a time; does not change the result beyond its last bits.
        metrics: names in `METRICS`.
        loss: of (outputs, targets), a mean over rows.

    Returns:
        The mean over rows of every metric by its name, and of the loss as "loss".

    Raises:
        ConfigError: for an unknown metric, a batch size below 1, or a model that is no module.
        DataError: if `x` is a tensor and `y` has not as many targets, or if batches are no pairs (inputs, targets).

    Example:
        >>> outputs, labels = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]), torch.tensor([0, 1, 1])
        >>> round(evaluate(nn.Identity(), outputs, labels)["accuracy"], 3)
        0.667
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; it must be a module")
    names = as_list(metrics)
    if names is None:
        raise ConfigError(f"metrics is {shown(metrics)}; it must be a list of names")
    chosen = {name: METRICS[name] for name in names}
    batches: Batches = x
    if isinstance(x, torch.Tensor):
        if y is None:
            raise DataError("y is None; with x as a tensor every row needs a target")
        if not isinstance(y, torch.Tensor) or y.is_meta or x.is_meta or y.shape[:1] != x.shape[:1] or x.dim() == 0:
            got = tuple(y.shape) if isinstance(y, torch.Tensor) else f"a {type(y).__name__}"
            raise DataError(f"x has shape {tuple(x.shape)} and y {got}; both must be tensors with numbers, [n, ...]")
        for name, tensor in (("x", x), ("y", y)):
            if tensor.layout != torch.strided:
                raise DataError(f"{name} has layout {tensor.layout}; it must be a dense tensor")
        batch_size = check_count("batch_size", batch_size, 1, error=ConfigError)
        batches = zip(x.split(min(batch_size, len(x) or 1)), y.split(min(batch_size, len(x) or 1)), strict=True)
    elif not is_iterable(x):
        raise DataError(f"x is a {type(x).__name__}; it must be a tensor [n, ...] or an iterable of batches")
    device = next((parameter.device for parameter in model.parameters()), None)
    totals, n_rows = dict.fromkeys([*chosen, "loss"], 0.0), 0
    with evaluation_mode(model):
        for batch in batches:
            if not isinstance(batch, list | tuple) or [isinstance(part, torch.Tensor) for part in batch] != [True, True]:
                raise DataError(
                    f"x gave a batch that is a {type(batch).__name__}; it must be a pair (inputs, targets) of tensors"
                )
            rows, targets = (part.to(device) for part in batch)
            if targets.dtype in (torch.bool, torch.int8, torch.int16, torch.int32, torch.uint8):
                targets = targets.long()
            outputs, targets = _wide(model(rows)), _wide(targets)
            if targets.is_complex():
                raise DataError(f"y has dtype {targets.dtype}; targets must be real numbers")
            if loss is nn.functional.cross_entropy and targets.is_floating_point() and targets.shape != outputs.shape:
                raise DataError(f"y has dtype {targets.dtype} and shape {tuple(targets.shape)}; labels must be integers")
            try:
                for name, metric in chosen.items():
                    totals[name] += float(metric.per_row(outputs, targets).sum())
                totals["loss"] += _summed(loss, outputs, targets)
            except (RuntimeError, IndexError, TypeError) as error:  # what torch says of labels and shapes that do not fit
                raise DataError(
                    f"y has dtype {targets.dtype} and shape {tuple(targets.shape)}, which do not fit outputs "
                    f"{tuple(outputs.shape)}: {error}"
                ) from error
            n_rows += len(rows)
    if n_rows == 0:
        raise DataError("x gave no batch; batches that are evaluated more than once must be a list or a DataLoader")
    return {name: total / n_rows for name, total in totals.items()}


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    """Return half precision as float32, since a sum over rows in it would be as coarse as its terms; all else as it is."""
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() == 2 else tensor


def _summed(loss: Loss, outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Return the sum over rows of a loss that is a mean over them."""
    if loss is nn.functional.cross_entropy and outputs.dim() == 2:
        return float(nn.functional.cross_entropy(outputs, targets, reduction="sum"))
    return float(loss(*flat_tokens(outputs, targets))) * len(outputs)


def flat_tokens(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits `[n, ..., n_classes]` and labels `[n, ...]` with one row per label; all else as it is."""
    if outputs.dim() > 2 and not targets.dtype.is_floating_point and targets.shape == outputs.shape[:-1]:
        return outputs.flatten(0, -2), targets.flatten()
    return outputs, targets
