"""Files of others: what is in them is read, and nothing that stands in them is run."""

import argparse
import io
import json
import logging
import os
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from maskreel.checkpoints.foreign import read_foreign
from maskreel.errors import DataError, UsageError
from tests.memory import LIMIT_MB, peak_mb

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Attack:
    """Runs a command when it is unpickled carelessly."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, (f"touch '{self.canary}'",)


def as_zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def as_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def as_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


FORMATS = pytest.mark.parametrize("write", [as_zip, as_legacy], ids=["zip", "legacy"])
PICKLES = pytest.mark.parametrize("write", [as_zip, as_legacy, as_pickle], ids=["zip", "legacy", "plain"])


def assert_read(path: Path, expected: dict[str, Tensor] = TENSORS) -> None:
    read = read_foreign(path)
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], values) for name, values in expected.items())


@FORMATS
@pytest.mark.parametrize(
    "content",
    [
        TENSORS,
        OrderedDict(TENSORS),
        {"model": TENSORS, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        {"state_dict": TENSORS, "args": argparse.Namespace(lr=1e-4, masks=True, backbone="resnet50")},
        {"model": {f"module.{name}": values for name, values in TENSORS.items()}},
        {name: nn.Parameter(values) for name, values in TENSORS.items()},
        {"model": TENSORS, "best": np.float64(43.5), "step": np.int64(3), "history": np.arange(3)},
        {"model": TENSORS, "losses": defaultdict(list, total=[1.0]), "seen": {"a", "b"}},
        {"model": TENSORS, "out": Path("runs/1"), "args": argparse.Namespace(out=Path("x"), top=np.float32(1))},
        {"state_dict": {f"model.{name}": values for name, values in TENSORS.items()}, "hyper_parameters": {"lr": 1}},
        {f"_orig_mod.{name}": values for name, values in TENSORS.items()},
        {f"module._orig_mod.model.{name}": values for name, values in TENSORS.items()},
        {"a._orig_mod.weight": TENSORS["a.weight"], "a.bias": TENSORS["a.bias"]},
        {"n_averaged": torch.tensor(7), **{f"module.{name}": values for name, values in TENSORS.items()}},
    ],
    ids=[
        *("tensors", "ordered", "checkpoint", "with arguments", "data parallel", "parameters", "numpy", "defaultdict"),
        *("paths", "lightning", "compiled", "all wrappers", "compiled part", "averaged"),
    ],
)
def test_checkpoints_of_all_habits_are_read(content: Any, write: Callable[..., None], tmp_path: Path) -> None:
    write(content, tmp_path / "weights.pth")
    assert_read(tmp_path / "weights.pth")


def test_weights_beside_others_are_chosen_by_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    average = {name: values + 1 for name, values in TENSORS.items()}
    path = tmp_path / "weights.pth"
    as_zip({"model": TENSORS, "model_ema": average, "epoch": 1}, path)
    with caplog.at_level(logging.WARNING, logger="maskreel"):
        assert_read(path)
    assert "the weights under model are taken; model_ema stand beside them (--key model_ema takes those)" in caplog.text
    assert torch.equal(read_foreign(path, key="model_ema")["a.bias"], average["a.bias"])
    with pytest.raises(UsageError, match=r"--key ema: .* holds no weights under that name; it holds: model, model_ema"):
        read_foreign(path, key="ema")


def test_the_only_weights_of_a_checkpoint_are_found_under_any_name(tmp_path: Path) -> None:
    as_zip({"generator": TENSORS, "epoch": 1}, tmp_path / "weights.pth")
    assert_read(tmp_path / "weights.pth")


def write_shards(folder: Path, places: dict[str, str] | None = None) -> Path:
    for name, values in TENSORS.items():
        save_file({name: values}, folder / f"{name}.safetensors")
    index = folder / "model.safetensors.index.json"
    places = {name: f"{name}.safetensors" for name in TENSORS} if places is None else places
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def test_sharded_weights_are_read_by_their_index_or_folder(tmp_path: Path) -> None:
    index = write_shards(tmp_path)
    assert_read(index)
    assert_read(tmp_path)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"a.weight": "../x.safetensors"}, "names '../x.safetensors'; only files beside the index are read"),
        ({"a.weight": "b.safetensors"}, r"names b\.safetensors, which is not beside it; download all files"),
        ({"a.weight": "a.bias.safetensors"}, r"a\.weight is not in a\.bias\.safetensors, where the index has it"),
        ({f"{n}": f"{n}.safetensors" for n in range(1001)}, "names 1001 files"),
    ],
    ids=["outside", "missing", "elsewhere", "too many"],
)
def test_an_index_that_is_wrong_is_refused(places: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_foreign(write_shards(tmp_path, places))


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "weights.pth")
    assert_read(tmp_path / "weights.pth")
    as_zip(TENSORS, tmp_path / "weights.safetensors")
    assert_read(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_arrays_are_read(protocol: int, tmp_path: Path) -> None:
    arrays = {name: values.numpy() for name, values in TENSORS.items()}
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}, protocol=protocol))
    if protocol < 2:
        with pytest.raises(DataError, match="neither a PyTorch checkpoint nor a pickle nor a safetensors file"):
            read_foreign(path)
    else:
        assert_read(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_precision_is_read_as_it_is(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {name: values.to(dtype) for name, values in TENSORS.items()}
    as_zip(tensors, tmp_path / "weights.pth")
    assert_read(tmp_path / "weights.pth", tensors)


def test_shared_tensors_are_read_under_both_names(tmp_path: Path) -> None:
    shared = {"a.weight": TENSORS["a.weight"], "b.weight": TENSORS["a.weight"], "row": TENSORS["a.weight"][1]}
    as_zip(shared, tmp_path / "weights.pth")
    assert_read(tmp_path / "weights.pth", shared)


# Attacks.


@PICKLES
@pytest.mark.parametrize("place", ["beside", "inside", "instead"])
def test_an_attack_leaves_no_trace_and_is_named(write: Callable[..., None], place: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "weights.pth"
    attack = Attack(canary)
    content: Any = {
        "beside": {"model": {}, "args": attack},
        "inside": {"model": {"a.weight": attack}},
        "instead": attack,
    }[place]
    write(content, path)
    with pytest.raises(
        DataError, match=r"weights\.pth: the file wants to import posix\.system, which weights never need"
    ):
        read_foreign(path)
    assert not canary.exists()
    assert pickle.loads(pickle.dumps(attack)) == 0, "the attack is a real one"
    assert canary.exists()


@PICKLES
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (Fraction(1, 2), r"fractions\.Fraction"),
        (io.BytesIO, r"_io\.BytesIO"),
        (eval, r"(builtins\.)?eval"),
        (nn.Linear, r"torch\.nn\.modules\.linear\.Linear"),
    ],
    ids=["fraction", "type", "eval", "module"],
)
def test_everything_but_weights_is_refused_by_name(
    content: Any, name: str, write: Callable[..., None], tmp_path: Path
) -> None:
    write({"a": content}, tmp_path / "weights.pkl")
    with pytest.raises(DataError, match=f"wants to import {name}, which weights never need; refused") as caught:
        read_foreign(tmp_path / "weights.pkl")
    assert "\n" not in str(caught.value)


def test_a_namespace_that_hides_an_attack_is_refused(tmp_path: Path) -> None:
    content = {"model": dict(TENSORS), "args": argparse.Namespace(hook=Attack(tmp_path / "canary"))}
    as_zip(content, tmp_path / "weights.pth")
    with pytest.raises(DataError, match=r"wants to import posix\.system"):
        read_foreign(tmp_path / "weights.pth")
    assert not (tmp_path / "canary").exists()


def test_an_array_that_claims_more_than_it_holds_takes_no_memory(tmp_path: Path) -> None:
    class Huge:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return np._core.multiarray._reconstruct, (np.ndarray, (10**11,), b"b")  # pyright: ignore

    as_pickle({"a": Huge()}, tmp_path / "weights.pkl")
    with pytest.raises(DataError, match=r"a numpy array of shape \(100000000000,\) without content"):
        read_foreign(tmp_path / "weights.pkl")


def test_a_tensor_that_repeats_few_numbers_in_a_huge_shape_is_refused(tmp_path: Path) -> None:
    as_zip({"a": torch.ones(1).expand(10**6, 10**6)}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match=r"a claims the shape \(1000000, 1000000\), for which the file has no numbers"):
        read_foreign(tmp_path / "weights.pth")


# Damage.


@PICKLES
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_is_cut_off_is_one_sentence(write: Callable[..., None], share: float, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    content = {"model": {"a": np.zeros(2000)}} if write is as_pickle else {"model": {"a": torch.zeros(2000)}}
    write(content, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"weights\.pth: .*damaged") as caught:
        read_foreign(path)
    assert "\n" not in str(caught.value)


def test_a_safetensors_file_that_is_cut_off_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2000)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="not a readable safetensors file"):
        read_foreign(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "neither a PyTorch checkpoint nor a pickle nor a safetensors file"),
        (b"<html>" + b" " * 100, "it is an HTML page .*; download the weights again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer.*git lfs pull"),
        (b"PK\x03\x04" + b" " * 100, "truncated or damaged"),
        (pickle.dumps([1, 2]), r"holds no weights \(a list where names with tensors are expected\)"),
        (pickle.dumps({}), "holds no weights"),
        (
            pickle.dumps({"epoch": 3}),
            "'epoch' is a int, not a tensor; weights are looked for at the top and under 'model'",
        ),
        (pickle.dumps({"model": {"a": {"b": 1}}}), "'a' is a dict, not a tensor"),
        (pickle.dumps({"a": np.array(["x"])}), "a: an array of <U1, where numbers are expected"),
    ],
    ids=["empty", "text", "page", "pointer", "archive", "list", "nothing", "numbers", "nested", "words"],
)
def test_what_holds_no_weights_is_told_in_one_sentence(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_foreign(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "weights.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match="cannot be read as a PyTorch checkpoint"):
        read_foreign(tmp_path / "weights.pth")


def test_sparse_tensors_are_refused(tmp_path: Path) -> None:
    as_zip({"a": torch.eye(3).to_sparse()}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match="a is a sparse, quantised or complex tensor"):
        read_foreign(tmp_path / "weights.pth")


def test_a_wrong_path_is_a_typing_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.pth: no such file"):
        read_foreign(tmp_path / "nowhere.pth")
    with pytest.raises(UsageError, match="a folder, where a file with weights is expected"):
        read_foreign(tmp_path)


class _Blank:
    """Pickled as a call for an array of a size, without content."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.ndarray, ((2**31,), np.dtype("float64"))


class _Claimed:
    """Pickled as an array whose state claims more than its bytes."""

    def __reduce__(self) -> tuple[Any, ...]:
        array = np.zeros(2, dtype=np.float64)
        make, start, (version, _, dtype, is_fortran, content) = array.__reduce__()
        return make, start, (version, (2**31,), dtype, is_fortran, content)


def _write_safetensors(path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**31], "data_offsets": [0, 2**33]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))


@pytest.mark.parametrize("kind", ["blank array", "claimed array", "expanded tensor", "safetensors"])
def test_memory_does_not_follow_the_size_that_an_array_claims(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "w.pth"
    if kind == "safetensors":
        _write_safetensors(path)
    elif kind == "expanded tensor":
        torch.save({"a": torch.zeros(1).expand(2**31)}, path)
    else:
        path.write_bytes(pickle.dumps({"a": _Blank() if kind == "blank array" else _Claimed()}, protocol=2))
    peak, words = peak_mb(lambda: read_foreign(path))
    assert peak < LIMIT_MB
    assert words or kind == "blank array"
