"""SIMD vectors for compiled kernels: a numba type that LLVM keeps in registers.

numba vectorises loops over arrays, but it cannot keep a row of partial sums in registers while the edges go by. These
intrinsics can: a vector of `lanes` numbers is one LLVM value, which LLVM splits into as many registers as it needs
(128 float32 lanes are 8 registers of AVX-512).

How many lanes a vector has must be known when a kernel is compiled, and it must pass from function to function and into
numba's cache on disk. A tuple does all that, since its length is part of its type: `lanes` is always a value of `LANES`.
"""

from collections.abc import Iterator
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

GROUP = 8  # dot products that are summed up together: adding up the lanes of one costs as much as adding up those of eight


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


def _address(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, vector: Any = None) -> Any:
    """Return the address of element `offset` of a flat array, as one of a vector where its type is given."""
    address = builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])
    return address if vector is None else builder.bitcast(address, ir.PointerType(vector))


def _alignment(scalar: types.Float) -> int:
    return int(np.dtype(str(scalar)).itemsize)


@intrinsic
def load(typing_context, array, offset, lanes):  # type: ignore[no-untyped-def]
    """Return array.flat[offset : offset + lanes] of a contiguous array; bfloat16 become float32."""
    result = Vector(_computed(array.dtype), lanes.count * TILE)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kept = ir.VectorType(context.get_data_type(array.dtype), result.lanes)
        address = _address(context, builder, array, arguments[0], arguments[1], kept)
        return _widened(builder, array, builder.load(address, align=_alignment(array.dtype)))

    return result(array, types.intp, lanes), generate


@intrinsic
def store(typing_context, array, offset, value):  # type: ignore[no-untyped-def]
    """Write `value` to array.flat[offset : offset + lanes] of a contiguous array, rounded for one of bfloat16."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kept = ir.VectorType(context.get_data_type(array.dtype), value.lanes)
        address = _address(context, builder, array, arguments[0], arguments[1], kept)
        builder.store(_rounded(builder, array, arguments[2]), address, align=_alignment(array.dtype))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def accumulate(typing_context, array, offset, value):  # type: ignore[no-untyped-def]
    """Add `value` to array.flat[offset : offset + lanes] of a contiguous array."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        align = _alignment(array.dtype)
        address = _address(context, builder, array, arguments[0], arguments[1], context.get_value_type(value))
        builder.store(builder.fadd(builder.load(address, align=align), arguments[2]), address, align=align)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def splat(typing_context, scalar, lanes):  # type: ignore[no-untyped-def]
    """Return `scalar` in every lane."""
    result = Vector(scalar, lanes.count * TILE)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _splat(builder, arguments[0], context.get_value_type(result))

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
def add(typing_context, a, b):  # type: ignore[no-untyped-def]
    """Return a + b, lane by lane."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fadd(*arguments)

    return a(a, b), generate


@intrinsic
def dot(typing_context, a, b):  # type: ignore[no-untyped-def]
    """Return the sum over all lanes of a * b."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _sum(builder, a, *arguments)

    return a.scalar(a, b), generate


@intrinsic
def total(typing_context, a):  # type: ignore[no-untyped-def]
    """Return the sum over all lanes."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        (value,) = arguments
        return _sum(builder, a, value, ir.Constant(value.type, [1.0] * a.lanes))

    return a.scalar(a), generate


@intrinsic
def above(typing_context, a, threshold):  # type: ignore[no-untyped-def]
    """Return in which of at most 64 lanes |a| is above a number, as bits of an unsigned integer; NaN never is."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(a)
        size = builder.call(_intrinsic(builder, "fabs", a.scalar, [vector], vector), arguments[:1])
        is_above = builder.fcmp_ordered(">", size, _splat(builder, arguments[1], vector))
        return builder.zext(builder.bitcast(is_above, ir.IntType(a.lanes)), ir.IntType(64))

    return types.uint64(a, a.scalar), generate


@intrinsic
def lowest(typing_context, bits):  # type: ignore[no-untyped-def]
    """Return the place of the lowest bit that is set in an unsigned integer other than 0."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def dots(typing_context, own, x, columns, edge, stride, offset):  # type: ignore[no-untyped-def]
    """Return the vector of the dot products of `own` with the rows columns[edge], ..., columns[edge + GROUP - 1] of x.

    x is flat, its rows are `stride` apart, and of each the lanes from `offset` on count.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        own_value, *place = arguments
        rows = _rows(context, builder, own, x, columns, *place)
        return _totals(builder, [_folded(builder, own, own_value, row) for row in rows])

    return Vector(own.scalar, GROUP)(own, x, columns, types.intp, types.intp, types.intp), generate


def _rows(
    context: Any, builder: Any, vector: Vector, x_type: Any, columns_type: Any, x: Any, columns: Any, *place: Any
) -> Iterator[Any]:
    """Load the rows columns[edge], ..., columns[edge + GROUP - 1] of x in turn."""
    edge, stride, offset = place
    for number in range(GROUP):
        position = builder.add(edge, ir.Constant(edge.type, number))
        column = builder.load(_address(context, builder, columns_type, columns, position))
        first = builder.add(builder.mul(builder.sext(column, stride.type), stride), offset)
        address = _address(context, builder, x_type, x, first, context.get_value_type(vector))
        yield builder.load(address, align=_alignment(x_type.dtype))


def _folded(builder: Any, vector: Vector, a: Any, b: Any) -> Any:
    """Return GROUP numbers whose sum is the dot product of a and b: pieces of TILE lanes are multiplied and added in turn."""
    piece = ir.VectorType(SCALARS[vector.scalar], TILE)
    fma = _intrinsic(builder, "fma", vector.scalar, [piece] * 3, piece)
    sums = builder.fmul(_cut(builder, a, 0, TILE), _cut(builder, b, 0, TILE))
    for first in range(TILE, vector.lanes, TILE):
        sums = builder.call(fma, [_cut(builder, a, first, TILE), _cut(builder, b, first, TILE), sums])
    return builder.fadd(_cut(builder, sums, 0, GROUP), _cut(builder, sums, GROUP, GROUP))


def _sum(builder: Any, vector: Vector, a: Any, b: Any) -> Any:
    """Return the dot product of a and b."""
    scalar = SCALARS[vector.scalar]
    reduce = _intrinsic(builder, "vector.reduce.fadd", vector.scalar, [scalar, ir.VectorType(scalar, GROUP)], scalar)
    return builder.call(reduce, [ir.Constant(scalar, -0.0), _folded(builder, vector, a, b)], fastmath=("reassoc",))


def _totals(builder: Any, rows: list[Any]) -> Any:
    """Return the sums of GROUP vectors of GROUP numbers as one vector, in three rounds that halve what remains."""
    for block in (1, 2, 4):
        pairs = zip(rows[::2], rows[1::2], strict=True)
        rows = [builder.fadd(*_exchanged(builder, a, b, block)) for a, b in pairs]
    return rows[0]


def _exchanged(builder: Any, a: Any, b: Any, block: int) -> tuple[Any, Any]:
    """Swap the odd blocks of a with the even blocks of b, and return both."""
    lanes = range(a.type.count)
    low = [lane if not lane & block else lane - block + len(lanes) for lane in lanes]
    high = [lane + block if not lane & block else lane + len(lanes) for lane in lanes]
    return _shuffled(builder, a, b, low), _shuffled(builder, a, b, high)


def _cut(builder: Any, vector: Any, first: int, count: int) -> Any:
    return _shuffled(builder, vector, ir.Constant(vector.type, ir.Undefined), list(range(first, first + count)))


def _splat(builder: Any, scalar: Any, vector: Any) -> Any:
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
    return _shuffled(builder, single, ir.Constant(vector, ir.Undefined), [0] * vector.count)


def _shuffled(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    """Return the lanes with these numbers of a, followed by b."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))


def _intrinsic(builder: Any, name: str, scalar: types.Float, arguments: list[Any], result: Any) -> Any:
    """Declare the LLVM intrinsic `name` for the vector type among its arguments."""
    lanes = next(argument.count for argument in arguments if isinstance(argument, ir.VectorType))
    suffix = f"v{lanes}{'f32' if scalar == types.float32 else 'f64'}"
    return builder.module.declare_intrinsic(f"llvm.{name}.{suffix}", fnty=ir.FunctionType(result, arguments))


@intrinsic
def prefetch(typing_context, array, offset):  # type: ignore[no-untyped-def]
    """Ask for the cache line of array.flat[offset], which may lie outside of the array."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        number = ir.IntType(32)
        address = builder.bitcast(_address(context, builder, array, *arguments), ir.PointerType(ir.IntType(8)))
        function = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        read, soon, data = number(0), number(3), number(1)
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", (address.type,), function), [address, read, soon, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def read(typing_context, array, offset):  # type: ignore[no-untyped-def]
    """Return array.flat[offset] of a contiguous array; a bfloat16 becomes a float32."""
    result = _computed(array.dtype)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        number = builder.load(_address(context, builder, array, *arguments), align=_alignment(array.dtype))
        return _widened(builder, array, number)

    return result(array, types.intp), generate


@intrinsic
def write(typing_context, array, offset, number):  # type: ignore[no-untyped-def]
    """array.flat[offset] = number for a contiguous array; a float32 is rounded for one of bfloat16."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        address = _address(context, builder, array, *arguments[:2])
        builder.store(_rounded(builder, array, arguments[2]), address, align=_alignment(array.dtype))
        return context.get_dummy_value()

    return types.void(array, types.intp, _computed(array.dtype)), generate


@intrinsic
def transpose_tile(typing_context, x, x_offset, x_stride, n_rows, out, out_offset, out_stride):  # type: ignore[no-untyped-def]
    """Write the transpose of a TILE x TILE tile of the contiguous array `x` to one of `out`.

    Of the tile, n_rows >= 1 rows are read, and the others are zeros; one of the arrays may hold bfloat16. Rows become columns
    in four rounds: round r swaps blocks of r = 1, 2, 4, 8 numbers between rows that are r apart.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x_value, x_first, x_step, n_rows, out_value, out_first, out_step = arguments
        zero = ir.Constant(context.get_value_type(Vector(_computed(x.dtype), TILE)), None)
        index = x_first.type

        def place(array_type: Any, array: Any, first: Any, step: Any, row: Any) -> Any:
            vector = ir.VectorType(context.get_data_type(array_type.dtype), TILE)
            return _address(context, builder, array_type, array, builder.add(first, builder.mul(step, row)), vector)

        rows = []
        for number in range(TILE):
            row = ir.Constant(index, number)
            is_read = builder.icmp_signed("<", row, n_rows)
            near = builder.select(is_read, row, ir.Constant(index, 0))
            found = builder.load(place(x, x_value, x_first, x_step, near), align=_alignment(x.dtype))
            rows.append(builder.select(is_read, _widened(builder, x, found), zero))
        for block in (1, 2, 4, 8):
            swapped = list(rows)
            for row in range(TILE):
                if not row & block:
                    swapped[row], swapped[row + block] = _exchanged(builder, rows[row], rows[row + block], block)
            rows = swapped
        for row in range(TILE):
            address = place(out, out_value, out_first, out_step, ir.Constant(index, row))
            builder.store(_rounded(builder, out, rows[row]), address, align=_alignment(out.dtype))
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, types.intp, out, types.intp, types.intp), generate


def _computed(scalar: Any) -> Any:
    """Return in what numbers of an array are computed."""
    return types.float32 if scalar == types.int16 else scalar


def _widened(builder: Any, array: Any, number: Any) -> Any:
    """Return numbers that were read from an array as those that are computed with."""
    if array.dtype != types.int16:
        return number
    bits = builder.shl(builder.zext(number, _like(number, ir.IntType(32))), _all(number, ir.IntType(32), 16))
    return builder.bitcast(bits, _like(number, ir.FloatType()))


def _rounded(builder: Any, array: Any, number: Any) -> Any:
    """Return numbers as the array keeps them: to bfloat16 they are rounded, of two as near to that whose last bit is 0."""
    if array.dtype != types.int16:
        return number
    whole, half = ir.IntType(32), ir.IntType(16)
    bits = builder.bitcast(number, _like(number, whole))
    last = builder.and_(builder.lshr(bits, _all(number, whole, 16)), _all(number, whole, 1))
    rounded = builder.add(bits, builder.add(last, _all(number, whole, 0x7FFF)))
    upper = builder.trunc(builder.lshr(rounded, _all(number, whole, 16)), _like(number, half))
    return builder.select(builder.fcmp_unordered("uno", number, number), _all(number, half, 0x7FC0), upper)


def _like(number: Any, scalar: Any) -> Any:
    """Return the type of as many scalars as `number` has, which may be a vector."""
    return ir.VectorType(scalar, number.type.count) if isinstance(number.type, ir.VectorType) else scalar


def _all(number: Any, scalar: Any, value: int) -> Any:
    """Return a constant with this value for every lane of `number`."""
    kind = _like(number, scalar)
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)
