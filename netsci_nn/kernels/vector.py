"""SIMD vectors for compiled kernels: a numba type that LLVM keeps in registers.

numba vectorises loops over arrays, but it cannot keep a row of partial sums in registers while the edges go by. These
intrinsics can: a vector of `lanes` numbers is one LLVM value, which LLVM splits into as many registers as it needs
(128 float32 lanes are 8 registers of AVX-512). `lanes` must be a compile-time constant.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

SCALARS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class Vector(types.Type):
    """The type of `lanes` numbers of a floating type."""

    def __init__(self, scalar: types.Float, lanes: int) -> None:
        self.scalar, self.lanes = scalar, lanes
        super().__init__(name=f"Vector({scalar}, {lanes})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """Represents a `Vector` as an LLVM vector."""

    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(SCALARS[vector.scalar], vector.lanes))


def _address(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, vector: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), ir.PointerType(vector))


def _alignment(scalar: types.Float) -> int:
    return int(np.dtype(str(scalar)).itemsize)


@intrinsic
def load(typing_context, array, offset, lanes):  # type: ignore[no-untyped-def]
    """Return array.flat[offset : offset + lanes] of a contiguous array."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    result = Vector(array.dtype, lanes.literal_value)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(result)
        address = _address(context, builder, array, arguments[0], arguments[1], vector)
        return builder.load(address, align=_alignment(array.dtype))

    return result(array, types.intp, lanes), generate


@intrinsic
def store(typing_context, array, offset, value):  # type: ignore[no-untyped-def]
    """Write `value` to array.flat[offset : offset + lanes] of a contiguous array."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(value)
        address = _address(context, builder, array, arguments[0], arguments[1], vector)
        builder.store(arguments[2], address, align=_alignment(array.dtype))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def splat(typing_context, scalar, lanes):  # type: ignore[no-untyped-def]
    """Return `scalar` in every lane."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    result = Vector(scalar, lanes.literal_value)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(result)
        single = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[0], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), result.lanes), None)
        return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)

    return result(scalar, lanes), generate


@intrinsic
def zeros(typing_context, array, lanes):  # type: ignore[no-untyped-def]
    """Return 0 of the array's type in every lane."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    result = Vector(array.dtype, lanes.literal_value)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return ir.Constant(context.get_value_type(result), None)

    return result(array, lanes), generate


@intrinsic
def multiply_add(typing_context, a, b, c):  # type: ignore[no-untyped-def]
    """Return a * b + c, lane by lane, rounded once."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(a)
        suffix = "f32" if a.scalar == types.float32 else "f64"
        function = builder.module.declare_intrinsic(
            f"llvm.fma.v{a.lanes}{suffix}", fnty=ir.FunctionType(vector, [vector] * 3)
        )
        return builder.call(function, arguments)

    return a(a, b, c), generate


@intrinsic
def multiply(typing_context, a, b):  # type: ignore[no-untyped-def]
    """Return a * b, lane by lane."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fmul(*arguments)

    return a(a, b), generate


@intrinsic
def total(typing_context, a):  # type: ignore[no-untyped-def]
    """Return the sum of all lanes, added pairwise."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        scalar = context.get_value_type(a.scalar)
        suffix = "f32" if a.scalar == types.float32 else "f64"
        function = builder.module.declare_intrinsic(
            f"llvm.vector.reduce.fadd.v{a.lanes}{suffix}",
            fnty=ir.FunctionType(scalar, [scalar, context.get_value_type(a)]),
        )
        return builder.call(function, [ir.Constant(scalar, -0.0), arguments[0]], fastmath=("reassoc",))

    return a.scalar(a), generate
