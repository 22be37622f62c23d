"""Backend `csr`: torch's own CSR kernels (MKL on the CPU, cuSPARSE on CUDA), both orientations from cached indices."""

import warnings

import torch

from netsci_nn.kernels.backend import BACKENDS, HALF, Backend, in_single
from netsci_nn.kernels.index import EdgeIndex


def _matrix(pointers: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(pointers.to(columns.dtype), columns, values, shape, check_invariants=False)


@in_single(*HALF)
def product(values: torch.Tensor, x: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W x."""
    return _matrix(index.target_pointers, index.src, values, (index.n_out, index.n_in)) @ x.contiguous()


@in_single(*HALF)
def transposed_product(values: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W^T y, as a CSR product in the other orientation."""
    by_source = values[index.by_source]
    matrix = _matrix(index.source_pointers, index.dst_by_source, by_source, (index.n_in, index.n_out))
    return matrix @ y.contiguous()


@in_single(*HALF)
def sampled_product(x: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """The sum over the batch of x[src] * y[dst], on stored edges only."""
    pattern = _matrix(index.target_pointers, index.src, x.new_zeros(len(index.src)), (index.n_out, index.n_in))
    return torch.sparse.sampled_addmm(pattern, y.contiguous(), x.contiguous().t(), beta=0.0).values()


BACKENDS.register("csr")(Backend(product, transposed_product, sampled_product))
