"""A run on two sets: it resumes to the same bits, records the union, and is measured on the first set's classes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from maskreel.cli.main import main
from maskreel.models.folder import load_model
from maskreel.training.loop import resume, train
from maskreel.training.recipe import Recipe
from maskreel.training.run_folder import read_recipe
from tests.builders import write_youtube_vis
from tests.training.test_loop import assert_same_run, train_until_interrupted


@pytest.fixture
def joint_recipe(recipe: Recipe, tmp_path: Path) -> Recipe:
    document = write_youtube_vis(tmp_path / "stills", num_frames=1)
    document["categories"] = [{"id": 7, "name": "block"}, {"id": 3, "name": "bear"}]
    (tmp_path / "stills/train.json").write_text(json.dumps(document))
    return replace(recipe, data=replace(recipe.data, joint=(tmp_path / "stills",)))


@pytest.mark.slow
def test_a_joint_run_resumes_to_the_same_bits_and_records_its_sets(joint_recipe: Recipe, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(joint_recipe, whole, quiet=True)
    train_until_interrupted(joint_recipe, cut, lambda: (cut / "checkpoints/step-00000002").exists())
    assert read_recipe(cut).data == joint_recipe.data
    resume(read_recipe(cut), cut, quiet=True)
    assert_same_run(whole, cut)
    recorded = json.loads((whole / "dataset.json").read_text())
    assert recorded["splits"]["train"]["num_frames"] == 12
    assert [(one["root"], one["num_frames"]) for one in recorded["joint"]] == [(str(tmp_path / "stills"), 2)]
    assert recorded["classes"] == [
        {"id": 3, "name": "line", "id_in_set": [3, None]},
        {"id": 7, "name": "block", "id_in_set": [7, 7]},
        {"id": 8, "name": "bear", "id_in_set": [None, 3]},
    ]
    assert load_model(whole).classes == ((3, "line"), (7, "block"), (8, "bear"))


@pytest.mark.slow
def test_a_joint_run_is_measured_on_the_classes_of_its_first_set(joint_recipe: Recipe, tmp_path: Path) -> None:
    short = replace(joint_recipe, training=replace(joint_recipe.training, steps=1, validate_every=1))
    train(short, tmp_path / "run", quiet=True)
    assert "metrics/AP" in (tmp_path / "run/results.csv").read_text()


@pytest.mark.slow
def test_a_joint_run_on_shards_resumes_to_the_bits_of_one_on_folders(joint_recipe: Recipe, tmp_path: Path) -> None:
    weighted = replace(joint_recipe, data=replace(joint_recipe.data, weights=(1.0, 0.5)))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(weighted, whole, quiet=True)
    folders = [weighted.data.root, *(weighted.data.joint or ())]
    shards = [tmp_path / f"packed-{number}" for number in range(len(folders))]
    for folder, target in zip(folders, shards, strict=True):
        assert main(["data", "pack", str(folder), str(target), "--shard-size", "0.001"]) == 0
    packed = replace(weighted, data=replace(weighted.data, root=shards[0], joint=tuple(shards[1:])))
    train_until_interrupted(packed, cut, lambda: (cut / "checkpoints/step-00000002").exists())
    resume(read_recipe(cut), cut, quiet=True)
    weights = "weights/last/model.safetensors"
    assert (cut / weights).read_bytes() == (whole / weights).read_bytes()
