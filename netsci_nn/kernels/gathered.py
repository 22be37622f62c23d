"""The sparse product by torch's own operations: for whoever must see or batch every operation, at the price of memory.

`torch.compile` gets the matrix: in transforms, inductor of torch 2.13 adds up scattered terms wrongly, or crashes.
"""

import torch
from torch import Tensor


def gathered_product(
    weight: Tensor, x: Tensor, bias: Tensor | None, mask: Tensor | None, src: Tensor, dst: Tensor, n_out: int
) -> Tensor:
    """Return y = W x + b in memory for n_edges * batch numbers; arguments as for `traced_product`."""
    src, dst = src.to(x.device, torch.int64), dst.to(x.device, torch.int64)  # ONNX scatters by no other integers
    terms = _masked(weight, mask)[:, None] * x.index_select(0, src)
    y = terms.new_zeros(n_out, x.shape[1]).index_add(0, dst, terms)
    return y if bias is None else y + bias[:, None]


def gathered_samples(x: Tensor, y: Tensor, src: Tensor, dst: Tensor) -> Tensor:
    """Return the sum over the batch of x[src[k]] * y[dst[k]], `[n_edges]`, likewise."""
    return (x.index_select(0, src) * y.index_select(0, dst)).sum(1)


def placed_product(
    weight: Tensor, x: Tensor, bias: Tensor | None, mask: Tensor | None, src: Tensor, dst: Tensor, n_out: int
) -> Tensor:
    """Return the same in memory for n_in * n_out numbers, and without a sum over scattered numbers in any derivative."""
    src, dst = src.to(x.device, torch.int64), dst.to(x.device, torch.int64)
    y = weight.new_zeros(n_out, x.shape[0]).index_put((dst, src), _masked(weight, mask)) @ x
    return y if bias is None else y + bias[:, None]


def _masked(weight: Tensor, mask: Tensor | None) -> Tensor:
    """Return the weights, with 0 where the mask is False; the gradient passes through."""
    return weight if mask is None else weight - torch.where(mask.to(weight.device), 0.0, weight).detach()
