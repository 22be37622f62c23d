"""Metrics by name: values per row of outputs and targets, and how tables show their mean."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from netsci_nn.registry import Registry
from netsci_nn.training.losses import as_targets


class Metric(NamedTuple):
    """A mean over rows.

    Attributes:
        per_row: (outputs `[n, ...]`, targets `[n, ...]`) -> `[n]`, the value of every row.
        title: what tables call it.
        is_share: whether it lies in [0, 1] and is written in per cent.
        is_better_high: whether more is better.
    """

    per_row: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    title: str
    is_share: bool
    is_better_high: bool

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title} %" if self.is_share else self.title

    @property
    def scale(self) -> int:
        """What tables multiply the value with."""
        return 100 if self.is_share else 1

    def text(self, value: float) -> str:
        """Return the value with its unit."""
        return f"{100 * value:.2f} %" if self.is_share else f"{value:.4g}"


METRICS: Registry[Metric] = Registry("metric")


def _mean_over_row(values: torch.Tensor) -> torch.Tensor:
    """Return `[n]` from `[n, ...]`: of tokens or outputs, a row counts as its mean."""
    return values.flatten(1).mean(dim=1) if values.dim() > 1 else values


def _labels(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return labels; of probabilities the likeliest class."""
    return targets.argmax(dim=-1) if targets.dtype.is_floating_point and targets.shape == outputs.shape else targets


def _is_right(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    targets = _labels(outputs, targets)
    return _mean_over_row((outputs.argmax(dim=-1) == targets).to(torch.float64))


def _is_among_five(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    targets = _labels(outputs, targets)
    best = outputs.topk(min(5, outputs.shape[-1]), dim=-1).indices
    return _mean_over_row((best == targets.unsqueeze(-1)).any(dim=-1).to(torch.float64))


def _error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - as_targets(outputs, targets)).to(torch.float64)


for _name, _metric in {
    "accuracy": Metric(_is_right, "accuracy", is_share=True, is_better_high=True),
    "top_5_accuracy": Metric(_is_among_five, "top-5 accuracy", is_share=True, is_better_high=True),
    "mean_squared_error": Metric(
        lambda outputs, targets: _mean_over_row(_error(outputs, targets) ** 2), "mean squared error", False, False
    ),
    "mean_absolute_error": Metric(
        lambda outputs, targets: _mean_over_row(_error(outputs, targets).abs()), "mean absolute error", False, False
    ),
}.items():
    METRICS.register(_name)(_metric)
