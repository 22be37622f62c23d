"""What a dense linear layer is, and its weights in PyTorch's orientation."""

import torch
from torch import nn


def dense_kind(module: nn.Module) -> type[nn.Module] | None:
    """Return the class that makes `module` a dense linear layer: `nn.Linear` or Hugging Face's `Conv1D`; None if it is none.

    `transformers.pytorch_utils.Conv1D`, of which GPT-2 is made, computes x W + b with a weight `[n_in, n_out]`. It is known by
    its name, so that transformers need not be installed.
    """
    for kind in type(module).__mro__:
        if kind is nn.Linear or (kind.__name__ == "Conv1D" and kind.__module__.split(".")[0] == "transformers"):
            return kind
    return None


def weight_matrix(layer: nn.Module) -> torch.Tensor:
    """Return the weights of a dense linear layer as `[n_out, n_in]`: a view without gradient."""
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach() if isinstance(layer, nn.Linear) else weight.detach().t()
