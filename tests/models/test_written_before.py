"""What was written before the configs were nested (format 1) is read on: options, model folders, runs.

`written_before/` holds what commit 0e4d22a wrote: `options.txt` lists every option of its models, each with the least
config that sets it to something else than its default; `seqformer.tar.xz` is a model folder, `run.tar.xz` a TT-SPN
stopped after three of five steps; `seqformer.safetensors` and `run.safetensors` hold what their models predicted.
"""

import json
import tarfile
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from maskreel.config import ConfigError, from_dict, new_path, to_dict
from maskreel.files import write_sums
from maskreel.models.catalog import CATALOG, ModelConfig
from maskreel.models.folder import load_model, save_model
from maskreel.models.moved import MOVED, moved, renamed
from maskreel.structures import select_masks
from maskreel.training.loop import resume
from maskreel.training.run_folder import read_recipe
from tests.builders import clip_batch, write_youtube_vis

BEFORE = Path(__file__).parent / "written_before"
OPTIONS = [line.split(" ", 1) for line in (BEFORE / "options.txt").read_text().splitlines()]
LOSSES_AFTER = {
    4: (16.8114, 1.04827, 4.79418, 2.05954, 0.063752, 0.897125, 7.94856),
    5: (18.9909, 0.978666, 5.63892, 2.37332, 0.0558963, 0.912976, 9.0311),
}
"""The last two steps of the run as commit 0e4d22a went on with it: total, label, box, giou, mask, dice, auxiliary."""


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(BEFORE / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name


def at(record: Any, path: str) -> Any:
    """The value of a path in a plain config."""
    return reduce(lambda place, name: place[name], path.split("."), record)


# Options.


@pytest.mark.parametrize(
    ("path", "text"), OPTIONS, ids=[f"{json.loads(text)['kind']} {path}" for path, text in OPTIONS]
)
def test_the_value_of_every_option_of_before_arrives(path: str, text: str) -> None:
    description = json.loads(text)
    kind, value = description["kind"], at(description, path)
    config = to_dict(from_dict(ModelConfig, moved(description)))
    assert at(config, new_path(path, MOVED[kind])) == value
    untouched = to_dict(CATALOG[kind].config())
    *records, _ = new_path(path, MOVED[kind]).split(".")
    changed = [name for name in untouched if untouched[name] != config[name]]
    assert set(changed) <= {(records or [path])[0]}
    assert json.loads(text) == description, "moving leaves what it reads as it is"


def test_the_table_names_no_option_that_never_was_and_none_that_still_is() -> None:
    for kind, table in MOVED.items():
        before = {path for path, text in OPTIONS if json.loads(text)["kind"] == kind}
        today = to_dict(CATALOG[kind].config())
        for old, new in table.items():
            assert any(path == old or path.startswith(f"{old}.") for path in before), f"{kind}: {old}"
            assert old not in today
            at(today, new)
    assert set(MOVED) == {json.loads(text)["kind"] for _, text in OPTIONS} <= set(CATALOG)


def test_a_config_of_today_is_left_as_it_is() -> None:
    for entry in CATALOG.values():
        description = to_dict(entry.config())
        assert moved(description) == description
        assert all(new_path(path, MOVED[description["kind"]]) == path for path in description)


@pytest.mark.parametrize(
    "content", [None, 3, [], {}, {"kind": ["vistr"]}, {"kind": "vistr", "width": 32, "transformer": 3}]
)
def test_what_is_no_config_is_refused_by_its_reader(content: Any) -> None:
    with pytest.raises(ConfigError):
        from_dict(ModelConfig, moved(content))


def test_a_misspelt_option_of_before_is_refused_with_its_name() -> None:
    with pytest.raises(ConfigError, match="num_querys: unknown key"):
        from_dict(ModelConfig, moved({"kind": "seqformer", "num_querys": 5, "width": 64}))


def test_only_the_mask_head_has_another_name() -> None:
    names = ("masks.branch.out.weight", "decoder.masks.weight", "criterion.masks.weight", "masks.volume.0.bias.exp_avg")
    assert list(renamed(dict.fromkeys(names))) == [
        "mask_head.branch.out.weight",
        *names[1:3],
        "mask_head.volume.0.bias.exp_avg",
    ]


# Folders.


@pytest.mark.parametrize("name", ["seqformer", "run"])
def test_a_model_folder_of_before_predicts_as_before(name: str, tmp_path: Path) -> None:
    folder, expected = unpacked(name, tmp_path), load_file(BEFORE / f"{name}.safetensors")
    loaded = load_model(folder)
    assert set(loaded.classes) == {(7, "block"), (3, "line")}
    clip, queries = clip_batch([(64, 96), (50, 70)], num_frames=2), torch.tensor([2, 0])
    with torch.no_grad():
        prediction = loaded.model(clip)
        masks = select_masks(prediction, 1, queries)[:, :, ::4, ::4]
    for ours, theirs in (
        (prediction.final.class_logits, expected["class_logits"]),
        (prediction.final.boxes, expected["boxes"]),
        (masks, expected["masks"]),
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))
        assert theirs.std() > 0


def test_a_folder_of_before_that_is_written_again_is_one_of_today(tmp_path: Path) -> None:
    loaded = load_model(unpacked("seqformer", tmp_path))
    assert (loaded.config.queries.count, loaded.config.mask_head.channels) == (5, 4)
    assert (loaded.config.loss.absent_boxes, loaded.config.loss.weights.box) == ("ignore", 4.0)
    save_model(tmp_path / "new", loaded.model, loaded.config, loaded.classes)
    description = json.loads((tmp_path / "new" / "config.json").read_text())
    assert (description["format"], description["model"]["queries"]["count"]) == (2, 5)
    again = load_model(tmp_path / "new")
    assert again.config == loaded.config
    assert all(torch.equal(values, again.model.state_dict()[key]) for key, values in loaded.model.state_dict().items())


def test_options_of_before_are_unknown_to_a_folder_of_today(tmp_path: Path) -> None:
    """The format says how a folder is read; nothing is guessed."""
    folder = unpacked("seqformer", tmp_path)
    description = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(description | {"format": 2}))
    write_sums(folder)
    with pytest.raises(ConfigError, match=r"model\.\w+: unknown key"):
        load_model(folder)


def test_a_run_of_before_goes_on_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, moments, dropout and the order of clips are taken up where the older version left them."""
    write_youtube_vis(tmp_path / "data")
    run = unpacked("run", tmp_path)
    monkeypatch.chdir(tmp_path)
    resume(read_recipe(run), run, quiet=True)
    rows = [line.split(",") for line in (run / "results.csv").read_text().splitlines()[1:]]
    assert [int(row[0]) for row in rows] == [1, 2, 3, 4, 5]
    for step, losses in LOSSES_AFTER.items():
        assert [float(cell) for cell in rows[step - 1][3:10]] == pytest.approx(losses, rel=2e-5)
    queries = json.loads((run / "config.json").read_text())["model"]["queries"]
    assert (queries["count"], queries["frames"]) == (4, 3)
    assert json.loads((run / "checkpoints/step-00000005/state.json").read_text())["format"] == 2
    assert any(
        name.startswith("mask_head.") for name in load_file(run / "checkpoints/step-00000005/optimizer.safetensors")
    )
    resume(read_recipe(run), run, quiet=True)
