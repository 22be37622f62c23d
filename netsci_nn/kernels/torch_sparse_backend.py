"""Backend `torch-sparse`: `torch_sparse.SparseTensor`, an optional extra that builds from source."""

import functools
import importlib.util
import warnings
from typing import Any

import torch

from netsci_nn.errors import ConfigError
from netsci_nn.kernels.backend import BACKENDS, HALF, Backend, in_single
from netsci_nn.kernels.index import EdgeIndex

INSTALL = "pip install --no-build-isolation 'netsci-nn[torch-sparse]'"


@functools.cache
def unavailable_because() -> str | None:
    """Say what is missing, or None."""
    missing = [name for name in ("torch_sparse", "torch_scatter") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} not installed (after torch: {INSTALL})" if missing else None


def import_torch_sparse() -> Any:
    """Return the module `torch_sparse`, or raise a ConfigError that says how to install it."""
    reason = unavailable_because()
    if reason is not None:
        raise ConfigError(f"backend 'torch-sparse' is not available: {reason}")
    with warnings.catch_warnings():
        # Its own modules are TorchScript, which newer versions of torch call deprecated.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        import torch_sparse

    return torch_sparse


def _multiply(
    pointers: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: tuple[int, int], x: torch.Tensor
) -> torch.Tensor:
    torch_sparse = import_torch_sparse()
    matrix = torch_sparse.SparseTensor(
        rowptr=pointers, col=columns.long(), value=values, sparse_sizes=shape, is_sorted=True, trust_data=True
    )
    return torch_sparse.matmul(matrix, x.contiguous())


@in_single(*HALF)
def product(values: torch.Tensor, x: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W x."""
    return _multiply(index.target_pointers, index.src, values, (index.n_out, index.n_in), x)


@in_single(*HALF)
def transposed_product(values: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """W^T y."""
    by_source = values[index.by_source]
    return _multiply(index.source_pointers, index.dst_by_source, by_source, (index.n_in, index.n_out), y)


@in_single(*HALF)
def sampled_product(x: torch.Tensor, y: torch.Tensor, index: EdgeIndex) -> torch.Tensor:
    """The sum over the batch of x[src] * y[dst]: the gradient to the values as torch-sparse computes it."""
    with torch.enable_grad():
        values = x.new_zeros(len(index.src)).requires_grad_()
        shape = (index.n_out, index.n_in)
        output = _multiply(index.target_pointers, index.src, values, shape, x.detach())
    return torch.autograd.grad(output, values, y.contiguous())[0]


BACKENDS.register("torch-sparse")(
    Backend(product, transposed_product, sampled_product, unavailable_because=unavailable_because)
)
