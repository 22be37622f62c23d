"""What a backend is: three products, and whether they can run here."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from netsci_nn.kernels.index import EdgeIndex
from netsci_nn.registry import Registry


class Backend(NamedTuple):
    """Three pure functions; none of them needs to support autograd, which `kernels.autograd` builds from all three.

    Values are `[n_edges]`, x `[n_in, batch]`, y `[n_out, batch]`, all of one floating dtype and on the index's device. One that
    `mixes` takes x and y in bfloat16 beside values in float32 too; its results are then float32, except for gradients to x.
    """

    product: Callable[[torch.Tensor, torch.Tensor, EdgeIndex], torch.Tensor]  # (values, x) -> W x
    transposed_product: Callable[[torch.Tensor, torch.Tensor, EdgeIndex], torch.Tensor]  # (values, y) -> W^T y
    sampled_product: Callable[[torch.Tensor, torch.Tensor, EdgeIndex], torch.Tensor]  # (x, y) -> sum_b x[src] y[dst]
    # (values, x, bias, index) -> W x + b, if the bias costs less there
    affine: Callable[..., torch.Tensor] | None = None
    # (values, x, y, index) -> (sampled_product(x, y), transposed_product(values, y), sums of y over the batch), likewise
    gradients: Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]] | None = None
    mixes: bool = False
    # a reason, or None if the backend can run at all, or on tensors of this dtype and device
    unavailable_because: Callable[[], str | None] = lambda: None
    unsupported_because: Callable[[torch.Tensor], str | None] = lambda _: None


BACKENDS: Registry[Backend] = Registry("backend")

HALF = torch.bfloat16, torch.float16


def in_single(*dtypes: torch.dtype) -> Callable[..., Any]:
    """Let a product of a backend compute these dtypes in float32: its results are rounded once, after the sum.

    It has two or three operands and an index, and returns a tensor or a tuple of them.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def product(*arguments: Any) -> Any:
            *operands, index = arguments
            dtype = getattr(operands[0], "dtype", None)  # what else it may be is said by the product
            if dtype not in dtypes:
                return function(*arguments)
            result = function(*(None if operand is None else operand.float() for operand in operands), index)
            return tuple(part.to(dtype) for part in result) if isinstance(result, tuple) else result.to(dtype)

        return product

    return decorate
