"""Derivatives of the sparse product, of any order, from a backend's three products.

The gradients of W x are W^T g and the sampled product of x and g; those of the sampled product are again W x and W^T g with
other values. So two `Function`s that call each other in `backward` can be differentiated as often as wanted.
"""

from typing import Any

import torch
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

from netsci_nn.kernels.backend import Backend
from netsci_nn.kernels.index import EdgeIndex


def sparse_product(values: torch.Tensor, x: torch.Tensor, index: EdgeIndex, backend: Backend) -> torch.Tensor:
    """Return y = W x, differentiable in `values` and `x`.

    Args:
        values: `[n_edges]`, the weight of each edge of `index`.
        x: `[n_in, batch]`, of the same dtype and device.
        index: the edges.
        backend: who computes.

    Returns:
        y `[n_out, batch]`, y[j] = sum of values[k] * x[src[k]] over the edges k with dst[k] = j.
    """
    return _Product.apply(values, x, index, backend, False)


def of_edition(values: torch.Tensor, index: EdgeIndex, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return `values` for operations that know no edges; a gradient from before a rewiring is refused on its way back.

    Args:
        values: `[n_edges, *kernel]`.
        index: the edges.
        mask: bool, broadcast to `values`: entries with False become 0, and their gradient passes all the same.
    """
    return _OfEdition.apply(values, index, mask)


class _OfEdition(Function):
    """The identity, or a mask through which gradients pass; the gradient belongs to the edges of an index."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, index: EdgeIndex, mask: torch.Tensor | None) -> torch.Tensor:
        ctx.index = index
        return values.view_as(values) if mask is None else torch.where(mask, values, 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        ctx.index.check_current()
        return gradients[0], None, None


class _Product(Function):
    """(values, x) -> W x, or W^T x where `transposed`."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, x: torch.Tensor, index: EdgeIndex, backend: Backend, transposed: bool
    ) -> torch.Tensor:
        index.check(values=values, **{"y" if transposed else "x": x})
        ctx.save_for_backward(values, x)
        ctx.setting = index, backend, transposed
        if len(values) == 0 or x.shape[1] == 0 or x.is_meta:
            return x.new_zeros(index.n_in if transposed else index.n_out, x.shape[1])
        multiply = backend.transposed_product if transposed else backend.product
        return multiply(values.detach(), x.detach(), index)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        index, backend, transposed = ctx.setting
        index.check_current()
        values, x = ctx.saved_tensors
        (gradient,) = gradients
        index.check(values=values)  # whoever shortens a parameter by .data between forward and backward is not seen by autograd
        values_gradient = x_gradient = None
        at_once = backend.both_gradients is not None and all(ctx.needs_input_grad[:2]) and not transposed
        if at_once and not torch.is_grad_enabled() and len(values) > 0 and x.shape[1] > 0 and not x.is_meta:
            return *backend.both_gradients(values, x, gradient, index), None, None, None
        if ctx.needs_input_grad[0]:
            at_source, at_target = (gradient, x) if transposed else (x, gradient)
            values_gradient = _SampledProduct.apply(at_source, at_target, index, backend)
        if ctx.needs_input_grad[1]:
            x_gradient = _Product.apply(values, gradient, index, backend, not transposed)
        return values_gradient, x_gradient, None, None, None


class _SampledProduct(Function):
    """(x, y) -> the sum over the batch of x[src[k]] * y[dst[k]], for every edge k."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: torch.Tensor, y: torch.Tensor, index: EdgeIndex, backend: Backend) -> torch.Tensor:
        index.check(x=x, y=y)
        ctx.save_for_backward(x, y)
        ctx.setting = index, backend  # type: ignore[attr-defined]
        if len(index.src) == 0 or x.shape[1] == 0 or x.is_meta:
            return x.new_zeros(len(index.src))
        return backend.sampled_product(x.detach(), y.detach(), index)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        index, backend = ctx.setting
        index.check_current()
        x, y = ctx.saved_tensors
        (gradient,) = gradients
        x_gradient = _Product.apply(gradient, y, index, backend, True) if ctx.needs_input_grad[0] else None
        y_gradient = _Product.apply(gradient, x, index, backend, False) if ctx.needs_input_grad[1] else None
        return x_gradient, y_gradient, None, None
