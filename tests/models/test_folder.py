"""Model folders: what is written comes back, and damage is one sentence."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from maskreel.errors import DataError, UsageError
from maskreel.files import write_sums
from maskreel.models import folder as weights
from maskreel.models.folder import build_model, load_model, model_folder, save_model
from maskreel.models.parts.box_queries import BoxQueries
from tests.builders import clip_batch
from tests.checkpoints.tables import TINY, replaced

CONFIG = TINY["seqformer"]
CLASSES = ((3, "fox"), (1, "owl"), (7, "newt"))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return build_model(CONFIG).eval()


@pytest.fixture
def folder(model: nn.Module, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    save_model(folder, model, CONFIG, CLASSES, inference={"short_side": 96})
    return folder


def rewrite_config(folder: Path, change: Callable[[dict], object], *, sums: bool = True) -> None:
    """Edit the config as somebody with an editor would; `sums` makes the sums fit again."""
    description = json.loads((folder / "config.json").read_text())
    change(description)
    (folder / "config.json").write_text(json.dumps(description))
    if sums:
        write_sums(folder)


def test_a_model_comes_back_with_its_config_classes_and_settings(folder: Path, model: nn.Module) -> None:
    loaded = load_model(folder)
    assert loaded.config == CONFIG
    assert loaded.classes == CLASSES
    assert loaded.inference == {"short_side": 96}
    assert not loaded.model.training
    state = model.state_dict()
    assert loaded.model.state_dict().keys() == state.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in loaded.model.state_dict().items())
    clip = clip_batch([(32, 64)], num_frames=2)
    with torch.no_grad():
        assert torch.equal(loaded.model(clip).final.boxes, model(clip).final.boxes)


def test_half_precision_halves_the_file_and_loads_as_float32(model: nn.Module, tmp_path: Path, folder: Path) -> None:
    save_model(tmp_path / "half", model, CONFIG, CLASSES, dtype=torch.bfloat16)
    size = (tmp_path / "half" / "model.safetensors").stat().st_size
    assert size < 0.6 * (folder / "model.safetensors").stat().st_size
    loaded = load_model(tmp_path / "half").model
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1 / 128, atol=0)


def test_a_head_that_serves_all_layers_is_saved_once(tmp_path: Path) -> None:
    config = replace(CONFIG, queries=BoxQueries(refinement="none"))
    save_model(tmp_path / "model", build_model(config), config, CLASSES)
    names = load_file(tmp_path / "model" / "model.safetensors").keys()
    assert [name for name in names if name.startswith("classify.")] == ["classify.0.bias", "classify.0.weight"]
    assert len(load_model(tmp_path / "model").model.classify) == 1


def test_saving_again_replaces_the_folder(folder: Path, model: nn.Module) -> None:
    (folder / "stray.txt").write_text("of an older version")
    save_model(folder, model, CONFIG, ((1, "a"), (2, "b"), (3, "c")))
    assert load_model(folder).classes == ((1, "a"), (2, "b"), (3, "c"))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "sums.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_is_never_seen_half_written(folder: Path, model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_model(folder, model, CONFIG, CLASSES)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(OSError, match="No space left"):
        save_model(folder.with_name("other"), model, CONFIG, CLASSES)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_wrong_number_of_classes_is_not_saved(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 class names for a model of 3 classes"):
        save_model(tmp_path / "model", model, CONFIG, CLASSES[:2])
    assert list(tmp_path.iterdir()) == []


# Damage.


def flip_a_bit(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def edit_config(folder: Path) -> None:
    rewrite_config(folder, lambda description: description["model"]["queries"].update(count=11), sums=False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_bit, r"model\.safetensors: its SHA-256 differs from sums\.json"),
        (cut_off, r"model\.safetensors: its SHA-256 differs from sums\.json"),
        (edit_config, r"config\.json: its SHA-256 differs from sums\.json: the file is damaged or was edited"),
        (lambda folder: (folder / "sums.json").unlink(), r"sums\.json: the file is missing"),
        (lambda folder: (folder / "sums.json").write_text("{}"), r"sums\.json: has no sum of config\.json"),
        (lambda folder: (folder / "sums.json").write_text("[1]"), r"sums\.json: holds a list where an object"),
        (lambda folder: (folder / "sums.json").write_text("{"), r"sums\.json: not JSON"),
    ],
    ids=["flipped bit", "truncated", "edited config", "no sums", "empty sums", "list of sums", "half the sums"],
)
def test_damage_is_told_in_one_sentence(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(DataError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["model"].update(querys={}), r"config\.json.*model\.querys: unknown key.*'queries'"),
        (lambda d: d["model"].update(kind="segformer"), r"config\.json.*model\.kind: 'segformer' is not"),
        (
            lambda d: d["model"]["transformer"].update(width="wide"),
            r"config\.json.*model\.transformer\.width: expected an integer, got 'wide'",
        ),
        (lambda d: d.pop("model"), r"config\.json.*model: expected an object"),
        (
            lambda d: d["model"]["transformer"].update(width=33),
            r"config\.json: model\.transformer: width 33 must be a multiple of 32",
        ),
        (
            lambda d: d["model"]["transformer"].update(num_heads=5),
            r"config\.json: model\.transformer: num_heads 5 must divide width 32",
        ),
        (
            lambda d: d["model"]["transformer"].update(num_levels=2),
            r"config\.json: model\.transformer: num_levels 2 must be at least 3",
        ),
        (
            lambda d: d["model"]["transformer"].update(dropout=1),
            r"config\.json: model\.transformer: dropout 1\.0 must be at least 0 and below 1",
        ),
        (
            lambda d: d["model"]["backbone"].update(width=12),
            r"config\.json: model\.backbone: backbone width 12 must be a",
        ),
        (
            lambda d: d["model"]["backbone"].update(frozen_stages=6),
            r"model\.backbone: frozen_stages 6 must be between 0",
        ),
        (lambda d: d.update(format=99), r"config\.json.*99"),
        (lambda d: d["classes"].pop(), r"config\.json.*2 classes.*3"),
        (lambda d: d.pop("classes"), r"config\.json: classes: expected a list"),
        (lambda d: d.update(classes=[{"id": 1}] * 3), r"config\.json: classes\[0\]\.name: is missing"),
        (
            lambda d: d.update(classes=[{"id": "x", "name": "a"}] * 3),
            r"config\.json: classes\[0\]\.id: expected an int",
        ),
        (lambda d: d.update(inference=[]), r"config\.json: inference: expected an object, got \[\]"),
        (
            lambda d: d["model"]["queries"].update(count=11),
            r"model\.safetensors: these weights belong to another model",
        ),
    ],
)
def test_a_config_that_does_not_fit_is_told_in_one_sentence(
    folder: Path, change: Callable[[dict], object], message: str
) -> None:
    rewrite_config(folder, change)
    with pytest.raises(DataError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_told_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = replaced(replace(CONFIG, num_classes=5), "transformer.decoder_layers", 2)
    save_model(tmp_path / "other", build_model(other), other, tuple((i, str(i)) for i in range(5)))
    (folder / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    write_sums(folder)
    message = r"model\.safetensors: these weights belong to another model \(\d+ tensors missing, such as .*decoder"
    with pytest.raises(DataError, match=message) as caught:
        load_model(folder)
    assert "of another shape, such as classify" in str(caught.value)


def test_tensors_that_no_model_knows_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path) | {"extra.weight": torch.zeros(1)}, path)
    write_sums(folder)
    with pytest.raises(DataError, match=r"1 tensors unknown, such as extra\.weight"):
        load_model(folder)


def test_a_file_that_is_not_safetensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"PK\x03\x04 something else")
    write_sums(folder)
    with pytest.raises(DataError, match="not a readable safetensors file"):
        load_model(folder)


# Where the weights of a run are.


def test_a_run_folder_means_its_best_weights_and_else_its_last(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "weights").mkdir(parents=True)
    folder.rename(run / "weights" / "last")
    assert model_folder(run) == run / "weights" / "last"
    (run / "weights" / "last").rename(run / "weights" / "best")
    assert model_folder(run) == run / "weights" / "best"
    assert model_folder(run / "weights" / "best") == run / "weights" / "best"


def test_a_folder_that_does_not_exist_is_a_typing_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere: no such folder.*'bundled'"):
        model_folder(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="neither a run folder nor a model folder"):
        model_folder(tmp_path)
