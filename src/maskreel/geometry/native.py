"""Loops over raw memory as machine code that is compiled once per machine and then loaded in milliseconds.

numba compiles; importing and starting it takes most of a second, which a command that scores two files would pay on
every call. So the object code is kept in the user's cache folder, and later processes load it with llvmlite alone.
Where no folder can be written, every process compiles for itself.
"""

import ctypes
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from maskreel.files import complete_file

_LOADED: list[Any] = []
"""Engines own the code that they have loaded; they live as long as the process."""
_LOCK = threading.Lock()
_C_LIBRARY = {"memset", "memcpy", "memmove"}


class Native:
    """A function of pointers and whole numbers, called with arrays; it runs without the interpreter lock."""

    def __init__(self, function: Callable[..., Any], types: str) -> None:
        words = types.split()
        self.function = function
        self.types = tuple(words[:-2])
        self.returns = words[-1]
        self.call: Callable[..., int] | None = None

    def __call__(self, *arguments: Any) -> int:
        if self.call is None:
            with _LOCK:
                self.call = self.call or self._load()
        return self.call(*(self._raw(*pair) for pair in zip(arguments, self.types, strict=True)))

    def _raw(self, argument: Any, kind: str) -> int:
        if not kind.endswith("*"):
            return int(argument)
        assert argument.dtype == kind[:-1], f"{kind} expected, not {argument.dtype}"
        assert argument.flags.c_contiguous, f"an array of strides {argument.strides} has gaps"
        return argument.ctypes.data

    def _load(self) -> Callable[..., int]:
        """Code from the cache folder, or compiled now."""
        path = _cache_folder() / f"{self.function.__name__.strip('_')}-{self._key()}.bin"
        kept = _read_kept(path)
        if kept is not None:
            return self._prototype()(_address(*kept))
        compiled = self._compile()
        _keep(compiled, path)
        _LOADED.append(compiled)
        return self._prototype()(compiled.address)

    def _compile(self) -> Any:
        import numba

        def typed(kind: str) -> Any:
            plain = getattr(numba.types, kind.removesuffix("*"))
            return numba.types.CPointer(plain) if kind.endswith("*") else plain

        signature = typed(self.returns)(*map(typed, self.types))
        return numba.cfunc(signature, error_model="numpy")(self.function)

    def _prototype(self) -> Any:
        return ctypes.CFUNCTYPE(
            getattr(ctypes, f"c_{self.returns}"),
            *(ctypes.c_void_p if kind.endswith("*") else getattr(ctypes, f"c_{kind}") for kind in self.types),
        )

    def _key(self) -> str:
        """Changes with everything that the code depends on."""
        import llvmlite.binding as llvm

        machine = f"{sys.version_info[:2]} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
        code = self.function.__code__
        source = f"{code.co_code!r} {code.co_consts!r} {code.co_names!r}"
        parts = (source, repr(self.types), self.returns, version("numba"), version("llvmlite"), machine)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def native(types: str) -> Callable[[Callable[..., Any]], Native]:
    """Decorator; `types` are those of the parameters and of the result, as in "int64* int64 -> int64".

    The code of a function that calls `min`, `max` or other functions of Python cannot be kept.
    """
    return lambda function: Native(function, types)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "maskreel" / "native"


def _keep(compiled: Any, path: Path) -> None:
    """Write the object code, unless it calls into numba or Python, which are not there when it is loaded."""
    functions = compiled._library._final_module.functions
    called = {function.name for function in functions if function.is_declaration}
    if not all(name in _C_LIBRARY or name.startswith("llvm.") for name in called):
        return
    content = compiled._wrapper_name.encode() + b"\n" + compiled._library._get_compiled_object()
    try:
        with complete_file(path) as new:
            new.write_bytes(hashlib.sha256(content).digest() + content)
    except OSError:
        return


def _read_kept(path: Path) -> tuple[str, bytes] | None:
    """Symbol and object code; None when there is no file or it is damaged."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    size = hashlib.sha256().digest_size
    if hashlib.sha256(kept[size:]).digest() != kept[:size]:
        return None
    symbol, _, code = kept[size:].partition(b"\n")
    return symbol.decode(), code


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
