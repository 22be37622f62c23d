"""The sparse product as operators of torch: what compilers, tracers and dispatch modes see of a layer.

None of them can look into numba. Each direction is therefore one operator, with a stand-in that tells the shape of its result:
forward is `netsci_nn::sparse_product`; backward gives the gradients to weight, bias and input at once. Operators take tensors
and numbers only. Of the edges they get `src`, `dst` and the edition's `mark`; both orientations are found by the mark, or built
once if the program comes from another process (see `kernels.index.Edition`).

Derivatives of operators are of the first order and in reverse mode. Where a transform of `torch.func` or forward mode is
compiled or recorded, products made of torch's own operations serve (`kernels.gathered`). Of a bare operator, `jvp` would give
tangents of zero without an error, so a program that was exported or traced before is refused there.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd import forward_ad

from netsci_nn.errors import ConfigError
from netsci_nn.kernels.auto import backend_of
from netsci_nn.kernels.gathered import gathered_product, placed_product
from netsci_nn.kernels.index import EdgeIndex, Edition

Tensor = torch.Tensor


def is_traced() -> bool:
    """Return whether somebody records or watches torch's operations, who would take what numba computes for a constant."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0  # make_fx, by which torch.func.linearize works, FakeTensorMode and the like
        or torch._C._get_tracing_state() is not None  # torch.jit.trace
    )


def traced_product(weight: Tensor, x: Tensor, bias: Tensor | None, mask: Tensor | None, edges: Edition, backend: str) -> Tensor:
    """Return y = W x + b in a form that compilers can take into their graphs.

    Args:
        weight: `[n_edges]`.
        x: `[n_in, batch]`.
        bias: `[n_out]` or None.
        mask: bool `[n_edges]`; entries with False compute as 0, and their gradient passes all the same. None if all are True.
        edges: of the layer.
        backend: a name in `BACKENDS`, or "auto".
    """
    n_in, n_out = edges.topology.n_in, edges.topology.n_out
    is_transformed = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    if is_transformed and torch.compiler.is_compiling():
        return placed_product(weight, x, bias, mask, edges.src, edges.dst, n_out)
    if is_transformed or torch.onnx.is_in_onnx_export():
        return gathered_product(weight, x, bias, mask, edges.src, edges.dst, n_out)
    return sparse_product(weight, x, bias, mask, edges.src, edges.dst, edges.mark, n_in, n_out, backend)


@torch.library.custom_op("netsci_nn::sparse_product", mutates_args=())
def sparse_product(
    weight: Tensor,
    x: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    src: Tensor,
    dst: Tensor,
    mark: Tensor,
    n_in: int,
    n_out: int,
    backend: str,
) -> Tensor:
    """y = W x + b, `[n_out, batch]`; arguments as for `traced_product`."""
    index = _index(x, src, dst, mark, n_in, n_out)
    index.check(values=weight, x=x)
    if len(weight) == 0 or x.shape[1] == 0:
        y = x.new_zeros(n_out, x.shape[1])
    else:
        chosen, weight = backend_of(backend, weight, x.shape[1], index), _masked(weight, mask)
        if bias is not None and chosen.affine is not None:
            return chosen.affine(weight, x, bias, index).contiguous()
        y = chosen.product(weight, x, index).contiguous()
    return y if bias is None else y.add_(bias[:, None])


@sparse_product.register_fake
def _(weight, x, bias, mask, src, dst, mark, n_in, n_out, backend):  # type: ignore[no-untyped-def]
    return x.new_empty(n_out, x.shape[1])


@torch.library.custom_op("netsci_nn::sparse_product_backward", mutates_args=())
def sparse_product_backward(
    gradient: Tensor,
    weight: Tensor,
    x: Tensor,
    mask: Tensor | None,
    src: Tensor,
    dst: Tensor,
    mark: Tensor,
    n_in: int,
    n_out: int,
    backend: str,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients to weight `[n_edges]`, x `[n_in, batch]` and bias `[n_out]`; one that `needs` leaves out has no entries."""
    index = _index(x, src, dst, mark, n_in, n_out)
    index.check(values=weight, x=x, y=gradient)
    if needs[0]:
        index.tell(x, gradient)
    of_weight, of_x, of_bias = (x.new_zeros(shape) for shape in _gradient_shapes(weight, x, n_out, *needs))
    if len(weight) > 0 and x.shape[1] > 0:
        chosen, weight = backend_of(backend, weight, x.shape[1], index), _masked(weight, mask)
        if all(needs) and chosen.gradients is not None:
            of_weight, of_x, of_bias = chosen.gradients(weight, x, gradient, index)
        else:
            of_weight = chosen.sampled_product(x, gradient, index) if needs[0] else of_weight
            of_x = chosen.transposed_product(weight, gradient, index) if needs[1] else of_x
            of_bias = gradient.sum(1) if needs[2] else of_bias
    elif needs[2]:
        of_bias = gradient.sum(1)
    return of_weight, of_x.contiguous(), of_bias


@sparse_product_backward.register_fake
def _(gradient, weight, x, mask, src, dst, mark, n_in, n_out, backend, needs):  # type: ignore[no-untyped-def]
    return tuple(x.new_empty(shape) for shape in _gradient_shapes(weight, x, n_out, *needs))


def _gradient_shapes(weight: Tensor, x: Tensor, n_out: int, needs_weight: bool, needs_x: bool, needs_bias: bool) -> Any:
    none = (0,)  # two results of an operator may not share memory, so each that is not needed is a tensor of its own
    return weight.shape if needs_weight else none, x.shape if needs_x else none, (n_out,) if needs_bias else none


@sparse_product.register_vmap
def _(info, in_dims, weight, x, bias, *others):  # type: ignore[no-untyped-def]
    if in_dims[0] is None and in_dims[2] is None:  # one network, many inputs: their columns stand side by side
        columns = x.movedim(in_dims[1], 1)
        return sparse_product(weight, columns.flatten(1), bias, *others).unflatten(1, columns.shape[1:]), 1
    samples = zip(*map(_separate, (weight, x, bias), in_dims[:3], [info.batch_size] * 3), strict=True)
    return torch.stack([sparse_product(*sample, *others) for sample in samples]), 0


@sparse_product_backward.register_vmap
def _(info, in_dims, gradient, weight, x, *others):  # type: ignore[no-untyped-def]
    samples = zip(*map(_separate, (gradient, weight, x), in_dims[:3], [info.batch_size] * 3), strict=True)
    gradients = zip(*[sparse_product_backward(*sample, *others) for sample in samples], strict=True)
    return tuple(map(torch.stack, gradients)), (0, 0, 0)


def _separate(tensor: Tensor | None, dim: int | None, size: int) -> tuple[Tensor | None, ...]:
    """Return the entries of a batch of `vmap`, or the one that all of it shares as often as needed."""
    return (tensor,) * size if tensor is None or dim is None else tensor.unbind(dim)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    weight, x, _, mask, src, dst, mark, *ctx.setting = inputs
    ctx.save_for_backward(weight, x, mask, src, dst, mark)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad[:3]
    gradients = sparse_product_backward(gradient, *ctx.saved_tensors, *ctx.setting, needs)
    return *(found if needed else None for found, needed in zip(gradients, needs, strict=True)), *[None] * 7


sparse_product.register_autograd(_differentiate, setup_context=_save)


def _index(x: Tensor, src: Tensor, dst: Tensor, mark: Tensor, n_in: int, n_out: int) -> EdgeIndex:
    if forward_ad._current_level >= 0:
        raise ConfigError(
            "a program that was exported, traced or compiled before cannot be differentiated in forward mode (jvp, jacfwd, "
            "hessian); differentiate the model itself"
        )
    return Edition.of_mark(mark, src, dst, n_in, n_out).index(x.device)


def _masked(weight: Tensor, mask: Tensor | None) -> Tensor:
    return weight if mask is None else torch.where(mask.to(weight.device), weight, 0.0)
