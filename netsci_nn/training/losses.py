"""Losses by name: functions of (outputs, targets), a mean over the rows of a mini-batch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from netsci_nn.checks import check_real
from netsci_nn.errors import ConfigError, DataError
from netsci_nn.registry import Registry

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

LOSSES: Registry[Callable[..., Loss]] = Registry("loss")


@LOSSES.register("cross_entropy")
def cross_entropy(label_smoothing: float = 0.0) -> Loss:
    """Return the cross-entropy of logits `[..., n_classes]` and labels `[...]`, in nats."""
    return (
        partial(nn.functional.cross_entropy, label_smoothing=label_smoothing)
        if label_smoothing
        else nn.functional.cross_entropy
    )


@LOSSES.register("mean_squared_error")
def mean_squared_error() -> Loss:
    """Return the mean squared difference of outputs and targets of the same shape; labels count as one-hot rows."""
    return _squared_error


@LOSSES.register("multi_margin")
def multi_margin(margin: float = 1.0) -> Loss:
    """Return the hinge loss of several classes: the mean over the others of max(0, margin - x[label] + x[other])."""
    check_real("margin", margin, lambda value: value > 0, "> 0", ConfigError)
    return partial(nn.functional.multi_margin_loss, margin=margin)


def as_targets(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return targets of the shape of the outputs; labels become one-hot rows.

    Raises:
        DataError: if targets that are no labels have another shape than the outputs.
    """
    if not targets.dtype.is_floating_point:
        return nn.functional.one_hot(targets.long(), outputs.shape[-1]).to(outputs)
    if targets.shape != outputs.shape:
        raise DataError(f"targets have shape {list(targets.shape)} and outputs {list(outputs.shape)}; they must be equal")
    return targets


def _squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.mse_loss(outputs, as_targets(outputs, targets))
