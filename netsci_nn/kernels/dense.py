"""Backend `dense`: the masked dense matrix. The oracle in tests, and the fastest choice for nearly full layers.

It is the only backend that allocates n_in x n_out.
"""

import torch

from netsci_nn.kernels.backend import BACKENDS, Backend
from netsci_nn.kernels.index import EdgeIndex


def _matrix(values: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    matrix = values.new_zeros(index.n_out, index.n_in)
    matrix[index.dst, index.src] = values
    return matrix


def product(values: torch.Tensor, x: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W x."""
    return _matrix(values, index) @ x


def transposed_product(values: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W^T y."""
    return _matrix(values, index).t() @ y


def sampled_product(x: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """The sum over the batch of x[src] * y[dst], read from the full product."""
    return (y @ x.t())[index.dst, index.src]


BACKENDS.register("dense")(Backend(product, transposed_product, sampled_product))
