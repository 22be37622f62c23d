"""Metrics and loss of a model on held-out rows."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from netsci_nn.errors import DataError
from netsci_nn.training.losses import Loss
from netsci_nn.training.metrics import METRICS

Batches = Iterable[Any]


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
        ConfigError: for an unknown metric.
        DataError: if `x` is a tensor and there are no targets.

    Example:
        >>> outputs, labels = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]), torch.tensor([0, 1, 1])
        >>> round(evaluate(nn.Identity(), outputs, labels)["accuracy"], 3)
        0.667
    """
    batches: Batches = x
    if isinstance(x, torch.Tensor):
        if y is None:
            raise DataError("y is None; with x as a tensor every row needs a target")
        batches = zip(x.split(batch_size), y.split(batch_size), strict=True)
    was_training = model.training
    device = next((parameter.device for parameter in model.parameters()), None)
    model.eval()
    totals, n_rows = dict.fromkeys([*metrics, "loss"], 0.0), 0
    with torch.no_grad():
        for rows, targets in batches:
            rows, targets = rows.to(device), targets.to(device)
            if targets.dtype in (torch.int8, torch.int16, torch.int32, torch.uint8):
                targets = targets.long()
            outputs, targets = _wide(model(rows)), _wide(targets)
            for name in metrics:
                totals[name] += float(METRICS[name].per_row(outputs, targets).sum())
            totals["loss"] += _summed(loss, outputs, targets)
            n_rows += len(rows)
    model.train(was_training)
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
