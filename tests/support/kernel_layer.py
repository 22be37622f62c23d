"""A small layer whose edges carry kernels, for what must hold for every sparse layer."""

import torch
from torch import nn

from netsci_nn import BipartiteTopology
from netsci_nn.layers import SparseLayer


class KernelLayer(SparseLayer):
    """A convolution on a channel graph, by the dense operator: x `[batch, n_in, h, w]` to `[batch, n_out, h, w]`."""

    def __init__(self, topology: BipartiteTopology, kernel: tuple[int, ...] = (3, 3)) -> None:
        super().__init__(topology, kernel)
        self.reset_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dense = self.weight.new_zeros(self.n_out, self.n_in, *self.weight.shape[1:])
        dense[self.dst, self.src] = self.masked_weight()
        return nn.functional.conv2d(x, dense, padding="same")
