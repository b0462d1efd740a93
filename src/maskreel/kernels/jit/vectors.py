# pyright: reportCallIssue=false, reportArgumentType=false
# Numba's intrinsics are called without the two compiler arguments that their definitions name.
"""Fixed-width vectors inside compiled kernels: a row of channels, or a handful of points, in registers.

Numba alone leaves the inner loops to the auto-vectoriser, which must assume that every pointer overlaps every other one
and then keeps sums in memory. With explicit vectors the order of loads and stores is ours. The number of lanes is part
of a type, handed down as a tuple of that length: kernels are compiled once per lane count, not once per model shape.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

L64, L32, L16, L4, L1 = (0,) * 64, (0,) * 32, (0,) * 16, (0,) * 4, (0,)
"""Numbers of lanes."""
ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)

_FLAGS = ("contract", "reassoc", "nsz")  # not nnan: a NaN must not become an arbitrary address


class Vector(types.Type):
    """`lanes` numbers of one kind, float32 or int32."""

    def __init__(self, kind: types.Type, lanes: int) -> None:
        self.kind = kind
        self.lanes = lanes
        super().__init__(name=f"Vector({kind}, {lanes})")


def _llvm(vector: Vector) -> ir.VectorType:
    return ir.VectorType(ir.FloatType() if vector.kind == types.float32 else ir.IntType(32), vector.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, _llvm(fe_type))


def _pointer(builder, first, index, target):
    return builder.bitcast(builder.gep(first, [index]), target.as_pointer())


def _shuffle(builder, a, b, lanes):
    lanes = list(lanes)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))


def _call(builder, name, vector, arguments):
    function = ir.FunctionType(_llvm(vector), [_llvm(vector)] * len(arguments))
    name = f"llvm.{name}.v{vector.lanes}f32"
    declared = builder.module.globals.get(name) or ir.Function(builder.module, function, name=name)
    return builder.call(declared, arguments)


@intrinsic
def load(typingctx, pointer, index, lanes):
    """Consecutive elements from `index` on."""
    vector = Vector(pointer.dtype, len(lanes))

    def generate(context, builder, signature, arguments):
        result = builder.load(_pointer(builder, *arguments[:2], _llvm(vector)))
        result.align = 4
        return result

    return vector(pointer, index, lanes), generate


@intrinsic
def store(typingctx, pointer, index, vector):
    """Write consecutive elements from `index` on."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(builder, *arguments[:2], _llvm(vector))
        builder.store(arguments[2], pointer).align = 4
        return context.get_dummy_value()

    return types.void(pointer, index, vector), generate


@intrinsic(prefer_literal=True)
def load_every(typingctx, pointer, index, lanes, step, offset):
    """Elements index + offset, index + offset + step, ...; reads up to index + lanes * step."""
    vector, stride, first = Vector(pointer.dtype, len(lanes)), step.literal_value, offset.literal_value

    def generate(context, builder, signature, arguments):
        whole = ir.VectorType(ir.FloatType(), vector.lanes * stride)
        loaded = builder.load(_pointer(builder, *arguments[:2], whole))
        loaded.align = 4
        return _shuffle(builder, loaded, ir.Constant(whole, ir.Undefined), range(first, vector.lanes * stride, stride))

    return vector(pointer, index, lanes, step, offset), generate


@intrinsic
def store_pairs(typingctx, pointer, index, x, y):
    """Write x[0], y[0], x[1], y[1], ... from `index` on."""

    def generate(context, builder, signature, arguments):
        n = x.lanes
        both = _shuffle(builder, *arguments[2:], [k // 2 + n * (k % 2) for k in range(2 * n)])
        builder.store(both, _pointer(builder, *arguments[:2], both.type)).align = 4
        return context.get_dummy_value()

    return types.void(pointer, index, x, y), generate


def _define_prefetch(is_write: int):
    @intrinsic
    def prefetch(typingctx, pointer, index):
        def generate(context, builder, signature, arguments):
            pointer = _pointer(builder, *arguments, ir.IntType(8))
            number = ir.IntType(32)
            name = "llvm.prefetch.p0i8"
            kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
            declared = builder.module.globals.get(name) or ir.Function(builder.module, kind, name=name)
            # Highest locality, data cache.
            builder.call(declared, [pointer, *(ir.Constant(number, flag) for flag in (is_write, 3, 1))])
            return context.get_dummy_value()

        return types.void(pointer, index), generate

    return prefetch


prefetch = _define_prefetch(0)
prefetch_for_write = _define_prefetch(1)


@intrinsic
def splat(typingctx, number, lanes):
    """The same number in every lane."""
    vector = Vector(types.int32 if isinstance(number, types.Integer) else types.float32, len(lanes))

    def generate(context, builder, signature, arguments):
        scalar = context.cast(builder, arguments[0], number, vector.kind)
        empty = ir.Constant(_llvm(vector), ir.Undefined)
        first = builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
        return _shuffle(builder, first, empty, [0] * vector.lanes)

    return vector(number, lanes), generate


@intrinsic
def multiply_add(typingctx, a, b, c):
    """a * b + c, fused where the processor can."""

    def generate(context, builder, signature, arguments):
        return _call(builder, "fmuladd", a, arguments)

    return a(a, b, c), generate


@intrinsic
def floor(typingctx, a):
    def generate(context, builder, signature, arguments):
        return _call(builder, "floor", a, arguments)

    return a(a), generate


@intrinsic
def to_int(typingctx, a):
    """Truncate towards zero."""
    result = Vector(types.int32, a.lanes)

    def generate(context, builder, signature, arguments):
        return builder.fptosi(arguments[0], _llvm(result))

    return result(a), generate


@intrinsic
def clamp(typingctx, a, low, high):
    """Into [low, high]; NaN becomes `low`."""

    def generate(context, builder, signature, arguments):
        x, lowest, highest = arguments
        x = builder.select(builder.fcmp_ordered(">", x, lowest), x, lowest)
        return builder.select(builder.fcmp_ordered("<", x, highest), x, highest)

    return a(a, low, high), generate


@intrinsic
def not_negative(typingctx, a):
    """0 where a is negative; NaN stays."""

    def generate(context, builder, signature, arguments):
        zero = ir.Constant(_llvm(a), [0.0] * a.lanes)
        return builder.select(builder.fcmp_ordered("<", arguments[0], zero), zero, arguments[0])

    return a(a), generate


@intrinsic
def is_within(typingctx, a, low, high):
    """1.0 where low <= a <= high, else 0.0."""

    def generate(context, builder, signature, arguments):
        x, lowest, highest = arguments
        inside = builder.and_(builder.fcmp_ordered(">=", x, lowest), builder.fcmp_ordered("<=", x, highest))
        return builder.uitofp(inside, _llvm(a))

    return a(a, low, high), generate


@intrinsic
def sums(typingctx, a, b, c, d):
    """The sums over the lanes of four vectors, as one vector of four."""
    result = Vector(types.float32, 4)

    def generate(context, builder, signature, arguments):
        def add(u, v):
            return builder.fadd(u, v, flags=_FLAGS)

        def fold(u):
            half = u.type.count // 2
            empty = ir.Constant(u.type, ir.Undefined)
            return add(_shuffle(builder, u, empty, range(half)), _shuffle(builder, u, empty, range(half, 2 * half)))

        parts = list(arguments)
        if a.lanes < 4:
            packed = ir.Constant(_llvm(result), ir.Undefined)
            for i, part in enumerate(parts):
                while part.type.count > 1:
                    part = fold(part)
                number = builder.extract_element(part, ir.Constant(ir.IntType(32), 0))
                packed = builder.insert_element(packed, number, ir.Constant(ir.IntType(32), i))
            return packed
        while parts[0].type.count > 16:
            parts = [fold(part) for part in parts]
        n = parts[0].type.count
        # Transpose while adding: two lanes at a time, then four; shuffles stay within 128 bits.
        even = [i + n * odd for i in range(0, n, 2) for odd in (0, 1)]
        ab, cd = (
            add(_shuffle(builder, u, v, even), _shuffle(builder, u, v, [i + 1 for i in even]))
            for u, v in (parts[:2], parts[2:])
        )
        low = [i + j for i in range(0, n, 4) for j in (0, 1, n, n + 1)]
        total = add(_shuffle(builder, ab, cd, low), _shuffle(builder, ab, cd, [i + 2 for i in low]))
        while total.type.count > 4:
            total = fold(total)
        return total

    return result(a, b, c, d), generate


def _define_operator(function, on_floats: str, on_ints: str) -> None:
    # Lowered in place: an `overload` would compile one more function per operator and lane count.
    @infer_global(function)  # pyright: ignore[reportOptionalCall]  # numba has it both as decorator and as call
    class OnVectors(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], Vector) and args[0] == args[1]:
                return signature(args[0], *args)
            return None

    @lower_builtin(function, Vector, Vector)
    def lower(context, builder, sig, arguments):
        if sig.return_type.kind == types.float32:
            return getattr(builder, on_floats)(*arguments, flags=_FLAGS)
        return getattr(builder, on_ints)(*arguments)


_define_operator(operator.add, "fadd", "add")
_define_operator(operator.sub, "fsub", "sub")
_define_operator(operator.mul, "fmul", "mul")
