"""SIMD vectors for compiled kernels: a numba type that LLVM keeps in registers.

numba vectorises loops over arrays, but it cannot keep a row of partial sums in registers while the edges go by. These
intrinsics can: a vector of `lanes` numbers is one LLVM value, which LLVM splits into as many registers as it needs
(128 float32 lanes are 8 registers of AVX-512).

How many lanes a vector has must be known when a kernel is compiled, and it must pass from function to function and into
numba's cache on disk. A tuple does all that, since its length is part of its type: `lanes` is always a value of `LANES`.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending
from numba.core import types
from numba.extending import models, register_model

intrinsic: Any = extending.intrinsic  # its own type would forbid calling what it decorates from compiled functions

SCALARS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


TILE = 16  # lanes of the smallest vector; every vector has a multiple of it


LANES = {count * TILE: (0,) * count for count in (1, 2, 4, 8)}


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
    result = Vector(array.dtype, lanes.count * TILE)

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
    result = Vector(scalar, lanes.count * TILE)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(result)
        single = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[0], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), result.lanes), None)
        return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)

    return result(scalar, lanes), generate


@intrinsic
def zeros(typing_context, array, lanes):  # type: ignore[no-untyped-def]
    """Return 0 of the array's type in every lane."""
    result = Vector(array.dtype, lanes.count * TILE)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return ir.Constant(context.get_value_type(result), None)

    return result(array, lanes), generate


@intrinsic
def multiply_add(typing_context, a, b, c):  # type: ignore[no-untyped-def]
    """Return a * b + c, lane by lane, rounded once."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(a)
        return builder.call(_intrinsic(builder, "fma", a.scalar, [vector] * 3, vector), arguments)

    return a(a, b, c), generate


@intrinsic
def dot(typing_context, a, b):  # type: ignore[no-untyped-def]
    """Return the sum over all lanes of a * b: pieces of TILE lanes are multiplied and added in turn, then added pairwise."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        scalar = context.get_value_type(a.scalar)
        piece = ir.VectorType(scalar, TILE)
        fma = _intrinsic(builder, "fma", a.scalar, [piece] * 3, piece)
        reduce = _intrinsic(builder, "vector.reduce.fadd", a.scalar, [scalar, piece], scalar)

        def cut(vector: Any, first: int) -> Any:
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), TILE), list(range(first, first + TILE)))
            return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), lanes)

        sums = builder.fmul(cut(arguments[0], 0), cut(arguments[1], 0))
        for first in range(TILE, a.lanes, TILE):
            sums = builder.call(fma, [cut(arguments[0], first), cut(arguments[1], first), sums])
        return builder.call(reduce, [ir.Constant(scalar, -0.0), sums], fastmath=("reassoc",))

    return a.scalar(a, b), generate


def _intrinsic(builder: Any, name: str, scalar: types.Float, arguments: list[Any], result: Any) -> Any:
    """Declare the LLVM intrinsic `name` for the vector type among its arguments."""
    lanes = next(argument.count for argument in arguments if isinstance(argument, ir.VectorType))
    suffix = f"v{lanes}{'f32' if scalar == types.float32 else 'f64'}"
    return builder.module.declare_intrinsic(f"llvm.{name}.{suffix}", fnty=ir.FunctionType(result, arguments))


@intrinsic
def transpose_tile(typing_context, x, x_offset, x_stride, out, out_offset, out_stride):  # type: ignore[no-untyped-def]
    """Write the transpose of a TILE x TILE tile of the contiguous array `x` to one of `out`.

    Rows become columns in four rounds: round r swaps blocks of r = 1, 2, 4, 8 numbers between rows that are r apart.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x_value, x_first, x_step, out_value, out_first, out_step = arguments
        vector = context.get_value_type(Vector(x.dtype, TILE))
        align = _alignment(x.dtype)
        index = x_first.type

        def place(array_type: Any, array: Any, first: Any, step: Any, row: int) -> Any:
            offset = builder.add(first, builder.mul(step, ir.Constant(index, row)))
            return _address(context, builder, array_type, array, offset, vector)

        rows = [builder.load(place(x, x_value, x_first, x_step, row), align=align) for row in range(TILE)]
        for block in (1, 2, 4, 8):
            low = [lane if not lane & block else lane - block + TILE for lane in range(TILE)]
            high = [lane + block if not lane & block else lane + TILE for lane in range(TILE)]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), TILE), lanes) for lanes in (low, high)]
            swapped = list(rows)
            for row in range(TILE):
                if not row & block:
                    pair = rows[row], rows[row + block]
                    swapped[row], swapped[row + block] = (builder.shuffle_vector(*pair, mask) for mask in masks)
            rows = swapped
        for row in range(TILE):
            builder.store(rows[row], place(out, out_value, out_first, out_step, row), align=align)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, out, types.intp, types.intp), generate
