"""Magnitude pruning: the weights nearest to zero are removed."""

import torch
from torch import nn

from netsci_nn.pruning.criterion import PRUNERS, linear_layers, strengths_of


@PRUNERS.register("magnitude")
def magnitude(model: nn.Module, convolutions: bool = False) -> list[torch.Tensor]:
    """Score every weight by |w|, the kernel of a sparse convolution by its norm: one tensor per linear layer.

    Args:
        model: a module that has linear layers, dense or sparse, or is one (see `linear_layers`).
        convolutions: whether dense convolutions are scored, too: every weight, `[n_out, n_in / groups, *kernel]`.

    Raises:
        ConfigError: when `model` has no such layers.

    Source: Han et al. 2015, "Learning both weights and connections for efficient neural networks", section 3. Deviation: the
    paper drops what lies below a multiple of the layer's standard deviation; `prune` keeps an exact number of weights.
    """
    return [strengths_of(layer) for layer in linear_layers(model, convolutions).values()]
