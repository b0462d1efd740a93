"""Reading weights that others wrote, without running anything that stands in them.

Pickles can name any function to be called when they are read. Here they may name tensors, plain containers, numpy
arrays, and the `argparse.Namespace` that research checkpoints carry; everything else is refused before it is imported.
"""

import argparse
import contextlib
import json
import logging
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from maskreel.checkpoints.class_names import Classes
from maskreel.errors import DataError, UsageError
from maskreel.files import UNKNOWN_CONTENT, content_words, read_json
from maskreel.models.folder import read_tensors

logger = logging.getLogger(__name__)

STATE_KEYS = ("model", "state_dict", "model_state_dict")
"""Where checkpoints keep the weights, beside optimizer and epoch."""
INNER = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_forward_module.", "_checkpoint_wrapped_module.")
"""What data parallelism, torch.compile and others put in front of names, and within them."""
WRAPPERS = (*INNER, "model.", "net.", "network.", "ema.", "ema_model.", "student.", "teacher.", "state_dict.")
"""What training frameworks put in front of every name, too."""
NO_WEIGHTS = ("criterion.", "loss.")
"""What stands beside the model in a training framework's module."""
NESTED = 3
"""Levels of dicts that are looked through."""
AVERAGED = "n_averaged"
"""Counter that torch's averaged models keep beside their weights."""
CLASSES = "maskreel_classes"
"""Where ids and names of the classes stand beside exported weights."""
MAX_SHARDS = 1000
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""What torch.save wrote first before it wrote zip archives."""
_NAMED = re.compile(r"GLOBAL (\S+)")
"""How torch names what a pickle wants to import."""


def read_foreign(path: Path, *, key: str | None = None) -> dict[str, Tensor]:
    """Tensors of a PyTorch checkpoint, a pickle of arrays, or safetensors (one file, or an index of several), by name.

    What the file is shows in its first bytes, not in its name. `key` names the entry of a checkpoint that holds the
    weights, where there are several. Raises UsageError when there is no such file or entry, DataError when it is
    damaged, is no weights file, or is a pickle that wants anything but weights.
    """
    if path.is_dir():
        indices = sorted(path.glob("*.index.json"))
        if not indices:
            raise UsageError(f"{path}: a folder, where a file with weights is expected")
        path = indices[0]
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    content = _read_shards(path) if path.name.endswith(".index.json") else _content(path)
    return _named_tensors(content, path, key)


def _content(path: Path) -> Any:
    """What a file of weights holds, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise DataError(f"{path}: the file is empty")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return read_tensors(path)
    if start.startswith((b"PK\x03\x04", _LEGACY_MAGIC)):
        return _read_torch(path)
    if start[:1] == b"\x80":
        return _read_arrays(path)
    words = content_words(path)
    advice = "" if words == UNKNOWN_CONTENT else f": it is {words}; download the weights again"
    raise DataError(f"{path}: neither a PyTorch checkpoint nor a pickle nor a safetensors file{advice}")


def stated_classes(path: Path) -> Classes | None:
    """The classes that `maskreel export-weights` wrote beside the weights; None in files of others.

    For files that `read_foreign` takes.
    """
    stated: Any = None
    if zipfile.is_zipfile(path):
        content = _read_torch(path)
        stated = content.get(CLASSES) if isinstance(content, Mapping) else None
    elif path.is_file():
        with contextlib.suppress(SafetensorError, ValueError, RecursionError), safe_open(path, framework="pt") as file:
            stated = json.loads((file.metadata() or {}).get(CLASSES, "null"))
    if not isinstance(stated, list) or not stated:
        return None
    classes = [(entry[0], entry[1]) for entry in stated if _is_class(entry)]
    return tuple(classes) if len(classes) == len(stated) else None


def _is_class(entry: Any) -> bool:
    return isinstance(entry, list) and [type(part) for part in entry] == [int, str]


def _read_shards(path: Path) -> dict[str, Tensor]:
    """All tensors of the files that an index names, which must lie beside it."""
    places = read_json(path).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise DataError(f'{path}: no index of weights ("weight_map" with the file of every tensor is expected)')
    files = sorted(set(places.values()))
    if len(files) > MAX_SHARDS:
        raise DataError(f"{path}: names {len(files)} files, more than {MAX_SHARDS}")
    tensors: dict[str, Tensor] = {}
    for file in files:
        if Path(file).name != file:
            raise DataError(f"{path}: names {file!r}; only files beside the index are read")
        if not path.with_name(file).is_file():
            raise DataError(f"{path}: names {file}, which is not beside it; download all files of the model")
        shard = _content(path.with_name(file))
        if not _holds_tensors(shard):
            raise DataError(f"{path}: names {file}, which holds something else than tensors by their names")
        for name in (name for name, place in places.items() if place == file):
            if name not in shard:
                raise DataError(f"{path}: {name} is not in {file}, where the index has it")
            tensors[name] = shard[name]
    return tensors


def _read_torch(path: Path) -> Any:
    """A checkpoint as torch.save wrote it, restricted to what weights need."""
    # A mapped file is read by its name, and torch believes what a name ends in.
    is_mapped = zipfile.is_zipfile(path) and path.suffix != ".safetensors"
    with torch.serialization.safe_globals([(value, name) for name, value in ALLOWED.items()]), path.open("rb") as file:
        try:
            return torch.load(path if is_mapped else file, map_location="cpu", weights_only=True, mmap=is_mapped)
        except _Forbidden as error:
            raise _wants(path, str(error)) from None
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


class _Forbidden(pickle.UnpicklingError):
    """A pickle names or claims something that weights never need."""


def _blank_array(kind: type[np.ndarray], shape: tuple[int, ...], code: bytes | str) -> np.ndarray:
    """An empty array whose content follows, as numpy's pickles begin one."""
    if shape != (0,):
        raise _Forbidden(f"a numpy array of shape {shape} without content")
    return np.ndarray.__new__(kind, shape, np.dtype(code if isinstance(code, str) else code.decode()))


def _array_of_bytes(
    content: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], order: Literal["C", "F"]
) -> np.ndarray:
    """An array with its content, as numpy's pickles since protocol 5 have it."""
    return np.frombuffer(content, dtype).reshape(shape, order=order).copy()


def _scalar(dtype: np.dtype, content: bytes | None = None) -> Any:
    """A number as numpy's pickles have it; objects, whose content is a pickle of its own, are refused."""
    if dtype.hasobject or not isinstance(content, bytes) or len(content) != dtype.itemsize:
        raise _Forbidden(f"a numpy scalar of type {dtype}")
    return np.frombuffer(content, dtype)[0]


def _inert(*_: Any) -> None:
    """Stands for types that only say how a container would be filled."""


def _plain_dict(*_: Any) -> dict[Any, Any]:
    return {}


_NUMPY = ("numpy.core", "numpy._core")
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")

ALLOWED: Mapping[str, Any] = {
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    **{f"{core}.multiarray._reconstruct": _blank_array for core in _NUMPY},
    **{f"{core}.numeric._frombuffer": _array_of_bytes for core in _NUMPY},
    **{f"{core}.multiarray.scalar": _scalar for core in _NUMPY},
    **{f"numpy.dtypes.{type(np.dtype(code)).__name__}": type(np.dtype(code)) for code in "?bBhHiIlLqQefd"},
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": _plain_dict,
    "argparse.Namespace": argparse.Namespace,
    **{f"builtins.{kind}": _inert for kind in ("int", "float", "list", "dict", "str", "bool")},
    **{f"{module}.{kind}": PurePosixPath for module in ("pathlib", "pathlib._local") for kind in _PATHS},
}
"""All that a pickle may name beside tensors: what research checkpoints carry. None of it runs or opens anything."""


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays and plain containers, and imports nothing that the file names."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        wanted = f"{module_name}.{global_name}"
        if wanted == "_codecs.encode":
            return _latin_bytes
        if wanted not in ALLOWED:
            raise _Forbidden(wanted)
        return ALLOWED[wanted]


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


def _named_tensors(content: Any, path: Path, key: str | None) -> dict[str, Tensor]:
    """The weights of a checkpoint without what stands beside them, and without the prefixes of wrappers."""
    state = _chosen(content, path, key)
    if not isinstance(state, Mapping) or not state:
        raise DataError(f"{path}: holds no weights (a {type(state).__name__} where names with tensors are expected)")
    tensors: dict[str, Tensor] = {}
    for name, values in state.items():
        if isinstance(values, np.ndarray):
            values = _from_array(values, f"{path}: {name}")
        if not isinstance(name, str) or not isinstance(values, Tensor):
            known = ", ".join(repr(known) for known in STATE_KEYS)
            raise DataError(
                f"{path}: {name!r} is a {type(values).__name__}, not a tensor; weights are looked for at the top and "
                f"under {known}; name another place with --key"
            )
        if values.is_meta:
            raise DataError(f"{path}: {name} is a tensor without numbers (saved from the device meta)")
        if values.layout != torch.strided or values.is_quantized or values.is_complex():
            raise DataError(f"{path}: {name} is a sparse, quantised or complex tensor; dense real numbers are expected")
        if values.numel() * values.element_size() > values.untyped_storage().nbytes():
            raise DataError(f"{path}: {name} claims the shape {tuple(values.shape)}, for which the file has no numbers")
        tensors[name] = values.detach()
    odd = [name for name, values in tensors.items() if values.is_floating_point() and not values.isfinite().all()]
    if odd:
        logger.warning("%s: %d tensors hold values that are not finite, such as %s", path, len(odd), odd[0])
    return _without_wrappers(tensors, path)


def _chosen(content: Any, path: Path, key: str | None, levels: int = NESTED) -> Any:
    """The entry that holds the weights: the one named by `key`, else the first of `STATE_KEYS`, else everything.

    Entries of entries are named with a point between them.
    """
    if not isinstance(content, Mapping) or (_holds_tensors(content) and key is None):
        return content
    others = [name for name, value in content.items() if isinstance(name, str) and _holds_tensors(value)]
    if key is not None:
        above, _, below = key.partition(".")
        inner = content.get(above)
        if key not in content and isinstance(inner, Mapping) and below.partition(".")[0] in inner:
            return _chosen(inner, path, below)
        if not _holds_tensors(content.get(key)):
            found = ", ".join(others) or "none"
            raise UsageError(f"--key {key}: {path} holds no weights under that name; it holds: {found}")
        return content[key]
    chosen = next((name for name in STATE_KEYS if isinstance(content.get(name), Mapping)), None)
    if chosen is None:
        if len(others) > 1:
            raise DataError(f"{path}: holds weights under {', '.join(others)}; name one of them with --key")
        if others:
            logger.warning("%s: the weights under %s are taken, the only ones there", path, others[0])
            return content[others[0]]
        return content
    if rest := [name for name in others if name != chosen]:
        logger.warning(
            *("%s: the weights under %s are taken; %s stand beside them (--key %s takes those)", path, chosen),
            *(", ".join(rest), rest[0]),
        )
    return _chosen(content[chosen], path, None, levels - 1) if levels else content[chosen]


def _holds_tensors(value: Any) -> bool:
    """Whether it is a mapping from names to tensors or arrays alone."""
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(entry, Tensor | np.ndarray) for name, entry in value.items())
    )


def _without_wrappers(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Names without what data parallelism, torch.compile, averaging and Lightning put in front of all, in any order.

    A prefix within names, as in `backbone.module.conv1`, goes too. Averaging leaves a counter beside the weights, and
    Lightning the tensors of the loss.
    """
    own = {name: values for name, values in tensors.items() if not name.startswith(NO_WEIGHTS)}
    if len(own) < len(tensors) and any(all(name.startswith(prefix) for name in own) for prefix in WRAPPERS):
        logger.warning("%s: %d tensors of the loss beside the model are left out", path, len(tensors) - len(own))
        tensors = own
    if any(name.startswith("module.") for name in tensors):
        tensors = {name: values for name, values in tensors.items() if name != AVERAGED}
    while prefix := next((prefix for prefix in WRAPPERS if all(name.startswith(prefix) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): values for name, values in tensors.items()}
    inner = re.compile(rf"(?<![^.])({'|'.join(map(re.escape, INNER))})")
    stripped = {inner.sub("", name): values for name, values in tensors.items()}
    return stripped if len(stripped) == len(tensors) else tensors


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
