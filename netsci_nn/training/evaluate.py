"""Accuracy and loss of a classifier."""

from typing import NamedTuple

import torch
from torch import nn


class Evaluation(NamedTuple):
    """Mean cross-entropy (nats) and accuracy (0 to 1)."""

    loss: float
    accuracy: float


def evaluate(model: nn.Module, x: torch.Tensor, y: torch.Tensor, batch_size: int = 1000) -> Evaluation:
    """Evaluate `model` on all rows without gradients and in evaluation mode; its mode is put back afterwards.

    Args:
        model: maps `[batch, n_features]` to logits `[batch, n_classes]`.
        x: `[n, n_features]`, n >= 1.
        y: int64 `[n]`.
        batch_size: rows at a time; does not change the result.
    """
    was_training = model.training
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for rows, labels in zip(x.split(batch_size), y.split(batch_size), strict=True):
            logits = model(rows)
            loss += float(nn.functional.cross_entropy(logits, labels.long(), reduction="sum"))
            correct += int((logits.argmax(dim=1) == labels).sum())
    model.train(was_training)
    return Evaluation(loss / len(x), correct / len(x))
