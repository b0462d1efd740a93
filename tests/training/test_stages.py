"""Recipes with a first stage on single frames: one command, one folder, the same bits however often it is stopped."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from maskreel.cli.recipe_first import parse
from maskreel.errors import OptionError
from maskreel.models.folder import load_model
from maskreel.models.parts.frame_queries import FrameQueries, PlacedQueries
from maskreel.models.tt_spn import PerceptronHeads
from maskreel.nn.decoders.placed_queries import grown_queries
from maskreel.recipes import seqformer, vistr
from maskreel.training.loop import resume, train
from maskreel.training.recipe import Recipe, SingleFrames
from maskreel.training.run_folder import read_recipe
from maskreel.training.stages import first_stage
from tests.checkpoints import frame_query_tables
from tests.training.test_loop import assert_same_run, results, train_until_interrupted

QUERIES = "decoder.queries.weight"


@pytest.fixture(scope="module")
def staged(recipe: Recipe) -> Recipe:
    """A small VisTR: four steps on single frames, four on clips of two of its three frames."""
    model = replace(
        frame_query_tables.TINY["vistr"],
        num_classes=2,
        queries=FrameQueries(count=5, frames=3, placed=PlacedQueries()),
    )
    return replace(
        recipe,
        model=model,
        training=replace(recipe.training, steps=4, drops=()),
        first=SingleFrames(steps=4, batch_size=3, learning_rate=1e-3, warmup=2),
    )


@pytest.fixture(scope="module")
def whole(staged: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(staged, folder, quiet=True)
    return folder


def test_the_first_stage_is_the_recipe_for_single_frames(staged: Recipe) -> None:
    first = first_stage(staged)
    assert first is not None
    assert first.first is None
    assert first.model == replace(staged.model, queries=replace(staged.model.queries, frames=1))
    assert (first.data.num_frames, first.data.batch_size) == (1, 3)
    training = first.training
    assert (training.steps, training.learning_rate, training.warmup) == (4, 1e-3, 2)
    assert (training.schedule, training.drops, training.validate_every) == ("step", (), 0)
    assert (first.evaluation.predictor.clip_frames, first.evaluation.predictor.clip_overlap) == (1, 0)
    assert first_stage(replace(staged, first=None)) is None


def test_models_without_frames_in_their_table_stay_as_they_are() -> None:
    recipe = replace(seqformer.tiny(), first=SingleFrames())
    first = first_stage(recipe)
    assert first is not None
    assert first.model == recipe.model


def test_one_call_trains_both_stages_and_leaves_two_run_folders(whole: Path, staged: Recipe) -> None:
    assert read_recipe(whole) == staged
    assert read_recipe(whole / "first") == first_stage(staged)
    for run in (whole, whole / "first"):
        assert (run / "checkpoints/step-00000004").is_dir()
        assert results(run)[-1]["step"] == "4"
    assert load_model(whole).config == staged.model
    assert load_model(whole / "first").config.queries.frames == 1


def test_clips_start_from_every_tensor_of_the_single_frames(whole: Path, staged: Recipe, tmp_path: Path) -> None:
    account = json.loads((whole / "init.json").read_text())
    assert account["new"] == account["unused"] == []
    assert QUERIES in account["taken"]
    still = replace(staged, training=replace(staged.training, steps=1, learning_rate=0.0, weight_decay=0.0))
    shutil.copytree(whole / "first", tmp_path / "run" / "first")
    (tmp_path / "run" / "config.json").write_text((whole / "config.json").read_text())
    resume(still, tmp_path / "run", quiet=True)
    before = load_file(whole / "first/checkpoints/step-00000004/model.safetensors")
    after = load_file(tmp_path / "run/checkpoints/step-00000001/model.safetensors")
    moved = {name for name in before if "running_" in name or "num_batches" in name}
    for name, values in before.items():
        if name in moved:
            continue
        torch.testing.assert_close(after[name], grown_queries(values, 3) if name == QUERIES else values)
    assert after[QUERIES].shape[0] == 3 * before[QUERIES].shape[0]


@pytest.mark.parametrize("step", ["first/checkpoints/step-00000002", "first/checkpoints/step-00000004"])
def test_a_run_interrupted_in_its_first_stage_resumes_to_the_same_bits(
    step: str, whole: Path, staged: Recipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    message = train_until_interrupted(staged, folder, lambda: (folder / step).exists())
    assert message.endswith(f"go on with: maskreel train --resume {folder}")
    resume(read_recipe(folder), folder, quiet=True)
    assert_same_run(whole / "first", folder / "first", steps=4)
    assert_same_run(whole, folder, steps=4)


def test_a_run_interrupted_in_its_second_stage_leaves_the_first_alone(
    whole: Path, staged: Recipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train_until_interrupted(staged, folder, lambda: (folder / "checkpoints/step-00000002").exists())
    shutil.rmtree(folder / "first")
    resume(staged, folder, quiet=True)
    assert_same_run(whole, folder, steps=4)
    assert not (folder / "first").exists()


def test_initial_weights_are_for_the_first_stage(whole: Path, staged: Recipe, tmp_path: Path) -> None:
    folder = train(staged, tmp_path / "run", init=str(whole / "first"), quiet=True)
    assert json.loads((folder / "first/init.json").read_text())["weights"] == str(whole / "first")
    assert json.loads((folder / "init.json").read_text())["weights"] == str(folder / "first")


def test_options_of_the_first_stage_are_typed_and_it_can_be_left_out() -> None:
    args = parse(["vistr-tiny", "--data.root", "data", "--first.steps", "7", "--first.batch-size", "2"])
    assert args.to_recipe().first == SingleFrames(steps=7, batch_size=2)
    assert first_stage(parse(["vistr-tiny", "--data.root", "data", "--first.steps", "0"]).to_recipe()) is None
    assert parse(["seqformer-tiny", "--data.root", "data"]).to_recipe().first is None


@pytest.fixture(scope="module")
def taught_by_cells(recipe: Recipe) -> Recipe:
    """A small TT-SPN whose first stage has a loss on cells and VisTR's heads."""
    return replace(
        recipe,
        model=replace(
            frame_query_tables.TINY["tt_spn"],
            num_classes=2,
            queries=FrameQueries(count=5, frames=2, placed=PlacedQueries()),
        ),
        training=replace(recipe.training, steps=2, drops=()),
        first=SingleFrames(steps=4, batch_size=3, learning_rate=1e-3, warmup=2, cells=2.0, heads="mlp"),
    )


def test_cells_teach_the_first_stage_alone_and_heads_begin_anew_behind_it(
    taught_by_cells: Recipe, tmp_path: Path
) -> None:
    folder = train(taught_by_cells, tmp_path / "whole", quiet=True)
    first = load_model(folder / "first").config
    assert first.head == PerceptronHeads()
    assert load_model(folder).config == taught_by_cells.model
    losses = {run: float(results(run)[-1].get("loss/cells") or 0) for run in (folder / "first", folder)}
    assert losses[folder / "first"] > 0
    assert losses[folder] == 0
    account = json.loads((folder / "init.json").read_text())
    assert {name.split(".")[0] for name in account["new"]} == {"classify", "boxes"}
    assert {name.split(".")[0] for name in account["unused"]} == {"classify", "boxes"}
    states = [load_file(folder / f"first/checkpoints/step-0000000{step}/model.safetensors") for step in (2, 4)]
    assert not torch.equal(states[0]["cells.classify.weight"], states[1]["cells.classify.weight"])
    broken_off = tmp_path / "broken off"
    reached = broken_off / "first/checkpoints/step-00000002"
    train_until_interrupted(taught_by_cells, broken_off, reached.exists)
    resume(read_recipe(broken_off), broken_off, quiet=True)
    assert_same_run(folder / "first", broken_off / "first", steps=4)
    assert_same_run(folder, broken_off, steps=2)


@pytest.mark.parametrize(
    "values", [{"steps": -1}, {"batch_size": 0}, {"learning_rate": -1.0}, {"warmup": -1}, {"cells": -1.0}]
)
def test_a_first_stage_out_of_range_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(values))):
        SingleFrames(**values)  # type: ignore[arg-type]


def test_small_vistrs_have_two_stages_and_published_ones_one() -> None:
    assert vistr.tiny().first == SingleFrames()
    assert vistr.tiny().model.queries.placed == PlacedQueries()
    for recipe in (vistr.r50_ytvis19(), vistr.r101_ytvis19()):
        assert recipe.first is None
        assert recipe.model.queries.placed is None
        assert recipe.model.backbone.last_stride == 32


def test_a_run_killed_before_the_first_checkpoint_of_its_clips_goes_on(
    whole: Path, staged: Recipe, tmp_path: Path
) -> None:
    """What it began from is its own first stage, and the lines of the steps that are done again are told once."""
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    shutil.rmtree(folder / "checkpoints")
    resume(staged, folder, quiet=True)
    assert_same_run(whole, folder, steps=4)
