# pyright: reportCallIssue=false, reportArgumentType=false
# Numba's intrinsics are called without the two compiler arguments that their definitions name.
"""What every compiled kernel is made with: parts, records of numbers, scratch memory and tickets for tasks.

Kernels know pointers, whole numbers and records of both: no arrays, which would call into numba's runtime, so that
their code can be loaded without it (`maskreel.kernels.compiled`).
"""

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# No "nnan" or "ninf": a NaN must not turn into an arbitrary address.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}


def part(function: Callable) -> Callable:
    """Compiled into its callers only. Unwrapped, because a type-checking import hook wraps every function."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(inspect.unwrap(function))


@intrinsic
def record(typingctx, kind, numbers):
    """A named tuple of whole numbers that stand one after the other."""
    fields = kind.instance_class._fields
    result = types.NamedUniTuple(types.int64, len(fields), kind.instance_class)

    def generate(context, builder, signature, arguments):
        whole = context.get_value_type(result).as_pointer()
        loaded = builder.load(builder.bitcast(arguments[1], whole))
        loaded.align = 8
        return loaded

    return result(kind, numbers), generate


def _define_new(kind: Any) -> Callable:
    @intrinsic
    def new(typingctx, count):
        def generate(context, builder, signature, arguments):
            size, byte = ir.IntType(64), ir.IntType(8)
            function = ir.FunctionType(byte.as_pointer(), [size, size])
            allocate = builder.module.globals.get("calloc") or ir.Function(builder.module, function, name="calloc")
            number = context.cast(builder, arguments[0], count, types.int64)
            memory = builder.call(allocate, [number, ir.Constant(size, kind.bitwidth // 8)])
            return builder.bitcast(memory, context.get_value_type(types.CPointer(kind)))

        return types.CPointer(kind)(count), generate

    return new


new_floats, new_ints = _define_new(types.float32), _define_new(types.int32)
"""Zeros, which `free` gives back."""


@intrinsic
def free(typingctx, numbers):
    def generate(context, builder, signature, arguments):
        byte = ir.IntType(8).as_pointer()
        function = ir.FunctionType(ir.VoidType(), [byte])
        release = builder.module.globals.get("free") or ir.Function(builder.module, function, name="free")
        builder.call(release, [builder.bitcast(arguments[0], byte)])
        return context.get_dummy_value()

    return types.void(numbers), generate


@intrinsic
def take_ticket(typingctx, counter):
    """Atomically `counter[0] += 1`; returns the number before. Hands out tasks to threads."""

    def generate(context, builder, signature, arguments):
        return builder.atomic_rmw("add", arguments[0], ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), generate
