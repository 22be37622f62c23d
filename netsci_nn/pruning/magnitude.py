"""Magnitude pruning: the weights nearest to zero are removed."""

import torch
from torch import nn

from netsci_nn.pruning.criterion import PRUNERS, linear_layers, strengths_of


@PRUNERS.register("magnitude")
def magnitude(model: nn.Module) -> list[torch.Tensor]:
    """Score every weight by |w|, a kernel by its norm: one tensor per linear layer, of the shape of its weights.

    Raises:
        ConfigError: when `model` has no linear layers.

    Source: Han et al. 2015, "Learning both weights and connections for efficient neural networks", section 3. Deviation: the
    paper drops what lies below a multiple of the layer's standard deviation; `prune` keeps an exact number of weights.
    """
    return [strengths_of(layer) for layer in linear_layers(model).values()]
