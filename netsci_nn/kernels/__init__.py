"""Products with a sparse weight matrix on stored edges: y = W x, y = W^T x, and the gradient to the values.

Arrays are feature-major (`[n, batch]`), so that an edge is one axpy over a contiguous batch. Kernels know tensors and index
arrays, no modules. A new backend is one file with three functions, entered into `BACKENDS` and imported below.
"""

from netsci_nn.kernels import compiled, csr, dense, torch_sparse_backend  # noqa: F401  (each registers its backend)
from netsci_nn.kernels.auto import backend_of, choose_backend, crossover, measure_crossover, supporting
from netsci_nn.kernels.autograd import of_edition, sparse_product
from netsci_nn.kernels.backend import BACKENDS, Backend
from netsci_nn.kernels.index import EdgeIndex, Edition, edge_index
from netsci_nn.kernels.operators import is_traced, traced_product

__all__ = [
    "BACKENDS",
    "Backend",
    "EdgeIndex",
    "Edition",
    "backend_of",
    "choose_backend",
    "crossover",
    "edge_index",
    "is_traced",
    "measure_crossover",
    "of_edition",
    "sparse_product",
    "supporting",
    "traced_product",
]
