"""The sparse product by torch's own operations: for whoever must see or batch every operation, at the price of memory."""

import torch
from torch import Tensor


def gathered_product(
    weight: Tensor, x: Tensor, bias: Tensor | None, mask: Tensor | None, src: Tensor, dst: Tensor, n_out: int
) -> Tensor:
    """Return y = W x + b in memory for n_edges * batch numbers; arguments as for `traced_product`."""
    src, dst = src.to(x.device, torch.int64), dst.to(x.device, torch.int64)  # ONNX scatters by no other integers
    if mask is not None:
        weight = weight - torch.where(mask.to(x.device), 0.0, weight).detach()
    y = x.new_zeros(n_out, x.shape[1]).index_add(0, dst, weight[:, None] * x.index_select(0, src))
    return y if bias is None else y + bias[:, None]


def gathered_samples(x: Tensor, y: Tensor, src: Tensor, dst: Tensor) -> Tensor:
    """Return the sum over the batch of x[src[k]] * y[dst[k]], `[n_edges]`, likewise."""
    return (x.index_select(0, src) * y.index_select(0, dst)).sum(1)
