"""Loops over raw memory as machine code: compiled once per machine, then loaded in milliseconds.

numba compiles. Importing it and starting its own cache takes half a second, which a command that scores two files would
pay on every call (benchmarks/start_of_compiled_code.py). So the object code is kept (`code_cache`), and later processes
load it with llvmlite alone. All compiled code of the package, kernels and loops of other rooms, goes this way.
"""

import ctypes
import hashlib
import importlib
import inspect
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from maskreel.kernels import code_cache

_PARTS = Path(__file__).with_name("jit")
_LOADED: list[Any] = []
"""Engines own the code that they have loaded; they live as long as the process."""
_LOCK = threading.Lock()
_C_LIBRARY = {"memset", "memcpy", "memmove", "calloc", "free", "sqrtf"}


class Compiled:
    """A function of pointers and whole numbers, called with arrays; it runs without the interpreter lock.

    `types` are those of the parameters and of the result, as in "int64* int64 -> int64". The function stands in the
    module under its name, or is given; it may call what `kernels/jit` defines. The module is not imported for code that
    was kept, so one in `jit` may import numba.
    """

    def __init__(self, module: str, name: str, types: str, function: Callable[..., Any] | None = None) -> None:
        words = types.split()
        self.module = module
        self.name = name
        self.types = tuple(words[:-2])
        self.returns = words[-1]
        self.function = function
        self.call: Callable[..., int] | None = None

    def __call__(self, *arguments: Any) -> int:
        call = self.call or self.load()
        return call(*(_raw(*pair) for pair in zip(arguments, self.types, strict=True)))

    def load(self) -> Callable[..., int]:
        """Have the code ready, as the first call does."""
        with _LOCK:
            self.call = self.call or self._load()
        return self.call

    def _load(self) -> Callable[..., int]:
        """Code that was kept, or compiled now."""
        key = self._key()
        file = f"{self.name.strip('_')}-{key}.bin"
        if key and (kept := code_cache.read(file)):
            symbol, _, code = kept.partition(b"\n")
            return self._prototype()(_address(symbol.decode(), code))
        symbol, library = self._compile()
        _LOADED.append(library)
        if key and _is_self_contained(library):
            code_cache.write(file, symbol.encode() + b"\n" + library._get_compiled_object())
        return self._prototype()(library.get_pointer_to_function(symbol))

    def _compile(self) -> tuple[str, Any]:
        """Symbol and library of the function under the C calling convention."""
        import numba
        from numba.core.compiler_lock import global_compiler_lock

        def typed(kind: str) -> Any:
            plain = getattr(numba.types, kind.removesuffix("*"))
            return numba.types.CPointer(plain) if kind.endswith("*") else plain

        function = self.function or getattr(importlib.import_module(self.module), self.name)
        signature = typed(self.returns)(*map(typed, self.types))
        options = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        with global_compiler_lock:
            # Unwrapped, because a type-checking import hook wraps every function.
            compiled = numba.njit(signature, **options)(inspect.unwrap(function)).overloads[signature.args]
            return _with_c_entry(compiled)

    def _prototype(self) -> Any:
        return ctypes.CFUNCTYPE(
            getattr(ctypes, f"c_{self.returns}"),
            *(ctypes.c_void_p if kind.endswith("*") else getattr(ctypes, f"c_{kind}") for kind in self.types),
        )

    def _key(self) -> str | None:
        """Changes with everything that the code depends on; None where the sources cannot be read."""
        import llvmlite.binding as llvm

        parts = [self.module, self.name, *self.types, self.returns, version("numba"), version("llvmlite")]
        parts += [str(sys.version_info[:2]), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
        sources = sorted(_PARTS.glob("*.py"))
        if self.function is not None:
            code = inspect.unwrap(self.function).__code__
            # The file may have changed since it was imported.
            parts += [repr(code.co_code), repr(code.co_consts), repr(code.co_names)]
            sources.append(Path(code.co_filename))
        digests = [_digest(path) for path in sources]
        return None if None in digests else hashlib.sha256("\0".join([*parts, *map(str, digests)]).encode()).hexdigest()


def compiled(types: str) -> Callable[[Callable[..., Any]], Compiled]:
    """Decorator: plain loops over their arguments, compiled at the first call (see `Compiled`).

    The code of a function that calls `min`, `max` or other functions of Python cannot be kept.
    """
    return lambda function: Compiled(function.__module__, function.__name__, types, function)


def _raw(argument: Any, kind: str) -> int:
    if not kind.endswith("*"):
        return int(argument)
    assert argument.dtype == kind[:-1], f"{kind} expected, not {argument.dtype}"
    assert argument.flags.c_contiguous, f"an array of strides {argument.strides} has gaps"
    return argument.ctypes.data


@lru_cache(maxsize=64)
def _digest(source: Path) -> str | None:
    """Taken once, before `kernels/jit` is imported: what changes later is another version."""
    try:
        return hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError:
        return None


def _with_c_entry(compiled: Any) -> tuple[str, Any]:
    """As numba's own `cfunc`, but without the call into Python that reports an error: our functions raise none."""
    from llvmlite import ir

    context, types, symbol = compiled.target_context, compiled.signature, compiled.fndesc.llvm_cfunc_wrapper_name
    library = context.codegen().create_library(symbol)
    library.enable_object_caching()
    module = context.create_module(symbol)
    convention = context.call_conv.get_function_type(types.return_type, types.args)
    inner = ir.Function(module, convention, compiled.fndesc.llvm_func_name)
    parameters = [context.get_value_type(kind) for kind in types.args]
    entry = ir.Function(module, ir.FunctionType(context.get_value_type(types.return_type), parameters), symbol)
    builder = ir.IRBuilder(entry.append_basic_block())
    builder.ret(context.call_conv.call_function(builder, inner, types.return_type, types.args, entry.args)[1])
    library.add_ir_module(module)
    library.add_linking_library(compiled.library)
    library.finalize()
    return symbol, library


def _is_self_contained(library: Any) -> bool:
    """Whether it calls neither numba nor Python, which are not there when the code is loaded."""
    called = {function.name for function in library._final_module.functions if function.is_declaration}
    return all(name in _C_LIBRARY or name.startswith("llvm.") for name in called)


def _address(symbol: str, code: bytes) -> int:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _LOADED.append(engine)
    return engine.get_function_address(symbol)
