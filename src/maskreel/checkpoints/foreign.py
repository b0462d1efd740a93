"""Reading weights that others wrote, without running anything that stands in them.

Pickles can name any function to be called when they are read. Here they may name tensors, plain containers, numpy
arrays, and the `argparse.Namespace` that research checkpoints carry; everything else is refused before it is imported.
"""

import argparse
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from maskreel.errors import DataError, UsageError
from maskreel.models.folder import read_tensors

STATE_KEYS = ("model", "state_dict", "model_state_dict")
"""Where checkpoints keep the weights, beside optimizer and epoch."""
WRAPPER = "module."
"""What data parallelism puts in front of every name."""
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""What torch.save wrote first before it wrote zip archives."""
_NAMED = re.compile(r"GLOBAL (\S+)")
"""How torch names what a pickle wants to import."""


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Tensors of a PyTorch checkpoint, a pickle of arrays, or a safetensors file, by their names there.

    What the file is shows in its first bytes, not in its name. Raises UsageError when there is no such file, DataError
    when it is damaged, is no weights file, or is a pickle that wants anything but weights.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    if path.is_dir():
        raise UsageError(f"{path}: a folder, where a file with weights is expected")
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise DataError(f"{path}: the file is empty")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return _named_tensors(read_tensors(path), path)
    if start.startswith((b"PK\x03\x04", _LEGACY_MAGIC)):
        return _named_tensors(_read_torch(path), path)
    if start[:1] == b"\x80":
        return _named_tensors(_read_arrays(path), path)
    raise DataError(f"{path}: neither a PyTorch checkpoint nor a pickle nor a safetensors file")


def _read_torch(path: Path) -> Any:
    """A checkpoint as torch.save wrote it, restricted to what weights need."""
    # A mapped file is read by its name, and torch believes what a name ends in.
    is_mapped = zipfile.is_zipfile(path) and path.suffix != ".safetensors"
    with torch.serialization.safe_globals([argparse.Namespace]), path.open("rb") as file:
        try:
            return torch.load(path if is_mapped else file, map_location="cpu", weights_only=True, mmap=is_mapped)
        except pickle.UnpicklingError as error:
            if named := _NAMED.search(str(error)):
                raise _wants(path, named[1]) from None
            detail = _detail(error)
            raise DataError(
                f"{path}: cannot be read as weights alone; it is damaged, or holds something else ({detail})"
            ) from None
        except Exception as error:  # a damaged archive shows in whatever its reader trips over
            raise DataError(
                f"{path}: cannot be read as a PyTorch checkpoint; it is truncated or damaged ({_detail(error)})"
            ) from error


def _blank_array(kind: type[np.ndarray], shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """An array whose content follows, as numpy's pickles begin one."""
    return np.ndarray.__new__(kind, shape, np.dtype(code.decode()))


def _array_of_bytes(
    content: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], order: Literal["C", "F"]
) -> np.ndarray:
    """An array with its content, as numpy's pickles since protocol 5 have it."""
    return np.frombuffer(content, dtype).reshape(shape, order=order).copy()


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays and plain containers, and imports nothing that the file names."""

    allowed: Mapping[str, Any] = {
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
        **{f"numpy.{core}.multiarray._reconstruct": _blank_array for core in ("core", "_core")},
        **{f"numpy.{core}.numeric._frombuffer": _array_of_bytes for core in ("core", "_core")},
        "collections.OrderedDict": OrderedDict,
        "argparse.Namespace": argparse.Namespace,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        wanted = f"{module_name}.{global_name}"
        if wanted == "_codecs.encode":
            return _latin_bytes
        if wanted not in self.allowed:
            raise _Forbidden(wanted)
        return self.allowed[wanted]


class _Forbidden(Exception):
    """A pickle names something that weights never need."""


def _latin_bytes(text: str, encoding: str) -> bytes:
    """How old pickles write bytes."""
    if encoding != "latin1":
        raise _Forbidden(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


def _read_arrays(path: Path) -> Any:
    """A pickle without tensors, as detectron2's model zoo has them."""
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except _Forbidden as error:
        raise _wants(path, str(error)) from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{path}: cannot be read as a pickle; it is truncated or damaged ({_detail(error)})") from error


def _wants(path: Path, name: str) -> DataError:
    return DataError(f"{path}: the file wants to import {name}, which weights never need; refused, and nothing was run")


def _named_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint without what stands beside them, and without the prefix of data parallelism."""
    state = content
    if isinstance(content, Mapping):
        state = next((content[key] for key in STATE_KEYS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(state, Mapping) or not state:
        raise DataError(f"{path}: holds no weights (a {type(state).__name__} where names with tensors are expected)")
    tensors: dict[str, Tensor] = {}
    for name, values in state.items():
        if isinstance(values, np.ndarray):
            values = _from_array(values, f"{path}: {name}")
        if not isinstance(name, str) or not isinstance(values, Tensor):
            known = ", ".join(repr(key) for key in STATE_KEYS)
            raise DataError(
                f"{path}: {name!r} is a {type(values).__name__}, not a tensor; weights are looked for at the top and "
                f"under {known}"
            )
        if values.layout != torch.strided or values.is_quantized or values.is_complex():
            raise DataError(f"{path}: {name} is a sparse, quantised or complex tensor; dense real numbers are expected")
        tensors[name] = values.detach()
    if all(name.startswith(WRAPPER) for name in tensors):
        return {name.removeprefix(WRAPPER): values for name, values in tensors.items()}
    return tensors


def _from_array(values: np.ndarray, where: str) -> Tensor:
    try:
        return torch.from_numpy(np.ascontiguousarray(values))
    except TypeError as error:
        raise DataError(f"{where}: an array of {values.dtype}, where numbers are expected") from error


def _detail(error: BaseException) -> str:
    """The first sentence of a library's message, behind torch's advice to trust the file."""
    text = str(error).rpartition("WeightsUnpickler error: ")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].split(". ")[0].rstrip(".") if lines else type(error).__name__
