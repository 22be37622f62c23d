"""Derivatives of the sparse product, of any order and in both modes, from a backend's three products.

The gradients of W x are W^T g and the sampled product of x and g; those of the sampled product are again W x and W^T g with
other values. So two `Function`s that call each other in `backward` and in `jvp` can be differentiated as often as wanted, and
with a rule for `vmap` each they serve every transform of `torch.func`. Compilers see operators instead (`kernels.operators`).
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import Function

from netsci_nn.kernels.backend import Backend
from netsci_nn.kernels.gathered import gathered_product, gathered_samples
from netsci_nn.kernels.index import EdgeIndex


def sparse_product(
    values: torch.Tensor, x: torch.Tensor, index: EdgeIndex, backend: Backend, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return y = W x + b, differentiable in `values`, `x` and `bias`.

    Args:
        values: `[n_edges]`, the weight of each edge of `index`.
        x: `[n_in, batch]`, of the same dtype and device; bfloat16 beside float32 if the backend mixes them.
        index: the edges.
        backend: who computes.
        bias: `[n_out]`, or None for 0.

    Returns:
        y `[n_out, batch]`, y[j] = bias[j] + sum of values[k] * x[src[k]] over the edges k with dst[k] = j.
    """
    if bias is None or (bias.dtype == values.dtype and not torch._C._are_functorch_transforms_active()):
        return _Product.apply(values, x, bias, index, backend, False)
    y = _Product.apply(values, x, None, index, backend, False)
    # In place, unless a transform of torch.func might batch the bias and not y.
    return y + bias[:, None] if torch._C._are_functorch_transforms_active() else y.add_(bias[:, None])


def of_edition(values: torch.Tensor, index: EdgeIndex, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return `values` for operations that know no edges; a gradient from before a rewiring is refused on its way back.

    Args:
        values: `[n_edges, *kernel]`.
        index: the edges.
        mask: bool, broadcast to `values`: entries with False become 0, and their gradient passes all the same.
    """
    return _OfEdition.apply(values, index, mask)


def _without_autocast(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Keep autocast from lowering the precision of what a backend makes of torch's own products."""

    @functools.wraps(forward)
    def compute(a: torch.Tensor, b: torch.Tensor, *others: Any) -> torch.Tensor:
        if not isinstance(a, torch.Tensor) or a.is_meta or not torch.is_autocast_enabled(a.device.type):
            return forward(a, b, *others)
        with torch.autocast(a.device.type, enabled=False):
            return forward(a, b, *others)

    return compute


class _Transformable(Function):
    """A `Function` that `torch.func` can transform, at the cost of one that it cannot.

    With `setup_context`, which transforms need, `Function.apply` binds default arguments by `inspect` at every call, for 13
    microseconds. There are none here, so without a transform its own parent is called.
    """

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Return what `forward` returns, with its derivatives."""
        if torch._C._are_functorch_transforms_active():
            return super().apply(*args)
        return super(Function, cls).apply(*args)  # type: ignore[misc]


class _OfEdition(_Transformable):
    """The identity, or a mask through which gradients pass; the gradient belongs to the edges of an index."""

    @staticmethod
    def forward(values: torch.Tensor, index: EdgeIndex, mask: torch.Tensor | None) -> torch.Tensor:
        return values.view_as(values) if mask is None else torch.where(mask, values, 0.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.index = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        ctx.index.check_current()
        return gradients[0], None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tangents[0].view_as(tangents[0])

    @staticmethod
    def vmap(info: Any, in_dims: Any, values: torch.Tensor, index: EdgeIndex, mask: torch.Tensor | None) -> Any:
        return _OfEdition.apply(values.movedim(in_dims[0], 0), index, mask), 0


class _Product(_Transformable):
    """(values, x, bias) -> W x + b, or W^T x + b where `transposed`; the bias may be None, and is within transforms."""

    @staticmethod
    @_without_autocast
    def forward(
        values: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None, index: EdgeIndex, backend: Backend, transposed: bool
    ) -> torch.Tensor:
        index.check(backend.mixes, values=values, bias=bias, **{"y" if transposed else "x": x})
        if len(values) == 0 or x.shape[1] == 0 or x.is_meta:
            y = values.new_zeros(index.n_in if transposed else index.n_out, x.shape[1])
        elif _is_old_batch(values, x, bias):
            ends = (index.dst, index.src, index.n_in) if transposed else (index.src, index.dst, index.n_out)
            return gathered_product(values, x, bias, None, *ends)
        elif bias is not None and backend.affine is not None:
            return backend.affine(values.detach(), x.detach(), bias.detach(), index)
        else:
            y = (backend.transposed_product if transposed else backend.product)(values.detach(), x.detach(), index)
        return y if bias is None else y.add_(bias.detach()[:, None])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        values, x, _, *setting = inputs
        ctx.save_for_backward(values, x)
        ctx.save_for_forward(values, x)
        ctx.setting = setting

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        index, backend, transposed = ctx.setting
        index.check_current()
        values, x = ctx.saved_tensors
        (gradient,) = gradients
        index.check(values=values)  # whoever shortens a parameter by .data between forward and backward is not seen by autograd
        values_gradient = x_gradient = None
        if ctx.needs_input_grad[0]:
            index.tell(*((gradient, x) if transposed else (x, gradient)))
        at_once = backend.gradients is not None and all(ctx.needs_input_grad[:2]) and not transposed
        is_final = (
            not torch.is_grad_enabled() and not torch._C._are_functorch_transforms_active() and not _is_old_batch(gradient)
        )
        if at_once and is_final and len(values) > 0 and x.shape[1] > 0 and not x.is_meta:
            of_values, of_x, of_bias = backend.gradients(values, x, gradient, index)
            return of_values, of_x, of_bias if ctx.needs_input_grad[2] else None, None, None, None
        if ctx.needs_input_grad[0]:
            at_source, at_target = (gradient, x) if transposed else (x, gradient)
            values_gradient = _SampledProduct.apply(at_source, at_target, index, backend)
        if ctx.needs_input_grad[1]:
            x_gradient = _Product.apply(values, gradient, None, index, backend, not transposed)
        return values_gradient, x_gradient, gradient.sum(1) if ctx.needs_input_grad[2] else None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        by_factors = _sum_of_products(_Product, ctx.saved_tensors, tangents, (None, *ctx.setting))
        bias = tangents[2]
        if bias is None:
            return by_factors
        return bias[:, None].expand(-1, ctx.saved_tensors[1].shape[1]) if by_factors is None else by_factors + bias[:, None]

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Any,
        values: torch.Tensor,
        x: torch.Tensor,
        bias: None,
        index: EdgeIndex,
        backend: Backend,
        transposed: bool,
    ) -> Any:
        if in_dims[0] is not None:  # many networks on the same edges, one after the other
            pairs = zip(_separate(values, in_dims[0], info), _separate(x, in_dims[1], info), strict=True)
            return torch.stack([_Product.apply(own, columns, None, index, backend, transposed) for own, columns in pairs]), 0
        columns = x.movedim(in_dims[1], 1)  # one network, many inputs: their columns stand side by side
        y = _Product.apply(values, columns.flatten(1), None, index, backend, transposed)
        return y.unflatten(1, columns.shape[1:]), 1


class _SampledProduct(_Transformable):
    """(x, y) -> the sum over the batch of x[src[k]] * y[dst[k]], for every edge k."""

    @staticmethod
    @_without_autocast
    def forward(x: torch.Tensor, y: torch.Tensor, index: EdgeIndex, backend: Backend) -> torch.Tensor:
        index.check(backend.mixes, x=x, y=y)
        if len(index.src) == 0 or x.shape[1] == 0 or x.is_meta:
            return x.new_zeros(len(index.src), dtype=torch.promote_types(x.dtype, y.dtype))
        if _is_old_batch(x, y):
            return gathered_samples(x, y, index.src, index.dst)
        return backend.sampled_product(x.detach(), y.detach(), index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        x, y, *setting = inputs
        ctx.save_for_backward(x, y)
        ctx.save_for_forward(x, y)
        ctx.setting = setting

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        index, backend = ctx.setting
        index.check_current()
        x, y = ctx.saved_tensors
        (gradient,) = gradients
        x_gradient = _Product.apply(gradient, y, None, index, backend, True) if ctx.needs_input_grad[0] else None
        y_gradient = _Product.apply(gradient, x, None, index, backend, False) if ctx.needs_input_grad[1] else None
        return x_gradient, y_gradient, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _sum_of_products(_SampledProduct, ctx.saved_tensors, tangents, ctx.setting)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: torch.Tensor, y: torch.Tensor, index: EdgeIndex, backend: Backend) -> Any:
        xs, ys = _separate(x, in_dims[0], info), _separate(y, in_dims[1], info)
        if xs[0].shape[1] == 1:  # gradients per sample: one product per sample and edge, and no sum
            return torch.stack(list(xs))[:, index.src, 0] * torch.stack(list(ys))[:, index.dst, 0], 0
        return torch.stack([_SampledProduct.apply(own, other, index, backend) for own, other in zip(xs, ys, strict=True)]), 0


def _sum_of_products(product: type[_Transformable], factors: Any, tangents: Any, setting: Any) -> Any:
    """Return the tangent of a product of two factors: that of each times the other."""
    a, b = factors
    by_a = None if tangents[0] is None else product.apply(tangents[0], b, *setting)
    by_b = None if tangents[1] is None else product.apply(a, tangents[1], *setting)
    return by_b if by_a is None else by_a if by_b is None else by_a + by_b


def _is_old_batch(*tensors: torch.Tensor | None) -> bool:
    """Return whether a tensor stands for many: `torch.autograd` vectorises by an older `vmap`, which asks no `Function`."""
    return any(torch._C._functorch.is_legacy_batchedtensor(tensor) for tensor in tensors if tensor is not None)


def _separate(tensor: torch.Tensor, dim: int | None, info: Any) -> tuple[torch.Tensor, ...]:
    """Return the entries of a batch of `vmap`, or the one entry that all of it shares as often as needed."""
    return (tensor,) * info.batch_size if dim is None else tensor.unbind(dim)
